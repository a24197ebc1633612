"""``Journal``: the frames and the connections of a client or a server, in their order."""

import random
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest

from ocppj import (
    Backoff,
    Client,
    Close,
    ErrorCode,
    Frame,
    ManualClock,
    OCPPError,
    OcppjError,
    Server,
    v16,
)
from ocppj.testing.journal import Journal
from ocppj.testing.rules import FrameJudge
from ocppj.testing.seen import Seen
from tests.fixtures import BEAT, BEAT_WIRE, BOOT, BOOT_WIRE, HEARTBEAT, transport  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.testing.journals import Talk


def kinds(journal, client_id=None):
    return [seen.kind for seen in journal.entries(client_id)]


def waiting(journal):
    """Return direction and id of the CALLs without an answer."""
    return [(seen.direction, seen.message_id) for seen in journal.unanswered()]


# Frames


def test_an_entry():
    talk = Talk()
    talk.connected()
    seen = talk.came(2, "7", "BootNotification", BOOT_WIRE)
    assert seen == Seen(
        number=2,
        at=2.0,
        time=datetime(2026, 1, 1, 0, 0, 2, tzinfo=timezone.utc),
        client_id="CP_1",
        direction="in",
        kind="CALL",
        action="BootNotification",
        message_id="7",
        text=seen.text,
        payload=BOOT_WIRE,
        message=BOOT,
        version="1.6",
        connection=1,
    )
    assert talk.journal.entries()[1] is seen


def test_what_a_frame_breaks():
    talk = Talk()
    talk.went(2, "1", "Reset", {"type": "Soft"})
    error = talk.came(4, "1", "Broken", "no", {"a": 1})
    assert (error.action, error.error_code, error.error_description, error.error_details) == (
        "Reset",
        "Broken",
        "no",
        {"a": 1},
    )
    assert error.faults == ["OCPP 1.6 has no error code 'Broken'"]


def test_a_frame_that_was_not_sent_does_not_count():
    talk = Talk()
    lost = talk.went(2, "1", "Reset", {"type": "Soft"}, sent=False)
    assert (lost.sent, lost.action, lost.message, lost.faults) == (False, "Reset", v16.ResetRequest("Soft"), [])
    assert waiting(talk.journal) == []
    assert talk.went(2, "2", "Reset", {"type": "Soft"}).faults == []
    talk.came(2, "1", "Heartbeat", {})
    lost = talk.went(3, "1", {}, sent=False)
    fault = "OccurenceConstraintViolation: required property 'currentTime' is missing"
    assert (lost.action, lost.faults) == ("Heartbeat", [fault])
    assert waiting(talk.journal) == [("out", "2"), ("in", "1")]


def test_a_frame_has_the_time_at_which_its_writing_began():
    clock = ManualClock()
    journal = Journal(clock)
    begun = clock.now()
    clock.advance(30)
    slow = journal.add_frame(Frame("out", "CP_1", "1.6", begun, "[]"))
    assert (slow.at, slow.time) == (0.0, begun)
    ahead = journal.add_frame(Frame("out", "CP_1", "1.6", clock.now() + timedelta(hours=1), "[]"))  # of another clock
    assert ahead.at == 30.0


def test_entries_of_one_station_and_after_a_number():
    talk = Talk()
    talk.connected()
    for number in range(3):
        talk.came(2, str(number), "Heartbeat", {})
        talk.came(2, str(number), "Heartbeat", {}, client_id="CP_2", connection=2)
    journal = talk.journal
    assert [seen.number for seen in journal.entries()] == list(range(1, 9))
    assert journal.last_number() == 8
    mine = journal.entries("CP_1")
    assert [seen.number for seen in mine] == [1, 2, 5, 7]
    for after in range(9):
        assert journal.entries("CP_1", after) == [seen for seen in mine if seen.number > after]
        assert journal.entries(after=after) == journal.entries()[after:]
    assert journal.entries("CP_9") == []
    assert journal.client_ids() == ["CP_1", "CP_2"]


def test_what_is_returned_is_a_copy():
    talk = Talk()
    talk.came("[]")
    talk.journal.entries().clear()
    talk.journal.entries("CP_1").clear()
    assert len(talk.journal.entries("CP_1")) == len(talk.journal.entries()) == 2


class Waiter:
    """A thread that waits for a journal. It waits when this has been made."""

    def __init__(self, journal, ready):
        self._looked, self._done = Recorder(), Recorder()

        def look():
            self._looked()
            return ready()

        def wait():
            with journal.changed:
                self._done(journal.changed.wait_for(look, seconds(60)))

        self._thread = threading.Thread(target=wait)
        self._thread.start()
        self._looked.wait()
        with journal.changed:  # it is free when the thread waits
            pass

    def is_told(self):
        assert self._done.wait(timeout=10) == [(True,)]
        self._thread.join(seconds(10))


def test_who_waits_is_told():
    talk = Talk()
    waiter = Waiter(talk.journal, lambda: kinds(talk.journal)[-1:] == ["CALL"])
    talk.connected()
    talk.came("[]")
    talk.came(2, "1", "Heartbeat", {})
    waiter.is_told()


def test_a_judge_of_the_program():
    made = Recorder()

    def make(version):
        made(version)
        return FrameJudge(version, call_timeout=1)

    journal, clock = Journal(ManualClock(), make), ManualClock()
    for connection in (1, 2):
        for client_id in ("CP_1", "CP_2"):
            journal.add_frame(Frame("in", client_id, "1.6", clock.now(), "[]", connection=connection))
    assert made.calls == [("1.6",), ("1.6",)]  # one for each station


# Connections


def test_connections():
    talk = Talk()
    journal, close = talk.journal, Close(1008, "away")
    assert not journal.is_connected("CP_1")
    talk.connected()
    assert journal.is_connected("CP_1")
    talk.disconnected(close)
    assert not journal.is_connected("CP_1")
    assert kinds(journal) == ["CONNECTED", "DISCONNECTED"]
    begun, ended = journal.entries()
    assert (begun.version, begun.direction, begun.at) == ("1.6", "", 1.0)
    assert (ended.close, ended.at) == (close, 2.0)


def test_a_refused_station_has_not_connected():
    talk = Talk()
    talk.journal.add_event("REFUSED", "CP_9", reason="401")
    assert talk.journal.client_ids() == []
    assert [seen.reason for seen in talk.journal.entries("CP_9")] == ["401"]
    assert not talk.journal.is_connected("CP_9")


def test_a_frame_before_the_event_of_its_connection():
    talk = Talk()
    talk.came(2, "1", "Heartbeat", {})
    talk.connected()  # it tells nothing new
    talk.went(3, "1", BEAT_WIRE)
    assert kinds(talk.journal) == ["CONNECTED", "CALL", "RESULT"]
    begun = talk.journal.entries()[0]
    assert (begun.version, begun.connection, begun.at) == ("1.6", 1, 1.0)
    talk.disconnected()
    assert not talk.journal.is_connected("CP_1")
    talk.connected()
    assert kinds(talk.journal)[3:] == ["DISCONNECTED", "CONNECTED"]
    assert talk.journal.is_connected("CP_1")


def test_a_frame_of_a_newer_connection_before_the_end_of_the_older_one():
    talk = Talk()
    talk.connected()
    talk.came(2, "1", "Heartbeat", {})
    assert talk.came(2, "2", "Heartbeat", {}, connection=2).faults == []
    assert waiting(talk.journal) == [("in", "1"), ("in", "2")]
    late = talk.went(3, "1", BEAT_WIRE, connection=1)
    assert (late.action, late.faults) == ("Heartbeat", [])
    talk.disconnected()
    assert talk.journal.is_connected("CP_1")
    assert waiting(talk.journal) == [("in", "2")]
    talk.connected()
    assert kinds(talk.journal) == ["CONNECTED", "CALL", "CONNECTED", "CALL", "RESULT", "DISCONNECTED"]
    talk.disconnected()
    assert not talk.journal.is_connected("CP_1")
    assert waiting(talk.journal) == []


def test_connections_without_frames():
    talk = Talk()
    for _ in range(3):
        talk.connected()
        talk.disconnected()
    talk.connected()
    assert talk.journal.is_connected("CP_1")
    talk.came("[]")
    assert kinds(talk.journal) == [*["CONNECTED", "DISCONNECTED"] * 3, "CONNECTED", "TEXT"]


def test_a_connection_without_frames_ends_before_a_frame_of_the_next():
    talk = Talk()
    talk.connected()
    talk.disconnected()
    talk.came(2, "1", "Heartbeat", {})
    assert kinds(talk.journal) == ["CONNECTED", "DISCONNECTED", "CONNECTED", "CALL"]
    assert waiting(talk.journal) == [("in", "1")]


@pytest.mark.parametrize("next_frame", [False, True])
def test_the_first_frame_of_a_connection_is_shown_after_its_end(next_frame):
    """A thread that writes shows its frame when the write has ended. Another one may note the end before."""
    talk = Talk()
    talk.connected()
    begun = talk.clock.now()
    talk.disconnected()
    talk.connected()
    if next_frame:
        talk.came(2, "2", "Heartbeat", {})
    talk.journal.add_frame(Frame("in", "CP_1", "1.6", begun, '[2,"1","Heartbeat",{}]', connection=1))
    if not next_frame:
        talk.came(2, "2", "Heartbeat", {})
    assert kinds(talk.journal) == ["CONNECTED", "DISCONNECTED", "CONNECTED", "CALL", "CALL"]
    assert waiting(talk.journal) == [("in", "2")]
    talk.disconnected()
    assert not talk.journal.is_connected("CP_1")


def test_a_connection_that_is_not_known_may_end():
    talk = Talk()
    talk.disconnected()
    talk.connected()
    assert talk.journal.is_connected("CP_1")


def test_many_connections():
    talk = Talk()
    for _ in range(20):
        talk.connected()
        talk.came(2, "1", "Heartbeat", {})  # it is sent again, as it is never answered
        talk.disconnected()
    assert not [fault for seen in talk.journal.entries() for fault in seen.faults]
    assert waiting(talk.journal) == []


def test_frames_without_numbers_of_connections():
    talk = Talk()
    for _ in range(2):
        talk.connected()
        assert talk.came(2, "1", "Heartbeat", {}, connection=0).faults == []
        talk.disconnected()
    talk.connected()
    talk.came(2, "2", "Heartbeat", {}, connection=0)
    assert waiting(talk.journal) == [("in", "2")]


# CALLs without an answer


def test_calls_without_an_answer():
    talk = Talk()
    talk.connected()
    talk.came(2, "1", "Heartbeat", {})
    talk.went(2, "a", "Reset", {"type": "Soft"})
    talk.came(2, "1", "Heartbeat", {}, client_id="CP_2", connection=2)
    assert waiting(talk.journal) == [("in", "1"), ("out", "a"), ("in", "1")]
    assert [seen.client_id for seen in talk.journal.unanswered("CP_2")] == ["CP_2"]
    talk.came(3, "a", {"status": "Accepted"})
    assert waiting(talk.journal) == [("in", "1"), ("in", "1")]
    talk.went(4, "1", "InternalError", "", {})
    assert [seen.client_id for seen in talk.journal.unanswered()] == ["CP_2"]


def test_what_a_lost_connection_leaves_open_is_not_missed():
    talk = Talk()
    talk.connected()
    talk.came(2, "1", "Heartbeat", {})
    talk.disconnected()
    assert waiting(talk.journal) == []
    talk.connected()
    assert waiting(talk.journal) == []
    again = talk.came(2, "1", "Heartbeat", {})
    assert again.faults == []
    assert talk.journal.unanswered() == [again]


@pytest.mark.parametrize("moment", ["before anything came", "before the CALL", "after the CALL"])
def test_a_call_that_is_left_open_on_purpose(moment):
    talk = Talk()
    if moment == "before anything came":
        talk.journal.excuse("CP_1", "2")
    talk.came(2, "1", "Heartbeat", {})
    talk.went(3, "1", BEAT_WIRE)
    if moment == "before the CALL":
        talk.journal.excuse("CP_1", "2")
    talk.came(2, "2", "Heartbeat", {})
    if moment == "after the CALL":
        assert waiting(talk.journal) == [("in", "2")]
        talk.journal.excuse("CP_1", "2")
    assert waiting(talk.journal) == []
    assert talk.came(2, "3", "Heartbeat", {}).faults == []
    assert waiting(talk.journal) == [("in", "3")]


def test_who_waits_for_answers_is_told_of_an_excuse():
    talk = Talk()
    talk.came(2, "1", "Heartbeat", {})
    waiter = Waiter(talk.journal, lambda: not talk.journal.unanswered())
    talk.journal.excuse("CP_1", "1")
    waiter.is_told()


# Of a real server


def test_the_frames_of_a_server():
    journal, threads, calls = Journal(), 4, 25
    server = Server(profiles=v16.PROFILES, timeout=seconds(10))
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    server.add_observer(journal.add_frame)
    server.set_new_client_handler(lambda client_id: journal.add_event("CONNECTED", client_id))
    server.set_disconnected_client_handler(
        lambda client_id, close: journal.add_event("DISCONNECTED", client_id, close=close)
    )
    names = [f"CP_{number}" for number in range(threads)]

    def charge(name):
        for _ in range(2):
            client = Client(name, profiles=v16.PROFILES, timeout=seconds(10))
            client.on(v16.ClearCacheRequest)(lambda request: v16.ClearCacheResponse(status="Accepted"))
            with client.connect(server.url):
                for _ in range(calls):
                    client.call(HEARTBEAT)
                    server.send_request(name, v16.ClearCacheRequest())
                eventually(lambda: len([e for e in journal.entries(name) if e.is_answer]) % (2 * calls) == 0)

    with server.listen(port=0, host="127.0.0.1"):
        workers = [threading.Thread(target=charge, args=(name,)) for name in names]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(seconds(60))
        eventually(lambda: kinds(journal).count("DISCONNECTED") == 2 * threads)
    assert not [fault for seen in journal.entries() for fault in seen.faults]
    assert not journal.unanswered()
    assert sorted(journal.client_ids()) == names
    assert [seen.number for seen in journal.entries()] == list(range(1, len(journal.entries()) + 1))
    for name in names:
        assert kinds(journal, name).count("CONNECTED") == 2
        assert kinds(journal, name)[0] == "CONNECTED"
        assert kinds(journal, name).count("CALL") == kinds(journal, name).count("RESULT") == 4 * calls
        assert not journal.is_connected(name)


@pytest.mark.parametrize("seed", [1, 2])
def test_lost_connections_and_timeouts_are_no_faults(transport, seed):
    """Both sides ask at any time. Connections are cut, and some handlers take longer than the other side waits."""
    chance, patience = random.Random(seed), seconds(0.1)
    journals = [Journal(make_judge=lambda version: FrameJudge(version, call_timeout=0.5 * patience)) for _ in range(2)]
    server = Server(profiles=v16.PROFILES, ws_server=transport.server(), timeout=patience)
    backoff = Backoff(0.01, 0.01, 1)
    client = Client(
        "CP_1", profiles=v16.PROFILES, ws_client=transport.client(backoff=backoff), timeout=patience, reconnect=True
    )
    pause = threading.Event()

    def handle(*arguments):
        choice = chance.random()
        pause.wait(1.5 * patience if choice < 0.05 else 0.1 * patience if choice < 0.3 else 0)
        if choice > 0.9:
            raise OCPPError(ErrorCode.INTERNAL_ERROR, "no")
        return v16.DataTransferResponse(status="Accepted")

    def ask(call):
        for number in range(80):
            with suppress(OcppjError):
                call(v16.DataTransferRequest(vendor_id="V", data=str(number)))
                continue
            pause.wait(0.01)

    for endpoint, journal in zip((server, client), journals):
        endpoint.add_observer(journal.add_frame)
        endpoint.on(v16.DataTransferRequest)(handle)
    with server.listen(port=0, host="127.0.0.1"), client.connect(server.url):
        threads = [threading.Thread(target=ask, args=(client.call,)) for _ in range(2)]
        threads.append(threading.Thread(target=ask, args=(partial(server.call, "CP_1"),)))
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            pause.wait(patience * chance.random())
            with suppress(OcppjError):
                server.abort("CP_1") if chance.random() < 0.5 else client.abort()
        for thread in threads:
            thread.join(seconds(30))
    for journal in journals:
        assert len(journal.entries()) > 100
        assert len({seen.connection for seen in journal.entries()}) > 3
        assert not [(seen.text, seen.faults) for seen in journal.entries() if seen.faults]
