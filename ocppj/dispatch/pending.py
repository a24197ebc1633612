"""What is pending, that is: sent, and not answered yet. At most one request per connection and direction.

A dispatcher writes `PendingRequestState` and `ServerState`; the endpoint reads the type of an answer from them.
"""

from __future__ import annotations

import threading
import weakref
from typing import Callable, Dict, FrozenSet, List, Optional, Set, Tuple

from ..errors import CallFailed, ConnectionLost
from .queues import RequestBundle, RequestPayload, RequestQueue
from .retries import ConsecutiveFailures, TransactionRetries, is_transaction_related
from .timeouts import Deadline

__all__ = ["Failure", "InFlight", "MayPass", "PendingRequestState", "ServerState", "Turn"]

#: A request and the reason why it ends without an answer.
Failure = Tuple[RequestBundle, CallFailed]

#: Tells which requests are sent while others are held. Called with a lock held: it looks at the request alone.
MayPass = Callable[[RequestBundle], bool]


class PendingRequestState:
    """The pending request of one peer: at most one. Thread-safe. Calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # for changes; a read is one read of an attribute, and needs no lock
        self._pending: Optional[Tuple[str, RequestPayload]] = None  # (message id, request)
        self._late: Optional[Tuple[str, RequestPayload]] = None  # see `await_late`

    def add(self, message_id: str, request: RequestPayload) -> None:
        """Make ``request`` the pending one. Ignored while another one is pending."""
        with self._lock:
            if self._pending is None:
                self._pending = message_id, request
                if self._late is not None and self._late[0] == message_id:
                    self._late = None

    def await_late(self, message_id: str, request: RequestPayload) -> None:
        """Note that ``request`` is to be sent again, with its id. An answer to the earlier copy will end it, too."""
        with self._lock:
            self._late = message_id, request

    def is_late(self, message_id: str) -> bool:
        """Tell whether the request of that id is to be sent again: see `await_late`."""
        late = self._late
        return late is not None and late[0] == message_id

    def get(self, message_id: str) -> Optional[RequestPayload]:
        """Return the request of that id, if it is pending or to be sent again, or ``None``."""
        pending, late = self._pending, self._late
        if pending is not None and pending[0] == message_id:
            return pending[1]
        return late[1] if late is not None and late[0] == message_id else None

    def delete(self, message_id: str) -> None:
        """Forget the request of that id."""
        with self._lock:
            if self._pending is not None and self._pending[0] == message_id:
                self._pending = None
            if self._late is not None and self._late[0] == message_id:
                self._late = None

    def clear(self) -> None:
        """Forget all. An answer will be ignored."""
        with self._lock:
            self._pending = self._late = None

    def _after_fork(self) -> None:
        """Do what `clear` does: see `ocppj.forks`."""
        self._pending = self._late = None

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

    def _after_fork(self) -> None:
        """Do what `clear` does: see `ocppj.forks`."""
        self._clients = {}

    def clear(self) -> None:
        """Forget every client."""
        with self._lock:
            states, self._clients = self._clients, {}
        for state in states.values():
            state.clear()


class Turn:
    """The turn of one thread to send. Only a local variable of the method that sends holds it.

    So it ends with that method at the latest, however the method ends.
    """

    __slots__ = ("__weakref__",)


class InFlight:
    """One peer's queue, its request in flight, and what keeps the next request back.

    It only decides: it sends nothing, starts no timer and calls no callback. A `RequestSender` uses every method with
    its lock held, and acts after it has released the lock. The methods of the queue and the state call nothing.
    """

    __slots__ = ("backing_off", "closed", "deadline", "detaching", "failures", "losses", "may_pass", "paused",
                 "pauses", "pending", "queue", "refusals", "reporting", "retries", "sending", "stalled",
                 "state")  # fmt: skip

    def __init__(
        self,
        queue: RequestQueue,
        state: PendingRequestState,
        retries: Optional[TransactionRetries] = None,
        losses: Optional[ConsecutiveFailures] = None,
        detaching: bool = False,
        refusals: Optional[ConsecutiveFailures] = None,
    ) -> None:
        self.queue: RequestQueue = queue
        self.state: PendingRequestState = state
        self.retries: Optional[TransactionRetries] = retries
        self.pending: Optional[RequestBundle] = None  # in `state`, too: `take`, `requeue` and `close` write both
        self.deadline: Optional[Deadline] = None  # of the pending request
        self.sending: "Optional[weakref.ref[Turn]]" = None  # of the thread that has taken a request and writes it
        self.paused: bool = False
        self.pauses: int = 0  # how many there were; a deadline that was set before the last pause does not count
        self.stalled: bool = False  # a write has failed: nothing is sent for some seconds
        self.backing_off: Optional[RequestBundle] = None  # has failed, and waits to be sent again
        # Of a transaction-related request.
        self.failures: Optional[ConsecutiveFailures] = None if retries is None else ConsecutiveFailures()
        # Connections that the peer closed because of the same request; None: not counted.
        self.refusals: Optional[ConsecutiveFailures] = refusals
        # Connections lost while the pending request waited for its answer; None: not counted.
        self.losses: Optional[ConsecutiveFailures] = losses
        self.reporting: FrozenSet[int] = frozenset()  # idents of the threads that report failed writes
        self.may_pass: Optional[MayPass] = None  # the others are held; None: nothing is
        self.detaching: bool = detaching  # what has ended stays in the file until the program has been told
        self.closed: bool = False

    def take(self, turn: Turn) -> Optional[RequestBundle]:
        """Make the next request pending and return it; from now on it is ``turn`` that sends.

        Return ``None`` if this thread may send none now.
        """
        if self.pending is not None or self.paused or self.stalled or self.closed:
            return None
        if self.sending is not None and self.is_sending():
            return None
        if self.reporting and threading.get_ident() in self.reporting:
            return None
        if self.may_pass is not None:
            bundle = self._find_passing(self.may_pass)
        elif self.backing_off is not None:
            bundle = self.queue.find(self._may_overtake)
        else:
            bundle = self.queue.peek()
        if bundle is not None:
            self.sending = weakref.ref(turn)  # first: `give_up` undoes the rest, if an interrupt comes in between
            self.pending = bundle
            self.state.add(bundle.message_id, bundle.call.payload)
        return bundle

    def is_sending(self) -> bool:
        """Tell whether a thread has taken a request and has not finished writing it."""
        return self.sending is not None and self.sending() is not None

    def give_up(self, turn: Turn) -> None:
        """End ``turn``, which was interrupted. What it has not begun to write waits in the queue again."""
        if self.sending is None or self.sending() is not turn:
            return
        self.sending = None
        if self.pending is not None and self.deadline is None and not self.paused:
            self.requeue(self.pending)  # with a deadline it may have been written

    def _find_passing(self, may_pass: MayPass) -> Optional[RequestBundle]:
        """Return the first request that is not held. Of those about transactions none overtakes another."""
        waiting = False  # a request about a transaction stays behind

        def wanted(bundle: RequestBundle) -> bool:
            nonlocal waiting
            passes = may_pass(bundle) and (self.backing_off is None or self._may_overtake(bundle))
            if not is_transaction_related(bundle.call):
                return passes
            waiting = waiting or not passes
            return not waiting

        return self.queue.find(wanted)

    def held(self) -> List[RequestBundle]:
        """Return the requests that are held, in order."""
        may_pass = self.may_pass
        if may_pass is None:
            return []
        return [bundle for bundle in self.queue.bundles() if bundle is not self.pending and not may_pass(bundle)]

    def _may_overtake(self, bundle: RequestBundle) -> bool:
        return self.retries is None or not self.retries.concerns(bundle.call)

    def in_use(self) -> Set[str]:
        """Return the ids of the requests that no policy may drop: the pending one, and one that backs off."""
        return {each.message_id for each in (self.pending, self.backing_off) if each is not None}

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
        try:
            deadline = self.requeue(bundle)
            if self.losses is not None:
                self.losses.reset()
            if self.refusals is not None and self.refusals.message_id == bundle.message_id:
                self.refusals.reset()
            self._remove(bundle)
        except Exception:
            raise
        except BaseException:  # an interrupt: what is left in the queue would be sent again
            self.requeue(bundle)
            self._remove(bundle)
            raise
        return deadline

    def _remove(self, bundle: RequestBundle) -> None:
        """Take ``bundle``, which has ended, out of the queue. A second time changes nothing."""
        if self.detaching:
            self.queue.detach(bundle.message_id)
        elif not self._pop(bundle):
            self.queue.remove(bundle.message_id)  # it has overtaken the head

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
        self.state.delete(message_id)  # it may be awaited: see `back_off`
        take_out = self.queue.detach if self.detaching else self.queue.remove
        try:
            return take_out(message_id)
        except Exception:
            raise
        except BaseException:  # an interrupt, as in `end`
            take_out(message_id)
            raise

    def back_off(self, bundle: RequestBundle) -> Optional[Deadline]:
        """Have the pending ``bundle`` sent again later. A late answer still ends it. Return the deadline to cancel."""
        deadline = self.requeue(bundle)
        self.backing_off = bundle
        self.state.await_late(bundle.message_id, bundle.call.payload)
        return deadline

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
        self.requeue(bundle)
        self.losses.reset()
        return self._give_up(bundle, f"{losses} connections in a row were lost while its answer was awaited")

    def count_refusal(self, message_id: str, how: str) -> Tuple[Optional[Deadline], Optional[Failure]]:
        """Count that the peer closed the connection because of that request: ``how``.

        At the limit it is given up, as by `count_loss`. A request that has ended does not count. Return the deadline to
        cancel, and what `count_loss` returns.
        """
        bundle = None if self.refusals is None else self.queue.find(lambda each: each.message_id == message_id)
        if bundle is None or self.refusals is None:
            return None, None
        refusals = self.refusals.add(message_id)
        if not self.refusals.limit_reached():
            return None, None
        deadline = self.requeue(bundle) if self.get(message_id) else None
        self.state.delete(message_id)  # it may back off
        self.backing_off = None if self.backing_off is bundle else self.backing_off
        self.refusals.reset()
        words = f"the peer closed {refusals} connections because of it; the last was {how}"
        return deadline, self._give_up(bundle, words)

    def _give_up(self, bundle: RequestBundle, words: str) -> Failure:
        """Have the queue set a request aside that is not pending. Return it, and why."""
        if self.queue.set_aside(bundle.message_id, words) is None:
            self._pop(bundle)  # a queue of the program's own may be able to remove its head alone
        return bundle, ConnectionLost(words, bundle.message_id)

    def close(self) -> List[RequestBundle]:
        """Take no more requests. Return those that were discarded."""
        self.closed = True
        self.pending = self.backing_off = None
        self.state.clear()
        return self.queue.discard()
