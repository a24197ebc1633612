"""What a server has let in, refused and lost: counts by stable names.

The reasons of ``Stats.refused``, for monitoring. A connection that was never made:

=============================  =====================================================================================
reason                         what happened
=============================  =====================================================================================
max_connections                503: so many connections there are
max_connections_per_address    503: so many connections come from that address
max_attempts_per_second        503: too many attempts at once
max_handshakes                 503, or cut: too many handshakes in progress
handshake_timeout              TLS and HTTP took too long
abandoned                      the peer, or the network, ended the connection during the handshake
tls                            the TLS handshake failed
bad_request                    no HTTP, no upgrade to WebSocket, or no identity in the path (400, 405, 426, 431)
unknown_path                   404: the path is not the server's
unknown_client                 404: the check of clients said no
bad_credentials                401: wrong Basic credentials, or none
certificate                    401: the client's certificate is not its own
origin                         403
duplicate                      409: the identity is connected already, or has connected anew meanwhile
no_subprotocol                 no common subprotocol
internal_error                 500: a check has failed
out_of_resources               the system gave no thread
stopping                       the server is stopping
=============================  =====================================================================================

A connection that was ended because its peer passed a limit or broke a rule:

=============================  =====================================================================================
message_too_big                1009: a message, inflated, was larger than ``max_message_size``
protocol_error                 1002, 1003, 1007: it is no WebSocket, no text, or no UTF-8
ping_timeout                   no life after a ping
idle_timeout                   1008: nothing at all was received for ``idle_timeout`` seconds
=============================  =====================================================================================

Whoever uses the transport may add reasons of his own with `ServerCore.count_refusal`.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Counter as CounterType
from typing import Mapping, Optional, Tuple

from .base import Close
from .connection.keepalive import PeerSilent
from .connection.wire import Violation

__all__ = ["Stats", "Tally", "judge_close"]


@dataclass(frozen=True)
class Stats:
    """A server's counts at one moment. All but the first two only grow, also over ``stop()`` and ``listen()``.

    ``connections`` there are now, ``handshakes`` are in progress now; ``accepted`` connections were made in all.
    ``refused`` counts by reason (see the module). ``closed`` counts the ends of connections: ``by_peer``, ``by_us``,
    ``refused`` (for a reason that is counted in ``refused`` too) and ``lost``. So ``accepted`` is ``connections`` and
    all of ``closed`` together. A name that is missing means 0.
    """

    connections: int = 0
    handshakes: int = 0
    accepted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    closed: Mapping[str, int] = field(default_factory=dict)


class Tally:
    """The counts of one server. For any thread; its lock is held for nothing but counting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted = 0
        self._refused: CounterType[str] = Counter()
        self._closed: CounterType[str] = Counter()

    def accept(self) -> None:
        """Count a connection that was made."""
        with self._lock:
            self._accepted += 1

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count ``count`` refusals."""
        with self._lock:
            self._refused[reason] += count

    def close(self, how: str, reason: Optional[str]) -> None:
        """Count the end of a connection: what `judge_close` says."""
        with self._lock:
            self._closed[how] += 1
            if reason is not None:
                self._refused[reason] += 1

    def snapshot(self, connections: int, handshakes: int) -> Stats:
        """Return the counts of now, which will not change."""
        with self._lock:
            accepted, refused, closed = self._accepted, dict(self._refused), dict(self._closed)
        return Stats(connections, handshakes, accepted, refused, closed)


def judge_close(close: Close) -> Tuple[str, Optional[str]]:
    """Return what ``close`` counts as in ``Stats.closed``, and the reason of a refusal if it is one."""
    if close.by_peer:
        return "by_peer", None
    if close.error is None:
        return "by_us", None
    if isinstance(close.error, PeerSilent):
        return "refused", close.error.limit
    cause = close.error.__cause__
    if isinstance(cause, Violation):
        return "refused", "message_too_big" if cause.code == 1009 else "protocol_error"
    return "lost", None
