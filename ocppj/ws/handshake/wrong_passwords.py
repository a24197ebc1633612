"""`WrongPasswords`: too many wrong passwords are answered with 429 in place of a check. No thread waits.

A password that is checked takes a token of its identity and one of its address. A right one gives them back. Without a
token there is no check, but 429 with Retry-After. Tokens come again with time, so nobody is shut out for long. A client
that guesses does not shut out the right one:

* The first password of an identity from an address is checked, however many wrong ones came from other addresses.
* An address from which an identity was let in before needs no token of the address for it.

What is remembered is bounded: the last `_MOST` of each kind.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Callable, Tuple

from ...recent import Recent
from ..limits import BucketsByKey, TokenBucket
from .http import BadRequest
from .refusal import Refusal

__all__ = ["WrongPasswords"]

_MOST = 10_000
_OF_IDENTITY = (0.2, 10.0)  # tokens a second, and at most
_OF_ADDRESS = (20.0, 200.0)  # behind a proxy or a NAT a whole fleet has one address
_RETRY = (5, 15)  # seconds: the range of Retry-After


class WrongPasswords:
    """Checks passwords, and slows those that are wrong. Thread-safe. ``now`` is the source of time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()  # guards the fields below; not held during a check
        self._identities = BucketsByKey(*_OF_IDENTITY, _MOST)
        self._sources = BucketsByKey(*_OF_ADDRESS, _MOST)
        self._tried: Recent[Tuple[str, str], None] = Recent(_MOST)  # (identity, source): none was right since
        self._let_in: Recent[str, str] = Recent(_MOST)  # the source of the last right password, by identity

    def __len__(self) -> int:
        """Return how many entries are remembered, in all tables."""
        with self._lock:
            return len(self._identities) + len(self._sources) + len(self._tried) + len(self._let_in)

    def check(self, identity: str, source: str, is_right: Callable[[], bool]) -> bool:
        """Return ``is_right()``. Raises `BadRequest` (429) in place of the call when too many were wrong.

        A `Refusal` that it raises counts as wrong.
        """
        tokens = self._take(identity, source)
        right = None
        try:
            right = is_right()
        except Refusal:
            right = False
            raise
        finally:
            if right is not False:  # nothing is known of a password whose check failed
                with self._lock:
                    for bucket in tokens:
                        bucket.give_back()
        if right:
            with self._lock:
                self._tried.pop((identity, source), None)
                self._let_in.remember(identity, source)
        return right

    def _take(self, identity: str, source: str) -> Tuple[TokenBucket, ...]:
        now = self._now()
        with self._lock:
            of_identity, of_source = self._identities.get(identity, now), self._sources.get(source, now)
            tokens = [of_identity] if of_identity.take(now) else []
            refused = not tokens and (identity, source) in self._tried
            if not refused and self._let_in.get(identity) != source:
                if of_source.take(now):
                    tokens.append(of_source)
                else:
                    refused = True
            if not refused:
                self._tried.remember((identity, source), None)
                return tuple(tokens)
            for bucket in tokens:
                bucket.give_back()
        retry = [("Retry-After", str(random.randint(*_RETRY)))]
        raise BadRequest(429, "too many wrong passwords: try again later", retry, kind="wrong_passwords")
