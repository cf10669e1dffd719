"""The trajectories that every optimizer is compared on: what is minimised, from where, and with which settings.

A gradient is that of a separable quadratic with noise, so that it depends on where the optimizer went. Most entries of the
vector are masked out in most steps, the number's gradient is zero in every third, and in steps 51 to 55 all are zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 200
KEPT = [1, *range(10, STEPS - 2, 10), STEPS - 2, STEPS - 1, STEPS]
SHAPES: dict[str, tuple[int, ...]] = {"matrix": (3, 2), "vector": (4,), "number": ()}
MATRICES: dict[str, tuple[int, ...]] = {"tall": (3, 2), "wide": (2, 4)}

_LION = {"lr": 0.01}

# name -> (optimizer, keywords). Every name is a row of `values.npz`.
TORCH: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.05}),
    "sgd decay": ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    "sgd momentum": ("SGD", {"lr": 0.02, "momentum": 0.9}),
    "sgd dampening": ("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.25, "weight_decay": 0.05}),
    "sgd nesterov": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "sgd maximize": ("SGD", {"lr": 0.002, "momentum": 0.5, "maximize": True}),
    "rprop": ("Rprop", {}),
    "rprop etas": ("Rprop", {"lr": 0.05, "etas": (0.7, 1.1), "step_sizes": (1e-4, 0.2)}),
    "rprop maximize": ("Rprop", {"lr": 1e-3, "step_sizes": (1e-6, 0.01), "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad decay": ("Adagrad", {"lr": 0.2, "lr_decay": 0.05, "weight_decay": 0.1}),
    "adagrad start": ("Adagrad", {"lr": 0.2, "initial_accumulator_value": 0.3, "eps": 1e-3, "maximize": True}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop centered": ("RMSprop", {"lr": 0.02, "alpha": 0.9, "centered": True, "eps": 1e-4}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.005, "momentum": 0.8, "weight_decay": 0.1}),
    "rmsprop all": ("RMSprop", {"lr": 0.005, "alpha": 0.95, "momentum": 0.5, "centered": True, "eps": 1e-3, "maximize": True}),
    "adadelta": ("Adadelta", {}),
    "adadelta settings": ("Adadelta", {"lr": 0.5, "rho": 0.95, "eps": 1e-4, "weight_decay": 0.1}),
    "adadelta maximize": ("Adadelta", {"lr": 0.1, "maximize": True}),
    "adam": ("Adam", {"lr": 0.05}),
    "adam decay": ("Adam", {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.1}),
    "adam amsgrad": ("Adam", {"lr": 0.05, "betas": (0.9, 0.9), "amsgrad": True}),
    "adam decoupled": ("Adam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "adam maximize": ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    "adam no averages": ("Adam", {"lr": 0.01, "betas": (0.0, 0.0), "eps": 1e-2}),
    "adamw": ("AdamW", {"lr": 0.05}),
    "adamw settings": ("AdamW", {"lr": 0.03, "betas": (0.7, 0.95), "weight_decay": 0.3, "amsgrad": True}),
    "adamw maximize": ("AdamW", {"lr": 0.01, "maximize": True}),
    "adamax": ("Adamax", {"lr": 0.05}),
    "adamax settings": ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    "adamax maximize": ("Adamax", {"lr": 0.01, "maximize": True}),
    "nadam": ("NAdam", {"lr": 0.05}),
    "nadam settings": ("NAdam", {"lr": 0.05, "betas": (0.8, 0.99), "momentum_decay": 0.02, "weight_decay": 0.1}),
    "nadam decoupled": ("NAdam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "nadam maximize": ("NAdam", {"lr": 0.01, "eps": 1e-4, "maximize": True}),
    "radam": ("RAdam", {"lr": 0.05}),
    "radam settings": ("RAdam", {"lr": 0.02, "betas": (0.8, 0.97), "weight_decay": 0.1, "eps": 1e-4}),
    "radam decoupled": ("RAdam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "radam never rectified": ("RAdam", {"lr": 0.01, "betas": (0.5, 0.5), "maximize": True}),
    "adafactor": ("Adafactor", {"lr": 0.05}),
    "adafactor settings": ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-3, 1e-2), "d": 2.0, "weight_decay": 0.1}),
    "adafactor maximize": ("Adafactor", {"lr": 0.01, "maximize": True}),
    "muon": ("Muon", {"lr": 0.02}),
    "muon plain": ("Muon", {"lr": 0.02, "nesterov": False, "momentum": 0.8, "weight_decay": 0.0}),
    "muon settings": ("Muon", {"lr": 0.05, "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 7, "adjust_lr_fn": "match_rms_adamw"}),
}

OPTAX: dict[str, tuple[str, dict[str, Any]]] = {
    "lion": ("Lion", _LION),
    "lion settings": ("Lion", {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    "lamb": ("LAMB", {"lr": 0.02}),
    "lamb settings": ("LAMB", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "lars": ("LARS", {"lr": 0.5, "trust_coefficient": 0.02}),
    "lars eps": ("LARS", {"lr": 0.5, "momentum": 0.5, "trust_coefficient": 0.05, "eps": 1e-2}),
}

MPMATH: dict[str, tuple[str, dict[str, Any]]] = {
    "lion exact": ("Lion", {"lr": 0.015, "betas": (0.9, 0.98), "weight_decay": 0.05}),
    "lamb exact": ("LAMB", {"lr": 0.03, "weight_decay": 0.05}),
    "lars decay": ("LARS", {"lr": 0.5, "momentum": 0.8, "trust_coefficient": 0.05, "weight_decay": 0.1}),
    "ftrl": ("FTRL", {"lr": 0.2}),
    "ftrl lasso": ("FTRL", {"lr": 0.3, "beta": 0.5, "l1": 2.0, "l2": 0.1}),
    "nesterov": ("Nesterov", {"lr": 0.02}),
    "nesterov decay": ("Nesterov", {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.1}),
}

CASES = {**TORCH, **OPTAX, **MPMATH}


def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    return MATRICES if CASES[name][0] == "Muon" else SHAPES


class Problem:
    """The start, and the gradients, for parameters of some shapes. Drawn once, from a fixed seed."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        draw = np.random.default_rng(20240607)
        self.start, self.curvature, self.target, self.noise, self.mask = {}, {}, {}, {}, {}
        for name, shape in shapes.items():
            self.start[name] = np.asarray(draw.normal(size=shape))
            self.curvature[name] = draw.uniform(0.2, 3.0, size=shape)
            self.target[name] = draw.normal(size=shape)
            self.noise[name] = 0.3 * draw.normal(size=(STEPS, *shape))
            mask = draw.uniform(size=(STEPS, *shape)) < (0.3 if name == "vector" else 1.0)
            if name == "number":
                mask[::3] = False
            mask[50:55] = False
            self.mask[name] = mask.astype(float)

    def gradient(self, name: str, p: object, step: int) -> object:
        """The gradient of parameter `name` at `p`, before step number `step` (from 1 on)."""
        return self.mask[name][step - 1] * (self.curvature[name] * (p - self.target[name]) + self.noise[name][step - 1])


def joined(parameters: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(p) for p in parameters.values()])
