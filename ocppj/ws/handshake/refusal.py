"""`Refusal`: how a check handler of the program refuses a client, with a status of its choice."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Mapping, Optional

from ...errors import UsageError
from ...option_checks import Seconds, Whole
from .credentials import client_headers
from .http import BadRequest, phrase_of
from .urls import can_be_encoded

__all__ = ["BASIC_CHALLENGE", "Refusal"]

#: A 401 has to have a challenge (RFC 9110 section 15.5.2).
BASIC_CHALLENGE = ("WWW-Authenticate", 'Basic realm="ocppj", charset="UTF-8"')

_STATUS = Whole(300, 599)
_RETRY_AFTER = Seconds(0)


class Refusal(Exception):
    """What a check handler of a `Server` returns or raises to refuse a client with a status of its own.

    ::

        @server.set_check_client_handler
        def check(request):
            return Refusal(503, retry_after=30, reason="maintenance") if closed else request.identity in known

    A client of this library waits as long as Retry-After says before it tries again, at most an hour.

    Args:
        status: The HTTP status, 300 to 599. A 401 gets a challenge for Basic credentials, unless ``headers`` has one.
        retry_after: Seconds for the field Retry-After (RFC 9110 section 10.2.3), rounded up.
        headers: More fields of the response, by name. ASCII.
        reason: A text for the log, and for the client: it is the body of the response.

    Raises:
        UsageError: A value that cannot be sent.
    """

    def __init__(
        self,
        status: int,
        retry_after: Optional[float] = None,
        headers: Optional[Mapping[str, str]] = None,
        reason: str = "",
    ) -> None:
        super().__init__(status, retry_after, headers, reason)
        _STATUS.check("status", status)
        if retry_after is not None:
            _RETRY_AFTER.check("retry_after", retry_after)
        if not isinstance(reason, str) or not can_be_encoded(reason):
            raise UsageError("the reason of a Refusal is a text")
        self.status: int = int(status)
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = client_headers(headers, None)
        self.reason = reason
        for name, value in self.headers.items():
            if not value.isascii() or name.lower() == "content-type":
                raise UsageError(f"a Refusal cannot have the header {name!r} with this value")
        if retry_after is not None and "retry-after" in map(str.lower, self.headers):
            raise UsageError("a Refusal has retry_after and the header Retry-After")

    def __str__(self) -> str:
        return f"{self.status} {self.reason or phrase_of(self.status)}"

    def as_bad_request(self) -> BadRequest:
        """Return what refuses the handshake."""
        fields = list(self.headers.items())
        if self.retry_after is not None:
            fields.append(("Retry-After", str(math.ceil(self.retry_after))))
        if self.status == HTTPStatus.UNAUTHORIZED and "www-authenticate" not in map(str.lower, self.headers):
            fields.append(BASIC_CHALLENGE)
        return BadRequest(self.status, self.reason or phrase_of(self.status), fields, kind="refusal")
