"""``stop()`` of a client returns within a second whatever its connection does, and loses nothing that was written."""

import contextlib
import json
import socket
import threading
import time

import pytest

from ocppj import Client, OcppjError, Server, Stopped, TransportError, v16
from ocppj.ws.backoff import Backoff
from tests.faults.proxy import Proxy
from tests.fixtures import HEARTBEAT, RESET
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import NO_WAIT, RawServer, client_context, server_context

pytestmark = pytest.mark.alone

LOOK_UP = socket.getaddrinfo
LIMIT = seconds(1) + 0.5  # a second, and what a busy machine may take


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


def make_client(stack, **options):
    client = Client("CP_1", profiles=v16.PROFILES, **options)
    stack.callback(client.stop)
    return client


def stop_in_time(client):
    begun = time.monotonic()
    client.stop()
    took = time.monotonic() - begun
    assert took < LIMIT, f"stop() took {took:.2f} s"


class Running:
    """A function on a thread of its own."""

    def __init__(self, function, *arguments, **options):
        self.error = None
        self.took = None
        self._work = lambda: function(*arguments, **options)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        begun = time.monotonic()
        try:
            self._work()
        except OcppjError as error:
            self.error = error
        self.took = time.monotonic() - begun

    def join(self):
        self._thread.join(seconds(10))
        assert not self._thread.is_alive()
        return self.error


# Before there is a connection ---------------------------------------------------------------------------------------


def hanging_dns(stack, monkeypatch):
    asked, end = Recorder(), threading.Event()

    def look_up(host, *arguments, **options):
        if host != "nowhere.test":
            return LOOK_UP(host, *arguments, **options)
        asked()
        assert end.wait(seconds(20))
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    stack.callback(end.set)
    return "ws://nowhere.test:9000", lambda: asked.wait(1)


def hanging_syn(stack, monkeypatch):
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):  # its backlog is full: who comes next gets no answer
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    tried = Recorder()
    connect_ex = socket.socket.connect_ex

    def seen(sock, address):
        code = connect_ex(sock, address)
        tried()
        return code

    monkeypatch.setattr(socket.socket, "connect_ex", seen)
    return f"ws://127.0.0.1:{listener.getsockname()[1]}", lambda: tried.wait(1)


def hanging_handshake(scheme):
    def make(stack, monkeypatch):
        server = stack.enter_context(RawServer(lambda peer: peer.at_end()))
        return server.url.replace("ws:", scheme), lambda: eventually(lambda: server.buffer)

    return make


def back_off(stack, monkeypatch):
    return "ws://127.0.0.1:1", lambda: eventually(lambda: "connecting again" in stack.log.text)


PHASES = {
    "dns": hanging_dns,
    "syn": hanging_syn,
    "tls": hanging_handshake("wss:"),
    "http": hanging_handshake("ws:"),
    "back-off": back_off,
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("method", ["connect", "start_with_retries"])
def test_while_it_connects(stack, monkeypatch, caplog, phase, method):
    stack.log = caplog
    if (phase, method) == ("back-off", "connect"):
        return  # there is none
    url, wait = PHASES[phase](stack, monkeypatch)
    client = make_client(
        stack, ssl_context=client_context(), handshake_timeout=seconds(60), backoff=Backoff(1000.0, 0.0, 0)
    )
    connecting = Running(getattr(client, method), url)
    wait()
    stop_in_time(client)
    error = connecting.join()
    assert error is None if method == "start_with_retries" else isinstance(error, Stopped)


# Connected ----------------------------------------------------------------------------------------------------------


def mute(peer):
    """Shake hands, read everything, and say nothing."""
    peer.answer()
    peer.at_end()


@pytest.fixture(params=["per-connection", "shared"])
def readers(request):
    return request.param


def test_a_peer_that_never_answers_the_close(stack, readers):
    server = stack.enter_context(RawServer(mute))
    client = make_client(stack, readers=readers).connect(server.url)
    calling = Running(client.call, HEARTBEAT)
    eventually(lambda: server.buffer)
    stop_in_time(client)
    assert isinstance(calling.join(), Stopped)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_network_that_passes_nothing_any_more(stack, readers, tls):
    server = Server(profiles=v16.PROFILES, ssl_context=server_context() if tls else None)
    stack.callback(server.stop)
    server.listen(path="/{id}", host="127.0.0.1")
    proxy = stack.enter_context(Proxy(int(server.url.rpartition(":")[2])))
    url = proxy.url.replace("ws://127.0.0.1", "wss://localhost") if tls else proxy.url
    client = make_client(stack, readers=readers, ssl_context=client_context()).connect(url)
    proxy.freeze()
    stop_in_time(client)


def test_a_peer_that_never_reads(stack, caplog, readers):
    gone = threading.Event()
    server = stack.enter_context(RawServer(lambda peer: (peer.answer(), gone.wait(seconds(20))), receive_buffer=4096))
    stack.callback(gone.set)
    client = make_client(stack, readers=readers, max_outgoing_size=None).connect(server.url)
    huge = client.send_request(v16.DataTransferRequest("v", data="x" * 16_000_000))
    assert server.sock.recv(1, socket.MSG_PEEK), "it is being written"
    waiting = client.send_request(HEARTBEAT)
    stop_in_time(client)
    for future in (huge, waiting):
        assert isinstance(future.exception(0), Stopped)
    assert "what was left to be written to it is lost" in caplog.text


def test_what_was_written_just_before_arrives(stack):
    """Though the peer begins to read when the client is gone."""
    stopped, read = threading.Event(), []

    def script(peer):
        peer.answer()
        assert stopped.wait(seconds(20))
        while not read or read[-1][0] != 8:
            read.append(peer.read_frame())
        peer.ended = peer.sock.recv(1)

    server = stack.enter_context(RawServer(script, receive_buffer=4096))
    client = make_client(stack).connect(server.url)
    client.send_request(v16.DataTransferRequest("v", data="x" * 200_000))
    stop_in_time(client)
    stopped.set()
    assert server.done.wait(seconds(10))
    assert server.error is None
    (opcode, text), (_, close) = read
    assert (opcode, json.loads(text)[3]["data"], close) == (1, "x" * 200_000, b"\x03\xe8")
    assert server.ended == b""


def test_a_peer_that_sends_more_than_can_be_read(stack, readers):
    """What one read has found is taken message by message, and the time to close ends that too."""
    server = stack.enter_context(RawServer(lambda peer: (peer.answer(), peer.send(b"\x81\x01x" * 5000), peer.at_end())))
    client, pause, taken = make_client(stack, readers=readers, max_bad_messages=10_000), threading.Event(), Recorder()
    client.add_observer(lambda frame: (taken(), pause.wait(0.005)))
    client.connect(server.url)
    taken.wait(1)
    stop_in_time(client)
    assert len(taken.calls) < 5000


# From here and there ------------------------------------------------------------------------------------------------


def test_from_a_handler_while_the_network_passes_nothing(stack):
    server = Server(profiles=v16.PROFILES)
    stack.callback(server.stop)
    server.listen(path="/{id}", host="127.0.0.1")
    proxy = stack.enter_context(Proxy(int(server.url.rpartition(":")[2])))
    client, took = make_client(stack), Recorder()

    @client.on(v16.ResetRequest)
    def on_reset(request):
        proxy.freeze()
        begun = time.monotonic()
        client.stop()
        took(time.monotonic() - begun)
        return v16.ResetResponse("Accepted")

    client.connect(proxy.url)
    server.send_request("CP_1", RESET)
    assert took.wait(1)[0][0] < LIMIT


def test_from_two_threads(stack):
    server = stack.enter_context(RawServer(mute))
    client = make_client(stack).connect(server.url)
    stoppers = [Running(client.stop) for _ in range(2)]
    for stopper in stoppers:
        assert stopper.join() is None
        assert stopper.took < LIMIT


@pytest.mark.parametrize("inside", [False, True], ids=["by another", "by itself"])
def test_while_the_reconnected_handler_calls(stack, inside):
    connected = threading.Event()

    def script(peer):
        peer.answer()
        assert connected.wait(seconds(10))
        peer.sock.close()
        peer.accept()
        mute(peer)

    server = stack.enter_context(RawServer(script))
    client = make_client(stack, backoff=NO_WAIT)
    called, ended = Recorder(), Recorder()

    @client.set_reconnected_handler
    def on_reconnected():
        if inside:
            stop_in_time(client)
        called()
        try:
            client.call(HEARTBEAT)
        except (OcppjError, TransportError) as error:
            ended(error)

    client.connect(server.url)
    connected.set()
    called.wait(1)
    if not inside:
        eventually(lambda: server.buffer)
        stop_in_time(client)
    assert isinstance(ended.wait(1)[0][0], OcppjError)
