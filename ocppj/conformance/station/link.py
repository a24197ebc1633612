"""`Link`: the central system that the charging station is connected to, and what is known of the connection."""

from __future__ import annotations

import logging
import ssl
from contextlib import contextmanager
from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Sequence

from ...errors import OcppjError, UnsupportedFeature, UsageError
from ...exchange.frame import Frame
from ...exchange.passwords import authorization_key, passwords_match
from ...testing.csms import ScriptedCSMS
from ...testing.defaults import DefaultAnswers
from ...testing.journal import Journal
from ...testing.seen import Seen
from ..cases import ALL
from ..outcomes import Frames
from ..verdicts import PeerGone
from .door import Door
from .opening import Opening
from .session import Session
from .settings import Settings

__all__ = ["CLOSE_TIMEOUT", "Link"]

#: How long a station may take to answer a Close, in seconds.
CLOSE_TIMEOUT = 2.0
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


class Link:
    """The central system that a charging station connects to. It listens from the beginning.

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
        settings: Settings,
    ) -> None:
        self.settings: Settings = settings
        self.replies: Dict[str, Any] = {}  # what the present case answers, by action
        self.opening: Opening = Opening(self.settings.with_boot, self.settings.interval)
        self.session: Session = Session()
        self._defaults = DefaultAnswers()
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
        """Close all connections, and listen no more."""
        self.csms.stop()

    def first(self) -> Seen:
        """Wait until the station has connected for the first time. Return the entry of that.

        Raises:
            PeerGone: It has not.
        """
        wait = self.settings.wait
        found = self.csms.timeline.wait(self._find_connected, wait, self.journal.changed)
        if found is None:
            raise PeerGone(f"no station has connected within {wait:g} s{self._describe_refusals()}")
        return found

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
    def noting(self, frames: Frames) -> Iterator[None]:
        """Note frames in a block. After it, nothing that was changed for it stays."""
        self._frames = frames
        try:
            yield
        finally:
            self._frames = None
            self.reset()

    def reset(self) -> None:
        """Answer as usual again, and let the station in."""
        self.replies.clear()
        self.door.open()

    def settle(self) -> bool:
        """Let what a station sends over a new connection go by. Return whether there is a new one since last time."""
        entries = self.journal.entries(self.connected_id, self._seen_connection)
        begun = [each.number for each in entries if each.kind == "CONNECTED"]
        if begun and self.opening.is_over:
            self._await_quiet()
        if begun:
            self._seen_connection = begun[-1]
        return bool(begun)

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
