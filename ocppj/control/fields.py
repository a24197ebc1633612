"""`read_fields`: the payload of a request, from words such as ``type=Soft`` and ``a[0].b=1``, or from JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ..errors import UsageError
from .catalog import Schema, nearest

__all__ = ["FieldError", "kind_of", "property_of", "read_fields", "read_path", "write_fields"]

#: The steps to a field: names of properties, and indexes of lists.
Path = Tuple[Union[str, int], ...]

_PATH = re.compile(r"[A-Za-z_]\w*(?:\[\d+\])*(?:\.[A-Za-z_]\w*(?:\[\d+\])*)*")
_STEP = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]")
_MOST_LISTED = 30  # names in one error


class FieldError(UsageError):
    """A field of a request cannot be used. The text says what would be right."""


def read_fields(words: Sequence[str], schema: Optional[Schema] = None, name: str = "the request") -> Dict[str, Any]:
    """Return the JSON object that ``words`` say.

    A value takes the type that the schema wants: ``idTag=123`` is text, and ``connectorId=1`` a number. A field that
    wants a list takes one value (``key=A``), several (``key=A key=B``), or elements by their index
    (``key[0]=A key[1]=B``). A field that wants an object or a list takes JSON, too.

    Args:
        words: ``name=value``, such as ``split_words`` returns them; or one word, a JSON object.
        schema: The schema of the request. ``None``: it is not known, and each value is JSON, or else text.
        name: What the request is called in errors.

    Raises:
        FieldError: The schema has no such field, or the value is none for it.
    """
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        return _read_object(words[0], "the payload")
    payload: Dict[str, Any] = {}
    for word in words:
        path, equals, text = word.partition("=")
        if not equals:
            raise FieldError(f"{word!r:.80} is no field: write name=value" + _known(schema, "", name))
        _put(payload, read_path(path), text, schema, name)
    return payload


def write_fields(payload: Mapping[str, Any], place: str = "") -> List[str]:
    """Return a JSON object as words such as ``a[0].b=1``, which `read_fields` reads.

    Args:
        payload: The object.
        place: Where it stands in another one. "": in none.
    """
    words: List[str] = []
    for name, value in payload.items():
        words += _write_value(f"{place}.{name}" if place else name, value)
    return words


def _write_value(place: str, value: Any) -> List[str]:
    if isinstance(value, dict) and value:
        return write_fields(value, place)
    if isinstance(value, list) and value:
        return [word for index, each in enumerate(value) for word in _write_value(f"{place}[{index}]", each)]
    return [f"{place}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"]


def read_path(name: str) -> Path:
    """Return the steps of a name such as ``a[0].b``. Raises `FieldError` if it is none."""
    if not _PATH.fullmatch(name):
        raise FieldError(f"{name!r} is no name of a field: write name=value, a.b=value, or a[0].b=value")
    return tuple(int(index) if index else step for step, index in _STEP.findall(name))


def kind_of(schema: Optional[Schema]) -> str:
    """Return the JSON type that a schema wants. "": any."""
    kind = (schema or {}).get("type", "")
    return kind if isinstance(kind, str) else ""


def property_of(schema: Optional[Schema], name: str) -> Optional[Schema]:
    """Return the schema of a property, or ``None``."""
    properties: Mapping[str, Schema] = (schema or {}).get("properties", {})
    return properties.get(name)


def _put(payload: Dict[str, Any], path: Path, text: str, schema: Optional[Schema], name: str) -> None:
    """Set one field, at any depth, and make the objects and lists on the way there."""
    holder: Any = payload
    for depth, step in enumerate(path):
        place = format_path(path[: depth + 1])
        schema = _step_into(schema, path[:depth], step, name)
        is_last = depth == len(path) - 1
        value = _read_value(text, schema, place) if is_last else ([] if isinstance(path[depth + 1], int) else {})
        holder = _enter(holder, step, value, place, is_last, kind_of(schema))


def _step_into(schema: Optional[Schema], before: Path, step: Union[str, int], name: str) -> Optional[Schema]:
    """Return the schema one step further down, or ``None`` if there is no rule. Raises `FieldError`."""
    if schema is None or not kind_of(schema):
        return None
    place = format_path(before)
    if isinstance(step, int):
        if kind_of(schema) != "array":
            raise FieldError(f"{place} is no list: it takes {_wanted(schema)}")
        items: Optional[Schema] = schema.get("items")
        return items
    if kind_of(schema) == "array":
        raise FieldError(f"{place} is a list: write {place}[0].{step}=...")
    if kind_of(schema) != "object":
        raise FieldError(f"{place} has no fields: it takes {_wanted(schema)}")
    found = property_of(schema, step)
    is_open = place.rpartition(".")[2].startswith("customData")  # any property may stand there
    if found is None and not is_open:
        raise FieldError(f"there is no field {format_path((*before, step))!r}" + _known(schema, step, place or name))
    return found


def _enter(holder: Any, step: Union[str, int], value: Any, place: str, is_last: bool, kind: str) -> Any:
    """Put ``value`` into an object or a list, unless what stands there can take more. Return what stands there."""
    if isinstance(holder, list) and isinstance(step, int):
        if step > len(holder):
            raise FieldError(f"{place} is given before {place[: place.rindex('[')]}[{len(holder)}]")
        there = holder[step] if step < len(holder) else None
        holder += [value] if there is None else []
    elif isinstance(holder, dict) and isinstance(step, str):
        there = holder.get(step)
        holder[step] = value if there is None else there
    else:
        raise FieldError(f"{place}: an object or a list, and another value, are given for one field")
    if there is None:
        return value
    if is_last and kind == "array" and isinstance(there, list) and isinstance(value, list):
        there += value
    elif is_last:
        raise FieldError(f"{place} is given twice")
    return there


def _read_value(text: str, schema: Optional[Schema], place: str) -> Any:
    """Return the value of a text, of the type that the schema wants. Raises `FieldError`."""
    kind = kind_of(schema)
    if schema is None or not kind:
        return _guess(text)
    if kind == "object":
        return _read_object(text, place, schema)
    if kind == "array":
        return _read_list(text, schema, place)
    try:
        value = _READERS[kind](text)
    except (KeyError, ValueError):
        raise FieldError(f"{place} takes {_wanted(schema)}, not {text!r:.80}") from None
    if "enum" in schema and value not in schema["enum"]:
        raise FieldError(f"{place} takes {_wanted(schema)}, not {text!r:.80}" + _meant(text, schema["enum"]))
    return value


def _read_object(text: str, place: str, schema: Optional[Schema] = None) -> Dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{"):
            raise FieldError(f"{place} is no JSON: {error}") from None
        value = None
    if not isinstance(value, dict):
        names = list((schema or {}).get("properties", {}))
        hint = f": write {place}.{names[0]}=..., or a JSON object" if names else ""
        raise FieldError(f"{place} takes an object, not {text!r:.80}{hint}")
    return value


def _read_list(text: str, schema: Schema, place: str) -> List[Any]:
    if text.lstrip().startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FieldError(f"{place} is no JSON: {error}") from None
        if isinstance(value, list):
            return value
    items: Optional[Schema] = schema.get("items")
    if kind_of(items) == "object" and not text.lstrip().startswith("{"):
        raise FieldError(f"{place} takes a list of objects: write {place}[0].{_first_name(items)}=..., or JSON")
    return [_read_value(text, items, f"{place}[0]")]


def _first_name(schema: Optional[Schema]) -> str:
    return next(iter((schema or {}).get("properties", {})), "name")


def _read_number(text: str) -> Union[int, float]:
    value = json.loads(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(text)
    return value


def _read_boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _guess(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


#: What makes a value of a text, by the JSON type.
_READERS: Dict[str, Any] = {
    "string": str,
    "integer": lambda text: int(text, 10),
    "number": _read_number,
    "boolean": _read_boolean,
}


def format_path(path: Path) -> str:
    """Return the steps to a field as text, such as ``a[0].b``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _wanted(schema: Schema) -> str:
    """Say what a field takes."""
    if "enum" in schema:
        names = list(map(str, schema["enum"]))
        shown = names[:_MOST_LISTED] + (["..."] if len(names) > _MOST_LISTED else [])
        return f"one of {', '.join(shown)}" if len(names) > 1 else names[0]
    kind = kind_of(schema)
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}
    return words.get(kind, "an object" if kind == "object" else "a list")


def _known(schema: Optional[Schema], word: str, place: str) -> str:
    """Say which fields an object has, and which one is most likely meant by ``word``."""
    names: Mapping[str, Schema] = (schema or {}).get("properties", {})
    if schema is None:
        return ""
    if not names:
        return f": {place} has no fields"
    needed = set(schema.get("required", ()))
    ordered = sorted(names, key=lambda each: each not in needed)
    listed = [f"{each} (needed)" if each in needed else each for each in ordered[:_MOST_LISTED]]
    return f": {place} has {', '.join(listed)}{_meant(word, names)}"


def _meant(word: str, known: Any) -> str:
    found = nearest(word, [each for each in known if isinstance(each, str)]) if word else None
    return f"; is {found!r} meant?" if found is not None else ""
