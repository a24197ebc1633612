"""Frames of plain text (RFC 6455 section 5.2): the common case, in as few steps as Python allows."""

from __future__ import annotations

import os
from typing import Optional, Tuple

from wsproto.frame_protocol import XorMaskerSimple

__all__ = ["WHOLE_TEXT", "frame_of_text", "mask", "text_of_frame"]

WHOLE_TEXT = 0x81  #: The first byte of a message that is one frame of text, not compressed.

_LARGE = 1500  # bytes from which on wsproto's way to mask is quicker


def text_of_frame(data: bytes, at: int, masked: bool) -> Optional[Tuple[str, int]]:
    """Return the text of the frame that begins at ``at``, and where the frame ends.

    Args:
        data: The bytes of a connection; at least one is behind ``at``.
        at: Where the frame begins.
        masked: Whether the sender masks its frames. A client does.

    Returns:
        ``None`` if it is no whole message of text in one frame, if a part of it has not come, if it is longer than
        65,535 bytes, or if it breaks a rule.
    """
    if data[at] != WHOLE_TEXT:
        return None
    begin = at + 2
    form = data[at + 1 : begin]
    if not form:
        return None
    size = form[0] ^ 0x80 if masked else form[0]  # 128 or more: it is masked, or not masked, against the rule
    if size > 125:
        if size != 126:
            return None
        begin += 2
        size = int.from_bytes(data[at + 2 : begin], "big")
        if size < 126:
            return None  # its length is not in the shortest form, or has not come
    if masked:
        key = data[begin : begin + 4]
        begin += 4
    end = begin + size
    if end > len(data):
        return None
    body = mask(data[begin:end], key) if masked else data[begin:end]
    try:
        return body.decode(), end
    except UnicodeDecodeError:
        return None


def frame_of_text(text: str, masked: bool) -> bytes:
    """Return the frame of a message; that of a client is ``masked``."""
    body = text.encode()
    size, bit = len(body), 0x80 if masked else 0
    if size < 126:
        head = bytes((WHOLE_TEXT, bit | size))
    elif size < 65536:
        head = bytes((WHOLE_TEXT, bit | 126, size >> 8, size & 255))
    else:
        head = bytes((WHOLE_TEXT, bit | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + body
    key = os.urandom(4)
    return head + key + mask(body, key)


def mask(data: bytes, key: bytes) -> bytes:
    """Mask ``data``, or unmask it (RFC 6455 section 5.3)."""
    size = len(data)
    if size > _LARGE:
        return bytes(XorMaskerSimple(key).process(bytearray(data)))
    # One operation on one large number is quicker than any for each byte.
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")
