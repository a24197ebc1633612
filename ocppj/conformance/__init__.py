"""`ocppj check`: cases that try whether a central system, or a charging station, keeps the rules.

The frame is the same for both roles: `cases` (what a case is), `verdicts`, `runner`, `outcomes` (what is kept), and
`reports`. The cases of a role, and how they reach the peer, are in a room of their own: `csms/` and `station/`.
"""

from ..lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
