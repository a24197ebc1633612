"""`Faults`: what a station does wrong, on demand, so that a central system can be tested with it."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, List, Mapping, Optional, Sequence, Type, TypeVar, Union

from ...errors import CallTimeout, ConnectionLost, ErrorCode, OCPPError, UsageError
from ...option_checks import NONE, Either, Function, Seconds, Whole
from ...payloads.model import Payload
from ...rpc.dialect import is_error_code_valid
from ...rpc.feature_registry import FeatureRegistry
from ...rpc.features import Feature, Profile
from .outbox import action_of
from .simtime import Timers

__all__ = ["Faults"]

P = TypeVar("P", bound=Payload)
Change = Callable[[Any], Payload]
#: The name of an action, or the type of its request.
Action = Union[str, Type[Payload]]

_SECONDS, _TIMES, _CHANGE = Seconds(), Either(Whole(1), NONE), Function("payload")


@dataclass
class _Rule:
    kind: str
    action: str
    left: Optional[int]  # how many times; ``None``: always
    value: Any


class Faults:
    """What a station does wrong. May be set from any thread, at any time.

    Each method takes an action, such as "BootNotification", or the type of its request, and ``times``: how many
    messages of that action it is for. ``None``: all. Faults of different methods add up. Of one method, the one that
    was set first is used up first. A method raises `UnsupportedFeature` for an action that the version does not have,
    and `UsageError` for another wrong value.
    """

    def __init__(self, timers: Timers, lose_connection: Callable[[float], object], profiles: Sequence[Profile]) -> None:
        self._timers = timers
        self._lose_connection = lose_connection
        self._profiles = profiles  # of the version: they know the fields of each action
        self._lock = threading.Lock()
        self._rules: List[_Rule] = []

    def refuse(
        self, action: Action, error: Union[OCPPError, ErrorCode, str] = "InternalError", *, times: Optional[int] = None
    ) -> None:
        """Answer requests of the CSMS with an error, and do nothing of what they ask for."""
        if not isinstance(error, OCPPError):
            error = OCPPError(error, "refused by a simulated fault")
        if not is_error_code_valid(error.code):
            raise UsageError(f"{error.code!r} is no error code")
        self._add("refuse", action, times, error)

    def delay(self, action: Action, seconds: float, *, times: Optional[int] = None) -> None:
        """Send requests of the station, and answers to the CSMS, so many seconds of the clock late."""
        _SECONDS.check("seconds", seconds)
        self._add("delay", action, times, seconds)

    def wrong(
        self, action: Action, change: Optional[Change] = None, *, times: Optional[int] = None, **fields: Any
    ) -> None:
        """Send requests of the station, and answers to the CSMS, with other contents. They may break their schema.

        Args:
            action: The action.
            change: ``f(payload)`` returns what is sent in its place.
            times: For how many messages.
            fields: What fields of the payload are replaced with; ``None`` leaves a field out.

        Raises:
            UsageError: There is neither a function nor a field, or both; the messages of the action have no such field.
        """
        if (change is None) == (not fields):
            raise UsageError("wrong() takes a function, or fields of the payload")
        if change is not None:
            _CHANGE.check("change", change)
        self._check_fields(action, fields)
        self._add("wrong", action, times, change or partial(_replaced, fields))

    def silent(self, action: Action, *, times: Optional[int] = None) -> None:
        """Neither send requests of the station, nor answer those of the CSMS, nor do what they ask for."""
        self._add("silent", action, times, True)

    def offline_at(self, action: Action, seconds: float = 10.0, *, times: Optional[int] = 1) -> None:
        """Lose the connection in place of sending a request of the station, or of an answer to the CSMS.

        The station is offline for so many seconds of the clock.
        """
        _SECONDS.check("seconds", seconds)
        self._add("offline_at", action, times, seconds)

    def clear(self) -> None:
        """Have the station do nothing wrong any more."""
        with self._lock:
            self._rules.clear()

    def take(self, kind: str, action: str) -> Any:
        """Return the value of the first such fault, and use it up once; ``None`` if there is none."""
        with self._lock:
            return self._take(kind, action)

    def _take(self, kind: str, action: str) -> Any:
        for rule in self._rules:
            if rule.kind == kind and rule.action == action:
                if rule.left is not None:
                    rule.left -= 1
                    if rule.left == 0:
                        self._rules.remove(rule)
                return rule.value
        return None

    def before_sending(
        self, request: Payload, send: Callable[[Payload, bool], None], end: Callable[[Exception], None]
    ) -> None:
        """Send a request of the station, ``send(request, is_wrong)``, or ``end(error)`` it."""
        action = action_of(request)
        offline = self.take("offline_at", action)
        if offline is not None:
            self._lose_connection(offline)
            end(ConnectionLost("a simulated fault has cut the connection"))
        elif self.take("silent", action):
            end(CallTimeout("a simulated fault keeps it from being sent"))
        else:
            change = self.take("wrong", action)
            changed = request if change is None else change(request)
            self._after_delay(action, lambda: send(changed, change is not None))

    def before_answering(
        self,
        action: str,
        response: Payload,
        send: Callable[[Payload, bool], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Send an answer to the CSMS, if no fault is in the way: ``send(response, is_wrong)``.

        ``fail(error)`` is called when the function that changes the answer has failed.
        """
        offline = self.take("offline_at", action)
        if offline is not None:
            self._lose_connection(offline)
            return
        change = self.take("wrong", action)
        try:
            changed = response if change is None else change(response)
        except Exception as error:
            fail(error)
            return
        self._after_delay(action, lambda: send(changed, change is not None))

    def _after_delay(self, action: str, job: Callable[[], None]) -> None:
        seconds = self.take("delay", action)
        if seconds is None:
            job()
        else:
            self._timers.call_later(seconds, job)

    def _check_fields(self, action: Action, fields: Mapping[str, Any]) -> None:
        """Check that the request or the response of an action has all of these fields."""
        feature = self._find(action)
        types = [each for each in (feature.request_type, feature.response_type) if each is not None]
        names = [{field.name for field in dataclasses.fields(each)} for each in types]  # type: ignore[arg-type]
        if not any(known.issuperset(fields) for known in names):
            text = f"neither the request nor the response of {feature.name} has the fields {', '.join(fields)}"
            raise UsageError(text)

    def _find(self, action: Action) -> Feature:
        """Return the feature of an action. A fault of one that there is not would never be used."""
        features = FeatureRegistry(self._profiles)
        if isinstance(action, type) and issubclass(action, Payload):
            return features.of_request(action)
        return features.of_action(action, features.default_dialect())

    def _add(self, kind: str, action: Action, times: Optional[int], value: Any) -> None:
        _TIMES.check("times", times)
        name = self._find(action).name
        with self._lock:
            self._rules.append(_Rule(kind, name, times, value))


def _replaced(fields: Mapping[str, Any], payload: P) -> P:
    return dataclasses.replace(payload, **fields)  # type: ignore[type-var]
