"""`Message`: a frame on its way through the proxy, as hooks see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..errors import MessageError
from ..exchange.frame import Frame, note_request
from ..rpc.messages import parse_json_message

__all__ = ["CSMS", "STATION", "Message"]

#: The two sides.
STATION, CSMS = "station", "csms"
_PAYLOADS = {"CALL": 3, "SEND": 3, "CALLRESULT": 2}


@dataclass(frozen=True)
class Message(Frame):
    """A frame that a side has sent. It is read when an attribute is asked for, and it may be anything.

    The attributes are those of `ocppj.Frame`, as a central system sees it: ``sender`` ("station" or "csms"),
    ``client_id``, ``version``, ``time``, ``text``, ``connection``, ``kind``, ``message_id``, ``action`` and more. The
    action of an answer is known, too.
    """

    def with_text(self, text: str) -> "Message":
        """Return this message with another text."""
        changed = replace(self, text=text)
        note_request(changed, self.__dict__.get("_request"))
        return changed

    @property
    def payload(self) -> Any:
        """The payload of a CALL, a SEND or a CALLRESULT as a JSON value, read anew each time.

        ``None`` for a frame that has none, or cannot be read.
        """
        place = _PAYLOADS.get(self.kind or "")
        if place is None:
            return None
        try:
            fields = parse_json_message(self.text, max_depth=None)
        except MessageError:
            return None
        return fields[place] if len(fields) > place else None
