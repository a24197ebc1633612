"""The cases for central systems. We are the charging station."""

from ...lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)


#: The modules with cases, in the order in which they are run.
MODULES = (
    "handshake",
    "websocket",
    "rpc",
    "payloads",
    "sessions",
    "sessions16",
    "sessions2",
    "messages",
    "chaos",
    "whole",
)
