"""Initial values of parameters, by PyTorch's names: `nn.init.xavier_uniform_(layer.weight)`.

Each writes new numbers into a parameter, or into an array, and returns it. A weight of a layer has shape (out, in), that of
a convolution (out, in, *kernel); its fan-in is in times the size of the kernel, its fan-out out times that.

| scheme | variance | source |
|---|---|---|
| `xavier_...` | 2 gain^2 / (fan_in + fan_out) | Glorot & Bengio (2010), equations 12 and 16 |
| `kaiming_...` | gain^2 / fan | He, Zhang, Ren & Sun (2015), equations 10 and 14 |
| `lecun_...` | 1 / fan_in | LeCun, Bottou, Orr & Müller (1998), section 4.6 |

A uniform distribution of variance v lies between -sqrt(3 v) and sqrt(3 v).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.nn.randomness import generator_from

_GAINS = {
    "linear": 1.0, "identity": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0, "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4,
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the standard deviation that suits an activation; `param` is the slope of "leaky_relu", 0.01 by default.

    >>> from compgraph import nn
    >>> nn.init.calculate_gain("tanh"), nn.init.calculate_gain("leaky_relu", 1.0)
    (1.6666666666666667, 1.0)
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    raise cg.InputError(f"calculate_gain: {nonlinearity!r:.60} is none of {', '.join([*_GAINS, 'leaky_relu'])}{cg.here()}")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Fan-in and fan-out of a weight of this shape.

    >>> fans((8, 3, 5, 5))
    (75, 200)
    """
    if len(shape) < 2:
        raise cg.ShapeError(f"a fan needs a weight of two axes or more, (out, in, *kernel), not of shape {shape}{cg.here()}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _write(name: str, parameter: Any, values: Any) -> Any:
    """Put `values` in place of the numbers of a parameter or an array."""
    if parameter.__class__ is cg.Node:
        if parameter.value is None or not parameter.is_leaf:
            raise cg.InputError(f"{name} gives a parameter its first numbers, and this is a node that is computed{cg.here()}")
        parameter.value = np.array(values, parameter.dtype) if parameter.shape else parameter.dtype.type(values)
    elif isinstance(parameter, np.ndarray) and parameter.dtype.kind == "f":
        parameter[...] = values
    else:
        raise cg.InputError(f"{name} takes a parameter or an array of floats, not {type(parameter).__name__}{cg.here()}")
    return parameter


def uniform_(parameter: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Numbers between a and b.

    >>> import compgraph as cg, numpy as np
    >>> from compgraph import nn
    >>> nn.init.uniform_(cg.variable(np.zeros(2)), -1, 1, generator=0)
    Node(input, [ 0.27392337, -0.46042657])
    """
    return _write("uniform_", parameter, generator_from(generator).uniform(a, b, np.shape(parameter)))


def normal_(parameter: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normally distributed numbers."""
    return _write("normal_", parameter, mean + std * generator_from(generator).standard_normal(np.shape(parameter)))


def trunc_normal_(parameter: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None) -> Any:
    """Normally distributed numbers between a and b: those outside are drawn again.

    The bounds are numbers, not multiples of `std`, as in PyTorch. Raises `InputError` where less than a thousandth of the
    distribution lies between them.
    """
    low, high = (a - mean) / std, (b - mean) / std
    if not math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2)) > 2e-3:
        raise cg.InputError(f"trunc_normal_: next to nothing of a normal of mean {mean} and std {std} is between {a} and {b}{cg.here()}")
    rng = generator_from(generator)
    values = np.reshape(rng.standard_normal(np.shape(parameter)), -1)
    outside = np.flatnonzero((values < low) | (values > high))
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[(values[outside] < low) | (values[outside] > high)]
    return _write("trunc_normal_", parameter, np.reshape(np.clip(mean + std * values, a, b), np.shape(parameter)))


def constant_(parameter: Any, val: float) -> Any:
    """The same number everywhere."""
    return _write("constant_", parameter, np.full(np.shape(parameter), val))


def zeros_(parameter: Any) -> Any:
    """Zeros."""
    return constant_(parameter, 0.0)


def ones_(parameter: Any) -> Any:
    """Ones."""
    return constant_(parameter, 1.0)


def xavier_uniform_(parameter: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform, of variance 2 gain^2 / (fan_in + fan_out) (Glorot & Bengio, 2010, equation 16)."""
    return _uniform("xavier_uniform_", parameter, gain * math.sqrt(2 / sum(fans(np.shape(parameter)))), generator)


def xavier_normal_(parameter: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal, of variance 2 gain^2 / (fan_in + fan_out) (Glorot & Bengio, 2010, equation 12)."""
    return normal_(parameter, 0.0, gain * math.sqrt(2 / sum(fans(np.shape(parameter)))), generator)


def kaiming_uniform_(
    parameter: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Uniform, of variance gain^2 / fan: 2 / fan for ReLU, and 2 / ((1 + a^2) fan) for a LeakyReLU of slope a (He et al., 2015).

    `mode` is "fan_in", which keeps the variance of activations, or "fan_out", which keeps that of adjoints.
    """
    return _uniform("kaiming_uniform_", parameter, _kaiming(np.shape(parameter), a, mode, nonlinearity), generator)


def kaiming_normal_(parameter: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None) -> Any:
    """Normal, of the variance of `kaiming_uniform_`."""
    return normal_(parameter, 0.0, _kaiming(np.shape(parameter), a, mode, nonlinearity), generator)


def _kaiming(shape: tuple[int, ...], a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise cg.InputError(f"kaiming: mode is 'fan_in' or 'fan_out', not {mode!r:.60}{cg.here()}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(shape)[mode == "fan_out"])


def lecun_uniform_(parameter: Any, generator: Any = None) -> Any:
    """Uniform, of variance 1 / fan_in (LeCun et al., 1998); PyTorch has no such function."""
    return _uniform("lecun_uniform_", parameter, 1 / math.sqrt(fans(np.shape(parameter))[0]), generator)


def lecun_normal_(parameter: Any, generator: Any = None) -> Any:
    """Normal, of variance 1 / fan_in (LeCun et al., 1998)."""
    return normal_(parameter, 0.0, 1 / math.sqrt(fans(np.shape(parameter))[0]), generator)


def _uniform(name: str, parameter: Any, deviation: float, generator: Any) -> Any:
    bound = math.sqrt(3) * deviation
    return _write(name, parameter, generator_from(generator).uniform(-bound, bound, np.shape(parameter)))


def orthogonal_(parameter: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """`gain` times a random matrix with orthonormal rows, or columns if there are more rows (Saxe, McClelland & Ganguli, 2014).

    >>> import numpy as np
    >>> from compgraph import nn
    >>> Q = nn.init.orthogonal_(np.zeros((3, 5)))
    >>> bool(np.allclose(Q @ Q.T, np.eye(3)))
    True

    A kernel counts as (out, all the rest). The matrix is the Q of a normal one. LAPACK chooses the signs of R's diagonal; made
    positive, Q is uniform over all such matrices (Mezzadri, 2007).
    """
    shape = np.shape(parameter)
    if len(shape) < 2:
        raise cg.ShapeError(f"orthogonal_: a weight has two axes or more, not shape {shape}{cg.here()}")
    rows, columns = shape[0], math.prod(shape[1:])
    Q, R = np.linalg.qr(generator_from(generator).standard_normal((max(rows, columns), min(rows, columns))))
    Q = Q * np.where(np.diagonal(R) < 0, -1, 1)
    return _write("orthogonal_", parameter, gain * np.reshape(Q if rows >= columns else Q.T, shape))
