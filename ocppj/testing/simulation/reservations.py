"""`Reservations` (1.6 edition 2 sections 3.12, 5.1 and 5.13; 2.x Part 2, functional block H)."""

from __future__ import annotations

from functools import partial
from typing import Dict, List, Optional

from .common import Common
from .connectors import Connector, Permit, Reservation, Status
from .scheduler import Handle

__all__ = ["Reservations"]


class Reservations:
    """The reservations of one station. To be used in jobs of the mailbox."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._by_id: Dict[int, Reservation] = {}
        self._timers: Dict[int, Handle] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, id: int) -> Optional[Reservation]:
        """Return a reservation, or ``None`` when there is none of that id."""
        return self._by_id.get(id)

    def reserve(self, reservation: Reservation) -> str:
        """Reserve a connector, or any. One of the same id is replaced.

        Returns:
            A ReservationStatus of OCPP: "Accepted", "Faulted", "Occupied", "Unavailable".
        """
        status = self._status_for(reservation)
        if status != "Accepted":
            return status
        self._remove(reservation.id)
        self._by_id[reservation.id] = reservation
        expired = partial(self._expired, reservation)
        self._timers[reservation.id] = self._common.time.call_at(reservation.expiry, expired)
        self.assign()
        return status

    def cancel(self, id: int) -> bool:
        """Cancel a reservation. Return whether there was one."""
        found = self._remove(id)
        self.assign()
        return found is not None

    def may_use(self, connector: Connector, permit: Permit) -> bool:
        """Tell whether no reservation keeps that driver from using a connector."""
        return connector.reservation is None or self._matching(connector, permit) is not None

    def use(self, connector: Connector, permit: Permit) -> Optional[int]:
        """Use up the reservation of a driver. Return its id, or ``None`` when there is none."""
        reservation = self._matching(connector, permit)
        if reservation is None:
            return None
        self._remove(reservation.id)
        self.assign()
        return reservation.id

    def assign(self) -> None:
        """Find which connectors are reserved. To be called when that may have changed.

        A reservation for any connector reserves all that are available when there are no more than such reservations
        (Part 2 H01).
        """
        general: List[Reservation] = []
        own: Dict[int, Reservation] = {}
        for reservation in self._by_id.values():
            if reservation.connector is None:
                general.append(reservation)
            else:
                own[reservation.connector] = reservation
        free = [each for each in self._common.connectors if each.id not in own and self._is_free(each)]
        scarce = len(free) <= len(general)
        for connector in self._common.connectors:
            kept = own.get(connector.id)
            if kept is None and scarce and connector in free:
                kept = general[free.index(connector)]
            connector.reservation = kept
            connector.update()

    def connector_changed(self, connector: Connector) -> None:
        """End the reservation of a connector that cannot be used any more.

        1.6 edition 2 section 5.13; 2.x Part 2 H01.FR.16, FR.17.
        """
        reservation = connector.reservation
        unusable = connector.status in (Status.FAULTED, Status.UNAVAILABLE)
        if unusable and reservation is not None and reservation.connector == connector.id:
            self.cancel(reservation.id)
            self._common.behaviour.reservation_ended(reservation, "Removed")

    def _matching(self, connector: Connector, permit: Permit) -> Optional[Reservation]:
        for reservation in self._by_id.values():
            same_group = reservation.group is not None and reservation.group == permit.group
            mine = reservation.id_token.same(permit.id_token) or same_group
            if mine and reservation.connector in (None, connector.id):
                return reservation
        return None

    def _status_for(self, reservation: Reservation) -> str:
        problems = {each.id: self._problem_of(each, reservation) for each in self._common.connectors}
        free = list(problems.values()).count(None)
        general = [each for each in self._by_id.values() if each.connector is None and each.id != reservation.id]
        if reservation.connector is not None:
            problem = problems[reservation.connector]
        else:
            problem = next((each for each in problems.values() if each is not None), None) if free == 0 else None
        return problem or ("Accepted" if free > len(general) else "Occupied")

    def _problem_of(self, connector: Connector, reservation: Reservation) -> Optional[str]:
        if connector.status is Status.FAULTED:
            return "Faulted"
        if connector.status is Status.UNAVAILABLE:
            return "Unavailable"
        held = connector.reservation
        mine = held is None or held.id == reservation.id
        held_by_other = not mine and held is not None and held.connector is not None
        is_free = connector.status in (Status.AVAILABLE, Status.RESERVED) and (mine or not connector.plugged)
        if not is_free or held_by_other:
            return "Occupied"
        return None

    def _is_free(self, connector: Connector) -> bool:
        return connector.status in (Status.AVAILABLE, Status.RESERVED)

    def _remove(self, id: int) -> Optional[Reservation]:
        timer = self._timers.pop(id, None)
        if timer is not None:
            timer.cancel()
        return self._by_id.pop(id, None)

    def _expired(self, reservation: Reservation) -> None:
        if self._by_id.get(reservation.id) is reservation:
            self._remove(reservation.id)
            self.assign()
            self._common.behaviour.reservation_ended(reservation, "Expired")
