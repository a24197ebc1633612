"""SetChargingProfile and the other requests about charging profiles (Part 2, functional block K)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

from ..charging_profiles import EXTERNAL, Period, Profile
from ..core import Core
from ..simtime import SimulatedTime
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel
from .profile_rules import find_problem

__all__ = ["SmartCharging"]

_SOURCE = "CSO"
_EXTERNAL_ID = -1  # K12.FR.05: no id of the CSMS is negative


class SmartCharging(Block2):
    """The charging profiles, as messages speak of them. EVSE 0 is the station."""

    def __init__(self, core: Core, types: Any, model: DeviceModel) -> None:
        super().__init__(core, types)
        self._external_source = "EMS"
        entries = VariableKey("SmartChargingCtrlr", "Entries", "ChargingProfiles")
        model.live[entries] = lambda: sum(1 for _ in core.profiles)
        core.on(types.SetChargingProfileRequest, self.set)
        core.on(types.ClearChargingProfileRequest, self.clear)
        core.on(types.GetChargingProfilesRequest, self.get)
        core.on(types.GetCompositeScheduleRequest, self.get_composite)

    # Installing

    def set(self, request: Any) -> Any:
        problem = self.find_problem(request.evse_id, request.charging_profile)
        if problem is not None:
            info = self.types.StatusInfo(reason_code=problem)
            return self.types.SetChargingProfileResponse(status="Rejected", status_info=info)
        self.core.post(lambda: self.install(request.evse_id, request.charging_profile))
        return self.types.SetChargingProfileResponse(status="Accepted")

    def find_problem(self, evse_id: int, profile: Any, is_remote_start: bool = False) -> Optional[str]:
        """Return the reason for which a profile is rejected, or ``None``: see `profile_rules`."""
        return find_problem(self.core, evse_id, profile, is_remote_start)

    def install(self, evse_id: int, profile: Any, transaction_id: Optional[str] = None) -> None:
        """Install a profile. ``transaction_id`` takes the place of the one in the profile."""
        self.core.profiles.install(evse_id, convert(profile, self.core.time, transaction_id), by_id_only=True)

    # Clearing and reporting

    def clear(self, request: Any) -> Any:
        """Clear what matches, but nothing of an external system (K10.FR.01 to FR.09)."""
        wanted, criteria = request.charging_profile_id, request.charging_profile_criteria

        def matches(evse_id: int, profile: Profile) -> bool:
            if profile.purpose == EXTERNAL:
                return False
            if wanted is not None:
                return bool(profile.id == wanted)
            return criteria is None or _meets_clear(criteria, evse_id, profile)

        found = [profile for evse_id, profile in self.core.profiles if matches(evse_id, profile)]
        if found:
            self.core.post(lambda: self.core.profiles.clear(matches))
        return self.types.ClearChargingProfileResponse(status="Accepted" if found else "Unknown")

    def get(self, request: Any) -> Any:
        found = [
            (evse_id, profile)
            for evse_id, profile in self.core.profiles
            if request.evse_id in (None, evse_id) and self._meets(request.charging_profile, profile)
        ]
        if not found:
            return self.types.GetChargingProfilesResponse(status="NoProfiles")
        self.core.post(lambda: self._report(request.request_id, found))
        return self.types.GetChargingProfilesResponse(status="Accepted")

    def _meets(self, criterion: Any, profile: Profile) -> bool:
        """Return whether a profile meets a ChargingProfileCriterion."""
        if criterion.charging_profile_id:
            return any(profile.id == id for id in criterion.charging_profile_id)
        sources = criterion.charging_limit_source
        if sources and self._source_of(profile) not in [str(source) for source in sources]:
            return False
        return _has(profile, criterion.charging_profile_purpose, criterion.stack_level)

    def _source_of(self, profile: Profile) -> str:
        return self._external_source if profile.purpose == EXTERNAL else _SOURCE

    def _report(self, request_id: int, found: List[Tuple[int, Profile]]) -> None:
        """Report profiles: those of one EVSE and source in one message (K09.FR.02)."""
        groups: Dict[Tuple[int, str], List[Profile]] = {}
        for evse_id, profile in found:
            groups.setdefault((evse_id, self._source_of(profile)), []).append(profile)
        for number, ((evse_id, source), profiles) in enumerate(groups.items(), 1):
            request = self.types.ReportChargingProfilesRequest(
                request_id=request_id,
                charging_limit_source=source,
                evse_id=evse_id,
                charging_profile=[profile.source for profile in profiles],
                tbc=number < len(groups),
            )
            self.core.send(request, keep=not self.core.boot.accepted)

    # Composite schedules

    def get_composite(self, request: Any) -> Any:
        """Return what all profiles say together, or why not (K08.FR.05, FR.07)."""
        known = request.evse_id == 0 or self.core.connectors.find(request.evse_id) is not None
        units = self.core.settings[VariableKey("SmartChargingCtrlr", "RateUnit")]
        unit = request.charging_rate_unit
        if not known or unit not in (None, *units):
            reason = "UnknownEvse" if not known else "UnsupportedRateUnit"
            info = self.types.StatusInfo(reason_code=reason)
            return self.types.GetCompositeScheduleResponse(status="Rejected", status_info=info)
        text = None if unit is None else str(unit)
        composite = self.core.profiles.composite(request.evse_id, request.duration, text)
        schedule = self.types.CompositeSchedule(
            evse_id=request.evse_id,
            duration=request.duration,
            schedule_start=composite.start,
            charging_rate_unit=composite.unit,
            charging_schedule_period=[self._period(period) for period in composite.periods],
        )
        return self.types.GetCompositeScheduleResponse(status="Accepted", schedule=schedule)

    def _period(self, period: Period) -> Any:
        return self.types.ChargingSchedulePeriod(
            start_period=int(period.start), limit=period.limit, number_phases=period.phases
        )

    # Limits of other systems

    def limit_externally(self, watts: float, source: str = "EMS") -> None:
        """Have an external system limit the station, and tell the CSMS (K12). To be called in a job.

        Args:
            watts: What the station may take, in W.
            source: Which kind of system it is: "EMS", "SO" or "Other".
        """
        self._external_source = source
        schedule = self.types.ChargingSchedule(
            id=1,
            charging_rate_unit="W",
            start_schedule=self.core.time.now(),
            charging_schedule_period=[self.types.ChargingSchedulePeriod(start_period=0, limit=watts)],
        )
        profile = self.types.ChargingProfile(
            id=_EXTERNAL_ID,
            stack_level=0,
            charging_profile_purpose=EXTERNAL,
            charging_profile_kind="Absolute",
            charging_schedule=[schedule],
        )
        self.install(0, profile)
        with_schedules = self.core.settings[VariableKey("SmartChargingCtrlr", "NotifyChargingLimitWithSchedules")]
        request = self.types.NotifyChargingLimitRequest(
            charging_limit=self.types.ChargingLimit(charging_limit_source=source, is_grid_critical=False),
            charging_schedule=[schedule] if with_schedules else None,
        )
        self.core.send(request)

    def end_external_limit(self) -> None:
        """Have the external system limit the station no more, and tell the CSMS (K13). To be called in a job."""
        if self.core.profiles.clear(lambda evse_id, profile: profile.id == _EXTERNAL_ID):
            request = self.types.ClearedChargingLimitRequest(charging_limit_source=self._external_source)
            self.core.send(request)


def convert(profile: Any, time: SimulatedTime, transaction_id: Optional[str] = None) -> Profile:
    """Return the `Profile` of a ChargingProfile. Of several schedules it has the first.

    One of the kind "Dynamic" (2.1 K28) has one period, which counts at once.
    """
    if transaction_id is not None:
        profile = replace(profile, transaction_id=transaction_id)
    schedule = profile.charging_schedule[0]
    kind = str(profile.charging_profile_kind)
    return Profile(
        id=profile.id,
        stack_level=profile.stack_level,
        purpose=str(profile.charging_profile_purpose),
        kind="Absolute" if kind == "Dynamic" else kind,
        periods=[
            Period(period.start_period, period.limit, period.number_phases)
            for period in schedule.charging_schedule_period
        ],
        unit=str(schedule.charging_rate_unit),
        duration=schedule.duration,
        start=None if kind == "Dynamic" else time.from_csms(schedule.start_schedule),
        recurrence=None if profile.recurrency_kind is None else str(profile.recurrency_kind),
        valid_from=time.from_csms(profile.valid_from),
        valid_to=time.from_csms(profile.valid_to),
        transaction_id=profile.transaction_id,
        source=profile,
    )


def _meets_clear(criteria: Any, evse_id: int, profile: Profile) -> bool:
    if criteria.evse_id not in (None, evse_id):
        return False
    return _has(profile, criteria.charging_profile_purpose, criteria.stack_level)


def _has(profile: Profile, purpose: Optional[str], level: Optional[int]) -> bool:
    """Tell whether a profile has that purpose and stack level; ``None`` is any."""
    return purpose in (None, profile.purpose) and level in (None, profile.stack_level)
