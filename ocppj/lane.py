"""One unanswered CALL per connection and direction (OCPP-J 1.6 section 4.1.1; OCPP 2.x Part 4 section 4.1.1).

Theory of operation. Each peer has a `Lane`: a queue whose head is the pending request, if there is one. A request
leaves the lane in one of four ways: it is completed (its answer came), canceled, timed out, or could not be written.
Whoever makes the next one ready writes it, on its own thread: the sender when nothing is pending, else whoever ended
the request before. No request waits for a thread to wake up.

What to do is decided under the lane's lock, and done after it is released: writes, callbacks and timers are never
touched with the lock held. The lane's queue and pending state are plain tables whose methods call nothing; they are
read and changed under the lock. To take the head for sending and to release it are the two decisions everything is
made of; since a request can be released only by one thread, each ends once.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, List, Optional

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
        self._lock = threading.Lock()  # guards the three below, the queue and the state
        self._pending: Optional[RequestBundle] = None
        self._deadline: Optional[Deadline] = None
        self._paused = False
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
        while True:
            bundle = self._take()
            if bundle is None:
                return
            self._arm(bundle)
            try:
                self._write(bundle.data)
                return
            except Exception as error:
                get_logger().warning("request %r could not be written: %s", bundle.message_id, error)
                failure = ConnectionLost(
                    f"the request could not be written: {error}", bundle.message_id, ErrorCode.INTERNAL_ERROR
                )
                failure.__cause__ = error
            if self._release(bundle.message_id) is not None:
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
            if self._closed or self._paused or self._pending is not None:
                return None
            bundle = self._queue.peek()
            if bundle is not None:
                self._pending = bundle
                self._state.add(bundle.message_id, bundle.call.payload)
            return bundle

    def _release(self, message_id: str) -> Optional[RequestBundle]:
        """Make the pending request of that id pending no more and return it, or ``None`` when it is another."""
        with self._lock:
            bundle = self._pending
            if bundle is None or bundle.message_id != message_id:
                return None
            self._pending = None
            deadline, self._deadline = self._deadline, None
            self._state.delete(message_id)
            self._queue.pop()
        if deadline is not None:
            deadline.cancel()
        return bundle

    def _arm(self, bundle: RequestBundle) -> None:
        deadline = self._timeouts.add(self._timeout(), partial(self._timed_out, bundle))
        with self._lock:
            wanted = self._pending is bundle and not self._paused
            if wanted:
                deadline_before, self._deadline = self._deadline, deadline
        unwanted = deadline_before if wanted else deadline
        if unwanted is not None:
            unwanted.cancel()

    def _timed_out(self, bundle: RequestBundle) -> None:
        with self._lock:
            if self._paused:
                return
        if self._release(bundle.message_id) is not None:
            self._cancel(bundle, CallTimeout("Request timed out", bundle.message_id))
            self.send_next()

    def _cancel(self, bundle: RequestBundle, error: CallFailed) -> None:
        try:
            self._canceled(bundle.message_id, bundle.call.payload, error)
        except Exception:
            get_logger().exception("a canceled-request callback failed")
