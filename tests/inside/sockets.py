"""What sockets, limits and handshakes keep."""

from typing import Any, Tuple


def waiters(sock: Any) -> int:
    """Return how many threads wait on the descriptor of a `Stream`, or hold it."""
    return int(sock._waiters)


def limits_of(server: Any) -> Tuple[Any, Any]:
    """Return the `ConnectionLimits` and the `AttemptRateLimit` of a transport server."""
    return server._limits, server._attempts


def sources_of(handshakes: Any) -> int:
    """Return for how many addresses a table of `Handshakes` keeps something."""
    return len(handshakes._by_source)
