"""The command line: `compgraph trace|draw|step|check|compare|explain|source|race|train|doctor|demo`, also as `python -m compgraph`.

Bad input gets one line on standard error and exit code 2; `check` ends with 1 where derivatives disagree.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import compgraph as cg

TEXTBOOK = "(exp(x1/x2) + x1/x2) * (x1/x2 - ln(x2))"

_EPILOG = f"""examples:
  compgraph trace "{TEXTBOOK}" x1=0.5 x2=1 --mode reverse
  compgraph draw "ln(x1) + x1*x2 - sin(x2)" x1=2 x2=5 --mode reverse --partials -o survey.svg
  compgraph step "{TEXTBOOK}" x1=0.5 x2=1 -o step.html --open
  compgraph check "x**2 * exp(-x)" x=1.5
  compgraph compare "{TEXTBOOK}" x1=0.5 x2=1
  compgraph explain "sqrt(x**2 + y**2)" x=0 y=0
  compgraph source "sin(x) * x" --mode reverse
  compgraph race "x**2 + 10*y**2" x=-3 y=1 --optimizers sgd,momentum,adam -o race.html
  compgraph train digits --model mlp --optimizer adam
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        code: int = options.run(options)
        return code
    except (cg.CompgraphError, OSError) as error:
        said = re.sub(r" \([^()\s]+( \w+>)?:\d+\)", "", " ".join(str(error).split()))  # lines of Python that the user did not write
        print(f"compgraph: {said}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compgraph", description="Computation graphs, step by step, in forward and reverse mode.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"compgraph {cg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Any, help: str, *, values: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        if values:
            sub.add_argument("expression", metavar="EXPR", help='such as "x1 * sin(x2)"; subexpressions written twice are shared')
            sub.add_argument("values", metavar="NAME=VALUE", nargs=values, help="one for each input, such as x1=0.5 or x2=pi/4")
        return sub

    trace = command("trace", _trace, "print the evaluation trace, a row a node", values="*")
    _sweep_options(trace)
    trace.add_argument("--format", choices=["text", "html", "latex"], default="text")
    trace.add_argument("--no-numbers", action="store_true", help="leave out the formulas with their numbers")

    draw = command("draw", _draw, "draw the graph with its values", values="*")
    _sweep_options(draw)
    draw.add_argument("-o", "--output", required=True, metavar="FILE", help="FILE.svg, .png, .pdf or .dot")
    draw.add_argument("--theme", choices=["auto", "light", "dark"], default="light")
    draw.add_argument("--direction", choices=["LR", "TB"], default="LR", help="from left to right, or from top to bottom")
    draw.add_argument("--partials", action="store_true", help="write the local partial on each edge")
    draw.add_argument("--force", action="store_true", help="draw more than 2,000 nodes")

    step = command("step", _step, "step through both sweeps, in a page or in the terminal", values="*")
    step.add_argument("--mode", choices=["forward", "reverse", "compare", "derivative"], help="what is shown first")
    step.add_argument("-o", "--output", metavar="FILE", help="FILE.html, or .svg, .gif, .png, .tex (default: step.html)")
    step.add_argument("--open", action="store_true", help="show it in the browser")
    step.add_argument("--terminal", action="store_true", help="step here, by keys, and write no file")

    command("check", _check, "compare forward mode, reverse mode, SymPy and differences, node by node", values="*")

    compare = command("compare", _compare, "differentiate in eight ways: operations, memory, time, errors, and which to use", values="*")
    compare.add_argument("--json", action="store_true", help="as JSON")
    compare.add_argument("--plot", metavar="FILE", help="FILE.svg, .png or .pdf with the same as bars")

    explain = command("explain", _explain, "say what is special at a point: kinks, NaNs, lost digits, stable forms", values="*")
    explain.add_argument("--json", action="store_true", help="as JSON")
    explain.add_argument("-o", "--output", metavar="FILE", help="draw the graph with the way marked: FILE.svg, .png, .pdf or .dot")

    source = command("source", _source, "print the graph, or its derivative, as a Python program")
    source.add_argument("expression", metavar="EXPR")
    source.add_argument("--mode", choices=["primal", "forward", "reverse"], default="primal")

    race = command("race", _race, "run optimizers side by side on a function of two variables")
    race.add_argument("landscape", metavar="EXPR", nargs="?", default="rosenbrock", help="an expression, or rosenbrock, beale, ...")
    race.add_argument("values", metavar="NAME=VALUE", nargs="*", help="the start, such as x=-1 y=2")
    race.add_argument("--optimizers", metavar="NAMES", help="such as sgd,momentum,adam; eight at most")
    race.add_argument("--budget", type=int, default=200, metavar="N", help="gradient evaluations for each (default: %(default)s)")
    race.add_argument("--lr", default="tuned", metavar="R", help="one learning rate for all, or sgd=0.01,adam=0.1; the others are tuned")
    race.add_argument("-o", "--output", default="race.html", metavar="FILE", help="FILE.html, .png, .svg or .gif (default: %(default)s)")
    race.add_argument("--open", action="store_true", help="show it in the browser")

    train = command("train", _train, "train a small model on a data set or a table, and measure it on held-out examples")
    train.add_argument("subject", metavar="DATA", help="digits, breast_cancer, wine, diabetes, moons, circles, spirals, xor, or FILE.csv")
    train.add_argument("--target", metavar="COLUMN", help="of a table: what to predict (default: y)")
    train.add_argument("--task", choices=["classification", "regression"], help="by default found from the target")
    train.add_argument("--model", choices=["mlp", "linear", "cnn"], default="mlp")
    train.add_argument("--hidden", type=int, nargs="+", default=[64], metavar="N", help="widths of an MLP's hidden layers (default: 64)")
    train.add_argument("--optimizer", default="adam", metavar="NAME", help="sgd, adam, adamw, rmsprop, ... (default: %(default)s)")
    train.add_argument("--lr", type=float, metavar="R", help="learning rate (default: the optimizer's own)")
    train.add_argument("--epochs", type=int, default=30, metavar="N", help="passes over the data (default: %(default)s)")
    train.add_argument("--batch-size", type=int, metavar="N", help="examples in a step (default: 32)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default: %(default)s)")
    train.add_argument("--checkpoint", metavar="FOLDER", help="save the run there, and go on from there if it was cut off")
    train.add_argument("--plot", metavar="FILE", help="FILE.png, .svg or .pdf with the curves")
    train.add_argument("--log", metavar="FILE", help="FILE.jsonl with a line for each epoch")

    command("doctor", _doctor, "say what is installed, what is missing and how to get it")
    demo = command("demo", _demo, "run the textbook example through everything")
    demo.add_argument("-o", "--output", metavar="FOLDER", default="compgraph-demo", help="where the pictures go")
    return parser


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=["primal", "forward", "reverse"], default="primal")
    parser.add_argument("--seed", metavar="NAME", help="forward mode: the input whose tangent is 1; by default the first")


def _graph_and_values(options: argparse.Namespace) -> tuple[cg.Graph, dict[str, float]]:
    values = _values(options.values)
    return cg.parse(options.expression), values


def _values(assignments: Sequence[str]) -> dict[str, float]:
    values: dict[str, float] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise cg.InputError(f"{assignment!r} is not NAME=VALUE, such as x1=0.5 (put the expression in quotes)")
        if name in values:
            raise cg.InputError(f"{name} is given twice")
        graph = cg.parse(text)
        if graph.inputs:
            raise cg.InputError(f"{assignment!r}: a value is a number such as 0.5, 1e-3 or pi/4")
        values[name] = graph()
    return values


def _evaluated(options: argparse.Namespace) -> cg.EvaluationTrace:
    graph, values = _graph_and_values(options)
    if options.seed and options.mode != "forward":
        raise cg.InputError("--seed goes with --mode forward; in reverse mode the output's adjoint is 1")
    ordered = graph.arguments([], values)
    return cg.evaluate(graph, *ordered, mode=options.mode, seed=options.seed)


def _trace(options: argparse.Namespace) -> int:
    table = _evaluated(options).table(numbers=not options.no_numbers)
    print({"text": str(table), "html": table.to_html(), "latex": table.to_latex()}[options.format])
    return 0


def _draw(options: argparse.Namespace) -> int:
    viz = import_module("viz")
    graph, _ = _graph_and_values(options)
    target = _evaluated(options) if options.values or options.mode != "primal" or not graph.inputs else graph
    drawing = viz.draw(target, theme=options.theme, direction=options.direction, partials=options.partials, force=options.force)
    print(f"wrote {drawing.save(options.output)}")
    return 0


def _step(options: argparse.Namespace) -> int:
    graph, values = _graph_and_values(options)
    stepper = import_module("viz").step(graph, *graph.arguments([], values), mode=options.mode)
    if options.terminal:
        if options.output or options.open:
            raise cg.InputError("--terminal writes no file: leave --output and --open out")
        import_module("viz.terminal").step_in_terminal(stepper)
        return 0
    path = stepper.save(options.output or "step.html")
    print(f"wrote {path}")
    if options.open:
        import_module("webbrowser").open(path.resolve().as_uri())
    return 0


def _check(options: argparse.Namespace) -> int:
    graph, values = _graph_and_values(options)
    report = cg.check(graph, *graph.arguments([], values))
    print(report)
    return 0 if report.ok else 1


def _compare(options: argparse.Namespace) -> int:
    graph, values = _graph_and_values(options)
    found = cg.compare(graph, *graph.arguments([], values))
    print(found.to_json() if options.json else found)
    if options.plot:
        path = import_module("viz").ways(found).save(options.plot)
        print(f"wrote {path}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _explain(options: argparse.Namespace) -> int:
    graph, values = _graph_and_values(options)
    found = cg.explain(graph, *graph.arguments([], values))
    print(found.to_json() if options.json else found)
    if options.output:
        path = import_module("viz").draw(found).save(options.output)
        print(f"wrote {path}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _source(options: argparse.Namespace) -> int:
    graph = cg.parse(options.expression)
    if options.mode != "primal":
        graph = cg.simplify(cg.forward(graph) if options.mode == "forward" else cg.reverse(graph))
    print(graph.to_source(), end="")
    return 0


def _race(options: argparse.Namespace) -> int:
    viz, landscapes = import_module("viz"), import_module("optim.landscapes")
    given = [options.landscape, *options.values]
    if re.match(r"\w+=(?!=)", given[0]):  # only a start: the landscape was left out
        given.insert(0, "rosenbrock")
    ground = landscapes.landscape(given[0])
    values = _values(given[1:])
    if values and set(values) != set(ground.axes):
        raise cg.InputError(f"the start is one value for each of {' and '.join(ground.axes)}, not {', '.join(values)}")
    chosen = {"optimizers": [name for name in options.optimizers.split(",") if name.strip()]} if options.optimizers is not None else {}
    start = [values[name] for name in ground.axes] if values else None
    import_module("viz.racing").file_form(Path(options.output))  # before the race, which takes a moment
    race = viz.race(ground, start=start, budget=options.budget, lr=_rates(options.lr), **chosen)
    path = race.save(options.output)
    print(f"{race}\nwrote {path}")
    if options.open:
        import_module("webbrowser").open(path.resolve().as_uri())
    return 0


def _rates(text: str) -> str | float | dict[str, float]:
    if text == "tuned":
        return text
    if "=" in text:
        return _values([part.strip() for part in text.split(",")])
    return _values([f"lr={text}"])["lr"]


def _train(options: argparse.Namespace) -> int:
    chosen = {name: value for name, value in vars(options).items() if name not in ("run", "subject")}
    import_module("optim.command").train(options.subject, **chosen)
    return 0


# What the doctor looks for: module, distribution, what it is for, the line that installs it.
_PARTS = (
    ("numpy", "numpy", "arrays", "pip install numpy"),
    ("sympy", "sympy", "symbolic derivatives", "pip install sympy"),
    ("networkx", "networkx", "graphs for other tools", "pip install networkx"),
    ("graphviz", "graphviz", "drawings, through the program dot", "pip install graphviz"),
    ("pygraphviz", "pygraphviz", "drawings without the program dot", 'pip install "compgraph[render]"'),
    ("numba", "numba", "fused loops", 'pip install "compgraph[fast]"'),
    ("matplotlib", "matplotlib", "plots", 'pip install "compgraph[plot]"'),
    ("sklearn", "scikit-learn", "data sets and estimators", 'pip install "compgraph[data]"'),
    ("safetensors", "safetensors", "checkpoints", 'pip install "compgraph[train]"'),
    ("scipy", "scipy", "special functions", 'pip install "compgraph[special]"'),
    ("onnx", "onnx", "models for other programs", 'pip install "compgraph[onnx]"'),
)


def _doctor(options: argparse.Namespace) -> int:
    print(f"compgraph {cg.__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    needed = {"numpy", "sympy", "networkx", "graphviz"}
    missing = 0
    for _, distribution, purpose, install in _PARTS:
        try:
            found = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found = f"missing: {install}"
            missing += distribution in needed
        print(f"  {distribution:<13} {purpose:<34} {found}")
    dot = shutil.which("dot")
    print(f"  {'dot':<13} {'drawings, through the program dot':<34} {dot or 'missing: apt-get install graphviz'}")
    for name, purpose, found in import_module("compgraph.backend").report():
        print(f"  {name:<13} {purpose:<34} {found}")
    rendering = import_module("viz.rendering")
    for form in ("svg", "png", "pdf"):
        try:
            rendering.render("digraph { a }", form)
            print(f"  {form:<13} {'can be drawn':<34} yes")
        except cg.CompgraphError as error:
            print(f"  {form:<13} {'can be drawn':<34} no: {' '.join(str(error).split())}")
    return 1 if missing else 0


def _demo(options: argparse.Namespace) -> int:
    graph = cg.parse(TEXTBOOK)
    point = (0.5, 1.0)
    print(f"f = {TEXTBOOK}\n\n{cg.evaluate(graph, *point)}")
    for name in ("x1", "x2"):
        print(f"\n{cg.evaluate(graph, *point, mode='forward', seed=name).table(numbers=False)}")
    reverse = cg.evaluate(graph, *point, mode="reverse")
    print(f"\n{reverse}\n\nforward mode took 2 sweeps for 2 inputs, reverse mode took 1\n")
    report = cg.check(graph, *point)
    print(f"{report}\n\nthe reverse sweep as a program:\n\n{cg.simplify(cg.reverse(graph)).to_source()}")
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    viz = import_module("viz")
    drawing = viz.draw(reverse, partials=True)
    for suffix in ("dot", "svg", "png"):
        try:
            print(f"wrote {drawing.save(folder / f'textbook.{suffix}')}")
        except cg.MissingDependencyError as error:
            print(f"no {suffix.upper()}: {error}")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
