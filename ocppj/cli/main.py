"""`main`: finds the command, reads its arguments, runs it, and returns the exit code.

A command is a module of this package with these names:

* ``DESCRIPTION``: what it does, in a few sentences.
* ``EXAMPLES``: lines such as ``ocppj schema 1.6 Heartbeat``, each with ``# what it does`` behind it.
* ``add_arguments(parser)``: adds its arguments to an `argparse.ArgumentParser`.
* ``run(arguments, terminal)``: does it, and returns the exit code. It may raise `CommandError`.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

from ..errors import OcppjError
from .exits import FOUND, INTERRUPTED, OK, WRONG_USAGE, CommandError, ended_by_signals
from .streams import prepare_streams
from .terminal import Terminal

__all__ = ["main"]

#: The module of each command, and what it is for.
COMMANDS: Dict[str, Tuple[str, str]] = {
    "serve": ("serve", "a central system that answers everything and shows the traffic"),
    "simulate": ("simulate", "simulated charging stations, one or thousands, also for load tests"),
    "call": ("call", "send one message through a running serve, a service, or a cluster"),
    "validate": ("validate", "find the frames in any log, and say what is wrong with them"),
    "schema": ("schema", "the fields of a message, its JSON schema, or a valid example"),
    "check": ("check", "try whether a central system or a charging station keeps the rules"),
    "replay": ("replay", "play one side of a recording, and compare the answers"),
    "report": ("report", "a page that shows a recording in a browser"),
    "proxy": ("proxy", "stand between a charging station and its central system, and look"),
    "queue": ("queue", "look into the stored requests of a durable queue"),
    "certs": ("certs", "certificates for tests of security profiles 2 and 3"),
}
_FIRST_STEPS = (
    "first steps, each in a terminal of its own:",
    "  ocppj serve                          # a central system",
    "  ocppj simulate ws://localhost:9000   # a charging station",
    "  ocppj call CP_1 Reset type=Soft      # a command to it",
)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run a command, and return its exit code.

    0: it is done. 1: it found something, or it failed. 2: it was used in a wrong way. 130: Ctrl-C ended it, and 143:
    SIGTERM.

    Args:
        arguments: The words behind ``ocppj``. ``None``: those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    terminals: List[Terminal] = []
    code = _run_to_its_end(words, terminals)
    if any(each.is_stuck for each in terminals):  # the end of the interpreter would wait for it, too
        os._exit(code)
    return code


def _run_to_its_end(words: List[str], terminals: List[Terminal]) -> int:
    with ended_by_signals() as ended:
        try:
            return _run(words, terminals)
        except SystemExit as error:  # argparse has printed why
            return int(error.code or 0)
        except KeyboardInterrupt:
            return ended.code or INTERRUPTED
        except BrokenPipeError:  # such as `| head`: the rest is not wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return OK


def _run(words: List[str], terminals: List[Terminal]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    command = words[0] if words and words[0] in COMMANDS else None
    if command is None:
        parser = _parser_of_all()
        if words:
            parser.parse_args(words)
            return OK
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    module = import_module(f".{COMMANDS[command][0]}", __package__)
    options = _parser_of(command, module).parse_intermixed_args(words[1:])  # options may stand anywhere
    terminal = Terminal(as_json=options.json, show_secrets=options.show_secrets)
    terminals.append(terminal)
    try:
        return int(module.run(options, terminal))
    except CommandError as error:
        terminal.error(str(error))
        return error.code
    except (OcppjError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        terminal.error(f"{command}: {error}")
        return FOUND
    finally:
        terminal.close()


def _parser_of_all() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS), default=0)
    lines = [f"  {name:<{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    parser = _Parser(
        prog="ocppj",
        description="See, try, check and replay OCPP-J: 1.6, 2.0.1 and 2.1.",
        epilog="\n".join(["commands:", *lines, "", *_FIRST_STEPS, "", "ocppj COMMAND --help has examples."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="ocppj COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"ocppj {_version()}")
    parser.add_argument("command", metavar="COMMAND", choices=[*COMMANDS], help="one of those below")
    return parser


def _parser_of(command: str, module: Any) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"ocppj {command}",
        description=module.DESCRIPTION,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in module.EXAMPLES.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--show-secrets", action="store_true", help="show passwords and keys, which are *** otherwise")
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(WRONG_USAGE, f"{self.prog}: {message}\n{self.prog} --help has examples.\n")


def _version() -> str:
    return str(sys.modules["ocppj"].__version__)  # no import of the package's public names inside it
