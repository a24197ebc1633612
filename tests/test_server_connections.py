"""A server's connections: what becomes of the requests to a client that has gone, and is back."""

import threading

import pytest

from ocppj import (
    Client,
    ConnectionLost,
    DefaultServerDispatcher,
    FIFOQueueMap,
    QueueFull,
    Server,
    Stopped,
    UnknownClient,
    UsageError,
    v16,
    v201,
)
from tests.dispatch.test_retries import Durable
from tests.fixtures import (  # noqa: F401
    BEAT,
    RESET,
    RESET_DONE,
    cleanup,
    make_client,
    make_server,
    raw_client,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import connections, untold
from tests.inside.transports import run_of
from tests.peers import RawClient


class DurableMap(FIFOQueueMap):
    """Keeps the queues of clients that have gone, as one on disk does."""

    durable = True

    def __init__(self):
        super().__init__()
        self.kept = {}

    def init(self):
        pass

    def get_or_create(self, client_id):
        return self.kept.setdefault(client_id, Durable())

    def remove(self, client_id):
        pass


@pytest.fixture
def queues():
    return DurableMap()


@pytest.fixture(params=[False, True], ids=["memory", "durable"])
def durable(request):
    return request.param


@pytest.fixture
def own_queues(queues, durable):
    return queues if durable else FIFOQueueMap()


@pytest.fixture
def make_hasty(make_server, transport):
    """Make a server that hardly waits for what handlers of the connection before do."""

    def make(**options):
        ws = transport.server()
        server = make_server(ws_server=ws, **options)
        run_of(ws).replaced_grace = run_of(ws).handler_grace = 0.05
        return server

    return make


@pytest.fixture
def hasty(make_hasty, own_queues):
    return make_hasty(queues=own_queues)


@pytest.fixture
def server(make_server, queues):
    return make_server(queues=queues)


def join(server, raw_client):
    raw = raw_client(server.url)
    eventually(lambda: server.client_ids() == ["CP_1"])
    return raw


def leave(server, raw):
    raw.stop()
    eventually(lambda: server.client_ids() == [])


def test_durable_requests_wait_for_the_client_to_come_back(server, raw_client, queues):
    raw = join(server, raw_client)
    first, second = server.send_request("CP_1", RESET), server.send_request("CP_1", RESET)
    frame = raw.receive()
    leave(server, raw)
    assert not first.done()
    raw = join(server, raw_client)
    assert raw.receive() == frame, "sent again, with its id: nobody knows whether it arrived"
    raw.send([3, frame[1], {"status": "Accepted"}])
    assert first.result(seconds(10)) == RESET_DONE
    raw.send([3, raw.receive()[1], {"status": "Accepted"}])
    assert second.result(seconds(10)) == RESET_DONE
    eventually(lambda: len(queues.kept["CP_1"]) == 0)


def test_a_call_ends_with_its_connection_and_leaves_the_durable_queue(server, raw_client, queues):
    raw = join(server, raw_client)
    ends = Recorder()

    def call():
        try:
            ends(server.call("CP_1", RESET))
        except ConnectionLost as error:
            ends(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    raw.receive()
    kept = server.send_request("CP_1", RESET)
    leave(server, raw)
    [(error,)] = ends.wait()
    thread.join(seconds(10))
    assert isinstance(error, ConnectionLost)
    raw = join(server, raw_client)
    assert raw.receive()[1] == kept.message_id


def test_stop_ends_their_futures_and_keeps_the_requests(server, raw_client, queues):
    raw = join(server, raw_client)
    future = server.send_request("CP_1", RESET)
    raw.receive()
    server.stop()
    assert isinstance(future.exception(seconds(10)), Stopped)
    assert [bundle.message_id for bundle in queues.kept["CP_1"].bundles()] == [future.message_id]
    server.listen(host="127.0.0.1")
    assert join(server, raw_client).receive()[1] == future.message_id


def test_a_client_that_is_not_connected_is_unknown_all_the_same(server, raw_client):
    with pytest.raises(UnknownClient):
        server.send_request("CP_1", RESET)


def test_stored_requests_that_cannot_be_read_close_the_connection(make_server, raw_client):
    class Broken(DurableMap):
        def get_or_create(self, client_id):
            raise UsageError("row 7 makes no sense")

    server = make_server(queues=Broken())
    raw = raw_client(server.url)
    assert raw.wait_closed().code == 1011
    eventually(lambda: server.client_ids() == [])


def test_by_default_a_client_may_have_a_thousand_requests_waiting(make_server, raw_client):
    server = make_server()
    raw = join(server, raw_client)
    futures = [server.send_request("CP_1", RESET) for _ in range(1000)]
    with pytest.raises(QueueFull):
        server.send_request("CP_1", RESET)
    raw.send([3, raw.receive()[1], {"status": "Accepted"}])
    assert futures[0].result(seconds(10)) == RESET_DONE
    server.send_request("CP_1", RESET)


def test_a_dispatcher_of_ones_own_is_given_its_queues_itself():
    from ocppj import DefaultServerDispatcher

    with pytest.raises(UsageError, match="dispatcher"):
        Server(profiles=v16.PROFILES, dispatcher=DefaultServerDispatcher(), queues=FIFOQueueMap())


# What was refused


def test_what_is_refused_on_the_level_of_ocpp_is_counted(make_server, raw_client):
    server = make_server(queues=FIFOQueueMap(1), max_bad_messages=3, max_waiting_calls=1, max_depth=4)
    blocked, going = threading.Event(), threading.Event()

    @server.on(v16.HeartbeatRequest)
    def wait(client_id, request):
        going.set()
        blocked.wait(seconds(10))
        return BEAT

    raw = join(server, raw_client)
    try:
        raw.send([2, "1", "Heartbeat", {}])
        assert going.wait(seconds(10))
        assert raw.ask([2, "2", "Heartbeat", {}])[:3] == [4, "2", "GenericError"]
        server.send_request("CP_1", RESET)
        with pytest.raises(QueueFull):
            server.send_request("CP_1", RESET)
        for text in ("[" * 5 + "]" * 5, "no JSON", "{}"):
            raw.send(text)
        assert raw.receive()[2] == "Reset"
        assert raw.wait_closed().code == 1002
    finally:
        blocked.set()
    refused = eventually(lambda: server.stats().refused if server.stats().connections == 0 else None)
    assert refused == {"waiting_calls": 1, "queue_full": 1, "nesting_depth": 1, "bad_messages": 1}
    assert server.stats().closed == {"by_us": 1}


def test_a_depth_that_is_allowed_is_no_fault(make_server, raw_client):
    server = make_server(max_depth=None)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    raw = join(server, raw_client)
    deep = "[" * 40 + "]" * 40
    assert raw.ask(f'[2, "1", "Heartbeat", {deep}]')[:3] == [4, "1", "FormationViolation"]
    assert server.stats().refused == {}


def test_a_transport_that_counts_nothing_is_enough(make_server, raw_client, transport):
    ws = transport.server()

    class Plain:
        """A transport without the newer methods."""

        def __getattr__(self, name):
            if name in ("count_refusal", "stats", "set_basic_auth_handler"):
                raise AttributeError(name)
            return getattr(ws, name)

    server = make_server(ws_server=Plain(), queues=FIFOQueueMap(1))
    join(server, raw_client)
    server.send_request("CP_1", RESET)
    with pytest.raises(QueueFull):
        server.send_request("CP_1", RESET)
    with pytest.raises(UsageError, match="stats"):
        server.stats()
    with pytest.raises(UsageError, match="set_basic_auth_handler"):
        server.set_basic_auth_handler(lambda client_id, password: True)


def test_a_connection_whose_reader_is_held_up_loses_its_requests_to_the_newer_one(hasty, raw_client, durable):
    """An observer does not return, and the transport goes on without it: its requests end, and hold up no others."""
    canceled, entered, go = Recorder(), threading.Event(), threading.Event()
    hasty.set_canceled_request_handler(lambda client_id, message_id, request, error: canceled(message_id))
    first = join(hasty, raw_client)
    futures = [hasty.send_request("CP_1", RESET) for _ in range(2)]
    assert first.receive()[1] == futures[0].message_id

    def observe(frame):
        if frame.direction == "in" and not entered.is_set():
            entered.set()
            assert go.wait(seconds(10))

    hasty.add_observer(observe)
    first.send([2, "1", "Heartbeat", {}])
    assert entered.wait(seconds(10))
    try:
        second = raw_client(hasty.url)
        if durable:  # they are sent again, to who is there now
            for future in futures:
                second.send([3, second.receive()[1], {"status": "Accepted"}])
                assert future.result(seconds(5)) == RESET_DONE
            assert canceled.calls == []
        else:
            for future in futures:
                assert isinstance(future.exception(seconds(5)), ConnectionLost)
            assert canceled.wait(2) == [(future.message_id,) for future in futures]
            future = hasty.send_request("CP_1", RESET)
            second.send([3, second.receive()[1], {"status": "Accepted"}])
            assert future.result(seconds(5)) == RESET_DONE
    finally:
        go.set()
    eventually(lambda: len(connections(hasty)) == 1 and not untold(hasty))
    assert hasty.client_ids() == ["CP_1"], "the late end of the first changes nothing"
    assert len(canceled.calls) == (0 if durable else 2)


def test_who_is_back_is_told_of_after_his_leaving_though_a_handler_is_busy(make_server, raw_client, caplog):
    server, told = make_server(), Recorder()
    entered, go, seen = threading.Event(), threading.Event(), Recorder()

    @server.on(v16.HeartbeatRequest)
    def heartbeat(client_id, request):
        entered.set()
        assert go.wait(seconds(10))
        return BEAT

    server.set_new_client_handler(lambda client_id: told("new"))
    server.set_disconnected_client_handler(lambda client_id: told("gone"))
    server.add_observer(lambda frame: seen(frame.text) if "ClearCache" in frame.text else None)
    first = join(server, raw_client)
    first.send([2, "1", "Heartbeat", {}])
    assert entered.wait(seconds(10))
    leave(server, first)
    second = join(server, raw_client)
    second.send([2, "2", "ClearCache", {}])
    seen.wait(1)
    assert told.calls == [("new",)]
    assert second.nothing_came(), "requests are handled after the new-client handler"
    go.set()
    assert told.wait(3) == [("new",), ("gone",), ("new",)]
    assert second.receive()[:2] == [4, "2"]
    assert "does not end" not in caplog.text, "it was waited for no longer than needed"
    eventually(lambda: not untold(server))


def test_an_identity_that_the_version_does_not_allow_is_closed_and_never_told_of(transport, make_server, cleanup):
    server, told = make_server(profiles=v201.PROFILES), Recorder()
    server.set_new_client_handler(told)
    raw = RawClient(transport, server.url, "CP:1", ["ocpp2.0.1"])
    cleanup.append(raw.stop)
    close = raw.wait_closed()
    assert (close.code, close.reason, close.by_peer) == (1008, "the identity is not allowed", True)
    assert (server.client_ids(), told.calls) == ([], [])


def test_a_connection_whose_end_is_told_slowly_takes_nothing_from_the_newer_one(hasty, raw_client):
    """A canceled-request handler does not return, and the transport goes on without it."""
    entered, go, outcomes = threading.Event(), threading.Event(), Recorder()

    @hasty.set_canceled_request_handler
    def canceled(client_id, message_id, request, error):
        entered.set()
        assert go.wait(seconds(10))

    def call():
        try:
            hasty.call("CP_1", RESET)
        except ConnectionLost as error:
            outcomes(error)

    first = join(hasty, raw_client)
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert first.receive()[2] == "Reset"
    first.stop()
    assert entered.wait(seconds(10))
    try:
        second = join(hasty, raw_client)
    finally:
        go.set()
    outcomes.wait()
    thread.join(seconds(10))
    eventually(lambda: not untold(hasty))
    future = hasty.send_request("CP_1", RESET)
    second.send([3, second.receive()[1], {"status": "Accepted"}])
    assert future.result(seconds(5)) == RESET_DONE


class LateToDelete(DefaultServerDispatcher):
    """Deletes a client when the test lets it."""

    def __init__(self, queues):
        super().__init__(queues)
        self.entered, self.go, self.deleted = threading.Event(), threading.Event(), threading.Event()

    def delete_client(self, client_id):
        self.entered.set()
        assert self.go.wait(seconds(10))
        super().delete_client(client_id)
        self.deleted.set()


def test_a_newer_connection_that_was_deleted_with_the_older_one_takes_requests_again(
    make_hasty, raw_client, own_queues
):
    """It came when the end of the older one had begun to be told, and the dispatcher had not heard of it yet."""
    dispatcher = LateToDelete(own_queues)
    server = make_hasty(dispatcher=dispatcher)
    join(server, raw_client).stop()
    assert dispatcher.entered.wait(seconds(10))
    try:
        second = join(server, raw_client)
    finally:
        dispatcher.go.set()
    assert dispatcher.deleted.wait(seconds(10))
    eventually(lambda: not untold(server))
    future = server.send_request("CP_1", RESET)
    second.send([3, second.receive()[1], {"status": "Accepted"}])
    assert future.result(seconds(5)) == RESET_DONE


def test_a_disconnect_for_which_no_thread_can_be_started_cuts_the_connection(monkeypatch, caplog):
    """A thread would wait for the Close of the peer. Without one the connection would stay for ever."""

    def start(self):
        raise RuntimeError("can't start new thread")

    server, gone = Server(profiles=v16.PROFILES, readers="per-connection"), Recorder()
    server.set_disconnected_client_handler(gone)
    with server.listen(host="127.0.0.1"), Client("CP_1", profiles=v16.PROFILES, reconnect=False) as client:
        client.connect(server.url)
        eventually(server.client_ids)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Timer, "start", start)
            server.disconnect("CP_1")
        gone.wait()
    assert "it is cut, since no thread can wait for the end of its closing" in caplog.text
