"""`Store`: runs scripts and commands on the keys of one cluster."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from .connection import Command, Link, Links, ResponseFault, result_of
from .scripts import Keys, Names, Script, Word

__all__ = ["Call", "Store", "run_calls"]


class Call(NamedTuple):
    """A script and its arguments."""

    script: Script
    arguments: Tuple[Word, ...]


class Store:
    """The keys of one cluster. For any thread."""

    def __init__(self, links: Links, prefix: str) -> None:
        self.links = links
        self.keys: Keys = Keys(prefix, links.database)

    def run(self, script: Script, *arguments: Word) -> Any:
        """Run one script, and return its result. Raises `ClusterUnavailable`."""
        return self.run_in(None, Call(script, arguments))

    def run_in(self, timeout: Optional[float], call: Call) -> Any:
        """Run one script in so many seconds. ``None``: those of the links."""
        with self.links.use(timeout) as link:
            return result_of(self.run_all([call], link)[0])

    def run_all(self, calls: Sequence[Union[Call, Command]], link: Link) -> List[Any]:
        """Do `run_calls` with the keys of the cluster."""
        return run_calls(self.keys, calls, link)


def run_calls(keys: Names, calls: Sequence[Union[Call, Command]], link: Link) -> List[Any]:
    """Run scripts and commands in their order, in one round trip, and return their results.

    A script that Redis does not know yet is sent as a whole then, behind the others. It has not run before.
    """
    results = link.run(*[_words(keys, call, False) for call in calls])
    unknown = [number for number, result in enumerate(results) if _is_unknown(result)]
    if unknown:
        again = link.run(*[_words(keys, calls[number], True) for number in unknown])
        for number, result in zip(unknown, again):
            results[number] = result
    return results


def _words(keys: Names, call: Union[Call, Command], whole: bool) -> Command:
    return call.script.words(keys, call.arguments, whole) if isinstance(call, Call) else call


def _is_unknown(result: Optional[Any]) -> bool:
    return isinstance(result, ResponseFault) and result.is_unknown_script
