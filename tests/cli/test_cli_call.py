"""``ocppj call``: one message, and its answer."""

import json
import socket

import pytest

from ocppj import Client, OCPPError, RedisCluster, Server, v16
from ocppj.cli.main import main
from ocppj.control import connect
from tests.cli.commands import ocppj
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer, needs_redis

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")


@pytest.fixture
def client():
    client = Client("CP_1", profiles=v16.PROFILES)

    @client.on(v16.ResetRequest)
    def reset(request):
        if request.type == "Hard":
            raise OCPPError("SecurityError", "not now", {"a": 1})
        return v16.ResetResponse(status="Accepted")

    @client.on(v16.GetConfigurationRequest)
    def get_configuration(request):
        key = v16.KeyValue(key="AuthorizationKey", readonly=False, value="0102030405")
        return v16.GetConfigurationResponse(configuration_key=[key])

    client.on(v16.ClearCacheRequest, pass_id=True)(lambda request, message_id: None)  # it answers later, or never
    yield client
    client.stop()


@pytest.fixture
def address(client, tmp_path, monkeypatch):
    """The address of a service to which the client is connected. It is the default address as well."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as server:
        client.connect(server.url)
        yield server.control(f"unix:{tmp_path}/ocppj.sock").address


def test_answers(address, capsys):
    ran = ocppj("call", "CP_1", "Reset", "type=Soft")
    assert (ran.code, ran.out, ran.err) == (0, "status=Accepted\n", "")
    assert main(["call", "--json", "CP_1", "GetConfiguration", "--via", address]) == 0
    answer = {"configurationKey": [{"key": "AuthorizationKey", "readonly": False, "value": "***"}]}
    assert json.loads(capsys.readouterr().out) == answer
    assert main(["call", "CP_1", "GetConfiguration", "--show-secrets"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "configurationKey[0].value=0102030405"


def test_the_list(address, client, capsys):
    assert main(["call", "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["CP_1", "1.6"]
    assert main(["call", "--list", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["client"], row["version"], row["boot"]) == ("CP_1", "1.6", "")
    client.stop()
    eventually(lambda: not connect(address).connections())
    assert main(["call", "--list"]) == 0
    assert capsys.readouterr().out == "no station is connected\n"


CASES = {
    "": (2, "name a station and an action, such as CP_1 Reset type=Soft, or say --list"),
    "CP_1": (2, "name a station and an action"),
    "CP_1 Reset --list": (2, "--list lists the stations"),
    "CP_1 Reset type=Soft --timeout 0": (2, "--timeout must be more than 0"),
    "CP_1 Reset type=Soft --via tcp:1": (2, "--via takes unix:PATH or redis://HOST/DB, not 'tcp:1'"),
    "CP_1 Rest": (2, "OCPP 1.6 has no action 'Rest'; is 'Reset' meant?"),
    "CP_1 Reset": (2, "required property 'type' is missing"),
    "CP_1 Reset typ=Soft": (2, "there is no field 'typ': Reset has type (needed); is 'type' meant?"),
    "CP_2 Reset type=Soft": (1, "no station 'CP_2' is connected. Connected: CP_1"),
    "CP_1 Reset type=Hard": (1, "CP_1 answered with an error: SecurityError: not now"),
    "CP_1 ClearCache --timeout 50ms": (1, "call: "),
    "CP_1 Reset type=Soft --via unix:/nothing/x": (1, "no server has a control socket at unix:/nothing/x"),
}


@pytest.mark.parametrize("words", CASES)
def test_what_fails(address, words, capsys):
    code, error = CASES[words]
    assert main(["call", *words.split()]) == code
    printed = capsys.readouterr()
    assert error in printed.err
    assert printed.out == ""


def test_an_error_as_json(address, capsys):
    assert main(["call", "--json", "CP_1", "Reset", "type=Hard"]) == 1
    error = '{"error": {"code": "SecurityError", "description": "not now", "details": {"a": 1}}}\n'
    assert capsys.readouterr().out == error


def test_without_a_serve(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert main(["call", "--list"]) == 1
    assert 'start "ocppj serve", or name another way with --via' in capsys.readouterr().err


@needs_redis
def test_through_a_cluster(client, capsys):
    with RedisServer() as redis:
        cluster = RedisCluster(redis.url, prefix="mine")
        with Server(profiles=v16.PROFILES, cluster=cluster).listen(host="127.0.0.1") as server:
            client.connect(server.url)
            eventually(lambda: server.client_ids(cluster=True), seconds(10))
            assert main(["call", "CP_1", "Reset", "type=Soft", "--via", redis.url, "--prefix", "mine"]) == 0
            assert capsys.readouterr().out == "status=Accepted\n"
            assert main(["call", "CP_9", "Reset", "type=Soft", "--via", redis.url]) == 1
            assert capsys.readouterr().err == "call: no station 'CP_9' is connected. Connected: none\n"
