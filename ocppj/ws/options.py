"""The options of the default transports, as types. `WebSocketClient` and `WebSocketServer` say what they mean.

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
    """Of every transport, in memory too. Times are in seconds, sizes in bytes."""

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
    """Of every client transport: see `ocppj.ws.connecting.session.ClientCore`."""

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
    """Of every server transport: see `ocppj.ws.serving.registry.ServerCore`."""

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
