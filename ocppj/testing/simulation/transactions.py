"""`Transactions`: how transactions begin and end, by card, by plug and by request.

1.6 edition 2 sections 3.1, 4.8, 4.10; 2.x Part 2, functional block E (TxStartPoint and TxStopPoint: E01 to E07).
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional

from .authorization import Authorization, Decision
from .charging_profiles import ChargingProfiles
from .common import Common
from .connectors import Connector, IdToken, Permit, Point, Status, Transaction, Vehicle
from .energy import EnergyFlow
from .reservations import Reservations
from .sampling import Sampling
from .scheduler import Handle

__all__ = ["Transaction", "Transactions"]

_UNUSABLE = (Status.UNAVAILABLE, Status.FAULTED)
# The ReasonEnum of 2.x, by ChargePointErrorCode of 1.6.
_FAULT_REASONS = {
    "GroundFailure": "GroundFault",
    "OverCurrentFailure": "OvercurrentFault",
    "OverVoltage": "PowerQuality",
    "UnderVoltage": "PowerQuality",
    "PowerSwitchFailure": "PowerLoss",
}


class Transactions:
    """The transactions of one station: those under way, and the last one of each connector.

    Attributes:
        ended: Functions ``f(transaction)``, called when a transaction has ended, after the behaviour.
        awaited: Functions ``f(connector)``, called when a remote start waits for a vehicle to be plugged in.
    """

    def __init__(
        self,
        common: Common,
        energy: EnergyFlow,
        sampling: Sampling,
        profiles: ChargingProfiles,
        authorization: Authorization,
        reservations: Reservations,
    ) -> None:
        self._common = common
        self._energy = energy
        self._sampling = sampling
        self._profiles = profiles
        self._authorization = authorization
        self._reservations = reservations
        energy.changed.append(self._flow_changed)
        self._numbers = itertools.count(1)
        self._timeouts: Dict[int, Handle] = {}  # of permits that wait for the plug, by connector
        self._last: Dict[int, Transaction] = {}
        self.ended: List[Callable[[Transaction], object]] = []
        self.awaited: List[Callable[[Connector], object]] = []

    def __iter__(self) -> Iterator[Transaction]:
        """Iterate over those under way."""
        return iter(self._common.connectors.transactions)

    def find(self, id: Any) -> Optional[Transaction]:
        """Return the transaction under way that has that id (of OCPP), or ``None``."""
        return next((each for each in self if id is not None and each.id == id), None)

    def last(self, connector: Connector) -> Optional[Transaction]:
        """Return the transaction of a connector that is under way, or was the last one."""
        return self._last.get(connector.id)

    # What drivers do

    def plug_in(self, connector: Connector, vehicle: Vehicle) -> None:
        """Join a vehicle and a connector."""
        if connector.plugged:
            return
        vehicle.energy_before = self._common.meters[connector].energy
        connector.vehicle = vehicle
        self._cancel_timeout(connector)
        if connector.transaction is not None:
            connector.transaction.was_plugged = True
        self._consider(connector, "CablePluggedIn")

    def unplug(self, connector: Connector) -> None:
        """Take the cable out."""
        if not connector.plugged:
            return
        self._energy.stop(connector)
        connector.vehicle, connector.finishing = None, False
        transaction = connector.transaction
        if transaction is None:
            connector.permit = None  # a permit that was not used in time ends with the plug
        else:
            transaction.reason = transaction.reason or "EVDisconnected"
            if self._common.settings.get("stop_on_unplug", True):
                connector.permit = None
        self._consider(connector, "EVCommunicationLost")
        if connector.transaction is transaction and transaction is not None and connector.permit is not None:
            transaction.reason = None  # it goes on when the vehicle comes back

    def present(
        self, id_token: IdToken, connector: Connector, decided: Callable[[bool], object] = lambda accepted: None
    ) -> None:
        """Have a driver present an id at a connector: to begin, or to end what goes on there.

        Args:
            id_token: The id.
            connector: Where.
            decided: Called as ``f(accepted)`` when it is known whether the id was accepted.
        """
        permit = connector.permit
        if permit is not None and id_token.same(permit.id_token):
            self._end_permit(connector, id_token)
            decided(True)
        elif not self._may_serve(connector):
            decided(False)
        else:
            presented = partial(self._presented, id_token, connector, decided)
            self._authorization.check(id_token, connector, presented)

    def _presented(
        self, id_token: IdToken, connector: Connector, decided: Callable[[bool], object], decision: Decision
    ) -> None:
        decided(self._follow(id_token, connector, decision))

    def _follow(self, id_token: IdToken, connector: Connector, decision: Decision) -> bool:
        """Do what follows from a decision about an id that was presented. Return whether the id has had an effect."""
        permit = connector.permit
        master = self._common.settings.get("master_pass_group")
        if permit is not None:
            may_stop = decision.accepted_at(self._common.time.now()) and decision.group is not None
            if not may_stop or decision.group not in (permit.group, master):
                return False
            self._end_permit(connector, id_token, "MasterPass" if decision.group == master else "Local")
            return True
        if decision.group is not None and decision.group == master:  # a master pass only ends transactions (C16)
            return False
        return self._permit(connector, Permit(id_token, decision.group), decision, "Authorized")

    def _end_permit(self, connector: Connector, id_token: IdToken, reason: str = "Local") -> None:
        """End a transaction because an id was presented, or the wait for the plug."""
        if connector.transaction is None:
            self._cancel_timeout(connector)
            connector.permit = None
            connector.update()
        else:
            self.stop(connector.transaction, reason, "StopAuthorized", id_token)

    # What the CSMS asks for

    def remote_start(self, connector: Connector, permit: Permit) -> None:
        """Begin for an id that the CSMS has sent: call this after the request was accepted (`Core.post`).

        The group of ``permit`` is that of the request, if it has one (Part 2 F01.FR.22, H03.FR.04).
        """

        def decided(decision: Decision) -> None:
            group = permit.group or decision.group
            self._permit(connector, replace(permit, group=group), decision, "RemoteStart")

        if self._common.settings.get("authorize_remote", False):
            self._authorization.check(permit.id_token, connector, decided)
        else:
            decided(Decision("Accepted"))

    def find_place(self, connector_id: Optional[int], permit: Permit) -> Optional[Connector]:
        """Return where a transaction may begin that the CSMS asks for; ``None`` if that is not possible.

        That is the connector it names. Else it is one where a vehicle waits, or a free one (2.x: F01.FR.20 to FR.24).
        """
        if connector_id is not None:
            connector = self._common.connectors.find(connector_id)
            return connector if connector is not None and self._is_usable(connector, permit) else None
        usable = [connector for connector in self._common.connectors if self._is_usable(connector, permit)]
        return next(iter(sorted(usable, key=lambda connector: not connector.plugged)), None)

    def _is_usable(self, connector: Connector, permit: Permit) -> bool:
        if connector.permit is not None or connector.status in _UNUSABLE or not self._may_serve(connector):
            return False
        return self._reservations.may_use(connector, permit)

    def stop(self, transaction: Transaction, reason: str, trigger: str, id_token: Optional[IdToken] = None) -> None:
        """Take back the permission to charge. When the transaction ends depends on the stop points.

        Args:
            transaction: The transaction.
            reason: A ReasonEnum of 2.x, such as "Remote".
            trigger: A TriggerReason of 2.x, such as "RemoteStop".
            id_token: The id that was presented for it.
        """
        connector = transaction.connector
        if connector.transaction is not transaction:
            return
        transaction.reason, transaction.stop_token = transaction.reason or reason, id_token
        connector.permit = None
        self._consider(connector, trigger)

    def end(self, transaction: Transaction, reason: str, trigger: str) -> None:
        """End a transaction at once, whatever the stop points are: a reset, a fault."""
        if transaction.connector.transaction is not transaction:
            return
        transaction.reason = transaction.reason or reason
        self._end(transaction, trigger)
        transaction.connector.update()

    def refuse(self, transaction: Transaction) -> None:
        """Do what is to be done when the id of a transaction under way turns out to be refused by the CSMS.

        StopTransactionOnInvalidId (1.6 edition 2 section 4.8), StopTxOnInvalidId (Part 2 E05). The stop points say
        whether the transaction ends with the permission (Part 2 E05.FR.09, FR.10).
        """
        if not transaction.active:
            return
        if self._common.settings.get("stop_on_invalid", True):
            self.stop(transaction, "DeAuthorized", "Deauthorized")
        elif transaction.energy_allowed:
            transaction.energy_allowed = False
            self._energy.refresh(transaction.connector)

    def fail(self, connector: Connector, error: str) -> None:
        """Have a fault at a connector. It ends the transaction."""
        connector.error = error
        if connector.transaction is not None:
            self.end(connector.transaction, _FAULT_REASONS.get(error, "Other"), "AbnormalCondition")
        self._cancel_timeout(connector)
        connector.permit = None
        connector.update()

    def recover(self, connector: Connector) -> None:
        """Have the fault of a connector go away."""
        connector.error = None
        connector.update()

    # Rules

    def _permit(self, connector: Connector, permit: Permit, decision: Decision, trigger: str) -> bool:
        """Permit charging at a connector, if the id was accepted. Return whether it is permitted now."""
        unusable = connector.permit is not None or not self._may_serve(connector)
        if unusable or not decision.accepted_at(self._common.time.now()):
            return False
        if not self._reservations.may_use(connector, permit):
            return False
        connector.permit, connector.finishing = permit, False
        permit.reservation_id = self._reservations.use(connector, permit)  # Part 2 H03.FR.09, FR.10
        if not connector.plugged:
            seconds = self._common.settings.get("connection_timeout", 60)
            timeout = self._common.time.call_later(seconds, partial(self._not_plugged, connector))
            self._timeouts[connector.id] = timeout
        self._consider(connector, trigger)
        if trigger == "RemoteStart" and not connector.plugged:
            for function in self.awaited:
                function(connector)
        return True

    def _not_plugged(self, connector: Connector) -> None:
        """Take the permit back: no vehicle was plugged in, in time (ConnectionTimeOut; Part 2 E03)."""
        self._timeouts.pop(connector.id, None)
        self._profiles.forget_pending(connector)
        connector.permit = None
        if connector.transaction is not None:
            self.end(connector.transaction, "Timeout", "EVConnectTimeout")
        connector.update()

    def _cancel_timeout(self, connector: Connector) -> None:
        timeout = self._timeouts.pop(connector.id, None)
        if timeout is not None:
            timeout.cancel()

    def _consider(self, connector: Connector, trigger: str) -> None:
        """Find what follows from a change of the plug or the permit."""
        transaction, behaviour = connector.transaction, self._common.behaviour
        if transaction is None:
            if self._may_start(connector):
                self._start(connector, trigger)
        else:
            self._note_permit(transaction)
            if self._is_over(transaction):
                self._end(transaction, trigger)
            else:
                behaviour.transaction_updated(transaction, trigger)
        self._energy.refresh(connector)
        connector.update()

    def _flow_changed(self, connector: Connector, trigger: str) -> None:
        """Find what follows from a change of the flow of energy."""
        transaction, behaviour = connector.transaction, self._common.behaviour
        if transaction is None:
            if self._may_start(connector):
                self._start(connector, trigger)
                self._energy.refresh(connector)
        elif self._is_over(transaction):
            transaction.reason = transaction.reason or ("StoppedByEV" if connector.suspended_by == "EV" else "Other")
            self._end(transaction, trigger)
        else:
            behaviour.transaction_updated(transaction, trigger)
        connector.update()

    def _may_serve(self, connector: Connector) -> bool:
        """Tell whether a driver may do anything at a connector."""
        usable = connector.transaction is not None or connector.status not in _UNUSABLE
        return usable and self._common.connectors.serving

    def _may_start(self, connector: Connector) -> bool:
        """Tell whether a start point is reached, at a station that is on and stays so."""
        points = self._common.behaviour.start_points
        return self._common.connectors.serving and any(self._is_reached(connector, point) for point in points)

    def _is_reached(self, connector: Connector, point: Point) -> bool:
        if point is Point.EV_CONNECTED:
            return connector.plugged
        if point is Point.AUTHORIZED:
            return connector.permit is not None
        both = connector.plugged and connector.permit is not None
        return both and (point is Point.POWER_PATH_CLOSED or self._energy.may_flow(connector))

    def _is_over(self, transaction: Transaction) -> bool:
        connector, over = transaction.connector, False
        for point in Point:
            if self._is_reached(connector, point):
                transaction.reached.add(point)
            elif point in transaction.reached and point in self._common.behaviour.stop_points:
                over = True
        return over

    def _start(self, connector: Connector, trigger: str) -> None:
        common = self._common
        meter = common.meters[connector]
        transaction = Transaction(next(self._numbers), connector, common.time.now(), meter.energy)
        connector.transaction = self._last[connector.id] = transaction
        connector.finishing, connector.suspended_by = False, None
        common.summary.transactions += 1
        self._note_permit(transaction)
        self._is_over(transaction)  # notes what is reached
        self._sampling.begin(transaction)
        common.behaviour.transaction_started(transaction, trigger)
        common.post(self._energy.refresh_all)  # the others share the station's power with one more

    def _note_permit(self, transaction: Transaction) -> None:
        permit = transaction.connector.permit
        if permit is None or transaction.id_token is not None:
            return
        transaction.id_token, transaction.group = permit.id_token, permit.group
        transaction.remote_start_id = permit.remote_start_id
        transaction.reservation_id = permit.reservation_id

    def _end(self, transaction: Transaction, trigger: str) -> None:
        common, connector = self._common, transaction.connector
        self._cancel_timeout(connector)
        self._energy.stop(connector)
        self._sampling.end(transaction)
        transaction.stopped_at, transaction.meter_stop = common.time.now(), common.meters[connector].energy
        transaction.reason = transaction.reason or "Other"
        connector.transaction = connector.permit = connector.suspended_by = None
        connector.finishing = connector.plugged
        common.behaviour.transaction_ended(transaction, trigger)
        self._profiles.transaction_ended(transaction)
        for function in list(self.ended):
            function(transaction)
        common.post(self._energy.refresh_all)
