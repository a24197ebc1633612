"""`has_room`: a durable queue leaves as much of the disk free as it needs to shrink again.

What is written goes into the WAL, also the removal of a request. It takes room there until a checkpoint moves it into
the database. If the disk is full by then, the database cannot grow by what is new in the WAL, and nothing can be
removed any more. So before each transaction there must be room for it and for the checkpoint after it. If there is
hardly any, the checkpoint is made first: it gives the room of the WAL back. If that is not enough, a request is
refused. A removal is tried all the same.

Other programs may fill the disk all the same, and a quota of the system is not seen here.
"""

from __future__ import annotations

import os
import shutil
from typing import Callable

__all__ = ["has_room"]

#: Bytes that must be free for a transaction, beside its data: it writes some pages more. To open a file takes as much.
_SPARE = 48 * 1024
#: With so many bytes free nothing else is asked: the WAL never has so many.
_PLENTY = 64 * 1024 * 1024


def has_room(path: str, size: int, pragma: Callable[[str], int]) -> bool:
    """Tell whether the disk has room for a transaction with ``size`` bytes of data, and for the checkpoint after it.

    ``path`` is that of the database, and ``pragma(name)`` asks it, outside a transaction.
    """
    try:
        free = shutil.disk_usage(os.path.dirname(path)).free
        if free >= _PLENTY + 2 * size:
            return True
        page_size = pragma("page_size")
        needed = max(0, pragma("page_count") * page_size - os.stat(path).st_size)  # by a checkpoint now
    except OSError:  # it is not known
        return True
    needed += size + _SPARE  # in the WAL
    if pragma("freelist_count") * page_size < size + _SPARE:  # else the database need not grow
        needed += size + _SPARE
    return free >= needed
