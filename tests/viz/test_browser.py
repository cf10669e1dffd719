"""The stepper's page in a real browser, driven as a reader would: what it shows are the engine's numbers, at every step.

They need Playwright for Python and a Chromium, Playwright's own or one on the PATH; without these they are skipped, and
the reason says what to install. axe-core comes with the package axe-playwright-python.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import compgraph as cg
import viz
from compgraph.literals import number
from viz.step_exports import animated_svg
from viz.step_frames import shown

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright axe-playwright-python", exc_type=ImportError)

pytestmark = pytest.mark.slow  # a minute and a half

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A browser that is already there asks its maker for updates and lists; these tests must not reach for anything.
OPTIONS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-gpu"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        own = Path(driver.chromium.executable_path)
        program = None if own.exists() else next(filter(None, map(shutil.which, BROWSERS)), None)
        if program is None and not own.exists():
            pytest.skip("no browser: `playwright install chromium`, or on Debian `apt-get install chromium`")
        started = driver.chromium.launch(executable_path=program, args=OPTIONS)
        yield started
        started.close()


def textbook(x1: Any, x2: Any) -> Any:
    return (np.exp(x1 / x2) + x1 / x2) * (x1 / x2 - np.log(x2))


POINT = 0.5, 1.0


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return viz.step(textbook, *POINT).save(tmp_path_factory.mktemp("page") / "step.html")
    except cg.MissingDependencyError as error:
        pytest.skip(str(error))


Opener = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any, saved: Path) -> Iterator[Opener]:
    """Opens a file in a context of its own; at the end there must have been no error, and no request but for the file."""
    contexts, errors, requests = [], [], []

    def opened(path: Path = saved, fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri() + fragment)
        requests[:] = [url for url in requests if url.split("#")[0] != path.as_uri()]
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []
    assert requests == []


# What is on the page, read where a reader would see it: hidden elements are left out.
READ = """() => {
  const seen = (one) => one && one.checkVisibility({ contentVisibilityAuto: false });
  const said = (one) => (seen(one) ? one.textContent.trim() : null);
  const all = (css, root = document) => Array.from(root.querySelectorAll(css)).filter(seen);
  const row = (one) => [one.querySelector("th").firstChild.textContent.trim(), said(one.querySelector(".value")),
                        said(one.querySelector(".tangent")), said(one.querySelector(".adjoint"))];
  return {
    rows: all("#table tbody tr").map(row),
    lit: all("#table tbody tr[aria-current=step]").map((one) => row(one)[0]),
    boxes: all("#left [data-node]").map((one) => [Number(one.dataset.node), said(one.querySelector(".shows-value")),
                                                   said(one.querySelector(".shows-name")), said(one.querySelector(".shows-derivative"))]),
    labels: all("#left [data-node]").map((one) => one.getAttribute("aria-label")),
    now: all("#left [data-node].now").map((one) => Number(one.dataset.node)),
    lines: all("#equation .line").map((one) => one.querySelector("math")?.getAttribute("alttext") ?? one.textContent),
    status: document.querySelector("#status").textContent, count: said(document.querySelector("#count")),
    slider: Number(document.querySelector("#slider").value), most: Number(document.querySelector("#slider").max),
    hash: location.hash, tab: said(document.querySelector("[role=tab][aria-selected=true]")),
    code: all("#program .now").map((one) => one.textContent),
  };
}"""


class Sweep(NamedTuple):
    """What the engine says of a sweep: its steps, and what has been computed after each of them."""

    mode: str
    trace: cg.EvaluationTrace
    steps: list[cg.Step]

    def known(self, at: int) -> list[tuple[str, str, str]]:
        """Name, value and derivative of each node after `at` steps, as text."""
        found: dict[tuple[Any, bool], str] = {(step.node, step.phase == "primal"): number(step.value) for step in self.steps[:at]}
        return [(self.trace.name(node), found.get((node, True), "–"), found.get((node, False), "–")) for node in self.trace.graph.nodes]


def sweep(mode: str, name: str, seed: float = 1.0, function: Any = textbook, point: tuple[Any, ...] = POINT) -> Sweep:
    graph = cg.trace(function, *point)
    trace = cg.evaluate(graph, *point, mode=mode, seed={name: seed})
    steps = trace.steps
    return Sweep(mode, trace, steps)


def settles(page: Any, address: str) -> None:
    """The address says so within a moment: the page writes it when the steps come to rest, since browsers limit how often it may."""
    page.wait_for_function("text => location.hash.includes(text)", arg=address, timeout=5000)


def compare(page: Any, expected: Sweep, at: int, *, address: bool = True) -> None:
    """Everything on the page against the engine, after `at` steps; the address too, once the reader has done something."""
    shows = page.evaluate(READ)
    known, last = expected.known(at), expected.steps[at - 1] if at else None
    column = 2 if expected.mode == "forward" else 3
    assert [(row[0], row[1], row[column]) for row in shows["rows"]] == known
    assert all(row[5 - column] is None for row in shows["rows"])  # the other mode's column is not there
    suffix = "dot" if expected.mode == "forward" else "bar"
    assert {place: tuple(texts) for place, *texts in shows["boxes"]} == {
        place: (value, f"{name}_{suffix}", derivative) for place, (name, value, derivative) in enumerate(known)
    }
    for place, *_ in shows["boxes"]:
        label = shows["labels"][[one for one, *_ in shows["boxes"]].index(place)]
        assert f"value {known[place][1].replace('–', 'not computed yet')}" in label
        assert known[place][2].replace("–", "not computed yet") in label
    assert shows["count"].startswith(f"{at} of {len(expected.steps)}") and shows["slider"] == at and shows["most"] == len(expected.steps)
    assert shows["tab"].lower() == expected.mode
    if address:
        settles(page, f"mode={expected.mode}&step={at}")
    if last is None:
        assert shows["lit"] == [] and shows["now"] == [] and shows["lines"] == []
        return
    assert shows["lit"] == [expected.trace.name(last.node)]
    assert shows["now"] == [list(expected.trace.graph.nodes).index(last.node)]
    assert shows["lines"][-1].endswith(number(last.value) + " (seed)" * (last.rule == "seed"))
    assert shows["lines"][0].startswith(f"{last.name} {'=' if last.before is None else '+='} ")
    assert number(last.value) in shows["status"] and shows["status"].startswith(f"Step {at} of {len(expected.steps)}")


def until(page: Any, expression: str) -> None:
    """Wait for it. Playwright's own waiting compiles text in the page, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"never: {expression}")


SWEEPS = [("forward", "x1"), ("reverse", "v8")]


@pytest.mark.parametrize(("mode", "name"), SWEEPS)
def test_by_keyboard_to_the_end_and_back(open_page: Opener, mode: str, name: str) -> None:
    page, expected = open_page(), sweep(mode, name)
    page.keyboard.press(mode[0])
    compare(page, expected, 0)
    for at in range(1, len(expected.steps) + 1):
        page.keyboard.press("ArrowRight")
        compare(page, expected, at)
    page.keyboard.press("ArrowRight")
    compare(page, expected, len(expected.steps))
    for at in range(len(expected.steps) - 1, -1, -1):
        page.keyboard.press("ArrowLeft")
        compare(page, expected, at)
    page.keyboard.press("End")
    compare(page, expected, len(expected.steps))
    page.keyboard.press("Home")
    compare(page, expected, 0)


@pytest.mark.parametrize(("mode", "name"), SWEEPS)
def test_by_slider(open_page: Opener, mode: str, name: str) -> None:
    page, expected = open_page(fragment=f"#mode={mode}"), sweep(mode, name)
    slider = page.locator("#slider")
    for at in (len(expected.steps), 3, 11, 0, 7):
        slider.fill(str(at))
        compare(page, expected, at)
    slider.press("ArrowRight")  # a native range: its keys are its own
    compare(page, expected, 8)
    slider.press("End")
    compare(page, expected, len(expected.steps))
    assert "adjoints" in slider.get_attribute("aria-valuetext") or mode == "forward"


def test_by_address(open_page: Opener) -> None:
    for mode, name in SWEEPS:
        expected = sweep(mode, name)
        for at in (0, 1, 12, len(expected.steps)):
            compare(open_page(fragment=f"#mode={mode}&step={at}"), expected, at)
    page, expected = open_page(), sweep("reverse", "v8")
    page.evaluate("location.hash = 'mode=reverse&step=17'")
    until(page, "document.querySelector('#slider').value === '17'")
    compare(page, expected, 17)
    compare(open_page(fragment="#mode=reverse&step=9999"), expected, len(expected.steps), address=False)
    compare(open_page(fragment="#mode=reverse&step=-5"), expected, 0, address=False)
    for nonsense in ("#", "#mode=sideways&step=x&seed=y&pass=z", "#%E0%A4%A", "#step=1e9&mode="):
        assert open_page(fragment=nonsense).locator("#count").is_visible()
    unknown = open_page(fragment="#mode=reverse&step=3&node=nowhere")
    message = unknown.locator("#message")
    assert message.text_content() == "There is no node called nowhere here." and message.is_visible()
    compare(unknown, expected, 3, address=False)


def test_other_passes_and_seeds_are_the_engines(open_page: Opener) -> None:
    """The page rescales; every number equals what the engine computes with that seed."""
    page = open_page(fragment="#mode=forward")
    page.locator("#pass").select_option(label="x2")
    for seed in (1.0, -0.3, 1e6, 0.0, 2.5e-7):
        page.locator("#seed").fill(str(seed))
        expected = sweep("forward", "x2", seed)
        page.keyboard.press("Tab")
        page.locator("#slider").fill(str(len(expected.steps)))
        rows = {row[0]: row[2] for row in page.evaluate(READ)["rows"]}
        for node, tangent in expected.trace.tangents.items():
            assert close(rows[expected.trace.name(node)], tangent)
    page = open_page(fragment="#mode=reverse&seed=-4.25&step=25")
    expected = sweep("reverse", "v8", -4.25)
    rows = {row[0]: row[3] for row in page.evaluate(READ)["rows"]}
    for node, adjoint in expected.trace.adjoints.items():
        assert close(rows[expected.trace.name(node)], adjoint)


def close(text: str, value: Any) -> bool:
    """Whether a text of seven digits is that number; 0 and -0 are the same sum taken in another order."""
    return text == number(value) or float(text) == float(number(value)) or abs(float(text) - value) <= 1e-6 * abs(value)


def test_nothing_plays_until_asked_and_it_stops_where_asked(open_page: Opener) -> None:
    page, expected = open_page(), sweep("reverse", "v8")
    page.wait_for_timeout(300)
    compare(page, expected, 0, address=False)
    page.locator("#speed").select_option("20")
    page.locator("#stop").fill("v3")
    page.locator("#play").click()
    until(page, "!document.querySelector('#play').classList.contains('playing')")
    stopped = next(at for at, step in enumerate(expected.steps, 1) if expected.trace.name(step.node) == "v3")
    compare(page, expected, stopped)
    page.locator("#stop").fill("")
    page.locator("h1").click()
    page.keyboard.press("Space")
    until(page, f"document.querySelector('#slider').value === '{len(expected.steps)}'")
    until(page, "document.querySelector('#play').getAttribute('aria-label') === 'play'")
    compare(page, expected, len(expected.steps))


def test_a_click_on_a_node_gives_its_whole_sum(open_page: Opener) -> None:
    expected = sweep("reverse", "v8")
    page = open_page(fragment="#mode=reverse&step=25")
    for place, node in enumerate(expected.trace.graph.nodes):
        terms = expected.trace.terms.get(node, [])
        page.locator(f'#left [data-node="{place}"]:visible').click()
        inspector = page.locator("#inspector")
        assert inspector.locator("h2").text_content().startswith(expected.trace.name(node))
        items = [item for item in inspector.locator("li").all_text_contents() if "_bar" in item.split("=")[0]]
        assert len(items) == len(terms) + (node in expected.trace.seeds)
        for item, term in zip(items[-len(terms) :] if terms else [], terms, strict=True):
            assert number(term.value) in item and f"(from {expected.trace.name(term.child)})" in item
        settles(page, f"node={expected.trace.name(node)}")
    page.locator("#inspector button").click()
    assert page.locator("#inspector").is_hidden()
    page.locator('#table tr[data-node="0"]:visible').click()
    assert page.locator("#inspector h2").text_content().startswith("x1")


def test_a_quiz_asks_before_it_tells(open_page: Opener) -> None:
    expected = sweep("reverse", "v8")
    page = open_page(fragment="#mode=reverse&step=11")
    page.locator("#quiz").check()
    page.locator("#next").click()
    step = expected.steps[11]
    assert page.locator("#asked").text_content() == f"{step.name} = ?"
    assert page.evaluate("document.activeElement.id") == "answer"
    compared = page.evaluate(READ)
    assert {row[0]: row[3] for row in compared["rows"]}[expected.trace.name(step.node)] == "–"
    page.keyboard.type("7f7r")  # letters are typed, and are no commands
    settles(page, "mode=reverse&step=11")
    page.keyboard.press("Enter")
    assert "number" in page.locator("#verdict").text_content()
    page.locator("#answer").fill(str(float(step.value) + 1))
    page.keyboard.press("Enter")
    assert "Not yet" in page.locator("#verdict").text_content()
    settles(page, "step=11")
    page.locator("#answer").fill(number(step.value))
    page.keyboard.press("Enter")
    assert "Right. 1 of 2 right." in page.locator("#verdict").text_content()
    assert page.evaluate(READ)["count"].startswith("12 of")
    page.locator("#next").click()
    page.locator("#reveal").click()
    assert "Here it is." in page.locator("#verdict").text_content()
    compare(page, expected, 13)


def test_compare_and_derivative_graph(open_page: Opener) -> None:
    page = open_page(fragment="#mode=compare")
    assert "2 input numbers, 1 output number: 2 forward passes, 1 reverse pass" in page.locator("#counters").text_content()
    page.keyboard.press("End")
    counters = [row.all_text_contents() for row in [page.locator("#counters tr").nth(place).locator("th, td") for place in range(1, 4)]]
    assert counters[0] == ["passes finished", "2 of 2", "1 of 1"]
    assert page.locator("#right").is_visible()
    page.locator("#tab-derivative").click()
    page.locator("#last").click()
    derived = cg.simplify(cg.reverse(cg.trace(textbook, *POINT)))
    rows = {row[0]: row[1] for row in page.evaluate(READ)["rows"]}
    trace = cg.evaluate(derived, *POINT, 1.0)
    assert rows == {derived.names[node]: number(trace.values[node]) for node in derived.nodes}


def test_keys_move_through_tabs_and_nodes(open_page: Opener) -> None:
    page = open_page(fragment="#mode=reverse&step=14")
    page.locator("#tab-reverse").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.id") == "tab-forward" and page.evaluate(READ)["tab"] == "Forward"
    page = open_page(fragment="#mode=reverse&step=14")
    now = page.evaluate(READ)["now"][0]
    page.locator(f'#left [data-node="{now}"]:visible').focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("Number(document.activeElement.dataset.node)") == now - 1
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#inspector").is_visible()
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#keys").is_hidden()


def test_every_control_is_reached_by_tab_and_shows_that_it_is(open_page: Opener) -> None:
    page = open_page()
    reached, without = [], []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """() => { const one = document.activeElement;
                       return one.dataset.node !== undefined ? `node ${one.dataset.node}` : one.id || one.tagName; }"""
        )
        if name in reached or name == "BODY":
            break
        reached.append(name)
        style = page.evaluate(
            """() => { const one = document.activeElement, shape = one.querySelector?.(":scope > path, :scope > polygon");
                       const a = getComputedStyle(one), b = shape && one.closest("svg") ? getComputedStyle(shape) : null;
                       return a.outlineStyle !== "none" && parseFloat(a.outlineWidth) >= 1 || b && parseFloat(b.strokeWidth) >= 3; }"""
        )
        if not style:
            without.append(name)
    wanted = {"tab-reverse", "first", "back", "play", "next", "last", "slider", "seed", "speed", "stop", "quiz", "help", "table", "node 0"}
    assert wanted <= set(reached)
    assert without == []


SCREENS = [(320, 640), (768, 1024), (1280, 900), (1920, 1080)]


@pytest.mark.parametrize("size", SCREENS)
def test_no_width_makes_the_page_scroll_sideways(open_page: Opener, size: tuple[int, int]) -> None:
    page = open_page(viewport={"width": size[0], "height": size[1]}, fragment="#mode=reverse&step=25")
    for mode in ("forward", "reverse", "compare", "derivative"):
        page.locator(f"#tab-{mode}").click()
        page.locator("#last").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        for control in ("first", "back", "play", "next", "last", "slider", "count"):
            box = page.locator(f"#{control}").bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= size[0] and box["height"] >= 18
        assert page.locator("#left svg:visible").first.bounding_box()["width"] > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_reach_everything(open_page: Opener, scheme: str) -> None:
    page = open_page(color_scheme=scheme, fragment="#mode=reverse&step=20")
    colours = page.evaluate(
        """() => ["body", "#left .node.known > :is(path, polygon)", "#next", "#equation", "#left .shows-value"].map((css) => {
             const style = getComputedStyle(document.querySelector(css)); return [style.backgroundColor, style.color, style.fill]; })"""
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (colours[0][0], colours[1][2], colours[0][1], colours[4][2])]
    paper, box, ink, text = light
    grounds, letters = [paper, box], [ink, text]
    assert (min(grounds) > 200 and max(letters) < 90) if scheme == "light" else (max(grounds) < 90 and min(letters) > 180)


def test_reduced_motion(open_page: Opener) -> None:
    page = open_page(reduced_motion="reduce", fragment="#mode=reverse&step=20")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.getAnimations().length") == 0
    seconds = page.evaluate("Array.from(document.querySelectorAll('*'), (one) => parseFloat(getComputedStyle(one).transitionDuration))")
    assert max(seconds) <= 0.01


def test_an_animated_svg_moves_only_for_those_who_want_it(open_page: Opener, tmp_path: Path) -> None:
    path = tmp_path / "sweep.svg"
    trace = cg.evaluate(textbook, *POINT, mode="reverse")
    path.write_text(animated_svg(trace, seconds=60.0), encoding="utf-8")
    visible = """() => Array.from(document.querySelectorAll(".caption")).map((one) => [getComputedStyle(one).visibility, one.textContent])
                            .filter(([seen, text]) => seen === "visible" && text).map(([seen, text]) => text)"""
    moving = open_page(path)
    assert moving.evaluate(visible)[0] == "1/25  x1 = 0.5" and len(moving.evaluate(visible)) == 1
    for at in (1, 13, 25):
        moving.evaluate(f"document.getAnimations().forEach((one) => {{ one.pause(); one.currentTime = {60_000 * (at - 0.5)}; }})")
        assert moving.evaluate(visible)[0].startswith(f"{at}/25  {trace.steps[at - 1].name} ")
    still = open_page(path, reduced_motion="reduce")
    assert still.evaluate("document.getAnimations().length") == 0
    assert still.evaluate(visible)[0].startswith("25/25  ")


def test_without_scripting_the_table_and_the_picture_stand(open_page: Opener, saved: Path) -> None:
    page = open_page(java_script_enabled=False)
    for mode, name in SWEEPS:
        expected = sweep(mode, name)
        for place, node in enumerate(expected.trace.graph.nodes):
            row = page.locator(f'[data-figure="0"] tr[data-node="{place}"]')
            assert row.is_visible()
            derivative = (expected.trace.tangents if mode == "forward" else expected.trace.adjoints)[node]
            kind = "tangent" if mode == "forward" else "adjoint"
            assert row.locator(".value").text_content() == number(expected.trace.values[node])
            assert row.locator(f".{kind}").text_content() == number(derivative)
    assert page.locator("#left svg").first.is_visible() and page.locator(".bar").is_hidden()


def test_printed(open_page: Opener) -> None:
    page = open_page(fragment="#mode=reverse&step=25")
    page.emulate_media(media="print")
    assert page.locator(".bar").is_hidden() and page.locator("#table tbody tr").first.is_visible()


def test_mathml_is_drawn_as_mathematics(open_page: Opener) -> None:
    page = open_page(fragment="#mode=reverse&step=25")
    found = page.evaluate(
        """() => { const math = document.querySelector("#equation math"), over = math.querySelector("mover");
                   const [base, bar] = Array.from(over.children, (one) => one.getBoundingClientRect());
                   const [top, low] = Array.from(math.querySelector("mfrac").children, (one) => one.getBoundingClientRect());
                   return { namespace: math.namespaceURI, wide: math.getBoundingClientRect().width,
                            above: bar.top < base.bottom && bar.top <= base.top + base.height / 2 && bar.width > 0,
                            stacked: top.bottom <= low.top + 1, alttexts: Array.from(document.querySelectorAll("#equation math"),
                            (one) => one.getAttribute("alttext")) }; }"""
    )
    assert found["namespace"] == "http://www.w3.org/1998/Math/MathML" and found["wide"] > 60
    assert found["above"] and found["stacked"]
    assert all(found["alttexts"])


def audit(page: Any) -> list[str]:
    """What axe finds wrong on the page as it is now."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['target']} {node.get('failureSummary', '')}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(320, 640), (1280, 900)])
def test_axe_finds_nothing(open_page: Opener, scheme: str, size: tuple[int, int]) -> None:
    page = open_page(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    assert audit(page) == []
    for fragment in ("mode=forward&step=13", "mode=reverse&step=17&node=v1", "mode=compare&step=30", "mode=derivative&step=9"):
        page.evaluate(f"location.hash = '{fragment}'")
        page.wait_for_timeout(50)
        assert audit(page) == [], fragment
    page.evaluate("location.hash = 'mode=reverse&step=11'")
    page.locator("#quiz").check()
    page.locator("#next").click()
    assert audit(page) == [], "quiz"
    page.locator("#help").click()
    assert audit(page) == [], "keys"


def test_several_in_one_notebook_do_not_disturb_each_other(open_page: Opener, tmp_path: Path) -> None:
    frames = [viz.step(f, *point)._repr_mimebundle_()["text/html"] for f, point in ((textbook, POINT), (lambda a: a * a, (3.0,)))]
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><title>notebook</title>{''.join(frames)}", encoding="utf-8")
    page = open_page(path)
    one, other = page.frame_locator("iframe").first, page.frame_locator("iframe").nth(1)
    one.locator("#last").click()
    assert one.locator("#count").text_content().startswith("25 of 25")
    assert other.locator("#count").text_content().startswith("0 of 5")
    other.locator("#next").click()
    assert other.locator("#count").text_content().startswith("1 of 5")
    assert one.locator("#count").text_content().startswith("25 of 25")


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"& 🎉 " + "x" * 10_000


def unusual() -> dict[str, Callable[[], Any]]:
    def named(value: Any, name: str) -> Any:
        x = cg.variable(value, name=name)
        return np.sin(x) * x

    return {
        "hostile name": lambda: viz.step(named(2.0, HOSTILE)),
        "NaN and infinity": lambda: viz.step(lambda x: np.log(x) / x, 0.0),
        "tiny": lambda: viz.step(lambda x: x * 1e-5, 1e-320),
        "complex": lambda: viz.step(lambda z: z * z, 1 + 2j),
        "empty array": lambda: viz.step(lambda x: np.sum(x * 2.0), np.zeros((0, 3))),
        "large array": lambda: viz.step(lambda x: np.sum(np.tanh(x)), np.linspace(-1, 1, 30_000).reshape(100, 300)),
        "unused input": lambda: viz.step(lambda x, y: x + 1.0, 1.0, 2.0),
        "output is an input": lambda: viz.step(lambda x: x, 1.0),
        "several outputs": lambda: viz.step(lambda x: (x * 2.0, x + 1.0), 1.0),
        "whole numbers": lambda: viz.step(lambda n: n + 1, 3),
        "iterations": lambda: viz.step(lambda p, m: (p - 0.1 * m, 0.9 * m + p), 1.0, 0.0, iterations=3),
    }


@pytest.mark.parametrize("case", list(unusual()))
def test_unusual_subjects_step_from_end_to_end(open_page: Opener, tmp_path: Path, case: str) -> None:
    with np.errstate(all="ignore"):
        stepper = unusual()[case]()
        page = open_page(stepper.save(tmp_path / "page.html"))
    for tab in page.locator("[role=tab]").all():
        tab.click()
        page.locator("#last").click()
        shows = page.evaluate(READ)
        assert shows["slider"] == shows["most"] > 0
        for _ in range(min(shows["most"], 12)):
            page.locator("#back").click()
    assert audit(page) == []


def test_large_arrays_show_the_engines_summary(open_page: Opener, tmp_path: Path) -> None:
    stepper = unusual()["large array"]()
    page = open_page(stepper.save(tmp_path / "page.html"), fragment="#mode=reverse")
    page.locator("#last").click()
    trace = cg.evaluate(stepper.graph, np.linspace(-1, 1, 30_000).reshape(100, 300), mode="reverse")
    rows = {row[0]: (row[1], row[3]) for row in page.evaluate(READ)["rows"]}
    assert rows == {trace.name(node): (shown(trace.values[node]), shown(trace.adjoints[node])) for node in trace.graph.nodes}


def test_a_thousand_nodes_step_without_delay(open_page: Opener, tmp_path: Path) -> None:
    def chain(x: Any) -> Any:
        for place in range(500):
            with cg.scope(f"block{place // 50}"):
                x = np.sin(x) + 0.1
        return x

    page = open_page(viz.step(chain, 0.5).save(tmp_path / "page.html"), fragment="#mode=reverse&step=1500")
    taken = page.evaluate(
        """() => { const next = document.querySelector("#next"), began = performance.now();
                   for (let k = 0; k < 40; k++) next.click();
                   document.body.getBoundingClientRect();
                   return (performance.now() - began) / 40; }"""
    )
    assert page.evaluate(READ)["slider"] == 1540
    assert taken < 100, f"{taken:.0f} ms a step"


def test_the_page_asks_for_nothing_and_forbids_it(saved: Path) -> None:
    text = saved.read_text(encoding="utf-8")
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1])  # type: ignore[index]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert not re.search(r'(src|href)="?https?:', text)
