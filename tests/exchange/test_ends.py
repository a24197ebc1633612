"""How the program is told that its requests have ended, and when a stored request is forgotten."""

import shutil
import sqlite3
import threading

import pytest

from ocppj import (
    CallCanceled,
    CallTimeout,
    Client,
    ConnectionLost,
    InvalidResponse,
    ManualClock,
    OCPPError,
    Server,
    SQLiteQueue,
    SQLiteQueueMap,
    Stopped,
    UsageError,
    v16,
)
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    HEARTBEAT,
    RESET,
    RESET_DONE,
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
from tests.peers import RawClient, RawServer, Sockets


def answer(raw, frame=None):
    frame = frame or raw.receive()
    raw.send([3, frame[1], BEAT_WIRE])
    return frame


# The ended handler: a client and a server, over both transports


@pytest.fixture
def ended(side):
    recorder = Recorder()
    side.endpoint.set_ended_handler(Adapted(side, recorder))
    return recorder


class Adapted:
    """A handler with the signature that the endpoint wants: a server's gets the client id."""

    def __init__(self, side, recorder):
        self.side, self.recorder = side, recorder

    def __call__(self, *arguments):
        assert arguments[:-2] == self.side.args()
        self.recorder(*arguments[-2:])


def test_a_response_is_an_end(side, ended):
    future = side.send_request(HEARTBEAT)
    answer(side.raw)
    assert ended.wait() == [(HEARTBEAT, BEAT)]
    assert future.result(seconds(10)) == BEAT


def test_a_call_has_an_end(side, ended):
    thread = threading.Thread(target=side.call, args=(HEARTBEAT,), daemon=True)
    thread.start()
    answer(side.raw)
    assert ended.wait() == [(HEARTBEAT, BEAT)]
    thread.join(seconds(10))


def test_an_error_is_an_end(side, ended):
    side.send_request(HEARTBEAT)
    side.raw.send([4, side.raw.receive()[1], "InternalError", "no", {}])
    [(request, outcome)] = ended.wait()
    assert request == HEARTBEAT
    assert isinstance(outcome, OCPPError)


def test_an_invalid_answer_is_an_end(side, ended):
    side.send_request(HEARTBEAT)
    side.raw.send([3, side.raw.receive()[1], {"currentTime": 3}])
    [(_, outcome)] = ended.wait()
    assert isinstance(outcome, InvalidResponse)


def test_a_canceled_future_is_an_end(side, ended):
    side.send_request(HEARTBEAT)
    behind = side.send_request(RESET)
    assert behind.cancel()
    [(request, outcome)] = ended.wait()
    assert request == RESET
    assert isinstance(outcome, CallCanceled)


def test_a_timeout_is_an_end(side, ended):
    side.send_request(HEARTBEAT, timeout=0.05)
    [(_, outcome)] = ended.wait()
    assert isinstance(outcome, CallTimeout)


def test_a_lost_connection_is_an_end(side, ended):
    for request in (HEARTBEAT, RESET):
        side.send_request(request)
    side.raw.stop()
    assert {type(outcome) for _, outcome in ended.wait(2)} == {ConnectionLost}
    assert len(ended.calls) == 2


def test_a_stop_is_an_end(side, ended):
    for request in (HEARTBEAT, RESET):
        side.send_request(request)
    side.endpoint.stop()
    assert [type(outcome) for _, outcome in ended.calls] == [Stopped, Stopped], "told when stop() returns"


def test_a_stop_tells_of_ends_whose_handlers_have_not_begun(side, ended):
    """The handler thread is busy when the answer comes, and the stop discards what waits for it."""
    busy, go = threading.Event(), threading.Event()

    def block(*arguments):
        busy.set()
        go.wait(seconds(10))

    side.endpoint.set_response_handler(lambda *arguments: block())
    first, second = side.send_request(HEARTBEAT), side.send_request(RESET)
    answer(side.raw)
    assert busy.wait(seconds(10))
    side.raw.send([3, side.raw.receive()[1], {"status": "Accepted"}])
    second.result(seconds(10))
    threading.Timer(0.2, go.set).start()
    side.endpoint.stop()
    first.result(seconds(10))
    assert {type(request) for request, _ in ended.wait(2)} == {type(HEARTBEAT), type(RESET)}
    assert len(ended.calls) == 2


def test_the_ended_handler_comes_last_and_may_call(side):
    """It runs after the future and the response handler, on a thread that may block."""
    order, done = [], threading.Event()

    def end(*arguments):
        order.append("ended")
        if len(order) == 3:
            threading.Thread(target=lambda: answer(side.raw), daemon=True).start()
            assert side.call(HEARTBEAT) == BEAT
            done.set()

    side.endpoint.set_response_handler(lambda *arguments: order.append("response"))
    side.endpoint.set_ended_handler(lambda *arguments: end(*arguments))
    side.send_request(HEARTBEAT).add_done_callback(lambda future: order.append("future"))
    answer(side.raw)
    assert done.wait(seconds(10))
    assert order[:3] == ["future", "response", "ended"]


# Handlers that take the request


@pytest.mark.parametrize("named", [True, False], ids=["with", "without"])
def test_a_response_handler_may_take_the_request(make_side, named):
    side, seen = make_side(), Recorder()
    first = len(side.args())
    handlers = {
        (0, True): lambda response, message_id, request: seen(response, message_id, request),
        (0, False): lambda response, message_id: seen(response, message_id),
        (1, True): lambda client_id, response, message_id, request: seen(response, message_id, request),
        (1, False): lambda client_id, response, message_id: seen(response, message_id),
    }
    side.endpoint.set_response_handler(handlers[first, named])
    side.connect()
    future = side.send_request(HEARTBEAT)
    answer(side.raw)
    assert seen.wait() == [(BEAT, future.message_id, HEARTBEAT)[: 2 + named]]


@pytest.mark.parametrize("named", [True, False], ids=["with", "without"])
def test_an_error_handler_may_take_the_request(make_side, named):
    side, seen = make_side(), Recorder()
    first = len(side.args())
    handlers = {
        (0, True): lambda error, details, request: seen(error.message_id, details, request),
        (0, False): lambda error, details: seen(error.message_id, details),
        (1, True): lambda client_id, error, details, request: seen(error.message_id, details, request),
        (1, False): lambda client_id, error, details: seen(error.message_id, details),
    }
    side.endpoint.set_error_handler(handlers[first, named])
    side.connect()
    future = side.send_request(RESET)
    side.raw.send([4, side.raw.receive()[1], "InternalError", "no", {"why": "x"}])
    assert seen.wait() == [(future.message_id, {"why": "x"}, RESET)[: 2 + named]]


@pytest.mark.parametrize("setter", ["set_response_handler", "set_error_handler", "set_ended_handler"])
def test_a_handler_of_another_shape_is_refused(make_side, setter):
    endpoint = make_side().endpoint

    async def late(*arguments):
        pass

    for handler in (lambda: None, late, "no function"):
        with pytest.raises(UsageError):
            getattr(endpoint, setter)(handler)


# Message ids


@pytest.mark.parametrize("message_id", ["1", "begin-7", "x" * 36])
def test_a_request_has_the_id_that_it_is_given(side, message_id):
    future = side.send_request(HEARTBEAT, message_id=message_id)
    assert future.message_id == message_id
    assert answer(side.raw)[1] == message_id
    assert future.result(seconds(10)) == BEAT
    thread = threading.Thread(target=side.call, args=(HEARTBEAT,), kwargs={"message_id": message_id}, daemon=True)
    thread.start()
    assert answer(side.raw)[1] == message_id
    thread.join(seconds(10))


@pytest.mark.parametrize("message_id", ["", "x" * 37, 7, b"1", ["1"]])
def test_an_id_that_cannot_be_is_refused(side, message_id):
    for send in (side.send_request, side.call):
        with pytest.raises(UsageError, match="message id"):
            send(HEARTBEAT, message_id=message_id)
    assert side.raw.nothing_came()


def test_the_id_of_a_request_that_has_not_ended_is_refused(side):
    first = side.send_request(HEARTBEAT, message_id="1")
    side.send_request(HEARTBEAT, message_id="2")
    for message_id in ("1", "2"):
        with pytest.raises(UsageError, match=message_id):
            side.send_request(RESET, message_id=message_id)
    answer(side.raw)
    first.result(seconds(10))
    side.send_request(RESET, message_id="1").cancel()


# Stored requests


@pytest.fixture
def path(tmp_path):
    return tmp_path / "requests.db"


@pytest.fixture
def raw():
    with RawServer(Sockets()) as raw:
        yield raw


def station(path, **options):
    options.setdefault("boot_first", False)
    return Client("CP_1", profiles=v16.PROFILES, queue=SQLiteQueue(path), timeout=seconds(10), **options)


def select(path):
    connection = sqlite3.connect(path, timeout=0)
    try:
        return [row[0] for row in connection.execute("SELECT message_id FROM requests ORDER BY seq")]
    finally:
        connection.close()


def stored(path):
    """Return the ids of the requests in the file, or ``None`` while it is in use."""
    try:
        return select(path)
    except sqlite3.OperationalError:
        return None


def rows(path):
    """Return the ids in a copy of the file, which is in use."""
    for end in ("", "-wal"):
        shutil.copyfile(f"{path}{end}", f"{path}-copy{end}")
    return select(f"{path}-copy")


class Held:
    """A handler that does not return until it is let go."""

    def __init__(self):
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self, *arguments):
        self.entered.set()
        self.go.wait(seconds(20))


@pytest.mark.parametrize("setter", ["set_response_handler", "set_ended_handler"])
def test_an_answered_request_stays_in_the_file_until_its_handler_returns(path, raw, setter):
    client, handler = station(path), Held()
    getattr(client, setter)(lambda first, second: handler(first, second))
    with client.connect(raw.url):
        first, second = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
        answer(raw)
        assert handler.entered.wait(seconds(10))
        assert first.result(seconds(10)) == BEAT
        answer(raw)  # the next request does not wait
        assert second.result(seconds(10)) == BEAT
        assert rows(path) == [first.message_id, second.message_id]
        handler.go.set()
        eventually(lambda: rows(path) == [])


@pytest.mark.parametrize("setter", ["set_error_handler", "set_ended_handler"])
def test_a_refused_request_stays_until_its_handler_returns(path, raw, setter):
    client, handler = station(path), Held()
    getattr(client, setter)(lambda first, second: handler(first, second))
    with client.connect(raw.url):
        future = client.send_request(HEARTBEAT)
        raw.send([4, raw.receive()[1], "InternalError", "no", {}])
        assert handler.entered.wait(seconds(10))
        assert rows(path) == [future.message_id]
        handler.go.set()
        eventually(lambda: rows(path) == [])


def test_a_canceled_request_stays_until_its_handler_returns(path, raw):
    client, handler = station(path), Held()
    client.set_canceled_request_handler(lambda message_id, request, error: handler())
    with client.connect(raw.url):
        client.send_request(HEARTBEAT)
        future = client.send_request(HEARTBEAT)
        thread = threading.Thread(target=future.cancel, daemon=True)
        thread.start()
        assert handler.entered.wait(seconds(10))
        assert future.message_id in rows(path)
        handler.go.set()
        thread.join(seconds(10))
        assert future.message_id not in rows(path)


def test_a_stop_that_no_handler_outlasts_leaves_the_requests(path, raw, caplog):
    """A stop waits for a handler for some seconds, and closes the file then. The requests are sent again."""
    client, handler, seen = station(path), Held(), Recorder()
    client.set_response_handler(lambda response, message_id: handler())
    client.connect(raw.url)
    first, second = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    answer(raw)
    assert handler.entered.wait(seconds(10))
    answer(raw)
    second.result(seconds(10))
    client.stop()
    handler.go.set()
    assert "2 requests that were answered are sent again" in caplog.text
    assert stored(path) == [first.message_id, second.message_id]
    again = station(path)
    again.set_response_handler(lambda response, message_id, request: seen(message_id, request))
    with again.connect(raw.url):
        assert [answer(raw)[1] for _ in range(2)] == [first.message_id, second.message_id]
        assert seen.wait(2) == [(first.message_id, HEARTBEAT), (second.message_id, HEARTBEAT)]
    assert stored(path) == []


@pytest.mark.parametrize("where", ["response", "ended", "future"])
def test_what_stops_the_client_is_served(path, raw, where):
    """A handler that calls ``stop()`` itself has been served when it returns: the request is not sent again."""
    client, stopped = station(path), threading.Event()

    def stop(*arguments):
        client.stop()
        stopped.set()

    if where == "response":
        client.set_response_handler(lambda response, message_id: stop())
    elif where == "ended":
        client.set_ended_handler(lambda request, outcome: stop())
    client.connect(raw.url)
    future = client.send_request(HEARTBEAT, message_id="one")
    if where == "future":
        future.add_done_callback(stop)
    answer(raw)
    assert stopped.wait(seconds(20))
    eventually(lambda: stored(path) == [])


@pytest.mark.parametrize("where", ["response", "ended", "error"])
def test_a_handler_that_stops_the_client_leaves_what_others_were_not_told(path, raw, where):
    """The file is closed when that handler returns, and the other request is sent again."""
    client, second_came, seen = station(path), threading.Event(), Recorder()

    def stop(request):
        seen(request)
        if len(seen.calls) == 1:
            assert second_came.wait(seconds(10))
            client.stop()

    if where == "response":
        client.set_response_handler(lambda response, message_id: stop(message_id))
    elif where == "ended":
        client.set_ended_handler(lambda request, outcome: stop(request))
    else:
        client.set_error_handler(lambda error, details: stop(error.message_id))
        client.set_response_handler(lambda response, message_id: seen(message_id))
    client.connect(raw.url)
    client.send_request(HEARTBEAT, message_id="one")
    second = client.send_request(HEARTBEAT, message_id="two")
    for _ in range(2):
        if where == "error":
            raw.send([4, raw.receive()[1], "InternalError", "no", {}])
        else:
            answer(raw)
    second.exception(seconds(10))
    second_came.set()
    eventually(lambda: stored(path) == ["two"])
    client.connect(raw.url)  # in the same process, too
    assert answer(raw)[1] == "two"
    seen.wait(2)
    client.stop()
    assert stored(path) == []


@pytest.mark.parametrize("setter", ["set_response_handler", "set_ended_handler", "set_canceled_request_handler"])
def test_a_future_that_stops_the_client_leaves_no_file_open(path, raw, setter):
    client, stopped, seen = station(path), threading.Event(), Recorder()
    if setter == "set_canceled_request_handler":
        client.set_canceled_request_handler(lambda message_id, request, error: seen())
    else:
        getattr(client, setter)(lambda first, second: seen())
    client.connect(raw.url)
    future = client.send_request(HEARTBEAT, message_id="one")
    future.add_done_callback(lambda future: (client.stop(), stopped.set()))
    if setter == "set_canceled_request_handler":
        raw.send([3, raw.receive()[1], {"currentTime": 5}])
    else:
        answer(raw)
    assert stopped.wait(seconds(20))
    eventually(lambda: stored(path) is not None)
    # What was not told is sent again.
    assert stored(path) == ([] if seen.calls else ["one"])


def test_a_future_that_stops_the_client_is_told_of(raw):
    """In memory the ended handler is called all the same."""
    ended = Recorder()
    client = Client("CP_1", profiles=v16.PROFILES, timeout=seconds(10))
    client.set_ended_handler(lambda request, outcome: ended(request, outcome))
    client.connect(raw.url)
    client.send_request(HEARTBEAT).add_done_callback(lambda future: client.stop())
    answer(raw)
    assert ended.wait() == [(HEARTBEAT, BEAT)]


def test_a_call_and_a_stop_leave_nothing(path, raw):
    client = station(path)
    for _ in range(5):
        client.connect(raw.url)
        thread = threading.Thread(target=lambda: answer(raw), daemon=True)
        thread.start()
        client.call(HEARTBEAT)
        client.stop()
        thread.join(seconds(10))
        assert stored(path) == []


def test_without_reconnecting_the_file_is_closed_when_all_is_told(path, raw):
    client, handler = station(path, reconnect=False), Held()
    client.set_response_handler(lambda response, message_id: handler())
    client.connect(raw.url)
    client.send_request(HEARTBEAT)
    answer(raw)
    assert handler.entered.wait(seconds(10))
    raw.channel.abort()
    eventually(lambda: not client.is_connected())
    handler.go.set()
    eventually(lambda: stored(path) == [])


def test_a_stored_id_is_refused_by_a_later_process(path, raw):
    with station(path).connect(raw.url) as client:
        client.send_request(HEARTBEAT, message_id="begin")
        raw.receive()
    with station(path).connect(raw.url) as client:
        raw.receive()
        with pytest.raises(UsageError, match="begin"):
            client.send_request(HEARTBEAT, message_id="begin")
        raw.send([3, "begin", BEAT_WIRE])
        eventually(lambda: rows(path) == [])
        assert client.send_request(HEARTBEAT, message_id="begin").message_id == "begin"


def test_a_stop_is_no_end_of_what_is_stored(path, raw):
    ended = Recorder()
    for turn in range(2):
        client = station(path)
        client.set_ended_handler(lambda request, outcome: ended(request, outcome))
        with client.connect(raw.url):
            if not turn:
                client.send_request(HEARTBEAT)
                raw.receive()
            else:
                answer(raw)
                assert ended.wait() == [(HEARTBEAT, BEAT)]
    assert len(ended.calls) == 1


# The file of a server


def test_a_servers_request_stays_until_its_handler_returns(path):
    server, handler = Server(profiles=v16.PROFILES, queues=SQLiteQueueMap(path)), Held()
    server.set_response_handler(lambda client_id, response, message_id: handler())
    with server.listen(host="127.0.0.1"):
        with RawClient(Sockets(), server.url) as raw:
            eventually(server.client_ids)
            future = server.send_request("CP_1", RESET)
            raw.send([3, raw.receive()[1], {"status": "Accepted"}])
            assert handler.entered.wait(seconds(10))
            assert future.result(seconds(10)) == RESET_DONE
            assert rows(path) == [future.message_id]
        eventually(lambda: not server.client_ids())
        with RawClient(Sockets(), server.url) as raw:
            eventually(server.client_ids)
            later = server.send_request("CP_1", RESET)
            assert raw.receive()[1] == later.message_id, "what is being told of is not sent again"
            assert rows(path) == [future.message_id, later.message_id]
            handler.go.set()
            eventually(lambda: rows(path) == [later.message_id])


def test_a_servers_stop_leaves_what_was_not_told(path, caplog):
    server, handler = Server(profiles=v16.PROFILES, queues=SQLiteQueueMap(path)), Held()
    server.set_ended_handler(lambda client_id, request, outcome: handler())
    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url) as raw:
        eventually(server.client_ids)
        future = server.send_request("CP_1", RESET)
        raw.send([3, raw.receive()[1], {"status": "Accepted"}])
        assert handler.entered.wait(seconds(10))
        server.stop()
        handler.go.set()
    assert "1 requests that were answered are sent again" in caplog.text
    assert stored(path) == [future.message_id]
    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url) as raw:
        assert raw.receive()[1] == future.message_id


def test_time_runs_for_what_is_stored(path, raw):
    """A stored request that timed out is told of once, and is gone."""
    clock, ended = ManualClock(), Recorder()
    client = station(path, clock=clock)
    client.set_ended_handler(lambda request, outcome: ended(type(outcome)))
    with client.connect(raw.url):
        client.send_request(HEARTBEAT)
        raw.receive()
        clock.advance(seconds(10))
        assert ended.wait() == [(CallTimeout,)]
        eventually(lambda: rows(path) == [])
