"""A frame that the peer answers with a Close: it is not sent for ever, and what waits behind it goes on."""

import json
import threading

import pytest

from ocppj import Client, ConnectionLost, Server, SQLiteQueue, SQLiteQueueMap, v16
from ocppj.clock import ManualClock
from ocppj.ws.backoff import Backoff
from tests.faults.traffic import data, done, quick_backoff
from tests.fixtures import cleanup  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, RawServer, Sockets

POISON = "poison"


class Refusing(RawServer):
    """A central system that closes with ``code`` at a CALL with the data ``poison``, and answers all others.

    Just before, it sends a CALL of its own, if it is ``chatty``: so something comes between the frame and the Close.
    While ``begin`` is not set, it reads nothing.
    """

    def __init__(self, code, chatty=False):
        self.arrived, self.code, self.chatty = [], code, chatty
        self.begin = threading.Event()
        self.begin.set()
        super().__init__(Sockets())

    def _take(self, channel, text):
        assert self.begin.wait(seconds(10))
        message_type, message_id, *rest = json.loads(text)
        if message_type != 2:
            return
        self.arrived.append(rest[1].get("data", rest[0]))
        if self.arrived[-1] != POISON:
            channel.send(json.dumps([3, message_id, {"status": "Accepted"}]))
            return
        if self.chatty:
            channel.send('[2,"1","ClearCache",{}]')
        channel.close(self.code, "refused")


@pytest.fixture
def make_peer(cleanup):
    def make(*arguments, **options):
        peer = Refusing(*arguments, **options)
        cleanup.append(peer.stop)
        return peer

    return make


@pytest.fixture
def make_client(cleanup):
    def make(url, **options):
        options.setdefault("backoff", quick_backoff())
        options.setdefault("boot_first", False)
        client = Client("CP_1", profiles=v16.PROFILES, timeout=seconds(60), **options)
        cleanup.append(client.stop)
        return client.connect(url)

    return make


@pytest.mark.parametrize("code", [1002, 1007, 1008, 1009])
def test_a_stored_request_that_is_refused_by_close_is_set_aside(code, make_peer, make_client, tmp_path, caplog):
    peer, queue = make_peer(code), SQLiteQueue(tmp_path / "requests.db")
    client = make_client(peer.url, queue=queue)
    poison, behind = client.send_request(data(POISON)), client.send_request(data("behind"))
    assert behind.result(seconds(30)).status == "Accepted"
    error = poison.exception(seconds(10))
    assert isinstance(error, ConnectionLost)
    assert "the peer closed 3 connections because of it" in str(error)
    assert peer.arrived == [POISON] * 3 + ["behind"]
    [aside] = queue.list_set_aside()
    assert (aside.message_id, aside.action) == (poison.message_id, "DataTransfer")
    assert f"closed by the peer with {code} (refused)" in aside.reason
    assert f"request {poison.message_id!r} (DataTransfer) is set aside" in caplog.text


@pytest.mark.parametrize("max_refusals", [1, 2])
def test_max_refusals_says_how_often(max_refusals, make_peer, make_client, tmp_path):
    peer, queue = make_peer(1009), SQLiteQueue(tmp_path / "requests.db")
    client = make_client(peer.url, queue=queue, max_refusals=max_refusals)
    behind = [client.send_request(data(text)) for text in (POISON, "behind")][1]
    assert behind.result(seconds(30)).status == "Accepted"
    assert peer.arrived == [POISON] * max_refusals + ["behind"]


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
def test_other_closes_do_not_refuse_the_request(code, make_peer, make_client, tmp_path):
    peer, queue = make_peer(code), SQLiteQueue(tmp_path / "requests.db")
    client = make_client(peer.url, queue=queue, max_refusals=1)
    poison = client.send_request(data(POISON))
    eventually(lambda: len(peer.arrived) > 3)
    assert not poison.done()
    assert queue.list_set_aside() == []


@pytest.mark.parametrize(("code", "counts"), [(1009, True), (1007, True), (1008, False), (1002, False)])
def test_what_comes_between_may_be_what_the_peer_means(code, counts, make_peer, make_client, tmp_path):
    """1009 and 1007 are about a frame. The other two may be about the connection: then the request is kept."""
    peer, queue = make_peer(code, chatty=True), SQLiteQueue(tmp_path / "requests.db")
    client = make_client(peer.url, queue=queue, max_refusals=3)
    behind = [client.send_request(data(text)) for text in (POISON, "behind")][1]
    if counts:
        assert behind.result(seconds(30)).status == "Accepted"
    else:
        eventually(lambda: peer.arrived.count(POISON) > 5)
        assert set(peer.arrived) == {POISON}
        assert queue.list_set_aside() == []


def test_the_count_outlives_a_session(make_peer, make_client, tmp_path):
    """A program may connect anew itself after each loss."""
    peer, queue = make_peer(1009), SQLiteQueue(tmp_path / "requests.db")
    peer.begin.clear()
    client = make_client(peer.url, queue=queue, reconnect=False)
    for text in (POISON, "behind"):
        client.send_request(data(text))
    peer.begin.set()
    for count in (1, 2, 3):
        eventually(lambda count=count: len(peer.arrived) == count)
        eventually(lambda: not client.is_connected())
        client.stop()
        client.connect(peer.url)
    eventually(lambda: peer.arrived == [POISON] * 3 + ["behind"])
    assert [each.action for each in queue.list_set_aside()] == ["DataTransfer"]


def test_a_stored_command_that_is_refused_by_close_is_set_aside(cleanup, tmp_path):
    queues = SQLiteQueueMap(tmp_path / "commands.db")
    server = Server(profiles=v16.PROFILES, queues=queues, timeout=seconds(60))
    cleanup.append(server.stop)
    left = Recorder()
    server.set_disconnected_client_handler(left)
    server.listen(host="127.0.0.1")
    arrived, first, begin = [], [], threading.Event()

    def take(channel, text):
        assert begin.wait(seconds(10)), "both are queued before the first is read"
        _, message_id, _, payload = json.loads(text)
        arrived.append(payload["data"])
        if payload["data"] == POISON:
            channel.close(1009, "too big")
        else:
            channel.send(json.dumps([3, message_id, {"status": "Accepted"}]))

    class Point(RawClient):
        def _take(self, channel, text):
            take(channel, text)

    for count in range(1, 4):
        cleanup.append(Point(Sockets(), server.url).stop)
        if not first:
            first.extend(server.send_request("CP_1", data(text)) for text in (POISON, "behind"))
            begin.set()
        left.wait(count)
    cleanup.append(Point(Sockets(), server.url).stop)
    poison, behind = first
    assert behind.result(seconds(20)).status == "Accepted"
    assert "the peer closed 3 connections because of it" in str(poison.exception(seconds(10)))
    assert arrived == [POISON] * 3 + ["behind"]
    assert [each.message_id for each in queues.list_set_aside()] == [poison.message_id]


@pytest.mark.parametrize("repeat_answers", [0, 10])
def test_an_answer_that_ends_connections_is_not_given_for_ever(repeat_answers, cleanup, caplog):
    """The peer repeats its CALL over each connection, with its id. After three it gets InternalError."""
    server = Server(profiles=v16.PROFILES, repeat_answers=repeat_answers)
    cleanup.append(server.stop)
    server.on(v16.DataTransferRequest)(lambda client_id, request: done("x" * 2000))
    server.listen(host="127.0.0.1")
    answers = []
    for _ in range(4):
        with RawClient(Sockets(), server.url) as raw:
            raw.send([2, "1", "DataTransfer", {"vendorId": "V"}])
            answers.append(raw.receive()[0])
            if answers[-1] == 4:
                break
            raw.ws.stop(1009)
            eventually(lambda: server.client_ids() == [])
    assert answers == [3, 3, 3, 4]
    assert "its answer has ended several connections" in caplog.text


def test_an_answer_that_was_taken_is_given_again(cleanup):
    server = Server(profiles=v16.PROFILES, repeat_answers=10)
    cleanup.append(server.stop)
    server.on(v16.DataTransferRequest)(lambda client_id, request: done("x"))
    server.listen(host="127.0.0.1")
    for _ in range(5):
        with RawClient(Sockets(), server.url) as raw:
            raw.send([2, "1", "DataTransfer", {"vendorId": "V"}])
            assert raw.receive()[0] == 3
            raw.send([2, "2", "DataTransfer", {"vendorId": "V"}])  # a frame after the answer: it was taken
            assert raw.receive()[1] == "2"
            raw.send([3, "3", {}])
            raw.ws.stop(1000)
            eventually(lambda: server.client_ids() == [])


# The back-off


class Waits(ManualClock):
    """Waits no time, and notes for how long it should have."""

    def __init__(self, most):
        super().__init__()
        self.noted, self._most, self.enough = [], most, threading.Event()

    def wait(self, event, timeout=None):
        if len(self.noted) == self._most:
            self.enough.set()
            return super().wait(event, timeout)
        self.noted.append(timeout)
        return event.is_set()


def test_a_handshake_alone_does_not_begin_the_waits_anew(make_peer, make_client, tmp_path):
    """Each connection is made, and closed at the first frame: the waits grow."""
    clock, peer = Waits(4), make_peer(1011)
    client = make_client(peer.url, queue=SQLiteQueue(tmp_path / "requests.db"), clock=clock, backoff=Backoff(1, 0, 3))
    client.send_request(data(POISON))
    assert clock.enough.wait(seconds(20))
    assert clock.noted == [1, 2, 4, 8]


def test_an_answer_does(make_peer, make_client, tmp_path):
    clock, peer = Waits(4), make_peer(1011)
    client = make_client(peer.url, queue=SQLiteQueue(tmp_path / "requests.db"), clock=clock, backoff=Backoff(1, 0, 3))
    for count in range(1, 5):
        assert client.send_request(data("fine")).result(seconds(10)).status == "Accepted"
        peer.channel.abort()
        eventually(lambda count=count: len(clock.noted) == count)
        eventually(client.is_connected)
    assert clock.noted == [1, 1, 1, 1]


def test_so_does_a_connection_that_has_lasted(make_peer, make_client):
    clock, peer, closes = Waits(3), make_peer(1011), Recorder()
    client = make_client(peer.url, clock=clock, backoff=Backoff(1, 0, 3))
    client.set_disconnected_handler(closes)
    for count, lasts in enumerate((29, 29, 31), 1):
        peer.wait_connected()
        eventually(client.is_connected)
        clock.advance(lasts)
        peer.channel.abort()
        eventually(lambda count=count: len(clock.noted) == count)
    assert clock.noted == [1, 2, 1]
