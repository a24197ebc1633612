"""Reset (Part 2, B11 and B12)."""

from __future__ import annotations

from typing import Any, List

from ..connectors import Connector, Transaction
from ..core import Core
from .block import Block2
from .device_model import VariableKey

__all__ = ["Reset"]


class Reset(Block2):
    """Resets the station, or an EVSE, at once or when it is idle."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        self._waiting: List[Connector] = []  # for the end of their transaction
        core.on(types.ResetRequest, self.reset)

    def reset(self, request: Any) -> Any:
        if self.core.firmware.is_running and not self.core.firmware.can_be_replaced:  # B11.FR.06
            return self._rejected("FwUpdateInProgress")
        if request.type not in ("Immediate", "OnIdle"):  # 2.1: with transactions that go on after it
            return self._rejected("UnsupportedParam")
        if request.evse_id is None:
            return self._reset_station(request.type == "OnIdle")
        connector = self.core.connectors.find(request.evse_id)
        if connector is None:
            return self._rejected("UnknownEvse")
        if not self.core.settings[VariableKey("EVSE", "AllowReset", evse=connector.id)]:  # B11.FR.09
            return self._rejected("NotEnabled")
        return self._reset_evse(connector, request.type == "OnIdle")

    def transaction_ended(self, transaction: Transaction) -> None:
        """Reset an EVSE that has waited for it."""
        connector = transaction.connector
        if connector in self._waiting:
            self._waiting.remove(connector)
            self.core.post(lambda: self.core.power.reset_connector(connector, "Other"))

    def _reset_station(self, on_idle: bool) -> Any:
        """B12.FR.01 to FR.04 say when it is accepted, and when scheduled."""
        power = self.core.power
        if on_idle and any(self.core.transactions):
            self.core.post(lambda: power.reset_on_idle("ScheduledReset"))
            return self.types.ResetResponse(status="Scheduled")
        self.core.post(lambda: power.reset("ImmediateReset", "RemoteReset"))
        return self.types.ResetResponse(status="Accepted")

    def _reset_evse(self, connector: Connector, on_idle: bool) -> Any:
        if on_idle and connector.transaction is not None:
            if connector not in self._waiting:
                self._waiting.append(connector)
            return self.types.ResetResponse(status="Scheduled")
        self.core.post(lambda: self.core.power.reset_connector(connector, "ImmediateReset"))
        return self.types.ResetResponse(status="Accepted")

    def _rejected(self, reason: str) -> Any:
        return self.types.ResetResponse(status="Rejected", status_info=self.types.StatusInfo(reason_code=reason))
