"""Where a server listens: `ListenAddress`, and the listening sockets that are opened for one."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple, Union

from ...errors import AddressInUse, TransportError, UsageError
from ...option_checks import check_options
from ..handshake.policy import ProfileOption
from ..handshake.security_profiles import check_context

__all__ = ["ListenAddress", "SocketOption", "close_all", "is_unix", "open_sockets"]

_BACKLOG = 4096  # connections that wait to be accepted: after a restart all clients come back at once
_ATTEMPTS = 20  # to find a port that is free in both families of addresses
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # this system has no such address, or no such family
_UNIX = getattr(socket, "AF_UNIX", None)  # Windows has none

#: Sockets of the program.
SocketOption = Union[socket.socket, Sequence[socket.socket], None]
_Where = Tuple[int, int, Any]  # family, protocol and address of a socket


@dataclass(frozen=True)
class ListenAddress:
    """An address that a server listens on, beside the first one: see ``also`` of `Server.listen`.

    Attributes:
        port: 0 takes any free one.
        host: The address of this machine. If a name has several addresses, all are listened on: "localhost" often has
            one of IPv4 and one of IPv6.
        ssl_context: Makes the server speak TLS there.
        security_profile: As ``security_profile`` of the server, for clients that connect here.
        sock: A listening or bound socket of the program, or a list of them, in place of ``port`` and ``host``.
        reuse_port: Whether other processes may listen there at the same time (SO_REUSEPORT).

    Raises:
        UsageError: A value cannot be used.
    """

    port: int = 0
    host: str = "0.0.0.0"
    ssl_context: Optional[ssl.SSLContext] = None
    security_profile: ProfileOption = None
    sock: SocketOption = None
    reuse_port: bool = False

    def __post_init__(self) -> None:
        check_options("ListenAddress", vars(self))
        check_context(self.ssl_context, ssl.PROTOCOL_TLS_CLIENT)

    def __str__(self) -> str:
        if self.sock is not None:
            return "the given socket"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def open_sockets(address: ListenAddress) -> List[socket.socket]:
    """Return listening sockets that do not block.

    Raises:
        AddressInUse: Another socket listens there.
        TransportError: It cannot be listened on.
        UsageError: A socket of the program cannot be used.
    """
    try:
        if address.sock is not None:
            return _prepare(address.sock)
        return _open_all(_addresses_of(address), address.reuse_port)
    except (OSError, OverflowError) as error:
        story = f"cannot listen on {address}: {error}"
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            raise TransportError(story) from error
        held = AddressInUse(story)
        held.address = str(address)
        raise held from error


def close_all(socks: Sequence[socket.socket]) -> None:
    """Close each of ``socks``."""
    for sock in socks:
        sock.close()


def is_unix(sock: socket.socket) -> bool:
    """Tell whether ``sock`` is a Unix domain socket."""
    return sock.family == _UNIX


def _prepare(given: Union[socket.socket, Sequence[socket.socket]]) -> List[socket.socket]:
    """Have the sockets of the program listen. They stay open if that fails: they are not ours yet."""
    socks = [given] if isinstance(given, socket.socket) else list(given)
    if not socks:
        raise UsageError("sock has no socket: systemd, or whatever starts this program, has handed none over")
    for sock in socks:
        if not isinstance(sock, socket.socket) or isinstance(sock, ssl.SSLSocket):
            raise UsageError(f"sock is a plain socket, or a list of them, not {sock!r}: give TLS as ssl_context")
        if sock.type != socket.SOCK_STREAM or not (is_unix(sock) or sock.family in (socket.AF_INET, socket.AF_INET6)):
            raise UsageError(f"sock is a TCP or a Unix stream socket, not {sock!r}")
        name = sock.getsockname()
        if not (name if is_unix(sock) else name[1]):
            raise UsageError("sock is not bound to an address")
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    return socks


def _addresses_of(address: ListenAddress) -> List[_Where]:
    if not 0 <= address.port <= 65535:  # some resolvers would use the lower 16 bits
        raise OverflowError("a port is a number from 0 to 65535")
    found = socket.getaddrinfo(
        address.host or "0.0.0.0", address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, protocol, where) for family, _, protocol, _, where in found))


def _open_all(addresses: Sequence[_Where], reuse_port: bool) -> List[socket.socket]:
    """Listen on all of ``addresses`` that this system has, with one port. Raises ``OSError``."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _open_once(addresses, reuse_port)
        except OSError as error:
            any_port = addresses[0][2][1] == 0 and len(addresses) > 1
            if error.errno != errno.EADDRINUSE or not any_port or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _open_once(addresses: Sequence[_Where], reuse_port: bool) -> List[socket.socket]:
    socks: List[socket.socket] = []
    missing: Optional[OSError] = None
    try:
        for family, protocol, where in addresses:
            port = socks[0].getsockname()[1] if socks else where[1]
            try:
                socks.append(_open(family, protocol, (where[0], port, *where[2:]), reuse_port))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
        if missing is not None and not socks:
            raise missing
    except BaseException:
        close_all(socks)
        raise
    return socks


def _open(family: int, protocol: int, where: Any, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        if os.name == "posix":  # elsewhere the option would let two servers share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            option = getattr(socket, "SO_REUSEPORT", None)
            if option is None:
                raise UsageError("this system has no SO_REUSEPORT: leave reuse_port out")
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind(where)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        with suppress(OSError):
            sock.close()
        raise
    return sock
