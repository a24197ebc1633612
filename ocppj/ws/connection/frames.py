"""The frames of a connection over a `Stream`: `ClientWire` and `ServerWire` (see `wire.Wire`).

A client's frames are made and parsed by websocket-client, whose ``frame_buffer`` goes on where it ended when no more
bytes were there. `ClientWire` answers pings and Closes and joins fragments itself, because websocket-client's own way
would answer each Close with 1000 and has no limit. A server's frames are made and parsed by wsproto, on which
simple-websocket stands, at the level of frames, which is the fastest. ``tests/ws/test_ws_pins.py`` holds what is used
of both libraries.
"""

from __future__ import annotations

import codecs
import struct
from contextlib import suppress
from io import StringIO
from typing import Any, Callable, Optional, Union

import websocket
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from ...errors import TransportError
from ..stream.outlet import Outlet
from ..stream.stream import Stream
from .deflate import agree
from .wire import PeerClose, Take, Violation

__all__ = ["ClientWire", "ServerWire"]

_ABNF = websocket.ABNF
_CONTROL = (_ABNF.OPCODE_CLOSE, _ABNF.OPCODE_PING, _ABNF.OPCODE_PONG)
_TEXT = Opcode.TEXT


class _StreamWire:
    """What both wires have in common: how frames are sent. ``make_text`` makes a text frame."""

    __slots__ = ("_close_sent", "_make_text", "stream")

    def __init__(self, stream: Stream, make_text: "Callable[[str], bytes | bytearray]") -> None:
        self.stream = stream
        self._make_text = make_text
        self._close_sent = False  # guarded by the stream's lock

    @property
    def outlet(self) -> Outlet:
        return self.stream

    def watch(self, notify: Callable[[], None]) -> bool:
        """Return false: there is a descriptor."""
        return False

    def discard(self) -> None:
        if self.stream.read() == b"":
            raise _lost()

    def send_text(self, text: str, wait: bool = True) -> bool:
        stream = self.stream
        with stream.lock:  # also while the frame is made: compressed frames must leave in the order they were made in
            if self._close_sent:
                raise TransportError("the connection is closing")
            if stream.unsent and not wait:
                stream.check_backlog()
            if not stream.put(self._make_text(text)):
                return False
            mark = stream.mark
        if not wait:
            return stream.hand_over()
        stream.drain(mark)
        return False

    def _send_control(self, frame: "bytes | bytearray", last: bool = False) -> bool:
        """Send a control frame, unless a Close was sent; ``last``: this is one. Never waits."""
        with self.stream.lock:
            if self._close_sent:
                return False
            self._close_sent = last
            self.stream.put(frame)
        return self.stream.hand_over()


def _lost() -> TransportError:
    return TransportError("the connection was lost")


class _FrameBuffer(websocket.frame_buffer):
    def __init__(self, read: Callable[[], Optional[bytes]], max_size: int) -> None:
        super().__init__(lambda size: b"", True)  # `recv_strict` reads in its place
        self._read = read
        self._max_size = max_size
        self.pending = bytearray()  #: What was read and is in no frame yet.
        self.message_size = 0  #: The size of the fragments before the present frame.

    def recv_strict(self, bufsize: int) -> bytes:
        """Return exactly ``bufsize`` bytes. Raises ``BlockingIOError`` if fewer have come, and keeps those."""
        while len(self.pending) < bufsize:
            data = self._read()
            if data is None:
                raise BlockingIOError
            if not data:
                raise _lost()
            self.pending += data
        data = bytes(self.pending[:bufsize])
        del self.pending[:bufsize]
        return data

    def recv_length(self) -> None:
        """Read the announced length, and judge the header before the body is read."""
        super().recv_length()
        assert self.header is not None
        assert self.length is not None
        fin, opcode, masked = self.header[0], self.header[4], self.header[5]
        if masked:
            raise Violation(1002, "a server must not mask its frames")
        if opcode in _CONTROL:
            if not fin or self.length > 125:
                raise Violation(1002, "a control frame is fragmented or too long")
        elif self.message_size + self.length > self._max_size:
            raise Violation(1009, f"a message has more than {self._max_size} bytes")


class ClientWire(_StreamWire):
    """The frames of a client: a `Wire` over websocket-client."""

    __slots__ = ("_fragments", "_frames", "_unfinished")

    def __init__(self, stream: Stream, max_size: int) -> None:
        super().__init__(stream, _make_text)
        self._frames = _FrameBuffer(stream.read, max_size)
        self._fragments = bytearray()
        self._unfinished = False

    def receive(self, take: Take) -> Optional[PeerClose]:
        frames = self._frames
        while True:
            try:
                frame = frames.recv_frame()
            except BlockingIOError:
                return None
            except websocket.WebSocketProtocolException as error:
                raise Violation(1002, str(error)) from error
            except websocket.WebSocketException as error:
                raise TransportError(str(error)) from error
            data: Any = frame.data
            if frame.opcode == _ABNF.OPCODE_CLOSE:
                return self._take_close(data)
            if frame.opcode == _ABNF.OPCODE_PING:
                self._send_control(_make_frame(_ABNF.OPCODE_PONG, data))
            elif frame.opcode != _ABNF.OPCODE_PONG:
                self._take_data(frame, take)
            if not frames.pending:
                return None

    def send_ping(self) -> bool:
        return self._send_control(_make_frame(_ABNF.OPCODE_PING, b""))

    def send_close(self, code: int, reason: str) -> bool:
        data = struct.pack("!H", code) + reason.encode("utf-8")
        return self._send_control(_make_frame(_ABNF.OPCODE_CLOSE, data), last=True)

    def _take_data(self, frame: Any, take: Take) -> None:
        """Deliver the message that this frame completes, if it does."""
        if (frame.opcode == _ABNF.OPCODE_CONT) != self._unfinished:
            raise Violation(1002, "a fragment out of order")
        if frame.opcode == _ABNF.OPCODE_BINARY:
            raise Violation(1003, "OCPP messages are text")
        self._unfinished = not frame.fin
        self._fragments += frame.data
        self._frames.message_size += len(frame.data)
        if self._unfinished:
            return
        text = _utf8(self._fragments)
        self._fragments.clear()
        self._frames.message_size = 0
        take(text)

    def _take_close(self, data: bytes) -> PeerClose:
        code = struct.unpack("!H", data[:2])[0] if data else 1005
        close = PeerClose(code, _utf8(data[2:]))
        with suppress(TransportError):  # the peer may be gone, after a proper Close
            self._send_control(_make_frame(_ABNF.OPCODE_CLOSE, data[:2]), last=True)
        return close


def _make_frame(opcode: int, data: Union[str, bytes]) -> bytes:
    frame: bytes = _ABNF.create_frame(data, opcode).format()
    return frame


def _make_text(text: str) -> bytes:
    return _make_frame(_ABNF.OPCODE_TEXT, text)


def _utf8(data: "bytes | bytearray") -> str:
    try:
        return codecs.decode(data, "utf-8")
    except UnicodeDecodeError as error:
        raise Violation(1007, "text that is not UTF-8") from error


class ServerWire(_StreamWire):
    """The frames of a server: a `Wire` over wsproto. ``offer`` is the extension agreed on: see `deflate.agree`."""

    __slots__ = ("_frames", "_max_size", "_parts", "_size")

    def __init__(self, stream: Stream, offer: Optional[str], max_size: int) -> None:
        self._frames = FrameProtocol(False, agree(offer, max_size))
        super().__init__(stream, self._frames.send_data)
        self._max_size = max_size
        self._parts: Optional[StringIO] = None  # of an incomplete message: any number of them, empty ones too
        self._size = 0  # of the parts, in bytes

    def receive(self, take: Take) -> Optional[PeerClose]:
        data = self.stream.read()
        if data is None:
            return None
        if not data:
            raise _lost()
        frames, most = self._frames, self._max_size // 4
        frames.receive_bytes(data)
        try:
            for frame in frames.received_frames():
                if frame.opcode is _TEXT and frame.message_finished and self._parts is None:
                    text: Any = frame.payload
                    if len(text) > most:  # a character has up to 4 bytes, so this may be too much
                        self._count(text)
                    take(text)
                elif frame.opcode.iscontrol():
                    if frame.opcode is not Opcode.PONG:
                        close = self._answer(frame)
                        if close is not None:
                            return close
                else:
                    self._gather(frame, take)
        except ParseFailed as error:
            raise Violation(int(error.code), str(error)) from error
        return None

    def send_ping(self) -> bool:
        return self._send_control(self._frames.ping())

    def send_close(self, code: int, reason: str) -> bool:
        return self._send_control(self._frames.close(code, reason), last=True)

    def _count(self, part: Any) -> int:
        """Return the size of the message so far with this part, in bytes. Raises `Violation` if that is too much."""
        size = self._size + len(part.encode("utf-8") if isinstance(part, str) else part)
        if size > self._max_size:
            raise Violation(1009, f"a message has more than {self._max_size} bytes")
        return size

    def _gather(self, frame: Frame, take: Take) -> None:
        """Add a part of a message; deliver the message if the part is the last."""
        self._size = self._count(frame.payload)
        if not isinstance(frame.payload, str):
            raise Violation(1003, "OCPP messages are text")
        if self._parts is None:
            self._parts = StringIO()
        self._parts.write(frame.payload)
        if frame.message_finished:
            text = self._parts.getvalue()
            self._parts, self._size = None, 0
            take(text)

    def _answer(self, frame: Frame) -> Optional[PeerClose]:
        payload: Any = frame.payload
        if frame.opcode is Opcode.PING:
            self._send_control(self._frames.pong(payload))
            return None
        code, reason = payload
        with suppress(TransportError):  # the peer may be gone, after a proper Close
            self._send_control(self._frames.close(code, reason), last=True)
        return PeerClose(int(code), reason)
