"""StartTransaction and StopTransaction (1.6 edition 2, sections 3.7, 4.8 and 4.10)."""

from __future__ import annotations

from functools import partial
from typing import List, Optional

from ....v16 import (
    MeterValue,
    Reason,
    StartTransactionRequest,
    StartTransactionResponse,
    StopTransactionRequest,
    StopTransactionResponse,
)
from ..block import Block
from ..connectors import IdToken, Transaction
from ..core import Core
from .authorization import decision_of
from .meter_values import id_of, to_message
from .status import StatusNotifications

__all__ = ["Transactions"]


class Transactions(Block):
    """Reports transactions.

    The CSMS gives a transaction its id with the answer to StartTransaction. So the messages that follow it are made
    when that was answered, or given up.
    """

    def __init__(self, core: Core, status: StatusNotifications) -> None:
        super().__init__(core)
        self._status = status

    def started(self, transaction: Transaction) -> None:
        """Report the start of a transaction, with the reservation that it has used up (section 5.13)."""
        token = transaction.id_token or IdToken("")
        request = StartTransactionRequest(
            connector_id=transaction.connector.id,
            id_tag=token.value,
            meter_start=round(transaction.meter_start),
            timestamp=transaction.started_at,
            reservation_id=transaction.reservation_id,
        )
        self.core.send(request, partial(self._started, transaction, token), retry=True)

    def ended(self, transaction: Transaction) -> None:
        """Report the end of a transaction."""
        token = transaction.stop_token
        self.core.send(lambda: self._make_stop(transaction, token), partial(self._stopped, token), retry=True)

    def _started(self, transaction: Transaction, token: IdToken, response: StartTransactionResponse) -> None:
        """Take over the id. A refused id tag ends the transaction, or its energy (section 4.8; errata 4, 3.17)."""
        transaction.id = response.transaction_id
        decision = decision_of(response.id_tag_info, self.core.time)
        authorization, is_accepted = self.core.authorization, decision.status == "Accepted"
        listed = authorization.local_list.get(token)
        if listed is not None and (listed.status == "Accepted") != is_accepted:
            self._status.report_list_conflict()
        authorization.learn(token, decision)
        transaction.group = transaction.group or decision.group
        if not is_accepted:
            self.core.transactions.refuse(transaction)

    def _make_stop(self, transaction: Transaction, token: Optional[IdToken]) -> StopTransactionRequest:
        reasons = [each.value for each in Reason]
        reason = transaction.reason if transaction.reason in reasons else "Other"
        stopped_at = transaction.stopped_at or self.core.time.now()
        return StopTransactionRequest(
            meter_stop=round(transaction.meter_stop or 0),
            timestamp=stopped_at,
            transaction_id=id_of(transaction),
            id_tag=None if token is None else token.value,
            reason=Reason(reason),
            transaction_data=self._transaction_data(transaction) or None,
        )

    def _transaction_data(self, transaction: Transaction) -> List[MeterValue]:
        """Return what was measured, at most StopTransactionMaxMeterValues. First and last stay (errata 4, 3.91)."""
        most, readings = self.core.settings["StopTransactionMaxMeterValues"], transaction.readings
        if len(readings) > most:
            step = (len(readings) - 1) / (most - 1)
            readings = [readings[round(number * step)] for number in range(most)]
        return [to_message(reading) for reading in readings]

    def _stopped(self, token: Optional[IdToken], response: StopTransactionResponse) -> None:
        """Remember what the answer says of the id (section 4.10)."""
        if token is not None and response.id_tag_info is not None:
            self.core.authorization.learn(token, decision_of(response.id_tag_info, self.core.time))
