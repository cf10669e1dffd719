"""Straight NumPy: one call a line, large results written into memory that is allocated once.

    work = np.empty(...)                      # before the first call
    v3 = np.multiply(v1, v2, out=b1)          # b1: a window of that memory

What is computed is what the primitives' `code` says; here it is only said so that NumPy does less around it. An
operator or a NumPy function becomes the ufunc of that name, which can write into given memory; a sum becomes the
reduction that `np.sum` itself calls; a number beside an array becomes an array without axes, which NumPy need not
convert in every call.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.emission import helper_source, program_name, program_names
from compgraph.formulas import ATOM, Text, applied, parameters
from compgraph.graph import PRIMITIVES, Graph, Node
from compgraph.literals import literal
from compgraph.loop import SCAN, parts_of
from compgraph.targets import Program
from compgraph.targets.memory import Block, bases_of, last_reads, places

# Below this size fresh memory costs no more than a look at where the old one is.
SMALLEST_BUFFER = 16384  # bytes

_OPERATORS = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "divide", "<": "less", "<=": "less_equal", ">": "greater",
    ">=": "greater_equal", "==": "equal", "!=": "not_equal", "//": "floor_divide", "%": "remainder",
}  # fmt: skip
_SIGNS = {"-{0}": "negative", "+{0}": "positive", "abs({0})": "absolute"}
_REDUCTIONS = {"sum": "add", "max": "maximum", "min": "minimum", "prod": "multiply"}
_VIEWS = {"reshape", "transpose", "broadcast_to", "index", "real", "imag"}
_OWN_MEMORY = {"scan", "scatter_add", "assign", "fold", "first_largest"}  # though a helper makes it


@cache
def ufunc_of(code: str) -> str:
    """The NumPy ufunc that computes a primitive's code, or an empty string.

    >>> ufunc_of("{0} * {1}"), ufunc_of("xp.exp({0})"), ufunc_of("-{0}"), ufunc_of("{0} @ {1}")
    ('multiply', 'exp', 'negative', '')
    """
    if code in _SIGNS:
        return _SIGNS[code]
    operator = re.fullmatch(r"\{0\} (\S+) \{1\}", code)
    if operator:
        return _OPERATORS.get(operator[1], "")
    call = re.fullmatch(r"xp\.(\w+)\(\{0\}(?:, \{1\})?\)", code)
    return call[1] if call and isinstance(getattr(np, call[1], None), np.ufunc) else ""


def nbytes_of(node: Node) -> int:
    return int(np.prod(node.shape, dtype=np.int64)) * node.dtype.itemsize


def takes_out(node: Node) -> bool:
    """Whether the line can write its result into given memory."""
    primitive = node.primitive
    if primitive is None or not node.shape:
        return False
    return bool(ufunc_of(primitive.code)) or primitive.name in _REDUCTIONS or primitive.name in ("matmul", "concatenate", "scan")


def may_be_view(node: Node) -> bool:
    """Whether the result may lie in an argument's memory: a function of the user's may return its argument itself."""
    primitive = node.primitive
    if primitive is None or primitive.name in _OWN_MEMORY:
        return False
    alone = primitive.name == "einsum" and len(node.args) == 1  # a diagonal
    return primitive.name in _VIEWS or primitive.helper is not None or alone


def build(graph: Graph, *, donated: Mapping[int, int] | None = None, exact: bool = False, strict: bool = False) -> Program:
    """The graph as straight NumPy; there is nothing that this target lacks."""
    return _Writer(graph, donated or {}, _Shared(graph, exact)).program()


def _shortest(value: Any) -> str:
    """The shortest text of a number of this dtype: 0.9, where the float32 number as a Python float reads 0.8999999761581421."""
    text = str(value[()])
    return text if value.dtype.kind == "f" and text[-1].isdigit() else literal(value.item())


class _Shared:
    """What a program's writer and those of its loops' bodies have in common."""

    def __init__(self, graph: Graph, exact: bool) -> None:
        self.exact = exact
        self.unique = programs.Unique(["np", "range", "pool", "work", "workspace", "memory"])
        self.name = self.unique(program_name(graph))
        self.namespace: dict[str, Any] = {"np": np}
        self.constants: dict[Any, str] = {}
        self.helpers: dict[Any, None] = {}
        self.modules: set[str] = set()
        self.windows: list[str] = []  # names of the windows of the planned memory
        self.workspace: list[str] = []  # the lines that make them

    def constant(self, value: Any) -> str:
        """The name of an array that the program holds."""
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self.constants:
            self.constants[key] = self.unique(f"c{len(self.constants) + 1}")
            self.namespace[self.constants[key]] = value
        return self.constants[key]

    def calls(self, node: Node) -> None:
        """Note what a line needs beside NumPy."""
        if node.primitive is not None and node.primitive is not SCAN:
            if node.primitive.helper is not None:
                self.helpers[node.primitive.helper] = None
                self.unique.taken.add(node.primitive.helper.__name__)
            if node.primitive.module:
                self.modules.add(node.primitive.module)


class _Writer:
    """One graph on its way into a program: the whole, or a loop's body. `lines` are the nodes that it computes, in order."""

    def __init__(self, graph: Graph, donated: Mapping[int, int], shared: _Shared) -> None:
        self.graph, self.shared = graph, shared
        for node in graph.nodes:
            shared.calls(node)
        self.names = {node: shared.unique(name) for node, name in program_names(graph).items()}
        given = set(graph.inputs)
        self.lines = [node for node in graph.nodes if node not in given]
        self.number = {node: number for number, node in enumerate(self.lines)}
        self.bases = bases_of(graph.nodes, may_be_view)
        self.last = last_reads(self.lines, self.bases)
        self.readers: dict[Node, list[Node]] = {}
        for node in self.lines:
            for arg in node.args:
                if isinstance(arg, Node):
                    self.readers.setdefault(arg, []).append(node)
        self.outs: dict[Node, str] = {}  # where a line writes
        self.into_donated: set[Node] = set()
        self.silent: dict[Node, list[str]] = {}  # a line that others have computed on the way, and what is left to do for it
        self.late_copies: list[tuple[str, str]] = []  # (donated array, its new value), written when nothing is read any more
        self.block_of: dict[Node, int] = {}
        self.results = self.returned(donated)
        self.plan()

    # ------------------------------------------------------------------------------------ results

    def returned(self, donated: Mapping[int, int]) -> list[str]:
        """The texts of what is returned: memory that belongs to nobody else, or a donated input's."""
        outputs = self.graph.outputs
        for node in outputs:  # what is returned is needed to the end
            for base in self.bases[node]:
                self.last[base] = len(self.lines)
        owners: dict[Node, int] = {}
        for node in outputs:
            for base in self.bases[node]:
                owners[base] = owners.get(base, 0) + 1
        results = []
        for place, node in enumerate(outputs):
            name = self.names[node]
            if place in donated:
                results.append(self.donated_result(node, self.graph.inputs[donated[place]], owners))
            elif not node.shape:
                results.append(f"{name}[()]" if may_be_view(node) or node.primitive is None else name)
            else:
                first, *others = self.bases[node]
                alone = not others and owners[first] == 1 and first.primitive not in (None, PRIMITIVES["constant"])
                results.append(name if alone and self.whole(node) else f"{name}.copy()")
        return results

    def owns(self, node: Node) -> bool:
        """Whether the value lies in memory of its own."""
        return self.bases[node][0] is node

    def whole(self, node: Node) -> bool:
        """Whether the value is its memory, or that memory in another shape, and not a part of it."""
        while node.primitive is not None and node.primitive.name in ("reshape", "transpose"):
            node = node.args[0]
        return not may_be_view(node)

    def donated_result(self, node: Node, given: Node, owners: Mapping[Node, int]) -> str:
        """Write `node` into the memory of the input `given`, in its own line where nothing reads that any more."""
        name, memory = self.names[node], self.names[given]
        number = self.number.get(node, -1)
        own = self.owns(node) and owners[node] == 1 and takes_out(node)
        # A ufunc reads an entry before it writes it; where views overlap in another order NumPy copies first.
        ufunc = own and bool(ufunc_of(node.primitive.code))  # type: ignore[union-attr]
        last = self.last.get(given, -1)
        if own and node not in self.outs and (last < number or (ufunc and last == number)):
            self.outs[node] = memory
            self.into_donated.add(node)
            self.chain(node, given)
            return name
        if node is not given:
            self.late_copies.append((memory, name))
        return memory

    def chain(self, node: Node, given: Node) -> None:
        """Let the lines that lead to a donated result, entry by entry, write into the donated array too, as far as it is free."""
        while ufunc_of(node.primitive.code):  # type: ignore[union-attr]
            ready = [
                arg for arg in node.args
                if isinstance(arg, Node) and arg in self.number and arg not in self.outs
                and (arg.shape, arg.dtype) == (node.shape, node.dtype) and ufunc_of(arg.primitive.code)  # type: ignore[union-attr]
                and len(self.readers[arg]) == 1 and self.last.get(given, -1) <= self.number[arg]
                and self.last[arg] < len(self.lines) and self.owns(arg)
            ]  # fmt: skip
            if not ready:
                return
            node = max(ready, key=self.number.__getitem__)
            self.outs[node] = self.names[given]

    # ------------------------------------------------------------------------------------- memory

    def plan(self) -> None:
        """Choose the lines that write into planned memory, and a window of it for each."""
        blocks: list[Block] = []
        wanted: list[tuple[str, int, int, tuple[int, ...], np.dtype[Any]]] = []  # name, block, offset in it, shape, dtype

        def add(node: Node, block: int, offset: int) -> str:
            name = self.shared.unique(f"b{len(self.shared.windows) + len(wanted) + 1}")
            wanted.append((name, block, offset, node.shape, node.dtype))
            return name

        grouped: set[Node] = set()
        starts: dict[Node, int] = {}  # a joined vector, and the line of its first part
        parts: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.lines:
            if self.bufferable(node) and node.primitive is PRIMITIVES["concatenate"]:
                found = self.parts_of(node)
                if found:
                    parts[node] = found
                    grouped.update(source for source, _ in found)
                    starts[node] = min(self.number[source] for source, _ in found)
        for node in self.lines:
            if not self.bufferable(node) or node in grouped:
                continue
            start = starts.get(node, self.number[node])
            reuse = self.in_place(node) if node not in parts else None
            if reuse is not None and reuse in self.block_of:
                block = self.block_of[reuse]
                blocks[block] = blocks[block]._replace(stop=max(blocks[block].stop, self.last[node]))
            else:
                block = len(blocks)
                blocks.append(Block(start, self.last[node], nbytes_of(node)))
            self.block_of[node] = block
            self.outs[node] = add(node, block, 0)
            for source, offset in parts.get(node, []):
                self.outs[source] = add(source, block, offset)
            if node in parts:
                self.silent[node] = self.rest_of(node, dict(parts[node]))
        offsets, size = places(blocks)
        if not wanted:
            return
        memory = "memory" if not self.shared.workspace else self.shared.unique("memory_of_a_turn")
        lines = self.shared.workspace
        lines.append(f"{memory} = np.empty({size}, np.uint8)")
        for name, block, offset, shape, dtype in wanted:
            start = offsets[block] + offset
            stop = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            shaped = "" if len(shape) == 1 else f".reshape({literal(shape)})"
            lines.append(f"{name} = {memory}[{start}:{stop}].view(np.{dtype.name}){shaped}")
            self.shared.windows.append(name)

    def bufferable(self, node: Node) -> bool:
        return (
            takes_out(node) and node not in self.outs and self.last[node] < len(self.lines) and nbytes_of(node) >= SMALLEST_BUFFER
            and node.dtype.kind in "fciub"
        )  # fmt: skip

    def in_place(self, node: Node) -> Node | None:
        """An argument whose memory the line may overwrite: read here for the last time, entry by entry, at the same places."""
        if not ufunc_of(node.primitive.code):  # type: ignore[union-attr]
            return None
        number = self.number[node]
        for arg in node.args:
            if (
                isinstance(arg, Node) and arg in self.block_of and arg.shape == node.shape and arg.dtype == node.dtype
                and self.last[arg] == number and self.owns(arg)
                and all(arg not in self.bases[other] or other is arg for other in node.args if isinstance(other, Node))
            ):  # fmt: skip
                return arg
        return None

    def parts_of(self, node: Node) -> list[tuple[Node, int]]:
        """The parts of a joined vector that can be computed right where they end up, and their offsets in bytes."""
        if node.params["axis"] != 0 or len(node.shape) != 1:
            return []
        found, offset = [], 0
        for arg in node.args:
            if not isinstance(arg, Node):
                return []
            source = arg
            while source.primitive is PRIMITIVES["reshape"] and len(self.readers[source]) == 1 and isinstance(source.args[0], Node):
                source = source.args[0]
            alone = len(self.readers.get(source, ())) == 1 and source not in self.outs and self.last.get(source, 0) < len(self.lines)
            if takes_out(source) and alone and source.dtype == node.dtype and source.primitive is not PRIMITIVES["concatenate"]:
                found.append((source, offset))
            offset += nbytes_of(arg)
        return found if len({source for source, _ in found}) == len(found) else []

    def rest_of(self, node: Node, parts: Mapping[Node, int]) -> list[str]:
        """What is left to do for a joined vector: the parts that were not computed in their places."""
        name, lines, start = self.outs[node], [], 0
        offsets = set(parts.values())
        for arg in node.args:
            size = arg.shape[0]
            if start * node.dtype.itemsize not in offsets:
                lines.append(f"{name}[{start}:{start + size}] = {self.names[arg]}")
            start += size
        return [*lines, f"{self.names[node]} = {name}"]

    # --------------------------------------------------------------------------------------- text

    def argument(self, arg: Any, beside: np.dtype[Any] | None = None) -> str:
        """An argument's text; a number beside an array of dtype `beside` as an array without axes of the dtype it takes there."""
        if isinstance(arg, Node):
            return self.names[arg]
        if beside is not None and arg.__class__ in (int, float):
            try:
                return self.shared.constant(np.array(arg, np.result_type(beside, arg)))
            except OverflowError:  # an integer that the dtype cannot hold: NumPy says so where it is used
                return literal(arg)
        return self.shared.constant(arg) if isinstance(arg, np.ndarray) and arg.ndim else literal(arg)

    def text(self, node: Node) -> str:
        """What the line computes, with where it writes if it does."""
        primitive, params = node.primitive, node.params
        assert primitive is not None
        out = self.outs.get(node, "")
        first = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        ufunc = ufunc_of(primitive.code)
        if ufunc and node.shape:
            beside = next((arg.dtype for arg in node.args if isinstance(arg, Node) and arg.shape), None)
            args = [self.argument(arg, beside) for arg in node.args]
            return f"np.{ufunc}({', '.join([*args, *[f'out={out}'] * bool(out)])})"
        if primitive.name in _REDUCTIONS and first is not None and first.shape:
            axis, keepdims = literal(params["axis"]), params["keepdims"]
            more = f", out={out}" * bool(out) + ", keepdims=True" * keepdims
            return f"np.{_REDUCTIONS[primitive.name]}.reduce({self.names[first]}, {axis}{more})"
        if primitive.name == "matmul":
            args = [self.argument(arg) for arg in node.args]
            flat = all(len(np.shape(arg)) <= 2 for arg in node.args) and not self.shared.exact
            flat = flat and node not in self.into_donated  # np.dot writes into C-ordered arrays alone
            return f"np.{'dot' if flat else 'matmul'}({', '.join([*args, *[f'out={out}'] * bool(out)])})"
        if primitive.name == "concatenate":
            args = [self.argument(arg) for arg in node.args]
            return f"np.concatenate(({', '.join(args)},), {params['axis']}{', out=' * bool(out)}{out})"
        if primitive.name == "stack" and node.shape == (len(node.args),):  # of numbers
            return f"np.array(({', '.join(map(self.argument, node.args))},), np.{node.dtype.name})"
        if primitive.name == "reshape" and first is not None:
            return f"{self.names[first]}.reshape({literal(params['shape'])})"
        if primitive.name == "transpose" and first is not None:
            axes = params["axes"]
            return f"{self.names[first]}.T" if axes is None else f"{self.names[first]}.transpose({literal(axes)})"
        beside = node.dtype if primitive.name == "where" else None
        texts = [Text(text, 3 if text.startswith("-") else ATOM) for text in (self.argument(arg, beside) for arg in node.args)]
        return applied(primitive, texts, parameters(primitive, params)).text.replace("xp.", "np.")

    def body(self) -> list[str]:
        """The program's lines, but for those that return."""
        body = []
        for node in self.lines:
            name = self.names[node]
            if node in self.silent:
                body += self.silent[node]
            elif node.primitive is SCAN:
                body += self.loop(node)
            elif node.primitive is None or node.primitive.name == "constant":
                value = np.asarray(node.value if node.primitive is None else node.params["value"])
                body.append(f"{name} = {self.shared.constant(value) + '[()]' * (not value.ndim)}")
            else:
                body.append(f"{name} = {self.text(node)}")
        return body

    def loop(self, node: Node) -> list[str]:
        """A loop, whose carries are variables and whose flat result is written row by row."""
        body, carries, sequences, length = (node.params[name] for name in ("body", "carries", "sequences", "length"))
        inner = _Writer(body, {}, self.shared)
        args = [self.argument(arg) for arg in node.args]
        inputs = [inner.names[one] for one in body.inputs]
        flat = self.names[node]
        parts = parts_of(body, carries, length)
        lines = [f"{flat} = {self.outs.get(node) or f'np.empty({node.shape[0]}, np.{node.dtype.name})'}"]
        rows: list[str] = []
        for part in parts[carries:]:
            rows.append(self.shared.unique(f"rows{len(rows) + 1}"))
            lines.append(f"{rows[-1]} = {flat}[{part.start}:{part.stop}].reshape({literal(part.shape)})")
        kept = [*range(carries), *range(carries + sequences, len(args))]
        lines += [f"{inputs[place]} = {args[place]}" for place in kept]
        turn = self.shared.unique("turn")
        span = f"range({length - 1}, -1, -1)" if node.params["reverse"] else f"range({length})"
        within = [f"{inputs[place]} = {args[place]}[{turn}]" for place in range(carries, carries + sequences)]
        within += inner.body()
        results = [inner.names[one] for one in body.outputs]
        within += [f"{row}[{turn}] = {result}" for row, result in zip(rows, results[carries:], strict=True)]
        if carries and inputs[:carries] != results[:carries]:
            within.append(f"{', '.join(inputs[:carries])} = {', '.join(results[:carries])}")
        lines += [f"for {turn} in {span}:", *(f"    {line}" for line in within or ["pass"])]
        for part, name in zip(parts[:carries], inputs, strict=False):
            lines.append(f"{flat}[{part.start}:{part.stop}] = {name}{'.reshape(-1)' if len(part.shape) > 1 else ''}")
        return lines

    def program(self) -> Program:
        shared = self.shared
        body = self.body()
        if shared.windows:
            taken = f"{', '.join(shared.windows)}{',' * (len(shared.windows) == 1)} = work"
            rare = "except IndexError:  # the first call, or others are under way"
            body = ["try:", "    work = pool.pop()", rare, "    work = workspace()", taken, *body]
        if self.late_copies:  # what is returned beside them is taken first
            for place, result in enumerate(self.results):
                if result.endswith(".copy()"):
                    self.results[place] = shared.unique(f"result{place}")
                    body.append(f"{self.results[place]} = {result}")
        body += self.late_lines()
        if shared.windows:
            body.append("pool.append(work)")
        body.append(f"return {', '.join(self.results)}{',' * (len(self.results) == 1)}")
        return self.defined(body)

    def late_lines(self) -> list[str]:
        """Write the donated arrays that something still read; each value is taken before any of them is overwritten."""
        if len(self.late_copies) == 1:
            return ["np.copyto({}, {})".format(*self.late_copies[0])]
        kept = [(memory, name, self.shared.unique(f"new_{memory}")) for memory, name in self.late_copies]
        return [f"{new} = {name}.copy()" for _, name, new in kept] + [f"np.copyto({memory}, {new})" for memory, _, new in kept]

    def defined(self, body: list[str]) -> Program:
        shared = self.shared
        imports = ["import numpy as np"]
        for module in sorted(shared.modules):
            package, _, last = module.rpartition(".")
            imports.append(f"from {package} import {last}")
            shared.namespace[last] = programs.Late(module)
        values = {name: shared.namespace[name] for name in shared.constants.values()}
        held = {name for name, value in values.items() if value.ndim or value.dtype.char in "gG"}  # long ones have no exact text
        numbers = [f"{name} = np.array({_shortest(value)}, np.{value.dtype.name})" for name, value in values.items() if name not in held]
        arrays = [f"# {name}: {value.dtype.name} {value.shape}, a constant of the graph" for name, value in values.items() if name in held]
        parts = ["\n".join(imports)]
        if numbers or arrays:
            parts.append("\n".join([*numbers, *arrays]))
        parts += [helper_source(helper).rstrip() for helper in shared.helpers]
        if shared.windows:
            back = f"return {', '.join(shared.windows)}{',' * (len(shared.windows) == 1)}"
            parts += ["def workspace():\n" + textwrap.indent("\n".join([*shared.workspace, back]), "    "), "pool = []"]
        inputs = ", ".join(self.names[node] for node in self.graph.inputs)
        parts.append(f"def {shared.name}({inputs}):\n" + textwrap.indent("\n".join(body), "    "))
        text = re.sub(r"  # type: ignore.*", "", "\n\n\n".join(parts)) + "\n"
        # Libraries are imported when they are first used, which the text need not say.
        executed = re.sub(r"^from \S+ import \S+$", "", text, count=len(shared.modules), flags=re.MULTILINE)
        return Program(text, programs.define(executed, shared.name, shared.namespace, title="compiled"))
