"""Processes that are killed in the middle of pushing, popping and setting aside: no request is lost, none moves.

A process that has imported the library forks one victim after another; a victim says each operation after it returned,
and is killed at some moment. What it said must be in the file, and at most the operation after that. The files are
looked at in a copy, so that the next victim finds them as the last one left them.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import deque
from contextlib import closing
from datetime import datetime, timezone

import pytest

from ocppj import Call, ErrorCode, OCPPError, Server, v16
from ocppj.storage.sqlite_queues import SQLiteQueue
from tests.helpers import seconds

ROUNDS = int(os.environ.get("OCPPJ_CRASH_ROUNDS", "50"))

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL") or not hasattr(os, "fork"), reason="no SIGKILL, or no fork"),
    pytest.mark.timeout(seconds(60 + 2 * ROUNDS)),
]

VICTIMS = """
import json, os, sys, threading
from ocppj import Call, RequestBundle
from ocppj.durable import SQLiteQueue

def decode(version, text):
    return Call(*json.loads(text)[1:])

def decode_some(version, text):
    call = decode(version, text)
    if int(call.unique_id) % 3:
        raise ValueError("cannot be read")
    return call

def push(queue, number):
    call = Call(str(number), "DataTransfer", {"vendorId": "x" * (number * 37 % 9000)})
    queue.push(RequestBundle(call, call.to_json(), "1.6"))
    os.write(1, b"+%d\\n" % number)

def push_for_ever(queue, number):
    while True:
        push(queue, number)
        number += 10

def operate(path, mode, number):
    queue = SQLiteQueue(path)
    queue.set_decoder(decode_some if mode == "init" else decode)
    if mode == "init":
        os.write(1, b"+0\\n")
    queue.init()
    os.write(1, b"ready\\n")
    if mode == "threads":
        for n in range(9):
            threading.Thread(target=push_for_ever, args=(queue, number + n), daemon=True).start()
        push_for_ever(queue, number + 9)
    while mode == "init":
        threading.Event().wait(60)
    for operation in mode * 100_000:
        if operation == "+":
            push(queue, number)
            number += 1
        elif operation == "a":
            head = queue.peek()
            if head is not None:
                queue.set_aside(head.message_id, "why not")
            os.write(1, b"a%s\\n" % (head.message_id.encode() if head else b""))
        else:
            gone = queue.pop()
            os.write(1, b"-%s\\n" % (gone.message_id.encode() if gone else b""))

for line in sys.stdin:
    path, mode, number = json.loads(line)
    victim = os.fork()
    if not victim:
        operate(path, mode, number)
    os.write(1, b"%d\\n" % victim)
    status = os.waitpid(victim, 0)[1]
    os.write(1, b"dead %d\\n" % status)
"""


class Victims:
    """Makes victims, one at a time, and kills them."""

    def __init__(self):
        self._maker = subprocess.Popen([sys.executable, "-c", VICTIMS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self._maker.stdin.close()
        self._maker.wait(seconds(20))
        self._maker.stdout.close()

    def run(self, path, mode, number, operations, delay):
        """Kill a victim ``delay`` seconds after it said ``operations`` operations; return all that it said."""
        self._maker.stdin.write(json.dumps([str(path), mode, number]).encode() + b"\n")
        self._maker.stdin.flush()
        victim, said = None, []
        while victim is None or len(said) < operations:
            line = self._maker.stdout.readline().decode().strip()
            assert line, "the maker of victims has ended"
            if line.isdigit():
                victim = int(line)
            elif line[0] in "+-a":
                said.append(line)
            assert not line.startswith("dead"), "the victim died by itself"
        threading.Event().wait(delay)
        os.kill(victim, signal.SIGKILL)
        while True:
            line = self._maker.stdout.readline().decode().strip()
            if line.startswith("dead"):
                assert line == f"dead {int(signal.SIGKILL)}"
                return said
            if line[0] in "+-a":
                said.append(line)


@pytest.fixture
def victims():
    with contextlib.closing(Victims()) as victims:
        yield victims


def stored(path, directory):
    """Return the numbers in the file, those in the queue and those that were set aside, looked at in a copy."""
    directory.mkdir()
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{end}", f"{directory / path.name}{end}")
    queue = SQLiteQueue(directory / path.name)
    queue.set_decoder(lambda version, text: Call(*json.loads(text)[1:]))
    queue.init()
    found, aside = queue.bundles(), queue.list_set_aside()
    queue.close()
    for each in [*found, *aside]:  # whole, not just there
        assert json.loads(each.data)[3] == {"vendorId": "x" * (int(each.message_id) * 37 % 9000)}
    return [int(each.message_id) for each in found], [int(each.message_id) for each in aside]


def apply(said, before):
    """Return what the queue holds, and what is set aside, after the operations ``said``."""
    numbers, aside = deque(before[0]), list(before[1])
    for each in said:
        if each[0] == "+":
            numbers.append(int(each[1:]))
        else:
            gone = [numbers.popleft()] if numbers else []
            assert each[1:] == "".join(map(str, gone))
            aside += gone if each[0] == "a" else []
    return list(numbers), aside


@pytest.mark.parametrize("mode", ["+", "++-", "+-", "-", "++a-a"])
def test_killed_at_any_moment(victims, tmp_path, mode):
    chance = random.Random()
    rounds = ROUNDS if mode == "+" else ROUNDS // 2
    before, number, path = ([], []), 0, tmp_path / "none"
    for turn in range(rounds):
        if turn % 10 == 0:  # a new file, so that its making is hit too
            path, before, number = tmp_path / f"{turn}.db", ([], []), 0
            if mode == "-":
                fill = victims.run(path, "+", 0, 150, 0)
                before = stored(path, tmp_path / f"fill-{turn}")
                assert before[0][: len(fill)] == apply(fill, ([], []))[0]
        operations = chance.choice([0, 0, 1, 2, chance.randrange(30)])
        said = victims.run(path, mode, number, operations, chance.uniform(0, 0.02 if operations else 0.004))
        found = stored(path, tmp_path / f"seen-{turn}")
        sure = apply(said, before)
        pushed = [int(each[1:]) for each in said if each[0] == "+"]
        number = max(pushed, default=number - 1) + 1
        # The operation after the last one said was under way: it is done, or it is not.
        next_one = mode[len(said) % len(mode)]
        head = number if next_one == "+" else sure[0][0] if sure[0] else ""
        under_way = apply([f"{next_one}{head}"], sure)
        assert found in (sure, under_way), f"turn {turn}: said {said}, found {found}, from {before}"
        before = found
        number = max([number - 1, *found[0], *found[1]]) + 1


def test_killed_while_many_threads_push(victims, tmp_path):
    """They share syncs: what one of them was told is on disk is there, and the requests of each are in order."""
    chance, said = random.Random(), []
    for turn in range(ROUNDS // 2):
        if turn % 10 == 0:
            path, number, said = tmp_path / f"{turn}.db", 0, []
        said += victims.run(path, "threads", number, chance.choice([0, 1, 20]), chance.uniform(0, 0.02))
        found, _ = stored(path, tmp_path / f"seen-{turn}")
        assert {int(each[1:]) for each in said} <= set(found)
        assert len(set(found)) == len(found)
        for thread in range(10):
            own = [each for each in found if each % 10 == thread]
            assert own == sorted(own)
        number = (max(found, default=0) // 10 + 1) * 10


def test_killed_while_what_cannot_be_read_is_set_aside(victims, tmp_path):
    """Each request is in the queue or set aside, and never in both."""
    chance, seen = random.Random(), set()
    for turn in range(ROUNDS // 2):
        path = tmp_path / f"{turn}.db"
        victims.run(path, "+", 0, 60, 0)
        before, _ = stored(path, tmp_path / f"fill-{turn}")
        victims.run(path, "init", 0, 1, chance.uniform(0, 0.02))
        found, aside = stored(path, tmp_path / f"seen-{turn}")
        assert sorted([*found, *aside]) == before
        assert found == sorted(found)
        assert aside == [each for each in before if each % 3][: len(aside)]
        seen.add(len(aside))
    assert ROUNDS < 50 or len(seen) > 1, "it was killed always before, or always after"


#: A client that boots, sends a StartTransaction or finds one in its file, and says "told" where it is told of its end.
#: It stays there, or ends when nothing is in the file any more.
STATION = """
import os, sys, threading
from datetime import datetime, timezone
from ocppj import Client, SQLiteQueue, v16

path, url, where, killed = sys.argv[1:]
queue = SQLiteQueue(path)
client = Client("CP_1", profiles=v16.PROFILES, queue=queue)

def told(request):
    if isinstance(request, v16.StartTransactionRequest):
        os.write(1, b"told\\n")
        if killed:
            threading.Event().wait(60)

if where == "response":
    client.set_response_handler(lambda response, message_id, request: told(request))
elif where == "error":
    client.set_error_handler(lambda error, details, request: told(request))
elif where == "ended":
    client.set_ended_handler(lambda request, outcome: told(request))
client.connect(url)
client.call(v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M"), timeout=20)
if killed:
    request = v16.StartTransactionRequest(1, "TAG", 0, datetime.now(timezone.utc))
    future = client.send_request(request, message_id="begin-1")
    if where == "future":
        future.add_done_callback(lambda future: told(request))
    threading.Event().wait(60)
while len(queue) or queue.unsettled():
    threading.Event().wait(0.01)
client.stop()
"""


class CentralSystem:
    """Accepts boots, answers a StartTransaction with a transaction id or an error, and keeps the ids of these."""

    def __init__(self, refuses):
        self.refuses, self.ids = refuses, []
        self.server = Server(profiles=v16.PROFILES)
        self.server.on(v16.BootNotificationRequest)(self.boot)
        self.server.on(v16.StartTransactionRequest, pass_id=True)(self.begin)

    def boot(self, client_id, request):
        return v16.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=300, status="Accepted")

    def begin(self, client_id, request, message_id):
        self.ids.append(message_id)
        if self.refuses:
            raise OCPPError(ErrorCode.INTERNAL_ERROR, "not now")
        return v16.StartTransactionResponse(transaction_id=4711, id_tag_info=v16.IdTagInfo(status="Accepted"))


@contextlib.contextmanager
def station(*arguments):
    with subprocess.Popen([sys.executable, "-c", STATION, *arguments], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("where", "refuses"),
    [("response", False), ("ended", False), ("ended", True), ("error", True), ("future", False)],
)
def test_killed_between_the_answer_and_its_handler(tmp_path, where, refuses):
    """The request is sent again, with its id, and the next process is told of its end."""
    central, path = CentralSystem(refuses), str(tmp_path / "requests.db")
    with central.server.listen(host="127.0.0.1"):
        with station(path, central.server.url, where, "killed") as process:
            assert process.stdout.readline() == b"told\n"
            process.send_signal(signal.SIGKILL)
            process.wait(seconds(20))
        with station(path, central.server.url, where, "") as process:
            assert process.wait(seconds(20)) == 0
            assert process.stdout.read() == (b"" if where == "future" else b"told\n")
    assert central.ids == ["begin-1", "begin-1"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
