"""Errors say who and what: each end of a request names the client, the action, the message and the time."""

import json
import pickle
import socket
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from ocppj import (
    CallCanceled,
    CallFailed,
    CallTimeout,
    Client,
    ConnectionLost,
    InvalidResponse,
    ManualClock,
    NotRunning,
    OCPPError,
    Server,
    SQLiteQueue,
    Stopped,
    v16,
    v21,
    v201,
)
from tests.fixtures import (  # noqa: F401  # fmt: skip
    BOOT,
    HEARTBEAT,
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
from tests.peers import RawServer, Sockets

VERSIONS = [(v16, "ocpp1.6"), (v201, "ocpp2.0.1"), (v21, "ocpp2.1")]
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def check(error, action, message_id, client_id="CP_1"):
    """Check what ``error`` says, and that its text says each thing once."""
    assert (error.client_id, error.action, error.message_id) == (client_id, action, message_id)
    said = [client_id, action, *([message_id] if message_id else [])]
    if isinstance(error, CallFailed):
        assert error.time.utcoffset() == timedelta(0)
        assert abs(datetime.now(timezone.utc) - error.time) < timedelta(seconds=seconds(60))
        said.append(f"{error.time:%H:%M:%S}")
    for each in said:
        assert str(error).count(each) == 1, (each, str(error))
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), list(copied.__dict__)) == (type(error), str(error), list(error.__dict__))


def test_no_answer(make_side):
    side = make_side(timeout=seconds(0.1)).connect()
    with pytest.raises(CallTimeout) as caught:
        side.call(BOOT)
    check(caught.value, "BootNotification", side.raw.receive()[1])
    assert caught.value.description == f"no answer within {seconds(0.1):g} seconds"


def test_no_answer_within_the_time_of_the_call(side):
    future = side.send_request(HEARTBEAT, timeout=seconds(0.1))
    error = future.exception(seconds(10))
    check(error, "Heartbeat", future.message_id)
    assert error.description == f"no answer within {seconds(0.1):g} seconds"  # one text for one thing


def test_no_time_to_send(side):
    with pytest.raises(CallTimeout) as caught:
        side.call(HEARTBEAT, timeout=0)
    check(caught.value, "Heartbeat", None)


def test_the_answer_is_an_error(side):
    future = side.send_request(BOOT)
    side.raw.send([4, side.raw.receive()[1], "InternalError", "no", {}])
    check(future.exception(seconds(10)), "BootNotification", future.message_id)


def test_the_answer_is_invalid(side):
    future = side.send_request(BOOT)
    side.raw.send([3, side.raw.receive()[1], {}])
    error = future.exception(seconds(10))
    assert isinstance(error, InvalidResponse)
    check(error, "BootNotification", future.message_id)


def test_the_connection_is_lost(side):
    ids = []

    def cut():
        ids.append(side.raw.receive()[1])
        side.raw.stop()

    cutting = threading.Thread(target=cut)
    cutting.start()
    with pytest.raises(ConnectionLost) as caught:
        side.call(BOOT)
    cutting.join(seconds(10))
    check(caught.value, "BootNotification", *ids)


def test_the_endpoint_is_stopped(side):
    futures = [side.send_request(BOOT), side.send_request(HEARTBEAT)]
    side.endpoint.stop()
    for future, action in zip(futures, ["BootNotification", "Heartbeat"]):
        error = future.exception(seconds(10))
        assert isinstance(error, Stopped)
        check(error, action, future.message_id)


def test_the_future_is_canceled(side):
    canceled = Recorder()
    side.endpoint.set_canceled_request_handler(canceled)
    future = side.send_request(BOOT)
    future.cancel()
    error = canceled.wait()[0][-1]
    assert isinstance(error, CallCanceled)
    check(error, "BootNotification", future.message_id)


def test_there_is_no_connection(make_client, raw_server):
    client = make_client(raw_server.url, reconnect=True)
    raw_server.stop()
    eventually(lambda: not client.is_connected())
    with pytest.raises(ConnectionLost) as caught:
        client.call(HEARTBEAT)
    check(caught.value, "Heartbeat", None)


def test_handlers_get_the_same(make_side):
    side = make_side(timeout=seconds(0.1)).connect()
    failed, refused = Recorder(), Recorder()
    side.endpoint.set_canceled_request_handler(failed)
    side.endpoint.set_error_handler(refused)
    future = side.send_request(BOOT)
    check(failed.wait()[0][-1], "BootNotification", future.message_id)
    side.raw.receive()
    future = side.send_request(HEARTBEAT, timeout=seconds(10))
    side.raw.send([4, side.raw.receive()[1], "InternalError", "no", {}])
    check(refused.wait()[0][-2], "Heartbeat", future.message_id)


def test_the_time_is_that_of_the_clock(make_side):
    clock = ManualClock()
    side = make_side(clock=clock, timeout=30).connect()
    future = side.send_request(BOOT)
    side.raw.receive()
    clock.advance(30)
    assert future.exception(seconds(10)).time == clock.now()


@pytest.mark.parametrize(("version", "subprotocol"), VERSIONS, ids=[name for _, name in VERSIONS])
def test_the_action_is_named_in_every_version(version, subprotocol):
    with RawServer(Sockets(), [subprotocol]) as peer:
        client = Client("CP_1", profiles=version.PROFILES, timeout=seconds(10))
        with client.connect(peer.url):
            future = client.send_request(version.HeartbeatRequest())
            peer.send([4, peer.receive()[1], "SecurityError", "no", {}])
            check(future.exception(seconds(10)), "Heartbeat", future.message_id)
            future = client.send_request(version.DataTransferRequest(vendor_id="V"))
            peer.receive()
            client.stop()
            check(future.exception(seconds(10)), "DataTransfer", future.message_id)


def test_a_request_of_an_earlier_process_is_named_too(tmp_path):
    """There is no future any more: the handlers alone hear of its end."""
    path = str(tmp_path / "queue.db")
    with RawServer(Sockets()) as peer:
        options = {"profiles": v16.PROFILES, "boot_first": False}
        with Client("CP_1", queue=SQLiteQueue(path), **options).connect(peer.url) as client:
            message_id = client.send_request(v16.DataTransferRequest(vendor_id="V")).message_id
            peer.receive()
        refused = Recorder()
        later = Client("CP_1", queue=SQLiteQueue(path), **options)
        later.set_error_handler(refused)
        with later.connect(peer.url):
            peer.wait_connected()
            peer.wait_connected()
            while True:
                frame = peer.receive()
                if frame[1] == message_id:
                    break
            peer.send([4, message_id, "GenericError", "no", {}])
            check(refused.wait()[0][0], "DataTransfer", message_id)


def test_stop_while_connecting_names_the_client():
    client = Client("CP_1", profiles=v16.PROFILES)
    client.set_attempt_failed_handler(lambda error: client.stop())
    with pytest.raises(Stopped) as caught:
        client.connect("ws://127.0.0.1:1", retry=True)
    assert (caught.value.client_id, caught.value.action) == ("CP_1", None)
    assert caught.value.time is not None


def test_an_error_of_a_handler_tells_the_peer_nothing_of_its_own_request(make_server, raw_client):
    """A handler may let the error of its call() to another client pass: code, description and details go out."""
    server = make_server()
    asked, asking = raw_client(server.url, "CP_1"), raw_client(server.url, "CP_2")
    eventually(lambda: len(server.client_ids()) == 2)

    @server.on(v16.HeartbeatRequest)
    def beat(client_id, request):
        server.call("CP_1", v16.ResetRequest(type="Soft"))

    asking.send([2, "1", "Heartbeat", {}])
    asked.send([4, asked.receive()[1], "SecurityError", "no", {}])
    answer = asking.receive()
    assert answer == [4, "1", "SecurityError", "no", {}]
    assert "CP_1" not in json.dumps(answer)


def test_a_server_names_the_client():
    server = Server(profiles=v201.PROFILES, timeout=seconds(10))
    with server.listen(host="127.0.0.1"):
        stations = [Client(name, profiles=v201.PROFILES).connect(server.url) for name in ("CS_1", "CS_2")]
        for station in stations:
            station.on(v201.ResetRequest)(lambda request: (_ for _ in ()).throw(OCPPError("NotSupported", "no")))
        for name, future in server.broadcast(v201.ResetRequest(type="Immediate")).items():
            check(future.exception(seconds(10)), "Reset", future.message_id, name)
        for station in stations:
            station.stop()


# One text for one thing


@pytest.mark.parametrize(("version", "subprotocol"), VERSIONS)
def test_a_client_that_is_not_started_says_so_in_the_same_words_everywhere(version, subprotocol):
    client = Client("CP_1", profiles=version.PROFILES)
    for use in (
        lambda: client.call(version.HeartbeatRequest()),
        lambda: client.send_request(version.HeartbeatRequest()),
        lambda: client.send_error("1", "GenericError"),
        client.reconnect_now,
    ):
        with pytest.raises(NotRunning) as caught:
            use()
        assert str(caught.value) == "client 'CP_1' is not started"


def test_a_client_that_connects_still_is_not_connected_yet():
    client = Client("CP_1", profiles=v16.PROFILES)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # its handshake never ends
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"

        def connect():
            with suppress(Stopped):
                client.connect(url)

        connecting = threading.Thread(target=connect)
        connecting.start()
        peer, _ = silent.accept()
        with peer:
            with pytest.raises(NotRunning) as caught:
                client.send_request(HEARTBEAT)
            client.stop()
        connecting.join(seconds(10))
    assert str(caught.value) == "client 'CP_1' is not connected yet"
