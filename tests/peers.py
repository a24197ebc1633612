"""Both transports, and peers that speak text: for what an `ocppj` endpoint would never send."""

import json
import queue
import threading
from contextlib import suppress
from typing import Any, Dict, Iterable, Optional, Sequence

from ocppj import TransportError
from ocppj.ws.client import WebSocketClient
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.server import WebSocketServer
from tests.helpers import seconds


class Sockets:
    """Real sockets on loopback."""

    name = "sockets"

    def server(self, **options: Any) -> WebSocketServer:
        return WebSocketServer(**options)

    def client(self, **options: Any) -> WebSocketClient:
        return WebSocketClient(**options)


class Memory:
    """The in-memory transport."""

    name = "memory"

    def __init__(self) -> None:
        self.network = MemoryNetwork()

    def server(self, **options: Any) -> Any:
        return self.network.server(**options)

    def client(self, **options: Any) -> Any:
        return self.network.client(**options)


class _Raw:
    def __init__(self) -> None:
        self.texts: "queue.Queue[str]" = queue.Queue()
        self.closed = threading.Event()
        self.close: Any = None

    def send(self, frame: Any) -> None:
        raise NotImplementedError

    def send_until_closed(self, frames: Iterable[Any]) -> Any:
        """Send ``frames`` to an endpoint that closes the connection because of one of them; return its Close.

        The Close may come while there are frames to send. No frame can be sent after it.
        """
        with suppress(TransportError):
            for frame in frames:
                self.send(frame)
        return self.wait_closed()

    def _take(self, channel: Any, text: str) -> None:
        self.texts.put(text)

    def _end(self, channel: Any, close: Any) -> None:
        self.close = close
        self.closed.set()

    def receive(self, timeout: float = 10.0) -> Any:
        """Return the next frame, as JSON."""
        return json.loads(self.texts.get(timeout=seconds(timeout)))

    def receive_by_id(self, *ids: str) -> Dict[str, Any]:
        """Return the next frames by their message id; they may come in any order."""
        frames = [self.receive() for _ in ids]
        return {frame[1]: frame for frame in frames}

    def wait_closed(self, timeout: float = 10.0) -> Any:
        assert self.closed.wait(seconds(timeout)), "the connection was not closed"
        return self.close

    def nothing_came(self) -> bool:
        return self.texts.empty()


class RawClient(_Raw):
    """A charge point that says what it is told to."""

    def __init__(
        self, transport: Any, url: str, identity: str = "CP_1", subprotocols: Sequence[str] = ("ocpp1.6",)
    ) -> None:
        super().__init__()
        self.ws = transport.client()
        self.ws.reconnect = False
        self.ws.set_connected_handler(lambda channel: None)
        self.ws.set_message_handler(self._take)
        self.ws.set_disconnected_handler(self._end)
        self.ws.connect(url, identity, subprotocols)

    def send(self, frame: Any) -> None:
        """Send ``frame``: text as it is, anything else as JSON."""
        self.ws.send(frame if isinstance(frame, str) else json.dumps(frame))

    def ask(self, frame: Any) -> Any:
        """Send ``frame`` and return what comes next."""
        self.send(frame)
        return self.receive()

    def stop(self) -> None:
        self.ws.stop()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()


class RawServer(_Raw):
    """A central system that says what it is told to."""

    def __init__(self, transport: Any, subprotocols: Sequence[str] = ("ocpp1.6",)) -> None:
        super().__init__()
        self.ws = transport.server()
        self.connected = threading.Semaphore(0)
        self.channel: Any = None
        self.ws.set_connected_handler(self._begin)
        self.ws.set_message_handler(self._take)
        self.ws.set_disconnected_handler(self._end)
        self.ws.listen(0, "/{id}", "127.0.0.1", subprotocols)
        self.url = self.ws.url

    def _begin(self, channel: Any) -> None:
        self.channel = channel
        self.connected.release()

    def wait_connected(self) -> None:
        assert self.connected.acquire(timeout=seconds(10))

    def send(self, frame: Any, channel: Optional[Any] = None) -> None:
        (channel or self.channel).send(frame if isinstance(frame, str) else json.dumps(frame))

    def ask(self, frame: Any) -> Any:
        self.send(frame)
        return self.receive()

    def stop(self) -> None:
        self.ws.stop()

    def __enter__(self) -> "RawServer":
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()
