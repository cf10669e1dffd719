"""Cheap values that a later nest reads are computed there again, where that takes no more memory traffic than reading them.

The mask of a rectifier, x > 0, is an example: the backward sweep would read what the forward sweep had to write, and both
cost more than the comparison. It changes no value: the same operations run on the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from compgraph.targets.building import touched
from compgraph.targets.statements import Access, Item, Statement, Value, flattened

CHEAP = frozenset(
    "add subtract multiply negative square abs identity maximum minimum where less less_equal greater greater_equal equal not_equal "  # noqa: SIM905
    "logical_not logical_and logical_or isfinite isnan astype to_discrete".split()
)
MOST = 8  # statements that are computed again for one value
SMALL = 64  # entries that stay in the cache anyway


def recomputed(items: Sequence[Item]) -> list[Item]:
    """The program, whose items have been placed, with such values computed again; the items lose their places."""
    if len(items) > 5000:
        return list(items)
    plan = _Plan(items)
    for item in items:
        if isinstance(item, Statement):
            plan.consider(item)
    for each in flattened(items):
        each.path, each.place = (), ()
    return _alive([one for item in items for one in (*plan.inserted.get(item, ()), item)])


def _alive(items: Sequence[Item]) -> list[Item]:
    """The items without the statements that nobody reads any more."""
    kept = []
    for item in reversed(items):
        if isinstance(item, Statement):
            value = item.target.value
            if value.kind == "scratch" and value.base is None and not value.readers:
                for read in touched(item)[1]:
                    read.readers = [one for one in read.readers if one is not item]
                continue
        kept.append(item)
    return kept[::-1]


class _Plan:
    def __init__(self, items: Sequence[Item]) -> None:
        self.items = set(items)
        self.inserted: dict[Item, list[Statement]] = {}
        self.given_up: set[Value] = set()  # values that no later nest reads any more
        self.read_in: dict[int, set[Value]] = {}  # nest -> what it reads from memory
        for item in flattened(items):
            self.read_in.setdefault(item.place[0], set()).update(touched(item)[1])

    def is_stored(self, value: Value) -> bool:
        if value.kind != "scratch" or value.base is not None:
            return True
        places = {one.place[0] for one in value.writers}
        return value not in self.given_up and any(
            not isinstance(one, Statement) or one.place[0] not in places or len(places) > 1 for one in value.readers
        )

    def consider(self, writer: Statement) -> None:
        value = writer.target.value
        if value.size < SMALL or not self._is_cheap(writer) or value.kind != "scratch" or value.base is not None:
            return
        if not all(isinstance(one, Statement) and one in self.items for one in value.readers):
            return
        away = [one for one in value.readers if one.place[0] != writer.place[0]]
        if not away or not all(self._reads_alike(one, writer) for one in away):
            return
        found = self._expression(writer)
        if found is None:
            return
        statements, leaves = found
        if len(statements) > MOST or any(len(leaves - self.read_in[one.place[0]]) > 1 for one in away):
            return
        self.given_up.add(value)
        nests: dict[int, Value] = {}
        for reader in away:
            place = reader.place[0]
            if place not in nests:
                nests[place] = self._again(statements, reader)
                self.read_in[place] |= leaves
            self._replace(reader, value, nests[place])

    def _is_cheap(self, statement: Statement) -> bool:
        name = statement.node.primitive.name if statement.node is not None and statement.node.primitive is not None else ""
        alone = len(statement.target.value.writers) == 1 and statement in self.items
        gathers = any(one.gathers for one in (*statement.reads, statement.target))
        return alone and statement.kind == "map" and name in CHEAP and not gathers

    def _reads_alike(self, reader: Statement, writer: Statement) -> bool:
        """Whether the reader's every iteration wants the entry that the writer's wrote."""
        own = writer.target
        reads = [one for read in reader.reads for one in read.all_accesses() if one.value is own.value]
        return reader.lengths == writer.lengths and all(one == own for one in reads) and own.value is not reader.target.value

    def _expression(self, last: Statement) -> tuple[list[Statement], set[Value]] | None:
        """The statements that compute it from what is in memory, in order, and what that is; None if that is not cheap."""
        found: dict[Statement, None] = {}
        leaves: set[Value] = set()
        waiting = [last]
        while waiting and len(found) <= MOST:
            statement = waiting.pop()
            found.pop(statement, None)
            found[statement] = None
            for read in statement.reads:
                value = read.value
                if value.size == 1:
                    continue
                if self.is_stored(value):
                    if all(read.strides):  # what is broadcast stays in the cache
                        leaves.add(value)
                    continue
                (writer, *more) = value.writers
                if more or not isinstance(writer, Statement) or not self._is_cheap(writer) or writer.target != read:
                    return None
                if writer.lengths != statement.lengths:
                    return None
                waiting.append(writer)
        return (list(reversed(found)), leaves) if not waiting else None

    def _again(self, statements: Sequence[Statement], before: Statement) -> Value:
        """The same statements for the nest of `before`, where they go because what that one waits for is there."""
        wanted = {one.target.value for one in statements}
        after = [writer for value in touched(before)[1] if value not in wanted for writer in value.writers]
        new: dict[Value, Value] = {}
        for one in statements:
            old = one.target.value
            fresh = new[old] = Value(old.name, old.shape, old.dtype, node=old.node)
            reads = tuple(_moved(read, new) for read in one.reads)
            copy = Statement(one.kind, one.lengths, one.target._replace(value=fresh), reads, one.text, one.dtype, one.node, one.reduced)
            copy.place = before.place
            copy.after = tuple(after)
            fresh.writers.append(copy)
            for value in touched(copy)[1]:
                value.readers.append(copy)
            self.inserted.setdefault(before, []).append(copy)
            self.items.add(copy)
        return new[statements[-1].target.value]

    def _replace(self, reader: Statement, old: Value, fresh: Value) -> None:
        reader.reads = tuple(_moved(read, {old: fresh}) for read in reader.reads)
        old.readers = [one for one in old.readers if one is not reader]
        fresh.readers.append(reader)


def _moved(access: Access, new: dict[Value, Value]) -> Access:
    return access._replace(value=new.get(access.value, access.value))
