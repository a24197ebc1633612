"""Cuts, half messages and floods: the station has to live on."""

from __future__ import annotations

import json
import uuid
from typing import Callable, List

from ..cases import STATION, Body, case
from ..verdicts import Doubtful, Failed
from .room import Room

__all__: List[str] = []

_TEXT, _CONTINUATION = 0x1, 0x0


def _case(id: str, title: str, expects: str, seconds: float = 90) -> Callable[[Body], Body]:
    section = "OCPP-J 1.6, sections 4 and 5.4; 2.x Part 4, sections 4 and 5.3"
    return case(STATION, f"chaos-{id}", title, section=section, expects=expects, seconds=seconds)


@_case("cuts", "three cuts, each as soon as the station is back", "the station comes back each time")
def cuts(room: Room) -> None:
    for _ in range(3):
        since = room.now()
        room.cut()
        room.await_return(since)
    room.check_alive("three cuts")


@_case(
    "half-message",
    "a message of which the second half never comes",
    "the station forgets it with the connection, and answers over the next one",
)
def half_message(room: Room) -> None:
    since = room.now()
    data = json.dumps([2, str(uuid.uuid4()), *room.harmless()]).encode()
    room.send_frame(_TEXT, data[: len(data) // 2], False)
    room.cut()
    room.await_return(since)
    room.check_alive("a half message")


@_case(
    "cut-before-answer",
    "the connection is cut right after a CALL",
    "the station does not send the answer over the next connection",
)
def cut_before_answer(room: Room) -> None:
    since = room.now()
    message_id = room.send_call(*room.harmless())
    room.cut()
    room.await_return(since)
    again = room.now()
    room.check_alive("a CALL whose connection was cut")
    if any(each.message_id == message_id and each.is_answer for each in room.entries(again)):
        raise Doubtful("the answer came over the next connection")


@_case(
    "flood-calls",
    "40 CALLs at once",
    "each is answered, or refused; the station goes on",
)
def flood_calls(room: Room) -> None:
    since = room.now()
    sent = {room.send_call(*room.harmless()) for _ in range(40)}

    def answered() -> int:
        return len(sent.intersection(str(each.message_id) for each in room.entries(since) if each.is_answer))

    room.wait(lambda: answered() == len(sent))
    count = answered()
    if room.await_end(since, 0.01) is not None:
        room.await_return(since)
    room.check_alive("40 CALLs at once")
    if count == 0:
        raise Failed("none was answered")
    if count < len(sent):
        raise Doubtful(f"{count} of {len(sent)} were answered")


@_case("flood-garbage", "100 frames that are no message", "the station goes on, or comes back")
def flood_garbage(room: Room) -> None:
    since = room.now()
    for index in range(100):
        if room.link.is_gone():
            break
        room.send_text(f'[{index % 5},"{index}"')
    if room.await_end(since, room.settings.quiet) is not None:
        room.await_return(since)
    room.check_alive("100 frames that are no message")


@_case("many-fragments", "a message in 300 empty fragments", "the station goes on, or comes back")
def many_fragments(room: Room) -> None:
    since = room.now()
    room.send_frame(_TEXT, b"", False)
    for _ in range(300):
        if room.link.is_gone():
            break
        room.send_frame(_CONTINUATION, b"", False)
    room.send_frame(_CONTINUATION, b"{}")
    if room.await_end(since, room.settings.quiet) is not None:
        room.await_return(since)
    room.check_alive("300 empty fragments")


@_case("slow-reader", "we read nothing for a moment", "the station goes on when we read again")
def slow_reader(room: Room) -> None:
    csms, client = room.link.csms, room.link.connected_id
    csms.stall(id=client)
    try:
        for _ in range(5):
            room.send_call(*room.harmless())
        room.pause(room.settings.quiet)
    finally:
        csms.resume(id=client)
    room.check_alive("a moment in which nothing was read")
