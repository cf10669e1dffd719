"""Statements -> as few loop nests as their dependencies allow.

The statements come in topological order. Each goes into a nest that stands already where it may: the loop has the length of
its outermost axis, nothing that it reads is written behind the loop, and what it reads from inside the loop was written in
the same iteration and is finished there. Then the same question is asked of the next axis, inside that loop. So the rows of
a softmax, its logarithm and its adjoint become one pass, in which a row never leaves the cache, and an optimizer's update
is one loop over all parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compgraph.targets.statements import Access, Call, Item, Product, Scan, Statement, Value

CANDIDATES = 4  # loops of the right length that are tried, from the last one back
MOST = 200  # statements in one nest
LONGEST = 100  # statements in one function, about


class Loop:
    """A loop over `range(length)` around a body."""

    __slots__ = ("apart", "body", "count", "length", "place", "preloads", "reverse", "serial", "tail")

    def __init__(self, length: int, serial: bool) -> None:
        self.length = length
        self.place = 0
        self.serial = serial
        self.apart = False
        self.reverse = False
        self.tail: Body | None = None  # of a loop of the graph's own: what ends each turn
        self.count = 0
        self.body = Body()
        self.preloads: list[tuple[Statement, Access]] = []  # what is read before it, since it does not change inside


class Body:
    """Loops and calls in order; `between[k]` are the statements before the k-th of them, and the last ones stand behind all.

    Places are numbers that grow in the order of execution: item k has 2k + 2, the statements before it have 2k + 1.
    """

    __slots__ = ("between", "by_length", "items")

    def __init__(self) -> None:
        self.items: list[Loop | Product | Call] = []
        self.between: list[list[Statement]] = [[]]
        self.by_length: dict[int, list[Loop]] = {}

    def append(self, item: Loop | Product | Call) -> int:
        place = 2 * len(self.items) + 2
        self.items.append(item)
        self.between.append([])
        if isinstance(item, Loop):
            item.place = place
            if item.tail is None:
                self.by_length.setdefault(item.length, []).append(item)
        return place

    def statements(self) -> Iterator[Statement]:
        """All statements, in order of execution."""
        stack: list[Iterator[Body | Statement]] = [_parts(self)]
        while stack:
            part = next(stack[-1], None)
            if part is None:
                stack.pop()
            elif isinstance(part, Body):
                stack.append(_parts(part))
            else:
                yield part


def _parts(body: Body) -> Iterator[Body | Statement]:
    for place, statements in enumerate(body.between):
        yield from statements
        if place < len(body.items):
            item = body.items[place]
            if isinstance(item, Loop):
                yield item.body
                if item.tail is not None:
                    yield item.tail


def fused(items: Sequence[Item]) -> Body:
    """The program as a tree of loops."""
    top = Body()
    _fuse(items, top, ())
    return top


def _fuse(items: Sequence[Item], body: Body, path: tuple[Loop, ...]) -> None:
    """Put items into the body of the innermost of the loops in `path`, which are the graph's own."""
    places = tuple(loop.place for loop in path)
    for item in items:
        if isinstance(item, Statement):
            _insert(item, body, path)
        elif isinstance(item, Scan):
            loop = Loop(item.length, serial=True)
            loop.reverse, loop.tail = item.reverse, Body()
            body.append(loop)
            loop.count = len(item.items) + len(item.tail)
            _fuse(item.items, loop.body, (*path, loop))
            _fuse(item.tail, loop.tail, (*path, loop))
        else:
            item.path, item.place = path, (*places, body.append(item))


def writers_met(access: Access, lengths: Sequence[int], until: Statement | None = None) -> list[Statement | Product | Call]:
    """Those that write what an access may read; of the writers before `until`, where that is one of them."""
    writers = access.value.writers
    if until in writers:
        writers = writers[: writers.index(until)]
    low, high = access.residual(lengths, 0)
    met = []
    for writer in writers:
        first, last = _written(writer, access.value)
        if last >= low and high >= first:
            met.append(writer)
    return met


def _written(writer: Statement | Product | Call, value: Value) -> tuple[int, int]:
    """The lowest and the highest entry of a value that a writer may write."""
    target = value if isinstance(writer, Call) else writer.target.value
    start = 0 if target is value else target.base[1] if target.base is not None and target.base[0] is value else None
    if start is None or isinstance(writer, Call):
        return 0, value.size
    if isinstance(writer, Statement):
        first, last = writer.target.residual(writer.lengths, 0)
        return start + first, start + last
    matrix, count = writer.target, len(writer.batch)
    if len(matrix.strides) > count:  # in a loop of the graph's own
        return 0, value.size
    reach = sum(stride * (length - 1) for stride, length in zip(matrix.strides, writer.batch, strict=True))
    return start + matrix.offset, start + matrix.offset + matrix.rows * matrix.columns - 1 + reach


def _dependencies(statement: Statement) -> list[tuple[Statement | Product | Call, Access | None]]:
    needed = [one for read in (*statement.reads, *(g.access for g in statement.target.gathers)) for one in read.all_accesses()]
    found: list[tuple[Statement | Product | Call, Access | None]] = [(one, None) for one in statement.after]
    found += [(writer, one) for one in needed for writer in writers_met(one, statement.lengths)]
    if statement.target.value.writers[0] is not statement:
        target = statement.target
        found += [(writer, target) for writer in writers_met(target, statement.lengths, statement)]
    return found


def _insert(statement: Statement, body: Body, around: tuple[Loop, ...]) -> None:
    base = len(around)
    # What is written outside is there already, and what the turn wrote is there before its tail.
    inside = not around or body is around[-1].body
    waiting = [each for each in _dependencies(statement) if inside and each[0].place and each[0].path[:base] == around]
    serial = statement.kind in ("cumsum", "cumprod", "argmax", "argmin") or any(
        one.gathers for one in (*statement.reads, statement.target)
    )
    path = list(around)
    places = [loop.place for loop in around]
    depth = len(statement.lengths)
    for level, length in enumerate(statement.lengths[base:], base):
        earliest = max((writer.place[level] for writer, _ in waiting), default=0)
        at_earliest = [each for each in waiting if each[0].place[level] == earliest]
        chosen = None
        loops = body.by_length.get(length, [])
        tried = [loop for loop in loops[-CANDIDATES:] if loop.place > earliest]
        first = body.items[earliest // 2 - 1] if earliest and earliest % 2 == 0 else None
        if isinstance(first, Loop) and first.length == length and first.tail is None:
            tried.append(first)
        for loop in reversed(tried):
            if loop.count >= MOST or (level == depth - 1 and loop.serial != serial) or loop.apart != (statement.apart and level == base):
                continue
            if loop.place > earliest or all(_aligned(writer, access, statement, level, base) for writer, access in at_earliest):
                chosen = loop
                break
        if chosen is None:
            chosen = Loop(length, serial and level == depth - 1)
            chosen.apart = statement.apart and level == base
            body.append(chosen)
        chosen.count += 1
        waiting = at_earliest if chosen.place == earliest else []
        path.append(chosen)
        places.append(chosen.place)
        body = chosen.body
    earliest = max((writer.place[depth] for writer, _ in waiting), default=0)
    slot = earliest // 2
    body.between[slot].append(statement)
    statement.path = tuple(path)
    statement.place = (*places, 2 * slot + 1)


def segmented(top: Body) -> list[tuple[list[list[Statement]], list[Loop | Product], Call | None]]:
    """The program cut at its calls, and where a function gets long, since compilation takes more than proportional time.

    Each part has statements and items in turns, one list of statements more than items, and then the call, if one.
    """
    segments: list[tuple[list[list[Statement]], list[Loop | Product], Call | None]] = []
    between: list[list[Statement]] = []
    items: list[Loop | Product] = []
    count = 0
    for place, statements in enumerate(top.between):
        between.append(statements)
        item = top.items[place] if place < len(top.items) else None
        count += len(statements) + (item.count if isinstance(item, Loop) else 5)
        if item is None or isinstance(item, Call):
            segments.append((between, items, item))
            between, items, count = [], [], 0
        elif count > LONGEST and items:
            segments.append((between, items, None))
            between, items, count = [[]], [item], count - LONGEST
        else:
            items.append(item)
    for number, (between, items, _) in enumerate(segments):
        for statement in within(between, items):
            statement.segment = number
    return segments


def within(between: Sequence[Sequence[Statement]], items: Sequence[Loop | Product | Call]) -> Iterator[Statement]:
    """All statements of a part of the program."""
    part = Body()
    part.between, part.items = [list(each) for each in between], list(items)
    return part.statements()


def _aligned(writer: Statement | Product | Call, access: Access | None, reader: Statement, level: int, base: int) -> bool:
    """Whether one iteration of the loop at `level` reads only what the same iteration has written and finished.

    Of the loops around both, the first `base` are the graph's own.
    """
    if access is None:
        return isinstance(writer, Statement)
    if not isinstance(writer, Statement) or writer.target.value is not access.value or True in writer.reduced[: level + 1]:
        return False
    target = writer.target
    strides = target.strides[: level + 1]
    if strides != access.strides[: level + 1] or 0 in strides[base:]:
        return False
    low, high = target.residual(writer.lengths, level + 1)
    first, last = access.residual(reader.lengths, level + 1)
    if first < low or last > high:
        return False
    # Each iteration writes a cell of its own: the cells of the loops within lie in those of the loops around them.
    cell = high - low + 1
    for stride, length in sorted(zip(strides[base:], writer.lengths[base : level + 1], strict=True), key=lambda each: abs(each[0])):
        if abs(stride) < cell:
            return False
        cell = abs(stride) * (length - 1) + cell
    return True


# ------------------------------------------------------------------------------------ loops made one


def collapsed(top: Body) -> None:
    """Make one loop of two where nothing stands between them and every access runs on from one into the other."""
    for item in top.items:
        if isinstance(item, Loop):
            _collapse(item, 0)


def _collapse(loop: Loop, level: int) -> None:
    for item in loop.body.items:
        if isinstance(item, Loop):
            _collapse(item, level + 1)
    if loop.tail is not None:
        for item in loop.tail.items:
            if isinstance(item, Loop):
                _collapse(item, level + 1)
        return
    while len(loop.body.items) == 1 and not any(loop.body.between):
        inner = loop.body.items[0]
        assert isinstance(inner, Loop)
        statements = list(inner.body.statements())
        if not all(_runs_on(statement, level) for statement in statements):
            return
        for statement in statements:
            _merge(statement, level)
        loop.length *= inner.length
        loop.serial = inner.serial
        loop.body = inner.body
        for statement in statements:
            statement.path = (*statement.path[:level], loop, *statement.path[level + 2 :])


def _accesses(statement: Statement) -> Iterator[Access]:
    for one in (statement.target, *statement.reads):
        yield from one.all_accesses()


def _runs_on(statement: Statement, level: int) -> bool:
    inner = statement.lengths[level + 1]
    return statement.reduced[level] == statement.reduced[level + 1] and all(
        one.strides[level] == one.strides[level + 1] * inner for one in _accesses(statement)
    )


def _merge(statement: Statement, level: int) -> None:
    kept = [axis for axis in range(len(statement.lengths)) if axis != level]
    lengths = list(statement.lengths)
    lengths[level + 1] *= lengths[level]
    statement.lengths = tuple(lengths[axis] for axis in kept)
    statement.reduced = tuple(statement.reduced[axis] for axis in kept)
    statement.target = statement.target.at_depth(kept)
    statement.reads = tuple(read.at_depth(kept) for read in statement.reads)
    statement.place = (*statement.place[: level + 1], *statement.place[level + 2 :])


# ------------------------------------------------------------------------------------- what is where


def same_iteration(writer: Statement, access: Access, reader: Statement) -> bool:
    """Whether the reader, where it stands, finds in a variable what the writer computed for this entry."""
    depth = writer.first_reduced
    if False in writer.reduced[depth:] or writer.kind == "add" or writer.target.gathers or access.gathers:
        return False
    target = writer.target
    return (
        writer.segment == reader.segment and writer.path[:depth] == reader.path[:depth] and target.strides[:depth] == access.strides[:depth]
        and not any(access.strides[depth:]) and target.offset == access.offset and target.value is access.value
    )  # fmt: skip


def found_in_variable(access: Access, reader: Statement) -> Statement | None:
    """The one statement that wrote the entry, in this iteration."""
    met = writers_met(access, reader.lengths)
    if len(met) == 1 and isinstance(met[0], Statement) and same_iteration(met[0], access, reader):
        return met[0]
    return None


def hoist(top: Body) -> None:
    """Say before which loop each entry is read: the outermost one in which it does not change."""
    for statement in top.statements():
        for read in statement.reads:
            if found_in_variable(read, statement) is not None:
                continue
            level = _needed_depth(read)
            for writer in (one for access in read.all_accesses() for one in writers_met(access, statement.lengths)):
                if isinstance(writer, Statement):
                    common = 0
                    for one, two in zip(writer.path, statement.path, strict=False):
                        if one is not two:
                            break
                        common += 1
                    level = max(level, common)
            if level < len(statement.path):
                statement.path[level].preloads.append((statement, read))


def _needed_depth(access: Access) -> int:
    depth = max((place + 1 for place, stride in enumerate(access.strides) if stride), default=0)
    return max([depth, *(_needed_depth(gather.access) for gather in access.gathers)])


def shared_depth(value: Value, touching: Sequence[tuple[Statement, Access]]) -> int:
    """How many loops around all that touch a value leave it to each iteration alone."""
    (first, one), *rest = touching
    depth = 0
    while depth < len(first.path):
        loop, stride = first.path[depth], one.strides[depth]
        alike = all(len(other.path) > depth and other.path[depth] is loop and access.strides[depth] == stride for other, access in rest)
        finished = not any(True in other.reduced[: depth + 1] for other, access in touching if access is other.target)
        if not stride or not alike or not finished:
            break
        depth += 1
    return depth
