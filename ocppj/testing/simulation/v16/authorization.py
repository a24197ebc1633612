"""Authorize and ClearCache (1.6 edition 2, sections 4.1 and 5.4)."""

from __future__ import annotations

from typing import Optional

from ....v16 import (
    AuthorizationStatus,
    AuthorizeRequest,
    AuthorizeResponse,
    ClearCacheRequest,
    ClearCacheResponse,
    ClearCacheStatus,
    IdTagInfo,
)
from ..authorization import Decide, Decision
from ..block import Block
from ..connectors import Connector, IdToken
from ..core import Core
from ..simtime import SimulatedTime

__all__ = ["Authorization", "decision_of"]


def decision_of(info: IdTagInfo, time: SimulatedTime) -> Decision:
    """Return what an IdTagInfo says of an id. The parent is the group (section 3.10)."""
    return Decision(str(info.status), info.parent_id_tag, time.from_csms(info.expiry_date))


class Authorization(Block):
    """Asks the CSMS who may charge."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        core.on(ClearCacheRequest, self.clear_cache)

    def ask(self, id_token: IdToken, connector: Optional[Connector], decide: Decide) -> None:
        """Ask the CSMS about an id.

        "ConcurrentTx" is about the start of a transaction alone (section 7.2): such an id may end one.
        """

        def answered(response: AuthorizeResponse) -> None:
            decision = decision_of(response.id_tag_info, self.core.time)
            is_end = connector is not None and connector.transaction is not None
            if is_end and decision.status == AuthorizationStatus.CONCURRENT_TX:
                decision = Decision("Accepted", decision.group, decision.expiry)
            decide(decision)

        self.core.send(AuthorizeRequest(id_tag=id_token.value), answered, lambda error: decide(None))

    def clear_cache(self, request: ClearCacheRequest) -> ClearCacheResponse:
        """Refuse when there is no cache (errata 4, 3.23)."""
        cleared = self.core.authorization.clear_cache()
        return ClearCacheResponse(status=ClearCacheStatus.ACCEPTED if cleared else ClearCacheStatus.REJECTED)
