"""The calls that have not ended, and the futures that carry their end.

The thread that takes a call out of `OpenCalls` ends it, and no other thread does. So it ends once, although an answer,
a timeout, a cancellation, a lost connection and ``stop()`` may all come at the same time.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, Dict, List, Optional, Tuple, TypeVar, Union

from ..activity import Resting
from ..callables import check_not_async, raise_interrupt, refuse_coroutine
from ..errors import CallCanceled, CallFailed, NotRunning
from ..events import Condition, acquire
from ..handover import hand_over
from ..interrupted import INSIDE, calls_program, place_of, refuse_inside
from ..log_limit import SafeLog, safe_log
from ..payloads.model import Payload
from ..rpc.messages import SignatureResult
from .timeouts import Deadline

R = TypeVar("R")

__all__ = ["AnyCall", "AwaitedCall", "CallFuture", "OpenCall", "OpenCalls"]


class CallFuture(Future[R]):
    """The end of one request: its typed response, or the error it failed with.

    ``message_id`` is the id of the CALL. ``signature`` is the result of the check of the response's signature: ``None``
    before there is a response, and when it is not signed.
    """

    def __init__(
        self,
        message_id: str,
        withdraw: Callable[[str], object],
        waiting: Callable[[], ContextManager[Any]] = nullcontext,
        log: SafeLog = safe_log,
    ) -> None:
        super().__init__()
        self._log = log
        self._condition = Condition()  # Python's own may be lost, and with it the thread that ends the request
        self.message_id = message_id
        self.signature: Optional[SignatureResult] = None
        self._withdraw = withdraw
        self._waiting = waiting

    def result(self, timeout: Optional[float] = None) -> R:
        """Wait for the end, at most ``timeout`` seconds, and return the response or raise the error.

        A handler should rather use `add_done_callback`: it holds its thread while it waits.

        Raises:
            TimeoutError: The request has not ended in time (`concurrent.futures.TimeoutError` before Python 3.11).
            CancelledError: The future was canceled.
            NoHandlerSlot: Too many handlers wait already. The request goes on.
            WouldDeadlock: This thread is in a log call, or in a signal handler or finalizer that interrupted this
                library, and the request has not ended.
        """
        if self.done():
            return super().result(0)
        refuse_inside("result()", waits=True)
        with self._waiting(), Resting(self.done):
            return super().result(timeout)

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Wait as `result` does, and return the error; ``None``: there is a response. Raises what `result` raises."""
        if self.done():
            return super().exception(0)
        refuse_inside("exception()", waits=True)
        with self._waiting(), Resting(self.done):
            return super().exception(timeout)

    @staticmethod
    def failed(error: BaseException) -> "CallFuture[Any]":
        """Return a future of a request that could not be made."""
        future: CallFuture[Any] = CallFuture("", lambda message_id: None)
        future.set_exception(error)
        return future

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        """Call ``fn(future)`` when the request has ended, at once if it has.

        It runs on the thread that ends the request, mostly the one that reads the connection. It must not block, and
        ``call()`` there raises `WouldDeadlock`. An exception that it raises is logged, and has no effect.

        Raises:
            UsageError: It is an ``async def``.
        """
        check_not_async("the callback", fn)

        @calls_program
        def guarded(future: Any) -> None:
            try:
                refuse_coroutine(fn, fn(future))
            except BaseException as error:  # sys.exit() and pytest.fail() too: the thread has other calls to end
                words = "a callback of the future of request %r failed"
                self._log.exception(words, self.message_id, message_id=self.message_id)
                raise_interrupt(error)

        super().add_done_callback(guarded)

    def _after_fork(self) -> None:
        """Have nobody wait in a forked process, where no answer comes. The callbacks are not called there."""
        future: Any = self
        future._condition = Condition()
        future._done_callbacks.clear()
        if not self.done():
            self.set_exception(NotRunning("the request is one of the process from which this one was forked"))

    def cancel(self) -> bool:
        """Withdraw the request: it is not sent, or its answer is ignored. Return whether it had not ended yet.

        From a signal handler or a finalizer that interrupted this library, it may come true a moment later: then the
        future is not canceled yet, and the return value is false.
        """
        if place_of(sys._getframe().f_back) is INSIDE:
            hand_over("ocppj-cancel", self._cancel)
            return self.cancelled()
        return self._cancel()

    def _cancel(self) -> bool:
        if self.done():
            return False
        try:
            self._withdraw(self.message_id)  # before callbacks run: one of them may call stop()
        except Exception:
            raise
        except BaseException:  # such as KeyboardInterrupt, perhaps before it began
            self._withdraw(self.message_id)
            raise
        finally:
            canceled = super().cancel()  # nothing happens if the withdrawal has done it
        return canceled


class _Call:
    """One request that has not ended. It ends with its ``connection``, if that is not ``None``, even if regained."""

    __slots__ = ("client_id", "connection", "deadline", "ended", "message_id", "on_end", "request", "unanswered")

    def __init__(self, request: Payload, message_id: str, connection: Optional[object]) -> None:
        self.request: Payload = request
        self.message_id: str = message_id
        self.client_id: Optional[str] = None  # `OpenCalls.add` sets it
        self.connection: Optional[object] = connection
        self.unanswered: bool = False  # it has failed, and not with an error of the peer
        self.ended: bool = False
        self.deadline: Optional[Deadline] = None
        #: Called once with the error, or ``None``, when the call ends. Set before `OpenCalls.add`; raises nothing.
        self.on_end: Optional[Callable[[Optional[BaseException]], object]] = None

    def expire_by(self, deadline: Deadline) -> None:
        """Cancel ``deadline`` when the call ends."""
        self.deadline = deadline
        if self.ended:  # before the deadline was set here
            deadline.cancel()

    def answer(self, response: Payload, signature: Optional[SignatureResult] = None) -> None:
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        raise NotImplementedError

    def give_up(self) -> None:
        """End the call, because its caller gave it up."""
        self._end(_given_up(self.message_id))

    def _end(self, error: Optional[BaseException] = None) -> None:
        """Note the end. May raise KeyboardInterrupt on the main thread, from ``on_end``."""
        self.ended = True
        if self.deadline is not None:
            self.deadline.cancel()
        if self.on_end is not None:
            self.on_end(error)


def _given_up(message_id: str) -> CallCanceled:
    return CallCanceled("the request was canceled", message_id)


class OpenCall(_Call):
    """A call that ends a future. Any thread may wait for it, cancel it, or add callbacks to it."""

    __slots__ = ("future",)

    def __init__(self, request: Payload, future: CallFuture[Any], connection: Optional[object] = None) -> None:
        super().__init__(request, future.message_id, connection)
        self.future: CallFuture[Any] = future

    def answer(self, response: Payload, signature: Optional[SignatureResult] = None) -> None:
        try:
            self._end()
        finally:  # nobody else ends the future
            self.future.signature = signature
            try:
                self.future.set_result(response)
            except InvalidStateError:  # it was canceled, after this thread had taken the call
                self.future.set_running_or_notify_cancel()

    def fail(self, error: BaseException) -> None:
        self.unanswered: bool = isinstance(error, CallFailed)
        try:
            self._end(error)
        finally:
            try:
                self.future.set_exception(error)
            except InvalidStateError:
                self.future.set_running_or_notify_cancel()

    def give_up(self) -> None:
        try:
            self._end(_given_up(self.message_id))
        finally:
            was_canceled = self.future.cancelled()  # by this, which was interrupted
            Future.cancel(self.future)  # not its own `cancel`, which has called this
            if not was_canceled:
                self.future.set_running_or_notify_cancel()


class AwaitedCall(_Call):
    """A call whose end one thread waits for, and no other thread knows of. It costs a tenth of a future.

    Its thread waits for a lock, which the thread that ends the call releases once: the cheapest wake-up there is.
    """

    __slots__ = ("_done", "_error", "_response")

    def __init__(self, request: Payload, message_id: str, connection: Optional[object] = None) -> None:
        super().__init__(request, message_id, connection)
        self._response: Optional[Payload] = None
        self._error: Optional[BaseException] = None
        self._done = threading.Lock()
        self._done.acquire()

    def answer(self, response: Payload, signature: Optional[SignatureResult] = None) -> None:
        self._response = response
        try:
            self._end()
        finally:  # nobody else wakes the thread that waits
            self._done.release()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self.unanswered: bool = isinstance(error, CallFailed)
        try:
            self._end(error)
        finally:
            self._done.release()

    def has_ended(self, timeout: float) -> bool:
        """Wait for the end for at most ``timeout`` seconds; return whether it has come. Before `wait`."""
        ended = self._done.acquire(timeout=timeout)
        if ended:
            self._done.release()
        return ended

    def _is_over(self) -> bool:
        return self.ended

    def wait(self) -> Optional[Payload]:
        """Wait for the end. Return the response, or raise the error. Called once."""
        with Resting(self._is_over):
            acquire(self._done)
        error, self._error = self._error, None
        if error is None:
            return self._response
        try:
            raise error
        finally:
            del error  # its traceback holds this frame: without this, only a collection would free both


AnyCall = Union[OpenCall, AwaitedCall]


class OpenCalls:
    """The open calls of one endpoint, by client and message id. Thread-safe. Calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Dict[str, Dict[str, AnyCall]] = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._calls.values()))

    def _after_fork(self) -> None:
        """Forget all calls, which are the parent's: see `ocppj.forks`."""
        calls = [call for each in self._calls.values() for call in each.values()]
        self._calls.clear()
        for call in calls:
            if isinstance(call, OpenCall):
                call.future._after_fork()

    def add(self, client_id: str, call: AnyCall) -> bool:
        """Add ``call``. Return false, and add nothing, when a call of that id is already open for that client."""
        call.client_id = client_id
        with self._lock:
            calls = self._calls.setdefault(client_id, {})
            return calls.setdefault(call.message_id, call) is call

    def take(self, client_id: str, message_id: str) -> Optional[AnyCall]:
        """Remove and return that call, or ``None`` when it is not open (any more)."""
        with self._lock:
            calls = self._calls.get(client_id)
            if calls is None:
                return None
            call = calls.pop(message_id, None)
            if not calls:
                del self._calls[client_id]
            return call

    def discard(self, call: AnyCall) -> bool:
        """Remove ``call``, and return whether it was open. Another call of its id stays."""
        if call.client_id is None:
            return False
        with self._lock:
            calls = self._calls.get(call.client_id)
            if calls is None or calls.get(call.message_id) is not call:
                return False
            del calls[call.message_id]
            if not calls:
                del self._calls[call.client_id]
            return True

    def take_all(self) -> List[AnyCall]:
        """Remove and return all calls."""
        with self._lock:
            calls = [call for each in self._calls.values() for call in each.values()]
            self._calls.clear()
            return calls

    def without_deadline(self) -> List[AwaitedCall]:
        """Return the awaited calls that end no sooner than their requests do."""
        with self._lock:
            calls = [call for each in self._calls.values() for call in each.values()]
        return [call for call in calls if isinstance(call, AwaitedCall) and call.deadline is None]

    def over(self, connection: Optional[object]) -> List[Tuple[str, str]]:
        """Return (client id, message id) of the calls that end with ``connection``."""
        with self._lock:
            calls = [call for each in self._calls.values() for call in each.values()]
        return [
            (call.client_id or "", call.message_id)
            for call in calls
            if call.connection is not None and call.connection is connection
        ]
