"""What docs/check.md says of charging stations runs as it stands."""

import re
import shlex

import pytest

from ocppj.testing.simulation.station import SimulatedStation
from tests.cli.commands import Running
from tests.test_readme import BLOCK, DOCS

TEXT = (DOCS / "check.md").read_text("utf-8").partition("## A charging station\n")[2]
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command(line, tmp_path):
    words = shlex.split(re.sub(r"--listen (?:127.0.0.1:)?9000", "--listen 127.0.0.1:0", line))[1:]
    if "--only" not in words:
        words += ["--only", "rpc-answer"]  # all cases would take too long here
    with Running(*words, cwd=tmp_path) as check:
        station = SimulatedStation("CP_1", "2.0.1" if "2.0.1" in words else "1.6")
        with station.start(check.url()):
            ran = check.wait()
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[-1].split(", ")[1] == "0 failed"
    assert (tmp_path / "check.html").exists() == ("--html" in words)


def test_the_python_block(capsys):
    (code,) = BLOCK.findall(TEXT)
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)


def test_the_options_are_those_of_the_command():
    from ocppj.cli.check_station import _ALONE

    told = set(re.findall(r"^\| `--([a-z-]+)", TEXT, re.MULTILINE)) | set(re.findall(r"`--([a-z-]+)`", TEXT))
    assert {name.replace("_", "-") for name in _ALONE} <= told


def test_the_groups_of_cases():
    from ocppj.conformance.cases import STATION, cases_of

    cases = cases_of(STATION)
    rows = re.findall(r"^\| (`[a-z][^|]*) \|", TEXT, re.MULTILINE)
    told = {group for row in rows for group in re.findall(r"`(\w+)`", row)}
    assert told == {each.group for each in cases}
    assert len(cases) > 250
