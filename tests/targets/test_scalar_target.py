"""Programs of Python floats give NumPy's numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.graph import PRIMITIVES
from compgraph.passes import expand_composites
from compgraph.targets import scalar_target

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-300, 1e300, math.inf, -math.inf, math.nan]
QUESTIONS = {
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "floor", "ceil", "trunc", "sign", "isfinite", "isnan", "isinf",
}  # fmt: skip
FUNCTIONS = {name for name, primitive in PRIMITIVES.items() if primitive.partials is not None} - {"spherical_j"}  # which takes integers
# A few units of the last place: two libraries compute these functions.
RTOL = 5e-16
ATOL = 2.3e-16  # where that unit of 1 is what is left of y + 1 or 1 - y * y
WITH_A_FORM = {
    "add", "subtract", "multiply", "divide", "exp", "log", "tanh", "maximum", "sqrt", "power", "sigmoid", "relu", "less", "abs", "arctan2",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(QUESTIONS | FUNCTIONS))
def test_every_function_of_numbers(name: str) -> None:
    """On ordinary and on special numbers, and so are the derivatives, where the function has such a form."""
    arity = sum(field.isdigit() for field in set(PRIMITIVES[name].fields))
    graph = cg.trace(lambda *xs: cg.bind(name, *xs) * 1.0, *[1.5] * arity)
    graphs = [graph, cg.simplify(cg.reverse(graph))] if PRIMITIVES[name].differentiable else [graph]
    for one in map(expand_composites, graphs):
        if not scalar_target.fits(one):
            assert name not in ("add", "exp", "tanh", "maximum", "sqrt", "power", "sigmoid", "relu", "less"), "these have a form"
            continue
        program = scalar_target.build(one).function
        others = SPECIAL if arity > 1 else [0.0]
        for x in SPECIAL:
            for y in others:
                values = [x, y][:arity] + [1.0] * (len(one.inputs) - arity)
                with np.errstate(all="ignore"):
                    wanted = one.run([np.float64(value) for value in values])
                    found = program(*values)
                assert all(type(value) is float for value in found)
                for a, b in zip(found, wanted, strict=True):
                    np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL, err_msg=f"{name} at {values}")


def test_what_is_no_number_does_not_fit() -> None:
    for function, args in (
        (np.sum, (np.ones(3),)), (lambda x: x * 2, (np.float32(1.0),)), (lambda x: x * 1j, (1.0,)), (lambda x: x > 0, (1.0,)),
        (lambda x: x * np.ones(2), (1.0,)),
    ):  # fmt: skip
        assert not scalar_target.fits(cg.trace(function, *args))
    assert scalar_target.fits(cg.trace(lambda x: np.sum(np.where(x > 0, x, -x)), 1.0))


def test_names_of_the_users_hide_no_function() -> None:
    def sin(exp: Any, math_exp: Any, pow: Any, float: Any) -> Any:
        return np.sin(np.exp(exp)) + np.exp(math_exp) + pow**1.5 + np.floor(float)

    graph = cg.trace(sin, 0.1, 0.2, 0.3, 1.5)
    (found,) = scalar_target.build(graph).function(0.1, 0.2, 0.3, 1.5)
    assert found == pytest.approx(sin(0.1, 0.2, 0.3, 1.5), rel=1e-15)
    assert cg.compile(sin)(0.1, 0.2, 0.3, 1.5) == found


def test_the_careful_program_is_built_only_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = scalar_target.numpy_target.build
    monkeypatch.setattr(scalar_target.numpy_target, "build", lambda graph, **options: built.append(graph) or build(graph, **options))
    compiled = cg.compile(lambda x: 1 / x)
    assert compiled(2.0) == 0.5 and not built
    for _ in range(3):
        with np.errstate(all="ignore"):
            assert compiled(0.0) == math.inf
    assert len(built) == 1


def test_a_value_is_computed_once_however_often_its_line_reads_it() -> None:
    graph = cg.trace(lambda x, y: np.maximum(np.exp(x) * y, np.square(np.sin(x) + y)), 0.3, 0.7)
    source = scalar_target.build(graph).source
    assert source.count("exp(") == source.count("sin(") == 1
    assert scalar_target.build(graph).function(0.3, 0.7)[0] == max(math.exp(0.3) * 0.7, (math.sin(0.3) + 0.7) ** 2)


def test_what_one_line_reads_and_nobody_named_stands_in_that_line() -> None:
    def f(x: Any, y: Any) -> Any:
        difference = (x - y) * 2
        return np.exp(-(difference * x)) / (1 - (x - 3) * y) - (x - (y - 1))

    graph = cg.trace(f, 0.5, 0.25)
    body = scalar_target.build(graph).source.split(":\n")[1].splitlines()
    assert [line.split(" = ")[0].strip() for line in body[:-1]] == ["difference"] and body[-1].startswith("    return exp(")
    assert scalar_target.build(graph).function(0.5, 0.25)[0] == pytest.approx(f(0.5, 0.25), rel=1e-15)


@pytest.mark.parametrize("function", [
    lambda x: cg.fori(0, 7, lambda i, y: np.sin(y) * x + 0.5, x),
    lambda x: cg.scan(lambda c, _: ((c[1], c[0] * x), c[0]), (x, 1.0), None, length=5)[0][0],
    lambda x: cg.grad(lambda x: cg.fori(0, 6, lambda i, y: y * y * 0.5 + x, x))(x),
    lambda x: cg.grad(cg.grad(lambda x: cg.fori(0, 4, lambda i, y: np.tanh(y) * x, x)))(x),
    lambda x: cg.scan(lambda c, w: (c * w + x, None), x, np.array([0.5, 0.25, 2.0]))[0],
    lambda x: cg.scan(lambda c, w: (c * w + x, None), x, np.array([0.5, 0.25, 2.0]), reverse=True)[0],
    lambda x: cg.fori(0, 3, lambda i, y: cg.fori(0, 2, lambda j, z: z * x + y, y), x),
], ids=["fori", "swap", "gradient", "second", "rows", "backward", "nested"])  # fmt: skip
def test_loops_of_numbers(function: Any) -> None:
    from compgraph.passes import optimize

    for graph in (cg.trace(function, 0.7), optimize(cg.trace(function, 0.7))):
        assert scalar_target.fits(graph)
        (found,) = scalar_target.build(graph).function(0.7)
        assert type(found) is float
        assert found == pytest.approx(float(function(0.7)), rel=1e-13)


@pytest.mark.parametrize("function", [
    lambda x: np.maximum(x, 1), lambda x: np.where(x > 0, 1, x), lambda x: np.where(x > 0, True, x), lambda x: np.minimum(x, np.int64(3)),
    lambda x: np.maximum(x, 1) * 2**60 * 3 + 1, lambda x: np.maximum(x, True),
])  # fmt: skip
def test_a_whole_number_becomes_a_float(function: Any) -> None:
    for x in (-0.5, 0.5, 1.5):
        for found in (cg.compile(function)(x), *scalar_target.build(cg.trace(function, x)).function(x)):
            assert type(found) is float and found == float(function(x))


@pytest.mark.parametrize("function", [np.floor, np.ceil, np.trunc], ids=["floor", "ceil", "trunc"])
def test_rounding_keeps_the_sign_of_zero(function: Any) -> None:
    compiled = cg.compile(lambda x: function(x) * 1.0, exact=True)
    for x in (0.0, -0.0, 0.5, -0.5, 2.5, -2.5):
        assert math.copysign(1, compiled(x)) == math.copysign(1, function(x)) and compiled(x) == function(x)


def test_many_arguments_are_told_apart_in_linear_time() -> None:
    """`node in graph.inputs` would compare all with all: 3,000 took 14 s."""
    compiled = cg.compile(lambda xs: sum(xs))
    assert compiled([float(number) for number in range(3000)]) == sum(range(3000))
