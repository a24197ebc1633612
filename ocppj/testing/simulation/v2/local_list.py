"""SendLocalList and GetLocalListVersion (Part 2, functional block D)."""

from __future__ import annotations

from typing import Any, List, Optional

from ....errors import ErrorCode, OCPPError
from ..authorization import Decision
from ..core import Core
from .authorization import Authorization
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel

__all__ = ["LocalAuthorizationList"]


class LocalAuthorizationList(Block2):
    """The local authorization list, as messages speak of it."""

    def __init__(self, core: Core, types: Any, model: DeviceModel) -> None:
        super().__init__(core, types)
        model.live[VariableKey("LocalAuthListCtrlr", "Entries")] = lambda: len(core.authorization.local_list)
        core.on(types.SendLocalListRequest, self.update)
        core.on(types.GetLocalListVersionRequest, self.get_version)

    def get_version(self, request: Any) -> Any:
        """Return 0 when there is no list, or it is not used (D02.FR.02, FR.03)."""
        version = self.core.authorization.local_list.version if self._is_enabled() else 0
        return self.types.GetLocalListVersionResponse(version_number=version)

    def update(self, request: Any) -> Any:
        entries = request.local_authorization_list or []
        limit = self.core.settings[VariableKey("LocalAuthListCtrlr", "ItemsPerMessage")]
        if len(entries) > limit:  # D01.FR.11
            raise OCPPError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"at most {limit} entries in a SendLocalList")
        return self.types.SendLocalListResponse(status=self._update(request, entries))

    def _update(self, request: Any, entries: List[Any]) -> str:
        if not self._is_enabled():
            return "Failed"
        variable = self.core.settings.find(VariableKey("LocalAuthListCtrlr", "Entries"))
        return self.core.authorization.local_list.update(
            request.version_number,
            [(Authorization.from_message(each.id_token), self._decision(each.id_token_info)) for each in entries],
            is_full=request.update_type == "Full",
            most=None if variable is None else variable.maximum,
        )

    def _decision(self, info: Any) -> Optional[Decision]:
        if info is None:
            return None
        group = info.group_id_token
        expiry = self.core.time.from_csms(info.cache_expiry_date_time)
        group_id = None if group is None else group.id_token
        return Decision(str(info.status), group_id, expiry, tuple(info.evse_id or ()) or None)

    def _is_enabled(self) -> bool:
        return bool(self.core.settings[VariableKey("LocalAuthListCtrlr", "Enabled")])
