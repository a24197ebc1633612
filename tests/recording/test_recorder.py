"""A recorder writes what went over the wire, whatever happens to its process and to its disk."""

import json
import logging
import os
import select
import stat
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone

import pytest

from ocppj import Client, Recorder, Server, TransportError, UsageError, v16, v201
from ocppj.recording import read_recording
from ocppj.testing.csms import ScriptedCSMS
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import eventually, seconds

BOOT = v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One")
TIME = datetime(2026, 11, 30, 18, 12, 26, 123456, timezone.utc)


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def told(path):
    """Return what each line of a recording tells, by connection, without its time and its reason.

    The end of a connection may be told after the begin of the next.
    """
    read = sorted(read_recording(path), key=lambda each: each.connection)
    return [(each.event or each.sender, each.client_id, each.version, each.connection) for each in read]


def test_a_server_and_a_client_record_the_same_traffic(tmp_path):
    network = MemoryNetwork()
    with ScriptedCSMS(network=network) as csms, Recorder(tmp_path / "s") as one, Recorder(tmp_path / "c") as two:
        csms.server.add_observer(one)
        client = Client("CP_1", profiles=v16.PROFILES, ws_client=network.client())
        client.add_observer(two)
        for _ in range(2):
            client.connect(csms.url)
            client.call(BOOT)
            client.stop()
            eventually(lambda: not csms.server.connections())
        eventually(lambda: one.lines == two.lines == 8)
    expected = [
        (what, "CP_1", "1.6", number) for number in (1, 2) for what in ("connected", "station", "csms", "disconnected")
    ]
    assert told(tmp_path / "s") == told(tmp_path / "c") == expected
    ends = [[each["reason"] for each in lines_of(tmp_path / name) if "reason" in each] for name in "sc"]
    assert ends == [["1000 by the peer"] * 2, ["1000 by us"] * 2]


def test_refused_clients_are_recorded(tmp_path):
    network = MemoryNetwork()
    server = Server(profiles=v16.PROFILES, ws_server=network.server(no_subprotocol="reject"))
    server.set_check_client_handler(lambda request: request.identity != "CP_9")
    with Recorder(tmp_path / "s") as recorder, server.listen(0, host="csms"):
        server.add_observer(recorder)
        for client_id, profiles in (("CP_9", v16.PROFILES), ("CP_1", v201.PROFILES)):
            client = Client(client_id, profiles=profiles, ws_client=network.client(reconnect=False))
            with pytest.raises(TransportError):
                client.connect(server.url)
    lines = lines_of(tmp_path / "s")
    assert [(each["event"], each["client"], each["reason"][:4]) for each in lines] == [
        ("refused", "CP_9", "404:"),
        ("refused", "CP_1", "400:"),
    ]


def test_a_line_is_as_it_is_documented(tmp_path):
    path = tmp_path / "s.jsonl"
    with Recorder(path) as recorder:
        recorder.event("connected", "CP_1", "1.6", 3, time=TIME)
        recorder.frame("station", "CP_1", "1.6", '[2,"ä😀","X",{}]', 3, TIME)
        recorder.frame("csms", "CP_1", "1.6", "[3]", 3, TIME.astimezone(timezone(timedelta(hours=2))), sent=False)
        recorder.event("disconnected", "CP_1", "1.6", 3, "1006 the network failed", TIME)
    assert path.read_text("utf-8").splitlines() == [
        '{"time": "2026-11-30T18:12:26.123456Z", "event": "connected", "client": "CP_1", "version": "1.6", '
        '"connection": 3}',
        '{"time": "2026-11-30T18:12:26.123456Z", "from": "station", "client": "CP_1", "version": "1.6", '
        '"text": "[2,\\"ä😀\\",\\"X\\",{}]", "connection": 3}',
        '{"time": "2026-11-30T18:12:26.123456Z", "from": "csms", "client": "CP_1", "version": "1.6", "text": "[3]", '
        '"connection": 3, "sent": false}',
        '{"time": "2026-11-30T18:12:26.123456Z", "event": "disconnected", "client": "CP_1", "version": "1.6", '
        '"connection": 3, "reason": "1006 the network failed"}',
    ]


def test_half_a_pair_of_surrogates_is_kept(tmp_path):
    with Recorder(tmp_path / "s") as recorder:
        recorder.frame("station", "CP_1", "1.6", "a\ud83d")
    assert [each.text for each in read_recording(tmp_path / "s")] == ["a\ud83d"]


@pytest.mark.parametrize("shows", [False, True])
def test_secrets_are_masked_and_the_file_is_private(tmp_path, shows):
    path = tmp_path / "s.jsonl"
    with Recorder(path, show_secrets=shows) as recorder:
        text = '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"hunter2"}]'
        recorder.frame("csms", "CP_1", "1.6", text)
        recorder.event("refused", "CP_1", reason="ws://a:hunter2@b")
    assert ("hunter2" in path.read_text()) is shows
    assert (path.read_text().count("hunter2") == 2) is shows
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"keep": -1}])
def test_wrong_options(tmp_path, options):
    with pytest.raises(UsageError):
        Recorder(tmp_path / "s", **options)


def test_a_sender_is_one_of_two(tmp_path):
    with Recorder(tmp_path / "s") as recorder, pytest.raises(UsageError, match="station"):
        recorder.frame("server", "CP_1", "1.6", "[]")


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(OSError):
        Recorder(tmp_path / "none" / "s")


def test_what_comes_after_close_is_counted(tmp_path):
    recorder = Recorder(tmp_path / "s")
    recorder.close()
    recorder.close()
    recorder.frame("station", "CP_1", "1.6", "[]")
    assert (recorder.lines, recorder.lost) == (0, 1)
    assert (tmp_path / "s").read_text() == ""


# Rotation


def test_threads_write_whole_lines_into_rotated_files(tmp_path):
    path = tmp_path / "s.jsonl"
    with Recorder(path, max_bytes=10_000, keep=1000) as recorder:

        def write(name):
            for number in range(200):
                recorder.frame("station", name, "1.6", f"[{number}]")

        threads = [threading.Thread(target=write, args=(f"CP_{number}",)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds(20))
        assert (recorder.lines, recorder.lost) == (1000, 0)
    files = sorted(tmp_path.iterdir())
    assert len(files) > 5
    assert all(each.stat().st_size <= 10_000 for each in files)
    read = list(read_recording(path))
    for name in {each.client_id for each in read}:
        assert [each.text for each in read if each.client_id == name] == [f"[{number}]" for number in range(200)]
    assert len(read) == 1000


def test_two_recorders_add_to_the_same_file(tmp_path):
    path = tmp_path / "s.jsonl"
    with Recorder(path, max_bytes=1000, keep=1000) as one, Recorder(path, max_bytes=1000, keep=1000) as two:
        for number in range(100):
            (one, two)[number % 2].frame("station", "CP_1", "1.6", f"[{number}]")
    sizes = [each.stat().st_size for each in tmp_path.iterdir() if each != path]
    assert max(sizes) <= 1000
    assert min(sizes) > 700  # none was put aside by both
    texts = [each.text for each in read_recording(path)]
    assert sorted(texts) == sorted(f"[{number}]" for number in range(100))


def test_only_so_many_files_are_kept(tmp_path):
    path = tmp_path / "s.jsonl"
    with Recorder(path, max_bytes=200, keep=2) as recorder:
        for number in range(20):
            recorder.frame("station", "CP_1", "1.6", f"[{number}]")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["s.jsonl", "s.jsonl.1", "s.jsonl.2"]
    numbers = [int(each.text[1:-1]) for each in read_recording(path)]
    assert numbers == list(range(20 - len(numbers), 20))


def test_no_file_is_kept(tmp_path):
    with Recorder(tmp_path / "s", max_bytes=1, keep=0) as recorder:
        for number in range(3):
            recorder.frame("station", "CP_1", "1.6", f"[{number}]")
    assert [each.text for each in read_recording(tmp_path / "s")] == ["[2]"]
    assert [each.name for each in tmp_path.iterdir()] == ["s"]


# Ends of processes

_KILLED = """
import sys
from ocppj import Recorder
recorder = Recorder(sys.argv[1], max_bytes=20_000, keep=1000)
number = 0
while True:
    recorder.frame("station", "CP_1", "1.6", f"[{number}]")
    print(number, flush=True)
    number += 1
"""


def test_kill_9_loses_no_line(tmp_path):
    path = tmp_path / "s.jsonl"
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    with process:
        last = 0
        while last < 500:
            last = int(process.stdout.readline())
        process.kill()
        last = max([last, *map(int, process.stdout.read().rpartition("\n")[0].split())])
    texts = [each.text for each in read_recording(path)]
    assert texts[: last + 1] == [f"[{number}]" for number in range(last + 1)]
    assert len(texts) <= last + 2


def test_a_recording_goes_on_after_half_a_line(tmp_path):
    path = tmp_path / "s.jsonl"
    with Recorder(path) as recorder:
        recorder.frame("station", "CP_1", "1.6", "[1]")
    with path.open("a") as file:
        file.write('{"time": "2026-11-30T18:12:26.123456Z", "from": "stat')
    assert [each.text for each in read_recording(path)] == ["[1]"]
    with Recorder(path) as recorder:
        recorder.frame("station", "CP_1", "1.6", "[2]")
    assert [each.text for each in read_recording(path)] == ["[1]", "[2]"]


def test_the_last_line_of_another_file_is_kept(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with Recorder(path) as recorder:
        recorder.frame("station", "CP_1", "1.6", "[1]")
    assert path.read_text().splitlines()[0] == "my notes"
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_goes_on_with_the_same_file(tmp_path):
    path = tmp_path / "s.jsonl"
    recorder = Recorder(path, max_bytes=5_000, keep=1000)
    recorder.frame("station", "before", "1.6", "[0]")
    child = os.fork()
    for number in range(100):
        recorder.frame("station", "parent" if child else "child", "1.6", f"[{number}]")
    if not child:
        os._exit(0 if (recorder.lines, recorder.lost) == (100, 0) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    recorder.close()
    texts = {"before": [], "parent": [], "child": []}
    for each in read_recording(path):
        texts[each.client_id].append(each.text)
    assert texts["parent"] == texts["child"] == [f"[{number}]" for number in range(100)]


# Disks

_FULL = """
import logging, resource, sys, threading
from ocppj import Recorder
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
recorder = Recorder(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
for number in range(20):
    recorder.frame("station", "CP_1", "1.6", f"[{number}]")
print(recorder.lines, recorder.lost)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
while recorder.lines + recorder.lost < 10_000 and recorder.lines < 10:
    recorder.frame("station", "CP_1", "1.6", "[again]")
    threading.Event().wait(0.05)
recorder.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk(tmp_path):
    path = tmp_path / "s.jsonl"
    done = subprocess.run([sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, check=True)
    counts, *log = sorted(done.stdout.splitlines(), key=lambda line: not line[0].isdigit())
    written, lost = map(int, counts.split())
    assert written + lost == 20
    assert written == 1000 // len(path.read_text().splitlines()[0] + "\n")
    assert [line.split()[0] for line in sorted(log)] == ["ERROR", "WARNING"]
    read = list(read_recording(path))
    assert [each.text for each in read[:written]] == [f"[{number}]" for number in range(written)]
    assert read[written].event == "lost"
    assert int(read[written].reason.split()[0]) >= lost
    assert read[written + 1].text == "[again]"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_disk_that_hangs_holds_up_one_thread(tmp_path, caplog):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(path)
    filler = "x" * 40_000

    def write(name):
        for number in range(20):
            recorder.frame("station", name, "1.6", f"[{number},{filler!r}]".replace("'", '"'))
        finished.release()

    finished = threading.Semaphore(0)
    threads = [threading.Thread(target=write, args=(f"CP_{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):  # the fourth thread hangs in its write
        assert finished.acquire(timeout=seconds(10))
    assert not finished.acquire(timeout=0.05)
    read = bytearray()

    def drain():
        try:
            read.extend(os.read(end, 1 << 20))
        except BlockingIOError:
            pass
        return read.count(b"\n") == 80

    eventually(drain)
    for thread in threads:
        thread.join(seconds(10))
    recorder.close()
    os.close(end)
    assert (recorder.lines, recorder.lost) == (80, 0)
    found = list(read_recording(bytes(read).splitlines()))
    for name in {each.client_id for each in found}:
        assert [json.loads(each.text)[0] for each in found if each.client_id == name] == list(range(20))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_waits_for_a_slow_disk_is_bounded(tmp_path, caplog):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(path, show_secrets=True)
    text = "x" * 500_000
    stuck = threading.Thread(target=recorder.frame, args=("station", "CP_1", "1.6", text))
    stuck.start()
    eventually(lambda: select.select([end], [], [], 0)[0])  # it has begun, and hangs
    with caplog.at_level(logging.ERROR, "ocppj"):
        for _ in range(30):
            recorder.frame("station", "CP_2", "1.6", text)
    assert recorder.lost >= 30 - 17
    assert [record.message for record in caplog.records if "too slow" in record.message] != []
    assert len(caplog.records) == 1

    def drain():
        try:
            while os.read(end, 1 << 20):
                pass
        except BlockingIOError:
            pass
        return recorder.lines + recorder.lost == 31

    eventually(drain)
    stuck.join(seconds(10))
    recorder.close()
    os.close(end)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_what_waits_is_written_if_no_thread_can_be_started(tmp_path, monkeypatch):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(path)
    stuck = threading.Thread(target=recorder.frame, args=("station", "CP_1", "1.6", "x" * 200_000))
    stuck.start()
    eventually(lambda: select.select([end], [], [], 0)[0])  # it has begun, and hangs

    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    recorder.frame("station", "CP_2", "1.6", "[1]")  # it waits: no thread takes it
    read = bytearray()

    def drain():
        try:
            read.extend(os.read(end, 1 << 20))
        except BlockingIOError:
            pass
        return not stuck.is_alive()

    eventually(drain)
    recorder.frame("station", "CP_2", "1.6", "[2]")
    recorder.close()
    drain()
    os.close(end)
    found = [each.text for each in read_recording(bytes(read).splitlines()) if each.client_id == "CP_2"]
    assert found == ["[1]", "[2]"]
    assert (recorder.lines, recorder.lost) == (3, 0)
