"""docs/exceptions.md has every exception and every error code, as the code has them."""

import re
import subprocess
import sys
from typing import Dict, List

import pytest

import ocppj
from ocppj import ErrorCode, MessageError
from ocppj.rpc.dialect import V16, V21, V201
from tests.helpers import seconds
from tests.test_readme import BLOCK, ROOT

PAGE = (ROOT / "docs" / "exceptions.md").read_text("utf-8")
EXCEPTIONS = [
    name
    for name in ocppj.__all__
    if isinstance(getattr(ocppj, name), type) and issubclass(getattr(ocppj, name), Exception)
]
#: What the constructors take; of others it is one text.
ARGUMENTS = {
    "OCPPError": (ErrorCode.GENERIC_ERROR,),
    "MessageError": (ErrorCode.GENERIC_ERROR, "why"),
    "InvalidResponse": (MessageError(ErrorCode.GENERIC_ERROR, "why"),),
    "ValidationError": (ErrorCode.GENERIC_ERROR, "$", "why"),
    "HandshakeRefused": (404,),
    "Refusal": (404,),
}


def rows(section: str) -> Dict[str, List[str]]:
    """Return the cells of each row of a table by the name in its first cell."""
    below = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", below.partition("|---|")[2], re.MULTILINE)
    assert len(found) == len(dict(found)), "a row is there twice"
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


def attributes(kind: type) -> List[str]:
    """Return the public attributes of an instance."""
    made = kind(*ARGUMENTS.get(kind.__name__, ("why",)))
    own = [name for each in kind.__mro__ if each.__module__.startswith("ocppj") for name in vars(each)]
    return [name for name in [*vars(made), *own] if not name.startswith("_") and not callable(getattr(made, name))]


def test_every_exception_is_there() -> None:
    assert sorted(rows("Exceptions")) == sorted(EXCEPTIONS)
    assert list(rows("What exceptions have")) == list(rows("Exceptions"))


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_the_parents_and_attributes_of_an_exception(name: str) -> None:
    kind = getattr(ocppj, name)
    when, _ = rows("Exceptions")[name]
    parents, has = rows("What exceptions have")[name]
    assert re.findall(r"`(\w+)`", parents) == [each.__name__ for each in kind.__bases__]
    inherited = attributes(kind.__bases__[0]) if kind.__bases__[0].__module__.startswith("ocppj") else []
    own = {each for each in attributes(kind) if each not in inherited}
    assert set(re.findall(r"`(\w+)`", has)) == own
    assert when


def test_every_error_code_is_there_as_each_version_spells_it() -> None:
    listed = {name: [cell.strip("`") for cell in cells] for name, cells in rows("Error codes").items()}
    assert listed == {code.name: [V16.spellings.get(code, ""), V201.spellings[code]] for code in ErrorCode}
    assert V21.spellings == V201.spellings
    assert list(rows("When codes are sent")) == list(listed)


@pytest.mark.parametrize("code", BLOCK.findall(PAGE))
def test_the_block_runs(code: str) -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds(50), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)
