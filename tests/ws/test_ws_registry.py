"""What a server's run keeps of its clients. The contract of both transports is in ``test_contract.py``."""

import pytest

from ocppj.errors import TransportError, UsageError
from ocppj.ws.client import WebSocketClient
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder, eventually
from tests.inside.transports import run_of, session_of
from tests.ws.support import OCPP, PATH, Log


@pytest.fixture(params=["sockets", "memory"])
def make(request):
    """Return a function that makes (server, log), and one that makes a client."""
    network, made = MemoryNetwork(), []

    def server(**options):
        server = network.server(**options) if request.param == "memory" else WebSocketServer(**options)
        made.append(server)
        log = Log(server)
        server.listen(0, PATH, "127.0.0.1", OCPP)
        return server, log

    def client(**options):
        options.setdefault("reconnect", False)
        client = network.client(**options) if request.param == "memory" else WebSocketClient(**options)
        made.append(client)
        return client

    yield server, client
    for thing in reversed(made):
        thing.stop()


def test_nothing_is_kept_of_clients_that_have_gone(make):
    make_server, make_client = make
    server, log = make_server(duplicates="replace")
    run = run_of(server)
    for identity in ("CP_1", "CP_1", "CP_2"):
        make_client().connect(server.url, identity, OCPP)
    eventually(lambda: len(run.channels) == 2)
    assert sum(run.per_source.values()) == 2
    for identity in ("CP_1", "CP_2"):
        server.get_channel(identity).close()
    eventually(lambda: not run.channels)
    assert (dict(run.by_identity), dict(run.newest_arrival), dict(run.per_source), list(run.handshakes)) == (
        {},
        {},
        {},
        [],
    )


def test_a_thread_that_stops_is_forgotten(make):
    """The idents of threads are used again; a thread that stops is not waited for."""
    make_server, make_client = make
    server, _ = make_server()
    client = make_client()
    client.connect(server.url, "CP_1", OCPP)
    session, run = session_of(client), run_of(server)
    client.stop()
    server.stop()
    assert session.stoppers == run.stoppers == set()


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_cannot_be_sent_stop_nothing(make, code):
    make_server, make_client = make
    server, _ = make_server()
    client = make_client()
    client.connect(server.url, "CP_1", OCPP)
    for end in (client, server):
        with pytest.raises(UsageError, match=str(code)):
            end.stop(code)
    assert client.get_channel() is not None


def test_a_server_that_its_own_check_stops_accepts_no_client(make):
    make_server, make_client = make
    server, log = make_server()
    stopped = Recorder()
    server.set_check_client_handler(lambda request: (stopped(server.stop()), True)[1])
    with pytest.raises(TransportError):
        make_client().connect(server.url, "CP_1", OCPP)
    stopped.wait(1)
    assert log.connected.calls == []
    assert (server.stats().connections, server.stats().accepted) == (0, 0)


def test_too_many_attempts_are_logged_when_they_begin(make, caplog):
    make_server, make_client = make
    server, _ = make_server(max_attempts_per_second=0.001)
    make_client().connect(server.url, "CP_1", OCPP)
    with pytest.raises(TransportError):
        make_client().connect(server.url, "CP_2", OCPP)
    assert "1 attempts to connect were refused" in caplog.text, "not only when the server stops"
