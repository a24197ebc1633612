"""Builds a model of Python classes from the bundled schemas of one OCPP version. ``generate.py`` uses it.

The schemas do not have all names. A module of names (see ``names_v16.py``) has the rest. A name that is in neither is
an error. It is never guessed.
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
    """The schemas and the names are not enough for a package. The text says where and what is missing."""


@dataclass(frozen=True)
class Version:
    """One OCPP version: its package, its constant in `ocppj.rpc.dialect`, and its module of names."""

    version: str
    package: str
    dialect: str
    names: ModuleType
    requester: str  # the sender of the requests of SENT_BY_CHARGE_POINT
    other: str  # the sender of the other requests


# --- names -----------------------------------------------------------------------------------------------------------


#: Properties of any version for which the rule of `snake_case` is wrong.
_FIELDS = {"SoC": "soc", "ocppCSMSURL": "ocpp_csms_url"}
#: The field for the properties without a field, in a class for an open object, and its wire name.
_EXTRA = ("extra", "*")
#: Names that a generated class uses or inherits. A field must not hide them.
_TAKEN = frozenset({"field", "from_wire", "to_wire", "wire"})


def snake_case(text: str) -> str:
    """Return ``text`` in snake_case: chargePointModel -> charge_point_model, EVSEId -> evse_id, L1-N -> l1_n.

    Raises `GenerateError` if the case does not show where the words begin (SoC, kWh, ocppCSMSURL). Such a text needs a
    row in a table of exceptions.
    """
    if re.fullmatch(r"[A-Za-z0-9]+([ ._-]+[A-Za-z0-9]+)*", text) is None:
        raise GenerateError(f"{text!r}: no rule gives a name for it; add it to a table of exceptions")
    words: List[str] = []
    for chunk in re.split(r"[ ._-]+", text):
        split = re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", chunk)
        split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", split)
        parts = split.split("_")
        run_together = any(re.search(r"[A-Z]{6}", part) for part in parts) and not text.isupper()
        if run_together or (len(parts) > 1 and any(len(part) == 1 for part in parts)):
            raise GenerateError(f"{text!r}: no rule says where its words begin; add it to a table of exceptions")
        words += parts
    name = "_".join(words).lower()
    if not name.isidentifier():
        raise GenerateError(f"{text!r}: no rule gives a name for it; add it to a table of exceptions")
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
    """A field: its JSON property, its attribute, and its annotation without ``Optional``."""

    wire: str
    attribute: str
    annotation: str
    required: bool

    @property
    def is_extra(self) -> bool:
        """Whether this is the field for the properties without a field."""
        return self.wire == _EXTRA[1]


@dataclass
class Model:
    """The contents of a package: enums (class -> texts), data types and messages (class -> fields)."""

    enums: Dict[str, List[str]] = field(default_factory=dict)
    datatypes: Dict[str, List[Field]] = field(default_factory=dict)
    messages: Dict[str, List[Field]] = field(default_factory=dict)
    used_in: Dict[str, List[str]] = field(default_factory=dict)

    @property
    def actions(self) -> List[str]:
        """All actions, in alphabetical order. An action without a response has one message, of the same name."""
        return sorted(re.sub("Request$", "", name) for name in self.messages if not name.endswith("Response"))

    def request(self, action: str) -> str:
        """Return the name of the request of ``action``."""
        return action if action in self.messages else action + "Request"


def read_model(version: Version, schemas: Path) -> Model:
    """Return the model for the schemas in a folder. Raises `GenerateError`."""
    reader = _Reader(version)
    paths = sorted(schemas.glob("*.json"))
    if not paths:
        raise GenerateError(f"{schemas}: has no schemas")
    for path in paths:
        reader.read_message(path.stem, json.loads(path.read_text("utf-8")))
    reader.check_names()
    return reader.model


class _Reader:
    """Adds schemas, one after another, to one `Model`."""

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
        """Refuse a class with the name of a message, and a row of names that is not used: it may be misspelt."""
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
                    raise GenerateError(f"{self._names.__name__}.{table}: {row!r} is not used")

    def _fields(self, owner: str, schema: Mapping[str, Any]) -> List[Field]:
        required = schema.get("required", [])
        fields: List[Field] = []
        self._properties.update(schema.get("properties", ()))
        for wire, each in schema.get("properties", {}).items():
            attribute = attribute_name(wire, self._names)
            fields.append(Field(wire, attribute, self._annotation(owner, wire, each), wire in required))
        if _is_open(schema):
            attribute, wire = _EXTRA
            fields.append(Field(wire, attribute, "Dict[str, Any]", required=False))
        attributes = [each.attribute for each in fields]
        for attribute in attributes:
            if attributes.count(attribute) > 1:
                raise GenerateError(f"{owner}: two properties become {attribute!r}")
        # In a dataclass the fields without a default come first.
        return sorted(fields, key=lambda each: not each.required)

    def _annotation(self, owner: str, wire: str, schema: Mapping[str, Any]) -> str:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return self._add_class(self._definition_class(name), self._definitions[name], f"{owner}.{wire}")
        kind = schema.get("type")
        if kind == "array":
            return f"List[{self._annotation(owner, wire, schema['items'])}]"
        if "enum" in schema or (kind == "object" and _has_class(schema)):
            place = f"{owner}.{wire}"
            if place not in self._names.INLINE:
                raise GenerateError(f"{place}: an inline {'enum' if 'enum' in schema else 'object'} without a name")
            self._inline_used[place] = None
            return self._add_class(self._names.INLINE[place], schema, place)
        if kind == "string" and schema.get("format") == "date-time":
            return "datetime"
        plain = {"boolean": "bool", "integer": "int", "number": "float", "string": "str", "object": "Dict[str, Any]"}
        return "Any" if kind is None else plain[kind]

    def _definition_class(self, name: str) -> str:
        if name in self._names.DEFINITIONS:
            self._definitions_used[name] = None
            return str(self._names.DEFINITIONS[name])
        return re.sub("Type$", "", name)

    def _add_class(self, name: str, schema: Mapping[str, Any], place: str) -> str:
        """Add the enum or object ``schema`` as the class ``name``; return its annotation."""
        if "enum" not in schema and not _has_class(schema):
            # A definition of a plain type, or of an object without properties.
            return self._annotation("", "", schema)
        used_in = self.model.used_in.setdefault(name, [])
        if place not in used_in:
            used_in.append(place)
        if "enum" in schema:
            self._add_enum(name, schema["enum"], place)
            return f"Union[{name}, str]"
        self._add(self.model.datatypes, name, self._fields(name, schema), place)
        return name

    def _add_enum(self, name: str, texts: List[str], place: str) -> None:
        known = self.model.enums.get(name)
        if known is not None and name in self._names.WIDENED:
            known += [text for text in texts if text not in known]
            return
        self._add(self.model.enums, name, list(texts), place, as_set=True)

    def _add(self, into: Dict[str, Any], name: str, members: List[Any], place: str, as_set: bool = False) -> None:
        if any(name in kind for kind in (self.model.enums, self.model.datatypes) if kind is not into):
            raise GenerateError(f"{place}: the name {name} is taken by {self._origin[name]}")
        known = into.setdefault(name, members)
        if known != members and not (as_set and set(known) == set(members)):
            raise GenerateError(f"{place}: {name} has other members than at {self._origin[name]}")
        self._origin.setdefault(name, place)


def _is_open(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties") is not False


def _has_class(schema: Mapping[str, Any]) -> bool:
    """Tell whether ``schema`` becomes a class. An open object without properties is a plain dict."""
    return schema.get("type") == "object" and ("properties" in schema or not _is_open(schema))
