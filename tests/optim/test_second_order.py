"""The minimisers: published problems to their published minima, and what happens when something is wrong."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import more_garbow_hillstrom, nist

import compgraph as cg
import optim
from optim.conjugate_gradients import FORMULAS
from optim.lbfgs import Memory
from optim.natural import natural_direction
from optim.newton import steihaug

MGH = more_garbow_hillstrom.PROBLEMS
# What conjugate gradients do not reach in 5000 iterations: condition numbers of 1e10 and more, where they should not be used.
BEYOND_CG = {"Meyer", "Osborne 1", "Watson, n = 9"}


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_residuals(x: Any) -> Any:
    return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


START = np.array([-1.2, 1.0])

# ---------------------------------------------------------------------------------------- published problems


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg", "least-squares"])
@pytest.mark.parametrize("problem", MGH, ids=lambda problem: problem.name)
def test_more_garbow_hillstrom(problem: Any, method: str) -> None:
    x0 = np.array(problem.start, float)
    if method == "least-squares":
        result = optim.least_squares(problem.residuals, x0)
        value = 2 * result.value
    else:
        result = optim.minimize(lambda x: np.sum(problem.residuals(x) ** 2), x0, method=method)
        value = result.value
    assert more_garbow_hillstrom.digits(value, problem)[0] > 5, result
    assert result.converged or (method, problem.name) == ("lbfgs", "Watson, n = 9"), result.message
    assert np.sum(problem.residuals(result.x) ** 2) == pytest.approx(value, rel=1e-6, abs=1e-20)


@pytest.mark.parametrize("formula", ["fletcher-reeves", "polak-ribiere", "hestenes-stiefel", "hager-zhang"])
@pytest.mark.parametrize("problem", [one for one in MGH if one.name not in BEYOND_CG], ids=lambda problem: problem.name)
def test_more_garbow_hillstrom_by_conjugate_gradients(problem: Any, formula: str) -> None:
    x0 = np.array(problem.start, float)
    result = optim.minimize(lambda x: np.sum(problem.residuals(x) ** 2), x0, method="cg", formula=formula, maxiter=5000, maxfun=20000)
    least = 4 if (formula, problem.name) == ("fletcher-reeves", "Brown badly scaled") else 5
    assert more_garbow_hillstrom.digits(result.value, problem)[0] > least, result


def test_the_published_starts_have_the_published_values() -> None:
    """Some values of f at the start, which the paper gives or which are easily had by hand."""
    values = {one.name: float(np.sum(one.residuals(np.array(one.start, float)) ** 2)) for one in MGH}
    by_hand = {
        "Rosenbrock": 24.2, "Freudenstein and Roth": 400.5, "Beale": 14.203125, "Helical valley": 2500.0, "Powell singular": 215.0,
        "Wood": 19192.0, "Extended Rosenbrock, n = 100": 50 * 24.2, "Extended Powell singular, n = 100": 25 * 215.0,
        "Brown badly scaled": 999998000003.0, "Watson, n = 6": 30.0,
    }  # fmt: skip
    assert {name: values[name] for name in by_hand} == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("regression", nist.REGRESSIONS, ids=lambda regression: regression.name)
def test_nist_data_are_right(regression: Any) -> None:
    """At the certified parameters the residual sum of squares is the certified one, to its eleven digits.

    Lanczos1 is generated to fourteen digits: eleven of the parameters leave more than the certified 1.4e-25, so it is the fit's.
    """
    b = np.array(regression.certified)
    if regression.name == "Lanczos1":
        b = optim.least_squares(regression.residuals, np.array(regression.starts[1]), ftol=0, xtol=0, gtol=0).x
        assert np.sum(regression.residuals(b) ** 2) == pytest.approx(regression.squares, rel=0.01)
    else:
        assert np.sum(regression.residuals(b) ** 2) == pytest.approx(regression.squares, rel=3e-10)


@pytest.mark.parametrize("regression", nist.REGRESSIONS, ids=lambda regression: regression.name)
def test_nist_from_start_2(regression: Any) -> None:
    result = optim.least_squares(regression.residuals, np.array(regression.starts[1], float), ftol=1e-14, xtol=1e-14, gtol=1e-14)
    assert result.converged, result.message
    assert nist.digits(result.x, regression) > 6
    if regression.name != "Lanczos1":
        assert 2 * result.value == pytest.approx(regression.squares, rel=1e-10)


def test_the_page_has_a_row_for_each_problem() -> None:
    page = (Path(__file__).parents[2] / "docs" / "second_order.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")]
    assert {f"{one.number} {one.name}" for one in MGH} | {one.name for one in nist.REGRESSIONS} <= set(rows)


# ---------------------------------------------------------------------------------------- the parts


@given(seed=st.integers(0, 1000), n=st.integers(1, 6), count=st.integers(0, 8))
def test_the_two_loops_are_the_bfgs_matrix(seed: int, n: int, count: int) -> None:
    """-H g with H from the update formula, written out."""
    draw = np.random.default_rng(seed)
    memory = Memory(5)
    A = draw.normal(size=(n, n))
    A = A @ A.T + np.eye(n)
    pairs = [(s, A @ s) for s in draw.normal(size=(count, n))]
    for s, y in pairs:
        memory.push(s, y, 0.0)
    kept = pairs[-5:]
    H = np.eye(n) * (kept[-1][0] @ kept[-1][1] / (kept[-1][1] @ kept[-1][1]) if kept else 1.0)
    for s, y in kept:
        left = np.eye(n) - np.outer(s, y) / (s @ y)
        H = left @ H @ left.T + np.outer(s, s) / (s @ y)
    gradient = draw.normal(size=n)
    assert memory.direction(gradient) == pytest.approx(-H @ gradient, rel=1e-7, abs=1e-9)


@given(seed=st.integers(0, 1000), n=st.integers(1, 6), radius=st.floats(0.01, 100.0), shift=st.floats(-3.0, 3.0))
def test_steihaug_stays_inside_and_beats_the_cauchy_point(seed: int, n: int, radius: float, shift: float) -> None:
    draw = np.random.default_rng(seed)
    A = draw.normal(size=(n, n))
    A = A @ A.T / n + shift * np.eye(n)
    g = draw.normal(size=n)
    p, curved, at_boundary = steihaug(lambda v: A @ v, g, radius, 1e-10, 10 * n)
    size = np.linalg.norm(p)
    assert size <= radius * (1 + 1e-12) and curved == pytest.approx(A @ p, rel=1e-7, abs=1e-7)
    assert at_boundary == (abs(size - radius) <= 1e-9 * radius)
    slope, curvature = g @ g, g @ A @ g
    length = min(slope / curvature if curvature > 0 else math.inf, radius / np.linalg.norm(g))
    assert g @ p + p @ A @ p / 2 <= (-length * slope + length**2 * curvature / 2) * (1 - 1e-9)
    if not at_boundary:
        assert p == pytest.approx(np.linalg.solve(A, -g), rel=1e-5, abs=1e-7)


def test_conjugate_gradients_end_on_a_quadratic_after_n_iterations() -> None:
    A = np.diag([1.0, 3.0, 9.0, 27.0])
    for formula in ("fletcher-reeves", "polak-ribiere", "hestenes-stiefel", "hager-zhang"):
        result = optim.minimize_cg(lambda x: (x @ A @ x / 2 - np.sum(x), A @ x - 1), np.ones(4), formula=formula, gtol=1e-6)
        assert result.converged and result.iterations <= 14, (formula, result)
        assert result.x == pytest.approx(1 / np.diag(A), abs=1e-5)


vectors = st.lists(st.floats(-10.0, 10.0), min_size=3, max_size=3).map(np.array)


def test_polak_ribiere_plus_forgets_what_is_negative() -> None:
    assert FORMULAS["polak-ribiere"](np.array([1.0, 0.0]), np.array([2.0, 0.0]), np.array([-2.0, 0.0])) == 0.0
    assert FORMULAS["polak-ribiere"](np.array([3.0, 0.0]), np.array([2.0, 0.0]), np.array([-2.0, 0.0])) == 0.75


@given(gradient=vectors, previous=vectors, direction=vectors)
def test_hager_zhang_always_descends(gradient: Any, previous: Any, direction: Any) -> None:
    """g'p <= -7/8 g'g, whatever the line search did (Hager & Zhang, 2005, theorem 1.1)."""
    if abs(direction @ (gradient - previous)) < 1e-3 or min(np.linalg.norm(previous), np.linalg.norm(direction)) < 1e-3:
        return
    following = FORMULAS["hager-zhang"](gradient, previous, direction) * direction - gradient
    assert gradient @ following <= -7 / 8 * (gradient @ gradient) + 1e-7 * abs(gradient @ gradient)


@given(gradient=vectors, seed=st.integers(0, 100))
def test_all_formulas_agree_after_an_exact_search_on_a_quadratic(gradient: Any, seed: int) -> None:
    A = np.diag(np.random.default_rng(seed).uniform(0.5, 3.0, 3))
    if np.linalg.norm(gradient) < 1e-2:
        return
    p = -gradient
    after = gradient + (gradient @ gradient) / (p @ A @ p) * (A @ p)
    betas = [formula(after, gradient, p) for formula in FORMULAS.values()]
    assert betas == pytest.approx([betas[0]] * 4, rel=1e-6, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(scale=st.floats(1e-6, 1e6))
def test_levenberg_marquardt_does_not_depend_on_units(scale: float) -> None:
    """Moré's scaling: the same path, whatever the units of a parameter."""
    unit = np.array([1.0, 2.0 ** round(math.log2(scale))])
    plain = optim.least_squares(rosenbrock_residuals, START, target=None)
    scaled = optim.least_squares(lambda x: rosenbrock_residuals(x * unit), START / unit, target=None)
    assert (scaled.iterations, scaled.evaluations) == (plain.iterations, plain.evaluations)
    assert scaled.x * unit == pytest.approx(plain.x, rel=1e-12)


def test_levenberg_marquardt_without_a_jacobian_finds_the_same() -> None:
    t = np.linspace(0.0, 1.0, 50)
    y = 2 * np.exp(-3 * t) + 0.5 + 0.01 * np.sin(40 * t)

    def residuals(p: Any) -> Any:
        return p["height"] * np.exp(-p["rate"] * t) + p["level"] - y

    start = {"height": 1.0, "rate": 1.0, "level": 0.0}
    dense = optim.least_squares(residuals, start)
    free = optim.least_squares(residuals, start, dense=False)
    assert dense.converged and free.converged and dense.products == 0 < free.products
    assert {key: float(free.x[key]) for key in start} == pytest.approx({key: float(dense.x[key]) for key in start}, rel=1e-6)


@pytest.mark.parametrize("method", ["newton-cg", "least-squares"])
def test_matrices_of_gigabytes_are_never_formed(method: str) -> None:
    """Broyden's tridiagonal equations in 30,000 unknowns: the Hessian would take 7 gigabytes."""
    residuals, x0 = more_garbow_hillstrom.broyden_tridiagonal, -np.ones(30_000)
    if method == "newton-cg":
        result = optim.minimize(lambda x: np.sum(residuals(x) ** 2), x0, method=method, radius=100.0)
    else:
        result = optim.least_squares(residuals, x0)
    assert result.converged and 0 < result.products < 500
    assert np.max(np.abs(residuals(result.x))) < 1e-6


def test_newton_leaves_a_saddle_point() -> None:
    """At (0, 1e-9) the gradient is tiny and the curvature negative: the boundary of the region is the way out."""
    result = optim.minimize(lambda x: x[0] ** 2 + x[1] ** 4 / 4 - x[1] ** 2 / 2, np.array([0.0, 1e-9]), method="newton-cg", gtol=1e-10)
    assert result.converged and abs(result.x[1]) == pytest.approx(1.0)


LABELS = np.array([0, 0, 1, 0, 1, 0, 1, 1, 1])
PLACES = np.linspace(-2.0, 2.0, 9)


def likelihood(logits: Any) -> Any:
    return np.sum(np.logaddexp(0.0, logits) - LABELS * logits)


def test_a_natural_gradient_step_does_not_depend_on_the_parametrisation() -> None:
    """The same model in other coordinates, w = A u: the step leads to the same model (Amari, 1998)."""
    A = np.array([[2.0, 1.0], [-3.0, 0.5]])
    w0 = np.array([0.3, -0.2])

    def one_step(model: Any, start: Any) -> Any:
        fisher = lambda w, v: cg.gnvp(model, (w,), (v,), likelihood)  # noqa: E731
        return optim.natural_gradient(cg.value_and_grad(lambda w: likelihood(model(w))), fisher, start, damping=0.0, maxiter=1).x

    direct = one_step(lambda w: w[0] + w[1] * PLACES, w0)
    other = one_step(lambda u: (A @ u)[0] + (A @ u)[1] * PLACES, np.linalg.solve(A, w0))
    assert A @ other == pytest.approx(direct, rel=1e-9) and not np.allclose(direct, w0)


def test_the_natural_direction_is_damped() -> None:
    A = np.array([[2.0, 1.0], [1.0, 3.0]])
    g = np.array([1.0, -1.0])
    assert natural_direction(lambda v: A @ v, g, 0.5, 10) == pytest.approx(np.linalg.solve(A + 0.5 * np.eye(2), -g), rel=1e-9)


def test_the_empirical_fisher_is_the_mean_of_outer_products() -> None:
    gradients = np.random.default_rng(0).normal(size=(7, 3))
    v = np.array([1.0, -2.0, 0.5])
    assert optim.empirical_fisher(gradients)(v) == pytest.approx(gradients.T @ gradients @ v / 7)


# ---------------------------------------------------------------------------------------- the public face


@pytest.mark.parametrize("method", ["lbfgs", "cg", "newton-cg"])
def test_containers_arguments_and_targets(method: str) -> None:
    def f(p: Any, shift: Any) -> Any:
        return np.sum((p["w"] - shift) ** 4) + np.sum((p["layers"][0] + p["b"]) ** 2) + (p["b"] - 1) ** 2

    x0 = {"w": np.zeros((2, 2)), "layers": (np.ones(3),), "b": 0.0}
    shift = np.array([[1.0, 2.0], [3.0, 4.0]])
    results = [optim.minimize(f, x0, (shift,), method, target=target, gtol=1e-6) for target in ("numpy", None)]
    for result in results:
        assert result.converged
        assert result.x["w"] == pytest.approx(shift, abs=0.05) and result.x["layers"][0] == pytest.approx(-np.ones(3), abs=1e-5)
        assert float(result.x["b"]) == pytest.approx(1.0, abs=1e-5)
    assert results[0].value == pytest.approx(results[1].value, abs=1e-9)
    assert np.array_equal(x0["w"], np.zeros((2, 2)))


def test_a_function_that_branches_on_values_is_minimised_all_the_same() -> None:
    def f(x: Any) -> Any:
        return (x[0] - 2) ** 2 if x[0] > 0 else (x[0] - 2) ** 2 + x[0] ** 2

    for method in ("lbfgs", "newton-cg"):
        assert optim.minimize(f, np.array([-3.0]), method=method).x[0] == pytest.approx(2.0)


@pytest.mark.parametrize("method", ["lbfgs", "cg", "newton-cg", "least-squares"])
def test_single_precision_stays_and_ends_at_its_own_rounding(method: str) -> None:
    x0 = START.astype(np.float32)
    if method == "least-squares":
        result = optim.least_squares(rosenbrock_residuals, x0)
    else:
        result = optim.minimize(rosenbrock, x0, method=method, gtol=1e-4)
    assert result.x.dtype == np.float32 and result.converged
    assert result.x == pytest.approx(np.ones(2), abs=1e-3)


RUNS: dict[str, Any] = {
    "lbfgs": lambda **options: optim.minimize(rosenbrock, START, method="lbfgs", **options),
    "cg": lambda **options: optim.minimize(rosenbrock, START, method="cg", **options),
    "newton-cg": lambda **options: optim.minimize(rosenbrock, START, method="newton-cg", **options),
    "least-squares": lambda **options: optim.least_squares(rosenbrock_residuals, START, **options),
}


@pytest.mark.parametrize("method", RUNS)
def test_the_callback_sees_each_iteration_and_may_stop_it(method: str) -> None:
    seen: list[optim.Result] = []
    result = RUNS[method](callback=seen.append)
    assert result.converged and len(seen) == result.iterations and [one.iterations for one in seen] == list(range(1, len(seen) + 1))
    assert all(later.value <= earlier.value for earlier, later in itertools.pairwise(seen))
    assert np.array_equal(seen[-1].x, result.x)

    def stop(state: optim.Result) -> None:
        if state.iterations == 3:
            raise StopIteration

    stopped = RUNS[method](callback=stop)
    assert not stopped.converged and stopped.iterations == 3 and stopped.message == "the callback stopped the search"
    assert np.array_equal(stopped.x, seen[2].x)


@pytest.mark.parametrize("method", RUNS)
def test_each_limit_is_named(method: str) -> None:
    short = RUNS[method](maxiter=2)
    assert not short.converged and short.iterations == 2 and "2 iterations (maxiter) were not enough" in short.message
    few = RUNS[method](maxfun=6)
    assert not few.converged and 6 <= few.evaluations < 20 and "(maxfun) were not enough" in few.message
    rough = RUNS[method](ftol=0.5)
    assert rough.converged and "ftol=0.5" in rough.message
    rough = RUNS[method](xtol=0.5)
    assert rough.converged and "xtol=0.5" in rough.message


@pytest.mark.parametrize("method", RUNS)
def test_an_interrupt_returns_the_lowest_point(method: str) -> None:
    def interrupt(state: optim.Result) -> None:
        if state.iterations == 4:
            raise KeyboardInterrupt

    values: list[float] = []
    RUNS[method](callback=lambda state: values.append(state.value), maxiter=4)
    result = RUNS[method](callback=interrupt)
    assert not result.converged and result.message == "interrupted" and result.value == min(values)


def test_an_interrupt_inside_the_function_returns_the_lowest_point() -> None:
    calls = 0

    def f(x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return rosenbrock(x)

    result = optim.minimize(f, START, target=None)
    assert result.message == "interrupted" and result.evaluations == 20 and result.value < rosenbrock(START)


def test_a_start_at_the_minimum_is_an_answer() -> None:
    assert optim.minimize(rosenbrock, np.ones(2)).iterations == 0
    assert optim.least_squares(rosenbrock_residuals, np.ones(2)).converged


def test_fewer_residuals_than_parameters_are_said() -> None:
    result = optim.least_squares(lambda x: np.stack([x[0] + x[1] + x[2] - 3]), np.array([0.0, 0.0, 3.5]))
    assert result.converged and np.sum(result.x) == pytest.approx(3.0)
    assert result.message.endswith("; 1 residuals for 3 parameters: one of many solutions")


def test_a_singular_jacobian_is_damped() -> None:
    """Only the sum of the two is determined, and one parameter does nothing at all."""
    t = np.array([1.0, 2.0, 3.0])
    result = optim.least_squares(lambda x: (x[0] + x[1]) * t + 0.0 * x[2] - 2 * t, np.array([5.0, -1.0, 7.0]))
    assert result.converged and result.value < 1e-20 and result.x[2] == 7.0


def test_a_function_without_minimum_is_said_to_fall() -> None:
    result = optim.minimize(lambda x: np.sum(x), np.zeros(2), maxiter=5)
    assert not result.converged and result.value < -1e6 and result.message.endswith("unbounded below?")
    result = optim.minimize_lbfgs(lambda x: (float(x @ x), -2 * x), np.ones(2))
    assert not result.converged and "the value decreases no more" in result.message and np.array_equal(result.x, np.ones(2))


def test_wrong_derivatives_are_suspected() -> None:
    result = optim.minimize_newton_cg(lambda x: (float(x @ x), -2 * x), lambda x, v: 2 * v, np.ones(2))
    assert not result.converged and result.message == "the value decreases no more, though the gradient is above gtol"
    result = optim.least_squares_lm(lambda x: x, np.ones(2), jacobian=lambda x: -np.eye(2))
    assert not result.converged and "is the Jacobian that of the residuals?" in result.message and np.array_equal(result.x, np.ones(2))


def test_a_place_that_is_not_finite_is_walked_around() -> None:
    def f(x: Any) -> Any:
        return np.sum(x - np.log(x))

    for method in ("lbfgs", "cg", "newton-cg"):
        result = optim.minimize(f, np.array([1e-3, 20.0]), method=method)
        assert result.converged and result.x == pytest.approx(np.ones(2), abs=1e-6), method
    result = optim.least_squares(lambda x: np.log(x) + 0.1 * x, np.array([30.0]))
    assert result.converged and result.value < 1e-15


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: optim.minimize(lambda x: x, np.ones(2)), cg.ShapeError, r"return one number, it returned an array of shape \(2,\)"),
    (lambda: optim.minimize(rosenbrock, np.array([])), cg.ShapeError, r"at least one entry, it has shape \(0,\)"),
    (lambda: optim.minimize(rosenbrock, {}), cg.InputError, "at least one array"),
    (lambda: optim.minimize(rosenbrock, np.ones(2) * 1j), cg.DtypeError, "x0 has to hold real numbers, its dtype is complex128"),
    (lambda: optim.minimize(rosenbrock, {"w": "text"}), cg.DtypeError, r"x0\.w has to hold real numbers"),
    (lambda: optim.minimize(rosenbrock, [1.0, np.array([1.0, np.nan])]), cg.InputError, r"x0\[1\] has 1 of 2 entries not finite"),
    (lambda: optim.minimize(rosenbrock, START, method="sgd"), cg.InputError, "no method 'sgd'; there are lbfgs, cg, newton-cg"),
    (lambda: optim.minimize(rosenbrock, START, method="cg", formula="x"), cg.InputError, "no formula 'x'; there are fletcher-reeves"),
    (lambda: optim.minimize(lambda x: np.log(x[0]), -np.ones(1)), cg.InputError, "the function is nan at x0"),
    (lambda: optim.minimize(lambda x: np.sum(np.sqrt(x)), np.array([1.0, 0.0])), cg.InputError, "entry 1 of the gradient is inf at x0"),
    (lambda: optim.minimize_lbfgs(lambda x: (0.0, x), np.ones(2, int)), cg.DtypeError, "floating-point numbers, its dtype is int64"),
    (lambda: optim.minimize_lbfgs(lambda x: (0.0, x), np.ones((2, 2))), cg.ShapeError, r"vector .* shape \(2, 2\)"),
    (lambda: optim.minimize_lbfgs(lambda x: (0.0, x), np.array([1.0, np.inf])), cg.InputError, "entry 1 of x0 is inf"),
    (lambda: optim.least_squares(lambda x: np.log(x), np.array([1.0, -1.0])), cg.InputError, "entry 1 of the residuals is nan at x0"),
    (lambda: optim.least_squares(lambda x: np.sqrt(x), np.array([1.0, 0.0])), cg.InputError, "the Jacobian is not finite at x0"),
    (lambda: optim.least_squares(lambda x: x * 1e200, np.ones(2)), cg.InputError, "the sum of squares overflows"),
    (lambda: optim.least_squares_lm(lambda x: x, np.ones(2)), cg.InputError, "either jacobian, or both vjp and gnvp"),
    (lambda: optim.least_squares_lm(lambda x: x, np.ones(2), jacobian=lambda x: np.eye(3)), cg.ShapeError, r"has to be \(2, 2\)"),
    (lambda: optim.least_squares(rosenbrock_residuals, START, damping=0.0), cg.InputError, "damping has to be positive"),
    (lambda: optim.natural_gradient(lambda x: (0.0, x), lambda x, v: v, START, lr=0.0), cg.InputError, "lr has to be positive"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message for *_, message in BAD])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
