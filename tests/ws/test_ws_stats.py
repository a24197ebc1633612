"""What a server counts, and that every refusal has its own name."""

import dataclasses
import json
import os
import random
import socket
import ssl
import struct
import threading
from collections import Counter

import pytest

from ocppj.errors import TransportError
from ocppj.ws import stats as stats_module
from ocppj.ws.base import Close
from ocppj.ws.connection.keepalive import PeerSilent
from ocppj.ws.connection.wire import Violation
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.server import WebSocketServer
from ocppj.ws.stats import Stats, Tally, judge_close
from ocppj.ws.stream.stream import MemoryLimit
from tests.helpers import eventually, seconds
from tests.inside.sockets import sources_of
from tests.inside.transports import run_of
from tests.ws.support import OCPP, PATH, RawClient, close_frame, frame, request, server_context


def test_a_snapshot_is_frozen_and_stays_as_it_was():
    tally = Tally()
    tally.accept()
    tally.refuse("queue_full", 3)
    tally.close("refused", "idle_timeout")
    before = tally.snapshot(1, 2)
    tally.refuse("queue_full")
    assert before == Stats(1, 2, 1, {"queue_full": 3, "idle_timeout": 1}, {"refused": 1})
    assert tally.snapshot(0, 0).refused["queue_full"] == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.accepted = 7
    before.refused.clear()  # a copy of the caller
    assert tally.snapshot(0, 0).refused["idle_timeout"] == 1
    assert Stats() == Stats(0, 0, 0, {}, {})


def test_a_stats_page_can_write_them_as_json():
    tally = Tally()
    tally.refuse("tls")
    text = json.dumps(dataclasses.asdict(tally.snapshot(1, 2)))
    page = json.loads(text)
    assert page["refused"] == {"tls": 1}
    assert [page[name] for name in ("connections", "handshakes", "accepted")] == [1, 2, 0]
    assert page["closed"] == page["held"] == page["probes"] == {}


def test_counts_of_many_threads():
    tally = Tally()
    threads = [threading.Thread(target=lambda: [tally.refuse("tls") for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.snapshot(0, 0).refused == {"tls": 16_000}


def broken(code, kind=None):
    error = TransportError("the peer broke the rules")
    error.__cause__ = Violation(code, "", kind)
    return error


def too_much_unsent():
    error = TransportError("cut")
    error.__cause__ = MemoryLimit("too much")
    return error


@pytest.mark.parametrize(
    ("close", "counted"),
    [
        (Close(1000, by_peer=True), ("by_peer", None)),
        (Close(1001), ("by_us", None)),
        (Close(1006, error=TransportError("lost")), ("lost", None)),
        (Close(1006, error=PeerSilent("", "ping_timeout")), ("refused", "ping_timeout")),
        (Close(1008, error=PeerSilent("", "idle_timeout")), ("refused", "idle_timeout")),
        (Close(1009, error=broken(1009)), ("refused", "message_too_big")),
        (Close(1002, error=broken(1002)), ("refused", "protocol_error")),
        (Close(1008, error=broken(1008, "message_timeout")), ("refused", "message_timeout")),
        (Close(1013, error=broken(1013, "memory")), ("refused", "memory")),
        (Close(1006, error=too_much_unsent()), ("refused", "memory")),
        (Close(1009, by_peer=True), ("by_peer", None)),
    ],
)
def test_what_an_end_counts_as(close, counted):
    assert judge_close(close) == counted


def no_handlers(server):
    pass


def strict(server):
    server.set_check_origin_handler(lambda origin: origin is None)
    server.set_check_client_handler(lambda request: request.identity == "CP_1")
    server.set_basic_auth_handler(lambda identity, password: False)


def failing(server):
    server.set_check_client_handler(lambda request: 1 / 0)


REFUSED = [
    (no_handlers, {}, b"\x16\x03\x01\r\n\r\n", "bad_request"),
    (no_handlers, {}, request(Upgrade=""), "bad_request"),
    (no_handlers, {}, request(X="y" * 20000), "bad_request"),
    (no_handlers, {}, request("/ocpp/"), "bad_request"),
    (no_handlers, {}, request("/other/CP_1"), "unknown_path"),
    (strict, {}, request(Origin="x"), "origin"),
    (strict, {}, request("/ocpp/CP_2"), "unknown_client"),
    (strict, {}, request(), "bad_credentials"),
    (failing, {}, request(), "internal_error"),
    (no_handlers, {}, request(Sec_WebSocket_Protocol="ocpp9"), "no_subprotocol"),
    (no_handlers, {"no_subprotocol": "reject"}, request(Sec_WebSocket_Protocol="ocpp9"), "no_subprotocol"),
    (no_handlers, {"handshake_timeout": seconds(0.2)}, b"GET", "handshake_timeout"),
    (no_handlers, {"handshake_timeout": seconds(0.2)}, b"", "handshake_timeout"),
    (no_handlers, {"ssl_context": server_context()}, b"GET / HTTP/1.1\r\n\r\n", "tls"),
    (no_handlers, {"ssl_context": server_context(), "handshake_timeout": seconds(0.2)}, b"", "handshake_timeout"),
]


@pytest.mark.parametrize(("set_up", "options", "data", "reason"), REFUSED)
def test_a_refused_handshake_is_counted_by_its_reason_and_logged_once(make, caplog, set_up, options, data, reason):
    server, log = make(**options)
    set_up(server)
    with RawClient(server.url) as client:
        client.send(data)
        if reason == "no_subprotocol" and not options:
            client.read_head()
            assert client.read_close() == 1002
        else:
            assert client.at_end()
    eventually(lambda: server.stats().refused and server.stats().handshakes == 0)
    assert server.stats() == Stats(refused={reason: 1})
    assert log.connected.calls == []
    lines = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 1, [record.getMessage() for record in lines]


@pytest.mark.parametrize("readers", ["per-connection", "shared"])
def test_a_message_that_does_not_end_is_counted(make, readers):
    server, _ = make(message_timeout=0.1, readers=readers)
    with RawClient(server.url) as client:
        client.upgrade()
        client.send(frame(1, b"a" * 1000, fin=False))
        eventually(lambda: server.stats().held == {"unfinished": 1000})
        assert client.read_close() == 1008
    eventually(lambda: server.stats().connections == 0)
    assert (server.stats().refused, server.stats().held) == ({"message_timeout": 1}, {})


@pytest.mark.parametrize("readers", ["per-connection", "shared"])
def test_unfinished_messages_of_all_have_one_limit(make, readers):
    server, _ = make(max_memory_bytes=150_000, readers=readers)
    with RawClient(server.url) as first, RawClient(server.url) as second:
        first.upgrade("/ocpp/CP_1")
        first.send(frame(1, b"a" * 100_000, fin=False))
        eventually(lambda: server.stats().held == {"unfinished": 100_000})
        second.upgrade("/ocpp/CP_2")
        second.send(frame(1, b"a" * 100_000, fin=False))
        assert second.read_close() == 1013
        eventually(lambda: server.stats().refused == {"memory": 1})
        first.send(frame(0, b"b"))
        eventually(lambda: server.stats().held == {})


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_peers_that_go_during_the_handshake(make, tls):
    server, _ = make(ssl_context=server_context() if tls else None)
    with RawClient(server.url) as client:
        client.send(b"\x16\x03\x01" if tls else b"GET /")
        eventually(lambda: server.stats().handshakes == 1)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_end()
    eventually(lambda: server.stats().refused)
    assert (server.stats().refused, server.stats().probes) == ({"abandoned": 1}, {})


@pytest.mark.parametrize("end", ["end", "reset"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_peer_that_says_nothing_is_no_refusal(make, tls, end, caplog):
    caplog.set_level("DEBUG", "ocppj")
    server, _ = make(ssl_context=server_context() if tls else None)
    with RawClient(server.url) as client:
        eventually(lambda: server.stats().handshakes == 1)
        if end == "reset":
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: server.stats().probes == {"silent": 1})
    assert server.stats().refused == {}
    assert [(record.levelname, record.name) for record in caplog.records] == [("DEBUG", "ocppj.ws")]
    assert caplog.records[0].getMessage().endswith(": the connection was ended before anything came")


def test_one_that_is_gone_when_it_is_accepted(make, caplog):
    context = server_context()
    server, _ = make(ssl_context=context)

    def wrap_socket(*_, **__):
        raise ssl.SSLError("Closed before TLS handshake with data in recv buffer.")

    context.wrap_socket = wrap_socket
    with RawClient(server.url) as client:
        assert client.at_end()
    eventually(lambda: server.stats().refused == {"abandoned": 1})
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "gone when it was accepted: ('Closed before TLS handshake with data in recv buffer.',)"
    ]


HUGE = "y" * 15_000


@pytest.mark.parametrize(
    "data",
    [
        request(f"/{HUGE}"),
        request(f"/ocpp/{HUGE}"),
        request(Sec_WebSocket_Protocol=HUGE),
        request(Origin=HUGE),
        request(Upgrade=HUGE),
        request(Authorization="Basic " + HUGE),
    ],
    ids=["path", "identity", "subprotocol", "origin", "upgrade", "credentials"],
)
@pytest.mark.parametrize("set_up", [no_handlers, strict])
def test_a_client_cannot_fill_our_log(make, caplog, set_up, data):
    server, _ = make()
    set_up(server)
    with RawClient(server.url) as client:
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
        client.at_end()
    eventually(lambda: not server.stats().handshakes)
    assert all(len(record.getMessage()) < 400 for record in caplog.records)


def test_duplicates(make):
    server, _ = make(duplicates="reject")
    with RawClient(server.url) as one, RawClient(server.url) as other:
        assert " 101 " in one.upgrade()
        assert " 409 " in other.upgrade()
    eventually(lambda: server.stats().connections == 0)
    assert server.stats().refused == {"duplicate": 1}


def test_handshakes_that_stop_cuts(make, caplog):
    server, _ = make()
    clients = [RawClient(server.url) for _ in range(3)]
    eventually(lambda: server.stats().handshakes == 3)
    server.stop()
    assert server.stats() == Stats(refused={"stopping": 3})
    assert caplog.text.count("the server is stopping") == 3
    for client in clients:
        client.sock.close()


def test_no_thread_for_a_handshake(make, monkeypatch):
    server, _ = make()
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("ocppj-handshake"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with RawClient(server.url) as client:
        assert client.at_end()
    eventually(lambda: server.stats().refused == {"out_of_resources": 1})
    assert server.stats().handshakes == 0


@pytest.mark.parametrize(
    ("options", "data", "reason"),
    [
        ({"max_message_size": 100}, frame(1, b"x" * 101), "message_too_big"),
        ({}, frame(2, b"binary"), "protocol_error"),
        ({}, frame(1, b"\xff"), "protocol_error"),
        ({"ping_interval": seconds(0.05), "pong_timeout": seconds(0.1)}, b"", "ping_timeout"),
        ({"idle_timeout": seconds(0.1), "ping_interval": None}, b"", "idle_timeout"),
    ],
)
def test_a_connection_that_is_ended_for_a_limit_is_counted_and_logged_once(make, caplog, options, data, reason):
    server, _ = make(**options)
    with RawClient(server.url) as client:
        assert " 101 " in client.upgrade()
        client.send(data)
        assert client.at_end()
        eventually(lambda: server.stats().connections == 0)
    assert server.stats() == Stats(accepted=1, refused={reason: 1}, closed={"refused": 1})
    lines = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) == 1, [record.getMessage() for record in lines]


def test_counts_outlive_stop_and_sum_up(make):
    server, _ = make()
    for round_ in (1, 2, 3):
        clients = [RawClient(server.url) for _ in range(4)]
        for number, client in enumerate(clients):
            assert " 101 " in client.upgrade(f"/ocpp/CP_{number}")
        assert server.stats().connections == 4
        server.stop()
        stats = server.stats()
        assert (stats.connections, stats.accepted, sum(stats.closed.values())) == (0, 4 * round_, 4 * round_)
        for client in clients:
            client.sock.close()
        server.listen(0, PATH, "127.0.0.1", OCPP)


def test_before_listening_and_reasons_of_ones_own():
    for server in (WebSocketServer(), MemoryNetwork().server()):
        assert server.stats() == Stats()
        server.count_refusal("queue_full")
        server.count_refusal("queue_full", 2)
        assert server.stats().refused == {"queue_full": 3}


def test_every_reason_is_documented():
    for reason in {reason for *_, reason in REFUSED} | {"abandoned", "duplicate", "stopping", "out_of_resources"}:
        assert f"\n{reason} " in stats_module.__doc__, reason


class Visitor:
    """Connections that end in every way, by chance; ``refused`` and ``accepted`` are what each should count as."""

    def __init__(self, server, seed, identity):
        self.server, self.chance, self.identity = server, random.Random(seed), identity
        self.refused, self.accepted = Counter(), 0

    def visit(self, times):
        for _ in range(times):
            with RawClient(self.server.url) as self.client:
                self.chance.choice(self.WAYS)(self)

    def turned_away(self):
        data, reason = self.chance.choice(self.BAD)
        self.client.send(data)
        self.refused[reason] += 1
        if self.chance.random() < 0.5:
            self.client.sock.shutdown(socket.SHUT_WR)
        self.client.at_end()
        if self.chance.random() < 0.5:
            self.reset()

    def reset(self):
        """Have the end of the connection be a reset."""
        self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def early(self):
        self.client.send(request()[: self.chance.randrange(1, 100)])
        self.refused["abandoned"] += 1
        self.client.sock.shutdown(socket.SHUT_WR)
        self.client.at_end()

    def come_in(self):
        assert " 101 " in self.client.upgrade(f"/ocpp/{self.identity}")
        self.accepted += 1
        what = self.chance.choice(["close", "end", "reset", "again", "binary", "big", "kicked"])
        if what == "reset":
            self.reset()
            return
        if what == "close":
            self.client.send(close_frame(1000))
        elif what == "again":
            before, self.client = self.client, RawClient(self.server.url)
            with before, self.client:
                self.come_in()
            return
        elif what == "binary":
            self.client.send(frame(2, b"x"))
            self.refused["protocol_error"] += 1
        elif what == "big":
            self.client.send(frame(1, b"x" * 2000))
            self.refused["message_too_big"] += 1
        elif what == "kicked":
            self.server.get_channel(self.identity).close(1000)
            self.client.read_close()
            self.client.send(close_frame(1000))
        elif what == "end":
            self.client.sock.shutdown(socket.SHUT_WR)
        self.client.at_end()

    BAD = (
        (request("/nowhere/X"), "unknown_path"),
        (request("/ocpp/unknown"), "unknown_client"),
        (request("/ocpp/CP", Origin="evil"), "origin"),
        (request("/ocpp/CP", Upgrade=""), "bad_request"),
        (request("/ocpp/CP", X="y" * 17000), "bad_request"),
        (b"\0\r\n\r\n", "bad_request"),
        (request("/ocpp/CP", Sec_WebSocket_Protocol="soap"), "no_subprotocol"),
        (request("/ocpp/broken"), "internal_error"),
    )
    WAYS = (turned_away, turned_away, early, come_in, come_in)


def check_client(asked):
    if asked.identity == "broken":
        raise RuntimeError("broken")
    return asked.identity != "unknown"


VISITS = int(os.environ.get("OCPPJ_STATS_VISITS", "600"))


@pytest.mark.timeout(seconds(60 + VISITS // 20))
@pytest.mark.parametrize("readers", ["per-connection", "shared"])
def test_the_counts_are_what_happened_however_it_ended(make, readers):
    server, log = make(max_message_size=1000, readers=readers, max_attempts_per_second=None)
    server.set_check_client_handler(check_client)
    server.set_check_origin_handler(lambda origin: origin is None)
    visitors = [Visitor(server, number, f"CP_{number}") for number in range(8)]
    threads = [threading.Thread(target=visitor.visit, args=(VISITS // 8,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: not server.stats().connections and not server.stats().handshakes)
    refused = sum((visitor.refused for visitor in visitors), Counter())
    stats = server.stats()
    assert dict(stats.refused) == dict(refused)
    assert stats.accepted == sum(visitor.accepted for visitor in visitors) == len(log.connected.calls)
    assert stats.accepted == sum(stats.closed.values()) == len(log.disconnected.calls)
    run = run_of(server)
    assert not run.by_identity
    assert not run.channels
    assert not run.per_source
    assert not run.newest_arrival
    assert sources_of(run.handshakes) == 0
