"""The central system's WebSocket server: simple-websocket behind a listening socket.

The thread ``ocppj-accept`` accepts connections. The TLS and HTTP handshakes of a connection happen on another thread
(see `serving.handshake_threads`), under one deadline. An accepted client becomes a channel *before* it gets the 101
response, which is kept back (`Stream.cork`) until the channel is registered and ``connected`` was called. So a client
whose handshake succeeds finds the server ready, and what the handler sends goes out after the 101.

simple-websocket does the WebSocket handshake. After it see `connection.frames`.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import suppress
from typing import Any, Dict, Optional, Sequence

import simple_websocket  # type: ignore[import-untyped,unused-ignore]

from .checks import check_positive
from .connection.deflate import choose_deflate
from .connection.frames import ServerWire
from .handshake.http import BadRequest, parse_request, read_head, split_tokens
from .handshake.policy import Accepted, websocket_headers
from .handshake.security_profiles import check_context, check_profile, check_server_profile
from .limits import Handshake
from .serving.handshakes import Listening, ListeningServer
from .stream.stream import Stream
from .tls import may_resume

__all__ = ["WebSocketServer"]


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
        """Return the subprotocol that was chosen before."""
        return self._chosen


def _narrow_extensions(fields: Dict[str, str]) -> None:
    """Leave of the extensions offered the one that simple-websocket can be given, if there is one."""
    offer = choose_deflate(split_tokens(fields.pop(_EXTENSIONS, "")))
    if offer is not None:
        fields[_EXTENSIONS] = offer


class WebSocketServer(ListeningServer):
    """A `base.Server` that listens on a TCP port.

    Times are in seconds, sizes in bytes. ``ssl_context`` makes it TLS. ``handshake_timeout`` is for TLS and HTTP
    together. ``ping_interval`` ``None`` or 0 means no pings (each channel has its own ``ping_interval``, which may be
    set); anything that comes within ``pong_timeout`` after a ping counts as life. ``close_timeout`` is how long a
    peer may take to answer a Close, ``write_timeout`` to take what is written. ``duplicates``: a new connection of a
    connected identity "replace"s the old one, which is closed with 1008, or is "reject"ed with 409.
    ``no_subprotocol``: "close" upgrades and closes with 1002 at once (OCPP-J 1.6 section 3.2), "reject" answers 400.
    ``default_subprotocol`` is for peers that offer none. ``prefer``: whose order of subprotocols counts, "client" or
    "server". ``compression`` allows permessage-deflate. ``readers``: "auto" (threads of its own
    for each of up to 8 connections, shared ones for all of more), "per-connection", "shared", a `Readers` object, or
    what makes one for each ``listen()``.
    ``security_profile`` 0 to 3 has ``listen()`` refuse options that do not make that profile (see
    `ocppj.ws.handshake.security_profiles`), and lets nobody in who has not what it demands.

    The limits are in `ocppj.ws.limits`, with their defaults and what happens to those beyond: ``max_connections``,
    ``max_connections_per_address``, ``max_attempts_per_second``, ``max_handshakes`` (each is a thread),
    ``max_header_size``, ``max_message_size``, ``idle_timeout``; ``None`` is no limit, where the type allows it. What
    was refused, `stats` tells.
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
        **options: Any,
    ) -> None:
        super().__init__(ssl_context=ssl_context, write_timeout=write_timeout, max_handshakes=max_handshakes, **options)
        check_context(ssl_context, ssl.PROTOCOL_TLS_CLIENT)
        check_positive(handshake_timeout=handshake_timeout, max_header_size=max_header_size)
        self._handshake_timeout = handshake_timeout
        self._max_header_size = max_header_size
        self._compression = compression
        check_profile(security_profile)
        self._policy.security_profile = security_profile

    def listen(self, port: int, path: str, host: str, subprotocols: Sequence[str]) -> None:
        """See `base.Server.listen`. Raises `UsageError` also when the options do not make the security profile."""
        policy = self._policy
        check_server_profile(policy.security_profile, self._ssl_context, policy.check_credentials is not None)
        super().listen(port, path, host, subprotocols)

    def _handshake(self, run: Listening, handshake: Handshake, sock: Stream) -> bool:
        """Lead a connection to its channel; return whether it has one."""
        deadline = time.monotonic() + self._handshake_timeout
        sock.reader_ident = threading.get_ident()
        if self._ssl_context is not None:
            run.greeters.step_aside()
            sock.handshake(deadline)
            self._check_session(self._ssl_context, sock)
        head = parse_request(read_head(sock, self._max_header_size, deadline, run.greeters.step_aside))
        self._settle(run, handshake)
        fields = websocket_headers(head, self._compression)
        _narrow_extensions(fields)
        accepted = self._admit(run, head.target, head.headers, handshake.address, sock.getpeercert())
        sock.cork()
        try:
            _Upgrade(sock, fields, accepted.subprotocol)
            wire = ServerWire(sock, fields.get(_EXTENSIONS), self._max_message_size)
        except Exception as error:
            raise BadRequest(400, f"malformed handshake: {type(error).__name__}") from error
        if accepted.effective is None:
            self._send_away(run, handshake, wire, accepted)
            return False
        channel = self.make_channel(run, accepted, wire)
        channel.claim_reading()
        self._enter(run, channel, handshake)
        self.handlers.call_connected(channel)
        sock.uncork()
        channel.begin()
        return True

    def _check_session(self, context: ssl.SSLContext, sock: Stream) -> None:
        """Raise ``ssl.SSLError`` for a certificate that was not verified, since its session is one of before."""
        if sock.resumed and sock.getpeercert() and not may_resume(context):
            sock.shutdown()  # at once, without an alert: OpenSSL forgets a session that ends like that
            raise ssl.SSLError(1, "a session is resumed, but the client's certificate is to be verified each time")

    def _send_away(self, run: Listening, handshake: Handshake, wire: ServerWire, accepted: Accepted) -> None:
        """Upgrade, and close at once, since there is no common subprotocol (OCPP-J 1.6 section 3.2)."""
        self._note_no_subprotocol(accepted)
        with suppress(OSError):
            wire.send_close(1002, "no common subprotocol")
            wire.stream.uncork()
            self._linger(run, handshake, wire.stream)
