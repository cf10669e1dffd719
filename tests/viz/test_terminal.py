"""The stepper in a terminal, driven by scripted input: what it shows are the engine's numbers, at every width."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest

import compgraph as cg
from compgraph.literals import number
from viz.step_frames import frames_of, sweeps
from viz.terminal import View, columns_of, fitted, frame, obey, step_in_terminal


def survey(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


class Terminal(io.StringIO):
    """An output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(commands: str, *, mode: str = "reverse", width: int = 80, output: io.StringIO | None = None, **options: Any) -> str:
    output = output or io.StringIO()
    step_in_terminal(cg.evaluate(survey, 2.0, 5.0, mode=mode), io.StringIO(commands), output, width=width, **options)
    return output.getvalue()


def views(commands: str, **options: Any) -> list[str]:
    """What was shown before each line of input was read."""
    return re.split(r"\n> ", shown(commands, **options))[:-1]


def position(view: str) -> int:
    return int(re.search(r"step (\d+) of 16", view)[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("commands", "positions"),
    [
        ("\n\n\n", [1, 2, 3, 4]),
        ("n\nnext\nb\nback\n", [1, 2, 3, 2, 1]),
        ("l\nnext\nf\nback\n", [1, 16, 16, 1, 1]),
        ("last\nfirst\n9\n3\n", [1, 16, 1, 9, 3]),
        ("jump 9\nj 2\nJUMP 1\n", [1, 9, 2, 1]),
        ("0\n17\n-1\n99999999999999999999\n", [1, 1, 1, 1, 1]),
        ("jump v5\njump x1_bar\njump x1\njump x1\n", [1, 7, 14, 16, 1]),
        ("jump nowhere\njump\nwhat is this\n\x1b[A\n", [1, 1, 1, 1, 1]),
        ("h\nhelp\n?\nh\n", [1, 1, 1, 1, 1]),
        ("mode\nmode forward\nm reverse\n", [1, 1, 1, 1]),
        ("next\nq\nnext\n", [1, 2]),
        ("next\nquit", [1, 2]),
        ("", [1]),
    ],
)
def test_commands(commands: str, positions: list[int]) -> None:
    text = shown(commands)
    assert [int(found) for found in re.findall(r"step (\d+) of 16", text)] == positions


def test_what_cannot_be_done_is_said() -> None:
    said = shown("back\nlast\nnext\n17\njump nowhere\nmode\nmode forward\nsing\n")
    for message in (
        "this is the first step", "this is the last step", "there is no step 17: they are numbered 1 to 16",
        "no step computes 'nowhere'", "this is the only sweep", "no sweep 'forward': there is reverse v5",
        "sing: no such command; h for help",
    ):  # fmt: skip
        assert message in said


def test_every_number_that_is_shown_is_the_engines() -> None:
    """At every step the table holds exactly what has been computed by then, and dashes where nothing has."""
    trace = cg.evaluate(survey, 2.0, 5.0, mode="reverse")
    for place, (step, view) in enumerate(zip(trace.steps, views("\n" * 15), strict=True)):
        rows = [re.split(r"  +", line[1:].strip()) for line in view.split("\n\n")[1].splitlines()[2:]]
        assert [row[0] for row in rows] == [trace.name(node) for node in trace.graph.nodes]
        for node, row in zip(trace.graph.nodes, rows, strict=True):
            computed = {"primal": "–", "adjoint": "–"}
            for one in trace.steps[: place + 1]:
                if one.node is node:
                    computed[one.phase] = number(one.value)
            assert row[-2:] == list(computed.values())
        lit = [line for line in view.splitlines() if line.startswith(">")]
        assert len(lit) == 1 and lit[0][1:].split()[0] == trace.name(step.node)


def test_the_equation_has_its_lines() -> None:
    last = views("last\n")[-1]
    assert "x1_bar += v1_bar * (1 / x1)\n  = 5 + 1 * (1 / 2)\n  = 5.5\n" in last
    assert "  test_terminal.py:19: return np.log(x1) + x1 * x2 - np.sin(x2)" in views("jump v2\n")[-1]


@pytest.mark.parametrize("width", [1, 20, 24, 31, 40, 57, 80, 200])
@pytest.mark.parametrize("mode", ["primal", "forward", "reverse"])
def test_no_line_is_wider_than_the_terminal(width: int, mode: str) -> None:
    text = shown("\n" * 16, mode=mode, width=width)
    longest = max(columns_of(line) for line in text.splitlines() if "step" not in line or "there" not in line)
    assert longest <= max(20, width, columns_of("this is the last step"))


def test_numbers_lose_digits_before_they_are_cut() -> None:
    view = frames_of(sweeps(cg.parse("x * 1e-7"), [1.23456789]))
    text = frame(View(view, 1, len(view.tracks[1].steps) - 1), 24, 99)
    assert "1.23e-07" in text and not re.search(r"\d…", text)


def test_rows_scroll_with_the_step_when_there_are_more_than_lines() -> None:
    def chain(x: Any) -> Any:
        for _ in range(200):
            x = np.sin(x)
        return x

    output = io.StringIO()
    step_in_terminal(cg.evaluate(chain, 1.0), io.StringIO("100\nlast\nfirst\n"), output, width=80, height=24)
    for view, name in zip(output.getvalue().split("\n> ")[:-1], ("x", "v99", "v200", "x"), strict=True):
        lines = view.strip().splitlines()
        assert len(lines) <= 24
        assert [line.split()[0] for line in lines if line.startswith(">")] == [f">{name}"]


def test_colour_only_in_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b" not in shown("\n\n")
    coloured = shown("\n\n", output=Terminal(), height=40)
    assert coloured.count("\x1b[7m") == 3 and coloured.count("\x1b[2J") == 3
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown("\n\n", output=Terminal(), height=40)
    assert "\x1b[7m" not in plain and "\x1b[1m" not in plain
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown("\n\n", output=Terminal(), height=40)


def test_the_sweeps_of_a_stepper() -> None:
    class Stepped:
        mode = "forward"
        frames = frames_of(sweeps(cg.trace(survey, 2.0, 5.0), [2.0, 5.0]))

    output = io.StringIO()
    step_in_terminal(Stepped(), io.StringIO("mode\nmode reverse\nmode forward x2\nmode x1\nmode\nmode\nmode\n"), output, width=80)
    titles = [line.split(":")[0] for line in output.getvalue().splitlines() if ": step 1 of" in line]
    forward, reverse = ["survey, forward of x1", "survey, forward of x2"], "survey, reverse from v5"
    assert titles == [*forward, reverse, forward[1], *forward, reverse, forward[0]]


def test_hostile_names_cannot_move_the_cursor() -> None:
    x = cg.variable(1.0, name="\x1b[2J\r\n</script>" + "x" * 10_000)
    output = io.StringIO()
    step_in_terminal(cg.evaluate(cg.graph_of(np.sin(x)), 1.0), io.StringIO("\n\x1b]0;title\x07\n"), output, width=60)
    assert not set(output.getvalue()) & {"\x1b", "\r", "\x07"}
    assert max(map(len, output.getvalue().splitlines())) <= 70


def test_wide_letters_are_counted() -> None:
    assert columns_of("値段x") == 5 and columns_of("🎉") == 2
    assert fitted("値段です", 5) == "値段…" and columns_of(fitted("値段です", 4)) <= 4


def test_an_output_without_the_letters_gets_others() -> None:
    class Ascii(io.TextIOWrapper):
        pass

    raw = io.BytesIO()
    output = Ascii(raw, encoding="ascii", write_through=True)
    step_in_terminal(cg.evaluate(survey, 2.0, 5.0, mode="forward"), io.StringIO("last\n"), output, width=22)
    assert b" v5    -" in raw.getvalue()


def test_an_interrupt_ends_it_quietly() -> None:
    class Interrupted(io.StringIO):
        def readline(self, *_: Any) -> str:
            raise KeyboardInterrupt

    output = io.StringIO()
    step_in_terminal(cg.evaluate(survey, 2.0, 5.0), Interrupted(), output)
    assert output.getvalue().endswith("> \n")


def test_bad_numbers_and_empty_graphs() -> None:
    with np.errstate(all="ignore"):
        traces = [cg.evaluate(f, x) for f, x in ((lambda x: x * np.nan / 0.0, 1e-320), (lambda x: x, 1 + 2j), (lambda x: 3.0 + 0 * x, 1.0))]
    traces.append(cg.evaluate(lambda x: np.sum(x), np.zeros((0, 3)), mode="reverse"))
    for trace in traces:
        output = io.StringIO()
        step_in_terminal(trace, io.StringIO("\n" * 9), output, width=60)
        assert output.getvalue().count("\n> ") == 10


def test_obey_never_raises() -> None:
    view = View(frames_of(sweeps(cg.trace(survey, 2.0, 5.0), [2.0, 5.0])), 0, 0)
    for words in ([], ["jump", "+-+"], ["+-"], ["²"], ["jump", "²"], ["mode", "x" * 9999], ["\x00"], ["next", "next"], ["jump", "5", "4"]):
        following, message = obey(view, words)
        assert following.frames is view.frames and len(message) < 700
