"""What a client and a server do alike, tried on both and over both transports."""

import threading
from concurrent.futures import wait

import pytest

from ocppj import (
    CallCanceled,
    CallTimeout,
    ConnectionLost,
    EncodingError,
    ErrorCode,
    FIFOClientQueue,
    FIFOQueueMap,
    InvalidResponse,
    ManualClock,
    NotRunning,
    OCPPError,
    QueueFull,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    WouldDeadlock,
    v16,
)
from ocppj.payloads.model import Payload
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    BOOT,
    BOOT_WIRE,
    BOOTED,
    BOOTED_WIRE,
    HEARTBEAT,
    NOW,
    RESET,
    RESET_DONE,
    ClientSide,
    ServerSide,
    cleanup,
    make_client,
    make_server,
    make_side,
    raw_client,
    raw_server,
    side,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import deadlines, open_calls, queued, transport_of


def call_in_thread(side, request, **options):
    """Call from another thread; return a function that gives the outcome."""
    outcome = []

    def run():
        try:
            outcome.append(side.call(request, **options))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(seconds(15))
        assert outcome, "the call did not end"
        return outcome[0]

    return result


class OwnQueue(FIFOClientQueue):
    """Does what a test wants as well, when a request is put in or taken out."""

    def __init__(self):
        super().__init__()
        self.before_push = self.before_pop = lambda: None

    def push(self, bundle):
        self.before_push()
        super().push(bundle)

    def pop(self):
        self.before_pop()
        return super().pop()


class OneQueue(FIFOQueueMap):
    """Gives every client the same queue."""

    def __init__(self, queue):
        super().__init__()
        self.queue = queue

    def get_or_create(self, client_id):
        self.add(client_id, self.queue)
        return self.queue


@pytest.fixture(params=["client", "server"])
def make_side_with(request, make_client, make_server, raw_client, raw_server):
    """Make a side whose requests wait in the queue that is given."""

    def make(queue, **options):
        if request.param == "client":
            return ClientSide(make_client, raw_server, queue=queue, **options)
        return ServerSide(make_server, raw_client, queues=OneQueue(queue), **options)

    return make


# Sending requests


def test_call_returns_the_typed_response(side):
    result = call_in_thread(side, BOOT)
    frame = side.raw.receive()
    assert frame[0] == 2
    assert frame[2:] == ["BootNotification", BOOT_WIRE]
    assert 1 <= len(frame[1]) <= 36
    side.raw.send([3, frame[1], BOOTED_WIRE])
    assert result() == BOOTED


def test_send_request_gives_a_future_with_the_message_id(side):
    future = side.send_request(BOOT)
    frame = side.raw.receive()
    assert future.message_id == frame[1]
    assert not future.done()
    side.raw.send([3, frame[1], BOOTED_WIRE])
    assert future.result(seconds(10)) == BOOTED


def test_a_callerror_raises(side):
    result = call_in_thread(side, BOOT)
    frame = side.raw.receive()
    side.raw.send([4, frame[1], "SecurityError", "no", {"a": 1}])
    error = result()
    assert isinstance(error, OCPPError)
    assert (error.code, error.description, error.details, error.message_id) == (
        ErrorCode.SECURITY_ERROR,
        "no",
        {"a": 1},
        frame[1],
    )


@pytest.mark.parametrize("spelling", ["FormationViolation", "FormatViolation"])
def test_every_spelling_is_understood(side, spelling):
    future = side.send_request(BOOT)
    side.raw.send([4, side.raw.receive()[1], spelling, "", {}])
    assert future.exception(seconds(10)).code is ErrorCode.FORMAT_VIOLATION


def test_an_unknown_error_code_is_kept_as_text(side):
    future = side.send_request(BOOT)
    side.raw.send([4, side.raw.receive()[1], "NoSuchCode", "", {}])
    assert future.exception(seconds(10)).code == "NoSuchCode"


def test_a_callerror_without_details_is_understood(side):
    future = side.send_request(BOOT)
    side.raw.send([4, side.raw.receive()[1], "GenericError", ""])
    assert future.exception(seconds(10)).details == {}


def test_one_request_is_under_way_and_the_others_wait_in_order(side):
    futures = [side.send_request(v16.DataTransferRequest(vendor_id=str(n))) for n in range(5)]
    for n, future in enumerate(futures):
        frame = side.raw.receive()
        assert frame[3] == {"vendorId": str(n)}
        assert side.raw.nothing_came()
        if n % 2:
            side.raw.send([4, frame[1], "GenericError", "", {}])
            assert future.exception(seconds(10)).code is ErrorCode.GENERIC_ERROR
        else:
            side.raw.send([3, frame[1], {"status": "Accepted"}])
            assert future.result(seconds(10)).status == "Accepted"


def test_requests_from_many_threads_are_sent_one_at_a_time(side):
    futures = []
    lock = threading.Lock()

    def push():
        future = side.send_request(HEARTBEAT)
        with lock:
            futures.append(future)

    threads = [threading.Thread(target=push) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in threads:
        frame = side.raw.receive()
        assert side.raw.nothing_came()
        side.raw.send([3, frame[1], BEAT_WIRE])
    for thread in threads:
        thread.join()
    done, not_done = wait(futures, seconds(10))
    assert (len(done), len(not_done)) == (20, 0)
    assert all(future.result() == BEAT for future in done)


def test_an_invalid_request_is_refused_before_it_is_queued(side):
    bad = v16.BootNotificationRequest(charge_point_vendor="V" * 21, charge_point_model="M")
    with pytest.raises(ValidationError, match="chargePointVendor") as caught:
        side.send_request(bad)
    assert caught.value.code is ErrorCode.PROPERTY_CONSTRAINT_VIOLATION
    with pytest.raises(ValidationError):
        side.call(bad)
    assert side.raw.nothing_came()


def test_with_validation_off_an_invalid_request_is_sent(make_side):
    side = make_side(validate=False).connect()
    side.send_request(v16.BootNotificationRequest(charge_point_vendor="V" * 21, charge_point_model="M"))
    assert side.raw.receive()[3]["chargePointVendor"] == "V" * 21


def test_what_json_cannot_say_is_refused(make_side):
    side = make_side(validate=False).connect()
    with pytest.raises(EncodingError):
        side.send_request(v16.DataTransferRequest(vendor_id="V", data=object()))
    with pytest.raises(EncodingError, match="zone"):
        side.send_request(
            v16.StartTransactionRequest(connector_id=1, id_tag="T", meter_start=0, timestamp=NOW.replace(tzinfo=None))
        )
    assert side.raw.nothing_came()


def test_a_request_without_a_profile_is_refused(make_side):
    core = [profile for profile in v16.PROFILES if profile.name == "Core"]
    side = make_side(profiles=core).connect()
    with pytest.raises(UnsupportedFeature, match="GetLocalListVersion"):
        side.send_request(v16.GetLocalListVersionRequest())


def test_a_full_queue_raises(make_side):
    side = make_side(queue_capacity=2).connect()
    first, second = side.send_request(HEARTBEAT), side.send_request(HEARTBEAT)
    with pytest.raises(QueueFull, match="2"):
        side.send_request(HEARTBEAT)
    for _ in range(2):
        side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    assert first.result(seconds(10)) == second.result(seconds(10)) == BEAT
    assert open_calls(side.endpoint) == 0


def test_no_answer_is_a_timeout_and_the_queue_moves_on(make_side):
    clock = ManualClock()
    side = make_side(clock=clock, timeout=30).connect()
    canceled = Recorder()
    side.endpoint.set_canceled_request_handler(canceled)
    first, second = side.send_request(BOOT), side.send_request(HEARTBEAT)
    message_id = side.raw.receive()[1]
    clock.advance(29.9)
    assert not first.done()
    clock.advance(0.2)
    error = first.exception(seconds(10))
    assert isinstance(error, CallTimeout)
    assert isinstance(error, TimeoutError)
    assert (error.code, error.description, error.message_id) == (
        ErrorCode.GENERIC_ERROR,
        "no answer within 30 seconds",
        message_id,
    )
    assert canceled.calls == [side.args(message_id, BOOT, error)]
    side.raw.send([3, message_id, BOOTED_WIRE])  # too late
    frame = side.raw.receive()
    assert frame[2] == "Heartbeat"
    side.raw.send([3, frame[1], BEAT_WIRE])
    assert second.result(seconds(10)) == BEAT


class WatchedClock(ManualClock):
    """Tells which timers it was asked for."""

    def __init__(self):
        super().__init__()
        self.delays = []

    def call_later(self, delay, callback, name):
        timer = super().call_later(delay, callback, name)
        self.delays.append(delay)
        return timer


def test_the_timeout_of_a_call_counts_from_the_call(make_side):
    clock = WatchedClock()
    side = make_side(clock=clock, timeout=30).connect()
    side.send_request(BOOT)
    side.raw.receive()
    result = call_in_thread(side, HEARTBEAT, timeout=5)
    eventually(lambda: open_calls(side.endpoint) == 2)
    eventually(lambda: 5 in clock.delays and clock.timers() == 1)  # in place of the one for the first request
    clock.advance(5.1)
    assert isinstance(result(), CallTimeout)
    assert open_calls(side.endpoint) == 1
    clock.advance(30)
    assert side.raw.nothing_came(), "a request that was given up is not sent later"
    assert open_calls(side.endpoint) == 0


def test_cancelling_a_future_withdraws_the_request(side):
    canceled = Recorder()
    side.endpoint.set_canceled_request_handler(canceled)
    first, second, third = (side.send_request(HEARTBEAT) for _ in range(3))
    sent = side.raw.receive()
    assert second.cancel()
    assert second.cancelled()
    assert first.cancel()  # it is under way: its answer is ignored, and the next one goes out
    frame = side.raw.receive()
    assert frame[1] == third.message_id
    side.raw.send([3, sent[1], BEAT_WIRE])
    side.raw.send([3, frame[1], BEAT_WIRE])
    assert third.result(seconds(10)) == BEAT
    assert not third.cancel()
    assert {call[-3] for call in canceled.calls} == {first.message_id, second.message_id}
    assert all(isinstance(call[-1], CallCanceled) for call in canceled.calls)
    assert open_calls(side.endpoint) == 0


def test_an_answer_that_breaks_its_schema_ends_the_call_with_an_error(side):
    canceled = Recorder()
    side.endpoint.set_canceled_request_handler(canceled)
    result = call_in_thread(side, BOOT)
    frame = side.raw.receive()
    side.raw.send([3, frame[1], {"status": "Accepted"}])
    error = result()
    assert isinstance(error, InvalidResponse)
    assert error.error.code is ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION
    assert "currentTime" in str(error)
    assert canceled.wait()[0] == side.args(frame[1], BOOT, error)
    future = side.send_request(HEARTBEAT)
    assert side.raw.receive()[2] == "Heartbeat", "nothing was sent about the answer, and the next request goes out"
    assert not future.done()


@pytest.mark.parametrize("broken", [[3], [3, None, {}], [4, None], [4, None, 5, "", {}], [3, None, {}, {}]])
def test_a_broken_answer_to_the_pending_request_ends_it(side, broken):
    future = side.send_request(HEARTBEAT)
    message_id = side.raw.receive()[1]
    frame = [message_id if element is None else element for element in broken]
    if len(frame) == 1:
        frame.append(message_id)
    side.raw.send(frame)
    assert isinstance(future.exception(seconds(10)), InvalidResponse)


def test_answers_to_nothing_are_ignored_and_told(side):
    ignored = Recorder()
    side.endpoint.set_ignored_message_handler(ignored)
    side.raw.send([3, "unknown", BEAT_WIRE])
    side.raw.send([4, "unknown", "GenericError", "", {}])
    assert ignored.wait(2) == [
        side.args([3, "unknown", BEAT_WIRE]),
        side.args([4, "unknown", "GenericError", "", {}]),
    ]
    assert side.raw.nothing_came()


def test_response_and_error_handlers_fire_besides_the_future(side):
    responses, errors = Recorder(), Recorder()
    side.endpoint.set_response_handler(responses)
    side.endpoint.set_error_handler(errors)
    first, second = side.send_request(HEARTBEAT), side.send_request(HEARTBEAT)
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    side.raw.send([4, side.raw.receive()[1], "GenericError", "why", {"a": 1}])
    assert responses.wait() == [side.args(BEAT, first.message_id)]
    error = second.exception(seconds(10))
    assert errors.wait() == [side.args(error, {"a": 1})]


def test_a_response_handler_may_call(side):
    second = []

    @side.endpoint.set_response_handler
    def responded(*arguments):
        if not second:
            second.append(None)
            second.append(side.call(HEARTBEAT))

    side.send_request(HEARTBEAT)
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    assert eventually(lambda: second[1:]) == [BEAT]


class Interrupted:
    """The context of a thread that waits for a message: the wait is interrupted at once."""

    def __enter__(self):
        raise KeyboardInterrupt

    def __exit__(self, *error):
        """Is never called."""


def test_an_interrupted_call_leaves_nothing_behind(side):
    transport_of(side.endpoint).waiting = Interrupted
    with pytest.raises(KeyboardInterrupt):
        side.call(BOOT, timeout=60)
    assert open_calls(side.endpoint) == 0
    assert queued(side.endpoint) == 0
    assert deadlines(side.endpoint) == 0


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (lambda id: [3, id, BEAT_WIRE], type(None)),
        (lambda id: [3, id, {}], InvalidResponse),
        (lambda id: [4, id, "GenericError", "", {}], OCPPError),
    ],
)
def test_a_queue_that_fails_when_the_answer_comes_leaves_no_call_waiting(make_side_with, answer, end):
    queue = OwnQueue()
    side = make_side_with(queue).connect()
    future = side.send_request(HEARTBEAT)
    message_id = side.raw.receive()[1]
    failed = threading.Event()

    def fail():
        failed.set()
        raise OSError("the disk is full")

    queue.before_pop = fail
    side.raw.send(answer(message_id))
    try:
        assert isinstance(future.exception(seconds(10)), end)
        assert failed.is_set()
    finally:
        queue.before_pop = lambda: None


def test_a_call_that_was_answered_leaves_no_deadline_behind(side):
    result = call_in_thread(side, BOOT, timeout=60)
    side.raw.send([3, side.raw.receive()[1], BOOTED_WIRE])
    assert result() == BOOTED
    assert deadlines(side.endpoint) == 0


def test_call_on_the_reading_thread_is_refused_instead_of_hanging(side):
    caught = []

    def done(future):
        try:
            side.call(HEARTBEAT)
        except WouldDeadlock as error:
            caught.append(error)

    future = side.send_request(HEARTBEAT)
    future.add_done_callback(done)
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    eventually(lambda: caught)


def test_call_on_the_timer_thread_is_refused_instead_of_hanging(make_side):
    clock = ManualClock()
    side = make_side(clock=clock, timeout=1).connect()
    caught = []

    @side.endpoint.set_canceled_request_handler
    def canceled(*arguments):
        try:
            side.call(HEARTBEAT)
        except WouldDeadlock as error:
            caught.append(error)

    side.send_request(HEARTBEAT)
    side.raw.receive()
    clock.advance(2)
    assert caught


def test_before_the_start_and_after_the_end_nothing_is_sent(make_side):
    side = make_side()
    for attempt in (side.send_request, side.call):
        with pytest.raises(NotRunning):
            attempt(BOOT)
    with pytest.raises(NotRunning):
        side.send_response("1", BOOTED)
    side.connect()
    side.endpoint.stop()
    for attempt in (side.send_request, side.call):
        with pytest.raises(NotRunning):
            attempt(BOOT)
    side.endpoint.stop()


def test_stop_ends_every_waiting_call(side):
    canceled = Recorder()
    side.endpoint.set_canceled_request_handler(canceled)
    results = [call_in_thread(side, HEARTBEAT) for _ in range(5)]
    future = side.send_request(HEARTBEAT)
    eventually(lambda: queued(side.endpoint) == 6)
    side.endpoint.stop()
    assert all(isinstance(result(), Stopped) for result in results)
    assert isinstance(future.exception(0), Stopped)
    assert canceled.calls == []
    assert open_calls(side.endpoint) == 0


def test_stop_inside_a_handler(side):
    stopped = threading.Event()

    @side.endpoint.set_request_handler
    def handle(*arguments):
        side.endpoint.stop()
        stopped.set()

    side.raw.send([2, "1", "Heartbeat", {}])
    assert stopped.wait(seconds(10))
    side.raw.wait_closed()
    side.endpoint.stop()


def test_a_lost_connection_ends_calls(side):
    result = call_in_thread(side, HEARTBEAT)
    future = side.send_request(HEARTBEAT)
    eventually(lambda: queued(side.endpoint) == 2)  # a call that begins after the end is told that nothing runs
    side.raw.receive()
    side.raw.stop()
    assert isinstance(result(), ConnectionLost)
    assert isinstance(future.exception(seconds(10)), ConnectionLost)
    assert open_calls(side.endpoint) == 0
    with pytest.raises((NotRunning, ConnectionLost, UnknownClient)):
        side.call(HEARTBEAT)


def test_message_ids_come_from_the_generator(make_side):
    ids = iter(["first", "second"])
    side = make_side(message_id_generator=lambda: next(ids)).connect()
    assert side.send_request(HEARTBEAT).message_id == "first"
    assert side.raw.receive()[1] == "first"
    side.raw.send([3, "first", BEAT_WIRE])
    assert side.send_request(HEARTBEAT).message_id == "second"
    assert side.raw.receive()[1] == "second"


def test_an_id_that_is_waiting_already_is_refused(make_side):
    side = make_side(message_id_generator=lambda: "same").connect()
    future = side.send_request(HEARTBEAT)
    with pytest.raises(UsageError, match="same"):
        side.send_request(HEARTBEAT)
    side.raw.send([3, "same", BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT


def test_observers_see_every_frame(side):
    frames = Recorder()
    side.endpoint.add_observer(frames)
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    future = side.send_request(BOOT)
    frame = side.raw.receive()
    side.raw.send([3, frame[1], BOOTED_WIRE])
    future.result(seconds(10))
    side.raw.ask([2, "1", "Heartbeat", {}])
    side.raw.send("rubbish")
    seen = [call[0] for call in frames.wait(5)]
    assert [one.direction for one in seen] == ["out", "in", "in", "out", "in"]
    assert {(one.client_id, one.version) for one in seen} == {("CP_1", "1.6")}
    assert seen[4].text == "rubbish"
    assert seen[0].time.tzinfo is not None


def test_a_failing_observer_harms_nothing(side):
    @side.endpoint.add_observer
    def fail(frame):
        raise RuntimeError("no")

    future = side.send_request(BOOT)
    side.raw.send([3, side.raw.receive()[1], BOOTED_WIRE])
    assert future.result(seconds(10)) == BOOTED


def test_handlers_are_returned_by_what_registers_them(make_side):
    endpoint = make_side().endpoint

    def f(*arguments):
        """Stand for any handler."""

    for register in (
        endpoint.on(v16.HeartbeatRequest),
        endpoint.after(v16.HeartbeatRequest),
        endpoint.set_request_handler,
        endpoint.set_response_handler,
        endpoint.set_error_handler,
        endpoint.set_canceled_request_handler,
        endpoint.set_invalid_message_hook,
        endpoint.set_ignored_message_handler,
        endpoint.add_observer,
    ):
        assert register(f) is f


def test_a_handler_for_an_unknown_type_is_refused(make_side):
    class Stranger(Payload):
        pass

    with pytest.raises(UnsupportedFeature, match="Stranger"):
        make_side().endpoint.on(Stranger)
    with pytest.raises(UnsupportedFeature, match="Stranger"):
        make_side().endpoint.after(Stranger)


def test_starting_twice_is_refused(side):
    with pytest.raises(UsageError, match="already"):
        side.connect()


def test_stop_and_start_again(make_side):
    side = make_side().connect()
    side.endpoint.stop()
    side.connect()
    future = side.send_request(HEARTBEAT)
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT


def test_requests_of_ours_and_of_theirs_cross(side):
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    future = side.send_request(BOOT)
    ours = side.raw.receive()
    assert side.raw.ask([2, "theirs", "Heartbeat", {}]) == [3, "theirs", BEAT_WIRE]
    side.raw.send([3, ours[1], BOOTED_WIRE])
    assert future.result(seconds(10)) == BOOTED


def test_a_handler_may_call_its_own_connection(side):
    @side.endpoint.on(v16.HeartbeatRequest)
    def beat(*arguments):
        assert side.call(RESET) == RESET_DONE
        assert side.call(RESET) == RESET_DONE
        return BEAT

    side.raw.send([2, "theirs", "Heartbeat", {}])
    for _ in range(2):
        frame = side.raw.receive()
        assert frame[2] == "Reset"
        side.raw.send([3, frame[1], {"status": "Accepted"}])
    assert side.raw.receive() == [3, "theirs", BEAT_WIRE]


def test_while_a_handler_blocks_answers_are_served_and_calls_wait_their_turn(side):
    release = threading.Event()
    order = []

    @side.endpoint.set_request_handler
    def handle(*arguments):
        request, message_id, action = arguments[-3:]
        order.append(message_id)
        if message_id == "slow":
            assert release.wait(seconds(10))
        return BEAT

    side.raw.send([2, "slow", "Heartbeat", {}])
    side.raw.send([2, "next", "Heartbeat", {}])
    for _ in range(3):
        future = side.send_request(BOOT)
        side.raw.send([3, side.raw.receive()[1], BOOTED_WIRE])
        assert future.result(seconds(10)) == BOOTED
    assert order == ["slow"]
    release.set()
    assert side.raw.receive()[1] == "slow"
    assert side.raw.receive()[1] == "next"
    assert order == ["slow", "next"]


@pytest.mark.parametrize("direction", ["in", "out"])
def test_call_inside_an_observer_is_refused_instead_of_hanging(side, direction):
    caught = []

    @side.endpoint.add_observer
    def observe(frame):
        if frame.direction == direction and not caught:
            try:
                side.call(HEARTBEAT)
            except WouldDeadlock as error:
                caught.append(error)

    future = side.send_request(HEARTBEAT)
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    assert caught


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_without_time_nothing_is_sent(side, timeout):
    for attempt in (side.call, side.send_request):
        with pytest.raises(CallTimeout, match="nothing was sent"):
            attempt(HEARTBEAT, timeout=timeout)
    assert open_calls(side.endpoint) == 0
    future = side.send_request(BOOT)
    assert side.raw.receive()[2] == "BootNotification"
    assert not future.done()


def test_a_call_that_ended_before_it_was_queued_is_not_sent_later(make_side_with):
    """The time ran out between the call's being noted and its being queued."""
    clock, queue = ManualClock(), OwnQueue()
    side = make_side_with(queue, clock=clock).connect()
    pending = side.send_request(HEARTBEAT)
    side.raw.receive()
    queue.before_push = lambda: clock.advance(1)
    with pytest.raises(CallTimeout):
        side.call(BOOT, timeout=0.5)
    queue.before_push = lambda: None
    side.raw.send([3, pending.message_id, BEAT_WIRE])
    assert pending.result(seconds(10)) == BEAT
    future = side.send_request(RESET)
    assert side.raw.receive()[1] == future.message_id


@pytest.mark.parametrize("timeout", ["5", [1], float("nan"), True])
def test_a_timeout_that_is_no_number_is_refused_and_leaves_nothing(side, timeout):
    with pytest.raises(UsageError, match="timeout"):
        side.call(HEARTBEAT, timeout=timeout)
    assert open_calls(side.endpoint) == 0


@pytest.mark.parametrize("wrong", [v16.HeartbeatRequest, {}, "Heartbeat", None])
def test_what_is_no_message_is_refused(side, wrong):
    with pytest.raises(UsageError, match="message type"):
        side.call(wrong)


def test_starting_while_another_thread_still_stops_is_refused(side):
    entered, release = threading.Event(), threading.Event()

    @side.endpoint.set_request_handler
    def handle(*arguments):
        entered.set()
        release.wait(seconds(10))

    side.raw.send([2, "1", "Heartbeat", {}])
    assert entered.wait(seconds(10))
    thread = threading.Thread(target=side.endpoint.stop)
    thread.start()
    side.raw.wait_closed()  # and yet stop() waits for the handler
    with pytest.raises(UsageError, match="stopped"):
        side.connect()
    release.set()
    thread.join(seconds(10))
    side.connect()
    future = side.send_request(HEARTBEAT, timeout=seconds(10))
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT


class BrokenQueue(FIFOClientQueue):
    """A queue that takes requests, and raises instead of giving one back until it is mended."""

    mended = False

    def pop(self):
        return super().pop() if self.mended else self.fail()

    def remove(self, message_id):
        return super().remove(message_id) if self.mended else self.fail()

    def fail(self):
        raise OSError("the disk is full")


@pytest.fixture
def broken():
    queue = BrokenQueue()
    yield queue
    queue.mended = True


def test_a_call_expires_though_the_queue_raises(make_client, raw_server, broken):
    client = make_client(raw_server.url, queue=broken)
    for _ in range(2):  # one that is under way, and one that waits behind it
        with pytest.raises(CallTimeout):
            client.call(HEARTBEAT, timeout=0.1)
    assert open_calls(client) == 0
    broken.mended = True


def test_all_calls_over_a_lost_connection_end_though_the_queue_raises(make_client, raw_server, broken):
    client = make_client(queue=broken, reconnect=True).connect(raw_server.url)
    raw_server.wait_connected()
    ends = Recorder()

    def call():
        try:
            client.call(HEARTBEAT)
        except ConnectionLost as error:
            ends(error)

    for _ in range(3):
        threading.Thread(target=call, daemon=True).start()
    eventually(lambda: queued(client) == 3)
    raw_server.receive()
    raw_server.channel.abort()
    ends.wait(3)
    broken.mended = True


def test_calls_to_a_client_that_has_gone_end_though_the_queue_raises(make_server, raw_client):
    queues = FIFOQueueMap()
    queue = BrokenQueue()
    queues.get_or_create = lambda client_id: queue
    server = make_server(queues=queues)
    raw = raw_client(server.url)
    eventually(server.client_ids)
    futures = [server.send_request("CP_1", RESET) for _ in range(2)]
    raw.receive()
    raw.stop()
    for future in futures:
        assert isinstance(future.exception(seconds(10)), ConnectionLost)
    queue.mended = True
