"""The second-order optimizers with PyTorch's face: `step(closure)` is a whole minimisation, of many evaluations.

The closure is called at many points. For `LBFGS` and `NonlinearCG` it is PyTorch's: zero the gradients, compute the loss, call
backward, return the loss. The others need more than a gradient and take it from the graph of what the closure returns: the
loss for `NewtonCG`, the residuals for `LevenbergMarquardt`, the model's outputs for `NaturalGradient`.

All parameters are one group, and one vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

import compgraph as cg
from compgraph.backend import beside, on_host
from optim.checks import CHECKS, NOT_NEGATIVE, POSITIVE, Check, number, one_of
from optim.conjugate_gradients import FORMULAS, cg_steps
from optim.lbfgs import Memory
from optim.levenberg_marquardt import least_squares_lm
from optim.line_search import strong_wolfe
from optim.natural import natural_direction
from optim.newton import newton_cg_steps
from optim.optimizer import Optimizer, settings
from optim.results import Array, Limits, Objective, Result, descend, largest

Closure = Callable[[], Any]
_CLOSURE = "a closure that zeroes the gradients, computes the loss, calls backward and returns the loss"
_COUNT = number(lambda x: x == int(x) and x >= 1, "a whole number of at least 1")
_COUNT_OR_NONE = Check(lambda value: value is None or _COUNT.holds(value), "a whole number of at least 1, or None")


class ClosureOptimizer(Optimizer):
    """One group of parameters, seen as one vector, and a closure that is called wherever the method looks.

    `result` tells how the latest step ended.
    """

    result: Result | None = None
    checks: ClassVar[Mapping[str, Check]] = {
        **CHECKS, "max_iter": _COUNT, "max_eval": _COUNT_OR_NONE, "max_cg": _COUNT_OR_NONE, "history_size": _COUNT,
        "tolerance_grad": NOT_NEGATIVE, "tolerance_change": NOT_NEGATIVE, "radius": POSITIVE, "damping": POSITIVE,
    }  # fmt: skip

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        if self.param_groups:
            raise cg.InputError(f"{type(self).__name__}: all parameters are one group, and share one set of hyperparameters{cg.here()}")
        super().add_param_group(param_group)

    @property
    def _parameters(self) -> list[Any]:
        return self.param_groups[0]["params"]

    def _vector(self) -> tuple[Array, Callable[[Any], Any]]:
        """The parameters as one vector, and the way back to their values."""
        return cg.ravel([on_host(p.value) for p in self._parameters])

    def _write(self, vector: Array, unravel: Callable[[Any], Any]) -> None:
        for p, value in zip(self._parameters, unravel(vector), strict=True):
            p.value = beside(np.array(value)[()], p.value)

    def _gradient(self, dtype: Any) -> Array:
        """The parameters' gradients as one vector; zero where there is none, as in PyTorch."""
        grads = [(p, on_host(p.grad)) for p in self._parameters]
        return np.concatenate([np.zeros(p.size, dtype) if grad is None else np.reshape(np.asarray(grad, dtype), -1) for p, grad in grads])

    def _checked(self, loss: Any, gradient: Array) -> float:
        """The loss where a step begins, which has to be finite, and so has the gradient."""
        value = _number(loss, type(self).__name__)
        if not math.isfinite(value):
            raise cg.AnomalyError(f"{type(self).__name__}: the closure's loss is {value}; no parameter was updated{cg.here()}")
        if not np.all(np.isfinite(gradient)):
            sizes = np.cumsum([p.size for p in self._parameters])
            place = int(np.searchsorted(sizes, np.flatnonzero(~np.isfinite(gradient))[0], side="right"))
            label = self._parameters[place].name or f"parameter {place}"
            name = type(self).__name__
            raise cg.AnomalyError(
                f"{name}: the gradient of {label} has entries that are NaN or infinite; no parameter was updated{cg.here()}"
            )
        return value

    def _finish(self, result: Result, unravel: Callable[[Any], Any]) -> None:
        """Write the lowest point. An interrupt has ended the search; here it goes on to the training loop."""
        self._write(result.x, unravel)
        self.result = result._replace(x=[p.value for p in self._parameters])
        if result.message == "interrupted":
            raise KeyboardInterrupt

    def _restoring(self, run: Callable[[], Result], vector: Array, unravel: Callable[[Any], Any]) -> Result:
        """What `run` returns; if it fails the parameters are as before."""
        try:
            return run()
        except BaseException:
            self._write(vector, unravel)
            raise

    def _function(self, node: Any, unravel: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """What computed `node`, as a function of the vector of parameters; other variables are as they are."""
        if not isinstance(node, cg.Node):
            raise cg.InputError(
                f"{type(self).__name__}: the closure returned {type(node).__name__}; it has to return the node itself, as computed from "
                f"the parameters{cg.here()}"
            )
        graph = cg.graph_of(node)
        parameters = self._parameters

        def function(x: Any) -> Any:
            given = dict(zip(parameters, unravel(x), strict=True))
            return graph.run([given.get(leaf, leaf.value) for leaf in graph.inputs])[0]

        return function


def _number(loss: Any, name: str) -> float:
    value = loss.value if isinstance(loss, cg.Node) else loss
    if value is None or np.size(value) != 1:
        found = f"{type(loss).__name__} of shape {np.shape(value)}"
        raise cg.InputError(f"{name}: the closure has to return the loss, one number, it returned {found}{cg.here()}")
    return float(np.reshape(value, ()))


class LBFGS(ClosureOptimizer):
    """L-BFGS with PyTorch's signature, stopping rules and path.

    >>> import numpy as np, compgraph as cg, optim
    >>> w = cg.variable([-1.2, 1.0], name="w")
    >>> optimizer = optim.LBFGS([w], line_search_fn="strong_wolfe", max_iter=40)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> first = optimizer.step(closure)
    >>> second = optimizer.step(closure)
    >>> w.value.round(4)
    array([1., 1.])

    Without a line search each iteration moves by `lr` times the direction, the first by at most `lr` in the 1-norm. A step
    ends after `max_iter` iterations or `max_eval` evaluations (default: 5/4 of it), where the gradient's largest entry is
    at most `tolerance_grad`, or where the loss or the parameters change by at most `tolerance_change`. The pairs are kept between
    steps. It differs from PyTorch where that would be wrong: a NaN on the way shortens the line search, or raises
    `AnomalyError` with the parameters of before; a trial that violates sufficient decrease never becomes the line search's
    lower end; and where the evaluations run out during a search, the lowest trial is kept.
    """

    def __init__(
        self, params: Any, lr: float = 1, max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9, history_size: int = 100, line_search_fn: str | None = None,
    ) -> None:
        max_eval = max_iter * 5 // 4 if max_eval is None and _COUNT.holds(max_iter) else max_eval
        super().__init__(params, settings(locals()))

    checks: ClassVar[Mapping[str, Check]] = {**ClosureOptimizer.checks, "line_search_fn": one_of(None, "strong_wolfe")}

    def step(self, closure: Closure | None = None) -> Any:
        """Minimise for up to `max_iter` iterations; returns what the closure returned first."""
        if closure is None:
            raise cg.InputError(f"LBFGS.step needs {_CLOSURE}{cg.here()}")
        group = self.param_groups[0]
        x, unravel = self._vector()
        first = closure()
        gradient = self._gradient(x.dtype)
        loss = self._checked(first, gradient)
        state = self.state.setdefault(self._parameters[0], {"n_iter": 0, "func_evals": 0})
        state["func_evals"] += 1
        if largest(gradient) <= group["tolerance_grad"]:
            return first
        memory = state.setdefault("memory", Memory(group["history_size"]))
        evaluations = 1

        def evaluate(place: Array) -> tuple[float, Array]:
            self._write(place, unravel)
            return _number(closure(), "LBFGS"), self._gradient(x.dtype)

        try:
            for iteration in range(group["max_iter"]):
                state["n_iter"] += 1
                if state["n_iter"] > 1:
                    memory.push(state["direction"] * x.dtype.type(state["step"]), gradient - state["gradient"], 1e-10)
                direction = memory.direction(gradient)
                state.update(direction=direction, gradient=gradient)
                state["step"] = group["lr"] * (1.0 if state["n_iter"] > 1 else min(1.0, 1.0 / float(np.sum(np.abs(gradient)))))
                slope, previous = float(gradient @ direction), loss
                if slope > -group["tolerance_change"]:
                    break
                if group["line_search_fn"]:
                    found = strong_wolfe(
                        evaluate, x, direction, loss, gradient, step=state["step"], maxls=group["max_eval"] - evaluations + 1,
                        width=1e-9,  # PyTorch's, whatever tolerance_change is
                    )  # fmt: skip
                    x, loss, gradient, state["step"] = found.x, found.value, found.gradient, found.step
                    evaluations += found.evaluations
                    state["func_evals"] += found.evaluations
                else:
                    before, x = x, x + x.dtype.type(state["step"]) * direction
                    if iteration + 1 < group["max_iter"]:  # after the last there is nothing left to decide
                        value, gradient = evaluate(x)
                        evaluations += 1
                        state["func_evals"] += 1
                        if not math.isfinite(value) or not np.all(np.isfinite(gradient)):
                            x = before
                            raise cg.AnomalyError(
                                f"LBFGS: after a step of lr={group['lr']} the loss is {value} or its gradient not finite; the parameters "
                                f'are as before it. A smaller lr, or line_search_fn="strong_wolfe", may prevent it{cg.here()}'
                            )
                        loss = value
                if evaluations >= group["max_eval"] or largest(gradient) <= group["tolerance_grad"]:
                    break
                if largest(direction * state["step"]) <= group["tolerance_change"] or abs(loss - previous) < group["tolerance_change"]:
                    break
        finally:
            self._write(x, unravel)
        return first

    def state_dict(self) -> dict[str, Any]:
        """As `Optimizer.state_dict`, with the pairs as two arrays."""
        saved = super().state_dict()
        for state in saved["state"].values():
            memory = state.pop("memory", None)
            if memory is not None:
                n = self._vector()[0].size
                state["steps"] = np.reshape(np.array(list(memory.steps)), (-1, n))
                state["changes"] = np.reshape(np.array(list(memory.changes)), (-1, n))
        return saved

    def _loaded_state(self, saved: Any, p: Any, group: Any, number: int, place: int) -> Any:
        n = self._vector()[0].size
        names = {"n_iter", "func_evals", "steps", "changes", "direction", "gradient", "step"}
        if place or not set(saved) <= names or not {"n_iter", "func_evals"} <= set(saved):
            found = ", ".join(map(str, saved)) or "nothing"
            raise cg.InputError(f"LBFGS.load_state_dict: the state has {found}: this is the state of another optimizer{cg.here()}")
        state = {key: np.array(value) if isinstance(value, np.ndarray) else value for key, value in saved.items()}
        for key in ("steps", "changes", "direction", "gradient"):
            if key in state and np.shape(state[key])[-1:] != (n,):
                raise cg.ShapeError(
                    f"LBFGS.load_state_dict: {key} has shape {np.shape(state[key])}, the parameters have {n} entries{cg.here()}"
                )
        if "steps" in state:
            memory = Memory(group["history_size"])
            for s, y in zip(state.pop("steps"), state.pop("changes"), strict=True):
                memory.push(s, y, 0.0)
            state["memory"] = memory
        return state


class NonlinearCG(ClosureOptimizer):
    """Nonlinear conjugate gradients with a strong Wolfe line search; `formula` as in `optim.minimize_cg`.

    The closure is PyTorch's. Each step begins with steepest descent and ends after `max_iter` iterations, `max_eval` evaluations
    (default: five an iteration), where the gradient's largest entry is at most `tolerance_grad`, or the loss changes by at most
    `tolerance_change` of itself. `result` has the counts and says why it ended. Returns the loss at the end.
    """

    checks: ClassVar[Mapping[str, Check]] = {**ClosureOptimizer.checks, "formula": one_of(*FORMULAS)}

    def __init__(
        self, params: Any, max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
        formula: str = "polak-ribiere",
    ) -> None:
        super().__init__(params, settings(locals()))

    def step(self, closure: Closure | None = None) -> Any:
        """Minimise for up to `max_iter` iterations; returns the loss at the end."""
        if closure is None:
            raise cg.InputError(f"NonlinearCG.step needs {_CLOSURE}{cg.here()}")
        group = self.param_groups[0]
        vector, unravel = self._vector()

        def evaluate(x: Array) -> tuple[float, Array]:
            self._write(x, unravel)
            loss = closure()
            gradient = self._gradient(x.dtype)
            if not objective.evaluations - 1:
                self._checked(loss, gradient)
            return _number(loss, "NonlinearCG"), gradient

        objective = Objective(evaluate)

        def run() -> Result:
            start = objective.start(vector, "NonlinearCG")
            return descend(cg_steps(objective, start, formula=group["formula"]), objective, start, _limits(group))

        result = self._restoring(run, vector, unravel)
        self._finish(result, unravel)
        return result.value


class NewtonCG(ClosureOptimizer):
    """Trust-region Newton steps by conjugate gradients on Hessian products: `optim.minimize_newton_cg`.

    >>> import numpy as np, compgraph as cg, optim
    >>> w = cg.variable([-1.2, 1.0], name="w")
    >>> optimizer = optim.NewtonCG([w], max_iter=50)
    >>> loss = optimizer.step(lambda: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2)
    >>> w.value.round(6), optimizer.result.converged
    (array([1., 1.]), True)

    The closure returns the loss as a node; it need not call backward. `radius` is the first trust region's. Returns the loss
    at the end.
    """

    def __init__(
        self, params: Any, max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
        radius: float = 1.0, max_cg: int | None = None,
    ) -> None:
        super().__init__(params, settings(locals()))

    def step(self, closure: Closure | None = None) -> Any:
        """Minimise for up to `max_iter` iterations; returns the loss at the end."""
        if closure is None:
            raise cg.InputError(f"NewtonCG.step needs a closure that returns the loss as a node{cg.here()}")
        group = self.param_groups[0]
        vector, unravel = self._vector()
        latest: list[Any] = [None, None]  # a point, and the Hessian's product there

        def function_at(x: Array) -> Callable[[Any], Any]:
            self._write(x, unravel)
            loss = closure()
            _number(loss, "NewtonCG")
            return self._function(loss, unravel)

        def evaluate(x: Array) -> tuple[Any, Array]:
            value, gradient = cg.value_and_grad(function_at(x))(x)
            if not objective.evaluations - 1:
                self._checked(value, gradient)
            return value, gradient

        def product(x: Array, v: Array) -> Array:
            if latest[0] is not x:
                latest[:] = x, cg.linearize(cg.grad(function_at(x)), x)[1]
            return latest[1](v)

        objective = Objective(evaluate)

        def run() -> Result:
            start = objective.start(vector, "NewtonCG")
            steps = newton_cg_steps(objective, product, start, radius=group["radius"], maxcg=group["max_cg"])
            return descend(steps, objective, start, _limits(group))

        result = self._restoring(run, vector, unravel)
        self._finish(result, unravel)
        return result.value


class LevenbergMarquardt(ClosureOptimizer):
    """Levenberg-Marquardt for half a sum of squares: `optim.least_squares_lm`.

    >>> import numpy as np, compgraph as cg, optim
    >>> w = cg.variable([-1.2, 1.0], name="w")
    >>> optimizer = optim.LevenbergMarquardt([w], max_iter=50)
    >>> loss = optimizer.step(lambda: np.stack([10 * (w[1] - w[0] ** 2), 1 - w[0]]))
    >>> w.value.round(6), optimizer.result.converged
    (array([1., 1.]), True)

    The closure returns the residuals, an array as a node. `damping` is where it starts in each step; `dense=False` takes Gauss-
    Newton products instead of the Jacobian. `tolerance_grad` bounds the cosines between residuals and columns of the
    Jacobian, `tolerance_change` the relative changes. Returns half the sum of squares at the end.
    """

    def __init__(
        self, params: Any, max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
        damping: float = 1e-3, dense: bool = True, max_cg: int | None = None,
    ) -> None:
        super().__init__(params, settings(locals()))

    def step(self, closure: Closure | None = None) -> Any:
        """Minimise for up to `max_iter` iterations; returns half the sum of squares at the end."""
        if closure is None:
            raise cg.InputError(f"LevenbergMarquardt.step needs a closure that returns the residuals as a node{cg.here()}")
        group = self.param_groups[0]
        vector, unravel = self._vector()

        def function_at(x: Array) -> Callable[[Any], Any]:
            self._write(x, unravel)
            function = self._function(closure(), unravel)
            return lambda x: np.reshape(function(x), -1)

        def residuals(x: Array) -> Array:
            return np.asarray(function_at(x)(x))

        derived: dict[str, Any] = {"jacobian": lambda x: cg.jacobian(function_at(x))(x)}
        if not group["dense"]:
            derived = {
                "vjp": lambda x, u: cg.vjp(function_at(x), x)[1](u)[0],
                "gnvp": lambda x, v: cg.gnvp(function_at(x), (x,), (v,)),
                "maxcg": group["max_cg"],
            }
        limits, change = _limits(group), group["tolerance_change"]

        def run() -> Result:
            return least_squares_lm(
                residuals, vector, **derived, damping=group["damping"], gtol=group["tolerance_grad"], ftol=change, xtol=change,
                maxiter=limits.maxiter, maxfun=limits.maxfun,
            )  # fmt: skip

        result = self._restoring(run, vector, unravel)
        self._finish(result, unravel)
        return result.value


class NaturalGradient(ClosureOptimizer):
    """Natural gradient steps, -lr (F + damping I)^-1 g, with the Fisher information by Gauss-Newton products: `optim.natural_gradient`.

    >>> import numpy as np, compgraph as cg, optim
    >>> x, y = np.linspace(-1.0, 1.0, 5), np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    >>> w = cg.variable([0.0, 0.0], name="w")
    >>> loss = lambda logits: np.sum(np.logaddexp(0.0, logits) - y * logits) + 0.05 * np.sum(logits ** 2)
    >>> optimizer = optim.NaturalGradient([w], loss, damping=1e-6)
    >>> values = [optimizer.step(lambda: w[0] + w[1] * x) for _ in range(6)]
    >>> bool(values[0] > values[1] > values[2]), bool(values[4] - values[5] < 1e-6)
    (True, True)

    The closure returns the model's outputs, an array as a node, and `loss` is the function of them that is minimised: a negative
    log-likelihood. One step is one update, also on a mini-batch, and returns the loss before it. The damping is fixed.
    """

    def __init__(self, params: Any, loss: Callable[[Any], Any], lr: float = 1.0, damping: float = 1e-3, max_cg: int | None = None) -> None:
        if not callable(loss):
            raise cg.InputError(
                f"NaturalGradient: loss has to be a function of the model's outputs, it is {type(loss).__name__}{cg.here()}"
            )
        self.loss = loss
        super().__init__(params, {"lr": lr, "damping": damping, "max_cg": max_cg})

    def step(self, closure: Closure | None = None) -> Any:
        """One update of all parameters; returns the loss before it."""
        if closure is None:
            raise cg.InputError(f"NaturalGradient.step needs a closure that returns the model's outputs as a node{cg.here()}")
        group = self.param_groups[0]
        x, unravel = self._vector()
        outputs = self._function(closure(), unravel)
        value, gradient = cg.value_and_grad(lambda x: self.loss(outputs(x)))(x)
        self._checked(value, gradient)
        direction = natural_direction(
            lambda v: cg.gnvp(outputs, (x,), (v,), self.loss), gradient, group["damping"], group["max_cg"] or max(50, 2 * x.size)
        )
        self._write(x + x.dtype.type(group["lr"]) * direction, unravel)
        return value


def _limits(group: Mapping[str, Any]) -> Limits:
    most = group["max_eval"] or 5 * group["max_iter"]
    return Limits(group["tolerance_grad"], group["tolerance_change"], 0.0, group["max_iter"], most)
