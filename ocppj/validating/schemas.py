"""The messages of an OCPP version: their names, their schemas, their fields, and examples."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from ..errors import UsageError
from ..rpc.accelerated import simplify_schema
from ..rpc.dialect import DIALECTS, Dialect
from ..rpc.text_rules import tighten_schema
from ..testing.examples import example

__all__ = ["Field", "MessageName", "dialect_of", "find_message", "list_actions", "list_fields", "load_schema",
           "make_example"]  # fmt: skip


@dataclass(frozen=True)
class MessageName:
    """A message of an OCPP version.

    Attributes:
        version: Such as "2.0.1".
        action: Such as "TransactionEvent".
        is_response: Whether it is the response.
        has_response: Whether the action has a response.
    """

    version: str
    action: str
    is_response: bool = False
    has_response: bool = True

    @property
    def type_name(self) -> str:
        """The name of its type and its schema, such as "TransactionEventRequest"."""
        if not self.has_response:
            return self.action
        return self.action + ("Response" if self.is_response else "Request")

    def __str__(self) -> str:
        return f"{self.type_name} of OCPP {self.version}"


@dataclass(frozen=True)
class Field:
    """A field of a message.

    Attributes:
        path: Its name, with those of the objects that it is in: ``meterValue[].sampledValue[].unit``.
        type: Its JSON type, or "date-time". That of the items of a list has "[]" behind it.
        is_required: Whether the object that it is in must have it.
        limits: What its schema demands beside the type.
        values: The values that are allowed, if these are listed.
    """

    path: str
    type: str
    is_required: bool
    limits: str = ""
    values: Tuple[str, ...] = ()


def dialect_of(version: str) -> Dialect:
    """Return the dialect of an OCPP version, such as "2.0.1". Raises `UsageError`."""
    for each in DIALECTS:
        if each.version == version:
            return each
    raise UsageError(f"there is no OCPP version {version!r}")


def list_actions(version: str) -> List[str]:
    """Return the actions of an OCPP version, in the order of the alphabet."""
    return sorted(dialect_of(version).actions)


def find_message(version: str, name: str, is_response: bool = False) -> MessageName:
    """Return the message that a user means.

    Args:
        version: The OCPP version.
        name: An action, such as "Reset", or the name of a message, such as "ResetResponse". Small and capital letters
            count as equal.
        is_response: Whether the response to the action is meant.

    Raises:
        UsageError: There is no such message. The error names similar ones.
    """
    dialect = dialect_of(version)
    by_name = {action.lower(): action for action in dialect.actions}
    wanted = name.lower()
    for suffix, response in (("", is_response), ("request", False), ("response", True)):
        action = by_name.get(wanted[: len(wanted) - len(suffix)]) if wanted.endswith(suffix) else None
        if action is not None:
            return _make_name(dialect, action, response)
    raise UsageError(_describe_unknown(dialect, name))


def _make_name(dialect: Dialect, action: str, is_response: bool) -> MessageName:
    feature_has_response = not _is_send(dialect, action)
    if is_response and not feature_has_response:
        raise UsageError(f"{action} of OCPP {dialect.version} has no response: it travels in a SEND")
    return MessageName(dialect.version, action, is_response, feature_has_response)


def _is_send(dialect: Dialect, action: str) -> bool:
    try:
        dialect.load_schema(f"{action}Request")
    except FileNotFoundError:
        return True
    return False


def _describe_unknown(dialect: Dialect, name: str) -> str:
    others = [each.version for each in DIALECTS if name in each.actions]
    similar = get_close_matches(name, sorted(dialect.actions), 3, 0.5)
    text = f"OCPP {dialect.version} has no action {name!r}"
    if others:
        text += f"; OCPP {' and '.join(others)} {'has' if len(others) == 1 else 'have'} it"
    return f"{text}; similar ones: {', '.join(similar)}" if similar else text


def load_schema(name: MessageName) -> Dict[str, Any]:
    """Return the JSON schema of a message, as it is bundled."""
    return dialect_of(name.version).load_schema(name.type_name)


def make_example(name: MessageName, full: bool = False) -> Dict[str, Any]:
    """Return a payload that is valid.

    Args:
        name: The message.
        full: Whether it has all optional fields, too.
    """
    kind = dialect_of(name.version).load_type(name.type_name)
    payload: Dict[str, Any] = example(kind, full=full).to_wire()
    return payload


def list_fields(name: MessageName) -> List[Field]:
    """Return the fields of a message, each object before what is in it.

    The fields inside of ``customData``, which any object of 2.x may have, are left out.
    """
    simple = simplify_schema(load_schema(name))
    assert simple is not None, "it is bundled"
    plain = tighten_schema(simple[0], name.version, name.type_name) or simple[0]
    return list(_walk(plain, ""))


def _walk(schema: Mapping[str, Any], holder: str) -> Iterator[Field]:
    required: Sequence[str] = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        if name == "customData" and holder:
            continue
        path, limits, kind = f"{holder}{name}", [], each
        while kind.get("type") == "array":
            limits.append(_describe(kind, "items"))
            path, kind = f"{path}[]", kind["items"]
        suffix = path[len(holder) + len(name) :]
        limits.append(_describe(kind, "characters"))
        yield Field(
            path,
            kind.get("format", kind.get("type", "any")) + suffix,
            name in required,
            ", ".join(filter(None, limits)),
            tuple(map(str, kind.get("enum", ()))),
        )
        if name != "customData":
            yield from _walk(kind, f"{path}.")


def _describe(schema: Mapping[str, Any], unit: str) -> str:
    """Return the limits of a schema, such as "1 to 5 items", "at most 20 characters", "0 to 9, steps of 0.1"."""
    sizes = ("minItems", "maxItems") if unit == "items" else ("minLength", "maxLength")
    texts = [_describe_range(schema, *sizes, f" {unit}"), _describe_range(schema, "minimum", "maximum", "")]
    if "multipleOf" in schema:
        texts.append(f"steps of {schema['multipleOf']}")
    return ", ".join(filter(None, texts))


def _describe_range(schema: Mapping[str, Any], least: str, most: str, unit: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return ""
    if high is None:
        return f"at least {low}{unit[:-1] if low == 1 else unit}"
    if low is None:
        return f"at most {high}{unit}"
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
