"""Sparse derivatives: which entries can differ from zero, groups of columns that share a sweep, and the compressed sweeps.

The pattern is found by pushing sets of input entries through the recorded graph, by one mechanism over the table of
primitives: an elementwise result depends on what its arguments depend on; a linear map is asked what it does with
marked entries; any other operation is taken apart into its tangent's graph, which is linear. Columns whose patterns
share no row then get one colour and one sweep (Curtis, Powell & Reid, 1974); for a symmetric Hessian a star colouring
is enough (Coleman & Moré, 1984; Gebremedhin, Manne & Pothen, What color is your Jacobian?, SIAM Review 47, 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from compgraph.batching import apply_batched
from compgraph.colouring import column_colours, star_colours
from compgraph.errors import InputError, MissingDependencyError, ShapeError
from compgraph.forward_mode import push
from compgraph.graph import Node, active_nodes, ancestors, bind, placeholder
from compgraph.modes import mode_with
from compgraph.origins import here
from compgraph.primitives.kinds import shape_of
from compgraph.reverse_mode import transposed
from compgraph.transforms import Recording, grad

Array = np.ndarray[Any, Any]
LIMIT = 200_000_000  # entries of a pattern, or numbers of one probe, beyond which memory would not do


@dataclass(frozen=True, eq=False)
class SparsityPattern:
    """Which entries of a matrix can differ from zero, by rows and then by columns."""

    rows: Array
    cols: Array
    shape: tuple[int, int]

    def todense(self) -> Array:
        """The pattern as an array of booleans."""
        dense = np.zeros(self.shape, bool)
        dense[self.rows, self.cols] = True
        return dense

    @property
    def size(self) -> int:
        """The number of entries that can differ from zero."""
        return len(self.rows)

    def __repr__(self) -> str:
        return f"SparsityPattern({self.shape[0]} x {self.shape[1]}, {self.size} entries)"


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A matrix as triplets: `values[i]` stands at `rows[i]`, `cols[i]`; all other entries are zero.

    `colours` has a number for each column, or each row where `compressed` is "rows"; those of a colour shared a sweep.
    """

    rows: Array
    cols: Array
    values: Any
    shape: tuple[int, int]
    colours: Array
    compressed: str

    @property
    def pattern(self) -> SparsityPattern:
        return SparsityPattern(self.rows, self.cols, self.shape)

    @property
    def sweeps(self) -> int:
        """How many tangents or adjoints were carried: the number of colours."""
        return int(np.max(self.colours, initial=-1)) + 1

    def todense(self) -> Any:
        """The matrix as an array, or as a node where `values` is one."""
        return bind("scatter_add", self.values, index=(self.rows, self.cols), shape=self.shape)

    def to_scipy(self) -> Any:
        """The matrix as a `scipy.sparse.coo_array`. Raises `MissingDependencyError` without SciPy."""
        try:
            sparse = import_module("scipy.sparse")
        except ImportError:
            raise MissingDependencyError("to_scipy() needs SciPy: pip install scipy") from None
        return sparse.coo_array((self.values, (self.rows, self.cols)), shape=self.shape)

    def __repr__(self) -> str:
        return f"SparseMatrix({self.shape[0]} x {self.shape[1]}, {len(self.rows)} entries, {self.sweeps} sweeps)"


# ------------------------------------------------------------------------------------ sets of entries


class _Sets:
    """A set of input entries for each entry of an array, as sorted keys `entry * width + input`."""

    __slots__ = ("keys", "size", "width")

    def __init__(self, keys: Array, size: int, width: int) -> None:
        if len(keys) > LIMIT:
            raise ShapeError(f"the sparsity pattern has more than {LIMIT} entries: the derivative is dense{here()}")
        self.keys, self.size, self.width = keys, size, width

    def split(self) -> tuple[Array, Array]:
        """The pattern as rows and columns."""
        return np.divmod(self.keys, self.width) if self.width else (self.keys, self.keys)

    def gathered(self, sources: Array) -> _Sets:
        """One set for each of `sources`, that of the entry it names; an empty one for -1."""
        if len(sources) == self.size and np.array_equal(sources, np.arange(self.size)):
            return self
        rows, _ = self.split()
        starts = np.searchsorted(rows, np.arange(self.size + 1))
        counts = np.where(sources < 0, 0, starts[sources + 1] - starts[sources]) if self.size else np.zeros(len(sources), int)
        self.check(int(counts.sum()))
        targets = np.repeat(np.arange(len(sources)), counts)
        within = np.arange(len(targets)) - np.repeat(np.cumsum(counts) - counts, counts)
        picked = self.keys[np.repeat(starts[sources] if self.size else counts, counts) + within]
        return _Sets(targets * self.width + picked % max(self.width, 1), len(sources), self.width)

    def scattered(self, targets: Array, size: int) -> _Sets:
        """The sets united into `size` ones: entry i goes into that of `targets[i]`, nowhere for -1."""
        rows, cols = self.split()
        kept = targets[rows] >= 0
        return _Sets(np.unique(targets[rows[kept]] * self.width + cols[kept]), size, self.width)

    def everywhere(self, size: int) -> _Sets:
        """The union of all sets for each of `size` entries: what is not known to be zero."""
        cols = np.unique(self.split()[1])
        self.check(size * len(cols))
        return _Sets((np.arange(size)[:, None] * self.width + cols).ravel(), size, self.width)

    @staticmethod
    def check(count: int) -> None:
        if count > LIMIT:
            raise ShapeError(f"the sparsity pattern has more than {LIMIT} entries: the derivative is dense{here()}")


def _union(sets: Sequence[_Sets]) -> _Sets:
    distinct = list({id(one.keys): one for one in sets}.values())
    if len(distinct) == 1:
        return distinct[0]
    return _Sets(np.unique(np.concatenate([one.keys for one in distinct])), distinct[0].size, distinct[0].width)


# --------------------------------------------------------------------------- through one primitive


def _through(node: Node, sets: dict[Node, _Sets]) -> _Sets | None:
    """What a node's entries depend on, from what its arguments' do."""
    primitive: Any = node.primitive
    found = []
    for place, arg in enumerate(node.args):
        if not isinstance(arg, Node) or arg not in sets:
            continue
        kind = primitive.kind(place)
        if kind == "elementwise":
            sources = np.broadcast_to(np.arange(arg.size).reshape(arg.shape), node.shape).ravel()
            found.append(sets[arg].gathered(sources))
        elif kind == "linear":
            found.append(_through_linear(node, place, sets))
        elif kind == "general":
            found.append(_through_tangent(node, place, sets))
    return _union(found) if found else None


def _through_tangent(node: Node, place: int, sets: dict[Node, _Sets]) -> _Sets:
    """A tangent rule is linear in the tangent: its graph has the pattern of the primitive."""
    arg = node.args[place]
    dot = placeholder(arg.shape, arg.dtype)
    dots = [dot if index == place else None for index in range(len(node.args))]
    with mode_with(origin=node.origin):
        result = push(node.primitive, node, node.args, dots, node.params)  # type: ignore[arg-type]
    inner = {**sets, dot: sets[arg]}
    nodes = ancestors([result], since=dot.id)
    active = active_nodes(nodes, [dot])
    linear = {dot: sets[arg]}
    for one in nodes:
        if one in active and one is not dot:
            # What the tangent is multiplied by belongs to the matrix; only the tangent carries dependence.
            found = _through(one, _Only(linear, inner))
            if found is not None:
                linear[one] = found
    return linear.get(result, _Sets(np.zeros(0, int), node.size, sets[arg].width))


class _Only(dict[Node, _Sets]):
    """Sets in which only the tangent's nodes are members; `varying` says which other nodes are no constants."""

    def __init__(self, linear: dict[Node, _Sets], varying: dict[Node, _Sets]) -> None:
        super().__init__(linear)
        self.varying = varying


def _through_linear(node: Node, place: int, sets: dict[Node, _Sets]) -> _Sets:
    """A linear map is asked what it does with marked entries: it moves them, it adds them up, or it mixes them."""
    arg, primitive = node.args[place], node.primitive
    varying = getattr(sets, "varying", sets)
    generator = np.random.default_rng(0)

    def fixed(index: int, other: Any) -> Any:
        """Another factor: zeros of a constant are part of the pattern, but no entry is small beside others."""
        value = other.value if isinstance(other, Node) else other
        if primitive.kind(index) == "none" and value is not None:  # type: ignore[union-attr]
            return value
        anything = value is None or (isinstance(other, Node) and other in varying)
        return np.where(True if anything else value != 0, generator.uniform(1.0, 2.0, shape_of(other)), 0.0)[()]

    others = [fixed(index, other) for index, other in enumerate(node.args)]
    together = {index for group in primitive.linear_groups(len(others)) if place in group for index in group}  # type: ignore[union-attr]
    others = [np.zeros(shape_of(one), np.float64)[()] if index in together else one for index, one in enumerate(others)]

    def run(x: Array) -> Array:
        return np.asarray(primitive.evaluate(*others[:place], x[()], *others[place + 1 :], **node.params))  # type: ignore[union-attr]

    def back(y_bar: Array) -> Array:
        xs = [*others[:place], np.ones(arg.shape), *others[place + 1 :]]
        return np.asarray(transposed(primitive, place, y_bar[()], None, xs, node.params))  # type: ignore[arg-type]

    sources = _moves(run, arg.shape, node.size)
    if sources is not None:
        return sets[arg].gathered(sources)
    targets = _moves(back, node.shape, arg.size)
    if targets is not None:
        return sets[arg].scattered(targets, node.size)
    return _mixed(node, place, others, sets[arg])


def _moves(linear: Callable[[Array], Array], shape: tuple[int, ...], size: int) -> Array | None:
    """Which entry each of the `size` results is a multiple of, -1 for none; None where one mixes several.

    Entry i is given as r, i r and i**2 r, for random r. A multiple of one entry then gives c r, c i r and c i**2 r; any
    mixture breaks the geometric sequence, as does one whose entries are no multiple at all.
    """
    count = int(np.prod(shape, dtype=int))
    marks = 1.0 + np.arange(count).reshape(shape) / max(count, 1)
    random = np.random.default_rng(1).uniform(0.5, 1.0, shape)
    try:
        plain, once, twice = (np.ravel(linear(random * marks**power)) for power in range(3))
    except Exception:  # a rule may not hold for such arguments; the pattern is then found in another way
        return None
    if len(plain) != size:
        return None
    empty = (plain == 0) & (once == 0) & (twice == 0)
    with np.errstate(all="ignore"):
        mark = once / plain
        exact = empty | (abs(twice - mark * once) <= 1e-13 * abs(twice))
    if not exact.all():
        return None
    places = np.where(empty, -1.0, np.rint((mark - 1.0) * max(count, 1)))
    close = empty | (abs((mark - 1.0) * max(count, 1) - places) < 1e-3)
    return places.astype(int) if close.all() and np.all(places < count) else None


def _mixed(node: Node, place: int, others: list[Any], sets: _Sets) -> _Sets:
    """A linear map that mixes entries: its matrix from unit vectors where that is affordable, and otherwise dense."""
    arg = node.args[place]
    if arg.size * max(node.size, arg.size) > LIMIT // 10:
        return sets.everywhere(node.size)
    units = np.eye(arg.size).reshape(arg.size, *arg.shape)
    flags = tuple(index == place for index in range(len(node.args)))
    columns = apply_batched(node.primitive, flags, [*others[:place], units, *others[place + 1 :]], node.params)  # type: ignore[arg-type]
    sources, targets = np.nonzero(np.reshape(columns, (arg.size, node.size)))
    order = np.argsort(targets, kind="stable")
    spread = sets.gathered(sources[order])
    return spread.scattered(targets[order], node.size)


# -------------------------------------------------------------------------------------- the patterns


def _pattern(recording: Recording) -> SparsityPattern:
    """The pattern of a recording's Jacobian: a row an output entry, a column an input entry, in the order of the leaves."""
    width = sum(node.size for node in recording.inputs)
    sets: dict[Node, _Sets] = {}
    start = 0
    for node in recording.inputs:
        sets[node] = _Sets(np.arange(node.size) * width + np.arange(start, start + node.size), node.size, width)
        start += node.size
    nodes = ancestors(recording.outputs, since=min((node.id for node in recording.inputs), default=0))
    active = active_nodes(nodes, recording.inputs)
    with mode_with(anomaly=False), np.errstate(all="ignore"):
        for node in nodes:
            if node in active and node not in sets:
                found = _through(node, sets)
                if found is not None:
                    sets[node] = found
    rows, cols, above = [np.zeros(0, int)], [np.zeros(0, int)], 0
    for node in recording.outputs:
        if node in sets:
            more_rows, more_cols = sets[node].split()
            rows.append(more_rows + above)
            cols.append(more_cols)
        above += node.size
    return SparsityPattern(np.concatenate(rows), np.concatenate(cols), (above, width))


def sparsity_pattern(function: Callable[..., Any], x: Any) -> SparsityPattern:
    """Which entries of the Jacobian of `function` can differ from zero, at any argument that takes the same branches.

    >>> import numpy as np, compgraph as cg
    >>> cg.sparsity_pattern(lambda x: x[1:] - x[:-1] ** 2, np.zeros(4)).todense().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])

    Columns are the entries of `x`, rows those of the output; arrays of a container follow each other. Nothing that can
    be non-zero is left out; where an operation's pattern is not known it counts as dense. That of a Hessian is
    `sparsity_pattern(cg.grad(f), x)`. Raises `ShapeError` where the pattern itself would not fit into memory.
    """
    return _pattern(Recording(function, (x,), {}, 0))


def sparse_jacobian(function: Callable[..., Any], x: Any, *, pattern: SparsityPattern | None = None) -> SparseMatrix:
    """The Jacobian as triplets, with as many sweeps as its pattern has colours.

    >>> import numpy as np, compgraph as cg
    >>> cg.sparse_jacobian(lambda x: np.sin(x[1:]) - x[:-1] ** 2, np.zeros(100_000))
    SparseMatrix(99999 x 100000, 199998 entries, 2 sweeps)

    Columns that share no row are pushed together, or rows that share no column are pulled together, whichever takes
    fewer sweeps. A `pattern` that is known from before saves the search for it; entries outside it would be wrong.
    """
    recording = Recording(function, (x,), {}, 0)
    found = _given(pattern, recording)
    by_columns, by_rows = column_colours(found.rows, found.cols, found.shape), column_colours(found.cols, found.rows, found.shape[::-1])
    if np.max(by_columns, initial=-1) <= np.max(by_rows, initial=-1):
        compressed = _compressed(recording.push_many, recording.inputs, by_columns)
        values = compressed[by_columns[found.cols], found.rows] if found.size else np.zeros(0)
        return SparseMatrix(found.rows, found.cols, values, found.shape, by_columns, "columns")
    compressed = _compressed(recording.pull_many, recording.outputs, by_rows)
    return SparseMatrix(found.rows, found.cols, compressed[by_rows[found.rows], found.cols], found.shape, by_rows, "rows")


def sparse_hessian(function: Callable[..., Any], x: Any, *, pattern: SparsityPattern | None = None) -> SparseMatrix:
    """The Hessian of a function that returns one number as triplets, forward over reverse, a sweep a colour.

    >>> import numpy as np, compgraph as cg
    >>> cg.sparse_hessian(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2), np.ones(1000))
    SparseMatrix(1000 x 1000, 2998 entries, 3 sweeps)

    The colouring is a star colouring: of each symmetric pair at least one entry can be read off, and stands for both.
    """
    recording = Recording(grad(function), (x,), {}, 0)
    found = _given(pattern, recording)
    keys = np.unique(np.concatenate([found.rows * found.shape[1] + found.cols, found.cols * found.shape[1] + found.rows]))
    rows, cols = np.divmod(keys, max(found.shape[1], 1))
    colours = star_colours(rows, cols, found.shape[1])
    compressed = _compressed(recording.push_many, recording.inputs, colours)
    alone = _alone(rows, colours[cols])
    values = compressed[np.where(alone, colours[cols], colours[rows]), np.where(alone, rows, cols)] if len(rows) else np.zeros(0)
    return SparseMatrix(rows, cols, values, found.shape, colours, "columns")


def _given(pattern: SparsityPattern | None, recording: Recording) -> SparsityPattern:
    if pattern is None:
        return _pattern(recording)
    wanted = sum(node.size for node in recording.outputs), sum(node.size for node in recording.inputs)
    if not isinstance(pattern, SparsityPattern) or pattern.shape != wanted:
        shown = getattr(pattern, "shape", type(pattern).__name__)
        raise InputError(f"{recording.name}: the pattern is {shown}, it has to be a SparsityPattern of {wanted}{here()}")
    return pattern


def _compressed(sweep: Callable[[Sequence[Any]], list[Any]], nodes: Sequence[Node], colours: Array) -> Any:
    """The matrix times the sums of unit vectors of each colour: one row a colour, by one vector sweep."""
    count = int(np.max(colours, initial=-1)) + 1
    seeds, start = [], 0
    for node in nodes:
        seed = np.zeros((count, node.size), node.dtype)
        seed[colours[start : start + node.size], np.arange(node.size)] = 1
        seeds.append(seed.reshape(count, *node.shape))
        start += node.size
    parts = [np.reshape(part, (count, int(np.prod(part.shape[1:], dtype=int)))) for part in sweep(seeds)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _alone(rows: Array, colours: Array) -> Array:
    """Whether an entry is the only one of its colour in its row, so that the compressed row holds it by itself."""
    keys = rows * (int(np.max(colours, initial=0)) + 1) + colours
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] == 1)
