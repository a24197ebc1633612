"""Smart charging, diagnostics and certificates of OCPP 1.6."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from ..cases import STATION, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .commands import command
from .core16 import V16, configuration_of, value_of
from .room import Room, check_status, fields

__all__: List[str] = []

_E2 = "1.6 edition 2, section"
_SWP = "1.6 security whitepaper, "
_ID = 987001  # of our charging profiles


def _case(id: str, title: str, section: str, expects: str, needs: str = "") -> Callable[[Body], Body]:
    return case(STATION, id, title, section=f"{_E2} {section}", expects=expects, versions=V16, needs=needs, seconds=30)


def _profile(number: int = 0, purpose: str = "TxDefaultProfile", level: int = 0, limit: float = 10.0) -> Dict[str, Any]:
    return {
        "chargingProfileId": _ID + number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "duration": 86400,
            "startSchedule": "2026-01-01T00:00:00Z",
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
        },
    }


def _relative(number: int = 0, level: int = 0, limit: float = 10.0) -> Dict[str, Any]:
    """Return a profile whose schedule begins when it begins to be used, and does not end."""
    profile = _profile(number, level=level, limit=limit)
    profile["chargingProfileKind"] = "Relative"
    schedule = profile["chargingSchedule"]
    del schedule["startSchedule"], schedule["duration"]
    return profile


def _set(room: Room, profile: Dict[str, Any], connector: Optional[int] = None) -> Any:
    place = room.settings.connector if connector is None else connector
    answer = room.ask("SetChargingProfile", {"connectorId": place, "csChargingProfiles": profile})
    room.skip_unsupported(answer, "SetChargingProfile")
    return answer


def _clear(room: Room, number: int = 0) -> Any:
    return room.ask("ClearChargingProfile", {"id": _ID + number})


@_case("charging-set", "a default profile is set, and cleared", "5.16 and 5.5", "Accepted, both times")
def charging_set(room: Room) -> None:
    check_status(_set(room, _relative()), ["Accepted"], ["NotSupported"])
    check_status(_clear(room), ["Accepted"])


@_case(
    "charging-decimals",
    "a limit with a decimal place",
    "7.14 and 5.16",
    "Accepted",
)
def charging_decimals(room: Room) -> None:
    try:
        check_status(_set(room, _relative(limit=16.1)), ["Accepted"], ["NotSupported"])
    finally:
        _clear(room)


@_case("charging-clear-unknown", "ClearChargingProfile of a profile that there is not", "5.5", "the status Unknown")
def clear_unknown(room: Room) -> None:
    answer = room.ask("ClearChargingProfile", {"id": _ID + 99})
    room.skip_unsupported(answer, "ClearChargingProfile")
    check_status(answer, ["Unknown"])


@_case(
    "charging-stack-level",
    "a stack level above ChargeProfileMaxStackLevel",
    "9.4.1 and 5.16",
    "Rejected, or an error about the payload",
)
def stack_level(room: Room) -> None:
    most = value_of(room, "ChargeProfileMaxStackLevel")
    if not most.isdigit():
        raise NotApplicable("there is no key ChargeProfileMaxStackLevel")
    answer = _set(room, _relative(level=int(most) + 1))
    if answer.kind == "ERROR":
        return
    if fields(answer).get("status") == "Accepted":
        _clear(room)
    check_status(answer, ["Rejected"])


@_case(
    "charging-tx-profile",
    "a TxProfile without a transaction",
    "5.16.4",
    "Rejected",
)
def tx_profile(room: Room) -> None:
    profile = _relative()
    profile["chargingProfilePurpose"] = "TxProfile"
    answer = _set(room, profile)
    if fields(answer).get("status") == "Accepted":
        _clear(room)
    check_status(answer, ["Rejected"], ["NotSupported"])


@_case(
    "charging-max-place",
    "a ChargePointMaxProfile at a connector other than 0",
    "3.13.1",
    "Rejected, or an error about the payload",
)
def max_place(room: Room) -> None:
    answer = _set(room, _profile(purpose="ChargePointMaxProfile"))
    if answer.kind == "ERROR":
        return
    if fields(answer).get("status") == "Accepted":
        _clear(room)
    check_status(answer, ["Rejected"], ["NotSupported"])


@_case(
    "charging-unknown-connector",
    "a profile for a connector that there is not",
    "5.16; errata 4, 3.39",
    "an error about the payload, or Rejected",
)
def unknown_connector(room: Room) -> None:
    answer = _set(room, _relative(), 99)
    if answer.kind == "ERROR":
        return
    if fields(answer).get("status") == "Accepted":
        _clear(room)
    check_status(answer, ["Rejected"])


def _composite(room: Room, connector: int) -> Dict[str, Any]:
    payload = {"connectorId": connector, "duration": 600, "chargingRateUnit": "A"}
    return room.ask_for("GetCompositeSchedule", payload)


@_case(
    "charging-composite",
    "the composite schedule while a default profile is set",
    "5.7",
    "no limit is above that of the profile",
)
def composite(room: Room) -> None:
    _check_composite(room, [_relative(0, 0, 9.0)], 9.0)


@_case(
    "charging-composite-levels",
    "the composite schedule of two stack levels",
    "3.13.2 and 5.7",
    "the profile of the higher level counts",
)
def composite_levels(room: Room) -> None:
    most = value_of(room, "ChargeProfileMaxStackLevel")
    if most.isdigit() and int(most) < 1:
        raise NotApplicable("the station has one stack level")
    _check_composite(room, [_relative(0, 0, 14.0), _relative(1, 1, 8.0)], 8.0)


def _check_composite(room: Room, profiles: List[Dict[str, Any]], most: float) -> None:
    try:
        for profile in profiles:
            if fields(_set(room, profile)).get("status") != "Accepted":
                raise NotApplicable("the profile was not Accepted")
        answer = _composite(room, room.settings.connector)
        if answer.get("status") != "Accepted":
            raise NotApplicable(f"GetCompositeSchedule is answered {answer.get('status')!r}")
        periods = (answer.get("chargingSchedule") or {}).get("chargingSchedulePeriod") or []
        limits = [each.get("limit") for each in periods]
        if not limits:
            raise Doubtful("the schedule has no periods")
        if any(limit > most for limit in limits):
            raise Failed(f"the limits are {limits}: not at most {most:g}")
    finally:
        for number in range(len(profiles)):
            _clear(room, number)


@_case(
    "charging-composite-unknown",
    "GetCompositeSchedule of a connector that there is not",
    "5.7",
    "Rejected, or an error about the payload",
)
def composite_unknown(room: Room) -> None:
    answer = room.ask("GetCompositeSchedule", {"connectorId": 99, "duration": 600})
    room.skip_unsupported(answer, "GetCompositeSchedule")
    if answer.kind == "RESULT":
        check_status(answer, ["Rejected"])


# Files


@_case(
    "files-diagnostics",
    "GetDiagnostics to an address that nobody answers",
    "5.9 and 4.4",
    "an answer, and then DiagnosticsStatusNotification: Uploading or UploadFailed",
    "allow-changes",
)
def diagnostics(room: Room) -> None:
    since = room.now()
    room.ask_for("GetDiagnostics", {"location": "ftp://127.0.0.1:1/", "retries": 0})
    room.expect_call("DiagnosticsStatusNotification", "after GetDiagnostics", since)


@_case(
    "files-log",
    "GetLog to an address that nobody answers",
    f"5.9; {_SWP}N01",
    "an answer with a status; Accepted: then LogStatusNotification with the request's id",
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
            raise Failed(f"the request's id is {fields(call).get('requestId')!r}")


@_case(
    "config-profiles",
    "the feature profiles",
    "9.1.29",
    "SupportedFeatureProfiles names known profiles, Core among them",
)
def feature_profiles(room: Room) -> None:
    text = str(configuration_of(room).get("SupportedFeatureProfiles", {}).get("value") or "")
    names = {each.strip() for each in text.split(",") if each.strip()}
    if "Core" not in names:
        raise Failed(f"SupportedFeatureProfiles is {text!r}")
    known = {"Core", "FirmwareManagement", "LocalAuthListManagement", "Reservation", "SmartCharging", "RemoteTrigger"}
    if names - known:
        raise Doubtful(f"these are no profiles of 1.6: {', '.join(sorted(names - known))}")


# Certificates

_HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "0" * 64, "issuerKeyHash": "1" * 64, "serialNumber": "7"}

command(
    "certificates-list",
    "GetInstalledCertificateIds",
    "GetInstalledCertificateIds",
    {"certificateType": "CentralSystemRootCertificate"},
    ["Accepted", "NotFound"],
    section=f"{_SWP}M03",
    versions=V16,
)
command(
    "certificates-delete-unknown",
    "DeleteCertificate of a certificate that there is not",
    "DeleteCertificate",
    {"certificateHashData": _HASH},
    ["NotFound"],
    odd=["Failed"],
    section=f"{_SWP}M04.FR.02",
    versions=V16,
)
command(
    "certificates-install-bad",
    "InstallCertificate with a text that is no certificate",
    "InstallCertificate",
    {"certificateType": "CentralSystemRootCertificate", "certificate": "no certificate"},
    ["Rejected", "Failed"],
    section=f"{_SWP}M05",
    versions=V16,
)
command(
    "certificates-signed-bad",
    "CertificateSigned with a text that is no certificate",
    "CertificateSigned",
    {"certificateChain": "no certificate"},
    ["Rejected"],
    section=f"{_SWP}A02.FR.07",
    versions=V16,
)
command(
    "trigger-extended",
    "ExtendedTriggerMessage for Heartbeat",
    "ExtendedTriggerMessage",
    {"requestedMessage": "Heartbeat"},
    ["Accepted", "Rejected", "NotImplemented"],
    section=f"{_SWP}section 5.5",
    versions=V16,
)
