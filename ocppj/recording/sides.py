"""`sender_of`: which side sends a request."""

from __future__ import annotations

from functools import lru_cache
from typing import FrozenSet

from ..rpc.dialect import DIALECTS

__all__ = ["CSMS", "STATION", "other_side", "sender_of"]

STATION, CSMS = "station", "csms"

#: The requests of charging stations: 1.6 edition 2 chapter 4 and the security whitepaper; 2.x Part 2 chapter 1 of the
#: messages. An action that several versions have is sent by the same side in all of them.
_NAMES = """
    Authorize BatterySwap BootNotification ClearedChargingLimit ClosePeriodicEventStream DiagnosticsStatusNotification
    FirmwareStatusNotification Get15118EVCertificate GetCertificateChainStatus GetCertificateStatus Heartbeat
    LogStatusNotification MeterValues NotifyChargingLimit NotifyCustomerInformation NotifyDERAlarm NotifyDERStartStop
    NotifyDisplayMessages NotifyEVChargingNeeds NotifyEVChargingSchedule NotifyEvent NotifyMonitoringReport
    NotifyPeriodicEventStream NotifyPriorityCharging NotifyReport NotifySettlement OpenPeriodicEventStream
    PublishFirmwareStatusNotification PullDynamicScheduleUpdate ReportChargingProfiles ReportDERControl
    ReservationStatusUpdate SecurityEventNotification SignCertificate SignedFirmwareStatusNotification
    StartTransaction StatusNotification StopTransaction TransactionEvent VatNumberValidation
"""
_BY_STATIONS = frozenset(_NAMES.split())
_BY_BOTH = frozenset(("DataTransfer",))


def sender_of(action: str) -> str:
    """Return which side sends the requests of an action: `STATION` or `CSMS`. "": both do, or no version has it."""
    if action in _BY_STATIONS:
        return STATION
    return CSMS if action in _all_actions() - _BY_BOTH else ""


def other_side(side: str) -> str:
    """Return the other side. That of "" is ""."""
    return {STATION: CSMS, CSMS: STATION}.get(side, "")


@lru_cache(maxsize=None)
def _all_actions() -> FrozenSet[str]:
    return frozenset().union(*(dialect.actions for dialect in DIALECTS))
