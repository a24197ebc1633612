"""`Block2`: a functional block of 2.x."""

from __future__ import annotations

from typing import Any

from ..block import Block
from ..core import Core

__all__ = ["Block2"]


class Block2(Block):
    """A functional block of 2.x. ``types`` is the module with the types of its version."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core)
        self.types = types

    @property
    def is_21(self) -> bool:
        """Whether the version is 2.1."""
        return self.core.version == "2.1"
