"""Computation graphs with forward and reverse mode automatic differentiation, proven, drawn and printed.

Write ordinary NumPy on `variable`s, or `trace` a function of arrays; see the README for the journey.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from compgraph import emission as _emission
from compgraph import numpy_protocol as _numpy_protocol
from compgraph.checkpointing import checkpoint, checkpoint_chain, revolve
from compgraph.custom import custom_derivative
from compgraph.errors import (
    AbstractValueError,
    AnomalyError,
    CompgraphError,
    DeviceError,
    DtypeError,
    GraphError,
    ImmutableNodeError,
    InputError,
    LinearAlgebraError,
    MissingDependencyError,
    MissingRuleError,
    NodeIndexError,
    ShapeError,
    ValueRangeError,
    ZeroGradientWarning,
)
from compgraph.evaluation import EvaluationTrace, Step, evaluate
from compgraph.forward_mode import forward
from compgraph.functions import at, relu, sigmoid, softplus, special, stop_gradient
from compgraph.graph import METHODS, PRIMITIVES, Graph, Node, Primitive, bind, constant, graph_of, variable
from compgraph.invariants import typecheck
from compgraph.loops import fori, scan
from compgraph.modes import detect_anomaly, no_grad, scope
from compgraph.operators import gnvp, linearize, vhp
from compgraph.origins import here
from compgraph.parsing import parse
from compgraph.reverse_mode import reverse
from compgraph.series import taylor
from compgraph.simplification import simplify
from compgraph.tracing import trace
from compgraph.transforms import elementwise_grad, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from compgraph.certificate import CheckReport, check
    from compgraph.comparison import Comparison, compare
    from compgraph.compilation import compile
    from compgraph.explanation import Explanation, explain
    from compgraph.grading import grade
    from compgraph.ledger import Cost, Costs, cost, costs
    from compgraph.onnx_export import to_onnx
    from compgraph.packing import ravel
    from compgraph.sparsity import SparseMatrix, SparsityPattern, sparse_hessian, sparse_jacobian, sparsity_pattern
    from compgraph.symbolic import from_sympy

__version__ = "0.1.0"

# SymPy and NetworkX take longer to import than everything else together, so what needs them comes when it is used.
_LATE = {
    "compile": "compilation", "ravel": "packing",
    "check": "certificate", "CheckReport": "certificate", "grade": "grading", "explain": "explanation", "Explanation": "explanation",
    "from_sympy": "symbolic",
    "sparsity_pattern": "sparsity", "sparse_jacobian": "sparsity", "sparse_hessian": "sparsity", "SparseMatrix": "sparsity",
    "SparsityPattern": "sparsity",
    "cost": "ledger", "costs": "ledger", "Cost": "ledger", "Costs": "ledger", "compare": "comparison", "Comparison": "comparison",
    "to_onnx": "onnx_export",
}  # fmt: skip
_LATE_METHODS = {
    "to_sympy": "symbolic", "to_networkx": "interchange", "to_json": "interchange", "from_json": "interchange",
    "to_onnx": "onnx_export.graphs",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'compgraph' has no attribute {name!r}")
    return getattr(import_module(f"compgraph.{_LATE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _late_method(module: str, name: str) -> Callable[..., Any]:
    return lambda *args: getattr(import_module(f"compgraph.{module}"), name)(*args)


for _name, _module in _LATE_METHODS.items():
    METHODS.setdefault(f"Graph.{_name}", _late_method(_module, _name))
METHODS.setdefault("bind on a device", _late_method("device_nodes", "bind_on_device"))

__all__ = [
    "PRIMITIVES", "AbstractValueError", "AnomalyError", "CheckReport", "Comparison", "CompgraphError", "Cost", "Costs",
    "DeviceError", "DtypeError", "EvaluationTrace", "Explanation", "Graph", "GraphError", "ImmutableNodeError", "InputError",
    "LinearAlgebraError", "MissingDependencyError", "MissingRuleError", "Node", "NodeIndexError", "Primitive", "ShapeError",
    "SparseMatrix", "SparsityPattern", "Step", "ValueRangeError", "ZeroGradientWarning", "at", "bind", "check", "checkpoint",
    "checkpoint_chain", "compare", "compile", "constant", "cost", "costs", "custom_derivative", "detect_anomaly",
    "elementwise_grad", "evaluate", "explain", "fori", "forward", "from_sympy", "gnvp", "grad", "grade", "graph_of", "here",
    "hessian", "hvp", "jacobian", "jvp", "linearize", "no_grad", "parse", "ravel", "relu", "reverse", "revolve", "scan", "scope",
    "sigmoid", "simplify", "softplus", "sparse_hessian", "sparse_jacobian", "sparsity_pattern", "special", "stop_gradient",
    "taylor", "to_onnx", "trace", "typecheck", "value_and_grad", "variable", "vhp", "vjp",
]  # fmt: skip
del _emission, _numpy_protocol
