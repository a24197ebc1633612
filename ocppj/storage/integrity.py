"""Whether the file of a durable queue is whole and ours: its WAL, its structure, and a checksum of each row.

Nothing is written. The WAL is looked at before SQLite is, which throws some away without a word.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any, Iterable, Union

from ..errors import QueueDamaged

__all__ = ["APPLICATION", "FIELDS", "LAYOUT", "check_database", "check_wal", "checksum", "damaged", "size"]

#: "OCPQ": what the header of our files says they are (``PRAGMA application_id``), and the layout of the tables.
APPLICATION = 0x4F435051
LAYOUT = 1
#: The tables, each with the fields of a row that its checksum covers. Files had no ``set_aside`` at first.
FIELDS = {
    "requests": ("client_id", "message_id", "version", "data"),
    "set_aside": ("client_id", "message_id", "version", "data", "reason", "time"),
}
#: How many bytes the smallest page, and so the smallest database, has.
SMALLEST = 512
#: Magic (its last bit: whether checksums are big-endian), version, page size, checkpoints, 2 salts, 2 checksums.
WAL_HEADER = struct.Struct(">8I")
WAL_MAGIC = 0x377F0682


def damaged(path: str, why: str) -> QueueDamaged:
    """Return the error that says so."""
    return QueueDamaged(f"{path} is damaged, or no request queue, and was left as it is: {why}")


def size(path: str) -> int:
    """Return how many bytes the file has, 0 when there is none. Nothing is opened: to close it would end our locks."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def checksum(fields: Iterable[Union[str, bytes, None]]) -> int:
    """Return the CRC-32 of the fields; SQLite's own checks do not cover the content of rows."""
    crc = 0
    for field in fields:
        data = b"" if field is None else field if isinstance(field, bytes) else field.encode("utf-8")
        crc = zlib.crc32(data + b"\0", crc)
    return crc


def check_database(path: str, connection: Any) -> None:
    """Raise `QueueDamaged` or a `sqlite3.Error` unless the database is whole and ours, or empty.

    ``connection`` is one of sqlite3's, with which nobody else reads: it is made to return texts as bytes, so that what
    is no UTF-8 is damage to be told, not an error in passing.
    """
    if size(path) < SMALLEST:
        raise damaged(path, "it is too short for a database")  # SQLite would take one byte for nothing
    connection.text_factory = bytes
    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    tables = {row[0].decode("utf-8", "replace") for row in connection.execute("SELECT name FROM sqlite_master")}
    if marks == [0, 0] and not tables:
        return  # a process died while it made the file
    if marks[0] != APPLICATION:
        raise damaged(path, "it is the database of another program")
    if marks[1] != LAYOUT:
        raise damaged(path, f"its layout is {marks[1]}, this version of ocppj knows {LAYOUT}")
    found = [row[0] for row in connection.execute("PRAGMA quick_check")]
    if found != [b"ok"]:
        raise damaged(path, b"; ".join(found[:3]).decode("utf-8", "replace"))
    for table, names in FIELDS.items():
        if table == "set_aside" and table not in tables:
            continue
        for seq, crc, *fields in connection.execute(f"SELECT seq, crc, {', '.join(names)} FROM {table}"):
            if crc != checksum(fields):
                raise damaged(path, f"the checksum of row {seq} of {table} is wrong")


def check_wal(path: str) -> None:
    """Raise `QueueDamaged` for a WAL that SQLite would throw away without a word.

    It does so when the database is empty, or the header of the WAL is none (SQLite file format, section 4.1). A crash
    leaves neither: the database is made first, and the header is synced before a commit follows it.
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
