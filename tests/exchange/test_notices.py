"""`Notices`: what is told of each peer's connections, in order."""

import threading

import pytest

from ocppj import ManualClock, SystemClock
from ocppj.exchange.notices import Notices
from tests.helpers import seconds


@pytest.fixture
def late():
    return []


@pytest.fixture
def notices(late):
    return Notices(SystemClock(), late.append)


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def join(thread):
    thread.join(seconds(10))
    assert not thread.is_alive()


def test_notices_are_told_in_the_order_in_which_they_were_added(notices):
    told = []
    first, second, third = (notices.add("CP", lambda n=n: told.append(n)) for n in range(3))
    notices.tell(second)
    notices.tell(third)
    assert told == []
    notices.tell(first)
    assert told == [0, 1, 2]
    notices.tell(third)
    assert told == [0, 1, 2], "once"


def test_a_notice_that_may_be_told_while_another_is_told_comes_after_it(notices):
    told = []

    def tell():
        notices.tell(second)
        told.append(1)

    first, second = notices.add("CP", tell), notices.add("CP", lambda: told.append(2))
    notices.tell(first)
    assert told == [1, 2]
    notices.tell(notices.add("CP", lambda: told.append(3)))
    assert told == [1, 2, 3], "the line is open again"


def test_peers_do_not_wait_for_each_other(notices):
    told = []
    notices.add("CP_1", lambda: told.append("CP_1"))
    notices.tell(notices.add("CP_2", lambda: told.append("CP_2")))
    notices.tell(notices.add("CP_3", lambda: told.append("CP_3")), patience=seconds(10))
    assert told == ["CP_2", "CP_3"]


def test_nothing_is_kept_of_a_peer_about_which_all_is_told(notices):
    first, second = notices.add("CP", lambda: None), notices.add("CP", lambda: None)
    assert len(notices) == 1
    notices.tell(first)
    notices.tell(second, patience=seconds(10))
    assert len(notices) == 0


def test_a_patient_thread_tells_its_own_notice_after_the_older_one(notices, late):
    told, entered, leave = [], threading.Event(), threading.Event()

    def tell_slowly():
        entered.set()
        leave.wait(seconds(10))
        told.append(("older", threading.current_thread()))

    older = notices.add("CP", tell_slowly)
    newer = notices.add("CP", lambda: told.append(("newer", threading.current_thread())))
    newest = notices.add("CP", lambda: told.append(("newest", threading.current_thread())))
    patient = start(notices.tell, newer, seconds(10))
    impatient = start(notices.tell, newest)
    join(impatient)
    assert told == []
    teller = start(notices.tell, older)
    assert entered.wait(seconds(10))
    leave.set()
    join(teller)
    join(patient)
    assert told == [("older", teller), ("newer", patient), ("newest", patient)]
    assert late == []


def test_patience_ends(late):
    clock, told = ManualClock(), []
    notices = Notices(clock, late.append)
    older = notices.add("CP", lambda: told.append("older"))
    newer = notices.add("CP", lambda: told.append("newer"))
    patient = start(notices.tell, newer, 3.0)
    assert clock.wait_for_waiters()
    clock.advance(2.9)
    assert told == []
    clock.advance(0.2)
    join(patient)
    assert (told, late) == (["newer"], ["CP"])
    notices.tell(older)
    assert (told, len(notices)) == (["newer", "older"], 0)


def test_a_handler_that_never_ends_holds_a_patient_thread_no_longer_than_its_patience(notices, late):
    entered, leave, told = threading.Event(), threading.Event(), []

    def hang():
        entered.set()
        leave.wait(seconds(30))

    teller = start(notices.tell, notices.add("CP", hang))
    assert entered.wait(seconds(10))
    notices.tell(notices.add("CP", lambda: told.append("newer")), patience=0.05)
    assert (told, late) == (["newer"], ["CP"])
    leave.set()
    join(teller)
    notices.tell(notices.add("CP", lambda: told.append("next")), patience=seconds(10))
    assert (told, late, len(notices)) == (["newer", "next"], ["CP"], 0)


def test_many_threads_tell_each_notice_once_and_each_peer_in_order(notices):
    told = {peer: [] for peer in range(5)}
    given = [
        (notices.add(str(n % 5), lambda n=n: told[n % 5].append(n)), None if n % 3 else seconds(20)) for n in range(200)
    ]
    threads = [start(notices.tell, notice, patience) for notice, patience in reversed(given)]
    for thread in threads:
        join(thread)
    assert told == {peer: list(range(peer, 200, 5)) for peer in range(5)}
    assert len(notices) == 0
