"""Who is connected: `Server.connection` and `Server.connections`."""

import pickle
import ssl
import threading
from dataclasses import FrozenInstanceError, asdict, replace
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest

from ocppj import (
    Client,
    ConnectionInfo,
    DefaultServerDispatcher,
    ManualClock,
    NotRunning,
    Server,
    ServerDispatcher,
    SQLiteQueueMap,
    UnknownClient,
    client_tls_context,
    server_tls_context,
    v16,
    v21,
    v201,
)
from tests.certificates import authority, server_file
from tests.fixtures import BOOT, NOW, boot_of
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, Sockets

VERSIONS = pytest.mark.parametrize("version", [v16, v201, v21], ids=["1.6", "2.0.1", "2.1"])


def server_of(version, status="Accepted", **options):
    """Return a server that answers boots with ``status``, or with what is put there later: ``server.answers[0]``."""
    server = Server(profiles=version.PROFILES, timeout=seconds(10), **options)
    answers = [status]

    @server.on(version.BootNotificationRequest)
    def boot(client_id, request):
        return version.BootNotificationResponse(current_time=NOW, interval=300, status=answers[0])

    return server, answers


def station(version, url, name="CP_1", **options):
    return Client(name, profiles=version.PROFILES, timeout=seconds(10), **options).connect(url)


def only(server):
    eventually(server.connections)
    [info] = server.connections()
    return info


@VERSIONS
def test_what_is_told_of_a_connection(version):
    server, _ = server_of(version)
    before = datetime.now(timezone.utc)
    with server.listen(host="127.0.0.1", path="/{tenant}/ocpp/{id}"):
        base = f"ws://127.0.0.1:{urlsplit(server.url).port}/nor%20th/ocpp"
        with station(version, base + "?token=s3cret", headers={"X-Site": "roof"}) as client:
            info = only(server)
            assert isinstance(info, ConnectionInfo)
            assert replace(server.connection("CP_1"), last_heard=None) == replace(info, last_heard=None)
            assert (info.client_id, info.version) == ("CP_1", client.version)
            assert info.subprotocol == f"ocpp{client.version}"
            assert info.remote_address.startswith("127.0.0.1:")
            assert before <= info.connected_since <= datetime.now(timezone.utc)
            assert info.connected_since.utcoffset() == timedelta(0)
            assert info.path == "/nor%20th/ocpp/CP_1"
            assert dict(info.values) == {"tenant": "nor th"}
            assert info.headers["x-site"] == info.headers["X-Site"] == "roof"
            assert info.certificate is None
            assert (info.queue_length, info.open_calls) == (0, 0)
            assert (info.boot_status, info.boot_accepted) == (None, False)
            assert "s3cret" not in repr(info) + str(asdict(info))
            with pytest.raises(FrozenInstanceError):
                info.version = "1.5"


def test_what_a_program_does_to_it_changes_nothing():
    server, _ = server_of(v16)
    with server.listen(host="127.0.0.1", path="/{tenant}/{id}"), station(v16, server.url + "/north"):
        only(server).values["tenant"] = "south"
        assert only(server).values == {"tenant": "north"}


def test_passwords_are_not_told():
    server, _ = server_of(v16)
    server.set_basic_auth_handler({"CP_1": "s3cret-s3cret-s3cret"})
    with server.listen(host="127.0.0.1"), station(v16, server.url, basic_auth=("CP_1", b"s3cret-s3cret-s3cret")):
        info = only(server)
        assert "authorization" not in info.headers
        assert "s3cret" not in repr(info) + repr(asdict(info)) + repr(dict(info.headers))


def test_info_travels():
    server, _ = server_of(v16)
    with server.listen(host="127.0.0.1"), station(v16, server.url):
        info = only(server)
        assert pickle.loads(pickle.dumps(info)) == info


def test_the_certificate():
    trust = server_tls_context(server_file(), client_ca=authority().path)
    server, _ = server_of(v201, ssl_context=trust)
    own = authority().both("CS_1")
    with server.listen(host="127.0.0.1"):
        context = client_tls_context(authority().path, certificate=own)
        assert isinstance(context, ssl.SSLContext)
        with station(v201, server.url, "CS_1", ssl_context=context):
            info = only(server)
            assert (("commonName", "CS_1"),) in info.certificate["subject"]


@VERSIONS
def test_last_heard_moves_with_what_comes(version):
    server, _ = server_of(version)
    server.on(version.HeartbeatRequest)(lambda client_id, request: version.HeartbeatResponse(current_time=NOW))
    with server.listen(host="127.0.0.1"), station(version, server.url) as client:
        first = only(server).last_heard
        assert first.utcoffset() == timedelta(0)
        for _ in range(2):
            client.call(version.HeartbeatRequest())
        later = server.connection("CP_1").last_heard
        assert first < later <= datetime.now(timezone.utc)


def test_a_pong_counts_as_heard():
    server, _ = server_of(v16)
    with server.listen(host="127.0.0.1"), station(v16, server.url):
        first = only(server).last_heard
        server.set_ping_interval("CP_1", seconds(0.05))
        eventually(lambda: server.connection("CP_1").last_heard > first + timedelta(milliseconds=20))


def test_the_time_is_that_of_the_servers_clock():
    clock = ManualClock(datetime(2001, 2, 3, tzinfo=timezone.utc))
    server, _ = server_of(v16, clock=clock)
    with server.listen(host="127.0.0.1"), station(v16, server.url):
        assert only(server).connected_since == clock.now()
        clock.advance(3600)
        assert only(server).connected_since == clock.now() - timedelta(hours=1)


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_the_queue_and_the_open_calls(durable, tmp_path):
    queues = SQLiteQueueMap(str(tmp_path / "queues.db")) if durable else None
    server, _ = server_of(v16, queues=queues)
    handling, go = threading.Event(), threading.Event()

    @server.on(v16.HeartbeatRequest)
    def beat(client_id, request):
        handling.set()
        go.wait(seconds(10))
        return v16.HeartbeatResponse(current_time=NOW)

    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url) as raw:
        eventually(server.client_ids)
        futures = [server.send_request("CP_1", v16.ResetRequest(type="Soft")) for _ in range(3)]
        assert server.connection("CP_1").queue_length == 3
        raw.send([3, raw.receive()[1], {"status": "Accepted"}])
        futures[0].result(seconds(10))
        eventually(lambda: server.connection("CP_1").queue_length == 2)
        raw.send([2, "1", "Heartbeat", {}])
        assert handling.wait(seconds(10))
        assert server.connection("CP_1").open_calls == 1
        go.set()
        eventually(lambda: server.connection("CP_1").open_calls == 0)


def test_a_dispatcher_that_does_not_count():
    class Own(DefaultServerDispatcher):
        """One that was written before there was such a question."""

        count_requests = ServerDispatcher.count_requests

    server = Server(profiles=v16.PROFILES, dispatcher=Own())
    with server.listen(host="127.0.0.1"), station(v16, server.url):
        assert only(server).queue_length is None


# Boots


@VERSIONS
@pytest.mark.parametrize("status", ["Accepted", "Pending", "Rejected"])
def test_the_status_of_the_boot(version, status):
    server, _ = server_of(version, status)
    with server.listen(host="127.0.0.1"), station(version, server.url) as client:
        assert only(server).boot_status is None
        client.call(boot_of(version))
        info = server.connection("CP_1")  # at once: it is known before the station has its answer
        assert (info.boot_status, info.boot_accepted) == (status, status == "Accepted")


@VERSIONS
def test_the_last_boot_counts(version):
    server, answers = server_of(version, "Pending")
    with server.listen(host="127.0.0.1"), station(version, server.url) as client:
        for status in ("Pending", "Accepted", "Rejected"):
            answers[0] = status
            client.call(boot_of(version))
            assert server.connection("CP_1").boot_status == status


@VERSIONS
def test_a_boot_whose_answer_could_not_be_written_is_not_accepted(version):
    server = Server(profiles=version.PROFILES, timeout=seconds(10))
    begun, go = Recorder(), threading.Event()

    @server.on(version.BootNotificationRequest)
    def boot(client_id, request):
        begun()
        assert go.wait(seconds(10))
        return version.BootNotificationResponse(current_time=NOW, interval=300, status="Accepted")

    left = server.set_disconnected_client_handler(Recorder())
    with server.listen(host="127.0.0.1"):
        with station(version, server.url) as client:
            client.send_request(boot_of(version))
            begun.wait()
        go.set()
        left.wait()  # after its last request was handled
        with station(version, server.url):
            assert only(server).boot_status is None


@VERSIONS
def test_a_reconnect_needs_no_new_boot(version):
    server, _ = server_of(version)
    with server.listen(host="127.0.0.1"):
        with station(version, server.url) as client:
            client.call(boot_of(version))
        eventually(lambda: not server.client_ids())
        with station(version, server.url), station(version, server.url, "CP_2"):
            eventually(lambda: len(server.connections()) == 2)
            assert server.connection("CP_1").boot_accepted
            assert not server.connection("CP_2").boot_accepted


def test_a_connection_that_replaces_another_one_keeps_the_boot():
    server, _ = server_of(v16)
    with server.listen(host="127.0.0.1"), station(v16, server.url, reconnect=False) as client:
        client.call(BOOT)
        before = server.connection("CP_1").remote_address
        with station(v16, server.url):
            eventually(lambda: server.connection("CP_1").remote_address != before)
            eventually(lambda: not client.is_connected())
            assert server.connection("CP_1").boot_accepted


def test_an_answer_given_later_counts_too():
    server = Server(profiles=v16.PROFILES, timeout=seconds(10))
    asked = Recorder()
    server.on(v16.BootNotificationRequest, pass_id=True)(asked)
    with server.listen(host="127.0.0.1"), station(v16, server.url) as client:
        future = client.send_request(BOOT)
        [(client_id, _, message_id)] = asked.wait()
        assert server.connection("CP_1").boot_status is None
        booted = v16.BootNotificationResponse(current_time=NOW, interval=300, status="Accepted")
        server.send_response(client_id, message_id, booted)
        future.result(seconds(10))
        assert server.connection("CP_1").boot_accepted


def test_a_boot_that_is_refused_with_an_error_is_no_boot():
    server = Server(profiles=v16.PROFILES)
    server.on(v16.BootNotificationRequest)(lambda client_id, request: 1 / 0)
    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url) as raw:
        raw.ask([2, "1", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}])
        assert server.connection("CP_1").boot_status is None


# Who is not connected


def test_nobody():
    server, _ = server_of(v16)
    with pytest.raises(NotRunning):
        server.connection("CP_1")
    assert server.connections() == []
    with server.listen(host="127.0.0.1"):
        with pytest.raises(UnknownClient, match="no client 'CP_1' is connected"):
            server.connection("CP_1")
        with station(v16, server.url):
            eventually(server.client_ids)
        eventually(lambda: not server.connections())
        with pytest.raises(UnknownClient):
            server.connection("CP_1")
    assert server.connections() == []


def test_several():
    server, _ = server_of(v16)
    names = ["CP_1", "CP_2", "CP_3"]
    with server.listen(host="127.0.0.1"):
        stations = []
        for name in names:
            stations.append(station(v16, server.url, name))
            eventually(lambda name=name: name in server.client_ids())
        assert [info.client_id for info in server.connections()] == names
        for each in stations:
            each.stop()


def test_handlers_may_ask():
    server, _ = server_of(v16)
    asked = Recorder()
    server.set_new_client_handler(lambda client_id: asked(server.connection(client_id).version))

    @server.on(v16.HeartbeatRequest)
    def beat(client_id, request):
        asked(server.connection(client_id).path)
        return v16.HeartbeatResponse(current_time=NOW)

    with server.listen(host="127.0.0.1"), station(v16, server.url) as client:
        client.call(v16.HeartbeatRequest())
    assert asked.wait(2) == [("1.6",), ("/CP_1",)]
