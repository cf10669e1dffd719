"""Step through a computation graph, forward and backward: in a page, a notebook, a terminal or a loop.

    >>> import numpy as np, compgraph as cg, viz
    >>> def f(x1, x2):
    ...     return np.log(x1) + x1 * x2
    >>> stepper = viz.step(f, x1=2.0, x2=5.0)
    >>> for moment in list(stepper)[-2:]:
    ...     print(moment.equation)
    x2_bar = v2_bar * x1 = 1 * 2 = 2
    x1_bar = x1_bar + v1_bar * (1 / x1) = 5 + 1 * (1 / 2) = 5.5

`stepper.save("step.html")` writes a page that needs no network; in a notebook the stepper shows itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import compgraph as cg
from compgraph.containers import flatten
from compgraph.graph import Graph, Node, graph_of
from compgraph.origins import here
from compgraph.whole_files import write_whole
from viz import step_exports
from viz.page import framed
from viz.step_frames import Frames, Sweeps, frames_of, repeated, sweeps
from viz.step_page import step_page

_MODES = ("forward", "reverse", "compare", "derivative", "iterations", "primal")


def step(
    subject: Callable[..., Any] | Graph | Node | cg.EvaluationTrace | str,
    /,
    *args: Any,
    mode: str | None = None,
    seed: Any = None,
    of: Any = None,
    iterations: int | None = None,
    direction: str = "TB",
    **inputs: Any,
) -> Stepper:
    """A stepper through both sweeps of a function, a graph, an expression, an eager node or an evaluation trace.

    A function is traced on `args` and `inputs`, a graph and an expression are run on them; an eager node and a trace bring
    their numbers along. There is a forward sweep for each input and a reverse sweep for each output, whose seed is 1 in
    every entry; `mode` says which is shown first ("reverse" where there is one, "forward", "compare", "derivative"), and
    `seed` and `of` are those of `cg.evaluate` for that mode. `direction` is where the graph's edges point, "TB" or "LR".
    An input that is called like one of these keywords is given by its position.

    With `iterations` the function's results are its next arguments, as those of an update rule are, and the stepper goes
    through so many runs one after another:

    >>> import viz
    >>> viz.step(lambda p, m: (p - 0.1 * m, 0.9 * m + p), 1.0, 0.0, iterations=3)
    Stepper(f: 18 steps)

    Raises `InputError` and what `cg.evaluate` raises.
    """
    if mode is not None and mode not in _MODES:
        raise cg.InputError(f"mode {mode!r}: it is 'forward', 'reverse', 'compare' or 'derivative'{here()}")
    if direction not in ("TB", "LR"):
        raise cg.InputError(f"direction {direction!r}: it is 'TB' or 'LR'{here()}")
    if iterations is not None and (type(iterations) is not int or not 1 <= iterations <= 1000):
        raise cg.InputError(f"iterations is a whole number from 1 to 1000, not {iterations!r}{here()}")
    if seed is not None and mode not in ("forward", "reverse"):
        raise cg.InputError(f"seed= goes with mode='forward' or mode='reverse', whose sweep it starts{here()}")
    graph, arguments, own = _subject(subject, args, inputs)
    if iterations is not None:
        if seed is not None or of is not None or mode not in (None, "iterations"):
            raise cg.InputError(f"iterations= steps through values alone: leave mode, seed and of out{here()}")
        return Stepper(repeated(graph, arguments, iterations), "iterations", direction)
    if own is not None and own.mode != "primal" and seed is None and mode in (None, own.mode):
        mode, seed = own.mode, {graph.names[node]: value for node, value in own.seeds.items()}
    return Stepper(sweeps(graph, arguments, mode=mode, seed=seed, of=of), mode, direction)


def _subject(subject: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[Graph, list[Any], cg.EvaluationTrace | None]:
    """The graph, a value for each of its inputs, and the evaluation trace if one was given."""
    if isinstance(subject, (cg.EvaluationTrace, Node)) and (args or inputs):
        what = "an evaluation trace" if isinstance(subject, cg.EvaluationTrace) else "an eager node"
        raise cg.InputError(f"step: {what} brings its numbers along, so it takes no arguments{here()}")
    if isinstance(subject, cg.EvaluationTrace):
        missing = [subject.graph.names[node] for node in subject.graph.inputs if node not in subject.values]
        if missing:
            raise cg.InputError(f"step: the evaluation trace has no value for {', '.join(missing)}{here()}")
        return subject.graph, [subject.values[node] for node in subject.graph.inputs], subject
    if isinstance(subject, Node):
        graph = graph_of(subject)
        if any(node.value is None for node in graph.inputs):
            raise cg.InputError(f"step: {graph.names[subject]} has no value yet: step through its graph, with numbers{here()}")
        return graph, [node.value for node in graph.inputs], None
    if isinstance(subject, str):
        subject = cg.parse(subject)
    if not isinstance(subject, Graph):
        if not callable(subject):
            kinds = "a function, a graph, an expression, a node or an evaluation trace"
            raise cg.InputError(f"step takes {kinds}, not {subject!r:.40}{here()}")
        graph = cg.trace(subject, *args, **inputs)
        return graph, graph.arguments(flatten((args, tuple(inputs.values())))[0], {}), None
    return subject, subject.arguments(args, inputs), None


class Stepper:
    """Both sweeps of a function, step by step. Iterating over it gives the `cg.Step`s of the sweep it shows first."""

    def __init__(self, found: Sweeps, mode: str | None, direction: str) -> None:
        self.sweeps = found
        self.graph = found.graph
        modes = [sweep.mode for sweep in found.found]
        preferred = {"compare": "reverse", "derivative": "reverse", None: "reverse"}.get(mode, mode)
        self.sweep = next((sweep for sweep in found.found if sweep.mode == preferred), found.found[-1])
        self.mode = mode if mode in ("compare", "derivative") and "reverse" in modes else self.sweep.mode
        self.direction = direction

    @cached_property
    def frames(self) -> Frames:
        """The steps of all sweeps, and the order of each."""
        return frames_of(self.sweeps)

    @cached_property
    def steps(self) -> list[cg.Step]:
        """The steps of the sweep that is shown first."""
        track = self.frames.tracks[self.sweeps.found.index(self.sweep)]
        return [self.frames.steps[place] for place in track.steps]

    @cached_property
    def html(self) -> str:
        """The whole page. Raises `MissingDependencyError` where there is no Graphviz."""
        return step_page(self.sweeps, self.frames, self.mode, self.direction)

    def save(self, path: str | os.PathLike[str], *, step: int | None = None, seconds: float = 1.0) -> Path:
        """Write what the suffix names, and return the path: the page (.html), or the sweep that is shown first.

        That sweep moves in .svg and .gif, where a step stays for `seconds`; .png and .tex (TikZ) are one frame, that of
        `step`, counted from 1, or the last. The file appears whole or not at all. Raises `InputError`, and
        `MissingDependencyError` where there is no Graphviz or, for a GIF, no Pillow.
        """
        path = Path(path)
        form = path.suffix.lower()
        if form not in (".html", ".svg", ".gif", ".png", ".tex"):
            raise cg.InputError(f"cannot save {path.name!r}: the name has to end in .html, .svg, .gif, .png or .tex{here()}")
        if form != ".html":
            return step_exports.save(self, path, step=step, seconds=seconds)
        if step is not None:
            raise cg.InputError(f"step={step!r}: the page shows all steps; link to one, as in {path.name}#step={step}{here()}")
        content = self.html.encode()
        return write_whole(path, content)

    def __iter__(self) -> Iterator[cg.Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(moment.equation for moment in self.steps)

    def __repr__(self) -> str:
        return f"Stepper({self.graph.name}: {len(self)} steps)"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        try:
            return {"text/plain": repr(self), "text/html": framed(self.html, f"stepping through {self.graph.name[:60]}", 860)}
        except Exception as error:  # a cell that shows a stepper must not fail; the text says what is missing
            return {"text/plain": f"{self}\n{error}"}
