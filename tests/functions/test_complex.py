"""Complex numbers: the convention, the holomorphic functions of the table, and what is neither defined nor holomorphic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
from complex_composites import verify

import compgraph as cg
from compgraph import programs
from compgraph.graph import PRIMITIVES, bind
from compgraph.literals import literal

Z = np.array([0.7 + 0.4j, -0.9 + 1.1j, -0.6 - 0.8j, 1.2 - 0.3j])
W = np.array([1.3 - 0.5j, 0.4 + 0.9j, -1.1 + 0.2j, -0.3 - 1.4j])
X = np.array([0.5, -1.5, 2.0, 0.25])
M = (Z[:, None] * W[None, :3] + 0.3).reshape(4, 3)

# ------------------------------------------------------------------------------------- the convention


def test_the_gradient_of_a_real_function_is_dx_minus_i_dy() -> None:
    """f = x^2 y: df/dx - i df/dy = 2xy - i x^2. PyTorch returns its conjugate."""
    assert cg.grad(lambda z: np.real(z) ** 2 * np.imag(z))(2.0 + 3.0j) == 12 - 4j


def test_a_step_against_the_conjugate_of_the_gradient_descends() -> None:
    target, z = 1.0 - 2.0j, np.complex128(3 + 1j)
    for _ in range(60):
        z = z - 0.2 * np.conj(cg.grad(lambda z: np.abs(z - target) ** 2)(z))
    assert abs(z - target) < 1e-12


def test_a_holomorphic_function_has_the_derivative_of_the_book() -> None:
    z = 0.4 + 1.3j
    symbol = sympy.Symbol("z")
    wanted = complex((sympy.exp(symbol**2) / (1 + symbol)).diff(symbol).subs(symbol, z).evalf())
    f = lambda z: np.exp(z**2) / (1 + z)  # noqa: E731
    assert abs(cg.grad(f, holomorphic=True)(z) - wanted) < 1e-13
    assert abs(cg.jvp(f, (z,), (1.0,))[1] - wanted) < 1e-13
    assert abs(cg.jvp(f, (z,), (1j,))[1] - 1j * wanted) < 1e-13
    assert abs(cg.vjp(f, z)[1](1j)[0] - 1j * wanted) < 1e-13
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(cg.jacobian(f, mode=mode, holomorphic=True)(Z), np.diag([cg.grad(f, holomorphic=True)(z) for z in Z]))


def test_the_adjoint_of_a_real_number_is_real() -> None:
    _, pullback = cg.vjp(lambda x: x * (2 + 3j), 1.0)
    assert pullback(1 + 1j)[0] == -1.0  # Re((1 + i)(2 + 3i))
    for mode in ("forward", "reverse"):
        np.testing.assert_array_equal(cg.jacobian(lambda x: x * (2 + 3j), mode=mode)(np.array([1.0])), [[2 + 3j]])


def test_jacobians_between_complex_and_real_numbers_are_the_same_in_both_modes() -> None:
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(cg.jacobian(np.abs, mode=mode)(Z), np.diag(np.conj(Z) / np.abs(Z)))
        both = cg.jacobian(lambda z, x: np.abs(z) * x, (0, 1), mode)(Z[:1], X[:1])
        assert [block.dtype for block in both] == [np.complex128, np.float64]


@pytest.mark.parametrize("derivative", [cg.grad, cg.value_and_grad, cg.jacobian, cg.elementwise_grad])
def test_a_complex_result_is_refused_unless_it_is_said_to_be_holomorphic(derivative: Any) -> None:
    with pytest.raises(cg.DtypeError, match=r"holomorphic=True.*test_complex.py"):
        derivative(lambda z: z * z)(1j)
    derivative(lambda z: z * z, holomorphic=True)(1j)


def test_backward_from_a_complex_number_needs_a_seed() -> None:
    z = cg.variable(1 + 2j)
    y = z * z
    with pytest.raises(cg.InputError, match="needs a seed"):
        y.backward()
    y.backward(1.0)
    assert z.grad == 2 + 4j
    with pytest.raises(cg.InputError, match="with which seed"):
        cg.evaluate(lambda z: z * z, 1j, mode="reverse")


def test_a_real_place_takes_no_complex_number() -> None:
    for call in (lambda: cg.variable(1.0).backward(1j), lambda: cg.jvp(np.sin, (1.0,), (1j,)), lambda: cg.trace(np.sin, 1.0)(1j)):
        with pytest.raises(cg.DtypeError, match="1j is complex, a real number is needed"):
            call()


# --------------------------------------------------------------------- every elementwise primitive

HOLOMORPHIC = sorted(
    name for name, primitive in PRIMITIVES.items()
    if primitive.partials is not None and primitive.takes_complex is True and not primitive.module and None not in primitive.partials
)  # fmt: skip


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_a_primitive_that_takes_complex_numbers_is_holomorphic(name: str) -> None:
    """Its partials hold for complex arguments, in each quadrant, or NumPy has no complex version of it."""
    count = len(PRIMITIVES[name].partials or ())
    args = (Z, W, M[:, 0])[:count]
    try:
        bind(name, *args)
    except TypeError:
        with pytest.raises(cg.DtypeError):
            bind(name, *map(cg.variable, args))
        return
    verify(lambda *xs: bind(name, *xs), *args)
    if count == 2:
        verify(lambda *xs: bind(name, *xs), X, W)
        verify(lambda *xs: bind(name, *xs), Z, X)


@pytest.mark.parametrize("name", ["maximum", "minimum", "relu", "sigmoid", "softplus", "sign", "less", "greater_equal"])
def test_what_has_no_complex_derivative_is_refused(name: str) -> None:
    call = lambda z: bind(name, *[z] * len(PRIMITIVES[name].fields))  # noqa: E731
    for run in (lambda: call(cg.variable(Z)), lambda: cg.trace(call, Z)):
        with pytest.raises(cg.DtypeError, match=rf"{name}\(.*complex numbers.*test_complex.py"):
            run()


# --------------------------------------------------------------------------------- functions of NumPy

CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "real": (np.real, (Z,)),
    "imag": (np.imag, (Z,)),
    "conj": (np.conj, (M,)),
    "abs": (np.abs, (M,)),
    "angle": (np.angle, (Z,)),
    "angle in degrees": (lambda z: np.angle(z, deg=True), (Z,)),
    "attributes": (lambda z: z.real * z.imag + z.conj() * z.conjugate(), (Z,)),
    "python's abs": (lambda z: abs(z) ** 2, (Z,)),
    "a real one times i": (lambda x: 1j * x, (X,)),
    "an added constant": (lambda x: x + (1 - 2j), (X,)),
    "mixed": (lambda x, z: x * z - z / (x * x + 1) + x, (X, Z)),
    "power of a constant": (lambda z: (-2.0) ** z, (Z,)),
    "power of a real one": (lambda x, z: x**z, (X, Z)),
    "whole power": (lambda z: z**3 + z**-2, (Z,)),
    "complex power": (lambda z: z ** (0.5 + 1j), (Z,)),
    "sum": (lambda z: np.sum(z, axis=0), (M,)),
    "mean": (lambda z: np.mean(z, axis=-1, keepdims=True), (M,)),
    "where": (lambda x, z: np.where(X > 0, x, z), (X, Z)),
    "index": (lambda z: z[np.array([0, 0, 2])], (Z,)),
    "concatenate": (lambda x, z: np.concatenate([x, z]), (X, Z)),
    "stack": (lambda x, z: np.stack([x, z], axis=-1), (X, Z)),
    "shapes": (lambda z: np.transpose(np.reshape(z, (3, 4))), (M,)),
    "matmul": (lambda z, m: z @ m, (Z, M)),
    "matmul with a real one": (lambda x, m: x @ m, (X, M)),
    "hermitian product": (lambda m: np.conj(m).T @ m, (M,)),
    "broadcast": (lambda x, m: x[:, None] * m, (X, M)),
    "size of a polynomial": (lambda z: np.abs(1 + z * z) ** 2 / 2, (Z,)),
    "unit": (lambda z: z / np.abs(z), (Z,)),
    "exp of i": (lambda x: np.exp(1j * x), (X,)),
}  # fmt: skip


@pytest.mark.parametrize(("call", "args"), CALLS.values(), ids=list(CALLS))
def test_function(call: Any, args: tuple[Any, ...]) -> None:
    verify(call, *args)
    verify(call, *(arg[:0] if arg.ndim == 1 else arg for arg in args)) if call in (np.real, np.imag, np.abs, np.angle) else None


def test_abs_and_angle_have_derivative_0_at_0() -> None:
    cases: list[tuple[Any, Any]] = [(np.abs, (0, 0)), (np.angle, (0, 0)), (np.real, (1, 1)), (np.imag, (0, -1j))]
    for function, wanted in cases:
        assert (cg.jvp(function, (0j,), (1.0,))[1], cg.grad(function)(0j)) == wanted
    assert cg.grad(lambda z: np.abs(z) ** 2)(0j) == 0
    with np.errstate(all="raise"):
        assert cg.grad(lambda z: np.where(z == 0, 0.0, np.abs(z)))(0j) == 0


def test_real_nodes_have_parts_too() -> None:
    x = cg.variable(X)
    assert x.real is x and np.real(x) is x and not np.any(x.imag)
    np.testing.assert_array_equal(np.conj(x).value, X)
    np.testing.assert_array_equal(np.angle(x).value, np.angle(X))
    assert cg.grad(lambda x: np.real(np.conj(x)) * 3)(2.0) == 3.0


def test_questions_have_plain_answers() -> None:
    z, x = cg.variable(Z), cg.variable(X)
    assert np.iscomplexobj(z) and not np.iscomplexobj(x) and np.isrealobj(x) and not np.isrealobj(z)
    np.testing.assert_array_equal(np.iscomplex(z), [True] * 4)
    np.testing.assert_array_equal(np.isreal(x), [True] * 4)
    assert complex(z[0]) == Z[0]
    assert (z == Z).value.all() and not (z != Z).value.any()


def test_python_numbers_are_weak() -> None:
    z, x = cg.variable(Z.astype(np.complex64)), cg.variable(np.float32(2.0))
    assert (z * 2.0).dtype == (z + 1j).dtype == (1j * x).dtype == (x - 1j).dtype == np.complex64
    assert (1j * cg.variable(2.0)).dtype == np.complex128
    assert isinstance((1j * cg.variable(2.0)).value, np.complex128)


# ---------------------------------------------------------------------- graphs, programs, tables, checks


def both(z: Any, x: Any) -> Any:
    return np.abs(np.exp(1j * x) * z + (1 - 2j)) ** 2 + np.angle(z)


def test_the_program_of_a_complex_graph_is_the_graph() -> None:
    graph = cg.trace(both, 1 + 2j, 0.5)
    seeds: list[tuple[Any, ...]] = [(), (np.complex128(1 - 1j), np.float64(2)), (np.float64(1),)]
    for derivative, more in zip((graph, cg.forward(graph), cg.reverse(graph)), seeds, strict=True):
        program = programs.define(derivative.to_source(), derivative.name, {}, title="test")
        args = (np.complex128(1 + 2j), np.float64(0.5), *more)
        np.testing.assert_array_equal(np.ravel(program(*args)), np.ravel(derivative(*args)))


CONSTANTS = [np.complex64(1 - 2j), np.array([1 + 1e-300j, -0.0 + 2j]), np.array([complex(np.nan, -np.inf)]), np.tile(Z, 40)]


@pytest.mark.parametrize("value", CONSTANTS, ids=str)
def test_complex_constants_come_back_from_json_and_from_source(value: Any) -> None:
    graph = cg.trace(lambda x: x * value, 2.0)
    loaded = cg.Graph.from_json(graph.to_json())
    written = programs.define(f"def value(np):\n    return {literal(value)}\n", "value", {}, title="test")(np)
    for read in (loaded.nodes[-1].args[1], written):
        assert read.dtype == value.dtype and np.asarray(read).tobytes() == np.asarray(value).tobytes()


def test_tables_show_complex_numbers() -> None:
    text = str(cg.evaluate(lambda z: np.abs(z * (2 - 1j)), 3 + 4j, mode="reverse").table())
    assert "(3+4j)" in text and "(2-1j)" in text and "11.18034" in text


def test_complex_derivatives_are_checked_numerically_and_said_so() -> None:
    report = cg.check(both, 1 + 2j, 0.5)
    assert {row.verdict for row in report.rows} == {"agrees"}
    for row in (*report.rows[:2], *report.rows[-2:]):
        assert row.symbolic is None and row.numerical is not None and "complex numbers are compared numerically" in row.note


def test_complex_symbols() -> None:
    z = sympy.Symbol("z", complex=True)
    graph = cg.trace(lambda z: np.conj(z) * (1 + 2j) + np.abs(z), 1j)
    assert sympy.simplify(graph.to_sympy() - (sympy.conjugate(z) * (1 + 2 * sympy.I) + sympy.Abs(z))) == 0
