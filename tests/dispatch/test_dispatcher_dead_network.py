"""A network on which every write fails, and callbacks that queue again: no deep stack, and no busy loop."""

import inspect
import threading
from contextlib import suppress

import pytest

from ocppj import NotRunning, UnknownClient
from tests.dispatching import TIMEOUT, ServerSide, make_side, side  # noqa: F401
from tests.helpers import seconds

NOTHING = (0, False, 0)


def test_sending_again_on_a_dead_network_needs_no_stack(side):
    tries = {}

    def again(message_id, error):
        number, _, attempt = message_id.partition("/")
        tries[number] = int(attempt or 0) + 1
        if tries[number] < 3:
            side.send(f"{number}/{tries[number]}")

    side.on_canceled = again
    side.send_all(*map(str, range(2_000)))
    side.network.act = side.network.fail
    side.complete("0")
    assert tries == {str(n): 3 for n in range(1, 2_000)}
    assert side.left() == NOTHING


def depth():
    frame, count = inspect.currentframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


class Stubborn:
    """A callback that queues again whatever fails, for ever."""

    def __init__(self, side, caplog):
        self.side, self.caplog, self.depths = side, caplog, []
        side.on_canceled = self
        side.network.act = side.network.fail

    def __call__(self, message_id, error):
        self.depths.append(depth())
        with suppress(NotRunning, UnknownClient):
            self.side.send(f"{len(self.side.canceled)}")

    def check(self):
        """Each request was reported once, with its own error, and no deeper on the stack than the first."""
        assert max(self.depths) - min(self.depths) <= 8  # each thread has a few frames of its own below
        assert self.side.canceled_ids == self.side.sent == [str(n) for n in range(len(self.depths))]
        assert all("cable is cut" in str(error) for _, error in self.side.canceled)
        assert "Recursion" not in self.caplog.text
        assert "callback failed" not in self.caplog.text


def test_queueing_again_for_ever_on_a_dead_network_holds_no_thread_and_needs_no_stack(side, caplog):
    stubborn = Stubborn(side, caplog)
    side.send("0")
    assert 1 < len(side.canceled) < 50, "then the sender stalls"
    at_once = len(side.canceled)
    side.clock.advance(5)
    assert len(side.canceled) == 2 * at_once, "and tries again now and then"
    stubborn.check()
    side.network.act = lambda message_id: None
    side.clock.advance(5)
    assert side.sent[-1] == str(2 * at_once)
    side.complete(side.sent[-1])
    assert side.left() == NOTHING


def test_queueing_again_ends_with_the_dispatcher(make_side, caplog):
    side = make_side().start()
    stubborn = Stubborn(side, caplog)
    side.send("0")
    side.dispatcher.stop()
    told = len(side.canceled)
    side.clock.advance(100 * TIMEOUT)
    assert len(side.canceled) == told
    stubborn.check()
    assert side.left() == NOTHING


def test_queueing_again_ends_with_the_client(caplog):
    side = ServerSide().start()
    Stubborn(side, caplog)
    side.send("0")
    told = len(side.canceled)
    side.dispatcher.delete_client("CP")
    assert side.canceled_ids == [str(n) for n in range(told + 1)], "the one that waited is reported, too"
    side.clock.advance(100 * TIMEOUT)
    assert len(side.canceled) == told + 1


@pytest.mark.timeout(seconds(60))
def test_stop_from_another_thread_ends_queueing_again(make_side, caplog):
    """In any order of the thread that reports and the thread that stops."""
    for _ in range(50):
        side, begun = make_side().start(), threading.Event()
        stubborn = Stubborn(side, caplog)

        def tell(message_id, error, stubborn=stubborn, begun=begun):
            begun.set()
            stubborn(message_id, error)

        side.on_canceled = tell
        thread = threading.Thread(target=side.send, args=("0",), daemon=True)
        thread.start()
        assert begun.wait(seconds(10))
        side.dispatcher.stop()
        thread.join(seconds(10))
        assert not thread.is_alive()
        told = len(side.canceled)
        side.clock.advance(100 * TIMEOUT)
        assert (len(side.canceled), side.left()) == (told, NOTHING)


def test_a_callback_may_wait_for_what_it_has_queued(make_side):
    """It should not; but then the timer's thread sends it."""
    side, waited = make_side().start(), []
    ended = threading.Event()

    def again(message_id, error):
        if message_id == "1":
            side.send("2")
            waiting = threading.Thread(target=lambda: side.clock.advance(5), daemon=True)
            waiting.start()
            waited.append(ended.wait(seconds(10)))
            waiting.join(seconds(10))
        else:
            ended.set()

    side.on_canceled = again
    side.network.act = side.network.fail
    side.send("1")
    assert waited == [True]
    assert side.canceled_ids == ["1", "2"]
    assert side.left() == NOTHING


def test_other_threads_send_what_a_callback_queues(side):
    """Only the thread that reports failed writes sends nothing."""

    def again(message_id, error):
        side.network.act = lambda message_id: None
        side.send("2")
        assert side.sent == ["1"]
        thread = threading.Thread(target=side.send, args=("3",), daemon=True)
        thread.start()
        thread.join(seconds(10))
        assert side.sent == ["1", "2"]

    side.on_canceled = again
    side.network.act = side.network.fail
    side.send("1")
    side.complete("2")
    assert side.sent == ["1", "2", "3"]
