"""Both sweeps of the lecture's and the survey's function as pages to step through, from disk, without a network.

What to notice: the table beside the graph fills up node by node, downward in the forward sweep and upward in the reverse
sweep, where a node waits until all its children have handed back their terms. The tab "Compare" counts passes: forward
mode takes one for each input, reverse mode one for both. A link such as textbook.html#mode=reverse&step=15 leads to a moment.

Give a folder to keep the pages: `python examples/step_textbook.py pages`.

Prints::

    wrote textbook.html, which shows x1_bar = 3.473082
    wrote survey.html, which shows x1_bar = 5.5
    the page asks a network for nothing: True
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import viz


def textbook(x1, x2):
    """(exp(x1/x2) + x1/x2)(x1/x2 - ln x2)"""
    ratio = x1 / x2
    return (np.exp(ratio) + ratio) * (ratio - np.log(x2))


def survey(x1, x2):
    """The example of Baydin, Pearlmutter, Radul, Siskind (2018), tables 2 and 3."""
    return np.log(x1) + x1 * x2 - np.sin(x2)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    steppers = {"textbook": viz.step(textbook, x1=0.5, x2=1.0), "survey": viz.step(survey, x1=2.0, x2=5.0)}
    for name, stepper in steppers.items():
        page = stepper.save(folder / f"{name}.html")
        last = next(step for step in reversed(list(stepper)) if step.name == "x1_bar")
        print(f"wrote {page.name}, which shows {last.name} = {last.value:.7g}")
    text = page.read_text(encoding="utf-8")
    print("the page asks a network for nothing:", not any(word in text for word in ("src=", "href=", "url(", "@import", "fetch(")))
