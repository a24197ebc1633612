"""Authorize and ClearCache (Part 2, functional block C)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Optional

from ..authorization import Decide, Decision
from ..connectors import Connector, IdToken
from ..core import Core
from .block import Block2
from .device_model import VariableKey

__all__ = ["Authorization"]

_COMPONENTS = {"local list": "LocalAuthListCtrlr", "cache": "AuthCacheCtrlr"}


class Authorization(Block2):
    """Asks the CSMS who may charge, and reads what it says of ids."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        core.on(types.ClearCacheRequest, self.clear_cache)

    def ask(self, id_token: IdToken, connector: Optional[Connector], decide: Decide) -> None:
        """Ask the CSMS about an id, whatever its type is."""
        if self.core.settings[VariableKey("AuthCtrlr", "DisableRemoteAuthorization")]:
            decide(None)
            return
        known = self._find_final(id_token, connector)
        if known is not None:
            decide(known)
            return
        request = self.types.AuthorizeRequest(id_token=self.to_message(id_token))
        self.core.send(
            request,
            lambda response: decide(self.decision_of(response.id_token_info)),
            lambda error: decide(None),
        )

    def _find_final(self, id_token: IdToken, connector: Optional[Connector]) -> Optional[Decision]:
        """Return what is known of an id that is not accepted, if DisablePostAuthorize says not to ask (C10.FR.03)."""
        for place, decision in self.core.authorization.known_of(id_token):
            component = _COMPONENTS[place]
            is_used = self.core.settings[VariableKey(component, "Enabled")]
            if is_used and self.core.settings[VariableKey(component, "DisablePostAuthorize")]:
                decision = decision.for_use_at(connector)
                return None if decision.accepted_at(self.core.time.now()) else decision
        return None

    def clear_cache(self, request: Any) -> Any:
        """Refuse when there is no cache (C11.FR.03, FR.04)."""
        status = "Accepted" if self.core.authorization.clear_cache() else "Rejected"
        return self.types.ClearCacheResponse(status=status)

    def decision_of(self, info: Any) -> Decision:
        """Return what an IdTokenInfo says of an id.

        It is known until ``cacheExpiryDateTime``, or as long as AuthCacheCtrlr.LifeTime says (C10.FR.08, FR.13).
        """
        lifetime = self.core.settings[VariableKey("AuthCacheCtrlr", "LifeTime")]
        expiry = self.core.time.from_csms(info.cache_expiry_date_time)
        if expiry is None and lifetime > 0:
            expiry = self.core.time.now() + timedelta(seconds=lifetime)
        group = info.group_id_token
        group_id = None if group is None else group.id_token
        return Decision(str(info.status), group_id, expiry, tuple(info.evse_id or ()) or None)

    def to_message(self, id_token: IdToken) -> Any:
        """Return the IdToken of an id."""
        return self.types.IdToken(id_token=id_token.value, type=id_token.type)

    @staticmethod
    def from_message(id_token: Any) -> IdToken:
        """Return the id of an IdToken."""
        return IdToken(id_token.id_token, str(id_token.type))
