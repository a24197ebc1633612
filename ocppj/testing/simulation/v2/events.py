"""NotifyEvent (Part 2, N07 and N08): what a monitor has found, and faults, which are told without a monitor."""

from __future__ import annotations

import itertools
from typing import Any, Optional

from ..connectors import Connector
from ..core import Core
from ..settings import Setting
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel

__all__ = ["Events"]

_ALERT = 2  # the severity of a fault: "Hardware Failure"


class Events(Block2):
    """Tells the CSMS of events."""

    def __init__(self, core: Core, types: Any, model: DeviceModel) -> None:
        super().__init__(core, types)
        self._model = model
        self._ids = itertools.count(1)

    def notify(
        self,
        setting: Setting,
        trigger: str,
        *,
        severity: int,
        kind: str = "HardWiredNotification",
        monitor_id: Optional[int] = None,
        transaction_id: Optional[str] = None,
        tech_code: Optional[str] = None,
        cleared: Optional[bool] = None,
    ) -> None:
        """Send one event about a variable. While offline it waits if its severity says so (N07.FR.04)."""
        more = {"severity": severity} if self.is_21 else {}
        event = self.types.EventData(
            event_id=next(self._ids),
            timestamp=self.core.time.now(),
            trigger=trigger,
            actual_value=setting.text,
            component=self._model.component_of(setting.key),  # type: ignore[arg-type]
            variable=self._model.variable_of(setting.key),  # type: ignore[arg-type]
            event_notification_type=kind,
            variable_monitoring_id=monitor_id,
            transaction_id=transaction_id,
            tech_code=tech_code,
            cleared=cleared,
            **more,
        )
        request = self.types.NotifyEventRequest(generated_at=self.core.time.now(), seq_no=0, event_data=[event])
        queued = severity <= self.core.settings[VariableKey("MonitoringCtrlr", "OfflineQueuingSeverity")]
        self.core.send(request, keep=queued and not self.core.online)

    def connector_failed(self, connector: Connector, failed: bool) -> None:
        """Tell that a connector has failed, or works again."""
        self._model.refresh()
        setting = self.core.settings.find(VariableKey("Connector", "Problem", evse=connector.id, connector=1))
        if setting is not None:
            error = connector.error if failed else None
            self.notify(setting, "Alerting", severity=_ALERT, tech_code=error, cleared=None if failed else True)
