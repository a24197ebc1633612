"""The pytest plugin, by the entry point "ocppj" of the group "pytest11".

Fixtures, each for one test:

* ``ocpp_csms``: a `ScriptedCSMS`, which listens.
* ``ocpp_station(url=None, id=None, **options)``: makes a `ScriptedStation`, which has connected. Without ``url`` it
  connects to the ini option ``ocpp_url``, or else to the ``ocpp_csms`` of the test. In memory ``ocpp_url`` is not used.
* ``ocpp_pair``: a `Client` and a `Server`, connected in memory: ``client, server = ocpp_pair``.
* ``ocpp_network``: a `MemoryNetwork`. In a test that uses it, the CSMS and the stations are in memory.
* ``ocpp_clock``: a `ManualClock`, which moves only when the test waits. Such a test is in memory.
* ``ocpp_pki``: a `TestPKI`, with certificates for security profiles 2 and 3.

The marker ``ocpp`` sets options for a test, a class or a module: ``version`` (or several), ``security_profile``,
``strict``, ``within``, ``timeout_factor``, ``in_memory``, ``held_clock``, and those of `ScriptedCSMS`. The nearest
marker wins, option by option.

Ini options: ``ocpp_version`` and ``ocpp_timeout_factor`` are the defaults for all tests. ``ocpp_url`` is where a
central system under test listens that runs already, without the identity: stations connect there. On the command line
they are given as ``-o ocpp_url=ws://192.168.1.7:9000/ocpp``.

A test that has passed fails at its end for what was wrong until then (see `Scripted.verify`), and once more, as an
error of its teardown, for what went wrong while later fixtures ended. A test that fails has the report section
"OCPP transcript".

Nothing is imported before a fixture is used. This module itself imports pytest alone. pytest loads it wherever this
library is installed. So an old pytest, which cannot run the fixtures, goes on without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Generator, Iterator

import pytest

if TYPE_CHECKING:
    from ..clock import ManualClock
    from ..ws.memory import MemoryNetwork
    from .bench import Bench, Pair
    from .csms import ScriptedCSMS
    from .pki import TestPKI
    from .station import ScriptedStation

__all__ = ["ocpp_clock", "ocpp_csms", "ocpp_network", "ocpp_pair", "ocpp_pki", "ocpp_station"]

_MARKER = (
    "ocpp(version=..., security_profile=..., strict=..., within=..., timeout_factor=..., in_memory=..., "
    "held_clock=..., **options of ScriptedCSMS): how the ocpp_ fixtures of the test behave"
)
_SECTION = "OCPP transcript"


def _is_usable() -> bool:
    """Tell whether pytest is new enough: 7 at least, with pluggy 1.2 at least."""
    try:
        pytest.hookimpl(wrapper=True)
    except TypeError:
        return False
    return hasattr(pytest, "StashKey")


_IS_USABLE = _is_usable()
if _IS_USABLE:
    _bench_key: pytest.StashKey["Bench"] = pytest.StashKey()
    _ended_key: pytest.StashKey[bool] = pytest.StashKey()


def _around(hook: Any) -> Any:
    """Have ``hook`` run around the others of its name. An old pytest does not run it."""
    return pytest.hookimpl(wrapper=True)(hook) if _IS_USABLE else None


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    # pytest means to rewrite the assertions in all modules of a package that has a plugin. It would compile them at
    # each start where no bytecode is kept, which takes most of a second, and this package has none to rewrite.
    getattr(getattr(pluginmanager, "rewrite_hook", None), "_must_rewrite", set()).discard("ocppj")
    parser.addini("ocpp_version", "OCPP version of the ocpp_ fixtures (default: 1.6)", default="1.6")
    parser.addini("ocpp_timeout_factor", "what the ocpp_ fixtures multiply their timeouts by (default: 1)", default="1")
    parser.addini("ocpp_url", "where a central system under test listens that runs already", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def _ocpp_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Make what the fixtures of this module share."""
    if not _IS_USABLE:
        raise pytest.UsageError("pytest is too old for the ocpp_ fixtures: pip install 'ocppj[testing]'")
    from .bench import Bench

    node = request.node
    bench = node.stash[_bench_key] = Bench(**_read_options(node))
    node.stash[_ended_key] = False  # it may be set if another plugin runs a test again
    yield bench
    bench.close(failed=node.stash[_ended_key])


@pytest.fixture
def ocpp_csms(_ocpp_bench: Bench) -> ScriptedCSMS:
    """Return a `ScriptedCSMS`, which listens."""
    return _ocpp_bench.csms


@pytest.fixture
def ocpp_station(_ocpp_bench: Bench) -> Callable[..., ScriptedStation]:
    """Return ``f(url=None, id=None, **options)``, which returns a `ScriptedStation` that has connected."""
    return _ocpp_bench.station


@pytest.fixture
def ocpp_pair(_ocpp_bench: Bench) -> Pair:
    """Return a `Client` and a `Server` that are connected in memory."""
    return _ocpp_bench.pair


@pytest.fixture
def ocpp_network(_ocpp_bench: Bench) -> MemoryNetwork:
    """Return the `MemoryNetwork` of the test."""
    return _ocpp_bench.network


@pytest.fixture
def ocpp_clock(_ocpp_bench: Bench) -> ManualClock:
    """Return the `ManualClock` of the test."""
    return _ocpp_bench.clock


@pytest.fixture
def ocpp_pki(_ocpp_bench: Bench) -> TestPKI:
    """Return the `TestPKI` of the test."""
    return _ocpp_bench.pki


def _read_options(node: Any) -> Dict[str, Any]:
    """Return the arguments of the `Bench` of a test: from the ini options, the fixtures and the markers."""
    config, used = node.config, getattr(node, "fixturenames", ())
    options: Dict[str, Any] = {
        "version": config.getini("ocpp_version"),
        "timeout_factor": _read_factor(config.getini("ocpp_timeout_factor")),
        "url": config.getini("ocpp_url"),
        "in_memory": "ocpp_network" in used,
        "held_clock": "ocpp_clock" in used,
    }
    for marker in reversed(list(node.iter_markers("ocpp"))):  # the nearest is the last
        if marker.args:
            raise pytest.UsageError(f"the marker ocpp takes keywords alone, such as version='2.0.1', not {marker.args}")
        options.update(marker.kwargs)
    return options


def _read_factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise pytest.UsageError(f"the ini option ocpp_timeout_factor is a number above 0, not {text!r}")
    return factor


@_around
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    result = yield
    bench = item.stash.get(_bench_key, None)
    if bench is not None:
        bench.verify()
    return result


@_around
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    bench = item.stash.get(_bench_key, None)
    if bench is not None and not report.passed:
        item.stash[_ended_key] = True
    if bench is not None and report.failed:
        # An expectation that failed has its transcript in its text, with a mark.
        shown = getattr(call.excinfo and call.excinfo.value, "journal", None)
        parts = ["see the error above" if shown is not None else "", bench.transcript(shown)]
        if any(parts):
            report.sections.append((_SECTION, "\n\n".join(filter(None, parts))))
    return report
