"""The dispatcher's contract, line by line, on the client and on the server."""

import logging

import pytest

from ocppj import (
    CallTimeout,
    ConnectionLost,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    ErrorCode,
    FIFOClientQueue,
    NotRunning,
    QueueFull,
    UnknownClient,
    UsageError,
)
from tests.dispatching import TIMEOUT, ClientSide, ServerSide, bundle, make_side, side  # noqa: F401

NOTHING = (0, False, 0)


# Life cycle


def test_it_runs_from_start_to_stop(make_side):
    side = make_side()
    assert not side.dispatcher.is_running()
    with pytest.raises(NotRunning):
        side.send("1")
    side.start()
    side.start()
    assert side.dispatcher.is_running()
    side.send("1")
    side.dispatcher.stop()
    side.dispatcher.stop()
    assert not side.dispatcher.is_running()
    with pytest.raises(NotRunning):
        side.send("2")
    assert side.sent == ["1"]
    side.start()
    side.send("3")
    assert side.sent == ["1", "3"]


@pytest.mark.parametrize("make", [DefaultClientDispatcher, DefaultServerDispatcher])
def test_a_start_without_a_network_fails(make):
    dispatcher = make()
    with pytest.raises(NotRunning, match="network"):
        dispatcher.start()
    assert not dispatcher.is_running()
    dispatcher.stop()


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_must_be_more_than_0_seconds(side, timeout):
    with pytest.raises(UsageError, match="timeout"):
        side.dispatcher.set_timeout(timeout)


def test_before_the_start_nothing_can_be_completed_canceled_or_paused(make_side):
    side = make_side()
    side.complete("1")
    assert side.cancel("1") is False
    if isinstance(side, ClientSide):
        side.dispatcher.pause()
        side.dispatcher.resume()
        assert not side.dispatcher.is_paused()


# At most one request is pending; the next goes out when it is completed, canceled or timed out


def test_one_is_pending_and_the_next_goes_when_it_is_completed(side):
    side.send_all("1", "2", "3")
    assert side.sent == ["1"]
    assert side.state().get("1") == {"request": "1"}
    assert side.queue().peek().message_id == "1", "the head stays in the queue until it is answered"
    assert len(side.queue()) == 3
    side.complete("1")
    assert side.sent == ["1", "2"]
    assert side.state().get("1") is None
    side.complete("2")
    side.complete("3")
    assert side.sent == ["1", "2", "3"]
    assert side.left() == NOTHING
    assert side.canceled == []


def test_completing_returns_whether_the_request_was_pending(side):
    """Otherwise handlers would be called for the answer to a request that was given up."""
    side.send("1")
    side.send("2")
    assert side.complete("2") is False, "it waits in the queue"
    assert side.complete("3") is False
    assert side.sent == ["1"]
    assert side.complete("1") is True
    assert side.complete("1") is False
    assert side.sent == ["1", "2"]


def test_a_completed_request_does_not_time_out_later(side):
    side.send("1")
    side.complete("1")
    side.clock.advance(10 * TIMEOUT)
    assert side.canceled == []


def test_a_timed_out_request_is_removed_reported_and_followed_by_the_next(side):
    side.send_all("1", "2")
    side.clock.advance(TIMEOUT - 0.1)
    assert side.sent == ["1"]
    side.clock.advance(0.1)
    [(message_id, error)] = side.canceled
    assert message_id == "1"
    assert isinstance(error, CallTimeout)
    assert (error.code, error.description) == (ErrorCode.GENERIC_ERROR, f"no answer within {TIMEOUT:g} seconds")
    assert side.sent == ["1", "2"]
    assert len(side.queue()) == 1
    side.clock.advance(TIMEOUT - 0.1)
    assert side.canceled_ids == ["1"], "the next has a timeout of its own"
    side.clock.advance(0.1)
    assert side.canceled_ids == ["1", "2"]
    assert side.left() == NOTHING


def test_a_request_has_the_timeout_that_is_set_when_it_is_sent(side):
    side.send_all("1", "2")
    side.dispatcher.set_timeout(5)
    side.clock.advance(TIMEOUT)
    assert side.canceled_ids == ["1"]
    side.clock.advance(5)
    assert side.canceled_ids == ["1", "2"]


def test_a_canceled_request_is_followed_by_the_next(side):
    side.send_all("1", "2", "3")
    assert side.cancel("2") is True
    assert side.sent == ["1"]
    assert side.cancel("1") is True
    assert side.sent == ["1", "3"]
    assert side.canceled_ids == ["2", "1"]
    assert side.cancel("1") is False
    assert side.cancel("unknown") is False
    side.complete("3")
    assert side.left() == NOTHING


def test_completing_what_is_not_pending_is_logged_and_changes_nothing(side, caplog):
    side.send_all("1", "2")
    for message_id in ("2", "unknown"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "ocppj"):
            side.complete(message_id)
        assert message_id in caplog.text
    assert side.sent == ["1"]
    assert len(side.queue()) == 2
    side.complete("1")
    side.complete("1")
    assert side.sent == ["1", "2"]
    assert side.canceled == []


def test_a_full_queue_refuses_and_goes_on(make_side):
    side = make_side(capacity=2).start()
    side.send_all("1", "2")
    with pytest.raises(QueueFull):
        side.send("3")
    side.complete("1")
    side.send("4")
    side.complete("2")
    assert side.sent == ["1", "2", "4"]


# A write that fails


def test_a_failed_write_cancels_with_internal_error_and_moves_on(side):
    side.network.act = lambda message_id: side.network.fail(message_id) if message_id in "12" else None
    side.send("1")
    [(message_id, error)] = side.canceled
    assert message_id == "1"
    assert isinstance(error, ConnectionLost)
    assert error.code is ErrorCode.INTERNAL_ERROR
    assert "the cable is cut" in error.description
    assert side.left() == NOTHING
    side.send_all("2", "3", "4")
    assert side.canceled_ids == ["1", "2"]
    assert side.sent == ["1", "2", "3"]
    side.clock.advance(TIMEOUT)
    assert side.canceled_ids == ["1", "2", "3"]


def test_a_whole_queue_that_cannot_be_written_is_canceled_in_order(side):
    side.send_all(*map(str, range(1_000)))
    side.network.act = side.network.fail
    side.complete("0")
    assert side.canceled_ids == [str(n) for n in range(1, 1_000)]
    assert side.left() == NOTHING


# stop() and delete_client()


def test_stop_clears_everything_and_calls_no_callback(side):
    side.send_all("1", "2")
    queue, state = side.queue(), side.state()
    side.dispatcher.stop()
    assert (len(queue), state.has(), side.timeouts.pending()) == NOTHING
    assert side.left() == NOTHING
    side.complete("1")
    side.clock.advance(10 * TIMEOUT)
    assert side.canceled == []
    assert side.sent == ["1"]


def test_delete_client_discards_reports_and_refuses():
    side = ServerSide().start()
    side.dispatcher.create_client("other")
    side.dispatcher.send_request("other", bundle("o"))
    side.send_all("1", "2", "3")
    queue, state = side.queue(), side.state()
    side.dispatcher.delete_client("CP")
    assert side.canceled_ids == ["1", "2", "3"]
    assert all(isinstance(error, ConnectionLost) for _, error in side.canceled)
    assert (len(queue), state.has()) == (0, False)
    assert side.queues.get("CP") is None
    with pytest.raises(UnknownClient, match="'CP'"):
        side.send("4")
    side.dispatcher.delete_client("CP")
    side.dispatcher.delete_client("nobody")
    side.clock.advance(TIMEOUT)
    assert side.canceled_ids == ["1", "2", "3", "o"], "the other client's request took its course"


def test_a_client_that_goes_while_a_request_is_queued_for_it_is_unknown():
    class Slow(FIFOClientQueue):
        """Is slow: the client is gone when the request is in it."""

        def push(self, bundle):
            side.dispatcher.delete_client("CP")
            super().push(bundle)

    slow = Slow()
    side = ServerSide(queue=slow).start()
    with pytest.raises(UnknownClient, match="no client 'CP' is connected"):
        side.send("1")
    assert (len(slow), side.sent, side.canceled) == (0, [], [])


def test_a_client_that_comes_again_begins_anew():
    side = ServerSide().start()
    side.send_all("1", "2")
    side.dispatcher.delete_client("CP")
    side.dispatcher.create_client("CP")
    side.send_all("3", "4")
    assert side.sent == ["1", "3"]
    side.complete("1")
    assert side.sent == ["1", "3"]
    assert side.state().get("3") is not None
    side.complete("3")
    assert side.sent == ["1", "3", "4"]


def test_creating_a_client_makes_its_queue_and_creating_it_twice_changes_nothing():
    side = ServerSide()
    with pytest.raises(NotRunning):
        side.dispatcher.create_client("CP")
    assert side.queues.get("CP") is None
    side.start()
    queue = side.queues.get("CP")
    side.send("1")
    side.dispatcher.create_client("CP")
    assert side.queues.get("CP") is queue
    side.send("2")
    assert side.sent == ["1"]


def test_two_clients_do_not_disturb_each_other():
    side = ServerSide().start()
    side.dispatcher.create_client("B")
    side.send_all("1", "2")
    for message_id in ("b1", "b2"):
        side.dispatcher.send_request("B", bundle(message_id))
    assert side.sent == ["1", "b1"]
    side.dispatcher.complete_request("B", "1")
    side.complete("b1")
    assert side.sent == ["1", "b1"]
    side.dispatcher.complete_request("B", "b1")
    assert side.sent == ["1", "b1", "b2"]
    side.clock.advance(TIMEOUT)
    assert sorted(side.canceled_ids) == ["1", "b2"]
    assert side.sent == ["1", "b1", "b2", "2"]


# pause() and resume(), of clients


@pytest.fixture
def client():
    return ClientSide().start()


def test_paused_requests_are_queued_and_never_written(client):
    client.dispatcher.pause()
    assert client.dispatcher.is_paused()
    client.send_all("1", "2")
    client.clock.advance(10 * TIMEOUT)
    assert (client.sent, client.canceled, len(client.queue())) == ([], [], 2)
    client.dispatcher.resume()
    assert not client.dispatcher.is_paused()
    assert client.sent == ["1"]


def test_nothing_times_out_while_paused_and_the_timer_starts_anew(client):
    client.send("1")
    client.clock.advance(TIMEOUT - 1)
    client.dispatcher.pause()
    assert client.timeouts.pending() == 0
    client.clock.advance(10 * TIMEOUT)
    assert client.canceled == []
    client.dispatcher.resume()
    client.clock.advance(TIMEOUT - 0.1)
    assert client.canceled == []
    client.clock.advance(0.1)
    assert client.canceled_ids == ["1"]
    assert client.sent == ["1"], "its answer was awaited anew: it was not written again"


def test_after_a_request_ended_in_a_pause_the_next_waits_for_the_resume(client):
    client.send_all("1", "2", "3", "4")
    client.dispatcher.pause()
    client.complete("1")
    assert client.cancel("2")
    assert client.sent == ["1"]
    client.dispatcher.resume()
    assert client.sent == ["1", "3"]
    client.clock.advance(TIMEOUT)
    assert client.canceled_ids == ["2", "3"]


def test_pausing_and_resuming_twice_is_as_once(client):
    client.send("1")
    for _ in range(2):
        client.dispatcher.pause()
    for _ in range(3):
        client.dispatcher.resume()
    assert client.timeouts.pending() == 1
    assert client.sent == ["1"]


def test_stop_while_paused(client):
    client.send_all("1", "2")
    client.dispatcher.pause()
    client.dispatcher.stop()
    assert client.left() == NOTHING
    client.dispatcher.resume()
    assert client.start().dispatcher.is_paused() is False
    client.send("3")
    assert client.sent == ["1", "3"]
