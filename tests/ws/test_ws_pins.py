"""What we use of simple-websocket and websocket-client that their documents do not promise."""

import inspect

import pytest
import simple_websocket
import websocket
from simple_websocket.ws import LocalProtocolError, Ping
from wsproto.connection import Connection, ConnectionType

from ocppj.ws.server import _accept
from tests.ws.support import close_frame, frame


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


def feed(server, data):
    server.ws.receive_data(data)
    return server._handle_events()


def test_it_answers_while_it_is_made_and_starts_only_our_thread():
    made = NoThread.made
    server, head = make()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"ocpp1.6" in head
    assert b"ocpp2.1" not in head
    assert server.connected
    assert NoThread.made == made + 1
    assert b"permessage-deflate" in make("permessage-deflate")[1]


class BareServer(simple_websocket.Server):
    def handshake(self):
        self.connected = True


class NoEvent:
    def set(self):
        pass


def test_it_goes_on_where_another_has_led_the_handshake():
    server = BareServer({"werkzeug.socket": Pipe()}, thread_class=NoThread, event_class=NoEvent)
    assert server.sock.sent == b""
    server.ws = Connection(ConnectionType.SERVER, [])
    del server.environ, server.thread
    assert feed(server, frame(1, b"one") + frame(9, b"p"))
    assert server.input_buffer == ["one"]
    assert server.sock.sent == frame(10, b"p", masked=False)
    server.send("two")
    assert server.sock.sent.endswith(frame(1, b"two", masked=False))
    assert not feed(server, close_frame(1000))
    assert server.ws.state.name == "CLOSED"


@pytest.mark.parametrize("subprotocol", [None, "ocpp1.6"])
@pytest.mark.parametrize("deflate", [None, "permessage-deflate", "permessage-deflate; client_max_window_bits=10"])
def test_our_answer_to_the_upgrade_is_what_the_library_gives(subprotocol, deflate, monkeypatch):
    monkeypatch.setattr(Server, "choose_subprotocol", lambda self, request: subprotocol)
    server, theirs = make(deflate)
    ours, extensions = _accept("AQIDBAUGBwgJCgsMDQ4PEA==", subprotocol, deflate)
    assert fields(ours) == fields(theirs)
    assert [each.enabled() for each in extensions] == ([] if deflate is None else [True])


def fields(head):
    """Return the status line of a head and its fields, in order of their names."""
    first, *lines, end, after = head.decode("ascii").split("\r\n")
    assert (end, after) == ("", "")
    parts = [line.partition(":") for line in lines]
    return first.rstrip(), sorted((name.lower(), value.strip()) for name, _, value in parts)


def test_messages_land_in_the_input_buffer():
    server, _ = make()
    assert feed(server, frame(1, b"one") + frame(1, b"tw", fin=False))
    assert server.input_buffer == ["one"]
    assert server.incoming_message == "tw"
    feed(server, frame(0, b"o", fin=False))
    assert server.incoming_message == b"two"
    feed(server, frame(0, b"!") + frame(2, b"bytes"))
    assert server.input_buffer == ["one", "two!", b"bytes"]
    assert server.incoming_message is None
    feed(server, frame(2, b"byt", fin=False))
    assert isinstance(server.incoming_message, bytes)


def test_a_frame_is_given_out_as_far_as_it_came():
    server, _ = make()
    feed(server, frame(1, b"x" * 1000)[:500])
    assert 400 < len(server.incoming_message) < 500


def test_pings_and_closes_are_answered():
    server, _ = make()
    feed(server, frame(9, b"p"))
    assert server.sock.sent == frame(10, b"p", masked=False)
    server.sock.sent = b""
    assert not feed(server, close_frame(4000, "why"))
    assert server.sock.sent == close_frame(4000, "why", masked=False)
    assert (server.close_reason, server.close_message, server.ws.state.name) == (4000, "why", "CLOSED")


def test_violations_leave_another_state_than_the_peers_close():
    server, _ = make()
    feed(server, frame(1, b"\xff"))
    assert (int(server.close_reason), server.ws.state.name) == (1007, "LOCAL_CLOSING")
    assert server.sock.sent[:2] == b"\x88" + bytes([len(server.sock.sent) - 2])


def test_our_close_and_what_comes_after():
    server, _ = make()
    server.close(4001, "ours")
    assert server.sock.sent == close_frame(4001, "ours", masked=False)
    assert server.ws.state.name == "LOCAL_CLOSING"
    feed(server, frame(9, b"p") + frame(1, b"late"))
    assert server.ws.state.name == "LOCAL_CLOSING"
    assert server.input_buffer == ["late"]
    feed(server, close_frame(4001))
    assert server.ws.state.name == "CLOSED"


def test_pings_of_ours():
    server, _ = make()
    assert bytes(server.ws.send(Ping())) == b"\x89\0"
    assert issubclass(LocalProtocolError, Exception)
    assert issubclass(simple_websocket.ConnectionClosed, Exception)


def test_frames_of_websocket_client_are_read_in_pieces():
    data = frame(1, b"x" * 300, masked=False) + frame(9, b"p", masked=False)
    pieces = [data[:1], data[1:3], None, data[3:5], None, data[5:304], data[304:]]

    def recv(size):
        piece = pieces.pop(0)
        if piece is None:
            raise BlockingIOError
        if len(piece) > size:
            pieces.insert(0, piece[size:])
        return piece[:size]

    ws = websocket.WebSocket(skip_utf8_validation=True)
    ws.frame_buffer = websocket.frame_buffer(recv, True)
    frames, blocked = [], 0
    while len(frames) < 2:
        try:
            frames.append(ws.recv_frame())
        except BlockingIOError:
            blocked += 1
    assert blocked == 2
    assert [(f.fin, f.opcode, f.data) for f in frames] == [(1, 1, b"x" * 300), (1, 9, b"p")]


def test_the_header_is_known_before_the_body_is_read():
    class Frames(websocket.frame_buffer):
        seen = None

        def recv_length(self):
            super().recv_length()
            self.seen = (self.header, self.length)
            raise EOFError

    data = [b"\x81\x7f", b"\x7f" + b"\xff" * 7]
    frames = Frames(lambda size: data.pop(0), True)
    try:
        frames.recv_frame()
    except EOFError:
        pass
    header, length = frames.seen
    assert (header[0], header[4], header[5], length) == (1, 1, 0, 2**63 - 1)
    assert {"recv_strict", "recv_length", "recv_frame"} <= set(dir(websocket.frame_buffer))


def test_websocket_client_writes_whole_masked_frames():
    class Sock(Pipe):
        def gettimeout(self):
            return 0

    ws = websocket.WebSocket()
    ws.sock = Sock()
    ws.send("text")
    ws.ping()
    ws.pong(b"p")
    ws.send(b"\x03\xe8", websocket.ABNF.OPCODE_CLOSE)
    ws.send_close(1000, b"r")
    assert list(ws.sock.sent[:2]) == [0x81, 0x84]
    assert len(ws.sock.sent) == 10 + 6 + 7 + 8 + 9


def test_options_of_connect():
    source = inspect.getsource(websocket.WebSocket.connect) + inspect.getsource(websocket._handshake)
    source = source.replace("'", '"')
    for option in ("socket", "redirect_limit", "suppress_origin", "header"):
        assert f'"{option}"' in source
