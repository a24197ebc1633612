"""Whose turn it is in a lane: `Turn` knows the queue, the pending request, and what keeps the next one back. Pure.

It decides and does nothing: a `Lane` calls it with its lock held, and acts on the answer when the lock is released.
"""

from __future__ import annotations

import threading
from typing import FrozenSet, List, Optional, Tuple

from ..errors import CallFailed, ConnectionLost
from .pending import PendingRequestState
from .queues import RequestBundle, RequestQueue
from .retries import Streak, TransactionRetries
from .timeouts import Deadline

__all__ = ["Failure", "Turn"]

#: A request and why it ends without an answer.
Failure = Tuple[RequestBundle, CallFailed]


class Turn:
    """The requests of one peer, of which at most one is pending. Every method and field: with the lane's lock held."""

    __slots__ = (
        "closed",
        "deadline",
        "failures",
        "held",
        "losses",
        "paused",
        "pauses",
        "pending",
        "queue",
        "retries",
        "sending",
        "stalled",
        "state",
        "telling",
    )

    def __init__(
        self,
        queue: RequestQueue,
        state: PendingRequestState,
        retries: Optional[TransactionRetries] = None,
        losses: Optional[Streak] = None,
    ) -> None:
        self.queue = queue
        self.state = state
        self.retries = retries
        self.pending: Optional[RequestBundle] = None
        self.deadline: Optional[Deadline] = None
        self.sending = False  # a thread is between taking a request and having written it
        self.paused = False
        self.pauses = 0  # a deadline armed before the last pause means nothing any more
        self.stalled = False  # nothing is sent for some seconds
        self.held: Optional[RequestBundle] = None  # failed, and waits to be sent again
        self.failures = None if retries is None else Streak()  # of a transaction-related request
        self.losses = losses  # of connections, while the pending request's answer was awaited; None: not counted
        self.telling: FrozenSet[int] = frozenset()  # idents of threads that tell of failed writes
        self.closed = False

    def take(self) -> Optional[RequestBundle]:
        """Make the next request pending and return it; ``None`` if none may be sent now, or not by this thread."""
        if self.pending is not None or self.sending or self.paused or self.stalled or self.closed:
            return None
        if self.telling and threading.get_ident() in self.telling:
            return None
        bundle = self.queue.peek() if self.held is None else self.queue.find(self._may_overtake)
        if bundle is not None:
            self.pending = bundle
            self.sending = True
            self.state.add(bundle.message_id, bundle.call.payload)
        return bundle

    def _may_overtake(self, bundle: RequestBundle) -> bool:
        return self.retries is None or not self.retries.concerns(bundle.call)

    def is_pending(self, message_id: str, pauses: Optional[int] = None) -> bool:
        """Tell whether the request of that id is pending, and not paused since ``pauses`` were counted."""
        if self.pending is None or self.pending.message_id != message_id:
            return False
        return pauses is None or not (self.paused or pauses != self.pauses)

    def unsend(self, bundle: RequestBundle) -> Optional[Deadline]:
        """Make ``bundle``, which is pending, wait in the queue again; return the deadline to cancel."""
        self.pending = None
        self.state.delete(bundle.message_id)
        return self.disarm()

    def end(self, bundle: RequestBundle) -> Optional[Deadline]:
        """Take ``bundle``, which is pending, out of the queue; return the deadline to cancel."""
        deadline = self.unsend(bundle)
        if self.losses is not None:
            self.losses.clear()
        if not self._pop(bundle):
            self.queue.remove(bundle.message_id)  # it overtook the head
        return deadline

    def _pop(self, bundle: RequestBundle) -> bool:
        """Take ``bundle`` out of the queue if it is the head; return whether it was."""
        head = self.queue.peek()
        if head is None or head.message_id != bundle.message_id:
            return False
        self.queue.pop()
        return True

    def withdraw(self, message_id: str) -> Optional[RequestBundle]:
        """Take the request of that id, which is not pending, out of the queue and return it, if it is there."""
        if self.held is not None and self.held.message_id == message_id:
            self.held = None
        return self.queue.remove(message_id)

    def disarm(self) -> Optional[Deadline]:
        """Let the pending request not time out; return the deadline to cancel."""
        deadline, self.deadline = self.deadline, None
        return deadline

    def arm(
        self, bundle: RequestBundle, deadline: Deadline, pauses: int, sent: bool
    ) -> Tuple[bool, Optional[Deadline]]:
        """Have ``bundle`` time out with ``deadline``; return whether it is wanted still, and the deadline to cancel.

        ``pauses`` are those counted when it was decided to wait for its answer. A pause puts it back, to be sent after
        it, unless it was ``sent``.
        """
        wanted = self.pending is bundle
        if wanted and self.paused:
            if not sent:
                self.unsend(bundle)
            return sent, deadline
        if wanted and self.pauses == pauses:
            before, self.deadline = self.deadline, deadline
            return True, before
        return wanted, deadline

    def may_fail(self, message_id: str, pauses: Optional[int]) -> Optional[RequestBundle]:
        """Return the request of that id, if it is pending and one that `retries` concern; ``pauses`` as above."""
        bundle = self.pending if self.is_pending(message_id, pauses) else None
        return None if bundle is None or self._may_overtake(bundle) else bundle

    def lose(self) -> Optional[Failure]:
        """Count that the connection was lost on which the pending request was written.

        Return it and why it is given up, if it is: then it has left the queue, which may have set it aside.
        """
        bundle = self.pending
        if bundle is None or self.losses is None:
            return None
        losses = self.losses.add(bundle.message_id)
        if not self.losses.is_over():
            return None
        words = f"{losses} connections in a row were lost while its answer was awaited"
        self.unsend(bundle)
        self.losses.clear()
        if self.queue.set_aside(bundle.message_id, words) is None:
            self._pop(bundle)  # one of the program's own can remove nothing but its head
        return bundle, ConnectionLost(words, bundle.message_id)

    def close(self) -> List[RequestBundle]:
        """Take no more requests, and return those that were discarded."""
        self.closed = True
        self.pending = self.held = None
        self.state.clear()
        return self.queue.discard()
