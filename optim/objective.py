"""A model and its loss as one function of vectors of parameters, buffers and random numbers: what a training step compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph import nn
from optim.gradients import l1_penalty, l2_penalty
from optim.optimizer import Optimizer
from optim.parameters import Place

Request = tuple[str, tuple[int, ...], Any]  # "uniform" or "normal", shape, dtype


class Slot(NamedTuple):
    """Parameters that one array holds, and how to take it apart into them."""

    places: list[Place]
    split: Callable[[Any], list[Any]]


class Recorded:
    """A source of random numbers for `nn.using` that hands out arrays that were drawn before, in their order."""

    def __init__(self, draws: list[Any]) -> None:
        self.left = iter(draws)

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return next(self.left)

    normal = uniform


class _Rehearsal:
    """A source that notes what is asked of it and hands out zeros."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Any:
        self.requests.append(("uniform", tuple(shape), dtype))
        return np.zeros(shape, dtype)

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Any:
        self.requests.append(("normal", tuple(shape), dtype))
        return np.zeros(shape, dtype)


class Objective:
    """The loss of a batch like (X, y).

    A rehearsal on shapes alone finds `requests`, the random arrays that the model draws, and `places`, the optimizer's parameters
    that the loss depends on; the others get no gradient and no update, as in the plain loop. `slots` say how the
    parameters lie in memory.
    """

    def __init__(self, model: Any, loss: Callable[[Any, Any], Any], optimizer: Optimizer, l1: float, l2: float, X: Any, y: Any) -> None:
        self.model, self.loss, self.l1, self.l2 = model, loss, l1, l2
        self.names = {p: name for name, p in model.named_parameters()}
        self.holders = {
            f"{path}.{name}" if path else name: (module, name)
            for path, module in model.named_modules()
            for name in module._buffers
            if vars(module)[name] is not None
        }
        self.slots: list[Slot] = []
        rehearsal = _Rehearsal()
        known = {name: p.value for p, name in self.names.items()}

        def rehearse(values: Any, buffers: Any, X: Any, y: Any) -> Any:
            with nn.using(rehearsal):
                found = self.loss_of(values, buffers, X, y)[0]
            if isinstance(found, (cg.Node, np.ndarray, np.generic, int, float)):
                return found
            raise cg.DtypeError(f"the loss of a batch is one number, and this one is a {type(found).__name__}{cg.here()}")

        graph = cg.trace(rehearse, known, self.buffers(), X, y)
        self.requests = rehearsal.requests
        if graph.outputs[0].shape:
            shape = graph.outputs[0].shape
            raise cg.ShapeError(f"the loss of a batch is one number, this one has shape {shape}: take its mean{cg.here()}")
        read = {arg for node in graph.nodes for arg in node.args if isinstance(arg, cg.Node)}
        used = {name for name, node in zip(known, graph.inputs, strict=False) if node in read}
        self.places = [at for at in optimizer.places() if l1 or l2 or self.names[at.p] in used]
        if not self.places:
            raise cg.InputError(f"the loss depends on none of the optimizer's parameters{cg.here()}")
        learnt = {at.p for at in self.places}
        self.others = [(name, p) for p, name in self.names.items() if p not in learnt]

    # ------------------------------------------------------------------------------------- the function

    def loss_of(self, values: dict[str, Any], buffers: dict[str, Any], X: Any, y: Any) -> tuple[Any, dict[str, Any]]:
        """The loss with these parameters, and the buffers that the model would have updated."""
        shaped = {name: np.reshape(value, vars(self.holders[name][0])[name.rpartition(".")[2]].shape) for name, value in buffers.items()}
        inputs = X if isinstance(X, tuple) else (X,)
        output, updated = nn.functional_call(self.model, {**values, **shaped}, *inputs)
        return self.loss(output, y), updated

    def value_and_gradient(self, p: Any, frozen: Any, buffers: Any, draws: Any, X: Any, y: Any) -> tuple[Any, Any, Any]:
        """The loss, its gradient by each of the arrays `p`, and the buffers after the step."""

        def loss_of_parameters(p: Any) -> Any:
            parts = [part for slot, one in zip(self.slots, p, strict=True) for part in slot.split(one)]
            names = [self.names[at.p] for slot in self.slots for at in slot.places]
            with nn.using(Recorded(draws)):
                loss, updated = self.loss_of({**frozen, **dict(zip(names, parts, strict=True))}, buffers, X, y)
            return penalty(loss, p, self.l1, self.l2), updated

        (loss, updated), grads = cg.value_and_grad(loss_of_parameters, has_aux=True)(p)
        return loss, grads, updated

    # ------------------------------------------------------------------------------------ its arguments

    def arguments(self, p: list[Any], draws: list[Any], X: Any, y: Any) -> tuple[Any, ...]:
        return p, self.frozen(), self.buffers(), draws, X, y

    def zeros(self) -> list[Any]:
        """Arrays like those that a step draws."""
        return [np.zeros(shape, dtype) for _, shape, dtype in self.requests]

    def frozen(self) -> dict[str, Any]:
        """The parameters that are not learnt, as they are now."""
        return {name: p.value for name, p in self.others} if self.others else {}

    def buffers(self) -> dict[str, Any]:
        """The buffers as they are now; a single number as a vector, which a compiled function knows by sight."""
        if not self.holders:
            return {}
        held = [(name, vars(module)[attribute]) for name, (module, attribute) in self.holders.items()]
        return {name: value if value.ndim else value.reshape(1) for name, value in held}

    def set_buffers(self, updated: dict[str, Any]) -> None:
        for name, value in updated.items():
            module, attribute = self.holders[name]
            setattr(module, attribute, np.reshape(value, vars(module)[attribute].shape))


def penalty(loss: Any, parameters: Any, l1: float, l2: float) -> Any:
    """The loss with its penalties."""
    loss = loss + l1_penalty(parameters, l1) if l1 else loss
    return loss + l2_penalty(parameters, l2) if l2 else loss
