"""The three handlers of a transport, kept and called in one place: what they raise is logged and changes nothing.

That is so for ``SystemExit`` and its like too: they would end a thread of ours, and nobody would hear of it. Only
Ctrl-C goes on to whom it is for, the main thread, when that is what connects.
"""

from __future__ import annotations

import threading
from typing import Callable, Optional

from ...settings import get_logger
from ..base import Channel, ChannelHandler, Close, DisconnectedHandler, MessageHandler

__all__ = ["Handlers", "report"]


class Handlers:
    """What a transport calls."""

    def __init__(self) -> None:
        self._connected: Optional[ChannelHandler] = None
        self._message: Optional[MessageHandler] = None
        self._disconnected: Optional[DisconnectedHandler] = None

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        """Set what is called for each new channel."""
        self._connected = handler

    def set_message_handler(self, handler: MessageHandler) -> None:
        """Set what is called for each text frame."""
        self._message = handler

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        """Set what is called when a channel has ended."""
        self._disconnected = handler

    def connected(self, channel: Channel) -> None:
        """Call the handler of new channels."""
        handler = self._connected
        if handler is not None:
            _guarded(channel, "connected", lambda: handler(channel))

    def message(self, channel: Channel, text: str) -> None:
        """Call the handler of text frames."""
        handler = self._message
        if handler is not None:
            try:
                handler(channel, text)
            except BaseException as error:
                report(channel.id, "message", error)

    def disconnected(self, channel: Channel, close: Close) -> None:
        """Call the handler of ended channels."""
        handler = self._disconnected
        if handler is not None:
            _guarded(channel, "disconnected", lambda: handler(channel, close))


def _guarded(channel: Channel, name: str, call: Callable[[], None]) -> None:
    try:
        call()
    except BaseException as error:
        report(channel.id, name, error)


def report(client_id: str, name: str, error: BaseException) -> None:
    """Log what the handler ``name`` raised; Ctrl-C goes on if this is the main thread."""
    get_logger().error("%s: the %s handler failed", client_id, name, exc_info=error)
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
