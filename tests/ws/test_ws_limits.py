"""The limits of a server: the rules with time as an argument, then every transport, then raw sockets."""

import threading
import time

import pytest

from ocppj.errors import HandshakeRefused, TransportError, UsageError
from ocppj.ws.handshake.http import BadRequest
from ocppj.ws.limits import (
    AttemptRateLimit,
    BucketsByKey,
    ConnectionLimits,
    Handshake,
    Handshakes,
    TokenBucket,
    source_of,
)
from ocppj.ws.memory import MemoryServer
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder, eventually, seconds
from tests.inside.sockets import limits_of
from tests.inside.transports import waiting_handshakes
from tests.peers import Memory, Sockets
from tests.ws.support import OCPP, PATH, RawClient, Tls, close_frame, frame, open_files, request, server_context
from tests.ws.test_contract import refused


def status(head):
    return int(head.split()[1])


def retry_after(head):
    return next(int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("retry-after"))


# Rules --------------------------------------------------------------------------------------------------------------


def test_a_bucket_allows_a_burst_and_then_the_rate():
    bucket = TokenBucket(rate=10, burst=3, now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(100.25) for _ in range(3)] == [True, True, False]
    assert bucket.take(100.36)  # what was left of the quarter second counts
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_never_counts_time_twice():
    bucket = TokenBucket(rate=1, burst=1, now=10.0)
    assert bucket.take(10.0)
    assert not bucket.take(9.0)
    assert not bucket.take(10.5)
    assert bucket.take(11.0)


def test_a_thousand_attempts_a_second_pass_by_default():
    attempts = AttemptRateLimit(2000, 0.0)
    assert all(attempts.take(number / 1000) is None for number in range(10_000))


def test_attempts_are_reported_once_a_second_and_all_of_them():
    attempts = AttemptRateLimit(1, 0.0)
    assert attempts.take(0.0) is None
    refusal = attempts.take(0.0)
    assert (refusal.status, refusal.kind) == (503, "max_attempts_per_second")
    assert 1 <= int(dict(refusal.headers)["Retry-After"]) <= 10
    assert attempts.report(0.0) == 1
    for _ in range(5):
        assert attempts.take(0.5) is not None
        assert attempts.report(0.5) == 0
    assert attempts.report(1.0) == 5
    assert attempts.report(5.0) == 0
    attempts.take(1.0), attempts.take(1.0)
    assert attempts.report(1.1) == 0
    assert attempts.report(1.1, last=True) == 1


def test_one_source_does_not_use_up_the_attempts_of_others():
    attempts = AttemptRateLimit(100, 0.0, 10)
    kinds = [attempts.take(0.0, "192.0.2.1") for _ in range(50)]
    assert kinds[:10] == [None] * 10
    assert {each.kind for each in kinds[10:]} == {"max_attempts_per_second_per_address"}
    assert attempts.report(0.0) == 40
    assert [attempts.take(0.0, f"192.0.2.{number}") for number in range(2, 92)] == [None] * 90
    assert attempts.take(0.0, "192.0.2.200").kind == "max_attempts_per_second"
    assert attempts.take(0.1, "192.0.2.1") is None


def test_the_sources_that_are_remembered_are_bounded():
    buckets = BucketsByKey(1.0, 1.0, 100)
    assert buckets.get("first", 0.0).take(0.0)
    for number in range(1000):
        assert not buckets.get("first", 0.0).take(0.0), "what is asked for stays"
        buckets.get(str(number), 0.0)
    assert len(buckets) == 100


def test_no_limit_of_attempts():
    attempts = AttemptRateLimit(None, 0.0)
    assert all(attempts.take(0.0) is None for _ in range(10_000))


@pytest.mark.parametrize(
    ("total", "per_source", "now", "kind"),
    [
        (2, None, (1, 1), None),
        (2, None, (2, 0), "max_connections"),
        (None, 2, (99, 1), None),
        (None, 2, (99, 2), "max_connections_per_address"),
        (None, None, (10**6, 10**6), None),
    ],
)
def test_connections_are_limited_in_all_and_by_address(total, per_source, now, kind):
    checks = ConnectionLimits(total, per_source)
    if kind is None:
        checks.check(*now)
        return
    with pytest.raises(BadRequest) as caught:
        checks.check(*now)
    assert (caught.value.status, caught.value.kind) == (503, kind)
    assert dict(caught.value.headers)["Retry-After"] == "60"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7:1234", "192.0.2.7"),
        ("[2001:db8:1:2:3:4:5:6]:1234", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:1", "2001:db8:1:2::/64"),
        ("[fe80::1%eth0]:1", "fe80::/64"),
        ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ("[::1]:1", "::/64"),
        ("memory", "memory"),
    ],
)
def test_what_counts_as_one_address(address, source):
    assert source_of(address) == source


def begun(table, *starts, host="192.0.2.1"):
    made = []
    for number, start in enumerate(starts):
        handshake = Handshake(Recorder(), f"{host}:{number}")
        handshake.waiting_since = start
        table.add(handshake)
        made.append(handshake)
    return made


def test_the_oldest_that_waits_for_its_peer_gives_way():
    table = Handshakes(3)
    young, old = begun(table, 8.9, 9.0, host="192.0.2.9")
    (oldest,) = begun(table, 8.5)
    young.waiting_since = None  # it does not wait for its peer any more
    assert table.make_room("192.0.2.2", 10.0) is old  # its address has more
    assert old.cut_for == "max_handshakes"
    assert len(table) == 2
    assert table.make_room("192.0.2.2", 10.0) is None
    begun(table, None, host="192.0.2.3")
    assert table.make_room("192.0.2.2", 10.0) is oldest


def test_a_young_handshake_gives_way_only_to_an_address_that_has_few():
    table = Handshakes(4)
    many = begun(table, 10.0, 10.0, 10.0, 10.0)
    with pytest.raises(BadRequest) as caught:
        table.make_room("192.0.2.1", 10.5)
    assert (caught.value.status, caught.value.kind) == (503, "max_handshakes")
    assert table.make_room("192.0.2.2", 10.5) is many[0]
    begun(table, 10.0, host="192.0.2.2")
    with pytest.raises(BadRequest):
        table.make_room("192.0.2.2", 10.5)  # three here, two there
    assert table.make_room("192.0.2.1", 11.0) is many[1]


def test_a_refused_handshake_that_lingers_does_not_hide_one_that_has_waited_longer():
    table = Handshakes(3)
    refused_, old, young = begun(table, 1.0, 2.0, 9.5)
    refused_.waiting_since = None
    table.wait_again(refused_, 9.7)
    assert table.make_room("192.0.2.1", 10.0) is old
    table.wait_again(old, 10.0)  # whose thread does not know yet that it was cut
    assert list(table) == [young, refused_]
    assert len(table) == 2


def test_handshakes_without_a_limit_and_forgotten_twice():
    table = Handshakes()
    one, two = begun(table, 1.0, 2.0)
    assert table.make_room("192.0.2.1", 100.0) is None
    table.discard(one)
    table.discard(one)
    assert list(table) == [two]
    table.discard(two)
    assert (len(table), list(table)) == (0, [])


OPTIONS = [
    "max_connections",
    "max_connections_per_address",
    "max_attempts_per_second",
    "max_attempts_per_second_per_address",
    "idle_timeout",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_limits_that_cannot_be(pair, option):
    for value in (0, -1, float("nan")):
        with pytest.raises(UsageError, match=option):
            pair.server(listen=False, **{option: value})
    pair.server(listen=False, **{option: None})


# Every transport ----------------------------------------------------------------------------------------------------


def test_the_defaults_let_eight_thousand_of_one_address_in():
    connections, attempts = limits_of(WebSocketServer())
    connections.check(7_999, 7_999)
    now = time.monotonic()
    assert all(attempts.take(now + number / 2000) is None for number in range(8000))


def test_connections_of_one_address(pair):
    server, log = pair.server(max_connections_per_address=2)
    first, _ = pair.client(server.url, "CP_1")
    pair.client(server.url, "CP_2")
    with pytest.raises(HandshakeRefused) as caught:
        pair.client(server.url, "CP_3")
    assert caught.value.status == 503
    pair.client(server.url, "CP_2")  # in place of its old one
    first.stop()
    eventually(lambda: server.stats().connections == 1)
    pair.client(server.url, "CP_3")
    stats = server.stats()
    assert (stats.connections, stats.accepted) == (2, 4)
    assert stats.refused == {"max_connections_per_address": 1}
    assert stats.closed == {"by_peer": 1, "by_us": 1}


CROWD = 12


class Together:
    """A server whose clients all pass the early check of the limits before the first one is registered."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.together = threading.Barrier(CROWD)

    def make_channel(self, *arguments):  # comes between the two
        self.together.wait(seconds(10))
        return super().make_channel(*arguments)


class ServerTogether(Together, WebSocketServer):
    pass


class MemoryServerTogether(Together, MemoryServer):
    pass


class SocketsTogether(Sockets):
    def server(self, **options):
        return ServerTogether(**options)


class TlsTogether(Tls):
    def server(self, **options):
        return ServerTogether(ssl_context=server_context(), **options)


class MemoryTogether(Memory):
    def server(self, **options):
        return MemoryServerTogether(self.network, **options)


TOGETHER = [SocketsTogether, TlsTogether, MemoryTogether]


@pytest.mark.parametrize("pair", TOGETHER, indirect=True, ids=lambda transport: transport.name)
def test_a_full_server_is_never_fuller_however_many_come_at_once(pair):
    server, log = pair.server(max_connections=3)
    outcomes = Recorder()

    def connect(number):
        try:
            pair.client(server.url, f"CP_{number}")
            outcomes("connected")
        except TransportError as error:
            outcomes(error.status)

    threads = [threading.Thread(target=connect, args=(number,)) for number in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(20))
    assert sorted(map(str, (each for (each,) in outcomes.wait(CROWD)))) == ["503"] * 9 + ["connected"] * 3
    assert server.stats().connections == 3
    assert server.stats().refused == {"max_connections": 9}


def test_an_identity_that_comes_again_finds_its_place_in_a_full_server(pair):
    server, log = pair.server(max_connections=1)
    pair.client(server.url, "CP_1")
    pair.client(server.url, "CP_1")
    assert server.stats().accepted == 2
    with pytest.raises(HandshakeRefused):
        pair.client(server.url, "CP_2")


def test_attempts_beyond_the_rate(pair, caplog):
    server, _ = pair.server(max_attempts_per_second=0.001)
    pair.client(server.url, "CP_1")
    for number in range(3):
        if pair.name == "tls":  # closed at once
            with pytest.raises(TransportError):
                pair.client(server.url, f"CP_2{number}")
        else:
            assert refused(pair, server) == 503
    assert server.stats().refused == {"max_attempts_per_second": 3}
    server.stop()
    lines = [record.getMessage() for record in caplog.records if "attempts to connect" in record.getMessage()]
    assert sum(int(line.split()[0]) for line in lines) == 3
    assert len(lines) <= 3
    server.listen(0, PATH, "127.0.0.1", OCPP)
    assert server.stats().refused == {"max_attempts_per_second": 3}  # counts outlive stop()


def test_attempts_of_one_address_beyond_its_rate(make):
    server, _ = make(max_attempts_per_second_per_address=0.001)
    with RawClient(server.url) as first, RawClient(server.url) as second:
        assert status(first.upgrade()) == 101
        assert status(second.read_head()) == 503
    assert server.stats().refused == {"max_attempts_per_second_per_address": 1}


def test_a_peer_that_says_nothing_at_all_is_given_up(pair, caplog):
    server, log = pair.server(idle_timeout=seconds(0.3), ping_interval=None)
    _, client_log = pair.client(server.url, "CP_1", ping_interval=None)
    close = log.close()
    assert (close.code, close.by_peer, close.expected) == (1008, False, False)
    assert "idle" in close.reason
    assert client_log.close().code == 1008
    eventually(lambda: server.stats().connections == 0)
    assert server.stats().refused == {"idle_timeout": 1}
    assert server.stats().closed == {"refused": 1}
    assert [record.levelname for record in caplog.records if "idle timeout" in record.getMessage()][:1] == ["WARNING"]


@pytest.mark.parametrize("life", ["pings", "messages"])
def test_pongs_and_messages_are_life(pair, life):
    server, log = pair.server(idle_timeout=seconds(1.5), ping_interval=seconds(0.1) if life == "pings" else None)
    client, _ = pair.client(server.url, "CP_1", ping_interval=None)
    channel = log.channel()
    for _ in range(18):
        assert not channel.ended.wait(seconds(0.1))
        if life == "messages":
            client.send("x")
    assert server.stats().refused == {}


def test_an_idle_peer_that_does_not_answer_our_close_is_cut(make):
    server, log = make(idle_timeout=seconds(0.2), ping_interval=None)
    with RawClient(server.url) as client:
        assert status(client.upgrade()) == 101
        assert client.read_close() == 1008
        assert client.at_end()
    assert log.close().code == 1008


# Raw sockets --------------------------------------------------------------------------------------------------------


def test_the_answer_to_one_too_many_arrives(make):
    server, _ = make(max_attempts_per_second=0.001)
    with RawClient(server.url) as first:
        assert status(first.upgrade()) == 101
        for size in (0, 10, 200_000):  # what the peer has sent, and we never read, does not destroy the answer
            with RawClient(server.url) as client:
                client.send(request() + b"x" * size)
                head = client.read_head()
                assert status(head) == 503
                assert 1 <= retry_after(head) <= 10
                assert client.at_end()
        first.send(frame(1, b"still here"))
    eventually(lambda: server.stats().connections == 0)
    assert server.stats().refused == {"max_attempts_per_second": 3}


def handshakes():
    return [each for each in threading.enumerate() if each.name.startswith("ocppj-handshake")]


def test_refused_connections_cost_no_thread_and_do_not_linger(make):
    server, _ = make(max_attempts_per_second=0.001)
    with RawClient(server.url) as first:
        first.upgrade()
        eventually(lambda: not handshakes())
        files = open_files()
        silent = [RawClient(server.url) for _ in range(300)]
        for client in silent:
            assert status(client.read_head()) == 503
        assert not handshakes()
        eventually(lambda: open_files() <= files + 300)  # ours, and none of the server's
        for client in silent:
            client.sock.close()


def test_refusing_does_not_keep_the_server_from_stopping(make):
    server, _ = make(max_attempts_per_second=0.001)
    clients = [RawClient(server.url) for _ in range(5)]
    for client in clients[1:]:
        assert status(client.read_head()) == 503
    server.stop()
    for client in clients:
        assert client.at_end()
        client.sock.close()


def test_too_many_handshakes_are_refused_with_503(make, caplog):
    server, log = make(max_handshakes=2, patience=seconds(1000))
    slow = [RawClient(server.url) for _ in range(2)]
    eventually(lambda: server.stats().handshakes == 2)
    with RawClient(server.url) as client:
        assert status(client.upgrade()) == 503
        assert client.at_end()
    assert "2 handshakes are in progress" in caplog.text
    assert server.stats().refused == {"max_handshakes": 1}
    assert status(slow[0].upgrade("/ocpp/CP_1")) == 101
    eventually(lambda: server.stats().handshakes == 1)
    with RawClient(server.url) as client:
        assert status(client.upgrade("/ocpp/CP_2")) == 101
    for client in slow:
        client.sock.close()


def test_a_silent_handshake_gives_way_and_is_logged(make, caplog):
    server, log = make(max_handshakes=2, patience=0.0)
    with RawClient(server.url) as oldest, RawClient(server.url) as older:
        eventually(lambda: waiting_handshakes(server) == 2)
        with RawClient(server.url) as good:
            assert status(good.upgrade()) == 101
            assert oldest.at_end()
            assert status(older.upgrade("/ocpp/CP_2")) == 101
    eventually(lambda: "cut for a newer one" in caplog.text)
    assert server.stats().refused == {"max_handshakes": 1}


def test_a_handshake_never_gives_way_after_its_request(make):
    server, log = make(max_handshakes=1, patience=0.0)
    asked, go = threading.Event(), threading.Event()
    server.set_check_client_handler(lambda request: asked.set() or go.wait(seconds(10)))
    with RawClient(server.url) as slow:
        slow.send(request())
        assert asked.wait(seconds(10))
        with RawClient(server.url) as late:
            assert status(late.upgrade()) == 503
        go.set()
        assert status(slow.read_head()) == 101


@pytest.mark.parametrize("answer", ["404 ", "101 "])
def test_a_refused_peer_that_stays_connected_gives_way(make, answer):
    server, log = make(max_handshakes=2, close_timeout=seconds(20), patience=0.0, linger=seconds(20))
    soap = {"Sec_WebSocket_Protocol": "soap"} if answer == "101 " else {}
    with RawClient(server.url) as one, RawClient(server.url) as other:
        for client in (one, other):
            assert answer in client.upgrade("/ocpp/CP_0" if soap else "/nowhere", **soap)
        eventually(lambda: waiting_handshakes(server) == 2)
        with RawClient(server.url) as good:
            assert status(good.upgrade()) == 101
        assert one.at_end()
    reason = "no_subprotocol" if soap else "unknown_path"
    assert server.stats().refused == {reason: 2}, "and counted once"
    eventually(lambda: server.stats().handshakes == 0)


def test_over_tls_connections_beyond_a_limit_are_closed(make):
    server, _ = make(ssl_context=server_context(), max_attempts_per_second=0.001)
    with RawClient(server.url), RawClient(server.url) as client:
        assert client.at_end()
        assert client.buffer == b""
    assert server.stats().refused["max_attempts_per_second"] == 1


def test_our_own_close_and_the_peers_are_counted_apart(make):
    server, log = make()
    with RawClient(server.url) as one, RawClient(server.url) as two, RawClient(server.url) as three:
        for number, client in enumerate((one, two, three)):
            assert status(client.upgrade(f"/ocpp/CP_{number}")) == 101
        one.send(close_frame(1000))
        assert one.at_end()
        server.get_channel("CP_1").close()
        two.read_close()
        two.send(close_frame(1000))
        three.sock.close()
        eventually(lambda: server.stats().connections == 0)
    assert server.stats().closed == {"by_peer": 1, "by_us": 1, "lost": 1}
    assert server.stats().accepted == 3
