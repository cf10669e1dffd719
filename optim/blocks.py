"""Compiled updates: many parameters as one vector, which one program updates in place.

The entries of an entrywise rule do not know which tensor they are in, so the tensors of a group can be joined: their values
become views of one vector and so does their state, and a step takes as many calls as the rule has operations, or one
loop of machine code, however many tensors there are. Long vectors are updated in chunks that stay in the cache, on all
processors at once, which changes no bit since no entry knows another. A rule that looks at a parameter as a whole gets a program for
each parameter.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from operator import is_
from typing import Any, NamedTuple

import numpy as np

import compgraph as cg
from compgraph.backend import beside, device_of, is_on_device, moved_to, on_host
from optim.checks import is_number
from optim.parameters import Place, all_finite, gradient
from optim.rules import Rule, State
from optim.terms import is_zero

CHUNK = 2**18  # entries: the arrays of an update fit into the second cache, and a call costs little beside their work

Keywords = dict[str, Any]
RuleFor = Callable[[Any, dict[str, Any]], tuple[Rule, Keywords]]


class Options(NamedTuple):
    """How the programs are made; as in `cg.compile`."""

    target: str = "numpy"
    exact: bool = False


@cache
def _workers() -> ThreadPoolExecutor:
    """The threads that update the chunks of long vectors, as many as there are processors, from the first time they are needed."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="optim")


class Chunk(NamedTuple):
    """A part of a block's vector, what its state is there, and which parts of which gradients belong to it."""

    vector: Any
    state: State
    pieces: list[tuple[int, slice]]
    start: int = 0  # in the block's vector

    def gather(self, grads: list[Any], buffer: Any) -> Any:
        """The gradient of this part: a view where it is in one piece, otherwise copied into `buffer`."""
        parts = [grads[number][part] for number, part in self.pieces]
        if len(parts) == 1 and parts[0].dtype == self.vector.dtype:
            return parts[0]
        return np.concatenate(parts, out=buffer[: len(self.vector)]) if parts else self.vector


class Block:
    """Parameters that are updated together, with the memory that they share.

    `places` are parameters of one group, one dtype and one rule whose states are at the same step. Their values and those in
    `states`, which is written into, become views of the block's arrays.
    """

    def __init__(self, places: list[Place], rule_for: RuleFor, states: dict[Any, State], options: Options) -> None:
        self.places, self.rule_for, self.options = places, rule_for, options
        self.params = [place.p for place in places]
        self.shapes = [p.shape for p in self.params]
        self.group = places[0].group
        self.rule, self.keywords = rule_for(self.params[0].value, self.group)
        self.seen = dict(self.group)  # of which `keywords` were made
        self.maximize = bool(self.group.get("maximize"))
        self.changing = {"lr"} & self.keywords.keys()

        self.joined = self.rule.entrywise or not self.shapes[0]
        stops = np.cumsum([p.size for p in self.params]).tolist()
        self.spans = list(zip([0, *stops[:-1]], stops, strict=True))
        if options.target != "cupy" and is_on_device(self.params[0].value):
            where = device_of(self.params[0].value)
            raise cg.DeviceError(f'{places[0]} is on {where}: say target="cupy", or model.to("numpy") first{cg.here()}')
        values = [moved_to(p.value, "cupy") if options.target == "cupy" else p.value for p in self.params]
        pairs = zip(self.params, values, strict=True)
        started = [{**begun(self.rule, value, self.keywords), **moved_state(states.get(p, {}), value)} for p, value in pairs]
        self.numbers = {key: float(started[0][key]) for key in self.rule.numbers(**self.keywords)}
        self.vector = self.join(values)
        self.state: State = {
            key: self.numbers[key] if key in self.numbers
            else self.join([one[key] for one in started]).astype(self.vector.dtype, copy=False)
            for key in started[0]
        }
        # On a device the numbers of the state, such as the step count, stay there: to read one would be to wait for the device.
        there = self.numbers if is_on_device(self.vector) else {}
        self.counts = {key: beside(np.full(1, value), self.vector) for key, value in there.items()}
        self.buffers = threading.local()
        self.ready = False  # the programs are traced, by the first step
        self.chunks = self.cut()
        self.programs = self.compiled()
        self.views = self.split(self.vector)
        parts = {key: self.split(value) for key, value in self.state.items() if key not in self.numbers}
        for place, (p, view) in enumerate(zip(self.params, self.views, strict=True)):
            p.value = view
            states[p] = {key: parts[key][place] if key in parts else self.numbers[key] for key in self.state}

    def join(self, arrays: list[Any]) -> Any:
        """A copy of the arrays as one, in which each has its span."""
        if self.joined:
            return np.concatenate(arrays, axis=None)
        return arrays[0].copy() if is_on_device(arrays[0]) else np.array(arrays[0])

    def split(self, vector: Any) -> list[Any]:
        """The views of the parameters' spans, in their shapes."""
        if not self.joined:
            return [vector]
        return [vector[start:stop].reshape(shape) for (start, stop), shape in zip(self.spans, self.shapes, strict=True)]

    def cut(self) -> list[Chunk]:
        if not self.joined:
            return [Chunk(self.vector, self.state, [])]
        whole = len(self.vector)
        if whole <= CHUNK or is_on_device(self.vector):  # its gradient is gathered at once, however many pieces there are
            return [Chunk(self.vector, self.state, [(0, slice(0, whole))])]
        chunks = []
        for start in range(0, whole, CHUNK):
            stop = min(start + CHUNK, whole)
            state = {key: value if key in self.numbers else value[start:stop] for key, value in self.state.items()}
            overlaps = [(max(start, first), min(stop, last), first) for first, last in self.spans]
            pieces = [(n, slice(low - first, high - first)) for n, (low, high, first) in enumerate(overlaps) if low < high]
            chunks.append(Chunk(self.vector[start:stop], state, pieces, start))
        return chunks

    def compiled(self) -> dict[int, Any]:
        """The programs of one step, by the size of a chunk; their arguments are the arrays, numbers and what changes.

        Two, as a rule: a compiled function is quickest where it always sees the same shapes, and the last chunk is shorter.
        """
        sizes = {chunk.vector.size for chunk in self.chunks}
        return {size: cg.compile(self.formula(), donate_argnums=(0, 2), **self.options._asdict()) for size in sizes}

    def formula(self) -> Callable[[Any, Any, State, Keywords], tuple[Any, State]]:
        """The rule as a function of parameters, gradient, state and what changes; what stays the same is written into it."""
        fixed = {name: value for name, value in self.keywords.items() if name not in self.changing}
        update, maximize, counts = self.rule.update, self.maximize, set(self.counts)

        def step(p: Any, grad: Any, state: State, changing: Keywords) -> tuple[Any, State]:
            given = {key: value[0] if key in counts else value for key, value in state.items()}
            value, after = update(p, -grad if maximize else grad, given, **fixed, **changing)
            return value, {key: np.reshape(one, (1,)) if key in counts else one for key, one in after.items()}

        step.__name__ = update.__name__
        return step

    # -------------------------------------------------------------------------------------- a step

    def fits(self) -> bool:
        """Whether the block can take a step as it is; takes in values and hyperparameters that were set since the last one.

        It cannot where a hyperparameter means other operations: a flag, or a number that was 0 or is. A number that changes
        becomes an argument of the program from then on.
        """
        if self.group == self.seen:
            return self.taken_in()
        if bool(self.group.get("maximize")) != self.maximize:
            return False
        keywords = self.rule_for(self.views[0], self.group)[1]
        if keywords != self.keywords:
            changed = {name for name, value in keywords.items() if value != self.keywords[name]}
            if any(_form(keywords[name]) != _form(self.keywords[name]) for name in changed - {"lr"}):
                return False
            self.keywords = keywords
            if not changed <= self.changing:
                self.changing |= changed
                self.programs, self.ready = self.compiled(), False
        self.seen = dict(self.group)
        return self.taken_in()

    def taken_in(self) -> bool:
        """True, once values that were set since the last step are in the vector; not where the model was converted since."""
        if not all(map(is_, [p.value for p in self.params], self.views)):
            if any((p.dtype, p.shape) != (view.dtype, view.shape) for p, view in zip(self.params, self.views, strict=True)):
                return False
            if any(is_on_device(p.value) != is_on_device(view) for p, view in zip(self.params, self.views, strict=True)):
                return False
            for p, view in zip(self.params, self.views, strict=True):
                if p.value is not view:
                    view[...] = p.value
                    p.value = view
        return True

    def gradients(self) -> list[Any]:
        """All gradients, checked: as they are, or as one where that is short."""
        grads = [p.grad for p in self.params]
        there = is_on_device(self.vector)
        fit = [getattr(grad, "shape", None) for grad in grads] == self.shapes and all(is_on_device(grad) == there for grad in grads)
        if not self.joined or not fit:
            grads = [gradient(at) for at in self.places]
        if not self.joined:
            return grads
        if len(self.chunks) == 1 and len(grads) > 1:
            flat = [np.concatenate(grads, axis=None, out=self.buffer())]
        else:
            flat = [grad.reshape(-1) for grad in grads]
        if not all(map(all_finite, flat)):
            for at in self.places:
                gradient(at)
        return flat

    def update(self, grads: list[Any]) -> None:
        """A step by what `gradients` returned."""
        self._advance(lambda chunk: chunk.gather(grads, self.buffer()) if self.joined else grads[0])

    def advance(self, grad: Any) -> None:
        """A step by a gradient that is laid out as `vector` is: finite, of its shape and dtype."""
        if len(self.chunks) == 1:  # the usual one, with as little around it as can be
            arguments = self.vector, grad, {**self.chunks[0].state, **self.numbers, **self.counts}, self.changes()
            self.count(self.programs[self.vector.size](*arguments)[1])
        else:
            self._advance(lambda chunk: grad[chunk.start : chunk.start + len(chunk.vector)])

    def changes(self) -> Keywords:
        """The hyperparameters that a program takes as arguments, as they are now; numbers as floats, which it knows by sight."""
        keywords = self.keywords
        return {name: value if (value := keywords[name]).__class__ is float else _as_float(value) for name in self.changing}

    @property
    def whole_state(self) -> State:
        return {**self.state, **self.numbers, **self.counts}

    def arguments(self, size: int) -> tuple[Any, ...]:
        """Such as the program for chunks of `size` entries takes."""
        chunk = next(chunk for chunk in self.chunks if chunk.vector.size == size)
        return chunk.vector, np.zeros_like(chunk.vector), {**chunk.state, **self.numbers, **self.counts}, self.changes()

    def _advance(self, gradient_of: Callable[[Chunk], Any]) -> None:
        changing = self.changes()

        def one(chunk: Chunk) -> State:
            arguments = chunk.vector, gradient_of(chunk), {**chunk.state, **self.numbers, **self.counts}, changing
            after: State = self.programs[chunk.vector.size](*arguments)[1]
            return after

        several = len(self.chunks) > 1 and self.ready  # chunks share nothing, and compiled loops let go of the interpreter
        after = list(_workers().map(one, self.chunks) if several else map(one, self.chunks))[-1]
        self.ready = True
        self.count(after)

    def count(self, after: State) -> None:
        """Take the numbers of the state after a step; those on a device have been written in place."""
        if not self.counts:
            self.numbers = {key: float(after[key]) for key in self.numbers}

    def buffer(self) -> Any:
        """Memory for the gradient of a chunk, one for each thread."""
        if not hasattr(self.buffers, "array"):
            self.buffers.array = np.empty_like(self.vector.reshape(-1)[: None if is_on_device(self.vector) else CHUNK])
        return self.buffers.array

    def publish(self, states: dict[Any, State]) -> None:
        """Write what is no view into the states of the parameters: the step count, which the block keeps once."""
        self.numbers.update({key: float(value[0]) for key, value in self.counts.items()})
        for p in self.params:
            states[p].update(self.numbers)


def begun(rule: Rule, value: Any, keywords: Keywords) -> State:
    """The first state of a parameter, where the parameter is."""
    return moved_state(rule.start(value, **keywords), value)


def moved_state(state: State, value: Any) -> State:
    """A state where the parameter is, whose numbers stay numbers."""
    if is_on_device(value):
        return {key: beside(one, value) for key, one in state.items()}
    return {key: on_host(one) for key, one in state.items()}


def _as_float(value: Any) -> Any:
    return float(value) if is_number(value) else value


def _form(value: Any) -> Any:
    """What a hyperparameter is apart from the numbers in it: which of them are plain 0, whose operations are left out."""
    if isinstance(value, (tuple, list)):
        return [_form(part) for part in value]
    return ("number", is_zero(value)) if is_number(value) else value


def blocks_of(places: Iterable[Place], rule_for: RuleFor, states: dict[Any, State], options: Options) -> list[Block]:
    """The parameters by what can be updated together."""
    parts: dict[Any, list[Place]] = {}
    for at in places:
        rule, keywords = rule_for(at.p.value, at.group)
        state = states.get(at.p, {})
        numbers = tuple(float(state[key]) for key in sorted(rule.numbers(**keywords)) if key in state)
        alone = None if rule.entrywise else at.p
        where = options.target == "cupy" or device_of(at.p.value)
        parts.setdefault((at.number, rule.update, at.p.dtype, numbers, alone, where), []).append(at)
    return [Block(part, rule_for, states, options) for part in parts.values()]
