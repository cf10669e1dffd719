"""Composites of primitives, one file a family: functions without a rule of their own.

Each stands in for a function of NumPy, which it registers with `implements`, or has no counterpart there.
"""

from compgraph.functions import complex as complex
from compgraph.functions import elementwise as elementwise
from compgraph.functions import fourier as fourier
from compgraph.functions import inspecting as inspecting
from compgraph.functions import linear_algebra as linear_algebra
from compgraph.functions import padding as padding
from compgraph.functions import scans as scans
from compgraph.functions import signal as signal
from compgraph.functions import sorting as sorting
from compgraph.functions import special as special
from compgraph.functions import statistics as statistics
from compgraph.functions.activations import relu, sigmoid, softplus, stop_gradient
from compgraph.functions.joining import concatenate, stack
from compgraph.functions.products import dot
from compgraph.functions.reductions import max, mean, min, prod, sum
from compgraph.functions.registry import FUNCTIONS, implements
from compgraph.functions.selecting import index, where
from compgraph.functions.shaping import broadcast_to, expand_dims, ravel, reshape, squeeze, transpose
from compgraph.functions.updates import at

__all__ = [
    "FUNCTIONS", "at", "broadcast_to", "concatenate", "dot", "expand_dims", "implements", "index", "max", "mean", "min", "prod", "ravel",
    "relu", "reshape", "sigmoid", "softplus", "squeeze", "stack", "stop_gradient", "sum", "transpose", "where",
]  # fmt: skip
