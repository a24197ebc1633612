"""The charge point's WebSocket client: websocket-client over a socket of ours.

Theory of operation. We connect the TCP socket (all addresses, one deadline), do TLS, and hand websocket-client a
`_Handshake` in place of a socket: it lets the library's request through and reads the whole head of the response
itself, within a limit and the deadline. So redirects, error bodies and cookies never reach the library, and a refusal
becomes `HandshakeRefused` at once. What may hold secrets, header fields of ours and the URL's query, is added on the
way out: the library, which can be told to log what it sends, never sees it. After the handshake the library reads and
writes the `SafeSocket`.

Frames are read with the library's ``recv_frame``, which keeps what it has when a read finds nothing, and goes on from
there the next time. `_Frames` replaces its buffer: it checks an announced length before the body is read. Pings,
Closes and fragments are answered and put together here, since the library's own way would answer each Close with 1000
and has no limit. What that uses of the library is held by ``tests/ws/test_ws_pins.py``.
"""

from __future__ import annotations

import codecs
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

import websocket

from ..errors import HandshakeRefused, SubprotocolError, TransportError, UsageError
from ..settings import get_logger
from .checks import check_positive, check_text
from .connecting.dial import dial
from .connecting.dns import Resolver
from .connecting.session import Attempt, ClientCore, Session
from .connection.wire import PeerClose, SocketWire, Take, Violation, Wire
from .handshake.credentials import BasicAuthOption, HeadersOption, UpgradeFields
from .handshake.http import BadRequest, Headers, parse_retry_after, read_head
from .handshake.security_profiles import check_client_profile, check_context, check_profile, check_user, exposed
from .handshake.urls import connection_url
from .stream.stream import SafeSocket
from .tls import client_tls_context

__all__ = ["WebSocketClient"]

_ABNF = websocket.ABNF
_REASON = 100  # characters of a server's reason that are worth telling: it may send thousands, at each attempt
_CONTROL = (_ABNF.OPCODE_CLOSE, _ABNF.OPCODE_PING, _ABNF.OPCODE_PONG)


class _Frames(websocket.frame_buffer):
    """websocket-client's frame parser, with limits."""

    def __init__(self, wire: "_ClientWire", max_size: int) -> None:
        super().__init__(wire.recv, True)
        self._max_size = max_size
        self._got = bytearray()
        self.message_size = 0  # of the fragments before the present frame

    def recv_strict(self, bufsize: int) -> bytes:
        """Return exactly ``bufsize`` bytes; keep what there is when reading raises."""
        while len(self._got) < bufsize:
            self._got += self.recv(min(65536, bufsize - len(self._got)))
        data = bytes(self._got[:bufsize])
        del self._got[:bufsize]
        return data

    def recv_length(self) -> None:
        """Read the announced length, and judge the header before any of the body is read."""
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


class _ClientWire(SocketWire):
    """A `wire.Wire` over websocket-client."""

    __slots__ = ("_fragments", "_frames", "_unfinished", "_ws")

    def __init__(self, sock: SafeSocket, ws: websocket.WebSocket, max_size: int) -> None:
        super().__init__(sock)
        sock.settimeout(0)
        self._ws = ws
        self._frames = ws.frame_buffer = _Frames(self, max_size)
        self._fragments = bytearray()
        self._unfinished = False

    def receive(self, take: Take) -> Optional[PeerClose]:
        """See `wire.Wire.receive`."""
        while True:
            try:
                frame = self._ws.recv_frame()  # type: ignore[no-untyped-call]
            except BlockingIOError:
                return None
            except websocket.WebSocketProtocolException as error:
                raise Violation(1002, str(error)) from error
            except websocket.WebSocketException as error:
                raise TransportError(str(error)) from error
            if frame.opcode == _ABNF.OPCODE_CLOSE:
                return self._take_close(frame.data)
            if frame.opcode == _ABNF.OPCODE_PING:
                self._send_control(_make_frame(_ABNF.OPCODE_PONG, frame.data))
            elif frame.opcode != _ABNF.OPCODE_PONG:
                self._take_data(frame, take)
            if not self.sock.buffered:
                return None

    def recv(self, size: int) -> bytes:
        """Read for the library, without waiting. Raises ``BlockingIOError``, and `TransportError` at the end."""
        data = self.sock.recv(size)
        if not data:
            raise TransportError("the connection was lost")
        return data

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
        """Answer the peer's Close with its own code, unless we have sent one."""
        code = struct.unpack("!H", data[:2])[0] if data else 1005
        close = PeerClose(code, _utf8(data[2:]))
        with suppress(TransportError):  # of a peer that is gone, after a proper Close
            self._send_control(_make_frame(_ABNF.OPCODE_CLOSE, data[:2]), last=True)
        return close

    def _text_frame(self, text: str) -> bytes:
        return _make_frame(_ABNF.OPCODE_TEXT, text)

    def _ping_frame(self) -> bytes:
        return _make_frame(_ABNF.OPCODE_PING, b"")

    def _close_frame(self, code: int, reason: str) -> bytes:
        return _make_frame(_ABNF.OPCODE_CLOSE, struct.pack("!H", code) + reason.encode("utf-8"))


def _make_frame(opcode: int, data: Union[str, bytes]) -> bytes:
    frame: bytes = _ABNF.create_frame(data, opcode).format()
    return frame


def _utf8(data: "bytes | bytearray") -> str:
    try:
        return codecs.decode(data, "utf-8")
    except UnicodeDecodeError as error:
        raise Violation(1007, "text that is not UTF-8") from error


class _Handshake:
    """What websocket-client takes for a socket while it shakes hands."""

    def __init__(self, sock: SafeSocket, query: str, fields: Mapping[str, str], limit: int, deadline: float) -> None:
        self._sock = sock
        self._query = f"?{query}".encode() if query else b""
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("utf-8")
        self._limit = limit
        self._deadline = deadline
        self._head: Optional[bytes] = None
        self._closed = False

    def gettimeout(self) -> Optional[float]:
        """Return 0, for which the library leaves waiting to `recv`."""
        return 0

    def settimeout(self, timeout: Optional[float]) -> None:
        """Do nothing: there is a deadline."""

    def send(self, data: bytes) -> int:
        """Pass the request on, with our own fields, which the library has not seen and cannot log."""
        line, end, rest = data.partition(b"\r\n")
        if not rest.endswith(b"\r\n\r\n"):
            raise TransportError("the library did not send its request at once")
        method, _, after = line.partition(b" ")
        target, _, version = after.rpartition(b" ")
        self._sock.send(method + b" " + target + self._query + b" " + version + end + self._fields + rest)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return bytes of the response's head, never of what follows it. Raises `HandshakeRefused`."""
        if self._head is None:
            self._head = self._read_head()
        data, self._head = self._head[:size], self._head[size:]
        return data

    def close(self) -> None:
        """Do nothing: whoever made the socket closes it."""

    def _read_head(self) -> bytes:
        head = read_head(self._sock, self._limit, self._deadline)
        lines = head.split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        status, _, reason = rest.partition(b" ")
        if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
            raise TransportError("the server does not speak HTTP")
        if status != b"101":
            parts = [line.decode("iso-8859-1").partition(":") for line in lines[1:]]
            fields = Headers((name, text.strip()) for name, _, text in parts)
            words = reason.decode("iso-8859-1")[:_REASON]
            raise HandshakeRefused(int(status), words, parse_retry_after(fields))
        return b"\r\n".join(line for line in lines if not line.lower().startswith(b"set-cookie"))


class WebSocketClient(ClientCore):
    """A `base.Client` over TCP.

    Times are in seconds, sizes in bytes. ``ssl_context`` is for ``wss`` URLs, by default `client_tls_context`'s, which
    trusts the system's authorities. ``headers`` are added to the upgrade request; ``basic_auth`` is (user, password),
    the latter as bytes for a 1.6 AuthorizationKey. Each of the two may be a function that returns it: it is called
    before each attempt to connect, on the thread that connects, and must not block; if it fails, so does the attempt.
    ``handshake_timeout`` is for looking the name up, TCP, TLS and HTTP together. ``reconnect`` regains a lost
    connection, after the delays of ``backoff`` (a `Backoff`, or what makes one), waited for on ``clock``, and not
    before a server's Retry-After. ``ping_interval`` ``None`` or 0 means no pings; anything that comes within
    ``pong_timeout`` after a ping counts as life. ``close_timeout`` is how long the peer may take to answer a Close, the
    rest of what is written before it included: with 0.5, the default, ``stop()`` is over within a second. What the
    system has taken by then it goes on sending, until something comes from the peer: then it drops the rest.
    ``write_timeout`` is how long the peer may take for what is written. No
    proxies, redirects or cookies. ``security_profile`` 0 to 3 has ``connect()`` refuse what does not make that profile
    (see `ocppj.ws.handshake.security_profiles`).
    """

    def __init__(
        self,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        headers: HeadersOption = None,
        basic_auth: BasicAuthOption = None,
        handshake_timeout: float = 10.0,
        max_header_size: int = 16 * 1024,
        write_timeout: float = 10.0,
        security_profile: Optional[int] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_profile(security_profile)
        check_positive(
            handshake_timeout=handshake_timeout, max_header_size=max_header_size, write_timeout=write_timeout
        )
        check_context(ssl_context, ssl.PROTOCOL_TLS_SERVER)
        self._ssl_context = ssl_context
        self._fields = UpgradeFields(headers, basic_auth)
        self._security_profile = security_profile
        self._handshake_timeout = handshake_timeout
        self._max_header_size = max_header_size
        self._write_timeout = write_timeout
        self._resolver = Resolver()

    def connect(
        self, url: str, client_id: str, subprotocols: Sequence[str], retry: bool = False, wait: bool = True
    ) -> None:
        """See `base.Client.connect`. Raises `UsageError` also when the options do not make the security profile."""
        check_text(url=url, client_id=client_id)
        connection_url(url, client_id)
        expected = client_id if self._security_profile in (1, 2) else None  # what a function would return, if asked
        self._check_user(url, client_id, self._fields.user(expected))
        warning = exposed(self._security_profile, url, self._ssl_context, self._fields.has_credentials)
        if warning is not None:
            get_logger().warning("%s: %s", client_id, warning)
        super().connect(url, client_id, subprotocols, retry, wait)

    def _introduce(self, url: str, client_id: str) -> Dict[str, str]:
        """Return what is added to an upgrade request. Raises `UsageError`, and what `UpgradeFields.ask` raises."""
        fields, user = self._fields.ask()
        self._check_user(url, client_id, user)
        return fields

    def _check_user(self, url: str, client_id: str, user: Optional[str]) -> None:
        """Raise `UsageError` when this is not the user of basic_auth that there should be, or the profile is not so."""
        check_user(user, client_id)
        check_client_profile(self._security_profile, url, client_id, self._ssl_context, user)

    def open_wire(self, session: Session, attempt: Attempt) -> Tuple[Wire, str, str]:
        """See `lifecycle.ClientCore.open_wire`."""
        deadline = time.monotonic() + self._handshake_timeout
        url = connection_url(session.url, session.client_id)
        try:
            fields = self._introduce(session.url, session.client_id)
        except UsageError as error:  # of what a function returned: the next time it may be right
            raise TransportError(f"cannot connect: {error}") from error
        sock: Optional[SafeSocket] = None
        try:
            raw, address = dial(url, self._resolver, deadline, attempt.check)
            sock = SafeSocket(self._secure(raw, url), write_timeout=self._write_timeout)
            attempt.can_be_cut_by(sock.shutdown)
            sock.handshake(deadline)
            wire, subprotocol = self._upgrade(sock, url, fields, session.subprotocols, deadline)
            return wire, subprotocol, address
        except BaseException as error:
            if sock is not None:
                sock.close()
            attempt.check()
            problem = _as_transport_error(error)
            if problem is error:  # not its own cause: who follows causes would never come to the end
                raise
            raise problem from error

    def _secure(self, raw: socket.socket, url: str) -> socket.socket:
        parts = urlsplit(url)
        if parts.scheme == "ws":
            return raw
        context = self._ssl_context or client_tls_context()
        try:
            return context.wrap_socket(raw, server_hostname=parts.hostname, do_handshake_on_connect=False)
        except BaseException:
            raw.close()
            raise

    def _upgrade(
        self, sock: SafeSocket, url: str, fields: Mapping[str, str], subprotocols: Tuple[str, ...], deadline: float
    ) -> Tuple[_ClientWire, str]:
        ws = websocket.WebSocket(skip_utf8_validation=True)
        bare, _, query = url.partition("?")
        ws.connect(  # type: ignore[no-untyped-call]
            bare,
            socket=_Handshake(sock, query, fields, self._max_header_size, deadline),
            header=["Sec-WebSocket-Protocol: " + ", ".join(subprotocols)],
            suppress_origin=True,
            redirect_limit=0,
        )
        ws.sock = sock  # type: ignore[assignment]
        answer = ws.getheaders() or {}
        if "sec-websocket-extensions" in answer:
            raise TransportError("the server chose an extension that was not offered")
        wire = _ClientWire(sock, ws, self._max_message_size)
        subprotocol = answer.get("sec-websocket-protocol")
        if subprotocol not in subprotocols:
            wire.send_close(1002, "no common subprotocol")
            chosen = "none" if subprotocol is None else repr(subprotocol[:_REASON])
            raise SubprotocolError(f"the server chose {chosen} of {', '.join(subprotocols)}")
        return wire, subprotocol


def _as_transport_error(error: BaseException) -> BaseException:
    if isinstance(error, (TransportError, UsageError)) or not isinstance(error, Exception):
        return error
    if isinstance(error, BadRequest):
        return TransportError(f"the server's answer cannot be read: {error}")
    if isinstance(error, (socket.timeout, websocket.WebSocketTimeoutException)):
        return TransportError("the handshake took too long")
    return TransportError(f"cannot connect: {error}")
