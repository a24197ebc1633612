"""What we use of simple-websocket and websocket-client that their documents do not promise."""

import base64
import contextlib
import gc
import hashlib
import re
import zlib

import pytest
import simple_websocket
import websocket
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed, XorMaskerSimple

from ocppj.ws.connection.deflate import agree
from ocppj.ws.connection.frames import LibraryFrames
from tests.ws.support import close_frame, frame, xor


class Pipe:
    """Takes what simple-websocket sends."""

    def __init__(self):
        self.sent = b""

    def send(self, data):
        self.sent += data
        return len(data)


class NoThread:
    made = 0

    def __init__(self, target):
        self.name = ""
        NoThread.made += 1

    def start(self):
        pass


class Server(simple_websocket.Server):
    def choose_subprotocol(self, request):
        return "ocpp1.6"


def make(extensions=None):
    environ = {
        "HTTP_HOST": "x",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_KEY": "AQIDBAUGBwgJCgsMDQ4PEA==",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_PROTOCOL": "ocpp2.1, ocpp1.6",
        "werkzeug.socket": Pipe(),
    }
    if extensions:
        environ["HTTP_SEC_WEBSOCKET_EXTENSIONS"] = extensions
    server = Server(environ, thread_class=NoThread)
    head, server.sock.sent = server.sock.sent, b""
    return server, head


def make_protocol(offer=None):
    return FrameProtocol(False, agree(offer, 10**6))


def frames_of(protocol, data):
    """Return the used attributes of each frame, or part of one, that ``data`` completes."""
    protocol.receive_bytes(data)
    return [(each.opcode, each.payload, each.message_finished) for each in protocol.received_frames()]


def test_it_answers_while_it_is_made_and_starts_only_our_thread():
    made = NoThread.made
    server, head = make()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"ocpp1.6" in head
    assert b"ocpp2.1" not in head
    assert server.connected
    assert NoThread.made == made + 1
    assert b"permessage-deflate" in make("permessage-deflate")[1]


FLAGS = ["server_no_context_takeover", "client_no_context_takeover"]
BITS = ["server_max_window_bits=9", "client_max_window_bits=10", "client_max_window_bits"]


def told_of_deflate(head):
    """Return the parameters of the extension that the response names; ``None`` if it names none."""
    fields = [line.partition(": ") for line in head.decode().split("\r\n")]
    answers = [value for name, _, value in fields if name.lower() == "sec-websocket-extensions"]
    if not answers:
        return None
    (answer,) = answers
    name, *parameters = [part.strip() for part in answer.split(";")]
    assert name == "permessage-deflate"
    return {key: value for key, _, value in (parameter.partition("=") for parameter in parameters)}


@pytest.mark.parametrize("parameter", ["", *FLAGS, *BITS])
def test_what_it_agrees_to_is_what_we_agree_to(parameter):
    offer = f"permessage-deflate; {parameter}".rstrip("; ")
    told = told_of_deflate(make(offer)[1])
    (ours,) = make_protocol(offer).extensions
    for name in FLAGS:
        assert getattr(ours, name) == (name in told), name
    for name in ("server_max_window_bits", "client_max_window_bits"):
        assert getattr(ours, name) == int(told.get(name) or 15), name
    assert told_of_deflate(make()[1]) is None
    assert make_protocol().extensions == []


def test_messages_are_text_or_bytes_and_fragments_say_whether_they_are_the_last():
    protocol = make_protocol()
    assert frames_of(protocol, frame(1, b"one") + frame(1, b"tw", fin=False)) == [
        (Opcode.TEXT, "one", True),
        (Opcode.TEXT, "tw", False),
    ]
    assert frames_of(protocol, frame(0, b"o", fin=False)) == [(Opcode.TEXT, "o", False)]
    assert frames_of(protocol, frame(9, b"p") + frame(0, b"!") + frame(2, b"bytes") + frame(10)) == [
        (Opcode.PING, b"p", True),
        (Opcode.TEXT, "!", True),
        (Opcode.BINARY, b"bytes", True),
        (Opcode.PONG, b"", True),
    ]
    assert [each.iscontrol() for each in Opcode] == [False] * 3 + [True] * 3


def test_an_incomplete_frame_is_given_out_as_far_as_it_came():
    protocol = make_protocol()
    ((_, text, finished),) = frames_of(protocol, frame(1, b"x" * 1000)[:500])
    assert 400 < len(text) < 500
    assert not finished
    ((opcode, text, finished),) = frames_of(protocol, frame(1, b"x" * 1000)[500:])
    assert (opcode, len(text), finished) == (Opcode.TEXT, 508, True)


def test_a_character_that_is_cut_is_kept_back():
    protocol = make_protocol()
    data = frame(1, "é".encode())
    assert frames_of(protocol, data[:-1]) == [(Opcode.TEXT, "", False)]
    assert frames_of(protocol, data[-1:]) == [(Opcode.TEXT, "é", True)]


def test_closes_have_a_code_and_a_reason_and_nothing_comes_after():
    protocol = make_protocol()
    assert frames_of(protocol, close_frame(4000, "why") + frame(1, b"late")) == [(Opcode.CLOSE, (4000, "why"), True)]
    assert frames_of(protocol, frame(1, b"later")) == []
    protocol = make_protocol()
    ((_, (code, reason), _),) = frames_of(protocol, frame(8))
    assert (int(code), reason) == (1005, "")
    assert protocol.close(code, reason) == frame(8, masked=False)


@pytest.mark.parametrize(
    ("data", "code"), [(frame(1, b"\xff"), 1007), (frame(3), 1002), (frame(1, masked=False), 1002)]
)
def test_violations_are_raised_after_the_frames_before_them(data, code):
    protocol = make_protocol()
    protocol.receive_bytes(frame(1, b"good") + data)
    frames = protocol.received_frames()
    assert next(frames).payload == "good"
    with pytest.raises(ParseFailed) as raised:
        next(frames)
    assert int(raised.value.code) == code
    assert str(raised.value)
    assert frames_of(protocol, frame(1, b"late")) == []


def test_what_is_compressed_comes_out_as_it_goes_in():
    protocol = make_protocol("permessage-deflate")
    squeeze = zlib.compressobj(wbits=-15)
    data = frame(1, (squeeze.compress(b"x" * 10**6) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv1=True)
    size = 0
    for at in range(0, len(data), 100):
        size += sum(len(text) for _, text, _ in frames_of(protocol, data[at : at + 100]))
        assert size <= (at + 100) * 1100, "no more than what these bytes mean"
    assert size == 10**6


def test_frames_to_send():
    protocol = make_protocol()
    assert protocol.send_data("text") == frame(1, b"text", masked=False)
    assert protocol.send_data("é" * 40_000) == frame(1, "é".encode() * 40_000, masked=False)
    assert protocol.ping() == b"\x89\0"
    assert protocol.pong(b"p") == frame(10, b"p", masked=False)
    assert protocol.close(4001, "ours") == close_frame(4001, "ours", masked=False)
    compressed = make_protocol("permessage-deflate")
    first, second = compressed.send_data("again and again"), compressed.send_data("again and again")
    assert first[0] == second[0] == 0xC1
    assert len(second) < len(first), "the order counts"


def test_it_is_known_whether_the_beginning_of_a_message_has_come():
    protocol = LibraryFrames(False, [])
    assert protocol.between_messages
    frames_of(protocol, frame(1, b"one")[:1])
    assert not protocol.between_messages, "a byte of a header"
    frames_of(protocol, frame(1, b"one")[1:5])
    assert not protocol.between_messages, "a header"
    frames_of(protocol, frame(1, b"one")[5:])
    assert protocol.between_messages
    frames_of(protocol, frame(1, b"one", fin=False))
    assert not protocol.between_messages, "a fragment"
    frames_of(protocol, frame(9, b"ping"))
    assert not protocol.between_messages, "a control frame between fragments"
    frames_of(protocol, frame(0, b"two"))
    assert protocol.between_messages


def test_a_mask_begins_with_the_first_byte_of_the_key():
    assert bytes(XorMaskerSimple(b"abcd").process(bytearray(b"x" * 9))) == xor(b"x" * 9, b"abcd")


class Answering:
    """Stands in for a socket of websocket-client: answers its request with the result of ``respond``."""

    def __init__(self, respond):
        self.respond = respond
        self.sent, self.answer = [], b""

    def gettimeout(self):
        return 0

    def settimeout(self, timeout):
        pass

    def send(self, data):
        self.sent.append(data)
        self.answer = self.respond(data)
        return len(data)

    def recv(self, size):
        data, self.answer = self.answer[:size], self.answer[size:]
        return data

    def close(self):
        pass


def connect(respond):
    """Connect as our client does; return the library's object and its request."""
    ws, sock = websocket.WebSocket(skip_utf8_validation=True), Answering(respond)
    ws.connect(
        "ws://nowhere.test:1/ocpp/CP_1",
        socket=sock,
        header=["Sec-WebSocket-Protocol: ocpp2.1, ocpp1.6"],
        suppress_origin=True,
        redirect_limit=0,
    )
    (request,) = sock.sent  # at once, and on the socket that it was given
    return ws, request


def upgraded(request):
    (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)\r\n", request)
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: ocpp1.6\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def test_options_of_connect():
    ws, request = connect(upgraded)
    head = request.decode().split("\r\n")
    assert head[0] == "GET /ocpp/CP_1 HTTP/1.1"
    assert head[-2:] == ["", ""]
    assert "Sec-WebSocket-Protocol: ocpp2.1, ocpp1.6" in head
    assert "origin:" not in request.decode().lower()
    assert ws.getheaders()["sec-websocket-protocol"] == "ocpp1.6"


def test_redirects_are_not_followed():
    def respond(request):
        return b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/other\r\n\r\n"

    with contextlib.suppress(websocket.WebSocketException):  # which some versions raise
        connect(respond)  # following it would fail: no server listens there


def test_websocket_client_does_not_close_its_socket_when_it_is_dropped():
    """Our client drops the `websocket.WebSocket` after the handshake. That must not close the socket."""
    closed = []

    class Watched(Answering):
        def close(self):
            closed.append(True)

    ws, sock = websocket.WebSocket(skip_utf8_validation=True), Watched(upgraded)
    ws.connect("ws://nowhere.test:1/ocpp/CP_1", socket=sock, header=["Sec-WebSocket-Protocol: ocpp1.6"])
    del ws
    gc.collect()
    assert not closed


def test_wsproto_reads_a_close_by_a_method_that_may_be_replaced():
    class Protocol(FrameProtocol):
        def _process_close(self, frame):
            assert frame.payload == b"\x03\xf6why"
            return frame._replace(payload=(1014, "why"))

    protocol = Protocol(False, [])
    assert frames_of(protocol, close_frame(1014, "why")) == [(Opcode.CLOSE, (1014, "why"), True)]
