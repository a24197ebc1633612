"""GetConfiguration and ChangeConfiguration (1.6 edition 2, sections 5.3 and 5.8)."""

from __future__ import annotations

from typing import Dict, Optional

from ....errors import ErrorCode, OCPPError
from ....v16 import (
    ChangeConfigurationRequest,
    ChangeConfigurationResponse,
    ConfigurationStatus,
    GetConfigurationRequest,
    GetConfigurationResponse,
    KeyValue,
)
from ..block import Block
from ..core import Core
from ..settings import Change, Setting

__all__ = ["Configuration"]

_STATUSES = {
    Change.ACCEPTED: ConfigurationStatus.ACCEPTED,
    Change.REJECTED: ConfigurationStatus.REJECTED,
    Change.REBOOT_REQUIRED: ConfigurationStatus.REBOOT_REQUIRED,
    Change.UNKNOWN: ConfigurationStatus.NOT_SUPPORTED,
}


class Configuration(Block):
    """The configuration keys, as messages speak of them. Upper and lower case make no difference (section 6.9)."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(GetConfigurationRequest, self.get)
        core.on(ChangeConfigurationRequest, self.change)

    def get(self, request: GetConfigurationRequest) -> GetConfigurationResponse:
        """Return the keys that are asked for, or all; a key that cannot be read has no value."""
        if not request.key:
            return GetConfigurationResponse(configuration_key=[_to_message(each) for each in self.core.settings])
        limit = self.core.settings["GetConfigurationMaxKeys"]
        if len(request.key) > limit:
            raise OCPPError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"at most {limit} keys in a GetConfiguration")
        found = {key: self._find(key) for key in request.key}
        unknown = [key for key, setting in found.items() if setting is None]
        return GetConfigurationResponse(
            configuration_key=[_to_message(each) for each in found.values() if each is not None],
            unknown_key=unknown or None,
        )

    def change(self, request: ChangeConfigurationRequest) -> ChangeConfigurationResponse:
        setting = self._find(request.key)
        if setting is None:
            return ChangeConfigurationResponse(status=ConfigurationStatus.NOT_SUPPORTED)
        change = self.core.settings.change(setting.key, request.value)
        return ChangeConfigurationResponse(status=_STATUSES[change])

    def _find(self, key: str) -> Optional[Setting]:
        by_name: Dict[str, Setting] = {str(each.key).lower(): each for each in self.core.settings}
        return by_name.get(key.lower())


def _to_message(setting: Setting) -> KeyValue:
    value = None if setting.write_only else setting.text[:500]
    return KeyValue(key=str(setting.key), readonly=setting.read_only, value=value)
