"""`ConnectionInfo`: what is known of one connected client, at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Mapping, Optional

from ..ws.base import handshake_of, silence_of
from .boot import ACCEPTED
from .connection import Connection

__all__ = ["ConnectionInfo", "info_of"]


@dataclass(frozen=True)
class ConnectionInfo:
    """A connected client, as it was when `Server.connection` or `Server.connections` returned. It does not change.

    What a transport of the program's own does not tell is ``None`` or empty.

    Attributes:
        client_id: Its identity.
        version: The OCPP version of the connection, such as "1.6".
        subprotocol: The WebSocket subprotocol, such as "ocpp1.6".
        remote_address: Where it connected from, host and port; with ``trusted_proxies`` what the proxies say.
        connected_since: When the connection was made, in UTC, by the server's clock.
        last_heard: When something last came from it, in UTC: a message, a ping or a pong.
        path: The path of its URL, as it was sent. The query is left out: it may have a token.
        values: The decoded values of the other placeholders of the path: ``{"tenant": "north"}`` for
            ``/{tenant}/{id}``.
        headers: The fields of its upgrade request; names may be in any case. ``Authorization``, ``Proxy-Authorization``
            and ``Sec-WebSocket-Key`` are left out.
        certificate: Its TLS certificate, as `ssl.SSLSocket.getpeercert` returns it. ``None`` without one.
        queue_length: How many requests wait for it; the one that it has not answered yet counts as well.
        open_calls: How many of its own requests are not answered yet.
        boot_status: How its last BootNotification to this server was answered, over this connection or an earlier one:
            "Accepted", "Pending" or "Rejected". ``None``: it has sent none since this server was made.
        node_id: The node of the cluster that has the connection. ``None`` without a cluster. Of a connection to another
            node there is what stands before ``last_heard``, ``path`` and ``values``. The rest is not known here:
            ``open_calls`` is 0 and ``boot_accepted`` is ``False`` then, whatever the client does.
    """

    client_id: str
    version: str
    subprotocol: str
    remote_address: str
    connected_since: datetime
    last_heard: Optional[datetime] = None
    path: Optional[str] = None
    values: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: Optional[Mapping[str, Any]] = field(default=None, repr=False)
    queue_length: Optional[int] = None
    open_calls: int = 0
    boot_status: Optional[str] = None
    node_id: Optional[str] = None

    @property
    def boot_accepted(self) -> bool:
        """Whether its last BootNotification was answered Accepted. A reconnect needs no new one."""
        return self.boot_status == ACCEPTED


def info_of(
    connection: Connection,
    now: datetime,
    queue_length: Optional[int],
    boot_status: Optional[str],
    node_id: Optional[str] = None,
) -> ConnectionInfo:
    """Return what is known of ``connection``. ``now`` is the time of the endpoint's clock."""
    channel = connection.channel
    silence, handshake = silence_of(channel), handshake_of(channel)
    return ConnectionInfo(
        client_id=connection.client_id,
        version=connection.dialect.version,
        subprotocol=channel.subprotocol,
        remote_address=channel.remote_address,
        connected_since=connection.since,
        last_heard=None if silence is None else now - timedelta(seconds=silence),
        path=None if handshake is None else handshake.path,
        values={} if handshake is None else handshake.values,
        headers={} if handshake is None else handshake.headers,
        certificate=None if handshake is None else handshake.peer_certificate,
        queue_length=queue_length,
        open_calls=len(connection.unanswered),
        boot_status=boot_status,
        node_id=node_id,
    )
