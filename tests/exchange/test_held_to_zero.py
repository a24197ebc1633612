"""However a CALL ends, nothing of it stays in the account of what a server holds."""

import threading

import pytest

from ocppj import ManualClock, OCPPError, UnknownClient, v16
from ocppj.budget import LARGE
from tests.fixtures import BEAT, cleanup, make_server, raw_client, transport  # noqa: F401
from tests.helpers import Recorder, eventually, seconds

DONE = v16.DataTransferResponse(status="Accepted")
BIG = LARGE + 100


def transfer(number, size=BIG):
    return [2, str(number), "DataTransfer", {"vendorId": "V", "data": "x" * size}]


def held(server):
    return server.stats().held


class Site:
    """A server whose handler of DataTransfers waits in the first one, and then does what ``end`` says."""

    def __init__(self, make_server, raw_client, readers, **options):
        self.clock = ManualClock()
        options = {"clock": self.clock, "answer_timeout": 60, "max_waiting_bytes": 3 * BIG, **options}
        self.server = make_server(ws={"readers": readers, "close_timeout": seconds(5)}, **options)
        self.entered, self.open, self.seen = threading.Event(), threading.Event(), Recorder()
        self.end = lambda: DONE
        self.server.on(v16.DataTransferRequest, pass_id=True)(self.handle)
        self.new_client = lambda name="CP_1": raw_client(self.server.url, name)
        self.raw = self.new_client()
        self.raw.send(transfer(0))
        assert self.entered.wait(seconds(10))

    def handle(self, client_id, request, message_id):
        self.seen(message_id)
        self.entered.set()
        assert self.open.wait(seconds(30))
        return self.end()

    def fill(self, count=8):
        """Send many, so that the connection is paused with more than three of them."""
        for number in range(1, count + 1):
            self.raw.send(transfer(number))
        eventually(lambda: held(self.server).get("waiting", 0) > min(3, count) * BIG)
        assert held(self.server)["handled"] > BIG


def answered(site):
    site.open.set()
    assert set(site.raw.receive_by_id(*map(str, range(9)))) == set("012345678")


def raised(site):
    def end():
        raise ValueError("wrong")

    site.end = end
    answered(site)


def refused(site):
    def end():
        raise OCPPError("GenericError", "no")

    site.end = end
    answered(site)


def exited(site):
    site.end = lambda: exec("raise SystemExit")
    answered(site)


def useless(site):
    site.end = lambda: "no response"
    answered(site)


def unmade(site):
    site.end = lambda: v16.DataTransferResponse(status="?")
    answered(site)


def later(site):
    site.end = lambda: None
    site.open.set()
    for number in range(9):
        site.seen.wait(number + 1)
        eventually(lambda: held(site.server).get("handled", 0) <= 2 * BIG)
        site.server.send_response("CP_1", str(number), DONE)
    assert len(site.raw.receive_by_id(*map(str, range(9)))) == 9


def later_and_lost(site):
    site.end = lambda: None
    site.open.set()
    site.seen.wait(2)
    site.raw.stop()
    eventually(lambda: site.server.client_ids() == [])
    eventually(lambda: "handled" not in held(site.server))
    for number in range(3):
        with pytest.raises(UnknownClient):
            site.server.send_response("CP_1", str(number), DONE)


def expired(site):
    for _ in range(12):
        site.clock.advance(15)
    site.open.set()
    assert len(site.raw.receive_by_id(*map(str, range(9)))) == 9


def lost(site):
    site.raw.stop()
    site.open.set()


def disconnected(site):
    site.server.disconnect("CP_1")
    site.raw.wait_closed()
    site.open.set()


def stopped(site):
    threading.Timer(0.2, site.open.set).start()
    site.server.stop()
    assert held(site.server) == {}


def stopped_over_a_handler(site):
    site.server.stop()
    assert held(site.server) == {}, "though the handler still runs"
    site.open.set()


def repeated(site):
    for number in range(3):
        site.raw.send(transfer(number))
    site.raw.send([2, "last", "Heartbeat", {"unknown": 1}])
    assert site.raw.receive()[:2] == [4, "last"]
    site.open.set()
    assert set(site.raw.receive_by_id("0", "1", "2")) == {"0", "1", "2"}


def joined(site):
    newer = site.new_client()  # the one before is closed
    for number in range(3):
        newer.send(transfer(number))
    newer.send([2, "last", "Heartbeat", {"unknown": 1}])
    assert newer.receive()[:2] == [4, "last"]
    site.open.set()
    assert set(newer.receive_by_id("0", "1", "2")) == {"0", "1", "2"}


ENDS = [
    answered, raised, refused, exited, useless, unmade, later, later_and_lost, expired, lost, disconnected, stopped,
    repeated, joined,
]  # fmt: skip


@pytest.mark.parametrize("readers", ["per-connection", "shared"])
@pytest.mark.parametrize("end", ENDS)
def test_nothing_stays_in_the_account(make_server, raw_client, cleanup, readers, end):
    site = Site(make_server, raw_client, readers)
    cleanup.append(site.open.set)
    site.fill(2 if end in (joined, repeated, later_and_lost) else 8)
    end(site)
    eventually(lambda: held(site.server) == {})


def test_a_handler_that_outlives_the_stop_counts_no_more(make_server, raw_client, cleanup):
    site = Site(make_server, raw_client, "shared")
    cleanup.append(site.open.set)
    site.fill()
    stopped_over_a_handler(site)
    assert held(site.server) == {}


# What is handled


def test_a_large_call_counts_while_it_is_handled_and_a_small_one_does_not(make_server, raw_client):
    server = make_server()
    seen = Recorder(DONE)
    server.on(v16.DataTransferRequest)(lambda client_id, request: seen(dict(held(server))))
    raw = raw_client(server.url)
    assert raw.ask(transfer(1))[0] == raw.ask(transfer(2, 1000))[0] == 3
    eventually(lambda: held(server) == {})
    (large,), (small,) = seen.calls
    assert small == {}
    assert list(large) == ["handled"]
    assert BIG < large["handled"] < BIG + 5000


def test_the_objects_count_not_the_text(make_server, raw_client):
    server = make_server()
    seen = Recorder(v16.MeterValuesResponse())
    server.on(v16.MeterValuesRequest)(lambda client_id, request: seen(held(server)["handled"]))
    raw = raw_client(server.url)
    value = {"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "1"}]}
    assert raw.ask([2, "1", "MeterValues", {"connectorId": 1, "meterValue": [value] * 2000}])[0] == 3
    ((size,),) = seen.calls
    assert size > 2000 * 5 * 250, "five values in each"


@pytest.mark.parametrize("readers", ["per-connection", "shared"])
def test_beyond_the_memory_of_the_server_no_large_call_is_handled(make_server, raw_client, cleanup, readers):
    server = make_server(ws={"readers": readers, "max_memory_bytes": 3 * BIG})
    entered, opened = Recorder(), threading.Event()
    cleanup.append(opened.set)

    @server.on(v16.DataTransferRequest)
    def handle(client_id, request):
        entered(client_id)
        assert opened.wait(seconds(30))
        return DONE

    quiet = raw_client(server.url, "quiet")
    clients = [raw_client(server.url, f"CP_{number}") for number in range(3)]
    for number, client in enumerate(clients[:2]):
        client.send(transfer(1))
        entered.wait(number + 1)
    clients[2].send(transfer(1))
    assert clients[2].wait_closed().code == 1013
    eventually(lambda: server.stats().refused == {"memory": 1})
    quiet.send(transfer(1, 10))
    assert entered.wait(3)[2] == ("quiet",), "a small one is handled"
    opened.set()
    for client in (*clients[:2], quiet):
        assert client.receive()[0] == 3
    eventually(lambda: held(server) == {})


@pytest.mark.parametrize("readers", ["per-connection", "shared"])
def test_a_large_call_whose_turn_comes_when_too_much_is_held_ends_its_connection(
    make_server, raw_client, cleanup, readers
):
    value = {"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "1"}]}
    many = [2, "many", "MeterValues", {"connectorId": 1, "meterValue": [value] * 1000}]
    server = make_server(ws={"readers": readers, "max_memory_bytes": 1_000_000}, answer_timeout=None)
    entered, opened, metered = Recorder(), threading.Event(), Recorder(v16.MeterValuesResponse())
    cleanup.append(opened.set)
    server.on(v16.MeterValuesRequest)(metered)

    @server.on(v16.DataTransferRequest)
    def handle(client_id, request):
        entered(client_id)
        assert opened.wait(seconds(30))
        return DONE

    raw = raw_client(server.url)
    raw.send(transfer(0, 10))
    entered.wait()
    raw.send(many)
    raw.send([*many[:1], "more", *many[2:]])
    raw.send([2, "last", "Heartbeat", {"unknown": 1}])
    assert raw.receive()[:2] == [4, "last"]
    opened.set()
    assert raw.receive()[:2] == [3, "0"]
    assert raw.wait_closed().code == 1013
    assert server.stats().refused == {"memory": 1}
    assert metered.calls == []
    eventually(lambda: held(server) == {})


def test_calls_that_were_left_unanswered_are_forgotten_when_they_take_too_much(
    make_server, raw_client, monkeypatch, cleanup
):
    """Each time the client connects it leaves a CALL whose answer is to come later, and goes."""
    monkeypatch.setattr("ocppj.exchange.repeats._MOST_LEFT_BYTES", 3 * BIG)
    server = make_server()
    seen = Recorder(None)
    server.on(v16.DataTransferRequest, pass_id=True)(lambda client_id, request, message_id: seen(message_id))
    for number in range(10):
        raw = raw_client(server.url)
        raw.send(transfer(number))
        seen.wait(number + 1)
        eventually(lambda: "handled" not in held(server))
        raw.stop()
        eventually(lambda: server.client_ids() == [])
        assert held(server).get("waiting", 0) < 4 * BIG
    raw = raw_client(server.url)
    raw.send(transfer(9))  # the last one is known still: it joins the first copy
    raw.send(transfer(0))
    seen.wait(11)
    server.send_response("CP_1", "9", DONE)
    server.send_response("CP_1", "0", DONE)
    assert set(raw.receive_by_id("9", "0")) == {"9", "0"}
    assert [each for (each,) in seen.calls] == [*map(str, range(10)), "0"]
    server.stop()
    assert held(server) == {}
