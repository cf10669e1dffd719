"""Grades for derivative rules that people write: right or wrong, and where and how wrong.

    >>> import numpy as np, compgraph as cg
    >>> def sigmoid(x):
    ...     return 1 / (1 + np.exp(-x))
    >>> rules = {
    ...     "Ada": lambda y, x: y * (1 - y),
    ...     "Bob": lambda y, x: y * (y - 1),
    ...     "Cy": lambda y, x: 2 * y * (1 - y),
    ... }
    >>> print(cg.grade({name: cg.custom_derivative(sigmoid, partials=rule) for name, rule in rules.items()}, [0.3, -1.0, 2.0]))
    name  by  verdict       hint
    Ada   x   right
    Bob   x   wrong sign    is -1 times the right one everywhere
    Cy    x   wrong factor  is 2 times the right one everywhere

A rule is run at the point and at four near it, on random adjoints, and compared with the derivative of the function itself,
which the engine finds, or differences where the function cannot be traced. What is wrong is compared with right
derivations from which one thing was left out: one local partial, or one way from a result back to an argument.
"""

from __future__ import annotations

import inspect
import linecache
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from compgraph.errors import CompgraphError, InputError
from compgraph.formulas import expression
from compgraph.forward_mode import value_of
from compgraph.grades import Grade, Grades, Mark
from compgraph.graph import Graph, Node, active_nodes, placeholder
from compgraph.kinks import kinks
from compgraph.literals import number
from compgraph.mistakes import explained
from compgraph.nonfinite import evaluated, swept
from compgraph.numerical import Array, central_differences, inner
from compgraph.operands import as_operand
from compgraph.origins import here, library_files
from compgraph.reverse_mode import sweep, unbroadcast
from compgraph.symbolic import local_partial
from compgraph.tracing import trace

NEAR = 4  # points beside the given one
SECONDS = 5.0  # for one run of a rule
ENTRIES = 200  # of an argument by which differences are taken


def grade(functions: Any, /, *args: Any, backward: Any = None, seed: int = 0) -> Any:
    """Grade a function's derivative rule at a point: a `Grade`, or `Grades` for several in a dict or a list.

    >>> import numpy as np, compgraph as cg
    >>> def softmax(x):
    ...     return np.exp(x) / np.sum(np.exp(x))
    >>> def rule(y_bar, x):
    ...     y = softmax(x)
    ...     return y * y_bar
    >>> print(cg.grade(softmax, [0.5, 1.0, -1.0], backward=rule).verdict)
    missing term

    `functions` made by `cg.custom_derivative` bring their rules. `backward` is the rule, or a dict or list of rules, of one
    plain function: `backward(y_bar, *args)` returns the adjoint of the argument, or a tuple of one an argument.

    At a kink any value between the two sides will do: there a rule has to give a number, and is judged beside it.

    A rule that raises, never ends, gives NaN, or gives another shape gets a grade that says so, with its line: nothing of
    it is raised here. Raises `InputError` for what is no function with a rule, and what the function itself raises.
    """
    if backward is None:
        several = _named(functions)
        if several is None:
            return _grade(_name_of(functions), functions, None, args, seed)
        return Grades(tuple(_grade(name, one, None, args, seed) for name, one in several.items()))
    if not callable(functions):
        raise InputError(f"grade takes one function beside backward=, not {type(functions).__name__}{here()}")
    several = _named(backward)
    if several is None:
        return _grade(_name_of(backward), functions, backward, args, seed)
    return Grades(tuple(_grade(name, functions, one, args, seed) for name, one in several.items()))


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _named(functions: Any) -> dict[str, Any] | None:
    if isinstance(functions, Mapping):
        return {str(name): one for name, one in functions.items()}
    if not isinstance(functions, (list, tuple)):
        return None
    named: dict[str, Any] = {}
    for one in functions:
        name = _name_of(one)
        named[name if name not in named else f"{name} {len(named) + 1}"] = one
    return named


# --------------------------------------------------------------------------------------------- points


@dataclass
class Point:
    """A point, the value there, and a random adjoint of it."""

    xs: list[Any]
    y: Any
    y_bar: Any


class Samples:
    """A function at some points, with the right adjoints of its arguments there."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], seed: int) -> None:
        generator = np.random.default_rng(seed)
        xs = [_operand(arg) for arg in args]
        self.moving = [place for place, x in enumerate(xs) if x.dtype.kind == "f"]
        if not self.moving:
            raise InputError(f"grade: {_name_of(function)} was given no floating-point argument{here()}")
        try:
            names = [name for name, _ in zip(inspect.signature(function).parameters, xs, strict=False)]
        except (TypeError, ValueError):
            names = []
        self.names = names if len(names) == len(xs) else [f"x{place}" for place in range(1, len(xs) + 1)]
        self.graph = _traced(function, xs)
        self.points = []
        for number_ in range(1 + NEAR):
            moved = [_near(x, generator) if number_ and place in self.moving else x for place, x in enumerate(xs)]
            point = self._point(function, moved, generator, asked=number_ == 0)
            if point is not None:
                self.points.append(point)
        # At a kink any value between the two sides is a convention: a rule is run there, and judged beside it.
        self.kink = self.points[0] if self.graph is not None and len(self.points) > 1 and self._has_kink(self.points[0]) else None
        self.points = self.points[self.kink is not None :]
        self.right = [self._adjoints(function, point) for point in self.points]
        self.tolerance = 1e-9 if self.graph is not None else 1e-5
        self.noise = max((_noise(self.graph, point) for point in self.points), default=0.0) if self.graph is not None else 0.0

    def _has_kink(self, point: Point) -> bool:
        assert self.graph is not None
        return bool(kinks(self.graph, evaluated(self.graph, point.xs)))

    def _point(self, function: Callable[..., Any], xs: list[Any], generator: np.random.Generator, *, asked: bool) -> Point | None:
        try:
            with np.errstate(all="ignore"):
                y = np.asarray(function(*[_copied(x) for x in xs]))[()]
        except Exception:
            if asked:
                raise
            return None
        if not np.isfinite(y).all():
            if asked:
                raise InputError(f"grade: {_name_of(function)} is not finite at the point; grade the rule where it has a value{here()}")
            return None
        y_bar = generator.uniform(0.5, 1.5, np.shape(y)) * generator.choice([-1.0, 1.0], np.shape(y))
        return Point(xs, y, np.asarray(y_bar)[()])

    def _adjoints(self, function: Callable[..., Any], point: Point) -> dict[int, Array]:
        if self.graph is not None:
            return _swept(self.graph, point, self.moving)
        return {place: _by_differences(function, point, place) for place in self.moving}


def _operand(arg: Any) -> Any:
    value = as_operand(arg)
    if isinstance(value, (bool, int, float)):
        return np.float64(value)
    array = np.asarray(value)
    return array.astype(np.float64)[()] if isinstance(arg, (list, tuple, float)) or array.dtype.kind == "f" else array[()]


def _near(x: Any, generator: np.random.Generator) -> Any:
    return (x + 0.1 * np.maximum(0.1, abs(x)) * generator.uniform(-1, 1, np.shape(x)))[()]


def _copied(x: Any) -> Any:
    return np.array(x)[()]


def _traced(function: Callable[..., Any], xs: list[Any]) -> Graph | None:
    """The function's graph; None where it calls what cannot be traced, or does not depend on its arguments by operations."""
    try:
        graph = trace(function, *xs)
    except Exception:
        return None
    return graph if len(graph.outputs) == 1 and graph.outputs[0].dtype.kind == "f" and len(graph.inputs) == len(xs) else None


def _swept(graph: Graph, point: Point, moving: list[int]) -> dict[int, Array]:
    """The adjoints of the inputs at the places `moving`."""
    wanted = [graph.inputs[place] for place in moving]
    values = evaluated(graph, point.xs)
    with np.errstate(all="ignore"):
        found = sweep(graph.nodes, {graph.outputs[0]: point.y_bar}, active_nodes(graph.nodes, wanted), values.__getitem__)
    return {place: np.asarray(found.get(node, np.zeros(node.shape))) for place, node in zip(moving, wanted, strict=True)}


def _noise(graph: Graph, point: Point) -> float:
    """What rounding leaves of an adjoint that cancels: of the summands anywhere in the sweep, per unit of the inputs."""
    values = evaluated(graph, point.xs)
    _, terms = swept(graph, values)
    largest = max((float(abs(term.value).max(initial=0.0) * np.max(abs(values[term.arg]), initial=0.0)) for term in terms), default=0.0)
    size = max((float(np.max(abs(x), initial=1.0)) for x in map(np.asarray, point.xs) if x.dtype.kind == "f"), default=1.0)
    return 1e-14 * largest / size


def _by_differences(function: Callable[..., Any], point: Point, place: int) -> Array:
    x = np.asarray(point.xs[place])
    if x.size > ENTRIES:
        raise InputError(f"grade: differences by more than {ENTRIES} entries; grade the rule on a smaller example{here()}")
    found = np.zeros(x.shape)
    for entry in np.ndindex(x.shape):

        def path(step: float, nudge: float, entry: tuple[int, ...] = entry) -> Array:
            moved = x.copy()
            moved[entry] += step
            return np.array([inner(point.y_bar, np.asarray(function(*point.xs[:place], moved[()], *point.xs[place + 1 :])))])

        found[entry] = central_differences(path, 0.05 * max(1.0, abs(float(x[entry]))))[0][0]
    return found


# ------------------------------------------------------------------------------------- running a rule


class _TooSlowError(BaseException):
    """Past the `except Exception` of a rule."""


def _bounded(call: Callable[[], Any]) -> Any:
    """The result of Python code that is stopped between two of its instructions when its time is over."""
    until = time.monotonic() + SECONDS

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True  # a loop on one line has no second line
        if time.monotonic() > until:
            raise _TooSlowError
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        with np.errstate(all="ignore"):
            return call()
    finally:
        sys.settrace(before)


def _student_line(error: BaseException) -> tuple[str, str]:
    """File and line, and its text, of the last frame that is not ours."""
    place, line, traceback = "", "", error.__traceback__
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if not library_files[filename]:
            place = f"{os.path.basename(filename)}:{traceback.tb_lineno}"
            line = linecache.getline(filename, traceback.tb_lineno).strip()
        traceback = traceback.tb_next
    return place, line


def _rule_of(function: Any, place: int) -> Any:
    """The function that states a custom rule for one argument."""
    _, rule = function.primitive.stated
    return rule[place] if isinstance(rule, (tuple, list)) and place < len(rule) else rule


def _place_of(rule: Any) -> tuple[str, str]:
    code = getattr(rule, "__code__", None)
    if code is None or library_files[code.co_filename]:
        return "", ""
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}", linecache.getline(code.co_filename, code.co_firstlineno).strip()


def _pulled(function: Any, backward: Any, samples: Samples, point: Point, place: int) -> Any:
    """The adjoint of an argument as the rule has it, in whatever shape."""
    xs, y_bar = [_copied(x) for x in point.xs], _copied(point.y_bar)
    if backward is not None:
        found = backward(y_bar, *xs)
        if not isinstance(found, (tuple, list)):
            found = (found,)
        if len(found) == len(samples.moving):
            return found[samples.moving.index(place)]
        if len(found) == len(xs):
            return found[place]
        if len(samples.moving) == 1 and isinstance(found, list):
            return found  # an array as a list of numbers
        raise ValueError(f"it gave {counted(len(found), 'adjoint')} for {counted(len(samples.moving), 'argument')}")
    kind, rule = function.primitive.stated
    if kind == "transpose":
        rule = rule[place] if isinstance(rule, (tuple, list)) else rule
        return np.zeros(np.shape(xs[place])) if rule is None else rule(y_bar, *xs)
    leaf = Node(None, (), {}, xs[place])
    alone = Node(function.primitive, tuple(leaf if index == place else x for index, x in enumerate(xs)), {}, point.y)
    found = sweep([alone], {alone: y_bar}, {leaf}, value_of).get(leaf)
    return np.zeros(np.shape(xs[place])) if found is None else found


# --------------------------------------------------------------------------------------------- marking


def _grade(name: str, function: Any, backward: Any, args: tuple[Any, ...], seed: int) -> Grade:
    if backward is None and getattr(getattr(function, "primitive", None), "stated", None) is None:
        said = "a function made by cg.custom_derivative, or a function and backward="
        raise InputError(f"grade takes {said}; {name} has no rule{here()}")
    if backward is not None and not callable(backward):
        raise InputError(f"grade: backward= is a function (y_bar, *args), not {type(backward).__name__}{here()}")
    plain = getattr(function, "__wrapped__", function)
    samples = Samples(plain, args, seed)
    return Grade(name, tuple(_mark(function, backward, samples, place) for place in samples.moving))


def _mark(function: Any, backward: Any, samples: Samples, place: int) -> Mark:
    rule = backward if backward is not None else _rule_of(function, place)
    at, line = _place_of(rule)
    about: dict[str, Any] = {"argument": samples.names[place], "place": at, "line": line}
    try:
        found = [_bounded(partial(_pulled, function, backward, samples, point, place)) for point in samples.points]
        again = _bounded(partial(_pulled, function, backward, samples, samples.points[0], place))
        there = [] if samples.kink is None else [_bounded(partial(_pulled, function, backward, samples, samples.kink, place))]
    except _TooSlowError:
        return Mark(**about, verdict="too slow", hint=f"it took more than {SECONDS:g} s and was stopped")
    except (Exception, SystemExit) as error:
        where, text = _student_line(error)
        about |= {"place": where or at, "line": text or line}
        return Mark(**about, verdict="raised", hint=f"{type(error).__name__}: {' '.join(str(error).split())}")
    right = [one[place] for one in samples.right]
    verdict, hint, ratio = _judged(found, again, there, right, samples, place)
    if verdict in ("right", "wrong shape", "not finite"):
        return Mark(**about, verdict=verdict, hint=hint, ratio=ratio)
    return Mark(**about, verdict=verdict, hint=hint, ratio=ratio, written=_written(function, backward, place, found),
                right=_derived(function, backward, place, right))  # fmt: skip


def _judged(
    found: list[Any], again: Any, there: list[Any], right: list[Array], samples: Samples, place: int
) -> tuple[str, str, float | None]:
    x = samples.points[0].xs[place]
    try:
        given = [np.asarray(one) for one in found]
        if any(one.dtype.kind not in "biuf" for one in given):
            raise TypeError
        arrays = [one.astype(np.float64) for one in given]
    except (TypeError, ValueError):
        said = "complex numbers" if np.iscomplexobj(found[0]) else f"{type(found[0]).__name__}, which is no array of numbers"
        return "wrong shape", f"it gave {said}", None
    if arrays[0].shape != np.shape(x):
        return _misshapen(arrays, right, x, samples.tolerance)
    if not all(np.isfinite(one).all() for one in arrays):
        return "not finite", f"it gave {number(arrays[0][()])}", None
    if not np.array_equal(arrays[0], np.asarray(again, dtype=np.float64)):
        return "not the same twice", "it gives another result when it is run again", None
    if close(arrays, right, samples.tolerance, samples.noise) and all(_is_sound(one, x) for one in there):
        return "right", "", None
    if there and not _is_sound(there[0], x):
        return "not finite", f"at the kink it gave {number(np.asarray(there[0])[()])}", None
    ratio = _constant_ratio(arrays, right, samples.tolerance)
    if ratio is not None:
        return _by_ratio(ratio, samples, place)
    if close([one.T for one in arrays], right, samples.tolerance):
        return "transposed", "its transpose is right", None
    mistake = explained(samples, arrays, place)
    if mistake is not None:
        return (*mistake, None)
    worst = np.unravel_index(int(np.argmax(abs(arrays[0] - right[0]))), arrays[0].shape)
    entry = f" at entry {', '.join(map(str, worst))}" if worst else ""
    return "wrong", f"{number(arrays[0][worst])} for {number(right[0][worst])}{entry}", None


def _is_sound(found: Any, x: Any) -> bool:
    return bool(np.shape(found) == np.shape(x) and np.isfinite(np.asarray(found, dtype=np.float64)).all())


def close(arrays: list[Array], right: list[Array], tolerance: float, noise: float = 0.0) -> bool:
    """Whether all agree, relative to the largest entry of each, or are no more than `noise` both."""
    return all(
        one.shape == true.shape
        and bool(
            np.all(abs(one - true) <= tolerance * max(float(abs(true).max(initial=0.0)), 1e-300))
            or max(float(abs(one).max(initial=0.0)), float(abs(true).max(initial=0.0))) <= noise
        )
        for one, true in zip(arrays, right, strict=True)
    )


def _misshapen(arrays: list[Array], right: list[Array], x: Any, tolerance: float) -> tuple[str, str, float | None]:
    shape, wanted = arrays[0].shape, np.shape(x)
    said = f"the adjoint has shape {shape}, the argument has {wanted}"
    try:
        fits = np.broadcast_shapes(shape, wanted) == shape
    except ValueError:
        fits = False
    if fits:
        summed = [np.asarray(unbroadcast(one, np.asarray(x))) for one in arrays]
        if close(summed, right, tolerance):
            kept = (1,) * (len(shape) - len(wanted)) + wanted
            axes = [axis for axis, (one, other) in enumerate(zip(shape, kept, strict=True)) if one != other]
            return "not unbroadcast", f"{said}: sum it over ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}", None
    if shape[::-1] == wanted and close([one.T for one in arrays], right, tolerance):
        return "transposed", f"{said}: its transpose is right", None
    return "wrong shape", said, None


def _constant_ratio(arrays: list[Array], right: list[Array], tolerance: float) -> float | None:
    """What the rule is times the right one, if that is one number everywhere."""
    one, true = (np.concatenate([array.ravel() for array in arrays_]) for arrays_ in (arrays, right))
    unit = float(abs(true).max(initial=0.0)) or 1.0  # squares of tiny numbers vanish
    size = float(true / unit @ (true / unit))
    ratio = float(one / unit @ (true / unit)) / size if size else math.nan
    if not math.isfinite(ratio) or np.any(abs(one - ratio * true) > max(tolerance, 1e-7) * max(abs(one).max(), abs(ratio * true).max())):
        return None
    simple = round(ratio * 120) / 120
    return simple if abs(ratio - simple) <= 1e-6 * abs(ratio) else ratio


def _by_ratio(ratio: float, samples: Samples, place: int) -> tuple[str, str, float | None]:
    if ratio == 0:
        return "zero", "it is 0 everywhere", 0.0
    if ratio == -1:
        return "wrong sign", "is -1 times the right one everywhere", ratio
    point = samples.points[0]
    lengths = {float(length) for shape in (np.shape(point.xs[place]), np.shape(point.y)) for length in (*shape, math.prod(shape))} - {1.0}
    hint = f"is {ratio:.6g} times the right one everywhere"
    for factor, word in ((ratio, "has the factor"), (1 / ratio, "lacks the factor")):
        size = abs(round(factor))
        if abs(factor - round(factor)) < 1e-6 and size > 1 and (factor != ratio or float(size) in lengths):
            hint += f": {word} {round(factor)}" + (", the number of entries" if float(size) in lengths else "")
            break
    return "wrong factor", hint, ratio


# ---------------------------------------------------------------------------- the rule, and the right one


def _written(function: Any, backward: Any, place: int, found: list[Any]) -> str:
    """The rule as a formula where it can be run on symbols; otherwise its numbers."""
    if backward is None and function.primitive.stated[0] == "partials":
        names = [name for name, _ in zip(inspect.signature(function).parameters, function.primitive.partials, strict=False)]
        symbols = [placeholder((), np.dtype(np.float64), name) for name in ("y", *names)]
        try:
            built = function.primitive.partials[place](*symbols)
            known = {symbol: symbol.name for symbol in symbols}
            return expression(built, known.get).text if isinstance(built, Node) else str(built)
        except (CompgraphError, ArithmeticError, TypeError, ValueError, AttributeError):
            pass
    return number(np.asarray(found[0])[()])


def _derived(function: Any, backward: Any, place: int, right: list[Array]) -> str:
    """The right rule as SymPy derives it, where the written one is a formula too; otherwise its numbers."""
    if backward is None and function.primitive.stated[0] == "partials":
        try:
            symbols, derivative = local_partial(function.primitive.sympy, len(function.primitive.partials), place)
            names = inspect.signature(function).parameters
            renamed = dict(zip(symbols, (type(symbol)(name, real=True) for symbol, name in zip(symbols, names, strict=True)), strict=True))
            return str(derivative.xreplace(renamed))
        except (CompgraphError, ArithmeticError, TypeError, ValueError, AttributeError):
            pass
    return number(right[0][()])
