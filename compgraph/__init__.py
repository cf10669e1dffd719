"""compgraph: computation graphs with forward and reverse mode automatic differentiation."""

from compgraph import numpy_protocol as numpy_protocol
from compgraph import primitives as primitives
from compgraph.errors import *  # noqa
from compgraph import emission as emission
from compgraph.forward_mode import forward
from compgraph.functions import relu, sigmoid, softplus, stop_gradient
from compgraph.graph import PRIMITIVES, Graph, Node, Primitive, bind, constant, graph_of, variable
from compgraph.invariants import typecheck
from compgraph.modes import detect_anomaly, no_grad, scope
from compgraph.reverse_mode import reverse
from compgraph.tracing import trace
from compgraph.transforms import elementwise_grad, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
