"""`Case`: a rule that is tried, and the register of all cases by the role of the peer that is checked."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ..errors import UsageError

__all__ = ["ALL", "CSMS", "ROLES", "STATION", "V2", "Case", "case", "cases_of", "choose"]

#: What is checked: a central system, or a charging station.
CSMS, STATION = "csms", "station"
ROLES = (CSMS, STATION)
#: The versions of a case.
ALL = ("1.6", "2.0.1", "2.1")
V2 = ("2.0.1", "2.1")

#: What a case is run with depends on the role: a `csms.peer.Room` for central systems.
Body = Callable[[Any], None]

_registered: Dict[str, Dict[str, "Case"]] = {role: {} for role in ROLES}


@dataclass(frozen=True)
class Case:
    """A rule, and how it is tried.

    Attributes:
        role: What is checked: "csms" or "station".
        id: A short name, such as "rpc-unknown-action". Its first word is the group.
        title: What is tried, in a sentence.
        section: Document and section of the rule. Several are separated by "; ".
        expects: What the peer has to do, in a sentence.
        versions: The OCPP versions that have the rule.
        run: Tries it. It returns for "pass", and raises what `verdicts` has for the rest.
        seconds: How long it may take.
        needs: What the user has to allow first, such as "reset": the name of a flag. "": nothing.
        once: Whether one run, over the first of the versions, is enough.
    """

    role: str
    id: str
    title: str
    section: str
    expects: str
    versions: Tuple[str, ...]
    run: Body
    seconds: float = 15.0
    needs: str = ""
    once: bool = False

    @property
    def group(self) -> str:
        """The first word of the id: "handshake", "rpc" ..."""
        return self.id.partition("-")[0]


def case(
    role: str,
    id: str,
    title: str = "",
    *,
    section: str,
    expects: str,
    versions: Sequence[str] = ALL,
    seconds: float = 15.0,
    needs: str = "",
    once: bool = False,
) -> Callable[[Body], Body]:
    """Return a decorator that registers a function as the `Case` with these attributes.

    The title is the first line of the function's docstring, if none is given.

    Raises:
        UsageError: There is a case of that role with the same id.
    """

    def register(run: Body) -> Body:
        if id in _registered[role]:
            raise UsageError(f"there are two cases {id!r} of the role {role!r}")
        name = title or (run.__doc__ or "").strip().split("\n")[0].rstrip(".")
        _registered[role][id] = Case(role, id, name, section, expects, tuple(versions), run, seconds, needs, once)
        return run

    return register


def cases_of(role: str) -> List[Case]:
    """Return all cases of a role, in the order in which they are run.

    Args:
        role: "csms" or "station".
    """
    for module in import_module(f"..{role}", __name__).MODULES:
        import_module(f"..{role}.{module}", __name__)
    return list(_registered[role].values())


def choose(cases: Sequence[Case], patterns: Sequence[str]) -> List[Case]:
    """Return the cases whose id is one of ``patterns``, such as "rpc-*". No patterns: all.

    Raises:
        UsageError: A pattern fits no case.
    """
    for pattern in patterns:
        if not any(fnmatchcase(each.id, pattern) for each in cases):
            raise UsageError(f"no case has the id {pattern!r}: --list shows them; * stands for any text")
    return [each for each in cases if not patterns or any(fnmatchcase(each.id, pattern) for pattern in patterns)]
