"""The typed messages of every OCPP version: decoding and encoding lose nothing, and each action is in one profile."""

import dataclasses
from collections import Counter
from datetime import datetime
from typing import Any, Dict, Iterator, List, Tuple

from hypothesis import HealthCheck, given, settings
from strategies import full_payload, payload_meaning, payloads
from versions import VERSIONS, Version, each_message, each_version

from ocppj.payloads.model import Payload, TextEnum


@each_message
def test_round_trip(version: Version, message: str) -> None:
    schema, payload_type = version.schema(message), version.type_of(message)
    # A fault shows in most examples, and those of 2.x are many and large: a few are enough.
    examples = 40 if version.number == "1.6" else 5

    @settings(
        deadline=None,
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )
    @given(payloads(schema, schema))
    def round_trip(wire: Dict[str, Any]) -> None:
        payload = payload_type.from_wire(wire)
        assert type(payload) is payload_type
        assert payload_meaning(payload.to_wire(), schema, schema) == payload_meaning(wire, schema, schema)
        assert payload_type.from_wire(payload.to_wire()).to_wire() == payload.to_wire()
        for value in leaves(payload):
            assert not isinstance(value, dict)
            if isinstance(value, datetime):
                assert value.utcoffset() is not None

    round_trip()


@each_message
def test_round_trip_of_all_properties_at_once(version: Version, message: str) -> None:
    schema, payload_type = version.schema(message), version.type_of(message)
    wire = full_payload(schema, schema)
    payload = payload_type.from_wire(wire)
    assert payload.to_wire() == wire
    assert all(value is not None for value in leaves(payload))
    assert payload == payload_type.from_wire(wire)


def leaves(value: Any) -> Iterator[Any]:
    """Yield the innermost values of a payload, without those of open objects."""
    if isinstance(value, Payload):
        for each in dataclasses.fields(value):  # type: ignore[arg-type]
            if each.type != "Any" and each.metadata["wire"] != "*":
                yield from leaves(getattr(value, each.name))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def test_the_round_trip_detects_a_lost_property() -> None:
    schema = VERSIONS[0].schema("HeartbeatResponse")
    one, other = {"currentTime": "2024-01-01T00:00:00Z"}, {"currentTime": "2024-01-01T00:00:00.001Z"}
    same = {"currentTime": "2024-01-01T01:00:00.0004+01:00"}
    assert payload_meaning(one, schema, schema) == payload_meaning(same, schema, schema)
    assert payload_meaning(one, schema, schema) != payload_meaning(other, schema, schema)
    assert payload_meaning(one, schema, schema) != payload_meaning({}, schema, schema)


# --- enums


def resolved(schema: Dict[str, Any], root: Dict[str, Any]) -> Dict[str, Any]:
    if "$ref" in schema:
        found: Dict[str, Any] = root["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
        return found
    return schema


def enum_places(
    schema: Dict[str, Any], root: Dict[str, Any], path: Tuple[str, ...] = ()
) -> List[Tuple[Tuple[str, ...], List[str]]]:
    """Yield (path, texts) of each enum below the schema. The last step of the path is the property."""
    schema = resolved(schema, root)
    if "enum" in schema:
        return [(path, schema["enum"])]
    if "items" in schema:
        return enum_places(schema["items"], root, path)
    found = []
    for name, each in schema.get("properties", {}).items():
        found += enum_places(each, root, (*path, name))
    return found


def find(payload: Any, path: Tuple[str, ...]) -> Any:
    for step in path:
        payload = payload[0] if isinstance(payload, list) else payload
        names = {each.metadata["wire"]: each.name for each in dataclasses.fields(payload)}
        payload = getattr(payload, names[step])
    return payload[0] if isinstance(payload, list) else payload


def minimal(schema: Dict[str, Any], root: Dict[str, Any], path: Tuple[str, ...], text: str) -> Any:
    """Return a payload with the required properties, and ``text`` at ``path``."""
    schema = resolved(schema, root)
    if schema.get("type") == "array":
        return [minimal(schema["items"], root, path, text)]
    if schema.get("type") == "object":
        members = schema["properties"].items()
        wanted = {*schema.get("required", ()), path[0]}
        return {
            name: minimal(each, root, path[1:] if name == path[0] else ("-",), text)
            for name, each in members
            if name in wanted
        }
    if path == ():
        return text
    samples = {"integer": 1, "number": 1.5, "boolean": True}
    if schema.get("format") == "date-time":
        return "2024-01-01T00:00:00.000Z"
    return samples.get(schema["type"], schema.get("enum", ["x"])[0])


@each_message
def test_each_text_is_decoded_into_its_member(version: Version, message: str) -> None:
    schema, payload_type = version.schema(message), version.type_of(message)
    for path, texts in enum_places(schema, schema):
        for text in texts:
            wire = minimal(schema, schema, path, text)
            payload = payload_type.from_wire(wire)
            member = find(payload, path)
            assert isinstance(member, TextEnum), path
            assert member.value == text
            assert payload.to_wire() == wire


@each_version
def test_every_enum_is_used_by_a_schema(version: Version) -> None:
    schemas = [version.schema(message) for message in version.message_names]
    texts = {frozenset(texts) for schema in schemas for _, texts in enum_places(schema, schema)}
    for each in version.enum_types:
        assert frozenset(member.value for member in each) in texts, each
        assert all(name.isidentifier() and name.isupper() for name in each.__members__), each
    assert len(version.enum_types) == version.enums


# --- actions and types


@each_version
def test_each_action_is_in_one_profile(version: Version) -> None:
    assert len(version.features) == version.actions
    assert len(version.message_names) == version.messages
    counts = Counter(feature.name for feature in version.features)
    assert set(counts.values()) == {1}
    assert set(counts) == version.package.DIALECT.actions
    assert all(profile.dialect is version.package.DIALECT for profile in version.package.PROFILES)


@each_version
def test_features_have_their_types_and_schemas(version: Version) -> None:
    for feature in version.features:
        # NotifyPeriodicEventStream of 2.1 is one message.
        request = feature.name + ("Request" if feature.response_type else "")
        assert feature.request_type is version.type_of(request)
        assert callable(feature.request_schema)
        assert feature.request_schema() == version.schema(request)
        if feature.response_type is None:
            assert feature.response_schema is None
            continue
        assert feature.response_type is version.type_of(feature.name + "Response")
        assert callable(feature.response_schema)
        assert feature.response_schema() == version.schema(feature.name + "Response")


@each_version
def test_fields_are_those_of_the_schema(version: Version) -> None:
    for message in version.message_names:
        schema = version.schema(message)
        wires = {
            each.metadata["wire"]: each.default is dataclasses.MISSING
            for each in dataclasses.fields(version.type_of(message))  # type: ignore[arg-type]
        }
        assert wires == {name: name in schema.get("required", ()) for name in schema.get("properties", {})}, message


@each_version
def test_everything_public_is_exported(version: Version) -> None:
    package = version.package
    assert sorted(package.__all__) == sorted(set(package.__all__))
    for name in package.__all__:
        assert hasattr(package, name)
    assert {*version.message_names, "PROFILES", "DIALECT"} <= set(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    assert not hasattr(package, "NoSuchMessage")
