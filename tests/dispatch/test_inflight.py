"""Whose turn it is: decisions alone, without threads, writes and time."""

import pytest

from ocppj import FIFOClientQueue, PendingRequestState, UsageError
from ocppj.dispatch.inflight import Turn
from ocppj.dispatch.retries import Streak, loss_limit
from tests.dispatching import bundle


class AsideQueue(FIFOClientQueue):
    """Keeps what is set aside apart."""

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
    return Turn(queue, PendingRequestState(), losses=Streak(max_losses))


def take(turn):
    """Take what is next and have it written."""
    taken = turn.take()
    turn.sending = False
    return taken and taken.message_id


def test_one_is_pending_at_most_and_none_while_one_is_written():
    turn = make("1", "2")
    first = turn.take()
    assert first.message_id == "1"
    assert turn.take() is None
    turn.end(first)
    assert turn.take() is None, "it is being written still"
    turn.sending = False
    assert turn.take().message_id == "2"


@pytest.mark.parametrize("why", ["paused", "stalled", "closed"])
def test_what_keeps_the_next_one_back(why):
    turn = make("1")
    setattr(turn, why, True)
    assert turn.take() is None
    setattr(turn, why, False)
    assert turn.take() is not None


def test_losses_in_a_row_are_counted_for_one_request_at_a_time():
    turn = make("1", "2", max_losses=3)
    assert turn.lose() is None, "nothing was pending"
    for _ in range(2):
        take(turn)
        assert turn.lose() is None
        turn.unsend(turn.pending)
    take(turn)
    turn.end(turn.pending)
    for _ in range(2):
        take(turn)
        assert turn.lose() is None, "the count began anew with another head"
        turn.unsend(turn.pending)
    take(turn)
    given_up, error = turn.lose()
    assert (given_up.message_id, error.message_id) == ("2", "2")
    assert str(error) == "3 connections in a row were lost while its answer was awaited"
    assert turn.queue.aside == [("2", str(error))]
    assert (turn.pending, len(turn.queue), turn.state.has()) == (None, 0, False)


def test_without_a_limit_nothing_is_given_up():
    turn = make("1")
    take(turn)
    assert [turn.lose() for _ in range(1000)] == [None] * 1000


def test_a_streak_is_one_requests():
    streak = Streak()
    assert [streak.add(each) for each in ("a", "a", "b", "a", "a")] == [1, 2, 1, 1, 2]
    streak.clear()
    assert streak.add("a") == 1


@pytest.mark.parametrize(("given", "expected"), [(None, 7), (0, 0), (1, 1), (1000, 1000)])
def test_the_limit_of_losses(given, expected):
    assert loss_limit(given, 7) == expected


@pytest.mark.parametrize("given", [-1, 1.0, True, "5", float("inf")])
def test_a_limit_that_cannot_be_is_refused(given):
    with pytest.raises(UsageError, match="max_losses"):
        loss_limit(given, 7)
