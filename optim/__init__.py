"""Optimizers, schedules and training for compgraph models."""

from __future__ import annotations

from optim import landscapes, lr_scheduler, matrix_rules, rules, schedules
from optim.averaging import EMA, SWA, Lookahead, exponential_average, moving_average, weighted_average
from optim.closures import LBFGS, LevenbergMarquardt, NaturalGradient, NewtonCG, NonlinearCG
from optim.conjugate_gradients import minimize_cg
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
from optim.lbfgs import minimize_lbfgs
from optim.levenberg_marquardt import least_squares_lm
from optim.line_search import strong_wolfe
from optim.memory import MemoryReport, memory_report
from optim.natural import empirical_fisher, natural_gradient
from optim.newton import minimize_newton_cg
from optim.optimizer import RULES, Optimizer, graph_of_rule
from optim.results import Result
from optim.samplers import MiniBatches, full_batch, stochastic
from optim.second_order import least_squares, minimize

__all__ = [
    "EMA", "FTRL", "LAMB", "LARS", "LBFGS", "RULES", "SGD", "SWA", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax",
    "LevenbergMarquardt", "Lion", "Lookahead", "MemoryReport", "MiniBatches", "Muon", "NAdam", "NaturalGradient", "Nesterov",
    "NewtonCG", "NonlinearCG", "Optimizer", "RAdam", "RMSprop", "Result", "Rprop", "accumulate", "accumulated", "add_grad_noise_",
    "clip_grad_norm_", "clip_grad_value_", "empirical_fisher", "exponential_average", "full_batch", "get_total_norm",
    "graph_of_rule", "l1_penalty", "l2_penalty", "landscapes", "least_squares", "least_squares_lm", "lr_scheduler", "matrix_rules",
    "memory_report", "micro_batches", "minimize", "minimize_cg", "minimize_lbfgs", "minimize_newton_cg", "moving_average",
    "natural_gradient", "noise_variance", "rules", "schedules", "stochastic", "strong_wolfe", "weighted_average",
]  # fmt: skip
