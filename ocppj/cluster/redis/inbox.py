"""`Inbox`: the thread that reads what other nodes have for this one."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple

from ...errors import ClusterUnavailable
from ...events import Event
from ...log_limit import LimitedLog
from ...payloads.jsontext import decode
from ..base import Message
from .connection import Command, Link, result_of, text_of
from .store import Store

__all__ = ["Inbox", "InboxOwner"]

_AT_ONCE = 100  # entries that are read at once
_LONGEST = 1.0  # seconds that one command waits for entries
_PAUSE = 0.2  # seconds after a fault


class InboxOwner(Protocol):
    """What an inbox calls, on its thread."""

    def received(self, sender: str, message: Message, written: float) -> None:
        """Take a message that was sent at that time, by Redis' clock."""

    def lost(self, client_id: str, claim_id: str) -> None:
        """Note that another node has a newer connection."""

    def left(self, node_id: str) -> None:
        """Note that another node is gone. All that it has sent was received."""

    def unreachable(self) -> None:
        """Note that Redis does not answer."""


class Inbox:
    """The stream of one node. It is trimmed as it is read.

    Args:
        store: Where it is.
        node_id: The node.
        owner: Gets what is read.
        log: For entries that are not understood.
    """

    def __init__(self, store: Store, node_id: str, owner: InboxOwner, log: LimitedLog) -> None:
        self._store, self._owner, self._log = store, owner, log
        self._key = store.keys.inbox + node_id
        self._link = store.links.new(self._greet)
        self._block = max(1, int(min(_LONGEST, store.links.timeout / 2) * 1000))
        self._ended = Event()
        self._last = "0-0"  # the id of the last entry that was read; changed in single steps

    def begin_anew(self) -> None:
        """Note that the stream will be made anew: all that it will have is unread. On any thread."""
        self._last = "0-0"

    def end(self) -> None:
        """Have `step` return false soon: it does not wait for the end of its command."""
        self._ended.set()
        self._link.stop()

    def step(self) -> bool:
        """Read once. Return whether to go on."""
        if self._ended.is_set():
            self._store.links.end(self._link)
            return False
        try:
            self._read_some()
        except ClusterUnavailable:
            if not self._ended.is_set():
                self._owner.unreachable()
                self._ended.wait(_PAUSE)
        return True

    def _greet(self, link: Link) -> None:
        """Go on behind what the stream has now, if that is less than what was read: this is another Redis than before.

        What another Redis has may have been read before. Its clock may be behind, so that new entries have lower ids.
        """
        answer = link.run(["XINFO", "STREAM", self._key])[0]
        newest = "0-0"  # there is no stream
        if isinstance(answer, list):
            newest = text_of(dict(zip(answer[::2], answer[1::2]))[b"last-generated-id"])
        if _parts_of(newest) < _parts_of(self._last):
            self._last = newest

    def _read_some(self) -> None:
        self._link.connect()
        last = self._last
        read: Command = ["XREAD", "COUNT", _AT_ONCE, "BLOCK", self._block, "STREAMS", self._key, last]
        trim: List[Command] = [] if last == "0-0" else [["XTRIM", self._key, "MINID", _after(last)]]
        answer = result_of(self._link.run(*trim, read, look=False)[-1])
        entries: List[Tuple[str, Any]] = [(text_of(name), fields) for name, fields in answer[0][1]] if answer else []
        if not entries:
            return
        self._last = entries[-1][0]
        for name, fields in entries:
            self._take(name, fields)

    def _take(self, name: str, fields: Any) -> None:
        """Hand over one entry. What is not understood is skipped."""
        try:
            action = self._read(name, fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            action = None
        if action is None:
            self._log.warning("%s: an entry that is not understood was skipped", "inbox")
        else:
            action()

    def _read(self, name: str, fields: Any) -> Optional[Callable[[], None]]:
        entry: Dict[str, str] = {text_of(key): text_of(value) for key, value in zip(fields[::2], fields[1::2])}
        if "message" in entry:
            message = decode(entry["message"])
            sender, written = entry["from"], _time_of(name, entry) / 1000
            return (lambda: self._owner.received(sender, message, written)) if isinstance(message, dict) else None
        if "lost" in entry:
            client_id, claim_id = entry["lost"], entry["claim"]
            return lambda: self._owner.lost(client_id, claim_id)
        if "left" in entry:
            node_id = entry["left"]
            return lambda: self._owner.left(node_id)
        return None


def _time_of(name: str, entry: Dict[str, str]) -> int:
    """Return when a message was sent, in milliseconds. Redis may have written it later: after it did not run."""
    written, sent = _parts_of(name)[0], int(entry.get("at", 0))
    return min(written, sent) if sent > 0 else written


def _parts_of(name: str) -> Tuple[int, int]:
    milliseconds, _, number = name.partition("-")
    return int(milliseconds), int(number)


def _after(name: str) -> str:
    """Return the id behind that one."""
    milliseconds, number = _parts_of(name)
    return f"{milliseconds}-{number + 1}"
