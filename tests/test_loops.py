"""The loop that every thread has, and steps that are done whatever others raise."""

import pytest

from ocppj import set_logger
from ocppj.loops import do_all, log_failure, run_loop
from ocppj.settings import get_logger


class Failing:
    """Raises each of ``errors`` in turn, then returns ``result``."""

    def __init__(self, errors, result=None):
        self.errors, self.result, self.calls = list(errors), result, 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.result


class Raising:
    """A logger that cannot log."""

    def __getattr__(self, name):
        raise MemoryError


@pytest.fixture
def no_logger():
    before = get_logger()
    set_logger(Raising())
    yield
    set_logger(before)


ERRORS = [MemoryError(), SystemExit(1), RuntimeError("can't start new thread"), OSError(24, "too many"), KeyError()]


def test_nothing_that_a_step_raises_ends_the_loop(caplog):
    step, repair = Failing(ERRORS), Failing([MemoryError(), SystemExit(2)])
    run_loop("the thread", step, repair)
    assert step.calls == 6
    assert repair.calls == 7  # each failure of a step, and its own two
    assert "the thread failed 1 times in a row, and goes on" in caplog.text


def test_a_loop_ends_when_its_step_has_nothing_left():
    left = [3, 2, 1, 0]
    run_loop("the thread", lambda: left.pop(0))
    assert left == []


def test_failures_in_a_row_are_logged_less_and_less(caplog):
    run_loop("the thread", Failing([MemoryError()] * 9))
    assert [record.args[1] for record in caplog.records] == [1, 2, 4, 8]


def test_a_logger_that_raises_ends_no_loop(no_logger):
    step = Failing(ERRORS)
    run_loop("the thread", step)
    assert step.calls == 6
    log_failure("nothing")


def test_each_step_is_done_and_again_when_it_raises(caplog):
    steps = [Failing([]), Failing([MemoryError()] * 2), Failing([ValueError()] * 9), Failing([])]
    do_all(*steps)
    assert [step.calls for step in steps] == [1, 3, 3, 1]


def test_an_interrupt_is_raised_when_all_steps_are_done():
    steps = [Failing([KeyboardInterrupt()]), Failing([])]
    with pytest.raises(KeyboardInterrupt):
        do_all(*steps)
    assert [step.calls for step in steps] == [1, 1]
