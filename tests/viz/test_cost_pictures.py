"""Pictures of cost and error: what is drawn are the right numbers, in both themes, and a file is whole or not there."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import compgraph as cg
import viz
from compgraph.__main__ import main
from compgraph.swell import crossover, logistic_map, logistic_mlp, speelpenning
from viz.charts import power

needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
EPS = float(np.finfo(float).eps)


# ------------------------------------------------------------------------------------ modes over the plane


def test_the_modes_of_sines_are_counted_by_hand() -> None:
    # Five sines and, for the local partials, five cosines, whatever is seeded; of each seed five products.
    chart = viz.mode_map(np.sin, np.zeros(5))
    assert chart.forward == chart.reverse == (10, 5)
    assert chart.forward(5) == chart.reverse(5) == 35
    np.testing.assert_array_equal(chart.crossover(np.array([1, 7, 100])), [1, 7, 100])
    # Forward mode takes twice as many where 10 + 5 n = 2 (10 + 5 m).
    assert chart.crossover(100, times=2.0) == 49


def test_the_textbook_function_is_where_compare_counts_it() -> None:
    graph = cg.parse("(exp(x1/x2) + x1/x2) * (x1/x2 - ln(x2))")
    chart, found = viz.mode_map(graph), cg.compare(graph, 0.5, 1.0)
    assert (chart.inputs, chart.outputs) == (2, 1)
    assert chart.forward(2) == found["vector forward"].operations == 23
    assert chart.reverse(1) == found["vector reverse"].operations == 19
    assert chart.crossover(2) > 1, "below the line reverse mode takes fewer"
    assert "reverse            19            9 + 10 m" in str(chart)


def test_the_cheaper_mode_of_other_shapes_is_on_its_side_of_the_line() -> None:
    """The plane is a model of functions as large as the one counted; here real ones of other shapes are counted."""
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(8, 8)), generator.normal(size=(8, 8))
    chart = viz.mode_map(lambda x: second @ np.tanh(first @ x), np.zeros(8))
    for n, m, ahead, back in crossover([(1, 4), (4, 1), (2, 16), (16, 2), (5, 20), (20, 5), (3, 64), (64, 3)]):
        assert (ahead < back) == bool(m > chart.crossover(n)), (n, m)


def test_what_a_seed_shares_is_counted_once() -> None:
    chart = viz.mode_map(lambda x: np.sum(np.exp(x)), np.zeros(10))
    assert chart.forward == (10 + 9, 10 + 9)  # exp is its own partial: a product each, and the sum of nine again
    assert chart.reverse == (10 + 9, 10)
    assert chart.inputs == 10


def test_a_linear_function_without_operations_has_no_line() -> None:
    chart = viz.mode_map(lambda x: x.T, np.zeros((2, 3)))
    assert chart.forward == chart.reverse == (0, 0)
    assert np.isnan(chart.crossover(3))


@pytest.mark.parametrize(("f", "args", "said"), [
    (3, (), "takes a function or a graph, not int"),
    (lambda x: x > 0, (1.0,), "no floating-point output"),
    (lambda x: x * 1.0, (np.zeros(0),), "no floating-point input"),
])  # fmt: skip
def test_what_has_no_modes(f: Any, args: Any, said: str) -> None:
    with pytest.raises(cg.InputError, match=said):
        viz.mode_map(f, *args)


# ----------------------------------------------------------------------------------------------- steps


@functools.cache
def exp() -> Any:
    return viz.step_sizes(np.exp, 1.0)


def slope(chart: Any, way: str, low: float, high: float) -> float:
    """Of log(error) against log(h) between two steps."""
    inside = (chart.steps > low) & (chart.steps < high)
    return float(np.polyfit(np.log(chart.steps[inside]), np.log(chart.errors[way][inside]), 1)[0])


@pytest.mark.parametrize(("way", "low", "high", "expected", "within"), [
    ("forward difference", 1e-6, 1e-2, 1, 0.01), ("forward difference", 1e-15, 1e-9, -1, 0.15),
    ("central difference", 1e-4, 1e-1, 2, 0.01), ("central difference", 1e-15, 1e-7, -1, 0.15),
    ("complex step", 1e-6, 1e-1, 2, 0.01),
])  # fmt: skip
def test_truncation_and_rounding_have_their_slopes(way: str, low: float, high: float, expected: float, within: float) -> None:
    assert slope(exp(), way, low, high) == pytest.approx(expected, abs=within)


def test_truncation_is_what_taylor_says() -> None:
    chart = exp()
    at = {round(float(np.log10(step)), 3): place for place, step in enumerate(chart.steps)}
    assert chart.errors["forward difference"][at[-4]] == pytest.approx(1e-4 / 2, rel=1e-3)  # h f''/2, and all of exp's are equal
    assert chart.errors["central difference"][at[-2]] == pytest.approx(1e-4 / 6, rel=1e-3)
    assert chart.errors["complex step"][at[-2]] == pytest.approx(1e-4 / 6, rel=1e-3)
    assert chart.errors["central difference"][at[-6]] < chart.errors["forward difference"][at[-6]] / 1e3


def test_the_complex_step_is_flat_at_machine_precision() -> None:
    chart = exp()
    small = chart.steps < 1e-9
    assert small.sum() > 50
    assert np.all(chart.errors["complex step"][small] <= 1.01 * EPS)
    assert np.all(chart.errors["complex step"][small] > 0), "an error of 0 would be the reference in double precision"


def test_the_best_steps_are_where_theory_has_them() -> None:
    chart = exp()
    assert chart.optima == {"forward difference": pytest.approx(1.49e-8, rel=1e-2), "central difference": pytest.approx(6.06e-6, rel=1e-2)}
    for way, theory in chart.optima.items():
        step, error = chart.best(way)
        assert 1 / 30 < step / theory < 30
        assert error < 3 * theory ** (1 if way.startswith("forward") else 2)
    assert chart.best("forward difference")[1] > 100 * chart.best("central difference")[1]


def test_the_errors_of_float32_are_those_of_float32() -> None:
    chart = viz.step_sizes(np.exp, np.float32(1.0))
    assert chart.eps == float(np.finfo(np.float32).eps)
    assert 1 / 30 < chart.best("forward difference")[0] / chart.eps**0.5 < 30
    assert chart.errors["complex step"][60] <= chart.eps


def test_several_inputs_and_outputs_show_the_largest_error() -> None:
    def f(x: Any, y: float) -> Any:
        return np.stack([x[0] * y, np.sin(x[0]) + y, x[1] ** 3])

    chart = viz.step_sizes(f, np.array([1.0, 2.0]), 3.0)
    assert chart.inputs == 3
    # x[1]**3 has the largest truncation, 3 x h, with h in units of 2, beside its own derivative 12, the largest.
    place = int(np.argmin(abs(chart.steps - 1e-3)))
    assert chart.errors["forward difference"][place] == pytest.approx(3 * 2 * 2e-3 / 12, rel=1e-2)
    assert chart.scaled


def test_a_function_that_is_not_analytic_has_no_complex_step() -> None:
    chart = viz.step_sizes(lambda x: abs(x) * np.exp(x), 1.0)
    assert list(chart.errors) == ["forward difference", "central difference"]
    assert "is not analytic" in chart.note


def noisy(x: Any) -> Any:
    return x * np.random.default_rng().normal()


@pytest.mark.parametrize(("f", "args", "said"), [
    (abs, (0.0,), "no derivative at this point"),
    (np.log, (-1.0,), "outside its domain"),
    (noisy, (1.0,), "gives another result when it is called again"),
    ("x", (), "step_sizes takes a function or a graph, not str"),
    (lambda x: np.linalg.svd(x)[1], (np.eye(2),), "no reference in 50 digits: .* has no form in many digits"),
    (lambda x: np.sum(np.ones((400, 400)) @ x), (np.ones(400),), "319,600 operations|operations, which would run"),
])  # fmt: skip
def test_functions_that_cannot_be_shown(f: Any, args: Any, said: str) -> None:
    with pytest.raises(cg.InputError, match=said):
        viz.step_sizes(f, *args)


# ----------------------------------------------------------------------------------------------- swell


def test_formulas_swell_and_the_sweeps_keep_their_factor() -> None:
    logistic, product, perceptron = logistic_map(4), speelpenning((5, 10, 20)), logistic_mlp((1, 2, 3))
    chart = viz.swell(logistic, product, perceptron)
    sizes, factors = chart.factors(logistic, "symbolic")
    assert sizes.tolist() == [2, 3, 4], "l(1) = x takes no operation"
    np.testing.assert_allclose(factors, [4 / 3, 19 / 6, 57 / 9])  # the survey's table over 3 (n - 1)
    for form in ("forward", "reverse"):
        np.testing.assert_allclose(chart.factors(logistic, form)[1], 8 / 3)
    sizes, factors = chart.factors(product, "symbolic")
    np.testing.assert_allclose(factors, sizes * (sizes - 2) / (sizes - 1))
    np.testing.assert_allclose(chart.factors(product, "reverse")[1], 3)
    assert chart.factors(product, "simplified")[0].size == 0
    assert chart.factors(perceptron, "symbolic")[1][-1] > 3 * chart.factors(perceptron, "reverse")[1][-1]
    assert str(logistic) in str(chart)


def test_swell_draws_tables_only() -> None:
    with pytest.raises(cg.InputError, match=r"draws tables of compgraph\.swell, such as logistic_map\(5\), not int"):
        viz.swell(5)  # type: ignore[arg-type]
    with pytest.raises(cg.InputError, match="logistic map has no size at which the function takes an operation"):
        viz.swell(logistic_map(1))


# --------------------------------------------------------------------------------------- checkpointing


def schedules(chart: Any) -> dict[str, Any]:
    return {one.name: one for one in chart.schedules}


def test_schedules_are_counted_by_hand() -> None:
    # Of one number: sin, and for the sweep cos and a product.
    found = schedules(viz.checkpoint_map(np.sin, 1.0, 16))
    assert found["all values"].operations == 16 * 3
    assert found["every 4"].operations == found["every 2"].operations == 16 + 16 * 3
    assert found["binomial, 1"].operations == sum(range(16)) + 1 + 16 * 3
    # The states 0 to 16, the adjoint of the last and the first cosine, 8 bytes each.
    assert found["all values"].peak_bytes == 8 * (17 + 1 + 1)
    # The states 0, 4, 8 and 12 are held; a stretch makes four more, and needs an adjoint and a cosine.
    assert found["every 4"].peak_bytes == 8 * (4 + 4 + 1 + 1)
    assert found["every 8"].peak_bytes == 8 * (2 + 8 + 1 + 1)


@pytest.mark.parametrize("length", [16, 37])
def test_schedules_run_steps_as_often_as_they_say(length: int) -> None:
    calls = 0

    def step(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x + 0.1 * np.sin(x)

    chart = viz.checkpoint_map(step, 1.0, length)
    for one in chart.schedules:
        number = int(re.sub(r"\D", "", one.name) or 0)

        def whole(x: Any, name: str = one.name, number: int = number) -> Any:
            if name.startswith("binomial"):
                return cg.checkpoint_chain(step, x, length, number)
            stretch = number or length
            for start in range(0, length, stretch):

                def block(x: Any, steps: int = min(stretch, length - start)) -> Any:
                    for _ in range(steps):
                        x = step(x)
                    return x

                x = cg.checkpoint(block)(x) if number else block(x)
            return x

        calls = 0
        cg.grad(whole)(1.0)
        assert calls == one.runs, one.name


def test_least_memory_with_every_kth_state_is_near_the_root() -> None:
    chart = viz.checkpoint_map(np.sin, np.zeros(10), 100)
    ours = [one for one in chart.schedules if one.name.startswith("every")]
    assert "every 10" in schedules(chart)
    assert min(ours, key=lambda one: one.peak_bytes).name in ("every 8", "every 10")
    assert {one.runs for one in ours} == {200}
    least = schedules(chart)["binomial, 1"]
    assert least.peak_bytes == min(one.peak_bytes for one in chart.schedules)
    assert least.runs == max(one.runs for one in chart.schedules)


@pytest.mark.parametrize("length", [1, 513, 8.0, True])
def test_a_length_is_an_integer_within_bounds(length: Any) -> None:
    with pytest.raises(cg.InputError, match="from 2 to 512"):
        viz.checkpoint_map(np.sin, 1.0, length)


@pytest.mark.parametrize(("step", "state", "said"), [
    (lambda x: np.stack([x, x]), 1.0, "has to keep shapes and dtypes"),
    (lambda x: x, 1.0, "computes nothing"),
    (np.sin, np.zeros(0), "has no state"),
])  # fmt: skip
def test_steps_that_have_no_schedule(step: Any, state: Any, said: str) -> None:
    with pytest.raises(cg.InputError, match=said):
        viz.checkpoint_map(step, state, 4)


def test_a_state_of_several_arrays() -> None:
    def swing(state: Any) -> Any:
        return {"x": state["x"] + 0.1 * state["v"], "v": state["v"] - 0.1 * np.sin(state["x"])}

    found = schedules(viz.checkpoint_map(swing, {"x": np.zeros(3), "v": np.ones(3)}, 9))
    assert found["every 3"].held == 3 and found["every 3"].runs == 18
    assert found["every 3"].peak_bytes < found["all values"].peak_bytes


# --------------------------------------------------------------------------------------------- pictures


@functools.cache
def charts(theme: str = "auto") -> dict[str, Any]:
    found = cg.compare(lambda x: abs(x) * np.sin(x), 2.0)
    return {
        "modes": viz.mode_map(cg.parse("x * sin(y)"), theme=theme), "nothing": viz.mode_map(lambda x: x.T, np.zeros(3), theme=theme),
        "steps": viz.step_sizes(lambda x: abs(x) * np.sin(x), 2.0, theme=theme),
        "swell": viz.swell(speelpenning((2, 5, 10)), logistic_map(3), theme=theme),
        "checkpoints": viz.checkpoint_map(np.sin, 1.0, 16, theme=theme),
        "two steps": viz.checkpoint_map(np.sin, np.zeros(999), 2, theme=theme),
        "edges": viz.swell(speelpenning((2,)), theme=theme), "domain": viz.step_sizes(np.log, 1e-3, theme=theme),
        "ways": viz.ways(found, theme=theme),
    }  # fmt: skip


def words(svg: str) -> str:
    return " ".join(element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))


EXPECTED = {
    "modes": ["inputs n", "outputs m", "2 inputs, 1 output", "forward mode", "reverse mode", "10×"],
    "nothing": ["inputs n", "outputs m"],
    "steps": ["step h, in units of max(1, |x|)", "error relative to the derivative, in 50 digits", "h = √ε", "h = ∛ε", "ε = 2.2e-16",
              "no complex step: v1 = abs", "10⁻¹⁶"],
    "swell": ["factors n", "iterations n", "times the function (= 1)", "reverse mode", "symbolic, shared", "3×"],
    "checkpoints": ["peak memory, bytes", "operations, times those with all values stored", "all values", "4 = √16"],
    "two steps": ["peak memory, KiB"], "edges": ["reverse mode"], "domain": ["step h"],
    "ways": ["operations, all passes", "peak memory, bytes", "time, all passes", "relative error", "central difference", "– v1 = abs",
             "Use reverse mode"],
}  # fmt: skip


@needs_matplotlib
@pytest.mark.parametrize("name", EXPECTED)
def test_a_picture_says_what_it_shows_and_follows_the_theme(name: str) -> None:
    chart = charts()[name]
    said = words(chart.svg)
    for text in [*EXPECTED[name], chart.title]:
        assert text in said
    assert chart._repr_mimebundle_()["image/svg+xml"] == chart.svg
    assert len(chart.svg) < 80_000
    style, rest = chart.svg.partition("</style>")[::2]
    assert "prefers-color-scheme: dark" in style
    free = re.sub(r"var\(--cg-[a-z0-9-]+, #[0-9a-f]{6}\)", "", rest)
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", free), "a colour that no theme changes"
    assert set(re.findall(r"var\(--cg-([a-z0-9-]+)", rest)) <= set(re.findall(r"--cg-([a-z0-9-]+):", style))


@needs_matplotlib
def test_a_fixed_theme_has_fixed_colours_and_the_same_twice() -> None:
    light, dark = (viz.mode_map(np.sin, 1.0, theme=theme).svg for theme in ("light", "dark"))
    assert "var(" not in light + dark and "prefers-color-scheme" not in light + dark
    assert "#ffffff" in light and "#15181d" in dark and "#15181d" not in light
    assert viz.mode_map(np.sin, 1.0, theme="dark").svg == dark


@needs_matplotlib
@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_saving(suffix: str, tmp_path: Path) -> None:
    path = viz.mode_map(np.sin, 1.0).save(tmp_path / f"modes{suffix}")
    assert path.read_bytes().startswith({".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix])
    assert os.listdir(tmp_path) == [path.name]


@needs_matplotlib
def test_a_picture_is_saved_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chart, path = viz.mode_map(np.sin, 1.0), tmp_path / "modes.svg"
    path.write_text("before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match=r"No space left on device: '.*modes\.svg'"):
            chart.save(path)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["modes.svg"]
    with pytest.raises(FileNotFoundError, match=r"nowhere/modes\.svg"):
        chart.save(tmp_path / "nowhere" / "modes.svg")


def test_other_names_and_themes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(cg.InputError, match=r"has to end in \.svg, \.png or \.pdf"):
        viz.mode_map(np.sin, 1.0).save(tmp_path / "modes.jpg")
    with pytest.raises(cg.InputError, match="theme 'red'"):
        viz.mode_map(np.sin, 1.0, theme="red")
    with pytest.raises(cg.InputError, match=r"ways draws what cg\.compare returns, not int"):
        viz.ways(3)  # type: ignore[arg-type]


def test_without_matplotlib_there_is_the_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    chart = viz.mode_map(np.sin, 1.0)
    with pytest.raises(cg.MissingDependencyError, match=r'pip install "compgraph\[plot\]"'):
        chart.save(tmp_path / "modes.svg")
    assert os.listdir(tmp_path) == []
    assert chart._repr_mimebundle_() == {"text/plain": str(chart)}


@needs_matplotlib
def test_the_command_line_draws_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "x * sin(x)", "x=2", "--plot", str(tmp_path / "ways.svg")]) == 0
    assert "wrote" in capsys.readouterr().out
    assert "central difference" in words((tmp_path / "ways.svg").read_text(encoding="utf-8"))
    assert main(["compare", "x * sin(x)", "x=2", "--plot", "ways.jpg"]) == 2
    assert "has to end in" in capsys.readouterr().err


def test_ticks_need_no_mathematics_font() -> None:
    assert [power(one) for one in (-3, 0, 1, 12)] == ["10⁻³", "1", "10", "10¹²"]
