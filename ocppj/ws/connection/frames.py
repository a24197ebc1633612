"""The frames of a connection over a `Stream`: `FrameWire` (see `wire.Wire`), and a `FrameReader`.

wsproto, on which simple-websocket stands, makes and parses frames, for a client as for a server. A message that comes
as one whole frame of plain text, as nearly all do, is read by `plain_frames` in a tenth of the time: then wsproto does
not see it. All else goes to wsproto. ``tests/ws/test_ws_pins.py`` holds what is used of it.
"""

from __future__ import annotations

import struct
import time
from contextlib import suppress
from typing import Any, Callable, Optional, Union

from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from ...budget import UNFINISHED, MemoryBudget
from ...errors import TransportError
from ..stream.outlet import Outlet
from ..stream.stream import Stream
from .deflate import agree
from .plain_frames import WHOLE_TEXT, frame_of_text, text_of_frame
from .raw_frame import CLOSE, RawFrame
from .wire import PeerClose, Take, Violation

__all__ = ["FrameReader", "FrameWire", "LibraryFrames"]

_PLAIN = bytes((WHOLE_TEXT,))
_NO_CODE = 1005  # stands for a Close without a code (RFC 6455 section 7.4.1)
_TRY_AGAIN_LATER, _BAD_GATEWAY = struct.pack("!H", 1013), struct.pack("!H", 1014)


class LibraryFrames(FrameProtocol):
    """wsproto's, which does not know the Close code 1014 (registered by IANA: "Bad Gateway")."""

    @property
    def between_messages(self) -> bool:
        """Whether nothing has come that is in no message yet."""
        decoder = self._frame_decoder
        return not decoder.buffer and decoder.header is None and self._message_decoder.opcode is None

    @property
    def plain_is_next(self) -> bool:
        """Whether what has come behind the present frame begins like a whole frame of plain text."""
        return self._frame_decoder.buffer.buffer[:1] == _PLAIN

    def give_back(self) -> bytes:
        """Return what has come behind the present frame, and forget both."""
        buffer = self._frame_decoder.buffer.buffer
        data = bytes(buffer)
        buffer.clear()
        next(self.received_frames(), None)  # there is none: wsproto lets go of the last one
        return data

    @property
    def announced(self) -> int:
        """How many bytes of the present frame have not come; 0 for a control frame, and for what may be compressed."""
        decoder = self._frame_decoder
        if self.extensions or decoder.header is None or decoder.header.opcode.iscontrol():
            return 0
        return decoder.header.payload_len - decoder.payload_consumed

    def _process_close(self, frame: Frame) -> Frame:
        data: Any = frame.payload
        if data[:2] != _BAD_GATEWAY:
            return super()._process_close(frame)
        close: Any = super()._process_close(frame._replace(payload=_TRY_AGAIN_LATER + data[2:]))
        return frame._replace(payload=(1014, close.payload[1]))


class FrameWire:
    """The frames of one side of a connection: a `Wire` over wsproto.

    The parts of a message are kept as bytes, and decoded when the last has come: a text of parts could take four times
    their size.

    Args:
        stream: The bytes.
        max_size: The most bytes of a message.
        budget: Counts what has come of an unfinished message.
        client: Whether this side is the client, which masks its frames (RFC 6455 section 5.1).
        extension: The permessage-deflate that was agreed on: see `deflate.agree`.
    """

    __slots__ = (
        "_budget", "_client", "_close_sent", "_frames", "_max_size", "_parts", "counted", "stream", "unfinished_since",
    )  # fmt: skip

    def __init__(
        self,
        stream: Stream,
        max_size: int,
        budget: Optional[MemoryBudget] = None,
        *,
        client: bool = False,
        extension: Optional[str] = None,
    ) -> None:
        self.stream: Stream = stream
        self._client = client
        self._frames = LibraryFrames(client, agree(extension, max_size, client))
        self._max_size = max_size
        self._budget = budget
        self._close_sent = False  # guarded by the stream's lock
        self.counted: int = 0  # bytes of an unfinished message that the budget has
        #: When the frame or the message began whose end has not come. wsproto has its beginning, and gets the rest.
        self.unfinished_since: Optional[float] = None
        self._parts: Optional[bytearray] = None  # of an incomplete message: any number of them, empty ones too

    @property
    def outlet(self) -> Outlet:
        return self.stream

    def watch(self, notify: Callable[[], None]) -> bool:
        """Return false: there is a descriptor."""
        return False

    def receive(self, take: Take) -> Optional[PeerClose]:
        data = self.stream.read()
        if data is None:
            return None
        if not data:
            raise _lost()
        if self.unfinished_since is None:
            data = self._receive_plain(data, take)
        while data:
            left = self._receive_by_library(data, take)
            if isinstance(left, PeerClose):
                return left
            data = self._receive_plain(left, take)
        return None

    def _receive_plain(self, data: bytes, take: Take) -> bytes:
        """Deliver the messages at the beginning of ``data`` that are whole frames of text.

        Return what is left; nothing if ``take`` wants no more: then the stream has it again, and tells of it.
        """
        at, size, most = 0, len(data), self._max_size // 4
        while at < size:
            found = text_of_frame(data, at, not self._client)
            if found is None:
                break
            text, at = found
            if len(text) > most:  # a character has up to 4 bytes, so this may be too much
                self._check_size(len(text.encode("utf-8")))
            if take(text):
                self.stream.unread(data[at:])
                return b""
        return data[at:]

    def _receive_by_library(self, data: bytes, take: Take) -> Union[PeerClose, bytes]:
        """Deliver messages of any form. Return the Close, or what is left, as `_receive_plain` does.

        Something is left if it may be plain again.
        """
        frames = self._frames
        frames.receive_bytes(data)
        try:
            for frame in frames.received_frames():
                if frame.opcode.iscontrol():
                    close = self._answer(frame)
                    if close is not None:
                        return close
                elif self._gather(frame, take):
                    self.stream.unread(frames.give_back())
                    return b""
                if self._parts is None:
                    self.unfinished_since = None
                    if frames.plain_is_next:
                        return frames.give_back()
        except ParseFailed as error:
            raise Violation(int(error.code), str(error)) from error
        if self.unfinished_since is None and not frames.between_messages:
            self.unfinished_since = time.monotonic()
        if self._client:  # before all of a frame that is too big has come: a charge point pays for what it gets
            self._check_size(len(self._parts or b"") + frames.announced)
        return b""

    def discard(self) -> None:
        if self.stream.read() == b"":
            raise _lost()

    def forget(self) -> None:
        self._parts = None
        self._frames.give_back()
        self._count_unfinished(0)

    def answer_close(self, close: PeerClose) -> None:
        with suppress(TransportError):  # the peer may be gone, after a proper Close
            code = None if close.code == _NO_CODE else close.code
            self._send_control(self._frames.close(code, close.reason), last=True)

    def send_text(self, text: str, wait: bool = True, held_back: Callable[[], bool] = lambda: False) -> bool:
        stream, frames = self.stream, self._frames
        with stream.lock:  # also while the frame is made: compressed frames must leave in the order they were made in
            if self._close_sent:
                raise TransportError("the connection is closing")
            if stream.unsent and not wait:
                stream.check_backlog()
            frame = frames.send_data(text) if frames.extensions else frame_of_text(text, self._client)
            if not stream.put(frame):
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
            stream.put(frame.encode(self._client))
            mark = stream.mark
        stream.drain(mark)

    def send_ping(self) -> bool:
        return self._send_control(self._frames.ping())

    def send_close(self, code: int, reason: str) -> bool:
        return self._send_control(self._frames.close(code, reason), last=True)

    def _send_control(self, frame: "bytes | bytearray", last: bool = False) -> bool:
        """Send a control frame, unless a Close was sent; ``last``: this is one. Never waits."""
        with self.stream.lock:
            if self._close_sent:
                return False
            self._close_sent = last
            self.stream.put(frame)
        return self.stream.hand_over()

    def _check_size(self, size: int) -> None:
        """Raise `Violation` if ``size``, in bytes, is more than a message may have."""
        if size > self._max_size:
            raise _too_big(self._max_size)

    def _count_unfinished(self, size: int) -> None:
        """Have the budget count ``size`` bytes of an unfinished message. Raises `Violation`."""
        if size != self.counted and self._budget is not None:
            if not self._budget.count(self, UNFINISHED, size):
                raise Violation(1013, "this side holds too much", "memory")

    def _gather(self, frame: Frame, take: Take) -> Any:
        """Add a part of a message. If it is the last, deliver the message, and return what ``take`` does."""
        text, parts = isinstance(frame.payload, str), self._parts
        part: Any = frame.payload.encode("utf-8") if isinstance(frame.payload, str) else frame.payload
        self._check_size(len(parts or b"") + len(part))
        if not text:
            raise Violation(1003, "OCPP messages are text")
        if parts is None:
            parts = self._parts = bytearray()
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


def _too_big(max_size: int) -> Violation:
    """Return the violation of a peer whose message is larger than ``max_size``."""
    return Violation(1009, f"a message has more than {max_size} bytes")


def _lost() -> TransportError:
    return TransportError("the connection was lost")


class FrameReader:
    """Reads single frames by the rules of `ServerWire`, where there are no bytes: in memory."""

    def __init__(self, max_size: int) -> None:
        self._frames = LibraryFrames(True, [])
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
