"""A server process that only parses JSON and answers, on the sans-I/O protocol of ``websockets`` and on orjson.

    bare_loop.py       one thread and one selector

It is the quickest server in Python that the other benchmarks compare with. It does not know OCPP. Of a request it uses
only the id and the action.
"""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any, List

import orjson
from ceiling import Loop, Pause
from harness import obey
from samples import ANSWERS
from websockets.frames import Frame
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol


class Peer:
    """One connection: a socket, and the protocol that makes and reads its bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.protocol = ServerProtocol(subprotocols=[Subprotocol("ocpp1.6")])

    def shake_hands(self) -> None:
        """Read the request of the client, and accept it."""
        events: List[Any] = []
        while not events:
            self.protocol.receive_data(self.sock.recv(4096))
            events = self.protocol.events_received()
        self.protocol.send_response(self.protocol.accept(events[0]))
        self._write()

    def receive(self) -> List[Any]:
        """Read what is there; return the texts of the messages."""
        self.protocol.receive_data(self.sock.recv(4096))
        return [event.data for event in self.protocol.events_received() if isinstance(event, Frame)]

    def send(self, text: str) -> None:
        self.send_bytes(text.encode())

    def send_bytes(self, text: bytes) -> None:
        """Send a text message that is encoded already."""
        self.protocol.send_text(text)
        self._write()

    def _write(self) -> None:
        self.sock.send(b"".join(self.protocol.data_to_send()))


class BareLoop(Loop):
    """One thread, one selector, and the protocol of ``websockets``."""

    def _accept(self) -> Peer:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock)
        peer.shake_hands()
        return peer

    def _serve(self, peer: Peer) -> None:
        for text in peer.receive():
            message = orjson.loads(text)
            if message[0] == 2:
                self._pause()
                peer.send_bytes(orjson.dumps([3, message[1], ANSWERS[message[2]]]))
            else:
                self._count_answer()


def main(seconds: str = "0", every: str = "1") -> None:
    server = BareLoop(Pause(float(seconds), int(every)))
    threading.Thread(target=server.run, daemon=True).start()
    obey(server.port, broadcast=server.broadcast)


if __name__ == "__main__":
    main(*sys.argv[1:])
