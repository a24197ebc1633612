"""The requests that wait for their end, and the futures that carry it.

Whoever takes a call out of `OpenCalls` ends it, and nobody else does: an answer, a timeout, a cancellation, a lost
connection and ``stop()`` may all come at once, and the future ends once.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from .messages import SignatureResult
from .payloads import Payload
from .settings import get_logger

R = TypeVar("R")

__all__ = ["CallFuture", "OpenCall", "OpenCalls"]


class CallFuture(Future[R]):
    """The end of one request: its typed response, or the error it failed with.

    ``message_id`` is the id of the CALL. ``signature`` tells about the signature of the response: ``None`` before there
    is one, and when it is not signed.

    ``cancel()`` withdraws the request: it is not sent, or its answer is ignored.
    Callbacks added with ``add_done_callback`` run on the thread that reads the connection: they must not block, and
    ``call()`` there raises `WouldDeadlock`. What they raise is logged and changes nothing.
    """

    def __init__(self, message_id: str, withdraw: Callable[[str], None]) -> None:
        super().__init__()
        self.message_id = message_id
        self.signature: Optional[SignatureResult] = None
        self._withdraw = withdraw

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        """Call ``fn(future)`` when the request has ended, at once if it has."""

        def guarded(future: Any) -> None:
            try:
                fn(future)
            except BaseException:  # sys.exit() and pytest.fail() too: whoever ends this call has others to end
                get_logger().exception("a callback of the future of request %r failed", self.message_id)

        super().add_done_callback(guarded)

    def cancel(self) -> bool:
        """Give the request up; return whether it had not ended yet."""
        if not super().cancel():
            return False
        self._withdraw(self.message_id)
        return True


class OpenCall:
    """One request that has not ended.

    ``connection`` is the one it ends with, even if that will be regained; ``None`` for a request that outlives its
    connection.
    """

    def __init__(self, request: Payload, future: CallFuture[Any], connection: Optional[object] = None) -> None:
        self.request = request
        self.future = future
        self.connection = connection

    def answer(self, response: Payload, signature: Optional[SignatureResult] = None) -> None:
        """End the call with ``response``."""
        if self.future.set_running_or_notify_cancel():
            self.future.signature = signature
            self.future.set_result(response)

    def fail(self, error: BaseException) -> None:
        """End the call with ``error``."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class OpenCalls:
    """The open calls of one endpoint, by client and message id. Thread-safe; calls nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Dict[str, Dict[str, OpenCall]] = {}

    def __len__(self) -> int:
        """Return how many calls are open."""
        with self._lock:
            return sum(map(len, self._calls.values()))

    def add(self, client_id: str, call: OpenCall) -> bool:
        """Add ``call``; return false, and add nothing, when one of its id is open for that client already."""
        with self._lock:
            calls = self._calls.setdefault(client_id, {})
            return calls.setdefault(call.future.message_id, call) is call

    def take(self, client_id: str, message_id: str) -> Optional[OpenCall]:
        """Remove and return that call, or ``None`` when it is not open (any more)."""
        with self._lock:
            calls = self._calls.get(client_id)
            if calls is None:
                return None
            call = calls.pop(message_id, None)
            if not calls:
                del self._calls[client_id]
            return call

    def take_over(self, connection: object) -> List[OpenCall]:
        """Remove and return all calls that end with ``connection``."""
        taken = (self.take(client_id, message_id) for client_id, message_id in self.over(connection))
        return [call for call in taken if call is not None]

    def take_all(self) -> List[OpenCall]:
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
