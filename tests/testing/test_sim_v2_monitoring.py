"""A simulated station of 2.x has monitors, which tell of events."""

import pytest

from ocppj.testing.simulation.v2.device_model import VariableKey
from tests.testing.sim_pairs import booted

POWER = VariableKey("EVSE", "Power", evse=1)


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def data(pair, type="UpperThreshold", value=7000.0, severity=4, variable="Power", component="EVSE", **more):
    types = pair.types
    return types.SetMonitoringData(
        value=value,
        type=type,
        severity=severity,
        component=types.Component(name=component, evse=types.EVSE(id=1)),
        variable=types.Variable(name=variable),
        **more,
    )


def install(pair, *monitors):
    request = pair.types.SetVariableMonitoringRequest(set_monitoring_data=list(monitors))
    return pair.call(request).set_monitoring_result


def put(pair, key, value):
    """Change a value as the station does, in a job."""
    pair.station.core.post(lambda: pair.station.settings.put(key, value))


def test_a_threshold_that_is_passed_is_told_and_its_end_too(pair):
    [result] = install(pair, data(pair))
    assert result.status == "Accepted"
    put(pair, POWER, 7000.0)  # not above
    put(pair, POWER, 7000.5)
    event = pair.expect(pair.types.NotifyEventRequest).event_data[0]
    assert (event.trigger, event.actual_value, event.cleared) == ("Alerting", "7000.5", None)
    assert (event.variable_monitoring_id, event.event_notification_type) == (result.id, "CustomMonitor")
    assert (event.component.evse.id, event.variable.name) == (1, "Power")
    put(pair, POWER, 8000.0)  # still above
    put(pair, POWER, 10.0)
    event = pair.expect(pair.types.NotifyEventRequest).event_data[0]
    assert (event.actual_value, event.cleared) == ("10.0", True)
    assert len(pair.all(pair.types.NotifyEventRequest)) == 2


def test_a_change_is_told_when_it_is_large_enough(pair):
    install(pair, data(pair, "Delta", 100.0))
    for value in (60.0, 100.0, 100.1, 150.0, 0.0):
        put(pair, POWER, value)
    pair.rest(1)
    events = pair.all(pair.types.NotifyEventRequest)
    assert [each.event_data[0].actual_value for each in events] == ["100.1", "0.0"]
    assert {each.event_data[0].trigger for each in events} == {"Delta"}


def test_a_periodic_monitor_tells_of_a_value_again_and_again(pair):
    install(pair, data(pair, "Periodic", 600.0))  # simulated seconds, 60 of them in one of the clock
    pair.rest(31)
    events = pair.all(pair.types.NotifyEventRequest)
    assert len(events) == 3
    assert events[0].event_data[0].trigger == "Periodic"
    assert (events[1].event_data[0].timestamp - events[0].event_data[0].timestamp).total_seconds() == 600


def test_a_clock_aligned_monitor_keeps_to_the_day(pair):
    pair.rest(1)
    install(pair, data(pair, "PeriodicClockAligned", 900.0))
    event = pair.expect(pair.types.NotifyEventRequest).event_data[0]
    assert (event.timestamp.minute % 15, event.timestamp.second) == (0, 0)


def test_a_threshold_of_the_power_in_a_session(pair):
    install(pair, data(pair), data(pair, "Delta", 1.0, variable="AvailabilityState"))
    pair.station.plug_in(1)
    event = pair.expect(pair.types.NotifyEventRequest).event_data[0]
    assert (event.variable.name, event.actual_value, event.trigger) == ("AvailabilityState", "Occupied", "Delta")
    pair.station.present_card("TAG", 1)
    event = pair.expect(pair.types.NotifyEventRequest).event_data[0]
    assert (event.actual_value, event.transaction_id) == ("11000.0", pair.station.transactions[0].id)
    pair.station.unplug(1)
    event = pair.expect(pair.types.NotifyEventRequest).event_data[0]
    assert (event.variable.name, event.actual_value, event.cleared) == ("Power", "0.0", True)


def test_what_cannot_be_monitored_has_its_status(pair):
    def status(**fields):
        return install(pair, data(pair, **fields))[0].status

    assert status(component="Nothing") == "UnknownComponent"
    assert status(variable="Nothing") == "UnknownVariable"
    assert status(variable="AvailabilityState") == "UnsupportedMonitorType"  # no number, so no threshold
    assert status(value=1e9) == "Rejected"  # beyond what the power can be
    assert status(type="Delta", value=-1.0) == "Rejected"
    assert status(id=77) == "Rejected"  # there is no such monitor


def test_there_is_one_monitor_of_a_type_and_severity(pair):
    assert install(pair, data(pair))[0].status == "Accepted"
    assert install(pair, data(pair, value=1.0))[0].status == "Duplicate"
    assert install(pair, data(pair, severity=5))[0].status == "Accepted"


def test_a_monitor_is_replaced_by_its_id(pair):
    [first] = install(pair, data(pair))
    [second] = install(pair, data(pair, value=100.0, id=first.id))
    assert (second.status, second.id) == ("Accepted", first.id)
    put(pair, POWER, 200.0)
    pair.expect(pair.types.NotifyEventRequest)


def test_a_cleared_monitor_tells_nothing(pair):
    [result] = install(pair, data(pair))
    request = pair.types.ClearVariableMonitoringRequest(id=[result.id, 99])
    assert [each.status for each in pair.call(request).clear_monitoring_result] == ["Accepted", "NotFound"]
    put(pair, POWER, 9000.0)
    pair.nothing(pair.types.NotifyEventRequest, during=1)


def test_monitors_above_the_level_tell_nothing(pair):
    install(pair, data(pair))
    assert pair.call(pair.types.SetMonitoringLevelRequest(severity=3)).status == "Accepted"
    put(pair, POWER, 9000.0)
    pair.nothing(pair.types.NotifyEventRequest, during=1)


def test_the_base_clears_all(pair):
    install(pair, data(pair))
    report = pair.types.GetMonitoringReportRequest(request_id=3)
    assert pair.call(pair.types.SetMonitoringBaseRequest(monitoring_base="All")).status == "Accepted"
    assert pair.call(report).status == "Accepted"
    assert pair.call(pair.types.SetMonitoringBaseRequest(monitoring_base="FactoryDefault")).status == "Accepted"
    assert pair.call(report).status == "EmptyResultSet"


def test_the_report_has_the_monitors_by_variable(pair):
    install(pair, data(pair), data(pair, "Delta", 5.0), data(pair, "Delta", 1.0, variable="AvailabilityState"))
    assert pair.call(pair.types.GetMonitoringReportRequest(request_id=3)).status == "Accepted"
    report = pair.expect(pair.types.NotifyMonitoringReportRequest, request_id=3, seq_no=0, tbc=False)
    assert [len(each.variable_monitoring) for each in report.monitor] == [2, 1]
    request = pair.types.GetMonitoringReportRequest(request_id=4, monitoring_criteria=["ThresholdMonitoring"])
    assert pair.call(request).status == "Accepted"
    report = pair.expect(pair.types.NotifyMonitoringReportRequest, request_id=4)
    assert [each.type for each in report.monitor[0].variable_monitoring] == ["UpperThreshold"]
