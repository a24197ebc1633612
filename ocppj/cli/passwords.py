"""Passwords that a command is given: ``--auth CP_1:secret``. No error repeats one."""

from __future__ import annotations

from contextlib import suppress
from typing import Callable, Dict, Mapping, Sequence

from .exits import CommandError

__all__ = ["check_of", "split_pairs"]


def split_pairs(pairs: Sequence[str], what: str) -> Dict[str, str]:
    """Return the passwords of texts ``ID:PASSWORD``, by id. ``what`` is where they come from: "proxy: --auth".

    Raises `CommandError`.
    """
    passwords = {}
    for number, pair in enumerate(pairs, 1):
        client_id, _, password = pair.partition(":")
        if not client_id or not password:
            raise CommandError(f"{what}: entry {number} is none: write ID:PASSWORD")
        passwords[client_id] = password
    return passwords


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
