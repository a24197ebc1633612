"""SetVariables and GetVariables (Part 2, B05 and B06)."""

from __future__ import annotations

from typing import Any

from ....errors import ErrorCode, OCPPError
from ..core import Core
from ..settings import Change
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel

__all__ = ["Variables"]


class Variables(Block2):
    """Answers requests for variables, and changes of them."""

    def __init__(self, core: Core, types: Any, model: DeviceModel) -> None:
        super().__init__(core, types)
        self._model = model
        core.on(types.GetVariablesRequest, self.get_variables)
        core.on(types.SetVariablesRequest, self.set_variables)

    def get_variables(self, request: Any) -> Any:
        self._check_count(len(request.get_variable_data), "GetVariables")
        self._model.refresh()
        results = [self._get(data) for data in request.get_variable_data]
        return self.types.GetVariablesResponse(get_variable_result=results)

    def set_variables(self, request: Any) -> Any:
        self._check_count(len(request.set_variable_data), "SetVariables")
        results = [self._set(data) for data in request.set_variable_data]
        return self.types.SetVariablesResponse(set_variable_result=results)

    def _get(self, data: Any) -> Any:
        """Return the result for one variable: B06.FR.06 to FR.09 say which status it has, FR.13 that "" is a value."""
        status, setting = self._model.find(data.component, data.variable)
        value = None
        if setting is not None and data.attribute_type not in (None, "Actual"):
            status = "NotSupportedAttributeType"
        elif setting is not None and setting.write_only:
            status = "Rejected"
        elif setting is not None:
            value = setting.text
        return self.types.GetVariableResult(
            attribute_status=status,
            attribute_type=data.attribute_type or "Actual",
            attribute_value=value,
            component=data.component,
            variable=data.variable,
        )

    def _set(self, data: Any) -> Any:
        """Return the result for one variable: B05.FR.04 to FR.10 say which status it has."""
        status, setting = self._model.find(data.component, data.variable)
        info = None
        if setting is not None and data.attribute_type not in (None, "Actual"):
            status = "NotSupportedAttributeType"
        elif setting is not None:
            change = self.core.settings.change(setting.key, data.attribute_value)
            status = change.value
            if change is Change.REJECTED:
                info = self.types.StatusInfo(reason_code="ReadOnly" if setting.read_only else "InvalidValue")
        return self.types.SetVariableResult(
            attribute_status=status,
            attribute_type=data.attribute_type or "Actual",
            attribute_status_info=info,
            component=data.component,
            variable=data.variable,
        )

    def _check_count(self, count: int, message: str) -> None:
        """Refuse a request with more items than ItemsPerMessage allows (B05.FR.11, B06.FR.16)."""
        limit = self.core.settings[VariableKey("DeviceDataCtrlr", "ItemsPerMessage", message)]
        if count > limit:
            raise OCPPError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"at most {limit} variables in a {message}")
