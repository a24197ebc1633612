"""SetChargingProfile, ClearChargingProfile and GetCompositeSchedule (1.6 edition 2, sections 3.13, 5.5, 5.7, 5.16)."""

from __future__ import annotations

from functools import partial

from ....errors import ErrorCode, OCPPError
from ....v16 import (
    ChargingProfile,
    ChargingProfileKindType,
    ChargingProfilePurposeType,
    ChargingProfileStatus,
    ChargingRateUnitType,
    ChargingSchedule,
    ChargingSchedulePeriod,
    ClearChargingProfileRequest,
    ClearChargingProfileResponse,
    ClearChargingProfileStatus,
    GetCompositeScheduleRequest,
    GetCompositeScheduleResponse,
    GetCompositeScheduleStatus,
    SetChargingProfileRequest,
    SetChargingProfileResponse,
)
from ..block import Block
from ..charging_profiles import STATION_MAX, Period, Profile
from ..core import Core
from ..simtime import SimulatedTime

__all__ = ["SmartCharging"]

_MAX, _DEFAULT, _TX = (
    ChargingProfilePurposeType.CHARGE_POINT_MAX_PROFILE,
    ChargingProfilePurposeType.TX_DEFAULT_PROFILE,
    ChargingProfilePurposeType.TX_PROFILE,
)
_UNITS = {"A": "Current", "W": "Power"}  # in ChargingScheduleAllowedChargingRateUnit (errata 4, 3.88)


class SmartCharging(Block):
    """The charging profiles, as messages speak of them. Connector 0 is the charge point."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(SetChargingProfileRequest, self.set)
        core.on(ClearChargingProfileRequest, self.clear)
        core.on(GetCompositeScheduleRequest, self.get_composite)

    # Installing

    def set(self, request: SetChargingProfileRequest) -> SetChargingProfileResponse:
        """Install a profile. An unknown connector is an error (errata 4, 3.39)."""
        place, profile = request.connector_id, request.cs_charging_profiles
        if place != 0 and self.core.connectors.find(place) is None:
            raise OCPPError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"there is no connector {place}")
        accepted = self._fits_place(place, profile) and self._is_sound(profile) and self._has_room(profile)
        if not accepted:
            return SetChargingProfileResponse(status=ChargingProfileStatus.REJECTED)
        self.core.post(partial(self.install, place, profile))
        return SetChargingProfileResponse(status=ChargingProfileStatus.ACCEPTED)

    def fits_remote_start(self, profile: ChargingProfile) -> bool:
        """Return whether a profile may come with a RemoteStartTransaction (section 5.16.2)."""
        is_new = profile.charging_profile_purpose == _TX and profile.transaction_id is None
        return is_new and self._is_sound(profile) and self._has_room(profile)

    def install(self, connector_id: int, profile: ChargingProfile) -> None:
        """Install a profile that fits."""
        self.core.profiles.install(connector_id, convert(profile, self.core.time))

    def _fits_place(self, connector_id: int, profile: ChargingProfile) -> bool:
        """Return whether a purpose is possible there (sections 3.13.1 and 5.16.4)."""
        purpose = profile.charging_profile_purpose
        if purpose != _TX:
            return purpose == _DEFAULT or connector_id == 0
        connector = self.core.connectors.find(connector_id)
        transaction = None if connector is None else connector.transaction
        return transaction is not None and profile.transaction_id in (None, transaction.id)

    def _is_sound(self, profile: ChargingProfile) -> bool:
        """Return whether a profile is within what the keys of section 9.4 say, and has a schedule that makes sense."""
        settings, schedule = self.core.settings, profile.charging_schedule
        starts = [period.start_period for period in schedule.charging_schedule_period]
        is_recurring = profile.charging_profile_kind == ChargingProfileKindType.RECURRING
        return (
            0 <= profile.stack_level <= settings["ChargeProfileMaxStackLevel"]
            and _UNITS[str(schedule.charging_rate_unit)] in settings["ChargingScheduleAllowedChargingRateUnit"]
            and 0 < len(starts) <= settings["ChargingScheduleMaxPeriods"]
            and starts[0] == 0  # errata 4, 3.45
            and starts == sorted(set(starts))
            and is_recurring == (profile.recurrency_kind is not None)  # errata 4, 3.56
        )

    def _has_room(self, profile: ChargingProfile) -> bool:
        others = [each for _, each in self.core.profiles if each.id != profile.charging_profile_id]
        return len(others) < int(self.core.settings["MaxChargingProfilesInstalled"])

    # Clearing

    def clear(self, request: ClearChargingProfileRequest) -> ClearChargingProfileResponse:
        """Clear the profile of an id, or those that match all the other fields (errata 4, 3.26)."""
        purpose = request.charging_profile_purpose

        def matches(connector_id: int, profile: Profile) -> bool:
            if request.id is not None:
                return profile.id == request.id
            return (
                request.connector_id in (None, connector_id)
                and (purpose is None or _purpose_of(purpose) == profile.purpose)
                and request.stack_level in (None, profile.stack_level)
            )

        found = any(matches(connector_id, profile) for connector_id, profile in self.core.profiles)
        if found:
            self.core.post(partial(self.core.profiles.clear, matches))
        return ClearChargingProfileResponse(
            status=ClearChargingProfileStatus.ACCEPTED if found else ClearChargingProfileStatus.UNKNOWN
        )

    # Composite schedules

    def get_composite(self, request: GetCompositeScheduleRequest) -> GetCompositeScheduleResponse:
        """Return what all profiles say together, from now on. An unknown connector is rejected (section 5.7)."""
        place = request.connector_id
        if place != 0 and self.core.connectors.find(place) is None:
            return GetCompositeScheduleResponse(status=GetCompositeScheduleStatus.REJECTED)
        unit = None if request.charging_rate_unit is None else str(request.charging_rate_unit)
        composite = self.core.profiles.composite(place, request.duration, unit)
        periods = [
            ChargingSchedulePeriod(int(period.start), period.limit, period.phases) for period in composite.periods
        ]
        return GetCompositeScheduleResponse(
            status=GetCompositeScheduleStatus.ACCEPTED,
            connector_id=place,
            schedule_start=composite.start,
            charging_schedule=ChargingSchedule(ChargingRateUnitType(composite.unit), periods, request.duration),
        )


def _purpose_of(purpose: object) -> str:
    return STATION_MAX if purpose == _MAX else str(purpose)


def convert(profile: ChargingProfile, time: SimulatedTime) -> Profile:
    """Return the `Profile` of a ChargingProfile.

    A TxProfile is for the transaction that is under way at its connector. So it has no id here, and one that came with
    a RemoteStartTransaction is replaced by one of its level that has the id (section 5.16.2).
    """
    schedule = profile.charging_schedule
    return Profile(
        id=profile.charging_profile_id,
        stack_level=profile.stack_level,
        purpose=_purpose_of(profile.charging_profile_purpose),
        kind=str(profile.charging_profile_kind),
        periods=[
            Period(period.start_period, period.limit, period.number_phases)
            for period in schedule.charging_schedule_period
        ],
        unit=str(schedule.charging_rate_unit),
        duration=schedule.duration,
        start=time.from_csms(schedule.start_schedule),
        recurrence=None if profile.recurrency_kind is None else str(profile.recurrency_kind),
        valid_from=time.from_csms(profile.valid_from),
        valid_to=time.from_csms(profile.valid_to),
        source=profile,
    )
