"""`np.pad` in every mode, in value and in both modes, to second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from composites import verify

import compgraph as cg

V = np.array([0.4, 1.3, -0.7, 2.2, 0.9])
A = np.array([[0.3, -1.2, 2.1], [1.7, 0.4, -0.6]])
WIDTHS: dict[str, Any] = {"1": 1, "pair": (2, 0), "pairs": ((1, 2), (0, 3)), "far": ((5, 4), (7, 0)), "nothing": 0}

OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "constant": ({}, {"constant_values": 2.0}, {"constant_values": ((1.0, 2.0), (3.0, 4.0))}),
    "edge": ({},),
    "linear_ramp": ({}, {"end_values": 2.0}, {"end_values": ((1.0, 2.0), (3.0, 4.0))}),
    "reflect": ({}, {"reflect_type": "odd"}),
    "symmetric": ({}, {"reflect_type": "odd"}),
    "wrap": ({},),
    "mean": ({}, {"stat_length": 1}, {"stat_length": ((1, 2), (2, 9))}),
    "maximum": ({}, {"stat_length": 2}),
    "minimum": ({}, {"stat_length": ((2, 1), (1, 2))}),
    "median": ({}, {"stat_length": 2}),
}
CASES = [(mode, width, kwargs) for mode, each in OPTIONS.items() for kwargs in each for width in WIDTHS]


@pytest.mark.parametrize(("mode", "width", "kwargs"), CASES)
def test_pad(mode: str, width: str, kwargs: dict[str, Any]) -> None:
    verify(lambda x: np.pad(x, WIDTHS[width], mode, **kwargs), A)


@pytest.mark.parametrize("mode", OPTIONS)
def test_pad_vectors_and_single_entries(mode: str) -> None:
    verify(lambda x: np.pad(x, (2, 1), mode=mode), V)
    verify(lambda x: np.pad(x, (2, 1), mode=mode), V[:1])


def test_pad_by_a_node() -> None:
    verify(lambda x, c: np.pad(x, 1, constant_values=c), V, np.float64(0.5))
    assert np.pad(cg.variable(A), ((1, 1), (0, 0))).value.shape == (4, 3)


def test_padding_nothing() -> None:
    verify(lambda x: np.pad(x, 2), np.zeros((0,)))
    with pytest.raises(ValueError, match=r"no entries.*test_padding\.py"):
        np.pad(cg.variable(np.zeros((0, 2))), 1, mode="edge")
    with pytest.raises(ValueError, match="empty axis"):
        np.pad(np.zeros((0, 2)), 1, mode="edge")


@pytest.mark.parametrize("mode", ["empty", "no such mode", lambda *_: None])
def test_other_modes_are_refused(mode: Any) -> None:
    with pytest.raises(cg.MissingRuleError, match=r"np\.pad on a node does not take .*test_padding\.py:\d+.*edge"):
        np.pad(cg.variable(A), 1, mode=mode)


@pytest.mark.parametrize("width", [-1, (1, 2, 3), ((1, 1), (1, 1), (1, 1))])
def test_bad_widths(width: Any) -> None:
    with pytest.raises(ValueError, match=r"negative|broadcast"):
        np.pad(A, width)
    with pytest.raises(ValueError, match=r"test_padding\.py"):
        np.pad(cg.variable(A), width)
