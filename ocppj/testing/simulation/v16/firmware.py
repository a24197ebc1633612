"""UpdateFirmware, SignedUpdateFirmware and their notifications.

1.6 edition 2, sections 4.5 and 5.19; security whitepaper, L01.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Optional

from ....errors import ErrorCode, OCPPError
from ....v16 import (
    FirmwareStatus,
    FirmwareStatusNotificationRequest,
    SignedFirmwareStatus,
    SignedFirmwareStatusNotificationRequest,
    SignedUpdateFirmwareRequest,
    SignedUpdateFirmwareResponse,
    UpdateFirmwareRequest,
    UpdateFirmwareResponse,
    UpdateFirmwareStatus,
)
from ..block import Block
from ..core import Core
from ..firmware import Update
from .security import Security

__all__ = ["FirmwareUpdates"]

_KNOWN = [each.value for each in FirmwareStatus]
#: What an update without signature has another word for, or no word.
_UNSIGNED = {"InstallVerificationFailed": "InstallationFailed"}


class FirmwareUpdates(Block):
    """Updates of the firmware, with a signature and without."""

    def __init__(self, core: Core, security: Security) -> None:
        super().__init__(core)
        self._security = security
        core.on(UpdateFirmwareRequest, self.update)
        core.on(SignedUpdateFirmwareRequest, self.update_signed)

    def update(self, request: UpdateFirmwareRequest) -> UpdateFirmwareResponse:
        """Begin with an update. With a security profile only signed ones are supported (L01.FR.20)."""
        if self.core.settings["SecurityProfile"] > 0:
            raise OCPPError(ErrorCode.NOT_SUPPORTED, "only signed updates are supported")
        model = self.core.firmware
        if not model.is_running or model.can_be_replaced:
            update = Update(
                request.location, self.core.time.moment(request.retrieve_date), version=model.next_version()
            )
            self.core.post(partial(model.begin, update))
        return UpdateFirmwareResponse()

    def update_signed(self, request: SignedUpdateFirmwareRequest) -> SignedUpdateFirmwareResponse:
        """Begin with a signed update, if none is installed now (L01.FR.24, FR.26, FR.27)."""
        model, firmware = self.core.firmware, request.firmware
        if not self.core.certificates.may_sign_firmware(firmware.signing_certificate, self.core.time.now()):
            self.core.post(partial(self._security.notify, "InvalidFirmwareSigningCertificate"))
            return SignedUpdateFirmwareResponse(status=UpdateFirmwareStatus.INVALID_CERTIFICATE)
        if model.is_running and not model.can_be_replaced:
            return SignedUpdateFirmwareResponse(status=UpdateFirmwareStatus.REJECTED)
        canceled = model.can_be_replaced
        update = Update(
            firmware.location,
            self.core.time.moment(firmware.retrieve_date_time),
            self.core.time.from_csms(firmware.install_date_time),
            request.request_id,
            is_signed=True,
            version=model.next_version(),
        )
        self.core.post(partial(model.begin, update))
        return SignedUpdateFirmwareResponse(
            status=UpdateFirmwareStatus.ACCEPTED_CANCELED if canceled else UpdateFirmwareStatus.ACCEPTED
        )

    def report(self, status: str, request_id: Optional[int]) -> None:
        """Report a status. It is kept while there is no connection."""
        if request_id is not None:
            self.core.send(_signed(status, request_id), keep=True)
            return
        status = _UNSIGNED.get(status, status)
        if status in _KNOWN:  # scheduled and rebooting have no word without a signature
            self.core.send(FirmwareStatusNotificationRequest(status=FirmwareStatus(status)), keep=True)

    def report_present(self) -> None:
        """Report the status of an update without signature: it was asked for (section 4.5)."""
        model = self.core.firmware
        mine = model.is_running and model.update is not None and model.update.request_id is None
        status = model.status if mine and model.status in _KNOWN else "Idle"
        self.core.send(FirmwareStatusNotificationRequest(status=FirmwareStatus(status)), before_boot=True)

    def report_present_signed(self) -> None:
        """Report the last status of a signed update: it was asked for. "Idle" after "Installed" (L01.FR.28, FR.29)."""
        model = self.core.firmware
        request_id = None if model.update is None else model.update.request_id
        is_idle = request_id is None or model.status in ("Idle", "Installed")
        request: Any = _signed("Idle", None) if is_idle else _signed(model.status, request_id)
        self.core.send(request, before_boot=True)


def _signed(status: str, request_id: Optional[int]) -> SignedFirmwareStatusNotificationRequest:
    return SignedFirmwareStatusNotificationRequest(status=SignedFirmwareStatus(status), request_id=request_id)
