"""`Behind` keeps what shows the traffic from stopping it."""

import io
import threading
from contextlib import ExitStack
from typing import Any, List

from ocppj.cli.behind import Behind
from ocppj.cli.log_lines import make_logger
from ocppj.cli.terminal import Terminal
from tests.helpers import Recorder, eventually, seconds


class Slow:
    """An observer that shows nothing until it may."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.seen: List[Any] = []

    def __call__(self, frame: Any) -> None:
        self.goes_on.wait(seconds(20))
        self.seen.append(frame)

    def connection_changed(self, change: Any) -> None:
        self.seen.append(("change", change))


def test_an_observer_that_is_stopped_stops_nobody_and_misses_the_newest() -> None:
    slow, missed = Slow(), Recorder()
    shown = Behind(slow, missed)
    shown(0)
    for number in range(1, 12_000):
        shown(number)
    slow.goes_on.set()
    (count,) = missed.wait(1)[0]
    assert 1900 <= count <= 2000
    assert slow.seen == list(range(12_000 - count))
    shown.connection_changed("end")
    eventually(lambda: slow.seen[-1] == ("change", "end"))
    shown.close()


def test_what_waits_is_shown_at_the_end_and_nothing_after_it() -> None:
    slow = Slow()
    slow.goes_on.set()
    shown = Behind(slow, Recorder())
    for number in range(500):
        shown(number)
    shown.close()
    assert slow.seen == list(range(500))
    shown(500)
    shown.close()
    assert len(slow.seen) == 500


def test_close_gives_up_what_is_stopped() -> None:
    slow, given_up = Slow(), Recorder()
    shown = Behind(slow, Recorder(), lambda: given_up(1))
    shown(0)
    shown.close(0.01)
    assert given_up.wait(1) == [(1,)]
    slow.goes_on.set()
    shown.close()


def test_a_thread_that_logs_does_not_wait_for_the_terminal() -> None:
    """The threads of the server log: no client may wait for what reads the log."""
    prints, goes_on = threading.Event(), threading.Event()

    class Stopped(io.StringIO):
        def write(self, text: str) -> int:
            prints.set()
            goes_on.wait(seconds(20))
            return super().write(text)

    err = Stopped()
    with ExitStack() as ends:
        logger = make_logger("serve", Terminal(out=io.StringIO(), err=err), ends)
        logger.warning("one")
        assert prints.wait(seconds(10))
        logger.error("two")  # it would wait here
        assert err.getvalue() == ""
        goes_on.set()
    assert err.getvalue() == "warning: one\nerror: two\n"


def test_one_that_fails_sees_the_next(caplog: Any) -> None:
    seen: List[int] = []

    def failing(frame: int) -> None:
        seen.append(frame)
        if frame == 1:
            raise OSError("full")

    shown = Behind(failing, Recorder())
    for number in range(3):
        shown(number)
    eventually(lambda: seen == [0, 1, 2])
    shown.close()
