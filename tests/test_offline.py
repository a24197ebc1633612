"""Requests to clients that are away, ``send_request(..., offline=True)``: the boot they wait for, and their end."""

import contextlib
import logging
import threading
from datetime import datetime, timedelta, timezone

import pytest

from ocppj import (
    CallCanceled,
    CallTimeout,
    DropOldest,
    Feature,
    NotRunning,
    OCPPError,
    OverflowPolicy,
    Profile,
    QueueFull,
    RequestDropped,
    Server,
    SQLiteQueueMap,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    v16,
    v21,
    v201,
)
from ocppj.clock import ManualClock
from ocppj.rpc.dialect import V201
from tests.fixtures import BOOT_WIRE, NOW, SUBPROTOCOLS, boot_of, cleanup  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, Sockets

VERSIONS = pytest.mark.parametrize("module", [v16, v201, v21], ids=["v16", "v201", "v21"])


class Site:
    """A server over a file, and clients that speak text."""

    def __init__(self, tmp_path, cleanup):
        self.path = tmp_path and tmp_path / "queues.db"
        self.cleanup = cleanup
        self.boot_status = "Accepted"
        self.heartbeats_refused = False
        self.server = None

    def make_queues(self, *arguments, **options):
        return SQLiteQueueMap(self.path, *arguments, **options)

    def start(self, *modules, queues=None, **options):
        """Start a server, after the one before, as another process would."""
        if self.server is not None:
            self.server.stop()
        modules = modules or (v16,)
        self.queues = self.make_queues() if queues is None else queues
        profiles = options.pop("profiles", [profile for module in modules for profile in module.PROFILES])
        options.setdefault("timeout", seconds(60))
        self.server = Server(profiles=profiles, queues=self.queues, **options)
        self.cleanup.append(self.server.stop)
        self.canceled = self.server.set_canceled_request_handler(Recorder())
        for module in modules:
            self.server.on(module.BootNotificationRequest)(
                lambda client_id, request, module=module: module.BootNotificationResponse(
                    current_time=NOW, interval=300, status=self.boot_status
                )
            )
            self.server.on(module.HeartbeatRequest)(lambda client_id, request, module=module: self.heartbeat(module))
        self.server.listen(host="127.0.0.1")
        return self.server

    def heartbeat(self, module):
        if self.heartbeats_refused:
            raise OCPPError("SecurityError", "boot first")
        return module.HeartbeatResponse(current_time=NOW)

    def client(self, identity="CP_1", module=v16):
        client = Station(self.server, identity, module)
        self.cleanup.append(client.raw.stop)
        return client


class Station:
    def __init__(self, server, identity, module):
        self.server, self.identity, self.module = server, identity, module
        self.raw = RawClient(Sockets(), server.url, identity, (SUBPROTOCOLS[module],))
        eventually(lambda: identity in server.client_ids())

    def boot(self):
        answer = self.raw.ask([2, "boot", "BootNotification", boot_of(self.module).to_wire()])
        assert answer[:2] == [3, "boot"]
        return answer[2]["status"]

    def beat(self):
        return self.raw.ask([2, "beat", "Heartbeat", {}])[0]

    def answer(self, status="Accepted"):
        """Answer the next request, and return its id and action."""
        _, message_id, action, _ = self.raw.receive()
        self.raw.send([3, message_id, {"status": status}])
        return message_id, action

    def has_nothing(self):
        """Tell whether no request was sent, or is on its way."""
        future = self.server.send_request(self.identity, trigger(self.module))
        message_id, action = self.answer()
        assert (message_id, action) == (future.message_id, "TriggerMessage")
        future.result(seconds(10))
        return self.raw.nothing_came()

    def leave(self):
        self.raw.stop()
        eventually(lambda: self.identity not in self.server.client_ids())


def reset(module=v16):
    return module.ResetRequest(type="Soft" if module is v16 else "Immediate")


def trigger(module=v16):
    return module.TriggerMessageRequest(requested_message="Heartbeat")


@pytest.fixture
def site(tmp_path, cleanup):
    return Site(tmp_path, cleanup)


# When it is sent


@VERSIONS
def test_a_request_to_a_client_that_is_away_is_sent_when_it_comes_and_has_booted(site, module):
    server = site.start(module)
    future = server.send_request("CP_1", reset(module), offline=True)
    station = site.client(module=module)
    assert station.has_nothing(), "it has not booted"
    assert station.boot() == "Accepted"
    assert station.answer() == (future.message_id, "Reset")
    assert future.result(seconds(10)) == module.ResetResponse(status="Accepted")
    assert site.queues.list() == []


@VERSIONS
def test_a_client_that_has_booted_gets_it_at_once(site, module):
    server = site.start(module)
    station = site.client(module=module)
    station.boot()
    future = server.send_request("CP_1", reset(module), offline=True)
    assert station.answer() == (future.message_id, "Reset")
    future.result(seconds(10))


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
@VERSIONS
def test_it_waits_for_the_boot_that_is_accepted(site, module, status):
    server = site.start(module)
    future = server.send_request("CP_1", reset(module), offline=True)
    station = site.client(module=module)
    site.boot_status = status
    assert station.boot() == status
    assert station.beat() == 3, "which tells nothing, after such a boot"
    assert station.has_nothing()
    station.leave()
    station = site.client(module=module)
    assert station.beat() == 3, "nor over another connection"
    assert station.has_nothing()
    site.boot_status = "Accepted"
    station.boot()
    assert station.answer()[0] == future.message_id


@VERSIONS
def test_a_request_that_is_not_refused_tells_that_it_has_booted(site, module):
    server = site.start(module)
    future = server.send_request("CP_1", reset(module), offline=True)
    station = site.client(module=module)
    site.heartbeats_refused = True
    assert station.beat() == 4
    assert station.has_nothing()
    site.heartbeats_refused = False
    assert station.beat() == 3
    assert station.answer()[0] == future.message_id


def test_a_reconnect_needs_no_new_boot(site):
    server = site.start()
    station = site.client()
    station.boot()
    station.leave()
    futures = [server.send_request("CP_1", each, offline=True) for each in (reset(), trigger(), reset())]
    station = site.client()
    assert [station.answer()[0] for _ in futures] == [each.message_id for each in futures]


def test_a_boot_that_is_not_accepted_later_holds_them_again(site):
    server = site.start()
    station = site.client()
    station.boot()
    site.boot_status = "Pending"
    station.boot()
    future = server.send_request("CP_1", reset(), offline=True)
    assert station.has_nothing()
    site.boot_status = "Accepted"
    station.boot()
    assert station.answer()[0] == future.message_id


def test_nothing_goes_out_just_behind_the_answer_that_a_boot_is_not_accepted(site):
    server = site.start()
    station = site.client()
    station.boot()
    site.boot_status = "Pending"
    futures = []

    @server.add_observer
    def send_behind(frame):  # the answer is on its way, and what comes after it is still to be done
        if (frame.direction, frame.action) == ("out", "BootNotification"):
            futures.append(server.send_request("CP_1", reset(), offline=True))

    assert station.boot() == "Pending"
    eventually(lambda: futures)
    server.remove_observer(send_behind)
    assert station.has_nothing()
    site.boot_status = "Accepted"
    station.boot()
    assert station.answer()[0] == futures[0].message_id


def test_other_stored_requests_wait_for_no_boot(site):
    server = site.start()
    station = site.client()
    station.leave()
    station = site.client()
    held = server.send_request("CP_1", reset(), offline=True)
    future = server.send_request("CP_1", trigger())
    assert station.answer()[0] == future.message_id
    other = threading.Thread(target=server.call, args=("CP_1", trigger()))
    other.start()
    assert station.answer()[1] == "TriggerMessage"
    other.join(seconds(10))
    assert not held.done()


def test_answers_that_come_later_tell_of_the_boot_too(site):
    server = site.start()
    ids = Recorder()
    server.on(v16.BootNotificationRequest, pass_id=True)(ids)
    future = server.send_request("CP_1", reset(), offline=True)
    station = site.client()
    station.raw.send([2, "boot", "BootNotification", BOOT_WIRE])
    ids.wait()
    assert station.has_nothing()
    response = v16.BootNotificationResponse(current_time=NOW, interval=1, status="Accepted")
    server.send_response("CP_1", "boot", response)
    assert station.raw.receive()[:2] == [3, "boot"]
    assert station.answer()[0] == future.message_id


# What outlives the server


@VERSIONS
def test_it_outlives_the_process_and_waits_for_the_boot_there(site, module):
    server = site.start(module)
    future = server.send_request("CP_1", reset(module), offline=True)
    server.stop()
    assert isinstance(future.exception(0), Stopped)
    server = site.start(module)
    responses = server.set_response_handler(Recorder())
    station = site.client(module=module)
    assert station.has_nothing()
    station.boot()
    assert station.answer() == (future.message_id, "Reset")
    eventually(lambda: ("CP_1", module.ResetResponse(status="Accepted"), future.message_id) in responses.calls)


def test_stop_ends_one_that_is_held_and_one_that_is_pending(site):
    server = site.start()
    station = site.client()
    held = server.send_request("CP_1", reset(), offline=True)
    station.boot()
    eventually(lambda: site.queues.list()[0].state == "pending")
    away = server.send_request("CP_2", reset(), offline=True)
    server.stop()
    assert [type(each.exception(0)) for each in (held, away)] == [Stopped, Stopped]
    site.start()
    assert [each.message_id for each in site.queues.list()] == [held.message_id, away.message_id]


def test_an_id_of_ones_own_is_used_once_also_over_a_restart(site):
    server = site.start()
    future = server.send_request("CP_1", reset(), offline=True, message_id="order-7")
    assert future.message_id == "order-7"
    for start in (lambda: server, site.start):
        again = start()
        with pytest.raises(UsageError, match="order-7"):
            again.send_request("CP_1", trigger(), offline=True, message_id="order-7")
    server = again
    server.send_request("CP_2", reset(), offline=True, message_id="order-7")
    station = site.client()
    station.boot()
    assert station.answer()[0] == "order-7"
    eventually(lambda: [each.client_id for each in site.queues.list()] == ["CP_2"])


# For whom


@pytest.mark.parametrize(
    "known",
    [["CP_1"], {"CP_1"}, {"CP_1": "a password"}, lambda client_id: client_id == "CP_1"],
    ids=["list", "set", "mapping", "function"],
)
def test_only_known_clients_are_stored_for(site, known):
    server = site.start(known_clients=known)
    server.send_request("CP_1", reset(), offline=True)
    with pytest.raises(UnknownClient, match="CP_2"):
        server.send_request("CP_2", reset(), offline=True)
    assert [each.client_id for each in site.queues.list()] == ["CP_1"]
    station = site.client("CP_2")
    station.boot()
    server.send_request("CP_2", reset(), offline=True)
    assert station.answer()[1] == "Reset", "it is connected"


async def never(client_id):
    return True


@pytest.mark.parametrize("known", ["CP_1", 5, never, lambda: True], ids=["text", "number", "async", "no argument"])
def test_what_tells_of_no_clients_is_refused(site, known):
    with pytest.raises(UsageError):
        site.start(known_clients=known)


@pytest.mark.filterwarnings("error")
def test_a_coroutine_in_place_of_an_answer_knows_no_client(site):
    server = site.start(known_clients=lambda client_id: never(client_id))
    with pytest.raises(TypeError, match="returned a coroutine, which nothing awaits"):
        server.send_request("CP_1", reset(), offline=True)
    assert site.queues.list() == []


@pytest.mark.parametrize("client_id", ["", None, 7])
def test_an_identity_that_cannot_be_is_refused(site, client_id):
    with pytest.raises(UsageError):
        site.start().send_request(client_id, reset(), offline=True)


def test_without_a_file_it_is_refused():
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as server:
        for send in (server.send_request, lambda client_id, *rest, **options: server.broadcast(*rest, **options)):
            with pytest.raises(UsageError, match="SQLiteQueueMap"):
                send("CP_1", reset(), offline=True)


@pytest.mark.parametrize(
    "options",
    [
        {"expires": 5},
        {"version": "1.6"},
        *({"offline": True, "expires": each} for each in (0, -1, "x", True, float("inf"), float("nan"), 1e12)),
    ],
)
def test_options_that_cannot_be_meant_are_refused(site, options):
    with pytest.raises(UsageError, match="expires|offline"):
        site.start().send_request("CP_1", reset(), **options)
    assert site.queues.list() == []


def test_before_the_start_and_after_the_end_it_is_refused(site):
    server = site.start()
    server.stop()
    with pytest.raises(NotRunning):
        server.send_request("CP_1", reset(), offline=True)


# In which version


@VERSIONS
def test_the_version_is_that_of_the_type(site, module):
    site.start(v16, v201, v21).send_request("CP_1", reset(module), offline=True)
    assert site.queues.list()[0].version == SUBPROTOCOLS[module][4:]


def shared_type_profiles():
    """Return profiles of 1.6 and 2.0.1 that have the same type of request."""
    shared = Feature("ClearIt", v16.ClearCacheRequest, v16.ClearCacheResponse)
    return [*v16.PROFILES, *v201.PROFILES, Profile("Own", V201, shared)]


def test_a_type_of_several_versions_is_made_in_that_of_the_last_connection(site):
    server = site.start(profiles=shared_type_profiles())
    request = v16.ClearCacheRequest()
    with pytest.raises(UnsupportedFeature, match=r"1\.6, 2\.0\.1.*version="):
        server.send_request("CP_1", request, offline=True)
    server.send_request("CP_1", request, offline=True, version="1.6")
    site.client(module=v201).leave()
    server.send_request("CP_1", request, offline=True)
    server.send_request("CP_1", request, offline=True, version="1.6")
    assert [each.version for each in site.queues.list()] == ["1.6", "2.0.1", "1.6"]
    with pytest.raises(UnsupportedFeature, match=r"2\.1"):
        server.send_request("CP_1", request, offline=True, version="2.1")


# The end of its time


def test_it_expires_while_the_client_is_away(site, caplog):
    clock = ManualClock()
    server = site.start(clock=clock)
    futures = [server.send_request("CP_1", reset(), offline=True, expires=each) for each in (60, 30, None)]
    clock.advance(29)
    assert not any(each.done() for each in futures)
    clock.advance(2)
    assert isinstance(futures[1].exception(0), CallTimeout)
    assert not futures[0].done()
    clock.advance(30)
    assert isinstance(futures[0].exception(0), CallTimeout)
    assert [each[:3] for each in site.canceled.calls] == [
        ("CP_1", futures[1].message_id, reset()),
        ("CP_1", futures[0].message_id, reset()),
    ]
    assert [each.message_id for each in site.queues.list()] == [futures[2].message_id]


def test_it_expires_while_it_waits_for_the_boot_and_the_next_is_sent(site):
    clock = ManualClock()
    server = site.start(clock=clock)
    station = site.client()
    expired = server.send_request("CP_1", reset(), offline=True, expires=60)
    future = server.send_request("CP_1", trigger(), offline=True, expires=61)
    clock.advance(60)
    assert isinstance(expired.exception(0), CallTimeout)
    station.boot()
    assert station.answer()[0] == future.message_id


def test_it_expires_while_no_process_runs(site, caplog):
    clock = ManualClock()
    future = site.start(clock=clock).send_request("CP_1", reset(), offline=True, expires=60)
    site.server.stop()
    clock.advance(100)
    with caplog.at_level(logging.ERROR):
        site.start(clock=clock)
    assert site.queues.list() == []
    [line] = [each.getMessage() for each in caplog.records if future.message_id in each.getMessage()]
    assert "expired" in line
    assert "CP_1" in line


def test_it_expires_after_a_restart(site):
    clock = ManualClock()
    future = site.start(clock=clock).send_request("CP_1", reset(), offline=True, expires=60)
    site.server.stop()
    clock.advance(30)
    site.start(clock=clock)
    assert [each.message_id for each in site.queues.list()] == [future.message_id]
    clock.advance(31)
    assert site.queues.list() == []


def test_one_that_is_pending_expires_too(site):
    clock = ManualClock()
    server = site.start(clock=clock, timeout=1000)
    station = site.client()
    station.boot()
    future = server.send_request("CP_1", reset(), offline=True, expires=60)
    station.raw.receive()
    clock.advance(61)
    assert isinstance(future.exception(0), CallTimeout)
    assert station.has_nothing()


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "away"])
def test_it_may_expire_before_it_is_stored(site, connected):
    server = site.start()
    if connected:
        site.client()  # has not booted
    future = server.send_request("CP_1", reset(), offline=True, expires=1e-6)
    with pytest.raises(CallTimeout):
        future.result(seconds(10))
    eventually(lambda: site.queues.list() == [])


def test_an_expiry_of_years_is_kept(site):
    clock = ManualClock()
    server = site.start(clock=clock)
    future = server.send_request("CP_1", reset(), offline=True, expires=3 * 365 * 86400)
    clock.advance(40 * 86400)
    assert not future.done()
    [listed] = site.queues.list()
    assert listed.expires == clock.now() + timedelta(days=3 * 365 - 40)


# A look into the file


def test_what_waits_is_listed(site):
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    server = site.start(v16, v201, clock=ManualClock(NOW))
    station = site.client()
    station.boot()
    pending = server.send_request("CP_1", trigger())
    waiting = server.send_request("CP_1", reset(), offline=True, expires=60)
    away = server.send_request("CP_2", reset(v201), offline=True)
    listed = site.queues.list()
    assert [(each.message_id, each.action, each.client_id, each.version, each.state) for each in listed] == [
        (pending.message_id, "TriggerMessage", "CP_1", "1.6", "pending"),
        (waiting.message_id, "Reset", "CP_1", "1.6", "waiting"),
        (away.message_id, "Reset", "CP_2", "2.0.1", "waiting"),
    ]
    assert [each.expires for each in listed] == [None, NOW + timedelta(seconds=60), None]
    assert all(before < each.since <= datetime.now(timezone.utc) for each in listed)
    assert [each.message_id for each in site.queues.list("CP_2")] == [away.message_id]
    assert site.queues.list("CP_3") == []
    server.stop()
    with pytest.raises(NotRunning):
        site.queues.list()


@pytest.mark.parametrize("state", ["away", "held", "waiting", "pending"])
def test_any_request_can_be_canceled(site, state):
    server = site.start()
    if state != "away":
        station = site.client()
        if state != "held":
            station.boot()
        if state == "waiting":
            server.send_request("CP_1", trigger())
    future = server.send_request("CP_1", reset(), offline=True)
    assert site.queues.cancel(future.message_id)
    assert isinstance(future.exception(0), CallCanceled)
    assert [each[1] for each in site.canceled.calls] == [future.message_id]
    assert future.message_id not in [each.message_id for each in site.queues.list()]
    assert not site.queues.cancel(future.message_id)


def test_one_of_an_earlier_process_is_canceled(site):
    future = site.start().send_request("CP_1", reset(), offline=True)
    site.start()
    assert site.queues.cancel(future.message_id)
    assert [each[:3] for each in site.canceled.calls] == [("CP_1", future.message_id, reset())]
    station = site.client()
    station.boot()
    assert station.has_nothing()


def test_an_id_of_several_clients_needs_the_client(site):
    server = site.start(message_id_generator=lambda: "same")
    futures = [server.send_request(each, reset(), offline=True) for each in ("A", "B", "C")]
    with pytest.raises(UsageError, match=r"\['A', 'B', 'C'\]"):
        site.queues.cancel("same")
    assert site.queues.cancel("same", "B")
    assert [each.done() for each in futures] == [False, True, False]
    assert not site.queues.cancel("same", "D")


def test_a_canceled_future_takes_it_out_of_the_file(site):
    server = site.start()
    future = server.send_request("CP_1", reset(), offline=True)
    assert future.cancel()
    assert site.queues.list() == []


def test_a_timeout_ends_it_too(site):
    clock = ManualClock()
    future = site.start(clock=clock).send_request("CP_1", reset(), 5, offline=True)
    clock.advance(6)
    assert isinstance(future.exception(0), CallTimeout)
    assert site.queues.list() == []


# A full queue


def test_the_queue_of_a_client_that_is_away_may_be_full(site):
    server = site.start(queues=site.make_queues(2))
    for _ in range(2):
        server.send_request("CP_1", reset(), offline=True)
    with pytest.raises(QueueFull, match="2"):
        server.send_request("CP_1", reset(), offline=True)
    server.send_request("CP_2", reset(), offline=True)
    assert server.stats().refused["queue_full"] == 1


def test_its_overflow_policy_drops_for_one_that_is_away(site):
    policy = DropOldest(v16.TriggerMessageRequest)
    server = site.start(queues=site.make_queues(2, overflow=policy))
    futures = [server.send_request("CP_1", each, offline=True) for each in (reset(), trigger(), reset())]
    assert isinstance(futures[1].exception(0), RequestDropped)
    assert [each[1] for each in site.canceled.calls] == [futures[1].message_id]
    with pytest.raises(QueueFull):
        server.send_request("CP_1", reset(), offline=True)
    assert [each.message_id for each in site.queues.list()] == [futures[0].message_id, futures[2].message_id]


def test_a_policy_may_use_the_map_while_the_client_is_away(site):
    class CancelTheOldest(OverflowPolicy):
        def choose(self, waiting, new):
            site.queues.cancel(waiting[0].message_id)
            return waiting[0]

    server = site.start(queues=site.make_queues(2, overflow=CancelTheOldest()))
    futures = []
    thread = threading.Thread(
        target=lambda: futures.extend(server.send_request("CP_1", reset(), offline=True) for _ in range(3)), daemon=True
    )
    thread.start()
    thread.join(seconds(10))
    assert not thread.is_alive()
    with pytest.raises(CallCanceled):
        futures[0].result(seconds(10))
    assert [each.message_id for each in site.queues.list()] == [each.message_id for each in futures[1:]]


@VERSIONS
def test_a_full_queue_of_those_that_wait_for_the_boot_does_not_stop_the_others(site, module):
    server = site.start(module, queues=site.make_queues(2))
    station = site.client(module=module)
    futures = [server.send_request("CP_1", reset(module), offline=True) for _ in range(2)]
    with pytest.raises(QueueFull):
        server.send_request("CP_1", reset(module), offline=True)
    assert station.has_nothing()
    assert server.broadcast(trigger(module))["CP_1"].message_id == station.answer()[0]
    station.boot()
    assert [station.answer()[0] for _ in futures] == [each.message_id for each in futures]


def test_those_that_go_past_a_full_queue_are_bounded(site):
    server = site.start(queues=site.make_queues(1))
    site.client()
    server.send_request("CP_1", reset(), offline=True)
    server.send_request("CP_1", trigger())
    for _ in range(3):
        with pytest.raises(QueueFull):
            server.send_request("CP_1", trigger())


# Races


def test_none_is_lost_while_the_client_comes_and_goes(site):
    server = site.start()
    site.client().boot()
    futures, stopped = [], threading.Event()

    def send():
        while not stopped.is_set() and len(futures) < 300:
            futures.append(server.send_request("CP_1", reset(), offline=True))

    thread = threading.Thread(target=send)
    thread.start()
    seen = set()
    try:
        for _ in range(5):
            with contextlib.closing(contextlib.ExitStack()) as stack:
                raw = RawClient(Sockets(), server.url)
                stack.callback(raw.stop)
                for _ in range(10):
                    frame = raw.receive()
                    seen.add(frame[1])
                    raw.send([3, frame[1], {"status": "Accepted"}])
    finally:
        stopped.set()
        thread.join(seconds(30))
    raw = RawClient(Sockets(), server.url)
    try:
        while not all(each.done() for each in futures):
            frame = raw.receive()
            raw.send([3, frame[1], {"status": "Accepted"}])
            eventually(lambda: not raw.nothing_came() or all(each.done() for each in futures))
    finally:
        raw.stop()
    assert all(each.result(0).status == "Accepted" for each in futures)
    assert site.queues.list() == []
