"""Graphs in many digits: every primitive against its values in double precision, and derivatives against known ones."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from domains import SAMPLES

import compgraph as cg
from compgraph import precision
from compgraph.graph import Node, graph_of

# Computed by LAPACK or by an FFT, in double precision only, and without a form.
NONE = {
    "inv", "solve", "det", "cofactors", "slogdet", "pinv", "cholesky", "qr", "eigh", "eig", "inverse_basis", "svd", "matrix_rank",
    "fftn", "ifftn", "rfftn", "irfftn",
}  # fmt: skip
PARTLY = {"inv", "solve", "det", "qr"}  # which have some: matrices with entries, or those without any


def evaluated(graph):
    with mpmath.mp.workdps(50):
        return precision.evaluated(graph, [precision.exact(node.value) for node in graph.inputs])


def test_every_primitive_in_many_digits():
    found, missing = set(), {}
    for sample in SAMPLES:
        moving = [hasattr(arg, "dtype") and arg.dtype.kind in "fc" for arg in sample.args]
        nodes = [cg.variable(arg) if moves else arg for arg, moves in zip(sample.args, moving, strict=True)]
        y = cg.bind(sample.name, *nodes, **sample.params)
        if not isinstance(y, Node) or not graph_of(y).inputs:
            continue
        try:
            result = evaluated(graph_of(y))[0]
        except cg.MissingRuleError as error:
            missing[sample.name] = str(error)
            continue
        digits = 1e-6 if "float32" in str(sample.params) else 1e-12
        np.testing.assert_allclose(np.asarray(result, y.dtype), y.value, rtol=digits, atol=digits, err_msg=str(sample))
        found.add(sample.name)
    assert set(missing) <= NONE, {name: text for name, text in missing.items() if name not in NONE}
    assert found & NONE <= PARTLY
    assert len(found) > 120
    assert all(name in text for name, text in missing.items())


def test_a_derivative_to_fifty_digits():
    graph = cg.parse("exp(sin(x)) / x")
    with mpmath.mp.workdps(80):
        x = mpmath.mpf(0.7)
        exact = mpmath.exp(mpmath.sin(x)) * (mpmath.cos(x) / x - 1 / x**2)
        found = precision.column(graph, [np.float64(0.7)], 0, 0)[0][()]
        assert abs(found - exact) < mpmath.mpf(10) ** -60


def test_a_loop_in_many_digits():
    graph = cg.trace(lambda x: cg.fori(0, 6, lambda turn, h: np.sin(h) * x, x), 0.7)
    double = cg.grad(lambda x: cg.fori(0, 6, lambda turn, h: np.sin(h) * x, x))(0.7)
    assert float(precision.column(graph, [np.float64(0.7)], 0, 0)[0][()]) == pytest.approx(double, rel=1e-13)


def test_errors_are_subtracted_in_many_digits():
    with mpmath.mp.workdps(50):
        exact = np.array([mpmath.mpf(1) / 3, mpmath.mpf(0)], object)
    assert precision.largest_error(np.array([1 / 3, 0.0]), exact) == (pytest.approx(1.85e-17, rel=1e-2), pytest.approx(1 / 3))
    assert precision.largest_error(np.array([1 / 3, 1e-60]), exact)[0] < 2e-17
    assert np.isnan(precision.largest_error(np.array([np.nan, 0.0]), exact)[0])


def test_outside_the_domain_and_without_a_form():
    with pytest.raises(ValueError, match=r"outside the domain at v1 = sqrt"):
        precision.column(cg.parse("sqrt(x)"), [np.float64(0.0)], 0, 0)
    with pytest.raises(cg.MissingRuleError, match=r"pinv has no form in many digits for v1 = pinv \(2, 2\)"):
        precision.column(cg.trace(np.linalg.pinv, np.eye(2)), [np.eye(2)], 0, 0)


@pytest.mark.parametrize(("f", "x"), [
    (lambda x: np.linalg.det(x) + np.sum(np.linalg.inv(x)), np.array([[2.0, 1.0], [0.5, 3.0]])),
    (lambda x: np.sum(np.linalg.solve(np.stack([x, x.T]), np.ones((2, 2, 1)))), np.array([[2.0, 1.0], [0.5, 3.0]])),
    (lambda x: np.sum(np.abs(np.exp(1j * x) * (x + 2j)) + np.real(1j * x * np.conj(x + 1j))), np.array([0.3, 2.0])),
    (lambda x: np.sum(np.fmod(x, 2) * x + np.modf(x)[0]), np.array([3.7, -3.7])),
    (lambda x: np.sum(np.sort(x)[:1] * np.cumsum(x)), np.array([3.7, -3.7])),
])  # fmt: skip
def test_derivatives_without_a_rule_are_those_of_the_sweeps(f, x):
    graph = cg.trace(f, x)
    found = [float(precision.column(graph, [x], 0, entry)[0][()]) for entry in range(x.size)]
    np.testing.assert_allclose(np.reshape(found, x.shape), cg.grad(f)(x), rtol=1e-12)


def test_a_direction_moves_several_inputs():
    graph = cg.parse("x * y**2")
    (slope,) = precision.slopes(graph, [np.float64(3.0), np.float64(2.0)], {0: 1.0, 1: 2.0})
    assert abs(slope[()] - (4 + 12 * 2)) < 1e-45


def test_values_beside_what_has_none():
    """A node without a form and those made of it are said; NaN stands where there is no value."""
    graph = cg.trace(lambda x: (np.sum(np.linalg.pinv(x)) * 2, np.log(x[0, 0]) / 0.0, np.max(np.sqrt(x)) > 1), np.eye(2))
    values = {graph.inputs[0]: np.array([[2.0, -1.0], [1.0, 3.0]])}
    found = precision.precise(graph, values)
    texts = {node.primitive.name: text for node, text in found.missing.items()}
    assert texts["pinv"].startswith("pinv has no form in many digits")
    assert texts["sum"] == texts["multiply"] == "an argument is unknown"
    known = {node.primitive.name: value for node, value in found.values.items() if node.primitive is not None}
    assert mpmath.isnan(known["divide"][()])
    assert [mpmath.isnan(entry) for entry in known["sqrt"].flat] == [False, True, False, False]
    assert mpmath.isnan(known["max"][()])


def test_the_time_of_a_long_loop_is_bounded(monkeypatch):
    monkeypatch.setattr(precision, "SECONDS", 0.05)
    graph = cg.trace(lambda x: cg.fori(0, 1_000_000, lambda turn, h: np.sin(h) * x, x), 0.7)
    texts = list(precision.precise(graph, {graph.inputs[0]: np.float64(0.7)}).missing.values())
    assert texts[0] == "it took longer than 0.05 s"
