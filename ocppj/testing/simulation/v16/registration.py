"""BootNotification and Heartbeat (1.6 edition 2, sections 4.2 and 4.6)."""

from __future__ import annotations

from ....v16 import BootNotificationRequest, HeartbeatRequest
from ..block import Block
from ..outbox import OnAnswer, OnFailure

__all__ = ["Registration"]


class Registration(Block):
    """Boots, and sends heartbeats."""

    def boot(self, on_answer: OnAnswer, on_failure: OnFailure) -> None:
        request = BootNotificationRequest(
            charge_point_vendor="ocppj",
            charge_point_model="Simulated",
            charge_point_serial_number=self.core.client.id[:25],
            firmware_version=self.core.firmware.version[:50],
            meter_type="Simulated",
        )
        self.core.send(request, on_answer, on_failure, before_boot=True)

    def heartbeat(self, before_boot: bool = False) -> None:
        self.core.send(HeartbeatRequest(), before_boot=before_boot)
