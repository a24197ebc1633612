"""ChangeAvailability (1.6 edition 2, section 5.2)."""

from __future__ import annotations

from functools import partial
from typing import Optional, Sequence

from ....v16 import AvailabilityStatus, AvailabilityType, ChangeAvailabilityRequest, ChangeAvailabilityResponse
from ..block import Block
from ..connectors import Connector
from ..core import Core

__all__ = ["ChangeAvailability"]


class ChangeAvailability(Block):
    """Makes the charge point, or a connector, operative or inoperative."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(ChangeAvailabilityRequest, self.change)

    def change(self, request: ChangeAvailabilityRequest) -> ChangeAvailabilityResponse:
        """Change it now, or when the transaction has ended. Connector 0 is the charge point with all connectors."""
        operative = request.type == AvailabilityType.OPERATIVE
        connector = self.core.connectors.find(request.connector_id)
        if connector is None and request.connector_id != 0:
            return ChangeAvailabilityResponse(status=AvailabilityStatus.REJECTED)
        status = self.core.availability.status_of(connector, operative)
        places = self._all(operative) if connector is None else [connector]
        self.core.post(partial(self._change, places, operative))
        return ChangeAvailabilityResponse(status=AvailabilityStatus(status))

    def _all(self, operative: bool) -> Sequence[Optional[Connector]]:
        """Return the charge point, which is ``None``, and its connectors, so that it is the first to be reported."""
        connectors = list(self.core.connectors)
        return [*connectors, None] if operative else [None, *connectors]

    def _change(self, places: Sequence[Optional[Connector]], operative: bool) -> None:
        for place in places:
            self.core.availability.change(place, operative)
