"""The calls that have not ended, and the futures that carry their end.

The thread that takes a call out of `OpenCalls` ends it, and no other thread does. So it ends once, although an answer,
a timeout, a cancellation, a lost connection and ``stop()`` may all come at the same time.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from ..errors import CallFailed
from ..payloads.model import Payload
from ..rpc.messages import SignatureResult
from ..settings import get_logger
from .timeouts import Deadline

R = TypeVar("R")

__all__ = ["AwaitedCall", "CallFuture", "OpenCall", "OpenCalls"]


class CallFuture(Future[R]):
    """The end of one request: its typed response, or the error it failed with.

    ``message_id`` is the id of the CALL. ``signature`` is the result of the check of the response's signature: ``None``
    before there is a response, and when it is not signed.
    """

    def __init__(self, message_id: str, withdraw: Callable[[str], None]) -> None:
        super().__init__()
        self.message_id = message_id
        self.signature: Optional[SignatureResult] = None
        self._withdraw = withdraw

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        """Call ``fn(future)`` when the request has ended, at once if it has.

        It runs on the thread that ends the request, mostly the one that reads the connection. It must not block, and
        ``call()`` there raises `WouldDeadlock`. An exception that it raises is logged, and has no effect.
        """

        def guarded(future: Any) -> None:
            try:
                fn(future)
            except BaseException:  # sys.exit() and pytest.fail() too: the thread has other calls to end
                get_logger().exception("a callback of the future of request %r failed", self.message_id)

        super().add_done_callback(guarded)

    def cancel(self) -> bool:
        """Withdraw the request: it is not sent, or its answer is ignored. Return whether it had not ended yet."""
        if not super().cancel():
            return False
        self._withdraw(self.message_id)
        return True


class _Call:
    """One request that has not ended. It ends with its ``connection``, if that is not ``None``, even if regained."""

    __slots__ = ("_deadline", "connection", "ended", "message_id", "request", "unanswered")

    def __init__(self, request: Payload, message_id: str, connection: Optional[object]) -> None:
        self.request = request
        self.message_id = message_id
        self.connection = connection
        self.unanswered = False  # it has failed, and not with an error of the peer
        self.ended = False
        self._deadline: Optional[Deadline] = None

    def expire_by(self, deadline: Deadline) -> None:
        """Cancel ``deadline`` when the call ends."""
        self._deadline = deadline
        if self.ended:  # before the deadline was set here
            deadline.cancel()

    def answer(self, response: Payload, signature: Optional[SignatureResult] = None) -> None:
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        raise NotImplementedError

    def give_up(self) -> None:
        """End the call, because its caller gave it up."""
        self._end()

    def _end(self) -> None:
        self.ended = True
        if self._deadline is not None:
            self._deadline.cancel()


class OpenCall(_Call):
    """A call that ends a future. Any thread may wait for it, cancel it, or add callbacks to it."""

    __slots__ = ("future",)

    def __init__(self, request: Payload, future: CallFuture[Any], connection: Optional[object] = None) -> None:
        super().__init__(request, future.message_id, connection)
        self.future = future

    def answer(self, response: Payload, signature: Optional[SignatureResult] = None) -> None:
        self._end()
        self.future.signature = signature
        try:
            self.future.set_result(response)
        except InvalidStateError:  # it was canceled, after this thread had taken the call
            self.future.set_running_or_notify_cancel()

    def fail(self, error: BaseException) -> None:
        self.unanswered = isinstance(error, CallFailed)
        self._end()
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            self.future.set_running_or_notify_cancel()

    def give_up(self) -> None:
        self._end()
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
        self._end()
        self._done.release()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self.unanswered = isinstance(error, CallFailed)
        self._end()
        self._done.release()

    def wait(self) -> Optional[Payload]:
        """Wait for the end. Return the response, or raise the error. Called once."""
        self._done.acquire()
        error, self._error = self._error, None
        if error is None:
            return self._response
        try:
            raise error
        finally:
            del error  # its traceback holds this frame: without this, only a collection would free both


class OpenCalls:
    """The open calls of one endpoint, by client and message id. Thread-safe. Calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Dict[str, Dict[str, _Call]] = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._calls.values()))

    def add(self, client_id: str, call: _Call) -> bool:
        """Add ``call``. Return false, and add nothing, when a call of that id is already open for that client."""
        with self._lock:
            calls = self._calls.setdefault(client_id, {})
            return calls.setdefault(call.message_id, call) is call

    def take(self, client_id: str, message_id: str) -> Optional[_Call]:
        """Remove and return that call, or ``None`` when it is not open (any more)."""
        with self._lock:
            calls = self._calls.get(client_id)
            if calls is None:
                return None
            call = calls.pop(message_id, None)
            if not calls:
                del self._calls[client_id]
            return call

    def take_all(self) -> List[_Call]:
        """Remove and return all calls."""
        with self._lock:
            calls = [call for each in self._calls.values() for call in each.values()]
            self._calls.clear()
            return calls

    def over(self, connection: Optional[object]) -> List[Tuple[str, str]]:
        """Return (client id, message id) of the calls that end with ``connection``."""
        with self._lock:
            return [
                (client_id, message_id)
                for client_id, calls in self._calls.items()
                for message_id, call in calls.items()
                if call.connection is not None and call.connection is connection
            ]
