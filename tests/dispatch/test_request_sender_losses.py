"""Connection after connection is lost while the answer to one request is awaited: it is given up in the end."""

import random

import pytest

from ocppj import (
    CallCanceled,
    CallTimeout,
    Client,
    ConnectionLost,
    DefaultClientDispatcher,
    DefaultServerDispatcher,
    FIFOQueueMap,
    ManualClock,
    OCPPError,
    Server,
    ServerState,
    TransactionRetries,
    UsageError,
    v16,
)
from ocppj.dispatch.pending import InFlight
from ocppj.dispatch.request_sender import RequestSender
from ocppj.dispatch.retries import ConsecutiveFailures
from tests.dispatch.test_pending import AsideQueue
from tests.dispatch.test_queues import Head
from tests.dispatch.test_request_sender import Harness
from tests.dispatch.test_retries import Durable as Kept
from tests.dispatch.test_retries import Transactions
from tests.dispatching import TIMEOUT, ClientSide, Side, bundle
from tests.inside.storage import clients_with_losses
from tests.interleaving import Interleaving


class Durable(Kept, AsideQueue):
    """Keeps its requests, and notes those that are set aside."""


def make(queue=None, **options):
    return ClientSide(queue=queue, **options).start()


def flap(side, times=1):
    for _ in range(times):
        side.dispatcher.pause()
        side.dispatcher.resume()


@pytest.mark.parametrize("resend", [False, True])
def test_on_a_flapping_link_a_request_ends_and_the_next_is_sent(resend, caplog):
    side = make(resend=resend)
    side.send_all("1", "2")
    flap(side, 4)
    assert side.canceled == []
    side.dispatcher.pause()
    [(message_id, error)] = side.canceled
    assert (message_id, type(error)) == ("1", ConnectionLost)
    assert "5 connections in a row were lost" in str(error)
    assert "request '1' (Heartbeat) is given up: 5 connections" in caplog.text
    assert side.sent == ["1"] * (5 if resend else 1), "lost again, and not sent"
    side.dispatcher.resume()
    assert side.sent[-1] == "2"
    flap(side, 5)
    assert side.canceled_ids == ["1", "2"], "each has its own count"
    assert side.left() == (0, False, 0)


@pytest.mark.parametrize("max_losses", [1, 3])
def test_a_request_is_given_up_after_max_losses(max_losses):
    side = make(max_losses=max_losses)
    side.send("1")
    flap(side, max_losses - 1)
    assert side.canceled == []
    flap(side)
    assert side.canceled_ids == ["1"]


def test_without_a_limit_a_request_is_never_given_up():
    side = make(max_losses=0)
    side.send("1")
    flap(side, 200)
    assert side.canceled == []
    side.complete("1")
    assert side.left() == (0, False, 0)


def test_a_second_pause_is_no_loss():
    side = make(max_losses=2)
    side.send("1")
    for _ in range(10):
        side.dispatcher.pause()
    side.dispatcher.resume()
    assert side.canceled == []


def test_a_connection_on_which_it_was_not_written_is_no_loss():
    side = make(max_losses=1)
    side.dispatcher.pause()
    side.send("1")
    side.dispatcher.pause()
    assert side.canceled == []
    side.dispatcher.resume()
    side.dispatcher.pause()
    assert side.canceled_ids == ["1"]


def test_a_connection_on_which_its_write_failed_is_no_loss():
    """The client pauses the sender while the write fails."""
    side = make(Durable(), max_losses=2)

    def lose(message_id):
        side.dispatcher.pause()
        side.network.fail(message_id)

    side.network.act = lose
    side.send("1")
    for _ in range(20):
        side.dispatcher.resume()
    assert side.sent == ["1"] * 21
    assert side.canceled == []


def test_a_connection_lost_during_a_successful_write_is_a_loss():
    """A peer that crashes at once may be gone before the write has returned."""
    side = make(Durable(), max_losses=3)
    side.network.act = lambda message_id: side.dispatcher.pause()
    side.send("1")
    for _ in range(2):
        side.dispatcher.resume()
    side.network.act = lambda message_id: None
    assert side.canceled == []
    side.dispatcher.resume()
    side.dispatcher.pause()
    assert side.canceled_ids == ["1"]
    assert side.sent == ["1"] * 4


def test_an_answer_that_is_followed_by_a_retry_resets_the_count():
    side = ClientSide()
    retries = TransactionRetries(message_attempts=10, message_attempt_interval=60)
    side = make(retries=retries, max_losses=3)
    side.network.act = lambda message_id: None

    def send(message_id):
        each = bundle(message_id)
        each.call.action = "StopTransaction"
        side.dispatcher.send_request(each)

    send("1")
    flap(side, 2)
    assert side.dispatcher.retry_request("1", OCPPError("InternalError", "no"))
    side.clock.advance(60)
    flap(side, 2)
    side.clock.advance(TIMEOUT)
    side.clock.advance(120)
    assert side.sent == ["1"] * 3
    flap(side, 2)
    assert side.canceled == []
    flap(side)
    assert side.canceled_ids == ["1"]


def test_a_request_that_overtook_does_not_reset_the_failures_of_the_one_that_backs_off():
    side = make(retries=TransactionRetries(message_attempts=2, message_attempt_interval=60))
    held = bundle("t")
    held.call.action = "StopTransaction"
    side.dispatcher.send_request(held)
    assert side.dispatcher.retry_request("t", OCPPError("InternalError", "no"))
    side.send("h")
    flap(side, 2)
    side.complete("h")
    side.clock.advance(60)
    assert side.sent == ["t", "h", "t"]
    assert not side.dispatcher.retry_request("t", OCPPError("InternalError", "no")), "that was the last attempt"


def test_a_clients_durable_queue_has_no_limit_by_default():
    queue = Durable()
    side = make(queue)
    side.send("1")
    flap(side, 1000)
    assert (side.canceled, queue.aside, len(queue)) == ([], [], 1)


def test_a_clients_durable_queue_with_a_limit_sets_aside():
    queue = Durable()
    side = make(queue, max_losses=2)
    side.send_all("1", "2")
    flap(side, 2)
    [(message_id, reason)] = queue.aside
    assert (message_id, reason) == ("1", side.canceled[0][1].description)
    assert side.sent == ["1", "1", "2"]


def test_the_callback_may_queue_it_again_and_it_is_another():
    side = make(max_losses=2)
    side.on_canceled = lambda message_id, error: side.send(message_id + "'")
    side.send("1")
    flap(side, 2)
    assert side.sent == ["1", "1'"]
    flap(side, 2)
    assert side.sent == ["1", "1'", "1''"]


def test_the_callback_may_stop_what_is_being_paused():
    side = make(max_losses=1)
    side.on_canceled = lambda message_id, error: side.dispatcher.stop()
    side.send_all("1", "2")
    side.dispatcher.pause()
    side.dispatcher.resume()
    assert side.canceled_ids == ["1"]
    assert side.left() == (0, False, 0)


def test_an_answer_at_the_moment_of_the_last_loss_ends_it_once():
    """Two threads, which switch at any line: the answer, and the loss that reaches the limit."""
    seen = set()
    for seed in range(300):
        schedule = Interleaving(random.Random(seed), [RequestSender, InFlight], often=0.3)
        harness = Harness(losses=ConsecutiveFailures(1), lock=schedule.lock())
        harness.push("1")
        completed = []
        schedule.run(harness.sender.pause, lambda: completed.append(harness.sender.complete("1")))  # noqa: B023
        assert completed == [not harness.canceled], f"seed {seed}: it ended twice, or not at all"
        assert (len(harness.queue), harness.state.has()) == (0, False)
        seen.add(completed[0])
    assert seen == {True, False}, "in some schedules the answer is first, in others the loss"


# A server has one sender for each connection, and the count outlives it


class DurableMap(FIFOQueueMap):
    """Keeps the requests of clients that have gone."""

    durable = True

    def __init__(self):
        super().__init__()
        self.queues = {}

    def get_or_create(self, client_id):
        queue = self.queues.setdefault(client_id, Durable())
        self.add(client_id, queue)
        return queue


class Fleet(Side):
    def __init__(self, queues=None, **options):
        self.queues = DurableMap() if queues is None else queues
        super().__init__(DefaultServerDispatcher(self.queues, **options), ManualClock())
        self.dispatcher.set_pending_request_state(ServerState())
        self.dispatcher.set_network_server(self.network)
        self.dispatcher.start()

    def come(self, client_id="CP"):
        self.dispatcher.create_client(client_id)

    def go(self, client_id="CP"):
        self.dispatcher.delete_client(client_id)

    def send(self, message_id, client_id="CP"):
        self.dispatcher.send_request(client_id, bundle(message_id))


def test_a_command_that_crashes_a_charge_point_is_no_reboot_loop():
    side = Fleet()
    side.come()
    side.send("poison")
    side.send("next")
    for _ in range(19):
        side.go()
        side.come()
    assert (side.sent, side.canceled) == (["poison"] * 20, [])
    side.go()
    [(message_id, error)] = side.canceled
    assert (message_id, type(error)) == ("poison", ConnectionLost)
    assert "20 connections in a row were lost" in str(error)
    assert side.queues.queues["CP"].aside == [("poison", error.description)]
    side.come()
    assert side.sent[20:] == ["next"]


def test_each_client_has_a_count_of_its_own_and_what_has_ended_leaves_none():
    side = Fleet(max_losses=3)
    for client_id in ("A", "B"):
        side.come(client_id)
        side.send(f"to {client_id}", client_id)
    for _ in range(2):
        side.go("A")
        side.come("A")
    side.go("B")
    side.come("B")
    assert side.canceled == []
    side.dispatcher.complete_request("A", "to A")
    side.go("A")
    assert clients_with_losses(side.dispatcher) == {"B"}
    side.go("B")
    side.come("B")
    side.go("B")
    assert side.canceled_ids == ["to B"]
    assert clients_with_losses(side.dispatcher) == set()


def test_an_answer_begins_a_clients_count_anew():
    side = Fleet(max_losses=2)
    side.come()
    side.send("1")
    side.go()
    side.come()
    side.dispatcher.complete_request("CP", "1")
    side.send("1")
    side.go()
    assert side.canceled == []


@pytest.mark.parametrize("error", [CallTimeout, CallCanceled])
def test_any_other_end_begins_a_clients_count_anew(error):
    side = Fleet(max_losses=2)
    side.come()
    side.send("1")
    side.go()
    side.come()
    if error is CallTimeout:
        side.clock.advance(TIMEOUT)
    else:
        side.dispatcher.cancel_request("CP", "1", error("x", "1"))
    side.send("1")
    side.go()
    assert [type(each) for _, each in side.canceled] == [error]


def test_stop_is_no_loss():
    side = Fleet(max_losses=1)
    side.come()
    side.send("1")
    side.dispatcher.stop()
    assert (side.canceled, len(side.queues.queues["CP"])) == ([], 1)


def test_what_is_in_memory_ends_with_its_connection_as_ever():
    side = Fleet(FIFOQueueMap(), max_losses=1)
    side.come()
    side.send("1")
    side.send("2")
    side.go()
    assert {message_id: error.description for message_id, error in side.canceled} == dict.fromkeys(
        ("1", "2"), "the connection was lost"
    )
    assert clients_with_losses(side.dispatcher) == set()


def test_the_callback_may_delete_the_client_that_is_being_deleted():
    side = Fleet(max_losses=1)
    side.on_canceled = lambda message_id, error: side.go()
    side.come()
    side.send("1")
    side.send("2")
    side.go()
    assert side.canceled_ids == ["1"]
    side.come()
    assert side.sent == ["1", "2"]


def test_a_queue_that_cannot_set_aside_does_not_keep_the_client(caplog):
    class Clinging(Durable):
        def set_aside(self, message_id, reason):
            raise OSError("disk full")

    side = Fleet(max_losses=1)
    side.queues.queues["CP"] = Clinging()
    side.come()
    side.send("1")
    side.go()
    assert "disk full" in caplog.text
    assert side.canceled == []
    side.come()
    assert side.sent == ["1", "1"], "it is not lost"


# Arguments


@pytest.mark.parametrize("given", [-1, 2.5, True, "5"])
@pytest.mark.parametrize(
    "make_one",
    [
        lambda given: Client("CP_1", profiles=v16.PROFILES, max_losses=given),
        lambda given: Server(profiles=v16.PROFILES, max_losses=given),
        lambda given: DefaultClientDispatcher(max_losses=given),
        lambda given: DefaultServerDispatcher(max_losses=given),
    ],
    ids=["client", "server", "client's dispatcher", "server's dispatcher"],
)
def test_a_limit_that_cannot_be_is_refused(make_one, given):
    with pytest.raises(UsageError, match="max_losses is a whole number"):
        make_one(given)


def test_a_dispatcher_of_ones_own_is_given_its_limit_itself():
    with pytest.raises(UsageError, match="max_losses itself"):
        Client("CP_1", profiles=v16.PROFILES, dispatcher=DefaultClientDispatcher(), max_losses=3)
    with pytest.raises(UsageError, match="max_losses itself"):
        Server(profiles=v16.PROFILES, dispatcher=DefaultServerDispatcher(), max_losses=3)


@pytest.mark.parametrize("resend", [False, True])
def test_what_is_given_up_leaves_a_queue_that_can_only_pop(resend):
    side = make(queue=Head(), max_losses=2, resend=resend)
    side.send_all("1", "2")
    flap(side, 2)
    assert side.canceled_ids == ["1"]
    assert side.sent[-1] == "2"
    side.complete("2")
    assert side.canceled_ids == ["1"], "reported once"
    assert side.left() == (0, False, 0)


# Refused by a Close: see `ClientDispatcher.refused_request`


def refuse(side, message_id, times=1):
    for _ in range(times):
        side.dispatcher.pause()
        side.dispatcher.refused_request(message_id, "closed by the peer with 1009")
        side.dispatcher.resume()


def test_a_request_that_is_refused_three_times_is_given_up(caplog):
    side = make(resend=True, max_losses=0)
    side.send_all("1", "2")
    refuse(side, "1", 2)
    assert side.canceled == []
    refuse(side, "1")
    [(message_id, error)] = side.canceled
    assert (message_id, type(error)) == ("1", ConnectionLost)
    words = "the peer closed 3 connections because of it; the last was closed by the peer with 1009"
    assert words in str(error)
    assert f"request '1' (Heartbeat) is given up: {words}" in caplog.text
    assert side.sent == ["1", "1", "1", "2"]


def test_a_durable_queue_sets_it_aside(caplog):
    side = make(Durable(), max_refusals=2)
    side.send_all("1", "2")
    refuse(side, "1", 2)
    assert [message_id for message_id, _ in side.queue().aside] == ["1"]
    assert side.sent[-1] == "2"


def test_refusals_count_apart_from_losses():
    side = make(resend=True, max_losses=0, max_refusals=2)
    side.send("1")
    refuse(side, "1")
    flap(side, 5)
    assert side.canceled == []
    refuse(side, "1")
    assert side.canceled_ids == ["1"]


def test_an_answer_to_another_request_changes_nothing():
    """As that to a BootNotification over each connection, which goes first."""
    side = make(Durable(), max_refusals=2)
    side.dispatcher.hold(lambda bundle: bundle.message_id.startswith("boot"))
    side.send("1")
    for count in ("boot 1", "boot 2"):
        side.send(count)
        side.dispatcher.complete_request(count)
        side.dispatcher.release()
        assert side.sent[-1] == "1"
        side.dispatcher.pause()
        side.dispatcher.refused_request("1", "closed")
        side.dispatcher.hold(lambda bundle: bundle.message_id.startswith("boot"))
        side.dispatcher.resume()
    assert side.canceled_ids == ["1"]


def test_without_a_limit_it_is_sent_for_ever():
    side = make(resend=True, max_losses=0, max_refusals=0)
    side.send("1")
    refuse(side, "1", 50)
    assert side.canceled == []


def test_an_answered_request_is_not_refused():
    side = make(resend=True, max_refusals=1)
    side.send_all("1", "2")
    side.dispatcher.complete_request("1")
    refuse(side, "1", 3)
    assert side.canceled == []


def test_one_that_is_answered_begins_anew_with_its_id():
    side = make(resend=True, max_losses=0, max_refusals=2)
    side.send("1")
    refuse(side, "1")
    side.dispatcher.complete_request("1")
    side.send("1")
    refuse(side, "1")
    assert side.canceled == []


def test_one_that_backs_off_counts_too():
    side = Transactions(resend=True, max_losses=0, max_refusals=1).start()
    side.send_all("t1", "t2")
    assert side.refuse("t1")  # with a CALLERROR: it is to be sent again later
    side.dispatcher.pause()
    side.dispatcher.refused_request("t1", "closed")
    assert side.canceled_ids == ["t1"]
    side.dispatcher.resume()
    assert side.sent == ["t1", "t2"]
    side.clock.advance(3600)
    assert "t1" not in side.sent[1:]


def test_a_dispatcher_that_does_not_run_ignores_it():
    for dispatcher, client_id in ((DefaultClientDispatcher(), ()), (DefaultServerDispatcher(), ("CP_1",))):
        dispatcher.refused_request(*client_id, "1", "closed")


def test_a_command_that_is_refused_is_set_aside():
    side = Fleet(max_losses=0)
    for _ in range(3):
        side.come()
        if not side.sent:
            side.send("poison")
            side.send("next")
        side.dispatcher.refused_request("CP", "poison", "closed")
        side.go()
    assert [aside[0] for aside in side.queues.queues["CP"].aside] == ["poison"]
    assert side.canceled_ids == ["poison"]
    side.come()
    assert side.sent[-1] == "next"


def test_what_a_server_has_in_memory_ends_with_its_connection():
    side = Fleet(FIFOQueueMap(), max_refusals=1)
    side.come()
    side.send("1")
    side.dispatcher.refused_request("CP", "1", "closed")
    assert side.canceled == []
