"""GetDiagnostics, GetLog and their notifications (1.6 edition 2, sections 4.4 and 5.9; security whitepaper, N01)."""

from __future__ import annotations

from functools import partial
from typing import Optional

from ....v16 import (
    DiagnosticsStatus,
    DiagnosticsStatusNotificationRequest,
    GetDiagnosticsRequest,
    GetDiagnosticsResponse,
    GetLogRequest,
    GetLogResponse,
    LogStatus,
    LogStatusNotificationRequest,
    UploadLogStatus,
)
from ..block import Block
from ..core import Core

__all__ = ["Logs"]

_DIAGNOSTICS = {"Uploading": DiagnosticsStatus.UPLOADING, "Uploaded": DiagnosticsStatus.UPLOADED}


class Logs(Block):
    """Uploads of diagnostics, and of logs. There is one upload at a time."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(GetDiagnosticsRequest, self.get_diagnostics)
        core.on(GetLogRequest, self.get_log)

    def get_diagnostics(self, request: GetDiagnosticsRequest) -> GetDiagnosticsResponse:
        self.core.post(partial(self.core.log.begin, None))
        return GetDiagnosticsResponse(file_name=f"{self.core.client.id}-diagnostics.log"[-255:])

    def get_log(self, request: GetLogRequest) -> GetLogResponse:
        """Begin with an upload. It takes the place of one that is under way (N01.FR.11)."""
        canceled = self.core.log.is_running
        self.core.post(partial(self.core.log.begin, request.request_id))
        name = f"{self.core.client.id}-{request.log_type}-{request.request_id}.log"
        return GetLogResponse(
            status=LogStatus.ACCEPTED_CANCELED if canceled else LogStatus.ACCEPTED, filename=name[-255:]
        )

    def report(self, status: str, request_id: Optional[int]) -> None:
        """Report a status. It is kept while there is no connection."""
        if request_id is None:
            diagnostics = _DIAGNOSTICS.get(status, DiagnosticsStatus.UPLOAD_FAILED)
            self.core.send(DiagnosticsStatusNotificationRequest(status=diagnostics), keep=True)
        else:
            request = LogStatusNotificationRequest(status=UploadLogStatus(status), request_id=request_id)
            self.core.send(request, keep=True)

    def report_diagnostics(self) -> None:
        """Report the present status of the diagnostics: it was asked for (section 4.4)."""
        log = self.core.log
        mine = log.is_running and log.request_id is None
        status = DiagnosticsStatus.UPLOADING if mine else DiagnosticsStatus.IDLE
        self.core.send(DiagnosticsStatusNotificationRequest(status=status), before_boot=True)

    def report_log(self) -> None:
        """Report the present status of a log: it was asked for (N01.FR.12)."""
        log = self.core.log
        mine = log.is_running and log.request_id is not None
        request = LogStatusNotificationRequest(
            status=UploadLogStatus.UPLOADING if mine else UploadLogStatus.IDLE,
            request_id=log.request_id if mine else None,
        )
        self.core.send(request, before_boot=True)
