"""A simulated station of 2.x reports its device model."""

from datetime import datetime, timezone

import pytest

from ocppj import v201
from tests.testing.sim_pairs import booted, paired

MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def collect(pair, request):
    """Send a request for a report, and return the entries of all its parts."""
    assert pair.call(request).status == "Accepted"
    entries, number = [], 0
    while True:
        part = pair.expect(pair.types.NotifyReportRequest, request_id=request.request_id)
        assert part.seq_no == number
        assert 1 <= len(part.report_data) <= 25
        entries += part.report_data
        number += 1
        if not part.tbc:
            return entries


def names(entries):
    return {(each.component.name, each.variable.name) for each in entries}


def component_variable(pair, component, variable=None, evse=None):
    types = pair.types
    return types.ComponentVariable(
        component=types.Component(name=component, evse=None if evse is None else types.EVSE(id=evse)),
        variable=None if variable is None else types.Variable(name=variable),
    )


def test_the_full_inventory_has_all_once(pair):
    entries = collect(pair, pair.types.GetBaseReportRequest(request_id=7, report_base="FullInventory"))
    assert len(entries) == len(list(pair.station.settings))
    assert {("EVSE", "AvailabilityState"), ("Connector", "ConnectorType"), ("TxCtrlr", "TxStartPoint")} <= names(
        entries
    )
    one = next(each for each in entries if each.variable.name == "HeartbeatInterval")
    assert one.variable_attribute[0].value == "300"
    assert one.variable_attribute[0].mutability == "ReadWrite"
    assert (one.variable_characteristics.data_type, one.variable_characteristics.unit) == ("integer", "s")


def test_no_report_has_the_value_of_a_password(pair):
    entries = collect(pair, pair.types.GetBaseReportRequest(request_id=7, report_base="FullInventory"))
    one = next(each for each in entries if each.variable.name == "BasicAuthPassword")
    assert one.variable_attribute[0].value is None
    assert one.variable_attribute[0].mutability == "WriteOnly"


def test_the_configuration_inventory_has_what_can_be_set(pair):
    entries = collect(pair, pair.types.GetBaseReportRequest(request_id=8, report_base="ConfigurationInventory"))
    assert ("OCPPCommCtrlr", "HeartbeatInterval") in names(entries)
    assert "ReadOnly" not in {each.variable_attribute[0].mutability for each in entries}


def test_the_summary_has_the_state_of_all_parts(pair):
    entries = collect(pair, pair.types.GetBaseReportRequest(request_id=9, report_base="SummaryInventory"))
    states = [each for each in entries if each.variable.name == "AvailabilityState"]
    assert len(states) == 5  # the station, two EVSEs and their connectors
    assert {each.variable_attribute[0].value for each in states} == {"Available"}


def test_a_report_of_one_component_has_all_of_its_variables(pair):
    variables = [component_variable(pair, "evse", evse=1)]
    entries = collect(pair, pair.types.GetReportRequest(request_id=1, component_variable=variables))
    assert {each.component.evse.id for each in entries} == {1}
    assert len(entries) > 3


def test_a_report_of_one_variable_has_all_of_its_instances(pair):
    variables = [component_variable(pair, "DeviceDataCtrlr", "ItemsPerMessage")]
    entries = collect(pair, pair.types.GetReportRequest(request_id=1, component_variable=variables))
    assert {each.variable.instance for each in entries} == {"GetReport", "GetVariables", "SetVariables"}


def test_a_report_of_problems_is_empty_when_there_are_none(pair):
    request = pair.types.GetReportRequest(request_id=1, component_criteria=["Problem"])
    assert pair.call(request).status == "EmptyResultSet"
    pair.nothing(pair.types.NotifyReportRequest, during=1)


def test_a_criterion_selects_components(pair):
    pair.station.settings.put(
        next(each.key for each in pair.station.settings if each.key[:2] == ("AuthCacheCtrlr", "Enabled")), False
    )
    variables = [component_variable(pair, name) for name in ("AuthCacheCtrlr", "LocalAuthListCtrlr", "ClockCtrlr")]
    request = pair.types.GetReportRequest(request_id=1, component_criteria=["Enabled"], component_variable=variables)
    assert {component for component, _ in names(collect(pair, request))} == {"LocalAuthListCtrlr", "ClockCtrlr"}


def test_a_report_of_what_is_unknown_is_empty(pair):
    variables = [component_variable(pair, "NoCtrlr")]
    assert pair.call(pair.types.GetReportRequest(request_id=1, component_variable=variables)).status == (
        "EmptyResultSet"
    )


def test_a_station_that_is_pending_reports_what_it_is_asked_for():
    boot = v201.BootNotificationResponse(current_time=MOMENT, interval=600, status="Pending")
    with paired("2.0.1", boot) as pair:
        pair.expect(v201.BootNotificationRequest)
        collect(pair, v201.GetBaseReportRequest(request_id=1, report_base="ConfigurationInventory"))
        assert pair.all(v201.StatusNotificationRequest) == []
