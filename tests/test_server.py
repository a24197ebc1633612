"""What a server does that a client does not: many clients, each apart from the others."""

import re
import threading

import pytest

from ocppj import (
    ConnectionLost,
    FIFOClientQueue,
    ManualClock,
    NotRunning,
    Server,
    Stopped,
    TransportError,
    UnknownClient,
    UsageError,
    set_logger,
    v16,
)
from ocppj.settings import get_logger
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    BOOT,
    BOOTED,
    HEARTBEAT,
    RESET,
    RESET_DONE,
    cleanup,
    make_client,
    make_server,
    raw_client,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import open_calls, tables


def listens(server):
    """Return the URL of a server that listens, or ``None``."""
    try:
        return server.url
    except UsageError:
        return None


def test_start_blocks_until_stop(make_server, make_client):
    server = make_server(listen=False)
    ended = threading.Event()

    def run():
        server.start(0, host="127.0.0.1")
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    make_client(eventually(lambda: listens(server)))
    assert not ended.wait(0.05)
    server.stop()
    assert ended.wait(seconds(10))
    thread.join()


def test_what_cannot_be_listened_on_raises(make_server):
    with pytest.raises(UsageError, match="profiles"):
        make_server(profiles=())
    with pytest.raises(UsageError):
        make_server(listen=False).listen(path="/no-identity")


@pytest.mark.parametrize(
    "options",
    [{"queues": FIFOClientQueue()}, {"queues": 100}, {"timeout": None}],
    ids=lambda options: next(iter(options)),
)
def test_options_of_another_kind_are_refused_by_name(options):
    ((name, value),) = options.items()
    with pytest.raises(UsageError, match=f"{name} is a .*, not {re.escape(repr(value))}"):
        Server(profiles=v16.PROFILES, **options)


def test_a_port_in_use_raises(cleanup):
    first = Server(profiles=v16.PROFILES).listen(host="127.0.0.1")
    cleanup.append(first.stop)
    second = Server(profiles=v16.PROFILES)
    port = int(first.url.rsplit(":")[-1])
    with pytest.raises(TransportError, match=str(port)):
        second.listen(port, host="127.0.0.1")
    second.listen(host="127.0.0.1")
    second.stop()


def test_the_path_template(make_server, make_client):
    server = make_server(listen=False).listen(path="/ocpp/v1/{id}", host="127.0.0.1")
    assert server.url.endswith("/ocpp/v1")
    make_client(server.url)
    with pytest.raises(TransportError, match="404"):
        make_client(server.url.replace("/ocpp/v1", "/other"), "CP_2")


def test_clients_come_and_go_with_their_ids(make_server, make_client):
    server = make_server(listen=False)
    came, gone = Recorder(), Recorder()
    assert server.set_new_client_handler(came) is came
    assert server.set_disconnected_client_handler(gone) is gone
    server.listen(host="127.0.0.1")
    first, second = make_client(server.url, "CP_1"), make_client(server.url, "CP_2")
    assert sorted(came.wait(2)) == [("CP_1",), ("CP_2",)]
    assert sorted(server.client_ids()) == ["CP_1", "CP_2"]
    assert server.version_of("CP_1") == "1.6"
    first.stop()
    assert gone.wait() == [("CP_1",)]
    assert server.client_ids() == ["CP_2"]
    server.disconnect("CP_2", 1000, "bye")
    assert gone.wait(2)[1] == ("CP_2",)
    eventually(lambda: not second.is_connected())


def test_the_new_client_handler_may_call_the_client_before_its_first_request_is_handled(make_server, make_client):
    server = make_server(listen=False)
    order = []

    @server.set_new_client_handler
    def came(client_id):
        order.append(server.call(client_id, RESET).status)

    @server.on(v16.BootNotificationRequest)
    def boot(client_id, request):
        order.append("boot")
        return BOOTED

    server.listen(host="127.0.0.1")
    client = make_client()
    client.on(v16.ResetRequest)(lambda request: RESET_DONE)
    client.connect(server.url)
    assert client.call(BOOT) == BOOTED
    assert order == ["Accepted", "boot"]


def test_unknown_clients_are_named(make_server):
    server = make_server()
    for attempt in (
        lambda: server.call("nobody", HEARTBEAT),
        lambda: server.send_request("nobody", HEARTBEAT),
        lambda: server.send_response("nobody", "1", BEAT),
        lambda: server.send_error("nobody", "1", "GenericError"),
        lambda: server.disconnect("nobody"),
        lambda: server.version_of("nobody"),
    ):
        with pytest.raises(UnknownClient, match="nobody"):
            attempt()
    server.stop()
    with pytest.raises(NotRunning):
        server.call("nobody", HEARTBEAT)


def test_two_clients_do_not_disturb_each_other(make_server, raw_client):
    server = make_server(timeout=30, clock=ManualClock())
    first, second = raw_client(server.url, "CP_1"), raw_client(server.url, "CP_2")
    eventually(lambda: len(server.client_ids()) == 2)
    slow = [server.send_request("CP_1", HEARTBEAT) for _ in range(3)]
    for _ in range(5):
        future = server.send_request("CP_2", HEARTBEAT)
        second.send([3, second.receive()[1], BEAT_WIRE])
        assert future.result(seconds(10)) == BEAT
    assert not any(future.done() for future in slow)
    second.stop()
    for future in slow:
        first.send([3, first.receive()[1], BEAT_WIRE])
        assert future.result(seconds(10)) == BEAT


def test_the_same_id_pending_at_two_clients_is_told_apart(make_server, raw_client):
    server = make_server(message_id_generator=lambda: "same")
    first, second = raw_client(server.url, "CP_1"), raw_client(server.url, "CP_2")
    eventually(lambda: len(server.client_ids()) == 2)
    to_first, to_second = server.send_request("CP_1", HEARTBEAT), server.send_request("CP_2", BOOT)
    assert first.receive()[2] == "Heartbeat"
    assert second.receive()[2] == "BootNotification"
    first.send([3, "same", BEAT_WIRE])
    assert to_first.result(seconds(10)) == BEAT
    assert not to_second.done()
    second.send([4, "same", "GenericError", "", {}])
    assert to_second.exception(seconds(10)) is not None


def test_a_replaced_connection_loses_its_requests_once_and_the_new_one_starts_clean(make_server, raw_client):
    server = make_server(listen=False)
    events = Recorder()
    server.set_new_client_handler(lambda client_id: events("came"))
    server.set_disconnected_client_handler(lambda client_id: events("gone"))
    canceled = Recorder()
    server.set_canceled_request_handler(canceled)
    server.listen(host="127.0.0.1")
    old = raw_client(server.url)
    events.wait(1)
    futures = [server.send_request("CP_1", HEARTBEAT) for _ in range(3)]
    old.receive()
    new = raw_client(server.url)
    assert old.wait_closed().code == 1008
    for future in futures:
        assert isinstance(future.exception(seconds(10)), ConnectionLost)
    assert [call[1] for call in canceled.wait(3)] == [future.message_id for future in futures]
    assert events.wait(3) == [("came",), ("gone",), ("came",)]
    future = server.send_request("CP_1", HEARTBEAT)
    new.send([3, new.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    assert len(canceled.calls) == 3


def test_calls_from_handlers_of_one_client_to_another(make_server, make_client):
    """A handler calls another client, whose handler calls the server, whose handler calls a third."""
    server = make_server()
    clients = {}

    @server.on(v16.DataTransferRequest)
    def transfer(client_id, request):
        n = int(request.data)
        if n == 0:
            return v16.DataTransferResponse(status="Accepted", data=client_id)
        answer = server.call(f"CP_{n - 1}", v16.DataTransferRequest(vendor_id="V", data=str(n - 1)))
        return v16.DataTransferResponse(status="Accepted", data=f"{client_id} {answer.data}")

    for number in range(6):
        client = make_client(identity=f"CP_{number}")

        @client.on(v16.DataTransferRequest)
        def forward(request, client=client):
            return v16.DataTransferResponse(status="Accepted", data=client.call(request).data)

        clients[number] = client.connect(server.url)
    answer = clients[5].call(v16.DataTransferRequest(vendor_id="V", data="5"))
    assert answer.data == "CP_5 CP_4 CP_3 CP_2 CP_1 CP_0"


def test_a_slow_handler_of_one_client_delays_no_other(make_server, make_client):
    server = make_server()
    release = threading.Event()

    @server.on(v16.HeartbeatRequest)
    def beat(client_id, request):
        if client_id == "slow":
            assert release.wait(seconds(10))
        return BEAT

    slow, quick = make_client(server.url, "slow"), make_client(server.url, "quick")
    waiting = slow.send_request(HEARTBEAT)
    for _ in range(5):
        assert quick.call(HEARTBEAT) == BEAT
    assert not waiting.done()
    release.set()
    assert waiting.result(seconds(10)) == BEAT


def test_many_clients_called_at_once_freeze_nothing(make_server, make_client):
    """The Go original freezes at 21."""
    server = make_server()
    clients = []
    for number in range(60):
        client = make_client(identity=f"CP_{number}")
        client.on(v16.ResetRequest)(lambda request: RESET_DONE)
        clients.append(client.connect(server.url))
    futures = [server.send_request(f"CP_{n}", RESET) for n in range(60) for _ in range(5)]
    assert all(future.result(seconds(20)) == RESET_DONE for future in futures)


def test_many_requests_timing_out_at_once_freeze_nothing(make_server, raw_client):
    clock = ManualClock()
    server = make_server(clock=clock, timeout=30)
    canceled = Recorder()
    server.set_canceled_request_handler(canceled)
    clients = [raw_client(server.url, f"CP_{number}") for number in range(50)]
    eventually(lambda: len(server.client_ids()) == 50)
    futures = [server.send_request(f"CP_{n}", HEARTBEAT) for n in range(50) for _ in range(4)]
    for client in clients:
        client.receive()
    for _ in range(4):
        clock.advance(31)
    canceled.wait(200)
    assert all(future.done() for future in futures)
    assert open_calls(server) == 0
    future = server.send_request("CP_7", HEARTBEAT)
    for _ in range(3):
        clients[7].receive()
    clients[7].send([3, clients[7].receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT


def test_stop_with_many_clients_leaves_nothing(make_server, make_client):
    server = make_server()
    clients = [make_client(server.url, f"CP_{number}") for number in range(20)]
    server.stop()
    for client in clients:
        eventually(lambda client=client: not client.is_connected())
    assert server.client_ids() == []
    assert not any(tables(server).values()), tables(server)
    server.listen(host="127.0.0.1")
    make_client(server.url, "CP_1b")


def test_stop_while_it_begins_to_listen(make_server, transport):
    ws = transport.server()
    server = make_server(listen=False, ws_server=ws)
    listen = ws.listen

    def slow(*arguments):
        listen(*arguments)
        server.stop()

    ws.listen = slow
    with pytest.raises(Stopped):
        server.listen(host="127.0.0.1")
    ws.listen = listen
    server.listen(host="127.0.0.1")


def test_pings_can_be_switched_per_client(make_server, make_client, transport):
    ws = transport.server()
    server = make_server(ws_server=ws)
    make_client(server.url)
    eventually(server.client_ids)
    channel = ws.get_channel("CP_1")
    assert channel.ping_interval == 45
    server.set_ping_interval("CP_1", None)
    assert not channel.ping_interval
    with pytest.raises(UsageError, match="^ping_interval is .*, not -1"):
        server.set_ping_interval("CP_1", -1)
    with pytest.raises(UnknownClient, match="nobody"):
        server.set_ping_interval("nobody", 1)


def test_a_logger_of_ones_own_hears_the_transport_too(make_server, make_client, transport):
    class Logger:
        def __init__(self):
            self.lines = []

        def note(self, message, *arguments, **options):
            self.lines.append(message % arguments)

        debug = info = warning = error = exception = note

    logger = Logger()
    before = get_logger()
    set_logger(logger)
    try:
        ws = transport.server()
        ws.set_check_client_handler(lambda request: False)
        server = make_server(ws_server=ws)
        with pytest.raises(TransportError, match="404"):
            make_client(server.url, "Stranger")
    finally:
        set_logger(before)
    assert any("Stranger" in line and "404" in line for line in logger.lines), logger.lines
