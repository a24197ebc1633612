"""Whom a server lets in, as a program says it: check handlers on `Server`, and passwords compared without a trace.

A transport decides on each handshake (`ocppj.ws.handshake.policy`); `Admitting` hands it the checks. What a check
compares is compared here in constant time: how long a refusal takes tells neither how much of a password was right nor
whether an identity is known.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import re
import secrets
from typing import Any, Callable, Mapping, Sequence, TypeVar, Union

from ..errors import UsageError
from ..ws.base import Server as WsServer
from .handlers import check_callable

__all__ = ["Admitting", "authorization_key", "passwords_match"]

Password = Union[str, bytes]

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=Union[Callable[[str, bytes], Any], Mapping[str, Password]])

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
    return hmac.compare_digest(_digest(given), _digest(_as_bytes(expected)))


def _digest(password: bytes) -> bytes:
    """Return something of always the same length: `hmac.compare_digest` may tell lengths."""
    return hashlib.sha256(password).digest()


def _as_bytes(password: Password) -> bytes:
    if isinstance(password, str):
        try:
            password = password.encode("utf-8")
        except UnicodeEncodeError:  # whose repr() has the whole text
            password = b""
    if not isinstance(password, bytes) or not password:
        raise UsageError("an expected password is a text or bytes, and not empty")
    return password


class _Passwords:
    """The check that a table of passwords stands for. The table is looked at each time, so that it may change."""

    def __init__(self, table: Mapping[str, Password]) -> None:
        for client_id, password in table.items():
            if not isinstance(client_id, str):
                # Of what type it is, and not what: in a table the wrong way round it is a password.
                raise UsageError(f"passwords go by identities, which are texts, not by {type(client_id).__name__}")
            try:
                _as_bytes(password)
            except UsageError as error:
                raise UsageError(f"the password of {client_id!r}: {error}") from None
        self._table = table
        self._nobodys = secrets.token_bytes(20)

    def __call__(self, client_id: str, password: bytes) -> bool:
        expected = self._table.get(client_id)
        matches = passwords_match(password, self._nobodys if expected is None else expected)
        return matches and expected is not None


class Admitting:
    """The part of `Server` that hands check handlers to its transport, and asks it how it does.

    Checks run on the thread of the handshake, before there is a connection, several at a time; they must not block
    long. ``True`` is a yes, what counts as false a no. One that returns anything else, or raises, refuses with 500, and
    its traceback is logged. Each method returns what it was given, so
    that it works as a decorator, and raises `UsageError` when the transport (a ``ws_server`` of the program's own) has
    no such check.
    """

    _ws: WsServer

    def set_check_client_handler(self, handler: F) -> F:
        """Let ``f(request: HandshakeRequest)`` say whether that client is known; if not, it is refused with 404.

        OCPP-J 1.6 section 3.2; Part 4 section 3.2.
        """
        self._set_check("set_check_client_handler", handler, handler, ["request"])
        return handler

    def set_basic_auth_handler(self, handler: C) -> C:
        """Let ``f(client_id, password: bytes)`` say whether Basic credentials are right; if not, or none came: 401.

        The user name equals the identity in the URL already. In place of a function a mapping may be given:
        identity -> expected password, text (UTF-8) or bytes; see `authorization_key` for a 1.6 key. It is compared in
        constant time, and looked at for each handshake: a program may change it. 1.6 security whitepaper and Part 2,
        A00.FR.202 to 207.
        """
        check = _Passwords(handler) if isinstance(handler, Mapping) else handler
        self._set_check("set_basic_auth_handler", handler, check, ["client_id", "password"])
        return handler

    def set_check_origin_handler(self, handler: F) -> F:
        """Let ``f(origin: str | None)`` say whether a browser's page may connect; if not, it is refused with 403."""
        self._set_check("set_check_origin_handler", handler, handler, ["origin"])
        return handler

    def set_check_certificate_handler(self, handler: F) -> F:
        """Let ``f(request: HandshakeRequest)`` say whether the client's certificate is its own; if not: 401.

        It replaces the check that is made without it: a verified certificate must name the identity
        (``request.certificate_matches``). It is asked about each client, also one without a certificate, whose
        ``request.peer_certificate`` is ``None``. 1.6 security whitepaper and Part 2, A00.FR.404 and 405.
        """
        self._set_check("set_check_certificate_handler", handler, handler, ["request"])
        return handler

    def stats(self) -> Any:
        """Return what was let in, refused and lost: an `ocppj.ws.stats.Stats`, whose module names the reasons.

        Beside those of the transport, ``refused`` counts ``queue_full`` (a request to a client whose queue is full),
        ``waiting_calls`` (a CALL or SEND of a client of which too many wait already), ``nesting_depth`` (a frame nested
        too deeply) and ``bad_messages`` (a connection closed for too many frames that are none). Raises `UsageError`
        when the transport counts nothing.
        """
        return self._of_transport("stats")()

    def _set_check(self, name: str, given: Any, check: Any, parameters: Sequence[str]) -> None:
        if check is given:  # ours need no check
            check_callable(check, parameters)
        if any(map(inspect.iscoroutinefunction, (check, getattr(check, "__call__", None)))):  # noqa: B004
            # What it returns would count as true: everybody would be let in. The policy refuses what is not seen here.
            name_of_check = getattr(check, "__qualname__", repr(check))
            raise UsageError(f"a check is called on a thread; {name_of_check} is an async function")
        self._of_transport(name)(check)

    def _of_transport(self, name: str) -> Any:
        method = getattr(self._ws, name, None)
        if method is None:
            raise UsageError(f"the transport {type(self._ws).__name__} has no {name}()")
        return method
