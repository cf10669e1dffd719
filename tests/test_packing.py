"""Many arrays as one vector: views of it on the way back, and derivatives through both ways."""

from __future__ import annotations

import numpy as np
import pytest

import compgraph as cg

TREE = {"w": np.arange(6.0).reshape(2, 3), "layers": [np.ones(2), (np.float64(7.0), np.zeros((1, 2, 2)))]}


def test_a_round_trip_gives_the_same_container() -> None:
    vector, unravel = cg.ravel(TREE)
    assert vector.tolist() == [*range(6), 1, 1, 7, 0, 0, 0, 0]
    again = unravel(vector)
    assert list(again) == ["w", "layers"] and isinstance(again["layers"][1], tuple)
    np.testing.assert_array_equal(again["w"], TREE["w"])
    assert again["layers"][1][1].shape == (1, 2, 2)


def test_the_vector_is_a_copy_and_its_parts_are_views() -> None:
    vector, unravel = cg.ravel(TREE)
    assert not np.shares_memory(vector, TREE["w"])
    parts = unravel(vector)
    vector += 100
    assert parts["w"][0, 0] == 100 and TREE["w"][0, 0] == 0
    parts["layers"][0][:] = -1
    assert vector[6:8].tolist() == [-1, -1]


def test_dtypes_are_kept() -> None:
    vector, unravel = cg.ravel([np.ones(2, np.float32), np.ones(3, np.float32)])
    assert vector.dtype == np.float32
    mixed, unravel = cg.ravel([np.ones(2, np.float32), np.ones(3)])
    assert mixed.dtype == np.float64 and [part.dtype for part in unravel(mixed)] == [np.float32, np.float64]
    assert cg.ravel([1, 2])[0].dtype == np.float64, "integers count as floats, as inputs do"


def test_the_gradient_by_the_vector_is_the_vector_of_gradients() -> None:
    def loss(tree):
        return np.sum(np.sin(tree["w"]) @ np.ones(3)) * tree["layers"][1][0] + np.sum(tree["layers"][0] ** 2)

    vector, unravel = cg.ravel(TREE)
    by_vector = cg.grad(lambda vector: loss(unravel(vector)))(vector)
    np.testing.assert_allclose(by_vector, cg.ravel(cg.grad(loss)(TREE))[0], rtol=1e-15)
    through = cg.grad(lambda tree: np.sum(cg.ravel(tree)[0] ** 2))(TREE)
    np.testing.assert_array_equal(through["w"], 2 * TREE["w"])


def test_refusals() -> None:
    with pytest.raises(cg.InputError, match=r"at least one array, \{\} has none"):
        cg.ravel({})
    _, unravel = cg.ravel(TREE)
    with pytest.raises(cg.ShapeError, match=r"a vector of 13 entries, this one has shape \(12,\)"):
        unravel(np.zeros(12))
    with pytest.raises(cg.DtypeError, match="w: str"):
        cg.ravel({"w": "text"})
