"""Derivatives of functions: thin, over the two sweeps.

A derivative here is a function again. Called on numbers it computes; called on nodes, as inside another derivative
or a trace, it records, so derivatives nest in any order of modes. What is differentiated with respect to is a new
node each time, so inner and outer derivatives cannot be confused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compgraph.backend import beside
from compgraph.batching import run_batched
from compgraph.containers import Rebuild, flatten, leaves_like
from compgraph.errors import DtypeError, GraphError, InputError, ShapeError, ZeroGradientWarning
from compgraph.forward_mode import seeded, tangents_of
from compgraph.graph import PRIMITIVES, Node, active_nodes, ancestors, bind, describe, owned, placeholder, variable
from compgraph.modes import current_mode
from compgraph.origins import describe_origin, here, stack_level
from compgraph.primitives.kinds import zeros_like
from compgraph.reverse_mode import adjoints_of
from compgraph.tracing import output_nodes

Argnums = int | Sequence[int]


class Recording:
    """One run of a function on fresh inputs.

    `lift` says that derivatives have to be graph themselves, because an argument is a node or because the result
    also depends on nodes from outside, of which the derivatives are then functions too.
    """

    def __init__(
        self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], argnums: Argnums, has_aux: bool = False, holomorphic: bool = False
    ) -> None:
        self.name = getattr(function, "__name__", "the function")
        if not callable(function):
            shown = describe(function) if isinstance(function, Node) else f"{function!r:.40}"
            raise InputError(f"{shown} is not a function: differentiate f, as in cg.grad(f)(x), or call y.backward(){here()}")
        self.holomorphic = holomorphic
        self.single = isinstance(argnums, int)
        args = list(args)
        self.inputs: list[Node] = []
        self.parts: list[tuple[int, int, Rebuild]] = []
        self.lift = False
        for number in _positions(argnums, len(args), self.name):
            leaves, paths, rebuild = flatten(args[number])
            self.lift = self.lift or any(isinstance(leaf, Node) for leaf in leaves)
            fresh = [_fresh(leaf, path) for leaf, path in zip(leaves, paths, strict=True)]
            self.parts.append((len(self.inputs), len(self.inputs) + len(fresh), rebuild))
            self.inputs += fresh
            args[number] = rebuild(fresh)
        result = function(*args, **kwargs)
        self._aux: Any = None
        if has_aux:
            result, self._aux = _with_aux(result, self.name)
        self.outputs, self.rebuild = output_nodes(result, self.name)
        inside = ancestors(self.outputs, since=min((node.id for node in self.inputs), default=0))
        outside = _outside(inside, self.inputs, self.outputs)
        mode = current_mode()
        leaked = [node for node in outside if node.value is None]
        if leaked and not self.lift and not mode.traced and mode.origin is None:
            place = describe_origin(leaked[0].origin)
            raise GraphError(
                f"{self.name}: {describe(leaked[0])} belongs to another graph" + (f" (made at {place})" if place else "")
                + f", whose trace is over. Pass it as an argument, or pass its value{here()}"
            )
        self.lift = self.lift or bool(outside)
        active = active_nodes(inside, self.inputs)
        # Of results that are no nodes, `output_nodes` has warned already.
        if not any(node in active for node in self.outputs) and all(isinstance(leaf, Node) for leaf in flatten(result)[0]):
            warnings.warn(
                f"{self.name}: the result does not depend on what it is differentiated by: the derivative is zero",
                ZeroGradientWarning, stacklevel=stack_level(),
            )  # fmt: skip

    @property
    def output(self) -> Any:
        """What the function returned: numbers, or nodes where derivatives are nodes."""
        if self.lift:
            return self.rebuild(self.outputs)
        return self.rebuild(owned([node.concrete("a result") for node in self.outputs], [node.value for node in self.outputs]))

    @property
    def aux(self) -> Any:
        """What the function returned beside its result: as it is, but nodes of the recording as their values."""
        leaves, _, rebuild = flatten(self._aux)
        return rebuild([leaf if self.lift or not isinstance(leaf, Node) else leaf.concrete("aux") for leaf in leaves])

    def by_argument(self, leaves: Sequence[Any]) -> Any:
        """One value an input, put together as the arguments were."""
        values = tuple(rebuild(list(leaves[start:stop])) for start, stop, rebuild in self.parts)
        return values[0] if self.single else values

    def pull(self, seeds: Sequence[Any], *, release: bool = False) -> list[Any]:
        bars = adjoints_of(self.outputs, self.inputs, seeds, lift=self._lifted(seeds), release=release)
        return owned([zeros_like(node) if bar is None else bar for bar, node in zip(bars, self.inputs, strict=True)], seeds)

    def push(self, seeds: Sequence[Any]) -> list[Any]:
        dots = tangents_of(self.outputs, self.inputs, seeds, lift=self._lifted(seeds))
        return owned([zeros_like(node) if dot is None else dot for dot, node in zip(dots, self.outputs, strict=True)], seeds)

    def _lifted(self, seeds: Sequence[Any]) -> bool:
        return self.lift or any(isinstance(seed, Node) for seed in seeds)

    # Vector mode: for each entry of one input or output, the tangents or adjoints that its unit seed leads to.

    def push_all(self, place: int, chunk: int | None) -> list[Any]:
        """For input `place`: one array an output, of shape `(input.size, *output.shape)`."""
        return self._by_units(self.push_many, self.inputs, self.outputs, place, chunk)

    def pull_all(self, place: int, chunk: int | None) -> list[Any]:
        """For output `place`: one array an input, of shape `output.shape + input.shape`."""
        rows = self._by_units(self.pull_many, self.outputs, self.inputs, place, chunk)
        shape = self.outputs[place].shape
        return [np.reshape(row, shape + node.shape) for row, node in zip(rows, self.inputs, strict=True)]

    def _by_units(
        self, many: Callable[..., list[Any]], starts: Sequence[Node], ends: Sequence[Node], place: int, chunk: int | None
    ) -> list[Any]:
        """The sweeps from the unit seeds of `starts[place]`.

        A complex number has two real parts. One sweep serves both where the derivative is a complex number, and between a
        complex and a real number two serve: d/dx - i d/dy, from the seeds 1 and i. See `primitives/complex.py`.
        """
        units = _units(starts, place)
        rows = many(units, chunk)
        if starts[place].dtype.kind != "c":
            return rows
        if any(end.dtype.kind == "c" for end in ends):
            self.check_holomorphic()
        if all(end.dtype.kind == "c" for end in ends):
            return rows
        others = many([unit if unit is None else unit * 1j for unit in units], chunk)
        return [row if end.dtype.kind == "c" else row - other * 1j for row, other, end in zip(rows, others, ends, strict=True)]

    def check_holomorphic(self) -> None:
        """Raise `DtypeError` unless the caller has said that a complex derivative exists."""
        if not self.holomorphic:
            raise DtypeError(
                f"{self.name} returned a complex number, which has a derivative only where it is a holomorphic function of complex "
                f"numbers: say holomorphic=True, or take np.real, np.imag or np.abs of it; cg.jvp and cg.vjp take any function{here()}"
            )

    def push_many(self, seeds: Sequence[Any], chunk: int | None = None) -> list[Any]:
        """One array of tangents an output for one array of them an input, batch axis first; None is no tangent."""
        return self._vector_sweep(tangents_of, self.inputs, self.outputs, seeds, chunk)

    def pull_many(self, seeds: Sequence[Any], chunk: int | None = None) -> list[Any]:
        """One array of adjoints an input for one array of them an output, batch axis first; None is no adjoint."""
        return self._vector_sweep(adjoints_of, self.outputs, self.inputs, seeds, chunk)

    def _vector_sweep(
        self, sweep: Callable[..., list[Any]], starts: Sequence[Node], ends: Sequence[Node], seeds: Sequence[Any], chunk: int | None
    ) -> list[Any]:
        size = next(len(seed) for seed in seeds if seed is not None)
        places = [None if seed is None else placeholder(node.shape, node.dtype) for node, seed in zip(starts, seeds, strict=True)]
        found = sweep(self.outputs, self.inputs, places, lift=True)
        reached = [node for node in found if node is not None]
        if not size or not reached:
            return [beside(np.zeros((size, *end.shape), end.dtype), end.value) for end in ends]
        given = {place: seed for place, seed in zip(places, seeds, strict=True) if place is not None}
        nodes = ancestors(reached, since=min(place.id for place in given))
        step = chunk or size
        parts = [
            run_batched(nodes, {place: seed[first : first + step] for place, seed in given.items()}, reached, lift=self.lift)
            for first in range(0, size, step)
        ]
        results = iter([part[0] if len(part) == 1 else np.concatenate(part) for part in zip(*parts, strict=True)])
        pairs = zip(found, ends, strict=True)
        return [beside(np.zeros((size, *end.shape), end.dtype), end.value) if node is None else next(results) for node, end in pairs]

    def pull_number(self) -> list[Any]:
        """The gradient of a function that returns one number; the recording is used up by it."""
        self.check_number()
        output = self.outputs[0]
        return self.pull([beside(output.dtype.type(1), output.value)], release=True)

    def check_number(self) -> None:
        """Raise `ShapeError` unless the function returned one number, which is what has a gradient."""
        output = self.outputs[0]
        if len(self.outputs) != 1 or output.shape:
            found = f"{len(self.outputs)} results" if len(self.outputs) != 1 else describe(output)
            advice = "Reduce it, as with np.sum, or use cg.jacobian"
            raise ShapeError(f"grad of {self.name} needs one number, it returned {found}. {advice}{here()}")
        if output.dtype.kind == "c":
            self.check_holomorphic()


def _fresh(leaf: Any, path: str) -> Node:
    if isinstance(leaf, Node):
        node: Node = bind("identity", leaf)
        return node
    return variable(leaf, path.strip(".[]") or None)


def _with_aux(result: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        found = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise InputError(f"{name}: with has_aux=True it has to return (result, aux), it returned {found}{here()}")
    return result


def _units(nodes: Sequence[Node], place: int) -> list[Any]:
    """The unit seeds of node `place`, one for each of its entries, and none of the others."""
    node = nodes[place]
    units = np.eye(node.size, dtype=node.dtype).reshape(node.size, *node.shape)
    return [beside(units, node.value) if at == place else None for at in range(len(nodes))]


def _positions(argnums: Any, count: int, name: str) -> tuple[int, ...]:
    """Argument numbers as distinct non-negative ones."""
    numbers = tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)
    for number in numbers:
        if not isinstance(number, int) or not -count <= number < count:
            given = f"{count} positional argument{'s were' if count != 1 else ' was'} given"
            raise InputError(f"{name}: argnums {number!r} is no position: {given}{here()}")
    places = tuple(number % count for number in numbers)
    if not places or len(set(places)) != len(places):
        raise InputError(f"{name}: argnums {argnums!r} {'names an argument twice' if places else 'names no argument'}{here()}")
    return places


def _outside(inside: Sequence[Node], inputs: Sequence[Node], outputs: Sequence[Node]) -> list[Node]:
    """The nodes from outside that a recording reads: what its derivatives are functions of, besides its arguments.

    Inputs that derivatives inside the function have made, and left in their graphs, are younger and do not count.
    """
    known, own = set(inside), set(inputs)
    read = [arg for node in inside if node not in own for arg in node.args if isinstance(arg, Node)]
    return [node for node in (*read, *outputs) if node not in known and node not in own and node.primitive is not PRIMITIVES["constant"]]


def _called_like(function: Any, suffix: str, derivative: Callable[..., Any]) -> Callable[..., Any]:
    """`derivative` with the parameters of `function` and a name after it, which is how a trace of it is called."""
    derivative.__name__ = f"{getattr(function, '__name__', 'f')}_{suffix}"
    derivative.__wrapped__ = function  # type: ignore[attr-defined]
    return derivative


def value_and_grad(
    function: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that returns `(function(...), grad(function)(...))` for the work of one forward and one reverse sweep.

    >>> import numpy as np, compgraph as cg
    >>> cg.value_and_grad(lambda x: x * x)(3.0)
    (np.float64(9.0), np.float64(6.0))

    With `has_aux` the function returns `(result, aux)`, and this one `((result, aux), gradient)`: `aux` is anything that
    comes along and is not differentiated.
    """

    def with_gradient(*args: Any, **kwargs: Any) -> Any:
        recording = Recording(function, args, kwargs, argnums, has_aux, holomorphic)
        output = (recording.output, recording.aux) if has_aux else recording.output
        return output, recording.by_argument(recording.pull_number())

    return _called_like(function, "value_and_grad", with_gradient)


def grad(
    function: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The gradient of a function that returns one number, by one reverse sweep.

    >>> import numpy as np, compgraph as cg
    >>> cg.grad(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), argnums=(0, 1))(2.0, 5.0)
    (np.float64(5.5), np.float64(1.7163378145367738))
    >>> cg.grad(lambda p: np.sum(p["w"] ** 2) + p["b"])({"w": np.array([1.0, 2.0]), "b": 3.0})
    {'w': array([2., 4.]), 'b': np.float64(1.0)}

    The result has the structure, shapes and dtypes of argument `argnums`, or is a tuple for several. With `has_aux` the
    function returns `(result, aux)` and this one `(gradient, aux)`. Raises `ShapeError` for a result that is not one
    number. Warns `ZeroGradientWarning` where the result does not depend on the argument.

    By a complex z = x + iy a real-valued function has the gradient df/dx - i df/dy, whose conjugate is the direction of
    steepest ascent. A complex-valued one has f'(z), if the caller says that it is `holomorphic`; otherwise `DtypeError`.
    """

    def gradient(*args: Any, **kwargs: Any) -> Any:
        recording = Recording(function, args, kwargs, argnums, has_aux, holomorphic)
        bars = recording.by_argument(recording.pull_number())
        return (bars, recording.aux) if has_aux else bars

    return _called_like(function, "grad", gradient)


def jvp(function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`(output, output_tangent)`: the Jacobian times a tangent, by one forward sweep.

    >>> import numpy as np, compgraph as cg
    >>> cg.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))

    `tangents` has the structure and shapes of `primals`. Raises `InputError` or `ShapeError` where it has not.
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise InputError(f"jvp takes a tuple of primals and a tuple of tangents, as in cg.jvp(f, (x,), (x_dot,)){here()}")
    recording = Recording(function, primals, {}, tuple(range(len(primals))))
    seeds = seeds_like(tuple(primals), tuple(tangents), recording.inputs, "primals")
    dots = recording.push(seeds)
    return recording.output, recording.rebuild(dots)


def vjp(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`(output, pullback)`, where `pullback(seed)` is the seed times the Jacobian: one adjoint a primal.

    >>> import numpy as np, compgraph as cg
    >>> output, pullback = cg.vjp(lambda x, w: w @ x, np.array([1.0, 2.0]), np.eye(2))
    >>> pullback(np.array([1.0, 0.0]))
    (array([1., 0.]), array([[1., 2.],
           [0., 0.]]))

    The seed has the structure and shapes of the output. The pullback can be called again; each call is one sweep.
    """
    recording = Recording(function, primals, {}, tuple(range(len(primals))))

    def pullback(seed: Any) -> tuple[Any, ...]:
        seeds = seeds_like(recording.rebuild(recording.outputs), seed, recording.outputs, "output")
        values: tuple[Any, ...] = recording.by_argument(recording.pull(seeds))
        return values

    return recording.output, pullback


def seeds_like(template: Any, tree: Any, nodes: Sequence[Node], what: str) -> list[Any]:
    leaves, paths = leaves_like(template, tree, what)
    return [seeded(leaf, node, path) for leaf, node, path in zip(leaves, nodes, paths, strict=True)]


def jacobian(
    function: Callable[..., Any],
    argnums: Argnums = 0,
    mode: str = "auto",
    *,
    chunk_size: int | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[..., Any]:
    """All partial derivatives: an array of shape `output.shape + input.shape`.

    >>> import numpy as np, compgraph as cg
    >>> cg.jacobian(lambda x: np.stack([x[0] * x[1], x[0] + x[1]]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [1., 1.]])

    One vector sweep a differentiated array: forward it carries a tangent for each input entry, reverse an adjoint for
    each output entry, and `mode="auto"` takes the fewer of the two. `chunk_size` bounds how many it carries at once,
    where memory is short. For containers, and for several `argnums`, the result has the outputs' structure outside and
    the inputs' inside. With `has_aux` the function returns `(result, aux)` and this one `(jacobian, aux)`.
    Where input and output are complex, `holomorphic=True` has to be said; where only one of them is, no such thing is needed.
    """
    if mode not in ("auto", "forward", "reverse"):
        raise InputError(f"mode {mode!r}: it is 'auto', 'forward' or 'reverse'{here()}")
    if chunk_size is not None and (type(chunk_size) is not int or chunk_size < 1):
        raise InputError(f"chunk_size is a positive integer or None, not {chunk_size!r}{here()}")

    def all_partials(*args: Any, **kwargs: Any) -> Any:
        recording = Recording(function, args, kwargs, argnums, has_aux, holomorphic)
        found = _all_partials(recording, mode, chunk_size)
        return (found, recording.aux) if has_aux else found

    return _called_like(function, "jacobian", all_partials)


def _all_partials(recording: Recording, mode: str, chunk_size: int | None = None) -> Any:
    inputs, outputs = recording.inputs, recording.outputs
    sizes = sum(node.size for node in inputs), sum(node.size for node in outputs)
    if mode == "forward" or (mode == "auto" and sizes[0] <= sizes[1]):
        columns = [recording.push_all(place, chunk_size) for place in range(len(inputs))]
        blocks = [[_columns(column[j], node) for node, column in zip(inputs, columns, strict=True)] for j in range(len(outputs))]
    else:
        blocks = [recording.pull_all(place, chunk_size) for place in range(len(outputs))]
    return recording.rebuild([recording.by_argument(row) for row in blocks])


def _columns(rows: Any, node: Node) -> Any:
    """A Jacobian's block from its columns, which a vector forward sweep has put along the first axis."""
    inner = rows.shape[1:]
    moved = np.transpose(rows, (*range(1, 1 + len(inner)), 0))
    return np.reshape(moved, inner + node.shape)


def hessian(
    function: Callable[..., Any], argnums: Argnums = 0, mode: str = "forward-over-reverse", *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """All second derivatives of a function that returns one number: an array of shape `input.shape + input.shape`.

    >>> import numpy as np, compgraph as cg
    >>> cg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])

    `mode` says which sweep differentiates which: "forward-over-reverse", the cheapest, "reverse-over-reverse",
    "reverse-over-forward" or "forward-over-forward". For containers, and for several `argnums`, the result has the
    arguments' structure outside, and inside it once more.
    """
    if mode not in _NESTINGS:
        raise InputError(f"mode {mode!r}: it is one of {', '.join(map(repr, _NESTINGS))}{here()}")
    outer, inner = mode.split("-over-")

    def gradient(*args: Any, **kwargs: Any) -> Any:
        recording = Recording(function, args, kwargs, argnums)
        recording.check_number()
        return _all_partials(recording, "forward") if inner == "forward" else recording.by_argument(recording.pull_number())

    second = jacobian(_called_like(function, "grad", gradient), argnums, outer, chunk_size=chunk_size)
    return _called_like(function, "hessian", second)


_NESTINGS = tuple(f"{outer}-over-{inner}" for outer in ("forward", "reverse") for inner in ("reverse", "forward"))


def hvp(function: Callable[..., Any], primals: Sequence[Any], vectors: Sequence[Any]) -> Any:
    """The Hessian times a vector, forward over reverse (Pearlmutter, 1994), without forming the Hessian.

    >>> import numpy as np, compgraph as cg
    >>> cg.hvp(lambda x: np.sum(x ** 3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])

    For several primals the result is a tuple, one entry a primal.
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(vectors, (tuple, list)):
        raise InputError(f"hvp takes a tuple of primals and a tuple of vectors, as in cg.hvp(f, (x,), (v,)){here()}")
    numbers: Argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(function, numbers), primals, vectors)[1]


def elementwise_grad(function: Callable[..., Any], argnums: int = 0, *, holomorphic: bool = False) -> Callable[..., Any]:
    """The derivative of a function that works entry by entry, at every entry in one sweep.

    >>> import numpy as np, compgraph as cg
    >>> cg.elementwise_grad(np.sin)(np.array([0.0, np.pi]))
    array([ 1., -1.])

    A complex result has to be said to be `holomorphic`, as in `grad`.
    """

    def derivative(*args: Any, **kwargs: Any) -> Any:
        recording = Recording(function, args, kwargs, argnums, holomorphic=holomorphic)
        if any(node.dtype.kind == "c" for node in recording.outputs):
            recording.check_holomorphic()
        shapes = {node.shape for node in (*recording.inputs, *recording.outputs)}
        if len(shapes) > 1:
            raise ShapeError(f"elementwise_grad: {recording.name} does not work entry by entry: it mixes shapes {shapes}{here()}")
        seeds = [beside(np.ones(node.shape, node.dtype)[()], node.value) for node in recording.outputs]
        return recording.by_argument(recording.pull(seeds))

    return _called_like(function, "elementwise_grad", derivative)
