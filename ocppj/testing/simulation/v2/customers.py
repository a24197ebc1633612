"""CustomerInformation and NotifyCustomerInformation (Part 2, N09 and N10)."""

from __future__ import annotations

from functools import partial
from typing import Any, List, Optional

from ..connectors import IdToken
from ..core import Core
from .authorization import Authorization
from .block import Block2
from .paging import send_pages

__all__ = ["CustomerInformation"]

_LENGTH = 512  # of the text in one message
_NOTHING = "no data"


class CustomerInformation(Block2):
    """Reports and clears what is known of a customer: what the local list, the cache and transactions have of an id."""

    def __init__(self, core: Core, types: Any) -> None:
        super().__init__(core, types)
        core.on(types.CustomerInformationRequest, self.answer)

    def answer(self, request: Any) -> Any:
        """Accept a request for one customer (N09.FR.07, FR.09)."""
        references = [request.id_token, request.customer_certificate, request.customer_identifier]
        if sum(each is not None for each in references) != 1:
            return self.types.CustomerInformationResponse(status="Invalid")
        if not request.report and not request.clear:
            return self.types.CustomerInformationResponse(status="Rejected")
        id_token = None if request.id_token is None else Authorization.from_message(request.id_token)
        self.core.post(partial(self._do, request, id_token))
        return self.types.CustomerInformationResponse(status="Accepted")

    def _do(self, request: Any, id_token: Optional[IdToken]) -> None:
        """Report before it is cleared. A clearing is confirmed too (N09.FR.05, FR.06, N10.FR.03 to FR.06)."""
        text = _NOTHING
        if request.report and id_token is not None:
            text = "; ".join(self._facts(id_token)) or _NOTHING
        if request.clear and id_token is not None and self.core.authorization.forget(id_token):
            text = text if request.report else "cleared"
        parts = [text[start : start + _LENGTH] for start in range(0, len(text), _LENGTH)]
        send_pages(self.core, parts, partial(self._page, request.request_id), 1)

    def _facts(self, id_token: IdToken) -> List[str]:
        facts = []
        for place, known in self.core.authorization.known_of(id_token):
            group = f", group {known.group}" if known.group else ""
            facts.append(f"{place}: {id_token.type} {id_token.value} {known.status}{group}")
        own = [each for each in self.core.transactions if id_token.same(each.id_token)]
        return [*facts, *(f"transaction {each.id} at EVSE {each.connector.id}" for each in own)]

    def _page(self, request_id: int, parts: List[str], number: int, more: bool) -> Any:
        return self.types.NotifyCustomerInformationRequest(
            data=parts[0], seq_no=number, generated_at=self.core.time.now(), request_id=request_id, tbc=more
        )
