"""Commands to a running central system: over a local socket, and as lines of text such as ``CP_1 Reset type=Soft``."""

from ..lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from .address import default_address
    from .client import ControlClient, connect
    from .completion import Completer
    from .control import Control
    from .fields import FieldError, read_fields, write_fields
    from .words import split_words
else:
    #: Where the public names are: the same as above.
    _HOMES = {
        ".address": "default_address",
        ".client": "ControlClient connect",
        ".completion": "Completer",
        ".control": "Control",
        ".fields": "FieldError read_fields write_fields",
        ".words": "split_words",
    }
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = [
    "Completer",
    "Control",
    "ControlClient",
    "FieldError",
    "connect",
    "default_address",
    "read_fields",
    "split_words",
    "write_fields",
]
