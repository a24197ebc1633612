"""`Server.wsgi_app` and `Server.open`, in a web server of the standard library."""

import http.client
import socket
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Callable, ClassVar, Iterator, List, Tuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from ocppj import Client, HandshakeRefused, NotRunning, QueueFailed, Server, SQLiteQueueMap, UsageError, v16
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import Recorder, eventually, seconds

HEARTBEAT = v16.HeartbeatResponse(current_time=datetime(2024, 1, 1, tzinfo=timezone.utc))


class Host(ThreadingMixIn, WSGIServer):
    """A web server with a thread for each request, which it waits for in the end."""

    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise AssertionError("a request failed") from None


class Quiet(WSGIRequestHandler):
    """Notes the log lines of requests."""

    lines: ClassVar[List[str]] = []

    def log_message(self, format: str, *arguments: Any) -> None:
        self.lines.append(format % arguments)


@contextmanager
def serving(application: Callable[..., Any]) -> Iterator[Tuple[str, List[str]]]:
    """Serve ``application``; yield "127.0.0.1:port", and the list of the log lines."""
    handler = type("Handler", (Quiet,), {"lines": []})
    host = make_server("127.0.0.1", 0, application, Host, handler)  # type: ignore[type-var]
    thread = threading.Thread(target=host.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{host.server_port}", handler.lines
    finally:
        host.shutdown()
        thread.join()
        host.server_close()


def make(**options: Any) -> Server:
    server = Server(profiles=v16.PROFILES, **options)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: HEARTBEAT)
    return server


def hello(environ: Any, start_response: Any) -> List[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello " + environ["PATH_INFO"].encode()]


def get(place: str, path: str, method: str = "GET") -> Tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection(place, timeout=seconds(10))
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_a_client_connects_at_the_port_of_the_web_server_and_calls_go_both_ways() -> None:
    with make() as server, serving(server.wsgi_app(hello, path="/ocpp/{id}")) as (place, lines):
        with pytest.raises(NotRunning, match=r"not started in this process: call open\(\) first"):
            server.call("CP/1", v16.ResetRequest(type="Soft"))
        client = Client("CP/1", profiles=v16.PROFILES)
        client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
        with client.connect(f"ws://{place}/ocpp"):
            assert client.call(v16.HeartbeatRequest()) == HEARTBEAT
            assert server.call("CP/1", v16.ResetRequest(type="Soft")).status == "Accepted"
            assert server.client_ids() == ["CP/1"]
            assert get(place, "/ocpp/CP/1")[2] == b"hello /ocpp/CP/1"
            assert get(place, "/else")[2] == b"hello /else"
        eventually(lambda: server.client_ids() == [])
    assert eventually(lambda: [line for line in lines if "101" in line]) == ['"GET /ocpp/CP%2F1 HTTP/1.1" 101 0']


def test_the_application_calls_a_client_within_a_request() -> None:
    def button(environ: Any, start_response: Any) -> List[bytes]:
        response = server.call(environ["QUERY_STRING"], v16.ResetRequest(type="Soft"), timeout=seconds(5))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(response.status).encode()]

    client = Client("CP_1", profiles=v16.PROFILES)
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
    with make() as server, serving(server.wsgi_app(button)) as (place, _), client.connect(f"ws://{place}"):
        assert get(place, "/button?CP_1")[::2] == (200, b"Accepted")


def test_bytes_behind_the_request_belong_to_the_connection() -> None:
    request = (
        "GET /ocpp/CP_1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: ocpp1.6\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    ping, pong = b"\x89\x82\x00\x00\x00\x00hi", b"\x8a\x02hi"
    with make() as server, serving(server.wsgi_app(path="/ocpp/{id}")) as (place, _):
        host, port = place.split(":")
        with socket.create_connection((host, int(port)), seconds(10)) as sock:
            sock.sendall(request.encode() + ping)
            received = b""
            while not received.endswith(pong):
                part = sock.recv(4096)
                assert part, received
                received += part
        assert received.startswith(b"HTTP/1.1 101 ")


def test_what_is_no_upgrade_is_refused_without_an_application() -> None:
    with make() as server, serving(server.wsgi_app(path=["/ocpp/{id}", "/{tenant}/ocpp/{id}"])) as (place, _):
        assert get(place, "/else")[0] == 404
        status, fields, body = get(place, "/ocpp/CP_1")
        assert "Upgrade" not in fields  # wsgiref does not let an application send it
        assert (status, body) == (426, b"this is a WebSocket endpoint\n")
        assert get(place, "/north/ocpp/CP_1", "HEAD")[::2] == (426, b"")


def test_a_client_at_a_wrong_path_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """If there is an application, that path may be one of its own."""
    client = Client("CP_1", profiles=v16.PROFILES)
    with make() as server, serving(server.wsgi_app(path="/ocpp/{id}")) as (place, _):
        with pytest.raises(HandshakeRefused, match="404.*no client connects to '/opcc/CP_1'"):
            client.connect(f"ws://{place}/opcc")
        assert server.stats().refused == {"unknown_path": 1}
    assert "refused with 404: no client connects to '/opcc/CP_1'" in caplog.text
    with make() as server, serving(server.wsgi_app(hello, path="/ocpp/{id}")) as (place, _):
        with pytest.raises(HandshakeRefused, match="200"):
            client.connect(f"ws://{place}/opcc")
        assert server.stats().refused == {}


def test_the_checks_of_a_handshake_are_those_of_a_port() -> None:
    server = make(max_connections=1, trusted_proxies=["127.0.0.1"])
    server.set_check_client_handler(lambda request: request.identity != "STRANGER")
    addresses = Recorder()
    server.set_new_client_handler(lambda client_id: addresses(server.connection(client_id).remote_address))
    with server, serving(server.wsgi_app(path="/ocpp/{id}")) as (place, _):
        with pytest.raises(HandshakeRefused) as refused:
            Client("STRANGER", profiles=v16.PROFILES).connect(f"ws://{place}/ocpp")
        assert refused.value.status == 404
        first = Client("CP_1", profiles=v16.PROFILES, headers={"X-Forwarded-For": "192.0.2.7"})
        with first.connect(f"ws://{place}/ocpp"):
            assert addresses.wait()[0][0] == "192.0.2.7:0"
            with pytest.raises(HandshakeRefused) as full:
                Client("CP_2", profiles=v16.PROFILES).connect(f"ws://{place}/ocpp")
            assert full.value.status == 503
        assert server.stats().refused == {"unknown_client": 1, "max_connections": 1}


def test_a_password_is_demanded_though_the_check_was_taken_away() -> None:
    server = make(security_profile=1)
    server.set_basic_auth_handler(lambda client_id, password: True)
    with server, serving(server.wsgi_app()) as (place, _):
        server.open()
        server.set_basic_auth_handler(None)
        with pytest.raises(HandshakeRefused) as refused:
            Client("CP_1", profiles=v16.PROFILES).connect(f"ws://{place}")
        assert (refused.value.status, sum(server.stats().refused.values())) == (401, 1)


def test_attempts_beyond_the_limit_are_refused_by_the_web_server() -> None:
    with make(max_attempts_per_second=0.001) as server, serving(server.wsgi_app()) as (place, lines):
        first, second = (Client(name, profiles=v16.PROFILES) for name in ("CP_1", "CP_2"))
        with first.connect(f"ws://{place}"), pytest.raises(HandshakeRefused) as refused:
            second.connect(f"ws://{place}")
        assert (refused.value.status, refused.value.retry_after is None) == (503, False)
    assert any('"GET /CP_2 HTTP/1.1" 503' in line for line in lines)


def test_a_head_that_is_too_large_is_refused() -> None:
    client = Client("CP_1", profiles=v16.PROFILES, headers={"X-Long": "x" * 2000})
    with make(max_header_size=2000) as server, serving(server.wsgi_app()) as (place, _):
        with pytest.raises(HandshakeRefused) as refused:
            client.connect(f"ws://{place}")
        assert (refused.value.status, server.stats().refused) == (431, {"bad_request": 1})


def test_identify_finds_the_identities() -> None:
    with make() as server, serving(server.wsgi_app(hello, identify=lambda request: request.query)) as (place, _):
        with Client("x", profiles=v16.PROFILES).connect(f"ws://{place}/any?CP_7"):
            assert server.client_ids() == ["CP_7"]
        assert get(place, "/any?CP_7")[2] == b"hello /any"


def test_open_begins_before_the_first_request_and_stop_ends_it() -> None:
    with make() as server, serving(server.wsgi_app()) as (place, _):
        assert server.open() is server.open() is server
        assert server.client_ids() == []
        with pytest.raises(UsageError, match="mounted"):
            _ = server.url
        client = Client("CP_1", profiles=v16.PROFILES)
        closed = Recorder()
        client.set_disconnected_handler(closed)
        with client.connect(f"ws://{place}"):
            server.stop()
            assert closed.wait()[0][0].code == 1001
        with pytest.raises(HandshakeRefused) as refused:
            Client("CP_2", profiles=v16.PROFILES).connect(f"ws://{place}")
        assert refused.value.status == 503
        server.open()
        with Client("CP_2", profiles=v16.PROFILES).connect(f"ws://{place}"):
            assert server.client_ids() == ["CP_2"]


def refused_status(place: str) -> int:
    with pytest.raises(HandshakeRefused) as refused:
        Client("CP_2", profiles=v16.PROFILES).connect(f"ws://{place}")
    return refused.value.status


def test_open_does_not_cancel_a_stop_that_is_under_way() -> None:
    handling, may_end = threading.Event(), threading.Event()
    server = make()

    @server.on(v16.AuthorizeRequest)
    def authorize(client_id: str, request: v16.AuthorizeRequest) -> v16.AuthorizeResponse:
        handling.set()
        assert may_end.wait(seconds(10))
        return v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Accepted"))

    with server, serving(server.wsgi_app()) as (place, _), Client("CP_1", profiles=v16.PROFILES) as client:
        client.connect(f"ws://{place}")
        answers: List[Any] = []
        caller = threading.Thread(target=lambda: answers.append(client.call(v16.AuthorizeRequest(id_tag="x"))))
        caller.start()
        assert handling.wait(seconds(10))
        stopping = threading.Thread(target=server.stop, kwargs={"drain": seconds(10)})
        stopping.start()

        def is_told() -> bool:
            try:
                server.open()
            except NotRunning:
                return True
            return False

        eventually(is_told)
        may_end.set()
        stopping.join(seconds(10))
        caller.join(seconds(10))
        assert [answer.id_tag_info.status for answer in answers] == ["Accepted"]
        assert refused_status(place) == 503
        server.open()
        assert server.client_ids() == []


def test_a_server_that_cannot_begin_refuses_and_tries_again_with_the_next_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = str(tmp_path / "commands.db")
    with make(queues=SQLiteQueueMap(file)) as server, serving(server.wsgi_app()) as (place, _):
        with make(queues=SQLiteQueueMap(file)) as other:
            other.listen(host="127.0.0.1")  # as the worker before a reload holds the file
            with pytest.raises(HandshakeRefused) as refused:
                Client("CP_1", profiles=v16.PROFILES).connect(f"ws://{place}")
            assert (refused.value.status, refused.value.retry_after) == (503, 5.0)
            with pytest.raises(QueueFailed):
                server.open()
        assert "commands.db" in caplog.text
        assert server.stats().refused == {"not_open": 1}
        with Client("CP_1", profiles=v16.PROFILES).connect(f"ws://{place}"):
            assert server.client_ids() == ["CP_1"]


def test_first_requests_that_come_together_open_it_once() -> None:
    with make() as server, serving(server.wsgi_app()) as (place, _):
        clients = [Client(f"CP_{number}", profiles=v16.PROFILES) for number in range(8)]
        threads = [threading.Thread(target=client.connect, args=(f"ws://{place}",)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds(10))
        assert sorted(server.client_ids()) == [f"CP_{number}" for number in range(8)]
        for client in clients:
            client.stop()


def test_a_server_that_listens_takes_connections_of_a_web_server_too() -> None:
    with make() as server, serving(server.wsgi_app(path="/ocpp/{id}")) as (place, _):
        server.listen(host="127.0.0.1")
        first, second = (Client(name, profiles=v16.PROFILES) for name in ("CP_1", "CP_2"))
        with first.connect(server.url), second.connect(f"ws://{place}/ocpp"):
            assert sorted(server.client_ids()) == ["CP_1", "CP_2"]


def test_mistakes_are_named() -> None:
    with pytest.raises(UsageError, match="wsgi_app"):
        make().open()
    with pytest.raises(UsageError, match="template"):
        make().wsgi_app(path="/ocpp")
    with pytest.raises(UsageError, match="identify"):
        make().wsgi_app(path="/ocpp/{id}", identify=lambda request: None)
    with pytest.raises(UsageError, match="environ"):
        make().wsgi_app(lambda environ: [])
    with pytest.raises(UsageError, match="ends before"):
        make(security_profile=2).wsgi_app()
    with pytest.raises(UsageError, match="MemoryServer"):
        make(ws_server=MemoryNetwork().server()).wsgi_app()
