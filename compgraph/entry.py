"""The function that users call: it knows the arguments of the latest trace by sight, and hands all others on.

A call should cost no more than the program that it runs, and the program of a small expression takes a quarter of a
microsecond, less than one call of a method. So what `compile` returns is a plain function, and its code is written anew
for each trace:

    def f(x1, x2):
        if not (x1.__class__ is x2.__class__ is float):
            return dispatch_1((x1, x2), {})
        try:
            v1 = x1 / x2
            ...

What the code uses is among its constants, so that a thread that is still inside the old code finds what it knew, and a
program that is forgotten is gone with its code.
"""

from __future__ import annotations

import inspect
import itertools
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.backend import is_on_device
from compgraph.donation import apart
from compgraph.targets.scalar_target import Body, Careful

_serial = itertools.count(1)
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_NUMBERS = {float: "_float64({})", int: "_float64({})", np.float64: "{}", np.float32: "{}"}
_LARGEST = 2**53  # up to which float64 holds every integer
_BUILTINS = {
    "_dict": dict, "_list": list, "_tuple": tuple, "_float": float, "_int": int, "_len": len, "_ndarray": np.ndarray, "_apart": apart,
    "_float32": np.float32, "_float64": np.float64,
}  # fmt: skip


def install(name: str, dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """A function that hands every call on to `dispatch(args, kwargs)`, until `specialise` gives it something better to do."""
    source = f"def {name}(*args, **kwargs):\n    return _dispatch(args, kwargs)\n"
    function = programs.define(source, name, {"_dispatch": dispatch, **_BUILTINS}, title="entry")
    del function.__globals__[name]  # which may be that of a builtin
    return function


def specialise(call: Any, signature: inspect.Signature, args: Sequence[Any], compiled: Any) -> None:
    """Give `call` the code for arguments like `args`, if they can be known by sight.

    `compiled` is the program, with its graph (`traced`), what it captures and whether it takes plain floats (`scalar`).
    """
    parameters = list(signature.parameters.values())
    given, rest = parameters[: len(args)], parameters[len(args) :]
    names = [parameter.name for parameter in given]
    simple = all(parameter.kind in _PLAIN and parameter.default is parameter.empty for parameter in given)
    simple = simple and all(parameter.kind in _OPEN or parameter.default is not parameter.empty for parameter in rest)
    if not simple or len(args) != len(given) or not all(programs.is_name(name) and name[0] != "_" for name in names):
        return
    writer = _Writer(next(_serial), names, compiled, more=bool(rest))
    lines = writer.lines(args)
    if lines is None:
        return
    name = call.__code__.co_name
    open_ones = ["*_more", "**_named"] if rest else []  # what was left out in the trace goes to the slow path when it is given
    alone = sum(parameter.kind is inspect.Parameter.POSITIONAL_ONLY for parameter in given)
    header = ", ".join([*names[:alone], *["/"] * bool(alone), *names[alone:], *open_ones])
    source = f"def {name}({header}):\n" + textwrap.indent("\n".join(lines), "    ")
    function = programs.define(source + "\n", name, {}, title="entry", constants=writer.constants)
    call.__globals__.update(writer.namespace)
    call.__code__ = function.__code__


class _Writer:
    def __init__(self, serial: int, parameters: list[str], compiled: Any, *, more: bool = False) -> None:
        self.serial, self.parameters, self.compiled, self.more = serial, parameters, compiled, more
        self.namespace: dict[str, Any] = {}  # what means the same to every program: dtypes, functions of `math`
        self.constants: dict[str, Any] = {}  # what this one knows
        self.bound: list[str] = []  # the lines that call it by a name
        self.conditions: list[str] = []
        self.values: list[str] = []  # one text a leaf, as the program takes it
        self.leaves: list[str] = []  # and as it was given

    def lines(self, args: Sequence[Any]) -> list[str] | None:
        """The code for arguments like these; None where a look cannot tell them from others."""
        graph, compiled = self.compiled.traced, self.compiled
        together = "".join(f"{name}, " for name in self.parameters)
        elsewhere = f"return _dispatch(({together}*_more), _named)" if self.more else f"return _dispatch(({together}), {{}})"
        self.conditions += ["not _more", "not _named"] * self.more
        packed = self.packed(graph)
        if compiled.scalar and not compiled.captured and packed is not None and all(arg.__class__ is float for arg in args):
            return self.scalar_lines(elsewhere, packed)
        if not all(self.known(arg, name) for name, arg in zip(self.parameters, args, strict=True)):
            return None
        if not all(self.captured(place, node.value) for place, node in enumerate(compiled.captured)):
            return None
        given = sorted(set(compiled.donated.values()))
        if given:
            others = [leaf for place, leaf in enumerate(self.leaves) if place not in given]
            self.conditions.append(f"_apart(({', '.join(self.leaves[one] for one in given)},), ({', '.join(others)}{',' * bool(others)}))")
        program, explain = self.bind("program", compiled.program.function), self.bind("explain", compiled.explain)
        values = [f"_float({value})" if compiled.scalar else value for value in self.values]
        results = [f"_r{self.serial}_{place}" for place in range(len(graph.outputs))]
        taken = ", ".join(results) + ","
        back = self.filled(packed, results) if packed is not None else f"{self.bind('pack', graph.pack)}([{taken}])"
        run = f"{program}({', '.join(values)})"
        head = [f"if not ({' and '.join(self.conditions)}):", f"    {elsewhere}"] if self.conditions else []
        return [
            *self.bound, *head, "try:", f"    {taken} = {run}", "except Exception as error:",
            f"    {explain}(error, [{', '.join(values)}])", "    raise", f"return {back}",
        ]  # fmt: skip

    def bind(self, what: str, value: Any) -> str:
        """The local name of something that the code knows."""
        name = f"_{what}_{self.serial}"
        self.constants[f"<compgraph {name}>"] = value
        self.bound.append(f"{name} = '<compgraph {name}>'")
        return name

    # ----------------------------------------------------------------------------------- arguments

    def known(self, arg: Any, text: str) -> bool:
        """Add what tells an argument like `arg`, which the code finds at `text`, from others."""
        kind = arg.__class__
        if kind is dict:
            if not all(key.__class__ in (str, int) for key in arg):
                return False
            keys = "".join(f"{key!r}, " for key in arg)  # in this order: the function may go through them
            self.conditions += [f"{text}.__class__ is _dict", f"_tuple({text}) == ({keys})"]
            return all(self.known(value, f"{text}[{key!r}]") for key, value in arg.items())
        if kind is list or kind is tuple:
            self.conditions += [f"{text}.__class__ is _{kind.__name__}", f"_len({text}) == {len(arg)}"]
            return all(self.known(value, f"{text}[{place}]") for place, value in enumerate(arg))
        node = self.compiled.traced.inputs[len(self.values)]
        if not text.isidentifier():  # found once, then by a name of its own
            name = f"_a{self.serial}_{len(self.values)}"
            self.leaves.append(name)
            text, look = name, f"({name} := {text})"
        else:
            self.leaves.append(text)
            look = text
        is_array = (kind is np.ndarray and arg.ndim) or is_on_device(arg)
        return self.array(arg, look, text) if is_array else self.number(arg, look, text, node)

    def array(self, array: Any, look: str, text: str) -> bool:
        """Add what tells an array of this shape and dtype, found by `look` and then called `text`."""
        if array.dtype is not np.dtype(array.dtype.type):
            return False
        dtype = f"_{array.dtype.name}_dtype"
        self.namespace[dtype] = array.dtype
        name = "_ndarray" if array.__class__ is np.ndarray else f"_{array.__class__.__module__.partition('.')[0]}_ndarray"
        self.namespace[name] = array.__class__
        self.conditions += [f"{look}.__class__ is {name}", f"{text}.shape == {array.shape!r}", f"{text}.dtype is {dtype}"]
        self.values.append(text)
        return True

    def number(self, arg: Any, look: str, text: str, node: Any) -> bool:
        kind = arg.__class__
        if kind not in _NUMBERS or node.dtype != (np.float32 if kind is np.float32 else np.float64):
            return False
        self.conditions.append(f"{look}.__class__ is _{kind.__name__}")
        if kind is int:
            self.conditions.append(f"-{_LARGEST} <= {text} <= {_LARGEST}")
        self.values.append(_NUMBERS[kind].format(text))
        return True

    def captured(self, place: int, value: Any) -> bool:
        """The same for the value that a captured variable has when the code is called."""
        name = f"_value{self.serial}_{place}"
        look = f"({name} := {self.bind(f'captured{place}', self.compiled.captured[place])}.value)"
        self.leaves.append(name)
        if value.__class__ is np.ndarray:
            return bool(value.ndim) and self.array(value, look, name)
        return value.__class__ is not int and self.number(value, look, name, self.compiled.captured[place])

    # ------------------------------------------------------------------------------------- results

    def packed(self, graph: Any) -> str | None:
        """The results as the function returned them, as a text with a place for each; None for what has no such text."""
        return _structure(graph.pack([_Place(number) for number in range(len(graph.outputs))]))

    def filled(self, packed: str, results: Sequence[str]) -> str:
        return packed.format(*results)

    # ------------------------------------------------------------------------------------- numbers

    def scalar_lines(self, elsewhere: str, packed: str) -> list[str]:
        body = Body(self.compiled.graph)
        for name, rows in body.rows.items():
            self.constants[f"<compgraph {name} {self.serial}>"] = rows
            self.bound.append(f"{name} = '<compgraph {name} {self.serial}>'")
        if [body.names[node] for node in self.compiled.graph.inputs] != self.parameters:
            return [elsewhere]
        self.namespace.update(body.functions)
        careful = self.bind("careful", Careful(self.compiled.graph))
        numbers = [f"{'.__class__ is '.join(self.parameters)}.__class__ is _float"] * bool(self.parameters)
        conditions = " and ".join([*self.conditions, *numbers])
        head = [f"if not ({conditions}):", f"    {elsewhere}"] if conditions else []
        again = [f"_r{self.serial}_{place}" for place in range(len(body.results))]
        return [
            *head, *self.bound, "try:", *(f"    {line}" for line in body.lines), f"    return {packed.format(*body.results)}",
            "except (ArithmeticError, ValueError):  # where NumPy gives inf or NaN",
            f"    {', '.join(again)}, = {careful}({', '.join(self.parameters)})", f"    return {packed.format(*again)}",
        ]  # fmt: skip


class _Place:
    """Stands for a result while its container is looked at."""

    def __init__(self, number: int) -> None:
        self.number = number


def _structure(tree: Any) -> str | None:
    if isinstance(tree, _Place):
        return f"{{{tree.number}}}"
    kind = tree.__class__
    if kind is dict and all(key.__class__ in (str, int) for key in tree):
        parts = [(repr(key).replace("{", "{{").replace("}", "}}"), _structure(value)) for key, value in tree.items()]
        return None if any(part is None for _, part in parts) else "{{" + ", ".join(f"{key}: {part}" for key, part in parts) + "}}"
    if kind in (list, tuple):
        inner = [_structure(one) for one in tree]
        if any(one is None for one in inner):
            return None
        text = ", ".join(one for one in inner if one)
        return f"[{text}]" if kind is list else f"({text}{',' * (len(inner) == 1)})"
    return None
