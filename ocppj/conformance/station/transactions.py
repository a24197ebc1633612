"""Transactions: what the station sends of them, and what it does when the connection or the answer is lost."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence

from ...errors import OCPPError
from ...testing.examples import dialect_of, example
from ...testing.replies import DROP
from ...testing.seen import Seen
from ..cases import ALL, STATION, V2, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .core16 import V16, value_of
from .room import Room, check_status, fields, told
from .trial import Trial, await_stop, events_of, shared_trial, stop_command, transaction

__all__: List[str] = []

_E2, _P2 = "1.6 edition 2, section", "2.x Part 2,"


def _case(
    id: str,
    title: str,
    section: str,
    expects: str,
    versions: Sequence[str] = ALL,
    needs: str = "",
    seconds: float = 90,
) -> Callable[[Body], Body]:
    return case(
        STATION,
        f"tx-{id}",
        title,
        section=section,
        expects=expects,
        versions=versions,
        needs=needs,
        seconds=seconds,
    )


def _first(trial: Trial, action: str) -> Dict[str, Any]:
    calls = trial.calls(action)
    if not calls:
        raise Failed(f"no {action} came")
    return fields(calls[0])


# 1.6: one transaction, judged by several cases


@_case(
    "start",
    "the StartTransaction after a remote start",
    f"{_E2} 4.8 and 5.11",
    "StartTransaction with the connector and the id of the remote start, and a meter value",
    V16,
)
def start(room: Room) -> None:
    payload = _first(shared_trial(room), "StartTransaction")
    if payload.get("connectorId") != room.settings.connector:
        raise Failed(f"the connector is {payload.get('connectorId')!r}")
    if payload.get("idTag") != room.settings.id_tag:
        raise Failed(f"the id is {payload.get('idTag')!r}, not {room.settings.id_tag!r}")
    if not isinstance(payload.get("meterStart"), int) or payload["meterStart"] < 0:
        raise Failed(f"meterStart is {payload.get('meterStart')!r}")


@_case(
    "authorize",
    "the authorization of a remote start",
    f"{_E2} 5.11 and 9.1.3",
    "with AuthorizeRemoteTxRequests an Authorize comes before StartTransaction, else none comes",
    V16,
)
def authorize(room: Room) -> None:
    trial = shared_trial(room)
    is_asked = value_of(room, "AuthorizeRemoteTxRequests").lower() == "true"
    came = bool(trial.calls("Authorize"))
    if came and not is_asked:
        raise Doubtful("Authorize came, although AuthorizeRemoteTxRequests is false")
    if is_asked and not came:
        raise Doubtful("no Authorize came: the id may be in the cache or in the local list")


@_case(
    "status",
    "the status of the connector during a transaction",
    f"{_E2} 4.9",
    "a StatusNotification with Charging, SuspendedEV or SuspendedEVSE comes",
    V16,
)
def status(room: Room) -> None:
    states = [fields(each).get("status") for each in shared_trial(room).calls("StatusNotification")]
    if not {"Charging", "SuspendedEV", "SuspendedEVSE"}.intersection(map(str, states)):
        raise Failed(f"the states are {states}")


@_case(
    "status-after",
    "the status of the connector after a transaction",
    f"{_E2} 4.9",
    "a StatusNotification with Finishing or Available comes",
    V16,
)
def status_after(room: Room) -> None:
    trial = shared_trial(room)
    stops = trial.calls("StopTransaction")
    later = [fields(each).get("status") for each in trial.calls("StatusNotification")]
    if not stops or not {"Finishing", "Available"}.intersection(map(str, later)):
        raise Failed(f"the states are {later}")


@_case(
    "meter-values",
    "the meter values of a transaction",
    f"{_E2} 4.7 and 5.17",
    "MeterValues with the id of the transaction",
    V16,
)
def meter_values(room: Room) -> None:
    trial = shared_trial(room)
    calls = [fields(each) for each in trial.calls("MeterValues")]
    if not calls:
        raise NotApplicable("no MeterValues came: see MeterValueSampleInterval")
    own = [each for each in calls if each.get("transactionId") == trial.transaction_id]
    if not own:
        raise Doubtful(f"no MeterValues has the id of the transaction, {trial.transaction_id}")
    if not any(value.get("sampledValue") for each in own for value in each.get("meterValue") or []):
        raise Failed("the meter values have no samples")


@_case(
    "stop",
    "the StopTransaction after a remote stop",
    f"{_E2} 4.10 and 5.12",
    "Accepted, and StopTransaction with the id, the reason Remote, and a meter value that is not lower",
    V16,
)
def stop(room: Room) -> None:
    trial = shared_trial(room)
    assert trial.stop_answer is not None
    check_status(trial.stop_answer, ["Accepted"])
    begun, ended = _first(trial, "StartTransaction"), _first(trial, "StopTransaction")
    if ended.get("transactionId") != trial.transaction_id:
        raise Failed(f"the id is {ended.get('transactionId')!r}, not {trial.transaction_id!r}")
    if ended.get("meterStop", 0) < begun.get("meterStart", 0):
        raise Failed(f"meterStop is {ended.get('meterStop')}, meterStart was {begun.get('meterStart')}")
    if ended.get("reason") != "Remote":
        raise Failed(f"the reason is {ended.get('reason')!r}")


@_case(
    "order",
    "nothing about a transaction comes after its end",
    f"{_E2} 3.7 and 4.10; {_P2} E06",
    "no MeterValues or TransactionEvent of the transaction comes after its end",
)
def order(room: Room) -> None:
    trial = shared_trial(room)
    if room.is_16:
        numbers = [each.number for each in trial.calls("StopTransaction")]
        late = [each for each in trial.calls("MeterValues") if "transactionId" in fields(each)]
    else:
        events = trial.calls("TransactionEvent")
        numbers = [each.number for each in events if fields(each).get("eventType") == "Ended"]
        late = [each for each in events if fields(each).get("eventType") != "Ended"]
    if any(numbers and each.number > numbers[0] for each in late):
        raise Failed("a message about the transaction came after its end")


@_case(
    "busy",
    "a remote start where a transaction is under way",
    f"{_E2} 5.11; {_P2} F01 and F02",
    "Rejected",
)
def busy(room: Room) -> None:
    check_status(_asked(room, "busy"), ["Rejected"])


def _asked(room: Room, name: str) -> Seen:
    answer = shared_trial(room).asked.get(name)
    if answer is None:
        raise NotApplicable("the transaction ended too early")
    room.skip_unsupported(answer, "the command")
    return answer


@_case(
    "availability",
    "ChangeAvailability to Inoperative during a transaction",
    f"{_E2} 5.2; {_P2} G03.FR.05",
    "Scheduled",
)
def availability(room: Room) -> None:
    check_status(_asked(room, "availability"), ["Scheduled"], ["Rejected"])


@_case(
    "profile",
    "a TxProfile for the transaction that is under way",
    f"{_E2} 5.16.3; {_P2} K01.FR.04",
    "Accepted",
)
def profile(room: Room) -> None:
    check_status(_asked(room, "profile"), ["Accepted"], ["Rejected", "NotSupported"])


@_case(
    "profile-other",
    "a TxProfile for another transaction",
    f"{_E2} 3.13.1; errata; {_P2} K01.FR.33",
    "Rejected",
)
def profile_other(room: Room) -> None:
    answer = _asked(room, "profile other")
    if answer.kind == "RESULT":
        check_status(answer, ["Rejected"], ["NotSupported", "Accepted"] if room.is_16 else [])


# 2.x: one transaction, judged by several cases


def _events(room: Room) -> List[Dict[str, Any]]:
    events = [fields(each) for each in shared_trial(room).calls("TransactionEvent")]
    if not events:
        raise Failed("no TransactionEvent came")
    return events


@_case(
    "started",
    "the first TransactionEvent",
    f"{_P2} E01, E02, F01 and F02",
    "the event type is Started, with a reason and a time",
    V2,
)
def started(room: Room) -> None:
    first = _events(room)[0]
    if first.get("eventType") != "Started":
        raise Failed(f"the first event is {first.get('eventType')!r}")


@_case(
    "remote-start-id",
    "the number of the remote start",
    f"{_P2} C05.FR.03 and F01.FR.25",
    "remoteStartId is in a TransactionEvent",
    V2,
)
def remote_start_id(room: Room) -> None:
    wanted = shared_trial(room).remote_start_id
    found = [(each.get("transactionInfo") or {}).get("remoteStartId") for each in _events(room)]
    if wanted not in found:
        raise Failed(f"the numbers are {found}, and not {wanted}")


@_case(
    "id-token",
    "the id token of the transaction",
    f"{_P2} E01.FR.10, F01.FR.04",
    "a TransactionEvent has the id token of the remote start",
    V2,
)
def id_token(room: Room) -> None:
    found = [(each.get("idToken") or {}).get("idToken") for each in _events(room)]
    if room.settings.id_tag not in found:
        raise Failed(f"the id tokens are {found}")


@_case("evse", "the EVSE of the transaction", f"{_P2} E01.FR.16", "a TransactionEvent has the EVSE and connector", V2)
def evse(room: Room) -> None:
    places = [each["evse"] for each in _events(room) if each.get("evse")]
    if not any(each.get("id") == room.settings.connector for each in places):
        raise Failed(f"the EVSEs are {places}")
    if not any(each.get("connectorId") for each in places):
        raise Doubtful("no event has the connector")


@_case(
    "seq-no",
    "the sequence numbers of a transaction",
    f"{_P2} E01.FR.07 and section 1.3.2 (sequence numbers)",
    "each event has a number that is one higher than that of the event before",
    V2,
)
def seq_no(room: Room) -> None:
    _check_numbers(shared_trial(room).calls("TransactionEvent"))


def _check_numbers(events: Sequence[Seen]) -> None:
    numbers: List[Any] = []
    for each in events:
        number = fields(each).get("seqNo")
        if not numbers or number != numbers[-1]:  # it may be sent again
            numbers.append(number)
    if not all(isinstance(each, int) for each in numbers):
        raise Failed(f"the numbers are {numbers}")
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise Failed(f"the numbers are {numbers}")


@_case(
    "times",
    "the times of a transaction",
    f"{_P2} E01; {_E2} 4.8 and 4.10",
    "no message is dated before the message before it",
)
def times(room: Room) -> None:
    trial = shared_trial(room)
    ends = ("StartTransaction", "StopTransaction")
    moments = [_first(trial, each) for each in ends] if room.is_16 else _events(room)
    texts = [str(each.get("timestamp")) for each in moments]
    if texts != sorted(texts) and len({len(each) for each in texts}) == 1:
        raise Failed(f"the times are {texts}")


@_case(
    "charging-state",
    "the state of the charging",
    f"{_P2} E01.FR.18",
    "a TransactionEvent says Charging, or why not",
    V2,
)
def charging_state(room: Room) -> None:
    found = [(each.get("transactionInfo") or {}).get("chargingState") for each in _events(room)]
    if not {"Charging", "SuspendedEV", "SuspendedEVSE"}.intersection(map(str, found)):
        raise Failed(f"the states are {found}")


@_case(
    "ended",
    "the last TransactionEvent after a remote stop",
    f"{_P2} F03.FR.03, FR.07",
    "Accepted, and Ended with the trigger RemoteStop and the reason Remote",
    V2,
)
def ended(room: Room) -> None:
    trial = shared_trial(room)
    assert trial.stop_answer is not None
    check_status(trial.stop_answer, ["Accepted"])
    last = [each for each in _events(room) if each.get("eventType") == "Ended"]
    if not last:
        raise Failed("no event has the type Ended")
    reason = (last[0].get("transactionInfo") or {}).get("stoppedReason")
    if reason != "Remote":
        raise Failed(f"stoppedReason is {reason!r}")
    reasons = [each.get("triggerReason") for each in _events(room)]
    if "RemoteStop" not in reasons:
        raise Failed(f"the triggers are {reasons}")


@_case(
    "trigger",
    "TriggerMessage for TransactionEvent during a transaction",
    f"{_P2} F06.FR.07",
    "Accepted, and TransactionEvent with the trigger Trigger and the state of the charging",
    V2,
)
def trigger(room: Room) -> None:
    answer = _asked(room, "trigger")
    if fields(answer).get("status") != "Accepted":
        raise NotApplicable(f"it is answered {fields(answer).get('status')!r}")
    found = [each for each in _events(room) if each.get("triggerReason") == "Trigger"]
    if not found:
        raise Failed("no event has the trigger Trigger")
    if not (found[0].get("transactionInfo") or {}).get("chargingState"):
        raise Failed("the event has no chargingState")


@_case(
    "unlock",
    "UnlockConnector during a transaction",
    f"{_P2} F05.FR.02",
    "OngoingAuthorizedTransaction",
    V2,
)
def unlock(room: Room) -> None:
    check_status(_asked(room, "unlock"), ["OngoingAuthorizedTransaction"])


@_case(
    "transaction-status",
    "GetTransactionStatus during a transaction, and after it",
    f"{_P2} E14.FR.02, FR.03",
    "ongoingIndicator is true, and then false",
    V2,
)
def transaction_status(room: Room) -> None:
    during, after = _asked(room, "status during"), _asked(room, "status after")
    if fields(during).get("ongoingIndicator") is not True:
        raise Failed(f"during the transaction the answer is {fields(during)}")
    if fields(after).get("ongoingIndicator") is not False:
        raise Failed(f"after it the answer is {fields(after)}")


# Transactions that meet with losses and errors


def _start_action(room: Room) -> str:
    return room.by_version("StartTransaction", "TransactionEvent")


def _again(room: Room, first: Seen, within: float) -> Seen:
    """Wait until a message is sent again, and compare."""
    action = str(first.action)
    again = room.find_call(action, first.number, within)
    if again is None:
        raise Failed(f"{action} was not sent again within {within:g} s")
    before, after = dict(fields(first)), dict(fields(again))
    for each in (before, after):
        each.pop("offline", None)  # a message that is kept becomes one of an offline time
    if before != after:
        raise Failed(f"what is sent again is different: {after}, not {before}")
    return again


def _once(reply: Any) -> Callable[[Any], Any]:
    """Return a reply for one CALL. Those after it are answered as usual."""
    left = [reply]
    return lambda request: left.pop() if left else None


def _resume(room: Room, trial: Trial) -> None:
    """Learn the id of a transaction whose StartTransaction was sent again."""
    if not room.is_16 or trial.transaction_id is not None:
        return

    def find() -> Optional[Any]:
        answers = [each for each in room.entries(trial.since) if each.direction == "out" and each.kind == "RESULT"]
        return next((fields(each) for each in answers if each.action == "StartTransaction"), None)

    trial.transaction_id = (room.wait(find) or {}).get("transactionId")


@_case(
    "start-resent",
    "the connection is cut before the begin of a transaction is answered",
    f"{_E2} 3.7; {_P2} E12 and E13; OCPP-J 1.6 errata 3.1",
    "the same message is sent again over the next connection",
)
def start_resent(room: Room) -> None:
    room.reply(_start_action(room), _once(DROP))
    with transaction(room) as trial:
        assert trial.start is not None
        room.await_return(trial.start.number)
        _again(room, trial.start, room.settings.answer * 2)
        _resume(room, trial)


@_case(
    "start-error",
    "the begin of a transaction is answered with an error",
    f"{_E2} 3.7.1, 9.1.31 and 9.1.32; {_P2} E13.FR.02, FR.03",
    "the same message is sent again after the interval that is configured",
)
def start_error(room: Room) -> None:
    seconds, restore = _retry_interval(room)
    try:
        room.reply(_start_action(room), _once(OCPPError("InternalError", "the check wants it again")))
        with transaction(room) as trial:
            assert trial.start is not None
            again = _again(room, trial.start, seconds + room.settings.answer)
            _resume(room, trial)
            if again.at - trial.start.at < seconds * 0.8:
                raise Doubtful(f"it came after {again.at - trial.start.at:.1f} s, the interval is {seconds} s")
    finally:
        restore()


def _retry_interval(room: Room) -> "tuple[float, Callable[[], object]]":
    """Return the interval of repetitions, which is made short if the user allows it, and what puts it back."""
    if room.is_16:
        answer = room.ask_for("GetConfiguration", {"key": ["TransactionMessageRetryInterval"]})
        text = str((answer.get("configurationKey") or [{}])[0].get("value") or "")
    else:
        data = {"component": {"name": "OCPPCommCtrlr"}}
        wanted = {**data, "variable": {"name": "MessageAttemptInterval", "instance": "TransactionEvent"}}
        answer = room.ask_for("GetVariables", {"getVariableData": [wanted]})
        text = str((answer.get("getVariableResult") or [{}])[0].get("attributeValue") or "")
    if not text.isdigit():
        raise NotApplicable("the interval of repetitions cannot be read")
    if "allow-changes" not in room.settings.allowed:
        if int(text) > 20:
            raise NotApplicable(f"the interval is {text} s: --allow-changes makes it short for the check")
        return float(text), lambda: None
    _set_interval(room, "1")
    return 1.0, lambda: _set_interval(room, text)


def _set_interval(room: Room, value: str) -> None:
    if room.is_16:
        room.ask("ChangeConfiguration", {"key": "TransactionMessageRetryInterval", "value": value})
        return
    variable = {"name": "MessageAttemptInterval", "instance": "TransactionEvent"}
    data = {"component": {"name": "OCPPCommCtrlr"}, "variable": variable, "attributeValue": value}
    room.ask("SetVariables", {"setVariableData": [data]})


@_case(
    "survives-cut",
    "the connection is cut during a transaction",
    f"{_E2} 3.7; {_P2} E11",
    "the transaction goes on: it is not begun anew, and the remote stop ends it",
)
def survives_cut(room: Room) -> None:
    with transaction(room) as trial:
        since = room.now()
        room.cut()
        room.await_return(since)
        room.pause(room.settings.quiet)
        ends = [each for each in room.find_calls(_start_action(room), since) if _begins_anew(room, each, trial)]
        if ends:
            raise Failed("the transaction was begun anew")
        answer = stop_command(room, trial)
        if fields(answer).get("status") != "Accepted":
            raise Failed(f"the remote stop is answered {fields(answer).get('status') or told(answer)!r}")
        if await_stop(room, trial) is None:
            raise Failed("the transaction was not ended after the remote stop")
        if not room.is_16:
            _check_numbers(events_of(room, trial))


def _begins_anew(room: Room, call: Seen, trial: Trial) -> bool:
    payload = fields(call)
    return room.is_16 or (
        payload.get("eventType") == "Started"
        and (payload.get("transactionInfo") or {}).get("transactionId") != trial.transaction_id
    )


@_case(
    "stop-resent",
    "the connection is cut before the end of a transaction is answered",
    f"{_E2} 3.7; {_P2} E12 and E13",
    "the same message is sent again over the next connection",
)
def stop_resent(room: Room) -> None:
    with transaction(room) as trial:
        since = room.now()
        room.reply(room.by_version("StopTransaction", "TransactionEvent"), _drop_the_end(room))
        stop_command(room, trial)
        first = await_stop(room, trial, since)
        if first is None:
            raise Failed("the transaction was not ended after the remote stop")
        room.await_return(first.number)
        _again(room, first, room.settings.answer * 2)


def _drop_the_end(room: Room) -> Callable[[Any], Any]:
    once = _once(DROP)

    def reply(request: Any) -> Any:
        is_end = room.is_16 or str(getattr(request.event_type, "value", request.event_type)) == "Ended"
        return once(request) if is_end else None

    return reply


@_case(
    "refused-id",
    "the id of a transaction is refused when it begins",
    f"{_E2} 4.8 and 9.1.24; {_P2} E05",
    "the transaction is ended with the reason DeAuthorized, or the charging stops",
)
def refused_id(room: Room) -> None:
    room.reply(_start_action(room), _refuse_id)
    with transaction(room) as trial:
        if room.is_16 and trial.transaction_id is None:
            _resume(room, trial)
        found = room.wait(lambda: _deauthorized(room, trial))
        if not found:
            raise Failed("the transaction goes on, and the charging does not stop")
        trial.is_over = found == "ended"


def _refuse_id(request: Any) -> Any:
    dialect = dialect_of(type(request))
    if dialect is None:
        return None
    if hasattr(request, "id_tag"):
        kind = dialect.load_type("StartTransactionResponse")
        return example(kind, transaction_id=4711, id_tag_info={"status": "Invalid"})
    if request.id_token is None:
        return None
    return example(dialect.load_type("TransactionEventResponse"), id_token_info={"status": "Invalid"})


def _deauthorized(room: Room, trial: Trial) -> str:
    """Return "ended", "stopped", or "" while nothing has happened."""
    if room.is_16:
        if room.find_calls("StopTransaction", trial.since):
            return "ended"
        states = [fields(each).get("status") for each in room.find_calls("StatusNotification", trial.since)]
        return "stopped" if "SuspendedEVSE" in states else ""
    for each in events_of(room, trial):
        payload = fields(each)
        if payload.get("eventType") == "Ended":
            return "ended"
        if payload.get("triggerReason") == "Deauthorized":
            return "stopped"
    return ""


@_case(
    "unlock-ends",
    "UnlockConnector during a transaction",
    f"{_E2} 5.18",
    "the transaction is ended before the connector is unlocked",
    V16,
)
def unlock_ends(room: Room) -> None:
    with transaction(room) as trial:
        answer = room.ask("UnlockConnector", {"connectorId": room.settings.connector})
        room.skip_unsupported(answer, "UnlockConnector")
        if fields(answer).get("status") != "Unlocked":
            raise NotApplicable(f"UnlockConnector is answered {fields(answer).get('status')!r}")
        if await_stop(room, trial) is None:
            raise Failed("the transaction was not ended")


# With somebody at the station


@_case(
    "local",
    "a driver begins and ends a transaction",
    f"{_E2} 4.1, 4.8 and 4.10; {_P2} C01, E02 and E07",
    "the messages of a transaction, with the id of the card",
)
def local(room: Room) -> None:
    since = room.now()
    if not room.prompt(f"plug in a vehicle at connector {room.settings.connector}, and present a card"):
        raise NotApplicable("somebody has to present a card: --interactive asks for it")
    first = room.find_call(_start_action(room), since, room.settings.wait)
    if first is None:
        raise Failed("no transaction began")
    room.prompt("present the card again, and unplug the vehicle")
    if room.is_16:
        ended_by = room.find_call("StopTransaction", since, room.settings.wait)
    else:
        ended_by = room.find_call(
            "TransactionEvent", since, room.settings.wait, lambda payload: payload.get("eventType") == "Ended"
        )
    if ended_by is None:
        raise Failed("the transaction was not ended")


@_case(
    "offline-end",
    "a transaction ends while there is no connection",
    f"{_E2} 3.7; {_P2} E08 and E11.FR.02",
    "its messages come when the connection is back, in their order; in 2.x with offline set",
)
def offline_end(room: Room) -> None:
    if room.settings.prompt is None:
        raise NotApplicable("somebody has to unplug the vehicle: --interactive asks for it")
    with transaction(room) as trial:
        since = room.now()
        room.link.door.plan(503, 1000)
        room.cut()
        room.prompt("unplug the vehicle: there is no connection now")
        room.link.door.open()
        room.await_return(since)
        last = await_stop(room, trial, since)
        if last is None:
            raise Failed("the end of the transaction did not come")
        if not room.is_16 and fields(last).get("offline") is not True:
            raise Failed("offline is not set")
        if not room.is_16:
            _check_numbers(events_of(room, trial))
