"""Each other message that a station may send: it is served, or refused as the documents ask for."""

from __future__ import annotations

from typing import Tuple

from ..cases import CSMS, Body, case
from ..verdicts import Doubtful, NotApplicable
from .expect import check_error, check_served
from .peer import Room

_V16, _V2, _V21 = ("1.6",), ("2.0.1", "2.1"), ("2.1",)

#: The action, the versions, and the section.
_MESSAGES: Tuple[Tuple[str, Tuple[str, ...], str], ...] = (
    ("DiagnosticsStatusNotification", _V16, "1.6 4.4"),
    ("FirmwareStatusNotification", (*_V16, *_V2), "1.6 4.5; OCPP 2.x Part 2 L01"),
    ("SecurityEventNotification", _V16, "1.6 security whitepaper A04, 5.15"),
    ("LogStatusNotification", (*_V16, *_V2), "1.6 security whitepaper N01; OCPP 2.x Part 2 N01"),
    ("SignedFirmwareStatusNotification", _V16, "1.6 security whitepaper L01"),
    ("SignCertificate", (*_V16, *_V2), "1.6 security whitepaper A02; OCPP 2.x Part 2 A02"),
    ("ClearedChargingLimit", _V2, "OCPP 2.x Part 2 K13"),
    ("NotifyChargingLimit", _V2, "OCPP 2.x Part 2 K11, K12"),
    ("NotifyCustomerInformation", _V2, "OCPP 2.x Part 2 N09"),
    ("NotifyDisplayMessages", _V2, "OCPP 2.x Part 2 O03"),
    ("NotifyEVChargingNeeds", _V2, "OCPP 2.x Part 2 K15"),
    ("NotifyEVChargingSchedule", _V2, "OCPP 2.x Part 2 K15"),
    ("NotifyMonitoringReport", _V2, "OCPP 2.x Part 2 N02"),
    ("NotifyReport", _V2, "OCPP 2.x Part 2 B07, B08"),
    ("PublishFirmwareStatusNotification", _V2, "OCPP 2.x Part 2 L03"),
    ("ReportChargingProfiles", _V2, "OCPP 2.x Part 2 K09"),
    ("ReservationStatusUpdate", _V2, "OCPP 2.x Part 2 H03, H04"),
    ("Get15118EVCertificate", _V2, "OCPP 2.x Part 2 M01"),
    ("BatterySwap", _V21, "OCPP 2.1 Part 2 S01, S02, S04"),
    ("NotifyDERAlarm", _V21, "OCPP 2.1 Part 2 R05"),
    ("NotifyDERStartStop", _V21, "OCPP 2.1 Part 2 R04"),
    ("NotifyPriorityCharging", _V21, "OCPP 2.1 Part 2 K21, K22"),
    ("NotifySettlement", _V21, "OCPP 2.1 Part 2 C21, C22"),
    ("OpenPeriodicEventStream", _V21, "OCPP 2.1 Part 2 N11"),
    ("ClosePeriodicEventStream", _V21, "OCPP 2.1 Part 2 N13"),
    ("PullDynamicScheduleUpdate", _V21, "OCPP 2.1 Part 2 K28"),
    ("ReportDERControl", _V21, "OCPP 2.1 Part 2 R04"),
    ("VatNumberValidation", _V21, "OCPP 2.1 Part 2 C18"),
    ("GetCertificateChainStatus", _V21, "OCPP 2.1 Part 2 M07"),
)


def _sender(action: str) -> Body:
    def send(room: Room) -> None:
        link = room.link()
        answer = link.call(action)
        if answer.code in ("NotImplemented", "NotSupported"):
            raise NotApplicable(f"the central system does not serve {action}: {answer.code}")
        if answer.kind == "ERROR":  # it may miss what the message belongs to, such as the request for a report
            check_error(link, answer)
            raise Doubtful(f"it was answered with {answer}: {answer.description}")
        check_served(link, answer)

    return send


for _action, _versions, _section in _MESSAGES:
    case(
        CSMS,
        f"message-{_action}",
        f"Send {'an' if _action[0] in 'AEIO' else 'a'} {_action}",
        section=_section,
        expects="a CALLRESULT that fits its schema. NotImplemented or NotSupported: it is not applicable",
        versions=_versions,
    )(_sender(_action))
