"""ReserveNow, CancelReservation and ReservationStatusUpdate (Part 2, functional block H)."""

from __future__ import annotations

from typing import Any

from ..connectors import Reservation
from ..core import Core
from .authorization import Authorization
from .block import Block2
from .device_model import VariableKey

__all__ = ["ReserveNow"]


class ReserveNow(Block2):
    """Reserves EVSEs."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        core.on(types.ReserveNowRequest, self.reserve)
        core.on(types.CancelReservationRequest, self.cancel)

    def reserve(self, request: Any) -> Any:
        """Reserve an EVSE, or any: H01.FR.01, FR.02, FR.11 to FR.14, FR.19."""
        group = request.group_id_token
        reservation = Reservation(
            request.id,
            self.core.time.moment(request.expiry_date_time),
            Authorization.from_message(request.id_token),
            None if group is None else group.id_token,
            request.evse_id,
        )
        status = self.core.reservations.reserve(reservation) if self._is_possible(request) else "Rejected"
        return self.types.ReserveNowResponse(status=status)

    def _is_possible(self, request: Any) -> bool:
        settings, evse = self.core.settings, request.evse_id
        allowed = settings[VariableKey("ReservationCtrlr", "Enabled")] and (
            evse is not None or settings[VariableKey("ReservationCtrlr", "NonEvseSpecific")]
        )
        known = evse is None or self.core.connectors.find(evse) is not None
        key = VariableKey("Connector", "ConnectorType", evse=evse or 1, connector=1)
        fits = not known or request.connector_type in (None, settings[key])
        return (
            bool(allowed) and known and fits and self.core.time.moment(request.expiry_date_time) > self.core.time.now()
        )

    def cancel(self, request: Any) -> Any:
        found = self.core.reservations.find(request.reservation_id) is not None
        if found:
            self.core.post(lambda: self.core.reservations.cancel(request.reservation_id))
        return self.types.CancelReservationResponse(status="Accepted" if found else "Rejected")

    def report(self, reservation: Reservation, status: str) -> None:
        """Report that a reservation has ended: "Expired" or "Removed"."""
        request = self.types.ReservationStatusUpdateRequest(
            reservation_id=reservation.id, reservation_update_status=status
        )
        self.core.send(request, keep=True)
