"""What type checkers know of the options is what the constructors take."""

import inspect
from typing import get_type_hints

import pytest

from ocppj.ws.connecting.session import ClientCore
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.options import ClientOptions, ServerOptions
from ocppj.ws.serving.registry import ServerCore


@pytest.mark.parametrize(("options", "core"), [(ClientOptions, ClientCore), (ServerOptions, ServerCore)])
def test_the_options_are_those_of_the_constructor(options, core):
    assert set(get_type_hints(options)) == set(inspect.signature(core).parameters)


@pytest.mark.parametrize("make", [MemoryNetwork().server, MemoryNetwork().client])
def test_an_unknown_option_is_named(make):
    with pytest.raises(TypeError, match="colour"):
        make(colour="red")
