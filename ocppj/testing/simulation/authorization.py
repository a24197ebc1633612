"""`Authorization`: who may charge. The local list, the cache, and the CSMS are asked, in that order.

1.6 edition 2 sections 3.4 and 4.1; 2.x Part 2, functional blocks C and D.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from .connectors import Connector, IdToken
from .settings import Settings
from .simtime import SimulatedTime

__all__ = ["Authorization", "Decide", "Decision", "LocalList"]

_CACHE_SIZE = 1000
# Types of ids that are used without being authorized, and that no cache has: nobody has presented them, or the CSMS
# itself has given them (2.x Part 2 C02.FR.01, FR.03, C05.FR.01, FR.02).
_WITHOUT_AUTHORIZATION = ("NoAuthorization", "Central")


@dataclass(frozen=True)
class Decision:
    """What is known of an id. ``status`` is an AuthorizationStatus of the version, "Accepted" in all.

    It is for the EVSEs of ``evse_ids``; ``None``: for all (2.x).
    """

    status: str
    group: Optional[str] = None
    expiry: Optional[datetime] = None
    evse_ids: Optional[Tuple[int, ...]] = None

    def for_use_at(self, connector: Optional[Connector]) -> "Decision":
        """Return what this means at a connector: an id that is for other EVSEs is not accepted there."""
        if self.status != "Accepted" or not self.evse_ids or connector is None or connector.id in self.evse_ids:
            return self
        return replace(self, status="NotAtThisLocation")

    def accepted_at(self, now: datetime) -> bool:
        """Tell whether the id may charge."""
        return self.status == "Accepted" and not self.expired_at(now)

    def expired_at(self, now: datetime) -> bool:
        """Tell whether this is known no longer."""
        return self.expiry is not None and self.expiry <= now


Decide = Callable[[Optional[Decision]], object]


class _Known:
    """Decisions by id. Upper and lower case make no difference."""

    def __init__(self) -> None:
        self._decisions: Dict[Tuple[str, str], Decision] = {}

    def __len__(self) -> int:
        return len(self._decisions)

    def __iter__(self) -> Iterator[Tuple[str, str]]:
        return iter(self._decisions)

    @staticmethod
    def key_of(id_token: IdToken) -> Tuple[str, str]:
        return id_token.value.lower(), id_token.type

    def get(self, id_token: IdToken) -> Optional[Decision]:
        return self._decisions.get(self.key_of(id_token))

    def put(self, id_token: IdToken, decision: Optional[Decision]) -> None:
        """Keep a decision; ``None`` takes it away."""
        key = self.key_of(id_token)
        self._decisions.pop(key, None)  # the youngest are last
        if decision is not None:
            self._decisions[key] = decision

    def drop_oldest(self) -> None:
        del self._decisions[next(iter(self._decisions))]

    def clear(self) -> None:
        self._decisions.clear()


class LocalList(_Known):
    """The local authorization list (1.6 edition 2 section 3.4.2; Part 2 D01, D02). ``version`` 0: there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.version: int = 0

    def update(
        self,
        version: int,
        entries: Sequence[Tuple[IdToken, Optional[Decision]]],
        *,
        is_full: bool,
        most: Optional[float] = None,
    ) -> str:
        """Take a full list in place of the present one, or changes: ``None`` for entries to remove.

        Args:
            version: The version that the list has then.
            entries: The entries.
            is_full: Whether it is a full list.
            most: How many entries there is room for.

        Returns:
            "Accepted", "VersionMismatch", or "Failed", when nothing has changed (1.6 edition 2 sections 6.41 and 7.47,
            errata 4 3.52; Part 2 D01.FR.06, FR.12, FR.18, FR.19).
        """
        if not is_full and version <= self.version:
            return "VersionMismatch"
        keys = [self.key_of(id_token) for id_token, _ in entries]
        is_incomplete = is_full and any(decision is None for _, decision in entries)
        if version <= 0 or len(set(keys)) < len(keys) or is_incomplete:
            return "Failed"
        kept = {key for key, (_, decision) in zip(keys, entries) if decision is not None}
        others = set() if is_full else set(self).difference(keys)
        if most is not None and len(kept) + len(others) > most:
            return "Failed"
        if is_full:
            self.clear()
        for id_token, decision in entries:
            self.put(id_token, decision)
        self.version = version
        return "Accepted"


class Authorization:
    """Decides who may charge. To be used in jobs of the mailbox.

    Args:
        settings: Says what is looked at, and when.
        time: Says what has expired.
        online: Tells whether the CSMS can be asked.
        ask: Asks it: `Behaviour.authorize`.

    Attributes:
        local_list: What the CSMS has sent.
    """

    def __init__(
        self,
        settings: Settings,
        time: SimulatedTime,
        online: Callable[[], bool],
        ask: Callable[[IdToken, Optional[Connector], Decide], object],
    ) -> None:
        self._settings = settings
        self._time = time
        self._online = online
        self._ask = ask
        self.local_list: LocalList = LocalList()
        self._cache = _Known()

    def check(self, id_token: IdToken, connector: Optional[Connector], decide: Callable[[Decision], object]) -> None:
        """Find out whether an id may charge, and call ``decide(decision)``, now or when the CSMS has answered."""
        settings, known = self._settings, self._find(id_token, connector)
        if id_token.type in _WITHOUT_AUTHORIZATION:
            decide(Decision("Accepted"))
        elif not self._online():
            decide(self._decide_offline(known))
        elif known is not None and settings.get("preauthorize_listed", False) and known.accepted_at(self._now()):
            decide(known)
        else:
            answered = partial(self._answered, id_token, connector, decide)
            self._ask(id_token, connector, answered)

    def learn(self, id_token: IdToken, decision: Decision) -> None:
        """Keep what the CSMS has said of an id, in whatever answer, in the cache.

        An id of the local list is not in the cache as well (1.6 edition 2 section 3.4.3).
        """
        is_cached = self._settings.get("cache_enabled", False) and id_token.type not in _WITHOUT_AUTHORIZATION
        if not is_cached or self.local_list.get(id_token) is not None:
            return
        if decision.status == "ConcurrentTx":  # a valid id, which is in use (1.6 edition 2 section 3.5.2)
            decision = replace(decision, status="Accepted")
        self._cache.put(id_token, decision)
        if len(self._cache) > _CACHE_SIZE:
            self._cache.drop_oldest()

    def known_of(self, id_token: IdToken) -> List[Tuple[str, Decision]]:
        """Return what is known of an id, and where: in the "local list", the "cache"."""
        places = [("local list", self.local_list.get(id_token)), ("cache", self._cache.get(id_token))]
        return [(place, decision) for place, decision in places if decision is not None]

    def forget(self, id_token: IdToken) -> bool:
        """Forget what the cache has of an id. Return whether there was something."""
        known = self._cache.get(id_token) is not None
        self._cache.put(id_token, None)
        return known

    def clear_cache(self) -> bool:
        """Forget the cache. Return whether there is one."""
        self._cache.clear()
        return bool(self._settings.get("cache_enabled", False))

    def _answered(
        self,
        id_token: IdToken,
        connector: Optional[Connector],
        decide: Callable[[Decision], object],
        decision: Optional[Decision],
    ) -> None:
        if decision is None:  # no answer: as if offline
            decide(self._decide_offline(self._find(id_token, connector)))
            return
        self.learn(id_token, decision)
        decide(replace(decision.for_use_at(connector), expiry=None))  # how long that is known does not matter now

    def _decide_offline(self, known: Optional[Decision]) -> Decision:
        settings = self._settings
        if known is not None:
            usable = settings.get("offline_authorize_listed", False) and known.accepted_at(self._now())
            return known if usable else Decision("Invalid")
        return Decision("Accepted" if settings.get("offline_allow_unknown", False) else "Invalid")

    def _find(self, id_token: IdToken, connector: Optional[Connector]) -> Optional[Decision]:
        """Return what is known of an id at a connector. The local list is right where the cache says otherwise."""
        known = self.local_list.get(id_token) if self._settings.get("list_enabled", False) else None
        if known is None and self._settings.get("cache_enabled", False):
            known = self._cache.get(id_token)
        return None if known is None else known.for_use_at(connector)

    def _now(self) -> datetime:
        return self._time.now()
