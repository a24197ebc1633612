"""A sender under random schedules of two or three threads that do everything at once, and switch at any line.

``OCPPJ_SENDER_SCHEDULES`` says how many there are of each kind, ``OCPPJ_SENDER_SEED`` where the seeds begin.
"""

import os
import random
import threading

import pytest

from ocppj import (
    Call,
    CallCanceled,
    FIFOClientQueue,
    ManualClock,
    NotRunning,
    OCPPError,
    RequestBundle,
    TransactionRetries,
    TransportError,
)
from ocppj.dispatch.pending import InFlight
from ocppj.dispatch.request_sender import RequestSender
from ocppj.dispatch.retries import ConsecutiveFailures
from ocppj.dispatch.timeouts import RequestTimeout, Timeouts
from tests.dispatching import CheckedState
from tests.helpers import seconds
from tests.inside.storage import inflight_of
from tests.interleaving import Interleaving

SCHEDULES = int(os.environ.get("OCPPJ_SENDER_SCHEDULES", "150"))
SEED = int(os.environ.get("OCPPJ_SENDER_SEED", "0"))
REFUSED = OCPPError("InternalError", "no")
#: The chance that a write fails, and how often a thread answers, loses or regains the connection, and closes.
RATES = ((0.0, 0.1, 0.6), (1, 5), (1, 4, 12), (0, 0, 1))


class Queue(FIFOClientQueue):
    """Notes the order of the requests. A durable one keeps them when the sender is closed."""

    def __init__(self, durable):
        super().__init__()
        self.durable = durable
        self.came, self.aside = [], []

    def push(self, bundle):
        super().push(bundle)
        self.came.append(bundle.message_id)

    def set_aside(self, message_id, reason):
        self.aside.append(message_id)
        return self.remove(message_id)

    def discard(self):
        return [] if self.durable else super().discard()


class State(CheckedState):
    """Checks each request that is taken, with the sender's lock held."""

    def add(self, message_id, request):
        backing_off = inflight_of(self.sender).backing_off
        self.twice += backing_off is not None and message_id[0] == "t"
        super().add(message_id, request)


class Scenario:
    """One sender with its surroundings, and the end of each request."""

    def __init__(self, seed, schedule, durable, resend, retries, max_losses):
        self.rng = random.Random(seed)
        self.retries = TransactionRetries(3, 60) if retries else None
        self.durable, self.resend, self.max_losses = durable, resend, max_losses
        self.clock = ManualClock()
        self.timeouts = Timeouts(self.clock)
        self.queue, self.state = Queue(durable), State()
        self.written, self.ends, self.faults = [], {}, []
        self.writing = self.number = 0
        self.closed = False
        self.reporting = set()  # threads inside a callback that reports a failed write
        # Some links flap all the time, some networks take nothing, some peers never answer.
        self.dead, self.mute, self.flapping, self.ending = (self.rng.choice(each) for each in RATES)
        self.sender = RequestSender(
            self.queue,
            self.state,
            self.timeouts,
            RequestTimeout(),
            self.write,
            self.canceled,
            retries=self.retries,
            resend=resend,
            losses=ConsecutiveFailures(max_losses),
            lock=schedule.lock(),
        )
        self.state.sender = self.sender

    def check(self, right, fault):
        if not right:
            self.faults.append(fault)

    # What the sender calls

    def write(self, text):
        self.writing += 1
        self.check(self.writing == 1, "two are written at once")
        self.check(threading.get_ident() not in self.reporting, "sent deeper on the stack, and not after all reports")
        self.written.append(text)
        try:
            if self.rng.random() < self.dead:
                if self.rng.random() < 0.5:
                    self.lose()  # as `Uplink` does
                raise TransportError("the cable is cut")
            self.rng.choice((self.lose, self.answer, self.regain, *[lambda text: None] * 6))(text)
        finally:
            self.writing -= 1

    def canceled(self, message_id, request, error):
        self.end(message_id, error)
        written = message_id in self.written
        self.check(written or "in a row" not in str(error), "given up, and was not written")
        me = {threading.get_ident()} if "could not be written" in str(error) else set()
        self.reporting |= me
        try:
            self.call_back(self.rng.random())
        finally:
            self.reporting -= me

    def call_back(self, dice):
        if dice < 0.5:
            self.push()
        elif dice < 0.6:
            self.cancel()
        elif dice < 0.65:
            self.lose()

    def end(self, message_id, how):
        self.ends.setdefault(message_id, []).append(how)

    # What the threads do

    def push(self):
        if self.number < 60:
            self.number += 1
            message_id = ("t" if self.rng.random() < 0.5 else "h") + str(self.number)
            action = "StopTransaction" if message_id[0] == "t" else "Heartbeat"
            try:
                self.sender.push(RequestBundle(Call(message_id, action, {}), message_id))
            except NotRunning:
                self.check(self.closed, "refused by an open sender")
                self.end(message_id, "refused")

    def some(self):
        known = self.written if self.written and self.rng.random() < 0.8 else self.queue.came
        return known[-1 - int(self.rng.random() ** 2 * len(known))] if known else "x"

    def answer(self, message_id=None):
        message_id = message_id or self.some()
        if self.rng.random() < 0.2 and self.sender.retry(message_id, REFUSED):
            return
        if self.sender.complete(message_id):
            self.end(message_id, "answered")

    def cancel(self):
        message_id = self.some()
        self.sender.cancel(message_id, CallCanceled("unwanted", message_id))

    def lose(self, text=""):
        self.sender.pause()

    def regain(self, text=""):
        self.sender.resume()

    def wait(self):
        self.clock.advance(self.rng.choice((1, 5, 30, 60, 120)))

    def close(self):
        if self.rng.random() < 0.3:
            self.closed = True
            for bundle in self.sender.close():
                self.end(bundle.message_id, "discarded")

    def act(self):
        acts = (self.push, self.answer, self.lose, self.regain, self.cancel, self.wait, self.close)
        for _ in range(12):
            weights = (5, self.mute, self.flapping, 1.3 * self.flapping, 1, 2, self.ending / 2)
            self.rng.choices(acts, weights)[0]()

    # What must hold

    def finish(self):
        """Have the link hold, the peer answer, and time pass, until all has ended."""
        inflight = inflight_of(self.sender)
        self.check_rest()
        self.rng = NoFaults()
        if inflight.paused:
            self.sender.resume()
        first = True
        for _ in range(300):
            if self.closed or not len(self.queue):
                break
            pending = inflight.pending
            if pending is not None and first:
                first = False
                self.clock.advance(30)
                self.check(inflight.pending is not pending, "it does not time out")
            elif pending is not None:
                self.answer(pending.message_id)
            else:
                self.check_rest()
                self.clock.advance(5)
        if not self.closed:
            self.check(len(self.queue) == 0, f"these wait for ever: {self.queue.bundles()}")
        self.clock.advance(1000)
        self.check((self.state.has(), self.timeouts.pending()) == (False, 0), "something is left")

    def check_rest(self):
        """With no thread inside, a request is pending, or there is a reason why not."""
        inflight = inflight_of(self.sender)
        sending = inflight.is_sending() or bool(inflight.reporting)
        self.check(not sending, "a thread that has gone is still sending")
        self.check(self.state.has() == (inflight.pending is not None), "the state and the sender differ")
        if inflight.pending is not None:
            self.check(inflight.paused or inflight.deadline is not None, "pending, and without a deadline")
        elif not (inflight.paused or inflight.stalled or inflight.closed):
            waiting = [
                each for each in self.queue.bundles() if inflight.backing_off is None or each.message_id[0] == "h"
            ]
            self.check(not waiting, f"the sender is idle, and these wait: {waiting}")

    def verdict(self):
        self.check(self.state.twice == 0, "two were pending at once, or one that should wait")
        kept = [each.message_id for each in self.queue.bundles()] if self.durable else []
        for message_id in self.queue.came:
            count = len(self.ends.get(message_id, ())) + (message_id in kept)
            self.check(count == 1, f"{message_id} ended {count} times: {self.ends.get(message_id)}")
        places = {message_id: place for place, message_id in enumerate(self.queue.came)}
        first = list(dict.fromkeys(self.written))
        for kind in ("t", "h") if self.retries else ("th",):
            order = [places[each] for each in first if each[0] in kind]
            self.check(order == sorted(order), f"not in order: {first}")
        if not (self.durable or self.resend or self.retries):
            self.check(first == self.written, "one was written twice")
        given_up = [each for each, ends in self.ends.items() if "in a row" in str(ends[0])]
        self.check(self.max_losses > 0 or not given_up, "given up without a limit")
        self.check(sorted(self.queue.aside) == sorted(given_up), "what is given up is set aside")
        return self.faults


class NoFaults:
    """In place of the random numbers: no faults from here on."""

    def random(self):
        return 1.0

    def choice(self, choices):
        return choices[-1]


def play(seed, **options):
    rng = random.Random(seed + 1_000_000)
    schedule = Interleaving(rng, [RequestSender, InFlight], rng.choice((0.02, 0.1, 0.3)))
    scenario = Scenario(seed, schedule, **options)
    schedule.run(*[scenario.act] * rng.choice((2, 2, 3)))
    scenario.finish()
    return scenario.verdict()


@pytest.mark.timeout(seconds(120))
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("resend", [False, True], ids=["once", "resend"])
@pytest.mark.parametrize("retries", [False, True], ids=["plain", "retries"])
@pytest.mark.parametrize("max_losses", [0, 2])
def test_a_request_ends_once_in_order_and_none_is_forgotten(durable, resend, retries, max_losses):
    for seed in range(SEED, SEED + SCHEDULES):
        options = {"durable": durable, "resend": resend, "retries": retries, "max_losses": max_losses}
        assert play(seed, **options) == [], f"OCPPJ_SENDER_SEED={seed}, {options}"
