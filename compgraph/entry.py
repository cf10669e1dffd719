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

Names that the code uses carry a serial number, so that a thread that is still inside the old code finds what it knew.
"""

from __future__ import annotations

import inspect
import itertools
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.targets.scalar_target import Body, Careful

_serial = itertools.count(1)
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NUMBERS = {float: "_float64({})", int: "_float64({})", np.float64: "{}", np.float32: "{}"}
_BUILTINS = {"_dict": dict, "_list": list, "_tuple": tuple, "_float": float, "_int": int, "_len": len, "_ndarray": np.ndarray}


def install(name: str, dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """A function that hands every call on to `dispatch(args, kwargs)`, until `specialise` gives it something better to do."""
    source = f"def {name}(*args, **kwargs):\n    return _dispatch(args, kwargs)\n"
    types = {"_float32": np.float32, "_float64": np.float64}
    return programs.define(source, name, {"_dispatch": dispatch, **_BUILTINS, **types}, title="entry")


def specialise(call: Any, signature: inspect.Signature, args: Sequence[Any], compiled: Any) -> None:
    """Give `call` the code for arguments like `args`, if they can be known by sight.

    `compiled` is the program, with its graph (`traced`), what it captures and whether it takes plain floats (`scalar`).
    """
    parameters = list(signature.parameters.values())
    names = [parameter.name for parameter in parameters]
    simple = all(parameter.kind in _PLAIN and parameter.default is parameter.empty for parameter in parameters)
    if not simple or len(args) != len(names) or not all(programs.is_name(name) and name[0] != "_" for name in names):
        return
    writer = _Writer(next(_serial), names, compiled)
    lines = writer.lines(args)
    if lines is None:
        return
    name = call.__code__.co_name
    source = f"def {name}({', '.join(names)}):\n" + textwrap.indent("\n".join(lines), "    ")
    function = programs.define(source + "\n", name, {}, title="entry")
    call.__globals__.update(writer.namespace)
    call.__code__ = function.__code__


class _Writer:
    def __init__(self, serial: int, parameters: list[str], compiled: Any) -> None:
        self.serial, self.parameters, self.compiled = serial, parameters, compiled
        self.namespace: dict[str, Any] = {}
        self.conditions: list[str] = []
        self.values: list[str] = []  # one text a leaf, as the program takes it
        self.leaves: list[str] = []  # and as it was given

    def lines(self, args: Sequence[Any]) -> list[str] | None:
        """The code for arguments like these; None where a look cannot tell them from others."""
        graph, compiled = self.compiled.traced, self.compiled
        together = f"({', '.join(self.parameters)}{',' * (len(self.parameters) == 1)})"
        elsewhere = f"return _dispatch({together}, {{}})"
        packed = self.packed(graph)
        if compiled.scalar and not compiled.captured and packed is not None and all(arg.__class__ is float for arg in args):
            return self.scalar_lines(elsewhere, packed)
        if not all(self.known(arg, name) for name, arg in zip(self.parameters, args, strict=True)):
            return None
        given = sorted(set(compiled.donated.values()))
        self.conditions += [f"{self.leaves[one]} is not {self.leaves[other]}" for place, one in enumerate(given) for other in given[:place]]
        program, explain = self.bind("program", compiled.program.function), self.bind("explain", compiled.explain)
        values = [f"_float({value})" if compiled.scalar else value for value in self.values]
        values += [f"{self.bind(f'captured{place}', node)}.value" for place, node in enumerate(compiled.captured)]
        results = [f"r{self.serial}_{place}" for place in range(len(graph.outputs))]
        taken = ", ".join(results) + ","
        back = self.filled(packed, results) if packed is not None else f"{self.bind('pack', graph.pack)}([{taken}])"
        run = f"{program}({', '.join(values)})"
        head = [f"if not ({' and '.join(self.conditions)}):", f"    {elsewhere}"] if self.conditions else []
        return [
            *head, "try:", f"    {taken} = {run}", "except Exception as error:",
            f"    {explain}(error, ({', '.join(values)},))", "    raise", f"return {back}",
        ]  # fmt: skip

    def bind(self, what: str, value: Any) -> str:
        name = f"_{what}_{self.serial}"
        self.namespace[name] = value
        return name

    # ----------------------------------------------------------------------------------- arguments

    def known(self, arg: Any, text: str) -> bool:
        """Add what tells an argument like `arg`, which the code finds at `text`, from others."""
        kind = arg.__class__
        if kind is dict:
            if not all(key.__class__ in (str, int) for key in arg):
                return False
            self.conditions += [f"{text}.__class__ is _dict", f"_len({text}) == {len(arg)}", *(f"{key!r} in {text}" for key in arg)]
            return all(self.known(value, f"{text}[{key!r}]") for key, value in arg.items())
        if kind is list or kind is tuple:
            self.conditions += [f"{text}.__class__ is _{kind.__name__}", f"_len({text}) == {len(arg)}"]
            return all(self.known(value, f"{text}[{place}]") for place, value in enumerate(arg))
        node = self.compiled.traced.inputs[len(self.values)]
        if not text.isidentifier():  # found once, then by a name of its own
            name = f"a{self.serial}_{len(self.values)}"
            self.leaves.append(name)
            text, look = name, f"({name} := {text})"
        else:
            self.leaves.append(text)
            look = text
        if kind is np.ndarray and arg.ndim and arg.dtype is np.dtype(arg.dtype.type) and node.dtype is arg.dtype:
            dtype = f"_{arg.dtype.name}_dtype"
            self.namespace[dtype] = arg.dtype
            self.conditions += [f"{look}.__class__ is _ndarray", f"{text}.shape == {arg.shape!r}", f"{text}.dtype is {dtype}"]
            self.values.append(text)
            return True
        if kind in _NUMBERS and node.dtype == (np.float32 if kind is np.float32 else np.float64):
            self.conditions.append(f"{look}.__class__ is _{kind.__name__}")
            self.values.append(_NUMBERS[kind].format(text))
            return kind is not int or abs(arg) <= 2**53
        return False

    # ------------------------------------------------------------------------------------- results

    def packed(self, graph: Any) -> str | None:
        """The results as the function returned them, as a text with a place for each; None for what has no such text."""
        return _structure(graph.pack([_Place(number) for number in range(len(graph.outputs))]))

    def filled(self, packed: str, results: Sequence[str]) -> str:
        return packed.format(*results)

    # ------------------------------------------------------------------------------------- numbers

    def scalar_lines(self, elsewhere: str, packed: str) -> list[str]:
        body = Body(self.compiled.graph)
        if [body.names[node] for node in self.compiled.graph.inputs] != self.parameters:
            return [elsewhere]
        self.namespace.update(body.namespace)
        careful = self.bind("careful", Careful(self.compiled.graph))
        head = [f"if not ({'.__class__ is '.join(self.parameters)}.__class__ is _float):", f"    {elsewhere}"] if self.parameters else []
        again = [f"r{self.serial}_{place}" for place in range(len(body.results))]
        return [
            *head, "try:", *(f"    {line}" for line in body.lines), f"    return {packed.format(*body.results)}",
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
