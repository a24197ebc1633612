"""Frames of logs are judged, and answers are paired with their CALLs."""

import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any, List, Optional

import pytest

from ocppj.recording import FoundFrame
from ocppj.testing import example
from ocppj.v16 import BootNotificationRequest as Boot16
from ocppj.v201 import BootNotificationRequest as Boot201
from ocppj.validating import CheckedFrame, LogCheck
from tests.helpers import seconds

START = datetime(2026, 1, 2, tzinfo=timezone.utc)


def frame(sender: str, *fields: Any, client: str = "CP_1", at: Optional[float] = None, **more: Any) -> FoundFrame:
    moment = START + timedelta(seconds=at or 0)
    return FoundFrame(moment, sender, client, text=json.dumps(fields), is_time_known=at is not None, **more)


def event(kind: str, connection: int = 0, client: str = "CP_1") -> FoundFrame:
    return FoundFrame(START, client_id=client, event=kind, connection=connection)


def call(number: int, **more: Any) -> FoundFrame:
    return frame("station", 2, str(number), "Heartbeat", {}, **more)


def answer(number: int, **more: Any) -> FoundFrame:
    return frame("csms", 3, str(number), {"currentTime": "2026-01-02T03:04:05Z"}, **more)


def check(*frames: FoundFrame, version: str = "1.6", **options: Any) -> "tuple[LogCheck, List[CheckedFrame]]":
    checked = LogCheck(version=version, **options)
    return checked, list(checked.check(frames))


def verdicts(*frames: FoundFrame, **options: Any) -> List[str]:
    return [each.verdict for each in check(*frames, **options)[1]]


def faults(*frames: FoundFrame, **options: Any) -> List[str]:
    return [str(fault) for each in check(*frames, **options)[1] for fault in each.faults]


def test_a_fault_has_its_code_and_its_path() -> None:
    payload = {"connectorId": 1, "meterValue": [{"timestamp": "now", "sampledValue": [{"value": "1"}]}]}
    _, (checked,) = check(frame("station", 2, "1", "MeterValues", payload))
    (fault,) = checked.faults
    assert (checked.verdict, fault.code, fault.path) == ("bad", "TypeConstraintViolation", "meterValue[0].timestamp")


def test_codes_are_those_of_the_version() -> None:
    codes = [
        check(frame("station", 2, "1", "BootNotification", {}), version=version)[1][0].faults[0].code
        for version in ("1.6", "2.0.1")
    ]
    assert codes == ["OccurenceConstraintViolation", "OccurrenceConstraintViolation"]


def test_an_answer_is_checked_by_the_action_of_its_call() -> None:
    checked, (_, result) = check(call(1), frame("csms", 3, "1", {"time": 1}))
    assert (result.action, result.verdict, result.faults[0].path) == ("Heartbeat", "bad", "time")
    (count,) = checked.summary.actions.values()
    assert vars(count) == {"requests": 1, "results": 1, "errors": 0, "bad": 1, "unanswered": 0}


def test_calls_without_an_answer() -> None:
    log, checked = check(call(1, at=0), call(2, at=5), answer(2, at=6), call(3, at=7))
    assert [each.message_id for each in log.unanswered] == ["1"]  # the log ends before the answer to "3" may come
    assert faults(call(1, at=0), call(2, at=5), call(3, at=6)) == [
        "a second CALL, while the CALL Heartbeat '1' has no answer",
        "a second CALL, while the CALL Heartbeat '2' has no answer",
    ]
    assert [each.verdict for each in checked] == ["ok", "bad", "ok", "ok"]
    assert not log.summary.is_good


def test_a_call_that_timed_out_is_no_fault_of_the_next_one() -> None:
    log, checked = check(call(1, at=0), call(2, at=31), answer(2, at=32))
    assert [each.verdict for each in checked] == ["ok", "ok", "ok"]
    assert log.summary.unanswered == 1


def test_a_call_is_overdue_at_the_end_of_the_log() -> None:
    for at, unanswered in ((29.0, 0), (31.0, 1)):
        log, _ = check(call(1, at=0), frame("csms", 2, "x", "Reset", {"type": "Soft"}, at=at))
        assert log.summary.unanswered == unanswered


def test_the_end_of_a_connection_ends_its_calls() -> None:
    log, checked = check(
        event("connected", 1), call(1, connection=1), event("disconnected", 1), answer(1, connection=2)
    )
    assert (log.summary.unanswered, checked[-1].verdict) == (1, "bad")
    assert "earlier connection" in checked[-1].faults[0]


def test_answers_before_the_first_call_are_not_paired() -> None:
    log, checked = check(answer(7), call(8), answer(8), answer(9))
    assert [each.verdict for each in checked] == ["unpaired", "ok", "ok", "bad"]
    assert (log.summary.unpaired, log.summary.bad) == (1, 1)
    assert "an answer to nothing" in checked[-1].faults[0]


def test_an_answer_to_nothing_after_the_begin_of_a_connection() -> None:
    assert verdicts(event("connected", 1), answer(7, connection=1)) == ["bad"]


def test_lines_that_are_lost_excuse_what_follows() -> None:
    assert verdicts(call(1), event("lost"), call(2), answer(2), version="1.6") == ["ok", "ok", "ok"]
    assert verdicts(call(1), event("lost"), answer(5)) == ["ok", "unpaired"]


def test_an_event_that_is_not_known_is_passed_over() -> None:
    log, _ = check(call(1), event("rebooted"), answer(1), version="1.6")
    assert (log.summary.frames, log.summary.unanswered) == (2, 0)


def test_lines_that_are_lost_may_be_of_any_station() -> None:
    lost = event("lost", client="")  # so a `Recorder` writes it
    frames = [call(1, connection=1), call(1, client="CP_2", connection=2)]
    later = [call(2, connection=1), call(2, client="CP_2", connection=2)]
    assert verdicts(*frames, lost, *later) == ["ok"] * 4
    assert verdicts(event("connected", 1), *frames[:1], answer(1, connection=1), lost, answer(2, connection=1)) == [
        *["ok", "ok", "unpaired"]
    ]


def test_the_end_of_a_connection_that_was_replaced_is_not_that_of_the_newer_one() -> None:
    before = [event("connected", 1), call(1, connection=1), answer(1, connection=1)]
    after = [event("connected", 2), call(2, connection=2), event("disconnected", 1), answer(2, connection=2)]
    log, checked = check(*before, *after)
    assert [each.verdict for each in checked] == ["ok"] * 4
    assert log.summary.unanswered == 0
    log, _ = check(*before, call(3, connection=1), event("disconnected", 1))
    assert log.summary.unanswered == 1


def test_an_id_that_was_used_before() -> None:
    for version, code in (("1.6", "ProtocolError"), ("2.0.1", "RpcFrameworkError")):
        _, checked = check(call(1), answer(1), frame("station", 2, "1", "NotifyReport", {}), version=version)
        fault = checked[-1].faults[-1]
        assert (fault[:30], fault.code) == ("the message id was used before", code)


def test_frames_of_no_named_station_may_be_of_several() -> None:
    frames = [call(1, client=""), call(2, client="")]
    assert verdicts(*frames) == ["ok", "ok"]
    assert verdicts(*frames, station="CP_1") == ["ok", "bad"]


def test_pairs_without_a_direction() -> None:
    data = frame("", 2, "1", "DataTransfer", {"vendorId": "x"}, client="")
    log, checked = check(data, frame("", 3, "1", {"status": "Accepted"}, client=""))
    assert [(each.action, each.verdict) for each in checked] == [("DataTransfer", "ok"), ("DataTransfer", "ok")]
    assert log.summary.is_good


def test_a_frame_that_was_not_sent_does_not_count() -> None:
    log, checked = check(call(1, sent=False), call(2), answer(2))
    assert [each.verdict for each in checked] == ["not sent", "ok", "ok"]
    assert log.summary.is_good


def test_the_mode_standard_forgives() -> None:
    meter = {"connectorId": 1, "meterValue": [{"timestamp": "2026-01-02T03:04:05", "sampledValue": [{"value": "1"}]}]}
    log = [frame("station", 2, "1", "MeterValues", meter), frame("station", 2, "2", "Heartbeat", {"x": 1}, client="B")]
    assert verdicts(*log) == ["bad", "bad"]
    assert verdicts(*log, mode="standard") == ["ok", "bad"]


def test_stations_are_judged_apart() -> None:
    assert verdicts(call(1), call(1, client="B"), answer(1, client="B"), answer(1)) == ["ok"] * 4


BOOTS = {"1.6": example(Boot16).to_wire(), "2.0.1": example(Boot201).to_wire()}


@pytest.mark.parametrize("version", BOOTS)
def test_the_version_is_found_by_the_payload(version: str) -> None:
    log, _ = check(call(1), answer(1), frame("station", 2, "2", "BootNotification", BOOTS[version], line=3), version="")
    station = log.summary.stations["CP_1"]
    assert station.version == version
    assert station.reason.startswith("the properties of its BootNotification, in line 3")


@pytest.mark.parametrize(
    ("frames", "version", "reason"),
    [
        ([call(1, version="2.1")], "2.1", "the log says it"),
        ([frame("csms", 2, "1", "GetConfiguration", {}, line=1)], "1.6", "it has GetConfiguration, in line 1"),
        ([frame("csms", 2, "1", "GetTariffs", {"evseId": 1}, line=1)], "2.1", "it has GetTariffs, in line 1"),
        ([frame("station", 6, "1", "X", {}, line=1)], "2.1", "OCPP 2.1 alone has messages of the type 6, in line 1"),
        ([call(1)], "1.6", "its frames are valid in 2.0.1 and 2.1, too"),
    ],
)
def test_how_the_version_is_found(frames: List[FoundFrame], version: str, reason: str) -> None:
    log, _ = check(*frames, version="")
    assert (log.summary.stations["CP_1"].version, log.summary.stations["CP_1"].reason) == (version, reason)


def test_frames_stay_in_their_order_while_a_version_is_not_known() -> None:
    boot = frame("station", 2, "b", "BootNotification", BOOTS["1.6"], client="B")
    frames = [call(1), boot, answer(1), call(2)]
    _, checked = check(*frames, version="")
    assert [each.frame for each in checked] == frames


def test_what_is_kept_is_bounded() -> None:
    log = LogCheck(version="1.6")
    begin = time.process_time()
    number = sum(1 for _ in log.check(call(number, at=float(number)) for number in range(6000)))
    assert (number, log.summary.unanswered, len(log.unanswered)) == (6000, 5999, 1000)
    assert time.process_time() - begin < seconds(5)


def test_actions_that_a_hostile_peer_invents_are_not_counted_apart() -> None:
    log, _ = check(*[frame("station", 2, str(number), f"X{number}", {}) for number in range(600)])
    assert (len(log.summary.actions), log.summary.actions["", ""].requests) == (501, 100)
