"""Describes the types of an OCPP version to Sphinx: what the API pages of `ocppj.v16`, `v201` and `v21` show.

One entry for each type, with its fields or members in it. autodoc makes an entry for each field, too. These are
thousands, and take minutes.
"""

from __future__ import annotations

import inspect
from enum import Enum
from importlib import import_module
from types import ModuleType
from typing import Any, Iterator, List

#: The parts of the package of a version.
KINDS = ("messages", "datatypes", "enums", "profiles")


def describe(package: str, kind: str) -> List[str]:
    """Return the lines of reStructuredText for one part of a version.

    Args:
        package: Such as "ocppj.v16".
        kind: One of `KINDS`.
    """
    module = import_module(package)
    lines = [f".. py:currentmodule:: {package}", ""]
    for name in import_module(f"{package}.{kind}").__all__:
        lines += [*_entry(name, getattr(module, name)), ""]
    return [*lines, *(_dialect(module) if kind == "profiles" else [])]


def _entry(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, type):
        yield f".. py:data:: {name}"
        texts = [", ".join(_part(each) for each in value) + "."]
    elif issubclass(value, Enum):
        yield f".. py:class:: {name}"
        texts = [inspect.getdoc(value) or "", ", ".join(f"``{each.name}`` ({each.value})" for each in value) + "."]
    else:
        yield f".. py:class:: {name}({_fields(value)})"
        texts = [inspect.getdoc(value) or ""]
    for text in texts:
        yield ""
        yield f"   {text}"


def _part(value: Any) -> str:
    """Return what is shown of a profile in `PROFILES`, or of an action in a profile."""
    return str(value.name)


def _fields(payload: type) -> str:
    """Return the parameters of a payload with their types, which are texts."""
    shown = []
    for field in inspect.signature(payload).parameters.values():
        default = "" if field.default is field.empty else f" = {field.default!r}"
        shown.append(f"{field.name}: {field.annotation}{default}")
    return ", ".join(shown)


def _dialect(module: ModuleType) -> List[str]:
    return [".. py:data:: DIALECT", "", f"   What `Profile` needs for messages of your own: {module.DIALECT!r}."]
