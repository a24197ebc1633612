"""Dispatchers whose callbacks call back into them, many requests at once, and what a request costs."""

import sys
import threading
from contextlib import suppress

import pytest

from ocppj import (
    CallCanceled,
    ClientDispatcher,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    FIFOClientQueue,
    ManualClock,
    NotRunning,
    RequestQueue,
    ServerDispatcher,
    ServerQueueMap,
    UnknownClient,
)
from ocppj.dispatch.timeouts import Timeouts
from tests.dispatching import TIMEOUT, Network, ServerSide, bundle, make_side, side  # noqa: F401
from tests.helpers import eventually, seconds

NOTHING = (0, False, 0)


# Callbacks that call back


def test_the_callback_may_send_again(side):
    def again(message_id, error):
        if not message_id.endswith("again"):
            side.send(message_id + " again")

    side.on_canceled = again
    side.send_all("1", "2")
    side.clock.advance(4 * TIMEOUT)
    assert side.sent == ["1", "2", "1 again", "2 again"]
    assert side.canceled_ids == side.sent
    assert side.left() == NOTHING


def test_the_callback_may_cancel_others(side):
    side.on_canceled = lambda message_id, error: side.cancel(str(int(message_id) + 2))
    side.send_all("1", "2", "3", "4", "5")
    side.clock.advance(TIMEOUT)
    assert side.canceled_ids == ["1", "3", "5"]
    assert side.sent == ["1", "2"]
    side.complete("2")
    assert side.sent == ["1", "2", "4"]


def test_the_callback_may_complete_what_is_pending(side):
    side.network.act = lambda message_id: side.network.fail(message_id) if message_id == "2" else None
    side.on_canceled = lambda message_id, error: side.complete("3")
    side.send_all("1", "2", "3", "4")
    side.complete("1")
    assert side.sent == ["1", "2", "3", "4"]
    assert side.canceled_ids == ["2"]


@pytest.mark.parametrize("how", ["timeout", "cancel", "write"])
def test_the_callback_may_stop(side, how):
    side.on_canceled = lambda message_id, error: side.dispatcher.stop()
    side.send_all("1", "2", "3")
    if how == "timeout":
        side.clock.advance(TIMEOUT)
    elif how == "cancel":
        side.cancel("1")
    else:
        side.network.act = lambda message_id: side.network.fail(message_id) if message_id == "2" else None
        side.complete("1")
    assert len(side.canceled) == 1
    assert side.left() == NOTHING
    with pytest.raises(NotRunning):
        side.send("4")


def test_the_callback_may_delete_the_client_and_is_then_refused():
    side, refused = ServerSide().start(), []

    def delete(message_id, error):
        side.dispatcher.delete_client("CP")
        try:
            side.send("again")
        except UnknownClient:
            refused.append(message_id)

    side.on_canceled = delete
    side.send_all("1", "2", "3")
    side.clock.advance(TIMEOUT)
    assert sorted(side.canceled_ids) == sorted(refused) == ["1", "2", "3"]
    assert side.left() == NOTHING


def test_a_callback_that_fails_stops_nothing(side, caplog):
    side.on_canceled = lambda message_id, error: 1 / 0
    side.send_all("1", "2", "3")
    side.clock.advance(TIMEOUT)
    side.cancel("2")
    assert side.sent == ["1", "2", "3"]
    assert "callback failed" in caplog.text


def test_no_lock_is_held_while_the_callback_runs(side):
    """Another thread may do anything while the callback waits for it."""
    done = threading.Event()

    def use_it_elsewhere(message_id, error):
        if message_id == "1":
            thread = threading.Thread(target=lambda: (side.send("x"), side.cancel("x"), side.complete("y"), done.set()))
            thread.start()
            assert done.wait(seconds(10))

    side.on_canceled = use_it_elsewhere
    side.send_all("1", "2")
    side.clock.advance(TIMEOUT)
    assert done.is_set()
    assert sorted(side.canceled_ids) == ["1", "x"]
    assert side.sent == ["1", "2"]


def test_without_a_callback_requests_end_all_the_same():
    side = ServerSide().start()
    side.dispatcher.set_on_request_canceled(None)
    side.send_all("1", "2")
    side.clock.advance(TIMEOUT)
    assert side.sent == ["1", "2"]


# Many at once


def test_thousands_of_clients_that_time_out_at_once():
    """Where the Go original freezes at a dozen."""
    side, clients = ServerSide().start(), [f"CP_{n}" for n in range(3_000)]
    for client_id in clients:
        side.dispatcher.create_client(client_id)
        for number in "ab":
            side.dispatcher.send_request(client_id, bundle(f"{client_id}{number}"))
    assert len(side.sent) == 3_000
    side.clock.advance(TIMEOUT)
    assert side.canceled_ids == [f"{client_id}a" for client_id in clients]
    assert len(side.sent) == 6_000
    side.clock.advance(TIMEOUT)
    assert len(side.canceled) == 6_000
    assert not side.states.has()
    assert side.timeouts.pending() == 0


def test_thousands_that_time_out_on_a_dead_network_with_a_real_clock():
    network, done, count = Network(), threading.Event(), []
    dispatcher = DefaultServerDispatcher()
    dispatcher.set_timeout(seconds(0.05))
    dispatcher.set_network_server(network)

    def canceled(client_id, message_id, request, error):
        count.append(message_id)
        network.act = network.fail
        if len(count) == 2_000:
            done.set()

    dispatcher.set_on_request_canceled(canceled)
    dispatcher.start()
    for n in range(1_000):
        dispatcher.create_client(str(n))
        for each in ("a", "b"):
            with suppress(NotRunning):
                dispatcher.send_request(str(n), bundle(f"{n}{each}"))
    assert done.wait(seconds(20))
    dispatcher.stop()
    assert len(set(count)) == 2_000
    assert not [each for each in threading.enumerate() if each.name == "ocppj-timeouts"]


def test_a_dispatcher_of_its_own_has_a_timer_and_leaves_no_thread():
    for make, setter in (
        (DefaultClientDispatcher, "set_network_client"),
        (DefaultServerDispatcher, "set_network_server"),
    ):
        dispatcher, network, canceled = make(), Network(), []
        getattr(dispatcher, setter)(network)
        dispatcher.set_timeout(0.01)
        dispatcher.set_on_request_canceled(lambda *arguments, canceled=canceled: canceled.append(arguments))
        dispatcher.start()
        who = ()
        if make is DefaultServerDispatcher:
            dispatcher.create_client("CP")
            who = ("CP",)
        dispatcher.send_request(*who, bundle("1"))
        eventually(lambda canceled=canceled: canceled)
        dispatcher.set_timeout(3600)
        dispatcher.send_request(*who, bundle("2"))
        dispatcher.stop()
        assert not [each for each in threading.enumerate() if each.name == "ocppj-timeouts"]


# What a request costs: operations, not time


class CountingQueue(FIFOClientQueue):
    """Counts the calls of its methods, and of len() of what it keeps."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __getattribute__(self, name):
        if name in ("push", "peek", "pop", "remove", "is_full", "is_empty"):
            self.operations += 1
        return super().__getattribute__(name)


def lines_run(act):
    """Return how many lines of Python ``act`` runs in this package."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if "ocppj" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def test_a_request_costs_the_same_however_many_are_queued(make_side):
    costs = []
    for queued in (10, 10_000):
        queue = CountingQueue()
        side = make_side(queue=queue).start()
        side.send_all(*map(str, range(queued)))
        queue.operations = 0
        steps = [
            lines_run(lambda side=side: side.send("new")),
            lines_run(lambda side=side: side.complete("0")),
            lines_run(lambda side=side: side.clock.advance(TIMEOUT)),
            lines_run(lambda side=side: side.cancel("2")),
            queue.operations,
        ]
        assert side.sent == ["0", "1", "2", "3"]
        costs.append(steps)
    assert costs[0] == costs[1]


# Written against the abstract classes, with nothing but what they demand


class ListQueue(RequestQueue):
    def __init__(self):
        self.bundles = []

    def init(self):
        pass  # what it holds outlives the dispatcher

    def push(self, bundle):
        self.bundles.append(bundle)

    def peek(self):
        return self.bundles[0] if self.bundles else None

    def pop(self):
        return self.bundles.pop(0) if self.bundles else None

    def __len__(self):
        return len(self.bundles)

    def is_full(self):
        return False

    def is_empty(self):
        return not self.bundles


class ListQueueMap(ServerQueueMap):
    def __init__(self):
        self.queues = {}

    def init(self):
        pass

    def get(self, client_id):
        return self.queues.get(client_id)

    def get_or_create(self, client_id):
        return self.queues.setdefault(client_id, ListQueue())

    def remove(self, client_id):
        self.queues.pop(client_id, None)

    def add(self, client_id, queue):
        self.queues[client_id] = queue


def test_a_queue_of_ones_own(make_side):
    side = make_side(queue=ListQueue()).start()
    side.send_all("1", "2", "3")
    side.complete("1")
    side.clock.advance(TIMEOUT)
    assert side.sent == ["1", "2", "3"]
    side.send("4")
    assert side.cancel("4") is False, "it cannot take one out of its middle"
    assert side.cancel("3") is True
    assert side.sent == ["1", "2", "3", "4"]
    side.dispatcher.stop()
    assert side.left() == NOTHING


def test_what_a_queue_kept_is_sent_at_the_start(make_side):
    queue = ListQueue()
    queue.push(bundle("kept"))
    side = make_side(queue=queue).start()
    assert side.sent == ["kept"]
    side.complete("kept")
    assert side.left() == NOTHING


def test_a_queue_map_of_ones_own():
    dispatcher, network, queues = DefaultServerDispatcher(ListQueueMap()), Network(), ListQueueMap()
    dispatcher = DefaultServerDispatcher(queues)
    dispatcher.set_network_server(network)
    dispatcher.set_timeouts(Timeouts(ManualClock()))
    dispatcher.start()
    dispatcher.create_client("CP")
    for message_id in "12":
        dispatcher.send_request("CP", bundle(message_id))
    dispatcher.complete_request("CP", "1")
    assert network.sent == ["1", "2"]
    dispatcher.delete_client("CP")
    assert queues.get("CP") is None


@pytest.mark.parametrize("abstract", [ClientDispatcher, ServerDispatcher])
def test_what_a_dispatcher_of_ones_own_may_leave_out(abstract):
    methods = {name: lambda self, *arguments: None for name in abstract.__abstractmethods__}
    dispatcher = type("Own", (abstract,), methods)()
    assert dispatcher.set_timeouts(Timeouts(ManualClock())) is None
    who = () if abstract is ClientDispatcher else ("CP",)
    assert dispatcher.cancel_request(*who, "1", CallCanceled("x", "1")) is False
    if abstract is ServerDispatcher:
        assert dispatcher.create_client("CP") is None
