"""The exceptions of ``ocppj`` and the error codes of OCPP-J.

::

    OcppjError
    ├── OCPPError                   the peer answered with a CALLERROR, or a handler sends one
    ├── MessageError                a frame from the peer breaks the rules (the peer's fault)
    ├── CallFailed                  a request got no answer
    │   ├── CallTimeout             ... in time (also a TimeoutError)
    │   ├── ConnectionLost          ... because the connection ended (also a ConnectionError)
    │   ├── Stopped                 ... because this endpoint was stopped
    │   ├── CallCanceled            ... because its future was canceled
    │   └── InvalidResponse         ... that is valid in its schema
    ├── UsageError                  this program asked for something that cannot be done (our fault)
    │   ├── ValidationError         a payload of ours breaks its schema
    │   ├── EncodingError           a payload of ours cannot be written as JSON
    │   ├── UnsupportedFeature      no profile of the connection's version has this message
    │   ├── DuplicateFeature        a profile or feature was added twice
    │   ├── QueueFull               the request queue has no room
    │   ├── NotRunning              the endpoint or dispatcher is not started
    │   ├── UnknownClient           no such client is connected
    │   └── WouldDeadlock           call() on the thread that must read its answer
    ├── QueueFailed                 the file of a durable queue cannot be opened, read or written
    │   └── QueueDamaged            ... because it is damaged, or made by another program
    └── TransportError              the network, below OCPP (also a ConnectionError)
        ├── HandshakeRefused        the server answered the upgrade with an HTTP error
        ├── SubprotocolError        no common OCPP version was negotiated
        └── WriteTimeout            the peer does not read what is written to it
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Dict, Mapping, Optional, Union

__all__ = [
    "CallCanceled",
    "CallFailed",
    "CallTimeout",
    "ConnectionLost",
    "DuplicateFeature",
    "EncodingError",
    "ErrorCode",
    "HandshakeRefused",
    "InvalidResponse",
    "MessageError",
    "NotRunning",
    "OCPPError",
    "OcppjError",
    "QueueDamaged",
    "QueueFailed",
    "QueueFull",
    "Stopped",
    "SubprotocolError",
    "TransportError",
    "UnknownClient",
    "UnsupportedFeature",
    "UsageError",
    "ValidationError",
    "WouldDeadlock",
    "WriteTimeout",
    "parse_error_code",
    "printable",
]


class ErrorCode(str, Enum):
    """The error codes of a CALLERROR.

    Two codes are spelt differently in 1.6 and in 2.x. Both spellings name the same member. The connection's dialect
    chooses the one for the wire (OCPP-J 1.6 section 4.2.3, errata 5.1 and 5.2; OCPP 2.x Part 4 section 4.3).
    """

    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    INTERNAL_ERROR = "InternalError"
    PROTOCOL_ERROR = "ProtocolError"
    SECURITY_ERROR = "SecurityError"
    FORMAT_VIOLATION = "FormatViolation"
    FORMATION_VIOLATION = "FormatViolation"
    PROPERTY_CONSTRAINT_VIOLATION = "PropertyConstraintViolation"
    OCCURRENCE_CONSTRAINT_VIOLATION = "OccurrenceConstraintViolation"
    OCCURENCE_CONSTRAINT_VIOLATION = "OccurrenceConstraintViolation"
    TYPE_CONSTRAINT_VIOLATION = "TypeConstraintViolation"
    GENERIC_ERROR = "GenericError"
    MESSAGE_TYPE_NOT_SUPPORTED = "MessageTypeNotSupported"
    RPC_FRAMEWORK_ERROR = "RpcFrameworkError"

    @classmethod
    def _missing_(cls, value: object) -> Optional["ErrorCode"]:
        return _OTHER_SPELLINGS.get(value) if isinstance(value, str) else None

    def __str__(self) -> str:
        return str(self.value)


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OTHER_SPELLINGS: Dict[str, ErrorCode] = {
    "FormationViolation": ErrorCode.FORMAT_VIOLATION,
    "OccurenceConstraintViolation": ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION,
}


def parse_error_code(text: str) -> Union[ErrorCode, str]:
    """Return the `ErrorCode` that ``text`` spells, in any version's spelling, or ``text`` itself when none does."""
    try:
        return ErrorCode(text)
    except ValueError:
        return text


def printable(text: str) -> str:
    """Return ``text`` with its control characters as escape sequences: safe to log, even if it is a peer's."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


class OcppjError(Exception):
    """Base of all exceptions of this library."""


class OCPPError(OcppjError):
    """A CALLERROR. ``call()`` raises it when the peer sent one, and a request handler raises it to send one.

    Args:
        code: An `ErrorCode`, or its text. The attribute is text if the text is no code of any version.
        description: Any text. On the wire it is cut after 255 characters.
        details: A JSON object.
        message_id: The id of the CALL, ``None`` until it is known.

    Raises:
        TypeError: for ``details`` that are no mapping.
    """

    def __init__(
        self,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
        message_id: Optional[str] = None,
    ) -> None:
        if details is not None and not isinstance(details, Mapping):
            raise TypeError(f"details is a JSON object (a dict), not {details!r}")
        super().__init__(code, description, details, message_id)
        self.code = code if isinstance(code, ErrorCode) else parse_error_code(str(code))
        self.description = "" if description is None else str(description)
        self.details: Dict[str, Any] = {} if details is None else dict(details)
        self.message_id = message_id

    def __str__(self) -> str:
        story = str(self.code)
        if self.description:
            story += f": {self.description}"
        if self.details:
            story += f" {self.details}"
        if self.message_id:
            story += f" (message {self.message_id})"
        return printable(story)


class MessageError(OcppjError):
    """A frame from the peer that is no valid message.

    ``message_id`` and ``message_type`` are ``None`` when they cannot be read. ``answerable`` tells whether the rules
    allow an error as the answer: only to a CALL, or in 2.x to a frame that cannot be classified.
    """

    def __init__(
        self,
        code: ErrorCode,
        description: str,
        *,
        message_id: Optional[str] = None,
        message_type: Optional[int] = None,
        answerable: bool = False,
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.message_id = message_id
        self.message_type = message_type
        self.answerable = answerable

    def __str__(self) -> str:
        where = f" (message {self.message_id})" if self.message_id else ""
        return printable(f"{self.code}: {self.description}{where}")


class CallFailed(OcppjError):
    """A request ended without an answer. ``code`` and ``description`` are the reason, as in a CALLERROR."""

    code = ErrorCode.GENERIC_ERROR

    def __init__(self, description: str, message_id: Optional[str] = None, code: Optional[ErrorCode] = None) -> None:
        super().__init__(description)
        self.description = description
        self.message_id = message_id
        if code is not None:
            self.code = code


class CallTimeout(CallFailed, TimeoutError):
    """The peer did not answer in time."""


class ConnectionLost(CallFailed, ConnectionError):
    """The connection ended, or was not there, before the answer came."""


class Stopped(CallFailed):
    """The endpoint was stopped before the answer came."""


class CallCanceled(CallFailed):
    """The program gave the request up: its future was canceled."""


class InvalidResponse(CallFailed):
    """The peer's answer breaks its schema. ``error`` is the `MessageError` with the reason."""

    def __init__(self, error: MessageError, message_id: Optional[str] = None) -> None:
        super().__init__(f"the answer is invalid: {error}", message_id)
        self.error = error


class UsageError(OcppjError):
    """This program asked for something that cannot be done."""


class ValidationError(UsageError):
    """A payload breaks its schema. ``code`` is the `ErrorCode` of the fault, ``path`` its JSON path."""

    def __init__(self, code: ErrorCode, path: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.path = path
        self.description = description

    def __str__(self) -> str:
        return f"{self.code}: {self.description}"


class EncodingError(UsageError):
    """A payload has a value that cannot be written as JSON."""


class UnsupportedFeature(UsageError):
    """No profile of this endpoint, in the connection's version, has the message."""


class DuplicateFeature(UsageError):
    """A profile or a feature of the same name and version is registered already."""


class QueueFull(UsageError):
    """The request queue holds as many requests as it may."""


class NotRunning(UsageError):
    """The endpoint or dispatcher was not started, or was stopped."""


class UnknownClient(UsageError):
    """No client of that id is connected."""


class WouldDeadlock(UsageError):
    """``call()`` was used on the thread that reads the connection: its answer could never be read."""


class QueueFailed(OcppjError):
    """The file of a durable queue could not be opened, read or written: the disk failed, or another process has it."""


class QueueDamaged(QueueFailed):
    """The file of a durable queue is damaged, or is another kind of file. It was not changed."""


class TransportError(OcppjError, ConnectionError):
    """The network failed, below OCPP. ``message_id`` is the id of the message that was not sent, if there was one."""

    message_id: Optional[str] = None


class HandshakeRefused(TransportError):
    """The server refused the WebSocket upgrade, with the HTTP ``status``.

    ``retry_after`` is how many seconds the server asks to wait until the next try (RFC 9110 section 10.2.3). It is
    ``None`` when the server does not say, or gives a date.
    """

    def __init__(self, status: int, reason: str = "", retry_after: Optional[float] = None) -> None:
        super().__init__(printable(f"the server refused the connection: HTTP {status} {reason}".rstrip()))
        self.status = status
        self.retry_after = retry_after


class SubprotocolError(TransportError):
    """The two sides have no OCPP version in common."""


class WriteTimeout(TransportError):
    """The peer did not read what was written to it in time."""
