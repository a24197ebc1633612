"""The exceptions of ``ocppj`` and the error codes of OCPP-J.

::

    OcppjError
    ├── OCPPError                   the peer answered with a CALLERROR, or a handler sends one
    ├── MessageError                a frame from the peer breaks the rules (the peer's fault)
    ├── CallFailed                  a request got no answer
    │   ├── CallTimeout             ... in time (also a TimeoutError)
    │   ├── ConnectionLost          ... because the connection ended (also a ConnectionError)
    │   ├── ClusterUnavailable      ... because other processes cannot be reached (also a ConnectionError)
    │   ├── Stopped                 ... because this endpoint was stopped
    │   ├── CallCanceled            ... because its future was canceled
    │   ├── RequestDropped          ... because a full queue dropped it for a newer request
    │   ├── NoHandlerSlot           ... because too many handlers wait already: nothing was sent
    │   └── InvalidResponse         ... that is valid in its schema
    ├── UsageError                  this program asked for something that cannot be done (our fault)
    │   ├── ValidationError         a payload of ours breaks its schema
    │   ├── EncodingError           a payload of ours cannot be written as JSON
    │   ├── MessageTooLarge         a frame of ours is larger than max_outgoing_size
    │   ├── UnsupportedFeature      no profile of the connection's version has this message
    │   ├── DuplicateFeature        a profile or feature was added twice
    │   ├── QueueFull               the request queue has no room
    │   └── WouldDeadlock           call() on the thread that must read its answer
    ├── NotConnected                there is nothing to send over: no mistake in the request
    │   ├── NotRunning              the endpoint or dispatcher is not started
    │   └── UnknownClient           no such client is connected
    ├── QueueFailed                 the file of a durable queue cannot be opened, read or written
    │   ├── QueueInUse              ... because another process or queue has it
    │   └── QueueDamaged            ... because it is damaged, or made by another program
    └── TransportError              the network, below OCPP (also a ConnectionError)
        ├── AddressInUse            another server listens there
        ├── HandshakeRefused        the server answered the upgrade with an HTTP error
        ├── SubprotocolError        no common OCPP version was negotiated
        └── WriteTimeout            the peer does not read what is written to it
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Type, Union

from .secrets import mask_secrets, mask_value

__all__ = [
    "AddressInUse",
    "CallCanceled",
    "CallFailed",
    "CallTimeout",
    "ClusterUnavailable",
    "ConnectionLost",
    "DuplicateFeature",
    "EncodingError",
    "ErrorCode",
    "HandshakeRefused",
    "InvalidResponse",
    "MessageError",
    "MessageTooLarge",
    "NoHandlerSlot",
    "NotConnected",
    "NotRunning",
    "OCPPError",
    "OcppjError",
    "QueueDamaged",
    "QueueFailed",
    "QueueFull",
    "QueueInUse",
    "RequestDropped",
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


# What a reader does not see, or what changes how the text around it looks: control characters, line ends, the controls
# of bidirectional text, other characters without a width (Default_Ignorable_Code_Point of Unicode), notes between
# lines, and lone surrogates, which cannot be written.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
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
    """Return ``text`` with escape sequences for what does not show: safe to log, even if it is a peer's.

    These are control characters, line ends, bidirectional controls and characters without a width.
    """
    return _UNSEEN.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def _whose(
    client_id: Optional[str], action: Optional[str], message_id: Optional[str], time: Optional[datetime] = None
) -> str:
    """Return, for the end of a text, which request an error is about; nothing if nothing is known."""
    known = [
        client_id and f"client {client_id}",
        action,
        message_id and f"message {message_id}",
        time and f"at {time:%Y-%m-%d %H:%M:%S} UTC",
    ]
    story = ", ".join(each for each in known if each)
    return f" ({story})" if story else ""


class OcppjError(Exception):
    """Base of all exceptions of this library.

    They can be pickled and copied, with all attributes. This holds for a subclass too, whatever arguments its
    ``__init__`` takes: it is not called again. The cause and the traceback are not kept.
    """

    def __reduce__(self) -> Tuple[Any, ...]:
        return reduce_error(self)


def reduce_error(error: BaseException) -> Tuple[Any, ...]:
    """Return what ``__reduce__`` must return for an exception whose ``__init__`` takes more than ``args``."""
    return _remake, (type(error), error.args), error.__dict__


def _remake(kind: Type[BaseException], arguments: Tuple[Any, ...]) -> BaseException:
    """Return an exception with these ``args``, without its ``__init__``, which may take other arguments."""
    error = kind.__new__(kind, *arguments)
    if isinstance(error, OSError):  # an OSError whose class has an __init__ takes its arguments there
        OSError.__init__(error, *arguments)
    error.args = arguments
    return error


class OCPPError(OcppjError):
    """A CALLERROR. ``call()`` raises it when the peer sent one, and a request handler raises it to send one.

    ``client_id`` and ``action`` are those of the request that the peer answered with it. They are ``None`` in one that
    a handler makes. The text of the error has no passwords and keys: see `mask_secrets`. The attributes have them.

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
            raise TypeError(f"details is a JSON object (a dict), not {mask_secrets(repr(details))}")
        super().__init__(code, description, details, message_id)
        self.code: Union[ErrorCode, str] = code if isinstance(code, ErrorCode) else parse_error_code(str(code))
        self.description: str = "" if description is None else str(description)
        self.details: Dict[str, Any] = {} if details is None else dict(details)
        self.message_id = message_id
        self.client_id: Optional[str] = None
        self.action: Optional[str] = None

    def __str__(self) -> str:
        story = str(self.code)
        if self.description:
            story += f": {mask_secrets(self.description)}"
        if self.details:
            story += f" {_show(self.details)}"
        return printable(story + _whose(self.client_id, self.action, self.message_id))


def _show(details: Dict[str, Any]) -> str:
    """Return the text of ``details``, without secrets."""
    try:
        return str(mask_value(details))
    except RecursionError:
        return "{...}"


class Later(NamedTuple):
    """The ``response`` of an error, which ``read`` makes when it is first needed: most programs never look at it."""

    read: Callable[[], Any]


class MessageError(OcppjError):
    """A frame from the peer that is no valid message.

    ``message_id`` and ``message_type`` are ``None`` when they cannot be read. ``answerable`` tells whether the rules
    allow an error as the answer: only to a CALL, or in 2.x to a frame that cannot be classified.

    A response that breaks its schema is in ``payload``, as JSON, and in ``response``, as far as it can be read: it is
    read when a program first asks for it. Both are ``None`` for any other frame.

    ``visible_type`` and ``visible_id`` are what stands at the head of a text that is no valid frame, such as
    ``[2,"19","MeterValues",{"transactionId":,``. They are ``None`` when the head cannot be read either, and when
    ``message_id`` is known.
    """

    payload: Any = None
    _response: Any = None
    visible_type: Optional[int] = None
    visible_id: Optional[str] = None

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

    @property
    def response(self) -> Any:
        """The typed response, as far as it can be read, or ``None``."""
        if isinstance(self._response, Later):
            self._response = self._response.read()
        return self._response

    @response.setter
    def response(self, response: Any) -> None:
        self._response = response

    def __str__(self) -> str:
        return printable(f"{self.code}: {self.description}{_whose(None, None, self.message_id)}")


class CallFailed(OcppjError):
    """A request ended without an answer. ``code`` and ``description`` are the reason, as in a CALLERROR.

    Attributes:
        client_id: The charge point that the request was for; at a `Client` its own id.
        action: The action of the request, such as "Reset".
        message_id: The id of its CALL.
        time: When it ended, in UTC, by the clock of the endpoint.

    The endpoint sets what is known: ``action`` and ``message_id`` are ``None`` where there is no request, as when
    ``connect()`` raises `Stopped`. The text of the error has them all.
    """

    code: ErrorCode = ErrorCode.GENERIC_ERROR

    def __init__(self, description: str, message_id: Optional[str] = None, code: Optional[ErrorCode] = None) -> None:
        super().__init__(description)
        self.description = description
        self.message_id = message_id
        self.client_id: Optional[str] = None
        self.action: Optional[str] = None
        self.time: Optional[datetime] = None
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return printable(self.description + _whose(self.client_id, self.action, self.message_id, self.time))


class CallTimeout(CallFailed, TimeoutError):
    """The peer did not answer in time."""


class ConnectionLost(CallFailed, ConnectionError):
    """The connection ended, or was not there, before the answer came."""


class ClusterUnavailable(CallFailed, ConnectionError):
    """Other processes cannot be reached now: Redis does not answer, for example. See docs/cluster.md.

    Where there is no request, such as in ``server.connections(cluster=True)``, both ``action`` and ``message_id`` are
    ``None``.

    Attributes:
        maybe_sent: Whether the request may have reached the client all the same.
    """

    maybe_sent = False


class Stopped(CallFailed):
    """The endpoint was stopped before the answer came."""


class CallCanceled(CallFailed):
    """The program gave the request up: its future was canceled."""


class RequestDropped(CallFailed):
    """A full queue dropped the request, which was not being sent, for a newer one: its ``overflow`` policy chose it."""


class NoHandlerSlot(CallFailed):
    """A handler may not wait for an answer: so many do that only a reserve of threads is left, for those that do not.

    ``call()`` has sent nothing. A future's ``result()`` waits for no longer, and its request goes on. Answer the peer
    without the call, or use ``send_request()`` and go on in a callback.
    """


class InvalidResponse(CallFailed):
    """The peer's answer breaks its schema, or cannot be read.

    ``error`` is the `MessageError` with the reason. ``payload`` is the payload of the answer as JSON, and ``response``
    the typed response as the modes ``"warn"`` and ``"off"`` read it. Each is ``None`` when it cannot be read.
    """

    def __init__(self, error: MessageError, message_id: Optional[str] = None) -> None:
        super().__init__(f"the answer is invalid: {error.code}: {error.description}", message_id)
        self.error = error
        self.payload: Any = error.payload

    @property
    def response(self) -> Any:
        """The typed response, as far as it can be read, or ``None``."""
        return self.error.response


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


class MessageTooLarge(UsageError):
    """A frame of ours has more bytes than ``max_outgoing_size``: the peer would close the connection."""


class UnsupportedFeature(UsageError):
    """No profile of this endpoint, in the connection's version, has the message."""


class DuplicateFeature(UsageError):
    """A profile or a feature of the same name and version is registered already."""


class QueueFull(UsageError):
    """The request queue holds as many requests as it may."""


class WouldDeadlock(UsageError):
    """The calling thread would wait for itself.

    ``call()`` was used on the thread that reads the connection: its answer could never be read. Or a method was called
    by a signal handler or a finalizer that interrupted this library, and so may have to wait for a lock that its own
    thread holds: see `Client.stop`, which works there.
    """


class NotConnected(OcppjError):
    """There is nothing to send over now: this endpoint is not started, or that client is not connected."""


class NotRunning(NotConnected):
    """The endpoint or dispatcher was not started, or was stopped."""


class UnknownClient(NotConnected):
    """No client of that id is connected."""


class QueueFailed(OcppjError):
    """The file of a durable queue could not be opened, read or written: the disk failed, or another process has it."""


class QueueInUse(QueueFailed):
    """Another process, or another queue of this one, has the file of a durable queue: ``path``."""

    path: str = ""


class QueueDamaged(QueueFailed):
    """The file of a durable queue is damaged, or is another kind of file. It was not changed."""


class TransportError(OcppjError, ConnectionError):
    """The network failed, below OCPP. ``message_id`` is the id of the message that was not sent, if there was one."""

    message_id: Optional[str] = None


class AddressInUse(TransportError):
    """A server cannot listen: another one listens on that address: ``address``, "host:port"."""

    address: str = ""


class HandshakeRefused(TransportError):
    """The server refused the WebSocket upgrade.

    Attributes:
        status: The HTTP status.
        retry_after: How many seconds the server asks to wait until the next try (RFC 9110 section 10.2.3). ``None``
            when it does not say, or gives a date.
        url: The URL of the connection, without its query, which may have a token.
        body: The beginning of the text that the server sent, without line ends and control characters.
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        retry_after: Optional[float] = None,
        url: Optional[str] = None,
        body: str = "",
    ) -> None:
        where = f" to {url}" if url else ""
        story = f"the server refused the connection{where}: HTTP {status} {reason}".rstrip()
        super().__init__(printable(f"{story}: {body}" if body else story))
        self.status = status
        self.retry_after = retry_after
        self.url = url
        self.body: str = printable(body)


class SubprotocolError(TransportError):
    """The two sides have no OCPP version in common."""


class WriteTimeout(TransportError):
    """The peer did not read what was written to it in time."""
