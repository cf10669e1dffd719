"""Values and derivatives of some three hundred expressions as PyTorch and JAX computed them; see `reference/make_reference.py`."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compgraph as cg

FOLDER = Path(__file__).with_name("reference")
sys.path.insert(0, str(FOLDER))
from expressions import EXPRESSIONS, FOLLOWED, NARROW  # noqa: E402
from samples import directions, scalar  # noqa: E402

STORED: dict[str, Any] = json.loads((FOLDER / "values.json").read_text())
CASES = [("float64", name) for name in EXPRESSIONS] + [("float32", name) for name in NARROW]
ERROR = {"float64": 1e-10, "float32": 3e-5}  # of the largest entry


def namespace() -> Any:
    """NumPy, what it has no name for, and SciPy's functions: its ufuncs take nodes, the others are `cg.special`."""
    from scipy import special

    ours = importlib.import_module("compgraph.functions.special")  # public as `cg.special`
    updates = importlib.import_module("compgraph.functions.updates")
    densities = {"norm": ours.norm_logpdf, "t": ours.t_logpdf, "gamma": ours.gamma_logpdf, "beta": ours.beta_logpdf}
    return types.SimpleNamespace(
        **vars(np), sigmoid=cg.sigmoid, softplus=cg.softplus, relu=cg.relu, at=updates.at,
        special=types.SimpleNamespace(**{**vars(special), **{name: getattr(ours, name) for name in ours.__all__}}),
        stats=types.SimpleNamespace(**{name: types.SimpleNamespace(logpdf=logpdf) for name, logpdf in densities.items()}),
    )  # fmt: skip


XP = namespace()


def wanted(dtype: str, name: str, quantity: str) -> Any:
    """What is stored, or what the library says whom this project follows where the two differ; None where neither could."""
    found = STORED[dtype][name].get(quantity)
    if found is None or "is" in found:
        return found and found["is"]
    return found[FOLLOWED[name][0]]


def close(found: Any, expected: Any, error: float) -> None:
    """Agreement to `error` of the largest entry of all arrays."""
    expected = [np.asarray(one) for one in expected]
    scale = max([1e-3, *(float(np.max(np.abs(one), initial=0.0)) for one in expected)])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=error * scale)


def test_every_expression_is_stored() -> None:
    assert STORED["float64"].keys() == EXPRESSIONS.keys()
    assert set(STORED["float32"]) == set(NARROW)
    assert len(EXPRESSIONS) >= 300
    assert set(STORED["made with"]) == {"torch", "jax"}
    for name in EXPRESSIONS:
        assert {"value", "gradients"} <= STORED["float64"][name].keys(), name
    assert (FOLDER / "values.json").stat().st_size < 2_000_000


def test_where_the_libraries_differ_one_is_followed_and_a_reason_given() -> None:
    rows = [*STORED["float64"].items(), *STORED["float32"].items()]
    differ = {name for name, row in rows if any("is" not in found for found in row.values())}
    assert differ == FOLLOWED.keys()
    assert all(library in ("jax", "torch") and reason for library, reason in FOLLOWED.values())


def test_most_are_by_both_libraries() -> None:
    by_both = [name for name, row in STORED["float64"].items() if row["gradients"].get("by", ["jax", "torch"]) == ["jax", "torch"]]
    assert len(by_both) >= 240


@pytest.mark.parametrize(("dtype", "name"), CASES, ids=lambda part: part)
def test_value_and_gradients(dtype: str, name: str) -> None:
    function, args = EXPRESSIONS[name]
    xs = [np.asarray(arg, dtype)[()] for arg in args]
    numbers = tuple(range(len(xs)))
    error = ERROR[dtype]

    def f(*xs: Any) -> Any:
        return scalar(XP, function(XP, *xs))

    value, bars = cg.value_and_grad(f, numbers)(*xs)
    close([value], wanted(dtype, name, "value"), error)
    close(bars, wanted(dtype, name, "gradients"), error)
    for bar, x in zip(bars, xs, strict=True):
        assert (bar.shape, bar.dtype) == (x.shape, x.dtype)
    vectors = [vector.astype(dtype)[()] for vector in directions(tuple(xs))]
    y_dot = cg.jvp(f, xs, vectors)[1]
    along = sum(np.sum(np.multiply(bar, vector)) for bar, vector in zip(bars, vectors, strict=True))
    terms = sum(np.sum(np.abs(np.multiply(bar, vector))) for bar, vector in zip(bars, vectors, strict=True))
    np.testing.assert_allclose(y_dot, along, rtol=error, atol=error * max(float(terms), 1e-3))


@pytest.mark.filterwarnings("ignore::compgraph.ZeroGradientWarning")  # of functions that are linear
@pytest.mark.parametrize("name", [name for name in EXPRESSIONS if "hvp" in STORED["float64"].get(name, {})])
def test_hessian_times_a_vector(name: str) -> None:
    function, args = EXPRESSIONS[name]

    def f(*xs: Any) -> Any:
        return scalar(XP, function(XP, *xs))

    product = cg.hvp(f, args, directions(args))
    close(product if len(args) > 1 else [product], wanted("float64", name, "hvp"), 1e-9)


@pytest.mark.parametrize("name", ["textbook", "attention", "Newton's square root", "slices"])
def test_the_adjoint_graph_computes_the_same(name: str) -> None:
    function, args = EXPRESSIONS[name]
    value, *bars = cg.typecheck(cg.reverse(cg.trace(lambda *xs: function(XP, *xs), *args)))(*args, 1.0)
    close([value], wanted("float64", name, "value"), 1e-12)
    close(bars, wanted("float64", name, "gradients"), 1e-12)
