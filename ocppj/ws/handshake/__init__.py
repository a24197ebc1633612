"""The opening handshake: HTTP, URLs, credentials, and which clients a server accepts."""

from ...lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
