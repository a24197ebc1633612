"""UpdateFirmware and FirmwareStatusNotification (Part 2, L01 and L02)."""

from __future__ import annotations

from typing import Any, Optional

from ..core import Core
from ..firmware import Update
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel
from .security import Security

__all__ = ["FirmwareUpdates"]


class FirmwareUpdates(Block2):
    """Updates of the firmware."""

    def __init__(self, core: Core, types: Any, model: DeviceModel, security: Security) -> None:
        super().__init__(core, types)
        self._security = security
        model.live[VariableKey("ChargingStation", "FirmwareVersion")] = lambda: core.firmware.version
        core.on(types.UpdateFirmwareRequest, self.update)

    def update(self, request: Any) -> Any:
        """Begin with an update, if none is installed now (L01.FR.21, FR.24, FR.25; L02.FR.15, FR.18)."""
        model, firmware = self.core.firmware, request.firmware
        pem = firmware.signing_certificate
        if pem is not None and not self.core.certificates.may_sign_firmware(pem, self.core.time.now()):
            self.core.post(lambda: self._security.notify("InvalidFirmwareSigningCertificate"))
            return self.types.UpdateFirmwareResponse(status="InvalidCertificate")
        if model.is_running and not model.can_be_replaced:
            info = self.types.StatusInfo(reason_code="FwUpdateInProgress")
            return self.types.UpdateFirmwareResponse(status="Rejected", status_info=info)
        status = "AcceptedCanceled" if model.can_be_replaced else "Accepted"
        update = Update(
            firmware.location,
            self.core.time.moment(firmware.retrieve_date_time),
            self.core.time.from_csms(firmware.install_date_time),
            request.request_id,
            pem is not None,
            model.next_version(),
        )
        self.core.post(lambda: model.begin(update))
        return self.types.UpdateFirmwareResponse(status=status)

    def report(self, status: str, request_id: Optional[int]) -> None:
        """Report a status. It is kept while there is no connection."""
        self.core.send(self.types.FirmwareStatusNotificationRequest(status=status, request_id=request_id), keep=True)

    def report_present(self) -> None:
        """Report the present status: it was asked for. "Idle" after "Installed" (L01.FR.25, L02.FR.16)."""
        model = self.core.firmware
        is_idle = model.status in ("Idle", "Installed") or model.update is None
        request = self.types.FirmwareStatusNotificationRequest(
            status="Idle" if is_idle else model.status,
            request_id=None if is_idle or model.update is None else model.update.request_id,
        )
        self.core.send(request, before_boot=True)
