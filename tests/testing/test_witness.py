"""``Witness``: waits for what is expected, and says what came in its place. The texts are compared whole."""

import threading
import traceback
from datetime import timezone

import pytest

from ocppj import Close, ErrorCode, TransportError, UsageError, v16
from ocppj.testing.timeline import HeldTimeline, RealTimeline
from ocppj.testing.transcript import Transcript
from ocppj.testing.witness import Witness
from tests.fixtures import BEAT_WIRE, BOOT_WIRE, BOOTED_WIRE
from tests.helpers import Recorder, seconds
from tests.testing.journals import TRANSCRIPT, Talk

STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
BEAT, BOOT = v16.HeartbeatRequest, v16.BootNotificationRequest


class Scene(Talk):
    """A talk, and the witness that looks at it. It waits with a clock that it moves itself."""

    def __init__(self, **options):
        super().__init__()
        self.timeline = HeldTimeline(self.clock, lambda limit: True)
        self.witness = Witness(self.journal, self.timeline, TRANSCRIPT, **options)

    def later(self, delay, function, *arguments):
        """Call ``function`` in ``delay`` seconds of the clock."""

        def run():
            self.step = 0  # the time has come: a frame takes none
            function(*arguments)
            self.step = 1

        self.clock.call_later(delay, run, "later")

    def boot(self):
        self.connected()
        self.came(2, "1", "BootNotification", BOOT_WIRE)
        self.went(3, "1", BOOTED_WIRE)


@pytest.fixture
def scene():
    return Scene()


def failure(function, *arguments, **options):
    """Return the text with which ``function`` fails."""
    with pytest.raises(AssertionError) as failed:
        function(*arguments, **options)
    return str(failed.value)


# What is met


def test_what_has_come(scene):
    scene.boot()
    got = scene.witness.expect(BOOT, {"charge_point_vendor": "V"})
    assert (got.charge_point_model, got.at, got.message_id, got.client_id) == ("M", 2.0, "1", "CP_1")
    assert scene.timeline.now() == 3.0  # it has not waited


def test_what_comes_later(scene):
    scene.later(4.5, scene.came, 2, "1", "BootNotification", BOOT_WIRE)
    assert scene.witness.expect(BOOT).at == 4.5


def test_what_comes_too_late(scene):
    scene.later(5.5, scene.came, 2, "1", "BootNotification", BOOT_WIRE)
    assert "within 5 s" in failure(scene.witness.expect, BOOT)
    assert scene.witness.expect(BOOT, within=0.6).at == 5.5


def test_the_time_to_wait_is_scaled():
    scene = Scene(within=2, timeout_factor=3)
    assert "within 6 s" in failure(scene.witness.expect, BOOT)
    assert scene.timeline.now() == 6
    assert "within 1.5 s" in failure(scene.witness.expect, BOOT, within=0.5)


def test_order_is_asserted_by_writing_order(scene):
    for number, action in enumerate(("Heartbeat", "BootNotification", "Heartbeat", "Heartbeat")):
        scene.came(2, str(number), action, BOOT_WIRE if action == "BootNotification" else {})
        scene.went(4, str(number), "GenericError", "", {})
    assert scene.witness.expect(BOOT).message_id == "1"
    assert scene.witness.expect(BEAT).message_id == "2"
    assert scene.witness.expect(BEAT).message_id == "3"
    failure(scene.witness.expect, BEAT)
    failure(scene.witness.expect, BOOT)


def test_what_was_not_met_moves_nothing(scene):
    scene.came(2, "1", "Heartbeat", {})
    failure(scene.witness.expect, BOOT)
    assert scene.witness.expect(BEAT).message_id == "1"


def test_anywhere(scene):
    scene.boot()
    scene.came(2, "2", "Heartbeat", {})
    scene.went(3, "2", BEAT_WIRE)
    scene.came(2, "3", "Heartbeat", {})
    assert scene.witness.expect(BEAT).message_id == "2"
    assert scene.witness.expect(BOOT, anywhere=True).message_id == "1"
    assert scene.witness.expect(BEAT).message_id == "3"  # the one before has moved nothing


def test_only_what_comes_counts(scene):
    scene.went(2, "1", "Reset", {"type": "Soft"})
    failure(scene.witness.expect, v16.ResetRequest)
    failure(scene.witness.expect, "Reset", anywhere=True)
    scene.came(3, "1", {"status": "Accepted"})
    assert scene.witness.expect(v16.ResetResponse).status == "Accepted"


def test_a_frame_that_breaks_its_schema(scene):
    seen = scene.came(2, "1", "MeterValues", {"connectorId": 1, "transactionId": 8})
    failure(scene.witness.expect, v16.MeterValuesRequest)
    assert scene.witness.expect("MeterValues", {"transaction_id": 8}) is seen


def test_an_error(scene):
    scene.went(2, "1", "Reset", {"type": "Soft"})
    error = scene.came(4, "1", "InternalError", "no", {})
    scene.came(2, "2", "Heartbeat", {})
    assert scene.witness.expect_error("Reset", ErrorCode.INTERNAL_ERROR) is error
    assert scene.witness.expect_error("Reset", "InternalError", anywhere=True) is error
    assert scene.witness.expect(BEAT)


def test_each_station_has_its_own_mark(scene):
    for number in range(2):
        for index, name in enumerate(("CP_1", "CP_2")):
            scene.came(2, str(number), "Heartbeat", {}, client_id=name, connection=index + 1)
    assert scene.witness.expect(BEAT, client_id="CP_2").message_id == "0"
    assert scene.witness.expect(BEAT, client_id="CP_1").message_id == "0"
    assert scene.witness.expect(BEAT, client_id="CP_2").message_id == "1"
    failure(scene.witness.expect, BEAT, client_id="CP_2")
    assert scene.witness.expect(BEAT, client_id="CP_1").message_id == "1"


def test_many_threads_wait(scene):
    witness, found = Witness(scene.journal, RealTimeline(), TRANSCRIPT, within=seconds(20)), Recorder()
    threads = [threading.Thread(target=lambda: found(witness.expect(BEAT).message_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(8):
        scene.came(2, str(number), "Heartbeat", {})
        scene.went(3, str(number), BEAT_WIRE)
    found.wait(8, timeout=20)
    for thread in threads:
        thread.join(seconds(10))
    assert sorted(each for (each,) in found.calls) == [str(number) for number in range(8)]  # each met another one


# What is not met


def test_nothing_came(scene):
    scene.boot()
    scene.witness.expect(BOOT)
    assert failure(scene.witness.expect, BEAT, within=0.5) == (
        "expected HeartbeatRequest from CP_1 within 0.5 s, but it did not come\n"
        "came: nothing\n"
        "\n"
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
        "00:00:02.000  CP_1 -> CSMS  CALL    BootNotification       chargePointVendor=V chargePointModel=M\n"
        ">>> here: HeartbeatRequest\n"
        "00:00:03.000  CSMS -> CP_1  RESULT  BootNotification      "
        " currentTime=2026-01-02T03:04:05.000Z interval=300 status=Accepted"
    )


def test_other_messages_came(scene):
    for number in range(2):
        scene.came(2, str(number), "Heartbeat", {})
        scene.went(4, str(number), "GenericError", "", {})
    scene.came("garbage")
    scene.went(2, "1", "Reset", {"type": "Soft"})
    scene.came(3, "1", {"status": "Accepted"})
    assert failure(scene.witness.expect, BOOT, {"charge_point_vendor": "W"}).startswith(
        "expected BootNotificationRequest with charge_point_vendor='W' from CP_1 within 5 s, but it did not come\n"
        "came: a CALL Heartbeat (2 times), a frame that is no message, the RESULT of a Reset\n"
        "\n"
        ">>> here: BootNotificationRequest with charge_point_vendor='W'\n"
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
    )


def test_one_came_that_differs(scene):
    scene.came(2, "1", "StatusNotification", STATUS)
    scene.went(3, "1", {})
    scene.came(2, "2", "StatusNotification", {**STATUS, "connectorId": 0})
    fields = {"connector_id": 2, "status": "Available"}
    assert failure(scene.witness.expect, v16.StatusNotificationRequest, fields) == (
        "expected StatusNotificationRequest with connector_id=2, status='Available' from CP_1 within 5 s,"
        " but it did not come\n"
        "nearest: a CALL StatusNotification from CP_1 at 00:00:03.000: connector_id is 0, not 2\n"
        "\n"
        ">>> here: StatusNotificationRequest with connector_id=2, status='Available'\n"
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
        "00:00:01.000  CP_1 -> CSMS  CALL    StatusNotification     connectorId=1 errorCode=NoError status=Available\n"
        "00:00:02.000  CSMS -> CP_1  RESULT  StatusNotification\n"
        "00:00:03.000  CP_1 -> CSMS  CALL    StatusNotification     connectorId=0 errorCode=NoError status=Available"
    )


def test_one_came_that_breaks_its_schema(scene):
    scene.came(2, "1", "BootNotification", {"chargePointVendor": "V"})
    fault = "OccurenceConstraintViolation: required property 'chargePointModel' is missing"
    assert failure(scene.witness.expect, BOOT) == (
        "expected BootNotificationRequest from CP_1 within 5 s, but it did not come\n"
        f"nearest: a CALL BootNotification from CP_1 at 00:00:01.000: it breaks the rules: {fault}\n"
        "\n"
        ">>> here: BootNotificationRequest\n"
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
        "00:00:01.000  CP_1 -> CSMS  CALL    BootNotification       chargePointVendor=V\n"
        f"    ! {fault}"
    )


def test_an_action_did_not_come(scene):
    scene.came(2, "1", "MeterValues", {"connectorId": 1})
    assert failure(scene.witness.expect, "MeterValues", {"connector_id": 2}, where=bool).startswith(
        "expected MeterValues with connector_id=2 that where= accepts from CP_1 within 5 s, but it did not come\n"
        "nearest: a CALL MeterValues from CP_1 at 00:00:01.000: connector_id is 1, not 2\n"
    )


def test_an_error_did_not_come(scene):
    scene.went(2, "1", "Reset", {"type": "Soft"})
    scene.came(4, "1", "NotSupported", "no", {})
    assert failure(scene.witness.expect_error, "Reset", "InternalError") == (
        "expected the error InternalError as the answer to Reset from CP_1 within 5 s, but it did not come\n"
        "nearest: the ERROR of a Reset from CP_1 at 00:00:02.000: the code is NotSupported, not InternalError\n"
        "\n"
        ">>> here: the error InternalError as the answer to Reset\n"
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
        "00:00:01.000  CSMS -> CP_1  CALL    Reset                  type=Soft\n"
        "00:00:02.000  CP_1 -> CSMS  ERROR   Reset                  NotSupported: no"
    )


def test_nobody_connected(scene):
    assert failure(scene.witness.expect, BOOT) == (
        "expected BootNotificationRequest from a charging station within 5 s, but none has connected\n"
        "\n"
        "nothing was seen"
    )
    assert failure(scene.witness.expect_error, client_id="CP_9", within=1) == (
        "expected an error from CP_9 within 1 s, but it has not connected\n\nnothing was seen"
    )
    scene.journal.add_event("REFUSED", "CP_9", reason="401")
    assert failure(scene.witness.expect, BOOT, client_id="CP_9") == (
        "expected BootNotificationRequest from CP_9 within 5 s, but it has not connected\n"
        "\n"
        ">>> here: BootNotificationRequest\n"
        "00:00:06.000  CP_9 -> CSMS  REFUSED                        401"
    )


def test_several_stations_connected(scene):
    scene.came(2, "1", "Heartbeat", {})
    scene.came(2, "1", "Heartbeat", {}, client_id="CP_2", connection=2)
    text = (
        "2 charging stations have connected: CP_1, CP_2; choose one with id=\n\n"
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
    )
    for function, arguments in (
        (scene.witness.expect, [BEAT]),
        (scene.witness.expect_error, []),
        (scene.witness.connected, []),
        (scene.witness.disconnected, []),
    ):
        assert failure(function, *arguments).startswith(text)
    assert scene.witness.expect(BEAT, client_id="CP_2").client_id == "CP_2"


def test_a_second_station_connects_meanwhile(scene):
    scene.boot()
    scene.later(2, lambda: scene.came("[]", client_id="CP_2", connection=2))
    text = failure(scene.witness.expect, BEAT)
    assert text.startswith("2 charging stations have connected: CP_1, CP_2; choose one with id=\n\n")


def test_the_other_side_has_a_name():
    scene = Scene(peer="the CSMS")
    assert failure(scene.witness.expect, v16.ResetRequest) == (
        "expected ResetRequest from the CSMS within 5 s, but there was no connection\n\nnothing was seen"
    )
    scene.came(2, "1", "Heartbeat", {})
    assert failure(scene.witness.expect, v16.ResetRequest).startswith(
        "expected ResetRequest from the CSMS within 5 s, but it did not come\n"
    )
    transcript = Transcript("CP_1", peer="CSMS", zone=timezone.utc)
    witness = Witness(scene.journal, scene.timeline, transcript, peer="the CSMS", within=1)
    assert failure(witness.expect, v16.ResetRequest).splitlines()[-1] == (
        "00:00:06.000  CSMS -> CP_1  CALL    Heartbeat"
    )


def test_a_long_transcript_has_its_last_entries(scene):
    for _ in range(500):
        scene.came("[]")
    text = failure(scene.witness.expect, BOOT)
    assert "\n... 101 earlier ones are left out\n>>> here: BootNotificationRequest\n" in text
    assert text.count("TEXT") == 400


def test_a_field_that_does_not_exist(scene):
    for function in (scene.witness.expect, scene.witness.forbid):
        with pytest.raises(UsageError, match="HeartbeatRequest has no field 'id'"):
            function(BEAT, {"id": 1})


def test_an_error_of_where_is_raised(scene):
    scene.boot()
    with pytest.raises(ZeroDivisionError):
        scene.witness.expect(BOOT, where=lambda request: 1 / 0)


@pytest.mark.parametrize("name", ["expect", "expect_error", "expect_nothing", "connected", "disconnected"])
def test_pytest_shows_the_line_of_the_test(name, scene):
    """It hides functions with this variable."""
    scene.later(0, scene.came, "[]")
    scene.clock.advance(0)
    arguments = {"expect": [BOOT], "expect_nothing": [1], "connected": [0]}.get(name, [])
    options = {"client_id": "CP_9"} if name == "connected" else {}
    with pytest.raises(AssertionError) as failed:
        getattr(scene.witness, name)(*arguments, **options)
    frames = [frame for frame, _ in traceback.walk_tb(failed.value.__traceback__)][1:]
    assert frames
    assert all(frame.f_locals.get("__tracebackhide__") for frame in frames)


# Nothing is expected


def test_nothing_came_as_expected(scene):
    scene.boot()
    scene.witness.expect(BOOT)
    scene.witness.expect_nothing(0.9)
    assert scene.timeline.now() == pytest.approx(3.9)
    scene.witness.expect_nothing(100, client_id="CP_1")


class Late:
    """A timeline on which something happens just after a wait has ended."""

    def __init__(self, happen):
        self._happen = happen

    def now(self):
        return 0.0

    def wait(self, ready, limit, changed):
        with changed:
            value = ready()
        self._happen()
        return value

    def sleep(self, limit):
        pass


def test_what_comes_when_the_time_is_over_is_met():
    talk = Talk()
    witness = Witness(talk.journal, Late(lambda: talk.came(2, "1", "Heartbeat", {})), TRANSCRIPT)
    assert witness.expect(BEAT).message_id == "1"


def test_nothing_is_expected_for_the_time_that_is_said():
    scene = Scene(timeout_factor=10)
    scene.later(2, scene.came, 2, "1", "Heartbeat", {})
    scene.witness.expect_nothing(1.5)
    assert "expected nothing for 1 s" in failure(scene.witness.expect_nothing, 1)


def test_something_came(scene):
    scene.boot()
    scene.witness.expect(BOOT)
    scene.later(2, scene.came, 2, "2", "StatusNotification", STATUS)
    assert failure(scene.witness.expect_nothing, 3) == (
        "expected nothing for 3 s, but this came: a CALL StatusNotification from CP_1 at 00:00:05.000\n"
        "\n"
        "00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
        "00:00:02.000  CP_1 -> CSMS  CALL    BootNotification       chargePointVendor=V chargePointModel=M\n"
        ">>> here: nothing for 3 s\n"
        "00:00:03.000  CSMS -> CP_1  RESULT  BootNotification      "
        " currentTime=2026-01-02T03:04:05.000Z interval=300 status=Accepted\n"
        "00:00:05.000  CP_1 -> CSMS  CALL    StatusNotification     connectorId=1 errorCode=NoError status=Available"
    )
    assert scene.timeline.now() == 5  # it fails at once
    assert scene.witness.expect(v16.StatusNotificationRequest)


def test_what_came_before_counts_too(scene):
    scene.boot()
    scene.came(2, "2", "Heartbeat", {})
    assert "this came: a CALL BootNotification" in failure(scene.witness.expect_nothing, 1)
    scene.witness.expect(BOOT)
    assert "this came: a CALL Heartbeat" in failure(scene.witness.expect_nothing, 1)
    scene.witness.expect(BEAT)
    scene.witness.expect_nothing(1)


def test_nothing_but(scene):
    scene.came(2, "1", "Heartbeat", {})
    scene.went(3, "1", BEAT_WIRE)
    scene.came(2, "2", "Heartbeat", [])  # a broken one is one
    scene.went(4, "2", "GenericError", "", {})
    scene.witness.expect_nothing(1, but=[BEAT])
    scene.witness.expect_nothing(1, but=["Heartbeat"])
    scene.witness.expect_nothing(1, but=BEAT)
    scene.witness.expect_nothing(1, but="Heartbeat")
    scene.came("garbage")
    text = failure(scene.witness.expect_nothing, 1, but=[BEAT, "MeterValues"], client_id="CP_1")
    assert text.startswith(
        "expected nothing from CP_1 for 1 s but HeartbeatRequest, MeterValues,"
        " but this came: a frame that is no message from CP_1 at 00:00:09.000\n"
    )


def test_answers_and_connections_may_come(scene):
    scene.connected()
    scene.went(2, "1", "Reset", {"type": "Soft"})
    scene.came(3, "1", {"status": "Accepted"})
    scene.went(2, "2", "Reset", {"type": "Soft"})
    scene.came(4, "2", "GenericError", "", {})
    scene.disconnected()
    scene.witness.expect_nothing(1)


def test_nothing_of_any_station(scene):
    scene.came(2, "1", "Heartbeat", {}, client_id="CP_2", connection=2)
    scene.witness.expect_nothing(1, client_id="CP_1")
    scene.came("[]", client_id="CP_1")
    assert "this came: a CALL Heartbeat from CP_2" in failure(scene.witness.expect_nothing, 1)


# Connections


def test_connected(scene):
    scene.later(2, scene.connected)
    assert scene.witness.connected() == "CP_1"
    assert scene.timeline.now() == 2
    assert scene.witness.connected(client_id="CP_1") == "CP_1"  # it is still there


def test_a_connection_that_came_and_went(scene):
    scene.connected()
    scene.disconnected()
    assert scene.witness.connected() == "CP_1"
    assert scene.witness.disconnected().code == 1006
    failure(scene.witness.connected)
    scene.connected()
    assert scene.witness.connected() == "CP_1"
    failure(scene.witness.disconnected)


def test_an_expectation_begins_at_the_connection(scene):
    scene.connected()
    scene.came(2, "1", "Heartbeat", {})
    scene.disconnected()
    scene.connected()
    scene.came(2, "2", "Heartbeat", {})
    scene.witness.expect(BEAT)
    scene.witness.connected()
    assert scene.witness.expect(BEAT).message_id == "2"


def test_the_connection_that_is_about_to_be_cut_does_not_count(scene):
    scene.connected()
    asked = Recorder()

    def is_ready(client_id):
        asked(client_id)
        return scene.timeline.now() >= 4

    scene.witness.connected()
    scene.later(3, scene.disconnected)
    scene.later(6, scene.connected)
    assert scene.witness.connected(is_ready=is_ready, within=10) == "CP_1"
    assert scene.timeline.now() == 7
    assert asked.calls[0] == ("CP_1",)


def test_it_did_not_connect(scene):
    assert failure(scene.witness.connected) == (
        "expected a charging station to connect within 5 s, but it did not\n\nnothing was seen"
    )
    scene.connected()
    scene.witness.connected()
    scene.disconnected(Close(1000, "done", by_peer=True))
    assert failure(scene.witness.connected, 2) == (
        "expected CP_1 to connect within 2 s, but it did not\n"
        "\n"
        "00:00:06.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6\n"
        ">>> here: connected\n"
        "00:00:07.000  CP_1 -> CSMS  DISCONNECTED                   closed by the peer with 1000 (done)"
    )
    assert failure(scene.witness.connected, 2, client_id="CP_9").startswith(
        "expected CP_9 to connect within 2 s, but it did not\n\n>>> here: connected\n"
    )


def test_disconnected(scene):
    close = Close(1000, "done", by_peer=True)
    scene.connected()
    scene.later(2, scene.disconnected, close)
    assert scene.witness.disconnected() is close


def test_it_did_not_disconnect(scene):
    assert failure(scene.witness.disconnected, 1) == (
        "expected the connection of a charging station to end within 1 s, but it did not\n\nnothing was seen"
    )
    scene.connected()
    assert failure(scene.witness.disconnected, within=2) == (
        "expected the connection of CP_1 to end within 2 s, but it did not\n"
        "\n"
        ">>> here: disconnected\n"
        "00:00:02.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6"
    )


# At the end


def test_what_was_forbidden(scene):
    witness = scene.witness
    scene.came(2, "0", "Heartbeat", {})  # before it was forbidden
    scene.went(3, "0", BEAT_WIRE)
    witness.forbid(BEAT)
    witness.forbid("StatusNotification", {"connector_id": 2})
    witness.forbid(BOOT, client_id="CP_2")
    assert witness.broken_forbids() == []
    scene.came(2, "1", "StatusNotification", STATUS)
    scene.came(2, "2", "BootNotification", BOOT_WIRE)
    scene.went(2, "a", "Heartbeat", {})  # what this side sends is not forbidden
    assert witness.broken_forbids() == []
    scene.came(2, "3", "Heartbeat", {})
    scene.came(2, "4", "StatusNotification", {**STATUS, "connectorId": 2})
    scene.came(2, "1", "BootNotification", BOOT_WIRE, client_id="CP_2", connection=2)
    assert witness.broken_forbids() == [
        "forbidden was HeartbeatRequest: a CALL Heartbeat from CP_1 at 00:00:06.000",
        "forbidden was StatusNotification with connector_id=2: a CALL StatusNotification from CP_1 at 00:00:07.000",
        "forbidden was BootNotificationRequest: a CALL BootNotification from CP_2 at 00:00:08.000",
    ]


def test_what_breaks_the_rules(scene):
    scene.connected()
    scene.witness.forbid(BEAT)
    scene.went("garbage of ours")
    scene.came("garbage")
    scene.came(2, "1", "Heartbeat", {})
    scene.came(2, "2", "Heartbit", {})
    scene.went(2, "a", "Reset", {"type": "Soft"})
    assert scene.witness.broken_rules() == [
        "forbidden was HeartbeatRequest: a CALL Heartbeat from CP_1 at 00:00:04.000",
        "a frame that is no message from CP_1 at 00:00:03.000: the frame is no valid JSON at character 0",
        "a CALL Heartbit from CP_1 at 00:00:05.000: NotImplemented: OCPP 1.6 has no action 'Heartbit'",
        "a CALL Heartbit from CP_1 at 00:00:05.000: a second CALL, while the CALL Heartbeat '1' has no answer",
        "no answer: a CALL Heartbeat from CP_1 at 00:00:04.000",
        "no answer: a CALL Heartbit from CP_1 at 00:00:05.000",
        "no answer: a CALL Reset to CP_1 at 00:00:06.000",
    ]
    assert len(scene.witness.broken_rules([])) == 4
    scene.disconnected()
    assert len(scene.witness.broken_rules()) == 4


@pytest.mark.parametrize(
    "close",
    [
        Close(1002, "reserved opcode", by_peer=True),  # this side has broken them
        Close(1002),  # the test closes so
        Close(1006, error=TransportError("lost")),
        Close(1009, "too big", error=TransportError("too big")),  # a limit of this side
    ],
)
def test_an_end_that_breaks_no_rule_of_the_other_side(scene, close):
    scene.connected()
    scene.disconnected(close)
    assert scene.witness.broken_rules() == []


def test_an_end_because_of_a_broken_rule(scene):
    scene.connected()
    scene.disconnected(Close(1003, "OCPP messages are text", error=TransportError("binary")))
    fault = "a WebSocket frame breaks the rules: OCPP messages are text"
    assert scene.witness.broken_rules() == [f"the end of the connection of CP_1 at 00:00:02.000: {fault}"]
    assert scene.witness.transcript().endswith(f"\n    ! {fault}")


def test_nothing_was_wrong(scene):
    scene.boot()
    scene.witness.forbid(BEAT)
    assert scene.witness.broken_rules() == []


def test_the_failure_at_the_end(scene):
    assert str(scene.witness.failure("it failed")) == "it failed\n\nnothing was seen"
    scene.connected()
    assert str(scene.witness.failure("it failed")) == (
        "it failed\n\n00:00:01.000  CP_1 -> CSMS  CONNECTED                      OCPP 1.6"
    )


# Looking


def test_order(scene):
    scene.boot()
    scene.came(2, "2", "Heartbeat", {})
    scene.went(2, "a", "Reset", {"type": "Soft"})
    scene.came(3, "a", {"status": "Accepted"})
    scene.came(2, "3", "StatusNotification", {})
    scene.came("garbage")
    scene.came(2, "4", 7, {})
    scene.came(2, "1", "MeterValues", {}, client_id="CP_2", connection=2)
    witness = scene.witness
    assert witness.order() == ["BootNotification", "Heartbeat", "StatusNotification", "?", "MeterValues"]
    assert witness.order(but=[BEAT, v16.StatusNotificationRequest, "MeterValues"]) == ["BootNotification", "?"]
    assert witness.order(client_id="CP_2") == ["MeterValues"]
    assert (
        witness.order(but="MeterValues") == witness.order(but=v16.MeterValuesRequest) == witness.order(client_id="CP_1")
    )


def test_messages_and_transcript(scene):
    scene.boot()
    scene.came("[]", client_id="CP_2", connection=2)
    witness = scene.witness
    assert [seen.kind for seen in witness.messages()] == ["CALL", "RESULT", "TEXT"]
    assert [seen.kind for seen in witness.messages("CP_2")] == ["TEXT"]
    assert len(witness.transcript().splitlines()) == 6
    assert witness.transcript("CP_2").splitlines() == [
        "00:00:04.000  CP_2 -> CSMS  CONNECTED                      OCPP 1.6",
        "00:00:04.000  CP_2 -> CSMS  TEXT                           []",
        "    ! GenericError: the first element is no message type",
    ]
