"""`Sampling`: when meter values are taken, in transactions and by the clock.

1.6 edition 2 section 3.16; 2.x Part 2, J01 and J02.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

from .common import Common
from .connectors import Transaction
from .scheduler import Handle

__all__ = ["Sampling"]


class Sampling:
    """Takes samples in transactions, each interval, and at moments that are multiples of an interval in the day.

    Intervals are in simulated seconds, and are read again when the settings change.
    """

    def __init__(self, common: Common) -> None:
        self._common = common
        self._timers: Dict[int, List[Handle]] = {}  # by number of the transaction
        self._aligned: List[Handle] = []
        for name in ("sample_interval", "ended_interval"):
            common.settings.watch(name, self._restart)
        for name in ("aligned_interval", "aligned_ended_interval"):
            common.settings.watch(name, self.start)
        common.time.changed.append(self.start)

    def start(self) -> None:
        """Begin with the clock-aligned samples: the station was switched on."""
        self.stop()
        self._align("aligned_interval", self._take_aligned)
        self._align("aligned_ended_interval", self._take_aligned_ended)

    def stop(self) -> None:
        """Take no clock-aligned samples: the station is off."""
        for timer in self._aligned:
            timer.cancel()
        self._aligned = []

    def begin(self, transaction: Transaction) -> None:
        """Begin with a transaction."""
        self._note(transaction, "ended_measurands", "Transaction.Begin")
        self._set_timers(transaction)

    def end(self, transaction: Transaction) -> None:
        """Take the last samples of a transaction."""
        self._cancel(transaction)
        self._note(transaction, "ended_measurands", "Transaction.End")

    def _restart(self) -> None:
        for transaction in self._common.connectors.transactions:
            self._cancel(transaction)
            self._set_timers(transaction)

    def _set_timers(self, transaction: Transaction) -> None:
        self._repeat(transaction, "sample_interval", self._take_sample)
        self._repeat(transaction, "ended_interval", self._take_ended)

    def _repeat(
        self, transaction: Transaction, name: str, take: Callable[[Transaction], None], last: Optional[float] = None
    ) -> None:
        """Take samples each interval from ``last`` on, in simulated seconds; by default, from now on."""
        interval, now = self._common.settings.get(name, 0), self._common.time.seconds()
        if interval <= 0:
            return
        at = (now if last is None else last) + interval  # a timer that is late makes the next one no later

        def due() -> None:
            if transaction.active:
                timers.remove(handle[0])
                self._repeat(transaction, name, take, at)
                take(transaction)

        timers = self._timers.setdefault(transaction.number, [])
        handle = [self._common.time.call_later(at - now, due)]
        timers.append(handle[0])

    def _cancel(self, transaction: Transaction) -> None:
        for timer in self._timers.pop(transaction.number, []):
            timer.cancel()

    def _take_sample(self, transaction: Transaction) -> None:
        measurands = self._common.settings.get("sample_measurands", [])
        reading = self._common.meters.read(transaction.connector, measurands, "Sample.Periodic")
        if reading is not None:
            self._common.behaviour.transaction_updated(transaction, "MeterValuePeriodic", reading)

    def _take_ended(self, transaction: Transaction) -> None:
        self._note(transaction, "ended_measurands", "Sample.Periodic")

    def _note(self, transaction: Transaction, name: str, context: str) -> None:
        reading = self._common.meters.read(transaction.connector, self._common.settings.get(name, []), context)
        if reading is not None:
            transaction.readings.append(reading)

    # By the clock

    def _align(self, name: str, take: Callable[[], None]) -> None:
        interval = self._common.settings.get(name, 0)
        if interval <= 0:
            return
        now = self._common.time.now()
        today = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        wait = min(interval - today % interval, 86_400 - today)  # they begin anew at midnight

        def due() -> None:
            self._aligned.remove(handle[0])
            self._align(name, take)
            take()

        handle = [self._common.time.call_later(wait, due)]
        self._aligned.append(handle[0])

    def _take_aligned(self) -> None:
        measurands = self._common.settings.get("aligned_measurands", [])
        for connector in [None, *self._common.connectors]:
            reading = self._common.meters.read(connector, measurands, "Sample.Clock")
            transaction: Optional[Transaction] = None if connector is None else connector.transaction
            if reading is None:
                continue
            if transaction is not None:
                self._common.behaviour.transaction_updated(transaction, "MeterValueClock", reading)
            else:
                self._common.behaviour.meter_values(connector, reading)

    def _take_aligned_ended(self) -> None:
        for transaction in self._common.connectors.transactions:
            self._note(transaction, "aligned_ended_measurands", "Sample.Clock")
