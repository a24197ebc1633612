"""Use cases of OCPP 2.0.1 and 2.1: tokens, transactions, events, certificates."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List

from ..cases import CSMS, V2, case
from ..verdicts import Doubtful, Failed
from .expect import check_served
from .link import Link
from .peer import Room
from .samples import moment

_TOKEN = {"idToken": "04A1B2C3", "type": "ISO14443"}


class _Transaction:
    """Makes the TransactionEvents of one transaction."""

    def __init__(self, at: float = 0.0) -> None:
        self.id = str(uuid.uuid4())
        self._next = 0
        self._at = at

    def event(self, kind: str, trigger: str, **changes: Any) -> Dict[str, Any]:
        payload = {
            "eventType": kind,
            "timestamp": moment(self._at + self._next),
            "triggerReason": trigger,
            "seqNo": self._next,
            "transactionInfo": {"transactionId": self.id},
            "evse": {"id": 1, "connectorId": 1},
            **changes,
        }
        self._next += 1
        return payload

    def started(self, **changes: Any) -> Dict[str, Any]:
        return self.event("Started", "CablePluggedIn", **changes)

    def updated(self, **changes: Any) -> Dict[str, Any]:
        value = {"timestamp": moment(self._at), "sampledValue": [{"value": 1200.0}]}
        return self.event("Updated", "MeterValuePeriodic", **{"meterValue": [value], **changes})

    def ended(self, **changes: Any) -> Dict[str, Any]:
        info = {"transactionId": self.id, "stoppedReason": "EVDisconnected"}
        return self.event("Ended", "EVCommunicationLost", **{"transactionInfo": info, **changes})


def _send(link: Link, events: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    return [link.result("TransactionEvent", each) for each in events]


def _unknown() -> Dict[str, Any]:
    return {"idToken": f"X{uuid.uuid4().hex[:15]}", "type": "ISO14443"}


@case(
    CSMS, "v2-authorize", section="OCPP 2.x Part 2 C01", expects="a CALLRESULT with a status of the token", versions=V2
)
def authorize(room: Room) -> None:
    """Ask for a token."""
    if "status" not in room.link().result("Authorize").get("idTokenInfo", {}):
        raise Failed("the answer has no status")


@case(
    CSMS,
    "v2-authorize-unknown",
    section="OCPP 2.x Part 2 C01",
    expects="a status such as Invalid or Unknown",
    versions=V2,
)
def authorize_unknown(room: Room) -> None:
    """Ask for a token that nobody knows."""
    answer = room.link().result("Authorize", {"idToken": _unknown()})
    if answer.get("idTokenInfo", {}).get("status") == "Accepted":
        raise Doubtful("the token was accepted: this central system may let everybody charge")


@case(
    CSMS,
    "v2-authorize-key-code",
    section="OCPP 2.x Part 2 C04.FR.01",
    expects="the status Invalid",
    versions=V2,
)
def authorize_key_code(room: Room) -> None:
    """Ask for a key code that is not valid."""
    token = {"idToken": uuid.uuid4().hex[:8], "type": "KeyCode"}
    status = room.link().result("Authorize", {"idToken": token}).get("idTokenInfo", {}).get("status")
    if status != "Invalid":
        raise Doubtful(f"the status is {status}")


@case(
    CSMS,
    "v2-transaction",
    section="OCPP 2.x Part 2 E01, E02, E06, J02.FR.19",
    expects="a CALLRESULT to each event",
    versions=V2,
)
def transaction(room: Room) -> None:
    """Charge: started, updated, ended."""
    charging = _Transaction()
    _send(room.link(), [charging.started(), charging.updated(), charging.ended()])


@case(
    CSMS,
    "v2-transaction-token",
    section="OCPP 2.x Part 2 E01.FR.11, E01.FR.12, C12.FR.03",
    expects="the answer has the status of the token",
    versions=V2,
)
def transaction_token(room: Room) -> None:
    """Send a TransactionEvent with a token."""
    charging, link = _Transaction(), room.link()
    answer = link.result("TransactionEvent", charging.started(idToken=_TOKEN))
    _send(link, [charging.ended()])
    if "status" not in answer.get("idTokenInfo", {}):
        raise Failed("the answer has no idTokenInfo, and the event had an idToken")


@case(
    CSMS,
    "v2-transaction-unknown-token",
    section="OCPP 2.x Part 2 E01.FR.11, E01.FR.12",
    expects="a CALLRESULT: the transaction has begun already",
    versions=V2,
)
def transaction_unknown_token(room: Room) -> None:
    """Start a transaction with a token that nobody knows."""
    charging, link = _Transaction(), room.link()
    answer = link.result("TransactionEvent", charging.started(idToken=_unknown()))
    _send(link, [charging.ended()])
    if answer.get("idTokenInfo", {}).get("status") == "Accepted":
        raise Doubtful("the token was accepted: this central system may let everybody charge")


@case(
    CSMS,
    "v2-transaction-no-authorization",
    section="OCPP 2.x Part 2 C02.FR.02",
    expects="the status Accepted",
    versions=V2,
)
def transaction_no_authorization(room: Room) -> None:
    """Start a transaction with a token of the type NoAuthorization."""
    charging, link = _Transaction(), room.link()
    answer = link.result("TransactionEvent", charging.started(idToken={"idToken": "", "type": "NoAuthorization"}))
    _send(link, [charging.ended()])
    status = answer.get("idTokenInfo", {}).get("status")
    if status != "Accepted":
        raise Failed(f"the status is {status or 'missing'}")


@case(
    CSMS,
    "v2-transaction-offline",
    section="OCPP 2.x Part 2 E04.FR.03, E11.FR.02, E12.FR.02",
    expects="a CALLRESULT to each event",
    versions=V2,
)
def transaction_offline(room: Room) -> None:
    """Send a transaction of yesterday that was offline."""
    charging = _Transaction(at=-86400)
    events = [charging.started(offline=True), charging.updated(offline=True), charging.ended(offline=True)]
    _send(room.link(), events)


@case(
    CSMS,
    "v2-transaction-reconnect",
    section="OCPP 2.x Part 2 E11, E12; Part 4 5.4",
    expects="a CALLRESULT to each event",
    versions=V2,
)
def transaction_reconnect(room: Room) -> None:
    """Cut the connection in the middle of a transaction, and go on over a new one."""
    charging, link = _Transaction(), room.link()
    _send(link, [charging.started()])
    link.wire.abort()
    _send(room.link(boot=False), [charging.updated(offline=True), charging.ended()])


@case(
    CSMS,
    "v2-transaction-retry",
    section="OCPP 2.x Part 2 E13.FR.02; Part 4 4.1.4",
    expects="a CALLRESULT: it is the same message, sent again",
    versions=V2,
)
def transaction_retry(room: Room) -> None:
    """Send a TransactionEvent again, with the same message id, over a new connection."""
    charging, message_id = _Transaction(), str(uuid.uuid4())
    payload = charging.started()
    link = room.link()
    link.send_call("TransactionEvent", payload, message_id)
    check_served(link, link.answer_to(message_id))
    link.wire.abort()
    link = room.link()
    link.send_call("TransactionEvent", payload, message_id)
    check_served(link, link.answer_to(message_id))
    _send(link, [charging.ended()])


@case(
    CSMS,
    "v2-transaction-same-event",
    section="OCPP 2.x Part 2 E13.FR.02",
    expects="a CALLRESULT to each: the station did not get the first answer",
    versions=V2,
)
def transaction_same_event(room: Room) -> None:
    """Send a TransactionEvent again, with a new message id."""
    charging, link = _Transaction(), room.link()
    payload = charging.started()
    _send(link, [payload, payload, charging.ended()])


@case(
    CSMS,
    "v2-transaction-order",
    section="OCPP 2.x Part 2 E01.FR.07",
    expects="a CALLRESULT to each: the sequence numbers say the order",
    versions=V2,
)
def transaction_order(room: Room) -> None:
    """Send the events of a transaction in a wrong order."""
    charging = _Transaction()
    started, updated, ended = charging.started(), charging.updated(), charging.ended()
    _send(room.link(), [updated, started, ended])


@case(
    CSMS,
    "v2-transaction-gap",
    section="OCPP 2.x Part 2 E01.FR.07",
    expects="a CALLRESULT to each",
    versions=V2,
)
def transaction_gap(room: Room) -> None:
    """Leave out an event of a transaction."""
    charging = _Transaction()
    started, _, ended = charging.started(), charging.updated(), charging.ended()
    _send(room.link(), [started, ended])


@case(
    CSMS,
    "v2-transaction-ended-only",
    section="OCPP 2.x Part 2 E06, J02.FR.19",
    expects="a CALLRESULT",
    versions=V2,
)
def transaction_ended_only(room: Room) -> None:
    """End a transaction that nobody has started."""
    _send(room.link(), [_Transaction().ended()])


@case(
    CSMS,
    "v2-transaction-triggers",
    section="OCPP 2.x Part 2 3.88 (TriggerReasonEnumType)",
    expects="a CALLRESULT to each event",
    versions=V2,
)
def transaction_triggers(room: Room) -> None:
    """Send an event of each trigger."""
    charging, link = _Transaction(), room.link()
    _send(link, [charging.started()])
    for each in link.samples.dialect.load_type("TriggerReasonEnum"):
        _send(link, [charging.event("Updated", each.value)])
    _send(link, [charging.ended()])


@case(CSMS, "v2-meter-values", section="OCPP 2.x Part 2 J01.FR.18", expects="a CALLRESULT", versions=V2)
def meter_values(room: Room) -> None:
    """Send meter values outside of a transaction."""
    link = room.link()
    value = {"timestamp": moment(), "sampledValue": [{"value": 1200.0, "context": "Sample.Clock"}]}
    link.result("MeterValues", {"evseId": 0, "meterValue": [value]})


@case(
    CSMS,
    "v2-notify-event",
    section="OCPP 2.x Part 2 N07.FR.03, N08.FR.02, G05.FR.03",
    expects="a CALLRESULT without properties",
    versions=V2,
)
def notify_event(room: Room) -> None:
    """Send a NotifyEvent."""
    answer = room.link().result("NotifyEvent")
    if set(answer) - {"customData"}:
        raise Failed(f"the answer has the properties {', '.join(answer)}")


@case(
    CSMS,
    "v2-security-event",
    section="OCPP 2.x Part 2 A04.FR.03",
    expects="a CALLRESULT",
    versions=V2,
)
def security_event(room: Room) -> None:
    """Send a SecurityEventNotification."""
    answer = {"type": "TamperDetectionActivated", "timestamp": moment(), "techInfo": "a test"}
    room.link().result("SecurityEventNotification", answer)


@case(
    CSMS,
    "v2-certificate-status",
    section="OCPP 2.x Part 2 M06.FR.01, M06.FR.03, M06.FR.04",
    expects="Accepted with an OCSP response, or Failed",
    versions=V2,
)
def certificate_status(room: Room) -> None:
    """Ask for the status of a certificate that nobody knows."""
    answer = room.link().result("GetCertificateStatus")
    if answer.get("status") == "Accepted" and not answer.get("ocspResult"):
        raise Failed("the status is Accepted, and there is no OCSP response")


@case(
    CSMS,
    "v2-boot-reasons",
    section="OCPP 2.x Part 2 B01, 3.7 (BootReasonEnumType)",
    expects="a CALLRESULT to each",
    versions=V2,
)
def boot_reasons(room: Room) -> None:
    """Boot for each reason."""
    link = room.link()
    for each in link.samples.dialect.load_type("BootReasonEnum"):
        link.result("BootNotification", link.samples.of("BootNotification", reason=each.value))
