"""The public names and how they are called: what a program that uses the library depends on.

``public_surface.txt`` lists them: what docs/contributing.md calls public. A change of it is a change that users notice:
it belongs in CHANGELOG.md. ``python -m tests.test_public_surface`` writes the list anew.
"""

import contextlib
import enum
import importlib
import inspect
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator

import ocppj
from ocppj.cli.main import COMMANDS, main
from ocppj.ws.options import ClientOptions, ServerOptions

LIST = Path(__file__).with_name("public_surface.txt")
#: The modules whose names are public, beside `ocppj` itself.
PUBLIC = ["control", "metrics", "proxy", "recording", "replaying", "reporting", "testing", "tracing", "validating"]
VERSIONS = ["v16", "v201", "v21"]
#: The modules that documents and users name.
MODULES = [
    "clock",
    "control",
    "durable",
    "errors",
    "metrics",
    "payloads",
    "proxy",
    "recording",
    "replaying",
    "reporting",
    "signing",
    "testing",
    "tracing",
    "validating",
    "v16",
    "v201",
    "v21",
    "ws.backoff",
    "ws.base",
    "ws.client",
    "ws.limits",
    "ws.memory",
    "ws.readers",
    "ws.server",
    "ws.stats",
    "ws.tls",
]


def called(function: Any) -> str:
    """Return the parameters of ``function`` with their defaults, without annotations."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return "(...)"
    parameters = []
    for parameter in signature.parameters.values():
        default = parameter.default
        if default is not parameter.empty and not isinstance(default, (str, int, float, tuple, type(None))):
            parameter = parameter.replace(default=...)
        parameters.append(parameter.replace(annotation=parameter.empty))
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


def members(name: str, value: Any) -> Iterator[str]:
    """Yield a line for each public thing that the class ``value`` or a base of ours has."""
    if issubclass(value, enum.Enum):
        yield from (f"{name}.{member}" for member in value.__members__)
        return
    for member in sorted(dir(value)):
        owner = next((each for each in value.__mro__ if member in vars(each)), None)
        if member.startswith("_") or owner is None or not owner.__module__.startswith("ocppj"):
            continue
        thing = inspect.getattr_static(value, member)
        thing = getattr(thing, "__func__", thing)  # of class and static methods
        if inspect.isfunction(thing):
            yield f"{name}.{member}{called(thing)}"
        else:
            yield f"{name}.{member}"


def names_of(prefix: str, module: ModuleType) -> Iterator[str]:
    """Yield the names of ``module`` with what they have."""
    for public in sorted(module.__all__):
        name, value = prefix + public, getattr(module, public)
        if not callable(value):
            yield name
        elif isinstance(value, type):
            yield f"{name}{'' if issubclass(value, enum.Enum) else called(value)}"
            yield from members(name, value)
        else:
            yield f"{name}{called(value)}"


def types_of(version: str) -> Iterator[str]:
    """Yield a line for each name of an OCPP version: a payload with its fields, an enum with its members."""
    module = importlib.import_module(f"ocppj.{version}")
    for public in sorted(module.__all__):
        value = getattr(module, public)
        if isinstance(value, type) and issubclass(value, enum.Enum):
            yield f"{version}.{public}: {' '.join(value.__members__)}"
        else:
            yield f"{version}.{public}{called(value) if isinstance(value, type) else ''}"


def options_of(command: str) -> str:
    """Return the options of a command, as its help lists them."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main([command, "--help"])
    listed = " ".join(re.findall(r"^  (-.*?)(?:  |$)", out.getvalue(), re.MULTILINE))
    return " ".join(sorted(set(re.findall(r"--[\w-]+", listed))))


def surface() -> Iterator[str]:
    yield from names_of("", ocppj)
    for module in PUBLIC:
        yield from names_of(f"{module}.", importlib.import_module(f"ocppj.{module}"))
    for version in VERSIONS:
        yield from types_of(version)
    for name in sorted({*MODULES} - {*PUBLIC, *VERSIONS}):
        yield f"{name}: {' '.join(sorted(importlib.import_module(f'ocppj.{name}').__all__))}"
    for transport, options in (("client", ClientOptions), ("server", ServerOptions)):
        yield f"options of a {transport}: {' '.join(sorted(options.__annotations__))}"
    for command in sorted(COMMANDS):
        yield f"ocppj {command} {options_of(command)}"


def test_names_and_signatures_are_those_listed() -> None:
    expected = LIST.read_text("utf-8").splitlines()
    assert list(surface()) == expected, f"write {LIST.name} anew if users are to notice this change"


def test_modules_that_users_name_can_be_imported() -> None:
    for name in MODULES:
        module = importlib.import_module(f"ocppj.{name}")
        assert all(hasattr(module, each) for each in getattr(module, "__all__", ()))


if __name__ == "__main__":
    LIST.write_text("".join(f"{line}\n" for line in surface()), "utf-8")
