"""`Proxy`: what a program makes."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Set, Union

from ..errors import UsageError
from ..events import Event
from ..exchange.frame import ConnectionChange
from ..exchange.signals import stop_on_sigterm
from ..log_limit import LimitedLog, safe_log
from ..settings import LoggerLike, get_logger
from ..ws.base import Channel, Close
from ..ws.connection.channel import check_close_code
from ..ws.handshake.proofs import CredentialsCheck
from ..ws.handshake.request import HandshakeRequest
from ..ws.options import ServerOptions
from ..ws.readers.base import Readers
from .addressing import check_endpoint, identity_of, inner_path
from .central import PASS, CentralSide, ContextOption, CredentialsOption
from .hooks import Hook, Hooks
from .link import Link, LinkChannel, Shared
from .message import CSMS
from .observer import Observer
from .observing import Observing
from .showing import FrameObserver, Shows
from .stations import StationSide
from .tally import Counts, Tally

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Counts", "Proxy"]

_MESSAGE = 16 * 1024 * 1024  # bytes: the two sides have limits of their own
_CLIENT = ("handshake_timeout", "max_header_size", "max_message_size", "write_timeout")
_CHANNEL = ("ping_interval", "pong_timeout", "close_timeout", "message_timeout")


class Proxy:
    """Stands between charging stations and their central system, and passes on what both send. Thread-safe.

    A station connects to the proxy as it would to the central system. The proxy connects to the central system with the
    same path, query, header fields and subprotocols, and only then answers the station: with the subprotocol that the
    central system has chosen, or with its refusal. Frames are passed on as they are, whatever they are, in their order.
    The proxy does not read them, unless it has hooks, or observers that may make CALLs.

    What is promised of frames: when a connection of one side ends, that of the other side ends, too, after the frames
    that wait for it: with the same Close, or without one if there was none. A frame that was taken from one side and
    could not be written to the other is lost. Its sender sees the connection end without an answer, as if the proxy
    were not there. Nothing is kept for a side that is away.

    Args:
        to: The endpoint of the central system, such as ``wss://csms.example/ocpp``. The path of a station is added to
            it as it is, behind ``path``.
        observers: Further central systems: URLs, or `Observer` objects. Each gets a copy of what stations send.
        hooks: Functions that see each frame: see `add_hook`.
        recorders: What is shown the traffic: see `add_recorder`.
        credentials: What the central system gets as credentials: "pass" (those of the station), ``None`` (none),
            passwords by identity (for the others, their own), or a function ``f(request: HandshakeRequest)`` that
            returns user and password, or ``None`` for the station's own.
        headers: Header fields for the central system, in place of the station's of these names.
        to_ssl_context: For a ``wss`` URL of the central system, with a client certificate if it wants one; or a
            function ``f(request: HandshakeRequest)`` that returns the one for a station. ``None``: the authorities of
            the system are trusted.
        check_credentials: ``f(identity, password: bytes)`` tells whether a station may connect to the proxy. ``None``:
            the central system decides.
        logger: Where log lines go. ``None``: to that of the process.
        options: Those of `ocppj.Server` that are about connections, such as ``ssl_context`` (for stations),
            ``ping_interval``, ``max_message_size`` and ``write_timeout``. Where both sides have such an option, it is
            for both.

    Raises:
        UsageError: A value cannot be used.
    """

    def __init__(
        self,
        to: str,
        *,
        observers: Sequence[Union[str, Observer]] = (),
        hooks: Sequence[Hook] = (),
        recorders: Sequence[FrameObserver] = (),
        credentials: CredentialsOption = PASS,
        headers: Optional[Mapping[str, str]] = None,
        to_ssl_context: ContextOption = None,
        check_credentials: Optional[CredentialsCheck] = None,
        logger: Optional[LoggerLike] = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        given: Dict[str, Any] = {"max_message_size": _MESSAGE, "idle_timeout": None, **options}
        log = LimitedLog(get_logger)
        log.use(logger, None)
        self._log = log
        tally = Tally()
        self._shared = Shared(Hooks(hooks, log), Shows(recorders, log), tally, log)
        self._observing = Observing(observers, tally, log, given.get("ping_interval", 45.0), logger)
        self._central = CentralSide(
            check_endpoint(to),
            credentials,
            headers,
            to_ssl_context,
            {name: given[name] for name in _CLIENT if name in given},
            {"ping_interval": 45.0, **{name: given[name] for name in _CHANNEL if name in given}},
        )
        self._stations = StationSide(self._open_link, self._join, self._refused, **given)
        if check_credentials is not None:
            self._stations.set_basic_auth_handler(check_credentials)
        if logger is not None:
            self._stations.set_logger(logger)
            self._central.handlers.use(logger, None)
        self._stations.set_connected_handler(self._connected)
        self._stations.set_message_handler(_take)
        self._stations.set_disconnected_handler(_note_end)
        self._central.handlers.message = _take
        self._central.handlers.disconnected = _note_end
        self._numbers = itertools.count(1)
        self._prefix = "/"
        self._stopped = Event()
        self._lock = threading.Lock()  # guards the fields below
        self._links: Set[Link] = set()
        self._is_stopping = False

    # Hooks and recorders

    def add_hook(self, hook: Hook) -> Hook:
        """Have ``hook`` see each frame, of both directions, before it is passed on. Also a decorator.

        It is called with a `Message`, and returns ``None`` to pass it on as it is, another text, an `Answer` to the
        sender of a CALL, or `DROP`. If there are several hooks, each sees what the one before it has made of the frame.
        The frames of one connection come one at a time, and each direction in its order. A hook may take its time: the
        frames of that connection wait meanwhile, and others do not. If it raises, the frame is passed on, and the error
        is logged.

        Args:
            hook: The function.

        Returns:
            ``hook``.

        Raises:
            UsageError: It cannot be called.
        """
        self._shared.hooks.add(hook)
        return hook

    def add_recorder(self, recorder: FrameObserver) -> FrameObserver:
        """Have ``recorder`` shown the traffic: an `ocppj.Recorder`, or any observer that `Server.add_observer` takes.

        It is shown what each side was sent, so what hooks have made of it. A frame that was dropped, or could not be
        passed on, has ``sent=False``. If it has a method ``connection_changed``, that is shown a `ConnectionChange` of
        the kind "connected", "disconnected" or "refused".

        Args:
            recorder: It is called on the threads of connections. What it raises is logged.

        Returns:
            ``recorder``.

        Raises:
            UsageError: It cannot be called.
        """
        self._shared.shows.add(recorder)
        return recorder

    # Listening

    def listen(self, port: int = 0, host: str = "0.0.0.0", path: str = "/", **options: Any) -> "Proxy":
        """Listen for stations, and return.

        Args:
            port: 0 takes any free one; `url` tells where the proxy listens.
            host: The address of this machine to listen on.
            path: What stands before the identity in the path of a station, and is not passed on. What comes behind it
                is added to the URL of the central system.
            options: More options of `ocppj.Server.listen`: ``sock``, ``reuse_port``, ``also``, ``health_path``.

        Returns:
            This proxy. It is a context manager, which stops it.

        Raises:
            TransportError: It cannot listen there.
            UsageError: It listens already, or ``path`` cannot be used.
        """
        if not isinstance(path, str) or not path.startswith("/") or "{" in path or "?" in path:
            raise UsageError(f"path is what stands before the identity, such as '/ocpp', not {path!r}")
        with self._lock:
            self._is_stopping = False
            self._stopped.clear()
        before, self._prefix = self._prefix, path
        self._central.start()
        try:
            self._stations.listen(port, "/{id}", host, (), self._identify, **options)
        except BaseException:
            self._prefix = before  # it may listen already
            raise
        return self

    def start(self, port: int = 0, host: str = "0.0.0.0", path: str = "/", **options: Any) -> None:
        """Listen, and block until `stop` is called from another thread, or a signal comes. Then return.

        Ctrl-C, and SIGTERM on the main thread, stop the proxy.

        Args:
            port: As in `listen`.
            host: As in `listen`.
            path: As in `listen`.
            options: As in `listen`.

        Raises:
            OcppjError: What `listen` raises.
        """
        self.listen(port, host, path, **options)
        try:
            with stop_on_sigterm(lambda frame: self._stopped.set(), True):
                self._stopped.wait()
        except KeyboardInterrupt:
            safe_log.info("interrupted: the proxy stops")
        finally:
            self.stop()

    def stop(self, code: int = 1001, reason: str = "", timeout: float = 5.0) -> None:
        """Stop listening, close all connections of both sides, and wait (bounded) until threads and sockets are gone.

        Args:
            code: The close code that both sides get.
            reason: The reason that both sides get.
            timeout: The seconds to wait at most.

        Raises:
            UsageError: ``code`` cannot be sent.
        """
        check_close_code(code)
        deadline = time.monotonic() + timeout
        with self._lock:
            self._is_stopping = True
            links = list(self._links)
        self._central.stop()
        for link in links:
            link.close(code, reason)
        self._stations.stop(code, reason, timeout)
        self._observing.stop(max(deadline, time.monotonic() + 0.5))
        self._log.report(last=True)
        self._stopped.set()

    @property
    def url(self) -> str:
        """The URL for stations on this machine, without their identity. Raises `UsageError` before `listen`."""
        return self._stations.url + self._prefix.rstrip("/")

    @property
    def port(self) -> int:
        """The port it listens on. Raises `UsageError` before `listen`."""
        return self._stations.port

    def counts(self) -> Counts:
        """Return what was counted so far. For any thread."""
        return self._shared.tally.counts()

    def connections(self) -> List[str]:
        """Return the identities of the stations that are connected, in order."""
        with self._lock:
            return sorted(link.client_id for link in self._links)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    # Connections

    def _identify(self, request: HandshakeRequest) -> Optional[str]:
        path = inner_path(self._prefix, request.path)
        return None if path is None else identity_of(path)

    def _open_link(self, request: HandshakeRequest) -> Link:
        """Connect to the central system for a station. Raises `BadRequest`."""
        path = inner_path(self._prefix, request.path) or "/"
        wire, subprotocol = self._central.open(request, path)
        return Link(self._shared, next(self._numbers), request.identity, path, subprotocol, wire)

    def _join(self, link: Link, station: LinkChannel, readers: Readers) -> None:
        link.join(station, self._central.make_channel(link, readers))

    def _connected(self, channel: Channel) -> None:
        """Begin a link: its station has passed all checks, and is about to hear that it is connected."""
        assert isinstance(channel, LinkChannel)
        link = channel.flow.link
        link.over = self._over
        with self._lock:
            goes_on = not self._is_stopping
            if goes_on:
                self._links.add(link)
        if not goes_on or not link.begin(self._observing.attach):
            link.abandon()
            channel.cut()

    def _refused(self, identity: str, reason: str) -> None:
        self._shared.tally.add("refused")
        change = ConnectionChange("refused", identity, "", datetime.now(timezone.utc), 0, reason=reason, side=CSMS)
        self._shared.shows.change(change)

    def _over(self, link: Link) -> None:
        with self._lock:
            self._links.discard(link)
        self._observing.end(link)


def _take(channel: Channel, text: str) -> None:
    assert isinstance(channel, LinkChannel)
    channel.flow.receive(text)


def _note_end(channel: Channel, close: Close) -> None:
    assert isinstance(channel, LinkChannel)
    channel.flow.source_ended(close)
