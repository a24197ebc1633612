"""What a frame means: messages, OCPP versions, features, validation and signatures."""

from ..lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
