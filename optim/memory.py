"""What training takes in memory: parameters, gradients, optimizer state and activations, in bytes, by layer.

Nothing is looked up in a table of multipliers. The state is what the optimizer's own rule keeps of a parameter. The
activations are what the reverse sweep reads of the forward one: the loss is traced, its adjoint graph is built, and those
primal values count that are arguments of its adjoint operations. A view of another value (a reshape, a transpose, a
slice) has no memory of its own: what it looks into is counted, once. Parameters and data are held anyway and are no
activations. A loop (`cg.scan`, `cg.fori`) runs forward once more for its derivative and keeps what its turns need; that is
counted too. The eager `backward()` holds every value that it recorded, read or not, which is more.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from optim.optimizer import Optimizer

Optimizers = Optimizer | Callable[[list[cg.Node]], Any]  # one, or a class such as Adam, or a function that makes one of parameters

_VIEWS = {"reshape", "transpose", "broadcast_to", "stop_gradient", "real", "imag"}  # results that lie in their argument's memory


class MemoryRow(NamedTuple):
    """Bytes of one layer, for one dtype and one batch size (None where no loss says what a batch is)."""

    layer: str
    dtype: str
    batch_size: int | None
    parameters: int
    gradients: int
    state: int
    activations: int

    @property
    def together(self) -> int:
        return self.parameters + self.gradients + self.state + self.activations


class StoredValue(NamedTuple):
    """A value of the forward sweep that the reverse sweep reads: its name in the graph, its operation, where it belongs."""

    name: str
    operation: str
    layer: str
    shape: tuple[int, ...]
    dtype: str
    batch_size: int | None

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * int(np.dtype(self.dtype).itemsize)


@dataclass(frozen=True)
class MemoryReport:
    """Rows of bytes, one for each layer, dtype and batch size, and the values that the activations are made of."""

    rows: tuple[MemoryRow, ...]
    values: tuple[StoredValue, ...] = ()
    optimizer: str = ""

    def total(self, *, dtype: Any = None, batch_size: int | None = None) -> MemoryRow:
        """All layers together. Where the report has several dtypes or batch sizes, say which is meant."""
        wanted = None if dtype is None else np.dtype(dtype).name
        chosen = [row for row in self.rows if wanted in (None, row.dtype) and batch_size in (None, row.batch_size)]
        cases = {row.batch_size: None for row in chosen}, {row.dtype: None for row in chosen}
        if not chosen or any(len(case) > 1 for case in self._alternatives(chosen)):
            raise cg.InputError(f"total: choose one of the batch sizes {[*cases[0]]} and dtypes {[*cases[1]]} of this report{cg.here()}")
        name = chosen[0].dtype if len(cases[1]) == 1 else "mixed"
        return MemoryRow("all", name, chosen[0].batch_size, *(sum(column) for column in zip(*(row[3:] for row in chosen), strict=True)))

    @staticmethod
    def _alternatives(rows: Sequence[MemoryRow]) -> tuple[set[Any], set[Any]]:
        """The batch sizes, and the dtypes of one and the same layer: those of different layers may be mixed."""
        first = [row for row in rows if row.layer == rows[0].layer]
        return {row.batch_size for row in rows}, {row.dtype for row in first}

    @property
    def parameters(self) -> int:
        return self.total().parameters

    @property
    def gradients(self) -> int:
        return self.total().gradients

    @property
    def state(self) -> int:
        return self.total().state

    @property
    def activations(self) -> int:
        return self.total().activations

    @property
    def together(self) -> int:
        return self.total().together

    @property
    def factor(self) -> float:
        """How many times the parameters' size training takes, activations left out: 2 for plain SGD, 4 for Adam."""
        whole = self.total()
        return (whole.parameters + whole.gradients + whole.state) / whole.parameters if whole.parameters else math.nan

    def _table(self) -> list[tuple[str, ...]]:
        lines: list[tuple[str, ...]] = [("layer", "dtype", "batch", "parameters", "gradients", "state", "activations", "together")]
        cases = list(dict.fromkeys((row.batch_size, row.dtype) for row in self.rows))
        merged = len(self._alternatives(self.rows)[1]) == 1
        groups = [(batch, None) for batch in dict.fromkeys(batch for batch, _ in cases)] if merged else cases
        for batch, dtype in groups:
            rows = [row for row in self.rows if row.batch_size == batch and dtype in (None, row.dtype)]
            whole = self.total(dtype=dtype, batch_size=batch)
            for row in [*rows, whole]:
                sizes = (row.parameters, row.gradients, row.state, row.activations, row.together)
                lines.append((row.layer, row.dtype, "-" if batch is None else str(batch), *map(in_bytes, sizes)))
        return lines

    def __str__(self) -> str:
        lines = self._table()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = ["  ".join([*map(str.ljust, line[:2], widths), *map(str.rjust, line[2:], widths[2:])]).rstrip() for line in lines]
        return "\n".join([self._caption(), *texts])

    def _caption(self) -> str:
        return f"memory of training with {self.optimizer}" if self.optimizer else "memory of training, without an optimizer's state"

    def _repr_html_(self) -> str:
        style = ' style="text-align: right; padding: 0.1em 0.6em"'
        plain = ' style="text-align: left; padding: 0.1em 0.6em"'
        lines = self._table()

        def cells(line: Sequence[str], tag: str) -> str:
            return "".join(f"<{tag}{plain if place < 2 else style}>{html.escape(cell)}</{tag}>" for place, cell in enumerate(line))

        body = "\n".join(f"<tr>{cells(line, 'td')}</tr>" for line in lines[1:])
        caption = f"<caption>{html.escape(self._caption())}</caption>"
        return f"<table>{caption}<thead><tr>{cells(lines[0], 'th')}</tr></thead>\n<tbody>{body}</tbody></table>"


def in_bytes(size: int) -> str:
    """A size with its unit; 1 KiB is 1024 bytes.

    >>> in_bytes(288), in_bytes(37_600), in_bytes(28 * 10**9)
    ('288 B', '36.7 KiB', '26.1 GiB')
    """
    if size < 10 * 1024:
        return f"{size:,} B"
    power = min((size.bit_length() - 1) // 10, 5)
    return f"{size / 1024**power:,.1f} {'KMGTP'[power - 1]}iB"


def linear(inputs: int, outputs: int, *, bias: bool = True, dtype: Any = np.float32) -> dict[str, Any]:
    """The parameters of a linear layer as PyTorch lays them out, as nodes that have a shape and no value.

    >>> {name: node.shape for name, node in linear(8, 4).items()}
    {'weight': (4, 8), 'bias': (4,)}

    They take no memory, however large the layer is.
    """
    shapes = {"weight": (outputs, inputs), **({"bias": (outputs,)} if bias else {})}
    return {name: _described(shape, np.dtype(dtype)) for name, shape in shapes.items()}


def _described(shape: tuple[int, ...], dtype: Any) -> cg.Node:
    """An array by its shape and dtype: a node without a value, which takes no memory."""
    return cg.trace(lambda x: np.broadcast_to(x, shape), np.zeros((), dtype)).outputs[0]


# ------------------------------------------------------------------------------------------------ report


def memory_report(
    parameters: Any,
    loss: Callable[..., Any] | None = None,
    *data: Any,
    optimizer: Optimizers | None = None,
    dtype: Any = None,
    batch_size: int | Sequence[int] | None = None,
) -> MemoryReport:
    """The bytes that training these parameters takes.

    >>> import numpy as np, compgraph as cg, optim
    >>> from optim.memory import linear
    >>> memory_report(linear(8, 4, bias=False), dtype="float32").parameters
    128
    >>> memory_report(linear(8, 4), dtype="float64", optimizer=optim.Adam).total()[3:]
    (288, 288, 576, 0)
    >>> def loss(layers, X, y):
    ...     hidden = np.tanh(X @ layers["hidden"]["weight"].T + layers["hidden"]["bias"])
    ...     return np.mean((hidden @ layers["output"]["weight"].T - y) ** 2)
    >>> layers = {"hidden": linear(8, 4), "output": linear(4, 1, bias=False)}
    >>> print(memory_report(layers, loss, np.ones((64, 8)), np.ones((64, 1)), optimizer=optim.SGD, dtype="float32"))
    memory of training with SGD
    layer   dtype    batch  parameters  gradients  state  activations  together
    hidden  float32     64       144 B      144 B    0 B      1,024 B   1,312 B
    output  float32     64        16 B       16 B    0 B        256 B     288 B
    all     float32     64       160 B      160 B    0 B      1,280 B   1,600 B

    - `parameters`: arrays, or nodes without a value such as `linear` makes, in nested dicts, lists and tuples; or
      variables, as an iterable of them or of (name, variable) pairs, which is what a model's `named_parameters()` gives. What
      stands before the last dot of a parameter's path is its layer, as in "hidden.weight".
    - `loss`: a function of the parameters, in the container in which they came, and of `data`, which returns a number. With
      variables it takes the data alone and reads the variables itself. Without it activations count as 0.
    - `data`: arrays whose first axis is the batch, or nodes without a value.
    - `optimizer`: an optimizer, whose first group's hyperparameters count; a class such as `optim.Adam`; or a function of a
      list of variables, as in `lambda parameters: optim.SGD(parameters, momentum=0.9)`. The state is what its rule starts with
      for each parameter; the count of steps, a Python number, is left out.
    - `dtype`, `batch_size`: one, or several of each, instead of those that the arrays have.

    An activation belongs to the `cg.scope` in which it was computed; outside scopes to the layer whose parameter it reads, or
    else to that of the latest of its arguments; "data" where there is none. `report.values` lists them one by one.

    Raises `InputError` for no parameters, for the same variable twice, and where `dtype` is asked of variables, whose dtype
    the loss reads; `DtypeError` for parameters that are not floating point; `ShapeError` for a loss that is not a number.
    """
    named, rebuild, variables = _named(parameters)
    dtypes = _several(dtype, lambda one: _floating(one, "dtype"))
    if variables and loss is not None and dtypes != [None]:
        text = "the loss reads variables, whose dtype is their own; for another one pass arrays and a function of them"
        raise cg.InputError(f"memory_report: {text}{cg.here()}")
    sizes = _several(batch_size, _counted)
    if sizes != [None] and not any(np.shape(part) for part in data):
        raise cg.InputError(f"memory_report: batch_size says how long the first axis of the data is, and no data is given{cg.here()}")
    rows: list[MemoryRow] = []
    values: list[StoredValue] = []
    made = ""
    for one in dtypes:
        shaped = {name: (node.shape, node.dtype if one is None else one) for name, node in named.items()}
        kept = {}
        for described in dict.fromkeys(shaped.values()) if optimizer is not None else ():
            kept[described], made = _state_bytes(optimizer, *described)  # type: ignore[arg-type]
        for size in sizes:
            found: list[StoredValue] = []
            batch = [_batched(part, data[0], size, one) for part in data]
            length = batch[0].shape[0] if loss is not None and batch and batch[0].shape else None
            if loss is not None:
                given = None if variables else rebuild([_described(*described) for described in shaped.values()])
                found = _activations(loss, given, batch, named, length)
            values += found
            rows += _rows(shaped, kept, found, length)
    return MemoryReport(tuple(rows), tuple(values), made)


def _rows(
    shaped: Mapping[str, tuple[tuple[int, ...], Any]],
    kept: Mapping[tuple[tuple[int, ...], Any], int],
    found: Sequence[StoredValue],
    length: int | None,
) -> list[MemoryRow]:
    """A row for each layer, those with parameters first, in their order."""
    rows = []
    layers = dict.fromkeys([*map(_layer, shaped), *(value.layer for value in found)])
    for layer in layers:
        own = [described for name, described in shaped.items() if _layer(name) == layer]
        held = [value for value in found if value.layer == layer]
        names = {dtype.name: None for _, dtype in own} or {value.dtype: None for value in held}
        size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in own)
        state = sum(kept.get(described, 0) for described in own)
        name = next(iter(names)) if len(names) == 1 else "mixed"
        rows.append(MemoryRow(layer, name, length, size, size, state, sum(value.nbytes for value in held)))
    return rows


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name


# --------------------------------------------------------------------------------------------- arguments


def _named(parameters: Any) -> tuple[dict[str, cg.Node], Callable[[list[Any]], Any], bool]:
    """Parameters by name, what puts leaves back into their container, and whether they are variables."""
    if isinstance(parameters, Iterable) and not isinstance(parameters, (Mapping, np.ndarray, cg.Node)):
        parameters = _of_list(list(parameters))
    if isinstance(parameters, (Mapping, list)) and not parameters:
        raise cg.InputError(f"memory_report: there are no parameters{cg.here()}")
    graph = cg.trace(lambda parameters: parameters, parameters)  # takes containers apart, and calls the leaves by their paths
    leaves = _leaves(parameters)
    names = [_dotted(graph.names[node]) or "parameter" for node in graph.inputs]
    for name, leaf in zip(names, leaves, strict=True):
        _floating(getattr(leaf, "dtype", float), name)
    held = [isinstance(leaf, cg.Node) and leaf.value is not None for leaf in leaves]
    if not any(held):
        return dict(zip(names, graph.inputs, strict=True)), graph.pack or (lambda leaves: leaves[0]), False
    if not all(held):
        raise cg.InputError(f"memory_report: some parameters are variables and some are arrays; pass all of one kind{cg.here()}")
    if len(set(leaves)) < len(leaves):
        raise cg.InputError(f"memory_report: the same variable is given twice{cg.here()}")
    return dict(zip(names, leaves, strict=True)), lambda leaves: leaves, True


def _of_list(listed: list[Any]) -> Any:
    """Pairs of names and variables, or variables that have names, as a dict; anything else as it is."""
    if listed and all(isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) for one in listed):
        if len(dict(listed)) < len(listed):
            raise cg.InputError(f"memory_report: two parameters have the same name{cg.here()}")
        return dict(listed)
    names = [one.name for one in listed if isinstance(one, cg.Node) and one.name]
    return dict(zip(names, listed, strict=True)) if len(set(names)) == len(listed) else listed


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    return [leaf for part in tree for leaf in _leaves(part)] if isinstance(tree, (list, tuple)) else [tree]


def _dotted(path: str) -> str:
    """`parameters.layers[0].weight` -> `layers.0.weight`, as PyTorch calls parameters."""
    return path.replace("[", ".").replace("]", "").removeprefix("parameters").removeprefix(".")


def _several(given: Any, check: Callable[[Any], Any]) -> list[Any]:
    return [check(one) for one in given] if isinstance(given, (list, tuple)) and given else [None if given is None else check(given)]


def _floating(dtype: Any, what: str) -> Any:
    try:
        known = np.dtype(dtype)
    except TypeError:
        raise cg.DtypeError(f"memory_report: {what}: {dtype!r:.40} is no dtype; write one such as 'float32'{cg.here()}") from None
    if known.kind not in "fc":
        raise cg.DtypeError(f"memory_report: {what} is {known}, and only floating point is trained; write one such as 'float32'{cg.here()}")
    return known


def _counted(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise cg.InputError(f"memory_report: batch_size is a whole number from 1 on, not {size!r:.40}{cg.here()}")
    return int(size)


def _batched(part: Any, first: Any, size: int | None, dtype: Any) -> cg.Node:
    """Data by shape and dtype: with `size` examples where its first axis is that of the first array, and in `dtype` if it floats."""
    array = part if isinstance(part, cg.Node) else np.asarray(part)
    shape = array.shape
    if size is not None and shape and np.shape(first) and shape[0] == np.shape(first)[0]:
        shape = (size, *shape[1:])
    own = array.dtype
    return _described(shape, own if dtype is None or own.kind not in "fc" else np.dtype(dtype))


# --------------------------------------------------------------------------------------- what is counted


def _state_bytes(optimizer: Optimizers, shape: tuple[int, ...], dtype: Any) -> tuple[int, str]:
    """The bytes of the state with which the optimizer's rule starts for one such parameter, and what the optimizer is called."""
    made = optimizer if isinstance(optimizer, Optimizer) else optimizer([cg.variable(np.zeros([1] * len(shape), dtype))])
    if not hasattr(made, "rule"):
        raise cg.InputError(
            f"memory_report: {type(made).__name__} has no rule for each parameter, which would say what it keeps of one{cg.here()}"
        )
    parameter = _described(shape, dtype)
    rule, hyperparameters = made.rule_for(parameter, made.param_groups[0])
    kept = rule.start(parameter, **hyperparameters).values()
    return sum(_nbytes(part) for part in kept if hasattr(part, "shape")), type(made).__name__


def _nbytes(part: Any) -> int:
    return math.prod(part.shape) * int(part.dtype.itemsize)


def _activations(
    loss: Callable[..., Any], parameters: Any, data: Sequence[cg.Node], named: Mapping[str, cg.Node], length: int | None
) -> list[StoredValue]:
    """The primal values that the adjoint sweep of the loss reads."""
    forward, adjoint, leaves = adjoint_graph(loss, parameters, data, named)
    layers = _layers(adjoint, leaves)
    return [
        StoredValue(adjoint.names[node], node.primitive.name, layers.get(node, "data"), node.shape, node.dtype.name, length)
        for node in stored(forward, adjoint)
        if node.primitive is not None
    ]


def adjoint_graph(
    loss: Callable[..., Any], parameters: Any, data: Sequence[Any], named: Mapping[str, cg.Node]
) -> tuple[cg.Graph, cg.Graph, dict[cg.Node, str]]:
    """The traced loss, its adjoint graph with respect to the parameters, and which node is which parameter."""
    traced = cg.trace(loss, *data) if parameters is None else cg.trace(loss, parameters, *data)
    if len(traced.outputs) != 1 or traced.outputs[0].shape:
        shapes = ", ".join(str(node.shape) for node in traced.outputs)
        raise cg.ShapeError(f"memory_report: the loss has to be a number, {traced.name}() returned {shapes}{cg.here()}")
    if parameters is None:
        used = [node for node in named.values() if node in set(traced.nodes)]
        traced = cg.Graph([*used, *traced.inputs], traced.outputs, name=traced.name)
        leaves = {node: name for name, node in named.items()}
    else:
        leaves = dict(zip(traced.inputs, named, strict=False))
    wrt = [node for node in traced.inputs if node in leaves]
    return traced, cg.reverse(traced, wrt=wrt), leaves


def stored(forward: cg.Graph, adjoint: cg.Graph) -> list[cg.Node]:
    """The nodes whose values the reverse sweep reads from memory, in order; neither inputs nor constants.

    Loops that the adjoint graph runs forward, which depend on no adjoint, belong to the forward sweep.
    """
    seeds = set(adjoint.inputs[len(forward.inputs) :])
    behind = set(seeds)
    for node in adjoint.nodes:
        if any(arg in behind for arg in node.args if isinstance(arg, cg.Node)):
            behind.add(node)
    held = set(forward.nodes) | {node for node in adjoint.nodes if _is_loop(node) and node not in behind}
    read = {arg for node in adjoint.nodes if node not in held for arg in node.args if isinstance(arg, cg.Node) and arg in held}
    bases = {_base(node) for node in read}
    return [node for node in adjoint.nodes if node in bases and node.args]


def _is_loop(node: cg.Node) -> bool:
    return node.primitive is not None and node.primitive.name == "scan"


def _base(node: cg.Node) -> cg.Node:
    """The node in whose memory the value of `node` lies."""
    while node.primitive is not None and node.args and isinstance(node.args[0], cg.Node) and _is_view(node):
        node = node.args[0]
    return node


def _is_view(node: cg.Node) -> bool:
    assert node.primitive is not None
    if node.primitive.name != "index":
        return node.primitive.name in _VIEWS
    index = node.params["index"]
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts)


def _layers(graph: cg.Graph, leaves: Mapping[cg.Node, str]) -> dict[cg.Node, str]:
    """The layer of each node, by the scope it is in, the parameter it reads, or its latest argument that has one."""
    found = {node: _layer(name) for node, name in leaves.items()}
    known = {layer.replace(".", "/"): layer for layer in found.values()}  # a scope says encoder/0 for the layer encoder.0
    for node in graph.nodes:
        args = [arg for arg in node.args if isinstance(arg, cg.Node) and arg in found]
        if node not in leaves and (node.scope or args):
            found[node] = known.get(node.scope, node.scope) or found[max(args, key=lambda arg: (arg in leaves, arg.id))]
    return found
