"""`Observer`: a further central system, which gets a copy of what charging stations send."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional, Tuple, Union

from ..callables import check_not_async
from ..errors import UsageError
from ..ws.backoff import Backoff
from ..ws.client import WebSocketClient
from .addressing import check_endpoint

__all__ = ["PASS_CALLS", "Observer"]

PASS_CALLS = "pass"
_CALLS = ("refuse", "drop", PASS_CALLS)


@dataclass(frozen=True)
class Observer:
    """A further central system.

    Args:
        url: Its endpoint.
        calls: What becomes of the CALLs that it makes: "refuse" (it gets a CALLERROR with the code SecurityError),
            "drop" (it gets nothing), or "pass" (they go on to the station, and the answers come back).
        credentials: The password of each station, by identity, or a function that returns the one of an identity.
            ``None``: none are sent. The credentials of the station itself are never sent to an observer.
        headers: Added to each request to connect.
        ssl_context: For ``wss`` URLs. ``None``: the authorities of the system are trusted.
        max_waiting: How many characters of frames wait for it, for each station, while it is away or slow.
        backoff: The waits before it is connected to again.

    Raises:
        UsageError: A value cannot be used.
    """

    url: str = field(repr=False)
    calls: str = "refuse"
    credentials: Union[Mapping[str, Union[str, bytes]], Callable[[str], Union[str, bytes, None]], None] = field(
        default=None, repr=False
    )
    headers: Optional[Mapping[str, str]] = field(default=None, repr=False)
    ssl_context: Optional[ssl.SSLContext] = None
    max_waiting: int = 1024 * 1024
    backoff: Optional[Backoff] = None

    def __post_init__(self) -> None:
        check_endpoint(self.url)
        WebSocketClient(headers=self.headers, ssl_context=self.ssl_context, backoff=self.backoff or Backoff())  # checks
        if not (self.credentials is None or isinstance(self.credentials, Mapping) or callable(self.credentials)):
            raise UsageError("credentials of an Observer are passwords by identity, a function, or None")
        check_not_async("credentials", self.credentials)
        if self.calls not in _CALLS:
            raise UsageError(f"calls of an Observer is one of {', '.join(map(repr, _CALLS))}, not {self.calls!r}")
        if self.max_waiting < 1:
            raise UsageError("max_waiting of an Observer must be above 0")

    def basic_auth(self, client_id: str) -> Optional[Tuple[str, Union[str, bytes]]]:
        """Return the credentials for a station."""
        known = self.credentials
        if known is None:
            return None
        password = known(client_id) if callable(known) else known.get(client_id)
        return None if password is None else (client_id, password)
