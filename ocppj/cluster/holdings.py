"""What a node says of a connection when it claims it, and what others read of it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Optional

from ..exchange.connection import Connection
from ..exchange.connection_info import ConnectionInfo
from ..ws.base import handshake_of
from .base import Holder

__all__ = ["about_connection", "info_of_holder"]

_UNKNOWN = datetime.fromtimestamp(0, timezone.utc)


def about_connection(connection: Connection) -> Dict[str, Any]:
    """Return what the others may know of ``connection``, as JSON values."""
    channel = connection.channel
    handshake = handshake_of(channel)
    return {
        "version": connection.dialect.version,
        "subprotocol": channel.subprotocol,
        "remote_address": channel.remote_address,
        "connected_since": connection.since.isoformat(),
        "path": None if handshake is None else handshake.path,
        "values": {} if handshake is None else dict(handshake.values),
    }


def info_of_holder(holder: Holder) -> ConnectionInfo:
    """Return what is known of a connection to another node. What it has not said is empty."""
    about = holder.about
    values = about.get("values")
    return ConnectionInfo(
        client_id=holder.client_id,
        version=_text(about, "version") or "",
        subprotocol=_text(about, "subprotocol") or "",
        remote_address=_text(about, "remote_address") or "",
        connected_since=_time(about.get("connected_since")),
        path=_text(about, "path"),
        values={str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {},
        node_id=holder.node_id,
    )


def _text(about: Mapping[str, Any], name: str) -> Optional[str]:
    value = about.get(name)
    return value if isinstance(value, str) else None


def _time(value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return _UNKNOWN
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
