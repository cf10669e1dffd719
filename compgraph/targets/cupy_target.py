"""The CuPy target: a graph becomes a few CUDA kernels and cuBLAS products, captured once and replayed as a CUDA graph.

`build` shares with the numba target all that comes before the text: lowering, fusion, storage. Here every nest of loops is a
kernel (`cuda_text.py`), all memory is allocated once, and the second call with the same donated arrays records
the launches as a CUDA graph, which later calls replay with one launch, so that small programs do not wait for their launches.
Operations that have no loop are left to CuPy's own functions, between the kernels; such a program is not recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from compgraph.backend import is_of_the_host
from compgraph.emission import program_name, program_names
from compgraph.errors import MissingRuleError
from compgraph.formulas import formula
from compgraph.graph import Graph, Node
from compgraph.origins import describe_origin
from compgraph.targets import Program
from compgraph.targets.cuda_expressions import PRELUDE
from compgraph.targets.cuda_text import Kernel, KernelText
from compgraph.targets.cupy_running import Launches, Repeated, Runner
from compgraph.targets.fusion import Body, Loop, collapsed, fused, hoist
from compgraph.targets.lowering import Lowering, composed
from compgraph.targets.recomputing import recomputed
from compgraph.targets.statements import Access, Call, Item, Scan, Statement, Value
from compgraph.targets.storage import Storage

MOST_RECORDED = 20_000  # launches in one CUDA graph
SPLIT = 2**16  # entries from which a sum over everything is taken in two steps

# Names that a kernel uses, which nothing of the user's may have.
RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
        alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr const_cast continue
        decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long
        mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast return
        short signed sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid
        typename union unsigned using virtual void volatile wchar_t while xor xor_eq NAN INFINITY threadIdx blockIdx blockDim gridDim lane
        lanes active entry abs min max exp log log1p expm1 sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp2 log2
        log10 cbrt floor ceil trunc rint signbit nextafter hypot atan2 copysign fmod pow fmax fmin isnan isinf fabs j0 j1 jn y0 y1 yn
        gamma lgamma tgamma erf erfc plus times either both maximum minimum select fabs_of signbit_of fraction power remainder_of
        floor_divide logaddexp logaddexp2 spacing place within combined atomicAdd main
        """,
    )
)


def build(graph: Graph, *, donated: Mapping[int, int] | None = None, exact: bool = False, strict: bool = False) -> Program:
    """Make kernels of a graph.

    `donated` says into which input's array an output is written, by positions. `exact` fuses no multiplication with an
    addition. With `strict` an operation that has no kernel raises `MissingRuleError` instead of being left to CuPy. The
    results are CuPy arrays. CuPy is not needed before the first call, which raises `MissingDependencyError` or `DeviceError`
    where it or a GPU is missing: the text of the program can be read anywhere.
    """
    return _Builder(graph, dict(donated or {}), exact, strict).program()


class _Storage(Storage):
    """On a device the turns of a loop run side by side, so none can use another's memory."""

    def _shared_depth(self, value: Value) -> int:
        return 0


class _Builder:
    def __init__(self, graph: Graph, donated: dict[int, int], exact: bool, strict: bool) -> None:
        self.exact = exact
        self.graph = composed(graph)
        self.names = {node: f"{name}_" if name in RESERVED else name for node, name in program_names(self.graph).items()}
        self.lowering = Lowering(self.graph, self.names, frozenset())
        self.calls = [item for item in self.lowering.items if isinstance(item, Call)]
        if strict and self.calls:
            raise MissingRuleError(f"{self.refusal(self.calls[0].node)}; leave out strict=True, and CuPy computes it between kernels")
        items = _split([_reduced_last(item) for item in self.lowering.items], self.lowering)
        fused(items)  # to see what would have to be kept from one kernel to another
        items = recomputed(items)
        self.top = fused(items)
        collapsed(self.top)
        _segment(self.top, [0])
        hoist(self.top)
        inputs = [self.lowering.operands[node].value for node in self.graph.inputs]  # type: ignore[union-attr]
        donors = {output: inputs[given] for output, given in donated.items() if self.graph.outputs[output].shape}
        self.donated = {output: given for output, given in donated.items() if output in donors}
        self.inputs: list[Value] = inputs
        self.storage = _Storage(self.top, items, donors, self.lowering.outputs)
        self.deferred = frozenset(inputs[given].name for given in self.donated.values())
        largest = max([*self.storage.sizes.values(), *(value.size for value in self.storage.blocks)], default=0)
        self.largest = largest
        self.kernels: list[Kernel] = []
        self.launches = self.body(self.top, 0)

    def refusal(self, node: Node) -> str:
        place = describe_origin(node.origin)
        return f"{self.names[node]} = {formula(node, self.names.__getitem__)}: the cupy target has no kernel for {node.primitive.name}" + (  # type: ignore[union-attr]
            f", at {place}" if place else ""
        )

    # ------------------------------------------------------------------------------------------ text

    def body(self, body: Body, turns: int) -> Launches:
        """The launches of a body that stands inside `turns` loops of the graph's own."""
        launches = Launches()
        between: list[list[Statement]] = [[]]
        items: list[Loop] = []

        def flush() -> None:
            nonlocal between, items
            if any(between) or items:
                launches.steps.append(self.kernel(between, items, turns))
            between, items = [[]], []

        for place, statements in enumerate(body.between):
            if statements and items and not items[-1].apart:
                flush()
            between[-1] += statements
            item = body.items[place] if place < len(body.items) else None
            if isinstance(item, Loop) and item.tail is None:
                if not item.apart or (items and not items[-1].apart):
                    flush()
                items.append(item)
                between.append([])
                if not item.apart:
                    flush()
            elif item is not None:
                flush()
                if isinstance(item, Loop):
                    inner = self.body(item.body, turns + 1)
                    inner.steps += self.body(item.tail or Body(), turns + 1).steps
                    launches.steps.append(Repeated(item, inner))
                else:
                    launches.steps.append(item)
        flush()
        return launches

    def kernel(self, between: Sequence[Sequence[Statement]], items: Sequence[Loop], turns: int) -> Kernel:
        statements = [one for each in between for one in each] + [one for item in items for one in item.body.statements()]
        taken = {*self.lowering.unique.taken, *RESERVED, *self.storage.sizes}
        wish = f"{program_name(self.graph)}_{len(self.kernels) + 1}"
        text = KernelText(wish, self.storage.blocks, taken, turns, self.deferred, self.largest)
        text.unique.taken -= set(self.names.values())
        text.unique.taken |= {value.name for value in self.inputs}
        made = text.kernel(between, items)
        title = ", ".join(dict.fromkeys(one.target.value.name for one in statements))
        self.kernels.append(made)
        return made._replace(source=f"// {title if len(title) < 140 else title[:130] + ' ...'}\n{made.source}")

    def program(self) -> Program:
        kernels = _flat(self.launches)
        code = "\n".join(kernel.source for kernel in kernels)
        launches = self.launches.lines()
        recorded = not self.calls and self.launches.count() <= MOST_RECORDED
        who = {True: "NumPy computes it on the host", False: "CuPy computes it"}
        notes = [f"{self.refusal(call.node)}: {who[is_of_the_host(call.node.primitive)]} between the kernels" for call in self.calls]
        if not recorded:
            why = "calls of CuPy" if self.calls else f"{self.launches.count()} launches"
            notes.append(f"with {why} the program is launched piece by piece, and not recorded as a CUDA graph")
        listing = "\n".join(f"//     {line}" for line in launches)
        source = f"{code}\n// {len(launches)} launches a call{', recorded as a CUDA graph' * recorded}:\n{listing}\n"
        return Program(source, Runner(self, f"{PRELUDE}\n{code}", recorded), tuple(notes))


def _flat(launches: Launches) -> list[Kernel]:
    found = []
    for step in launches.steps:
        if isinstance(step, Kernel):
            found.append(step)
        elif isinstance(step, Repeated):
            found += _flat(step.inner)
    return found


# ------------------------------------------------------------------------------- what suits a device


def _reduced_last(item: Item) -> Item:
    """A reduction with what it sums along behind the rest, so that its outer loops are parallel."""
    if isinstance(item, Scan):
        return Scan(item.length, item.reverse, [_reduced_last(one) for one in item.items], item.tail)
    if isinstance(item, Statement) and True in item.reduced and item.kind not in ("argmax", "argmin"):
        axes = sorted(range(len(item.lengths)), key=lambda axis: item.reduced[axis])
        item.lengths = tuple(item.lengths[axis] for axis in axes)
        item.reduced = tuple(item.reduced[axis] for axis in axes)
        item.target, item.reads = item.target.at_depth(axes), tuple(read.at_depth(axes) for read in item.reads)
    return item


def _split(items: list[Item], lowering: Lowering, turns: int = 0) -> list[Item]:
    """Sums over everything stand apart from what else runs over the same entries, and long ones are taken in two steps."""
    done: list[Item] = []
    for item in items:
        if isinstance(item, Scan):
            item = Scan(item.length, item.reverse, _split(item.items, lowering, turns + 1), item.tail)
        elif isinstance(item, Statement) and item.reduced[turns:] and all(item.reduced[turns:]) and item.kind not in ("argmax", "argmin"):
            first = _first_step(item, lowering) if not turns and item.kind != "count" else None
            if first is not None:
                done.append(first)
            item.apart = True
        done.append(item)
    return done


def _first_step(item: Statement, lowering: Lowering) -> Statement | None:
    """Make of a long sum one of shorter sums, and return those."""
    size = int(np.prod(item.lengths, dtype=int))
    if size < SPLIT:
        return None
    lengths, accesses = list(item.lengths), [*item.reads]
    if len(lengths) == 1:
        parts = next((parts for parts in range(256, 4097) if lengths[0] % parts == 0), 0)
        if not parts or any(access.gathers for access in accesses):
            return None
        lengths = [parts, lengths[0] // parts]
        accesses = [one._replace(strides=(one.strides[0] * lengths[1], one.strides[0])) for one in accesses]
    value = Value(lowering.unique(f"{item.target.value.name}_parts"), (lengths[0],), item.target.value.dtype)
    first = Statement(
        item.kind, tuple(lengths), Access(value, 0, (1, *(0,) * (len(lengths) - 1))), tuple(accesses), item.text, item.dtype, item.node,
        (False, *(True,) * (len(lengths) - 1)),
    )  # fmt: skip
    for read in item.reads:
        for one in read.all_accesses():
            one.value.readers = [first if reader is item else reader for reader in one.value.readers]
    value.writers.append(first)
    value.readers.append(item)
    item.lengths, item.reduced = (lengths[0],), (True,)
    item.target = Access(item.target.value, item.target.offset, (0,))
    item.reads, item.text = (Access(value, 0, (1,)),), _itself
    return first


def _itself(names: Sequence[str]) -> str:
    return names[0]


def _segment(body: Body, number: list[int]) -> None:
    """Say of each statement in which kernel it is: what one kernel keeps in a variable, no other finds."""
    for place, statements in enumerate(body.between):
        number[0] += 1
        for one in statements:
            one.segment = number[0]
        if place < len(body.items) and isinstance(item := body.items[place], Loop):
            number[0] += 1
            if item.tail is not None:
                _segment(item.body, number)
                _segment(item.tail, number)
            else:
                for one in item.body.statements():
                    one.segment = number[0]
