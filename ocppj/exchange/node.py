"""`Node`: an `Endpoint` with connections: the kind of thing that `Client` and `Server` are.

It holds the parts that both have, and the methods that are the same for both. What each part does stands in its file.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, Callable, Iterable, Optional, Type, TypeVar, Union

from ..dispatch.timeouts import Timeouts
from ..errors import OCPPError, Stopped, UsageError
from ..payloads.model import Payload
from ..rpc.endpoint import Endpoint
from ..rpc.features import Profile
from ..ws.base import Client as WsClient
from ..ws.base import Server as WsServer
from .caller import Caller, PeerDispatcher
from .connection import Connection, Connections
from .handlers import HandlerRegistry, Observer, Shared, check_callable
from .lifecycle import Lifecycle
from .notices import Notice, Notices
from .options import Options
from .responder import Responder
from .router import Router

__all__ = ["Network", "Node"]

F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", bound="Node")


class Network:
    """Where a dispatcher writes: the present connections."""

    def __init__(self, send: Callable[..., None]) -> None:
        self.send = send


class Node(Endpoint):
    """What `Client` and `Server` have in common.

    Handlers are written here as a server's are: with the client's id as their first argument. A client has one peer,
    and its handlers are called without it. Unless its method says otherwise, a handler runs on the thread that handles
    its connection just then, and may block and ``call()``. Each method that registers a handler returns it, so that it
    works as a decorator.
    """

    _ws: Union[WsClient, WsServer]

    def __init__(self, name: str, profiles: Iterable[Profile], options: Options, *, with_client_id: bool) -> None:
        super().__init__(
            profiles,
            signer=options.signer,
            verifier=options.verifier,
            validate=options.validate,
            message_id_generator=options.message_id_generator,
            logger=options.logger,
        )
        self._name = name
        self._options = options
        self._lifecycle = Lifecycle(name)
        self._timeouts = Timeouts(options.clock)
        self._handlers = HandlerRegistry(self, self._features, options.clock, with_client_id=with_client_id)
        self._notices = Notices(options.clock, self._report_late)

    def __str__(self) -> str:
        return self._name

    def _hold_parts(
        self,
        dispatcher: PeerDispatcher,
        absent: Callable[[str], Exception],
        count_refusal: Callable[[str], None],
        unconnected: bool,
        retry: Optional[Callable[[str, OCPPError], bool]] = None,
    ) -> None:
        """Make the parts that need the transport and the dispatcher. The arguments are as the parts take them."""
        self._connections = Connections(absent)
        shared = Shared(self, self._options, self._handlers, self._connections, count_refusal)
        make_id, timeouts = self._create_id, self._timeouts
        self._caller = Caller(shared, self._features, make_id, self._ws, dispatcher, timeouts, unconnected, retry)
        self._responder = Responder(shared)
        self._router = Router(shared, self._caller, self._responder)

    def _of_transport(self, name: str) -> Callable[..., Any]:
        """Return a method that a transport of the program's own may lack."""
        method: Optional[Callable[..., Any]] = getattr(self._ws, name, None)
        if method is None:
            raise UsageError(f"the transport {type(self._ws).__name__} has no {name}()")
        return method

    # Life cycle

    def _begin(self) -> object:
        """Begin a session and return it. Raises `UsageError` without profiles, and when one has not ended."""
        if not self.profiles:
            raise UsageError(f"{self} has no profiles, hence no OCPP version to speak")
        session = self._lifecycle.begin()
        self._timeouts.start()
        return session

    def _stop(self, stop_dispatcher: Callable[[], None], stop_transport: Callable[[], None]) -> None:
        """End the session; see `Client.stop`."""
        self._lifecycle.stop([stop_dispatcher, self._fail_calls, stop_transport, self._timeouts.stop])

    def _fail_calls(self) -> None:
        for open_call in self._caller.calls.take_all():  # the dispatcher has forgotten them
            open_call.fail(Stopped(f"{self} was stopped", open_call.message_id))

    @abstractmethod
    def stop(self) -> None:
        """End the session: see `Client.stop`."""

    def __enter__(self: N) -> N:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _add_notice(self, connection: Connection, handler: Callable[..., object], *arguments: Any) -> Notice:
        """Note that ``handler`` is to be told something about ``connection``, after what was noted before."""
        return self._notices.add(connection.client_id, partial(self._handlers.call, handler, *arguments), connection)

    def _announce(self, connection: Connection, notice: Notice, patience: Optional[float] = None) -> None:
        """Have ``notice`` told on the handler thread of ``connection``; see `Notices.tell`."""
        try:
            self._handlers.submit(connection, self._notices.tell, notice, patience)
        except BaseException:  # no thread: another one tells it, because what is announced later comes after it
            self._notices.tell_ready(notice)
            raise

    def _report_late(self, client_id: str) -> None:
        self.log.error("%s: a handler of the connection before does not end", client_id)

    # Handlers that a client and a server have alike

    def after(self, request_type: Type[Payload]) -> Callable[[F], F]:
        """Call the decorated ``f(client_id, request)`` once the response to such a request is on the wire.

        It runs on the thread that sent the response.

        Raises:
            UnsupportedFeature: No profile has the type.
        """
        self._handlers.check_request_type(request_type)

        def register(handler: F) -> F:
            adapted = self._handlers.adapt(handler, "request")
            self._handlers.after.setdefault(request_type, []).append(adapted)
            return handler

        return register

    def set_request_handler(self, handler: F, *, pass_signature: bool = False) -> F:
        """Call ``f(client_id, request, message_id, action)`` for each request that `on` has no handler for.

        ``pass_signature`` is as in `on`.
        """
        self._handlers.add_request_handler(None, handler, signature=pass_signature)
        return handler

    def set_response_handler(self, handler: F) -> F:
        """Call ``f(client_id, response, message_id)`` for each response, besides the future."""
        self._handlers.response = self._handlers.adapt(handler, "response", "message_id")
        return handler

    def set_error_handler(self, handler: F) -> F:
        """Call ``f(client_id, error: OCPPError, details)`` for each CALLERROR, besides the future."""
        self._handlers.error = self._handlers.adapt(handler, "error", "details")
        return handler

    def set_result_error_handler(self, handler: F) -> F:
        """Call ``f(client_id, error: OCPPError, details)`` for each CALLRESULTERROR: the peer refused our answer.

        ``error.message_id`` is the id of the CALL that was answered. OCPP 2.1 only (Part 4 section 4.2.3).
        """
        self._handlers.result_error = self._handlers.adapt(handler, "error", "details")
        return handler

    def set_canceled_request_handler(self, handler: F) -> F:
        """Call ``f(client_id, message_id, request, error)`` for each request that ends without a valid answer.

        ``error`` is a `CallFailed` with a ``code`` and a ``description``. The handler runs on the thread that finds the
        end of the request, and must not block. It may queue the request again. On a connection that takes nothing that
        request fails, too, and the handler is called for it: at once for the first few times, then every five seconds,
        until the end of the connection is noticed.
        """
        self._handlers.canceled = self._handlers.adapt(handler, "message_id", "request", "error")
        return handler

    def set_invalid_message_hook(self, hook: F) -> F:
        """Call ``f(client_id, error: MessageError, text, fields)`` for each invalid frame.

        ``fields`` is ``None`` when the frame is no JSON array. An `OCPPError` that the hook returns is sent in place of
        the error, if one is to be sent. It runs on the thread that reads the connection, and must not block.
        """
        self._handlers.invalid_message = self._handlers.adapt(hook, "error", "text", "fields")
        return hook

    def set_ignored_message_handler(self, handler: F) -> F:
        """Call ``f(client_id, fields)`` for each answer that no request waits for; on the reading thread."""
        self._handlers.ignored_message = self._handlers.adapt(handler, "fields")
        return handler

    def add_observer(self, observer: Observer) -> Observer:
        """Call ``observer(frame)`` for each `Frame` in and out, on the thread that reads or writes it."""
        check_callable(observer, ["frame"])
        self._handlers.observers += (observer,)
        return observer
