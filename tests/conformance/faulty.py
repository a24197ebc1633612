"""A small central system on raw sockets that breaks rules: those that a test asks for, and many more by default.

It checks no payload and no WebSocket rule. It serves stations well enough for a boot and a Heartbeat. `FAULTS` has the
names of the faults.
"""

import base64
import itertools
import json
import socket
import struct
import threading
from datetime import datetime, timezone

from ocppj.conformance.csms.wire import accept_of

#: What each fault is.
FAULTS = {
    "refuses": "every handshake is answered with 403",
    "whole-header": "the list of versions is one name",
    "first-offered": "the first version that is offered is agreed, whatever it is",
    "always-1.6": "1.6 is agreed when nothing is offered",
    "stays-open": "without a common version, the connection goes on",
    "bad-accept": "Sec-WebSocket-Accept is wrong",
    "bare-101": "the answer to a handshake has no Upgrade and no Connection",
    "exact-path": "a path with escape sequences or a query is not found",
    "open-door": "every path is accepted, and every request for a handshake",
    "exact-names": "header fields in unusual case are not seen",
    "echoes-extensions": "every extension is agreed",
    "likes-extensions": "an extension is in the answer that nobody asked for",
    "silent-large": "a large handshake is not answered",
    "no-password": "no password is checked",
    "exact-basic": 'the scheme is "Basic" and nothing else',
    "no-pong": "pings are not answered",
    "empty-pong": "pongs are empty, or have a letter where the ping was empty",
    "frame-by-frame": "each frame is taken for a message",
    "no-close": "a Close is ignored",
    "drops-at-close": "a Close ends the connection without a Close",
    "ends-at-pong": "a pong ends the connection",
    "ends-at-utf8": "text that is not ASCII, or that has an escape sequence, ends the connection",
    "ignores-transfers": "a DataTransfer is not answered",
    "ignores-long-form": "a frame is ignored if its length is in eight bytes",
    "ends-at-bad-json": "JSON that cannot be read ends the connection",
    "small": "a frame of more than 10 kB ends the connection without a Close",
    "serves-anything": "every text is answered with a CALLRESULT",
    "naive": "a CALL is read by a pattern",
    "shortens-ids": "the answer to a Heartbeat has a shorter id",
    "numbers": "an id that is a number is answered with a number",
    "no-null": "null is refused as a payload",
    "bad-errors": "a CALLERROR has four elements",
    "odd-code": "the error code is one of no version",
    "ids-once": "a CALL with an id that was used is ignored",
    "every-second": "every second Heartbeat is ignored",
    "single": "a second connection is refused",
    "last-stand": "after a connection that was not closed well, all are refused",
    "one-by-one": "a connection is served when the one before has ended",
    "packets": "what does not come in one packet is refused",
    "refuses-most": "only the plain BootNotification and the empty Heartbeat are served",
    "gate": "before a BootNotification everything is answered with GenericError",
    "odd-boot": "the status of a boot is one that does not exist",
    "old-clock": "it is 1970",
    "no-zone": "times have no zone",
    "boot-once": "a second BootNotification is refused",
    "two-calls": "two CALLs follow a boot",
    "one-id": "two CALLs with one id follow a boot",
    "waits": "a CALL follows a boot, and nothing is served before its answer",
    "one-transaction": "all transactions have the id 1",
    "stop-info": "the answer to StopTransaction has an idTagInfo",
    "accepts-tokens": "every TransactionEvent has an accepted token",
    "nonsense": "answers have a property that they do not have",
}


#: Each transaction has another id, whichever connection it comes over.
_TRANSACTION_IDS = itertools.count(1000)


class FaultyCSMS:
    """The server. As a context manager it is stopped at the end."""

    def __init__(self, *faults, password=None, tls=None):
        unknown = set(faults) - set(FAULTS)
        assert not unknown, unknown
        self.faults = set(faults)
        self.password = password
        self.damaged = False
        self.open = 0
        self.busy = 0  # connections, from their first byte to their last
        self.used_ids = set()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._socks = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._tls = tls
        self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{self.port}/ocpp"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def has(self, fault):
        return fault in self.faults

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Stop it. Its connections end."""
        if not self._thread.is_alive():
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        with self._lock:
            socks = list(self._socks)
        for sock in socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._socks.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with self._lock:
            self.busy += 1
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            if self.has("one-by-one"):
                with self._turn:
                    _Connection(self, sock).run()
            else:
                _Connection(self, sock).run()
        except (OSError, ValueError, IndexError, RecursionError):
            self.damaged = True
        finally:
            with self._lock:
                self.busy -= 1
                self._socks.discard(sock)
            sock.close()


class _Connection:
    def __init__(self, csms, sock):
        self.csms, self.sock = csms, sock
        self.has = csms.has
        self.data = b""
        self.booted = 0
        self.heartbeats = 0
        self.waiting = False
        self.parts = b""

    def run(self):
        if not self._shake_hands():
            return
        self.csms.open += 1
        try:
            self._read_frames()
        finally:
            self.csms.open -= 1

    # The handshake

    def _shake_hands(self):
        self.data = self.sock.recv(65536)
        while self.data and b"\r\n\r\n" not in self.data:
            if self.has("packets"):
                self._refuse(400)
                return False
            more = self.sock.recv(65536)
            if not more:
                self.csms.damaged = True
                return False
            self.data += more
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        if not head:
            return False
        line, *rest = head.decode("utf-8").split("\r\n")
        fields = {}
        for each in rest:
            name, _, value = each.partition(": ")
            name = name if self.has("exact-names") else name.lower()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        if self.has("exact-names"):
            fields = {name.lower(): value for name, value in fields.items() if name.istitle() or "WebSocket" in name}
        return self._answer_handshake(line.split(" "), fields, len(head))

    def _answer_handshake(self, line, fields, size):
        status = self._judge(line, fields)
        if self.has("silent-large") and size > 2000:
            return False
        if status:
            self._refuse(status)
            return False
        agreed = self._choose(fields.get("sec-websocket-protocol", ""))
        answer = ["HTTP/1.1 101 Switching Protocols"]
        if not self.has("bare-101"):
            answer += ["Upgrade: websocket", "Connection: Upgrade"]
        key = fields.get("sec-websocket-key", "").encode()
        answer.append(f"Sec-WebSocket-Accept: {'wrong' if self.has('bad-accept') else accept_of(key)}")
        if agreed:
            answer.append(f"Sec-WebSocket-Protocol: {agreed}")
        if self.has("echoes-extensions") and "sec-websocket-extensions" in fields:
            answer.append(f"Sec-WebSocket-Extensions: {fields['sec-websocket-extensions']}")
        if self.has("likes-extensions"):
            answer.append("Sec-WebSocket-Extensions: permessage-deflate")
        self.sock.sendall("\r\n".join([*answer, "", ""]).encode())
        if not agreed and not self.has("stays-open"):
            self._send(8, struct.pack("!H", 1002))
            return False
        self.version = (agreed or "ocpp1.6").lower().replace("ocpp", "")
        return True

    def _judge(self, line, fields):
        """Return the status with which a handshake is refused, or ``None``."""
        if self.has("refuses") or (self.has("single") and self.csms.open):
            return 403
        if self.has("last-stand") and (self.csms.damaged or self.csms.busy > 1):
            return 500
        path = line[1]
        if not self.has("open-door"):
            plain = path.partition("?")[0].replace("%43", "C") if not self.has("exact-path") else path
            if plain != "/ocpp/CP_1":
                return 404
            if line[0] != "GET" or fields.get("upgrade", "").lower() != "websocket" or "host" not in fields:
                return 400
            if fields.get("sec-websocket-version") != "13" or len(fields.get("sec-websocket-key", "")) != 24:
                return 400
        wanted = base64.b64encode(f"CP_1:{self.csms.password}".encode()).decode()
        scheme, _, given = fields.get("authorization", "").partition(" ")
        is_basic = scheme == "Basic" if self.has("exact-basic") else scheme.lower() == "basic"
        if self.csms.password and not self.has("no-password") and not (is_basic and given == wanted):
            return 401
        return None

    def _choose(self, offered):
        names = [each.strip() for each in offered.split(",") if each.strip()]
        if self.has("whole-header"):
            names = [offered]
        if self.has("first-offered") and names:
            return names[0]
        if self.has("always-1.6") and not names:
            return "ocpp1.6"
        return next((each for each in names if each in ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")), "")

    def _refuse(self, status):
        self.sock.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    # WebSocket frames, without any check

    def _need(self, size):
        while len(self.data) < size:
            if self.has("packets") and self.data:
                raise ValueError("half a packet")
            more = self.sock.recv(1 << 20)
            if not more:
                self.csms.damaged = True
                raise ValueError("the connection has ended")
            self.data += more

    def _read_frames(self):
        while True:
            self._need(2)
            opcode, fin = self.data[0] & 15, self.data[0] & 128
            masked, size, at = self.data[1] & 128, self.data[1] & 127, 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                self._need(2 + wide)
                size, at = int.from_bytes(self.data[2 : 2 + wide], "big"), 2 + wide
            if size > 10_000 and self.has("small"):
                raise ValueError("too large")
            self._need(at + (4 if masked else 0) + size)
            key = self.data[at : at + 4] if masked else b"\0\0\0\0"
            at += 4 if masked else 0
            body = bytes(byte ^ key[index % 4] for index, byte in enumerate(self.data[at : at + size]))
            self.data = self.data[at + size :]
            if self.has("ignores-long-form") and at == 14:
                continue
            if not self._take(opcode, fin, body):
                return

    def _take(self, opcode, fin, body):
        if opcode == 8 and self.has("drops-at-close"):
            return False
        if opcode == 8 and not self.has("no-close"):
            self._send(8, body[:2])
            return False
        if opcode == 10 and self.has("ends-at-pong"):
            return False
        if opcode == 9 and not self.has("no-pong"):
            self._send(10, (b"" if body else b"x") if self.has("empty-pong") else body)
        if opcode in (0, 1, 2):
            self.parts += body
            if fin or self.has("frame-by-frame"):
                text, self.parts = self.parts, b""
                if self.has("ends-at-utf8") and (not text.isascii() or b"\\ud" in text):
                    return False
                self._take_text(text.decode("utf-8", "replace"))
        return True

    def _send(self, opcode, body):
        size = len(body)
        head = struct.pack("!BB", 0x80 | opcode, size) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 126, size)
        self.sock.sendall(head + body)

    def _say(self, *elements):
        self._send(1, json.dumps(elements).encode())

    # OCPP-J, without any check

    def _take_text(self, text):
        try:
            elements = json.loads(text)
        except (ValueError, RecursionError):
            if self.has("ends-at-bad-json"):
                raise ValueError("bad JSON") from None
            elements = None
        is_call = isinstance(elements, list) and len(elements) == 4 and elements[0] == 2
        plain = is_call and elements[2] in ("BootNotification", "Heartbeat")
        if self.has("naive") and is_call and text != json.dumps(elements):
            return
        if self.has("serves-anything") and not (plain and isinstance(elements[3], dict)):
            known = elements[1] if isinstance(elements, list) and len(elements) > 1 else "-1"
            self._say(3, known, {"currentTime": self._now()})
        elif isinstance(elements, list) and elements and elements[0] == 3:
            self.waiting = False
        elif is_call and not self.waiting:
            self._take_call(*elements[1:])

    def _take_call(self, message_id, action, payload):
        if self.has("ids-once") and message_id in self.csms.used_ids:
            return
        if isinstance(message_id, str):
            self.csms.used_ids.add(message_id)
        code = self._refusal(action, payload)
        if code == "":
            return
        if code is not None:
            self._say(4, message_id, code, *([] if self.has("bad-errors") else [""]), {})
            return
        if self.has("shortens-ids") and action == "Heartbeat":
            message_id = message_id[:-1]
        if self.has("numbers") and str(message_id).isdigit():
            message_id = int(message_id)
        self._say(3, message_id, self._answer(action, payload))
        if action == "BootNotification":
            self._after_boot()

    def _refusal(self, action, payload):
        """Return the code with which a CALL is refused. "": it is ignored. ``None``: it is served."""
        if action == "BootNotification":
            self.booted += 1
            if self.has("boot-once") and self.booted > 1:
                return "GenericError"
        elif self.has("gate") and not self.booted:
            return "GenericError"
        if action == "MakeCoffee" or (isinstance(action, str) and action.startswith("xx")):
            return "CoffeeError" if self.has("odd-code") else "NotImplemented"
        if self.has("no-null") and payload is None:
            return "TypeConstraintViolation"
        if self.has("refuses-most"):
            text = json.dumps(payload)
            is_boot = action == "BootNotification" and "Acme" in text and "One" in text
            is_boot = is_boot and len(text) < 100 and ("reason" not in text or "PowerUp" in text)
            return None if is_boot or (action == "Heartbeat" and payload == {}) else "GenericError"
        if self.has("ignores-transfers") and action == "DataTransfer":
            return ""
        if action == "Heartbeat":
            self.heartbeats += 1
            if self.has("every-second") and self.heartbeats % 2 == 0:
                return ""
        return None

    def _now(self):
        if self.has("old-clock"):
            return "1970-01-01T00:00:00.000Z"
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        return now[:23] if self.has("no-zone") else now

    def _answer(self, action, payload):
        if action == "BootNotification":
            status = "Maybe" if self.has("odd-boot") else "Accepted"
            return {"status": status, "currentTime": self._now(), "interval": 300}
        if self.has("nonsense"):
            return {"nonsense": 1}
        transaction = 1 if self.has("one-transaction") else next(_TRANSACTION_IDS)
        accepted = {"status": "Accepted"}
        answers = {
            "Heartbeat": {"currentTime": self._now()},
            "Authorize": {"idTagInfo": accepted} if self.version == "1.6" else {"idTokenInfo": accepted},
            "StartTransaction": {"transactionId": transaction, "idTagInfo": accepted},
            "StopTransaction": {"idTagInfo": accepted} if self.has("stop-info") else {},
            "DataTransfer": accepted,
            "TransactionEvent": {"idTokenInfo": accepted} if self.has("accepts-tokens") else {},
            "GetCertificateStatus": accepted,
        }
        return answers.get(action, {})

    def _after_boot(self):
        action, payload = ("GetConfiguration", {}) if self.version == "1.6" else ("GetLocalListVersion", {})
        if self.has("two-calls"):
            self._say(2, f"a{id(self)}", action, payload)
            self._say(2, f"b{id(self)}", action, payload)
        if self.has("one-id"):
            self._say(2, "1", action, payload)
            self._say(2, "1", "ClearCache", {})
        if self.has("waits"):
            self._say(2, f"a{id(self)}", action, payload)
            self.waiting = True
