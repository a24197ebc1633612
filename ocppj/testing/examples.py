"""Valid payloads of every message and data type, to test with."""

from __future__ import annotations

import threading
from dataclasses import MISSING, Field, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache
from importlib import import_module
from typing import Any, Collection, Dict, List, Mapping, Optional, Tuple, Type, TypeVar, Union, get_type_hints
from weakref import WeakKeyDictionary

from ..clock import SystemClock
from ..errors import UsageError
from ..payloads.model import Payload, format_datetime
from ..rpc.accelerated import simplify_schema
from ..rpc.dialect import DIALECTS, Dialect
from ..rpc.text_rules import REQUIRED_WHEN, tighten_schema

__all__ = ["dialect_of", "example"]

P = TypeVar("P", bound=Payload)
Schema = Mapping[str, Any]

#: Values that make sense, by the name of the property. The first that the schema allows is taken.
_SENSIBLE: Dict[str, Collection[Any]] = {
    "attributeType": ("Actual",),
    "chargePointModel": ("One",),
    "chargePointVendor": ("Acme",),
    "chargingRateUnit": ("A",),
    "connectorStatus": ("Available",),
    "context": ("Sample.Periodic",),
    "country": ("NL",),
    "currency": ("EUR",),
    "errorCode": ("NoError",),
    "eventType": ("Started",),
    "idTag": ("04A1B2C3",),
    "idToken": ("04A1B2C3",),
    "interval": (300,),
    "language": ("en",),
    "language1": ("en",),
    "language2": ("nl",),
    "limit": (16.0,),
    "location": ("https://example.com/file", "Outlet"),
    "measurand": ("Energy.Active.Import.Register",),
    "model": ("One",),
    "ocppCsmsUrl": ("wss://example.com/ocpp",),
    "purpose": ("TxDefaultProfile",),
    "reason": ("PowerUp", "Local"),
    "receiptUrl": ("https://example.com/receipt",),
    "remoteLocation": ("https://example.com/upload",),
    "responderURL": ("https://example.com/ocsp",),
    "seqNo": (0,),
    "startPeriod": (0,),
    "status": ("Accepted",),
    "transactionId": ("TX-1",),
    "type": ("ISO14443",),
    "unit": ("Wh",),
    "urls": ("https://example.com/ocsp",),
    "value": ("0",),
    "vatNumber": ("NL123456789B01",),
    "vendorId": ("com.example",),
    "vendorName": ("Acme",),
}
#: Moments that lie in the future. The others are now.
_LATER = frozenset(("cacheExpiryDateTime", "endDateTime", "expiryDate", "expiryDateTime", "nextUpdate", "validTo"))


def example(kind: Type[P], /, *, full: bool = False, now: Optional[datetime] = None, **values: Any) -> P:
    """Return a payload that is valid in the mode ``strict``: a request, a response, or a data type.

    It has what the schema demands, with plain values: the identification tag "04A1B2C3", connector 1, the vendor
    "Acme". Nothing is random. A class of the program, which has no bundled schema, is read from its annotations.

    Args:
        kind: The class, such as `ocppj.v16.BootNotificationRequest`.
        full: Whether optional fields have values too, at every depth.
        now: The time of its timestamps, with a zone. Those at which something ends are a day later. ``None``: the
            time of the machine.
        **values: Fields to set, by the names of the attributes. They are not checked, so that wrong payloads can be
            made as well: ``None`` leaves out a property that the schema demands. A mapping in place of a data type
            sets some of its fields: ``example(v201.AuthorizeRequest, id_token={"id_token": "CARD"})``.

    Raises:
        UsageError: ``kind`` is no payload class, or it has no such field.
    """
    if not (isinstance(kind, type) and issubclass(kind, Payload) and hasattr(kind, "__dataclass_fields__")):
        raise UsageError(f"example() takes the class of a message or data type, not {kind!r}")
    moment = SystemClock().now() if now is None else now
    known = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values).difference(known))
    if unknown:
        raise UsageError(f"{kind.__name__} has no field {unknown[0]!r}: it has {known}")
    payload = kind.from_wire(_Maker(full, moment).make_object(_get_schema(kind)))
    hints = get_type_hints(kind) if values else {}
    given = {name: _complete(hints[name], value, full, moment) for name, value in values.items()}
    return replace(payload, **given) if given else payload  # type: ignore[type-var]


def dialect_of(kind: Type[Payload]) -> Optional[Dialect]:
    """Return the OCPP version of a bundled message or data type, also of a subclass. ``None``: it has none."""
    modules = {each.__module__.rpartition(".")[0] for each in kind.__mro__}
    return next((each for each in DIALECTS if each.package in modules), None)


class _Maker:
    """Makes JSON values that a schema allows."""

    def __init__(self, full: bool, now: datetime) -> None:
        self._full = full
        self._now = now

    def make_object(self, schema: Schema) -> Dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", ())
        wanted = [name for name in properties if self._full or name in required]
        data = {name: self._make(name, properties[name]) for name in wanted}
        needed, other, text = schema.get(REQUIRED_WHEN, (None, None, None))
        if needed is not None and needed not in data and data.get(other) == text:
            data[needed] = self._make(needed, properties[needed])
        return data

    def _make(self, name: str, schema: Schema) -> Any:
        kind = schema.get("type")
        if kind == "object":
            return self.make_object(schema)
        if kind == "array":
            return [self._make(name, schema["items"])] * max(schema.get("minItems", 0), 1)
        if schema.get("format") == "date-time":
            return format_datetime(self._now + timedelta(days=1) if name in _LATER else self._now)
        sensible = [value for value in _SENSIBLE.get(name, ()) if _allows(schema, value)]
        if sensible:
            return sensible[0]
        if "enum" in schema:
            return schema["enum"][0]
        if kind in ("integer", "number"):
            nearest = min(max(1, schema.get("minimum", 1)), schema.get("maximum", 1))
            return nearest if kind == "integer" else float(nearest)
        return False if kind == "boolean" else self._make_text(name, schema)

    def _make_text(self, name: str, schema: Schema) -> str:
        return name.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _allows(schema: Schema, value: Any) -> bool:
    """Tell whether a schema without an object or array in it allows a text or number."""
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, str):
        return schema.get("type") == "string" and len(value) <= schema.get("maxLength", len(value))
    is_of_type = schema.get("type") in ("number", "integer" if isinstance(value, int) else "number")
    return is_of_type and schema.get("minimum", value) <= value <= schema.get("maximum", value)


def _complete(hint: Any, value: Any, full: bool, now: datetime) -> Any:
    """Return ``value`` with a data type in place of each mapping that stands for one."""
    kind, is_list = _find_payload(hint)
    if kind is None:
        return value
    if is_list and isinstance(value, (list, tuple)):
        return [example(kind, full=full, now=now, **each) if isinstance(each, Mapping) else each for each in value]
    return example(kind, full=full, now=now, **value) if isinstance(value, Mapping) else value


def _find_payload(hint: Any) -> Tuple[Optional[Type[Payload]], bool]:
    """Return the data type in an annotation, and whether it is that of a list."""
    if isinstance(hint, type) and issubclass(hint, Payload):
        return hint, False
    is_list = getattr(hint, "__origin__", None) is list
    for each in getattr(hint, "__args__", ()):
        kind, is_inner_list = _find_payload(each)
        if kind is not None:
            return kind, is_list or is_inner_list
    return None, False


_schemas: "WeakKeyDictionary[Type[Payload], Schema]" = WeakKeyDictionary()


def _get_schema(kind: Type[Payload]) -> Schema:
    """Return the schema of a class, with the rules of `ocppj.rpc.text_rules`. It is kept as long as the class."""
    if kind not in _schemas:
        _schemas[kind] = _find_schema(kind)
    return _schemas[kind]


def _find_schema(kind: Type[Payload]) -> Schema:
    dialect = dialect_of(kind)
    if dialect is None:
        return _derive_object(kind)
    found = _uses_of(dialect).find(kind)
    if found is None:  # a class of the program that inherits from a bundled one
        return _derive_object(kind)
    name, path = found
    schema = _load_schema(dialect, name)
    for step in path:
        schema = schema["properties"][step]
        schema = schema.get("items", schema)
    return schema


def _load_schema(dialect: Dialect, name: str) -> Schema:
    simple = simplify_schema(dialect.load_schema(name))
    assert simple is not None, f"the schema {name} is bundled, so it is plain"
    return tighten_schema(simple[0], dialect.version, name) or simple[0]


class _Uses:
    """Where the classes of a version are used. It looks no further than it must: reading annotations takes long."""

    def __init__(self, dialect: Dialect) -> None:
        messages = vars(import_module(f"{dialect.package}.messages"))
        self._lock = threading.Lock()  # guards the fields below
        # A message, and the names of the properties on the way to the class.
        self._known: Dict[type, Tuple[str, Tuple[str, ...]]] = {}
        self._known.update((messages[name], (name, ())) for name in messages["__all__"])
        self._waiting: List[type] = list(self._known)[::-1]

    def find(self, kind: type) -> Optional[Tuple[str, Tuple[str, ...]]]:
        with self._lock:
            return self._find(kind)

    def _find(self, kind: type) -> Optional[Tuple[str, Tuple[str, ...]]]:
        while kind not in self._known and self._waiting:
            self._look_into(self._waiting.pop())
        return self._known.get(kind)

    def _look_into(self, holder: type) -> None:
        name, path = self._known[holder]
        hints = get_type_hints(holder)
        for each in fields(holder):
            part, _ = _find_payload(hints[each.name])
            if part is not None and part not in self._known:
                self._known[part] = name, (*path, each.metadata["wire"])
                self._waiting.append(part)


_uses_of = lru_cache(maxsize=None)(_Uses)


def _derive_object(kind: Type[Payload]) -> Schema:
    """Return a schema for a class without one, from its annotations."""
    own: Tuple[Field[Any], ...] = fields(kind)  # type: ignore[arg-type]
    named = [each for each in own if each.metadata.get("wire") not in (None, "*")]
    needed = [each for each in named if each.default is MISSING and each.default_factory is MISSING]
    hints = get_type_hints(kind)
    return {
        "type": "object",
        "properties": {each.metadata["wire"]: _derive(hints[each.name]) for each in named},
        "required": [each.metadata["wire"] for each in needed],
    }


_PLAIN_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def _derive(hint: Any) -> Schema:
    origin = getattr(hint, "__origin__", None)
    if origin is Union or type(hint).__name__ == "UnionType":
        members = [each for each in hint.__args__ if each is not type(None)]
        return _derive(members[0])
    if origin is list:
        return {"type": "array", "items": _derive(hint.__args__[0])}
    if not isinstance(hint, type):
        return {}
    if issubclass(hint, Payload):
        return _get_schema(hint)
    if issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if issubclass(hint, datetime):
        return {"type": "string", "format": "date-time"}
    return {"type": _PLAIN_TYPES[hint]} if hint in _PLAIN_TYPES else {}
