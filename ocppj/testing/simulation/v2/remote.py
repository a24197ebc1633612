"""RequestStartTransaction, RequestStopTransaction and UnlockConnector (Part 2, F01 to F05)."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from ..connectors import Connector, Permit, Transaction
from ..core import Core
from .authorization import Authorization
from .block import Block2
from .smart_charging import SmartCharging

__all__ = ["Remote"]


class Remote(Block2):
    """Starts and stops transactions, and unlocks connectors.

    Attributes:
        lock_fails: Whether the locks of the connectors do not open: set by a test.
    """

    def __init__(self, core: Core, types: Any, charging: SmartCharging) -> None:
        super().__init__(core, types)
        self.lock_fails = False
        self._charging = charging
        self._profiles: Dict[int, Tuple[int, Any]] = {}  # the last that came, by EVSE, with the number of its request
        core.on(types.RequestStartTransactionRequest, self.start)
        core.on(types.RequestStopTransactionRequest, self.stop)
        core.on(types.UnlockConnectorRequest, self.unlock)

    def start(self, request: Any) -> Any:
        if not self.core.boot.accepted:  # B02.FR.05
            return self.types.RequestStartTransactionResponse(status="Rejected")
        connector = self.core.transactions.find_place(request.evse_id, _permit_of(request))
        if connector is None:
            return self.types.RequestStartTransactionResponse(status="Rejected")
        profile = request.charging_profile
        problem = None if profile is None else self._charging.find_problem(connector.id, profile, is_remote_start=True)
        if problem is not None:  # F01.FR.26
            info = self.types.StatusInfo(reason_code=problem)
            return self.types.RequestStartTransactionResponse(status="Rejected", status_info=info)
        self.core.post(lambda: self._begin(connector, request))
        transaction = connector.transaction
        return self.types.RequestStartTransactionResponse(  # F01.FR.13
            status="Accepted", transaction_id=None if transaction is None else transaction.id
        )

    def _begin(self, connector: Connector, request: Any) -> None:
        self._profiles.pop(connector.id, None)
        if request.charging_profile is not None:
            self._profiles[connector.id] = request.remote_start_id, request.charging_profile
        self.core.transactions.remote_start(connector, _permit_of(request))

    def use_profile(self, transaction: Transaction) -> None:
        """Install the profile that came with the request by which a transaction was started (F01.FR.10)."""
        number, profile = self._profiles.get(transaction.connector.id, (None, None))
        if profile is not None and number == transaction.remote_start_id:
            del self._profiles[transaction.connector.id]
            self._charging.install(transaction.connector.id, profile, transaction.id)

    def stop(self, request: Any) -> Any:
        transaction = self.core.transactions.find(request.transaction_id)
        if transaction is None or not self.core.boot.accepted:  # F03.FR.08, B02.FR.05
            return self.types.RequestStopTransactionResponse(status="Rejected")
        found = transaction
        self.core.post(lambda: self.core.transactions.stop(found, "Remote", "RemoteStop"))
        return self.types.RequestStopTransactionResponse(status="Accepted")

    def unlock(self, request: Any) -> Any:
        """Unlock a connector, if no authorized transaction uses it (F05.FR.02 to FR.05)."""
        connector = self.core.connectors.find(request.evse_id)
        if connector is None or request.connector_id != 1:
            status = "UnknownConnector"
        elif connector.transaction is not None and connector.permit is not None:
            status = "OngoingAuthorizedTransaction"
        else:
            status = "UnlockFailed" if self.lock_fails else "Unlocked"
        return self.types.UnlockConnectorResponse(status=status)


def _permit_of(request: Any) -> Permit:
    """Return the permit that a RequestStartTransaction gives."""
    group = None if request.group_id_token is None else request.group_id_token.id_token
    return Permit(Authorization.from_message(request.id_token), group, request.remote_start_id)
