"""Passwords, keys and tokens reach no log, no repr() and no exception, whatever happens; traces included."""

import base64
import binascii
import contextlib
import json
import logging
import urllib.parse
from typing import Any, List

import pytest
import websocket

from ocppj import Client, OcppjError, Server, client_tls_context, server_tls_context, v16
from ocppj.ws.client import WebSocketClient
from ocppj.ws.handshake.policy import HandshakeRequest
from ocppj.ws.server import WebSocketServer
from tests.certificates import PASSWORD, authority, server_file
from tests.fixtures import HEARTBEAT
from tests.helpers import eventually, seconds
from tests.inside.endpoints import transport_of
from tests.ws.support import NO_WAIT, PATH, RawClient, RawServer, frame, request

KEY = bytes.fromhex("0001020304050607FFFFFFFFCCCCCCCCCCCCCCCC")  # of the 1.6 documents
TEXT = "correct-hörse-battery"
#: What else a program sends to be known by, and a proxy adds: in fields of each request, and in the URL's query.
FIELDS = {
    "Cookie": "session=COOKIE-UNTOLD-7Tx",
    "Proxy-Authorization": "Bearer PROXY-UNTOLD-7Tx",
    "X-Api-Key": "API-KEY-UNTOLD-7Tx",
    "X-Forwarded-Access-Token": "FORWARDED-UNTOLD-7Tx",
}
QUERY = "?token=QUERY-UNTOLD-7Tx"
TOKEN = "UNTOLD-7Tx"  # no address of an object and no random key can contain it


def forms(user: str, password: bytes) -> List[str]:
    """Return how a password would look in a text."""
    credentials = user.encode() + b":" + password
    looks = [base64.b64encode(each).decode().rstrip("=") for each in (password, credentials)]
    looks += [base64.b64encode(credentials)[8:24].decode()]  # a part of it
    looks += [binascii.hexlify(password).decode(), urllib.parse.quote(password), repr(password)[2:-1]]
    looks += [password.decode("latin-1"), password.decode("utf-8", "replace")]
    return looks


class Everything:
    """All that was logged, raised and shown."""

    def __init__(self) -> None:
        self._texts: List[str] = []
        self.handler = logging.Handler(1)
        self.handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.handler.emit = lambda record: self._texts.append(self.handler.format(record))  # type: ignore[method-assign]

    def show(self, *things: Any) -> None:
        for thing in things:
            self._texts += [repr(thing), str(thing)]

    def failing(self, function: Any, *arguments: Any, **options: Any) -> None:
        """Call what must fail, and keep all that its exception says, and those behind it."""
        with pytest.raises(OcppjError) as caught:
            function(*arguments, **options)
        seen: set = set()
        error: Any = caught.value
        todo = [error]
        while todo:
            error = todo.pop()
            if error is not None and id(error) not in seen:
                seen.add(id(error))
                self.show(error, error.args, *vars(error).values())
                todo += [error.__cause__, error.__context__]

    @property
    def text(self) -> str:
        return "\n".join(self._texts)


@pytest.fixture
def everything():
    root, found = logging.getLogger(), Everything()
    levels = {name: logging.getLogger(name).level for name in (None, "ocppj", "websocket")}
    for name in levels:
        logging.getLogger(name).setLevel(1)
    root.addHandler(found.handler)
    websocket.enableTrace(True, logging.NullHandler())
    try:
        yield found
    finally:
        websocket.enableTrace(False)
        root.removeHandler(found.handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


class ShowingServer(WebSocketServer):
    """Shows the check of passwords that it is given, which holds them."""

    def __init__(self, everything, **options):
        super().__init__(**options)
        self.everything = everything

    def set_basic_auth_handler(self, handler):
        self.everything.show(handler)
        super().set_basic_auth_handler(handler)


class Scene:
    """A server and what connects to it."""

    def __init__(self, everything, stack, user, password):
        self.everything, self.stack, self.user, self.password = everything, stack, user, password

    def server(self, passwords=None, prepare=lambda server: None, **options):
        ws = ShowingServer(self.everything, **options)
        server = Server(profiles=v16.PROFILES, ws_server=ws)
        self.stack.callback(server.stop)
        server.set_basic_auth_handler({self.user: self.password} if passwords is None else passwords)
        server.set_check_client_handler(lambda request: self.everything.show(request, request.headers) or True)
        prepare(server)
        self.everything.show(server, ws)
        return server.listen(path=PATH, host="127.0.0.1")

    def client(self, identity=None, credentials=None, **options):
        options.setdefault("basic_auth", (self.user, self.password) if credentials is None else credentials)
        options.setdefault("reconnect", False)
        options["headers"] = {**FIELDS, **options.get("headers", {})}
        client = Client(identity or self.user, profiles=v16.PROFILES, **options)
        self.stack.callback(client.stop)
        self.everything.show(client, transport_of(client))
        return client

    def fails(self, server, *arguments, **options):
        url = server if isinstance(server, str) else server.url
        self.everything.failing(lambda: self.client(*arguments, **options).connect(url + QUERY))


def play_successes(scene):
    for tls in (None, server_tls_context(server_file())):
        trust = {} if tls is None else {"ssl_context": client_tls_context(authority().path)}
        profile = 1 if tls is None else 2
        with scene.server(ssl_context=tls, security_profile=profile) as server:
            client = scene.client(security_profile=profile, **trust).connect(server.url + QUERY)
            scene.everything.failing(client.call, HEARTBEAT)
            client.stop()
    with scene.server() as server:
        client = scene.client(reconnect=True, backoff=NO_WAIT).connect(server.url + QUERY)
        for _ in range(2):
            eventually(lambda: server.client_ids() and client.is_connected())
            server.disconnect(scene.user, 1001)
            eventually(lambda: "closed" in scene.everything.text)
        server.set_basic_auth_handler({})  # it is refused, again and again

        def shut_out():
            with contextlib.suppress(OcppjError):  # it may be let in just yet, and be there a moment later
                server.disconnect(scene.user)
            return "HTTP 401" in scene.everything.text

        eventually(shut_out)
        client.stop()


def play_refusals(scene):
    def broken(*_):
        raise RuntimeError("broken")

    wrong = (scene.user, scene.password + scene.password[:1])
    with scene.server() as server:
        scene.fails(server, credentials=wrong)
        scene.fails(server, "other")
        scene.fails(server, basic_auth=None)
        scene.fails(server, headers={"Authorization": "Basic !"}, basic_auth=None)
        scene.fails(server.url.replace("/ocpp", "/nowhere"))
        server.set_check_client_handler(lambda request: False)
        scene.fails(server)
        server.set_check_client_handler(broken)
        scene.fails(server)
    with scene.server(broken) as server:
        scene.fails(server)
    for prepare in (
        lambda server: server.set_check_origin_handler(lambda origin: False),
        lambda server: server.set_check_certificate_handler(lambda request: False),
    ):
        with scene.server(prepare=prepare) as server:
            scene.fails(server)
    with scene.server(duplicates="reject", max_connections=1) as server:
        scene.client().connect(server.url + QUERY)
        scene.fails(server)
        server.set_basic_auth_handler(lambda *_: True)
        scene.fails(server, "second", credentials=("second", scene.password))
    with scene.server(no_subprotocol="reject") as server:
        play_raw(scene, server)


def play_raw(scene, server):
    """Requests that no client of ours would send, with credentials."""
    secret = scene.user.encode() + b":" + (scene.password if isinstance(scene.password, bytes) else b"") + b"x"
    fields = {"Authorization": "Basic " + base64.b64encode(secret).decode(), **FIELDS}
    good = request(f"/ocpp/{scene.user}{QUERY}", **fields)
    for data in (
        request(f"/ocpp/{scene.user}{QUERY}", Sec_WebSocket_Protocol="soap", **fields),
        request(f"/ocpp/%zz{QUERY}", **fields),
        request(f"http://user:{TOKEN}@host/ocpp/{scene.user}{QUERY}", Sec_WebSocket_Version="12", **fields),
        request(f"/ocpp/{scene.user}{QUERY}", Upgrade="", **fields),
        good.replace(b"GET", b"POST"),
        good.replace(b"Authorization: ", b"Authorization "),
        good.replace(b"\r\nHost", b"\r\n folded\r\nHost"),
        good.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 20000 + b"\r\n\r\n"),
        good[:-10],
        frame(1, good),
    ):
        with RawClient(server.url) as raw:
            raw.send(data)
            raw.sock.shutdown(1)
            raw.at_end()


def play_bad_servers(scene):
    def echo(peer):
        head = peer.read_head()
        peer.send(b"HTTP/1.1 400 no\r\nX-Said: " + head.encode("latin-1").replace(b"\r\n", b" ") + b"\r\n\r\n")

    def with_body(body):
        return f"HTTP/1.1 401 no\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def echo_in_a_body(peer):
        lines = [line for line in peer.read_head().split("\r\n") if TOKEN in line or "Basic" in line]
        peer.send(with_body("\n".join(lines).encode("latin-1")))

    def echo_in_json(peer):
        peer.send(with_body(json.dumps(sent(peer)).replace("/", "\\/").encode()))

    def sent(peer):
        (line,) = [line for line in peer.read_head().split("\r\n") if line.startswith("Authorization")]
        return line.partition(" ")[2]

    def echo_decoded(peer):
        peer.send(with_body(b"not " + base64.b64decode(sent(peer).partition(" ")[2]) + b"!"))

    def echo_the_password(peer):
        credentials = base64.b64decode(sent(peer).partition(" ")[2])
        peer.send(with_body(b'{"wrong": "' + credentials.partition(b":")[2] + b'"}'))

    def nonsense(peer):
        peer.read_head()
        peer.send(b"SSH-2.0\r\n\r\n")

    def hang_up(peer):
        peer.read_head()

    def other_subprotocol(peer):
        peer.answer("soap")

    bodies = (echo_in_a_body, echo_in_json, echo_decoded, echo_the_password)
    for script in (echo, *bodies, nonsense, hang_up, other_subprotocol):
        with RawServer(lambda peer, script=script: (script(peer), peer.sock.close())) as server:
            scene.fails(server.url)
    with RawServer(lambda peer: peer.at_end()) as server:
        scene.fails(server.url, handshake_timeout=seconds(0.2))
    scene.fails("ws://127.0.0.1:1/ocpp")
    scene.fails("wss://127.0.0.1:1/ocpp")


def play_misuse(scene):
    password = scene.password.decode("latin-1") if isinstance(scene.password, bytes) else scene.password
    quoted = urllib.parse.quote(password)
    user, fails = scene.user, scene.everything.failing
    for url in (
        f"ws://{user}:{quoted}@127.0.0.1/ocpp",
        f"{user}:{quoted}@127.0.0.1/ocpp",
        f"ws://{user}:{quoted}",
        f"ws://{user}:{quoted}@127.0.0.1:99999",
        f"ws://{user}:{password}@h\u2100st/ocpp",
        f"ws://[{quoted}",
    ):
        scene.fails(url)
    for url in (
        f"http://127.0.0.1/{QUERY}",
        f"ws://127.0.0.1/{QUERY} not encoded",
        f"ws://127.0.0.1/{QUERY}\ud800",
        f"ws://127.0.0.1/{QUERY}#fragment",
        f"ws://{user}:{password}@h\u2100st/ocpp",
    ):
        for profile in (None, 0, 1):
            scene.fails(url, security_profile=profile, basic_auth=(user, scene.password) if profile == 1 else None)
    fails(scene.client().connect, b"ws://127.0.0.1/" + QUERY.encode())
    for profile in (0, 1, 2, 3):
        scene.fails("ws://127.0.0.1:1", credentials=(password, user), security_profile=profile)
        scene.fails("wss://127.0.0.1:1", credentials=(password, user), security_profile=profile)
    scene.fails("ws://127.0.0.1:1", credentials=(password + ":", user))
    for bad in (f"{user}:{password}", (user, [scene.password]), (user, password + "\ud800"), (scene.password, None)):
        fails(WebSocketClient, basic_auth=bad)
    for fields in ({f"Authorization: Basic {password}": ""}, {"Authorization": password + "\n"}, {"A": [password]}):
        fails(WebSocketClient, headers=fields)
    for bad in ({user: [password]}, {user: password + "\ud800"}):
        fails(Server(profiles=v16.PROFILES).set_basic_auth_handler, bad)
    certificate, key = authority().pair("localhost", password=PASSWORD)
    fails(server_tls_context, [(certificate, key)], password=password)
    fails(client_tls_context, None, certificate, key, password)


SCENES = [play_successes, play_refusals, play_bad_servers, play_misuse]


@pytest.mark.parametrize("play", SCENES, ids=lambda play: play.__name__)
@pytest.mark.parametrize(("user", "password"), [("AL1000", KEY), ("CP_1", TEXT)], ids=["key", "text"])
def test_no_secret_is_told(everything, stack, play, user, password):
    play(Scene(everything, stack, user, password))
    stack.close()
    told = everything.text
    for form in forms(user, password if isinstance(password, bytes) else password.encode()):
        assert form.lower() not in told.lower()
    assert TOKEN not in told


def test_the_scenes_are_what_they_say(everything, stack):
    """The refusals happen, and are logged; the traces are on, and show what was sent."""
    for play in SCENES:
        play(Scene(everything, stack, "CP_1", TEXT))
    stack.close()
    for status in (400, 401, 403, 404, 405, 409, 426, 431, 500, 503):
        assert f"refused with {status}" in everything.text, status
    assert "websocket GET /ocpp/CP_1 HTTP/1.1" in everything.text
    assert "'authorization': '...'" in everything.text
    assert "cannot load the certificate" in everything.text


def test_a_leak_would_be_found(everything):
    logging.getLogger("ocppj").debug("%r", KEY)
    logging.getLogger("ocppj").debug("%s", FIELDS)
    assert everything.text.count(TOKEN) == len(FIELDS)
    assert any(form.lower() in everything.text.lower() for form in forms("AL1000", KEY))
    websocket.dump("request header", "Authorization: Basic QUwxMDAwOgABAgMEBQYH/////8zMzMzMzMzM")
    assert base64.b64encode(b"AL1000:" + KEY).decode() in everything.text


def test_a_request_hides_its_password():
    shown = repr(HandshakeRequest("CP_1", "/CP_1", "", {}, "here", (), None, KEY))
    assert "password" not in shown
    assert "cccc" not in shown.lower()
