"""Run the schedules of `cases.py` with PyTorch and write `values.json`, the gradient tools and averages `tools.json`.

    python tests/reference/schedules/make_schedules.py

Run in an environment that has PyTorch; the tests need none. Stored are the rates and momenta of 200 steps, as shortest texts
of their float64 values, the momenta only where they move.
"""

from __future__ import annotations

import json
import os
import types
from pathlib import Path

import torch
from cases import CASES, CLIP_VALUES, DECAYS, MAX_NORMS, NORMS, Case, arrays, trajectory
from torch.optim import lr_scheduler, swa_utils


def optimizer(case: Case) -> torch.optim.Optimizer:
    groups = [{"params": [torch.ones(2, dtype=torch.float64, requires_grad=True)], "lr": rate} for rate in case.rates]
    return torch.optim.Adam(groups) if case.optimizer == "Adam" else torch.optim.SGD(groups, momentum=0.9)


def parameters(seed: int) -> list[torch.nn.Parameter]:
    """Parameters whose gradients are `arrays(seed)`."""
    made = [torch.nn.Parameter(torch.tensor(array)) for array in arrays(seed)]
    for p in made:
        p.grad = p.detach().clone()
    return made


def listed(tensors: list[torch.Tensor]) -> list[object]:
    return [tensor.detach().tolist() for tensor in tensors]


def clipped() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for most in MAX_NORMS:
        for order in NORMS:
            held = parameters(0)
            norm = torch.nn.utils.clip_grad_norm_(held, most, order).item()
            rows.append({"max_norm": most, "norm_type": order, "norm": norm, "gradients": listed([p.grad for p in held])})
    for value in CLIP_VALUES:
        held = parameters(0)
        torch.nn.utils.clip_grad_value_(held, value)
        rows.append({"clip_value": value, "gradients": listed([p.grad for p in held])})
    return rows


def averaged() -> list[dict[str, object]]:
    rules = [(decay, swa_utils.get_ema_multi_avg_fn(decay)) for decay in DECAYS] + [(None, swa_utils.get_swa_multi_avg_fn())]
    rows: list[dict[str, object]] = []
    for decay, rule in rules:
        average = swa_utils.AveragedModel(torch.nn.ParameterList(parameters(1)), multi_avg_fn=rule)
        for seed in range(1, 21):
            average.update_parameters(torch.nn.ParameterList(parameters(seed)))
        rows.append({"decay": decay, "averages": listed(list(average.module))})
    return rows


def write(name: str, text: str) -> None:
    stored = Path(__file__).with_name(name)
    whole = stored.with_suffix(".new")
    whole.write_text(text, encoding="utf-8")
    os.replace(whole, stored)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)  # or AveragedModel divides by the number of models in float32
    schedulers = types.SimpleNamespace(**{name: getattr(lr_scheduler, name) for name in lr_scheduler.__all__}, SWALR=swa_utils.SWALR)
    values = {}
    for case in CASES:
        found = trajectory(case, schedulers, optimizer(case))
        still = all(row == found["momentum"][0] for row in found["momentum"])
        values[case.name] = {"lr": found["lr"], **({} if still else {"momentum": found["momentum"]})}
    lines = [f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in values.items()]
    by = f"PyTorch {torch.__version__.split('+')[0]}"
    write("values.json", json.dumps({"by": by})[:-1] + ",\n" + ",\n".join(lines) + "}\n")
    write("tools.json", json.dumps({"by": by, "clipped": clipped(), "averaged": averaged()}, indent=1) + "\n")
