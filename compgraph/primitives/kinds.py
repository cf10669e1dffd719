"""The four ways to state a derivative, and what shape a result has.

| kind | the primitive states | forward uses | reverse uses |
|---|---|---|---|
| elementwise | `partials`, which may use the output `y` | sum of partial_i * x_i_dot | unbroadcast(partial_i * y_bar) |
| linear | `transpose` | the primitive itself, on x_i_dot | transpose(y_bar) |
| general | `tangent`, in graph operations | the rule | the rule's own graph, transposed |
| none | `differentiable=False`, said aloud | zero | zero |

Rules are written in NumPy and run on whatever they are given: on nodes they build graph, on arrays they compute.
A partial that is the Python number 1 or -1 costs nothing in either sweep. Where a derivative does not exist is said at the
primitive too, by `kink`; what is taken there is in docs/conventions.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from compgraph.backend import is_on_device
from compgraph.errors import NodeAxisError, ShapeError
from compgraph.graph import Aval, Node, Primitive, bind, register

SMALL = 2**13  # entries that are copied sooner than a view of them is made

Rule = Callable[..., Any]
Cost = str | Callable[..., dict[str, int]]  # what is done once an entry of the result, or a count: see `costs.py`


# ------------------------------------------------------------------------------ shapes and dtypes


def shape_of(arg: Any) -> tuple[int, ...]:
    return arg.shape if hasattr(arg, "shape") else ()


def _dtype_key(arg: Any) -> Any:
    """A dtype, or the class of a weak Python number."""
    return arg.dtype if hasattr(arg, "dtype") else type(arg)


def result_dtype(*args: Any) -> np.dtype[Any]:
    """NumPy's promotion, in which Python numbers are weak."""
    return np.result_type(*[arg.dtype if hasattr(arg, "dtype") else arg for arg in args])


@lru_cache(maxsize=4096)
def _probed_dtype(evaluate: Rule, keys: tuple[Any, ...]) -> np.dtype[Any]:
    """The dtype that the code itself gives for ones of these dtypes, so that it cannot drift from NumPy's."""
    with np.errstate(all="ignore"):
        ones = [key(1) if isinstance(key, type) else key.type(1) for key in keys]
        return np.asarray(evaluate(*ones)).dtype


def _not_yet(*_: Any) -> Aval:
    """Stands for the shape rule that needs the primitive's own `evaluate`, until the primitive exists."""
    raise NotImplementedError


def infer_elementwise(primitive: Primitive) -> Rule:
    def infer(*args: Any) -> Aval:
        shapes = [shape_of(arg) for arg in args]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            raise ShapeError(f"shapes {' and '.join(map(str, shapes))} do not broadcast") from None
        return shape, _probed_dtype(primitive.evaluate, tuple(_dtype_key(arg) for arg in args))

    return infer


def normalized_axes(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Axes as increasing non-negative numbers; None means all of them.

    >>> normalized_axes(-1, 3), normalized_axes(None, 2)
    ((2,), (0, 1))
    """
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
    for one in axes:
        if not -ndim <= one < ndim:
            raise NodeAxisError(f"axis {one} is outside an array of {ndim} axes")
    positive = tuple(sorted(int(one) % ndim for one in axes))
    if len(set(positive)) != len(positive):
        raise ShapeError(f"axis {axis} names an axis twice")
    return positive


# -------------------------------------------------------------------------------------- vector mode

# In vector mode (`batching.py`) some arguments carry a leading batch axis. A primitive's `batch(flags, *xs, **params)`
# computes the result, batch axis first, from arguments of which the flagged ones have that axis. Where a primitive
# has no such rule it is applied once for each entry of the batch.


def single_ndim(x: Any, flag: bool) -> int:
    """The number of axes of one entry of the batch."""
    return len(shape_of(x)) - flag


def aligned(x: Any, ndim: int) -> Any:
    """Axes of length 1 behind the batch axis, so that a smaller array broadcasts behind it as it did without."""
    missing = ndim + 1 - len(shape_of(x))
    return np.reshape(x, (x.shape[0], *(1,) * missing, *x.shape[1:])) if missing > 0 else x


def all_aligned(flags: Sequence[bool], xs: Sequence[Any]) -> list[Any]:
    ndim = max(single_ndim(x, flag) for x, flag in zip(xs, flags, strict=True))
    return [aligned(x, ndim) if flag else x for x, flag in zip(xs, flags, strict=True)]


def entrywise(primitive: Primitive) -> Rule:
    """The batch rule of an operation on each entry by itself."""
    return lambda flags, *xs, **params: bind(primitive, *all_aligned(flags, xs), **params)


def batch_size(flags: Sequence[bool], xs: Sequence[Any]) -> int:
    return next(int(x.shape[0]) for x, flag in zip(xs, flags, strict=True) if flag)


def all_batched(flags: Sequence[bool], xs: Sequence[Any]) -> list[Any]:
    """Every argument with the batch axis: those without it are repeated along it."""
    size = batch_size(flags, xs)
    return [x if flag else np.broadcast_to(x, (size, *shape_of(x))) for x, flag in zip(xs, flags, strict=True)]


def shifted_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes of one entry of the batch, counted in the array that has the batch axis before them."""
    return tuple(one + 1 for one in normalized_axes(axis, ndim))


# ------------------------------------------------------------------------------------ the four kinds


def elementwise(
    name: str,
    *,
    code: str,
    partials: Rule | tuple[Rule | None, ...],
    arity: int = 1,
    sympy: Rule | None = None,
    label: str = "",
    latex: str = "",
    cost: Cost = "transcendentals",
    analytic: bool = True,
    takes_complex: bool | str | None = None,
    selects: bool = False,
    kink: Rule | None = None,
    helper: Rule | None = None,
    module: str = "",
) -> Primitive:
    """An operation on each entry by itself, with broadcasting.

    `partials` is one function `(y, *xs) -> tuple`, or a tuple of functions with one entry an argument, so that
    a partial nobody needs is not computed. `analytic` says that the code also holds for complex arguments,
    which the complex-step check uses. It says too that the partials are those of a holomorphic function: without it
    complex arguments are refused, unless `takes_complex` names the primitive that stands in for them.
    `selects` says that a partial is 0 for what was not selected, whatever its own derivative is (see `reverse_mode.sweep`).
    `kink` is `(*xs) -> array of truth values`: where the derivative does not exist, and the partials are a convention.
    `module` is the optional module that the code calls by its last name. `sympy` is `(sympy, *symbols) -> expression`.
    """
    if not isinstance(partials, tuple):
        together = partials
        partials = tuple(lambda y, *xs, _i=index: together(y, *xs)[_i] for index in range(arity))
    primitive = Primitive(
        name, code, infer=_not_yet, partials=partials, analytic=analytic, takes_complex=takes_complex, selects=selects,
        kink=kink, helper=helper, module=module, sympy=sympy or (lambda sp, *xs: getattr(sp, name)(*xs)), label=label, latex=latex,
        cost=cost,
    )  # fmt: skip
    primitive.infer = infer_elementwise(primitive)
    primitive.batch = entrywise(primitive)
    return register(primitive)


def linear(
    name: str,
    *,
    code: str,
    infer: Rule,
    transpose: Rule | tuple[Rule | None, ...],
    groups: tuple[tuple[int, ...], ...] = ((0,),),
    label: str = "",
    latex: str = "",
    cost: Cost = "moves",
    analytic: bool = True,
    selects: bool = False,
    batch: Rule | None = None,
    helper: Rule | None = None,
    sympy: Rule | None = None,
) -> Primitive:
    """An operation that is linear in each of `groups` of arguments; `()` means jointly in all of them.

    `transpose` has one function an argument, `(y_bar, *xs, **params) -> x_bar`; where the number of arguments
    varies it is a single function that takes the argument's index first. Broadcast axes of the result are summed
    out by the sweep. `analytic=False` is for what is linear over the real numbers only, such as a real part: its
    transpose is that of Re(y_bar * y), see `primitives/complex.py`.
    """
    primitive = Primitive(
        name, code, infer=infer, transpose=transpose, groups=groups, analytic=analytic, selects=selects, batch=batch, helper=helper,
        sympy=sympy, label=label, latex=latex, cost=cost,
    )  # fmt: skip
    return register(primitive)


def general(
    name: str,
    *,
    code: str,
    infer: Rule,
    tangent: Rule,
    label: str = "",
    latex: str = "",
    cost: Cost = "comparisons",
    analytic: bool = False,
    takes_complex: bool | None = None,
    batch: Rule | None = None,
    kink: Rule | None = None,
    helper: Rule | None = None,
    sympy: Rule | None = None,
) -> Primitive:
    """Any other differentiable operation: `tangent` is `(y, x_dots, *xs, **params) -> y_dot`, linear in `x_dots`.

    `x_dots` has one entry an argument, None where there is no tangent. `takes_complex` says whether the rule holds for
    complex arguments, which it does wherever it is `analytic`. `kink` is as in `elementwise`, and takes the parameters too.
    """
    primitive = Primitive(
        name, code, infer=infer, tangent=tangent, analytic=analytic, takes_complex=takes_complex, batch=batch, kink=kink, helper=helper,
        sympy=sympy, label=label, latex=latex, cost=cost,
    )  # fmt: skip
    return register(primitive)


def nondifferentiable(
    name: str,
    *,
    code: str,
    infer: Rule | None = None,
    label: str = "",
    latex: str = "",
    cost: Cost = "comparisons",
    takes_complex: bool = True,
    batch: Rule | None = None,
    kink: Rule | None = None,
    helper: Rule | None = None,
    sympy: Rule | None = None,
) -> Primitive:
    """An operation whose derivative is zero wherever it exists, said aloud: both sweeps stop here. `kink` says where it jumps."""
    primitive = Primitive(
        name, code, infer=infer or _not_yet, differentiable=False, takes_complex=takes_complex, batch=batch, kink=kink, helper=helper,
        sympy=sympy, label=label, latex=latex, cost=cost,
    )  # fmt: skip
    if infer is None:
        primitive.infer = infer_elementwise(primitive)
        primitive.batch = entrywise(primitive)
    return register(primitive)


# ---------------------------------------------------------------------------------- used by the rules


def zeros_like(arg: Any) -> Any:
    """Zeros of an argument's shape and dtype; a plain 0.0 beside a Python number."""
    if not hasattr(arg, "dtype"):
        return 0.0
    value = arg.value if isinstance(arg, Node) else arg
    return np.zeros_like(value) if is_on_device(value) else np.zeros(arg.shape, arg.dtype)[()]


def restore_axes(y: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """The result of a reduction, with the axes it lost put back as axes of length 1."""
    if keepdims or (axis is None and not shape_of(x)):
        return y
    axes = normalized_axes(axis, len(x.shape))
    return np.reshape(y, tuple(1 if index in axes else size for index, size in enumerate(x.shape)))


def stretched(x: Any, shape: tuple[int, ...]) -> Any:
    """`np.broadcast_to`, or for small arrays a copy, which takes a fifth of the time of that view.

    >>> stretched(np.array([[1.0], [2.0]]), (2, 3))
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """
    if not isinstance(x, (np.ndarray, np.generic)) or math.prod(shape) > SMALL:
        return np.broadcast_to(x, shape)
    y = np.empty(shape, x.dtype)
    y[...] = x
    return y


def is_node(value: Any) -> bool:
    return isinstance(value, Node)
