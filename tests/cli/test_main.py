"""The command `ocppj` itself: finding a command, help, exit codes, signals."""

import signal
import subprocess
import sys
from importlib import import_module

import pytest

from ocppj import __version__
from ocppj.cli.main import COMMANDS, main
from tests.cli.commands import ROOT, ocppj


def test_without_a_command() -> None:
    ran = ocppj()
    assert ran.code == 2
    assert "COMMAND" in ran.err and "--help" in ran.err


def test_an_unknown_command_names_those_that_exist() -> None:
    ran = ocppj("serv")
    assert ran.code == 2
    assert "'serv'" in ran.err and "serve" in ran.err


def test_help_lists_the_commands() -> None:
    ran = ocppj("--help")
    assert ran.code == 0
    for name, (_, about) in COMMANDS.items():
        assert f"{name} " in ran.out and about in ran.out


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


def test_the_handler_of_signals_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["--version"])
    assert signal.getsignal(signal.SIGTERM) is before
