"""Reading that is paused and resumed by the program: every transport, both readers."""

import random
import socket
import threading
import time

import pytest

from ocppj.errors import TransportError
from ocppj.ws.connection.channel import WireChannel
from ocppj.ws.connection.raw_frame import TEXT
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder, eventually, seconds
from tests.interleaving import Interleaving
from tests.ws.support import OCPP, PATH, Log, RawClient, close_frame, frame
from tests.ws.test_ws_memory import ByHand

PING, PONG = 9, 10
QUIET = 0.2  # seconds in which nothing is to happen


def nothing_within(recorder, count, n=QUIET):
    """Assert that ``recorder`` is not called again for some time."""
    threading.Event().wait(seconds(n))
    assert len(recorder.calls) == count


@pytest.fixture(params=["server", "client"])
def ends(request, pair):
    """The paused side's channel and log, and the channel of the peer."""
    _, server_log, _, client_log = pair.both()
    if request.param == "server":
        return server_log.channel(), server_log, client_log.channel()
    return client_log.channel(), client_log, server_log.channel()


def test_nothing_is_delivered_until_reading_is_resumed(ends):
    channel, log, peer = ends
    peer.send("0")
    log.wait_texts(1)
    channel.pause_reading()
    for number in range(1, 50):
        peer.send(str(number))
    nothing_within(log.message, 1)
    channel.resume_reading()
    assert log.wait_texts(50) == [str(number) for number in range(50)]
    peer.send("more")
    assert log.wait_texts(51)[-1] == "more"


def test_it_can_be_done_again_and_again(ends):
    channel, log, peer = ends
    for number in range(20):
        channel.pause_reading()
        channel.pause_reading()
        peer.send(str(number))
        if number % 5 == 0:
            nothing_within(log.message, number, 0.05)
        channel.resume_reading()
        channel.resume_reading()
        assert log.wait_texts(number + 1)[-1] == str(number)


def test_a_paused_side_sends_all_the_same(pair):
    _, server_log, _, client_log = pair.both()
    server_log.channel().pause_reading()
    client_log.channel().send("not read")
    for number in range(20):
        server_log.channel().send(str(number))
    assert client_log.wait_texts(20) == [str(number) for number in range(20)]
    assert server_log.texts == []


def test_it_may_begin_in_the_connected_handler(pair):
    server, server_log = pair.server()
    server_log.on_connected = lambda channel: channel.pause_reading()
    client, _ = pair.client(server.url)
    client.send("early")
    nothing_within(server_log.message, 0)
    server_log.channel().resume_reading()
    assert server_log.wait_texts(1) == ["early"]


def test_it_may_begin_while_a_message_is_delivered(pair):
    """The message that is being delivered is the last, though others have come with it."""
    _, server_log, _, client_log = pair.both()
    server_log.on_message = lambda channel, text: channel.pause_reading() if text == "0" else None
    client_log.channel().send_frame(TEXT, b"part ", False)
    client_log.channel().send_frame(0, b"of one")
    for number in range(30):
        client_log.channel().send(str(number))
    server_log.wait_texts(2)
    nothing_within(server_log.message, 2)
    server_log.channel().resume_reading()
    assert server_log.wait_texts(31) == ["part of one", *(str(number) for number in range(30))]


@pytest.mark.parametrize("how", ["close", "abort", "stop", "the peer stops"])
def test_a_paused_connection_ends_in_time(pair, how):
    server, server_log = pair.server(close_timeout=seconds(1))
    client, client_log = pair.client(server.url, close_timeout=seconds(1))
    channel = server_log.channel()
    channel.pause_reading()
    for number in range(5):
        client.send(str(number))
    nothing_within(server_log.message, 0, 0.05)
    begun = time.monotonic()
    {"close": channel.close, "abort": channel.abort, "stop": server.stop, "the peer stops": client.stop}[how]()
    if how != "the peer stops":
        close = server_log.close()
        assert close.code == {"close": 1000, "abort": 1006, "stop": 1001}[how]
        assert not close.by_peer and close.error is None
    assert client_log.close() is not None
    assert time.monotonic() - begun < seconds(5)
    assert server_log.texts == []
    channel.resume_reading()
    server_log.close()
    channel.pause_reading()  # does nothing any more


def test_the_close_handshake_of_a_paused_side_is_a_proper_one(pair):
    _, server_log, _, client_log = pair.both()
    server_log.channel().pause_reading()
    client_log.channel().send("dropped")
    server_log.channel().close(4000, "enough")
    close = client_log.close()
    assert (close.code, close.reason, close.by_peer) == (4000, "enough", True)
    assert server_log.close().code == 4000
    assert server_log.texts == []


def test_a_pause_that_comes_while_the_connection_closes_holds_nothing_up(pair):
    for _ in range(10):
        server, server_log = pair.server(close_timeout=seconds(20))
        client, client_log = pair.client(server.url, close_timeout=seconds(20))
        channel = server_log.channel()
        racer = threading.Thread(target=lambda channel=channel: [channel.pause_reading() for _ in range(50)])
        begun = time.monotonic()
        racer.start()
        channel.close()
        client_log.close()
        server_log.close()
        racer.join()
        assert time.monotonic() - begun < seconds(10)


def test_the_end_of_the_peer_is_found_when_reading_is_resumed(pair):
    _, server_log, client, client_log = pair.both()
    server_log.channel().pause_reading()
    client.send("the last words")
    client_log.channel().abort()
    client_log.close()
    nothing_within(server_log.disconnected, 0)
    assert not server_log.disconnected.calls
    server_log.channel().resume_reading()
    close = server_log.close()
    assert close.code == 1006 and close.error is not None


def test_a_failing_write_ends_a_paused_connection(pair):
    server, server_log = pair.server(ping_interval=None)
    client, client_log = pair.client(server.url)
    channel = server_log.channel()
    channel.pause_reading()
    client.send("unread")
    nothing_within(server_log.message, 0, 0.05)
    client_log.channel().abort()
    client_log.close()

    def is_over():
        try:
            channel.send("x" * 1000)
        except TransportError:
            return True
        return False

    eventually(is_over)
    assert server_log.close().code == 1006


def test_a_paused_peer_does_not_count_as_silent_or_idle(pair):
    options = {"ping_interval": seconds(0.05), "pong_timeout": seconds(0.4)}
    server, server_log = pair.server(idle_timeout=seconds(0.6), **options)
    client, _ = pair.client(server.url, ping_interval=None)
    server_log.channel().pause_reading()
    client.send("unread")
    threading.Event().wait(seconds(1.2))
    assert not server_log.disconnected.calls
    server_log.channel().resume_reading()
    assert server_log.wait_texts(1) == ["unread"]
    assert not server_log.disconnected.calls


def test_a_message_whose_middle_waits_is_not_late(pair):
    """The time for the rest of a message begins anew when reading is resumed: the peer could not send it."""
    server, server_log = pair.server(message_timeout=seconds(1))
    _, client_log = pair.client(server.url)
    channel, peer = server_log.channel(), client_log.channel()
    peer.send_frame(TEXT, b"begun", False)
    peer.send_frame(PING, b"")
    eventually(lambda: server_log.channel().silence < seconds(0.05))
    channel.pause_reading()
    peer.send_frame(0, b" and ", False)
    threading.Event().wait(seconds(1.4))
    channel.resume_reading()
    threading.Event().wait(seconds(0.1))
    peer.send_frame(0, b"ended")
    assert server_log.wait_texts(1) == ["begun and ended"]


def test_it_works_together_with_what_pauses_for_room(pair):
    """Neither of the two reasons ends the pause of the other."""
    _, server_log, client, _ = pair.both()
    channel, room = server_log.channel(), threading.Event()
    server_log.on_message = lambda channel, text: channel.pause(room.is_set) if text == "0" else None
    channel.pause_reading()
    for number in range(5):
        client.send(str(number))
    nothing_within(server_log.message, 0, 0.05)
    channel.resume_reading()
    server_log.wait_texts(1)
    nothing_within(server_log.message, 1, 0.05)  # there is no room
    channel.pause_reading()
    room.set()
    channel.resume()
    nothing_within(server_log.message, 1)  # there is room, but the program does not want it
    channel.resume_reading()
    assert server_log.wait_texts(5) == ["0", "1", "2", "3", "4"]
    room.clear()
    client.send("0")
    server_log.wait_texts(6)
    channel.pause_reading()
    channel.resume_reading()
    client.send("1")
    nothing_within(server_log.message, 6)  # the program wants it, but there is no room
    room.set()
    channel.resume()
    assert server_log.wait_texts(7)[-1] == "1"


def test_pausing_and_resuming_while_much_comes_loses_nothing(pair):
    """Threads that pause and resume at any moment: all is delivered, in order."""
    _, server_log, client, _ = pair.both()
    channel, over, failures = server_log.channel(), threading.Event(), Recorder()

    def flap():
        try:
            while not over.is_set():
                channel.pause_reading()
                channel.resume_reading()
        except Exception as error:
            failures(error)

    racers = [threading.Thread(target=flap) for _ in range(2)]
    for racer in racers:
        racer.start()
    for number in range(500):
        client.send(str(number))
    try:
        texts = eventually(lambda: len(server_log.texts) == 500 and server_log.texts, 30)
    finally:
        over.set()
        for racer in racers:
            racer.join()
    assert texts == [str(number) for number in range(500)]
    assert not failures.calls


@pytest.mark.parametrize("readers", ["per-connection", "shared", "auto"])
def test_no_pong_goes_out_and_the_network_pushes_back(make, readers):
    server, log = make(readers=readers, write_timeout=seconds(10))
    with RawClient(server.url) as raw:
        raw.upgrade()
        channel = log.channel()
        channel.pause_reading()
        raw.send(frame(PING, b"1"))
        raw.sock.settimeout(seconds(QUIET))
        with pytest.raises(socket.timeout):
            raw.read_frame()
        raw.sock.settimeout(seconds(1))
        with pytest.raises(socket.timeout):
            for _ in range(1000):
                raw.send(frame(PING, b"x" * 125) * 1000)
        raw.sock.settimeout(seconds(10))
        channel.resume_reading()
        assert raw.read_frame() == (PONG, b"1")
        assert raw.read_frame() == (PONG, b"x" * 125)


def test_a_paused_connection_costs_no_steps(make, monkeypatch):
    """Shared readers do not step a connection again and again because bytes wait in its socket."""
    steps, step = [], WireChannel.step
    monkeypatch.setattr(WireChannel, "step", lambda channel, block=True: steps.append(1) or step(channel, block))
    server, log = make(readers="shared")
    with RawClient(server.url) as raw:
        raw.upgrade()
        channel = log.channel()
        channel.pause_reading()
        raw.send(frame(TEXT, b"unread"))
        threading.Event().wait(1.0)
        assert 0 < len(steps) < 10
        channel.resume_reading()
        assert log.wait_texts(1) == ["unread"]


def test_paused_connections_move_to_shared_readers(make):
    """With "auto" the ninth connection has all others move, those that are paused too."""
    server, log = make(readers="auto")
    raws = []
    try:
        for number in range(12):
            raws.append(RawClient(server.url))
            raws[-1].upgrade(f"/ocpp/CP_{number}")
            log.connected.wait(number + 1)[-1][0].pause_reading()
            raws[-1].send(frame(TEXT, str(number).encode()))
        nothing_within(log.message, 0)
        for (channel,) in log.connected.calls:
            channel.resume_reading()
        assert sorted(log.wait_texts(12), key=int) == [str(number) for number in range(12)]
    finally:
        for raw in raws:
            raw.sock.close()


class Asked(ByHand):
    """Readers that count how often a step was asked for."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.over = False

    def ask(self):
        self.count += 1

    def add(self, source):
        assert source.watch(self.ask)
        self.source = source

    def resume(self, source):
        self.ask()

    def step(self):
        self.over = self.over or not self.source.step(False)
        due = self.source.next_deadline()
        if due is not None and due <= time.monotonic():
            self.ask()

    def step_as_asked(self):
        while self.count and not self.over:
            self.count -= 1
            self.step()


#: What pausing, resuming and reading run through. None of these holds a lock of the channel.
_METHODS = ["_heed_halt", "_look_for_room", "_read", "begin_close", "pause_reading", "resume", "resume_reading", "step"]
WATCHED = type("WATCHED", (), {name: vars(WireChannel)[name] for name in _METHODS})


@pytest.mark.parametrize("then", ["nothing", "resumed", "closed"])
def test_a_pause_at_any_moment_of_a_step_leaves_nothing_unread(then):
    """A step that leaves something behind asks for another one, or has found that the channel is paused."""
    left = 0
    for seed in range(300):
        readers, network = Asked(), MemoryNetwork()
        server, client = network.server(readers=lambda readers=readers: readers), network.client(reconnect=False)
        log = Log(server)
        client_log = Log(client)
        server.listen(0, PATH, "csms", OCPP)
        client.connect(server.url, "CP_1", OCPP)
        channel = log.channel()
        client.send("0")
        if then == "closed":
            client_log.channel().send_frame(8, b"")
        readers.count = 0  # the step comes
        acts = {
            "nothing": [],
            "resumed": [channel.resume_reading],
            "closed": [lambda c=channel: c.begin_close(1000, "")],
        }
        schedule = Interleaving(random.Random(seed), watched=[WATCHED], often=0.2)
        schedule.run(readers.step, lambda acts=[channel.pause_reading, *acts[then]]: [act() for act in acts])
        left += not (log.texts or readers.over)
        readers.step_as_asked()
        if then == "nothing" and not log.texts:
            assert channel.paused, f"seed {seed}"
            assert network.wait_until_quiet(seconds(10))
            channel.resume_reading()
            readers.step_as_asked()
        assert readers.over or log.texts == ["0"], f"seed {seed}"
        assert readers.over == (then == "closed"), f"seed {seed}"
        readers.source.finish()
        client.stop()
        server.stop()
    assert left > 0, "no schedule has left anything behind"


@pytest.mark.parametrize("readers", ["per-connection", "shared"])
def test_a_network_in_memory_is_quiet_while_a_connection_is_paused(readers):
    network = MemoryNetwork()
    server, client = network.server(readers=readers), network.client(readers=readers, reconnect=False)
    log = Log(server)
    Log(client)
    try:
        server.listen(0, PATH, "csms", OCPP)
        client.connect(server.url, "CP_1", OCPP)
        for number in range(20):
            log.channel().pause_reading()
            client.send("unread")
            assert network.wait_until_quiet(seconds(10))
            assert len(log.texts) == number
            log.channel().resume_reading()
            assert network.wait_until_quiet(seconds(10))
            assert len(log.texts) == number + 1
    finally:
        client.stop()
        server.stop()


def test_it_may_be_over_before_the_connection_is_read(pair):
    server, server_log = pair.server()
    server_log.on_connected = lambda channel: (channel.pause_reading(), channel.resume_reading())
    client, _ = pair.client(server.url)
    client.send("early")
    assert server_log.wait_texts(1) == ["early"]


@pytest.mark.parametrize("readers", ["per-connection", "shared"])
def test_a_close_behind_the_message_that_paused_and_closed_is_found_at_once(readers):
    server = WebSocketServer(readers=readers, close_timeout=seconds(20))
    log = Log(server)

    def pause_and_close(channel, text):
        channel.pause_reading()
        channel.close(1000, "enough")

    log.on_message = pause_and_close
    try:
        server.listen(0, PATH, "127.0.0.1", OCPP)
        with RawClient(server.url) as peer:
            peer.upgrade()
            peer.send(frame(1, b"last") + close_frame(1000, "bye"))
            log.close(8)  # long before the time to close is over
    finally:
        server.stop()
