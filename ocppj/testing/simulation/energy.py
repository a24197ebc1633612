"""`EnergyFlow`: how much power flows at each connector, and when that changes."""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, List, Optional

from .charging_profiles import ChargingProfiles
from .common import Common
from .connectors import Connector
from .meter import max_power
from .scheduler import Handle

__all__ = ["EnergyFlow"]

_LEAST = 0.01  # Wh: a vehicle that takes less is full


class EnergyFlow:
    """Sets the power of each meter: the least of what the vehicle takes, the connector gives, and the profiles allow.

    The power is constant between two events. So nothing is computed in between: the next event has a timer, be it that
    the vehicle is full, or that a charging schedule goes on to its next period.

    Attributes:
        changed: Functions ``f(connector, trigger)``. They are called when the state or the rate of a transaction has
            changed, and when energy may begin to flow for a permit without a transaction. ``trigger`` is a
            TriggerReason of 2.x: "ChargingStateChanged", "ChargingRateChanged".
        full: Functions ``f(connector)``, called when a vehicle takes no more energy.
    """

    def __init__(self, common: Common, profiles: ChargingProfiles) -> None:
        self._common = common
        self._profiles = profiles
        profiles.changed.append(self.refresh_all)
        self._timers: Dict[int, Handle] = {}
        self.changed: List[Callable[[Connector, str], object]] = []
        self.full: List[Callable[[Connector], object]] = []

    def may_flow(self, connector: Connector) -> bool:
        """Tell whether energy would flow if there were a transaction."""
        transaction = connector.transaction
        allowed = transaction is None or transaction.energy_allowed
        return allowed and self._offered(connector) > 0 and not self._is_full(connector)

    def refresh_all(self) -> None:
        """Find the power of all connectors anew: the limits have changed."""
        for connector in self._common.connectors:
            self.refresh(connector)

    def refresh(self, connector: Connector) -> None:
        """Find the power of a connector anew, and tell of what has changed."""
        self._cancel(connector)
        transaction, meter = connector.transaction, self._common.meters[connector]
        if transaction is None or connector.vehicle is None or connector.permit is None:
            self.stop(connector)
            if transaction is None and connector.plugged and connector.permit is not None:
                self._arm(connector)
                self._tell(connector, "ChargingStateChanged")
            return
        offered = self._offered(connector) if transaction.energy_allowed else 0.0
        has_changed = offered != meter.offered and meter.offered > 0
        full = self._is_full(connector)
        meter.offered = offered
        meter.set_power(0.0 if full else min(offered, connector.vehicle.max_power))
        before, connector.suspended_by = connector.suspended_by, "EVSE" if offered <= 0 else "EV" if full else None
        self._arm(connector)
        connector.update()
        if before != connector.suspended_by:
            self._tell(connector, "ChargingStateChanged")
        elif has_changed:
            self._tell(connector, "ChargingRateChanged")
        if before != connector.suspended_by == "EV":
            for function in list(self.full):
                function(connector)

    def stop(self, connector: Connector) -> None:
        """Have no energy flow."""
        self._cancel(connector)
        meter = self._common.meters[connector]
        meter.offered = 0.0
        meter.set_power(0.0)

    def _tell(self, connector: Connector, trigger: str) -> None:
        for function in self.changed:
            function(connector, trigger)

    def _offered(self, connector: Connector) -> float:
        limit = self._profiles.limit(connector)
        return max_power(connector) if limit is None else min(limit, max_power(connector))

    def _is_full(self, connector: Connector) -> bool:
        vehicle = connector.vehicle
        return vehicle is None or vehicle.left(self._common.meters[connector].energy) < _LEAST

    def _arm(self, connector: Connector) -> None:
        """Set a timer for the next moment at which the power may change."""
        seconds: Optional[float] = self._profiles.seconds_to_change(connector)
        power, vehicle = self._common.meters[connector].power, connector.vehicle
        if power > 0 and vehicle is not None:
            full_in = vehicle.left(self._common.meters[connector].energy) / power * 3600 + 1e-3
            seconds = full_in if seconds is None else min(seconds, full_in)
        if seconds is not None:
            self._timers[connector.id] = self._common.time.call_later(seconds, partial(self.refresh, connector))

    def _cancel(self, connector: Connector) -> None:
        timer = self._timers.pop(connector.id, None)
        if timer is not None:
            timer.cancel()
