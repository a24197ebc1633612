"""One peer's sender, with another thread put between any two lines."""

import threading

import pytest

from ocppj import Call, CallCanceled, FIFOClientQueue, NotRunning, QueueFull, RequestBundle, TransactionRetries
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


# Requests that are held


def boots(bundle):
    return bundle.message_id.startswith("boot")


def test_what_may_pass_goes_past_what_is_held(harness):
    harness.sender.hold(boots)
    harness.push("1", "2", "boot", "3", "boot-2")
    assert harness.network.sent == ["boot"]
    assert harness.sender.count_held() == 3
    harness.sender.complete("boot")
    assert harness.network.sent == ["boot", "boot-2"]
    harness.sender.complete("boot-2")
    harness.sender.release()
    assert harness.sender.count_held() == 0
    for each in "123":
        assert harness.sender.complete(each)
    assert harness.network.sent == ["boot", "boot-2", "1", "2", "3"]


def test_a_full_queue_takes_what_goes_past_those_that_are_held():
    harness = Harness(FIFOClientQueue(2))
    harness.sender.hold(boots)
    harness.push("1", "2", "boot", "boot-2")
    assert harness.network.sent == ["boot"]
    with pytest.raises(QueueFull):
        harness.push("boot-3")
    with pytest.raises(QueueFull):
        harness.push("3")
    harness.sender.complete("boot")
    harness.sender.complete("boot-2")
    harness.sender.release()
    with pytest.raises(QueueFull):
        harness.push("boot-3")
    harness.sender.complete("1")
    harness.push("4")
    assert harness.network.sent == ["boot", "boot-2", "1", "2"]


def test_a_hold_from_the_beginning_holds_what_is_in_the_queue():
    queue = FIFOClientQueue()
    queue.init()
    queue.push(bundle("1"))
    harness = Harness(queue, may_pass=boots)
    harness.sender.send_next()
    assert harness.network.sent == []
    harness.push("boot")
    assert harness.network.sent == ["boot"]


def test_the_pending_request_goes_on_when_a_hold_begins(harness):
    harness.push("1", "2")
    assert harness.sender.hold(boots)
    assert harness.sender.complete("1")
    assert harness.network.sent == ["1"]
    harness.sender.release()
    assert harness.network.sent == ["1", "2"]


def test_a_request_that_was_refused_keeps_its_place(harness):
    harness.push("1", "2", "3")
    assert harness.sender.hold(boots, keep="1")
    assert not harness.state.has()
    harness.push("boot")
    harness.sender.complete("boot")
    harness.sender.release()
    for each in "123":
        assert harness.sender.complete(each)
    assert harness.network.sent == ["1", "boot", "1", "2", "3"]


@pytest.mark.parametrize("keep", ["boot", "2", "unknown"])
def test_nothing_is_held_for_a_request_that_cannot_be_kept(harness, keep):
    """It may pass, it is not pending, it is not there."""
    harness.push("boot", "2")
    assert not harness.sender.hold(boots, keep=keep)
    assert harness.sender.complete("boot")
    assert harness.network.sent == ["boot", "2"]


def test_what_is_kept_while_it_is_written_is_held(harness):
    """The peer refuses it within ``send``."""
    harness.network.act = lambda message_id: harness.sender.hold(boots, keep=message_id)
    harness.push("1", "2")
    assert harness.network.sent == ["1"]
    assert harness.sender.count_held() == 2


def transaction(message_id):
    call = Call(message_id, "TransactionEvent", {"request": message_id})
    return RequestBundle(call, message_id)


def test_no_message_about_a_transaction_overtakes_another(harness):
    """One that may pass waits behind an older one that may not; other requests do not wait."""
    harness.sender.hold(lambda bundle: bundle.message_id.startswith("pass"))
    for each in (transaction("old"), transaction("pass-1"), bundle("pass-2"), bundle("4")):
        harness.sender.push(each)
    assert harness.network.sent == ["pass-2"]
    harness.sender.complete("pass-2")
    harness.sender.release()
    for each in ("old", "pass-1", "4"):
        assert harness.sender.complete(each)
    assert harness.network.sent == ["pass-2", "old", "pass-1", "4"]


def test_what_backs_off_is_not_overtaken_while_others_are_held():
    harness = Harness(retries=TransactionRetries(3, 60))
    for each in (transaction("t-1"), transaction("t-2"), bundle("boot")):
        harness.sender.push(each)
    harness.sender.retry("t-1", "refused")
    assert harness.network.sent == ["t-1", "boot"]
    harness.sender.hold(lambda bundle: True)
    harness.sender.complete("boot")
    assert harness.network.sent == ["t-1", "boot"]


def test_what_is_held_costs_nothing_for_the_next_that_is_held(harness):
    """A charge point may be held for days. Its queue is looked through for a request that may pass, not for others."""
    looks = []
    harness.sender.hold(lambda bundle: bool(looks.append(bundle)))
    looks.clear()
    harness.push(*map(str, range(1000)))
    assert len(looks) == 1000
