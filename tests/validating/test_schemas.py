"""The messages of a version, their fields, and one payload."""

import json

import pytest

from ocppj import UsageError
from ocppj.validating import check_payload_text, find_message, list_actions, list_fields
from ocppj.validating.schemas import load_schema, make_example

VERSIONS = {"1.6": 39, "2.0.1": 64, "2.1": 91}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_has_fields_and_a_valid_example(version: str) -> None:
    actions = list_actions(version)
    assert len(actions) == VERSIONS[version]
    for action in actions:
        request = find_message(version, action)
        for is_response in (False, True) if request.has_response else (False,):
            name = find_message(version, action, is_response)
            assert check_payload_text(name, json.dumps(make_example(name))) is None
            paths = [field.path.partition(".")[0].rstrip("[]") for field in list_fields(name)]
            assert set(paths) == set(load_schema(name).get("properties", ()))


def test_fields_are_nested() -> None:
    fields = {field.path: field for field in list_fields(find_message("1.6", "MeterValues"))}
    periods = fields["meterValue[].sampledValue[]"]
    assert (periods.type, periods.is_required, periods.limits) == ("object[]", True, "at least 1 item")
    unit = fields["meterValue[].sampledValue[].unit"]
    assert (unit.type, unit.is_required, unit.values[:2]) == ("string", False, ("Wh", "kWh"))
    assert fields["meterValue[].timestamp"].type == "date-time"
    assert fields["connectorId"].limits == "at least 0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Reset", "ResetRequest"),
        ("reset", "ResetRequest"),
        ("ResetRequest", "ResetRequest"),
        ("ResetResponse", "ResetResponse"),
    ],
)
def test_names_of_messages(name: str, expected: str) -> None:
    assert find_message("1.6", name).type_name == expected


def test_unknown_names_are_told_with_similar_ones() -> None:
    with pytest.raises(UsageError, match="no action 'MeterValue'; similar ones: MeterValues"):
        find_message("1.6", "MeterValue")
    with pytest.raises(UsageError, match="OCPP 2.0.1 and 2.1 have it"):
        find_message("1.6", "TransactionEvent")
    with pytest.raises(UsageError, match="has no response"):
        find_message("2.1", "NotifyPeriodicEventStream", True)


def test_what_the_mode_standard_forgives() -> None:
    name, text = (
        find_message("1.6", "BootNotificationResponse"),
        '{"status":"Accepted","currentTime":"%s","interval":9}',
    )
    for time, mode, is_valid in (("2026-01-02 03:04", "strict", False), ("2026-01-02 03:04", "standard", True)):
        assert (check_payload_text(name, text % time, mode) is None) == is_valid


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ('{"type": "Soft"}', "strict", None),
        ('{"type": "Warm"}', "strict", "PropertyConstraintViolation type"),
        ('{"type": "Soft", "x": 1}', "standard", "FormationViolation x"),
        ('{"type": ', "strict", "FormationViolation "),
        ('{"type":\x01 "Soft"}', "strict", "FormationViolation "),
        ('{"type":\x01 "Soft"}', "standard", None),
        ("[]", "strict", "FormationViolation "),
    ],
)
def test_one_payload(text: str, mode: str, expected: "str | None") -> None:
    fault = check_payload_text(find_message("1.6", "Reset"), text, mode)
    assert (fault and f"{fault.code} {fault.path}") == expected
