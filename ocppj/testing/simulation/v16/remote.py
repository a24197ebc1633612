"""RemoteStartTransaction, RemoteStopTransaction and UnlockConnector (1.6 edition 2, sections 5.11, 5.12 and 5.18)."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, Dict, Tuple

from ....v16 import (
    ChargingProfile,
    RemoteStartStopStatus,
    RemoteStartTransactionRequest,
    RemoteStartTransactionResponse,
    RemoteStopTransactionRequest,
    RemoteStopTransactionResponse,
    UnlockConnectorRequest,
    UnlockConnectorResponse,
    UnlockStatus,
)
from ..block import Block
from ..connectors import Connector, IdToken, Permit, Transaction
from ..core import Core
from .smart_charging import SmartCharging

__all__ = ["Remote"]


class Remote(Block):
    """Starts and stops transactions, and unlocks connectors.

    Attributes:
        lock_fails: Whether the locks of the connectors do not open: set by a test.
    """

    def __init__(self, core: Core, charging: SmartCharging) -> None:
        super().__init__(core)
        self.lock_fails = False
        self._charging = charging
        self._numbers = itertools.count(1)  # of the requests, which have none in 1.6
        self._profiles: Dict[int, Tuple[int, ChargingProfile]] = {}  # number of the request, profile; by connector
        core.on(RemoteStartTransactionRequest, self.start)
        core.on(RemoteStopTransactionRequest, self.stop)
        core.on(UnlockConnectorRequest, self.unlock)

    def start(self, request: RemoteStartTransactionRequest) -> RemoteStartTransactionResponse:
        """Begin where it is asked for, or where it is possible. Not before the boot is accepted (section 4.2)."""
        permit = Permit(IdToken(request.id_tag))
        connector = self.core.transactions.find_place(request.connector_id, permit) if self.core.boot.accepted else None
        profile = request.charging_profile
        if connector is None or (profile is not None and not self._charging.fits_remote_start(profile)):
            return RemoteStartTransactionResponse(status=RemoteStartStopStatus.REJECTED)
        self.core.post(partial(self._begin, connector, request))
        return RemoteStartTransactionResponse(status=RemoteStartStopStatus.ACCEPTED)

    def _begin(self, connector: Connector, request: RemoteStartTransactionRequest) -> None:
        number = next(self._numbers)
        if request.charging_profile is not None:
            self._profiles[connector.id] = number, request.charging_profile
        self.core.transactions.remote_start(connector, Permit(IdToken(request.id_tag), None, number))

    def use_profile(self, transaction: Transaction) -> None:
        """Install the profile that came with the request by which a transaction was started (section 5.16.2)."""
        number, profile = self._profiles.pop(transaction.connector.id, (None, None))
        if profile is not None and number == transaction.remote_start_id:
            self._charging.install(transaction.connector.id, profile)

    def stop(self, request: RemoteStopTransactionRequest) -> RemoteStopTransactionResponse:
        found = self.core.transactions.find(request.transaction_id) if self.core.boot.accepted else None
        if found is None:
            return RemoteStopTransactionResponse(status=RemoteStartStopStatus.REJECTED)
        self.core.post(partial(self.core.transactions.stop, found, "Remote", "RemoteStop"))
        return RemoteStopTransactionResponse(status=RemoteStartStopStatus.ACCEPTED)

    def unlock(self, request: UnlockConnectorRequest) -> UnlockConnectorResponse:
        """Unlock a connector, and end what goes on there. An unknown one is "NotSupported" (errata 4, 3.87)."""
        connector = self.core.connectors.find(request.connector_id)
        if connector is None:
            return UnlockConnectorResponse(status=UnlockStatus.NOT_SUPPORTED)
        if connector.transaction is not None:
            end: Any = partial(self.core.transactions.end, connector.transaction, "UnlockCommand", "UnlockCommand")
            self.core.post(end)
        return UnlockConnectorResponse(status=UnlockStatus.UNLOCK_FAILED if self.lock_fails else UnlockStatus.UNLOCKED)
