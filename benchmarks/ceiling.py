"""A server process that only parses JSON and answers. It shows what simple-websocket allows at best.

    ceiling.py loop       one thread and one selector; simple-websocket's protocol without its threads
    ceiling.py threads    simple-websocket unchanged: ``receive()`` in a thread for each connection

The first is the upper bound of every server on this library in one interpreter. The second is the upper bound of every
server with a thread for each connection. Neither knows OCPP: of a request they use only the id and the action.
`bare_loop.py` is the same as the first on another library, which reads and writes frames faster.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import threading
import time
import uuid
from typing import Any, Dict, List

import simple_websocket
from harness import obey, percentiles
from samples import ANSWERS

_encode = json.JSONEncoder(separators=(",", ":")).encode


class _NoThread:
    name = ""

    def __init__(self, target: Any) -> None:
        pass

    def start(self) -> None:
        pass


def listen() -> socket.socket:
    """Return a listening socket on a free port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    return listener


def accept(listener: socket.socket, thread_class: Any) -> Any:
    """Accept a connection and do its handshake; return simple-websocket's object for it."""
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(4096)
    environ: Dict[str, Any] = {"werkzeug.socket": sock}
    for line in head.decode("latin-1").split("\r\n")[1:-2]:
        name, _, value = line.partition(": ")
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    return simple_websocket.Server(environ, subprotocols=["ocpp1.6"], thread_class=thread_class)


def answer(text: str, pause: "Pause") -> str:
    """Return the answer to a CALL."""
    _, message_id, action, _ = json.loads(text)
    pause()
    return _encode([3, message_id, ANSWERS[action]])


class Pause:
    """Sleep for ``seconds`` in one of ``every`` handlers; never if ``seconds`` is 0."""

    def __init__(self, seconds: float = 0.0, every: int = 1) -> None:
        self._seconds = seconds
        self._every = every
        self._count = 0

    def __call__(self) -> None:
        if self._seconds and self.due():
            time.sleep(self._seconds)

    def due(self) -> bool:
        """Count one handler; return whether it sleeps."""
        self._count += 1  # two threads may count as one: this is good enough for a benchmark
        return self._count % self._every == 0


class Loop:
    """One thread, one selector."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self._listener = listen()
        self._listener.setblocking(False)
        self._open: List[Any] = []
        self._waits = 0  # the number of answers still to come
        self._answered = threading.Event()
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve for ever."""
        selector = selectors.DefaultSelector()
        selector.register(self._listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    self._serve(key.data)
                    continue
                peer = self._accept()
                peer.sock.setblocking(False)
                selector.register(peer.sock, selectors.EVENT_READ, peer)
                self._open.append(peer)

    def _accept(self) -> Any:
        return accept(self._listener, _NoThread)

    def _serve(self, peer: Any) -> None:
        peer.ws.receive_data(peer.sock.recv(4096))
        peer._handle_events()
        for text in peer.input_buffer:
            if text.startswith("[2,"):
                peer.send(answer(text, self._pause))
                continue
            json.loads(text)
            self._count_answer()
        peer.input_buffer.clear()

    def _count_answer(self) -> None:
        self._waits -= 1
        if not self._waits:
            self._answered.set()

    def broadcast(self, times: int) -> Dict[str, float]:
        """Send a CALL to every client; return the seconds until all had answered, and the number of clients."""
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            self._answered.clear()
            self._waits = len(self._open)
            for peer in self._open:
                peer.send(_encode([2, str(uuid.uuid4()), "ClearCache", {}]))
            if not self._answered.wait(60):
                raise TimeoutError(f"{self._waits} clients did not answer")
            taken.append(time.perf_counter() - begun)
        return {"seconds": sorted(taken)[len(taken) // 2], "clients": len(self._open)}


class Threads:
    """Two threads for each connection: one of ours, and one of simple-websocket."""

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self._listener = listen()
        self.port = self._listener.getsockname()[1]
        self._last: Any = None
        self._accepted = threading.Event()

    def run(self) -> None:
        """Serve for ever."""
        while True:
            self._last = peer = accept(self._listener, threading.Thread)
            self._accepted.set()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: Any) -> None:
        while True:
            peer.send(answer(peer.receive(), self._pause))


class Caller(Threads):
    """Only the caller receives: a bare round trip from the server's side."""

    def _serve(self, peer: Any) -> None:
        pass

    def call(self, times: int) -> Dict[str, float]:
        """Send a CALL and receive its answer, again and again; return latencies in ms."""
        self._accepted.wait(10)
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            message_id = str(uuid.uuid4())
            self._last.send(_encode([2, message_id, "ClearCache", {}]))
            if json.loads(self._last.receive(timeout=10))[1] != message_id:
                raise ValueError("a wrong answer")
            taken.append(time.perf_counter() - begun)
        p50, p99 = percentiles(taken)
        return {"p50": p50, "p99": p99}


def main(kind: str, seconds: str = "0", every: str = "1") -> None:
    pause = Pause(float(seconds), int(every))
    kinds: Dict[str, Any] = {"loop": Loop, "threads": Threads, "caller": Caller}
    server = kinds[kind](pause)
    threading.Thread(target=server.run, daemon=True).start()
    obey(server.port, **{name: getattr(server, name) for name in ("broadcast", "call") if hasattr(server, name)})


if __name__ == "__main__":
    main(*sys.argv[1:])
