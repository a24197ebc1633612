"""Hooks look at frames, change them, answer them or drop them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Union

from ..callables import check_not_async
from ..errors import UsageError
from ..interrupted import calls_program
from ..log_limit import LimitedLog
from ..payloads.jsontext import encode
from .message import Message

__all__ = ["DROP", "Answer", "Drop", "Hook", "Hooks", "Outcome"]


class Drop(Enum):
    """What a hook returns to drop a frame: `DROP`."""

    DROP = "drop"


DROP = Drop.DROP


@dataclass(frozen=True)
class Answer:
    """What a hook returns to answer a CALL itself. The CALL is not passed on.

    Args:
        payload: Of the CALLRESULT.
        error: The code of a CALLERROR, in place of a payload.
        description: Of the CALLERROR.
        details: Of the CALLERROR.
    """

    payload: Mapping[str, Any] = field(default_factory=dict)
    error: Optional[str] = None
    description: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def text(self, message_id: str) -> str:
        """Return the frame that answers the CALL with this id."""
        if self.error is None:
            return encode([3, message_id, self.payload])
        return encode([4, message_id, self.error, self.description, self.details])


#: Gets a frame, and returns ``None`` to pass it on as it is, another text, an `Answer`, or `DROP`.
Hook = Callable[[Message], Union[str, Answer, Drop, None]]


class Outcome(NamedTuple):
    """What becomes of a frame."""

    text: str  #: What is passed on.
    passes: bool = True  #: Whether it is passed on.
    answer: Optional[str] = None  #: The frame that the sender gets in place of an answer of the other side.


class Hooks:
    """The hooks of a proxy, in order. A hook that fails changes nothing: the frame is passed on."""

    def __init__(self, hooks: Sequence[Hook], log: LimitedLog) -> None:
        self._log = log
        self._hooks: List[Hook] = []
        for hook in hooks:
            self.add(hook)

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def add(self, hook: Hook) -> None:
        """Add a hook after the others. Raises `UsageError` for what cannot be called."""
        if not callable(hook):
            raise UsageError(f"a hook is a function of a Message, not {type(hook).__name__}")
        check_not_async("the hook", hook)
        self._hooks = [*self._hooks, hook]  # a new list: other threads go through the old one

    def judge(self, message: Message) -> Outcome:
        """Return what becomes of a frame. Each hook sees what the hook before it has made of the frame."""
        for hook in self._hooks:
            verdict = self._ask(hook, message)
            if verdict is DROP:
                return Outcome(message.text, passes=False)
            if isinstance(verdict, Answer):
                answer = self._answer(verdict, message)
                if answer is not None:
                    return Outcome(message.text, passes=False, answer=answer)
            elif isinstance(verdict, str) and verdict != message.text:
                message = message.with_text(verdict)
        return Outcome(message.text)

    @calls_program
    def _ask(self, hook: Hook, message: Message) -> Any:
        """Return what a hook says, or ``None`` if it fails."""
        try:
            verdict = hook(message)
            if verdict is None or isinstance(verdict, (str, Answer, Drop)):
                if isinstance(verdict, str):
                    verdict.encode("utf-8")
                return verdict
            raise TypeError(f"a hook returns None, a text, an Answer or DROP, not {type(verdict).__name__}")
        except BaseException as error:  # also SystemExit: the frame would be lost, and the connection go on
            words = "%s: a hook failed, the frame is passed on"
            self._log.error(words, message.client_id, exc_info=error, kind="a hook failed")
            return None

    def _answer(self, answer: Answer, message: Message) -> Optional[str]:
        """Return the frame of an answer; ``None``, and log it, if the frame is no CALL, or the answer no JSON."""
        try:
            if message.kind != "CALL" or message.message_id is None:
                raise UsageError(f"only a CALL is answered, and this is {message.kind or 'no message'}")
            return answer.text(message.message_id)
        except Exception as error:
            words = "%s: the answer of a hook cannot be sent, the frame is passed on: %s"
            self._log.error(words, message.client_id, error, kind="an answer of a hook")
            return None
