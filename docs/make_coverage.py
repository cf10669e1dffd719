"""Write docs/coverage.md from the tables themselves: what has a derivative, of which kind, in which modes.

    python docs/make_coverage.py

Nothing in the page is said here: the rows are PRIMITIVES, UFUNCS and FUNCTIONS, and a mode is there where the rule is
that it runs on. `tests/test_coverage.py` regenerates the page and compares.
"""

from __future__ import annotations

import contextlib
import dis
import types
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph.functions import inspecting
from compgraph.functions.registry import FUNCTIONS
from compgraph.graph import PRIMITIVES, UFUNCS, Primitive, active_nodes, ancestors

PAGE = Path(__file__).with_name("coverage.md")
SHIPPED = dict(PRIMITIVES)  # without what an example or a test adds later


class Row(NamedTuple):
    """A line of the page. `forward` and `reverse` say what the sweep runs, and are empty where it has nothing to run."""

    function: str
    how: str
    kinds: str
    forward: str
    reverse: str
    vector: str
    sympy: str

    @property
    def differentiable(self) -> bool:
        return self.forward != NONE

    @property
    def has_one_mode_only(self) -> bool:
        return bool(self.forward) != bool(self.reverse)


NONE = "none"

# ---------------------------------------------------------------------------------------- primitives


def arity(primitive: Primitive) -> int | None:
    """How many arguments a primitive takes; None for any number."""
    return None if "*" in primitive.fields else len({field for field in primitive.fields if field.isdigit()})


def forward_rule(primitive: Primitive, index: int) -> str:
    """What pushes a tangent of argument `index`; see `forward_mode.push`."""
    if not primitive.differentiable:
        return NONE
    if primitive.partials is not None and index < len(primitive.partials) and primitive.partials[index] is not None:
        return "partial"
    if primitive.groups is not None and (primitive.groups == () or any(index in group for group in primitive.groups)):
        return "itself"
    return "tangent" if primitive.tangent is not None else ""


def reverse_rule(primitive: Primitive, index: int) -> str:
    """What pulls an adjoint back to argument `index`; see `reverse_mode.transposed`."""
    if not primitive.differentiable:
        return NONE
    rules = primitive.transpose
    transpose = rules is not None and (not isinstance(rules, tuple) or (index < len(rules) and rules[index] is not None))
    kind = primitive.kind(index)
    if kind == "elementwise":
        return "partial"
    if kind == "general":
        return "transposed tangent"
    return "transpose" if transpose else ""


def joined(parts: list[str]) -> str:
    """One word where all arguments have the same, and one an argument where not; a dash where an argument has none."""
    shown = [part or "–" for part in parts]
    return shown[0] if len(set(shown)) == 1 else ", ".join(shown)


def sympy_form(primitive: Primitive) -> str:
    """The primitive as SymPy prints it; a dash where it has no form or needs its parameters."""
    if primitive.sympy is None:
        return "–"
    import sympy

    count = arity(primitive)
    symbols = ("x",) if count == 1 else ("x1", "x2", "x3", "x4")[: 2 if count is None else count]
    names = [sympy.Symbol(symbol, real=True) for symbol in symbols]
    try:
        return f"`{primitive.sympy(sympy, *names)}`".replace("|", r"\|")
    except TypeError:
        return "yes"  # a form that depends on the parameters


def modes_of(primitive: Primitive) -> tuple[str, str]:
    """What the two sweeps run; empty where there is an argument that only the other one can differentiate by."""
    places = range(1 if (count := arity(primitive)) is None else count)
    forward = [forward_rule(primitive, index) for index in places]
    reverse = [reverse_rule(primitive, index) for index in places]
    if not any(forward) or not any(reverse):
        return joined(forward) if any(forward) else "", joined(reverse) if any(reverse) else ""
    lacking = [bool(one) != bool(other) for one, other in zip(forward, reverse, strict=True)]
    if any(lacking):
        forward_only = any(one and not other for one, other in zip(forward, reverse, strict=True))
        return (joined(forward), "") if forward_only else ("", joined(reverse))
    return joined(forward), joined(reverse)


def row_of(name: str, primitive: Primitive) -> Row:
    count = arity(primitive)
    kinds = [primitive.kind(index) if primitive.differentiable else NONE for index in range(1 if count is None else count)]
    forward, reverse = modes_of(primitive) if count != 0 else (NONE, NONE)
    vector = "batch rule" if primitive.batch is not None else "one by one"
    how = "primitive" if name.rpartition(".")[2] == primitive.name else f"primitive `{primitive.name}`"
    return Row(f"`{name}`", how, joined(kinds) if kinds else NONE, forward, reverse, vector, sympy_form(primitive))


# ---------------------------------------------------------------------------------------- composites


OPERATORS = {"*": "multiply", "/": "divide", "**": "power", "@": "matmul"}  # on shapes as well, but not where nothing has a derivative


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def referred(function: Callable[..., Any]) -> Iterator[Any]:
    """What a function's text refers to: names of primitives, and functions of this project or of NumPy."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    yield from (cell for cell in cells if isinstance(cell, (str, types.FunctionType)))
    for code in codes(function.__code__):
        yield from (constant for constant in code.co_consts if isinstance(constant, str))
        steps = [step.argrepr for step in dis.get_instructions(code) if step.opname == "BINARY_OP"]
        yield from (OPERATORS[symbol] for symbol in steps if symbol in OPERATORS)
        for name in code.co_names:
            yield function.__globals__.get(name)
            yield from (vars(module)[name] for module in (np, np.linalg, np.fft) if callable(vars(module).get(name)))


@cache
def made_of(function: Callable[..., Any]) -> frozenset[str]:
    """The primitives that a composite's text names, itself or through the functions that it calls."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found |= {one} & SHIPPED.keys()
        elif isinstance(one, np.ufunc):
            found |= {UFUNCS[one]} if one in UFUNCS else set()
        elif callable(one) and id(one) not in seen:
            seen.add(id(one))
            ours = FUNCTIONS.get(one, one) if getattr(one, "__hash__", None) else one
            if isinstance(ours, types.FunctionType) and ours.__module__.startswith("compgraph.functions"):
                waiting += referred(ours)
    return frozenset(found)


_X, _SQUARE = np.array([0.3, 0.9, 1.7]), np.array([[2.0, 0.3], [0.3, 1.0]])
# What a function is called with to see whether a derivative flows: `x` stands for the node.
PROBES: tuple[Callable[[Any], tuple[Any, ...]], ...] = (
    lambda x: (x,), lambda x: (x, x), lambda x: (x, 1), lambda x: ([x, x],), lambda x: (x > 0.5, x), lambda x: (x, np.array([0, 1])),
    lambda x: (x, 0.5), lambda x: (x, x, x), lambda x: ([x > 0.5], [x]), lambda x: (np.array([0, 1]), [x, x]),
    lambda x: (x, [x > 0.5], [lambda part: part**2]), lambda x: ("i,i->i", x, x), lambda x: ("ij,jk", x, x),
    lambda x: (x, np.array([[0, 1]]), 1), lambda x: (x, 0, x[0]), lambda x: (x, x[0], 0),
)  # fmt: skip


def derivative_flows(function: Callable[..., Any]) -> bool | None:
    """Whether a derivative flows through a NumPy function, as seen by calling it on a node; None where no call succeeds."""
    for value in (_X, _SQUARE, _SQUARE[None]):
        for probe in PROBES:
            x = cg.variable(value)
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                warnings.simplefilter("ignore")
                result = function(*probe(x))
                leaves = result if isinstance(result, (tuple, list)) else [result]
                found = [leaf for leaf in leaves if isinstance(leaf, cg.Node)]
                return any(node in active_nodes(ancestors(found), [x]) for node in found)
    return None


def refuses(function: Callable[..., Any]) -> bool:
    """Whether a function does nothing but raise."""
    return not any(step.opname.startswith("RETURN") for step in dis.get_instructions(function))


def public_name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy.", "np.")


def row_of_function(function: Any, ours: Callable[..., Any]) -> Row:
    name, module = public_name(function), ours.__module__.rpartition(".")[2]
    parts = [SHIPPED[part] for part in made_of(ours)]
    if function.__name__ in SHIPPED and function.__name__ in made_of(ours):
        return row_of(name, SHIPPED[function.__name__])
    if refuses(ours):
        return Row(f"`{name}`", "refused: it writes into its argument", NONE, NONE, NONE, "–", "–")
    flows = derivative_flows(function)
    if flows is None:
        flows = ours.__module__ != inspecting.__name__ and any(part.differentiable for part in parts)
    if not flows:
        return Row(f"`{name}`", f"`functions/{module}.py`", NONE, NONE, NONE, "–", "–")
    both = all(all(modes_of(part)) for part in parts if part.differentiable)
    vector = "by its parts"
    return Row(f"`{name}`", f"composite, `functions/{module}.py`", "of its parts", vector, vector if both else "", vector, "by its parts")


# ---------------------------------------------------------------------------------------------- page


def ufunc_rows() -> list[Row]:
    """NumPy's own ufuncs; those of SciPy, which is optional, are primitives without a ufunc here."""
    names = sorted({name for name, entry in vars(np).items() if isinstance(entry, np.ufunc) and entry in UFUNCS})
    return [row_of(f"np.{name}", SHIPPED[UFUNCS[getattr(np, name)]]) for name in names]


def function_rows() -> list[Row]:
    found = {public_name(function): (function, ours) for function, ours in FUNCTIONS.items()}
    return [row_of_function(*found[name]) for name in sorted(found)]


def other_rows() -> list[Row]:
    """Primitives that are no function of NumPy's: those behind operators, composites and `cg.*`, and those of SciPy."""
    named = {UFUNCS[ufunc] for ufunc in UFUNCS} | {function.__name__ for function in FUNCTIONS}
    return [
        row_of(f"{primitive.module}.{name}" if primitive.module else name, primitive)
        for name, primitive in sorted(SHIPPED.items()) if name not in named or primitive.module
    ]  # fmt: skip


def table(rows: list[Row]) -> str:
    heads = ("function", "how", "kind, by argument", "forward", "reverse", "order", "vector mode", "SymPy")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        order = "any" if row.differentiable else "–"
        lines.append(f"| {' | '.join((*row[:3], row.forward or 'MISSING', row.reverse or 'MISSING', order, *row[5:]))} |")
    return "\n".join(lines)


def sections() -> dict[str, list[Row]]:
    return {"Ufuncs": ufunc_rows(), "Functions": function_rows(), "Other primitives": other_rows()}


def page() -> str:
    parts = sections()
    rows = [row for section in parts.values() for row in section]
    differentiable = [row for row in rows if row.differentiable]
    one_mode = [row for row in rows if row.has_one_mode_only]
    lines = [
        "# Coverage",
        "",
        "Written by `docs/make_coverage.py` from the tables of the engine. Each primitive states its derivative once, so what",
        "forward mode pushes through, reverse mode pulls back through, and a derivative is graph again: any order, in any nesting.",
        "",
        f"**{len(rows)} rows: {len(differentiable)} with a derivative in both modes, {len(rows) - len(differentiable)} without a "
        f"derivative, said aloud, {len(one_mode)} with one mode only.** {len(SHIPPED)} primitives.",
        "",
        "- *partial*: the local partial times the tangent, or times the adjoint, which is then summed over broadcast axes.",
        "- *itself*: the operation is linear, and is applied to the tangent. *transpose*: its transpose, applied to the adjoint.",
        "- *tangent*: a rule in graph operations. *transposed tangent*: the graph of that rule, run backward.",
        "- *none*: the derivative is zero wherever it exists, or the result is no number; both sweeps stop there.",
        "- *by its parts*: a composite of primitives, without a rule of its own.",
        "- Vector mode carries many tangents or adjoints at once by a *batch rule*, or else applies the operation *one by one*.",
        "",
    ]  # fmt: skip
    for title, section in parts.items():
        lines += [f"## {title}", "", table(section), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {sum(map(len, sections().values()))} rows, compgraph {cg.__version__}")
