"""Memory against recomputation of gradients through a chain of steps, in operations and bytes that the ledger counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.checkpointing import revolve_cost
from compgraph.errors import InputError
from compgraph.graph import Graph
from compgraph.ledger import checkpointed_cost, run_cost
from compgraph.reverse_mode import reverse
from compgraph.simplification import simplify
from compgraph.tracing import trace
from viz.charts import Array, Chart, Line, draw_lines, note


class Schedule(NamedTuple):
    """A gradient through the chain: `held` states stored, `runs` of a step forward, operations and bytes by the ledger."""

    name: str
    held: int
    runs: int
    operations: int
    peak_bytes: int


def checkpoint_map(step: Callable[[Any], Any], state: Any, length: int = 64, *, theme: str = "auto") -> CheckpointMap:
    """Memory against recomputation of a gradient through `length` steps, for the ways to store fewer of the values.

    >>> import numpy as np, viz
    >>> chart = viz.checkpoint_map(lambda x: x + 0.1 * np.sin(x), np.zeros(1000), 64)
    >>> [(one.name, one.runs) for one in chart.schedules if one.name in ("all values", "every 8", "binomial, 8")]
    [('all values', 64), ('every 8', 128), ('binomial, 8', 202)]

    All values: nothing is run again. Every k: the state before each k-th step is held, and those k steps run again when the
    sweep comes to them (Chen et al., "Training deep nets with sublinear memory cost", 2016; least memory near k = sqrt(length)).
    Binomial: the schedule of `cg.checkpoint_chain`, with that many states held and each step run again as it is swept. What
    one step and one stretch of k steps cost, forward and reverse, is counted in their graphs; how often each runs is
    the schedule. `theme` is "auto", "light" or "dark". Raises `InputError` for a length not from 2 to 512, and where `step` does
    not keep its state's structure.
    """
    if type(length) is not int or not 2 <= length <= 512:
        raise InputError(f"checkpoint_map: the length is an integer from 2 to 512, not {length!r:.40}")
    return CheckpointMap(step, state, length, theme)


class CheckpointMap(Chart):
    """What `checkpoint_map` found: `schedules`, the first of which stores everything."""

    def __init__(self, step: Callable[[Any], Any], state: Any, length: int, theme: str) -> None:
        super().__init__(theme)
        self.length = length
        one = trace(step, state)
        self.title = f"Gradient through {length} steps: memory against recomputation"
        given, made = ([(node.shape, node.dtype) for node in nodes] for nodes in (one.inputs, one.outputs))
        if given != made:
            raise InputError(f"checkpoint_map: {one.name} made {made} of a state of {given}; it has to keep shapes and dtypes")
        nbytes = sum(node.size * node.dtype.itemsize for node in one.inputs)
        ahead = run_cost(one)
        if not nbytes or not ahead.operations:
            raise InputError(f"checkpoint_map: {one.name} {'computes nothing' if nbytes else 'has no state'}: there is nothing to store")
        sizes = sorted({*(2**power for power in range(1, length.bit_length())), round(math.sqrt(length))} - {1, length})
        stretches = {k: run_cost(simplify(reverse(_chain(step, state, k)))) for k in {*sizes, length, *(length % k for k in sizes)} - {0}}

        found = [Schedule("all values", 1, length, stretches[length].operations, stretches[length].peak_bytes)]
        for k in sizes:
            blocks, rest = divmod(length, k)
            operations = length * ahead.operations + blocks * stretches[k].operations
            operations += stretches[rest].operations if rest else 0
            held = blocks + bool(rest)
            # The state before the stretch that is swept is one of those held; a shorter one at the end is swept first.
            peaks = [held * nbytes + ahead.peak_bytes, (blocks - 1) * nbytes + stretches[k].peak_bytes]
            peaks += [blocks * nbytes + stretches[rest].peak_bytes] if rest else []
            found.append(Schedule(f"every {k}", held, 2 * length, operations, max(peaks)))
        for held in sorted({one for one in (1, 2, 3, 4, 6, *sizes, length) if one <= length}):
            cost = checkpointed_cost(step, state, length, held)
            runs = revolve_cost(length, held) + 1 + length
            found.append(Schedule(f"binomial, {held}", held, runs, cost.operations, cost.peak_bytes))
        self.schedules = tuple(found)

    def __repr__(self) -> str:
        least = min(self.schedules, key=lambda one: (one.peak_bytes, one.operations))
        first = self.schedules[0]
        return (
            f"CheckpointMap({self.length} steps: {first.peak_bytes:,} bytes with all values stored, {least.peak_bytes:,} by {least.name} "
            f"with {least.operations / first.operations:.1f} times the operations)"
        )

    def _cells(self) -> list[tuple[str, ...]]:
        rows = [(one.name, f"{one.held:,}", f"{one.runs:,}", f"{one.operations:,}", f"{one.peak_bytes:,}") for one in self.schedules]
        return [("stored", "states held", "runs of a step", "operations", "peak bytes"), *rows]

    def _draw(self, figure: Any, colours: dict[str, str]) -> None:
        axes = figure.subplots()
        base = self.schedules[0].operations
        unit, name = next((size, name) for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "bytes"))
                          if max(one.peak_bytes for one in self.schedules) >= size)  # fmt: skip
        for kind, style, words in (("every", 1, "every k-th state held; k beside it"), ("binomial", 0, "binomial; states held beside it")):
            ours = [one for one in self.schedules if one.name.startswith(kind)]
            if not ours:
                continue
            xs, ys = (np.array(column) for column in zip(*((one.peak_bytes / unit, one.operations / base) for one in ours), strict=True))
            draw_lines(axes, [Line(words, xs, ys, style)], colours)
            above = kind == "binomial"
            square = f"every {root}" if (root := math.isqrt(self.length)) ** 2 == self.length else ""
            names = [one.name.split()[-1] + (f" = √{self.length}" if one.name == square else "") for one in ours]
            for x, y, told in _labels(xs, ys, names):
                note(axes, told, (x, y), colours, xytext=(0, 6 if above else -7), ha="center", va="bottom" if above else "top",
                     color=colours[f"line-{style}"], fontsize=7.5)  # fmt: skip
        first = self.schedules[0]
        axes.plot(first.peak_bytes / unit, 1, marker="*", markersize=15, color=colours["ink"], markeredgecolor=colours["paper"], zorder=7)
        note(axes, "all values", (first.peak_bytes / unit, 1), colours, xytext=(-10, 0), ha="right", va="center")
        axes.margins(0.07)
        axes.set(xlabel=f"peak memory, {name}", ylabel="operations, times those with all values stored", xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            ticks = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
            axis.set_ticks(ticks, [f"{tick:,g}" + "×" * (axis is axes.yaxis) for tick in ticks])
            axis.set_ticks([], minor=True)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, handlelength=3.5)


def _labels(xs: Array, ys: Array, texts: Sequence[str]) -> list[tuple[float, float, str]]:
    """A text for each point, one for those that nearly coincide."""
    found: list[tuple[float, float, str]] = []
    for x, y, text in zip(xs.tolist(), ys.tolist(), texts, strict=True):
        gaps = [max(abs(math.log(x / other)), abs(math.log(y / up))) for other, up, _ in found]
        near = next((place for place, gap in enumerate(gaps) if gap < 0.05), None)
        if near is None:
            found.append((x, y, text))
        else:
            found[near] = (*found[near][:2], f"{found[near][2]}, {text}")
    return found


def _chain(step: Callable[[Any], Any], state: Any, length: int) -> Graph:
    def chain(state: Any) -> Any:
        for _ in range(length):
            state = step(state)
        return state

    return trace(chain, state)
