"""WebSocket frames below OCPP: pings, parts, masks, closes."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Tuple

from ..cases import CSMS, case
from ..verdicts import Doubtful, Failed
from .expect import check_reaction, check_served
from .link import Link
from .peer import Room
from .wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Ended

#: How long a connection that must end may go on.
_END = 2.0


def _heartbeat() -> Tuple[str, bytes]:
    message_id = str(uuid.uuid4())
    return message_id, json.dumps([2, message_id, "Heartbeat", {}]).encode()


def _check_ends(link: Link, *codes: int) -> None:
    """Check that the connection is ended, or cut, after something that WebSocket forbids."""
    message_id, data = _heartbeat()
    try:
        link.wire.send(TEXT, data)
        answer = link.find_answer(message_id, link.patience.at_most(_END))
    except Ended as ended:
        if ended.clean and ended.code not in codes:
            raise Doubtful(f"the close code is {ended.code}; {codes[0]} says it better") from None
        return
    if answer is not None:
        raise Failed("the connection goes on, and is served")
    raise Doubtful("the connection goes on, and is not served")


@case(CSMS, "ws-ping", section="RFC 6455 5.5.2", expects="a pong with the same data")
def ping(room: Room) -> None:
    """Send a ping."""
    link = room.link()
    link.wire.send(PING, b"are you there?")
    data = link.wait_for_pong()
    if data != b"are you there?":
        raise Failed("no pong came" if data is None else f"the pong has other data: {data!r}")


@case(CSMS, "ws-ping-empty", section="RFC 6455 5.5.2", expects="a pong without data", once=True)
def ping_empty(room: Room) -> None:
    """Send a ping without data."""
    link = room.link()
    link.wire.send(PING, b"")
    if link.wait_for_pong() != b"":
        raise Failed("no empty pong came")


@case(CSMS, "ws-ping-long", section="RFC 6455 5.5", expects="a pong with the same 125 bytes", once=True)
def ping_long(room: Room) -> None:
    """Send a ping with the 125 bytes that are allowed."""
    link = room.link()
    link.wire.send(PING, b"x" * 125)
    if link.wait_for_pong() != b"x" * 125:
        raise Failed("no pong with the same data came")


@case(CSMS, "ws-pong-unasked", section="RFC 6455 5.5.3", expects="no answer, and the connection goes on", once=True)
def pong_unasked(room: Room) -> None:
    """Send a pong that nobody asked for."""
    link = room.link()
    link.wire.send(PONG, b"hello")
    link.check_alive()


@case(CSMS, "ws-fragments", section="RFC 6455 5.4", expects="a CALLRESULT")
def fragments(room: Room) -> None:
    """Send a CALL in three frames."""
    link = room.link()
    message_id, data = _heartbeat()
    link.wire.send(TEXT, data[:10], fin=False)
    link.wire.send(CONTINUATION, data[10:20], fin=False)
    link.wire.send(CONTINUATION, data[20:])
    check_served(link, link.answer_to(message_id))


@case(CSMS, "ws-fragments-empty", section="RFC 6455 5.4", expects="a CALLRESULT", once=True)
def fragments_empty(room: Room) -> None:
    """Send a CALL in frames of which the first and the last are empty."""
    link = room.link()
    message_id, data = _heartbeat()
    link.wire.send(TEXT, b"", fin=False)
    link.wire.send(CONTINUATION, data, fin=False)
    link.wire.send(CONTINUATION, b"")
    check_served(link, link.answer_to(message_id))


@case(CSMS, "ws-fragments-ping", section="RFC 6455 5.4", expects="a pong, and a CALLRESULT", once=True)
def fragments_ping(room: Room) -> None:
    """Send a ping between two parts of a CALL."""
    link = room.link()
    message_id, data = _heartbeat()
    link.wire.send(TEXT, data[:10], fin=False)
    link.wire.send(PING, b"between")
    if link.wait_for_pong() != b"between":
        raise Failed("no pong came before the rest of the CALL")
    link.wire.send(CONTINUATION, data[10:])
    check_served(link, link.answer_to(message_id))


@case(CSMS, "ws-fragments-letter", section="RFC 6455 5.4, 5.6; RFC 3629", expects="a CALLRESULT", once=True)
def fragments_letter(room: Room) -> None:
    """Cut a CALL into two frames in the middle of a letter."""
    link = room.link()
    message_id = str(uuid.uuid4())
    payload = link.samples.of("DataTransfer", vendorId="ocppj.check.Zürich")
    data = json.dumps([2, message_id, "DataTransfer", payload], ensure_ascii=False).encode("utf-8")
    middle = data.index("ü".encode()) + 1
    link.wire.send(TEXT, data[:middle], fin=False)
    link.wire.send(CONTINUATION, data[middle:])
    link.answer_to(message_id)


@case(CSMS, "ws-new-before-end", section="RFC 6455 5.4", expects="the connection is closed with 1002", once=True)
def new_before_end(room: Room) -> None:
    """Begin a message in the middle of another one."""
    link = room.link()
    link.wire.send(TEXT, b"[2,", fin=False)
    _check_ends(link, 1002)


@case(CSMS, "ws-continuation-first", section="RFC 6455 5.4", expects="the connection is closed with 1002", once=True)
def continuation_first(room: Room) -> None:
    """Send the second part of a message that has no first part."""
    link = room.link()
    link.wire.send(CONTINUATION, b"{}]")
    _check_ends(link, 1002)


@case(CSMS, "ws-unmasked", section="RFC 6455 5.1", expects="the connection is closed with 1002", once=True)
def unmasked(room: Room) -> None:
    """Send a frame without a mask."""
    link = room.link()
    link.wire.send(TEXT, _heartbeat()[1], masked=False)
    _check_ends(link, 1002)


@case(CSMS, "ws-reserved-bits", section="RFC 6455 5.2", expects="the connection is closed with 1002", once=True)
def reserved_bits(room: Room) -> None:
    """Send a frame with a reserved bit."""
    link = room.link()
    link.wire.send_bytes(bytes([0x80 | 0x40 | TEXT, 0x80 | 2, 0, 0, 0, 0]) + b"{}")
    _check_ends(link, 1002)


@case(CSMS, "ws-reserved-opcode", section="RFC 6455 5.2", expects="the connection is closed with 1002", once=True)
def reserved_opcode(room: Room) -> None:
    """Send a frame with an opcode that WebSocket does not have."""
    link = room.link()
    link.wire.send(0x3, b"{}")
    _check_ends(link, 1002)


@case(CSMS, "ws-ping-too-long", section="RFC 6455 5.5", expects="the connection is closed with 1002", once=True)
def ping_too_long(room: Room) -> None:
    """Send a ping of 126 bytes."""
    link = room.link()
    link.wire.send(PING, b"x" * 126)
    _check_ends(link, 1002)


@case(CSMS, "ws-ping-in-parts", section="RFC 6455 5.5", expects="the connection is closed with 1002", once=True)
def ping_in_parts(room: Room) -> None:
    """Send a ping that says that there is more of it."""
    link = room.link()
    link.wire.send(PING, b"x", fin=False)
    _check_ends(link, 1002)


@case(
    CSMS,
    "ws-utf8",
    section="RFC 6455 8.1; OCPP-J 1.6 4.1.2; OCPP 2.x Part 4 4.1.2",
    expects="the connection is closed with 1007",
)
def utf8(room: Room) -> None:
    """Send a text frame that is no UTF-8."""
    link = room.link()
    link.wire.send(TEXT, b'[2,"\xff\xfe","Heartbeat",{}]')
    _check_ends(link, 1007)


@case(
    CSMS,
    "ws-binary",
    section="OCPP-J 1.6 4.1.2; OCPP 2.x Part 4 4.1.2; RFC 6455 7.4.1",
    expects="it is not served: OCPP-J is text. Close 1003 says so",
)
def binary(room: Room) -> None:
    """Send a CALL in a binary frame."""
    link = room.link()
    message_id, data = _heartbeat()
    link.wire.send(BINARY, data)
    reaction = link.react()
    if any(answer.message_id == message_id for answer in reaction.answers):
        raise Doubtful("it was served")


@case(CSMS, "ws-close", section="RFC 6455 5.5.1", expects="a Close with the same code, and nothing after it")
def close(room: Room) -> None:
    """Close the connection."""
    link = room.link()
    link.wire.send(CLOSE, struct.pack("!H", 1000))
    ended = link.end(_END)
    if ended is None:
        raise Failed("the connection goes on")
    if not ended.clean:
        raise Failed("the Close was not answered")
    if ended.code not in (1000, None):
        raise Doubtful(f"the close code of the answer is {ended.code}")


@case(
    CSMS, "ws-close-then-call", section="RFC 6455 5.5.1, 1.4", expects="what follows a Close is not served", once=True
)
def close_then_call(room: Room) -> None:
    """Send a CALL after a Close."""
    link = room.link()
    link.wire.send(CLOSE, struct.pack("!H", 1000))
    message_id, data = _heartbeat()
    try:
        link.wire.send(TEXT, data)
        answer = link.find_answer(message_id, link.patience.at_most(_END))
    except Ended:
        return
    if answer is not None:
        raise Failed("it was served")


@case(CSMS, "ws-close-code", section="RFC 6455 7.4.1, 7.4.2", expects="the connection ends", once=True)
def close_code(room: Room) -> None:
    """Close with a code that must not be sent: 1005."""
    link = room.link()
    link.wire.send(CLOSE, struct.pack("!H", 1005))
    if link.end(_END) is None:
        raise Failed("the connection goes on")


@case(CSMS, "ws-close-one-byte", section="RFC 6455 5.5.1", expects="the connection ends", once=True)
def close_one_byte(room: Room) -> None:
    """Send a Close with one byte, where a code has two."""
    link = room.link()
    link.wire.send(CLOSE, b"x")
    if link.end(_END) is None:
        raise Failed("the connection goes on")


@case(
    CSMS,
    "ws-empty",
    section="OCPP-J 1.6 4.2; OCPP 2.x Part 4 4.2.3",
    expects="no answer, or a CALLERROR, and the connection goes on: real stations send them",
)
def empty(room: Room) -> None:
    """Send an empty text frame."""
    link = room.link()
    check_reaction(link, link.react(""))


@case(
    CSMS,
    "ws-large",
    section="OCPP-J 1.6 4.2.1; OCPP 2.x Part 4 4.2.1",
    expects="an answer: the documents have no limit",
)
def large(room: Room) -> None:
    """Send a CALL of 64 kB."""
    link = room.link()
    reaction = link.react(_data_transfer(link, 65000))
    if not reaction.answers:
        raise Doubtful(f"there was no answer: {reaction}")


@case(
    CSMS,
    "ws-too-large",
    section="RFC 6455 7.4.1, 10.4",
    expects="an answer, or Close 1009, and new connections are served",
    once=True,
)
def too_large(room: Room) -> None:
    """Send a CALL of 5 MB."""
    link = room.link()
    reaction = link.react(_data_transfer(link, 5_000_000))
    if reaction.ended is not None and not reaction.ended.clean:
        raise Doubtful(f"the connection was ended without a code: {reaction.ended}")
    if reaction.ended is not None and reaction.ended.code not in (1009, 1008):
        raise Doubtful(f"the close code is {reaction.ended.code}; 1009 says it better")
    room.check_served()


def _data_transfer(link: Link, size: int) -> str:
    payload = link.samples.of("DataTransfer", vendorId="ocppj.check", data="x" * size)
    return json.dumps([2, str(uuid.uuid4()), "DataTransfer", payload])


@case(
    CSMS,
    "ws-announced",
    section="RFC 6455 5.2, 10.4",
    expects="the connection ends or waits, and new connections are served",
    once=True,
)
def announced(room: Room) -> None:
    """Announce a frame of 2**62 bytes."""
    link = room.link()
    link.wire.send_bytes(bytes([0x80 | TEXT, 0x80 | 127]) + struct.pack("!Q", 1 << 62) + b"\0\0\0\0[2,")
    room.frames.note("station", "<a frame that announces 2**62 bytes>")
    ended = link.end(0.3)
    room.check_served()
    link.wire.abort()
    if ended is not None and ended.clean and ended.code not in (1009, 1002):
        raise Doubtful(f"the close code is {ended.code}; 1009 says it better")


@case(
    CSMS,
    "ws-length-form",
    section="RFC 6455 5.2",
    expects="the connection is closed, or the frame is read: its length is written in too many bytes",
    once=True,
)
def length_form(room: Room) -> None:
    """Write a short length in eight bytes."""
    link = room.link()
    message_id, data = _heartbeat()
    link.wire.send_bytes(bytes([0x80 | TEXT, 0x80 | 127]) + struct.pack("!Q", len(data)) + b"\0\0\0\0" + data)
    room.frames.note("station", f"<a Heartbeat {message_id} with a length in eight bytes>")
    reaction = link.react()
    if not reaction.ended and not any(each.message_id == message_id for each in reaction.answers):
        raise Doubtful("the connection goes on, and the frame was not served")
