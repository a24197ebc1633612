"""What a server has accepted, refused and lost: counts by stable names.

The reasons of ``Stats.refused``, for monitoring. Of connections that were never made:

=============================  =====================================================================================
reason                         what happened
=============================  =====================================================================================
max_connections                503: there are so many connections
max_connections_per_address    503: so many connections come from that address
max_attempts_per_second        503: too many attempts at once
max_attempts_per_second_...    ``max_attempts_per_second_per_address``, 503: too many at once from that address
max_handshakes                 503, or cut: too many handshakes in progress
handshake_timeout              TLS and HTTP took too long
abandoned                      the peer, or the network, ended the connection during the handshake, not silently
tls                            the TLS handshake failed
bad_request                    no HTTP, no upgrade to WebSocket, or no identity in the path (400, 405, 426, 431)
unknown_path                   404: the path is not the server's, or ``identify`` knows no identity
unknown_client                 404: the check of clients refused it
bad_credentials                401: wrong Basic credentials, or none
wrong_passwords                429: so many passwords of that identity, or from that address, were wrong
certificate                    401: the client's certificate is not its own
origin                         403
duplicate                      409: the identity is connected already, or has a newer connection
no_subprotocol                 no common subprotocol
refusal                        a check returned or raised a `Refusal`, with a status of its own
internal_error                 500: a check has failed
out_of_resources               the system gave no thread
stopping                       the server is stopping
not_open                       503: a server in a web application could not begin, see its log
not_taken_over                 501: the web server does not hand its connections over
=============================  =====================================================================================

Of connections that were ended because the peer passed a limit or broke a rule:

=============================  =====================================================================================
message_too_big                1009: a message, inflated, was larger than ``max_message_size``
message_timeout                1008: a message was not complete ``message_timeout`` seconds after its beginning
memory                         1013, or cut: the server held ``max_memory_bytes``, and this would have been more
protocol_error                 1002, 1003, 1007: a frame breaks WebSocket's rules, or is not text, or not UTF-8
ping_timeout                   nothing was received after a ping
idle_timeout                   1008: nothing was received for ``idle_timeout`` seconds
=============================  =====================================================================================

A program that uses the transport may add its own reasons with `WebSocketServer.count_refusal`.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Counter as CounterType
from typing import Mapping, Optional, Tuple

from ..histogram import Histogram
from .base import Close
from .connection.keepalive import PeerSilent
from .connection.wire import Violation
from .stream.stream import MemoryLimit

__all__ = ["Histogram", "Stats", "Tally", "judge_close"]


@dataclass(frozen=True)
class Stats:
    """A server's counts at one moment. ``accepted``, ``refused``, ``closed`` and ``probes`` only grow.

    They grow on over ``stop()`` and another ``listen()``. In a process that is forked they begin at 0.

    ``accepted`` equals ``connections`` plus all of ``closed``. A name that is missing in a mapping means 0.

    Attributes:
        connections: How many there are now.
        handshakes: How many are in progress now.
        accepted: How many connections were made.
        refused: Counts by reason: see the module.
        closed: How connections ended: ``by_peer``, ``by_us``, ``refused`` (for a reason that is counted in the
            attribute ``refused`` too) or ``lost``.
        held: Bytes that are held just now, by kind: see `ocppj.budget`. They are at most ``max_memory_bytes``.
        probes: Connections of load balancers and monitoring, which are no refusals: ``silent`` (the peer ended it
            before anything came) and ``health`` (a request for the ``health_path`` was answered).
        loaned_workers: Threads of shared readers that a handler blocks just now. Others read in their place.

    The rest is what `ocppj.Server` and `ocppj.Client` count of OCPP. A transport by itself leaves it empty. An action
    that no profile has is ``other``, and so is an error code that OCPP does not have, so no peer can make a mapping
    larger.

    Attributes:
        versions: How many connections there are now, by OCPP version.
        messages: Frames, by direction (``received``, ``sent``), kind (``CALL``, ``CALLRESULT``, ``CALLERROR``,
            ``CALLRESULTERROR``, ``SEND``, or ``invalid`` for a frame that is none of these) and action. The action of
            an answer is that of its request, if it is known. What `send_raw` sends is not counted.
        errors: Errors by direction and code, of CALLERRORs and CALLRESULTERRORs.
        call_seconds: Requests that were answered, by action: the time from the writing of the request to its answer.
        handler_seconds: Handlers that have ended, by action of their requests: how long they ran.
        pending: Requests to connected clients that were sent, and not answered yet.
        queued: Requests to connected clients that wait to be sent.
        timeouts: Requests that ran out of time.
        reconnects: Connections of clients that had been connected before. 100,000 clients are remembered.
    """

    connections: int = 0
    handshakes: int = 0
    accepted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    closed: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    probes: Mapping[str, int] = field(default_factory=dict)
    loaned_workers: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    messages: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    errors: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    call_seconds: Mapping[str, Histogram] = field(default_factory=dict)
    handler_seconds: Mapping[str, Histogram] = field(default_factory=dict)
    pending: int = 0
    queued: int = 0
    timeouts: int = 0
    reconnects: int = 0


class Tally:
    """The counts of one server. For any thread."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._accepted = 0
        self._refused: CounterType[str] = Counter()
        self._closed: CounterType[str] = Counter()
        self._probes: CounterType[str] = Counter()

    def _after_fork(self) -> None:
        """Begin at 0: what was counted is the parent's. See `ocppj.forks`."""
        self._begin()

    def accept(self) -> None:
        with self._lock:
            self._accepted += 1

    def refuse(self, reason: str, count: int = 1) -> None:
        with self._lock:
            self._refused[reason] += count

    def probe(self, kind: str) -> None:
        with self._lock:
            self._probes[kind] += 1

    def close(self, how: str, reason: Optional[str]) -> None:
        """Count the end of a connection: the result of `judge_close`."""
        with self._lock:
            self._closed[how] += 1
            if reason is not None:
                self._refused[reason] += 1

    def snapshot(
        self, connections: int, handshakes: int, held: Optional[Mapping[str, int]] = None, loaned_workers: int = 0
    ) -> Stats:
        with self._lock:
            accepted, refused, closed = self._accepted, dict(self._refused), dict(self._closed)
            probes = dict(self._probes)
        return Stats(connections, handshakes, accepted, refused, closed, held or {}, probes, loaned_workers)


def judge_close(close: Close) -> Tuple[str, Optional[str]]:
    """Return the name of ``close`` in ``Stats.closed``, and the reason in ``Stats.refused`` if it has one."""
    if close.by_peer:
        return "by_peer", None
    if close.error is None:
        return "by_us", None
    if isinstance(close.error, PeerSilent):
        return "refused", close.error.limit
    cause = close.error.__cause__
    if isinstance(cause, MemoryLimit):
        return "refused", "memory"
    if isinstance(cause, Violation):
        return "refused", cause.kind
    return "lost", None
