"""`Completer`: what may follow in a command line that is being typed."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..errors import UsageError
from .catalog import Schema, actions_of, request_schema
from .fields import FieldError, kind_of, property_of, read_path
from .words import quote_word, split_words

__all__ = ["Completer"]


class Completer:
    """Completes ids, actions, names of fields, and values of enums.

    Args:
        versions: Returns the OCPP version of each client by its id.
        commands: The words that may stand in place of a client's id, by what follows: "client" (an id, then an
            action and its fields), "id" (an id alone), "action" (an action of a station, with or without its id before
            it) or "" (nothing).
    """

    def __init__(self, versions: Callable[[], Mapping[str, str]], commands: Optional[Mapping[str, str]] = None) -> None:
        self._versions = versions
        self._commands: Dict[str, str] = dict(commands or {})

    def complete(self, line: str) -> List[str]:
        """Return what the last word of ``line`` may become. A word that is complete then has a space behind it.

        Args:
            line: The line up to the cursor. It may end in the middle of a word, or after a space.
        """
        begin = line.rpartition(" ")[0]
        last = line[len(begin) :].lstrip()
        try:
            words = split_words(begin)
        except UsageError:  # inside a quote, or JSON
            return []
        return [each for each in self._candidates(words, last) if each.startswith(last)]

    def _candidates(self, words: Sequence[str], last: str) -> List[str]:
        versions = self._versions()
        ids = [f"{quote_word(each)} " for each in versions]
        if not words:
            return [*ids, *(f"{each} " for each in self._commands)]
        what = self._commands.get(words[0]) if words[0] not in versions else None
        if what is not None:
            words = words[1:]
            if what == "action":
                return _actions_of_stations(versions, ids, words)
            if what == "id" or (what == "client" and not words):
                return ids if not words else []
            if what != "client":
                return []
        version = versions.get(words[0])
        if version is None:
            return []
        if len(words) == 1:
            return _spaced(actions_of(version, "csms"))
        return _fields(request_schema(version, words[1]), words[2:], last)


def _actions_of_stations(versions: Mapping[str, str], ids: List[str], words: Sequence[str]) -> List[str]:
    if not words:
        return [*ids, *_spaced({each for version in versions.values() for each in actions_of(version, "station")})]
    is_id = len(words) == 1 and words[0] in versions
    return _spaced(actions_of(versions[words[0]], "station")) if is_id else []


def _spaced(words: Iterable[str]) -> List[str]:
    return [f"{each} " for each in sorted(words)]


def _fields(schema: Optional[Schema], given: Sequence[str], last: str) -> List[str]:
    """Return the fields of a request, or the values of the field whose name is complete."""
    name, equals, _ = last.partition("=")
    try:
        if equals:
            return [f"{name}={value} " for value in _values(_find(schema, name)[0])]
        begin = name.rpartition(".")[0]
        holder = schema if not begin else _find(schema, begin)[0]
    except FieldError:
        return []
    known = {word.partition("=")[0] for word in given}
    place = f"{begin}." if begin else ""
    return [f"{place}{each}" for each in _names(holder) if f"{place}{each}".rstrip("=") not in known]


def _find(schema: Optional[Schema], name: str) -> Tuple[Optional[Schema], str]:
    """Return the schema of the field of that name. Raises `FieldError` if the name is none."""
    for step in read_path(name):
        schema = (schema or {}).get("items") if isinstance(step, int) else property_of(schema, step)
    return schema, name


def _values(schema: Optional[Schema]) -> List[str]:
    if kind_of(schema) == "array":
        return _values((schema or {}).get("items"))
    if kind_of(schema) == "boolean":
        return ["true", "false"]
    return [str(each) for each in (schema or {}).get("enum", ())]


def _names(schema: Optional[Schema]) -> List[str]:
    """Return the names of an object's properties, those that it needs first, with what must follow each of them."""
    properties: Mapping[str, Schema] = (schema or {}).get("properties", {})
    needed = set((schema or {}).get("required", ()))
    ordered = sorted(properties, key=lambda each: (each not in needed, each == "customData"))
    return [each + _behind(properties[each]) for each in ordered]


def _behind(schema: Schema) -> str:
    if kind_of(schema) == "object":
        return "."
    if kind_of(schema) == "array":
        return "[0]." if kind_of(schema.get("items")) == "object" else "="
    return "="
