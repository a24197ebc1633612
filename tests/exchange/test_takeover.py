"""The thread that begins what another process still keeps."""

import threading

from ocppj.exchange.takeover import Takeover
from ocppj.log_limit import safe_log
from tests.helpers import Recorder, eventually, seconds


class Held(Exception):
    """Another process has it."""


class Broken(Exception):
    """Nobody can have it."""


def make(*outcomes):
    """Return a `Takeover` whose attempts end with ``outcomes``, the last one again and again; and its recorders."""
    left, attempts, failed = list(outcomes), Recorder(), Recorder()

    def begin():
        attempts()
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if outcome is not None:
            raise outcome

    return Takeover(begin, (Held,), failed, safe_log), attempts, failed


def is_over():
    return "ocppj-takeover" not in [thread.name for thread in threading.enumerate()]


def test_it_tries_until_it_is_free():
    takeover, attempts, failed = make(Held(), Held(), None)
    takeover.start()
    attempts.wait(3)
    eventually(is_over)
    assert (len(attempts.calls), failed.calls, takeover.error) == (3, [], None)
    takeover.stop()


def test_a_long_wait_is_told_of_at_each_doubling(monkeypatch, caplog):
    monkeypatch.setattr("ocppj.exchange.takeover._INTERVAL", 0.00001)
    takeover, attempts, _ = make(*[Held("in use")] * 600, None)
    takeover.start()
    attempts.wait(601)
    eventually(is_over)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"still waiting after {number} attempts: in use" for number in (256, 512)]


def test_another_error_ends_it(caplog):
    error = Broken("no such host")
    takeover, attempts, failed = make(Held(), error)
    takeover.start()
    failed.wait(1)
    eventually(is_over)
    assert (len(attempts.calls), takeover.error) == (2, error)
    assert [record.getMessage() for record in caplog.records] == ["nothing was taken over: no such host"]


def test_stop_ends_it_after_the_attempt_that_is_under_way():
    entered, go_on, ended = threading.Event(), threading.Event(), Recorder()

    def begin():
        entered.set()
        go_on.wait(seconds(10))
        ended()
        raise Held

    takeover = Takeover(begin, (Held,), Recorder(), safe_log)
    takeover.stop()  # before it was started, which then tries no more
    takeover.start()
    eventually(is_over)
    assert not entered.is_set()
    takeover = Takeover(begin, (Held,), Recorder(), safe_log)
    takeover.start()
    assert entered.wait(seconds(5))
    stopper = threading.Thread(target=takeover.stop)
    stopper.start()
    assert not ended.calls
    go_on.set()
    stopper.join(seconds(5))
    assert len(ended.calls) == 1
    assert is_over()


def test_what_an_attempt_begins_after_stop_is_ended(monkeypatch):
    monkeypatch.setattr("ocppj.exchange.takeover._PATIENCE", 0.01)
    entered, go_on, ended = threading.Event(), threading.Event(), Recorder()

    def begin():
        entered.set()
        go_on.wait(seconds(10))

    takeover = Takeover(begin, (Held,), ended, safe_log)
    takeover.start()
    assert entered.wait(seconds(5))
    takeover.stop()
    assert not ended.calls
    go_on.set()
    ended.wait(1)
    eventually(is_over)


def test_its_own_thread_may_stop_it():
    made, told = [], Recorder()

    def begin():
        raise Broken

    def failed():
        made[0].stop()
        told()

    made.append(Takeover(begin, (Held,), failed, safe_log))
    made[0].start()
    told.wait(1)
    eventually(is_over)
