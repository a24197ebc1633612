"""`Link`: one charging station and its connection to the central system.

A link has two channels, and a `Flow` for each direction. What is read from a channel becomes a job of the other one,
which hands it to the hooks and writes it. So the frames of a direction stay in order, and a job that waits for a slow
side holds nothing else up. When too much waits, the channel it comes from is not read until there is room: TCP makes
the sender wait.

When one channel ends, the other one ends after the frames that wait for it: with the same Close, or without a Close if
there was none. Whoever has sent a frame that could not be passed on sees its connection end.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from typing import Callable, List, Optional, Tuple
from typing import OrderedDict as OrderedDictType

from ..errors import OcppjError, TransportError
from ..exchange.frame import ConnectionChange, note_request
from ..log_limit import LimitedLog
from ..ws.base import Close
from ..ws.connection.channel import WireChannel
from ..ws.connection.wire import Wire
from .addressing import version_of
from .hooks import Hooks, Outcome
from .message import CSMS, STATION, Message
from .relay import Relay
from .showing import Line, Place, Shows
from .tally import Tally

__all__ = ["Flow", "Link", "LinkChannel", "Shared"]

_MOST = 256 * 1024  # characters that may wait in one direction before the sender has to wait
_EACH = 200  # what a frame costs beside its characters
_CLOSE = 0x8  # the opcode of a Close (RFC 6455 section 5.2)
_NO_CODE, _LOST, _GOING_AWAY = 1005, 1006, 1001
_REMEMBERED = 50  # CALLs without an answer whose actions are known
_REQUESTS = ("CALL", "SEND")


class LinkChannel(WireChannel):
    """A channel of a link. ``flow`` takes what is read from it."""

    __slots__ = ("flow",)

    flow: Flow


class Shared:
    """What the links of a proxy share."""

    def __init__(self, hooks: Hooks, shows: Shows, tally: Tally, log: LimitedLog) -> None:
        self.hooks = hooks
        self.shows = shows
        self.tally = tally
        self.log = log


class Flow:
    """One direction of a link: what is read from ``source`` is written to ``target``."""

    def __init__(self, link: "Link", sender: str, source: LinkChannel, target: LinkChannel) -> None:
        self.link = link
        self.sender = sender
        self.source = source
        self.target = target
        self.over: bool = False  #: Whether the source has ended.
        self.has_lost = False  #: Whether a frame of the source could not be passed on.
        self.back: Flow  #: The other direction.
        self._lock = threading.Lock()  # guards the next
        self._waiting = 0

    def receive(self, text: str) -> None:
        """Take a frame. On the reading thread of the source."""
        if self.back.over:
            self.link.lose(self, text)
            return
        size = len(text) + _EACH
        is_full = self._count(size) > _MOST
        try:
            self.target.submit(partial(self._pass, text, size))
        except BaseException:  # no thread is left: nothing would pass the frame on
            self.link.lose(self, text)
            self.source.cut()
            raise
        if is_full:
            self.source.pause(self._has_room)

    def source_ended(self, close: Close) -> None:
        """End the target, after the frames that wait for it. On the reading thread of the source."""
        self.over = True
        if self.link.note_end(self, close):
            return
        try:
            self.target.submit(partial(self._end_target, close))
        except Exception:  # no thread is left
            self.target.cut()

    def send(self, text: str) -> None:
        """Write a frame to the target, and show it as one of this direction. Raises `TransportError`."""
        link = self.link
        place = link.enter()
        is_sent = False
        try:
            self.target.send(text)
            is_sent = True
        finally:
            link.show(place, self.sender, text, is_sent)

    def _count(self, size: int) -> int:
        with self._lock:
            self._waiting += size
            return self._waiting

    def _has_room(self) -> bool:
        return self._waiting <= _MOST // 2

    def _end_target(self, close: Close) -> None:
        """End the target as the source has ended. A job of the target. Waits no longer than a write."""
        target = self.target
        with suppress(OcppjError):  # it has ended, too
            if close.by_peer:
                code = b"" if close.code == _NO_CODE else struct.pack("!H", close.code)
                target.send_frame(_CLOSE, code + close.reason.encode("utf-8"))
                target.close()  # sends nothing more: it bounds the time to close
            elif close.error is None and close.code != _LOST:
                target.close(close.code, close.reason)
            elif self.back.has_lost or target.paused:
                target.abort()  # its peer may wait to write, and would not see the end of a stream
            else:
                target.cut()

    def _pass(self, text: str, size: int) -> None:
        """Pass a frame on: a job of the target."""
        try:
            self.link.pass_on(self, text)
        except BaseException:  # nobody knows how far it came: its sender is to see that the connection ends
            self.source.cut()
            self.link.lose(self, text)
            raise
        finally:
            self._count(-size)
            if self._has_room():
                self.source.resume()


class Link:
    """A charging station that is connected through the proxy, or is about to be."""

    def __init__(
        self, shared: Shared, number: int, client_id: str, path: str, subprotocol: Optional[str], wire: Wire
    ) -> None:
        self.number = number  #: As in `Message.connection`.
        self.client_id = client_id
        self.path = path  #: Of the station, raw, without what is not passed on.
        self.subprotocol = subprotocol  #: The one that the central system chose, if any.
        self.version: str = version_of(subprotocol or "")
        self.wire = wire  #: Of the connection to the central system.
        self.relay: Optional[Relay] = None  #: Passes CALLs of observers on, if they may make any.
        self.copy: Callable[[str], None] = _nothing  #: Gives a frame of the station to observers.
        self.over: Callable[[Link], None] = _nothing  #: Called when both channels have ended.
        self.station: LinkChannel
        self.central: LinkChannel
        self._shared = shared
        self._line = Line()
        self._turn = threading.Lock()  # held while hooks run: one frame of a connection at a time
        self._actions: OrderedDictType[Tuple[str, str], str] = OrderedDict()  # of CALLs; guarded by _turn
        self._lock = threading.Lock()  # guards the fields below
        self._ends: List[Tuple[str, Close]] = []
        self._is_begun = self._is_abandoned = False

    @property
    def name(self) -> str:
        """The name of its channels, which no other link has."""
        return f"{self.client_id} #{self.number}"

    def join(self, station: LinkChannel, central: LinkChannel) -> None:
        """Join both channels. Nothing is read from them before `begin`."""
        self.station, self.central = station, central
        station.flow = Flow(self, STATION, station, central)
        central.flow = Flow(self, CSMS, central, station)
        station.flow.back, central.flow.back = central.flow, station.flow

    def begin(self, attach: Callable[[Link], None]) -> bool:
        """Begin to read from the central system, and ``attach`` observers; return false if the link was abandoned."""
        with self._lock:
            if self._is_abandoned:
                return False
            self._is_begun = True
        attach(self)
        self.change("connected")
        self._shared.tally.add("connected")
        self._shared.tally.add("connections")
        self.central.claim_reading()
        self.central.begin()
        return True

    def abandon(self) -> None:
        """End the connection to the central system, unless `begin` was called: the station's cannot be made."""
        with self._lock:
            if self._is_begun or self._is_abandoned:
                return
            self._is_abandoned = True
        with suppress(OSError):
            self.wire.send_close(_GOING_AWAY, "")
        self.wire.stream.close()

    def close(self, code: int, reason: str) -> None:
        """Close both channels. Returns at once; frames that wait are not passed on any more."""
        for channel in (self.station, self.central):
            channel.close(code, reason)

    def pass_on(self, flow: Flow, text: str) -> None:
        """Hand a frame to the hooks, and do as they say. A job of the target."""
        tally, relay = self._shared.tally, self.relay
        if relay is not None and relay.take_answer(flow.sender, text):
            self.show(self.enter(), flow.sender, text, True)
            return
        outcome = self._judge(flow.sender, text) if self._shared.hooks else Outcome(text)
        if not outcome.passes:
            tally.add("dropped" if outcome.answer is None else "answered")
            self.show(self.enter(), flow.sender, outcome.text, outcome.answer is not None)
        if outcome.answer is not None:
            self._send(flow.back, outcome.answer)
        elif outcome.passes:
            if relay is not None:
                relay.note(flow.sender, outcome.text)
            if not self._send(flow, outcome.text):
                return
            if outcome.text != text:
                tally.add("changed")
            tally.add("from_stations" if flow.sender == STATION else "from_csms")
        if flow.sender == STATION and (outcome.passes or outcome.answer is not None):
            self.copy(outcome.text)

    def send_to_station(self, text: str) -> None:
        """Have a CALL of an observer written to the station, as one of the central system. Returns at once."""
        with suppress(RuntimeError):  # no thread is left
            self.station.submit(partial(self._send_quietly, text))

    def lose(self, flow: Flow, text: str) -> None:
        """Note a frame that cannot be passed on, because the other side is gone."""
        self._count_lost(flow)
        self.show(self.enter(), flow.sender, text, False)

    def note_end(self, flow: Flow, close: Close) -> bool:
        """Note that a channel has ended; return whether both have. Then the link is over."""
        with self._lock:
            self._ends.append((flow.sender, close))
            is_over = len(self._ends) == 2
            sender, first = self._ends[0]
        if is_over:
            self.change("disconnected", _story(sender, first))
            self._shared.tally.add("connections", -1)
            self.over(self)
        return is_over

    def enter(self) -> Optional[Place]:
        """Take a place for a frame that is to be shown; ``None`` if nobody looks."""
        return self._line.enter() if self._shared.shows else None

    def show(self, place: Optional[Place], sender: str, text: str, is_sent: bool) -> None:
        """Show a frame that has a place."""
        if place is not None:
            frame = self._message(sender, text, place.time, is_sent)
            self._line.complete(place, partial(self._shared.shows.frame, frame))

    def change(self, kind: str, reason: str = "") -> None:
        """Show that the connection has begun or ended."""
        if self._shared.shows:
            place = self._line.enter()
            change = ConnectionChange(
                kind, self.client_id, self.version, place.time, self.number, reason=reason, side=CSMS
            )
            self._line.complete(place, partial(self._shared.shows.change, change))

    def _message(self, sender: str, text: str, time: datetime, is_sent: bool = True) -> Message:
        direction = "in" if sender == STATION else "out"
        about = (direction, self.client_id, self.version, time, text, is_sent)
        return Message(*about, connection=self.number, side=CSMS)

    def _send_quietly(self, text: str) -> None:
        self._send(self.central.flow, text)

    def _send(self, flow: Flow, text: str) -> bool:
        """Write a frame; return false, and count it, if the other side is gone."""
        try:
            flow.send(text)
            return True
        except TransportError:
            self._count_lost(flow)
            return False

    def _count_lost(self, flow: Flow) -> None:
        self._shared.tally.add("undelivered")
        is_first, flow.has_lost = not flow.has_lost, True
        if is_first:
            words = "%s: frames of the %s cannot be passed on: the other side is gone, and the connection ends"
            kind, about = "frames cannot be passed on", self.client_id
            self._shared.log.warning(words, about, flow.sender, kind=kind, client_id=about)

    def _judge(self, sender: str, text: str) -> Outcome:
        message = self._message(sender, text, datetime.now(timezone.utc))
        with self._turn:
            note_request(message, self._request_of(sender, message))
            return self._shared.hooks.judge(message)

    def _request_of(self, sender: str, message: Message) -> Optional[str]:
        """Note a CALL, or return the action of the CALL that ``message`` answers. `_turn` is held."""
        message_id, asker = message.message_id, CSMS if sender == STATION else STATION
        if message_id is None or message.kind is None:
            return None
        if message.kind in _REQUESTS:
            if message.kind == "CALL" and message.action is not None:
                self._actions[sender, message_id] = message.action
                if len(self._actions) > _REMEMBERED:
                    self._actions.popitem(last=False)
            return None
        return self._actions.pop((asker, message_id), None)


def _story(sender: str, close: Close) -> str:
    """Return how a link has ended. ``close`` is the end of the connection of ``sender``, which was the first."""
    side = "the station" if sender == STATION else "the central system"
    if close.by_peer:
        return f"{close.code} {close.reason}".rstrip() + f" by {side}"
    if close.error is None:
        return f"{close.code} {close.reason}".rstrip() + " by the proxy"
    return f"{close.code} {side}: {close.error}"


def _nothing(argument: object) -> None:
    """Do nothing."""
