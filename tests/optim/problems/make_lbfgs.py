"""Run PyTorch's L-BFGS on the cases below and write `lbfgs.json`, with which `test_closures.py` compares ours.

    python tests/optim/problems/make_lbfgs.py

Needs PyTorch; the tests do not. Stored are the parameters, the returned loss and the counts after each step, in float64.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STORED = Path(__file__).with_name("lbfgs.json")


class Case(NamedTuple):
    """`loss(xp, *parameters)` is written once, for NumPy's names and PyTorch's."""

    loss: Callable[..., Any]
    start: list[Any]
    steps: int
    settings: dict[str, Any]


def rosenbrock(xp: Any, x: Any) -> Any:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def valley(xp: Any, x: Any, y: Any) -> Any:
    return xp.sum(x * x) + 50 * xp.sum(y * y) + 3 * xp.sum(xp.cos(x)) * xp.sum(xp.sin(y))


POINTS = np.sin(np.arange(24.0)).reshape(8, 3)
TARGETS = np.cos(np.arange(16.0)).reshape(8, 2)


def network(xp: Any, w: Any, b: Any, v: Any) -> Any:
    points, targets = (POINTS, TARGETS) if xp is np else (xp.tensor(POINTS), xp.tensor(TARGETS))
    return xp.sum((xp.tanh(points @ w + b) @ v - targets) ** 2)


def start(*shapes: tuple[int, ...]) -> list[Any]:
    return [np.sin(1.0 + 3 * place + np.arange(float(np.prod(shape)))).reshape(shape) for place, shape in enumerate(shapes)]


NETWORK = start((3, 4), (4,), (4, 2))
VALLEY = start((5,), (2, 2))
SEARCH = {"line_search_fn": "strong_wolfe"}
TINY = {"tolerance_grad": 1e-14, "tolerance_change": 1e-25}  # the pairs' curvature is below the least that is kept
CASES = {
    "rosenbrock, search": Case(rosenbrock, [np.array([-1.2, 1.0])], 3, {**SEARCH, "max_iter": 12}),
    "rosenbrock, search, short memory": Case(rosenbrock, [np.array([-1.2, 1.0])], 6, {**SEARCH, "max_iter": 5, "history_size": 2}),
    "rosenbrock, search, lr": Case(rosenbrock, [np.array([0.5, -1.0])], 4, {**SEARCH, "max_iter": 8, "lr": 0.3}),
    "rosenbrock, fixed": Case(rosenbrock, [np.array([0.8, 0.7])], 8, {"max_iter": 3, "lr": 0.2}),
    "valley, search": Case(valley, VALLEY, 4, {**SEARCH, "max_iter": 4}),
    "valley, search, few evaluations": Case(valley, VALLEY, 6, {**SEARCH, "max_iter": 10, "max_eval": 3}),
    "valley, fixed": Case(valley, VALLEY, 6, {"max_iter": 2, "lr": 0.5}),
    "valley, fixed, to the end": Case(valley, VALLEY, 2, {"max_iter": 30, "lr": 0.5, "tolerance_grad": 1e-2}),
    "network, search": Case(network, NETWORK, 5, {**SEARCH, "max_iter": 4}),
    "network, search, long steps": Case(network, NETWORK, 2, {**SEARCH, "max_iter": 8, "lr": 4.0, "history_size": 3}),
    "rosenbrock, search, coarse": Case(rosenbrock, [np.array([-1.2, 1.0])], 3, {**SEARCH, "max_iter": 6, "tolerance_change": 1.0}),
    "network, search, coarse": Case(network, NETWORK, 3, {**SEARCH, "max_iter": 6, "lr": 5.0, "tolerance_change": 0.3}),
    "tiny valley, fixed": Case(lambda xp, x, y: 1e-9 * valley(xp, x, y), VALLEY, 5, {**TINY, "max_iter": 4}),
    "network, fixed": Case(network, NETWORK, 10, {"max_iter": 1, "lr": 0.1}),
    "network, default": Case(network, NETWORK, 1, {"lr": 0.05}),
}


def by_torch(case: Case, torch: Any) -> list[dict[str, Any]]:
    parameters = [torch.tensor(value, requires_grad=True) for value in case.start]
    optimizer = torch.optim.LBFGS(parameters, **case.settings)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = case.loss(torch, *parameters)
        loss.backward()
        return loss

    rows = []
    for _ in range(case.steps):
        loss = optimizer.step(closure).item()
        state = optimizer.state[parameters[0]]
        values = [p.detach().numpy().ravel().tolist() for p in parameters]
        rows.append({"loss": loss, "parameters": values, "n_iter": state["n_iter"], "func_evals": state["func_evals"]})
    return rows


def main() -> None:
    import torch

    torch.set_num_threads(1)
    cases = {name: by_torch(case, torch) for name, case in CASES.items()}
    text = json.dumps({"made with": {"torch": torch.__version__}, "cases": cases}, indent=0)
    part = STORED.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(STORED)


if __name__ == "__main__":
    main()
