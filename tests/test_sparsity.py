"""Patterns, colourings and compressed sweeps, against dense derivatives, closed forms and SymPy."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sympy as sp

import compgraph as cg
from compgraph.colouring import column_colours, star_colours
from compgraph.sparsity import SparsityPattern, sparse_hessian, sparse_jacobian, sparsity_pattern


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def tridiagonal(x: Any) -> Any:
    return np.concatenate([x[:1] ** 2, np.sin(x[1:-1]) * x[:-2] + x[2:] ** 2, x[-1:] * x[-2:-1]])


MATRIX = np.where(np.random.default_rng(0).uniform(size=(4, 6)) > 0.6, 1e-17, 0.0)
MATRIX[0, 0] = 1.0

FUNCTIONS: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("elementwise", lambda x: np.exp(x) * x, np.arange(1.0, 7)),
    ("broadcast", lambda x: x[:, None] * x[None, :3], np.arange(1.0, 5)),
    ("banded", tridiagonal, np.arange(1.0, 8)),
    ("fancy index", lambda x: x[[0, 0, 2]] * 2, np.arange(1.0, 5)),
    ("sum of an axis", lambda x: np.sum(x.reshape(2, 3) ** 2, axis=1), np.arange(1.0, 7)),
    ("mean of an axis", lambda x: np.mean(np.sin(x.reshape(2, 3)), axis=0), np.arange(1.0, 7)),
    ("maximum of an axis", lambda x: np.max(x.reshape(2, 3), axis=1), np.arange(1.0, 7)),
    ("constant matrix", lambda x: MATRIX @ x, np.arange(1.0, 7)),
    ("two factors", lambda x: x.reshape(2, 2) @ x.reshape(2, 2), np.arange(1.0, 5)),
    ("where", lambda x: np.where(np.arange(4) > 1, x, x[::-1] ** 2), np.arange(1.0, 5)),
    ("stack and transpose", lambda x: np.stack([x[:2], x[2:] ** 2]).T, np.arange(1.0, 5)),
    ("arrow", lambda x: np.concatenate([x * x, np.sum(x, keepdims=True)]), np.arange(1.0, 6)),
    ("one row", lambda x: np.sum(x**2), np.arange(1.0, 6)),
    ("one column", lambda x: x * np.ones(5), 2.0),
    ("a number", lambda x: x**2, 2.0),
    ("float32", lambda x: np.sin(x[1:]) * x[:-1], np.arange(1, 6, dtype=np.float32)),
    ("empty", lambda x: x * 2, np.zeros(0)),
    ("cut off", lambda x: np.sign(x) * 2 + x[0], np.arange(1.0, 4)),
]


@pytest.mark.parametrize(("function", "x"), [row[1:] for row in FUNCTIONS], ids=[row[0] for row in FUNCTIONS])
def test_a_sparse_jacobian_is_the_dense_one(function: Callable[[Any], Any], x: Any) -> None:
    found = sparse_jacobian(function, x)
    dense = np.asarray(cg.jacobian(function)(x)).reshape(found.shape)
    np.testing.assert_allclose(found.todense(), dense, rtol=1e-6 if np.asarray(x).dtype == np.float32 else 1e-13)
    assert found.values.dtype == dense.dtype
    assert np.all(found.pattern.todense() | (dense == 0)), "an entry is left out"


def test_patterns_are_no_wider_than_need_be() -> None:
    for name in ("elementwise", "banded", "fancy index", "sum of an axis", "mean of an axis", "constant matrix", "arrow"):
        function, x = next(row[1:] for row in FUNCTIONS if row[0] == name)
        pattern = sparsity_pattern(function, x).todense()
        np.testing.assert_array_equal(pattern, cg.jacobian(function)(x).reshape(pattern.shape) != 0, err_msg=name)


def test_containers_are_laid_one_after_another() -> None:
    def f(p: Any) -> Any:
        return {"y": p["a"] * p["b"], "z": [p["a"][0] ** 2]}

    p = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])}
    found = sparse_jacobian(f, p)
    assert found.shape == (3, 4)
    np.testing.assert_array_equal(found.todense(), [[3, 0, 1, 0], [0, 4, 0, 2], [2, 0, 0, 0]])


def test_a_jacobian_of_100_000_inputs_takes_as_many_sweeps_as_colours() -> None:
    x = np.linspace(0.1, 1.0, 100_000)
    start = time.perf_counter()
    found = sparse_jacobian(tridiagonal, x)
    assert time.perf_counter() - start < 30
    assert found.sweeps == 3
    assert len(found.rows) == 3 * 99_998 + 3
    at = {(int(row), int(col)): value for row, col, value in zip(found.rows[:9], found.cols[:9], found.values[:9], strict=True)}
    assert at[1, 0] == pytest.approx(np.sin(x[1]))
    assert at[1, 1] == pytest.approx(np.cos(x[1]) * x[0])
    assert at[1, 2] == pytest.approx(2 * x[2])


def test_the_hessian_of_rosenbrock_is_the_closed_form() -> None:
    x = np.linspace(-1.0, 1.5, 1000)
    found = sparse_hessian(rosenbrock, x)
    assert (found.sweeps, len(found.rows)) == (3, 2998)
    wanted = np.diag(np.append(1200 * x[:-1] ** 2 - 400 * x[1:] + 2, 0) + np.insert(np.full(999, 200.0), 0, 0))
    wanted += np.diag(-400 * x[:-1], 1) + np.diag(-400 * x[:-1], -1)
    np.testing.assert_allclose(found.todense(), wanted, rtol=1e-12)


def test_the_hessian_of_rosenbrock_has_sympys_pattern() -> None:
    symbols = sp.symbols("x:5")
    expression = sum(100 * (after - before**2) ** 2 + (1 - before) ** 2 for before, after in pairwise(symbols))
    wanted = np.array(sp.hessian(expression, symbols).applyfunc(lambda entry: int(entry != 0))).astype(bool)
    np.testing.assert_array_equal(sparse_hessian(rosenbrock, np.linspace(0.2, 1.1, 5)).pattern.todense(), wanted)
    np.testing.assert_array_equal(sparsity_pattern(cg.grad(rosenbrock), np.zeros(5)).todense(), wanted)


@pytest.mark.parametrize(
    ("function", "sweeps"),
    [
        (lambda x: x[0] * np.sum(x[1:] ** 2), 2),
        (lambda x: np.sum(x**4), 1),
        (lambda x: np.sum(x) ** 2, 12),
        (lambda x: np.sum(x[2:] * x[1:-1] * x[:-2]), 5),
        (lambda x: np.sum(np.sin(x.reshape(3, 4)[1:] * x.reshape(3, 4)[:-1])), 3),
    ],
)
def test_a_sparse_hessian_is_the_dense_one(function: Callable[[Any], Any], sweeps: int) -> None:
    x = np.linspace(0.5, 2.0, 12)
    found = sparse_hessian(function, x)
    np.testing.assert_allclose(found.todense(), cg.hessian(function)(x), rtol=1e-12)
    assert found.sweeps <= sweeps


def test_colourings_hold_what_they_promise() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        shape = tuple(rng.integers(1, 12, 2).tolist())
        dense = rng.uniform(size=shape) < 0.25
        rows, cols = np.nonzero(dense)
        colours = column_colours(rows, cols, shape)
        for colour in set(colours.tolist()):
            assert np.max(dense[:, colours == colour].sum(axis=1), initial=0) <= 1
        square = rng.uniform(size=(shape[0], shape[0])) < 0.3
        square = square | square.T | np.eye(shape[0], dtype=bool)
        colours = star_colours(*np.nonzero(square), shape[0])
        for i, j in zip(*np.nonzero(square), strict=True):
            alone = [np.sum(square[row] & (colours == colours[col])) == 1 for row, col in ((i, j), (j, i))]
            assert any(alone)


def test_a_known_pattern_is_used_and_a_sparse_derivative_can_be_differentiated() -> None:
    x = np.linspace(0.1, 0.9, 7)
    pattern = sparsity_pattern(tridiagonal, x)
    np.testing.assert_array_equal(sparse_jacobian(tridiagonal, x, pattern=pattern).todense(), cg.jacobian(tridiagonal)(x))
    found = cg.grad(lambda x: np.sum(sparse_jacobian(tridiagonal, x, pattern=pattern).todense() ** 2))(x)
    np.testing.assert_allclose(found, cg.grad(lambda x: np.sum(cg.jacobian(tridiagonal)(x) ** 2))(x), rtol=1e-12)


def test_scipy_gets_the_same_matrix() -> None:
    pytest.importorskip("scipy")
    x = np.linspace(0.1, 0.9, 7)
    np.testing.assert_array_equal(sparse_jacobian(tridiagonal, x).to_scipy().toarray(), cg.jacobian(tridiagonal)(x))


def test_bad_input() -> None:
    x = np.ones(4)
    wrong = SparsityPattern(np.zeros(0, int), np.zeros(0, int), (2, 2))
    with pytest.raises(cg.InputError, match=r"the pattern is \(2, 2\), it has to be a SparsityPattern of \(4, 4\).*test_sparsity\.py"):
        sparse_jacobian(np.sin, x, pattern=wrong)
    with pytest.raises(cg.InputError, match="the pattern is str"):
        sparse_hessian(rosenbrock, x, pattern="dense")  # type: ignore[arg-type]
    with pytest.raises(cg.ShapeError, match=r"needs one number.*test_sparsity\.py"):
        sparse_hessian(np.sin, x)
    with pytest.raises(cg.ShapeError, match=r"more than 200000000 entries: the derivative is dense.*test_sparsity\.py"):
        sparsity_pattern(lambda x: x + np.sum(x), np.ones(100_000))
