"""`RawFrame`: one WebSocket frame as a test wants it: any opcode, whole or not, in any order."""

from __future__ import annotations

import os
import struct
from typing import Any, NamedTuple

from ...errors import UsageError
from .plain_frames import mask

__all__ = ["CLOSE", "PING", "TEXT", "RawFrame", "check_frame"]

#: Opcodes (RFC 6455 section 5.2).
TEXT, CLOSE, PING = 0x1, 0x8, 0x9


class RawFrame(NamedTuple):
    """A frame that was checked with `check_frame`. The libraries would refuse to make some of them."""

    opcode: int
    data: bytes
    fin: bool

    def encode(self, masked: bool) -> bytes:
        """Return the bytes of the frame (RFC 6455 section 5.2); those of a client are ``masked``."""
        size, bit = len(self.data), 0x80 if masked else 0
        first = (0x80 if self.fin else 0) | self.opcode
        if size < 126:
            head = struct.pack("!BB", first, bit | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", first, bit | 126, size)
        else:
            head = struct.pack("!BBQ", first, bit | 127, size)
        if not masked:
            return head + self.data
        key = os.urandom(4)
        return head + key + mask(self.data, key)


def check_frame(opcode: Any, data: Any, fin: Any) -> RawFrame:
    """Return a frame. Raises `UsageError` for what is none."""
    if isinstance(opcode, bool) or not isinstance(opcode, int) or not 0 <= opcode <= 15:
        raise UsageError(f"an opcode is a whole number from 0 to 15, not {opcode!r}")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UsageError(f"the data of a frame are bytes, not {type(data).__name__}")
    if not isinstance(fin, bool):
        raise UsageError(f"fin is True or False, not {fin!r}")
    return RawFrame(int(opcode), bytes(data), fin)
