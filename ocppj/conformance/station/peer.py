"""`StationPeer`: waits for the charging station that is checked, and gives each case its `Room`."""

from __future__ import annotations

import logging
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from ...errors import OcppjError, UnsupportedFeature, UsageError
from ...exchange.frame import Frame
from ...exchange.passwords import authorization_key, passwords_match
from ...testing.csms import ScriptedCSMS
from ...testing.defaults import DefaultAnswers
from ...testing.journal import Journal
from ...testing.seen import Seen
from ..cases import ALL, Case
from ..deadline import Deadline
from ..outcomes import Frames
from ..runner import Peer
from ..verdicts import PeerGone, Told
from .door import Door
from .haste import Haste
from .opening import Opening
from .room import CLOSE_TIMEOUT, Room
from .session import Session

__all__ = ["Settings", "StationPeer"]

#: The requests of a station whose answers cases change.
_SCRIPTED = (
    "Authorize",
    "BootNotification",
    "Heartbeat",
    "MeterValues",
    "StartTransaction",
    "StatusNotification",
    "StopTransaction",
    "TransactionEvent",
)
#: A station may connect below a path of its own: the last segment is its identity.
_PATHS = ("/{id}", "/{a}/{id}", "/{a}/{b}/{id}", "/{a}/{b}/{c}/{id}")

_silent = logging.Logger("ocppj.conformance")
_silent.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Settings:
    """How the station is checked.

    Attributes:
        wait: How long to wait for the station to connect, first and after each cut, in seconds.
        answer: How long to wait for an answer, or for a message that has to come, in seconds.
        brief: How long to wait for what may come, or not, in seconds.
        interval: The interval of boots and heartbeats while those are checked, in seconds.
        quiet: How long nothing may come where nothing may come, in seconds.
        connector: The connector (1.6) or EVSE (2.x) that is used.
        id_tag: The id token that is used.
        allowed: What the user allows: "allow-reset", "allow-changes".
        prompt: Asks the user to do something, and waits until it is done. ``None``: nobody is there.
        with_boot: Whether the first BootNotifications are answered Rejected and Pending, before Accepted.
    """

    wait: float = 60.0
    answer: float = 10.0
    brief: float = 2.0
    interval: int = 2
    quiet: float = 0.5
    connector: int = 1
    id_tag: str = "04A1B2C3"
    allowed: Sequence[str] = ()
    prompt: Optional[Callable[[str], object]] = None
    with_boot: bool = True


class StationPeer(Peer):
    """A charging station that connects to us. It listens from the beginning.

    Args:
        port: Where to listen. 0: any port that is free.
        host: The address to listen on.
        client_id: The identity of the station. ``None``: that of the first that connects.
        versions: The OCPP versions that are offered.
        password: The password that the station has to present. ``None``: none is asked for.
        ssl_context: The TLS of the port. ``None``: without TLS.
        client_certificate: Whether it asks the station for a certificate (security profile 3).
        settings: How it is checked.

    Raises:
        TransportError: The address cannot be had.
    """

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        client_id: Optional[str] = None,
        versions: Sequence[str] = ALL,
        password: Optional[str] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
        client_certificate: bool = False,
        settings: Optional[Settings] = None,
    ) -> None:
        self.settings: Settings = settings or Settings()
        self.replies: Dict[str, Any] = {}  # what the present case answers, by action
        self.opening: Opening = Opening(self.settings.with_boot, self.settings.interval)
        self.session: Session = Session()
        self._defaults = DefaultAnswers()
        self._haste = Haste()
        self._room: Optional[Room] = None  # that of the last case
        self._frames: Optional[Frames] = None
        self._seen_connection = 0
        tls: Dict[str, Any] = {} if ssl_context is None else {"ssl_context": ssl_context}
        self.csms: ScriptedCSMS = ScriptedCSMS(
            versions,
            port,
            host=host,
            strict=False,
            path=_PATHS,
            security_profile=0 if ssl_context is None else 3 if client_certificate else 2,
            passwords=None if password is None else partial(_is_password, password),
            within=self.settings.wait,
            start=False,
            validate="warn",
            handshake="lenient",
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_bad_messages=1_000_000,
            logger=_silent,
            **tls,
        )
        self.journal: Journal = self.csms.journal
        self.door: Door = Door(client_id, self.csms.timeline.now, self._note_refusal)
        self.csms.server.set_check_client_handler(self.door.check)
        self.csms.server.add_observer(self._note_frame)
        self.csms.server.set_new_client_handler(lambda client: self._note("<connected>"))
        self.csms.server.set_disconnected_client_handler(lambda client, close: self._note(f"<{close}>"))
        for action in _SCRIPTED:
            try:
                self.csms.reply(action, partial(self._reply, action))
            except UnsupportedFeature:
                pass  # the version has no such message
        self.csms.start()

    @property
    def url(self) -> str:
        """Where the station has to connect, without its identity."""
        return self.csms.url

    @property
    def client_id(self) -> str:
        """The identity of the station. "": none has connected yet."""
        return self.door.client_id or ""

    @property
    def connected_id(self) -> str:
        """The identity of the station, which has connected at least once."""
        assert self.door.client_id is not None
        return self.door.client_id

    def stop(self) -> None:
        """Put back what was changed for the check, close all connections, and listen no more."""
        if self._room is not None and not self.is_gone():
            with suppress(Told, PeerGone):
                self._haste.end(self._room)
        self.csms.stop()

    def __enter__(self) -> "StationPeer":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def first(self) -> str:
        """Wait until the station has connected for the first time. Return the OCPP version that it speaks.

        Raises:
            PeerGone: It has not.
        """
        wait = self.settings.wait
        found = self.csms.timeline.wait(self._find_connected, wait, self.journal.changed)
        if found is None:
            raise PeerGone(f"no station has connected within {wait:g} s{self._describe_refusals()}")
        self.name: str = found.client_id
        return found.version

    def _find_connected(self) -> Optional[Seen]:
        entries = self.journal.entries(self.door.client_id) if self.door.client_id else []
        return next((each for each in entries if each.kind == "CONNECTED" and each.version), None)

    def _describe_refusals(self) -> str:
        refused = [each for each in self.journal.entries() if each.kind == "REFUSED"]
        return f"; {len(refused)} handshakes were refused, the last with: {refused[-1].reason}" if refused else ""

    def await_connection(self) -> None:
        """Wait until the station is connected. Raises `PeerGone`."""
        wait = self.settings.wait
        try:
            self.csms.connected(wait, id=self.connected_id)
        except AssertionError:
            raise PeerGone(f"{self.client_id} has not connected again within {wait:g} s") from None

    @contextmanager
    def open(self, case: Case, version: str, frames: Frames, deadline: Deadline) -> Iterator[Room]:
        """Yield what the case is run with, when the station is connected and quiet."""
        self.replies.clear()
        self.door.open()
        self.await_connection()
        self._settle()
        room = self._room = Room(self, version, frames)
        if self.opening.is_over and "allow-changes" in self.settings.allowed:
            self._haste.begin(room)
        self._frames = frames
        try:
            yield room
        finally:
            self.replies.clear()
            self.door.open()
            self._frames = None

    def _settle(self) -> None:
        """Let what a station sends over a new connection go by."""
        entries = self.journal.entries(self.connected_id, self._seen_connection)
        begun = [each.number for each in entries if each.kind == "CONNECTED"]
        if begun and self.opening.is_over:
            self._await_quiet()
        if begun:
            self._seen_connection = begun[-1]

    def _await_quiet(self) -> None:
        timeline, last = self.csms.timeline, -1
        end = timeline.now() + self.settings.answer
        while timeline.now() < end and last != self.journal.last_number():
            last = self.journal.last_number()
            timeline.sleep(self.settings.quiet / 2)

    # What the connection tells

    def _reply(self, action: str, request: Any) -> Any:
        """Return the reply to a CALL: that of the present case, or a sensible one."""
        reply = self.replies.get(action)
        if reply is None and action == "BootNotification":
            reply = self.opening.reply
        if callable(reply) and not hasattr(reply, "to_wire"):
            reply = reply(request)
        return self._defaults.respond(request, self.csms.clock.now()) if reply is None else reply

    def _note_frame(self, frame: Frame) -> None:
        frames = self._frames
        if frames is not None:
            frames.note("station" if frame.direction == "in" else "csms", frame.text)

    def _note(self, remark: str) -> None:
        frames = self._frames
        if frames is not None:
            frames.note("", remark)

    def _note_refusal(self, client_id: str, reason: str) -> None:
        self.journal.add_event("REFUSED", client_id, reason=reason)
        self._note(f"<{reason}>")

    def sent_texts(self) -> List[Seen]:
        """Return all frames that the station has sent in the whole run."""
        return [each for each in self.journal.entries(self.connected_id) if each.direction == "in"]

    def is_gone(self) -> bool:
        """Whether the station has no connection now."""
        try:
            self.csms.server.connection(self.connected_id)
        except OcppjError:
            return True
        return False


def _is_password(expected: str, client_id: str, password: bytes) -> bool:
    """Compare a password. A station of 1.6 may send the bytes of one that is hexadecimal."""
    if passwords_match(password, expected):
        return True
    try:
        return passwords_match(password, authorization_key(expected))
    except UsageError:
        return False
