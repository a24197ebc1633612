"""``ocppj report``."""

import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.commands import ROOT, Running, ocppj
from tests.helpers import eventually
from tests.reporting.recorded_days import demo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.jsonl").write_text(demo(), "utf-8")
    return tmp_path


def test_the_commands_of_the_page(folder: Path) -> None:
    page = (ROOT / "docs" / "recordings.md").read_text("utf-8")
    lines = re.findall(r"^ocppj (report .*)$", page, re.MULTILINE)
    assert len(lines) == 3
    for name in ("monday.jsonl", "tuesday.jsonl"):
        shutil.copy(folder / "s.jsonl", folder / name)
    for line in lines:
        ran = ocppj(*line.split(), cwd=folder)
        assert (ran.code, ran.err) == (0, ""), line
    assert {"report.html", "week.html"} <= {each.name for each in folder.iterdir()}


def test_it_writes_a_page_beside_the_recording(folder: Path) -> None:
    ran = ocppj("report", "s.jsonl", cwd=folder)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "wrote s.html: 141 rows, 3 stations, 5 errors, 3 gaps, 2 transactions\n"
    assert (folder / "s.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert sorted(each.name for each in folder.iterdir()) == ["s.html", "s.jsonl"]


def test_it_writes_over_its_own_page_alone(folder: Path) -> None:
    page = folder / "s.html"
    page.write_text("<html>the log of another program</html>", "utf-8")
    ran = ocppj("report", "s.jsonl", cwd=folder)
    assert (ran.code, ran.out) == (2, "")
    assert "s.html exists, and is no page of ocppj report: write another name behind -o" in ran.err
    assert page.read_text("utf-8") == "<html>the log of another program</html>"
    page.unlink()
    assert [ocppj("report", "s.jsonl", cwd=folder).code for _ in range(2)] == [0, 0]


def test_json_is_the_summary_and_the_page_is_written_if_it_is_asked_for(folder: Path) -> None:
    ran = ocppj("report", "s.jsonl", "--json", "--gap", "20m", "-o", "page.html", cwd=folder)
    assert ran.code == 0
    (found,) = ran.json
    assert found["messages"] == 136
    assert [each["kind"] for each in found["gaps"]] == ["not connected", "silent"]
    assert {each["id"] for each in found["transactions"]} == {"7", "tx-2"}
    assert "page.html" in ran.err
    assert (folder / "page.html").exists()


def test_several_files_and_the_standard_input_are_put_in_the_order_of_time(folder: Path) -> None:
    lines = demo().splitlines(keepends=True)
    (folder / "even.jsonl").write_text("".join(lines[::2]), "utf-8")
    ran = ocppj("report", "--json", "even.jsonl", "-", stdin="".join(lines[1::2]), cwd=folder)
    assert ran.code == 0
    whole = ocppj("report", "--json", "s.jsonl", cwd=folder).json[0]
    assert ran.json[0]["latencies"] == whole["latencies"]
    assert not (folder / "even.html").exists()


def test_files_that_were_put_aside_are_read_once(folder: Path) -> None:
    lines = demo().splitlines(keepends=True)
    (folder / "s.jsonl.1").write_text("".join(lines[:70]), "utf-8")
    (folder / "s.jsonl").write_text("".join(lines[70:]), "utf-8")
    for files in (["s.jsonl"], ["s.jsonl", "s.jsonl.1"]):
        assert ocppj("report", "--json", *files, cwd=folder).json[0]["messages"] == 136


def test_a_log_of_another_program(folder: Path) -> None:
    lines = [
        '2026-11-30 10:00:00 INFO got [2,"1","Heartbeat",{}]',
        '2026-11-30 10:00:01 INFO sent [3,"1",{"currentTime":"2026-11-30T10:00:01Z"}]',
        "bye",
    ]
    (folder / "csms.log").write_text("\n".join(lines), "utf-8")
    ran = ocppj("report", "--json", "csms.log", cwd=folder)
    assert ran.code == 0
    assert ran.json[0]["messages"] == 2
    assert ran.json[0]["latencies"][0]["action"] == "Heartbeat"


def test_what_cannot_be_done(folder: Path) -> None:
    (folder / "empty.log").write_text("nothing of interest\n", "utf-8")
    empty = ocppj("report", "empty.log", cwd=folder)
    assert (empty.code, empty.err) == (1, "there are no OCPP messages in empty.log\n")
    assert not (folder / "empty.html").exists()
    missing = ocppj("report", "missing.jsonl", cwd=folder)
    assert missing.code == 2
    assert "missing.jsonl" in missing.err
    assert not (folder / "missing.html").exists()
    itself = ocppj("report", "s.jsonl", "-o", "s.jsonl", cwd=folder)
    assert itself.code == 2
    assert "another name" in itself.err
    assert (folder / "s.jsonl").read_text("utf-8") == demo()
    assert "no time" in ocppj("report", "s.jsonl", "--gap", "soon", cwd=folder).err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing_behind(folder: Path, number: int, code: int) -> None:
    with Running("report", "s.jsonl", "-", "-o", "page.html", cwd=folder) as running:
        eventually((folder / "page.html.part").exists)
        ran = running.end(number)
    assert ran.code == code
    assert [each.name for each in folder.iterdir()] == ["s.jsonl"]


def test_help_has_examples() -> None:
    ran = ocppj("report", "--help")
    assert ran.code == 0
    assert "ocppj report s.jsonl -o report.html" in ran.out
