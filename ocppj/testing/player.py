"""`Player`: answers the CALLs of the other side as the scripts say."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Protocol, Union

from ..clock import Clock, TimerHandle
from ..errors import ErrorCode, NotConnected, OCPPError, OcppjError, TransportError, UsageError
from ..exchange.handlers import NO_ANSWER
from ..payloads.model import Payload
from ..rpc.dialect import Dialect
from ..rpc.endpoint import Endpoint
from ..ws.connection.channel import call_handler
from .connections import PeerConnection, PeerConnections
from .defaults import DefaultAnswers
from .journal import Journal
from .replies import CLOSE, After, Drop, Raw, Reply, Scripts, Silence, check_reply

__all__ = ["Failure", "Player", "PlayerPeer"]


class PlayerPeer(Protocol):
    """What the player sends without the library's own answering: the methods of a `Client`."""

    def send_raw(self, text: str) -> None: ...

    def send_response(self, message_id: str, response: Payload) -> None: ...

    def send_error(self, message_id: str, code: Any, description: str = "", details: Any = None) -> None: ...


@dataclass(frozen=True)
class Failure:
    """A reply that could not be made: the test is wrong.

    Attributes:
        action: The action of the CALL.
        client_id: The charging station.
        error: What went wrong.
        in_function: Whether a function of a script has raised it.
    """

    action: str
    client_id: str
    error: BaseException
    in_function: bool

    def __str__(self) -> str:
        story = str(self.error)
        if hasattr(self.error, "journal"):  # a failed expectation: its transcript is shown once, at the end
            story = story.split("\n\n")[0]
        what = f"{type(self.error).__name__}: {story}" if self.in_function else story
        where = "the function that replies to" if self.in_function else "the reply to"
        return f"{where} {self.action} of {self.client_id} failed: {what}"


@dataclass(frozen=True)
class _Turn:
    """A CALL to which a reply is made."""

    connection: PeerConnection
    dialect: Dialect
    request: Payload
    action: str
    message_id: str

    @property
    def client_id(self) -> str:
        return self.connection.client_id


class Player:
    """Answers CALLs as the scripts say, or else with default answers.

    A reply that needs the connection, such as `DROP`, is carried out by a job of the connection, after the handler has
    returned. By then the library has forgotten the CALL. So a peer that sends it again at once, with its id, is
    answered again.

    Args:
        endpoint: Checks the responses.
        scripts: What to answer.
        connections: The connections of the scripted peer.
        journal: Is told which CALLs get no answer on purpose.
        clock: The time of replies that come later.
        peer: Returns what sends to the peer of that id.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        scripts: Scripts,
        connections: PeerConnections,
        journal: Journal,
        clock: Clock,
        peer: Callable[[str], PlayerPeer],
    ) -> None:
        self._endpoint = endpoint
        self._scripts = scripts
        self._connections = connections
        self._journal = journal
        self._clock = clock
        self._peer = peer
        self._defaults = DefaultAnswers()
        self._playing = threading.local()
        self._lock = threading.Lock()  # guards the fields below
        self._failures: List[Failure] = []
        self._timers: Dict[object, Optional[TimerHandle]] = {}  # `None`: it is about to be made
        self._stopping = False

    def begin(self) -> None:
        """Make replies, after `stop` too."""
        with self._lock:
            self._stopping = False

    def stop(self) -> None:
        """Forget the replies that were to come later. What functions of scripts raise now is due to the stop."""
        with self._lock:
            self._stopping = True
            known, self._timers = self._timers, {}
        timers = [timer for timer in known.values() if timer is not None]
        for timer in timers:
            timer.cancel()
        for timer in timers:
            timer.join(1.0)

    @property
    def failures(self) -> List[Failure]:
        """The replies that could not be made."""
        with self._lock:
            return list(self._failures)

    def connection_here(self) -> Optional[PeerConnection]:
        """Return the connection whose CALL this thread is handling, if it is in a function of a script."""
        connection: Optional[PeerConnection] = getattr(self._playing, "connection", None)
        return connection

    def handle(self, client_id: str, request: Payload, message_id: str, action: str) -> Any:
        """Answer a CALL. It is a handler of requests, as `Server.set_request_handler` takes it."""
        connection = self._connections.of_call(client_id, message_id)
        dialect = None if connection is None else self._endpoint.get_dialect(connection.channel.subprotocol)
        if connection is None or dialect is None or connection.given_up:  # the rest of what came is dropped
            return NO_ANSWER
        turn = _Turn(connection, dialect, request, action, message_id)
        reply = self._scripts.take(request, action, client_id)
        return self._play(turn, self._make_default(turn) if reply is None else reply)

    def _play(self, turn: _Turn, reply: Optional[Reply]) -> Any:
        """Carry out a reply. Return a response, or `NO_ANSWER`; or raise an `OCPPError` to be sent."""
        if callable(reply) and not isinstance(reply, Payload):
            reply = self._ask(turn, reply)
        if reply is None:  # it was a SEND
            return None
        if isinstance(reply, (Payload, OCPPError)):
            self._check(turn, reply)
        if isinstance(reply, Payload):
            return reply
        if isinstance(reply, OCPPError):
            raise OCPPError(reply.code, reply.description, reply.details)
        connection, channel = turn.connection, turn.connection.channel
        if isinstance(reply, Drop):
            self._connections.give_up(connection)
            channel.submit(partial(self._connections.cut, connection))
        elif isinstance(reply, CLOSE):
            self._connections.give_up(connection)
            channel.submit(partial(channel.close, reply.code, reply.reason))
        else:
            self._journal.excuse(turn.client_id, turn.message_id)
            if isinstance(reply, Raw):
                self._submit(turn, self._send, reply.fill(turn.message_id))
            elif isinstance(reply, After):
                self._postpone(turn, reply)
            else:
                assert isinstance(reply, Silence)
        return NO_ANSWER

    def _ask(self, turn: _Turn, function: Callable[[Any], Reply]) -> Reply:
        """Return what the function of a script replies."""
        before, self._playing.connection = self.connection_here(), turn.connection
        try:
            reply = function(turn.request)
        except OCPPError as error:
            return error
        except BaseException as error:  # an AssertionError, or pytest.fail() too: the test ends with it
            self._note(turn, error, in_function=True)
            raise
        finally:
            self._playing.connection = before
        try:
            check_reply(reply, turn.action, self._answers_to(turn), from_function=True)
        except UsageError as error:
            self._note(turn, error)
            raise
        return reply

    def _make_default(self, turn: _Turn) -> Optional[Payload]:
        try:
            return self._defaults.respond(turn.request, self._clock.now())
        except UsageError as error:
            self._note(turn, error)
            raise

    def _check(self, turn: _Turn, answer: Union[Payload, OCPPError]) -> None:
        """Check that an answer can be sent. The library would send an error in its place, and only log that."""
        endpoint, message_id, dialect = self._endpoint, turn.message_id, turn.dialect
        try:
            if isinstance(answer, Payload):
                endpoint.create_call_result(answer, message_id, dialect, turn.action, turn.client_id)
            else:
                endpoint.create_call_error(message_id, answer.code, answer.description, answer.details, dialect)
        except OcppjError as error:
            self._note(turn, error)
            raise

    def _answers_to(self, turn: _Turn) -> List[type]:
        profile = self._endpoint.get_profile_for_feature(turn.action, turn.dialect)
        feature = None if profile is None else profile.get_feature(turn.action)
        return [feature.response_type] if feature is not None and feature.response_type is not None else []

    def _note(self, turn: _Turn, error: BaseException, in_function: bool = False) -> None:
        with self._lock:
            if self._stopping:
                return
            self._failures.append(Failure(turn.action, turn.client_id, error, in_function))

    def _submit(self, turn: _Turn, job: Callable[[_Turn, Any], None], reply: object) -> None:
        """Have ``job`` run after all that was submitted to the connection before. What it raises is logged."""
        name = f"reply to {turn.action}"
        turn.connection.channel.submit(
            partial(call_handler, self._endpoint.peer_log, turn.client_id, name, job, turn, reply)
        )

    # Later

    def _postpone(self, turn: _Turn, reply: After) -> None:
        """Have ``reply`` played when its time has come, as a job of the connection."""
        key = object()

        def due() -> None:
            with self._lock:
                if key not in self._timers:  # it was stopped
                    return
                del self._timers[key]
            self._submit(turn, self._play_late, reply.reply)

        with self._lock:
            if self._stopping:
                return
            self._timers[key] = None
        timer = self._clock.call_later(reply.seconds, due, f"ocppj-reply-{turn.client_id}")
        with self._lock:
            if key in self._timers:
                self._timers[key] = timer
                return
        timer.cancel()  # it was stopped meanwhile, or has run

    def _play_late(self, turn: _Turn, reply: Reply) -> None:
        """Send a reply to a CALL that the library has forgotten."""
        if not turn.connection.is_there:  # nobody waits for it
            return
        peer = self._peer(turn.client_id)
        try:
            try:
                response = self._play(turn, reply)
            except OCPPError as error:
                peer.send_error(turn.message_id, error.code, error.description, error.details)
            except BaseException:
                peer.send_error(turn.message_id, ErrorCode.INTERNAL_ERROR, "the request could not be handled")
                raise
            else:
                if isinstance(response, Payload):
                    peer.send_response(turn.message_id, response)
        except (TransportError, NotConnected) as error:
            self._log_unsent(turn, error)

    def _send(self, turn: _Turn, text: str) -> None:
        if not turn.connection.is_there:
            return
        try:
            self._peer(turn.client_id).send_raw(text)
        except (TransportError, NotConnected) as error:
            self._log_unsent(turn, error)

    def _log_unsent(self, turn: _Turn, error: Exception) -> None:
        """Log that the connection has ended just now. The transcript says so, too."""
        self._endpoint.safe_log.debug("%s: a reply to %s was not sent: %s", turn.client_id, turn.action, error)
