"""What a charging profile must be like to be accepted (Part 2, K01; 2.1 K28)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Optional

from ..charging_profiles import STATION_MAX, TX, TX_DEFAULT
from ..core import Core
from .device_model import VariableKey

__all__ = ["find_problem"]

_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (1, 9999))
_UNKNOWN_MODES = (None, "ChargingOnly")  # the others of 2.1 are those of bidirectional charging


def find_problem(core: Core, evse_id: int, profile: Any, is_remote_start: bool = False) -> Optional[str]:
    """Return the reason code for which a profile is rejected, or ``None`` when it is accepted.

    Args:
        core: The station.
        evse_id: Where it is to be installed; 0 is the station.
        profile: The ChargingProfile.
        is_remote_start: Whether it is part of a RequestStartTransaction, whose transaction has no id yet.
    """
    if evse_id != 0 and core.connectors.find(evse_id) is None:  # K01.FR.28
        return "UnknownEvse"
    return (
        _find_in_purpose(core, evse_id, profile, is_remote_start)
        or _find_in_schedules(core, profile)
        or _find_in_kind(profile)
        or _find_conflict(core, evse_id, profile)
    )


def _find_in_purpose(core: Core, evse_id: int, profile: Any, is_remote_start: bool) -> Optional[str]:
    """K01.FR.03, FR.09, FR.16, FR.33 (TxProfile); FR.38 (station); F01.FR.09, FR.11 (remote start)."""
    purpose = profile.charging_profile_purpose
    if purpose not in (STATION_MAX, TX_DEFAULT, TX):  # external constraints do not come from the CSMS
        return "InvalidProfile" if purpose == "ChargingStationExternalConstraints" else "UnsupportedPurpose"
    if is_remote_start:
        return None if purpose == TX and profile.transaction_id is None else "InvalidProfile"
    if purpose == STATION_MAX and (evse_id != 0 or profile.charging_profile_kind == "Relative"):
        return "InvalidProfile"
    if purpose != TX:
        return None
    if evse_id == 0 or profile.transaction_id is None:
        return "InvalidProfile"
    transaction = core.transactions.find(profile.transaction_id)
    return "TxNotFound" if transaction is None or transaction.connector.id != evse_id else None


def _find_in_schedules(core: Core, profile: Any) -> Optional[str]:
    """K01.FR.26 (unit), FR.31 (first period), FR.34 (one schedule), FR.35 (order), FR.48 (phase)."""
    settings = core.settings
    if profile.stack_level > settings[VariableKey("SmartChargingCtrlr", "ProfileStackLevel")]:
        return "InvalidStackLevel"
    if len(profile.charging_schedule) > 1:
        return "InvalidSchedule"
    schedule = profile.charging_schedule[0]
    periods = schedule.charging_schedule_period
    starts = [period.start_period for period in periods]
    if schedule.charging_rate_unit not in settings[VariableKey("SmartChargingCtrlr", "RateUnit")]:
        return "UnsupportedRateUnit"
    if len(periods) > settings[VariableKey("SmartChargingCtrlr", "PeriodsPerSchedule")]:
        return "InvalidSchedule"
    if starts[0] != 0 or starts != sorted(set(starts)):
        return "InvalidSchedule"
    if any(period.limit is None or getattr(period, "operation_mode", None) not in _UNKNOWN_MODES for period in periods):
        return "UnsupportedParam"
    return "PhaseConflict" if any(period.phase_to_use is not None for period in periods) else None


def _find_in_kind(profile: Any) -> Optional[str]:
    """K01.FR.40 and FR.41 (start); K28.FR.01 to FR.04 (Dynamic)."""
    kind, schedule = profile.charging_profile_kind, profile.charging_schedule[0]
    if kind == "Dynamic":
        return None if len(schedule.charging_schedule_period) == 1 else "InvalidSchedule"
    if getattr(profile, "dyn_update_interval", None) is not None:
        return "InvalidProfile"
    if kind == "Relative":
        return None if schedule.start_schedule is None else "InvalidSchedule"
    if schedule.start_schedule is None or (kind == "Recurring") != (profile.recurrency_kind is not None):
        return "InvalidSchedule"
    return None


def _find_conflict(core: Core, evse_id: int, profile: Any) -> Optional[str]:
    """K01.FR.05 (external), FR.06 and FR.39 (same level and time), FR.52 and FR.53 (default), and the number of all."""
    others = [each for each in core.profiles if each[1].id != profile.id]
    entries = core.settings.find(VariableKey("SmartChargingCtrlr", "Entries", "ChargingProfiles"))
    if entries is not None and entries.maximum is not None and len(others) >= entries.maximum:
        return "TooManyElements"
    purpose = str(profile.charging_profile_purpose)
    for place, other in others:
        if (other.purpose, other.stack_level) != (purpose, profile.stack_level):
            continue
        same_place = place == evse_id and other.transaction_id == profile.transaction_id
        elsewhere = purpose == TX_DEFAULT and place != evse_id and 0 in (place, evse_id)
        if (same_place and _overlap(profile, other)) or elsewhere:
            return "DuplicateProfile"
    return None


def _overlap(one: Any, other: Any) -> bool:
    """Return whether two profiles are valid at the same time at some moment."""
    begins = [each.valid_from or _FIRST for each in (one, other)]
    ends = [each.valid_to or _LAST for each in (one, other)]
    return max(begins) < min(ends)
