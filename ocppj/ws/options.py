"""The options that all clients, and all servers, of this package take: for type checkers."""

from __future__ import annotations

from typing import Callable, Optional, TypedDict, Union

from ..clock import Clock
from .backoff import Backoff
from .readers.choice import ReadersOption

__all__ = ["ClientOptions", "ServerOptions"]


class ClientOptions(TypedDict, total=False):
    """The options of `connecting.session.ClientCore`. `WebSocketClient` says what they mean."""

    reconnect: bool
    backoff: Union[Backoff, Callable[[], Backoff]]
    clock: Optional[Clock]
    max_message_size: int
    ping_interval: Optional[float]
    pong_timeout: float
    close_timeout: float
    readers: ReadersOption


class ServerOptions(TypedDict, total=False):
    """The options of `serving.registry.ServerCore`. `WebSocketServer` says what they mean."""

    max_message_size: int
    max_connections: Optional[int]
    max_connections_per_address: Optional[int]
    max_attempts_per_second: Optional[float]
    idle_timeout: Optional[float]
    ping_interval: Optional[float]
    pong_timeout: float
    close_timeout: float
    duplicates: str
    no_subprotocol: str
    default_subprotocol: Optional[str]
    prefer: str
    readers: ReadersOption
