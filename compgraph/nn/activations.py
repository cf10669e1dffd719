"""Activations as modules, with PyTorch's names, defaults and derivatives at kinks. They have no parameters."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

import compgraph as cg
from compgraph.nn.module import Module


class ReLU(Module):
    """max(x, 0), with derivative 0 at 0.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, x: Any) -> Any:
        return cg.relu(x)


class LeakyReLU(Module):
    """x where x > 0, and negative_slope x elsewhere; the derivative at 0 is negative_slope (Maas et al., 2013).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.LeakyReLU(0.1)(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = _number(self, "negative_slope", negative_slope)

    def forward(self, x: Any) -> Any:
        return np.where(np.greater(x, 0), x, self.negative_slope * x)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where x > 0, and alpha (e^x - 1) elsewhere; the derivative at 0 is alpha (Clevert et al., 2016).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.ELU()(np.array([-1000.0, 2.0]))
    array([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _number(self, "alpha", alpha)

    def forward(self, x: Any) -> Any:
        positive = np.greater(x, 0)
        return np.where(positive, x, self.alpha * np.expm1(np.where(positive, 0, x)))  # e^x of a large x would overflow

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Module):
    """x Phi(x), with the normal distribution function Phi (Hendrycks & Gimpel, 2016).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.GELU(approximate="tanh")(np.array([-1.0, 2.0])).round(6)
    array([-0.158808,  1.954598])

    `approximate="tanh"` is 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), which differs by less than 5e-4 and needs NumPy
    alone. The exact one, PyTorch's default, takes Phi from SciPy: `pip install "compgraph[special]"`.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise cg.InputError(f"GELU: approximate is 'none' or 'tanh', not {approximate!r:.60}{cg.here()}")
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        if self.approximate == "tanh":
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        try:
            return x * cg.bind("ndtr", x)  # 1 + erf would lose all digits for x < -6
        except ImportError as error:
            how = 'pip install "compgraph[special]", or GELU(approximate="tanh")'
            raise cg.MissingDependencyError(f"GELU takes the normal distribution function from SciPy: {how}{cg.here()}") from error

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x sigmoid(x), also called swish (Elfwing et al., 2018).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.SiLU()(np.array([-1000.0, 0.0]))
    array([-0.,  0.])
    """

    def forward(self, x: Any) -> Any:
        return x * cg.sigmoid(x)


class Tanh(Module):
    """tanh(x).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Tanh()(np.array([0.0, 1000.0]))
    array([0., 1.])
    """

    def forward(self, x: Any) -> Any:
        return np.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x), without overflow.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Sigmoid()(np.array([0.0, 1000.0]))
    array([0.5, 1. ])
    """

    def forward(self, x: Any) -> Any:
        return cg.sigmoid(x)


class Softplus(Module):
    """ln(1 + e^(beta x)) / beta, and x itself where beta x > threshold.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Softplus()(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])

    The threshold is PyTorch's: at 20 the two pieces differ by 2e-9. `threshold=math.inf` is the function itself, which does not
    overflow here.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = _number(self, "beta", beta), _number(self, "threshold", threshold, finite=False)
        if self.beta <= 0:
            raise cg.InputError(f"Softplus: beta is above 0, not {beta!r:.60}{cg.here()}")

    def forward(self, x: Any) -> Any:
        scaled = x if self.beta == 1 else self.beta * x
        y = cg.softplus(scaled)
        y = y if self.beta == 1 else y / self.beta
        return y if self.threshold == math.inf else np.where(np.greater(scaled, self.threshold), x, y)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """e^x / sum e^x along the axis `dim`, without overflow. PyTorch warns where `dim` is not given; here it is the last.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.Softmax()(np.array([[1000.0, 1000.0]]))
    array([[0.5, 0.5]])
    """

    function: ClassVar[Any] = staticmethod(cg.special.softmax)

    def __init__(self, dim: int = -1) -> None:
        if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool):
            raise cg.InputError(f"{type(self).__name__}: dim is an integer, not {dim!r:.60}{cg.here()}")
        self.dim = int(dim)

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        if not -len(shape) <= self.dim < len(shape):
            raise cg.ShapeError(f"{self.label()}: the input has shape {shape} and no axis {self.dim}{cg.here()}")
        return self.function(x, axis=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """ln softmax(x) along the axis `dim`, also where the softmax itself underflows.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> nn.LogSoftmax()(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """

    function: ClassVar[Any] = staticmethod(cg.special.log_softmax)


def _number(module: Module, name: str, number: float, *, finite: bool = True) -> float:
    if isinstance(number, (int, float, np.integer, np.floating)) and not isinstance(number, bool) and (math.isfinite(number) or not finite):
        return float(number)
    raise cg.InputError(f"{type(module).__name__}: {name} is a number, not {number!r:.60}{cg.here()}")
