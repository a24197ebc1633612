"""Which chargers a `Server` lets in, and which central systems a `Client` copes with."""

import base64
import json

import pytest

from ocppj import (
    Client,
    HandshakeRefused,
    Server,
    SubprotocolError,
    TransportError,
    UsageError,
    client_tls_context,
    server_tls_context,
    v16,
    v21,
    v201,
)
from tests.certificates import authority, server_file, stranger
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import RawClient, RawServer, frame, request

MODULES = {"1.6": v16, "2.0.1": v201, "2.1": v21}
PROFILES = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
SUBPROTOCOLS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
HEARTBEAT = frame(1, json.dumps([2, "1", "Heartbeat", {}]).encode())


@pytest.fixture
def ends():
    todo = []
    yield todo
    for each in reversed(todo):
        each.stop()


@pytest.fixture
def serve(ends):
    """Make a server that speaks all versions and answers Heartbeat."""

    def make(path=("/{id}", "/ocpp/{id}"), prepare=lambda server: None, identify=None, **options):
        server = Server(profiles=PROFILES, timeout=seconds(10), **options)
        ends.append(server)
        server.beats = Recorder()
        for module in MODULES.values():
            server.on(module.HeartbeatRequest)(beat(server.beats, module))
        prepare(server)
        return server.listen(path="/{id}" if identify else path, host="127.0.0.1", identify=identify)

    return make


def beat(beats, module):
    def handle(client_id, request):
        beats(client_id)
        return module.HeartbeatResponse(current_time="2026-01-02T03:04:05Z")

    return handle


@pytest.fixture
def join(ends):
    """Connect a client of a version, and have its Heartbeat answered."""

    def make(url, identity="CP_1", version="1.6", **options):
        module = MODULES[version]
        options.setdefault("reconnect", False)
        client = Client(identity, profiles=module.PROFILES, timeout=seconds(10), **options)
        ends.append(client)
        client.connect(url)
        client.call(module.HeartbeatRequest())
        return client

    return make


def refused(join, *arguments, **options):
    with pytest.raises(HandshakeRefused) as caught:
        join(*arguments, **options)
    return caught.value.status


def knock(server, data, beat=True):
    """Send a request; return the head of the answer. If that is 101, a Heartbeat is answered."""
    with RawClient(server.url) as client:
        client.send(data)
        head = client.read_head()
        if " 101 " in head and beat:
            client.send(HEARTBEAT)
            opcode, answer = client.read_frame()
            assert (opcode, json.loads(answer)[:2]) == (1, [3, "1"])
    return head


def status(head):
    return int(head.split()[1])


def basic(user="CP_1", password="secret", scheme="Basic ", padding="="):
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return scheme + (encoded if padding else encoded.rstrip("="))


# Paths --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", MODULES)
def test_several_paths(serve, join, version):
    server = serve(["/{id}", "/ocpp/{id}", "/{tenant}/cs/{id}"])
    for number, path in enumerate(["", "/", "/ocpp", "/ocpp/", "/north/cs"]):
        join(server.url + path, f"CP_{number}", version)
    assert server.beats.calls == [(f"CP_{number}",) for number in range(5)]
    assert refused(join, server.url + "/other", "CP_9", version) == 404
    assert refused(join, server.url + "/north/cp", "CP_9", version) == 404
    assert server.stats().refused == {"unknown_path": 2}


@pytest.mark.parametrize(
    ("path", "identity", "values"),
    [
        ("/north/CP_1", "CP_1", {"tenant": "north"}),
        ("/n%2Frth%20%C3%BC/AA%3ABB/", "AA:BB", {"tenant": "n/rth ü"}),
        ("//south///CP_2?site=7", "CP_2", {"tenant": "south"}),
    ],
)
def test_checks_see_what_stands_for_placeholders(serve, path, identity, values):
    seen = Recorder(True)
    server = serve("/{tenant}/{id}", prepare=lambda server: server.set_check_client_handler(seen))
    assert status(knock(server, request(path))) == 101
    assert server.beats.calls == [(identity,)]
    (((asked,),)) = seen.calls
    assert (asked.identity, asked.values) == (identity, values)


@pytest.mark.parametrize("handshake", ["strict", "lenient"])
@pytest.mark.parametrize("target", ["CP_1", "*", "ocpp/CP_1", "CP_1?site=/CP_2", "%2FCP_1", "mailto:CP_1"])
def test_a_target_that_does_not_begin_with_a_slash(serve, target, handshake):
    assert status(knock(serve(handshake=handshake), request(target))) == 404


def test_the_url_of_a_server_with_placeholders(serve, join):
    server = serve("/ocpp/{tenant}/{id}")
    assert server.url.endswith("/ocpp")
    assert refused(join, server.url) == 404
    join(server.url + "/north")


@pytest.mark.parametrize(
    "path",
    [
        *["*", "/ocpp", "ocpp/{id}", "/*/{id}", "/cp-{id}", "/{id}/{id}", ""],
        *[[], ["/{id}", "*"], [None], None, 7, b"/{id}"],
    ],
    ids=ascii,
)
def test_a_path_that_cannot_be_meant(path):
    server = Server(profiles=v16.PROFILES)
    for begin in (lambda: server.listen(path=path, host="127.0.0.1"), lambda: server.start(0, path, "127.0.0.1")):
        with pytest.raises(UsageError, match="a path is a template"):
            begin()
    server.listen(host="127.0.0.1")
    server.stop()


# A function that finds the identity ----------------------------------------------------------------------------------


def by_header(request):
    return request.headers.get("X-Serial")


def by_query(request):
    return request.query.partition("id=")[2] or None


def by_path(request):
    known = {"/ocpp/north/1": "CP_1"}
    return known.get(request.path)


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize(
    ("identify", "good", "bad"),
    [
        (by_header, request("/", X_Serial="CP_1"), request("/CP_1")),
        (by_query, request("/x/y?id=CP_1"), request("/x/y")),
        (by_path, request("/ocpp/north/1"), request("/ocpp/north/2")),
    ],
    ids=["header", "query", "path"],
)
def test_a_function_finds_the_identity(serve, identify, good, bad, subprotocol):
    server = serve(identify=identify)
    assert server.url.count("/") == 2
    good, bad = (each.replace(b"ocpp1.6", subprotocol.encode()) for each in (good, bad))
    assert status(knock(server, good)) == 101
    assert server.beats.calls == [("CP_1",)]
    assert status(knock(server, bad)) == 404
    eventually(lambda: server.stats().refused == {"unknown_path": 1})


def test_a_function_that_finds_the_identity_goes_before_the_checks(serve):
    server = serve(identify=by_header, prepare=lambda server: server.set_basic_auth_handler({"CP_1": "secret"}))
    assert status(knock(server, request("/", X_Serial="CP_1", Authorization=basic()))) == 101
    assert status(knock(server, request("/", X_Serial="CP_1"))) == 401
    assert status(knock(server, request("/", X_Serial="CP_2", Authorization=basic()))) == 401


def by_tenant(request):
    tenant, identity = request.path.strip("/").split("/")
    return f"{tenant}-{identity}"


@pytest.mark.parametrize("version", MODULES)
def test_the_user_name_may_be_the_identity_in_the_url_too(serve, join, version):
    """Two tenants have a CP_1. Each has a password of its own, and the user name that its charger knows."""
    passwords = {"north-CP_1": "of the north", "south-CP_1": "of the south"}
    server = serve(identify=by_tenant, prepare=lambda server: server.set_basic_auth_handler(passwords))
    for tenant, identity in (("north", "CP_1"), ("south", "CP_1")):
        url, password = f"{server.url}/{tenant}", passwords[f"{tenant}-{identity}"]
        join(url, identity, version, basic_auth=(identity, password))
        join(url, identity, version, headers={"Authorization": basic(f"{tenant}-{identity}", password)})
    assert sorted(server.client_ids()) == ["north-CP_1", "south-CP_1"]
    for user, password in (("CP_1", "of the south"), ("CP_2", "of the north"), ("south-CP_1", "of the south")):
        field = {"Authorization": basic(user, password)}
        assert refused(join, f"{server.url}/north", "CP_1", version, headers=field) == 401


def test_such_a_user_name_may_have_a_colon(serve):
    passwords = {"south-CP:2": "of:another"}
    server = serve(identify=by_tenant, prepare=lambda server: server.set_basic_auth_handler(passwords))
    for path in ("/south/CP:2", "/south/CP%3A2"):
        good = request(path, Authorization=basic("CP:2", "of:another"))
        assert status(knock(server, good)) == (101 if path == "/south/CP:2" else 401)


def test_with_a_path_the_user_name_is_the_identity(serve):
    passwords = {"CP_1": "secret"}
    server = serve("/{id}/ocpp", prepare=lambda server: server.set_basic_auth_handler(passwords))
    assert status(knock(server, request("/CP_1/ocpp", Authorization=basic()))) == 101
    assert status(knock(server, request("/CP_1/ocpp", Authorization=basic("ocpp")))) == 401


async def later(request):
    return "CP_1"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("identify", "code", "story"),
    [
        (lambda request: 1 / 0, 500, "ZeroDivisionError"),
        (lambda request: True, 500, "identify() returned bool, not a text or None"),
        (lambda request: b"CP_1", 500, "identify() returned bytes"),
        (lambda request: later(request), 500, "identify() returned coroutine"),
        (lambda request: "", 400, "the identity is empty"),
        (lambda request: "a\nb", 400, "control characters"),
        (lambda request: "x" * 256, 400, "more than 255"),
    ],
    ids=["raises", "bool", "bytes", "coroutine", "empty", "control", "long"],
)
def test_a_function_that_finds_no_identity(serve, caplog, identify, code, story):
    server = serve(identify=identify)
    assert status(knock(server, request())) == code
    eventually(lambda: story in caplog.text)
    reason = "internal_error" if code == 500 else "bad_request"
    eventually(lambda: server.stats().refused == {reason: 1})


def test_a_function_that_cannot_be_one():
    server = Server(profiles=v16.PROFILES)
    for identify, story in [(later, "async function"), (lambda: "CP", "request"), (7, "not 7")]:
        with pytest.raises(UsageError, match=story):
            server.listen(identify=identify, host="127.0.0.1")
    with pytest.raises(UsageError, match="give one of the two"):
        server.listen(path="/ocpp/{id}", identify=by_header, host="127.0.0.1")
    server.listen(host="127.0.0.1")
    server.stop()


# Handshakes a little off ---------------------------------------------------------------------------------------------

NO_CONNECTION = [
    request(Connection=""),
    request("/AA_BB", Connection="", Sec_WebSocket_Protocol="ocpp2.0.1"),
    request(Connection="", Sec_WebSocket_Protocol="ocpp2.1", User_Agent="Autel"),
]


@pytest.mark.parametrize("data", NO_CONNECTION, ids=["1.6", "2.0.1", "2.1"])
def test_no_connection_field(serve, data):
    assert status(knock(serve(), data)) == 400
    assert status(knock(serve(handshake="lenient"), data)) == 101


@pytest.mark.parametrize("field", ["close", "keep-alive", "x"])
def test_a_connection_field_that_says_something_else(serve, field):
    assert status(knock(serve(handshake="lenient"), request(Connection=field))) == 400


OFF = {
    "colon": basic(scheme="Basic: "),
    "colon alone": basic(scheme="basic:"),
    "no padding": basic(password="secret12", padding=""),
    "both": basic(password="secret12", scheme="BASIC: ", padding=""),
}


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("field", OFF.values(), ids=OFF)
def test_credentials_a_little_off(serve, caplog, field, subprotocol):
    data = request(Authorization=field, Sec_WebSocket_Protocol=subprotocol)

    def prepare(server):
        server.set_basic_auth_handler(lambda client_id, password: password in (b"secret", b"secret12"))

    assert status(knock(serve(prepare=prepare), data)) == 401
    eventually(lambda: "malformed Basic credentials of 'CP_1'" in caplog.text)
    assert status(knock(serve(prepare=prepare, handshake="lenient"), data)) == 101


@pytest.mark.parametrize("handshake", ["strict", "lenient"])
@pytest.mark.parametrize(
    ("field", "story"),
    [
        ("", "no Basic credentials of 'CP_1'"),
        ("Bearer secret", "no Basic credentials of 'CP_1'"),
        ("Basic secret!", "malformed Basic credentials of 'CP_1'"),
        ("Basic " + base64.b64encode(b"secret").decode(), "malformed Basic credentials of 'CP_1'"),
        (basic("secret"), "Basic credentials of another identity than 'CP_1'"),
        (basic("CP_"), "Basic credentials of another identity than 'CP_1'"),
        (basic(password="secret2"), "wrong credentials of 'CP_1'"),
    ],
)
def test_the_log_tells_what_is_wrong_with_the_credentials(serve, caplog, field, story, handshake):
    server = serve(prepare=lambda server: server.set_basic_auth_handler({"CP_1": "secret"}), handshake=handshake)
    head = knock(server, request(Authorization=field))
    assert status(head) == 401
    assert "WWW-Authenticate: Basic" in head
    eventually(lambda: f"refused with 401: {story}" in caplog.text)
    assert "secret" not in caplog.text
    assert server.stats().refused == {"bad_credentials": 1}


@pytest.mark.parametrize(
    ("offered", "version"),
    [
        *[("OCPP1.6", "1.6"), ("ocpp1.6J", "1.6"), ("Ocpp1.6-json", "1.6"), ("soap, ocpp1.6J", "1.6")],
        *[("ocpp2.0.1.1", "2.0.1"), ("OCPP2.0.1", "2.0.1"), ("ocpp2.0, ocpp2.0.1-J", "2.0.1")],
        *[("OCPP2.1", "2.1"), ("ocpp2.1.1", "2.1"), ("oCPP2.1j", "2.1")],
    ],
)
def test_subprotocols_a_little_off(serve, offered, version):
    data = request(Sec_WebSocket_Protocol=offered)
    assert status(knock(serve(no_subprotocol="reject"), data)) == 400
    server = serve(handshake="lenient", no_subprotocol="reject")
    versions = []
    server.set_new_client_handler(lambda client_id: versions.append(server.version_of(client_id)))
    head = knock(server, data)
    assert status(head) == 101
    assert f"sec-websocket-protocol: {offered.split(', ')[-1]}".lower() in head.lower()
    assert offered.split(", ")[-1] in head  # as the charger wrote it: it looks for it in its list
    assert versions == [version]


@pytest.mark.parametrize("offered", ["ocpp1.60", "ocpp2.0", "ocpp1", "xocpp1.6", "ocpp2.0.11", "ocpp1.6 J", 'ocpp1.6"'])
def test_other_subprotocols_are_no_near_ones(serve, offered):
    server = serve(handshake="lenient", no_subprotocol="reject")
    assert status(knock(server, request(Sec_WebSocket_Protocol=offered))) == 400


def test_what_is_right_is_taken_before_what_is_nearly_right(serve):
    server = serve(handshake="lenient")
    head = knock(server, request(Sec_WebSocket_Protocol="ocpp2.0.1.1, ocpp1.6"))
    assert "sec-websocket-protocol: ocpp1.6\r\n" in head.lower() + "\r\n"
    head = knock(server, request(Sec_WebSocket_Protocol="OCPP2.1, ocpp1.6J"))
    assert "OCPP2.1" in head
    prefers = serve(handshake="lenient", prefer="server")
    assert "ocpp1.6J" in knock(prefers, request(Sec_WebSocket_Protocol="OCPP2.1, ocpp1.6J"))


@pytest.mark.parametrize("default", SUBPROTOCOLS)
@pytest.mark.parametrize("offered", ["", "soap", "ocpp1.5, ocpp2.0", "OCPP1.6"])
def test_a_default_for_what_is_unknown(serve, offered, default):
    server = serve(no_subprotocol="default", default_subprotocol=default)
    versions = []
    server.set_new_client_handler(lambda client_id: versions.append(server.version_of(client_id)))
    head = knock(server, request(Sec_WebSocket_Protocol=offered))
    assert status(head) == 101
    assert "sec-websocket-protocol" not in head.lower()
    assert versions == [default[4:]]
    eventually(lambda: server.stats().connections == 0)
    assert server.stats().refused == {}


def test_options_that_cannot_be():
    for options, story in [
        ({"no_subprotocol": "default"}, "needs a default_subprotocol"),
        ({"handshake": "loose"}, "'strict' or 'lenient', not 'loose'"),
        ({"handshake": True}, "'strict' or 'lenient', not True"),
        ({"no_subprotocol": "ignore"}, "'close', 'reject' or 'default'"),
    ]:
        with pytest.raises(UsageError, match=story):
            Server(profiles=v16.PROFILES, **options)
    server = Server(profiles=v16.PROFILES, default_subprotocol="ocpp2.0.1")
    with pytest.raises(UsageError, match="'ocpp2.0.1' is not one of ocpp1.6"):
        server.listen(host="127.0.0.1")
    client = Client("CP_1", profiles=v16.PROFILES, default_subprotocol="ocpp2.1")
    with pytest.raises(UsageError, match="'ocpp2.1' is not one of ocpp1.6"):
        client.connect("ws://127.0.0.1:1")


@pytest.mark.parametrize(
    "pieces", [[b"\r\n"], [b"\r", b"\n"], [b"\r\n\r\n\r\n"], [b"\r\n\r\n", b"\r\n\r"], [b"\r\n" * 3000]]
)
@pytest.mark.parametrize("handshake", ["strict", "lenient"])
def test_empty_lines_before_the_request_are_ignored(serve, pieces, handshake):
    data = request() if b"".join(pieces).endswith(b"\n") else b"\n" + request()
    server = serve(handshake=handshake)
    with RawClient(server.url) as client:
        for piece in [*pieces, data]:
            client.send(piece)
        assert status(client.read_head()) == 101


def test_not_without_end(serve):
    server = serve()
    with RawClient(server.url) as client:
        client.send(b"\r\n" * 10_000)
        assert status(client.read_head()) == 431


@pytest.mark.parametrize("data", [b"\n" + request(), b"\r" + request(), b" \r\n" + request(), b"\0" + request()])
def test_other_things_before_the_request_are_not(serve, data):
    assert status(knock(serve(handshake="lenient"), data)) == 400


# The client ----------------------------------------------------------------------------------------------------------


def central_system(**answer):
    """A server that upgrades in its own way, and answers one Heartbeat."""

    def script(peer):
        peer.answer(**answer)
        opcode, data = peer.read_frame()
        while opcode != 1:
            opcode, data = peer.read_frame()
        answered = [3, json.loads(data)[1], {"currentTime": "2026-01-02T03:04:05Z"}]
        peer.send(frame(1, json.dumps(answered).encode(), masked=False))
        peer.at_end()

    return RawServer(script)


@pytest.mark.parametrize("version", MODULES)
def test_a_central_system_that_names_no_subprotocol(join, version):
    with central_system(subprotocol=None) as peer:
        client = join(peer.url, "CP_1", version, default_subprotocol=f"ocpp{version}")
        assert client.version == version
        client.stop()
    with central_system(subprotocol=None, extra="Sec-WebSocket-Protocol: \r\n") as peer:
        assert join(peer.url, "CP_1", version, default_subprotocol=f"ocpp{version}").version == version
    for extra in ("", "Sec-WebSocket-Protocol:\r\n"):
        with central_system(subprotocol=None, extra=extra) as peer, pytest.raises(SubprotocolError, match="chose none"):
            join(peer.url, "CP_1", version)
    with central_system(subprotocol="soap") as peer, pytest.raises(SubprotocolError, match="chose 'soap'"):
        join(peer.url, "CP_1", version, default_subprotocol=f"ocpp{version}")


def test_the_default_is_for_the_version_that_is_meant(ends):
    with central_system(subprotocol=None) as peer:
        client = Client("CP_1", profiles=PROFILES, default_subprotocol="ocpp2.0.1", reconnect=False)
        ends.append(client)
        assert client.connect(peer.url).version == "2.0.1"
        client.stop()


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
@pytest.mark.parametrize("version", MODULES)
def test_an_empty_field_of_extensions(join, value, version):
    with central_system(subprotocol=f"ocpp{version}", extra=f"Sec-WebSocket-Extensions:{value}\r\n") as peer:
        join(peer.url, "CP_1", version).stop()


@pytest.mark.parametrize("value", ["permessage-deflate", ", x"])
def test_an_extension_that_was_not_offered(join, value):
    extra = f"Sec-WebSocket-Extensions: {value}\r\n"
    with central_system(extra=extra) as peer, pytest.raises(TransportError, match="not offered"):
        join(peer.url)


@pytest.mark.parametrize(
    ("identity", "path", "version"),
    [("CP_1", "/CP_1", "1.6"), ("a/b", "/a%2Fb/", "2.0.1"), ("CP 1", "/CP%201", "2.1"), ("CP_1", "/%43P_1", "2.1")],
)
def test_a_url_that_ends_in_the_identity(serve, join, caplog, identity, path, version):
    server = serve("/ocpp/{id}")
    with pytest.raises(HandshakeRefused) as caught:
        join(server.url + path, identity, version)
    story = f"the URL ends in {identity!r} already, and the identity is added to it: leave it out of the URL"
    assert story in str(caught.value)
    assert "404" in str(caught.value)
    assert caplog.text.count(story) == 1
    assert caught.value.status == 404
    with pytest.raises(HandshakeRefused) as caught:
        join(server.url + "/x", identity, version)
    assert "already" not in str(caught.value)


def test_a_url_that_ends_in_the_identity_and_is_meant(serve, join, caplog):
    server = serve("/{site}/{id}")
    join(server.url + "/CP_1")
    assert "the URL ends in 'CP_1' already" in caplog.text


# One port for profiles 2 and 3 ---------------------------------------------------------------------------------------

PASSWORDS = {"CP_1": "secret", "CP_2": "another secret", "AA:BB": "a third"}


def one_port(required=False):
    return server_tls_context(server_file(), client_ca=authority().path, require_client_certificate=required)


def trusting():
    return client_tls_context(authority().path)


def certified(*names, issuer=None):
    return client_tls_context(authority().path, (issuer or authority()).both(*names))


def passwords(server):
    server.set_basic_auth_handler(PASSWORDS)


def by_table(request):
    return {"CP_1": 2, "CP_2": 3, "CP_3": 1, "CP_4": 4, "CP_5": None, "CP_6": "2"}[request.identity]


@pytest.mark.parametrize("version", MODULES)
def test_one_port_for_certificates_and_passwords(serve, join, version):
    server = serve(ssl_context=one_port(), prepare=passwords)
    join(server.url, "CP_1", version, ssl_context=certified("CP_1"))
    join(server.url, "CP_2", version, ssl_context=trusting(), basic_auth=("CP_2", PASSWORDS["CP_2"]))
    join(server.url, "CP_3", version, ssl_context=certified("CP_3"), security_profile=3)  # it has no password at all
    assert [client_id for (client_id,) in server.beats.calls] == ["CP_1", "CP_2", "CP_3"]
    assert server.stats().refused == {}


RIGHT, WRONG = ("CP_1", "secret"), ("CP_1", "wrong")
BASIC, CERTIFICATE = ("Basic", "bad_credentials"), ("Certificate", "certificate")


@pytest.mark.parametrize(
    ("names", "basic_auth", "why", "story"),
    [
        (None, None, BASIC, "no Basic credentials of 'CP_1'"),
        (None, WRONG, BASIC, "wrong credentials of 'CP_1'"),
        (None, ("CP_2", "another secret"), BASIC, "of another identity than 'CP_1'"),
        (["CP_2"], None, CERTIFICATE, "the certificate is not one of 'CP_1'"),
        (["CP_2"], RIGHT, CERTIFICATE, "the certificate is not one of 'CP_1'"),
        (["CP_1"], WRONG, BASIC, "wrong credentials of 'CP_1'"),
        (["CP_1"], ("CP_2", "another secret"), BASIC, "of another identity than 'CP_1'"),
    ],
)
def test_what_is_presented_must_be_right(serve, names, basic_auth, why, story, caplog):
    server = serve(ssl_context=one_port(), prepare=passwords)
    challenge, reason = why
    assert challenge_of(server, names, basic_auth) == (401, challenge)
    eventually(lambda: server.stats().refused == {reason: 1})
    assert story in caplog.text
    assert server.beats.calls == []


def challenge_of(server, names, basic_auth, identity="CP_1"):
    """Knock over TLS; return the status and the challenge of the answer."""
    context = certified(*names) if names else trusting()
    client = RawClient(server.url)
    client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
    with client:
        fields = {"Authorization": basic(*basic_auth)} if basic_auth else {}
        head = client.upgrade(f"/{identity}", **fields)
    lines = [line.partition(": ")[2] for line in head.split("\r\n") if line.startswith("WWW-Authenticate")]
    assert len(lines) <= 1
    return status(head), lines[0].split()[0] if lines else None


def test_a_certificate_that_nobody_verified_is_cut(serve, join):
    server = serve(ssl_context=one_port(), prepare=passwords)
    with pytest.raises(TransportError):
        join(server.url, ssl_context=certified("CP_1", issuer=stranger()), basic_auth=RIGHT)
    eventually(lambda: server.stats().refused == {"tls": 1})


def test_where_a_certificate_is_required_of_all_both_are_asked_for(serve):
    server = serve(ssl_context=one_port(required=True), prepare=passwords)
    assert challenge_of(server, ["CP_1"], None) == (401, "Basic")
    assert challenge_of(server, ["CP_1"], RIGHT) == (101, None)


def test_with_profile_2_a_certificate_does_not_stand_in(serve):
    server = serve(ssl_context=one_port(), prepare=passwords, security_profile=2)
    assert challenge_of(server, ["CP_1"], None) == (401, "Basic")
    assert challenge_of(server, ["CP_2"], RIGHT) == (401, "Certificate")
    assert challenge_of(server, ["CP_1"], RIGHT) == (101, None)
    assert challenge_of(server, None, RIGHT) == (101, None)


def test_a_check_of_certificates_of_the_programs_own(serve):
    def prepare(server):
        passwords(server)
        server.set_check_certificate_handler(lambda request: not request.peer_certificate or known(request))

    def known(request):
        return request.subject("commonName") == ("serial of " + request.identity,)

    server = serve(ssl_context=one_port(), prepare=prepare)
    assert challenge_of(server, ["serial of CP_1"], None) == (101, None)
    assert challenge_of(server, ["CP_1"], RIGHT) == (401, "Certificate")
    assert challenge_of(server, None, RIGHT) == (101, None)
    assert challenge_of(server, None, None) == (401, "Basic")  # what the check says of no certificate is no proof
    server.set_check_certificate_handler(known)
    assert challenge_of(server, None, RIGHT) == (401, "Certificate")


@pytest.mark.parametrize(
    ("identity", "names", "basic_auth", "code", "challenge"),
    [
        ("CP_1", None, RIGHT, 101, None),
        ("CP_1", ["CP_1"], None, 401, "Basic"),
        ("CP_1", ["CP_1"], RIGHT, 101, None),
        ("CP_2", ["CP_2"], None, 101, None),
        ("CP_2", None, ("CP_2", "another secret"), 401, "Certificate"),
        ("CP_2", ["CP_2"], ("CP_2", "wrong"), 401, "Basic"),
        ("CP_2", ["CP_1"], None, 401, "Certificate"),
        ("CP_5", ["CP_5"], None, 101, None),
        ("CP_5", None, None, 401, "Basic"),
    ],
)
def test_a_profile_for_each_client(serve, identity, names, basic_auth, code, challenge):
    server = serve(ssl_context=one_port(), prepare=passwords, security_profile=by_table)
    assert challenge_of(server, names, basic_auth, identity) == (code, challenge)


@pytest.mark.parametrize(
    ("identity", "story"),
    [
        ("CP_3", "security profile 1 is without TLS, but there is an ssl_context"),
        ("CP_4", "security_profile is 0, 1, 2 or 3, or None, not 4"),
        ("CP_6", "security_profile is 0, 1, 2 or 3, or None, not '2'"),
        ("CP_7", "KeyError"),
    ],
)
def test_a_profile_that_cannot_be(serve, identity, story, caplog):
    server = serve(ssl_context=one_port(), prepare=passwords, security_profile=by_table)
    assert challenge_of(server, [identity], None, identity) == (500, None)
    eventually(lambda: story in caplog.text)
    assert server.stats().refused == {"internal_error": 1}


@pytest.mark.parametrize(
    ("profile", "fields", "code", "story"),
    [
        (0, {}, 101, ""),
        (0, {"Authorization": basic(password="wrong")}, 101, ""),  # not needed, not looked at
        (1, {"Authorization": basic()}, 101, ""),
        (1, {}, 401, "no Basic credentials"),
        (2, {"Authorization": basic()}, 500, "security profile 2 is over TLS: it needs an ssl_context"),
        (3, {}, 500, "security profile 3 is over TLS: it needs an ssl_context"),
        (None, {}, 401, "no Basic credentials"),
    ],
)
def test_a_profile_for_each_client_without_tls(serve, profile, fields, code, story, caplog):
    server = serve(prepare=passwords, security_profile=lambda request: profile)
    assert status(knock(server, request(**fields))) == code
    eventually(lambda: story in caplog.text)


def test_a_profile_of_certificates_where_tls_asks_for_none(serve, caplog):
    server = serve(ssl_context=server_tls_context(server_file()), security_profile=lambda request: 3)
    assert challenge_of(server, None, None) == (500, None)
    eventually(lambda: "verifies client certificates" in caplog.text)


@pytest.mark.filterwarnings("error")
def test_functions_that_are_no_profile(serve):
    async def profile(request):
        return 0

    with pytest.raises(UsageError, match="async function"):
        Server(profiles=v16.PROFILES, security_profile=profile)
    with pytest.raises(UsageError, match="request"):
        Server(profiles=v16.PROFILES, security_profile=lambda: 0)
    server = serve(security_profile=lambda request: profile(request))
    assert status(knock(server, request())) == 500
    with pytest.raises(UsageError, match="0, 1, 2 or 3, or "):
        Client("CP_1", profiles=v16.PROFILES, security_profile=by_table)
