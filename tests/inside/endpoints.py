"""What a `Client` or a `Server` holds: how much is queued, pending and open, and the parts it was made of."""

from typing import Any, List, Optional

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
    """Return how many deadlines are set: those of requests, and all others."""
    return int(endpoint._timeouts.pending())


def deadlines_of_requests(endpoint: Any) -> int:
    """Return how many deadlines of requests are set: not those of the log, and not the look for overdue answers."""
    others = (endpoint.peer_log.report, endpoint._responder.overdue._look)
    return sum(callback not in others for callback in _callbacks(endpoint))


def deadlines_of_log(endpoint: Any) -> int:
    """Return how many deadlines the log has: a minute later it tells how many lines of one kind it left out."""
    return _callbacks(endpoint).count(endpoint.peer_log.report)


def _callbacks(endpoint: Any) -> List[Any]:
    """Return what the deadlines will call; ``None`` for one that is being canceled."""
    timeouts = endpoint._timeouts
    with timeouts._lock:
        return [deadline.callback for queue in timeouts._queues.values() for deadline in queue]


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
