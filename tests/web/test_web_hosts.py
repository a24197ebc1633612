"""Connections taken over from web servers: those that are here, and those that have none to give."""

import io
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, List

import pytest

from ocppj import Client, Server, v16
from ocppj.web.hosts import Connection, find, is_tls, take_over
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import open_files

UPGRADE = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/CP_1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "waitress",
    "REMOTE_ADDR": "192.0.2.7",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
}


def reset_of(client: Client) -> Client:
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
    return client


def check(server: Server, place: str) -> None:
    """Have a client connect at ``place``, and be called, after the web server's request has ended."""
    with reset_of(Client("CP/1", profiles=v16.PROFILES)).connect(f"ws://{place}/ocpp"):
        assert server.client_ids() == ["CP/1"]
        assert server.call("CP/1", v16.ResetRequest(type="Soft")).status == "Accepted"
    eventually(lambda: server.client_ids() == [])


def exchange(place: str, *fields: str) -> bytes:
    """Send the request of a client with more ``fields``; return what the web server answers until it closes."""
    host, port = place.split(":")
    request = [
        "GET /ocpp/CP_1 HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: ocpp1.6",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *fields,
    ]
    with socket.create_connection((host, int(port)), seconds(10)) as sock:
        sock.sendall("\r\n".join([*request, "", ""]).encode())
        received = b""
        while True:
            part = sock.recv(4096)
            if not part:
                return received
            received += part


@contextmanager
def running(target: Any, stop: Any) -> Iterator[None]:
    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(seconds(10))
        assert not thread.is_alive()


class TestTakeOver:
    def test_web_server_reads_the_end_and_writes_to_nobody(self) -> None:
        peer, theirs = socket.socketpair()
        with peer, theirs:
            reader = theirs.makefile("rb")
            peer.sendall(b"request ahead")
            assert reader.read(8) == b"request "  # the rest stands in the reader's buffer
            taken, ahead, rest = take_over(Connection(theirs, lambda: reader.read1(4096)))
            with taken:
                assert ahead == b"ahead"
                assert list(rest) == []
                theirs.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                assert theirs.recv(1) == b""
                taken.sendall(b"ours")
                assert peer.recv(100) == b"ours"
                rest.close()
                reader.close()
                theirs.shutdown(socket.SHUT_WR)
                theirs.close()
                peer.sendall(b"still here")
                assert taken.recv(100) == b"still here"

    def test_what_cannot_be_taken_stays_with_the_web_server(self) -> None:
        peer, theirs = socket.socketpair()
        peer.close()
        theirs.close()
        with pytest.raises(OSError):
            take_over(Connection(theirs, lambda: b""))

    def test_what_is_no_socket_leaves_no_descriptor(self) -> None:
        with Path(__file__).open() as file:
            before = open_files()
            with pytest.raises(OSError):
                take_over(Connection(file, lambda: b""))
            assert open_files() == before

    def test_if_reading_ahead_fails_both_sides_are_closed(self) -> None:
        def fail() -> bytes:
            raise failure

        failure = OSError("the buffer is gone")
        peer, theirs = socket.socketpair()
        with peer, theirs:
            before = open_files()
            with pytest.raises(OSError) as caught:
                take_over(Connection(theirs, fail))
            assert caught.value is failure  # its traceback keeps what was not closed
            assert open_files() == before
            assert peer.recv(1) == b""

    def test_a_descriptor_that_has_another_owner_by_now_is_left_alone(self) -> None:
        peer, theirs = socket.socketpair()
        with peer, theirs:
            answers = iter([theirs.fileno(), -1])  # the web server closes it meanwhile
            closing = SimpleNamespace(fileno=lambda: next(answers))
            with pytest.raises(OSError, match="has closed"):
                take_over(Connection(closing, lambda: b""))
            theirs.sendall(b"still theirs")
            assert peer.recv(100) == b"still theirs"


def test_werkzeug() -> None:
    serving = pytest.importorskip("werkzeug.serving", reason="Werkzeug is not installed: the extra 'test' has it")
    with Server(profiles=v16.PROFILES) as server:
        host = serving.make_server("127.0.0.1", 0, server.wsgi_app(path="/ocpp/{id}"), threaded=True)
        failures: List[str] = []
        host.log = lambda kind, message, *arguments: failures.append(message) if kind == "error" else None
        with running(host.serve_forever, host.shutdown):
            check(server, f"127.0.0.1:{host.server_port}")
        host.server_close()
        assert failures == []


@pytest.mark.parametrize("field", ["Transfer-Encoding: chunked", "Content-Length: 5"], ids=["chunked", "length"])
def test_a_body_is_refused_and_not_taken_for_a_fault_of_werkzeug(field: str, caplog: pytest.LogCaptureFixture) -> None:
    serving = pytest.importorskip("werkzeug.serving", reason="Werkzeug is not installed: the extra 'test' has it")
    with Server(profiles=v16.PROFILES) as server:
        host = serving.make_server("127.0.0.1", 0, server.wsgi_app(path="/ocpp/{id}"), threaded=True)
        with running(host.serve_forever, host.shutdown):
            answer = exchange(f"127.0.0.1:{host.server_port}", field)
        host.server_close()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"no body is expected" in answer
        assert server.stats().refused == {"bad_request": 1}
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "fields",
    [["Host: other"], ["Origin: a", "Origin: b"], ["Authorization: Basic YTpi", "Authorization: Basic YTpj"]],
    ids=["host", "origin", "authorization"],
)
def test_repeated_fields_that_a_web_server_has_joined_are_refused(fields: List[str]) -> None:
    serving = pytest.importorskip("werkzeug.serving", reason="Werkzeug is not installed: the extra 'test' has it")
    with Server(profiles=v16.PROFILES) as server:
        host = serving.make_server("127.0.0.1", 0, server.wsgi_app(path="/ocpp/{id}"), threaded=True)
        with running(host.serve_forever, host.shutdown):
            answer = exchange(f"127.0.0.1:{host.server_port}", *fields)
        host.server_close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"there may be one only of each" in answer


def test_cheroot(capfd: pytest.CaptureFixture[str]) -> None:
    wsgi = pytest.importorskip("cheroot.wsgi", reason="cheroot is not installed: the extra 'test' has it")
    with Server(profiles=v16.PROFILES) as server:
        host = wsgi.Server(("127.0.0.1", 0), server.wsgi_app(path="/ocpp/{id}"), numthreads=1)
        host.prepare()
        with running(host.serve, host.stop):
            check(server, f"127.0.0.1:{host.bind_addr[1]}")
    assert "Traceback" not in capfd.readouterr().err


GEVENT = """
from gevent import monkey
monkey.patch_all()
import threading
from datetime import datetime, timezone
from gevent.pywsgi import WSGIServer
from ocppj import Server, v16

server = Server(profiles=v16.PROFILES)
ended = threading.Event()

@server.on(v16.HeartbeatRequest)
def heartbeat(client_id, request):
    threading.Event().wait(0.05)
    return v16.HeartbeatResponse(current_time=datetime.now(timezone.utc))

@server.set_new_client_handler
def come(client_id):
    threading.Thread(target=call, args=(client_id,)).start()

def call(client_id):
    print(server.call(client_id, v16.ResetRequest(type="Soft"), timeout=10).status, flush=True)

@server.set_disconnected_client_handler
def gone(client_id, close):
    ended.set()

host = WSGIServer(("127.0.0.1", 0), server.wsgi_app(path="/ocpp/{id}"), log=None)
host.start()
print(host.server_port, flush=True)
print(ended.wait(30), flush=True)
host.stop()
server.stop()
print(threading.active_count(), flush=True)
"""


def test_gevent() -> None:
    pytest.importorskip("gevent", reason="gevent is not installed: the extra 'test' has it")
    process = subprocess.Popen([sys.executable, "-c", GEVENT], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        with reset_of(Client("CP/1", profiles=v16.PROFILES)).connect(f"ws://127.0.0.1:{port}/ocpp") as client:
            client.call(v16.HeartbeatRequest())
            assert process.stdout.readline() == "Accepted\n"
        rest, _ = process.communicate(timeout=seconds(10))
        assert (rest, process.returncode) == ("True\n1\n", 0)
    finally:
        process.kill()
        process.communicate()


ENDING = """
import threading
from wsgiref.simple_server import make_server
from ocppj import Server, v16

server = Server(profiles=v16.PROFILES)
host = make_server("127.0.0.1", 0, server.wsgi_app())
threading.Thread(target=host.serve_forever, daemon=True).start()
print(host.server_port, flush=True)
input()
"""


def test_clients_get_1001_when_the_process_ends() -> None:
    process = subprocess.Popen([sys.executable, "-c", ENDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    closed = Recorder()
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        client = Client("CP_1", profiles=v16.PROFILES)
        client.set_disconnected_handler(closed)
        with client.connect(f"ws://127.0.0.1:{port}"):
            process.communicate("\n", timeout=seconds(10))
            assert closed.wait()[0][0].code == 1001
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


ENDED = """
import atexit, http.client, os, signal, threading

def ask():
    connection = http.client.HTTPConnection("127.0.0.1", host.server_port, timeout=10)
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "ocpp1.6"}
    connection.request("GET", "/CP_1", headers=fields)
    print(connection.getresponse().status, flush=True)

@atexit.register  # before the library: so it is called after the library has ended the server
def late():
    ask()
    try:
        server.open()
    except NotRunning as error:
        print(error, flush=True)

from wsgiref.simple_server import make_server
from ocppj import NotRunning, Server, UsageError, v16

server = Server(profiles=v16.PROFILES)
host = make_server("127.0.0.1", 0, server.wsgi_app())
threading.Thread(target=host.serve_forever, daemon=True).start()

def end():
    while True:
        try:
            server.url
        except UsageError:
            threading.Event().wait(0.01)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
            return

threading.Thread(target=end).start()
server.start(0, host="127.0.0.1")
ask()
server.open()
ask()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process by SIGTERM")
def test_no_request_opens_what_a_signal_or_the_end_of_the_process_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, timeout=seconds(20))
    said = ["503", "101", "503", "the process ends, and the server with it"]
    assert (done.stdout.splitlines(), done.returncode) == (said, 0), done.stderr


def answers(application: Any, environ: Any) -> "tuple[str, str]":
    """Return the status and the body with which ``application`` answers a request."""
    statuses: List[str] = []
    body = b"".join(application(environ, lambda status, headers: statuses.append(status)))
    return statuses[0], body.decode()


def test_web_server_without_a_socket_gets_501_that_names_others(caplog: pytest.LogCaptureFixture) -> None:
    with Server(profiles=v16.PROFILES) as server:
        application = server.wsgi_app()
        for _ in range(20):
            status, body = answers(application, dict(UPGRADE))
            assert status == "501 Not Implemented"
            assert "gunicorn" in body and "listen()" in body
            assert "waitress" not in body, "a peer need not know it"
    lines = [record for record in caplog.records if "does not hand its connections over" in record.message]
    assert 1 <= len(lines) <= 10
    assert "the web server is waitress" in lines[0].message


class FakeTls:
    def fileno(self) -> int:
        return -1

    def getpeercert(self) -> None:
        return None


def test_tls_of_the_web_server_gets_501() -> None:
    with Server(profiles=v16.PROFILES) as server:
        environ = {**UPGRADE, "werkzeug.socket": FakeTls(), "wsgi.input": io.BufferedReader(io.BytesIO())}
        found = find(environ, None)
        assert found is not None and is_tls(found.sock)
        status, body = answers(server.wsgi_app(), environ)
    assert status == "501 Not Implemented"
    assert "end TLS in a proxy" in body


def test_426_names_what_is_wanted() -> None:
    fields: List[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/CP_1", "SERVER_PROTOCOL": "HTTP/1.1"}
    with Server(profiles=v16.PROFILES) as server:
        body = server.wsgi_app()(environ, lambda status, headers: fields.extend([status, *headers]))
    assert fields[0] == "426 Upgrade Required"
    assert ("Upgrade", "websocket") in fields
    assert list(body) == [b"this is a WebSocket endpoint\n"]


def test_http_of_another_version_is_refused() -> None:
    with Server(profiles=v16.PROFILES) as server:
        environ = {**UPGRADE, "SERVER_PROTOCOL": "HTTP/2"}
        assert answers(server.wsgi_app(), environ)[0] == "400 Bad Request"
