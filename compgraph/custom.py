"""Derivative rules of the user's own, for functions of arrays that are no compositions of the table's primitives.

A rule is stated once, in one of the three ways of `primitives/kinds.py`, and makes a primitive: both sweeps, vector mode,
nested derivatives, the programs and `cg.check` treat it as any other. It is known by itself and not entered into the
table, so nothing outlives the function.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from compgraph.errors import DtypeError, InputError, ShapeError
from compgraph.graph import PRIMITIVES, Aval, Node, Primitive, bind
from compgraph.operands import as_operand
from compgraph.origins import here
from compgraph.primitives.kinds import Rule, entrywise, infer_elementwise, shape_of
from compgraph.programs import is_name
from compgraph.tracing import trace

_serials: dict[str, itertools.count[int]] = {}


def custom_derivative(
    function: Callable[..., Any] | None = None,
    *,
    partials: Rule | Sequence[Rule | None] | None = None,
    transpose: Rule | Sequence[Rule | None] | None = None,
    tangent: Rule | None = None,
    groups: tuple[tuple[int, ...], ...] | None = None,
    infer: Callable[..., Aval] | None = None,
    batch: Rule | None = None,
) -> Any:
    """Give a Python function of arrays a derivative rule, as a decorator or in a call.

    >>> import numpy as np, compgraph as cg
    >>> @cg.custom_derivative(partials=lambda y, x: 1 / (1 + np.exp(-x)))
    ... def log1pexp(x):
    ...     return np.logaddexp(x, 0.0)
    >>> float(cg.grad(log1pexp)(800.0)), float(cg.grad(cg.grad(log1pexp))(0.0))
    (1.0, 0.25)

    The function computes with arrays and may do so in any way. The rule is written in `np.*`, so that it can be
    differentiated again, and is stated in exactly one way:

    - `partials(y, *xs)`, of a function of each entry by itself: the local partial by each argument, a tuple of them for
      several arguments, or a tuple of functions with one an argument; None where there is no derivative.
    - `transpose(y_bar, *xs)`, of a linear function: the adjoint of the argument, or a tuple of such functions, None for
      arguments that have no derivative. The function has to be linear in each of `groups` of arguments, jointly in
      those of a group; by default each argument stands for itself.
    - `tangent(y, x_dots, *xs)`, of any function: the tangent of y, linear in the `x_dots`, of which those that are
      structurally zero are None.

    Arguments after a `*` in the function's signature are no arrays: they are given by name, and to the rule too. Shapes
    of the results of `transpose` and `tangent` functions are found by running them on ones, or by `infer(*xs)`, which
    gives a shape and a dtype. `batch` is the rule for vector mode; without one such functions are applied one by one.
    Check a rule with `cg.check(f, *args)`. Raises `InputError` for a rule that is missing or stated twice, and
    `ShapeError`, when it is used, for one that gives a wrong number of results or a wrong shape.
    """
    rules = {"partials": partials, "transpose": transpose, "tangent": tangent}
    given = [name for name, rule in rules.items() if rule is not None]
    if len(given) != 1:
        found = "none is given" if not given else f"{' and '.join(given)} are given"
        raise InputError(f"custom_derivative takes exactly one of partials=, transpose= and tangent=, {found}{here()}")
    if groups is not None and transpose is None:
        raise InputError(f"groups= says in what a function with a transpose= is linear; {given[0]}= takes none{here()}")
    if partials is not None and (infer is not None or batch is not None):
        raise InputError(f"a function with partials= works entry by entry, which says its shape and its batch: leave them out{here()}")

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        primitive, arity, names = _primitive(function, given[0], rules[given[0]], groups, infer, batch)
        primitive.stated = (given[0], rules[given[0]])
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise InputError(f"{function.__name__}: {error}{here()}") from None
            bound.apply_defaults()
            xs = [x if isinstance(x, Node) else as_operand(x) for x in bound.args[:arity]]
            return bind(primitive, *xs, **{name: bound.arguments[name] for name in names})

        call.primitive = primitive  # type: ignore[attr-defined]
        return call

    return decorated if function is None else decorated(function)


def _primitive(
    function: Callable[..., Any], kind: str, rule: Any, groups: Any, infer: Any, batch: Any
) -> tuple[Primitive, int, list[str]]:
    """The primitive of a function, how many arrays it takes, and the names of its other arguments."""
    if not callable(function):
        raise InputError(f"custom_derivative takes a function, not {type(function).__name__}{here()}")
    arity, names = _arguments(function)
    if names and kind == "partials":
        raise InputError(f"{function.__name__}: partials= are functions of arrays alone; with {names[0]}= state tangent= instead{here()}")
    name = _unique(function.__name__)
    code = f"{name}({', '.join([*(f'{{{place}}}' for place in range(arity)), *(f'{one}={{{one}}}' for one in names)])})"
    about: dict[str, Any] = {"helper": _helper(function, name), "label": function.__name__, "cost": "transcendentals"}
    checked = _Checked(name, arity)
    if kind == "partials":
        primitive = Primitive(name, code, infer=_not_yet, partials=checked.partials(rule), sympy=_symbolic(function), **about)
        primitive.infer, primitive.batch = infer_elementwise(primitive), entrywise(primitive)
        return primitive, arity, names
    if kind == "transpose":
        groups = tuple((place,) for place in range(arity)) if groups is None else groups
        rules = checked.transposes(rule)
        groups = tuple(group for group in groups if any(rules[place] is not None for place in group))
        primitive = Primitive(name, code, infer=_not_yet, transpose=rules, groups=groups, batch=batch, **about)
    else:
        primitive = Primitive(name, code, infer=_not_yet, tangent=checked.tangent(rule), batch=batch, **about)
    primitive.infer = infer or _inferred_on_ones(primitive)
    return primitive, arity, names


def _symbolic(function: Callable[..., Any]) -> Rule:
    """The function of SymPy's symbols: by its own operators where it has no other, and otherwise through its graph."""

    def form(sp: Any, *xs: Any) -> Any:
        try:
            return function(*xs)
        except (TypeError, AttributeError):  # NumPy's functions take no symbols
            graph = trace(function, *(0.5,) * len(xs))
            return graph.to_sympy().xreplace(
                {sp.Symbol(graph.names[node], real=True): x for node, x in zip(graph.inputs, xs, strict=True)}
            )

    return form


def _not_yet(*_: Any) -> Aval:
    """Stands for the shape rule that needs the primitive, until the primitive exists."""
    raise NotImplementedError


def _arguments(function: Callable[..., Any]) -> tuple[int, list[str]]:
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter
    variadic = [one.name for one in parameters if one.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    if variadic:
        raise InputError(f"{function.__name__}: custom_derivative needs a fixed number of arguments, *{variadic[0]} is open{here()}")
    positional = [one.name for one in parameters if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    if not positional:
        raise InputError(f"{function.__name__} takes no array to differentiate by{here()}")
    return len(positional), [one.name for one in parameters if one.kind is kinds.KEYWORD_ONLY]


def _unique(wish: str) -> str:
    """A name that no primitive of the table and no other function of the user's has."""
    wish = wish if is_name(wish) else "custom"
    serials = _serials.setdefault(wish, itertools.count(1))
    names = (wish if serial == 1 else f"{wish}_{serial}" for serial in serials)
    return next(name for name in names if name not in PRIMITIVES)


def _helper(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function under its primitive's name, with arrays as results, and with its text for programs."""

    def helper(*xs: Any, **params: Any) -> Any:
        result = function(*xs, **params)
        if isinstance(result, Node):
            raise DtypeError(f"{function.__name__} gave a node for arrays: it closes over one. Pass that as an argument")
        value = np.asarray(result)
        symbolic = value.dtype.kind == "O" and any(getattr(x, "dtype", None) == np.dtype(object) for x in xs)  # SymPy's, in a check
        if value.dtype.kind not in "fiubc" and not symbolic:
            raise DtypeError(f"{function.__name__} returned {type(result).__name__}, which is not a number or an array")
        return value[()]

    helper.__name__ = name
    helper.source = _source(function, name)  # type: ignore[attr-defined]
    return helper


def _source(function: Callable[..., Any], name: str) -> str | None:
    """The function's own text under another name and without decorators and annotations; None where Python cannot find it."""
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(parsed, ast.FunctionDef):
        return None
    parsed.name, parsed.decorator_list, parsed.returns = name, [], None
    for one in ast.walk(parsed.args):
        if isinstance(one, ast.arg):
            one.annotation = None  # it may name what the program does not import
    return ast.unparse(parsed)


def _inferred_on_ones(primitive: Primitive) -> Callable[..., Aval]:
    def infer(*xs: Any, **params: Any) -> Aval:
        ones = [np.ones(x.shape, x.dtype)[()] if hasattr(x, "dtype") else x for x in xs]
        try:
            with np.errstate(all="ignore"):
                value = primitive.evaluate(*ones, **params)
        except Exception as error:
            message = f"its shape could not be found by running it on ones ({error}); give custom_derivative infer=, a function of "
            raise ShapeError(f"{message}the arguments that returns (shape, dtype)") from error
        return value.shape, value.dtype

    return infer


class _Checked:
    """The user's rules, with an error in words where they do not give what they should."""

    def __init__(self, name: str, arity: int) -> None:
        self.name, self.arity = name, arity

    def refuse(self, what: str) -> ShapeError:
        return ShapeError(f"the rule of {self.name}: {what}{here()}")

    def listed(self, rule: Any, what: str) -> tuple[Rule | None, ...]:
        """One function an argument."""
        rules = tuple(rule) if isinstance(rule, (tuple, list)) else (rule,)
        if len(rules) != self.arity:
            found = f"{self.name} takes {self.arity} arrays, {what}= has {len(rules)} rules"
            raise InputError(f"{found}: one an argument, None for no derivative{here()}")
        wrong = next((one for one in rules if one is not None and not callable(one)), None)
        if wrong is not None or all(one is None for one in rules):
            raise InputError(f"{self.name}: {what}= takes functions, not {type(wrong).__name__}{here()}")
        return rules

    def partials(self, rule: Any) -> tuple[Rule | None, ...]:
        if not callable(rule):
            return tuple(rule and self.partial(rule, place) for place, rule in enumerate(self.listed(rule, "partials")))

        def entry(place: int) -> Rule:
            def one(y: Any, *xs: Any) -> Any:
                found = rule(y, *xs)
                found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
                if len(found) != self.arity:
                    raise self.refuse(f"partials= gave {len(found)} partials for {self.arity} arguments")
                return found[place]

            return self.partial(one, place)

        return tuple(map(entry, range(self.arity)))

    def partial(self, rule: Rule, place: int) -> Rule:
        def one(y: Any, *xs: Any) -> Any:
            found = rule(y, *xs)
            try:
                fits = np.broadcast_shapes(shape_of(found), y.shape) == y.shape
            except ValueError:
                fits = False
            if not fits:
                raise self.refuse(f"the partial by argument {place} has shape {shape_of(found)}, the result has {y.shape}")
            return found

        return one

    def transposes(self, rule: Any) -> tuple[Rule | None, ...]:
        return tuple(rule and self.transpose(rule, place) for place, rule in enumerate(self.listed(rule, "transpose")))

    def transpose(self, rule: Rule, place: int) -> Rule:
        def one(y_bar: Any, *xs: Any, **params: Any) -> Any:
            found = rule(y_bar, *xs, **params)
            if shape_of(found) != shape_of(xs[place]):
                shapes = f"{shape_of(found)}, the argument has {shape_of(xs[place])}"
                raise self.refuse(f"the adjoint of argument {place} has shape {shapes}")
            return found

        return one

    def tangent(self, rule: Any) -> Rule:
        if not callable(rule):
            raise InputError(f"{self.name}: tangent= takes a function (y, x_dots, *xs), not {type(rule).__name__}{here()}")

        def one(y: Any, x_dots: Any, *xs: Any, **params: Any) -> Any:
            found = rule(y, x_dots, *xs, **params)
            if not hasattr(found, "shape") or found.shape != y.shape:
                raise self.refuse(f"the tangent has shape {shape_of(found)}, the result has {y.shape}")
            return found

        return one
