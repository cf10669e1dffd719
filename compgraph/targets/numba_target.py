"""The numba target: a graph becomes one compiled function of fused loops and BLAS calls.

`build` lowers the graph to statements (`lowering.py`), fuses them (`fusion.py`), gives each value its memory (`storage.py`)
and writes the loops out (`nest_text.py`). What no loop can compute, such as a decomposition of a matrix, is left to NumPy:
the program is then several compiled functions, with NumPy's calls between them in a driver in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compgraph import programs
from compgraph.emission import program_name, program_names
from compgraph.errors import MissingDependencyError, MissingRuleError
from compgraph.formulas import formula
from compgraph.graph import Graph, Node
from compgraph.origins import describe_origin
from compgraph.targets import Program, numba_runtime, numpy_target, source_files
from compgraph.targets.fusion import Loop, collapsed, fused, hoist, segmented, within
from compgraph.targets.lowering import Lowering, composed
from compgraph.targets.nest_text import NestText, described
from compgraph.targets.recomputing import recomputed
from compgraph.targets.statements import Call, Product, Value
from compgraph.targets.storage import Storage, dtype_of

# Names that a program uses, which nothing of the user's may have.
RESERVED = frozenset(
    [
        "np", "math", "range", "min", "max", "abs", "plus", "select", "maximum", "minimum", "fmax", "fmin", "fraction", "place",
        "contiguous", "empty", "pool", "scratch", "new_scratch",
    ]
)

LARGEST = 12_000  # operations; the compiler takes about ten milliseconds for each


def build(graph: Graph, *, donated: Mapping[int, int] | None = None, exact: bool = False, strict: bool = False) -> Program:
    """Compile a graph.

    `donated` says into which input's array an output is written, by positions. `exact` keeps the order of every sum and
    fuses no multiplication with an addition. With `strict` an operation that the compiler lacks raises
    `MissingRuleError` instead of being left to NumPy, as a graph of more than `LARGEST` operations is. Raises
    `MissingDependencyError` where numba is not installed.
    """
    try:
        import numba
    except ImportError as error:
        raise MissingDependencyError('target="numba" needs numba, which is not installed: pip install "compgraph[fast]"') from error
    if len(graph.nodes) > LARGEST:
        size = f"{graph.name} has {len(graph.nodes)} operations"
        note = f"{size}, which would compile for minutes: NumPy runs them. cg.scan keeps a loop short"
        if strict:
            raise MissingRuleError(f"{note}; leave out strict=True, or write the loop with cg.scan")
        plain = numpy_target.build(graph, donated=dict(donated or {}), exact=exact, strict=strict)
        return plain._replace(notes=(note, *plain.notes))
    return _Builder(graph, dict(donated or {}), exact, strict, numba).program()


class _Builder:
    def __init__(self, graph: Graph, donated: dict[int, int], exact: bool, strict: bool, numba: Any) -> None:
        self.numba = numba
        self.exact = exact
        self.runtime = numba_runtime.functions()
        self.vector = {} if exact else numba_runtime.vectorised()
        self.graph = composed(graph)
        reserved = RESERVED | self.vector.keys()
        names = {node: f"{name}_" if name in reserved else name for node, name in program_names(self.graph).items()}
        self.names = names
        self.lowering = Lowering(self.graph, names, frozenset(self.vector))
        self.calls = [item for item in self.lowering.items if isinstance(item, Call)]
        if strict and self.calls:
            reason = self.refusal(self.calls[0].node)
            raise MissingRuleError(f"{reason}; leave out strict=True, and NumPy computes it between compiled parts")
        fused(self.lowering.items)  # to see what would have to be kept from one nest to another
        items = recomputed(self.lowering.items)
        self.top = fused(items)
        collapsed(self.top)
        self.segments = segmented(self.top)
        hoist(self.top)
        inputs = {place: self.lowering.operands[node].value for place, node in enumerate(self.graph.inputs)}  # type: ignore[union-attr]
        donors = {output: inputs[given] for output, given in donated.items() if self.graph.outputs[output].shape}
        self.donated = {output: given for output, given in donated.items() if output in donors}
        self.storage = Storage(self.top, items, donors, self.lowering.outputs)
        self.inputs = inputs

    def refusal(self, node: Node) -> str:
        place = describe_origin(node.origin)
        return f"{self.names[node]} = {formula(node, self.names.__getitem__)}: the numba target has no loop for {node.primitive.name}" + (  # type: ignore[union-attr]
            f", at {place}" if place else ""
        )

    # ------------------------------------------------------------------------------------------ text

    def program(self) -> Program:
        name = program_name(self.graph)
        functions: list[tuple[str, list[str], list[Any]]] = []  # name, argument names, numba types
        texts = []
        driver: list[str] = []
        for between, items, call in self.segments:
            if any(between) or items:
                title = f"{name}_{len(functions) + 1}"
                arguments, lines = self.segment(between, items)
                functions.append((title, arguments, [self.type_of(argument) for argument in arguments]))
                texts.append(f"def {title}({', '.join(arguments)}):\n" + "\n".join(lines) + "\n")
                driver.append(f"{title}({', '.join(arguments)})")
            if call is not None:
                driver.append(self.call_text(call))
        source = "\n\n".join(texts)
        namespace = self.compiled(source, functions)
        whole = self.driver_text(name, driver, functions)
        function = programs.define(whole, name, namespace, title=f"{name} driver")
        notes = tuple(f"{self.refusal(call.node)}: NumPy computes it between compiled parts" for call in self.calls)
        return Program(f"{source}\n\n{whole}" if source else whole, function, notes)

    def segment(self, between: list[Any], items: list[Loop | Product]) -> tuple[list[str], list[str]]:
        taken = {*self.lowering.unique.taken, *RESERVED, *self.vector, *self.storage.sizes}
        text = NestText(self.storage.blocks, taken, self.exact)
        text.unique.taken -= set(self.names.values())
        text.unique.taken |= {self.names[node] for node in self.graph.inputs}
        donors = {self.names[self.graph.inputs[given]] for given in self.donated.values()}
        text.deferred = donors
        for place, statements in enumerate(between):
            if statements:
                text.line(f"# {described(statements)}")
            for statement in statements:
                text.statement(statement)
            if place < len(items):
                item = items[place]
                if isinstance(item, Loop):
                    text.line(f"# {described(list(within([[]], [item])))}")
                    text.loop(item, 0)
                else:
                    text.line(f"# {item.target.value.name}")
                    text.product(item)
        starts = {block.name: block.start for block in self.storage.blocks.values() if block.name and " " not in block.name}
        head = [f"    {start} = {starts[start]}" for start in text.starts]
        arguments = [*text.scalars, *text.arrays]
        shapes = {value.name: value.shape for value in self.inputs.values()}
        for value, block in self.storage.blocks.items():
            if value.kind in ("output", "array"):
                shapes.setdefault(block.array, value.shape)
        head = [
            f"    {argument} = {argument}.reshape({int(np.prod(shapes[argument], dtype=int))})"
            for argument in text.arrays if len(shapes.get(argument, (0,))) > 1
        ] + head  # fmt: skip
        return arguments, head + text.lines

    def type_of(self, argument: str) -> Any:
        types = self.numba.types
        if argument in self.storage.sizes:
            name = argument.removesuffix("_constants") + "s" if argument.endswith("_constants") else argument
            return types.Array(self.numba.from_dtype(dtype_of(name)), 1, "C")
        for value in self.inputs.values():
            if value.name == argument:
                kind = self.numba.from_dtype(value.dtype)
                return types.Array(kind, len(value.shape), "C") if value.shape else kind
        for value, block in self.storage.blocks.items():
            if block.array == argument:
                return types.Array(self.numba.from_dtype(value.dtype), max(len(value.shape), 1), "C")
        raise KeyError(argument)

    def call_text(self, call: Call) -> str:
        texts = []
        for place, argument in enumerate(call.arguments):
            if not isinstance(argument, Value):
                texts.append(f"{call.target.name}_constants[{place}]")
            elif argument.shape == () and argument.kind == "array":
                texts.append(f"{argument.name}[0]")
            else:
                texts.append(argument.name)
        return f"{call.target.name} = contiguous({call.target.name}_by_numpy({', '.join(texts)}))"

    def driver_text(self, name: str, calls: list[str], functions: list[Any]) -> str:
        lines = []
        used = {argument for _, arguments, _ in functions for argument in arguments}
        for place, value in self.inputs.items():
            if value.shape and (value.name in used or place in self.donated.values()):
                given = f"{value.name}_given" if place in self.donated.values() else value.name
                if given != value.name:
                    lines.append(f"{given} = {value.name}")
                lines.append(f"{value.name} = contiguous({given})")
        for value, block in self.storage.blocks.items():
            made = value.kind == "output" and block.array not in {one.name for one in self.inputs.values()}
            if made or (value.kind == "array" and not value.call):
                lines.append(f"{block.array} = empty({value.shape or (1,)}, np.{literal_dtype(value.dtype)})")
        scratch = [array for array in self.storage.sizes if not array.endswith("_constants")]
        if scratch:
            lines += ["try:", "    scratch = pool.pop()", "except IndexError:", "    scratch = new_scratch()"]
            lines.append(f"{', '.join(scratch)}, = scratch")
        lines += calls
        if scratch:
            lines.append("pool.append(scratch)")
        results = []
        for value in self.lowering.outputs:
            output = value.output
            assert output is not None
            if output in self.donated:
                given = self.inputs[self.donated[output]].name
                if output in self.storage.copied:
                    lines.append(f"{given}_given[...] = {self.storage.blocks[value].array}")
                else:
                    lines += [f"if {given} is not {given}_given:", f"    {given}_given[...] = {given}"]
                results.append(f"{given}_given")
            else:
                results.append(self.storage.blocks[value].array + ("[0]" if value.shape == () else ""))
        lines.append(f"return {', '.join(results)},")
        inputs = ", ".join(value.name for value in self.inputs.values())
        return f"def {name}({inputs}):\n" + "".join(f"    {line}\n" for line in lines)

    # -------------------------------------------------------------------------------------- functions

    def compiled(self, source: str, functions: list[tuple[str, list[str], list[Any]]]) -> dict[str, Any]:
        """Everything that the driver calls, by name."""
        options = {"error_model": "numpy", "nogil": True, "fastmath": set() if self.exact else {"contract"}}
        namespace = {**self.runtime, **self.vector, "__name__": numba_runtime.__name__}
        compiled = source_files.compiled(self.numba, source, [(name, types) for name, _, types in functions], namespace, options)
        sizes = {array: size for array, size in self.storage.sizes.items() if not array.endswith("_constants")}

        def new_scratch() -> tuple[np.ndarray[Any, Any], ...]:
            return tuple(np.empty(size, dtype_of(array)) for array, size in sizes.items())

        made: dict[str, Any] = {
            **compiled, "np": np, "contiguous": np.ascontiguousarray, "empty": np.empty, "pool": [], "new_scratch": new_scratch,
        }  # fmt: skip
        for array in self.storage.sizes:
            if array.endswith("_constants"):
                values = [value for value in self.storage.constants if f"{value.dtype.name}_constants" == array]
                made[array] = np.concatenate([np.ravel(self.lowering.constant_arrays[value.number]) for value in values])
        for call in self.calls:
            primitive, params = call.node.primitive, call.node.params
            assert primitive is not None
            made[f"{call.target.name}_by_numpy"] = _with(primitive.evaluate, params)
            made[f"{call.target.name}_constants"] = call.arguments
        return made


def _with(evaluate: Callable[..., Any], params: dict[str, Any]) -> Callable[..., Any]:
    return lambda *args: evaluate(*args, **params)


def literal_dtype(dtype: np.dtype[Any]) -> str:
    """The name of a dtype in NumPy.

    >>> literal_dtype(np.dtype(bool))
    'bool_'
    """
    return "bool_" if dtype == np.bool_ else dtype.name
