"""Requests that wait to be sent: `RequestQueue` and `ServerQueueMap` with their promises, then the defaults."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Union

from ..errors import QueueFull
from ..payloads.model import Payload
from ..rpc.messages import Call

__all__ = ["Decoder", "FIFOClientQueue", "FIFOQueueMap", "RequestBundle", "RequestQueue", "ServerQueueMap"]

#: ``decode(version, text)`` returns the typed `Call` of a CALL's text, which was made for that OCPP version ("1.6",
#: "2.0.1", "2.1"). It raises an `OcppjError` when it cannot.
Decoder = Callable[[str, str], Call]

#: What a `Call` carries. The endpoints make calls with a `Payload`.
RequestPayload = Union[Payload, Mapping[str, Any]]


class RequestBundle:
    """A request ready to be sent: the CALL and its text, encoded once, for one OCPP version ("1.6", "2.0.1", "2.1").

    A durable queue keeps the version, to read the text. A bundle never changes: threads share it.
    """

    __slots__ = ("call", "data", "message_id", "version")

    def __init__(self, call: Call, data: str, version: str = "") -> None:
        self.call = call
        self.data = data
        self.version = version
        self.message_id = call.unique_id

    def __repr__(self) -> str:
        return f"RequestBundle({self.call!r}, {self.data!r}, {self.version!r})"


class RequestQueue(ABC):
    """The requests to one peer, in order. The head stays in the queue until it is answered.

    Every method is thread-safe, and none calls back into the library. `init`, `push` and `close` may wait for a disk.
    All others return at once: a dispatcher calls them with its own lock held.
    """

    #: Whether requests outlive the process: those that are in the queue at the end are there again after `init`.
    durable: bool = False

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


def check_capacity(capacity: int) -> int:
    """Return ``capacity``. Raises `ValueError` if it is negative."""
    if capacity < 0:
        raise ValueError("the capacity must not be negative; 0 means no limit")
    return capacity


class FIFOClientQueue(RequestQueue):
    """First in, first out, in memory.

    Args:
        capacity: How many requests it holds at most; 0 means no limit.

    Raises:
        ValueError: for a negative capacity.
    """

    def __init__(self, capacity: int = 0) -> None:
        self._capacity = check_capacity(capacity)
        self._lock = threading.Lock()
        self._bundles: Optional[Deque[RequestBundle]] = None  # made with the first: most peers never get a request

    def init(self) -> None:
        with self._lock:
            self._bundles = None

    def push(self, bundle: RequestBundle) -> None:
        with self._lock:
            if not self._is_full():  # not `is_full`: one of a program's own may ask for the lock
                if self._bundles is None:
                    self._bundles = deque()
                self._bundles.append(bundle)
                return
        raise QueueFull(f"the queue holds {self._capacity} requests, all it may")

    def peek(self) -> Optional[RequestBundle]:
        with self._lock:
            return self._bundles[0] if self._bundles else None

    def pop(self) -> Optional[RequestBundle]:
        with self._lock:
            return self._bundles.popleft() if self._bundles else None

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        with self._lock:
            bundles = self._bundles or deque()
            for bundle in bundles:
                if bundle.message_id == message_id:
                    bundles.remove(bundle)
                    return bundle
        return None

    def bundles(self) -> List[RequestBundle]:
        with self._lock:
            return list(self._bundles or ())

    def __len__(self) -> int:
        return len(self._bundles or ())

    def is_full(self) -> bool:
        return self._is_full()

    def is_empty(self) -> bool:
        return not self._bundles

    def _is_full(self) -> bool:
        return 0 < self._capacity <= len(self._bundles or ())


class ServerQueueMap(ABC):
    """The queues of a server, by client id. Thread-safe. Calls nothing of the library."""

    #: Whether requests outlive the process, and the queue that `remove` forgets; see `RequestQueue.durable`.
    durable: bool = False

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


class FIFOQueueMap(ServerQueueMap):
    """A `FIFOClientQueue` per client.

    Args:
        capacity: How many requests each queue holds at most; 0 means no limit.

    Raises:
        ValueError: for a negative capacity.
    """

    def __init__(self, capacity: int = 0) -> None:
        self._capacity = check_capacity(capacity)
        self._lock = threading.Lock()
        self._queues: Dict[str, RequestQueue] = {}

    def init(self) -> None:
        with self._lock:
            self._queues.clear()

    def get(self, client_id: str) -> Optional[RequestQueue]:
        with self._lock:
            return self._queues.get(client_id)

    def get_or_create(self, client_id: str) -> RequestQueue:
        with self._lock:
            return self._queues.setdefault(client_id, FIFOClientQueue(self._capacity))

    def remove(self, client_id: str) -> None:
        with self._lock:
            self._queues.pop(client_id, None)

    def add(self, client_id: str, queue: RequestQueue) -> None:
        with self._lock:
            self._queues[client_id] = queue
