"""`Wire`: a WebSocket connection to a central system, down to its bytes. A case may break each rule with it."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Sequence, Union
from urllib.parse import urlsplit

from ...errors import reduce_error
from ...ws.connection.raw_frame import CLOSE, PING, TEXT, RawFrame
from ...ws.handshake.http import Headers, parse_response
from ...ws.handshake.urls import host_and_port
from ..deadline import Deadline
from ..outcomes import Frames
from ..verdicts import Doubtful, Failed, PeerGone

__all__ = ["BINARY", "CLOSE", "CONTINUATION", "PING", "PONG", "TEXT", "Ended", "Opened", "Wire", "dial"]

#: Opcodes (RFC 6455 section 5.2).
CONTINUATION, BINARY, PONG = 0x0, 0x2, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: How long a connection, the answer to a handshake, and the rest of a frame may take.
PATIENCE = 10.0
#: Frames of a central system that are longer are not read.
_LARGEST = 16 * 1024 * 1024


class Ended(Doubtful):
    """The connection has ended. A case that does not expect that becomes suspicious.

    Attributes:
        code: The close code. ``None``: it was cut, or the Close had no code.
        clean: Whether there was a Close frame.
    """

    def __init__(self, code: Optional[int], reason: str, clean: bool) -> None:
        self.code: Optional[int] = code
        self.clean: bool = clean
        shown = f"the central system closed the connection with {code or 'no code'}" if clean else f"{reason}"
        super().__init__(f"{shown} {reason}".strip() if clean else shown)

    __reduce__ = reduce_error


@dataclass(frozen=True)
class Opened:
    """How a handshake was answered.

    Attributes:
        status: The HTTP status. 0: the connection ended without an answer.
        headers: The header fields.
        wire: The connection, if the status is 101.
    """

    status: int
    headers: Mapping[str, str]
    wire: Optional["Wire"]

    @property
    def subprotocol(self) -> str:
        """The subprotocol that was chosen. "": none."""
        return self.headers.get("Sec-WebSocket-Protocol", "")


def connect(url: str, tls: Optional[ssl.SSLContext], deadline: Deadline) -> socket.socket:
    """Return a TCP connection, or a TLS connection, to the host of a URL.

    Raises:
        PeerGone: It cannot be reached.
    """
    host, port = host_and_port(url)
    try:
        sock = socket.create_connection((host, port), deadline.left(PATIENCE))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if urlsplit(url).scheme == "wss":
            context = tls or ssl.create_default_context()
            try:
                return context.wrap_socket(sock, server_hostname=host)
            except BaseException:
                sock.close()
                raise
        return sock
    except OSError as error:
        raise PeerGone(f"{host}:{port} cannot be reached: {error}") from error


def request_of(url: str, fields: Mapping[str, Union[str, Sequence[str], None]], method: str = "GET") -> bytes:
    """Return a handshake request.

    Args:
        url: Where to.
        fields: Header fields that are added, or stand in place of the usual ones. ``None``: that field is left out. A
            sequence: the field comes several times.
        method: The HTTP method.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual: Dict[str, Union[str, Sequence[str], None]] = {
        "Host": parts.netloc.rpartition("@")[2],
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in {**usual, **fields}.items():
        values = [value] if isinstance(value, str) else value or ()
        lines += [f"{name}: {each}" for each in values]
    return "\r\n".join([*lines, "", ""]).encode("utf-8")


def dial(
    url: str,
    fields: Mapping[str, Union[str, Sequence[str], None]],
    frames: Frames,
    deadline: Deadline,
    tls: Optional[ssl.SSLContext] = None,
    method: str = "GET",
) -> Opened:
    """Connect, send a handshake, and return how it was answered. The arguments are those of `request_of`.

    Raises:
        Failed: The answer is no HTTP, or breaks the rules of the WebSocket handshake (RFC 6455 section 4.2.2).
        PeerGone: The central system cannot be reached.
    """
    request = request_of(url, fields, method)
    sock = connect(url, tls, deadline)
    offered = fields.get("Sec-WebSocket-Protocol")
    offered_text = offered if isinstance(offered, str) else ", ".join(offered or ())
    extra = "".join(f", {name}" for name in fields if name not in ("Authorization", "Sec-WebSocket-Protocol"))
    frames.note("station", f"<{request.split(b' HTTP')[0].decode()} [{offered_text}]{extra}>")
    wire = Wire(sock, frames, deadline)
    try:
        wire.send_bytes(request)
        head = wire.read_until(b"\r\n\r\n")
    except (Ended, OSError) as error:
        wire.abort()
        frames.note("csms", f"<no answer to the handshake: {error}>")
        return Opened(0, {}, None)
    except BaseException:
        wire.abort()
        raise
    answer = parse_response(head[:-4])
    if answer is None:
        wire.abort()
        raise Failed("the answer to the handshake is no HTTP")
    headers = Headers(answer.headers.items())
    frames.note("csms", f"<HTTP {answer.status} [{headers.get('Sec-WebSocket-Protocol', '')}]>")
    if answer.status != 101:
        wire.abort()
        return Opened(answer.status, headers, None)
    wire.key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    return Opened(101, headers, wire)


def accept_of(key: bytes) -> str:
    """Return the Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()


class Wire:
    """A connection. One thread uses it.

    Args:
        sock: Its socket.
        frames: Where frames are noted.
        deadline: Until when to wait.

    Attributes:
        key: The Sec-WebSocket-Key of its handshake.
        is_open: Whether neither side has ended it, as far as that is known.
    """

    def __init__(self, sock: socket.socket, frames: Frames, deadline: Deadline) -> None:
        self._sock = sock
        self._frames = frames
        self._deadline = deadline
        self._received = bytearray()
        self._parts = bytearray()  # of a message in several frames
        self._has_closed = False  # we have sent a Close
        self.is_open: bool = True
        self.key = b""

    def send_bytes(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._sock.settimeout(self._deadline.left(PATIENCE))
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise Ended(None, f"the connection was cut: {error}", False) from error

    def send(self, opcode: int, data: bytes, *, fin: bool = True, masked: bool = True) -> None:
        """Write a WebSocket frame."""
        self.note_frame("station", opcode, data)
        self._has_closed = self._has_closed or opcode == CLOSE
        self.send_bytes(RawFrame(opcode, data, fin).encode(masked))

    def send_text(self, text: str) -> None:
        """Write a text frame."""
        self.send(TEXT, text.encode("utf-8"))

    def note_frame(self, sender: str, opcode: int, data: bytes) -> None:
        """Note a frame for the report."""
        if opcode in (TEXT, CONTINUATION):
            self._frames.note(sender, data.decode("utf-8", "backslashreplace"))
        elif opcode == CLOSE:
            code = str(struct.unpack("!H", data[:2])[0]) if len(data) > 1 else "no code"
            self._frames.note(sender, f"<{f'close {code} ' + data[2:].decode('utf-8', 'replace')}".strip() + ">")
        else:
            name = {PING: "ping", PONG: "pong", BINARY: "binary"}.get(opcode, f"opcode {opcode}")
            self._frames.note(sender, f"<{name} of {len(data)} bytes>")

    def receive(self, within: float) -> Optional[RawFrame]:
        """Return the next message, or control frame, or ``None`` when there is none in so many seconds.

        Pings are answered.

        Raises:
            Ended: The connection has ended.
            Failed: A frame breaks the rules of WebSocket.
        """
        while True:
            frame = self._receive_frame(within)
            if frame is None:
                return None
            whole = self._join(frame)
            if whole is not None:
                self.note_frame("csms", whole.opcode, whole.data)
                if whole.opcode == CLOSE:
                    raise self._closed(whole.data)
                if whole.opcode == PING:
                    self.send(PONG, whole.data)
                else:
                    return whole

    def _join(self, frame: RawFrame) -> Optional[RawFrame]:
        if frame.opcode >= 8:
            if not frame.fin or len(frame.data) > 125:
                raise Failed("a control frame is in several parts, or longer than 125 bytes (RFC 6455 section 5.5)")
            return frame
        self._parts += frame.data
        if not frame.fin:
            return None
        data, self._parts = bytes(self._parts), bytearray()
        return RawFrame(TEXT if frame.opcode == CONTINUATION else frame.opcode, data, True)

    def _closed(self, data: bytes) -> Ended:
        code = struct.unpack("!H", data[:2])[0] if len(data) > 1 else None
        try:
            if not self._has_closed:
                self.send(CLOSE, data[:2])
        except Ended:
            pass  # it has not waited for the answer
        self.is_open = False
        return Ended(code, data[2:].decode("utf-8", "replace"), True)

    def _receive_frame(self, within: float) -> Optional[RawFrame]:
        if not self._fill(2, within):
            return None
        first, second = self._received[0], self._received[1]
        if second & 0x80:
            raise Failed("a frame of a server is masked (RFC 6455 section 5.1)")
        if first & 0x70:
            raise Failed("a frame has reserved bits, and no extension was agreed (RFC 6455 section 5.2)")
        size, head = second & 0x7F, 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            self._fill_rest(2 + wide)
            size, head = int.from_bytes(self._received[2 : 2 + wide], "big"), 2 + wide
        if size > _LARGEST:
            raise Failed(f"a frame of {size} bytes")
        self._fill_rest(head + size)
        data = bytes(self._received[head : head + size])
        del self._received[: head + size]
        return RawFrame(first & 0x0F, data, bool(first & 0x80))

    def _fill_rest(self, size: int) -> None:
        if not self._fill(size, PATIENCE):
            raise Failed(f"a frame did not come whole within {PATIENCE:g} s")

    def _fill(self, size: int, within: float) -> bool:
        """Read until there are ``size`` bytes. Return whether they came in time."""
        patience = Deadline(within)
        while len(self._received) < size:
            left = min(patience.seconds_left(), self._deadline.left(PATIENCE))
            if left <= 0:
                return False
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(65536)
            except (socket.timeout, ssl.SSLWantReadError):
                continue
            except OSError as error:
                raise self._cut(str(error)) from error
            if not data:
                raise self._cut("without a Close frame")
            self._received += data
        return True

    def _cut(self, why: str) -> Ended:
        self.is_open = False
        self._frames.note("csms", f"<the connection ended: {why}>")
        return Ended(None, f"the connection was cut: {why}", False)

    def read_until(self, mark: bytes) -> bytes:
        """Return the bytes up to a mark, and with it."""
        while mark not in self._received:
            if len(self._received) > 65536 or not self._fill(len(self._received) + 1, PATIENCE):
                raise Ended(None, f"no answer within {PATIENCE:g} s", False)
        end = self._received.index(mark) + len(mark)
        data = bytes(self._received[:end])
        del self._received[:end]
        return data

    def end_sending(self) -> None:
        """End our direction of the TCP connection."""
        self._frames.note("station", "<end of our direction>")
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Ended(None, f"the connection was cut: {error}", False) from error

    def ends(self, within: float) -> Optional[Ended]:
        """Return how the connection ends in so many seconds. ``None``: it goes on."""
        try:
            while self.receive(within) is not None:
                pass
        except Ended as error:
            return error
        return None

    def patience(self, seconds: float) -> Deadline:
        """Return a deadline in so many seconds, or less when that of the case comes before."""
        return Deadline(self._deadline.left(seconds))

    def close(self, within: float = 1.0) -> None:
        """Close as the rules ask for, and wait so many seconds for the answer."""
        try:
            self.send(CLOSE, struct.pack("!H", 1000))
            while self.receive(within) is not None:
                pass
        except Exception:
            pass  # it has ended, in whatever way
        self.abort()

    def abort(self) -> None:
        """Cut the connection: no Close frame, and a reset where the system does that."""
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self._sock.close()
        self.is_open = False
