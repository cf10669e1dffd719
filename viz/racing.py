"""Optimizers side by side on a function of two variables, on equal terms.

    >>> import viz
    >>> race = viz.race("rosenbrock", ("sgd", "adam"), budget=100, lr={"sgd": 1e-3, "adam": 0.1})
    >>> race.trajectories["adam"].shape
    (101, 2)
    >>> print(race)
    rosenbrock from (-1.2, 1), 100 gradient evaluations each
    optimizer  rate   rate is  final loss  distance  evaluations
    ---------  -----  -------  ----------  --------  -----------
    adam       0.1    given    2.986       1.789     100
    sgd        0.001  given    3.802       1.95      100
    Distance: to the minimum (1, 1).

Everybody starts at the same point and may evaluate the same number of gradients, those inside a line search included. By
default everybody's learning rate is the best of the same 25, and what that search cost is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.literals import number
from compgraph.origins import here
from compgraph.whole_files import write_whole
from optim.landscapes import Domain, Landscape, landscape, search
from viz.page import framed
from viz.race_page import race_page
from viz.race_plots import picture
from viz.race_results import RATES, RaceTable, Results, compete, inside, results_table, shown_point
from viz.race_track import Course
from viz.racers import contestants, given_rates


def race(
    subject: str | Landscape | Callable[..., Any],
    optimizers: Sequence[Any] | Mapping[str, Any] = ("sgd", "momentum", "adagrad", "rmsprop", "adam"),
    *,
    start: Sequence[float] | None = None,
    budget: int = 200,
    lr: str | float | Mapping[str, float] = "tuned",
    domain: Domain | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> Race:
    """Run each optimizer from `start` for `budget` gradient evaluations.

    - `subject`: a landscape's name (`optim.landscapes.LANDSCAPES`), an expression in two variables, which is parsed and
      never executed, or a Python function of two numbers. `domain`, ((x from, x to), (y from, y to)), is what is drawn.
    - `optimizers`: names of the classes of `optim` in any case, "momentum" (SGD with 0.9) and "nag" (the same with
      Nesterov's step); classes; or functions `make(params, lr)` or `make(params)` that give an optimizer, such as
      `functools.partial(optim.Adam, betas=(0.5, 0.9))`. A mapping gives them names. Eight at most.
    - `lr`: "tuned" takes the rate with the lowest final value among 25 from 1e-5 to 10, four a decade, the same for all; a
      number is everybody's rate; a mapping from names gives rates, and those it does not name are tuned.
    - `noise` adds to each gradient normal noise of that standard deviation, the same draws (`seed`) for everybody.

    An optimizer that leaves for more than 1000 widths of the picture, or meets a value or gradient that is not finite, has
    diverged: it stops there, and every result says where. Raises `InputError`, with the caller's line.
    """
    ground = landscape(subject, domain=domain)
    field = contestants(optimizers)
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or not 1 <= budget <= 100_000:
        raise cg.InputError(f"race: budget is a number of gradient evaluations from 1 to 100000, not {budget!r:.40}{here()}")
    if not (isinstance(noise, int | float) and np.isfinite(noise) and noise >= 0):
        raise cg.InputError(f"race: noise is a standard deviation, a number from 0 on, not {noise!r:.40}{here()}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise cg.InputError(f"race: seed is a whole number from 0 on, not {seed!r:.40}{here()}")
    rates = given_rates(lr, field)
    origin = _start(start, ground)
    ground = _grown(ground, origin)
    ground = ground if ground.minima else search(ground)
    course = Course(ground, int(budget), float(noise), seed)
    return Race(Results(course, origin, tuple(compete(course, origin, one, rates.get(one.name)) for one in field)))


def _start(start: Sequence[float] | None, ground: Landscape) -> np.ndarray:
    """The start that is asked for; or the landscape's, mirrored where an own function is not defined at it."""
    try:
        point = np.array(ground.start if start is None else start, dtype=float)
    except (TypeError, ValueError):
        point = np.empty(0)
    if point.shape != (2,) or not np.isfinite(point).all():
        raise cg.InputError(f"race: start is a point of two numbers ({', '.join(ground.axes)}), not {start!r:.60}{here()}")
    mirrors = [(1, 1)] if start is not None else [(1, 1), (-1, 1), (1, -1), (-1, -1)]
    for mirror in mirrors:
        with np.errstate(all="ignore"):
            value, gradient = ground.value_and_gradient(point * mirror)
        if np.isfinite(value) and np.isfinite(gradient).all():
            return point * mirror
    what = f"value {number(value)}, gradient ({number(gradient[0])}, {number(gradient[1])})"
    raise cg.InputError(f"race: {ground.name} cannot be descended from {shown_point(point * mirror)}: {what}; give another start{here()}")


def _grown(ground: Landscape, point: np.ndarray) -> Landscape:
    """`ground` with a picture that has room for the start."""
    sides = []
    for (low, high), coordinate in zip(ground.domain, point.tolist(), strict=True):
        new_low, new_high = min(low, coordinate), max(high, coordinate)
        room = 0.06 * (new_high - new_low)
        sides.append((new_low - room * (new_low < low), new_high + room * (new_high > high)))
    return ground if tuple(sides) == ground.domain else replace(ground, domain=(sides[0], sides[1]))


def file_form(path: Path) -> str:
    """The format that a file's name asks for."""
    form = path.suffix.lower()
    if form not in (".html", ".png", ".svg", ".gif"):
        raise cg.InputError(f"cannot save {path.name!r}: the name has to end in .html, .png, .svg or .gif{here()}")
    return form[1:]


class Race:
    """What came of it: numbers, a table, pictures and a page that plays it.

    A notebook shows the page. `save` writes it as .html, or the picture as .png, .svg or, moving, .gif.
    """

    def __init__(self, results: Results) -> None:
        self.results = results

    @property
    def landscape(self) -> Landscape:
        return self.results.course.ground

    @property
    def start(self) -> np.ndarray:
        return self.results.start

    @property
    def trajectories(self) -> dict[str, np.ndarray]:
        """By name, the point after each evaluation, (budget + 1, 2); NaN once it has diverged."""
        return {racer.name: racer.track.points for racer in self.results.racers}

    @property
    def losses(self) -> dict[str, np.ndarray]:
        """By name, the loss after each evaluation, (budget + 1,); NaN once it has diverged."""
        return {racer.name: racer.track.losses for racer in self.results.racers}

    @property
    def rates(self) -> dict[str, float | None]:
        """By name, the learning rate; `None` for who has none."""
        return {racer.name: racer.rate for racer in self.results.racers}

    @property
    def diverged(self) -> dict[str, int | None]:
        """By name, the evaluation after which it had diverged, or `None`."""
        return {racer.name: racer.diverged for racer in self.results.racers}

    @property
    def sensitivity(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By name, the learning rates tried and the loss at the end of each, infinite where it diverged."""
        return {racer.name: (RATES, racer.sensitivity) for racer in self.results.racers if racer.sensitivity is not None}

    def internals(self, name: str) -> list[dict[str, Any]]:
        """What an optimizer held at each step: gradient, step, effective rate, moments, and the moments corrected.

        >>> first = race("ravine", ("adam",), budget=3, lr=0.1).internals("adam")[0]
        >>> sorted(first)  # doctest: +NORMALIZE_WHITESPACE
        ['corrected_exp_avg', 'corrected_exp_avg_sq', 'evaluation', 'exp_avg', 'exp_avg_sq', 'gradient', 'point', 'rate',
         'step']
        >>> bool(np.allclose(first["corrected_exp_avg"], first["gradient"]))
        True
        """
        for racer in self.results.racers:
            if racer.name == name:
                return inside(self.results, racer)
        raise cg.InputError(f"race: {name!r:.40} did not take part; there were {', '.join(self.trajectories)}{here()}")

    def table(self) -> RaceTable:
        """Rates, final losses and distances, the best first."""
        return results_table(self.results)

    @cached_property
    def html(self) -> str:
        """The page that plays the race, whole in itself."""
        return race_page(self.results)

    def save(self, path: str | os.PathLike[str], *, theme: str = "light") -> Path:
        """Write the page (.html) or a picture (.png, .svg; .gif moves) and return its path.

        The file appears whole or not at all. Pictures need matplotlib: `pip install "compgraph[plot]"`; `theme` is
        theirs, the page follows the reader's system.
        """
        path = Path(path)
        form = file_form(path)
        content = self.html.encode() if form == "html" else picture(self.results, form, theme)
        return write_whole(path, content)

    def __str__(self) -> str:
        return str(self.table())

    def __repr__(self) -> str:
        return f"Race({self.results.title}: {', '.join(self.trajectories)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        try:
            return {"text/plain": str(self), "text/html": framed(self.html, "race", 900)}
        except Exception as error:  # a cell that shows a race must not fail; the text says what is missing
            return {"text/plain": f"{self!r}\n{error}"}
