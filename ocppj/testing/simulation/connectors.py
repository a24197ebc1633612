"""`Connector`: what is known of one connector, and of what goes on there. What follows for its status.

A station has as many EVSEs as connectors, with one connector each. Connector 2 of 1.6 is connector 1 of EVSE 2 in 2.x.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Callable, Dict, Iterator, List, Optional, Set

from .readings import Reading

__all__ = [
    "Connector", "Connectors", "IdToken", "Permit", "Point", "Reservation", "Status", "Transaction", "Vehicle",
]  # fmt: skip


class Status(str, Enum):
    """The status of a connector, in the words of 1.6. 2.x knows less: see `v2.registration.status_of`."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


@dataclass(frozen=True)
class IdToken:
    """An identifier of a driver. ``type`` is that of 2.x, such as "ISO14443"; 1.6 knows the value alone."""

    value: str
    type: str = "ISO14443"

    def same(self, other: Optional["IdToken"]) -> bool:
        """Tell whether ``other`` is the same identifier: upper and lower case make no difference."""
        return other is not None and self.value.lower() == other.value.lower() and self.type == other.type


@dataclass
class Permit:
    """That somebody may charge: an accepted id, its group (the parent id of 1.6), and by which request it came.

    ``reservation_id`` is that of the reservation that was used up.
    """

    id_token: IdToken
    group: Optional[str] = None
    remote_start_id: Optional[int] = None
    reservation_id: Optional[int] = None


@dataclass
class Vehicle:
    """A vehicle. Its power is limited by what the station offers.

    Args:
        max_power: W.
        phases: How many phases it uses.
        capacity: Wh, of its battery.
        charge: The state of charge when it is plugged in, in percent.
        needs: Wh, after which it takes no more. ``None``: until the battery is full.
        energy_before: Wh, the register of the meter when it was plugged in. The model sets it.
    """

    max_power: float = 11_000.0
    phases: int = 3
    capacity: float = 60_000.0
    charge: float = 20.0
    needs: Optional[float] = None
    energy_before: float = 0.0

    def left(self, register: float) -> float:
        """Return how many Wh it still takes, when the meter shows ``register``."""
        needs = self.capacity * (1 - self.charge / 100) if self.needs is None else self.needs
        return max(0.0, needs - (register - self.energy_before))

    def state_of_charge(self, register: float) -> float:
        """Return its state of charge in percent."""
        return min(100.0, self.charge + 100 * (register - self.energy_before) / self.capacity)


@dataclass
class Reservation:
    """A reservation. ``expiry`` is in simulated time. ``connector`` is ``None`` when it is for any connector."""

    id: int
    expiry: datetime
    id_token: IdToken
    group: Optional[str] = None
    connector: Optional[int] = None


class Point(Enum):
    """What begins, or ends, a transaction: TxStartPoint and TxStopPoint of 2.x. 1.6 has POWER_PATH_CLOSED for both."""

    EV_CONNECTED = "EVConnected"
    AUTHORIZED = "Authorized"
    POWER_PATH_CLOSED = "PowerPathClosed"  # both
    ENERGY_TRANSFER = "EnergyTransfer"


class Transaction:
    """One transaction. The model sets its fields in jobs of the mailbox.

    Attributes:
        number: 1, 2, ... for the transactions of the station.
        id: The id. The behaviour sets it: in 2.x a text from the beginning on; in 1.6 it is ``None`` until the
            StartTransaction is answered.
        connector: Where it takes place.
        id_token: By which it was authorized; ``None`` when it was not yet.
        group: The group (2.x), or parent (1.6), of that id.
        started_at: Simulated time.
        meter_start: Wh, of the energy register.
        remote_start_id: The number of the request that started it, in 2.x.
        reservation_id: The reservation that it used up.
        readings: What was measured for the message of its end.
        energy_allowed: Whether energy may flow: not for an id that turned out to be refused.
        was_plugged: Whether a vehicle has been plugged in.
        reason: Why it ends, a ReasonEnum of 2.x, as soon as that is known.
        stop_token: By which it was ended.
        stopped_at: Simulated time of its end.
        meter_stop: Wh, of the energy register at its end.
    """

    def __init__(self, number: int, connector: "Connector", started_at: datetime, meter_start: float) -> None:
        self.number = number
        self.id: Any = None
        self.connector = connector
        self.id_token: Optional[IdToken] = None
        self.group: Optional[str] = None
        self.started_at = started_at
        self.meter_start = meter_start
        self.remote_start_id: Optional[int] = None
        self.reservation_id: Optional[int] = None
        self.readings: List[Reading] = []
        self.energy_allowed = True
        self.was_plugged: bool = connector.plugged
        self.reason: Optional[str] = None
        self.stop_token: Optional[IdToken] = None
        self.stopped_at: Optional[datetime] = None
        self.meter_stop: Optional[float] = None
        self.reached: Set[Point] = set()  # the points that were true at some time

    @property
    def active(self) -> bool:
        """Whether it is under way."""
        return self.stopped_at is None


class Connector:
    """One connector. The parts of the model set its fields, in jobs of the mailbox, and then call `update`.

    Attributes:
        id: 1, 2, ...: the connector of 1.6, the EVSE of 2.x.
        vehicle: The vehicle that is plugged in.
        permit: Who may charge here, until the transaction, or the wait for the plug, ends.
        operative: Whether it may be used (ChangeAvailability).
        resetting: Whether it is reset just now, and cannot be used.
        scheduled_operative: What `operative` becomes when the transaction ends.
        reservation: The reservation that holds it. It need not be for this connector alone.
        error: The error code of 1.6 of a fault, such as "GroundFailure".
        transaction: The transaction that is under way.
        finishing: Whether a transaction has ended, and the cable is still plugged in.
        suspended_by: "EV" or "EVSE" while the transaction transfers no energy.
        status: Its present status.
    """

    def __init__(self, id: int, station: "Connectors") -> None:
        self.id = id
        self._station = station
        self.vehicle: Optional[Vehicle] = None
        self.permit: Optional[Permit] = None
        self.operative = True
        self.resetting = False
        self.scheduled_operative: Optional[bool] = None
        self.reservation: Optional[Reservation] = None
        self.error: Optional[str] = None
        self.transaction: Optional[Transaction] = None
        self.finishing = False
        self.suspended_by: Optional[str] = None
        self.status: Status = Status.AVAILABLE

    @property
    def plugged(self) -> bool:
        """Whether the cable joins a vehicle and the station."""
        return self.vehicle is not None

    @property
    def phases(self) -> int:
        """How many phases are used: those of the vehicle; three when there is none."""
        vehicle = self.vehicle
        return 3 if vehicle is None else vehicle.phases

    def update(self) -> None:
        """Work out the status anew. Tell of it when it has changed."""
        before, self.status = self.status, self._find_status()
        if before is not self.status:
            self._station.changed(self, before)

    def _find_status(self) -> Status:
        if self.error is not None:
            return Status.FAULTED
        if self.transaction is not None:
            return self._status_in_transaction()
        station = self._station
        if self.resetting or station.updating or not (self.operative and station.operative):
            return Status.UNAVAILABLE
        if self.finishing:
            return Status.FINISHING
        if self.permit is not None:
            return Status.PREPARING
        if self.reservation is not None:  # until its id is presented (1.6 edition 2 section 4.9, G2)
            return Status.RESERVED
        return Status.PREPARING if self.plugged else Status.AVAILABLE

    def _status_in_transaction(self) -> Status:
        if self.permit is None:
            return Status.FINISHING if self.transaction and self.transaction.reason else Status.PREPARING
        if not self.plugged:  # it waits for the plug, or the vehicle has gone in between
            return Status.SUSPENDED_EV if self.transaction and self.transaction.was_plugged else Status.PREPARING
        suspended = {"EV": Status.SUSPENDED_EV, "EVSE": Status.SUSPENDED_EVSE}
        return suspended.get(self.suspended_by or "", Status.CHARGING)


class Connectors:
    """The connectors of one station, by id.

    Attributes:
        operative: Whether the station as a whole may be used. If not, no connector may.
        serving: Whether drivers are served. Not while the station is off, or is about to reboot.
        updating: Whether connectors without a transaction are unavailable, for a firmware update.
        changed: Called as ``f(connector, status_before)`` when the status of a connector has changed.
    """

    def __init__(self, count: int, changed: Callable[[Connector, Status], object]) -> None:
        self.operative = True
        self.serving = True
        self.updating = False
        self.changed = changed
        self._by_id: Dict[int, Connector] = {id: Connector(id, self) for id in range(1, count + 1)}

    def __iter__(self) -> Iterator[Connector]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __getitem__(self, id: int) -> Connector:
        """Return a connector. Raises `KeyError`."""
        return self._by_id[id]

    @property
    def transactions(self) -> List[Transaction]:
        """The transactions that are under way."""
        found = [each.transaction for each in self]  # each is read once: this may be any thread
        return [transaction for transaction in found if transaction is not None]

    def find(self, id: Optional[int]) -> Optional[Connector]:
        """Return a connector, or ``None`` when there is none of that id."""
        return None if id is None else self._by_id.get(id)
