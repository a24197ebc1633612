"""Bad networks and bad stations: cuts, half frames, floods. The central system has to go on."""

from __future__ import annotations

import json
import os
import struct
import uuid

from ...events import Event
from ...ws.connection.raw_frame import RawFrame
from ..cases import CSMS, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .expect import check_served
from .peer import Room
from .wire import PING, PONG, TEXT, Ended, connect, request_of

_SERVED = "OCPP-J 1.6 3, 5.4; OCPP 2.x Part 4 3.1, 5.4"


def _heartbeat_frame() -> bytes:
    return RawFrame(TEXT, json.dumps([2, str(uuid.uuid4()), "Heartbeat", {}]).encode(), True).encode(True)


@case(CSMS, "chaos-cut-in-frame", section=_SERVED, expects="new connections are served")
def cut_in_frame(room: Room) -> None:
    """Cut the connection in the middle of a frame."""
    link = room.link()
    link.wire.send_bytes(_heartbeat_frame()[:20])
    room.frames.note("station", "<20 bytes of a frame, then a reset>")
    link.wire.abort()
    room.check_served()


@case(CSMS, "chaos-cut-in-message", section=_SERVED, expects="new connections are served", once=True)
def cut_in_message(room: Room) -> None:
    """Cut the connection between two parts of a message."""
    link = room.link()
    link.wire.send(TEXT, b'[2,"a","Hear', fin=False)
    link.wire.abort()
    room.check_served()


@case(CSMS, "chaos-cut-before-answer", section=_SERVED, expects="new connections are served")
def cut_before_answer(room: Room) -> None:
    """Cut the connection right after a CALL."""
    link = room.link()
    link.send_call("Heartbeat", {})
    link.wire.abort()
    room.check_served()


@case(CSMS, "chaos-cut-handshake", section=_SERVED, expects="new connections are served", once=True)
def cut_handshake(room: Room) -> None:
    """Cut the connection in the middle of the handshake."""
    sock = connect(room.peer.url, room.peer.tls, room.deadline)
    try:
        sock.sendall(request_of(room.peer.url, {})[:40])
    finally:
        sock.close()
    room.frames.note("station", "<40 bytes of a handshake, then a cut>")
    room.check_served()


@case(CSMS, "chaos-half-handshake", section=_SERVED, expects="other connections are served meanwhile", once=True)
def half_handshake(room: Room) -> None:
    """Send half a handshake, and keep the connection."""
    sock = connect(room.peer.url, room.peer.tls, room.deadline)
    try:
        sock.sendall(request_of(room.peer.url, {})[:40])
        room.frames.note("station", "<40 bytes of a handshake, and no more>")
        room.check_served()
    finally:
        sock.close()


@case(CSMS, "chaos-silent-connection", section=_SERVED, expects="other connections are served meanwhile", once=True)
def silent_connection(room: Room) -> None:
    """Open ten TCP connections, and send nothing."""
    socks = [connect(room.peer.url, room.peer.tls, room.deadline) for _ in range(10)]
    room.frames.note("station", "<ten connections without a handshake>")
    try:
        room.check_served()
    finally:
        for sock in socks:
            sock.close()


@case(CSMS, "chaos-half-frame", section=_SERVED, expects="a new connection of the same station is served meanwhile")
def half_frame(room: Room) -> None:
    """Send half a frame, keep the connection, and connect again."""
    link = room.link()
    link.wire.send_bytes(_heartbeat_frame()[:20])
    room.frames.note("station", "<20 bytes of a frame, and no more>")
    try:
        room.check_served()
    finally:
        link.wire.abort()


@case(CSMS, "chaos-slow-bytes", section="RFC 6455 5; OCPP-J 1.6 4.2; OCPP 2.x Part 4 4.2", expects="a CALLRESULT")
def slow_bytes(room: Room) -> None:
    """Send a CALL in single bytes."""
    link, message_id = room.link(), str(uuid.uuid4())
    data = RawFrame(TEXT, json.dumps([2, message_id, "Heartbeat", {}]).encode(), True).encode(True)
    room.frames.note("station", f"<a Heartbeat {message_id} in {len(data)} packets>")
    pause = Event()
    try:
        for index in range(len(data)):
            link.wire.send_bytes(data[index : index + 1])
            pause.wait(0.002)
    except Ended as error:
        raise Failed(f"in the middle of the CALL {error}") from None
    check_served(link, link.answer_to(message_id))


@case(CSMS, "chaos-slow-handshake", section="RFC 6455 4.2.1", expects="101", once=True)
def slow_handshake(room: Room) -> None:
    """Send the handshake in many packets."""
    fields = {"Sec-WebSocket-Protocol": room.subprotocol, **room.credentials()}
    request = request_of(room.peer.url, fields)
    room.frames.note("station", f"<a handshake in {len(request) // 16 + 1} packets>")
    sock = connect(room.peer.url, room.peer.tls, room.deadline)
    pause = Event()
    try:
        for index in range(0, len(request), 16):
            sock.sendall(request[index : index + 16])
            pause.wait(0.005)
        sock.settimeout(5.0)
        status = sock.recv(1024).split(b"\r\n")[0].decode("latin-1")
    except OSError as error:
        raise Failed(f"there was no answer: {error}") from None
    finally:
        sock.close()
    if " 101" not in status:
        raise Failed(f"the answer is {status!r}")


@case(CSMS, "chaos-one-packet", section="RFC 6455 5", expects="a CALLRESULT to each", once=True)
def one_packet(room: Room) -> None:
    """Send five CALLs in one packet."""
    link = room.link()
    ids = [str(uuid.uuid4()) for _ in range(5)]
    frames = [RawFrame(TEXT, json.dumps([2, each, "Heartbeat", {}]).encode(), True).encode(True) for each in ids]
    room.frames.note("station", "<five Heartbeats in one packet>")
    link.wire.send_bytes(b"".join(frames))
    try:
        for each in ids:
            link.answer_to(each)
    except Failed as error:
        raise Doubtful(str(error)) from None


@case(CSMS, "chaos-flood", section=_SERVED, expects="answers, or a Close; then new connections are served", once=True)
def flood(room: Room) -> None:
    """Send 300 Heartbeats, and read nothing meanwhile."""
    link = room.link()
    ids = {str(uuid.uuid4()) for _ in range(300)}
    frames = [RawFrame(TEXT, json.dumps([2, each, "Heartbeat", {}]).encode(), True).encode(True) for each in ids]
    room.frames.note("station", "<300 Heartbeats>")
    missing = ""
    try:
        link.wire.send_bytes(b"".join(frames))
        for each in list(ids):
            link.answer_to(each)
            ids.discard(each)
    except (Ended, Failed) as error:
        missing = f"{len(ids)} of 300 were not answered: {error}"
    link.wire.abort()
    room.check_served()
    if missing:
        raise Doubtful(missing)


@case(CSMS, "chaos-garbage", section=_SERVED, expects="new connections are served", once=True)
def garbage(room: Room) -> None:
    """Send 50 frames that are no messages."""
    link = room.link()
    try:
        for number in range(50):
            link.send_text(f'[2,"{number}",')
        link.gather(0.2)
    except (Ended, Failed):
        pass  # it may close such a connection
    link.wire.abort()
    room.check_served()


@case(CSMS, "chaos-random-bytes", section="RFC 6455 7.1.7", expects="the connection ends, and new ones are served")
def random_bytes(room: Room) -> None:
    """Send random bytes in place of frames."""
    link = room.link()
    room.frames.note("station", "<300 random bytes>")
    link.wire.send_bytes(b"\xff" + os.urandom(299))
    ended = link.end(2.0)
    link.wire.abort()
    room.check_served()
    if ended is None:
        raise Failed("the connection goes on")


@case(
    CSMS,
    "chaos-http-again",
    section="RFC 6455 7.1.7",
    expects="the connection ends, and new ones are served",
    once=True,
)
def http_again(room: Room) -> None:
    """Send a second handshake in place of frames."""
    link = room.link()
    room.frames.note("station", "<a second handshake>")
    link.wire.send_bytes(request_of(room.peer.url, {}))
    ended = link.end(2.0)
    link.wire.abort()
    room.check_served()
    if ended is None:
        raise Failed("the connection goes on")


@case(CSMS, "chaos-reconnects", section=_SERVED, expects="each connection is served")
def reconnects(room: Room) -> None:
    """Connect 20 times, one after the other, and cut each connection."""
    for _ in range(20):
        link = room.link(boot=False)
        link.check_alive()
        link.wire.abort()
    room.check_served()


@case(CSMS, "chaos-two-connections", section=_SERVED, expects="the newer connection of a station is served")
def two_connections(room: Room) -> None:
    """Connect a second time, while the first connection is there."""
    room.link()
    newer = room.link()
    for _ in range(3):
        newer.check_alive()


@case(CSMS, "chaos-older-ends", section=_SERVED, expects="the newer connection is still served")
def older_ends(room: Room) -> None:
    """Connect a second time, and cut the older connection."""
    older, newer = room.link(), room.link()
    older.wire.abort()
    newer.gather(0.1)
    newer.check_alive()


@case(CSMS, "chaos-pings", section="RFC 6455 5.5.2, 5.5.3", expects="a pong to the last ping at least", once=True)
def pings(room: Room) -> None:
    """Send 100 pings."""
    link = room.link()
    for number in range(100):
        link.wire.send(PING, struct.pack("!H", number))
    count, data = 0, link.wait_for_pong()
    while data is not None and data != struct.pack("!H", 99):
        count, data = count + 1, link.wait_for_pong()
    if data is not None:
        return
    if link.end(0.1) is not None:
        raise Doubtful(f"the connection ended after {count} pongs")
    raise Failed("the last ping was not answered")


@case(CSMS, "chaos-pongs", section="RFC 6455 5.5.3", expects="the connection goes on", once=True)
def pongs(room: Room) -> None:
    """Send 100 pongs that nobody asked for."""
    link = room.link()
    for _ in range(100):
        link.wire.send(PONG, b"x")
    link.check_alive()


@case(CSMS, "chaos-half-close", section="RFC 6455 7.1.1; RFC 9293 3.6", expects="new connections are served", once=True)
def half_close(room: Room) -> None:
    """End our direction of the TCP connection after a CALL."""
    if room.peer.url.startswith("wss:"):
        raise NotApplicable("it is tried without TLS only")
    link = room.link()
    link.send_call("Heartbeat", {})
    link.wire.end_sending()
    link.end(1.0)
    link.wire.abort()
    room.check_served()


@case(CSMS, "chaos-error-flood", section=_SERVED, expects="the connection goes on, or ends with a Close", once=True)
def error_flood(room: Room) -> None:
    """Send 30 CALLs with unknown actions."""
    link = room.link()
    for _ in range(30):
        answer = link.call("MakeCoffee", {})
        if answer.kind != "ERROR":
            raise Failed(f"it was answered with {answer}")
    link.check_alive()
