"""The options of the default transports, as `Client` and `Server` take them too. Their classes say what they mean."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Callable, Optional, TypedDict, Union

if TYPE_CHECKING:
    from .backoff import Backoff
    from .handshake.urls import BasicAuthOption, HeadersOption
    from .readers.choice import ReadersOption

__all__ = ["ClientOptions", "ServerOptions", "TransportOptions"]


class TransportOptions(TypedDict, total=False):
    """What both have. Times are in seconds, sizes in bytes."""

    ssl_context: Optional[ssl.SSLContext]
    security_profile: Optional[int]
    handshake_timeout: float
    write_timeout: float
    close_timeout: float
    ping_interval: Optional[float]
    pong_timeout: float
    max_header_size: int
    max_message_size: int
    readers: ReadersOption


class ClientOptions(TransportOptions, total=False):
    """What a client's transport has: see `ocppj.ws.client.WebSocketClient`."""

    headers: HeadersOption
    basic_auth: BasicAuthOption
    backoff: Union[Backoff, Callable[[], Backoff]]


class ServerOptions(TransportOptions, total=False):
    """What a server's transport has: see `ocppj.ws.server.WebSocketServer`."""

    max_connections: Optional[int]
    max_connections_per_address: Optional[int]
    max_attempts_per_second: Optional[float]
    max_handshakes: Optional[int]
    idle_timeout: Optional[float]
    duplicates: str
    no_subprotocol: str
    default_subprotocol: Optional[str]
    prefer: str
    compression: bool
