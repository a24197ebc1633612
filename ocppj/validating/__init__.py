"""Checks of frames that come from somewhere else, such as a log; and the schemas that they are checked by."""

from ..lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from .log_check import CheckedFrame, LogCheck
    from .payloads import check_payload_text
    from .schemas import Field, MessageName, find_message, list_actions, list_fields
    from .summary import Summary
else:
    _HOMES = {
        ".log_check": "CheckedFrame LogCheck",
        ".payloads": "check_payload_text",
        ".schemas": "Field MessageName find_message list_actions list_fields",
        ".summary": "Summary",
    }
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = [
    "CheckedFrame",
    "Field",
    "LogCheck",
    "MessageName",
    "Summary",
    "check_payload_text",
    "find_message",
    "list_actions",
    "list_fields",
]
