"""`ChargingProfiles`: smart charging. Which limit holds at a moment, and the composite schedule.

1.6 edition 2 section 3.13; 2.x Part 2, functional block K. Limits are in W here; in 1.6 and 2.x they may be in A, of
each phase. Of a profile with several schedules (ISO 15118, 2.x) the behaviour hands over the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .connectors import Connector, Connectors, Transaction
from .meter import VOLTAGE, max_power
from .simtime import SimulatedTime

__all__ = ["EXTERNAL", "STATION_MAX", "TX", "TX_DEFAULT", "ChargingProfiles", "Composite", "Period", "Profile"]

STATION_MAX = "ChargingStationMaxProfile"  #: In 1.6: ChargePointMaxProfile.
TX_DEFAULT = "TxDefaultProfile"
TX = "TxProfile"
EXTERNAL = "ChargingStationExternalConstraints"

_PHASES = 3  # when a period does not say how many
_RECURRENCES = {"Daily": timedelta(days=1), "Weekly": timedelta(days=7)}


@dataclass(frozen=True)
class Period:
    """A limit that holds from ``start`` on, in seconds from the start of the schedule. It is in the schedule's unit."""

    start: float
    limit: float
    phases: Optional[int] = None


@dataclass(frozen=True)
class Profile:
    """A charging profile.

    Args:
        id: Its id.
        stack_level: The highest one counts.
        purpose: `STATION_MAX`, `TX_DEFAULT`, `TX` or `EXTERNAL`.
        kind: "Absolute", "Recurring" or "Relative".
        periods: The schedule. The first period starts at 0.
        unit: "W" or "A", of the limits.
        duration: Seconds, after which the schedule says nothing any more. ``None``: it has no end.
        start: When the schedule starts, unless its kind is "Relative".
        recurrence: "Daily" or "Weekly", for the kind "Recurring".
        valid_from: It counts from then on.
        valid_to: It counts until then.
        transaction_id: For the purpose `TX`: the transaction, as OCPP names it.
        source: What the version has sent, to be reported.
    """

    id: int
    stack_level: int
    purpose: str
    kind: str
    periods: Sequence[Period]
    unit: str = "W"
    duration: Optional[float] = None
    start: Optional[datetime] = None
    recurrence: Optional[str] = None
    valid_from: Optional[datetime] = None
    valid_to: Optional[datetime] = None
    transaction_id: Any = None
    source: Any = field(default=None, compare=False)

    def start_at(self, moment: datetime, begun: datetime) -> Optional[datetime]:
        """Return when the schedule started that counts at ``moment``; ``begun`` is the start of the transaction."""
        if self.kind == "Relative":
            return begun
        start = begun if self.start is None else self.start
        if start > moment:
            return None
        if self.kind == "Recurring" and self.recurrence in _RECURRENCES:
            every = _RECURRENCES[self.recurrence]
            start += (moment - start) // every * every
        return start

    def period_at(self, moment: datetime, begun: datetime) -> Optional[Period]:
        """Return the period that counts at ``moment``, or ``None`` when the profile says nothing then."""
        if self.valid_from is not None and moment < self.valid_from:
            return None
        if self.valid_to is not None and moment >= self.valid_to:
            return None
        start = self.start_at(moment, begun)
        if start is None or moment < start:
            return None
        seconds = (moment - start).total_seconds()
        if self.duration is not None and seconds >= self.duration:
            return None
        past = [period for period in self.periods if period.start <= seconds]
        return past[-1] if past else None

    def next_change(self, moment: datetime, begun: datetime) -> Optional[datetime]:
        """Return the next time after ``moment`` at which what the profile says may change."""
        times = [self.valid_from, self.valid_to]
        start = self.start_at(moment, begun)
        if start is None:
            times.append(self.start)
        else:
            times += [start + timedelta(seconds=period.start) for period in self.periods]
            if self.duration is not None:
                times.append(start + timedelta(seconds=self.duration))
            if self.kind == "Recurring" and self.recurrence in _RECURRENCES:
                times.append(start + _RECURRENCES[self.recurrence])
        return min((time for time in times if time is not None and time > moment), default=None)

    def in_watts(self, period: Period, phases: int) -> float:
        """Return the limit of a period in W, where so many ``phases`` are used. One in A is for each phase."""
        return period.limit if self.unit == "W" else period.limit * VOLTAGE * min(period.phases or _PHASES, phases)


@dataclass(frozen=True)
class Composite:
    """What the profiles of a connector say together. The limits of ``periods`` are in ``unit``."""

    start: datetime
    duration: float
    unit: str
    periods: Sequence[Period]


class ChargingProfiles:
    """The charging profiles of one station, by connector; 0 is the station. To be used in jobs of the mailbox."""

    def __init__(self, connectors: Connectors, time: SimulatedTime) -> None:
        self._connectors = connectors
        self._time = time
        self.changed: List[Callable[[], object]] = []  #: Called when profiles were installed, or cleared.
        self._installed: List[Tuple[int, Profile]] = []

    def __iter__(self) -> Iterator[Tuple[int, Profile]]:
        """Iterate over pairs of connector id, 0 for the station, and profile."""
        return iter(list(self._installed))

    def install(self, connector_id: int, profile: Profile, by_id_only: bool = False) -> None:
        """Install a profile. It replaces the one of its id, and one of the same place, purpose and stack level.

        With ``by_id_only`` it replaces that of its id alone: in 2.x others of its level may count at other times.

        (1.6 edition 2 section 5.16.2; Part 2 K01.FR.05 and K01.FR.06 say when that is refused: the behaviour checks.)
        """

        def replaced(place: int, old: Profile) -> bool:
            same_level = (old.purpose, old.stack_level, old.transaction_id) == (
                profile.purpose,
                profile.stack_level,
                profile.transaction_id,
            )
            return old.id == profile.id or (not by_id_only and place == connector_id and same_level)

        self._installed = [(place, old) for place, old in self._installed if not replaced(place, old)]
        self._installed.append((connector_id, profile))
        self._tell()

    def clear(self, matches: Callable[[int, Profile], bool]) -> List[Profile]:
        """Remove those for which ``matches(connector_id, profile)`` is true, and return them."""
        removed = [profile for place, profile in self._installed if matches(place, profile)]
        self._installed = [each for each in self._installed if each[1] not in removed]
        self._tell()
        return removed

    def transaction_ended(self, transaction: Transaction) -> None:
        """Forget the TxProfiles of a transaction (1.6 edition 2 section 3.13.2; Part 2 K01)."""
        connector_id, id = transaction.connector.id, transaction.id

        def is_over(place: int, profile: Profile) -> bool:
            return profile.purpose == TX and place == connector_id and profile.transaction_id in (None, id)

        self._installed = [each for each in self._installed if not is_over(*each)]

    def forget_pending(self, connector: Connector) -> None:
        """Forget the TxProfiles that came with a remote start, whose transaction will not begin."""
        pending = (TX, None, connector.id)
        self._installed = [
            (place, each) for place, each in self._installed if (each.purpose, each.transaction_id, place) != pending
        ]

    def _tell(self) -> None:
        for function in self.changed:
            function()

    # Limits

    def limit(self, connector: Connector) -> Optional[float]:
        """Return the limit of a connector now, in W; ``None`` if there is none.

        What the station may take as a whole is shared equally among the connectors with transactions.
        """
        now = _When.now(self._time)
        sharers = sum(each.transaction is not None for each in self._connectors) or 1
        station = self._station_limits(now, connector.phases)
        own = self._connector_limit(connector, now)
        limits = [limit / sharers for limit in station] + ([] if own is None else [own])
        return min(limits, default=None)

    def seconds_to_change(self, connector: Connector) -> Optional[float]:
        """Return in how many simulated seconds the limit of a connector may change; ``None``: not by itself."""
        now = _When.now(self._time)
        times = [self._next_change(place, profile, now) for place, profile in self._of(connector.id)]
        soonest = min((time for time in times if time is not None), default=None)
        return None if soonest is None else (soonest - now.moment).total_seconds()

    def composite(self, connector_id: int, duration: float, unit: Optional[str]) -> Composite:
        """Return the composite schedule of a connector, or of the station (0), from now on.

        Args:
            connector_id: Where.
            duration: Seconds.
            unit: "W" or "A". ``None``: W.
        """
        start, unit = self._time.now(), unit or "W"
        phases = _PHASES if connector_id == 0 else self._connectors[connector_id].phases
        end, moment = start + timedelta(seconds=duration), start
        periods: List[Period] = []
        while moment < end:
            when = _When(moment, start)
            watts = self._limit_at(connector_id, when, phases)
            limit = round(watts if unit == "W" else watts / VOLTAGE / phases, 1)
            if not periods or periods[-1].limit != limit:
                periods.append(Period(round((moment - start).total_seconds()), limit))
            times = [self._next_change(place, profile, when) for place, profile in self._of(connector_id)]
            moment = min((time for time in times if time is not None), default=end)
        return Composite(start, duration, unit, periods)

    def _limit_at(self, connector_id: int, when: "_When", phases: int) -> float:
        """Return a limit in W. That of the station (0) is no more than its connectors take (Part 2 K08.FR.03)."""
        connectors = self._connectors if connector_id == 0 else [self._connectors[connector_id]]
        limits = [(self._connector_limit(each, when), max_power(each)) for each in connectors]
        own = sum(greatest if limit is None else min(limit, greatest) for limit, greatest in limits)
        return min([*self._station_limits(when, phases), own])

    def _station_limits(self, when: "_When", phases: int) -> List[float]:
        limits = [self._of_purpose(0, purpose, when, phases) for purpose in (STATION_MAX, EXTERNAL)]
        return [limit for limit in limits if limit is not None]

    def _connector_limit(self, connector: Connector, when: "_When") -> Optional[float]:
        """Return what the profiles for a connector say: a TxProfile goes before a TxDefaultProfile."""
        place, phases = connector.id, connector.phases
        transaction = self._of_purpose(place, TX, when, phases) if connector.transaction is not None else None
        if transaction is None:
            transaction = self._of_purpose(place, TX_DEFAULT, when, phases)
        if transaction is None:  # one for this connector goes before one for all (1.6 edition 2 section 3.13.4)
            transaction = self._of_purpose(0, TX_DEFAULT, when, phases, connector.id)
        external = self._of_purpose(place, EXTERNAL, when, phases)
        return min((limit for limit in (transaction, external) if limit is not None), default=None)

    def _of_purpose(
        self, place: int, purpose: str, when: "_When", phases: int, connector_id: Optional[int] = None
    ) -> Optional[float]:
        """Return the limit, in W, that the profile of the highest stack level says which says one then."""
        candidates = [each for where, each in self._installed if where == place and each.purpose == purpose]
        for profile in sorted(candidates, key=lambda each: -each.stack_level):
            period = profile.period_at(when.moment, self._begun(connector_id or place, when))
            if period is not None:
                return profile.in_watts(period, phases)
        return None

    def _of(self, connector_id: int) -> List[Tuple[int, Profile]]:
        """Return what may say a limit for a connector; for the station (0): all."""
        if connector_id == 0:
            return list(self._installed)
        return [(connector_id, profile) for place, profile in self._installed if place in (0, connector_id)]

    def _next_change(self, place: int, profile: Profile, when: "_When") -> Optional[datetime]:
        return profile.next_change(when.moment, self._begun(place, when))

    def _begun(self, place: int, when: "_When") -> datetime:
        """Return from when relative schedules count: the begin of the transaction of a connector, if there is one."""
        connector = self._connectors.find(place)
        transaction = None if connector is None else connector.transaction
        return when.origin if transaction is None else transaction.started_at


class _When(NamedTuple):
    """The moment that is looked at, and that from which relative schedules count where there is no transaction."""

    moment: datetime
    origin: datetime

    @classmethod
    def now(cls, time: SimulatedTime) -> "_When":
        now = time.now()
        return cls(now, now)
