"""The stepper in a terminal: the evaluation trace with the current row lit, and a line for commands.

    >>> import io, numpy as np, compgraph as cg
    >>> trace = cg.evaluate(cg.parse("log(x1) * x2"), 2.0, 5.0, mode="reverse")
    >>> step_in_terminal(trace, io.StringIO("6\\nquit\\n"), shown := io.StringIO(), width=60)
    >>> print(shown.getvalue().split("h for help\\n> ")[1].removesuffix("\\n> "))
    <BLANKLINE>
    f, reverse from v2: step 6 of 8, adjoints
    <BLANKLINE>
     node  operation  value      adjoint
     ----  ---------  ---------  ---------
     x1               2          –
     x2               5          –
    >v1    log(x1)    0.6931472  5
     v2    v1 * x2    3.465736   1
    <BLANKLINE>
    v1_bar = v2_bar * x2
      = 1 * 5
      = 5
      log(x1)

Commands are lines, so they work in every terminal, over every connection and from a file. Colour is used where the output is
a terminal and `NO_COLOR` is not set (no-color.org); the current row also has an arrow, since colour may not be seen.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable
from typing import NamedTuple, Protocol, TextIO

import numpy as np

import compgraph as cg
from compgraph.evaluation import NOT_COMPUTED
from compgraph.literals import number
from viz.diagram import printable
from viz.step_frames import Frames, Sweep, Sweeps, Track, frames_of

HELP = """Commands, each a line:
  (empty line), n, next    one step on
  b, back                  one step back
  f, first    l, last      the first step, the last
  N, jump N                to step number N
  jump NAME                to the next step that computes a node, such as jump v3
  m, mode                  the next sweep
  mode NAME                a sweep by name, such as mode forward, or mode forward x2
  h, help    q, quit"""

_NARROWEST = 20
_WIDEST_RULE = 44
_REVERSED, _BOLD, _PLAIN = "\x1b[7m", "\x1b[1m", "\x1b[0m"
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


class Stepped(Protocol):
    """What is stepped through; a `Stepper` is one."""

    @property
    def frames(self) -> Frames: ...

    mode: str


def step_in_terminal(
    subject: Stepped | cg.EvaluationTrace,
    input: TextIO | None = None,
    output: TextIO | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
) -> None:
    """Show the first step and do what the lines of `input` say until `quit` or the end of it.

    `subject` is a stepper, or an evaluation trace, whose own sweep is shown. `input` and `output` are those of the
    program; `width` and `height` are in characters and lines, by default the terminal's. Where the output is no terminal
    every step is printed below the one before it.
    """
    input, output = input or sys.stdin, output or sys.stdout
    terminal = output.isatty() and os.environ.get("TERM") != "dumb"
    coloured = terminal and not os.environ.get("NO_COLOR")
    view = View(*frames_and_sweep(subject), 0)
    message = "h for help"
    while True:
        size = shutil.get_terminal_size()
        columns, lines = max(_NARROWEST, width or size.columns), height or (size.lines if terminal else 10**6)
        shown = frame(view, columns, lines - 2 - message.count("\n"), coloured)
        _write(output, (_CLEAR if terminal else "\n") + shown + "\n" + "".join(f"{line}\n" for line in message.splitlines()) + "> ")
        try:
            line = input.readline()
        except KeyboardInterrupt:
            line = ""
        if not line:
            _write(output, "\n")
            return
        words = line.split()
        if words and words[0].lower() in ("q", "quit", "exit"):
            return
        view, message = obey(view, words)


def frames_and_sweep(subject: Stepped | cg.EvaluationTrace) -> tuple[Frames, int]:
    """The frames of a stepper, or of an evaluation trace, and the place of the sweep that it shows first."""
    if not isinstance(subject, cg.EvaluationTrace):
        tracks = subject.frames.tracks
        return subject.frames, next((place for place, track in enumerate(tracks) if track.mode == subject.mode), len(tracks) - 1)
    graph = subject.graph
    missing = [graph.names[node] for node in graph.nodes if node not in subject.values]
    if missing:
        raise cg.InputError(f"the evaluation trace has no value for {printable(', '.join(missing), 60)}: it comes from cg.evaluate")
    seeded = [graph.names[node] for node, value in subject.seeds.items() if np.any(value)]
    return frames_of(Sweeps(graph, (Sweep(subject.mode, ", ".join(seeded) or "values", (subject,)),), (), 0, 0)), 0


class View(NamedTuple):
    """Which step of which sweep is shown."""

    frames: Frames
    sweep: int
    step: int

    @property
    def track(self) -> Track:
        return self.frames.tracks[self.sweep]

    @property
    def steps(self) -> list[cg.Step]:
        return [self.frames.steps[place] for place in self.track.steps]


# ----------------------------------------------------------------------------------------- commands


def obey(view: View, words: list[str]) -> tuple[View, str]:
    """The view after a command, and what is to be said about it."""
    command, rest = (words[0].lower(), " ".join(words[1:])) if words else ("next", "")
    last = len(view.track.steps) - 1
    if _counts(command) and not rest:
        command, rest = "jump", command
    moves: dict[str, Callable[[], int]] = {
        "next": lambda: view.step + 1, "back": lambda: view.step - 1, "first": lambda: 0, "last": lambda: last,
    }  # fmt: skip
    short = {"n": "next", "b": "back", "p": "back", "previous": "back", "f": "first", "l": "last", "j": "jump", "m": "mode", "?": "help"}
    command = short.get(command, command)
    if command in moves and not rest:
        wanted = moves[command]()
        at = min(max(wanted, 0), last)
        return view._replace(step=at), "" if at == wanted else f"this is the {'last' if wanted > last else 'first'} step"
    if command == "jump":
        return _jumped(view, rest)
    if command == "mode":
        return _changed(view, rest)
    if command in ("help", "h"):
        return view, HELP
    return view, f"{printable(' '.join(words), 40)}: no such command; h for help"


def _jumped(view: View, wanted: str) -> tuple[View, str]:
    count = len(view.track.steps)
    if _counts(wanted):
        place = int(wanted[:12])
        if not 1 <= place <= count:
            return view, f"there is no step {printable(wanted, 20)}: they are numbered 1 to {count}"
        return view._replace(step=place - 1), ""
    names = view.frames.graph.names
    steps = view.steps
    for place in [*range(view.step + 1, count), *range(view.step + 1)]:
        if wanted in (steps[place].name, names[steps[place].node]):
            return view._replace(step=place), ""
    return view, f"no step computes {printable(wanted, 20)!r}: jump takes a number from 1 to {count} or the name of a node"


def _counts(word: str) -> bool:
    return bool(re.fullmatch(r"[+-]?[0-9]+", word))


def _changed(view: View, wanted: str) -> tuple[View, str]:
    tracks = view.frames.tracks
    if not wanted:
        return view._replace(sweep=(view.sweep + 1) % len(tracks), step=0), "" if len(tracks) > 1 else "this is the only sweep"
    for place in [*range(view.sweep + 1, len(tracks)), *range(view.sweep + 1)]:
        if wanted in (tracks[place].mode, tracks[place].name, f"{tracks[place].mode} {tracks[place].name}"):
            return view._replace(sweep=place, step=0), ""
    known = "; ".join(f"{track.mode} {track.name}" for track in tracks[:12])
    return view, f"no sweep {printable(wanted, 20)!r}: there is {printable(known, 120)}"


# -------------------------------------------------------------------------------------------- frame


def frame(view: View, width: int, height: int, coloured: bool = False) -> str:
    """The view as text of at most `width` columns and, as far as it goes, `height` lines."""
    track, steps = view.track, view.steps
    step = steps[view.step]
    phase = [what for begin, what in track.phases if begin <= view.step][-1]
    graph = view.frames.graph
    title = f"{graph.name}, {track.mode} {'from' if track.mode == 'reverse' else 'of'} {track.name}: "
    counter = f"step {view.step + 1} of {len(steps)}, {phase}"
    head = [fitted(printable(title), width - len(counter)) + counter if width > len(counter) + 8 else fitted(counter, width)]
    foot = _equation(step, width)
    rows = _rows(view, width)
    lit = 2 + list(graph.nodes).index(step.node)
    head += ["", rows[0].rstrip(), rows[1]]
    room = max(3, height - len(head) - len(foot) - 1)
    begin = min(max(0, lit - 2 - room // 2), max(0, len(rows) - 2 - room))
    lines = [*head]
    for place in range(begin + 2, min(len(rows), begin + 2 + room)):
        line = (">" if place == lit else " ") + rows[place][1:]
        lines.append(f"{_REVERSED}{line}{_PLAIN}" if coloured and place == lit else line.rstrip())
    foot[0] = f"{_BOLD}{foot[0]}{_PLAIN}" if coloured else foot[0]
    return "\n".join([*lines, "", *foot])


def _equation(step: cg.Step, width: int) -> list[str]:
    """The rule, the rule with its numbers, the sum, and where the node was made."""
    value = number(step.value)
    if step.before is None:
        first = f"{step.name} = {step.rule or value}"
    else:
        first = f"{step.name} += {step.rule.removeprefix(f'{step.name} + ')}"
    lines = [first]
    if step.numbers not in ("", step.rule):
        lines.append(f"  = {step.numbers}")
    if step.rule not in ("", value):
        lines.append(f"  = {value}")
    lines.append(f"  {step.source}" if step.source else "")
    return [fitted(printable(line, 2 * width), width) for line in lines if line]


def _rows(view: View, width: int) -> list[str]:
    """The table with what has been computed so far: two lines of head, then a line a node."""
    kind = {"forward": "tangent", "reverse": "adjoint"}.get(view.track.mode, "")
    heads = ["node", "operation", "value", *([kind] if kind else [])]
    for digits in (7, 5, 4, 3):  # fewer digits are still the number, which a number that is cut is not
        cells, widest = _cells(view, digits, bool(kind))
        wanted = [max(columns_of(head), wide) for head, wide in zip(heads, widest, strict=True)]
        widths = _widths(wanted, width - 1)
        if widths[2:] == wanted[2:]:
            break
    ruler = ["-" * wide for wide in widths]
    return [
        " " + "  ".join(padded(fitted(cell, wide), wide) for cell, wide in zip(row, widths, strict=True) if wide)
        for row in (heads, ruler, *cells)
    ]


def _cells(view: View, digits: int, derived: bool) -> tuple[list[list[str]], list[int]]:
    """A row a node, and how wide each column is at the last step, so that the table stands still while it fills."""
    graph = view.frames.graph
    rows = {node: [printable(graph.names[node], 60), "", NOT_COMPUTED, *([NOT_COMPUTED] if derived else [])] for node in graph.nodes}
    widest = [max(columns_of(row[0]) for row in rows.values()), 0, 1, *([1] if derived else [])]
    for place, step in enumerate(view.steps):
        row, column = rows[step.node], 2 if step.phase == "primal" else 3
        text = printable(number(step.value, digits), 60)
        widest[column] = max(widest[column], columns_of(text))
        if column == 2:
            row[1] = printable(step.rule)
            widest[1] = max(widest[1], columns_of(row[1]))
        if place <= view.step:
            row[column] = text
    return list(rows.values()), widest


def _widths(wanted: list[int], width: int) -> list[int]:
    """Widths of the columns that fit: operations give way first, then whatever is widest."""
    widths = [*wanted]
    widths[1] = min(widths[1], _WIDEST_RULE)

    def excess() -> int:
        kept = [wide for wide in widths if wide]
        return sum(kept) + 2 * (len(kept) - 1) - width

    if excess() > 0:
        widths[1] = max(9, widths[1] - excess())
    if excess() > 0:
        widths[1] = 0
    while excess() > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] = max(1, widths[widest] - 1)
    return widths


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: ideographs and emoji take two, combining marks none.

    >>> columns_of("v1"), columns_of("値"), columns_of("e\\u0301")
    (2, 2, 1)
    """
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def fitted(text: str, width: int) -> str:
    """`text`, cut where it is wider than `width` columns.

    >>> fitted("reverse", 5), fitted("値値値", 4)
    ('reve…', '値…')
    """
    if columns_of(text) <= width:
        return text
    while text and columns_of(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def padded(text: str, width: int) -> str:
    return text + " " * (width - columns_of(text))


def _write(output: TextIO, text: str) -> None:
    """Written as far as the output has the letters: a dash and an ellipsis have others to stand for them."""
    encoding = getattr(output, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.replace(NOT_COMPUTED, "-").replace("…", "~")
        text = plain.encode(encoding, "backslashreplace").decode(encoding)
    output.write(text)
    output.flush()
