"""TriggerMessage and ExtendedTriggerMessage (1.6 edition 2, section 5.17; security whitepaper, section 5.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Dict, List, Optional

from ....v16 import (
    ExtendedTriggerMessageRequest,
    ExtendedTriggerMessageResponse,
    TriggerMessageRequest,
    TriggerMessageResponse,
    TriggerMessageStatus,
)
from ..block import Block
from ..certificates import has_cryptography
from ..connectors import Connector
from ..core import Core

if TYPE_CHECKING:
    from . import Behaviour16

__all__ = ["Trigger"]

_Send = Callable[[], object]
#: Finds what is to be sent for a connector of a request, or ``None`` when nothing is.
_Find = Callable[[Optional[int]], Optional[_Send]]


class Trigger(Block):
    """Sends messages that the CSMS asks for. They may be sent before the boot is accepted (section 4.2)."""

    def __init__(self, core: Core, behaviour: "Behaviour16") -> None:
        super().__init__(core)
        self._behaviour = behaviour
        both: Dict[str, _Find] = {
            "BootNotification": lambda connector_id: self._boot(),
            "Heartbeat": lambda connector_id: lambda: behaviour.registration.heartbeat(before_boot=True),
            "MeterValues": self._meter_values,
            "StatusNotification": self._status,
        }
        self._plain: Dict[str, _Find] = {
            **both,
            "DiagnosticsStatusNotification": lambda connector_id: behaviour.logs.report_diagnostics,
            "FirmwareStatusNotification": lambda connector_id: behaviour.firmware.report_present,
        }
        self._extended: Dict[str, _Find] = {
            **both,
            "LogStatusNotification": lambda connector_id: behaviour.logs.report_log,
            "FirmwareStatusNotification": lambda connector_id: behaviour.firmware.report_present_signed,
            "SignChargePointCertificate": lambda connector_id: self._certificate(),
        }
        core.on(TriggerMessageRequest, self.trigger)
        core.on(ExtendedTriggerMessageRequest, self.trigger_extended)

    def trigger(self, request: TriggerMessageRequest) -> TriggerMessageResponse:
        status = self._send(self._plain, str(request.requested_message), request.connector_id)
        return TriggerMessageResponse(status=status)

    def trigger_extended(self, request: ExtendedTriggerMessageRequest) -> ExtendedTriggerMessageResponse:
        status = self._send(self._extended, str(request.requested_message), request.connector_id)
        return ExtendedTriggerMessageResponse(status=status)

    def _send(self, finders: Dict[str, _Find], message: str, connector_id: Optional[int]) -> TriggerMessageStatus:
        find = finders.get(message)
        if find is None:
            return TriggerMessageStatus.NOT_IMPLEMENTED
        send = find(connector_id)
        if send is None:
            return TriggerMessageStatus.REJECTED
        self.core.post(send)
        return TriggerMessageStatus.ACCEPTED

    def _boot(self) -> Optional[_Send]:
        """Boot only when the last boot was not accepted (errata 4, 3.35)."""
        return None if self.core.boot.accepted else self.core.boot.ask

    def _connectors(self, connector_id: Optional[int]) -> List[Optional[Connector]]:
        """Return what a request is for: the charge point (0), a connector, or all when it does not say it."""
        if connector_id is None:
            return [None, *self.core.connectors]
        if connector_id == 0:
            return [None]
        connector = self.core.connectors.find(connector_id)
        return [] if connector is None else [connector]

    def _status(self, connector_id: Optional[int]) -> Optional[_Send]:
        connectors = self._connectors(connector_id)

        def send() -> None:
            for connector in connectors:
                self._behaviour.status.report(connector, before_boot=True)

        return send if connectors else None

    def _meter_values(self, connector_id: Optional[int]) -> Optional[_Send]:
        meter_values = self._behaviour.meter_values_block
        readings = [(connector, meter_values.read(connector)) for connector in self._connectors(connector_id)]
        due = [(connector, reading) for connector, reading in readings if reading is not None]

        def send() -> None:
            for connector, reading in due:
                meter_values.send_triggered(connector, reading)

        return send if due else None

    def _certificate(self) -> Optional[_Send]:
        """Ask for a certificate, when a key can be made (A02.FR.02)."""
        return self._behaviour.certificates.ask if has_cryptography() else None
