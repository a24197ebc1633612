"""One peer's sender, with another thread put between any two lines."""

import threading

import pytest

from ocppj import CallCanceled, FIFOClientQueue, NotRunning
from ocppj.dispatch.request_sender import RequestSender
from ocppj.dispatch.timeouts import RequestTimeout
from tests.dispatching import CheckedState, Network, bundle
from tests.helpers import eventually, seconds


class HeldTimeouts:
    """Deadlines that run out when the test says so, canceled or not: a timer may have begun before it is canceled."""

    def __init__(self):
        self.deadlines = []
        self.act = lambda: None

    def add(self, duration, callback):
        self.deadlines.append(callback)
        self.act()
        return self

    def cancel(self):
        pass


class Harness:
    def __init__(self, queue=None, **options):
        self.timeouts, self.network, self.state, self.canceled = HeldTimeouts(), Network(), CheckedState(), []
        self.queue = FIFOClientQueue() if queue is None else queue
        around = self.queue, self.state, self.timeouts, RequestTimeout(), self.network.send, self._canceled
        self.sender = RequestSender(*around, **options)

    def _canceled(self, message_id, request, error):
        self.canceled.append(message_id)

    def push(self, *message_ids):
        for each in message_ids:
            self.sender.push(bundle(each))

    def cancel(self, message_id):
        return self.sender.cancel(message_id, CallCanceled("unwanted", message_id))

    def once(self, act):
        """Run ``act`` between the taking of the next request and its writing."""

        def run():
            self.timeouts.act = lambda: None
            act()

        self.timeouts.act = run


@pytest.fixture
def harness():
    return Harness()


@pytest.fixture
def blocked(harness):
    """A harness whose network blocks on "1" until ``release`` is set, and the thread that writes it."""
    harness.release, harness.writing = threading.Event(), threading.Event()

    def block(message_id):
        if message_id == "1":
            harness.writing.set()
            harness.release.wait(seconds(30))

    harness.network.act = block
    harness.writer = threading.Thread(target=harness.push, args=("1",), daemon=True)
    harness.writer.start()
    assert harness.writing.wait(seconds(10))
    yield harness
    harness.release.set()
    harness.writer.join(seconds(10))
    assert harness.network.overlaps == 0
    assert harness.state.twice == 0


def test_canceled_between_taking_and_writing_is_not_written(harness):
    harness.once(lambda: harness.cancel("1"))
    harness.push("1", "2")
    assert harness.network.sent == ["2"]
    assert harness.canceled == ["1"]


def test_timed_out_between_taking_and_writing_is_not_written(harness):
    harness.once(lambda: harness.timeouts.deadlines[0]())
    harness.push("1", "2")
    assert harness.network.sent == ["2"]
    assert harness.canceled == ["1"]


def test_paused_between_taking_and_writing_is_kept_for_later(harness):
    harness.once(harness.sender.pause)
    harness.push("1", "2")
    assert harness.network.sent == []
    assert not harness.state.has()
    assert len(harness.queue) == 2
    harness.sender.resume()
    assert harness.network.sent == ["1"]
    assert harness.state.get("1") is not None
    harness.timeouts.deadlines[-1]()
    assert harness.canceled == ["1"]


def test_paused_and_resumed_between_taking_and_writing_is_written_once(harness):
    harness.once(lambda: (harness.sender.pause(), harness.sender.resume()))
    harness.push("1")
    assert harness.network.sent == ["1"]
    for deadline in harness.timeouts.deadlines:
        deadline()
    assert harness.canceled == ["1"], "the deadline of the resume counts"


def test_paused_again_while_it_resumes_is_not_written_twice(harness):
    """What was sent before the first pause is on the wire, whatever comes while its answer is awaited anew."""
    harness.push("1")
    harness.sender.pause()
    harness.once(harness.sender.pause)
    harness.sender.resume()
    assert harness.sender.is_paused()
    harness.sender.resume()
    assert harness.network.sent == ["1"]
    assert harness.sender.complete("1")


def test_closed_between_taking_and_writing_is_not_written(harness):
    discarded = []
    harness.once(lambda: discarded.extend(harness.sender.close()))
    harness.push("1")
    assert harness.network.sent == []
    assert [each.message_id for each in discarded] == ["1"]
    with pytest.raises(NotRunning):
        harness.push("2")
    assert len(harness.queue) == 0


def test_a_timeout_that_had_begun_before_a_pause_means_nothing(harness):
    harness.push("1")
    stale = harness.timeouts.deadlines[0]
    harness.sender.pause()
    stale()
    harness.sender.resume()
    stale()
    assert harness.canceled == []
    harness.timeouts.deadlines[1]()
    assert harness.canceled == ["1"]


def test_a_timeout_that_had_begun_before_the_answer_means_nothing(harness):
    harness.push("1", "2")
    harness.sender.complete("1")
    harness.timeouts.deadlines[0]()
    assert harness.canceled == []
    assert harness.network.sent == ["1", "2"]


def test_what_is_canceled_while_it_is_written_is_followed_in_order(blocked):
    blocked.push("2", "3")
    assert blocked.cancel("1")
    assert blocked.canceled == ["1"], "it is reported at once"
    assert blocked.network.sent == ["1"], "the next waits until the wire is free"
    blocked.release.set()
    eventually(lambda: blocked.network.sent == ["1", "2"])


def test_a_timeout_during_the_write_is_reported_at_once_and_delays_no_other(blocked):
    blocked.timeouts.deadlines[0]()
    assert blocked.canceled == ["1"]
    blocked.push("2")
    blocked.sender.pause()
    blocked.sender.resume()
    assert blocked.network.sent == ["1"]
    blocked.release.set()
    eventually(lambda: blocked.network.sent == ["1", "2"])


def test_what_is_answered_before_its_write_returns_is_followed_by_the_writer(blocked):
    blocked.push("2")
    blocked.sender.complete("1")
    assert blocked.network.sent == ["1"]
    blocked.release.set()
    eventually(lambda: blocked.network.sent == ["1", "2"])
    assert blocked.canceled == []


def test_closed_while_it_is_written(blocked):
    blocked.push("2")
    assert [each.message_id for each in blocked.sender.close()] == ["1", "2"]
    blocked.release.set()
    blocked.writer.join(seconds(10))
    assert not blocked.writer.is_alive()
    assert blocked.network.sent == ["1"]


def test_an_interrupted_write_leaves_the_sender_usable(harness):
    def interrupt(message_id):
        raise KeyboardInterrupt

    harness.network.act = interrupt
    with pytest.raises(KeyboardInterrupt):
        harness.push("1")
    harness.network.act = lambda message_id: None
    harness.push("2")
    assert harness.network.sent == ["1"], "it may have been written: its answer is awaited"
    harness.timeouts.deadlines[0]()
    assert harness.canceled == ["1"]
    assert harness.network.sent == ["1", "2"]


def test_an_interrupted_write_leaves_no_request_unreported(harness):
    """Neither the request that failed before, nor the one behind."""
    harness.sender.pause()
    harness.push("1", "2")

    def act(message_id):
        if message_id == "1":
            raise OSError("no route to host")
        raise KeyboardInterrupt

    harness.network.act = act
    with pytest.raises(KeyboardInterrupt):
        harness.sender.resume()
    assert harness.canceled == ["1"]
    assert harness.network.sent == ["1", "2"]


def test_a_request_interrupted_before_its_write_is_sent_later(harness):
    def interrupt():
        raise KeyboardInterrupt

    harness.once(interrupt)
    with pytest.raises(KeyboardInterrupt):
        harness.push("1")
    assert harness.network.sent == []
    assert not harness.state.has(), "nothing would ever end it"
    harness.timeouts.deadlines[-1]()
    assert harness.network.sent == ["1"]


def test_without_a_timer_a_request_fails_and_is_not_lost(harness):
    def fail():
        raise RuntimeError("can't start new thread")

    harness.once(fail)
    harness.push("1", "2")
    assert harness.canceled == ["1"]
    assert harness.network.sent == ["2"]


def test_a_queue_that_fails_once_does_not_block_the_sender():
    class Moody(FIFOClientQueue):
        mood = 0

        def peek(self):
            self.mood += 1
            if self.mood == 1:
                raise OSError("disk full")
            return super().peek()

    harness = Harness(Moody())
    with pytest.raises(OSError, match="disk full"):
        harness.push("1")
    harness.push("2")
    assert harness.network.sent == ["1"]


def test_a_queue_that_cannot_remove_an_unwritten_request_does_not_block_the_sender():
    class Clinging(FIFOClientQueue):
        def pop(self):
            raise OSError("disk full")

    harness = Harness(Clinging())

    def fail(message_id):
        harness.network.act = lambda message_id: None
        raise OSError("no route to host")

    harness.network.act = fail
    with pytest.raises(OSError, match="disk full"):
        harness.push("1")
    harness.push("2")
    assert harness.network.sent == ["1", "1"]


def test_a_network_that_answers_within_send_needs_no_stack(harness):
    harness.sender.pause()
    ids = [str(n) for n in range(5_000)]
    harness.push(*ids)
    harness.network.act = harness.sender.complete
    harness.sender.resume()
    assert harness.network.sent == ids
    assert harness.network.overlaps == 0
    assert (len(harness.queue), harness.state.has(), harness.canceled) == (0, False, [])
