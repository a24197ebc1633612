"""Counts what code costs: functions that are called, and bytecodes that run. Neither depends on the machine."""

import gc
import sys
from contextlib import contextmanager


def count_functions(act):
    """Return how many functions of Python and of C ``act`` calls, when it is done for the third time."""
    act()
    act()
    calls = 0

    def profile(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    with _no_collection():
        sys.setprofile(profile)
        try:
            act()
        finally:
            sys.setprofile(before)
    return calls


def count_bytecodes(act):
    """Return how many bytecodes of Python ``act`` runs, in whatever module, when it is done for the second time."""
    act()
    steps = 0

    def trace(frame, event, argument):
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
    with _no_collection():
        sys.settrace(trace)
        try:
            act()
        finally:
            sys.settrace(before)
    return steps


@contextmanager
def _no_collection():
    """A collection of garbage in between may call functions of others."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
