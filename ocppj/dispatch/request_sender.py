"""One unanswered CALL per connection and direction (OCPP-J 1.6 section 4.1.1; OCPP 2.x Part 4 section 4.1.1).

Theory of operation. At most one request of a `RequestSender` is pending: the head of its queue, or one that has
overtaken a head that waits to be sent again. The thread that makes the next request ready writes it: the thread that
sends, when nothing is pending; else the thread that ended the request before. No request waits for a thread to wake up.

Decide under the lock, act outside it. The decisions are methods of `InFlight`. Writes, callbacks and timers come after
the lock is released. Only one thread can end the pending request, so each request ends once.

A request stays in the queue, to be sent again with its id, if the connection was lost while its answer was awaited
(with ``resend``), if it could not be written (with ``resend``, or in a durable queue), or if the peer failed to process
it and `TransactionRetries` allow another attempt: then it *backs off*, and other requests may overtake it.

One thread at a time writes. A request may end while it is being written; the writing thread then sends the next one. So
frames reach the wire in the order of the queue, and a network that answers within ``send`` does not make calls pile up
on the stack.

A signal handler may raise between any two bytecodes of the main thread. So only `send_next` takes requests, and has
made its `Turn` before: whatever it has taken when it is interrupted, `InFlight.give_up` puts back. Whatever ends a
request calls `send_next` in a ``finally``. If `give_up` is interrupted, too, the turn ends with the exception.

`RequestSender.hold` keeps requests back and lets some pass, such as a BootNotification as long as none was accepted.
What is held loses neither its place nor an attempt.

A callback for a failed write may queue the request again. On a broken connection that would fail again at once. So what
such a callback queues is not sent inside it: `send_next` sends it afterwards, without recursion. After some rounds in a
row the sender stalls for some seconds, so that no thread is held for ever.
"""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import Callable, ContextManager, Dict, List, Optional

from ..callables import raise_interrupt
from ..errors import CallFailed, CallTimeout, ConnectionLost, ErrorCode, NotRunning, QueueFull
from ..log_limit import SafeLog, safe_log
from .interfaces import ClientCanceled
from .overflow import choose_victim, log_drop
from .pending import Failure, InFlight, MayPass, PendingRequestState, Turn
from .queues import RequestBundle, RequestQueue
from .retries import ConsecutiveFailures, TransactionRetries
from .timeouts import RequestTimeout, Timeouts

__all__ = ["RequestSender"]


# Seconds without sending after a failed write. A new connection ends them early.
_STALL = 5.0
# Rounds of failed writes that are reported and queued again, after which the sender stalls.
_ROUNDS = 10
# Seconds until the timer sends what a thread that was interrupted has left.
_SOON = 0.05

#: Returns why a request cannot go over the present connection, or ``None``.
Check = Callable[[RequestBundle], Optional[CallFailed]]


class RequestSender:
    """Sends the requests of one queue to one peer, one at a time. Every method may be called from any thread."""

    __slots__ = ("_canceled", "_check", "_client_id", "_inflight", "_lock", "_log", "_queue", "_resend", "_timeout",
                 "_timeouts", "_write")  # fmt: skip

    def __init__(
        self,
        queue: RequestQueue,
        state: PendingRequestState,
        timeouts: Timeouts,
        timeout: RequestTimeout,
        write: Callable[[str], None],
        canceled: ClientCanceled,
        *,
        check: Optional[Check] = None,
        retries: Optional[TransactionRetries] = None,
        resend: bool = False,
        paused: bool = False,
        may_pass: Optional[MayPass] = None,
        losses: Optional[ConsecutiveFailures] = None,
        detaching: bool = False,
        refusals: Optional[ConsecutiveFailures] = None,
        lock: Optional[ContextManager[object]] = None,
        log: SafeLog = safe_log,
        client_id: Optional[str] = None,
    ) -> None:
        self._log = log
        self._client_id = client_id
        self._timeouts = timeouts
        self._timeout = timeout
        self._write = write
        self._canceled = canceled
        self._check = check
        self._resend = resend
        self._queue = queue
        self._lock = lock or threading.Lock()  # guards `_inflight`, with the queue and the state in it
        self._inflight = InFlight(queue, state, retries, losses, detaching, refusals)
        self._inflight.paused = paused
        self._inflight.may_pass = may_pass

    def push(self, bundle: RequestBundle, queued: bool = False) -> None:
        """Queue ``bundle``, unless it is ``queued`` already, and send it if nothing is pending.

        Raises `NotRunning`, `QueueFull`, and what the queue raises.
        """
        inflight, dropped = self._inflight, None
        if not inflight.closed or queued:
            if not queued:
                try:
                    self._queue.push(bundle)  # without the lock: a durable queue waits for the disk
                except QueueFull as full:
                    dropped = self._push_to_full(bundle, full)
            # These two are read after the push. A thread that changes them after that finds the request in the queue.
            closed, may_pass = inflight.closed, inflight.may_pass
            if may_pass is None or may_pass(bundle):
                self.send_next()
            # else it is held, and makes no other ready: to look for one would look at all that wait
            if dropped is not None:
                self._report([(dropped, log_drop(dropped, bundle, self._log, self._client_id))])
                self.send_next()  # what the callback queued
            if not closed or self._queue.remove(bundle.message_id) is None:
                return  # if it was closed just now, `close` has discarded the request with the others
        raise NotRunning("the dispatcher is not running")

    def _push_to_full(self, bundle: RequestBundle, full: QueueFull) -> Optional[RequestBundle]:
        """Queue ``bundle`` if it goes past those that are held, or in place of a request that the policy chooses.

        Return the request that was dropped for it, if there is one. Raise ``full`` if it finds no room.
        """
        may_pass = self._inflight.may_pass
        held = 0 if may_pass is None or not may_pass(bundle) else self.count_held()
        if held:
            with contextlib.suppress(QueueFull):
                self._queue.push_past(bundle, held)
                return None
        if self._queue.overflow is None or threading.get_ident() in self._inflight.reporting:
            raise full  # what a callback for a dropped request queues must not have the next one dropped, and so on
        while True:
            victim = choose_victim(self._queue, self._inflight.in_use(), bundle, self._log)
            if victim is None:
                raise full
            with self._lock:
                free = victim.message_id not in self._inflight.in_use()
                displaced = self._queue.displace(victim.message_id) if free else None
            if displaced is not None:
                if not self._queue.push_in_place(bundle, displaced):
                    return None
                return displaced
            try:
                self._queue.push(bundle)  # the victim is being sent, or has ended: there may be room now
                return None
            except QueueFull:
                continue  # others were quicker, or the victim is still in the queue

    def has(self, message_id: str) -> bool:
        """Tell whether a request of that id is in the queue, pending or not."""
        return self._queue.has(message_id)

    def send_next(self) -> None:
        """Send the next request of the queue, and what can be sent after it, unless one is pending."""
        turn = Turn()
        failed: List[Failure] = []
        rounds = 0
        try:
            with self._lock:
                bundle = self._inflight.take(turn)
            while True:
                if bundle is None:
                    return
                failure = self._send(bundle)
                if failure is not None and self._end(bundle.message_id) is not None:
                    failed.append((bundle, failure))
                with self._lock:
                    self._inflight.sending = None
                    bundle = self._inflight.take(turn) if self._inflight.pending is None else None
                if failed and bundle is None:  # not before: another thread can send what a callback queues again
                    rounds += 1
                    failures, failed = failed, []
                    bundle = self._report_and_take(failures, rounds, turn)
        except BaseException:  # such as KeyboardInterrupt
            with self._lock:
                self._inflight.give_up(turn)
            self._timeouts.add(_SOON, self.send_next)  # no other thread may come to send what waits
            self._report(failed)
            raise

    def complete(self, message_id: str) -> bool:
        """End the pending request, because its answer came, and send the next. Return whether it was pending."""
        inflight, pending, deadline = self._inflight, None, None
        try:
            with self._lock:
                if inflight.pending is not None and inflight.pending.message_id == message_id:
                    pending = inflight.pending
                    deadline = inflight.end(pending)
                elif inflight.state.is_late(message_id):  # it backs off: its earlier copy is answered
                    pending = inflight.withdraw(message_id)
            if deadline is not None:
                deadline.cancel()
        finally:
            if pending is not None:
                self.send_next()
        if pending is None:
            about = {"client_id": self._client_id, "message_id": message_id}
            self._log.warning("request %r is completed but not pending", message_id, **about)
        return pending is not None

    def retry(self, message_id: str, error: object) -> bool:
        """Back off with the pending request, which the peer failed to process. Return whether it will be sent again."""
        with self._lock:
            late = self._inflight.state.is_late(message_id)
        if late:
            words = "request %r is to be sent again; an error that answers its earlier copy changes nothing: %s"
            self._log.info(words, message_id, error, client_id=self._client_id, message_id=message_id)
            return True
        again = self._back_off(message_id, error)
        if again:
            self.send_next()
        return again

    def cancel(self, message_id: str, error: CallFailed) -> bool:
        """End the request of that id, sent or not, and go on. Return whether there was one."""
        bundle = deadline = None
        try:
            with self._lock:
                bundle = self._inflight.get(message_id)
                if bundle is not None:
                    deadline = self._inflight.end(bundle)
                else:
                    bundle = self._inflight.withdraw(message_id)
            if bundle is None:
                return False
            if deadline is not None:
                deadline.cancel()
            self._report_canceled(bundle, error)
        finally:
            if bundle is not None:
                self.send_next()
        return True

    def hold(self, may_pass: MayPass, keep: Optional[str] = None) -> bool:
        """Send only requests for which ``may_pass(request)`` is true, past all others, until `release`.

        The pending request goes on. With ``keep``, the id of the pending request, which was refused, that one waits in
        its place again, and nothing is held if this cannot be: it has ended, or may pass. Return whether requests are
        held now. ``may_pass`` is called with a lock held, and looks at the request alone.
        """
        inflight, deadline = self._inflight, None
        with self._lock:
            bundle = None if keep is None else inflight.get(keep)
            if keep is not None and (bundle is None or may_pass(bundle)):
                return False
            inflight.may_pass = may_pass
            if bundle is not None:
                deadline = inflight.requeue(bundle)
                if inflight.losses is not None:
                    inflight.losses.reset()  # the connection held until now
        if deadline is not None:
            deadline.cancel()
        self.send_next()  # another request may pass
        return True

    def release(self) -> None:
        """Hold nothing any more, and send the next request."""
        with self._lock:
            self._inflight.may_pass = None
        self.send_next()

    def count_held(self) -> int:
        """Return how many requests are held. Takes time in proportion to the queue."""
        with self._lock:
            return len(self._inflight.held())

    def pause(self) -> None:
        """Send nothing, and let nothing time out, until `resume`: the connection is lost. See `InFlight.count_loss`."""
        inflight = self._inflight
        with self._lock:
            lost = not inflight.paused and not inflight.is_sending()  # if it is being written, `_send` counts the loss
            inflight.paused = True
            inflight.pauses += 1
            deadline = inflight.disarm()
            given_up = inflight.count_loss() if lost else None
        if deadline is not None:
            deadline.cancel()
        if given_up is not None:
            self._report_given_up(*given_up)

    def refused(self, message_id: str, how: str) -> None:
        """Count that the peer closed the connection because of that request; see `InFlight.count_refusal`."""
        with self._lock:
            deadline, given_up = self._inflight.count_refusal(message_id, how)
        if deadline is not None:
            deadline.cancel()
        if given_up is not None:
            self._report_given_up(*given_up)
            self.send_next()

    def _about(self, bundle: RequestBundle) -> Dict[str, Optional[str]]:
        """Return what a log record tells of ``bundle``: see `SafeLog`."""
        return {"client_id": self._client_id, "action": bundle.call.action, "message_id": bundle.message_id}

    def _report_given_up(self, bundle: RequestBundle, error: CallFailed) -> None:
        log = self._log
        # What is set aside waits for a person. For what is given up, the caller gets the error.
        write, fate = (log.error, "set aside") if self._queue.durable else (log.warning, "given up")
        words = "request %r (%s) is %s: %s"
        write(words, bundle.message_id, bundle.call.action, fate, error.description, **self._about(bundle))
        self._report_canceled(bundle, error)

    def resume(self) -> None:
        """Await the pending request's answer anew, or send it again, or send the next request."""
        with self._lock:
            pending, deadline, pauses = self._inflight.pending, None, self._inflight.pauses
            if pending is not None and self._inflight.paused and self._resend:
                deadline = self._inflight.requeue(pending)
                pending = None
            self._inflight.paused = self._inflight.stalled = False
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
        with self._lock:
            return self._inflight.paused

    def is_pending(self, message_id: str) -> bool:
        """Tell whether the answer to that request is awaited."""
        with self._lock:
            return self._inflight.get(message_id) is not None

    def close(self) -> List[RequestBundle]:
        """Refuse new requests, and return those that were discarded. A durable queue keeps what it has."""
        with self._lock:
            deadline = self._inflight.disarm()
            discarded = self._inflight.close()
        if deadline is not None:
            deadline.cancel()
        return discarded

    def cancel_all(self, error: Callable[[str], CallFailed]) -> None:
        """Refuse new requests, and cancel all others with ``error(message id)``."""
        for bundle in self.close():
            self._report_canceled(bundle, error(bundle.message_id))

    def _report(self, failed: List[Failure]) -> None:
        """Report requests that could not be written. What the callbacks queue waits meanwhile: `InFlight.take`."""
        if not failed:
            return
        me = {threading.get_ident()}
        fallback = self._timeouts.add(_STALL, self.send_next)  # in case a callback waits for what it has queued
        try:
            with self._lock:
                self._inflight.reporting |= me
            for bundle, failure in failed:
                self._report_canceled(bundle, failure)
        finally:
            with self._lock:
                self._inflight.reporting -= me
            fallback.cancel()

    def _report_and_take(self, failed: List[Failure], rounds: int, turn: Turn) -> Optional[RequestBundle]:
        """Report ``failed``, and take the next request. After some ``rounds`` in a row, stall before."""
        pauses = self._inflight.pauses
        self._report(failed)
        with self._lock:
            if rounds % _ROUNDS or self._queue.peek() is None:
                return self._inflight.take(turn)
        self._stall(pauses)
        with self._lock:
            return self._inflight.take(turn)

    def _send(self, bundle: RequestBundle) -> Optional[CallFailed]:
        """Write the request that was taken, if it is still wanted. Return the error to cancel it with, if any."""
        pauses = self._inflight.pauses
        try:
            unfit = self._check(bundle) if self._check is not None else None
            if unfit is None and self._arm(bundle, pauses):
                self._write(bundle.data)
                losses = self._inflight.losses
                if losses is not None and pauses != self._inflight.pauses:
                    with self._lock:
                        losses.add(bundle.message_id)  # the connection that it was written on is lost
            return unfit
        except Exception as error:
            if self._queue.durable or self._resend:
                words = "request %r could not be written, and is kept: %s"
                self._log.warning(words, bundle.message_id, error, **self._about(bundle))
                self._stall(pauses, bundle)
                return None
            words = "request %r could not be written: %s"
            self._log.warning(words, bundle.message_id, error, **self._about(bundle))
            words = f"the request could not be written: {error}"
            failure = ConnectionLost(words, bundle.message_id, ErrorCode.INTERNAL_ERROR)
            failure.__cause__ = error
            return failure

    def _stall(self, pauses: int, bundle: Optional[RequestBundle] = None) -> None:
        """Send nothing for some seconds, unless the connection was lost and is back. Put ``bundle`` back."""
        deadline = None
        self._timeouts.add(_STALL, self._end_stall)  # first: a stall that is interrupted ends, too
        with self._lock:
            self._inflight.stalled = self._inflight.paused or pauses == self._inflight.pauses
            if bundle is not None and self._inflight.pending is bundle:
                deadline = self._inflight.requeue(bundle)
        if deadline is not None:
            deadline.cancel()

    def _end_stall(self) -> None:
        with self._lock:
            self._inflight.stalled = False
        self.send_next()

    def _back_off(self, message_id: str, reason: object, pauses: Optional[int] = None) -> bool:
        """Have the pending request (`InFlight.get`) sent again later, if it may be. Return whether it will be."""
        inflight = self._inflight
        with self._lock:
            bundle = inflight.get(message_id, pauses)
            if bundle is None or inflight.retries is None or inflight.failures is None:
                return False
            if not inflight.retries.concerns(bundle.call):
                return False
            if inflight.losses is not None:
                inflight.losses.reset()  # the connection held until now
            failures = inflight.failures.add(message_id)
            wait = inflight.retries.wait(failures)
            if wait is not None:
                deadline = inflight.back_off(bundle)
        if wait is None:
            words = "request %r (%s) failed %d times, and is given up: %s"
            self._log.error(words, message_id, bundle.call.action, failures, reason, **self._about(bundle))
            return False
        if deadline is not None:
            deadline.cancel()
        words = "request %r (%s) failed, and is sent again in %g seconds: %s"
        self._log.warning(words, message_id, bundle.call.action, wait, reason, **self._about(bundle))
        self._timeouts.add(wait, partial(self._end_backoff, bundle))
        return True

    def _end_backoff(self, bundle: RequestBundle) -> None:
        with self._lock:
            if self._inflight.backing_off is bundle:
                self._inflight.backing_off = None
        self.send_next()

    def _end(self, message_id: str, pauses: Optional[int] = None) -> Optional[RequestBundle]:
        """End and return the pending request, as `InFlight.get`."""
        with self._lock:
            bundle = self._inflight.get(message_id, pauses)
            if bundle is None:
                return None
            deadline = self._inflight.end(bundle)
        if deadline is not None:
            deadline.cancel()
        return bundle

    def _arm(self, bundle: RequestBundle, pauses: int, sent: bool = False) -> bool:
        """Set a deadline for ``bundle``. Return whether it is still wanted; see `InFlight.arm`."""
        seconds = self._timeout.seconds
        deadline = self._timeouts.add(seconds, partial(self._timed_out, bundle, pauses, seconds))
        with self._lock:
            wanted, unwanted = self._inflight.arm(bundle, deadline, pauses, sent)
        if unwanted is not None:
            unwanted.cancel()
        return wanted

    def _timed_out(self, bundle: RequestBundle, pauses: int, seconds: float) -> None:
        error = CallTimeout(f"no answer within {seconds:g} seconds", bundle.message_id)
        if self._back_off(bundle.message_id, error.description, pauses):
            self.send_next()
        elif self._end(bundle.message_id, pauses) is not None:
            self._report_canceled(bundle, error)
            self.send_next()

    def _report_canceled(self, bundle: RequestBundle, error: CallFailed) -> None:
        try:
            self._canceled(bundle.message_id, bundle.call.payload, error)
        except BaseException as failure:
            self._log.exception("a canceled-request callback failed", **self._about(bundle))
            raise_interrupt(failure)
