"""Products with derivatives that are never formed: linearized functions, vector-Hessian and Gauss-Newton products.

Thin, over the recording of `transforms.py`; Taylor coefficients are in `series.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.batching import apply_batched, held
from compgraph.containers import leaves_like
from compgraph.errors import InputError, ShapeError
from compgraph.forward_mode import tangents_of
from compgraph.graph import Node, ancestors, bind, owned, placeholder
from compgraph.operands import input_value
from compgraph.origins import here
from compgraph.primitives.kinds import zeros_like
from compgraph.transforms import Argnums, Recording, grad, hvp, jvp, seeds_like, vjp


class LinearMap:
    """The derivative of a function at a point, as a linear function of tangents; made by `linearize`.

    The local partials are computed once, when it is made. A call is one pass over what depends on the tangents.
    """

    def __init__(self, recording: Recording, primals: tuple[Any, ...]) -> None:
        self._recording = recording
        self._primals = primals
        self._seeds = [placeholder(node.shape, node.dtype) for node in recording.inputs]
        self._tangents = tangents_of(recording.outputs, recording.inputs, self._seeds, lift=True)
        reached = [node for node in self._tangents if node is not None]
        self._nodes = ancestors(reached, since=min((seed.id for seed in self._seeds), default=0))

    def __call__(self, *tangents: Any) -> Any:
        """The output's tangent for one tangent a primal, each of its primal's structure and shapes."""
        leaves = seeds_like(self._primals, tangents, self._recording.inputs, "primals")
        found = self._run(leaves, batched=False)
        results = [zeros_like(node) if dot is None else dot for dot, node in zip(found, self._recording.outputs, strict=True)]
        return self._recording.rebuild(owned(results, leaves))

    def batched(self, *tangents: Any) -> Any:
        """The output's tangents for many tangents in one pass: each array has a leading batch axis, and so has each result."""
        leaves = _batched_seeds(self._primals, tangents, self._recording.inputs)
        size = leaves[0].shape[0] if leaves else 0
        found = self._run(leaves, batched=True)
        outputs = self._recording.outputs
        results = [np.zeros((size, *node.shape), node.dtype) if dot is None else dot for dot, node in zip(found, outputs, strict=True)]
        return self._recording.rebuild(owned(results, leaves))

    def _run(self, leaves: Sequence[Any], *, batched: bool) -> list[Any]:
        """The pass over the tangent graph. Only what depends on a tangent is computed; the rest is used as it is."""
        values: dict[Node, Any] = dict(zip(self._seeds, leaves, strict=True))
        for node in self._nodes:
            flags = tuple(isinstance(arg, Node) and arg in values for arg in node.args)
            if node in values or node.primitive is None or not any(flags):
                continue
            xs = [values[arg] if flag else held(arg, self._recording.lift) for arg, flag in zip(node.args, flags, strict=True)]
            values[node] = apply_batched(node.primitive, flags, xs, node.params) if batched else bind(node.primitive, *xs, **node.params)
        return [None if node is None else values[node] for node in self._tangents]


def _batched_seeds(template: Any, tree: Any, nodes: Sequence[Node]) -> list[Any]:
    """Checked tangents with a leading batch axis, the same for all."""
    leaves, _ = leaves_like(template, tree, "primals")
    checked: list[Any] = []
    for leaf, node in zip(leaves, nodes, strict=True):
        value = leaf if isinstance(leaf, Node) else input_value(leaf, "a batch of tangents").astype(node.dtype)
        sizes = {one.shape[0] for one in checked}
        if value.shape[1:] != node.shape or not value.shape or (sizes and value.shape[0] not in sizes):
            batch = next(iter(sizes), "n")
            raise ShapeError(f"a batch of tangents has shape {value.shape}, it has to be {(batch, *node.shape)}{here()}")
        checked.append(value)
    return checked


def linearize(function: Callable[..., Any], *primals: Any) -> tuple[Any, LinearMap]:
    """`(output, tangent_map)`: the function is run once, and its derivative there can be applied again and again.

    >>> import numpy as np, compgraph as cg
    >>> y, tangent_map = cg.linearize(lambda x: np.sin(x) * x, np.array([0.0, np.pi]))
    >>> tangent_map(np.array([1.0, 1.0])).round(6)
    array([ 0.      , -3.141593])
    >>> tangent_map.batched(np.eye(2)).shape
    (2, 2)

    `tangent_map(*tangents)` takes one tangent a primal and equals `jvp(function, primals, tangents)[1]`, without running
    the function or computing its local partials again; the recording is kept as long as the map is.
    """
    recording = Recording(function, primals, {}, tuple(range(len(primals))))
    return recording.output, LinearMap(recording, tuple(primals))


def vhp(function: Callable[..., Any], primals: Sequence[Any], vectors: Sequence[Any], mode: str = "reverse-over-forward") -> Any:
    """A vector times the Hessian of a function that returns one number, without forming the Hessian.

    >>> import numpy as np, compgraph as cg
    >>> cg.vhp(lambda x: np.sum(x ** 3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])

    The gradient of the directional derivative, "reverse-over-forward", or of the gradient's product with the vector,
    "reverse-over-reverse". Hessians are symmetric, so it equals `hvp` but for rounding; like that it returns a tuple,
    one entry a primal, for several primals.
    """
    if mode not in ("reverse-over-forward", "reverse-over-reverse"):
        raise InputError(f"mode {mode!r}: it is 'reverse-over-forward' or 'reverse-over-reverse'{here()}")
    _check_pairs("vhp", primals, vectors, "vectors")
    numbers: Argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    if mode == "reverse-over-reverse":
        _, pullback = vjp(grad(function, numbers), *primals)
        seed = vectors[0] if len(primals) == 1 else tuple(vectors)
        found = pullback(seed)
        return found[0] if len(primals) == 1 else found

    def slope(*args: Any) -> Any:
        return jvp(function, args, vectors)[1]

    slope.__name__ = f"the directional derivative of {getattr(function, '__name__', 'the function')}"
    return grad(slope, numbers)(*primals)


def gnvp(
    function: Callable[..., Any], primals: Sequence[Any], vectors: Sequence[Any], loss: Callable[[Any], Any] | None = None
) -> Any:
    """The Gauss-Newton matrix times a vector: J' H J v, with J that of `function` and H the Hessian of `loss` at its output.

    >>> import numpy as np, compgraph as cg
    >>> residuals = lambda x: np.stack([x[0] ** 2 - x[1], x[0]])
    >>> cg.gnvp(residuals, (np.array([1.0, 1.0]),), (np.array([1.0, 0.0]),))
    array([ 5., -2.])

    Without a `loss` H is the unit matrix, that of half the sum of squares. For a convex loss the matrix is positive
    semidefinite where the Hessian of the whole need not be (Schraudolph, Fast curvature matrix-vector products, 2002).
    One tangent sweep, one `hvp` of the loss, one adjoint sweep. A tuple, one entry a primal, for several primals.
    """
    _check_pairs("gnvp", primals, vectors, "vectors")
    output, pullback = vjp(function, *primals)
    output_dot = jvp(function, primals, vectors)[1]
    bars = pullback(output_dot if loss is None else hvp(loss, (output,), (output_dot,)))
    return bars[0] if len(primals) == 1 else bars


def _check_pairs(name: str, primals: Any, others: Any, what: str) -> None:
    if not isinstance(primals, (tuple, list)) or not isinstance(others, (tuple, list)):
        raise InputError(f"{name} takes a tuple of primals and a tuple of {what}, as in cg.{name}(f, (x,), (v,)){here()}")
