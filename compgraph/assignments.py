"""What people called a result: the name on the left of the assignment whose right side is the expression that ran.

Of a file only the statement at top level that holds the line is parsed, once. Where the source cannot be read, as in a
plain interpreter, nothing has a name.
"""

from __future__ import annotations

import ast
import linecache
import re
from bisect import bisect_right
from collections.abc import Iterator
from types import CodeType
from typing import Any

from compgraph.origins import DerivativeOrigin, Origin

Place = tuple[int | None, int | None, int | None, int | None]  # first line, last line, first column, last column
Name = str | tuple[str, ...]  # a tuple for what is taken apart, as in `a, b = pair`

# A line that starts a statement: not indented, no closing bracket, no comment, and no branch of the statement before.
_START = re.compile(r"(?!else\b|elif\b|except\b|finally\b)[^\s#)\]}]")


class Assignments:
    """The assigned names of nodes; made anew for each program, and dropped with it.

    >>> program = compile("ratio = a / b", "example.py", "exec")
    >>> linecache.cache["example.py"] = 13, None, ["ratio = a / b"], "example.py"
    >>> divided = next(at for at, place in enumerate(program.co_positions()) if place == (1, 1, 8, 13))
    >>> Assignments().name((program, 2 * divided))
    'ratio'
    """

    def __init__(self) -> None:
        # By id, since the hash of a code object reads all of it; the nodes keep theirs alive as long as this is used.
        self._places: dict[int, list[Place]] = {}
        self._names: dict[tuple[int, int], Name] = {}

    def name(self, origin: Origin, entry: Any = None) -> str:
        """What the expression at `origin` was assigned to, or its entry number `entry` was; '' where nobody named it."""
        if origin is None or isinstance(origin, (str, DerivativeOrigin)):
            return ""
        code, offset = origin
        key = id(code), offset
        if key not in self._names:
            self._names[key] = self._look_up(code, offset // 2)
        found = self._names[key]
        if isinstance(found, str):
            return found
        return found[entry] if type(entry) is int and 0 <= entry < len(found) else ""

    def _look_up(self, code: CodeType, instruction: int) -> Name:
        if id(code) not in self._places:  # all at once: to look each up from the start would take the square of the time
            self._places[id(code)] = list(code.co_positions())
        places = self._places[id(code)]
        place = places[instruction] if 0 <= instruction < len(places) else (None,) * 4
        return names_around(code.co_filename, place[0]).get(place, "") if place[0] else ""


class _File:
    """The lines of a file, where its statements start, and the names in those that were asked for."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.starts = [number for number, line in enumerate(lines, 1) if _START.match(line)]
        self.names: dict[int, dict[Place, Name]] = {}


_files: dict[str, _File] = {}


def names_around(filename: str, line: int) -> dict[Place, Name]:
    """The names in the statement at top level that `line` is part of, by the place of the expression that each stands for."""
    lines = linecache.getlines(filename)
    file = _files.get(filename)
    if file is None or file.lines is not lines:  # `linecache` reads a file again after it has changed
        file = _files[filename] = _File(lines)
    at = bisect_right(file.starts, line)
    if not at:
        return {}
    start = file.starts[at - 1]
    stop = file.starts[at] if at < len(file.starts) else len(lines) + 1
    if start not in file.names:
        tree = parsed("".join(lines[start - 1 : stop - 1]))
        if tree is None:  # a line inside a text in triple quotes can look like a statement's start
            start, tree = 1, parsed("".join(lines))
        names = dict(_assigned(tree, start - 1)) if tree is not None else {}
        file.names[file.starts[at - 1]] = names
    return file.names[file.starts[at - 1]]


def parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _assigned(tree: ast.AST, before: int) -> Iterator[tuple[Place, Name]]:
    """Every name that is assigned in `tree`, whose first line has `before` lines above it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in reversed(node.targets):  # in `a = b = x + 1` the first counts
                yield from _pairs(target, node.value, before)
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            yield from _pairs(node.target, node.value, before)
        elif isinstance(node, ast.AugAssign):
            yield from ((place, _called(node.target)) for place in _places(node, before))


def _pairs(target: ast.expr, value: ast.expr, before: int) -> Iterator[tuple[Place, Name]]:
    if isinstance(value, ast.IfExp):
        yield from _pairs(target, value.body, before)
        yield from _pairs(target, value.orelse, before)
    elif isinstance(target, (ast.Tuple, ast.List)):
        if any(isinstance(part, ast.Starred) for part in target.elts):
            return
        if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                yield from _pairs(one, other, before)
        else:  # a node that is taken apart is read entry by entry by the instruction at the place of the target
            yield from ((place, tuple(map(_called, target.elts))) for place in _places(target, before))
    elif _called(target):
        yield from ((place, _called(target)) for place in _places(value, before))


def _called(target: ast.expr) -> str:
    if isinstance(target, ast.Name):
        return target.id
    return target.attr if isinstance(target, ast.Attribute) else ""


def _places(node: Any, before: int) -> Iterator[Place]:
    """The places at which Python can say that an expression ran."""
    first, last = node.lineno + before, node.end_lineno + before
    yield first, last, node.col_offset, node.end_col_offset
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func  # a method on a line of its own is said to be called where its name stands
        yield name.end_lineno + before, last, name.end_col_offset - len(name.attr.encode()), node.end_col_offset  # type: ignore[operator]
