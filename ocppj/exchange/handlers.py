"""What a program registers to be called.

Inside the library every handler takes the client's id first. A `Server`'s handlers are called just so; a `Client` has
one peer, and its handlers are called without the id (``_adapt`` drops it). Everything else is the same, and said once.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from ..errors import CallFailed, MessageError, OCPPError, UsageError
from ..payloads.model import Payload
from ..rpc.endpoint import Endpoint

__all__ = ["Frame", "Handlers", "InvalidMessageHook", "Observer", "Registering", "RequestHandler"]

# (client id, request, message id, action, signature) -> a response, or None to answer later
RequestHandler = Callable[..., Any]
# (client id, error, raw text, parsed elements) -> the error to send instead, or None
InvalidMessageHook = Callable[[str, MessageError, str, Optional[Sequence[Any]]], Optional[OCPPError]]
AfterHandler = Callable[[str, Any], None]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Frame:
    """One frame, as an observer sees it.

    ``direction`` is "in" or "out"; ``time`` is when it was read, or when it is about to be written, in UTC.
    """

    direction: str
    client_id: str
    version: str
    time: datetime
    text: str


Observer = Callable[[Frame], None]


@dataclass
class Handlers:
    """The handlers of one endpoint."""

    request: Optional[RequestHandler] = None
    by_type: Dict[Type[Payload], RequestHandler] = field(default_factory=dict)
    after: Dict[Type[Payload], List[AfterHandler]] = field(default_factory=dict)
    response: Optional[Callable[[str, Any, str], None]] = None
    error: Optional[Callable[[str, OCPPError, Mapping[str, Any]], None]] = None
    result_error: Optional[Callable[[str, OCPPError, Mapping[str, Any]], None]] = None
    canceled: Optional[Callable[[str, str, Any, CallFailed], None]] = None
    invalid_message: Optional[InvalidMessageHook] = None
    ignored_message: Optional[Callable[[str, Sequence[Any]], None]] = None
    observers: Tuple[Observer, ...] = ()

    def for_request(self, request: Payload) -> Optional[RequestHandler]:
        """Return what handles ``request``: what was registered for its type, else what takes everything."""
        return self.by_type.get(type(request), self.request)


class Registering(Endpoint):
    """The part of `Client` and `Server` that registers handlers.

    Below, ``f`` is written with the arguments of a server's handler; a client's has no ``client_id``. Each method
    returns what it was given, so that it works as a decorator. Unless it says otherwise, a handler runs on the thread
    that handles its connection just then, and may block and ``call()``.
    """

    _handlers: Handlers

    @abstractmethod
    def _adapt(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``handler`` as a function that takes the client's id first."""

    @abstractmethod
    def _parameters(self, *names: str) -> Sequence[str]:
        """Return the names of a handler's parameters: these, and the client's id before them on a server."""

    def _adapted(self, handler: Callable[..., Any], *names: str) -> Callable[..., Any]:
        check_callable(handler, self._parameters(*names))
        return self._adapt(handler)

    def _check_type(self, request_type: Type[Payload]) -> None:
        if not isinstance(request_type, type) or not issubclass(request_type, Payload):
            raise UsageError(f"a message type is wanted, such as v16.HeartbeatRequest, not {request_type!r}")
        self._features.of_request(request_type)

    def on(
        self, request_type: Type[Payload], *, pass_id: bool = False, pass_signature: bool = False
    ) -> Callable[[F], F]:
        """Have requests of that type handled by the decorated ``f(client_id, request)``.

        With ``pass_id`` it is ``f(client_id, request, message_id)``. With ``pass_signature`` one more argument comes
        last: the request's `SignatureResult`, or ``None`` when it was not signed. The handler returns the response,
        raises `OCPPError`, or returns ``None`` and answers later with ``send_response`` or ``send_error``. A later
        registration replaces an earlier one. Raises `UnsupportedFeature` when no profile has the type.
        """
        self._check_type(request_type)

        def register(handler: F) -> F:
            names = ["request"] + ["message_id"] * pass_id + ["signature"] * pass_signature
            adapted = self._adapted(handler, *names)

            def handle(client_id: str, request: Any, message_id: str, action: str, signature: Any = None) -> Any:
                return adapted(client_id, request)

            def handle_more(client_id: str, request: Any, message_id: str, action: str, signature: Any = None) -> Any:
                more = ([message_id] if pass_id else []) + ([signature] if pass_signature else [])
                return adapted(client_id, request, *more)

            self._handlers.by_type[request_type] = handle_more if pass_id or pass_signature else handle
            return handler

        return register

    def after(self, request_type: Type[Payload]) -> Callable[[F], F]:
        """Call the decorated ``f(client_id, request)`` once the response to such a request is on the wire.

        It runs on the thread that sent the response.
        """
        self._check_type(request_type)

        def register(handler: F) -> F:
            self._handlers.after.setdefault(request_type, []).append(self._adapted(handler, "request"))
            return handler

        return register

    def set_request_handler(self, handler: F, *, pass_signature: bool = False) -> F:
        """Call ``f(client_id, request, message_id, action)`` for each request that `on` has no handler for.

        ``pass_signature`` is as in `on`.
        """
        names = ["request", "message_id", "action"] + ["signature"] * pass_signature
        adapted = self._adapted(handler, *names)

        def handle(client_id: str, request: Any, message_id: str, action: str, signature: Any = None) -> Any:
            return adapted(client_id, request, message_id, action, *([signature] if pass_signature else []))

        self._handlers.request = handle
        return handler

    def set_response_handler(self, handler: F) -> F:
        """Call ``f(client_id, response, message_id)`` for each response, besides the future."""
        self._handlers.response = self._adapted(handler, "response", "message_id")
        return handler

    def set_error_handler(self, handler: F) -> F:
        """Call ``f(client_id, error: OCPPError, details)`` for each CALLERROR, besides the future."""
        self._handlers.error = self._adapted(handler, "error", "details")
        return handler

    def set_result_error_handler(self, handler: F) -> F:
        """Call ``f(client_id, error: OCPPError, details)`` for each CALLRESULTERROR: an answer of ours was refused.

        ``error.message_id`` is the id of the CALL that was answered. OCPP 2.1 only (Part 4 section 4.2.3).
        """
        self._handlers.result_error = self._adapted(handler, "error", "details")
        return handler

    def set_canceled_request_handler(self, handler: F) -> F:
        """Call ``f(client_id, message_id, request, error)`` for each request that ends without a valid answer.

        ``error`` is a `CallFailed` with a ``code`` and a ``description``. It runs on the thread on which that is found
        out, and must not block. It may queue the request again: on a connection that takes nothing it is then told of
        that one, too, at once for some times, and every five seconds until the end of the connection is noticed.
        """
        self._handlers.canceled = self._adapted(handler, "message_id", "request", "error")
        return handler

    def set_invalid_message_hook(self, hook: F) -> F:
        """Call ``f(client_id, error: MessageError, text, fields)`` for each invalid frame.

        ``fields`` is ``None`` when the frame is no JSON array. An `OCPPError` that it returns is sent in place of the
        error, if one is to be sent. It runs on the thread that reads the connection, and must not block.
        """
        self._handlers.invalid_message = self._adapted(hook, "error", "text", "fields")
        return hook

    def set_ignored_message_handler(self, handler: F) -> F:
        """Call ``f(client_id, fields)`` for each answer that no request waits for; on the reading thread."""
        self._handlers.ignored_message = self._adapted(handler, "fields")
        return handler

    def add_observer(self, observer: Observer) -> Observer:
        """Call ``observer(frame)`` for each `Frame` in and out, on the thread that reads or writes it."""
        check_callable(observer, ["frame"])
        self._handlers.observers += (observer,)
        return observer


def check_callable(handler: Any, names: Sequence[str]) -> None:
    """Raise `UsageError` unless ``handler`` can be called with so many arguments."""
    wanted = f"f({', '.join(names)})"
    if not callable(handler):
        raise UsageError(f"a handler is a function {wanted}, not {handler!r}")
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # a builtin that does not tell
        return
    try:
        signature.bind(*names)
    except TypeError as error:
        name = getattr(handler, "__qualname__", repr(handler))
        raise UsageError(f"the handler {name}{signature} is to be called as {wanted}: {error}") from None
