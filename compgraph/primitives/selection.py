"""Choosing between two values by a condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from compgraph.errors import ShapeError
from compgraph.graph import Aval, bind
from compgraph.primitives import costs
from compgraph.primitives.kinds import all_aligned, elementwise, linear, result_dtype, shape_of


def _infer_where(condition: Any, x1: Any, x2: Any) -> Aval:
    shapes = [shape_of(arg) for arg in (condition, x1, x2)]
    try:
        return np.broadcast_shapes(*shapes), result_dtype(x1, x2)
    except ValueError:
        raise ShapeError(f"shapes {', '.join(map(str, shapes))} do not broadcast") from None


def _batch_where(flags: Any, condition: Any, x1: Any, x2: Any) -> Any:
    return np.where(*all_aligned(flags, (condition, x1, x2)))


# Linear in the pair of values for a fixed condition: a NaN in the branch not taken stays there.
where = linear(
    "where", code="xp.where({0}, {1}, {2})", infer=_infer_where, groups=((1, 2),), selects=True, batch=_batch_where,
    transpose=(
        None,
        lambda y_bar, condition, x1, x2: np.where(condition, y_bar, 0),
        lambda y_bar, condition, x1, x2: np.where(condition, 0, y_bar),
    ),
    sympy=lambda sp, condition, x1, x2: sp.Piecewise((x1, condition), (x2, True)),
    latex=r"\mathrm{{where}}({0}, {1}, {2})", cost="comparisons",
)  # fmt: skip


def sheltered(x, weight):  # type: ignore[no-untyped-def]
    # x, but 0 where it is NaN or infinite and nothing of it is asked for: 0 * NaN would be NaN.
    return np.where((weight == 0) & ~np.isfinite(x), np.zeros_like(x), x)[()]


# What the sweeps multiply with behind a selection: what was not selected is not asked for.
elementwise(
    "sheltered", arity=2, code="sheltered({0}, {1})", helper=sheltered, selects=True,
    partials=(lambda y, x, weight: np.logical_or(np.not_equal(weight, 0), np.isfinite(x)), None),
    sympy=lambda sp, x, weight: x, cost="comparisons",
)  # fmt: skip
elementwise(
    "sheltered_product", arity=2, code="{0} * sheltered({1}, {0})", helper=sheltered, selects=True,
    partials=(lambda y, weight, x: bind("sheltered", x, weight), lambda y, weight, x: weight),
    sympy=lambda sp, weight, x: weight * x, label="*", latex=r"{0} \cdot {1}", cost=costs.sheltered_product,
)  # fmt: skip
