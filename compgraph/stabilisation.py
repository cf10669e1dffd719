"""Formulas that lose digits or overflow, and what to compute instead.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: np.log(1 + np.exp(x)), 0.0)
    >>> print(stabilise(graph))
    f(x):
        v1 = softplus(x)
        return v1

| plain form | stable form | the plain form fails |
|---|---|---|
| `log(sum(exp(x)))` | `logsumexp(x)` | x = 800: inf; x = -800: -inf |
| `t + log(sum(exp(x - t)))` | `logsumexp(x)` | where t is not the largest; the derivative by t is 0 and costs a sweep |
| `exp(x) / sum(exp(x))` | the same of `x - max(x)` | x = 800: inf / inf |
| `log(softmax(x))` | `x - logsumexp(x)` | x = (0, 800): ln 0 |
| `log(exp(x))` | `x` | x = 800: inf |
| `log(exp(a) + exp(b))` | `logaddexp(a, b)` | a = 800: inf |
| `log(1 + exp(x))`, `log1p(exp(x))` | `softplus(x)` | x = 800: inf; x = -40: 0 |
| `log(1 + x)`, `log(1 - x)` | `log1p(x)`, `log1p(-x)` | x = 1e-17: 0 |
| `exp(x) - 1`, `1 - exp(x)` | `expm1(x)`, `-expm1(x)` | x = 1e-17: 0 |
| `1 / (1 + exp(-x))`, `exp(x) / (1 + exp(x))` | `sigmoid(x)` | x = -800, x = 800: inf, and a derivative of NaN |
| `1 - sigmoid(x)` | `sigmoid(-x)` | x = 40: 0 |
| `log(sigmoid(x))` | `-softplus(-x)` | x = -800: ln 0 |
| `sqrt(x**2 + y**2)` | `hypot(x, y)` | x = 1e200: inf; x = 1e-200: 0; at 0 the derivative is NaN |
| `1 - cos(x)` | `2 sin(x / 2)**2` | x = 1e-9: 0 |

All hold for all real numbers for which the plain form has a value in exact arithmetic, and only for real numbers:
complex ones stay as they are. The values are those of exact arithmetic to a few units in the last place, and so
differ from the plain ones where those are wrong. So are the derivatives, but for two: that of `logsumexp` is e^(x - y), whose
relative error is |x| u, and that of `sigmoid` is y (1 - y), which keeps no more than u of y = 1 (u is the unit roundoff). Where a
plain form has no derivative, at the origin of a root of squares, that of the stable form is the engine's convention, 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import Graph, Node, bind
from compgraph.matching import OnlyReaders, is_a, is_square, seen_through
from compgraph.primitives.kinds import normalized_axes, shape_of
from compgraph.simplification import rewritten

Match = Callable[[tuple[Any, ...], OnlyReaders, Node], Any]


class StableForm(NamedTuple):
    """A rewriting: its name, what is wrong with the plain form, the primitives a plain form ends in, and how it is recognised.

    `match(args, only, node)` gives the stable form of `node`, whose new arguments are `args`, or None.
    """

    name: str
    why: str
    heads: tuple[str, ...]
    match: Match


# ----------------------------------------------------------------------------------------- recognition


def is_number(x: Any, number: float) -> bool:
    """Whether `x` is this number: a Python or NumPy number, or a constant node of one.

    >>> is_number(1, 1.0), is_number(np.float32(1), 1.0), is_number(np.ones(2), 1.0)
    (True, True, False)
    """
    value = x.value if is_a(x, "constant") else x
    return not isinstance(value, Node) and np.ndim(value) == 0 and bool(value == number)


def _other(args: tuple[Any, ...], number: float) -> Any:
    """The argument of a sum that is not `number`; None where neither or both are."""
    first, second = (is_number(arg, number) for arg in args)
    return None if first == second else args[1] if first else args[0]


def _minus(x: Any) -> Any:
    return x.args[0] if is_a(x, "negative") else bind("negative", x)


def _one_plus(x: Any, only: OnlyReaders) -> Any:
    """`u` where `x` is 1 + u, and read once."""
    return _other(x.args, 1) if only.has(x, "add") else None


def _exponent(x: Any, only: OnlyReaders, readers: int = 1) -> Any:
    return x.args[0] if is_a(x, "exp") and only.count.get(x) == readers else None


def _base(x: Any, only: OnlyReaders) -> Any:
    """`u` where `x` is u**2, and read once."""
    if is_a(x, "multiply"):
        return x.args[0] if only.has(x, "multiply") and x.args[0] is x.args[1] else None
    return x.args[0] if is_square(x) and only.count.get(x) == 1 else None


def _total_of(divisor: Any, terms: Node) -> Any:
    """The axes where `divisor` is the sum of `terms` over them, in a shape that divides `terms`; else None."""
    ndim = terms.ndim
    if len(shape_of(divisor)) > ndim:
        return None
    total, places = seen_through(divisor, range(ndim - len(shape_of(divisor)), ndim))
    if not is_a(total, "sum") or total.args[0] is not terms:
        return None
    axes = normalized_axes(total.params["axis"], ndim)
    return axes if axes and terms.size and _lie_along(total, places, axes, terms.shape) else None


def _lie_along(x: Any, places: list[int | None], axes: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether the axes of `x`, a reduction over `axes` of an array of this shape, run along the axes that were kept."""
    running = [place for place, length in zip(places, shape_of(x), strict=True) if length != 1]
    return running == [axis for axis, length in enumerate(shape) if axis not in axes and length != 1]


# ------------------------------------------------------------------------------- logarithms of sums of e^x


def _log_of_sum(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    (total,) = args
    x = _exponent(total.args[0], only) if only.has(total, "sum") else None
    if x is None or not x.size or not x.shape:
        return None
    return bind("logsumexp", x, axis=total.params["axis"], keepdims=total.params["keepdims"])


def _shifted_log_of_sum(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    """t + logsumexp(x - t), which is what `_log_of_sum` has left."""
    for shift, inner in (args, args[::-1]):
        if not only.has(inner, "logsumexp") or not is_a(inner.args[0], "subtract"):
            continue
        x, taken = inner.args[0].args
        ndim = len(shape_of(x))
        if shape_of(shift) != inner.shape or shape_of(x) != inner.args[0].shape or len(shape_of(taken)) > ndim:
            continue
        axes = normalized_axes(inner.params["axis"], ndim)
        kept = [axis for axis in range(ndim) if inner.params["keepdims"] or axis not in axes]
        one, ours = seen_through(shift, kept)
        other, theirs = seen_through(taken, range(ndim - len(shape_of(taken)), ndim))
        lengths = shape_of(one)
        if one is other and [p for p, length in zip(ours, lengths, strict=True) if length != 1] == [
            p for p, length in zip(theirs, lengths, strict=True) if length != 1
        ]:
            return bind("logsumexp", x, axis=inner.params["axis"], keepdims=inner.params["keepdims"])
    return None


def _softmax_of(quotient: tuple[Any, ...], shape: tuple[int, ...], only: OnlyReaders) -> tuple[Any, tuple[int, ...]] | None:
    """The exponent and the axes of e^x / sum e^x, a quotient of this shape."""
    terms, divisor = quotient
    x = _exponent(terms, only, 2)
    axes = None if x is None or terms.shape != shape else _total_of(divisor, terms)
    return None if axes is None else (x, axes)


def _softmax(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    softmax = _softmax_of(args, node.shape, only)
    if softmax is None:
        return None
    x, axes = softmax
    if is_a(x, "subtract") and is_a(_source(x.args[1]), "max", "logsumexp"):  # shifted already
        return None
    top = bind("stop_gradient", bind("max", x, axis=axes, keepdims=True))  # whose derivative is 0
    powers = bind("exp", bind("subtract", x, top))
    only.count[powers] = 2
    return bind("divide", powers, bind("sum", powers, axis=axes, keepdims=True))


def _source(x: Any) -> Any:
    x, _ = seen_through(x, range(len(shape_of(x))))
    return x.args[0] if is_a(x, "stop_gradient", "identity") else x


def _log_softmax(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    (y,) = args
    softmax = _softmax_of(y.args, y.shape, only) if only.has(y, "divide") else None
    if softmax is None:
        return None
    return bind("subtract", softmax[0], bind("logsumexp", softmax[0], axis=softmax[1], keepdims=True))


def _log_of_exp(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    return _exponent(args[0], only)


def _logaddexp(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    if not only.has(args[0], "add"):
        return None
    first, second = (_exponent(arg, only) for arg in args[0].args)
    return None if first is None or second is None else bind("logaddexp", first, second)


def _softplus(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    x = _exponent(args[0] if is_a(node, "log1p") else _one_plus(args[0], only), only)
    return None if x is None else bind("softplus", x)


# ------------------------------------------------------------------------------- differences from 1


def _log1p(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    (x,) = args
    if only.has(x, "subtract") and is_number(x.args[0], 1):
        return bind("log1p", _minus(x.args[1]))
    small = _one_plus(x, only)
    return None if small is None else bind("log1p", small)


def _expm1(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    if is_a(node, "add"):
        x = _exponent(_other(args, -1), only)
    elif is_number(args[1], 1):
        x = _exponent(args[0], only)
    else:
        x = _exponent(args[1], only) if is_number(args[0], 1) else None
        return None if x is None else bind("negative", bind("expm1", x))
    return None if x is None else bind("expm1", x)


def _one_minus_cos(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    if not is_number(args[0], 1) or not only.has(args[1], "cos"):
        return None
    half = bind("multiply", args[1].args[0], 0.5)
    return bind("multiply", bind("square", bind("sin", half)), 2)


# ------------------------------------------------------------------------------- sigmoids and norms


def _sigmoid(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    above, below = (1, args[0]) if is_a(node, "reciprocal") else args
    power = _one_plus(below, only)
    if is_number(above, 1):
        x = _exponent(power, only)
        return None if x is None else bind("sigmoid", _minus(x))
    return bind("sigmoid", above.args[0]) if power is above and _exponent(above, only, 2) is not None else None


def _one_minus_sigmoid(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    return bind("sigmoid", _minus(args[1].args[0])) if is_number(args[0], 1) and only.has(args[1], "sigmoid") else None


def _log_sigmoid(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    return bind("negative", bind("softplus", _minus(args[0].args[0]))) if only.has(args[0], "sigmoid") else None


def _hypot(args: tuple[Any, ...], only: OnlyReaders, node: Node) -> Any:
    if not only.has(args[0], "add") or (is_a(node, "power") and not is_number(args[1], 0.5)):
        return None
    first, second = (_base(arg, only) for arg in args[0].args)
    return None if first is None or second is None else bind("hypot", first, second)


# Of the forms with the same head, the first that is recognised counts.
FORMS = (
    StableForm("logsumexp", "e^x overflows above 709 in float64, and the sum is 0 where all x are below -745", ("log",), _log_of_sum),
    StableForm(
        "unshifted logsumexp", "a shift that is not the largest exponent overflows still", ("add",), _shifted_log_of_sum
    ),
    StableForm("log_softmax", "a softmax that underflows to 0 has the logarithm -inf", ("log",), _log_softmax),
    StableForm("log of exp", "e^x overflows above 709 and is 0 below -745, where its logarithm is x", ("log",), _log_of_exp),
    StableForm("logaddexp", "e^a overflows above 709", ("log",), _logaddexp),
    StableForm("softplus", "e^x overflows above 709, and 1 + e^x is 1 below -37", ("log", "log1p"), _softplus),
    StableForm("log_sigmoid", "a sigmoid that underflows to 0 has the logarithm -inf", ("log",), _log_sigmoid),
    StableForm("log1p", "1 + x keeps none of the digits of x that are below 1e-16", ("log",), _log1p),
    StableForm("expm1", "e^x - 1 keeps none of the digits of x that are below 1e-16", ("subtract", "add"), _expm1),
    StableForm("half-angle sine", "cos(x) is 1 for |x| below 1e-8, where 1 - cos(x) is x^2 / 2", ("subtract",), _one_minus_cos),
    StableForm("sigmoid of -x", "the sigmoid is 1 above 37, where its distance from 1 is e^-x", ("subtract",), _one_minus_sigmoid),
    StableForm("sigmoid", "e^-x overflows below -709; the value is 0 then, and the derivative 0 * inf", ("divide", "reciprocal"), _sigmoid),
    StableForm("softmax", "e^x overflows above 709, and inf / inf is NaN", ("divide",), _softmax),
    StableForm("hypot", "squares overflow above 1e154 and are 0 below 1e-162; at 0 the root has no derivative", ("sqrt", "power"), _hypot),
)
_BY_HEAD = {head: [form for form in FORMS if head in form.heads] for head in {head for form in FORMS for head in form.heads}}


# -------------------------------------------------------------------------------------------- the pass


def _stabilised(graph: Graph) -> tuple[Graph, list[tuple[Node, str, str]]]:
    only = OnlyReaders(graph)
    found: list[tuple[Node, str, str]] = []

    def replace(node: Node, args: tuple[Any, ...]) -> Node | None:
        only.note(node, args)
        if any(getattr(arg, "dtype", node.dtype).kind == "c" for arg in args):
            return None
        for form in _BY_HEAD.get(node.primitive.name, ()):  # type: ignore[union-attr]
            new = form.match(args, only, node)
            if isinstance(new, Node) and (new.shape, new.dtype) == (node.shape, node.dtype):
                found.append((node, form.name, form.why))
                if new.name is None and new not in only.count:  # made here
                    new.name = node.name
                return new
        return None

    return rewritten(graph, replace), found


def stabilise(graph: Graph) -> Graph:
    """`graph` with the plain forms of the table above replaced by the stable ones.

    >>> import numpy as np, compgraph as cg
    >>> graph = cg.trace(lambda x: np.log(1 / (1 + np.exp(-x))), 0.0)
    >>> float(stabilise(graph)(-800.0))
    -800.0

    A form is recognised only where nothing else reads what is inside it. A derivative reads the inside, so stabilise first and
    differentiate then: the derivatives of the stable forms are stable too. Values improve, and otherwise differ by a few units
    in the last place; shapes and dtypes stay. Linear in the number of nodes.
    """
    return _stabilised(graph)[0]


def stable_forms(graph: Graph) -> list[tuple[Node, str, str]]:
    """What `stabilise` would replace: each node with the name of the stable form, and what is wrong with the plain one.

    >>> import numpy as np, compgraph as cg
    >>> [(name, why)] = [form[1:] for form in stable_forms(cg.trace(lambda x: np.exp(x) - 1, 0.0))]
    >>> print(name, why, sep=": ")
    expm1: e^x - 1 keeps none of the digits of x that are below 1e-16
    """
    return _stabilised(graph)[1]
