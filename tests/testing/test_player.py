"""Tests of the replies of scripted peers, over TCP, in memory, and with a held clock."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any, Callable, Iterator, List, NamedTuple

import pytest

from ocppj import CallTimeout, ConnectionLost, ErrorCode, OCPPError, UsageError, ValidationError, v16, v21
from ocppj.testing import CLOSE, DROP, SILENCE, After, Raw, ScriptedCSMS, ScriptedStation
from tests.helpers import seconds
from tests.testing.surroundings import VERSIONS, Surroundings, here  # noqa: F401

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
Beat, Reset = v16.HeartbeatRequest, v16.ResetRequest
BEAT, RESET = v16.HeartbeatRequest(), v16.ResetRequest("Soft")
ANSWER, SECOND = v16.HeartbeatResponse(NOW), v16.HeartbeatResponse(NOW.replace(day=2))
SHORT = seconds(0.3)  # how long the station waits for an answer that does not come, in seconds


class Pair(NamedTuple):
    csms: ScriptedCSMS
    station: ScriptedStation


@pytest.fixture
def pair(here: Surroundings) -> Iterator[Pair]:
    with here.csms() as csms, here.station(csms.url) as station:
        csms.connected()
        yield Pair(csms, station)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_script_every_request_gets_a_valid_answer(here: Surroundings, version: str) -> None:
    module = VERSIONS[version]
    with here.csms(versions=[version]) as csms, here.station(csms.url, version=version) as station:
        assert station.call(module.HeartbeatRequest()).current_time is not None
        assert csms.call(module.ClearCacheRequest()).status == "Accepted"
        assert csms.server.version_of("CP_1") == version


def test_a_send_needs_no_answer(here: Surroundings) -> None:
    with here.csms(versions="2.1") as csms, here.station(csms.url, version="2.1") as station:
        csms.reply(v21.NotifyPeriodicEventStream, lambda request: SILENCE)
        element = v21.StreamDataElement(0.0, "1")
        station.client.send(v21.NotifyPeriodicEventStream([element], 1, 0, NOW))
        csms.expect(v21.NotifyPeriodicEventStream, fields={"id": 1})
        assert station.call(v21.HeartbeatRequest())


def test_replies_come_in_turn(pair: Pair) -> None:
    pair.csms.reply(Beat, ANSWER, SECOND)
    assert [pair.station.call(BEAT) for _ in range(3)] == [ANSWER, SECOND, SECOND]


def test_an_error_is_sent_with_its_code_and_details_each_time(pair: Pair) -> None:
    pair.csms.reply(Beat, OCPPError(ErrorCode.INTERNAL_ERROR, "busy", {"for": 3}))
    for _ in range(2):
        with pytest.raises(OCPPError) as raised:
            pair.station.call(BEAT)
        assert (raised.value.code, raised.value.description) == (ErrorCode.INTERNAL_ERROR, "busy")
        assert raised.value.details == {"for": 3}


def test_the_station_replies_too(pair: Pair) -> None:
    pair.station.reply(Reset, v16.ResetResponse("Rejected"), OCPPError("SecurityError"))
    assert pair.csms.call(RESET).status == "Rejected"
    with pytest.raises(OCPPError, match="SecurityError"):
        pair.csms.call(RESET)
    pair.csms.expect(v16.ResetResponse, status="Rejected")
    pair.csms.expect_error("Reset", "SecurityError")


def test_drop_cuts_the_connection(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, DROP, ANSWER)
    with pytest.raises(ConnectionLost):
        station.call(BEAT)
    assert station.disconnected().code == 1006
    assert csms.disconnected().code == 1006
    assert station.connected() == "CP_1"
    assert station.call(BEAT) == ANSWER


def test_close_closes_with_a_code_and_a_reason(pair: Pair) -> None:
    pair.csms.reply(Beat, CLOSE(1011, "no room"), ANSWER)
    with pytest.raises(ConnectionLost):
        pair.station.call(BEAT)
    close = pair.station.disconnected()
    assert (close.code, close.reason, close.by_peer) == (1011, "no room", True)


def test_silence_is_no_answer_and_the_same_call_again_is_played_anew(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, SILENCE, ANSWER)
    with pytest.raises(CallTimeout):
        station.call(BEAT, timeout=SHORT)
    message_id = csms.expect(Beat).message_id
    station.call_raw("Heartbeat", {}, message_id)
    csms.expect(Beat)
    assert station.expect(v16.HeartbeatResponse).message_id == message_id


def test_raw_is_sent_as_it_is(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, Raw('[4,"{id}","GenericError","x",{}]'), Raw('[3,"somebody-else",{}]'), ANSWER)
    with pytest.raises(OCPPError, match="GenericError: x"):
        station.call(BEAT)
    station.strict = False
    with pytest.raises(CallTimeout):
        station.call(BEAT, timeout=SHORT)
    assert station.call(BEAT) == ANSWER


# Later


def test_after_answers_later_and_others_meanwhile(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, After(seconds(0.4), ANSWER))
    station.send_request(BEAT)
    csms.expect(Beat)
    station.call_raw("DataTransfer", {"vendorId": "V"})  # as a station that has given the first one up
    station.expect(v16.DataTransferResponse)
    asked, answered = csms.messages[0], station.expect(v16.HeartbeatResponse)
    assert answered.at - asked.at >= seconds(0.4)


class Case(NamedTuple):
    reply: Any
    check: Callable[[ScriptedStation], object]


LATER = {
    "error": Case(OCPPError("GenericError"), lambda station: station.expect_error("Heartbeat", "GenericError")),
    "DROP": Case(DROP, lambda station: station.disconnected()),
    "CLOSE": Case(CLOSE(1008), lambda station: station.disconnected()),
    "Raw": Case(Raw('[4,"{id}","X","",{}]'), lambda station: station.expect_error("Heartbeat", "X")),
    "After": Case(After(0.1, ANSWER), lambda station: station.expect(v16.HeartbeatResponse)),
    "function": Case(lambda request: ANSWER, lambda station: station.expect(v16.HeartbeatResponse)),
}


@pytest.mark.parametrize("name", LATER)
def test_every_reply_may_come_later(pair: Pair, name: str) -> None:
    csms, station = pair
    csms.strict = station.strict = False  # an id is used again after an answer, and an error has an odd code
    csms.reply(Beat, After(0.1, LATER[name].reply), SECOND)
    message_id = station.call_raw("Heartbeat")
    LATER[name].check(station)
    station.connected()
    station.call_raw("Heartbeat", {}, message_id)  # the station does not know what has become of it
    assert station.expect(v16.HeartbeatResponse, current_time=SECOND.current_time).message_id == message_id


def test_a_late_answer_is_not_sent_over_a_newer_connection(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, After(seconds(0.5), ANSWER))
    station.call_raw("Heartbeat")
    csms.expect(Beat)
    csms.drop()
    csms.connected()
    station.expect_nothing(seconds(0.8))
    assert "RESULT" not in [seen.kind for seen in station.messages]


def test_what_comes_later_does_not_come_after_the_end(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, strict=False) as station:
        csms.reply(Beat, After(30, ANSWER))
        station.call_raw("Heartbeat")
        csms.expect(Beat)
        csms.connected()  # the CALL is handled by now: the timer of its answer runs
    # no thread is left, nothing has failed


# Functions


def test_a_function_gets_the_request_and_returns_a_reply(pair: Pair) -> None:
    def reply(request: v16.AuthorizeRequest) -> v16.AuthorizeResponse:
        return v16.AuthorizeResponse(v16.IdTagInfo("Accepted" if request.id_tag == "T" else "Blocked"))

    pair.csms.reply(v16.AuthorizeRequest, reply)
    assert pair.station.call(v16.AuthorizeRequest("T")).id_tag_info.status == "Accepted"
    assert pair.station.call(v16.AuthorizeRequest("X")).id_tag_info.status == "Blocked"


def test_a_function_may_drop_the_connection(pair: Pair) -> None:
    pair.csms.reply(Beat, lambda request: DROP, ANSWER)
    with pytest.raises(ConnectionLost):
        pair.station.call(BEAT)
    pair.csms.disconnected()
    pair.csms.connected()


def test_a_function_may_call_the_station_and_expect_what_it_does(pair: Pair) -> None:
    csms, station = pair
    csms.strict = False  # the station makes a CALL before it has its answer
    station.reply(Reset, lambda request: station.call_raw("DataTransfer", {"vendorId": "V"}) and RESET_DONE)
    got: List[Any] = []

    def reply(request: Any) -> Any:
        got.append(csms.call(RESET).status)
        got.append(csms.expect("DataTransfer").payload)
        begun = csms.timeline.now()
        got.append(csms.connected())
        assert csms.timeline.now() - begun < seconds(4)
        return ANSWER

    csms.reply(Beat, reply)
    assert station.call(BEAT) == ANSWER
    assert got == ["Accepted", {"vendorId": "V"}, "CP_1"]


RESET_DONE = v16.ResetResponse("Accepted")


def test_a_late_function_may_call_the_station(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, After(0.1, lambda request: csms.call(RESET) and ANSWER))
    assert station.call(BEAT) == ANSWER


def test_in_a_function_the_station_is_the_one_that_is_answered(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, "CP_1"), here.station(csms.url, "CP_2") as second:
        second.reply(Reset, v16.ResetResponse("Rejected"))
        answers: List[Any] = []
        csms.reply(Beat, lambda request: answers.append(csms.call(RESET).status) or ANSWER)
        assert second.call(BEAT) == ANSWER
        assert answers == ["Rejected"]


def test_a_function_may_take_the_csms_down_and_up(pair: Pair) -> None:
    csms, station = pair

    def reply(request: Any) -> Any:
        csms.down()
        csms.up()
        return ANSWER

    csms.reply(Beat, reply, SECOND)
    with pytest.raises(ConnectionLost):
        station.call(BEAT)
    station.disconnected()
    station.connected()
    assert station.call(BEAT) == SECOND


def test_a_function_may_stop_its_own_csms(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, reconnect=False) as station:
        csms.reply(Beat, lambda request: csms.stop() or ANSWER)
        with pytest.raises(ConnectionLost):
            station.call(BEAT)
        station.disconnected()


def test_an_error_that_a_function_raises_is_its_reply(pair: Pair) -> None:
    def reply(request: Any) -> Any:
        raise OCPPError("SecurityError")

    pair.csms.reply(Beat, reply)
    with pytest.raises(OCPPError, match="SecurityError"):
        pair.station.call(BEAT)


def call_with(here: Surroundings, reply: Any, **options: Any) -> None:
    """Run a test in which the reply to a CALL fails."""
    with here.csms(**options) as csms, here.station(csms.url) as station:
        csms.reply(Beat, reply)
        with pytest.raises(OCPPError, match="InternalError"):
            station.call(BEAT)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("later", [False, True])
def test_what_else_a_function_raises_fails_the_test(here: Surroundings, strict: bool, later: bool) -> None:
    def reply(request: Any) -> Any:
        raise AssertionError("the tag is wrong")

    text = "the function that replies to Heartbeat of CP_1 failed: AssertionError: the tag is wrong"
    with pytest.raises(AssertionError, match=text) as raised:
        call_with(here, After(0.1, reply) if later else reply, strict=strict)
    assert str(raised.value.__cause__) == "the tag is wrong"


def test_a_failure_of_pytest_in_a_function_fails_the_test(here: Surroundings) -> None:
    with pytest.raises(AssertionError, match="not this one"):
        call_with(here, lambda request: pytest.fail("not this one"))


WRONG = {
    "None": (None, "None is none of these"),
    "a function": (lambda request: ANSWER, "none of these"),
    "another response": (v16.ResetResponse("Accepted"), "v16.ResetResponse does not answer Heartbeat"),
    "an invalid response": (v16.HeartbeatResponse("now"), "currentTime"),  # type: ignore[arg-type]
    "an unknown error": (OCPPError("Strange"), "Strange"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_function_that_returns_no_reply_fails_the_test(here: Surroundings, name: str) -> None:
    reply, text = WRONG[name]
    with pytest.raises(AssertionError, match=f"the reply to Heartbeat of CP_1 failed: .*{text}"):
        call_with(here, lambda request: reply)


def test_a_response_that_breaks_its_schema_is_refused_where_it_is_written(pair: Pair) -> None:
    with pytest.raises(ValidationError, match="transactionId|idTagInfo"):
        pair.csms.reply(v16.StartTransactionRequest, v16.StartTransactionResponse(None, 1))  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        pair.csms.reply(Beat, After(1, v16.HeartbeatResponse(7)))  # type: ignore[arg-type]


# A CALL that comes again, with its id


@pytest.mark.parametrize("round", range(5))
def test_a_station_that_resends_after_a_drop_is_answered(here: Surroundings, round: int) -> None:
    with here.csms() as csms, here.station(csms.url, resend=True) as station:
        csms.reply(Beat, DROP, DROP, ANSWER)
        future = station.send_request(BEAT)
        ids = []
        for _ in range(2):
            ids.append(csms.expect(Beat).message_id)
            csms.connected()
        ids.append(csms.expect(Beat).message_id)
        assert ids == ids[:1] * 3
        station.expect(v16.HeartbeatResponse)
        assert future.result(seconds(5)) == ANSWER
        seen = [each.kind for each in station.journal.entries()]
        assert seen == ["CONNECTED", "CALL", "DISCONNECTED"] * 2 + ["CONNECTED", "CALL", "RESULT"]


def test_a_station_that_resends_at_once_after_a_raw_answer_is_answered(pair: Pair) -> None:
    csms, station = pair
    read = threading.Event()

    def note(client_id: str, text: str) -> str:
        if csms.order():
            read.set()  # the second one is read
        return text

    def resend(frame: Any) -> None:
        if frame.direction == "in" and "again" in frame.text:
            thread.start()

    def wait_for_the_second(frame: Any) -> None:  # on the thread that has just sent the raw answer
        if frame.direction == "out" and "again" in frame.text:
            assert read.wait(seconds(5))
            threading.Event().wait(0.05)  # it is being handled by now

    thread = threading.Thread(target=station.call_raw, args=("Heartbeat", {}, "1"))
    station.client.add_observer(resend)
    csms.server.set_text_hook(note)
    csms.server.add_observer(wait_for_the_second)
    csms.reply(Beat, Raw('[4,"{id}","InternalError","again",{}]'), ANSWER)
    station.call_raw("Heartbeat", {}, "1")
    assert station.expect(v16.HeartbeatResponse).message_id == "1"
    thread.join(seconds(5))


@pytest.mark.parametrize("round", range(10))
def test_after_a_drop_the_old_connection_is_not_taken_for_a_new_one(pair: Pair, round: int) -> None:
    csms, station = pair
    csms.reply(Beat, DROP)
    station.call_raw("Heartbeat")
    csms.expect(Beat)
    assert csms.connected() == "CP_1"
    assert csms.call(RESET).status == "Accepted"


def test_after_a_drop_that_a_slow_function_asks_for_too(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, lambda request: csms.timeline.sleep(0.3) or DROP)
    station.call_raw("Heartbeat")
    csms.expect(Beat)
    csms.connected()
    assert csms.call(RESET).status == "Accepted"
