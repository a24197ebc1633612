"""What every transport promises: the same tests for real sockets, TLS and memory."""

import logging
import pickle
import re
import threading
import time
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from ocppj.clock import ManualClock
from ocppj.errors import HandshakeRefused, SubprotocolError, TransportError, UsageError
from ocppj.ws.backoff import Backoff
from ocppj.ws.base import handshake_of
from ocppj.ws.readers import SharedReaders, ThreadPerConnection
from tests.helpers import Recorder, eventually, seconds
from tests.inside.readers import kept, last_heard
from tests.inside.transports import channels, run_of
from tests.ws.support import NO_WAIT, OCPP, PATH, open_files

# Connecting and talking ---------------------------------------------------------------------------------------------


def test_text_goes_both_ways_in_order(pair):
    server, server_log, client, client_log = pair.both()
    sent = [f'[{number}, "ä€𝄞"]' for number in range(200)]
    for text in sent:
        client.send(text)
        server.send("CP_1", text)
    assert server_log.wait_texts(200) == sent
    assert client_log.wait_texts(200) == sent
    assert server_log.channel().subprotocol == client_log.channel().subprotocol == "ocpp2.0.1"
    assert server_log.channel().id == client_log.channel().id == "CP_1"


def test_an_empty_text_is_a_message(pair):
    server, server_log, client, _ = pair.both()
    client.send("")
    assert server_log.wait_texts(1) == [""]


IDENTITIES = ["RDAM|123", "RDAM 123", "a/b", "Łódź-ü 漢字", "AA:BB:CC:DD:EE:FF", "100%", "%2F", "a?b#c&d", "+;,=@$~"]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_identities_arrive_as_they_were(pair, identity):
    server, server_log = pair.server()
    client, _ = pair.client(server.url, identity)
    assert server_log.channel().id == identity
    server.send(identity, "for you")
    assert server.get_channel(identity) is server_log.channel()


def test_the_query_of_the_endpoint_stays(pair):
    server, _ = pair.server()
    seen = Recorder(True)
    server.set_check_client_handler(seen)
    pair.client(server.url + "?site=7&x=%2F", "CP 1")
    request = seen.calls[0][0]
    assert (request.identity, request.path, request.query) == ("CP 1", "/ocpp/CP%201", "site=7&x=%2F")


def test_the_server_knows_a_client_as_soon_as_that_is_connected(pair):
    server, server_log = pair.server()
    for number in range(20):
        client, client_log = pair.client(server.url, f"CP_{number}")
        assert len(server_log.connected.calls) == number + 1
        server.send(f"CP_{number}", "hello")
        assert client_log.wait_texts(1) == ["hello"]


def test_what_the_connected_handlers_send_comes_first(pair):
    server, server_log = pair.server()
    server_log.on_connected = lambda channel: channel.send("first from the server")
    client, client_log = pair.client()
    client_log.on_connected = lambda channel: channel.send("first from the client")
    client.connect(server.url, "CP_1", OCPP)
    client.send("second")
    server.send("CP_1", "second")
    assert client_log.wait_texts(2) == ["first from the server", "second"]
    assert server_log.wait_texts(2) == ["first from the client", "second"]


def test_sending_without_a_channel_is_an_error(pair):
    server, server_log, client, client_log = pair.both()
    with pytest.raises(TransportError, match="CP_2"):
        server.send("CP_2", "text")
    client.stop()
    with pytest.raises(TransportError):
        client.send("text")
    with pytest.raises(TransportError):
        client_log.channel().send("text")
    server_log.close()
    with pytest.raises(TransportError):
        server_log.channel().send("text")
    assert server.get_channel("CP_1") is None


def test_connecting_where_nobody_listens(pair):
    server, _ = pair.server()
    url = server.url
    server.stop()
    client, client_log = pair.client()
    with pytest.raises(TransportError):
        client.connect(url, "CP_1", OCPP)
    assert client_log.connected.calls == client_log.disconnected.calls == []


def test_what_cannot_be_is_refused(pair):
    server, _, client, _ = pair.both()
    with pytest.raises(UsageError):
        client.connect(server.url, "CP_1", OCPP)
    with pytest.raises(UsageError):
        server.listen(0, PATH, "127.0.0.1", OCPP)
    other, _ = pair.server(listen=False)
    for path in ("/ocpp", "ocpp/{id}", "/ocpp/{id}?x", "/ocpp/x{id}", ""):
        with pytest.raises(UsageError):
            other.listen(0, path, "127.0.0.1", OCPP)
    with pytest.raises(UsageError):
        other.listen(0, PATH, "127.0.0.1", "ocpp1.6")
    idle, _ = pair.client()
    for arguments in [(server.url, "", OCPP), (server.url, "a\nb", OCPP), (server.url, "CP_1", [])]:
        with pytest.raises(UsageError):
            idle.connect(*arguments)
    for options in [{"duplicates": "?"}, {"no_subprotocol": "?"}, {"prefer": "?"}]:
        with pytest.raises(UsageError):
            pair.server(**options)
    with pytest.raises(UsageError):
        pair.server(ping_interval=-1)
    with pytest.raises(UsageError):
        pair.client(ping_interval=-1)
    with pytest.raises(UsageError, match="ping_interval is a number .*, not '60'"):
        pair.client(ping_interval="60")


# Subprotocols -------------------------------------------------------------------------------------------------------

SUBPROTOCOLS = [
    (["ocpp1.6", "ocpp2.0.1"], ["ocpp2.0.1", "ocpp1.6"], "client", "ocpp1.6"),
    (["ocpp1.6", "ocpp2.0.1"], ["ocpp2.0.1", "ocpp1.6"], "server", "ocpp2.0.1"),
    (["ocpp2.1", "ocpp1.6"], ["ocpp1.6"], "client", "ocpp1.6"),
    (["ocpp2.1"], ["ocpp1.6", "ocpp2.1"], "server", "ocpp2.1"),
]


@pytest.mark.parametrize(("offered", "spoken", "prefer", "chosen"), SUBPROTOCOLS)
def test_the_subprotocol(pair, offered, spoken, prefer, chosen):
    server, server_log = pair.server(subprotocols=spoken, prefer=prefer)
    _, client_log = pair.client(server.url, subprotocols=offered)
    assert server_log.channel().subprotocol == client_log.channel().subprotocol == chosen


@pytest.mark.parametrize(("how", "error"), [("close", SubprotocolError), ("reject", HandshakeRefused)])
def test_no_common_subprotocol(pair, how, error):
    server, server_log = pair.server(no_subprotocol=how, subprotocols=["ocpp1.6"])
    client, client_log = pair.client()
    with pytest.raises(error):
        client.connect(server.url, "CP_1", ["ocpp2.1"])
    assert server_log.connected.calls == client_log.connected.calls == []
    client.connect(server.url, "CP_1", ["ocpp2.1", "ocpp1.6"])


# Who may connect ----------------------------------------------------------------------------------------------------


def refused(pair, server, **options):
    client, log = pair.client(**options)
    with pytest.raises(HandshakeRefused) as caught:
        client.connect(server.url, "CP_1", OCPP)
    assert log.connected.calls == []
    return caught.value.status


def test_an_unknown_client_gets_404(pair):
    server, log = pair.server()
    server.set_check_client_handler(lambda request: request.identity != "CP_1")
    assert refused(pair, server) == 404
    pair.client(server.url, "CP_2")
    assert [channel.id for (channel,) in log.connected.calls] == ["CP_2"]


def test_a_check_that_raises_gets_500(pair, caplog):
    server, _ = pair.server()
    server.set_check_client_handler(lambda request: 1 / 0)
    assert refused(pair, server) == 500
    assert "ZeroDivisionError" in caplog.text


def test_the_origin_is_checked(pair):
    server, _ = pair.server()
    server.set_check_origin_handler(lambda origin: origin in (None, "https://good"))
    assert refused(pair, server, headers={"Origin": "https://bad"}) == 403
    pair.client(server.url, headers={"Origin": "https://good"})


KEY = bytes.fromhex("0001020304050607FFFFFFFFCCCCCCCCCCCCCCCC")


def test_basic_credentials(pair, caplog):
    caplog.set_level(logging.DEBUG, "ocppj")
    server, log = pair.server()
    seen = Recorder()
    server.set_basic_auth_handler(lambda identity, password: (seen(identity, password), password == KEY)[1])
    assert refused(pair, server) == 401
    assert refused(pair, server, basic_auth=("CP_1", b"wrong-secret")) == 401
    assert refused(pair, server, basic_auth=("CP_2", KEY)) == 401
    pair.client(server.url, basic_auth=("CP_1", KEY))
    pair.client(server.url, "AA:BB:CC", basic_auth=("AA:BB:CC", KEY))
    assert seen.calls == [("CP_1", b"wrong-secret"), ("CP_1", KEY), ("AA:BB:CC", KEY)]
    assert "wrong-secret" not in caplog.text


def test_custom_headers_arrive(pair):
    server, _ = pair.server()
    seen = Recorder(True)
    server.set_check_client_handler(seen)
    pair.client(server.url, headers={"X-Model": "Wall 7"})
    assert seen.calls[0][0].headers["x-model"] == "Wall 7"
    with pytest.raises(UsageError):
        pair.client(headers={"X-Model": "a\r\nInjected: b"})


@pytest.mark.parametrize("identity", ["CP_1", "AA:BB:CC", "a/b"])
def test_a_channel_of_a_server_keeps_its_handshake_without_the_password(pair, identity):
    server, log = pair.server()
    server.set_basic_auth_handler(lambda *_: True)
    url = server.url + "?site=7"
    client, client_log = pair.client(url, identity, basic_auth=(identity, "secret"), headers={"X-Model": "Wall: 7"})
    request = handshake_of(log.channel())
    assert (request.identity, request.query, request.subprotocols) == (identity, "site=7", tuple(OCPP))
    assert request.path == "/ocpp/" + quote(identity, safe="")
    assert request.remote_address == log.channel().remote_address
    assert request.headers["x-MODEL"] == "Wall: 7"
    assert len(request.headers) == len(list(request.headers))
    assert (request.password, "authorization" in request.headers, request.values) == (None, False, {})
    assert "secret" not in repr(request)
    assert "Wall" not in repr(request)
    assert pickle.loads(pickle.dumps(request)) == request
    assert handshake_of(client_log.channel()) is None


def test_a_channel_of_a_server_keeps_what_stood_for_placeholders(pair):
    server, log = pair.server(listen=False)
    server.listen(0, ["/ocpp/{id}", "/{tenant}/{site}/{id}"], "127.0.0.1", OCPP)
    assert server.url.endswith("/ocpp")
    pair.client(server.url[:-5] + "/n%C3%B6rth/1%2F2", "CP_1")
    handshake = handshake_of(log.channel())
    assert (handshake.identity, handshake.values) == ("CP_1", {"tenant": "nörth", "site": "1/2"})
    pair.client(server.url, "CP_2")
    assert handshake_of(log.connected.wait(2)[1][0]).values == {}


def test_a_function_may_find_the_identities(pair):
    server, log = pair.server(listen=False)
    server.listen(0, "/{id}", "127.0.0.1", OCPP, lambda request: request.headers.get("X-Serial"))
    pair.client(server.url + "/any/path", headers={"X-Serial": "CP_7"})
    assert (log.channel().id, handshake_of(log.channel()).identity) == ("CP_7", "CP_7")
    assert refused(pair, server) == 404


def test_a_client_with_a_default_subprotocol(pair):
    server, log = pair.server(no_subprotocol="default", default_subprotocol="ocpp1.6", subprotocols=["ocpp1.6"])
    client, client_log = pair.client(default_subprotocol="ocpp2.1")
    client.connect(server.url, "CP_1", ["ocpp2.1"])
    assert (log.channel().subprotocol, client_log.channel().subprotocol) == ("ocpp1.6", "ocpp2.1")
    closing, _ = pair.server(subprotocols=["ocpp1.6"])
    other, other_log = pair.client(default_subprotocol="ocpp2.1")
    other.connect(closing.url, "CP_1", ["ocpp2.1"])
    assert (other_log.close().code, other_log.close().by_peer) == (1002, True)


def test_a_transport_of_the_programs_own_need_not_keep_the_handshake():
    assert handshake_of(SimpleNamespace(id="CP_1")) is None


OPTIONS = ["max_message_size", "pong_timeout", "close_timeout"]


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_cannot_be(pair, name):
    for make in (pair.server, pair.client):
        with pytest.raises(UsageError, match=name):
            make(**{name: -1})
        if name != "close_timeout":
            with pytest.raises(UsageError, match=name):
                make(**{name: 0})
        for no_number in ("10", None, True):
            with pytest.raises(UsageError, match=f"{name} is a (whole )?number.*, not {no_number!r}"):
                make(**{name: no_number})


@pytest.mark.parametrize("number", [0, -1])
def test_a_server_for_nobody_cannot_be(pair, number):
    with pytest.raises(UsageError, match="max_connections"):
        pair.server(max_connections=number)
    with pytest.raises(UsageError, match="idle_timeout is a number"):
        pair.server(idle_timeout=str(number))


def test_arguments_of_the_wrong_type(pair):
    server, _ = pair.server(listen=False)
    for port in ("9000", None, True, 1.5):
        with pytest.raises(UsageError, match=re.escape(repr(port))):
            server.listen(port, PATH, "127.0.0.1", OCPP)
    server.listen(0, PATH, "127.0.0.1", OCPP)
    client, _ = pair.client()
    for url in (None, 7, b"ws://x"):
        with pytest.raises(UsageError, match=f"url is a text, not {type(url).__name__}"):
            client.connect(url, "CP_1", OCPP)
    with pytest.raises(UsageError, match="client_id"):
        client.connect(server.url, 7, OCPP)


def test_a_full_server_says_so(pair):
    server, _ = pair.server(max_connections=1)
    pair.client(server.url, "CP_0")
    assert refused(pair, server) == 503


# Duplicates ---------------------------------------------------------------------------------------------------------


def test_a_new_connection_replaces_the_old_one(pair):
    server, server_log, _, old_log = pair.both()
    order = []
    server_log.on_disconnected = lambda channel, close: order.append("old is gone")
    server_log.on_connected = lambda channel: order.append("new is there")
    _, new_log = pair.client(server.url)
    close = old_log.close()
    assert (close.code, close.by_peer) == (1008, True)
    assert order == ["old is gone", "new is there"]
    ((_, server_close),) = server_log.disconnected.calls
    assert (server_close.code, server_close.by_peer) == (1008, False)
    server.send("CP_1", "for the new one")
    assert new_log.wait_texts(1) == ["for the new one"]
    assert server.get_channel("CP_1") is server_log.connected.calls[1][0]


def test_a_new_connection_is_rejected(pair):
    server, server_log, client, _ = pair.both(duplicates="reject")
    assert refused(pair, server) == 409
    client.send("still here")
    assert server_log.wait_texts(1) == ["still here"]
    client.stop()
    server_log.close()
    eventually(lambda: server.get_channel("CP_1") is None)
    pair.client(server.url)


def test_many_connections_of_one_identity_at_once(pair):
    server, server_log = pair.server()
    events = []
    server_log.on_connected = lambda channel: events.append(("+", channel))
    server_log.on_disconnected = lambda channel, close: events.append(("-", channel))
    refusals = []

    def connect(client):
        try:
            client.connect(server.url, "CP_1", OCPP)
        except HandshakeRefused as error:  # a newer one has come
            refusals.append(error.status)

    threads = [threading.Thread(target=connect, args=(pair.client()[0],)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(20))
    assert set(refusals) <= {409}
    last = 2 * (6 - len(refusals)) - 2
    eventually(lambda: len(events) == last + 1)
    for index in range(0, last, 2):
        assert events[index][0] == "+"
        assert events[index + 1] == ("-", events[index][1])
    assert server.get_channel("CP_1") is events[last][1]


def test_one_whose_handlers_do_not_end_is_closed_all_the_same(pair, caplog):
    server, server_log, _, old_log = pair.both()
    run_of(server).replaced_grace = run_of(server).handler_grace = 0.0
    old = server_log.channel()
    pair.client(server.url)
    assert not old.is_open
    assert old_log.close().code in (1008, 1006)
    assert server.get_channel("CP_1") is server_log.connected.wait(2)[1][0]
    assert "do not end" in caplog.text


# Closing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_server", [True, False])
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "ü" * 80), (4321, "x" * 200)])
def test_close_codes_arrive(pair, by_server, code, reason):
    server, server_log, client, client_log = pair.both()
    near, far = (server_log, client_log) if by_server else (client_log, server_log)
    near.channel().close(code, reason)
    near.channel().close(1002, "too late")
    expected = reason.encode()[:123].decode("utf-8", "ignore")
    near_close, far_close = near.close(), far.close()
    assert (near_close.code, near_close.reason, near_close.by_peer, near_close.error) == (code, expected, False, None)
    assert (far_close.code, far_close.reason, far_close.by_peer, far_close.error) == (code, expected, True, None)
    assert near_close.expected
    assert not far_close.expected


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_close_codes_that_cannot_be_sent(pair, code):
    _, _, client, client_log = pair.both()
    with pytest.raises(UsageError):
        client_log.channel().close(code)
    with pytest.raises(UsageError):
        client.stop(code)


@pytest.mark.parametrize("by_server", [True, False])
def test_a_cut_connection_is_1006_for_both(pair, by_server):
    _, server_log, _, client_log = pair.both()
    ours, theirs = (server_log, client_log) if by_server else (client_log, server_log)
    ours.channel().abort()
    for log, expected in ((ours, True), (theirs, False)):
        close = log.close()
        assert (close.code, close.by_peer, close.expected) == (1006, False, expected)
        assert isinstance(close.error, type(None) if expected else TransportError)


def test_disconnected_comes_once_however_many_end_it(pair):
    for _ in range(10):
        server, server_log, client, client_log = pair.both()
        channels = [server_log.channel(), client_log.channel()]
        enders = [server.stop, client.stop, *(c.abort for c in channels), *(c.close for c in channels)]
        threads = [threading.Thread(target=end) for end in enders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds(10))
            assert not thread.is_alive()
        server_log.close()
        client_log.close()
        assert len(server_log.disconnected.calls) == len(client_log.disconnected.calls) == 1


def test_all_messages_come_before_disconnected(pair):
    _, server_log, client, _ = pair.both()
    seen = []
    server_log.on_disconnected = lambda channel, close: seen.append(len(server_log.texts))
    for number in range(300):
        client.send(str(number))
    client.stop()
    server_log.close()
    eventually(lambda: seen == [300])


# Sizes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to_server", [True, False])
def test_the_size_limit_counts_bytes(pair, to_server):
    server, server_log = pair.server(max_message_size=1000 if to_server else 10**6)
    client, client_log = pair.client(max_message_size=10**6 if to_server else 1000)
    client.connect(server.url, "CP_1", OCPP)
    near, far = (client_log, server_log) if to_server else (server_log, client_log)
    near.channel().send("€" * 333 + "x")
    assert far.wait_texts(1) == ["€" * 333 + "x"]
    near.channel().send("€" * 333 + "xy")
    close = far.close()
    assert (close.code, close.by_peer) == (1009, False)
    assert close.error is not None
    assert near.close().code == 1009
    assert len(far.texts) == 1


@pytest.mark.parametrize("where", ["handler", "job"])
def test_large_messages_cross_without_a_deadlock(pair, where):
    """Each side answers each message with a large one, on its reading or its handler thread."""
    server, server_log = pair.server(max_message_size=2 * 1024 * 1024)
    client, client_log = pair.client(max_message_size=2 * 1024 * 1024)
    big = "x" * 512 * 1024

    def answer(channel, text):
        if text == "go":
            reply = lambda: channel.send(big)  # noqa: E731
            channel.submit(reply) if where == "job" else reply()

    server_log.on_message = client_log.on_message = answer
    client.connect(server.url, "CP_1", OCPP)
    for _ in range(5):
        client.send("go")
        server.send("CP_1", "go")
    assert client_log.wait_texts(10, 30).count(big) == 5
    assert server_log.wait_texts(10, 30).count(big) == 5


# Handlers and jobs --------------------------------------------------------------------------------------------------


def test_what_handlers_raise_is_logged_and_changes_nothing(pair, caplog):
    server, server_log = pair.server()
    server_log.on_connected = server_log.on_message = lambda *_: 1 / 0
    server_log.on_disconnected = lambda *_: 1 / 0
    client, _ = pair.client(server.url)
    client.send("one")
    client.send("two")
    assert server_log.wait_texts(2) == ["one", "two"]
    client.stop()
    server_log.close()
    eventually(lambda: caplog.text.count("ZeroDivisionError") == 4)


def test_jobs_run_in_order_and_not_where_they_are_submitted(pair):
    _, server_log, client, _ = pair.both()
    ran = []
    done = threading.Event()

    def submit(channel, text):
        channel.submit(lambda: ran.append((text, not channel.read_here)))
        if text == "99":
            channel.submit(done.set)

    server_log.on_message = submit
    for number in range(100):
        client.send(str(number))
    assert done.wait(seconds(10))
    assert ran == [(str(number), True) for number in range(100)]


def test_a_blocked_job_does_not_keep_messages_from_coming(pair):
    _, server_log, client, _ = pair.both()
    go = threading.Event()
    server_log.channel().submit(lambda: go.wait(seconds(10)))
    client.send("meanwhile")
    assert server_log.wait_texts(1) == ["meanwhile"]
    go.set()


def test_a_job_that_raises_is_logged(pair, caplog):
    _, server_log, _, _ = pair.both()
    done = threading.Event()
    server_log.channel().submit(lambda: 1 / 0)
    server_log.channel().submit(done.set)
    assert done.wait(seconds(10))
    assert "ZeroDivisionError" in caplog.text


def test_jobs_of_disconnected_handlers_are_run_also_after_stop(pair):
    server, server_log, client, client_log = pair.both()
    ran = Recorder()
    for log in (server_log, client_log):
        log.on_disconnected = lambda channel, close: channel.submit(lambda: ran(channel.id))
    client.stop()
    server_log.close()
    server.stop()
    assert len(ran.wait(2)) == 2


def test_stop_discards_the_jobs_not_begun(pair):
    server, server_log, _, _ = pair.both()
    begun, go, late = threading.Event(), threading.Event(), Recorder()
    server_log.channel().submit(lambda: (begun.set(), go.wait(seconds(10))))
    server_log.channel().submit(late)
    server_log.on_disconnected = lambda channel, close: go.set()
    assert begun.wait(seconds(10))
    # The first job is let go only by the stop, which must therefore discard the second one or let it run.
    server.stop()
    assert len(late.calls) <= 1
    server_log.channel().submit(late)
    assert len(late.calls) <= 1


def test_a_job_submitted_after_the_end_is_run(pair):
    _, server_log, client, _ = pair.both()
    client.stop()
    server_log.close()
    eventually(lambda: server_log.channel().ended.is_set())
    ran = Recorder()
    server_log.channel().submit(ran)
    ran.wait(1)


# Stopping -----------------------------------------------------------------------------------------------------------


def test_stopping_the_server_closes_with_1001(pair):
    server, server_log = pair.server()
    logs = [pair.client(server.url, f"CP_{number}")[1] for number in range(10)]
    server.stop()
    assert [log.close().code for log in logs] == [1001] * 10
    assert len(server_log.disconnected.calls) == 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-accept")]


@pytest.mark.parametrize("of_server", [True, False])
@pytest.mark.parametrize("where", ["connected", "message", "disconnected", "job"])
def test_stop_may_be_called_from_any_handler(pair, of_server, where):
    server, server_log = pair.server()
    client, client_log = pair.client()
    log, endpoint = (server_log, server) if of_server else (client_log, client)
    returned = threading.Event()

    def stop(*_):
        endpoint.stop()
        returned.set()

    if where == "job":
        log.on_message = lambda channel, text: channel.submit(stop)
    else:
        setattr(log, f"on_{where}", stop)
    try:
        client.connect(server.url, "CP_1", OCPP)
        (client_log if of_server else server_log).channel().send("go")
        if where == "disconnected":
            client_log.channel().close()
    except TransportError:
        pass  # of an endpoint that was stopped already
    assert returned.wait(seconds(10))
    log.close()
    endpoint.stop()
    assert len(log.disconnected.calls) == 1


def test_stop_any_number_of_times_from_several_threads(pair):
    server, _, client, _ = pair.both()
    threads = [threading.Thread(target=endpoint.stop) for endpoint in (server, client, server, client)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(10))
        assert not thread.is_alive()
    server.stop()
    client.stop()


def test_stop_before_anything(pair):
    server, _ = pair.server(listen=False)
    server.stop()
    client, _ = pair.client()
    client.stop()


def test_two_jobs_that_stop_the_same_server_do_not_wait_for_each_other(pair):
    server, server_log = pair.server()
    for identity in ("CP_1", "CP_2"):
        pair.client(server.url, identity)
    both = threading.Barrier(2)
    done = Recorder()
    for (channel,) in server_log.connected.wait(2):
        channel.submit(lambda: (both.wait(seconds(10)), server.stop(), done()))
    done.wait(2, 4)


def test_listen_and_connect_again_after_stop(pair):
    server, server_log, client, client_log = pair.both()
    for _ in range(3):
        client.stop()
        server.stop()
        server.listen(0, PATH, "127.0.0.1", OCPP)
        client.connect(server.url, "CP_1", OCPP)
    client.send("again")
    assert server_log.wait_texts(1) == ["again"]
    assert len(server_log.connected.calls) == 4
    assert len(client_log.disconnected.calls) == 3


def test_connect_again_as_soon_as_disconnected_says_so(pair):
    server, server_log, client, client_log = pair.both()
    for count in range(1, 6):
        server_log.connected.wait(count)[-1][0].abort()
        client_log.disconnected.wait(count)
        client.connect(server.url, "CP_1", OCPP)


def test_stop_races_with_connecting(pair):
    """Whatever comes first: no channel is left, no thread, and every `connected` has its `disconnected`."""
    for round_ in range(15):
        server, server_log = pair.server()
        client, client_log = pair.client()

        def connect(client=client, server=server):
            try:
                client.connect(server.url, "CP_1", OCPP)
            except (TransportError, UsageError):
                pass

        thread = threading.Thread(target=connect)
        thread.start()
        (client if round_ % 2 else server).stop()
        thread.join(seconds(10))
        client.stop()
        server.stop()
        for log in (server_log, client_log):
            eventually(lambda log=log: len(log.connected.calls) == len(log.disconnected.calls))
        assert server.get_channel("CP_1") is None


# Regaining ----------------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_regained(pair):
    server, server_log = pair.server()
    client, client_log = pair.client(reconnect=True, backoff=NO_WAIT)
    client.connect(server.url, "CP_1", ["ocpp2.1", "ocpp1.6"])
    for count in range(1, 4):
        server_log.connected.wait(count)[-1][0].abort()
        client_log.connected.wait(count + 1)
    eventually(client.get_channel)
    client.send("back")
    assert server_log.wait_texts(1) == ["back"]
    assert {channel.subprotocol for (channel,) in server_log.connected.calls} == {"ocpp1.6"}
    client.stop()
    assert len(client_log.disconnected.calls) == 4


def test_the_back_off_is_kept_and_stop_ends_it(pair):
    clock = ManualClock()
    server, server_log = pair.server()
    client, client_log = pair.client(reconnect=True, clock=clock, backoff=Backoff(10, 4, 2, random=lambda: 0.5))
    client.connect(server.url, "CP_1", OCPP)
    url = server.url
    tries = Recorder(False)
    server.set_check_client_handler(tries)
    server_log.channel().abort()
    for count, wait in enumerate([12, 26, 54, 54, 54], 1):
        assert clock.wait_for_waiters(1)
        clock.advance(wait - 0.01)
        assert len(tries.calls) == count - 1
        clock.advance(0.02)
        tries.wait(count)
    assert clock.wait_for_waiters(1)
    client.stop()
    assert client_log.connected.calls == client_log.connected.calls[:1]
    assert server.url == url


def test_stop_while_regaining(pair):
    server, server_log = pair.server()
    client, client_log = pair.client(reconnect=True, backoff=NO_WAIT)
    client.connect(server.url, "CP_1", OCPP)
    server.stop()
    client_log.close()
    client.stop()
    assert len(client_log.connected.calls) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-reconnect")]


def test_connect_is_refused_while_regaining(pair):
    server, _ = pair.server()
    client, client_log = pair.client(reconnect=True, clock=ManualClock())
    client.connect(server.url, "CP_1", OCPP)
    server.stop()
    client_log.close()
    with pytest.raises(UsageError):
        client.connect(server.url, "CP_1", OCPP)


# Keeping ------------------------------------------------------------------------------------------------------------


def test_pings_keep_a_quiet_connection(pair):
    server, server_log = pair.server(ping_interval=seconds(0.05), pong_timeout=seconds(5))
    client, client_log = pair.client(ping_interval=seconds(0.05), pong_timeout=seconds(5))
    client.connect(server.url, "CP_1", OCPP)
    assert not client_log.channel().ended.wait(seconds(0.4))
    client.send("alive")
    assert server_log.wait_texts(1) == ["alive"]


def test_the_ping_interval_of_a_channel_may_be_set(pair):
    _, server_log, _, _ = pair.both()
    channel = server_log.channel()
    channel.ping_interval = 5
    assert channel.ping_interval == 5
    channel.ping_interval = 0
    assert channel.ping_interval is None
    with pytest.raises(UsageError):
        channel.ping_interval = -1


def wait_for_life(channel, count):
    """Wait until something has come over ``channel`` so many times."""
    times = {last_heard(channel)}
    eventually(lambda: times.add(last_heard(channel)) or len(times) > count)


def test_a_ping_interval_takes_effect_on_an_idle_connection(pair):
    _, server_log = pair.server(ping_interval=None)
    ends = [pair.client(server_log.transport.url, ping_interval=None)[1].channel(), server_log.channel()]
    for channel in ends:
        channel.ping_interval = seconds(0.05)
        wait_for_life(channel, 3)  # a pong for the first ping, and then those of the interval
        channel.ping_interval = None


# What is raised -----------------------------------------------------------------------------------------------------


class Fatal(BaseException):
    """As `SystemExit`, and what ``pytest.fail`` raises."""


def fatal(*_):
    raise Fatal


@pytest.mark.parametrize("where", ["connected", "message", "disconnected", "job"])
def test_nothing_that_is_raised_ends_a_thread(pair, where, caplog):
    server, server_log = pair.server()
    ran = Recorder()
    if where == "job":
        server_log.on_connected = lambda channel: (channel.submit(fatal), channel.submit(ran))
    else:
        setattr(server_log, f"on_{where}", fatal)
    client, _ = pair.client(server.url)
    client.send("1")
    client.send("2")
    assert server_log.wait_texts(2) == ["1", "2"]
    if where == "job":
        ran.wait(1)
    client.stop()
    server_log.close()
    eventually(lambda: not channels(server))
    assert "Fatal" in caplog.text


def test_a_check_that_ends_its_thread_gets_500(pair, caplog):
    server, _ = pair.server()
    server.set_check_client_handler(fatal)
    assert refused(pair, server) == 500
    assert "Fatal" in caplog.text


def test_ctrl_c_in_a_connected_handler_is_for_the_main_thread(pair):
    server, server_log = pair.server()
    client, client_log = pair.client()

    def interrupt(channel):
        raise KeyboardInterrupt

    client_log.on_connected = interrupt
    with pytest.raises(KeyboardInterrupt):
        client.connect(server.url, "CP_1", OCPP)
    client.stop()
    client_log.close()
    server_log.close()


def full():
    """Make a selector, where there can be no more."""
    raise OSError("too many")


def test_nothing_to_read_with_is_the_end(pair, monkeypatch, caplog):
    make = (lambda: SharedReaders(selector=full)) if pair.readers == "shared" else ThreadPerConnection
    readers = make()
    server, server_log = pair.server(readers=lambda: readers)
    ran = Recorder()
    server_log.on_connected = lambda channel: channel.submit(lambda: ran("connected"))
    server_log.on_disconnected = lambda channel, close: channel.submit(lambda: ran("disconnected"))
    start = threading.Thread.start

    def start_(thread):
        if thread.name == "ocppj-reader-CP_1":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_)
    pair.client(server.url, readers=make)
    assert ran.wait(2) == [("connected",), ("disconnected",)]
    assert server_log.close().code == 1013
    eventually(lambda: server.stats().refused.get("out_of_resources") == 1)
    eventually(lambda: not kept(readers))
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith(("ocppj-disp", "ocppj-work"))])
    assert "no thread to read it" in caplog.text


@pytest.mark.parametrize("of_server", [True, False])
@pytest.mark.parametrize("where", ["connected", "message", "disconnected"])
def test_stop_where_it_reads_does_not_wait_for_the_jobs_to_come(pair, of_server, where):
    server, server_log = pair.server()
    client, client_log = pair.client()
    log, endpoint = (server_log, server) if of_server else (client_log, client)
    took, last = Recorder(), Recorder()

    def stop(channel, *_):
        begun = threading.Event()
        channel.submit(begun.set)
        assert begun.wait(seconds(10))
        now = time.monotonic()
        endpoint.stop()
        took(time.monotonic() - now)

    def end(channel, close):
        if where == "disconnected":
            stop(channel)
        channel.submit(last)

    log.on_disconnected = end
    if where != "disconnected":
        setattr(log, f"on_{where}", stop)
    try:
        client.connect(server.url, "CP_1", OCPP)
        (client_log if of_server else server_log).channel().send("go")
        if where == "disconnected":
            client_log.channel().close()
    except TransportError:
        pass  # of an endpoint that was stopped already
    assert took.wait(1)[0][0] < seconds(4)
    last.wait(1)
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("ocppj-dispatcher")])


# Leaving nothing ----------------------------------------------------------------------------------------------------


def test_two_hundred_connections_leave_nothing(pair):
    server, server_log = pair.server()
    client, client_log = pair.client(server.url)
    client.stop()
    server_log.close()
    eventually(lambda: server.get_channel("CP_1") is None)
    threads, files = threading.active_count(), open_files()
    for number in range(200):
        client.connect(server.url, f"CP_{number}", OCPP)
        if number % 3 == 0:
            server_log.connected.calls[-1][0].abort()
        client.send("x") if number % 3 == 1 else None
        client.stop()
    server_log.disconnected.wait(201)
    eventually(lambda: threading.active_count() <= threads)
    eventually(lambda: open_files() <= files)


# Bytes


def test_a_server_tells_what_peers_do_not_take(pair):
    """A peer that is paused reads nothing. In memory nothing is buffered on this side."""
    server, server_log, client, client_log = pair.both()
    client_log.on_message = lambda channel, text: channel.pause(lambda: False)
    server_log.channel()
    text = "x" * 500_000
    if pair.name == "memory":
        with pytest.raises(TransportError):
            for _ in range(12):
                server.send("CP_1", text, wait=False)
        server_log.close()
        return
    while not server.stats().held:  # the network takes some
        server.send("CP_1", text, wait=False)
    assert server.stats().held["unsent"] > 0
    client.stop()
    server_log.close()
    eventually(lambda: server.stats().held == {})


def test_a_peer_that_takes_its_messages_again_gets_all(pair):
    server, server_log, client, client_log = pair.both()
    room = []
    client_log.on_message = lambda channel, text: channel.pause(lambda: bool(room)) if not room else None
    sent = threading.Thread(target=lambda: [server.send("CP_1", f"{number:06}" * 50_000) for number in range(40)])
    server_log.channel()
    sent.start()
    client_log.wait_texts(1)
    room.append(True)
    client_log.channel().resume()
    texts = client_log.wait_texts(40, 30)
    sent.join(seconds(10))
    assert texts == [f"{number:06}" * 50_000 for number in range(40)]
