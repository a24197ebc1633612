"""Links that never hold, and requests that break them: what is awaited ends in the end, and nobody waits for ever.

A *poison* request is one at whose receipt the peer closes the connection, or crashes.
"""

import json
import threading

import pytest

from ocppj import Client, ConnectionLost, Server, SQLiteQueue, SQLiteQueueMap, v16
from tests.faults.traffic import data, done, quick_backoff
from tests.fixtures import cleanup  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, RawServer, Sockets

POISON = "poison"


class Flapping(RawServer):
    """Answers DataTransfer, and cuts the connection at ``poison``; while it is ``cutting``, at anything."""

    def __init__(self):
        self.arrived, self.cutting, self.cuts = [], False, 0
        super().__init__(Sockets())

    def cut(self):
        if self.cutting:
            self.cuts += 1
            self.channel.abort()

    def _take(self, channel, text):
        _, message_id, _, payload = json.loads(text)
        self.arrived.append(payload["data"])
        if self.cutting or payload["data"] == POISON:
            self.cuts += 1
            channel.abort()
        else:
            channel.send(json.dumps([3, message_id, {"status": "Accepted", "data": payload["data"]}]))


@pytest.fixture
def flapping(cleanup):
    server = Flapping()
    cleanup.append(server.stop)
    return server


@pytest.fixture
def make_client(cleanup):
    def make(url, **options):
        client = Client("CP_1", profiles=v16.PROFILES, timeout=seconds(60), backoff=quick_backoff(), **options)
        cleanup.append(client.stop)
        return client.connect(url)

    return make


def lost(future):
    """Return the story that ``future`` ended with."""
    error = future.exception(seconds(20))
    assert isinstance(error, ConnectionLost)
    return str(error)


def test_on_a_link_that_never_holds_the_one_that_is_awaited_ends_and_the_rest_is_sent(flapping, make_client):
    """It was sent once. Without a bound a hundred connections would go by, and nothing else ever be sent."""
    client = make_client(flapping.url)
    client.set_reconnected_handler(flapping.cut)
    flapping.cutting = True
    first, second = client.send_request(data("1")), client.send_request(data("2"))
    assert "5 connections in a row" in lost(first)
    flapping.cutting = False
    assert second.result(seconds(20)).data == "2"
    assert flapping.arrived[0] == "1"
    assert flapping.arrived.count("1") == 1


@pytest.mark.parametrize("resend", [False, True])
def test_a_poison_request_is_sent_so_often_and_no_more(flapping, make_client, resend):
    client = make_client(flapping.url, resend=resend, max_losses=3)
    canceled = Recorder()
    client.set_canceled_request_handler(canceled)
    poison, behind = client.send_request(data(POISON)), client.send_request(data("behind"))
    if resend:
        assert "3 connections in a row" in lost(poison)
        assert behind.result(seconds(20)).data == "behind"
        assert flapping.arrived == [POISON] * 3 + ["behind"]
        assert [call[0] for call in canceled.wait()] == [poison.message_id]
    else:  # what it broke comes back, and holds: the answer may come yet
        flapping.wait_connected()
        flapping.wait_connected()
        eventually(client.is_connected)
        assert not poison.done()
        assert poison.cancel()
        assert behind.result(seconds(20)).data == "behind"
    assert len(canceled.calls) == 1


def test_a_request_that_is_too_big_for_the_peer_is_one(make_client, cleanup):
    server = Server(profiles=v16.PROFILES, max_message_size=1000)
    cleanup.append(server.stop)
    server.on(v16.DataTransferRequest)(lambda client_id, request: done(request.data))
    server.listen(host="127.0.0.1")
    client = make_client(server.url, resend=True)
    closes = Recorder()
    client.set_disconnected_handler(closes)
    big, behind = client.send_request(data("x" * 5000)), client.send_request(data("behind"))
    assert "the peer closed 3 connections because of it; the last was closed by the peer with 1009" in lost(big)
    assert behind.result(seconds(20)).data == "behind"
    assert [call[0].code for call in closes.wait(3)] == [1009] * 3


def test_what_waits_in_a_clients_file_outlives_a_gateway_that_drops_all(flapping, make_client, tmp_path, caplog):
    client = make_client(flapping.url, boot_first=False, queue=SQLiteQueue(tmp_path / "requests.db"))
    flapping.cutting = True
    futures = [client.send_request(data(str(n))) for n in range(3)]
    eventually(lambda: flapping.cuts > 25, 60)
    flapping.cutting = False
    assert [future.result(seconds(20)).data for future in futures] == ["0", "1", "2"]
    assert list(dict.fromkeys(flapping.arrived)) == ["0", "1", "2"]
    assert "set aside" not in caplog.text


def test_unless_it_is_told_how_often(flapping, make_client, tmp_path, caplog):
    client = make_client(flapping.url, boot_first=False, queue=SQLiteQueue(tmp_path / "requests.db"), max_losses=2)
    poison, behind = client.send_request(data(POISON)), client.send_request(data("behind"))
    assert "2 connections in a row" in lost(poison)
    assert behind.result(seconds(20)).data == "behind"
    assert flapping.arrived == [POISON, POISON, "behind"]
    assert f"request {poison.message_id!r} (DataTransfer) is set aside" in caplog.text


class Crashing:
    """A charge point that is gone when it gets a poison command, and comes back, until it is stopped."""

    def __init__(self, url):
        self.url, self.arrived = url, []
        self.begin, self.over = threading.Event(), threading.Event()  # begin to act on commands; end
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            with RawClient(Sockets(), self.url) as raw:
                while not self.over.is_set() and not raw.closed.is_set():
                    if raw.nothing_came() or not self.begin.is_set():
                        raw.closed.wait(0.005)
                        continue
                    _, message_id, _, payload = raw.receive()
                    self.arrived.append(payload["data"])
                    if payload["data"] == POISON:
                        break
                    raw.send([3, message_id, {"status": "Accepted"}])

    def stop(self):
        self.over.set()
        self.thread.join(seconds(10))
        assert not self.thread.is_alive()


@pytest.mark.timeout(seconds(90))
@pytest.mark.parametrize("max_losses", [None, 4])
def test_a_stored_command_that_crashes_a_charge_point_is_no_reboot_loop(tmp_path, cleanup, caplog, max_losses):
    queues = SQLiteQueueMap(tmp_path / "commands.db")
    server = Server(profiles=v16.PROFILES, queues=queues, max_losses=max_losses, timeout=seconds(60))
    cleanup.append(server.stop)
    canceled, there = Recorder(), Recorder()
    server.set_canceled_request_handler(canceled)
    server.set_new_client_handler(there)
    server.listen(host="127.0.0.1")
    point = Crashing(server.url)
    cleanup.append(point.stop)
    there.wait()
    poison, behind = [server.send_request("CP_1", data(text)) for text in (POISON, "behind")]
    point.begin.set()  # both are queued: a server takes no requests to a client that is away
    reboots = max_losses or 20
    assert f"{reboots} connections in a row" in lost(poison)
    assert behind.result(seconds(20)).status == "Accepted"
    assert point.arrived == [POISON] * reboots + ["behind"]
    assert [call[:2] for call in canceled.calls] == [("CP_1", poison.message_id)]
    assert f"request {poison.message_id!r} (DataTransfer) is set aside" in caplog.text
