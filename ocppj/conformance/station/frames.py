"""WebSocket frames: control frames, fragments, UTF-8, and what must end a connection."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Callable, List, Optional, Tuple

from ..cases import STATION, Body, case
from ..verdicts import Doubtful, Failed
from .room import Room

__all__: List[str] = []

_CONTINUATION, _TEXT, _BINARY, _PING, _PONG = 0x0, 0x1, 0x2, 0x9, 0xA


def _case(id: str, title: str, section: str, expects: str, seconds: float = 20) -> Callable[[Body], Body]:
    return case(STATION, f"frames-{id}", title, section=section, expects=expects, seconds=seconds)


def _harmless(room: Room) -> Tuple[str, bytes]:
    """Return a CALL that changes nothing: its id, and its bytes."""
    message_id = str(uuid.uuid4())
    return message_id, json.dumps([2, message_id, *room.harmless()]).encode()


def _check_answer(room: Room, message_id: str, what: str) -> None:
    answer = room.answer_to(message_id)
    if answer is None:
        raise Failed(f"there is no answer to {what}")


@_case("ping", "a Ping", "RFC 6455, section 5.5.2", "a Pong comes")
def ping(room: Room) -> None:
    server, client, clock = room.link.csms.server, room.link.connected_id, room.link.csms.clock
    room.pause(room.settings.quiet)
    sent = clock.now() - timedelta(seconds=room.settings.quiet / 2)
    room.send_frame(_PING, b"ocppj")
    end = room.seconds() + room.settings.answer
    while (server.connection(client).last_heard or sent) <= sent:
        if room.seconds() > end:
            raise Failed(f"nothing came within {room.settings.answer:g} s")
        room.pause(0.02)


@_case("pong", "a Pong that was not asked for", "RFC 6455, section 5.5.3", "nothing happens")
def pong(room: Room) -> None:
    room.send_frame(_PONG, b"unasked")
    room.check_alive("a Pong that was not asked for")


@_case("fragments", "a CALL in three fragments", "RFC 6455, section 5.4", "the CALL is answered")
def fragments(room: Room) -> None:
    message_id, data = _harmless(room)
    room.send_frame(_TEXT, data[:5], False)
    room.send_frame(_CONTINUATION, data[5:20], False)
    room.send_frame(_CONTINUATION, data[20:])
    _check_answer(room, message_id, "a CALL in three fragments")


@_case("fragments-ping", "a Ping between two fragments", "RFC 6455, section 5.4", "the CALL is answered")
def fragments_ping(room: Room) -> None:
    message_id, data = _harmless(room)
    room.send_frame(_TEXT, data[:9], False)
    room.send_frame(_PING, b"between")
    room.send_frame(_CONTINUATION, data[9:])
    _check_answer(room, message_id, "a CALL with a Ping between its fragments")


@_case(
    "fragments-slow",
    "a CALL that comes byte by byte",
    "RFC 6455, section 5.4",
    "the CALL is answered",
)
def fragments_slow(room: Room) -> None:
    message_id, data = _harmless(room)
    room.send_frame(_TEXT, data[:1], False)
    for index in range(1, len(data) - 1):
        room.send_frame(_CONTINUATION, data[index : index + 1], False)
        if index % 10 == 0:
            room.pause(0.02)
    room.send_frame(_CONTINUATION, data[-1:])
    _check_answer(room, message_id, "a CALL that came byte by byte")


@_case(
    "fragments-utf8",
    "a character in two fragments",
    "RFC 6455, section 5.6",
    "the CALL is answered",
)
def fragments_utf8(room: Room) -> None:
    message_id = str(uuid.uuid4())
    payload = {"vendorId": "com.example.ocppj", "messageId": "check", "data": "ü€"}
    data = json.dumps([2, message_id, "DataTransfer", payload], ensure_ascii=False).encode()
    middle = data.index("€".encode()) + 1
    room.send_frame(_TEXT, data[:middle], False)
    room.send_frame(_CONTINUATION, data[middle:])
    _check_answer(room, message_id, "a CALL with a character in two fragments")


@_case("empty", "an empty text frame", "OCPP-J 1.6, section 4.1.2; 2.x Part 4, section 4.1.2", "it does no harm")
def empty(room: Room) -> None:
    since = room.now()
    room.send_frame(_TEXT, b"")
    if room.await_end(since, room.settings.quiet) is not None:
        room.await_return(since)
        raise Doubtful("the station has closed the connection")
    room.check_alive("an empty text frame")


@_case(
    "binary",
    "a CALL in a binary frame",
    "OCPP-J 1.6, section 4.1.2; 2.x Part 4, section 4.1.2; RFC 6455, section 7.4.1",
    "it is refused or ignored, and the station goes on",
)
def binary(room: Room) -> None:
    since = room.now()
    message_id, data = _harmless(room)
    room.session.excused.add(json.dumps(message_id))
    room.send_frame(_BINARY, data)
    answer = room.answer_to(message_id, 2 * room.settings.quiet)
    if room.await_end(since, 0.05) is not None:
        room.await_return(since)
    room.check_alive("a binary frame")
    if answer is not None and answer.kind == "RESULT":
        raise Doubtful("the station has answered it as if it were text")


def _must_end(room: Room, what: str, send: Callable[[], object], code: Optional[int] = None) -> None:
    """Send what must end the connection."""
    since = room.now()
    send()
    ended = room.await_end(since, 2 * room.settings.brief)
    if ended is None:
        room.check_alive(what)
        raise Failed(f"the connection goes on after {what}")
    room.await_return(since)
    room.check_alive(what)
    close = ended.close
    if code is not None and close is not None and close.by_peer and close.code not in (code, 1005, 1006):
        raise Doubtful(f"the connection ended, {close}; {code} is what RFC 6455 section 7.4.1 has for it")


@_case(
    "bad-utf8",
    "text that is no UTF-8",
    "RFC 6455, section 8.1",
    "the station closes the connection with 1007, and connects again",
    60,
)
def bad_utf8(room: Room) -> None:
    _must_end(room, "text that is no UTF-8", lambda: room.send_frame(_TEXT, b'[2,"\xff\xfe"]'), 1007)


@_case(
    "bad-opcode",
    "a frame with a reserved opcode",
    "RFC 6455, section 5.2",
    "the station closes the connection with 1002, and connects again",
    60,
)
def bad_opcode(room: Room) -> None:
    _must_end(room, "a frame with the opcode 3", lambda: room.send_frame(0x3, b"x"), 1002)


@_case(
    "bad-continuation",
    "a continuation of nothing",
    "RFC 6455, section 5.4",
    "the station closes the connection with 1002, and connects again",
    60,
)
def bad_continuation(room: Room) -> None:
    _must_end(room, "a continuation of nothing", lambda: room.send_frame(_CONTINUATION, b"x"), 1002)


@_case(
    "bad-control",
    "a Ping of 126 bytes",
    "RFC 6455, section 5.5",
    "the station closes the connection with 1002, and connects again",
    60,
)
def bad_control(room: Room) -> None:
    _must_end(room, "a Ping of 126 bytes", lambda: room.send_frame(_PING, b"x" * 126), 1002)
