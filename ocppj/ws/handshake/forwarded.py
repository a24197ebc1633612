"""The address of a client that comes through a proxy: from a header field that a trusted proxy adds. Pure.

Each proxy appends the address that it was called from. So the last entry is what the nearest proxy saw, and is true if
that proxy is trusted. Entries are read from the last one on, as long as they name trusted proxies. The first one that
names none is the client. What stands before it was sent by the client itself, and means nothing.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Iterable, List, Mapping, Optional, Tuple, Union

from ...errors import UsageError

__all__ = ["UNIX", "TrustedProxies"]

UNIX = "unix"  #: The address of each peer that comes over a Unix domain socket, and the name that trusts them.

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_DEFAULT = "X-Forwarded-For"  # the other field is "Forwarded" (RFC 7239)

_WITH_PORT = re.compile(r"\[([^\[\]]*)\](?::(\d{1,5}))?|([^:]*):(\d{1,5})")  # "[2001:db8::1]:80", "192.0.2.7:80"


class TrustedProxies:
    """The proxies that a server trusts, by address or network, and the field that they add.

    The name "unix" stands for all that come over a Unix domain socket.

    Raises `UsageError` for what is no address and no network.
    """

    def __init__(self, proxies: Iterable[str] = (), header: str = _DEFAULT) -> None:
        named = tuple(proxies)
        self._unix = UNIX in named
        self._networks = tuple(_network(proxy) for proxy in named if proxy != UNIX)
        self._header = header

    def trusts(self, address: str) -> bool:
        """Tell whether ``address`` ("host:port") is that of a trusted proxy."""
        if address == UNIX:
            return self._unix
        if not self._networks:
            return False
        parsed = _parse(address)
        return parsed is not None and any(parsed[0] in network for network in self._networks)

    def client_of(self, address: str, headers: Mapping[str, str]) -> str:
        """Return the address ("host:port") of the client whose request came from ``address``.

        The port is 0 where no proxy names it. An entry that is no address ends the search: then the client is known
        by the last address that was found.
        """
        if not self.trusts(address):
            return address
        for entry in reversed(self._entries(headers.get(self._header, ""))):
            parsed = _parse(entry)
            if parsed is None:
                break
            host, port = parsed
            address = f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
            if not self.trusts(address):
                break
        return address

    def _entries(self, value: str) -> List[str]:
        """Return the addresses in ``value``, as they stand there.

        Each comma ends an entry, also one in quotes: a quote that a client left open must not swallow what follows.
        """
        entries = [entry.strip() for entry in value.split(",")]
        return entries if self._header == _DEFAULT else [_node(entry) for entry in entries]


def _node(element: str) -> str:
    """Return the value of ``for`` in an element of Forwarded, such as ``for="[2001:db8::1]:80";proto=https``."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _network(proxy: object) -> _Network:
    try:
        if isinstance(proxy, str):
            return ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        pass
    raise UsageError(f"a trusted proxy is an address or a network, such as '10.0.0.0/8', not {proxy!r}")


def _parse(text: str) -> Optional[Tuple[_Address, int]]:
    """Return the address and the port (0: none) in ``text``; ``None`` if it is no address."""
    found = _WITH_PORT.fullmatch(text)
    host, port = text, 0
    if found is not None:
        host = found.group(1) if found.group(1) is not None else found.group(3)
        port = int(found.group(2) or found.group(4) or 0)
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip, port
