"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, overload

import numpy as np

import compgraph as cg
from compgraph.nn.activations import ReLU
from compgraph.nn.dropout import Dropout
from compgraph.nn.linear import Linear
from compgraph.nn.module import Module
from compgraph.nn.randomness import generator_from


class ModuleList(Module):
    """A list of modules that `parameters` finds; what is done with them is the owner's `forward`.

    >>> from compgraph import nn
    >>> layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    >>> len(layers), sum(p.size for p in layers.parameters())
    (3, 60)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def append(self, module: Any) -> Self:
        if not isinstance(module, Module):
            hint = "; make a Module whose forward calls it" if callable(module) else ""
            raise cg.InputError(f"{type(self).__name__} is made of modules, not of {module!r:.60}{hint}{cg.here()}")
        setattr(self, str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        for module in modules:
            self.append(module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    @overload
    def __getitem__(self, place: int) -> Module: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> Module | Self:
        """A module by number, or a container of the same kind of some of them."""
        if isinstance(place, slice):
            part = type(self).__new__(type(self))
            return part.extend(list(self)[place])
        return list(self)[place]


class Sequential(ModuleList):
    """Each module applied to what the one before it gave.

    >>> import numpy as np
    >>> from compgraph import nn
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> model
    Sequential(
      (0): Linear(in_features=64, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=10, bias=True)
    )
    >>> model(np.zeros((5, 64), np.float32)).shape
    (5, 10)

    Takes the modules one by one, or a dict that names them. `model[0]` is a module, `model[:2]` a model of the first two, with
    the same parameters.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                if not isinstance(module, Module):
                    raise cg.InputError(f"Sequential: {name!r} is {module!r:.60}, no module{cg.here()}")
                setattr(self, name, module)
            return
        if len(modules) == 1 and isinstance(modules[0], (list, tuple)):
            raise cg.InputError(f"Sequential takes the modules one by one: nn.Sequential(*layers){cg.here()}")
        self.extend(modules)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        own = vars(self)
        for name in self._modules:
            x = own[name](x)
        return x


class MLP(Sequential):
    """A multilayer perceptron: Linear layers with an activation between them, and none after the last.

    >>> from compgraph import nn
    >>> nn.MLP(64, [32, 16], 10, activation=nn.ReLU)
    MLP(
      (0): Linear(in_features=64, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=16, bias=True)
      (3): ReLU()
      (4): Linear(in_features=16, out_features=10, bias=True)
    )

    `hidden` is the width of each hidden layer, or one number for one layer. With `dropout` a Dropout follows each activation.
    """

    def __init__(
        self,
        in_features: int,
        hidden: int | Sequence[int],
        out_features: int,
        activation: Callable[[], Module] = ReLU,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: Any = np.float32,
        generator: Any = None,
    ) -> None:
        rng = generator_from(generator)  # one for all layers, whose weights a seed would make alike
        widths = [hidden] if isinstance(hidden, (int, np.integer)) else hidden
        if not isinstance(widths, (list, tuple)):
            raise cg.InputError(f"MLP: hidden is a width or a list of widths, not {hidden!r:.60}{cg.here()}")
        width = in_features
        for wider in widths:
            self.append(Linear(width, wider, bias, dtype, rng)).append(activation())
            if dropout:
                self.append(Dropout(dropout))
            width = wider
        self.append(Linear(width, out_features, bias, dtype, rng))
