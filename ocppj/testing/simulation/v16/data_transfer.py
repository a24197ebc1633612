"""DataTransfer (1.6 edition 2, sections 4.3 and 5.6)."""

from __future__ import annotations

from typing import Callable, Dict

from ....v16 import DataTransferRequest, DataTransferResponse, DataTransferStatus
from ..block import Block
from ..core import Core

__all__ = ["DataTransfer"]


class DataTransfer(Block):
    """Answers the data of vendors.

    Attributes:
        vendors: What a test adds: ``f(request)`` returns the DataTransferResponse, by the vendor.
    """

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.vendors: Dict[str, Callable[[DataTransferRequest], DataTransferResponse]] = {}
        core.on(DataTransferRequest, self.receive)

    def receive(self, request: DataTransferRequest) -> DataTransferResponse:
        answer = self.vendors.get(request.vendor_id)
        if answer is None:
            return DataTransferResponse(status=DataTransferStatus.UNKNOWN_VENDOR_ID)
        return answer(request)
