"""Where in the user's code a node was made.

A node keeps a code object and an instruction offset, which cost a tuple; the line, the columns and the text are
looked up only when somebody asks. Frames are not kept, because a frame keeps alive everything it can see.
"""

from __future__ import annotations

import ast
import builtins
import dis
import linecache
import math
import os
import sys
from itertools import islice
from types import CodeType, FrameType

import numpy as np

Origin = tuple[CodeType, int] | str | None


class DerivativeOrigin(tuple[CodeType, int]):
    """The origin of a node that a sweep made, which is that of its primal node: the same line, but not its result."""

    __slots__ = ()


class DerivativeText(str):
    """The same for the origin of a parsed expression, which is its text."""

    __slots__ = ()


def is_derivative(origin: Origin) -> bool:
    return isinstance(origin, (DerivativeOrigin, DerivativeText))


def derivative_origin(origin: Origin) -> Origin:
    """Where a derivative of what was made at `origin` comes from."""
    if origin.__class__ is tuple:
        return DerivativeOrigin(origin)
    return DerivativeText(origin) if origin.__class__ is str else origin


_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARIES = (
    *(os.path.join(_ROOT, package) + os.sep for package in ("compgraph", "optim", "viz")),
    os.path.dirname(np.__file__) + os.sep,
)
# Update rules are programs like the user's: a graph of one shows their lines and calls things as they do.
_PROGRAMS = frozenset(os.path.join(_ROOT, "optim", name) for name in ("rules.py", "matrix_rules.py"))


class _LibraryFiles(dict[str, bool]):
    def __missing__(self, filename: str) -> bool:
        inside = self[filename] = filename.startswith((*_LIBRARIES, "<compgraph ")) and filename not in _PROGRAMS
        return inside


library_files = _LibraryFiles()


def caller() -> Origin:
    """The place in the nearest frame outside this project and NumPy."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and library_files[frame.f_code.co_filename]:
        frame = frame.f_back
    return None if frame is None else (frame.f_code, frame.f_lasti)


def here() -> str:
    """` (train.py:12)`, the user's line, for the end of a message; empty where there is none."""
    place = describe_origin(caller())
    return f" ({place})" if place else ""


def stack_level() -> int:
    """The `stacklevel` with which a warning raised by the caller points at the user's line."""
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and library_files[frame.f_code.co_filename]:
        level, frame = level + 1, frame.f_back
    return level


def position(origin: Origin) -> tuple[str, int, int, int, int] | None:
    """(file, first line, last line, first column, last column), columns counted in UTF-8 bytes."""
    if origin is None or isinstance(origin, str):
        return None
    code, offset = origin
    first, last, start, end = next(islice(code.co_positions(), offset // 2, None), (None,) * 4)
    if first is None:
        return None
    return code.co_filename, first, last or first, start or 0, end or 0


def describe_origin(origin: Origin) -> str:
    """`file.py:12`, the text of a parsed expression, or an empty string where nothing is known."""
    if isinstance(origin, str):
        return origin
    place = position(origin)
    return "" if place is None else f"{os.path.basename(place[0])}:{place[1]}"


def source_line(origin: Origin) -> str:
    """The user's line of code, stripped; empty where the source cannot be read."""
    if isinstance(origin, str):
        return origin
    place = position(origin)
    return "" if place is None else linecache.getline(place[0], place[1]).strip()


def source_segment(origin: Origin) -> str:
    """The text of exactly the expression that ran, as in `x1 / x2`."""
    place = position(origin)
    if place is None:
        return ""
    filename, first, last, start, end = place
    lines = [linecache.getline(filename, number).encode() for number in range(first, last + 1)]
    if not lines[0]:
        return ""
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    return b"".join(lines).decode(errors="replace").strip()


def comparison_is_written() -> bool:
    """Whether the code that asked for `==` says `==` itself, and is not a search in a container."""
    frame = sys._getframe(2)
    return frame.f_code.co_code[frame.f_lasti] == _COMPARE


_COMPARE = dis.opmap["COMPARE_OP"]


# `math.exp(node)`, `array[0] = node`, `array.fill(node)` and `float(node)` all arrive as `node.__float__()`. The last
# is how people print a loss, the others would drop the derivative in silence, so they are told apart by the
# instruction that the user's code is at.


def _user_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and library_files[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def is_stored_in_an_array() -> bool:
    """Whether the user's current instruction is `array[...] = value` or `array.fill(value)`."""
    frame = _user_frame()
    if frame is None:
        return False
    if frame.f_code.co_code[frame.f_lasti] == _STORE:
        return True
    return "fill" in frame.f_code.co_names and ".fill(" in source_segment((frame.f_code, frame.f_lasti))


_STORE = dis.opmap["STORE_SUBSCR"]


def is_call_into_math() -> str:
    """The text of the call if the user's current instruction hands its argument to the `math` module, else ''."""
    frame = _user_frame()
    if frame is None:
        return ""

    def look_up(name: str) -> object:
        for names in (frame.f_locals, frame.f_globals, vars(builtins)):
            if name in names:
                return names[name]
        return None

    names = (*frame.f_code.co_names, *frame.f_code.co_freevars, *frame.f_code.co_varnames)
    found = (look_up(name) for name in names)
    if not any(value is math or getattr(value, "__module__", None) == "math" for value in found):
        return ""
    segment = source_segment((frame.f_code, frame.f_lasti))
    try:
        call = ast.parse(segment, mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    if not isinstance(call, ast.Call):
        return ""
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return segment if look_up(function.value.id) is math else ""
    if isinstance(function, ast.Name):
        return segment if getattr(look_up(function.id), "__module__", None) == "math" else ""
    return ""
