"""The central system's WebSocket server: simple-websocket behind a listening socket.

Theory of operation. ``ocppj-accept`` accepts; TLS and HTTP handshake of a connection happen on another thread (see
`greeters`), under one deadline. A client that is let in becomes a channel *before* it hears of it: the 101 response is
kept back (`SafeSocket.cork`) until the channel is registered and ``connected`` has been called. So whoever sees the
handshake succeed finds the server ready for him, and what the handler sends goes out after the 101.

simple-websocket runs without its thread. Ours gives it what was read, in slices small enough that an inflated slice
(at most about 4 MB) can be counted before the next is inflated, and takes the messages out of its input buffer. Of
its private parts that uses ``ws`` (the wsproto connection), ``handshake``, ``_handle_events``, ``incoming_message``,
``input_buffer``, ``close_reason`` and ``close_message``; ``tests/ws/test_ws_pins.py`` holds them.

The request was parsed and judged by us, so that simple-websocket need not have it parsed once more by h11 to answer
it: that took a third of a handshake, and left 5 kB behind. The 101 response is made here (`_accept`), and the frames
after it are read and written by a `wsproto.connection.Connection`, which is what wsproto itself goes on with.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import suppress
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import simple_websocket  # type: ignore[import-untyped,unused-ignore]
from simple_websocket.ws import LocalProtocolError, Ping  # type: ignore[import-untyped,unused-ignore]
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.handshake import server_extensions_handshake
from wsproto.utilities import generate_accept_token

from ..errors import TransportError
from .extensions import choose_deflate
from .handshake import Accepted, websocket_headers
from .httpwire import BadRequest, parse_request, read_head, split_tokens
from .limits import Handshake
from .listening import Listening, ListeningServer
from .options import check_positive
from .safesocket import SafeSocket
from .security import check_profile, check_server_profile
from .wire import Event, PeerClose, SocketWire, Violation

__all__ = ["WebSocketServer"]


_SLICE = 4096  # bytes given to simple-websocket at once


class _NoThread:
    """What simple-websocket starts instead of a thread."""

    def __init__(self, target: Any) -> None:
        self.name = ""

    def start(self) -> None:
        """Do nothing: our readers read."""


class _NoEvent:
    """What simple-websocket sets instead of an event."""

    def set(self) -> None:
        """Do nothing: nobody waits."""


_NO_EVENT = _NoEvent()


def _no_event() -> _NoEvent:
    return _NO_EVENT


class _Protocol(simple_websocket.Server):  # type: ignore[misc]
    """simple-websocket's server side of one connection, whose request was judged and is answered elsewhere."""

    def __init__(self, sock: SafeSocket, extensions: List[Extension]) -> None:
        super().__init__({"werkzeug.socket": sock}, thread_class=_NoThread, event_class=_no_event)
        self.ws = Connection(ConnectionType.SERVER, extensions)
        del self.environ, self.thread

    def handshake(self) -> None:
        """Do nothing."""
        self.connected = True


def _accept(key: str, subprotocol: Optional[str], deflate: Optional[str]) -> Tuple[bytes, List[Extension]]:
    """Return the 101 response (RFC 6455 section 4.2.2) and the extensions that it promises."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: " + generate_accept_token(key.encode("ascii")).decode("ascii"),
    ]
    if subprotocol is not None:
        lines.append("Sec-WebSocket-Protocol: " + subprotocol)
    extensions: List[Extension] = [] if deflate is None else [PerMessageDeflate()]
    accepted = server_extensions_handshake([deflate], extensions) if deflate is not None else None
    if accepted is not None:
        lines.append("Sec-WebSocket-Extensions: " + accepted.decode("ascii"))
    return "\r\n".join([*lines, "", ""]).encode("ascii"), extensions


class _ServerWire(SocketWire):
    """A `wire.Wire` over simple-websocket. Making one puts the 101 response in line."""

    library_errors = (simple_websocket.ConnectionClosed, LocalProtocolError)

    def __init__(
        self, sock: SafeSocket, key: str, subprotocol: Optional[str], deflate: Optional[str], max_size: int
    ) -> None:
        super().__init__(sock)
        self._max_size = max_size
        response, extensions = _accept(key, subprotocol, deflate)
        self._ws = _Protocol(sock, extensions)
        sock.send(response)
        sock.settimeout(0)

    def receive(self) -> Iterator[Event]:
        """See `wire.Wire.receive`."""
        while True:
            try:
                data = self.read_some(_SLICE)
            except BlockingIOError:
                return
            end = None
            with self._write_lock:
                try:
                    self._ws.ws.receive_data(data)
                    if not self._ws._handle_events():
                        end = self._look_for_end()
                except self.library_errors as error:
                    raise self.translated(error) from error
            for message in self._take_messages() if self._ws.input_buffer else ():
                yield self._judge(message, True)
            if isinstance(end, Violation):
                raise end
            if end is not None:
                yield end
                return
            if self._ws.incoming_message is not None:
                self._judge(self._ws.incoming_message, False)
            if not self.sock.buffered:
                return

    def _look_for_end(self) -> "PeerClose | Violation | None":
        """Say whether a Close came, or the library closed because the peer broke the rules. Write lock held."""
        state = self._ws.ws.state.name
        code, reason = int(self._ws.close_reason), self._ws.close_message or ""
        if state == "CLOSED":
            self._close_sent = True
            return PeerClose(code, reason)
        if state == "LOCAL_CLOSING" and not self._close_sent:
            self._close_sent = True
            return Violation(code, reason)
        return None

    def _take_messages(self) -> List[Any]:
        messages: List[Any] = self._ws.input_buffer[:]
        del self._ws.input_buffer[: len(messages)]
        return messages

    def _judge(self, message: Any, whole: bool) -> str:
        """Return a text message; raise `Violation` for one that is too big or binary. It may be incomplete."""
        size = len(message)
        if isinstance(message, str) and size * 4 > self._max_size:
            size = len(message.encode("utf-8"))
        if size > self._max_size:
            raise Violation(1009, f"a message has more than {self._max_size} bytes")
        if isinstance(message, bytes):
            raise Violation(1003, "OCPP messages are text")
        return message if isinstance(message, str) else ""

    def _put_text(self, text: str) -> None:
        self._ws.send(text)

    def _put_ping(self) -> None:
        self.sock.send(self._ws.ws.send(Ping()))

    def _put_close(self, code: int, reason: str) -> None:
        self._ws.close(code, reason)

    def translated(self, error: Exception) -> Exception:
        """See `SocketWire.translated`."""
        return TransportError("the connection is closed")


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
    for a connection while there are at most 64, shared ones beyond), "per-connection", "shared", a `Readers` object, or
    what makes one for each ``listen()``.
    ``security_profile`` 0 to 3 has ``listen()`` refuse options that do not make that profile (see
    `ocppj.ws.security`), and lets nobody in who has not what it demands.

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

    def _handshake(self, run: Listening, handshake: Handshake, sock: SafeSocket) -> bool:
        """Lead a connection to its channel; return whether it has one."""
        deadline = time.monotonic() + self._handshake_timeout
        sock.reader_ident = threading.get_ident()
        if self._ssl_context is not None:
            run.greeters.step_aside()
            sock.handshake(deadline)
        head = parse_request(read_head(sock, self._max_header_size, deadline, run.greeters.step_aside))
        self._settle(run, handshake)
        fields = websocket_headers(head, self._compression)
        accepted = self._admit(run, head.target, head.headers, handshake.address, sock.getpeercert())
        sock.cork()
        try:
            deflate = choose_deflate(split_tokens(fields.get("Sec-WebSocket-Extensions", "")))
            wire = _ServerWire(sock, fields["Sec-WebSocket-Key"], accepted.subprotocol, deflate, self._max_message_size)
        except Exception as error:
            raise BadRequest(400, f"malformed handshake: {type(error).__name__}") from error
        if accepted.effective is None:
            self._send_away(wire, accepted)
            return False
        channel = self._make_channel(run, accepted, wire)
        channel.claim_reading()
        self._enter(run, channel, handshake)
        self.connected(channel)
        sock.uncork()
        channel.begin()
        return True

    def _send_away(self, wire: _ServerWire, accepted: Accepted) -> None:
        """Upgrade, and close at once, since there is no common subprotocol (OCPP-J 1.6 section 3.2)."""
        self._note_no_subprotocol(accepted)
        with suppress(OSError):
            wire.send_close(1002, "no common subprotocol")
            wire.sock.uncork()
            self._linger(wire.sock)
