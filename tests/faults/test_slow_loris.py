"""Handshakes that never finish, by the hundred: they must not keep a charge point out, and nothing of them is left."""

import socket
import threading
import time

import pytest

from ocppj import Client, Server, v16
from ocppj.ws.server import WebSocketServer
from tests.fixtures import BEAT, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import eventually, seconds
from tests.inside.faults import waiting_since
from tests.ws.support import client_context, open_files, server_context

pytestmark = pytest.mark.alone

LORIS = 500
WITHIN = 1.0  # seconds for a charge point to connect, and to call
TRIES = 10  # of which one must be that quick: the machine may have other things to do


class Lorises:
    """Connections that say nothing, or the head of a request, a byte a second."""

    def __init__(self, port, count, drip):
        self.socks = []
        self._stop = threading.Event()
        self._port = port
        self.add(count)
        self._thread = threading.Thread(target=self._drip, daemon=True)
        if drip:
            self._thread.start()

    def add(self, count):
        for _ in range(count):
            self.socks.append(socket.create_connection(("127.0.0.1", self._port), timeout=seconds(20)))

    def _drip(self):
        for byte in b"GET /CP_1 HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 1000:
            for sock in list(self.socks):
                try:
                    sock.send(bytes([byte]))
                except OSError:
                    pass  # it was cut
            if self._stop.wait(seconds(1)):
                return

    def close(self):
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds(5))
        for sock in self.socks:
            sock.close()


KINDS = {"silence": (False, False), "drip": (False, True), "tls": (True, False)}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def begin(kind):
    """Return what makes a server and its lorises; all of it is gone in the end."""
    secure, drip = kind
    files, made = open_files(), []

    def begin_(**options):
        context = server_context() if secure else None
        ws = WebSocketServer(ssl_context=context, handshake_timeout=seconds(60), **options)
        server = Server(profiles=v16.PROFILES, ws_server=ws)
        server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        server.listen(host="127.0.0.1")
        lorises = Lorises(ws.port, LORIS, drip)
        made.extend([lorises.close, server.stop])
        return server, ws, lorises

    yield begin_
    begun = time.monotonic()
    for stop in reversed(made):
        stop()
    assert time.monotonic() - begun < seconds(30)
    eventually(lambda: not [each for each in threading.enumerate() if each.name.startswith("ocppj-")])
    eventually(lambda: open_files() <= files + 5)


def visit(server, identity="CP_1", secure=False):
    """Connect, call in both directions, and leave; return the seconds until the first answer."""
    transport = {"ssl_context": client_context()} if secure else {}
    client = Client(identity, profiles=v16.PROFILES, reconnect=False, timeout=seconds(10), **transport)
    client.on(v16.ResetRequest)(lambda request: RESET_DONE)
    begun = time.monotonic()
    try:
        client.connect(server.url)
        assert client.call(HEARTBEAT) == BEAT
        took = time.monotonic() - begun
        assert server.call(identity, RESET, timeout=seconds(10)) == RESET_DONE
    finally:
        client.stop()
    return took


@pytest.mark.timeout(seconds(120))
def test_a_charge_point_connects_beside_them(begin, kind):
    server, ws, _ = begin()
    eventually(lambda: ws.stats().handshakes == LORIS, 30)
    assert any(visit(server, f"CP_{number}", kind[0]) < seconds(WITHIN) for number in range(TRIES))
    assert ws.stats().refused == {}
    assert ws.stats().handshakes == LORIS


@pytest.mark.timeout(seconds(120))
def test_a_charge_point_connects_when_there_is_no_room_left(begin, kind):
    server, ws, lorises = begin(max_handshakes=LORIS)
    took = []
    while len(took) < 3 or min(took) >= seconds(WITHIN):
        assert len(took) < TRIES, took
        eventually(lambda: ws.stats().handshakes == LORIS, 30)
        eventually(lambda: min(waiting_since(ws)) < time.monotonic() - 1.1)
        took.append(visit(server, f"CP_{len(took)}", kind[0]))
        eventually(lambda: ws.stats().refused == {"max_handshakes": len(took)})  # one loris for each
        lorises.add(1)
    assert ws.stats().accepted == len(took)


@pytest.mark.timeout(seconds(120))
def test_far_more_of_them_than_there_is_room(begin, kind):
    server, ws, lorises = begin(max_handshakes=50)
    eventually(lambda: ws.stats().refused.get("max_handshakes") == LORIS - 50, 30)
    eventually(lambda: ws.stats().handshakes == 50)
    assert sum(each.name.startswith("ocppj-handshake") for each in threading.enumerate()) < 100
    eventually(lambda: min(waiting_since(ws)) < time.monotonic() - 1.1)
    assert any(visit(server, f"CP_{number}", kind[0]) < seconds(3 * WITHIN) for number in range(TRIES))


@pytest.mark.timeout(seconds(120))
def test_they_are_cut_in_the_end(kind):
    secure, drip = kind
    ws = WebSocketServer(ssl_context=server_context() if secure else None, handshake_timeout=seconds(2))
    ws.listen(0, "/{id}", "127.0.0.1", ["ocpp1.6"])
    lorises = Lorises(ws.port, 100, drip)
    try:
        eventually(lambda: ws.stats().refused == {"handshake_timeout": 100}, 20)
        eventually(lambda: ws.stats().handshakes == 0)
        eventually(lambda: not [each for each in threading.enumerate() if each.name.startswith("ocppj-handshake")])
    finally:
        lorises.close()
        ws.stop()
