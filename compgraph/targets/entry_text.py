"""What the texts of loops share, whatever their language: names, lines, and where an entry that was read is held."""

from __future__ import annotations

from collections.abc import Iterable

from compgraph.programs import Unique
from compgraph.targets.fusion import found_in_variable
from compgraph.targets.statements import Access, Statement, Value
from compgraph.targets.storage import Block


class EntryText:
    """The lines of a function over a part of the program. A language says how a place in memory is written (`place_in`),
    and how an entry is read into a variable (`hold`)."""

    def __init__(self, blocks: dict[Value, Block], taken: Iterable[str]) -> None:
        self.blocks = blocks
        self.unique = Unique(taken)
        self.lines: list[str] = []
        self.indent = 1
        self.variables: dict[Statement, str] = {}
        self.scopes: list[dict[Access, str]] = [{}]
        self.late: list[str] = []  # stores that come last
        self.counters = [self.unique(wish) for wish in ("i", "j", "k", "n", "o", "q", "r", "s", "u", "w")]

    def place_in(self, access: Access) -> tuple[list[str], int]:
        """The terms and the number that say where, in the array of its block, the entry lies while all counters are 0."""
        raise NotImplementedError

    def hold(self, access: Access, name: str, statement: Statement | None) -> None:
        """Write the line that reads the entry into a variable of that name."""
        raise NotImplementedError

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def counter(self, depth: int) -> str:
        while depth >= len(self.counters):
            self.counters.append(self.unique("i"))
        return self.counters[depth]

    def variable(self, one: Statement) -> str:
        """The name that holds what a statement computed."""
        if one not in self.variables:
            self.variables[one] = self.unique(one.target.value.name)
        return self.variables[one]

    def address(self, access: Access, statement: Statement | None = None) -> str:
        """The place of an entry in its array, which `statement` reads or writes; an index of it may be in a variable."""
        block = self.blocks[access.value]
        terms, start = self.place_in(access)
        for depth, stride in enumerate(access.strides):
            if stride and depth >= block.depth:
                name = self.counter(depth)
                terms.append(name if stride == 1 else f"{stride} * {name}")
        for index, stride, length in access.gathers:
            inner = f"place({self.read(index, statement)}, {length})"
            terms.append(inner if stride == 1 else f"{stride} * {inner}")
        text = " + ".join(terms)
        if start:
            text = f"{text} {'-' if start < 0 else '+'} {abs(start)}" if text else str(start)
        return f"{block.array}[{text or 0}]".replace("+ -", "- ")

    def read(self, access: Access, statement: Statement | None) -> str:
        """The name that holds an entry, read here if nobody has."""
        if statement is not None:
            writer = found_in_variable(access, statement)
            if writer is not None:
                return self.variables[writer]
        for scope in reversed(self.scopes):
            if access in scope:
                return scope[access]
        name = self.unique(f"{access.value.name}_{self.counter(len(access.strides) - 1) if access.strides else 0}")
        self.hold(access, name, statement)
        self.scopes[-1][access] = name
        return name
