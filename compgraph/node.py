"""Nodes, and `bind`, the one function that makes them.

Eager and traced are one mechanism: `bind` computes the value of a node when all its arguments hold one, and infers only
its shape and dtype otherwise.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from compgraph import modes
from compgraph.backend import DEVICE_CLASSES, device_of, is_on_device, on_host
from compgraph.errors import (
    AbstractValueError,
    AnomalyError,
    DtypeError,
    ImmutableNodeError,
    InputError,
    MissingRuleError,
    restated,
)
from compgraph.operands import PLAIN, REAL, as_operand, as_operands, input_value, short
from compgraph.origins import (
    Origin,
    caller,
    comparison_is_written,
    describe_origin,
    here,
    is_call_into_math,
    is_stored_in_an_array,
    library_files,
    source_line,
)
from compgraph.primitive import PRIMITIVES, Aval, Primitive, Shape

# ------------------------------------------------------------------------------------------ methods

# Methods of Node and Graph that later modules provide, by name. A module below cannot import one above, so
# it looks the function up when it is called, as operators look up their primitives.
METHODS: dict[str, Callable[..., Any]] = {}

# NumPy ufunc -> the name of its primitive; filled by `numpy_protocol.py`, which handles all that is not a plain call.
UFUNCS: dict[np.ufunc, str] = {}


def provides(method: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the body of a method, as in `@provides("Node.backward")`."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        METHODS[method] = function
        return function

    return keep


# -------------------------------------------------------------------------------------------- nodes

_ids = itertools.count(1)


class Node:
    """One line of the Wengert list: `primitive(*args, **params)`.

    A node is plain data. `args` holds nodes and constants, `params` what is not an array; `value` is the number or
    array when it is known and None when the node is abstract; ids grow in order of creation, which is therefore
    a topological order. Inputs have no primitive. `==` compares values elementwise, as it does in NumPy; the same
    node is `is`; hashing and membership (`node in graph.inputs`) go by identity.
    """

    __slots__ = ("__weakref__", "_aval", "args", "grad", "id", "name", "origin", "params", "primitive", "retains_grad", "scope", "value")

    def __init__(
        self,
        primitive: Primitive | None,
        args: tuple[Any, ...],
        params: dict[str, Any],
        value: Any,
        origin: Origin = None,
        scope: str = "",
        aval: Aval | None = None,
        name: str | None = None,
    ) -> None:
        self.primitive = primitive
        self.args = args
        self.params = params
        self.value = value
        self.origin = origin
        self.scope = scope
        self._aval = aval
        self.name = name
        self.grad: Any = None
        self.retains_grad = False
        self.id = next(_ids)

    __hash__ = object.__hash__

    def __reduce_ex__(self, protocol: Any) -> Any:
        """An input is copied, and pickled, as its value, its name and its gradient: where it was made stays behind."""
        if self.primitive is not None or self.value is None:
            return super().__reduce_ex__(protocol)
        return variable, (self.value, self.name), (None, {"grad": self.grad, "retains_grad": self.retains_grad})

    # What is known of the value.

    @property
    def shape(self) -> Shape:
        value = self.value
        return self._aval[0] if value is None else value.shape  # type: ignore[index]

    @property
    def dtype(self) -> np.dtype[Any]:
        value = self.value
        return self._aval[1] if value is None else value.dtype  # type: ignore[index]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def is_leaf(self) -> bool:
        """Whether the node is an input, which `backward` gives a `grad`."""
        return self.primitive is None

    def concrete(self, purpose: str) -> Any:
        """The value, or an error that says which node has none and what to write instead."""
        if self.value is not None:
            return self.value
        traced = modes.mode.get().traced
        line = source_line(caller()) or source_line(self.origin)
        raise AbstractValueError(
            f"{purpose} needs a number, but {describe(self)} is abstract"
            + (f": while {traced} is traced only shapes and dtypes are known" if traced else ": the trace that made it is over")
            + f", at {describe_origin(caller()) or 'an unknown line'}"
            + (f": `{line}`" if line else "")
            + (". Write np.where(condition, a, b) for a branch on a value, or call the function on numbers." if traced
               else ". Return it from the traced function and call the graph on numbers.")
        )

    def item(self, *place: int) -> Any:
        return self.concrete("item()").item(*place)

    def tolist(self) -> Any:
        return self.concrete("tolist()").tolist()

    def __float__(self) -> float:
        if is_stored_in_an_array():
            self.__array__()
        call = is_call_into_math()
        if call:
            raise DtypeError(
                f"`{call}` at {describe_origin(caller())} would lose the derivative of {describe(self)}: "
                "the math module takes plain numbers. Use the NumPy function of that name, as in np.exp(x)."
            )
        return float(self.concrete("float()"))

    def __complex__(self) -> complex:
        if is_stored_in_an_array():
            self.__array__()
        return complex(self.concrete("complex()"))

    def __int__(self) -> int:
        if is_stored_in_an_array():
            self.__array__()
        return int(self.concrete("int()"))

    def __bool__(self) -> bool:
        return bool(self.concrete("a branch (if, while, and, or, bool())"))

    def __dlpack__(self, **options: Any) -> Any:
        """The value's memory, for libraries that exchange arrays (DLPack), without the way back to the graph."""
        value = self.concrete("DLPack")
        return (value if is_on_device(value) else np.asarray(value)).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        value = self.concrete("DLPack")
        device: tuple[int, int] = (value if is_on_device(value) else np.asarray(value)).__dlpack_device__()
        return device

    def __format__(self, specification: str) -> str:
        if not specification:
            return str(self)
        return format(self.concrete("format()").item(), specification)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        raise ImmutableNodeError(
            f"{describe(self)} cannot be stored in a NumPy array, at {describe_origin(caller())}: an array holds "
            "numbers, so the derivative would be lost. Write np.stack([a, b]) or np.concatenate([a, b]) to join "
            "nodes, np.where(mask, new, old) to replace entries, and node.value for the plain number; a plain array is read "
            "at the place of a node as cg.constant(array)[i]."
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        raise ImmutableNodeError(
            f"{describe(self)} cannot be assigned to in place, at {describe_origin(caller())}: a node is one line of "
            "the graph and keeps its value. Write x = cg.at(x)[index].set(value) for x[index] = value, x = np.where(mask, "
            "new, x) to replace entries by a condition, or collect the parts and join them with np.stack or np.concatenate."
        )

    def __len__(self) -> int:
        if not self.shape:
            raise DtypeError(f"len() of {describe(self)}, which has no axes{here()}")
        return self.shape[0]

    def __iter__(self) -> Iterator[Node]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(self.concrete("`in`") == getattr(value, "value", value)))

    def __repr__(self) -> str:
        name = self.name or (self.primitive.name if self.primitive else "input")
        if self.value is None:
            return f"Node({name}, shape={self.shape}, dtype={self.dtype})"
        text = np.array2string(np.asarray(on_host(self.value)), precision=8, threshold=20, separator=", ", prefix=f"Node({name}, ")
        return f"Node({name}, {text}" + (f", on {device_of(self.value)})" if is_on_device(self.value) else ")")

    # Operators bind by name, so this module needs no primitive of its own.

    def __add__(self, other: Any) -> Node: return _bind("add", (self, other))
    def __radd__(self, other: Any) -> Node: return _bind("add", (other, self))
    def __sub__(self, other: Any) -> Node: return _bind("subtract", (self, other))
    def __rsub__(self, other: Any) -> Node: return _bind("subtract", (other, self))
    def __mul__(self, other: Any) -> Node: return _bind("multiply", (self, other))
    def __rmul__(self, other: Any) -> Node: return _bind("multiply", (other, self))
    def __truediv__(self, other: Any) -> Node: return _bind("divide", (self, other))
    def __rtruediv__(self, other: Any) -> Node: return _bind("divide", (other, self))
    def __pow__(self, other: Any) -> Node: return _bind("power", (self, other))
    def __rpow__(self, other: Any) -> Node: return _bind("power", (other, self))
    def __mod__(self, other: Any) -> Node: return _bind("remainder", (self, other))
    def __rmod__(self, other: Any) -> Node: return _bind("remainder", (other, self))
    def __floordiv__(self, other: Any) -> Node: return _bind("floor_divide", (self, other))
    def __rfloordiv__(self, other: Any) -> Node: return _bind("floor_divide", (other, self))
    def __matmul__(self, other: Any) -> Node: return _bind("matmul", (self, other))
    def __rmatmul__(self, other: Any) -> Node: return _bind("matmul", (other, self))
    def __neg__(self) -> Node: return _bind("negative", (self,))
    def __pos__(self) -> Node: return self
    def __abs__(self) -> Node: return _bind("abs", (self,))
    def __lt__(self, other: Any) -> Node: return _bind("less", (self, other))
    def __le__(self, other: Any) -> Node: return _bind("less_equal", (self, other))
    def __gt__(self, other: Any) -> Node: return _bind("greater", (self, other))
    def __ge__(self, other: Any) -> Node: return _bind("greater_equal", (self, other))
    def __invert__(self) -> Node: return _bind("logical_not", (self,))
    def __and__(self, other: Any) -> Node: return _bind("logical_and", (self, other))
    def __or__(self, other: Any) -> Node: return _bind("logical_or", (self, other))

    def __xor__(self, other: Any) -> NoReturn:
        raise MissingRuleError(f"{describe(self)} ^ {operand_text(other)}: ^ is Python's exclusive or. Write x ** 2 for a power{here()}")

    # `a == b` in a program is NumPy's question, entry by entry. `a in nodes` and `nodes.index(a)` ask about the
    # node, and Python asks that through the same method.

    def __eq__(self, other: Any) -> Any:
        if isinstance(other, Node) and not comparison_is_written():
            return self is other
        return _bind("equal", (self, other)) if is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return _bind("not_equal", (self, other)) if is_operand(other) else NotImplemented

    # NumPy's functions reach their primitive through `numpy_protocol.py`. NumPy's methods, such as `sum`, are its functions
    # by another name; that module sets them on this class.

    def __getitem__(self, index: Any) -> Node: return METHODS["Node.__getitem__"](self, index)
    def __array_function__(self, *args: Any) -> Any: return METHODS["Node.__array_function__"](*args)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not kwargs and method == "__call__" and ufunc in UFUNCS:
            return _bind(UFUNCS[ufunc], inputs)
        return METHODS["Node.__array_ufunc__"](ufunc, method, *inputs, **kwargs)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def backward(self, seed: Any = None, *, retain_all: bool = False) -> None:
        """Pull adjoints back from this node and add them to the `grad` of every input it depends on.

        >>> import numpy as np, compgraph as cg
        >>> x = cg.variable([1.0, 2.0])
        >>> np.sum(x ** 2).backward()
        >>> x.grad
        array([2., 4.])

        `seed` is the adjoint of this node, of its shape; a scalar node needs none. `grad` accumulates over calls, as
        in PyTorch, until `zero_grad`; nodes on which `retain_grad()` was called get theirs too, and with
        `retain_all` every node does. The graph is kept, so a second call works.
        """
        METHODS["Node.backward"](self, seed, retain_all=retain_all)

    def zero_grad(self) -> None:
        """Forget `grad`."""
        self.grad = None

    def retain_grad(self) -> Node:
        """Ask `backward` to keep this node's adjoint in `grad`; returns the node."""
        self.retains_grad = True
        return self

    def _repr_html_(self) -> str:
        import html

        return f"<code>{html.escape(repr(self))}</code>"


# ------------------------------------------------------------------------------------------ inputs


def is_operand(value: Any) -> bool:
    return isinstance(value, (Node, float, int, complex, np.generic, np.ndarray, list)) or is_on_device(value)


def variable(value: Any, name: str | None = None) -> Node:
    """An input that holds its value: a number or an array to differentiate with respect to.

    >>> import numpy as np, compgraph as cg
    >>> x = cg.variable(0.5, name="x")
    >>> y = np.exp(x) * x
    >>> y.backward()
    >>> round(x.grad.item(), 6)
    2.473082

    The array is copied. Floats keep their dtype; integers and booleans become float64, since a derivative with
    respect to an integer means nothing. Complex numbers stay complex: see `primitives/complex.py` for what their
    derivatives mean. Text and objects raise `DtypeError`.
    """
    if isinstance(value, Node):
        raise InputError(f"{describe(value)} is a node already{here()}")
    if not isinstance(name, (str, type(None))):
        raise InputError(f"a name is a text, not {name!r:.40}{here()}")
    if isinstance(value, (list, tuple)) and any(isinstance(part, Node) for part in value):
        raise InputError(f"a list of nodes is not a number; write np.stack([a, b]) to join them{here()}")
    return Node(None, (), {}, input_value(value, name or ""), caller(), modes.mode.get().scope, name=name)


def placeholder(shape: Shape, dtype: Any, name: str | None = None, origin: Origin = None) -> Node:
    """An abstract input: a shape and a dtype without a value."""
    return Node(None, (), {}, None, origin, modes.mode.get().scope, (shape, np.dtype(dtype)), name)


def constant(value: Any, name: str | None = None) -> Node:
    """A node that holds a copy of a value and depends on nothing."""
    held = as_operand(value)
    held = held.copy() if is_on_device(held) else np.array(held)[()]
    return Node(PRIMITIVES["constant"], (), {"value": held}, held, caller(), modes.mode.get().scope, name=name)


# -------------------------------------------------------------------------------------------- bind


def bind(primitive: str | Primitive, /, *args: Any, **params: Any) -> Any:
    """Apply a primitive: to nodes it makes a node, to arrays it computes.

    >>> import numpy as np, compgraph as cg
    >>> bind("add", np.float64(1.0), 2.0)
    np.float64(3.0)
    >>> bind("add", cg.variable(1.0), 2.0)
    Node(add, 3.)
    """
    return _bind(primitive, args, params) if params else _bind(primitive, args)


# The params of every node that has none: a dict each would be a quarter of what the garbage collector has to look at.
NO_PARAMS: dict[str, Any] = {}


def _bind(primitive: str | Primitive, args: tuple[Any, ...], params: dict[str, Any] = NO_PARAMS) -> Any:
    """`bind`, without the packing of its arguments: every operation passes through here, so its cost counts.

    Called by `bind` and the operators of `Node`, and by nothing else, so the user's frame is at least two up.
    """
    if primitive.__class__ is str:
        primitive = PRIMITIVES[primitive]
    values: list[Any] = []
    recorded = abstract = False
    for arg in args:
        if isinstance(arg, Node):
            recorded = True
            arg = arg.value
            if arg is None:
                abstract = True
        elif arg.__class__ not in PLAIN and not (arg.__class__ is np.ndarray and arg.dtype.kind in "fiubc"):
            args = as_operands(args, _is_node, primitive.name)  # type: ignore[union-attr]
            values = [arg.value if isinstance(arg, Node) else arg for arg in args]
            recorded = any(isinstance(arg, Node) for arg in args)
            abstract = any(value is None for value in values)
            break
        values.append(arg)
    if DEVICE_CLASSES and not DEVICE_CLASSES.isdisjoint(map(type, values)):
        return METHODS["bind on a device"](primitive, args, values, params)
    if not recorded:
        return primitive.evaluate(*args, **params)  # type: ignore[union-attr]

    if primitive.takes_complex is not True:  # type: ignore[union-attr]
        for arg, value in zip(args, values):  # noqa: B905  # of the same length, and strict= costs as much as a test
            if value.__class__ not in REAL and getattr(arg if value is None else value, "dtype", _FLOAT64).kind == "c":
                primitive = complex_form(primitive, args, params)  # type: ignore[arg-type]
                break
    mode = modes.mode.get()
    if mode is not modes.DEFAULT or abstract:
        return bind_in_mode(mode, primitive, args, values, params, abstract)  # type: ignore[arg-type]
    try:
        value = primitive.evaluate(*values, **params) if params else primitive.evaluate(*values)  # type: ignore[union-attr]
    except Exception as error:
        raise failure(primitive, args, params, error) from error  # type: ignore[arg-type]
    frame = sys._getframe(2)  # the frame between would have to be made into an object to be looked at
    while library_files[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return Node(primitive, args, params, value, (frame.f_code, frame.f_lasti))  # type: ignore[arg-type]


_FLOAT64 = np.dtype(np.float64)


def complex_form(primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Primitive:
    """The primitive that stands in for `primitive` where an argument is complex; `DtypeError` where none does."""
    if isinstance(primitive.takes_complex, str):
        return PRIMITIVES[primitive.takes_complex]
    reason = "not defined, or not differentiable, for complex numbers. Take np.real, np.imag or np.abs first"
    raise failure(primitive, args, params, DtypeError(reason))


def bind_in_mode(
    mode: modes.Mode, primitive: Primitive, args: tuple[Any, ...], values: list[Any], params: dict[str, Any], abstract: bool,
    evaluate: Callable[..., Any] | None = None,
) -> Node:  # fmt: skip
    """`bind` where something is out of the ordinary: an abstract argument, a mode that is not the default, or a device."""
    origin = mode.origin or caller()
    try:
        value = None if abstract else (evaluate or primitive.evaluate)(*values, **params)
        aval = primitive.infer(*args, **params) if abstract else None
    except Exception as error:
        raise failure(primitive, args, params, error) from error
    if not mode.recording:
        if value is not None:
            return Node(PRIMITIVES["constant"], (), {"value": value}, value, origin, mode.scope)
        if primitive.name != "stop_gradient":
            return bind("stop_gradient", Node(primitive, args, params, value, origin, mode.scope, aval))
    if mode.anomaly and value is not None:
        check_finite(value, primitive, args, values, origin)
    if mode.constants is not None:
        args = tuple(_kept(arg, mode.constants) for arg in args)
    return Node(primitive, args, params, value, origin, mode.scope, aval)


def _kept(arg: Any, constants: dict[int, tuple[Any, Any]]) -> Any:
    """A traced graph owns its constants: what the caller does to an array later must not change the graph."""
    if not isinstance(arg, np.ndarray):
        return arg
    if id(arg) not in constants or not np.array_equal(constants[id(arg)][1], arg):
        constants[id(arg)] = (arg, arg.copy())  # the original is held too, so that its id stays its own
    return constants[id(arg)][1]


def _is_node(arg: Any) -> bool:
    return isinstance(arg, Node)


# ---------------------------------------------------------------------------------- errors in words


def describe(node: Node) -> str:
    """A node in the user's words: its name, operation, shape and line.

    >>> import compgraph as cg
    >>> describe(cg.variable([1.0, 2.0], name="x"))
    'x (2,)'
    """
    if node.primitive is None:
        return f"{node.name or 'an input'} {node.shape}"
    place = describe_origin(node.origin)
    return f"{node.name or line_name(node.args)} = {node.primitive.name} {node.shape}" + (f" from {place}" if place else "")


def line_name(args: Sequence[Any]) -> str:
    """The name `v7` that a node with these arguments has in its own graph."""
    before = ancestors([arg for arg in args if isinstance(arg, Node)])
    return f"v{1 + sum(node.primitive is not None for node in before)}"


def operand_text(arg: Any) -> str:
    if isinstance(arg, Node):
        if arg.primitive is None:
            return f"{arg.name or 'input'} {arg.shape}"
        return f"{arg.name or line_name(arg.args)} {arg.shape}"
    return str(np.shape(arg)) if np.ndim(arg) else short(arg)


def failure(primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any], error: Exception) -> Exception:
    """The error a user should see when a primitive refused its arguments."""
    reason = str(error)
    try:
        primitive.infer(*args, **params)
    except Exception as better:  # the shape rule speaks of shapes in the user's words
        if not isinstance(error, DtypeError):  # which speaks the user's words already
            reason, error = str(better), better
    operands = ", ".join(map(operand_text, args))
    shown = "".join(f", {name}={value!r}" for name, value in params.items() if value is not None)
    place = describe_origin(modes.mode.get().origin or caller())
    message = f"{primitive.name}({operands}{shown}): {reason}, at {line_name(args)}" + (f" ({place})" if place else "")
    return restated(error, message)


def derivative_failure(node: Node, error: Exception) -> Exception:
    """The error a user should see when a rule of `node`'s derivative, which is no operation of the user's, has no answer."""
    reason = error.__cause__ or error  # without the names of the operations that the rule is made of
    return restated(error, f"the derivative of {describe(node)}: {reason}")


def check_finite(value: Any, primitive: Primitive, args: Sequence[Any], xs: Sequence[Any], origin: Origin, what: str = "") -> None:
    """Raise `AnomalyError` if a `value` that came from `args`, whose values are `xs`, is NaN or infinite."""
    if isinstance(value, Node) or np.all(np.isfinite(value)):
        return
    value, xs = on_host(value), [on_host(x) for x in xs]
    bad = np.asarray(value)[~np.isfinite(value)].ravel()[0]
    held = ", ".join(
        f"{(arg.name or 'an argument') if isinstance(arg, Node) else 'a constant'} = "
        + np.array2string(np.asarray(x), threshold=6, edgeitems=2)
        for arg, x in zip(args, xs, strict=True)
    )
    line = source_line(origin)
    raise AnomalyError(
        f"{what or primitive.name} made {bad} from {held}, at {line_name(args)} ({describe_origin(origin) or 'unknown line'})"
        + (f": `{line}`" if line else "")
    )


def ancestors(outputs: Iterable[Node], *, since: int = 0) -> list[Node]:
    """`outputs` and all they depend on, in creation order, which is a topological order. Not recursive.

    Nodes older than id `since` are not entered: they belong to what was there before.
    """
    seen = {node for node in outputs if node.id >= since}
    found = list(seen)
    for node in found:  # which grows on the way, nearly in reverse order: the sort has little left to do
        for arg in node.args:
            if isinstance(arg, Node) and arg not in seen and arg.id >= since:
                seen.add(arg)
                found.append(arg)
    found.sort(key=_id_of)
    return found


_id_of = attrgetter("id")
