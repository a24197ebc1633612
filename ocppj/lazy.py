"""`hooks`: names of a package that are imported when they are first asked for (PEP 562).

`typing` is not imported here, because that takes longer than all the rest of ``import ocppj``.
"""

# Python 3.13 replaces this module by another while it is imported. A second thread that imports it meanwhile gets the
# first one, which has no names. Nearly all that a program asks for needs it, so it is imported here, with a lock.
import collections.abc  # noqa: F401
import sys

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Tuple

__all__ = ["hooks"]


def hooks(
    package: str,
    homes: "Dict[str, str]" = {},  # noqa: B006 - it is only read
) -> "Tuple[Callable[[str], object], Callable[[], List[str]]]":
    """Return the ``__getattr__`` and the ``__dir__`` of ``package``.

    The names are those of ``homes``, and the modules in the package, as if all of them had been imported.

    Args:
        package: Its full name.
        homes: The public names, separated by spaces, by the module that has them, relative to the package.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> object:
        from importlib import import_module

        if name in home:
            value = getattr(import_module(home[name], package), name)
            setattr(sys.modules[package], name, value)  # the next one finds it there
            return value
        if not name.startswith("_"):
            try:
                return import_module(f"{package}.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"{package}.{name}":
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> "List[str]":
        from pkgutil import iter_modules

        module = sys.modules[package]
        modules = (each.name for each in iter_modules(module.__path__))
        return sorted({*vars(module), *home, *modules})

    return get, names
