"""A `Stream`: one thread reads, any number of threads write, plain and TLS."""

import os
import signal
import socket
import ssl
import threading
import time

import pytest

from ocppj.budget import MemoryBudget
from ocppj.errors import TransportError, WriteTimeout
from ocppj.ws.stream.stream import Stream
from tests.helpers import Recorder, eventually, seconds
from tests.inside.sockets import waiters
from tests.ws.support import client_context, open_files, server_context


def plain_pair(small):
    near, far = socket.socketpair()
    if small:
        for sock in (near, far):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return near, far


def make_pair(tls, small=True, kind=None, **options):
    """Return both ends of a connection; ``kind`` is the class of the first one's socket."""
    near, far = plain_pair(small)
    if not tls:
        near = near if kind is None else kind(fileno=near.detach())
        return Stream(near, **options), Stream(far, **options)
    for sock in (near, far):
        sock.setblocking(False)
    context = server_context()
    context.sslsocket_class = kind or ssl.SSLSocket
    server = context.wrap_socket(near, server_side=True, do_handshake_on_connect=False)
    client = client_context().wrap_socket(far, server_hostname="localhost", do_handshake_on_connect=False)
    pair = Stream(server, **options), Stream(client, **options)
    thread = threading.Thread(target=pair[0].handshake, args=(time.monotonic() + seconds(10),))
    thread.start()
    pair[1].handshake(time.monotonic() + seconds(10))
    thread.join()
    return pair


def send_all(stream, data):
    """Send, and wait until all is written."""
    with stream.lock:
        stream.put(data)
        mark = stream.mark
    stream.drain(mark)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request):
    return request.param


@pytest.fixture
def make(tls):
    made = []

    def make_(**options):
        pair = make_pair(tls, **options)
        made.extend(pair)
        return pair

    yield make_
    for sock in made:
        sock.close()


def read_exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(size - len(data), time.monotonic() + seconds(20))
        assert chunk
        data += chunk
    return bytes(data)


def test_small_reads_come_from_the_buffer(make):
    near, far = make()
    send_all(far, b"hello world")
    deadline = time.monotonic() + seconds(5)
    assert [near.recv(1, deadline), near.recv(2), near.received] == [b"h", b"el", 11]
    near.unread(b"jel")
    assert near.recv(100) == b"jello world"
    assert near.read() is None


def test_timeouts(make):
    near, _ = make()
    assert near.read() is None
    with pytest.raises(socket.timeout):
        near.recv(1, 0.0)
    with pytest.raises(socket.timeout):
        near.recv(1, time.monotonic() + 0.01)
    assert not near.wait_readable(time.monotonic() + 0.01)


def test_the_end(make):
    near, far = make()
    send_all(far, b"last words")
    far.close()
    far.close()
    assert far.fileno() == -1
    assert read_exactly(near, 10) == b"last words"
    assert near.recv(1) == b""
    assert near.recv(1) == b""
    with pytest.raises(TransportError):
        far.send(b"x")
    assert far.recv(1) == b""


@pytest.mark.parametrize("how", ["shutdown", "close"])
def test_ending_wakes_a_reader_and_a_writer(make, how):
    near, far = make(write_timeout=seconds(20))
    result = []

    def read():
        result.append(near.recv(1))

    def write():
        with pytest.raises(TransportError):
            while True:
                send_all(near, b"x" * 100000)
        result.append("written")

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    eventually(lambda: near.wants_write and waiters(near) == 2)
    getattr(near, how)()
    for thread in threads:
        thread.join(seconds(10))
        assert not thread.is_alive()
    assert sorted(map(str, result)) == sorted(["written", "b''"])
    near.close()
    assert near.fileno() == -1


def telling(base):
    """Return a class of sockets that tell which threads close them."""

    class Telling(base):
        closed = Recorder()

        def close(self):
            self.closed(threading.current_thread())
            super().close()

    return Telling


def test_the_last_thread_that_waits_closes_the_descriptor(make, tls):
    """Else the number could mean another connection while a thread still waits on it."""
    kind = telling(ssl.SSLSocket if tls else socket.socket)
    near, _ = make(kind=kind)
    thread = threading.Thread(target=near.recv, args=(1,))
    thread.start()
    eventually(lambda: waiters(near) == 1)
    near.close()
    assert kind.closed.wait(1) == [(thread,)]
    thread.join(seconds(10))
    assert not thread.is_alive()
    assert near.fileno() == -1
    other, _ = make(kind=kind)
    other.close()  # no thread waits
    assert kind.closed.calls == [(thread,), (threading.current_thread(),)]


def test_eight_writers_and_their_frames_stay_whole(make):
    """Eight threads write 60 kB messages, the reading thread answers each ping in between: nothing is mixed."""
    near, far = make(small=False)
    size, count = 60_000, 30

    def write(number):
        for _ in range(count):
            send_all(near, bytes([number]) * size)

    def serve_pings():
        near.reader_ident = threading.get_ident()
        while True:
            data = near.recv(1)
            if not data:
                return
            near.send(b"\xff" * 100)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    pinger = threading.Thread(target=serve_pings)
    for thread in [*threads, pinger]:
        thread.start()
    seen, pings, pongs = [0] * 8, 0, 0
    while sum(seen) < 8 * count or pongs < pings:
        if pings < sum(seen):
            pings += 1
            send_all(far, b"p")
        first = read_exactly(far, 1)
        length = 100 if first == b"\xff" else size
        assert read_exactly(far, length - 1) == first * (length - 1)
        if first == b"\xff":
            pongs += 1
        else:
            seen[first[0]] += 1
    assert pongs > 100
    assert seen == [count] * 8
    near.shutdown()
    for thread in [*threads, pinger]:
        thread.join(seconds(10))
        assert not thread.is_alive()


def test_two_sides_that_write_much_at_once(make):
    near, far = make()
    big = b"x" * 1_000_000
    got = []

    def run(sock):
        sock.reader_ident = threading.get_ident()
        sock.send(big)
        got.append(read_exactly(sock, len(big)) == big)
        deadline = time.monotonic() + seconds(10)
        while sock.wants_write and time.monotonic() < deadline:
            sock.wait_readable(time.monotonic() + 0.01)

    threads = [threading.Thread(target=run, args=(sock,)) for sock in (near, far)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(20))
        assert not thread.is_alive()
    assert got == [True, True]


def test_a_writer_gives_up_on_a_peer_that_does_not_read(make):
    near, _ = make(write_timeout=0.1)
    begun = time.monotonic()
    with pytest.raises(WriteTimeout):
        send_all(near, b"x" * 1_000_000)
    assert 0.09 <= time.monotonic() - begun < seconds(3)
    with pytest.raises(WriteTimeout):
        near.send(b"more")
    with pytest.raises(TransportError):
        near.recv(1)


def test_what_the_reader_buffers_has_a_deadline_too(make):
    near, _ = make(write_timeout=0.1)
    near.reader_ident = threading.get_ident()
    send_all(near, b"x" * 1_000_000)
    assert near.wants_write
    assert near.wait_readable(time.monotonic() + seconds(5))
    with pytest.raises(TransportError):
        near.recv(1)


def test_the_readers_backlog_is_limited(make):
    near, _ = make(max_backlog=100_000)
    near.reader_ident = threading.get_ident()
    near.send(b"x" * 1_000_000)
    with pytest.raises(WriteTimeout):
        near.send(b"x")


def test_what_a_peer_does_not_take_is_counted(make):
    budget = MemoryBudget()
    near, far = make(budget=budget)
    near.reader_ident = threading.get_ident()
    near.send(b"x" * 1_000_000)
    unsent = budget.held()["unsent"]
    assert 100_000 < unsent < 1_100_000
    near.send(b"y" * 1000)
    assert budget.held()["unsent"] >= unsent + 1000
    far.send(b"taken")
    reader = threading.Thread(target=read_exactly, args=(far, 1_001_000))
    reader.start()
    while near.unsent:
        near.wait_readable(time.monotonic() + 0.01)
        with near.lock:
            near.put(b"")
    reader.join(seconds(10))
    assert budget.held() == {}


def test_what_is_dropped_is_not_held_any_more(make):
    for end in ("close", "shutdown"):
        budget = MemoryBudget()
        near, _ = make(budget=budget)
        near.reader_ident = threading.get_ident()
        near.send(b"x" * 1_000_000)
        assert budget.held()["unsent"] > 0
        getattr(near, end)()
        near.close()
        assert budget.held() == {}


def test_the_write_buffers_of_all_share_one_account(make):
    budget = MemoryBudget(3_000_000)
    streams = [make(budget=budget)[0] for _ in range(4)]
    broken = []
    for near in streams:
        near.reader_ident = threading.get_ident()
        try:
            near.send(b"x" * 1_500_000)
        except WriteTimeout as error:
            broken.append(near)
            words = str(error)
    assert "holds too much" in words
    assert budget.held()["unsent"] <= 3_000_000
    with pytest.raises(TransportError):
        broken[0].read()
    for near in streams:
        near.close()
    assert budget.held() == {}


def test_small_frames_weigh_what_they_take(make):
    """Each chunk is an object or two."""
    budget = MemoryBudget()
    near, _ = make(budget=budget)
    near.reader_ident = threading.get_ident()
    near.send(b"x" * 1_000_000)
    before = budget.held()["unsent"]
    for _ in range(1000):
        near.send(b"x")
    assert budget.held()["unsent"] - before > 200_000


def put(sock, data):
    with sock.lock:
        return sock.put(data)


def test_what_the_network_takes_is_never_buffered(make):
    near, far = make()
    assert [put(near, b"one "), put(near, b""), put(near, bytearray(b"two"))] == [False] * 3
    assert (near.unsent, near.mark, near.write_deadline) == (False, 0, None)
    assert read_exactly(far, 7) == b"one two"


def test_nothing_overtakes_what_is_buffered(make):
    near, far = make()
    near.reader_ident = threading.get_ident()
    sizes = [200_000, 1, 20_000, 3]
    assert [put(near, bytes([number]) * size) for number, size in enumerate(sizes)] == [True] * 4
    assert near.unsent
    assert near.write_deadline is not None
    near.reader_ident = None
    got = []
    thread = threading.Thread(target=lambda: got.append(read_exactly(far, sum(sizes))))
    thread.start()
    near.drain(near.mark)
    thread.join(seconds(20))
    assert got == [b"".join(bytes([number]) * size for number, size in enumerate(sizes))]
    assert (near.unsent, near.write_deadline) == (False, None)


def test_reads_that_never_wait(make):
    near, far = make()
    assert near.read() is None
    send_all(far, b"hello")
    assert near.wait_readable(time.monotonic() + seconds(5))
    assert near.recv(1) == b"h"
    assert (near.read(), near.received) == (b"ello", 5)
    near.unread(b"again")
    assert near.read() == b"again"
    assert near.read() is None
    far.close()
    assert near.wait_readable(time.monotonic() + seconds(5))
    for _ in range(2):
        assert near.read() == b""


@pytest.mark.parametrize("how", ["shutdown", "close"])
def test_the_end_of_reads_that_never_wait(make, how):
    near, _ = make()
    getattr(near, how)()
    assert near.read() == b""
    with pytest.raises(TransportError):
        put(near, b"x")


def test_the_reader_learns_that_the_peer_reads_too_slowly(make):
    near, _ = make(max_backlog=100_000)
    near.reader_ident = threading.get_ident()
    near.send(b"x" * 1_000_000)
    with pytest.raises(WriteTimeout):
        near.send(b"x")
    with pytest.raises(TransportError, match="too slowly"):
        near.read()


def test_corked_bytes_wait(make):
    near, far = make()
    near.cork()
    near.send(b"first ")
    other = threading.Thread(target=send_all, args=(near, b"second"))
    other.start()
    eventually(lambda: waiters(near) == 1)
    assert far.read() is None
    near.uncork()
    other.join(seconds(10))
    assert not other.is_alive()
    assert read_exactly(far, 12) == b"first second"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="elsewhere no signal ends such a wait")
def test_an_interrupted_wait_for_corked_bytes_lets_the_descriptor_go(make):
    """A program may be ended by Ctrl-C, or by a handler of its own, while it sends to a client that connects."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    near, _ = make()
    near.cork()
    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:

        def send_signal():
            eventually(lambda: waiters(near) == 1)
            threading.Event().wait(seconds(0.05))  # now it surely waits
            signal.pthread_kill(main, signal.SIGUSR1)

        thread = threading.Thread(target=send_signal)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            send_all(near, b"never")
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert waiters(near) == 0
    near.close()
    assert near.fileno() == -1


def test_corked_bytes_may_be_dropped(make):
    near, far = make()
    near.cork()
    near.send(b"never")
    near.uncork(discard=True)
    send_all(near, b"sent")
    assert read_exactly(far, 4) == b"sent"


def test_written_bytes_arrive_though_input_was_not_read():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as far:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        far.settimeout(seconds(5))
        far.connect(listener.getsockname())
        near = Stream(listener.accept()[0])
        far.sendall(b"unread" * 1000)
        assert near.wait_readable(time.monotonic() + seconds(5))
        near.send(b"x" * 200_000)
        assert not near.unsent
        near.close()
        assert sum(iter(lambda: len(far.recv(65536)), 0)) == 200_000


def test_a_broken_peer_is_an_error_for_writers(make):
    near, far = make()
    far.close()
    with pytest.raises(TransportError):
        for _ in range(100):
            send_all(near, b"x" * 10000)


def test_a_tls_handshake_has_a_deadline():
    near, far = plain_pair(False)
    near.setblocking(False)
    sock = Stream(server_context().wrap_socket(near, server_side=True, do_handshake_on_connect=False))
    with pytest.raises(socket.timeout):
        sock.handshake(time.monotonic() + 0.05)
    sock.close()
    far.close()


def test_a_tls_handshake_that_fails():
    near, far = plain_pair(False)
    near.setblocking(False)
    sock = Stream(server_context().wrap_socket(near, server_side=True, do_handshake_on_connect=False))
    far.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        sock.handshake(time.monotonic() + seconds(5))
    sock.close()
    far.close()


def test_a_ragged_end_of_tls_is_an_end():
    near, far = make_pair(True)
    with socket.socket(fileno=os.dup(far.fileno())) as below:  # TLS says nothing
        below.shutdown(socket.SHUT_RDWR)
    assert near.recv(1) == b""
    near.close()
    far.close()


def test_nothing_leaks(tls):
    files = open_files()
    for _ in range(20):
        near, far = make_pair(tls)
        near.close()
        far.close()
    assert open_files() <= files


@pytest.mark.skipif(not open_files(), reason="needs /proc")
def test_descriptors_beyond_1024():
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("not allowed that many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    fillers = [socket.socket() for _ in range(1030)]
    try:
        near, far = make_pair(False)
        assert near.fileno() > 1024
        send_all(far, b"x")
        assert near.recv(1, time.monotonic() + 5) == b"x"
        near.close()
        far.close()
    finally:
        for filler in fillers:
            filler.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("end", ["the peer's", "shutdown", "the deadline"])
def test_lingering_ends(make, end):
    near, far = make(small=False)
    send_all(far, b"x" * 100_000)
    seconds_left = seconds(0.2) if end == "the deadline" else seconds(60)
    begun = time.monotonic()
    thread = threading.Thread(target=near.linger, args=(begun + seconds_left,), daemon=True)
    thread.start()
    assert far.recv(1, begun + seconds(10)) == b""  # ours is seen at once
    if end == "the peer's":
        far.close()
    elif end == "shutdown":
        near.shutdown()
    thread.join(seconds(10))
    assert not thread.is_alive()
    if end == "the deadline":
        assert time.monotonic() - begun >= seconds_left
