"""NumPy's quantiles, weighted means, covariance and correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg

A = np.array([[0.3, -1.2, 2.1, 0.9, 3.2], [1.7, 0.4, -0.6, -2.3, -0.1], [0.8, 1.1, -1.9, 0.2, 2.6]])
W = np.array([0.5, 1.5, 2.0, 0.25, 0.75])
HOLES = np.where((A > 2) | (A < -2), np.nan, 0.0)
METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull", "linear",
    "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
)  # fmt: skip
CONTINUOUS = ("linear", "hazen", "weibull", "median_unbiased", "normal_unbiased", "interpolated_inverted_cdf")
AXES: list[dict[str, Any]] = [
    {}, {"axis": 0}, {"axis": -1}, {"axis": (0, 1)}, {"axis": (1, 0), "keepdims": True}, {"axis": 1, "keepdims": True}, {"keepdims": True},
]  # fmt: skip
LEVELS: list[Any] = [0.3, 0, 1.0, [0.1, 0.5, 0.95], np.array([[0.25, 0.5], [0.75, 1.0]])]

CALLS: dict[str, tuple[Any, ...]] = {
    **{f"{name} {kwargs}": (lambda x, name=name, kwargs=kwargs: getattr(np, name)(x + holes(name), **kwargs), A)
       for name in ("median", "nanmedian") for kwargs in AXES},
    **{f"{name} {kwargs}": (lambda x, name=name, kwargs=kwargs: getattr(np, name)(x + holes(name), 0.3, **kwargs), A)
       for name in ("quantile", "nanquantile") for kwargs in AXES},
    **{f"{name}, level {level}": (lambda x, name=name, level=level: getattr(np, name)(x + holes(name), level, axis=1, keepdims=True), A)
       for name in ("quantile", "nanquantile") for level in LEVELS},
    **{f"quantile, {method}": (lambda x, method=method: np.quantile(x, [0.12, 0.5, 0.81], axis=-1, method=method), A)
       for method in METHODS},
    **{f"nanquantile, {method}": (lambda x, method=method: np.nanquantile(x + HOLES, [0.12, 0.5, 0.81], axis=-1, method=method), A)
       for method in CONTINUOUS},
    "percentile": (lambda x: np.percentile(x, 40), A),
    "percentiles": (lambda x: np.percentile(x, [10, 40.0], axis=0), A),
    "nanpercentile": (lambda x: np.nanpercentile(x + HOLES, 40, axis=1), A),
    "median of an even number": (np.median, A[:2, :4]),
    "median of one": (lambda x: np.median(x, axis=0), A[:1]),
    "average": (np.average, A),
    "average, axis": (lambda x: np.average(x, axis=(0, -1)), A),
    "average, weights": (lambda x, w: np.average(x, weights=w), A, np.abs(A)),
    "average, weights of an axis": (lambda x, w: np.average(x, axis=1, weights=w, keepdims=True), A, W),
    "average, weights of two axes": (lambda x, w: np.average(x, axis=(1, 0), weights=w), A, np.abs(A).T + 0.1),
    "average and the sum of the weights": (lambda x, w: np.average(x, axis=1, weights=w, returned=True), A, W),
    "average and their number": (lambda x: np.average(x, axis=1, returned=True), A),
    "cov": (np.cov, A),
    "cov of a sequence": (np.cov, W),
    "cov, y": (lambda m, y: np.cov(m, y), A, W),
    "cov of columns": (lambda m: np.cov(m, rowvar=False), A),
    "cov of columns, y": (lambda m, y: np.cov(m, y, rowvar=False), A, np.cos(A)),
    "cov, bias": (lambda m: np.cov(m, bias=True), A),
    "cov, ddof": (lambda m: np.cov(m, ddof=2), A),
    "cov, fweights": (lambda m: np.cov(m, fweights=np.array([1, 2, 0, 3, 1])), A),
    "cov, aweights": (lambda m, w: np.cov(m, aweights=w), A, W),
    "cov, both weights": (lambda m, w: np.cov(m, fweights=np.array([1, 2, 0, 3, 1]), aweights=w, ddof=0), A, W),
    "cov, fweights and aweights": (lambda m: np.cov(m, fweights=np.array([1, 2, 1, 3, 1]), aweights=W.astype(m.dtype)), A),
    "corrcoef, off the diagonal": (lambda x: np.corrcoef(x)[np.triu_indices(3, 1)], A),
    "corrcoef, y": (lambda x, y: np.corrcoef(x, y)[0, 1], A[0], A[1]),
    "corrcoef of columns": (lambda x: np.corrcoef(x, rowvar=False)[0, 1:], np.concatenate([A, np.sin(A)])),
}  # fmt: skip


def holes(name: str) -> Any:
    return HOLES if name.startswith("nan") else 0.0


@pytest.mark.parametrize("name", CALLS)
def test_statistic(name: str) -> None:
    verify(*CALLS[name])


def test_quantiles_of_many_numbers_are_numpys() -> None:
    x = np.random.default_rng(0).normal(size=1001)
    for method in METHODS:
        for level in (0.0, 1e-3, 0.123, 1 / 3, 0.999, 1.0):
            found = np.quantile(cg.variable(x), level, method=method).value
            assert found == pytest.approx(np.quantile(x, level, method=method), rel=1e-12)


def test_the_derivative_of_a_median_goes_to_the_middle() -> None:
    np.testing.assert_array_equal(cg.grad(np.median)(np.array([3.0, 1.0, 2.0])), [0, 0, 1])
    np.testing.assert_array_equal(cg.grad(np.median)(np.array([3.0, 1.0, 2.0, 9.0])), [0.5, 0, 0.5, 0])
    np.testing.assert_allclose(cg.grad(lambda x: np.quantile(x, 0.25))(np.array([3.0, 1.0, 2.0])), [0, 0.5, 0.5])


def test_entries_that_tie_are_taken_in_their_order() -> None:
    x = np.array([2.0, 2.0, 2.0, 1.0])
    gradient = cg.grad(np.median)(x)
    np.testing.assert_array_equal(gradient, [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal([cg.jvp(np.median, (x,), (unit,))[1] for unit in np.eye(4)], gradient)


def test_nan_make_a_median_nan_and_leave_a_nanmedian_alone() -> None:
    x = np.array([[1.0, np.nan, 3.0, 8.0], [1.0, 2.0, 3.0, 9.0], [np.nan] * 4])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.median(cg.variable(x), axis=1).value, [np.nan, 2.5, np.nan])
        np.testing.assert_array_equal(np.nanmedian(cg.variable(x), axis=1).value, [3.0, 2.5, np.nan])
        gradient = cg.grad(lambda x: np.sum(np.nanmedian(x, axis=1)[:2]))(x)
    np.testing.assert_array_equal(gradient, [[0, 0, 1, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0]])


def test_infinite_entries_do_not_spoil_a_median() -> None:
    x = np.array([-np.inf, 1.0, 2.0, np.inf, 4.0])
    assert np.median(cg.variable(x)).value == 2.0
    assert np.nanmedian(cg.variable(x)).value == 2.0
    np.testing.assert_array_equal(cg.grad(np.median)(x), [0, 0, 1, 0, 0])


def test_covariance_of_numbers_with_a_large_offset() -> None:
    small = np.array([[4.0, 7.0, 13.0, 16.0], [1.0, 2.0, 4.0, 9.0]])
    np.testing.assert_allclose(np.cov(cg.variable(1e9 + small)).value, np.cov(small), rtol=1e-14)

    def first(x: Any) -> Any:
        return np.cov(x)[0, 1]

    np.testing.assert_allclose(cg.grad(first)(1e9 + small), cg.grad(first)(small), rtol=1e-14)


def test_a_correlation_stays_within_one_and_its_diagonal_is_constant() -> None:
    x = np.random.default_rng(0).normal(size=(4, 6))
    correlation = np.corrcoef(cg.variable(x)).value
    assert np.max(np.abs(correlation)) <= 1
    np.testing.assert_allclose(correlation, np.corrcoef(x), rtol=1e-13)
    gradient = cg.grad(lambda x: np.sum(np.corrcoef(x) * np.eye(4)))(x)
    np.testing.assert_allclose(gradient, 0, atol=1e-14)


def test_an_empty_median_is_nan_as_in_numpy() -> None:
    with pytest.warns(RuntimeWarning):
        assert np.isnan(np.median(cg.variable(np.zeros(0))).value)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda x: np.quantile(x, 1.5), ValueError, "range"),
    (lambda x: np.nanquantile(x, -0.5), ValueError, "range"),
    (lambda x: np.quantile(x, x[0, 0]), TypeError, "parameter"),
    (lambda x: np.quantile(x, 0.5, method="other"), ValueError, "other"),
    (lambda x: np.nanquantile(x, 0.5, method="nearest"), TypeError, "nearest"),
    (lambda x: np.quantile(x[:0], 0.5), IndexError, "no numbers"),
    (lambda x: np.median(x, axis=2), ValueError, "axis 2"),
    (lambda x: np.median(x, out=np.zeros(())), TypeError, "out="),
    (lambda x: np.average(x, weights=np.zeros((3, 5))), ZeroDivisionError, "zero"),
    (lambda x: np.average(x, weights=W), TypeError, "Axis must"),
    (lambda x: np.average(x, axis=0, weights=W), ValueError, "consistent"),
    (lambda x: np.cov(x[None]), ValueError, "dimensions"),
    (lambda x: np.cov(x, ddof=0.5), ValueError, "integer"),
])  # fmt: skip
def test_bad_input_is_refused_with_the_line(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call(cg.variable(A, name="x"))
    assert "test_statistics.py" in str(caught.value)
