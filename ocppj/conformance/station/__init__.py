"""The cases for charging stations. We are the central system."""

from typing import Tuple

from ...lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)

#: The modules with cases, in the order in which they are run.
MODULES: Tuple[str, ...] = (
    "boot",
    "handshake",
    "rpc",
    "frames",
    "core16",
    "core2",
    "charging16",
    "charging2",
    "transactions",
    "chaos",
    "reset",
    "own",
)
