"""`np.linalg`: values, derivatives in both modes and to second order, and what happens at singular matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from complex_composites import verify as verify_complex
from composites import verify
from domains import spread

import compgraph as cg
from compgraph.errors import MissingRuleError


def square(*shape: int) -> Any:
    """Well-conditioned matrices, their eigenvalues real and apart."""
    n = shape[-1]
    return spread((*shape, n), -0.6, 0.7) + np.diag(1.5 * np.arange(1, n + 1))


def symmetric(*shape: int) -> Any:
    x = square(*shape)
    return (x + np.swapaxes(x, -1, -2)) / 2


WIDE, TALL = spread((2, 3), -1.7, 2.2), spread((3, 2), -1.7, 2.2)
SMOOTH: dict[str, tuple[Any, ...]] = {
    "inv": (np.linalg.inv, square(2, 2)),
    "solve a vector": (np.linalg.solve, square(3), spread((3,), -2, 2)),
    "solve a matrix": (np.linalg.solve, square(2), spread((2, 3), -2, 2)),
    "solve stacks": (np.linalg.solve, square(2, 1, 2), spread((2, 2, 1), -2, 2)),
    "solve a stack and a vector": (np.linalg.solve, square(2, 2), spread((2,), -2, 2)),
    "tensorinv": (lambda a: np.linalg.tensorinv(np.reshape(a, (4, 2, 2)), ind=1), square(4)),
    "tensorsolve": (lambda a, b: np.linalg.tensorsolve(np.reshape(a, (2, 2, 4)), b), square(4), spread((2, 2), -2, 2)),
    "tensorsolve axes": (lambda a, b: np.linalg.tensorsolve(np.reshape(a, (4, 2, 2)), b, axes=(0,)), square(4), spread((2, 2), -2, 2)),
    "pinv tall": (np.linalg.pinv, TALL),
    "pinv wide": (lambda a: np.linalg.pinv(a, rcond=1e-5), np.stack([WIDE, WIDE + 1])),
    "pinv hermitian": (lambda a: np.linalg.pinv(a + np.swapaxes(a, 0, 1), hermitian=True, rtol=1e-6), square(2)),
    "lstsq tall": (lambda a, b: np.linalg.lstsq(a, b, rcond=None)[:2], TALL, spread((3,), -1, 2)),
    "lstsq matrix": (lambda a, b: np.linalg.lstsq(a, b)[:2], TALL, spread((3, 2), -1, 2)),
    "lstsq wide": (lambda a, b: np.linalg.lstsq(a, b)[0], WIDE, spread((2,), -1, 2)),
    "det": (np.linalg.det, square(2, 3)),
    "slogdet": (lambda a: np.linalg.slogdet(a)[1], square(2, 2)),
    "slogdet by name": (lambda a: np.linalg.slogdet(-a).logabsdet, square(3)),
    "cholesky": (np.linalg.cholesky, symmetric(2, 2)),
    "cholesky upper": (lambda a: np.linalg.cholesky(a, upper=True), symmetric(3)),
    "qr tall": (lambda a: tuple(np.linalg.qr(a)), TALL),
    "qr square": (lambda a: tuple(np.linalg.qr(a, mode="complete")), square(2, 2)),
    "qr wide": (lambda a: tuple(np.linalg.qr(a)), WIDE),
    "qr only r": (lambda a: np.linalg.qr(a, mode="r"), WIDE),
    "eigh": (lambda a: tuple(np.linalg.eigh(a)), symmetric(2, 2)),
    "eigh upper": (lambda a: tuple(np.linalg.eigh(a, "U")), square(2, 2)),
    "eigvalsh": (np.linalg.eigvalsh, symmetric(3)),
    "eigvalsh upper": (lambda a: np.linalg.eigvalsh(a, UPLO="u"), square(2)),
    "eig": (lambda a: tuple(np.linalg.eig(a)), square(2, 2)),
    "eigvals": (np.linalg.eigvals, square(3)),
    "svd tall": (lambda a: tuple(np.linalg.svd(a, full_matrices=False)), TALL),
    "svd wide": (lambda a: tuple(np.linalg.svd(a, full_matrices=False)), WIDE),
    "svd square": (lambda a: tuple(np.linalg.svd(a)), square(2, 2)),
    "svd values": (lambda a: np.linalg.svd(a, compute_uv=False), WIDE),
    "svdvals": (np.linalg.svdvals, np.stack([WIDE, WIDE + 1])),
    **{f"cond {p}": (lambda a, p=p: np.linalg.cond(a, p), square(2, 2)) for p in (None, 2, -2, 1, -1, np.inf, -np.inf, "fro")},
    "cond wide": (np.linalg.cond, WIDE),
}


@pytest.mark.parametrize("case", SMOOTH.values(), ids=SMOOTH)
def test_function(case: tuple[Any, ...]) -> None:
    verify(*case)


CUBE = 2 * np.sin(1.7 * np.arange(12.0) + 0.4).reshape(2, 3, 2)  # no two sums of which are equal
NORMS: list[tuple[Any, dict[str, Any]]] = [
    *((CUBE[0, 0], {"ord": p}) for p in (None, 1, 2, 3, 1.5, -1, -2, 0.5, np.inf, -np.inf)),
    *((CUBE[0], {"ord": p, "axis": 0, "keepdims": True}) for p in (None, 1, 2.5, np.inf, -np.inf)),
    *((CUBE[0], {"ord": p}) for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
    *((CUBE, {"ord": p, "axis": axis}) for p in ("fro", "nuc", 1, 2, -np.inf) for axis in ((0, 1), (-1, 0))),
    *((CUBE, {"ord": p, "axis": (2, 0), "keepdims": True}) for p in ("fro", "nuc", -1)),
    (CUBE, {}), (CUBE, {"keepdims": True}), (CUBE[:1, 0, 0], {}), (CUBE, {"axis": -2}),
]  # fmt: skip


@pytest.mark.parametrize(("x", "kwargs"), NORMS, ids=str)
def test_norm(x: Any, kwargs: dict[str, Any]) -> None:
    flat = kwargs.get("ord") in (1, -1, np.inf, -np.inf)
    verify(lambda x: np.linalg.norm(x, **kwargs), x, second=not flat)


def test_the_norms_of_the_array_standard() -> None:
    verify(lambda x: np.linalg.vector_norm(x, axis=(0, 2), keepdims=True), CUBE)
    verify(lambda x: np.linalg.vector_norm(x, ord=3), CUBE)
    verify(np.linalg.vector_norm, CUBE[0])
    verify(np.linalg.matrix_norm, CUBE)
    verify(lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True), CUBE)


def test_the_norm_of_complex_numbers_is_that_of_their_sizes() -> None:
    z = cg.variable(np.array([3 + 4j, 0.0, 12j]))
    for p in (None, 0, 1, 2, 3, np.inf):
        np.testing.assert_allclose(np.linalg.norm(z, p).value, np.linalg.norm(z.value, p), rtol=1e-14)
    assert np.linalg.norm(z).dtype == np.float64


def _complexes(*shape: int) -> Any:
    return spread(shape, -1.7, 2.2) + 1j * spread(shape, -2, 1.6, 0.3)


COMPLEX: dict[str, tuple[Any, Any]] = {
    **{f"norm {p}": (lambda z, p=p: np.linalg.norm(z, p), _complexes(4)) for p in (None, 1, 2, 3, -1, np.inf, -np.inf)},
    **{f"norm {p} of a matrix": (lambda z, p=p: np.linalg.norm(z, p), _complexes(2, 3)) for p in ("fro", 1, -1, np.inf)},
    "vector_norm": (lambda z: np.linalg.vector_norm(z, axis=0), _complexes(2, 3)),
    "matrix_norm": (lambda z: np.linalg.matrix_norm(z, keepdims=True), _complexes(2, 3)),
    "inv": (np.linalg.inv, _complexes(2, 3, 3)), "solve": (lambda a: np.linalg.solve(a, a[..., :2] ** 2), _complexes(3, 3)),
    "det": (np.linalg.det, _complexes(2, 3, 3)),
    "det of a singular matrix": (np.linalg.det, _complexes(3, 2) @ _complexes(2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPLEX.values(), ids=COMPLEX)
def test_complex_matrices(case: tuple[Any, Any]) -> None:
    """Forward mode is the difference along the real and along the imaginary axis, and reverse mode its transpose."""
    call, z = case
    y = call(z)
    for z_dot in (np.cos(_complexes(*z.shape).real), 1j * np.sin(_complexes(*z.shape).real)):
        found, y_dot = cg.jvp(call, (z,), (z_dot,))
        assert (found.shape, found.dtype, y_dot.dtype) == (y.shape, y.dtype, y.dtype)
        np.testing.assert_allclose(found, y, rtol=1e-13)
        np.testing.assert_allclose(y_dot, (call(z + 1e-6 * z_dot) - call(z - 1e-6 * z_dot)) / 2e-6, rtol=1e-6, atol=1e-7)
        y_bar = np.asarray(0.7 - 0.4j if y.dtype.kind == "c" else 0.7) * (1 + np.arange(y.size).reshape(y.shape))
        (z_bar,) = cg.vjp(call, z)[1](y_bar)
        np.testing.assert_allclose(np.sum(z_bar * z_dot).real, np.sum(y_bar * y_dot).real, rtol=1e-12)
        graph = cg.typecheck(cg.reverse(cg.trace(call, z)))
        np.testing.assert_allclose(graph(z, y_bar)[1], z_bar, rtol=1e-12, atol=1e-13)


def test_the_second_derivative_of_a_complex_determinant() -> None:
    z, way = _complexes(3, 3), np.cos(_complexes(3, 3))
    gradient = cg.grad(lambda z: np.real((1 + 2j) * np.linalg.det(z) ** 2))
    numerical = (gradient(z + 1e-5 * way) - gradient(z - 1e-5 * way)) / 2e-5
    np.testing.assert_allclose(cg.jvp(gradient, (z,), (way,))[1], numerical, rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------- complex eigenvalues

TURNING = np.array([[0.3, -1.2, 0.4], [1.1, 0.5, -0.3], [0.2, 0.6, 2.0]])
EIGEN: dict[str, Any] = {
    "values": np.linalg.eigvals, "values of eig": lambda a: np.linalg.eig(a)[0], "vectors": lambda a: np.linalg.eig(a).eigenvectors,
    "a function of the matrix": lambda a: (lambda w, v: (v * np.exp(w)[..., None, :]) @ np.linalg.inv(v))(*np.linalg.eig(a)),
}  # fmt: skip


@pytest.mark.parametrize("call", EIGEN.values(), ids=EIGEN)
def test_eigenvalues_and_vectors_of_complex_matrices(call: Any) -> None:
    verify_complex(call, _complexes(3, 3) + np.diag([0, 2, 4j]))
    verify_complex(call, _complexes(2, 2, 2) + np.diag([0, 3]))


@pytest.mark.parametrize("stack", [(), (2,)], ids=str)
@pytest.mark.parametrize("call", EIGEN.values(), ids=EIGEN)
def test_a_real_matrix_with_complex_eigenvalues(call: Any, stack: tuple[int, ...]) -> None:
    """Value and dtype are NumPy's; the adjoint is real. One matrix of a stack has real eigenvalues."""
    x = np.stack([TURNING, square(3)]) if stack else TURNING
    x_dot, wanted = np.cos(x), call(x)
    for dtype in (np.float32, np.float64):
        narrow = cg.variable(x.astype(dtype))
        assert call(narrow).dtype == call(narrow.value).dtype == np.result_type(dtype, np.complex64)
    y, y_dot = cg.jvp(call, (x,), (x_dot,))
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_allclose(y_dot, (call(x + 1e-6 * x_dot) - call(x - 1e-6 * x_dot)) / 2e-6, atol=1e-7)
    y_bar = np.cos(np.arange(y.size)).reshape(y.shape) * (1 - 0.6j)
    (x_bar,) = cg.vjp(call, x)[1](y_bar)
    assert x_bar.dtype == x.dtype
    np.testing.assert_allclose(np.sum(x_bar * x_dot), np.sum(y_bar * y_dot).real, rtol=1e-12)

    def total(a: Any) -> Any:
        return np.sum(np.real(y_bar * call(a) ** 2))

    gradient = cg.grad(total)
    numerical = (gradient(x + 1e-5 * x_dot) - gradient(x - 1e-5 * x_dot)) / 2e-5
    np.testing.assert_allclose(cg.jvp(gradient, (x,), (x_dot,))[1], numerical, atol=1e-7)
    np.testing.assert_allclose(np.tensordot(cg.hessian(total)(x), x_dot, x.ndim), numerical, atol=1e-7)


def test_a_function_of_a_matrix_does_not_depend_on_the_scale_of_its_eigenvectors() -> None:
    """Its gradient is real and that of the power: tr(A^3) has the gradient 3 A'^2."""
    for a in (TURNING, TURNING + 0.3j * square(3)):
        gradient = cg.grad(lambda a: np.real(np.trace((lambda w, v: (v * w**3) @ np.linalg.inv(v))(*np.linalg.eig(a)))))(a)
        np.testing.assert_allclose(gradient, 3 * np.linalg.matrix_power(a.T, 2), rtol=1e-12)


def test_vectors_with_two_entries_of_one_size_keep_the_real_one_real() -> None:
    _, (_, v_dot) = cg.jvp(lambda a: tuple(np.linalg.eig(a)), (ROTATION.value,), (np.array([[0.2, 0.3], [0.5, 0.1]]),))
    v = np.linalg.eig(ROTATION.value)[1]
    np.testing.assert_array_equal(v_dot[v.imag == 0].imag, 0)
    np.testing.assert_allclose(np.sum(np.conj(v) * v_dot, axis=0).real, 0, atol=1e-16)


@pytest.mark.parametrize("shape", [(0, 2, 2), (0, 0), (1, 1)], ids=str)
def test_complex_matrices_that_are_empty_or_single(shape: tuple[int, ...]) -> None:
    z = np.full(shape, 1.5 - 0.5j)
    y, pullback = cg.vjp(lambda a: np.sum(np.linalg.eig(a)[0]) + np.sum(abs(np.linalg.eig(a)[1]) ** 2), z)
    np.testing.assert_array_equal(pullback(np.ones((), y.dtype))[0], np.ones(shape))


def test_a_trace_of_a_real_matrix_has_real_eigenvalues() -> None:
    graph = cg.trace(np.linalg.eigvals, TURNING)
    assert graph(square(3)).dtype == np.float64
    with pytest.raises(np.linalg.LinAlgError, match="pass a complex matrix"):
        graph(TURNING)
    np.testing.assert_array_equal(cg.trace(lambda a: np.linalg.eigvals(a + 0j), TURNING)(TURNING), np.linalg.eigvals(TURNING + 0j))


@pytest.mark.parametrize("name", ["slogdet", "pinv", "cholesky", "qr", "eigh", "svdvals", "cond"])
def test_rules_that_hold_for_real_matrices_only_refuse_others(name: str) -> None:
    with pytest.raises(cg.DtypeError, match="not defined, or not differentiable, for complex numbers"):
        getattr(np.linalg, name)(cg.variable(_complexes(3, 3)))


def test_the_norm_that_counts_has_no_derivative() -> None:
    x = cg.variable([0.0, 2.0, 3.0])
    y = np.linalg.norm(x, 0)
    assert y.value == 2.0
    with pytest.warns(cg.ZeroGradientWarning):
        y.backward()


@pytest.mark.parametrize("ord", [None, 1, 2, 3, 1.5, 0.5, np.inf])
def test_the_norm_of_nothing_has_the_gradient_zero(ord: Any) -> None:
    for x in (np.zeros(3), np.zeros((2, 3))):
        np.testing.assert_array_equal(cg.grad(lambda x: np.sum(np.linalg.norm(x, ord, axis=-1)))(x), np.zeros(x.shape))
        assert cg.jvp(lambda x: np.sum(np.linalg.norm(x, ord, axis=-1)), (x,), (np.ones(x.shape),))[1] == 0.0


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 2, -2, 1, np.inf])
def test_the_norm_of_a_matrix_of_nothing_has_the_gradient_zero(ord: Any) -> None:
    np.testing.assert_array_equal(cg.grad(lambda x: np.linalg.norm(x, ord))(np.zeros((2, 3))), np.zeros((2, 3)))


def test_a_zero_entry_does_no_harm() -> None:
    for p in (1.5, 2.5, 3):
        gradient = cg.grad(lambda x, p=p: np.linalg.norm(x, p))(np.array([0.0, 3.0]))
        np.testing.assert_allclose(gradient, [0.0, 1.0], rtol=1e-14)


# ---------------------------------------------------------------------------------- at the borders


def test_the_derivative_of_a_determinant_at_a_singular_matrix_is_its_cofactors() -> None:
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    np.testing.assert_allclose(cg.grad(np.linalg.det)(a), [[4.0, -2.0], [-2.0, 1.0]], rtol=1e-14)
    np.testing.assert_allclose(cg.grad(np.linalg.det)(np.diag([3.0, 2.0, 0.0])), np.diag([0.0, 0.0, 6.0]), atol=1e-14)
    np.testing.assert_array_equal(cg.grad(np.linalg.det)(np.zeros((3, 3))), np.zeros((3, 3)))


def test_equal_eigenvalues_have_derivatives_and_functions_of_their_space_too() -> None:
    a, turn = np.diag([2.0, 2.0, 5.0]), np.linalg.qr(spread((3, 3), -1, 1))[0]
    a = turn @ a @ turn.T

    def logarithm(a: Any) -> Any:
        values, vectors = np.linalg.eigh(a)
        return (vectors * np.log(values)) @ vectors.T

    np.testing.assert_allclose(cg.grad(lambda a: np.sum(np.linalg.eigvalsh(a)))(a), np.eye(3), atol=1e-14)
    gradient = cg.grad(lambda a: np.trace(logarithm(a)))(a)
    np.testing.assert_allclose((gradient + gradient.T) / 2, np.linalg.inv(a), atol=1e-13)
    assert np.all(np.isfinite(cg.grad(lambda a: np.sum(np.linalg.eigh(a)[1] ** 3))(np.eye(3))))


def test_equal_singular_values_have_derivatives() -> None:
    np.testing.assert_allclose(cg.grad(lambda a: np.sum(np.linalg.svdvals(a)))(np.eye(3)[:, :2]), np.eye(3)[:, :2], atol=1e-14)
    low = np.outer([1.0, 2.0, 2.0], [3.0, 4.0])
    gradient = cg.grad(lambda a: np.linalg.norm(a, 2))(low)
    np.testing.assert_allclose(gradient, low / 15, atol=1e-14)
    assert np.all(np.isfinite(cg.grad(lambda a: np.sum(np.linalg.svd(a, full_matrices=False)[0] ** 3))(low)))


def test_the_entries_that_are_not_read_have_no_derivative() -> None:
    a = symmetric(3)
    for function in (np.linalg.cholesky, np.linalg.eigvalsh):
        gradient = cg.grad(lambda a, function=function: np.sum(function(a)))(a)
        np.testing.assert_array_equal(np.triu(gradient, 1), 0)
    gradient = cg.grad(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2))(a)  # the squared Frobenius norm
    np.testing.assert_allclose((gradient + gradient.T) / 2, 2 * a, rtol=1e-13)


def test_the_decomposition_is_computed_once() -> None:
    def f(a: Any) -> Any:
        values, vectors = np.linalg.eigh(a)
        return np.sum(values) + np.sum(vectors**2)

    graph = cg.reverse(cg.trace(f, symmetric(3)))
    assert sum(node.primitive is not None and node.primitive.name == "eigh" for node in graph.nodes) == 1


def test_results_have_numpys_names() -> None:
    a = cg.variable(symmetric(2))
    assert np.linalg.svd(a)._fields == ("U", "S", "Vh")
    assert np.linalg.eigh(a)._fields == np.linalg.eig(a)._fields == ("eigenvalues", "eigenvectors")
    assert np.linalg.qr(a)._fields == ("Q", "R") and np.linalg.slogdet(a)._fields == ("sign", "logabsdet")


def test_rank_and_residuals() -> None:
    x, residuals, rank, s = np.linalg.lstsq(cg.variable(TALL), np.ones(3))
    assert (x.shape, residuals.shape, rank.value, s.shape) == ((2,), (1,), 2, (2,))
    assert np.linalg.lstsq(cg.variable(np.ones((3, 2))), np.ones(3))[1].shape == (0,)
    assert np.linalg.lstsq(cg.variable(WIDE), np.ones(2))[1].shape == (0,)
    assert np.linalg.matrix_rank(cg.variable(np.ones((2, 2)))).value == 1


def test_the_sign_of_a_determinant_has_the_derivative_zero() -> None:
    np.testing.assert_array_equal(cg.grad(lambda a: np.linalg.slogdet(a)[0] * 2)(square(2)), np.zeros((2, 2)))


@pytest.mark.parametrize("shape", [(0, 2, 2), (0, 0), (1, 1)], ids=str)
@pytest.mark.parametrize("name", ["inv", "det", "cholesky", "eigvalsh", "svdvals", "qr", "pinv"])
def test_empty_and_single(name: str, shape: tuple[int, ...]) -> None:
    if name == "pinv" and shape == (0, 0):
        return  # NumPy refuses it too
    x = np.full(shape, 1.5) + np.eye(shape[-1])

    def f(a: Any) -> Any:
        y = getattr(np.linalg, name)(a)
        return y[1] if isinstance(y, tuple) else y

    y, pullback = cg.vjp(f, x)
    assert y.shape == np.shape(f(x)) and pullback(np.ones(y.shape))[0].shape == shape


# -------------------------------------------------------------------------------------- bad input

SINGULAR, ROTATION = cg.variable(np.ones((2, 2)), name="a"), cg.variable([[0.0, -1.0], [1.0, 0.0]], name="a")
NARROW, VECTOR = cg.variable(TALL, name="a"), cg.variable(np.ones(3), name="v")
DEFECTIVE = np.array([[1.0, 1.0], [0.0, 1.0]])
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "inv of a singular matrix": (lambda: np.linalg.inv(SINGULAR), np.linalg.LinAlgError, r"inv\(a \(2, 2\)\): Singular matrix, at v1 "),
    "solve with one": (lambda: np.linalg.solve(SINGULAR, np.ones(2)), np.linalg.LinAlgError, "Singular"),
    "cholesky": (lambda: np.linalg.cholesky(ROTATION), np.linalg.LinAlgError, "positive definite"),
    "inv of a tall matrix": (lambda: np.linalg.inv(NARROW), np.linalg.LinAlgError, r"shape \(3, 2\) must be equal"),
    "det of a vector": (lambda: np.linalg.det(VECTOR), np.linalg.LinAlgError, r"shape \(3,\) is not that of a matrix"),
    "a traced matrix": (lambda: cg.trace(np.linalg.inv, TALL), np.linalg.LinAlgError, "must be square"),
    "solve": (lambda: np.linalg.solve(SINGULAR, VECTOR), ValueError, "2 rows and 3 differ"),
    "eigenvalues that a trace took for real": (lambda: cg.trace(np.linalg.eigvals, TALL[:2])(ROTATION), np.linalg.LinAlgError, r"a \+ 0j"),
    "eigvals of a tall matrix": (lambda: np.linalg.eigvals(NARROW), np.linalg.LinAlgError, r"shape \(3, 2\) must be equal"),
    "eig of what is not finite": (lambda: np.linalg.eig(cg.variable(np.full((2, 2), np.nan))), np.linalg.LinAlgError, "not contain infs"),
    "tensorinv": (lambda: np.linalg.tensorinv(NARROW, 0), ValueError, "ind is 0"),
    "tensorsolve": (lambda: np.linalg.tensorsolve(NARROW, np.ones(2)), np.linalg.LinAlgError, "not square"),
    "lstsq": (lambda: np.linalg.lstsq(NARROW, np.ones(2)), np.linalg.LinAlgError, "do not fit"),
    "UPLO": (lambda: np.linalg.eigh(SINGULAR, "X"), ValueError, "'L' or 'U', not 'X'"),
    "qr mode": (lambda: np.linalg.qr(NARROW, mode="x"), ValueError, "no mode 'x'"),
    "complete qr": (lambda: np.linalg.qr(NARROW, mode="complete"), MissingRuleError, "use 'reduced'"),
    "full svd": (lambda: np.linalg.svd(NARROW), MissingRuleError, "write full_matrices=False"),
    "norm of a vector": (lambda: np.linalg.norm(VECTOR, "nuc"), ValueError, "'nuc' is no norm of a vector"),
    "norm of a matrix": (lambda: np.linalg.norm(NARROW, 3), ValueError, "3 is no norm of a matrix"),
    "norm of three axes": (lambda: np.linalg.norm(cg.variable(CUBE), 2), ValueError, "not for 3 axes"),
    "norm axis": (lambda: np.linalg.norm(VECTOR, axis=3), ValueError, "axis 3 is outside"),
    "rank": (lambda: np.linalg.matrix_rank(NARROW, tol=0.1), MissingRuleError, "rtol="),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_answer_is_said_with_the_line(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call()
    assert isinstance(caught.value, cg.CompgraphError)
    assert "test_linear_algebra.py:" in str(caught.value)


def test_a_defective_matrix_has_eigenvalues_but_no_derivatives() -> None:
    y, pullback = cg.vjp(np.linalg.eigvals, DEFECTIVE)
    np.testing.assert_array_equal(y, [1.0, 1.0])
    with pytest.raises(np.linalg.LinAlgError, match="defective"):
        pullback(np.ones(2))


def test_an_error_of_a_derivative_names_the_decomposition_and_its_line() -> None:
    """In both modes, eager and as graph; the operations that the rule is made of are no part of the message."""

    def total(a: Any) -> Any:
        return np.sum(np.linalg.eigvals(a))

    a, text = cg.variable(DEFECTIVE), r"the derivative of v\d+ = eig \(3, 2\) from test_linear_algebra.py:\d+: the matrix is defective"
    calls = (
        lambda: cg.grad(total)(DEFECTIVE), lambda: cg.jvp(total, (DEFECTIVE,), (DEFECTIVE,)), lambda: total(a).backward(),
        lambda: cg.hessian(total)(DEFECTIVE), lambda: cg.jvp(total, (a,), (DEFECTIVE,)), lambda: cg.vjp(total, a)[1](1.0),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(cg.LinearAlgebraError, match=text):
            call()
