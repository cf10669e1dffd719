"""Two hundred steps of every optimizer as PyTorch, optax and 50 digits ran them; see `reference/optimizers/make_optimizers.py`."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compgraph as cg
import optim

FOLDER = Path(__file__).parent.parent / "reference" / "optimizers"
sys.path.insert(0, str(FOLDER))
from trajectories import CASES, KEPT, STEPS, Problem, joined, shapes_of  # noqa: E402

with np.load(FOLDER / "values.npz") as _file:
    STORED = dict(_file)
_CLASSES = {name: getattr(optim, name) for name in optim.__all__ if isinstance(getattr(optim, name), type)}
FIRST_ORDER = [name for name, kind in _CLASSES.items() if issubclass(kind, optim.Optimizer) and hasattr(kind, "rule")]


def builds(target: str) -> bool:
    try:
        cg.compile(lambda x: x * x, target=target)(np.ones(2))
    except ImportError:
        return False
    return True


TARGETS = [pytest.param(name, marks=pytest.mark.skipif(not builds(name), reason=f"{name} is not installed")) for name in ("numpy", "numba")]


class Run:
    """An optimizer on its problem, which goes on where it was left."""

    def __init__(self, name: str, change: Callable[[Any], object] = lambda optimizer: None, start: dict[str, Any] | None = None) -> None:
        self.problem = Problem(shapes_of(name))
        values = self.problem.start if start is None else start
        self.parameters = {key: cg.variable(value, name=key) for key, value in values.items()}
        kind, keywords = CASES[name]
        self.optimizer = getattr(optim, kind)(list(self.parameters.values()), **keywords)
        change(self.optimizer)

    def to(self, last: int, first: int = 1) -> np.ndarray[Any, Any]:
        """All parameters after each of the steps from number `first` to `last`."""
        rows = []
        for step in range(first, last + 1):

            def closure(step: int = step) -> None:
                for key, p in self.parameters.items():
                    p.grad = self.problem.gradient(key, p.value, step)

            if isinstance(self.optimizer, optim.Nesterov):
                self.optimizer.step(closure)
            else:
                closure()
                self.optimizer.step()
            rows.append(joined(self.values()))
        return np.array(rows)

    def values(self) -> dict[str, Any]:
        return {key: p.value for key, p in self.parameters.items()}


@pytest.mark.parametrize("name", CASES)
def test_trajectory(name: str) -> None:
    rows = Run(name).to(STEPS)
    np.testing.assert_allclose(rows[np.array(KEPT) - 1], STORED[name], rtol=1e-10, atol=0)


def test_every_optimizer_has_trajectories_and_every_stored_one_runs() -> None:
    assert {kind for kind, _ in CASES.values()} == set(FIRST_ORDER)
    assert set(STORED) == set(CASES)
    for kind in FIRST_ORDER:
        assert sum(kind == other for other, _ in CASES.values()) >= 2, kind


def test_the_settings_of_an_optimizer_lead_to_different_places() -> None:
    ends = {tuple(rows[-1]) for rows in STORED.values()}
    assert len(ends) == len(STORED)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("target", TARGETS)
def test_compiled(name: str, target: str) -> None:
    """The same to the bit with `exact` in NumPy, where there is one way to add and divide; to rounding otherwise."""
    plain, compiled = Run(name).to(60), Run(name, lambda optimizer: optimizer.compile(target)).to(60)
    np.testing.assert_allclose(compiled, plain, rtol=1e-11, atol=0)
    if target == "numpy":
        np.testing.assert_array_equal(Run(name, lambda optimizer: optimizer.compile(exact=True)).to(60), plain)


@pytest.mark.parametrize("name", CASES)
def test_traced(name: str) -> None:
    """The graph of the rule, run as the interpreter runs it, takes the steps that the rule takes on arrays."""
    kind, settings = CASES[name]
    run = Run(name)
    for key, value in run.problem.start.items():
        rule, keywords = run.optimizer.rule_for(value, run.optimizer.param_groups[0])
        state = rule.start(value, **keywords)
        p = q = value
        traced_state = state
        graph = optim.graph_of_rule(rule, value, **keywords)
        for step in range(1, 31):
            p, state = rule.update(p, run.problem.gradient(key, p, step), state, **keywords)
            q, traced_state = graph(q, run.problem.gradient(key, q, step), *traced_state.values())
            np.testing.assert_array_equal(q, p, err_msg=f"{kind} {settings} {key} {step}")
            for entry in state:
                np.testing.assert_array_equal(traced_state[entry], state[entry])


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_state_survives_saving_to_the_bit(name: str, compiled: bool, tmp_path: Path) -> None:
    """In the middle of a run the parameters and the state go through a file, arrays in npz and the rest in JSON."""
    change: Callable[[Any], object] = (lambda optimizer: optimizer.compile(exact=True)) if compiled else (lambda optimizer: None)
    whole = Run(name, change).to(40)
    before = Run(name, change)
    before.to(20)
    saved = before.optimizer.state_dict()
    arrays = {f"{number}/{key}": value for number, state in saved["state"].items() for key, value in state.items()}
    np.savez(tmp_path / "state.npz", **arrays)
    groups = json.loads(json.dumps(saved["param_groups"]))
    with np.load(tmp_path / "state.npz") as file:
        states: dict[int, dict[str, Any]] = {}
        for path in file.files:
            number, _, key = path.partition("/")
            states.setdefault(int(number), {})[key] = file[path]
    after = Run(name, change, start=before.values())
    after.optimizer.load_state_dict({"state": states, "param_groups": groups})
    np.testing.assert_array_equal(after.to(40, first=21), whole[20:])


@pytest.mark.parametrize("kind", json.loads((FOLDER / "signatures.json").read_text()))
def test_signatures_are_those_of_pytorch(kind: str) -> None:
    """Names, order, kinds and defaults; what is ours beyond them is keyword-only."""
    theirs = json.loads((FOLDER / "signatures.json").read_text())[kind]
    ours = list(inspect.signature(getattr(optim, kind)).parameters.values())[1:]
    shown = [[one.name, one.kind.name, list(one.default) if isinstance(one.default, tuple) else one.default] for one in ours]
    positional = [row for row in theirs if row[1] != "KEYWORD_ONLY"]
    assert shown[: len(positional)] == positional
    assert all(row in shown for row in theirs)
    assert all(row[1] == "KEYWORD_ONLY" for row in shown if row not in theirs)
