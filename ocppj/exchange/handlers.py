"""What a program registers to be called, and how it is called.

Inside the library every handler takes the client's id first. A `Server`'s handlers are called just so. A `Client` has
one peer, and `HandlerRegistry.adapt` drops the id for its handlers.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar

from ..clock import Clock
from ..errors import CallFailed, MessageError, OCPPError, UsageError
from ..payloads.model import Payload
from ..rpc.endpoint import Endpoint
from ..rpc.feature_registry import FeatureRegistry
from .connection import Connection, Connections, ThreadContext
from .options import Options

__all__ = ["Frame", "HandlerRegistry", "Observer", "RequestHandler", "Shared", "check_callable"]

# (client id, error, raw text, parsed elements) -> the error to send instead, or None
_InvalidMessageHook = Callable[[str, MessageError, str, Optional[Sequence[Any]]], Optional[OCPPError]]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Frame:
    """One frame, as an observer sees it.

    Attributes:
        direction: "in" or "out".
        client_id: The identity of the charge point.
        version: The OCPP version of the connection, such as "1.6".
        time: When it was read, or when it is about to be written, in UTC.
        text: The frame as it is on the wire.
    """

    direction: str
    client_id: str
    version: str
    time: datetime
    text: str


Observer = Callable[[Frame], None]


class RequestHandler(NamedTuple):
    """A handler of requests: ``function(client_id, request, ...)``, and which arguments it takes after these two."""

    function: Callable[..., Any]
    pass_id: bool = False
    pass_action: bool = False
    pass_signature: bool = False


class HandlerRegistry:
    """The handlers of one endpoint."""

    def __init__(self, endpoint: Endpoint, features: FeatureRegistry, clock: Clock, *, with_client_id: bool) -> None:
        self._endpoint = endpoint
        self._features = features
        self._clock = clock
        self.context = ThreadContext()
        self._with_client_id = with_client_id
        self.request: Optional[RequestHandler] = None  # what takes every request that has no handler of its own
        self.by_type: Dict[Type[Payload], RequestHandler] = {}
        self.after: Dict[Type[Payload], List[Callable[[str, Any], None]]] = {}
        self.response: Optional[Callable[[str, Any, str], None]] = None
        self.error: Optional[Callable[[str, OCPPError, Mapping[str, Any]], None]] = None
        self.result_error: Optional[Callable[[str, OCPPError, Mapping[str, Any]], None]] = None
        self.canceled: Optional[Callable[[str, str, Any, CallFailed], None]] = None
        self.invalid_message: Optional[_InvalidMessageHook] = None
        self.ignored_message: Optional[Callable[[str, Sequence[Any]], None]] = None
        self.observers: Tuple[Observer, ...] = ()

    # Registering

    def adapt(self, handler: Callable[..., Any], *names: str) -> Callable[..., Any]:
        """Return ``handler``, which takes ``names``, as a function that takes the client's id first."""
        if self._with_client_id:
            check_callable(handler, ("client_id", *names))
            return handler
        check_callable(handler, names)

        def adapted(client_id: str, *arguments: Any) -> Any:
            return handler(*arguments)

        adapted.__qualname__ = str(getattr(handler, "__qualname__", handler))  # for the log
        return adapted

    def check_request_type(self, request_type: Type[Payload]) -> None:
        """Raise `UsageError` for what is no message type, `UnsupportedFeature` for one that no profile has."""
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

    def on(self, request_type: Type[Payload], pass_id: bool, pass_signature: bool) -> Callable[[F], F]:
        """Return a decorator that registers a handler for that type; see `Client.on`."""
        self.check_request_type(request_type)

        def register(handler: F) -> F:
            self.add_request_handler(request_type, handler, id=pass_id, signature=pass_signature)
            return handler

        return register

    # Calling

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``function`` and return what it returns. What it raises is logged, and ``None`` is returned."""
        try:
            return function(*arguments)
        except BaseException:  # sys.exit() and pytest.fail() too: it must not end the thread
            self._endpoint.log.exception("%s failed", getattr(function, "__qualname__", function))
            return None

    def submit(self, connection: Connection, function: Callable[..., Any], *arguments: Any) -> None:
        """Have ``function`` called on the handler thread of ``connection``, after the jobs submitted before."""
        connection.channel.submit(lambda: self.call(function, *arguments))

    def observe(self, direction: str, connection: Connection, text: str) -> None:
        """Show a frame to the observers, on this thread."""
        frame = Frame(direction, connection.client_id, connection.dialect.version, self._clock.now(), text)
        context = self.context
        before, context.connection = context.connection, connection
        try:
            for observer in self.observers:
                self.call(observer, frame)
        finally:
            context.connection = before

    def write(self, connection: Connection, text: str, wait: bool = True) -> None:
        """Show a frame to the observers and write it.

        With ``wait`` this waits until the network has taken it. Else another thread writes what it does not take at
        once. Raises `TransportError`.
        """
        if self.observers:
            self.observe("out", connection, text)
        connection.channel.send(text, wait)


class Shared(NamedTuple):
    """What the parts of one endpoint share."""

    endpoint: Endpoint
    options: Options
    handlers: HandlerRegistry
    connections: Connections
    count_refusal: Callable[[str], None]  # called with the reason of each refusal


def check_callable(handler: Any, names: Sequence[str]) -> None:
    """Raise `UsageError` unless ``handler`` can be called with so many arguments."""
    wanted = f"f({', '.join(names)})"
    if not callable(handler):
        raise UsageError(f"a handler is a function {wanted}, not {handler!r}")
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # a builtin without a signature
        return
    try:
        signature.bind(*names)
    except TypeError as error:
        name = getattr(handler, "__qualname__", repr(handler))
        raise UsageError(f"the handler {name}{signature} is to be called as {wanted}: {error}") from None
