"""What is said of a fleet: the line, the table, the JSON value, and what went wrong."""

from ocppj import ErrorCode, OCPPError, v16
from ocppj.load.figures import Progress, describe, energy_of, rows_of, total_rows
from ocppj.load.problems import find_problems
from ocppj.testing.simulation.summary import FleetSummary, Latencies, Summary
from tests.load.fleets import fleet_of


def summary_of(*answers: float) -> FleetSummary:
    station = Summary()
    for seconds in answers:
        station.add_answer("Heartbeat", seconds)
    station.add_answer("BootNotification", 0.5)
    station.add_failure("Heartbeat", "GenericError")
    station.add_failure("Heartbeat", "GenericError")
    station.add_failure("Authorize", "CallTimeout")
    fleet = FleetSummary()
    fleet.add(station, True, True, 1)
    return fleet


def test_the_table_has_a_row_for_each_action_and_one_for_all() -> None:
    rows = rows_of(summary_of(0.001, 0.002, 0.003))
    assert rows == [
        ("Authorize", "0", "", "", "", "CallTimeout 1"),
        ("BootNotification", "1", "500", "500", "500", ""),
        ("Heartbeat", "3", "2", "3", "3", "GenericError 2"),
        ("all", "4", "2", "500", "500", "GenericError 2, CallTimeout 1"),
    ]
    assert dict(total_rows(summary_of(0.001), 1500.0, 4.0))["messages"] == "2 answered in 4.0 s, 0.5 a second"


def test_the_json_value() -> None:
    value = describe(summary_of(0.001), 1500.04, 2.0, ["bad"])
    assert value["actions"]["Heartbeat"] == {
        "count": 1, "p50_ms": 1.0, "p99_ms": 1.0, "max_ms": 1.0, "errors": {"GenericError": 2},
    }  # fmt: skip
    assert (value["messages"], value["energy_wh"], value["problems"]) == (2, 1500.0, ["bad"])


def test_the_line_is_about_what_is_new() -> None:
    progress = Progress(100.0)
    assert "2.0 messages/s | p50 4 ms, p99 500 ms" in progress.line(summary_of(0.004, 0.004, 0.004), 102.0)
    second = progress.line(summary_of(0.004, 0.004, 0.004, 0.009), 103.0)
    assert "1/1 connected, 1 booted, 1 charging | 1.0 messages/s | p50 9 ms, p99 9 ms" in second
    assert "errors: GenericError 2, CallTimeout 1" in second
    assert "0.0 messages/s | no answer" in progress.line(summary_of(0.004, 0.004, 0.004, 0.009), 104.0)


def test_latencies_since() -> None:
    first, second = Latencies(), Latencies()
    first.add(0.1)
    second.update(first)
    second.add(0.1)
    second.add(0.2)
    assert [len(second.since(first)), second.since(first).quantile(1.0)] == [2, 0.2]


def test_nothing_is_wrong_with_a_fleet_that_works() -> None:
    with fleet_of(["A", "B"]) as (fleet, _):
        fleet.wait(lambda: fleet.summary().sent["StatusNotification"] == 4)
        assert find_problems(fleet, fleet.summary()) == []
        assert energy_of(fleet) == 0


def test_a_boot_that_is_rejected_and_requests_that_fail() -> None:
    with fleet_of(["A", "B"]) as (fleet, csms):

        def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
            status = "Rejected" if client_id == "A" else "Accepted"
            return v16.BootNotificationResponse(current_time=csms.clock.now(), interval=300, status=status)

        csms.server.on(v16.BootNotificationRequest)(boot)

        @csms.server.on(v16.StatusNotificationRequest)
        def fail(client_id: str, request: v16.StatusNotificationRequest) -> v16.StatusNotificationResponse:
            raise OCPPError(ErrorCode.GENERIC_ERROR, "no")

        fleet.wait(lambda: fleet.summary().failed["GenericError"] >= 2)
        summary = fleet.summary()
        count = sum(summary.failed.values())
        assert find_problems(fleet, summary, 3) == [
            "1 of 2 stations could not boot: Rejected 1",
            f"{count} requests failed: GenericError {count}",
            "3 of 3 drivers could not charge: no transaction began",
        ]
        assert summary.failed_by_action["StatusNotification", "GenericError"] == count


def test_stations_that_are_refused_or_lost() -> None:
    with fleet_of(["A", "B"]) as (fleet, csms):
        fleet.wait(lambda: fleet.summary().booted == 2)
        csms.stop()
        fleet.wait(lambda: fleet.summary().connected == 0, within=60)
        [problem] = find_problems(fleet, fleet.summary())
        assert problem.startswith("2 of 2 stations lost their connection")
