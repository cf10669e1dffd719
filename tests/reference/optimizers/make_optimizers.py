"""Run the trajectories of `trajectories.py` with PyTorch, with optax and with 50 digits, and write `values.npz` and `signatures.json`.

    python tests/reference/optimizers/make_optimizers.py

Run in an environment that has torch, jax, optax and mpmath; the tests need none of them. Stored are, for each case, all
parameters as one row after the steps in `KEPT`, in float64. What PyTorch lacks is run by optax where it computes what the
paper says, and from the formulas of the paper, in 50 digits and without any code of this project, where it does not.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import jax
import mpmath
import numpy as np
import optax
import torch
from trajectories import KEPT, MPMATH, OPTAX, STEPS, TORCH, Problem, joined, shapes_of

mpmath.mp.dps = 50


def by_torch(name: str) -> np.ndarray:
    optimizer_name, keywords = TORCH[name]
    problem = Problem(shapes_of(name))
    parameters = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in problem.start.items()}
    optimizer = getattr(torch.optim, optimizer_name)(list(parameters.values()), **keywords)
    rows = []
    for step in range(1, STEPS + 1):
        for key, p in parameters.items():
            p.grad = torch.tensor(np.asarray(problem.gradient(key, p.detach().numpy(), step)))
        optimizer.step()
        rows.append(joined({key: p.detach().numpy() for key, p in parameters.items()}))
    return np.array([rows[step - 1] for step in KEPT])


def by_optax(name: str) -> np.ndarray:
    optimizer_name, keywords = OPTAX[name]
    keywords = dict(keywords)
    lr = keywords.pop("lr")
    if "betas" in keywords:
        keywords["b1"], keywords["b2"] = keywords.pop("betas")
    keywords.setdefault("weight_decay", 0.0)  # optax has other defaults
    method = getattr(optax, optimizer_name.lower())(lr, **keywords)
    problem = Problem(shapes_of(name))
    parameters = {key: np.asarray(value) for key, value in problem.start.items()}
    state = method.init(parameters)
    rows = []
    for step in range(1, STEPS + 1):
        gradients = {key: np.asarray(problem.gradient(key, p, step)) for key, p in parameters.items()}
        updates, state = method.update(gradients, state, parameters)
        parameters = {key: np.asarray(p) for key, p in optax.apply_updates(parameters, updates).items()}
        rows.append(joined({key: parameters[key] for key in problem.start}))
    return np.array([rows[step - 1] for step in KEPT])


# ------------------------------------------------------------------------------------------- 50 digits

_exact = np.vectorize(mpmath.mpf, otypes=[object])
_sqrt = np.vectorize(mpmath.sqrt, otypes=[object])
_sign = np.vectorize(mpmath.sign, otypes=[object])


def norm(x: Any) -> Any:
    return mpmath.sqrt(sum(entry * entry for entry in np.ravel(x)))


def lion(theta: Any, grad: Any, memory: dict[str, Any], t: int, lr: Any, betas: Any = (0.9, 0.99), weight_decay: Any = 0) -> Any:
    """Chen et al. 2023, Algorithm 2."""
    b1, b2 = map(mpmath.mpf, betas)
    m = memory.get("m", theta * 0)
    c = b1 * m + (1 - b1) * grad
    memory["m"] = b2 * m + (1 - b2) * grad
    return theta - lr * (_sign(c) + mpmath.mpf(weight_decay) * theta)


def lamb(
    theta: Any, grad: Any, memory: dict[str, Any], t: int, lr: Any, betas: Any = (0.9, 0.999), eps: Any = 1e-6, weight_decay: Any = 0,
) -> Any:
    """You et al. 2020, Algorithm 2."""
    b1, b2 = map(mpmath.mpf, betas)
    memory["m"] = m = b1 * memory.get("m", theta * 0) + (1 - b1) * grad
    memory["v"] = v = b2 * memory.get("v", theta * 0) + (1 - b2) * grad * grad
    r = m / (1 - b1**t) / (_sqrt(v / (1 - b2**t)) + mpmath.mpf(eps)) + mpmath.mpf(weight_decay) * theta
    sizes = norm(theta), norm(r)
    return theta - lr * (sizes[0] / sizes[1] if all(sizes) else 1) * r


def lars(theta: Any, grad: Any, memory: dict[str, Any], t: int, lr: Any, momentum: Any, trust_coefficient: Any, weight_decay: Any) -> Any:
    """You, Gitman & Ginsburg 2017, Algorithm 1; the rate is not scaled where a norm is 0."""
    decay = mpmath.mpf(weight_decay)
    below = norm(grad) + decay * norm(theta)
    local = mpmath.mpf(trust_coefficient) * norm(theta) / below if norm(theta) and below else 1
    memory["v"] = mpmath.mpf(momentum) * memory.get("v", theta * 0) + lr * local * (grad + decay * theta)
    return theta - memory["v"]


def ftrl(theta: Any, grad: Any, memory: dict[str, Any], t: int, lr: Any, beta: Any = 1, l1: Any = 0, l2: Any = 0) -> Any:
    """McMahan et al. 2013, Algorithm 1, with the z of the first step chosen so that the formula gives the start."""
    beta, l1, l2 = map(mpmath.mpf, (beta, l1, l2))
    z = memory.get("z", -theta * (beta / lr + l2) - _sign(theta) * l1)
    n = memory.get("n", theta * 0)
    sigma = (_sqrt(n + grad * grad) - _sqrt(n)) / lr
    memory["z"] = z = z + grad - sigma * theta
    memory["n"] = n = n + grad * grad
    moved = -(z - _sign(z) * l1) / ((beta + _sqrt(n)) / lr + l2)
    return np.where(np.abs(z) <= l1, mpmath.mpf(0), moved)


def by_mpmath(name: str) -> np.ndarray:
    optimizer_name, keywords = MPMATH[name]
    keywords = dict(keywords)
    lr = mpmath.mpf(keywords.pop("lr"))
    problem = Problem(shapes_of(name))
    parameters = {key: _exact(value) for key, value in problem.start.items()}
    memory: dict[str, dict[str, Any]] = {key: {} for key in parameters}
    rows = []
    for step in range(1, STEPS + 1):
        for key, theta in parameters.items():
            if optimizer_name == "Nesterov":  # Sutskever et al. 2013, eq. 3 and 4
                mu, decay = mpmath.mpf(keywords.get("momentum", 0.9)), mpmath.mpf(keywords.get("weight_decay", 0))
                velocity = memory[key].get("v", theta * 0)
                ahead = theta + mu * velocity
                memory[key]["v"] = mu * velocity - lr * (problem.gradient(key, ahead, step) + decay * ahead)
                parameters[key] = theta + memory[key]["v"]
            else:
                rule = {"Lion": lion, "LAMB": lamb, "LARS": lars, "FTRL": ftrl}[optimizer_name]
                parameters[key] = np.asarray(rule(theta, problem.gradient(key, theta, step), memory[key], step, lr, **keywords))
        rows.append(joined(parameters).astype(float))
    return np.array([rows[step - 1] for step in KEPT])


def signatures() -> dict[str, list[Any]]:
    """(name, kind, default) of every argument of PyTorch's optimizers after `params`."""
    found = {}
    for name in sorted({optimizer for optimizer, _ in TORCH.values()}):
        arguments = list(inspect.signature(getattr(torch.optim, name)).parameters.values())[1:]
        found[name] = [[argument.name, argument.kind.name, argument.default] for argument in arguments]
    return found


def main() -> None:
    torch.set_default_dtype(torch.float64)  # also of NAdam's product of momenta
    torch.Tensor.bfloat16 = lambda tensor: tensor.clone()  # Muon would round its matrices to 8 bits: its own code, in float64
    jax.config.update("jax_enable_x64", True)
    values = {}
    for names, run in ((TORCH, by_torch), (OPTAX, by_optax), (MPMATH, by_mpmath)):
        values.update({name: run(name) for name in names})
    path = Path(__file__).with_name("values.npz")
    np.savez_compressed(path, **values)
    path.with_name("signatures.json").write_text(json.dumps(signatures(), indent=0) + "\n")
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in (torch, optax, jax, mpmath))
    print(f"{len(values)} trajectories, {path.stat().st_size} bytes: {versions}")


if __name__ == "__main__":
    main()
