"""A server's connections: what becomes of the requests to a client that has gone, and is back."""

import threading

import pytest

from ocppj import ConnectionLost, FIFOQueueMap, QueueFull, Server, Stopped, UnknownClient, UsageError, v16
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
from tests.test_retries import Durable


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
