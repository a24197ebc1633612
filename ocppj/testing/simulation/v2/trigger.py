"""TriggerMessage (Part 2, F06)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from ..certificates import has_cryptography
from ..connectors import Connector
from ..core import Core
from .block import Block2

if TYPE_CHECKING:
    from . import Behaviour2

__all__ = ["Trigger"]

#: Which certificates a trigger asks for.
_CERTIFICATES = {
    "SignChargingStationCertificate": "ChargingStationCertificate",
    "SignV2GCertificate": "V2GCertificate",
    "SignV2G20Certificate": "V2G20Certificate",
    "SignCombinedCertificate": "ChargingStationCertificate",
}

#: Finds what is to be sent for a request, or ``None`` when nothing is.
_Find = Callable[[Any], Optional[Callable[[], object]]]


class Trigger(Block2):
    """Sends messages that the CSMS asks for. They may be sent before the boot is accepted."""

    def __init__(self, core: Core, types: Any, behaviour: "Behaviour2") -> None:
        super().__init__(core, types)
        self._behaviour = behaviour
        self._finders: Dict[str, _Find] = {
            "BootNotification": self._boot,
            "Heartbeat": lambda request: lambda: core.send(types.HeartbeatRequest(), before_boot=True),
            "FirmwareStatusNotification": lambda request: behaviour.firmware.report_present,
            "LogStatusNotification": lambda request: behaviour.logs.report_present,
            "PublishFirmwareStatusNotification": lambda request: behaviour.publishing.report_present,
            "MeterValues": self._meter_values,
            "StatusNotification": self._status,
            "TransactionEvent": self._transactions,
        }
        self._finders.update(dict.fromkeys(_CERTIFICATES, self._certificate))
        core.on(types.TriggerMessageRequest, self.trigger)

    def trigger(self, request: Any) -> Any:
        find = self._finders.get(str(request.requested_message))
        if find is None:  # F06.FR.08
            return self.types.TriggerMessageResponse(status="NotImplemented")
        send = find(request)
        if send is None:
            return self.types.TriggerMessageResponse(status="Rejected")
        self.core.post(send)
        return self.types.TriggerMessageResponse(status="Accepted")

    def _boot(self, request: Any) -> Optional[Callable[[], object]]:
        """Boot only when the last boot was not accepted (F06.FR.17)."""
        if self.core.boot.accepted:
            return None
        return lambda: self.core.boot.ask("Triggered")

    def _connectors(self, request: Any) -> List[Connector]:
        """Return what a request is for: all when it does not say it (F06.FR.11)."""
        if request.evse is None:
            return list(self.core.connectors)
        connector = self.core.connectors.find(request.evse.id)
        is_known = connector is not None and request.evse.connector_id in (None, 1)
        return [connector] if connector is not None and is_known else []

    def _status(self, request: Any) -> Optional[Callable[[], object]]:
        """Report a connector, which must be named (F06.FR.12)."""
        if request.evse is None or request.evse.connector_id is None:
            return None
        connectors = self._connectors(request)
        report = self._behaviour.registration.report
        return (lambda: report(connectors[0], before_boot=True)) if connectors else None

    def _meter_values(self, request: Any) -> Optional[Callable[[], object]]:
        """Report the measurands of clock-aligned values (F06.FR.06)."""
        meter_values = self._behaviour.meter_values_block
        readings = [(each, meter_values.read(each, "Trigger")) for each in self._connectors(request)]
        due = [(connector, reading) for connector, reading in readings if reading is not None]

        def send() -> None:
            for connector, reading in due:
                meter_values.send(connector, reading, before_boot=True)

        return send if due else None

    def _transactions(self, request: Any) -> Optional[Callable[[], object]]:
        """Report the transactions under way (F06.FR.07)."""
        connectors = self._connectors(request)
        transactions = [each.transaction for each in connectors if each.transaction is not None]

        def send() -> None:
            for transaction in transactions:
                if transaction.active:
                    self._behaviour.transaction_events.report(transaction)

        return send if transactions else None

    def _certificate(self, request: Any) -> Optional[Callable[[], object]]:
        """Ask for a certificate, when a key can be made (A02.FR.02)."""
        if not has_cryptography():
            return None
        use = _CERTIFICATES[str(request.requested_message)]
        return lambda: self._behaviour.certificates.ask(use)
