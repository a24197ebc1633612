"""``example``: valid payloads of all messages and data types."""

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import Any, List, Optional, Type, get_type_hints

import pytest

from ocppj import Endpoint, Feature, Payload, Profile, TextEnum, UsageError, ValidationError, v16, v21, v201, wire
from ocppj.rpc.validation import check_payload
from ocppj.testing.examples import example

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)
PACKAGES: Any = {"1.6": v16, "2.0.1": v201, "2.1": v21}
FEATURES: Any = [(version, each) for version in PACKAGES for profile in PACKAGES[version].PROFILES for each in profile]

each_message = pytest.mark.parametrize(
    ("feature", "kind"),
    [
        pytest.param(feature, kind, id=f"{version}-{kind.__name__}")
        for version, feature in FEATURES
        for kind in (feature.request_type, feature.response_type)
        if kind is not None
    ],
)


def check(feature: Feature, payload: Payload) -> None:
    """Check ``payload`` strictly, and that it is read as it was written."""
    data = payload.to_wire()
    check_payload(feature, type(payload) is feature.response_type, data)
    assert type(payload).from_wire(data) == payload


def data_types_in(kind: Type[Payload]) -> List[Any]:
    """Return (attribute, class, whether it is a list) for each data type that ``kind`` has itself."""
    found = []
    for name, hint in get_type_hints(kind).items():
        text, inner = str(hint), hint
        while getattr(inner, "__args__", None):
            inner = inner.__args__[0]
        if isinstance(inner, type) and issubclass(inner, Payload):
            found.append((name, inner, "List[" in text))
    return found


@each_message
def test_is_valid_and_has_what_is_demanded_alone(feature: Feature, kind: Type[Payload]) -> None:
    payload = example(kind, now=NOW)
    assert type(payload) is kind
    check(feature, payload)
    data = payload.to_wire()
    for name in data:
        with pytest.raises(ValidationError):
            check_payload(feature, kind is feature.response_type, {key: data[key] for key in data if key != name})


@each_message
def test_is_valid_with_every_field(feature: Feature, kind: Type[Payload]) -> None:
    payload = example(kind, full=True, now=NOW)
    check(feature, payload)
    assert [each.name for each in fields(kind) if getattr(payload, each.name) is None] == []  # type: ignore[arg-type]
    for name, part, is_list in data_types_in(kind):
        for full in (False, True):
            value = example(part, full=full, now=NOW)
            check(feature, example(kind, now=NOW, **{name: [value] if is_list else value}))


@pytest.mark.parametrize("version", PACKAGES)
def test_each_data_type_has_an_example(version: str) -> None:
    package = PACKAGES[version]
    kinds = [getattr(package, name) for name in package.__all__]
    kinds = [each for each in kinds if isinstance(each, type) and issubclass(each, Payload)]
    assert len(kinds) > 85
    for kind in kinds:
        for full in (False, True):
            payload = example(kind, full=full, now=NOW)
            assert kind.from_wire(payload.to_wire()) == payload


def test_is_the_same_each_time() -> None:
    assert example(v21.NotifyEventRequest, full=True, now=NOW) == example(v21.NotifyEventRequest, full=True, now=NOW)


def test_fields() -> None:
    boot = example(v16.BootNotificationRequest, charge_point_vendor="Other", iccid="1")
    assert (boot.charge_point_vendor, boot.charge_point_model, boot.iccid) == ("Other", "One", "1")


def test_fields_are_not_checked() -> None:
    assert example(v16.BootNotificationRequest, charge_point_vendor="x" * 99).charge_point_vendor == "x" * 99
    assert "chargePointVendor" not in example(v16.BootNotificationRequest, charge_point_vendor=None).to_wire()


def test_mappings_for_data_types() -> None:
    event = example(
        v201.TransactionEventRequest,
        now=NOW,
        transaction_info={"transaction_id": "T"},
        evse={"id": 2},
        meter_value=[{"sampled_value": [{"value": 3.0}]}, example(v201.MeterValue, now=NOW)],
    )
    assert event.transaction_info == v201.Transaction(transaction_id="T")
    assert event.evse == v201.EVSE(id=2)
    assert event.meter_value == [
        v201.MeterValue(timestamp=NOW, sampled_value=[v201.SampledValue(value=3.0)]),
        example(v201.MeterValue, now=NOW),
    ]


def test_the_times() -> None:
    info = example(v16.IdTagInfo, full=True, now=NOW)
    assert info.expiry_date == NOW + timedelta(days=1)
    assert example(v16.HeartbeatResponse, now=NOW).current_time == NOW
    age = datetime.now(timezone.utc) - example(v16.HeartbeatResponse).current_time
    assert abs(age) < timedelta(minutes=1)


def test_a_value_that_another_one_demands() -> None:
    [result] = example(v201.GetVariablesResponse).get_variable_result
    assert result.attribute_status == "Accepted"
    assert result.attribute_value is not None


def test_a_field_that_it_does_not_have() -> None:
    with pytest.raises(UsageError, match="^HeartbeatRequest has no field 'interval': it has \\[\\]$"):
        example(v16.HeartbeatRequest, interval=3)


@pytest.mark.parametrize("wrong", ["BootNotification", v16.ResetType, Payload, None])
def test_no_payload_class(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"takes the class of a message or data type, not "):
        example(wrong)


class Colour(TextEnum):
    RED = "Red"


@dataclass
class Lamp(Payload):
    name: str = field(metadata=wire("name"))


@dataclass
class PaintRequest(Payload):
    colour: Colour = field(metadata=wire("colour"))
    lamps: List[Lamp] = field(metadata=wire("lamps"))
    at: datetime = field(metadata=wire("at"))
    share: float = field(metadata=wire("share"))
    count: int = field(metadata=wire("count"))
    is_wet: bool = field(metadata=wire("isWet"))
    rest: Any = field(metadata=wire("rest"))
    lamp: Optional[Lamp] = field(default=None, metadata=wire("lamp"))


@dataclass(repr=False, eq=False)
class OtherBoot(v16.BootNotificationRequest):
    colour: Optional[str] = field(default=None, metadata=wire("colour"))


def test_a_class_of_the_program() -> None:
    paint = example(PaintRequest, now=NOW)
    assert paint == PaintRequest(Colour.RED, [Lamp("name")], NOW, 1.0, 1, False, paint.rest)
    assert example(PaintRequest, full=True).lamp == Lamp("name")
    feature = Feature("Paint", PaintRequest, None)
    sent = Endpoint([Profile("Own", v21.DIALECT, feature)]).create_send(paint)
    assert PaintRequest.from_wire(sent.payload.to_wire()) == paint


def test_a_class_of_the_program_that_extends_a_bundled_one() -> None:
    assert example(OtherBoot, full=True).colour == "colour"
    assert example(OtherBoot).charge_point_vendor == "Acme"
