"""A whole script, from its start to its end: read the handwritten digits, train a 64-64-10 network, print its accuracy.

    python benchmarks/digits.py [--store] [--data digits.csv.gz] [--rounds N]

`scripts/digits_compgraph.py` and `scripts/digits_pytorch.py` are what is run, each in a process of its own, in turns: the same
file, read in the same way, the same network, batches, optimizer and number of epochs. Both have to reach 97 % of the examples held
out. The file is scikit-learn's, which itself is not imported: that takes longer than the training.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from common import Timing, machine, publish, table, versions_of, when

import compgraph as cg

HERE = Path(__file__).parent
EPOCHS, WANTED = 12, 0.97
# Name -> script, package, and the number of threads of its matrix products where it is not left to the library.
SCRIPTS = {
    "compgraph": ("digits_compgraph.py", None, None),
    "PyTorch": ("digits_pytorch.py", "torch", None),
    "PyTorch, 1 thread": ("digits_pytorch.py", "torch", 1),
}


def data_file() -> Path | None:
    """The digits that scikit-learn brings along, found without importing it."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return path if path.exists() else None


def run(script: str, data: Path, threads: int | None, epochs: int = EPOCHS) -> tuple[float, float]:
    """Seconds from the start of the process to its end, and the accuracy that it printed."""
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
    command = [sys.executable, str(HERE / "scripts" / script), str(data), str(epochs)]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, float(done.stdout)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--store", action="store_true", help="put the table into README.md")
    arguments.add_argument("--data", type=Path, default=data_file(), help="digits.csv.gz, by default that of an installed scikit-learn")
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    if options.data is None or not options.data.exists():
        arguments.error("pip install scikit-learn, which brings the digits, or say --data digits.csv.gz")
    installed, absent = versions_of(["torch"])
    chosen = {name: row for name, row in SCRIPTS.items() if row[1] is None or row[1] in installed}
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    reached: dict[str, float] = {}
    for number in range(options.rounds + 1):  # the first time, files come from the disk
        for name, (script, _, threads) in chosen.items():
            took, reached[name] = run(script, options.data, threads)
            if reached[name] < WANTED:
                raise SystemExit(f"{name} reached {reached[name]:.4f}, not {WANTED}: the comparison means nothing")
            if number:
                seconds[name].append(took)
    timings = {name: Timing.of(found) for name, found in seconds.items()}
    first = timings["compgraph"].median
    rows = [
        [name, f"{one.median:.2f} ({one.low:.2f} to {one.high:.2f})", f"{one.median / first:.1f}", f"{reached[name]:.4f}"]
        for name, one in timings.items()
    ]
    versions = ", ".join(f"{package} {number}" for package, number in {"compgraph": cg.__version__, **installed}.items())
    lines = [table(["", "seconds, imports included", "over compgraph", "held-out accuracy"], rows), ""]
    lines += [f"{EPOCHS} epochs; medians of {options.rounds} rounds. {versions}. {machine()}. {when()}."]
    lines += [f"Not installed and left out: {', '.join(absent)}."] if absent else []
    publish("digits", "\n".join(lines), store=options.store)


if __name__ == "__main__":
    main()
