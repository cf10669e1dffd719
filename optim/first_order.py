"""The first-order optimizers, with PyTorch's names, signatures and defaults: each one its rule and its arguments.

`foreach`, `fused`, `capturable` and `differentiable` are taken and change nothing: they choose among PyTorch's
implementations. For speed call `optimizer.compile()`; to differentiate through training, use the rules themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import compgraph as cg
from optim.checks import BETAS, CHECKS, NOT_NEGATIVE, POSITIVE, Check, is_number, number, one_of, several
from optim.optimizer import RULES, Optimizer, settings
from optim.parameters import Group, Place
from optim.rules import Rule, look_ahead


class SGD(Optimizer):
    """Gradient descent, with momentum, dampening and PyTorch's Nesterov: `rules.sgd`.

    Stochastic and mini-batch descent are this rule too: what differs is which examples the loss is of.
    """

    rule = RULES["sgd"]

    def __init__(
        self, params: Any, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0, nesterov: bool = False,
        *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:
        super().__init__(params, settings(locals()))

    def check_group(self, group: Mapping[str, Any]) -> None:
        super().check_group(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise cg.InputError(f"SGD: nesterov needs a momentum above 0 and no dampening{cg.here()}")


class Adam(Optimizer):
    """`rules.adam`: moments of the gradient, corrected for their start at zero; `amsgrad` keeps the largest second moment."""

    rule = RULES["adam"]

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None, decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class AdamW(Adam):
    """Adam with decoupled weight decay: θ shrinks by 1 - γ λ and the moments do not see it."""

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2,
        amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

    def check_group(self, group: Mapping[str, Any]) -> None:
        super().check_group(group)
        if not group["decoupled_weight_decay"]:
            raise cg.InputError(f"AdamW: decoupled_weight_decay has to be True; Adam has the choice{cg.here()}")


class Nesterov(Optimizer):
    """Nesterov's accelerated gradient with the gradient at the look-ahead point: `rules.nesterov`.

    >>> w = cg.variable(4.0, name="w")
    >>> optimizer = Nesterov([w], lr=0.5, momentum=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = w * w / 2
    ...     loss.backward()
    ...     return loss
    >>> [optimizer.step(closure).value.item() for _ in range(3)], w.value.item()
    ([8.0, 0.5, 0.03125], -0.125)

    `step` needs the closure: it moves the parameters to θ - γ μ b, calls the closure there, moves them back and takes
    the step. The loss that it returns is that of the look-ahead point. A closure that raises leaves the parameters as they were.
    `SGD(nesterov=True)` needs no closure, since its parameters are the look-ahead points of this one.
    """

    rule = RULES["nesterov"]

    def __init__(self, params: Any, lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0, *, maximize: bool = False) -> None:
        super().__init__(params, settings(locals()))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        if closure is None:
            raise cg.InputError(
                "Nesterov.step needs a closure, step(closure), which forgets the gradients, computes the loss, calls backward on it and "
                f"returns it: the gradient is taken at the look-ahead point. SGD(nesterov=True) needs none{cg.here()}"
            )
        kept = [(at.p, at.p.value) for at in self.places()]
        try:
            state = self.state
            for p, group, *_ in self.places():
                if p in state:
                    p.value = look_ahead(p.value, state[p], lr=group["lr"], momentum=group["momentum"])
            loss = closure()
        finally:
            for p, value in kept:
                p.value = value
        super().step()
        return loss


class Rprop(Optimizer):
    """`rules.rprop`: steps by the sign of the gradient, whose size adapts entry by entry. For whole batches, not for noise."""

    rule = RULES["rprop"]

    def __init__(
        self, params: Any, lr: float = 1e-2, etas: tuple[float, float] = (0.5, 1.2), step_sizes: tuple[float, float] = (1e-6, 50), *,
        capturable: bool = False, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class Adagrad(Optimizer):
    """`rules.adagrad`: each entry's rate shrinks with the squares of its gradients so far."""

    rule = RULES["adagrad"]

    def __init__(
        self, params: Any, lr: float = 1e-2, lr_decay: float = 0, weight_decay: float = 0, initial_accumulator_value: float = 0,
        eps: float = 1e-10, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:
        super().__init__(params, settings(locals()))


class RMSprop(Optimizer):
    """`rules.rmsprop`: the gradient by the root of its mean square, plain, centred or with momentum."""

    rule = RULES["rmsprop"]

    def __init__(
        self, params: Any, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0, momentum: float = 0,
        centered: bool = False, capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class Adadelta(Optimizer):
    """`rules.adadelta`: RMSprop whose rate is the root mean square of the updates so far."""

    rule = RULES["adadelta"]

    def __init__(
        self, params: Any, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0, foreach: bool | None = None, *,
        capturable: bool = False, maximize: bool = False, differentiable: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class Adamax(Optimizer):
    """`rules.adamax`: Adam with the largest recent gradient in place of the root mean square."""

    rule = RULES["adamax"]

    def __init__(
        self, params: Any, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class NAdam(Optimizer):
    """`rules.nadam`: Adam with Nesterov's momentum."""

    rule = RULES["nadam"]

    def __init__(
        self, params: Any, lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class RAdam(Optimizer):
    """`rules.radam`: Adam that waits until its second moment can be trusted, instead of a warm-up."""

    rule = RULES["radam"]

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class Lion(Optimizer):
    """`rules.lion`: the sign of an average, with half of Adam's state. Its rate is a third to a tenth of Adam's."""

    rule = RULES["lion"]

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class LAMB(Optimizer):
    """`matrix_rules.lamb`: Adam's direction, as long as the parameter. For large batches."""

    rule = RULES["lamb"]

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6, weight_decay: float = 0, *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class LARS(Optimizer):
    """`matrix_rules.lars`: momentum whose rate is set for each parameter by its norm and that of its gradient."""

    rule = RULES["lars"]

    def __init__(
        self, params: Any, lr: float = 1.0, momentum: float = 0.9, weight_decay: float = 0, trust_coefficient: float = 1e-3,
        eps: float = 0, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class Adafactor(Optimizer):
    """`matrix_rules.adafactor`: second moments by row and column, so that the state of a matrix is a row and a column."""

    rule = RULES["adafactor"]
    checks: ClassVar[Mapping[str, Check]] = {
        **CHECKS,
        "beta2_decay": number(lambda x: x <= 0, "a number of at most 0"),
        "d": number(lambda x: x >= 1, "a number of at least 1"),
        "eps": Check(
            lambda eps: isinstance(eps, (tuple, list)) and len(eps) == 2 and all(e is None or (is_number(e) and e >= 0) for e in eps)
            and eps[1] is not None,
            "a pair of numbers of at least 0, of which the first may be None",
        ),
    }  # fmt: skip

    def __init__(
        self, params: Any, lr: float = 1e-2, beta2_decay: float = -0.8, eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0,
        weight_decay: float = 0, *, foreach: bool | None = None, maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class FTRL(Optimizer):
    """`rules.ftrl`: follow the regularised leader; `l1` makes entries exactly zero."""

    rule = RULES["ftrl"]
    checks: ClassVar[Mapping[str, Check]] = {**CHECKS, "lr": POSITIVE}

    def __init__(
        self, params: Any, lr: float = 1e-3, beta: float = 1.0, l1: float = 0, l2: float = 0, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))


class Muon(Optimizer):
    """`matrix_rules.muon` for matrices, and a fallback for all other parameters: biases, convolutions, single numbers.

    `fallback` is "adamw", "sgd" (with this momentum and coupled decay), or None, which refuses what is no matrix, as
    PyTorch does. Its rate is `fallback_lr`, or `lr` where that is None. Embeddings and last layers are matrices, but
    are better off in a group or an optimizer of their own (Jordan et al. 2024).
    """

    rule = RULES["muon"]
    checks: ClassVar[Mapping[str, Check]] = {
        **CHECKS,
        "momentum": number(lambda x: 0 <= x <= 1, "a number in [0, 1]"),
        "ns_coefficients": several(3, lambda a, b, c: True, "three numbers"),
        "ns_steps": Check(lambda steps: type(steps) is int and 0 <= steps < 100, "an integer from 0 to 99"),
        "adjust_lr_fn": one_of(None, "original", "match_rms_adamw"),
        "fallback": one_of("adamw", "sgd", None),
        "fallback_lr": Check(lambda lr: lr is None or NOT_NEGATIVE.holds(lr), "a number of at least 0, or None for lr"),
        "fallback_betas": BETAS,
        "fallback_eps": NOT_NEGATIVE,
    }

    def __init__(
        self, params: Any, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95, nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315), eps: float = 1e-7, ns_steps: int = 5,
        adjust_lr_fn: str | None = None, *, fallback: str | None = "adamw", fallback_lr: float | None = None,
        fallback_betas: tuple[float, float] = (0.9, 0.999), fallback_eps: float = 1e-8, maximize: bool = False,
    ) -> None:
        super().__init__(params, settings(locals()))

    def check_parameter(self, at: Place) -> None:
        if at.group["fallback"] is None and at.p.ndim != 2:
            raise cg.InputError(f"Muon: {at} is no matrix: give it to another optimizer, or say fallback='adamw' or 'sgd'{cg.here()}")

    def rule_for(self, value: Any, group: Group) -> tuple[Rule, dict[str, Any]]:
        if value.ndim == 2:
            return super().rule_for(value, group)
        keywords = {"lr": group["lr"] if group["fallback_lr"] is None else group["fallback_lr"], "weight_decay": group["weight_decay"]}
        if group["fallback"] == "sgd":
            return RULES["sgd"], {**keywords, "momentum": group["momentum"], "nesterov": group["nesterov"] and group["momentum"] > 0}
        return RULES["adam"], {
            **keywords, "betas": group["fallback_betas"], "eps": group["fallback_eps"], "decoupled_weight_decay": True,
        }  # fmt: skip
