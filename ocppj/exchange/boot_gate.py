"""`BootGate`: refuses what a charge point sends before its BootNotification was accepted (`Server.require_boot`).

The rules: 1.6 edition 2 section 4.2; OCPP 2.x Part 2, B01.FR.10, B02.FR.02 and FR.09, B03.FR.07.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Set

from ..callables import refuse_coroutine
from ..errors import ErrorCode, OCPPError
from ..interrupted import calls_program
from ..rpc.messages import Call
from .boot import ACCEPTED, BOOT_NOTIFICATION, PENDING, REJECTED

__all__ = ["BootGate"]

_ANY = "*"
#: Which action a trigger asks for, where their names differ. ``*``: any, for a trigger of the vendor's own.
_TRIGGERS = {
    "SignChargePointCertificate": "SignCertificate",
    "SignChargingStationCertificate": "SignCertificate",
    "SignV2GCertificate": "SignCertificate",
    "SignV2G20Certificate": "SignCertificate",
    "SignCombinedCertificate": "SignCertificate",
    "CustomTrigger": _ANY,
}
_REASONS = {PENDING: "the BootNotification is pending", REJECTED: "the BootNotification was rejected"}


class BootGate:
    """Looks at each request before it is handled. Thread-safe: each step is one step of a set or a dict.

    Args:
        status_of: Returns how the last BootNotification of that charge point was answered, over this connection or an
            earlier one; ``None``: there was none.
        warn: Logs a warning once for each charge point: ``warn(client_id, kind, text, *arguments)``.
    """

    def __init__(self, status_of: Callable[[str], Optional[str]], warn: Callable[..., Any]) -> None:
        self._status_of = status_of
        self._warn = warn
        self.is_known: Optional[Callable[[str], Any]] = None
        self._known: Set[str] = set()  # for which `is_known` returned true
        self._asked: Dict[str, Set[str]] = {}  # actions, by the charge point that was asked for them

    def note_request(self, client_id: str, call: Call) -> None:
        """Note what a request to the charge point asks it for (B02.FR.02; 1.6: TriggerMessage). On any thread."""
        if call.action in ("TriggerMessage", "ExtendedTriggerMessage"):
            trigger: Any = getattr(call.payload, "requested_message", None)
            name = str(getattr(trigger, "value", trigger))
            asked = {_TRIGGERS.get(name, name)}
            if call.action == "ExtendedTriggerMessage" and name == "FirmwareStatusNotification":
                asked.add("SignedFirmwareStatusNotification")  # 1.6 security whitepaper, ExtendedTriggerMessage
        elif call.action in ("GetBaseReport", "GetReport"):
            asked = {"NotifyReport"}
        else:
            return
        if self._status_of(client_id) != ACCEPTED:
            self._asked.setdefault(client_id, set()).update(asked)

    def check(self, client_id: str, action: str, request: object) -> None:
        """Raise SecurityError for a request that the charge point may not send yet. On its handler thread."""
        status = self._status_of(client_id)
        if status in (ACCEPTED, REJECTED):  # a later boot may be pending: then it is asked anew
            self._asked.pop(client_id, None)
        if status == ACCEPTED or action == BOOT_NOTIFICATION or (status is None and self._is_known(client_id)):
            return
        # A rejected charge point may send nothing, asked or not (B03.FR.07).
        asked = self._asked.get(client_id, ())
        if action in asked or _ANY in asked:
            return
        reason = "there was no BootNotification" if status is None else _REASONS[status]
        text = "%s: %s is refused with SecurityError, as all before an accepted BootNotification: %s"
        self._warn(client_id, "before the boot", text, client_id, action, reason)
        raise OCPPError(ErrorCode.SECURITY_ERROR, f"{reason}: {action} is not allowed before it is accepted")

    @calls_program
    def _is_known(self, client_id: str) -> bool:
        if client_id in self._known:
            return True
        known = None if self.is_known is None else self.is_known(client_id)
        refuse_coroutine(self.is_known, known)
        if not known:
            return False
        self._known.add(client_id)
        return True
