"""A server that listens: accepting, handshakes and the registry of channels."""

from ...lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
