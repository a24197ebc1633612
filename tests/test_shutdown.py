"""How endpoints end: by a signal, in time, after what is under way, and at the end of the program."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from ocppj import Client, NotRunning, Server, SQLiteQueueMap, UsageError, v16
from ocppj.ws.memory import MemoryNetwork
from tests.fixtures import BEAT, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import Recorder, eventually, seconds
from tests.peers import Memory, RawClient
from tests.programs import BEGIN, environment, run, silent_peer

unix = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

ALARM = """
def soon(name, condition):
    '''Send this process a signal when the condition holds.'''
    def send():
        wait_until(condition)
        os.kill(os.getpid(), getattr(signal, name))
    threading.Thread(target=send, daemon=True).start()

def waits():
    '''Tell whether the main thread is in `start`, and no more in `connect` or `listen`.'''
    frame, names = sys._current_frames()[threading.main_thread().ident], set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return "start" in names and not names & {"connect", "listen"}
"""


@unix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_start(tmp_path, name):
    """It returns normally, and leaves nothing: no thread, no handler. The peers see why."""
    source = f"""{ALARM}
name = sys.argv[1]
server, client = make()
ready, told = [], []  # handlers are told on other threads, perhaps a moment after `start` has returned
server.set_disconnected_client_handler(lambda id, close: told.append(say("server", close.code)))
client.set_disconnected_handler(lambda close: told.append(say("client", close.code)))
client.set_connected_handler(lambda: ready.append(client.call(HEARTBEAT)))
handlers = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]

server.listen(host="127.0.0.1")
soon(name, lambda: len(ready) == 1 and waits())
client.start(server.url)
wait_until(lambda: len(told) == 2)
say("returned", client.is_connected(), server.stats().connections)
server.stop()
soon(name, lambda: len(ready) == 2 and waits())
threading.Thread(target=lambda: client.connect("ws://127.0.0.1:" + sys.argv[2], retry=True), daemon=True).start()
server.start(int(sys.argv[2]), host="127.0.0.1")
wait_until(lambda: len(told) == 4)
say("returned")
client.stop()
say([signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)] == handlers)
wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("ocppj-")])
"""
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as taken:
        port = taken.url.rpartition(":")[2]
    lines = run(source, tmp_path, name, port)
    assert sorted(lines[:2]) == ["client 1000", "server 1000"]
    assert lines[2] == "returned False 0"
    assert sorted(lines[3:5]) == ["client 1001", "server 1001"]
    assert lines[5:] == ["returned", "True"]


@unix
def test_a_program_keeps_its_own_way_with_signals(tmp_path):
    """Its SIGTERM handler is called, too; and ``signals=False`` changes nothing at all."""
    source = f"""{ALARM}
server, client = make()
def mine(number, frame):
    say("mine")
signal.signal(signal.SIGTERM, mine)
soon("SIGTERM", lambda: listening(server))
server.start(0, host="127.0.0.1")
say(signal.getsignal(signal.SIGTERM) is mine)

server, told = make()[0], []
soon("SIGTERM", lambda: listening(server))
soon("SIGINT", lambda: len(told) == 1)
signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
try:
    server.start(0, host="127.0.0.1", signals=False)
except KeyboardInterrupt:
    say("KeyboardInterrupt", len(told), listening(server))
server.stop()
"""
    assert run(source, tmp_path) == ["mine", "True", "KeyboardInterrupt 1 True"]


@unix
def test_sigterm_ends_a_process_that_was_forked_meanwhile(tmp_path):
    """It has the handler from before, and stops an endpoint of its own by the signal, too."""
    source = f"""{ALARM}
server, _ = make()
def terminate(child):
    number = os.fork()
    if not number:
        child()
        os._exit(1)
    reading.read(1)  # the child is ready
    os.kill(number, signal.SIGTERM)
    say(os.waitpid(number, 0)[1])
def wait():
    signal.alarm(5)
    writing.write(b"x")
    threading.Event().wait(10)
def serve():
    signal.alarm(5)
    threading.Thread(target=lambda: (wait_until(lambda: listening(own)), writing.write(b"x")), daemon=True).start()
    own.start(0, host="127.0.0.1")
    os._exit(0)
own = make()[0]
reading, writing = (os.fdopen(each, mode, 0) for each, mode in zip(os.pipe(), ("rb", "wb")))
def fork():
    wait_until(lambda: listening(server))
    terminate(wait)
    if sys.argv[1] == "serve":
        terminate(serve)
    say(listening(server))
    server.stop()
threading.Thread(target=fork, daemon=True).start()
server.start(0, host="127.0.0.1")
"""
    # Python 3.13 does not always tell a child of a signal that another thread than the main one has forked.
    also, ends = ("nothing", []) if sys.version_info[:2] == (3, 13) else ("serve", ["0"])
    assert run(source, tmp_path, also) == [str(int(signal.SIGTERM)), *ends, "True"]


def test_a_second_interrupt_may_come_while_the_server_still_begins():
    """The first has interrupted the beginning, and the second what undoes it. `start` does not return as if ended."""
    network = MemoryNetwork()
    transport = network.server()
    begin, end = transport.listen, transport.stop

    def listen(*arguments, **options):
        begin(*arguments, **options)
        raise KeyboardInterrupt

    def stop(*arguments, **options):
        transport.stop = end
        end(*arguments, **options)
        raise KeyboardInterrupt

    transport.listen, transport.stop = listen, stop
    server = Server(profiles=v16.PROFILES, ws_server=transport)
    with pytest.raises(KeyboardInterrupt):
        server.start(0)
    server.stop()


@unix
def test_a_second_interrupt_does_not_wait(tmp_path):
    """The peer does not answer the Close."""
    source = f"""{ALARM}
from tests.programs import silent_peer
server, _ = make({{"close_timeout": 30}})
begun = []
def interrupt():
    wait_until(lambda: listening(server))
    peer = silent_peer(server.url)
    wait_until(server.client_ids)
    os.kill(os.getpid(), signal.SIGINT)
    peer.recv(10)  # the Close has come
    begun.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
    wait_until(lambda: False)
threading.Thread(target=interrupt, daemon=True).start()
try:
    server.start(0, host="127.0.0.1")
except KeyboardInterrupt:
    say("KeyboardInterrupt", time.monotonic() - begun[0] < 4)
os._exit(0)
"""
    assert run(source, tmp_path) == ["KeyboardInterrupt True"]


@unix
def test_the_end_of_the_program_stops_what_is_started(tmp_path):
    """On Python 3.12.0 to 3.12.2 no thread can be started there any more."""
    program = tmp_path / "program.py"
    program.write_text(
        BEGIN + "server, _ = make()\nserver.listen(host='127.0.0.1')\nsay(server.url)\ninput()\n", "utf-8"
    )
    arguments = [sys.executable, str(program)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, env=environment(), text=True, **pipes) as process:
        close = Recorder()
        client = Client("CP_1", profiles=v16.PROFILES, reconnect=False)
        client.set_disconnected_handler(close)
        client.connect(process.stdout.readline().strip())
        client.call(HEARTBEAT)
        _, errors = process.communicate("\n", timeout=seconds(20))
        assert close.wait()[0][0].code == 1001
        assert (process.returncode, errors) == (0, "")
        client.stop()


@pytest.fixture
def pair():
    server, client = Server(profiles=v16.PROFILES), Client("CP_1", profiles=v16.PROFILES)
    with server.listen(host="127.0.0.1"), client:
        yield server, client


class Gate:
    """A handler that is slow: it goes on when it is ``open``."""

    def __init__(self, answer):
        self.answer = answer
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, *arguments):
        self.begun.set()
        self.open.wait(seconds(10))
        return self.answer


def stopping(endpoint, **options):
    """Stop ``endpoint`` on a thread, and return what is called with the seconds that it took."""
    ended = Recorder()

    def stop():
        before = time.monotonic()
        endpoint.stop(**options)
        ended(time.monotonic() - before)

    threading.Thread(target=stop, daemon=True).start()
    return ended


def test_a_drain_lets_a_handler_and_its_answer_end(pair):
    server, client = pair
    gate = Gate(BEAT)
    server.on(v16.HeartbeatRequest)(gate)
    answer = client.connect(server.url).send_request(HEARTBEAT)
    gate.begun.wait(seconds(10))
    ended = stopping(server, drain=seconds(20))
    eventually(lambda: _refuses(server, "the server is being stopped"))
    assert not ended.calls
    assert server.client_ids() == ["CP_1"]
    gate.open.set()
    assert answer.result(seconds(10)) == BEAT
    assert ended.wait()[0][0] < seconds(5)
    with pytest.raises(NotRunning, match="is not started"):
        server.call("CP_1", RESET)


def _refuses(server, words):
    try:
        server.call("CP_1", RESET, timeout=0.01)
    except NotRunning as error:
        return words in str(error)
    except Exception:
        return False


def test_a_drain_lets_the_requests_end_that_were_made(pair):
    server, client = pair
    gate = Gate(RESET_DONE)
    client.on(v16.ResetRequest)(gate)
    client.connect(server.url)
    futures = [server.send_request("CP_1", RESET) for _ in range(3)]
    ended = stopping(server, drain=seconds(20), timeout=seconds(20))
    eventually(lambda: _refuses(server, "the server is being stopped"))
    gate.open.set()
    assert [each.result(seconds(10)) for each in futures] == [RESET_DONE] * 3
    assert ended.wait()[0][0] < seconds(5)
    server.listen(host="127.0.0.1")  # and then requests are taken again
    eventually(lambda: _refuses(server, "is being stopped") is False)


def test_a_drain_ends_in_time(pair):
    """Also on the thread of a handler, for which it does not wait itself."""
    server, client = pair
    gate = Gate(BEAT)
    server.on(v16.HeartbeatRequest)(gate)
    client.connect(server.url).send_request(HEARTBEAT)
    gate.begun.wait(seconds(10))
    ended = stopping(server, drain=0.1, timeout=seconds(1))
    assert 0.1 <= ended.wait()[0][0] < seconds(1.5)
    gate.open.set()

    took = Recorder()

    @client.on(v16.ResetRequest)
    def reset(request):
        before = time.monotonic()
        client.stop(drain=seconds(5))
        took(time.monotonic() - before)
        return RESET_DONE

    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as other:
        client.stop()
        client.connect(other.url)
        other.send_request("CP_1", RESET)
        assert took.wait()[0][0] < seconds(4)


def test_a_drain_ends_no_session_that_began_meanwhile():
    memory = Memory()
    transport, draining, go_on = memory.server(), threading.Event(), threading.Event()

    def announce(closing):
        draining.set()
        assert go_on.wait(seconds(20))

    transport.announce_closing = announce
    with Server(profiles=v16.PROFILES, ws_server=transport).listen() as server:
        thread = threading.Thread(target=server.stop, kwargs={"drain": seconds(20)}, daemon=True)
        thread.start()
        assert draining.wait(seconds(10))
        server.stop()
        server.listen()
        go_on.set()
        thread.join(seconds(10))
        assert not thread.is_alive()
        with RawClient(memory, server.url) as raw:
            server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
            assert raw.ask([2, "1", "Heartbeat", {}])[0] == 3


def test_a_drain_leaves_stored_requests_in_their_file(tmp_path):
    queues = SQLiteQueueMap(str(tmp_path / "commands.db"))
    server = Server(profiles=v16.PROFILES, queues=queues).listen(host="127.0.0.1")
    for _ in range(3):
        server.send_request("CP_1", RESET, offline=True)
    before = time.monotonic()
    server.stop(drain=seconds(20))
    assert time.monotonic() - before < seconds(5)
    queues.init()
    assert len(queues.get_or_create("CP_1")) == 3
    queues.close()


def test_a_stop_takes_no_longer_than_its_timeout(pair):
    """A peer does not answer the Close, and a handler does not end."""
    server, client = pair
    gate = Gate(BEAT)
    server.on(v16.HeartbeatRequest)(gate)
    peer = silent_peer(server.url)
    client.connect(server.url).send_request(HEARTBEAT)
    gate.begun.wait(seconds(10))
    before = time.monotonic()
    server.stop(timeout=0.3)
    assert time.monotonic() - before < seconds(1.5)  # not the two of close_timeout
    gate.open.set()
    peer.close()


@pytest.mark.parametrize("options", [{"timeout": -1}, {"drain": "long"}], ids=["timeout", "drain"])
def test_what_is_no_time_is_refused(pair, options):
    with pytest.raises(UsageError):
        pair[0].stop(**options)
    assert pair[0].url
