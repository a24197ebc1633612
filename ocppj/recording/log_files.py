"""Lines of log files, whatever their encoding is, without reading a file as a whole."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import sys
import zlib
from contextlib import contextmanager
from typing import BinaryIO, Iterable, Iterator, Union, cast

__all__ = ["LogSource", "clean_lines", "open_lines"]

#: A path, "-" for the standard input, or a file that is open for reading bytes.
LogSource = Union[str, "os.PathLike[str]", BinaryIO]

#: So much of a line is read at once. The rest of a longer one is taken for the next line.
_LONGEST = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"
#: Colours of terminals, and other control sequences.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@contextmanager
def open_lines(source: LogSource) -> Iterator[Iterator[str]]:
    """Open a log, which may be compressed by gzip, for its lines.

    Args:
        source: Where it is.

    Raises:
        OSError: It cannot be read.
    """
    if isinstance(source, (str, os.PathLike)) and os.fspath(source) != "-":
        with open(source, "rb") as file:
            yield _read(file)
    else:
        yield _read(sys.stdin.buffer if isinstance(source, (str, os.PathLike)) else source)


def _read(file: BinaryIO) -> Iterator[str]:
    buffered = cast(io.BufferedReader, file if hasattr(file, "peek") else io.BufferedReader(cast(io.RawIOBase, file)))
    if buffered.peek(2)[:2] == _GZIP:
        buffered = cast(io.BufferedReader, gzip.GzipFile(fileobj=buffered))
    return _read_lines(buffered, _find_wide_encoding(buffered.peek(4)[:4]))


def _find_wide_encoding(start: bytes) -> str:
    """Return the encoding of a file with two bytes for a character, by its first four bytes. "": it is another one."""
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if len(start) == 4 and start[1::2] == b"\0\0" and start[0]:
        return "utf-16-le"
    if len(start) == 4 and start[::2] == b"\0\0" and start[1]:
        return "utf-16-be"
    return ""


def _read_lines(file: io.BufferedReader, wide: str) -> Iterator[str]:
    try:
        if wide:
            text = io.TextIOWrapper(file, wide, errors="replace", newline="")
            yield from iter(lambda: text.readline(_LONGEST), "")
        else:
            yield from map(_decode, iter(lambda: file.readline(_LONGEST), b""))
    except (EOFError, zlib.error) as error:  # the file is cut off, as that of a program that still writes it
        raise OSError(f"the compressed file is damaged, or ends too early: {error}") from error


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")  # it reads all


def clean_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines without their ends, without byte-order marks and NULs at their sides, and without colours."""
    for line in lines:
        line = line.strip("\r\n\0\ufeff")
        yield _ANSI.sub("", line) if "\x1b" in line else line
