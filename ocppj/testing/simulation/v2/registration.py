"""BootNotification, Heartbeat and StatusNotification (Part 2, B01 to B03, G01, G02)."""

from __future__ import annotations

from typing import Any, Dict

from ..connectors import Connector, Status
from ..core import Core
from ..outbox import OnAnswer, OnFailure
from .block import Block2
from .device_model import VariableKey

__all__ = ["Registration", "status_of"]


def status_of(connector: Connector) -> str:
    """Return the status of a connector in the words of 2.x, which has "Occupied" for all that is in use.

    An accepted id alone does not occupy it (G01.FR.03). A vehicle does, but for a reservation that is not used by its
    driver (G01.FR.06, G03.FR.09).
    """
    if connector.status in (Status.AVAILABLE, Status.RESERVED, Status.UNAVAILABLE, Status.FAULTED):
        return str(connector.status.value)
    if connector.status is Status.PREPARING and not connector.plugged:
        return "Available"
    return "Occupied"


class Registration(Block2):
    """Boots, heartbeats, and reports the status of the connectors."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        self._reported: Dict[int, str] = {}  # what the CSMS was told, by EVSE

    def boot(self, reason: str, on_answer: OnAnswer, on_failure: OnFailure) -> None:
        station = self.types.ChargingStation(
            model="Simulated",
            vendor_name="ocppj",
            serial_number=self.core.client.id[:25],
            firmware_version=self.core.firmware.version,
        )
        request = self.types.BootNotificationRequest(charging_station=station, reason=reason)
        self.core.send(request, on_answer, on_failure, before_boot=True)

    def heartbeat(self) -> None:
        self.core.send(self.types.HeartbeatRequest())

    def report_all(self) -> None:
        """Report each connector."""
        self._reported.clear()
        self.report_changed()

    def back_online(self) -> None:
        """Report all after a long time without a connection, else what has changed (B04.FR.01, FR.02)."""
        if self.core.outage > self.core.settings[VariableKey("OCPPCommCtrlr", "OfflineThreshold")]:
            self._reported.clear()
        self.report_changed()

    def report_changed(self) -> None:
        """Report what the CSMS does not know yet."""
        for connector in self.core.connectors:
            if self._reported.get(connector.id) != status_of(connector):
                self.report(connector)

    def report(self, connector: Connector, before_boot: bool = False) -> None:
        """Report a connector as it is now."""
        status = status_of(connector)
        request = self.types.StatusNotificationRequest(
            timestamp=self.core.time.now(),
            connector_status=status,
            evse_id=connector.id,
            connector_id=1,
        )
        self._reported[connector.id] = status
        self.core.send(request, on_failure=lambda error: self._failed(connector.id, status), before_boot=before_boot)

    def _failed(self, id: int, status: str) -> None:
        """Note that the CSMS does not know a status."""
        if self._reported.get(id) == status:
            del self._reported[id]
