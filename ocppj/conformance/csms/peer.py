"""`CentralSystem`: the central system that is checked. `Room`: what a case is run with."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ...testing.rules import FrameJudge
from ...ws.handshake.credentials import client_headers
from ...ws.handshake.urls import connection_url
from ..cases import ALL, Case
from ..deadline import Deadline
from ..outcomes import Frames
from ..runner import Peer
from ..verdicts import Doubtful, Failed, NotApplicable, PeerGone
from .link import Link, Patience
from .samples import DIALECT_OF, Samples
from .wire import Ended, Opened, dial

__all__ = ["CentralSystem", "Room"]

Fields = Mapping[str, Union[str, Sequence[str], None]]


class CentralSystem(Peer):
    """A central system somewhere else.

    Args:
        url: Its endpoint, without the identity.
        identity: The identity of the station that we are.
        password: For Basic authentication. ``None``: none.
        tls: For ``wss``. ``None``: the system's authorities are trusted.
        has_certificate: Whether ``tls`` has a certificate of the station.

    Attributes:
        faults: Which rules its frames broke, by the version.
        judges: The judge of the last connection of each version.
        calls: How many CALLs it has sent, by the version.
        patience: How long its answers are waited for.
    """

    def __init__(
        self,
        url: str,
        identity: str,
        *,
        password: Optional[str] = None,
        tls: Optional[ssl.SSLContext] = None,
        has_certificate: bool = False,
    ) -> None:
        self.has_certificate = has_certificate
        self.endpoint: str = url.rstrip("/")
        self.identity = identity
        self.password = password
        self.tls = tls
        self.url: str = connection_url(url, identity)
        self.name: str = self.url
        self.faults: Dict[str, List[str]] = {version: [] for version in ALL}
        self.judges: Dict[str, FrameJudge] = {}
        self.calls: Dict[str, int] = dict.fromkeys(ALL, 0)
        self.patience: Patience = Patience()

    @contextmanager
    def open(self, case: Case, version: str, frames: Frames, deadline: Deadline) -> "Iterator[Room]":
        """Give the case a room. Its connections are closed afterwards."""
        room = Room(self, version, frames, deadline)
        try:
            yield room
        finally:
            room.close()

    def judge(self, version: str) -> FrameJudge:
        """Return the judge of a new connection. It knows the message ids of the ones before."""
        before = self.judges.get(version)
        judge = FrameJudge(version) if before is None else before.next_connection()
        self.judges[version] = judge
        return judge

    def versions(self) -> List[str]:
        """Return the OCPP versions that the central system speaks.

        Raises:
            PeerGone: It cannot be reached, or it refuses the station.
        """
        spoken = []
        opened = Opened(0, {}, None)
        for version in ALL:
            room = Room(self, version, Frames(), Deadline(20.0))
            try:
                opened = room.dial()
                if opened.status == 401:  # each attempt would count as a guess
                    break
                if opened.subprotocol == DIALECT_OF[version].subprotocol:
                    spoken.append(version)
            except Failed as error:
                raise PeerGone(f"{self.url}: {error}") from None
            finally:
                room.close()
        if not spoken:
            raise PeerGone(self._why_refused(opened))
        return spoken

    def _why_refused(self, opened: Opened) -> str:
        more = {
            0: "it did not answer the handshake",
            101: "it agreed to none of ocpp1.6, ocpp2.0.1 and ocpp2.1",
            401: "it answered 401: give the password of the station by --password",
            404: "it answered 404: it does not know this identity, or this path",
        }
        return f"{self.url}: {more.get(opened.status, f'it answered the handshake with {opened.status}')}"


class Room:
    """What a case for central systems is run with.

    Attributes:
        peer: The central system.
        version: The OCPP version of the case.
        samples: Valid payloads.
        frames: Where frames are noted.
        deadline: Until when the case may wait.
    """

    def __init__(self, peer: CentralSystem, version: str, frames: Frames, deadline: Deadline) -> None:
        self.peer = peer
        self.version = version
        self.samples: Samples = Samples(version)
        self.frames = frames
        self.deadline = deadline
        self._links: List[Link] = []
        self._opened: List[Opened] = []

    @property
    def subprotocol(self) -> str:
        """The subprotocol of the version."""
        return DIALECT_OF[self.version].subprotocol

    def dial(self, fields: Optional[Fields] = None, *, url: Optional[str] = None, method: str = "GET") -> Opened:
        """Send a handshake, and return how it was answered. The connection is closed when the case is over.

        Args:
            fields: Header fields in place of the usual ones. ``None`` as a value: that field is left out.
            url: Where to. ``None``: the connection URL of the station.
            method: The HTTP method.
        """
        usual: Dict[str, Union[str, Sequence[str], None]] = {"Sec-WebSocket-Protocol": self.subprotocol}
        usual.update(self.credentials())
        opened = dial(
            url or self.peer.url, {**usual, **(fields or {})}, self.frames, self.deadline, self.peer.tls, method
        )
        self._opened.append(opened)
        return opened

    def credentials(self) -> Dict[str, str]:
        """Return the header field with the password of the station, if it has one."""
        if self.peer.password is None:
            return {}
        return client_headers(None, (self.peer.identity, self.peer.password))

    def link(self, fields: Optional[Fields] = None, *, boot: bool = True) -> Link:
        """Connect, and boot.

        Args:
            fields: As for `dial`.
            boot: Whether to send a BootNotification first.

        Raises:
            Failed: The handshake is refused.
            Doubtful: It is refused while another connection of the case is open. The documents leave that open.
            NotApplicable: The boot is not accepted.
        """
        opened = self.dial(fields)
        if opened.status in (429, 503):
            raise Doubtful(f"the handshake was answered with {opened.status}: the central system limits connections")
        if opened.wire is None and opened.status and any(each.wire.is_open for each in self._links):
            raise Doubtful(
                f"a second connection of the station was refused with {opened.status}: if the first one is half open, "
                "the station waits until the central system sees that"
            )
        if opened.wire is None:
            raise Failed(f"the handshake was answered with {opened.status or 'nothing'}")
        judge, faults = self.peer.judge(self.version), self.peer.faults[self.version]
        link = Link(opened.wire, judge, self.samples, faults, self.peer.patience)
        self._links.append(link)
        if boot:
            link.boot()
        return link

    def need_password(self) -> Tuple[str, str]:
        """Return identity and password.

        Raises:
            NotApplicable: None was given.
        """
        if self.peer.password is None:
            raise NotApplicable("no --password was given")
        return self.peer.identity, self.peer.password

    def check_served(self) -> None:
        """Check that a new connection is served.

        Raises:
            Failed: It is not.
        """
        try:
            self.link().check_alive()
        except (Failed, Ended) as error:
            raise Failed(f"afterwards a new connection is not served: {error}") from None

    def close(self) -> None:
        """Close all connections of the case."""
        for link in self._links:
            self.peer.calls[self.version] += len(link.calls)
        for opened in self._opened:
            if opened.wire is not None:
                opened.wire.close(self.peer.patience.at_most(1.0))
