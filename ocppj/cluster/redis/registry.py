"""`Registry`: reads which node holds which client."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ...log_limit import LimitedLog
from ...payloads.jsontext import decode
from ..base import Holder
from .connection import result_of, text_of
from .scripts import HOLDER, LIVING
from .store import Store

__all__ = ["Registry"]

_AT_ONCE = 2000  # clients that are read in one step


class Registry:
    """What Redis knows of nodes and clients. Every method raises `ClusterUnavailable`. For any thread.

    Args:
        store: Where it is.
        log: For entries that are not understood. They are skipped.
    """

    def __init__(self, store: Store, log: LimitedLog) -> None:
        self._store, self._log = store, log

    def nodes(self) -> List[str]:
        """Return the living nodes."""
        return [text_of(node) for node in self._store.run(LIVING)]

    def holder_of(self, client_id: str) -> Optional[Holder]:
        """Return which living node holds that client."""
        text = self._store.run(HOLDER, client_id)
        return None if text is None else self._holder(client_id, text)

    def holders(self) -> List[Holder]:
        """Return all clients that living nodes hold."""
        found: Dict[bytes, Any] = {}
        cursor = "0"
        while True:
            answer = self._store.links.run(["HSCAN", self._store.keys.clients, cursor, "COUNT", _AT_ONCE])[0]
            cursor, pairs = text_of(result_of(answer)[0]), answer[1]
            found.update(zip(pairs[::2], pairs[1::2]))  # a client may come twice
            if cursor == "0":
                break
        living = set(self.nodes())
        holders = [self._holder(text_of(client_id), text) for client_id, text in found.items()]
        return [holder for holder in holders if holder is not None and holder.node_id in living]

    def _holder(self, client_id: str, text: bytes) -> Optional[Holder]:
        try:
            node_id, claim_id, _, about = text_of(text).split(" ", 3)
            known = decode(about)
            if not isinstance(known, dict):
                raise ValueError("no object")
        except ValueError:
            self._log.warning("%s: its entry in the registry is not understood, and was skipped", client_id)
            return None
        return Holder(client_id, node_id, claim_id, known)
