"""Source text -> function: the only place in the project that executes text.

Every text that arrives here was written by the project itself, from primitives' code and from names that
`define` checks. Expressions that people type go through `parsing.py` and are never executed.
"""

from __future__ import annotations

import itertools
import keyword
import linecache
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import FunctionType
from typing import Any

from compgraph.errors import MissingDependencyError

_serial = itertools.count(1)
_forgotten: deque[str] = deque()  # texts whose code is gone: the next program drops them, since `linecache` may be walking its table now


def is_name(text: str) -> bool:
    """Whether `text` can stand in a program as a name of the user's.

    >>> is_name("x1"), is_name("lambda"), is_name("__class__"), is_name("x; import os")
    (True, False, False, False)
    """
    return text.isascii() and text.isidentifier() and not keyword.iskeyword(text) and not text.startswith("__")


class Unique:
    """Makes names unique: one that is taken gets _2, _3, ... in turn, however many ask for it.

    >>> unique = Unique(["np"])
    >>> [unique(wish) for wish in ("h", "h", "h", "np", "h_2")]
    ['h', 'h_2', 'h_3', 'np_2', 'h_2_2']
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self._serials: dict[str, int] = {}

    def __call__(self, wish: str) -> str:
        name = wish
        while name in self.taken:
            self._serials[wish] = self._serials.get(wish, 1) + 1
            name = f"{wish}_{self._serials[wish]}"
        self.taken.add(name)
        return name

    def numbered(self, prefix: str) -> str:
        """The prefix with the next number that makes a new name."""
        serial = self._serials.get(f"{prefix}#", 0) + 1
        while f"{prefix}{serial}" in self.taken:
            serial += 1
        self._serials[f"{prefix}#"] = serial
        return self(f"{prefix}{serial}")


def define(
    source: str,
    name: str,
    namespace: dict[str, Any],
    *,
    title: str,
    filename: str | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """Run `source`, which defines `name`, and return what it defined.

    The text is registered with `linecache`, for as long as its code lives, so a traceback and a debugger show the line that
    failed. `filename` is the file that holds the text, where there is one. `constants` are objects that stand for texts
    among the function's constants: what is known in this way lives and dies with the code, whoever still runs it.
    """
    if not is_name(name):
        raise ValueError(f"{name!r} cannot name a function")
    while _forgotten:
        linecache.cache.pop(_forgotten.popleft(), None)
    given, filename = filename, filename or f"<compgraph {title} {next(_serial)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = dict(namespace)
    exec(compile(source, filename, "exec"), namespace)
    function: Any = namespace[name]
    if constants:
        code = function.__code__
        known = tuple(constants.get(value, value) if value.__class__ is str else value for value in code.co_consts)
        function.__code__ = code.replace(co_consts=known)
    if filename != given and isinstance(function, FunctionType):
        weakref.finalize(function.__code__, _forgotten.append, filename).atexit = False
    return function


class Late:
    """An optional module that is imported when something in it is first used.

    >>> late = Late("math")
    >>> late.sqrt(4.0)
    2.0

    Raises `MissingDependencyError`, with the line that installs it, where the module is absent.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        try:
            value = getattr(import_module(self._module), name)
        except ImportError as error:
            package = self._module.partition(".")[0]
            raise MissingDependencyError(f"{name} needs {package}, which is not installed: pip install {package}") from error
        setattr(self, name, value)  # from now on it is found without coming here
        return value
