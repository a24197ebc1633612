"""Functions that are made from source text, when they are first needed."""

from __future__ import annotations

import linecache
import weakref
from itertools import count
from typing import Any, Dict, List, Sequence

__all__ = ["INDENT", "Names", "make_functions", "to_text"]

INDENT = "    "


class Names(Dict[str, Any]):
    """The global names that the functions of one source text use."""

    def add(self, value: object) -> str:
        """Return a name for ``value``."""
        name = f"c{len(self)}"
        self[name] = value
        return name


def to_text(value: Any) -> Any:
    """Return text of a subclass of ``str``, such as a member of an enum, as plain text. Another value stays.

    The ``repr`` of plain text alone is sure to be Python.
    """
    return str.__str__(value) if isinstance(value, str) else value


def make_functions(title: str, lines: Sequence[str], names: Names) -> Dict[str, Any]:
    """Run source text that defines functions. Return them, by name, and ``names``.

    A traceback shows the lines: `linecache` knows them. Other lines of the same title get a number.

    Args:
        title: What the functions do. It stands for the name of a file in tracebacks.
        lines: The source text. Nothing in it may come from a peer.
        names: The global names that the functions use.
    """
    ended = [f"{line}\n" for line in lines]
    source = "".join(ended)
    file_name = _find_file_name(title, ended)
    made = dict(names)  # the names of a function in a subclass of dict are found more slowly
    exec(compile(source, file_name, "exec"), made)
    linecache.cache[file_name] = (len(source), None, ended, file_name)
    function = next(made[name] for name in made if name not in names and name != "__builtins__")
    # The functions know each other by their global names, so all of them go at once. Their lines go then.
    weakref.finalize(function, linecache.cache.pop, file_name, None).atexit = False
    return made


def _find_file_name(title: str, lines: List[str]) -> str:
    text = ascii(title)[1:-1]  # a name of a file has no NUL and no lone surrogate
    for number in count(1):
        file_name = f"<ocppj: {text}>" if number == 1 else f"<ocppj: {text} ({number})>"
        if linecache.getlines(file_name) in ([], lines):
            break
    return file_name
