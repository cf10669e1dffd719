"""Losses beyond the stored values: what is refused and how, extreme inputs, other axes, dtypes, programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compgraph as cg
from compgraph import nn

X, LABELS = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
COLUMN, FLAT = np.zeros((5, 1)), np.zeros(5)

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    *[
        (lambda loss=loss: loss(COLUMN, FLAT), cg.ShapeError,  # type: ignore[misc]
         rf"{loss.__name__}: the input has shape \(5, 1\) and the target \(5,\)\. "
         r"Write loss\(output\.reshape\(\(5,\)\), y\), or output\.squeeze\(\)")
        for loss in (nn.mse, nn.l1, nn.huber, nn.smooth_l1, nn.bce, nn.bce_with_logits, nn.kl_div, nn.hinge)
    ],
    (lambda: nn.mse(FLAT, COLUMN), cg.ShapeError, r"Write loss\(output, y\.reshape\(\(5,\)\)\), or y\.squeeze\(\)"),
    (lambda: nn.mse(X, X[:, :2]), cg.ShapeError, r"shape \(5, 3\) and the target \(5, 2\)\. They have to be equal \(test_losses\.py:\d+\)"),
    (lambda: nn.mse(X[:0], X[:0]), cg.ShapeError, r"mse: there is nothing in an input of shape \(0, 3\)"),
    (lambda: nn.mse(X, X, reduction="average"), cg.InputError, "mse: reduction is one of 'none', 'mean', 'sum', not 'average'"),
    (lambda: nn.mse(X, X, reduction="batchmean"), cg.InputError, "not 'batchmean'"),
    (lambda: nn.kl_div(X, X**2, reduction="average"), cg.InputError, "'sum', 'batchmean', not 'average'"),
    (lambda: nn.mse(X, X * 1j), cg.DtypeError, "mse: the target is of complex128, real numbers are needed"),
    (lambda: nn.mse(X * 1j, X), cg.DtypeError, "mse: the input is of complex128"),
    (lambda: nn.mse(X, np.full((5, 3), "a")), cg.DtypeError, "mse: the target is of <U1"),
    (lambda: nn.huber(X, X, delta=0.0), cg.InputError, "huber: delta is above 0, not 0.0"),
    (lambda: nn.smooth_l1(X, X, beta=-1.0), cg.InputError, "smooth_l1: beta is at least 0"),
    (lambda: nn.bce(np.array([0.5, 1.5]), np.ones(2)), cg.InputError,
     r"bce: input\[1\] is 1\.5, no probability; bce_with_logits takes what"),
    (lambda: nn.bce(np.array([0.5, np.nan]), np.ones(2)), cg.InputError, r"input\[1\] is nan"),
    (lambda: nn.bce(np.array([0.5, 0.5]), np.array([-1.0, 1.0])), cg.InputError, r"bce: target\[0\] is -1\.0, a target is a probability"),
    (lambda: nn.bce_with_logits(np.zeros(2), np.array([0, 2])), cg.InputError, r"bce_with_logits: target\[1\] is 2\.0"),
    (lambda: nn.bce_with_logits(X, (X > 0), weight=np.ones(4)), cg.ShapeError,
     r"weight has shape \(4,\), which does not broadcast to \(5, 3\)"),
    (lambda: nn.bce_with_logits(X, (X > 0), weight=np.ones((2, 5, 3))), cg.ShapeError, "does not broadcast"),
    (lambda: nn.kl_div(X, -np.ones((5, 3))), cg.InputError, r"kl_div: target\[0, 0\] is -1\.0, a probability is not negative; log_target"),
    (lambda: nn.hinge(np.zeros(2), np.array([1, 0])), cg.InputError, r"hinge: target\[1\] is 0\.0, a target is -1 or 1: write 2 \* y - 1"),
    (lambda: nn.cross_entropy(X, np.array([0, 2, 3, 1, 0])), cg.InputError,
     r"label 3 at \[2\] is not one of the 3 classes, 0 to 2 \(test_losses"),
    (lambda: nn.cross_entropy(X, np.array([0, 2, -100, 1, 0])), cg.InputError, r"label -100 at \[2\] is not .* named by ignore_index"),
    (lambda: nn.cross_entropy(X, np.array([0, 2, -1, 1, 3]), ignore_index=-1), cg.InputError, r"label 3 at \[4\]"),
    (lambda: nn.cross_entropy(cg.variable(X), cg.constant(np.array([0, 2, 3, 1, 0]))), cg.InputError, r"label 3 at \[2\]"),
    (lambda: nn.cross_entropy(X, LABELS.astype(float)), cg.DtypeError, r"labels are integers, not float64: write y\.astype\(np\.int64\)"),
    (lambda: nn.cross_entropy(X, LABELS > 0), cg.DtypeError, "labels are integers, not bool"),
    (lambda: nn.cross_entropy(X, LABELS[:, None]), cg.ShapeError, r"need labels of shape \(5,\), not \(5, 1\): write y\.reshape\(\(5,\)\)"),
    (lambda: nn.cross_entropy(X, LABELS[:4]), cg.ShapeError,
     r"logits of shape \(5, 3\) with the classes on axis 1 need labels of shape \(5,\), not \(4,\)"),
    (lambda: nn.cross_entropy(X, np.eye(3, dtype=int)[LABELS]), cg.ShapeError,
     r"are probabilities: write y\.astype\(np\.float32\), or y\.argmax\(1\)"),
    (lambda: nn.cross_entropy(np.zeros((2, 4, 3)), np.zeros((2, 4), int)), cg.ShapeError,
     "Write axis=-1 where the classes are on the last axis"),
    (lambda: nn.cross_entropy(X, LABELS, axis=2), cg.ShapeError, r"axis 2 is not one of an input of shape \(5, 3\)"),
    (lambda: nn.cross_entropy(np.float64(1.0), LABELS), cg.ShapeError, "the input is one number, and needs an axis of classes"),
    (lambda: nn.cross_entropy(X, LABELS, weight=np.ones(2)), cg.ShapeError,
     r"weight has shape \(2,\), and needs one number for each of the 3"),
    (lambda: nn.cross_entropy(X, LABELS, label_smoothing=1.5), cg.InputError, "label_smoothing is between 0 and 1, not 1.5"),
    (lambda: nn.cross_entropy(X, np.full(5, 1), ignore_index=1), cg.InputError, "every label is 1, which is ignored"),
    (lambda: nn.cross_entropy(X, X, ignore_index=1), cg.InputError, "ignore_index is for integer labels"),
    (lambda: nn.nll(X, LABELS + 1), cg.InputError, r"nll: label 3 at \[1\]"),
    (lambda: nn.multi_margin(X, LABELS, p=3), cg.InputError, "multi_margin: p is 1 or 2, not 3"),
    (lambda: nn.multi_margin(np.zeros((2, 3, 4)), LABELS), cg.ShapeError, r"scores have shape \(N, C\) or \(C,\), not \(2, 3, 4\)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=range(len(REFUSED)))
def test_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("target", ["numpy", "numba"])
def test_labels_beyond_the_classes_stop_a_compiled_program(target: str) -> None:
    if target == "numba":
        pytest.importorskip("numba")
    loss = cg.compile(cg.value_and_grad(nn.cross_entropy), target=target)
    loss(X, LABELS)
    for wrong in (3, -100):
        with pytest.raises(IndexError, match="is out of bounds for axis 1 with size 3"):
            loss(X, np.array([0, wrong, 1, 1, 0]))


@pytest.mark.parametrize("target", ["numpy", "numba"])
def test_labels_that_are_ignored_in_a_compiled_program(target: str) -> None:
    if target == "numba":
        pytest.importorskip("numba")
    loss = cg.compile(cg.value_and_grad(lambda x, y: nn.cross_entropy(x, y, ignore_index=-100)), target=target)
    for labels in (LABELS, np.array([0, -100, 1, 1, -100])):
        kept = labels >= 0
        value, bar = loss(X, labels)
        expected, expected_bar = cg.value_and_grad(nn.cross_entropy)(X[kept], labels[kept])
        np.testing.assert_allclose(value, expected, rtol=1e-14)
        np.testing.assert_allclose(bar[kept], expected_bar, rtol=1e-13, atol=1e-17)
        assert not np.any(bar[~kept])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["eager", "numpy", "numba"])
def test_extreme_logits_keep_their_digits(mode: str, dtype: Any) -> None:
    """Differences of a thousand overflow in no sum, and what the model is sure of costs what it should."""
    if mode == "numba":
        pytest.importorskip("numba")
    x = np.array([[1000.0, 0.0, -1000.0], [-3000.0, -3000.0, -3000.0], [0.0, -np.inf, 1.0], [3e4, 1e4, -3e4]], dtype)
    y = np.array([1, 2, 0, 0])
    gradient = cg.value_and_grad(lambda x, y: nn.cross_entropy(x, y, reduction="sum"))
    value, bar = (gradient if mode == "eager" else cg.compile(gradient, target=mode))(x, y)
    p = 1 / (1 + np.e)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    assert value.dtype == bar.dtype == dtype
    np.testing.assert_allclose(value, 1000 + np.log(3) - np.log(p), rtol=tolerance)
    np.testing.assert_allclose(bar, [[1, -1, 0], [1 / 3, 1 / 3, -2 / 3], [p - 1, 0, 1 - p], [0, 0, 0]], rtol=tolerance, atol=tolerance)


def test_bce_with_logits_in_both_tails() -> None:
    x, t = np.array([800.0, 800.0, -800.0, -800.0, 40.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.25])
    losses, bars = nn.bce_with_logits(x, t, reduction="none"), cg.grad(lambda x: nn.bce_with_logits(x, t, reduction="sum"))(x)
    np.testing.assert_allclose(losses, [0, 800, 800, 0, np.exp(-40), np.log(2)], rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(bars, [0, 1, -1, 0, -np.exp(-40), 0.25], rtol=1e-12, atol=1e-300)
    second = cg.hessian(lambda x: nn.bce_with_logits(x, t[5:], reduction="sum"))(x[5:])
    np.testing.assert_allclose(second, [[0.25]], rtol=1e-14)  # where a form with |x| would say 0


def test_bce_at_the_ends() -> None:
    """A logarithm is at least -100, and flat there."""
    p, t = np.array([0.0, 1.0, 0.0, 1.0, 1e-60]), np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    losses, bars = nn.bce(p, t, reduction="none"), cg.grad(lambda p: nn.bce(p, t, reduction="sum"))(p)
    np.testing.assert_array_equal(losses, [100, 100, 0, 0, 100])
    np.testing.assert_array_equal(bars, [0, 0, 1, -1, 0])


def test_bce_of_small_probabilities_keeps_its_digits() -> None:
    p = np.array([1e-12, 3e-17])
    np.testing.assert_allclose(nn.bce(p, np.zeros(2), reduction="none"), p, rtol=1e-11)


def test_kinks() -> None:
    """At the margin, and where numbers are equal, the derivative is 0."""
    one = np.ones(1)
    for loss in (nn.hinge, nn.l1, nn.mse, nn.huber):
        assert cg.grad(loss)(one, one) == 0, loss.__name__
    np.testing.assert_array_equal(cg.grad(nn.multi_margin)(np.array([[1.0, 0.0, -5.0]]), np.array([0])), np.zeros((1, 3)))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_classes_on_the_last_axis(reduction: str) -> None:
    """(N, T, C) with axis=-1 is what (N, C, T) is by default, and what a long list of rows is."""
    x, y = np.random.default_rng(0).normal(size=(2, 4, 3)), np.random.default_rng(1).integers(0, 3, (2, 4))
    last = nn.cross_entropy(x, y, axis=-1, reduction=reduction, weight=np.array([1.0, 2.0, 3.0]))
    middle = nn.cross_entropy(np.moveaxis(x, -1, 1), y, reduction=reduction, weight=np.array([1.0, 2.0, 3.0]))
    rows = nn.cross_entropy(x.reshape(-1, 3), y.reshape(-1), reduction=reduction, weight=np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(last, middle, rtol=1e-14)
    np.testing.assert_allclose(np.reshape(last, rows.shape), rows, rtol=1e-14)
    assert last.shape == (() if reduction == "mean" else y.shape)


def test_cross_entropy_of_one_hot_rows_is_that_of_labels() -> None:
    for smoothing in (0.0, 0.1):
        (value, bar), (other, other_bar) = (
            cg.value_and_grad(lambda x, y=y, e=smoothing: nn.cross_entropy(x, y, label_smoothing=e))(X) for y in (LABELS, np.eye(3)[LABELS])
        )
        np.testing.assert_allclose([value, *bar.flat], [other, *other_bar.flat], rtol=1e-13, atol=1e-16)


def test_many_rows() -> None:
    """Reading many entries has another transpose than reading few: softmax less the unit row, whichever it is."""
    draw = np.random.default_rng(0)
    for rows in (3, 600):
        x, y = draw.normal(size=(rows, 10)), draw.integers(0, 10, rows)
        expected = (cg.special.softmax(x, axis=1) - np.eye(10)[y]) / rows
        np.testing.assert_allclose(cg.grad(nn.cross_entropy)(x, y), expected, rtol=1e-12, atol=1e-17)


def test_labels_of_every_integer_dtype_and_lists() -> None:
    expected = nn.cross_entropy(X, LABELS)
    for dtype in (np.int8, np.uint8, np.int32, np.uint64):
        assert nn.cross_entropy(X, LABELS.astype(dtype)) == expected
    assert nn.cross_entropy(X.tolist(), LABELS.tolist()) == expected


def test_the_program_of_a_gradient_makes_no_matrix_of_labels() -> None:
    gradient = cg.compile(cg.value_and_grad(nn.cross_entropy))
    gradient(X, LABELS)
    operations = [node.primitive.name for node in gradient.graph.nodes if node.primitive]
    assert operations.count("exp") == 1 and "equal" not in operations and "isfinite" not in operations


def test_losses_are_scopes_in_graphs() -> None:
    graph = cg.trace(lambda x, y: nn.mse(x, y), X, X)
    assert {node.scope for node in graph.nodes if node.primitive} == {"mse"}


@given(st.integers(0, 2**32 - 1), st.floats(-500, 500))
def test_cross_entropy_does_not_see_a_shift(seed: int, shift: float) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(4, 5)), draw.integers(0, 5, 4)
    assert abs(nn.cross_entropy(x + shift, y) - nn.cross_entropy(x, y)) < 1e-12 * (1 + abs(shift))
    assert abs(np.sum(cg.grad(nn.cross_entropy)(x, y))) < 1e-14


@given(st.integers(0, 2**32 - 1))
def test_divergences_are_not_negative(seed: int) -> None:
    draw = np.random.default_rng(seed)
    p, q = (cg.special.softmax(draw.normal(size=(3, 4)), axis=1) for _ in range(2))
    assert nn.kl_div(np.log(q), p, reduction="batchmean") >= 0
    assert abs(nn.kl_div(np.log(p), p, reduction="sum")) < 1e-15
