"""DataTransfer (Part 2, P01 and P02)."""

from __future__ import annotations

from typing import Any, Callable, Dict

from ..core import Core
from .block import Block2

__all__ = ["DataTransfer"]


class DataTransfer(Block2):
    """Answers the data of vendors.

    Attributes:
        vendors: What a test adds: ``f(request)`` returns the DataTransferResponse, by the vendor.
    """

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        self.vendors: Dict[str, Callable[[Any], Any]] = {}
        core.on(types.DataTransferRequest, self.receive)

    def receive(self, request: Any) -> Any:
        answer = self.vendors.get(request.vendor_id)
        if answer is None:
            return self.types.DataTransferResponse(status="UnknownVendorId")
        return answer(request)
