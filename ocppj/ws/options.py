"""The options of the default transports, as types.

Each type says what the options mean that all its transports take. `WebSocketClient` and `WebSocketServer` say the rest.

Their constructors and those of `Client` and `Server` take ``**options: Unpack[...]`` (PEP 692).
"""

from __future__ import annotations

import ssl
from typing import Callable, Optional, Sequence, TypedDict, Union

from ..clock import Clock
from .backoff import Backoff
from .connection.deflate import Deflate
from .handshake.credentials import BasicAuthOption, HeadersOption
from .handshake.policy import ProfileOption
from .readers.choice import ReadersOption

__all__ = [
    "ClientCoreOptions", "ClientOptions", "CoreOptions", "MemoryClientOptions", "ServerCoreOptions", "ServerOptions",
    "TransportOptions",
]  # fmt: skip


class CoreOptions(TypedDict, total=False):
    """Of every transport, in memory too. Times are in seconds, sizes in bytes.

    Attributes:
        close_timeout: How long the peer may take to answer a Close, and to take all that is written before it. With
            0.5, ``stop()`` of a client ends within a second.
        ping_interval: Between pings of a connection: 45, for many proxies cut what is silent for 60, and not every
            peer pings. ``None`` or 0 for none. Each channel of a server has its own, which may be set.
        pong_timeout: Anything that comes within this time after a ping counts as life.
        max_message_size: Of a message that is received, inflated, in bytes.
        message_timeout: From the first byte of a message to its last.
        readers: Which threads serve the connections. "auto": each of up to 8 connections has its own threads, more
            share theirs. "per-connection", "shared", a `Readers` object, or a function that returns one for each
            ``listen()`` or ``connect()``.
    """

    close_timeout: float
    ping_interval: Optional[float]
    pong_timeout: float
    max_message_size: int
    message_timeout: float
    readers: ReadersOption


class TransportOptions(CoreOptions, total=False):
    """Of every transport over TCP."""

    ssl_context: Optional[ssl.SSLContext]
    handshake_timeout: float
    write_timeout: float
    max_header_size: int


class ClientCoreOptions(CoreOptions, total=False):
    """Of every client transport.

    Attributes:
        reconnect: Whether a lost connection is regained, after the waits of ``backoff``, and not before a server's
            Retry-After.
        backoff: A `Backoff`, or a function that returns one.
        clock: On which the waits of the back-off are waited for.
        default_subprotocol: That of a server which names none in its response, one of those that are offered. Without
            it such a connection is closed. A server that speaks none of them answers the same way, and closes at once
            (OCPP-J 1.6 section 3.2).
    """

    reconnect: bool
    backoff: Union[Backoff, Callable[[], Backoff]]
    clock: Optional[Clock]
    default_subprotocol: Optional[str]


class MemoryClientOptions(ClientCoreOptions, total=False):
    """Of `ocppj.ws.memory.MemoryClient`."""

    headers: HeadersOption
    basic_auth: BasicAuthOption


class ClientOptions(TransportOptions, total=False):
    """What `Client` hands on to `ocppj.ws.client.WebSocketClient`."""

    headers: HeadersOption
    basic_auth: BasicAuthOption
    backoff: Union[Backoff, Callable[[], Backoff]]
    security_profile: Optional[int]
    default_subprotocol: Optional[str]
    compression: Union[bool, Deflate]


class ServerCoreOptions(CoreOptions, total=False):
    """Of every server transport. `ocppj.ws.limits` says why the limits are what they are.

    Attributes:
        max_connections: Connections at a time. One more gets 503 with Retry-After. ``None``: no limit.
        max_connections_per_address: The same, of one address. Behind a proxy all clients have one address.
        idle_timeout: A connection that brings nothing for so long is closed with 1008. ``None``: never.
        duplicates: With "replace" a new connection replaces the old one of its identity, which is closed with 1008.
            With "reject" the new one gets 409. In a cluster two processes may admit the same identity at the same
            moment: then the newer one replaces the other.
        no_subprotocol: Without a common subprotocol, "close" upgrades and closes with 1002 at once (OCPP-J 1.6 section
            3.2), "reject" answers 400, and "default" uses ``default_subprotocol`` also for peers that offer unknown
            ones. A certification by the Open Charge Alliance needs "reject".
        default_subprotocol: For peers that offer none.
        prefer: "client" or "server": whose order of subprotocols counts.
        handshake: "strict", or "lenient" for chargers whose handshake is a little off: no ``Connection`` field,
            "Basic:" with a colon, base64 without padding, a subprotocol in another case or with a tail, such as
            ``OCPP1.6``, ``ocpp1.6J``, ``ocpp2.0.1.1``.
        plain_identities: Refuses with 400 an identity, or another value of the path, with characters that do not show:
            bidirectional controls and characters without a width. Two such identities may look the same. In log lines
            they are always escape sequences.
        max_attempts_per_second: Attempts to connect. More get 503 with Retry-After. ``None``: no limit.
        max_attempts_per_second_per_address: The same, from one address.
        trusted_proxies: Addresses and networks ("10.0.0.0/8") of proxies, and "unix" for all that come over a Unix
            domain socket. The address of a client that comes through them is what they say in the field
            ``proxy_header``.
        proxy_header: "X-Forwarded-For" or "Forwarded". Name the field that the proxy itself sets; the other one may
            come from the client.
        max_memory_bytes: Bytes of all that is held for peers: see `ocppj.budget`. A connection that needs more is
            closed with 1013. ``None``: no limit.
    """

    max_connections: Optional[int]
    max_connections_per_address: Optional[int]
    idle_timeout: Optional[float]
    duplicates: str
    no_subprotocol: str
    default_subprotocol: Optional[str]
    prefer: str
    handshake: str
    plain_identities: bool
    max_attempts_per_second: Optional[float]
    max_attempts_per_second_per_address: Optional[float]
    trusted_proxies: Sequence[str]
    proxy_header: str
    max_memory_bytes: Optional[int]


class ServerOptions(TransportOptions, ServerCoreOptions, total=False):
    """What `Server` hands on to `ocppj.ws.server.WebSocketServer`."""

    max_handshakes: Optional[int]
    compression: Union[bool, Deflate]
    security_profile: ProfileOption
