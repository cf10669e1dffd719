"""Pictures of what derivatives cost, in operations that the ledger counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.errors import InputError
from compgraph.forward_mode import chosen_inputs
from compgraph.graph import Graph, Node
from compgraph.ledger import OPERATIONS, counts_of, graph_of_function, jacobian_graph, run_cost
from compgraph.loop import dependent
from compgraph.simplification import simplify
from compgraph.swell import Growth, Swell, logistic_map, logistic_mlp, speelpenning
from compgraph.ways import counted
from viz.charts import Array, Chart, Line, decades, draw_lines, note

# ------------------------------------------------------------------------------------ modes over the plane


class ModeCost(NamedTuple):
    """The operations of a Jacobian by one mode: `shared` by all seeds, the function's own among them, and `each` for a seed.

    >>> ModeCost(10, 2.5)(4)
    20.0
    """

    shared: int
    each: float

    def __call__(self, seeds: Any) -> Any:
        return self.shared + self.each * seeds

    @classmethod
    def of(cls, graph: Graph, mode: str) -> ModeCost:
        """Counted in the graph of the Jacobian: what a seed reaches, divided among the seeds, and what none does."""
        derived = jacobian_graph(graph, mode)
        seeds = derived.inputs[len(graph.inputs) :]
        swept = dependent(derived.nodes, seeds)
        total, reached = run_cost(derived).operations, sum(map(_operations, swept))
        count = sum(node.size for node in (chosen_inputs(graph, None) if mode == "forward" else _outputs(graph)))
        return cls(total - reached, reached / count)


def _operations(node: Node) -> int:
    counts = counts_of(node)
    return sum(counts.get(kind, 0) for kind in OPERATIONS)


def _outputs(graph: Graph) -> list[Node]:
    return [node for node in dict.fromkeys(graph.outputs) if node.dtype.kind in "fc"]


def mode_map(f_or_graph: Callable[..., Any] | Graph, /, *args: Any, theme: str = "auto") -> ModeMap:
    """The cost of a Jacobian by both modes over the plane of n inputs and m outputs, with the function on it.

    >>> import numpy as np, viz
    >>> chart = viz.mode_map(lambda x: np.sum(np.tanh(x) ** 2), np.zeros(100))
    >>> chart
    ModeMap(f: 100 inputs, 1 output; forward mode 30,499 operations, reverse mode 799)
    >>> chart.forward, chart.reverse
    (ModeCost(shared=599, each=299.0), ModeCost(shared=599, each=200.0))

    The function's own point is counted: all tangents or all adjoints in one pass, as `cg.compare` has it. The rest of the
    plane is a model, of functions as large as this one: what every seed shares costs what it does here, and each seed costs
    what one does here. On the line both modes take as many operations. `theme` is "auto", "light" or "dark". Raises
    `InputError` where there is nothing to differentiate, and what `cg.cost` does.
    """
    graph = simplify(graph_of_function(f_or_graph, args))
    inputs, outputs = (sum(node.size for node in nodes) for nodes in (chosen_inputs(graph, None), _outputs(graph)))
    if not inputs or not outputs:
        raise InputError(f"mode_map: {graph.name} has no floating-point {'output' if inputs else 'input'} to differentiate")
    return ModeMap(graph, inputs, outputs, theme)


class ModeMap(Chart):
    """What `mode_map` found: `forward` and `reverse`, the operations of a mode as functions of the number of its seeds."""

    size = (6.4, 5.6)

    def __init__(self, graph: Graph, inputs: int, outputs: int, theme: str) -> None:
        super().__init__(theme)
        self.name = graph.name
        self.inputs, self.outputs = inputs, outputs
        self.forward, self.reverse = ModeCost.of(graph, "forward"), ModeCost.of(graph, "reverse")
        self.title = f"Operations of the Jacobian of {self.name} by both modes"

    def crossover(self, inputs: Any, times: float = 1.0) -> Any:
        """The number of outputs with which forward mode takes `times` as many operations as reverse mode; NaN where none does."""
        if not self.reverse.each:
            return np.full(np.shape(inputs), np.nan)[()]
        return (self.forward(inputs) / times - self.reverse.shared) / self.reverse.each

    def _words(self) -> tuple[str, str]:
        counts = (round(self.forward(self.inputs)), round(self.reverse(self.outputs)))
        sides = f"{counted(self.inputs, 'input')}, {counted(self.outputs, 'output')}"
        return sides, f"forward mode {counts[0]:,} operations, reverse mode {counts[1]:,}"

    def __repr__(self) -> str:
        return f"ModeMap({self.name}: {'; '.join(self._words())})"

    def _cells(self) -> list[tuple[str, ...]]:
        modes = (("forward", self.forward, self.inputs, "n"), ("reverse", self.reverse, self.outputs, "m"))
        rows = [(name, f"{round(cost(seeds)):,}", f"{cost.shared:,} + {cost.each:,.4g} {letter}") for name, cost, seeds, letter in modes]
        return [("mode", "counted here", "modelled elsewhere"), *rows]

    def _draw(self, figure: Any, colours: dict[str, str]) -> None:
        axes = figure.subplots()
        most = 10.0 ** max(3, math.ceil(math.log10(max(self.inputs, self.outputs)) + 0.5))
        low, high = 0.6, most * 1.6
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), xlabel="inputs n", ylabel="outputs m")
        for axis in (axes.xaxis, axes.yaxis):
            decades(axis, 1, most)
        ahead, back = colours["line-0"], colours["line-1"]
        across = np.geomspace(low, high, 200)
        line = self.crossover(across)
        if np.isnan(line).all():
            line = np.full(len(across), low if self.forward.each == 0 else high)
        edge = np.clip(line, low, high)
        axes.fill_between(across, edge, high, color=ahead, alpha=0.13, linewidth=0)
        axes.fill_between(across, low, edge, color=back, alpha=0.13, linewidth=0)
        axes.plot(across, np.where(line > 0, line, np.nan), color=colours["ink"], linewidth=2)
        for times in (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0):
            self._level(axes, across, times, ahead if times < 1 else back, colours)
        for words, place, colour in (("forward mode\ntakes fewer", (0.6, 0.965), ahead), ("reverse mode\ntakes fewer", (0.965, 0.6), back)):
            note(axes, words, place, colours, xycoords="axes fraction", ha="right", va="top", color=colour, fontweight="bold")
        axes.plot(self.inputs, self.outputs, marker="*", markersize=15, color=colours["ink"], markeredgecolor=colours["paper"], zorder=7)
        ahead_here, back_here = round(self.forward(self.inputs)), round(self.reverse(self.outputs))
        left, above = self.inputs > most**0.5, ahead_here < back_here
        words = f"{self.name}: {self._words()[0]}\nforward {ahead_here:,} operations\nreverse {back_here:,}"
        note(axes, words, (self.inputs, self.outputs), colours, zorder=7, ha="right" if left else "left",
             xytext=(-12 if left else 12 - 22 * above, 12 * above), va="bottom" if above else "center")  # fmt: skip
        axes.set_title(
            f"★ counted; elsewhere a model of functions as large: forward {self.forward.shared:,} + {self.forward.each:,.4g} n, "
            f"reverse {self.reverse.shared:,} + {self.reverse.each:,.4g} m",
            fontsize=7.5, color=colours["muted"],
        )  # fmt: skip

    def _level(self, axes: Any, across: Array, times: float, colour: str, colours: dict[str, str]) -> None:
        """Where one mode takes so many times the operations of the other."""
        level = self.crossover(across, times)
        (low, high), (left, right) = axes.get_ylim(), axes.get_xlim()
        shown = np.flatnonzero((level > low * 3) & (level < high / 2) & (across > left * 3) & (across < right / 2))
        if not shown.size:
            return
        axes.plot(across, np.where(level > 0, level, np.nan), color=colour, linewidth=0.9, linestyle=(0, (5, 2.5)))
        place = shown[round(0.75 * (len(shown) - 1))]
        told = f"{max(times, 1 / times):,.0f}×"
        note(axes, told, (across[place], level[place]), colours, color=colour, ha="center", va="center", fontsize=7.5)


# ---------------------------------------------------------------------------------------------- swell


def swell(*tables: Swell, theme: str = "auto") -> SwellChart:
    """How many times the function's operations its derivative takes, as formulas and by both modes, against the problem's size.

    >>> import viz
    >>> from compgraph.swell import speelpenning
    >>> chart = viz.swell(speelpenning([5, 10, 20]))
    >>> chart
    SwellChart(Speelpenning's product: symbolic 18.9 times the function at n = 20, reverse mode 3.0)

    Without tables: the logistic map, Speelpenning's product and nested layers of logistic units, see `compgraph.swell`, which
    counts. Sizes at which the function takes no operation are left out. Raises `InputError` for what is no such table.
    """
    wrong = next((table for table in tables if not isinstance(table, Swell)), None)
    if wrong is not None:
        raise InputError(f"swell draws tables of compgraph.swell, such as logistic_map(5), not {type(wrong).__name__}")
    empty = next((table for table in tables if not any(row.function for row in table.rows)), None)
    if empty is not None:
        raise InputError(f"swell: {empty.title} has no size at which the function takes an operation")
    return SwellChart(tables or (logistic_map(6), speelpenning(), logistic_mlp((1, 2, 3, 4, 5))), theme)


# What is drawn of a row of the table, and at which place among the lines' styles.
_FORMS = (("symbolic", "symbolic", 1), ("simplified", "symbolic, simplified", 3), ("shared", "symbolic, shared", 4),
          ("forward", "forward mode", 0), ("reverse", "reverse mode", 2))  # fmt: skip
_SIZES = {"logistic map": "iterations n", "Speelpenning's product": "factors n", "logistic perceptron": "layers n"}


class SwellChart(Chart):
    """What `swell` shows: `tables`, and `factors` of one of them."""

    title = "Operations of the derivative, times those of the function"

    def __init__(self, tables: Sequence[Swell], theme: str) -> None:
        super().__init__(theme)
        self.tables = tuple(tables)
        self.size = (max(5.4, 3.1 * len(self.tables)), 4.0)

    def factors(self, table: Swell, form: str) -> tuple[Array, Array]:
        """The sizes, and how many times the function's operations the derivative takes in that form: "symbolic", "reverse", ..."""
        rows = [row for row in table.rows if row.function and getattr(row, form) is not None]
        return np.array([row.n for row in rows]), np.array([getattr(row, form) / row.function for row in rows])

    def __repr__(self) -> str:
        def told(table: Swell) -> str:
            last: Growth = table.rows[-1]
            formulas, sweep = (getattr(last, form) / max(last.function, 1) for form in ("symbolic", "reverse"))
            return f"{table.title}: symbolic {formulas:.1f} times the function at n = {last.n}, reverse mode {sweep:.1f}"

        return f"SwellChart({'; '.join(map(told, self.tables))})"

    def __str__(self) -> str:
        return "\n".join([f"{self.title}: from", *map(str, self.tables)])

    def _draw(self, figure: Any, colours: dict[str, str]) -> None:
        panels = figure.subplots(1, len(self.tables), sharey=True, squeeze=False)[0]
        top = 1.0
        for axes, table in zip(panels, self.tables, strict=True):
            lines = [Line(name, *self.factors(table, form), style) for form, name, style in _FORMS]
            lines = [line._replace(ys=np.where(line.ys > 0, line.ys, np.nan)) for line in lines if np.any(line.ys > 0)]
            draw_lines(axes, lines, colours)
            top = max([top, *(float(np.nanmax(line.ys)) for line in lines)])
            axes.axhline(1, color=colours["muted"], linewidth=0.9)
            axes.set_title(table.title[:1].upper() + table.title[1:])
            axes.set(xlabel=_SIZES.get(table.title, "size n"), yscale="log")
            sizes = np.unique([row.n for row in table.rows if row.function])
            if sizes.size and sizes[-1] > 10 * sizes[0]:
                axes.set_xscale("log")
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.set_xticks([], minor=True)
        panels[0].set(ylim=(0.5, top * 1.6), ylabel="times the function (= 1)")
        ticks = [one for exponent in range(9) for one in (10**exponent, 3 * 10**exponent) if one < top * 1.6]
        panels[0].set_yticks(ticks, [f"{tick:,}×" for tick in ticks])
        panels[0].set_yticks([], minor=True)
        handles = {name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=min(len(handles), 5 if len(panels) > 1 else 3),
                      handlelength=3.2, fontsize=8.5)  # fmt: skip
