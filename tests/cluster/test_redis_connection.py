"""How a `RedisCluster` connects, and that it never sends anything twice."""

import threading
import time
import traceback
from types import SimpleNamespace

import pytest
import redis
import redis.asyncio

from ocppj import ClusterUnavailable, RedisCluster, UsageError
from tests.certificates import authority, stranger
from tests.cluster.redis_nodes import SOON, held_by, nodes, one_server, server, texts  # noqa: F401 - fixtures
from tests.cluster.support import Recording
from tests.helpers import eventually, seconds
from tests.redis_server import MISSING, RedisServer, SlowRedis, must_be_here, needs_redis, program

#: What a user of Redis needs: see docs/cluster.md.
COMMANDS = (
    "+eval +evalsha +xread +xadd +xtrim +xlen +xinfo|stream +hscan +hget +hset +hdel +smembers +sadd +srem +zadd +zrem "
    "+zscore +zrange +zrangebyscore +del +time +ping +publish +subscribe +pubsub|numsub"
)
USERS = {"default": "off", "app": f"on >a-secret resetchannels ~{{depot}}:* &{{depot}}:* -@all {COMMANDS}"}


def test_there_is_a_redis_server_in_ci():
    assert program() or not must_be_here(), MISSING


def test_the_package_redis_is_missing(monkeypatch):
    monkeypatch.setattr("ocppj.cluster.redis.connection.redis", None)
    with pytest.raises(UsageError, match=r"pip install 'ocppj\[redis\]'"):
        RedisCluster()


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://localhost"},
        {"url": ""},
        {"prefix": ""},
        {"prefix": "{ocppj}"},
        {"leese": 3},
        {"ssl_ca_certs": "ca.pem"},
        {"socket_timeout": 3},
        {"retry_on_timeout": True},
        {"client": redis.asyncio.Redis()},
        {"lease": 0},
        {"max_inbox": 0},
        {"timeout": 0},
        {"client": "localhost"},
        {"client": redis.Redis(), "username": "app"},
    ],
)
def test_options_that_cannot_be_used(options):
    with pytest.raises(UsageError):
        RedisCluster(**options)


def test_an_option_that_is_not_known_is_named():
    with pytest.raises(UsageError, match="leese"):
        RedisCluster(leese=3)
    with pytest.raises(UsageError, match="socket_timeout"):
        RedisCluster(socket_timeout=3)


def test_a_client_of_another_package_is_refused():
    """Such as valkey: its errors are of classes of its own, which nobody here knows."""
    pool = redis.ConnectionPool(connection_class=SimpleNamespace)
    with pytest.raises(UsageError, match="the package redis is for Valkey, too"):
        RedisCluster(client=redis.Redis(connection_pool=pool))


def test_a_client_may_have_timeouts_of_its_own():
    cluster = RedisCluster(client=redis.Redis(socket_timeout=7, health_check_interval=5))
    assert cluster.links.timeout == 2.0


@needs_redis
def test_why_redis_is_away_is_said():
    with RedisServer(users=USERS) as server:
        options = [
            {"username": "app", "password": "no-secret", "prefix": "depot"},
            {"username": "app", "password": "a-secret", "prefix": "other"},
            {"prefix": "depot"},
        ]
        reasons = ["Authentication|WRONGPASS|invalid username", "NoPerm|no permission", "Authentication required"]
        for given, why in zip(options, reasons):
            cluster = RedisCluster(server.url, **given)
            cluster.join(Recording())
            try:
                with pytest.raises(ClusterUnavailable, match=f"^Redis is away: .*({why})") as raised:
                    cluster.holders()
                assert "-secret" not in str(raised.value)
            finally:
                cluster.leave()


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost:6379", "valkey://:a-secret@localhost"])
def test_a_url_without_a_scheme_of_redis_is_explained(url):
    with pytest.raises(UsageError, match="begins with redis:// or, with TLS, rediss://") as caught:
        RedisCluster(url)
    assert "a-secret" not in str(caught.value)


def test_an_error_does_not_quote_the_password():
    with pytest.raises(UsageError, match="url") as caught:
        RedisCluster("redis://:half/secret@localhost/0")
    text = "".join(traceback.format_exception(type(caught.value), caught.value, None))
    assert "half" not in text
    assert "secret" not in text


@needs_redis
@pytest.mark.parametrize("own_client", [False, True])
def test_tls_and_a_user_with_few_rights(own_client):
    options = {"username": "app", "password": "a-secret", "ssl_ca_certs": str(authority().path)}
    with RedisServer(tls=True, users=USERS) as server:
        client = redis.Redis.from_url(server.url, **options) if own_client else None
        made = [
            RedisCluster(server.url, prefix="depot", client=client, **({} if own_client else options)) for _ in range(2)
        ]
        asking, answering = Recording(), Recording()
        here, there = made
        try:
            here.join(asking)
            there.join(answering)
            seen = Recording()
            subscription = here.subscribe(connected=lambda event: seen.receive("", event.about, 0.0))
            there.claim("CP_1", {"version": "1.6"})
            held_by(here, "CP_1", there)
            assert len(here.holders()) == 1
            here.post("CP_1", {"text": "a call"})
            there.reply(here.node_id, {"text": "an answer"})
            eventually(lambda: texts(answering) == ["a call"] and texts(asking) == ["an answer"], SOON)
            eventually(lambda: there.wants("connected"), SOON)
            there.publish("connected", "CP_1", {"text": "an event"})
            eventually(lambda: texts(seen) == ["an event"], SOON)
            gone = there.node_id
            there.leave()
            eventually(lambda: asking.gone == [gone], SOON)
            subscription.close()
        finally:
            for each in made:
                each.leave()


@needs_redis
@pytest.mark.parametrize(
    "options", [{"username": "app", "password": "wrong"}, {"username": "app", "password": "a-secret"}]
)
def test_wrong_credentials_are_logged_without_them(options, caplog):
    trust = authority() if options["password"] == "wrong" else stranger()
    with RedisServer(tls=True, users=USERS) as server:
        cluster = RedisCluster(server.url, prefix="depot", ssl_ca_certs=str(trust.path), **options)
        cluster.join(Recording())
        try:
            assert not cluster.available
            with pytest.raises(ClusterUnavailable):
                cluster.holders()
        finally:
            cluster.leave()
    assert "cannot reach the cluster" in caplog.text
    assert options["password"] not in caplog.text


@needs_redis
def test_rights_that_are_missing_are_named(caplog):
    with RedisServer(users={"default": "on nopass ~* &* +@all -zadd"}) as server:
        cluster = RedisCluster(server.url)
        cluster.join(Recording())
        cluster.leave()
    assert "can't run this command" in caplog.text or "no permissions" in caplog.text


@needs_redis
@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 3}, {"socket_timeout": None}])
def test_any_client_of_the_program(nodes, server, options):
    member = Recording()
    with server.client(**options) as client:
        here, there = nodes(client=client), nodes(member, client=client)
        there.claim("CP_1", {"ä": "ü"})
        assert here.holder_of("CP_1").about == {"ä": "ü"}
        here.post("CP_1", {"text": "ß"})
        eventually(lambda: texts(member) == ["ß"], SOON)


@needs_redis
def test_redis_on_a_unix_socket(nodes, tmp_path):
    with RedisServer(options=["--unixsocket", str(tmp_path / "r.sock")]) as server:
        url, asking, answering = f"unix://{tmp_path}/r.sock?db=1", Recording(), Recording()
        here, there = (nodes(each, url, timeout=seconds(10)) for each in (asking, answering))
        there.claim("CP_1", {"version": "1.6"})
        held_by(here, "CP_1", there)
        here.post("CP_1", {"text": "a call"}, seconds(5))
        there.reply(here.node_id, {"text": "an answer"})
        eventually(lambda: texts(answering) == ["a call"] and texts(asking) == ["an answer"], SOON)
        here.leave()
        there.leave()
        with server.client() as client:
            assert client.info("keyspace").get("db0") is None


class Forgetful(redis.Connection):
    """It does not keep its timeout, as the package's connection over a Unix socket in redis 5.0."""

    def __init__(self, **options):
        super().__init__(**options)
        self.socket_timeout = None


@needs_redis
def test_the_timeout_holds_for_a_connection_that_does_not_keep_it(server, nodes):
    pool = redis.ConnectionPool(connection_class=Forgetful, host=server.host, port=server.port)
    client = redis.Redis(connection_pool=pool)
    member = Recording()
    here, there = nodes(client=client, timeout=seconds(10)), nodes(member)
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    here.post("CP_1", {"text": "in time"}, seconds(5))
    eventually(lambda: texts(member) == ["in time"], SOON)
    server.pause()
    try:
        with pytest.raises(ClusterUnavailable, match="Timeout"):
            RedisCluster(client=client, timeout=0.3).links.run(["PING"])
    finally:
        server.go_on()


@needs_redis
def test_a_post_that_was_not_answered_is_not_sent_again(server, nodes):
    member = Recording()
    there = nodes(member, lease=30.0)
    there.claim("CP_1", {})
    with SlowRedis(server) as proxy:
        here = nodes(url=proxy.url, lease=30.0, timeout=seconds(0.3))
        held_by(here, "CP_1", there)
        proxy.delay = seconds(0.6)
        with pytest.raises(ClusterUnavailable) as caught:
            here.post("CP_1", {"text": "slow"})
        assert caught.value.maybe_sent
        eventually(lambda: not here.available, SOON)
        with pytest.raises(ClusterUnavailable) as caught:
            here.post("CP_1", {"text": "never"})
        assert not caught.value.maybe_sent
        proxy.delay = 0.0
        eventually(lambda: here.available, SOON)
        here.post("CP_1", {"text": "fast"})
        eventually(lambda: "fast" in texts(member), SOON)
        assert texts(member) in (["fast"], ["slow", "fast"])  # what comes too late is not delivered
        here.leave()


@needs_redis
def test_no_call_waits_for_a_redis_that_hangs(server, nodes):
    here = nodes(timeout=seconds(1))
    server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(ClusterUnavailable):
            here.post("CP_1", {})
        eventually(lambda: not here.available, SOON)
        assert time.monotonic() - began < seconds(5)
        began = time.monotonic()
        with pytest.raises(ClusterUnavailable):
            here.post("CP_1", {})
        assert time.monotonic() - began < seconds(0.9)
    finally:
        server.go_on()


@needs_redis
@pytest.mark.parametrize("connected", [True, False])
def test_a_post_ends_at_its_own_deadline(server, nodes, connected):
    """A connection that exists is used; one that has to be made is not waited for either."""
    here = nodes(timeout=seconds(4), lease=30.0)
    if connected:
        here.post("CP_1", {})
    server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(ClusterUnavailable) as caught:
            here.post("CP_1", {}, seconds(0.3))
        assert seconds(0.2) < time.monotonic() - began < seconds(3)  # not the four of every command
        assert caught.value.maybe_sent == connected
    finally:
        server.go_on()
    eventually(lambda: here.available, SOON)
    member = Recording()
    nodes(member).claim("CP_1", {})
    for number, timeout in enumerate([seconds(5), None, 0.000001, seconds(5), None]):
        if timeout == 0.000001:
            with pytest.raises(ClusterUnavailable):
                here.post("CP_1", {"text": "no time"}, timeout)
        else:
            here.post("CP_1", {"text": number}, timeout)
    eventually(lambda: 4 in texts(member), SOON)
    assert [text for text in texts(member) if text != "no time"] == [0, 1, 3, 4]


@needs_redis
def test_a_connection_that_was_made_in_a_hurry_has_no_short_timeout_later(server, nodes):
    member = Recording()
    nodes(member, lease=30.0).claim("CP_1", {})
    with SlowRedis(server) as proxy:
        here = nodes(url=proxy.url, lease=30.0, timeout=seconds(8))
        here.post("CP_1", {"text": "in a hurry"}, seconds(1))
        proxy.delay = seconds(1.5)
        here.post("CP_1", {"text": "with patience"})
        proxy.delay = 0.0
        here.leave()
    eventually(lambda: texts(member) == ["in a hurry", "with patience"], SOON)


@needs_redis
def test_redis_forgets_its_scripts(server, nodes):
    member = Recording()
    here, there = nodes(), nodes(member)
    there.claim("CP_1", {})
    with server.client() as client:
        for number in range(20):
            client.script_flush()
            here.post("CP_1", {"text": number})
    eventually(lambda: texts(member) == list(range(20)), SOON)


@needs_redis
def test_an_idle_connection_that_redis_has_closed_is_noticed(server, nodes):
    member = Recording()
    here, there = nodes(), nodes(member)
    there.claim("CP_1", {})
    here.post("CP_1", {"text": 0})
    with server.client() as client:
        for number in range(1, 10):
            client.client_kill_filter(_type="normal", skipme=True)
            client.ping()  # Redis answers the other before it has closed them
            here.post("CP_1", {"text": number})
    eventually(lambda: texts(member) == list(range(10)), SOON)


@needs_redis
@pytest.mark.alone
def test_connections_are_bounded(server, nodes):
    member = Recording()
    here, there = nodes(), nodes(member)
    there.claim("CP_1", {})
    begin = threading.Barrier(60)

    def post():
        begin.wait(seconds(SOON))
        for number in range(10):
            here.post("CP_1", {"text": number})

    threads = [threading.Thread(target=post) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with server.client() as client:
        assert len(client.client_list()) <= 2 * (16 + 3) + 1
    eventually(lambda: len(member.got) == 600, SOON)
