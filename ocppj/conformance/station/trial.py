"""`Trial`: a transaction that is begun and ended from here."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional

from ...testing.seen import Seen
from ..verdicts import Failed, NotApplicable, Told
from .room import Room, fields, told

__all__ = ["Trial", "begin", "events_of", "shared_trial", "stop_command", "transaction"]

_start_ids = itertools.count(9001)  # of remote starts


@dataclass
class Trial:
    """A transaction.

    Attributes:
        since: The number of the last entry before the command that began it.
        remote_start_id: The number of that command, in 2.x.
        transaction_id: Its id. ``None``: it has none yet.
        start: The first message about it.
        stop_answer: The answer to the command that ended it.
        is_over: Whether it was ended.
        asked: Answers to what was asked while it was under way, by a name.
        entries: All that was seen of it.
    """

    since: int
    remote_start_id: int = 0
    transaction_id: Any = None
    start: Optional[Seen] = None
    stop_answer: Optional[Seen] = None
    is_over: bool = False
    asked: Dict[str, Seen] = field(default_factory=dict)
    entries: List[Seen] = field(default_factory=list)

    def calls(self, action: str) -> List[Seen]:
        """Return its messages of that action."""
        return [each for each in self.entries if each.direction == "in" and each.action == action and each.is_request]


def begin(room: Room) -> Trial:
    """Begin a transaction by a remote start, and wait for its first message.

    Raises:
        NotApplicable: The station does not begin one.
    """
    if room.session.why_no_trial:
        raise NotApplicable(room.session.why_no_trial)
    trial = Trial(room.now(), next(_start_ids))
    try:
        _begin(room, trial)
    except NotApplicable as told_why:
        if room.session.trial is None:
            room.session.why_no_trial = str(told_why)
        raise
    return trial


def _begin(room: Room, trial: Trial) -> None:
    connector, tag = room.settings.connector, room.settings.id_tag
    action, payload = room.by_version(
        ("RemoteStartTransaction", {"idTag": tag, "connectorId": connector}),
        (
            "RequestStartTransaction",
            {
                "idToken": {"idToken": tag, "type": "ISO14443"},
                "remoteStartId": trial.remote_start_id,
                "evseId": connector,
            },
        ),
    )
    answer = room.ask(action, payload)
    room.skip_unsupported(answer, action)
    if fields(answer).get("status") != "Accepted":
        status = told(answer) if answer.kind == "ERROR" else fields(answer).get("status")
        raise NotApplicable(f"the remote start is answered {status!r}: plug in a vehicle, and begin anew")
    trial.start = _await_start(room, trial)
    if trial.start is None:
        raise NotApplicable("no transaction began: plug in a vehicle before the check; --interactive asks for it")
    if not room.is_16:
        trial.transaction_id = _transaction_of(trial.start)
        return
    answered = room.wait(lambda: _answer_to(room, trial.start), room.settings.answer)
    if answered is not None:
        trial.transaction_id = fields(answered).get("transactionId")


def _await_start(room: Room, trial: Trial) -> Optional[Seen]:
    action = room.by_version("StartTransaction", "TransactionEvent")
    found = room.find_call(action, trial.since)
    if found is None and room.prompt(f"plug in a vehicle at connector {room.settings.connector}"):
        found = room.find_call(action, trial.since, room.settings.wait)
    return found


def _answer_to(room: Room, call: Optional[Seen]) -> Optional[Seen]:
    if call is None:
        return None
    answers = [each for each in room.entries(call.number) if each.direction == "out" and each.kind == "RESULT"]
    return next((each for each in answers if each.message_id == call.message_id), None)


def stop_command(room: Room, trial: Trial) -> Seen:
    """Ask the station to end the transaction, and return the answer."""
    action = room.by_version("RemoteStopTransaction", "RequestStopTransaction")
    answer = room.ask(action, {"transactionId": trial.transaction_id})
    trial.stop_answer = answer
    return answer


def await_stop(room: Room, trial: Trial, since: Optional[int] = None) -> Optional[Seen]:
    """Wait for the last message about the transaction. ``None``: it has not come."""
    since = trial.since if since is None else since
    if room.is_16:
        wanted = trial.transaction_id
        found = room.find_call("StopTransaction", since, where=lambda payload: payload.get("transactionId") == wanted)
    else:
        found = room.find_call("TransactionEvent", since, where=lambda payload: payload.get("eventType") == "Ended")
    trial.is_over = trial.is_over or found is not None
    return found


def events_of(room: Room, trial: Trial) -> List[Seen]:
    """Return the TransactionEvents of the transaction (2.x), also those that were sent again."""
    events = room.find_calls("TransactionEvent", trial.since)
    return [each for each in events if _transaction_of(each) == trial.transaction_id]


def _transaction_of(event: Seen) -> Any:
    return (fields(event).get("transactionInfo") or {}).get("transactionId")


@contextmanager
def transaction(room: Room) -> Iterator[Trial]:
    """Run a block during a transaction, which is ended after it."""
    _await_free(room)
    trial = begin(room)
    try:
        yield trial
    finally:
        if not trial.is_over and trial.transaction_id is not None:
            try:
                stop_command(room, trial)
                await_stop(room, trial)
            except Told:
                pass  # the block has said what is wrong
        trial.entries = room.entries(trial.since)


def _await_free(room: Room) -> None:
    """Wait until the vehicle of an earlier transaction has left, if the station tells that."""
    earlier = room.session.trial
    if earlier is None:
        return

    def is_free() -> bool:
        states = [each for each in room.find_calls("StatusNotification", 0) if _place(each) == room.settings.connector]
        return not states or _state(states[-1]) in ("Available", "Preparing")

    room.wait(is_free)


def _place(call: Seen) -> Any:
    return fields(call).get("connectorId") if "status" in fields(call) else fields(call).get("evseId")


def _state(call: Seen) -> Any:
    return fields(call).get("status") or fields(call).get("connectorStatus")


def shared_trial(room: Room) -> Trial:
    """Return the transaction that several cases judge. The first of them runs it.

    Raises:
        NotApplicable: The station does not begin one.
        Failed: The station does not end it.
    """
    found: Optional[Trial] = room.session.trial
    if found is not None:
        room.show(found.entries)
        return found
    with transaction(room) as trial:
        room.session.trial = trial
        _await_charging(room, trial)
        _ask_during(room, trial)
        since = room.now()
        stop_command(room, trial)
        if await_stop(room, trial) is None:
            raise Failed("the transaction was not ended after the remote stop")
        _await_after(room, since)
    trial.asked["status after"] = _ask_status(room, trial)
    return trial


def _await_charging(room: Room, trial: Trial) -> None:
    if room.is_16:
        states = ("Charging", "SuspendedEV", "SuspendedEVSE")
        room.find_call(
            "StatusNotification", trial.since, room.settings.brief, lambda payload: payload.get("status") in states
        )
    else:
        room.find_call(
            "TransactionEvent",
            trial.since,
            room.settings.brief,
            lambda payload: (payload.get("transactionInfo") or {}).get("chargingState") == "Charging",
        )


def _ask_during(room: Room, trial: Trial) -> None:
    connector, tag = room.settings.connector, room.settings.id_tag
    asked = trial.asked
    if room.is_16:
        asked["busy"] = room.ask("RemoteStartTransaction", {"idTag": tag, "connectorId": connector})
        trigger: Dict[str, Any] = {"requestedMessage": "MeterValues", "connectorId": connector}
        change = {"connectorId": connector, "type": "Inoperative"}
        back = {"connectorId": connector, "type": "Operative"}
    else:
        token = {"idToken": tag, "type": "ISO14443"}
        asked["busy"] = room.ask("RequestStartTransaction", {"idToken": token, "remoteStartId": 9, "evseId": connector})
        asked["unlock"] = room.ask("UnlockConnector", {"evseId": connector, "connectorId": 1})
        trigger = {"requestedMessage": "TransactionEvent", "evse": {"id": connector}}
        change = {"evse": {"id": connector}, "operationalStatus": "Inoperative"}
        back = {"evse": {"id": connector}, "operationalStatus": "Operative"}
    asked["trigger"] = room.ask("TriggerMessage", trigger)
    if fields(asked["trigger"]).get("status") == "Accepted":
        room.find_call(str(trigger["requestedMessage"]), asked["trigger"].number - 1, room.settings.brief)
    asked["availability"] = room.ask("ChangeAvailability", change)
    room.ask("ChangeAvailability", back)
    asked["profile"] = _set_profile(room, trial.transaction_id)
    asked["profile other"] = _set_profile(room, 987654321 if room.is_16 else "ocppj-check-none")
    asked["status during"] = _ask_status(room, trial)


def _ask_status(room: Room, trial: Trial) -> Seen:
    """Ask for the status of the transaction; in 1.6, which has no such message, for anything."""
    if room.is_16:
        return room.ask(*room.harmless())
    return room.ask("GetTransactionStatus", {"transactionId": trial.transaction_id})


def _set_profile(room: Room, transaction_id: Any) -> Seen:
    periods = [{"startPeriod": 0, "limit": 12.0}]
    profile: Dict[str, Any] = {
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "transactionId": transaction_id,
    }
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": periods}
    if room.is_16:
        profile.update(chargingProfileId=987060, chargingSchedule=schedule)
        place = {"connectorId": room.settings.connector, "csChargingProfiles": profile}
    else:
        profile.update(id=987060, chargingSchedule=[{"id": 1, **schedule}])
        place = {"evseId": room.settings.connector, "chargingProfile": profile}
    return room.ask("SetChargingProfile", place)


def _await_after(room: Room, since: int) -> None:
    states = ("Finishing", "Available")
    room.find_call("StatusNotification", since, room.settings.brief, lambda payload: _is_after(payload, states))
    room.pause(room.settings.quiet / 2)


def _is_after(payload: Dict[str, Any], states: "tuple[str, ...]") -> bool:
    return payload.get("status", payload.get("connectorStatus")) in states
