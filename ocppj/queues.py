"""Requests that wait to be sent: `RequestQueue` and `ServerQueueMap` with their promises, then the defaults."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Deque, Dict, Optional

from .errors import QueueFull
from .messages import Call

__all__ = ["FIFOClientQueue", "FIFOQueueMap", "RequestBundle", "RequestQueue", "ServerQueueMap"]


@dataclass(frozen=True, eq=False)
class RequestBundle:
    """A request ready to be sent: the CALL and its text, encoded once."""

    call: Call
    data: str

    @property
    def message_id(self) -> str:
        """The id of the CALL."""
        return self.call.unique_id


class RequestQueue(ABC):
    """The requests to one peer, in order. The head stays in the queue until it is answered.

    Every method is thread-safe and returns at once; none calls back into the library: a dispatcher calls them with its
    own lock held.
    """

    @abstractmethod
    def init(self) -> None:
        """Make ready for use. Called when the dispatcher starts; a queue in memory empties itself."""

    @abstractmethod
    def push(self, bundle: RequestBundle) -> None:
        """Add ``bundle`` at the end. Raises `QueueFull` when there is no room."""

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

        A queue that cannot do this may leave it as it is: a request that its caller gave up is then sent all the same.
        """
        return None


class FIFOClientQueue(RequestQueue):
    """First in, first out, in memory. ``capacity`` 0 means no limit."""

    def __init__(self, capacity: int = 0) -> None:
        if capacity < 0:
            raise ValueError("the capacity must not be negative; 0 means no limit")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._bundles: Deque[RequestBundle] = deque()

    def init(self) -> None:
        """Forget what is in the queue."""
        with self._lock:
            self._bundles.clear()

    def push(self, bundle: RequestBundle) -> None:
        """Add ``bundle`` at the end. Raises `QueueFull` when the queue holds ``capacity`` requests."""
        with self._lock:
            if self._full():
                raise QueueFull(f"the queue holds {self._capacity} requests, all it may")
            self._bundles.append(bundle)

    def peek(self) -> Optional[RequestBundle]:
        """Return the head, or ``None``."""
        with self._lock:
            return self._bundles[0] if self._bundles else None

    def pop(self) -> Optional[RequestBundle]:
        """Remove and return the head, or ``None``."""
        with self._lock:
            return self._bundles.popleft() if self._bundles else None

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, or ``None``."""
        with self._lock:
            for bundle in self._bundles:
                if bundle.message_id == message_id:
                    self._bundles.remove(bundle)
                    return bundle
        return None

    def __len__(self) -> int:
        """Return how many requests are in the queue."""
        with self._lock:
            return len(self._bundles)

    def is_full(self) -> bool:
        """Tell whether the queue holds ``capacity`` requests."""
        with self._lock:
            return self._full()

    def is_empty(self) -> bool:
        """Tell whether there is nothing in the queue."""
        with self._lock:
            return not self._bundles

    def _full(self) -> bool:
        return self._capacity > 0 and len(self._bundles) >= self._capacity


class ServerQueueMap(ABC):
    """The queues of a server, by client id. Thread-safe; calls nothing of the library."""

    @abstractmethod
    def init(self) -> None:
        """Make ready for use. Called when the dispatcher starts."""

    @abstractmethod
    def get(self, client_id: str) -> Optional[RequestQueue]:
        """Return that client's queue, or ``None``."""

    @abstractmethod
    def get_or_create(self, client_id: str) -> RequestQueue:
        """Return that client's queue, made if need be."""

    @abstractmethod
    def remove(self, client_id: str) -> None:
        """Forget that client's queue, if there is one."""

    @abstractmethod
    def add(self, client_id: str, queue: RequestQueue) -> None:
        """Make ``queue`` that client's queue."""


class FIFOQueueMap(ServerQueueMap):
    """A `FIFOClientQueue` of ``capacity`` requests per client; 0 means no limit."""

    def __init__(self, capacity: int = 0) -> None:
        if capacity < 0:
            raise ValueError("the capacity must not be negative; 0 means no limit")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._queues: Dict[str, RequestQueue] = {}

    def init(self) -> None:
        """Forget every queue."""
        with self._lock:
            self._queues.clear()

    def get(self, client_id: str) -> Optional[RequestQueue]:
        """Return that client's queue, or ``None``."""
        with self._lock:
            return self._queues.get(client_id)

    def get_or_create(self, client_id: str) -> RequestQueue:
        """Return that client's queue, made if need be."""
        with self._lock:
            return self._queues.setdefault(client_id, FIFOClientQueue(self._capacity))

    def remove(self, client_id: str) -> None:
        """Forget that client's queue."""
        with self._lock:
            self._queues.pop(client_id, None)

    def add(self, client_id: str, queue: RequestQueue) -> None:
        """Make ``queue`` that client's queue."""
        with self._lock:
            self._queues[client_id] = queue
