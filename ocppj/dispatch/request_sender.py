"""One unanswered CALL per connection and direction (OCPP-J 1.6 section 4.1.1; OCPP 2.x Part 4 section 4.1.1).

Theory of operation. Each peer has a `Lane`: a queue whose head is the pending request, if there is one. A request
leaves the lane in one of four ways: it is completed (its answer came), canceled, timed out, or could not be written.
Whoever makes the next one ready writes it, on its own thread: the sender when nothing is pending, else whoever ended
the request before. No request waits for a thread to wake up.

What to do is decided under the lane's lock, and done after it is released: writes, callbacks and timers are never
touched with the lock held. The decisions are methods of `Turn`; the queue and the pending state are plain
tables whose methods call nothing. To take the head for sending and to release it are the two decisions everything is
made of; since a request can be released only by one thread, each ends once.

A request that failed may be kept instead, as the head of the queue, to be sent again with its id:

* one whose answer was awaited when the connection was lost, with ``resend``: when the connection is back. (Without it
  the answer is awaited anew: the peer may have the request, and answer on the new connection.);
* one that could not be written, in a durable queue or with ``resend``: when the connection is back, or a little later;
* one that the peer failed to process, where `TransactionRetries` say so: after a while. It is *held* meanwhile: what
  is not transaction-related overtakes it, the rest waits behind it.

None of this goes on for ever. The connections that are lost in a row while the same request waits for its answer are
counted; one that was being written counts if the write succeeds. At the limit (`Streak`) the request is given up, and a
durable queue sets it aside: what makes a peer crash is not sent to it without end. An answer or a timeout begins the
count anew.

One thread at a time writes. A request may be answered, canceled or timed out while it still is being written; the
next is then sent by the thread that is writing, when it is done. So frames reach the wire in the order of the queue,
and a network that answers within ``send`` does not make calls pile up on the stack. A write does not wait for a peer
that does not read: it may be made by the timer's thread, which all other requests need.

A callback that is told of a failed write may queue the request again, and fail again at once, if the connection is
broken and nobody has taken note of it yet. So what a thread queues while it tells of failed writes only waits; it is
sent when all are told: not deeper on the stack, but in another round. After some rounds in a row the lane stalls for
some seconds, so that this holds no thread for ever: by then the lane is closed or paused, or the round is tried anew.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, ContextManager, List, Optional

from ..errors import CallFailed, CallTimeout, ConnectionLost, ErrorCode, NotRunning
from ..settings import get_logger
from .inflight import Failure, Turn
from .pending import PendingRequestState
from .queues import RequestBundle, RequestQueue
from .retries import Streak, TransactionRetries
from .timeouts import Timeouts

__all__ = ["Lane"]


# Seconds after which a request that could not be written, and is kept, is tried again, if the connection is not lost.
_STALL = 5.0
# Rounds of failed writes, told of and queued again, after which the same wait begins.
_ROUNDS = 10

#: Says why a request cannot go over the present connection, if so.
Check = Callable[[RequestBundle], Optional[CallFailed]]


class Lane:
    """One peer's requests: a queue, and at most one of them pending."""

    __slots__ = (
        "_canceled",
        "_check",
        "_lock",
        "_queue",
        "_resend",
        "_timeout",
        "_timeouts",
        "_turn",
        "_write",
    )

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
        losses: Optional[Streak] = None,
        lock: Optional[ContextManager[object]] = None,
    ) -> None:
        self._timeouts = timeouts
        self._timeout = timeout
        self._write = write
        self._canceled = canceled
        self._check = check
        self._resend = resend
        self._queue = queue
        self._lock = lock or threading.Lock()  # guards the turn: the queue, the state, and what is known of them
        self._turn = Turn(queue, state, retries, losses)
        self._turn.paused = paused

    def push(self, bundle: RequestBundle) -> None:
        """Queue ``bundle``, and send it if nothing is pending. Raises `NotRunning`, `QueueFull`."""
        closed = self._turn.closed  # which is looked at again
        if not closed:
            self._queue.push(bundle)  # without the lock: a durable queue waits for the disk
            with self._lock:
                closed, taken = self._turn.closed, self._turn.take()
            if taken is not None:
                self._send_on(taken)
            if not closed or self._queue.remove(bundle.message_id) is None:
                return  # or it was closed just now, and the request discarded with the others
        raise NotRunning("no requests are taken any more")

    def send_next(self) -> None:
        """Send the head of the queue, unless one is pending."""
        with self._lock:
            bundle = self._turn.take()
        if bundle is not None:
            self._send_on(bundle)

    def complete(self, message_id: str) -> bool:
        """Release the pending request, because its answer came, and send the next; return whether it was pending."""
        with self._lock:
            pending = self._turn.pending
            if pending is not None and pending.message_id == message_id:
                deadline, following = self._turn.end(pending), self._turn.take()
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
        with self._lock:
            bundle, deadline = self._turn.pending, None
            if bundle is not None and self._turn.is_pending(message_id):
                deadline = self._turn.end(bundle)
            else:
                bundle = self._turn.withdraw(message_id)
        if bundle is None:
            return False
        if deadline is not None:
            deadline.cancel()
        self._cancel(bundle, error)
        self.send_next()
        return True

    def pause(self) -> None:
        """Send nothing, and let nothing time out, until `resume`: the connection is lost.

        The pending request is given up if that happened to it too often.
        """
        turn = self._turn
        with self._lock:
            lost = not turn.paused and not turn.sending  # one that is being written: see `_send`
            turn.paused = True
            turn.pauses += 1
            deadline = turn.disarm()
            given_up = turn.lose() if lost else None
        if deadline is not None:
            deadline.cancel()
        if given_up is not None:
            bundle, error = given_up
            # Set aside, it waits for somebody to look at it; given up, its sender has been told.
            log = get_logger()
            tell, fate = (log.error, "set aside") if self._queue.durable else (log.warning, "given up")
            tell("request %r (%s) is %s: %s", bundle.message_id, bundle.call.action, fate, error)
            self._cancel(bundle, error)

    def resume(self) -> None:
        """Await the pending request's answer anew, or send it again, or send the next request."""
        with self._lock:
            pending, deadline, pauses = self._turn.pending, None, self._turn.pauses
            if pending is not None and self._turn.paused and self._resend:
                deadline = self._turn.unsend(pending)
                pending = None
            self._turn.paused = self._turn.stalled = False
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
            return self._turn.paused

    def close(self) -> List[RequestBundle]:
        """Refuse new requests, and return those that were discarded. A durable queue keeps what it has."""
        with self._lock:
            deadline = self._turn.disarm()
            discarded = self._turn.close()
        if deadline is not None:
            deadline.cancel()
        return discarded

    def cancel_all(self, error: Callable[[str], CallFailed]) -> None:
        """Refuse new requests, and cancel those there are with ``error(message id)``."""
        for bundle in self.close():
            self._cancel(bundle, error(bundle.message_id))

    def _send_on(self, bundle: RequestBundle) -> None:
        """Send the request that was taken, and what is next by then; one that cannot be written gives way to the next.

        Without the lock.
        """
        failed: List[Failure] = []
        rounds = 0
        following: Optional[RequestBundle] = bundle
        while following is not None:
            bundle = following
            try:
                failure = self._send(bundle)
                if failure is not None and self._release(bundle.message_id) is not None:
                    failed.append((bundle, failure))
            except BaseException:
                self._break_off(bundle)
                self._tell(failed)
                raise
            with self._lock:
                self._turn.sending = False
                following = self._turn.take() if self._turn.pending is None else None
            if failed and following is None:  # only now: a callback that queues a request again finds the lane free
                rounds += 1
                following = self._tell_and_take(failed, rounds)
                failed = []

    def _break_off(self, bundle: RequestBundle) -> None:
        """Take note that an exception such as KeyboardInterrupt came while ``bundle`` was being sent."""
        with self._lock:
            self._turn.sending = False
            if self._turn.pending is bundle and self._turn.deadline is None and not self._turn.paused:
                self._turn.unsend(bundle)  # not written yet; else it may have been, and its answer is awaited
        self._timeouts.add(_STALL, self.send_next)  # for what waits: nobody else may come

    def _tell(self, failed: List[Failure]) -> None:
        """Tell of requests that could not be written. What the callbacks queue waits meanwhile: `Turn.take`."""
        if not failed:
            return
        me = {threading.get_ident()}
        rescue = self._timeouts.add(_STALL, self.send_next)  # should a callback wait for what it queued
        with self._lock:
            self._turn.telling |= me
        try:
            for bundle, failure in failed:
                self._cancel(bundle, failure)
        finally:
            with self._lock:
                self._turn.telling -= me
            rescue.cancel()

    def _tell_and_take(self, failed: List[Failure], rounds: int) -> Optional[RequestBundle]:
        """`_tell`, and take what is next by then; after some ``rounds`` of this, only in some seconds."""
        pauses = self._turn.pauses
        self._tell(failed)
        with self._lock:
            if rounds % _ROUNDS or self._queue.peek() is None:
                return self._turn.take()
        self._stall(pauses)
        with self._lock:
            return self._turn.take()

    def _send(self, bundle: RequestBundle) -> Optional[CallFailed]:
        """Write the request that was taken, if it is wanted still; return why it is to be canceled, if it is."""
        pauses = self._turn.pauses
        try:
            unfit = self._check(bundle) if self._check is not None else None
            if unfit is None and self._arm(bundle, pauses):
                self._write(bundle.data)
                losses = self._turn.losses
                if losses is not None and pauses != self._turn.pauses:
                    with self._lock:
                        losses.add(bundle.message_id)  # of the connection it was written on
            return unfit
        except Exception as error:
            if self._queue.durable or self._resend:
                get_logger().warning("request %r could not be written, and is kept: %s", bundle.message_id, error)
                self._stall(pauses, bundle)
                return None
            get_logger().warning("request %r could not be written: %s", bundle.message_id, error)
            words = f"the request could not be written: {error}"
            failure = ConnectionLost(words, bundle.message_id, ErrorCode.INTERNAL_ERROR)
            failure.__cause__ = error
            return failure

    def _stall(self, pauses: int, bundle: Optional[RequestBundle] = None) -> None:
        """Send nothing for some seconds, and put ``bundle``, if it could not be written, back.

        Unless the lane was paused since ``pauses`` were counted: if it is no more, the connection is back already.
        """
        deadline = None
        with self._lock:
            self._turn.stalled = self._turn.paused or pauses == self._turn.pauses
            if bundle is not None and self._turn.pending is bundle:
                deadline = self._turn.unsend(bundle)
        if deadline is not None:
            deadline.cancel()
        self._timeouts.add(_STALL, self._end_stall)

    def _end_stall(self) -> None:
        with self._lock:
            self._turn.stalled = False
        self.send_next()

    def _hold(self, message_id: str, reason: object, pauses: Optional[int] = None) -> bool:
        """Have the pending request of that id sent again later, if it may be; return whether it will.

        ``pauses`` is as in `_release`.
        """
        turn = self._turn
        with self._lock:
            bundle = turn.may_fail(message_id, pauses)
            if bundle is None or turn.retries is None or turn.failures is None:
                return False
            if turn.losses is not None:
                turn.losses.clear()  # the link held for so long
            failures = turn.failures.add(message_id)
            wait = turn.retries.wait(failures)
            if wait is not None:
                deadline = turn.unsend(bundle)
                turn.held = bundle
        if wait is None:
            words = "request %r (%s) failed %d times, and is given up: %s"
            get_logger().error(words, message_id, bundle.call.action, failures, reason)
            return False
        if deadline is not None:
            deadline.cancel()
        words = "request %r (%s) failed, and is sent again in %g seconds: %s"
        get_logger().warning(words, message_id, bundle.call.action, wait, reason)
        self._timeouts.add(wait, partial(self._end_hold, bundle))
        return True

    def _end_hold(self, bundle: RequestBundle) -> None:
        with self._lock:
            if self._turn.held is bundle:
                self._turn.held = None
        self.send_next()

    def _release(self, message_id: str, pauses: Optional[int] = None) -> Optional[RequestBundle]:
        """Make the pending request of that id pending no more and return it, or ``None`` when it is another.

        With ``pauses``, only while the lane is not paused, and has not been since that number was read.
        """
        with self._lock:
            bundle = self._turn.pending
            if bundle is None or not self._turn.is_pending(message_id, pauses):
                return None
            deadline = self._turn.end(bundle)
        if deadline is not None:
            deadline.cancel()
        return bundle

    def _arm(self, bundle: RequestBundle, pauses: int, sent: bool = False) -> bool:
        """Set a deadline for ``bundle``, and tell whether it is wanted still; see `Turn.arm`."""
        deadline = self._timeouts.add(self._timeout(), partial(self._timed_out, bundle, pauses))
        with self._lock:
            wanted, unwanted = self._turn.arm(bundle, deadline, pauses, sent)
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
