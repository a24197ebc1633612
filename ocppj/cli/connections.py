"""The table of connected clients."""

from __future__ import annotations

from typing import Any, Iterable, List, Tuple

from ..exchange.connection_info import ConnectionInfo

__all__ = ["connection_rows"]

_COLUMNS = ["client", "version", "address", "since", "boot", "waiting"]


def connection_rows(connections: Iterable[ConnectionInfo]) -> Tuple[List[str], List[List[Any]]]:
    """Return the names of the columns, and a row for each client, sorted by its id."""
    rows = []
    for each in sorted(connections, key=lambda info: info.client_id):
        since = each.connected_since.strftime("%Y-%m-%dT%H:%M:%SZ")
        waiting = "" if each.queue_length is None else each.queue_length
        rows.append([each.client_id, each.version, each.remote_address, since, each.boot_status or "", waiting])
    return list(_COLUMNS), rows
