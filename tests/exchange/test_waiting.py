"""CALLs that wait: kept as text, weighed, and bounded in bytes, on client and server, over both transports."""

import gc
import json
import threading
import zlib

import pytest

from ocppj import Server, v16
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    cleanup,
    make_client,
    make_server,
    make_side,
    raw_client,
    raw_server,
    side_of,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import RawClient as TcpClient
from tests.ws.support import frame

READERS = ["per-connection", "shared"]
DONE = v16.DataTransferResponse(status="Accepted")


class Gate:
    """A handler of DataTransfers that waits until the gate is open."""

    def __init__(self, endpoint, request_type=v16.DataTransferRequest, response=DONE):
        self.open, self.entered = threading.Event(), threading.Event()
        self.data = []
        self._response = response
        endpoint.on(request_type)(self.handle)

    def handle(self, *arguments):
        self.entered.set()
        assert self.open.wait(seconds(30))
        self.data.append(arguments[-1].data)
        return self._response


def transfer(number, size=10):
    return [2, str(number), "DataTransfer", {"vendorId": "V", "data": str(number) * size}]


def alive(kind, others=()):
    """Return how many objects of the class ``kind`` there are, besides ``others``."""
    gc.collect()
    return sum(type(each) is kind and not any(each is other for other in others) for each in gc.get_objects())


@pytest.fixture
def others():
    """The requests that other tests have left."""
    gc.collect()
    return [each for each in gc.get_objects() if type(each) is v16.DataTransferRequest]


def held(endpoint):
    return endpoint.stats().held


@pytest.fixture(params=READERS)
def gated(request, make_side, cleanup):
    """Make a side whose handler of DataTransfers waits, and is at the first of them."""

    def make(**options):
        side = make_side(ws={"readers": request.param}, **options)
        gate = Gate(side.endpoint)
        cleanup.append(gate.open.set)
        side.connect()
        side.raw.send(transfer(0))
        assert gate.entered.wait(seconds(10))
        return side, gate

    return make


def test_what_waits_is_kept_as_text_and_handled_as_it_came(others, gated):
    side, gate = gated()
    for number in range(1, 6):
        side.raw.send(transfer(number))
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    side.raw.send([2, "last", "Heartbeat", {"unknown": 1}])  # is refused at once, so the others have been read
    assert side.raw.receive()[:2] == [4, "last"]
    assert alive(v16.DataTransferRequest, others) <= 1, "that which is being handled"
    gate.open.set()
    answers = side.raw.receive_by_id(*map(str, range(6)))
    assert all(answer[0] == 3 for answer in answers.values())
    assert gate.data == [str(number) * 10 for number in range(6)], "each once, in their order"


def test_a_call_that_waits_for_nothing_is_read_once(make_side):
    side = make_side()
    requests = Recorder(DONE)
    side.endpoint.on(v16.DataTransferRequest)(requests)
    side.connect()
    read = Recorder()
    side.endpoint.set_text_hook(lambda *arguments: (read(), arguments[-1])[1])
    parsed, parse = Recorder(), side.endpoint.parse_message
    side.endpoint.parse_message = lambda *arguments, **options: (parsed(options), parse(*arguments, **options))[1]
    for number in range(5):
        assert side.raw.ask(transfer(number))[0] == 3
    assert len(read.calls) == len(parsed.calls) == len(requests.calls) == 5


def test_a_waiting_call_that_comes_again_is_still_known(gated):
    side, gate = gated()
    side.raw.send(transfer(1))
    side.raw.send(transfer(1))  # the same
    side.raw.send([2, "1", "DataTransfer", {"vendorId": "other"}])
    assert side.raw.receive()[:2] == [4, "1"], "another one of that id"
    gate.open.set()
    assert set(side.raw.receive_by_id("0", "1")) == {"0", "1"}
    assert gate.data == ["0" * 10, "1" * 10]


def test_what_is_accepted_all_the_same_is_logged_once(gated, caplog):
    side, gate = gated(validate="warn")
    side.raw.send([2, "1", "DataTransfer", {"vendorId": "V" * 256, "data": "x"}])
    gate.open.set()
    assert set(side.raw.receive_by_id("0", "1")) == {"0", "1"}
    assert sum("received an invalid request" in record.getMessage() for record in caplog.records) == 1


def test_beyond_the_bytes_nothing_is_read_and_nothing_is_refused(gated):
    """About 12 CALLs fill 30,000 bytes. The limit of 20 CALLs is never reached, though 60 are sent."""
    side, gate = gated(max_waiting_bytes=30_000, max_waiting_calls=20)
    sender = threading.Thread(
        target=lambda: [side.raw.send(transfer(number, 1000)) for number in range(10, 70)], name="peer"
    )
    sender.start()
    side.raw.send([2, "late", "DataTransfer", {"vendorId": "V", "data": "late"}])
    sender.join(seconds(20))
    assert not sender.is_alive()
    if isinstance(side.endpoint, Server):
        eventually(lambda: held(side.endpoint).get("waiting", 0) > 30_000)
        assert held(side.endpoint)["waiting"] < 35_000, "one message more than may wait"
    gate.open.set()
    answers = side.raw.receive_by_id("0", "late", *map(str, range(10, 70)))
    assert [answer for answer in answers.values() if answer[0] != 3] == []
    if isinstance(side.endpoint, Server):
        eventually(lambda: held(side.endpoint) == {})


def fill(side, count=40):
    for number in range(10, 10 + count):
        side.raw.send(transfer(number, 1000))


def test_a_paused_connection_can_be_stopped(gated):
    side, gate = gated(max_waiting_bytes=10_000)
    fill(side)
    stopped = threading.Event()

    def stop():
        side.endpoint.stop()
        stopped.set()

    thread = threading.Thread(target=stop)
    thread.start()
    side.raw.wait_closed()
    gate.open.set()
    assert stopped.wait(seconds(20))
    thread.join(seconds(5))
    if isinstance(side.endpoint, Server):
        assert held(side.endpoint) == {}


@pytest.mark.parametrize("readers", READERS)
def test_a_paused_connection_can_be_closed(make_server, raw_client, cleanup, readers):
    """What it has not read is dropped then, to find the peer's Close."""
    server = make_server(ws={"readers": readers, "close_timeout": seconds(30)}, max_waiting_bytes=10_000)
    gate = Gate(server)
    cleanup.append(gate.open.set)
    raw = raw_client(server.url)
    for number in range(10, 50):
        raw.send(transfer(number, 1000))
    eventually(lambda: held(server).get("waiting", 0) > 10_000)
    server.disconnect("CP_1", 4000)
    assert raw.wait_closed().code == 4000
    eventually(lambda: server.stats().closed == {"by_us": 1})
    gate.open.set()
    eventually(lambda: held(server) == {})
    assert len(gate.data) < 20


def test_a_connection_that_is_lost_while_calls_wait_leaves_nothing(gated):
    side, gate = gated(max_waiting_bytes=1_000_000)
    fill(side)
    if isinstance(side.endpoint, Server):
        eventually(lambda: held(side.endpoint).get("waiting", 0) > 40_000)
    side.raw.stop()
    gate.open.set()
    eventually(lambda: len(gate.data) >= 1)
    if isinstance(side.endpoint, Server):
        eventually(lambda: held(side.endpoint) == {})


# Answers that come later


def test_a_call_that_is_answered_later_is_kept_as_text(others, make_side):
    side = make_side()
    ids, after = Recorder(None), Recorder()

    @side.endpoint.on(v16.DataTransferRequest, pass_id=True)
    def later(*arguments):
        ids(arguments[-1])

    side.endpoint.after(v16.DataTransferRequest)(after)
    side.connect()
    for number in range(5):
        side.raw.send(transfer(number))
    assert ids.wait(5) == [(str(number),) for number in range(5)]
    eventually(lambda: alive(v16.DataTransferRequest, others) == 0)
    side.send_response("3", DONE)
    assert side.raw.receive() == [3, "3", {"status": "Accepted"}]
    request = v16.DataTransferRequest(vendor_id="V", data="3" * 10)
    assert after.wait(1) == [side.args(request)]
    for message_id in "0124":
        side.send_response(message_id, DONE)
    assert set(side.raw.receive_by_id(*"0124")) == set("0124")
    if isinstance(side.endpoint, Server):
        assert held(side.endpoint) == {}


def test_calls_that_are_never_answered_make_their_connection_pause(make_side):
    side = make_side(max_waiting_bytes=30_000, max_waiting_calls=1000)
    ids = Recorder(None)
    side.endpoint.on(v16.DataTransferRequest, pass_id=True)(lambda *arguments: ids(arguments[-1]))
    side.connect()
    for number in range(60):
        side.raw.send(transfer(number + 10, 1000))
    seen = eventually(lambda: len(ids.calls) > 10 and len(ids.calls))
    assert seen < 30
    for number in range(60):
        ids.wait(number + 1)
        side.send_response(str(number + 10), DONE)
    assert len(side.raw.receive_by_id(*(str(number + 10) for number in range(60)))) == 60


# The whole server


def test_beyond_the_memory_of_the_server_a_connection_is_closed(make_server, raw_client, caplog):
    server = make_server(ws={"max_memory_bytes": 50_000}, max_waiting_bytes=40_000)
    gate = Gate(server)
    quiet, greedy, late = (raw_client(server.url, name) for name in ("quiet", "greedy", "late"))
    try:
        for number in range(10, 34):
            greedy.send(transfer(number, 1000))
        eventually(lambda: held(server).get("waiting", 0) > 40_000)
        close = late.send_until_closed(transfer(number, 1000) for number in range(10, 34))
        assert close.code == 1013
        assert server.stats().refused == {"memory": 1}
        assert sum("too much is held" in record.getMessage() for record in caplog.records) == 1
        assert held(server)["waiting"] <= 50_000
        server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        assert quiet.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE], "others are served"
    finally:
        gate.open.set()
    eventually(lambda: held(server) == {})


def test_refused_answers_that_wait_are_weighed_too(side_of):
    side = side_of("2.1", max_waiting_bytes=30_000)
    entered, going, told = threading.Event(), threading.Event(), Recorder()

    def refused(*arguments):
        entered.set()
        assert going.wait(seconds(30))
        told(arguments[-1])

    side.endpoint.set_result_error_handler(refused)
    try:
        for number in range(60):
            side.raw.send([5, str(number), "GenericError", "", {"number": number, "text": "x" * 1000}])
        side.raw.send([2, "last", "Heartbeat", {"unknown": 1}])
        assert entered.wait(seconds(10))
        if isinstance(side.endpoint, Server):
            waits = eventually(
                lambda: held(side.endpoint).get("waiting", 0) > 30_000 and held(side.endpoint)["waiting"]
            )
            assert waits < 35_000, "the rest is not read"
    finally:
        going.set()
    assert [details["number"] for (details,) in told.wait(60)] == list(range(60))
    assert side.raw.receive()[:2] == [4, "last"]


@pytest.mark.parametrize("readers", READERS)
def test_few_deflated_bytes_do_not_fill_the_server(cleanup, readers):
    """Forty messages that come in one piece: the reading stops between them."""
    server = Server(profiles=v16.PROFILES, readers=readers, max_waiting_bytes=500_000)
    cleanup.append(server.stop)
    gate = Gate(server)
    cleanup.append(gate.open.set)
    waits = []
    server.add_observer(lambda frame: waits.append(held(server).get("waiting", 0)))
    server.listen(host="127.0.0.1")
    squeeze = zlib.compressobj(wbits=-15)

    def deflated(number):
        text = json.dumps([2, str(number), "DataTransfer", {"vendorId": "V", "data": "x" * 100_000}])
        data = squeeze.compress(text.encode()) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        return frame(1, data[:-4], rsv1=True)

    with TcpClient(server.url) as peer:
        headers = {"Sec-WebSocket-Protocol": "ocpp1.6", "Sec-WebSocket-Extensions": "permessage-deflate"}
        assert " 101 " in peer.upgrade("/CP_1", **headers)
        data = b"".join(deflated(number) for number in range(40))
        assert len(data) < 20_000, "less than is read at once"
        peer.send(data)
        eventually(lambda: held(server).get("waiting", 0) > 500_000)
        gate.open.set()
        for _ in range(40):
            peer.read_frame()
    assert len(gate.data) == 40
    assert max(waits) < 650_000, "one message more than may wait"
