"""GetBaseReport, GetReport and NotifyReport (Part 2, B07 and B08)."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Mapping

from ....errors import ErrorCode, OCPPError
from ..core import Core
from ..settings import Setting
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel, data_type_of
from .paging import send_pages

__all__ = ["Reports", "monitorable"]

_SUMMARY = ("Available", "AvailabilityState", "Problem")  # the variables of a SummaryInventory

#: Which settings a base report has.
_BASES: Mapping[str, Callable[[Setting], bool]] = {
    "ConfigurationInventory": lambda setting: not setting.read_only,
    "FullInventory": lambda setting: True,
    "SummaryInventory": lambda setting: getattr(setting.key, "variable", "") in _SUMMARY,
}
#: Whether a component matches a criterion, when it has the variable of that name. B08.FR.07 to FR.10.
_WHEN_ABSENT = {"Active": True, "Available": True, "Enabled": True, "Problem": False}


def monitorable(setting: Setting) -> bool:
    """Return whether monitors can be set on a variable: those of controllers cannot, which only the CSMS changes."""
    return not setting.write_only and not getattr(setting.key, "component", "").endswith("Ctrlr")


class Reports(Block2):
    """Reports the device model."""

    def __init__(self, core: Core, types: Any, model: DeviceModel) -> None:
        super().__init__(core, types)
        self._model = model
        core.on(types.GetBaseReportRequest, self.get_base_report)
        core.on(types.GetReportRequest, self.get_report)

    def get_base_report(self, request: Any) -> Any:
        belongs = _BASES[str(request.report_base)]
        settings = [setting for setting in self.core.settings if belongs(setting)]
        self.core.post(partial(self._report, request.request_id, settings))
        return self.types.GetBaseReportResponse(status="Accepted")

    def get_report(self, request: Any) -> Any:
        limit = self.core.settings[VariableKey("DeviceDataCtrlr", "ItemsPerMessage", "GetReport")]
        if len(request.component_variable or ()) > limit:  # B08.FR.17
            raise OCPPError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"at most {limit} variables in a GetReport")
        self._model.refresh()
        settings = self._select(request)
        if not settings:  # B08.FR.15
            return self.types.GetReportResponse(status="EmptyResultSet")
        self.core.post(partial(self._report, request.request_id, settings))
        return self.types.GetReportResponse(status="Accepted")

    def _select(self, request: Any) -> List[Setting]:
        settings: Iterable[Setting] = self.core.settings
        if request.component_variable:
            found: Dict[Any, Setting] = {}
            for each in request.component_variable:
                for setting in self._model.matching(each.component, each.variable):
                    found[setting.key] = setting
            settings = found.values()
        criteria = [str(criterion) for criterion in request.component_criteria or ()]
        return [setting for setting in settings if not criteria or self._meets_any(setting.key, criteria)]

    def _meets_any(self, key: Any, criteria: List[str]) -> bool:
        """Return whether a component meets at least one criterion (B08.FR.13)."""
        for criterion in criteria:
            state = self.core.settings.find(key._replace(variable=criterion, instance=None))
            if _WHEN_ABSENT[criterion] if state is None else state.value is True:
                return True
        return False

    def _report(self, request_id: int, settings: List[Setting]) -> None:
        self._model.refresh()
        entries = [self._entry(setting) for setting in settings]
        send_pages(self.core, entries, partial(self._page, request_id), before_boot=True)

    def _page(self, request_id: int, entries: List[Any], number: int, more: bool) -> Any:
        return self.types.NotifyReportRequest(
            request_id=request_id,
            generated_at=self.core.time.now(),
            seq_no=number,
            report_data=entries or None,
            tbc=more,
        )

    def _entry(self, setting: Setting) -> Any:
        key = setting.key
        attribute = self.types.VariableAttribute(
            type="Actual",
            value=None if setting.write_only else setting.text,
            mutability="WriteOnly" if setting.write_only else "ReadOnly" if setting.read_only else "ReadWrite",
            persistent=True,
            constant=False,
        )
        return self.types.ReportData(
            component=self._model.component_of(key),  # type: ignore[arg-type]
            variable=self._model.variable_of(key),  # type: ignore[arg-type]
            variable_attribute=[attribute],
            variable_characteristics=self._characteristics(setting),
        )

    def _characteristics(self, setting: Setting) -> Any:
        is_list = isinstance(setting.value, list)
        return self.types.VariableCharacteristics(
            data_type=data_type_of(setting),
            unit=setting.unit,
            min_limit=None if is_list or setting.minimum is None else float(setting.minimum),
            max_limit=None if is_list or setting.maximum is None else float(setting.maximum),
            values_list=None if setting.choices is None else ",".join(setting.choices),
            supports_monitoring=monitorable(setting),
        )
