"""Functions that are made from source text, when they are first needed."""

from __future__ import annotations

import linecache
from typing import Any, Dict, Sequence

__all__ = ["INDENT", "Names", "make_functions"]

INDENT = "    "


class Names(Dict[str, Any]):
    """The global names that the functions of one source text use."""

    def add(self, value: object) -> str:
        """Return a name for ``value``."""
        name = f"c{len(self)}"
        self[name] = value
        return name


def make_functions(title: str, lines: Sequence[str], names: Names) -> Dict[str, Any]:
    """Run source text that defines functions. Return them, by name, and ``names``.

    A traceback shows the lines: `linecache` knows them.

    Args:
        title: What the functions do. It stands for the name of a file in tracebacks.
        lines: The source text. Nothing in it may come from a peer.
        names: The global names that the functions use.
    """
    file_name = f"<ocppj: {title}>"
    ended = [f"{line}\n" for line in lines]
    source = "".join(ended)
    made = dict(names)  # the names of a function in a subclass of dict are found more slowly
    exec(compile(source, file_name, "exec"), made)
    linecache.cache[file_name] = (len(source), None, ended, file_name)
    return made
