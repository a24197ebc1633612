"""Tests of what a `ScriptedCSMS` and a `ScriptedStation` have in common: expecting, sending, and the end of a test."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from typing import Any, Callable, Iterator, List, NamedTuple

import pytest

from ocppj import (
    CallTimeout,
    ConnectionLost,
    ManualClock,
    MessageTooLarge,
    OCPPError,
    OcppjError,
    Profile,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    v16,
    v201,
)
from ocppj.testing import DROP, SILENCE, After, MemoryNetwork, ScriptedCSMS, ScriptedStation
from tests.helpers import eventually, seconds
from tests.testing.surroundings import Surroundings, here, opened, surroundings_of  # noqa: F401

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
Beat, Boot, Reset, Status = (
    v16.HeartbeatRequest, v16.BootNotificationRequest, v16.ResetRequest, v16.StatusNotificationRequest
)  # fmt: skip
BEAT, BOOT, RESET = v16.HeartbeatRequest(), v16.BootNotificationRequest("Acme", "One"), v16.ResetRequest("Soft")
SHORT = seconds(0.3)  # how long a wait for nothing takes, in seconds
INVALID = ("BootNotification", {"chargePointVendor": 7, "chargePointModel": "One"})


class Pair(NamedTuple):
    csms: ScriptedCSMS
    station: ScriptedStation


@pytest.fixture
def pair(here: Surroundings) -> Iterator[Pair]:
    with here.csms() as csms, here.station(csms.url) as station:
        csms.connected()
        yield Pair(csms, station)


@pytest.fixture
def held() -> Iterator[Pair]:
    """Two peers in memory with a held clock: no wait takes real time."""
    here = surroundings_of("held")
    with here.csms() as csms, here.station(csms.url) as station:
        csms.connected()
        yield Pair(csms, station)


# Expecting. How an expectation looks at what came is tested with the `Witness`.


def test_expect_returns_the_typed_request(pair: Pair) -> None:
    csms, station = pair
    station.call(BOOT)
    got = csms.expect(Boot, charge_point_model="One", where=lambda request: request.charge_point_vendor == "Acme")
    assert got == BOOT
    assert (got.client_id, got.message_id in got.text) == ("CP_1", True)
    assert csms.clock.monotonic() - got.at < seconds(5)


def test_expectations_are_met_in_their_order(pair: Pair) -> None:
    csms, station = pair
    station.call(BOOT)
    station.call(BEAT)
    csms.expect(Beat)
    with pytest.raises(AssertionError, match="expected BootNotificationRequest"):
        csms.expect(Boot, within=0.1)
    csms.expect(Boot, anywhere=True)


def test_what_breaks_its_schema_is_expected_by_its_action(pair: Pair) -> None:
    csms, station = pair
    csms.strict = False
    station.call_raw(*INVALID)
    assert csms.expect("BootNotification").payload == INVALID[1]
    station.expect_error("BootNotification", "TypeConstraintViolation")


def test_responses_are_expected_too(pair: Pair) -> None:
    pair.station.reply(Reset, v16.ResetResponse("Rejected"))
    pair.csms.send_request(RESET)
    assert pair.csms.expect(v16.ResetResponse, status="Rejected").client_id == "CP_1"


def test_a_field_that_is_called_as_an_argument_is_given_in_fields(here: Surroundings) -> None:
    with here.csms(versions="2.0.1") as csms, here.station(csms.url, version="2.0.1") as station:
        station.call(v201.HeartbeatRequest())
        csms.send_request(v201.ClearDisplayMessageRequest(7))
        station.expect(v201.ClearDisplayMessageRequest, fields={"id": 7})
        with pytest.raises(AssertionError, match="id is 7, not 8"):
            station.expect(v201.ClearDisplayMessageRequest, fields={"id": 8}, anywhere=True, within=0)


@pytest.mark.parametrize("what", [7, None, BEAT, str], ids=repr)
def test_only_messages_can_be_expected(held: Pair, what: Any) -> None:
    for expect in (held.csms.expect, held.csms.forbid):
        with pytest.raises(UsageError):
            expect(what)


def test_a_field_that_there_is_not_is_an_error_at_once(held: Pair) -> None:
    begun = held.csms.clock.monotonic()
    for expect in (held.csms.expect, held.csms.forbid):
        with pytest.raises(UsageError, match="no field 'vendor'"):
            expect(Boot, vendor="Acme")
    assert held.csms.clock.monotonic() == begun


def test_nothing_comes(pair: Pair) -> None:
    csms, station = pair
    csms.expect_nothing(0.1)
    station.call(BEAT)
    csms.expect_nothing(0.1, but=[Beat])
    with pytest.raises(AssertionError, match="expected nothing.*Heartbeat"):
        csms.expect_nothing(0.1)


def test_what_came_is_told_in_its_order(pair: Pair) -> None:
    csms, station = pair
    station.call(BOOT)
    csms.call(RESET)
    station.call(BEAT)
    assert csms.order() == ["BootNotification", "Heartbeat"]
    assert csms.order(but=[Beat]) == ["BootNotification"]
    assert station.order() == ["Reset"]
    eventually(lambda: [seen.kind for seen in csms.messages] == ["CALL", "RESULT"] * 3)  # the last was just written
    lines = csms.transcript().splitlines()
    assert [word in line for word, line in zip(["CONNECTED", "Boot", "Boot", "Reset"], lines)] == [True] * 4


@pytest.mark.parametrize("name", ["tcp", "memory"])  # a held clock would move before the station has called
@pytest.mark.parametrize("round", range(3))
def test_two_threads_share_what_came(opened: Callable[[Any], Any], name: str, round: int) -> None:
    here = surroundings_of(name)
    csms = opened(here.csms())
    station = opened(here.station(csms.url))
    got: List[Any] = []
    threads = [threading.Thread(target=lambda: got.append(csms.expect(Beat).message_id)) for _ in range(2)]
    for thread in threads:
        thread.start()
    station.call(BEAT)
    station.call(BEAT)
    for thread in threads:
        thread.join(seconds(10))
    assert sorted(got) == sorted(seen.message_id for seen in csms.messages if seen.kind == "CALL")


def test_two_threads_test_two_stations(here: Surroundings) -> None:
    failed: List[BaseException] = []

    def test(station: ScriptedStation) -> None:
        try:
            for _ in range(20):
                station.call(BEAT)
                csms.expect(Beat, id=station.id)
                csms.call(RESET, id=station.id)
                station.expect(Reset)
        except BaseException as error:
            failed.append(error)

    with here.csms() as csms, here.station(csms.url, "CP_1") as first, here.station(csms.url, "CP_2") as second:
        threads = [threading.Thread(target=test, args=(station,)) for station in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds(30))
        assert not failed, failed[0]
        assert csms.order(id="CP_1") == csms.order(id="CP_2") == ["Heartbeat"] * 20


# Sending


def test_a_call_returns_the_response_or_raises_the_error(pair: Pair) -> None:
    csms, station = pair
    station.reply(Reset, v16.ResetResponse("Accepted"), OCPPError("NotSupported", "no"), SILENCE, DROP)
    assert csms.call(RESET) == v16.ResetResponse("Accepted")
    with pytest.raises(OCPPError, match="NotSupported: no"):
        csms.call(RESET)
    csms.strict = False
    with pytest.raises(CallTimeout, match="Reset"):
        csms.call(RESET, timeout=SHORT)
    with pytest.raises(ConnectionLost):
        csms.call(RESET)
    csms.connected()


def test_a_call_is_checked(held: Pair) -> None:
    with pytest.raises(ValidationError):
        held.csms.call(v16.ResetRequest(7))  # type: ignore[arg-type]


def test_a_call_ends_with_the_connection_also_where_requests_outlive_it(pair: Pair) -> None:
    csms, station = pair
    csms.reply(Beat, DROP, v16.HeartbeatResponse(NOW))
    with pytest.raises(ConnectionLost):
        station.call(BEAT)
    csms.connected()
    csms.expect_nothing(SHORT, but=[Beat])
    assert csms.order() == ["Heartbeat"]  # it was not sent again


def test_send_request_returns_a_future(pair: Pair) -> None:
    pair.station.reply(Reset, v16.ResetResponse("Rejected"))
    future = pair.csms.send_request(RESET)
    pair.csms.expect(v16.ResetResponse)
    assert future.result(seconds(5)).status == "Rejected"


def test_a_raw_call_is_sent_as_it_is(pair: Pair) -> None:
    csms, station = pair
    csms.strict = False
    message_id = station.call_raw("Nonsense", {"a": [1]})
    assert csms.expect("Nonsense").text == f'[2, "{message_id}", "Nonsense", {{"a": [1]}}]'
    assert station.expect_error("Nonsense", "NotImplemented").message_id == message_id
    assert station.call_raw("Heartbeat", BEAT, "mine") == "mine"
    station.expect(v16.HeartbeatResponse)


@pytest.mark.parametrize("text", ["not json", "[]", '{"a":1}', '[2,"1"]', ""])
def test_any_text_can_be_sent(pair: Pair, text: str) -> None:
    csms, station = pair
    station.strict = False
    csms.send_raw(text)
    assert csms.call(RESET).status == "Accepted"
    assert station.messages[0].text == text


def test_frames_of_any_kind_can_be_sent(pair: Pair) -> None:
    csms, station = pair
    csms.strict = station.strict = False  # the journal does not see what frames make up
    csms.send_frame(0x1, b'[2,"1",', fin=False)
    csms.send_frame(0x0, b'"Reset",{"type":"Soft"}]')
    assert station.expect(Reset).message_id == "1"
    csms.send_frame(0x3, b"reserved")
    assert station.disconnected().code == 1002


@pytest.mark.parametrize(("opcode", "text"), [(0x2, "OCPP messages are text"), (0x3, "nvalid opcode 0x3")])
def test_a_websocket_frame_that_breaks_the_rules_fails_the_test(here: Surroundings, opcode: int, text: str) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        station.send_frame(opcode, b"..")
        csms.disconnected()

    with pytest.raises(
        AssertionError, match=f"the end of the connection of CP_1 at .*a WebSocket frame breaks.*{text}"
    ):
        run(here, act)
    run(here, act, strict=False)


def test_a_stalled_connection_is_not_read(pair: Pair) -> None:
    csms, station = pair
    csms.stall()
    future = station.send_request(BEAT)
    csms.expect_nothing(SHORT)
    assert not future.done()
    csms.resume()
    csms.expect(Beat)
    station.expect(v16.HeartbeatResponse)


def test_a_test_may_end_while_a_connection_is_stalled(here: Surroundings) -> None:
    with here.csms() as csms, here.station(csms.url, strict=False) as station:
        csms.connected()
        station.send_request(BEAT)
        csms.expect(Beat)
        csms.stall()
        csms.send_request(RESET)


def test_drop_and_close(pair: Pair) -> None:
    csms, station = pair
    csms.drop()
    assert (station.disconnected().code, station.connected()) == (1006, "CP_1")
    csms.connected()
    csms.close(1008, "go away")
    close = station.disconnected()
    assert (close.code, close.reason) == (1008, "go away")
    csms.connected()
    station.close(1000, "bye")
    assert csms.disconnected().reason == "bye"


def test_a_code_that_cannot_be_sent_closes_nothing(held: Pair) -> None:
    with pytest.raises(UsageError):
        held.csms.close(1006)
    assert held.csms.connected() == "CP_1"
    assert held.csms.call(RESET)


# The end of a test


def run(here: Surroundings, act: Callable[[ScriptedCSMS, ScriptedStation], object], **options: Any) -> None:
    """Run a whole test of a station that is not judged itself. The station outlives the test."""
    csms = here.csms(**options)
    station = here.station(csms.url, strict=False, reconnect=False)
    try:
        with csms:
            csms.connected()
            act(csms, station)
    finally:
        station.stop()


def test_a_frame_that_breaks_the_rules_fails_a_strict_test(here: Surroundings) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        station.call_raw(*INVALID)
        station.expect_error("BootNotification")

    with pytest.raises(AssertionError, match="a CALL BootNotification from CP_1 .*chargePointVendor") as raised:
        run(here, act)
    assert "CONNECTED" in str(raised.value)  # the transcript
    run(here, act, strict=False)


def test_a_call_without_an_answer_fails_a_strict_test(here: Surroundings) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        station.reply(Reset, SILENCE)
        csms.send_request(RESET)

    with pytest.raises(AssertionError, match="no answer: a CALL Reset to CP_1"):
        run(here, act, within=0.3)
    run(here, act, strict=False)


def test_a_call_that_is_answered_while_the_test_ends_is_answered(here: Surroundings) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        station.reply(Reset, After(0.3, v16.ResetResponse("Accepted")))
        csms.send_request(RESET)

    run(here, act)


def test_calls_that_a_script_leaves_open_and_those_that_are_cut_are_not_missed(here: Surroundings) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        csms.reply(Beat, SILENCE)
        csms.reply(Boot, After(60, v16.BootNotificationResponse(current_time=NOW, interval=1, status="Accepted")))
        station.reply(Reset, DROP)
        station.call_raw("Heartbeat")
        csms.expect(Beat)
        station.call_raw("BootNotification", BOOT)
        csms.expect(Boot)
        csms.send_request(RESET)
        csms.disconnected()

    begun = time.monotonic()
    run(here, act)
    assert time.monotonic() - begun < seconds(4)  # nothing was waited for


def test_a_frame_that_comes_while_the_test_ends_is_judged(here: Surroundings) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        def reply(request: Any) -> Any:  # the test is at its end by then, and waits for the answer
            station.call_raw(*INVALID)
            return After(0.2, v16.ResetResponse("Accepted"))

        station.reply(Reset, After(0.2, reply))
        csms.send_request(RESET)

    with pytest.raises(AssertionError, match="chargePointVendor"):
        run(here, act)


def test_a_frame_that_comes_while_the_connections_are_closed_is_judged(
    here: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        stop = csms.server.stop

        def stop_late() -> None:
            station.call_raw(*INVALID)
            csms.expect("BootNotification")
            monkeypatch.undo()
            stop()

        monkeypatch.setattr(csms.server, "stop", stop_late)

    with pytest.raises(AssertionError, match="chargePointVendor"):
        run(here, act)


@pytest.mark.parametrize("strict", [True, False])
def test_what_is_forbidden_fails_the_test(here: Surroundings, strict: bool) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        csms.forbid(Boot, charge_point_model="Two")
        csms.forbid("Heartbeat", id="CP_2")
        station.call(BOOT)
        station.call(BEAT)

    run(here, act, strict=strict)
    with pytest.raises(AssertionError, match="forbidden was HeartbeatRequest"):
        run(here, lambda csms, station: (csms.forbid(Beat), station.call(BEAT)), strict=strict)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("Heartbeet", "is 'Heartbeat' meant"),
        ("RequestStartTransaction", "no action"),
        (v201.HeartbeatRequest, "use v16.HeartbeatRequest"),
        (v201.ResetResponse, "use v16.ResetResponse"),
    ],
)
def test_what_can_never_come_cannot_be_forbidden(held: Pair, what: Any, text: str) -> None:
    with pytest.raises(UnsupportedFeature, match=text):
        held.csms.forbid(what)


def test_a_field_that_no_version_has_cannot_be_forbidden(here: Surroundings) -> None:
    with here.csms(versions=["1.6", "2.0.1"]) as csms:
        for what in ("StatusNotification", v16.StatusNotificationRequest):
            with pytest.raises(UsageError, match="StatusNotificationRequest has no field 'conector_id'"):
                csms.forbid(what, conector_id=1)
        csms.forbid("StatusNotification", evse_id=1)
        csms.forbid("StatusNotification", evseId=1)


def test_what_the_own_profiles_do_not_have_can_be_forbidden(here: Surroundings) -> None:
    core: List[Profile] = [profile for profile in v16.PROFILES if profile.name == "Core"]
    with here.csms(profiles=core) as csms:
        for what in (v16.FirmwareStatusNotificationRequest, "FirmwareStatusNotification", v16.ResetResponse):
            csms.forbid(what)


def test_an_exception_of_the_test_is_not_hidden_and_nothing_is_waited_for(here: Surroundings) -> None:
    def act(csms: ScriptedCSMS, station: ScriptedStation) -> None:
        station.reply(Reset, SILENCE)
        csms.send_request(RESET)
        station.call_raw(*INVALID)
        raise KeyError("the test itself")

    begun = time.monotonic()
    with pytest.raises(KeyError, match="the test itself"):
        run(here, act, within=60)
    assert time.monotonic() - begun < seconds(10)


def test_verify_says_before_the_end_what_is_wrong(here: Surroundings) -> None:
    csms = here.csms()
    station = here.station(csms.url, strict=False)
    try:
        csms.connected()
        csms.verify()
        station.call_raw(*INVALID)
        csms.expect("BootNotification")
        with pytest.raises(AssertionError, match="at the end of the test:\n.*chargePointVendor"):
            csms.verify()
    finally:
        station.stop()
        csms.stop()
    with pytest.raises(AssertionError, match="chargePointVendor"):
        csms.verify()


@pytest.mark.parametrize("name", ["tcp", "memory"])  # a held clock does not wait for threads of the test
def test_calls_that_come_while_the_test_ends_are_not_missed(name: str) -> None:
    here, changed, came, ended = surroundings_of(name), threading.Condition(), [0], threading.Event()

    def reply(request: Any) -> Any:  # when the next CALL is there: so one is always unanswered
        with changed:
            came[0] += 1
            mine = came[0]
            changed.notify_all()
            changed.wait_for(lambda: came[0] > mine or ended.is_set(), seconds(5))
        return v16.HeartbeatResponse(NOW)

    def traffic(station: ScriptedStation) -> None:
        while not ended.is_set():
            try:
                station.client.call(BEAT)
            except OcppjError:
                return

    csms = here.csms(within=0.5)
    csms.reply(Beat, reply)
    stations = [here.station(csms.url, f"CP_{number}", strict=False, reconnect=False) for number in range(3)]
    threads = [threading.Thread(target=traffic, args=(station,)) for station in stations]
    try:
        with csms:
            for thread in threads:
                thread.start()
            csms.expect(Beat, id="CP_0", within=10)
            csms.expect(Beat, id="CP_1", within=10)
    finally:
        ended.set()
        with changed:
            changed.notify_all()
        for station in stations:
            station.stop()
        for thread in threads:
            thread.join(seconds(10))


def test_stop_may_be_called_again_and_from_several_threads(here: Surroundings) -> None:
    csms = here.csms()
    threads = [threading.Thread(target=csms.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(10))
    csms.stop()
    csms.verify()


def test_a_wait_ends_when_its_time_is_over_also_after_a_stop(held: Pair) -> None:
    held.station.stop()
    held.csms.stop()
    with pytest.raises(AssertionError, match="expected HeartbeatRequest"):
        held.csms.expect(Beat, within=1)
    with pytest.raises(AssertionError, match="no station is connected"):
        held.csms.call(RESET)


# Time


def test_with_a_held_clock_waits_take_no_real_time() -> None:
    here = Surroundings(MemoryNetwork(), ManualClock())
    begun = time.monotonic()
    with here.csms() as csms, here.station(csms.url, timeout=5000) as station:
        csms.reply(Beat, After(3000, v16.HeartbeatResponse(NOW)))
        assert station.call(BEAT)
        csms.expect_nothing(3600, but=[Beat])
        with pytest.raises(AssertionError):
            csms.expect(Boot, within=3600)
        station.drop()
        csms.disconnected()
        csms.connected(within=3600)
        assert csms.clock.monotonic() > 10_000
    assert time.monotonic() - begun < seconds(5)


def test_a_held_clock_needs_a_network() -> None:
    with pytest.raises(UsageError, match="a ManualClock needs a MemoryNetwork"):
        ScriptedCSMS(clock=ManualClock())


def test_a_timer_of_the_test_may_use_the_peer(pair: Pair) -> None:
    csms, station = pair
    timer = csms.clock.call_later(0.3, csms.drop, "test")
    assert station.disconnected(within=5).code == 1006
    timer.join(seconds(5))


def test_options_of_the_endpoint_and_of_its_transport_are_passed_on(here: Surroundings) -> None:
    with here.csms(max_message_size=200) as csms, here.station(csms.url, max_outgoing_size=300) as station:
        with pytest.raises(MessageTooLarge):
            station.call(v16.DataTransferRequest("V", data="x" * 400))
        station.call_raw("DataTransfer", {"vendorId": "V", "data": "x" * 400})
        assert station.disconnected().code == 1009


@pytest.mark.parametrize("option", ["handshake_timout", "ssl_contxt"])
def test_there_is_no_such_option(here: Surroundings, option: str) -> None:
    with pytest.raises(TypeError, match="is '.*' meant"):
        here.csms(**{option: None})
    with pytest.raises(TypeError, match="is '.*' meant"):
        here.station("ws://x", **{option: None})
