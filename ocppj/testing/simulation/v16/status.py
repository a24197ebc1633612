"""StatusNotification (1.6 edition 2, section 4.9)."""

from __future__ import annotations

from typing import Dict, Optional

from ....v16 import ChargePointErrorCode, ChargePointStatus, StatusNotificationRequest
from ..block import Block
from ..connectors import Connector, Status
from ..core import Core
from ..scheduler import Handle

__all__ = ["StatusNotifications"]


class StatusNotifications(Block):
    """Reports the status of the charge point, which is connector 0, and of its connectors."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._reported: Dict[int, Status] = {}  # what the CSMS knows, by connector
        self._waiting: Dict[int, Handle] = {}  # for a status to last, by connector

    def report_all(self) -> None:
        """Report the charge point, and then each connector: the boot was accepted (errata 4, 3.22)."""
        self._reported.clear()
        self.report_changed()

    def report_changed(self) -> None:
        """Report what the CSMS does not know yet: the station was offline."""
        for connector in [None, *self.core.connectors]:
            if self._reported.get(_id_of(connector)) is not self._status_of(connector):
                self.report(connector)

    def changed(self, connector: Connector) -> None:
        """Report a status that has changed, when it has lasted for MinimumStatusDuration simulated seconds."""
        waiting = self._waiting.pop(connector.id, None)
        if waiting is not None:
            waiting.cancel()
        seconds = self.core.settings["MinimumStatusDuration"]
        if seconds == 0:
            self.report(connector)
        else:
            self._waiting[connector.id] = self.core.time.call_later(seconds, lambda: self._has_lasted(connector))

    def _has_lasted(self, connector: Connector) -> None:
        self._waiting.pop(connector.id, None)
        if self._reported.get(connector.id) is not connector.status:
            self.report(connector)

    def report(self, connector: Optional[Connector], before_boot: bool = False) -> None:
        """Report a connector, or without one the charge point, as it is now."""
        id, status = _id_of(connector), self._status_of(connector)
        error = None if connector is None else connector.error
        request = StatusNotificationRequest(
            connector_id=id,
            error_code=ChargePointErrorCode(error or "NoError"),
            status=ChargePointStatus(status.value),
            info="EV side disconnected" if _is_disconnected(connector) else None,
            timestamp=self.core.time.now(),
        )
        self.core.send(request, lambda response: self._reported.update({id: status}), before_boot=before_boot)

    def report_list_conflict(self) -> None:
        """Report that the CSMS has said of an id what the local list does not say (section 3.5.2)."""
        request = StatusNotificationRequest(
            connector_id=0,
            error_code=ChargePointErrorCode.LOCAL_LIST_CONFLICT,
            status=ChargePointStatus(self._status_of(None).value),
            timestamp=self.core.time.now(),
        )
        self.core.send(request)

    def _status_of(self, connector: Optional[Connector]) -> Status:
        if connector is not None:
            return connector.status
        return Status.AVAILABLE if self.core.connectors.operative else Status.UNAVAILABLE


def _id_of(connector: Optional[Connector]) -> int:
    return 0 if connector is None else connector.id


def _is_disconnected(connector: Optional[Connector]) -> bool:
    """Tell whether a transaction goes on without the vehicle (StopTransactionOnEVSideDisconnect is false)."""
    return connector is not None and connector.status is Status.SUSPENDED_EV and not connector.plugged
