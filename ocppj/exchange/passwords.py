"""Passwords that a program gives a `Server`, as a function or a table.

A transport decides on each handshake (`ocppj.ws.handshake.policy`). Passwords are compared in constant time: how long a
refusal takes tells neither how much of a password was right nor whether an identity is known.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any, Callable, Mapping, Union

from ..callables import check_handler
from ..errors import UsageError
from ..interrupted import calls_program

__all__ = ["PasswordsOption", "authorization_key", "password_check", "passwords_match"]

Password = Union[str, bytes]
#: A check of Basic credentials, or the passwords by identity.
PasswordsOption = Union[Callable[[str, bytes], Any], Mapping[str, Password]]

_KEY = re.compile(r"(?:[0-9A-Fa-f]{2}){1,20}")


def authorization_key(hex_text: str) -> bytes:
    """Return the bytes that a 1.6 ``AuthorizationKey`` stands for: the password itself, 1 to 20 of them.

    Raises `UsageError`, which does not repeat the key. 1.6 security whitepaper, A00.FR.205; OCPP-J 1.6 section 6.2. In
    OCPP 2.x the password is its text: give it as it is.
    """
    if not isinstance(hex_text, str) or not _KEY.fullmatch(hex_text):
        raise UsageError("an AuthorizationKey is a text of 2 to 40 hexadecimal digits, an even number of them")
    return bytes.fromhex(hex_text)


def passwords_match(given: bytes, expected: Password) -> bool:
    """Tell whether ``given`` is the password ``expected``, in a time that tells nothing about it.

    Text is compared as UTF-8. Raises `UsageError`, which repeats neither, when one of them can be no password.
    """
    if not isinstance(given, bytes):
        raise UsageError(f"a password that was given is bytes, not {type(given).__name__}")
    # Digests have always the same length: `hmac.compare_digest` may tell lengths.
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(_as_bytes(expected)).digest())


def _as_bytes(password: Password) -> bytes:
    if isinstance(password, str):
        try:
            password = password.encode("utf-8")
        except UnicodeEncodeError:  # whose repr() has the whole text
            password = b""
    if not isinstance(password, bytes) or not password:
        raise UsageError("an expected password is a text or bytes, and not empty")
    return password


def password_check(handler: PasswordsOption) -> Callable[..., Any]:
    """Return the check of Basic credentials that ``handler`` is, or stands for when it is a table of passwords."""
    if not isinstance(handler, Mapping):
        return check_handler(handler, ["client_id", "password"])
    table, nobodys = handler, secrets.token_bytes(20)
    for identity, password in table.items():
        if not isinstance(identity, str):
            # Of what type it is, and not what: in a table the wrong way round it is a password.
            raise UsageError(f"passwords go by identities, which are texts, not by {type(identity).__name__}")
        try:
            _as_bytes(password)
        except UsageError as error:
            raise UsageError(f"the password of {identity!r}: {error}") from None

    @calls_program
    def check(client_id: str, given: bytes) -> bool:
        expected = table.get(client_id)  # looked at each time: the table may change
        matches = passwords_match(given, nobodys if expected is None else expected)
        return matches and expected is not None

    return check
