"""SetVariableMonitoring and the other requests about monitors (Part 2, N02 to N06)."""

from __future__ import annotations

import itertools
from datetime import datetime
from functools import partial
from typing import Any, Dict, List, Optional

from ....errors import ErrorCode, OCPPError
from ..core import Core
from ..settings import Setting
from .block import Block2
from .device_model import VariableKey
from .events import Events
from .lookup import DeviceModel
from .monitors import PERIODIC, THRESHOLDS, Monitor, is_number
from .paging import send_pages
from .reports import monitorable

__all__ = ["Monitoring"]

_CRITERIA = {
    "ThresholdMonitoring": THRESHOLDS,
    "DeltaMonitoring": ("Delta",),
    "PeriodicMonitoring": PERIODIC,
}
_LEVELS = range(10)  # of severity


class Monitoring(Block2):
    """The monitors that the CSMS has set."""

    def __init__(self, core: Core, types: Any, model: DeviceModel, events: Events) -> None:
        super().__init__(core, types)
        self._model = model
        self._events = events
        self._ids = itertools.count(1)
        self._monitors: Dict[int, Monitor] = {}
        core.settings.watch_all(self._changed)
        core.on(types.SetVariableMonitoringRequest, self.set_monitors)
        core.on(types.ClearVariableMonitoringRequest, self.clear_monitors)
        core.on(types.GetMonitoringReportRequest, self.get_report)
        core.on(types.SetMonitoringBaseRequest, self.set_base)
        core.on(types.SetMonitoringLevelRequest, self.set_level)

    # Setting and clearing

    def set_monitors(self, request: Any) -> Any:
        self._check_count(len(request.set_monitoring_data), "SetVariableMonitoring")
        self._model.refresh()
        results = [self._set(data) for data in request.set_monitoring_data]
        return self.types.SetVariableMonitoringResponse(set_monitoring_result=results)

    def _set(self, data: Any) -> Any:
        status, setting = self._model.find(data.component, data.variable)
        id = data.id
        if setting is not None:
            status = self._judge(data, setting)
        if setting is not None and status == "Accepted":
            id = next(self._ids) if data.id is None else data.id
            self._put(id, data, setting)
        return self.types.SetMonitoringResult(
            status=status,
            id=id if status == "Accepted" or data.id is not None else None,
            type=data.type,
            severity=data.severity,
            component=data.component,
            variable=data.variable,
        )

    def _judge(self, data: Any, setting: Setting) -> str:
        """Return the status of a monitor that is to be set: N04.FR.05 to FR.16."""
        old = self._monitors.get(data.id)
        if data.id is not None and (old is None or old.setting is not setting):
            return "Rejected"
        if not monitorable(setting):
            return "Rejected"
        known = data.type == "Delta" or data.type in PERIODIC or (data.type in THRESHOLDS and is_number(setting))
        if not known:
            return "UnsupportedMonitorType"
        if data.severity not in _LEVELS or (data.value < 0 and data.type not in THRESHOLDS):
            return "Rejected"
        if data.type in PERIODIC and data.value <= 0:
            return "Rejected"
        if data.type in THRESHOLDS and _is_out_of_range(data.value, setting):
            return "Rejected"
        same = (each for each in self._monitors.values() if each.setting is setting and each is not old)
        if any(each.type == data.type and each.severity == data.severity for each in same):
            return "Duplicate"
        return "Accepted"

    def _put(self, id: int, data: Any, setting: Setting) -> None:
        old = self._monitors.get(id)
        if old is not None:
            self._stop(old)
        monitor = Monitor(id, setting, str(data.type), data.value, data.severity, bool(data.transaction))
        monitor.exceeded = old is not None and old.exceeded  # N07.FR.11: a new threshold may clear the old alert
        self._monitors[id] = monitor
        if monitor.type in PERIODIC:
            self._start_timer(monitor)
        else:
            self.core.post(partial(self._look, monitor))

    def clear_monitors(self, request: Any) -> Any:
        self._check_count(len(request.id), "ClearVariableMonitoring")
        results = []
        for id in request.id:
            monitor = self._monitors.pop(id, None)
            if monitor is not None:
                self._stop(monitor)
            status = "NotFound" if monitor is None else "Accepted"
            results.append(self.types.ClearMonitoringResult(status=status, id=id))
        return self.types.ClearVariableMonitoringResponse(clear_monitoring_result=results)

    def set_base(self, request: Any) -> Any:
        """Only "All" leaves the monitors of the CSMS as they are (N03.FR.03 to FR.05)."""
        if request.monitoring_base != "All":
            for monitor in self._monitors.values():
                self._stop(monitor)
            self._monitors.clear()
        self.core.settings.put(VariableKey("MonitoringCtrlr", "ActiveMonitoringBase"), str(request.monitoring_base))
        return self.types.SetMonitoringBaseResponse(status="Accepted")

    def set_level(self, request: Any) -> Any:
        if request.severity not in _LEVELS:
            return self.types.SetMonitoringLevelResponse(status="Rejected")
        self.core.settings.put(VariableKey("MonitoringCtrlr", "ActiveMonitoringLevel"), request.severity)
        return self.types.SetMonitoringLevelResponse(status="Accepted")

    # Reporting

    def get_report(self, request: Any) -> Any:
        monitors = self._select(request)
        if not monitors:
            return self.types.GetMonitoringReportResponse(status="EmptyResultSet")
        self.core.post(partial(self._report, request.request_id, monitors))
        return self.types.GetMonitoringReportResponse(status="Accepted")

    def _select(self, request: Any) -> List[Monitor]:
        monitors = list(self._monitors.values())
        if request.component_variable:
            keys = {
                setting.key
                for each in request.component_variable
                for setting in self._model.matching(each.component, each.variable)
            }
            monitors = [monitor for monitor in monitors if monitor.setting.key in keys]
        if request.monitoring_criteria:
            types = {type for each in request.monitoring_criteria for type in _CRITERIA[str(each)]}
            monitors = [monitor for monitor in monitors if monitor.type in types]
        return monitors

    def _report(self, request_id: int, monitors: List[Monitor]) -> None:
        by_variable: Dict[Any, List[Monitor]] = {}
        for monitor in monitors:
            by_variable.setdefault(monitor.setting.key, []).append(monitor)
        entries = [self._entry(key, group) for key, group in by_variable.items()]
        send_pages(self.core, entries, partial(self._page, request_id))

    def _page(self, request_id: int, entries: List[Any], number: int, more: bool) -> Any:
        return self.types.NotifyMonitoringReportRequest(
            request_id=request_id, generated_at=self.core.time.now(), seq_no=number, monitor=entries or None, tbc=more
        )

    def _entry(self, key: VariableKey, monitors: List[Monitor]) -> Any:
        more = {"event_notification_type": "CustomMonitor"} if self.is_21 else {}
        own = [
            self.types.VariableMonitoring(
                id=monitor.id,
                transaction=monitor.transaction,
                value=monitor.value,
                type=monitor.type,
                severity=monitor.severity,
                **more,
            )
            for monitor in monitors
        ]
        return self.types.MonitoringData(
            component=self._model.component_of(key), variable=self._model.variable_of(key), variable_monitoring=own
        )

    # Watching

    def look(self) -> None:
        """Look at the values that the station finds out itself: something has happened."""
        if self._monitors:
            self._model.refresh()

    def _changed(self, setting: Setting) -> None:
        for monitor in list(self._monitors.values()):
            if monitor.setting is setting:
                self._look(monitor)

    def _look(self, monitor: Monitor) -> None:
        event = monitor.look()
        if event is not None:
            trigger = "Delta" if monitor.type == "Delta" else "Alerting"
            self._tell(monitor, trigger, cleared=None if event else True)

    def _tell(self, monitor: Monitor, trigger: str, cleared: Optional[bool] = None) -> None:
        transaction_id = self._transaction_of(monitor)
        settings = self.core.settings
        if monitor.severity > settings[VariableKey("MonitoringCtrlr", "ActiveMonitoringLevel")]:  # N07.FR.15
            return
        if not settings[VariableKey("MonitoringCtrlr", "Enabled")] or (monitor.transaction and transaction_id is None):
            return
        self._events.notify(
            monitor.setting,
            trigger,
            severity=monitor.severity,
            kind="CustomMonitor",
            monitor_id=monitor.id,
            transaction_id=transaction_id,
            cleared=cleared,
        )

    def _transaction_of(self, monitor: Monitor) -> Optional[str]:
        connector = self.core.connectors.find(getattr(monitor.setting.key, "evse", None))
        transaction = None if connector is None else connector.transaction
        return None if transaction is None else transaction.id

    def _start_timer(self, monitor: Monitor) -> None:
        wait = monitor.value
        if monitor.type == "PeriodicClockAligned":  # counted from midnight
            wait -= _seconds_of_day(self.core.time.now()) % monitor.value
        monitor.timer = self.core.time.call_later(wait, partial(self._tick, monitor))

    def _tick(self, monitor: Monitor) -> None:
        self._start_timer(monitor)
        self._model.refresh()
        self._tell(monitor, "Periodic")

    @staticmethod
    def _stop(monitor: Monitor) -> None:
        if monitor.timer is not None:
            monitor.timer.cancel()

    def _check_count(self, count: int, message: str) -> None:
        limit = self.core.settings[VariableKey("MonitoringCtrlr", "ItemsPerMessage", message)]
        if count > limit:  # N04.FR.09, N06.FR.06
            raise OCPPError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"at most {limit} monitors in a {message}")


def _is_out_of_range(value: float, setting: Setting) -> bool:
    too_low = setting.minimum is not None and value < setting.minimum
    return too_low or (setting.maximum is not None and value > setting.maximum)


def _seconds_of_day(moment: datetime) -> float:
    return moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
