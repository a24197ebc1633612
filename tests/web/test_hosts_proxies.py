"""docs/proxies.md, tried with the real nginx, HAProxy and Caddy: their blocks, with the ports and files of the test."""

import os
import re
import shutil
import socket
import subprocess
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from ocppj import Client, Server, v16
from tests.helpers import Recorder, eventually, seconds
from tests.test_readme import ROOT
from tests.web.hosts import Port
from tests.ws.support import DATA, client_context, request

PAGE = (ROOT / "docs" / "proxies.md").read_text("utf-8")
HOST = "127.0.0.1"
SHORT = f"{round(seconds(1) * 1000)}ms"  # in place of the proxies' timeouts of 60 s
RESET = v16.ResetRequest(type="Soft")


def block_of(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def nginx(folder: Path, block: str) -> List[str]:
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    block = block.replace("/etc/ssl/ocpp.key", str(DATA / "server.pem"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;"
        f"events {{}} http {{ access_log off; {temporary}\n{block}\n}}"
    )
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def haproxy(folder: Path, block: str) -> List[str]:
    (folder / "haproxy.cfg").write_text(f"defaults\n    timeout check 2s\n\n{block}")
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def caddy(folder: Path, block: str) -> List[str]:
    pem = DATA / "server.pem"
    (folder / "Caddyfile").write_text(
        "{\nadmin off\nauto_https disable_redirects\nskip_install_trust\n}\n"
        + block.replace(" {\n", f" {{\n    bind {HOST}\n    tls {pem} {pem}\n", 1)
    )
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES: Dict[str, Callable[[Path, str], List[str]]] = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy}


class Proxy:
    """A proxy that runs the block of the page, before ``server``."""

    def __init__(self, name: str, folder: Path, server: Server, port: int) -> None:
        block = block_of(name)
        changes = {
            "127.0.0.1:9000": server.url.split("/")[2],
            "listen 443": f"listen {HOST}:{port}",
            "bind :443": f"bind {HOST}:{port}",
            "/etc/ssl/ocpp.pem": str(DATA / "server.pem"),
            " 60s": f" {SHORT}",
            "ocpp.example.com": f"https://localhost:{port}",
        }
        for old, new in changes.items():
            block = block.replace(old, new)
        assert SHORT in block or name == "caddy"  # which has no such timeout
        self.address = (HOST, port)
        self.url = f"wss://localhost:{port}/ocpp"
        surroundings = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self._process = subprocess.Popen(PROXIES[name](folder, block), stderr=subprocess.DEVNULL, env=surroundings)
        eventually(self._listens)

    def _listens(self) -> bool:
        assert self._process.poll() is None, "the proxy has ended"
        with closing(socket.socket()) as sock:
            return sock.connect_ex(self.address) == 0

    def end(self) -> None:
        self._process.kill()
        self._process.wait(seconds(10))


@pytest.fixture(params=sorted(PROXIES))
def behind(request: Any, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Return a function that puts a proxy before a server."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: the block of docs/proxies.md was NOT tried")
    started: List[Proxy] = []
    with closing(Port()) as port:

        def start(server: Server) -> Proxy:
            started.append(Proxy(name, tmp_path, server, port.number))
            return started[-1]

        yield start
        for each in started:
            each.end()


def make_server(**options: Any) -> Server:
    server = Server(profiles=v16.PROFILES, trusted_proxies=[HOST], **options)
    server.on(v16.DataTransferRequest)(lambda client_id, request: v16.DataTransferResponse(status="Accepted"))
    return server.listen(host=HOST, path="/ocpp/{id}", health_path="/health")


def test_a_charger_is_silent_for_longer_than_the_proxy_waits(behind: Any) -> None:
    """The pings of the server alone keep the connection; the client of this test does not ping."""
    with make_server(ping_interval=seconds(0.2)) as server:
        proxy = behind(server)
        gone = Recorder()
        client = Client("CP 1/é", profiles=v16.PROFILES, ssl_context=client_context(), ping_interval=None)
        client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
        client.set_disconnected_handler(gone)
        with client.connect(proxy.url):
            assert not threading.Event().wait(seconds(2.5))
            assert gone.calls == []
            assert server.call("CP 1/é", RESET, timeout=seconds(5)).status == "Accepted"
            data = v16.DataTransferRequest(vendor_id="ACME", data="x" * 20_000)
            assert client.call(data, timeout=seconds(5)).status == "Accepted"
        assert server.stats().refused == {}


@pytest.mark.parametrize("behind", ["haproxy", "nginx"], indirect=True)
def test_without_pings_the_proxy_cuts_the_connection(behind: Any) -> None:
    with make_server(ping_interval=None) as server:
        proxy = behind(server)
        gone = Recorder()
        client = Client(
            "CP_1", profiles=v16.PROFILES, ssl_context=client_context(), ping_interval=None, reconnect=False
        )
        client.set_disconnected_handler(gone)
        with client.connect(proxy.url):
            gone.wait(1)


def test_the_address_is_what_the_proxy_says_and_not_the_client(behind: Any) -> None:
    with make_server() as server:
        proxy = behind(server)
        raw = socket.create_connection(proxy.address, seconds(5), source_address=("127.0.0.2", 0))
        with client_context().wrap_socket(raw, server_hostname="localhost") as sock:
            sock.sendall(request("/ocpp/CP_1", Host="localhost", X_Forwarded_For="203.0.113.9"))
            assert b" 101 " in sock.recv(100)
            assert server.connection("CP_1").remote_address == "127.0.0.2:0"


def test_haproxy_asks_for_the_health(tmp_path: Path, caplog: Any) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed: the health check of docs/proxies.md was NOT tried")
    with make_server() as server, closing(Port()) as port:
        proxy = Proxy("haproxy", tmp_path, server, port.number)
        try:
            eventually(lambda: server.stats().probes.get("health"))
        finally:
            proxy.end()
        assert server.stats().refused == {}
    assert not caplog.records
