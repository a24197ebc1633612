"""SetNetworkProfile (Part 2, B09)."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ..core import Core
from .block import Block2
from .device_model import VariableKey

__all__ = ["NetworkProfiles"]


class NetworkProfiles(Block2):
    """Keeps the network profiles, by slot.

    They are not used: a simulated station stays where a test has connected it.
    """

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        self.by_slot: Dict[int, Any] = {}
        core.on(types.SetNetworkProfileRequest, self.set)

    def set(self, request: Any) -> Any:
        problem = self._find_problem(request.configuration_slot, request.connection_data)
        if problem is not None:
            info = self.types.StatusInfo(reason_code=problem)
            return self.types.SetNetworkProfileResponse(status="Rejected", status_info=info)
        self.by_slot[request.configuration_slot] = request.connection_data
        return self.types.SetNetworkProfileResponse(status="Accepted")

    def _find_problem(self, slot: int, data: Any) -> Optional[str]:
        """Return why a profile is rejected: B09.FR.02 (invalid), FR.04 (less secure), FR.05 (unknown slot)."""
        priority = self.core.settings.find(VariableKey("OCPPCommCtrlr", "NetworkConfigurationPriority"))
        if priority is not None and str(slot) not in (priority.choices or ()):
            return "InvalidConfSlot"
        if data.security_profile < self.core.settings[VariableKey("SecurityCtrlr", "SecurityProfile")]:
            return "NoSecurityDowngrade"
        scheme = "wss://" if data.security_profile > 1 else "ws://"
        if data.ocpp_transport != "JSON" or not data.ocpp_csms_url.lower().startswith((scheme, "wss://")):
            return "InvalidNetworkConf"
        return None
