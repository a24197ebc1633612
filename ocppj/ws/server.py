"""The central system's WebSocket server: simple-websocket behind a listening socket.

simple-websocket does the WebSocket handshake, on a handshake thread (see `serving.handshakes`). An accepted client
becomes a channel *before* it gets the 101 response, which is kept back (`Stream.cork`) until the channel is registered
and ``connected`` was called. So a client whose handshake succeeds finds the server ready.
"""

from __future__ import annotations

import inspect
import socket
import ssl
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Union

import simple_websocket  # type: ignore[import-untyped,unused-ignore]

from ..errors import TransportError, UsageError
from ..option_checks import check_option, check_options
from .connection.deflate import Deflate, choose_deflate
from .connection.frames import FrameWire
from .handshake.http import BadRequest, RequestHead, parse_request, read_head, split_tokens
from .handshake.identities import Identification, IdentifyFunction
from .handshake.policy import Demands, ProfileOption, websocket_headers
from .handshake.request import HandshakeRequest
from .handshake.security_profiles import check_context, check_server_profile
from .limits import PATIENCE, Handshake, Handshakes
from .options import ServerCoreOptions
from .serving.addresses import ListenAddress, SocketOption, close_all, open_sockets
from .serving.adopter import Adopter, Taken
from .serving.handshakes import HandshakeRunner
from .serving.health import Health
from .serving.listener import TcpListener
from .serving.registry import Run, ServerCore
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
            Or a function ``f(request: HandshakeRequest)`` that returns the profile of each client, or ``None``; it is
            called on the thread of the handshake. A client gets 500 if its options do not make its profile. Without a
            profile, ``ssl_context`` and handlers decide what is needed (see `ocppj.ws.handshake.proofs`).
        handshake_timeout: For TLS and HTTP together.
        max_handshakes: Handshakes in progress. Each may have a thread. ``None``: no limit.
        max_header_size: Of a request's head, in bytes. A larger one gets 431.
        write_timeout: How long the peer may take for what is written.
        compression: Allows permessage-deflate; a `Deflate` says how. A connection that is compressed holds up to 131 kB
            between messages, and nothing if it came when there were 1,000 others (see `Deflate.no_context_takeover`).
        patience: How long a handshake may wait for its peer before it gives way, when there are ``max_handshakes``.
        linger: How long a refused peer may take to end the connection; not longer than ``close_timeout``. `Server` has
            neither ``linger`` nor ``patience``: they are for tests.
        options: Those of `ocppj.ws.options.ServerCoreOptions`.

    Raises:
        UsageError: A value that its option does not take.
    """

    def __init__(
        self,
        *,
        ssl_context: Optional[ssl.SSLContext] = None,
        handshake_timeout: float = 10.0,
        max_handshakes: Optional[int] = 1000,
        max_header_size: int = 16 * 1024,
        write_timeout: float = 10.0,
        compression: Union[bool, Deflate] = True,
        security_profile: ProfileOption = None,
        patience: float = PATIENCE,
        linger: float = _LINGER,
        **options: Unpack[ServerCoreOptions],
    ) -> None:
        super().__init__(**options)
        check_options("WebSocketServer", locals())
        check_context(ssl_context, ssl.PROTOCOL_TLS_CLIENT)
        self._ssl_context = ssl_context
        self._handshake_timeout = handshake_timeout
        self._max_handshakes = max_handshakes
        self._max_header_size = max_header_size
        self._write_timeout = write_timeout
        self._deflate = Deflate() if compression is True else compression or None
        self._patience = patience
        self._linger = min(self._close_timeout, linger)
        self._adopter: Optional[Adopter] = None  # guarded by _state; that of the last run that had one
        self._security_profile = security_profile

    def listen(
        self,
        port: int,
        path: Union[str, Sequence[str]],
        host: str,
        subprotocols: Sequence[str],
        identify: Optional[IdentifyFunction] = None,
        *,
        sock: SocketOption = None,
        reuse_port: bool = False,
        also: Sequence[ListenAddress] = (),
        health_path: Optional[str] = None,
    ) -> None:
        """Listen: see `ServerCore.listen` and `ocppj.Server.listen`.

        Raises:
            AddressInUse: Another server listens there.
            UsageError: Also for options that do not make the profile.
        """
        first = ListenAddress(port, host, self._ssl_context, self._security_profile, sock, reuse_port)
        addresses = [first, *also]
        if not all(isinstance(each, ListenAddress) for each in addresses):
            raise UsageError(f"also is a list of ListenAddress, not {also!r}")
        several = len(addresses) > 1
        demands = [self._demands_of(each.ssl_context, each.security_profile, several) for each in addresses]
        health = Health(health_path)
        self._refuse_second_run()  # before there are sockets to close
        opened = _open_all(addresses)
        try:
            run = self._open_run(path, subprotocols, self._new_handshakes(), identify, demands[0])
        except BaseException:
            _close_ours(addresses, opened)
            raise
        run.health = health
        begun = 0
        try:
            for address, socks, demand in zip(addresses, opened, demands):
                begun += 1
                self._listen_on(run, address, socks, demand)
        except (OSError, RuntimeError) as error:
            self.stop()  # and what has come to the listeners before
            self._close_run(run)
            _close_ours(addresses[begun:], opened[begun:])
            raise TransportError(f"cannot listen on {addresses[begun - 1]}: {error}") from error

    def _new_handshakes(self) -> Handshakes:
        return Handshakes(self._max_handshakes, self._patience)

    def _listen_on(self, run: Run, address: ListenAddress, socks: Sequence[socket.socket], demands: Demands) -> None:
        listener = TcpListener(
            self,
            run,
            address,
            socks,
            partial(self._upgrade, address.ssl_context, demands),
            write_timeout=self._write_timeout,
            linger=self._linger,
        )
        self._serve(run, listener)
        listener.start()

    def _demands_of(self, context: Optional[ssl.SSLContext], profile: ProfileOption, several: bool = False) -> Demands:
        """Return what is demanded of clients that come over ``context``.

        With ``several`` addresses the check of passwords may be for those of another address: a client of profile 3
        needs none. Raises `UsageError` for a profile that cannot be.
        """
        optional = context is not None and context.verify_mode == ssl.CERT_OPTIONAL
        if callable(profile):
            return Demands(partial(self._profile_of, profile, context), optional)
        self._check_profile(profile, context, one_of_several=several)
        return Demands(profile, optional or (several and profile == 3))

    def _check_profile(
        self, profile: Optional[int], context: Optional[ssl.SSLContext], one_of_several: bool = False
    ) -> None:
        check_server_profile(profile, context, self._policy.check_credentials is not None, one_of_several)

    def _profile_of(
        self, choose: Callable[[HandshakeRequest], Any], context: Optional[ssl.SSLContext], request: HandshakeRequest
    ) -> Optional[int]:
        """Ask the program's function for the profile of a client. Raises `UsageError` for one that cannot be."""
        profile: Any = choose(request)
        if inspect.iscoroutine(profile):
            profile.close()  # else Python warns that it was never awaited
        check_option("the function security_profile", "security_profile", profile)
        self._check_profile(profile, context, one_of_several=True)
        return profile  # type: ignore[no-any-return]

    @property
    def port(self) -> int:
        """The port it listens on. Raises `UsageError` before ``listen()``."""
        return int(self.url.split("/")[2].rpartition(":")[2])

    def open(
        self, path: Union[str, Sequence[str]], subprotocols: Sequence[str], identify: Optional[IdentifyFunction] = None
    ) -> None:
        """Begin without a port: connections come by `adopt`. ``path`` and ``identify`` are as in ``listen()``.

        Raises `UsageError` as ``listen()`` does, and when there is an ``ssl_context``: the web server ends TLS.
        """
        self.check_adopting()
        demands = self._demands_of(None, self._security_profile)
        self._open_run(path, subprotocols, self._new_handshakes(), identify, demands)

    def check_adopting(self) -> None:
        """Raise `UsageError` if this server's options do not go with connections of a web server."""
        if self._ssl_context is not None:
            raise UsageError("an ssl_context is for a port of the server's own: a web server's connections have no TLS")
        if self._security_profile in (2, 3):
            story = "is over TLS, which ends before a web server's connections are taken over: leave it out"
            raise UsageError(f"security profile {self._security_profile} {story}")

    def adopt(
        self,
        head: RequestHead,
        address: str,
        take: Callable[[], Taken],
        identification: Optional[Identification] = None,
    ) -> None:
        """Take over a connection whose request another server has read, and return. For any thread; never waits long.

        A handshake thread answers the request, as it does after ``listen()``, with the same checks and limits.

        Args:
            head: The request.
            address: Where the connection comes from, "host:port": the client, or the nearest proxy.
            take: Returns the connected socket, plain, and the bytes that came behind the request. From then on the
                socket belongs to this server.
            identification: Finds the identity, in place of the path of `open`.

        Raises:
            BadRequest: The connection is refused, and ``take`` was not called.
            OSError: What ``take`` raises.
            RuntimeError: The system gives no thread. The connection is closed.
        """
        self.check_adopting()  # so the demands of a run are right: its first address has no TLS either
        run = self._run
        if run is None or run.stopping:
            refused = BadRequest(503, "the server is not open", [("Retry-After", "5")], "stopping")
            self.note_refusal(address, refused)
            raise refused
        if head.size > self._max_header_size:
            refused = BadRequest(431, "the header is too large")
            self.note_refusal(address, refused)
            raise refused
        adopter = self._adopter_of(run)
        problem = adopter.handshakes.refuse(address)
        if problem is not None:
            raise problem
        adopter.adopt(address, take, partial(self._lead, head, identification or run.identification, run.demands))

    def _adopter_of(self, run: Run) -> Adopter:
        """Return what runs the handshakes of adopted connections in ``run``; made for the first."""
        with self._state:
            if self._adopter is None or self._adopter.handshakes.run is not run:
                self._adopter = Adopter(self, run, write_timeout=self._write_timeout, linger=self._linger)
            run.adopter = self._adopter
            return self._adopter

    def _upgrade(
        self,
        context: Optional[ssl.SSLContext],
        demands: Demands,
        handshakes: HandshakeRunner,
        handshake: Handshake,
        sock: Stream,
    ) -> None:
        """Lead a connection to its channel: see `handshakes.Upgrade`."""
        deadline = time.monotonic() + self._handshake_timeout
        sock.reader_ident = threading.get_ident()
        if context is not None:
            handshakes.hand_over()
            sock.handshake(deadline)
            _check_session(context, sock)
        head = parse_request(read_head(sock, self._max_header_size, deadline, handshakes.hand_over))
        if handshakes.run.health.is_asked(head):
            handshakes.end_of_waiting(handshake)
            with suppress(OSError):
                sock.send(self.answer_health(handshakes.run, head.method))
                handshakes.linger(handshake, sock)
            return
        self._lead(head, handshakes.run.identification, demands, handshakes, handshake, sock)

    def _lead(
        self,
        head: RequestHead,
        identification: Identification,
        demands: Demands,
        handshakes: HandshakeRunner,
        handshake: Handshake,
        sock: Stream,
    ) -> None:
        """Lead a connection whose request was read to its channel: see `handshakes.Upgrade`."""
        run = handshakes.run
        sock.reader_ident = threading.get_ident()
        handshakes.end_of_waiting(handshake)
        address = self.client_address(handshake.address, head.headers)
        if address != handshake.address:
            handshakes.rename(handshake, address)
            self.take_forwarded(address)
        deflate = self._deflate
        fields = websocket_headers(head, deflate is not None, self._policy.lenient)
        offers = split_tokens(fields.pop(_EXTENSIONS, ""))
        offer = choose_deflate(offers, deflate, len(run.channels)) if deflate is not None else None
        if offer is not None:  # the one that simple-websocket can be given
            fields[_EXTENSIONS] = offer
        certificate = sock.getpeercert()
        accepted = self._decide(run, head.target, head.headers, handshake.address, certificate, identification, demands)
        sock.cork()
        try:
            _Upgrade(sock, fields, accepted.subprotocol)
            wire = FrameWire(sock, self._max_message_size, self.budget, extension=offer)
        except Exception as error:
            raise BadRequest(400, f"malformed handshake: {type(error).__name__}") from error
        if accepted.effective is None:  # OCPP-J 1.6 section 3.2
            self._note_no_subprotocol(accepted, run.subprotocols)
            with suppress(OSError):
                wire.send_close(1002, "no common subprotocol")
                sock.uncork()
                handshakes.linger(handshake, sock)
            return
        channel = self.make_channel(run, accepted, wire)
        self._admit(run, channel, handshake, sock.uncork)


def _open_all(addresses: Sequence[ListenAddress]) -> List[List[socket.socket]]:
    """Open the sockets of each address, or of none. Raises as `open_sockets`."""
    opened: List[List[socket.socket]] = []
    try:
        opened.extend(map(open_sockets, addresses))  # adds each before it opens the next
    except BaseException:
        _close_ours(addresses, opened)
        raise
    return opened


def _close_ours(addresses: Sequence[ListenAddress], opened: Sequence[Sequence[socket.socket]]) -> None:
    """Close what was opened. The sockets that the program gave stay open: it may try again."""
    for address, socks in zip(addresses, opened):
        if address.sock is None:
            close_all(socks)


def _check_session(context: ssl.SSLContext, sock: Stream) -> None:
    """Raise ``ssl.SSLError`` for a client certificate of a resumed session: it was not verified this time."""
    if sock.resumed and sock.getpeercert() and not may_resume(context):
        sock.shutdown()  # at once, without an alert: then OpenSSL forgets the session
        raise ssl.SSLError(1, "a session is resumed, but the client's certificate is to be verified each time")
