"""Half-open connections: TCP stands, but nothing passes any more, as when a modem or a NAT box forgets a connection.

Nobody is told: only a ping that finds no life can tell, on whichever side it is sent.
"""

import selectors
import socket
import threading
import time

import pytest

from ocppj import Client, ConnectionLost, OCPPError, Server, SharedReaders, UnknownClient, v16
from ocppj.ws.client import WebSocketClient
from ocppj.ws.server import WebSocketServer
from tests.fixtures import BEAT, HEARTBEAT, RESET
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import NO_WAIT, client_context, server_context

PING_INTERVAL = 0.3
PONG_TIMEOUT = 0.4
PAUSE = threading.Event()  # never set: its `wait` passes the time
SLACK = 4.0  # seconds that a busy machine may need beside these
BIG = v16.DataTransferRequest(vendor_id="V", data="x" * 200_000)  # more of it than a network takes that is not read


class Relay:
    """Forwards TCP connections, until `freeze`; those that come later are forwarded again."""

    def __init__(self, url):
        scheme, _, address = url.partition("://")
        self._target = int(address.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._frozen = []
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def freeze(self):
        """Let nothing pass any more, not even the end, on the connections there are."""
        with self._lock:
            for key in list(self._selector.get_map().values()):
                if key.data is not None:
                    self._selector.unregister(key.fileobj)
                    self._frozen.append(key.fileobj)

    def close(self):
        self._ended = True
        self._thread.join(seconds(5))
        assert not self._thread.is_alive()
        self.freeze()
        for sock in [self._listener, *self._frozen]:
            sock.close()
        self._selector.close()

    def _run(self):
        while not self._ended:
            ready = self._selector.select(0.02)
            with self._lock:
                for key, _ in ready:
                    if key.data is None:
                        self._accept()
                    elif key.fileobj.fileno() >= 0 and key.fileobj not in self._frozen:
                        self._pass_on(key.fileobj, key.data)

    def _accept(self):
        near, _ = self._listener.accept()
        far = socket.create_connection(("127.0.0.1", self._target))
        self._selector.register(near, selectors.EVENT_READ, far)
        self._selector.register(far, selectors.EVENT_READ, near)

    def _pass_on(self, source, target):
        try:
            data = source.recv(65536)
            if data:
                target.sendall(data)
                return
        except OSError:
            pass
        for sock in (source, target):
            self._selector.unregister(sock)
            sock.close()


class Watched(WebSocketServer):
    """Calls ``lost`` with the end of each connection, after the handler."""

    def __init__(self, lost, **options):
        super().__init__(**options)
        self._lost = lost

    def set_disconnected_handler(self, handler):
        def call_both(channel, close):
            handler(channel, close)
            self._lost(close)

        super().set_disconnected_handler(call_both)


class Site:
    """A server and a client with a relay between them; only one side pings, so that it alone can find out."""

    def __init__(self, kind, pinging, pong_timeout=PONG_TIMEOUT):
        secure, readers = kind
        pings = {"ping_interval": seconds(PING_INTERVAL), "pong_timeout": seconds(pong_timeout)}
        none = {"ping_interval": None}
        self.readers = SharedReaders() if readers == "shared" else None
        server, client = dict(pings if pinging == "server" else none), dict(pings if pinging == "client" else none)
        if secure:
            server["ssl_context"], client["ssl_context"] = server_context(), client_context()
        self.server_lost, self.client_lost, self.regained = Recorder(), Recorder(), Recorder()
        self.ws_server = Watched(self.server_lost, readers=readers, **server)
        self.server = Server(profiles=v16.PROFILES, ws_server=self.ws_server, timeout=seconds(60))
        self.server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        self.server.listen(host="127.0.0.1")
        self.relay = Relay(self.ws_server.url)
        self.ws_client = WebSocketClient(backoff=NO_WAIT, readers=self.readers or readers, **client)
        self.client = Client("CP_1", profiles=v16.PROFILES, ws_client=self.ws_client, timeout=seconds(60), resend=True)
        self.client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
        self.client.set_disconnected_handler(self.client_lost)
        self.client.set_reconnected_handler(self.regained)
        self.client.connect(self.relay.url)
        assert self.client.call(HEARTBEAT) == BEAT

    def freeze(self):
        self.relay.freeze()
        return time.monotonic()

    def close(self):
        self.client.stop()
        self.server.stop()
        self.relay.close()
        if self.readers is not None:
            self.readers.stop(seconds(5))


@pytest.fixture(
    params=[(False, "per-connection"), (False, "shared"), (True, "per-connection"), (True, "shared")],
    ids=["own", "shared", "tls-own", "tls-shared"],
)
def make_site(request):
    made = []

    def make(*arguments):
        made.append(Site(request.param, *arguments))
        return made[-1]

    yield make
    for site in made:
        site.close()


def calling(call, *arguments):
    """Call on a thread; return a function that returns how the call ended."""
    outcome = []

    def run():
        try:
            outcome.append(call(*arguments))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(seconds(10))
        assert outcome, "the call did not end"
        return outcome[0]

    return result


def in_time(begun):
    return time.monotonic() - begun < seconds(PING_INTERVAL + PONG_TIMEOUT + SLACK)


def test_a_client_finds_out_and_comes_back(make_site):
    site = make_site("client")
    begun = site.freeze()
    kept = [site.client.send_request(HEARTBEAT) for _ in range(3)]  # the first is on its way into the void
    close = site.client_lost.wait(1)[0][0]
    assert in_time(begun)
    assert (close.code, close.expected) == (1006, False)
    assert "silent" in str(close.error)
    site.regained.wait(1)
    assert [future.result(seconds(10)) for future in kept] == [BEAT] * 3
    assert site.server_lost.wait(1)[0][0].code == 1008  # replaced: the server had no other way to know
    assert site.server.call("CP_1", RESET).status == "Accepted"


def test_a_call_of_a_client_ends_with_the_connection(make_site):
    site = make_site("client")
    begun = site.freeze()
    result = calling(site.client.call, HEARTBEAT)
    assert isinstance(result(), ConnectionLost)
    assert in_time(begun)
    site.regained.wait(1)
    assert site.client.call(HEARTBEAT) == BEAT


def test_a_server_finds_out_and_its_requests_end(make_site):
    site = make_site("server")
    begun = site.freeze()
    futures = [site.server.send_request("CP_1", RESET) for _ in range(3)]
    close = site.server_lost.wait(1)[0][0]
    assert in_time(begun)
    assert (close.code, close.expected) == (1006, False)
    assert "silent" in str(close.error)
    for future in futures:
        assert isinstance(future.exception(seconds(10)), ConnectionLost)
    eventually(lambda: site.server.client_ids() == [])
    assert site.client_lost.calls == []  # which does not ping, and cannot know


@pytest.mark.parametrize("pinging", ["client", "server"])
def test_it_is_found_out_in_time_while_there_is_much_to_write(make_site, pinging):
    """The pings wait behind what the network does not take; ``write_timeout`` is far longer than they are."""
    site = make_site(pinging)
    lost = site.client_lost if pinging == "client" else site.server_lost
    calls = [lambda: site.client.call(BIG), lambda: site.server.call("CP_1", BIG)]
    call = calls[pinging == "server"]
    begun = site.freeze()
    results = []
    while not lost.calls:
        assert in_time(begun)
        results.append(calling(call))
        PAUSE.wait(0.02)
    assert in_time(begun)
    close = lost.wait(1)[0][0]
    assert "silent" in str(close.error)
    ends = [result() for result in results]
    assert {type(end) for end in ends} <= {ConnectionLost, UnknownClient, OCPPError}, ends
    assert isinstance(ends[0], ConnectionLost)


def test_pings_that_are_answered_keep_a_quiet_connection(make_site):
    patience = 1.5  # as long as a busy machine may take to answer
    sites = [make_site(pinging, patience) for pinging in ("client", "server")]
    assert not threading.Event().wait(seconds(2 * PING_INTERVAL + patience))
    for site in sites:
        assert site.client_lost.calls == site.server_lost.calls == []
        assert site.client.call(HEARTBEAT) == BEAT
