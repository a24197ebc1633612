"""`log_lines`: the lines that the library logs at INFO and above, read from its source.

A call such as ``self._log.warning(words, ...)`` logs what ``words`` may be there: the texts that it was given above.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple

PACKAGE = Path(__file__).resolve().parent.parent / "ocppj"
LEVELS = {"info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}
#: Functions that log a text of their callers: the level, and which argument has the text.
WRAPPERS = {"warn": ("WARNING", 2), "_warn": ("WARNING", 2), "log_failure": ("ERROR", 0)}
#: Where those functions are: there the text is an argument.
INSIDE = {"loops.py": "log.error(text", "rpc/peer_warnings.py": "self._log().warning(text"}
#: The statements before each block of statements that a node is in, the outermost first.
Before = List[Sequence[ast.stmt]]
#: What a module has that logs, or has a text of a line.
_LOGS = re.compile(rf"\b(?:{'|'.join([*LEVELS, *WRAPPERS])})\(|[\"']%s\b")


class Line(NamedTuple):
    """A line: its level, its text before the arguments are put in, and the module that logs it."""

    level: str
    text: str
    module: str


def log_lines(package: Path = PACKAGE) -> List[Line]:
    """Return the lines of all modules. Raises ``LookupError`` for a call whose text is not found."""
    sources = {path: path.read_text("utf-8") for path in sorted(package.rglob("*.py"))}
    trees = {path: ast.parse(source) for path, source in sources.items() if _LOGS.search(source)}
    classes = [each for tree in trees.values() for each in tree.body if isinstance(each, ast.ClassDef)]
    found = []
    for path, tree in trees.items():
        module = path.relative_to(package).as_posix()
        for call, before in _calls(tree, []):
            found += [Line(level, text, module) for level, text in _logged(call, before, classes, module)]
    return list(dict.fromkeys(found))


def _calls(node: ast.AST, before: Before) -> Iterator[Tuple[ast.Call, Before]]:
    """Yield each call, and what stands before it."""
    if isinstance(node, ast.Call):
        yield node, before
    for _, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield from _calls(value, before)
        elif isinstance(value, list):
            for number, each in enumerate(value):
                if isinstance(each, ast.stmt):
                    yield from _calls(each, [*before, value[:number]])
                elif isinstance(each, ast.AST):
                    yield from _calls(each, before)


def _logged(call: ast.Call, before: Before, classes: Sequence[ast.ClassDef], module: str) -> Iterator[Tuple[str, str]]:
    """Yield the level and the texts of a call that logs."""
    holder, _, name = ast.unparse(call.func).rpartition(".")
    place, levels = 0, [LEVELS[name]] if name in LEVELS and "log" in holder.lower() else []
    if name in WRAPPERS:
        levels, place = [WRAPPERS[name][0]], WRAPPERS[name][1]
    elif isinstance(call.func, ast.Name):
        levels = _levels_of_name(name, before)
    if not levels:
        return
    if len(call.args) <= place or ast.unparse(call).startswith(INSIDE.get(module, "-")):
        return
    texts = list(_texts(call.args[place], before, classes))
    if not texts:
        raise LookupError(f"{module}:{call.lineno}: the text is not found: {ast.unparse(call)}")
    yield from ((level, text) for level in levels for text in texts)


def _levels_of_name(name: str, before: Before) -> List[str]:
    """Return the levels of a name that was given something like ``log.warning if lost else log.error`` above."""
    for block in reversed(before):
        nodes = [node for value in _given(name, block) for node in ast.walk(value)]
        methods = [each for each in nodes if isinstance(each, ast.Attribute) and each.attr in LEVELS]
        if methods:
            return [LEVELS[each.attr] for each in methods if "log" in ast.unparse(each.value).lower()]
    return []


def _texts(node: ast.AST, before: Before, classes: Sequence[ast.ClassDef]) -> Iterator[str]:
    """Yield what an expression may be, as far as it is a text of the source."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, before, classes)
        yield from _texts(node.orelse, before, classes)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left in _texts(node.left, before, classes):
            yield from (left + right for right in _texts(node.right, before, classes))
    elif isinstance(node, ast.Name):
        yield from _texts_of_name(node.id, before, classes)
    elif isinstance(node, ast.Attribute):
        for each in classes:
            yield from (text for value in _given(node.attr, each.body) for text in _texts(value, [], classes))


def _texts_of_name(name: str, before: Before, classes: Sequence[ast.ClassDef]) -> Iterator[str]:
    """Yield the texts that a name was given above, up to the statement that always gives it one."""
    added = [""]
    for number in range(len(before) - 1, -1, -1):
        for place in range(len(before[number]) - 1, -1, -1):
            statement = before[number][place]
            here = [*before[:number], before[number][:place]]
            always = isinstance(statement, (ast.Assign, ast.AnnAssign))
            for node in [statement] if always else _without_functions(statement):
                texts = [text for value in _given(name, [node]) for text in _texts(value, here, classes)]
                if isinstance(node, ast.AugAssign):
                    longer = [text + more for text in texts for more in added]
                    added = longer if node is statement else added + longer
                else:
                    yield from (text + more for text in texts for more in added)
            if always and _given(name, [statement]):
                return
            if isinstance(statement, ast.If) and _gives_in_both(name, statement):
                return


def _given(name: str, statements: Sequence[ast.AST]) -> List[ast.expr]:
    """Return the values that these statements themselves give to a name."""
    values: List[ast.expr] = []
    for each in statements:
        value: Any = getattr(each, "value", None)
        for target in each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]:
            values += _values(name, target, value)
    return values


def _values(name: str, target: Any, value: Any) -> Iterator[ast.expr]:
    """Yield what ``target = value`` gives to a name."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
        yield from _values(name, target, value.body)
        yield from _values(name, target, value.orelse)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for left, right in zip(target.elts, value.elts):
            yield from _values(name, left, right)
    elif isinstance(target, ast.Name) and target.id == name and value is not None:
        yield value


def _without_functions(statement: ast.stmt) -> Iterator[ast.AST]:
    if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.stmt):
                yield from _without_functions(child)


def _gives_in_both(name: str, statement: ast.If) -> bool:
    bodies = (statement.body, statement.orelse)
    return all(any(_given(name, [each]) for each in body) for body in bodies)
