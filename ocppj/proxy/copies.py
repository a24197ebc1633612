"""`Copies`: the connection of one station to one observer.

Frames wait for it in a queue. Nothing of that holds the station or its central system up: if the queue is full, the
oldest frame in it is dropped.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Deque, Optional

from ..errors import OcppjError, TransportError
from ..events import Event
from ..log_limit import LimitedLog
from ..payloads.jsontext import encode
from ..rpc.frames import read_frame_head
from ..rpc.messages import MessageType
from ..settings import LoggerLike
from ..ws.backoff import Backoff
from ..ws.base import Channel, Close
from ..ws.client import WebSocketClient
from ..ws.handshake.urls import place
from ..ws.readers.base import Readers
from .addressing import without_identity
from .observer import PASS_CALLS, Observer
from .relay import Relay
from .tally import Tally

__all__ = ["Copies"]

_EACH = 200  # what a frame costs beside its characters
_GOING_AWAY = 1001


class Copies:
    """The connection of one station to one observer."""

    def __init__(
        self,
        observer: Observer,
        client_id: str,
        relay: Optional[Relay],
        readers: Readers,
        tally: Tally,
        log: LimitedLog,
        ping_interval: Optional[float],
        logger: Optional[LoggerLike],
    ) -> None:
        self._observer = observer
        self._place = place(observer.url)
        self._client_id = client_id
        self._relay = relay
        self._tally = tally
        self._log = log
        self._lock = threading.Lock()  # guards the fields below
        self._queue: Deque[str] = deque()
        self._size = 0
        self._is_sending = False  # a job that sends the first of the queue runs, or will
        self._missed = 0  # since the observer was last connected
        self._all_sent = Event()  # the queue is empty, and no job sends
        self._all_sent.set()
        self._client = WebSocketClient(
            ssl_context=observer.ssl_context,
            headers=observer.headers,
            basic_auth=partial(observer.basic_auth, client_id),
            backoff=observer.backoff or Backoff(),
            readers=readers,
            ping_interval=ping_interval,
        )
        self._client.set_logger(logger, client_id)
        self._client.set_connected_handler(self._connected)
        self._client.set_message_handler(self._receive)
        self._client.set_disconnected_handler(self._disconnected)

    def start(self, path: str, subprotocol: str) -> None:
        """Connect, on a thread, until that succeeds. ``path`` is that of the station."""
        url = without_identity(self._observer.url, path)
        self._client.connect(url, self._client_id, [subprotocol], retry=True, wait=False)

    def stop(self, patience: float) -> None:
        """Give the observer ``patience`` seconds to take what waits, end the connection, and wait (bounded)."""
        if self._client.get_channel() is not None:
            self._all_sent.wait(patience)
        self._client.stop(_GOING_AWAY, "")
        with self._lock:
            left, self._size = len(self._queue), 0
            self._queue.clear()
        if left:
            self._tally.add("missed", left)
            words = "%s: it is gone, and the observer %s misses its last %d frames"
            self._log.warning(words, self._client_id, self._place, left, client_id=self._client_id)

    def offer(self, text: str) -> None:
        """Have a frame sent. Returns at once."""
        missed = 0
        with self._lock:
            self._all_sent.clear()
            self._queue.append(text)
            self._size += len(text) + _EACH
            missed = self._drop_oldest()
            self._missed += missed
            first = missed > 0 and self._missed == missed
        if missed:
            self._tally.add("missed", missed)
        if first:
            words = "%s: the observer %s is away or slow, and misses frames"
            self._log.warning(words, self._client_id, self._place, client_id=self._client_id)
        self._send_on()

    def _drop_oldest(self) -> int:
        """Drop frames until there is room, but not the newest; return how many. The lock is held."""
        count = 0
        while self._size > self._observer.max_waiting and len(self._queue) > 1:
            self._size -= len(self._queue.popleft()) + _EACH
            count += 1
        return count

    def _send_on(self) -> None:
        """Have a job send the first of the queue, unless one does, or there is no connection."""
        channel = self._client.get_channel()
        with self._lock:
            if channel is None or self._is_sending or not self._queue:
                return
            self._is_sending = True
        try:
            channel.submit(partial(self._send_first, channel))
        except RuntimeError:  # no thread is left
            with self._lock:
                self._is_sending = False

    def _send_first(self, channel: Channel) -> None:
        """Send the first of the queue: a job of the channel. One job, one frame: the next waits for room."""
        with self._lock:
            text = self._queue.popleft() if self._queue else None
            if text is not None:
                self._size -= len(text) + _EACH
        try:
            if text is not None:
                channel.send(text)
                self._tally.add("copied")
        except TransportError:
            self._put_back(text)
        finally:
            with self._lock:
                self._is_sending = False
                if not self._queue:
                    self._all_sent.set()
        self._send_on()

    def _put_back(self, text: Optional[str]) -> None:
        if text is not None:
            with self._lock:
                self._queue.appendleft(text)
                self._size += len(text) + _EACH

    def _connected(self, channel: Channel) -> None:
        with self._lock:
            missed, self._missed = self._missed, 0
        if missed:
            words = "%s: the observer %s is back; it has missed %d frames"
            self._log.warning(words, self._client_id, self._place, missed, client_id=self._client_id)
        channel.submit(self._send_on)

    def _disconnected(self, channel: Channel, close: Close) -> None:
        self._log.info("%s: the connection to the observer %s was %s", self._client_id, self._place, close)

    def _receive(self, channel: Channel, text: str) -> None:
        """Take what the observer sends. Its answers are for nobody: the station gets those of the central system."""
        head = read_frame_head(text)
        if head.message_type is not MessageType.CALL or head.message_id is None or self._observer.calls == "drop":
            return
        passes = self._relay is not None and self._observer.calls == PASS_CALLS
        if passes and self._relay is not None and self._relay.call(text, partial(_answer, channel)):
            return
        story = "too many CALLs wait" if passes else "an observer makes no CALLs"
        _answer(channel, encode([4, head.message_id, "SecurityError", story, {}]))


def _answer(channel: Channel, text: str) -> None:
    """Have an answer sent to the observer. Returns at once."""
    with suppress(RuntimeError):  # no thread is left
        channel.submit(partial(_send_quietly, channel, text))


def _send_quietly(channel: Channel, text: str) -> None:
    try:
        channel.send(text)
    except OcppjError:
        return  # the observer has gone
