"""Graphs of many samples at once, for targets whose compilation costs more than what they compile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from domains import DIFFERENTIABLE, Sample

import compgraph as cg
from compgraph.graph import Graph, Node, bind, placeholder


def applied(samples: Iterable[Sample]) -> tuple[Graph, list[Any]]:
    """One graph of all samples, an output each, since a compilation costs much more than a line in it."""
    inputs: list[Node] = []
    values: list[Any] = []
    outputs = []
    for sample in samples:
        args = []
        for arg in sample.args:
            if hasattr(arg, "dtype"):
                inputs.append(placeholder(arg.shape, arg.dtype, f"x{len(inputs)}"))
                values.append(arg)
                arg = inputs[-1]
            args.append(arg)
        outputs.append(cg.constant(sample.params["value"]) if sample.name == "constant" else bind(sample.name, *args, **sample.params))
    kept = [output for output in outputs if isinstance(output, Node)]
    return Graph(inputs, kept), values


def derivatives(samples: Iterable[Sample]) -> tuple[Graph, list[Any]]:
    """The tangents and adjoints of all samples, as one graph."""
    draw = np.random.default_rng(0)
    inputs: list[Node] = []
    values: list[Any] = []
    outputs: list[Any] = []
    for sample in samples:
        graph = cg.trace(sample, *sample.xs)
        for transform in (cg.forward, cg.reverse):
            derived = transform(graph)
            given = [placeholder(node.shape, node.dtype, f"x{len(inputs) + place}") for place, node in enumerate(derived.inputs)]
            inputs += given
            values += sample.xs
            values += [draw.normal(size=node.shape).astype(node.dtype)[()] for node in derived.inputs[len(sample.xs) :]]
            outputs += derived.run(given)
    return Graph(inputs, [output for output in outputs if isinstance(output, Node)]), values


def one_each(samples: Iterable[Sample]) -> list[Sample]:
    """Of each primitive the sample with the most axes, and of those the largest."""
    best: dict[str, Sample] = {}
    for sample in samples:
        shapes = [arg.shape for arg in sample.args if hasattr(arg, "shape")] or [()]
        size = max((len(shape), int(np.prod(shape))) for shape in shapes)
        if sample.name not in best or size > best[sample.name][0]:  # type: ignore[index,operator]
            best[sample.name] = (size, sample)  # type: ignore[assignment]
    return [sample for _, sample in best.values()]  # type: ignore[misc,has-type]


def parts(samples: list[Sample], size: int) -> list[list[Sample]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def names(samples: list[Sample]) -> str:
    return ",".join(dict.fromkeys(sample.name for sample in samples))


REAL = [sample for sample in DIFFERENTIABLE if all(x.dtype.kind == "f" for x in sample.xs)]


# Numbers at the ends of the range, and functions to try on them.
SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 5e-324, 1e308, 0.5])
UNARY = (
    np.exp, np.log, np.sqrt, np.sin, np.tanh, np.abs, np.sign, np.floor, np.ceil, np.trunc, np.rint, np.isnan, np.isfinite, np.isinf,
    np.signbit, np.expm1, np.log1p, np.arctan, np.cbrt, np.exp2, np.arcsinh, np.square, np.reciprocal, np.negative,
)  # fmt: skip
BINARY = (
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.fmax, np.fmin, np.power, np.arctan2, np.hypot, np.copysign,
    np.floor_divide, np.remainder, np.fmod, np.logaddexp, np.less, np.equal, np.not_equal, np.greater_equal, np.heaviside, np.nextafter,
)  # fmt: skip
