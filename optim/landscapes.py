"""Functions of two variables on which optimizers are compared, and anybody's own.

    >>> from optim.landscapes import landscape
    >>> rosenbrock = landscape("rosenbrock")
    >>> float(rosenbrock(-1.2, 1.0))
    24.199999999999996
    >>> rosenbrock.minima, rosenbrock.minimum
    (((1.0, 1.0),), 0.0)
    >>> landscape("x**2 + 3*y**2").gradient(np.array([1.0, 2.0]))
    array([ 2., 12.])

Each is plain NumPy, so it runs on numbers, on arrays of points and on nodes.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

import compgraph as cg

Point = tuple[float, float]
Domain = tuple[Point, Point]


@dataclass(frozen=True, eq=False)
class Landscape:
    """A function of two variables with what a picture of it needs.

    `domain` is ((x from, x to), (y from, y to)), the part that is drawn; `minima` are the known global minimisers, empty
    where none is known; `start` is the point a race starts from by default.
    """

    name: str
    function: Callable[[Any, Any], Any]
    formula: str
    domain: Domain
    start: Point
    minima: tuple[Point, ...] = ()
    source: str = ""
    axes: tuple[str, str] = ("x", "y")
    searched: bool = False  # whether `minima` were found by `search` and not stated

    def __call__(self, x: Any, y: Any) -> Any:
        """The value at one point, or at each of many: arrays of one shape."""
        if np.ndim(x) == 0 or self.elementwise:
            return self.function(x, y)
        points = zip(np.ravel(x), np.ravel(y), strict=True)
        return np.array([float(self.function(*point)) for point in points]).reshape(np.shape(x))

    @property
    def minimum(self) -> float | None:
        """The least value, where it is known."""
        return float(self.function(*self.minima[0])) if self.minima else None

    def distance(self, points: np.ndarray) -> np.ndarray | None:
        """From points (..., 2) to the nearest known minimiser, Euclidean; `None` where no minimiser is known."""
        if not self.minima:
            return None
        return np.min(np.linalg.norm(points[..., None, :] - np.array(self.minima), axis=-1), axis=-1)

    @cached_property
    def elementwise(self) -> bool:
        """Whether the function of arrays is the function of their numbers, one by one: what many points at once need."""
        (x_from, x_to), (y_from, y_to) = self.domain
        xs, ys = np.linspace(x_from, x_to, 7)[1:-1], np.linspace(y_to, y_from, 7)[1:-1]
        with np.errstate(all="ignore"):
            single = np.array([float(self.function(x, y)) for x, y in zip(xs, ys, strict=True)])
            try:
                together = np.asarray(self.function(xs, ys), dtype=float)
            except Exception:  # whatever a function that was written for numbers makes of arrays
                return False
        return together.shape == single.shape and np.allclose(together, single, rtol=1e-12, atol=1e-300, equal_nan=True)

    @cached_property
    def _programs(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        derivative = cg.value_and_grad(lambda points: np.sum(self.function(points[..., 0], points[..., 1])))
        return derivative, cg.compile(derivative)

    @cached_property
    def _derivative(self) -> Callable[[Any], Any]:
        """The compiled derivative, or the eager one where the function looks at values, as in `if x > 0`."""
        eager, compiled = self._programs
        try:
            compiled(np.array(self.start, dtype=float))
        except (cg.AbstractValueError, cg.InputError):
            return eager
        return compiled

    def value_and_gradient(self, points: np.ndarray) -> tuple[float, np.ndarray]:
        """The sum of the values at `points` (2,) or (n, 2), and the gradient at each, of the shape of `points`."""
        if points.ndim == 1 or self.elementwise:
            value, gradient = self._derivative(points)
            return float(value), np.asarray(gradient)
        pairs = [self._derivative(point) for point in points]
        return float(sum(value for value, _ in pairs)), np.array([gradient for _, gradient in pairs])

    def gradient(self, points: np.ndarray) -> np.ndarray:
        """The gradient at `points` (2,) or (n, 2), of the same shape."""
        return self.value_and_gradient(points)[1]


def _rosenbrock(x: Any, y: Any) -> Any:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _beale(x: Any, y: Any) -> Any:
    return (1.5 - x * (1 - y)) ** 2 + (2.25 - x * (1 - y**2)) ** 2 + (2.625 - x * (1 - y**3)) ** 2


def _himmelblau(x: Any, y: Any) -> Any:
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _rastrigin(x: Any, y: Any) -> Any:
    return 20 + x**2 - 10 * np.cos(2 * np.pi * x) + y**2 - 10 * np.cos(2 * np.pi * y)


def _ackley(x: Any, y: Any) -> Any:
    # e - exp(...) last, so that the value at the origin is 0 and not a rounding error.
    return 20 - 20 * np.exp(-0.2 * np.sqrt((x**2 + y**2) / 2)) + (np.e - np.exp((np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 2))


def _saddle(x: Any, y: Any) -> Any:
    return x**2 / 2 - y**2 / 2 + y**4 / 4


def _ravine(x: Any, y: Any) -> Any:
    # Turned by 30 degrees: along the axes, rules that scale each coordinate by itself would have no ravine to cross.
    along, across = (np.sqrt(3) * x + y) / 2, (np.sqrt(3) * y - x) / 2
    return (along**2 + 100 * across**2) / 2


def _plateau(x: Any, y: Any) -> Any:
    return 1 - np.exp(-(x**2 + y**2) / 2)


LANDSCAPES: dict[str, Landscape] = {
    landscape.name: landscape
    for landscape in (
        Landscape(
            "rosenbrock", _rosenbrock, "(1 - x)**2 + 100*(y - x**2)**2", ((-2.0, 2.0), (-0.75, 2.25)), (-1.2, 1.0), ((1.0, 1.0),),
            "Rosenbrock, 1960, The Computer Journal 3(3), 175-184; start of the paper",
        ),
        Landscape(
            "beale", _beale, "(1.5 - x*(1 - y))**2 + (2.25 - x*(1 - y**2))**2 + (2.625 - x*(1 - y**3))**2",
            ((-1.0, 5.0), (-2.5, 2.0)), (1.0, 1.0), ((3.0, 0.5),),
            "Beale, 1958; problem 5 of Moré, Garbow and Hillstrom, 1981, ACM TOMS 7(1), 17-41, with its start",
        ),
        Landscape(
            "himmelblau", _himmelblau, "(x**2 + y - 11)**2 + (x + y**2 - 7)**2", ((-6.0, 6.0), (-4.75, 4.25)), (0.0, 0.0),
            (
                (3.0, 2.0), (-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.2831859912861694),
                (3.584428340330492, -1.8481265269644034),
            ),
            "Himmelblau, 1972, Applied Nonlinear Programming",
        ),
        Landscape(
            "rastrigin", _rastrigin, "20 + x**2 - 10*cos(2*pi*x) + y**2 - 10*cos(2*pi*y)", ((-4.4, 4.4), (-3.3, 3.3)), (-3.3, 2.4),
            ((0.0, 0.0),), "Rastrigin, 1974; in this form Mühlenbein, Schomisch and Born, 1991, Parallel Computing 17, 619-632",
        ),
        Landscape(
            "ackley", _ackley, "20 - 20*exp(-0.2*sqrt((x**2 + y**2)/2)) + e - exp((cos(2*pi*x) + cos(2*pi*y))/2)",
            ((-4.4, 4.4), (-3.3, 3.3)), (-3.2, 2.3), ((0.0, 0.0),),
            "Ackley, 1987, A Connectionist Machine for Genetic Hillclimbing; the gradient is undefined at the minimum, a kink",
        ),
        Landscape(
            "saddle", _saddle, "x**2/2 - y**2/2 + y**4/4", ((-2.0, 2.0), (-1.5, 1.5)), (-1.6, 0.001), ((0.0, -1.0), (0.0, 1.0)),
            "a strict saddle at the origin between two minima, bounded below; the start is a thousandth off the ridge",
        ),
        Landscape(
            "ravine", _ravine, "(u**2 + 100*v**2)/2 with u = (sqrt(3)*x + y)/2, v = (sqrt(3)*y - x)/2", ((-2.4, 2.4), (-1.8, 1.8)),
            (-2.0, -0.4), ((0.0, 0.0),), "a quadratic of condition number 100, turned by 30 degrees",
        ),
        Landscape(
            "plateau", _plateau, "1 - exp(-(x**2 + y**2)/2)", ((-4.0, 4.0), (-3.0, 3.0)), (-2.8, 1.6), ((0.0, 0.0),),
            "a well in a plain: the gradient at the start is 0.02 long, and 0.61 on the well's wall",
        ),
    )
}  # fmt: skip

_OWN_DOMAIN: Domain = ((-4.0, 4.0), (-3.0, 3.0))


def landscape(subject: str | Landscape | Callable[..., Any], *, domain: Domain | None = None) -> Landscape:
    """The landscape of a name, of an expression in two variables, or of a Python function of two numbers.

    >>> landscape("a*a + sin(b)").axes
    ('a', 'b')
    >>> landscape("rosenbruck")
    Traceback (most recent call last):
    compgraph.errors.InputError: no landscape 'rosenbruck'; did you mean rosenbrock? ...

    An expression is read by `cg.parse`, which executes nothing; its variables are the axes, in alphabetical order.
    `domain` is the part of it to draw, ((x from, x to), (y from, y to)). Raises `InputError`.
    """
    if isinstance(subject, Landscape):
        found = subject
    elif isinstance(subject, str):
        found = LANDSCAPES.get(subject.strip().lower()) or _expression(subject)
    elif callable(subject):
        found = _own_function(subject)
    else:
        raise cg.InputError(f"a landscape is a name, an expression or a function of two numbers, not {type(subject).__name__}{cg.here()}")
    return found if domain is None else replace(found, domain=_checked_domain(domain))


def search(ground: Landscape) -> Landscape:
    """`ground` with the lowest point of its domain as its minimum, where one lies inside.

    >>> search(landscape("(a - 1)**2 + b**2")).minima
    ((1.0, 0.0),)

    A grid of 201 x 201 points, then ever finer ones around its lowest point: good for pictures, no proof.
    """
    (x_from, x_to), (y_from, y_to) = ground.domain
    xs, ys = np.linspace(x_from, x_to, 201), np.linspace(y_from, y_to, 201)
    for finer in range(12):
        with np.errstate(all="ignore"):
            heights = np.asarray(ground(*np.meshgrid(xs, ys)), dtype=float)
        defined = np.isfinite(heights)
        row, column = np.unravel_index(np.argmin(np.where(defined, heights, np.inf)), heights.shape)
        if not finer and (row in (0, len(ys) - 1) or column in (0, len(xs) - 1)):
            return ground
        reach = 2 * (xs[1] - xs[0]), 2 * (ys[1] - ys[0])
        lowest = np.array([xs[column], ys[row]])
        xs, ys = (np.linspace(centre - far, centre + far, 21) for centre, far in zip(lowest, reach, strict=True))
    if not defined.all():  # the way down leads to where the function ends
        return ground
    rounded = lowest.round(6) + 0.0  # a round number if it is as low, and no minus zero
    if ground(*rounded) <= ground(*lowest):
        lowest = rounded
    return replace(ground, minima=((float(lowest[0]), float(lowest[1])),), searched=True)


def _expression(text: str) -> Landscape:
    if text.strip().isidentifier():
        near = difflib.get_close_matches(text.strip().lower(), LANDSCAPES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise cg.InputError(
            f"no landscape {text.strip()!r:.60}; {hint}There are {', '.join(LANDSCAPES)}, or an expression in x and y{cg.here()}"
        )
    graph = cg.parse(text)
    axes = sorted(graph.names[node] for node in graph.inputs)
    if len(axes) != 2:
        has = f"{len(axes)} ({', '.join(axes)})" if axes else "none"
        raise cg.InputError(f"a landscape has two variables, such as x and y; {text.strip()!r:.60} has {has}{cg.here()}")
    graph = cg.parse(text, axes)
    return Landscape(
        text.strip(), lambda x, y: graph.run([x, y])[0], text.strip(), _OWN_DOMAIN, (-2.4, 1.2), axes=(axes[0], axes[1])
    )  # fmt: skip


def _own_function(function: Callable[..., Any]) -> Landscape:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some functions written in C say nothing about themselves
        parameters = []
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one for one in positional if one.default is one.empty]
    if parameters and not any(one.kind is one.VAR_POSITIONAL for one in parameters) and not len(needed) <= 2 <= len(positional):
        raise cg.InputError(
            f"a landscape is a function of two numbers; {name} takes {', '.join(one.name for one in positional) or 'none'}{cg.here()}"
        )
    axes = (positional[0].name, positional[1].name) if len(positional) > 1 else ("x", "y")
    title = "f" if name == "<lambda>" else name
    return Landscape(title, function, f"{title}({', '.join(axes)})", _OWN_DOMAIN, (-2.4, 1.2), axes=axes)


def _checked_domain(domain: Domain) -> Domain:
    try:
        (x_from, x_to), (y_from, y_to) = ((float(a), float(b)) for a, b in domain)
    except (TypeError, ValueError):
        raise cg.InputError(f"domain {domain!r:.60}: it is ((x from, x to), (y from, y to)){cg.here()}") from None
    if not (np.isfinite([x_from, x_to, y_from, y_to]).all() and x_from < x_to and y_from < y_to):
        raise cg.InputError(f"domain {domain!r:.60}: each side goes from a number to a larger one{cg.here()}")
    return (x_from, x_to), (y_from, y_to)
