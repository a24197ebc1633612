"""UpdateDynamicSchedule and UsePriorityCharging of 2.1 (Part 2, K21 and K28)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

from ..core import Core
from .block import Block2
from .smart_charging import SmartCharging

__all__ = ["DynamicCharging"]


class DynamicCharging(Block2):
    """Dynamic charging profiles, whose limit the CSMS changes. There is no priority charging.

    Args:
        core: The station.
        types: The types of the version.
        charging: The block of charging profiles.
        is_known: Tells whether a transaction of that id is under way.
    """

    def __init__(self, core: Core, types: Any, charging: SmartCharging, is_known: Callable[[str], bool]) -> None:
        super().__init__(core, types)
        self._charging = charging
        self._is_known = is_known
        core.on(types.UpdateDynamicScheduleRequest, self.update)
        core.on(types.UsePriorityChargingRequest, self.use_priority)

    def update(self, request: Any) -> Any:
        found = [
            (evse_id, profile.source)
            for evse_id, profile in self.core.profiles
            if profile.id == request.charging_profile_id and profile.source.charging_profile_kind == "Dynamic"
        ]
        if not found:
            info = self.types.StatusInfo(reason_code="InvalidProfileId")
            return self.types.UpdateDynamicScheduleResponse(status="Rejected", status_info=info)
        evse_id, profile = found[0]
        changed = self._with_limit(profile, request.schedule_update.limit)
        self.core.post(lambda: self._charging.install(evse_id, changed))
        return self.types.UpdateDynamicScheduleResponse(status="Accepted")

    @staticmethod
    def _with_limit(profile: Any, limit: Any) -> Any:
        """Return a profile with another limit; ``None`` leaves it as it is."""
        schedule = profile.charging_schedule[0]
        period = schedule.charging_schedule_period[0]
        changed = period if limit is None else replace(period, limit=limit)
        return replace(profile, charging_schedule=[replace(schedule, charging_schedule_period=[changed])])

    def use_priority(self, request: Any) -> Any:
        """Say that there is no profile for it, and that its end is accepted (K21.FR.01, FR.02, FR.06)."""
        if not self._is_known(request.transaction_id):
            info = self.types.StatusInfo(reason_code="TxNotFound")
            return self.types.UsePriorityChargingResponse(status="Rejected", status_info=info)
        return self.types.UsePriorityChargingResponse(status="NoProfile" if request.activate else "Accepted")
