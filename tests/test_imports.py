"""Imports only go down: each module may import those above it in `ORDER` and no other of the project."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["compgraph", "optim", "viz"]

# From the lowest to the highest. A package stands for all its modules. `compgraph` is the face of the engine,
# compgraph/__init__.py, and therefore comes after every module whose names it gives out.
ORDER = [
    "compgraph.errors", "compgraph.whole_files", "compgraph.backend", "compgraph.origins", "compgraph.assignments", "compgraph.programs",
    "compgraph.operands", "compgraph.modes", "compgraph.json_values", "compgraph.tables",
    "compgraph.primitive", "compgraph.node", "compgraph.device_nodes", "compgraph.graph",
    "compgraph.invariants",
    "compgraph.primitives",
    "compgraph.functions.registry", "compgraph.functions.parameters", "compgraph.functions", "compgraph.numpy_protocol",
    "compgraph.numerical", "compgraph.reports",
    "compgraph.containers", "compgraph.simplification", "compgraph.identities", "compgraph.layout",
    "compgraph.rescaling", "compgraph.matching", "compgraph.contraction", "compgraph.stabilisation",
    "compgraph.tracing", "compgraph.parsing",
    "compgraph.forward_mode", "compgraph.reverse_mode", "compgraph.batching",
    "compgraph.loop", "compgraph.loop_derivatives", "compgraph.loops", "compgraph.loop_passes",
    "compgraph.loop_batching", "compgraph.passes", "compgraph.loop_text",
    "compgraph.literals", "compgraph.formulas", "compgraph.latex", "compgraph.emission", "compgraph.targets", "compgraph.evaluation",
    "compgraph.symbolic", "compgraph.symbolic_derivatives", "compgraph.interchange", "compgraph.onnx_export",
    "compgraph.transforms", "compgraph.operators", "compgraph.series", "compgraph.custom", "compgraph.draws", "compgraph.checkpointing",
    "compgraph.colouring", "compgraph.sparsity", "compgraph.packing", "compgraph.donation", "compgraph.entry", "compgraph.compilation",
    "compgraph.ledger", "compgraph.precision", "compgraph.certificate",
    "compgraph.kinks", "compgraph.nonfinite", "compgraph.mistakes", "compgraph.grades", "compgraph.grading", "compgraph.double_where",
    "compgraph.lost_digits",
    "compgraph.explanation",
    "compgraph.swell", "compgraph.ways", "compgraph.comparison",
    "compgraph",
    "compgraph.nn",
    "optim",
    "viz",
    "compgraph.__main__",
]  # fmt: skip

ONE_IMPORTER = {"sympy": "compgraph.symbolic", "viz": "compgraph.__main__"}  # and the package itself, for viz
NEVER_AT_IMPORT = {"numba", "cupy", "matplotlib", "pygraphviz", "sklearn", "safetensors", "onnx", "onnxruntime", "tqdm"}
# Classes that derive from those of an optional library need it as soon as they are made: these modules are imported late instead,
# by the `__getattr__` of their package, and by no other module of the project.
MADE_OF = {"optim.estimators": "sklearn"}
NOT_FOR_THE_ENGINE = {"sympy", "networkx", "graphviz", "pygraphviz", "matplotlib", "numba", "cupy", "sklearn", "optim", "viz"}


class Import(NamedTuple):
    target: str
    line: int
    deferred: bool  # inside a function


def imports(source: str, module: str, modules: set[str]) -> Iterator[Import]:
    """Every import in `source`, as the module it reaches: `from compgraph import graph` reaches compgraph.graph."""
    within = [(ast.parse(source, module), False)]
    while within:
        statement, deferred = within.pop()
        if isinstance(statement, ast.Import):
            yield from (Import(alias.name, statement.lineno, deferred) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert not statement.level, f"{module}:{statement.lineno}: a relative import; write the full name"
            for alias in statement.names:
                longer = f"{statement.module}.{alias.name}"
                yield Import(longer if longer in modules else str(statement.module), statement.lineno, deferred)
        elif isinstance(statement, ast.Call) and ast.unparse(statement.func) in ("import_module", "importlib.import_module"):
            named = statement.args[0]
            if isinstance(named, ast.Constant):
                yield Import(str(named.value), statement.lineno, deferred)
        deferred = deferred or isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        within += [(child, deferred) for child in ast.iter_child_nodes(statement)]


def place(module: str) -> int:
    """Where in ORDER `module` stands, by its own name or that of the package it is in."""
    name = module
    while name and (name == module or name != "compgraph"):
        if name in ORDER:
            return ORDER.index(name)
        name = name.rpartition(".")[0]
    raise AssertionError(f"{module} is not in the order of imports: add it to ORDER in tests/test_imports.py, above what imports it")


def faults(sources: dict[str, str]) -> list[str]:
    """What in `sources`, module name to text, breaks the rules; one line a fault."""
    found = []
    for module, source in sources.items():
        here = place(module)
        for target, line, deferred in imports(source, module, set(sources)):
            top = target.split(".")[0]
            at = f"{module}:{line}: imports {target}"
            if top in PACKAGES:
                if place(target) > here:
                    found.append(f"{at}, which stands above it")
                if deferred and module != "compgraph.__main__":
                    found.append(f"{at} inside a function")
            if ONE_IMPORTER.get(top, module) != module and top != module.split(".")[0]:
                found.append(f"{at}, which only {ONE_IMPORTER[top]} may")
            if top == "sympy" and deferred:
                found.append(f"{at} inside a function")
            if target in MADE_OF:
                found.append(f"{at}, which is to be imported late, by its package")
            if top in NEVER_AT_IMPORT and not deferred and MADE_OF.get(module) != top:
                found.append(f"{at} when it is imported itself")
    return found


def project() -> dict[str, str]:
    """The sources of the project, by module name."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return dict(zip(names, (path.read_text(encoding="utf-8") for path in files), strict=True))


def test_imports_only_go_down() -> None:
    sources = project()
    assert len(sources) > 20
    assert faults(sources) == []


def test_modules_import_one_another_in_no_circle() -> None:
    sources = project()
    edges = {module: {found.target for found in imports(source, module, set(sources))} for module, source in sources.items()}
    assert list(graphlib.TopologicalSorter(edges).static_order())


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("compgraph.graph", "from compgraph.tracing import trace", "compgraph.graph:1: imports compgraph.tracing, which stands above it"),
        ("compgraph.graph", "\nfrom compgraph import tracing", "compgraph.graph:2: imports compgraph.tracing, which stands above it"),
        ("compgraph.graph", "import compgraph as cg", "compgraph.graph:1: imports compgraph, which stands above it"),
        ("compgraph.nn.layers", "import optim.adam", "compgraph.nn.layers:1: imports optim.adam, which stands above it"),
        ("compgraph.tracing", "def f():\n from compgraph import graph", "compgraph.tracing:2: imports compgraph.graph inside a function"),
        ("compgraph.graph", "import sympy", "compgraph.graph:1: imports sympy, which only compgraph.symbolic may"),
        ("compgraph.symbolic", "def f():\n import sympy", "compgraph.symbolic:2: imports sympy inside a function"),
        ("compgraph.nn", "import_module('optim')", "compgraph.nn:1: imports optim, which stands above it"),
        ("viz.plots", "from matplotlib import pyplot", "viz.plots:1: imports matplotlib when it is imported itself"),
        ("compgraph.backend", "try: import cupy\nfinally: pass", "compgraph.backend:1: imports cupy when it is imported itself"),
        ("optim.fit", "import sklearn.base", "optim.fit:1: imports sklearn.base when it is imported itself"),
        ("optim.estimators", "import numba", "optim.estimators:1: imports numba when it is imported itself"),
        ("viz", "from optim.estimators import Classifier", "viz:1: imports optim.estimators, which is to be imported late, by its package"),
    ],
)
def test_a_planted_fault_is_found(module: str, source: str, fault: str) -> None:
    assert faults({**dict.fromkeys(ORDER, ""), module: source}) == [fault]


def test_viz_is_imported_by_the_command_line_only() -> None:
    planted = {**dict.fromkeys(ORDER, ""), "compgraph.__main__": "def draw():\n import viz", "optim": "import viz"}
    assert faults(planted) == ["optim:1: imports viz, which stands above it", "optim:1: imports viz, which only compgraph.__main__ may"]


def test_a_module_without_a_place_is_named() -> None:
    with pytest.raises(AssertionError, match=r"compgraph\.novel is not in the order of imports: add it to ORDER in tests/test_imports"):
        faults({"compgraph.novel": ""})


def test_importing_the_engine_imports_nothing_heavy() -> None:
    program = "import sys, compgraph; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert NOT_FOR_THE_ENGINE & set(loaded) == set()
