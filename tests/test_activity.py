"""What is under way: threads, jobs, and threads at rest."""

import threading
import time

import pytest

from ocppj.activity import UNCOUNTED, Activity, Resting
from ocppj.events import Event
from tests.helpers import Recorder, seconds

LONG = seconds(10)
SHORT = 0.05


@pytest.fixture
def activity():
    return Activity()


@pytest.fixture
def other_thread():
    """Run functions on another thread, one after the other, and return at once."""
    threads = []

    def run(function):
        threads.append(threading.Thread(target=function, daemon=True))
        threads[-1].start()
        return threads[-1]

    yield run
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


def test_nothing_is_under_way(activity):
    assert activity.wait_until_quiet(0)
    assert activity.under_way() == []


def test_work_is_under_way_until_it_is_done(activity):
    activity.add("a frame")
    activity.add("a frame")
    assert not activity.wait_until_quiet(SHORT)
    assert activity.under_way() == ["a frame"]
    activity.done("a frame")
    assert activity.wait_until_quiet(0)
    activity.done("a frame")
    assert activity.wait_until_quiet(0)


def test_the_end_of_the_work_ends_the_wait(activity, other_thread):
    activity.add("a frame")
    waits = Event()

    def finish():
        waits.wait(LONG)
        activity.done("a frame")

    other_thread(finish)
    waits.set()
    began = time.monotonic()
    assert activity.wait_until_quiet(LONG)
    assert time.monotonic() - began < LONG / 2


def test_a_thread_works_until_it_has_left_the_outermost_block(activity, other_thread):
    inside, inner_left, leave = Event(), Event(), Event()

    def work():
        with activity:
            with activity:
                inside.set()
            inner_left.set()
            leave.wait(LONG)

    thread = other_thread(work)
    assert inside.wait(LONG) and inner_left.wait(LONG)
    assert not activity.wait_until_quiet(SHORT)
    assert activity.under_way() == [f"the thread {thread.name}"]
    leave.set()
    assert activity.wait_until_quiet(LONG)


def test_an_exception_leaves_the_block(activity):
    with pytest.raises(KeyError), activity:
        raise KeyError
    assert activity.wait_until_quiet(0)


def test_a_thread_does_not_wait_for_itself(activity):
    with activity:
        assert activity.wait_until_quiet(0)
        activity.add("a frame")
        assert not activity.wait_until_quiet(SHORT)


def test_two_threads_that_wait_do_not_wait_for_each_other(activity, other_thread):
    found = Recorder()

    def work():
        with activity:
            found(activity.wait_until_quiet(LONG))

    for _ in range(2):
        other_thread(work)
    found.wait(2)
    assert found.calls == [(True,), (True,)]


def test_a_thread_at_rest_does_not_work_until_it_is_woken(activity, other_thread):
    """It counts again before it has noticed that it was woken."""
    inside, woken, go_on, leave = Event(), [], Event(), Event()

    def work():
        with activity:
            with Resting(lambda: bool(woken)):
                inside.set()
                go_on.wait(LONG)
            leave.wait(LONG)

    other_thread(work)
    assert inside.wait(LONG)
    assert activity.wait_until_quiet(LONG)
    woken.append(True)
    assert not activity.wait_until_quiet(SHORT)
    assert activity.under_way() == ["a thread that has just been woken"]
    go_on.set()
    assert not activity.wait_until_quiet(SHORT)
    leave.set()
    assert activity.wait_until_quiet(LONG)


def test_what_a_thread_at_rest_does_counts(activity, other_thread):
    """As the callbacks of a clock that a handler advances."""
    inside, leave = Event(), Event()

    def work():
        with activity, Resting(lambda: False), activity:
            inside.set()
            leave.wait(LONG)

    other_thread(work)
    assert inside.wait(LONG)
    assert not activity.wait_until_quiet(SHORT)
    leave.set()
    assert activity.wait_until_quiet(LONG)


def test_a_rest_outside_changes_nothing(activity):
    with Resting(lambda: True):
        assert activity.wait_until_quiet(0)


def test_a_thread_that_is_woken_during_the_look_is_found(activity, other_thread):
    """The look calls functions without the lock. Meanwhile a thread may be woken, and the one that woke it may end."""
    inside, woken, leave = Event(), Event(), Event()
    looks = []

    def work():
        with activity:
            with Resting(woken.is_set):
                inside.set()
                woken.wait(LONG)
            leave.wait(LONG)

    def look_at_another():
        looks.append(True)
        if len(looks) == 1:  # this is evaluated after the rest above, or before: both ways it must be found
            with activity:
                woken.set()
        return False

    other_thread(work)
    assert inside.wait(LONG)
    with activity, Resting(look_at_another):
        found = Recorder()
        other_thread(lambda: found(activity.wait_until_quiet(SHORT)))
        assert found.wait() == [(False,)]
    leave.set()


def test_what_begins_during_the_look_is_found(activity, other_thread):
    """The look calls functions without the lock."""
    begun = []

    def begin():
        if not begun:
            begun.append(True)
            activity.add("a frame")
        return False

    with activity, Resting(begin):
        found = Recorder()
        other_thread(lambda: found(activity.wait_until_quiet(SHORT)))
        assert found.wait() == [(False,)]
        activity.done("a frame")
        assert activity.wait_until_quiet(LONG)


def test_a_job_is_under_way_until_it_has_run(activity):
    ran = []
    job = activity.job(lambda: ran.append(activity.under_way()), lambda idents: False)
    assert not activity.wait_until_quiet(SHORT)
    assert activity.under_way() == ["a job that waits for a thread"]
    job()
    assert ran == [[f"the thread {threading.current_thread().name}"]]
    assert activity.wait_until_quiet(0)


def test_a_job_that_fails_has_run(activity):
    job = activity.job(lambda: [].pop(), lambda idents: False)
    with pytest.raises(IndexError):
        job()
    assert activity.wait_until_quiet(0)


def test_a_job_is_dropped_or_lost(activity):
    lost = []
    dropped = activity.job(Recorder(), lambda idents: False)
    activity.job(Recorder(), lambda idents: bool(lost))
    assert not activity.wait_until_quiet(SHORT)
    dropped.drop()
    dropped.drop()
    assert not activity.wait_until_quiet(SHORT)
    lost.append(True)
    assert activity.wait_until_quiet(LONG)
    assert activity.under_way() == []


def test_a_job_that_must_wait_for_a_thread_at_rest_is_not_under_way(activity, other_thread):
    inside, woken, leave, go_on = Event(), [], Event(), Event()

    def work():
        with activity:
            with Resting(lambda: bool(woken)):
                inside.set()
                go_on.wait(LONG)
            leave.wait(LONG)

    thread = other_thread(work)
    assert inside.wait(LONG)
    job = activity.job(Recorder(), lambda idents: thread.ident in idents)
    assert activity.wait_until_quiet(LONG)
    woken.append(True)
    assert activity.under_way() == ["a job that waits for a thread", "a thread that has just been woken"]
    go_on.set()
    leave.set()
    thread.join(LONG)
    assert not activity.wait_until_quiet(SHORT)
    job()
    assert activity.wait_until_quiet(0)


def test_work_may_go_from_hand_to_hand(activity, other_thread):
    """Each thread notes the next job before its own is over. So at no time nothing is under way."""
    hops, ended = [], Event()

    def hop():
        hops.append(threading.get_ident())
        if len(hops) < 200:
            other_thread(activity.job(hop, lambda idents: False))
        else:
            ended.set()

    other_thread(activity.job(hop, lambda idents: False))
    assert activity.wait_until_quiet(LONG)
    assert len(hops) == 200 and ended.is_set()


def test_where_nothing_can_be_told_nothing_is_noted():
    ran = Recorder()
    job = UNCOUNTED.job(ran, lambda idents: False)
    with UNCOUNTED:
        job()
    job.drop()
    assert len(ran.calls) == 1
