"""Use cases of OCPP 1.6: tags, transactions, meter values, security events."""

from __future__ import annotations

import uuid
from typing import Any, Dict

from ..cases import CSMS, case
from ..verdicts import Doubtful, Failed
from .link import Link
from .peer import Room
from .samples import moment

_V16 = ("1.6",)


def _unknown_tag() -> str:
    return f"X{uuid.uuid4().hex[:15]}"


def _start(link: Link, **changes: Any) -> Dict[str, Any]:
    return link.result("StartTransaction", link.samples.of("StartTransaction", timestamp=moment(), **changes))


def _stop(link: Link, transaction: int, **changes: Any) -> Dict[str, Any]:
    fields = {"transactionId": transaction, "meterStop": 1500, "timestamp": moment(), **changes}
    return link.result("StopTransaction", link.samples.of("StopTransaction", **fields))


@case(CSMS, "v16-authorize", section="1.6 4.1, 6.2", expects="a CALLRESULT with a status", versions=_V16)
def authorize(room: Room) -> None:
    """Ask for a tag."""
    answer = room.link().result("Authorize")
    if "status" not in answer.get("idTagInfo", {}):
        raise Failed("the answer has no status")


@case(
    CSMS,
    "v16-authorize-unknown",
    section="1.6 4.1, 7.2",
    expects="the status Invalid",
    versions=_V16,
)
def authorize_unknown(room: Room) -> None:
    """Ask for a tag that nobody knows."""
    link = room.link()
    info = link.result("Authorize", {"idTag": _unknown_tag()}).get("idTagInfo", {})
    if info.get("status") == "Accepted":
        raise Doubtful("the tag was accepted: this central system may let everybody charge")


@case(
    CSMS,
    "v16-transaction",
    section="1.6 4.8, 4.7, 4.10",
    expects="a CALLRESULT to StartTransaction, with an id and a status, to MeterValues and to StopTransaction",
    versions=_V16,
)
def transaction(room: Room) -> None:
    """Charge: start, meter values, stop."""
    link = room.link()
    answer = _start(link)
    link.result("MeterValues", _meter_values(link, answer["transactionId"]))
    _stop(link, answer["transactionId"], idTag=link.samples.of("StartTransaction")["idTag"])


def _meter_values(link: Link, transaction: int) -> Dict[str, Any]:
    value = {"timestamp": moment(), "sampledValue": [{"value": "1200"}]}
    return link.samples.of("MeterValues", connectorId=1, transactionId=transaction, meterValue=[value])


@case(
    CSMS,
    "v16-transaction-ids",
    section="1.6 4.8, 6.46",
    expects="two transactions have two ids",
    versions=_V16,
)
def transaction_ids(room: Room) -> None:
    """Start two transactions, at two connectors."""
    link = room.link()
    first, second = _start(link, connectorId=1), _start(link, connectorId=2)
    for answer in (first, second):
        _stop(link, answer["transactionId"])
    statuses = [each.get("idTagInfo", {}).get("status") for each in (first, second)]
    if first["transactionId"] != second["transactionId"]:
        return
    if statuses == ["Accepted", "Accepted"]:
        raise Failed(f"both have the id {first['transactionId']}")
    raise Doubtful(f"both have the id {first['transactionId']}, with the statuses {statuses[0]} and {statuses[1]}")


@case(
    CSMS,
    "v16-start-retry",
    section="1.6 3.7.1; OCPP-J 1.6 errata 3.1",
    expects="the same transaction id: it is the same message, sent again",
    versions=_V16,
)
def start_retry(room: Room) -> None:
    """Send a StartTransaction again, with the same message id, over a new connection."""
    payload = room.samples.of("StartTransaction", timestamp=moment())
    message_id = str(uuid.uuid4())
    link = room.link()
    link.send_call("StartTransaction", payload, message_id)
    first = link.answer_to(message_id)
    link.wire.abort()
    link = room.link()
    link.send_call("StartTransaction", payload, message_id)
    second = link.answer_to(message_id)
    ids = [(each.payload or {}).get("transactionId") for each in (first, second)]
    for transaction_id in sorted({each for each in ids if isinstance(each, int)}):
        _stop(link, transaction_id)
    if None in ids:
        raise Failed(f"it was answered with {first}, then with {second}")
    if ids[0] != ids[1]:
        raise Doubtful(f"the ids are {ids[0]} and {ids[1]}: one transaction became two")


@case(
    CSMS,
    "v16-start-unknown-tag",
    section="1.6 4.8",
    expects="a CALLRESULT with an id and a status: the transaction has begun already",
    versions=_V16,
)
def start_unknown_tag(room: Room) -> None:
    """Start a transaction with a tag that nobody knows."""
    link = room.link()
    answer = _start(link, idTag=_unknown_tag())
    _stop(link, answer["transactionId"])
    if answer.get("idTagInfo", {}).get("status") == "Accepted":
        raise Doubtful("the tag was accepted: this central system may let everybody charge")


@case(
    CSMS,
    "v16-start-offline",
    section="1.6 3.7, 4.8, 5.16.1",
    expects="a CALLRESULT: it happened while there was no connection",
    versions=_V16,
)
def start_offline(room: Room) -> None:
    """Send StartTransaction and StopTransaction of yesterday."""
    link = room.link()
    payload = link.samples.of("StartTransaction", timestamp=moment(-86400))
    answer = link.result("StartTransaction", payload)
    _stop(link, answer["transactionId"], timestamp=moment(-86000))


@case(
    CSMS,
    "v16-start-future",
    section="1.6 4.8",
    expects="a CALLRESULT: sanity checks should not prevent the answer",
    versions=_V16,
)
def start_future(room: Room) -> None:
    """Start a transaction of tomorrow, at connector 99, with a negative meter."""
    link = room.link()
    payload = link.samples.of("StartTransaction", timestamp=moment(86400), connectorId=99, meterStart=-5)
    try:
        answer = link.result("StartTransaction", payload)
    except Failed as error:
        raise Doubtful(f"{error}: the station will send it again and again") from None
    _stop(link, answer["transactionId"], timestamp=moment(86401), meterStop=-5)


@case(
    CSMS,
    "v16-stop-unknown",
    section="1.6 4.10",
    expects="a CALLRESULT: a central system cannot prevent that a transaction stops",
    versions=_V16,
)
def stop_unknown(room: Room) -> None:
    """Stop a transaction that nobody has started."""
    _stop(room.link(), 2_000_000_011)


@case(CSMS, "v16-stop-again", section="1.6 4.10, 3.7.1", expects="a CALLRESULT to each", versions=_V16)
def stop_again(room: Room) -> None:
    """Stop a transaction twice."""
    link = room.link()
    answer = _start(link)
    _stop(link, answer["transactionId"])
    _stop(link, answer["transactionId"])


@case(
    CSMS,
    "v16-stop-without-reason",
    section="1.6 4.10; OCPP-J 1.6 errata 2.6",
    expects="a CALLRESULT: reason and tag are optional",
    versions=_V16,
)
def stop_without_reason(room: Room) -> None:
    """Stop a transaction without a reason, and without a tag."""
    link = room.link()
    answer = _start(link)
    _stop(link, answer["transactionId"], reason=..., idTag=...)


@case(CSMS, "v16-stop-data", section="1.6 4.10", expects="a CALLRESULT", versions=_V16)
def stop_data(room: Room) -> None:
    """Stop a transaction with meter values of its begin and its end."""
    link = room.link()
    answer = _start(link)
    contexts = ("Transaction.Begin", "Transaction.End")
    data = [{"timestamp": moment(), "sampledValue": [{"value": "1500", "context": each}]} for each in contexts]
    _stop(link, answer["transactionId"], transactionData=data)


@case(
    CSMS,
    "v16-stop-answer",
    section="1.6 4.10, 6.50",
    expects="no status in the answer, or a valid one",
    versions=_V16,
)
def stop_answer(room: Room) -> None:
    """Look at the answer to a StopTransaction without a tag."""
    link = room.link()
    answer = _stop(link, _start(link)["transactionId"], idTag=...)
    if answer.get("idTagInfo"):
        raise Doubtful("it has an idTagInfo, and no tag was sent")


@case(CSMS, "v16-meter-idle", section="1.6 4.7", expects="a CALLRESULT", versions=_V16)
def meter_idle(room: Room) -> None:
    """Send meter values outside of a transaction, of the whole charge point."""
    link = room.link()
    value = {"timestamp": moment(), "sampledValue": [{"value": "1200", "context": "Sample.Clock"}]}
    link.result("MeterValues", {"connectorId": 0, "meterValue": [value]})


@case(
    CSMS,
    "v16-meter-unknown",
    section="1.6 4.7",
    expects="a CALLRESULT: the answer to MeterValues has nothing in it",
    versions=_V16,
)
def meter_unknown(room: Room) -> None:
    """Send meter values of a transaction that nobody has started."""
    link = room.link()
    link.result("MeterValues", _meter_values(link, 2_000_000_012))


@case(CSMS, "v16-meter-measurands", section="1.6 7.31, 7.36", expects="a CALLRESULT", versions=_V16)
def meter_measurands(room: Room) -> None:
    """Send a value of each measurand."""
    link = room.link()
    kinds = [each.value for each in link.samples.dialect.load_type("Measurand")]
    values = [{"value": "1.5", "measurand": each, "format": "Raw", "context": "Sample.Periodic"} for each in kinds]
    link.result("MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": moment(), "sampledValue": values}]})


@case(CSMS, "v16-meter-many", section="1.6 4.7", expects="a CALLRESULT", versions=_V16)
def meter_many(room: Room) -> None:
    """Send 60 meter values in one message."""
    link = room.link()
    values = [{"timestamp": moment(-60 * each), "sampledValue": [{"value": str(5000 - each)}]} for each in range(60)]
    link.result("MeterValues", {"connectorId": 1, "meterValue": values})


@case(CSMS, "v16-status-error", section="1.6 4.9, 7.6", expects="a CALLRESULT to each", versions=_V16)
def status_error(room: Room) -> None:
    """Send each error code of a connector."""
    link = room.link()
    for each in link.samples.dialect.load_type("ChargePointErrorCode"):
        fields = {"errorCode": each.value, "vendorErrorCode": "E 17", "info": "a test", "timestamp": moment()}
        link.result("StatusNotification", link.samples.of("StatusNotification", **fields))
