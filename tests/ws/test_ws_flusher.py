"""Writes that do not wait: of a `Stream` and a `Flusher` alone, and of transports whose peers do not read."""

import errno
import selectors
import socket
import threading
import time
import zlib

import pytest

from ocppj.errors import TransportError, WriteTimeout
from ocppj.ws.client import WebSocketClient
from ocppj.ws.readers.flusher import Flusher
from ocppj.ws.server import WebSocketServer
from ocppj.ws.stream.outlet import Unsent
from ocppj.ws.threads import Threads
from tests.helpers import Recorder, eventually, seconds
from tests.inside.sockets import waiters
from tests.ws.support import (
    OCPP,
    PATH,
    Log,
    RawClient,
    RawServer,
    client_context,
    frame,
    open_files,
    server_context,
)
from tests.ws.test_ws_stream import make, make_pair, read_exactly, tls  # noqa: F401

MUCH = b"x" * 1_000_000


def flusher_threads():
    return [thread for thread in threading.enumerate() if thread.name == "ocppj-flusher"]


SELECTORS = ["DefaultSelector", "PollSelector", "SelectSelector"]


@pytest.fixture(params=[name for name in SELECTORS if hasattr(selectors, name)])
def selector(request):
    return getattr(selectors, request.param)


@pytest.fixture
def flusher(selector):
    flusher = Flusher(Threads(), selector)
    yield flusher
    flusher.stop()
    eventually(lambda: not flusher_threads())


# What a Stream does --------------------------------------------------------------------------------------------------


def test_any_thread_may_write_what_is_buffered(make):
    near, far = make()
    near.send(MUCH)
    assert near.hand_over()
    assert near.write_deadline is not None
    got = bytearray()
    unsent = near.flush()
    while unsent is not None:
        assert unsent.writable
        got += far.read() or b""
        unsent = near.flush()
    got += read_exactly(far, len(MUCH) - len(got))
    assert bytes(got) == MUCH
    assert not near.hand_over()
    assert near.write_deadline is None


def test_the_reading_thread_needs_no_other(make):
    near, _ = make()
    near.reader_ident = threading.get_ident()
    near.send(MUCH)
    assert not near.hand_over()


def test_corked_bytes_need_no_other_thread(make):
    near, _ = make()
    near.cork()
    near.send(MUCH)
    assert not near.hand_over()
    assert not near.flush().writable
    assert not near.wants_write
    near.uncork(discard=True)
    assert near.flush() is None


def test_flush_breaks_a_stream_whose_time_has_come(make):
    near, _ = make(write_timeout=0.05)
    near.send(MUCH)
    assert near.hand_over()
    eventually(lambda: near.flush() is None)
    with pytest.raises(WriteTimeout):
        near.send(b"x")
    with pytest.raises(TransportError, match="did not take"):
        near.recv(1)


def test_too_much_in_the_buffer_breaks_the_stream(make):
    near, _ = make(max_backlog=100_000)
    near.check_backlog()
    near.send(MUCH)
    with pytest.raises(WriteTimeout):
        near.check_backlog()


def test_a_held_descriptor_stays_open(make):
    near, _ = make()
    fd = near.hold()
    assert fd == near.fileno()
    near.close()
    assert near.fileno() == fd
    near.let_go()
    assert near.fileno() == -1
    assert near.hold() == -1


# What a Flusher does ------------------------------------------------------------------------------------------------


def test_the_flusher_writes_in_order_and_ends(make, flusher):
    near, far = make()
    pieces = [bytes([number]) * 70_000 for number in range(20)]
    for piece in pieces:
        near.send(piece)
        if near.hand_over():
            flusher.add(near)
    assert [thread.daemon for thread in flusher_threads()] == [True]
    data = b"".join(pieces)
    assert read_exactly(far, len(data)) == data
    eventually(lambda: not flusher_threads())
    assert waiters(near) == 0
    near.send(MUCH)
    assert near.hand_over()
    flusher.add(near)
    assert read_exactly(far, len(MUCH)) == MUCH


def test_many_sockets_at_once(flusher, tls):
    pairs = [make_pair(tls, small=False) for _ in range(20)]
    for near, _ in pairs:
        near.send(MUCH * 2)
        near.hand_over()
        flusher.add(near)
    assert len(flusher_threads()) == 1
    for near, far in reversed(pairs):
        assert len(read_exactly(far, len(MUCH) * 2)) == len(MUCH) * 2
        near.close()
        far.close()
    eventually(lambda: not flusher_threads())


def test_the_flusher_breaks_a_socket_whose_peer_does_not_read_and_wakes_its_reader(make, flusher):
    near, _ = make(write_timeout=seconds(0.2))
    slow, patient = make(write_timeout=seconds(30))
    begun = time.monotonic()
    near.send(MUCH)
    near.hand_over()
    slow.send(MUCH)
    slow.hand_over()
    flusher.add(slow)
    flusher.add(near)
    with pytest.raises(TransportError, match="did not take"):  # the reader has no deadline of its own
        near.recv(1)
    assert seconds(0.19) < time.monotonic() - begun < seconds(10)
    assert read_exactly(patient, len(MUCH)) == MUCH


def test_a_socket_that_is_closed_is_let_go(make, flusher, selector):
    files = open_files()
    # select() does not tell that a Unix socket was shut down, as it does of TCP: it is let go when its time has come.
    slow = selector is selectors.SelectSelector
    near, _ = make(write_timeout=seconds(0.5 if slow else 60))
    near.send(MUCH)
    near.hand_over()
    flusher.add(near)
    eventually(lambda: waiters(near) == 1)
    near.close()
    eventually(lambda: near.fileno() == -1)
    eventually(lambda: not flusher_threads())
    flusher.add(near)
    eventually(lambda: not flusher_threads())
    assert open_files() <= files + 2  # far, and its like


def test_stop_lets_all_go_and_add_does_nothing_after_it(make, flusher):
    near, _ = make()
    near.send(MUCH)
    near.hand_over()
    flusher.add(near)
    eventually(lambda: waiters(near) == 1)
    flusher.stop()
    eventually(lambda: not flusher_threads())
    assert waiters(near) == 0
    assert near.fileno() >= 0
    flusher.add(near)
    assert flusher_threads() == []


def test_without_a_thread_the_caller_gets_an_error_and_the_others_are_cut(make):
    near, _ = make()
    other, _ = make()
    for sock in (near, other):
        sock.send(MUCH)
        sock.hand_over()

    class NoThreads:
        def start(self, *arguments):
            flusher.add(other)  # another thread, meanwhile
            raise RuntimeError("can't start new thread")

    files = open_files()
    flusher = Flusher(NoThreads())
    with pytest.raises(RuntimeError):
        flusher.add(near)
    with pytest.raises(TransportError):
        other.send(b"x")
    assert open_files() <= files


class FakeOutlet:
    """Waits for TLS to read, twice; or fails."""

    def __init__(self, sock, rests):
        self.sock, self.rests = sock, list(rests)
        self.held, self.flushed, self.cut = 0, Recorder(), threading.Event()

    def hold(self):
        self.held += 1
        return self.sock.fileno()

    def let_go(self):
        self.held -= 1

    def flush(self):
        self.flushed()
        rest = self.rests.pop(0)
        if isinstance(rest, Exception):
            raise rest
        return rest

    def shutdown(self):
        self.cut.set()


def test_a_write_that_waits_for_a_read_is_tried_again_and_not_watched(flusher):
    near, far = socket.socketpair()  # which can be written to all along
    late = time.monotonic() + 60
    outlet = FakeOutlet(near, [Unsent(late, True), Unsent(late, False), Unsent(late, False), Unsent(late, True), None])
    begun = time.monotonic()
    flusher.add(outlet)
    outlet.flushed.wait(5)
    assert time.monotonic() - begun >= 0.09
    eventually(lambda: not flusher_threads())
    assert (outlet.held, len(outlet.flushed.calls)) == (0, 5)
    near.close()
    far.close()


def test_a_flusher_that_fails_cuts_the_connections_that_relied_on_it(flusher, caplog):
    near, far = socket.socketpair()
    late = time.monotonic() + 60
    outlet = FakeOutlet(near, [Unsent(late, True), ZeroDivisionError("trouble")])
    flusher.add(outlet)
    assert outlet.cut.wait(seconds(5))
    eventually(lambda: not flusher_threads())
    assert outlet.held == 0
    assert "trouble" in caplog.text
    near.close()
    far.close()


# What transports do with it -----------------------------------------------------------------------------------------


@pytest.fixture
def stalled(tls):
    """A server's channel whose peer does not read, the peer, and the server's log."""
    made = []

    def make_(**options):
        options.setdefault("close_timeout", seconds(5))
        server = WebSocketServer(ssl_context=server_context() if tls else None, ping_interval=None, **options)
        log = Log(server)
        made.append(server)
        server.listen(0, PATH, "127.0.0.1", OCPP)
        peer = RawClient(server.url, receive_buffer=4096)
        made.append(peer)
        if tls:
            peer.sock = client_context().wrap_socket(peer.sock, server_hostname="localhost")
        peer.upgrade()
        return server, log, peer

    yield make_
    for thing in reversed(made):
        thing.stop() if isinstance(thing, WebSocketServer) else thing.sock.close()


TEXT = "y" * 300_000


def test_a_server_sends_to_a_peer_that_does_not_read_without_waiting(stalled):
    server, log, peer = stalled()
    texts = [f"{number}{TEXT}" for number in range(10)]
    begun = time.monotonic()
    for text in texts:
        server.send("CP_1", text, wait=False)
    assert time.monotonic() - begun < seconds(2)
    assert [peer.read_frame() for _ in texts] == [(1, text.encode()) for text in texts]
    eventually(lambda: not flusher_threads())
    assert log.disconnected.calls == []


def test_what_does_not_get_out_in_time_ends_the_connection(stalled):
    server, log, _ = stalled(write_timeout=seconds(0.3))
    channel = log.channel()
    for _ in range(12):
        channel.send(TEXT, wait=False)
    begun = time.monotonic()
    close = log.close()
    assert time.monotonic() - begun < seconds(5)
    assert (close.code, close.expected) == (1006, False)
    assert "did not take" in str(close.error)
    with pytest.raises(TransportError):
        channel.send("more", wait=False)


def test_the_backlog_is_limited(stalled):
    server, log, _ = stalled()
    channel = log.channel()
    with pytest.raises(WriteTimeout, match="too much"):
        for _ in range(100):
            channel.send(TEXT, wait=False)
    assert log.close().code == 1006


def test_a_close_reaches_a_peer_that_begins_to_read_again(stalled):
    """The reader waits for input alone, and the peer sends nothing: another thread writes the rest and the Close."""
    server, log, peer = stalled()
    channel = log.channel()
    for _ in range(10):
        channel.send(TEXT, wait=False)
    channel.close(1001, "bye")
    for _ in range(10):
        assert peer.read_frame()[0] == 1
    assert peer.read_close() == 1001


@pytest.mark.parametrize("control", ["close", "ping"])
def test_a_control_frame_is_written_behind_what_others_have_buffered(stalled, control):
    server, log, peer = stalled()
    channel = log.channel()
    sock = channel.outlet
    for _ in range(10):
        with sock.lock:  # as a thread does that does not wait yet
            sock.put(frame(1, TEXT.encode(), masked=False))
    assert not flusher_threads()
    if control == "close":
        channel.close(1001)
    else:
        channel.ping_interval = 60
    for _ in range(10):
        assert peer.read_frame()[0] == 1
    assert peer.read_frame()[0] == (8 if control == "close" else 9)


def test_stop_sends_a_close_to_a_peer_that_begins_to_read_again(stalled):
    server, log, peer = stalled()
    for _ in range(10):
        server.send("CP_1", TEXT, wait=False)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    assert peer.read_close() == 1001
    peer.sock.close()
    stopper.join(seconds(10))
    assert not stopper.is_alive()
    assert not flusher_threads()


@pytest.mark.parametrize("lacking", ["threads", "files"])
def test_without_a_thread_for_the_rest_the_connection_is_cut(stalled, monkeypatch, lacking):
    server, log, _ = stalled()
    channel = log.channel()
    start = threading.Thread.start

    def fail(thread):
        if thread.name == "ocppj-flusher":
            raise RuntimeError("can't start new thread")
        start(thread)

    def no_pair():
        raise OSError(errno.EMFILE, "too many open files")

    if lacking == "threads":
        monkeypatch.setattr(threading.Thread, "start", fail)
    else:
        monkeypatch.setattr(socket, "socketpair", no_pair)
    with pytest.raises(TransportError, match="can't start new thread|too many open files"):
        for _ in range(10):
            channel.send(TEXT, wait=False)
    assert log.close().code == 1006


def test_a_client_sends_to_a_server_that_does_not_read_without_waiting():
    texts = [f"{number}{TEXT}" for number in range(10)]
    go, got = threading.Event(), []

    def script(peer):
        peer.answer()
        assert go.wait(seconds(10))
        got.extend(peer.read_frame()[1].decode() for _ in texts)

    with RawServer(script, receive_buffer=4096) as server:
        client = WebSocketClient(reconnect=False, ping_interval=None, close_timeout=seconds(0.2))
        client.connect(server.url, "CP_1", ["ocpp1.6"])
        begun = time.monotonic()
        for text in texts:
            client.send(text, wait=False)
        assert time.monotonic() - begun < seconds(2)
        assert flusher_threads()
        go.set()
        assert server.done.wait(seconds(30))
        assert got == texts
        client.stop()


@pytest.mark.parametrize("compression", [False, True])
def test_frames_of_threads_that_wait_and_that_do_not_are_whole_and_in_order(compression):
    """Compressed frames that left in another order than they were made could not be read."""
    count = 40
    server = WebSocketServer(compression=compression, close_timeout=seconds(1))
    server_log = Log(server)
    server.listen(0, PATH, "127.0.0.1", OCPP)
    peer = RawClient(server.url, receive_buffer=4096)
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate"} if compression else {}
    head = peer.upgrade(**offer)
    assert ("permessage-deflate" in head) == compression
    channel = server_log.channel()

    def send(name, wait):
        for number in range(count):
            channel.send(f"{name} {number} {name * 5000}", wait)

    threads = [threading.Thread(target=send, args=(name, name in "ab")) for name in "abcd"]
    for thread in threads:
        thread.start()
    inflate = zlib.decompressobj(-15)
    seen = {name: [] for name in "abcd"}
    for _ in range(4 * count):
        _, data = peer.read_frame()
        if compression:
            data = inflate.decompress(data + b"\0\0\xff\xff")
        name, number, rest = data.decode().split(" ")
        assert rest == name * 5000
        seen[name].append(int(number))
    assert seen == {name: list(range(count)) for name in "abcd"}
    for thread in threads:
        thread.join(seconds(10))
    peer.sock.close()
    server.stop()
