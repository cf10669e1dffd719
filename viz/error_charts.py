"""The error of numerical derivatives against the step: truncation, rounding, and the complex step that has only one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.comparison import point_of
from compgraph.errors import CompgraphError, InputError
from compgraph.graph import Graph
from compgraph.precision import DIGITS, column
from compgraph.ways import Point, complex_graph
from viz.charts import Array, Chart, Line, decades, draw_lines, note

MOST_INPUTS = 4  # that the function is differentiated by, and fewer where it is large
MOST_OPERATIONS = 100_000  # of the function, which runs some 650 times for each input
AT_ONCE = 60_000, 2_000  # operations, and nodes, of the function for all inputs together, about a second
A_DECADE = 8  # steps
FLOOR = 1e-18  # relative errors below it, and 0, are drawn there

Way = Callable[[int, float], Array]  # the number of an input and a step -> the derivatives by it


def step_sizes(f_or_graph: Callable[..., Any] | Graph, /, *args: Any, theme: str = "auto", **named: Any) -> StepSizes:
    """The error of forward difference, central difference and complex step for steps from 1e-16 to 1, beside 50 digits.

    >>> import numpy as np, viz
    >>> chart = viz.step_sizes(np.exp, 1.0)
    >>> step, error = chart.best("central difference")
    >>> 1e-7 < step < 1e-4, error < 1e-10, chart.best("complex step")[1] < 3e-16
    (True, True, True)

    f(x + h) - f(x) over h has a truncation error of h f''/2 and a rounding error of about eps |f|/h; their sum is least near
    h = sqrt(eps). f(x + h) - f(x - h) over 2h is truncated by h² f'''/6, best near h = cbrt(eps). Im f(x + ih)/h is truncated
    by as much and subtracts nothing. (Press et al., "Numerical Recipes", 3rd ed., 2007, section 5.7; Squire & Trapp, SIAM Review
    40, 1998.) Steps are in units of max(1, |x|), as in `compare`.

    Of several inputs or outputs the largest error is shown, relative to the largest derivative, over the first entries of
    the inputs: at most 4, and of a large function 1. `theme` is "auto", "light" or "dark". Raises `InputError` for what
    `compare` refuses, where mpmath cannot evaluate the function, where there is no derivative, and above 100,000 operations.
    """
    point = point_of(f_or_graph, args, named, "step_sizes")
    if point.cost.operations > MOST_OPERATIONS:
        said = f"{point.cost.operations:,} operations, which would run at hundreds of steps; take a smaller function"
        raise InputError(f"step_sizes: {point.graph.name} has {said}")
    return StepSizes(point, theme)


class StepSizes(Chart):
    """What `step_sizes` found: `steps`, and `errors` by the name of the way, each as long as `steps`."""

    def __init__(self, point: Point, theme: str) -> None:
        super().__init__(theme)
        self.name = point.graph.name
        sizes = point.cost.operations, len(point.graph.nodes)
        most = min(limit // max(size, 1) for limit, size in zip(AT_ONCE, sizes, strict=True))
        self.inputs = max(1, min(point.n, MOST_INPUTS, most))
        self.title = f"Error of numerical derivatives of {self.name} against the step"
        self.eps = max(float(np.finfo(node.dtype).eps) for node in point.inputs)
        self.scaled = any(np.any(np.abs(point.values[place]) > 1) for place in point.places)
        self.steps = np.logspace(-16, 0, 16 * A_DECADE + 1)
        truth = _reference(point, self.inputs)
        complexes = complex_graph(point)
        self.note = complexes if isinstance(complexes, str) else ""
        with np.errstate(all="ignore"):  # a step can leave the domain; the error there is not drawn
            ways = _differences(point) | ({} if isinstance(complexes, str) else _complex_step(point, complexes))
            self.errors = {name: _errors(self.steps, point, truth, way) for name, way in ways.items()}

    @property
    def optima(self) -> dict[str, float]:
        """The steps at which theory balances truncation and rounding for f, f'' and f''' of one size."""
        return {"forward difference": self.eps ** (1 / 2), "central difference": self.eps ** (1 / 3)}

    def best(self, way: str) -> tuple[float, float]:
        """The step with the least error of a way, and that error."""
        place = int(np.nanargmin(self.errors[way]))
        return float(self.steps[place]), float(self.errors[way][place])

    def _cells(self) -> list[tuple[str, ...]]:
        found = [
            (f"{step:.0e}", *(f"{errors[place]:.1e}" for errors in self.errors.values()))
            for place, step in enumerate(self.steps)
            if place % A_DECADE == 0
        ]
        return [("step", *self.errors), *found]

    def __repr__(self) -> str:
        least = {way: self.best(way)[1] for way in self.errors}
        said = ", ".join(f"{way} {error:.0e}" if error else f"{way} 0" for way, error in least.items())
        return f"StepSizes({self.name}: {len(self.steps)} steps, {said.replace(',', ' at best,', 1)})"

    def _draw(self, figure: Any, colours: dict[str, str]) -> None:
        axes = figure.subplots()
        low = max(FLOOR, min(self.eps, 1e-15) * 1e-2)
        high = 10.0
        axes.set(xscale="log", yscale="log", xlim=(self.steps[0] / 2, 2), ylim=(low / 2, high))
        axes.set_xlabel("step h" + (", in units of max(1, |x|)" if self.scaled else ""))
        axes.set_ylabel("error relative to the derivative, in 50 digits")
        decades(axes.xaxis, 1e-16, 1)
        decades(axes.yaxis, low, high)
        lines = [Line(way, self.steps, np.clip(errors, low, None), place) for place, (way, errors) in enumerate(self.errors.items())]
        draw_lines(axes, lines, colours, marks=A_DECADE)
        for place, (sign, step) in enumerate(zip("√∛", self.optima.values(), strict=True)):
            axes.axvline(step, color=colours[f"line-{place}"], linewidth=0.9, linestyle=(0, (1.5, 2)))
            note(axes, f"h = {sign}ε", (step, high / 2), colours, ha="center", va="top")
        axes.axhline(self.eps, color=colours["muted"], linewidth=0.9, linestyle=(0, (1.5, 2)))
        note(axes, f"ε = {self.eps:.1e}", (1, self.eps), colours, ha="right", va="bottom", xytext=(0, 3))
        note(axes, "← rounding grows", (self.steps[30], 1.0), colours, ha="left", va="center", color=colours["muted"])
        note(axes, "truncation grows →", (self.steps[-20], low * 1e5), colours, ha="center", va="center", color=colours["muted"])
        if self.note:
            note(axes, f"no complex step: {self.note}", (self.steps[0], low), colours, ha="left", va="bottom", xytext=(4, 4))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=3.5)


# -------------------------------------------------------------------------------------------- the errors


def _reference(point: Point, count: int) -> list[tuple[Array, Array]]:
    """Columns of the Jacobian in 50 digits, each as a float and what it lacks, NaN where there is no derivative."""
    try:
        columns = [column(point.graph, point.values, *point.entry(number)) for number in range(count)]
    except (CompgraphError, ValueError, ZeroDivisionError, OverflowError, NotImplementedError) as error:
        raise InputError(f"step_sizes: {point.graph.name} has no reference in {DIGITS} digits: {error}") from error
    entries = [[exact for part in parts for exact in part.ravel()] for parts in columns]
    whole = [np.array([np.nan if exact is None else float(exact) for exact in column]) for column in entries]
    rest = [np.array([np.nan if exact is None else float(exact - float(exact)) for exact in column]) for column in entries]
    if not any(np.any(np.isfinite(column)) for column in whole):
        raise InputError(f"step_sizes: {point.graph.name} has no derivative at this point: it has a kink or a jump; see cg.explain")
    return list(zip(whole, rest, strict=True))


def _errors(steps: Array, point: Point, truth: list[tuple[Array, Array]], way: Way) -> Array:
    """The largest error at each step, relative to the largest derivative."""
    size = max(float(np.nanmax(np.abs(whole))) for whole, _ in truth) or 1.0
    found = np.full(len(steps), np.nan)
    for place, step in enumerate(steps.tolist()):
        each = []
        for number, (whole, rest) in enumerate(truth):
            at, entry = point.entry(number)
            h = step * max(1.0, float(abs(np.ravel(point.values[at])[entry])))
            each.append(np.abs((way(number, h) - whole) - rest)[np.isfinite(whole)])
        found[place] = np.max(np.concatenate(each)) / size
    return np.where(found < 10.0**-DIGITS, 0.0, found)  # what the reference does not know


def _program(graph: Graph) -> Callable[[list[Any]], Array]:
    """The graph as the program that is printed, with the entries of all outputs in a row."""
    run = programs.define(graph.to_source(), graph.name, {}, title=f"step_sizes {graph.name}")

    def flat(values: list[Any]) -> Array:
        parts = run(*values)
        return np.concatenate([np.ravel(part) for part in (parts if len(graph.outputs) > 1 else [parts])])

    return flat


def _differences(point: Point) -> dict[str, Way]:
    run = _program(point.graph)

    def at(number: int, step: float) -> Array:
        return run(point.moved(number, step)).astype(np.float64)

    start = run(point.values).astype(np.float64)
    return {
        "forward difference": lambda number, h: (at(number, h) - start) / h,
        "central difference": lambda number, h: (at(number, h) - at(number, -h)) / (2 * h),
    }


def _complex_step(point: Point, complexes: Graph) -> dict[str, Way]:
    run = _program(complexes)

    def way(number: int, h: float) -> Array:
        values = [value.astype(node.dtype) for value, node in zip(point.moved(number, h * 1j), complexes.inputs, strict=True)]
        return run(values).imag.astype(np.float64) / h

    return {"complex step": way}
