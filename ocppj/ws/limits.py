"""The limits of a server. Pure: time is an argument; no sockets, no threads, no locks.

====================================  ==============  ==============================================================
option                                default         what is refused beyond it, and how
====================================  ==============  ==============================================================
``max_connections``                   10,000          another connection: 503, ``Retry-After``
``max_connections_per_address``       ``None``        another connection from there: 503, ``Retry-After``
``max_attempts_per_second``           2,000           another attempt, after a burst of so many: 503, ``Retry-After``
``max_handshakes``                    1,000           a handshake in progress: see below
``handshake_timeout``                 10 s            a handshake, TLS and HTTP together: cut
``max_header_size``                   16 KiB          a larger head of a request: 431
``max_message_size``                  1 MiB           a larger message, inflated: Close 1009
``idle_timeout``                      25 h            a connection that brings nothing, no pong: Close 1008
====================================  ==============  ==============================================================

After a restart of a central system all charge points connect at once: a thousand a second must succeed. Behind a proxy
or a NAT thousands have one address, so there is no limit per address by default.

**Slow handshakes.** When ``max_handshakes`` are in progress, a new one is begun, and an older one that waits for its
peer is cut: the oldest of the address that has most of them. A handshake that has waited for less than a second is cut
only if its address has more than twice as many as the new one's. If none can be cut, the new one gets 503. After the
request has come, a handshake is not cut any more; after a refusal it can be cut again.
"""

from __future__ import annotations

import ipaddress
import random
from typing import Dict, Iterator, Optional, Protocol, Tuple

from .checks import check_limits
from .handshake.http import BadRequest

__all__ = [
    "PATIENCE", "AttemptRateLimit", "ConnectionLimits", "Cuttable", "Handshake", "Handshakes", "TokenBucket",
    "source_of",
]  # fmt: skip

PATIENCE = 1.0  # seconds that a handshake may wait for its peer before it gives way
_RETRY = (1, 10)  # seconds: the range of Retry-After, so that a refused crowd does not come back all at once
_RETRY_FULL = 60  # seconds: the Retry-After of a full server
_REPORT = 1.0  # seconds between two log lines about attempts


def source_of(address: str) -> str:
    """Return the source of ``address`` ("host:port"): its IPv4 address, or its IPv6 network of 64 bits, or itself."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    if ":" not in host:
        return host or address
    try:
        ip = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))


def _try_later(what: str, kind: str, seconds: int) -> BadRequest:
    return BadRequest(503, what, [("Retry-After", str(seconds))], kind)


class ConnectionLimits:
    """The limits of connections, in all and from one source; ``None`` is no limit."""

    def __init__(self, total: Optional[int], per_source: Optional[int]) -> None:
        check_limits(max_connections=total, max_connections_per_address=per_source)
        self._total = total
        self._per_source = per_source

    def check(self, total: int, same_source: int) -> None:
        """Raise `BadRequest` when one more is too many: there are ``total``, ``same_source`` of the same source."""
        if self._total is not None and total >= self._total:
            raise _try_later("this server is full", "max_connections", _RETRY_FULL)
        if self._per_source is not None and same_source >= self._per_source:
            raise _try_later("too many connections from this address", "max_connections_per_address", _RETRY_FULL)


class TokenBucket:
    """Allows ``rate`` a second, and ``burst`` at once after a pause."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._then = now

    def take(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AttemptRateLimit:
    """``max_attempts_per_second``, and when its refusals are reported. Not locked: its owner does that."""

    def __init__(self, rate: Optional[float], now: float) -> None:
        check_limits(max_attempts_per_second=rate)
        self._bucket = None if rate is None else TokenBucket(rate, max(1.0, rate), now)
        self._unreported = 0
        self._reported_at = now - _REPORT

    def take(self, now: float) -> Optional[BadRequest]:
        if self._bucket is None or self._bucket.take(now):
            return None
        self._unreported += 1
        return _try_later("too many attempts", "max_attempts_per_second", random.randint(*_RETRY))

    def report(self, now: float, last: bool = False) -> int:
        """Return how many refusals must be logged now: those since the last report, if that is a second ago."""
        if not self._unreported or (now < self._reported_at + _REPORT and not last):
            return 0
        count, self._unreported, self._reported_at = self._unreported, 0, now
        return count


class Cuttable(Protocol):
    """The socket of a handshake."""

    def shutdown(self) -> None:
        """End the connection. For any thread."""


class Handshake:
    """A handshake in progress."""

    def __init__(self, sock: Cuttable, address: str) -> None:
        self.sock = sock
        self.address = address
        self.source = source_of(address)
        #: Since when (`time.monotonic`) its thread has waited for the peer; ``None`` when it does not.
        self.waiting_since: Optional[float] = None
        self.cut_for: Optional[str] = None  #: Why it was cut: a reason of `ocppj.ws.stats`.


class Handshakes:
    """The handshakes in progress, at most ``max_handshakes``. Not locked: its owner does that."""

    def __init__(self, max_handshakes: Optional[int] = None, patience: float = PATIENCE) -> None:
        self._max_handshakes = max_handshakes
        self._patience = patience
        self._count = 0
        self._by_source: Dict[str, Dict[Handshake, None]] = {}  # the inner dicts are ordered: the longest wait first

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Handshake]:
        for same in self._by_source.values():
            yield from same

    def add(self, handshake: Handshake) -> None:
        self._by_source.setdefault(handshake.source, {})[handshake] = None
        self._count += 1

    def discard(self, handshake: Handshake) -> None:
        same = self._by_source.get(handshake.source, {})
        if handshake in same:
            del same[handshake]
            self._count -= 1
            if not same:
                del self._by_source[handshake.source]

    def wait_again(self, handshake: Handshake, now: float) -> None:
        """Note that the thread waits for the peer again: among the waiting handshakes this one is now the newest."""
        handshake.waiting_since = now
        same = self._by_source.get(handshake.source, {})
        if handshake in same:
            del same[handshake]
            same[handshake] = None

    def make_room(self, source: str, now: float) -> Optional[Handshake]:
        """Remove and return the handshake to be cut for one of ``source``, if one must be. Raises `BadRequest`."""
        if self._max_handshakes is None or self._count < self._max_handshakes:
            return None
        victim = self._find_victim(source, now)
        if victim is None:
            what = f"{self._count} handshakes are in progress already"
            raise _try_later(what, "max_handshakes", random.randint(*_RETRY))
        victim.cut_for = "max_handshakes"
        self.discard(victim)
        return victim

    def _find_victim(self, source: str, now: float) -> Optional[Handshake]:
        own = len(self._by_source.get(source, ())) + 1
        best: Optional[Tuple[int, float, Handshake]] = None  # (handshakes of its source, seconds it waits, it)
        for same in self._by_source.values():
            patience = 0.0 if len(same) > 2 * own else self._patience
            oldest = next((each for each in same if each.waiting_since is not None), None)
            if oldest is None or oldest.waiting_since is None:
                continue
            waits = now - oldest.waiting_since
            if waits >= patience and (best is None or (len(same), waits) > best[:2]):
                best = (len(same), waits, oldest)
        return None if best is None else best[2]
