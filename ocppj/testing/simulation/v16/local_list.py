"""SendLocalList and GetLocalListVersion (1.6 edition 2, sections 5.10 and 5.15)."""

from __future__ import annotations

from typing import List, Optional

from ....errors import ErrorCode, OCPPError
from ....v16 import (
    AuthorizationData,
    AuthorizationStatus,
    GetLocalListVersionRequest,
    GetLocalListVersionResponse,
    IdTagInfo,
    SendLocalListRequest,
    SendLocalListResponse,
    UpdateStatus,
    UpdateType,
)
from ..authorization import Decision
from ..block import Block
from ..connectors import IdToken
from ..core import Core
from ..simtime import SimulatedTime
from .authorization import decision_of

__all__ = ["LocalAuthorizationList"]


class LocalAuthorizationList(Block):
    """The local authorization list, as messages speak of it."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(GetLocalListVersionRequest, self.get_version)
        core.on(SendLocalListRequest, self.update)

    def get_version(self, request: GetLocalListVersionRequest) -> GetLocalListVersionResponse:
        """Return 0 for an empty list, and -1 while the list is switched off."""
        if not self.core.settings["LocalAuthListEnabled"]:
            return GetLocalListVersionResponse(list_version=-1)
        local_list = self.core.authorization.local_list
        return GetLocalListVersionResponse(list_version=local_list.version if len(local_list) else 0)

    def update(self, request: SendLocalListRequest) -> SendLocalListResponse:
        entries: List[AuthorizationData] = request.local_authorization_list or []
        limit = self.core.settings["SendLocalListMaxLength"]
        if len(entries) > limit:
            raise OCPPError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, f"at most {limit} entries in a SendLocalList")
        if not self.core.settings["LocalAuthListEnabled"]:
            return SendLocalListResponse(status=UpdateStatus.NOT_SUPPORTED)
        status = self.core.authorization.local_list.update(
            request.list_version,
            [(IdToken(each.id_tag), _listed(each.id_tag_info, self.core.time)) for each in entries],
            is_full=request.update_type == UpdateType.FULL,
            most=self.core.settings["LocalAuthListMaxLength"],
        )
        return SendLocalListResponse(status=UpdateStatus(status))


def _listed(info: Optional[IdTagInfo], time: SimulatedTime) -> Optional[Decision]:
    """Return what an entry says; "ConcurrentTx" is said of an id that is valid (section 3.5.2)."""
    if info is None:
        return None
    decision = decision_of(info, time)
    if decision.status == AuthorizationStatus.CONCURRENT_TX:
        return Decision("Accepted", decision.group, decision.expiry)
    return decision
