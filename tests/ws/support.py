"""What the transport tests share: three transports, recorded handlers, and peers that speak raw bytes."""

import base64
import os
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

from ocppj.ws.backoff import Backoff
from ocppj.ws.client import WebSocketClient
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder, eventually, seconds
from tests.peers import Sockets

DATA = Path(__file__).parent / "data"
OCPP = ["ocpp2.0.1", "ocpp1.6"]
PATH = "/ocpp/{id}"


def server_context(client_certificates: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "server.pem")
    if client_certificates:
        context.load_verify_locations(DATA / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(DATA / "ca.pem"))
    if certificate:
        context.load_cert_chain(DATA / "client.pem")
    return context


class Tls(Sockets):
    name = "tls"

    def server(self, **options: Any) -> Any:
        return WebSocketServer(ssl_context=server_context(), **options)

    def client(self, **options: Any) -> Any:
        return WebSocketClient(ssl_context=client_context(), **options)


class Log:
    """Records what a transport calls, and calls on: ``on_connected`` and so on may be set."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.connected, self.message, self.disconnected = Recorder(), Recorder(), Recorder()
        self.on_connected: Callable[..., Any] = lambda channel: None
        self.on_message: Callable[..., Any] = lambda channel, text: None
        self.on_disconnected: Callable[..., Any] = lambda channel, close: None
        transport.set_connected_handler(lambda *a: (self.connected(*a), self.on_connected(*a)))
        transport.set_message_handler(lambda *a: (self.message(*a), self.on_message(*a)))
        transport.set_disconnected_handler(lambda *a: (self.disconnected(*a), self.on_disconnected(*a)))

    @property
    def texts(self) -> List[str]:
        return [text for _, text in self.message.calls]

    def wait_texts(self, count: int, timeout: float = 10.0) -> List[str]:
        return [text for _, text in self.message.wait(count, timeout)]

    def close(self, timeout: float = 10.0) -> Any:
        """The `Close` of the first channel that ended."""
        return self.disconnected.wait(1, timeout)[0][1]

    def channel(self) -> Any:
        return self.connected.wait(1)[0][0]


NO_WAIT = Backoff(0.0, 0.0, 0)


class Pair:
    """Makes servers and clients of one transport, and stops them in the end."""

    def __init__(self, transport, readers):
        self.name = transport.name
        self.readers = readers
        self._transport = transport
        self._made = []

    def server(self, listen=True, subprotocols=OCPP, **options):
        options.setdefault("close_timeout", seconds(5))
        options.setdefault("readers", self.readers)
        server = self._transport.server(**options)
        self._made.append(server)
        log = Log(server)
        if listen:
            server.listen(0, PATH, "127.0.0.1", subprotocols)
        return server, log

    def client(self, url=None, identity="CP_1", subprotocols=OCPP, **options):
        options.setdefault("reconnect", False)
        options.setdefault("close_timeout", seconds(5))
        options.setdefault("readers", self.readers)
        client = self._transport.client(**options)
        self._made.append(client)
        log = Log(client)
        if url is not None:
            client.connect(url, identity, subprotocols)
        return client, log

    def both(self, **options):
        server, server_log = self.server(**options)
        client, client_log = self.client(server.url)
        return server, server_log, client, client_log

    def stop(self):
        for made in self._made:
            made.stop()


class RawClient:
    """A TCP client that says what it likes."""

    def __init__(self, url: str, timeout: float = 10.0, receive_buffer: Optional[int] = None) -> None:
        host, port = url.split("/")[2].rsplit(":", 1)
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(seconds(timeout))
        self.sock.connect((host, int(port)))
        self.buffer = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: Any) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def upgrade(self, path: str = "/ocpp/CP_1", **headers: str) -> str:
        """Shake hands; return the head of the answer."""
        self.send(request(path, **headers))
        return self.read_head()

    def read_head(self) -> str:
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                break
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def read(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self._more():
                raise EOFError(self.buffer)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_frame(self) -> Tuple[int, bytes]:
        """Return opcode and payload of the next frame, whatever its other bits."""
        first, second = self.read(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read(8))
        mask = self.read(4) if second & 0x80 else b"\0\0\0\0"
        data = self.read(size)
        return first & 0x0F, xor(data, mask)

    def read_close(self) -> int:
        """Return the code of the Close frame that comes, and expect the end of the connection after it."""
        opcode, data = self.read_frame()
        while opcode != 8:
            opcode, data = self.read_frame()
        return struct.unpack("!H", data[:2])[0] if data else 1005

    def at_end(self) -> bool:
        """Wait for the end of the connection."""
        try:
            while self._more():
                pass
        except ConnectionError:
            pass
        return True

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)


class RawServer(RawClient):
    """A TCP server for one client at a time, that says what it likes: ``script(peer)`` runs on a thread."""

    def __init__(self, script: Callable[["RawServer"], Any], receive_buffer: Optional[int] = None) -> None:
        self.listener = socket.socket()
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(5)
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/ocpp"
        self.buffer = b""
        self.requests: List[str] = []
        self.done = threading.Event()
        self.error: Optional[BaseException] = None
        self.sock: Any = None
        self.thread = threading.Thread(target=self._run, args=(script,), daemon=True)
        self.thread.start()

    def _run(self, script: Callable[["RawServer"], Any]) -> None:
        try:
            self.accept()
            script(self)
        except Exception as error:
            self.error = error
        finally:
            self.done.set()

    def accept(self) -> None:
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(seconds(10))
        self.buffer = b""

    def answer(self, subprotocol: Optional[str] = "ocpp1.6", extra: str = "", accept: Optional[str] = None) -> None:
        """Read the request and upgrade."""
        import hashlib

        head = self.read_head()
        self.requests.append(head)
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        accept = accept or base64.b64encode(digest).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept}")
        if subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        self.send(("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode())

    def __exit__(self, *_: Any) -> None:
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        except OSError:
            pass
        self.listener.close()
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.sock.close()
        self.thread.join(seconds(5))


def request(path: str = "/ocpp/CP_1", **headers: str) -> bytes:
    """Return an upgrade request. ``Sec_WebSocket_Version="8"`` changes a header, ``Upgrade=""`` drops it."""
    fields = {
        "Host": "test",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==",  # always the same: requests are in names of tests
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "ocpp1.6",
    }
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"GET {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in fields.items() if value]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def xor(data: bytes, mask: bytes) -> bytes:
    if not any(mask):
        return data
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")  # byte by byte is slow


def frame(opcode: int, data: bytes = b"", fin: bool = True, masked: bool = True, rsv1: bool = False) -> bytes:
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    bit = 0x80 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, bit | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, bit | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, bit | 127, len(data))
    return head + (b"\0\0\0\0" if masked else b"") + data


def close_frame(code: int, reason: str = "", masked: bool = True) -> bytes:
    return frame(8, struct.pack("!H", code) + reason.encode(), masked=masked)


def open_files() -> int:
    """How many file descriptors this process has; 0 where that cannot be known."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


__all__ = [name for name in dir() if not name.startswith("_")] + ["eventually"]
