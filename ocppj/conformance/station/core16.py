"""Commands of OCPP 1.6: configuration, availability, remote control, triggers, reservations, the local list."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Sequence

from ..cases import STATION, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .commands import command
from .room import Room, check_status, fields

__all__ = ["configuration_of", "later"]

V16 = ("1.6",)
_E2 = "1.6 edition 2, section"
#: The keys of the Core profile that a station must have (1.6 edition 2, section 9.1).
_REQUIRED = (
    "AuthorizeRemoteTxRequests",
    "ClockAlignedDataInterval",
    "ConnectionTimeOut",
    "ConnectorPhaseRotation",
    "GetConfigurationMaxKeys",
    "HeartbeatInterval",
    "LocalAuthorizeOffline",
    "LocalPreAuthorize",
    "MeterValuesAlignedData",
    "MeterValuesSampledData",
    "MeterValueSampleInterval",
    "NumberOfConnectors",
    "ResetRetries",
    "StopTransactionOnEVSideDisconnect",
    "StopTransactionOnInvalidId",
    "StopTxnAlignedData",
    "StopTxnSampledData",
    "SupportedFeatureProfiles",
    "TransactionMessageAttempts",
    "TransactionMessageRetryInterval",
    "UnlockConnectorOnEVSideDisconnect",
)
_BOOLEANS = ("AuthorizeRemoteTxRequests", "LocalAuthorizeOffline", "LocalPreAuthorize", "StopTransactionOnInvalidId")
_NUMBERS = ("ConnectionTimeOut", "HeartbeatInterval", "MeterValueSampleInterval", "NumberOfConnectors", "ResetRetries")
_READ_ONLY = ("GetConfigurationMaxKeys", "NumberOfConnectors", "SupportedFeatureProfiles")


def later(hours: float = 1.0) -> str:
    """Return a time that is so many hours from now, as it is written in messages."""
    moment = datetime.now(timezone.utc) + timedelta(hours=hours)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _case(
    id: str, title: str, section: str, expects: str, needs: str = "", seconds: float = 30
) -> Callable[[Body], Body]:
    section = f"{_E2} {section}"
    return case(STATION, id, title, section=section, expects=expects, versions=V16, needs=needs, seconds=seconds)


# Configuration


def configuration_of(room: Room) -> Dict[str, Dict[str, Any]]:
    """Return all keys of the configuration with their entries."""
    if room.session.configuration is None:
        answer = room.ask_for("GetConfiguration")
        entries = answer.get("configurationKey") or []
        room.session.configuration = {str(each.get("key")): each for each in entries if isinstance(each, dict)}
    return room.session.configuration


def value_of(room: Room, key: str) -> str:
    """Return the value of a key. "": there is none."""
    return str(configuration_of(room).get(key, {}).get("value") or "")


@_case("config-all", "GetConfiguration without keys", "5.8", "all keys are returned, with their values")
def config_all(room: Room) -> None:
    if not configuration_of(room):
        raise Failed("no key is returned")


@_case("config-required", "the keys that each station has", "9.1", "the required keys of the Core profile are there")
def config_required(room: Room) -> None:
    missing = [key for key in _REQUIRED if key not in configuration_of(room)]
    if missing:
        raise Failed(f"these keys are missing: {', '.join(missing)}")


@_case("config-values", "the form of values", "9.1", "booleans are true or false, numbers are whole")
def config_values(room: Room) -> None:
    for key in _BOOLEANS:
        value = value_of(room, key)
        if value and value.lower() not in ("true", "false"):
            raise Failed(f"{key} is {value!r}")
    for key in _NUMBERS:
        value = value_of(room, key)
        if value and not value.lstrip("-").isdigit():
            raise Failed(f"{key} is {value!r}")


@_case("config-read-only", "the keys that are read-only", "9.1", "NumberOfConnectors and the like are read-only")
def config_read_only(room: Room) -> None:
    for key in _READ_ONLY:
        entry = configuration_of(room).get(key)
        if entry is not None and entry.get("readonly") is not True:
            raise Failed(f"{key} is not read-only")


@_case(
    "config-known",
    "GetConfiguration with one known key",
    "5.8",
    "that key is returned, and no other",
)
def config_known(room: Room) -> None:
    answer = room.ask_for("GetConfiguration", {"key": ["HeartbeatInterval"]})
    keys = [each.get("key") for each in answer.get("configurationKey") or []]
    if keys != ["HeartbeatInterval"] or answer.get("unknownKey"):
        raise Failed(f"the keys are {keys}, and the unknown keys are {answer.get('unknownKey')}")


@_case(
    "config-unknown",
    "GetConfiguration with an unknown key",
    "5.8",
    "the key is in unknownKey, and not in configurationKey",
)
def config_unknown(room: Room) -> None:
    answer = room.ask_for("GetConfiguration", {"key": ["CheckUnknownKey"]})
    if answer.get("configurationKey") or answer.get("unknownKey") != ["CheckUnknownKey"]:
        raise Failed(f"the keys are {answer.get('configurationKey')}, the unknown keys {answer.get('unknownKey')}")


@_case("config-mixed", "GetConfiguration with a known and an unknown key", "5.8", "each is in its list")
def config_mixed(room: Room) -> None:
    answer = room.ask_for("GetConfiguration", {"key": ["NumberOfConnectors", "CheckUnknownKey"]})
    keys = [each.get("key") for each in answer.get("configurationKey") or []]
    if keys != ["NumberOfConnectors"] or answer.get("unknownKey") != ["CheckUnknownKey"]:
        raise Failed(f"the keys are {keys}, and the unknown keys are {answer.get('unknownKey')}")


@_case(
    "config-secret",
    "the password cannot be read",
    "5.8; 1.6 security whitepaper, section 7: AuthorizationKey",
    "AuthorizationKey is not there, or has no value",
)
def config_secret(room: Room) -> None:
    answer = room.ask_for("GetConfiguration", {"key": ["AuthorizationKey"]})
    for each in answer.get("configurationKey") or []:
        if each.get("value"):
            raise Failed("the value of AuthorizationKey is returned")


@_case(
    "config-same",
    "a key is set to the value that it has",
    "5.3",
    "the status Accepted or RebootRequired",
)
def config_same(room: Room) -> None:
    value = value_of(room, "ConnectionTimeOut")
    if not value:
        raise NotApplicable("ConnectionTimeOut has no value")
    answer = room.ask("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": value})
    check_status(answer, ["Accepted", "RebootRequired"])


@_case(
    "config-change",
    "a key is changed, and put back",
    "5.3 and 5.8",
    "GetConfiguration returns the new value, and after that the old one",
    "allow-changes",
)
def config_change(room: Room) -> None:
    key = "MeterValueSampleInterval"
    before = value_of(room, key)
    if not before.isdigit():
        raise NotApplicable(f"{key} has no value")
    after = "61" if before != "61" else "62"
    try:
        answer = room.ask("ChangeConfiguration", {"key": key, "value": after})
        if fields(answer).get("status") == "RebootRequired":
            raise NotApplicable("the change needs a reboot")
        check_status(answer, ["Accepted"], ["Rejected"])
        answered = room.ask_for("GetConfiguration", {"key": [key]}).get("configurationKey") or [{}]
        if answered[0].get("value") != after:
            raise Failed(f"the change was Accepted, and the value is {answered[0].get('value')!r}, not {after!r}")
    finally:
        room.ask("ChangeConfiguration", {"key": key, "value": before})


def _setting(id: str, title: str, key: str, value: str, good: str, odd: Sequence[str] = ()) -> None:
    @_case(f"config-set-{id}", title, "5.3", f"the status {good}")
    def run(room: Room) -> None:
        if good != "NotSupported" and key not in configuration_of(room):
            raise NotApplicable(f"the station has no key {key}")
        check_status(room.ask("ChangeConfiguration", {"key": key, "value": value}), [good], odd)


_setting("unknown", "ChangeConfiguration of an unknown key", "CheckUnknownKey", "1", "NotSupported", ["Rejected"])
_setting("read-only", "ChangeConfiguration of a read-only key", "NumberOfConnectors", "7", "Rejected")
_setting("text", "ChangeConfiguration of a number to a text", "HeartbeatInterval", "often", "Rejected")
_setting("negative", "ChangeConfiguration of an interval to -1", "HeartbeatInterval", "-1", "Rejected")
_setting("boolean", "ChangeConfiguration of a boolean to a word", "LocalPreAuthorize", "perhaps", "Rejected")

# Remote control


def _tag(room: Room, **more: Any) -> Dict[str, Any]:
    return {"idTag": room.settings.id_tag, **more}


command(
    "remote-start-unknown",
    "RemoteStartTransaction at a connector that there is not",
    "RemoteStartTransaction",
    lambda room: _tag(room, connectorId=99),
    ["Rejected"],
    error=True,
    section=f"{_E2} 5.11",
    versions=V16,
)
command(
    "remote-start-zero",
    "RemoteStartTransaction at connector 0",
    "RemoteStartTransaction",
    lambda room: _tag(room, connectorId=0),
    ["Rejected"],
    error=True,
    section=f"{_E2} 5.11; errata",
    versions=V16,
)
command(
    "remote-stop-unknown",
    "RemoteStopTransaction of a transaction that there is not",
    "RemoteStopTransaction",
    {"transactionId": 987654321},
    ["Rejected"],
    section=f"{_E2} 5.12",
    versions=V16,
)
command(
    "remote-unlock-unknown",
    "UnlockConnector of a connector that there is not",
    "UnlockConnector",
    {"connectorId": 99},
    ["NotSupported"],
    odd=["UnlockFailed"],
    error=True,
    section=f"{_E2} 5.18; errata 4, 3.87",
    versions=V16,
)
command(
    "remote-unlock",
    "UnlockConnector",
    "UnlockConnector",
    lambda room: {"connectorId": room.settings.connector},
    ["Unlocked", "UnlockFailed", "NotSupported"],
    section=f"{_E2} 5.18",
    versions=V16,
)
command(
    "remote-clear-cache",
    "ClearCache",
    "ClearCache",
    {},
    ["Accepted", "Rejected"],
    section=f"{_E2} 5.4",
    versions=V16,
)
command(
    "data-unknown-vendor",
    "DataTransfer of an unknown vendor",
    "DataTransfer",
    {"vendorId": "com.example.ocppj", "messageId": "check"},
    ["UnknownVendorId"],
    odd=["UnknownMessageId", "Rejected", "Accepted"],
    section=f"{_E2} 4.3 and 5.6",
    versions=V16,
)

# Availability

command(
    "availability-unknown",
    "ChangeAvailability of a connector that there is not",
    "ChangeAvailability",
    {"connectorId": 99, "type": "Operative"},
    ["Rejected"],
    error=True,
    section=f"{_E2} 5.2",
    versions=V16,
)
command(
    "availability-same",
    "ChangeAvailability to what it is already",
    "ChangeAvailability",
    lambda room: {"connectorId": room.settings.connector, "type": "Operative"},
    ["Accepted"],
    section=f"{_E2} 5.2",
    versions=V16,
)


def _availability(room: Room, connector: int) -> None:
    since = room.now()
    try:
        answer = room.ask("ChangeAvailability", {"connectorId": connector, "type": "Inoperative"})
        check_status(answer, ["Accepted"], ["Scheduled", "Rejected"])
        room.expect_call(
            "StatusNotification",
            "with the status Unavailable",
            since,
            where=lambda payload: payload.get("connectorId") == connector and payload.get("status") == "Unavailable",
        )
    finally:
        back = room.now()
        answer = room.ask("ChangeAvailability", {"connectorId": connector, "type": "Operative"})
    check_status(answer, ["Accepted"])
    room.expect_call(
        "StatusNotification",
        "with another status than Unavailable",
        back,
        where=lambda payload: payload.get("connectorId") == connector and payload.get("status") != "Unavailable",
    )


@_case(
    "availability-connector",
    "a connector is made inoperative, and operative again",
    "5.2 and 4.9",
    "Accepted, and a StatusNotification, both times",
)
def availability_connector(room: Room) -> None:
    _availability(room, room.settings.connector)


@_case(
    "availability-station",
    "the whole station is made inoperative, and operative again",
    "5.2 and 4.9",
    "Accepted, and a StatusNotification of connector 0, both times",
)
def availability_station(room: Room) -> None:
    _availability(room, 0)


@_case(
    "availability-no-start",
    "a remote start at an inoperative connector",
    "5.2 and 5.11",
    "the remote start is Rejected",
)
def availability_no_start(room: Room) -> None:
    connector = room.settings.connector
    answer = room.ask("ChangeAvailability", {"connectorId": connector, "type": "Inoperative"})
    try:
        if fields(answer).get("status") != "Accepted":
            raise NotApplicable("the connector cannot be made inoperative")
        room.find_call("StatusNotification", within=room.settings.brief)
        started = room.ask("RemoteStartTransaction", _tag(room, connectorId=connector))
        check_status(started, ["Rejected"])
    finally:
        room.ask("ChangeAvailability", {"connectorId": connector, "type": "Operative"})


# Triggers


def _trigger_case(message: str, payload: Dict[str, Any]) -> None:
    @_case(
        f"trigger-{message.lower()}",
        f"TriggerMessage for {message}",
        "5.17",
        f"NotImplemented or Rejected; or Accepted, and then {message}",
    )
    def run(room: Room) -> None:
        more = {key: room.settings.connector if value is None else value for key, value in payload.items()}
        since = room.now()
        answer = room.ask("TriggerMessage", {"requestedMessage": message, **more})
        room.skip_unsupported(answer, "TriggerMessage")
        check_status(answer, ["Accepted", "NotImplemented", "Rejected"])
        if fields(answer).get("status") != "Accepted":
            room.pause(room.settings.quiet)
            if room.find_calls(message, since) and message != "Heartbeat":
                raise Doubtful(f"{message} came all the same")
            return
        call = room.expect_call(message, "after TriggerMessage was Accepted", since)
        if call.number < answer.number:
            raise Doubtful(f"{message} came before the answer to TriggerMessage")
        if "connectorId" in more and fields(call).get("connectorId") != more["connectorId"]:
            raise Failed(f"{message} is about connector {fields(call).get('connectorId')}")


for _message, _more in (
    ("BootNotification", {}),
    ("DiagnosticsStatusNotification", {}),
    ("FirmwareStatusNotification", {}),
    ("Heartbeat", {}),
    ("MeterValues", {"connectorId": None}),
    ("StatusNotification", {"connectorId": None}),
):
    _trigger_case(_message, _more)


@_case(
    "trigger-all-connectors",
    "TriggerMessage for StatusNotification of all connectors",
    "5.17",
    "a StatusNotification comes for connector 0 and for each other one",
)
def trigger_all(room: Room) -> None:
    since = room.now()
    answer = room.ask_for("TriggerMessage", {"requestedMessage": "StatusNotification"})
    if answer.get("status") != "Accepted":
        raise NotApplicable(f"TriggerMessage is answered {answer.get('status')!r}")
    count = value_of(room, "NumberOfConnectors")
    expected = set(range(int(count) + 1)) if count.isdigit() else {0, 1}

    def came() -> set:  # type: ignore[type-arg]
        return {fields(each).get("connectorId") for each in room.find_calls("StatusNotification", since)}

    room.wait(lambda: came() >= expected)
    if not came() >= expected:
        raise Failed(f"these connectors are missing: {sorted(expected - came())}")


command(
    "trigger-unknown-connector",
    "TriggerMessage for a connector that there is not",
    "TriggerMessage",
    {"requestedMessage": "StatusNotification", "connectorId": 99},
    ["Rejected"],
    odd=["Accepted", "NotImplemented"],
    error=True,
    section=f"{_E2} 5.17",
    versions=V16,
)

# Reservations

command(
    "reservation-cancel-unknown",
    "CancelReservation of a reservation that there is not",
    "CancelReservation",
    {"reservationId": 987654},
    ["Rejected"],
    section=f"{_E2} 5.1",
    versions=V16,
)
command(
    "reservation-unknown",
    "ReserveNow of a connector that there is not",
    "ReserveNow",
    lambda room: _tag(room, connectorId=99, expiryDate=later(), reservationId=987655),
    ["Rejected"],
    odd=["Unavailable"],
    error=True,
    section=f"{_E2} 5.13",
    versions=V16,
)


@_case(
    "reservation",
    "a connector is reserved, and the reservation is cancelled",
    "5.1, 5.13 and 4.9",
    "Accepted and the status Reserved; Accepted and the status Available",
)
def reservation(room: Room) -> None:
    connector, since = room.settings.connector, room.now()
    payload = _tag(room, connectorId=connector, expiryDate=later(), reservationId=987656)
    answer = room.ask_for("ReserveNow", payload)
    if answer.get("status") != "Accepted":
        raise NotApplicable(f"ReserveNow is answered {answer.get('status')!r}")
    try:
        _expect_status(room, connector, "Reserved", since)
        other = room.ask("RemoteStartTransaction", {"idTag": "OTHER", "connectorId": connector})
        if fields(other).get("status") == "Accepted":
            raise Doubtful("a remote start with another id is Accepted there")
    finally:
        since = room.now()
        cancelled = room.ask("CancelReservation", {"reservationId": 987656})
    check_status(cancelled, ["Accepted"])
    _expect_status(room, connector, "Available", since)


def _expect_status(room: Room, connector: int, status: str, since: int) -> None:
    room.expect_call(
        "StatusNotification",
        f"with the status {status}",
        since,
        where=lambda payload: payload.get("connectorId") == connector and payload.get("status") == status,
    )


# The local list


@_case("list-version", "GetLocalListVersion", "5.10", "a version: -1, 0 or more")
def list_version(room: Room) -> None:
    version = room.ask_for("GetLocalListVersion").get("listVersion")
    if not isinstance(version, int) or version < -1:
        raise Failed(f"the version is {version!r}")


def _send_list(room: Room, version: int, kind: str, *tags: str) -> str:
    entries = [{"idTag": tag, "idTagInfo": {"status": "Accepted"}} for tag in tags]
    payload = {"listVersion": version, "updateType": kind, "localAuthorizationList": entries}
    return str(room.ask_for("SendLocalList", payload).get("status"))


@_case(
    "list-update",
    "a list is sent, extended and emptied",
    "5.10 and 5.15",
    "Accepted each time, and GetLocalListVersion returns the version that was sent last",
    "allow-changes",
)
def list_update(room: Room) -> None:
    status = _send_list(room, 7001, "Full", "CHECK1", "CHECK2")
    if status in ("NotSupported", "Failed"):
        raise NotApplicable(f"SendLocalList is answered {status}")
    try:
        _check_list(room, status, 7001)
        _check_list(room, _send_list(room, 7002, "Differential", "CHECK3"), 7002)
    finally:
        last = _send_list(room, 7003, "Full")
    if last != "Accepted":
        raise Failed(f"an empty list is answered {last}")


def _check_list(room: Room, status: str, version: int) -> None:
    if status != "Accepted":
        raise Failed(f"the list is answered {status}")
    found = room.ask_for("GetLocalListVersion").get("listVersion")
    if found != version:
        raise Failed(f"GetLocalListVersion returns {found}, not {version}")


@_case(
    "list-old-version",
    "a change of the list with a version that is too low",
    "3.5.2 and 5.15",
    "the status VersionMismatch",
    "allow-changes",
)
def list_old_version(room: Room) -> None:
    status = _send_list(room, 7100, "Full", "CHECK1")
    if status != "Accepted":
        raise NotApplicable(f"SendLocalList is answered {status}")
    try:
        status = _send_list(room, 7099, "Differential", "CHECK2")
    finally:
        _send_list(room, 7101, "Full")
    if status != "VersionMismatch":
        raise Doubtful(f"it is answered {status}")
