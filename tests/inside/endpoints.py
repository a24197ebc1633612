"""What a `Client` or a `Server` holds: how much is queued, pending and open, and the parts it was made of."""

from typing import Any, Optional

from ocppj import Client


def transport_of(endpoint: Any) -> Any:
    """Return the WebSocket client or server of ``endpoint``."""
    return endpoint._ws


def dispatcher_of(endpoint: Any) -> Any:
    return endpoint._dispatcher


def handlers_of(endpoint: Any) -> Any:
    """Return what the program registered."""
    return endpoint._handlers


def open_calls(endpoint: Any) -> int:
    """Return how many requests have neither an answer nor another end."""
    return len(endpoint._caller.calls)


def queued(endpoint: Any, client_id: str = "CP_1") -> int:
    """Return how many requests wait in the queue to that peer, the pending one included."""
    dispatcher = dispatcher_of(endpoint)
    queue = dispatcher._queue if isinstance(endpoint, Client) else dispatcher._queue_map.get(client_id)
    return 0 if queue is None else len(queue)


def is_pending(endpoint: Any) -> bool:
    """Tell whether any request waits for its answer."""
    return bool(endpoint._state.has())


def deadlines(endpoint: Any) -> int:
    """Return how many deadlines are set."""
    return int(endpoint._timeouts.pending())


def connections(endpoint: Any) -> Any:
    """Return the connections of ``endpoint``."""
    return list(endpoint._connections.by_channel.values())


def connection(endpoint: Any) -> Optional[Any]:
    """Return the only connection, or ``None`` when there is none."""
    found = connections(endpoint)
    assert len(found) < 2, found
    return found[0] if found else None


def untold(endpoint: Any) -> int:
    """Return about how many peers the program is still to be told something."""
    return len(endpoint._notices)


def tables(server: Any) -> Any:
    """Return what a server keeps for each client, by name. All are empty when every client has gone."""
    dispatcher = dispatcher_of(server)
    return {
        "calls": server._caller.calls,
        "connections": server._connections.by_channel,
        "ending": server._ending,
        "untold": server._notices,
        "senders": dispatcher._senders,
        "queues": dispatcher._queue_map._queues,
        "states": server._state._clients,
    }
