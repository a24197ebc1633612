"""What the real and the in-memory server share: handlers, the registry of channels, duplicates, stopping.

A *run* is the time from ``listen()`` to ``stop()``. A channel is in its registry from before its client hears of it
until its ``disconnected`` handler has returned. A new channel of the same identity waits until the old one has left
``by_identity``. So ``disconnected`` of the old channel always comes before ``connected`` of the new one.

Several handshakes of one identity may wait for the same old channel. Only that with the highest *arrival* number is
registered. Otherwise a handshake whose client has long given up could replace a living connection.

The limits (`ocppj.ws.limits`) are checked under the run's lock, when a channel is registered.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import (
    Any,
    Callable,
    ClassVar,
    Collection,
    ContextManager,
    Dict,
    Iterator,
    List,
    Optional,
    Protocol,
    Sequence,
    Set,
    Type,
    Union,
)
from typing import Counter as CounterType

from ...budget import MemoryBudget
from ...callables import check_not_async
from ...errors import TransportError, UsageError, printable
from ...forks import register
from ...log_limit import LimitedLog
from ...loops import do_all
from ...option_checks import check_options
from ...settings import LoggerLike
from ..base import ChannelHandler, Close, DisconnectedHandler, MessageHandler, RunningJob
from ..connection.channel import Handlers, WireChannel, check_close_code, end_channels
from ..connection.wire import Wire
from ..handshake.forwarded import TrustedProxies
from ..handshake.http import BadRequest, Headers
from ..handshake.identities import Identification, IdentifyFunction, identification
from ..handshake.policy import Accepted, ClientCheck, Demands, HandshakePolicy, OriginCheck
from ..handshake.proofs import CertificateCheck, CredentialsCheck
from ..handshake.request import KeptRequest
from ..handshake.wrong_passwords import WrongPasswords
from ..limits import AttemptRateLimit, ConnectionLimits, Handshake, Handshakes, source_of
from ..readers.base import Readers
from ..readers.choice import ReadersOption, readers_maker
from ..stats import Stats, Tally, judge_close
from .health import Health

__all__ = ["Joinable", "Listener", "Run", "ServerCore"]

_REPLACED = "replaced by a newer connection of the same identity"
_REPLACED_GRACE = 0.5  # seconds that a replaced connection has to answer our Close: often it is long dead
_HANDLER_GRACE = 10.0  # seconds that its disconnected handler has
_NO_DEMANDS = Demands()
_OFFERED = 100  # characters of the offered subprotocols that are logged


class Joinable(Protocol):
    """A way into a run, with threads of handshakes."""

    def join(self, deadline: float, exempt: Collection[int]) -> None:
        """Wait for its threads, when the run is stopping."""


class Listener(Joinable, Protocol):
    """Where the clients of a run connect."""

    url: str  #: The endpoint URL for clients on this machine.

    def stop(self) -> None:
        """Let no further client connect. For any thread, any number of times."""


class Run:
    """One ``listen()``: its options, and what is connected. It owns the channels (`channel.ChannelOwner`)."""

    def __init__(
        self,
        handlers: Handlers,
        identification: Identification,
        subprotocols: Sequence[str],
        readers: Readers,
        tally: Tally,
        handshakes: Handshakes,
        demands: Demands,
    ) -> None:
        self.handlers = handlers
        self.identification = identification
        self.subprotocols: Sequence[str] = tuple(subprotocols)
        self.readers = readers
        readers.set_logger(*handlers.given)
        self.tally = tally
        self.demands = demands  # of clients that a web server hands over
        self.lock: threading.Lock = threading.Lock()  # guards the fields below
        self.listeners: List[Listener] = []
        self.adopter: Optional[Joinable] = None  # for connections that a web server hands over, from the first on
        self.stopping = False
        self.closing = False  # it is about to stop: its page of health says so
        self.health: Health = Health(None)  # not guarded: set before the first client comes
        self.handshakes = handshakes  # those in progress that have no channel yet
        self.arrivals: Iterator[int] = itertools.count(1)
        self.by_identity: Dict[str, WireChannel] = {}
        self.newest_arrival: Dict[str, int] = {}  # by identity, of the handshakes that wait for an old channel to end
        self.channels: Set[WireChannel] = set()  # those in by_identity, and evicted ones whose handlers still run
        self.per_source: CounterType[str] = Counter()  # channels by `source_of` their addresses
        self.stoppers: Set[int] = set()  # idents of threads inside stop()
        self.replaced_grace = _REPLACED_GRACE  # not guarded: set before the first client comes, if at all
        self.handler_grace = _HANDLER_GRACE  # likewise

    def on_end(self, channel: WireChannel, close: Close) -> None:
        do_all(
            partial(_log_end, self.handlers.log, channel.id, close),
            partial(self.handlers.call_disconnected, channel, close),
            partial(self.tally.close, *judge_close(close)),
            partial(self.forget, channel),
            log=self.handlers.safe_log,
        )

    def knows(self, channel: WireChannel) -> bool:
        """Tell whether ``channel`` is registered."""
        with self.lock:
            return channel in self.channels or self.by_identity.get(channel.id) is channel

    def forget(self, channel: WireChannel) -> None:
        """Take ``channel`` out of the tables. May be called again."""
        source = source_of(channel.remote_address)
        with self.lock:
            if self.by_identity.get(channel.id) is channel:
                del self.by_identity[channel.id]
            if channel not in self.channels:
                return
            if self.per_source[source] > 1:
                self.per_source[source] -= 1
            else:
                del self.per_source[source]
            self.channels.discard(channel)


def _log_end(log: LimitedLog, client_id: str, close: Close) -> None:
    _, reason = judge_close(close)
    write = log.warning if reason else log.debug  # the user of the transport logs the others
    write("%s: %s", client_id, close, kind="the end of a connection")


def _once(remote_address: str, identity: str) -> Dict[str, Any]:
    """Return the options of a log line that is written once a minute about that client: see `LimitedLog`.

    A peer may name any identity, so there are few lines about all clients at one address.
    """
    source = source_of(remote_address)
    if not identity:
        return {"source": source, "most": 1}
    return {"source": f"{source} {identity}", "most": 1, "group": source, "client_id": identity}


class ServerCore:
    """A `base.Server` without its way of listening: subclasses have `listen`, which calls `_open_run` and `_serve`.

    For each client they call `_decide`, `make_channel` and `_admit`.
    """

    #: The kind of its channels.
    channel_type: ClassVar[Type[WireChannel]] = WireChannel

    def __init__(
        self,
        *,
        max_message_size: int = 1024 * 1024,
        message_timeout: float = 30.0,
        max_memory_bytes: Optional[int] = 256 * 1024 * 1024,
        max_connections: Optional[int] = 10_000,
        max_connections_per_address: Optional[int] = None,
        max_attempts_per_second: Optional[float] = 2000,
        max_attempts_per_second_per_address: Optional[float] = 1000,
        trusted_proxies: Sequence[str] = (),
        proxy_header: str = "X-Forwarded-For",
        idle_timeout: Optional[float] = 25 * 3600.0,
        ping_interval: Optional[float] = 45.0,
        pong_timeout: float = 30.0,
        close_timeout: float = 2.0,
        duplicates: str = "replace",
        no_subprotocol: str = "close",
        default_subprotocol: Optional[str] = None,
        prefer: str = "client",
        handshake: str = "strict",
        plain_identities: bool = False,
        readers: ReadersOption = "auto",
    ) -> None:
        check_options("ServerCore", locals())
        self.budget: MemoryBudget = MemoryBudget(max_memory_bytes)  #: What this server holds. It outlives ``stop()``.
        self._message_timeout = message_timeout
        self._policy = HandshakePolicy(
            no_subprotocol=no_subprotocol,
            default_subprotocol=default_subprotocol,
            prefer=prefer,
            handshake=handshake,
            plain_identities=plain_identities,
        )
        self._policy.wrong_passwords = WrongPasswords()
        self._replace = duplicates == "replace"
        self._is_held: Optional[Callable[[str], bool]] = None
        self._max_message_size = max_message_size
        self._limits = ConnectionLimits(max_connections, max_connections_per_address)
        self._proxies = TrustedProxies(trusted_proxies, proxy_header)
        self._attempts = AttemptRateLimit(
            max_attempts_per_second, time.monotonic(), max_attempts_per_second_per_address
        )
        self._attempts_lock = threading.Lock()  # guards _attempts
        self._tally = Tally()
        self._idle_timeout = idle_timeout
        self._ping_interval = ping_interval or None
        self._pong_timeout = pong_timeout
        self._close_timeout = close_timeout
        self._make_readers = readers_maker(readers)
        self.handlers: Handlers = Handlers()
        self._policy.log = self.handlers.log
        self.waiting: Callable[[], ContextManager[Any]] = nullcontext  #: See `base.Server.waiting`.
        self._state = threading.Lock()  # guards _run
        self._run: Optional[Run] = None
        register(self)

    def _after_fork(self) -> None:
        """Forget the run, which is the parent's: see `ocppj.forks`."""
        self._run, self.waiting = None, nullcontext
        self._tally._after_fork()
        self.budget._after_fork()

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``: see `base.Server.set_logger`."""
        self.handlers.use(logger, client_id)

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        check_not_async("the handler", handler)
        self.handlers.connected = handler

    def set_message_handler(self, handler: MessageHandler) -> None:
        check_not_async("the handler", handler)
        self.handlers.message = handler

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        check_not_async("the handler", handler)
        self.handlers.disconnected = handler

    def set_refused_handler(self, handler: Optional[Callable[[str, str], None]]) -> None:
        """Call ``handler(client_id, reason)`` for each client that named its identity and was refused.

        It runs on the thread of the handshake, and must not block.
        """
        check_not_async("the handler", handler)
        self.handlers.refused = handler

    def set_check_client_handler(self, handler: Optional[ClientCheck]) -> None:
        """Set what decides, without blocking, whether a `HandshakeRequest` may connect; false gets 404."""
        check_not_async("the handler", handler)
        self._policy.check_client = handler

    def set_check_certificate_handler(self, handler: Optional[CertificateCheck]) -> None:
        """Set what decides whether a certificate is right; false gets 401; ``None``: `certificate_matches` decides."""
        check_not_async("the handler", handler)
        self._policy.check_certificate = handler

    def set_basic_auth_handler(self, handler: Optional[CredentialsCheck]) -> None:
        """Set what decides whether (identity, password as bytes) is right; false, or no password, gets 401."""
        check_not_async("the handler", handler)
        self._policy.check_credentials = handler

    def set_check_origin_handler(self, handler: Optional[OriginCheck]) -> None:
        """Set what decides whether an ``Origin`` (``None`` without the field) may connect; false gets 403."""
        check_not_async("the handler", handler)
        self._policy.check_origin = handler

    def set_held_elsewhere(self, is_held: Callable[[str], bool]) -> None:
        """Set what tells whether another process has a connection of an identity: with ``duplicates="reject"``.

        It is called on the thread of the handshake, and may take a moment.
        """
        self._is_held = None if self._replace else is_held

    @property
    def url(self) -> str:
        """The endpoint URL for clients on this machine, at the first address. Raises as `urls`."""
        return self.urls[0]

    @property
    def urls(self) -> List[str]:
        """The endpoint URL at each address. Raises `UsageError` before ``listen()``."""
        run = self._run
        if run is None or not run.listeners:
            mounted = run is not None and not run.stopping
            where = ": it is mounted, and clients connect to the web application's URL" if mounted else ""
            raise UsageError(f"the server does not listen{where}")
        return [listener.url for listener in run.listeners]

    def get_channel(self, client_id: str) -> Optional[WireChannel]:
        run = self._run
        if run is None:
            return None
        with run.lock:
            channel = run.by_identity.get(client_id)
        return channel if channel is not None and channel.is_open else None

    def send(self, client_id: str, text: str, wait: bool = True) -> None:
        """Send one text frame: see `base.Channel.send`. Raises `TransportError` when there is no such channel."""
        channel = self.get_channel(client_id)
        if channel is None:
            raise TransportError(f"no client {client_id!r} is connected")
        channel.send(text, wait)

    def stats(self) -> Stats:
        """Return the counts of this server since it was made. For any thread."""
        run, connections, handshakes, loaned = self._run, 0, 0, 0
        if run is not None:
            with run.lock:
                connections, handshakes = len(run.channels), len(run.handshakes)
            loaned = run.readers.count_loaned()
        return self._tally.snapshot(connections, handshakes, self.budget.held(), loaned)

    def running_jobs(self) -> List[RunningJob]:
        """Return the jobs of channels that run, or block, just now. For any thread."""
        run = self._run
        return [] if run is None else run.readers.running()

    def release_job(self, job: RunningJob) -> bool:
        """Let the next jobs of its connection run though ``job`` has not ended; return whether that was done."""
        run = self._run
        return run is not None and run.readers.release(job)

    def count_refusal(self, reason: str, count: int = 1) -> None:
        """Count refusals in ``Stats.refused``, for reasons of the program that uses this server. For any thread."""
        self._tally.refuse(reason, count)

    def stop(self, code: int = 1001, reason: str = "", timeout: float = 5.0) -> None:
        """Stop listening, close all channels with ``code``, and wait for all threads.

        Channels whose peers have not answered after ``close_timeout`` seconds are cut. May be called again, by several
        threads at once, and by any handler, whose own thread is then not waited for. ``listen()`` may be called after
        it.

        Args:
            code: The close code that the peers get (RFC 6455 section 7.4).
            reason: The reason that the peers get.
            timeout: The seconds to wait at most.

        Raises:
            UsageError: ``code`` cannot be sent.
        """
        check_close_code(code)
        run = self._run
        if run is None:
            return
        deadline = time.monotonic() + timeout
        me = threading.get_ident()
        with run.lock:
            run.stopping = True
            run.stoppers.add(me)
            listeners, channels, handshakes = list(run.listeners), list(run.channels), list(run.handshakes)
            adopter = run.adopter
            for handshake in handshakes:
                handshake.cut_for = "stopping"
        try:
            for listener in listeners:
                listener.stop()
            for handshake in handshakes:
                handshake.sock.shutdown()
            close_deadline, rest = min(deadline, time.monotonic() + self._close_timeout), min(0.5, timeout / 10)
            end_channels(channels, code, reason, close_deadline, run.stoppers, timeout)
            run.readers.stop(max(rest, deadline - time.monotonic()), run.stoppers)
            for listener in listeners:
                listener.join(max(deadline, time.monotonic() + rest), run.stoppers)
            if adopter is not None:
                adopter.join(max(deadline, time.monotonic() + rest), run.stoppers)
            self._report_attempts(last=True)
            self.handlers.log.report(last=True)
        finally:
            with run.lock:
                run.stoppers.discard(me)

    def listen(
        self,
        port: int,
        path: Union[str, Sequence[str]],
        host: str,
        subprotocols: Sequence[str],
        identify: Optional[IdentifyFunction] = None,
    ) -> None:
        """Listen, and return: see `base.Server.listen`.

        Args:
            port: 0 for any free port.
            path: A template, or several of them; the first one that fits counts. Each has ``{id}`` as one of its
                segments, and may have more placeholders, whose values are in `HandshakeRequest.values`.
            host: The address to listen on.
            subprotocols: Those that the server speaks.
            identify: A function that finds the identities, in place of ``path``. It gets a `HandshakeRequest` without
                identity and password, on the thread of the handshake, and returns the identity, or ``None`` for 404.
                If it raises, the client gets 500.

        Raises:
            TransportError: It cannot listen.
            UsageError: An argument cannot be used, or the server listens already.
        """
        raise NotImplementedError

    def _open_run(
        self,
        path: Union[str, Sequence[str]],
        subprotocols: Sequence[str],
        handshakes: Handshakes,
        identify: Optional[IdentifyFunction],
        demands: Demands = _NO_DEMANDS,
    ) -> Run:
        """Return a new run. Raises `UsageError` as `_refuse_second_run`."""
        if isinstance(subprotocols, str):
            raise UsageError("subprotocols is a sequence of names, not one text")
        self._policy.check_default(subprotocols)
        found_by = identification(path, identify)
        run = Run(self.handlers, found_by, subprotocols, self._make_readers(), self._tally, handshakes, demands)
        with self._state:
            self._refuse_second_run()
            self._run = run
            self.waiting = run.readers.waiting
        return run

    def _refuse_second_run(self) -> None:
        """Raise `UsageError` while another run is not stopped."""
        run = self._run
        if run is not None and not run.stopping:
            raise UsageError("the server listens already")

    def _serve(self, run: Run, listener: Listener) -> None:
        """Let ``listener`` belong to ``run``: ``stop()`` ends it. Stop it at once if ``stop()`` was called already."""
        with run.lock:
            run.listeners.append(listener)
            stopped = run.stopping
        if stopped:
            listener.stop()

    def announce_closing(self, closing: bool = True) -> None:
        """Have the page of health answer 503 from now on, for ``stop()`` is about to be called, or 200 again.

        For any thread.
        """
        run = self._run
        if run is not None:
            run.closing = closing

    def answer_health(self, run: Run, method: str) -> bytes:
        """Return the response to a request for the page of health, and count it."""
        self._tally.probe("health")
        with run.lock:
            connections, closing = len(run.channels), run.stopping or run.closing
        return run.health.answer(method, connections, closing)

    def note_silent(self, remote_address: str) -> None:
        """Count a connection that its peer ended before it said anything: load balancers look so whether we listen."""
        words = "%s: the connection was ended before anything came"
        self.handlers.log.debug(words, remote_address, source=source_of(remote_address))
        self._tally.probe("silent")

    def _close_run(self, run: Run) -> None:
        with self._state:
            if self._run is run:
                self._run = None

    def take_attempt(self, remote_address: str) -> Optional[BadRequest]:
        """Count an attempt to connect; return the refusal, counted too, if it is one too many.

        Of an attempt through a trusted proxy `client_address` counts the rest.
        """
        source = None if self._proxies.trusts(remote_address) else source_of(remote_address)
        with self._attempts_lock:
            refusal = self._attempts.take(time.monotonic(), source)
        if refusal is not None:
            self._tally.refuse(refusal.kind)
        self._report_attempts()
        return refusal

    def client_address(self, remote_address: str, headers: Headers) -> str:
        """Return the address of the client that came from ``remote_address``: see `TrustedProxies`."""
        return self._proxies.client_of(remote_address, headers)

    def take_forwarded(self, remote_address: str) -> None:
        """Count an attempt to connect of a client behind a trusted proxy. Raises `BadRequest` for one too many."""
        with self._attempts_lock:
            refusal = self._attempts.take_of(source_of(remote_address), time.monotonic())
        if refusal is not None:
            raise refusal

    def _report_attempts(self, last: bool = False) -> None:
        with self._attempts_lock:
            count = self._attempts.report(time.monotonic(), last)
        if count:
            self.handlers.safe_log.warning("%d attempts to connect were refused with 503: too many a second", count)

    def note_refusal(self, remote_address: str, error: BadRequest) -> None:
        self._tally.refuse(error.kind)
        kind, words = f"refused with {error.status}: {error.kind}", "%s: refused with %d: %s"
        about = _once(remote_address, error.identity)
        self.handlers.log.warning(words, remote_address, error.status, error, kind=kind, **about)
        if error.identity:
            self.handlers.call_refused(error.identity, f"{error.status}: {error}")

    def _note_no_subprotocol(self, accepted: Accepted, spoken: Sequence[str]) -> None:
        """Count and log a client that is connected only to be closed: there is no common subprotocol."""
        self._tally.refuse("no_subprotocol")
        request = accepted.request
        offered = printable(", ".join(request.subprotocols)[:_OFFERED]) or "nothing"
        speaks, about = ", ".join(spoken), _once(request.remote_address, request.identity)
        words = "%s at %s: no common subprotocol in %s; this server speaks %s"
        self.handlers.log.warning(words, request.identity, request.remote_address, offered, speaks, **about)
        self.handlers.call_refused(
            request.identity, f"1002: no common subprotocol in {offered}; this server speaks {speaks}"
        )

    def _decide(
        self,
        run: Run,
        target: str,
        headers: Headers,
        remote_address: str,
        certificate: Optional[Dict[str, Any]] = None,
        identification: Optional[Identification] = None,
        demands: Optional[Demands] = None,
    ) -> Accepted:
        with run.lock:
            arrival = next(run.arrivals)  # before the checks, which may take long
        accepted = self._policy.decide(
            identification or run.identification,
            run.subprotocols,
            target,
            headers,
            remote_address,
            certificate,
            demands,
        )
        if accepted.effective is None:
            return accepted
        identity = accepted.request.identity
        try:
            with run.lock:  # to refuse early; `_register` checks again
                self._check_limits(run, identity, remote_address)
            if self._is_held is not None and self._is_held(identity):
                raise BadRequest(409, f"{identity!r} is connected already")
        except BadRequest as error:
            error.identity = identity
            raise
        return replace(accepted, arrival=arrival)

    def make_channel(self, run: Run, accepted: Accepted, wire: Wire) -> WireChannel:
        assert accepted.effective is not None
        channel = self.channel_type(
            wire,
            run,
            run.readers,
            id=accepted.request.identity,
            subprotocol=accepted.effective,
            remote_address=accepted.request.remote_address,
            ping_interval=self._ping_interval,
            pong_timeout=self._pong_timeout,
            close_timeout=self._close_timeout,
            idle_timeout=self._idle_timeout,
            message_timeout=self._message_timeout,
            handshake=KeptRequest(accepted.request),
        )
        channel.arrival = accepted.arrival
        return channel

    def _admit(
        self,
        run: Run,
        channel: WireChannel,
        handshake: Optional[Handshake] = None,
        answer: Callable[[], object] = lambda: None,
    ) -> None:
        """Register ``channel``, call its connected handler, send the ``answer``, and begin to read.

        A channel that was registered is read until it ends, whatever goes wrong. Raises `BadRequest` to refuse it.
        """
        channel.claim_reading()
        try:
            try:
                self._register(run, channel, handshake)
            except BadRequest as error:
                error.identity = channel.id
                raise
            if handshake is not None:
                handshake.has_channel = True
            self.handlers.call_connected(channel)
            answer()
            if not channel.begin():
                self._tally.refuse("out_of_resources")
        except BaseException:
            if run.knows(channel):
                if handshake is not None:
                    handshake.has_channel = True
                channel.cut()
                channel.begin()
            raise

    def _register(self, run: Run, channel: WireChannel, handshake: Optional[Handshake] = None) -> None:
        """Register ``channel``, once the old channel of its identity has ended. Raises `BadRequest` to refuse it."""
        deadline = time.monotonic() + run.replaced_grace + run.handler_grace
        old = None
        try:
            while True:
                with run.lock:
                    old = run.by_identity.get(channel.id)
                    self._check_newest(run, channel, old)
                    if old is None or time.monotonic() >= deadline:
                        run.by_identity[channel.id] = channel
                        run.channels.add(channel)
                        run.per_source[source_of(channel.remote_address)] += 1
                        if handshake is not None:
                            run.handshakes.discard(handshake)
                        break
                    run.newest_arrival[channel.id] = channel.arrival
                if old.begin_close(1008, _REPLACED):
                    self.handlers.log.info("%s: replaced by a newer connection", old.id)
                if not old.ended.wait(run.replaced_grace):
                    old.cut()
                    old.ended.wait(max(0.0, deadline - time.monotonic()))
        finally:
            with run.lock:
                if run.newest_arrival.get(channel.id) == channel.arrival:
                    del run.newest_arrival[channel.id]
        self._tally.accept()
        if old is not None:
            self.handlers.log.error(
                "%s: the handlers of the replaced connection do not end; going on without them", channel.id
            )
            old.begin_close(1008, _REPLACED)
            old.cut()

    def _check_newest(self, run: Run, channel: WireChannel, old: Optional[WireChannel]) -> None:
        """Raise `BadRequest` when ``channel`` may not replace ``old`` or be registered at all. Lock held."""
        if run.stopping:
            raise BadRequest(503, "the server is stopping", [("Retry-After", "5")], "stopping")
        if channel.arrival < max(run.newest_arrival.get(channel.id, 0), old.arrival if old is not None else 0):
            raise BadRequest(409, f"a newer connection of {channel.id!r} has come")
        self._check_limits(run, channel.id, channel.remote_address)

    def _check_limits(self, run: Run, identity: str, remote_address: str) -> None:
        """Raise `BadRequest` when a new identity is one too many, or a connected one may not be replaced. Lock held."""
        known = run.by_identity.get(identity)
        if known is None:
            self._limits.check(len(run.channels), run.per_source.get(source_of(remote_address), 0))
        elif known.is_open and not self._replace:
            raise BadRequest(409, f"{identity!r} is connected already")
