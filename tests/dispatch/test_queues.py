"""Requests that wait: what every queue and every map of queues promises, whatever it is made of."""

import threading
from functools import partial

import pytest

from ocppj import (
    Call,
    FIFOClientQueue,
    FIFOQueueMap,
    QueueFull,
    RequestBundle,
    RequestQueue,
    ServerQueueMap,
    UsageError,
)
from ocppj.budget import MemoryBudget
from ocppj.storage.sqlite_queues import SQLiteQueue, SQLiteQueueMap
from tests.helpers import seconds


def bundle(message_id="1"):
    call = Call(message_id, "Heartbeat", {})
    return RequestBundle(call, call.to_json())


@pytest.fixture(params=["memory", "sqlite"])
def make_queue(request, tmp_path):
    """Make a queue that is ready for use, of each kind."""
    made = []

    def make(capacity=0):
        if request.param == "memory":
            return FIFOClientQueue(capacity)
        queue = SQLiteQueue(tmp_path / f"{len(made)}.db", capacity)
        made.append(queue)
        queue.init()
        return queue

    yield make
    for queue in made:
        queue.close()


@pytest.fixture(params=["memory", "sqlite"])
def make_map(request, tmp_path):
    """Make a map that is ready for use, of each kind."""
    made = []

    def make(capacity=0):
        if request.param == "memory":
            return FIFOQueueMap(capacity)
        queues = SQLiteQueueMap(tmp_path / f"{len(made)}.db", capacity)
        queues.set_decoder(lambda version, text: Call(text.split('"')[1], "Heartbeat", {}))
        made.append(queues)
        queues.init()
        return queues

    yield make
    for queues in made:
        queues.close()


def test_a_bundle_is_a_call_and_its_text():
    one = bundle("7")
    assert (one.message_id, one.data, one.call.action) == ("7", '[2,"7","Heartbeat",{}]', "Heartbeat")


def test_an_empty_queue(make_queue):
    queue = make_queue()
    assert queue.is_empty()
    assert not queue.is_full()
    assert len(queue) == 0
    assert queue.peek() is None
    assert queue.pop() is None


def test_first_in_first_out(make_queue):
    queue, bundles = make_queue(), [bundle(str(n)) for n in range(3)]
    for each in bundles:
        queue.push(each)
    assert len(queue) == 3
    assert queue.peek() is queue.peek() is bundles[0]
    assert [queue.pop() for _ in range(4)] == [*bundles, None]
    assert queue.is_empty()


def test_a_full_queue_refuses_and_keeps_what_it_has(make_queue):
    queue = make_queue(2)
    queue.push(bundle("1"))
    assert not queue.is_full()
    queue.push(bundle("2"))
    assert queue.is_full()
    with pytest.raises(QueueFull, match="2"):
        queue.push(bundle("3"))
    assert len(queue) == 2
    assert queue.pop().message_id == "1"
    queue.push(bundle("3"))
    assert [queue.pop().message_id, queue.pop().message_id] == ["2", "3"]


def test_capacity_0_is_no_limit():
    queue = FIFOClientQueue(0)
    for n in range(10_000):
        queue.push(bundle(str(n)))
    assert len(queue) == 10_000
    assert not queue.is_full()


def test_init_empties():
    queue = FIFOClientQueue(1)
    queue.push(bundle())
    queue.init()
    assert queue.is_empty()
    queue.push(bundle())


def test_remove_takes_one_from_anywhere(make_queue):
    queue = make_queue()
    for n in range(3):
        queue.push(bundle(str(n)))
    assert queue.remove("1").message_id == "1"
    assert queue.remove("1") is None
    assert [queue.pop().message_id, queue.pop().message_id] == ["0", "2"]


def test_one_of_two_with_the_same_id_is_removed_the_older(make_queue):
    queue = make_queue()
    bundles = [bundle("1"), bundle("2"), bundle("1")]
    for each in bundles:
        queue.push(each)
    assert queue.remove("1") is bundles[0]
    assert queue.bundles() == bundles[1:]
    assert queue.remove("1") is bundles[2]
    assert queue.remove("1") is None
    assert queue.bundles() == [bundles[1]]


def test_bundles_and_find_look_and_take_nothing(make_queue):
    queue, bundles = make_queue(), [bundle(str(n)) for n in range(4)]
    assert queue.bundles() == []
    assert queue.find(lambda each: True) is None
    for each in bundles:
        queue.push(each)
    assert queue.bundles() == bundles
    assert queue.find(lambda each: each.message_id in "32") is bundles[2]
    assert queue.find(lambda each: True) is bundles[0]
    assert queue.find(lambda each: False) is None
    queue.bundles().clear()
    assert len(queue) == 4


def test_what_find_calls_may_use_the_queue(make_queue):
    queue = make_queue()
    for n in range(3):
        queue.push(bundle(str(n)))
    assert queue.find(lambda each: len(queue) == 2 or queue.remove("1") is None).message_id == "2"


def test_discard_returns_what_is_forgotten(make_queue):
    queue = make_queue()
    bundles = [bundle("1"), bundle("2")]
    for each in bundles:
        queue.push(each)
    assert queue.discard() == ([] if queue.durable else bundles)
    assert queue.is_empty()
    assert queue.peek() is queue.pop() is queue.remove("1") is None


class Head(RequestQueue):
    """A queue with the abstract methods alone."""

    def __init__(self, *bundles):
        self.list = list(bundles)

    def init(self):
        self.list.clear()

    def push(self, bundle):
        self.list.append(bundle)

    def peek(self):
        return self.list[0] if self.list else None

    def pop(self):
        return self.list.pop(0) if self.list else None

    def __len__(self):
        return len(self.list)

    def is_full(self):
        return False

    def is_empty(self):
        return not self.list


def test_a_queue_of_the_abstract_methods_alone_shows_its_head():
    one, two = bundle("1"), bundle("2")
    queue = Head(one, two)
    queue.set_decoder(None)
    assert not queue.durable
    assert queue.bundles() == [one]
    assert queue.find(lambda each: True) is one
    assert queue.find(lambda each: each is two) is None
    assert queue.remove("2") is None
    assert queue.discard() == [one, two]
    assert (queue.bundles(), queue.discard()) == ([], [])
    queue.close()
    assert queue.find(lambda each: True) is None


@pytest.mark.parametrize("make", [FIFOClientQueue, FIFOQueueMap, SQLiteQueue, SQLiteQueueMap])
def test_a_negative_capacity_is_refused(make, tmp_path):
    make = partial(make, tmp_path / "q.db") if make in (SQLiteQueue, SQLiteQueueMap) else make
    with pytest.raises(UsageError, match="capacity is a whole number, 0 or more, not -1"):
        make(capacity=-1)


def test_the_abstract_queue_cannot_be_made():
    for abstract in (RequestQueue, ServerQueueMap):
        with pytest.raises(TypeError):
            abstract()


def test_many_threads_fill_a_queue_to_its_capacity_and_no_further(make_queue):
    queue, refused, barrier = make_queue(100), [], threading.Barrier(8)

    def push(name):
        barrier.wait(10)
        for n in range(50):
            try:
                queue.push(bundle(f"{name}-{n}"))
            except QueueFull:
                refused.append(n)

    threads = [threading.Thread(target=push, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(queue), len(refused)) == (100, 300)
    order = [queue.pop().message_id.split("-") for _ in range(100)]
    for name in "01234567":
        numbers = [int(number) for each, number in order if each == name]
        assert numbers == sorted(numbers)


def test_a_map_gets_creates_adds_and_removes(make_map):
    queues = make_map(3)
    assert queues.get("A") is None
    created = queues.get_or_create("A")
    assert queues.get("A") is created is queues.get_or_create("A")
    for n in range(3):
        created.push(bundle(str(n)))
    assert created.is_full()
    own = FIFOClientQueue()
    queues.add("B", own)
    assert queues.get_or_create("B") is own
    queues.remove("A")
    queues.remove("nobody")
    assert queues.get("A") is None
    assert len(queues.get_or_create("A")) == (3 if queues.durable else 0)
    queues.init()
    assert queues.get("B") is None


def test_a_queue_of_ones_own_may_look_at_itself_to_tell_whether_it_is_full():
    class Own(FIFOClientQueue):
        def is_full(self):
            return len(self.bundles()) > 0

    queue = Own(capacity=2)
    pushing = threading.Thread(target=lambda: [queue.push(bundle("1")), queue.push(bundle("2"))], daemon=True)
    pushing.start()
    pushing.join(seconds(5))
    assert not pushing.is_alive()
    assert [each.message_id for each in queue.bundles()] == ["1", "2"]  # `capacity` is what counts
    with pytest.raises(QueueFull):
        queue.push(bundle("3"))


# What queues in memory hold


def large(message_id):
    call = Call(message_id, "DataTransfer", {"vendorId": "V", "data": "x" * 10_000})
    return RequestBundle(call, call.to_json())


def test_a_queue_is_full_of_bytes_too():
    queue = FIFOClientQueue(max_bytes=25_000)
    for message_id in "123":
        assert not queue.is_full()
        queue.push(large(message_id))
    assert queue.is_full()
    with pytest.raises(QueueFull, match="bytes"):
        queue.push(bundle("4"))
    queue.push_past(bundle("5"), held=3)
    queue.pop()
    queue.remove("2")
    queue.push(large("6"))
    assert [each.message_id for each in queue.bundles()] == ["3", "5", "6"]


def test_the_requests_of_all_clients_are_counted():
    budget = MemoryBudget()
    queues = FIFOQueueMap()
    queues.set_budget(budget)
    queues.init()
    for client_id in ("A", "B"):
        for message_id in "123":
            queues.get_or_create(client_id).push(large(message_id))
    assert 60_000 < budget.held()["queued"] < 90_000
    queues.remove("A")
    assert 30_000 < budget.held()["queued"] < 45_000
    queue = queues.get("B")
    queue.displace("1")
    queue.push_in_place(large("4"), large("1"))
    assert 30_000 < budget.held()["queued"] < 45_000
    assert len(queue.discard()) == 3
    assert budget.held() == {}
    queue.push(large("5"))
    queues.init()
    assert budget.held() == {}


def test_the_queues_of_all_clients_have_one_limit():
    queues = FIFOQueueMap()
    queues.set_budget(MemoryBudget(25_000))
    queues.get_or_create("A").push(large("1"))
    queues.get_or_create("B").push(large("1"))
    with pytest.raises(QueueFull, match="all clients"):
        queues.get("B").push(large("2"))
    assert len(queues.get("B")) == 1
    queues.remove("A")
    queues.get("B").push(large("2"))


def test_a_queue_that_is_added_is_counted():
    budget = MemoryBudget()
    queues, queue = FIFOQueueMap(), FIFOClientQueue()
    queues.set_budget(budget)
    queue.push(large("1"))
    queues.add("A", queue)
    assert budget.held()["queued"] > 10_000
    queues.add("A", FIFOClientQueue())
    assert budget.held() == {}


def test_a_usual_request_is_not_counted():
    """It is sent at once, and that must cost nothing."""
    budget = MemoryBudget()
    queues = FIFOQueueMap()
    queues.set_budget(budget)
    queues.get_or_create("A").push(bundle())
    assert budget.held() == {}
