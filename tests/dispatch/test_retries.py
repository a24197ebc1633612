"""Which requests are sent again, after how long, and how the sender does it."""

import pytest

from ocppj import (
    Call,
    CallTimeout,
    FIFOClientQueue,
    ManualClock,
    OCPPError,
    RequestBundle,
    TransactionRetries,
    UsageError,
    v16,
    v201,
)
from ocppj.dispatch.retries import ConsecutiveFailures, loss_limit
from tests.dispatching import TIMEOUT, ClientSide, bundle

START = v16.StartTransactionRequest(connector_id=1, id_tag="A", meter_start=0, timestamp="2026-01-02T03:04:05Z")
SAMPLE = v16.MeterValue(timestamp="2026-01-02T03:04:05Z", sampled_value=[v16.SampledValue(value="1")])
REFUSED = OCPPError("InternalError", "no")


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        ("StartTransaction", START, True),
        ("StopTransaction", None, True),
        ("TransactionEvent", None, True),
        ("MeterValues", v16.MeterValuesRequest(connector_id=1, meter_value=[SAMPLE], transaction_id=7), True),
        ("MeterValues", v16.MeterValuesRequest(connector_id=1, meter_value=[SAMPLE], transaction_id=0), True),
        ("MeterValues", v16.MeterValuesRequest(connector_id=1, meter_value=[SAMPLE]), False),
        ("MeterValues", v201.MeterValuesRequest(evse_id=1, meter_value=[]), False),
        ("Heartbeat", v16.HeartbeatRequest(), False),
    ],
)
def test_what_is_transaction_related(action, payload, expected):
    assert TransactionRetries().concerns(Call("1", action, payload)) is expected


def test_the_wait_grows_with_each_failure_until_the_last_attempt():
    """The example of OCPP 2.0.1 Part 2, E13: three attempts, 60 seconds."""
    retries = TransactionRetries(message_attempts=3, message_attempt_interval=60)
    assert [retries.wait(failures) for failures in (1, 2, 3)] == [60, 120, None]
    retries.message_attempts, retries.message_attempt_interval = 5, 1
    assert [retries.wait(failures) for failures in (3, 4, 5)] == [3, 4, None]


@pytest.mark.parametrize(
    "options",
    [
        {"message_attempts": 0},
        {"message_attempts": True},
        {"message_attempts": 1.5},
        {"message_attempt_interval": -1},
        {"message_attempt_interval": float("nan")},
        {"message_attempt_interval": float("inf")},
        {"message_attempt_interval": "60"},
    ],
)
def test_values_that_cannot_be_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        TransactionRetries(**options)


def test_consecutive_failures_are_those_of_one_request():
    failures = ConsecutiveFailures()
    assert [failures.add(each) for each in ("a", "a", "b", "a", "a")] == [1, 2, 1, 1, 2]
    failures.reset()
    assert failures.add("a") == 1


@pytest.mark.parametrize(("given", "expected"), [(None, 7), (0, 0), (1, 1), (1000, 1000)])
def test_the_limit_of_losses(given, expected):
    assert loss_limit(given, 7) == expected


class Transactions(ClientSide):
    """A client's dispatcher with retries; a request whose id begins with "t" is transaction-related."""

    def __init__(self, **options):
        super().__init__(retries=TransactionRetries(message_attempts=3, message_attempt_interval=60), **options)

    def send(self, message_id):
        action = "StopTransaction" if message_id.startswith("t") else "Heartbeat"
        self.dispatcher.send_request(RequestBundle(Call(message_id, action, {"request": message_id}), message_id))

    def refuse(self, message_id):
        return self.dispatcher.retry_request(message_id, REFUSED)


@pytest.fixture
def side():
    return Transactions().start()


def test_a_refused_request_is_sent_again_with_its_id_after_the_interval(side):
    side.send("t1")
    assert side.refuse("t1")
    assert not side.state().has()
    side.clock.advance(59)
    assert side.sent == ["t1"]
    side.clock.advance(1)
    assert side.sent == ["t1", "t1"]
    assert side.refuse("t1")
    side.clock.advance(119)
    assert side.sent == ["t1", "t1"]
    side.clock.advance(1)
    assert side.sent == ["t1", "t1", "t1"]
    assert not side.refuse("t1"), "that was the last attempt"
    assert side.state().has(), "and nothing has changed"
    side.complete("t1")
    assert side.canceled == []
    assert side.left() == (0, False, 0)


def test_a_request_without_an_answer_is_sent_again_and_given_up_in_the_end(side):
    side.send_all("t1", "t2")
    for wait in (60, 120):
        side.clock.advance(TIMEOUT)
        side.clock.advance(wait)
    assert side.sent == ["t1", "t1", "t1"]
    assert side.canceled == []
    side.clock.advance(TIMEOUT)
    [(message_id, error)] = side.canceled
    assert (message_id, type(error)) == ("t1", CallTimeout)
    assert side.sent == ["t1", "t1", "t1", "t2"], "the next goes on, with attempts of its own"
    assert side.refuse("t2")


def test_other_requests_overtake_it_and_transaction_related_ones_wait_in_order(side):
    side.send_all("t1", "h1", "t2", "h2")
    assert side.refuse("t1")
    assert side.sent == ["t1", "h1"]
    side.complete("h1")
    assert side.sent == ["t1", "h1", "h2"]
    side.complete("h2")
    side.send_all("t3", "h3")
    assert side.sent == ["t1", "h1", "h2", "h3"]
    side.clock.advance(59)
    side.send("h4")
    side.clock.advance(1)
    assert side.sent == ["t1", "h1", "h2", "h3", "h4"], "still one at a time"
    side.complete("h4")
    assert side.canceled_ids == ["h3"], "one that overtook times out like any other"
    assert side.sent[5:] == ["t1"]
    for each in ("t1", "t2", "t3"):
        side.complete(each)
    assert side.sent[-3:] == ["t1", "t2", "t3"]
    assert side.left() == (0, False, 0)


def test_other_requests_are_not_sent_again(side):
    side.send("h1")
    assert not side.refuse("h1")
    side.clock.advance(TIMEOUT)
    assert side.canceled_ids == ["h1"]


def test_a_late_answer_to_the_first_of_two_sendings_ends_it(side):
    side.send("t1")
    assert side.refuse("t1")
    side.clock.advance(60)
    side.complete("t1")
    side.clock.advance(1000)
    assert side.sent == ["t1", "t1"]
    assert side.left() == (0, False, 0)


def test_a_request_that_backs_off_can_be_canceled(side):
    side.send_all("t1", "t2")
    assert side.refuse("t1")
    assert side.cancel("t1")
    assert side.sent == ["t1", "t2"], "and nothing waits for it"
    side.complete("t2")
    side.clock.advance(60)
    assert side.sent == ["t1", "t2"]


def test_the_backoff_ends_while_the_connection_is_lost(side):
    side.send("t1")
    assert side.refuse("t1")
    side.dispatcher.pause()
    side.clock.advance(60)
    assert side.sent == ["t1"]
    side.dispatcher.resume()
    assert side.sent == ["t1", "t1"]


def test_stop_during_a_backoff_leaves_nothing(side):
    side.send_all("t1", "t2")
    assert side.refuse("t1")
    side.dispatcher.stop()
    side.clock.advance(1000)
    assert side.sent == ["t1"]
    assert len(side.queue()) == 0


def test_a_lost_connection_is_no_failure_to_process():
    side = Transactions(resend=True, max_losses=0).start()
    side.send("t1")
    for _ in range(5):
        side.dispatcher.pause()
        side.dispatcher.resume()
    assert side.sent == ["t1"] * 6
    assert side.refuse("t1")
    side.clock.advance(60)
    assert side.sent == ["t1"] * 7


# Resending what was pending when the connection was lost


def test_a_pending_request_is_sent_again_after_a_pause_with_a_fresh_timeout():
    side = ClientSide(resend=True).start()
    side.send_all("1", "2")
    side.clock.advance(TIMEOUT - 1)
    side.dispatcher.pause()
    side.clock.advance(10 * TIMEOUT)
    assert side.canceled == []
    side.dispatcher.resume()
    assert side.sent == ["1", "1"]
    side.clock.advance(TIMEOUT - 1)
    assert side.canceled == []
    side.complete("1")
    side.complete("2")
    assert side.sent == ["1", "1", "2"]
    assert side.left() == (0, False, 0)


def test_resume_without_a_pause_sends_nothing_twice():
    side = ClientSide(resend=True).start()
    side.send("1")
    side.dispatcher.resume()
    assert side.sent == ["1"]


def test_without_resend_its_answer_is_awaited_anew():
    side = ClientSide().start()
    side.send("1")
    side.dispatcher.pause()
    side.dispatcher.resume()
    assert side.sent == ["1"]


# A queue that outlives the process


class Durable(FIFOClientQueue):
    """Keeps its requests over `discard`, as one on disk does."""

    durable = True

    def __init__(self):
        super().__init__()
        self.opened = 0

    def init(self):
        self.opened += 1

    def close(self):
        self.opened -= 1

    def discard(self):
        return []


def test_stop_leaves_a_durable_queue_as_it_is_and_start_sends_what_it_holds():
    queue = Durable()
    side = ClientSide(queue=queue).start()
    side.send_all("1", "2")
    side.dispatcher.stop()
    assert (len(queue), queue.opened, side.canceled) == (2, 0, [])
    again = ClientSide(queue=queue).start()
    assert (queue.opened, again.sent) == (1, ["1"])
    again.complete("1")
    assert again.sent == ["1", "2"]


def test_a_durable_request_that_cannot_be_written_is_kept_and_sent_later():
    side = ClientSide(queue=Durable()).start()
    side.network.act = side.network.fail
    side.send_all("1", "2")
    assert (side.sent, side.canceled, side.state().has()) == (["1"], [], False)
    side.network.act = lambda message_id: None
    side.clock.advance(5)
    assert side.sent == ["1", "1"]
    side.complete("1")
    assert side.sent == ["1", "1", "2"]


@pytest.mark.parametrize(
    "make", [lambda: ClientSide(queue=Durable()), lambda: Transactions(resend=True)], ids=["durable", "resend"]
)
def test_an_unwritten_request_is_sent_at_once_when_the_connection_is_back(make):
    side = make().start()
    side.network.act = side.network.fail
    side.send("1")
    side.dispatcher.pause()
    side.network.act = lambda message_id: None
    side.dispatcher.resume()
    assert side.sent == ["1", "1"]


def test_a_write_that_fails_because_the_connection_was_lost_and_is_back_waits_for_nothing():
    side = ClientSide(queue=Durable()).start()

    def lose(message_id):
        side.network.act = lambda message_id: None
        side.dispatcher.pause()
        side.dispatcher.resume()
        side.network.fail(message_id)

    side.network.act = lose
    side.send("1")
    assert side.sent == ["1", "1"]


def test_a_durable_request_is_resent_after_a_pause_unless_told_otherwise():
    side = ClientSide(queue=Durable()).start()
    side.send("1")
    side.dispatcher.pause()
    side.dispatcher.resume()
    assert side.sent == ["1", "1"]


# Requests that do not fit the connection


def test_a_request_that_does_not_fit_is_canceled_and_not_written():
    side = ClientSide()
    unfit = CallTimeout("too big", "1")
    side.dispatcher.set_request_check(lambda each: unfit if each.message_id == "1" else None)
    side.start()
    side.send_all("1", "2")
    assert side.sent == ["2"]
    assert side.canceled == [("1", unfit)]


def test_a_pending_request_that_does_not_fit_a_new_connection_is_canceled():
    side = ClientSide()
    unfit = []
    side.dispatcher.set_request_check(lambda each: unfit[0] if unfit and each.message_id == "1" else None)
    side.start()
    side.send_all("1", "2")
    side.dispatcher.pause()
    unfit.append(CallTimeout("too big", "1"))
    side.dispatcher.resume()
    assert side.sent == ["1", "2"]
    assert side.canceled_ids == ["1"]


def test_paused_before_the_start_requests_are_queued_only():
    side = ClientSide(clock=ManualClock())
    side.dispatcher.pause()
    side.start()
    side.dispatcher.send_request(bundle("1"))
    assert (side.dispatcher.is_running(), side.dispatcher.is_paused(), side.sent) == (True, True, [])
    side.dispatcher.resume()
    assert side.sent == ["1"]
