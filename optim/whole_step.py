"""A training step as one program: the loss, its gradient and the optimizer's update, which takes place only if all is finite.

Where a program is one loop of machine code after another, a second entry costs more than a selection: every new value is
`where(finite, new, old)`, which depends on the whole gradient, so that nothing can be written before it is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

import compgraph as cg
from compgraph.backend import on_host
from optim.blocks import Block, Options
from optim.objective import Objective


def function_of(objective: Objective, blocks: list[Block]) -> Callable[..., Any]:
    """The loss, gradients, parameters and state after the update, and buffers, of arguments as `arguments_of` gives them."""

    def train_step(p: Any, state: Any, changing: Any, frozen: Any, buffers: Any, draws: Any, X: Any, y: Any) -> Any:
        loss, grads, updated = objective.value_and_gradient(p, frozen, buffers, draws, X, y)
        after = [block.formula()(*one) for block, one in zip(blocks, zip(p, grads, state, changing, strict=True), strict=True)]
        return loss, grads, [value for value, _ in after], [state for _, state in after], updated

    return train_step


def arguments_of(objective: Objective, blocks: list[Block], draws: list[Any], X: Any, y: Any) -> tuple[Any, ...]:
    states, changing = [block.whole_state for block in blocks], [block.changes() for block in blocks]
    return [block.vector for block in blocks], states, changing, objective.frozen(), objective.buffers(), draws, X, y


class WholeStep:
    """The step of `blocks`, each in one chunk, as a program that writes over their vectors and states."""

    def __init__(self, objective: Objective, blocks: list[Block], options: Options, X: Any, y: Any) -> None:
        self.objective, self.blocks, self.options = objective, blocks, options
        self.made_of = [block.programs for block in blocks]  # new ones say that other numbers are arguments from now on
        whole = function_of(objective, blocks)

        def train_step(p: Any, state: Any, changing: Any, frozen: Any, buffers: Any, draws: Any, X: Any, y: Any) -> Any:
            loss, grads, values, states, updated = whole(p, state, changing, frozen, buffers, draws, X, y)
            squares: Any = sum(np.ravel(grad) @ np.ravel(grad) for grad in grads)
            finite = np.logical_and(np.isfinite(loss), np.isfinite(squares))
            values = [np.where(finite, new, old) for new, old in zip(values, p, strict=True)]
            pairs = zip(states, state, strict=True)
            states = [{key: np.where(finite, new[key], old[key]) for key in new} for new, old in pairs]
            if options.target == "cupy":  # one array, so that the host waits once; last, since what was donated takes the first that fits
                return values, states, updated, np.stack([loss.astype(np.float64), squares.astype(np.float64)])
            return values, states, updated, (loss, squares)

        self.program = cg.compile(train_step, donate_argnums=(0, 1), **options._asdict())
        self.program.prepare(*arguments_of(objective, blocks, objective.zeros(), X, y))
        self.vectors, self.states = [block.vector for block in blocks], [block.whole_state for block in blocks]

    @cached_property
    def gradient(self) -> Any:
        """The loss, the gradients and the buffers alone, as a program."""
        return cg.compile(self.objective.value_and_gradient, **self.options._asdict())

    @property
    def source(self) -> str:
        return str(self.program.source)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self.program.notes)

    def fits(self) -> bool:
        """Whether the program is still that of the blocks."""
        return all(block.programs is made for block, made in zip(self.blocks, self.made_of, strict=True))

    def step(self, draws: list[Any], X: Any, y: Any) -> tuple[float, float] | None:
        """The loss and the norm of the gradient, after the update; None, and nothing has happened, where they are not finite."""
        objective, blocks = self.objective, self.blocks
        for block, held in zip(blocks, self.states):  # noqa: B905  # `arguments_of`, without making anew what stays the same
            held.update(block.counts or block.numbers)
        changing = [block.changes() for block in blocks]
        _, states, updated, seen = self.program(
            self.vectors, self.states, changing, objective.frozen(), objective.buffers(), draws, X, y
        )
        loss, squares = on_host(seen)
        if not math.isfinite(loss) or not math.isfinite(squares):
            return None
        for block, state in zip(blocks, states):  # noqa: B905
            block.count(state)
        if updated:
            objective.set_buffers(updated)
        return float(loss), math.sqrt(squares)
