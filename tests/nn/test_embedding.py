"""Embedding, and the modules that only change the shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph import nn

INDICES = np.array([[0, 3, 3], [2, 0, 0]])


def test_rows_are_looked_up_and_their_gradients_added() -> None:
    layer = nn.Embedding(5, 2, dtype=np.float64, generator=0)
    y = layer(INDICES)
    np.testing.assert_array_equal(y.value, layer.weight.value[INDICES])
    seed = np.random.default_rng(0).normal(size=y.shape)
    y.backward(seed)
    expected = np.zeros((5, 2))
    np.add.at(expected, INDICES, seed)
    np.testing.assert_allclose(layer.weight.grad, expected, rtol=1e-14)
    np.testing.assert_array_equal(layer(2).value, layer.weight.value[2])
    np.testing.assert_array_equal(layer([1, 2]).value, layer.weight.value[1:3])


def test_the_rows_start_normal() -> None:
    rows = nn.Embedding(300, 40, generator=0).weight.value
    assert abs(rows.mean()) < 5 / np.sqrt(rows.size)
    assert abs(rows.var() - 1) < 5 * np.sqrt(2 / rows.size)


def test_the_padding_starts_at_zero_and_learns_nothing() -> None:
    layer = nn.Embedding(5, 2, padding_idx=-2, dtype=np.float64)
    assert layer.padding_idx == 3
    assert not layer.weight.value[3].any()
    np.sum(layer(INDICES)).backward()
    np.testing.assert_array_equal(layer.weight.grad[:, 0], [3, 0, 1, 0, 0])
    layer.weight.value[3] = 7
    np.testing.assert_array_equal(layer(3).value, [7, 7])


@pytest.mark.parametrize("target", ["numpy", "numba"])
def test_indices_may_be_inputs_of_a_program(target: str) -> None:
    if target == "numba":
        pytest.importorskip("numba")
    layer = nn.Embedding(5, 2, padding_idx=0, dtype=np.float64, generator=0)

    def loss(weight: Any, indices: Any) -> Any:
        return np.sum(nn.functional_call(layer, {"weight": weight}, indices)[0] ** 2)

    weight = layer.weight.value
    value, gradient = cg.compile(cg.value_and_grad(loss), target=target)(weight, INDICES)
    np.testing.assert_allclose(value, np.sum(weight[INDICES] ** 2), rtol=1e-13)
    np.testing.assert_allclose(gradient, 2 * weight * np.array([0, 0, 1, 2, 0])[:, None], rtol=1e-13)


@pytest.mark.parametrize(
    ("indices", "message"), [(np.array([[0, 1], [5, 2]]), r"index 5 at \(1, 0\)"), ([0, -1], r"index -1 at \(1,\)"), (9, "index 9")]
)
def test_an_index_out_of_range_is_named_with_its_place(indices: Any, message: str) -> None:
    model = nn.Sequential(nn.Embedding(5, 2))
    with pytest.raises(cg.NodeIndexError, match=rf"Embedding 0 \(5, 2\): {message} is outside of 0 to 4 \(test_embedding\.py") as raised:
        model(indices)
    assert isinstance(raised.value, IndexError)


@pytest.mark.parametrize("indices", [np.array([0.0, 1.0]), np.array([True, False]), np.array([0, 1], np.float32)])
def test_indices_are_integers(indices: Any) -> None:
    with pytest.raises(cg.DtypeError, match=r"Embedding \(5, 2\): indices are integers, not .*astype\(int\)"):
        nn.Embedding(5, 2)(indices)


def test_no_padding_row() -> None:
    with pytest.raises(cg.InputError, match=r"padding_idx 5 is outside of its 5 rows"):
        nn.Embedding(5, 2, padding_idx=5)


# ------------------------------------------------------------------------------------------------ shapes

IMAGES = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Flatten(), (2, 60)), (nn.Flatten(0), (120,)), (nn.Flatten(2, 3), (2, 3, 20)), (nn.Flatten(-2), (2, 3, 20)),
        (nn.Unflatten(3, (5, 1)), (2, 3, 4, 5, 1)), (nn.Unflatten(-2, [2, -1]), (2, 3, 2, 2, 5)),
    ],
)  # fmt: skip
def test_shapes_change_and_entries_stay_in_order(layer: nn.Module, shape: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(layer(IMAGES), IMAGES.reshape(shape))
    x = cg.variable(IMAGES)
    np.sum(layer(x) * IMAGES.reshape(shape)).backward()
    np.testing.assert_array_equal(x.grad, IMAGES)


def test_an_empty_batch_has_a_shape_too() -> None:
    assert nn.Flatten()(np.zeros((0, 3, 4))).shape == (0, 12)
    assert nn.Unflatten(1, (3, -1))(np.zeros((0, 12))).shape == (0, 3, 4)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Flatten(4), r"Flatten .*: the input has shape \(2, 3, 4, 5\) and no axis 4"),
        (nn.Flatten(3, 1), r"Flatten .*: of the input's shape \(2, 3, 4, 5\) the first axis comes after the last"),
        (nn.Unflatten(1, (2, 2)), r"Unflatten .*: axis 1 of the input's shape \(2, 3, 4, 5\) cannot become \(2, 2\)"),
        (nn.Unflatten(1, (2, -1)), r"axis 1 of the input's shape \(2, 3, 4, 5\) cannot become \(2, -1\)"),
    ],
)
def test_shapes_that_do_not_fit(layer: nn.Module, message: str) -> None:
    with pytest.raises(cg.ShapeError, match=rf"{message}.*test_embedding\.py"):
        layer(IMAGES)


@pytest.mark.parametrize("sizes", [(), (-1, -1), (2, -3), (2.0,)])
def test_no_sizes(sizes: Any) -> None:
    with pytest.raises(cg.InputError, match="Unflatten: unflattened_size"):
        nn.Unflatten(1, sizes)
