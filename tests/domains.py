"""Sample arguments for every primitive: THE table of sample domains, which all table-driven tests read.

A primitive's entry in `DOMAINS` says its value once more, independently of its code, and on which arguments it is
tried. The samples stay off kinks and singular points, where two sides have two derivatives; `test_primitives.py`
says the conventions there one by one. A primitive without an entry fails `undomained()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from compgraph.graph import PRIMITIVES, Primitive, bind


@dataclass(frozen=True, eq=False)
class Sample:
    """A primitive with arguments to try it on. Called on other values of its differentiable arguments, it binds."""

    name: str
    args: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = ",".join(str(arg.shape).replace(" ", "") if hasattr(arg, "shape") else repr(arg) for arg in self.args)
        params = ",".join(f"{name}={value}".replace(" ", "").replace("\n", "") for name, value in self.params.items())
        return f"{self.name}-{shapes}" + (f"-{params}" if params else "")

    @property
    def primitive(self) -> Primitive:
        return PRIMITIVES[self.name]

    @property
    def places(self) -> tuple[int, ...]:
        """The positions of the arguments that have a derivative."""
        return tuple(
            place for place, arg in enumerate(self.args)
            if self.primitive.kind(place) != "none" and hasattr(arg, "dtype") and arg.dtype.kind in "fc"
        )  # fmt: skip

    @property
    def xs(self) -> tuple[Any, ...]:
        """The values of those arguments."""
        return tuple(self.args[place] for place in self.places)

    def arguments(self, xs: tuple[Any, ...]) -> tuple[Any, ...]:
        args = list(self.args)
        for place, x in zip(self.places, xs, strict=True):
            args[place] = x
        return tuple(args)

    def __call__(self, *xs: Any) -> Any:
        return bind(self.name, *self.arguments(xs), **self.params)

    def reference(self, *xs: Any) -> Any:
        """What NumPy computes, said independently; also of complex numbers where the primitive is analytic."""
        return DOMAINS[self.name].reference(*self.arguments(xs), **self.params)

    def astype(self, dtype: Any) -> Sample:
        """The floats in another dtype, and complex numbers in the one that has such parts."""
        dtypes = {"f": dtype, "c": np.result_type(dtype, np.complex64)}
        args = tuple(arg.astype(dtypes.get(arg.dtype.kind, arg.dtype)) if hasattr(arg, "dtype") else arg for arg in self.args)
        return Sample(self.name, args, self.params)


class Domain(NamedTuple):
    reference: Callable[..., Any]
    samples: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]


# ------------------------------------------------------------------------------------------ arguments


def spread(shape: tuple[int, ...], low: float, high: float, offset: float = 0.5) -> Any:
    """Distinct numbers between `low` and `high` in no order. Grids of different `offset` share no number.

    >>> spread((3,), 0.0, 3.0)
    array([0.5, 2.5, 1.5])
    """
    size = int(np.prod(shape))
    step = next((step for step in (5, 7, 3, 2) if size % step and step % max(size, 2)), 1)
    places = np.arange(size) * step % max(size, 1)
    return (low + (high - low) * (places + offset) / max(size, 1)).reshape(shape)[()]


SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (2, 3), (1, 3), (0,), (2, 0))
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()), ((3,), (3,)), ((3,), (2, 3)), ((2, 3), (1, 3)), ((2, 1), (3,)), ((), (2, 3)), ((1,), ()), ((0,), (1,)), ((2, 0), (2, 1)),
)  # fmt: skip


def unary(reference: Callable[..., Any], low: float, high: float) -> Domain:
    return Domain(reference, tuple(((spread(shape, low, high),), {}) for shape in SHAPES))


def binary(reference: Callable[..., Any], first: tuple[float, float], second: tuple[float, float], *others: tuple[Any, Any]) -> Domain:
    """`others` are further pairs of arguments; Python numbers in them are constants."""
    pairs = [(spread(one, *first), spread(two, *second, offset=0.27)) for one, two in PAIRS]
    return Domain(reference, tuple((pair, {}) for pair in (*pairs, *others)))


def arrays(shape: tuple[int, ...], *params: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for each in params:
        yield (spread(shape, -2, 2),), each


def truths(*shape: int) -> Any:
    return (np.arange(int(np.prod(shape))) % 2 == 0).reshape(shape)


# ----------------------------------------------------------------------------------------- references


def _index(x: Any, index: Any) -> Any:
    places = np.arange(x.size).reshape(x.shape)[index]
    return x.reshape(-1)[places]


def _scatter_add(x: Any, index: Any, shape: Any) -> Any:
    y = np.zeros(int(np.prod(shape)), x.dtype)
    places = np.arange(y.size).reshape(shape)[index]
    for place, entry in zip(np.ravel(places), np.ravel(np.broadcast_to(x, np.shape(places))), strict=True):
        y[place] += entry
    return y.reshape(shape)


def _matmul(a: Any, b: Any) -> Any:
    rows = a[None, :] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b
    y = np.sum(rows[..., :, :, None] * columns[..., None, :, :], axis=-2)
    y = y[..., 0] if b.ndim == 1 else y
    return y[..., 0] if a.ndim == 1 and b.ndim == 1 else y[..., 0, :] if a.ndim == 1 else y


def _count(x: Any, axis: Any) -> int:
    return int(np.prod([x.shape[place] for place in ((axis,) if isinstance(axis, int) else axis or range(x.ndim))]))


def _mean(x: Any, axis: Any, keepdims: bool) -> Any:
    return x + 0 if axis == () else np.add.reduce(x, axis, keepdims=keepdims) / _count(x, axis)


def _permuted(x: Any, axes: Any) -> Any:
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(axis % x.ndim for axis in axes)
    return np.einsum(x, list(range(x.ndim)), list(order))


def _in_dtype(x: Any, dtype: Any) -> Any:
    return x.astype(np.result_type(dtype, np.complex64) if np.iscomplexobj(x) else dtype)


# ---------------------------------------------------------------------------------------------- table

_REDUCTIONS = (
    *arrays((), {"axis": None, "keepdims": False}, {"axis": None, "keepdims": True}),
    *arrays((3,), {"axis": None, "keepdims": False}, {"axis": 0, "keepdims": True}),
    *arrays((2, 3), {"axis": 0, "keepdims": False}, {"axis": -1, "keepdims": True}, {"axis": (0, 1), "keepdims": False}),
    *arrays((2, 1, 3), {"axis": (0, -1), "keepdims": False}, {"axis": (2, 0), "keepdims": True}, {"axis": None, "keepdims": True}),
    *arrays((1,), {"axis": 0, "keepdims": False}),
    *arrays((2, 0), {"axis": 0, "keepdims": False}),
    *arrays((2, 3), {"axis": (), "keepdims": False}),
)
_INDICES: tuple[tuple[tuple[int, ...], Any], ...] = (
    ((3,), 1), ((3,), -1), ((3,), slice(None, None, -1)), ((2, 3), (slice(None), 1)), ((2, 3), (1, 2)), ((4, 3), slice(3, 0, -2)),
    ((2, 3), (Ellipsis, None, slice(0, 2))), ((3,), np.array([0, 0, 2, 0])), ((2, 3), (np.array([1, 1]), np.array([2, 2]))),
    ((2, 3), np.array([[0, 1], [1, 1]])), ((3,), np.array([True, False, True])), ((2, 3), (slice(None), np.array([2, 2]))),
    ((2, 3), truths(2, 3)), ((), ()), ((), None), ((3,), slice(0, 0)), ((3,), np.array([], dtype=int)),
)  # fmt: skip
_PRODUCTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (4, 3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((1, 1), (1, 1)), ((2, 0), (0, 3)), ((0, 3), (3, 2)),
    ((1, 2, 3), (5, 3, 4)),
)  # fmt: skip

DOMAINS: dict[str, Domain] = {
    # arithmetic
    "add": binary(np.add, (-2, 2), (-2, 2), (spread((3,), -2, 2), 2.5), (3, spread((3,), -2, 2))),
    "subtract": binary(np.subtract, (-2, 2), (-2, 2), (spread((3,), -2, 2), 2.5), (3, spread((3,), -2, 2))),
    "multiply": binary(np.multiply, (-2, 2), (-2, 2), (spread((3,), -2, 2), 2.5), (-3, spread((3,), -2, 2)), (spread((3,), -2, 2), True)),
    "divide": binary(np.divide, (-2, 2), (0.5, 2.5), (spread((3,), -2, 2), -2.5), (3, spread((3,), -2.5, -0.5))),
    "negative": unary(lambda x: 0 - x, -2, 2),
    "square": unary(lambda x: x**2, -2, 2),
    "power": binary(
        np.power, (0.3, 2.5), (-1.5, 2.5), *((spread((3,), -2, 2), exponent) for exponent in (0, 1, 2, 3, 2.0, np.int64(3))),
        *((spread((3,), -2.5, -0.5), exponent) for exponent in (-1, -2)),
        (spread((2, 3), 0.3, 2.5), 0.5), (2.0, spread((3,), -2, 2)), (spread((3,), 0.3, 2.5), np.array([0.0, 1.0, 2.0])),
    ),
    "identity": unary(lambda x: x + 0, -2, 2),
    "stop_gradient": unary(lambda x: x + 0, -2, 2),
    "constant": Domain(lambda value: value, (((), {"value": np.float64(2.5)}), ((), {"value": spread((2, 3), -2, 2)}))),
    "astype": Domain(
        _in_dtype, tuple(((spread(shape, -2, 2),), {"dtype": dtype}) for shape in SHAPES for dtype in ("float32", "float64"))
    ),
    "to_discrete": Domain(
        lambda x, dtype: np.asarray(np.trunc(x) if dtype.startswith("int") else x != 0, dtype),
        tuple(((spread(shape, -2, 2),), {"dtype": dtype}) for shape in SHAPES for dtype in ("int64", "bool")),
    ),
    **{
        name: binary(getattr(np, name), (-2, 2), (-2, 2), (np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])), (spread((3,), -2, 2), 0))
        for name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
    },
    "logical_not": Domain(lambda x: ~x, tuple(((truths(*shape),), {}) for shape in SHAPES if shape)),
    "logical_and": Domain(lambda a, b: a & b, tuple(((truths(*one), ~truths(*two)), {}) for one, two in PAIRS if one and two)),
    "logical_or": Domain(lambda a, b: a | b, tuple(((truths(*one), ~truths(*two)), {}) for one, two in PAIRS if one and two)),
    # elementary
    "exp": unary(lambda x: np.power(np.e, x), -2, 2),
    "log": unary(lambda x: np.log2(x) * float(np.log(2)), 0.3, 3),
    "log1p": unary(lambda x: np.log(1 + x), -0.7, 2),
    "expm1": unary(lambda x: np.exp(x) - 1, -2, 2),
    "sqrt": unary(lambda x: x**0.5, 0.3, 3),
    "sin": unary(lambda x: np.cos(np.pi / 2 - x), -3, 3),
    "cos": unary(lambda x: np.sin(np.pi / 2 - x), -3, 3),
    "tan": unary(lambda x: np.sin(x) / np.cos(x), -1.2, 1.2),
    "arcsin": unary(lambda x: np.arctan(x / np.sqrt(1 - x * x)), -0.9, 0.9),
    "arccos": unary(lambda x: np.pi / 2 - np.arctan(x / np.sqrt(1 - x * x)), -0.9, 0.9),
    "arctan": unary(lambda x: np.arcsin(x / np.sqrt(1 + x * x)), -2, 2),
    "sinh": unary(lambda x: (np.exp(x) - np.exp(-x)) / 2, -2, 2),
    "cosh": unary(lambda x: (np.exp(x) + np.exp(-x)) / 2, -2, 2),
    "tanh": unary(lambda x: 1 - 2 / (np.exp(2 * x) + 1), -2, 2),
    "sigmoid": unary(lambda x: 1 / (1 + np.exp(-x)), -4, 4),
    "softplus": unary(lambda x: np.log(1 + np.exp(x)), -4, 4),
    "relu": unary(lambda x: x * (x > 0), -2, 2.3),
    "abs": unary(lambda x: np.where(x < 0, -x, x), -2, 2.3),
    "sign": unary(lambda x: x / np.sqrt(x * x), -2, 2.3),
    "maximum": binary(lambda a, b: np.where(a > b, a, b), (-2, 2), (-2, 2), (spread((3,), -2, 2.3), 0), (0.1, spread((3,), -2, 2))),
    "minimum": binary(lambda a, b: np.where(a < b, a, b), (-2, 2), (-2, 2), (spread((3,), -2, 2.3), 0), (0.1, spread((3,), -2, 2))),
    # reductions
    "sum": Domain(lambda x, axis, keepdims: np.add.reduce(x, axis, keepdims=keepdims), (
        *_REDUCTIONS, *arrays((0,), {"axis": None, "keepdims": False}), *arrays((2, 0), {"axis": 1, "keepdims": True}),
    )),
    "mean": Domain(_mean, _REDUCTIONS),
    "max": Domain(lambda x, axis, keepdims: np.maximum.reduce(x, axis, keepdims=keepdims), _REDUCTIONS),
    "min": Domain(lambda x, axis, keepdims: np.minimum.reduce(x, axis, keepdims=keepdims), _REDUCTIONS),
    # linear algebra
    "matmul": Domain(_matmul, tuple(((spread(one, -2, 2), spread(two, -2, 2, 0.27)), {}) for one, two in _PRODUCTS)),
    # selection
    "where": Domain(
        lambda condition, x1, x2: np.choose(condition, (x2, x1)),
        tuple(
            ((truths(*shape), spread(one, -2, 2), spread(two, -2, 2, 0.27)), {})
            for shape in ((), (3,), (2, 3)) for one, two in PAIRS if (0 in one + two) == (shape == ())
            if not shape or shape == np.broadcast_shapes(shape, one, two)
        ) + tuple((args, {}) for args in (
            (truths(3), spread((3,), -2, 2), 0.5), (truths(2, 3), 2, spread((3,), -2, 2)), (np.True_, np.float64(2.0), np.float64(3.0)),
        )),
    ),
    "sheltered": Domain(
        lambda x, weight: x + 0 * weight,
        tuple(((spread(one, -2, 2), spread(two, 1, 2, 0.27)), {}) for one, two in PAIRS),
    ),
    "sheltered_product": Domain(
        lambda weight, x: weight * x,
        tuple(((spread(one, -2, 2), spread(two, 1, 2, 0.27)), {}) for one, two in PAIRS),
    ),
    # shapes
    "reshape": Domain(lambda x, shape: x.flatten().reshape(shape), (
        *arrays((2, 3), {"shape": (3, 2)}, {"shape": (-1,)}, {"shape": (1, 6, 1)}), *arrays((), {"shape": (1, 1)}),
        *arrays((1,), {"shape": ()}), *arrays((2, 0), {"shape": (0, 5)}),
    )),
    "transpose": Domain(_permuted, (
        *arrays((2, 3), {"axes": None}, {"axes": (1, 0)}, {"axes": (0, 1)}), *arrays((2, 3, 4), {"axes": (2, 0, 1)}, {"axes": (-2, -1, 0)}),
        *arrays((3,), {"axes": None}), *arrays((), {"axes": None}), *arrays((2, 0), {"axes": None}),
    )),
    "broadcast_to": Domain(lambda x, shape: x + np.zeros(shape, x.dtype), (
        *arrays((3,), {"shape": (2, 3)}, {"shape": (3,)}), *arrays((2, 1, 3), {"shape": (2, 4, 3)}),
        *arrays((), {"shape": (2,)}, {"shape": ()}), *arrays((1,), {"shape": (0,)}),
    )),
    "concatenate": Domain(lambda *xs, axis: reduce(lambda a, b: np.append(a, b, axis), xs), (
        ((spread((3,), -2, 2), spread((2,), -2, 2, 0.27)), {"axis": 0}),
        ((spread((2, 3), -2, 2), spread((2, 1), -2, 2, 0.27)), {"axis": 1}),
        ((spread((2, 3), -2, 2), spread((1, 3), -2, 2), spread((2, 3), -1, 1)), {"axis": -2}), ((spread((3,), -2, 2),), {"axis": 0}),
        ((spread((3,), -2, 2), np.array([1, 2])), {"axis": 0}), ((spread((0,), -2, 2), spread((2,), -2, 2)), {"axis": 0}),
    )),
    "stack": Domain(lambda *xs, axis: np.moveaxis(np.array(xs), 0, axis), (
        ((spread((3,), -2, 2), spread((3,), -2, 2, 0.27)), {"axis": 0}),
        ((spread((2, 3), -2, 2), spread((2, 3), -2, 2, 0.27)), {"axis": 1}),
        ((spread((3,), -2, 2), spread((3,), -2, 2, 0.27)), {"axis": -1}), ((spread((), -2, 2), 1.5, spread((), -2, 2, 0.27)), {"axis": 0}),
        ((spread((3,), -2, 2),), {"axis": 1}), ((spread((0,), -2, 2), spread((0,), -2, 2)), {"axis": 0}),
    )),
    # indexing
    "index": Domain(_index, tuple(((spread(shape, -2, 2),), {"index": index}) for shape, index in _INDICES)),
    "scatter_add": Domain(_scatter_add, tuple(
        ((spread(np.shape(np.empty(shape)[index]), -2, 2),), {"index": index, "shape": shape}) for shape, index in _INDICES
    )),
}  # fmt: skip

# Further entries, family by family, which are made with what stands above.
for _family in ("reductions", "linalg", "ufuncs", "special", "shape", "complex", "fourier", "windows"):
    DOMAINS |= import_module(f"domains_{_family}").DOMAINS


TABLE = frozenset(PRIMITIVES)  # as the project has it: an example that runs in the tests may add a primitive of its own


def undomained(table: Iterable[str] = TABLE) -> set[str]:
    """The primitives that no table-driven test would see, and the entries that belong to no primitive."""
    return set(table) ^ DOMAINS.keys()


SAMPLES = tuple(Sample(name, args, params) for name, domain in DOMAINS.items() for args, params in domain.samples)
DIFFERENTIABLE = tuple(sample for sample in SAMPLES if sample.places)
