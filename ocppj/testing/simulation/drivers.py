"""`Drivers`: what people do at a station: they present cards, and come for a whole visit."""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional, Union

from .common import Common
from .connectors import Connector, IdToken, Status, Transaction, Vehicle
from .energy import EnergyFlow
from .transactions import Transactions

__all__ = ["Drivers", "as_token"]


def as_token(id_token: Union[str, IdToken]) -> IdToken:
    """Return an id: a text is that of an RFID card."""
    return IdToken(id_token) if isinstance(id_token, str) else id_token


class Drivers:
    """What people do at a station. To be used in jobs of the mailbox.

    Attributes:
        plug_in_after: How many simulated seconds after a remote start a driver plugs in, where no vehicle is. ``None``:
            nobody comes.
    """

    def __init__(self, common: Common, transactions: Transactions, energy: EnergyFlow) -> None:
        self._common = common
        self._transactions = transactions
        self._energy = energy
        self.plug_in_after: Optional[float] = None
        transactions.awaited.append(self._come_after_remote_start)

    def present(self, id_token: IdToken, connector: Optional[Connector] = None) -> None:
        """Present an id at a connector, or without one where it is most likely meant."""
        connector = connector or self._find(id_token)
        if connector is not None:
            self._transactions.present(id_token, connector)

    def visit(
        self,
        connector: Connector,
        id_token: IdToken,
        seconds: Optional[float] = None,
        energy: Optional[float] = None,
        vehicle: Optional[Vehicle] = None,
        on_left: Optional[Callable[[], object]] = None,
    ) -> None:
        """Come, plug in, present an id, charge, present it again, unplug and leave.

        Args:
            connector: Where. If another vehicle is plugged in there, nothing happens.
            id_token: The id.
            seconds: How long to charge, in simulated seconds.
            energy: How much to charge, in Wh, if that is reached before. With neither: until the vehicle is full.
            vehicle: The vehicle.
            on_left: Called when the driver has left, or could not plug in.
        """
        vehicle = vehicle or Vehicle()
        if energy is not None:
            vehicle.needs = energy
        if not connector.plugged:
            parts = self._common, self._transactions, self._energy, connector, id_token, vehicle, on_left
            _Visit(*parts).begin(seconds)
        elif on_left is not None:
            self._common.post(on_left)

    def _come_after_remote_start(self, connector: Connector) -> None:
        permit = connector.permit
        if permit is None or self.plug_in_after is None:
            return

        def come() -> None:
            if connector.permit is permit and not connector.plugged:
                parts = self._common, self._transactions, self._energy, connector, permit.id_token, Vehicle()
                _Visit(*parts).plug_in()

        self._common.time.call_later(self.plug_in_after, come)

    def _find(self, id_token: IdToken) -> Optional[Connector]:
        connectors = list(self._common.connectors)
        own = [each for each in connectors if each.permit is not None and id_token.same(each.permit.id_token)]
        waiting = [each for each in connectors if each.plugged and each.permit is None and not each.finishing]
        reserved = [each for each in connectors if each.reservation and id_token.same(each.reservation.id_token)]
        free = [each for each in connectors if each.status is Status.AVAILABLE]
        return next(iter([*own, *waiting, *reserved, *free]), None)


class _Visit:
    """One visit of a driver. One that is refused leaves as well."""

    def __init__(
        self,
        common: Common,
        transactions: Transactions,
        energy: EnergyFlow,
        connector: Connector,
        id_token: IdToken,
        vehicle: Vehicle,
        on_left: Optional[Callable[[], object]] = None,
    ) -> None:
        self._on_left = on_left
        self._common = common
        self._transactions = transactions
        self._energy = energy
        self._connector = connector
        self._id_token = id_token
        self._vehicle = vehicle

    def plug_in(self) -> None:
        self._transactions.ended.append(self._ended)
        self._transactions.plug_in(self._connector, self._vehicle)

    def begin(self, seconds: Optional[float]) -> None:
        self._energy.full.append(self._full)
        self.plug_in()
        self._transactions.present(self._id_token, self._connector, partial(self._decided, seconds))

    def _decided(self, seconds: Optional[float], accepted: bool) -> None:
        if not accepted:
            self._leave()
        elif seconds is not None:
            self._common.time.call_later(seconds, self._finish)

    def _full(self, connector: Connector) -> None:
        if connector is self._connector:
            self._common.post(self._finish)

    def _ended(self, transaction: Transaction) -> None:
        """Leave when the transaction was ended by something else, too."""
        if transaction.connector is self._connector:
            self._common.post(self._leave)

    def _finish(self) -> None:
        """Present the card again, if the transaction is still under way, and leave."""
        if self._connector.vehicle is self._vehicle and self._connector.permit is not None:
            self._transactions.present(self._id_token, self._connector)
        self._leave()

    def _leave(self) -> None:
        for function, functions in ((self._ended, self._transactions.ended), (self._full, self._energy.full)):
            if function in functions:
                functions.remove(function)  # type: ignore[arg-type]
        if self._connector.vehicle is self._vehicle:
            self._transactions.unplug(self._connector)
        on_left, self._on_left = self._on_left, None
        if on_left is not None:
            self._common.post(on_left)
