"""The scheduler of shared readers: its backlog, and its poller over every selector of the platform."""

import selectors
import socket
import threading
import time

import pytest

from ocppj.ws.readers.scheduler import READ, WRITE, Poller, Scheduler, Slot
from tests.helpers import seconds
from tests.ws.sources import FakeSource

NAMES = ["EpollSelector", "KqueueSelector", "DevpollSelector", "PollSelector", "SelectSelector"]

# The backlog ---------------------------------------------------------------------------------------------------------


def nothing():
    """Be a job."""


def backlogged(count):
    """Return a scheduler that lets one job run, the slot of that job, and ``count`` slots that wait for its end."""
    scheduler = Scheduler(selectors.DefaultSelector, 1)
    running, *waiting = [Slot(FakeSource(f"CP_{number}"), None) for number in range(count + 1)]
    for slot in [running, *waiting]:
        slot.jobs.append((nothing, False))
    assert scheduler.begin_job(running, 1) is nothing
    assert [scheduler.begin_job(slot, 2) for slot in waiting] == [None] * count
    assert all(slot.backlogged for slot in waiting)
    return scheduler, running, waiting


def test_the_next_job_runs_when_the_job_before_it_was_discarded():
    scheduler, running, (first, second) = backlogged(2)
    first.jobs.discard()
    scheduler.forget_discarded()
    scheduler.end_job(running, 1)
    assert scheduler.pop(1, False) is second


def test_the_next_slot_is_released_when_a_released_one_has_no_job_any_more():
    scheduler, running, (first, second) = backlogged(2)
    scheduler.end_job(running, 1)
    first.jobs.discard()
    assert scheduler.pop(1, False) is second


def test_the_next_slot_is_released_when_the_job_is_discarded_after_the_pop():
    scheduler, running, (first, second) = backlogged(2)
    scheduler.end_job(running, 1)
    assert scheduler.pop(1, False) is first
    first.jobs.discard()
    assert scheduler.begin_job(first, 1) is None
    assert scheduler.pop(1, False) is second


def test_slots_whose_jobs_are_discarded_leave_the_backlog():
    scheduler, running, (first, second) = backlogged(2)
    for slot in (first, second):
        slot.jobs.discard()
    scheduler.forget_discarded()
    assert scheduler.over
    assert not first.backlogged


# The poller ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[getattr(selectors, name) for name in NAMES if hasattr(selectors, name)])
def poller(request):
    poller = Poller(request.param)
    yield poller
    poller.close()


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    yield near, far
    near.close()
    far.close()


@pytest.fixture
def slot():
    return Slot(FakeSource(), None)


def test_the_poller_finds_a_slot_that_is_ready_for_what_is_watched(poller, pair, slot):
    near, far = pair
    poller.watch(near.fileno(), READ, 0, slot)
    assert poller.wait(0) == []
    poller.watch(near.fileno(), READ | WRITE, READ, slot)
    assert poller.wait(0) == [slot]  # it can be written
    poller.watch(near.fileno(), READ, READ | WRITE, slot)
    assert poller.wait(0) == []
    far.send(b"x")
    assert poller.wait(seconds(5)) == poller.wait(seconds(5)) == [slot]  # until it is read
    poller.watch(near.fileno(), 0, READ, slot)
    assert poller.wait(0) == []
    poller.watch(near.fileno(), 0, READ, slot)  # once more does no harm


def test_the_poller_is_woken(poller):
    for _ in range(3):
        timer = threading.Timer(0.02, poller.wake)
        timer.start()
        begun = time.monotonic()
        assert poller.wait(seconds(10)) == []
        assert time.monotonic() - begun < seconds(5)
        timer.join(seconds(5))
    for _ in range(100_000):
        poller.wake()  # more than its socket holds
    assert poller.wait(seconds(10)) == []
    poller.close()
    poller.wake()


def test_a_change_counts_for_a_waiting_thread_at_once_or_after_a_wake(poller, pair, slot):
    near, far = pair
    far.send(b"x")
    found = []

    def wait():
        while not found:
            found.extend(poller.wait(seconds(10)))

    thread = threading.Thread(target=wait)
    thread.start()
    poller.watch(near.fileno(), READ, 0, slot)
    if not poller.live:
        poller.wake()
    thread.join(seconds(5))
    assert found == [slot]


def test_select_is_limited():
    poller = Poller(selectors.SelectSelector)
    assert poller.has_room(100)
    assert not poller.has_room(1024)
    poller.close()
    poller = Poller(selectors.DefaultSelector)
    assert poller.has_room(100_000) or selectors.DefaultSelector is selectors.SelectSelector
    poller.close()


def test_a_poller_that_cannot_be_made_leaves_nothing_open(monkeypatch):
    made = []

    def fail(*_):
        raise OSError("too many open files")

    monkeypatch.setattr(socket, "socketpair", fail)
    with pytest.raises(OSError, match="too many"):
        Poller(lambda: made.append(selectors.DefaultSelector()) or made[0])
    assert made[0].get_map() is None  # closed
