"""The limits of a server. Pure: time is an argument; no sockets, no threads, no locks.

====================================  ==============  ==============================================================
option                                default         what is refused beyond it, and how
====================================  ==============  ==============================================================
``max_connections``                   10,000          another connection: 503, ``Retry-After``
``max_connections_per_address``       ``None``        another connection from there: 503, ``Retry-After``
``max_attempts_per_second``           2,000           another attempt, after a burst of so many: 503, ``Retry-After``
``max_attempts_per_second_per_...``   1,000           another attempt of that address, likewise
``max_handshakes``                    1,000           a handshake in progress: see below
``handshake_timeout``                 10 s            a handshake, TLS and HTTP together: cut
``max_header_size``                   16 KiB          a larger head of a request: 431
``max_message_size``                  1 MiB           a larger message, inflated: Close 1009
``message_timeout``                   30 s            a message that takes longer from its first byte to its last:
                                                      Close 1008
``max_memory_bytes``                  256 MiB         what would be held beyond it (see `ocppj.budget`): the connection
                                                      that it comes from is closed with 1013, or cut if it is to be
                                                      sent there
``idle_timeout``                      25 h            a connection that brings nothing, no pong: Close 1008
====================================  ==============  ==============================================================

After a restart of a central system all charge points connect at once: a thousand a second must succeed. Behind a proxy
or a NAT thousands have one address, so there is no limit of connections per address by default, and one address may
make half of all attempts (``max_attempts_per_second_per_address``). Attempts are counted for the last 10,000 addresses.

**Addresses.** Behind proxies that are named (``trusted_proxies``), the address of a client is what they say
(``proxy_header``), for all limits, and for what handlers and the log are told. It is known when the request has been
read: until then the address is that of the proxy, and the attempt counts for ``max_attempts_per_second``.

**Slow handshakes.** When ``max_handshakes`` are in progress, a new one is begun, and an older one that waits for its
peer is cut: the oldest of the address that has most of them. A handshake that has waited for less than a second is cut
only if its address has more than twice as many as the new one's. If none can be cut, the new one gets 503. After the
request has come, a handshake is not cut any more; after a refusal it can be cut again.
"""

from __future__ import annotations

import ipaddress
import random
from typing import Dict, Iterator, Optional, Protocol, Tuple

from ..recent import Recent
from .handshake.http import BadRequest

__all__ = [
    "PATIENCE", "AttemptRateLimit", "BucketsByKey", "ConnectionLimits", "Cuttable", "Handshake", "Handshakes",
    "TokenBucket", "source_of",
]  # fmt: skip

PATIENCE = 1.0  # seconds that a handshake may wait for its peer before it gives way
_RETRY = (1, 10)  # seconds: the range of Retry-After, so that a refused crowd does not come back all at once
_RETRY_FULL = 60  # seconds: the Retry-After of a full server
_MOST_SOURCES = 10_000  # whose attempts are counted
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

    def give_back(self) -> None:
        """Undo one `take`."""
        self._tokens = min(self._burst, self._tokens + 1)


class BucketsByKey:
    """A `TokenBucket` for each key. The last ``most`` that were asked for are remembered; a forgotten one is full."""

    def __init__(self, rate: float, burst: float, most: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: Recent[str, TokenBucket] = Recent(most)

    def __len__(self) -> int:
        return len(self._buckets)

    def get(self, key: str, now: float) -> TokenBucket:
        bucket = self._buckets.get(key) or TokenBucket(self._rate, self._burst, now)
        self._buckets.remember(key, bucket)
        return bucket


class AttemptRateLimit:
    """How many attempts a second there may be, and when refusals are reported. Not locked: its owner does that.

    ``rate`` is for all (``max_attempts_per_second``), ``per_source`` for each source
    (``max_attempts_per_second_per_address``); ``None`` is no limit.
    """

    def __init__(self, rate: Optional[float], now: float, per_source: Optional[float] = None) -> None:
        self._bucket = None if rate is None else TokenBucket(rate, max(1.0, rate), now)
        self._by_source = None if per_source is None else BucketsByKey(per_source, max(1.0, per_source), _MOST_SOURCES)
        self._unreported = 0
        self._reported_at = now - _REPORT

    def take(self, now: float, source: Optional[str] = None) -> Optional[BadRequest]:
        """Count an attempt, of ``source`` if that is known; return the refusal of one too many."""
        refusal = None if source is None else self.take_of(source, now)
        if refusal is None and self._bucket is not None and not self._bucket.take(now):
            refusal = _try_later("too many attempts", "max_attempts_per_second", random.randint(*_RETRY))
        if refusal is not None:
            self._unreported += 1
        return refusal

    def take_of(self, source: str, now: float) -> Optional[BadRequest]:
        """Count an attempt of ``source`` alone: it is counted for all already."""
        if self._by_source is None or self._by_source.get(source, now).take(now):
            return None
        kind = "max_attempts_per_second_per_address"
        return _try_later("too many attempts from this address", kind, random.randint(*_RETRY))

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
        self.source: str = source_of(address)
        #: Since when (`time.monotonic`) its thread has waited for the peer; ``None`` when it does not.
        self.waiting_since: Optional[float] = None
        self.cut_for: Optional[str] = None  #: Why it was cut: a reason of `ocppj.ws.stats`.
        self.has_channel = False  #: A channel has its socket now, and closes it.


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

    def rename(self, handshake: Handshake, address: str) -> None:
        """Note that ``handshake`` is one of ``address``, as a proxy says."""
        known = handshake in self._by_source.get(handshake.source, {})
        self.discard(handshake)
        handshake.address, handshake.source = address, source_of(address)
        if known:
            self.add(handshake)

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
