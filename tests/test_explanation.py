"""What `explain` says: planted kinks, NaNs with known origins, lost digits, and what PyTorch and JAX do."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import compgraph as cg
import viz
from compgraph import kinks, lost_digits, nonfinite
from compgraph.graph import PRIMITIVES
from compgraph.numerical import one_sided_limits

NAN, INF = float("nan"), float("inf")


# ------------------------------------------------------------------------------------------- the table


def numbers(stored: Any) -> Any:
    return [numbers(one) for one in stored] if isinstance(stored, list) else float(stored)


ENTRIES = kinks.table()["entries"]


def test_every_kink_has_an_entry_and_every_entry_a_kink() -> None:
    assert {entry["primitive"] for entry in ENTRIES} == {name for name, one in PRIMITIVES.items() if one.kink is not None}
    assert set(kinks.versions()) == {"PyTorch", "JAX"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["at"])
def test_ours_is_as_the_table_says(entry: dict[str, Any]) -> None:
    if entry["primitive"] in ("i0e", "ive"):
        pytest.importorskip("scipy")
    args = [complex(*arg) if entry["complex"] else np.asarray(arg)[()] for arg in entry["args"]]
    params = {name: tuple(value) if isinstance(value, list) else value for name, value in entry["params"].items()}
    primitive = PRIMITIVES[entry["primitive"]]
    with np.errstate(all="ignore"):
        assert np.any(primitive.kink(*map(np.asarray, args), **params)), "the point is no kink by the primitive's own condition"
        xs = [cg.variable(arg) for arg in args]
        y = cg.bind(primitive, *xs, **params)
        if not primitive.differentiable:
            assert entry["compgraph"] == "none"
            return
        y.backward(np.asarray(entry["weights"] or np.ones(y.shape)))
    for x, stored in zip(xs, numbers(entry["compgraph"]), strict=True):
        found = np.zeros(x.shape) if x.grad is None else x.grad
        np.testing.assert_array_equal(np.stack([found.real, found.imag], -1) if entry["complex"] else found, stored)


def test_the_conventions_that_the_documents_state() -> None:
    said = {entry["at"]: entry["compgraph"] for entry in ENTRIES}
    assert said["abs(0)"] == said["relu(0)"] == [0.0]
    assert said["maximum(2, 2)"] == said["fmin(2, 2)"] == [0.5, 0.5]
    assert said["sqrt(0)"] == ["inf"] and said["hypot(0, 0)"] == [0.0, 0.0] and said["arctan2(0, 0)"] == ["nan", "nan"]


# ---------------------------------------------------------------------------------------------- kinks

KINKS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str, list[tuple[float, float, float | None]]]] = {
    "abs": (lambda x: abs(x) + 1, (0.0,), "abs", [(-1, 1, 0)]),
    "relu": (lambda x: cg.relu(x - 2), (2.0,), "relu", [(0, 1, 0)]),
    "maximum": (lambda x, y: np.maximum(x, y), (3.0, 3.0), "maximum", [(0, 1, 0.5), (0, 1, 0.5)]),
    "sqrt": (lambda x: np.sqrt(x), (0.0,), "sqrt", [(NAN, INF, INF)]),
    "cbrt": (lambda x: np.cbrt(x), (0.0,), "cbrt", [(INF, INF, INF)]),
    "floor": (lambda x: np.floor(x) * 2, (3.0,), "floor", [(INF, 0, None)]),
    "round": (lambda x: np.round(x), (2.5,), "rint", [(0, INF, None)]),
    "power": (lambda x: x**0.5, (0.0,), "power", [(NAN, INF, INF)]),
    "max": (lambda x: np.max(x), (np.array([1.0, 4.0, 4.0]),), "max", [(0, 1, 0.5)]),
    "sort": (lambda x: np.sort(x)[0], (np.array([1.0, 1.0]),), "sort", [(1, 0, 1)]),
    "norm": (lambda x: np.linalg.norm(x), (np.zeros(2),), "norm", [(-1, 1, 0)]),
    "hypot": (lambda x, y: np.hypot(x, y), (0.0, 0.0), "hypot", [(-1, 1, 0), (-1, 1, 0)]),
}


@pytest.mark.parametrize(("f", "args", "operation", "sides"), KINKS.values(), ids=list(KINKS))
def test_a_kink_has_two_sides(f: Any, args: Any, operation: str, sides: Any) -> None:
    found = [kink for kink in cg.explain(f, *args).kinks if kink.operation == operation]
    assert len(found) == 1 and found[0].elsewhere["primitive"] == operation
    for side, (left, right, here) in zip(found[0].sides, sides, strict=True):
        np.testing.assert_allclose([side.left, side.right], [left, right], atol=1e-8)
        assert side.here is None if here is None else side.here == here


@pytest.mark.parametrize(("f", "x"), [(lambda x: abs(x), 1e-7), (np.sin, 0.0), (lambda x: x**0, 0.0), (lambda x: x**2, 0.0)])
def test_where_there_is_a_derivative_there_is_no_kink(f: Any, x: float) -> None:
    found = cg.explain(f, x)
    assert not found.kinks and found.ok and "differentiable here" in str(found)


def test_a_kink_names_its_line_its_entries_and_the_whole_function() -> None:
    found = cg.explain(lambda x: np.sum(abs(x) * np.array([1.0, 2.0, 3.0])), np.array([0.0, 1.0, 0.0]))
    (kink,) = found.kinks
    assert (kink.entries, kink.size, kink.place.partition(":")[0]) == (2, 3, "test_explanation.py") and "abs(x)" in kink.line
    assert found.sides == (
        "f itself, by x[0]: -1 from the left, 1 from the right; taken is 0",
        "f itself, by x[2]: -3 from the left, 3 from the right; taken is 0",
    )
    assert "PyTorch 0; JAX 1" in str(found)


def test_kinks_that_take_each_other_away() -> None:
    """relu(x) - relu(-x) is x, whose derivative the conventions miss; |x| x has one, and it is found."""
    found = cg.explain(lambda x: cg.relu(x) - cg.relu(-x), 0.0)
    assert found.sides == ("f itself, by x: 1 from both sides; taken is 0, which is not its derivative",)
    assert cg.explain(lambda x: np.abs(x) * x, 0.0).sides == ("f itself, by x: 0 from both sides; taken is 0",)
    assert len(cg.explain(lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0])).sides) == 1, "only what is odd is said"


@pytest.mark.parametrize("f", [lambda x: x % 1.0, lambda x: np.fmod(x, 1.0), lambda x: np.modf(x)[0], lambda x: x - np.floor(x)])
def test_a_jump_is_a_kink(f: Any) -> None:
    """The quotient from the left grows without bound, and is no derivative, whatever stands on the right."""
    found = cg.explain(f, 2.0)
    assert not found.ok and len(found.kinks) == 1 and "-inf from the left, 1 from the right" in found.sides[0]


def test_a_comparison_that_ties_switches() -> None:
    found = cg.explain(lambda x: np.where(x > 1, x * x, x), np.float32(1.0))
    assert [kink.switches for kink in found.kinks] == [True] and "1 from the left, 2 from the right; taken is 1" in found.sides[0]


def test_complex_kinks_have_no_sides() -> None:
    (kink,) = cg.explain(lambda z: np.abs(z), 0j).kinks
    assert kink.sides == () and not kink.switches and kink.elsewhere["primitive"] == "magnitude"


@pytest.mark.parametrize(("f", "sides"), [
    (abs, (-1.0, 1.0)), (np.sin, (1.0, 1.0)), (lambda x: x * np.log(x) if x > 0 else 0.0, (0.0, -INF)), (np.sqrt, (NAN, INF)),
])  # fmt: skip
def test_limits_of_quotients(f: Any, sides: Any) -> None:
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(one_sided_limits(f), sides, atol=1e-8)


# ----------------------------------------------------------------------------------- NaNs and infinities

BORN = {
    "log of 0": (lambda x: 2 * np.log(x - 1) + x, (1.0,), "value", "v2", "the logarithm of 0 is -inf", ["v2", "v3", "v4"]),
    "log of a negative number": (lambda x: np.log(x) * 2, (-1.0,), "value", "v1", "a negative number has no real logarithm", ["v1", "v2"]),
    "overflow": (lambda x: np.exp(x), (800.0,), "value", "v1", "overflow: in float64 it is larger than 1.8e+308 above 709.8", ["v1"]),
    "0 / 0": (lambda x: (x / x) ** 2, (0.0,), "value", "v1", "0 / 0 has no value", ["v1", "v2"]),
    "division": (lambda x: np.sin(1 / x) + 1, (0.0,), "value", "v1", "a division by 0", ["v1", "v2", "v3"]),
    "root": (lambda x: np.sqrt(x), (-4.0,), "value", "v1", "a negative number has no such real root", ["v1"]),
    "given": (lambda x: x * 2, (INF,), "value", "x", "given so", ["x", "v1"]),
    "adjoint": (lambda x: 3 * np.sqrt(x * x), (0.0,), "adjoint", "v1_bar", "3 * inf: the local partial of", ["v1_bar", "x_bar"]),
}  # fmt: skip


@pytest.mark.parametrize(("f", "args", "quantity", "origin", "why", "way"), BORN.values(), ids=list(BORN))
def test_the_origin_and_the_way_of_what_is_not_finite(f: Any, args: Any, quantity: str, origin: str, why: str, way: list[str]) -> None:
    found = cg.explain(f, *args)
    journey = found.journeys[0]
    assert (journey.quantity, journey.steps[0].name, journey.arrives) == (quantity, origin, True)
    assert why in journey.steps[0].why and [step.name for step in journey.steps] == way
    assert not found.ok and "is born at" in str(found)
    if origin != "x":
        assert journey.steps[0].place.startswith("test_explanation.py:")


def test_an_infinity_that_becomes_a_nan_says_where() -> None:
    journey = cg.explain(lambda x: np.exp(x) / np.sum(np.exp(x)), np.array([1.0, 800.0])).journeys[0]
    assert "at entry 1" in journey.steps[0].why and "inf / inf has no value" in journey.steps[-1].why


def test_a_nan_in_a_loop_names_its_turn() -> None:
    def body(h: Any, _: Any) -> Any:
        return np.sqrt(h - 1), h

    (journey,) = cg.explain(lambda x: cg.scan(body, x, np.zeros(4))[0], 1.5).journeys
    assert journey.steps[0].why.startswith("in turn 2: sqrt(-0.2928932): a negative number has no such real root (test_explanation.py:")
    (journey,) = cg.explain(lambda x: np.sum(cg.scan(body, x, np.zeros(3))[1]), np.nan).journeys
    assert journey.steps[0].why == "given so" and journey.steps[1].why == ""


def test_an_infinity_that_nobody_takes_goes_no_further() -> None:
    journey = cg.explain(lambda x: np.where(x > 0, np.log(x), 0.0) + x, 0.0).journeys[0]
    assert not journey.arrives and journey.taken_in == "v3 = where(v1, v2, 0)" and "does not take it" in str(journey)


def test_a_way_ends_at_the_first_output() -> None:
    def f(x: Any) -> Any:
        y = np.log(x)
        return y, np.where(x > 0, y * 2, 0.0)

    journey = cg.explain(f, 0.0).journeys[0]
    assert journey.arrives and [step.name for step in journey.steps] == ["v1"]


def test_many_origins_are_not_all_told() -> None:
    def f(x: Any) -> Any:
        return sum(np.log(x - place) for place in range(30))

    assert len(cg.explain(f, -1.0).journeys) == nonfinite.MOST


def test_the_way_is_drawn() -> None:
    found = cg.explain(lambda x: 3 * np.sqrt(x - 1), 1.0)
    drawing = viz.draw(found)
    assert [box.id for box in drawing.diagram.boxes if box.marked] == ["node-x", "node-v1", "node-v2"]
    assert [arrow.id for arrow in drawing.diagram.arrows if arrow.marked] == ["edge-x-v1-0", "edge-v1-v2-0"]
    assert drawing.dot.count("penwidth=3") == 3 and 'class="input marked"' in drawing.dot
    named = viz.draw(cg.trace(lambda x: np.sin(x) * 2, 1.0), highlight=["x", "v1"])
    assert [arrow.marked for arrow in named.diagram.arrows] == [True, False]
    assert not any(box.marked for box in viz.draw(cg.trace(np.sin, 1.0)).diagram.boxes)
    with pytest.raises(cg.InputError, match="highlight: no node 'v9' in f; there are x, v1"):
        viz.draw(cg.trace(lambda x: np.sin(x), 1.0), highlight="v9")


# ------------------------------------------------------------------------------------- the double where

TRAPS = {
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), 0.0, "safe = np.where(x > 0, x, 1.0)\nv2 = np.log(safe)"),
    "sqrt behind": (lambda x: np.where(x <= 0, 0.0, np.sqrt(x)), 0.0, "safe = np.where(x <= 0, 1.0, x)\nv2 = np.sqrt(safe)"),
    "division": (lambda x: np.where(x != 0, np.sin(x) / x, 1.0), 0.0, "safe = np.where(x != 0, x, 1.0)\nv3 = v2 / safe"),
}


@pytest.mark.parametrize(("f", "x", "fix"), TRAPS.values(), ids=list(TRAPS))
def test_the_double_where(f: Any, x: float, fix: str) -> None:
    (trap,) = cg.explain(f, x).traps
    with np.errstate(all="ignore"):
        assert np.isfinite(cg.grad(f)(x)), "this engine does not fall into it"
    assert trap.fix == fix
    assert trap.fixed is not None
    for at in (x, 0.7):
        with np.errstate(all="ignore"):
            assert trap.fixed(at) == f(np.float64(at)) and cg.grad(trap.fixed)(at) == cg.grad(f)(at)
    assert "PyTorch and JAX compute 0 * inf and return NaN" in str(trap)


def test_no_trap_where_the_inner_value_is_safe() -> None:
    def f(x: Any) -> Any:
        return np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), 0.0)

    assert cg.explain(f, 0.0).traps == () and cg.explain(lambda x: np.where(x > 0, np.log(x), 0.0), 2.0).traps == ()


# ----------------------------------------------------------------------------------------------- digits

STABLE = {
    "softplus": (lambda x: np.log(1 + np.exp(x)), 800.0, "softplus"),
    "log1p": (lambda x: np.log(1 + x), 1e-12, "log1p"),
    "expm1": (lambda x: np.exp(x) - 1, 1e-12, "expm1"),
    "half angle": (lambda x: 1 - np.cos(x), 1e-9, "half-angle sine"),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -800.0, "sigmoid"),
    "logsumexp": (lambda x: np.log(np.sum(np.exp(x))), np.array([800.0, 1.0]), "logsumexp"),
    "hypot": (lambda x: np.sqrt(x**2 + (2 * x) ** 2), 1e200, "hypot"),
}


@pytest.mark.parametrize(("f", "x", "name"), STABLE.values(), ids=list(STABLE))
def test_a_stable_form_is_verified(f: Any, x: Any, name: str) -> None:
    rewrite = next(one for one in cg.explain(f, x).rewrites if one.name == name)
    assert rewrite.verified and rewrite.needed, str(rewrite)
    assert rewrite.stable.error < 1e-14


def test_a_stable_form_that_is_another_function_is_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_digits, "stabilise", lambda graph: cg.trace(lambda x: np.expm1(x) * (1 + 1e-12), 1e-3))
    (rewrite,) = lost_digits.rewrites(cg.trace(lambda x: np.exp(x) - 1, 1e-3), [1e-3])
    assert not rewrite.verified and "not verified" in str(rewrite)


def test_no_form_is_needed_where_the_plain_one_is_good() -> None:
    found = cg.explain(lambda x: 1 - np.cos(x), 1.0)
    assert found.ok and [one.needed for one in found.rewrites] == [False] and "no better at this point" in str(found)


def test_lost_digits_are_counted() -> None:
    (lost,) = cg.explain(lambda x: np.sqrt(x + 1) - np.sqrt(x), 1e12).cancellations
    assert (lost.node, round(lost.lost)) == ("v4", 11)
    assert cg.explain(lambda x: x - 1.0, 1.0 + 1e-15).cancellations == (), "a difference of exact numbers is exact"
    assert cg.explain(lambda x: (x + 1e16) - 1e16, 1.25).cancellations[0].value == "2"
    (lost,) = cg.explain(lambda x: ((x + 1e16) - 1e16) - 0.5, 1.25).cancellations
    assert lost.node == "v2", "what comes lost is not lost again"


# -------------------------------------------------------------------------------------------- the whole


def test_a_function_that_is_not_the_same_twice() -> None:
    generator = np.random.default_rng(0)
    found = cg.explain(lambda x: x * generator.normal(), 2.0)
    assert not found.ok and found.notes[0].startswith("not the same twice: f gave") and "first at v1" in found.notes[0]


def test_what_has_no_form_in_many_digits_is_named_and_the_rest_goes_on() -> None:
    found = cg.explain(lambda x: abs(x[0]) + np.sum(np.linalg.svd(np.outer(x, x + 1))[1]), np.array([0.0, 2.0]))
    assert [kink.operation for kink in found.kinks] == ["abs"]
    assert any("svd has no form in many digits" in note for note in found.notes)


def test_large_arrays_take_no_time() -> None:
    found = cg.explain(lambda a, b: np.sum(np.maximum(a @ b, 0)), np.ones((200, 200)), np.ones((200, 200)))
    assert found.ok and any("too large" in note for note in found.notes)


def test_json_is_strict_and_tables_are_escaped() -> None:
    found = cg.explain(lambda x: np.where(x > 0, np.log(x), 0.0) + abs(x), 0.0)
    read = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert {"kinks", "journeys", "traps", "rewrites"} <= set(read) and read["kinks"] and not read["ok"]
    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"] == str(found) and "x &gt; 0" in bundle["text/html"]


def test_bad_input_and_graphs() -> None:
    with pytest.raises(cg.InputError, match=r"explain takes a function or a graph, not int.*test_explanation\.py"):
        cg.explain(3)
    with pytest.raises(cg.InputError, match="no value for x"):
        cg.explain(cg.parse("abs(x)"))
    assert cg.explain(cg.parse("abs(x)"), x=0.0).kinks[0].line == "abs(x)"
    assert cg.explain(lambda: cg.constant(1.0)).ok


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    main = importlib.import_module("compgraph.__main__").main
    assert main(["explain", "sqrt(x**2 + y**2)", "x=0", "y=0", "-o", str(tmp_path / "way.dot")]) == 0
    out = capsys.readouterr().out
    assert "is born at v3_bar" in out and "hypot(x, y)" in out and (tmp_path / "way.dot").exists()
    assert main(["explain", "abs(x)", "x=0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kinks"][0]["operation"] == "abs"
    assert main(["explain", "abs(x)", "y=0"]) == 2
