"""A journal whose frames a test makes itself, each a second after the one before."""

import json
from datetime import timezone

from ocppj import Close, Frame, ManualClock
from ocppj.testing.journal import Journal
from ocppj.testing.seen import Seen
from ocppj.testing.transcript import Transcript

#: With the times of the `ManualClock`, wherever the tests run.
TRANSCRIPT = Transcript(zone=timezone.utc)


class Talk:
    """What a CSMS and its charging stations say. The first frame comes at 00:00:01."""

    def __init__(self, version: str = "1.6", client_id: str = "CP_1") -> None:
        self.clock = ManualClock()
        self.journal = Journal(self.clock)
        self.version = version
        self.client_id = client_id
        self.connection = 1
        self.step = 1  # seconds before each frame

    def came(self, *elements, **more) -> Seen:
        """Let the charging station send a frame with these elements, or a text."""
        return self._frame("in", elements, **more)

    def went(self, *elements, **more) -> Seen:
        """Let the CSMS send a frame with these elements, or a text."""
        return self._frame("out", elements, **more)

    def connected(self) -> None:
        self.clock.advance(self.step)
        self.journal.add_event("CONNECTED", self.client_id, version=self.version)

    def disconnected(self, close=None) -> None:
        self.clock.advance(self.step)
        self.connection += 1
        self.journal.add_event("DISCONNECTED", self.client_id, close=close or Close(1006))

    def _frame(self, direction, elements, client_id=None, connection=None, sent=True):
        self.clock.advance(self.step)
        text = elements[0] if len(elements) == 1 and isinstance(elements[0], str) else json.dumps(list(elements))
        number = self.connection if connection is None else connection
        about = direction, client_id or self.client_id, self.version, self.clock.now(), text, sent, None, number
        return self.journal.add_frame(Frame(*about))
