"""`MemoryNetwork.wait_until_quiet`: what is under way between the ends of a network in memory, and what is at rest."""

import threading

import pytest

from ocppj import Backoff, HandshakeRefused, ManualClock
from ocppj.events import Event
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.readers import Readers, SharedReaders
from tests.helpers import Recorder, eventually, seconds
from tests.inside.transports import rest_of_wire
from tests.interleaving import at_call
from tests.ws.support import OCPP, PATH, Log

LONG = seconds(10)
SHORT = 0.05


class Ends:
    """A server and a client of one network, with what they call."""

    def __init__(self, readers):
        self.network = MemoryNetwork()
        self.clock = ManualClock()
        backoff = Backoff(60, 0, 0)
        self.server = self.network.server(readers=readers)
        self.client = self.network.client(readers=readers, clock=self.clock, backoff=backoff)
        self.of_server, self.of_client = Log(self.server), Log(self.client)

    def listen(self):
        self.server.listen(0, PATH, "csms", OCPP)
        return self

    def connect(self):
        self.listen()
        self.url = self.server.url
        self.client.connect(self.url, "CP_1", OCPP)
        return self

    def is_quiet(self, timeout=LONG):
        return self.network.wait_until_quiet(timeout)


class ByHand(Readers):
    """Steps a source when the test says so, as shared readers do."""

    def __init__(self):
        self.source = None

    def add(self, source):
        assert source.watch(lambda: None)
        self.source = source

    def submit(self, source, job):
        raise NotImplementedError

    def wake(self, source):
        pass

    def flush(self, source):
        pass

    def stop(self, timeout, exempt=()):
        if self.source is not None:
            self.source.finish()
        return True


@pytest.fixture
def by_hand():
    """A connection whose server's end is stepped by hand."""
    readers = ByHand()
    made = Ends(lambda: readers)
    made.client = made.network.client(reconnect=False)
    made.connect()
    made.source = readers.source
    yield made
    made.source.finish()
    made.client.stop()
    made.server.stop()


@pytest.fixture(params=["per-connection", "shared", "auto"])
def ends(request):
    made = Ends(request.param)
    yield made
    made.client.stop()
    made.server.stop()
    assert made.is_quiet(), made.network.activity.under_way()


@pytest.fixture
def gate():
    """What blocks until the test opens it, or ends."""
    event = Event()
    yield event
    event.set()


def test_an_empty_network_is_quiet():
    assert MemoryNetwork().wait_until_quiet(0)


def test_a_network_with_a_connection_is_quiet(ends):
    ends.connect()
    assert ends.is_quiet()
    assert len(ends.of_server.connected.calls) == len(ends.of_client.connected.calls) == 1


def test_a_frame_is_under_way_until_its_handler_has_returned(ends, gate):
    ends.of_server.on_message = lambda channel, text: gate.wait(LONG)
    ends.connect()
    ends.client.send("first")
    assert not ends.is_quiet(SHORT)
    gate.set()
    assert ends.is_quiet()
    assert ends.of_server.texts == ["first"]


def test_frames_are_read_when_all_is_quiet(ends):
    """A thousand frames each way, each of the one an answer to one of the other."""
    ends.of_server.on_message = lambda channel, text: channel.send("answer", wait=False)
    ends.connect()
    for number in range(1000):
        ends.client.send(str(number))
    assert ends.is_quiet()
    assert ends.of_server.texts == [str(number) for number in range(1000)]
    assert ends.of_client.texts == ["answer"] * 1000


def test_a_job_is_under_way_until_it_has_ended(ends, gate):
    ended = Recorder()
    ends.of_server.on_message = lambda channel, text: channel.submit(lambda: (gate.wait(LONG), ended()))
    ends.connect()
    ends.client.send("first")
    ends.client.send("second")
    assert not ends.is_quiet(SHORT)
    gate.set()
    assert ends.is_quiet()
    assert len(ended.calls) == 2


def test_the_connected_handler_is_under_way(ends, gate):
    ends.of_server.on_connected = lambda channel: gate.wait(LONG)
    ends.listen()
    thread = threading.Thread(target=lambda: ends.client.connect(ends.server.url, "CP_1", OCPP), daemon=True)
    thread.start()
    ends.of_server.connected.wait()
    assert not ends.is_quiet(SHORT)
    gate.set()
    assert ends.is_quiet()
    assert ends.client.get_channel() is not None


def test_an_attempt_that_is_refused_leaves_nothing(ends):
    ends.listen()
    ends.server.set_check_client_handler(lambda request: False)
    with pytest.raises(HandshakeRefused):
        ends.client.connect(ends.server.url, "CP_1", OCPP)
    assert ends.is_quiet()


def test_a_client_without_a_subprotocol_in_common_leaves_nothing(ends):
    ends.listen()
    ends.client.reconnect = False
    with pytest.raises(OSError):
        ends.client.connect(ends.server.url, "CP_1", ["ocpp0.1"])
    assert ends.is_quiet()


@pytest.mark.parametrize("how", ["close", "abort"])
def test_an_end_is_under_way_until_it_has_been_told(ends, gate, how):
    ends.client.reconnect = False
    ends.of_client.on_disconnected = lambda channel, close: gate.wait(LONG)
    ends.connect()
    getattr(ends.of_server.channel(), how)()
    assert not ends.is_quiet(SHORT)
    gate.set()
    assert ends.is_quiet()
    assert len(ends.of_client.disconnected.calls) == len(ends.of_server.disconnected.calls) == 1


def test_a_job_of_the_end_is_under_way(ends, gate):
    ended = Recorder()
    ends.client.reconnect = False
    ends.of_client.on_disconnected = lambda channel, close: channel.submit(lambda: (gate.wait(LONG), ended()))
    ends.connect()
    ends.of_server.channel().close()
    assert not ends.is_quiet(SHORT)
    gate.set()
    assert ends.is_quiet()
    assert len(ended.calls) == 1


def test_a_back_off_is_at_rest_and_its_end_is_not(ends, gate):
    """The clock is held. The thread that reconnects counts as soon as its time has come."""
    ends.connect()
    ends.of_server.channel().abort()
    assert ends.is_quiet()
    assert len(ends.of_client.disconnected.calls) == 1
    assert ends.clock.next_due() == 60
    ends.of_server.on_connected = lambda channel: gate.wait(LONG)
    ends.clock.advance(60)
    assert not ends.is_quiet(SHORT)
    gate.set()
    assert ends.is_quiet()
    assert len(ends.of_client.connected.calls) == 2


def test_reconnect_now_is_under_way_at_once(ends):
    ends.connect()
    ends.of_server.channel().abort()
    assert ends.is_quiet()
    assert ends.client.reconnect_now()
    assert ends.is_quiet()
    assert len(ends.of_client.connected.calls) == 2


def test_a_thread_that_connects_later_is_under_way(ends):
    ends.client.connect("memory://csms:7", "CP_1", OCPP, retry=True, wait=False)
    assert ends.is_quiet()
    assert ends.clock.next_due() == 60, "the first attempt has failed"


def test_attempts_go_on_while_the_clock_is_advanced(ends):
    """With each step one more attempt fails, and the network is quiet only after it."""
    failed = Recorder()
    ends.client.set_attempt_failed_handler(failed)
    ends.client.connect("memory://csms:7", "CP_1", OCPP, retry=True, wait=False)
    for count in range(1, 50):
        assert ends.is_quiet()
        assert len(failed.calls) == count
        ends.clock.advance(ends.clock.next_due())


def test_a_paused_channel_is_at_rest_whatever_waits_for_it(ends):
    room = []
    ends.of_server.on_message = lambda channel, text: channel.pause(lambda: bool(room)) if not room else None
    ends.connect()
    for number in range(10):
        ends.client.send(str(number))
    assert ends.is_quiet()
    assert ends.of_server.texts == ["0"]
    room.append(True)
    ends.of_server.channel().resume()
    assert ends.is_quiet()
    assert ends.of_server.texts == [str(number) for number in range(10)]


def test_a_channel_that_is_not_to_read_is_at_rest(ends):
    ends.connect()
    channel = ends.of_server.channel()
    channel.pause_reading()
    for number in range(10):
        ends.client.send(str(number))
    assert ends.is_quiet(), ends.network.activity.under_way()
    assert ends.of_server.texts == []
    channel.resume_reading()
    assert ends.is_quiet()
    assert ends.of_server.texts == [str(number) for number in range(10)]
    for _ in range(20):
        channel.pause_reading()
        channel.resume_reading()
        ends.client.send("more")
        assert ends.is_quiet()
    assert len(ends.of_server.texts) == 30


def test_a_channel_that_is_not_to_read_ends_when_it_is_cut(ends):
    ends.client.reconnect = False
    ends.connect()
    channel = ends.of_server.channel()
    channel.pause_reading()
    ends.client.send("first")
    assert ends.is_quiet()
    channel.abort()
    assert ends.is_quiet()
    assert len(ends.of_server.disconnected.calls) == len(ends.of_client.disconnected.calls) == 1


def test_a_peer_that_has_gone_while_nothing_is_read(ends):
    ends.client.reconnect = False
    ends.connect()
    channel = ends.of_server.channel()
    channel.pause_reading()
    ends.client.send("first")
    ends.of_client.channel().abort()
    assert ends.is_quiet()
    assert len(ends.of_client.disconnected.calls) == 1
    channel.resume_reading()
    assert ends.is_quiet()
    assert len(ends.of_server.disconnected.calls) == 1


def test_a_paused_channel_that_closes_is_under_way(ends):
    ends.client.reconnect = False
    ends.of_server.on_message = lambda channel, text: channel.pause(lambda: False)
    ends.connect()
    ends.client.send("first")
    assert ends.is_quiet()
    ends.of_server.channel().close()
    assert ends.is_quiet()
    assert len(ends.of_server.disconnected.calls) == len(ends.of_client.disconnected.calls) == 1


def test_a_frame_that_comes_at_the_end_of_a_step_is_under_way(by_hand):
    """The step has looked for the last time. Another one comes."""
    source = by_hand.source
    by_hand.client.send("first")
    with at_call(rest_of_wire(source), lambda: by_hand.client.send("second")) as met:
        assert source.step(False)
    assert met and by_hand.of_server.texts == ["first"]
    assert not by_hand.is_quiet(SHORT)
    assert source.step(False)
    assert by_hand.of_server.texts == ["first", "second"]
    assert by_hand.is_quiet()


def test_a_channel_that_is_resumed_at_the_end_of_a_step_is_under_way(by_hand):
    """It had no room when the step looked for the last time."""
    source, room = by_hand.source, []
    by_hand.of_server.on_message = lambda channel, text: channel.pause(lambda: bool(room)) if not room else None
    by_hand.client.send("first")
    by_hand.client.send("second")

    def make_room():
        room.append(True)
        source.resume()

    with at_call(rest_of_wire(source), make_room) as met:
        assert source.step(False)
    assert met and by_hand.of_server.texts == ["first"]
    assert not by_hand.is_quiet(SHORT)
    assert source.step(False)
    assert by_hand.of_server.texts == ["first", "second"]
    assert by_hand.is_quiet()


def test_jobs_that_a_stop_discards_leave_nothing(ends, gate):
    begun = Recorder()
    ends.of_server.on_message = lambda channel, text: channel.submit(lambda: (begun(), gate.wait(LONG)))
    ends.connect()
    for number in range(10):
        ends.client.send(str(number))
    begun.wait()
    ends.client.stop()
    threading.Timer(SHORT, gate.set).start()
    ends.server.stop()
    assert ends.is_quiet()
    assert len(begun.calls) == 1


def test_a_stop_is_under_way(ends, gate):
    ends.client.reconnect = False
    ends.of_client.on_disconnected = lambda channel, close: gate.wait(LONG)
    ends.connect()
    thread = threading.Thread(target=ends.client.stop, daemon=True)
    thread.start()
    ends.of_client.disconnected.wait()
    assert not ends.is_quiet(SHORT)
    gate.set()
    assert ends.is_quiet()
    thread.join(LONG)
    assert ends.client.get_channel() is None


def test_what_a_job_waits_for_on_a_clock_is_at_rest(ends):
    """With an event and with time, however the wait ends, it counts as soon as it could."""
    woken, event = Recorder(), Event()

    def job():
        woken(ends.clock.wait(event, 60))

    ends.of_server.on_message = lambda channel, text: channel.submit(job)
    ends.connect()
    ends.client.send("first")
    assert ends.is_quiet()
    assert not woken.calls
    ends.clock.advance(60)
    assert ends.is_quiet()
    assert woken.calls == [(False,)]
    ends.client.send("second")
    assert ends.is_quiet()
    event.set()
    assert ends.is_quiet()
    assert woken.calls == [(False,), (True,)]


def test_jobs_that_wait_for_the_end_of_jobs_at_rest(ends):
    """The jobs of a connection run one after the other."""
    ran = Recorder()

    def job(text):
        ends.clock.wait(Event(), 60)
        ran(text)

    ends.of_server.on_message = lambda channel, text: channel.submit(lambda: job(text))
    ends.connect()
    for text in ("first", "second", "third"):
        ends.client.send(text)
    for count in range(1, 4):
        assert ends.is_quiet()
        ends.clock.advance(60)
        assert ends.is_quiet()
        assert len(ran.calls) == count


def test_jobs_that_wait_for_a_slot_of_shared_readers():
    """All slots are taken by jobs at rest."""
    network, clock, ran = MemoryNetwork(), ManualClock(), Recorder()
    readers = SharedReaders(max_handlers=2)
    server = network.server(readers=readers)
    clients = [network.client(reconnect=False) for _ in range(5)]

    def job(text):
        clock.wait(Event(), 60)
        ran(text)

    log = Log(server)
    log.on_message = lambda channel, text: channel.submit(lambda: job(text))
    server.listen(0, PATH, "csms", OCPP)
    try:
        for number, client in enumerate(clients):
            client.connect(server.url, f"CP_{number}", OCPP)
            client.send(f"text {number}")
        for count in (0, 2, 4, 5):
            assert network.wait_until_quiet(LONG), network.activity.under_way()
            assert len(ran.calls) == count
            clock.advance(60)
    finally:
        for client in clients:
            client.stop()
        server.stop()
        readers.stop(LONG)


def test_a_job_may_ask_whether_all_else_is_quiet(ends):
    found = Recorder()
    ends.of_server.on_message = lambda channel, text: channel.submit(lambda: found(ends.is_quiet()))
    ends.connect()
    ends.client.send("first")
    found.wait()
    assert found.calls == [(True,)]
    assert ends.is_quiet()


def test_many_connections_come_and_go():
    """More than have threads of their own, so that they move to shared readers meanwhile."""
    network = MemoryNetwork()
    server = network.server()
    log = Log(server)
    log.on_message = lambda channel, text: channel.submit(lambda: channel.send(text))
    server.listen(0, PATH, "csms", OCPP)
    clients = [network.client(reconnect=False) for _ in range(20)]
    logs = [Log(client) for client in clients]
    try:
        for number, client in enumerate(clients):
            client.connect(server.url, f"CP_{number}", OCPP)
            for sender in clients[: number + 1]:
                sender.send("text")
            assert network.wait_until_quiet(LONG)
            assert sum(len(each.texts) for each in logs) == (number + 1) * (number + 2) / 2
        for client in clients:
            client.stop()
        assert network.wait_until_quiet(LONG)
        assert len(log.disconnected.calls) == 20
    finally:
        for client in clients:
            client.stop()
        server.stop()
    eventually(lambda: network.wait_until_quiet(0))
