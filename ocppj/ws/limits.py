"""How much a server takes on. Pure: time is an argument; no sockets, no threads, no locks.

====================================  ==============  ==============================================================
option                                default         what is refused, and how
====================================  ==============  ==============================================================
``max_connections``                   10,000          another connection: 503, ``Retry-After``
``max_connections_per_address``       ``None``        another connection from there: 503, ``Retry-After``
``max_attempts_per_second``           2,000           another attempt, after a burst of so many: 503, ``Retry-After``
``max_handshakes``                    1,000           see below
``handshake_timeout``                 10 s            TLS and HTTP together: cut
``max_header_size``                   16 KiB          431
``max_message_size``                  1 MiB           a larger message, inflated: Close 1009
``idle_timeout``                      25 h            nothing received, pongs included: Close 1008
====================================  ==============  ==============================================================

Why these. A central system that restarts meets all its charge points at once: a thousand a second must come through.
Behind a proxy that ends TLS, or a mobile operator's NAT, thousands of charge points have one address: what is too many
from there, only the operator of the server can know, so that there is no limit by default. A day is the longest usual
interval of heartbeats: who was silent for longer, and cannot be pinged, is gone.

**Slow handshakes.** A peer that connects and says nothing, or a byte a second, occupies a thread (`greeters`) until
``handshake_timeout``. When ``max_handshakes`` are in progress, the newcomer is let in and the oldest handshake that
waits for its peer is cut, of the address that has most of them; but one that has waited less than a second only if
that address has more than twice as many as the newcomer's. If none is left to cut, the newcomer gets 503. A
handshake for which the peer has done its part (its request is there) is never cut, until it is refused: a peer that has
its answer, and does not hang up, gives way again.
"""

from __future__ import annotations

import ipaddress
import random
from typing import Dict, Iterator, Optional, Protocol, Tuple

from .checks import check_limits
from .handshake.http import BadRequest

__all__ = [
    "PATIENCE",
    "AttemptRateLimit",
    "ConnectionLimits",
    "Cuttable",
    "Handshake",
    "Handshakes",
    "TokenBucket",
    "source_of",
]

PATIENCE = 1.0  # seconds that a handshake may wait for its peer before it gives way
_RETRY = (1, 10)  # seconds after which those who came too many at once shall come back: not all at once again
_RETRY_FULL = 60  # seconds after which another place may be free
_REPORT = 1.0  # seconds between two log lines about attempts


def source_of(address: str) -> str:
    """Return what counts as one address of ``address`` ("host:port"): an IPv4 address, an IPv6 network of 64 bits.

    One IPv6 customer has at least so many. What is no address ("memory") stands for itself.
    """
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
    """How many connections there may be, in all and from one address; ``None``: any number.

    Raises ``ValueError`` for numbers below 1.
    """

    def __init__(self, total: Optional[int], per_source: Optional[int]) -> None:
        check_limits(max_connections=total, max_connections_per_address=per_source)
        self._total = total
        self._per_source = per_source

    def check(self, total: int, from_there: int) -> None:
        """Raise `BadRequest` when one more is too many: there are ``total``, ``from_there`` of the same address."""
        if self._total is not None and total >= self._total:
            raise _try_later("this server is full", "max_connections", _RETRY_FULL)
        if self._per_source is not None and from_there >= self._per_source:
            raise _try_later("too many connections from this address", "max_connections_per_address", _RETRY_FULL)


class TokenBucket:
    """Lets ``rate`` through a second, and ``burst`` at once after a pause."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._then = now

    def take(self, now: float) -> bool:
        """Say whether one more may pass."""
        self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AttemptRateLimit:
    """``max_attempts_per_second``, and how often its refusals are reported. Not locked: its owner does that.

    Raises ``ValueError`` for a rate of 0 or less. A rate below 1 still lets one through at once.
    """

    def __init__(self, rate: Optional[float], now: float) -> None:
        check_limits(max_attempts_per_second=rate)
        self._bucket = None if rate is None else TokenBucket(rate, max(1.0, rate), now)
        self._unreported = 0
        self._reported_at = now - _REPORT

    def take(self, now: float) -> Optional[BadRequest]:
        """Return the refusal of an attempt that is one too many."""
        if self._bucket is None or self._bucket.take(now):
            return None
        self._unreported += 1
        return _try_later("too many attempts", "max_attempts_per_second", random.randint(*_RETRY))

    def report(self, now: float, last: bool = False) -> int:
        """Return how many refusals are to be logged now: those since the last report, if that is a second ago.

        ``last``: there will be no other report.
        """
        if not self._unreported or (now < self._reported_at + _REPORT and not last):
            return 0
        count, self._unreported, self._reported_at = self._unreported, 0, now
        return count


class Cuttable(Protocol):
    """What a handshake happens on."""

    def shutdown(self) -> None:
        """Cut it."""


class Handshake:
    """A handshake in progress."""

    def __init__(self, sock: Cuttable, address: str) -> None:
        self.sock = sock
        self.address = address
        self.source = source_of(address)
        #: Since when (`time.monotonic`) its thread has waited for the peer; ``None``: not yet, or no more.
        self.waiting_since: Optional[float] = None
        #: The reason for which it was cut, of `ocppj.ws.stats`.
        self.cut_for: Optional[str] = None


class Handshakes:
    """Those in progress, at most ``most``. Not locked: its owner does that.

    ``patience`` is how many seconds one may wait for its peer before it gives way.
    """

    def __init__(self, most: Optional[int] = None, patience: float = PATIENCE) -> None:
        self._most = most
        self._patience = patience
        self._count = 0
        self._by_source: Dict[str, Dict[Handshake, None]] = {}  # the inner ones: who waits longest comes first

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Handshake]:
        for same in self._by_source.values():
            yield from same

    def add(self, handshake: Handshake) -> None:
        """Take note of one that begins."""
        self._by_source.setdefault(handshake.source, {})[handshake] = None
        self._count += 1

    def discard(self, handshake: Handshake) -> None:
        """Forget one that has ended; nothing if that was done."""
        same = self._by_source.get(handshake.source, {})
        if handshake in same:
            del same[handshake]
            self._count -= 1
            if not same:
                del self._by_source[handshake.source]

    def wait_again(self, handshake: Handshake, now: float) -> None:
        """Take note that its thread waits for the peer again: of those that wait it is the newest."""
        handshake.waiting_since = now
        same = self._by_source.get(handshake.source, {})
        if handshake in same:
            del same[handshake]
            same[handshake] = None

    def make_room(self, source: str, now: float) -> Optional[Handshake]:
        """Return the handshake that must be cut before one of ``source`` can begin, marked and forgotten already.

        ``None``: there is room. Raises `BadRequest` when none can be cut.
        """
        if self._most is None or self._count < self._most:
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
        best: Optional[Tuple[int, float, Handshake]] = None  # (how many its address has, how long it waits, it)
        for same in self._by_source.values():
            patience = 0.0 if len(same) > 2 * own else self._patience
            oldest = next((each for each in same if each.waiting_since is not None), None)
            if oldest is None or oldest.waiting_since is None:
                continue
            waits = now - oldest.waiting_since
            if waits >= patience and (best is None or (len(same), waits) > best[:2]):
                best = (len(same), waits, oldest)
        return None if best is None else best[2]
