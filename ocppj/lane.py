"""One unanswered CALL per connection and direction (OCPP-J 1.6 section 4.1.1; OCPP 2.x Part 4 section 4.1.1).

Theory of operation. Each peer has a `Lane`: a queue whose head is the pending request, if there is one. A request
leaves the lane in one of four ways: it is completed (its answer came), canceled, timed out, or could not be written.
Whoever makes the next one ready writes it, on its own thread: the sender when nothing is pending, else whoever ended
the request before. No request waits for a thread to wake up.

What to do is decided under the lane's lock, and done after it is released: writes, callbacks and timers are never
touched with the lock held. The lane's queue and pending state are plain tables whose methods call nothing; they are
read and changed under the lock. To take the head for sending and to release it are the two decisions everything is
made of; since a request can be released only by one thread, each ends once.

One thread at a time writes. A request may be answered, canceled or timed out while it still is being written; the
next is then sent by the thread that is writing, when it is done. So frames reach the wire in the order of the queue,
and a network that answers within ``send`` does not make calls pile up on the stack.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, List, Optional, Tuple

from .errors import CallFailed, CallTimeout, ConnectionLost, ErrorCode, NotRunning
from .queues import RequestBundle, RequestQueue
from .settings import get_logger
from .state import PendingRequestState
from .timeouts import Deadline, Timeouts

__all__ = ["Lane"]


class Lane:
    """One peer's requests: a queue, and at most one of them, its head, pending."""

    def __init__(
        self,
        queue: RequestQueue,
        state: PendingRequestState,
        timeouts: Timeouts,
        timeout: Callable[[], float],
        write: Callable[[str], None],
        canceled: Callable[[str, Any, CallFailed], None],
    ) -> None:
        self._queue = queue
        self._state = state
        self._timeouts = timeouts
        self._timeout = timeout
        self._write = write
        self._canceled = canceled
        self._lock = threading.Lock()  # guards what is below, the queue and the state
        self._pending: Optional[RequestBundle] = None
        self._deadline: Optional[Deadline] = None
        self._sending = False  # a thread is between taking a request and having written it
        self._paused = False
        self._pauses = 0  # a deadline armed before the last pause means nothing any more
        self._closed = False

    def push(self, bundle: RequestBundle) -> None:
        """Queue ``bundle``, and send it if nothing is pending. Raises `NotRunning`, `QueueFull`."""
        with self._lock:
            if self._closed:
                raise NotRunning("no requests are taken any more")
            self._queue.push(bundle)
        self.send_next()

    def send_next(self) -> None:
        """Send the head of the queue, unless one is pending; one that cannot be written gives way to the next."""
        failed: List[Tuple[RequestBundle, CallFailed]] = []
        while True:
            bundle = self._take()
            if bundle is None:
                break
            failure = self._send(bundle)
            if failure is not None and self._release(bundle.message_id) is not None:
                failed.append((bundle, failure))
        # Only now: a callback that queues a request again finds the lane free, and not itself on the stack.
        for bundle, failure in failed:
            self._cancel(bundle, failure)

    def complete(self, message_id: str) -> None:
        """Release the pending request, because its answer came, and send the next."""
        if self._release(message_id) is None:
            get_logger().warning("request %r is completed but not pending", message_id)
            return
        self.send_next()

    def cancel(self, message_id: str, error: CallFailed) -> bool:
        """Release the request of that id, sent or not, and go on; return whether there was one."""
        bundle = self._release(message_id)
        if bundle is None:
            with self._lock:
                # The head may have become pending meanwhile: what is sent is not taken out of the queue here.
                sent = self._pending is not None and self._pending.message_id == message_id
                bundle = None if sent else self._queue.remove(message_id)
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
        """Await the pending request's answer anew, or send the next request."""
        with self._lock:
            self._paused = False
            pending = self._pending
        if pending is not None:
            self._arm(pending)
        else:
            self.send_next()

    def is_paused(self) -> bool:
        """Tell whether requests are queued only."""
        with self._lock:
            return self._paused

    def close(self) -> List[RequestBundle]:
        """Refuse new requests, and return those that were discarded."""
        discarded = []
        with self._lock:
            self._closed = True
            self._pending = None
            deadline, self._deadline = self._deadline, None
            self._state.clear()
            while True:
                bundle = self._queue.pop()
                if bundle is None:
                    break
                discarded.append(bundle)
        if deadline is not None:
            deadline.cancel()
        return discarded

    def cancel_all(self, error: Callable[[str], CallFailed]) -> None:
        """Refuse new requests, and cancel those there are with ``error(message id)``."""
        for bundle in self.close():
            self._cancel(bundle, error(bundle.message_id))

    def _take(self) -> Optional[RequestBundle]:
        """Make the head of the queue pending and return it, or ``None`` when nothing is to be sent now."""
        with self._lock:
            if self._closed or self._paused or self._sending or self._pending is not None:
                return None
            bundle = self._queue.peek()
            if bundle is not None:
                self._pending = bundle
                self._sending = True
                self._state.add(bundle.message_id, bundle.call.payload)
            return bundle

    def _send(self, bundle: RequestBundle) -> Optional[CallFailed]:
        """Write the request that was taken, if it is wanted still; return why it could not be written."""
        try:
            self._arm(bundle)
            if self._keep(bundle):
                self._write(bundle.data)
            return None
        except Exception as error:
            get_logger().warning("request %r could not be written: %s", bundle.message_id, error)
            words = f"the request could not be written: {error}"
            failure = ConnectionLost(words, bundle.message_id, ErrorCode.INTERNAL_ERROR)
            failure.__cause__ = error
            return failure
        finally:
            with self._lock:
                self._sending = False

    def _keep(self, bundle: RequestBundle) -> bool:
        """Tell whether the request just taken is to be written; a pause puts it back, to be sent after it."""
        with self._lock:
            if self._pending is not bundle:
                return False
            if self._paused:
                self._pending = None
                self._state.delete(bundle.message_id)
            return not self._paused

    def _release(self, message_id: str, pauses: Optional[int] = None) -> Optional[RequestBundle]:
        """Make the pending request of that id pending no more and return it, or ``None`` when it is another.

        With ``pauses``, only while the lane is not paused, and has not been since that number was read.
        """
        with self._lock:
            bundle = self._pending
            if bundle is None or bundle.message_id != message_id:
                return None
            if pauses is not None and (self._paused or pauses != self._pauses):
                return None
            self._pending = None
            deadline, self._deadline = self._deadline, None
            self._state.delete(message_id)
            self._queue.pop()
        if deadline is not None:
            deadline.cancel()
        return bundle

    def _arm(self, bundle: RequestBundle) -> None:
        with self._lock:
            pauses = self._pauses
        deadline = self._timeouts.add(self._timeout(), partial(self._timed_out, bundle, pauses))
        with self._lock:
            wanted = self._pending is bundle and not self._paused and self._pauses == pauses
            if wanted:
                deadline_before, self._deadline = self._deadline, deadline
        unwanted = deadline_before if wanted else deadline
        if unwanted is not None:
            unwanted.cancel()

    def _timed_out(self, bundle: RequestBundle, pauses: int) -> None:
        if self._release(bundle.message_id, pauses) is not None:
            self._cancel(bundle, CallTimeout("Request timed out", bundle.message_id))
            self.send_next()

    def _cancel(self, bundle: RequestBundle, error: CallFailed) -> None:
        try:
            self._canceled(bundle.message_id, bundle.call.payload, error)
        except BaseException:
            get_logger().exception("a canceled-request callback failed")
