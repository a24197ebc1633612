"""The server inside a web application: its WebSocket connections come in at the port of the web server."""

from ..lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
