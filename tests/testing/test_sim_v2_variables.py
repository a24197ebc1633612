"""A simulated station of 2.x reads and changes its variables."""

import pytest

from ocppj import OCPPError
from tests.testing.sim_pairs import booted

VERSIONS = ("2.0.1", "2.1")


@pytest.fixture(params=VERSIONS)
def pair(request):
    with booted(request.param) as pair:
        yield pair


def get(pair, component, variable, instance=None, **more):
    types = pair.types
    evse = more.pop("evse", None)
    data = types.GetVariableData(
        types.Component(component, evse=evse), types.Variable(name=variable, instance=instance), **more
    )
    return pair.call(types.GetVariablesRequest([data])).get_variable_result[0]


def change(pair, component, variable, value, instance=None, **more):
    types = pair.types
    data = types.SetVariableData(
        value, types.Component(component), types.Variable(name=variable, instance=instance), **more
    )
    return pair.call(types.SetVariablesRequest([data])).set_variable_result[0]


def test_a_variable_is_found_whatever_the_case_of_its_name(pair):
    result = get(pair, "ocppcommctrlr", "HEARTBEATINTERVAL")
    assert (result.attribute_status, result.attribute_value, result.attribute_type) == ("Accepted", "300", "Actual")
    assert result.component.name == "ocppcommctrlr"


def test_what_is_unknown_has_its_status_and_no_value(pair):
    assert get(pair, "NoCtrlr", "Enabled").attribute_status == "UnknownComponent"
    result = get(pair, "OCPPCommCtrlr", "NoVariable")
    assert (result.attribute_status, result.attribute_value) == ("UnknownVariable", None)
    assert get(pair, "OCPPCommCtrlr", "MessageAttempts").attribute_status == "UnknownVariable"  # has instances only
    evse = pair.types.EVSE(3)
    assert get(pair, "EVSE", "AvailabilityState", evse=evse).attribute_status == "UnknownComponent"


def test_an_empty_instance_is_none(pair):
    assert get(pair, "OCPPCommCtrlr", "HeartbeatInterval", "").attribute_status == "Accepted"


def test_a_list_of_values_is_text(pair):
    assert get(pair, "SmartChargingCtrlr", "RateUnit").attribute_value == "A,W"


def test_other_attributes_are_not_supported(pair):
    assert get(pair, "OCPPCommCtrlr", "HeartbeatInterval", attribute_type="Target").attribute_status == (
        "NotSupportedAttributeType"
    )
    assert change(pair, "OCPPCommCtrlr", "HeartbeatInterval", "9", attribute_type="MaxSet").attribute_status == (
        "NotSupportedAttributeType"
    )


def test_the_password_is_write_only(pair):
    assert get(pair, "SecurityCtrlr", "BasicAuthPassword").attribute_status == "Rejected"
    assert change(pair, "SecurityCtrlr", "BasicAuthPassword", "0123456789abcdef").attribute_status == "Accepted"
    assert change(pair, "SecurityCtrlr", "BasicAuthPassword", "short").attribute_status == "Rejected"


def test_a_change_takes_effect_and_is_read_back(pair):
    assert change(pair, "OCPPCommCtrlr", "HeartbeatInterval", "20").attribute_status == "Accepted"
    assert get(pair, "OCPPCommCtrlr", "HeartbeatInterval").attribute_value == "20"
    first = pair.clock.monotonic()
    pair.expect(pair.types.HeartbeatRequest)
    assert pair.clock.monotonic() - first <= 21


def test_a_change_that_cannot_be_is_rejected_and_says_why(pair):
    wrong = change(pair, "OCPPCommCtrlr", "HeartbeatInterval", "often")
    assert (wrong.attribute_status, wrong.attribute_status_info.reason_code) == ("Rejected", "InvalidValue")
    fixed = change(pair, "SecurityCtrlr", "SecurityProfile", "2")
    assert (fixed.attribute_status, fixed.attribute_status_info.reason_code) == ("Rejected", "ReadOnly")
    assert change(pair, "TxCtrlr", "TxStartPoint", "EVConnected,Never").attribute_status == "Rejected"
    assert change(pair, "TxCtrlr", "TxStartPoint", "EVConnected,Authorized").attribute_status == "Accepted"


def test_a_change_for_the_next_boot_waits(pair):
    assert change(pair, "OCPPCommCtrlr", "NetworkConfigurationPriority", "2,1").attribute_status == "RebootRequired"
    assert get(pair, "OCPPCommCtrlr", "NetworkConfigurationPriority").attribute_value == "1"
    assert pair.call(pair.types.ResetRequest(type="Immediate")).status == "Accepted"
    pair.expect(pair.types.BootNotificationRequest, reason="RemoteReset")
    assert get(pair, "OCPPCommCtrlr", "NetworkConfigurationPriority").attribute_value == "2,1"


def test_live_values_are_present_ones(pair):
    assert get(pair, "ClockCtrlr", "DateTime").attribute_value.startswith(pair.station.core.time.now().isoformat()[:16])
    assert get(pair, "SecurityCtrlr", "Identity").attribute_value == "CP_1"
    evse = pair.types.EVSE(2)
    assert get(pair, "EVSE", "AvailabilityState", evse=evse).attribute_value == "Available"


def test_more_variables_than_allowed_are_an_error(pair):
    types = pair.types
    data = types.GetVariableData(types.Component("ClockCtrlr"), types.Variable("DateTime"))
    with pytest.raises(OCPPError) as caught:
        pair.call(types.GetVariablesRequest([data] * 101))
    assert caught.value.code == "OccurrenceConstraintViolation"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_security_profile_is_that_of_the_connection(version):
    with booted(version, password="0123456789abcdef") as pair:
        assert get(pair, "SecurityCtrlr", "SecurityProfile").attribute_value == "1"
