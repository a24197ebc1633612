"""Processes that are killed in the middle of pushing and popping: no request is lost, none changes its place.

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
import subprocess
import sys
import threading
from collections import deque

import pytest

from ocppj import Call
from ocppj.durable import SQLiteQueue
from tests.helpers import seconds

ROUNDS = int(os.environ.get("OCPPJ_CRASH_ROUNDS", "50"))

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL") or not hasattr(os, "fork"), reason="no SIGKILL, or no fork"),
    pytest.mark.timeout(seconds(60 + 2 * ROUNDS)),
]

VICTIMS = """
import json, os, sys
from ocppj import Call, RequestBundle
from ocppj.durable import SQLiteQueue

def decode(version, text):
    return Call(*json.loads(text)[1:])

def operate(path, mode, number):
    queue = SQLiteQueue(path)
    queue.set_decoder(decode)
    queue.init()
    os.write(1, b"ready\\n")
    for operation in mode * 100_000:
        if operation == "+":
            call = Call(str(number), "DataTransfer", {"vendorId": "x" * (number * 37 % 9000)})
            queue.push(RequestBundle(call, call.to_json(), "1.6"))
            os.write(1, b"+%d\\n" % number)
            number += 1
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
            elif line[0] in "+-":
                said.append(line)
            assert not line.startswith("dead"), "the victim died by itself"
        threading.Event().wait(delay)
        os.kill(victim, signal.SIGKILL)
        while True:
            line = self._maker.stdout.readline().decode().strip()
            if line.startswith("dead"):
                assert line == f"dead {int(signal.SIGKILL)}"
                return said
            if line[0] in "+-":
                said.append(line)


@pytest.fixture
def victims():
    with contextlib.closing(Victims()) as victims:
        yield victims


def stored(path, directory):
    """Return the numbers in the file, looked at in a copy."""
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{end}", f"{directory / path.name}{end}")
    queue = SQLiteQueue(directory / path.name)
    queue.set_decoder(lambda version, text: Call(*json.loads(text)[1:]))
    queue.init()
    found = queue.bundles()
    queue.close()
    for each in found:  # whole, not just there
        assert each.call.payload == {"vendorId": "x" * (int(each.message_id) * 37 % 9000)}
    return [int(each.message_id) for each in found]


def apply(said, before):
    """Return what the queue holds after the operations ``said``."""
    numbers = deque(before)
    for each in said:
        if each[0] == "+":
            numbers.append(int(each[1:]))
        else:
            assert each[1:] == (str(numbers.popleft()) if numbers else "")
    return list(numbers)


@pytest.mark.parametrize("mode", ["+", "++-", "+-", "-"])
def test_killed_at_any_moment(victims, tmp_path, mode):
    chance = random.Random()
    rounds = ROUNDS if mode == "+" else ROUNDS // 2
    before, number, path = [], 0, tmp_path / "none"
    for turn in range(rounds):
        if turn % 10 == 0:  # a new file, so that its making is hit too
            path, before, number = tmp_path / f"{turn}.db", [], 0
            if mode == "-":
                fill = victims.run(path, "+", 0, 150, 0)
                before = stored(path, copy_directory(tmp_path, turn, "fill"))
                assert before[: len(fill)] == apply(fill, [])
        operations = chance.choice([0, 0, 1, 2, chance.randrange(30)])
        said = victims.run(path, mode, number, operations, chance.uniform(0, 0.02 if operations else 0.004))
        found = stored(path, copy_directory(tmp_path, turn, "seen"))
        sure = apply(said, before)
        pushed = [int(each[1:]) for each in said if each[0] == "+"]
        number = max(pushed, default=number - 1) + 1
        # The operation after the last one said was under way: it is done, or it is not.
        under_way = apply([f"+{number}"], sure) if mode[len(said) % len(mode)] == "+" else sure[1:]
        assert found in (sure, under_way), f"turn {turn}: said {said}, found {found}, from {before}"
        before = found
        number = max([number - 1, *found]) + 1


def copy_directory(tmp_path, turn, what):
    directory = tmp_path / f"{what}-{turn}"
    directory.mkdir()
    return directory
