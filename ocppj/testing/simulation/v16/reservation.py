"""ReserveNow and CancelReservation (1.6 edition 2, sections 5.1 and 5.13)."""

from __future__ import annotations

from functools import partial

from ....v16 import (
    CancelReservationRequest,
    CancelReservationResponse,
    CancelReservationStatus,
    ReservationStatus,
    ReserveNowRequest,
    ReserveNowResponse,
)
from ..block import Block
from ..connectors import IdToken, Reservation
from ..core import Core

__all__ = ["ReserveNow"]


class ReserveNow(Block):
    """Reserves connectors."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(ReserveNowRequest, self.reserve)
        core.on(CancelReservationRequest, self.cancel)

    def reserve(self, request: ReserveNowRequest) -> ReserveNowResponse:
        """Reserve a connector, or with connector 0 any. Unknown connectors, and times past, are rejected."""
        is_any = request.connector_id == 0
        known = self.core.connectors.find(request.connector_id) is not None
        possible = self.core.settings["ReserveConnectorZeroSupported"] if is_any else known
        expiry = self.core.time.moment(request.expiry_date)
        if not possible or expiry <= self.core.time.now():
            return ReserveNowResponse(status=ReservationStatus.REJECTED)
        reservation = Reservation(
            request.reservation_id,
            expiry,
            IdToken(request.id_tag),
            request.parent_id_tag,
            None if is_any else request.connector_id,
        )
        return ReserveNowResponse(status=ReservationStatus(self.core.reservations.reserve(reservation)))

    def cancel(self, request: CancelReservationRequest) -> CancelReservationResponse:
        if self.core.reservations.find(request.reservation_id) is None:
            return CancelReservationResponse(status=CancelReservationStatus.REJECTED)
        self.core.post(partial(self.core.reservations.cancel, request.reservation_id))
        return CancelReservationResponse(status=CancelReservationStatus.ACCEPTED)
