"""The rules that stand in the text of OCPP alone: each is in a schema, and both validators check it alike."""

import copy

import pytest

from ocppj import ErrorCode, ValidationError, v16, v21, v201
from ocppj.rpc.dialect import DIALECTS
from ocppj.rpc.text_rules import tighten_schema
from ocppj.rpc.validation import check_payload, get_quick_check, use_accelerators

MODULES = {"1.6": v16, "2.0.1": v201, "2.1": v21}
INFO = {"status": "Accepted"}
RESULT = {"attributeStatus": "Accepted", "component": {"name": "C"}, "variable": {"name": "V"}}


@pytest.fixture(params=[True, False], ids=["fast", "plain"], autouse=True)
def accelerated(request):
    use_accelerators(request.param)
    yield
    use_accelerators(True)


def feature(version, action):
    profiles = MODULES[version].PROFILES
    return next(each for profile in profiles for each in profile if each.name == action)


CASES = [
    ("1.6", "TriggerMessage", False, "connectorId", {"requestedMessage": "Heartbeat", "connectorId": 0}, 1),
    ("1.6", "UnlockConnector", False, "connectorId", {"connectorId": 0}, 1),
    ("1.6", "ChangeAvailability", False, "connectorId", {"connectorId": -1, "type": "Operative"}, 0),
    ("1.6", "RemoteStartTransaction", False, "connectorId", {"connectorId": 0, "idTag": "A"}, 1),
    ("2.0.1", "SetMonitoringLevel", False, "severity", {"severity": 10}, 9),
    ("2.0.1", "SetMonitoringLevel", False, "severity", {"severity": -1}, 0),
    ("2.1", "SetMonitoringLevel", False, "severity", {"severity": 10}, 9),
    ("2.0.1", "TransactionEvent", True, "chargingPriority", {"chargingPriority": 10}, -9),
    ("2.1", "TransactionEvent", True, "chargingPriority", {"chargingPriority": -10}, 9),
    ("2.1", "Authorize", True, "idTokenInfo.chargingPriority", {"idTokenInfo": {**INFO, "chargingPriority": 11}}, 3),
]


@pytest.mark.parametrize(("version", "action", "is_response", "path", "wrong", "right"), CASES)
def test_a_range_is_checked(version, action, is_response, path, wrong, right):
    own = feature(version, action)
    check_payload(own, is_response, wrong, False)
    with pytest.raises(ValidationError) as caught:
        check_payload(own, is_response, wrong)
    assert (caught.value.path, caught.value.code) == (path, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION)
    assert not get_quick_check(own, is_response)(wrong)
    valid = copy.deepcopy(wrong)
    owner = valid["idTokenInfo"] if "." in path else valid
    owner[path.split(".")[-1]] = right
    check_payload(own, is_response, valid)


METER_VALUE = {"timestamp": "2026-01-02T03:04:05Z"}
SCHEDULE = {"chargingRateUnit": "A"}
OF_A_WRONG_TYPE = [
    ("1.6", "MeterValues", False, {"connectorId": 1, "meterValue": [{**METER_VALUE, "sampledValue": [[]]}]}),
    ("1.6", "GetCompositeSchedule", True,
     {"status": "Accepted", "chargingSchedule": {**SCHEDULE, "chargingSchedulePeriod": [[]]}}),
    ("2.0.1", "GetVariables", True, {"getVariableResult": RESULT}),
    ("2.1", "GetVariables", True, {"getVariableResult": RESULT}),
]  # fmt: skip


@pytest.mark.parametrize(("version", "action", "is_response", "payload"), OF_A_WRONG_TYPE)
def test_a_value_of_a_wrong_type_has_no_other_fault(version, action, is_response, payload):
    own = feature(version, action)
    for with_text_rules in (False, True):
        with pytest.raises(ValidationError) as caught:
            check_payload(own, is_response, payload, with_text_rules)
        assert caught.value.code == ErrorCode.TYPE_CONSTRAINT_VIOLATION


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_a_variable_that_is_accepted_has_a_value(version):
    own = feature(version, "GetVariables")
    valid = {"getVariableResult": [{**RESULT, "attributeValue": ""}, {**RESULT, "attributeStatus": "Rejected"}]}
    check_payload(own, True, valid)
    assert get_quick_check(own, True)(valid)
    wrong = {"getVariableResult": [*valid["getVariableResult"], RESULT]}
    assert not get_quick_check(own, True)(wrong)
    with pytest.raises(ValidationError, match="'attributeValue' is missing") as caught:
        check_payload(own, True, wrong)
    assert caught.value.path == "getVariableResult[2].attributeValue"
    assert caught.value.code is ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION


def test_a_schema_without_rules_stays_as_it_is():
    assert tighten_schema({"type": "object", "properties": {}}, "1.6", "HeartbeatRequest") is None
    assert tighten_schema({"type": "object", "properties": {}}, "3.0", "HeartbeatRequest") is None


def test_each_rule_belongs_to_a_property_of_its_schemas():
    from ocppj.rpc.accelerated import simplify_schema
    from ocppj.rpc.text_rules import RULES

    for dialect in DIALECTS:
        for rule in RULES[dialect.version]:
            assert rule.section
            for name in rule.messages:
                plain = simplify_schema(dialect.load_schema(name)).schema
                assert tighten_schema(plain, dialect.version, name) is not None, (rule, name)
