"""The page that load balancers and monitoring ask whether a server is well. Pure but for the time of day."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime, timezone
from typing import Optional, Sequence, Tuple

from ...errors import UsageError
from ...option_checks import check_option
from ..handshake.http import RequestHead, response

__all__ = ["Health"]

_IN_NO_PATH = re.compile(r"[^!-~]|[?#]")  # of what a request asks for, as it is sent
_METHODS = ("GET", "HEAD")
_RETRY_AFTER = ("Retry-After", "5")  # seconds


class Health:
    """Answers requests for the page ``path``; ``None``: there is no such page.

    Raises `UsageError` for what is no path.
    """

    def __init__(self, path: Optional[str]) -> None:
        check_option("listen", "health_path", path)
        if path is not None and not path.startswith("/"):
            raise UsageError(f"health_path begins with a slash, and {path!r} does not")
        if path is not None and _IN_NO_PATH.search(path):
            raise UsageError(f"no request has the health_path {path!r}: a path has no space, '?' or '#', and is ASCII")
        self._path = path
        self._since = datetime.now(timezone.utc).isoformat(timespec="seconds")

    def is_asked(self, head: RequestHead) -> bool:
        """Tell whether ``head`` asks for the page. A request for an upgrade does not: a client may have that name."""
        if self._path is None or head.method not in _METHODS or "Upgrade" in head.headers:
            return False
        return head.target.partition("?")[0] == self._path

    def answer(self, method: str, connections: int, closing: bool) -> bytes:
        """Return the response: 200, or 503 while the server is closing. It ends the connection."""
        story = {
            "version": getattr(sys.modules[__name__.partition(".")[0]], "__version__", ""),  # of this library
            "status": "closing" if closing else "ok",
            "connections": connections,
            "since": self._since,
        }
        fields: Sequence[Tuple[str, str]] = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if closing:
            fields = [*fields, _RETRY_AFTER]
        body = (json.dumps(story) + "\n").encode("ascii")
        return response(503 if closing else 200, body, fields, with_body=method != "HEAD")
