"""The command `ocppj` itself: finding a command, help, exit codes, signals."""

import io
import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from typing import List

import pytest

from ocppj import __version__
from ocppj.cli.main import COMMANDS, main
from ocppj.cli.streams import prepare_streams
from ocppj.cli.terminal import Terminal
from tests.cli.commands import ROOT, ocppj


def test_without_a_command() -> None:
    ran = ocppj()
    assert ran.code == 2
    assert (ran.out, ran.err) == ("", ocppj("--help").out)


def test_an_unknown_command_names_those_that_exist() -> None:
    ran = ocppj("serv")
    assert ran.code == 2
    assert "'serv'" in ran.err and "serve" in ran.err


def test_help_lists_the_commands() -> None:
    ran = ocppj("--help")
    assert ran.code == 0
    for name, (_, about) in COMMANDS.items():
        assert f"{name} " in ran.out and about in ran.out


def test_help_is_a_word_too(capsys: pytest.CaptureFixture) -> None:
    for words, option in ((["help"], ["--help"]), (["help", "schema"], ["schema", "--help"])):
        shown = [(main(each), capsys.readouterr().out) for each in (words, option)]
        assert shown[0] == shown[1]
    assert "ocppj schema 1.6" in shown[0][1]
    assert main(["help", "nothing"]) == 2


def test_version() -> None:
    assert ocppj("--version").out == f"ocppj {__version__}\n"


def test_help_imports_no_command() -> None:
    """It is quick: neither the library nor any command is imported."""
    code = "import sys; from ocppj.cli.main import main; main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=str(ROOT), capture_output=True, encoding="utf-8", check=True
    )
    modules = done.stdout.splitlines()[-1]
    for heavy in ("jsonschema", "wsproto", "ocppj.server", "ocppj.cli.serve", "rich"):
        assert f"'{heavy}'" not in modules


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_examples_that_can_be_read(name: str, capsys: pytest.CaptureFixture) -> None:
    module = import_module(f"ocppj.cli.{COMMANDS[name][0]}")
    examples = module.EXAMPLES.strip().splitlines()
    assert examples and all(line.strip().startswith(("ocppj ", "python ")) or "|" in line for line in examples)
    assert any(f"ocppj {name}" in line for line in examples)
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "examples:" in out and "--json" in out and "--show-secrets" in out
    assert all(len(line) <= 120 for line in out.splitlines()), "it fits on a screen"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_wrong_usage(name: str, capsys: pytest.CaptureFixture) -> None:
    assert main([name, "--no-such-option"]) == 2
    err = capsys.readouterr().err
    assert f"ocppj {name}" in err and "Traceback" not in err


def test_output_that_nobody_reads_is_no_error() -> None:
    """As with `ocppj schema 1.6 | head -1`."""
    command = [sys.executable, "-m", "ocppj", "schema", "2.1", "TransactionEvent"]
    with subprocess.Popen(command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(30) in (0, 1)


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors")
def test_streams_that_are_closed_are_no_error() -> None:
    """As a service manager may start a command."""
    code = "import os, sys; [os.close(n) for n in (0, 1)]; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    words = ["-m", "ocppj", "serve", "--port", "x", "--json"], ["-m", "ocppj", "schema", "1.6", "Heartbeat"]
    for each, expected in zip(words, (2, 0)):
        ran = subprocess.run([sys.executable, "-c", code, *each], cwd=str(ROOT), stderr=subprocess.PIPE, timeout=30)
        assert (ran.returncode, b"Traceback" in ran.stderr) == (expected, False), ran.stderr


def test_what_the_output_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client sends what it likes: a terminal of another alphabet must not end the command. JSON stays JSON."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    prepare_streams()
    assert sys.stdin.read() == "" and sys.stdout.isatty() is sys.stderr.isatty() is False
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    prepare_streams()
    Terminal(err=io.StringIO()).json({"ü": "\U0001f50c\ud800"})
    assert json.loads(out.getvalue()) == {"ü": "\U0001f50c\ud800"}


def test_options_may_stand_between_the_words(capsys: pytest.CaptureFixture) -> None:
    assert main(["schema", "1.6", "--json", "Heartbeat"]) == 0
    assert main(["queue", "forget", "/nothing.db", "--yes", "5a3c"]) == 2
    assert main(["call", "CP_1", "--via", "unix:/nothing.sock", "Reset", "--timeout", "5s", "type=Soft"]) == 1
    err = capsys.readouterr().err
    assert "there is no file" in err and "no server has a control socket" in err


def test_an_output_that_is_stuck_does_not_keep_the_command_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that prints holds the output, and the end of the interpreter would wait for it."""
    codes: List[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(Terminal, "close", lambda self: setattr(self, "is_stuck", True))
    main(["schema", "1.6", "NoSuchAction"])
    assert codes == [2]


def test_the_handler_of_signals_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["--version"])
    assert signal.getsignal(signal.SIGTERM) is before
