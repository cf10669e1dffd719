"""What a race found out: who ended where, at which learning rate, and how much that rate matters."""

from __future__ import annotations

import html
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph.tables import framed
from viz.race_track import Course, Track, run
from viz.racers import Contestant

RATES = 10.0 ** np.linspace(-5, 1, 25)  # four a decade


class Racer(NamedTuple):
    """One optimizer's race. `sensitivity` holds the loss at the end for each of `RATES`, infinite where it diverged."""

    contestant: Contestant
    rate: float | None
    tuned: bool
    track: Track
    sensitivity: np.ndarray | None

    @property
    def name(self) -> str:
        return self.contestant.name

    @property
    def diverged(self) -> int | None:
        """The evaluation after which it had diverged."""
        return int(self.track.diverged) if self.track.diverged >= 0 else None

    @property
    def loss(self) -> float:
        """The loss at the end, infinite if it diverged."""
        return final_loss(self.track)

    @property
    def how(self) -> str:
        """Where the learning rate comes from."""
        if self.rate is None:
            return "has none"
        if not self.tuned:
            return "given"
        if not np.isfinite(self.loss):
            return "tuned: every rate diverges"
        edge = "; the least tried" if self.rate == RATES[0] else "; the largest tried" if self.rate == RATES[-1] else ""
        return f"tuned{edge}"


class Results(NamedTuple):
    course: Course
    start: np.ndarray
    racers: tuple[Racer, ...]

    @property
    def title(self) -> str:
        return f"{self.course.ground.name} from {shown_point(self.start)}, {self.course.budget} gradient evaluations each"

    @property
    def floor(self) -> float | None:
        """The least value, known or found in the picture, above which losses are drawn in the logarithm."""
        return self.course.ground.minimum

    def distance(self, racer: Racer) -> float | None:
        """From where a racer ended to the nearest minimum."""
        found = self.course.ground.distance(racer.track.points[-1])
        return None if found is None or racer.diverged is not None else float(found)


def final_loss(track: Track) -> float:
    return float(track.losses[-1]) if track.diverged < 0 else float("inf")


def compete(course: Course, start: np.ndarray, contestant: Contestant, given: float | None) -> Racer:
    """Run one contestant at every rate of `RATES`, and at the one that is given or, without one, at the best of them."""
    if not contestant.tunable:
        return Racer(contestant, None, False, run(course, contestant, None, start), None)
    trials = [run(course, contestant, float(rate), start) for rate in RATES]
    finals = np.array([final_loss(trial) for trial in trials])
    if given is not None:
        return Racer(contestant, given, False, run(course, contestant, given, start), finals)
    best = int(np.argmin(finals))  # the smallest rate of those that tie
    return Racer(contestant, float(RATES[best]), True, trials[best], finals)


def shown_point(point: np.ndarray) -> str:
    return f"({', '.join(f'{coordinate:.4g}' for coordinate in point)})"


# ----------------------------------------------------------------------------------------- the table


class RaceTable(NamedTuple):
    """The results as rows, the best first; `str()` is for a terminal and `to_html()` for a page."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        widths = [max(len(row[place]) for row in (self.header, *self.rows)) for place in range(len(self.header))]
        rows = (self.header, tuple("-" * width for width in widths), *self.rows)
        lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([self.caption, *lines, *self.notes])

    def __repr__(self) -> str:
        return str(self)

    def to_html(self) -> str:
        """A `<div>` with a table and its style; every text is escaped."""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return framed(table_rows(self)) + notes

    def _repr_html_(self) -> str:
        return self.to_html()


def table_rows(table: RaceTable) -> str:
    """The inside of an HTML table."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.header)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>' + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in table.rows
    )
    return f"<caption>{html.escape(table.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"


def results_table(results: Results) -> RaceTable:
    rows: list[tuple[str, ...]] = []
    for racer in sorted(results.racers, key=lambda racer: racer.loss):
        distance = results.distance(racer)
        end = "diverged" if racer.diverged is not None else brief(racer.loss)
        remark = f"diverged at evaluation {racer.diverged}" if racer.diverged is not None else ""
        if not remark and racer.track.used < results.course.budget:
            remark = f"at rest from evaluation {racer.track.used}"
        rate = "" if racer.rate is None else brief(racer.rate)
        rows.append((racer.name, rate, racer.how, end, "" if distance is None else brief(distance), str(racer.track.used), remark))
    header: tuple[str, ...] = ("optimizer", "rate", "rate is", "final loss", "distance", "evaluations", "remark")
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return RaceTable(results.title, header, tuple(rows), notes(results))


def notes(results: Results) -> tuple[str, ...]:
    """What a reader has to know to trust the table."""
    course, found = results.course, []
    tuned = sum(racer.tuned for racer in results.racers)
    if tuned:
        cost = len(RATES) * course.budget
        found.append(
            f"Tuned: the rate with the lowest final loss among {len(RATES)} from {RATES[0]:g} to {RATES[-1]:g}, four a decade, the same "
            f"for all; that took {cost} more gradient evaluations for each of the {tuned} that were tuned."
        )
    ground = course.ground
    if ground.minima and ground.searched:
        found.append(f"Distance: to {shown_point(np.array(ground.minima[0]))}, the lowest point that a search of the picture found.")
    elif ground.minima:
        points = ", ".join(shown_point(np.array(point)) for point in ground.minima)
        found.append(f"Distance: to the {'nearest minimum of' if len(ground.minima) > 1 else 'minimum'} {points}.")
    else:
        found.append("Distance: not known, since the function has no lowest point inside the picture.")
    if course.noise:
        found.append(f"Gradients have normal noise of standard deviation {course.noise:g}, the same draws for all (seed {course.seed}).")
    return tuple(found)


def brief(value: float) -> str:
    """Four digits, which a table has room for.

    >>> brief(0.000123456), brief(1.0), brief(float("inf"))
    ('1.235e-04', '1', 'inf')
    """
    value = float(f"{value:.4g}")
    if value and not 1e-3 <= abs(value) < 1e5 and np.isfinite(value):
        return f"{value:.3e}"
    return f"{value:.4g}"


# ----------------------------------------------------------------------------------------- inside a step


def inside(results: Results, racer: Racer) -> list[dict[str, Any]]:
    """What the optimizer held at each step: a new run, looked at after every step.

    Each has "evaluation", "point", "gradient", "step" (how the point moved), "rate" (by how much of the gradient, entry by
    entry: minus step over gradient), every array of the optimizer's state under its own name, and where there are two moments
    the ones corrected for their start at zero, m / (1 - beta1**t) and v / (1 - beta2**t).
    """
    found: list[dict[str, Any]] = []
    last = results.start

    def look(evaluation: int, optimizer: Any, point: cg.Node, gradient: np.ndarray) -> None:
        nonlocal last
        value = np.array(point.value)
        step = value - last
        entry = {"evaluation": evaluation, "point": value, "gradient": gradient, "step": step, "rate": -step / gradient}
        state = getattr(optimizer, "state", {})
        held = state.get(point, {}) if isinstance(state, dict) else {}
        arrays = {name: np.array(one) for name, one in held.items() if np.shape(one) == value.shape}
        entry.update(arrays)
        if "exp_avg" in arrays and "exp_avg_sq" in arrays and "betas" in optimizer.param_groups[0]:
            count = float(held["step"])
            for name, beta in zip(("exp_avg", "exp_avg_sq"), optimizer.param_groups[0]["betas"], strict=True):
                entry[f"corrected_{name}"] = arrays[name] / (1 - beta**count)
        found.append(entry)
        last = value

    run(results.course, racer.contestant, racer.rate, results.start, look)
    return found

