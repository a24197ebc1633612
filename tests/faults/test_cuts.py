"""Calls both ways while connections break at any byte: each ends once, none is answered twice, nothing is left.

``OCPPJ_FAULT_CALLS`` sets how many calls there are, ``OCPPJ_FAULT_SEED`` repeats the faults of a run. How many faults
a number of calls meets is up to chance, so calls go on until enough were met, however many that takes.
"""

import itertools
import logging
import os
import threading
from contextlib import ExitStack

import pytest

from ocppj import Client, DefaultClientDispatcher, Server, TransportError, v16
from ocppj.storage.sqlite_queues import SQLiteQueue
from tests.faults.proxy import DUPLICATE, END, FREEZE, HALF, NO_FAULTS, RESET, Faults, Proxy, no_plan
from tests.faults.traffic import Fleet, Ledger, data, done, errors_logged, quick_backoff, run_threads
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import deadlines_of_log
from tests.inside.faults import alive
from tests.ws.support import open_files

CALLS = int(os.environ.get("OCPPJ_FAULT_CALLS", "20000"))
CLIENTS = 25
#: Bytes, on the average, after which a connection breaks: fewer calls meet as many faults.
CUT_AFTER = min(20_000, max(2_000, CALLS))
#: Dealt to the directions of the connections in turn, so that none of them is rare.
CUTS = (RESET, END, RESET, HALF, FREEZE)


class Quota:
    """Says yes ``count`` times, and goes on until ``enough()``; calls ``halfway`` once on the way. Thread-safe."""

    def __init__(self, count, enough=lambda: True, halfway=lambda: None):
        self._count, self._enough, self._halfway = count, enough, halfway
        self._asked = itertools.count(1)
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            number = next(self._asked)
        if number == self._count // 2:
            self._halfway()
        return number <= self._count or not self._enough()


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """Fail a test that logs an error, or after which a connection's objects or descriptors are there still."""
    files, before, failed = open_files(), alive(), request.session.testsfailed
    with errors_logged() as errors:
        yield
        if request.session.testsfailed == failed:  # else the traceback holds on to everything
            eventually(lambda: not alive() - before)
            eventually(lambda: open_files() <= files)
    assert errors == []


def cuts(number, random):
    """Every connection breaks after some kB, one way or another; many are late, or come in small pieces."""

    def faults(direction):
        return Faults(
            delay=random.choice([0, 0, 0.002, 0.02]),
            split=random.choice([0, 0, 7, 100]),
            rate=random.choice([0, 0, 0, 100_000]),
            at=((int(random.expovariate(1 / CUT_AFTER)), CUTS[(2 * number + direction) % len(CUTS)]),),
            freeze_for=0.5,
        )

    return faults(0), faults(1)


@pytest.mark.parametrize("resend", [False, True], ids=["once", "resend"])
@pytest.mark.timeout(seconds(180))
def test_every_call_ends_once_however_connections_break(resend):
    """With ``resend`` a request may be delivered, and then answered, once on each of two connections."""
    ledger = Ledger(2 * CALLS, resend)
    with Fleet(CLIENTS, cuts, ledger, timeout=seconds(1)) as fleet:

        def enough():
            met = fleet.proxy.counts
            return ledger.kinds["answered"] >= 0.4 * CALLS and all(met[cut] >= 4 * CUTS.count(cut) for cut in CUTS)

        fleet.connect()
        run_threads(fleet.callers(Quota(CALLS // 2, enough)), 150)
        fleet.check_idle()
        print(ledger.begun, ledger.kinds, fleet.proxy.counts, sum(fleet.reconnects.values()), "reconnects")
        assert ledger.settled() == []
        assert set(ledger.kinds) <= {"answered", "ConnectionLost", "CallTimeout", "UnknownClient"}
        assert enough()


@pytest.mark.parametrize("fault", [DUPLICATE, HALF])
@pytest.mark.timeout(seconds(120))
def test_corrupted_and_half_closed_connections_end_and_come_back(fault):
    """After each of these faults, in either direction, both sides go on, over a new connection if need be.

    Repeated bytes may be read as a frame of up to 64 kB whose end does not come for a while: until the next cut.
    """

    def plan(number, random):
        faults = Faults(at=((random.randrange(200, 4000), fault),))
        return (faults, NO_FAULTS) if number % 2 else (NO_FAULTS, faults)

    ledger = Ledger()
    options = {"ping_interval": seconds(0.2), "pong_timeout": seconds(0.5)}
    with Fleet(6, plan, ledger, timeout=seconds(0.5), **options) as fleet:

        def enough():
            met = fleet.proxy.counts[fault] > 6 and sum(fleet.reconnects.values()) > 6
            return met and ledger.kinds["answered"] > 100

        fleet.connect()
        run_threads(fleet.callers(Quota(1200, enough)), 90)
        print(ledger.begun, ledger.kinds, fleet.proxy.counts, sum(fleet.reconnects.values()), "reconnects")
        wrong = [line for line in ledger.violations() if "did not end" in line or "ended twice" in line]
        assert wrong == []
        assert enough()
        fleet.proxy.cut_all()
        for client in fleet.clients:
            eventually(lambda client=client: answered(client.call) and answered(to(fleet.server, client)))
        fleet.check_idle()


def test_after_many_losses_the_log_has_a_deadline_and_no_request_has():
    """A minute later the log tells how many lines it left out: of each peer it writes ten of the same kind."""
    logger = logging.Logger("all lines", logging.INFO)  # lines whose level is off are not counted
    logger.addHandler(logging.NullHandler())
    with Fleet(1, no_plan, Ledger(), timeout=seconds(10), logger=logger) as fleet:
        fleet.connect()
        (client,) = fleet.clients
        for count in range(1, 13):
            fleet.proxy.cut_all()
            eventually(lambda count=count: fleet.reconnects[client.id] == count)
            assert eventually(lambda: answered(client.call) and answered(to(fleet.server, client)))
        assert deadlines_of_log(client) and deadlines_of_log(fleet.server)
        fleet.check_idle()


def to(server, client):
    return lambda request: server.call(client.id, request)


def answered(call):
    try:
        return call(data("after all")).data == "after all"
    except Exception:
        return False


@pytest.mark.alone
@pytest.mark.timeout(seconds(60))
def test_frozen_connections_are_given_up_and_regained():
    """In the midst of traffic nothing passes any more, and nothing is closed: pings find it out, on both sides."""
    ledger = Ledger()
    options = {"ping_interval": seconds(0.2), "pong_timeout": seconds(0.3)}
    with Fleet(5, no_plan, ledger, timeout=seconds(3), **options) as fleet:
        fleet.connect()
        run_threads(fleet.callers(Quota(1000, halfway=fleet.proxy.freeze)), 50)
        print(ledger.kinds)
        fleet.check_idle()
        assert ledger.settled() == []
        assert ledger.kinds["ConnectionLost"] >= 5
        assert sorted(fleet.reconnects) == sorted(client.id for client in fleet.clients)


# Requests that are queued while connections break


class Arrivals:
    """What one client's requests became, each by its text: ``sent``, ``arrived`` at the server's handler, ``answered``.

    ``lost`` counts the connections that were.
    """

    def __init__(self):
        self.sent, self.arrived, self.answered, self.lost = [], [], set(), Recorder()


def send_through_faults(make_dispatcher, plan, count, timeout=1.0, patience=60.0):
    """Queue ``count`` requests of one client, whose dispatcher is ``make_dispatcher()``, and wait until all ended.

    The connection breaks as ``plan`` says. Returns `Arrivals`.
    """
    seen = Arrivals()
    with ExitStack() as stack:
        server = stack.enter_context(Server(profiles=v16.PROFILES))

        @server.on(v16.DataTransferRequest)
        def transfer(client_id, request):
            seen.arrived.append(request.data)
            return done(request.data)

        server.listen(host="127.0.0.1")
        proxy = stack.enter_context(Proxy(int(server.url.rsplit(":", 1)[1]), plan))
        client = stack.enter_context(
            Client(
                "CP_1",
                profiles=v16.PROFILES,
                dispatcher=make_dispatcher(),
                boot_first=False,
                timeout=seconds(timeout),
                backoff=quick_backoff(),
            )
        )
        client.set_disconnected_handler(seen.lost)
        connect_until_it_works(client, proxy.url)
        futures = []
        for number in range(count):
            seen.sent.append(f"request {number}")
            futures.append(client.send_request(data(seen.sent[-1])))
        for text, future in zip(seen.sent, futures):
            if future.exception(seconds(patience)) is None:
                seen.answered.add(text)
    return seen


def connect_until_it_works(client, url):
    def connect():
        try:
            return client.connect(url)
        except TransportError:
            return None

    eventually(connect)


def check_each_arrives_in_order(seen):
    """Check what a durable queue promises: every request arrives at least once, the first arrivals in order."""
    assert list(dict.fromkeys(seen.arrived)) == seen.sent


def some_cuts(number, random):
    """Break each connection, every other one in the midst of the answers."""
    faults = Faults(at=((random.randrange(600, 3000), random.choice([RESET, END, HALF])),))
    return (faults, NO_FAULTS) if number % 2 else (NO_FAULTS, faults)


def test_without_faults_each_request_arrives_in_order():
    seen = send_through_faults(DefaultClientDispatcher, no_plan, 300)
    check_each_arrives_in_order(seen)
    assert seen.answered == set(seen.sent)


def test_queued_requests_keep_their_order_and_arrive_once_at_most():
    """What the queue in memory promises: what was under way in a cut may be lost, and its future says so."""
    seen = send_through_faults(DefaultClientDispatcher, some_cuts, 200, timeout=0.3)
    assert len(seen.arrived) == len(set(seen.arrived))
    assert seen.arrived == [text for text in seen.sent if text in set(seen.arrived)]
    assert seen.answered <= set(seen.arrived)
    assert len(seen.arrived) > 100
    assert len(seen.lost.calls) >= 4


@pytest.mark.timeout(seconds(120))
def test_every_durable_request_arrives_at_least_once_and_in_order(tmp_path):
    seen = send_through_faults(
        lambda: DefaultClientDispatcher(SQLiteQueue(tmp_path / "requests.db")), some_cuts, 200, timeout=20.0
    )
    check_each_arrives_in_order(seen)
    assert len(seen.lost.calls) >= 4
    assert len(seen.arrived) > len(seen.sent), "where an answer was cut, the request came again"
    assert seen.answered == set(seen.sent)
