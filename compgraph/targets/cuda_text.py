"""A fused program -> CUDA kernels that a person can read.

Every loop at the top is a kernel. Loops that stand perfectly inside each other, with nothing summed along them, become its
grid: one thread an entry, or where loops are left inside, one team of threads, which divide the first of those among
themselves and combine their sums in shared memory. Teams keep the order of their sums, so a run gives the same bits as the
one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from compgraph.targets.cuda_expressions import CTYPES, expression, literal
from compgraph.targets.entry_text import EntryText
from compgraph.targets.fusion import Body, Loop
from compgraph.targets.statements import Access, Statement, Value
from compgraph.targets.storage import Block

THREADS = 128  # of a block in which each thread has an entry of its own
TEAM = 256  # the most threads that share a row
FULL_TEAM = 1024  # and the most that share a sum over everything
SHORT = 16  # a loop that one thread runs by itself
TILE = 32  # neighbours that a block takes where they lie side by side in memory

_RUNNING = ("cumsum", "cumprod", "argmax", "argmin")
_COMBINED = {"sum": "plus", "prod": "times", "max": "maximum", "min": "minimum", "any": "either", "all": "both"}


class Kernel(NamedTuple):
    """A kernel's text, and how it is launched: `blocks` of `width` entries with `lanes` threads each."""

    name: str
    source: str
    arrays: tuple[str, ...]
    blocks: int
    width: int
    lanes: int

    @property
    def launch(self) -> str:
        return f"{self.name}<<<{self.blocks}, ({self.width}, {self.lanes})>>>({', '.join(self.arrays)})"


def starting(kind: str, dtype: np.dtype[Any]) -> str:
    """What a reduction starts from."""
    if kind in ("max", "min", "argmax", "argmin"):
        least = kind in ("max", "argmax")
        if dtype.kind == "f":
            return literal(-np.inf if least else np.inf, dtype)
        return literal(not least, dtype) if dtype.kind == "b" else literal(np.iinfo(dtype).min if least else np.iinfo(dtype).max, dtype)
    return literal({"sum": 0, "cumsum": 0, "prod": 1, "cumprod": 1, "any": False, "all": True}[kind], dtype)


class KernelText(EntryText):
    """The text of one kernel over a part of the program that stands inside `turns` loops of the graph's own."""

    def __init__(
        self, name: str, blocks: dict[Value, Block], taken: Iterable[str], turns: int, deferred: frozenset[str], largest: int
    ) -> None:
        super().__init__(blocks, taken)
        self.name = name
        self.turns = turns
        self.deferred = deferred  # arrays that are read and overwritten in one loop: their stores come last
        self.index = "int" if largest < 2**31 else "long long"
        self.arrays: dict[str, tuple[str, bool]] = {}  # array -> its type, and whether the kernel writes into it
        self.shared: dict[str, None] = {}  # types of the shared memory that sums are combined in
        self.inner = 0  # the depth of the loops that threads share, or one that no loop has
        self.alone = True  # whether each thread has entries of its own

    # ---------------------------------------------------------------------------------------- kernel

    def kernel(self, between: Sequence[Sequence[Statement]], items: Sequence[Loop]) -> Kernel:
        """The kernel of statements and loops in turns; one loop alone may become the grid."""
        body = Body()
        body.between, body.items = [list(each) for each in between], list(items)
        chain: list[Loop] = []
        while (loop := _only(body)) is not None and _is_parallel(loop, self.turns + len(chain)):
            chain.append(loop)
            body = loop.body
        depth = self.turns + len(chain)
        lengths = [loop.length for loop in chain]
        count = int(np.prod(lengths, dtype=int))
        if count > 2**31 - FULL_TEAM:  # of the last block some threads have numbers beyond
            self.index = "long long"
        longest = max((loop.length for loop in body.items if isinstance(loop, Loop)), default=0)
        self.alone = longest <= (SHORT if chain else 1) or any(one.kind in _RUNNING or one.kind == "add" for one in body.statements())
        self.inner = depth
        width, lanes = THREADS, 1
        if not self.alone:
            limit = TEAM if chain else FULL_TEAM
            width, lanes = 1, min(max(32, 1 << (longest - 1).bit_length()), limit)
            if chain and _side_by_side(body, depth):
                width, lanes = TILE, min(max(1, 1 << (longest - 1).bit_length()), TEAM // TILE)
        elif count == 1:
            width = 1
        self.decompose(lengths, count, width)
        self.body(body, depth)
        for text in self.late:
            self.line(text)
        blocks = -(-count // width)
        parameters = [f"{kind if written else f'const {kind}'}* __restrict__ {array}" for array, (kind, written) in self.arrays.items()]
        parameters += [f"{self.index} {self.counter(place)}" for place in range(self.turns)]
        shared = [f"    __shared__ {kind} parts_of_{kind.replace(' ', '_')}[{width * lanes}];" for kind in self.shared]
        head = f'extern "C" __global__ void {self.name}({", ".join(parameters)}) {{'
        source = "\n".join([head, *shared, *self.lines, "}"]) + "\n"
        return Kernel(self.name, source, tuple(self.arrays), blocks, width, lanes)

    def decompose(self, lengths: Sequence[int], count: int, width: int) -> None:
        """The place in the grid as the counters of the loops that became it."""
        if not lengths:
            if self.alone:
                return
            self.line(f"const {self.index} lane = threadIdx.y, lanes = blockDim.y;")
            self.line("const bool active = true;")
            return
        entry = self.unique("entry") if len(lengths) > 1 else self.counter(self.turns)
        place = f"({self.index})blockIdx.x * {width} + threadIdx.x" if width > 1 else "blockIdx.x"
        self.line(f"{'' if width > 1 and not self.alone else 'const '}{self.index} {entry} = {place};")
        if self.alone:
            if count % width:
                self.line(f"if ({entry} >= {count}) return;")
        else:
            self.line(f"const {self.index} lane = threadIdx.y, lanes = blockDim.y;")
            self.line(f"const bool active = {f'{entry} < {count}' if count % width else 'true'};")
            if count % width:
                self.line(f"if (!active) {entry} = {count - 1};")
        if len(lengths) > 1:
            rest, inner = entry, count
            for place_, length in enumerate(lengths[:-1]):
                inner //= length
                before = f"{rest} / {inner}" if place_ == 0 else f"{rest} / {inner} % {length}"
                self.line(f"const {self.index} {self.counter(self.turns + place_)} = {before};")
            self.line(f"const {self.index} {self.counter(self.turns + len(lengths) - 1)} = {rest} % {lengths[-1]};")

    # --------------------------------------------------------------------------------------- entries

    def place_in(self, access: Access) -> tuple[list[str], int]:
        block = self.blocks[access.value]
        self.arrays.setdefault(block.array, (CTYPES[access.value.dtype.name], False))
        return [], access.offset - block.low + block.start

    def written(self, one: Statement) -> str:
        """The place that a statement writes."""
        place = self.address(one.target, one)
        array = self.blocks[one.target.value].array
        self.arrays[array] = (self.arrays[array][0], True)
        return place

    def hold(self, access: Access, name: str, statement: Statement | None) -> None:
        text, kind = self.address(access, statement), CTYPES[access.value.dtype.name]
        if kind in ("float", "double") and access.gathers:  # what an index beyond an array reads is NaN, which no step survives unseen
            inside = " && ".join(f"within({self.read(index, statement)}, {length})" for index, _, length in access.gathers)
            text = f"{inside} ? {text} : {kind}(NAN)"
        self.line(f"const {kind} {name} = {text};")

    # -------------------------------------------------------------------------------------- the tree

    def body(self, body: Body, depth: int) -> None:
        for place, statements in enumerate(body.between):
            for statement in statements:
                self.statement(statement, depth)
            if place < len(body.items):
                item = body.items[place]
                assert isinstance(item, Loop)
                self.loop(item, depth)

    def loop(self, loop: Loop, depth: int) -> None:
        together = not self.alone and depth == self.inner
        inside = list(loop.body.statements())
        for statement, access in loop.preloads:
            self.read(access, statement)
        started = [one for one in inside if one.first_reduced == depth and depth < len(one.lengths)]
        running = [one for one in inside if one.kind in ("cumsum", "cumprod") and len(one.lengths) == depth + 1]
        for one in (*running, *started):
            dtype = one.dtype if one.kind in ("argmax", "argmin") else one.target.value.dtype
            name = self.variable(one)
            if one.kind in ("argmax", "argmin"):
                self.line(f"long long {name} = 0;")
                name = f"{name}_best"
            self.line(f"{CTYPES[dtype.name]} {name} = {starting(one.kind, dtype)};")
        name = self.counter(depth)
        if together:
            self.line(f"for ({self.index} {name} = lane; {name} < {loop.length} && active; {name} += lanes) {{")
        elif loop.reverse:
            self.line(f"for ({self.index} {name} = {loop.length - 1}; {name} >= 0; {name}--) {{")
        else:
            self.line(f"for ({self.index} {name} = 0; {name} < {loop.length}; {name}++) {{")
        self.indent += 1
        self.scopes.append({})
        outer, self.late = self.late, []
        self.body(loop.body, depth + 1)
        for text in self.late:
            self.line(text)
        self.late = outer
        self.scopes.pop()
        self.indent -= 1
        self.line("}")
        if together:
            for one in started:
                kind = CTYPES[one.target.value.dtype.name]
                self.shared[kind] = None
                parts, variable = f"parts_of_{kind.replace(' ', '_')}", self.variables[one]
                self.line(f"{variable} = combined({variable}, {_COMBINED[one.kind]}<{kind}>, {parts});")
            if not started:
                self.line("__syncthreads();")
        for one in started:
            self.store(one, self.variables[one], depth)

    def store(self, one: Statement, name: str, depth: int) -> None:
        if one.target.value not in self.blocks:
            return
        text = f"{self.written(one)} = {name};"
        if not self.alone and depth == self.inner:  # every thread of the team holds it, and may still have to read what it replaces
            self.line("__syncthreads();")
            self.line(f"if (lane == 0 && active) {text}")
            self.line("__syncthreads();")
        elif self.blocks[one.target.value].array in self.deferred:
            self.late.append(text)
        else:
            self.line(text)

    def statement(self, one: Statement, depth: int) -> None:
        names = [self.read(access, one) for access in one.reads]
        text = expression(one.text(names))
        kind = CTYPES[one.target.value.dtype.name]
        if one.kind == "map":
            name = self.variable(one)
            self.line(f"const {kind} {name} = {text};")
            self.store(one, name, depth)
        elif one.kind == "add":
            place = self.written(one)
            if one.target.value.dtype.name == "int64":
                self.line(f"atomicAdd((unsigned long long*)&{place}, (unsigned long long)({text}));")
            else:
                self.line(f"atomicAdd(&{place}, {text});")
        elif one.kind in ("cumsum", "cumprod"):
            name = self.variables[one]
            self.line(f"{name} = {name} {'+' if one.kind == 'cumsum' else '*'} {text};")
            self.store(one, name, depth)
        elif one.kind in ("argmax", "argmin"):
            name, counter = self.variables[one], self.counter(len(one.lengths) - 1)
            best, sign = f"{name}_best", ">" if one.kind == "argmax" else "<"
            # The first NaN is the place, as in NumPy; before all others the first entry, which may be infinite.
            self.line(f"if ({counter} == 0 || {text} {sign} {best} || ({text} != {text} && {best} == {best})) {{")
            self.line(f"    {best} = {text}; {name} = {counter};")
            self.line("}")
        else:
            name = self.variables[one]
            self.line(f"{name} = {_COMBINED[one.kind]}<{kind}>({name}, {text});")


def _only(body: Body) -> Loop | None:
    """The one loop that is all there is in a body."""
    if len(body.items) == 1 and not any(body.between) and isinstance(body.items[0], Loop) and body.items[0].tail is None:
        return body.items[0]
    return None


def _is_parallel(loop: Loop, depth: int) -> bool:
    """Whether the turns of a loop have nothing to do with each other: nothing is summed along it, or carried on."""
    for one in loop.body.statements():
        if len(one.lengths) > depth and one.reduced[depth]:
            return False
        if one.kind in ("cumsum", "cumprod") and len(one.lengths) == depth + 1:
            return False
    return not loop.reverse


def _side_by_side(body: Body, depth: int) -> bool:
    """Whether neighbours in the grid are neighbours in memory, and what the team divides is not."""
    votes = 0
    for one in body.statements():
        if len(one.lengths) <= depth:
            continue
        for access in (*one.reads, one.target):
            outer, inner = abs(access.strides[depth - 1]), abs(access.strides[depth])
            votes += (outer == 1 and inner != 1) - (inner == 1 and outer != 1)
    return votes > 0
