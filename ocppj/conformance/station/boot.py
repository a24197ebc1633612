"""The first boots of the station, its heartbeats, and what it may send meanwhile."""

from __future__ import annotations

from typing import Callable, List, Optional

from ...testing.seen import Seen
from ..cases import ALL, STATION, V2, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .room import Room, check_status, fields, told

__all__: List[str] = []

_NONE = (
    "the station has sent no BootNotification: restart it when the check listens, or allow a reset with --allow-reset"
)
_SLACK = 0.3  # seconds: how much too early a message may come, for clocks that differ


def _case(id: str, title: str, section: str, expects: str, versions: "tuple[str, ...]" = ALL) -> Callable[[Body], Body]:
    return case(STATION, f"boot-{id}", title, section=section, expects=expects, versions=versions, seconds=60)


def _boots(room: Room) -> List[Seen]:
    """Return the BootNotifications of the opening, and wait for it first."""
    _await_opening(room)
    boots = room.find_calls("BootNotification", room.link.opening.first)
    if not boots or not room.settings.with_boot:
        raise NotApplicable(_NONE)
    return boots


def _await_opening(room: Room) -> None:
    opening = room.link.opening
    if opening.is_judged:
        return
    opening.is_judged = True
    if room.find_call("BootNotification", 0) is None:
        if "allow-reset" not in room.settings.allowed:
            opening.give_up()
            return
        opening.first = room.now()
        room.ask("Reset", {"type": room.by_version("Soft", "Immediate")})
        room.find_call("BootNotification", opening.first, room.settings.wait)
    answer = room.wait(lambda: _answer(room, "Pending"), room.settings.wait)
    if answer is not None:
        _ask_while_pending(room)
        room.wait(lambda: _answer(room, "Accepted"), room.settings.wait)
    room.find_call("StatusNotification", opening.first)
    room.pause(room.settings.quiet)
    opening.is_over = True


def _answer(room: Room, status: str) -> Optional[Seen]:
    entries = room.entries(room.link.opening.first)
    answers = [each for each in entries if each.direction == "out" and each.action == "BootNotification"]
    return next((each for each in answers if fields(each).get("status") == status), None)


def _ask_while_pending(room: Room) -> None:
    asked = room.link.opening.asked
    action, payload = room.harmless()
    asked["settings"] = room.answer_to(room.send_call(action, payload))
    asked["trigger"] = room.answer_to(room.send_call("TriggerMessage", {"requestedMessage": "Heartbeat"}))
    room.find_call("Heartbeat", room.link.opening.first, room.settings.brief)
    token = {"idToken": room.settings.id_tag, "type": "ISO14443"}
    remote = room.by_version(
        ("RemoteStartTransaction", {"idTag": room.settings.id_tag, "connectorId": room.settings.connector}),
        ("RequestStartTransaction", {"idToken": token, "remoteStartId": 1, "evseId": room.settings.connector}),
    )
    asked["remote start"] = room.answer_to(room.send_call(*remote))


def _answered(room: Room, status: str) -> Seen:
    _boots(room)
    answer = _answer(room, status)
    if answer is None:
        raise NotApplicable(f"no BootNotification came that could be answered {status}")
    room.show([answer])
    return answer


def _next_boot(room: Room, answer: Seen) -> Seen:
    boots = room.find_calls("BootNotification", answer.number)
    if not boots:
        raise Failed("no BootNotification came after it")
    room.show(boots[:1])
    return boots[0]


def _check_wait(room: Room, status: str) -> None:
    answer, interval = _answered(room, status), room.link.opening.intervals[status]
    waited = _next_boot(room, answer).at - answer.at
    if waited < interval - _SLACK:
        raise Failed(f"the next BootNotification came {waited:.1f} s after it, the interval was {interval} s")
    if waited > 3 * interval + 5:
        raise Doubtful(f"the next BootNotification came {waited:.1f} s after it, the interval was {interval} s")


def _check_silence(room: Room, status: str, but: "tuple[str, ...]") -> None:
    answer = _answered(room, status)
    until = _next_boot(room, answer).number
    others = [each for each in room.find_calls(since=answer.number) if each.number < until and each.action not in but]
    room.show(others)
    if others:
        raise Failed(f"{', '.join(str(each.action) for each in others)} came before the next BootNotification")


@_case(
    "first",
    "the first message after power-up",
    "1.6 edition 2, section 4.2; 2.x Part 2, B01.FR.01",
    "BootNotification is the first message, and nothing else is sent until it is answered",
)
def first(room: Room) -> None:
    boots = _boots(room)
    answer = _answer(room, "Rejected") or _answer(room, "Accepted")
    calls = room.find_calls(since=room.link.opening.first)
    early = [each for each in calls if answer is None or each.number < answer.number]
    room.show(early)
    others = [str(each.action) for each in early if each.action != "BootNotification"]
    if others:
        raise Failed(f"{', '.join(others)} came before the answer to the BootNotification")
    if boots[0].message is None:
        raise Failed(f"the BootNotification breaks its schema: {'; '.join(boots[0].faults)}")


@_case(
    "reason",
    "the reason of the first boot",
    "2.x Part 2, B01.FR.01 and BootReasonEnumType",
    "the reason is PowerUp, or another that tells of a restart, and not Triggered",
    V2,
)
def reason(room: Room) -> None:
    boots = _boots(room)
    room.show(boots[:1])
    if fields(boots[0]).get("reason") in (None, "Triggered", "Unknown"):
        raise Doubtful(f"the reason is {fields(boots[0]).get('reason')!r}")


@_case(
    "rejected-interval",
    "the wait after a boot that is Rejected",
    "1.6 edition 2, section 4.2; 2.x Part 2, B03.FR.02",
    "the next BootNotification comes after the interval of the answer, and not before",
)
def rejected_interval(room: Room) -> None:
    _check_wait(room, "Rejected")


@_case(
    "rejected-silent",
    "nothing is sent while the boot is Rejected",
    "1.6 edition 2, section 4.2; 2.x Part 2, B03.FR.02",
    "no message but BootNotification comes until the interval has passed",
)
def rejected_silent(room: Room) -> None:
    _check_silence(room, "Rejected", ())


@_case(
    "pending-interval",
    "the wait after a boot that is Pending",
    "1.6 edition 2, section 4.2; 2.x Part 2, B02.FR.04",
    "the next BootNotification comes after the interval of the answer, and not before",
)
def pending_interval(room: Room) -> None:
    _check_wait(room, "Pending")


@_case(
    "pending-silent",
    "nothing is sent unasked while the boot is Pending",
    "1.6 edition 2, section 4.2; 2.x Part 2, B02.FR.02",
    "no message comes but those that TriggerMessage asks for",
)
def pending_silent(room: Room) -> None:
    _check_silence(room, "Pending", ("Heartbeat",))


@_case(
    "pending-answers",
    "commands are answered while the boot is Pending",
    "1.6 edition 2, section 4.2; 2.x Part 2, B02.FR.01",
    "GetConfiguration or GetVariables is answered with a CALLRESULT",
)
def pending_answers(room: Room) -> None:
    _answered(room, "Pending")
    answer = room.link.opening.asked.get("settings")
    if answer is None:
        raise Failed("there was no answer")
    room.show([answer])
    if answer.kind != "RESULT":
        raise Failed(f"the answer was the error {told(answer)}")


@_case(
    "pending-trigger",
    "a message that is asked for while the boot is Pending",
    "1.6 edition 2, section 4.2; 2.x Part 2, B02.FR.02 and F06",
    "after TriggerMessage for Heartbeat is Accepted, a Heartbeat comes",
)
def pending_trigger(room: Room) -> None:
    boot = _answered(room, "Pending")
    answer = room.link.opening.asked.get("trigger")
    if answer is None:
        raise Failed("there was no answer to TriggerMessage")
    room.show([answer])
    room.skip_unsupported(answer, "TriggerMessage")
    if fields(answer).get("status") != "Accepted":
        raise NotApplicable(f"TriggerMessage is answered {fields(answer).get('status')!r}")
    accepted = _answer(room, "Accepted")
    beats = room.find_calls("Heartbeat", boot.number)
    room.show(beats[:1])
    if not any(accepted is None or each.number < accepted.number for each in beats):
        raise Failed("no Heartbeat came while the boot was Pending")


@_case(
    "pending-remote-start",
    "a remote start while the boot is Pending",
    "1.6 edition 2, section 4.2; 2.x Part 2, B02.FR.05",
    "the remote start is Rejected",
)
def pending_remote_start(room: Room) -> None:
    _answered(room, "Pending")
    answer = room.link.opening.asked.get("remote start")
    if answer is None:
        raise Failed("there was no answer")
    room.show([answer])
    if answer.kind == "ERROR":
        return
    if room.is_16:  # it says that the central system may not ask for it
        check_status(answer, ["Rejected"], ["Accepted"])
    check_status(answer, ["Rejected"])


@_case(
    "accepted-status",
    "the status of the connectors after the boot is Accepted",
    "1.6 edition 2, section 4.9; 2.x Part 2, B01.FR.05",
    "a StatusNotification comes for each connector",
)
def accepted_status(room: Room) -> None:
    answer = _answered(room, "Accepted")
    room.find_call("StatusNotification", answer.number)
    found = room.find_calls("StatusNotification", answer.number)
    room.show(found)
    name = room.by_version("connectorId", "evseId")
    if not found:
        raise Failed("no StatusNotification came")
    if not any(fields(each).get(name) for each in found):
        raise Failed(f"no StatusNotification has a {name} above 0")


@_case(
    "heartbeat-interval",
    "the interval of the heartbeats is that of the boot",
    "1.6 edition 2, sections 4.2 and 4.6; 2.x Part 2, B01.FR.04 and G02",
    "a Heartbeat comes after each interval in which nothing else is sent",
)
def heartbeat_interval(room: Room) -> None:
    _answered(room, "Accepted")
    since, interval = room.now(), room.settings.interval
    patience = interval * 3 + room.settings.answer
    found = room.wait(lambda: len(room.find_calls("Heartbeat", since)) > 2, patience)
    beats = room.find_calls("Heartbeat", since)
    if not found:
        raise Failed(f"{len(beats)} heartbeats came in {patience:g} s")
    gaps = [after.at - before.at for before, after in zip(beats, beats[1:])]
    if min(gaps) < interval - _SLACK:
        raise Failed(f"two heartbeats are {min(gaps):.1f} s apart")
    if max(gaps) > 2 * interval + 1:
        raise Doubtful(f"two heartbeats are {max(gaps):.1f} s apart")


@_case(
    "heartbeat-change",
    "the interval of the heartbeats can be changed",
    "1.6 edition 2, section 9.1.10; 2.x Part 2, B05 and G02",
    "after HeartbeatInterval is set to 300 no Heartbeat comes for a while",
)
def heartbeat_change(room: Room) -> None:
    if room.settings.with_boot and not room.find_calls("BootNotification", 0):
        raise NotApplicable(_NONE)
    if room.is_16:
        answer = room.ask("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "300"})
        status = fields(answer).get("status")
    else:
        variable = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
        answer = room.ask("SetVariables", {"setVariableData": [{**variable, "attributeValue": "300"}]})
        results = fields(answer).get("setVariableResult") or [{}]
        status = results[0].get("attributeStatus")
    if status != "Accepted":
        raise Doubtful(f"the change is answered {status or told(answer)!r}")
    seconds = room.settings.interval * 2.0
    calls = [each for each in room.calls_during(seconds) if each.action == "Heartbeat"]
    if len(calls) > 1:
        raise Failed(f"{len(calls)} heartbeats came in {seconds:g} s")
