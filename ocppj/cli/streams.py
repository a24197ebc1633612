"""`prepare_streams`: the standard streams as a command needs them."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import Tuple

__all__ = ["prepare_streams"]

_ESCAPED = "ocppj-escaped"


def prepare_streams() -> None:
    """Put the null device in place of streams that are closed, and escape what the output cannot encode.

    A text that a client has sent must not end a command, because the terminal is of another alphabet.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        codecs.register_error(_ESCAPED, _escape)
        sys.stdout.reconfigure(errors=_ESCAPED)


def _escape(error: UnicodeError) -> Tuple[str, int]:
    r"""Return characters as JSON escapes them, such as ``\u00fc``, so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
