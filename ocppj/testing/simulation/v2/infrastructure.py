"""The variables of the station itself, its EVSEs and connectors (Part 2, "Referenced Components", section 2.13)."""

from __future__ import annotations

from typing import List

from ..settings import Setting
from .device_model import variables_of

__all__ = ["AVAILABILITY_STATES", "make_infrastructure"]

#: The values of AvailabilityState.
AVAILABILITY_STATES = ("Available", "Occupied", "Reserved", "Unavailable", "Faulted")


def make_infrastructure(evses: int) -> List[Setting]:
    """Return the variables of a station with so many EVSEs, and one connector at each."""
    variables = _station()
    for evse in range(1, evses + 1):
        variables += [*_evse(evse), *_connector(evse)]
    return variables


def _station() -> List[Setting]:
    of = variables_of("ChargingStation")
    return [
        of("Available", True, read_only=True),
        of("AvailabilityState", "Available", read_only=True, choices=AVAILABILITY_STATES),
        of("AllowNewSessionsPendingFirmwareUpdate", False),
        of("Model", "Simulated", read_only=True),
        of("VendorName", "ocppj", read_only=True),
        of("SerialNumber", "", read_only=True),
        of("FirmwareVersion", "", read_only=True),
        of("Problem", False, read_only=True),
        of("SupplyPhases", 3, read_only=True),
    ]


def _evse(evse: int) -> List[Setting]:
    of = variables_of("EVSE", evse)
    return [
        of("Available", True, read_only=True),
        of("AvailabilityState", "Available", read_only=True, choices=AVAILABILITY_STATES),
        of("AllowReset", True, read_only=True),
        of("SupplyPhases", 3, read_only=True),
        of("Power", 0.0, read_only=True, maximum=22080, unit="W"),
        of("Problem", False, read_only=True),
    ]


def _connector(evse: int) -> List[Setting]:
    of = variables_of("Connector", evse, 1)
    return [
        of("Available", True, read_only=True),
        of("AvailabilityState", "Available", read_only=True, choices=AVAILABILITY_STATES),
        of("ConnectorType", "cType2", read_only=True),
        of("SupplyPhases", 3, read_only=True),
        of("Problem", False, read_only=True),
    ]
