"""`Availability`: whether connectors, and the station, may be used (1.6 edition 2 section 5.2; Part 2 G03, G04)."""

from __future__ import annotations

from typing import Optional

from .common import Common
from .connectors import Connector, Transaction

__all__ = ["Availability"]


class Availability:
    """Changes the availability, at once or when transactions have ended. To be used in jobs of the mailbox."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._scheduled: Optional[bool] = None  # of the station as a whole

    def status_of(self, connector: Optional[Connector], operative: bool) -> str:
        """Return how `change` would end: "Accepted", or "Scheduled" while there is a transaction."""
        under_way = [each for each in self._common.connectors.transactions if connector in (None, each.connector)]
        return "Scheduled" if under_way and not operative else "Accepted"

    def change(self, connector: Optional[Connector], operative: bool) -> None:
        """Make a connector, or without one the whole station, operative or inoperative.

        Call it after the answer (`Core.post`): the status notifications follow it.
        """
        scheduled = self.status_of(connector, operative) == "Scheduled"
        if connector is None:
            self._scheduled = operative if scheduled else None
            if not scheduled:
                self._set_station(operative)
            return
        connector.scheduled_operative = operative if scheduled else None
        if not scheduled:
            connector.operative = operative
            connector.update()

    def transaction_ended(self, transaction: Transaction) -> None:
        """Do what was put off until the end of a transaction."""
        connector = transaction.connector
        if connector.scheduled_operative is not None:
            connector.operative, connector.scheduled_operative = connector.scheduled_operative, None
        if self._scheduled is not None and not self._common.connectors.transactions:
            operative, self._scheduled = self._scheduled, None
            self._set_station(operative)

    def _set_station(self, operative: bool) -> None:
        if self._common.connectors.operative == operative:
            return
        self._common.connectors.operative = operative
        self._common.behaviour.availability_changed()
        for connector in self._common.connectors:
            connector.update()
