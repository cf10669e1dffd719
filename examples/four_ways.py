"""Four ways to differentiate one function: by differences, by formulas, by forward and by reverse mode.

Put your own function in the place of `f`, and name a folder for the pictures. Notice: a difference loses digits at its best step
too, the complex step loses none; formulas that are written out take more operations than the sweeps; forward mode pays for
each input, reverse mode for each output.

Prints::

    by difference    8 passes
    by formulas      1 passes
    by forward mode  1 passes
    by reverse mode  1 passes
    a difference loses digits at its best step too: True; the complex step: False
    reverse mode takes at most 4 times the operations of f: True
    Use reverse mode
    wrote ways.svg, modes.svg, steps.svg
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import compgraph as cg
import viz


def f(x1, x2, x3, x4):
    """A logistic unit of a logistic unit."""
    hidden = 1 / (1 + np.exp(-(x1 * x3 + x2 * x4)))
    return 1 / (1 + np.exp(-(x1 * hidden + x2 * hidden**2)))


POINT = (0.5, -1.2, 2.0, 0.7)
WAYS = {"difference": "central difference", "formulas": "symbolic", "forward mode": "vector forward", "reverse mode": "vector reverse"}


def main(folder: Path) -> None:
    found = cg.compare(f, *POINT)
    for name, way in WAYS.items():
        print(f"by {name:12} {found[way].passes:2} passes, {found[way].operations:4} operations, error {found[way].error:.0e}")

    steps = viz.step_sizes(f, *POINT)
    least = [steps.best(way)[1] > 1e-15 for way in ("central difference", "complex step")]
    print(f"a difference loses digits at its best step too: {least[0]}; the complex step: {least[1]}")
    times = found["reverse"].operations / cg.cost(f, *POINT).operations
    print(f"reverse mode takes at most 4 times the operations of f: {times <= 4}")
    print(found.advice)
    pictures = {"ways": viz.ways(found), "modes": viz.mode_map(f, *POINT), "steps": steps}
    print("wrote", ", ".join(picture.save(folder / f"{name}.svg").name for name, picture in pictures.items()), "to", folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if sys.argv[1:] else temporary))
