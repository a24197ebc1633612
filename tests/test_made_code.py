"""Functions that are made from source text."""

import gc
import linecache
import traceback
import weakref

import pytest

from ocppj.made_code import Names, make_functions, to_text
from ocppj.v16 import RegistrationStatus

LINES = ["def divide(value):", "    return helper(value)", "def helper(value):", "    return 1 / value"]


def traceback_of(function, value):
    try:
        function(value)
    except ZeroDivisionError:
        return traceback.format_exc()
    pytest.fail("it raised nothing")


def test_a_traceback_shows_the_lines():
    made = make_functions("test of tracebacks", LINES, Names())
    shown = traceback_of(made["divide"], 0)
    assert "<ocppj: test of tracebacks>" in shown
    assert "return helper(value)" in shown and "return 1 / value" in shown


def test_other_lines_of_the_same_title_get_a_number():
    made = [make_functions("test of titles", [*LINES, f"# {number}"], Names())["divide"] for number in range(3)]
    names = {each.__code__.co_filename for each in made}
    assert names == {"<ocppj: test of titles>", "<ocppj: test of titles (2)>", "<ocppj: test of titles (3)>"}


def test_the_functions_have_the_names_that_were_given():
    names = Names()
    name = names.add(7)
    assert make_functions("test of names", ["def get():", f"    return {name}"], names)["get"]() == 7


def test_the_source_text_goes_with_the_functions():
    made = make_functions("test of what is left", LINES, Names())
    function = made["helper"]
    del made
    gc.collect()
    assert linecache.getlines("<ocppj: test of what is left>"), "a function is there still"
    gone = weakref.ref(function)
    del function
    gc.collect()
    assert gone() is None
    assert not linecache.getlines("<ocppj: test of what is left>")


def test_text_of_a_subclass_becomes_plain():
    plain = to_text(RegistrationStatus.ACCEPTED)
    assert type(plain) is str and plain == "Accepted"
    assert to_text(5) == 5
