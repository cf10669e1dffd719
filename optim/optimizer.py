"""What all optimizers share: groups of parameters, their state, the step, saving and loading. PyTorch's face on pure rules.

>>> import numpy as np, compgraph as cg, optim
>>> w = cg.variable([1.0, -2.0], name="w")
>>> optimizer = optim.SGD([w], lr=0.1)
>>> for _ in range(3):
...     optimizer.zero_grad()
...     np.sum(w * w).backward()
...     optimizer.step()
>>> w.value.round(6)
array([ 0.512, -1.024])

A step computes each parameter's `value` anew from its `grad` by the rule of the class (`optim.rules`); no array is written
into unless `compile` was called. Graphs made before a step keep their nodes but see the new values, so `backward` belongs before
`step`, as it does everywhere.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

import compgraph as cg
from compgraph.backend import beside, on_host
from optim.blocks import Block, Options, begun, blocks_of
from optim.checks import CHECKS, Check
from optim.matrix_rules import MATRIX_RULES
from optim.parameters import Group, Place, gradient, groups_of, variables_of
from optim.rules import RULES as ENTRYWISE_RULES
from optim.rules import Rule, State

RULES: dict[str, Rule] = {**ENTRYWISE_RULES, **MATRIX_RULES}

# What schedules keep in a group beside its hyperparameters, under PyTorch's names.
_SCHEDULED = frozenset({"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "initial_momentum", "swa_lr", "name"})


class Optimizer:
    """The base of the optimizers: a subclass names its `rule` and passes its arguments on as `defaults`.

    `params` is an iterable of variables, of (name, variable) pairs, or of dicts that hold such an iterable under "params" and
    the hyperparameters of that group beside it; what a group leaves out it takes from `defaults`.

    >>> import optim
    >>> w, b = cg.variable(np.ones((2, 3)), name="w"), cg.variable(np.zeros(3), name="b")
    >>> optimizer = optim.Adam([{"params": [w]}, {"params": [b], "lr": 0.1}], lr=0.01)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.01, 0.1]

    Raises `InputError` for an empty list, a parameter that is there twice or is no leaf variable, and hyperparameters that
    are unknown or out of range.
    """

    rule: ClassVar[Rule]
    checks: ClassVar[Mapping[str, Check]] = CHECKS

    def __init__(self, params: Any, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[Group] = []
        self._state: dict[Any, State] = {}
        self._options: Options | None = None  # of `compile`
        self._blocks: list[Block] = []
        self._left_out: list[Any] = []  # parameters that had no gradient when the blocks were made
        self._warned = False
        self.check_group(self.defaults)
        for group in groups_of(params, type(self).__name__):
            self.add_param_group(group)

    # -------------------------------------------------------------------------------------- what a subclass may say

    def rule_for(self, value: Any, group: Group) -> tuple[Rule, dict[str, Any]]:
        """The rule of a parameter with this value, and its hyperparameters."""
        return self.rule, {name: group[name] for name in self.rule.hyperparameters}

    def check_group(self, group: Mapping[str, Any]) -> None:
        """Raise `InputError` for a hyperparameter out of its range."""
        for name, value in group.items():
            if name in self.checks and not self.checks[name].holds(value):
                raise cg.InputError(f"{type(self).__name__}: {name} has to be {self.checks[name].text}, not {value!r:.60}{cg.here()}")

    def check_parameter(self, at: Place) -> None:
        """Raise `InputError` for a variable that this optimizer cannot update."""

    # -------------------------------------------------------------------------------------- groups

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a dict with "params", which may say hyperparameters of its own; nothing is added if it is refused."""
        name = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise cg.InputError(f"{name}: a parameter group is a dict with the key 'params', not {param_group!r:.60}{cg.here()}")
        nodes, names = variables_of(param_group["params"], name)
        group = {"params": nodes, **({"param_names": names} if names else {})}
        for key, value in {**self.defaults, **param_group}.items():
            if key not in self.defaults and key not in _SCHEDULED and key not in ("params", "param_names"):
                close = get_close_matches(key, self.defaults, 1)
                hint = f"; do you mean {close[0]!r}?" if close else f"; it has {', '.join(self.defaults)}"
                raise cg.InputError(f"{name} has no hyperparameter {key!r}{hint}{cg.here()}")
            if key != "params":
                group[key] = value
        self.check_group(group)
        known = {at.p: at for at in self.places()}
        for place, p in enumerate(nodes):
            at = Place(p, group, len(self.param_groups), place)
            if p in known:
                raise cg.InputError(f"{name}: {at} is there already, as {known[p]}: a step would update it twice{cg.here()}")
            self.check_parameter(at)
            known[p] = at
        self.param_groups.append(group)
        self._release()

    def places(self) -> Iterator[Place]:
        """Every parameter, with its group."""
        for number, group in enumerate(self.param_groups):
            for place, p in enumerate(group["params"]):
                yield Place(p, group, number, place)

    # -------------------------------------------------------------------------------------- the step

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set those that are there to zero."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else np.zeros_like(p.grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; the closure's loss, if one is given, which computes the gradients first.

        All gradients are looked at before any parameter changes: one that is NaN or infinite raises `AnomalyError`, one of
        another shape `ShapeError`, and nothing is updated. Parameters without a gradient are skipped, as in PyTorch, and
        if none has one a `ZeroGradientWarning` says so once.
        """
        loss = None if closure is None else closure()
        if self._options is not None:
            self._step_compiled(self._options)
            return loss
        if self._blocks:  # of a `train_step`: its views of the state would not see this step
            self._release()
        places = self._places_with_gradient()
        gradients = [gradient(at) for at in places]
        for at, grad in zip(places, gradients, strict=True):
            self.update(at.p, grad, at.group)
        return loss

    def update(self, p: Any, grad: Any, group: Group) -> None:
        """One parameter's step."""
        rule, keywords = self.rule_for(p.value, group)
        grad = -grad if group.get("maximize") else grad
        state = self._state.get(p)
        if state is None:
            state = begun(rule, p.value, keywords)
        try:
            value, after = rule.update(p.value, grad, state, **keywords)
        except KeyError:  # a hyperparameter that was 0 is not any more: what it needs starts now
            value, after = rule.update(p.value, grad, {**begun(rule, p.value, keywords), **state}, **keywords)
        if value.dtype != p.dtype:  # the model was converted since
            numbers = rule.numbers(**keywords)
            value, after = value.astype(p.dtype), {key: part if key in numbers else part.astype(p.dtype) for key, part in after.items()}
        p.value, self._state[p] = value, after

    def _places_with_gradient(self) -> list[Place]:
        places = [at for at in self.places() if at.p.grad is not None]
        if not places and not self._warned:
            self._warned = True
            text = f"{type(self).__name__}.step() found no gradient and did nothing: call backward() on a loss of these parameters first"
            warnings.warn(text, cg.ZeroGradientWarning, stacklevel=_stack_level())
        return places

    # -------------------------------------------------------------------------------------- compiled steps

    def compile(self, target: str = "numpy", *, exact: bool = False) -> Self:
        """Let `step` run as a program that updates the parameters in place; the optimizer itself, for chaining.

        >>> import optim
        >>> w, b = cg.variable(np.ones((2, 3))), cg.variable(np.zeros(3))
        >>> optimizer = optim.Adam([w, b], lr=0.1).compile()
        >>> np.sum((np.ones(2) @ w + b) ** 2).backward()
        >>> optimizer.step()
        >>> b.value.round(6), b.value.base is w.value.base
        (array([-0.1, -0.1, -0.1]), True)

        All parameters of a group become views of one vector (`optim.blocks`), whose update takes as many calls as the rule has
        operations, or with target "numba" one loop of machine code, however many there are. Rules that look at a parameter
        as a whole (LAMB, LARS, Adafactor, Muon on matrices) get a program for each parameter. The numbers are those of the
        plain step, up to the last digits, and to the bit with `exact`; state and `state_dict` keep their form.

        The values are written into, so arrays that were taken from `p.value` before see every step; copy what has to stay.
        A rate or another number that changes is passed to the program; a flag that changes, or a parameter that loses its
        gradient, has the programs made anew at the next step.
        """
        if not hasattr(self, "rule"):
            raise cg.InputError(
                f"{type(self).__name__} has no update rule of one parameter and its gradient to make a program of{cg.here()}"
            )
        cg.compile(lambda x: x, target=target)  # refuses a target that there is not
        self._release()
        self._options = Options(target, exact)
        return self

    def _step_compiled(self, options: Options) -> None:
        have = all(p.grad is not None for block in self._blocks for p in block.params) and all(p.grad is None for p in self._left_out)
        if not have or not self.fits(self._blocks, options):
            self.join(self._places_with_gradient(), options)
        gradients = [block.gradients() for block in self._blocks]
        for block, grads in zip(self._blocks, gradients, strict=True):
            block.update(grads)

    def join(self, places: list[Place], options: Options) -> list[Block]:
        """Make blocks of these parameters, which hold their values and state from then on; `fits` says for how long."""
        self._release()
        joined = {at.p for at in places}
        self._left_out = [at.p for at in self.places() if at.p not in joined]
        self._blocks = blocks_of(places, self.rule_for, self._state, options)
        return self._blocks

    def fits(self, blocks: list[Block], options: Options) -> bool:
        """Whether these blocks are still the optimizer's and can take a step as they are; see `Block.fits`."""
        if blocks is not self._blocks or not blocks:
            return False
        return all((block.options is options or block.options == options) and block.fits() for block in blocks)

    @property
    def state(self) -> dict[Any, State]:
        """The state of each parameter that has taken a step."""
        for block in self._blocks:
            block.publish(self._state)
        return self._state

    def _release(self) -> None:
        """Forget the blocks; their memory stays with the parameters and states that are views of it."""
        for block in self._blocks:
            block.publish(self._state)
        self._blocks, self._left_out = [], []

    # -------------------------------------------------------------------------------------- saving and loading

    def state_dict(self) -> dict[str, Any]:
        """PyTorch's form: "state" by number of the parameter, and "param_groups" with numbers for parameters. Arrays are copies.

        >>> import optim
        >>> optimizer = optim.SGD([cg.variable(1.0)], lr=0.1, momentum=0.9)
        >>> optimizer.state_dict()["param_groups"][0]["params"], optimizer.state_dict()["state"]
        ([0], {})
        """
        numbers = {at.p: number for number, at in enumerate(self.places())}
        state = {number: _copied(self.state[p]) for p, number in numbers.items() if p in self.state}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over hyperparameters and state, which continue bit for bit; the parameters' values are the caller's to load.

        What does not fit is refused whole, by an `InputError` that says what differs: another number of groups or of
        parameters, hyperparameters or state of another optimizer, and by a `ShapeError` arrays of another shape.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
            raise cg.InputError(f"{name}.load_state_dict takes what state_dict returns, a dict of 'state' and 'param_groups'{cg.here()}")
        saved, states = state_dict["param_groups"], state_dict["state"]
        if [len(group["params"]) for group in saved] != [len(group["params"]) for group in self.param_groups]:
            had, has = ([len(group["params"]) for group in groups] for groups in (saved, self.param_groups))
            raise cg.InputError(
                f"{name}.load_state_dict: the state is for groups of {had} parameters, this optimizer has groups of {has}{cg.here()}"
            )
        pairs = enumerate(zip(saved, self.param_groups, strict=True))
        groups = [self._loaded_group(theirs, group, number) for number, (theirs, group) in pairs]
        numbers = [number for group in saved for number in group["params"]]
        unknown = [number for number in states if number not in numbers]
        if unknown:
            raise cg.InputError(f"{name}.load_state_dict: there is state for parameter {unknown[0]}, which is in no group{cg.here()}")
        state = {
            at.p: self._loaded_state(states[key], at.p, groups[at.number], at.number, at.place)
            for key, at in zip(numbers, self.places(), strict=True)
            if key in states
        }
        for group, loaded in zip(self.param_groups, groups, strict=True):
            group.update(loaded)
        self._release()
        self._state = state

    def _loaded_group(self, saved: Mapping[str, Any], group: Group, number: int) -> Group:
        loaded = {key: value for key, value in saved.items() if key not in ("params", "param_names")}
        lacking = [key for key in self.defaults if key not in loaded]
        foreign = [key for key in loaded if key not in self.defaults and key not in _SCHEDULED]
        if lacking or foreign:
            what = f"has no {lacking[0]!r}" if lacking else f"has {foreign[0]!r}"
            raise cg.InputError(
                f"{type(self).__name__}.load_state_dict: group {number} {what}: this is the state of another optimizer{cg.here()}"
            )
        self.check_group(loaded)
        return {**loaded, "params": group["params"]}

    def _loaded_state(self, saved: Mapping[str, Any], p: Any, group: Group, number: int, place: int) -> State:
        label = f"{type(self).__name__}.load_state_dict: {Place(p, group, number, place)}"
        rule, keywords = self.rule_for(p.value, group)
        fresh = rule.start(p.value, **keywords)
        if set(saved) != set(fresh):
            had, needs = ", ".join(saved) or "empty", ", ".join(fresh)
            raise cg.InputError(f"{label}: its state is {had} and should be {needs}: this is the state of another optimizer{cg.here()}")
        loaded: State = {}
        numbers = rule.numbers(**keywords)
        for key, like in fresh.items():
            value = np.asarray(on_host(saved[key]))
            if value.shape != np.shape(like):
                raise cg.ShapeError(f"{label}: {key} has shape {value.shape}, the parameter needs {np.shape(like)}{cg.here()}")
            loaded[key] = float(value) if key in numbers else beside(value.astype(p.dtype), p.value)
        return loaded

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of an optimizer from the `locals()` of its `__init__`, so that each hyperparameter is said once."""
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "__class__")}


def graph_of_rule(rule: Rule | str, like: Any = 0.0, **hyperparameters: Any) -> cg.Graph:
    """The graph of one step of a rule, to draw, print, step through, convert to SymPy or compile.

    >>> graph = graph_of_rule("sgd", lr=0.1, momentum=0.9)
    >>> print(*graph.to_source().splitlines()[-6:], sep="\\n")
        step = state_step + 1
        v1 = 0.9 * state_momentum_buffer
        momentum_buffer = v1 + grad
        v2 = 0.1 * momentum_buffer
        p_new = p - v2
        return p_new, step, momentum_buffer

    `like` is a parameter's value; its shape and dtype are those of the graph, whose inputs are the parameter p, the gradient
    and the state, and whose outputs are the new parameter and the new state. Results
    are called p_new and as in the state, and what is between them as the rule calls it.
    """
    found = RULES[rule] if isinstance(rule, str) else rule
    p = np.asarray(like, None if np.asarray(like).dtype.kind == "f" else float)[()]

    def step(p: Any, grad: Any, state: State) -> tuple[Any, State]:
        return found.update(p, grad, state, **hyperparameters)

    step.__name__ = found.update.__name__
    start = found.start(p, **hyperparameters)
    graph = cg.trace(step, p, p, start)
    for node, name in zip(graph.outputs, ["p_new", *start], strict=True):
        node.name = node.name or name
    return graph


def _copied(state: State) -> State:
    held = {key: on_host(value) for key, value in state.items()}
    return {key: np.array(value) if isinstance(value, np.ndarray) else value for key, value in held.items()}


def _stack_level() -> int:
    """The `stacklevel` with which a warning points at the first line outside this package."""
    inside, level, frame = str(Path(__file__).parent), 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        level, frame = level + 1, frame.f_back
    return level
