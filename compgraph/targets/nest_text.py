"""A fused program -> the text of a function: loops, variables, entries of flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from compgraph.targets.entry_text import EntryText
from compgraph.targets.fusion import Body, Loop
from compgraph.targets.spelling import number
from compgraph.targets.statements import Access, Matrix, Product, Statement, Value
from compgraph.targets.storage import Block

STRIP = 1024  # entries that one accumulator takes before it is added to the next: sums of long vectors keep their digits
COMBINED = {
    "sum": "plus({0}, {1})", "prod": "{0} * {1}", "max": "maximum({0}, {1})", "min": "minimum({0}, {1})", "any": "{0} | {1}",
    "all": "{0} & {1}", "cumsum": "{0} + {1}", "cumprod": "{0} * {1}",
}  # fmt: skip
_OF_WHOLES = {"sum": "{0} + {1}", "max": "select({0} >= {1}, {0}, {1})", "min": "select({0} <= {1}, {0}, {1})"}


def identity(kind: str, dtype: np.dtype[Any]) -> str:
    """What a reduction starts from."""
    if kind in ("max", "min", "argmax", "argmin"):
        least = kind in ("max", "argmax")
        if dtype.kind == "f":
            return number(-np.inf if least else np.inf, dtype)
        if dtype.kind == "b":
            return str(not least)
        return number(np.iinfo(dtype).min if least else np.iinfo(dtype).max, dtype)
    return number({"sum": 0, "cumsum": 0, "prod": 1, "cumprod": 1, "any": False, "all": True, "add": 0}[kind], dtype)


class NestText(EntryText):
    """The lines of one function over a part of the program."""

    def __init__(self, blocks: dict[Value, Block], taken: Iterable[str], exact: bool) -> None:
        super().__init__(blocks, taken)
        self.exact = exact
        self.arrays: dict[str, None] = {}  # that the function is given
        self.scalars: dict[str, Value] = {}  # inputs without axes, which are numbers
        self.deferred: set[str] = set()  # arrays that are read and overwritten in one loop: their stores come last
        self.starts: dict[str, None] = {}  # names of the places where blocks start
        self.strips: set[Statement] = set()  # sums that are taken strip by strip

    # -------------------------------------------------------------------------------------- entries

    def place_in(self, access: Access) -> tuple[list[str], int]:
        block = self.blocks[access.value]
        self.arrays[block.array] = None
        if not block.name:
            return [], access.offset - block.low + block.start
        self.starts[block.name.partition(" ")[0]] = None
        return [block.name], access.offset - block.low

    def read(self, access: Access, statement: Statement | None) -> str:
        if access.value.kind == "input" and access.value.shape == ():
            self.scalars[access.value.name] = access.value
            return access.value.name
        return super().read(access, statement)

    def hold(self, access: Access, name: str, statement: Statement | None) -> None:
        self.line(f"{name} = {self.address(access, statement)}")

    # ------------------------------------------------------------------------------------ the tree

    def body(self, body: Body, depth: int) -> None:
        for place, statements in enumerate(body.between):
            for statement in statements:
                self.statement(statement)
            if place < len(body.items):
                item = body.items[place]
                if isinstance(item, Loop):
                    self.loop(item, depth)
                elif isinstance(item, Product):
                    self.product(item)

    def loop(self, loop: Loop, depth: int) -> None:
        for statement, access in loop.preloads:
            self.read(access, statement)
        inside = list(loop.body.statements())
        started = [one for one in inside if one.first_reduced == depth and depth < len(one.lengths)]
        running = [one for one in inside if one.kind in ("cumsum", "cumprod") and len(one.lengths) == depth + 1]
        partial = [one for one in inside if one.first_reduced < depth < len(one.lengths) and one.reduced[depth] and self.in_variable(one)]
        strips = [one for one in started if self.is_stripped(one, loop)]
        self.strips |= set(strips)
        for one in running:
            self.line(f"{self.variable(one)} = {identity(one.kind, one.target.value.dtype)}")
        for one in started:
            self.start(one, depth)
        for one in partial:
            self.line(f"{self.part(one, depth)} = {identity(one.kind, one.dtype)}")
        name = self.counter(depth)
        if strips:
            block = self.unique(f"{name}_start")
            self.line(f"for {block} in range(0, {loop.length}, {STRIP}):")
            self.indent += 1
            for one in strips:
                self.line(f"{self.part(one, depth)} = {identity(one.kind, one.dtype)}")
            within = self.unique(f"{name}_step")  # which the compiler sees to be no negative number
            self.line(f"for {within} in range(min({STRIP}, {loop.length} - {block})):")
        else:
            self.line(f"for {name} in range({f'{loop.length - 1}, -1, -1' if loop.reverse else loop.length}):")
        self.indent += 1
        if strips:
            self.line(f"{name} = {block} + {within}")
        self.scopes.append({})
        outer, self.late = self.late, []
        self.body(loop.body, depth + 1)
        if loop.tail is not None:
            self.body(loop.tail, depth + 1)
        for text in self.late:
            self.line(text)
        self.late = outer
        self.scopes.pop()
        self.indent -= 1
        if strips:
            for one in strips:
                self.line(f"{self.variables[one]} += {self.part(one, depth)}")
            self.indent -= 1
            for one in strips:
                if one.dtype != np.float64:
                    self.line(f"{self.variables[one]} = np.{one.dtype.name}({self.variables[one]})")
        for one in partial:
            self.line(f"{self.part(one, depth - 1)} = {self.combined(one, self.part(one, depth - 1), self.part(one, depth))}")
        for one in started:
            self.finish(one)

    def is_stripped(self, one: Statement, loop: Loop) -> bool:
        innermost = len(one.lengths) == one.first_reduced + 1
        return loop.length > 2 * STRIP and one.kind == "sum" and one.dtype.kind == "f" and innermost and not self.exact

    def in_variable(self, one: Statement) -> bool:
        """Whether a reduction accumulates in a variable: nothing is looped over inside it that it does not reduce."""
        return False not in one.reduced[one.first_reduced :]

    def part(self, one: Statement, depth: int) -> str:
        """The accumulator of the loop at `depth`; the outermost one is the result."""
        name = self.variables[one]
        stripped = one in self.strips
        if depth == one.first_reduced and not stripped:
            return name
        return f"{name}_part" + (str(depth) if depth > one.first_reduced + 1 else "")

    def combined(self, one: Statement, total: str, term: str) -> str:
        template = COMBINED[one.kind]
        if one.dtype.kind != "f":
            template = _OF_WHOLES.get(one.kind, template)
        elif self.exact and one.kind == "sum":
            template = "{0} + {1}"
        text = template.format(total, term)
        return text if one.dtype in (np.float64, np.float32, np.int64, np.bool_) else f"np.{one.dtype.name}({text})"

    def start(self, one: Statement, depth: int) -> None:
        first = identity(one.kind, one.dtype)
        if one in self.strips:
            first = "0.0"  # the sum over the strips is a float64
        if self.in_variable(one):
            name = self.variable(one)
            if one.kind in ("argmax", "argmin"):
                self.line(f"{name} = 0")
                name = f"{name}_best"
            self.line(f"{name} = {first}")
            return
        inner = [place for place in range(depth, len(one.lengths)) if not one.reduced[place]]
        for place in inner:
            self.line(f"for {self.counter(place)} in range({one.lengths[place]}):")
            self.indent += 1
        self.line(f"{self.address(one.target, one)} = {first}")
        self.indent -= len(inner)

    def finish(self, one: Statement) -> None:
        if self.in_variable(one):
            self.store(one, self.variables[one])

    def store(self, one: Statement, name: str) -> None:
        if one.target.value in self.blocks:
            text = f"{self.address(one.target, one)} = {name}"
            if self.blocks[one.target.value].array in self.deferred and one.path:
                self.late.append(text)
            else:
                self.line(text)

    def statement(self, one: Statement) -> None:
        names = [self.read(access, one) for access in one.reads]
        text = one.text(names)
        if one.kind == "map":
            name = self.variable(one)
            self.line(f"{name} = {text}")
            self.store(one, name)
        elif one.kind == "add":
            place = self.address(one.target, one)
            self.line(f"{place} += {text}")
        elif one.kind in ("cumsum", "cumprod"):
            name = self.variables[one]
            self.line(f"{name} = {self.combined(one, name, text)}")
            self.store(one, name)
        elif one.kind in ("argmax", "argmin"):
            name, best, counter = self.variables[one], f"{self.variables[one]}_best", self.counter(len(one.lengths) - 1)
            sign = ">" if one.kind == "argmax" else "<"
            # The first NaN is the place, as in NumPy; before all others the first entry, which may be infinite.
            self.line(f"if {counter} == 0 or {text} {sign} {best} or ({text} != {text} and {best} == {best}):")
            self.line(f"    {best} = {text}")
            self.line(f"    {name} = {counter}")
        elif self.in_variable(one):
            depth = len(one.lengths) - 1
            while not one.reduced[depth]:
                depth -= 1
            name = self.part(one, depth)
            self.line(f"{name} = {self.combined(one, name, text)}")
        else:
            place = self.address(one.target, one)
            self.line(f"{place} = {self.combined(one, place, text)}")

    # ------------------------------------------------------------------------------------- products

    def product(self, item: Product) -> None:
        for depth, length in enumerate(item.batch, len(item.path)):
            self.line(f"for {self.counter(depth)} in range({length}):")
            self.indent += 1
        texts = [self.matrix(matrix) for matrix in (item.left, item.right, item.target)]
        self.line(f"np.dot({', '.join(texts)})")
        self.indent -= len(item.batch)

    def matrix(self, matrix: Matrix) -> str:
        access = Access(matrix.value, matrix.offset, matrix.strides)
        array, _, place = self.address(access)[:-1].partition("[")
        size = matrix.rows * matrix.columns
        text = f"{array}[{place}:{place} + {size}]" if place != "0" else f"{array}[:{size}]"
        text = f"{text}.reshape({matrix.rows}, {matrix.columns})"
        return f"{text}.T" if matrix.transposed else text


def described(statements: Sequence[Statement]) -> str:
    """Which lines of the graph a nest computes."""
    names = list(dict.fromkeys(one.target.value.name for one in statements))
    return ", ".join(names if len(names) <= 12 else [*names[:6], "...", *names[-5:]])
