"""Connecting until it succeeds, regaining what was lost, and stopping in the middle of it."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from ocppj.clock import ManualClock, SystemClock
from ocppj.errors import HandshakeRefused, TransportError, UsageError
from ocppj.option_checks import LONGEST
from ocppj.ws.backoff import Backoff
from ocppj.ws.client import WebSocketClient
from ocppj.ws.connecting.session import ClientCore, ConnectAttempt, Session
from ocppj.ws.memory import MemoryClient, MemoryNetwork
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder, eventually, seconds
from tests.inside.transports import attempt_of, session_of
from tests.ws.support import NO_WAIT, OCPP, PATH, Log, RawServer, client_context, server_context

REAL = socket.getaddrinfo


def threads(*names):
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names or "ocppj-")]


class Connecting:
    """``client.connect`` on a thread of its own."""

    def __init__(self, client, url, **options):
        self.client, self.url, self.options = client, url, options
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.client.connect(self.url, "CP_1", OCPP, **self.options)
        except Exception as error:
            self.error = error

    def join(self):
        self.thread.join(seconds(5))
        assert not self.thread.is_alive()
        return self.error


# Stopping in any phase ----------------------------------------------------------------------------------------------


class Way:
    """Where the name ``localhost`` leads to: an address, or nowhere until the end of the test (``None``)."""

    def __init__(self, monkeypatch):
        self.address = None
        self.asked, self.dialling = Recorder(), Recorder()
        self.end = threading.Event()
        real_connect = socket.socket.connect_ex

        def connect_ex(sock, address):
            code = real_connect(sock, address)
            self.dialling(address)
            return code

        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)
        monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)

    def look_up(self, host, port, *arguments, **options):
        if host != "localhost":
            return REAL(host, port, *arguments, **options)
        address = self.address
        self.asked(address)
        if address is None:
            assert self.end.wait(seconds(20))
            raise socket.gaierror("no answer")
        return REAL(*address, type=socket.SOCK_STREAM)


class Trap:
    """Somewhere a client gets stuck in ``phase``."""

    def __init__(self, phase, way):
        self.phase, self.way = phase, way
        self.address, self.socks, self.server = None, [], None
        if phase == "tcp":
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            self.address = listener.getsockname()
            self.socks = [listener]
            for _ in range(4):  # fill its queue: the next connection gets no answer
                self.socks.append(socket.socket())
                self.socks[-1].setblocking(False)
                with suppress(BlockingIOError):
                    self.socks[-1].connect(self.address)
        elif phase == "back-off":
            self.address = ("127.0.0.1", 1)
        elif phase != "resolving":
            self.server = RawServer(lambda peer: peer.at_end())
            self.address = self.server.listener.getsockname()

    def wait(self, caplog):
        """Wait until the client is in it."""
        if self.phase == "resolving":
            eventually(lambda: (None,) in self.way.asked.calls)
        elif self.phase == "back-off":
            eventually(lambda: "connecting again in 1000.0 s" in caplog.text)
        elif self.phase == "tcp":
            eventually(lambda: (self.address,) in self.way.dialling.calls)
        else:
            eventually(lambda: self.server.buffer)

    def close(self):
        for sock in self.socks:
            sock.close()
        if self.server is not None:
            self.server.__exit__()


@pytest.fixture
def way(monkeypatch):
    way = Way(monkeypatch)
    yield way
    way.end.set()


PHASES = ["resolving", "tcp", "tls", "http", "back-off", "connected"]
MODES = ["connect", "retry", "reconnect"]
CASES = [(phase, mode) for phase in PHASES for mode in MODES]
CASES.remove(("back-off", "connect"))  # there is none


@pytest.mark.alone
@pytest.mark.parametrize(("phase", "mode"), CASES)
def test_stop_in_any_phase(way, phase, mode, caplog):
    tls = phase == "tls"
    good = WebSocketServer(ssl_context=server_context() if tls else None)
    good_log = Log(good)
    good.listen(0, PATH, "127.0.0.1", OCPP)
    good_address = ("127.0.0.1", good.port)
    trap = None if phase == "connected" else Trap(phase, way)
    client = WebSocketClient(
        ssl_context=client_context(),
        handshake_timeout=seconds(60),
        backoff=Backoff(1000, 0, 0) if phase == "back-off" else NO_WAIT,
    )
    log = Log(client)
    url = f"{'wss' if tls else 'ws'}://localhost:{good.port}/ocpp"
    way.address = good_address if trap is None or mode == "reconnect" else trap.address
    attempt = Connecting(client, url, retry=mode == "retry")
    if trap is None or mode == "reconnect":
        assert attempt.join() is None
    if mode == "reconnect":
        if trap is not None:
            way.address = trap.address
        good_log.channel().abort()
        log.disconnected.wait(1)
        if trap is None:
            log.connected.wait(2)
    if trap is not None:
        trap.wait(caplog)
    begun = time.monotonic()
    client.stop()
    assert time.monotonic() - begun < seconds(1.5)  # one, and half of one that a busy machine may take
    error = attempt.join()
    if trap is not None and mode != "reconnect":
        assert isinstance(error, TransportError)
        assert "stopped while connecting" in str(error)
    assert not threads("ocppj-reconnect", "ocppj-close")
    assert len(log.connected.calls) == len(log.disconnected.calls)
    assert len(threads("ocppj-resolve")) == (phase == "resolving")
    good.stop()
    if trap is not None:
        trap.close()


def test_the_handshake_deadline_covers_looking_up(way):
    client = WebSocketClient(handshake_timeout=seconds(0.1), reconnect=False)
    begun = time.monotonic()
    with pytest.raises(TransportError, match="cannot connect to localhost:9: looking the name up takes too long"):
        client.connect("ws://localhost:9/ocpp", "CP_1", OCPP)
    assert time.monotonic() - begun < seconds(2)


def test_a_slow_resolver_holds_one_thread_however_often_a_client_tries(way):
    tries = Recorder()

    class Counting(SystemClock):
        def wait(self, event, timeout):
            tries()
            return super().wait(event, timeout)

    client = WebSocketClient(handshake_timeout=0.02, backoff=NO_WAIT, clock=Counting())
    attempt = Connecting(client, "ws://localhost:9/ocpp", retry=True)
    tries.wait(10)
    assert threads("ocppj-resolve") == ["ocppj-resolve-localhost"]
    client.stop()
    assert "stopped" in str(attempt.join())


# connect(retry=True) ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sockets", "memory"])
def make(request):
    """Return a function that makes (client, log), and one that makes a server which listens where it is told.

    What the first is given are classes that change the client's.
    """
    network, made = MemoryNetwork(), []

    def client(*kinds, **options):
        options.setdefault("backoff", NO_WAIT)
        if request.param == "memory":
            client = type("Client", (*kinds, MemoryClient), {})(network, **options)
        else:
            client = type("Client", (*kinds, WebSocketClient), {})(**options)
        made.append(client)
        return client, Log(client)

    def server(port=0, **options):
        server = network.server(**options) if request.param == "memory" else WebSocketServer(**options)
        made.append(server)
        log = Log(server)
        server.listen(port, PATH, "127.0.0.1", OCPP)
        return server, log

    yield client, server
    for thing in made:
        thing.stop()


def port_of(server):
    return int(server.url.split("/")[2].rpartition(":")[2])


def test_the_first_connection_is_tried_until_it_is_made(make, caplog):
    make_client, make_server = make
    clock = ManualClock()
    server, server_log = make_server()
    url, port = server.url, port_of(server)
    server.stop()
    client, log = make_client(clock=clock, backoff=Backoff(10, 4, 2, random=lambda: 0.5))
    attempt = Connecting(client, url, retry=True)
    for wait in (12, 26):
        eventually(lambda wait=wait: f"; connecting again in {wait}.0 s" in caplog.text)
        assert clock.wait_for_waiters(1)
        clock.advance(wait - 0.01)
        assert attempt.thread.is_alive()
        if wait == 26:
            make_server(port)
        clock.advance(0.02)
    assert attempt.join() is None
    log.connected.wait(1)
    stories = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(stories) == 2
    assert all(story.startswith("CP_1: cannot connect to") for story in stories)


def test_without_waiting_it_is_tried_by_a_thread(make):
    make_client, make_server = make
    clock = ManualClock()
    server, server_log = make_server()
    url, port = server.url, port_of(server)
    server.stop()
    client, log = make_client(clock=clock, backoff=Backoff(10, 0, 0))
    client.connect(url, "CP_1", OCPP, retry=True, wait=False)
    assert client.get_channel() is None
    assert clock.wait_for_waiters(1)
    with pytest.raises(UsageError, match="already"):
        client.connect(url, "CP_1", OCPP, retry=True, wait=False)
    make_server(port)
    clock.advance(10)
    log.connected.wait(1)
    client.stop()
    assert not threads("ocppj-reconnect")


def test_without_waiting_there_must_be_retries(make):
    make_client, make_server = make
    client, log = make_client()
    with pytest.raises(UsageError, match="retry=True"):
        client.connect("ws://127.0.0.1:1", "CP_1", OCPP, wait=False)


def test_without_wait_connect_raises_when_no_thread_starts(make, monkeypatch):
    make_client, make_server = make
    server, server_log = make_server()
    client, log = make_client()

    def no_more(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError, match="new thread"):
            client.connect(server.url, "CP_1", OCPP, retry=True, wait=False)
    client.connect(server.url, "CP_1", OCPP, retry=True)  # nothing of it is left
    log.connected.wait(1)


def test_after_retrying_a_lost_connection_is_regained_as_ever(make, caplog):
    make_client, make_server = make
    server, server_log = make_server()
    client, log = make_client()
    client.connect(server.url, "CP_1", OCPP, retry=True)
    with pytest.raises(UsageError):
        client.connect(server.url, "CP_1", OCPP, retry=True)
    server_log.channel().abort()
    log.connected.wait(2)
    assert "CP_1: the connection was closed with 1006" in caplog.text
    assert "connecting again in 0.0 s" in caplog.text


@pytest.mark.parametrize("reconnect", [False, True])
def test_a_refusal_is_tried_again(make, reconnect):
    make_client, make_server = make
    server, _ = make_server()
    answers = [False, False, True]
    server.set_check_client_handler(lambda request: answers.pop(0))
    client, log = make_client(reconnect=reconnect)
    with pytest.raises(HandshakeRefused):
        client.connect(server.url, "CP_1", OCPP)
    client.connect(server.url, "CP_1", OCPP, retry=True)
    assert answers == []
    assert client.get_channel() is not None


def test_what_can_never_be_is_not_tried_again(make):
    make_client, _ = make
    client, _ = make_client(backoff=Backoff(1000, 0, 0))
    with pytest.raises(UsageError):
        client.connect("ws://127.0.0.1:1", "CP_1", [], retry=True)
    client = WebSocketClient(backoff=Backoff(1000, 0, 0))
    for url in ("http://127.0.0.1", "ws://"):
        with pytest.raises(UsageError):
            client.connect(url, "CP_1", OCPP, retry=True)


class Failing(ClientCore):
    """A client whose attempts to connect fail with a given error."""

    def __init__(self, *problems):
        super().__init__(backoff=NO_WAIT)
        self.problems = list(problems)

    def open_wire(self, session, attempt):
        raise self.problems.pop(0)


def test_a_usage_error_of_an_attempt_ends_the_trying():
    client = Failing(TransportError("no"), ZeroDivisionError("unforeseen"), UsageError("never"), UsageError("again"))
    with pytest.raises(UsageError, match="never"):
        client.connect("ws://127.0.0.1:1", "CP_1", OCPP, retry=True)
    assert len(client.problems) == 1


def test_stop_between_attempts_and_connect_again(make):
    make_client, make_server = make
    server, _ = make_server()
    url, port = server.url, port_of(server)
    server.stop()
    clock = ManualClock()
    client, _ = make_client(clock=clock, backoff=Backoff(1000, 0, 0))
    attempt = Connecting(client, url, retry=True)
    assert clock.wait_for_waiters(1)
    client.stop()
    assert str(attempt.join()) == "stopped while connecting"
    make_server(port)
    client.connect(url, "CP_1", OCPP, retry=True)


def test_a_back_off_without_end_can_be_waited_for(make):
    make_client, _ = make
    client, _ = make_client(backoff=Backoff(LONGEST, 0, 5))
    attempt = Connecting(client, "ws://127.0.0.1:1", retry=True)
    eventually(lambda: session_of(client) is not None and attempt_of(client) is None)
    client.stop()
    assert str(attempt.join()) == "stopped while connecting"


def test_an_attempt_that_is_canceled_early_fails_as_soon_as_it_can_be_interrupted():
    attempt, interrupted = ConnectAttempt(), Recorder()
    attempt.interrupt_with(interrupted)
    attempt.cancel()
    interrupted.wait(1)
    attempt = ConnectAttempt()
    attempt.cancel()
    with pytest.raises(TransportError, match="stopped while connecting"):
        attempt.interrupt_with(interrupted)


def test_a_session_that_is_over_begins_nothing():
    """``stop()`` came between the wait and the attempt."""
    client = Failing(TransportError("tried"))
    session = Session(client, "ws://127.0.0.1:1", "CP_1", OCPP)
    session.stop(1000, "", seconds(1))
    with pytest.raises(TransportError, match="stopped while connecting"):
        session.connect()
    assert len(client.problems) == 1


class StoppedInTime:
    """A client that is stopped when it has just connected."""

    def open_wire(self, session, attempt):
        opened = super().open_wire(session, attempt)
        self.stop()
        return opened


def test_a_connection_that_was_made_while_it_was_stopped_is_given_up(make):
    make_client, make_server = make
    server, server_log = make_server()
    client, log = make_client(StoppedInTime)
    with pytest.raises(TransportError, match="stopped while connecting"):
        client.connect(server.url, "CP_1", OCPP)
    assert client.get_channel() is None
    server_log.disconnected.wait(1)
    assert log.connected.calls == []


def test_the_end_of_a_connection_that_is_not_to_be_regained_may_begin_another(make):
    make_client, make_server = make
    server, server_log = make_server()
    client, log = make_client(reconnect=False)
    client.connect(server.url, "CP_1", OCPP)
    again = Recorder()
    log.on_disconnected = lambda channel, close: again(client.connect(server.url, "CP_1", OCPP))
    server_log.channel().abort()
    again.wait(1)
    log.connected.wait(2)
    assert client.get_channel() is not None


def test_reconnecting_may_be_switched_off_when_the_connection_is_lost(make, caplog):
    make_client, make_server = make
    server, server_log = make_server()
    client, log = make_client()
    client.connect(server.url, "CP_1", OCPP)
    log.on_disconnected = lambda channel, close: setattr(client, "reconnect", False)
    server_log.channel().abort()
    log.disconnected.wait(1)
    eventually(lambda: session_of(client).over)
    client.reconnect = True
    client.connect(server.url, "CP_1", OCPP)
    assert "connecting again" not in caplog.text
    assert len(log.connected.calls) == 2


class Outage(Backoff):
    """A back-off that is not as it should be."""

    def __init__(self, *waits):
        super().__init__(0, 0)
        self._waits = waits

    def waits(self):
        for wait in self._waits:
            if wait is None:
                raise ZeroDivisionError("a fault in the back-off")
            yield wait


@pytest.mark.parametrize("waits", [(5,), (5, None)], ids=["end", "end in an error"])
def test_a_client_does_not_give_up_because_its_back_off_does(make, waits, caplog):
    make_client, make_server = make
    clock = ManualClock()
    server, server_log = make_server()
    url, port = server.url, port_of(server)
    client, log = make_client(clock=clock, backoff=Outage(*waits))
    client.connect(url, "CP_1", OCPP)
    server.stop()
    for text, wait in (("again in 5.0 s", 5), ("cannot connect; trying again in 10 s", 10), ("again in 5.0 s", 5)):
        eventually(lambda text=text: text in caplog.text)
        assert clock.wait_for_waiters(1)
        caplog.clear()
        if wait == 10:
            make_server(port)
        clock.advance(wait)
    log.connected.wait(2)


def test_a_connected_client_asks_for_no_other_wait(make):
    """What the back-off did then would look like an attempt that failed: each connection would put out the last."""
    make_client, make_server = make
    clock = ManualClock()
    server, server_log = make_server()
    client, log = make_client(clock=clock, backoff=Outage(5, None))
    client.connect(server.url, "CP_1", OCPP, retry=True)
    server_log.channel().abort()
    assert clock.wait_for_waiters(1)
    clock.advance(5)
    log.connected.wait(2)
    eventually(lambda: not threads("ocppj-reconnect"))
    assert client.get_channel() is not None
    client.stop()
    unlucky, _ = make_client(backoff=Outage(None))
    unlucky.connect(server.url, "CP_2", OCPP, retry=True)


def test_stop_while_the_back_off_fails_and_fails(make, caplog):
    make_client, make_server = make
    clock = ManualClock()
    server, server_log = make_server()
    client, log = make_client(clock=clock, backoff=Outage(None))
    client.connect(server.url, "CP_1", OCPP)
    server.stop()
    for turn in (1, 2, 3):
        eventually(lambda turn=turn: caplog.text.count("cannot connect; trying again") == turn)
        assert clock.wait_for_waiters(1)
        clock.advance(10)
    client.stop()
    assert not threads("ocppj-reconnect")


def test_connect_raises_when_the_waits_end(make):
    make_client, _ = make
    client, _ = make_client(backoff=Outage(0))
    with pytest.raises(UsageError, match="have no end"):
        client.connect("ws://127.0.0.1:1", "CP_1", OCPP, retry=True)


# Retry-After --------------------------------------------------------------------------------------------------------


def refusing(answers):
    def script(peer):
        for number, answer in enumerate(answers):
            if number:
                peer.accept()
            peer.read_head()
            peer.send(answer)
            peer.sock.close()

    return script


@pytest.mark.parametrize(
    ("field", "wait"),
    [
        (b"Retry-After: 120", 120),
        (b"retry-after:  7 ", 7),
        (b"Retry-After: 1", 5),
        (b"Retry-After: 999999", 3600),
        (b"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", 5),
        (b"Retry-After: -1", 5),
        (b"X-Other: 120", 5),
    ],
)
def test_retry_after_is_waited_for(field, wait, caplog):
    clock = ManualClock()
    with RawServer(refusing([b"HTTP/1.1 503 Busy\r\n" + field + b"\r\n\r\n"] * 2)) as server:
        client = WebSocketClient(clock=clock, backoff=Backoff(5, 0, 0))
        attempt = Connecting(client, server.url, retry=True)
        eventually(lambda: f"; connecting again in {wait}.0 s" in caplog.text)
        assert clock.wait_for_waiters(1)
        clock.advance(wait - 0.01)
        assert clock.wait_for_waiters(1)
        clock.advance(0.02)
        assert server.done.wait(seconds(5))
        client.stop()
        attempt.join()


def test_a_refusal_says_when_to_come_again(make):
    make_client, make_server = make
    server, _ = make_server(max_connections=1)
    first, _ = make_client()
    first.connect(server.url, "CP_1", OCPP)
    second, _ = make_client()
    with pytest.raises(HandshakeRefused) as caught:
        second.connect(server.url, "CP_2", OCPP)
    assert (caught.value.status, caught.value.retry_after) == (503, 60.0)
    server.set_check_client_handler(lambda request: False)
    first.stop()
    with pytest.raises(HandshakeRefused) as caught:
        eventually(lambda: server.get_channel("CP_1") is None)
        second.connect(server.url, "CP_2", OCPP)
    assert (caught.value.status, caught.value.retry_after) == (404, None)


# Without threads ----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_reconnect_thread(monkeypatch):
    """Let reconnect threads fail to start as long as ``failing`` is set."""
    failing, failed = threading.Event(), Recorder()
    start = threading.Thread.start

    def start_or_fail(thread):
        if failing.is_set() and thread.name.startswith("ocppj-reconnect"):
            failed()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    failing.set()
    return failing, failed


def test_a_connection_is_regained_though_no_thread_could_be_started_at_first(make, no_reconnect_thread, caplog):
    failing, _ = no_reconnect_thread
    make_client, make_server = make
    clock = ManualClock()
    server, server_log = make_server()
    client, log = make_client(clock=clock)
    client.connect(server.url, "CP_1", OCPP)
    server_log.channel().abort()
    for count in (1, 2, 3):
        eventually(lambda count=count: caplog.text.count("cannot reconnect yet") == count)
        assert clock.wait_for_waiters(1)
        if count == 3:
            failing.clear()
        clock.advance(1.0)
    eventually(lambda: "connecting again in 0.0 s" in caplog.text)
    assert clock.wait_for_waiters(1)
    clock.advance(0.01)
    log.connected.wait(2)
    assert len(log.disconnected.calls) == 1
    assert caplog.text.count("cannot reconnect yet: can't start new thread") == 3


def test_stop_while_no_thread_can_be_started(make, no_reconnect_thread):
    _, failed = no_reconnect_thread
    make_client, make_server = make
    clock = ManualClock()  # it would wait for ever
    server, server_log = make_server()
    client, log = make_client(clock=clock)
    client.connect(server.url, "CP_1", OCPP)
    server_log.channel().abort()
    failed.wait(1)
    assert clock.wait_for_waiters(1)
    client.stop()
    server.stop()
    assert not threads()
    assert len(log.disconnected.calls) == 1
