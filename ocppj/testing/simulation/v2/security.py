"""SecurityEventNotification (Part 2, A04)."""

from __future__ import annotations

from typing import Optional

from .block import Block2

__all__ = ["Security"]


class Security(Block2):
    """Tells the CSMS of security events."""

    def notify(self, type: str, tech_info: Optional[str] = None) -> None:
        """Send a critical security event. It is kept while there is no connection (A04.FR.01)."""
        request = self.types.SecurityEventNotificationRequest(
            type=type, timestamp=self.core.time.now(), tech_info=None if tech_info is None else tech_info[:255]
        )
        self.core.send(request, keep=True)
