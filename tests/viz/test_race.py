"""The race: fair, honest about divergence and tuning, and a page that needs nothing and leaks nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import importlib.util
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compgraph as cg
import optim
import viz
from compgraph.__main__ import main
from viz import racing
from viz.contours import levels, outlines
from viz.race_drawing import COLOURS, DASHES, MARKERS
from viz.race_results import RATES
from viz.race_track import Course, run, run_one_by_one, run_together
from viz.racers import MOST, contestants, known

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib is not installed")


@functools.cache
def small() -> Any:
    return viz.race("rosenbrock", ("sgd", "adam", "lbfgs"), budget=40, lr={"sgd": 1e-3, "adam": 0.1, "lbfgs": 1.0})


@functools.cache
def lost() -> Any:
    """One that diverges beside one that does not."""
    return viz.race("x**2 + 3*y**2", ("sgd", "adam"), start=(1, 1), budget=30, lr=0.5)


def page_data(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="race-data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


# --------------------------------------------------------------------------------- what runs


def test_gradient_descent_on_a_quadratic_is_its_closed_form() -> None:
    race = viz.race("x**2/2 + 2*y**2", ("sgd",), start=(3, -1), budget=25, lr=0.1)
    steps = np.arange(26)[:, None]
    np.testing.assert_allclose(race.trajectories["sgd"], [3.0, -1.0] * np.array([0.9, 0.6]) ** steps, rtol=1e-12)
    np.testing.assert_allclose(race.losses["sgd"], race.trajectories["sgd"] ** 2 @ [0.5, 2.0], rtol=1e-12)


def test_everybody_starts_at_the_same_point_and_has_the_same_budget() -> None:
    for points in small().trajectories.values():
        assert points.shape == (41, 2)
        np.testing.assert_array_equal(points[0], [-1.2, 1.0])


class Counting(optim.SGD):
    calls = 0

    def step(self, closure: Any = None) -> Any:
        def counted() -> Any:
            type(self).calls += 1
            return closure()

        return super().step(counted)


def test_the_budget_is_gradients_not_steps() -> None:
    class Greedy(Counting):
        def step(self, closure: Any = None) -> Any:
            for _ in range(6):
                type(self).calls += 1
                closure()
            return super().step(closure)

    race = viz.race("rosenbrock", {"greedy": lambda params: Greedy(params, lr=1e-3)}, budget=16)
    assert Greedy.calls == 16 + 1  # the one that is refused ends the run
    points = race.trajectories["greedy"]
    assert len(np.unique(points, axis=0)) == 3  # the start and two whole steps of seven
    assert race.results.racers[0].track.used == 16


def test_lbfgs_pays_for_its_line_search() -> None:
    searching = functools.partial(optim.LBFGS, line_search_fn="strong_wolfe")
    race = viz.race("rosenbrock", {"lbfgs": searching}, budget=60, lr=1.0)
    assert 40 < race.results.racers[0].track.used <= 60
    assert race.losses["lbfgs"][-1] < 1e-9


def test_a_tuned_rate_is_the_best_of_those_tried_and_the_same_for_all() -> None:
    race = viz.race("ravine", ("sgd", "adam"), budget=60)
    for name, (rates, finals) in race.sensitivity.items():
        assert rates is RATES and len(finals) == 25
        assert race.rates[name] == rates[np.argmin(finals)]
        given = viz.race("ravine", (name,), budget=60, lr=race.rates[name])
        np.testing.assert_array_equal(given.trajectories[name], race.trajectories[name])
        for place in (3, 12):
            other = viz.race("ravine", (name,), budget=60, lr=float(rates[place]))
            assert other.losses[name][-1] == finals[place]
    assert "25 from 1e-05 to 10" in str(race) and f"{25 * 60} more gradient evaluations" in str(race)


def test_rates_may_be_given_for_some() -> None:
    race = viz.race("ravine", ("sgd", "momentum"), budget=20, lr={"sgd": 0.0123})
    assert race.rates["sgd"] == 0.0123
    assert race.rates["momentum"] in RATES
    assert [racer.how for racer in race.results.racers] == ["given", "tuned"]


def test_divergence_is_marked_where_it_happens() -> None:
    race = lost()
    # With rate 0.5 x jumps to 0, and y is multiplied by -2 until it is 1000 widths of the picture (8) away.
    diverged = next(step for step in range(99) if 2.0**step > 8000)
    assert race.diverged == {"sgd": diverged, "adam": None}
    points = race.trajectories["sgd"]
    np.testing.assert_allclose(points[:diverged, 1], (-2.0) ** np.arange(diverged))
    assert np.isnan(points[diverged:]).all() and np.isnan(race.losses["sgd"][diverged:]).all()
    assert f"diverged at evaluation {diverged}" in str(race)
    assert np.isinf(race.sensitivity["sgd"][1][-1])


def test_a_run_into_undefined_ground_has_diverged() -> None:
    race = viz.race("log(x) + y**2", ("sgd",), start=(1, 1), budget=20, lr=0.3)
    assert race.diverged["sgd"] is not None
    assert np.isfinite(race.losses["sgd"][: race.diverged["sgd"]]).all()


def test_who_moves_no_more_is_at_rest() -> None:
    race = viz.race("x**2 + y**2", ("sgd",), start=(1, 1), budget=100, lr=0.5)
    assert race.results.racers[0].track.used < 20
    assert "at rest from evaluation" in str(race) and race.losses["sgd"][-1] == 0.0


def test_noise_is_the_same_for_everybody_and_the_seed_changes_it() -> None:
    def noisy(seed: int) -> Any:
        return viz.race("ravine", {"a": "sgd", "b": optim.SGD}, budget=20, lr=0.01, noise=0.5, seed=seed)

    first = noisy(1)
    np.testing.assert_array_equal(first.trajectories["a"], first.trajectories["b"])
    np.testing.assert_array_equal(first.trajectories["a"], noisy(1).trajectories["a"])
    assert not np.allclose(first.trajectories["a"], noisy(2).trajectories["a"])
    assert "noise of standard deviation 0.5" in str(first)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nag", "rmsprop", "adam", "lars", "lamb", "lbfgs", "adafactor"])
def test_runs_from_many_starts_are_the_runs_from_each(name: str) -> None:
    course = Course(optim_landscape("beale"), 30, 0.0, 0)
    (contestant,) = contestants([name])
    starts = np.random.default_rng(0).uniform([-1, -2], [3, 2], (6, 2))
    alone = run(course, contestant, 0.01, starts[0])
    together = run_together(course, contestant, 0.01, starts, alone)
    assert (together is None) == (name in ("lars", "lamb", "lbfgs", "adafactor"))
    each = run_one_by_one(course, contestant, 0.01, starts)
    if together is not None:
        np.testing.assert_allclose(together.points, each.points, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(together.diverged, each.diverged)


def optim_landscape(name: str) -> Any:
    from optim.landscapes import LANDSCAPES

    return LANDSCAPES[name]


def test_one_that_diverges_does_not_disturb_the_others() -> None:
    course = Course(optim_landscape("rosenbrock"), 40, 0.0, 0)
    (contestant,) = contestants(["momentum"])
    starts = np.array([[1.1, 1.2], [-2.0, -0.7], [0.9, 0.8]])
    together = run(course, contestant, 2e-3, starts)
    assert together.diverged[1] > 0 and (together.diverged[[0, 2]] == -1).all()
    for place, start in enumerate(starts):
        alone = run(course, contestant, 2e-3, start)
        np.testing.assert_allclose(together.points[:, place], alone.points, rtol=1e-9)
        assert together.diverged[place] == alone.diverged


# --------------------------------------------------------------------------------- inside


def test_adam_from_inside() -> None:
    steps = small().internals("adam")
    assert [step["evaluation"] for step in steps] == list(range(1, 41))
    m = v = np.zeros(2)
    for count, step in enumerate(steps, 1):
        m, v = 0.9 * m + 0.1 * step["gradient"], 0.999 * v + 0.001 * step["gradient"] ** 2
        np.testing.assert_allclose(step["exp_avg"], m, rtol=1e-12)
        np.testing.assert_allclose(step["corrected_exp_avg"], m / (1 - 0.9**count), rtol=1e-12)
        corrected = v / (1 - 0.999**count)
        np.testing.assert_allclose(step["corrected_exp_avg_sq"], corrected, rtol=1e-10)
        np.testing.assert_allclose(step["step"], -0.1 * m / (1 - 0.9**count) / (np.sqrt(corrected) + 1e-8), rtol=1e-8)
        np.testing.assert_allclose(step["rate"] * step["gradient"], -step["step"], rtol=1e-12)
        np.testing.assert_array_equal(step["point"], small().trajectories["adam"][count])


def test_a_name_that_did_not_take_part() -> None:
    with pytest.raises(cg.InputError, match="'lion' did not take part; there were sgd, adam, lbfgs"):
        small().internals("lion")


# --------------------------------------------------------------------------------- the table


def test_the_table_has_the_best_first() -> None:
    table = lost().table()
    assert [row[0] for row in table.rows] == ["adam", "sgd"]
    assert table.rows[1][3] == "diverged"
    evil = viz.race("x**2 + y**2", {"<b>&": "sgd"}, budget=5, lr=0.1)
    assert "&lt;b&gt;&amp;" in evil.table().to_html() and "<b>&" not in evil.table().to_html()
    assert str(evil.table()) == repr(evil.table()) == str(evil)


def test_distance_is_to_the_nearest_minimum() -> None:
    race = viz.race("himmelblau", ("adam",), start=(-2.5, 3.0), budget=100, lr=0.05)
    end = race.trajectories["adam"][-1]
    wanted = np.linalg.norm(end - [-2.805118086952745, 3.131312518250573])
    assert race.results.distance(race.results.racers[0]) == pytest.approx(wanted)


# --------------------------------------------------------------------------------- the page


class Reader(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_asks_for_nothing_and_allows_its_own_script_alone() -> None:
    text = small().html
    tags = Reader(text).tags
    for tag, attributes in tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img", "image", "use")
        assert not {"src", "href", "xlink:href", "style", "srcset", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert "http:" not in text.replace("http-equiv", "") and "https:" not in text and "@import" not in text
    (policy,) = [attributes["content"] for tag, attributes in tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    script, style = re.findall(r"<script>(.*?)</script>", text, re.DOTALL), re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(script) == len(style) == 1
    for kind, content in (("script", script[0]), ("style", style[0])):
        fingerprint = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{fingerprint}'" in policy


def test_what_the_script_looks_for_is_there() -> None:
    text = small().html
    ids = [attributes["id"] for _, attributes in Reader(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]
    wanted = set(re.findall(r'element\("([\w-]+)"\)', script))
    assert len(wanted) > 10 and wanted <= set(ids)
    for place in range(3):
        parts = ("halo", "path", "head", "cross", "curve", "curve-head", "curve-cross", "toggle", "loss")
        assert {f"{part}-{place}" for part in parts} <= set(ids)
    assert not re.search(r"\b(eval|Function|fetch|XMLHttpRequest|import)\s*\(|[a-z]+HTML\b|document\.write", script)


def test_the_page_says_everything_without_its_script() -> None:
    text = small().html
    still = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    for place, name in enumerate(small().trajectories):
        assert f'<th scope="row">{name}</th>' in still
        points = re.search(rf'id="path-{place}"[^>]* points="([^"]*)"', still)
        assert points and len(points[1].split()) == 41
    assert "the same for all" not in still  # nothing was tuned here
    assert still.count("<title>minimum</title>") == 1


def test_divergence_is_on_the_page() -> None:
    text = lost().html
    step = lost().diverged["sgd"]
    assert f"diverged at evaluation {step}" in text and f'<output id="loss-0">diverged at {step}</output>' in text
    assert re.search(r'id="cross-0"[^>]* visibility="visible"', text) and re.search(r'id="cross-1"[^>]* visibility="hidden"', text)
    assert re.search(r'id="head-0"[^>]* visibility="hidden"', text)
    racer = page_data(text)["racers"][0]
    assert racer["diverged"] == step and racer["x"][step] is None and racer["x"][step - 1] is not None


def test_names_cannot_leave_their_place() -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    race = viz.race(lambda x, y: x**2 + y**2, {evil: "sgd", "b": "adam"}, budget=5, lr=0.1)
    assert all(tag != "img" for tag, _ in Reader(race.html).tags)
    assert race.html.count("</script>") == 2
    assert page_data(race.html)["racers"][0]["name"] == evil
    block = race.html.split('id="race-data">')[1].split("</script>")[0]
    assert re.search("</|<[!sS]", block) is None and block.isascii()  # all that can end a script element or change how it is read
    framed = race._repr_mimebundle_()["text/html"]
    assert framed.startswith("<iframe srcdoc=\"") and 'sandbox="allow-scripts"' in framed
    (frame,) = Reader(framed).tags
    assert frame[0] == "iframe" and frame[1]["srcdoc"] == race.html


def unpacked(data: Any) -> np.ndarray:
    """x, y and the loss's height of every other start, (3, starts, racers, frames), as the script reads them."""
    starts = data["starts"]
    shape = (starts["side"] ** 2, len(data["racers"]), len(data["evaluations"]))
    size = int(np.prod(shape))
    packed = np.frombuffer(zlib.decompress(base64.b64decode(starts["packed"])), np.uint8).reshape(3, 2, size).astype(np.uint16)
    changes = (packed[:, 0] + 256 * packed[:, 1]).reshape(3, *shape)
    codes = np.cumsum(changes, axis=-1, dtype=np.uint16)
    low, high = np.array(starts["scales"]).T[:, :, None, None, None]
    return np.where(codes == 65535, np.nan, low + codes / 65534 * (high - low))


def test_the_other_starts_are_runs_of_their_own() -> None:
    data = page_data(small().html)
    starts, side = unpacked(data), data["starts"]["side"]
    assert side >= 5 and starts.shape[1] == side * side
    axis = data["axis"]
    for number in (0, side + 2, side * side // 2, side * side - 1):
        at = (data["starts"]["x"][number % side], data["starts"]["y"][number // side])
        for place, name in enumerate(("sgd", "adam")):
            alone = viz.race("rosenbrock", (name,), start=at, budget=40, lr=small().rates[name])
            points, diverged = alone.trajectories[name], alone.diverged[name]
            assert data["starts"]["diverged"][number * 3 + place] == (-1 if diverged is None else diverged)
            inside = np.isfinite(points).all(axis=1) & (np.abs(points[:, 0]) < 6) & (points[:, 1] > -3.7) & (points[:, 1] < 5.2)
            np.testing.assert_allclose(starts[:2, number, place].T[inside], points[inside], atol=2e-4)
            np.testing.assert_array_equal(np.isnan(starts[0, number, place]), np.isnan(points[:, 0]))
            heights = np.log10(np.maximum(alone.losses[name] - axis["floor"], 1e-16))
            np.testing.assert_allclose(starts[2, number, place][inside], heights[inside], atol=2e-3)


def test_where_the_function_is_not_defined_no_start_can_be_chosen() -> None:
    race = viz.race("x*log(x) + y**2", ("sgd",), start=(1, 1), budget=8, lr=0.1)
    data = page_data(race.html)
    xs = np.array(data["starts"]["x"])
    ok = np.array(data["starts"]["ok"]).reshape(len(xs), len(xs))
    np.testing.assert_array_equal(ok, np.broadcast_to(xs > 0, ok.shape))
    assert 'class="void"' in race.html


def test_a_long_race_of_many_stays_below_a_megabyte() -> None:
    rates = 10.0 ** np.linspace(-4, -0.5, 8)  # functions without a rate of their own: no search, the test is long enough
    field = {f"{rate:.1e}": functools.partial(lambda params, rate: optim.SGD(params, rate), rate=rate) for rate in rates}
    race = viz.race("rastrigin", field, budget=700)
    text = race.html
    assert len(text.encode()) < 1_000_000
    data = page_data(text)
    assert len(data["evaluations"]) == 601 and data["evaluations"][-1] == 700
    assert "Of 700 evaluations the pictures show 600" in text


def test_nothing_depends_on_colour_alone() -> None:
    assert len(set(DASHES)) == len(set(MARKERS)) == MOST
    for place in range(MOST):
        assert f"racer-{place}" in COLOURS


def luminance(colour: str) -> float:
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", [0, 1])
def test_texts_and_lines_stand_out(theme: int) -> None:
    def contrast(one: str, other: str) -> float:
        light, dark = sorted((luminance(COLOURS[one][theme]), luminance(COLOURS[other][theme])), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for role in ("ink", "muted"):
        assert contrast(role, "paper") >= 4.5  # WCAG 2.2, 1.4.3
    for place in range(MOST):
        assert contrast(f"racer-{place}", "paper") >= 3  # 1.4.11
        assert contrast(f"racer-{place}", "low") >= 3


# --------------------------------------------------------------------------------- files and notebooks


def test_the_page_is_saved_whole(tmp_path: Path) -> None:
    path = small().save(tmp_path / "race.html")
    assert path.read_text(encoding="utf-8") == small().html
    assert [one.name for one in tmp_path.iterdir()] == ["race.html"]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "race.html"
    path.write_text("before")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match=r"race\.html"):
        small().save(path)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


@needs_matplotlib
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("gif", b"GIF89a")])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures(tmp_path: Path, suffix: str, magic: bytes, theme: str) -> None:
    race = lost()
    content = race.save(tmp_path / f"race.{suffix}", theme=theme).read_bytes()
    assert content.startswith(magic)
    assert content == race.save(tmp_path / f"again.{suffix}", theme=theme).read_bytes()


@needs_matplotlib
def test_a_gif_moves_and_rests_at_the_end(tmp_path: Path) -> None:
    from PIL import Image

    with Image.open(lost().save(tmp_path / "race.gif")) as image:
        frames = []
        for place in range(image.n_frames):
            image.seek(place)
            frames.append((image.convert("RGB").tobytes(), image.info["duration"]))
    assert len(frames) > 10 and frames[-1][1] > frames[0][1]
    assert frames[0][0] != frames[5][0]


@needs_matplotlib
def test_texts_of_a_picture_are_no_formulas(tmp_path: Path) -> None:
    race = viz.race("x**2 + y**2", {"$\\frac{$": "sgd", "_private": "adam", "競争": "nag", " a\n b ": "lion"}, budget=5, lr=0.1)
    assert list(race.trajectories) == ["$\\frac{$", "_private", "競争", "a b"]
    for suffix in ("svg", "gif"):
        assert race.save(tmp_path / f"race.{suffix}").exists()


def test_without_matplotlib_there_is_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else find_spec(name, *rest))
    with pytest.raises(cg.MissingDependencyError, match=r'pip install "compgraph\[plot\]"'):
        small().save(tmp_path / "race.png")
    assert list(tmp_path.iterdir()) == []
    assert small().save(tmp_path / "race.html").exists()


def test_a_notebook_cell_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    race = viz.race("x**2 + y**2", ("sgd",), budget=3, lr=0.1)
    assert set(race._repr_mimebundle_(include=None)) == {"text/plain", "text/html"}

    def broken(_: Any) -> str:
        raise RuntimeError("no page today")

    monkeypatch.setattr(racing, "race_page", broken)
    del race.__dict__["html"]
    assert "no page today" in race._repr_mimebundle_()["text/plain"]
    assert repr(race) == "Race(x**2 + y**2 from (-2.4, 1.2), 3 gradient evaluations each: sgd)"


# --------------------------------------------------------------------------------- who takes part


@pytest.mark.parametrize("name", sorted(known()))
def test_everybody_can_race(name: str) -> None:
    race = viz.race("rosenbrock", (name.upper(),), budget=12, lr=1e-3)
    assert np.isfinite(race.losses[name]).all() or race.diverged[name]
    assert race.results.racers[0].track.used


def test_contestants_may_be_classes_factories_and_partials() -> None:
    field = [optim.Adam, functools.partial(optim.Adam, betas=(0.5, 0.9)), lambda params, lr: optim.SGD(params, lr=lr), "sgd"]
    race = viz.race("ravine", field, budget=5, lr=0.01)
    assert list(race.trajectories) == ["adam", "adam 2", "optimizer", "sgd"]
    np.testing.assert_array_equal(race.trajectories["optimizer"], race.trajectories["sgd"])
    fixed = viz.race("ravine", {"mine": lambda params: optim.SGD(params, lr=0.01)}, budget=5)
    np.testing.assert_array_equal(fixed.trajectories["mine"], race.trajectories["sgd"])
    assert fixed.rates == {"mine": None} and fixed.sensitivity == {} and "None of these has a learning rate" in fixed.html


def test_the_picture_grows_around_a_start_outside() -> None:
    race = viz.race("rosenbrock", ("adam",), start=(5, -3), budget=5, lr=0.1)
    (x_from, x_to), (y_from, y_to) = race.landscape.domain
    assert x_from == -2 and x_to > 5 and y_from < -3 and y_to == 2.25
    assert race.landscape.minima == ((1.0, 1.0),)


def test_an_own_function_without_a_start_begins_where_it_is_defined() -> None:
    race = viz.race("x*log(x) + y**2", ("sgd",), budget=3, lr=0.1)
    np.testing.assert_array_equal(race.start, [2.4, 1.2])
    assert race.landscape.searched


def instance() -> optim.Optimizer:
    return optim.SGD([cg.variable(1.0)], lr=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subject": "rosenbruck"}, "did you mean rosenbrock"),
        ({"optimizers": ["sdg"]}, "no optimizer 'sdg'; did you mean sgd"),
        ({"optimizers": ["newtoncg"]}, "more from the function than gradients"),
        ({"optimizers": [optim.NewtonCG]}, "more from the function than gradients"),
        ({"optimizers": []}, "0 optimizers; between 1 and 8"),
        ({"optimizers": ["sgd"] * 9}, "9 optimizers"),
        ({"optimizers": ["sgd", "SGD"]}, "'sgd' takes part twice"),
        ({"optimizers": [instance()]}, "SGD holds the parameters of another model"),
        ({"optimizers": [3]}, "not int"),
        ({"start": (np.nan, 1)}, "start is a point of two numbers"),
        ({"start": (1, 2, 3)}, "start is a point of two numbers"),
        ({"start": "here"}, "start is a point of two numbers"),
        ({"subject": "log(x) + y**2", "start": (-1, 0)}, "cannot be descended from"),
        ({"subject": "ackley", "start": (0, 0)}, "cannot be descended from"),
        ({"budget": 0}, "budget is a number"),
        ({"budget": 2.5}, "budget is a number"),
        ({"budget": True}, "budget is a number"),
        ({"budget": 10**6}, "budget is a number"),
        ({"lr": 0}, "learning rate of sgd is a number above 0, not 0"),
        ({"lr": -0.1}, "above 0"),
        ({"lr": np.inf}, "above 0"),
        ({"lr": "fast"}, "lr is 'tuned', a number or a mapping"),
        ({"lr": {"sgdd": 0.1}}, "did you mean sgd"),
        ({"lr": {"sgd": None}}, "above 0"),
        ({"seed": -1}, "seed is a whole number"),
        ({"noise": -1}, "noise is a standard deviation"),
        ({"domain": ((1, 0), (0, 1))}, "domain"),
    ],
)
def test_bad_input_names_the_parameter_and_the_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(cg.InputError, match=message) as caught:
        viz.race(**{"subject": "rosenbrock", "optimizers": ["sgd"], "budget": 3, **arguments})
    if str(caught.value).startswith("race:"):
        assert "test_race.py:" in str(caught.value)


@pytest.mark.parametrize(("name", "theme"), [("race.bmp", "light"), ("race", "light"), ("race.png", "sepia")])
def test_bad_names_and_themes_write_nothing(tmp_path: Path, name: str, theme: str) -> None:
    with pytest.raises(cg.InputError, match=r"has to end in|theme"):
        small().save(tmp_path / name, theme=theme)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------- outlines


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def test_outlines_enclose_what_is_above_them() -> None:
    xs, ys = np.linspace(-2, 2, 161), np.linspace(-1.5, 1.5, 121)
    x, y = np.meshgrid(xs, ys)
    (circle,) = outlines(xs, ys, -np.hypot(x, y), -1.0)
    assert area(circle) == pytest.approx(np.pi, rel=1e-3)  # against the clock: higher ground on the left
    rim, hole = sorted(outlines(xs, ys, np.hypot(x, y), 1.0), key=lambda ring: -abs(area(ring)))
    assert area(rim) > 12 and area(hole) == pytest.approx(-np.pi, rel=1e-3)
    saddle = outlines(xs, ys, x * y, 0.05)
    assert len(saddle) == 2
    for ring in saddle:
        inside = ring[(np.abs(ring) < [2, 1.5]).all(axis=1)]
        np.testing.assert_allclose(inside.prod(axis=1), 0.05, atol=2e-3)


def test_outlines_keep_clear_of_undefined_ground() -> None:
    xs = ys = np.linspace(-1, 1, 21)
    x, _ = np.meshgrid(xs, ys)
    heights = np.where(x > 0, x, np.nan)
    (ring,) = outlines(xs, ys, heights, -5.0)
    assert ring[:, 0].min() > -0.1 and np.isfinite(ring).all()
    assert outlines(xs, ys, np.full_like(heights, np.nan), 0.0) == []
    assert outlines(xs, ys, np.zeros_like(heights), 1.0) == []


def test_an_ambiguous_cell_keeps_its_high_corners_apart() -> None:
    corners = np.array([0.0, 1.0])
    for heights in ([[0, 1], [1, 0]], [[1, 0], [0, 1]]):
        rings = outlines(corners, corners, np.array(heights, float), 0.5)
        assert len(rings) == 2 and all(area(ring) > 0 for ring in rings)


def test_levels_are_even_in_the_logarithm_above_a_known_minimum() -> None:
    heights = 5 + np.geomspace(1e-4, 1e3, 10_001)
    found = levels(heights, 5.0)
    ratios = (found - 5)[1:] / (found - 5)[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    assert len(levels(np.ones(9), 1.0)) == 0 and len(levels(np.full(9, np.nan), None)) == 0


# --------------------------------------------------------------------------------- the command


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["race", "a**2 + 3*b**2", "b=1", "a=-2", "--optimizers", "sgd,adam", "--budget", "9", "--lr", "0.1"]) == 0
    printed = capsys.readouterr()
    assert "from (-2, 1), 9 gradient evaluations each" in printed.out and printed.out.endswith("wrote race.html\n") and not printed.err
    assert html.escape("a**2 + 3*b**2") in (tmp_path / "race.html").read_text(encoding="utf-8")


def test_the_command_without_a_landscape(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    target = tmp_path / "r.html"
    options = ["--optimizers", "sgd,adam", "--budget", "4", "--lr", "sgd=0.001,adam=1/8", "-o", str(target), "--open"]
    assert main(["race", "x=0", "y=1", *options]) == 0
    assert "rosenbrock from (0, 1)" in capsys.readouterr().out
    assert opened == [target.as_uri()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rosenbruck"], "did you mean rosenbrock"),
        (["x*y*z"], "has 3"),
        (["x*y", "x=1"], "one value for each of x and y, not x"),
        (["x*y", "z=1", "x=2"], "one value for each of x and y"),
        (["x*y", "1"], "is not NAME=VALUE"),
        (["--optimizers", "sdg"], "did you mean sgd"),
        (["--optimizers", ""], "0 optimizers"),
        (["--budget", "0"], "budget is a number"),
        (["--lr", "-1"], "above 0, not -1.0"),
        (["--lr", "quick"], "a value is a number"),
        (["-o", "race.bmp"], "has to end in"),
        (["log(x) + y", "x=-1", "y=0"], "give another start"),
    ],
)
def test_bad_commands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["race", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and message in printed.err
    assert "test_race.py" not in printed.err  # a line that whoever types a command has not written
    assert list(tmp_path.iterdir()) == []
