"""A charging station on raw sockets that breaks rules: those that a test asks for, and many more by default.

It keeps no rule of WebSocket but the frames themselves, checks no payload, and sends what its manners say. `MANNERS`
has their names.
"""

import base64
import json
import os
import socket
import struct
import threading
import uuid

#: What each manner is.
MANNERS = {
    "says-yes": "every CALL is answered with the status Accepted",
    "says-no": "every text is answered with an error that no version has",
    "mute": "no text is answered",
    "answers-twice": "each answer comes twice",
    "boots": "it boots over each connection, and asks again at once",
    "chats": "it sends a Heartbeat over each connection, without a boot, and with the same id each time",
    "hurries": "it connects again at once",
    "dies-at-garbage": "JSON that cannot be read ends it for good",
    "odd-path": "the path has a brace, and a slash at its end",
    "odd-subprotocol": "it offers ocpp1.6 twice, and a version that there is not",
    "odd-request": "the request has no Connection, a query, and an extension that there is not",
    "odd-credentials": "the user name is not the identity, and the password is short",
    "reads-anything": "every text is answered with a CALLRESULT, with the id 1 if there is none",
}


class FaultyStation:
    """The station. As a context manager it is stopped at the end."""

    def __init__(self, url, *manners, version="1.6"):
        unknown = set(manners) - set(MANNERS)
        assert not unknown, unknown
        self.manners = set(manners)
        self.version = version
        host, _, port = url.partition("://")[2].partition("/")[0].partition(":")
        self._address = host, int(port)
        self._stopped = threading.Event()
        self._sock = None
        self._connections = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def has(self, manner):
        return manner in self.manners

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stopped.set()
        sock = self._sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(10)

    def _run(self):
        while not self._stopped.is_set():
            try:
                with socket.create_connection(self._address, 10) as self._sock:
                    self._serve(self._sock)
            except (OSError, EOFError, struct.error):
                pass
            if not self.has("hurries"):
                self._stopped.wait(0.06)

    def _serve(self, sock):
        sock.settimeout(30)
        sock.sendall(self._request().encode("latin-1"))
        stream = sock.makefile("rb")
        status = stream.readline()
        while stream.readline() not in (b"\r\n", b""):
            pass
        if b" 101 " not in status:
            return
        self._connections += 1
        if self.has("boots") or self.has("chats"):
            self._greet(sock)
        while not self._stopped.is_set():
            opcode, data = _read_frame(stream)
            if opcode in (0, 1, 2):
                self._receive(sock, data)

    def _request(self):
        path = "/CP_1"
        if self.has("odd-path"):
            path = "/{x}/CP_1/"
        offered = f"ocpp{self.version}"
        if self.has("odd-subprotocol"):
            offered = f"{offered}, {offered}, ocpp9.9"
        key = base64.b64encode(b"0123456789abcdef").decode()
        lines = [
            f"GET {path}{'?x=1' if self.has('odd-request') else ''} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            *([] if self.has("odd-request") else ["Connection: Upgrade"]),
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
        if offered and not (self.has("odd-subprotocol") and self._connections == 1):
            lines.append(f"Sec-WebSocket-Protocol: {offered}")
        else:
            lines.append(f"Sec-WebSocket-Protocol: ocpp{self.version}")
        if self.has("odd-request"):
            lines.append("Sec-WebSocket-Extensions: x-check")
        if self.has("odd-credentials"):
            lines.append(f"Authorization: Basic {base64.b64encode(b'OTHER:pw').decode()}")
        return "\r\n".join([*lines, "", ""])

    def _greet(self, sock):
        if self.has("chats"):
            # In one write: a quick server would else answer the first before the second has come.
            self._send(sock, [2, "1", "Heartbeat", {}], _status("2"))
        if self.has("boots"):
            self._boot(sock)

    def _chat(self, sock, message_id):
        self._send(sock, _status(message_id))

    def _boot(self, sock):
        payload = {"chargePointVendor": "V", "chargePointModel": "M"}
        if self.version != "1.6":
            payload = {"chargingStation": {"model": "M", "vendorName": "V"}, "reason": "Triggered"}
        self._send(sock, [2, str(uuid.uuid4()), "BootNotification", payload])

    def _receive(self, sock, data):
        try:
            frame = json.loads(data)
        except (ValueError, RecursionError):
            if self.has("dies-at-garbage"):
                self._stopped.set()
                raise EOFError from None
            frame = None
        is_list = isinstance(frame, list) and len(frame) > 1
        message_id = frame[1] if is_list else "1"
        is_call = is_list and len(frame) == 4 and frame[0] == 2
        if self.has("boots") and is_list and frame[0] == 3 and "interval" in frame[2]:
            self._stopped.wait(0.02)  # soon, but no flood
            if self.has("chats"):
                self._chat(sock, str(uuid.uuid4()))
            self._boot(sock)
        answers = 2 if self.has("answers-twice") else 1
        for _ in range(answers if not isinstance(message_id, list) else 0):
            if self.has("says-no"):
                self._send(sock, [4, message_id, "Nonsense", "x" * 300, []])
            elif self.has("reads-anything") or (self.has("says-yes") and is_call):
                self._send(sock, [3, message_id, {"status": "Accepted"}])

    def _send(self, sock, *frames):
        sock.sendall(b"".join(map(_encode, frames)))


def _status(message_id):
    return [2, message_id, "StatusNotification", {"status": "Perhaps", "connectorId": 1}]


def _encode(frame):
    data = json.dumps(frame).encode()
    mask = os.urandom(4)
    head = bytes([0x81, 0x80 | len(data)]) if len(data) < 126 else struct.pack("!BBH", 0x81, 0xFE, len(data))
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


def _read_frame(stream):
    head = stream.read(2)
    if len(head) < 2:
        raise EOFError
    size = head[1] & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", stream.read(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", stream.read(8))
    return head[0] & 0x0F, stream.read(size)
