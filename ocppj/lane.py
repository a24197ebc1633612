"""One unanswered CALL per connection and direction (OCPP-J 1.6 section 4.1.1; OCPP 2.x Part 4 section 4.1.1).

Theory of operation. Each peer has a `Lane`: a queue whose head is the pending request, if there is one. A request
leaves the lane in one of four ways: it is completed (its answer came), canceled, timed out, or could not be written.
Whoever makes the next one ready writes it, on its own thread: the sender when nothing is pending, else whoever ended
the request before. No request waits for a thread to wake up.

What to do is decided under the lane's lock, and done after it is released: writes, callbacks and timers are never
touched with the lock held. The lane's queue and pending state are plain tables whose methods call nothing; they are
read and changed under the lock. To take the head for sending and to release it are the two decisions everything is
made of; since a request can be released only by one thread, each ends once.

A request that failed may be kept instead, as the head of the queue, to be sent again with its id:

* one whose answer was awaited when the connection was lost, with ``resend``: when the connection is back. (Without it
  the answer is awaited anew: the peer may have the request, and answer on the new connection.);
* one that could not be written, in a durable queue: when the connection is back, or a little later;
* one that the peer failed to process, where `TransactionRetries` say so: after a while. It is *held* meanwhile: what
  is not transaction-related overtakes it, the rest waits behind it.

One thread at a time writes. A request may be answered, canceled or timed out while it still is being written; the
next is then sent by the thread that is writing, when it is done. So frames reach the wire in the order of the queue,
and a network that answers within ``send`` does not make calls pile up on the stack. A write does not wait for a peer
that does not read: it may be made by the timer's thread, which all other requests need.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, List, Optional, Tuple

from .errors import CallFailed, CallTimeout, ConnectionLost, ErrorCode, NotRunning
from .queues import RequestBundle, RequestQueue
from .retries import TransactionRetries
from .settings import get_logger
from .state import PendingRequestState
from .timeouts import Deadline, Timeouts

__all__ = ["Lane"]


# Seconds after which a durable request that could not be written is tried again, if the connection is not lost first.
_STALL = 5.0

#: Says why a request cannot go over the present connection, if so.
Check = Callable[[RequestBundle], Optional[CallFailed]]


class Lane:
    """One peer's requests: a queue, and at most one of them pending."""

    def __init__(
        self,
        queue: RequestQueue,
        state: PendingRequestState,
        timeouts: Timeouts,
        timeout: Callable[[], float],
        write: Callable[[str], None],
        canceled: Callable[[str, Any, CallFailed], None],
        *,
        check: Optional[Check] = None,
        retries: Optional[TransactionRetries] = None,
        resend: bool = False,
        paused: bool = False,
    ) -> None:
        self._queue = queue
        self._state = state
        self._timeouts = timeouts
        self._timeout = timeout
        self._write = write
        self._canceled = canceled
        self._check = check
        self._retries = retries
        self._resend = resend
        self._lock = threading.Lock()  # guards what is below, the queue and the state
        self._pending: Optional[RequestBundle] = None
        self._deadline: Optional[Deadline] = None
        self._sending = False  # a thread is between taking a request and having written it
        self._paused = paused
        self._pauses = 0  # a deadline armed before the last pause means nothing any more
        self._stalled = False  # a durable request could not be written; see _STALL
        self._held: Optional[RequestBundle] = None  # failed, and waits to be sent again
        self._failures: Tuple[str, int] = ("", 0)  # of the transaction-related request of that id
        self._closed = False

    def push(self, bundle: RequestBundle) -> None:
        """Queue ``bundle``, and send it if nothing is pending. Raises `NotRunning`, `QueueFull`."""
        closed = self._closed  # which is looked at again
        if not closed:
            self._queue.push(bundle)  # without the lock: a durable queue waits for the disk
            with self._lock:
                closed, taken = self._closed, self._take()
            if taken is not None:
                self._send_on(taken)
            if not closed or self._queue.remove(bundle.message_id) is None:
                return  # or it was closed just now, and the request discarded with the others
        raise NotRunning("no requests are taken any more")

    def send_next(self) -> None:
        """Send the head of the queue, unless one is pending."""
        with self._lock:
            bundle = self._take()
        if bundle is not None:
            self._send_on(bundle)

    def complete(self, message_id: str) -> bool:
        """Release the pending request, because its answer came, and send the next; return whether it was pending."""
        with self._lock:
            pending = self._pending
            if pending is not None and pending.message_id == message_id:
                deadline, following = self._end(pending), self._take()
            else:
                pending = None
        if pending is None:
            get_logger().warning("request %r is completed but not pending", message_id)
            return False
        if deadline is not None:
            deadline.cancel()
        if following is not None:
            self._send_on(following)
        return True

    def retry(self, message_id: str, error: object) -> bool:
        """Hold the pending request, which the peer failed to process, to send it again; return whether it may be."""
        again = self._hold(message_id, error)
        if again:
            self.send_next()
        return again

    def cancel(self, message_id: str, error: CallFailed) -> bool:
        """Release the request of that id, sent or not, and go on; return whether there was one."""
        bundle = self._release(message_id)
        if bundle is None:
            with self._lock:
                # The head may have become pending meanwhile: what is sent is not taken out of the queue here.
                sent = self._pending is not None and self._pending.message_id == message_id
                bundle = None if sent else self._queue.remove(message_id)
                if self._held is not None and self._held.message_id == message_id:
                    self._held = None
            if sent:
                return self.cancel(message_id, error)
            if bundle is None:
                return False
        self._cancel(bundle, error)
        self.send_next()
        return True

    def pause(self) -> None:
        """Send nothing, and let nothing time out, until `resume`."""
        with self._lock:
            self._paused = True
            self._pauses += 1
            deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def resume(self) -> None:
        """Await the pending request's answer anew, or send it again, or send the next request."""
        with self._lock:
            pending, deadline, pauses = self._pending, None, self._pauses
            if pending is not None and self._paused and self._resend:
                deadline = self._unsend(pending)
                pending = None
            self._paused = self._stalled = False
        if deadline is not None:
            deadline.cancel()
        if pending is None:
            self.send_next()
            return
        unfit = self._check(pending) if self._check is not None else None
        if unfit is None:
            self._arm(pending, pauses, sent=True)
        else:
            self.cancel(pending.message_id, unfit)

    def is_paused(self) -> bool:
        """Tell whether requests are queued only."""
        with self._lock:
            return self._paused

    def close(self) -> List[RequestBundle]:
        """Refuse new requests, and return those that were discarded. A durable queue keeps what it has."""
        with self._lock:
            self._closed = True
            self._pending = self._held = None
            deadline, self._deadline = self._deadline, None
            self._state.clear()
            discarded = self._queue.discard()
        if deadline is not None:
            deadline.cancel()
        return discarded

    def cancel_all(self, error: Callable[[str], CallFailed]) -> None:
        """Refuse new requests, and cancel those there are with ``error(message id)``."""
        for bundle in self.close():
            self._cancel(bundle, error(bundle.message_id))

    def _take(self) -> Optional[RequestBundle]:
        """Make the next request pending and return it, for `_send_on`; ``None`` if none may be sent now. Lock held."""
        if self._pending is not None or self._sending or self._paused or self._stalled or self._closed:
            return None
        bundle = self._queue.peek() if self._held is None else self._queue.find(self._may_overtake)
        if bundle is not None:
            self._pending = bundle
            self._sending = True
            self._state.add(bundle.message_id, bundle.call.payload)
        return bundle

    def _may_overtake(self, bundle: RequestBundle) -> bool:
        return self._retries is None or not self._retries.concerns(bundle.call)

    def _send_on(self, bundle: RequestBundle) -> None:
        """Send the request that was taken, and what is next by then; one that cannot be written gives way to the next.

        Without the lock.
        """
        failed: List[Tuple[RequestBundle, CallFailed]] = []
        following: Optional[RequestBundle] = bundle
        while following is not None:
            bundle = following
            try:
                failure = self._send(bundle)
                if failure is not None and self._release(bundle.message_id) is not None:
                    failed.append((bundle, failure))
            except BaseException:
                with self._lock:
                    self._sending = False
                raise
            with self._lock:
                self._sending = False
                following = self._take() if self._pending is None else None
        # Only now: a callback that queues a request again finds the lane free, and not itself on the stack.
        for bundle, failure in failed:
            self._cancel(bundle, failure)

    def _send(self, bundle: RequestBundle) -> Optional[CallFailed]:
        """Write the request that was taken, if it is wanted still; return why it is to be canceled, if it is."""
        pauses = self._pauses
        try:
            unfit = self._check(bundle) if self._check is not None else None
            if unfit is None and self._arm(bundle, pauses):
                self._write(bundle.data)
            return unfit
        except Exception as error:
            if self._queue.durable:
                get_logger().warning("request %r could not be written, and is kept: %s", bundle.message_id, error)
                self._stall(bundle, pauses)
                return None
            get_logger().warning("request %r could not be written: %s", bundle.message_id, error)
            words = f"the request could not be written: {error}"
            failure = ConnectionLost(words, bundle.message_id, ErrorCode.INTERNAL_ERROR)
            failure.__cause__ = error
            return failure

    def _unsend(self, bundle: RequestBundle) -> Optional[Deadline]:
        """Make ``bundle``, which is pending, wait in the queue again; return the deadline to cancel. Lock held."""
        self._pending = None
        self._state.delete(bundle.message_id)
        deadline, self._deadline = self._deadline, None
        return deadline

    def _stall(self, bundle: RequestBundle, pauses: int) -> None:
        """Put a request that could not be written back, and send nothing for some seconds.

        Unless the lane was paused since ``pauses`` were counted: if it is no more, the connection is back already.
        """
        deadline = None
        with self._lock:
            self._stalled = self._paused or pauses == self._pauses
            if self._pending is bundle:
                deadline = self._unsend(bundle)
        if deadline is not None:
            deadline.cancel()
        self._timeouts.add(_STALL, self._end_stall)

    def _end_stall(self) -> None:
        with self._lock:
            self._stalled = False
        self.send_next()

    def _hold(self, message_id: str, reason: object, pauses: Optional[int] = None) -> bool:
        """Have the pending request of that id sent again later, if it may be; return whether it will.

        ``pauses`` is as in `_release`.
        """
        with self._lock:
            bundle = self._pending
            if bundle is None or self._retries is None or not self._is_pending(message_id, pauses):
                return False
            if not self._retries.concerns(bundle.call):
                return False
            failures = self._failures[1] + 1 if self._failures[0] == message_id else 1
            wait = self._retries.wait(failures)
            self._failures = (message_id, failures)
            if wait is not None:
                deadline = self._unsend(bundle)
                self._held = bundle
        if wait is None:
            get_logger().error("request %r failed %d times, and is given up: %s", message_id, failures, reason)
            return False
        if deadline is not None:
            deadline.cancel()
        get_logger().warning("request %r failed, and is sent again in %g seconds: %s", message_id, wait, reason)
        self._timeouts.add(wait, partial(self._end_hold, bundle))
        return True

    def _end_hold(self, bundle: RequestBundle) -> None:
        with self._lock:
            if self._held is bundle:
                self._held = None
        self.send_next()

    def _is_pending(self, message_id: str, pauses: Optional[int]) -> bool:
        """Tell whether the request of that id is pending, and not paused since ``pauses`` were counted. Lock held."""
        if self._pending is None or self._pending.message_id != message_id:
            return False
        return pauses is None or not (self._paused or pauses != self._pauses)

    def _release(self, message_id: str, pauses: Optional[int] = None) -> Optional[RequestBundle]:
        """Make the pending request of that id pending no more and return it, or ``None`` when it is another.

        With ``pauses``, only while the lane is not paused, and has not been since that number was read.
        """
        with self._lock:
            bundle = self._pending
            if bundle is None or not self._is_pending(message_id, pauses):
                return None
            deadline = self._end(bundle)
        if deadline is not None:
            deadline.cancel()
        return bundle

    def _end(self, bundle: RequestBundle) -> Optional[Deadline]:
        """Take ``bundle``, which is pending, out of the queue; return the deadline to cancel. Lock held."""
        deadline = self._unsend(bundle)
        head = self._queue.peek()
        if head is not None and head.message_id == bundle.message_id:
            self._queue.pop()
        else:
            self._queue.remove(bundle.message_id)  # it overtook the head
        return deadline

    def _arm(self, bundle: RequestBundle, pauses: int, sent: bool = False) -> bool:
        """Set a deadline for ``bundle``, and tell whether it is wanted still.

        ``pauses`` are those counted when it was decided to wait for its answer. A pause puts it back, to be sent after
        it, unless it was ``sent``.
        """
        deadline = self._timeouts.add(self._timeout(), partial(self._timed_out, bundle, pauses))
        with self._lock:
            wanted = self._pending is bundle
            unwanted: Optional[Deadline] = deadline
            if wanted and self._paused:
                wanted = sent
                if not sent:
                    self._unsend(bundle)
            elif wanted and self._pauses == pauses:
                unwanted, self._deadline = self._deadline, deadline
        if unwanted is not None:
            unwanted.cancel()
        return wanted

    def _timed_out(self, bundle: RequestBundle, pauses: int) -> None:
        error = CallTimeout("Request timed out", bundle.message_id)
        if self._hold(bundle.message_id, error, pauses):
            self.send_next()
        elif self._release(bundle.message_id, pauses) is not None:
            self._cancel(bundle, error)
            self.send_next()

    def _cancel(self, bundle: RequestBundle, error: CallFailed) -> None:
        try:
            self._canceled(bundle.message_id, bundle.call.payload, error)
        except BaseException:
            get_logger().exception("a canceled-request callback failed")
