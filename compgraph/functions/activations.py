"""The few functions that NumPy has no name for."""

from __future__ import annotations

from typing import Any

from compgraph.graph import bind
from compgraph.primitives.kinds import is_node


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), without overflow.

    >>> import numpy as np
    >>> sigmoid(np.float64(0.0))
    np.float64(0.5)
    """
    return bind("sigmoid", x)


def softplus(x: Any) -> Any:
    """ln(1 + e^x), without overflow.

    >>> import numpy as np
    >>> softplus(np.float64(1000.0))
    np.float64(1000.0)
    """
    return bind("softplus", x)


def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0.

    >>> import numpy as np
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return bind("relu", x)


def stop_gradient(x: Any) -> Any:
    """The value of `x`, through which no derivative flows.

    >>> import compgraph as cg
    >>> cg.grad(lambda x: x * cg.stop_gradient(x))(3.0)
    np.float64(3.0)
    """
    return bind("stop_gradient", x) if is_node(x) else x
