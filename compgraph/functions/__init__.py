"""Composites of primitives, one file a family: functions without a rule of their own.

Each stands in for a function of NumPy, which it registers with `implements`, or has no counterpart there.
"""

from compgraph.functions import inspecting as inspecting
from compgraph.functions.activations import relu, sigmoid, softplus, stop_gradient
from compgraph.functions.products import dot
from compgraph.functions.reductions import max, mean, min, sum
from compgraph.functions.registry import FUNCTIONS, implements
from compgraph.functions.selecting import index, where
from compgraph.functions.shaping import broadcast_to, concatenate, expand_dims, ravel, reshape, squeeze, stack, transpose

__all__ = [
    "FUNCTIONS", "broadcast_to", "concatenate", "dot", "expand_dims", "implements", "index", "max", "mean", "min", "ravel", "relu",
    "reshape", "sigmoid", "softplus", "squeeze", "stack", "stop_gradient", "sum", "transpose", "where",
]  # fmt: skip
