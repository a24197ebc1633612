"""The central system's WebSocket server: simple-websocket behind a listening socket.

simple-websocket does the WebSocket handshake, on a handshake thread (see `serving.listener`). An accepted client
becomes a channel *before* it gets the 101 response, which is kept back (`Stream.cork`) until the channel is registered
and ``connected`` was called. So a client whose handshake succeeds finds the server ready.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence

import simple_websocket  # type: ignore[import-untyped,unused-ignore]

from ..errors import TransportError
from .checks import check_limits, check_not_negative, check_port, check_positive
from .connection.deflate import choose_deflate
from .connection.frames import ServerWire
from .handshake.http import BadRequest, parse_request, read_head, split_tokens
from .handshake.policy import websocket_headers
from .handshake.security_profiles import check_context, check_profile, check_server_profile
from .limits import PATIENCE, Handshake, Handshakes
from .options import ServerCoreOptions
from .serving.listener import TcpListener
from .serving.registry import ServerCore
from .stream.stream import Stream
from .tls import may_resume

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["WebSocketServer"]

_LINGER = 1.0  # seconds that a refused peer has to end the connection
_EXTENSIONS = "Sec-WebSocket-Extensions"


class _NoThread:
    """What simple-websocket is given in place of a thread class."""

    def __init__(self, target: Any) -> None:
        self.name = ""

    def start(self) -> None:
        """Do nothing: the `Readers` read."""


class _Upgrade(simple_websocket.Server):  # type: ignore[misc]
    """simple-websocket's side of one handshake. Making one sends the 101 response."""

    def __init__(self, sock: Stream, fields: Dict[str, str], subprotocol: Optional[str]) -> None:
        self._chosen = subprotocol
        environ: Dict[str, Any] = {"HTTP_" + name.upper().replace("-", "_"): text for name, text in fields.items()}
        environ.update(
            {"HTTP_HOST": "ocppj", "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade", "werkzeug.socket": sock}
        )
        super().__init__(environ, thread_class=_NoThread)

    def choose_subprotocol(self, request: Any) -> Optional[str]:
        return self._chosen


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
        linger: How long a refused peer may take to end the connection; not longer than ``close_timeout``. `Server` has
            neither ``linger`` nor ``patience``: they are for tests.
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
            * ``readers``: "auto" (each of up to 8 connections has its own threads, more share theirs),
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
        check_not_negative(patience=patience, linger=linger)
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
        """Listen: see `base.Server.listen`. Raises `UsageError` also for options that do not make the profile."""
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

    def _upgrade(self, listener: TcpListener, handshake: Handshake, sock: Stream) -> bool:
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
        offer = choose_deflate(split_tokens(fields.pop(_EXTENSIONS, "")))
        if offer is not None:  # the one that simple-websocket can be given
            fields[_EXTENSIONS] = offer
        accepted = self._decide(run, head.target, head.headers, handshake.address, sock.getpeercert())
        sock.cork()
        try:
            _Upgrade(sock, fields, accepted.subprotocol)
            wire = ServerWire(sock, offer, self._max_message_size)
        except Exception as error:
            raise BadRequest(400, f"malformed handshake: {type(error).__name__}") from error
        if accepted.effective is None:  # OCPP-J 1.6 section 3.2
            self._note_no_subprotocol(accepted)
            with suppress(OSError):
                wire.send_close(1002, "no common subprotocol")
                sock.uncork()
                listener.linger(handshake, sock)
            return False
        channel = self.make_channel(run, accepted, wire)
        channel.claim_reading()
        self._register(run, channel, handshake)
        self.handlers.call_connected(channel)
        sock.uncork()
        channel.begin()
        return True


def _check_session(context: ssl.SSLContext, sock: Stream) -> None:
    """Raise ``ssl.SSLError`` for a client certificate of a resumed session: it was not verified this time."""
    if sock.resumed and sock.getpeercert() and not may_resume(context):
        sock.shutdown()  # at once, without an alert: then OpenSSL forgets the session
        raise ssl.SSLError(1, "a session is resumed, but the client's certificate is to be verified each time")
