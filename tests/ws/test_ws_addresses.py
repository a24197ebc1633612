"""The sockets that are opened for an address."""

import socket
import ssl
from contextlib import closing

import pytest

from ocppj import AddressInUse, ListenAddress, TransportError, UsageError
from ocppj.ws.serving.addresses import close_all, open_sockets

HOST = "127.0.0.1"
ELSEWHERE = "192.0.2.1"  # RFC 5737: no machine has it


def names(*hosts):
    """Return a `socket.getaddrinfo` for which a name has these addresses."""

    def resolve(host, port, **options):
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, port)) for each in hosts]

    return resolve


def test_addresses_of_a_name_that_this_system_lacks_are_left_out(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", names(ELSEWHERE, HOST, HOST))
    socks = open_sockets(ListenAddress(host="csms.example"))
    try:
        assert [sock.getsockname()[0] for sock in socks] == [HOST]
        assert not any(sock.getblocking() for sock in socks)
    finally:
        close_all(socks)


def test_a_name_of_another_machine(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", names(ELSEWHERE))
    with pytest.raises(TransportError, match="cannot listen on csms.example:0") as caught:
        open_sockets(ListenAddress(host="csms.example"))
    assert not isinstance(caught.value, AddressInUse)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="all of 127.0.0.0/8 is Linux's")
def test_any_port_is_one_that_is_free_at_all_addresses(monkeypatch):
    """The port that the first address gets may be in use at the second."""
    try:
        socket.create_server(("127.0.0.2", 0)).close()
    except OSError:
        pytest.skip("this system has no second address")
    taken = []
    opened = socket.socket.listen

    def listen(sock, *backlog):
        opened(sock, *backlog)
        host, port = sock.getsockname()
        if host == HOST and len(taken) < 2:  # another program is faster at the second address, twice
            taken.append(None)
            taken[-1] = socket.create_server(("127.0.0.2", port))

    monkeypatch.setattr(socket, "getaddrinfo", names(HOST, "127.0.0.2"))
    monkeypatch.setattr(socket.socket, "listen", listen)
    socks = open_sockets(ListenAddress(host="csms.example"))
    try:
        ports = {sock.getsockname()[1] for sock in socks}
        assert (len(socks), len(ports)) == (2, 1)
        assert not ports & {each.getsockname()[1] for each in taken}
    finally:
        close_all([*socks, *taken])


def test_a_port_that_is_in_use_at_one_address(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", names(HOST, HOST))
    with closing(socket.create_server((HOST, 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse) as caught:
            open_sockets(ListenAddress(port, "csms.example"))
        assert caught.value.address == f"csms.example:{port}"


def test_how_an_address_is_written():
    assert str(ListenAddress(9000)) == "0.0.0.0:9000"
    assert str(ListenAddress(9000, "::")) == "[::]:9000"
    with closing(socket.socket()) as sock:
        assert str(ListenAddress(sock=sock)) == "the given socket"


def test_what_an_address_does_not_take():
    with pytest.raises(UsageError, match="was made for a client"):
        ListenAddress(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    for bad in ({"port": -1}, {"reuse_port": 1}, {"security_profile": 4}, {"sock": 3}, {"host": None}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            ListenAddress(**bad)
    with pytest.raises(TransportError, match="from 0 to 65535"):
        open_sockets(ListenAddress(70_000))
