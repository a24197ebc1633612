"""`check_url`: the URL of a central system, as a user has written it."""

from __future__ import annotations

from typing import Optional

from .exits import CommandError
from .terminal import Terminal

__all__ = ["check_url"]


def check_url(command: str, url: str, terminal: Terminal, client_id: Optional[str] = None) -> None:
    """Raise `CommandError` unless stations can connect to a URL. Print a hint if it ends in the identity.

    Args:
        command: For errors, such as "simulate".
        url: The URL, without the identity of a station.
        terminal: Where the hint is printed.
        client_id: The identity of a station that is to connect. ``None``: the URL alone is looked at.
    """
    from ..errors import UsageError
    from ..ws.handshake.urls import connection_url, doubled_identity, host_and_port

    if not url.lower().startswith(("ws://", "wss://")):
        raise CommandError(f"{command}: {url!r} is no URL of a central system: write ws://HOST:PORT/PATH or wss://...")
    try:
        connection_url(url, "CP_1" if client_id is None else client_id)
        host_and_port(url)
    except UsageError as error:
        raise CommandError(f"{command}: {error}") from None
    hint = None if client_id is None else doubled_identity(url, client_id)
    if hint is not None:
        terminal.error(f"{command}: {hint}")
