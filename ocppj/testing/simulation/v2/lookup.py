"""`DeviceModel`: finds variables, and keeps those up to date whose values the station finds out itself."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ....payloads.model import format_datetime
from ..connectors import Connector
from ..core import Core
from ..settings import Setting
from .block import Block2
from .device_model import VariableKey
from .registration import status_of

__all__ = ["DeviceModel", "data_type_of"]

_DATA_TYPES = {
    "DateTime": "dateTime",
    "NetworkConfigurationPriority": "SequenceList",
    "TimeSource": "SequenceList",
}
_DATA_TYPES_OF_PYTHON = {bool: "boolean", int: "integer", float: "decimal", str: "string", list: "MemberList"}


class DeviceModel(Block2):
    """The variables of the station, as messages speak of them.

    Attributes:
        live: The values that the station finds out itself, by the variable: functions that return them.
    """

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        self.live: Dict[VariableKey, Callable[[], Any]] = {}
        self._index: Dict[VariableKey, VariableKey] = {}
        self._add_live()

    def refresh(self) -> None:
        """Put the present values of what is live into the settings."""
        for key, find in self.live.items():
            if key in self.core.settings:
                self.core.settings.put(key, find())

    def find(self, component: Any, variable: Any) -> Tuple[str, Optional[Setting]]:
        """Return the setting of a Component and Variable, and the status of that search.

        The status is "Accepted", "UnknownComponent" (B06.FR.06, B05.FR.04) or "UnknownVariable" (B06.FR.07,
        B05.FR.05). Names are compared without regard to case.
        """
        wanted = _lower(_key_of(component, variable))
        key = self._get_index().get(wanted)
        if key is not None:
            return "Accepted", self.core.settings.find(key)
        of_component = wanted._replace(variable="", instance=None)
        known = any(each._replace(variable="", instance=None) == of_component for each in self._get_index())
        return ("UnknownVariable" if known else "UnknownComponent"), None

    def matching(self, component: Any, variable: Any = None) -> Iterator[Setting]:
        """Yield the settings of a component, or of one variable of it. What is left out matches all (B08.FR.20 ff)."""
        wanted = _lower(_key_of(component, variable))
        for lower, key in self._get_index().items():
            setting = self.core.settings.find(key)
            if setting is not None and _matches(wanted, lower):
                yield setting

    def component_of(self, key: VariableKey) -> Any:
        """Return the Component of a variable."""
        evse = None if key.evse is None else self.types.EVSE(id=key.evse, connector_id=key.connector)
        return self.types.Component(name=key.component, instance=key.component_instance, evse=evse)

    def variable_of(self, key: VariableKey) -> Any:
        """Return the Variable of a key."""
        return self.types.Variable(name=key.variable, instance=key.instance)

    def _get_index(self) -> Dict[VariableKey, VariableKey]:
        keys = [setting.key for setting in self.core.settings if isinstance(setting.key, VariableKey)]
        if len(keys) != len(self._index):  # settings are added, never removed
            self._index = {_lower(key): key for key in keys}
        return self._index

    def _add_live(self) -> None:
        core = self.core
        self.live[VariableKey("ClockCtrlr", "DateTime")] = lambda: format_datetime(core.time.now())
        self.live[VariableKey("SecurityCtrlr", "Identity")] = lambda: core.client.id
        self.live[VariableKey("ChargingStation", "SerialNumber")] = lambda: core.client.id
        self.live[VariableKey("ChargingStation", "AvailabilityState")] = lambda: (
            "Available" if core.connectors.operative else "Unavailable"
        )
        for connector in core.connectors:
            self.live[VariableKey("EVSE", "Power", evse=connector.id)] = _power_finder(core, connector)
            for key in (
                VariableKey("EVSE", "AvailabilityState", evse=connector.id),
                VariableKey("Connector", "AvailabilityState", evse=connector.id, connector=1),
            ):
                self.live[key] = _state_finder(connector)
                self.live[key._replace(variable="Problem")] = _problem_finder(connector)


def data_type_of(setting: Setting) -> str:
    """Return the DataEnum of a variable."""
    variable = getattr(setting.key, "variable", "")
    if isinstance(setting.value, str) and setting.choices is not None:
        return "OptionList"
    return _DATA_TYPES.get(variable) or _DATA_TYPES_OF_PYTHON[type(setting.value)]


def _state_finder(connector: Connector) -> Callable[[], str]:
    return lambda: status_of(connector)


def _power_finder(core: Core, connector: Connector) -> Callable[[], float]:
    return lambda: core.meters[connector].power


def _problem_finder(connector: Connector) -> Callable[[], bool]:
    return lambda: connector.error is not None


def _key_of(component: Any, variable: Any) -> VariableKey:
    evse = component.evse
    return VariableKey(
        component.name,
        "" if variable is None else variable.name,
        (None if variable is None else variable.instance) or None,  # an empty text is none (B06.FR.15)
        component.instance or None,
        None if evse is None else evse.id,
        None if evse is None else evse.connector_id,
    )


def _lower(key: VariableKey) -> VariableKey:
    parts: List[Any] = [part.lower() if isinstance(part, str) else part for part in key]
    return VariableKey._make(parts)


def _matches(wanted: VariableKey, key: VariableKey) -> bool:
    return all(part in (None, "") or part == own for part, own in zip(wanted, key))
