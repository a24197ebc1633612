"""What is pending, that is: sent, and not answered yet. At most one request per connection and direction.

A dispatcher writes `PendingRequestState` and `ServerState`; the endpoint reads the type of an answer from them.
"""

from __future__ import annotations

import threading
from typing import Dict, FrozenSet, List, Optional, Tuple

from ..errors import CallFailed, ConnectionLost
from .queues import RequestBundle, RequestPayload, RequestQueue
from .retries import ConsecutiveFailures, TransactionRetries
from .timeouts import Deadline

__all__ = ["Failure", "InFlight", "PendingRequestState", "ServerState"]

#: A request and the reason why it ends without an answer.
Failure = Tuple[RequestBundle, CallFailed]


class PendingRequestState:
    """The pending request of one peer: at most one. Thread-safe. Calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # for changes; a read is one read of an attribute, and needs no lock
        self._pending: Optional[Tuple[str, RequestPayload]] = None  # (message id, request)

    def add(self, message_id: str, request: RequestPayload) -> None:
        """Make ``request`` the pending one. Ignored while another one is pending."""
        with self._lock:
            if self._pending is None:
                self._pending = message_id, request

    def get(self, message_id: str) -> Optional[RequestPayload]:
        """Return the pending request of that id, or ``None``."""
        pending = self._pending
        return pending[1] if pending is not None and pending[0] == message_id else None

    def delete(self, message_id: str) -> None:
        """Forget the pending request of that id."""
        with self._lock:
            if self._pending is not None and self._pending[0] == message_id:
                self._pending = None

    def clear(self) -> None:
        """Forget the pending request. An answer to it will be ignored."""
        with self._lock:
            self._pending = None

    def has(self) -> bool:
        """Tell whether a request is pending."""
        return self._pending is not None


class ServerState:
    """The pending requests of a server: a `PendingRequestState` per client. Thread-safe. Calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: Dict[str, PendingRequestState] = {}

    def get_client_state(self, client_id: str) -> PendingRequestState:
        """Return the state of that client. It is made on the first call."""
        state = self._clients.get(client_id)  # the usual case, without the lock
        if state is not None:
            return state
        with self._lock:
            return self._clients.setdefault(client_id, PendingRequestState())

    def has(self, client_id: Optional[str] = None) -> bool:
        """Tell whether a request to that client is pending; without an id, to any client."""
        with self._lock:
            states = list(self._clients.values()) if client_id is None else [self._clients.get(client_id)]
        return any(state is not None and state.has() for state in states)

    def clear_client(self, client_id: str) -> None:
        """Forget that client and its pending request."""
        with self._lock:
            state = self._clients.pop(client_id, None)
        if state is not None:
            state.clear()

    def clear(self) -> None:
        """Forget every client."""
        with self._lock:
            states, self._clients = self._clients, {}
        for state in states.values():
            state.clear()


class InFlight:
    """One peer's queue, its request in flight, and what keeps the next request back.

    It only decides: it sends nothing, starts no timer and calls no callback. A `RequestSender` uses every method with
    its lock held, and acts after it has released the lock. The methods of the queue and the state call nothing.
    """

    __slots__ = ("backing_off", "closed", "deadline", "failures", "losses", "paused", "pauses", "pending", "queue",
                 "reporting", "retries", "sending", "stalled", "state")  # fmt: skip

    def __init__(
        self,
        queue: RequestQueue,
        state: PendingRequestState,
        retries: Optional[TransactionRetries] = None,
        losses: Optional[ConsecutiveFailures] = None,
    ) -> None:
        self.queue = queue
        self.state = state
        self.retries = retries
        self.pending: Optional[RequestBundle] = None  # in `state`, too: `take`, `requeue` and `close` write both
        self.deadline: Optional[Deadline] = None  # of the pending request
        self.sending = False  # a thread has taken a request and has not finished writing it
        self.paused = False
        self.pauses = 0  # how many there were; a deadline that was set before the last pause does not count
        self.stalled = False  # a write has failed: nothing is sent for some seconds
        self.backing_off: Optional[RequestBundle] = None  # has failed, and waits to be sent again
        self.failures = None if retries is None else ConsecutiveFailures()  # of a transaction-related request
        self.losses = losses  # connections lost while the pending request waited for its answer; None: not counted
        self.reporting: FrozenSet[int] = frozenset()  # idents of the threads that report failed writes
        self.closed = False

    def take(self) -> Optional[RequestBundle]:
        """Make the next request pending and return it. Return ``None`` if this thread may send none now."""
        if self.pending is not None or self.sending or self.paused or self.stalled or self.closed:
            return None
        if self.reporting and threading.get_ident() in self.reporting:
            return None
        bundle = self.queue.peek() if self.backing_off is None else self.queue.find(self._may_overtake)
        if bundle is not None:
            self.pending = bundle
            self.sending = True
            self.state.add(bundle.message_id, bundle.call.payload)
        return bundle

    def _may_overtake(self, bundle: RequestBundle) -> bool:
        return self.retries is None or not self.retries.concerns(bundle.call)

    def get(self, message_id: str, pauses: Optional[int] = None) -> Optional[RequestBundle]:
        """Return the request of that id if it is pending. With ``pauses``: and there was no pause since that count."""
        current = pauses is None or not (self.paused or pauses != self.pauses)
        return self.pending if current and self.pending and self.pending.message_id == message_id else None

    def requeue(self, bundle: RequestBundle) -> Optional[Deadline]:
        """Make the pending ``bundle`` wait in the queue again. Return the deadline to cancel."""
        self.pending = None
        self.state.delete(bundle.message_id)
        return self.disarm()

    def end(self, bundle: RequestBundle) -> Optional[Deadline]:
        """Take the pending ``bundle`` out of the queue. Return the deadline to cancel."""
        deadline = self.requeue(bundle)
        if self.losses is not None:
            self.losses.reset()
        if not self._pop(bundle):
            self.queue.remove(bundle.message_id)  # it has overtaken the head
        return deadline

    def _pop(self, bundle: RequestBundle) -> bool:
        """Take ``bundle`` out of the queue if it is the head. Return whether it was."""
        head = self.queue.peek()
        if head is None or head.message_id != bundle.message_id:
            return False
        self.queue.pop()
        return True

    def withdraw(self, message_id: str) -> Optional[RequestBundle]:
        """Take the request of that id, which is not pending, out of the queue. Return it, if it was there."""
        if self.backing_off is not None and self.backing_off.message_id == message_id:
            self.backing_off = None
        return self.queue.remove(message_id)

    def disarm(self) -> Optional[Deadline]:
        """Keep the pending request from timing out. Return the deadline to cancel."""
        deadline, self.deadline = self.deadline, None
        return deadline

    def arm(
        self, bundle: RequestBundle, deadline: Deadline, pauses: int, sent: bool
    ) -> Tuple[bool, Optional[Deadline]]:
        """Let ``bundle`` time out with ``deadline``. Return whether it is still wanted, and the deadline to cancel.

        After a pause since the count ``pauses``, put it back, to be sent after the pause, unless it was ``sent``.
        """
        wanted = self.pending is bundle
        if wanted and self.paused:
            if not sent:
                self.requeue(bundle)
            return sent, deadline
        if wanted and self.pauses == pauses:
            before, self.deadline = self.deadline, deadline
            return True, before
        return wanted, deadline

    def count_loss(self) -> Optional[Failure]:
        """Count the loss of the connection on which the pending request was written.

        At the limit, have the queue set it aside, and return it and why: what makes a peer crash is not sent for ever.
        """
        bundle = self.pending
        if bundle is None or self.losses is None:
            return None
        losses = self.losses.add(bundle.message_id)
        if not self.losses.limit_reached():
            return None
        words = f"{losses} connections in a row were lost while its answer was awaited"
        self.requeue(bundle)
        self.losses.reset()
        if self.queue.set_aside(bundle.message_id, words) is None:
            self._pop(bundle)  # a queue of the program's own may be able to remove its head alone
        return bundle, ConnectionLost(words, bundle.message_id)

    def close(self) -> List[RequestBundle]:
        """Take no more requests. Return those that were discarded."""
        self.closed = True
        self.pending = self.backing_off = None
        self.state.clear()
        return self.queue.discard()
