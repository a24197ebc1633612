"""Functions that are made from source text, when they are first needed."""

from __future__ import annotations

import linecache
from typing import Any, Dict, Sequence

__all__ = ["make_functions"]


def make_functions(title: str, lines: Sequence[str], names: Dict[str, Any]) -> Dict[str, Any]:
    """Run source text that defines functions, and return what it defines and ``names``.

    A traceback shows the lines: `linecache` knows them.

    Args:
        title: What the functions do. It stands for the name of a file in tracebacks, so it should be unique.
        lines: The source text. Nothing in it may come from a peer.
        names: The global names that the functions use. The functions are added here.
    """
    file_name = f"<ocppj: {title}>"
    ended = [f"{line}\n" for line in lines]
    source = "".join(ended)
    exec(compile(source, file_name, "exec"), names)
    linecache.cache[file_name] = (len(source), None, ended, file_name)
    return names
