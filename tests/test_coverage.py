"""The page of coverage says what the tables say, and no row has one mode only."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from compgraph.graph import PRIMITIVES, Primitive

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"


@pytest.fixture(scope="module")
def coverage() -> dict[str, Any]:
    return runpy.run_path(str(PAGE.with_name("make_coverage.py")))


@pytest.fixture(scope="module")
def rows(coverage: dict[str, Any]) -> list[Any]:
    return [row for section in coverage["sections"]().values() for row in section]


def test_the_page_is_current(coverage: dict[str, Any]) -> None:
    assert PAGE.read_text(encoding="utf-8") == coverage["page"](), "docs/coverage.md is out of date: python docs/make_coverage.py"


def test_no_row_has_one_mode_only(rows: list[Any]) -> None:
    assert [row.function for row in rows if row.has_one_mode_only] == []
    assert [row.function for row in rows if not row.forward and not row.reverse] == []


def test_a_row_with_one_mode_only_would_be_seen(coverage: dict[str, Any]) -> None:
    def invented(name: str, **rules: Any) -> Any:
        return coverage["row_of"](name, Primitive(name, "f({0}, {1})", infer=lambda: ((), None), helper=f, **rules))

    def f(x: Any, y: Any) -> Any:
        return x

    partial = lambda y, x1, x2: x1  # noqa: E731
    assert not invented("both", partials=(partial, partial)).has_one_mode_only
    assert not invented("one_argument", partials=(partial, None)).has_one_mode_only
    assert invented("no_transpose", groups=((0,), (1,)), transpose=(f, None)).has_one_mode_only
    assert invented("no_group", groups=((0,),), transpose=(f, f)).has_one_mode_only
    assert not invented("joint", groups=((0, 1),), transpose=(f, f)).has_one_mode_only
    assert not invented("tangent", tangent=f).has_one_mode_only


def test_what_has_no_derivative_is_said_aloud(rows: list[Any]) -> None:
    without = {row.function.strip("`") for row in rows if not row.differentiable}
    assert {"np.sign", "np.floor", "np.less", "np.isfinite", "np.argmax", "np.argmin", "np.argsort", "np.shape"} <= without
    differentiable = {row.function.strip("`") for row in rows if row.differentiable}
    assert {"np.sum", "np.sort", "np.where", "np.exp", "np.linalg.svd", "np.fft.fft", "np.quantile", "np.pad"} <= differentiable


def test_every_primitive_is_on_the_page(coverage: dict[str, Any]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"{name}`" in text for name in PRIMITIVES if name in coverage["SHIPPED"])
