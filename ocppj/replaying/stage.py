"""`StationReplay` and `CSMSReplay`: the connections of a replay."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from ..errors import OcppjError, UsageError
from ..events import Event, Thread
from ..rpc.dialect import DIALECTS
from ..ws.base import Channel, Client, Close
from .answers import Answers
from .conversation import Conversation
from .outcome import Difference, Outcome
from .performance import Pace, Performance
from .rules import Carried, Rules

__all__ = ["CSMSReplay", "StationReplay"]

_SUBPROTOCOLS = {each.version: each.subprotocol for each in DIALECTS}
_JOIN = 5.0  # seconds that `stop` waits for each thread


def _by_client(conversations: Sequence[Conversation]) -> Dict[str, List[Conversation]]:
    found: Dict[str, List[Conversation]] = {}
    for conversation in conversations:
        found.setdefault(conversation.client_id, []).append(conversation)
    return found


class _Peer:
    """One charging station: its conversations, and what is known across them."""

    def __init__(self, conversations: List[Conversation], side: str) -> None:
        self.conversations = conversations
        self.carried = Carried()
        self.answers = Answers(conversations, side)


class StationReplay:
    """Plays the side of the stations against a central system. Each recorded connection becomes a connection.

    Each station has a thread. It begins its connections at their recorded distance, one after the other.

    Args:
        url: The URL of the central system, without the identity.
        conversations: What is played: see `read_conversations`.
        rules: What is compared.
        pace: How fast.
        make_client: Makes the transport of a station: ``f(client_id)``. ``None``: a `WebSocketClient`.
        outcome: Where the differences go. ``None``: a new one.
        version: The OCPP version to speak. ``None``: the recorded one.

    Attributes:
        outcome: What was found.

    Raises:
        UsageError: There is nothing to play, or there is no such OCPP version.
    """

    side = "station"

    def __init__(
        self,
        url: str,
        conversations: Sequence[Conversation],
        *,
        rules: Optional[Rules] = None,
        pace: Optional[Pace] = None,
        make_client: Optional[Callable[[str], Client]] = None,
        outcome: Optional[Outcome] = None,
        version: Optional[str] = None,
    ) -> None:
        _check(conversations, version)
        self.outcome: Outcome = outcome or Outcome()
        self._url = url
        self._rules, self._pace = rules or Rules(), pace or Pace()
        self._make_client = make_client or _make_client
        self._version = version
        self._first = conversations[0].begin
        self._stopped = Event()
        self._lock = threading.Lock()
        self._playing: Dict[str, Any] = {}  # by station: the performance and the transport of its connection
        peers = {name: _Peer(of_one, self.side) for name, of_one in _by_client(conversations).items()}
        self._left = len(peers)  # stations that are not at their end
        self._done = Event()
        self._threads = [
            Thread(target=self._play_all, args=(peer,), name=f"ocppj-replay-{name}", daemon=True)
            for name, peer in peers.items()
        ]

    def run(self) -> Outcome:
        """Play all conversations to their end."""
        try:
            self.start()
            self.wait()
        finally:
            self.stop()
        return self.outcome

    def start(self) -> None:
        """Begin to play."""
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until all conversations were played, or ``timeout`` seconds. Return whether they were."""
        return self._done.wait(timeout)

    def stop(self) -> Outcome:
        """End, also early. Any thread may call it."""
        self._stopped.set()
        with self._lock:
            playing = list(self._playing.values())
        for performance, client in playing:
            performance.stop()
            client.stop()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(_JOIN)
        return self.outcome

    def _play_all(self, peer: _Peer) -> None:
        try:
            self._play_in_order(peer)
        finally:
            with self._lock:
                self._left -= 1
                done = not self._left
            if done:
                self._done.set()

    def _play_in_order(self, peer: _Peer) -> None:
        for conversation in peer.conversations:
            due = self._begun + (conversation.begin - self._first).total_seconds() / self._pace.speed
            self._stopped.wait(max(0.0, due - time.monotonic()))
            if self._stopped.is_set():
                return
            self._play(conversation, peer)

    def _play(self, conversation: Conversation, peer: _Peer) -> None:
        try:
            client = self._make_client(conversation.client_id)
            self._play_over(client, conversation, peer)
        except OcppjError as error:
            if not self._stopped.is_set():
                text = f"it was not made: {error}"
                self.outcome.add(Difference("connection", conversation.client_id, conversation.connection, text=text))

    def _play_over(self, client: Client, conversation: Conversation, peer: _Peer) -> None:
        known = self._rules, self._pace, peer.carried, peer.answers, self.outcome
        performance = Performance(conversation, self.side, client.send, *known)
        client.set_message_handler(lambda channel, text: performance.receive(text))
        client.set_disconnected_handler(lambda channel, close: performance.lost(str(close)))
        client.set_connected_handler(lambda channel: None)
        with self._lock:
            self._playing[conversation.client_id] = performance, client
        if self._stopped.is_set():  # `stop` may not have seen it
            return
        try:
            subprotocol = _SUBPROTOCOLS[self._version or conversation.version]
            client.connect(self._url, conversation.client_id, [subprotocol])
            performance.play()
        finally:
            client.stop()


class CSMSReplay:
    """Plays the side of the central system against stations, which connect to it. Each thread plays a connection.

    The first connection of a station is its first recorded one, and so on. If one station was recorded, a station of
    any identity may connect.

    Args:
        conversations: What is played: see `read_conversations`.
        rules: What is compared.
        pace: How fast.
        make_server: Makes the transport. ``None``: a `WebSocketServer`.
        outcome: Where the differences go. ``None``: a new one.
        version: The OCPP version to speak. ``None``: the recorded ones.

    Attributes:
        outcome: What was found.

    Raises:
        UsageError: There is nothing to play, or there is no such OCPP version.
    """

    side = "csms"

    def __init__(
        self,
        conversations: Sequence[Conversation],
        *,
        rules: Optional[Rules] = None,
        pace: Optional[Pace] = None,
        make_server: Optional[Callable[[], Any]] = None,
        outcome: Optional[Outcome] = None,
        version: Optional[str] = None,
    ) -> None:
        _check(conversations, version)
        self.outcome: Outcome = outcome or Outcome()
        self._rules, self._pace = rules or Rules(), pace or Pace()
        versions = [version] if version else sorted({each.version for each in conversations})
        self._subprotocols = [_SUBPROTOCOLS[each] for each in versions]
        self._lock = threading.Lock()  # guards what follows
        self._peers = {name: _Peer(of_one, self.side) for name, of_one in _by_client(conversations).items()}
        self._waiting = {name: list(peer.conversations) for name, peer in self._peers.items()}
        self._left = len(conversations)  # those that are not played to their end
        self._playing: Dict[Channel, Performance] = {}
        self._threads: List[Thread] = []
        self._done = Event()
        self._server = (make_server or _make_server)()
        self._server.set_check_client_handler(lambda request: self._is_expected(request.identity))
        self._server.set_connected_handler(self._connected)
        self._server.set_message_handler(self._receive)
        self._server.set_disconnected_handler(self._disconnected)

    def listen(self, port: int, host: str = "127.0.0.1") -> str:
        """Listen, and return the URL.

        Raises:
            TransportError: It cannot listen there.
        """
        self._server.listen(port, ["/{id}", "/ocpp/{id}"], host, self._subprotocols)
        url: str = self._server.url
        return url

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until all conversations were played, or ``timeout`` seconds. Return whether they were."""
        return self._done.wait(timeout)

    def stop(self) -> Outcome:
        """End, also early. Conversations that no station has come for are differences."""
        with self._lock:
            playing = list(self._playing.values())
            rest = [each for conversations in self._waiting.values() for each in conversations]
            self._waiting = {name: [] for name in self._waiting}
        for each in rest:
            self.outcome.add(Difference("connection", each.client_id, each.connection, text="no station came for it"))
        for performance in playing:
            performance.stop()
        self._server.stop()
        with self._lock:
            threads = list(self._threads)  # a station may have connected meanwhile
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN)
        self._done.set()
        return self.outcome

    def _name_of(self, identity: str) -> str:
        """Return the recorded station that one of this identity stands for."""
        return next(iter(self._peers)) if len(self._peers) == 1 else identity

    def _is_expected(self, identity: str) -> bool:
        with self._lock:
            return bool(self._waiting.get(self._name_of(identity)))

    def _connected(self, channel: Channel) -> None:
        name = self._name_of(channel.id)
        with self._lock:
            performance = self._begin(name, channel)
        if performance is None:
            channel.close(1008, "the recording has no more connections of this station")
            return
        thread = Thread(target=self._play, args=(channel, performance), name=f"ocppj-replay-{name}", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _begin(self, name: str, channel: Channel) -> Optional[Performance]:
        """Take the next conversation of a station. ``None``: there is no more. The lock is held."""
        waiting, peer = self._waiting.get(name), self._peers.get(name)
        if not waiting or peer is None:
            return None
        known = self._rules, self._pace, peer.carried, peer.answers, self.outcome
        performance = self._playing[channel] = Performance(waiting.pop(0), self.side, channel.send, *known)
        return performance

    def _receive(self, channel: Channel, text: str) -> None:
        performance = self._playing.get(channel)
        if performance is not None:
            performance.receive(text)

    def _disconnected(self, channel: Channel, close: Close) -> None:
        with self._lock:
            performance = self._playing.get(channel)
        if performance is not None:
            performance.lost(str(close))

    def _play(self, channel: Channel, performance: Performance) -> None:
        try:
            performance.play()
        finally:
            channel.close()
            with self._lock:
                self._playing.pop(channel, None)
                self._left -= 1
                done = not self._left
            if done:
                self._done.set()


def _check(conversations: Sequence[Conversation], version: Optional[str]) -> None:
    if not conversations:
        raise UsageError("there is nothing to play: the recording has no connection")
    wanted = {version} if version else {each.version for each in conversations}
    unknown = sorted(each for each in wanted if each not in _SUBPROTOCOLS)
    if unknown:
        raise UsageError(f"OCPP {unknown[0]} cannot be played; known are {', '.join(_SUBPROTOCOLS)}")


def _make_client(client_id: str) -> Client:
    from ..ws.client import WebSocketClient

    return WebSocketClient(reconnect=False)


def _make_server() -> Any:
    from ..ws.server import WebSocketServer

    return WebSocketServer()
