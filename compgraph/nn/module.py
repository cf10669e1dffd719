"""`Module`: a part of a model, which holds parameters, buffers and other modules, and computes with them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

import compgraph as cg
from compgraph.backend import as_array, moved_to
from compgraph.modes import current_mode
from compgraph.nn.states import load_state_dict, state_dict
from compgraph.nn.substitution import lent
from compgraph.nn.summaries import Summary, summary


class Module:
    """A part of a model: subclass it, assign its parts as attributes, and write `forward`.

    >>> import numpy as np, compgraph as cg
    >>> from compgraph import nn
    >>> class Line(nn.Module):
    ...     def __init__(self):
    ...         self.slope = cg.variable(np.float32(2.0))
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> line = Line()
    >>> line(np.float32(3.0))
    Node(multiply, 6.)
    >>> [name for name, _ in line.named_parameters()]
    ['slope']

    A `cg.variable` that is assigned is a parameter, a `Module` is a child, and `register_buffer` makes what is saved but not
    learnt. Parameters are called after their place, as in `0.weight`, in graphs, errors and programs. Values stand in the
    instance's own dictionary, so reading `self.weight` costs what reading any attribute costs.
    """

    floating_input: ClassVar[bool] = False  # whether arrays of integers are refused too, as a layer that multiplies its input does

    training: bool

    def __new__(cls, *_: Any, **__: Any) -> Self:
        module = super().__new__(cls)  # here and not in __init__, so that a subclass need not call it
        vars(module).update(_parameters={}, _buffers={}, _modules={}, _path="", training=True, _changes=0)
        return module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward(): it says what the module computes{cg.here()}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward`, after a look at the dtypes; while a graph is traced, in a scope of the module's name, as in `encoder/0`."""
        if self._parameters:
            self._check_dtypes(args)
        # A scope costs more than a small layer's arithmetic, so a plain eager call opens none.
        if args and args[0].__class__ is cg.Node and args[0].value is None and self._path:
            with cg.scope(self._path.rpartition(".")[2]):
                return self.forward(*args, **kwargs)
        return self.forward(*args, **kwargs)

    def _check_dtypes(self, args: tuple[Any, ...]) -> None:
        own = vars(self)
        dtype = own[next(iter(self._parameters))].dtype
        for arg in args:
            given = getattr(arg, "dtype", dtype)
            if given is not dtype and dtype.kind == "f" and (given.kind == "f" or (self.floating_input and given.kind in "iub")):
                if any(given == own[name].dtype for name in self._parameters):
                    continue
                other = f", or make the model with dtype=np.{given}, or model.to(np.{given})" if given.kind == "f" else ""
                raise cg.DtypeError(
                    f"{self.label()} is of {dtype} and its input of {given}: write X.astype(np.{dtype}){other}{cg.here()}"
                )

    # ------------------------------------------------------------------------------------------ what belongs to it

    _parameters: dict[str, None]  # names, in the order of assignment; the values are attributes
    _buffers: dict[str, bool]  # names, and whether they are saved
    _modules: dict[str, None]
    _path: str  # from the outermost module that it is in
    _changes: int  # of attributes that `forward` may read: what was traced before is not this module's graph any more

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._buffers:
            value = self._buffer_value(name, value)
        elif isinstance(value, Module):
            self._check_name(name)
            if any(part is self for part in value.modules()):
                raise cg.InputError(f"{self.label()}.{name}: a module cannot be inside itself{cg.here()}")
            self._parameters.pop(name, None)
            self._modules[name] = None
            value._move_to(name)
        elif isinstance(value, cg.Node) and value.is_leaf:
            self._check_name(name)
            if value.value is None:
                raise cg.InputError(
                    f"{self.label()}.{name}: an input of a graph that is being traced cannot become a parameter; "
                    f"nn.functional_call(model, {{{name!r}: node}}, X) runs the model with it{cg.here()}"
                )
            self._modules.pop(name, None)
            self._parameters[name] = None
            value.name = value.name or (f"{self._path}.{name}" if self._path else name)
        else:
            self._check_plain(name, value)
            self._modules.pop(name, None)
            self._parameters.pop(name, None)
        own = vars(self)
        if name not in self._buffers and name != "training" and _differs(own.get(name, own), value) and not current_mode().traced:
            own["_changes"] += 1
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        vars(self)["_changes"] += 1
        for names in (self._parameters, self._buffers, self._modules):
            names.pop(name, None)

    def register_buffer(self, name: str, value: Any, persistent: bool = True) -> None:
        """Keep an array that is not learnt: `named_buffers` has it, and `state_dict` unless `persistent` is False.

        A layer that updates a buffer assigns it, `self.running_mean = ...`, and never writes into it: whoever traces the model
        finds the new value, a node, in its place.
        """
        self._check_name(name)
        if name in vars(self) and name not in self._buffers:
            raise cg.InputError(f"{self.label()}.{name} is there already{cg.here()}")
        object.__setattr__(self, name, None if value is None else np.array(value))
        self._buffers[name] = bool(persistent)

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise cg.InputError(f"{self.label()}: {name!r} cannot be the name of a part: a text without dots{cg.here()}")
        if hasattr(Module, name):
            raise cg.InputError(f"{self.label()}: {name!r} is a method of every module; give this part another name{cg.here()}")

    def _check_plain(self, name: str, value: Any) -> None:
        """An attribute that is none of the three; what would be lost in silence is refused."""
        if value is None:
            return
        if name in self._parameters or name in self._modules:
            kind = "parameter" if name in self._parameters else "module"
            instead = (
                f"module.{name}.value = array gives it new numbers, module.{name} = cg.variable(array) replaces it"
                if kind == "parameter" else "another module can take its place"
            )  # fmt: skip
            what = "a computed node" if isinstance(value, cg.Node) else type(value).__name__
            raise cg.InputError(f"{self.label()}.{name} is a {kind} and cannot become {what}: {instead}{cg.here()}")
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        for part in parts:
            if isinstance(part, Module) or (isinstance(part, cg.Node) and part.is_leaf):
                raise cg.InputError(
                    f"{self.label()}.{name}: what is inside a {type(value).__name__} is not found by parameters(). Write "
                    f"nn.ModuleList([...]) for modules, and setattr(self, 'weight0', variable) for each variable{cg.here()}"
                )

    def _buffer_value(self, name: str, value: Any) -> Any:
        """An array where there is one: a node would keep the graph of every step so far alive."""
        if not isinstance(value, cg.Node):
            return None if value is None else as_array(value)
        if value.value is not None:
            return as_array(value.value)
        if not lent.get():
            raise cg.InputError(
                f"{self.label()}.{name} would become a node of a graph that is being traced: output, buffers = nn.functional_call(model, "
                f"{{}}, X) hands its new value out, and model.eval() leaves it as it is{cg.here()}"
            )
        return value

    def _move_to(self, name: str) -> None:
        """Lengthen the paths of all that is in this module, but of nothing that is called after another place already."""
        for path, parameter in self.named_parameters():
            if parameter.name == path:
                parameter.name = f"{name}.{path}"
        for path, module in self.named_modules():
            if module._path == path:
                vars(module)["_path"] = f"{name}.{path}" if path else name

    def label(self) -> str:
        """The module in an error message: its class, its path and what it was made with."""
        extra = self.extra_repr()
        return type(self).__name__ + (f" {self._path}" if self._path else "") + (f" ({extra})" if extra else "")

    # ------------------------------------------------------------------------------------------ what is in it

    def named_children(self) -> Iterator[tuple[str, Module]]:
        for name in self._modules:
            yield name, vars(self)[name]

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module, called `prefix`, and all inside it with their dotted names; one that is there twice comes once."""
        return ((name, module) for name, module, first in self._places(prefix) if first)

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def _places(self, prefix: str = "") -> list[tuple[str, Module, bool]]:
        """Every dotted name of a module, and whether the module comes for the first time."""
        found: list[tuple[str, Module, bool]] = []
        seen: set[int] = set()
        waiting: list[tuple[str, Module]] = [(prefix, self)]
        while waiting:
            path, module = waiting.pop()
            found.append((path, module, id(module) not in seen))
            seen.add(id(module))
            own = vars(module)
            waiting += [(f"{path}.{name}" if path else name, own[name]) for name in reversed(module._modules)]
        return found

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        """Dotted names and parameters, in the order of assignment; one that is shared comes once, under its first name."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name in module._parameters:
                parameter = vars(module)[name]
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield f"{path}.{name}" if path else name, parameter

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The parameters, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        """Dotted names and values of the buffers."""
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name in module._buffers:
                if vars(module)[name] is not None:
                    yield f"{path}.{name}" if path else name, vars(module)[name]

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    # ------------------------------------------------------------------------------------------ what is done to all of it

    def train(self, mode: bool = True) -> Self:
        """Let dropout drop and batch normalisation normalise by the batch (or, with False, neither); returns the module."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for module in self.modules():
            for name in module._parameters:
                vars(module)[name].grad = None

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module, children before their parents; returns the module.

        >>> from compgraph import nn
        >>> def start(module):
        ...     if isinstance(module, nn.Linear):
        ...         module.bias.value[:] = 0
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).apply(start)
        """
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, where: Any) -> Self:
        """Convert parameters, their gradients and floating-point buffers to a dtype, or move all of them to "cupy" or "numpy".

        The parameters stay the same objects, so an optimizer keeps them. Raises `MissingDependencyError` or `DeviceError` where
        there is no CuPy, no GPU or too little memory on it; nothing has been changed then. Returns the module.
        """
        place = where if isinstance(where, str) and where in ("cupy", "numpy") else None
        if place is None:
            dtype = np.dtype(where)
            if dtype.kind not in "fc":
                raise cg.DtypeError(f"{self.label()}.to({dtype}): parameters are floating-point numbers{cg.here()}")

        def moved(array: Any) -> Any:
            if place is not None:
                return moved_to(array, place)
            return array.astype(dtype) if array.dtype.kind in "fc" else array

        parameters = [(p, moved(p.value), None if p.grad is None else moved(p.grad)) for p in self.parameters()]
        buffers = [(module, name, moved(buffer)) for module in self.modules() for name, buffer in module.named_buffers(recurse=False)]
        for parameter, value, grad in parameters:
            parameter.value, parameter.grad = value, grad
        for module, name, buffer in buffers:
            setattr(module, name, buffer)
        return self

    def double(self) -> Self:
        """`to(np.float64)`."""
        return self.to(np.float64)

    def float(self) -> Self:
        """`to(np.float32)`."""
        return self.to(np.float32)

    # ------------------------------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Dotted names and copies of all parameters and of the buffers that are saved.

        >>> from compgraph import nn
        >>> list(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).state_dict())
        ['0.weight', '0.bias']
        """
        return state_dict(self)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Take over the values of a `state_dict`; returns the names that are missing and those that are unexpected.

        All of it or nothing: an `InputError` lists what is missing and unexpected, unless `strict` is False, and what has another
        shape or is no number. Values take the dtype of the model.
        """
        return load_state_dict(self, state, strict)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A module with parameters of its own, of the same values and without gradients; what was shared stays shared."""
        for parameter in self.parameters():
            if id(parameter) not in memo:
                memo[id(parameter)] = cg.variable(parameter.value, name=parameter.name)
        clone = memo[id(self)] = type(self).__new__(type(self))
        vars(clone).update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return clone

    # ------------------------------------------------------------------------------------------ how it shows itself

    def summary(self, *example: Any) -> Summary:
        """A table of the modules: layer, output shape, parameters, bytes.

        >>> from compgraph import nn
        >>> nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).summary((16, 64))
        Sequential
        layer     output shape  parameters    bytes
        0 Linear  (16, 32)           2,080  8,320 B
        1 ReLU    (16, 32)               0      0 B
        2 Linear  (16, 10)             330  1,320 B
        all       (16, 10)           2,410  9,640 B

        `example` is what the model takes, or the shapes of that; without it there are no shapes. Nothing is computed and nothing
        changes: shapes are found by tracing the model as it is after `eval()`.
        """
        return summary(self, *example)

    def extra_repr(self) -> str:
        """What `repr` says between the brackets."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        if not extra:  # nobody said what is in it
            own = [(name, vars(self)[name]) for name in self._parameters]
            lines = [f"({name}): {parameter.shape} {parameter.dtype}" for name, parameter in own] + lines
        if not lines:
            return f"{type(self).__name__}({extra})"
        return "\n  ".join([f"{type(self).__name__}(", *[extra] * bool(extra), *lines]) + "\n)"


def _differs(before: Any, value: Any) -> bool:
    """Whether an attribute with this value in place of that one may mean another graph; what a forward keeps of its results does not."""
    if value is before or (isinstance(value, cg.Node) and not value.is_leaf):
        return False
    return not (type(value) is type(before) and isinstance(value, (bool, int, float, str)) and value == before)


def whole(module: Module, name: str, number: Any, least: int = 1) -> int:
    """`number` as an int of at least `least`, or an `InputError` that says which argument of which module it is."""
    if isinstance(number, (int, np.integer)) and not isinstance(number, bool) and number >= least:
        return int(number)
    raise cg.InputError(f"{type(module).__name__}: {name} is an integer of at least {least}, not {number!r:.60}{cg.here()}")
