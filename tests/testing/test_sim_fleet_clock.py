"""The clock of a fleet: all timers on one thread."""

import logging
import threading

from ocppj.testing.simulation.fleet_clock import FleetClock
from tests.helpers import Recorder, seconds


def make() -> FleetClock:
    return FleetClock(logging.getLogger("ocppj"))


def test_callbacks_run_in_order_on_one_thread():
    clock, ran = make(), Recorder()
    for delay in (0.03, 0.01, 0.02):
        clock.call_later(delay, lambda delay=delay: ran(delay, threading.current_thread().name), "timer")
    assert ran.wait(3) == [(delay, "ocppj-fleet-timer") for delay in (0.01, 0.02, 0.03)]
    clock.close()


def test_an_earlier_timer_wakes_the_thread():
    clock, ran = make(), Recorder()
    clock.call_later(3600, ran, "late")
    clock.call_later(0.01, lambda: ran("early"), "early")
    assert ran.wait() == [("early",)]
    clock.close()


def test_a_canceled_timer_does_not_run():
    clock, ran = make(), Recorder()
    timer = clock.call_later(0.02, lambda: ran("canceled"), "timer")
    timer.cancel()
    timer.join(seconds(1))
    assert timer.done()
    clock.call_later(0.03, lambda: ran("next"), "timer")
    assert ran.wait() == [("next",)]
    clock.close()


def test_join_waits_for_the_end_of_the_callback():
    clock, begun, going = make(), threading.Event(), threading.Event()

    def callback():
        begun.set()
        going.wait(seconds(10))

    timer = clock.call_later(0, callback, "timer")
    assert begun.wait(seconds(10))
    assert not timer.done()
    timer.join(0.01)
    assert not timer.done()
    going.set()
    timer.join(seconds(10))
    assert timer.done()
    clock.close()


def test_an_exception_is_logged_and_the_thread_goes_on(caplog):
    clock, ran = make(), Recorder()
    clock.call_later(0, lambda: 1 / 0, "timer")
    clock.call_later(0.01, ran, "timer")
    assert ran.wait()
    assert "a timer of a fleet has failed" in caplog.text
    clock.close()


def test_close_drops_what_waits_and_may_be_called_by_a_callback():
    clock, ran = make(), Recorder()
    late = clock.call_later(3600, ran, "timer")
    clock.call_later(0, lambda: (clock.close(), ran("closed")), "timer")
    assert ran.wait() == [("closed",)]
    late.join(seconds(10))
    assert late.done()
    clock.close()
    after = clock.call_later(0, ran, "timer")
    assert not after.done() or ran.calls == [("closed",)]
    assert ran.calls == [("closed",)]
