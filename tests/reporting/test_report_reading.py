"""What `Report` reads out of recordings, as `summarize` tells it."""

import json
from typing import Any, Dict, List, Optional

import pytest

from ocppj.recording import find_frames, read_recording
from ocppj.reporting import Report, summarize
from tests.reporting.recorded_days import EVIL, Day, charge_2, charge_16, demo


def summary(text: str, **options: Any) -> Dict[str, Any]:
    report = Report(**options)
    report.read(read_recording(text.splitlines()))
    found = summarize(report)
    json.dumps(found, allow_nan=False)
    return found


def one(found: List[Dict[str, Any]], **wanted: Any) -> Dict[str, Any]:
    matching = [each for each in found if all(each[name] == value for name, value in wanted.items())]
    assert len(matching) == 1, found
    return matching[0]


def test_a_morning() -> None:
    found = summary(demo())
    ids = [each["id"] for each in found["stations"]]
    assert ids == ["CP_1", "CS_2", f"CP_{EVIL}"]
    assert [each["versions"] for each in found["stations"]] == [["1.6"], ["2.0.1"], ["1.6"]]
    assert [each["connections"] for each in found["stations"]] == [2, 1, 1]
    assert [each["errors"] for each in found["stations"]] == [4, 0, 1]
    assert found["messages"] == sum(each["messages"] for each in found["stations"]) == 136
    assert found["first"] == "2026-11-30T08:00:00.000Z"
    assert {each["kind"] for each in found["errors"]} == {"rule", "error", "no answer", "disconnected"}
    assert one(found["errors"], kind="error")["text"] == "NotSupported"
    assert one(found["errors"], kind="no answer")["action"] == "Reset"
    assert "'Sleeping'" in one(found["errors"], action="StatusNotification")["text"]
    assert one(found["errors"], kind="disconnected")["text"] == "1006 the network failed"


def test_latencies_are_those_of_each_action_and_side() -> None:
    day = Day()
    line = day.station("CP_1")
    for number in range(1, 101):
        line.heartbeat(latency=number / 1000)
    line.call("Reset", {"type": "Soft"}, {"status": "Accepted"}, sender="csms", latency=3)
    found = summary(day.text)["latencies"]
    assert one(found, action="Heartbeat") == {
        "action": "Heartbeat",
        "from": "station",
        "answers": 100,
        "p50": 0.05,
        "p90": 0.09,
        "p99": 0.099,
        "max": 0.1,
    }
    assert one(found, action="Reset")["from"] == "csms"


def test_a_call_is_paired_with_the_answer_of_its_side_and_connection() -> None:
    day = Day()
    line = day.station("CP_1")
    line.frame("station", '[2,"1","Heartbeat",{}]')
    line.frame("csms", '[2,"1","GetLocalListVersion",{}]')
    day.wait(1)
    line.frame("station", '[3,"1",{"listVersion":1}]')
    day.wait(1)
    line.frame("csms", '[3,"1",{"currentTime":"2026-11-30T08:00:00Z"}]')
    found = summary(day.text)["latencies"]
    assert [(each["action"], each["max"]) for each in found] == [("GetLocalListVersion", 1.0), ("Heartbeat", 2.0)]


@pytest.mark.parametrize(("after", "found"), [(5, 0), (15, 1)])
def test_a_call_at_the_end_may_still_get_its_answer(after: float, found: int) -> None:
    day = Day()
    line = day.station("CP_1")
    line.call("Heartbeat", {})
    day.wait(after)
    day.station("CP_2")
    assert len(summary(day.text)["errors"]) == found


def test_an_end_that_is_in_order_is_no_error() -> None:
    day = Day()
    for reason in ("1000", "1001 going away", ""):
        day.station("CP_1").end(reason)
    assert summary(day.text)["errors"] == []


def test_a_write_that_failed_is_an_error() -> None:
    day = Day()
    day.station("CP_1").frame("csms", '[2,"1","ClearCache",{}]', sent=False)
    assert one(summary(day.text)["errors"], kind="not sent")["action"] == "ClearCache"


# Gaps


def gaps(text: str, expected: Optional[float] = None) -> List[Any]:
    return [(each["kind"], round(each["seconds"]), each["open"]) for each in summary(text, expected=expected)["gaps"]]


def test_a_lost_connection_is_a_gap() -> None:
    day = Day()
    day.station("CP_1").end()
    day.wait(100)
    day.station("CP_1").end("1006: timed out")
    day.wait(50)
    day.station("CP_2")
    assert gaps(day.text) == [("not connected", 100, False), ("not connected", 50, True)]


def test_a_station_that_has_said_goodbye_leaves_a_gap_only_if_it_comes_back() -> None:
    day = Day()
    day.station("CP_1").end("1001 bye")
    day.wait(50)
    day.station("CP_1").end("1000")
    day.wait(50)
    day.station("CP_2")
    assert gaps(day.text) == [("not connected", 50, False)]


def test_no_gap_while_an_older_connection_ends_after_the_newer_has_begun() -> None:
    day = Day()
    old = day.station("CP_1")
    day.wait(10)
    new = day.station("CP_1")
    old.end()
    day.wait(10)
    new.heartbeat()
    assert gaps(day.text) == []


@pytest.mark.parametrize(("silence", "found"), [(145, []), (155, [("silent", 155, False)])])
def test_a_silence_is_measured_by_the_heartbeat_interval(silence: float, found: List[Any]) -> None:
    day = Day()
    line = day.station("CP_1")
    line.boot(interval=100)
    day.wait(silence)
    line.heartbeat()
    assert gaps(day.text) == found


def test_frames_of_the_central_system_do_not_end_a_silence() -> None:
    day = Day()
    line = day.station("CP_1")
    line.boot(interval=100)
    for _ in range(5):
        day.wait(60)
        line.frame("csms", json.dumps([2, day.next_id(), "ClearCache", {}]))
    assert gaps(day.text) == [("silent", 300, True)]


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_a_changed_heartbeat_interval_is_known(version: str) -> None:
    day = Day()
    line = day.station("CP_1", version)
    line.boot(interval=10)
    if version == "1.6":
        change = {"key": "HeartbeatInterval", "value": "100"}
        line.call("ChangeConfiguration", change, {"status": "Accepted"}, sender="csms")
    else:
        about = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
        change_2 = {"setVariableData": [{"attributeValue": "100", **about}]}
        line.call(
            "SetVariables", change_2, {"setVariableResult": [{"attributeStatus": "Accepted", **about}]}, sender="csms"
        )
    day.wait(140)
    line.heartbeat()
    assert gaps(day.text) == []
    assert gaps(day.text, expected=60) == [("silent", 140, False)]


# Transactions


def test_a_transaction_of_1_6() -> None:
    day = Day()
    charge_16(day.station("CP_1"), 7, minutes=60, kw=12.0)
    found = one(summary(day.text)["transactions"], id="7")
    assert found["station"] == "CP_1"
    assert (found["connector"], found["id_tag"], found["reason"]) == ("1", "TAG7", "EVDisconnected")
    assert found["max_power_w"] == 12000
    assert 8000 < found["energy_wh"] < 11000
    assert 3600 <= found["seconds"] < 3700


def test_a_transaction_of_2_0_1_has_the_power_between_its_readings() -> None:
    day = Day()
    charge_2(day.station("CS_1", "2.0.1"), "tx-1", minutes=40, kw=50.0)
    found = one(summary(day.text)["transactions"], id="tx-1")
    assert (found["connector"], found["id_tag"], found["reason"]) == ("2", "CARD7", "EVDisconnected")
    assert 49000 < found["max_power_w"] <= 50000
    assert 15000 < found["energy_wh"] < 33000


def meter_values(*samples: Dict[str, Any], **about: Any) -> Dict[str, Any]:
    value = {"timestamp": "2026-11-30T09:00:00Z", "sampledValue": list(samples)}
    return {"connectorId": 1, "meterValue": [value], **about}


@pytest.mark.parametrize(
    ("samples", "watts"),
    [
        ([{"value": "1500"}], 1500),
        ([{"value": "1.5", "unit": "kW"}], 1500),
        ([{"value": "500", "phase": phase} for phase in ("L1", "L2", "L3")], 1500),
        ([{"value": "1500"}, {"value": "500", "phase": "L1"}], 1500),
        ([{"value": "1500", "location": "Inlet"}], None),
        ([{"value": "a lot"}], None),
        ([{"value": "1e999"}, {"value": "nan"}], None),
    ],
)
def test_a_reading_of_power(samples: List[Dict[str, Any]], watts: Optional[float]) -> None:
    day = Day()
    line = day.station("CP_1")
    start = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": day.time()}
    line.call("StartTransaction", start, {"transactionId": 5, "idTagInfo": {"status": "Accepted"}})
    about = {"measurand": "Power.Active.Import"}
    line.call("MeterValues", meter_values(*({**about, **each} for each in samples), transactionId=5), {})
    assert one(summary(day.text)["transactions"], id="5")["max_power_w"] == watts


def test_readings_without_an_id_belong_to_the_transaction_of_the_connector() -> None:
    day = Day()
    line = day.station("CP_1")
    start = {"connectorId": 1, "idTag": "T", "meterStart": 100, "timestamp": day.time()}
    line.call("StartTransaction", start, {"transactionId": 5, "idTagInfo": {"status": "Accepted"}})
    line.call("MeterValues", meter_values({"value": "700"}), {})
    line.call("MeterValues", {**meter_values({"value": "900000"}), "connectorId": 2}, {})
    assert one(summary(day.text)["transactions"], id="5")["energy_wh"] == 600


def test_a_transaction_that_began_before_the_recording() -> None:
    day = Day()
    line = day.station("CP_1")
    stop = {"transactionId": 5, "meterStop": 900, "timestamp": day.time()}
    line.call("StopTransaction", stop, {})
    found = one(summary(day.text)["transactions"], id="5")
    assert (found["begin"], found["seconds"], found["reason"]) == (None, None, "Local")


@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction", "MeterValues", "TransactionEvent"])
@pytest.mark.parametrize(
    "payload", ["[]", "null", "7", '{"meterValue":7}', '{"meterValue":[{"sampledValue":[{"value":[]}]}]}']
)
def test_payloads_that_break_every_rule_are_read(action: str, payload: str) -> None:
    day = Day()
    line = day.station("CP_1", "")
    line.frame("station", f'[2,"1","{action}",{payload}]')
    line.frame("csms", f'[3,"1",{payload}]')
    assert summary(day.text)["messages"] == 2


# What a recording may lack or hide


def test_secrets_are_hidden() -> None:
    assert "hunter2" in demo()
    shown: List[str] = []
    day = Day()
    line = day.station("CP_1")
    line.call("ChangeConfiguration", {"key": "AuthorizationKey", "value": "hunter2hunter2"}, sender="csms")
    line.call("DataTransfer", {"password": "hunter2", "vendorId": 7, "data": "hunter2"}, sender="csms")
    line.end("4000 password=hunter2")
    report = Report(keep_text=shown.append)
    report.read(read_recording(day.text.splitlines()))
    assert "hunter2hunter2" not in json.dumps([shown, summarize(report), report.messages.names.texts])
    assert "password=hunter2" not in json.dumps(report.messages.names.texts)
    shown.clear()
    report = Report(keep_text=shown.append, show_secrets=True)
    report.read(read_recording(day.text.splitlines()))
    assert "hunter2hunter2" in json.dumps(shown)


def test_lines_that_the_recording_lacks_are_told() -> None:
    day = Day()
    line = day.station("CP_1")
    line.call("Heartbeat", {})
    day.add(event="lost", client="", version="", connection=0, reason="3 lines")
    day.wait(100)
    line.heartbeat()
    found = summary(day.text)
    assert found["lost_lines"] == ["3 lines"]
    assert found["errors"] == []


def test_an_event_that_is_not_known_is_passed_over() -> None:
    """That of a newer version, or of a program that has a `Recorder`."""
    day = Day()
    line = day.station("CP_1")
    line.heartbeat()
    before = summary(day.text)
    day.add(event="rebooted", client="CP_1", version="1.6", connection=1, reason="by hand")
    assert summary(day.text) == before


def test_the_log_of_another_program_may_begin_with_an_answer() -> None:
    day = Day()
    line = day.station("CP_1")
    day.lines.clear()  # the begin of the connection is not in it
    line.frame("csms", '[3,"0",{}]')
    line.heartbeat()
    assert summary(day.text)["errors"] == []


def test_a_latency_needs_both_times() -> None:
    report = Report()
    answer = '2026-11-30 08:00:00 [3,"1",{"currentTime":"2026-11-30T08:00:00Z"}]'
    report.read(find_frames(['[2,"1","Heartbeat",{}]', answer]))
    assert (report.messages.partners[1], report.messages.latency(1)) == (0, None)


def test_without_a_version_it_is_guessed() -> None:
    day = Day()
    charge_2(day.station("CS_1", ""), "tx-1")
    found = summary(day.text)
    assert found["stations"][0]["versions"] == ["2.0.1"]
    assert not [each for each in found["errors"] if each["kind"] == "rule"]


def test_an_empty_recording() -> None:
    assert summary("")["messages"] == 0
