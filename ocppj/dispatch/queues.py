"""Requests that wait to be sent: `RequestQueue` and `ServerQueueMap` with their promises, then the defaults."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Literal, Mapping, Optional, Protocol, Sequence, Tuple, Union

from ..budget import QUEUED, Account, MemoryBudget, weigh_objects
from ..errors import CallFailed, NotRunning, OcppjError, QueueFull
from ..option_checks import check_options
from ..payloads.model import Payload
from ..rpc.messages import Call
from ..settings import LoggerLike

__all__ = [
    "Decoder",
    "FIFOClientQueue",
    "FIFOQueueMap",
    "Overflow",
    "OverflowPolicy",
    "QueueOwner",
    "RequestBundle",
    "RequestQueue",
    "ServerQueueMap",
    "policy_of",
]

_STEP = 4096  # bytes by which a queue grows or shrinks before that is counted: the usual request costs nothing

#: ``decode(version, text)`` returns the typed `Call` of a CALL's text, which was made for that OCPP version ("1.6",
#: "2.0.1", "2.1"). It raises an `OcppjError` when it cannot.
Decoder = Callable[[str, str], Call]

#: What a `Call` carries. The endpoints make calls with a `Payload`.
RequestPayload = Union[Payload, Mapping[str, Any]]


class RequestBundle:
    """A request ready to be sent: the CALL and its text, encoded once, for one OCPP version ("1.6", "2.0.1", "2.1").

    A durable queue keeps the version, to read the text. A bundle never changes: threads share it.

    ``before_boot`` tells whether a client may send it before its BootNotification is accepted. It is not stored: what
    asked for the request belongs to the boot of its process.

    ``offline`` tells whether a server made it for a client that may be away: it waits until the client has booted. At
    the time ``expires`` (in seconds, as `time.time`) it ends, if it has not before. Both are stored.

    ``fragile`` tells whether it ends with the connection that it was made for. It is not stored either.
    """

    __slots__ = ("_weight", "before_boot", "call", "data", "expires", "fragile", "message_id", "offline", "version")

    def __init__(
        self,
        call: Call,
        data: str,
        version: str = "",
        *,
        before_boot: bool = False,
        offline: bool = False,
        expires: Optional[float] = None,
        fragile: bool = False,
    ) -> None:
        self.call: Call = call
        self.data: str = data
        self.version: str = version
        self.before_boot: bool = before_boot
        self.offline: bool = offline
        self.expires: Optional[float] = expires
        self.fragile: bool = fragile
        self.message_id: str = call.unique_id
        self._weight = 0  # in bytes, for the queues in memory: the first one that takes it weighs it

    def __repr__(self) -> str:
        return f"RequestBundle({self.call!r}, {self.data!r}, {self.version!r})"


class OverflowPolicy(ABC):
    """Which request a full queue drops for a new one. `ocppj.DropOldest` and `ocppj.ThinOut` are policies."""

    @abstractmethod
    def choose(self, waiting: Sequence[RequestBundle], new: RequestBundle) -> Optional[RequestBundle]:
        """Return one of ``waiting`` to be dropped, or ``None``: then ``new`` is refused with `QueueFull`.

        It runs on the thread that makes the new request, may run on several at once, and must not block.

        Args:
            waiting: The requests of the queue, oldest first, without one that is being sent or sent again.
            new: The request that finds no room.
        """

    def for_queue(self) -> "OverflowPolicy":
        """Return the policy for one queue. A policy that remembers something returns a new one for each."""
        return self


#: What a queue does when it is full. ``None`` and ``"refuse"``: `RequestQueue.push` raises `QueueFull`.
Overflow = Union[None, Literal["refuse"], OverflowPolicy]


def policy_of(overflow: Overflow) -> Optional[OverflowPolicy]:
    """Return the policy, or ``None`` to refuse."""
    return None if isinstance(overflow, str) else overflow


class RequestQueue(ABC):
    """The requests to one peer, in order. The head stays in the queue until it is answered.

    Every method is thread-safe, and none calls back into the library. `init`, `push` and `close` may wait for a disk.
    All others return at once: a dispatcher calls them with its own lock held.
    """

    #: Whether requests outlive the process: those that are in the queue at the end are there again after `init`.
    durable: bool = False
    #: Which request is dropped for a new one when the queue is full; ``None``: none is. The dispatcher asks it, after
    #: `push` has raised `QueueFull`. A queue that has one must have `displace` and `push_in_place`.
    overflow: Optional[OverflowPolicy] = None

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``; as `ClientDispatcher.set_logger`. One that logs nothing ignores it."""

    def set_decoder(self, decode: Decoder) -> None:
        """Read requests that an earlier process left with ``decode``. Called before `init`."""

    @abstractmethod
    def init(self) -> None:
        """Make ready for use. Called when the dispatcher starts. A queue in memory empties itself."""

    def close(self) -> None:
        """Release files, if there are any. Called when the dispatcher stops. `init` opens them again."""

    @abstractmethod
    def push(self, bundle: RequestBundle) -> None:
        """Add ``bundle`` at the end. When it returns, a durable queue has it on disk; when it raises, it has not.

        Raises:
            QueueFull: when there is no room.
        """

    @abstractmethod
    def peek(self) -> Optional[RequestBundle]:
        """Return the head without removing it, or ``None`` when empty."""

    @abstractmethod
    def pop(self) -> Optional[RequestBundle]:
        """Remove and return the head, or ``None`` when empty."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many requests are in the queue."""

    @abstractmethod
    def is_full(self) -> bool:
        """Tell whether `push` would raise `QueueFull`."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Tell whether there is nothing in the queue."""

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, wherever it stands; ``None`` when it is not there.

        A queue that cannot do this leaves it: a request that its caller gave up is then sent all the same.
        """
        return None

    def detach(self, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, which has ended, as `remove`.

        A durable queue keeps it in its file until `settle`: if the process dies before, the request is sent again.
        """
        head = self.peek()
        return self.pop() if head is not None and head.message_id == message_id else self.remove(message_id)

    def settle(self, message_id: str, told: bool = True) -> None:
        """Forget the oldest request of that id that was detached: the program has been told of its end.

        If it was not ``told``, the request is there again after the next `init`.
        """

    def unsettled(self) -> int:
        """Return how many requests are detached, and not settled."""
        return 0

    def has(self, message_id: str) -> bool:
        """Tell whether a request of that id is in the queue."""
        return any(bundle.message_id == message_id for bundle in self.bundles())

    def displace(self, message_id: str) -> Optional[RequestBundle]:
        """Take the request of that id out, and keep its room for `push_in_place`, which follows; ``None``: not there.

        It is `push_in_place` that drops it for good. While that waits for a disk, `remove` finds it all the same.
        """
        raise NotImplementedError(f"{type(self).__name__} has an overflow policy, and no displace()")

    def push_in_place(self, bundle: RequestBundle, displaced: RequestBundle) -> bool:
        """Add ``bundle`` at the end, in the room of ``displaced``. It may wait for a disk, as `push` may.

        A durable queue drops the one and keeps the other in one transaction. When it raises, ``displaced`` has its
        place again. Return false if ``displaced`` was removed meanwhile.
        """
        raise NotImplementedError(f"{type(self).__name__} has an overflow policy, and no push_in_place()")

    def push_past(self, bundle: RequestBundle, held: int) -> None:
        """Add ``bundle`` as `push` does, but ``held`` requests do not count: they are held, and it is sent before them.

        Without this, a queue that is full and waits for the boot would refuse the BootNotification, for ever. A queue
        that cannot do this refuses it, as `push` does.
        """
        self.push(bundle)

    def set_aside(self, message_id: str, reason: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, because it can never be dealt with; ``None`` if it is not there.

        A durable queue keeps it apart, with ``reason``, for a person to look at. The caller logs the reason.
        """
        return self.remove(message_id)

    def bundles(self) -> List[RequestBundle]:
        """Return what is in the queue, in order. A queue that cannot look further returns its head alone."""
        head = self.peek()
        return [] if head is None else [head]

    def find(self, wanted: Callable[[RequestBundle], bool]) -> Optional[RequestBundle]:
        """Return the first of `bundles` for which ``wanted``, called with no lock held, is true; or ``None``."""
        head = self.peek()
        if head is None or wanted(head):
            return head
        return next((bundle for bundle in self.bundles() if bundle is not head and wanted(bundle)), None)

    def discard(self) -> List[RequestBundle]:
        """Empty the queue, and return what was in it, in order.

        A durable queue forgets nothing: it takes no more, keeps what it has for the next `init`, and returns nothing.
        """
        return list(iter(self.pop, None))


class FIFOClientQueue(RequestQueue):
    """First in, first out, in memory.

    Args:
        capacity: How many requests it holds at most; 0 means no limit.
        overflow: What happens when it is full: ``None`` or ``"refuse"`` (`QueueFull` is raised), or a policy that says
            which request is dropped: ``DropOldest(types)``, ``ThinOut()``, or an `OverflowPolicy` of your own.
        max_bytes: It is full, too, when its requests take about so many bytes. ``None``: no limit.

    Raises:
        UsageError: for a negative capacity, and for such an ``overflow`` as "drop".
    """

    _reserved = 0  # how many requests were displaced, and are not replaced yet
    _budget: Optional[MemoryBudget] = None  # where a server counts what its queues hold
    _size = 0  # of the requests, in bytes
    _account = Account()  # in that budget; its own as soon as there is one

    def __init__(self, capacity: int = 0, *, overflow: Overflow = None, max_bytes: Optional[int] = None) -> None:
        check_options("FIFOClientQueue", locals())
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._bundles: Optional[Deque[RequestBundle]] = None  # made with the first: most peers never get a request
        policy = policy_of(overflow)
        if policy is not None:  # else it is that of the class: most queues have none
            self.overflow: OverflowPolicy = policy.for_queue()

    def _after_fork(self) -> None:
        """Forget the requests, which the parent sends: see `ocppj.forks`."""
        self._bundles, self._size, self._reserved, self._account = None, 0, 0, Account()

    def init(self) -> None:
        with self._lock:
            self._bundles = None
            self._set_size(0)

    def count_in(self, budget: Optional[MemoryBudget]) -> None:
        """Count what the queue holds in ``budget``, and not where it was counted before."""
        with self._lock:
            size = self._size
            self._set_size(0)
            self._budget, self._account = budget, Account()
            self._set_size(size, must=True)

    def push(self, bundle: RequestBundle) -> None:
        with self._lock:
            if not self._is_full():  # not `is_full`: one of a program's own may ask for the lock
                self._append(bundle)
                return
        raise QueueFull(f"the queue holds {self._what_fills_it()}, all it may")

    def push_past(self, bundle: RequestBundle, held: int) -> None:
        with self._lock:
            if not self._is_full(held):
                self._append(bundle)
                return
        raise QueueFull(f"the queue holds {self._what_fills_it()}, all it may, and others that are held")

    def peek(self) -> Optional[RequestBundle]:
        bundles = self._bundles  # without the lock: this is asked several times for each request
        try:
            return bundles[0] if bundles else None
        except IndexError:  # another thread has just taken the last one
            return None

    def pop(self) -> Optional[RequestBundle]:
        with self._lock:
            if not self._bundles:
                return None
            bundle = self._bundles.popleft()
            self._let_go(bundle)
            return bundle

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        with self._lock:
            bundles = self._bundles or deque()
            found = next((bundle for bundle in bundles if bundle.message_id == message_id), None)
            if found is not None:
                bundles.remove(found)
                self._let_go(found)
        return found

    def displace(self, message_id: str) -> Optional[RequestBundle]:
        displaced = self.remove(message_id)
        if displaced is not None:
            with self._lock:
                self._reserved += 1
        return displaced

    def push_in_place(self, bundle: RequestBundle, displaced: RequestBundle) -> bool:
        with self._lock:
            self._reserved -= 1
            self._append(bundle, must=True)  # it takes the room of another one
        return True

    def bundles(self) -> List[RequestBundle]:
        with self._lock:
            return list(self._bundles or ())

    def __len__(self) -> int:
        return len(self._bundles or ())

    def is_full(self) -> bool:
        return self._is_full()

    def is_empty(self) -> bool:
        return not self._bundles

    def _append(self, bundle: RequestBundle, must: bool = False) -> None:
        bundle._weight = bundle._weight or weigh_objects(bundle.data)
        self._set_size(self._size + bundle._weight, must)
        if self._bundles is None:
            self._bundles = deque()
        self._bundles.append(bundle)

    def _let_go(self, bundle: RequestBundle) -> None:
        """Count ``bundle``, which was taken out, no more. An empty queue has nothing, whatever was cut off before."""
        self._set_size(self._size - bundle._weight if self._bundles else 0)

    def _set_size(self, size: int, must: bool = False) -> None:
        """Note that the requests take ``size`` bytes. Raises `QueueFull` if all queues would hold too much."""
        counted = self._account.counted
        if self._budget is not None and (not -_STEP < size - counted < _STEP or (counted and not size)):
            if not self._budget.count(self._account, QUEUED, size, must):
                raise QueueFull("the queues of all clients hold too many bytes")
        self._size = size

    def _is_full(self, held: int = 0) -> bool:
        if self._max_bytes is not None and self._size >= self._max_bytes and not held:
            return True
        return 0 < self._capacity <= len(self._bundles or ()) + self._reserved - held

    def _what_fills_it(self) -> str:
        if 0 < self._capacity <= len(self._bundles or ()) + self._reserved:
            return f"{self._capacity} requests"
        return f"{self._size} bytes"


class QueueOwner(Protocol):
    """What a `ServerQueueMap` asks of the dispatcher."""

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool: ...

    def is_pending(self, client_id: str, message_id: str) -> bool: ...

    def queue_grew(self, client_id: str, bundles: Sequence[RequestBundle]) -> None:
        """Note that another process has stored ``bundles``, which are in that client's queue now."""

    def ended_elsewhere(self, client_id: str, message_id: str) -> None:
        """Note that another process has ended a request that was stored here: its program was told."""


class ServerQueueMap(ABC):
    """The queues of a server, by client id. Thread-safe. Calls nothing of the library."""

    #: Whether requests outlive the process, and the queue that `remove` forgets; see `RequestQueue.durable`.
    durable: bool = False
    #: Whether it takes requests for clients that are not connected: `push_all`, `push_in_place`, `expired` and
    #: `next_expiry` work for clients without a queue.
    takes_offline: bool = False

    def set_owner(self, owner: "QueueOwner") -> None:
        """Ask ``owner``, the dispatcher, what is pending, and have it end what is canceled. Called before `init`."""

    def set_budget(self, budget: MemoryBudget) -> None:
        """Count the requests in memory there. Called before `init`. A map that keeps them elsewhere ignores it."""

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``; as `ClientDispatcher.set_logger`. One that logs nothing ignores it."""

    def set_decoder(self, decode: Decoder) -> None:
        """Read requests that an earlier process left with ``decode``; as `RequestQueue.set_decoder`."""

    @abstractmethod
    def init(self) -> None:
        """Make ready for use. Called when the dispatcher starts."""

    def close(self) -> None:
        """Release files, if there are any. Called when the dispatcher stops. `init` opens them again."""

    @abstractmethod
    def get(self, client_id: str) -> Optional[RequestQueue]:
        """Return that client's queue, or ``None``."""

    @abstractmethod
    def get_or_create(self, client_id: str) -> RequestQueue:
        """Return that client's queue, made if need be. A durable map gives it the requests it has for that client."""

    @abstractmethod
    def remove(self, client_id: str) -> None:
        """Forget that client's queue, if there is one. A durable map keeps its requests."""

    @abstractmethod
    def add(self, client_id: str, queue: RequestQueue) -> None:
        """Make ``queue`` that client's queue."""

    def withdraw(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        """Remove and return a request that is kept for a client without a queue; ``None`` when there is none.

        May wait for a disk, and is called with no lock held. A map that cannot do this leaves it there.
        """
        return None

    def detach(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        """Do as `withdraw`, and keep the request in the file until `settle`: as `RequestQueue.detach`."""
        return self.withdraw(client_id, message_id)

    def settle(self, client_id: str, message_id: str, told: bool = True) -> None:
        """Forget a request that was detached from a queue of that client, present or not; see `RequestQueue.settle`."""

    def unsettled(self) -> int:
        """Return how many requests of all clients are detached, and not settled."""
        return 0

    # The following may wait for a disk, and are called with no lock held.

    def push_all(self, requests: Sequence[Tuple[str, RequestBundle]]) -> List[Optional[Exception]]:
        """Add each of ``requests`` (client id, request) to the queue of its client. A durable map does so at once.

        Return for each ``None``, or the error why it is not in the queue: what `RequestQueue.push` raises.
        """
        errors: List[Optional[Exception]] = []
        for client_id, bundle in requests:
            queue, error = self.get(client_id), None
            try:
                if queue is None:
                    raise NotRunning("the client has no queue")
                queue.push(bundle)
            except OcppjError as failure:
                error = failure
            errors.append(error)
        return errors

    def push_in_place(self, client_id: str, bundle: RequestBundle) -> Optional[RequestBundle]:
        """Add ``bundle`` for a client without a queue, for whom too many wait. Return the request dropped for it.

        Raises:
            QueueFull: The overflow policy drops nothing.
            NotRunning: The client has a queue by now.
        """
        raise QueueFull(f"too many requests wait for {client_id!r}")

    def has_stored(self, client_id: str, message_id: str) -> bool:
        """Tell whether a request of that id waits for a client without a queue."""
        return False

    def expired(self, now: float) -> List[Tuple[str, str]]:
        """Return (client id, message id) of the requests that have expired by ``now`` (seconds, as `time.time`)."""
        return []

    def next_expiry(self, now: float) -> Optional[float]:
        """Return when the next request after ``now`` expires, or ``None`` when none does."""
        return None


class FIFOQueueMap(ServerQueueMap):
    """A `FIFOClientQueue` per client.

    Args:
        capacity: How many requests each queue holds at most; 0 means no limit.
        overflow: What happens when one is full; as for `FIFOClientQueue`.
        max_bytes: One is full, too, when its requests take about so many bytes. ``None``: no limit.

    Raises:
        UsageError: for a negative capacity, and for such an ``overflow`` as "drop".
    """

    _budget: Optional[MemoryBudget] = None

    def __init__(self, capacity: int = 0, *, overflow: Overflow = None, max_bytes: Optional[int] = None) -> None:
        check_options("FIFOQueueMap", locals())
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._overflow = policy_of(overflow)
        self._lock = threading.Lock()
        self._queues: Dict[str, RequestQueue] = {}

    def set_budget(self, budget: MemoryBudget) -> None:
        self._budget = budget

    def _after_fork(self) -> None:
        """Forget the requests, which the parent sends: see `ocppj.forks`."""
        self._queues = {}

    def init(self) -> None:
        with self._lock:
            queues, self._queues = list(self._queues.values()), {}
        for queue in queues:
            _count_in(queue, None)

    def get(self, client_id: str) -> Optional[RequestQueue]:
        with self._lock:
            return self._queues.get(client_id)

    def get_or_create(self, client_id: str) -> RequestQueue:
        with self._lock:
            queue = self._queues.get(client_id)
            if queue is None:
                queue = FIFOClientQueue(self._capacity, overflow=self._overflow, max_bytes=self._max_bytes)
                _count_in(queue, self._budget)
                self._queues[client_id] = queue
            return queue

    def remove(self, client_id: str) -> None:
        with self._lock:
            queue = self._queues.pop(client_id, None)
        _count_in(queue, None)

    def add(self, client_id: str, queue: RequestQueue) -> None:
        _count_in(queue, self._budget)
        with self._lock:
            before, self._queues[client_id] = self._queues.get(client_id), queue
        if before is not queue:
            _count_in(before, None)


def _count_in(queue: Optional[RequestQueue], budget: Optional[MemoryBudget]) -> None:
    """Have what ``queue`` holds counted in ``budget``, or nowhere, if it is one of those that can be weighed."""
    if isinstance(queue, FIFOClientQueue):
        queue.count_in(budget)
