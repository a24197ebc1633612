"""Reset (1.6 edition 2, section 5.14)."""

from __future__ import annotations

from functools import partial

from ....v16 import ResetRequest, ResetResponse, ResetStatus, ResetType
from ..block import Block
from ..core import Core

__all__ = ["Reset"]


class Reset(Block):
    """Resets the charge point.

    A soft reset waits until the CSMS has been told of the end of the transactions. A hard one does not, so that it is
    told after the boot (errata 4, 3.36).
    """

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(ResetRequest, self.reset)

    def reset(self, request: ResetRequest) -> ResetResponse:
        """Reset, unless a firmware is just being installed."""
        power, firmware = self.core.power, self.core.firmware
        if firmware.is_running and not firmware.can_be_replaced:
            return ResetResponse(status=ResetStatus.REJECTED)
        if request.type == ResetType.HARD:
            self.core.post(partial(power.reset_at_once, "HardReset", "RemoteReset"))
        else:
            self.core.post(partial(power.reset, "SoftReset", "RemoteReset"))
        return ResetResponse(status=ResetStatus.ACCEPTED)
