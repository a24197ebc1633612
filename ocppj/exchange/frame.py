"""`Frame`: what an observer is shown of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Dict, Optional, Union

from ..rpc.frames import FrameHead, read_frame_head, type_name_of
from ..rpc.messages import MessageType

__all__ = ["ConnectionChange", "FindAction", "Frame", "note_request"]

#: Returns the action of the request of ours that has this id, while it is pending.
FindAction = Callable[[str], Optional[str]]

_REQUESTS = (MessageType.CALL, MessageType.SEND)


@dataclass(frozen=True)
class Frame:
    """One frame, as an observer sees it.

    Attributes:
        direction: "in" or "out".
        client_id: The identity of the charge point.
        version: The OCPP version of the connection, such as "1.6".
        time: When it was read, or when its writing began, in UTC.
        text: The frame as it is on the wire.
        sent: False for an outgoing frame whose write failed. The peer may have none of it, or a part.
        error: Why its write failed.
        connection: Which connection it belongs to: a number that the endpoint gives each connection that shows frames.
        side: Which side showed it: "csms" (a `Server`) or "station" (a `Client`). "": it is not known.
    """

    direction: str
    client_id: str
    version: str
    time: datetime
    text: str
    sent: bool = True
    error: Optional[Exception] = None
    connection: int = 0
    side: str = ""

    @property
    def sender(self) -> str:
        """Which side sent it: "csms" or "station". "": it is not known."""
        if self.direction == "out" or not self.side:
            return self.side
        return "station" if self.side == "csms" else "csms"

    @property
    def kind(self) -> Optional[str]:
        """Its message type: CALL, CALLRESULT, CALLERROR, CALLRESULTERROR or SEND. ``None``: that cannot be read."""
        return type_name_of(self._head.message_type)

    @property
    def message_id(self) -> Optional[str]:
        """The message id, or ``None`` if it cannot be read."""
        return self._head.message_id

    @property
    def action(self) -> Optional[str]:
        """The action of a CALL or a SEND; of an answer that of its CALL. ``None``: it is not known.

        The action of an answer to a request of ours is known while the observer is called, and when it was asked for
        then. A signed message has the action without "-Signed".
        """
        known = self.__dict__  # no `cached_property`: until Python 3.11 it has one lock for all frames
        if "_action" not in known:
            known["_action"] = self._find_action()
        action: Optional[str] = known["_action"]
        return action

    def _find_action(self) -> Optional[str]:
        head, request = self._head, self.__dict__.get("_request")
        if head.message_type in _REQUESTS:
            return head.action
        if callable(request):
            return None if head.message_id is None else request(head.message_id)
        return None if head.message_type is None else request

    @property
    def _head(self) -> FrameHead:
        known = self.__dict__  # as above
        if "_read" not in known:
            known["_read"] = read_frame_head(self.text)
        head: FrameHead = known["_read"]
        return head

    def __getstate__(self) -> Dict[str, Any]:
        state = dict(self.__dict__)
        if callable(state.get("_request")):  # it knows the endpoint, which cannot be copied
            del state["_request"]
        return state


@dataclass(frozen=True)
class ConnectionChange:
    """The begin or the end of a connection, as an observer sees it that has a method ``connection_changed(change)``.

    Attributes:
        kind: "connected", "disconnected", or "refused" (a server has let a client with that identity not in).
        client_id: The identity of the charge point.
        version: The OCPP version of the connection, such as "1.6". "" of a refused one.
        time: When, in UTC.
        connection: The number of the connection, as that of its frames. 0 of a refused one.
        reason: Why it ended: the close code and the reason. Why it was refused: the HTTP status and the reason.
        side: As that of a `Frame`.
    """

    kind: str
    client_id: str
    version: str
    time: datetime
    connection: int
    reason: str = ""
    side: str = ""


def note_request(frame: Frame, request: Union[str, FindAction, None]) -> Frame:
    """Note what tells the action of an answer: that action, or what finds it. Return ``frame``."""
    frame.__dict__["_request"] = request  # no field: it is not a part of what was seen
    return frame
