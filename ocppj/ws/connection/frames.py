"""The frames of a connection over a `Stream`: `ClientWire` and `ServerWire` (see `wire.Wire`), and a `FrameReader`.

A client's frames are made and parsed by websocket-client, whose ``frame_buffer`` goes on where it ended when no more
bytes were there. `ClientWire` answers pings and Closes and joins fragments itself, because websocket-client's own way
would answer each Close with 1000 and has no limit. A server's frames are made and parsed by wsproto, on which
simple-websocket stands, at the level of frames, which is the fastest. ``tests/ws/test_ws_pins.py`` holds what is used
of both libraries.
"""

from __future__ import annotations

import codecs
import struct
import time
from contextlib import suppress
from typing import Any, Callable, Optional, Union

import websocket
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from ...budget import UNFINISHED, MemoryBudget
from ...errors import TransportError
from ..stream.outlet import Outlet
from ..stream.stream import Stream
from .deflate import agree
from .raw_frame import CLOSE, RawFrame
from .wire import PeerClose, Take, Violation

__all__ = ["ClientWire", "FrameReader", "ServerWire"]

_ABNF = websocket.ABNF
_CONTROL = (_ABNF.OPCODE_CLOSE, _ABNF.OPCODE_PING, _ABNF.OPCODE_PONG)
_TEXT = Opcode.TEXT
#: The smallest and the largest length that each long form may hold (RFC 6455 section 5.2). wsproto checks it itself.
_LENGTHS = {126: (126, 2**16 - 1), 127: (2**16, 2**63 - 1)}
_NO_CODE = 1005  # stands for a Close without a code (RFC 6455 section 7.4.1)
_TRY_AGAIN_LATER, _BAD_GATEWAY = struct.pack("!H", 1013), struct.pack("!H", 1014)


class _StreamWire:
    """What both wires have in common: how frames are sent, and how an unfinished message is counted.

    ``make_text`` makes a text frame. The parts of a message are kept as bytes, and decoded when the last has come: a
    text of parts could take four times their size.
    """

    __slots__ = ("_budget", "_close_sent", "_make_text", "counted", "stream", "unfinished_since")

    _masks = False  # whether its frames are masked: a client's are (RFC 6455 section 5.1)

    def __init__(
        self, stream: Stream, make_text: "Callable[[str], bytes | bytearray]", budget: Optional[MemoryBudget]
    ) -> None:
        self.stream: Stream = stream
        self._make_text = make_text
        self._close_sent = False  # guarded by the stream's lock
        self._budget = budget
        self.counted: int = 0  # bytes of an unfinished message that the budget has
        self.unfinished_since: Optional[float] = None

    @property
    def outlet(self) -> Outlet:
        return self.stream

    def watch(self, notify: Callable[[], None]) -> bool:
        """Return false: there is a descriptor."""
        return False

    def discard(self) -> None:
        if self.stream.read() == b"":
            raise _lost()

    def answer_close(self, close: PeerClose) -> None:
        with suppress(TransportError):  # the peer may be gone, after a proper Close
            self._send_control(self._make_close(close), last=True)

    def _make_close(self, close: PeerClose) -> "bytes | bytearray":
        """Return the frame that answers ``close``."""
        raise NotImplementedError

    def _count_unfinished(self, size: int) -> None:
        """Have the budget count ``size`` bytes of an unfinished message. Raises `Violation`."""
        if size != self.counted and self._budget is not None:
            if not self._budget.count(self, UNFINISHED, size):
                raise Violation(1013, "this side holds too much", "memory")

    def send_text(self, text: str, wait: bool = True, held_back: Callable[[], bool] = lambda: False) -> bool:
        stream = self.stream
        with stream.lock:  # also while the frame is made: compressed frames must leave in the order they were made in
            if self._close_sent:
                raise TransportError("the connection is closing")
            if stream.unsent and not wait:
                stream.check_backlog()
            if not stream.put(self._make_text(text)):
                return False
            mark = stream.mark
        if not wait or held_back():
            return stream.hand_over()
        stream.drain(mark)
        return False

    def send_frame(self, frame: RawFrame) -> None:
        stream = self.stream
        with stream.lock:
            self._close_sent = self._close_sent or frame.opcode == CLOSE
            stream.put(frame.encode(self._masks))
            mark = stream.mark
        stream.drain(mark)

    def _send_control(self, frame: "bytes | bytearray", last: bool = False) -> bool:
        """Send a control frame, unless a Close was sent; ``last``: this is one. Never waits."""
        with self.stream.lock:
            if self._close_sent:
                return False
            self._close_sent = last
            self.stream.put(frame)
        return self.stream.hand_over()


def _too_big(max_size: int) -> Violation:
    """Return the violation of a peer whose message is larger than ``max_size``."""
    return Violation(1009, f"a message has more than {max_size} bytes")


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
        fin, opcode, masked, form = self.header[0], *self.header[4:7]
        if masked:
            raise Violation(1002, "a server must not mask its frames")
        if form in _LENGTHS and not _LENGTHS[form][0] <= self.length <= _LENGTHS[form][1]:
            raise Violation(1002, "the length of a frame is not in its shortest form")
        if opcode in _CONTROL:
            if not fin or self.length > 125:
                raise Violation(1002, "a control frame is fragmented or too long")
        elif self.message_size + self.length > self._max_size:
            raise _too_big(self._max_size)


class ClientWire(_StreamWire):
    """The frames of a client: a `Wire` over websocket-client."""

    __slots__ = ("_fragments", "_frames", "_unfinished")

    _masks = True

    def __init__(self, stream: Stream, max_size: int, budget: Optional[MemoryBudget] = None) -> None:
        super().__init__(stream, _make_text, budget)
        self._frames = _FrameBuffer(stream.read, max_size)
        self._fragments = bytearray()
        self._unfinished = False

    def receive(self, take: Take) -> Optional[PeerClose]:
        frames = self._frames
        while True:
            try:
                frame = frames.recv_frame()
            except BlockingIOError:
                self._note_unfinished()
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
                if self._take_data(frame, take):
                    return None
            if not frames.pending:
                if self._unfinished or self.unfinished_since is not None:
                    self._note_unfinished()
                return None

    def forget(self) -> None:
        self._fragments.clear()
        self._frames.pending.clear()
        self._count_unfinished(0)

    def _note_unfinished(self) -> None:
        """Note whether a message has begun, and how much of it has come."""
        frames = self._frames
        if not (self._unfinished or frames.pending or frames.header is not None):
            self.unfinished_since = None
        elif self.unfinished_since is None:
            self.unfinished_since = time.monotonic()
        self._count_unfinished(len(self._fragments) + len(frames.pending))

    def send_ping(self) -> bool:
        return self._send_control(_make_frame(_ABNF.OPCODE_PING, b""))

    def send_close(self, code: int, reason: str) -> bool:
        data = struct.pack("!H", code) + reason.encode("utf-8")
        return self._send_control(_make_frame(_ABNF.OPCODE_CLOSE, data), last=True)

    def _take_data(self, frame: Any, take: Take) -> Any:
        """Deliver the message that this frame completes, if it does, and return what ``take`` does."""
        if (frame.opcode == _ABNF.OPCODE_CONT) != self._unfinished:
            raise Violation(1002, "a fragment out of order")
        if frame.opcode == _ABNF.OPCODE_BINARY:
            raise Violation(1003, "OCPP messages are text")
        self._unfinished = not frame.fin
        self._fragments += frame.data
        self._frames.message_size += len(frame.data)
        if self._unfinished:
            return False
        text = _utf8(self._fragments)
        self._fragments.clear()
        self._frames.message_size = 0
        self.unfinished_since = None
        if self.counted:
            self._count_unfinished(0)
        return take(text)

    def _make_close(self, close: PeerClose) -> bytes:
        return _make_frame(_ABNF.OPCODE_CLOSE, b"" if close.code == _NO_CODE else struct.pack("!H", close.code))

    def _take_close(self, data: bytes) -> PeerClose:
        code = struct.unpack("!H", data[:2])[0] if data else _NO_CODE
        return PeerClose(code, _utf8(data[2:]))


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


class _Protocol(FrameProtocol):
    """wsproto's, which does not know the Close code 1014 (registered by IANA: "Bad Gateway")."""

    def _process_close(self, frame: Frame) -> Frame:
        data: Any = frame.payload
        if data[:2] != _BAD_GATEWAY:
            return super()._process_close(frame)
        close: Any = super()._process_close(frame._replace(payload=_TRY_AGAIN_LATER + data[2:]))
        return frame._replace(payload=(1014, close.payload[1]))


class ServerWire(_StreamWire):
    """The frames of a server: a `Wire` over wsproto. ``offer`` is the extension agreed on: see `deflate.agree`."""

    __slots__ = ("_frames", "_interrupted", "_max_size", "_parts")

    def __init__(
        self, stream: Stream, offer: Optional[str], max_size: int, budget: Optional[MemoryBudget] = None
    ) -> None:
        self._frames = _Protocol(False, agree(offer, max_size))
        super().__init__(stream, self._frames.send_data, budget)
        self._max_size = max_size
        self._parts: Optional[bytearray] = None  # of an incomplete message: any number of them, empty ones too
        self._interrupted = False  # ``take`` wanted no more, and there may be frames that have come

    def receive(self, take: Take) -> Optional[PeerClose]:
        frames, most = self._frames, self._max_size // 4
        if not self._interrupted:
            data = self.stream.read()
            if data is None:
                return None
            if not data:
                raise _lost()
            frames.receive_bytes(data)
        self._interrupted = False
        try:
            for frame in frames.received_frames():
                if frame.opcode is _TEXT and frame.message_finished and self._parts is None:
                    text: Any = frame.payload
                    if len(text) > most:  # a character has up to 4 bytes, so this may be too much
                        self._check_size(len(text.encode("utf-8")))
                    if take(text):
                        self._interrupted = True
                        return None
                elif frame.opcode.iscontrol():
                    close = self._answer(frame)
                    if close is not None:
                        return close
                elif self._gather(frame, take):
                    self._interrupted = True
                    return None
        except ParseFailed as error:
            raise Violation(int(error.code), str(error)) from error
        return None

    def forget(self) -> None:
        self._parts = None
        self._count_unfinished(0)

    def send_ping(self) -> bool:
        return self._send_control(self._frames.ping())

    def send_close(self, code: int, reason: str) -> bool:
        return self._send_control(self._frames.close(code, reason), last=True)

    def _check_size(self, size: int) -> None:
        """Raise `Violation` if ``size``, in bytes, is more than a message may have."""
        if size > self._max_size:
            raise _too_big(self._max_size)

    def _gather(self, frame: Frame, take: Take) -> Any:
        """Add a part of a message. If it is the last, deliver the message, and return what ``take`` does."""
        text, parts = isinstance(frame.payload, str), self._parts
        part: Any = frame.payload.encode("utf-8") if isinstance(frame.payload, str) else frame.payload
        self._check_size(len(parts or b"") + len(part))
        if not text:
            raise Violation(1003, "OCPP messages are text")
        if parts is None:
            parts = self._parts = bytearray()
            self.unfinished_since = time.monotonic()
        parts += part
        if not frame.message_finished:
            self._count_unfinished(len(parts))
            return False
        self._parts = self.unfinished_since = None
        if self.counted:
            self._count_unfinished(0)
        return take(parts.decode("utf-8"))

    def _answer(self, frame: Frame) -> Optional[PeerClose]:
        payload: Any = frame.payload
        if frame.opcode is not Opcode.CLOSE:
            if frame.opcode is Opcode.PING:
                self._send_control(self._frames.pong(payload))
            return None
        code, reason = payload
        return PeerClose(int(code), reason)

    def _make_close(self, close: PeerClose) -> "bytes | bytearray":
        return self._frames.close(None if close.code == _NO_CODE else close.code, close.reason)


class FrameReader:
    """Reads single frames by the rules of `ServerWire`, where there are no bytes: in memory."""

    def __init__(self, max_size: int) -> None:
        self._frames = _Protocol(True, [])
        self._max_size = max_size
        self._text = ""
        self.unfinished: bool = False  #: Whether a message has begun whose end has not come.

    def read(self, frame: RawFrame) -> Union[str, PeerClose, None]:
        """Return the message that ``frame`` completes, or the Close that it is. Raises `Violation`."""
        self._frames.receive_bytes(frame.encode(masked=False))
        try:
            ((opcode, data, _, finished),) = self._frames.received_frames()
        except ParseFailed as error:
            raise Violation(int(error.code), str(error)) from error
        payload: Any = data
        if opcode is Opcode.CLOSE:
            code, reason = payload
            return PeerClose(int(code), reason)
        if opcode.iscontrol():
            return None
        if not isinstance(payload, str):
            raise Violation(1003, "OCPP messages are text")
        text, self._text, self.unfinished = self._text + payload, "", not finished
        if len(text.encode("utf-8")) > self._max_size:
            raise _too_big(self._max_size)
        if finished:
            return text
        self._text = text
        return None
