"""Forked processes: they leave the endpoints, ports and files of their parent alone, and may have their own."""

import os
import subprocess
import sys

import pytest

from ocppj import Server, v16
from tests.helpers import seconds
from tests.programs import BEGIN, environment, run, silent_peer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

METHODS = """
methods = {
    "call": lambda: server.call("CP_1", RESET),
    "send_request": lambda: server.send_request("CP_1", RESET),
    "broadcast": lambda: server.broadcast(RESET),
    "send_raw": lambda: server.send_raw("CP_1", "x"),
    "client_ids": server.client_ids,
    "connection": lambda: server.connection("CP_1"),
    "connections": server.connections,
    "url": lambda: server.url,
    "client.call": lambda: client.call(HEARTBEAT),
    "client.send_request": lambda: client.send_request(HEARTBEAT),
    "client.send_raw": lambda: client.send_raw("x"),
}

def check_methods():
    for name, method in methods.items():
        try:
            method()
        except NotRunning as error:
            assert f"runs in process {parent}; this is {os.getpid()}, forked later" in str(error), (name, error)
        else:
            raise AssertionError(f"{name} does not raise")
    assert not client.is_connected()
"""


def test_a_child_leaves_the_endpoints_of_its_parent_alone(tmp_path):
    """The locks that other threads hold at the fork do not hang the child; it ends as a program does, with atexit."""
    source = f"""
parent = os.getpid()
server, client = make()
ends = []
server.set_disconnected_client_handler(lambda id, close: ends.append(close))
server.listen(host="127.0.0.1")
client.connect(server.url)
{METHODS}
def stop_all():
    check_methods()
    before = time.monotonic()
    server.stop()
    client.stop(timeout=5, drain=5)
    with server, client:
        pass
    assert time.monotonic() - before < 4, "stop() waits"
    check_methods()

client.call(HEARTBEAT)
stopping = threading.Event()
def work():
    while not stopping.is_set():
        client.call(HEARTBEAT)
        server.call("CP_1", RESET)
threads = [threading.Thread(target=work) for _ in range(3)]
for each in threads:
    each.start()
say(sum(in_child(stop_all) for _ in range(8)))
stopping.set()
for each in threads:
    each.join()
assert not ends and client.is_connected(), ends
client.call(HEARTBEAT)
say(server.call("CP_1", RESET).status.value, server.client_ids())
client.stop()
server.stop()
say([each.name for each in threading.enumerate()])
"""
    assert run(source, tmp_path) == ["0", "Accepted ['CP_1']", "['MainThread']"]


@pytest.mark.parametrize("readers", ["per-connection", "SharedReaders()"])
def test_a_child_begins_sessions_of_its_own(tmp_path, readers):
    """With the inherited objects, and with new ones; in a process of multiprocessing."""
    source = f"""
import multiprocessing
readers = {readers if "(" in readers else repr(readers)}
server, client = make({{"readers": readers}}, readers=readers)
client.before(lambda action, request: say(action))
server.listen(host="127.0.0.1")
client.connect(server.url)
server.call("CP_1", RESET)

def begin(server, client):
    server.listen(host="127.0.0.1")
    client.connect(server.url)
    client.call(HEARTBEAT, timeout=5)
    say(server.call("CP_1", RESET, timeout=5).status.value)
    if readers == "per-connection":
        client.stop()
        server.stop()

def work():
    signal.alarm(20)
    begin(server, client)
    begin(*make())

child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
say(child.exitcode)
say(server.call("CP_1", RESET).status.value)
"""
    expected = ["Reset", "Reset", "Accepted", "Accepted", "0", "Reset", "Accepted"]
    assert run(source, tmp_path) == expected


def test_a_child_keeps_no_port_and_no_connection_open(tmp_path):
    """The parent dies, and the child lives on."""
    source = """
server, _ = make()
server.listen(host="127.0.0.1")
say(server.url)
sys.stdin.readline()
wait_until(server.client_ids)
if os.fork():
    os._exit(0)
signal.alarm(30)
say("forked")
sys.stdin.readline()
os._exit(0)
"""
    program = tmp_path / "program.py"
    program.write_text(BEGIN + source, "utf-8")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(program)], env=environment(), text=True, **pipes) as process:
        url = process.stdout.readline().strip()
        peer = silent_peer(url)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "forked\n"
        assert process.wait(seconds(10)) == 0
        assert peer.recv(100) == b""  # the connection has ended
        peer.close()
        with Server(profiles=v16.PROFILES).listen(port=int(url.rpartition(":")[2]), host="127.0.0.1"):
            process.stdin.close()  # the child has lived until now


def test_the_end_of_a_child_leaves_the_file_of_a_queue_as_it_is(tmp_path):
    """Python frees what there is, then: SQLite would move the WAL into the database, and delete it."""
    source = """
from ocppj import SQLiteQueue
queue = SQLiteQueue("requests.db")
queue.init()
size = os.stat("requests.db-wal").st_size
say(in_child(lambda: None), os.stat("requests.db-wal").st_size == size)
queue.close()
"""
    assert run(source, tmp_path) == ["0 True"]


def test_a_child_leaves_the_file_of_a_queue_alone(tmp_path):
    source = """
server, client = make({"queues": SQLiteQueueMap("commands.db")})
server.listen(host="127.0.0.1")
send = lambda: server.send_request("CP_1", RESET, offline=True)
send()
size = os.stat("commands.db-wal").st_size

def work():
    for method in (send, lambda: make({"queues": SQLiteQueueMap("commands.db")})[0].listen(host="127.0.0.1"),
                   lambda: server.listen(host="127.0.0.1")):
        try:
            method()
            say("no error")
        except (NotRunning, QueueFailed) as error:
            say(type(error).__name__)

say(in_child(work))
assert os.stat("commands.db-wal").st_size == size, "the child has written"
send()
server.stop()
server.listen(host="127.0.0.1")
client.connect(server.url)
taken = []
client.on(v16.ResetRequest)(lambda request: taken.append(1) or v16.ResetResponse("Accepted"))
client.call(HEARTBEAT)  # then it counts as booted, and gets what was stored
wait_until(lambda: len(taken) == 2)
client.stop()
server.stop()
"""
    assert run(source, tmp_path) == ["NotRunning", "QueueInUse", "QueueFailed", "0"]


def test_no_answer_comes_to_a_future_of_the_parent(tmp_path):
    """Nobody waits for it in the child, and its callbacks are the parent's."""
    source = """
server, client = make()
client.on(v16.ResetRequest, pass_id=True)(lambda request, message_id: None)
server.listen(host="127.0.0.1")
client.connect(server.url)
future = server.send_request("CP_1", RESET)
future.add_done_callback(lambda future: say("called"))

def work():
    try:
        future.result()
    except NotRunning:
        say("NotRunning")

say(in_child(work))
say(future.done())
client.stop()
server.stop()
"""
    assert run(source, tmp_path) == ["NotRunning", "0", "False", "called"]


def test_every_lock_is_free_in_the_child(tmp_path):
    """Whatever another thread held: a lock of any part, of a queue, of shared readers, of a channel's endpoint."""
    source = """
import gc
lock_type = type(threading.Lock())

def locks(*roots):
    '''Return all locks that can be reached over objects of the library.'''
    seen, found, rest = set(), [], list(roots)
    while rest:
        thing = rest.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if type(thing) is lock_type:
            found.append(thing)
        elif type(thing).__name__ in ("dict", "list", "tuple", "set", "partial", "method", "cell", "function") or any(
            each.__module__.startswith("ocppj.") for each in type(thing).__mro__
        ):
            rest.extend(thing.__closure__ or () if hasattr(thing, "__closure__") else gc.get_referents(thing))
    return found

readers = SharedReaders()
server, client = make({"queues": SQLiteQueueMap("commands.db"), "readers": readers, "repeat_answers": 5})
server.listen(host="127.0.0.1")
client.connect(server.url)
client.call(HEARTBEAT)
held = [each for each in locks(server, client) if each.acquire(False)]
child = os.fork()
if child:
    os._exit(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
say(len(held) > 60, [each for each in locks(server, client) if each.locked()])
sys.stdout.flush()
os._exit(0)
"""
    assert run(source, tmp_path) == ["True []"]


def test_a_child_counts_from_zero(tmp_path):
    source = """
server, client = make()
server.listen(host="127.0.0.1")
client.connect(server.url)
client.call(HEARTBEAT)
server.call("CP_1", RESET)
server._ws.count_refusal("tls")

def show():
    for stats in (server.stats(), client.stats()):
        refused, sent = sum(stats.refused.values()), stats.messages["sent"] or "nothing"
        say(stats.accepted, stats.reconnects, refused, len(stats.handler_seconds), sent)

def work():
    show()
    server.listen(host="127.0.0.1")
    client.connect(server.url)
    client.call(HEARTBEAT)
    client.stop()
    wait_until(lambda: server.stats().connections == 0)
    show()
    server.stop()

say(in_child(work))
show()
"""
    begun = ["0 0 0 0 nothing", "0 0 0 0 nothing"]
    own = ["1 0 0 1 {'CALLRESULT': {'Heartbeat': 1}}", "0 0 0 0 {'CALL': {'Heartbeat': 1}}"]
    of_server = "1 0 1 1 {'CALL': {'Reset': 1}, 'CALLRESULT': {'Heartbeat': 1}}"
    of_client = "0 0 0 1 {'CALL': {'Heartbeat': 1}, 'CALLRESULT': {'Reset': 1}}"
    assert run(source, tmp_path) == [*begun, *own, "0", of_server, of_client]
