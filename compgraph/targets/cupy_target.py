"""The CuPy target: a graph becomes a few CUDA kernels and cuBLAS products, captured once and replayed as a CUDA graph.

`build` shares with the numba target all that comes before the text: lowering, fusion, storage. Here every nest of loops is a
kernel (`cuda_text.py`), all memory is allocated once, and the second call with the same donated arrays records
the launches as a CUDA graph, which later calls replay with one launch, so that small programs do not wait for their launches.
Operations that have no loop are left to CuPy's own functions, between the kernels; such a program is not recorded.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.emission import program_name, program_names
from compgraph.errors import InputError, MissingDependencyError, MissingRuleError
from compgraph.formulas import formula
from compgraph.graph import Graph, Node
from compgraph.origins import describe_origin
from compgraph.targets import Program
from compgraph.targets.cuda_expressions import PRELUDE
from compgraph.targets.cuda_text import Kernel, KernelText
from compgraph.targets.fusion import Body, Loop, collapsed, fused, hoist
from compgraph.targets.lowering import Lowering, composed
from compgraph.targets.recomputing import recomputed
from compgraph.targets.statements import Access, Call, Item, Matrix, Product, Scan, Statement, Value
from compgraph.targets.storage import Storage, dtype_of

KEPT = 8  # sets of donated arrays whose recorded launches are kept
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
        floor_divide logaddexp logaddexp2 spacing place combined atomicAdd main
        """,
    )
)


def build(graph: Graph, *, donated: Mapping[int, int] | None = None, exact: bool = False, strict: bool = False) -> Program:
    """Make kernels of a graph.

    `donated` says into which input's array an output is written, by positions. `exact` fuses no multiplication with an
    addition. With `strict` an operation that has no kernel raises `MissingRuleError` instead of being left to CuPy. The
    results are CuPy arrays. Raises `MissingDependencyError` where CuPy is not installed.
    """
    try:
        import cupy
    except ImportError as error:
        text = 'target="cupy" needs CuPy, which is not installed: pip install "compgraph[gpu-cuda12]" or "compgraph[gpu-cuda13]"'
        raise MissingDependencyError(text) from error
    return _Builder(graph, dict(donated or {}), exact, strict, cupy).program()


class _Storage(Storage):
    """On a device the turns of a loop run side by side, so none can use another's memory."""

    def _shared_depth(self, value: Value) -> int:
        return 0


class Launches:
    """What a program runs, in order: kernels, products, calls of CuPy, and loops of the graph's own over such."""

    def __init__(self) -> None:
        self.steps: list[Kernel | Product | Call | Repeated] = []

    def count(self) -> int:
        return sum(step.loop.length * step.inner.count() if isinstance(step, Repeated) else 1 for step in self.steps)

    def lines(self, indent: str = "") -> list[str]:
        """The launches in words."""
        lines = []
        for step in self.steps:
            if isinstance(step, Kernel):
                lines.append(indent + step.launch)
            elif isinstance(step, Product):
                left, right, target = step.left, step.right, step.target
                often = f", {_size(step.batch)} times" * bool(step.batch)
                lines.append(f"{indent}{target.value.name} = {_shown(left)} @ {_shown(right)}{often}")
            elif isinstance(step, Call):
                where = "NumPy on the host" if is_of_the_host(step) else "CuPy"
                lines.append(f"{indent}{step.target.name} = {step.node.primitive.name}, by {where}")  # type: ignore[union-attr]
            else:
                lines.append(f"{indent}{step.loop.length} times{', from the last on' * step.loop.reverse}:")
                lines += step.inner.lines(indent + "    ")
        return lines


class Repeated(NamedTuple):
    """A loop of the graph's own, and what each of its turns launches."""

    loop: Loop
    inner: Launches


def _shown(matrix: Matrix) -> str:
    return matrix.value.name + ".T" * matrix.transposed


class _Builder:
    def __init__(self, graph: Graph, donated: dict[int, int], exact: bool, strict: bool, cupy: Any) -> None:
        self.cupy, self.exact = cupy, exact
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
        taken = {*self.lowering.taken, *RESERVED, *self.storage.sizes}
        wish = f"{program_name(self.graph)}_{len(self.kernels) + 1}"
        text = KernelText(wish, self.storage.blocks, taken, turns, self.deferred, self.largest)
        text.taken -= set(self.names.values())
        text.taken |= {value.name for value in self.inputs}
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
        notes = [f"{self.refusal(call.node)}: {who[is_of_the_host(call)]} between the kernels" for call in self.calls]
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


def _size(batch: Sequence[int]) -> int:
    return int(np.prod(batch, dtype=int))


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


# -------------------------------------------------------------------------------------------- running


class Runner:
    """The program as a function of arrays. Its memory belongs to a stream and a set of donated arrays."""

    def __init__(self, builder: _Builder, code: str, recorded: bool) -> None:
        self.cupy = builder.cupy
        self.inputs, self.outputs = builder.inputs, builder.lowering.outputs
        self.donated, self.storage = builder.donated, builder.storage
        self.launches, self.calls, self.recorded = builder.launches, builder.calls, recorded
        self.constant_arrays = builder.lowering.constant_arrays
        self.options = ("--std=c++17", *(("--fmad=false",) if builder.exact else ()))
        self.code = code
        self.module: Any = None
        self.sessions: OrderedDict[tuple[int, ...], Session] = OrderedDict()
        self.lock = threading.RLock()

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        cupy = self.cupy
        given = [values[place] for place in self.donated.values()]
        for place, value in zip(self.donated.values(), given, strict=True):
            if not isinstance(value, cupy.ndarray):
                name, kind = self.inputs[place].name, type(value).__name__
                raise InputError(f"the donated argument {name} is a {kind}, which is not on the device: pass a CuPy array")
        key = (cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr, *(value.data.ptr for value in given))
        with self.lock:
            if self.module is None:
                self.module = cupy.RawModule(code=self.code, options=self.options)
            session = self.sessions.get(key)
            if session is None:
                session = self.sessions[key] = Session(self, given)
                if len(self.sessions) > KEPT:
                    self.sessions.popitem(last=False)
            return session(values)


class Session:
    """All memory of a program at fixed places, and its launches, bound to them."""

    def __init__(self, runner: Runner, donated: Sequence[Any]) -> None:
        cupy = self.cupy = runner.cupy
        self.runner = runner
        self.arrays: dict[str, Any] = {}
        for array, size in runner.storage.sizes.items():
            if not array.endswith("_constants"):
                self.arrays[array] = cupy.empty(size, dtype_of(array))
        for name in [array for array in runner.storage.sizes if array.endswith("_constants")]:
            values = [value for value in runner.storage.constants if f"{value.dtype.name}_constants" == name]
            parts = [np.ravel(runner.constant_arrays[value.number]) for value in values]
            self.arrays[name] = cupy.asarray(np.concatenate(parts))
        self.keeps = dict(zip(runner.donated.values(), donated, strict=True))
        self.given: list[tuple[int, Any]] = []
        for place, value in enumerate(runner.inputs):
            if place in self.keeps:
                self.arrays[value.name] = self.keeps[place].reshape(-1)
            elif value in runner.storage.blocks:
                array = self.arrays[value.name] = cupy.empty(max(value.size, 1), value.dtype)
                self.given.append((place, array[: value.size].reshape(value.shape)))
        for value, block in runner.storage.blocks.items():
            if block.array not in self.arrays:
                self.arrays[block.array] = cupy.empty(max(value.size, 1), value.dtype)
        self.steps = self.bound(runner.launches)
        self.graph: Any = None
        self.runs = 0

    def __call__(self, values: Sequence[Any]) -> tuple[Any, ...]:
        for place, array in self.given:
            value = values[place]
            if isinstance(value, self.cupy.ndarray):
                array[...] = value
            else:
                array.set(np.array(value, array.dtype, order="C"))
        if self.graph is not None:
            self.graph.launch()
        elif self.runner.recorded and self.runs == 1:
            stream = self.cupy.cuda.Stream(non_blocking=True)
            with stream:
                stream.begin_capture()
                self.run(self.steps, ())
                self.graph = stream.end_capture()
            self.graph.launch()
        else:
            self.run(self.steps, ())
        self.runs += 1
        return tuple(self.result(value) for value in self.runner.outputs)

    def result(self, value: Value) -> Any:
        output = value.output
        assert output is not None
        held = self.arrays[self.runner.storage.blocks[value].array]
        if output in self.runner.donated:
            given = self.keeps[self.runner.donated[output]]
            if output in self.runner.storage.copied:
                given[...] = held.reshape(given.shape)
            return given
        return held[: value.size].copy().reshape(value.shape)

    # ------------------------------------------------------------------------------------ launches

    def run(self, steps: Sequence[Any], turns: tuple[int, ...]) -> None:
        for step in steps:
            if isinstance(step, tuple):
                loop, inner = step
                for turn in reversed(range(loop.length)) if loop.reverse else range(loop.length):
                    self.run(inner, (*turns, turn))
            else:
                step(turns)

    def bound(self, launches: Launches) -> list[Any]:
        bound: list[Any] = []
        for step in launches.steps:
            if isinstance(step, Repeated):
                bound.append((step.loop, self.bound(step.inner)))
            elif isinstance(step, Kernel):
                bound.append(self.kernel(step))
            elif isinstance(step, Product):
                bound.append(self.product(step))
            else:
                bound.append(self.call(step))
        return bound

    def kernel(self, kernel: Kernel) -> Callable[[tuple[int, ...]], None]:
        function = self.runner.module.get_function(kernel.name)
        args = tuple(self.arrays[array] for array in kernel.arrays)
        grid, block = (kernel.blocks,), (kernel.width, kernel.lanes)
        index = np.int64 if re.search(r"[(,] ?long long \w+[,)]", kernel.source.partition("{")[0]) else np.int32
        return lambda turns: function(grid, block, (*args, *map(index, turns)))

    def product(self, item: Product) -> Callable[[tuple[int, ...]], None]:
        """One call of cuBLAS, whose matrices lie column by column: what is wanted is the product of the transposes, the other way round."""
        cublas, handle_of = self.cupy.cuda.cublas, self.cupy.cuda.device.get_cublas_handle
        left, right, target = item.left, item.right, item.target
        letter = {"float32": "s", "float64": "d"}[target.value.dtype.name]
        itemsize = target.value.dtype.itemsize
        gemm, strided = getattr(cublas, f"{letter}gemm"), getattr(cublas, f"{letter}gemmStridedBatched")
        one, nothing = np.ones(1, target.value.dtype), np.zeros(1, target.value.dtype)
        ones, nothings = one.ctypes.data, nothing.ctypes.data
        if target.transposed:  # (left @ right).T as it lies is right.T @ left.T
            left, right, target = _turned(right), _turned(left), _turned(target)
        rows, columns = target.rows, target.columns
        inner = left.rows if left.transposed else left.columns
        flags = int(right.transposed), int(left.transposed)
        depth = len(item.path)
        *outer, count = item.batch or (1,)
        starts = [self.start(matrix) for matrix in (right, left, target)]
        sizes = [max(matrix.columns, 1) for matrix in (right, left, target)]
        last = [matrix.strides[-1] if item.batch else 0 for matrix in (right, left, target)]

        def multiply(turns: tuple[int, ...]) -> None:
            handle = handle_of()
            for place in np.ndindex(*outer):
                at = (*turns, *place)
                a, b, c = (
                    start + itemsize * sum(stride * turn for stride, turn in zip(matrix.strides, at, strict=False))
                    for start, matrix in zip(starts, (right, left, target), strict=True)
                )
                if count == 1:
                    gemm(handle, *flags, columns, rows, inner, ones, a, sizes[0], b, sizes[1], nothings, c, sizes[2])
                else:
                    first, second, third = zip(sizes, last, strict=True)
                    strided(handle, *flags, columns, rows, inner, ones, a, *first, b, *second, nothings, c, *third, count)

        multiply.keeps = one, nothing  # type: ignore[attr-defined]
        assert depth == len(left.strides) - len(item.batch)
        return multiply

    def start(self, matrix: Matrix) -> int:
        block = self.runner.storage.blocks[matrix.value]
        array = self.arrays[block.array]
        return int(array.data.ptr) + array.dtype.itemsize * (block.start + matrix.offset - block.low)

    def call(self, item: Call) -> Callable[[tuple[int, ...]], None]:
        """CuPy's own function of the operation."""
        primitive, params = item.node.primitive, item.node.params
        assert primitive is not None
        target = self.viewed(item.target)
        if is_of_the_host(item):
            given = [self.viewed(arg) if isinstance(arg, Value) else arg for arg in item.arguments]

            def compute_there(turns: tuple[int, ...]) -> None:
                values = [arg.get() if isinstance(arg, self.cupy.ndarray) else arg for arg in given]
                target.set(np.array(primitive.evaluate(*values, **params), target.dtype, order="C"))

            return compute_there
        evaluate = primitive.evaluator(self.cupy)
        args = [self.viewed(arg) if isinstance(arg, Value) else self.on_device(arg) for arg in item.arguments]
        there = {name: self.on_device(value) for name, value in params.items()}

        def compute(turns: tuple[int, ...]) -> None:
            target[...] = evaluate(*args, **there)

        return compute

    def viewed(self, value: Value) -> Any:
        block = self.runner.storage.blocks[value]
        return self.arrays[block.array][block.start : block.start + value.size].reshape(value.shape)

    def on_device(self, constant: Any) -> Any:
        """A constant with the arrays in it on the device."""
        if type(constant) in (tuple, list):
            return type(constant)(map(self.on_device, constant))
        return self.cupy.asarray(constant) if isinstance(constant, np.ndarray) else constant


def is_of_the_host(item: Call) -> bool:
    """Whether an operation is a function of the project's own, or of SciPy, that is written for arrays of the host."""
    primitive = item.node.primitive
    return primitive is not None and bool(primitive.helper or primitive.module)


def _turned(matrix: Matrix) -> Matrix:
    return matrix._replace(transposed=not matrix.transposed)
