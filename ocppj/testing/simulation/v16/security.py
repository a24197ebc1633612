"""SecurityEventNotification (1.6 security whitepaper, A04 and chapter 8)."""

from __future__ import annotations

from typing import Optional

from ....v16 import SECURITY, SecurityEventNotificationRequest
from ..block import Block

__all__ = ["Security"]


class Security(Block):
    """Tells the CSMS of security events, if it knows the security extension."""

    def notify(self, type: str, tech_info: Optional[str] = None) -> None:
        """Send a security event. It is kept while there is no connection (A04.FR.02)."""
        if not self.is_used():
            return
        request = SecurityEventNotificationRequest(
            type=type, timestamp=self.core.time.now(), tech_info=None if tech_info is None else tech_info[:255]
        )
        self.core.send(request, keep=True)

    def is_used(self) -> bool:
        """Return whether the CSMS knows the extension: there is a security profile, or it has sent a message of it."""
        received = self.core.summary.received
        return bool(self.core.settings["SecurityProfile"]) or any(received[feature.name] for feature in SECURITY)
