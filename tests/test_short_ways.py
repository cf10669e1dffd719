"""Short ways of the engine on small arrays say what the long ways say."""

from __future__ import annotations

import numpy as np
import pytest

import compgraph as cg
from compgraph.primitive import PRIMITIVES
from compgraph.primitives.kinds import SMALL, stretched


@pytest.mark.parametrize("name", [name for name, primitive in PRIMITIVES.items() if isinstance(primitive.transpose, tuple)])
def test_a_transpose_is_there_where_the_kind_is_linear(name: str) -> None:
    """The sweep looks for the transpose before it asks for the kind; `solve` has a transpose by one argument and a tangent by the other."""
    primitive = PRIMITIVES[name]
    for index, rule in enumerate(primitive.transpose):
        assert (rule is not None) == (primitive.kind(index) == "linear")


@pytest.mark.parametrize("rows", [3, SMALL])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_arrays_are_copied_and_large_ones_are_views(rows: int, dtype: type) -> None:
    x = np.arange(rows, dtype=dtype).reshape(rows, 1)
    y = stretched(x, (rows, 2))
    np.testing.assert_array_equal(y, np.broadcast_to(x, (rows, 2)))
    assert y.dtype == dtype and y.flags.writeable == (2 * rows <= SMALL)
    assert stretched(dtype(2.0), (3, 2)).dtype == dtype
    assert isinstance(stretched(cg.variable(x), (rows, 2)), cg.Node)


@pytest.mark.parametrize("function", [np.sum, np.prod, np.max, np.min])
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), (0, False), ((0, 1), True), (-1, True)])
def test_reductions_are_those_of_numpy(function: object, dtype: type, axis: object, keepdims: bool) -> None:
    x = np.random.default_rng(0).integers(0, 2, (4, 3)).astype(dtype)
    found = cg.bind(function.__name__, x, axis=axis, keepdims=keepdims)  # type: ignore[attr-defined]
    wanted = function(x, axis=axis, keepdims=keepdims)  # type: ignore[operator]
    assert found.dtype == wanted.dtype and type(found) is type(wanted)
    np.testing.assert_array_equal(found, wanted)


def test_a_gradient_of_single_precision_numbers_keeps_its_dtype_and_shape() -> None:
    x, b = cg.variable(np.float32(2.0)), cg.variable(np.ones((1,), np.float32))
    y = np.sum(x * np.ones((2, 3), np.float32) + b - x)
    y.backward()
    assert x.grad.dtype == b.grad.dtype == np.float32 and x.grad.shape == () and b.grad.shape == (1,)
    assert x.grad == 0 and b.grad == 6


def test_arguments_that_have_no_effect_are_told_from_those_that_have() -> None:
    x = cg.variable(np.arange(3.0))
    assert np.sum(x, dtype=None, out=None, keepdims=np._NoValue).value == 3
    with pytest.raises(cg.CompgraphError, match="where"):
        np.exp(x, where=np.array([True, False, True]))
    with pytest.raises(cg.CompgraphError, match="out="):
        np.sum(x, out=np.zeros(()))
