"""`request_text`: what a `LoadStation` sends."""

from __future__ import annotations

import json
from importlib import import_module

from ..errors import UsageError
from ..testing.examples import example

__all__ = ["payload_text", "request_text"]


def payload_text(version: str, action: str) -> str:
    """Return a valid payload of a request of that version, as JSON text. Raises `UsageError` for an unknown action."""
    messages = import_module(f"..v{version.replace('.', '')}", __package__)
    kind = getattr(messages, f"{action}Request", None)
    if kind is None:
        raise UsageError(f"OCPP {version} has no message {action!r}")
    return json.dumps(example(kind).to_wire(), separators=(",", ":"))


def request_text(version: str, action: str) -> str:
    """Return the action and a valid payload, as they stand in a CALL: ``"Heartbeat",{}``. Raises `UsageError`."""
    return f'"{action}",{payload_text(version, action)}'
