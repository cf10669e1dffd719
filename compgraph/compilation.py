"""A Python function -> its program: traced by shapes and dtypes, passed, built by a target, kept for the next call.

The first call with arguments of some shapes traces the function and builds the program; a call with the same shapes
runs it. What a call costs beside the program itself is a look at the arguments' classes, shapes and dtypes, in code that
is written for those of the latest trace.
"""

from __future__ import annotations

import dis
import inspect
import random
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import update_wrapper
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from compgraph.backend import is_on_device, is_writeable
from compgraph.containers import flatten
from compgraph.donation import apart, first_overlap
from compgraph.entry import install, specialise
from compgraph.errors import CompilationWarning, DeviceError, DtypeError, InputError, MissingDependencyError, ZeroGradientWarning
from compgraph.graph import Graph, Node, apply
from compgraph.modes import mode_with
from compgraph.node import failure
from compgraph.operands import as_operand, input_value, named
from compgraph.origins import describe_origin, here, stack_level
from compgraph.passes import optimize
from compgraph.programs import is_name
from compgraph.targets import Program, scalar_target
from compgraph.tracing import trace

_TARGETS = {name: f"compgraph.targets.{name}_target" for name in ("numpy", "numba", "cupy")}


def compile(
    function: Callable[..., Any] | None = None,
    *,
    target: str = "numpy",
    donate_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
    strict: bool = False,
    cache_size: int = 64,
) -> Any:
    """`function` as a short program of its own, as a decorator or in a call.

    >>> import numpy as np, compgraph as cg
    >>> def f(x1, x2):
    ...     ratio = x1 / x2
    ...     return (np.exp(ratio) + ratio) * (ratio - np.log(x2))
    >>> fast = cg.compile(cg.value_and_grad(f, argnums=(0, 1)))
    >>> value, (by_x1, by_x2) = fast(0.5, 1.0)
    >>> round(value, 7), round(by_x1, 7), round(by_x2, 7)
    (1.0743606, 3.4730819, -3.8852622)

    `fast.source` is the text that ran and `fast.graph` the graph behind it, both of the latest trace. Arguments and results
    may be nested dicts, lists and tuples. Only shapes and dtypes count: other values run the same program, other shapes
    are traced anew, and up to `cache_size` programs are kept. Python floats give Python floats. Anything that can be traced can
    be compiled: gradients, Jacobians, Hessian products, a whole training step. Called on nodes, inside a derivative or
    a trace, the function itself runs, so that a compiled function can be differentiated. Several threads may call it.

    - `target`: "numpy" needs no compiler and is ready at once; "numba" (`pip install "compgraph[fast]"`) fuses
      the operations into loops of machine code, which it keeps on disk between processes; "cupy" makes CUDA kernels and
      replays them as a CUDA graph; it takes arrays of the host and of the device, and gives those of the device.
    - `donate_argnums`: arguments whose arrays may be overwritten. The results of the same shape and dtype are written
      into them, in order, and are those arrays: an optimizer's update in place. Views of them see the new values, and no
      other argument may lie in their memory.
    - `static_argnames`: parameters that are no arrays, such as flags, sizes and a method's `self`; each value has a program
      of its own.
    - `exact`: only passes that keep every value to the bit. Otherwise sums may be taken in another order and quotients
      by reciprocals, which changes last digits, and near the ends of the range of floats more: a / b may overflow where
      1 / b does, for b below 1e-308, and where there is infinity or NaN there may be the other.
    - `strict`: refuse what the target cannot do itself, where it would otherwise fall back to NumPy for that operation.

    Raises `AbstractValueError`, with the source line, where the function branches on a value, and `InputError` where it draws
    random numbers or writes global variables: that would happen once, while it is traced, and never again.
    """
    options = _Options(_checked_target(target), _numbers(donate_argnums), _texts(static_argnames), exact, strict, cache_size)
    if function is None:
        return lambda function: _Compiler(function, options).call
    return _Compiler(function, options).call


class _Options(NamedTuple):
    target: str
    donate_argnums: tuple[int, ...]
    static_argnames: tuple[str, ...]
    exact: bool
    strict: bool
    cache_size: int


def _checked_target(target: str) -> str:
    if target not in _TARGETS:
        raise InputError(f"compile: no target {target!r:.40}; there are {', '.join(_TARGETS)}{here()}")
    return target


def _numbers(argnums: Any) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise InputError(f"compile: donate_argnums are numbers of arguments from 0 on, not {argnums!r:.40}{here()}")
    return numbers


def _texts(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


class Compiled(NamedTuple):
    """One program of a compiled function, for one signature."""

    traced: Graph  # as the function was written
    graph: Graph  # as it was built
    program: Program
    captured: tuple[Node, ...]  # variables that the function closes over, read in every call
    captured_as: tuple[Any, ...]  # their signatures when it was built
    scalar: bool  # takes and gives Python floats
    donated: Mapping[int, int]  # output -> input

    def is_stale(self) -> bool:
        """Whether a captured variable has another shape or dtype than when it was traced."""
        if _captured_as(self.captured) == self.captured_as:
            return False
        for node in self.captured:
            if not hasattr(node.value, "dtype"):
                kind = type(node.value).__name__
                raise InputError(f"{self.traced.name}: the variable {node.name or ''} holds a {kind}: assign an array to its value{here()}")
        return True

    def run(self, values: Sequence[Any]) -> list[Any]:
        values = [*values, *(_as_input(node.value, like[0]) for node, like in zip(self.captured, self.captured_as, strict=True))]
        if self.donated:
            self.check_donated(values)
        if self.scalar:
            return list(self.program.function(*map(float, values)))
        try:
            return list(self.program.function(*values))
        except Exception as error:
            self.explain(error, values)
            raise

    def check_donated(self, values: Sequence[Any]) -> None:
        places = sorted(set(self.donated.values()))
        places += [place for place in range(len(values)) if place not in self.donated.values()]
        arrays = [values[place] for place in places]
        donated = arrays[: len(set(self.donated.values()))]
        if apart(donated, arrays[len(donated) :]):
            return
        names = [self.graph.names[self.graph.inputs[place]] for place in places]
        name = self.traced.name
        for array, called in zip(donated, names, strict=False):
            if not is_writeable(array):
                raise InputError(f"{name}: the donated argument {called} is read-only and cannot hold a result: pass a copy{here()}")
        one, other = first_overlap(donated, arrays[len(donated) :]) or (0, 0)
        raise InputError(
            f"{name}: the donated argument {names[one]} shares memory with {names[other]}: a result written into the one would "
            f"change the other. Pass a copy of one of them{here()}"
        )

    def explain(self, error: Exception, values: Sequence[Any]) -> None:
        """Raise the error that the graph gives as it was traced, which names the node and the user's line, if it gives one."""
        if self.donated or isinstance(error, DeviceError | MissingDependencyError):
            return  # the arguments have been written into: nothing can be run again
        environment: dict[Node, Any] = dict(zip(self.traced.inputs, values, strict=False))
        with np.errstate(all="ignore"):
            for node in self.traced.nodes:
                if node not in environment:
                    try:
                        environment[node] = apply(node, environment)
                    except Exception as better:
                        with mode_with(origin=node.origin):
                            raise failure(node.primitive, node.args, node.params, better) from error  # type: ignore[arg-type]


class _Compiler:
    """What stands behind a compiled function: its programs by signature, and how to make another."""

    def __init__(self, function: Callable[..., Any], options: _Options) -> None:
        if not callable(function):
            raise InputError(f"compile takes a function, not {type(function).__name__}{here()}")
        self.function, self.options = function, options
        self.name = getattr(function, "__name__", type(function).__name__)
        try:
            self.signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # a built-in without one
            self.signature = None
        self.static = frozenset(options.static_argnames)
        self.donating = self.donated_parameters()
        self.programs: OrderedDict[Any, Compiled] = OrderedDict()
        self.lock = threading.RLock()
        self.warned = False
        call: Any = install(self.name if is_name(self.name) else "compiled", self.dispatch)
        self.call = call
        update_wrapper(call, function)
        call.source = f"# {self.name} has not been traced yet: call it, or call .prepare with such arguments, first\n"
        call.graph = None
        call.notes = ()
        call.prepare = self.prepare
        _refuse_global_writes(function)

    def donated_parameters(self) -> tuple[str, ...]:
        if not self.options.donate_argnums and not self.static:
            return ()
        names = list(self.signature.parameters) if self.signature is not None else []
        unknown = [name for name in self.static if name not in names]
        if unknown:
            raise InputError(f"compile: {self.name} has no parameter {unknown[0]!r}; it has {', '.join(names) or 'none'}{here()}")
        if any(number >= len(names) for number in self.options.donate_argnums):
            raise InputError(f"compile: {self.name} has {len(names)} parameters, donate_argnums says {self.options.donate_argnums}{here()}")
        return tuple(names[number] for number in self.options.donate_argnums)

    # -------------------------------------------------------------------------------------- a call

    def dispatch(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Any call that the entry's fast path does not take."""
        arguments = self.arguments(args, kwargs)
        if any(isinstance(leaf, Node) for leaf in arguments.leaves):
            return self.function(*args, **kwargs)
        self.check_device(arguments)
        compiled = self.compiled(arguments)
        values = [_as_input(leaf, node.dtype) for leaf, node in zip(arguments.leaves, compiled.traced.inputs, strict=True)]
        for place in compiled.donated.values():
            leaf = arguments.leaves[place]
            if (not isinstance(leaf, np.ndarray) and not is_on_device(leaf)) or leaf.dtype != values[place].dtype:
                kind = f"{type(leaf).__name__} {getattr(leaf, 'dtype', '')}".strip()
                raise InputError(
                    f"{self.name}: the donated argument {arguments.paths[place]} is a {kind}, which cannot hold the result: "
                    f"pass an array of {values[place].dtype}{here()}"
                )
        results = compiled.run(values)
        return compiled.traced.pack(results)  # type: ignore[misc]

    def check_device(self, arguments: _Arguments) -> None:
        """Raise `InputError` for arrays of a device where the program runs on the host."""
        if self.options.target != "cupy":
            for leaf, path in zip(arguments.leaves, arguments.paths, strict=True):
                if is_on_device(leaf):
                    raise InputError(
                        f"{self.name}: {path} is an array of {type(leaf).__module__.partition('.')[0]}, and the target "
                        f'{self.options.target!r} computes on the host: compile with target="cupy", or pass {path}.get(){here()}'
                    )

    def prepare(self, *args: Any, **kwargs: Any) -> Any:
        """Trace and build for arguments like these, without a call; the compiled function itself, for chaining."""
        self.compiled(self.arguments(args, kwargs))
        return self.call

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments:
        named: dict[str, Any]
        if self.signature is None:
            named = {f"x{place}": arg for place, arg in enumerate(args, 1)} | kwargs
        else:
            try:
                bound = self.signature.bind(*args, **kwargs)
            except TypeError as error:
                raise InputError(f"{self.name}: {error}{here()}") from None
            named, args, kwargs = bound.arguments, bound.args, bound.kwargs  # in the order of the signature, however they were given
        static = {name: named[name] for name in named if name in self.static}
        leaves: list[Any] = []
        paths: list[str] = []
        starts: dict[str, range] = {}
        for name, value in named.items():
            if name not in self.static:
                more, labels, _ = flatten(value, name)
                starts[name] = range(len(leaves), len(leaves) + len(more))
                leaves += more
                paths += labels
        structure = tuple((name, _structure(value)) for name, value in named.items() if name not in self.static)
        return _Arguments(args, kwargs, named, static, leaves, paths, structure, starts)

    def compiled(self, arguments: _Arguments) -> Compiled:
        key = (self.static_key(arguments.static), arguments.structure, *map(_signature, arguments.leaves, arguments.paths))
        found = self.programs.get(key)
        if found is None or found.is_stale():
            with self.lock:
                found = self.programs.get(key)
                if found is None or found.is_stale():
                    found = self.programs[key] = self.build(arguments)
                    self.bound()
        return found

    def static_key(self, static: Mapping[str, Any]) -> tuple[Any, ...]:
        key = tuple((name, _distinct(value)) for name, value in static.items())
        try:
            hash(key)
        except TypeError:
            raise InputError(f"{self.name}: static arguments have to be hashable, such as numbers, texts and tuples{here()}") from None
        return key

    def bound(self) -> None:
        """Keep no more programs than the cache holds, and say so when it churns."""
        if len(self.programs) > self.options.cache_size:
            self.programs.popitem(last=False)
            if not self.warned:
                self.warned = True
                warnings.warn(
                    f"{self.name} has been traced for more than {self.options.cache_size} signatures and forgets the oldest: give its "
                    "arguments few shapes (pad them), make a number that changes an array or a float, or raise cache_size",
                    CompilationWarning, stacklevel=stack_level(),
                )  # fmt: skip

    # ------------------------------------------------------------------------------------- a build

    def build(self, arguments: _Arguments) -> Compiled:
        draws = _Draws(self.function)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZeroGradientWarning)  # of a result that is a constant: a compiled function may have such
            if arguments.static:
                given = self.without_static(arguments)
                traced = trace(self.with_static(arguments), *given.args, **given.kwargs)
            else:
                traced = trace(self.function, *arguments.args, **arguments.kwargs)
        draws.refuse(self.name)
        inputs = set(traced.inputs)
        captured = tuple(node for node in traced.nodes if node.primitive is None and node not in inputs)
        whole = Graph((*traced.inputs, *captured), traced.outputs, name=traced.name, roles=traced.roles, pack=traced.pack)
        captured_as = _captured_as(captured)
        graph = optimize(whole, exact=self.options.exact)
        donated = self.donated(arguments, graph)
        scalar = self.options.target == "numpy" and not donated and scalar_target.fits(graph)
        target: Any = scalar_target if scalar else import_module(_TARGETS[self.options.target])
        program = target.build(graph, donated=donated, exact=self.options.exact, strict=self.options.strict)
        compiled = Compiled(traced, graph, program, captured, captured_as, scalar, donated)
        self.call.source, self.call.graph, self.call.notes = program.source, graph, program.notes
        if not arguments.kwargs and not arguments.static and self.signature is not None:
            specialise(self.call, self.signature, arguments.args, compiled)
        return compiled

    def without_static(self, arguments: _Arguments) -> inspect.BoundArguments:
        """The arguments that are traced, bound to the parameters that are left."""
        assert self.signature is not None  # or there are no static ones
        left = [parameter for name, parameter in self.signature.parameters.items() if name not in self.static]
        given = {name: value for name, value in arguments.named.items() if name not in self.static}
        return inspect.BoundArguments(self.signature.replace(parameters=left), OrderedDict(given))

    def with_static(self, arguments: _Arguments) -> Callable[..., Any]:
        """The function of the parameters that are left."""
        signature = self.without_static(arguments).signature
        whole: Any = self.signature

        def function(*args: Any, **kwargs: Any) -> Any:
            named = {**signature.bind(*args, **kwargs).arguments, **arguments.static}
            bound = inspect.BoundArguments(whole, OrderedDict((name, named[name]) for name in whole.parameters if name in named))
            return self.function(*bound.args, **bound.kwargs)

        function.__name__ = self.name
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    def donated(self, arguments: _Arguments, graph: Graph) -> dict[int, int]:
        """Which output is written into which input: of the same shape and dtype, in order."""
        result: dict[int, int] = {}
        for name in self.donating:
            for place in arguments.places.get(name, ()):
                given = graph.inputs[place]
                if not given.shape:
                    continue  # a number has no memory to give away
                fits = [
                    number for number, node in enumerate(graph.outputs)
                    if number not in result and (node.shape, node.dtype) == (given.shape, given.dtype)
                ]  # fmt: skip
                if not fits:
                    found = ", ".join(f"{node.dtype} {node.shape}" for node in graph.outputs)
                    raise InputError(
                        f"{self.name}: the donated argument {arguments.paths[place]} is {given.dtype} {given.shape}, and no result that is "
                        f"left over is; the results are {found}. Beside float32 a number written in the function keeps float32, an "
                        f"argument that is a Python float does not{here()}"
                    )
                result[fits[0]] = place
        return result


class _Arguments(NamedTuple):
    """The arguments of a call: by parameter, and their leaves."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    named: Mapping[str, Any]
    static: Mapping[str, Any]
    leaves: list[Any]
    paths: list[str]
    structure: tuple[Any, ...]  # of the containers
    places: Mapping[str, Iterable[int]]  # parameter -> numbers of its leaves


def _signature(leaf: Any, path: str) -> Any:
    """What a program is made for: a dtype and a shape."""
    if leaf.__class__ is np.ndarray:
        return leaf.dtype.str, leaf.shape, leaf.dtype.kind in "iub"
    if leaf.__class__ is float or isinstance(leaf, Node):
        return "<f8", (), False
    there = is_on_device(leaf)
    whole = (there or isinstance(leaf, np.ndarray)) and leaf.dtype.kind in "iub"  # as in a trace, arrays of integers stay integers
    try:
        value = named(as_operand, leaf, path) if whole or there else input_value(leaf, path)
    except DtypeError as error:
        if hasattr(leaf, "dtype"):
            raise
        raise DtypeError(f"{error}. What is no number or array, such as a flag, a text or self, is named in static_argnames") from None
    return value.dtype.str, value.shape, whole


def _structure(tree: Any) -> Any:
    """The containers of an argument: a list is no tuple, and an empty one counts."""
    if isinstance(tree, dict):
        return dict, tuple((key.__class__, key, _structure(value)) for key, value in tree.items())
    if isinstance(tree, (list, tuple)):
        return tree.__class__, tuple(map(_structure, tree))
    return None


def _distinct(value: Any) -> Any:
    """A static argument as a key: 1, 1.0 and True are equal, and so are 0.0 and -0.0, but make other programs."""
    if isinstance(value, tuple):
        return value.__class__, tuple(map(_distinct, value))
    return value.__class__, repr(value) if isinstance(value, (float, complex, np.inexact)) else value


def _captured_as(captured: Iterable[Node]) -> tuple[Any, ...]:
    """The signatures of variables, whose values may have changed."""
    return tuple(_signature(node.value, node.name or "a captured variable") for node in captured)


def _as_input(leaf: Any, dtype: Any) -> Any:
    """An argument as the program takes it: an array, or a NumPy number. An array of a class of its own is looked through."""
    leaf = as_operand(leaf) if isinstance(leaf, np.ndarray) or is_on_device(leaf) else input_value(leaf)
    if leaf.dtype != dtype:
        leaf = leaf.astype(dtype)
    return leaf if leaf.ndim else leaf[()]


# ----------------------------------------------------------------------------------------- effects


def _refuse_global_writes(function: Any) -> None:
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for instruction in dis.get_instructions(code):
        outer = instruction.opname == "STORE_DEREF" and instruction.argval in code.co_freevars
        if instruction.opname == "STORE_GLOBAL" or outer:
            place = describe_origin((code, instruction.offset))
            raise InputError(
                f"{code.co_name} writes the {'outer' if outer else 'global'} variable {instruction.argval!r} ({place}), which a program "
                "would do once, while it is traced, and never again: return the value instead"
            )


def _generators(function: Any) -> Iterator[tuple[str, np.random.Generator]]:
    """The generators that a function can see by name: global ones, and those it closes over."""
    code = getattr(function, "__code__", None)
    if code is None:
        return
    closed = getattr(function, "__closure__", None) or ()
    seen = [(name, cell.cell_contents) for name, cell in zip(code.co_freevars, closed, strict=True) if _filled(cell)]
    seen += [(name, function.__globals__[name]) for name in code.co_names if name in function.__globals__]
    for name, value in seen:
        if isinstance(value, np.random.Generator):
            yield name, value
        elif inspect.isfunction(value) and value is not function and value.__code__ is not code:
            inner = getattr(value, "__globals__", {})
            yield from ((other, inner[other]) for other in value.__code__.co_names if isinstance(inner.get(other), np.random.Generator))


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


class _Draws:
    """The states of the random generators within reach before a trace, which has to leave them alone."""

    def __init__(self, function: Any) -> None:
        self.generators = list(_generators(function))
        self.states = [generator.bit_generator.state for _, generator in self.generators]
        self.global_states = _global_states()

    def refuse(self, name: str) -> None:
        pairs = zip(self.generators, self.states, strict=True)
        drawn = [f"from {known}" for (known, generator), state in pairs if generator.bit_generator.state != state]
        drawn += [what for what, state in _global_states().items() if state != self.global_states[what]]
        if drawn:
            raise InputError(
                f"{name} draws random numbers {drawn[0]} while it is traced: the compiled program would use the same ones in every call. "
                f"Draw them outside and pass them as an argument{here()}"
            )


def _global_states() -> dict[str, Any]:
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - to see whether anybody else draws from it
    inner = numpy_state["state"]
    return {"by np.random": (inner["key"].tobytes(), inner["pos"], numpy_state["has_gauss"]), "by random": random.getstate()}

