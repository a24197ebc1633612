"""`Firmware` and `LogUpload`: the sequences of an update, and of an upload. Nothing is downloaded or uploaded.

1.6 edition 2 sections 4.4 and 4.5; 1.6 security whitepaper and 2.x Part 2: L01 to L03, N01.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Callable, Optional, Tuple

from .common import Common
from .power import Power
from .scheduler import Handle

__all__ = ["Firmware", "LogUpload", "Update"]

_RUNNING = ("Downloading", "Downloaded", "SignatureVerified", "DownloadScheduled", "DownloadPaused", "InstallScheduled")


@dataclass
class Update:
    """An update that was asked for.

    Args:
        location: Where the firmware is.
        retrieve_at: When it is downloaded, in simulated time.
        install_at: When it is installed. ``None``: when it is there.
        request_id: The number of the request; 1.6 without signature has none.
        is_signed: Whether a signature is checked.
        version: The version that the firmware has afterwards.
    """

    location: str
    retrieve_at: datetime
    install_at: Optional[datetime] = None
    request_id: Optional[int] = None
    is_signed: bool = False
    version: str = "2.0"


class Firmware:
    """The firmware of one station. To be used in jobs of the mailbox.

    Attributes:
        version: Its version.
        status: The last status that was reported, a FirmwareStatus of 2.x, or "Idle".
        update: The update that is under way, or was the last.
        phase_seconds: How long a phase takes, in simulated seconds.
        fails_with: The failure in which the next update ends, such as "DownloadFailed", "InvalidSignature",
            "InstallationFailed", "InstallVerificationFailed"; ``None``: it succeeds.
    """

    def __init__(self, common: Common, power: Power) -> None:
        self._common = common
        self._power = power
        power.rebooted.append(self._rebooted)
        self.version: str = "1.0"
        self.status: str = "Idle"
        self.update: Optional[Update] = None
        self.phase_seconds: float = 60.0
        self.fails_with: Optional[str] = None
        self._timer: Optional[Handle] = None
        self._installing = False
        self._is_new = False  # the firmware has been installed, which was not reported yet

    @property
    def can_be_replaced(self) -> bool:
        """Whether another update may take the place of the one that is under way: it does not install yet."""
        return self.is_running and not self._installing

    @property
    def is_running(self) -> bool:
        """Whether an update is under way."""
        return self._installing or self.status in _RUNNING

    def next_version(self) -> str:
        """Return the version after the present one."""
        major = self.version.partition(".")[0]
        return f"{int(major) + 1}.0" if major.isdigit() else "2.0"

    def begin(self, update: Update) -> None:
        """Begin with an update. One that is under way is given up. Call it after the answer (`Core.post`)."""
        self._cancel()
        self.update = update
        if update.retrieve_at > self._common.time.now():
            self._report("DownloadScheduled")
            self._timer = self._common.time.call_at(update.retrieve_at, self._download)
        else:
            self._download()

    def _rebooted(self) -> None:
        """Finish the installation: the station has rebooted. The status is reported after the boot."""
        if not self._installing or self.update is None:
            return
        self._installing = False
        self._set_updating(False)
        self.version = self.update.version
        self._is_new = True

    def booted(self) -> None:
        """Report what has become of an installation for which the station rebooted: its boot was accepted."""
        if self._is_new:
            self._is_new = False
            self._report("Installed")
            if self.update is not None and self.update.request_id is None:
                self.status = "Idle"
            self._common.behaviour.security_event("FirmwareUpdated", self.version)

    def _download(self) -> None:
        self._report("Downloading")
        self._after(self._downloaded, "DownloadFailed")

    def _downloaded(self) -> None:
        self._report("Downloaded")
        if self.update is not None and self.update.is_signed:
            self._after(self._verified, "InvalidSignature")
        else:
            self._schedule_install()

    def _verified(self) -> None:
        self._report("SignatureVerified")
        self._schedule_install()

    def _schedule_install(self) -> None:
        update = self.update
        if update is None:
            return
        if update.install_at is not None and update.install_at > self._common.time.now():
            self._report("InstallScheduled")
            self._timer = self._common.time.call_at(update.install_at, self._wait_for_idle)
        else:
            self._wait_for_idle()

    def _wait_for_idle(self) -> None:
        """Install when no transaction is under way. No other begins meanwhile, unless a setting says so (L01.FR.07)."""
        update = self.update
        if self._common.connectors.transactions:
            if self.status != "InstallScheduled":
                self._report("InstallScheduled")
            self._set_updating(not self._common.settings.get("new_sessions_before_update", False))
        self._power.when_idle(lambda: self._install() if self.update is update else None)

    def _install(self) -> None:
        self._installing = True
        self._report("Installing")
        self._set_updating(True)
        self._after(self._reboot, "InstallationFailed", "InstallVerificationFailed")

    def _reboot(self) -> None:
        self._report("InstallRebooting")
        self._power.reset("Reboot", "FirmwareUpdate")

    def _after(self, job: Callable[[], object], *failures: str) -> None:
        self._timer = self._common.time.call_later(self.phase_seconds, partial(self._end_phase, job, failures))

    def _end_phase(self, job: Callable[[], object], failures: Tuple[str, ...]) -> None:
        if self.fails_with not in failures:
            job()
            return
        failure, self.fails_with, self._installing = str(self.fails_with), None, False
        self._report(failure)
        self._set_updating(False)
        if failure == "InvalidSignature":
            self._common.behaviour.security_event("InvalidFirmwareSignature")

    def _report(self, status: str) -> None:
        self.status = status
        update = self.update
        self._common.behaviour.firmware_status(status, None if update is None else update.request_id)

    def _set_updating(self, is_updating: bool) -> None:
        """Make connectors without a transaction unavailable, or available again."""
        connectors = self._common.connectors
        if connectors.updating != is_updating:
            connectors.updating = is_updating
            for connector in connectors:
                connector.update()

    def _cancel(self) -> None:
        self._set_updating(False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class LogUpload:
    """The upload of a log, or of diagnostics. To be used in jobs of the mailbox.

    Attributes:
        status: The last status that was reported, an UploadLogStatus of 2.x, or "Idle".
        request_id: The number of the request; that of 1.6 for diagnostics has none.
        seconds: How long an upload takes, in simulated seconds.
        fails_with: The failure in which the next upload ends, such as "UploadFailure"; ``None``: it succeeds.
    """

    def __init__(self, common: Common) -> None:
        self._common = common
        self.status: str = "Idle"
        self.request_id: Optional[int] = None
        self.seconds: float = 60.0
        self.fails_with: Optional[str] = None
        self._timer: Optional[Handle] = None

    @property
    def is_running(self) -> bool:
        """Whether an upload is under way."""
        return self.status == "Uploading"

    def begin(self, request_id: Optional[int], canceled_status: Optional[str] = None) -> None:
        """Begin with an upload. Call it after the answer (`Core.post`).

        Args:
            request_id: The number of the request.
            canceled_status: What is reported of an upload that this one takes the place of, such as
                "AcceptedCanceled"; ``None``: nothing.
        """
        if self._timer is not None:
            self._timer.cancel()
            if self.is_running and canceled_status is not None:
                self._report(canceled_status)
        self.request_id = request_id
        self._report("Uploading")
        self._timer = self._common.time.call_later(self.seconds, self._uploaded)

    def _uploaded(self) -> None:
        self._timer = None
        failure, self.fails_with = self.fails_with, None
        self._report(failure or "Uploaded")

    def _report(self, status: str) -> None:
        self.status = status
        self._common.behaviour.log_status(status, self.request_id)
