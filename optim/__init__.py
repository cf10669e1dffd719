"""Optimizers, schedules and training for compgraph models."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import compgraph as cg
from optim import augmentation, checkpoints, data, landscapes, lr_scheduler, matrix_rules, rules, schedules
from optim.averaging import EMA, SWA, Lookahead, exponential_average, moving_average, weighted_average
from optim.checkpoints import Checkpointer, CheckpointError, CheckpointWarning
from optim.closures import LBFGS, LevenbergMarquardt, NaturalGradient, NewtonCG, NonlinearCG
from optim.conjugate_gradients import minimize_cg
from optim.feed import TrainingWarning
from optim.first_order import (
    FTRL,
    LAMB,
    LARS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Muon,
    NAdam,
    Nesterov,
    RAdam,
    RMSprop,
    Rprop,
)  # fmt: skip
from optim.gradients import (
    accumulate,
    accumulated,
    add_grad_noise_,
    clip_grad_norm_,
    clip_grad_value_,
    get_total_norm,
    l1_penalty,
    l2_penalty,
    micro_batches,
    noise_variance,
)
from optim.history import History
from optim.lbfgs import minimize_lbfgs
from optim.levenberg_marquardt import least_squares_lm
from optim.line_search import strong_wolfe
from optim.memory import MemoryReport, memory_report
from optim.natural import empirical_fisher, natural_gradient
from optim.newton import minimize_newton_cg
from optim.optimizer import RULES, Optimizer, graph_of_rule
from optim.results import Result
from optim.samplers import MiniBatches, full_batch, stochastic
from optim.search import Search, random_search
from optim.second_order import least_squares, minimize
from optim.step import TrainStep, train_step
from optim.stopping import EarlyStopping
from optim.training import fit

__all__ = [
    "EMA", "FTRL", "LAMB", "LARS", "LBFGS", "RULES", "SGD", "SWA", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax",
    "CheckpointError", "CheckpointWarning", "Checkpointer", "EarlyStopping", "History", "LevenbergMarquardt", "Lion", "Lookahead",
    "MemoryReport", "MiniBatches", "Muon", "NAdam", "NaturalGradient", "Nesterov", "NewtonCG", "NonlinearCG", "Optimizer", "RAdam",
    "RMSprop", "Result", "Rprop", "Search", "TrainStep", "TrainingWarning", "accumulate", "accumulated", "add_grad_noise_",
    "augmentation", "checkpoints", "clip_grad_norm_", "clip_grad_value_", "data", "empirical_fisher", "exponential_average", "fit",
    "full_batch", "get_total_norm", "graph_of_rule", "l1_penalty", "l2_penalty", "landscapes", "least_squares", "least_squares_lm",
    "lr_scheduler", "matrix_rules", "memory_report", "micro_batches", "minimize", "minimize_cg", "minimize_lbfgs", "minimize_newton_cg",
    "moving_average", "natural_gradient", "noise_variance", "random_search", "rules", "schedules", "stochastic", "strong_wolfe",
    "train_step", "weighted_average",
]  # fmt: skip

# The scikit-learn estimators, whose classes derive from scikit-learn's, come when one of them is first used. They are not in
# __all__, since `import *` would need scikit-learn.
_LATE = {"Classifier": "estimators", "Regressor": "estimators", "to_estimator": "estimators"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'optim' has no attribute {name!r}")
    try:
        return getattr(import_module(f"optim.{_LATE[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sklearn":
            raise
        install = f'pip install "compgraph[data]"{cg.here()}'
        raise cg.MissingDependencyError(f"optim.{name} needs scikit-learn, which is not installed: {install}") from error


def __dir__() -> list[str]:
    return sorted([*__all__, *_LATE])
