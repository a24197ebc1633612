"""What is pending, for one peer and for many; and the decisions, without threads, writes and time."""

import threading

import pytest

from ocppj import FIFOClientQueue, PendingRequestState, ServerState
from ocppj.dispatch.pending import InFlight, Turn
from ocppj.dispatch.retries import ConsecutiveFailures
from tests.dispatching import bundle

TURN = Turn()


def test_one_at_a_time_a_second_add_is_ignored():
    state = PendingRequestState()
    assert not state.has()
    state.add("1", "first")
    state.add("2", "second")
    assert state.has()
    assert (state.get("1"), state.get("2")) == ("first", None)


def test_an_unknown_id_is_nothing_and_deleting_it_changes_nothing():
    state = PendingRequestState()
    state.delete("1")
    assert state.get("1") is None
    state.add("1", "first")
    state.delete("2")
    assert state.get("1") == "first"


def test_after_delete_the_next_can_be_added():
    state = PendingRequestState()
    state.add("1", "first")
    state.delete("1")
    assert not state.has()
    state.add("2", "second")
    assert state.get("2") == "second"


def test_clear_forgets_what_is_pending():
    state = PendingRequestState()
    state.clear()
    state.add("1", "first")
    state.clear()
    assert not state.has()
    assert state.get("1") is None


def test_a_request_that_is_to_be_sent_again_awaits_a_late_answer():
    state = PendingRequestState()
    state.add("1", "first")
    state.delete("1")
    state.await_late("1", "first")
    assert (state.get("1"), state.is_late("1"), state.has()) == ("first", True, False)
    state.add("2", "overtaking")
    assert (state.get("1"), state.get("2")) == ("first", "overtaking")
    state.delete("2")
    state.add("1", "first")
    assert (state.get("1"), state.is_late("1")) == ("first", False)
    state.delete("1")
    assert state.get("1") is None
    for forget in (lambda: state.delete("3"), state.clear):
        state.await_late("3", "third")
        forget()
        assert (state.get("3"), state.is_late("3")) == (None, False)


def test_a_server_keeps_each_client_apart():
    state = ServerState()
    state.get_client_state("A").add("1", "of A")
    state.get_client_state("B").add("1", "of B")
    assert state.get_client_state("A").get("1") == "of A"
    assert state.has()
    assert state.has("A")
    assert not state.has("C")
    state.clear_client("A")
    assert not state.has("A")
    assert state.get_client_state("B").get("1") == "of B"
    state.clear_client("nobody")
    state.clear()
    assert not state.has()
    assert not state.has("B")


def test_clearing_clears_states_that_are_in_use():
    state = ServerState()
    held, other = state.get_client_state("A"), state.get_client_state("B")
    held.add("1", "x")
    other.add("1", "y")
    state.clear_client("A")
    assert not held.has()
    state.clear()
    assert not other.has()


def test_many_threads_get_one_state_for_one_client():
    state, found, barrier = ServerState(), [], threading.Barrier(8)

    def look():
        barrier.wait(10)
        found.append(state.get_client_state("A"))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


# InFlight


class AsideQueue(FIFOClientQueue):
    """Notes what is set aside."""

    def __init__(self):
        super().__init__()
        self.aside = []

    def set_aside(self, message_id, reason):
        self.aside.append((message_id, reason))
        return self.remove(message_id)


def make(*message_ids, max_losses=0):
    queue = AsideQueue()
    for each in message_ids:
        queue.push(bundle(each))
    return InFlight(queue, PendingRequestState(), losses=ConsecutiveFailures(max_losses))


def take(inflight):
    """Take what is next and have it written."""
    taken = inflight.take(TURN)
    inflight.sending = None
    return taken and taken.message_id


def test_one_is_pending_at_most_and_none_while_one_is_written():
    inflight = make("1", "2")
    first = inflight.take(TURN)
    assert first.message_id == "1"
    assert inflight.take(TURN) is None
    inflight.end(first)
    assert inflight.take(TURN) is None, "it is being written still"
    inflight.sending = None
    assert inflight.take(TURN).message_id == "2"


@pytest.mark.parametrize("why", ["paused", "stalled", "closed"])
def test_states_in_which_nothing_is_taken(why):
    inflight = make("1")
    setattr(inflight, why, True)
    assert inflight.take(TURN) is None
    setattr(inflight, why, False)
    assert inflight.take(TURN) is not None


def test_losses_in_a_row_are_counted_per_request():
    inflight = make("1", "2", max_losses=3)
    assert inflight.count_loss() is None, "nothing was pending"
    for _ in range(2):
        take(inflight)
        assert inflight.count_loss() is None
        inflight.requeue(inflight.pending)
    take(inflight)
    inflight.end(inflight.pending)
    for _ in range(2):
        take(inflight)
        assert inflight.count_loss() is None, "the count began anew with another head"
        inflight.requeue(inflight.pending)
    take(inflight)
    given_up, error = inflight.count_loss()
    assert (given_up.message_id, error.message_id) == ("2", "2")
    assert error.description == "3 connections in a row were lost while its answer was awaited"
    assert inflight.queue.aside == [("2", error.description)]
    assert (inflight.pending, len(inflight.queue), inflight.state.has()) == (None, 0, False)


def test_without_a_limit_nothing_is_given_up():
    inflight = make("1")
    take(inflight)
    assert [inflight.count_loss() for _ in range(1000)] == [None] * 1000
