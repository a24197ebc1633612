"""Every Python block of docs/chargers.md runs as it stands, and what it repairs is handled by a server."""

import contextlib
import io
import re
import subprocess
import sys

import pytest

from tests.fixtures import VERSIONS, cleanup, make_client, make_server, side_of  # noqa: F401
from tests.helpers import Recorder, seconds
from tests.peers import Sockets
from tests.test_readme import BLOCK, ROOT

PAGE = (ROOT / "docs" / "chargers.md").read_text("utf-8")
BLOCKS = BLOCK.findall(PAGE)
REPAIRS = next(block for block in BLOCKS if "def close_frame" in block)


@pytest.fixture
def transport():
    return Sockets()


def run(block):
    """Return the names that a block of the page makes."""
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block, "chargers.md", "exec"), names)
    return names


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(code, tmp_path):
    command = [sys.executable, "-X", "utf8", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    done = subprocess.run(command, cwd=tmp_path, encoding="utf-8", timeout=seconds(50), check=False, **pipes)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == re.findall(r"^# -> (.*)$", code, re.MULTILINE)


TEXTS = [
    '[2,"1","DataTransfer",{"vendorId":"V","messageId":,"data":"a:, [,{"}]',
    '[2,"1","DataTransfer",{"vendorId":"V","messageId" : ,"data":"a:, [,{"}]',
    '[2,"1","DataTransfer",{"vendorId":"V","data":"a:, [,{"}',
    '\ufeff[2,"1","DataTransfer",{"vendorId":"V","data":"\x00a:, \x01[,{"}]\x00',
    '[2,"1","DataTransfer",{"vendorId":"V\\x","data":"a:, [,{"}]',
    '[2,"1","DataTransfer",{"vendorId":"\\\\\\V","data":"a:, [,{"}\r\n\x00',
]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_repairs_of_the_page_reach_the_handler(side_of, version):
    package, data = VERSIONS[version], Recorder()
    side = side_of(version, validate="strict")
    repair = run(REPAIRS)["repair"]
    side.endpoint.set_text_hook(lambda *arguments: repair("CP_1", arguments[-1]))

    @side.endpoint.on(package.DataTransferRequest)
    def handle(*arguments):
        data(arguments[-1].data)
        return package.DataTransferResponse(status="Accepted")

    for text in TEXTS:
        assert side.raw.ask(text) == [3, "1", {"status": "Accepted"}], text
    assert data.calls == [("a:, [,{",)] * len(TEXTS)


@pytest.mark.parametrize(
    "text",
    [
        '[2,"1","DataTransfer",{"vendorId":"V","data":"\\"transactionId\\":, [,{ \\\\ \\u0041"}]',
        '[2, "1", "A", {"a": [{}, {}], "b": [[], 1], "c": ""}]',
        '[3,"1",{}]',
        "[]",
    ],
    ids=range(4),
)
def test_the_repairs_of_the_page_leave_a_valid_text_as_it_is(text):
    assert run(REPAIRS)["repair"]("CP_1", text) == text


@pytest.mark.parametrize("version", VERSIONS)
def test_the_hook_of_the_page_answers_what_cannot_be_read(side_of, version):
    answer = next(run(block)["answer"] for block in BLOCKS if "visible_id" in block)
    side = side_of(version)
    side.endpoint.set_invalid_message_hook(lambda *arguments: answer("CP_1", *arguments[-3:]))
    for text in ('[2,"7","MeterValues",{"transactionId":,', '[2,"7","A"', "[2,\"7\",'A',{}]"):
        assert side.raw.ask(text)[:2] == [4, "7"]
