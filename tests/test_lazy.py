"""``import ocppj`` imports nothing else. What a program asks for is imported then. Most tests are new processes."""

import ast
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ocppj
import ocppj.testing
from ocppj.lazy import hooks

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = [ocppj, ocppj.testing]
EACH = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)


def run(program: str, *arguments: str, isolated: bool = False) -> str:
    """Run ``program`` in a new process, and return what it prints. ``isolated``: Python imports no module `site`."""
    options = ["-S"] if isolated else []
    command = [sys.executable, *options, "-c", textwrap.dedent(program), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@EACH
def test_the_import_imports_nothing_else(package):
    run(
        """
        import collections.abc, importlib, sys
        before = set(sys.modules)
        importlib.import_module(sys.argv[1])
        assert set(sys.modules) - before <= {"ocppj", "ocppj.lazy", sys.argv[1]}, set(sys.modules) - before
        """,
        package.__name__,
    )


@EACH
def test_a_name_is_imported_once(package):
    for name in package.__all__:
        found = getattr(package, name)
        assert vars(package)[name] is found


@EACH
def test_all_names_can_be_imported_at_once(package):
    run(
        """
        import importlib, sys
        names = {}
        exec(f"from {sys.argv[1]} import *", names)
        package = importlib.import_module(sys.argv[1])
        assert set(package.__all__) <= set(names)
        assert names["ManualClock"].__module__ == "ocppj.clock"
        """,
        package.__name__,
    )


@EACH
def test_the_names_are_listed_before_they_are_imported(package):
    run(
        """
        import importlib, sys
        package = importlib.import_module(sys.argv[1])
        names = dir(package)
        assert names == sorted(set(names))
        assert set(package.__all__) <= set(names)
        assert "__all__" in names
        assert "ocppj.clock" not in sys.modules
        """,
        package.__name__,
    )
    modules = {"clock", "client", "errors", "ws", "v16"} if package is ocppj else {"timeline", "journal"}
    assert modules <= set(dir(package))


def test_each_module_is_reached_from_the_package():
    """Whatever the order, also those of packages that are imported already: as if all had been imported."""
    found = run(
        """
        import functools, pkgutil
        import ocppj

        APART = ["testing", "v16", "v201", "v21"]  # they have tables of their own

        def paths(package, path):
            for each in pkgutil.iter_modules(package.__path__):
                if not each.name.startswith("_"):
                    yield (*path, each.name)
                if each.ispkg and each.name not in APART and not each.name.startswith("_"):
                    yield from paths(getattr(package, each.name), (*path, each.name))

        from ocppj import Client  # imports a part of most packages
        count = 0
        for path in paths(ocppj, ()):
            try:
                module = functools.reduce(getattr, path, ocppj)
            except ModuleNotFoundError as error:
                assert not error.name.startswith("ocppj"), error
                continue
            assert module.__name__ == ".".join(["ocppj", *path])
            count += 1
        print(count)
        """
    )
    assert int(found) > 120


def test_modules_are_reached_after_the_bare_import():
    run(
        """
        import ocppj
        assert issubclass(ocppj.errors.UsageError, Exception)
        assert ocppj.ws.client.WebSocketClient
        assert ocppj.dispatch.queues.FIFOClientQueue is ocppj.FIFOClientQueue
        assert ocppj.v16.HeartbeatRequest
        """
    )


@EACH
def test_there_is_no_such_name(package):
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Clint'"):
        print(package.Clint)
    assert not hasattr(package, "_Clint")
    with pytest.raises(ImportError, match="cannot import name 'Clint'"):
        exec(f"from {package.__name__} import Clint", {})


def test_a_module_that_cannot_be_imported_is_an_import_error(tmp_path, monkeypatch):
    """The error names what is missing, and not the name that was asked for."""
    package = tmp_path / "lazy_example"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    (package / "needy.py").write_text("import a_package_that_is_not_there\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import lazy_example

    get, names = hooks("lazy_example", {".needy": "Needy"})
    for name in ("Needy", "needy"):
        with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
            get(name)
    with pytest.raises(AttributeError, match="module 'lazy_example' has no attribute 'other'"):
        get("other")
    assert {"Needy", "needy"} <= set(names())
    assert lazy_example.__name__ == "lazy_example"


def test_what_is_pickled_is_read_by_a_process_that_has_imported_nothing():
    text = pickle.dumps([ocppj.OCPPError("InternalError", "busy"), ocppj.Client, ocppj.wire]).hex()
    run(
        """
        import pickle, sys
        error, client, wire = pickle.loads(bytes.fromhex(sys.argv[1]))
        assert error.description == "busy"
        import ocppj
        assert type(error) is ocppj.OCPPError and client is ocppj.Client and wire is ocppj.wire
        """,
        text,
    )


def test_a_module_that_python_replaces_is_there_before_threads_ask():
    """On Python 3.13 the first import of `collections.abc` fails in one of two threads, now and then."""
    run("import ocppj, sys; assert 'collections.abc' in sys.modules", isolated=True)


def test_many_threads_may_ask_at_once():
    run(
        """
        import random, threading
        import ocppj
        failed, ready = [], threading.Barrier(8)

        def work(number):
            names = list(ocppj.__all__)
            random.Random(number).shuffle(names)
            ready.wait(10)
            try:
                for name in names:
                    getattr(ocppj, name)
            except BaseException as error:
                failed.append(repr(error))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed, failed
        """
    )


@EACH
def test_type_checkers_see_the_same(package):
    """The imports that they read, the table, and ``__all__``."""
    tree = ast.parse(Path(package.__file__).read_text("utf-8"))
    branch = next(each for each in tree.body if isinstance(each, ast.If))
    seen = {
        "." * each.level + each.module: sorted(alias.name for alias in each.names)
        for each in branch.body
        if isinstance(each, ast.ImportFrom)
    }
    homes = next(each for each in branch.orelse if isinstance(each, ast.Assign))
    table = {home: sorted(names.split()) for home, names in ast.literal_eval(homes.value).items()}
    assert table == seen
    assert sorted(package.__all__) == sorted(name for names in table.values() for name in names)
