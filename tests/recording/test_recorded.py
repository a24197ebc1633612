"""Recordings are read in their order; half lines are no obstacle."""

import json
import threading

import pytest

from ocppj import Recorder
from ocppj.recording import BrokenRecording, open_log, read_any, read_recording

LINE = '{"time": "2026-11-30T18:12:26.123456Z", "from": "csms", "client": "CP_1", "version": "1.6", "text": "[3]"}'
HALF = LINE[:50]


def texts(recorded):
    return [each.text for each in recorded]


@pytest.mark.parametrize("kind", [str, str.encode])
def test_lines_are_read(kind):
    first, second = read_recording([kind(LINE), kind("  \n"), kind(LINE.replace("[3]", "[4]") + "\n")])
    assert (first.sender, first.client_id, first.version, first.text) == ("csms", "CP_1", "1.6", "[3]")
    assert (first.event, first.connection, first.reason, first.sent) == ("", 0, "", True)
    assert first.time.isoformat() == "2026-11-30T18:12:26.123456+00:00"
    assert second.text == "[4]"


def test_what_is_new_in_a_line_is_passed_over():
    value = {**json.loads(LINE), "new": 1, "sent": False}
    (read,) = read_recording([json.dumps(value)])
    assert (read.text, read.sent) == ("[3]", False)


def test_the_last_line_may_be_broken():
    assert texts(read_recording([LINE, HALF])) == ["[3]"]
    assert texts(read_recording([HALF])) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (HALF, "char 50"),
        ("[]", "no JSON object"),
        (LINE.replace("csms", "me"), "neither"),
        (LINE.replace("text", "txt"), 'no "text"'),
        (LINE.replace('"CP_1"', "1"), '"client" is no text'),
        (LINE.replace("2026-11", "nope"), "date-time"),
        (LINE.replace('"1.6"', '"1.6", "connection": "1"'), '"connection" is no number'),
        ("[" * 100_000, "recursion|nested"),
    ],
)
def test_other_broken_lines_are_errors_or_counted(tmp_path, line, why):
    path = tmp_path / "s.jsonl"
    path.write_text(f"{LINE}\n{line}\n{LINE}\n")
    with pytest.raises(BrokenRecording, match=rf"s\.jsonl: line 2 .*{why}"):
        list(read_recording(path))
    broken = []
    assert texts(read_recording(path, broken=lambda *told: broken.append(told))) == ["[3]"] * 2
    assert [number for number, _ in broken] == [2]


def test_a_last_broken_line_is_told_of():
    broken = []
    assert texts(read_recording([LINE, HALF], broken=lambda number, why: broken.append(number))) == ["[3]"]
    assert broken == [2]


def test_rotated_files_are_read_in_order(tmp_path):
    path = tmp_path / "s.jsonl"
    for number, name in enumerate(["s.jsonl.2", "s.jsonl.1", "s.jsonl"]):
        (tmp_path / name).write_text(LINE.replace("[3]", f"[{number}]"))
    assert texts(read_recording(path)) == ["[0]", "[1]", "[2]"]
    assert texts(read_any(path)) == ["[0]", "[1]", "[2]"]
    assert texts(read_recording(path, rotated=False)) == ["[2]"]


def test_a_recording_whose_newest_file_is_empty(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text("")  # its program was killed when it had just begun it
    (tmp_path / "s.jsonl.1").write_text(LINE.replace("[3]", "[1]"))
    assert texts(read_recording(path)) == texts(read_any(path)) == texts(open_log(path)) == ["[1]"]


def test_a_rotation_hides_no_line_from_a_reader(tmp_path):
    path = tmp_path / "s.jsonl"
    ended = threading.Event()
    with Recorder(path, max_bytes=500, keep=100_000, show_secrets=True) as recorder:

        def write():
            for number in range(600):
                recorder.frame("station", "CP_1", "1.6", f"[{number}]")
            ended.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not ended.is_set():
            read = texts(read_recording(path))
            assert read == [f"[{number}]" for number in range(len(read))]
        writer.join()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError):
        list(read_recording(tmp_path / "none"))


def test_any_other_log_is_read_too(tmp_path):
    path = tmp_path / "other.log"
    path.write_text('2026-11-30 18:12:26 CP_1 received [2,"1","Heartbeat",{}]\n')
    assert texts(read_any(path)) == ['[2,"1","Heartbeat",{}]']
