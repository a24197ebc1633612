"""`StationPeer`: waits for the charging station that is checked, and gives each case its `Room`."""

from __future__ import annotations

import ssl
from contextlib import contextmanager, suppress
from typing import Iterator, Optional, Sequence

from ..cases import ALL, Case
from ..deadline import Deadline
from ..outcomes import Frames
from ..runner import Peer
from ..verdicts import PeerGone, Told
from .haste import Haste
from .link import Link
from .room import Room
from .settings import Settings

__all__ = ["Settings", "StationPeer"]


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
        self._link = Link(
            port,
            host,
            client_id=client_id,
            versions=versions,
            password=password,
            ssl_context=ssl_context,
            client_certificate=client_certificate,
            settings=settings or Settings(),
        )
        self._haste = Haste()
        self._room: Optional[Room] = None  # that of the last case

    @property
    def url(self) -> str:
        """Where the station has to connect, without its identity."""
        return self._link.url

    @property
    def settings(self) -> Settings:
        """How the station is checked."""
        return self._link.settings

    def first(self) -> str:
        """Wait until the station has connected for the first time. Return the OCPP version that it speaks.

        Raises:
            PeerGone: It has not.
        """
        found = self._link.first()
        self.name: str = found.client_id
        return found.version

    @contextmanager
    def open(self, case: Case, version: str, frames: Frames, deadline: Deadline) -> Iterator[Room]:
        """Yield what the case is run with, when the station is connected and quiet."""
        link = self._link
        link.reset()
        link.await_connection()
        is_new = link.settle()
        room = self._room = Room(link, version, frames)
        if is_new and link.opening.is_over:
            room.greet()
        if link.opening.is_over and "allow-changes" in link.settings.allowed:
            self._haste.begin(room)
        room.begun = room.now()
        with link.noting(frames):
            yield room

    def stop(self) -> None:
        """Put back what was changed for the check, close all connections, and listen no more."""
        if self._room is not None and not self._link.is_gone():
            with suppress(Told, PeerGone):
                self._haste.end(self._room)
        self._link.stop()

    def __enter__(self) -> "StationPeer":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
