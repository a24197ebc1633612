"""The command ``ocppj``: see, try, check and replay OCPP. Each command is one module; `main` finds it."""

from ..lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
