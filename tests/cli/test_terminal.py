"""`Terminal`: what reaches the standard output and the standard error, on a terminal and elsewhere."""

import io
import json
import threading
from typing import List

import pytest

from ocppj.cli.terminal import Terminal
from tests.helpers import seconds


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Tty:
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Tty()


def test_lines_are_plain_and_masked() -> None:
    out = io.StringIO()
    terminal = Terminal(out=out, err=io.StringIO())
    terminal.line("a\x1b[31mb ws://CP_1:secret@host")
    terminal.lines(["c", "d"])
    assert out.getvalue() == "a\\x1b[31mb ws://CP_1:***@host\nc\nd\n"


def test_secrets_are_shown_when_asked_for() -> None:
    out = io.StringIO()
    terminal = Terminal(show_secrets=True, out=out)
    terminal.line("ws://CP_1:secret@host")
    terminal.json({"password": "secret"})
    assert out.getvalue() == 'ws://CP_1:secret@host\n{"password": "secret"}\n'


def test_json_is_masked() -> None:
    out = io.StringIO()
    Terminal(as_json=True, out=out).json({"password": "secret", "ä": 1})
    assert json.loads(out.getvalue()) == {"password": "***", "ä": 1}


def test_json_has_no_characters_that_do_not_show() -> None:
    out = io.StringIO()
    Terminal(as_json=True, out=out).json({"text": "\u202eab\U000e0001\x85"})
    assert out.getvalue() == '{"text": "\\u202eab\\udb40\\udc01\\u0085"}\n'


@pytest.mark.parametrize("as_json", [True, False])
def test_notes_are_no_part_of_json(as_json: bool) -> None:
    out, err = io.StringIO(), io.StringIO()
    Terminal(as_json=as_json, out=out, err=err).note("listening")
    assert (out.getvalue(), err.getvalue()) == (("", "listening\n") if as_json else ("listening\n", ""))


def test_errors_go_to_the_standard_error() -> None:
    out, err = io.StringIO(), io.StringIO()
    Terminal(out=out, err=err).error("no")
    assert (out.getvalue(), err.getvalue()) == ("", "no\n")


def test_colours_are_for_terminals(tty: Tty, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Terminal(out=tty).paint("red", "x") == "\x1b[31mx\x1b[0m"
    assert Terminal(out=io.StringIO()).paint("red", "x") == "x"
    assert Terminal(out=tty, as_json=True).paint("red", "x") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Terminal(out=tty).paint("red", "x") == "x"


def test_a_status_is_replaced_and_removed(tty: Tty) -> None:
    out = io.StringIO()
    terminal = Terminal(out=out, err=tty)
    terminal.status("1 of 2")
    terminal.status("2 of 2")
    terminal.line("done")
    terminal.close()
    assert tty.getvalue() == "\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[K"
    assert out.getvalue() == "done\n"


def test_there_is_no_status_elsewhere() -> None:
    err = io.StringIO()
    Terminal(out=io.StringIO(), err=err).status("1 of 2")
    assert err.getvalue() == ""


def test_a_table_is_aligned() -> None:
    out = io.StringIO()
    Terminal(out=out).table(["action", "count"], [["Heartbeat", 7], ["Reset", 1234], ["None", None]], "by action")
    assert out.getvalue().splitlines() == [
        "by action",
        "action     count",
        "Heartbeat      7",
        "Reset       1234",
        "None",
    ]


def test_a_table_on_a_terminal_is_drawn(tty: Tty) -> None:
    pytest.importorskip("rich")
    Terminal(out=tty).table(["action", "count"], [["[bold]Heartbeat", 7]])
    assert "[bold]Heartbeat" in tty.getvalue(), "it is no markup"
    assert "│" in tty.getvalue()


def test_a_table_without_rich(tty: Tty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    Terminal(out=tty).table(["action", "count"], [["Heartbeat", 7]])
    assert "Heartbeat      7" in tty.getvalue()


def test_close_does_not_wait_for_an_output_that_nothing_reads() -> None:
    """As when a terminal is stopped by Ctrl-S: the thread that prints waits, and holds the output."""
    prints, goes_on = threading.Event(), threading.Event()

    class Stopped(io.StringIO):
        def write(self, text: str) -> int:
            prints.set()
            goes_on.wait(seconds(20))
            return len(text)

    terminal = Terminal(out=Stopped(), err=io.StringIO())
    printing = threading.Thread(target=terminal.line, args=("a",))
    printing.start()
    assert prints.wait(seconds(10))
    terminal.close()
    assert terminal.is_stuck
    goes_on.set()
    printing.join(seconds(10))


def test_a_table_is_printed_at_once() -> None:
    """Other threads print the traffic meanwhile: it stands above the table or below it."""
    printed: List[str] = []

    class Whole(io.StringIO):
        def write(self, text: str) -> int:
            printed.append(text)
            return len(text)

    Terminal(out=Whole()).table(["a"], [["1"], ["2"]], title="numbers")
    assert printed == ["numbers\na\n1\n2\n"]
