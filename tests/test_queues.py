"""Requests that wait: the queue and the map of queues."""

import threading

import pytest

from ocppj import Call, FIFOClientQueue, FIFOQueueMap, QueueFull, RequestBundle, RequestQueue, ServerQueueMap


def bundle(message_id="1"):
    call = Call(message_id, "Heartbeat", {})
    return RequestBundle(call, call.to_json())


def test_a_bundle_is_a_call_and_its_text():
    one = bundle("7")
    assert (one.message_id, one.data, one.call.action) == ("7", '[2,"7","Heartbeat",{}]', "Heartbeat")


def test_an_empty_queue():
    queue = FIFOClientQueue()
    assert queue.is_empty()
    assert not queue.is_full()
    assert len(queue) == 0
    assert queue.peek() is None
    assert queue.pop() is None


def test_first_in_first_out():
    queue, bundles = FIFOClientQueue(), [bundle(str(n)) for n in range(3)]
    for each in bundles:
        queue.push(each)
    assert len(queue) == 3
    assert queue.peek() is queue.peek() is bundles[0]
    assert [queue.pop() for _ in range(4)] == [*bundles, None]
    assert queue.is_empty()


def test_a_full_queue_refuses_and_keeps_what_it_has():
    queue = FIFOClientQueue(2)
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


def test_remove_takes_one_from_anywhere():
    queue = FIFOClientQueue()
    for n in range(3):
        queue.push(bundle(str(n)))
    assert queue.remove("1").message_id == "1"
    assert queue.remove("1") is None
    assert [queue.pop().message_id, queue.pop().message_id] == ["0", "2"]


@pytest.mark.parametrize("make", [FIFOClientQueue, FIFOQueueMap])
def test_a_negative_capacity_is_refused(make):
    with pytest.raises(ValueError, match="negative"):
        make(-1)


def test_the_abstract_queue_cannot_be_made():
    for abstract in (RequestQueue, ServerQueueMap):
        with pytest.raises(TypeError):
            abstract()


def test_many_threads_fill_a_queue_to_its_capacity_and_no_further():
    queue, refused, barrier = FIFOClientQueue(100), [], threading.Barrier(8)

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


def test_a_map_gets_creates_adds_and_removes():
    queues = FIFOQueueMap(3)
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
    assert queues.get_or_create("A").is_empty()
    queues.init()
    assert queues.get("B") is None
