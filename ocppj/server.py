"""`Server`: a central system, with one connection per charge point."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from inspect import Parameter, signature
from types import FrameType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Literal,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    overload,
)

from .callables import check_handler
from .clock import Clock, SystemClock
from .dispatch.dispatchers import DEFAULT_TIMEOUT, DefaultServerDispatcher
from .dispatch.futures import CallFuture
from .dispatch.interfaces import ServerDispatcher
from .dispatch.pending import ServerState
from .dispatch.queues import FIFOQueueMap, ServerQueueMap
from .errors import (
    AddressInUse,
    ErrorCode,
    NotRunning,
    OcppjError,
    QueueInUse,
    Stopped,
    UnknownClient,
    UsageError,
)
from .exchange.boot import Boots
from .exchange.boot_gate import BootGate
from .exchange.caller import EXCUSED
from .exchange.connection import Connection
from .exchange.connection_info import ConnectionInfo, info_of
from .exchange.meters import OTHER
from .exchange.node import Network, Node
from .exchange.notices import Notice
from .exchange.offline import KnownClients, Offline, OfflineRequests
from .exchange.options import Options, check_option_names
from .exchange.outgoing import MAX_OUTGOING_SIZE
from .exchange.passwords import PasswordsOption, password_check
from .exchange.takeover import Takeover
from .forks import forget_parent
from .handover import hand_over
from .interrupted import FREE, called_by_program, place_of, refuse_inside
from .loops import do_all
from .option_checks import check_options
from .payloads.jsontext import MAX_DEPTH
from .payloads.model import Payload, Request, RequestType
from .rpc.dialect import Dialect
from .rpc.endpoint import DigitsChoice
from .rpc.features import Profile
from .rpc.messages import Call, SignatureResult
from .rpc.signing import Signer, Verifier
from .settings import LoggerLike, ValidationChoice
from .ws.base import Channel, Close
from .ws.base import Server as WsServer
from .ws.handshake.identities import IdentifyFunction, identification
from .ws.options import ServerOptions
from .ws.server import WebSocketServer
from .ws.serving.addresses import ListenAddress, SocketOption
from .ws.stats import Stats

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .cluster.base import Cluster
    from .cluster.membership import Membership
    from .cluster.remote_calls import RemoteCalls
    from .control.control import Control
    from .web.opening import Opening
    from .web.wsgi import MountedApp, WSGIApplication

__all__ = ["Server"]

F = TypeVar("F", bound=Callable[..., Any])
H = TypeVar("H", bound=Optional[Callable[..., Any]])
C = TypeVar("C", bound=Optional[PasswordsOption])
Q = TypeVar("Q")
R = TypeVar("R", bound=Payload)
A = TypeVar("A")
Q2 = TypeVar("Q2")
A2 = TypeVar("A2")
Q3 = TypeVar("Q3")
A3 = TypeVar("A3")
Signature = Optional[SignatureResult]

_MAX_QUEUED = 1000  # requests that may wait for one client
_MAX_QUEUED_BYTES = 16 * 1024 * 1024  # their size, as objects
#: Another process holds what a server needs to listen.
_HELD = (AddressInUse, QueueInUse)
_LEAVING = 5.0  # seconds that it may take to leave a cluster
_PATIENCE = 3.0  # seconds that what is told about a connection waits for what is to be told before


class Server(Node):
    """A central system, with one connection per charge point.

    Use `listen`, or `start`, which blocks; then `stop`; or ``with Server(...).listen(port=9000) as server``; or
    `wsgi_app`, in a web application. Register handlers with `on` before that.

    Handlers get the client's id first. Those of one connection run one at a time, in order, on its dispatcher thread
    or, where threads are shared (``readers``: by default beyond 8 connections), on any worker. They may block and
    ``call()`` anyone, their own connection included.

    Arguments that are not described here are as in `Client`.

    Args:
        profiles: What it speaks, such as ``v16.PROFILES``. A connection uses those of the version that it negotiated.
        ws_server: A transport in place of the default, `ocppj.ws.server.WebSocketServer`.
        dispatcher: Sends the requests, in place of a `DefaultServerDispatcher`.
        queues: Where requests wait: by default in memory, at most 1,000 and 16 MiB for a client. A `SQLiteQueueMap`
            survives the process, and keeps the requests to a client that has disconnected. What is kept is sent again
            over each connection of its client, until it has ended. The servers of a cluster share a `RedisQueueMap`.
        max_losses: A stored request is given up, and set aside, when so many connections in a row were lost while its
            answer was awaited. 0: no limit. ``None``: 20.
        max_refusals: The same, when its client closed so many connections because of it: with 1009 or 1007, or right
            after it with 1002 or 1008 (RFC 6455 section 7.4.1). ``None``: 3.
        known_clients: The clients that requests with ``offline=True`` are taken for while they are away: a collection
            of ids, a mapping that has them, or ``f(client_id) -> bool``, which runs on the thread that makes the
            request. ``None``: any client.
        cluster: A `RedisCluster`, or another `Cluster`: this server and those of other processes are one central
            system. `call`, `send_request`, `send`, `broadcast` and `disconnect` reach the clients of all. Each server
            has an object of its own. docs/cluster.md says more.
        state: What is pending, in place of a `ServerState` of its own.
        timeout: Seconds that a request may stay unanswered.
        answer_timeout: As in `Client`: seconds for the answer to a CALL of a client.
        clock: The source of time.
        transport: Options of the default transport, such as ``ssl_context``: see `ocppj.ws.server.WebSocketServer`.

    Raises:
        UsageError: An argument cannot be used.
        TypeError: There is no such option.
    """

    _log_part = "server"

    def __init__(
        self,
        *,
        profiles: Iterable[Profile] = (),
        ws_server: Optional[WsServer] = None,
        dispatcher: Optional[ServerDispatcher] = None,
        queues: Optional[ServerQueueMap] = None,
        max_losses: Optional[int] = None,
        max_refusals: Optional[int] = None,
        known_clients: KnownClients = None,
        cluster: Optional["Cluster"] = None,
        state: Optional[ServerState] = None,
        timeout: float = DEFAULT_TIMEOUT,
        answer_timeout: Optional[float] = 300.0,
        clock: Optional[Clock] = None,
        validate: Optional[ValidationChoice] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
        max_bad_messages: int = 100,
        max_waiting_calls: int = 1000,
        max_waiting_bytes: int = 4 * 1024 * 1024,
        max_depth: Optional[int] = MAX_DEPTH,
        max_outgoing_size: Optional[int] = MAX_OUTGOING_SIZE,
        repeat_answers: int = 0,
        repeat_answers_for: float = 300.0,
        answer_unknown_types: bool = False,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
        datetime_digits: DigitsChoice = 3,
        **transport: Unpack[ServerOptions],
    ) -> None:
        check_options("Server", locals())
        options = Options(
            clock=SystemClock() if clock is None else clock,
            validate=validate,
            message_id_generator=message_id_generator,
            logger=logger,
            max_bad_messages=max_bad_messages,
            max_waiting_calls=max_waiting_calls,
            max_waiting_bytes=max_waiting_bytes,
            max_depth=max_depth,
            max_outgoing_size=max_outgoing_size,
            repeat_answers=repeat_answers,
            repeat_answers_for=repeat_answers_for,
            timeout=timeout,
            answer_timeout=answer_timeout,
            answer_unknown_types=answer_unknown_types,
            signer=signer,
            verifier=verifier,
            datetime_digits=datetime_digits,
        )
        check_option_names(Server, transport, ServerOptions)
        if ws_server is None:
            ws_server = WebSocketServer(**transport)
        elif transport:
            raise UsageError(f"give the ws_server its options itself: {', '.join(transport)}")
        if dispatcher is None:
            queues = FIFOQueueMap(_MAX_QUEUED, max_bytes=_MAX_QUEUED_BYTES) if queues is None else queues
            budget = getattr(ws_server, "budget", None)  # a transport of the program's own has none
            if budget is not None:
                queues.set_budget(budget)
            dispatcher = DefaultServerDispatcher(queues, max_losses=max_losses, max_refusals=max_refusals)
        elif (queues, max_losses, max_refusals) != (None, None, None):
            raise UsageError("give the dispatcher its queues, max_refusals and max_losses itself")
        dispatcher.set_timeout(timeout)
        super().__init__("the server", profiles, options, with_client_id=True)
        self._ws: WsServer = ws_server
        self._dispatcher: ServerDispatcher = dispatcher
        self._state = ServerState() if state is None else state
        self._hold_parts(dispatcher, self._absent, self._count_refusal, unconnected=False)
        takes_offline = dispatcher.takes_offline
        self._offline = OfflineRequests(self._features, options.clock, known_clients, takes_offline)
        is_connected = self._connections.by_id.__contains__
        self._boots = self._responder.boots = Boots(is_connected, self._release_or_hold if takes_offline else None)
        self._share_logger(ws_server, dispatcher)
        dispatcher.set_timeouts(self._timeouts)
        dispatcher.set_pending_request_state(self._state)
        dispatcher.set_network_server(Network(self._send_text))
        dispatcher.keep_until_settled()
        dispatcher.set_on_request_canceled(self._caller.request_canceled)
        dispatcher.set_decoder(self._caller.decode_stored)
        dispatcher.set_request_check(self._caller.refuse_other_version)
        ws_server.set_connected_handler(self._connected)
        ws_server.set_message_handler(self._router.receive)
        ws_server.set_disconnected_handler(self._disconnected)
        getattr(ws_server, "set_refused_handler", lambda handler: None)(self._handlers.refused)
        # Connections that have ended, and whose requests have not. Guarded by the lock of the lifecycle.
        self._ending: Dict[str, Connection] = {}
        self._takeover: Optional[Takeover] = None  # of the last `listen`, if that has waited
        self._opening: Optional["Opening"] = None  # from `wsgi_app` on
        self._mounted_at: Tuple[Union[str, Sequence[str]], Optional[IdentifyFunction]] = ("/{id}", None)
        self._boot_gate = BootGate(self._boots.status, self.peer_warnings.warn)
        self._membership = None if cluster is None else self._make_membership(cluster)
        self._controls: List["Control"] = []  # guarded by the lock of the lifecycle
        self._new_client_handler: Optional[Callable[[str], object]] = None
        self._disconnected_client_handler: Optional[Callable[[str, Close], object]] = None

    def _make_membership(self, cluster: "Cluster") -> "Membership":
        from .cluster.membership import Membership
        from .cluster.remote_calls import Sender
        from .cluster.serving import LocalServer

        caller, options = self._caller, self._options
        about = options.timeout, caller.waiting, options.clock.now, str(self), self._watches
        sender = Sender(self, self._timeouts, *about)
        send = partial(caller.send_one_way, wait=False)
        local = LocalServer(self, self._send_request_here, send, self._close_here, self._dispatcher.durable)
        membership = Membership(cluster, sender, local, options.logger)
        self._handlers.heard = membership.note_request
        getattr(self._ws, "set_held_elsewhere", lambda is_held: None)(membership.is_held_elsewhere)
        return membership

    # Life cycle

    def listen(
        self,
        port: int = 0,
        path: Union[str, Sequence[str]] = "/{id}",
        host: str = "0.0.0.0",
        *,
        identify: Optional[IdentifyFunction] = None,
        sock: SocketOption = None,
        reuse_port: bool = False,
        also: Sequence[ListenAddress] = (),
        health_path: Optional[str] = None,
        wait: bool = False,
    ) -> "Server":
        """Listen on ``host`` and ``port``.

        Args:
            port: 0 takes any free one; `url` tells where the server listens.
            path: Where clients connect: a template such as ``/ocpp/{id}``, or a list of templates, of which the first
                one that fits counts. Each has a segment ``{id}``, and may have other placeholders:
                ``/{tenant}/{id}``. Each stands for one segment. `HandshakeRequest.values` has what came for them.
                Empty segments in the path of a client, and a slash at its end, are ignored.
            host: The address of this machine to listen on. If a name has several, the server listens on all:
                "localhost" often has one of IPv4 and one of IPv6.
            identify: A function that finds out who connects, in place of ``path``: ``f(request: HandshakeRequest)``
                returns the identity, ``None`` for a client that is refused with 404, or a `Refusal`. If it raises
                anything but a `Refusal`, the client gets 500. ``request`` has no identity and no password yet. It is
                called on the thread of the handshake. The user name of Basic credentials is the identity, or the last
                segment of the path; the password is that of the identity.
            sock: A listening or bound socket of the program, or a list of them, in place of ``port`` and ``host``:
                `systemd_sockets`, for example. TCP, or a Unix domain socket, whose peers have the address "unix". The
                server closes it when it stops.
            reuse_port: Whether other processes may listen there at the same time (SO_REUSEPORT). The system chooses
                which of them gets a client, so each has some of the clients.
            also: More addresses to listen on, such as one of ``wss`` beside ``ws``. Clients may use any of them.
            health_path: A path such as "/health", where GET and HEAD are answered without credentials: 200, or 503
                while the server closes, with JSON: ``version`` of this library, ``status`` ("ok" or "closing"),
                ``connections``, and ``since`` when it listens. A client may have that path all the same.
            wait: Whether to wait for an address, or a file of ``queues``, that another process holds, such as the one
                that this process replaces. Then this method returns at once, and a thread tries again five times a
                second. Until it listens, requests and questions about clients raise `NotRunning`, which says for what
                it waits, and `url` raises, too. `stop` ends the wait. If the thread meets another error, it logs it
                and stops the server; `start` raises it.

        Returns:
            This server.

        Raises:
            AddressInUse: Another server listens there.
            QueueInUse: Another process has the file of the queues.
            TransportError: The address cannot be had.
            UsageError: The server is started already, has no profiles, or the path is no template.
            Stopped: `stop` was called meanwhile.
        """
        asked = self._lifecycle.asked  # first: what interrupts the rest may call `stop`
        refuse_inside("listen()", waits=True)
        check_options("listen", {"also": also})
        given: Dict[str, Any] = {"sock": sock, "reuse_port": reuse_port, "health_path": health_path}
        given["also"] = tuple(also)
        if identify is not None:
            given["identify"] = check_handler(identify, ["request"])
        check_options("listen", {"wait": wait, **given})
        options = self._known_options(given)
        listen: Callable[..., None] = self._ws.listen  # that of another transport may take one path alone

        def serve(subprotocols: List[str]) -> None:
            listen(port, path, host, subprotocols, **options)
            urls = getattr(self._ws, "urls", None) or [getattr(self._ws, "url", type(self._ws).__name__)]
            self.safe_log.info("listening on %s", ", ".join(urls))

        self._serve(asked, serve, wait)
        return self

    def _serve(self, asked: object, serve: Callable[[List[str]], None], wait: bool = False) -> None:
        """Begin a session, and have the transport ``serve`` the subprotocols. Raises as `listen`."""
        with self._lifecycle.beginning():
            session = self._begin(asked)
            try:
                self._begin_or_wait(partial(self._begin_serving, serve), session, wait)
            except BaseException as error:
                self._undo(session, error)
                raise
            # Whether stop() came while it began to listen.
            if not self._lifecycle.started or self._lifecycle.asked is not asked:
                self._stop_now(session)  # again: what began meanwhile ends now
                raise self._stopped()

    def wsgi_app(
        self,
        app: Optional["WSGIApplication"] = None,
        path: Union[str, Sequence[str]] = "/{id}",
        *,
        identify: Optional[IdentifyFunction] = None,
    ) -> "MountedApp":
        """Return a WSGI application that has this server's clients connect at the port of the web server.

        ::

            app.wsgi_app = server.wsgi_app(app.wsgi_app, path="/ocpp/{id}")  # Flask

        It takes the connections of WebSocket requests to ``path`` over from the web server, whose thread is free at
        once. The server begins with the first such request, in the process that serves it, or with `open`. When `stop`
        was called, such requests get 503 until `open` is called. docs/web.md names the web servers that can do that.

        Args:
            app: The application that gets everything else. Without one it gets 404; and 426 where clients connect.
            path: Where clients connect, as in `listen`; from where the web server or a framework has mounted this.
            identify: A function that finds out who connects, as in `listen`. With it, all WebSocket requests count as
                those of clients.

        Returns:
            A function of ``(environ, start_response)``, for the threads of a web server.

        Raises:
            UsageError: The path is no template; or the transport, or an ``ssl_context`` that it has, does not allow it.
        """
        from .web.opening import Opening
        from .web.wsgi import MountedApp

        refuse_inside("wsgi_app()")
        self._of_transport("check_adopting")()
        if app is not None:
            check_handler(app, ["environ", "start_response"])
        if identify is not None:
            check_handler(identify, ["request"])
        found_by = identification(path, identify)
        if self._opening is None:
            self._mounted_at = path, identify
            self._opening = Opening(self._open, self._stop_now, self._is_started, self._is_stopping)
        transport: Any = self._ws
        return MountedApp(app, found_by, self._opening, transport, self.peer_log)

    def open(self) -> "Server":
        """Begin now, in this process, without a port: for requests to clients before any of them has connected.

        Does nothing when the server is started already. Else a server that `wsgi_app` was called of begins by itself,
        at the first request of a client. After a `stop` that has ended, this begins it anew.

        Returns:
            This server.

        Raises:
            UsageError: `wsgi_app` was not called, or there are no profiles.
            QueueInUse: Another process has the file of the queues, such as the worker before a reload.
            NotRunning: `stop` is under way, the process ends, or another thread tried meanwhile and could not open it.
            Stopped: `stop` was called meanwhile.
        """
        refuse_inside("open()", waits=True)
        if self._opening is None:
            raise UsageError("open() is for a server in a web application: call wsgi_app() first, or listen()")
        self._opening.open()
        return self

    def _known_options(self, given: Dict[str, Any]) -> Dict[str, Any]:
        """Return the options that say something: a transport of the program's own need not know them all."""
        options = {name: value for name, value in given.items() if value not in (None, False, ())}
        known = signature(self._ws.listen).parameters
        if not any(each.kind is Parameter.VAR_KEYWORD for each in known.values()):
            missing = [name for name in options if name not in known]
            if missing:
                raise UsageError(f"the transport {type(self._ws).__name__} cannot listen with {', '.join(missing)}")
        return options

    def _begin_serving(self, serve: Callable[[List[str]], None]) -> None:
        self._dispatcher.start()  # does nothing if it was done in an attempt before
        if self._membership is not None:
            self._membership.begin()
        serve([dialect.subprotocol for dialect in self.dialects])

    def _begin_or_wait(self, begin: Callable[[], None], session: object, wait: bool) -> None:
        """Call ``begin()``; with ``wait`` have a thread go on with it, if another process holds what it needs."""
        self._takeover = None
        try:
            begin()
        except _HELD as error:
            if not wait:
                raise
            self._note_wait(error)
            self.safe_log.info("%s waits for %s, which another process holds", self, self._lifecycle.waits_for)
            end = partial(self._stop_now, session)
            self._takeover = Takeover(partial(self._take_over, begin), _HELD, end, self.safe_log)
            self._takeover.start()

    def _note_wait(self, error: Union[AddressInUse, QueueInUse]) -> None:
        self._lifecycle.waits_for = error.address if isinstance(error, AddressInUse) else error.path

    def _take_over(self, begin: Callable[[], None]) -> None:
        """Try again to listen, on the thread of the `Takeover`."""
        try:
            begin()
        except _HELD as error:
            self._note_wait(error)  # it may be the other one of the two by now
            raise
        self._lifecycle.waits_for = ""

    def _open(self) -> None:
        asked = self._lifecycle.asked
        path, identify = self._mounted_at
        serve: Callable[..., None] = self._of_transport("open")
        self._serve(asked, lambda subprotocols: serve(path, subprotocols, identify))
        self.safe_log.info("open: clients come through the web application")

    def _is_started(self) -> bool:
        return self._lifecycle.started

    def _is_stopping(self) -> bool:
        return self._lifecycle.is_stopping or (self._lifecycle.started and self._caller.closing)

    def _stopped(self) -> Stopped:
        return self._caller.describe(Stopped(f"{self} was stopped while it began to listen"), None)

    @called_by_program
    def start(
        self,
        port: int,
        path: Union[str, Sequence[str]] = "/{id}",
        host: str = "0.0.0.0",
        *,
        identify: Optional[IdentifyFunction] = None,
        sock: SocketOption = None,
        reuse_port: bool = False,
        also: Sequence[ListenAddress] = (),
        health_path: Optional[str] = None,
        wait: bool = False,
        signals: bool = True,
    ) -> None:
        """Listen, and block until `stop` is called from another thread, or a signal comes. Then return.

        Ctrl-C (KeyboardInterrupt) and, on the main thread, SIGTERM stop the server as `stop` does: clients get a Close
        with 1001. A second Ctrl-C ends the waiting for that: KeyboardInterrupt is raised. A SIGTERM handler of the
        program's own is called, too, after the stop was begun; it is in force again when this returns. Where SIGTERM
        is ignored, it stays so.

        Args:
            port: As in `listen`.
            path: As in `listen`.
            host: As in `listen`.
            identify: As in `listen`.
            sock: As in `listen`.
            reuse_port: As in `listen`.
            also: As in `listen`.
            health_path: As in `listen`.
            wait: As in `listen`.
            signals: False leaves signals alone: KeyboardInterrupt is raised, and the server goes on.

        Raises:
            OcppjError: What `listen` raises.
        """
        options = {"sock": sock, "reuse_port": reuse_port, "also": also, "health_path": health_path, "wait": wait}
        listen: Callable[..., object] = self.listen
        if not self._run(partial(listen, port, path, host, identify=identify, **options), signals):
            return
        takeover = self._takeover
        if takeover is not None and takeover.error is not None:
            raise takeover.error

    def stop(self, timeout: Optional[float] = None, drain: Optional[float] = None) -> None:
        """Stop listening, close every connection with 1001, and end every request with `Stopped`.

        Else it is as `Client.stop`, with the same arguments. During ``drain`` clients may still connect, and new CALLs
        of theirs are handled as always; the stop does not wait for these.
        """
        self._stop_for(sys._getframe().f_back, timeout, drain)

    def _stop_for(
        self, caller: Optional[FrameType], timeout: Optional[float] = None, drain: Optional[float] = None
    ) -> None:
        self._note_stop()
        super()._stop_for(caller, timeout, drain)
        self._note_stop()  # again: what opened the server meanwhile was stopped, too

    def _note_stop(self) -> None:
        if self._opening is not None and not self._lifecycle.is_parents:
            self._opening.stopped = True

    def _stop_at_exit(self, seconds: float) -> None:
        if self._opening is not None:
            self._opening.for_good = True
        super()._stop_at_exit(seconds)

    def _has_pending(self) -> bool:
        return self._state.has()

    def _stop_now(self, session: Optional[object] = None, timeout: Optional[float] = None) -> None:
        self._stop(self._stop_sending, self._stop_ws, session, timeout)
        with self._lifecycle.lock:
            if not self._lifecycle.started:
                self._state.clear()  # frames that came while it stopped may have asked for a state

    def _stop_sending(self) -> None:
        """End the wait for another process, if there is one, and then the dispatcher: see `Node._stop`."""
        takeover = self._takeover
        try:
            if self._membership is not None:
                self._membership.stop_calls()
            if takeover is not None:
                takeover.stop()
        finally:
            self._lifecycle.waits_for = ""
            self._dispatcher.stop()

    def _stop_ws(self, timeout: Optional[float]) -> None:
        """Stop the transport and the control sockets, and then leave the cluster.

        It is left last: the others have been told how their calls ended.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            super()._stop_ws(timeout)
        finally:
            try:
                self._close_controls()
            finally:
                if self._membership is not None:
                    left = _LEAVING if deadline is None else max(0.0, min(_LEAVING, deadline - time.monotonic()))
                    self._membership.leave(left)

    def _close_controls(self) -> None:
        with self._lifecycle.lock:
            controls, self._controls = self._controls, []
        do_all(*(control._close for control in controls))

    def control(self, address: str) -> "Control":
        """Open a local socket over which other programs of this user call the clients: ``ocppj call``, for example.

        ::

            server.control("unix:/run/ocppj.sock")  # then, in a shell: ocppj call CP_1 Reset type=Soft --via unix:...

        Its file has the mode 0600 from the first moment on. One that an ended process has left is replaced. What can be
        done over it: call a client, list the clients, and close a connection. `ocppj.control.connect` is for programs.
        It may be opened before `listen`. `stop` closes it.

        Args:
            address: ``unix:`` and a path.

        Returns:
            An object whose ``close()`` closes it, and removes the file.

        Raises:
            AddressInUse: Another process listens there.
            TransportError: The socket cannot be made.
            UsageError: Something else than a socket is there; or this system has no Unix sockets, as Windows.
        """
        from .control.control import Control

        refuse_inside("control()", waits=True)
        in_cluster = self._membership is not None
        control = Control(self, partial(self.connections, cluster=in_cluster), address, self.safe_log)
        with self._lifecycle.lock:
            self._controls = [*(each for each in self._controls if not each.closed), control]
        return control

    @property
    def url(self) -> str:
        """The URL for a client on this machine, without the identity: what `Client.connect` takes.

        Its path is that of the first template, up to the first placeholder. For ``/{tenant}/{id}`` a client adds its
        tenant: ``server.url + "/north"``. With ``identify`` it has no path.
        """
        self._lifecycle.check_process()
        return self._ws.url

    @property
    def urls(self) -> List[str]:
        """The URL at each address that it listens on, as `url`: the first one, and those of ``also``.

        Raises `UsageError` when the transport has one alone.
        """
        self._lifecycle.check_process()
        urls: Optional[List[str]] = getattr(self._ws, "urls", None)
        if urls is None:
            raise UsageError(f"the transport {type(self._ws).__name__} has no urls")
        return urls

    def client_ids(self, *, cluster: bool = False) -> List[str]:
        """Return the ids of the connected clients.

        Args:
            cluster: Whether those of the other processes are wanted, too.

        Raises:
            NotRunning: Another process has them: this one was forked from it, while it listened.
            ClusterUnavailable: The others cannot be asked now.
            UsageError: This server is in no cluster.
        """
        refuse_inside("client_ids()", waits=cluster)
        self._lifecycle.check_process()
        if cluster:
            held = [each.client_id for each in self._member().cluster.holders()]
            return list(dict.fromkeys([*self._client_ids(), *held]))
        return self._client_ids()

    def _client_ids(self) -> List[str]:
        with self._lifecycle.lock:
            return list(self._connections.by_id)

    def connection(self, client_id: str) -> ConnectionInfo:
        """Return what is known of that client just now: its address, version, certificate, queue and more.

        May be called from any thread, also from handlers of that client's requests.

        Raises:
            UnknownClient: No such client is connected.
            NotRunning: The server is not started.
        """
        refuse_inside("connection()")
        return self._info(self._connections.get(client_id))

    def connections(self, *, cluster: bool = False) -> List[ConnectionInfo]:
        """Return what is known of each connected client just now, in the order in which they came.

        Args:
            cluster: Whether those of the other processes follow, in no order. Their ``node_id`` is the id of the node
                that has the connection. `ConnectionInfo` says there what is known of them.

        Raises:
            OcppjError: What `client_ids` raises.
        """
        refuse_inside("connections()", waits=cluster)
        self._lifecycle.check_process()
        with self._lifecycle.lock:
            connections = list(self._connections.by_id.values())
        infos = [self._info(connection) for connection in connections]
        if cluster:
            here = {each.client_id for each in infos}
            infos += [each for each in self._member().infos_elsewhere() if each.client_id not in here]
        return infos

    def _info(self, connection: Connection) -> ConnectionInfo:
        client_id = connection.client_id
        queue_length, status = self._dispatcher.count_requests(client_id), self._boots.status(client_id)
        node_id = None if self._membership is None else self._membership.cluster.node_id
        return info_of(connection, self._options.clock.now(), queue_length, status, node_id)

    def version_of(self, client_id: str) -> str:
        """Return the OCPP version spoken with that client, such as "1.6". Raises `UnknownClient`.

        With a cluster it may be a client of another process. Raises `ClusterUnavailable`, too.
        """
        if self._elsewhere(client_id) is not None:
            refuse_inside("version_of()", waits=True)
        return self._version_of(client_id)

    def _version_of(self, client_id: str) -> str:
        if self._elsewhere(client_id) is not None:
            return str(self._member().holder_of(client_id).about.get("version", ""))
        return self._connections.get(client_id).dialect.version

    def disconnect(self, client_id: str, code: int = 1000, reason: str = "") -> None:
        """Close that client's connection.

        From a signal handler, a finalizer or a log handler it works as `stop` does: see `Client.stop`.

        Raises:
            UnknownClient: No such client is connected; with a cluster: to any process.
            ClusterUnavailable: Another process has the connection, or may have it, and cannot be told now.
            UsageError: ``code`` cannot be sent.
        """
        elsewhere = self._elsewhere(client_id)
        if elsewhere is None:
            close = self._connections.get(client_id).channel.close
        else:
            close = partial(elsewhere.disconnect, client_id)
        if place_of(sys._getframe().f_back) is FREE:
            close(code, reason)
        else:
            hand_over("ocppj-disconnect", partial(close, code, reason))

    def _close_here(self, client_id: str, code: int, reason: str) -> None:
        self._connections.get(client_id).channel.close(code, reason)

    def set_ping_interval(self, client_id: str, interval: Optional[float]) -> None:
        """Ping that client every ``interval`` seconds; ``None`` or 0: not at all, for one that never answers pings.

        Raises `UnknownClient`, and `UsageError` for a negative interval.
        """
        refuse_inside("set_ping_interval()")
        self._connections.get(client_id).channel.ping_interval = interval

    def stats(self) -> Stats:
        """Return what was let in, refused and lost. `ocppj.ws.stats` names the reasons.

        Beside those of the transport, ``refused`` counts ``queue_full`` (a request to a client whose queue is full),
        ``waiting_calls`` (a CALL or SEND of a client of which too many wait already), ``nesting_depth`` (a frame nested
        too deeply) and ``bad_messages`` (a connection closed for too many frames that are no messages). ``held`` has
        the bytes that are held just now, by kind: see `ocppj.budget`. docs/metrics.md explains the rest.

        May be called from any thread. It looks at each connection.

        Raises:
            UsageError: The transport counts nothing.
        """
        refuse_inside("stats()")
        stats = self._of_transport("stats")()
        if not isinstance(stats, Stats):  # of a transport of the program's own
            return stats  # type: ignore[no-any-return]
        with self._lifecycle.lock:
            connections = list(self._connections.by_id.values())
        versions = dict.fromkeys((dialect.version for dialect in self.dialects), 0)
        pending = queued = 0
        for connection in connections:
            waits = self._state.has(connection.client_id)
            waiting = self._dispatcher.count_requests(connection.client_id) or 0  # ``None``: it is not known
            versions[connection.dialect.version] += 1
            pending += waits
            queued += max(0, waiting - waits)
        return replace(stats, versions=versions, pending=pending, queued=queued, **self._meters.figures()._asdict())

    # For tests of charge points: what a central system that works does not do

    def abort(self, client_id: str) -> None:
        """Cut that client's connection at once, without a Close: see `Client.abort`. Raises `UnknownClient`, too."""
        refuse_inside("abort()")
        self._of_channel(client_id, "abort")()

    def send_raw(self, client_id: str, text: str) -> None:
        """Send that client one text frame as it is: see `Client.send_raw`. Raises `UnknownClient`, too."""
        refuse_inside("send_raw()")
        self._send_raw(client_id, text)

    def pause_reading(self, client_id: str) -> None:
        """Read nothing more from that client until `resume_reading`: see `Client.pause_reading`.

        `disconnect` ends its connection all the same. Raises `UnknownClient`, too.
        """
        refuse_inside("pause_reading()")
        self._of_channel(client_id, "pause_reading")()

    def resume_reading(self, client_id: str) -> None:
        """Read again what comes from that client, and what has come meanwhile. Raises as `pause_reading`."""
        refuse_inside("resume_reading()")
        self._of_channel(client_id, "resume_reading")()

    def send_frame(self, client_id: str, opcode: int, data: bytes, fin: bool = True) -> None:
        """Send that client one frame as it is: see `Client.send_frame`. Raises `UnknownClient`, too."""
        refuse_inside("send_frame()")
        self._send_frame(client_id, opcode, data, fin)

    # Requests and answers

    @overload
    def call(
        self,
        client_id: str,
        request: Request[R],
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> R: ...

    @overload
    def call(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> Any: ...

    def call(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
    ) -> Any:
        """Send ``request`` to that client, wait, and return the typed response.

        It may be called where `Client.call` may be.

        Args:
            client_id: A connected client. With a cluster: of any process.
            request: A request of one of the profiles.
            timeout: Seconds to wait, in the queue too. Without it: the server's ``timeout``, from the sending on; for a
                client of another process in the queue, too.
            signed: Whether to send the signed form of an OCPP 2.x message.
            message_id: As in `Client.call`.

        Raises:
            UnknownClient: No such client is connected; with a cluster: to any process.
            ClusterUnavailable: It is not connected here, and the other processes cannot be reached now.
            OcppjError: What `Client.call` raises.
        """
        refuse_inside("call()", waits=True)
        elsewhere = None if self._membership is None else self._elsewhere(client_id)
        if elsewhere is not None:
            return elsewhere.call(client_id, request, timeout, signed, message_id)
        return self._caller.call(client_id, request, timeout, signed, message_id)

    @overload
    def send_request(
        self,
        client_id: str,
        request: Request[R],
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
    ) -> CallFuture[R]: ...

    @overload
    def send_request(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
    ) -> CallFuture[Any]: ...

    def send_request(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
    ) -> CallFuture[Any]:
        """Queue ``request`` for that client. One request to a client is under way at a time.

        Args:
            client_id: A connected client. With a cluster: of any process.
            request: A request of one of the profiles.
            timeout: As in `call`.
            signed: As in `call`. The future's ``signature`` tells about the signature of the answer.
            message_id: As in `Client.send_request`.
            offline: Whether the client may be away. Only with a `SQLiteQueueMap` or a `RedisQueueMap`. The request is
                stored, by the process of the cluster that has the client, or else by this one. It is sent when the
                client is there and has booted: its BootNotification was answered with Accepted, over this connection
                or an earlier one of that process; or the answer to another request of it was no error, and its last
                BootNotification was not answered with Pending or Rejected. Until then other requests go first. The
                future ends with the answer, if that comes in the process that stored it, and with `Stopped` when the
                server is stopped: the request is sent after the next start all the same.
            expires: With ``offline``: seconds after which the request ends with `CallTimeout`, sent or not. The time
                of day counts, also while the process is not running.
            version: With ``offline``: the OCPP version to make the request in, such as "1.6", if the client is away and
                profiles of several versions have the request. By default it is that of the client's last connection.

        Returns:
            A future of the response. A failed write fails it.

        Raises:
            UnknownClient: No such client is connected; with ``offline``: nor is it one of ``known_clients``.
            UsageError: The server cannot store requests, or an argument is wrong.
            UnsupportedFeature: No profile has the request, or the version of a client that is away is not known.
            OcppjError: What `Client.send_request` raises.
        """
        refuse_inside("send_request()")
        elsewhere = None if self._membership is None else self._elsewhere(client_id)
        if elsewhere is not None:
            refuse_inside("send_request()", waits=True)
            self._offline.options(offline, expires, version)
            try:
                about = client_id, request, timeout, signed, message_id
                future = elsewhere.send_request(*about, offline=offline, expires=expires, version=version)
                return self._kept(future, client_id, request, timeout, expires, version, signed) if offline else future
            except UnknownClient:
                if not offline:
                    raise
        queued = client_id, request, timeout, offline, expires, version
        return self._send_request_here(*queued, signed=signed, message_id=message_id)

    def _kept(
        self,
        future: CallFuture[Any],
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        expires: Optional[float],
        version: Optional[str],
        signed: bool = False,
    ) -> CallFuture[Any]:
        """Return a future as ``future``. If the process that has the request dies, the request is made again."""
        known: Dict[str, Any] = {"version": version, "signed": signed, "message_id": future.message_id}
        again = partial(self.send_request, client_id, request, timeout, offline=True, **known)
        return self._member().kept.keep(request, future, again, expires)

    def _send_request_here(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
        *,
        signed: bool,
        message_id: Optional[str],
        once: bool = False,
    ) -> CallFuture[Any]:
        """Queue ``request`` for a client that is connected here, or may be. With ``once`` it ends with the connection.

        Else it is as `send_request`.
        """
        options = None
        if offline or expires is not None or version is not None:
            options = self._offline.options(offline, expires, version)
            if not self._lifecycle.is_running:
                raise self._not_running()
        fragile = once or not self._dispatcher.durable
        return self._caller.send_request(
            client_id,
            request,
            timeout,
            fragile=fragile,
            signed=signed,
            message_id=message_id,
            offline=options,
        )

    @overload
    def broadcast(
        self,
        request: Request[R],
        client_ids: Optional[Iterable[str]] = None,
        timeout: Optional[float] = None,
        *,
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
        cluster: bool = False,
    ) -> Dict[str, CallFuture[R]]: ...

    @overload
    def broadcast(
        self,
        request: Payload,
        client_ids: Optional[Iterable[str]] = None,
        timeout: Optional[float] = None,
        *,
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
        cluster: bool = False,
    ) -> Dict[str, CallFuture[Any]]: ...

    def broadcast(
        self,
        request: Payload,
        client_ids: Optional[Iterable[str]] = None,
        timeout: Optional[float] = None,
        *,
        offline: bool = False,
        expires: Optional[float] = None,
        version: Optional[str] = None,
        cluster: bool = False,
    ) -> Dict[str, CallFuture[Any]]:
        """Queue ``request`` for each of ``client_ids``, by default all that are connected.

        A `SQLiteQueueMap` stores the requests to all of them with one sync of the disk, a `RedisQueueMap` on Redis.

        Args:
            request: A request of one of the profiles.
            client_ids: Their ids.
            timeout: As in `call`.
            offline: As in `send_request`. The default of ``client_ids`` is then: all that are connected, and the
                ``known_clients`` of the server, if they can be listed.
            expires: As in `send_request`.
            version: As in `send_request`.
            cluster: Whether the default of ``client_ids`` is the clients of all processes. Ids that are given may be
                of any process anyway.

        Returns:
            A future for each id. What keeps the request from one client (it has gone, its queue is full, its version
            has no such request) fails that client's future.

        Raises:
            ValidationError: The payload breaks its schema.
            EncodingError: A field cannot be written.
            NotRunning: The server is not started.
            UsageError: ``client_ids`` is one text; or with ``cluster``: this server is in no cluster.
            ClusterUnavailable: With ``cluster``: the others cannot be asked now.
        """
        refuse_inside("broadcast()", waits=self._membership is not None)
        if not self._lifecycle.is_running:
            raise self._not_running()
        if isinstance(client_ids, str):
            raise UsageError("client_ids is a sequence of ids, not one text")
        options = self._offline.options(offline, expires, version)
        if client_ids is None:
            client_ids = [*self._client_ids(), *(self._offline.known_ids() if offline else ())]
            if cluster:
                client_ids += [each.client_id for each in self._member().cluster.holders()]
        chosen = dict.fromkeys(client_ids)
        if self._membership is not None:
            given = {"offline": offline, "expires": expires, "version": version}
            elsewhere = self._broadcast_elsewhere(chosen, request, timeout, given)
            rest = [each for each in chosen if each not in elsewhere]
            futures = self._broadcast_here(rest, request, timeout, options) if rest else {}
            return {each: elsewhere[each] if each in elsewhere else futures[each] for each in chosen}
        return self._broadcast_here(chosen, request, timeout, options)

    def _broadcast_elsewhere(
        self, client_ids: Iterable[str], request: Payload, timeout: Optional[float], options: Dict[str, Any]
    ) -> Dict[str, CallFuture[Any]]:
        """Queue ``request`` for those that are not connected here. With ``offline`` those that are nowhere are left."""
        futures = {}
        for client_id in client_ids:
            remote = self._elsewhere(client_id)
            if remote is None:
                continue
            try:
                future = remote.send_request(client_id, request, timeout, **options)
                if options["offline"]:
                    future = self._kept(future, client_id, request, timeout, options["expires"], options["version"])
                futures[client_id] = future
            except EXCUSED as error:
                if not (options["offline"] and isinstance(error, UnknownClient)):
                    futures[client_id] = CallFuture.failed(self._caller.describe(error, client_id, request=request))
        return futures

    def _broadcast_here(
        self, chosen: Iterable[str], request: Payload, timeout: Optional[float], options: Optional[Offline]
    ) -> Dict[str, CallFuture[Any]]:
        caller = self._caller
        # It is encoded and checked once for each version, unless a function chooses for each client how that is done.
        made: Optional[Dict[Dialect, Call]] = {} if self._is_alike_for_all else None
        if self._dispatcher.durable:
            send = self._dispatcher.send_requests
            return caller.send_to_all(chosen, request, timeout, options, made, EXCUSED, send)
        futures = {}
        for client_id in chosen:
            try:
                futures[client_id] = caller.send_request(client_id, request, timeout, fragile=True, made=made)
            except EXCUSED as error:
                futures[client_id] = CallFuture.failed(error)
        return futures

    def send(self, client_id: str, request: Payload, *, signed: bool = False) -> str:
        """Send a message that is never answered, at once, and return its id: see `Client.send`.

        Raises:
            UnknownClient: No such client is connected.
            OcppjError: What `Client.send` raises.
        """
        refuse_inside("send()")
        elsewhere = self._elsewhere(client_id)
        if elsewhere is not None:
            refuse_inside("send()", waits=True)
            return elsewhere.send(client_id, request, signed)
        return self._caller.send_one_way(client_id, request, signed)

    def send_response(self, client_id: str, message_id: str, response: Payload) -> None:
        """Answer the CALL ``message_id`` of that client: see `Client.send_response`. Raises `UnknownClient`, too."""
        refuse_inside("send_response()")
        self._responder.answer(client_id, message_id, response)

    def send_error(
        self,
        client_id: str,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Answer the CALL with an error: see `Client.send_error`. Raises `UnknownClient`, too."""
        refuse_inside("send_error()")
        self._responder.answer_with_error(client_id, message_id, code, description, details)

    def make_request(
        self,
        client_id: str,
        action: str,
        payload: Optional[Mapping[str, Any]] = None,
        *,
        version: Optional[str] = None,
    ) -> Any:
        """Return the typed request of ``action`` with a JSON payload, to `call` that client with, or `send`.

        It is checked strictly, whatever ``validate`` says: an unknown property is an error, too. The payload's own
        ``from_wire`` would drop it.

        Args:
            client_id: A connected client.
            action: The action, such as "Reset".
            payload: A JSON object: ``{"type": "Soft"}``. ``None``: an empty one.
            version: The OCPP version, such as "1.6": for a client that is not connected. ``None``: that of its
                connection.

        Raises:
            UnknownClient: No such client is connected, and ``version`` is not given.
            UnsupportedFeature: No profile of that version has the action.
            ValidationError: The payload breaks its schema. ``path`` says where.
            UsageError: No profile is of that version.
        """
        if version is None and self._elsewhere(client_id) is not None:
            refuse_inside("make_request()", waits=True)
            version = self._version_of(client_id)
        return self._make_request(client_id, action, payload, version)

    # Handlers. Those that a client has alike are in `Node`.

    @overload
    def on(self, request_type: Type[RequestType[Q, A]]) -> Callable[[Callable[[str, Q], A]], Callable[[str, Q], A]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True]
    ) -> Callable[[Callable[[str, Q, str], Optional[A]]], Callable[[str, Q, str], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_signature: Literal[True]
    ) -> Callable[[Callable[[str, Q, Signature], A]], Callable[[str, Q, Signature], A]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True], pass_signature: Literal[True]
    ) -> Callable[
        [Callable[[str, Q, str, Signature], Optional[A]]], Callable[[str, Q, str, Signature], Optional[A]]
    ]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], second: Type[RequestType[Q2, A2]], /
    ) -> Callable[[Callable[[str, Union[Q, Q2]], Union[A, A2]]], Callable[[str, Union[Q, Q2]], Union[A, A2]]]: ...

    @overload
    def on(
        self,
        request_type: Type[RequestType[Q, A]],
        second: Type[RequestType[Q2, A2]],
        third: Type[RequestType[Q3, A3]],
        /,
    ) -> Callable[
        [Callable[[str, Union[Q, Q2, Q3]], Union[A, A2, A3]]], Callable[[str, Union[Q, Q2, Q3]], Union[A, A2, A3]]
    ]: ...

    @overload
    def on(
        self, request_type: Type[Payload], *more: Type[Payload], pass_id: bool = False, pass_signature: bool = False
    ) -> Callable[[F], F]: ...

    def on(self, request_type: Any, *more: Any, pass_id: bool = False, pass_signature: bool = False) -> Any:
        """Have requests of that type handled by the decorated ``f(client_id, request)``.

        Else it is as `Client.on`.

        Args:
            request_type: A message type, such as ``v16.BootNotificationRequest``.
            more: Further types, which the handler takes as well.
            pass_id: Whether the message id is the next argument: ``f(client_id, request, message_id)``.
            pass_signature: Whether the last argument is the request's `SignatureResult`, or ``None`` without signature.

        Raises:
            UnsupportedFeature: No profile has the type.
        """
        return self._handlers.on((request_type, *more), pass_id, pass_signature)

    def require_boot(self, *, is_known: Optional[Callable[[str], bool]] = None) -> Callable[..., None]:
        """Refuse with SecurityError what a charge point sends before its BootNotification was answered Accepted.

        A charge point whose BootNotification was answered Pending, or that has sent none, may send what this server
        asked for with TriggerMessage, ExtendedTriggerMessage, GetBaseReport or GetReport. One that was answered
        Rejected may send nothing but a BootNotification (OCPP 1.6 edition 2 section 4.2; 2.x Part 2, B01.FR.10,
        B02.FR.02 and FR.09, B03.FR.07). Each is warned of once in the log.

        A reconnect needs no new boot: the server remembers the answers as long as it lives. After a restart of this
        program the charge points come back, and most do not boot. Without ``is_known`` they are refused until they do.

        Args:
            is_known: ``f(client_id)`` tells whether an earlier process, or another one, accepted that charge point's
                boot. It is called on the handler thread, when the charge point sends something and no boot of it was
                answered here, until it returns true. It may look into a database. If it raises, the answer is
                InternalError.

        Returns:
            What runs before each handler: `remove_before` takes it away. A second ``require_boot()`` replaces
            ``is_known``.

        Raises:
            UsageError: ``is_known`` cannot be called so.
        """
        gate = self._boot_gate
        gate.is_known = check_handler(is_known, ["client_id"])
        self._handlers.asking = gate.note_request
        if gate.check not in self._handlers.before:
            self._handlers.add_before(gate.check)
        return gate.check

    def set_new_client_handler(self, handler: H) -> H:
        """Call ``f(client_id)`` when a client has connected, before its first request is handled."""
        self._new_client_handler = check_handler(handler, ["client_id"])
        return handler

    def set_disconnected_client_handler(self, handler: H) -> H:
        """Call ``f(client_id)`` when a client has disconnected, after its last request was handled.

        It may take ``f(client_id, close)`` as well: `ocppj.ws.base.Close` says how the connection ended. A ``close``
        with a default value is not given: it keeps its default.
        """
        adapted = None if handler is None else self._handlers.adapt(handler, optional=["close"])
        self._disconnected_client_handler = adapted
        return handler

    # Checks of a handshake. They run on its thread, several at a time, and must not block for long. ``True`` is a yes,
    # what counts as false a no. A `Refusal` that is returned or raised is a no with a status of its own, and fields
    # such as Retry-After. A check that returns anything else, or raises, refuses with 500, and is logged. Each setter
    # raises `UsageError` when a transport of the program's own has no such check. ``None`` takes a check away: what it
    # refused is let in from then on.

    def set_check_client_handler(self, handler: H) -> H:
        """Let ``f(request: HandshakeRequest)`` say whether that client is known; if not, it is refused with 404.

        A `Refusal` that it returns, or raises, refuses with another status: ``Refusal(503, retry_after=30)``. That
        holds for all checks of this kind. OCPP-J 1.6 section 3.2; Part 4 section 3.2.
        """
        self._of_transport("set_check_client_handler")(check_handler(handler, ["request"]))
        return handler

    def set_basic_auth_handler(self, handler: C) -> C:
        """Let ``f(client_id, password: bytes)`` say whether Basic credentials are right; if not, or none came: 401.

        Where TLS lets clients present a certificate (``client_ca`` without ``require_client_certificate``), a right one
        stands in for credentials that did not come, unless ``security_profile`` is 2.

        The user name equals the identity already, or with ``listen(identify=)`` the last segment of the path. In place
        of a function a mapping may be given, and changed: identity -> expected password, text (UTF-8) or bytes
        (`authorization_key` for a 1.6 key). It is compared in constant time. A `Refusal` counts as a wrong password, of
        which too many are answered with 429. 1.6 security whitepaper and Part 2, A00.FR.202 to 207.
        """
        set_check = self._of_transport("set_basic_auth_handler")
        if handler is None:
            self.safe_log.warning("passwords are not checked from now on")
        set_check(None if handler is None else password_check(handler))
        return handler

    def set_check_origin_handler(self, handler: H) -> H:
        """Let ``f(origin: str | None)`` say whether a browser's page may connect; if not, it is refused with 403."""
        self._of_transport("set_check_origin_handler")(check_handler(handler, ["origin"]))
        return handler

    def set_check_certificate_handler(self, handler: H) -> H:
        """Let ``f(request: HandshakeRequest)`` say whether the client's certificate is its own; if not: 401.

        It replaces the check that a verified certificate names the identity (``request.certificate_matches``). It is
        called for each client, with a ``request.peer_certificate`` of ``None`` for one without a certificate, which it
        can refuse; if it does not, the client still needs a password where passwords are set up. 1.6
        security whitepaper and Part 2, A00.FR.404 and 405.
        """
        self._of_transport("set_check_certificate_handler")(check_handler(handler, ["request"]))
        return handler

    # What the transport calls

    def _after_fork(self) -> None:
        """Forget the session, which is the parent's: see `ocppj.forks`. For the library."""
        super()._after_fork()
        self._ending.clear()
        self._takeover = None
        self._controls.clear()  # each is registered itself
        if self._membership is not None:
            self._membership._after_fork()
        forget_parent(self._state)
        forget_parent(self._opening)

    def _connected(self, channel: Channel) -> None:
        dialect = self.get_dialect(channel.subprotocol)
        if dialect is None:
            channel.close(1002, "no OCPP version in common")
            return
        if not dialect.allows_identity(channel.id):
            self.peer_log.warning("%s: OCPP %s does not allow such an identity", channel.id, dialect.version)
            channel.close(1008, "the identity is not allowed")
            return
        self._forget_peer(channel.id)
        left, now = self._responder.left, self._options.clock.now()
        connection = Connection(channel.id, channel, dialect, _Pending(self._state, channel.id), now, left.lock)
        connections = self._connections
        with self._lifecycle.lock:
            if not self._lifecycle.started:
                return
            before = connections.by_id.get(channel.id) or self._ending.get(channel.id)
            connections.by_channel[channel] = connection
            connections.by_id[channel.id] = connection
        words = "%s: connected from %s, OCPP %s"
        self.peer_log.info(words, channel.id, channel.remote_address, dialect.version)
        self._meters.connected(channel.id)
        self._handlers.connection_changed(connection)
        if before is not None and not before.released:  # its reader is held up, here or where its end is told
            left.leave(before)
            self._end_requests(before, "replaced by a newer one")
        if not self._take_requests(connection):
            return
        if self._membership is not None:
            self._membership.connected(connection)
        handler = self._new_client_handler
        if handler is not None:
            self._announce(connection, self._add_notice(connection, handler, channel.id), _PATIENCE)

    def _take_requests(self, connection: Connection) -> bool:
        """Let requests to ``connection`` be sent; return whether they can be. If not, it is closed, or will be."""
        client_id = connection.client_id
        try:
            if self._dispatcher.takes_offline:
                self._offline.note_version(client_id, connection.dialect.version)
                self._release_or_hold(client_id)
            self._dispatcher.create_client(client_id)
            return True
        except NotRunning:  # stop() came in between, and will close the channel
            pass
        except OcppjError as error:
            words = "%s: its stored requests cannot be read: %s"
            self.safe_log.error(words, client_id, error, client_id=client_id)
            connection.channel.close(1011, "internal error")
        return False

    def _disconnected(self, channel: Channel, close: Close) -> None:
        connections, handler = self._connections, self._disconnected_client_handler
        notice: Optional[Notice] = None
        connection = connections.by_channel.get(channel)
        if connection is None:
            return
        # Before it is taken out of `by_id`: see `Responder._get_connection`.
        self._responder.left.leave(connection, self._lifecycle.started)
        refused = self._responder.refusals.note_end(connection, close)
        with self._lifecycle.lock:
            if connections.by_channel.pop(channel, None) is None:
                return
            current = connections.by_id.get(channel.id) is connection
            if current:
                del connections.by_id[channel.id]
            self._ending[channel.id] = connection
            if handler is not None or self._new_client_handler is not None:  # else it is not worth a thread
                # Before a newer connection can be: its requests may begin, and be told of, while these are ended.
                notice = self._add_notice(connection, handler or (lambda client_id, close: None), channel.id, close)
        try:
            self._handlers.connection_changed(connection, close)
            if self._membership is not None:
                self._membership.disconnected(connection, close)
            self.peer_log.info("%s: connection %s", channel.id, close)
            if current:  # not replaced by a newer connection of the same identity, whose requests these would be
                self._end_requests(connection, str(close), refused)
        finally:
            with self._lifecycle.lock:
                if self._ending.get(channel.id) is connection:
                    del self._ending[channel.id]
            if notice is not None:
                self._announce(connection, notice, _PATIENCE)

    def _end_requests(self, connection: Connection, how: str, refused: Optional[str] = None) -> None:
        """End the requests of a connection that has ended; those that a durable queue keeps go on later.

        ``refused`` is the id of the request because of which the client has closed the connection, if there is one.
        """
        if self._dispatcher.durable:  # else `delete_client` does that
            self._caller.connection_lost(connection, how)
        with self._lifecycle.lock:
            released, connection.released = connection.released, True
        if not released:  # by a newer one, whose requests they are by now
            if refused is not None:
                self._handlers.call(self._dispatcher.refused_request, connection.client_id, refused, how)
            # A queue of the program's own may raise; the rest must be done.
            self._handlers.call(self._dispatcher.delete_client, connection.client_id)
            newer = self._connections.by_id.get(connection.client_id)
            if newer is not None and newer is not connection:  # it came meanwhile, and was deleted, too
                self._take_requests(newer)
        self._caller.connection_lost(connection, how)

    # The cluster

    def _member(self) -> "Membership":
        if self._membership is None:
            raise UsageError("this server is in no cluster: Server(cluster=...)")
        return self._membership

    def _elsewhere(self, client_id: str) -> Optional["RemoteCalls"]:
        """Return what reaches that client, if it is not connected here, and there is a cluster."""
        if self._membership is None or client_id in self._connections.by_id or not self._lifecycle.is_running:
            return None
        self._caller.check_open()
        return self._membership.remote

    # What the parts call

    def _release_or_hold(self, client_id: str) -> None:
        """Have what was made with ``offline`` sent to that client, or held."""
        told = None
        while told != self._boots.has_booted(client_id):  # another thread may note a boot, and tell of it, meanwhile
            told = self._boots.has_booted(client_id)
            self._dispatcher.set_booted(client_id, told)

    def _absent(self, client_id: str) -> Exception:
        if not self._lifecycle.is_running:
            return self._not_running()
        return UnknownClient(f"no client {client_id!r} is connected")

    def _not_running(self) -> NotRunning:
        mounted = self._opening is not None
        return self._lifecycle.why_not(f"{self} is not started" + " in this process: call open() first" * mounted)

    def _count_refusal(self, reason: str) -> None:
        # A transport of the program's own need not count.
        getattr(self._ws, "count_refusal", lambda reason: None)(reason)

    def _send_text(self, client_id: str, text: str) -> None:
        """Write what the dispatcher sends, on whatever thread ended the request before."""
        connection = self._connections.by_id.get(client_id) or self._connections.get(client_id)
        handlers = self._handlers
        action = connection.asked[1]  # before: as soon as this is answered, the next request is written
        if handlers.observers or handlers.frame_log.is_on():
            handlers.write(connection, text, False)
        else:
            connection.channel.send(text, False)
        self._meters.sent(2, action or OTHER)


class _Pending:
    """The pending request of one client. Its table is looked up each time: `ServerState.clear_client` replaces it."""

    __slots__ = ("_client_id", "_state")

    def __init__(self, state: ServerState, client_id: str) -> None:
        self._state = state
        self._client_id = client_id

    def get(self, message_id: str) -> Optional[Any]:
        return self._state.get_client_state(self._client_id).get(message_id)
