"""Values and gradients of some sixty expressions as PyTorch and JAX computed them; see `reference/make_reference.py`."""

from __future__ import annotations

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
from expressions import EXPRESSIONS, NARROW  # noqa: E402

STORED: dict[str, Any] = json.loads((FOLDER / "values.json").read_text())
XP = types.SimpleNamespace(**vars(np), sigmoid=cg.sigmoid, softplus=cg.softplus, relu=cg.relu)
CASES = [("float64", name) for name in EXPRESSIONS] + [("float32", name) for name in NARROW]


def test_every_expression_is_stored() -> None:
    assert STORED["float64"].keys() == EXPRESSIONS.keys()
    assert set(STORED["float32"]) == set(NARROW)
    assert len(EXPRESSIONS) >= 60
    assert set(STORED["made with"]) == {"torch", "jax"}


@pytest.mark.parametrize(("dtype", "name"), CASES, ids=lambda part: part)
def test_value_and_gradients(dtype: str, name: str) -> None:
    function, args = EXPRESSIONS[name]
    xs = [np.asarray(arg, dtype)[()] for arg in args]
    stored = STORED[dtype][name]
    tolerance = {"rtol": 1e-12, "atol": 1e-13} if dtype == "float64" else {"rtol": 2e-5, "atol": 2e-6}

    def f(*xs: Any) -> Any:
        return function(XP, *xs)

    numbers = tuple(range(len(xs)))
    eager = cg.value_and_grad(f, numbers)(*xs)
    graph = cg.typecheck(cg.reverse(cg.trace(f, *xs)))
    value, *bars = graph(*xs, 1.0)
    for found_value, found_bars in (eager, (value, bars)):
        np.testing.assert_allclose(found_value, stored["value"], **tolerance)
        for found, wanted, x in zip(found_bars, stored["gradients"], xs, strict=True):
            assert (found.shape, found.dtype) == (x.shape, x.dtype)
            np.testing.assert_allclose(found, wanted, **tolerance)
    directions = [np.ones_like(x) for x in xs]
    y_dot = cg.jvp(f, xs, directions)[1]
    np.testing.assert_allclose(y_dot, sum(np.sum(bar) for bar in eager[1]), rtol=tolerance["rtol"], atol=10 * tolerance["atol"])
