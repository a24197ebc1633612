"""Read the bundled schemas of one OCPP version into a model of Python classes: the first half of ``generate.py``.

Schemas do not say everything: a version brings a module of names (see ``names_v16.py``). Whatever the schemas and the
names leave open is an error here, never a guess at run time.
"""

from __future__ import annotations

import json
import keyword
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Collection, Dict, List, Mapping, Set, Tuple

__all__ = ["Field", "GenerateError", "Model", "Version", "attribute_name", "member_name", "read_model", "snake_case"]


class GenerateError(ValueError):
    """The schemas and the names do not make a package. The text says where and what is missing."""


@dataclass(frozen=True)
class Version:
    """One OCPP version: the package it is written to, its constant in `ocppj.rpc.dialect`, and its names."""

    version: str
    package: str
    dialect: str
    names: ModuleType
    requester: str  # who sends the requests of SENT_BY_CHARGE_POINT
    other: str


# --- names -----------------------------------------------------------------------------------------------------------


#: Properties, of any version, that the rule below gets wrong.
_FIELDS = {"SoC": "soc", "ocppCSMSURL": "ocpp_csms_url"}
#: The field of an open object that takes the properties without a field, and its wire name.
_REST = ("extra", "*")
#: What a generated class uses by name in its body, or inherits; a field must not hide it.
_TAKEN = frozenset({"field", "from_wire", "to_wire", "wire"})


def snake_case(text: str) -> str:
    """Return ``text`` in snake_case: chargePointModel -> charge_point_model, EVSEId -> evse_id, L1-N -> l1_n.

    Raises `GenerateError` where case does not show how the words divide (SoC, kWh, ocppCSMSURL): those belong into a
    table of exceptions.
    """
    if re.fullmatch(r"[A-Za-z0-9]+([ ._-]+[A-Za-z0-9]+)*", text) is None:
        raise GenerateError(f"{text!r}: no rule makes a name of it; add it to a table of exceptions")
    words: List[str] = []
    for chunk in re.split(r"[ ._-]+", text):
        split = re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", chunk)
        split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", split)
        parts = split.split("_")
        run_together = any(re.search(r"[A-Z]{6}", part) for part in parts) and not text.isupper()
        if run_together or (len(parts) > 1 and any(len(part) == 1 for part in parts)):
            raise GenerateError(f"{text!r}: no rule says how its words divide; add it to a table of exceptions")
        words += parts
    name = "_".join(words).lower()
    if not name.isidentifier():
        raise GenerateError(f"{text!r}: no rule makes a name of it; add it to a table of exceptions")
    return name


def attribute_name(wire: str, names: ModuleType) -> str:
    """Return the name of the field for the JSON property ``wire``."""
    exceptions: Mapping[str, str] = names.FIELDS
    name = exceptions.get(wire) or _FIELDS.get(wire) or snake_case(wire)
    return name + "_" if keyword.iskeyword(name) or name in _TAKEN else name


def member_name(text: str, names: ModuleType) -> str:
    """Return the name of the enum member for ``text``."""
    exceptions: Mapping[str, str] = names.ENUM_MEMBERS
    return exceptions.get(text) or snake_case(text).upper()


# --- the model -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """One field: its JSON property, its attribute, its annotation without ``Optional``."""

    wire: str
    attribute: str
    annotation: str
    required: bool

    @property
    def takes_rest(self) -> bool:
        """Whether it takes the properties that no other field has."""
        return self.wire == _REST[1]


@dataclass
class Model:
    """Everything a version's package holds: enums (class -> texts), data types and messages (class -> fields)."""

    enums: Dict[str, List[str]] = field(default_factory=dict)
    datatypes: Dict[str, List[Field]] = field(default_factory=dict)
    messages: Dict[str, List[Field]] = field(default_factory=dict)
    used_in: Dict[str, List[str]] = field(default_factory=dict)

    @property
    def actions(self) -> List[str]:
        """The names of all actions, in alphabetical order. One that is never answered has a message of its own name."""
        return sorted(re.sub("Request$", "", name) for name in self.messages if not name.endswith("Response"))

    def request(self, action: str) -> str:
        """Return the name of the message that starts ``action``."""
        return action if action in self.messages else action + "Request"


def read_model(version: Version, schemas: Path) -> Model:
    """Return the model of the schemas in that folder. Raises `GenerateError`."""
    reader = _Reader(version)
    paths = sorted(schemas.glob("*.json"))
    if not paths:
        raise GenerateError(f"{schemas}: has no schemas")
    for path in paths:
        reader.read_message(path.stem, json.loads(path.read_text("utf-8")))
    reader.check_names()
    return reader.model


class _Reader:
    """Reads schemas one after another into one `Model`."""

    def __init__(self, version: Version) -> None:
        self.model = Model()
        self._names = version.names
        self._definitions: Mapping[str, Any] = {}
        self._inline_used: Dict[str, None] = {}
        self._definitions_used: Dict[str, None] = {}
        self._properties: Set[str] = set()
        self._origin: Dict[str, str] = {}

    def read_message(self, name: str, schema: Mapping[str, Any]) -> None:
        self._definitions = schema.get("definitions", {})
        self.model.messages[name] = self._fields(name, schema)

    def check_names(self) -> None:
        """Refuse classes named like messages, and rows that nothing uses: spelling mistakes, or leftovers."""
        for name in self.model.messages:
            if name in self._origin:
                raise GenerateError(f"{self._origin[name]}: the name {name} is taken by a message")
        tables: Tuple[Tuple[str, Mapping[str, str], Collection[str]], ...] = (
            ("INLINE", self._names.INLINE, self._inline_used),
            ("DEFINITIONS", self._names.DEFINITIONS, self._definitions_used),
            ("WIDENED", self._names.WIDENED, self.model.enums),
            ("FIELDS", self._names.FIELDS, self._properties),
            ("ENUM_MEMBERS", self._names.ENUM_MEMBERS, {text for texts in self.model.enums.values() for text in texts}),
        )
        for table, rows, used in tables:
            for row in rows:
                if row not in used:
                    raise GenerateError(f"{self._names.__name__}.{table}: nothing is called {row!r}")

    def _fields(self, owner: str, schema: Mapping[str, Any]) -> List[Field]:
        required = schema.get("required", [])
        fields: List[Field] = []
        self._properties.update(schema.get("properties", ()))
        for wire, each in schema.get("properties", {}).items():
            attribute = attribute_name(wire, self._names)
            fields.append(Field(wire, attribute, self._annotation(owner, wire, each), wire in required))
        if _is_open(schema):
            attribute, wire = _REST
            fields.append(Field(wire, attribute, "Dict[str, Any]", required=False))
        attributes = [each.attribute for each in fields]
        for attribute in attributes:
            if attributes.count(attribute) > 1:
                raise GenerateError(f"{owner}: two properties become {attribute!r}")
        # A dataclass wants the fields without a default first.
        return sorted(fields, key=lambda each: not each.required)

    def _annotation(self, owner: str, wire: str, schema: Mapping[str, Any]) -> str:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return self._named(self._definition_class(name), self._definitions[name], f"{owner}.{wire}")
        kind = schema.get("type")
        if kind == "array":
            return f"List[{self._annotation(owner, wire, schema['items'])}]"
        if "enum" in schema or (kind == "object" and _has_class(schema)):
            place = f"{owner}.{wire}"
            if place not in self._names.INLINE:
                raise GenerateError(f"{place}: an inline {'enum' if 'enum' in schema else 'object'} without a name")
            self._inline_used[place] = None
            return self._named(self._names.INLINE[place], schema, place)
        if kind == "string" and schema.get("format") == "date-time":
            return "datetime"
        plain = {"boolean": "bool", "integer": "int", "number": "float", "string": "str", "object": "Dict[str, Any]"}
        return "Any" if kind is None else plain[kind]

    def _definition_class(self, name: str) -> str:
        if name in self._names.DEFINITIONS:
            self._definitions_used[name] = None
            return str(self._names.DEFINITIONS[name])
        return re.sub("Type$", "", name)

    def _named(self, name: str, schema: Mapping[str, Any], place: str) -> str:
        """Take in the enum or object ``schema`` as class ``name``; return the annotation that names it."""
        if "enum" not in schema and not _has_class(schema):
            # Of a definition: a plain type, or an object of which nothing is known.
            return self._annotation("", "", schema)
        used_in = self.model.used_in.setdefault(name, [])
        if place not in used_in:
            used_in.append(place)
        if "enum" in schema:
            self._take_enum(name, schema["enum"], place)
            return f"Union[{name}, str]"
        self._take(self.model.datatypes, name, self._fields(name, schema), place)
        return name

    def _take_enum(self, name: str, texts: List[str], place: str) -> None:
        known = self.model.enums.get(name)
        if known is not None and name in self._names.WIDENED:
            known += [text for text in texts if text not in known]
            return
        self._take(self.model.enums, name, list(texts), place, as_set=True)

    def _take(self, into: Dict[str, Any], name: str, members: List[Any], place: str, as_set: bool = False) -> None:
        if any(name in kind for kind in (self.model.enums, self.model.datatypes) if kind is not into):
            raise GenerateError(f"{place}: the name {name} is taken by {self._origin[name]}")
        known = into.setdefault(name, members)
        if known != members and not (as_set and set(known) == set(members)):
            raise GenerateError(f"{place}: {name} has other members than at {self._origin[name]}")
        self._origin.setdefault(name, place)


def _is_open(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is not False


def _has_class(schema: Mapping[str, Any]) -> bool:
    """Tell whether it is an object with properties to name, or with none; else it is a plain dict."""
    return schema.get("type") == "object" and ("properties" in schema or not _is_open(schema))
