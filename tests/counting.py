"""Counts what code costs: functions that are called, and bytecodes that run. Neither depends on the machine."""

import gc
import sys
import threading
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
    with _no_collection():
        return _count_instructions(act) if hasattr(sys, "monitoring") else _count_traced(act)


def _count_instructions(act):
    """Do what `count_bytecodes` does, from Python 3.12 on: there, tracing misses bytecodes."""
    monitoring, tool, steps, me = sys.monitoring, sys.monitoring.PROFILER_ID, 0, threading.get_ident()

    def note(code, offset):
        nonlocal steps
        steps += threading.get_ident() == me

    monitoring.use_tool_id(tool, "ocppj-counting")
    try:
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, note)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        act()
        monitoring.set_events(tool, 0)
    finally:
        monitoring.free_tool_id(tool)
    return steps


def _count_traced(act):
    steps = 0

    def trace(frame, event, argument):
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    before = sys.gettrace()
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
