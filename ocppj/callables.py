"""Functions that a program hands over, to be called later: what is wrong with one is said when it is handed over."""

from __future__ import annotations

import inspect
import threading
from functools import partial
from typing import Any, Callable, Optional, Sequence, TypeVar

from .errors import UsageError

__all__ = ["check_callable", "check_handler", "check_not_async", "raise_interrupt", "refuse_coroutine"]

H = TypeVar("H", bound=Optional[Callable[..., Any]])


def check_callable(handler: Any, names: Sequence[str], optional: Sequence[str] = (), what: str = "the handler") -> int:
    """Return how many of the ``optional`` arguments ``handler`` takes after ``names``: those that it must be given.

    A parameter with a default, and ``*args``, take none of them: ``lambda request, station=station: ...`` means its
    own default. ``what`` names it in an error.

    Raises:
        UsageError: It cannot be called so, or it is an ``async def``: nobody would await it.
    """
    wanted = f"f({', '.join(names)})"
    if not callable(handler):
        raise UsageError(f"a handler is a function {wanted}, not {handler!r}")
    name = getattr(handler, "__qualname__", repr(handler))
    check_not_async(what, handler)
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # a builtin without a signature
        return 0
    faults = []
    for taken in range(len(optional) + 1):
        try:
            signature.bind(*names, *optional[:taken])
            return taken
        except TypeError as error:
            faults.append(error)
    raise UsageError(f"{what} {name}{signature} is to be called as {wanted}: {faults[0]}")


def check_handler(handler: H, names: Sequence[str]) -> H:
    """Return ``handler``, or ``None`` for none. Raises `UsageError` unless it can be called with ``names``."""
    if handler is not None:
        check_callable(handler, names)
    return handler


def check_not_async(what: str, function: Any) -> None:
    """Raise `UsageError` for an ``async def``: nothing would await it. Whatever is no function passes."""
    if _is_async(function):
        name = getattr(function, "__qualname__", repr(function))
        raise UsageError(f"{what} {name} is an async function, which nothing would await: a plain one is wanted")


def refuse_coroutine(function: object, returned: object) -> None:
    """Raise `TypeError` for a coroutine that ``function`` returned: nothing awaits it.

    `check_not_async` does not see an ``async def`` behind another function, such as that of a decorator.
    """
    if inspect.iscoroutine(returned):
        returned.close()  # else Python warns that it was never awaited
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} returned a coroutine, which nothing awaits: a plain function is wanted")


def raise_interrupt(error: BaseException) -> None:
    """Raise ``error`` again if it is a Ctrl-C: that came from a signal handler, and not from the function just called.

    Called where what a function of the program raises is logged. Python runs signal handlers on the main thread alone.
    """
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


def _is_async(handler: Callable[..., Any]) -> bool:
    """Tell whether a call of ``handler`` returns a coroutine or an asynchronous generator, as far as can be seen."""
    while isinstance(handler, partial):
        handler = handler.func
    functions = (handler, type(handler).__call__)  # the second: of an object that is called
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in functions)
