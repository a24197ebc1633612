"""Commands of OCPP 2.x: variables, reports, monitoring, availability, remote control, triggers, reservations, lists."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ...testing.seen import Seen
from ..cases import STATION, V2, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .commands import command
from .core16 import later
from .room import Room, check_status, fields

__all__ = ["P2", "token"]

P2 = "2.x Part 2, "
#: Variables that each station must have (2.0.1 Part 2, referenced components and variables: required).
_REQUIRED = (
    ("OCPPCommCtrlr", "HeartbeatInterval", None),
    ("OCPPCommCtrlr", "MessageTimeout", "Default"),
    ("OCPPCommCtrlr", "NetworkConfigurationPriority", None),
    ("OCPPCommCtrlr", "NetworkProfileConnectionAttempts", None),
    ("OCPPCommCtrlr", "OfflineThreshold", None),
    ("OCPPCommCtrlr", "ResetRetries", None),
    ("OCPPCommCtrlr", "MessageAttempts", "TransactionEvent"),
    ("OCPPCommCtrlr", "MessageAttemptInterval", "TransactionEvent"),
    ("OCPPCommCtrlr", "UnlockOnEVSideDisconnect", None),
    ("AuthCtrlr", "AuthorizeRemoteStart", None),
    ("AuthCtrlr", "LocalAuthorizeOffline", None),
    ("AuthCtrlr", "LocalPreAuthorize", None),
    ("ClockCtrlr", "DateTime", None),
    ("ClockCtrlr", "TimeSource", None),
    ("DeviceDataCtrlr", "ItemsPerMessage", "GetReport"),
    ("DeviceDataCtrlr", "ItemsPerMessage", "GetVariables"),
    ("SecurityCtrlr", "OrganizationName", None),
    ("SecurityCtrlr", "SecurityProfile", None),
    ("SampledDataCtrlr", "TxUpdatedInterval", None),
    ("SampledDataCtrlr", "TxUpdatedMeasurands", None),
    ("TxCtrlr", "EVConnectionTimeOut", None),
    ("TxCtrlr", "StopTxOnInvalidId", None),
    ("TxCtrlr", "TxStartPoint", None),
    ("TxCtrlr", "TxStopPoint", None),
)


def _case(
    id: str,
    title: str,
    section: str,
    expects: str,
    needs: str = "",
    versions: Sequence[str] = V2,
    seconds: float = 30,
) -> Callable[[Body], Body]:
    section = f"{P2}{section}"
    return case(STATION, id, title, section=section, expects=expects, versions=versions, needs=needs, seconds=seconds)


def token(room: Room) -> Dict[str, str]:
    """Return the id token that is used."""
    return {"idToken": room.settings.id_tag, "type": "ISO14443"}


def _data(component: str, variable: str, instance: Optional[str] = None, **more: Any) -> Dict[str, Any]:
    named = {"name": variable} if instance is None else {"name": variable, "instance": instance}
    return {"component": {"name": component}, "variable": named, **more}


_HEARTBEAT = _data("OCPPCommCtrlr", "HeartbeatInterval")

# Variables


def _get(room: Room, *wanted: Dict[str, Any]) -> List[Dict[str, Any]]:
    results = room.ask_for("GetVariables", {"getVariableData": list(wanted)}).get("getVariableResult") or []
    if len(results) != len(wanted):
        raise Failed(f"{len(wanted)} variables were asked for, and {len(results)} results came")
    return results


def _set(room: Room, *wanted: Dict[str, Any]) -> List[Dict[str, Any]]:
    results = room.ask_for("SetVariables", {"setVariableData": list(wanted)}).get("setVariableResult") or []
    if len(results) != len(wanted):
        raise Failed(f"{len(wanted)} variables were to be set, and {len(results)} results came")
    return results


def _check(result: Dict[str, Any], *good: str, odd: Tuple[str, ...] = ()) -> None:
    status = result.get("attributeStatus")
    if status in good:
        return
    text = f"the status is {status!r}, not {' or '.join(good)}"
    raise Doubtful(text) if status in odd else Failed(text)


@_case("variables-known", "a known variable is read", "B06.FR.10, FR.11", "Accepted, the type Actual, and a value")
def known(room: Room) -> None:
    result = _get(room, _HEARTBEAT)[0]
    _check(result, "Accepted")
    if result.get("attributeType", "Actual") != "Actual":
        raise Failed(f"the type is {result.get('attributeType')!r}")
    if "attributeType" not in result:
        raise Doubtful("the result has no attributeType: B06.FR.11 asks for Actual")
    if not str(result.get("attributeValue") or "").isdigit():
        raise Failed(f"the value is {result.get('attributeValue')!r}")


@_case("variables-required", "the variables that each station has", "chapter 2 (referenced variables)", "all are known")
def required(room: Room) -> None:
    missing = []
    for each in _REQUIRED:  # one at a time: ItemsPerMessage may be 1
        status = _get(room, _data(*each))[0].get("attributeStatus")
        if status in ("UnknownComponent", "UnknownVariable"):
            missing.append(".".join(part for part in each if part))
    if missing:
        raise Failed(f"these are unknown: {', '.join(missing)}")


@_case("variables-unknown-component", "an unknown component is read", "B06.FR.06", "UnknownComponent, without a value")
def unknown_component(room: Room) -> None:
    result = _get(room, _data("CheckCtrlr", "HeartbeatInterval"))[0]
    _check(result, "UnknownComponent")
    if "attributeValue" in result:
        raise Failed("the result has a value")


@_case("variables-unknown-variable", "an unknown variable is read", "B06.FR.07", "UnknownVariable, without a value")
def unknown_variable(room: Room) -> None:
    result = _get(room, _data("OCPPCommCtrlr", "CheckVariable"))[0]
    _check(result, "UnknownVariable")
    if "attributeValue" in result:
        raise Failed("the result has a value")


@_case("variables-type", "an attribute that the variable has not", "B06.FR.03, FR.08", "NotSupportedAttributeType")
def attribute_type(room: Room) -> None:
    result = _get(room, {**_HEARTBEAT, "attributeType": "MaxSet"})[0]
    _check(result, "NotSupportedAttributeType", odd=("Accepted",))
    if result.get("attributeType") != "MaxSet":
        raise Failed(f"the type of the result is {result.get('attributeType')!r}")


@_case("variables-several", "three variables in one request", "B06.FR.01, FR.02", "three results, one for each")
def several(room: Room) -> None:
    limit = str(_get(room, _data("DeviceDataCtrlr", "ItemsPerMessage", "GetVariables"))[0].get("attributeValue") or "")
    if limit.isdigit() and int(limit) < 3:
        raise NotApplicable(f"the station takes {limit} variables in one request")
    wanted = [_HEARTBEAT, _data("CheckCtrlr", "A"), _data("OCPPCommCtrlr", "OfflineThreshold")]
    results = _get(room, *wanted)
    names = [(each.get("variable") or {}).get("name") for each in results]
    if sorted(map(str, names)) != ["A", "HeartbeatInterval", "OfflineThreshold"]:
        raise Failed(f"the results are about {names}")


@_case("variables-secret", "the password cannot be read", "B06.FR.09; A01", "Rejected, without a value")
def secret(room: Room) -> None:
    result = _get(room, _data("SecurityCtrlr", "BasicAuthPassword"))[0]
    if result.get("attributeValue"):
        raise Failed("the password is returned")
    _check(result, "Rejected", "UnknownVariable", "UnknownComponent")


def _setting(id: str, title: str, section: str, one: Dict[str, Any], good: str) -> None:
    @_case(f"variables-set-{id}", title, section, f"the status {good}")
    def run(room: Room) -> None:
        if good == "Rejected" and str(_get(room, one)[0].get("attributeStatus")).startswith("Unknown"):
            raise NotApplicable(f"the station has no variable {one['variable']['name']}")
        _check(_set(room, {**one, "attributeValue": "often"})[0], good)


_UNKNOWN, _LIMIT = _data("OCPPCommCtrlr", "CheckVariable"), _data("DeviceDataCtrlr", "ItemsPerMessage", "GetReport")
_setting("unknown-component", "an unknown component is set", "B05.FR.04", _data("CheckCtrlr", "A"), "UnknownComponent")
_setting("unknown-variable", "an unknown variable is set", "B05.FR.05", _UNKNOWN, "UnknownVariable")
_setting("read-only", "a read-only variable is set", "B05.FR.09", _LIMIT, "Rejected")
_setting("text", "a number is set to a text", "B05.FR.07", _HEARTBEAT, "Rejected")


@_case("variables-set-range", "a number is set out of its range", "B05.FR.08", "Rejected")
def set_range(room: Room) -> None:
    _check(_set(room, {**_HEARTBEAT, "attributeValue": "-1"})[0], "Rejected")


@_case("variables-set-type", "an attribute that the variable has not is set", "B05.FR.06", "NotSupportedAttributeType")
def set_type(room: Room) -> None:
    wanted = {**_HEARTBEAT, "attributeType": "MaxSet", "attributeValue": "300"}
    _check(_set(room, wanted)[0], "NotSupportedAttributeType", odd=("Rejected",))


@_case("variables-set-same", "a variable is set to its value", "B05.FR.10, FR.12", "Accepted, with the type Actual")
def set_same(room: Room) -> None:
    variable = _data("OCPPCommCtrlr", "OfflineThreshold")
    value = _get(room, variable)[0].get("attributeValue")
    if not value:
        raise NotApplicable("OfflineThreshold has no value")
    result = _set(room, {**variable, "attributeValue": value})[0]
    _check(result, "Accepted", "RebootRequired", odd=("Rejected",))
    if result.get("attributeType") != "Actual":
        raise Doubtful(f"the type of the result is {result.get('attributeType')!r}: B05.FR.12 asks for Actual")


@_case(
    "variables-set",
    "a variable is changed, and put back",
    "B05.FR.10; B06.FR.10",
    "the new value is read",
    "allow-changes",
)
def set_and_back(room: Room) -> None:
    variable = _data("OCPPCommCtrlr", "OfflineThreshold")
    before = str(_get(room, variable)[0].get("attributeValue") or "")
    if not before.isdigit():
        raise NotApplicable("OfflineThreshold has no value")
    after = str(int(before) + 1)
    try:
        result = _set(room, {**variable, "attributeValue": after})[0]
        if result.get("attributeStatus") == "RebootRequired":
            raise NotApplicable("the change needs a reboot")
        _check(result, "Accepted", odd=("Rejected",))
        found = _get(room, variable)[0].get("attributeValue")
        if found != after:
            raise Failed(f"the change was Accepted, and the value is {found!r}, not {after!r}")
    finally:
        _set(room, {**variable, "attributeValue": before})


# Reports


def _report(room: Room, action: str, payload: Dict[str, Any], notify: str) -> List[Dict[str, Any]]:
    """Ask for a report, and return its parts."""
    since = room.now()
    answer = room.ask(action, payload)
    room.skip_unsupported(answer, action)
    if fields(answer).get("status") == "Rejected":
        raise NotApplicable(f"{action} is Rejected")
    check_status(answer, ["Accepted"])
    number = payload["requestId"]

    def parts() -> List[Seen]:
        return [each for each in room.find_calls(notify, since) if fields(each).get("requestId") == number]

    def is_whole() -> bool:
        return any(not fields(each).get("tbc") for each in parts())

    if not room.wait(is_whole, room.settings.answer * 2):
        raise Failed(f"no last {notify} came with the id of the request: {len(parts())} came")
    numbers = [fields(each).get("seqNo") for each in parts()]
    if numbers != list(range(len(numbers))):
        raise Failed(f"the sequence numbers are {numbers}, not 0, 1, ...")
    return [fields(each) for each in parts()]


_numbers = itertools.count(987001)  # of requests for reports


def _variables_of(parts: List[Dict[str, Any]]) -> List[Tuple[str, str]]:
    data = [each for part in parts for each in part.get("reportData") or []]
    return [(each["component"]["name"], each["variable"]["name"]) for each in data]


@_case(
    "report-configuration",
    "GetBaseReport: ConfigurationInventory",
    "B07.FR.01 to FR.07, FR.10, FR.12",
    "Accepted, and NotifyReport with the id of the request, numbered from 0; the last has no tbc",
)
def configuration_inventory(room: Room) -> None:
    payload = {"requestId": next(_numbers), "reportBase": "ConfigurationInventory"}
    found = _variables_of(_report(room, "GetBaseReport", payload, "NotifyReport"))
    if ("OCPPCommCtrlr", "HeartbeatInterval") not in found:
        raise Failed("HeartbeatInterval, which can be set, is not in the report")


@_case(
    "report-full",
    "GetBaseReport: FullInventory",
    "B07.FR.08, FR.12",
    "a report with the required variables, each with characteristics and attributes",
    seconds=60,
)
def full_inventory(room: Room) -> None:
    payload = {"requestId": next(_numbers), "reportBase": "FullInventory"}
    parts = _report(room, "GetBaseReport", payload, "NotifyReport")
    found = set(_variables_of(parts))
    missing = [f"{one}.{two}" for one, two, _ in _REQUIRED if (one, two) not in found]
    if missing:
        raise Failed(f"these variables are not in the report: {', '.join(sorted(set(missing)))}")
    bare = [each for part in parts for each in part.get("reportData") or [] if not each.get("variableCharacteristics")]
    if bare:
        raise Doubtful(f"{len(bare)} variables have no characteristics")


@_case(
    "report-summary",
    "GetBaseReport: SummaryInventory",
    "B07.FR.02, FR.09",
    "NotSupported, or a report with AvailabilityState",
)
def summary_inventory(room: Room) -> None:
    payload = {"requestId": next(_numbers), "reportBase": "SummaryInventory"}
    answer = room.ask("GetBaseReport", payload)
    if fields(answer).get("status") == "NotSupported":
        return
    room.pause(room.settings.quiet)
    found = _variables_of(_report(room, "GetBaseReport", {**payload, "requestId": next(_numbers)}, "NotifyReport"))
    if not any(variable == "AvailabilityState" for _, variable in found):
        raise Failed("AvailabilityState is not in the report")


@_case(
    "report-variable",
    "GetReport of one variable",
    "B08.FR.01, FR.03 to FR.05, FR.11",
    "a report that has that variable, and no other",
)
def report_variable(room: Room) -> None:
    payload = {"requestId": next(_numbers), "componentVariable": [_HEARTBEAT]}
    found = _variables_of(_report(room, "GetReport", payload, "NotifyReport"))
    if found != [("OCPPCommCtrlr", "HeartbeatInterval")]:
        raise Failed(f"the report has {found}")


@_case("report-empty", "GetReport of an unknown component", "B08.FR.15", "EmptyResultSet, and no NotifyReport")
def report_empty(room: Room) -> None:
    payload = {"requestId": next(_numbers), "componentVariable": [{"component": {"name": "CheckCtrlr"}}]}
    since = room.now()
    answer = room.ask("GetReport", payload)
    room.skip_unsupported(answer, "GetReport")
    check_status(answer, ["EmptyResultSet"], ["Rejected", "NotSupported"])
    room.pause(room.settings.quiet)
    if room.find_calls("NotifyReport", since):
        raise Failed("NotifyReport came")


# Monitoring


@_case(
    "monitoring-set",
    "a monitor is set, reported and cleared",
    "N02, N04 and N06",
    "Accepted with an id, NotifyMonitoringReport with that id, Accepted",
)
def monitor(room: Room) -> None:
    where = {"component": {"name": "EVSE", "evse": {"id": room.settings.connector}}}
    data = {**where, "variable": {"name": "AvailabilityState"}, "type": "Delta", "severity": 8, "value": 1}
    results = room.ask_for("SetVariableMonitoring", {"setMonitoringData": [data]}).get("setMonitoringResult") or [{}]
    if results[0].get("status") != "Accepted":
        raise NotApplicable(f"SetVariableMonitoring is answered {results[0].get('status')!r}")
    number = results[0].get("id")
    try:
        if not isinstance(number, int):
            raise Failed("the result has no id")
        parts = _report(room, "GetMonitoringReport", {"requestId": next(_numbers)}, "NotifyMonitoringReport")
        entries = [each for part in parts for each in part.get("monitor") or []]
        ids = [each.get("id") for entry in entries for each in entry.get("variableMonitoring") or []]
        if number not in ids:
            raise Failed(f"the report has the monitors {ids}, and not {number}")
    finally:
        cleared = room.ask_for("ClearVariableMonitoring", {"id": [number]}).get("clearMonitoringResult") or [{}]
    if cleared[0].get("status") != "Accepted":
        raise Failed(f"ClearVariableMonitoring is answered {cleared[0].get('status')!r}")


@_case("monitoring-clear-unknown", "a monitor that there is not is cleared", "N06", "NotFound")
def clear_unknown(room: Room) -> None:
    results = room.ask_for("ClearVariableMonitoring", {"id": [987654]}).get("clearMonitoringResult") or [{}]
    if results[0].get("status") != "NotFound":
        raise Failed(f"the status is {results[0].get('status')!r}")


@_case("monitoring-unknown", "a monitor on an unknown component", "N04", "UnknownComponent")
def monitor_unknown(room: Room) -> None:
    data = {**_data("CheckCtrlr", "A"), "type": "Delta", "severity": 8, "value": 1}
    results = room.ask_for("SetVariableMonitoring", {"setMonitoringData": [data]}).get("setMonitoringResult") or [{}]
    if results[0].get("status") != "UnknownComponent":
        raise Failed(f"the status is {results[0].get('status')!r}")


# Availability


def _availability(room: Room, more: Dict[str, Any]) -> None:
    since = room.now()
    try:
        answer = room.ask("ChangeAvailability", {"operationalStatus": "Inoperative", **more})
        check_status(answer, ["Accepted"], ["Scheduled", "Rejected"])
        _expect_state(room, "Unavailable", since)
    finally:
        back = room.now()
        answer = room.ask("ChangeAvailability", {"operationalStatus": "Operative", **more})
    check_status(answer, ["Accepted"])
    _expect_state(room, "Available", back)


def _expect_state(room: Room, state: str, since: int) -> None:
    """Wait for the state of the connector: by StatusNotification, or by NotifyEvent."""

    def find() -> bool:
        return any(_tells(each, state, room.settings.connector) for each in room.find_calls(since=since))

    if not room.wait(find):
        raise Failed(f"neither StatusNotification nor NotifyEvent told that the connector is {state}")


def _tells(call: Seen, state: str, evse: int) -> bool:
    payload = fields(call)
    if call.action == "StatusNotification":
        return payload.get("connectorStatus") == state and payload.get("evseId") == evse
    events = payload.get("eventData") or [] if call.action == "NotifyEvent" else []
    return any(each.get("actualValue") == state for each in events)


@_case(
    "availability-evse",
    "an EVSE is made inoperative, and operative again",
    "G03.FR.01, FR.04, FR.07",
    "Accepted, and the state of its connector, both times",
)
def availability_evse(room: Room) -> None:
    _availability(room, {"evse": {"id": room.settings.connector}})


@_case(
    "availability-station-2",
    "the whole station is made inoperative, and operative again",
    "G04.FR.01, FR.05, FR.08",
    "Accepted, and the states of its connectors, both times",
)
def availability_station(room: Room) -> None:
    _availability(room, {})


command(
    "availability-same-evse",
    "ChangeAvailability to what it is already",
    "ChangeAvailability",
    lambda room: {"operationalStatus": "Operative", "evse": {"id": room.settings.connector}},
    ["Accepted"],
    section=f"{P2}G03.FR.03",
    versions=V2,
)
command(
    "availability-unknown-evse",
    "ChangeAvailability of an EVSE that there is not",
    "ChangeAvailability",
    {"operationalStatus": "Operative", "evse": {"id": 99}},
    ["Rejected"],
    error=True,
    section=f"{P2}G03.FR.02",
    versions=V2,
)

# Remote control

command(
    "remote-start-unknown-evse",
    "RequestStartTransaction at an EVSE that there is not",
    "RequestStartTransaction",
    lambda room: {"idToken": token(room), "remoteStartId": 7, "evseId": 99},
    ["Rejected"],
    error=True,
    section=f"{P2}F01 and F02",
    versions=V2,
)
command(
    "remote-stop-unknown-transaction",
    "RequestStopTransaction of a transaction that there is not",
    "RequestStopTransaction",
    {"transactionId": "ocppj-check-none"},
    ["Rejected"],
    section=f"{P2}F03.FR.08",
    versions=V2,
)
command(
    "remote-unlock-unknown-connector",
    "UnlockConnector of a connector that there is not",
    "UnlockConnector",
    {"evseId": 99, "connectorId": 1},
    ["UnknownConnector"],
    section=f"{P2}F05.FR.03",
    versions=V2,
)
command(
    "remote-unlock-connector",
    "UnlockConnector",
    "UnlockConnector",
    lambda room: {"evseId": room.settings.connector, "connectorId": 1},
    ["Unlocked", "UnlockFailed"],
    section=f"{P2}F05.FR.04, FR.05",
    versions=V2,
)
command(
    "remote-clear-auth-cache",
    "ClearCache",
    "ClearCache",
    {},
    ["Accepted", "Rejected"],
    section=f"{P2}C11",
    versions=V2,
)
command(
    "data-unknown-vendor-2",
    "DataTransfer of an unknown vendor",
    "DataTransfer",
    {"vendorId": "com.example.ocppj", "messageId": "check"},
    ["UnknownVendorId"],
    odd=["UnknownMessageId", "Rejected", "Accepted"],
    section=f"{P2}P01",
    versions=V2,
)


@_case(
    "tx-status-unknown",
    "GetTransactionStatus of a transaction that there is not",
    "E14.FR.01",
    "ongoingIndicator is false, and messagesInQueue is false",
)
def transaction_status(room: Room) -> None:
    answer = room.ask_for("GetTransactionStatus", {"transactionId": "ocppj-check-none"})
    if answer.get("ongoingIndicator") is not False or answer.get("messagesInQueue") is not False:
        raise Failed(f"the answer is {answer}")


@_case(
    "tx-status-none",
    "GetTransactionStatus without a transaction",
    "E14.FR.06, FR.08",
    "there is no ongoingIndicator, and messagesInQueue is false",
)
def transaction_status_none(room: Room) -> None:
    answer = room.ask_for("GetTransactionStatus")
    if "ongoingIndicator" in answer:
        raise Failed(f"the answer is {answer}")
    if answer.get("messagesInQueue") is not False:
        raise Doubtful("messagesInQueue is true: there may be messages in the queue")


# Triggers


def _trigger_case(message: str, evse: bool = False, connector: bool = False) -> None:
    @_case(
        f"trigger-{message.lower()}-2",
        f"TriggerMessage for {message}",
        "F06.FR.04, FR.05, FR.08, FR.10",
        f"NotImplemented or Rejected; or Accepted, and then {message}",
    )
    def run(room: Room) -> None:
        place = {"id": room.settings.connector, **({"connectorId": 1} if connector else {})}
        more = {"evse": place} if evse else {}
        since = room.now()
        answer = room.ask("TriggerMessage", {"requestedMessage": message, **more})
        room.skip_unsupported(answer, "TriggerMessage")
        check_status(answer, ["Accepted", "NotImplemented", "Rejected"])
        if fields(answer).get("status") != "Accepted":
            return
        call = room.expect_call(message, "after TriggerMessage was Accepted", since)
        if call.number < answer.number:
            raise Doubtful(f"{message} came before the answer to TriggerMessage")
        if connector and fields(call).get("evseId") != room.settings.connector:
            raise Failed(f"{message} is about EVSE {fields(call).get('evseId')}")


for _name, _evse, _connector in (
    ("FirmwareStatusNotification", False, False),
    ("Heartbeat", False, False),
    ("LogStatusNotification", False, False),
    ("MeterValues", True, False),
    ("StatusNotification", True, True),
    ("TransactionEvent", True, False),
):
    _trigger_case(_name, _evse, _connector)

command(
    "trigger-boot-accepted",
    "TriggerMessage for BootNotification when the boot is accepted",
    "TriggerMessage",
    {"requestedMessage": "BootNotification"},
    ["Rejected"],
    odd=["Accepted", "NotImplemented"],
    section=f"{P2}F06.FR.17",
    versions=V2,
)
command(
    "trigger-unknown-evse",
    "TriggerMessage for an EVSE that there is not",
    "TriggerMessage",
    {"requestedMessage": "StatusNotification", "evse": {"id": 99, "connectorId": 1}},
    ["Rejected"],
    odd=["Accepted", "NotImplemented"],
    error=True,
    section=f"{P2}F06.FR.05",
    versions=V2,
)

# Reservations

command(
    "reservation-cancel-none",
    "CancelReservation of a reservation that there is not",
    "CancelReservation",
    {"reservationId": 987654},
    ["Rejected"],
    section=f"{P2}H02.FR.01",
    versions=V2,
)


@_case(
    "reservation-evse",
    "an EVSE is reserved, and the reservation is cancelled",
    "H01.FR.03, FR.23; H02",
    "Accepted and the state Reserved; Accepted and the state Available",
)
def reservation(room: Room) -> None:
    since = room.now()
    payload = {"id": 987656, "expiryDateTime": later(), "idToken": token(room), "evseId": room.settings.connector}
    answer = room.ask_for("ReserveNow", payload)
    if answer.get("status") != "Accepted":
        raise NotApplicable(f"ReserveNow is answered {answer.get('status')!r}")
    try:
        _expect_state(room, "Reserved", since)
    finally:
        since = room.now()
        cancelled = room.ask("CancelReservation", {"reservationId": 987656})
    check_status(cancelled, ["Accepted"])
    _expect_state(room, "Available", since)


# The local list


@_case("list-version-2", "GetLocalListVersion", "D02.FR.01 to FR.03", "a version: 0 or more")
def list_version(room: Room) -> None:
    version = room.ask_for("GetLocalListVersion").get("versionNumber")
    if not isinstance(version, int) or version < 0:
        raise Failed(f"the version is {version!r}")


def _send_list(room: Room, version: int, kind: str, *tags: str) -> str:
    entries = [{"idToken": {"idToken": tag, "type": "ISO14443"}, "idTokenInfo": {"status": "Accepted"}} for tag in tags]
    payload = {"versionNumber": version, "updateType": kind, **({"localAuthorizationList": entries} if tags else {})}
    return str(room.ask_for("SendLocalList", payload).get("status"))


def _check_list(room: Room, status: str, version: int) -> None:
    if status != "Accepted":
        raise Failed(f"the list is answered {status}")
    found = room.ask_for("GetLocalListVersion").get("versionNumber")
    if found != version:
        raise Failed(f"GetLocalListVersion returns {found}, not {version}")


@_case(
    "list-update-2",
    "a list is sent, extended and emptied",
    "D01.FR.04, FR.15, FR.16; D02.FR.01",
    "Accepted each time, and GetLocalListVersion returns the version that was sent last",
    "allow-changes",
)
def list_update(room: Room) -> None:
    status = _send_list(room, 7001, "Full", "CHECK1", "CHECK2")
    if status == "Failed":
        raise NotApplicable("SendLocalList is answered Failed")
    try:
        _check_list(room, status, 7001)
        _check_list(room, _send_list(room, 7002, "Differential", "CHECK3"), 7002)
    finally:
        last = _send_list(room, 7003, "Full")
    if last != "Accepted":
        raise Failed(f"an empty list is answered {last}")


@_case(
    "list-old-version-2",
    "a change of the list with a version that is too low",
    "D01.FR.19",
    "VersionMismatch",
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
        raise Failed(f"it is answered {status}")
