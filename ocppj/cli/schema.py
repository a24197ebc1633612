"""``ocppj schema``: the messages of an OCPP version."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from ..errors import UsageError
from . import arguments as types
from .exits import OK, CommandError
from .terminal import Terminal

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """\
Show a message of an OCPP version: its JSON schema, a valid example, or a table of its fields.
Without an action the actions of the version are listed."""
EXAMPLES = """
ocppj schema 1.6                                 # the actions of OCPP 1.6
ocppj schema 2.0.1 TransactionEvent              # the JSON schema of the request
ocppj schema 2.0.1 TransactionEvent --response   # that of the response
ocppj schema 2.0.1 TransactionEvent --fields     # its fields, with types, limits and values
ocppj schema 1.6 BootNotification --example      # a payload with what is required
ocppj schema 1.6 BootNotification --example --full   # a payload with everything
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("version", type=types.version, metavar="VERSION", help="1.6, 2.0.1 or 2.1")
    parser.add_argument("action", nargs="?", metavar="ACTION", help="such as Reset, or ResetResponse")
    parser.add_argument("--response", action="store_true", help="the response, and not the request")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--example", action="store_true", help="print a valid payload")
    what.add_argument("--fields", action="store_true", help="print a table of the fields")
    parser.add_argument("--full", action="store_true", help="with --example: all optional fields, too")


def run(arguments: Namespace, terminal: Terminal) -> int:
    """Show what was asked for."""
    from ..validating.schemas import find_message, list_actions, load_schema, make_example

    terminal.show_secrets = True  # a schema has none, and what stands for a password in an example is none
    if arguments.full and not arguments.example:
        raise CommandError("--full is for --example: write --example --full")
    if arguments.action is None:
        if arguments.example or arguments.fields or arguments.response:
            raise CommandError(f"name an action, such as: ocppj schema {arguments.version} Heartbeat")
        actions = list_actions(arguments.version)
        terminal.json(actions) if terminal.as_json else terminal.lines(actions)
        return OK
    try:
        name = find_message(arguments.version, arguments.action, arguments.response)
    except UsageError as error:
        raise CommandError(f"{error}; ocppj schema {arguments.version} lists all") from None
    if arguments.fields:
        _show_fields(name, terminal)
    else:
        value = make_example(name, arguments.full) if arguments.example else load_schema(name)
        _print_json(value, terminal)
    return OK


def _print_json(value: Any, terminal: Terminal) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=None if terminal.as_json else 2)
    terminal.lines(text.split("\n"))


def _show_fields(name: Any, terminal: Terminal) -> None:
    from ..validating.schemas import list_fields

    fields = list_fields(name)
    if terminal.as_json:
        terminal.json([{**vars(each), "values": list(each.values)} for each in fields])
        return
    rows = [
        (each.path, each.type, "yes" if each.is_required else "", each.limits or "", ", ".join(each.values))
        for each in fields
    ]
    terminal.table(("field", "type", "required", "limits", "values"), rows, str(name))
