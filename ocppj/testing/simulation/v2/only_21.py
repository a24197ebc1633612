"""Requests of 2.1 about what is not simulated: grid control, bidirectional charging, batteries, event streams.

The station says so with the status that Part 2 has for this, and not with an error.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core import Core
from .block import Block2

__all__ = ["Unsupported21"]


class Unsupported21(Block2):
    """Answers what a station without these features answers.

    Args:
        core: The station.
        types: The types of the version.
        is_known: Tells whether a transaction of that id is under way.
    """

    def __init__(self, core: Core, types: Any, is_known: Callable[[str], bool]) -> None:
        super().__init__(core, types)
        self._is_known = is_known
        core.on(types.AFRRSignalRequest, self.afrr_signal)
        core.on(types.AdjustPeriodicEventStreamRequest, self.adjust_stream)
        core.on(types.GetPeriodicEventStreamRequest, self.get_streams)
        core.on(types.SetDERControlRequest, self.set_der_control)
        core.on(types.GetDERControlRequest, self.get_der_control)
        core.on(types.ClearDERControlRequest, self.clear_der_control)
        core.on(types.NotifyAllowedEnergyTransferRequest, self.allowed_energy_transfer)
        core.on(types.NotifyWebPaymentStartedRequest, self.web_payment_started)
        core.on(types.RequestBatterySwapRequest, self.battery_swap)

    def afrr_signal(self, request: Any) -> Any:
        """Refuse it: no schedule follows such a signal (Q08.FR.11)."""
        return self.types.AFRRSignalResponse(status="Rejected", status_info=self._info("InvalidSchedule"))

    def adjust_stream(self, request: Any) -> Any:
        """Refuse it: there is no stream (N13)."""
        return self.types.AdjustPeriodicEventStreamResponse(status="Rejected", status_info=self._info("NotFound"))

    def get_streams(self, request: Any) -> Any:
        return self.types.GetPeriodicEventStreamResponse()

    def set_der_control(self, request: Any) -> Any:
        return self.types.SetDERControlResponse(status="NotSupported")

    def get_der_control(self, request: Any) -> Any:
        return self.types.GetDERControlResponse(status="NotSupported")

    def clear_der_control(self, request: Any) -> Any:
        return self.types.ClearDERControlResponse(status="NotSupported")

    def allowed_energy_transfer(self, request: Any) -> Any:
        """Refuse it: a change needs a renegotiation with the vehicle by ISO 15118-20."""
        reason = "UnsupportedRequest" if self._is_known(request.transaction_id) else "TxNotFound"
        return self.types.NotifyAllowedEnergyTransferResponse(status="Rejected", status_info=self._info(reason))

    def web_payment_started(self, request: Any) -> Any:
        return self.types.NotifyWebPaymentStartedResponse()

    def battery_swap(self, request: Any) -> Any:
        """Refuse it: there are no batteries (S02)."""
        return self.types.RequestBatterySwapResponse(status="Rejected", status_info=self._info("UnsupportedRequest"))

    def _info(self, reason: str) -> Any:
        return self.types.StatusInfo(reason_code=reason)
