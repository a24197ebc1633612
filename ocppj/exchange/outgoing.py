"""`OutgoingSize`: how large a frame may be that an endpoint makes.

A peer that gets a larger frame than it takes closes the connection (RFC 6455 section 7.4.1, code 1009). So the size is
checked where the frame is made: the caller gets the error, and nothing else suffers.
"""

from __future__ import annotations

import sys
from typing import Optional

from ..errors import MessageTooLarge

__all__ = ["MAX_OUTGOING_SIZE", "OutgoingSize"]

#: The default of ``max_outgoing_size``, in bytes: what the transports of this library take by default.
MAX_OUTGOING_SIZE = 1024 * 1024

_BYTES_OF_A_CHARACTER = 4  # at most, in UTF-8


class OutgoingSize:
    """The option ``max_outgoing_size``: ``most`` bytes in UTF-8, before compression. ``None``: no limit.

    A text of at most ``surely`` characters fits, whatever they are. Only a longer one needs `check`.
    """

    def __init__(self, most: Optional[int]) -> None:
        self.most = most
        self.surely: int = sys.maxsize if most is None else most // _BYTES_OF_A_CHARACTER

    def check(self, text: str) -> None:
        """Raise `MessageTooLarge` if the frame ``text`` has too many bytes."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if self.most is not None and size > self.most:
            raise MessageTooLarge(f"the frame has {size:,} bytes, and max_outgoing_size allows {self.most:,}")
