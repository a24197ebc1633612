"""What a scripted peer answers: the kinds of replies, and the scripts that say which comes when.

Everything here is plain data. `ocppj.testing.scripted` sends the replies.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, Final, List, Mapping, Optional, Sequence, Tuple, Type, Union

from ..callables import check_callable
from ..errors import OCPPError, UnsupportedFeature, UsageError
from ..payloads.model import Payload
from ..rpc.dialect import Dialect
from ..rpc.feature_registry import FeatureRegistry
from ..rpc.features import Feature
from ..ws.connection.channel import check_close_code
from .examples import dialect_of
from .expectations import Expectation

__all__ = ["CLOSE", "DROP", "SILENCE", "After", "Drop", "Raw", "Reply", "Scripts", "Silence", "check_reply"]


class Drop:
    """The type of `DROP`."""

    def __repr__(self) -> str:
        return "DROP"


class Silence:
    """The type of `SILENCE`."""

    def __repr__(self) -> str:
        return "SILENCE"


#: A reply: the connection is cut in place of an answer, without a Close. The peer sees 1006.
DROP: Final = Drop()
#: A reply: there is no answer. The same CALL, sent again, is played anew.
SILENCE: Final = Silence()


@dataclass(frozen=True)
class CLOSE:
    """A reply: the connection is closed in place of an answer.

    Args:
        code: The code of the Close (RFC 6455 section 7.4).
        reason: Its reason, at most 123 bytes.

    Raises:
        UsageError: The code cannot be sent.
    """

    code: int = 1000
    reason: str = ""

    def __post_init__(self) -> None:
        check_close_code(self.code)


@dataclass(frozen=True)
class Raw:
    """A reply: a text frame as it is, in place of an answer. Nothing checks it.

    Args:
        text: The frame. ``{id}`` in it becomes the id of the CALL: ``'[3,"{id}",{}]'``.
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise UsageError(f"Raw takes the text of a frame, not {self.text!r}")

    def fill(self, message_id: str) -> str:
        """Return the frame that is sent for the CALL of that id."""
        return self.text.replace("{id}", json.dumps(message_id)[1:-1])


@dataclass(frozen=True)
class After:
    """A reply that comes later. Meanwhile other CALLs of the peer are answered.

    Args:
        seconds: How much later, in seconds of the clock.
        reply: Any reply. A function is called when the time has come.
    """

    seconds: float
    reply: Any

    def __post_init__(self) -> None:
        number = isinstance(self.seconds, (int, float)) and not isinstance(self.seconds, bool)
        if not number or not 0 <= self.seconds < float("inf"):
            raise UsageError(f"After takes a number of seconds and a reply, not {self.seconds!r}")


#: What a script says: a response, an error, one of the above, or a function ``f(request)`` that returns one of these.
Reply = Union[Payload, OCPPError, Drop, Silence, CLOSE, Raw, After, Callable[[Any], Any]]

_KINDS = "a response, an OCPPError, DROP, SILENCE, CLOSE(...), Raw(...), After(...) or a function"


def check_reply(reply: Any, action: str, answers: Sequence[Type[Payload]], *, from_function: bool = False) -> None:
    """Check that ``reply`` can be the reply to a CALL of ``action``.

    Args:
        reply: What a script says, or what a function of a script has returned.
        action: The action of the CALL.
        answers: The types of its response: one for each version that is meant. None: a SEND, which has no response.
        from_function: Whether a function has returned it. Then it may be no function.

    Raises:
        UsageError: It is no reply, or no reply to such a CALL.
    """
    if isinstance(reply, type):
        raise UsageError(f"a reply to {action} is {_KINDS}; {reply.__name__} is a class, and an object of it is wanted")
    if isinstance(reply, Payload):
        if not isinstance(reply, tuple(answers)):
            wanted = " or ".join(sorted({each.__name__ for each in answers})) or "nothing: it is never answered"
            raise UsageError(f"{_name(type(reply))} does not answer {action}: its answer is {wanted}")
    elif isinstance(reply, After):
        check_reply(reply.reply, action, answers)
    elif not isinstance(reply, (OCPPError, Drop, Silence, CLOSE, Raw)):
        if from_function or not callable(reply):
            made = "the function of the script returned " if from_function else ""
            raise UsageError(f"a reply to {action} is {_KINDS}; {made}{reply!r} is none of these")
        check_callable(reply, ["request"], what="the reply")


def _name(payload_type: Type[Payload]) -> str:
    """Return the name of a payload type with its version: "v16.ResetResponse"."""
    package = payload_type.__module__.split(".")
    return f"{package[1]}.{payload_type.__name__}" if len(package) > 2 else payload_type.__name__


#: What a script is for: the type of the requests, or their action in every version.
_Key = Union[Type[Payload], str]


class _Script:
    """The replies to one kind of CALLs. Each peer goes through them from the first one on; the last one stays."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = replies
        self._turns: Dict[str, int] = {}  # how many each peer has got, by its id

    def take(self, client_id: str) -> Reply:
        turn = self._turns.get(client_id, 0)
        self._turns[client_id] = turn + 1
        return self._replies[min(turn, len(self._replies) - 1)]


class Scripts:
    """The scripts of one scripted peer. Any thread may use them.

    Args:
        features: The messages that the peer speaks.
    """

    def __init__(self, features: FeatureRegistry) -> None:
        self._features = features
        self._lock = threading.Lock()  # guards the scripts
        self._scripts: Dict[Tuple[_Key, Optional[str]], _Script] = {}

    def set(self, what: _Key, replies: Sequence[Reply], client_id: Optional[str] = None) -> None:
        """Set the replies to CALLs; an earlier script for the same CALLs ends.

        Args:
            what: The type of the request, or the action, which then means that of all versions.
            replies: The replies, at least one.
            client_id: The peer that they are for. ``None``: those that have no script of their own for such CALLs.

        Raises:
            UnsupportedFeature: There is no such message.
            UsageError: A reply cannot be one.
        """
        self.check(what, replies)
        with self._lock:
            self._scripts[what, client_id] = _Script(list(replies))

    def check(self, what: _Key, replies: Sequence[Reply]) -> None:
        """Check the arguments of `set`, and raise what it does."""
        features = self.features_of(what)
        if not replies:
            raise UsageError("a script has at least one reply")
        answers = [each.response_type for each in features if each.response_type is not None]
        for reply in replies:
            check_reply(reply, features[0].name, answers)

    def take(self, request: Payload, action: str, client_id: str) -> Optional[Reply]:
        """Return the next reply to that peer, or ``None`` if there is no script.

        A script for one peer comes before one for all, and then one for the type before one for the action.
        """
        keys: List[Tuple[_Key, Optional[str]]] = [
            (type(request), client_id), (action, client_id), (type(request), None), (action, None)
        ]  # fmt: skip
        with self._lock:
            script = next(filter(None, map(self._scripts.get, keys)), None)
            return None if script is None else script.take(client_id)

    def features_of(self, what: object) -> List[Feature]:
        """Return the features of a request type, or of an action: in every version that has it.

        Raises:
            UnsupportedFeature: There is no such message.
            UsageError: ``what`` is neither.
        """
        if isinstance(what, type) and issubclass(what, Payload):
            return [self._features.of_request(what)]
        if not isinstance(what, str):
            wanted = "a type of requests, such as v16.HeartbeatRequest, or an action, such as 'Heartbeat'"
            raise UsageError(f"{wanted}, is wanted, not {what!r}")
        found = [feature for feature in map(self._find(what), self._features.dialects) if feature is not None]
        if not found:
            self._features.of_action(what, self._features.default_dialect())  # raises, and says what is wrong
        return found

    def check_message(self, what: Any, fields: Mapping[str, Any]) -> None:
        """Check that there is such a message, with such fields: a request, a response or an action.

        Raises:
            UnsupportedFeature: There is no such message.
            UsageError: There is no such field.
        """
        dialects = self._features.dialects
        is_type = isinstance(what, type) and issubclass(what, Payload)
        is_action = isinstance(what, str) and any(what in each.actions for each in dialects)
        if is_action or (is_type and dialect_of(what) in dialects):
            pass  # the profiles may lack it: it can come all the same
        elif is_type and what.__name__.endswith("Response"):
            self._features.of_response(what)
        else:
            self.features_of(what)
        types = [what] if is_type else [each.request_type for each in map(self._find(what), dialects) if each]
        _check_fields(types, fields)

    def _find(self, action: str) -> Callable[[Dialect], Optional[Feature]]:
        def find(dialect: Dialect) -> Optional[Feature]:
            try:
                return self._features.of_action(action, dialect)
            except UnsupportedFeature:
                return None

        return find


def _check_fields(types: Sequence[Type[Payload]], fields: Mapping[str, Any]) -> None:
    """Raise `UsageError` unless one of the types, if there are any, has all of the fields."""
    problems: List[UsageError] = []
    for each in types:
        try:
            Expectation(each, fields)
        except UsageError as error:
            problems.append(error)
    if problems and len(problems) == len(types):
        raise problems[0]
