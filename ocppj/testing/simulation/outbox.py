"""`Outbox`: the requests of one station, sent one after the other.

It stands in front of the client's own queue, which never has more than one request of it. So the station decides late
what a request says: a StopTransaction of 1.6 waits here until its StartTransaction is answered, and then has the
transaction's id. So the order of the messages about transactions survives periods without a connection, too.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Iterator, List, Optional, Protocol, Union

from ...client import Client
from ...errors import (
    CallTimeout,
    ConnectionLost,
    NotConnected,
    OCPPError,
    OcppjError,
    QueueFull,
    Stopped,
    TransportError,
    UsageError,
)
from ...payloads.model import Payload
from ...settings import Validation
from .mailbox import Mailbox
from .settings import Settings
from .simtime import Timers
from .summary import Summary

__all__ = ["Entry", "MaySend", "OnAnswer", "OnFailure", "Outbox", "RequestOrMaker", "action_of", "unchecked"]

RequestOrMaker = Union[Payload, Callable[[], Optional[Payload]]]
OnAnswer = Callable[[Any], object]
OnFailure = Callable[[Exception], object]
MaySend = Callable[[bool], bool]  # f(before_boot)

_LOOK_AGAIN = 1.0  # seconds of the clock after which a connection that is broken, and has not ended, is tried again
MOST_KEPT = 10_000  #: So many requests may wait before some are dropped.
_NEW_CONNECTION = (ConnectionLost, Stopped, NotConnected, TransportError)  # the request was not answered, nor refused


def action_of(payload: Payload) -> str:
    """Return the action of a request or response, such as "Reset"."""
    name = type(payload).__name__
    for ending in ("Request", "Response"):
        if name.endswith(ending):
            return name[: -len(ending)]
    return name


@contextmanager
def unchecked(client: Client, is_wrong: bool) -> Iterator[None]:
    """Have the client send what breaks its schema, if ``is_wrong``: a simulated fault."""
    before = client.validation_for(client.id)
    if is_wrong:
        client.set_message_validation(Validation(before.incoming, "off"))
    try:
        yield
    finally:
        if is_wrong:
            client.set_message_validation(before)


class _Faults(Protocol):
    def before_sending(
        self, request: Payload, send: Callable[[Payload, bool], None], end: Callable[[Exception], None]
    ) -> None: ...


@dataclass(eq=False)
class Entry:
    """A request that waits. See `Outbox.send`."""

    request: RequestOrMaker
    on_answer: Optional[OnAnswer]
    on_failure: Optional[OnFailure]
    keep: bool
    retry: bool
    droppable: bool
    before_boot: bool
    number: int
    made: Optional[Payload] = None  # the request, when it was made
    message_id: Optional[str] = None  # the client chooses it; it stays when the request is sent over a new connection
    attempts: int = 0
    begun: float = 0.0  # when it was sent last, in seconds of the clock

    def make(self) -> Optional[Payload]:
        """Return the request itself, which is made when its turn has come, and then stays as it is."""
        if self.made is None:
            self.made = self.request if isinstance(self.request, Payload) else self.request()
        return self.made


class Outbox:
    """The requests of one station. All methods are to be called in jobs of its mailbox.

    Args:
        client: Sends them.
        mailbox: Runs what follows from the answers.
        timers: For the waits between attempts.
        settings: Says how often a message about a transaction is sent again, and after how long.
        summary: Counts them.
        may_send: ``f(before_boot)`` tells whether a request may be sent now.
        faults: Come between the outbox and the client.
    """

    def __init__(
        self,
        client: Client,
        mailbox: Mailbox,
        timers: Timers,
        settings: Settings,
        summary: Summary,
        may_send: MaySend,
        faults: _Faults,
    ) -> None:
        self._client = client
        self._mailbox = mailbox
        self._timers = timers
        self._settings = settings
        self._summary = summary
        self._may_send = may_send
        self._faults = faults
        self._numbers = itertools.count()
        self._entries: List[Entry] = []  # in the order of their numbers
        self._in_flight: Optional[Entry] = None
        self._broken = False  # nothing is sent until the end of the connection was noted, or for a second
        self._pausing = False  # what is sent again waits for its next attempt
        self._room = MOST_KEPT  # how many may wait before some are dropped
        self._held = False  # an answer to the CSMS goes first
        self._waiting: List[Callable[[], object]] = []  # for the delivery of what is kept
        self.answered: List[Callable[[], object]] = []  #: Called when a request was answered with a result.

    @property
    def kept(self) -> int:
        """How many requests are kept, the one that is under way included."""
        entries = self._entries if self._in_flight is None else [*self._entries, self._in_flight]
        return sum(entry.keep for entry in entries)

    def send(
        self,
        request: RequestOrMaker,
        on_answer: Optional[OnAnswer] = None,
        on_failure: Optional[OnFailure] = None,
        *,
        keep: bool = False,
        retry: bool = False,
        droppable: bool = False,
        before_boot: bool = False,
    ) -> None:
        """Send a request when its turn has come.

        Args:
            request: The request, or a function that makes it when its turn has come. If that returns ``None``, nothing
                is sent, and neither of the next two is called.
            on_answer: Called with the typed response, in a job of the mailbox, before the next request is made.
            on_failure: Called with the exception, in a job: a `CallFailed`, `TransportError`, `OCPPError` ...
            keep: Whether it waits while there is no connection, or the boot is not accepted. It is sent again, with its
                id, over the next connection when one was lost. Requests that are kept stay in their order. Without it,
                the request fails at once when it may not be sent now.
            retry: Whether it is about a transaction. Then it is kept, and is sent again as often as the settings say
                when it is answered with an error, or not at all. Those after it that are about transactions wait for
                it (1.6 edition 2 sections 3.7 and 3.7.1; Part 2 E13).
            droppable: Whether it may be dropped when there is no room (Part 2 E04.FR.07, FR.08).
            before_boot: Whether it may be sent before the boot is accepted, past those that may not.
        """
        keep = keep or retry
        entry = Entry(request, on_answer, on_failure, keep, retry, droppable, before_boot, next(self._numbers))
        if not keep and not self._may_send(before_boot):
            self._fail(entry, ConnectionLost("the station may not send this now"))
            return
        self._entries.append(entry)
        if len(self._entries) > self._room:
            self._make_room()
        self.pump()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Send nothing in a block, in which a request of the CSMS is answered: what follows comes after the answer."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.pump()

    def pump(self) -> None:
        """Send what may be sent: call this when that has changed."""
        while self._in_flight is None and not self._held:
            entry = next(self._ready(), None)
            if entry is None:
                break
            self._entries.remove(entry)
            request = entry.make()
            if request is not None:
                self._in_flight = entry
                self._pass_on(entry, request)
        if self._waiting and self._in_flight is None and not self._entries:
            waiting, self._waiting = self._waiting, []
            for job in waiting:
                self._mailbox.post(job)

    def when_delivered(self, job: Callable[[], object]) -> None:
        """Run ``job`` when nothing is under way, nor kept any more: all was answered, or given up."""
        self._waiting.append(job)
        self.pump()

    def drop_unkept(self) -> None:
        """Fail what is not kept, and may not be sent now: the connection was lost, or the station reboots."""
        self._broken = False
        entries, self._entries = self._entries, []
        for entry in entries:
            if entry.keep or self._may_send(entry.before_boot):
                self._entries.append(entry)
            else:
                self._fail(entry, ConnectionLost("the connection was lost before it was sent"))

    def clear(self) -> None:
        """Forget all: the station is switched off for good."""
        self._entries.clear()
        self._waiting.clear()

    def _pass_on(self, entry: Entry, request: Payload) -> None:
        """Hand a request to the faults. When a function of a test fails there, the request fails too."""
        try:
            self._faults.before_sending(request, partial(self._transmit, entry), partial(self._end, entry))
        except Exception as error:  # as a job: the present one has to go on
            self._mailbox.post(partial(self._spoiled, entry, error))

    def _spoiled(self, entry: Entry, error: Exception) -> None:
        entry.retry = False  # it would fail each time
        problem = UsageError(f"a simulated fault could not change a {self._action(entry)}")
        problem.__cause__ = error
        self._end(entry, problem)
        raise problem

    def _make_room(self) -> None:
        """Drop the 1st, 3rd, 5th ... of the requests that may be dropped (Part 2 E04.FR.08)."""
        dropped = [entry for entry in self._entries if entry.droppable and not entry.attempts][::2]
        numbers = {entry.number for entry in dropped}
        self._entries = [entry for entry in self._entries if entry.number not in numbers]
        self._room = max(MOST_KEPT, 2 * len(self._entries))
        for entry in dropped:
            error = QueueFull("there is no room for all messages that wait")
            self._count(entry, error)
            self._fail(entry, error)

    def _end(self, entry: Entry, error: Optional[Exception], response: Any = None) -> None:
        """Take note of how the request that is under way has ended, and go on with the next."""
        if self._in_flight is not entry:
            return
        self._in_flight = None
        if error is None:
            self._summary.add_answer(self._action(entry), self._timers.now() - entry.begun)
            for function in self.answered:
                function()
            if entry.on_answer is not None:
                entry.on_answer(response)
        elif entry.keep and isinstance(error, _NEW_CONNECTION):
            entry.attempts -= 1  # the next connection is no attempt of its own
            self._put_back(entry)
            if self._may_send(True):  # the connection is broken, and this thread may be the one that is to note it
                self._broken = True
                self._timers.call_later(_LOOK_AGAIN, self._look_again)
        elif entry.retry and entry.attempts < self._settings.get("message_attempts", 1):
            self._count(entry, error)
            entry.message_id = None
            self._put_back(entry)
            self._pausing = True
            self._timers.call_later(entry.attempts * self._settings.get("message_attempt_interval", 0), self._resume)
        else:
            self._count(entry, error)
            self._fail(entry, error)
        self.pump()

    def _put_back(self, entry: Entry) -> None:
        """Put a request back where it was: it was one of the first."""
        index = next((i for i, other in enumerate(self._entries) if other.number > entry.number), len(self._entries))
        self._entries.insert(index, entry)

    def _ready(self) -> Iterator[Entry]:
        """Yield the entries that may be sent now, the next one first."""
        may_send_early, may_send = self._may_send(True), self._may_send(False)
        if self._broken:
            return
        if may_send_early or may_send:
            for entry in self._entries:
                if (may_send_early if entry.before_boot else may_send) and not (entry.retry and self._pausing):
                    yield entry

    def _transmit(self, entry: Entry, request: Payload, is_wrong: bool) -> None:
        entry.attempts += 1
        entry.begun = self._timers.now()
        try:
            with unchecked(self._client, is_wrong):
                future = self._client.send_request(request, message_id=entry.message_id)
        except OcppjError as error:  # as a job: the connection is just being lost, which is noted by another job
            self._mailbox.post(partial(self._end, entry, error))
            return
        entry.message_id = future.message_id
        future.add_done_callback(lambda done: self._mailbox.post(partial(self._done, entry, done)))

    def _done(self, entry: Entry, future: Any) -> None:
        if future.cancelled():
            self._end(entry, CallTimeout("it was canceled"))
            return
        error = future.exception()
        self._end(entry, error, None if error else future.result())

    def _look_again(self) -> None:
        self._broken = False
        self.pump()

    def _resume(self) -> None:
        self._pausing = False
        self.pump()

    def _count(self, entry: Entry, error: Exception) -> None:
        code = error.code if isinstance(error, OCPPError) else type(error).__name__
        self._summary.add_failure(self._action(entry), str(getattr(code, "value", code)))

    def _fail(self, entry: Entry, error: Exception) -> None:
        if entry.on_failure is not None:
            self._mailbox.post(partial(entry.on_failure, error))

    def _action(self, entry: Entry) -> str:
        return "" if entry.made is None else action_of(entry.made)
