"""`Claims`: the clients that this node holds, and what of that Redis does not know yet."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple
from uuid import uuid4

from ...events import Event
from ...payloads.jsontext import encode
from .scripts import Word

__all__ = ["Change", "Claim", "Claims"]


@dataclass(eq=False)
class Claim:
    """That this node has a connection of a client."""

    id: str
    about: str  # JSON
    began: float = field(default_factory=time.monotonic)
    known: Event = field(default_factory=Event)  # set when it is in Redis, or another node holds a newer connection


@dataclass(frozen=True)
class Change:
    """What Redis is to be told of a client."""

    client_id: str
    claim: Optional[Claim]  # None: it is taken back
    taken_back: str = ""  # which claim; "": any of this node

    def words(self) -> List[Word]:
        """Return the arguments of `scripts.SYNC`."""
        if self.claim is None:
            return [self.client_id, self.taken_back, -1, ""]
        age = max(0.0, time.monotonic() - self.claim.began)
        return [self.client_id, self.claim.id, int(age * 1e6), self.claim.about]


class Claims:
    """The claims of one node. Any thread may call it; one thread alone takes changes and ends them.

    It holds how things are, and no list of what happened: so what waits for Redis is never more than the clients that
    are held, and those that Redis believes are held.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Dict[str, Claim] = {}
        self._written: Dict[str, str] = {}  # clients that Redis may have as held here, and by which claim; "": any
        self._changed: Dict[str, None] = {}  # clients that Redis is to be told of, in order

    def add(self, client_id: str, about: Mapping[str, Any]) -> Claim:
        """Note a new connection."""
        claim = Claim(uuid4().hex, encode(dict(about)))
        with self._lock:
            self._held[client_id] = claim
            self._changed[client_id] = None
        return claim

    def remove(self, client_id: str, claim_id: str) -> bool:
        """Note that a connection has ended. Return whether it was the newest of its client here."""
        with self._lock:
            claim = self._held.get(client_id)
            if claim is None or claim.id != claim_id:
                return False
            del self._held[client_id]
            self._changed[client_id] = None
            return True

    def drop(self, client_id: str, claim_id: str) -> bool:
        """Forget a claim that another node's has replaced. Return whether it was held."""
        with self._lock:
            claim = self._held.get(client_id)
            if claim is None or claim.id != claim_id:
                return False
            del self._held[client_id]
            self._written.pop(client_id, None)
            return True

    def claim_anew(self, known: Iterable[str]) -> None:
        """Have all claims be written again, and those be taken back that Redis has, and this node has not."""
        with self._lock:
            self._written = {**dict.fromkeys(known, ""), **self._written}
            self._changed = dict.fromkeys([*self._changed, *self._held, *self._written])

    def waiting(self) -> bool:
        """Return whether Redis does not know all yet."""
        return bool(self._changed)

    def count(self) -> int:
        """Return how many clients are held."""
        return len(self._held)

    def take(self, most: int) -> List[Change]:
        """Return up to ``most`` changes that are to be written now. Then `done` or `put_back` is called with them."""
        with self._lock:
            return list(filter(None, map(self._take_one, list(self._changed)[:most])))

    def _take_one(self, client_id: str) -> Optional[Change]:
        del self._changed[client_id]
        claim = self._held.get(client_id)
        if claim is not None:
            self._written[client_id] = claim.id
            return Change(client_id, claim)
        return Change(client_id, None, self._written[client_id]) if client_id in self._written else None

    def put_back(self, changes: Sequence[Change]) -> None:
        """Have changes be taken again, before all others: Redis could not be told."""
        with self._lock:
            first = dict.fromkeys(change.client_id for change in changes)
            self._changed = {**first, **self._changed}

    def done(self, changes: Sequence[Change], results: Sequence[int]) -> List[Tuple[str, str]]:
        """Note what has come of changes. Return clients and claims that another node's newer ones have refused."""
        taken_back = [change.client_id for change in changes if change.claim is None]
        with self._lock:
            self._note_taken_back(taken_back)
        made = [(change.client_id, change.claim, result) for change, result in zip(changes, results) if change.claim]
        refused = [(client, claim.id) for client, claim, result in made if not result and self.drop(client, claim.id)]
        for _, claim, _ in made:
            claim.known.set()
        return refused

    def _note_taken_back(self, client_ids: Sequence[str]) -> None:
        for client_id in client_ids:
            if client_id not in self._changed:  # else it is to be written once more: see `claim_anew`
                self._written.pop(client_id, None)
