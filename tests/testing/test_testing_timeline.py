"""Waits of a test: in real time, and with a clock that the wait moves."""

import threading
import time

import pytest

from ocppj import Client, FIFOClientQueue, ManualClock, Server, SystemClock, UsageError, WouldDeadlock, v16
from ocppj.events import Condition, Event
from ocppj.testing import MemoryNetwork
from ocppj.testing.timeline import HeldTimeline, RealTimeline, timeline_for
from tests.fixtures import BEAT, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import Recorder, seconds

LONG = seconds(10)
SHORT = 0.05


class Site:
    """A server and a client in memory, with one clock that is held."""

    def __init__(self, readers="per-connection", **client_options):
        self.clock, self.network = ManualClock(), MemoryNetwork()
        options = {"profiles": v16.PROFILES, "clock": self.clock, "timeout": 30.0}
        self.server = Server(ws_server=self.network.server(readers=readers), **options)
        self.server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        self.server.listen(0)
        transport = self.network.client(readers=readers, clock=self.clock)
        self.client = Client("CP_1", ws_client=transport, **options, **client_options)
        self.timeline = timeline_for(self.clock, self.network)
        self.changed = Condition(threading.Lock())

    def connect(self):
        self.client.connect(self.server.url)
        return self

    def wait(self, ready, seconds_=60.0):
        return self.timeline.wait(ready, seconds_, self.changed)

    def is_quiet(self, timeout=LONG):
        return self.network.wait_until_quiet(timeout)

    def stop(self):
        self.client.stop()
        self.server.stop()


@pytest.fixture(params=["per-connection", "shared"])
def site(request):
    made = Site(request.param)
    yield made
    made.stop()


@pytest.fixture
def gate():
    event = Event()
    yield event
    event.set()


@pytest.fixture
def in_thread():
    """Run a function on another thread, and return a list of what it returned or raised."""
    threads = []

    def run(function):
        ended = Recorder()

        def call():
            try:
                ended(function())
            except Exception as error:
                ended(error)

        threads.append(threading.Thread(target=call, daemon=True))
        threads[-1].start()
        return ended

    yield run
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


# In real time


def test_a_real_wait_ends_when_something_is_ready(in_thread):
    timeline, found, changed = RealTimeline(), [], Condition(threading.Lock())
    ended = in_thread(lambda: timeline.wait(lambda: list(found), LONG, changed))
    with changed:
        found.append("it")
        changed.notify_all()
    assert ended.wait() == [(["it"],)]


def test_a_real_wait_ends_when_its_time_is_over():
    timeline, changed = RealTimeline(), Condition(threading.Lock())
    before = time.monotonic()
    assert timeline.wait(list, SHORT, changed) == []
    assert SHORT <= time.monotonic() - before < LONG


def test_a_real_sleep_sleeps():
    timeline = RealTimeline(SystemClock())
    before = timeline.now()
    timeline.sleep(SHORT)
    assert timeline.now() - before >= SHORT


def test_a_real_wait_raises_what_the_look_raises():
    with pytest.raises(KeyError):
        RealTimeline().wait(lambda: {}["it"], LONG, Condition(threading.Lock()))


# Which timeline


def test_the_timeline_of_a_clock():
    network, held = MemoryNetwork(), ManualClock()
    assert isinstance(timeline_for(None, None), RealTimeline)
    assert isinstance(timeline_for(SystemClock(), network), RealTimeline)
    timeline = timeline_for(held, network)
    assert isinstance(timeline, HeldTimeline)
    assert timeline.clock is held


def test_all_with_the_same_clock_and_network_share_a_timeline():
    network, other, clock = MemoryNetwork(), MemoryNetwork(), ManualClock()
    shared = timeline_for(clock, network)
    assert timeline_for(clock, network) is shared
    assert timeline_for(clock, other) is not shared
    assert timeline_for(ManualClock(), network) is not shared


def test_a_held_clock_needs_a_network_in_memory():
    with pytest.raises(UsageError, match="a ManualClock needs a MemoryNetwork"):
        timeline_for(ManualClock(), None)


# With a held clock


def test_a_wait_moves_the_clock_from_timer_to_timer(site):
    rang = []
    for delay in (10, 20, 300):
        site.clock.call_later(delay, lambda: rang.append(site.clock.monotonic()), "bell")
    assert site.wait(lambda: len(rang) == 2, 1000)
    assert site.timeline.now() == 20
    assert rang == [10, 20]


def test_a_wait_that_fails_ends_at_its_time(site):
    looks = Recorder([])
    before = time.monotonic()
    assert site.wait(looks, 3600) == []
    assert site.timeline.now() == 3600
    assert time.monotonic() - before < LONG / 4
    site.timeline.sleep(1800)
    assert site.timeline.now() == 5400


def test_the_clock_does_not_go_beyond_what_is_waited_for(site):
    """The answer comes in no time, whatever the number of messages that go before it."""
    site.connect()
    futures = [site.client.send_request(HEARTBEAT) for _ in range(20)]
    assert site.wait(lambda: all(future.done() for future in futures))
    assert site.timeline.now() == 0


def test_a_timeout_passes_in_no_time(site):
    site.server.on(v16.HeartbeatRequest, pass_id=True)(lambda client_id, request, message_id: None)
    site.connect()
    future = site.client.send_request(HEARTBEAT)
    assert site.wait(future.done, 3600)
    assert site.timeline.now() == 30
    with pytest.raises(Exception, match="no answer within 30 seconds"):
        future.result()


def test_a_late_answer_comes_at_its_time(site):
    def answer_later(client_id, request, message_id):
        site.clock.call_later(7, lambda: site.server.send_response(client_id, message_id, BEAT), "answer")

    site.server.on(v16.HeartbeatRequest, pass_id=True)(answer_later)
    site.connect()
    future = site.client.send_request(HEARTBEAT)
    assert site.wait(future.done)
    assert site.timeline.now() == 7
    assert future.result() == BEAT


def test_handlers_that_ask_the_other_side_first(site):
    """A handler at rest in call() does not keep the clock from moving."""

    def ask_first(client_id, request):
        assert site.server.call(client_id, RESET).status == "Accepted"
        return BEAT

    def reset_later(request):
        site.clock.wait(Event(), 5)
        return RESET_DONE

    site.server.on(v16.HeartbeatRequest)(ask_first)
    site.client.on(v16.ResetRequest)(reset_later)
    site.connect()
    future = site.client.send_request(HEARTBEAT)
    assert site.wait(future.done)
    assert site.timeline.now() == 5
    assert future.result() == BEAT


def test_a_wait_does_not_wait_for_a_handler_when_it_has_what_it_wants(site, gate):
    met = Recorder()
    site.server.on(v16.HeartbeatRequest)(lambda client_id, request: (met(), gate.wait(LONG)) and BEAT)
    site.connect()
    site.client.send_request(HEARTBEAT)
    before = time.monotonic()
    assert site.wait(lambda: met.calls)
    assert site.timeline.now() == 0
    assert time.monotonic() - before < LONG / 2
    gate.set()


def test_a_handler_that_does_not_end_fails_a_wait(site, gate, monkeypatch):
    monkeypatch.setattr("ocppj.testing.timeline._PATIENCE", SHORT)
    site.server.on(v16.HeartbeatRequest)(lambda client_id, request: gate.wait(LONG) and BEAT)
    site.connect()
    site.client.send_request(HEARTBEAT)
    with pytest.raises(RuntimeError, match=r"there is no rest yet. Under way: the thread ocppj-(dispatcher|worker)"):
        site.wait(lambda: False)
    assert site.timeline.now() == 0
    gate.set()


def test_what_a_look_raises_is_raised_where_it_was_waited_for(site, in_thread):
    ended = in_thread(lambda: site.wait(lambda: {}["it"] if site.timeline.now() >= 5 else None))
    site.clock.call_later(5, lambda: None, "bell")
    assert site.wait(lambda: site.timeline.now() >= 20, 20)
    error = ended.wait()[0][0]
    assert isinstance(error, KeyError)


def test_several_waits_at_once(site, in_thread):
    """None goes beyond the time of another one, and each sees what happens at its time."""
    rang = []
    for delay in (3, 5, 40):
        site.clock.call_later(delay, lambda delay=delay: rang.append(delay), "bell")
    waits = [
        in_thread(lambda number=number: (site.wait(lambda: len(rang) >= number, 30), list(rang))[0])
        for number in (1, 2, 3, 3)
    ]
    site.wait(lambda: len(rang) == 3, 100)
    assert [wait.wait()[0][0] for wait in waits][:2] == [True, True]
    assert rang == [3, 5, 40]


def test_a_wait_in_a_handler(site):
    """The handler does not wait for itself."""
    found = []

    def wait_first(client_id, request):
        found.append(site.wait(lambda: site.timeline.now() >= 3, 10))
        return BEAT

    site.clock.call_later(3, lambda: None, "bell")
    site.server.on(v16.HeartbeatRequest)(wait_first)
    site.connect()
    future = site.client.send_request(HEARTBEAT)
    assert site.wait(future.done)
    assert found == [True]
    assert site.timeline.now() == 3


def test_a_wait_in_a_callback_of_the_clock_is_refused(site):
    found = Recorder()

    def bell():
        with pytest.raises(WouldDeadlock, match="in the callback of a timer"):
            site.timeline.sleep(1)
        found()

    site.clock.call_later(1, bell, "bell")
    assert site.wait(lambda: found.calls)


def test_a_connection_that_is_lost_is_regained_in_no_time(site):
    site.connect()
    site.server.abort("CP_1")
    assert site.wait(lambda: not site.client.is_connected())
    before = time.monotonic()
    assert site.wait(site.client.is_connected, 600)
    assert site.timeline.now() > 1, "the back-off took its time"
    assert time.monotonic() - before < LONG / 4


def test_a_day_of_heartbeats(site):
    site.connect()
    beats, late = [], []

    def beat():
        future = site.client.send_request(HEARTBEAT)
        future.add_done_callback(lambda future: (late if future.exception() else beats).append(future))
        site.clock.call_later(300, beat, "heartbeat")

    site.clock.call_later(300, beat, "heartbeat")
    before = time.monotonic()
    site.timeline.sleep(86_400)
    assert (len(beats), len(late)) == (288, 0)
    assert site.timeline.now() == 86_400
    assert time.monotonic() - before < seconds(5)


# What is under way


def test_a_callback_of_the_clock_is_under_way(site, gate, in_thread):
    """It runs on another thread, which advances the clock."""
    met = Recorder()
    site.clock.call_later(1, lambda: (met(), gate.wait(LONG)), "bell")
    in_thread(lambda: site.clock.advance(1))
    met.wait()
    assert not site.is_quiet(SHORT)
    gate.set()
    assert site.is_quiet()


class SlowQueue(FIFOClientQueue):
    def __init__(self, gate):
        super().__init__()
        self.gate, self.met = gate, Recorder()

    def push(self, bundle):
        self.met()
        self.gate.wait(LONG)
        super().push(bundle)


def test_a_request_that_a_thread_is_about_to_send_is_under_way(gate, in_thread):
    queue = SlowQueue(gate)
    site = Site(queue=queue).connect()
    try:
        sent = in_thread(lambda: site.client.send_request(HEARTBEAT))
        queue.met.wait()
        assert not site.is_quiet(SHORT)
        gate.set()
        assert sent.wait()[0][0].result(LONG) == BEAT
        assert site.is_quiet()
    finally:
        site.stop()


def test_a_request_is_under_way_until_observers_have_seen_it(site, gate, in_thread):
    """Its answer may come before that."""
    seen = Recorder()
    answered = Event()
    site.connect()
    site.server.add_observer(lambda frame: frame.direction == "out" and answered.set())
    site.client.add_observer(lambda frame: (seen(frame.direction), frame.direction == "out" and gate.wait(LONG)))
    in_thread(lambda: site.client.send_request(HEARTBEAT))
    assert answered.wait(LONG)
    assert not site.is_quiet(SHORT)
    assert seen.calls == [("out",)]
    gate.set()
    assert site.is_quiet()
    assert seen.calls == [("out",), ("in",)]


def test_an_answer_is_under_way_until_observers_have_seen_it(site, gate, in_thread):
    ids = Recorder()
    site.server.on(v16.HeartbeatRequest, pass_id=True)(lambda client_id, request, message_id: ids(message_id))
    site.connect()
    future = site.client.send_request(HEARTBEAT)
    message_id = ids.wait()[0][0]
    assert site.is_quiet()
    seen = Recorder()
    site.server.add_observer(lambda frame: frame.direction == "out" and (gate.wait(LONG), seen()))
    in_thread(lambda: site.server.send_response("CP_1", message_id, BEAT))
    assert future.result(LONG) == BEAT
    assert not site.is_quiet(SHORT)
    gate.set()
    assert site.is_quiet()
    assert seen.calls == [()]


def test_timers_of_the_machine_are_under_way_while_they_run(gate):
    """With the clock of the machine the library's own timers count, too."""
    network, met = MemoryNetwork(), Recorder()
    server = Server(profiles=v16.PROFILES, ws_server=network.server())
    server.on(v16.HeartbeatRequest, pass_id=True)(lambda client_id, request, message_id: None)
    server.listen(0)
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=network.client(), timeout=0.1)
    client.set_canceled_request_handler(lambda message_id, request, error: (met(), gate.wait(LONG)))
    try:
        client.connect(server.url).send_request(HEARTBEAT)
        met.wait()
        assert not network.wait_until_quiet(SHORT)
        gate.set()
        assert network.wait_until_quiet(LONG)
    finally:
        gate.set()
        client.stop()
        server.stop()
