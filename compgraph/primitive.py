"""Primitives: the operations that have a rule of their own, and the table that holds them."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.errors import (
    GraphError,
)

Shape = tuple[int, ...]
Aval = tuple[Shape, np.dtype[Any]]  # what is known of an abstract value


class _Direct:
    """NumPy, whose reductions are the ufuncs' own: on small arrays the look at the arguments costs as much as the sum."""

    def __init__(self) -> None:
        vars(self).update(vars(np))
        self.sum, self.prod, self.max, self.min = np.add.reduce, np.multiply.reduce, np.maximum.reduce, np.minimum.reduce

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


_direct = _Direct()


class Primitive:
    """An operation with its own rule. The fields are said in full in `primitives/kinds.py`, which makes them.

    `code` is the one statement of what is computed: `evaluate` is compiled from it, and programs print it.
    `{0}`, `{1}` stand for arguments, `{*}` for all of them, `{axis}` for a parameter, `xp` for the array library. With
    `module="scipy.special"` it may also say `special.erf({0})`; the module is imported when it first computes.
    """

    def __init__(
        self,
        name: str,
        code: str,
        *,
        infer: Callable[..., Aval],
        partials: tuple[Callable[..., Any] | None, ...] | None = None,
        transpose: Callable[..., Any] | tuple[Callable[..., Any] | None, ...] | None = None,
        groups: tuple[tuple[int, ...], ...] | None = None,
        tangent: Callable[..., Any] | None = None,
        differentiable: bool = True,
        analytic: bool = False,
        takes_complex: bool | str | None = None,
        selects: bool = False,
        batch: Callable[..., Any] | None = None,
        kink: Callable[..., Any] | None = None,
        helper: Callable[..., Any] | None = None,
        module: str = "",
        sympy: Callable[..., Any] | None = None,
        label: str = "",
        latex: str = "",
        cost: str | Callable[..., dict[str, int]] = "moves",
    ) -> None:
        self.name = name
        self.code = code
        self.infer = infer
        self.partials = partials
        self.transpose = transpose
        self.groups = groups
        self.tangent = tangent
        self.differentiable = differentiable
        self.analytic = analytic
        # Partials hold for complex numbers where the function is holomorphic; a name says which primitive stands in there.
        self.takes_complex = analytic or (partials is None and tangent is None) if takes_complex is None else takes_complex
        self.selects = selects
        self.batch = batch
        self.kink = kink
        self.helper = helper
        self.module = module
        self.sympy = sympy
        self.stated: tuple[str, Any] | None = None  # the kind of rule and the rule, as a user gave them
        self.without_sympy = ""  # why SymPy has no form of it, where that is so
        self.label = label or name
        self.latex = latex
        self.cost = cost
        self.fields = [field for _, field, _, _ in string.Formatter().parse(code) if field is not None]
        self.evaluate: Callable[..., Any] = self.evaluator(np)

    def evaluator(self, xp: Any, there: dict[str, Any] | None = None) -> Callable[..., Any]:
        """`code` as a function of arrays, computing with the library `xp`; `there` has what stands there for its helper and module."""
        variadic = "*" in self.fields
        places = sorted({field for field in self.fields if field.isdigit()}, key=int)
        names = list(dict.fromkeys(field for field in self.fields if field.isidentifier()))
        texts = {**{name: name for name in names}, "*": "*xs"}
        positional = ["*xs"] if variadic else [f"x{place}" for place in places]
        if "index" in names:  # whose places stand for the arguments that follow those of the code
            texts["index"] = f"(placed(index, {len(places)}, indices) if indices else index)"
            positional.append("*indices")
            variadic = True
        body = string.Formatter().vformat(self.code, [f"x{place}" for place in places], texts)
        signature = ", ".join(positional + (["*"] * (not variadic)) * bool(names) + names)
        namespace = {"xp": _direct if xp is np else xp, "placed": placed}
        if self.helper is not None:
            namespace[self.helper.__name__] = self.helper
        if self.module:
            namespace[self.module.rpartition(".")[2]] = programs.Late(self.module)
        namespace.update(there or {})
        return programs.define(f"def {self.name}_({signature}):\n    return {body}\n", f"{self.name}_", namespace, title=self.name)

    def kind(self, index: int) -> str:
        """Which of the four kinds of derivative argument `index` has.

        >>> import compgraph as cg
        >>> [cg.PRIMITIVES["where"].kind(index) for index in range(3)]
        ['none', 'linear', 'linear']
        """
        if self.partials is not None and self.partials[index] is not None:
            return "elementwise"
        if self.groups == () or any(index in group for group in self.groups or ()):
            return "linear"
        return "none" if self.tangent is None or not self.differentiable else "general"

    def is_index(self, place: int) -> bool:
        """Whether argument `place` is an array of indices, which stands at a place of the parameter `index`."""
        return "index" in self.fields and place >= sum(field.isdigit() for field in self.fields)

    def linear_groups(self, count: int) -> tuple[tuple[int, ...], ...]:
        """The arguments, of `count`, in which the primitive is jointly linear; `()` stands for all of them."""
        if not self.groups:
            return () if self.groups is None else (tuple(range(count)),)
        return tuple(group for group in self.groups if group[0] < count)

    def __repr__(self) -> str:
        return f"Primitive({self.name!r}, {self.code!r})"


def placed(index: Any, first: int, indices: Sequence[Any]) -> Any:
    """An index with arguments at its places: the text "{1}" in it stands for argument 1.

    >>> placed((slice(None), "{1}"), 1, [np.array([2, 0])])
    (slice(None, None, None), array([2, 0]))

    `indices` are the arguments from number `first` on. Raises `KeyError` for any other text.
    """
    arguments = {f"{{{number}}}": one for number, one in enumerate(indices, first)}
    if isinstance(index, tuple):
        return tuple(arguments[part] if isinstance(part, str) else part for part in index)
    return arguments[index] if isinstance(index, str) else index


PRIMITIVES: dict[str, Primitive] = {}

# Operations that hold graphs of their own, such as a loop its body: known by name, but no rows of the table.
CONTROL: dict[str, Primitive] = {}


def register(primitive: Primitive) -> Primitive:
    if primitive.name in PRIMITIVES:
        raise GraphError(f"there is a primitive {primitive.name!r} already")
    PRIMITIVES[primitive.name] = primitive
    return primitive
