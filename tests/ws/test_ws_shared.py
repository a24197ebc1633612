"""SharedReaders: fairness, extra workers, deadlines, what a message costs, and a long random schedule."""

import gc
import random
import selectors
import threading
import time
from collections import Counter

import pytest

from ocppj import Client, Server, v16
from ocppj.errors import UsageError
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.readers import SharedReaders
from ocppj.ws.readers.scheduler import Slot
from tests.helpers import Recorder, eventually, seconds
from tests.inside.readers import events_of, is_parked, kept, set_pace
from tests.ws.schedule import World
from tests.ws.sources import FakeSource, PairSource, TellingSelector, TellingSelectors
from tests.ws.support import OCPP, PATH, Log

NAMES = ["EpollSelector", "KqueueSelector", "DevpollSelector", "PollSelector", "SelectSelector"]
SELECTORS = [getattr(selectors, name) for name in NAMES if hasattr(selectors, name)]


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-worker")]


@pytest.fixture
def readers():
    readers = SharedReaders()
    yield readers
    assert readers.stop(seconds(5))


@pytest.fixture
def sources(readers):
    """Makes sources, and closes those that were added before the readers are stopped."""
    made = []

    def make(count, on_data=lambda source, data: None):
        made.extend(PairSource(f"CP_{number}", on_data) for number in range(len(made), len(made) + count))
        return made[-count:]

    yield make
    for source in made:
        source.close()
        if source.slot is not None:
            source.finished.wait(1)


def stopping(readers):
    """Tell whether a stop has begun."""
    try:
        readers.for_endpoint()
    except UsageError:
        return True
    return False


# One thread ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_comes_for_a_paused_source_keeps_nobody_busy(sources, selector):
    readers = SharedReaders(selector=selector)
    got = Recorder()

    def take(source, data):
        got(source.name, data)
        source.paused = source.name == "CP_0" and data == b"one"

    paused, other = sources(2, take)
    for source in (paused, other):
        readers.add(source)
        source.steps.wait(1)
    paused.far.send(b"one")
    got.wait(1)
    paused.far.send(b"two")
    for number in range(20):
        other.far.send(b"%d" % number)
        got.wait(2 + number)
    assert len(paused.steps.calls) <= 4, "as it was added, when something came, and hardly more"
    paused.paused = False
    readers.resume(paused)
    assert got.wait(22)[-1] == ("CP_0", b"two")
    for source in (paused, other):
        source.close()
        source.finished.wait(1)
    assert readers.stop(seconds(5))


@pytest.mark.parametrize("selector", SELECTORS)
def test_any_selector_does(sources, selector):
    readers = SharedReaders(selector=selector)
    got = Recorder()
    on_data = lambda source, data: readers.submit(source, lambda: got(source.name, data))  # noqa: E731
    made = sources(20, on_data)
    for source in made:
        readers.add(source)
        source.steps.wait(1)
    for number in range(1, 4):
        for source in made:
            source.far.send(b"x")
        got.wait(20 * number)
    block = threading.Event()
    readers.submit(made[0], lambda: block.wait(seconds(20)))
    for source in made:  # read by another worker, which changes what the selector watches
        source.far.send(b"y")
    got.wait(79)
    assert (made[0].name, b"y") not in got.calls
    late = sources(1, on_data)[0]
    readers.add(late)
    late.far.send(b"late")
    got.wait(80)
    block.set()
    got.wait(81)
    for source in [*made, late]:
        source.close()
        source.finished.wait(1)
    assert readers.stop(seconds(5))


def test_an_idle_connection_costs_no_thread_and_no_thread_wakes_up(sources):
    telling = TellingSelectors()
    readers = SharedReaders(selector=telling)
    set_pace(readers, idle_timeout=seconds(0.1))
    made = sources(200)
    for source in made:
        readers.add(source)
    made[-1].steps.wait(1)
    eventually(lambda: is_parked(readers) and telling.waits and len(workers()) == 1)
    asked = telling.made.asked
    assert not threading.Event().wait(seconds(0.1))
    assert telling.waits  # the only worker
    assert telling.made.asked == asked
    assert len(workers()) == 1
    assert is_parked(readers)
    for source in made:
        source.close()
        source.finished.wait(1)
    assert readers.stop(seconds(5))


CALLS = Counter()


class Counting(TellingSelector):
    def __getattribute__(self, name):
        if name in ("register", "unregister", "modify", "select"):
            CALLS[name] += 1
        return super().__getattribute__(name)


def test_a_message_costs_one_wait_and_no_change_of_the_selector(sources):
    CALLS.clear()
    made = []
    readers = SharedReaders(selector=lambda: made.append(Counting()) or made[0])
    set_pace(readers, check_interval=3600.0)
    handled = Recorder()
    (source,) = sources(1, lambda source, data: readers.submit(source, handled))
    others = sources(300)
    for each in [source, *others]:
        readers.add(each)
        each.steps.wait(1)
    eventually(lambda: made[0].waits)
    asked = Counter()
    for each in others:
        each.next_deadline = lambda: asked.update(["deadline"])
    before = Counter(CALLS)
    for number in range(200):
        source.far.send(b"x")
        handled.wait(number + 1)
    eventually(lambda: made[0].waits)
    after = Counter(CALLS)
    assert [after[name] - before[name] for name in ("register", "modify", "unregister")] == [0, 0, 0]
    assert after["select"] - before["select"] <= 201
    assert not asked  # a message of one connection costs the others nothing
    for each in [source, *others]:
        each.close()
        each.finished.wait(1)
    assert readers.stop(seconds(5))


def test_no_connection_is_served_twice_while_another_waits(sources, readers):
    """Each of three sources has many jobs at once. A fourth comes later, and waits for one round."""
    set_pace(readers, check_interval=3600.0)
    order, go, last = [], threading.Event(), Recorder()
    late_at = []

    def come():
        late_at.append(len(order))
        late.far.send(b"x")

    def on_data(source, data):
        for number in range(len(data)):
            readers.submit(source, lambda: order.append(source.name))
            if source is greedy[0] and number == 20:
                readers.submit(source, come)
        readers.submit(source, last)

    greedy = sources(3, on_data)
    (late,) = sources(1, on_data)
    for source in [*greedy, late]:
        readers.add(source)
        source.steps.wait(1)
    begun = threading.Event()
    readers.submit(late, lambda: (begun.set(), go.wait(seconds(20))))
    assert begun.wait(seconds(10))
    for source in greedy:
        source.far.send(b"x" * 50)
    go.set()
    last.wait(4)
    assert Counter(order) == {"CP_0": 50, "CP_1": 50, "CP_2": 50, "CP_3": 1}
    mine = [name for name in order if name != "CP_3"]
    for at in range(len(mine)):
        counts = Counter(mine[:at])
        assert max(counts.values(), default=0) - min(counts[name] for name in ("CP_0", "CP_1", "CP_2")) <= 2
    assert late_at[0] > 50
    assert order.index("CP_3") - late_at[0] <= 8


# Deadlines ----------------------------------------------------------------------------------------------------------


def test_a_source_is_stepped_when_it_is_due(readers):
    source = FakeSource()
    due = Recorder()

    def step(block):
        now = time.monotonic()
        if source.deadline and now >= source.deadline:
            due(now - source.deadline)
            source.deadline = now + seconds(0.05) if len(due.calls) < 5 else None
        return not source.end.is_set()

    source.step = step
    source.deadline = time.monotonic() + seconds(0.05)
    readers.add(source)
    assert all(late < seconds(5) for (late,) in due.wait(5))
    source.end.set()


def slots():
    """Return how many slots there are in this process."""
    gc.collect()
    return sum(isinstance(each, Slot) for each in gc.get_objects())


def test_deadlines_of_sources_that_ended_are_forgotten(readers):
    before = slots()
    for number in range(500):
        source = FakeSource(f"CP_{number}")
        source.deadline = time.monotonic() + 3600
        readers.add(source)
        source.steps.wait(1)
        source.end.set()
        source.finished.wait(1)
    del source
    eventually(lambda: slots() - before < 70)


# Extra workers ------------------------------------------------------------------------------------------------------


def test_blocked_handlers_bring_extra_workers_that_end_when_idle(sources, readers):
    set_pace(readers, idle_timeout=seconds(0.2))
    go, begun, got = threading.Event(), Recorder(), Recorder()
    made = sources(60, lambda source, data: got(source.name))
    for source in made:
        readers.add(source)
        readers.submit(source, lambda: (begun(), go.wait(seconds(20))))
    begun.wait(60)
    for source in made:  # all of them are still read
        source.far.send(b"x")
    got.wait(60)
    assert len(workers()) > 60
    go.set()
    eventually(lambda: len(workers()) == 1)
    made[0].far.send(b"x")
    got.wait(61)


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_blocked_step_delays_its_own_connection_alone(sources, selector):
    readers = SharedReaders(selector=selector)
    go, begun, got = threading.Event(), threading.Event(), Recorder()
    (slow,) = sources(1, lambda source, data: (begun.set(), go.wait(seconds(20))))
    others = sources(5, lambda source, data: got(source.name))
    for source in [slow, *others]:
        readers.add(source)
    slow.far.send(b"x")
    assert begun.wait(seconds(10))
    steps = len(slow.steps.calls)
    slow.far.send(b"more")
    for number in range(1, 4):
        for source in others:
            source.far.send(b"x")
        got.wait(5 * number)
    assert len(slow.steps.calls) == steps
    eventually(lambda: events_of(slow) == 0)  # else the selector would find it again and again
    go.set()
    slow.steps.wait(steps + 1)
    for source in [slow, *others]:
        source.close()
    assert readers.stop(seconds(5))


def test_a_handler_that_blocks_when_all_has_been_quiet(sources, readers):
    go, begun, got = threading.Event(), threading.Event(), Recorder()
    slow, other = sources(2, lambda source, data: readers.submit(source, lambda: got(source.name)))
    readers.add(slow)
    readers.add(other)
    eventually(lambda: is_parked(readers))
    readers.submit(slow, lambda: (begun.set(), go.wait(seconds(20))))
    assert begun.wait(seconds(10))
    other.far.send(b"x")
    assert got.wait(1) == [("CP_1",)]
    go.set()


def test_a_job_that_blocks_before_there_is_a_connection(readers):
    """Then nothing can come, and the monitor ends. A source that is added later must not wait for that job."""
    first, second = FakeSource("CP_1"), FakeSource("CP_2")
    go, begun = threading.Event(), threading.Event()
    readers.submit(first, lambda: (begun.set(), go.wait(seconds(20))))
    assert begun.wait(seconds(10))
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "ocppj-monitor"])
    readers.add(second)
    second.steps.wait(1)
    readers.add(first)
    first.steps.wait(1)
    go.set()
    first.end.set()
    second.end.set()


def test_a_job_of_a_connection_whose_step_is_blocked_is_run(sources, readers):
    ran, result = threading.Event(), Recorder()

    def on_data(source, data):
        readers.submit(source, ran.set)
        result(ran.wait(seconds(10)))

    (source,) = sources(1, on_data)
    readers.add(source)
    source.far.send(b"x")
    assert result.wait(1) == [(True,)]


def test_at_most_so_many_handlers_and_answers_are_read_meanwhile(sources):
    readers = SharedReaders(max_handlers=3)
    go, begun, got = threading.Event(), Recorder(), Recorder()
    made = sources(20, lambda source, data: got(source.name))
    for source in made:
        readers.add(source)
        readers.submit(source, lambda: (begun(), go.wait(seconds(20))))
    begun.wait(3)
    for source in made:
        source.far.send(b"x")
    got.wait(20)
    assert len(begun.calls) == 3
    assert len(workers()) <= 5
    go.set()
    begun.wait(20)
    for source in made:
        source.close()
    assert readers.stop(seconds(5))


@pytest.mark.parametrize("number", [0, -1])
def test_max_handlers_is_positive(number):
    with pytest.raises(UsageError, match="max_handlers"):
        SharedReaders(max_handlers=number)


def test_no_thread_for_the_first_connection_is_an_error(monkeypatch, caplog):
    readers, source = SharedReaders(), FakeSource()
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("no more")))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no thread"):
            readers.add(source)
    assert caplog.text.count("cannot start") == 1
    monkeypatch.setattr(threading.Thread, "start", start)
    readers.give_up(source)
    assert len(source.finished.calls) == 1
    other = FakeSource("CP_2")
    readers.add(other)
    other.end.set()
    other.finished.wait(1)
    assert readers.stop(seconds(5))


def test_a_source_without_a_descriptor_and_without_notice_is_refused(readers):
    source = FakeSource("CP_9")
    source.watch = lambda notify: False
    with pytest.raises(RuntimeError, match="CP_9"):
        readers.add(source)


def test_a_selector_that_is_full_is_an_error():
    full, source = SharedReaders(selector=selectors.SelectSelector), FakeSource()
    source.fileno = lambda: 5000
    with pytest.raises(RuntimeError, match="select"):
        full.add(source)
    full.give_up(source)
    assert len(source.finished.calls) == 1


# Sources that are taken over from other readers -----------------------------------------------------------------------


@pytest.fixture
def taken(readers):
    """A source that the readers have taken, and that this thread steps still."""
    source = PairSource("CP_1", Recorder())
    source.slot = Slot(source, readers)
    readers.take(source.slot)
    yield source
    source.close()


def test_a_source_that_is_given_back_leaves_nothing(readers, taken):
    eventually(workers)
    readers.give_back(taken.slot)
    eventually(lambda: not workers())
    assert kept(readers) == 0


def test_a_source_that_is_handed_in_after_a_stop_is_read(readers, taken):
    readers.stop(0)  # waits for the workers: there must be one for the source
    readers.hand_in(taken.slot)
    taken.far.send(b"x")
    assert taken.on_data.wait(1) == [(taken, b"x")]
    taken.close()
    taken.finished.wait(1)


# Several endpoints --------------------------------------------------------------------------------------------------


def test_one_object_serves_many_endpoints_and_is_stopped_by_the_user():
    readers = SharedReaders()
    network = MemoryNetwork()
    server = network.server(readers=readers)
    log = Log(server)
    log.on_message = lambda channel, text: channel.submit(lambda: channel.send(text.upper()))
    server.listen(0, PATH, "", OCPP)
    clients = [network.client(readers=readers) for _ in range(100)]
    logs = [Log(client) for client in clients]
    for number, client in enumerate(clients):
        client.connect(server.url, f"CP_{number}", OCPP)
    eventually(lambda: len(workers()) < 20)  # there were more while some seemed to block; most end soon
    for client in clients[:50]:
        client.stop()
    for client, client_log in zip(clients[50:], logs[50:]):
        client.send("hello")
        assert client_log.wait_texts(1) == ["HELLO"]
    for client in clients[50:]:
        client.stop()
    server.stop()
    assert readers.stop(seconds(5))
    assert not workers()
    with pytest.raises(UsageError, match="stopped"):
        server.listen(0, PATH, "", OCPP)


def test_the_user_may_stop_them_in_a_handler(readers):
    source, result = FakeSource(), Recorder()
    readers.add(source)
    readers.submit(source, lambda: (source.end.set(), result(readers.stop(seconds(5)))))
    assert result.wait(1) == [(True,)]
    assert readers.stop(seconds(5))


@pytest.mark.parametrize("strategy", ["per-connection", "shared", "auto", "one for all"])
def test_calls_inside_handlers_to_any_depth(strategy):
    """The server's handler of each client calls the next client, whose handler calls the server."""
    depth, patience = 12, seconds(20)
    readers = SharedReaders() if strategy == "one for all" else strategy
    server = Server(profiles=v16.PROFILES, readers=readers).listen(port=0)
    clients = {}

    def answer(data):
        return v16.DataTransferResponse(status=v16.DataTransferStatus.ACCEPTED, data=data)

    @server.on(v16.DataTransferRequest)
    def at_server(client_id, request):
        left = int(request.data)
        if left == 0:
            return answer("end")
        following = f"CP_{int(client_id[3:]) + 1}"
        return answer(
            server.call(following, v16.DataTransferRequest(vendor_id="x", data=str(left)), patience).data + "."
        )

    def at_client(client_id):
        def handle(request):
            left = str(int(request.data) - 1)
            reply = clients[client_id].call(v16.DataTransferRequest(vendor_id="x", data=left), patience)
            return answer(reply.data + ",")

        return handle

    for number in range(depth + 1):
        client = clients[f"CP_{number}"] = Client(f"CP_{number}", profiles=v16.PROFILES, readers=readers)
        client.on(v16.DataTransferRequest)(at_client(f"CP_{number}"))
        client.connect(server.url)
    reply = clients["CP_0"].call(v16.DataTransferRequest(vendor_id="x", data=str(depth)), patience)
    assert reply.data == "end" + ",." * depth
    for client in clients.values():
        client.stop()
    server.stop()
    if isinstance(readers, SharedReaders):
        assert readers.stop(seconds(5))


# The end of a source, and of all ------------------------------------------------------------------------------------


def test_nothing_is_kept_of_a_source_whose_last_job_has_ended(sources, readers):
    last = Recorder()
    (source,) = sources(1)
    source.on_finish = lambda: readers.submit(source, last)
    readers.add(source)
    source.close()
    last.wait(1)
    eventually(lambda: not kept(readers))


def test_a_job_that_a_step_submits_when_a_stop_has_begun_is_discarded(sources, caplog):
    caplog.set_level("INFO", "ocppj")
    readers, late = SharedReaders(), Recorder()

    def on_data(source, data):
        eventually(lambda: stopping(readers))
        readers.submit(source, late)

    (source,) = sources(1, on_data)
    readers.add(source)
    source.far.send(b"x")
    stopper = threading.Thread(target=readers.stop, args=(seconds(10),))
    stopper.start()
    eventually(lambda: "CP_0: stopping, a job is discarded" in caplog.text)
    source.close()
    stopper.join(seconds(10))
    assert not stopper.is_alive()
    assert not late.calls


# A long random schedule ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("abrupt", [False, True], ids=["to the end", "abrupt"])
def test_a_random_schedule(selector, abrupt):
    seed = random.randrange(10**6)
    print("seed", seed)
    readers = SharedReaders(selector=selector, max_handlers=30)
    world = World(seed, readers)
    models = world.play(10_000)
    world.end(models, abrupt)
    assert not workers()
    assert sum(len(model.ran) for model in models) > 3_000
