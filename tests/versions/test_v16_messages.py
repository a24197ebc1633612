"""The typed messages of OCPP 1.6: decoding and encoding lose nothing."""

import dataclasses
import functools
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Optional, Tuple, Type

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import payload_meaning, payloads

from ocppj import v16
from ocppj.errors import ValidationError
from ocppj.payloads import Payload, TextEnum
from ocppj.profile import Feature

FEATURES: List[Feature] = [feature for profile in v16.PROFILES for feature in profile]
MESSAGES: Dict[str, Type[Payload]] = {}
for _feature in FEATURES:
    MESSAGES[_feature.name + "Request"] = _feature.request_type
    assert _feature.response_type is not None
    MESSAGES[_feature.name + "Response"] = _feature.response_type

ENUMS = [each for each in vars(v16).values() if isinstance(each, type) and issubclass(each, TextEnum)]


@functools.lru_cache(maxsize=None)
def schema_of(message: str) -> Dict[str, Any]:
    return v16.DIALECT.load_schema(message)


@pytest.mark.parametrize("message", sorted(MESSAGES))
def test_round_trip(message: str) -> None:
    schema, payload_type = schema_of(message), MESSAGES[message]

    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow], database=None)
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


def leaves(value: Any) -> List[Any]:
    if isinstance(value, Payload):
        return [leaf for each in dataclasses.fields(value) for leaf in leaves(getattr(value, each.name))]  # type: ignore[arg-type]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def test_a_lost_property_would_be_seen() -> None:
    schema = schema_of("HeartbeatResponse")
    one, other = {"currentTime": "2024-01-01T00:00:00Z"}, {"currentTime": "2024-01-01T00:00:00.001Z"}
    same = {"currentTime": "2024-01-01T01:00:00.0004+01:00"}
    assert payload_meaning(one, schema, schema) == payload_meaning(same, schema, schema)
    assert payload_meaning(one, schema, schema) != payload_meaning(other, schema, schema)
    assert payload_meaning(one, schema, schema) != payload_meaning({}, schema, schema)


# --- enums


def enum_places(
    schema: Dict[str, Any], root: Dict[str, Any], path: Tuple[str, ...] = ()
) -> List[Tuple[Any, List[str]]]:
    """Every (path, texts) of an enum below the schema; a path's last step is the property."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
    if "enum" in schema:
        return [(path, schema["enum"])]
    if "items" in schema:
        return enum_places(schema["items"], root, path)
    found = []
    for name, each in schema.get("properties", {}).items():
        found += enum_places(each, root, (*path, name))
    return found


PLACES = [
    pytest.param(message, path, texts, id=f"{message}.{'.'.join(path)}")
    for message in sorted(MESSAGES)
    for path, texts in enum_places(schema_of(message), schema_of(message))
]


def find(payload: Any, path: Tuple[str, ...]) -> Any:
    for step in path:
        payload = payload[0] if isinstance(payload, list) else payload
        names = {each.metadata["wire"]: each.name for each in dataclasses.fields(payload)}
        payload = getattr(payload, names[step])
    return payload


def minimal(schema: Dict[str, Any], root: Dict[str, Any], path: Tuple[str, ...], text: str) -> Any:
    """Return a payload with the required properties, and ``text`` at ``path``."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
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
        return "2024-01-01T00:00:00Z"
    return samples.get(schema["type"], schema.get("enum", ["x"])[0])


@pytest.mark.parametrize(("message", "path", "texts"), PLACES)
def test_each_text_decodes_into_its_member(message: str, path: Tuple[str, ...], texts: List[str]) -> None:
    schema = schema_of(message)
    for text in texts:
        wire = minimal(schema, schema, path, text)
        payload = MESSAGES[message].from_wire(wire)
        member = find(payload, path)
        assert isinstance(member, TextEnum)
        assert member.value == text
        assert payload.to_wire() == wire


def test_every_enum_is_used_by_a_schema() -> None:
    texts = {frozenset(place.values[2]) for place in PLACES}  # type: ignore[call-overload]
    unused = [each.__name__ for each in ENUMS if frozenset(member.value for member in each) not in texts]
    assert unused == []
    assert len(ENUMS) == 48


def test_an_enum_field_takes_the_member_or_its_text() -> None:
    assert (
        v16.ResetRequest(type="Soft").to_wire()
        == v16.ResetRequest(type=v16.ResetType.SOFT).to_wire()
        == {"type": "Soft"}
    )
    assert v16.ResetRequest(type="Soft") == v16.ResetRequest(type=v16.ResetType.SOFT)


def test_text_that_is_no_member_stays_text() -> None:
    request = v16.ResetRequest.from_wire({"type": "Medium"})
    assert request.type == "Medium"
    assert type(request.type) is str


def test_member_names() -> None:
    assert v16.Measurand.ENERGY_ACTIVE_IMPORT_REGISTER.value == "Energy.Active.Import.Register"
    assert v16.Measurand.SOC.value == "SoC"
    assert v16.Phase.L1_N.value == "L1-N"
    assert v16.UnitOfMeasure.KWH.value == "kWh"
    assert v16.UnitOfMeasure.CELSIUS.value == "Celsius"
    assert v16.UnitOfMeasure.CELCIUS.value == "Celcius"
    assert v16.ChargePointStatus.SUSPENDED_EVSE.value == "SuspendedEVSE"
    assert v16.ChargePointErrorCode.EV_COMMUNICATION_ERROR.value == "EVCommunicationError"


# --- timestamps


# hypothesis wants the bounds without a zone.
FIRST, LAST = datetime(1970, 1, 1), datetime(2099, 1, 1)  # noqa: DTZ001


@settings(deadline=None, database=None)
@given(st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.timezones()))
def test_any_aware_datetime_can_be_sent(moment: datetime) -> None:
    response = v16.HeartbeatResponse(current_time=moment)
    read = v16.HeartbeatResponse.from_wire(response.to_wire()).current_time
    utc = moment.astimezone(timezone.utc)
    assert read == utc.replace(microsecond=utc.microsecond // 1000 * 1000)
    assert read.utcoffset() == timedelta(0)


def test_a_zone_is_kept_as_it_came() -> None:
    response = v16.HeartbeatResponse.from_wire({"currentTime": "2024-07-01T12:00:00+02:00"})
    assert response.current_time.utcoffset() == timedelta(hours=2)
    assert response.to_wire() == {"currentTime": "2024-07-01T10:00:00Z"}


def test_errors_name_the_place() -> None:
    value = {"timestamp": "2024-01-01T00:00:00Z", "sampledValue": [{"value": "1"}, {}]}
    with pytest.raises(ValidationError) as caught:
        v16.MeterValuesRequest.from_wire({"connectorId": 1, "meterValue": [value]})
    assert caught.value.path == "meterValue[0].sampledValue[1]"
    assert "'value'" in caught.value.description


# --- the catalogue


def test_there_are_39_actions_each_in_one_profile() -> None:
    assert len(FEATURES) == 39
    assert len(MESSAGES) == 78
    counts = Counter(feature.name for feature in FEATURES)
    assert set(counts.values()) == {1}
    assert set(counts) == v16.DIALECT.actions


def test_profiles() -> None:
    sizes = {profile.name: len(list(profile)) for profile in v16.PROFILES}
    assert sizes == {
        "Core": 16,
        "FirmwareManagement": 4,
        "LocalAuthListManagement": 2,
        "Reservation": 2,
        "SmartCharging": 3,
        "RemoteTrigger": 1,
        "Security": 11,
    }
    assert all(profile.dialect is v16.DIALECT for profile in v16.PROFILES)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_has_its_types_and_schemas(feature: Feature) -> None:
    assert feature.request_type is getattr(v16, feature.name + "Request")
    assert feature.response_type is getattr(v16, feature.name + "Response")
    for load, kind in ((feature.request_schema, "Request"), (feature.response_schema, "Response")):
        assert callable(load)
        assert load() == schema_of(feature.name + kind)


def test_fields_are_those_of_the_schema() -> None:
    for message, payload_type in MESSAGES.items():
        schema = schema_of(message)
        wires: Dict[str, Optional[bool]] = {
            each.metadata["wire"]: each.default is dataclasses.MISSING
            for each in dataclasses.fields(payload_type)  # type: ignore[arg-type]
        }
        required = schema.get("required", [])
        assert wires == {name: name in required for name in schema.get("properties", {})}


def test_everything_public_is_exported() -> None:
    assert sorted(v16.__all__) == sorted(set(v16.__all__))
    for name in v16.__all__:
        assert hasattr(v16, name)
    for message in MESSAGES:
        assert message in v16.__all__
