"""`StationSide`: the WebSocket server that charging stations connect to.

The handshake of a station goes on only when the central system has accepted it. So it gets the subprotocol that the
central system has chosen, or its refusal.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Callable, ClassVar, Optional, Type

from ..ws.connection.channel import WireChannel
from ..ws.connection.wire import Wire
from ..ws.handshake.http import BadRequest
from ..ws.handshake.policy import Accepted
from ..ws.handshake.request import HandshakeRequest
from ..ws.readers.base import Readers
from ..ws.server import WebSocketServer
from ..ws.serving.registry import Run
from .link import Link, LinkChannel

__all__ = ["StationSide"]


class _Handshake(threading.local):
    """The link that the handshake on this thread has opened."""

    link: Optional[Link] = None

    def forget(self) -> None:
        """Forget the link."""
        self.link = None

    def abandon(self) -> None:
        """End the link, unless it has begun."""
        if self.link is not None:
            self.link.abandon()


class StationSide(WebSocketServer):
    """Listens for stations.

    Args:
        open_link: Connects to the central system for a station. Raises `BadRequest` to refuse the station.
        join: Makes the other channel of a link, and joins both.
        refused: Called with the identity of a station, as far as it is known, and why it was refused.
        options: Those of `WebSocketServer`.
    """

    channel_type: ClassVar[Type[WireChannel]] = LinkChannel

    def __init__(
        self,
        open_link: Callable[[HandshakeRequest], Link],
        join: Callable[[Link, LinkChannel, Readers], None],
        refused: Callable[[str, str], None],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._open_link = open_link
        self._join = join
        self._refused = refused
        self._here = _Handshake()
        self._policy.negotiate = self._ask_central_system

    def make_channel(self, run: Run, accepted: Accepted, wire: Wire) -> WireChannel:
        link = self._here.link
        assert link is not None
        # Each channel has a name of its own: whether an identity may connect twice, the central system decides.
        request = replace(accepted.request, identity=link.name)
        channel = super().make_channel(run, replace(accepted, request=request), wire)
        assert isinstance(channel, LinkChannel)
        self._join(link, channel, run.readers)
        return channel

    def note_refusal(self, remote_address: str, error: BadRequest) -> None:
        super().note_refusal(remote_address, error)
        self._refused(error.identity, f"{error.status} {error.reason}")

    def _ask_central_system(self, request: HandshakeRequest) -> Accepted:
        link = self._here.link = self._open_link(request)
        return Accepted(request, link.subprotocol, link.subprotocol or "")

    def _lead(self, *arguments: Any) -> None:
        """Lead a connection to its channel. If that fails, the connection to the central system ends, too."""
        self._here.forget()
        try:
            super()._lead(*arguments)
        except BaseException:
            self._here.abandon()
            raise
        finally:
            self._here.forget()
