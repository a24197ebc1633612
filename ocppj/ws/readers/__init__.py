"""Which thread reads which connection."""

from ...lazy import TYPE_CHECKING, hooks
from .base import Job, Readers, Source
from .per_connection import ThreadPerConnection
from .shared import SharedReaders

__all__ = ["Job", "Readers", "SharedReaders", "Source", "ThreadPerConnection"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
