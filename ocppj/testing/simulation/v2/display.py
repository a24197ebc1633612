"""SetDisplayMessage, GetDisplayMessages, ClearDisplayMessage (Part 2, functional block O)."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, List, Optional

from ..core import Core
from ..scheduler import Handle
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel
from .paging import send_pages

__all__ = ["DisplayMessages"]

_PAGE_SIZE = 5  # messages may be long
_STATES = ("Charging", "Faulted", "Idle", "Unavailable")  # 2.1 has more, of features that are not simulated


class DisplayMessages(Block2):
    """The messages that the station shows.

    Args:
        core: The station.
        types: The types of the version.
        model: The device model.
        is_known: Tells whether a transaction of that id is under way.
    """

    def __init__(self, core: Core, types: Any, model: DeviceModel, is_known: Callable[[str], bool]) -> None:
        super().__init__(core, types)
        self._is_known = is_known
        self._messages: Dict[int, Any] = {}
        self._timers: Dict[int, Handle] = {}
        model.live[VariableKey("DisplayMessageCtrlr", "DisplayMessages")] = lambda: len(self._messages)
        core.on(types.SetDisplayMessageRequest, self.set)
        core.on(types.GetDisplayMessagesRequest, self.get)
        core.on(types.ClearDisplayMessageRequest, self.clear)

    def transaction_ended(self, transaction_id: Optional[str]) -> None:
        """Forget the messages for a transaction (O02.FR.02)."""
        for message in list(self._messages.values()):
            if message.transaction_id is not None and message.transaction_id == transaction_id:
                self._remove(message.id)

    def set(self, request: Any) -> Any:
        message = request.message
        status = self._judge(message)
        if status == "Accepted":
            if message.priority == "AlwaysFront":  # O01.FR.16
                for other in list(self._messages.values()):
                    if other.priority == "AlwaysFront":
                        self._remove(other.id)
            self._remove(message.id)
            self._messages[message.id] = message
            if message.end_date_time is not None:  # O01.FR.07
                self._timers[message.id] = self.core.time.call_at(
                    self.core.time.moment(message.end_date_time), partial(self._remove, message.id)
                )
        return self.types.SetDisplayMessageResponse(status=status)

    def _judge(self, message: Any) -> str:
        """Return the status for a message: O01.FR.01 to FR.03, FR.11, O02.FR.01."""
        settings = self.core.settings
        formats = settings[VariableKey("DisplayMessageCtrlr", "SupportedFormats")]
        contents = [message.message, *(getattr(message, "message_extra", None) or ())]
        if message.priority not in settings[VariableKey("DisplayMessageCtrlr", "SupportedPriorities")]:
            return "NotSupportedPriority"
        if message.state is not None and message.state not in _STATES:
            return "NotSupportedState"
        if any(content.format not in formats for content in contents):
            return "NotSupportedMessageFormat"
        if message.transaction_id is not None and not self._is_known(message.transaction_id):
            return "UnknownTransaction"
        count = settings.find(VariableKey("DisplayMessageCtrlr", "DisplayMessages"))
        is_full = count is not None and count.maximum is not None and len(self._messages) >= count.maximum
        return "Rejected" if is_full and message.id not in self._messages else "Accepted"

    def get(self, request: Any) -> Any:
        found = [message for message in self._messages.values() if _matches(request, message)]
        if not found:  # O03.FR.06, O04.FR.02
            return self.types.GetDisplayMessagesResponse(status="Unknown")
        page = partial(self._page, request.request_id)
        self.core.post(lambda: send_pages(self.core, found, page, _PAGE_SIZE))
        return self.types.GetDisplayMessagesResponse(status="Accepted")

    def clear(self, request: Any) -> Any:
        status = "Accepted" if request.id in self._messages else "Unknown"
        self._remove(request.id)
        return self.types.ClearDisplayMessageResponse(status=status)

    def _page(self, request_id: int, messages: List[Any], number: int, more: bool) -> Any:
        return self.types.NotifyDisplayMessagesRequest(request_id=request_id, message_info=messages, tbc=more)

    def _remove(self, id: int) -> None:
        self._messages.pop(id, None)
        timer = self._timers.pop(id, None)
        if timer is not None:
            timer.cancel()


def _matches(request: Any, message: Any) -> bool:
    wrong_id = bool(request.id) and message.id not in request.id
    wrong_priority = request.priority is not None and message.priority != request.priority
    return not wrong_id and not wrong_priority and request.state in (None, message.state)
