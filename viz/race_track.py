"""One optimizer from one start, or from many at once, for a number of gradient evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from optim.landscapes import Landscape
from viz.racers import Contestant

AT_REST = 10  # steps that move nothing: it has found what it looks for
FARTHEST = 1000  # widths of the picture from its middle: whoever is farther away has diverged


class Course(NamedTuple):
    """What is the same for everybody."""

    ground: Landscape
    budget: int
    noise: float
    seed: int


class Track(NamedTuple):
    """Where a run went: `points` (budget + 1, ..., 2) after each evaluation and `losses` (budget + 1, ...) there.

    Both are NaN from the evaluation on by which the run had `diverged` (...), which is -1 where it had not. `used` is how many
    evaluations it made: fewer than the budget where it diverged or came to rest.
    """

    points: np.ndarray
    losses: np.ndarray
    diverged: np.ndarray
    used: int


class _Over(Exception):  # noqa: N818 - a signal, no error
    """Ends a step from within its closure: the budget is spent, or the run has diverged."""


Watch = Callable[[int, Any, cg.Node, np.ndarray], None]  # after each step: evaluations so far, optimizer, point, gradient


def run(course: Course, contestant: Contestant, rate: float | None, starts: np.ndarray, watch: Watch | None = None) -> Track:
    """The run from `starts` (2,), or from each of (n, 2) at once, which is the same only for rules that work entry by entry.

    Every step gets a closure, as line searches want it; a gradient counts when the closure is called. A step of several
    evaluations shows the points at which they were made.
    """
    ground, budget = course.ground, course.budget
    (x_from, x_to), (y_from, y_to) = ground.domain
    middle, reach = np.array([x_from + x_to, y_from + y_to]) / 2, FARTHEST * max(x_to - x_from, y_to - y_from)
    draws = np.random.default_rng(course.seed).normal(0.0, course.noise or 1.0, (budget, 2)) * bool(course.noise)
    point = cg.variable(starts.copy(), name="point")
    optimizer = contestant.optimizer([point], rate)
    points = np.full((budget + 1, *starts.shape), np.nan)
    points[0] = starts
    diverged = np.full(starts.shape[:-1], -1)
    gradient = np.zeros_like(starts)
    spent = before = resting = 0

    def lose(who: np.ndarray) -> None:
        """Mark those who have just left. Alone, that ends the run; among others it goes on, unseen."""
        diverged[who & (diverged < 0)] = max(spent, 1)
        if starts.ndim == 1 and who:
            raise _Over

    def closure() -> float:
        nonlocal spent, gradient
        if spent == budget:
            raise _Over
        if spent > before:
            points[spent] = point.value
        value, gradient = ground.value_and_gradient(point.value)
        spent += 1
        unsound = ~np.isfinite(gradient).all(axis=-1)
        lose(unsound)
        gradient = np.where(unsound[..., None], 0.0, gradient + draws[spent - 1])
        point.grad = gradient
        return value

    with np.errstate(all="ignore"):
        try:
            while spent < budget:
                before = spent
                optimizer.step(closure)
                lose(~np.isfinite(point.value).all(axis=-1) | (np.linalg.norm(point.value - middle, axis=-1) > reach))
                resting = resting + 1 if np.array_equal(point.value, points[before]) else 0
                if spent == before or (resting == AT_REST and not course.noise):
                    break
                points[spent] = point.value
                if watch is not None:
                    watch(spent, optimizer, point, gradient)
        except _Over:
            pass
        last = spent if np.isfinite(points[spent]).any() else max(spent - 1, 0)
        points[last + 1 :] = points[last]
        return _judged(ground, points, diverged, spent)


def _judged(ground: Landscape, points: np.ndarray, diverged: np.ndarray, used: int) -> Track:
    """With the losses, and with nothing from where a run has diverged; a loss that is not finite ends it as well."""
    losses = np.asarray(ground(points[..., 0], points[..., 1]), dtype=float)
    count = np.arange(len(points)).reshape(-1, *(1,) * diverged.ndim)
    ends = np.where(diverged < 0, len(points), diverged)
    ends = np.minimum(ends, np.where(np.isfinite(losses), len(points), count).min(axis=0))
    over = count >= ends
    points = np.where(over[..., None], np.nan, points)
    return Track(points, np.where(over, np.nan, losses), np.where(ends < len(points), ends, -1), used)


def run_together(course: Course, contestant: Contestant, rate: float | None, starts: np.ndarray, alone: Track) -> Track | None:
    """From each of `starts` (n, 2) at the cost of little more than one run; `None` for a rule that cannot.

    Whether it works entry by entry is not asked but seen: among the others, the first start has to lead where it led `alone`.
    """
    try:
        together = run(course, contestant, rate, starts)
    except Exception:  # whatever a rule for one point makes of many
        return None
    same = np.allclose(together.points[:, 0], alone.points, rtol=1e-6, atol=1e-9, equal_nan=True)
    return together if same else None


def run_one_by_one(course: Course, contestant: Contestant, rate: float | None, starts: np.ndarray) -> Track:
    """The same for any rule, at its full price."""
    tracks = [run(course, contestant, rate, start) for start in starts]
    points, losses = (np.stack([track[place] for track in tracks], axis=1) for place in (0, 1))
    return Track(points, losses, np.array([int(track.diverged) for track in tracks]), max(track.used for track in tracks))
