"""Special functions: SciPy's ufuncs on nodes, the composites of `cg.special`, and SciPy only where it is used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import compgraph as cg
from compgraph.errors import InputError, MissingDependencyError, MissingRuleError
from compgraph.graph import Node
from compgraph.programs import Late

scipy_special = pytest.importorskip("scipy.special")
scipy_stats = pytest.importorskip("scipy.stats")
special = cg.special

X = np.array([[0.3, 1.2, 0.5], [0.7, 0.9, 0.45]])
U = np.array([[0.3, 0.2, 0.5], [0.7, 0.9, 0.45]])
W = np.array([2.0, -0.3, 1.5])

UFUNCS = [
    "erf", "erfc", "erfcx", "erfinv", "ndtr", "log_ndtr", "ndtri", "gamma", "gammaln", "digamma", "psi", "expit", "logit", "log_expit",
    "entr", "i0", "i1", "i0e", "i1e", "j0", "j1", "exp2", "exp10", "expm1", "log1p", "cbrt",
]  # fmt: skip
PAIRS = ["beta", "betaln", "xlogy", "xlog1py", "rel_entr", "kl_div"]
Call = Callable[..., Any]


def both_alike(call: Call) -> tuple[Call, Call]:
    return call, call


def with_first(ufunc: Any, first: Any) -> Call:
    return lambda x: ufunc(first, x)


CALLS: dict[str, tuple[Call, Call]] = {  # on nodes, and SciPy's on arrays
    **{name: both_alike(getattr(scipy_special, name)) for name in UFUNCS},
    **{f"{name} first": both_alike(lambda x, name=name: getattr(scipy_special, name)(x, W[:1] ** 2)) for name in PAIRS},
    **{f"{name} second": both_alike(with_first(getattr(scipy_special, name), W[:1] ** 2)) for name in PAIRS},
    **{f"{name}(2, x)": both_alike(with_first(getattr(scipy_special, name), 2)) for name in ("jv", "iv", "ive")},
    **{
        f"cg.special.{name}": (getattr(special, name), getattr(scipy_special, name))
        for name in ("logsumexp", "softmax", "log_softmax", "log_expit", "entr")
    },
    "logsumexp, axis": (lambda x: special.logsumexp(x, axis=-1), lambda x: scipy_special.logsumexp(x, axis=-1)),
    "logsumexp, keepdims": (lambda x: special.logsumexp(x, 0, keepdims=True), lambda x: scipy_special.logsumexp(x, 0, keepdims=True)),
    "logsumexp, b": (lambda x: special.logsumexp(x, 1, b=W), lambda x: scipy_special.logsumexp(x, 1, b=W)),
    "logsumexp by b": (lambda x: special.logsumexp(W, b=x), lambda x: scipy_special.logsumexp(W + 0 * x, b=x)),
    "softmax, axis": (lambda x: special.softmax(x, axis=0), lambda x: scipy_special.softmax(x, axis=0)),
    "log_softmax, axis": (lambda x: special.log_softmax(x, axis=1), lambda x: scipy_special.log_softmax(x, axis=1)),
    "polygamma": (lambda x: special.polygamma(2, x), lambda x: scipy_special.polygamma(2, x)),
    "polygamma 0": (lambda x: special.polygamma(0, x), lambda x: scipy_special.polygamma(0, x)),
    "norm": (lambda x: special.norm_logpdf(x, W, 1.5), lambda x: scipy_stats.norm.logpdf(x, W, 1.5)),
    "norm by loc": (lambda x: special.norm_logpdf(W, x, 0.5), lambda x: scipy_stats.norm.logpdf(W, x, 0.5)),
    "norm by scale": (lambda x: special.norm_logpdf(W, 0.1, x), lambda x: scipy_stats.norm.logpdf(W, 0.1, x)),
    "t": (lambda x: special.t_logpdf(x, 3.5, 0.2, 1.5), lambda x: scipy_stats.t.logpdf(x, 3.5, 0.2, 1.5)),
    "t by df": (lambda x: special.t_logpdf(W, x), lambda x: scipy_stats.t.logpdf(W, x)),
    "gamma density": (lambda x: special.gamma_logpdf(x, 2.5, 0.1, 1.5), lambda x: scipy_stats.gamma.logpdf(x, 2.5, 0.1, 1.5)),
    "gamma by a": (lambda x: special.gamma_logpdf(0.7, x), lambda x: scipy_stats.gamma.logpdf(0.7, x)),
    "beta density": (lambda x: special.beta_logpdf(x, 2.5, 0.7), lambda x: scipy_stats.beta.logpdf(x, 2.5, 0.7)),
    "beta by a": (lambda x: special.beta_logpdf(0.3, x, 2.0), lambda x: scipy_stats.beta.logpdf(0.3, x, 2.0)),
    "beta by b": (lambda x: special.beta_logpdf(0.3, 2.0, x), lambda x: scipy_stats.beta.logpdf(0.3, 2.0, x)),
}  # fmt: skip


def differences(call: Callable[..., Any], x: Any, x_dot: Any) -> Any:
    coarse, fine = ((call(x + h * x_dot) - call(x - h * x_dot)) / (2 * h) for h in (1e-3, 5e-4))
    return (4 * fine - coarse) / 3


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    call, plain = CALLS[name]
    x = U if name in ("erfinv", "ndtri", "logit", "beta density") else X
    wanted = np.asarray(plain(x))
    found = call(cg.variable(x))
    assert isinstance(found, Node)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found.value, wanted, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(cg.typecheck(cg.trace(call, x))(x), found.value)
    x_dot, y_bar = np.cos(x), np.sin(np.arange(wanted.size) + 1.0).reshape(wanted.shape)[()]
    y_dot = cg.jvp(call, (x,), (x_dot,))[1]
    (x_bar,) = cg.vjp(call, x)[1](y_bar)
    assert float(np.sum(y_bar * y_dot)) == pytest.approx(float(np.sum(x_bar * x_dot)), rel=1e-12, abs=1e-14)
    np.testing.assert_allclose(y_dot, differences(plain, x, x_dot), rtol=1e-6, atol=1e-7)
    forward, backward = (cg.jacobian(call, mode=mode)(x) for mode in ("forward", "reverse"))
    np.testing.assert_allclose(forward, backward, rtol=1e-12, atol=1e-14)

    def slope(x: Any) -> Any:
        return cg.grad(lambda x: np.sum(call(x) * y_bar * call(x)))(x)

    hessian = cg.jvp(slope, (x,), (x_dot,))[1]
    np.testing.assert_allclose(hessian, cg.grad(lambda x: np.sum(slope(x) * x_dot))(x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(hessian, differences(slope, x, x_dot), rtol=1e-5, atol=1e-5)


def _densities(x: Any) -> Any:
    normal, student = special.norm_logpdf(x, 0.5, 2.0), special.t_logpdf(x, 3)
    return normal + student + special.gamma_logpdf(x, 2.0) + special.beta_logpdf(x / 2, 2, 3.0)


NARROW = ["cg.special.logsumexp", "cg.special.softmax", "cg.special.log_softmax", "erf", "entr", "log_expit", "digamma", "densities"]


@pytest.mark.parametrize("name", NARROW)
def test_float32_is_kept(name: str) -> None:
    x = X.astype(np.float32)
    call = CALLS[name][0] if name != "densities" else _densities
    found = call(cg.variable(x))
    assert found.dtype == np.float32
    assert cg.vjp(call, x)[1](np.ones(found.shape, np.float32))[0].dtype == np.float32


# ------------------------------------------------------------------------------------- tails and edges


def test_sums_of_exponentials_hold_far_out() -> None:
    x = np.array([-1e4, 0.0, 1e4])
    assert float(special.logsumexp(x)) == 1e4
    np.testing.assert_array_equal(cg.grad(special.logsumexp)(x), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(cg.jacobian(special.log_softmax)(x)[:, 2], [-1.0, -1.0, 0.0])
    np.testing.assert_allclose(cg.hessian(special.logsumexp)(np.array([800.0, 800.0])), [[0.25, -0.25], [-0.25, 0.25]], rtol=1e-12)
    mixed = np.array([-np.inf, 0.0, np.log(3.0)])
    np.testing.assert_allclose(cg.grad(special.logsumexp)(mixed), [0.0, 0.25, 0.75], rtol=1e-15)
    nothing = np.full(2, -np.inf)
    assert special.logsumexp(cg.variable(nothing)).value == -np.inf
    np.testing.assert_array_equal(cg.grad(special.logsumexp)(nothing), [0.0, 0.0])
    np.testing.assert_allclose(cg.grad(lambda x: special.logsumexp(x, b=np.array([0.0, 1.0])))(np.array([1e4, 1.0])), [0.0, 1.0])


def test_a_large_gradient_of_logsumexp_is_a_softmax() -> None:
    x = np.sin(np.arange(1000.0)) * 100
    np.testing.assert_allclose(cg.grad(special.logsumexp)(x), special.softmax(x), rtol=1e-12, atol=1e-300)


def partial(function: Callable[..., Any], *xs: float) -> list[float]:
    numbers = tuple(range(len(xs)))
    return [float(one) for one in cg.grad(function, numbers)(*map(np.float64, xs))]


EDGES: list[tuple[str, Callable[..., Any], tuple[float, ...], list[float]]] = [
    ("xlogy at x = 0", special.xlogy, (0.0, 2.0), [float(np.log(2.0)), 0.0]),
    ("xlogy at 0, 0", special.xlogy, (0.0, 0.0), [-np.inf, 0.0]),
    ("xlog1py at 0, -1", special.xlog1py, (0.0, -1.0), [-np.inf, 0.0]),
    ("entr at 0", special.entr, (0.0,), [np.inf]),
    ("entr below 0", special.entr, (-1.0,), [0.0]),
    ("rel_entr at x = 0", special.rel_entr, (0.0, 2.0), [-np.inf, 0.0]),
    ("logit at 0", special.logit, (0.0,), [np.inf]),
    ("log_expit far left", special.log_expit, (-1000.0,), [1.0]),
    ("log_expit far right", special.log_expit, (1000.0,), [0.0]),
    ("erf far out", scipy_special.erf, (30.0,), [0.0]),
    ("j1 at 0", scipy_special.j1, (0.0,), [0.5]),
    ("i1 at 0", scipy_special.i1, (0.0,), [0.5]),
    ("beta density at its edge", lambda x: special.beta_logpdf(x, 1.0, 1.0), (0.0,), [-0.0]),
    ("gamma density outside", lambda x: special.gamma_logpdf(x, 2.0), (-1.0,), [0.0]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "xs", "wanted"), [row[1:] for row in EDGES], ids=[row[0] for row in EDGES])
def test_derivative_at_an_edge(function: Callable[..., Any], xs: tuple[float, ...], wanted: list[float]) -> None:
    with np.errstate(divide="ignore", under="ignore"):
        assert partial(function, *xs) == wanted


@pytest.mark.parametrize("name", ["xlogy", "xlog1py", "rel_entr", "entr", "logit"])
def test_values_are_scipys_everywhere(name: str) -> None:
    numbers = np.array([-1.0, 0.0, 1e-300, 0.3, 0.5, 0.5000001, 1.0, 2.0, np.nan, np.inf])
    plain = getattr(scipy_special, name)
    xs = (numbers,) if plain.nin == 1 else np.meshgrid(numbers, numbers)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(getattr(special, name)(*xs), plain(*xs), rtol=1e-13)


def test_log_ndtr_holds_in_the_left_tail() -> None:
    for x in (-5.0, -30.0, -200.0):
        with mpmath.workdps(50):
            wanted = mpmath.npdf(x) / mpmath.ncdf(x)
        assert partial(scipy_special.log_ndtr, x)[0] == pytest.approx(float(wanted), rel=1e-14)


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_spherical_bessel_functions(order: int) -> None:
    x = np.array([-9.0, -0.5, 0.0, 1e-8, 0.3, 1.9, order + 1.0, order + 1.01, 40.0])
    np.testing.assert_allclose(cg.bind("spherical_j", order, x), scipy_special.spherical_jn(order, x), rtol=1e-11, atol=1e-16)


# ------------------------------------------------------------------------------------- SciPy as it is


def test_a_parameter_without_derivative_is_refused() -> None:
    order = cg.variable(2.0, name="order")
    with pytest.raises(MissingRuleError, match=r"jv has no derivative by its parameter order \(\): give a number"):
        scipy_special.jv(order, 1.0)
    with pytest.raises(InputError, match="whole order"):
        special.polygamma(order, 1.0)
    with pytest.raises(InputError, match="whole order"):
        special.polygamma(0.5, cg.variable(1.0))


def test_what_scipy_has_and_we_have_not_is_refused_by_name() -> None:
    with pytest.raises(MissingRuleError, match="wright_bessel has no derivative rule"):
        scipy_special.wright_bessel(1.0, 1.0, cg.variable(1.0))


def test_programs_import_what_they_use() -> None:
    source = cg.reverse(cg.trace(lambda x: scipy_special.gammaln(x), 2.0)).to_source()
    assert source.startswith("import numpy as np\nfrom scipy import special\n\n\n")
    assert "special.psi(x)" in source
    assert "scipy" not in cg.trace(special.softmax, X).to_source()
    assert "special" not in str(cg.trace(scipy_special.erf, 1.0))


def test_scipy_is_imported_by_what_needs_it_and_by_nothing_else() -> None:
    program = """
import sys, numpy as np, compgraph as cg
cg.grad(lambda x: np.sum(cg.special.softmax(x) * np.sinc(x)) + cg.special.logsumexp(x))(np.ones(3))
print('scipy' in sys.modules)
cg.special.t_logpdf(cg.variable(1.0), 3.0)
print('scipy' in sys.modules)
"""
    root = Path(__file__).resolve().parent.parent.parent
    printed = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    assert printed == ["False", "True"]


def test_an_absent_module_is_named_with_the_line_that_installs_it() -> None:
    with pytest.raises(MissingDependencyError, match="erf needs no_such_module, which is not installed: pip install no_such_module"):
        _ = Late("no_such_module.special").erf
