"""`Scripted`: what a `ScriptedCSMS` and a `ScriptedStation` have in common."""

from __future__ import annotations

import inspect
import json
import uuid
from abc import ABC, abstractmethod
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Type,
    TypeVar,
    Union,
)

from ..clock import Clock, SystemClock
from ..dispatch.futures import CallFuture
from ..errors import ConnectionLost, UsageError
from ..option_checks import check_options
from ..payloads.model import Payload
from ..rpc.dialect import DIALECTS
from ..rpc.endpoint import Endpoint
from ..rpc.feature_registry import FeatureRegistry
from ..rpc.features import Profile
from ..ws.base import Close
from ..ws.memory import MemoryNetwork
from .connections import PeerConnection, PeerConnections
from .journal import Journal
from .player import Player, PlayerPeer
from .replies import After, Reply, Scripts
from .rules import FrameJudge
from .seen import Seen
from .timeline import RealTimeline, Timeline, timeline_for
from .transcript import Transcript
from .witness import What, Whats, Witness

__all__ = ["Peer", "Scripted", "Transport", "profiles_of", "split_options", "versions_in"]

__unittest = True  # unittest leaves the frames of this module out of what it prints

S = TypeVar("S", bound="Scripted")
T = TypeVar("T")

_LONG = 24 * 3600.0  # seconds of a held clock: a request ends much earlier


class Peer(PlayerPeer, Protocol):
    """What is sent to one peer: the methods of a `Client`."""

    def call(self, request: Payload, timeout: Optional[float] = None) -> Any: ...

    def send_request(self, request: Payload, timeout: Optional[float] = None) -> CallFuture[Any]: ...

    def send_frame(self, opcode: int, data: bytes, fin: bool = True) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Transport(Protocol):
    """The transport of a scripted peer."""

    @property
    def waiting(self) -> Callable[[], ContextManager[Any]]:
        """Return a context in which a handler's thread waits for another message."""


def profiles_of(version: str) -> Sequence[Profile]:
    """Return all profiles of an OCPP version. Raises `UsageError` if there is none."""
    for dialect in DIALECTS:
        if dialect.version == version:
            profiles: Sequence[Profile] = import_module(f"{dialect.package}.profiles").PROFILES
            return profiles
    known = ", ".join(repr(dialect.version) for dialect in DIALECTS)
    raise UsageError(f"there is no OCPP version {version!r}: the versions are {known}")


def versions_in(given: Any) -> Sequence[str]:
    """Return the OCPP versions that an option has: one, or several. What is neither is left to `profiles_of`."""
    return (given,) if isinstance(given, str) or not hasattr(given, "__iter__") else tuple(given)


def split_options(options: Dict[str, Any], owner: type, of_sockets: type, of_memory: Optional[type] = None) -> Any:
    """Take the options of a transport out of ``options``, and return them.

    Args:
        options: Those of the transport, and of the ``owner``.
        owner: `Client` or `Server`. What it takes itself stays.
        of_sockets: The ``TypedDict`` of the transport over sockets.
        of_memory: That of the transport in memory, if it is that one.

    Raises:
        UsageError: An option has no meaning in memory.
    """
    own = inspect.signature(owner).parameters
    taken = (of_memory or of_sockets).__annotations__
    for name in options:
        if name in of_sockets.__annotations__ and name not in taken and name not in own:
            raise UsageError(f"{name} is an option of sockets, not of a MemoryNetwork")
    return {name: options.pop(name) for name in list(options) if name in taken and name not in own}


class Scripted(ABC):
    """A peer that does what a test says.

    Its other side is the system under test. It answers each CALL as `reply` says, or with a valid default answer. A
    test waits for what comes with `expect` and its like. These look at what came since the last one that was met, so
    that a test asserts the order by its own. What fails raises `AssertionError`, with the transcript.

    Times are in seconds of the clock. ``within`` is how long to wait at most; it is multiplied by ``timeout_factor``.
    ``id`` is a charging station; ``None`` is the only one. In a function of a script it is the station that is
    answered. Any thread may call the methods, functions of scripts included.

    At its end the test fails with all that is still wrong: what broke a `forbid`, and what functions of scripts have
    raised. With ``strict`` also: frames of the other side that break the rules, and CALLs without an answer, but not
    those that a script left open, nor those whose connection was lost.

    Attributes:
        clock: The source of time.
        journal: All that was seen.
        timeline: How to wait.
        strict: Whether the test fails for what breaks the rules.
    """

    def __init__(
        self,
        *,
        profiles: Sequence[Profile],
        strict: bool,
        within: float,
        timeout_factor: float,
        call_timeout: float,
        clock: Optional[Clock],
        network: Optional[MemoryNetwork],
        transcript: Transcript,
        peer: Optional[str] = None,
    ) -> None:
        times = {"within": within, "timeout_factor": timeout_factor}
        check_options("Scripted", {"strict": strict, "call_timeout": call_timeout, **times})
        self.strict = strict
        self.clock: Clock = SystemClock() if clock is None else clock
        self.timeline: Timeline = timeline_for(clock, network)
        self.journal: Journal = Journal(self.clock, partial(_make_judge, profiles, call_timeout))
        self._connections = PeerConnections(self.journal)
        self._scripts = Scripts(FeatureRegistry(profiles))
        self._within = within * timeout_factor
        self._timeout_factor = timeout_factor
        self._player: Optional[Player] = None
        self._witness = Witness(
            self.journal, self.timeline, transcript, peer=peer, failures=lambda: self._playing.failures, **times
        )

    # What differs

    @property
    @abstractmethod
    def _endpoint(self) -> Endpoint:
        """The client or the server."""

    @property
    @abstractmethod
    def _transport(self) -> Transport:
        """Its transport."""

    @abstractmethod
    def _peer(self, client_id: str) -> Peer:
        """Return what sends to the peer of that id."""

    @abstractmethod
    def up(self) -> None:
        """Come back after `down`."""

    @abstractmethod
    def down(self) -> None:
        """Cut all connections, and make none until `up`."""

    @abstractmethod
    def _leave(self) -> None:
        """Close all connections, and end."""

    # Life cycle

    def _make_player(self) -> Player:
        parts = self._endpoint, self._scripts, self._connections, self.journal, self.clock, self._peer
        self._player = Player(*parts)
        return self._player

    @property
    def _playing(self) -> Player:
        assert self._player is not None
        return self._player

    def stop(self) -> None:
        """Close all connections, and end. Nothing of it runs any more. It may be called again, also by a handler.

        `verify` says after it, too, what was wrong.
        """
        self._playing.stop()
        self._leave()

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        __tracebackhide__ = True
        unanswered: List[Seen] = []
        try:
            if error is None and self.strict:
                unanswered = self._wait_for_answers()
        finally:
            self.stop()  # first: what comes meanwhile is judged, too
        if error is None:
            self._raise_problems(unanswered)

    def verify(self) -> None:
        """Fail for all that was wrong so far. The end of a ``with`` block does that, too, if nothing else has failed.

        A CALL that is unanswered gets ``within`` seconds more.

        Raises:
            AssertionError: Something was wrong.
        """
        __tracebackhide__ = True
        self._raise_problems(self._wait_for_answers() if self.strict else [])

    def _wait_for_answers(self) -> List[Seen]:
        """Wait until the CALLs that are unanswered now have an answer, and return those that have none."""

        def find() -> List[Seen]:
            left = (seen for client_id in clients for seen in self.journal.unanswered(client_id))
            return [seen for seen in left if seen.number in numbers]

        waiting = [seen for seen in self.journal.unanswered() if not self._is_stalled(seen.client_id)]
        if not waiting:
            return []
        numbers, clients = {seen.number for seen in waiting}, {seen.client_id for seen in waiting}
        with self._transport.waiting():
            self.timeline.wait(lambda: not find(), self._within, self.journal.changed)
        return find()

    def _is_stalled(self, client_id: str) -> bool:
        connection = self._connections.get(client_id)
        return connection is not None and connection.stalled

    def _raise_problems(self, unanswered: Iterable[Seen]) -> None:
        __tracebackhide__ = True
        failures = self._playing.failures
        problems = [str(failure) for failure in failures]
        if self.strict:
            problems += self._witness.broken_rules(unanswered)
        else:
            problems += self._witness.broken_forbids()
        if problems:
            text = "\n".join(["at the end of the test:", *(f"* {problem}" for problem in problems)])
            raise self._witness.failure(text) from (failures[0].error if failures else None)

    # Scripts

    def reply(self, what: What, *replies: Reply, id: Optional[str] = None) -> None:
        """Answer CALLs with ``replies``, in turn; the last one stays. Each station gets them from the first one on.

        A later script for the same CALLs replaces an earlier one. A script with ``id`` comes before one without, and
        then one for a type before one for an action.

        Args:
            what: The type of the request, or the action, in every version.
            replies: A response, an `OCPPError`, `DROP` (the connection is cut), `SILENCE` (there is no answer),
                `After` (a reply that comes later), `Raw` (any text), `CLOSE`, or a function ``f(request)`` that returns
                one of these. The function runs on the thread that handles the connection; it may block, and use all
                methods of this object.
            id: The charging station. ``None``: all.

        Raises:
            UnsupportedFeature: There is no such message.
            UsageError: A reply cannot be one to such a CALL, or breaks its schema.
        """
        self._scripts.check(what, replies)
        for reply in replies:
            while isinstance(reply, After):
                reply = reply.reply
            if isinstance(reply, Payload):
                self._endpoint.create_call_result(reply, "0")
        self._scripts.set(what, replies, id)

    # Expectations

    def expect(
        self,
        what: What,
        *,
        within: Optional[float] = None,
        where: Optional[Callable[[Any], object]] = None,
        anywhere: bool = False,
        id: Optional[str] = None,
        fields: Optional[Mapping[str, Any]] = None,
        **more: Any,
    ) -> Any:
        """Wait for a message, and return it.

        Args:
            what: A message type, request or response; or the action of a CALL, also of one that breaks its schema.
            within: How long to wait at most, in seconds.
            where: Takes the typed message (the `Seen` for an action), and returns whether it is the one.
            anywhere: Whether to look at all that ever came. Then later expectations look where they would have looked.
            id: The charging station. ``None``: the only one that has connected.
            fields: The values of fields, as ``more``: for those that are called as an argument here, such as ``id``.
            more: The values of fields. Mappings need name some members only; enums are compared as their text, and
                date-times by their value.

        Returns:
            The typed message, with the attributes ``at`` (seconds of the clock), ``time`` (UTC), ``message_id``,
            ``client_id`` and ``text`` (the frame). For an action: the `Seen`.

        Raises:
            AssertionError: It did not come.
            UsageError: There is no such field, or no such message.
        """
        __tracebackhide__ = True
        wanted, chosen = {**(fields or {}), **more}, self._one(id)
        with self._transport.waiting():
            return self._witness.expect(what, wanted, where=where, within=within, anywhere=anywhere, client_id=chosen)

    def expect_error(
        self,
        action: Optional[What] = None,
        code: Optional[str] = None,
        *,
        within: Optional[float] = None,
        anywhere: bool = False,
        id: Optional[str] = None,
    ) -> Seen:
        """Wait for an error that answers a CALL of this side, and return it.

        With an ``action`` it may also be one that this side sends, in answer to a CALL of the other side.

        Args:
            action: The action of the CALL, or the type of the request. ``None``: any.
            code: The error code as it is on the wire. ``None``: any.
            within: How long to wait at most, in seconds.
            anywhere: As in `expect`.
            id: The charging station.

        Raises:
            AssertionError: It did not come.
        """
        __tracebackhide__ = True
        with self._transport.waiting():
            return self._witness.expect_error(action, code, within=within, anywhere=anywhere, client_id=self._one(id))

    def expect_nothing(self, during: float, but: Whats = (), *, id: Optional[str] = None) -> None:
        """Wait, and see that no CALL and no unreadable frame comes. What came since the last expectation counts, too.

        Args:
            during: How long to wait, in seconds. It is not multiplied by ``timeout_factor``.
            but: What may come: a message type or an action, or several.
            id: The charging station. ``None``: all of them.

        Raises:
            AssertionError: Something came.
        """
        __tracebackhide__ = True
        with self._transport.waiting():
            self._witness.expect_nothing(during, but, client_id=self._all(id))

    def forbid(
        self, what: What, *, id: Optional[str] = None, fields: Optional[Mapping[str, Any]] = None, **more: Any
    ) -> None:
        """Let the test fail at its end if such a message comes from now on.

        The arguments are as in `expect`; ``id``: ``None`` is all charging stations.

        Raises:
            UnsupportedFeature: There is no such message in the versions that this side speaks.
            UsageError: There is no such field.
        """
        wanted = {**(fields or {}), **more}
        self._scripts.check_message(what, wanted)
        self._witness.forbid(what, wanted, client_id=self._all(id))

    def connected(self, within: Optional[float] = None, *, id: Optional[str] = None) -> str:
        """Wait until a charging station is connected; for a `ScriptedStation`: until it is. Return its identity.

        A connection that a script is about to cut does not count: what came over it is answered first.

        Raises:
            AssertionError: It did not connect.
        """
        __tracebackhide__ = True
        here = self._playing.connection_here()  # what came over it last is being handled, by this thread
        seconds = self._within if within is None else within * self._timeout_factor
        end = self.timeline.now() + seconds

        def is_ready(client_id: str) -> bool:
            connection = self._connections.get(client_id)
            if connection is None or not connection.is_there:
                return False
            # In the end a connection whose handler does not return is one, too.
            return connection is here or connection.is_settled or self.timeline.now() >= end

        with self._transport.waiting():
            return self._witness.connected(within, client_id=self._one(id), is_ready=is_ready)

    def disconnected(self, within: Optional[float] = None, *, id: Optional[str] = None) -> Close:
        """Wait until a connection ends, if none has ended since the last expectation. Return how it ended.

        Raises:
            AssertionError: It did not end.
        """
        __tracebackhide__ = True
        with self._transport.waiting():
            return self._witness.disconnected(within, client_id=self._one(id))

    # What a test sends. Each method waits ``within`` seconds until there is a connection.

    def call(self, request: Payload, timeout: Optional[float] = None, *, id: Optional[str] = None) -> Any:
        """Send a request, wait, and return the typed response.

        Args:
            request: The request.
            timeout: How long to wait, in seconds. ``None``: as long as the client or the server waits.
            id: The charging station.

        Raises:
            AssertionError: No charging station is connected, or several are.
            OCPPError: The answer is an error.
            OcppjError: What `Client.call` raises.
        """
        __tracebackhide__ = True
        connection = self._find(id)
        peer = self._peer(connection.client_id)
        if isinstance(self.timeline, RealTimeline):
            return peer.call(request, timeout)
        return self._await(peer.send_request(request, timeout), connection)

    def _await(self, future: CallFuture[T], connection: PeerConnection) -> T:
        """Wait for an answer with a held clock. As in ``call()``, the request ends with the connection."""
        changed = self.journal.changed

        def wake(ended: object) -> None:
            with changed:
                changed.notify_all()

        future.add_done_callback(wake)
        with self._transport.waiting():
            self.timeline.wait(lambda: future.done() or not connection.usable, _LONG, changed)
        if not future.done():
            future.cancel()
        if future.cancelled():
            raise ConnectionLost("the connection was lost before the answer came", future.message_id)
        return future.result(0)

    def send_request(
        self, request: Payload, timeout: Optional[float] = None, *, id: Optional[str] = None
    ) -> CallFuture[Any]:
        """Send a request, and return a future of the response. The arguments are as in `call`."""
        __tracebackhide__ = True
        return self._peer(self._find(id).client_id).send_request(request, timeout)

    def call_raw(
        self,
        action: str,
        payload: Union[Mapping[str, Any], Sequence[Any], Payload, None] = None,
        message_id: Optional[str] = None,
        *,
        id: Optional[str] = None,
    ) -> str:
        """Send a CALL that nothing checks, at once, and return its message id. Its answer is there to be expected.

        Args:
            action: Any action.
            payload: A JSON value, or a typed payload. ``None``: an empty object.
            message_id: ``None``: a new one.
            id: The charging station.
        """
        __tracebackhide__ = True
        content = payload.to_wire() if isinstance(payload, Payload) else {} if payload is None else payload
        message_id = str(uuid.uuid4()) if message_id is None else message_id
        self.send_raw(json.dumps([2, message_id, action, content]), id=id)
        return message_id

    def send_raw(self, text: str, *, id: Optional[str] = None) -> None:
        """Send a text frame as it is."""
        __tracebackhide__ = True
        self._peer(self._find(id).client_id).send_raw(text)

    def send_frame(self, opcode: int, data: bytes, fin: bool = True, *, id: Optional[str] = None) -> None:
        """Send a WebSocket frame as it is: see `Client.send_frame`."""
        __tracebackhide__ = True
        self._peer(self._find(id).client_id).send_frame(opcode, data, fin)

    # What a test does with a connection

    def drop(self, *, id: Optional[str] = None) -> None:
        """Cut the connection at once, without a Close. The other side sees 1006."""
        __tracebackhide__ = True
        self._connections.cut(self._find(id))

    def close(self, code: int = 1000, reason: str = "", *, id: Optional[str] = None) -> None:
        """Close the connection with a code and a reason (RFC 6455 section 7.4)."""
        __tracebackhide__ = True
        connection = self._find(id)
        connection.channel.close(code, reason)
        self._connections.give_up(connection)

    def stall(self, *, id: Optional[str] = None) -> None:
        """Read nothing from the connection, until `resume`."""
        __tracebackhide__ = True
        self._stall(self._find(id), True)

    def resume(self, *, id: Optional[str] = None) -> None:
        """Read again."""
        __tracebackhide__ = True
        self._stall(self._find(id), False)

    def _stall(self, connection: PeerConnection, stalled: bool) -> None:
        peer = self._peer(connection.client_id)
        if stalled:
            peer.pause_reading()
        else:
            peer.resume_reading()
        with self.journal.changed:
            connection.stalled = stalled

    # What a test looks at

    @property
    def messages(self) -> List[Seen]:
        """All frames that were seen so far, of both directions, in their order."""
        return self._witness.messages()

    def order(self, but: Whats = (), *, id: Optional[str] = None) -> List[str]:
        """Return the actions of the CALLs that came so far, in their order.

        Args:
            but: What to leave out: a message type or an action, or several.
            id: The charging station. ``None``: all.
        """
        return self._witness.order(but, client_id=self._all(id))

    def transcript(self, *, id: Optional[str] = None) -> str:
        """Return all that was seen so far, as text; ``id``: ``None`` is all charging stations."""
        return self._witness.transcript(self._all(id))

    # Inside

    def _one(self, id: Optional[str]) -> Optional[str]:
        """Return the charging station that is meant. ``None``: the only one."""
        if id is not None:
            return id
        here = self._playing.connection_here()
        if here is not None:
            return here.client_id
        present = self._connections.present_ids()
        return present[0] if len(present) == 1 else None

    def _all(self, id: Optional[str]) -> Optional[str]:
        """Return the charging station that is meant. ``None``: all of them."""
        return id

    def _find(self, id: Optional[str]) -> PeerConnection:
        """Return the connection that is meant; wait until it is there. Raises `AssertionError` if it does not come."""
        __tracebackhide__ = True
        chosen = self._one(id)

        def find() -> Optional[PeerConnection]:
            present = self._connections.present_ids()
            if chosen is None and len(present) > 1:
                text = f"{len(present)} stations are connected: {', '.join(present)}; choose one with id="
                raise self._witness.failure(text)
            wanted = chosen if chosen is not None else present[0] if present else None
            return self._connections.get(wanted) if wanted in present and wanted is not None else None

        with self.journal.changed:
            connection = find()
        if connection is None:
            with self._transport.waiting():
                connection = self.timeline.wait(find, self._within, self.journal.changed)
        if connection is None:
            present = ", ".join(self._connections.present_ids()) or "none"
            name = "no station" if chosen is None else repr(chosen)
            state = "is connected" if chosen is None else "is not connected"
            raise self._witness.failure(f"{name} {state} after {self._within:g} s; connected are: {present}")
        return connection


def _make_judge(profiles: Sequence[Profile], call_timeout: float, version: str) -> FrameJudge:
    return FrameJudge(version, _of_version(profiles, version), call_timeout)


def _of_version(profiles: Iterable[Profile], version: str) -> List[Profile]:
    return [profile for profile in profiles if profile.dialect.version == version]
