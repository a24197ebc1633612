"""The central system's WebSocket server: simple-websocket behind a listening socket.

``ocppj-accept`` accepts. The TLS and the HTTP handshake of a connection run on a handshake thread (see `listener`),
under one deadline. A client that is accepted gets its channel *before* it hears of it: the 101 response is kept back
(`SafeSocket.cork`) until the channel is registered and ``connected`` has been called. So a client whose handshake has
succeeded finds the server ready, and what the handler sends goes out after the 101.

simple-websocket does the WebSocket handshake. From then on wsproto, on which it stands, is driven at the level of
frames, the cheapest there is: a `FrameProtocol` of ours, with what was agreed on compression (see `extensions`), is
given the bytes, and frames, or parts of them, are taken out of it. ``tests/ws/test_ws_pins.py`` holds what that uses of
wsproto: ``receive_bytes``, ``received_frames``, ``send_data``, ``ping``, ``pong`` and ``close``.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import suppress
from io import StringIO
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence

import simple_websocket  # type: ignore[import-untyped,unused-ignore]
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from ..errors import TransportError
from .checks import check_limits, check_port, check_positive
from .connection.deflate import agree, choose_deflate
from .connection.wire import PeerClose, SocketWire, Take, Violation
from .handshake.http import BadRequest, parse_request, read_head, split_tokens
from .handshake.policy import Accepted, websocket_headers
from .handshake.security_profiles import check_context, check_profile, check_server_profile
from .limits import PATIENCE, Handshake, Handshakes
from .options import ServerCoreOptions
from .serving.listener import TcpListener
from .serving.registry import ServerCore
from .stream.stream import SafeSocket
from .tls import may_resume

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ServerWire", "WebSocketServer"]


_LINGER = 1.0  # seconds that a refused peer has to end the connection
_EXTENSIONS = "Sec-WebSocket-Extensions"
_TEXT = Opcode.TEXT


class _NoThread:
    """What simple-websocket starts instead of a thread."""

    def __init__(self, target: Any) -> None:
        self.name = ""

    def start(self) -> None:
        """Do nothing: our readers read."""


class _Protocol(simple_websocket.Server):  # type: ignore[misc]
    """simple-websocket's server side of one connection."""

    def __init__(self, sock: SafeSocket, fields: Dict[str, str], subprotocol: Optional[str]) -> None:
        self._chosen = subprotocol
        environ: Dict[str, Any] = {"HTTP_" + name.upper().replace("-", "_"): text for name, text in fields.items()}
        environ.update(
            {"HTTP_HOST": "ocppj", "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade", "werkzeug.socket": sock}
        )
        super().__init__(environ, thread_class=_NoThread)

    def choose_subprotocol(self, request: Any) -> Optional[str]:
        """Return what was decided before."""
        return self._chosen


class ServerWire(SocketWire):
    """A `wire.Wire` over wsproto. Making one puts the 101 response in line."""

    __slots__ = ("_frames", "_max_size", "_parts", "_size")

    def __init__(self, sock: SafeSocket, fields: Dict[str, str], subprotocol: Optional[str], max_size: int) -> None:
        super().__init__(sock)
        self._max_size = max_size
        _Protocol(sock, fields, subprotocol)
        self._frames = FrameProtocol(False, agree(fields.get(_EXTENSIONS), max_size))
        self._parts: Optional[StringIO] = None  # of a message that has not come as a whole: any number, empty ones too
        self._size = 0  # of these, in bytes

    def receive(self, take: Take) -> Optional[PeerClose]:
        """See `wire.Wire.receive`."""
        data = self.sock.read()
        return None if data is None else self._parse(data, take)

    def _parse(self, data: bytes, take: Take) -> Optional[PeerClose]:
        """Deliver the messages that ``data`` completes; return the Close after them, if there is one."""
        frames, most = self._frames, self._max_size // 4
        frames.receive_bytes(data)
        try:
            for frame in frames.received_frames():
                if frame.opcode is _TEXT and frame.message_finished and self._parts is None:
                    text: Any = frame.payload
                    if len(text) > most:  # which may be too many bytes
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

    def _count(self, part: Any) -> int:
        """Return the size of a part of a message and those before it, in bytes. Raises `Violation` if that is too much.

        What was cut off is counted as it comes, not when it is complete.
        """
        size = self._size + len(part.encode("utf-8") if isinstance(part, str) else part)
        if size > self._max_size:
            raise Violation(1009, f"a message has more than {self._max_size} bytes")
        return size

    def _gather(self, frame: Frame, take: Take) -> None:
        """Take a part of a message; deliver the message if that was the last."""
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
        """Answer a ping, or a Close, which is returned."""
        payload: Any = frame.payload
        if frame.opcode is Opcode.PING:
            self._send_control(self._frames.pong(payload))
            return None
        code, reason = payload
        with suppress(TransportError):  # of a peer that is gone, after a proper Close
            self._send_control(self._frames.close(code, reason), last=True)
        return PeerClose(int(code), reason)

    def _text_frame(self, text: str) -> bytearray:
        return self._frames.send_data(text)

    def _ping_frame(self) -> bytearray:
        return self._frames.ping()

    def _close_frame(self, code: int, reason: str) -> bytearray:
        return self._frames.close(code, reason)


def _narrow_extensions(fields: Dict[str, str]) -> None:
    """Leave of the extensions offered the one that simple-websocket can be given, if there is one."""
    offer = choose_deflate(split_tokens(fields.pop(_EXTENSIONS, "")))
    if offer is not None:
        fields[_EXTENSIONS] = offer


class WebSocketServer(ServerCore):
    """A `base.Server` that listens on a TCP port.

    All times are in seconds, all sizes in bytes; ``None`` is no limit, where the type allows it. `ocppj.ws.limits` says
    why the limits are what they are, and what happens beyond them; `stats` counts what was refused.

    Args:
        ssl_context: Makes the server speak TLS, for example `server_tls_context`'s.
        security_profile: 0 to 3. ``listen()`` refuses options that do not make that profile (see
            `ocppj.ws.handshake.security_profiles`), and a client without the credentials that it demands is refused.
        handshake_timeout: For TLS and HTTP together.
        max_handshakes: Handshakes in progress. Each may have a thread.
        max_header_size: Of a request's head.
        write_timeout: How long a peer may take for what is written.
        compression: Allows permessage-deflate.
        patience: How long a handshake may wait for its peer before it gives way, when there are ``max_handshakes``.
        linger: How long a refused peer may take to end the connection; not longer than ``close_timeout``.
        options: Those of `ocppj.ws.options.ServerCoreOptions`:

            * ``close_timeout``: how long a peer may take to answer a Close.
            * ``ping_interval``: between pings of a connection; ``None`` or 0 for none. Each channel has its own, which
              may be set.
            * ``pong_timeout``: anything that comes within this time after a ping counts as life.
            * ``idle_timeout``: a connection that brings nothing for so long is closed.
            * ``max_message_size``: of a message, inflated.
            * ``max_connections``, ``max_connections_per_address``, ``max_attempts_per_second``: see
              `ocppj.ws.limits`.
            * ``duplicates``: with "replace" a new connection replaces the old one of its identity, which is closed
              with 1008; with "reject" the new one gets 409.
            * ``no_subprotocol``: without a common subprotocol, "close" upgrades and closes with 1002 at once (OCPP-J
              1.6 section 3.2), "reject" answers 400.
            * ``default_subprotocol``: for peers that offer none.
            * ``prefer``: "client" or "server": whose order of subprotocols counts.
            * ``readers``: "auto" (each of up to 64 connections has its own threads, more than 64 share theirs),
              "per-connection", "shared", a `Readers` object, or a function that returns one for each ``listen()``.

    Raises:
        UsageError: An option is not of its kind.
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        handshake_timeout: float = 10.0,
        max_handshakes: Optional[int] = 1000,
        max_header_size: int = 16 * 1024,
        write_timeout: float = 10.0,
        compression: bool = True,
        security_profile: Optional[int] = None,
        patience: float = PATIENCE,
        linger: float = _LINGER,
        **options: Unpack[ServerCoreOptions],
    ) -> None:
        super().__init__(**options)
        check_limits(max_handshakes=max_handshakes)
        check_context(ssl_context, ssl.PROTOCOL_TLS_CLIENT)
        check_positive(
            write_timeout=write_timeout, handshake_timeout=handshake_timeout, max_header_size=max_header_size
        )
        check_profile(security_profile)
        self._ssl_context = ssl_context
        self._handshake_timeout = handshake_timeout
        self._max_handshakes = max_handshakes
        self._max_header_size = max_header_size
        self._write_timeout = write_timeout
        self._compression = compression
        self._patience = patience
        self._linger = min(self._close_timeout, linger)
        self._policy.security_profile = security_profile

    def listen(self, port: int, path: str, host: str, subprotocols: Sequence[str]) -> None:
        """Listen, and return: see `base.Server.listen`.

        Raises `UsageError` when it listens already, or when the options do not make the security profile.
        """
        policy = self._policy
        check_server_profile(policy.security_profile, self._ssl_context, policy.check_credentials is not None)
        check_port(port)
        run = self._open_run(path, subprotocols, Handshakes(self._max_handshakes, self._patience))
        try:
            listener = TcpListener(
                self,
                run,
                host,
                port,
                self._upgrade,
                ssl_context=self._ssl_context,
                write_timeout=self._write_timeout,
                linger=self._linger,
            )
            self._serve(run, listener)
            listener.start()
        except (OSError, OverflowError, RuntimeError) as error:
            self._close_run(run)
            raise TransportError(f"cannot listen on {host}:{port}: {error}") from error

    @property
    def port(self) -> int:
        """The port it listens on. Raises `UsageError` before ``listen()``."""
        return int(self.url.split("/")[2].rpartition(":")[2])

    def _upgrade(self, listener: TcpListener, handshake: Handshake, sock: SafeSocket) -> bool:
        """Lead a connection to its channel; return whether it has one: see `listener.Upgrade`."""
        run, deadline = listener.run, time.monotonic() + self._handshake_timeout
        sock.reader_ident = threading.get_ident()
        if self._ssl_context is not None:
            listener.hand_over()
            sock.handshake(deadline)
            _check_session(self._ssl_context, sock)
        head = parse_request(read_head(sock, self._max_header_size, deadline, listener.hand_over))
        listener.end_of_waiting(handshake)
        fields = websocket_headers(head, self._compression)
        _narrow_extensions(fields)
        accepted = self._decide(run, head.target, head.headers, handshake.address, sock.getpeercert())
        sock.cork()
        try:
            wire = ServerWire(sock, fields, accepted.subprotocol, self._max_message_size)
        except Exception as error:
            raise BadRequest(400, f"malformed handshake: {type(error).__name__}") from error
        if accepted.effective is None:
            self._close_at_once(listener, handshake, wire, accepted)
            return False
        channel = self.make_channel(run, accepted, wire)
        channel.claim_reading()
        self._register(run, channel, handshake)
        self.connected(channel)
        sock.uncork()
        channel.begin()
        return True

    def _close_at_once(self, listener: TcpListener, handshake: Handshake, wire: ServerWire, accepted: Accepted) -> None:
        """Upgrade and close: there is no common subprotocol (OCPP-J 1.6 section 3.2)."""
        self._note_no_subprotocol(accepted)
        with suppress(OSError):
            wire.send_close(1002, "no common subprotocol")
            wire.sock.uncork()
            listener.linger(handshake, wire.sock)


def _check_session(context: ssl.SSLContext, sock: SafeSocket) -> None:
    """Raise ``ssl.SSLError`` for a client certificate of a resumed session: it was not verified this time."""
    if sock.resumed and sock.getpeercert() and not may_resume(context):
        sock.shutdown()  # at once, without an alert: then OpenSSL forgets the session
        raise ssl.SSLError(1, "a session is resumed, but the client's certificate is to be verified each time")
