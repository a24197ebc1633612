"""What a transport holds: runs, sessions, channels, handshakes and threads."""

from typing import Any, List, Optional


def run_of(server: Any) -> Any:
    """Return what a listening transport server has begun, or ``None`` before and after."""
    return server._run


def session_of(client: Any) -> Any:
    """Return the session of a transport client, or ``None`` before the first."""
    return client._session


def channels(server: Any) -> List[Any]:
    """Return the channels that a transport server has."""
    return list(run_of(server).channels)


def waiting_handshakes(server: Any) -> int:
    """Return how many handshakes wait for their peer."""
    run = run_of(server)
    with run.lock:
        return sum(each.waiting_since is not None for each in run.handshakes)


def attempt_of(client: Any) -> Optional[Any]:
    """Return the attempt to connect that a transport client makes now."""
    session = session_of(client)
    return None if session is None else session.attempt


def idle_workers(handshake_threads: Any) -> List[Any]:
    """Return the workers of `HandshakeThreads` that are idle."""
    return list(handshake_threads._idle)


def handshake_threads_of(server: Any) -> Any:
    """Return the `HandshakeThreads` of a listening transport server."""
    return run_of(server).listeners[0].handshakes._threads


def rest_of_wire(channel: Any) -> Any:
    """Return what a step of a channel in memory calls at its end, to note that its wire is at rest."""
    return channel._wire.rest.__func__
