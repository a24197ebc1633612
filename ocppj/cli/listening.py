"""The TLS of a command that listens: ``--tls DIR`` and ``--require-certificate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .exits import CommandError

__all__ = ["add_tls_arguments", "tls_of"]


def add_tls_arguments(parser: Any, clients: str) -> None:
    """Add both arguments. ``clients`` is what the others are called: "clients" or "stations"."""
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="DIR",
        help="listen with TLS: server.pem and ca.pem of this folder (ocppj certs)",
    )
    parser.add_argument(
        "--require-certificate",
        action="store_true",
        help=f"with --tls: only {clients} with a certificate (profile 3)",
    )


def tls_of(command: str, arguments: argparse.Namespace) -> Any:
    """Return the TLS context, or ``None`` for none. Raises `CommandError`, `UsageError`."""
    if arguments.tls is None:
        if arguments.require_certificate:
            raise CommandError(f"{command}: --require-certificate needs --tls DIR")
        return None
    from ..testing.pki_folder import find_ca
    from ..ws.tls import server_tls_context

    return server_tls_context(
        arguments.tls / "server.pem",
        client_ca=find_ca(arguments.tls),
        require_client_certificate=arguments.require_certificate,
    )
