"""What the real and the in-memory server share: handlers, the registry of channels, duplicates, stopping.

A *run* is the time from ``listen()`` to ``stop()``; every channel belongs to one. A channel is in the registry from
before its client hears of it until its ``disconnected`` handler has returned. Therefore, and because a new channel of
the same identity waits for its place there, ``disconnected`` of the old one always comes before ``connected`` of the
new one. Places are given up by the channel that holds them, never by name.

Several handshakes may wait for one place. Each has a *ticket*, in the order in which they came; the place is promised
to the newest, and the others are refused: one that its client has long given up must not put out a living connection.

The limits (`ocppj.ws.limits`) are judged where their numbers change: under the run's lock, as a channel takes its
place. Every refusal goes through `ServerCore._note_refusal`, which counts and logs it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Callable, ContextManager, Dict, List, Optional, Sequence, Set, TypeVar
from typing import Counter as CounterType

from ...errors import TransportError, UsageError, printable
from ...settings import get_logger
from ..base import ChannelHandler, Close, DisconnectedHandler, MessageHandler
from ..checks import check_limits, check_not_negative, check_positive
from ..connection.channel import Handlers, WireChannel, check_close_code
from ..connection.keepalive import check_interval
from ..connection.wire import Wire
from ..handshake.http import BadRequest, Headers
from ..handshake.policy import Accepted, CertificateCheck, ClientCheck, CredentialsCheck, HandshakePolicy, OriginCheck
from ..handshake.urls import PathTemplate
from ..limits import AttemptLimit, ConnectionLimits, Handshake, Handshakes, source_of
from ..readers.base import Readers
from ..readers.choice import ReadersOption, readers_maker
from ..stats import Stats, Tally, judge_close

__all__ = ["Run", "ServerCore", "end_channels"]

R = TypeVar("R", bound="Run")


_REPLACED = "replaced by a newer connection of the same identity"
_REPLACED_GRACE = 0.5  # seconds a replaced connection has to answer our Close: often it is long dead
_OFFERED = 100  # characters of what a client offers that are worth logging
_HANDLER_GRACE = 10.0  # seconds its disconnected handler has


class Run:
    """One ``listen()``: what it serves, and what is connected. It owns the channels (`channel.ChannelOwner`)."""

    def __init__(
        self, handlers: Handlers, template: PathTemplate, subprotocols: Sequence[str], readers: Readers, tally: Tally
    ) -> None:
        self.handlers = handlers
        self.template = template
        self.subprotocols = tuple(subprotocols)
        self.readers = readers
        self.tally = tally
        self.lock = threading.Lock()  # guards the fields below
        self.stopping = False
        self.handshakes = Handshakes()  # those without a channel yet
        self.tickets = itertools.count(1)
        self.places: Dict[str, WireChannel] = {}
        self.promises: Dict[str, int] = {}  # identity -> ticket of the newest that waits for the place
        self.channels: Set[WireChannel] = set()  # those in places, and those put out of theirs by force
        self.sources: CounterType[str] = Counter()  # of the channels, by address
        self.stoppers: Set[int] = set()  # idents of threads inside stop()
        self.replaced_grace = _REPLACED_GRACE  # not guarded: set before the first client comes, if at all
        self.handler_grace = _HANDLER_GRACE  # likewise

    def on_end(self, channel: WireChannel, close: Close) -> None:
        """Call the handler, then let the place go."""
        how, reason = judge_close(close)
        log = get_logger().warning if reason else get_logger().debug  # who uses the transport logs the others
        log("%s: %s", channel.id, close)
        try:
            self.handlers.call_disconnected(channel, close)
        finally:
            self.tally.close(how, reason)
            source = source_of(channel.remote_address)
            with self.lock:
                if channel in self.channels:
                    self.channels.discard(channel)
                    self.sources[source] -= 1
                    if not self.sources[source]:
                        del self.sources[source]
                if self.places.get(channel.id) is channel:
                    del self.places[channel.id]


class ServerCore:
    """A `base.Server` without its way of listening.

    Subclasses call `_admit`, `make_channel`, `_enter`, `Handlers.call_connected` and `WireChannel.begin`, in
    that order.
    """

    def __init__(
        self,
        *,
        max_message_size: int = 1024 * 1024,
        max_connections: Optional[int] = 10_000,
        max_connections_per_address: Optional[int] = None,
        max_attempts_per_second: Optional[float] = 2000,
        idle_timeout: Optional[float] = 25 * 3600.0,
        ping_interval: Optional[float] = 60.0,
        pong_timeout: float = 30.0,
        close_timeout: float = 2.0,
        duplicates: str = "replace",
        no_subprotocol: str = "close",
        default_subprotocol: Optional[str] = None,
        prefer: str = "client",
        readers: ReadersOption = "auto",
    ) -> None:
        if duplicates not in ("replace", "reject"):
            raise UsageError(f"duplicates is 'replace' or 'reject', not {duplicates!r}")
        check_positive(max_message_size=max_message_size, pong_timeout=pong_timeout)
        check_limits(idle_timeout=idle_timeout)
        check_not_negative(close_timeout=close_timeout)
        self._policy = HandshakePolicy(
            no_subprotocol=no_subprotocol, default_subprotocol=default_subprotocol, prefer=prefer
        )
        self._replace = duplicates == "replace"
        self._max_message_size = max_message_size
        self._limits = ConnectionLimits(max_connections, max_connections_per_address)
        self._attempts = AttemptLimit(max_attempts_per_second, time.monotonic())
        self._attempts_lock = threading.Lock()  # guards _attempts
        self._tally = Tally()
        self._idle_timeout = idle_timeout
        self._ping_interval = check_interval(ping_interval)
        self._pong_timeout = pong_timeout
        self._close_timeout = close_timeout
        self._make_readers = readers_maker(readers)
        self.handlers = Handlers()
        #: See `base.Server.waiting`.
        self.waiting: Callable[[], ContextManager[Any]] = nullcontext
        self._state = threading.Lock()  # guards _run
        self._run: Optional[Run] = None

    # base.Server -------------------------------------------------------------------------------------------------

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        """See `base.Server.set_connected_handler`."""
        self.handlers.connected = handler

    def set_message_handler(self, handler: MessageHandler) -> None:
        """See `base.Server.set_message_handler`."""
        self.handlers.message = handler

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        """See `base.Server.set_disconnected_handler`."""
        self.handlers.disconnected = handler

    def set_check_client_handler(self, handler: Optional[ClientCheck]) -> None:
        """Set what says whether a `HandshakeRequest` may connect; false is answered with 404. Must not block long."""
        self._policy.check_client = handler

    def set_check_certificate_handler(self, handler: Optional[CertificateCheck]) -> None:
        """Set what says whether a `HandshakeRequest` has its own certificate; false is answered with 401.

        ``None``: a verified certificate must name the identity (``HandshakeRequest.certificate_matches``).
        """
        self._policy.check_certificate = handler

    def set_basic_auth_handler(self, handler: Optional[CredentialsCheck]) -> None:
        """Set what says whether (identity, password as bytes) is right; false, or none sent, is answered with 401."""
        self._policy.check_credentials = handler

    def set_check_origin_handler(self, handler: Optional[OriginCheck]) -> None:
        """Set what says whether an ``Origin`` (``None``: none was sent) may connect; false is answered with 403."""
        self._policy.check_origin = handler

    def get_channel(self, client_id: str) -> Optional[WireChannel]:
        """Return the open channel of that identity, or ``None``."""
        run = self._run
        if run is None:
            return None
        with run.lock:
            channel = run.places.get(client_id)
        return channel if channel is not None and channel.is_open else None

    def send(self, client_id: str, text: str, wait: bool = True) -> None:
        """Send one text frame: see `base.Channel.send`. Raises `TransportError` when there is no such channel."""
        channel = self.get_channel(client_id)
        if channel is None:
            raise TransportError(f"no client {client_id!r} is connected")
        channel.send(text, wait)

    def stats(self) -> Stats:
        """Return the counts of this server, from its making until now."""
        run, connections, handshakes = self._run, 0, 0
        if run is not None:
            with run.lock:
                connections, handshakes = len(run.channels), len(run.handshakes)
        return self._tally.snapshot(connections, handshakes)

    def count_refusal(self, reason: str, count: int = 1) -> None:
        """Count refusals of whoever uses this server, for ``Stats.refused``. For any thread."""
        self._tally.refuse(reason, count)

    def stop(self, code: int = 1001, reason: str = "", timeout: float = 5.0) -> None:
        """Stop listening, close all channels with ``code``, and wait at most ``timeout`` seconds for all threads.

        All are closed at once, and those that have not answered after ``close_timeout`` are cut: with a thousand mute
        ones that takes a third of a second more. May be called again, also
        while another thread is in it, and from any handler, whose own thread is then not waited for. ``listen()`` may
        be used after it.
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
            channels, handshakes = list(run.channels), list(run.handshakes)
            for handshake in handshakes:
                handshake.cut_for = "stopping"
        try:
            self._halt(run)
            for handshake in handshakes:
                handshake.sock.shutdown()
            end_channels(channels, code, reason, min(deadline, time.monotonic() + self._close_timeout), run.stoppers)
            run.readers.stop(max(0.5, deadline - time.monotonic()), run.stoppers)
            self._join(run, max(deadline, time.monotonic() + 0.5))
            self._report_attempts(last=True)
        finally:
            with run.lock:
                run.stoppers.discard(me)

    # For transports ----------------------------------------------------------------------------------------------

    def _open_run(self, path: str, subprotocols: Sequence[str], make: Callable[..., R]) -> R:
        """Return a new run, made by ``make``. Raises `UsageError` while one is not stopped."""
        if isinstance(subprotocols, str):
            raise UsageError("subprotocols is a sequence of names, not one text")
        run = make(self.handlers, PathTemplate(path), subprotocols, self._make_readers(), self._tally)
        with self._state:
            if self._run is not None and not self._run.stopping:
                raise UsageError("the server listens already")
            self._run = run
            self.waiting = run.readers.waiting
        return run

    def _close_run(self, run: Run) -> None:
        """Forget a run that could not begin."""
        with self._state:
            if self._run is run:
                self._run = None

    def _attempt(self) -> Optional[BadRequest]:
        """Take notice of an attempt to connect; return the refusal, counted, if it is one too many."""
        with self._attempts_lock:
            refusal = self._attempts.take(time.monotonic())
        if refusal is not None:
            self._tally.refuse(refusal.kind)
        self._report_attempts()
        return refusal

    def _report_attempts(self, last: bool = False) -> None:
        """Log the attempts refused since the last report, if it is time."""
        with self._attempts_lock:
            count = self._attempts.report(time.monotonic(), last)
        if count:
            get_logger().warning("%d attempts to connect were refused with 503: too many a second", count)

    def _note_refusal(self, remote_address: str, error: BadRequest) -> None:
        """Count and log a refusal."""
        self._tally.refuse(error.kind)
        get_logger().warning("%s: refused with %d: %s", remote_address, error.status, error)

    def _note_no_subprotocol(self, accepted: Accepted) -> None:
        """Count and log a client that is let in only to be told that there is no common subprotocol."""
        self._tally.refuse("no_subprotocol")
        request = accepted.request
        offered = printable(", ".join(request.subprotocols)[:_OFFERED]) or "nothing"
        get_logger().warning("%s at %s: no common subprotocol in %s", request.identity, request.remote_address, offered)

    def _admit(
        self, run: Run, target: str, headers: Headers, remote_address: str, certificate: Optional[Dict[str, Any]] = None
    ) -> Accepted:
        """Decide on a handshake. Raises `BadRequest` to refuse it."""
        with run.lock:
            ticket = next(run.tickets)  # before the checks: they may take their time
        accepted = self._policy.decide(run.template, run.subprotocols, target, headers, remote_address, certificate)
        if accepted.effective is None:
            return accepted
        with run.lock:  # to refuse early; what counts is _enter
            self._check_vacancy(run, accepted.request.identity, remote_address)
        return replace(accepted, ticket=ticket)

    def make_channel(self, run: Run, accepted: Accepted, wire: Wire) -> WireChannel:
        """Return the channel of a client that is let in, which has no place yet."""
        assert accepted.effective is not None
        channel = WireChannel(
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
        )
        channel.ticket = accepted.ticket
        return channel

    def _enter(self, run: Run, channel: WireChannel, handshake: Optional[Handshake] = None) -> None:
        """Give ``channel`` its place, when the one who has it is gone. Raises `BadRequest` when it gets none.

        ``handshake`` is what ``stop()`` would have cut until now; from now on it closes the channel.
        """
        deadline = time.monotonic() + run.replaced_grace + run.handler_grace
        old = None
        try:
            while True:
                with run.lock:
                    old = run.places.get(channel.id)
                    self._check_place(run, channel, old)
                    if old is None or time.monotonic() >= deadline:
                        run.places[channel.id] = channel
                        run.channels.add(channel)
                        run.sources[source_of(channel.remote_address)] += 1
                        if handshake is not None:
                            run.handshakes.discard(handshake)
                        break
                    run.promises[channel.id] = channel.ticket
                self._put_out(old, run.replaced_grace, deadline)
        finally:
            with run.lock:
                if run.promises.get(channel.id) == channel.ticket:
                    del run.promises[channel.id]
        self._tally.accept()
        if old is not None:
            get_logger().error(
                "%s: the handlers of the replaced connection do not end; going on without them", channel.id
            )
            old.begin_close(1008, _REPLACED)
            old.abort()

    def _check_place(self, run: Run, channel: WireChannel, old: Optional[WireChannel]) -> None:
        """Raise `BadRequest` when the place that ``old`` has is not for ``channel``. Lock held."""
        if run.stopping:
            raise BadRequest(503, "the server is stopping", [("Retry-After", "5")], "stopping")
        if channel.ticket < max(run.promises.get(channel.id, 0), old.ticket if old is not None else 0):
            raise BadRequest(409, f"a newer connection of {channel.id!r} has come")
        self._check_vacancy(run, channel.id, channel.remote_address)

    def _check_vacancy(self, run: Run, identity: str, remote_address: str) -> None:
        """Raise `BadRequest` when there is no place, or one that may not be taken over. Lock held."""
        known = run.places.get(identity)
        if known is None:
            self._limits.check(len(run.channels), run.sources.get(source_of(remote_address), 0))
        elif known.is_open and not self._replace:
            raise BadRequest(409, f"{identity!r} is connected already")

    def _put_out(self, old: WireChannel, grace: float, deadline: float) -> None:
        """Close a channel whose place is wanted, and wait until its ``disconnected`` handler has returned.

        It has ``grace`` seconds to answer our Close.
        """
        if old.begin_close(1008, _REPLACED):
            get_logger().info("%s: replaced by a newer connection", old.id)
        if not old.ended.wait(grace):
            old.abort()
            old.ended.wait(max(0.0, deadline - time.monotonic()))

    def _halt(self, run: Run) -> None:
        """Stop listening."""

    def _join(self, run: Run, deadline: float) -> None:
        """Wait for the threads of listening and handshakes."""


def end_channels(channels: Sequence[WireChannel], code: int, reason: str, deadline: float, stoppers: Set[int]) -> None:
    """Close ``channels`` and wait for their ends; those that do not answer until ``deadline`` are cut.

    Channels that this thread reads, or one that stops the same endpoint, are not waited for: their reader ends them
    when it comes back from its handler.
    """
    for channel in channels:
        channel.begin_close(code, reason)
    waited: List[WireChannel] = []
    for channel in channels:
        while not channel.ended.is_set() and not channel.read_by(stoppers):
            left = deadline - time.monotonic()
            if left <= 0:
                channel.abort()
                waited.append(channel)
                break
            channel.ended.wait(min(left, 0.05))
    grace = time.monotonic() + 1.0
    for channel in waited:
        channel.ended.wait(max(0.0, grace - time.monotonic()))
