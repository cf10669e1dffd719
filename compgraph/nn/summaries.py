"""The table of a model: its modules, the shapes that they give, and what their parameters take."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph.nn.randomness import using
from compgraph.nn.substitution import functional_call
from compgraph.tables import framed

HEADERS = ("layer", "output shape", "parameters", "bytes")
LEFT = 2  # columns of text; the others are numbers


class Row(NamedTuple):
    """One module. What is inside its children counts there, and what is shared counts where it comes first."""

    name: str  # dotted, empty for the model itself
    kind: str
    shapes: tuple[tuple[int, ...], ...]  # of its outputs; empty where it was not called
    calls: int
    parameters: int
    buffers: int
    nbytes: int  # of both


class Summary(NamedTuple):
    """What `Module.summary` returns: it prints itself as a table, and shows itself as one in a notebook."""

    name: str
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(row.parameters for row in self.rows)

    @property
    def buffers(self) -> int:
        return sum(row.buffers for row in self.rows)

    @property
    def nbytes(self) -> int:
        """The bytes of parameters and buffers."""
        return sum(row.nbytes for row in self.rows)

    def cells(self) -> list[tuple[str, ...]]:
        """The texts of the table: a row a module, and one for all."""
        model, *inside = self.rows
        own = [model] if not inside or model.parameters or model.buffers else []
        rows = [_cells("  " * row.name.count(".") + f"{row.name.rpartition('.')[2]} {row.kind}".strip(), row) for row in [*own, *inside]]
        return [*rows, _cells("all", model._replace(parameters=self.parameters, nbytes=self.nbytes))]

    def note(self) -> str:
        return f"{self.buffers:,} of these numbers are buffers, which are not learnt" if self.buffers else ""

    def __str__(self) -> str:
        cells = [HEADERS, *self.cells()]
        widths = [max(len(row[column]) for row in cells) for column in range(len(HEADERS))]
        sides = [str.ljust] * LEFT + [str.rjust] * (len(HEADERS) - LEFT)
        lines = ["  ".join(pad(text, width) for pad, text, width in zip(sides, row, widths, strict=True)) for row in cells]
        return "\n".join([self.name, *lines, *filter(None, [self.note()])])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            styled = [(f' style="padding-left: {0.6 + (len(cell) - len(cell.lstrip())) / 2}em"' if not at else
                       ' style="text-align: right"' if at >= LEFT else "", cell.strip()) for at, cell in enumerate(cells)]  # fmt: skip
            return "<tr>" + "".join(f"<{tag}{style}>{html.escape(cell)}</{tag}>" for style, cell in styled) + "</tr>"

        body = "".join(row(cells, "td") for cells in self.cells())
        note = f"<p>{self.note()}</p>" if self.buffers else ""
        return framed(f"<caption>{html.escape(self.name)}</caption><thead>{row(HEADERS, 'th')}</thead><tbody>{body}</tbody>") + note


def _cells(name: str, row: Row) -> tuple[str, ...]:
    shapes = ", ".join(map(str, row.shapes)) + (f" in {row.calls} calls" if row.calls > 1 else "")
    return name, shapes or "-", f"{row.parameters:,}", f"{row.nbytes:,} B"


def summary(model: Any, *example: Any) -> Summary:
    """See `Module.summary`."""
    shapes, calls = _shapes(model, example) if example else ({}, {})
    seen: set[int] = set()
    rows = []
    for name, module in model.named_modules():
        own = [parameter for _, parameter in module.named_parameters(recurse=False) if id(parameter) not in seen]
        seen.update(map(id, own))
        buffers = list(module.buffers(recurse=False))
        nbytes = sum(math.prod(part.shape) * part.dtype.itemsize for part in [*own, *buffers])
        learnt, kept = (sum(math.prod(part.shape) for part in parts) for parts in (own, buffers))
        rows.append(Row(name, type(module).__name__, shapes.get(module, ()), calls.get(module, 0), learnt, kept, nbytes))
    return Summary(type(model).__name__, tuple(rows))


def _shapes(model: Any, example: tuple[Any, ...]) -> tuple[dict[Any, tuple[tuple[int, ...], ...]], dict[Any, int]]:
    """The shapes of what each module gives, and how often it was called, found on nodes without values."""
    shapes: dict[Any, tuple[tuple[int, ...], ...]] = {}
    calls: dict[Any, int] = {}

    def watched(module: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            shapes[module] = tuple(map(np.shape, _leaves(output)))
            calls[module] = calls.get(module, 0) + 1
            return output

        return run

    def run(*nodes: Any) -> Any:
        functional_call(model, {}, *nodes)
        return nodes  # what the model gives may be of any kind, what a graph gives may not

    dtype = next((parameter.dtype for parameter in model.parameters()), np.dtype(np.float32))
    inputs = [_example(one, dtype) for one in example]
    with _evaluating(model), using(_Zeros()):
        for module in model.modules():
            module.__dict__["forward"] = watched(module, module.forward)
        try:
            cg.trace(run, *inputs)
        finally:
            for module in model.modules():
                del module.__dict__["forward"]
    return shapes, calls


class _Zeros:
    """A source that draws nothing, so that looking at a model leaves its random numbers as they were."""

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.zeros(shape, dtype)

    normal = uniform


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # a batch of one is then a fair example
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _example(one: Any, dtype: Any) -> Any:
    """An array; a tuple of integers is the shape of one."""
    if isinstance(one, tuple) and all(isinstance(length, (int, np.integer)) and length >= 0 for length in one):
        return np.zeros(one, dtype)
    if isinstance(one, (np.ndarray, np.generic, cg.Node, list, int, float)):
        return one if hasattr(one, "dtype") else np.asarray(one)
    raise cg.InputError(f"summary takes examples of the inputs, or their shapes, as in model.summary((32, 64)), not {one!r:.60}{cg.here()}")


def _leaves(output: Any) -> Iterator[Any]:
    """What a module gives, one by one: that of an LSTM is (output, (h, c))."""
    if isinstance(output, (dict, tuple, list)):
        for part in output.values() if isinstance(output, dict) else output:
            yield from _leaves(part)
    else:
        yield output
