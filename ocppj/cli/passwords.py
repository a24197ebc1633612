"""Passwords that a command is given: ``--auth CP_1:secret``, or in a file. No error repeats one."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from .exits import CommandError

__all__ = ["check_of", "password_of", "read_passwords"]


def password_of(command: str, arguments: argparse.Namespace) -> Optional[str]:
    """Return what ``--password`` says, or the first line of ``--password-file``. ``None``: there is neither.

    Raises:
        CommandError: There are both, or the file cannot be read.
    """
    given: Optional[str] = arguments.password
    if arguments.password_file is None:
        return given
    if given is not None:
        raise CommandError(f"{command}: give --password or --password-file, not both")
    try:
        with open(arguments.password_file, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise CommandError(f"{command}: --password-file cannot be read: {error}") from None


def read_passwords(command: str, option: str, pairs: Sequence[str], file: Optional[Path] = None) -> Dict[str, str]:
    """Return passwords by id.

    Args:
        command: For errors, such as "serve".
        option: The name of the option, such as "--auth". That of the file has "-file" behind it.
        pairs: Its values: ID:PASSWORD.
        file: Has such lines, or a JSON object.

    Raises:
        CommandError: One of them cannot be read.
    """
    found: Dict[str, str] = {}
    lines = list(pairs)
    if file is not None:
        try:
            text = file.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise CommandError(f"{command}: {option}-file cannot be read: {error}") from None
        if text.lstrip().startswith("{"):
            found = _read_json(f"{command}: {option}-file", text)
        else:
            lines += [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for number, pair in enumerate(lines, 1):
        client_id, _, password = pair.partition(":")
        if not client_id or not password:
            raise CommandError(f"{command}: entry {number} of {option} or {option}-file is none: write ID:PASSWORD")
        found[client_id] = password
    if file is not None and not found:  # else all would be let in, and nobody was meant to be
        raise CommandError(f"{command}: {option}-file names nobody: write lines ID:PASSWORD into it")
    return found


def _read_json(where: str, text: str) -> Dict[str, str]:
    value: Any = None
    with suppress(ValueError):
        value = json.loads(text)
    if not isinstance(value, dict) or not all(isinstance(each, str) and each for each in value.values()):
        raise CommandError(f'{where} has no JSON object of texts: {{"CP_1": "PASSWORD"}}')
    return value


def check_of(passwords: Mapping[str, str]) -> Callable[[str, bytes], bool]:
    """Return a check of passwords. A 1.6 charger may send the bytes of a password that is hexadecimal."""
    from ..errors import UsageError
    from ..exchange.passwords import authorization_key, passwords_match

    def check(client_id: str, password: bytes) -> bool:
        expected = passwords.get(client_id)
        if expected is None:
            return False
        if passwords_match(password, expected):
            return True
        with suppress(UsageError):
            return passwords_match(password, authorization_key(expected))
        return False

    return check
