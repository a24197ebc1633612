"""What is left of requests and of connections: in the tables of endpoints and transports, and in memory."""

import gc
import socket
from collections import Counter
from contextlib import suppress
from typing import Any, Dict, List

from ocppj import Client, Server
from ocppj.dispatch.request_sender import RequestSender
from ocppj.ws.connection.channel import WireChannel
from ocppj.ws.readers.choice import AutoReaders
from ocppj.ws.stream.stream import Stream
from tests.helpers import eventually
from tests.inside.endpoints import deadlines_of_requests, is_pending, open_calls, queued, tables, transport_of
from tests.inside.transports import run_of


def unfinished(endpoint: Any) -> Dict[str, Any]:
    """Return what ``endpoint`` holds of requests, by name: nothing when all have ended, connected or not."""
    held = {
        "open calls": open_calls(endpoint),
        "pending": is_pending(endpoint),
        "deadlines": deadlines_of_requests(endpoint),
    }
    if isinstance(endpoint, Client):
        held["queued"] = queued(endpoint)
    else:
        for client_id in list(tables(endpoint)["senders"]):
            held[f"queued for {client_id}"] = queued(endpoint, client_id)
    return {name: what for name, what in held.items() if what}


def left_of_clients(server: Any) -> Dict[str, Any]:
    """Return what ``server`` and its transport hold of clients, by name: nothing when all have gone."""
    run = run_of(transport_of(server))
    held = {
        **tables(server),
        "channels": run.channels,
        "by identity": run.by_identity,
        "newest arrivals": run.newest_arrival,
        "addresses": run.per_source,
        "handshakes": run.handshakes,
        "slots": slots(run.readers),
    }
    return {name: table for name, table in held.items() if table}


def check_that_nothing_is_left(server: Any) -> None:
    """Check that ``server``, which listens still, holds nothing of any client, once the last has gone."""
    with suppress(AssertionError):
        eventually(lambda: not left_of_clients(server))
    left = left_of_clients(server)
    assert not left, left
    assert server.client_ids() == []


def slots(readers: Any) -> List[Any]:
    """Return the slots of all sources that one endpoint's readers have."""
    parts = [readers._own, readers._shared] if isinstance(readers, AutoReaders) else [readers]
    return [slot for part in parts for slot in list(part._slots)]


def alive() -> "Counter[str]":
    """Count the objects that a connection is made of, after a collection."""
    gc.collect()
    kinds = (RequestSender, WireChannel, Stream, Client, Server)
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))


def limit_send_buffers(server: Any, size: int) -> None:
    """Have the system keep about ``size`` bytes of what is sent to each client that connects from now on."""
    # What a listening socket is given, those that it accepts have too.
    for sock in run_of(transport_of(server)).listeners[0]._acceptor._socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def waiting_since(server: Any) -> List[float]:
    """Return since when (`time.monotonic`) each handshake that waits for its peer has waited.

    ``server`` is a transport's.
    """
    run = run_of(server)
    with run.lock:
        return [each.waiting_since for each in run.handshakes if each.waiting_since is not None]
