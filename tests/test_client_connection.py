"""A client's connection lost and regained: what becomes of its requests, by choice."""

import threading

import pytest

from ocppj import (
    CallTimeout,
    Client,
    ClientDispatcher,
    ConnectionLost,
    DefaultClientDispatcher,
    FIFOClientQueue,
    InvalidResponse,
    ManualClock,
    NotRunning,
    OCPPError,
    Stopped,
    TransactionRetries,
    TransportError,
    UsageError,
    v16,
    v201,
)
from ocppj.ws.backoff import Backoff
from tests.between import BetweenClient
from tests.dispatch.test_retries import START, Durable
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    HEARTBEAT,
    cleanup,
    make_client,
    raw_server,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import deadlines_of_requests, dispatcher_of, is_pending, open_calls, queued
from tests.peers import RawServer

#: Seconds of the clock in which a request of `make`'s client is to be answered.
TIMEOUT = 30
STARTED_WIRE = {"idTagInfo": {"status": "Accepted"}, "transactionId": 7}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make(make_client, clock):
    """Make a client that regains its connection after exactly 10 seconds of the clock. It need not boot."""

    def make_one(**options):
        options.setdefault("boot_first", False)
        return make_client(
            reconnect=True, clock=clock, timeout=TIMEOUT, ws={"clock": clock, "backoff": Backoff(10, 0, 0)}, **options
        )

    return make_one


def connect(client, raw):
    client.connect(raw.url)
    raw.wait_connected()
    return client


def lose(raw, clock):
    raw.channel.abort()
    assert clock.wait_for_waiters(1, seconds(10)), "the client does not wait to reconnect"


def regain(client, raw, clock):
    clock.advance(10)
    raw.wait_connected()
    eventually(client.is_connected)
    eventually(lambda: not dispatcher_of(client).is_paused())


def held(client):
    """Wait until a request waits to be sent again, its wait counted from now."""
    eventually(lambda: not is_pending(client) and deadlines_of_requests(client) == 1)


def test_with_resend_a_pending_request_is_sent_again_with_its_id(make, raw_server, clock):
    client = connect(make(resend=True), raw_server)
    future, behind = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    frame = raw_server.receive()
    lose(raw_server, clock)
    regain(client, raw_server, clock)
    assert raw_server.receive() == frame
    raw_server.send([3, frame[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert behind.result(seconds(10)) == BEAT


def test_a_call_is_not_sent_again_for_it_ends_with_its_connection(make, raw_server, clock):
    client = connect(make(resend=True), raw_server)
    ends = Recorder()

    def call():
        try:
            ends(client.call(HEARTBEAT))
        except ConnectionLost as error:
            ends(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    raw_server.receive()
    lose(raw_server, clock)
    [(error,)] = ends.wait()
    thread.join(seconds(10))
    assert isinstance(error, ConnectionLost)
    regain(client, raw_server, clock)
    future = client.send_request(HEARTBEAT)
    assert raw_server.receive()[1] == future.message_id


class Meanwhile:
    """A generator of message ids. It calls ``act`` when a call has looked at the connection, and is not queued yet."""

    def __init__(self):
        self.act = None
        self.count = 0

    def __call__(self):
        if self.act is not None:
            self.act()
        self.count += 1
        return str(self.count)


def test_a_call_ends_though_the_connection_went_after_it_was_looked_at(make, raw_server, clock):
    meanwhile, ends = Meanwhile(), Recorder()
    client = connect(make(message_id_generator=meanwhile), raw_server)

    def lose_it():
        lose(raw_server, clock)
        eventually(lambda: not client.is_connected())

    meanwhile.act = lose_it

    def call():
        try:
            ends(client.call(HEARTBEAT))
        except ConnectionLost as error:
            ends(error)

    threading.Thread(target=call, daemon=True).start()
    assert isinstance(ends.wait()[0][0], ConnectionLost)
    assert queued(client) == 0
    assert open_calls(client) == 0


def outcome(client):
    try:
        return client.call(HEARTBEAT)
    except Exception as error:
        return error


def test_a_call_lost_while_it_was_written_to_disk_is_not_logged_as_a_stored_one(make, raw_server, clock, caplog):
    class Slow(Durable):
        def push(self, bundle):
            lose(raw_server, clock)
            eventually(lambda: open_calls(client) == 0)
            super().push(bundle)

    queue, canceled = Slow(), Recorder()
    client = make(queue=queue)
    client.set_canceled_request_handler(canceled)
    connect(client, raw_server)
    assert isinstance(outcome(client), ConnectionLost)
    assert len(queue) == 0
    canceled.wait()
    assert "given up" not in caplog.text


@pytest.mark.parametrize("timeout", [None, 30])
def test_a_call_that_meets_the_end_of_a_connection_that_is_not_regained(make_client, raw_server, timeout):
    meanwhile, closes = Meanwhile(), Recorder()
    client = make_client(message_id_generator=meanwhile)
    client.set_disconnected_handler(closes)
    connect(client, raw_server)

    def end():
        raw_server.channel.abort()
        closes.wait()  # it is told after the session has ended

    meanwhile.act = end
    with pytest.raises(ConnectionLost, match="not regained"):
        client.call(HEARTBEAT, timeout)
    with pytest.raises(NotRunning):  # which is what it finds when it begins
        client.call(HEARTBEAT, timeout)


def test_a_call_that_meets_stop_is_not_told_of_a_lost_connection(make_client, raw_server):
    meanwhile = Meanwhile()
    client = connect(make_client(message_id_generator=meanwhile), raw_server)
    meanwhile.act = client.stop
    with pytest.raises(NotRunning):
        client.call(HEARTBEAT)


def test_a_transaction_message_that_is_refused_is_sent_again(make, raw_server, clock):
    errors, responses, canceled = Recorder(), Recorder(), Recorder()
    client = make(retries=TransactionRetries(message_attempts=3, message_attempt_interval=60))
    client.set_error_handler(errors)
    client.set_response_handler(responses)
    client.set_canceled_request_handler(canceled)
    connect(client, raw_server)
    future = client.send_request(START)
    frame = raw_server.receive()
    raw_server.send([4, frame[1], "InternalError", "not now", {}])
    held(client)
    meanwhile = client.send_request(HEARTBEAT)
    overtaker = raw_server.receive()
    assert overtaker[1] == meanwhile.message_id
    raw_server.send([3, overtaker[1], BEAT_WIRE])
    assert meanwhile.result(seconds(10)) == BEAT
    assert not future.done()
    clock.advance(60)
    assert raw_server.receive() == frame
    clock.advance(30)
    held(client)
    clock.advance(120)
    assert raw_server.receive() == frame
    raw_server.send([3, frame[1], STARTED_WIRE])
    assert future.result(seconds(10)).transaction_id == 7
    responses.wait(2)
    assert (errors.calls, canceled.calls) == ([], [])


def test_the_last_refusal_is_told(make, raw_server, clock):
    errors = Recorder()
    client = make(retries=TransactionRetries(message_attempts=2, message_attempt_interval=60))
    client.set_error_handler(errors)
    connect(client, raw_server)
    future = client.send_request(START)
    raw_server.send([4, raw_server.receive()[1], "InternalError", "not now", {}])
    held(client)
    clock.advance(60)
    raw_server.send([4, raw_server.receive()[1], "GenericError", "never", {}])
    with pytest.raises(OCPPError, match="never"):
        future.result(seconds(10))
    errors.wait()
    assert len(errors.calls) == 1


def test_without_retries_a_refusal_is_final(make, raw_server):
    client = connect(make(), raw_server)
    future = client.send_request(START)
    raw_server.send([4, raw_server.receive()[1], "InternalError", "not now", {}])
    with pytest.raises(OCPPError, match="not now"):
        future.result(seconds(10))


def test_a_call_with_a_timeout_waits_no_longer_for_retries(make, raw_server, clock):
    client = connect(make(retries=TransactionRetries()), raw_server)
    future = client.send_request(START, timeout=20)
    frame = raw_server.receive()
    raw_server.send([4, frame[1], "InternalError", "not now", {}])
    eventually(lambda: not is_pending(client))
    clock.advance(20)
    with pytest.raises(CallTimeout):
        future.result(seconds(10))
    client.send_request(START)
    assert raw_server.receive()[1] != frame[1], "and it is not sent again"


def test_a_durable_queue_is_kept_by_stop_and_sent_by_the_next_start(make, raw_server, clock):
    queue = Durable()
    client = connect(make(queue=queue), raw_server)
    first, second = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    raw_server.receive()
    client.stop()
    for future in (first, second):
        assert isinstance(future.exception(seconds(10)), Stopped)
    connect(client, raw_server)
    for future in (first, second):
        frame = raw_server.receive()
        assert frame[1] == future.message_id
        raw_server.send([3, frame[1], BEAT_WIRE])
    eventually(lambda: len(queue) == 0)


def test_a_queue_that_cannot_be_opened_is_told_before_anybody_is_connected_to(make, raw_server):
    class Broken(Durable):
        def init(self):
            raise UsageError("the file is broken")

    client = make(queue=Broken())
    with pytest.raises(UsageError, match="the file is broken"):
        client.connect(raw_server.url)
    assert raw_server.channel is None
    with pytest.raises(NotRunning):
        client.send_request(HEARTBEAT)


def test_a_stored_request_of_another_version_than_the_connections_is_told_of(make, transport, raw_server, caplog):
    queue, canceled = Durable(), Recorder()
    client = make(queue=queue, profiles=[*v201.PROFILES, *v16.PROFILES])
    client.set_canceled_request_handler(canceled)
    connect(client, raw_server)
    client.send_request(HEARTBEAT)
    frame = raw_server.receive()
    client.stop()
    later = RawServer(transport, ["ocpp2.0.1"])
    try:
        client.connect(later.url)
        [(message_id, request, error)] = canceled.wait()
        assert (message_id, request) == (frame[1], HEARTBEAT)
        assert isinstance(error, ConnectionLost)
        assert "2.0.1" in str(error)
        assert len(queue) == 0
        assert f"the stored request {message_id!r} has failed" in caplog.text
    finally:
        client.stop()
        later.stop()


def stored(make, raw_server, **options):
    """Return a client that has sent what an earlier one stored, and the frame."""
    queue = Durable()
    connect(make(queue=queue), raw_server).send_request(HEARTBEAT)
    raw_server.receive()
    raw_server.ws.get_channel("CP_1").close()
    raw_server.wait_closed()
    again = make(queue=queue, **options)
    return connect(again, raw_server), raw_server.receive()


def test_a_stored_request_that_is_refused_is_not_given_up_in_silence(make, raw_server, caplog):
    client, frame = stored(make, raw_server)
    raw_server.send([4, frame[1], "InternalError", "not now", {}])
    eventually(lambda: "is given up" in caplog.text)
    assert frame[1] in caplog.text
    assert "not now" in caplog.text
    assert queued(client) == 0


def test_a_stored_request_whose_answer_is_invalid_is_not_given_up_in_silence(make, raw_server, caplog):
    client, frame = stored(make, raw_server)
    canceled = Recorder()
    client.set_canceled_request_handler(canceled)
    raw_server.send([3, frame[1], {"currentTime": "noon"}])
    [(message_id, request, error)] = canceled.wait()
    assert (message_id, request) == (frame[1], HEARTBEAT)
    assert isinstance(error, InvalidResponse)
    assert f"the stored request {message_id!r} has failed" in caplog.text
    assert queued(client) == 0


def test_a_stored_request_that_nobody_answers_is_not_given_up_in_silence(make, raw_server, clock, caplog):
    client, frame = stored(make, raw_server)
    eventually(lambda: deadlines_of_requests(client))
    clock.advance(TIMEOUT)
    eventually(lambda: "is given up" in caplog.text)
    assert frame[1] in caplog.text


def test_whoever_waits_for_a_request_is_told_and_the_log_is_not(make, raw_server, clock, caplog):
    client = connect(make(), raw_server)
    refused, canceled = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    raw_server.send([4, raw_server.receive()[1], "InternalError", "not now", {}])
    assert isinstance(refused.exception(seconds(10)), OCPPError)
    assert canceled.cancel()
    late = client.send_request(HEARTBEAT)
    raw_server.receive_by_id(canceled.message_id, late.message_id)
    eventually(lambda: deadlines_of_requests(client))
    clock.advance(TIMEOUT)
    assert isinstance(late.exception(seconds(10)), CallTimeout)
    assert "is given up" not in caplog.text


@pytest.mark.parametrize("resend", [False, True])
def test_a_request_that_outlives_no_connection_ends_and_makes_way(make, raw_server, clock, resend):
    client = connect(make(resend=resend, max_losses=2), raw_server)
    canceled = Recorder()
    client.set_canceled_request_handler(canceled)
    future, behind = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    frame = raw_server.receive()
    lose(raw_server, clock)
    regain(client, raw_server, clock)
    if resend:
        assert raw_server.receive() == frame
    assert not future.done()
    lose(raw_server, clock)
    error = future.exception(seconds(10))
    assert isinstance(error, ConnectionLost)
    assert "2 connections in a row" in str(error)
    assert [call[0] for call in canceled.wait()] == [future.message_id]
    regain(client, raw_server, clock)
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert behind.result(seconds(10)) == BEAT
    assert len(canceled.calls) == 1


@pytest.mark.parametrize("option", [{"queue": FIFOClientQueue()}, {"retries": TransactionRetries()}, {"resend": False}])
def test_a_dispatcher_of_ones_own_is_given_its_parts_itself(option):
    with pytest.raises(UsageError, match="dispatcher"):
        Client("CP_1", profiles=v16.PROFILES, dispatcher=DefaultClientDispatcher(), **option)


def test_a_dispatcher_without_the_newer_methods_is_enough():
    """They have defaults: nothing is sent again, nothing stored."""
    assert ClientDispatcher.retry_request(object(), "1", OCPPError("GenericError")) is False


def test_a_queue_that_cannot_set_aside_does_not_keep_calls_waiting(make, raw_server, clock, caplog):
    class Clinging(Durable):
        def set_aside(self, message_id, reason):
            raise OSError("disk full")

    client, ends = connect(make(queue=Clinging(), max_losses=1), raw_server), Recorder()
    stored = client.send_request(HEARTBEAT)
    frame = raw_server.receive()
    thread = threading.Thread(target=lambda: ends(outcome(client)), daemon=True)
    thread.start()
    eventually(lambda: open_calls(client) == 2)
    lose(raw_server, clock)
    assert isinstance(ends.wait()[0][0], ConnectionLost)
    thread.join(seconds(10))
    assert "disk full" in caplog.text
    regain(client, raw_server, clock)
    assert raw_server.receive() == frame
    raw_server.send([3, frame[1], BEAT_WIRE])
    assert stored.result(seconds(10)) == BEAT


# The first connection, tried until it is made


@pytest.fixture
def unborn(transport, cleanup):
    """The URL of a server that does not listen yet, and a function that has it listen."""
    raw = RawServer(transport)
    cleanup.append(raw.stop)
    url = raw.url
    raw.ws.stop()

    def bear():
        raw.ws.listen(int(url.rsplit(":", 1)[1]), "/{id}", "127.0.0.1", ["ocpp1.6"])
        return raw

    return url, bear


def in_background(cleanup, function, *arguments, **options):
    thread = threading.Thread(target=function, args=arguments, kwargs=options, daemon=True)
    cleanup.append(lambda: thread.join(seconds(10)))
    thread.start()
    return thread


def test_without_waiting_requests_are_queued_from_the_first_moment(make, unborn, clock):
    url, bear = unborn
    client, reconnects = make(), Recorder()
    client.set_reconnected_handler(reconnects)
    assert client.connect(url, retry=True, wait=False) is client
    early = client.send_request(HEARTBEAT)
    assert not client.is_connected()
    with pytest.raises(UsageError, match="started already"):
        client.connect(url, retry=True, wait=False)
    assert clock.wait_for_waiters(1, seconds(10))
    raw = bear()
    clock.advance(10)
    raw.wait_connected()
    frame = raw.receive()
    raw.send([3, frame[1], BEAT_WIRE])
    assert early.result(seconds(10)) == BEAT
    assert reconnects.calls == [], "it is the first connection"


def test_stop_ends_what_was_not_waited_for(make, unborn, clock):
    url, bear = unborn
    client = make()
    client.connect(url, retry=True, wait=False)
    early = client.send_request(HEARTBEAT)
    client.stop()
    assert isinstance(early.exception(0), Stopped)
    client.connect(url, retry=True, wait=False)  # and another time
    client.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-reconnect")]


def test_without_waiting_there_must_be_retries(make):
    client = make()
    with pytest.raises(UsageError, match="retry=True"):
        client.connect("ws://127.0.0.1:1", wait=False)
    with pytest.raises(NotRunning):
        client.send_request(HEARTBEAT)


def test_start_with_retries_waits_for_a_server_and_queues_meanwhile(make, unborn, clock, cleanup):
    url, bear = unborn
    client, reconnects, disconnects = make(), Recorder(), Recorder()
    client.set_reconnected_handler(reconnects)
    client.set_disconnected_handler(disconnects)
    starter = in_background(cleanup, client.start_with_retries, url)
    assert clock.wait_for_waiters(1, seconds(10))
    assert not client.is_connected()
    early = client.send_request(HEARTBEAT)
    with pytest.raises(ConnectionLost):
        client.call(HEARTBEAT)
    clock.advance(10)
    assert clock.wait_for_waiters(1, seconds(10)), "it tries again and again"
    assert not early.done()
    raw = bear()
    clock.advance(20)
    raw.wait_connected()
    frame = raw.receive()
    assert frame[1] == early.message_id
    raw.send([3, frame[1], BEAT_WIRE])
    assert early.result(seconds(10)) == BEAT
    assert (reconnects.calls, disconnects.calls) == ([], []), "it is the first connection"
    lose(raw, clock)
    disconnects.wait()
    clock.advance(10)
    raw.wait_connected()
    assert reconnects.wait() == [()]
    client.stop()
    starter.join(seconds(10))
    assert not starter.is_alive()


def test_stop_ends_start_with_retries_while_it_waits(make, unborn, clock, cleanup):
    client = make()
    starter = in_background(cleanup, client.start_with_retries, unborn[0])
    assert clock.wait_for_waiters(1, seconds(10))
    waiting = client.send_request(HEARTBEAT)
    client.stop()
    assert isinstance(waiting.exception(seconds(10)), Stopped)
    starter.join(seconds(10))
    assert not starter.is_alive()
    with pytest.raises(NotRunning):
        client.send_request(HEARTBEAT)


def test_stop_that_comes_before_the_transport_has_begun_ends_start_with_retries(
    make, unborn, transport, cleanup, clock
):
    ws, stopped = BetweenClient(transport.client(clock=clock, backoff=Backoff(10, 0, 0))), threading.Event()
    client = make(ws_client=ws)

    def stop_first():
        in_background(cleanup, client.stop)
        assert stopped.wait(seconds(10))

    ws.before_connect, ws.after_stop = stop_first, stopped.set
    starter = in_background(cleanup, client.start_with_retries, unborn[0])
    starter.join(seconds(5))
    assert not starter.is_alive()


def test_connect_with_retry_raises_when_it_is_stopped(make, unborn, clock, cleanup):
    client, ends = make(), Recorder()

    def connect():
        try:
            client.connect(unborn[0], retry=True)
        except Stopped as error:
            ends(error)

    in_background(cleanup, connect)
    assert clock.wait_for_waiters(1, seconds(10))
    client.stop()
    ends.wait()


def test_connect_with_retry_returns_when_connected(make, unborn, clock, cleanup):
    url, bear = unborn
    client, ends = make(), Recorder()
    in_background(cleanup, lambda: ends(client.connect(url, retry=True)))
    assert clock.wait_for_waiters(1, seconds(10))
    raw = bear()
    clock.advance(10)
    assert ends.wait() == [(client,)]
    raw.wait_connected()
    assert client.is_connected()


def test_what_can_never_be_connected_to_is_told_at_once(make):
    with pytest.raises(UsageError):
        make(profiles=v201.PROFILES, identity="a:b").connect("ws://127.0.0.1:1", retry=True)


def test_without_retry_the_first_connection_is_tried_once(make, unborn):
    client = make()
    with pytest.raises(TransportError):
        client.start(unborn[0])


def test_a_request_that_has_ended_otherwise_is_not_taken_for_a_stored_one(make, raw_server, caplog):
    """Its connection was lost while it was written: `call` has ended, and then the dispatcher tells of it too."""

    class Telling(DefaultClientDispatcher):
        def set_on_request_canceled(self, callback):
            self.tell = callback
            super().set_on_request_canceled(callback)

    dispatcher, canceled = Telling(), Recorder()
    client = make(dispatcher=dispatcher)
    client.set_canceled_request_handler(canceled)
    connect(client, raw_server)
    dispatcher.tell("1", HEARTBEAT, ConnectionLost("the cable is cut", "1"))
    assert [call[:2] for call in canceled.calls] == [("1", HEARTBEAT)]
    assert "stored" not in caplog.text


def test_the_end_of_a_connection_is_told_before_its_return_however_long_a_handler_takes(make, raw_server, clock):
    """Two losses while a handler of the first connection is busy: told in order, and nobody waits for it."""
    client, told, entered, go = make(), Recorder(), threading.Event(), threading.Event()

    @client.on(v16.ResetRequest)
    def reset(request):
        entered.set()
        assert go.wait(seconds(10))
        return v16.ResetResponse(status="Accepted")

    client.set_disconnected_handler(lambda close: told("lost"))
    client.set_reconnected_handler(lambda: told("back"))
    connect(client, raw_server)
    raw_server.send([2, "1", "Reset", {"type": "Soft"}])
    assert entered.wait(seconds(10))
    for _ in range(2):
        lose(raw_server, clock)
        clock.advance(10)
        raw_server.wait_connected()
        eventually(client.is_connected)
    assert raw_server.ask([2, "2", "ClearCache", {}])[:2] == [4, "2"], "the new connection is not held up"
    assert told.calls == []
    go.set()
    assert told.wait(4) == [("lost",), ("back",), ("lost",), ("back",)]


def test_a_return_is_not_told_after_stop(make, raw_server, clock, cleanup):
    told, entered, go, stopping = Recorder(), threading.Event(), threading.Event(), threading.Event()

    class Stoppable(DefaultClientDispatcher):
        def stop(self):
            stopping.set()  # stop() has begun; the rest of it waits for the handler
            super().stop()

    client = make(dispatcher=Stoppable())

    @client.set_disconnected_handler
    def lost(close):
        told("lost")
        entered.set()
        assert go.wait(seconds(10))

    client.set_reconnected_handler(lambda: told("back"))
    connect(client, raw_server)
    lose(raw_server, clock)
    assert entered.wait(seconds(10))
    clock.advance(10)
    raw_server.wait_connected()
    assert raw_server.ask([2, "2", "ClearCache", {}])[:2] == [4, "2"], "what is told of the return is in line"
    stopper = in_background(cleanup, client.stop)
    assert stopping.wait(seconds(10))
    go.set()
    assert told.wait(2) == [("lost",), ("lost",)]
    stopper.join(seconds(10))
    assert not stopper.is_alive()
    assert len(told.calls) == 2


@pytest.mark.parametrize("reconnect", [True, False])
@pytest.mark.parametrize("retry", [True, False])
def test_a_connection_that_ends_after_the_next_session_has_begun_changes_nothing_there(
    make_client, raw_server, transport, reconnect, retry
):
    """A callback stops the client, and has not returned when another thread connects anew."""
    ws = BetweenClient(transport.client())
    client = connect(make_client(reconnect=reconnect, ws_client=ws), raw_server)
    stopped, begun, closes = threading.Event(), threading.Event(), Recorder()
    client.set_disconnected_handler(closes)

    def stop(future):
        client.stop()
        stopped.set()
        assert begun.wait(seconds(10))

    client.send_request(HEARTBEAT).add_done_callback(stop)
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert stopped.wait(seconds(10))
    ws.before_connect = begun.set  # after it the transport waits for the end of the connection before
    client.connect(raw_server.url, retry=retry)
    raw_server.wait_connected()
    assert len(closes.wait()) == 1
    future = client.send_request(HEARTBEAT)
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    client.stop()
    assert len(closes.wait(2)) == 2


def test_a_connect_that_was_stopped_and_returns_late_does_not_end_the_next_session(make, unborn, raw_server, cleanup):
    client, ends, entered, go = make(), Recorder(), threading.Event(), threading.Event()

    @client.set_attempt_failed_handler
    def failed(error):
        entered.set()
        assert go.wait(seconds(10))

    def connect_and_tell():
        try:
            client.connect(unborn[0], retry=True)
        except Stopped as error:
            ends(error)

    in_background(cleanup, connect_and_tell)
    assert entered.wait(seconds(10))
    client.stop()  # it waits for connect() for a second
    connect(client, raw_server)
    go.set()
    ends.wait()
    future = client.send_request(HEARTBEAT)
    raw_server.send([3, raw_server.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
