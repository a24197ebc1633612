"""`Node`: an `Endpoint` with connections: the kind of thing that `Client` and `Server` are.

It holds the parts that both have, and the methods that are the same for both. What each part does stands in its file.
"""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from functools import partial
from inspect import signature
from threading import get_ident
from types import FrameType
from typing import Any, Callable, Iterable, List, Mapping, Optional, Type, TypeVar, Union

from ..activity import UNCOUNTED
from ..budget import MemoryBudget
from ..dispatch.interfaces import ClientDispatcher, ServerDispatcher
from ..dispatch.timeouts import DEFAULT_TIMEOUT, Timeouts
from ..errors import OCPPError, Stopped, UsageError
from ..events import Event
from ..forks import register
from ..interrupted import FREE, called_by_program, place_of
from ..log_limit import LimitedLog
from ..option_checks import check_option
from ..payloads.model import Payload
from ..rpc.endpoint import Endpoint
from ..rpc.features import Profile
from ..settings import ValidationChoice
from ..ws.base import Client as WsClient
from ..ws.base import RunningJob
from ..ws.base import Server as WsServer
from .boot_first import BootFirst
from .busy import BusyHandler, busy_handlers
from .caller import Caller, PeerDispatcher
from .connection import Connection, Connections
from .counted import CountedDispatcher
from .exits import stop_at_exit
from .handlers import HandlerRegistry, Observer, Shared
from .lifecycle import Lifecycle
from .meters import Meters
from .notices import Notice, Notices
from .options import Options
from .responder import Responder
from .router import Router
from .signals import stop_on_sigterm
from .watches import Watch, Watches

__all__ = ["Network", "Node"]

F = TypeVar("F", bound=Callable[..., Any])
H = TypeVar("H", bound=Optional[Callable[..., Any]])
N = TypeVar("N", bound="Node")


_SLICE = 0.5  # seconds that `start` waits at a time: a signal that comes just before a wait does not end it
_LOOK = 0.01  # seconds between two looks whether something is under way
_AT_EXIT = 5.0  # seconds that the stop of one endpoint may take at the end of the program
_SHARE = 0.65  # of the time of a stop: a transport takes up to 1.4 times its timeout when it must cut connections


class Network:
    """Where a dispatcher writes: the present connections."""

    def __init__(self, send: Callable[..., None]) -> None:
        self.send = send


class _SecondInterrupt(KeyboardInterrupt):
    """Ctrl-C was pressed again while what the first had interrupted was undone: nothing is waited for any more."""


class Node(Endpoint):
    """What `Client` and `Server` have in common.

    Handlers are written here as a server's are: with the client's id as their first argument. A client has one peer,
    and its handlers are called without it. Unless its method says otherwise, a handler runs on the thread that handles
    its connection just then, and may block and ``call()``. Each method that registers a handler returns it, so that it
    works as a decorator. ``None`` takes away what a method ``set_...`` set.
    """

    _ws: Union[WsClient, WsServer]
    _dispatcher: Union[ClientDispatcher, ServerDispatcher]

    def __init__(self, name: str, profiles: Iterable[Profile], options: Options, *, with_client_id: bool) -> None:
        super().__init__(
            profiles,
            datetime_digits=options.datetime_digits,
            signer=options.signer,
            verifier=options.verifier,
            validate=options.validate,
            message_id_generator=options.message_id_generator,
            logger=options.logger,
        )
        self._name = name
        self._options = options
        self._lifecycle = Lifecycle(name)
        self._timeouts = Timeouts(options.clock, log=self.safe_log)
        self.peer_log: LimitedLog = LimitedLog(lambda: self.log, options.clock.monotonic, self._timeouts.add)
        self._handlers = HandlerRegistry(self, self._features, options.clock, with_client_id=with_client_id)
        self._notices = Notices(options.clock, self._report_late)
        self._when_begun: List[Callable[[], object]] = []  # called when a session has begun, on the thread that begins

    def __str__(self) -> str:
        return self._name

    def set_message_validation(self, setting: Optional[ValidationChoice]) -> None:
        """Set how payloads are checked, from the next message on: see ``validate`` of `Client` and `Server`.

        Raises:
            UsageError: There is no such mode, or the function cannot be called as ``f(client_id)``.
        """
        check_option("Endpoint", "validate", setting)
        super().set_message_validation(setting)

    def _hold_parts(
        self,
        dispatcher: PeerDispatcher,
        absent: Callable[[str], Exception],
        count_refusal: Callable[[str], None],
        unconnected: bool,
        retry: Optional[Callable[[str, OCPPError], bool]] = None,
        boot: Optional[BootFirst] = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Make the parts that need the transport and the dispatcher. The arguments are as the parts take them."""
        self._connections = Connections(absent)
        self._meters = Meters(self._features.has_action)
        self._watches = Watches(self._handlers.call)
        watching = self._meters, self._watches
        shared = Shared(self, self._options, self._handlers, self._connections, count_refusal, *watching)
        make_id, timeouts = self._create_id, self._timeouts
        activity = getattr(self._ws, "activity", UNCOUNTED)
        if activity is not UNCOUNTED:  # that of a network in memory
            dispatcher = CountedDispatcher(dispatcher, activity)
            timeouts.activity = activity
            getattr(self._options.clock, "count_in", lambda activity: None)(activity)
        sending = self._features, make_id, self._ws, dispatcher, timeouts
        self._caller = Caller(shared, *sending, unconnected, retry, boot, timeout)
        budget = getattr(self._ws, "budget", None)  # a transport of the program's own has none
        self._responder = Responder(shared, timeouts, MemoryBudget() if budget is None else budget, self._ws)
        self._router = Router(shared, self._caller, self._responder)
        register(self)
        stop_at_exit(self)

    def _after_fork(self) -> None:
        """Forget the session, which is the parent's: see `ocppj.forks`. For the library."""
        self._lifecycle._after_fork()
        self._connections.by_channel.clear()
        self._connections.by_id.clear()
        self._meters._after_fork()
        self._caller._after_fork()
        self._responder._after_fork()
        self._notices._after_fork()

    def _share_logger(self, *parts: object, client_id: Optional[str] = None) -> None:
        """Have ``parts`` log to the logger of this endpoint. A part of the program's own need not be able to."""
        for part in parts:
            getattr(part, "set_logger", lambda logger, client_id: None)(self._options.logger, client_id)

    def _of_transport(self, name: str) -> Callable[..., Any]:
        """Return a method that a transport of the program's own may lack."""
        method: Optional[Callable[..., Any]] = getattr(self._ws, name, None)
        if method is None:
            raise UsageError(f"the transport {type(self._ws).__name__} has no {name}()")
        return method

    def _of_channel(self, client_id: str, name: str) -> Callable[..., Any]:
        """Return a method of the present channel to that peer, which one of the program's own may lack."""
        channel = self._connections.get(client_id).channel
        method: Optional[Callable[..., Any]] = getattr(channel, name, None)
        if method is None:
            raise UsageError(f"the channels of the transport {type(self._ws).__name__} have no {name}()")
        return method

    def _send_raw(self, client_id: str, text: str) -> None:
        """Send ``text`` to that peer as it is; see `Client.send_raw`."""
        if not isinstance(text, str):
            raise UsageError(f"a frame is a text, not {type(text).__name__}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(f"the text cannot be sent as UTF-8: {error}") from error
        connection = self._connections.get(client_id)
        connection.note_raw()
        self._handlers.write(connection, text)

    def _send_frame(self, client_id: str, opcode: int, data: bytes, fin: bool) -> None:
        """Send that peer one frame as it is; see `Client.send_frame`."""
        send = self._of_channel(client_id, "send_frame")
        connection = self._connections.get(client_id)
        connection.note_raw()
        text = connection.take_frame(opcode, data, fin)
        if text is None:
            send(opcode, data, fin)
        else:
            self._handlers.write_by(connection, text, partial(send, opcode, data, fin))

    # Life cycle

    def _begin(self, asked: object) -> object:
        """Begin a session and return it.

        Raises:
            UsageError: There are no profiles, or another session has not ended.
            Stopped: `stop` was called by a signal handler, say, since `Lifecycle.asked` was ``asked``.
        """
        if not self.profiles:
            raise UsageError(f"{self} has no profiles, hence no OCPP version to speak")
        lifecycle = self._lifecycle
        try:
            session = lifecycle.begin()
        except UsageError as error:
            if lifecycle.asked is not asked:
                raise self._stopped() from error
            raise
        self._responder.overdue.reset()
        self._caller.ends.begin()
        self._caller.closing = False
        self._timeouts.start()
        if lifecycle.asked is not asked:  # before there was this session to stop
            self._stop_now(session)
            raise self._stopped()
        for step in list(self._when_begun):
            step()
        return session

    def _stopped(self) -> Stopped:
        return self._caller.describe(Stopped("stopped while it began"), None)

    @called_by_program
    def _run(self, begin: Callable[[], object], signals: bool) -> bool:
        """Call ``begin``, and wait for the end of the session; false if it was stopped before it had begun.

        Ctrl-C and SIGTERM end it, unless ``signals`` is false. See `Server.start`.
        """
        try:
            with stop_on_sigterm(self._stop_for, signals):
                try:
                    begin()
                except Stopped:
                    return False
                while not self._lifecycle.ended.wait(_SLICE):  # see there
                    pass
        except KeyboardInterrupt as error:
            if not signals or isinstance(error, _SecondInterrupt):
                raise
            self._stop_for(sys._getframe())
        return True

    def _stop_for(
        self, caller: Optional[FrameType], timeout: Optional[float] = None, drain: Optional[float] = None
    ) -> None:
        """End the session; see `Client.stop`. ``caller`` is the frame that called it, if there is one."""
        lifecycle = self._lifecycle
        if sys.is_finalizing():  # the other threads are gone, perhaps with locks of ours
            return
        if lifecycle.is_parents:
            return
        check_option("stop", "timeout", timeout)
        check_option("stop", "drain", drain)
        if place_of(caller) is FREE:
            self._stop_within(None, timeout, drain)
        elif get_ident() not in lifecycle.stoppers:  # else this thread is stopping it, and goes on with that
            lifecycle.asked = object()
            seconds = 0.0 if get_ident() in lifecycle.beginners else None  # it ends when this thread has gone on
            lifecycle.hand_over(partial(self._stop_within, lifecycle.session, timeout, drain), seconds)

    def _stop_within(self, session: Optional[object], timeout: Optional[float], drain: Optional[float]) -> None:
        """End ``session``, or the present one, within ``timeout`` seconds; see `Client.stop`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if drain:
            session = session or self._lifecycle.session  # another one may begin meanwhile, and goes on
            self._drain(session, drain if timeout is None else min(drain, timeout))
        self._stop_now(session, None if deadline is None else max(0.0, deadline - time.monotonic()))
        self._caller.closing = False

    def _drain(self, session: object, seconds: float) -> None:
        """Take no more requests, and wait up to ``seconds`` for the end of what is under way in ``session``."""
        lifecycle, caller = self._lifecycle, self._caller
        if not lifecycle.started or session is not lifecycle.session:
            return
        announce: Callable[[bool], None] = getattr(self._ws, "announce_closing", lambda closing: None)
        caller.closing = True
        announce(True)
        is_handled, deadline = self._responder.under_way(), time.monotonic() + seconds
        try:
            while lifecycle.started and session is lifecycle.session and time.monotonic() < deadline:
                if not (is_handled() or caller.has_open() or self._has_pending()):
                    return
                Event().wait(_LOOK)
        except BaseException:  # such as KeyboardInterrupt: it is not stopped
            caller.closing = False
            announce(False)
            raise

    @abstractmethod
    def _has_pending(self) -> bool:
        """Tell whether the answer to a request is awaited."""

    def _stop_at_exit(self, seconds: float) -> None:
        """Stop at the end of the program: see `ocppj.exchange.exits`. For the library."""
        if self._lifecycle.started:
            self._stop_now(None, min(seconds, _AT_EXIT))

    def _undo(self, session: object, error: BaseException) -> None:
        """Stop what has begun of ``session``, because ``error`` has interrupted the beginning."""
        try:
            self._stop_now(session)
        except KeyboardInterrupt:
            if isinstance(error, KeyboardInterrupt):
                raise _SecondInterrupt from None
            raise

    @abstractmethod
    def _stop_now(self, session: Optional[object] = None, timeout: Optional[float] = None) -> None:
        """End ``session``, or the present one, within ``timeout`` seconds. ``None``: as long as each part may take."""

    def _stop(
        self,
        stop_dispatcher: Callable[[], None],
        stop_transport: Callable[[Optional[float]], None],
        session: Optional[object],
        timeout: Optional[float],
    ) -> None:
        """Do what `_stop_now` does, with these functions of its subclass."""
        deadline = None if timeout is None else time.monotonic() + timeout

        def left() -> Optional[float]:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        def end_transport() -> None:
            stop_transport(left())

        def stop_timer() -> None:
            seconds = left()
            self._timeouts.stop() if seconds is None else self._timeouts.stop(seconds)

        def forget() -> None:
            self._responder.left.clear()
            self._responder.waiting.clear()

        told = self._caller.ends.tell_rest  # after the transport, which discards jobs that have not begun
        left_out = partial(self.peer_log.report, last=True)
        last: List[Callable[[], object]] = [forget, told, self._release_files, stop_timer, left_out]
        self._lifecycle.stop([stop_dispatcher, self._fail_calls, end_transport, *last], session)

    def _stop_ws(self, timeout: Optional[float]) -> None:
        """Stop the transport, within ``timeout`` seconds if it can be told so: one of the program's own may not."""
        stop: Callable[..., None] = self._ws.stop
        if timeout is None or "timeout" not in signature(stop).parameters:
            stop()
        else:
            stop(timeout=timeout * _SHARE)

    def _fail_calls(self) -> None:
        # The dispatcher has forgotten them.
        self._caller.fail_taken(self._caller.calls.take_all(), partial(Stopped, "stopped before the answer came"))

    def _release_files(self) -> None:
        context = self._handlers.context
        if not context.telling and context.connection is None:  # else this thread closes them when it is done
            self._dispatcher.release_files()

    @abstractmethod
    def stop(self, timeout: Optional[float] = None, drain: Optional[float] = None) -> None:
        """End the session: see `Client.stop`."""

    def __enter__(self: N) -> N:
        return self

    @called_by_program
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
        words = "%s: a handler of the connection before does not end"
        self.safe_log.error(words, client_id, client_id=client_id)

    def busy_handlers(self) -> List[BusyHandler]:
        """Return the handlers that run, or block, just now, the longest first. For any thread.

        With shared readers (`SharedReaders`) these hold the slots.
        """
        running: Callable[[], List[RunningJob]] = getattr(self._ws, "running_jobs", list)
        return busy_handlers(running(), self._responder.handled)

    # Requests from JSON

    def _make_request(
        self, client_id: str, action: str, payload: Optional[Mapping[str, Any]], version: Optional[str]
    ) -> Any:
        """Return a typed request of ``version``, or of that of the connection; see `Server.make_request`."""
        dialects = {each.version: each for each in self.dialects}
        if version is None:
            dialect = self._connections.get(client_id).dialect
        elif version in dialects:
            dialect = dialects[version]
        else:
            raise UsageError(f"{self} speaks OCPP {', '.join(dialects) or 'nothing'}, not {version!r}")
        return self.create_request(action, {} if payload is None else payload, dialect)

    # Handlers that a client and a server have alike

    def off(self, *request_types: Type[Payload]) -> None:
        """Take away the handlers that `on` registered for these types. Their requests go to `set_request_handler`.

        Raises:
            UsageError: There is no such handler.
            UnsupportedFeature: No profile has the type.
        """
        self._handlers.off(request_types)

    def before(self, handler: F) -> F:
        """Call ``f(client_id, action, request)`` before the handler of each request, and where there is none, too.

        It runs on the handler thread. An `OCPPError` that it raises is the answer, and the handler does not run. With
        any other exception the answer is InternalError. A SEND, which has no answer, is dropped then. What it returns
        has no effect. Several run in the order in which they were registered. The signature of a signed request is
        verified after that. A request of an action that no profile has, and one that breaks its schema, is refused
        before.
        """
        self._handlers.add_before(handler)
        return handler

    def remove_before(self, handler: Callable[..., Any]) -> None:
        """Take away what `before` registered. Raises `UsageError` if it is not there."""
        self._handlers.remove_before(handler)

    def after(self, request_type: Type[Payload], *more: Type[Payload], pass_response: bool = False) -> Callable[[F], F]:
        """Call the decorated ``f(client_id, request)`` once the response to such a request is on the wire.

        Where threads are shared, and the network does not take the response at once, it may still wait to be written.
        It runs on the thread that sent the response. Several run in the order in which they were registered.

        Args:
            request_type: A message type, such as ``v16.BootNotificationRequest``.
            more: Further types.
            pass_response: Whether the response is the last argument: ``f(client_id, request, response)``.

        Raises:
            UnsupportedFeature: No profile has the type.
        """
        request_types = (request_type, *more)
        self._handlers.check_request_types(request_types)

        def register(handler: F) -> F:
            self._handlers.add_after(request_types, handler, pass_response)
            return handler

        return register

    def remove_after(self, handler: Callable[..., Any]) -> None:
        """Take away what `after` registered, for all its types. Raises `UsageError` if it is not there."""
        self._handlers.remove_after(handler)

    def set_request_handler(self, handler: H, *, pass_signature: bool = False) -> H:
        """Call ``f(client_id, request, message_id, action)`` for each request that `on` has no handler for.

        ``pass_signature`` is as in `on`.
        """
        if handler is None:
            self._handlers.request = None
        else:
            self._handlers.add_request_handler(None, handler, signature=pass_signature)
        return handler

    def set_response_handler(self, handler: H) -> H:
        """Call ``f(client_id, response, message_id)`` for each response, besides the future.

        A handler that takes one argument more gets the request, too: ``f(client_id, response, message_id, request)``.
        An argument with a default value does not count: it keeps its default.
        """
        self._handlers.response = self._handlers.adapt_or_none(handler, "response", "message_id", optional=["request"])
        return handler

    def set_error_handler(self, handler: H) -> H:
        """Call ``f(client_id, error: OCPPError, details)`` for each CALLERROR, besides the future.

        A handler that takes one argument more gets the request, too: ``f(client_id, error, details, request)``. An
        argument with a default value does not count: it keeps its default.
        """
        self._handlers.error = self._handlers.adapt_or_none(handler, "error", "details", optional=["request"])
        return handler

    def set_result_error_handler(self, handler: H) -> H:
        """Call ``f(client_id, error: OCPPError, details)`` for each CALLRESULTERROR: the peer refused our answer.

        ``error.message_id`` is the id of the CALL that was answered. OCPP 2.1 only (Part 4 section 4.2.3).
        """
        self._handlers.result_error = self._handlers.adapt_or_none(handler, "error", "details")
        return handler

    def set_canceled_request_handler(self, handler: H) -> H:
        """Call ``f(client_id, message_id, request, error)`` for each request that ends without a valid answer.

        ``error`` is a `CallFailed` with a ``code`` and a ``description``. The handler runs on the thread that finds the
        end of the request, and must not block. It may queue the request again. On a connection that takes nothing that
        request fails, too, and the handler is called for it: at once for the first few times, then every five seconds,
        until the end of the connection is noticed.
        """
        self._handlers.canceled = self._handlers.adapt_or_none(handler, "message_id", "request", "error")
        return handler

    def set_ended_handler(self, handler: H) -> H:
        """Call ``f(client_id, request, outcome)`` once for each request that has ended, however it has.

        ``outcome`` is the typed response, or the exception: an `OCPPError` (the peer refused it), or a `CallFailed`. It
        is called after the future and the other handlers, for requests of `call` as well. It runs on the thread that
        handles the connection of that client just then. Without a connection it runs on the thread that finds the end,
        and must not block: the one that calls ``stop()`` or cancels the future, that of the timer, or the one that
        found the connection lost. A stored request that ``stop()`` keeps has not ended.
        """
        self._handlers.ended = self._handlers.adapt_or_none(handler, "request", "outcome")
        return handler

    def set_invalid_message_hook(self, hook: H) -> H:
        """Call ``f(client_id, error: MessageError, text, fields)`` for each invalid frame.

        ``fields`` is ``None`` when the frame is no JSON array. If its type or id cannot be read, ``error.visible_type``
        and ``error.visible_id`` are what stands at the head of the text. The hook runs on the thread that reads the
        connection, and must not block.

        An `OCPPError` that the hook returns is sent in place of the error, if one is to be sent. With a ``message_id``
        it is always sent, with that id, so that a CALL that cannot be read is answered, in OCPP 1.6 too; and the frame
        is not counted as a bad one (``max_bad_messages``). Nothing is sent for an answer or a SEND of the peer, which
        no error answers (OCPP-J 1.6 and OCPP 2.x Part 4, both section 4.2.3).
        """
        self._handlers.invalid_message = self._handlers.adapt_or_none(hook, "error", "text", "fields")
        return hook

    def set_text_hook(self, hook: H) -> H:
        """Call ``f(client_id, text) -> text`` with each text that comes in, and read what it returns in its place.

        So a frame that is no JSON can be repaired: docs/chargers.md shows how. An empty text is ignored. If the hook
        raises or returns no text, this is logged, and the text is read as it came. Observers are shown it as it came.
        The invalid-message hook gets it as the text hook returned it.

        The hook runs on the thread that reads the connection, before each frame: it must be fast, and must not block.
        """
        self._handlers.text = self._handlers.adapt_or_none(hook, "text")
        return hook

    def set_ignored_message_handler(self, handler: H) -> H:
        """Call ``f(client_id, fields)`` for each answer that no request waits for; on the reading thread."""
        self._handlers.ignored_message = self._handlers.adapt_or_none(handler, "fields")
        return handler

    def add_observer(self, observer: Observer) -> Observer:
        """Call ``observer(frame)`` for each `Frame` that was received, and for each when it was written.

        The frames of a connection are shown one at a time, a request before its answer. A frame whose write failed has
        ``sent=False`` and the ``error``. It is called on the thread that reads or writes the frame. If another thread
        just then calls it for an earlier frame of the connection, that thread calls it for this one, too. It must not
        block.

        An observer that has a method ``connection_changed(change)`` is shown a `ConnectionChange` when a connection
        begins and when it ends, in the order of the frames, and when a server refuses a client.
        """
        self._handlers.add_observer(observer)
        return observer

    def remove_observer(self, observer: Observer) -> None:
        """Take away what `add_observer` added. Raises `UsageError` if it is not there.

        A frame that another thread reads or writes just now may still be shown to it.
        """
        self._handlers.remove_observer(observer)

    def add_watch(self, watch: Watch) -> None:
        """Tell ``watch`` where each call and each handler begins and ends: for tracing, see `ocppj.tracing`.

        Args:
            watch: It has ``call_began(watched)`` and ``handler_began(watched)``, which return what is called at the end
                (``f(error or None)``), or ``None``. See `Watch` for the threads.

        Raises:
            UsageError: It lacks one of the two.
        """
        self._watches.add(watch)

    def remove_watch(self, watch: Watch) -> None:
        """Take away what `add_watch` added. What has begun is still told of its end.

        Raises:
            UsageError: It is not there.
        """
        self._watches.remove(watch)
