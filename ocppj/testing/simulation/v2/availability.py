"""ChangeAvailability (Part 2, G03 and G04)."""

from __future__ import annotations

from typing import Any

from ..core import Core
from .block import Block2

__all__ = ["ChangeAvailability"]


class ChangeAvailability(Block2):
    """Makes the station, an EVSE or a connector operative or inoperative."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        core.on(types.ChangeAvailabilityRequest, self.change)

    def change(self, request: Any) -> Any:
        """Change it now, or when the transaction has ended (G03.FR.05, G04.FR.06)."""
        availability, operative = self.core.availability, request.operational_status == "Operative"
        evse = request.evse
        connector = None if evse is None else self.core.connectors.find(evse.id)
        if evse is not None and (connector is None or evse.connector_id not in (None, 1)):
            info = self.types.StatusInfo(reason_code="UnknownEvse" if connector is None else "UnknownConnectorId")
            return self.types.ChangeAvailabilityResponse(status="Rejected", status_info=info)
        status = availability.status_of(connector, operative)
        self.core.post(lambda: availability.change(connector, operative))
        return self.types.ChangeAvailabilityResponse(status=status)
