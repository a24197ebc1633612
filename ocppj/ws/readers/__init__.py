"""Which thread reads which connection."""

from .base import Job, Readers, Source
from .per_connection import ThreadPerConnection
from .shared import SharedReaders

__all__ = ["Job", "Readers", "SharedReaders", "Source", "ThreadPerConnection"]
