"""What a test expects, and how what came differs from it. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, Union

from ..errors import ErrorCode, UsageError, parse_error_code, printable
from ..payloads.datetimes import parse_datetime
from ..payloads.model import Payload
from ..rpc.messages import MAX_ACTION
from .seen import Seen

__all__ = ["ErrorExpectation", "Expectation", "Mismatch", "compare", "nearest", "show"]

_MISSING = object()
#: How near something is to what is expected; less is nearer.
_FIELD, _SCHEMA, _KIND, _OTHER = range(4)
#: In characters.
_LONGEST = 200


class Mismatch(NamedTuple):
    """How something differs from what is expected.

    Attributes:
        text: The difference, such as "connector_id is 0, not 1".
        distance: How much it differs; ``nearest`` takes the least.
        is_near: Whether it is worth to be shown.
    """

    text: str
    distance: Tuple[int, int]

    @property
    def is_near(self) -> bool:
        return self.distance[0] < _OTHER


class Expectation:
    """A message that is expected: by its type, or a CALL or SEND by its action.

    Args:
        what: A type such as ``v16.BootNotificationRequest``, or an action such as "BootNotification".
        fields: The values that fields have. A mapping needs to have some of the members only. Enums are compared as
            their text, date-times by their value. Names are those of the type, or of the JSON properties.
        where: Takes the typed message (the `Seen` for an action) and returns whether it is the one. It must not wait:
            nothing is added to the journal meanwhile.

    Raises:
        UsageError: ``what`` is neither, or the type has no such field.
    """

    def __init__(
        self,
        what: Union[Type[Payload], str],
        fields: Optional[Mapping[str, Any]] = None,
        where: Optional[Callable[[Any], object]] = None,
    ) -> None:
        if not isinstance(what, str) and not (isinstance(what, type) and issubclass(what, Payload)):
            raise UsageError(f"a message type or an action is expected, such as v16.HeartbeatRequest, not {what!r}")
        self.what = what
        self.fields: Dict[str, Any] = dict(fields or {})
        self.where = where
        if isinstance(what, type):
            known = _names(what)
            unknown = [name for name in self.fields if name not in known and name not in known.values()]
            if unknown:
                raise UsageError(f"{what.__name__} has no field {unknown[0]!r}; its fields are {', '.join(known)}")

    def __str__(self) -> str:
        name = self.what if isinstance(self.what, str) else self.what.__name__
        if self.fields:
            name += " with " + ", ".join(f"{each}={show(value)}" for each, value in self.fields.items())
        return name if self.where is None else f"{name} that where= accepts"

    def mismatch(self, seen: Seen) -> Optional[Mismatch]:
        """Return how ``seen`` differs, or ``None`` if it is what is expected."""
        what = self.what
        kind = self._mismatch_of_action(seen) if isinstance(what, str) else self._mismatch_of_type(seen, what)
        return kind or self._mismatch_of_fields(seen)

    def is_about(self, seen: Seen) -> bool:
        """Tell whether ``seen`` is what is expected, or would be if it did not break its schema."""
        mismatch = self.mismatch(seen)
        return mismatch is None or mismatch.distance[0] == _SCHEMA

    def forbids(self, seen: Seen) -> bool:
        """Tell whether ``seen`` is what is forbidden. A message that breaks its schema is, too, if no field matters."""
        return self.mismatch(seen) is None if self.fields or self.where is not None else self.is_about(seen)

    def looks_at(self, seen: Seen) -> bool:
        """Tell whether ``seen`` counts: a message that came."""
        return seen.direction == "in"

    def result(self, seen: Seen) -> Any:
        """Return what ``expect`` returns for ``seen``, which is what is expected.

        For a type: the typed message, with what is known of it as attributes. For an action: the `Seen`.
        """
        if isinstance(self.what, str):
            return seen
        message = seen.message
        for name in ("at", "time", "message_id", "client_id", "text"):
            if name not in _names(type(message)):
                object.__setattr__(message, name, getattr(seen, name))
        return message

    def _mismatch_of_action(self, seen: Seen) -> Optional[Mismatch]:
        if seen.action != self.what:
            return Mismatch(f"it is {describe(seen)}", (_OTHER, 0))
        if not seen.is_request:
            return Mismatch(f"it is {describe(seen)}", (_KIND, 0))
        return None

    def _mismatch_of_type(self, seen: Seen, what: Type[Payload]) -> Optional[Mismatch]:
        if isinstance(seen.message, what):
            return None
        if seen.message is not None:
            found = type(seen.message)
            if found.__name__ == what.__name__:
                return Mismatch(f"it is of OCPP {seen.version}: {found.__module__}.{found.__name__}", (_KIND, 0))
            return Mismatch(f"it is {describe(seen)}", (_OTHER, 0))
        is_response = what.__name__.endswith("Response")
        action = what.__name__[: -len("Response")] if is_response else what.__name__.replace("Request", "")
        if seen.action != action or is_response != seen.is_answer:
            return Mismatch(f"it is {describe(seen)}", (_OTHER, 0))
        if seen.kind in ("ERROR", "RESULTERROR"):
            text = f"{seen.error_code}: {seen.error_description}" if seen.error_description else f"{seen.error_code}"
            return Mismatch(f"it is an error: {_cut(printable(text))}", (_KIND, 0))
        return Mismatch(f"it breaks the rules: {'; '.join(seen.faults)}", (_SCHEMA, 0))

    def _mismatch_of_fields(self, seen: Seen) -> Optional[Mismatch]:
        differences = [
            text
            for name, expected in self.fields.items()
            for text in [compare(expected, _get(seen, name), name)]
            if text is not None
        ]
        if differences:
            return Mismatch("; ".join(differences), (_FIELD, len(differences)))
        if self.where is not None and not self.where(seen if isinstance(self.what, str) else seen.message):
            return Mismatch("where= does not accept it", (_FIELD, 0))
        return None


class ErrorExpectation:
    """An error that is expected as the answer to a CALL.

    Args:
        action: The action of the CALL, or the type of the request. ``None``: any.
        code: The error code as it is on the wire, or an `ErrorCode` in the spelling of any version. ``None``: any.
    """

    def __init__(self, action: Union[Type[Payload], str, None] = None, code: Optional[str] = None) -> None:
        if isinstance(action, type) and issubclass(action, Payload):
            action = action.__name__.replace("Request", "")
        if action is not None and not isinstance(action, str):
            raise UsageError(f"an action or the type of a request is expected, such as 'Heartbeat', not {action!r}")
        self.action = action
        self.code = code

    def __str__(self) -> str:
        about = "an error" if self.code is None else f"the error {self.code}"
        return about if self.action is None else f"{about} as the answer to {self.action}"

    def mismatch(self, seen: Seen) -> Optional[Mismatch]:
        """Return how ``seen`` differs, or ``None`` if it is what is expected."""
        if self.action is not None and seen.action != self.action:
            distance = _KIND if seen.kind in ("ERROR", "RESULTERROR") else _OTHER
            return Mismatch(f"it is {describe(seen)}", (distance, 0))
        if seen.kind not in ("ERROR", "RESULTERROR"):
            return Mismatch(f"it is {describe(seen)}", (_KIND if seen.is_answer else _OTHER, 0))
        found: Optional[str] = seen.error_code
        if isinstance(self.code, ErrorCode) and found is not None:
            found = parse_error_code(found)
        if self.code is not None and found != self.code:
            code = _cut(printable(str(seen.error_code)))
            return Mismatch(f"the code is {code}, not {self.code}", (_FIELD, 0))
        return None

    def looks_at(self, seen: Seen) -> bool:
        """Tell whether ``seen`` counts: an error that came, or one that this side sent if the action is named."""
        return seen.direction == "in" or (self.action is not None and seen.kind in ("ERROR", "RESULTERROR"))

    def result(self, seen: Seen) -> Seen:
        """Return what ``expect_error`` returns."""
        return seen


def nearest(
    expectation: Union[Expectation, ErrorExpectation], entries: Iterable[Seen]
) -> Optional[Tuple[Seen, Mismatch]]:
    """Return which of ``entries`` differs least, the latest of several, and how. ``None``: all are something else."""
    found: Optional[Tuple[Seen, Mismatch]] = None
    for seen in entries:
        mismatch = expectation.mismatch(seen)
        if mismatch is not None and mismatch.is_near and (found is None or mismatch.distance <= found[1].distance):
            found = seen, mismatch
    return found


def describe(seen: Seen) -> str:
    """Return what something is, in words, such as "the RESULT of a Reset"."""
    if seen.kind == "TEXT":
        return "a frame that is no message"
    action = printable((seen.action or "")[:MAX_ACTION])
    if seen.is_answer:
        return f"the {seen.kind} of a {action}" if action else f"a {seen.kind} to nothing"
    return f"a {seen.kind} {action}".rstrip()


def show(value: Any) -> str:
    """Return a value as it stands in the text of a failure: in at most 200 characters."""
    return _cut(_show(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _show(value: Any) -> str:
    if value is _MISSING or value is None:
        return "absent"
    if isinstance(value, Enum):
        return repr(value.value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Payload):
        known = ((name, getattr(value, name)) for name in _names(type(value)))
        given = (f"{name}={_show(each)}" for name, each in known if each is not None)
        return f"{type(value).__name__}({', '.join(given)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_show, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_show(each)}' for name, each in value.items())}}}"
    return repr(value)


def compare(expected: Any, actual: Any, path: str) -> Optional[str]:
    """Return how ``actual`` differs from ``expected``, as "path is x, not y", or ``None`` if it does not.

    Args:
        expected: A value. A mapping needs to have some of the members only; of a typed payload all fields count.
        actual: The value of a typed payload, or of a JSON object.
        path: Where it stands.
    """
    if isinstance(expected, Payload):
        members = {name: getattr(expected, name) for name in _names(type(expected))}
    elif isinstance(expected, AnyMapping):
        members = dict(expected)
    elif isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        return _compare_lists(expected, actual, path)
    else:
        return None if _is_same(expected, actual) else f"{path} is {show(actual)}, not {show(expected)}"
    if not isinstance(actual, (AnyMapping, Payload)):
        return f"{path} is {show(actual)}, not {show(expected)}"
    found = (compare(each, _member(actual, name), f"{path}.{name}") for name, each in members.items())
    return next((text for text in found if text is not None), None)


def _compare_lists(expected: Sequence[Any], actual: Sequence[Any], path: str) -> Optional[str]:
    if len(expected) != len(actual):
        return f"{path} has {_count(len(actual))}, not {len(expected)}"
    pairs = enumerate(zip(expected, actual))
    found = (compare(each, other, f"{path}[{index}]") for index, (each, other) in pairs)
    return next((text for text in found if text is not None), None)


def _count(items: int) -> str:
    return "1 item" if items == 1 else f"{items} items"


def _is_same(expected: Any, actual: Any) -> bool:
    if actual is _MISSING:
        return expected is None
    if isinstance(expected, Enum):
        expected = expected.value
    if isinstance(actual, Enum):
        actual = actual.value
    if isinstance(expected, bool) != isinstance(actual, bool) and isinstance(expected, (bool, int, float)):
        return False  # to Python True is 1; to JSON it is not
    if isinstance(expected, datetime) or isinstance(actual, datetime):
        expected, actual = _as_datetime(expected), _as_datetime(actual)
    return bool(expected == actual)


def _as_datetime(value: Any) -> Any:
    """Return the date-time of a text. One without a zone is in UTC."""
    if isinstance(value, str):
        try:
            value = parse_datetime(value)
        except ValueError:
            return value
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    return value


def _names(payload_type: type) -> Dict[str, str]:
    """Return the wire names of the fields of a type, by name."""
    if not is_dataclass(payload_type):
        return {}
    return {each.name: str(each.metadata.get("wire", each.name)) for each in fields_of(payload_type)}


def _get(seen: Seen, name: str) -> Any:
    """Return the value of a field, from the typed message, or else from the payload as it came."""
    if seen.message is not None:
        return _member(seen.message, name)
    return _member(seen.payload, name) if isinstance(seen.payload, AnyMapping) else _MISSING


def _member(holder: Any, name: str) -> Any:
    """Return the value of a field by its name or its wire name."""
    if isinstance(holder, AnyMapping):
        if name in holder:
            return holder[name]
        # A payload that breaks its schema has no type: the name of a field is found by its letters.
        plain = name.replace("_", "").lower()
        found: List[Any] = [value for each, value in holder.items() if str(each).lower() == plain]
        return found[0] if found else _MISSING
    names = _names(type(holder))
    if name in names:
        return getattr(holder, name)
    by_wire = {wire: each for each, wire in names.items()}
    return getattr(holder, by_wire[name]) if name in by_wire else _MISSING
