"""`train_step`: forward, backward and the optimizer's update as programs, with the face of one function.

>>> import numpy as np, optim
>>> from compgraph import nn
>>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], np.float32)
>>> model = nn.Sequential(nn.Linear(2, 8, generator=0), nn.Tanh(), nn.Linear(8, 2, generator=1))
>>> step = train_step(model, nn.cross_entropy, optim.Adam(model.parameters(), lr=0.05))
>>> losses = [step(X, np.array([0, 1, 1, 0])) for _ in range(100)]
>>> losses[-1] < 0.05 < losses[0]
True

A step is two programs: the loss with its gradient, and the update in place, of parameters that are views of a vector for each
block of the optimizer (`optim.blocks`). Between the two the loss and the gradient are looked at, since what has been
written over cannot be brought back: a NaN raises `AnomalyError` and leaves everything as it was. Clipping, noise and the
sum over micro-batches happen there too. With numba or cupy and none of these the step is one program (`optim.whole_step`).
A program is made for the shapes of a batch, so a last smaller batch has its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

import compgraph as cg
from compgraph import nn
from compgraph.backend import as_array, beside
from optim.blocks import Block, Options
from optim.closures import NewtonCG
from optim.gradients import add_grad_noise_, clip_grad_norm_, clip_grad_value_, get_total_norm, micro_batches, noise_variance
from optim.objective import Objective, Slot, penalty
from optim.optimizer import Optimizer
from optim.parameters import all_finite
from optim.schedules import check_count, check_range
from optim.step_arguments import anomaly, arrays_of, check_arguments, cut, has_own_step, index_error, like, noise_of
from optim.whole_step import WholeStep, arguments_of, function_of

Loss = Callable[[Any, Any], Any]
CACHED = 64  # batch shapes whose programs are kept
_flags_of = attrgetter("training", "_changes")


def train_step(
    model: Any,
    loss: Loss,
    optimizer: Optimizer,
    *,
    target: str | None = "numpy",
    accumulate: int = 1,
    clip_grad_norm: float | None = None,
    clip_grad_value: float | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    grad_noise: float | tuple[float, float] | None = None,
    generator: np.random.Generator | None = None,
    exact: bool = False,
) -> TrainStep:
    """A function `step(X, y) -> loss` that trains `model` by one update; the model, loss and optimizer are those of a plain loop.

    - `loss(output, target)` gives one number, a mean over the examples. X may be a tuple, for a model of several
      arguments; without y the input is the target.
    - `target`: "numpy", "numba" or "cupy", as in `cg.compile`; None runs the plain loop, to the same numbers but for rounding.
      With "cupy" the model is moved to the GPU, once, and stays there until `model.to("numpy")`; batches may be of either side.
    - `accumulate`: compute the gradient in so many micro-batches, whose activations alone take memory; the update is that of
      the whole batch, if its examples do not see each other, as in batch normalisation.
    - `clip_grad_norm`, `clip_grad_value`: bounds of the norm of all gradients and of their entries.
    - `l1`, `l2`: `optim.l1_penalty` and `l2_penalty` of all the optimizer's parameters, which are part of the loss.
    - `grad_noise`: eta, or (eta, gamma), of `optim.add_grad_noise_`.
    - `generator`: where dropout and noise come from; by default `nn.generator()`.
    - `exact`: as in `cg.compile`.

    The model is run as it is, in `train()` or `eval()`; rates and other numbers of the optimizer may change at any time, by
    schedules or by hand. Optimizers with a way of their own (`LBFGS`, `NonlinearCG`, `Nesterov`, `Lookahead`) get a
    compiled loss and gradient, and call it where they like.

    Raises `AnomalyError` where the loss or a gradient is not finite, naming the parameter, and the layer if there is one to
    name; parameters, state, buffers and generators are then as before the step.
    """
    return TrainStep(
        model, loss, optimizer, target=target, accumulate=accumulate, clip_grad_norm=clip_grad_norm, clip_grad_value=clip_grad_value,
        l1=l1, l2=l2, grad_noise=grad_noise, generator=generator, exact=exact,
    )  # fmt: skip


class TrainStep:
    """What `train_step` returns.

    `source`, `graph` and `notes` are of the latest batch shape: the text of the programs, the whole step as one graph, and what
    the target leaves to NumPy. `grad_norm` is the norm of the latest gradient before clipping, `steps` the number of
    updates so far. Between steps the model and the optimizer can be used in any way.
    """

    def __init__(
        self, model: Any, loss: Loss, optimizer: Optimizer, *, target: str | None, accumulate: int, clip_grad_norm: float | None,
        clip_grad_value: float | None, l1: float, l2: float, grad_noise: float | tuple[float, float] | None,
        generator: np.random.Generator | None, exact: bool,
    ) -> None:  # fmt: skip
        check_arguments(model, loss, optimizer)
        check_count("accumulate", accumulate)
        for name, value in {"clip_grad_norm": clip_grad_norm, "clip_grad_value": clip_grad_value, "l1": l1, "l2": l2}.items():
            if value is not None:
                check_range(name, value, 0)
        self.noise = None if grad_noise is None else noise_of(grad_noise)
        if generator is not None and not isinstance(generator, np.random.Generator):
            raise cg.DtypeError(f"generator is a np.random.Generator, such as np.random.default_rng(0), not {generator!r:.40}{cg.here()}")
        if target is not None:
            cg.compile(lambda x: x, target=target)  # refuses a target that there is not
            if isinstance(optimizer, NewtonCG):
                raise cg.InputError(f"NewtonCG takes Hessian products from the graph of the loss: say target=None{cg.here()}")
            if target == "cupy" and has_own_step(optimizer):
                text = f"{type(optimizer).__name__} has a way of its own, which runs on the host: say another target"
                raise cg.InputError(f"{text}, or take an optimizer that is a rule, such as optim.Adam{cg.here()}")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.target, self.exact, self.accumulate = target, bool(exact), int(accumulate)
        self.clip_grad_norm, self.clip_grad_value = clip_grad_norm, clip_grad_value
        self.l1, self.l2 = float(l1), float(l2)
        self._generator = generator
        self.steps = 0
        self.grad_norm = math.nan
        self._modules = list(model.modules())
        if target == "cupy":
            model.to("cupy")
        self._options = Options(target or "numpy", self.exact)
        self._joins = not has_own_step(optimizer)
        self._blocks: list[Block] = []
        self._programs: dict[Any, tuple[Objective, Any]] = {}
        self._last: tuple[Any, ...] = (None,)  # what the latest batch was like, and what was found for it
        self._latest: tuple[Objective, Any, Any, Any] | None = None

    @property
    def generator(self) -> np.random.Generator:
        """Where dropout and noise come from."""
        return nn.generator() if self._generator is None else self._generator

    def __call__(self, X: Any, y: Any = None) -> float:
        """One update; the loss before it."""
        if X.__class__ is not np.ndarray or y.__class__ is not np.ndarray:
            X, y = arrays_of(X), arrays_of(X if y is None else y)
        try:
            if self.target is None:
                loss = self._eager(X, y)
            elif self._joins:
                loss = self._joined(X, y)
            else:
                loss = self._by_closure(X, y)
        except (IndexError, cg.AnomalyError) as error:  # a program that has donated arguments does not explain its errors
            if isinstance(error, cg.AnomalyError) and self.target != "cupy":  # where an index that there is not reads NaN
                raise
            raise index_error(self.model, self.loss, X, y, error) from error
        self.steps += 1
        return loss

    # ---------------------------------------------------------------------------------------- programs

    def prepare(self, X: Any, y: Any = None) -> TrainStep:
        """Make the programs for batches like this one, without a step; the step itself, for chaining."""
        X, y = arrays_of(X), arrays_of(X if y is None else y)
        if self.target is not None:
            for part, _ in self._parts(X):
                self._program(cut(X, part), cut(y, part))
        return self

    def rehearse(self, X: Any, y: Any) -> None:
        """Run the model on the shapes of such a batch, which raises what does not fit and changes nothing."""
        for part, _ in self._parts(X):
            some_X, some_y = cut(X, part), cut(y, part)
            try:
                Objective(self.model, self.loss, self.optimizer, self.l1, self.l2, some_X, some_y)
            except cg.AbstractValueError:
                if self.target is not None:  # the plain loop may look at values
                    raise

    def _program(self, X: Any, y: Any) -> tuple[Objective, Any]:
        """The loss of such a batch, and the program for it and its gradient."""
        if self._joins and not self.optimizer.fits(self._blocks, self._options):
            self._programs, self._blocks, self._last = {}, [], (None,)
        elif self._programs and self._latest[1].__class__ is WholeStep and not self._latest[1].fits():  # type: ignore[index]
            self._programs, self._last = {}, (None,)
        flags = list(map(_flags_of, self._modules))
        last = self._last
        if X.__class__ is np.ndarray and last[0] == X.shape and last[1:5] == (y.shape, X.dtype, y.dtype, flags):
            return last[5]
        one = tuple((part.shape, part.dtype) for part in X) if X.__class__ is tuple else (X.shape, X.dtype)
        other = tuple((part.shape, part.dtype) for part in y) if y.__class__ is tuple else (y.shape, y.dtype)
        key = (one, other, *flags)
        found = self._programs.get(key)
        if found is None:
            found = self._made(X, y)
            self._programs[key] = found  # after `_made`, which may forget all others
            if len(self._programs) > CACHED:
                self._programs.pop(next(iter(self._programs)))
        if X.__class__ is y.__class__ is np.ndarray:
            self._last = (X.shape, y.shape, X.dtype, y.dtype, flags, found)
        return found

    def _made(self, X: Any, y: Any) -> tuple[Objective, Any]:
        self._modules = list(self.model.modules())  # layers may have been replaced
        check_arguments(self.model, self.loss, self.optimizer)
        objective = Objective(self.model, self.loss, self.optimizer, self.l1, self.l2, X, y)
        if not self._joins:
            slots = [Slot([at], lambda value: [value]) for at in objective.places]
        else:
            if not self._blocks:
                self._blocks = self.optimizer.join(objective.places, self._options)
            elif {at.p for block in self._blocks for at in block.places} != {at.p for at in objective.places}:
                self._blocks = self.optimizer.join(objective.places, self._options)  # a mode that trains other parameters
                self._programs = {}
            slots = [Slot(block.places, block.split) for block in self._blocks]
        objective.slots = slots
        whole = self._joins and self.target in ("numba", "cupy") and all(len(block.chunks) == 1 for block in self._blocks)
        if whole and not self._looks_between():
            program: Any = WholeStep(objective, self._blocks, self._options, X, y)
        else:
            program = cg.compile(objective.value_and_gradient, **self._options._asdict())
            program.prepare(*objective.arguments(self._vectors(objective), objective.zeros(), X, y))
        self._latest = objective, program, like(X), like(y)
        return objective, program

    def _looks_between(self) -> bool:
        """Whether something is done with gradients before the update."""
        return self.accumulate > 1 or self.clip_grad_norm is not None or self.clip_grad_value is not None or self.noise is not None

    def _vectors(self, objective: Objective) -> list[Any]:
        return [block.vector for block in self._blocks] if self._joins else [at.p.value for at in objective.places]

    @property
    def source(self) -> str:
        """The text of what ran: the loss with its gradient, then the update of each block."""
        if self.target is None:
            return "# target=None: the engine runs the model as it is, and there is no program\n"
        if self._latest is None:
            return "# not traced yet: call the step, or its prepare(X, y), first\n"
        texts = [self._latest[1].source]
        for block in self._updated_apart():
            texts += [program.prepare(*block.arguments(size)).source for size, program in block.programs.items()]
        return "\n\n".join(texts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the target leaves to NumPy."""
        if self._latest is None:
            return ()
        updates = (program.notes for block in self._updated_apart() for program in block.programs.values())
        return tuple(dict.fromkeys(self._latest[1].notes + sum(updates, ())))

    def _updated_apart(self) -> list[Block]:
        """The blocks that have programs of their own."""
        return [] if self._latest is None or isinstance(self._latest[1], WholeStep) else self._blocks

    @property
    def graph(self) -> cg.Graph:
        """The whole step as one graph, to draw, print or count: the loss, then the parameters and state after the update."""
        if self._latest is None:
            raise cg.InputError(f"the step has not been traced yet: call it, or its prepare(X, y), first{cg.here()}")
        objective, _, X, y = self._latest
        if not self._blocks:
            return cg.trace(objective.value_and_gradient, *objective.arguments(self._vectors(objective), objective.zeros(), X, y))
        whole = function_of(objective, self._blocks)

        def train_step(p: Any, state: Any, changing: Any, frozen: Any, buffers: Any, draws: Any, X: Any, y: Any) -> Any:
            loss, _, values, states, updated = whole(p, state, changing, frozen, buffers, draws, X, y)
            return loss, values, states, updated

        return cg.trace(train_step, *arguments_of(objective, self._blocks, objective.zeros(), X, y))

    # -------------------------------------------------------------------------------------------- steps

    def _parts(self, X: Any) -> Sequence[tuple[Any, float]]:
        """The micro-batches of a batch, and what each counts."""
        if self.accumulate == 1:
            return ((None, 1.0),)
        size = len(X[0] if X.__class__ is tuple else X)
        return list(micro_batches(size, -(-size // min(self.accumulate, size))))

    def _joined(self, X: Any, y: Any) -> float:
        """The two programs, with what is done to gradients between them."""
        if self.accumulate == 1:
            objective, program = self._program(X, y)
            draws, kept = self._draws(objective) if objective.requests else ([], None)
            if program.__class__ is WholeStep:
                done = None if self._looks_between() else program.step(draws, X, y)
                if done is not None:
                    loss, self.grad_norm = done
                    return loss
                program = program.gradient  # by itself: to be clipped, to say what is not finite, or because its square alone is not
            loss, grads, updated = program(
                [block.vector for block in self._blocks], objective.frozen(), objective.buffers(), draws, X, y
            )
        else:
            objective, loss, grads, updated, draws, kept = self._accumulated(X, y)
        squares = 0.0
        for grad in grads:
            squares += float(grad.dot(grad) if grad.ndim == 1 else np.vdot(grad, grad))
        if not math.isfinite(loss) or not math.isfinite(squares):
            squares = self._looked_at(objective, loss, grads, draws, kept, X, y)
        self.grad_norm = math.sqrt(squares)
        if self.clip_grad_norm is not None or self.clip_grad_value is not None or self.noise is not None:
            self._between(grads)
        for block, grad in zip(self._blocks, grads, strict=True):
            block.advance(grad)
        if updated:
            objective.set_buffers(updated)
        return float(loss)

    def _accumulated(self, X: Any, y: Any) -> Any:
        """What one program would have returned for the whole batch, a micro-batch at a time."""
        total, summed, buffers, drawn, kept = 0.0, None, None, [], None
        for part, share in self._parts(X):
            some_X, some_y = cut(X, part), cut(y, part)
            objective, program = self._program(some_X, some_y)
            draws, before = self._draws(objective)
            kept = before if kept is None else kept
            given = objective.buffers() if buffers is None else buffers
            loss, grads, updated = program(self._vectors(objective), objective.frozen(), given, draws, some_X, some_y)
            buffers = {**given, **{name: as_array(value).reshape(given[name].shape) for name, value in updated.items()}}
            total += share * float(loss)
            drawn.append(draws)
            if summed is None:
                summed = [grad * grad.dtype.type(share) for grad in grads]
            else:
                for one, grad in zip(summed, grads, strict=True):
                    one += grad * grad.dtype.type(share)
        return objective, total, summed, {name: buffers[name] for name in updated} if buffers else {}, drawn, kept

    def _draws(self, objective: Objective) -> tuple[list[Any], Any]:
        """The random arrays of a step, and the state of the generator before."""
        if not objective.requests:
            return [], None
        generator = self.generator
        kept = generator.bit_generator.state
        with nn.using(generator):
            return [getattr(nn, law)(shape, dtype) for law, shape, dtype in objective.requests], kept

    def _between(self, grads: list[Any]) -> None:
        """Clip, and add noise: in place, since the gradients are the program's own."""
        if self.clip_grad_norm is not None and self.grad_norm > self.clip_grad_norm:
            factor = float(self.clip_grad_norm) / (self.grad_norm + 1e-6)
            if factor < 1:
                for grad in grads:
                    grad *= grad.dtype.type(factor)
        if self.clip_grad_value is not None:
            for grad in grads:
                np.clip(grad, -float(self.clip_grad_value), float(self.clip_grad_value), out=grad)
        if self.noise is not None:
            deviation = math.sqrt(noise_variance(self.steps, *self.noise))
            parts = {at.p: part for block, grad in zip(self._blocks, grads, strict=True)
                     for at, part in zip(block.places, block.split(grad), strict=True)}  # fmt: skip
            for at in self.optimizer.places():  # in this order, whatever the blocks are
                if at.p in parts:
                    parts[at.p] += beside(deviation * self.generator.standard_normal(parts[at.p].shape), parts[at.p])

    def _looked_at(self, objective: Objective, loss: Any, grads: list[Any], draws: Any, kept: Any, X: Any, y: Any) -> float:
        """The square of the norm of gradients that are finite after all; otherwise nothing has happened, and the error says why."""
        if math.isfinite(loss) and all(map(all_finite, grads)):
            return float(get_total_norm(grads)) ** 2
        if kept is not None:
            self.generator.bit_generator.state = kept
        named = [(at, part) for slot, grad in zip(objective.slots, grads, strict=True)
                 for at, part in zip(slot.places, slot.split(grad), strict=True)]  # fmt: skip
        raise anomaly(self.model, self.loss, self.steps, loss, named, draws, X, y)

    def _by_closure(self, X: Any, y: Any) -> float:
        """The optimizer's own step, on a compiled loss and gradient; all evaluations of a step see the same random numbers."""
        parts = [(cut(X, part), cut(y, part), share) for part, share in self._parts(X)]
        kept = self.generator.bit_generator.state

        def closure() -> float:
            self.generator.bit_generator.state = kept
            self.optimizer.zero_grad()
            total = 0.0
            for some_X, some_y, share in parts:
                objective, program = self._program(some_X, some_y)
                vectors = self._vectors(objective)
                loss, grads, updated = program(vectors, objective.frozen(), objective.buffers(), self._draws(objective)[0], some_X, some_y)
                for at, grad in zip(objective.places, grads, strict=True):
                    at.p.grad = (grad * grad.dtype.type(share) + (0 if at.p.grad is None else at.p.grad))[()]
                objective.set_buffers(updated)
                total += share * float(loss)
            self._between_grads()
            return total

        return self._own_step(closure)

    def _eager(self, X: Any, y: Any) -> float:
        """The plain loop."""
        kept = self.generator.bit_generator.state
        inputs = X if X.__class__ is tuple else (X,)

        def closure() -> Any:
            self.generator.bit_generator.state = kept
            self.optimizer.zero_grad()
            total: Any = 0.0
            with nn.using(self.generator):
                for part, share in self._parts(X):
                    loss = self.loss(self.model(*cut(inputs, part)), cut(y, part))
                    loss = penalty(loss, [at.p for at in self.optimizer.places()], self.l1, self.l2)
                    loss = loss if share == 1.0 else loss * share
                    loss.backward()
                    total = loss if share == 1.0 else total + float(loss.value)
            if self._joins and not math.isfinite(float(total)):
                raise anomaly(self.model, self.loss, self.steps, float(total), [], [], X, y)
            self._between_grads()
            return total

        return self._own_step(closure)

    def _own_step(self, closure: Callable[[], Any]) -> float:
        """`optimizer.step(closure)`, after which buffers and generator are as before if it fails."""
        before = [(module, name, vars(module)[name]) for module in self._modules for name in module._buffers]
        kept = self.generator.bit_generator.state
        try:
            loss = self.optimizer.step(closure)
        except Exception:
            for module, name, value in before:
                setattr(module, name, value)
            self.generator.bit_generator.state = kept
            self.optimizer.zero_grad()
            raise
        return float(loss.value if isinstance(loss, cg.Node) else loss)

    def _between_grads(self) -> None:
        """The same as `_between`, for gradients that are with the parameters."""
        held = [at.p for at in self.optimizer.places() if at.p.grad is not None]
        if not held:
            return
        self.grad_norm = float(get_total_norm([p.grad for p in held]))
        if self.clip_grad_norm is not None:
            clip_grad_norm_(held, self.clip_grad_norm)
        if self.clip_grad_value is not None:
            clip_grad_value_(held, self.clip_grad_value)
        if self.noise is not None:
            add_grad_noise_(held, self.steps, self.generator, *self.noise)

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, which the noise depends on; model, optimizer and generators have states of their own."""
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from that number of steps."""
        if not isinstance(state_dict, Mapping) or set(state_dict) != {"steps"}:
            raise cg.InputError(f"TrainStep.load_state_dict takes what state_dict returns, a dict of steps{cg.here()}")
        check_count("steps", state_dict["steps"], least=0)
        self.steps = int(state_dict["steps"])

    def __repr__(self) -> str:
        return f"TrainStep({type(self.model).__name__}, {type(self.optimizer).__name__}, target={self.target!r}, steps={self.steps})"


__all__ = ["TrainStep", "train_step"]
