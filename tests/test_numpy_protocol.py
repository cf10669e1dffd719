"""NumPy's functions on nodes: each is NumPy's function, with NumPy's arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.graph import PRIMITIVES, Node
from compgraph.numpy_protocol import FUNCTIONS

A = np.arange(6.0).reshape(2, 3) / 3 + 0.1
V = np.array([0.5, 0.25, 0.75])

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, v: np.sum(a, axis=1),
    "sum, keepdims": lambda a, v: np.sum(a, 0, keepdims=True),
    "sum, NumPy integer": lambda a, v: np.sum(a, axis=np.int64(1)),
    "sum over a tuple": lambda a, v: np.sum(a, axis=(1, 0)),
    "sum, dtype": lambda a, v: np.sum(a, dtype=np.float32),
    "mean": lambda a, v: np.mean(a, axis=-1),
    "max": lambda a, v: np.max(a, axis=0),
    "amin": lambda a, v: np.amin(a),
    "add.reduce": lambda a, v: np.add.reduce(a),
    "maximum.reduce": lambda a, v: np.maximum.reduce(a, axis=1),
    "dot": lambda a, v: np.dot(a, v),
    "dot of numbers": lambda a, v: np.dot(2.0, a),
    "dot of vectors": lambda a, v: np.dot(v, v),
    "dot of many axes": lambda a, v: np.dot(a, np.ones((4, 3, 2)) * v[0]),
    "matmul": lambda a, v: np.matmul(a, v),
    "reshape": lambda a, v: np.reshape(a, (3, -1)),
    "ravel": lambda a, v: np.ravel(a),
    "transpose": lambda a, v: np.transpose(a),
    "transpose, axes": lambda a, v: np.transpose(a, axes=(1, 0)),
    "squeeze": lambda a, v: np.squeeze(a[None]),
    "squeeze, axis": lambda a, v: np.squeeze(a[None, :, None], axis=(0, 2)),
    "expand_dims": lambda a, v: np.expand_dims(v, 0),
    "expand_dims, axes": lambda a, v: np.expand_dims(v, (0, -1)),
    "broadcast_to": lambda a, v: np.broadcast_to(v, (2, 3)),
    "concatenate": lambda a, v: np.concatenate([a, a], axis=1),
    "concatenate, flat": lambda a, v: np.concatenate([a, v], axis=None),
    "concatenate with an array": lambda a, v: np.concatenate((A, a)),
    "stack": lambda a, v: np.stack([v, 2 * v], axis=-1),
    "where": lambda a, v: np.where(a > 0.5, a, v),
    "where, numbers": lambda a, v: np.where(a > 0.5, 1.0, a),
    "power": lambda a, v: np.power(a, 2),
    "absolute": lambda a, v: np.absolute(-a),
    "fabs": lambda a, v: np.fabs(-a),
    "positive": lambda a, v: np.positive(a),
    "logical": lambda a, v: np.where(np.logical_and(a > 0.2, ~(a > 1)) | (a > 1.5), a, 0.0),
    "array on the left": lambda a, v: A - a,
    "NumPy number on the left": lambda a, v: np.float64(2.0) * a,
    "list on the left": lambda a, v: [1.0, 2.0, 3.0] + v,
    "array @ node": lambda a, v: A @ v,
    "full_like": lambda a, v: np.full_like(a, 2.0) * a,
    "zeros_like": lambda a, v: np.zeros_like(a) + a,
    "ones_like": lambda a, v: np.ones_like(v) * v,
    "index by a comparison": lambda a, v: v[np.array([True, False, True])],
    "arctanh": lambda a, v: np.arctanh(v),
    "log10": lambda a, v: np.log10(a),
    "sort": lambda a, v: np.sort(v),
    "norm": lambda a, v: np.linalg.norm(a, axis=1),
    "isnan": lambda a, v: np.where(np.isnan(a), 0.0, a),
    "add.outer": lambda a, v: np.add.outer(v, v),
    "add.accumulate": lambda a, v: np.add.accumulate(v),
    "multiply.reduce": lambda a, v: np.multiply.reduce(a, axis=1),
    "sum, where": lambda a, v: np.sum(v, where=np.array([True, False, True])),
    "sum, initial": lambda a, v: np.sum(v, initial=1.0),
    "max, initial": lambda a, v: np.max(a, axis=0, initial=0.5),
    "max, initial by position": lambda a, v: np.max(v, 0, None, False, 0.0),
    "exp, dtype": lambda a, v: np.exp(v, dtype=np.float32),
    "shape functions": lambda a, v: a * np.ndim(a) * np.size(v) * np.shape(a)[1],
}


@pytest.mark.parametrize("name", CALLS)
def test_values_shapes_dtypes_and_derivatives_are_numpys(name: str) -> None:
    call = CALLS[name]
    wanted = call(A, V)
    found = call(cg.variable(A), cg.variable(V))
    assert isinstance(found, Node)
    np.testing.assert_allclose(found.value, wanted, rtol=1e-15)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    graph = cg.typecheck(cg.trace(call, A, V))
    np.testing.assert_array_equal(graph(A, V), found.value)
    y_bar = np.ones_like(wanted)
    directions = (np.sin(A), np.cos(V))
    step = 1e-6
    ahead, behind = (call(A + sign * step * directions[0], V + sign * step * directions[1]) for sign in (1, -1))
    numerical = (ahead - behind) / (2 * step)
    bars = cg.vjp(call, A, V)[1](y_bar)
    assert sum(float(np.sum(bar * way)) for bar, way in zip(bars, directions, strict=True)) == pytest.approx(
        float(np.sum(numerical)), rel=1e-7 if wanted.dtype == np.float64 else 1e-1
    )


S = np.array([[3.0, 1.0, 0.5], [1.0, 5.0, 0.25], [0.5, 0.25, 8.0]])
CUBE = np.linspace(0.1, 1.2, 12).reshape(2, 3, 2)

# function -> arguments, of which the float64 arrays become nodes.
SAMPLES: dict[Any, tuple[Any, ...]] = dict.fromkeys((
    np.real, np.imag, np.angle, np.iscomplexobj, np.isrealobj, np.iscomplex, np.isreal, np.round, np.around, np.fix, np.nan_to_num,
    np.sinc, np.i0, np.isposinf, np.isneginf, np.shape, np.ndim, np.size, np.zeros_like, np.empty_like, np.ones_like, np.nonzero,
    np.argwhere, np.flatnonzero, np.ravel, np.transpose, np.matrix_transpose, np.squeeze, np.atleast_1d, np.atleast_2d,
    np.atleast_3d, np.copy, np.flip, np.flipud, np.fliplr, np.rot90, np.diagonal, np.diag, np.diagflat, np.tril, np.triu, np.sum,
    np.prod, np.mean, np.var, np.std, np.max, np.amax, np.min, np.amin, np.ptp, np.nansum, np.nanprod, np.nanmean, np.nanvar,
    np.nanstd, np.nanmax, np.nanmin, np.any, np.all, np.count_nonzero, np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.cumsum,
    np.cumprod, np.nancumsum, np.nancumprod, np.diff, np.ediff1d, np.trapezoid, np.gradient, np.sort, np.argsort, np.unique,
    np.unwrap, np.median, np.nanmedian, np.average, np.cov, np.corrcoef, np.trace, np.unstack,
    np.fft.fft, np.fft.fft2, np.fft.fftn, np.fft.ifft, np.fft.ifft2, np.fft.ifftn, np.fft.rfft, np.fft.rfft2, np.fft.rfftn,
    np.fft.irfft, np.fft.irfft2, np.fft.irfftn, np.fft.hfft, np.fft.ihfft, np.fft.fftshift, np.fft.ifftshift,
    np.linalg.pinv, np.linalg.qr, np.linalg.svdvals, np.linalg.norm, np.linalg.vector_norm, np.linalg.matrix_norm, np.linalg.cond,
    np.linalg.matrix_rank, np.linalg.matrix_transpose, np.linalg.trace, np.linalg.diagonal,
), (A,)) | dict.fromkeys((
    np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.cholesky, np.linalg.eigh, np.linalg.eigvalsh, np.linalg.eig,
    np.linalg.eigvals, np.linalg.svd,
), (S,)) | dict.fromkeys((
    np.array_equal, np.allclose, np.isclose, np.result_type, np.broadcast_arrays, np.kron, np.meshgrid, np.inner, np.dot, np.append,
    np.outer, np.vecdot, np.linalg.vecdot, np.matvec,
), (A, V)) | dict.fromkeys((
    np.vdot, np.cross, np.linalg.cross, np.linalg.outer, np.convolve, np.correlate,
), (V, V[::-1])) | dict.fromkeys((
    np.stack, np.vstack, np.hstack, np.dstack, np.column_stack, np.concatenate, np.block,
), ([A, A],)) | {
    np.clip: (A, 0.2, 0.9), np.polyval: ([1.0, 2.0], V), np.full_like: (A, 3.0), np.reshape: (A, (3, 2)), np.swapaxes: (A, 0, 1),
    np.moveaxis: (CUBE, 0, -1), np.rollaxis: (CUBE, 2), np.broadcast_to: (V, (2, 3)), np.expand_dims: (A, 1), np.repeat: (A, 2),
    np.tile: (A, (2, 1)), np.resize: (A, (2, 2)), np.roll: (A, 1), np.pad: (A, 1), np.cumulative_sum: (V,), np.cumulative_prod: (V,),
    np.where: (A > 0.5, A, V), np.take: (A, [0, 2]), np.take_along_axis: (A, np.array([[0], [2]]), 1), np.choose: ([0, 1, 0], [V, V + 1]),
    np.select: ([V > 0.6, V > 0.4], [V, 2 * V]), np.compress: ([True, False, True], V), np.extract: (V > 0.4, V),
    np.piecewise: (V, [V > 0.4], [np.sin, 0.0]), np.partition: (V, 1), np.searchsorted: ([0.3, 0.6], V), np.digitize: (V, [0.3, 0.6]),
    np.histogram: (V, 2), np.interp: (V, [0.0, 1.0], [2.0, 5.0]), np.quantile: (A, 0.3), np.percentile: (A, 30), np.nanquantile: (A, 0.3),
    np.nanpercentile: (A, 30), np.array_split: (V, 2), np.split: (V, 3), np.hsplit: (A, 3), np.vsplit: (A, 2), np.dsplit: (CUBE, 2),
    np.insert: (V, 1, 2.0), np.delete: (V, 1), np.trim_zeros: (np.array([0.0, 1.0, 2.0, 0.0]),), np.linalg.matmul: (A, S),
    np.tensordot: (A, S, 1), np.linalg.tensordot: (S, S), np.vecmat: (V, S), np.einsum: ("ij,j->i", A, V),
    np.linalg.multi_dot: ([A, S, V],), np.linalg.matrix_power: (S, 3), np.linalg.solve: (S, V), np.linalg.lstsq: (A.T, V),
    np.linalg.tensorinv: (np.diag([1.0, 2.0, 3.0, 4.0]).reshape(4, 2, 2), 1), np.linalg.tensorsolve: (S, V),
}  # fmt: skip

WRITING: dict[Any, tuple[Any, ...]] = {
    np.put: (V, [0], 1.0), np.place: (V, V > 0.4, 1.0), np.putmask: (V, V > 0.4, 1.0), np.copyto: (V, 1.0),
    np.put_along_axis: (V, np.array([0]), 1.0, 0), np.fill_diagonal: (S, 1.0),
}  # fmt: skip
PRINTING = {np.array_repr, np.array_str}  # tested below

# What these return is plain, or its shape or its branches depend on the values: they have no place in a trace.
OF_VALUES = {
    np.nonzero, np.argwhere, np.flatnonzero, np.array_equal, np.allclose, np.iscomplex, np.isreal, np.unique, np.trim_zeros, np.histogram,
    np.unwrap,
}  # fmt: skip


def replaced(arg: Any, new: Callable[[Any], Any]) -> Any:
    """`arg` with `new` of its float64 arrays."""
    if isinstance(arg, list):
        return [replaced(one, new) for one in arg]
    return new(arg) if isinstance(arg, np.ndarray) and arg.dtype == np.float64 else arg


def leaves(y: Any) -> list[Any]:
    return [leaf for part in y for leaf in leaves(part)] if isinstance(y, (tuple, list)) else [y]


def assert_is(found: Any, wanted: Any, function: Any) -> None:
    if function is np.empty_like:  # whose numbers are what the memory held
        wanted = np.zeros_like(wanted)
    if not isinstance(wanted, (np.ndarray, np.generic)):  # a plain number of Python, or a dtype
        assert found == wanted
        return
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-15)


def name_of(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}"


def test_every_function_of_the_table_has_a_sample_call() -> None:
    sampled = {*SAMPLES, *WRITING, *PRINTING}
    assert sorted(map(name_of, FUNCTIONS.keys() - sampled)) == []
    assert sorted(map(name_of, sampled - FUNCTIONS.keys())) == []


@pytest.mark.parametrize("function", SAMPLES, ids=name_of)
def test_every_function_of_the_table_is_reached_through_numpy(function: Any) -> None:
    wanted = leaves(function(*SAMPLES[function]))
    found = leaves(function(*(replaced(arg, cg.variable) for arg in SAMPLES[function])))
    for one, other in zip(found, wanted, strict=True):
        assert_is(one.value if isinstance(one, Node) else one, other, function)


@pytest.mark.parametrize("function", SAMPLES, ids=name_of)
def test_every_function_of_the_table_is_traced(function: Any) -> None:
    arrays: list[Any] = []
    for arg in SAMPLES[function]:
        replaced(arg, arrays.append)
    found: list[Any] = []

    def call(*xs: Any) -> Any:
        nodes = iter(xs)
        found.extend(leaves(function(*(replaced(arg, lambda _: next(nodes)) for arg in SAMPLES[function]))))
        return tuple(one for one in found if isinstance(one, Node)) or xs[0]

    if function in OF_VALUES:
        error = cg.DtypeError if function is np.unwrap else cg.AbstractValueError
        with pytest.raises(error, match=r"only shapes and dtypes are known|np\.unwrap cannot be traced"):
            cg.trace(call, *arrays)
        return
    graph = cg.typecheck(cg.trace(call, *arrays))
    values = graph(*arrays)
    computed = iter(values if isinstance(values, tuple) else (values,))
    for one, other in zip(found, leaves(function(*SAMPLES[function])), strict=True):
        assert_is(next(computed) if isinstance(one, Node) else one, other, function)


@pytest.mark.parametrize("function", WRITING, ids=name_of)
def test_functions_that_write_into_their_argument_are_refused(function: Any) -> None:
    first, *others = WRITING[function]
    x = cg.variable(first)
    text = rf"np\.{function.__name__} writes into its first argument \(test_numpy_protocol.py:\d+\)"
    with pytest.raises(cg.ImmutableNodeError, match=text):
        function(x, *others)
    np.testing.assert_array_equal(x.value, first)


def test_printing_is_numpys_text_of_a_node() -> None:
    x = cg.variable([1.0, 2.0], name="x")
    assert np.array_repr(x) == repr(x)
    assert np.array_str(x) == str(x)


UFUNCS = [name for name in PRIMITIVES if isinstance(getattr(np, name, None), np.ufunc)]


@pytest.mark.parametrize("name", UFUNCS)
def test_every_ufunc_of_the_table_makes_its_primitive(name: str) -> None:
    ufunc = getattr(np, name)
    truth = name.startswith("logical")
    x = cg.variable([0.5])
    with np.errstate(invalid="ignore"):  # arccosh is of numbers from 1 on
        node = ufunc(*[x > 0 if truth else x] * ufunc.nin)
    assert node.primitive is PRIMITIVES[name]
    assert len(UFUNCS) >= 30


def test_operators_make_the_primitives_that_functions_make() -> None:
    x, y = cg.variable(2.0), cg.variable(3.0)
    pairs = [
        (x + y, np.add), (x - y, np.subtract), (x * y, np.multiply), (x / y, np.divide), (x**y, np.power), (x == y, np.equal),
        (x < y, np.less), (x <= y, np.less_equal), (x > y, np.greater), (x >= y, np.greater_equal), (x != y, np.not_equal),
    ]  # fmt: skip
    for node, function in pairs:
        assert node.primitive is function(x, y).primitive
        assert node.value == function(2.0, 3.0)
    assert [(5 - x).value, (5 / x).value, (5**x).value, (-x).value, abs(-x).value] == [3.0, 2.5, 25.0, -2.0, 2.0]


def test_arguments_of_numpys_that_change_nothing_are_taken() -> None:
    x = cg.variable(A)
    assert np.sum(x, axis=None, dtype=None, out=None).value == np.sum(A)
    np.testing.assert_array_equal(np.transpose(x, None).value, A.T)
    np.testing.assert_array_equal(np.exp(x, where=True, casting="same_kind", order="K", subok=True).value, np.exp(A))
