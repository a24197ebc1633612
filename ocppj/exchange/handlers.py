"""What a program registers to be called, and how it is called.

Inside the library every handler takes the client's id first. A `Server`'s handlers are called just so. A `Client` has
one peer, and `HandlerRegistry.adapt` drops the id for its handlers.
"""

from __future__ import annotations

import threading
from functools import partial
from operator import itemgetter
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    TypeVar,
)

from ..callables import check_callable, check_not_async, raise_interrupt, refuse_coroutine
from ..clock import Clock
from ..errors import CallFailed, MessageError, OCPPError, UsageError
from ..interrupted import calls_program
from ..payloads.model import Payload
from ..rpc.endpoint import Endpoint
from ..rpc.feature_registry import FeatureRegistry
from ..rpc.messages import Call
from ..ws.base import Close
from .connection import Connection, Connections, ThreadContext
from .frame_log import FrameLog
from .meters import Meters
from .observers import ConnectionChange, Frame, FrameLines, Observer, Seen
from .options import Options
from .watches import Watches

if TYPE_CHECKING:
    from typing_extensions import Never

__all__ = ["NO_ANSWER", "Frame", "HandlerRegistry", "NoAnswer", "Observer", "RequestHandler", "Shared", "TextHook"]

# (client id, error, raw text, parsed elements) -> the error to send instead, or None
_InvalidMessageHook = Callable[[str, MessageError, str, Optional[Sequence[Any]]], Optional[OCPPError]]

# (client id, text of a frame) -> the text to read in its place
TextHook = Callable[[str, str], object]

F = TypeVar("F", bound=Callable[..., Any])


class NoAnswer:
    """The type of `NO_ANSWER`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_ANSWER"


#: What a handler of requests returns so that the peer gets no answer: see `Client.on`. To type checkers it is a value
#: of every type: it stands in for any response.
NO_ANSWER: Never = NoAnswer()  # type: ignore[assignment]


class RequestHandler(NamedTuple):
    """A handler of requests: ``function(client_id, request, ...)``, and which arguments it takes after these two."""

    function: Callable[..., Any]
    pass_id: bool = False
    pass_action: bool = False
    pass_signature: bool = False


class AfterHandler(NamedTuple):
    """What is called after an answer: ``function(client_id, request)``, or with the response as the third argument."""

    function: Callable[..., Any]
    pass_response: bool = False


class WatchedJobs(Protocol):
    """What looks for handlers that do not end: see `OverdueAnswers`."""

    idle: bool

    def watch(self) -> None: ...


class HandlerRegistry:
    """The handlers of one endpoint. They are registered and taken away under a lock, and read without it."""

    def __init__(self, endpoint: Endpoint, features: FeatureRegistry, clock: Clock, *, with_client_id: bool) -> None:
        self._endpoint = endpoint
        self._features = features
        self.context: ThreadContext = ThreadContext()
        self._clock = clock
        side = "csms" if with_client_id else "station"
        self._lines = FrameLines(self._show, clock, endpoint.safe_log, side)
        self.frame_log: FrameLog = FrameLog(endpoint)
        self._with_client_id = with_client_id
        self.request: Optional[RequestHandler] = None  # what takes every request that has no handler of its own
        self.by_type: Dict[Type[Payload], RequestHandler] = {}
        self.before: Tuple[Callable[[str, str, Any], Any], ...] = ()  # run before every handler
        self.after: Dict[Type[Payload], Tuple[AfterHandler, ...]] = {}
        self.response: Optional[Callable[[str, Any, str, Any], None]] = None
        self.error: Optional[Callable[[str, OCPPError, Mapping[str, Any], Any], None]] = None
        self.result_error: Optional[Callable[[str, OCPPError, Mapping[str, Any]], None]] = None
        self.canceled: Optional[Callable[[str, str, Any, CallFailed], None]] = None
        self.ended: Optional[Callable[[str, Any, Any], None]] = None
        self.invalid_message: Optional[_InvalidMessageHook] = None
        self.text: Optional[TextHook] = None
        self.ignored_message: Optional[Callable[[str, Sequence[Any]], None]] = None
        self.observers: Tuple[Observer, ...] = ()
        #: For the library: ``f(client_id, call)`` before each write of a request.
        self.asking: Optional[Callable[[str, Call], None]] = None
        #: For the library: called with each CALL and SEND before its handler. It raises nothing.
        self.heard: Optional[Callable[[Connection, Call], None]] = None
        self.jobs: Optional[WatchedJobs] = None  # looks for handlers that do not end
        self._lock = threading.Lock()

    # Registering

    def adapt(self, handler: Callable[..., Any], *names: str, optional: Sequence[str] = ()) -> Callable[..., Any]:
        """Return ``handler``, which takes ``names``, as a function that takes the client's id first.

        The function takes the ``optional`` arguments, too. Those that the handler does not ask for are dropped.
        """
        first = ("client_id",) if self._with_client_id else ()
        taken = check_callable(handler, (*first, *names), optional)
        if self._with_client_id and taken == len(optional):
            return handler
        start, end = 1 - len(first), 1 + len(names) + taken if optional else None

        @calls_program
        def adapted(*arguments: Any) -> Any:
            return handler(*arguments[start:end])

        adapted.__qualname__ = str(getattr(handler, "__qualname__", handler))  # for the log
        setattr(adapted, _ORIGINAL, handler)  # to take it away again
        return adapted

    def adapt_or_none(
        self, handler: Optional[Callable[..., Any]], *names: str, optional: Sequence[str] = ()
    ) -> Optional[Callable[..., Any]]:
        """Do what `adapt` does, and return ``None`` for ``None``, which takes a handler away."""
        return None if handler is None else self.adapt(handler, *names, optional=optional)

    def check_request_types(self, request_types: Sequence[Type[Payload]]) -> None:
        """Raise `UsageError` for what is no message type, or none; `UnsupportedFeature` for one no profile has."""
        if not request_types:
            raise UsageError("a message type is wanted, such as v16.HeartbeatRequest")
        for request_type in request_types:
            if not isinstance(request_type, type) or not issubclass(request_type, Payload):
                raise UsageError(f"a message type is wanted, such as v16.HeartbeatRequest, not {request_type!r}")
            self._features.of_request(request_type)

    def add_request_handler(
        self, request_type: Optional[Type[Payload]], handler: Callable[..., Any], *, signature: bool, id: bool = False
    ) -> None:
        """Have requests of ``request_type``, or of every other type when it is ``None``, handled by ``handler``."""
        every = request_type is None
        names = ["request"] + ["message_id"] * (id or every) + ["action"] * every + ["signature"] * signature
        entry = RequestHandler(self.adapt(handler, *names), id or every, every, signature)
        if request_type is None:
            self.request = entry
        else:
            self.by_type[request_type] = entry

    def on(self, request_types: Sequence[Type[Payload]], pass_id: bool, pass_signature: bool) -> Callable[[F], F]:
        """Return a decorator that registers a handler for those types; see `Client.on`."""
        self.check_request_types(request_types)

        def register(handler: F) -> F:
            for request_type in request_types:
                self.add_request_handler(request_type, handler, id=pass_id, signature=pass_signature)
            return handler

        return register

    def off(self, request_types: Sequence[Type[Payload]]) -> None:
        """Take the handlers of those types away; see `Node.off`."""
        self.check_request_types(request_types)
        for request_type in request_types:
            if self.by_type.pop(request_type, None) is None:
                raise UsageError(f"there is no handler of {request_type.__name__}")

    def add_before(self, handler: Callable[..., Any]) -> None:
        """Run ``handler`` before every handler of a request; see `Node.before`."""
        adapted = self.adapt(handler, "action", "request")
        with self._lock:
            self.before += (adapted,)

    def remove_before(self, handler: Callable[..., Any]) -> None:
        """Take away what `add_before` added. Raises `UsageError` if it is not there."""
        with self._lock:
            self.before = _without(self.before, handler)

    def add_after(self, request_types: Sequence[Type[Payload]], handler: Callable[..., Any], response: bool) -> None:
        """Run ``handler`` after the answers to such requests; see `Node.after`."""
        entry = AfterHandler(self.adapt(handler, "request", *["response"] * response), response)
        with self._lock:
            for request_type in request_types:
                self.after[request_type] = (*self.after.get(request_type, ()), entry)

    def remove_after(self, handler: Callable[..., Any]) -> None:
        """Take ``handler`` away from after the answers, whatever the types of their requests; see `Node.after`."""
        with self._lock:
            left = {
                request_type: tuple(each for each in entries if not _is(each.function, handler))
                for request_type, entries in self.after.items()
            }
            if left == self.after:
                raise _not_registered(handler)
            self.after = dict(filter(itemgetter(1), left.items()))

    def add_observer(self, observer: Observer) -> None:
        check_callable(observer, ["frame"])
        check_not_async("the method", getattr(observer, "connection_changed", None))
        with self._lock:
            self.observers += (observer,)

    def remove_observer(self, observer: Observer) -> None:
        """Take away what `add_observer` added, once. Raises `UsageError` if it is not there."""
        with self._lock:
            self.observers = _without(self.observers, observer)

    # Calling

    @calls_program
    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``function`` and return what it returns. What it raises is logged, and ``None`` is returned."""
        try:
            returned = function(*arguments)
            if returned is not None:
                refuse_coroutine(function, returned)
            return returned
        except BaseException as error:  # sys.exit() and pytest.fail() too: it must not end the thread
            connection, name = self.context.connection, getattr(function, "__qualname__", function)
            client_id = None if connection is None else connection.client_id
            self._endpoint.peer_log.exception("%s failed", name, client_id=client_id)
            raise_interrupt(error)
            return None

    def submit(self, connection: Connection, function: Callable[..., Any], *arguments: Any) -> None:
        """Have ``function`` called on the handler thread of ``connection``, after the jobs submitted before."""
        connection.channel.submit(lambda: self.call(function, *arguments))
        if self.jobs is not None and self.jobs.idle:
            self.jobs.watch()

    def observe(self, connection: Connection, text: str) -> None:
        """Show a frame that was received to the observers."""
        self._lines.receive(connection, text, partial(self._find_action, connection))

    def _find_action(self, connection: Connection, message_id: str) -> Optional[str]:
        """Return the action of our request of that id, if it is pending on ``connection``, or ``None``."""
        request = connection.pending.get(message_id)
        feature = None if request is None else self._features.by_request.get((connection.dialect, type(request)))
        return None if feature is None else feature.name

    def connection_changed(self, connection: Connection, close: Optional[Close] = None) -> None:
        """Show that a connection has begun, or has ended by ``close``, to the observers that want to know that."""
        if not self._has_watchers():
            return
        if close is None:
            self._lines.change(connection, "connected")
        else:
            self._lines.change(connection, "disconnected", _reason_of(close))

    def refused(self, client_id: str, reason: str) -> None:
        """Show those observers that a client of a server was refused."""
        if self._has_watchers():
            self._show_change(ConnectionChange("refused", client_id, "", self._clock.now(), 0, reason, "csms"))

    def _has_watchers(self) -> bool:
        return any(hasattr(observer, "connection_changed") for observer in self.observers)

    def _show(self, connection: Connection, seen: Seen) -> None:
        context = self.context
        before, context.connection = context.connection, connection
        try:
            if isinstance(seen, ConnectionChange):
                self._show_change(seen)
                return
            for observer in self.observers:
                self.call(observer, seen)
            if self.frame_log.is_on():
                self.call(self.frame_log.write, seen)
        finally:
            context.connection = before

    def _show_change(self, change: ConnectionChange) -> None:
        for observer in self.observers:
            changed: Optional[Callable[[ConnectionChange], object]] = getattr(observer, "connection_changed", None)
            if changed is not None:
                self.call(changed, change)

    def write(self, connection: Connection, text: str, wait: bool = True, action: Optional[str] = None) -> None:
        """Write a frame, and show it to the observers. ``action`` is that of the CALL that it answers, if it is known.

        With ``wait`` this waits until the network has taken it. Else another thread writes what it does not take at
        once. Raises `TransportError`.
        """
        if self.observers or self.frame_log.is_on():
            request = action or partial(self._find_action, connection)
            self._lines.write(connection, text, partial(connection.channel.send, text, wait), request)
        else:
            connection.channel.send(text, wait)

    def write_by(self, connection: Connection, text: str, send: Callable[[], object]) -> None:
        """Call ``send``, which writes ``text`` in its own way, and show that to the observers."""
        if self.observers or self.frame_log.is_on():
            self._lines.write(connection, text, send, None)
        else:
            send()


_ORIGINAL = "_ocppj_original"  # the attribute of an adapted handler that has what the program registered
H = TypeVar("H", bound=Callable[..., Any])


def _reason_of(close: Close) -> str:
    """Return the close code, whose it is, and the reason."""
    whose = " by the peer" if close.by_peer else "" if close.error is not None else " by us"
    reason = close.reason or str(close.error or "")
    return f"{close.code}{whose}: {reason}" if reason else f"{close.code}{whose}"


def _is(registered: Callable[..., Any], handler: object) -> bool:
    """Tell whether ``registered`` is ``handler``, or was made of it."""
    return bool(getattr(registered, _ORIGINAL, registered) == handler)


def _without(registered: Tuple[H, ...], handler: object) -> Tuple[H, ...]:
    """Return ``registered`` without the last that is ``handler``. Raises `UsageError` if none is."""
    for index in reversed(range(len(registered))):
        if _is(registered[index], handler):
            return registered[:index] + registered[index + 1 :]
    raise _not_registered(handler)


def _not_registered(handler: object) -> UsageError:
    return UsageError(f"{getattr(handler, '__qualname__', repr(handler))} is not registered")


class Shared(NamedTuple):
    """What the parts of one endpoint share."""

    endpoint: Endpoint
    options: Options
    handlers: HandlerRegistry
    connections: Connections
    count_refusal: Callable[[str], None]  # called with the reason of each refusal
    meters: Meters
    watches: Watches
