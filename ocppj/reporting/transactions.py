"""`Transactions`: the transactions of one station, with their energy and their power."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from .values import first_text, number, objects, part, time_of

__all__ = ["TRANSACTION_ACTIONS", "Transaction", "Transactions"]

#: The actions that say something of a transaction.
TRANSACTION_ACTIONS = frozenset({"StartTransaction", "StopTransaction", "MeterValues", "TransactionEvent"})
_ENERGY, _POWER = "Energy.Active.Import.Register", "Power.Active.Import"
#: Of a reading that is given for each phase only, these are added up.
_PHASES = ("L1", "L2", "L3", "L1-N", "L2-N", "L3-N")

#: Points of a curve: microseconds from 1970 on, and a value.
Curve = List[Tuple[int, float]]


@dataclass
class Transaction:
    """What the messages say about a transaction. ``None`` and "": they do not say it.

    Attributes:
        station: The number of the station.
        id: Its id.
        row: The first row about it.
        connector: The connector, or in 2.x the EVSE.
        id_tag: For whom it is.
        begin: When it began, by the clock of the station, in microseconds from 1970 on.
        end: When it ended.
        reason: Why it ended.
        energy: The register of the meter in Wh.
        power: The power in W, as the station has said it.
    """

    station: int
    id: str
    row: int
    connector: str = ""
    id_tag: str = ""
    begin: Optional[int] = None
    end: Optional[int] = None
    reason: str = ""
    energy: Curve = field(default_factory=list)
    power: Curve = field(default_factory=list)

    @property
    def energy_wh(self) -> Optional[float]:
        """The energy between the first and the last reading."""
        return round(self.energy[-1][1] - self.energy[0][1], 3) if self.energy else None

    @property
    def max_power_w(self) -> Optional[float]:
        """The highest power: as it was said, or else on average between two readings of energy."""
        curve = self.power or self.mean_power()
        return max(value for _, value in curve) if curve else None

    @property
    def seconds(self) -> Optional[float]:
        """How long it took."""
        return None if self.begin is None or self.end is None else (self.end - self.begin) / 1e6

    def mean_power(self) -> Curve:
        """Return the power between each reading of energy and the one before it."""
        pairs = zip(self.energy, self.energy[1:])
        return [
            (time, round((wh - before) * 3.6e9 / (time - since), 1))
            for (since, before), (time, wh) in pairs
            if time > since
        ]

    def finish(self) -> None:
        """Put the curves in order."""
        self.energy = sorted(dict(self.energy).items())
        self.power = sorted(dict(self.power).items())


class Transactions:
    """The transactions of one station.

    Args:
        station: Its number.
    """

    def __init__(self, station: int) -> None:
        self.found: List[Transaction] = []
        self._station = station
        self._by_id: Dict[str, Transaction] = {}
        self._open: Dict[str, Transaction] = {}  # by connector: those of 1.6, whose readings may come without an id
        self._started: Dict[int, Transaction] = {}  # by the row of a StartTransaction that has no answer yet

    def call(self, row: int, time: int, action: str, payload: Any) -> None:
        """Read a request of the station."""
        if action == "StartTransaction":
            self._start(row, time, payload)
        elif action == "StopTransaction":
            self._stop(row, time, payload)
        elif action == "MeterValues":
            self._meter_values(row, time, payload)
        elif action == "TransactionEvent":
            self._event(row, time, payload)

    def result(self, call_row: int, payload: Any) -> None:
        """Read the response to the request in that row."""
        started = self._started.pop(call_row, None)
        if started is not None:
            started.id = first_text(part(payload, "transactionId"))
            self._by_id[started.id] = started

    def finish(self) -> None:
        """Put the curves in order."""
        for each in self.found:
            each.finish()

    def _start(self, row: int, time: int, payload: Any) -> None:
        begin = time_of(part(payload, "timestamp"), time)
        made = self._make("", row)
        made.connector = first_text(part(payload, "connectorId"))
        made.id_tag = first_text(part(payload, "idTag"))
        made.begin = begin
        _add(made.energy, begin, number(part(payload, "meterStart")))
        self._started[row] = self._open[made.connector] = made

    def _stop(self, row: int, time: int, payload: Any) -> None:
        stopped = self._find(first_text(part(payload, "transactionId")), row)
        stopped.end = time_of(part(payload, "timestamp"), time)
        stopped.reason = first_text(part(payload, "reason")) or "Local"
        stopped.id_tag = stopped.id_tag or first_text(part(payload, "idTag"))
        _read_meter(stopped, part(payload, "transactionData"), time)
        _add(stopped.energy, stopped.end, number(part(payload, "meterStop")))
        if self._open.get(stopped.connector) is stopped:
            del self._open[stopped.connector]

    def _meter_values(self, row: int, time: int, payload: Any) -> None:
        name = first_text(part(payload, "transactionId"))
        connector = first_text(part(payload, "connectorId"))
        found = self._find(name, row) if name else self._open.get(connector)
        if found is not None:
            found.connector = found.connector or connector
            _read_meter(found, part(payload, "meterValue"), time)

    def _event(self, row: int, time: int, payload: Any) -> None:
        name = first_text(part(payload, "transactionInfo", "transactionId"))
        if not name:
            return
        found = self._find(name, row)
        found.connector = found.connector or first_text(part(payload, "evse", "id"))
        found.id_tag = found.id_tag or first_text(part(payload, "idToken", "idToken"))
        kind = part(payload, "eventType")
        if kind == "Started":
            found.begin = time_of(part(payload, "timestamp"), time)
        elif kind == "Ended":
            found.end = time_of(part(payload, "timestamp"), time)
            found.reason = first_text(part(payload, "transactionInfo", "stoppedReason")) or "Local"
        _read_meter(found, part(payload, "meterValue"), time)

    def _find(self, name: str, row: int) -> Transaction:
        found = self._by_id.get(name)
        if found is None:
            found = self._by_id[name] = self._make(name, row)
        return found

    def _make(self, name: str, row: int) -> Transaction:
        made = Transaction(self._station, name, row)
        self.found.append(made)
        return made


def _add(curve: Curve, time: int, value: Optional[float]) -> None:
    if value is not None:
        curve.append((time, value))


def _read_meter(transaction: Transaction, meter_values: Any, time: int) -> None:
    for each in objects(meter_values):
        at = time_of(each.get("timestamp"), time)
        samples = objects(each.get("sampledValue"))
        _add(transaction.energy, at, _reading(samples, _ENERGY))
        _add(transaction.power, at, _reading(samples, _POWER))


def _reading(samples: List[Dict[str, Any]], measurand: str) -> Optional[float]:
    """Return a reading at the outlet, in Wh or W: that of all phases, or else the sum of the phases."""
    total, phases = None, {}
    for sample in samples:
        value = _value(sample)
        is_meant = sample.get("measurand", _ENERGY) == measurand and sample.get("location", "Outlet") == "Outlet"
        if value is None or not is_meant:
            continue
        phase = sample.get("phase")
        if phase is None:
            total = value
        elif phase in _PHASES:
            phases[phase] = value
    return total if total is not None or not phases else sum(phases.values())


def _value(sample: Dict[str, Any]) -> Optional[float]:
    """Return a reading in Wh or W."""
    value = number(sample.get("value"))
    unit = sample.get("unit") or part(sample, "unitOfMeasure", "unit")
    multiplier = number(part(sample, "unitOfMeasure", "multiplier")) or 0.0
    scale = 10.0 ** max(-30.0, min(30.0, multiplier)) * (1000.0 if unit in ("kWh", "kW") else 1.0)
    return None if value is None else number(value * scale)
