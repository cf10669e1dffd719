"""Rules of the user's own: in both modes, nested, in vector mode, traced, printed, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.custom import custom_derivative
from compgraph.graph import PRIMITIVES
from compgraph.programs import define


@custom_derivative(partials=lambda y, a, b: (b, a))
def times(a: Any, b: Any) -> Any:
    return a * b


@custom_derivative(partials=(lambda y, x: 1 / (1 + np.exp(-x)),))
def log1pexp(x: Any) -> Any:
    return np.logaddexp(x, 0.0)


@custom_derivative(transpose=lambda y_bar, x: y_bar[::-1])
def flipped(x: Any) -> Any:
    return x[::-1]


@custom_derivative(transpose=(lambda y_bar, a, b: 2 * y_bar, lambda y_bar, a, b: -y_bar), groups=((0, 1),))
def twice_minus(a: Any, b: Any) -> Any:
    return 2 * a - b


@custom_derivative(tangent=lambda y, x_dots, x, power: power * x ** (power - 1) * x_dots[0])
def powered(x: Any, *, power: int = 3) -> Any:
    result = x
    for _ in range(power - 1):  # a loop over arrays, as only a function of arrays may write it
        result = result * np.asarray(x)
    return result


X = np.array([0.5, 1.0, 2.5])
CASES = [
    ("partials", lambda x: np.sum(times(x, x[::-1] * 2)), lambda x: np.sum(x * x[::-1] * 2)),
    ("partials with broadcasting", lambda x: np.sum(times(x, x[:, None])), lambda x: np.sum(x * x[:, None])),
    ("partials of one argument", lambda x: np.sum(log1pexp(x) ** 2), lambda x: np.sum(np.logaddexp(x, 0.0) ** 2)),
    ("transpose", lambda x: np.sum(flipped(x * x) * x), lambda x: np.sum((x * x)[::-1] * x)),
    ("joint transpose", lambda x: np.sum(twice_minus(x, x**2) ** 2), lambda x: np.sum((2 * x - x**2) ** 2)),
    ("tangent", lambda x: np.sum(powered(x, power=4)), lambda x: np.sum(x**4)),
    ("tangent by default", lambda x: np.sum(powered(powered(x))), lambda x: np.sum(x**9)),
]


@pytest.mark.parametrize(("custom", "plain"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_a_custom_function_has_the_derivatives_of_the_plain_one(custom: Any, plain: Any) -> None:
    if plain is CASES[2][2]:
        plain = lambda x: np.sum(cg.softplus(x) ** 2)  # noqa: E731
    assert custom(X) == pytest.approx(float(plain(cg.variable(X)).value))
    np.testing.assert_allclose(cg.grad(custom)(X), cg.grad(plain)(X), rtol=1e-12)
    np.testing.assert_allclose(cg.jvp(custom, (X,), (X,))[1], cg.jvp(plain, (X,), (X,))[1], rtol=1e-12)
    for mode in ("forward-over-reverse", "reverse-over-reverse", "reverse-over-forward", "forward-over-forward"):
        np.testing.assert_allclose(cg.hessian(custom, mode=mode)(X), cg.hessian(plain)(X), rtol=1e-12, atol=1e-13)
    graph = cg.trace(custom, X)
    np.testing.assert_allclose(graph(X), plain(cg.variable(X)).value, rtol=1e-14)
    np.testing.assert_allclose(cg.reverse(graph)(X, 1.0)[1], cg.grad(plain)(X), rtol=1e-12)
    cg.check(custom, X).raise_if_wrong()


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_vector_mode(mode: str) -> None:
    for function in (flipped, powered, lambda x: times(x, x), lambda x: twice_minus(x, x * x)):
        rows = cg.jacobian(function, mode=mode)(X)
        for place in range(3):
            np.testing.assert_allclose(rows[:, place], cg.jvp(function, (X,), (np.eye(3)[place],))[1], rtol=1e-14)


def test_numbers_lists_and_nodes() -> None:
    assert log1pexp(0.0) == np.log(2)
    np.testing.assert_array_equal(times([1, 2], 3), [3, 6])
    x = cg.variable(2.0)
    y = times(x, 3.0)
    y.backward()
    assert (y.value, x.grad) == (6.0, 3.0)
    assert cg.grad(lambda x: np.sum(flipped(x)))(X.astype(np.float32)).dtype == np.float32


def test_the_call_form() -> None:
    square = custom_derivative(lambda x: x * x, partials=lambda y, x: 2 * x)
    assert cg.grad(square)(3.0) == 6.0
    assert cg.grad(cg.grad(square))(3.0) == 2.0


def test_each_function_is_a_primitive_of_its_own_outside_the_table() -> None:
    first, second = (custom_derivative(lambda x, n=n: n * x, partials=lambda y, x, n: (n, None)) for n in (2, 3))
    assert first.primitive.name != second.primitive.name
    assert first.primitive.name not in PRIMITIVES
    shared = cg.simplify(cg.trace(lambda x: first(x, 2.0) + second(x, 3.0), 1.0))
    assert shared(1.0) == 5.0

    def exp(x: Any) -> Any:
        return x + 1

    assert custom_derivative(exp, partials=lambda y, x: 1).primitive.name == "exp_2"


def test_a_program_prints_the_function() -> None:
    source = cg.trace(lambda times: flipped(times * powered(times, power=2)), X).to_source()
    assert source.count("def ") == 3
    assert "@" not in source
    assert "powered(times, power=2)" in source
    source = cg.trace(lambda times_: log1pexp(times(times_, 2.0)), X).to_source()
    np.testing.assert_array_equal(define(source, "f", {}, title="test")(X), np.logaddexp(2 * X, 0.0))


def test_a_function_without_readable_source_cannot_be_printed() -> None:
    square = custom_derivative(lambda x: x * x, partials=lambda y, x: 2 * x)
    with pytest.raises(cg.MissingRuleError, match=r"the source of custom.* cannot be read"):
        cg.trace(lambda x: square(x), 1.0).to_source()


@pytest.mark.parametrize(
    "wrong",
    [
        {"partials": lambda y, x: 2 * x + 0.001},
        {"tangent": lambda y, x_dots, x: 3 * x * x_dots[0]},
        {"transpose": lambda y_bar, x: 2 * y_bar},
    ],
)
def test_a_wrong_rule_is_named(wrong: Any) -> None:
    def almost_square(x: Any) -> Any:
        return x * x

    report = cg.check(lambda x: np.sum(np.sin(custom_derivative(almost_square, **wrong)(x))), X)
    assert not report.ok
    first = next(row for row in report.rows if row.verdict == "wrong")
    assert first.operation.startswith("almost_square")
    with pytest.raises(AssertionError, match="almost_square"):
        report.raise_if_wrong()


def double(x: Any) -> Any:
    return x * 2


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({}, cg.InputError, "takes exactly one of partials=, transpose= and tangent=, none is given"),
        ({"partials": abs, "tangent": abs}, cg.InputError, "partials and tangent are given"),
        ({"partials": abs, "groups": ((0,),)}, cg.InputError, "groups= says in what"),
        ({"partials": abs, "infer": abs}, cg.InputError, "leave them out"),
        ({"partials": lambda y, x: (1, 2)}, cg.ShapeError, "gave 2 partials for 1 arguments"),
        ({"partials": (None, None)}, cg.InputError, "takes 1 arrays, partials= has 2 rules"),
        ({"partials": (None,)}, cg.InputError, "takes functions, not NoneType"),
        ({"partials": (3,)}, cg.InputError, "takes functions, not int"),
        ({"partials": lambda y, x: np.ones(7)}, cg.ShapeError, r"the partial by argument 0 has shape \(7,\), the result has \(3,\)"),
        ({"tangent": 3}, cg.InputError, "tangent= takes a function"),
        ({"tangent": lambda y, x_dots, x: np.ones(9)}, cg.ShapeError, r"the tangent has shape \(9,\)"),
        ({"transpose": lambda y_bar, x: np.ones(9)}, cg.ShapeError, r"the adjoint of argument 0 has shape \(9,\)"),
    ],
)
def test_bad_rules(rules: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message + r".*test_custom\.py"):
        cg.grad(lambda x: np.sum(custom_derivative(double, **rules)(x)))(X)


def test_bad_functions_and_calls() -> None:
    rule = {"tangent": lambda y, x_dots, *xs: x_dots[0]}
    for function, message in (
        (3, "takes a function, not int"),
        (lambda *xs: xs, "needs a fixed number of arguments"),
        (lambda *, n: n, "takes no array"),
    ):
        with pytest.raises(cg.InputError, match=message + r".*test_custom\.py"):
            custom_derivative(function, **rule)
    with pytest.raises(cg.InputError, match=r"state tangent= instead.*test_custom\.py"):
        custom_derivative(lambda x, *, n: x, partials=lambda y, x: 1)
    with pytest.raises(cg.InputError, match=r"times: missing a required argument: 'b'.*test_custom\.py"):
        times(1.0)
    with pytest.raises(cg.DtypeError, match="returned str, which is not a number"):
        custom_derivative(lambda x: "text", **rule)(1.0)
    held = cg.variable(1.0)
    with pytest.raises(cg.DtypeError, match="closes over one"):
        custom_derivative(lambda x: x * held, **rule)(1.0)


def test_a_shape_that_ones_do_not_give() -> None:
    def picky(x: Any) -> Any:
        if np.all(np.asarray(x) == 1):
            raise ValueError("no ones, please")
        return x * 2

    rule = {"tangent": lambda y, x_dots, x: 2 * x_dots[0]}
    with pytest.raises(cg.ShapeError, match=r"could not be found by running it on ones \(no ones, please\); give custom_derivative infer="):
        cg.trace(custom_derivative(picky, **rule), X)
    graph = cg.trace(custom_derivative(picky, infer=lambda x: (x.shape, x.dtype), **rule), X)
    np.testing.assert_array_equal(graph(X), 2 * X)
