"""Smart charging, customers, messages on the display, certificates, files and tariffs of OCPP 2.x."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence

from ...testing.seen import Seen
from ..cases import STATION, V2, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .commands import command
from .core2 import P2, token
from .room import Room, check_status, fields

__all__: List[str] = []

_ID = 987001


def _case(
    id: str, title: str, section: str, expects: str, needs: str = "", versions: Sequence[str] = V2
) -> Callable[[Body], Body]:
    return case(
        STATION, id, title, section=f"{P2}{section}", expects=expects, versions=versions, needs=needs, seconds=30
    )


def _profile(number: int = 0, limit: float = 10.0, level: int = 0, purpose: str = "TxDefaultProfile") -> Dict[str, Any]:
    periods = [{"startPeriod": 0, "limit": limit}]
    schedule = {"id": _ID + number, "chargingRateUnit": "A", "chargingSchedulePeriod": periods}
    return {
        "id": _ID + number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": [schedule],
    }


def _set(room: Room, profile: Dict[str, Any], evse: "int | None" = None) -> Seen:
    place = room.settings.connector if evse is None else evse
    answer = room.ask("SetChargingProfile", {"evseId": place, "chargingProfile": profile})
    room.skip_unsupported(answer, "SetChargingProfile")
    return answer


def _clear(room: Room, number: int = 0) -> Seen:
    return room.ask("ClearChargingProfile", {"chargingProfileId": _ID + number})


@_case("charging-set-2", "a default profile is set, and cleared", "K01; K10.FR.03", "Accepted, both times")
def charging_set(room: Room) -> None:
    check_status(_set(room, _profile()), ["Accepted"], ["Rejected"])
    check_status(_clear(room), ["Accepted"])


@_case("charging-decimals-2", "a limit with a decimal place", "K01; ChargingSchedulePeriodType", "Accepted")
def charging_decimals(room: Room) -> None:
    try:
        check_status(_set(room, _profile(limit=16.1)), ["Accepted"], ["Rejected"])
    finally:
        _clear(room)


@_case("charging-clear-unknown-2", "a profile that there is not is cleared", "K10.FR.01", "Unknown")
def clear_unknown(room: Room) -> None:
    answer = _clear(room, 99)
    room.skip_unsupported(answer, "ClearChargingProfile")
    check_status(answer, ["Unknown"])


def _rejected(room: Room, answer: Seen) -> None:
    """See that a profile was refused, by a status or by an error."""
    if answer.kind == "ERROR":
        return
    if fields(answer).get("status") == "Accepted":
        _clear(room)
    check_status(answer, ["Rejected"])


@_case("charging-tx-profile-2", "a TxProfile without a transaction", "K01.FR.09", "Rejected")
def tx_profile(room: Room) -> None:
    profile = {**_profile(purpose="TxProfile"), "transactionId": "ocppj-check-none"}
    _rejected(room, _set(room, profile))


@_case("charging-unknown-evse", "a profile for an EVSE that there is not", "K01.FR.28", "Rejected, or an error")
def unknown_evse(room: Room) -> None:
    _rejected(room, _set(room, _profile(), 99))


@_case(
    "charging-max-place-2",
    "a ChargingStationMaxProfile at an EVSE",
    "K01.FR.22, K01.FR.38",
    "Rejected, or an error",
)
def max_place(room: Room) -> None:
    _rejected(room, _set(room, _profile(purpose="ChargingStationMaxProfile")))


@_case(
    "charging-get",
    "the profiles are reported",
    "K09.FR.01, FR.02, FR.04",
    "Accepted, and ReportChargingProfiles with the id of the request and the profile",
)
def charging_get(room: Room) -> None:
    if fields(_set(room, _profile())).get("status") != "Accepted":
        raise NotApplicable("the profile was not Accepted")
    try:
        since = room.now()
        payload = {"requestId": 987020, "chargingProfile": {"chargingProfileId": [_ID]}}
        answer = room.ask_for("GetChargingProfiles", payload)
        if answer.get("status") != "Accepted":
            raise Failed(f"GetChargingProfiles is answered {answer.get('status')!r}")
        call = room.expect_call("ReportChargingProfiles", "after GetChargingProfiles", since)
        report = fields(call)
        ids = [each.get("id") for each in report.get("chargingProfile") or []]
        if report.get("requestId") != 987020 or _ID not in ids:
            raise Failed(f"the report has the request id {report.get('requestId')} and the profiles {ids}")
    finally:
        _clear(room)


@_case("charging-get-none", "GetChargingProfiles of a profile that there is not", "K09", "NoProfiles")
def charging_get_none(room: Room) -> None:
    payload = {"requestId": 987021, "chargingProfile": {"chargingProfileId": [_ID + 99]}}
    answer = room.ask("GetChargingProfiles", payload)
    room.skip_unsupported(answer, "GetChargingProfiles")
    check_status(answer, ["NoProfiles"])


@_case(
    "charging-composite-2",
    "the composite schedule while a default profile is set",
    "K08.FR.02, FR.04, FR.06",
    "no limit is above that of the profile",
)
def composite(room: Room) -> None:
    _check_composite(room, [_profile(0, 9.0)], 9.0)


@_case(
    "charging-composite-levels-2",
    "the composite schedule of two stack levels",
    "K01.FR.27, K08.FR.02",
    "the profile of the higher level counts",
)
def composite_levels(room: Room) -> None:
    _check_composite(room, [_profile(0, 14.0), _profile(1, 8.0, 1)], 8.0)


def _check_composite(room: Room, profiles: List[Dict[str, Any]], most: float) -> None:
    try:
        for profile in profiles:
            if fields(_set(room, profile)).get("status") != "Accepted":
                raise NotApplicable("the profile was not Accepted")
        payload = {"evseId": room.settings.connector, "duration": 600, "chargingRateUnit": "A"}
        answer = room.ask_for("GetCompositeSchedule", payload)
        if answer.get("status") != "Accepted":
            raise NotApplicable(f"GetCompositeSchedule is answered {answer.get('status')!r}")
        periods = (answer.get("schedule") or {}).get("chargingSchedulePeriod") or []
        limits = [each.get("limit", 0.0) for each in periods]
        if not limits:
            raise Doubtful("the schedule has no periods")
        if any(limit > most for limit in limits):
            raise Failed(f"the limits are {limits}: not at most {most:g}")
    finally:
        for number in range(len(profiles)):
            _clear(room, number)


@_case("charging-composite-unknown-2", "GetCompositeSchedule of an unknown EVSE", "K08.FR.05", "Rejected")
def composite_unknown(room: Room) -> None:
    answer = room.ask("GetCompositeSchedule", {"evseId": 99, "duration": 600})
    room.skip_unsupported(answer, "GetCompositeSchedule")
    if answer.kind == "RESULT":
        check_status(answer, ["Rejected"])


# Customers and the display


@_case(
    "customer-information",
    "what is known of an id token",
    "N09.FR.01 to FR.06",
    "Accepted, and NotifyCustomerInformation with the id of the request",
)
def customer(room: Room) -> None:
    since = room.now()
    payload = {"requestId": 987030, "report": True, "clear": False, "idToken": token(room)}
    answer = room.ask_for("CustomerInformation", payload)
    if answer.get("status") != "Accepted":
        raise NotApplicable(f"CustomerInformation is answered {answer.get('status')!r}")
    call = room.expect_call("NotifyCustomerInformation", "after CustomerInformation", since)
    if fields(call).get("requestId") != 987030 or fields(call).get("seqNo") != 0:
        raise Failed(f"the first part is {fields(call)}")


command(
    "customer-nobody",
    "CustomerInformation about nobody",
    "CustomerInformation",
    {"requestId": 987031, "report": True, "clear": False},
    ["Invalid"],
    odd=["Rejected", "Accepted"],
    section=f"{P2}N09.FR.09",
    versions=V2,
)
command(
    "display-clear-unknown",
    "ClearDisplayMessage of a message that there is not",
    "ClearDisplayMessage",
    {"id": 987040},
    ["Unknown"],
    section=f"{P2}O05",
    versions=V2,
)
command(
    "display-get-unknown",
    "GetDisplayMessages of a message that there is not",
    "GetDisplayMessages",
    {"requestId": 987041, "id": [987040]},
    ["Unknown"],
    section=f"{P2}O03, O04",
    versions=V2,
)

# Certificates

_HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "0" * 64, "issuerKeyHash": "1" * 64, "serialNumber": "7"}

command(
    "certificates-list-2",
    "GetInstalledCertificateIds",
    "GetInstalledCertificateIds",
    {"certificateType": ["CSMSRootCertificate"]},
    ["Accepted", "NotFound"],
    section=f"{P2}M03",
    versions=V2,
)
command(
    "certificates-delete-unknown-2",
    "DeleteCertificate of a certificate that there is not",
    "DeleteCertificate",
    {"certificateHashData": _HASH},
    ["NotFound"],
    odd=["Failed"],
    section=f"{P2}M04.FR.02",
    versions=V2,
)
command(
    "certificates-install-bad-2",
    "InstallCertificate with a text that is no certificate",
    "InstallCertificate",
    {"certificateType": "CSMSRootCertificate", "certificate": "no certificate"},
    ["Rejected", "Failed"],
    section=f"{P2}M05",
    versions=V2,
)
command(
    "certificates-signed-bad-2",
    "CertificateSigned with a text that is no certificate",
    "CertificateSigned",
    {"certificateChain": "no certificate", "certificateType": "ChargingStationCertificate"},
    ["Rejected"],
    section=f"{P2}A02.FR.07",
    versions=V2,
)

# Files


@_case(
    "files-log-2",
    "GetLog to an address that nobody answers",
    "N01.FR.01 and following",
    "an answer with a status; Accepted: then LogStatusNotification with the id of the request",
    "allow-changes",
)
def log(room: Room) -> None:
    since = room.now()
    payload = {"logType": "DiagnosticsLog", "requestId": 987010, "log": {"remoteLocation": "ftp://127.0.0.1:1/"}}
    answer = room.ask("GetLog", payload)
    room.skip_unsupported(answer, "GetLog")
    check_status(answer, ["Accepted", "Rejected", "AcceptedCanceled"])
    if fields(answer).get("status") != "Rejected":
        call = room.expect_call("LogStatusNotification", "after GetLog", since)
        if fields(call).get("requestId") != 987010:
            raise Failed(f"the id of the request is {fields(call).get('requestId')!r}")


@_case(
    "files-unpublish-unknown",
    "UnpublishFirmware of a firmware that there is not",
    "L04",
    "NoFirmware",
)
def unpublish(room: Room) -> None:
    answer = room.ask("UnpublishFirmware", {"checksum": "0" * 32})
    room.skip_unsupported(answer, "UnpublishFirmware")
    check_status(answer, ["NoFirmware"])


# 2.1


@_case(
    "tariff-clear-unknown",
    "ClearTariffs of a tariff that there is not",
    "I08",
    "a result with NoTariff",
    versions=("2.1",),
)
def clear_tariff(room: Room) -> None:
    answer = room.ask_for("ClearTariffs", {"tariffIds": ["ocppj-check-none"]})
    results = answer.get("clearTariffsResult") or [{}]
    if results[0].get("status") != "NoTariff":
        raise Failed(f"the status is {results[0].get('status')!r}")


@_case("tariff-get", "GetTariffs", "I09", "Accepted or NoTariff", versions=("2.1",))
def get_tariffs(room: Room) -> None:
    answer = room.ask("GetTariffs", {"evseId": room.settings.connector})
    room.skip_unsupported(answer, "GetTariffs")
    check_status(answer, ["Accepted", "NoTariff"], ["Rejected"])


@_case(
    "der-get",
    "GetDERControl",
    "R04",
    "Accepted, NotFound or NotSupported",
    versions=("2.1",),
)
def der(room: Room) -> None:
    answer = room.ask("GetDERControl", {"requestId": 987050})
    room.skip_unsupported(answer, "GetDERControl")
    check_status(answer, ["Accepted", "NotFound", "NotSupported"], ["Rejected"])


@_case("streams-get", "GetPeriodicEventStream", "N12", "an answer", versions=("2.1",))
def streams(room: Room) -> None:
    room.ask_for("GetPeriodicEventStream")
