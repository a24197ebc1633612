"""`Proxy`: stands between charging stations and their central system, and passes on what both send."""

from .hooks import DROP, Answer, Drop
from .message import Message
from .observer import Observer
from .proxy import Counts, Proxy

__all__ = ["DROP", "Answer", "Counts", "Drop", "Message", "Observer", "Proxy"]
