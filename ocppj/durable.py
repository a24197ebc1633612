"""Queues that outlive the process. They live in `ocppj.storage`; this is their public name."""

from .storage.sqlite_queues import SetAside, SQLiteQueue, SQLiteQueueMap

__all__ = ["SQLiteQueue", "SQLiteQueueMap", "SetAside"]
