"""The checks of a durable queue's file that need no SQLite: the checksum of a row, and the header of the WAL.

Nothing is written. The WAL is checked before SQLite opens it, because SQLite throws some away without an error.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Iterable, Union

from ..errors import QueueDamaged

__all__ = ["check_wal", "checksum", "damaged", "size"]

#: Magic (its last bit: whether checksums are big-endian), version, page size, checkpoints, 2 salts, 2 checksums.
WAL_HEADER = struct.Struct(">8I")
WAL_MAGIC = 0x377F0682


def damaged(path: str, why: str) -> QueueDamaged:
    """Return the error for a damaged file."""
    return QueueDamaged(f"{path} is damaged, or no request queue, and was left as it is: {why}")


def size(path: str) -> int:
    """Return how many bytes the file has, 0 when there is none. Nothing is opened: to close it would end our locks."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def checksum(fields: Iterable[Union[str, bytes, None]]) -> int:
    """Return the CRC-32 of the fields. SQLite's own checks do not cover the content of rows."""
    crc = 0
    for field in fields:
        data = b"" if field is None else field if isinstance(field, bytes) else field.encode("utf-8")
        crc = zlib.crc32(data + b"\0", crc)
    return crc


def check_wal(path: str) -> None:
    """Raise `QueueDamaged` for a WAL that SQLite would throw away without an error.

    SQLite does so when the database is empty, or when the header of the WAL is not valid (SQLite file format, section
    4.1). A crash leaves neither: the database is made first, and the header is synced before a commit follows it.
    """
    length = size(path + "-wal")
    if length and not size(path):
        raise damaged(path, "the database is empty or missing, but its WAL is not")
    if length < WAL_HEADER.size:
        return
    with open(path + "-wal", "rb") as file:  # closing a WAL ends no locks: they are all on the database
        header = file.read(WAL_HEADER.size)
    words = WAL_HEADER.unpack(header)
    if not any(words):
        return
    order = ">" if words[0] & 1 else "<"
    first = second = 0
    numbers = struct.unpack(f"{order}6I", header[:24])
    for one, two in zip(numbers[::2], numbers[1::2]):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    if words[0] & ~1 != WAL_MAGIC or words[6:] != (first, second):
        raise damaged(path, "the header of its WAL is wrong")
