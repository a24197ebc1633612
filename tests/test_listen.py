"""Where a server listens: several addresses, sockets of the program, a wait for the process before, and its health."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing

import pytest

from ocppj import (
    AddressInUse,
    Client,
    HandshakeRefused,
    ListenAddress,
    NotConnected,
    NotRunning,
    QueueInUse,
    Server,
    SQLiteQueueMap,
    TransportError,
    UsageError,
    systemd_sockets,
    v16,
)
from tests.helpers import Recorder, eventually, seconds
from tests.ports import free_port
from tests.ws.support import client_context, server_context

HOST = "127.0.0.1"
RESET = v16.ResetRequest(type="Soft")


def make_server(**options):
    return Server(profiles=v16.PROFILES, **options)


def make_client(identity="CP_1", **options):
    client = Client(identity, profiles=v16.PROFILES, reconnect=False, **options)
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
    return client


def comes_in(server, url, identity="CP_1", **options):
    """Connect a client to ``url``, and have the server ask it something."""
    with make_client(identity, **options).connect(url):
        return server.call(identity, RESET, timeout=seconds(5)).status == "Accepted"


def bound(host=HOST, port=0, family=socket.AF_INET):
    sock = socket.socket(family)
    sock.bind((host, port))
    return sock


def has_ipv6():
    try:
        bound("::1", family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


# Several addresses


def test_clients_come_to_any_of_several_addresses():
    server = make_server()
    tls = ListenAddress(host="localhost", ssl_context=server_context())
    with server.listen(host=HOST, path="/ocpp/{id}", also=[ListenAddress(host=HOST), tls]):
        assert server.urls[0] == server.url
        assert [url.partition(":")[0] for url in server.urls] == ["ws", "ws", "wss"]
        with ExitStack() as stack:
            for number, url in enumerate(server.urls):
                options = {"ssl_context": client_context()} if url.startswith("wss") else {}
                stack.enter_context(make_client(f"CP_{number}", **options).connect(url))
            assert server.client_ids() == ["CP_0", "CP_1", "CP_2"]
    for port in {int(url.split("/")[2].rpartition(":")[2]) for url in server.urls}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), seconds(5))


def test_each_address_has_its_security_profile():
    server = make_server(security_profile=1)
    server.set_basic_auth_handler({"CP_1": "sixteen-letters."})
    server.set_check_certificate_handler(lambda request: True)
    certificates = ListenAddress(host=HOST, ssl_context=server_context(client_certificates=True), security_profile=3)
    free = ListenAddress(host=HOST, security_profile=0)
    with server.listen(host=HOST, also=[certificates, free]):
        password, certificate, nothing = server.urls
        certificate = certificate.replace(HOST, "localhost")
        for url, options in (
            (password, {"basic_auth": ("CP_1", "sixteen-letters.")}),
            (certificate, {"ssl_context": client_context(certificate=True)}),
            (nothing, {}),
        ):
            assert comes_in(server, url, **options)
        with pytest.raises(HandshakeRefused) as caught:
            make_client().connect(password)
        assert caught.value.status == 401
        with pytest.raises(TransportError):
            make_client(ssl_context=client_context()).connect(certificate)
    with pytest.raises(UsageError, match="security profile 2 is over TLS"):
        server.listen(host=HOST, also=[ListenAddress(host=HOST, security_profile=2)])


def test_localhost_is_ipv4_and_ipv6():
    if not has_ipv6():
        pytest.skip("this system has no IPv6")
    families = {info[0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    with make_server().listen(host="localhost") as server:
        port = int(server.url.rpartition(":")[2])
        for family, host in ((socket.AF_INET, HOST), (socket.AF_INET6, "[::1]")):
            if family in families:
                assert comes_in(server, f"ws://{host}:{port}")
        assert comes_in(server, server.url)


def test_if_one_address_cannot_be_had_none_is():
    with closing(bound()) as taken, closing(bound()) as free:
        taken.listen()
        port = free.getsockname()[1]
        free.close()
        server = make_server()
        with pytest.raises(AddressInUse) as caught:
            server.listen(port, host=HOST, also=[ListenAddress(taken.getsockname()[1], HOST)])
        assert caught.value.address == f"{HOST}:{taken.getsockname()[1]}"
        with server.listen(port, host=HOST):  # the first address is free again, and the server can be used
            assert comes_in(server, server.url)


def test_clients_of_the_first_address_are_closed_if_the_second_cannot_begin(monkeypatch):
    start, begun = threading.Thread.start, []
    port = free_port()
    client, closed = make_client(), Recorder()
    client.set_disconnected_handler(closed)

    def start_(thread):
        if thread.name == "ocppj-accept":
            begun.append(thread)
            if len(begun) == 2:
                connector = threading.Thread(target=client.connect, args=(f"ws://{HOST}:{port}",))
                connector.start()
                connector.join(seconds(10))
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_)
    server = make_server()
    with client, pytest.raises(TransportError):
        server.listen(port, host=HOST, also=[ListenAddress(host=HOST)])
    assert closed.wait()[0][0].code == 1001
    with server.listen(port, host=HOST):
        assert comes_in(server, server.url)


def test_two_servers_share_a_port():
    if not hasattr(socket, "SO_REUSEPORT"):
        pytest.skip("this system has no SO_REUSEPORT")
    with make_server().listen(host=HOST, reuse_port=True) as one:
        port = int(one.url.rpartition(":")[2])
        with pytest.raises(AddressInUse):
            make_server().listen(port, host=HOST)
        with make_server().listen(port, host=HOST, reuse_port=True) as two, ExitStack() as stack:
            for number in range(40):
                stack.enter_context(make_client(f"CP_{number}").connect(one.url))
            counts = [len(one.client_ids()), len(two.client_ids())]
            assert sum(counts) == 40
            assert all(counts)


# Sockets of the program


@pytest.mark.parametrize("listening", [False, True], ids=["bound", "listening"])
def test_a_socket_of_the_program(listening):
    sock = bound()
    url = f"ws://{HOST}:{sock.getsockname()[1]}"
    if listening:
        sock.listen(1)
    with make_server().listen(sock=sock) as server:
        assert server.url == url
        assert comes_in(server, server.url)
    assert sock.fileno() == -1


def test_several_sockets_of_the_program():
    socks = [bound(), bound()]
    urls = [f"ws://{HOST}:{sock.getsockname()[1]}" for sock in socks]
    with make_server().listen(sock=socks) as server:
        assert all(comes_in(server, url) for url in urls)


def test_what_is_no_socket_to_listen_on():
    with closing(socket.socket()) as unbound, closing(socket.socket(type=socket.SOCK_DGRAM)) as datagrams:
        wrong = [
            (unbound, "not bound"),
            (datagrams, "a TCP or a Unix stream socket"),
            ([], "has no socket"),
            ("systemd", "sock is "),
            ([3], "a plain socket"),
        ]
        for sock, why in wrong:
            with pytest.raises(UsageError, match=why):
                make_server().listen(sock=sock)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix domain sockets")
def test_a_unix_domain_socket_behind_a_proxy(tmp_path):
    path = str(tmp_path / "ocpp.sock")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    server = make_server(trusted_proxies=["unix"])
    with server.listen(sock=sock, path="/ocpp/{id}"):
        assert server.url == f"ws+unix://{path}:/ocpp"
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(seconds(5))
            client.connect(path)
            client.sendall(upgrade("/ocpp/CP_1", "X-Forwarded-For: 192.0.2.7"))
            assert b" 101 " in client.recv(100)
            assert server.connection("CP_1").remote_address == "192.0.2.7:0"


def upgrade(path, *fields):
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: ocpp1.6",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


UNDER_SYSTEMD = """
import os, socket, sys
from ocppj import Server, systemd_sockets, v16
for position, descriptor in enumerate(map(int, sys.argv[1:])):
    os.dup2(descriptor, 3 + position)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sys.argv) - 1), LISTEN_FDNAMES="web:ocpp")
assert len(systemd_sockets()) == 2 and systemd_sockets("other") == []
for _ in range(2):  # the sockets of systemd stay open over a stop
    with Server(profiles=v16.PROFILES).listen(sock=systemd_sockets("ocpp")) as server:
        print(server.url, flush=True)
        assert not os.get_inheritable(4)
        assert sys.stdin.readline()
"""


@pytest.mark.skipif(os.name != "posix", reason="systemd is of Linux")
def test_sockets_that_systemd_hands_over():
    with closing(bound()) as web, closing(bound()) as ocpp:
        web.listen()
        ocpp.listen()
        url = f"ws://{HOST}:{ocpp.getsockname()[1]}"
        numbers = [os.dup(sock.fileno()) for sock in (web, ocpp)]
        # Above those that they become.
        high = [os.dup2(number, 40 + position) for position, number in enumerate(numbers)]
        command = [sys.executable, "-c", UNDER_SYSTEMD, *map(str, high)]
        with subprocess.Popen(command, pass_fds=high, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
            for number in {*numbers, *high}:
                os.close(number)
            for _ in range(2):
                assert run.stdout.readline().strip() == url
                with make_client().connect(url):
                    run.stdin.write("go on\n")
                    run.stdin.flush()
            run.stdin.close()
            assert run.wait(seconds(20)) == 0


def test_without_systemd_there_are_no_sockets(monkeypatch):
    assert systemd_sockets() == []
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd_sockets() == []
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "many")
    assert systemd_sockets() == []


# A process before this one still has the address, or the file


def questions(server):
    """Ask all that needs clients; return the errors."""
    errors = []
    for ask in (
        lambda: server.call("CP_1", RESET),
        lambda: server.send_request("CP_1", RESET),
        lambda: server.broadcast(RESET),
        server.client_ids,
        server.connections,
        lambda: server.connection("CP_1"),
        lambda: server.url,
    ):
        with pytest.raises(NotRunning) as caught:
            ask()
        errors.append(str(caught.value))
    return errors


def test_it_waits_for_an_address(caplog):
    caplog.set_level("INFO", "ocppj")
    server = make_server()
    with make_server().listen(host=HOST) as before:
        port = int(before.url.rpartition(":")[2])
        server.listen(port, host=HOST, wait=True)
        words = f"the server waits for {HOST}:{port}, which another process holds"
        assert set(questions(server)) == {words}
        with pytest.raises(UsageError, match="started already"):
            server.listen(port, host=HOST, wait=True)
    with server:
        assert eventually(lambda: answers(server))
        assert comes_in(server, server.url)
    told = [record.getMessage() for record in caplog.records if record.name == "ocppj.server"]
    assert [line for line in told if "CP_1" not in line][1:] == [words, f"listening on ws://{HOST}:{port}"]


def answers(server):
    try:
        return [server.url]
    except NotRunning:
        return []


def test_it_waits_for_the_file_of_the_queues(tmp_path):
    path = tmp_path / "commands.db"
    server = make_server(queues=SQLiteQueueMap(path))
    with make_server(queues=SQLiteQueueMap(path)).listen(host=HOST) as before:
        with pytest.raises(QueueInUse):
            server.listen(host=HOST)
        server.listen(int(before.url.rpartition(":")[2]), host=HOST, wait=True)  # the file, and then the address
        words = f"the server waits for {path}, which another process holds"
        assert set(questions(server)) == {words}
        with pytest.raises(NotRunning, match="commands.db"):
            server.send_request("CP_1", RESET, offline=True)
    with server:
        assert eventually(lambda: answers(server))
        assert comes_in(server, server.url)


def test_stop_ends_the_wait():
    with make_server().listen(host=HOST) as before:
        port = int(before.url.rpartition(":")[2])
        server = make_server()
        with server.listen(port, host=HOST, wait=True):
            pass
        assert not [each.name for each in threading.enumerate() if each.name == "ocppj-takeover"]
        with pytest.raises(NotRunning, match="not started"):
            server.call("CP_1", RESET)
        assert server.client_ids() == []
        with server.listen(host=HOST):  # it can be used anew
            assert comes_in(server, server.url)


def test_start_waits_too_and_raises_what_ends_the_wait(tmp_path):
    path = tmp_path / "commands.db"
    before = SQLiteQueueMap(path)
    before.init()
    server, raised = make_server(queues=SQLiteQueueMap(path)), []

    def run():
        try:
            server.start(0, host="host.invalid", wait=True)
        except OSError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with ExitStack() as stack:
        stack.callback(thread.join, seconds(10))
        stack.callback(server.stop)
        eventually(lambda: "waits for" in why_not(server))
        before.close()  # then the address is tried, and there is no such host
        eventually(lambda: raised)
    assert "cannot listen on host.invalid:0" in str(raised[0])
    assert "not started" in why_not(server)
    before.init()  # the file was let go
    before.close()


def why_not(server):
    with pytest.raises(NotConnected) as caught:
        server.call("CP_1", RESET)
    return str(caught.value)


def test_without_wait_an_address_in_use_is_an_error_at_once():
    with make_server().listen(host=HOST) as before, pytest.raises(AddressInUse):
        make_server().listen(int(before.url.rpartition(":")[2]), host=HOST)


# Health


def ask(sock, head):
    sock.sendall(head.encode())
    data = b""
    while True:
        part = sock.recv(4096)
        if not part:
            break
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode(), body.decode()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_page_of_health(tls, caplog):
    server = make_server(ssl_context=server_context() if tls else None)
    server.set_basic_auth_handler({})
    with server.listen(host=HOST, health_path="/health"):
        port = int(server.url.rpartition(":")[2])
        for method, path in (("GET", "/health"), ("GET", "/health?from=balancer"), ("HEAD", "/health")):
            sock = socket.create_connection((HOST, port), seconds(5))
            if tls:
                sock = client_context().wrap_socket(sock, server_hostname="localhost")
            with closing(sock):
                head, body = ask(sock, f"{method} {path} HTTP/1.1\r\nHost: balancer\r\n\r\n")
            assert head.startswith("HTTP/1.1 200 OK\r\n")
            assert "\r\nContent-Type: application/json" in head
            if method == "HEAD":
                assert body == ""
            else:
                page = json.loads(body)
                assert page.pop("since").endswith("+00:00")
                assert page == {"version": page["version"], "status": "ok", "connections": 0}
                assert page["version"].count(".") == 2
        stats = server.stats()
        assert (stats.probes, stats.refused) == ({"health": 3}, {})
    assert not caplog.records


def test_while_it_drains_it_says_that_it_closes():
    asked, answer = threading.Event(), threading.Event()
    client = Client("CP_1", profiles=v16.PROFILES, reconnect=False)

    @client.on(v16.ResetRequest)
    def reset(request):
        asked.set()
        answer.wait(seconds(10))
        return v16.ResetResponse(status="Accepted")

    server = make_server()
    with server.listen(host=HOST, health_path="/health"), client.connect(server.url):
        address = (HOST, int(server.url.rpartition(":")[2]))
        future = server.send_request("CP_1", RESET)
        assert asked.wait(seconds(5))
        stopper = threading.Thread(target=server.stop, kwargs={"drain": seconds(10)})
        stopper.start()

        def page():
            with socket.create_connection(address, seconds(5)) as sock:
                return ask(sock, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")

        head, body = eventually(lambda: " 503 " in page()[0] and page())
        assert json.loads(body)["status"] == "closing"
        answer.set()
        stopper.join(seconds(10))
        assert future.result(seconds(5)).status == "Accepted"


def test_a_client_may_be_called_health():
    server = make_server()
    with server.listen(host=HOST, health_path="/health"), make_client("health").connect(server.url):
        assert server.client_ids() == ["health"]
    assert server.stats().probes == {}


def test_without_a_health_path_there_is_no_page():
    with make_server().listen(host=HOST) as server:
        address = (HOST, int(server.url.rpartition(":")[2]))
        with socket.create_connection(address, seconds(5)) as sock:
            assert ask(sock, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")[0].startswith("HTTP/1.1 426 ")
        assert server.stats().refused == {"bad_request": 1}
    with pytest.raises(UsageError, match="begins with a slash"):
        make_server().listen(host=HOST, health_path="health")
