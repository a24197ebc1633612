"""Import OCPP JSON schemas: read a folder of schema files, and write them in a normal form.

    python tools/import_schemas.py FOLDER ocppj/v16/schemas

FOLDER is an unpacked archive of the Open Charge Alliance, or the ``schemas`` folder of the PyPI package ``ocpp``.
A request may be named ``Authorize.json``, ``AuthorizeRequest.json`` or ``Authorize.req.json``, its response
``AuthorizeResponse.json`` or ``Authorize.conf.json``. The written files are ``AuthorizeRequest.json`` and
``AuthorizeResponse.json``. A message in `SEND` has no response, and keeps its name.

The normal form has names, types, limits, enums and required properties. It has no prose, no ids, and no keywords
without effect. Two sources with the same meaning give the same bytes. An unknown keyword is refused, never dropped: it
may be a rule, or a property that is outside its object by mistake (as in the first 1.6 schemas; OCPP-J 1.6 errata
2.3).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

__all__ = ["SEND", "SchemaError", "import_folder", "normalize"]

#: Messages without a response (OCPP 2.1 Part 4 section 4.2.4). Such a message has the name of its action.
SEND = frozenset({"NotifyPeriodicEventStream"})

_DRAFTS = frozenset({"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#"})
_TYPES = frozenset({"array", "boolean", "integer", "number", "object", "string"})
#: Keywords that check nothing. ``id`` is the name of ``$id`` in draft-04.
_NOISE = frozenset({"$comment", "$id", "comment", "description", "id", "javaType", "title"})
#: The keywords that are kept, in the order of the normal form, and the types of values that they check.
_KEPT: Dict[str, Tuple[str, ...]] = {
    "$schema": ("object",),
    "type": tuple(_TYPES),
    "format": ("string",),
    "enum": ("string",),
    "pattern": ("string",),
    "minLength": ("string",),
    "maxLength": ("string",),
    "minimum": ("integer", "number"),
    "maximum": ("integer", "number"),
    "multipleOf": ("integer", "number"),
    "default": tuple(_TYPES),
    "items": ("array",),
    "minItems": ("array",),
    "maxItems": ("array",),
    "properties": ("object",),
    "required": ("object",),
    "additionalProperties": ("object",),
    "definitions": ("object",),
}
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_LIMITS = frozenset({"minimum", "maximum", "multipleOf"})
_DEFINITION = re.compile(r"#/definitions/([A-Za-z0-9_]+)")
_MESSAGE = re.compile(r"([A-Z][A-Za-z0-9]*?)(?:(Request|\.req)|(Response|\.conf))?")


class SchemaError(ValueError):
    """A schema file cannot be imported. The text names the file, the place and the fault."""


def import_folder(source: Path, target: Path) -> List[str]:
    """Write the schemas of the folder ``source`` into the folder ``target``; return the names of the messages.

    If a file is wrong, nothing is written. A schema in ``target`` that ``source`` does not have is removed. Raises
    `SchemaError`.
    """
    if not source.is_dir():
        raise SchemaError(f"{source}: not a folder")
    if target.exists() and target.samefile(source):
        raise SchemaError(f"{target}: is the source itself")
    messages = _read_messages(source)
    target.mkdir(parents=True, exist_ok=True)
    for path in target.glob("*.json"):
        if path.stem not in messages and (path.stem in SEND or path.stem.endswith(("Request", "Response"))):
            path.unlink()
    for name, schema in messages.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (target / f"{name}.json").write_bytes(text.encode("utf-8"))
    return sorted(messages)


def _read_messages(source: Path) -> Dict[str, Dict[str, Any]]:
    files: Dict[str, Path] = {}
    messages: Dict[str, Dict[str, Any]] = {}
    for path in sorted(source.glob("*.json")):
        schema = _read_json(path)
        name = _message_name(path, schema)
        if name in files:
            raise SchemaError(f"{path}: {files[name].name} holds {name} already")
        files[name] = path
        messages[name] = normalize(schema, str(path))
    if not files:
        raise SchemaError(f"{source}: has no schema files (*.json)")
    for name, path in files.items():
        _check_pair(name, path, messages)
    return messages


def _check_pair(name: str, path: Path, messages: Mapping[str, object]) -> None:
    if name.endswith("Response"):
        action = name[: -len("Response")]
        if action + "Request" not in messages:
            raise SchemaError(f"{path}: there is no request of {action}")
    elif name not in SEND:
        action = name[: -len("Request")]
        if action + "Response" not in messages:
            raise SchemaError(f"{path}: there is no response of {action}")


def _read_json(path: Path) -> Dict[str, Any]:
    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise SchemaError(f"{path}: {twice!r} stands twice in one object")
        return members

    try:
        # Some editors write a byte order mark.
        schema = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path}: not UTF-8 ({error})") from None
    except json.JSONDecodeError as error:
        raise SchemaError(f"{path}: not JSON ({error})") from None
    if not isinstance(schema, dict):
        raise SchemaError(f"{path}: not a JSON object")
    return schema


def _message_name(path: Path, schema: Mapping[str, Any]) -> str:
    """Return the name of the message, such as ``AuthorizeRequest``. File name and id of the schema must agree."""
    name = _parse_name(path.stem)
    if name is None:
        raise SchemaError(f"{path}: the file is not named after a message")
    identifier = schema.get("$id", schema.get("id"))
    if isinstance(identifier, str):
        # An id is such as "urn:OCPP:Cp:1.6:2020:3:GetLog.req". Some ids have only the version.
        stated = _parse_name(identifier.rsplit(":", 1)[-1])
        if stated is not None and stated != name:
            raise SchemaError(f"{path}: the file's name says {name}, its id {stated}")
    return name


def _parse_name(text: str) -> Optional[str]:
    match = _MESSAGE.fullmatch(text)
    if match is None:
        return None
    if match[1] in SEND and not match[3]:
        return match[1]
    return match[1] + ("Response" if match[3] else "Request")


def normalize(schema: Mapping[str, Any], where: str = "schema") -> Dict[str, Any]:
    """Return the normal form of the schema of a message. Raises `SchemaError`; its text begins with ``where``."""
    if schema.get("$schema") not in _DRAFTS:
        raise SchemaError(f"{where}: $schema is {schema.get('$schema')!r}, not draft-04 or draft-06")
    if schema.get("type") != "object":
        raise SchemaError(f"{where}: a message is of type 'object', not {schema.get('type')!r}")
    defined = schema.get("definitions", {})
    if not isinstance(defined, dict):
        raise SchemaError(f"{where}: definitions must be an object")
    return _Normalizer(frozenset(defined)).subschema(schema, where, root=True)


class _Normalizer:
    """Returns the normal form of schemas. In all methods ``where`` is the place, for the text of an error."""

    def __init__(self, defined: frozenset[str]) -> None:
        self._defined = defined
        self._normalizers: Dict[str, Callable[[Any, str], Any]] = {
            "enum": self._normalize_enum,
            "required": self._check_names,
            "items": self.subschema,
            "properties": self._normalize_members,
            "definitions": self._normalize_definitions,
            "additionalProperties": self._check_additional_properties,
        }

    def subschema(self, schema: Any, where: str, root: bool = False) -> Dict[str, Any]:
        if not isinstance(schema, dict):
            _fail(where, "a schema must be an object")
        facts = {key: value for key, value in schema.items() if key not in _NOISE}
        if "$ref" in facts:
            return self._normalize_reference(facts, where)
        kind = facts.get("type")
        if kind is not None and (not isinstance(kind, str) or kind not in _TYPES):
            _fail(where, f"unknown type {kind!r}")
        self._drop_useless(facts, kind)
        for key in facts:
            self._check_place(key, kind, where, root)
        normal = {key: self._normalize_value(key, facts[key], where) for key in _KEPT if key in facts}
        return self._check_required(normal, where)

    def _normalize_reference(self, facts: Dict[str, Any], where: str) -> Dict[str, Any]:
        match = _DEFINITION.fullmatch(str(facts["$ref"]))
        if match is None or match[1] not in self._defined:
            _fail(where, f"$ref {facts['$ref']!r} leads nowhere")
        beside = sorted(set(facts) - {"$ref"})
        if beside:
            _fail(where, f"{beside[0]!r} beside a $ref would be ignored")
        return {"$ref": facts["$ref"]}

    def _drop_useless(self, facts: Dict[str, Any], kind: Optional[str]) -> None:
        """Drop the two keywords that the generator of the OCA also writes where they have no effect."""
        if kind is not None and kind != "object" and isinstance(facts.get("additionalProperties"), bool):
            del facts["additionalProperties"]
        if isinstance(facts.get("items"), dict):
            facts.pop("additionalItems", None)

    def _check_place(self, key: str, kind: Optional[str], where: str, root: bool) -> None:
        if key not in _KEPT:
            _fail(where, f"unknown keyword {key!r}")
        if key in ("$schema", "definitions") and not root:
            _fail(where, f"{key!r} belongs to the top of the file")
        if kind is None or kind not in _KEPT[key]:
            _fail(where, f"{key!r} says nothing about a value of type {kind!r}")

    def _normalize_value(self, key: str, value: Any, where: str) -> Any:
        normalize_keyword = self._normalizers.get(key)
        if normalize_keyword is not None:
            return normalize_keyword(value, where if key == "properties" else f"{where}: {key}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if key in _COUNTS and not (isinstance(value, int) and number and value >= 0):
            _fail(where, f"{key} must be a count, not {value!r}")
        if key in _LIMITS and not number:
            _fail(where, f"{key} must be a number, not {value!r}")
        if key in ("format", "pattern") and not isinstance(value, str):
            _fail(where, f"{key} must be text, not {value!r}")
        return value

    def _check_names(self, names: Any, where: str) -> List[str]:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            _fail(where, "must be a list of texts")
        if len(set(names)) != len(names):
            _fail(where, "has the same text twice")
        return list(names)

    def _normalize_enum(self, texts: Any, where: str) -> List[str]:
        return self._check_names(texts, where) or _fail(where, "must not be empty")

    def _normalize_members(self, members: Any, where: str) -> Dict[str, Any]:
        if not isinstance(members, dict):
            _fail(where, "properties must be an object")
        return {name: self.subschema(schema, f"{where}: {name}") for name, schema in members.items()}

    def _normalize_definitions(self, members: Any, where: str) -> Dict[str, Any]:
        return dict(sorted(self._normalize_members(members, where).items()))

    def _check_additional_properties(self, value: Any, where: str) -> bool:
        if not isinstance(value, bool):
            _fail(where, "must be true or false")
        return value

    def _check_required(self, normal: Dict[str, Any], where: str) -> Dict[str, Any]:
        required = normal.get("required", [])
        properties = list(normal.get("properties", {}))
        for name in required:
            if name not in properties:
                _fail(where, f"requires {name!r}, which is no property of it")
        if required:
            # The order has no meaning. That of the properties is the same for all sources.
            normal["required"] = sorted(required, key=properties.index)
        else:
            normal.pop("required", None)
        return normal


def _fail(where: str, what: str) -> NoReturn:
    raise SchemaError(f"{where}: {what}")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Import OCPP JSON schemas in normal form.")
    parser.add_argument("source", type=Path, metavar="FOLDER", help="folder of schema files")
    parser.add_argument("target", type=Path, metavar="SCHEMAS", help="folder to write, such as ocppj/v16/schemas")
    options = parser.parse_args(arguments)
    try:
        names = import_folder(options.source, options.target)
    except (SchemaError, OSError) as error:
        print(f"import_schemas: {error}", file=sys.stderr)
        return 1
    print(f"{len(names)} schemas written to {options.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
