"""TransactionEvent and GetTransactionStatus (Part 2, functional block E)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Dict, List, Optional, Set

from ..connectors import Connector, IdToken, Transaction
from ..core import Core
from ..readings import Reading
from .authorization import Authorization
from .block import Block2
from .device_model import VariableKey
from .meter_values import MeterValues

__all__ = ["TransactionEvents", "charging_state"]

_CABLE_CURRENT = 32  # A
_PERIODIC = ("MeterValuePeriodic", "MeterValueClock")


def charging_state(connector: Connector, offered: float) -> str:
    """Return the ChargingState of a connector, to which so many W are offered."""
    if not connector.plugged:
        return "Idle"
    if connector.permit is None:
        return "EVConnected"
    if connector.suspended_by is not None:
        return f"Suspended{connector.suspended_by}"
    return "Charging" if offered > 0 else "EVConnected"


@dataclass
class _Progress:
    """What the CSMS was told of a transaction. ``seq_no`` is that of its next message (section 1.3.2.1)."""

    seq_no: int = 0
    state: Optional[str] = None
    offered: float = 0.0  # W
    phases: Optional[int] = None
    told: Set[str] = field(default_factory=set)

    def once(self, name: str, value: Any) -> Any:
        """Return a value when it is there for the first time, else ``None``."""
        if value is None or name in self.told:
            return None
        self.told.add(name)
        return value


class TransactionEvents(Block2):
    """Reports transactions."""

    def __init__(self, core: Core, types: Any, authorization: Authorization, meter_values: MeterValues) -> None:
        super().__init__(core, types)
        self._authorization = authorization
        self._meter_values = meter_values
        self._progress: Dict[str, _Progress] = {}
        self._undelivered: Dict[str, int] = {}  # how many messages wait for their answer, by the id of the transaction
        core.on(types.GetTransactionStatusRequest, self.get_status)

    # What the model tells

    def started(self, transaction: Transaction, trigger: str) -> None:
        """Report the start of a transaction, which gets its id now: a new one each time (E01.FR.08).

        One that was asked for has that trigger, although it may start with the plug only (F02.FR.21).
        """
        if transaction.remote_start_id is not None:
            trigger = "RemoteStart"
        transaction.id = str(uuid.uuid4())
        self._progress[transaction.id] = _Progress()
        measurands = self.core.settings[VariableKey("SampledDataCtrlr", "TxStartedMeasurands")]
        reading = self.core.meters.read(transaction.connector, measurands, "Transaction.Begin")
        self._send("Started", transaction, trigger, [] if reading is None else [reading])
        self.core.post(lambda: self.connector_changed(transaction.connector))  # the energy begins to flow after this

    def updated(self, transaction: Transaction, trigger: str, reading: Optional[Reading] = None) -> None:
        """Report a change, or a reading. A state that was reported already is no change."""
        progress = self._progress[transaction.id]
        if trigger == "ChargingStateChanged" and progress.state == self._state(transaction):
            return
        if trigger == "ChargingRateChanged" and not self._is_significant(transaction, progress):
            return
        if trigger == "MeterValueClock" and not self._meter_values.is_wanted():
            return
        self._send("Updated", transaction, trigger, [] if reading is None else [reading])

    def connector_changed(self, connector: Connector) -> None:
        """Report a charging state that has changed with the status of a connector (E02.FR.13)."""
        if connector.transaction is not None and connector.transaction.id in self._progress:
            self.updated(connector.transaction, "ChargingStateChanged")

    def ended(self, transaction: Transaction, trigger: str) -> None:
        """Report the end of a transaction, with what was measured for it."""
        self._send("Ended", transaction, trigger, transaction.readings)
        del self._progress[transaction.id]

    def report(self, transaction: Transaction) -> None:
        """Report a transaction as it is now: it was asked for (F06.FR.07)."""
        measurands = self.core.settings[VariableKey("SampledDataCtrlr", "TxUpdatedMeasurands")]
        reading = self.core.meters.read(transaction.connector, measurands, "Trigger")
        self._send("Updated", transaction, "Trigger", [] if reading is None else [reading])

    # What the CSMS asks for

    def get_status(self, request: Any) -> Any:
        """Tell whether a transaction is under way, and whether messages wait (E14)."""
        id = request.transaction_id
        if id is None:
            return self.types.GetTransactionStatusResponse(messages_in_queue=bool(self._undelivered))
        return self.types.GetTransactionStatusResponse(
            ongoing_indicator=self.core.transactions.find(id) is not None, messages_in_queue=id in self._undelivered
        )

    # Sending

    def _send(self, event_type: str, transaction: Transaction, trigger: str, readings: List[Reading]) -> None:
        progress, connector = self._progress[transaction.id], transaction.connector
        token = self._token_to_tell(transaction, progress)
        request = self.types.TransactionEventRequest(
            event_type=event_type,
            timestamp=self.core.time.now(),
            trigger_reason=trigger,
            seq_no=progress.seq_no,
            transaction_info=self._info(event_type, transaction, progress),
            meter_value=[self._meter_values.convert(reading) for reading in readings] or None,
            offline=None if self.core.online else True,
            number_of_phases_used=self._phases_to_tell(connector, progress),
            cable_max_current=_CABLE_CURRENT if connector.plugged and progress.seq_no == 0 else None,
            reservation_id=progress.once("reservation_id", transaction.reservation_id),
            evse=self.types.EVSE(id=connector.id, connector_id=1),
            id_token=None if token is None else self._authorization.to_message(token),
        )
        progress.seq_no += 1
        progress.offered = self.core.meters[connector].offered
        self._undelivered[transaction.id] = self._undelivered.get(transaction.id, 0) + 1
        self.core.send(
            partial(self._as_sent, request, self.core.summary.connections),
            partial(self._answered, transaction, token),
            lambda error: self._delivered(transaction.id),
            retry=True,
            droppable=event_type == "Updated" and token is None and trigger in _PERIODIC,
        )

    def _as_sent(self, request: Any, connections: int) -> Any:
        """Return a request whose turn has come. What has waited for another connection is offline (E11.FR.07)."""
        return request if self.core.summary.connections == connections else replace(request, offline=True)

    def _info(self, event_type: str, transaction: Transaction, progress: _Progress) -> Any:
        progress.state = self._state(transaction)
        is_end = event_type == "Ended"
        return self.types.Transaction(
            transaction_id=transaction.id,
            charging_state=progress.state,
            time_spent_charging=int(self._seconds(transaction)) if is_end else None,
            stopped_reason=transaction.reason if is_end else None,
            remote_start_id=progress.once("remote_start_id", transaction.remote_start_id),
        )

    def _is_significant(self, transaction: Transaction, progress: _Progress) -> bool:
        """Tell whether a limit has changed by LimitChangeSignificance (percent) since a message was last sent."""
        least = self.core.settings[VariableKey("SmartChargingCtrlr", "LimitChangeSignificance")]
        change = abs(self.core.meters[transaction.connector].offered - progress.offered)
        return bool(change * 100 >= least * progress.offered)

    def _seconds(self, transaction: Transaction) -> float:
        end = transaction.stopped_at or self.core.time.now()
        return (end - transaction.started_at).total_seconds()

    def _state(self, transaction: Transaction) -> str:
        return charging_state(transaction.connector, self.core.meters[transaction.connector].offered)

    @staticmethod
    def _token_to_tell(transaction: Transaction, progress: _Progress) -> Optional[IdToken]:
        """Return the id that a message has: once after the authorization, and the one that ends it (E01.FR.10, E07)."""
        token = transaction.stop_token
        if token is None:
            token = progress.once("id_token", transaction.id_token)
        transaction.stop_token = None
        return token

    def _phases_to_tell(self, connector: Connector, progress: _Progress) -> Optional[int]:
        """Return the number of phases when the energy transfer starts, or it has changed (E02.FR.18, FR.19)."""
        if connector.vehicle is None or self.core.meters[connector].power <= 0:
            return None
        if connector.vehicle.phases == progress.phases:
            return None
        progress.phases = connector.vehicle.phases
        return progress.phases

    def _answered(self, transaction: Transaction, token: Optional[IdToken], response: Any) -> None:
        self._delivered(transaction.id)
        if token is None or response.id_token_info is None:
            return
        decision = self._authorization.decision_of(response.id_token_info)
        self.core.authorization.learn(token, decision)
        # How long the cache may keep the answer does not matter here (E05; C10.FR.13).
        if token == transaction.id_token and decision.for_use_at(transaction.connector).status != "Accepted":
            self.core.transactions.refuse(transaction)

    def _delivered(self, id: str) -> None:
        left = self._undelivered.pop(id) - 1
        if left > 0:
            self._undelivered[id] = left
