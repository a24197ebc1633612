"""`Seen`: one thing that happened, as a `Journal` keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, List, Mapping, Optional

from ..payloads.model import Payload
from ..ws.base import Close

__all__ = ["ANSWERS", "EVENTS", "REQUESTS", "Seen"]

#: The kinds of a `Seen` that ask for something.
REQUESTS = frozenset({"CALL", "SEND"})
#: The kinds that answer something.
ANSWERS = frozenset({"RESULT", "ERROR", "RESULTERROR"})
#: The kinds that are no frame.
EVENTS = frozenset({"CONNECTED", "DISCONNECTED", "REFUSED"})


@dataclass
class Seen:
    """A frame, or the begin or the end of a connection.

    Attributes:
        number: Its place in the journal, counted from 1.
        at: When it happened, in seconds of the clock's ``monotonic()``. That of an outgoing frame is the time at which
            its writing began.
        time: The same as time of day, in UTC.
        client_id: The identity of the charging station.
        direction: "in" or "out", as seen from the object that keeps the journal. "" for connections.
        kind: "CALL", "RESULT", "ERROR", "SEND", "RESULTERROR", "TEXT" (a frame that is no message), "CONNECTED",
            "DISCONNECTED" or "REFUSED".
        action: The action of a CALL or a SEND. That of an answer is the action of its CALL. ``None``: it is not known.
        message_id: The message id, if it can be read.
        text: The frame as it is on the wire.
        payload: The payload as a JSON value.
        message: The typed payload. ``None`` if the payload breaks its schema.
        error_code: The code of an error, as it is on the wire.
        error_description: The description of an error.
        error_details: The details of an error.
        close: How the connection ended, of a "DISCONNECTED".
        reason: Why the connection was refused, of a "REFUSED".
        version: The OCPP version of the connection, such as "1.6".
        connection: The number of the connection, as in `ocppj.Frame`.
        sent: False for an outgoing frame whose write failed.
        faults: Which rules the frame breaks, as texts. Of a "DISCONNECTED": which one has ended the connection.
    """

    number: int
    at: float
    time: datetime
    client_id: str
    direction: str
    kind: str
    action: Optional[str] = None
    message_id: Optional[str] = None
    text: str = ""
    payload: Any = None
    message: Optional[Payload] = None
    error_code: Optional[str] = None
    error_description: str = ""
    error_details: Optional[Mapping[str, Any]] = None
    close: Optional[Close] = None
    reason: str = ""
    version: str = ""
    connection: int = 0
    sent: bool = True
    faults: List[str] = field(default_factory=list)

    @property
    def is_request(self) -> bool:
        """Whether it is a CALL or a SEND."""
        return self.kind in REQUESTS

    @property
    def is_answer(self) -> bool:
        """Whether it answers something."""
        return self.kind in ANSWERS

    @property
    def is_event(self) -> bool:
        """Whether it is no frame, but the begin or the end of a connection."""
        return self.kind in EVENTS
