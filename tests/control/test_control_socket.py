"""The control socket: other programs of this user call the clients of a server."""

import json
import os
import socket
import stat
import sys
import threading
from datetime import datetime, timezone

import pytest

import ocppj.control
from ocppj import (
    AddressInUse,
    CallTimeout,
    Client,
    NotRunning,
    OCPPError,
    Server,
    Stopped,
    TransportError,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    v16,
)
from tests.helpers import eventually, seconds
from tests.programs import run

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")

RESET = {"type": "Soft"}
DEEP = b'{"a":' * 500 + b"1" + b"}" * 500


@pytest.fixture
def server():
    server = Server(profiles=v16.PROFILES, timeout=seconds(60)).listen(host="127.0.0.1")
    yield server
    server.stop()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "c.sock")


@pytest.fixture
def address(path):
    return f"unix:{path}"


@pytest.fixture
def station(server):
    """A client "CP_1" whose answer to Reset is Accepted, unless an `OCPPError` or an event to wait for stands there."""
    client = Client("CP_1", profiles=v16.PROFILES)
    client.answers = []

    @client.on(v16.ResetRequest)
    def reset(request):
        answer = client.answers.pop(0) if client.answers else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            assert answer.wait(seconds(20))
        return v16.ResetResponse(status="Accepted")

    client.connect(server.url)
    yield client
    client.stop()


def talk(path, *lines):
    """Send bytes over a connection of its own. Return the reply as JSON, or ``None`` when it was closed."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(seconds(15))
        sock.connect(path)
        for line in lines:
            sock.sendall(line)
        return read(sock)


def read(sock):
    with sock.makefile("rb") as file:
        line = file.readline()
    return json.loads(line) if line else None


def test_calls_and_questions(server, station, address):
    with server.control(address) as control:
        assert control.address == address
        remote = ocppj.control.connect(address)
        assert remote.call("CP_1", "Reset", RESET, timeout=seconds(10)) == {"status": "Accepted"}
        (info,) = remote.connections()
        assert (info.client_id, info.version, info.path) == ("CP_1", "1.6", "/CP_1")
        assert info.remote_address == server.connection("CP_1").remote_address
        assert info.connected_since == server.connection("CP_1").connected_since
        assert remote.version_of("CP_1") == "1.6"
        assert not info.headers and info.certificate is None


def test_errors_are_those_of_the_server(server, station, address):
    server.control(address)
    remote = ocppj.control.connect(address)
    with pytest.raises(UnknownClient, match="CP_2"):
        remote.call("CP_2", "Reset", RESET)
    with pytest.raises(UnknownClient):
        remote.version_of("CP_2")
    with pytest.raises(UnsupportedFeature, match="is 'Reset' meant"):
        remote.call("CP_1", "Rest", RESET)
    with pytest.raises(ValidationError, match="type") as invalid:
        remote.call("CP_1", "Reset", {"type": "None"})
    assert invalid.value.path == "type"
    station.answers = [OCPPError("SecurityError", "not now", {"a": 1})]
    with pytest.raises(OCPPError) as answer:
        remote.call("CP_1", "Reset", RESET)
    assert (str(answer.value.code), answer.value.description, answer.value.details) == (
        "SecurityError",
        "not now",
        {"a": 1},
    )
    for timeout in (0, -1, "1", True, 1e9, float("nan")):
        with pytest.raises(UsageError, match="timeout"):
            remote._ask({"do": "call", "client": "CP_1", "action": "Reset", "payload": RESET, "timeout": timeout})


def test_a_client_that_does_not_answer(server, station, address):
    server.control(address)
    go = threading.Event()
    station.answers = [go]
    with pytest.raises(CallTimeout, match="Reset"):
        ocppj.control.connect(address).call("CP_1", "Reset", RESET, timeout=0.05)
    go.set()


def test_disconnect(server, station, address):
    gone = threading.Event()
    server.set_disconnected_client_handler(lambda client_id: gone.set())
    server.control(address)
    remote = ocppj.control.connect(address)
    with pytest.raises(UsageError):
        remote.disconnect("CP_1", 999)
    remote.disconnect("CP_1", 1008, "out")
    assert gone.wait(seconds(10))
    with pytest.raises(UnknownClient):
        remote.disconnect("CP_7")


def test_only_this_user_may_use_it_from_the_first_moment_on(server, path, address, monkeypatch):
    """Whatever the umask is; and at its place there is never one with another mode, or that does not listen yet."""
    seen = []
    rename = os.rename

    def watched(old, new):
        folder = os.path.dirname(old)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(old)  # it listens already
        seen.append((stat.S_IMODE(os.stat(folder).st_mode), stat.S_IMODE(os.stat(old).st_mode), os.path.exists(path)))
        rename(old, new)

    monkeypatch.setattr(os, "rename", watched)
    before = os.umask(0)
    try:
        server.control(address)
    finally:
        os.umask(before)
    assert seen == [(0o700, 0o600, False)]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(os.path.dirname(path)) == ["c.sock"]


def test_a_live_socket_is_not_replaced(server, station, path, address):
    server.control(address)
    other = Server(profiles=v16.PROFILES)
    with pytest.raises(AddressInUse, match="another process listens on unix:") as error:
        other.control(address)
    assert error.value.address == address
    assert ocppj.control.connect(address).connections()
    assert os.listdir(os.path.dirname(path)) == ["c.sock"]


def test_a_dead_socket_is_replaced(server, station, path, address):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    server.control(address)
    assert ocppj.control.connect(address).connections()


def test_what_is_no_socket_stays(server, path, address):
    with open(path, "w") as file:
        file.write("mine")
    with pytest.raises(UsageError, match="is no socket"):
        server.control(address)
    with open(path) as file:
        assert file.read() == "mine"


@pytest.mark.parametrize("address", ["", "unix:", "/run/x.sock", "tcp:1", None, "unix:a\0b"])
def test_what_is_no_address(server, address):
    with pytest.raises(UsageError, match="address|path"):
        server.control(address)


def test_paths_that_cannot_be(server, tmp_path):
    with pytest.raises(TransportError, match="No such file"):
        server.control(f"unix:{tmp_path}/nothing/c.sock")
    with pytest.raises(TransportError, match="too long"):
        server.control(f"unix:{tmp_path}/{'x' * 120}")


def test_a_system_without_unix_sockets(server, address, monkeypatch):
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(UsageError, match="Unix sockets"):
        server.control(address)
    with pytest.raises(UsageError, match="Unix sockets"):
        ocppj.control.connect(address)


def test_close_and_stop_remove_it(server, station, path, address):
    control = server.control(address)
    control.close()
    assert not os.path.exists(path)
    control.close()
    with pytest.raises(NotRunning, match="no server has a control socket"):
        ocppj.control.connect(address)
    again = server.control(address)
    server.stop()
    assert again.closed and not os.path.exists(path)


def test_a_server_that_does_not_listen_has_one_too(address, path):
    server = Server(profiles=v16.PROFILES)
    server.control(address)
    with pytest.raises(NotRunning):
        ocppj.control.connect(address).call("CP_1", "Reset", RESET)
    server.stop()
    assert not os.path.exists(path)


def test_close_leaves_the_socket_of_another_server_alone(server, path, address):
    control = server.control(address)
    os.unlink(path)
    other = Server(profiles=v16.PROFILES)
    with other.control(address):
        control.close()
        assert ocppj.control.connect(address).connections is not None
        assert os.path.exists(path)


def test_stop_ends_the_calls_that_wait(server, station, address):
    go = threading.Event()
    station.answers = [go]
    server.control(address)
    errors = []

    def call():
        try:
            ocppj.control.connect(address).call("CP_1", "Reset", RESET, timeout=seconds(30))
        except Exception as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    eventually(lambda: server.connection("CP_1").queue_length)
    server.stop()
    caller.join(seconds(10))
    go.set()
    assert [type(each) for each in errors] == [Stopped]


def test_close_ends_the_calls_that_wait(server, station, address):
    go = threading.Event()
    station.answers = [go]
    control = server.control(address)
    errors = []

    def call():
        try:
            ocppj.control.connect(address).call("CP_1", "Reset", RESET, timeout=seconds(30))
        except Exception as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    eventually(lambda: server.connection("CP_1").queue_length)
    control.close()
    caller.join(seconds(10))
    assert [type(each) for each in errors] == [TransportError]
    eventually(lambda: not server.connection("CP_1").queue_length)
    go.set()


def test_close_ends_the_call_of_a_program_that_has_sent_more(server, station, path, address):
    """What it has sent waits for the end of the call, and hides that the connection has ended."""
    go = threading.Event()
    station.answers = [go]
    control = server.control(address)
    request = {"do": "call", "client": "CP_1", "action": "Reset", "payload": RESET, "timeout": 60}
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(json.dumps(request).encode() + b"\n")
        eventually(lambda: server.connection("CP_1").queue_length)
        sock.sendall(b"more\n")
        control.close()
        assert not [each.name for each in threading.enumerate() if each.name.startswith("ocppj-control")]
    eventually(lambda: not server.connection("CP_1").queue_length)
    go.set()


def test_the_call_of_a_program_that_goes_is_given_up(server, station, path, address):
    """So its slot is free for the next one."""
    go = threading.Event()
    station.answers = [go]
    server.control(address)
    request = {"do": "call", "client": "CP_1", "action": "Reset", "payload": RESET, "timeout": 60}
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(json.dumps(request).encode() + b"\n")
        eventually(lambda: server.connection("CP_1").queue_length)
    eventually(lambda: not server.connection("CP_1").queue_length)
    go.set()
    assert ocppj.control.connect(address).call("CP_1", "Reset", RESET) == {"status": "Accepted"}


@pytest.mark.parametrize(
    "line",
    [
        b"\n", b"garbage\n", b"\xff\xfe\n", b"[]\n", b"{}\n", b'{"do": "fly"}\n', b'{"do": ["call"]}\n',
        b'{"do": "call"}\n',
        b'{"do": "call", "client": 5}\n', b'{"do": "call", "client": "CP_1", "action": "Reset", "payload": 5}\n',
        b'{"do": "disconnect", "client": "CP_1", "code": "x"}\n',
        b'{"do": "disconnect", "client": "CP_1", "reason": 5}\n',
        b"[" * 100_000 + b"\n", b'{"do": "call", "client": "CP_1", "action": {}}\n',
        b'{"do": "call", "client": "CP_1", "action": "Reset", "payload": ' + DEEP + b"}\n",
    ],
)  # fmt: skip
def test_garbage_is_refused(server, station, path, address, line):
    server.control(address)
    reply = talk(path, line)
    assert set(reply) == {"error"}, reply
    assert reply["error"]["class"] != "CallFailed", reply  # it was foreseen
    assert ocppj.control.connect(address).call("CP_1", "Reset", RESET) == {"status": "Accepted"}


def test_several_requests_over_one_connection(server, station, path, address):
    server.control(address)
    request = json.dumps({"do": "call", "client": "CP_1", "action": "Reset", "payload": RESET}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(seconds(10))
        sock.connect(path)
        sock.sendall(request + request + b"x\n" + request[:10])
        file = sock.makefile("rb")
        assert [set(json.loads(file.readline())) for _ in range(3)] == [{"result"}, {"result"}, {"error"}]
        sock.sendall(request[10:])
        assert json.loads(file.readline()) == {"result": {"status": "Accepted"}}
        file.close()


def test_lines_have_a_limit(server, path, address, monkeypatch):
    monkeypatch.setattr("ocppj.control.control._LONGEST_LINE", 1000)
    server.control(address)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(seconds(10))
        sock.connect(path)
        try:
            sock.sendall(b"x" * 500_000)
        except OSError:  # it was closed meanwhile
            pass
        try:
            assert "more than 1000 bytes" in read(sock)["error"]["text"]
        except ConnectionError:
            pass


def test_half_a_line_does_not_stay(server, station, path, address, monkeypatch):
    monkeypatch.setattr("ocppj.control.control._PATIENCE", 0.1)
    server.control(address)
    assert "timed out" in talk(path, b'{"do":')["error"]["text"]


def test_programs_have_a_limit(server, station, path, address, monkeypatch):
    """More than that are told so, and go. Those that were there go on."""
    monkeypatch.setattr("ocppj.control.control._MOST_PEERS", 3)
    server.control(address)
    peers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    try:
        for peer in peers:
            peer.settimeout(seconds(10))
            peer.connect(path)
            peer.sendall(b'{"do": "ping"}\n')
            assert read(peer) == {"result": None}
        with pytest.raises(TransportError, match="3 programs use the control socket"):
            ocppj.control.connect(address)
        peers.pop().close()

        def is_free():
            try:
                return ocppj.control.connect(address).connections()
            except TransportError:
                return False

        assert eventually(is_free)
    finally:
        for peer in peers:
            peer.close()


def test_many_programs_at_once(server, station, address):
    server.control(address)
    remote, results = ocppj.control.connect(address), []

    def call():
        results.extend(remote.call("CP_1", "Reset", RESET, timeout=seconds(20))["status"] for _ in range(5))

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(30))
    assert results == ["Accepted"] * 50


def test_a_program_that_reads_nothing_does_not_hold_the_chargers_up(server, station, path, address):
    server.on(v16.HeartbeatRequest)(lambda client_id, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
    server.control(address)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.setblocking(False)
        try:
            while True:
                sock.send(b'{"do": "connections"}\n' * 100)
        except BlockingIOError:
            pass
        for _ in range(5):
            station.call(v16.HeartbeatRequest(), timeout=seconds(5))
        assert ocppj.control.connect(address).call("CP_1", "Reset", RESET) == {"status": "Accepted"}


def test_the_default_address(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert ocppj.control.default_address() == f"unix:{tmp_path}/ocppj.sock"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"ocppj-{os.getuid()}"
    for runtime in ("", "relative", str(tmp_path / "nothing")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        assert ocppj.control.default_address() == f"unix:{folder}/ocppj.sock"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="not this user's alone"):
        ocppj.control.default_address()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="not this user's alone"):
        ocppj.control.default_address()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_leaves_it_to_its_parent(tmp_path):
    source = """
import ocppj.control
server, client = make()
server.listen(host="127.0.0.1")
client.connect(server.url)
control = server.control("unix:c.sock")
remote = ocppj.control.connect("unix:c.sock")
def work():
    assert control.closed and os.path.exists("c.sock")
    control.close()
    server.stop()
    other = Server(profiles=v16.PROFILES)
    other.control("unix:d.sock")
    assert os.path.exists("d.sock")
say(in_child(work), os.path.exists("d.sock"), remote.call("CP_1", "Reset", {"type": "Soft"}))
client.stop()
"""
    assert run(source, tmp_path) == ["0 False {'status': 'Accepted'}"]
    assert not os.path.exists(tmp_path / "c.sock")  # the program did not stop its server


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")
def test_a_killed_process_leaves_a_socket_that_is_replaced(tmp_path):
    source = """
server, client = make()
server.control("unix:c.sock")
os.write(1, b"there\\n")
os.kill(os.getpid(), signal.SIGKILL)
"""
    with pytest.raises(AssertionError):
        run(source, tmp_path)
    assert (tmp_path / "c.sock").exists()
    server = Server(profiles=v16.PROFILES)
    with server.control(f"unix:{tmp_path}/c.sock"):
        assert ocppj.control.connect(f"unix:{tmp_path}/c.sock").connections is not None
