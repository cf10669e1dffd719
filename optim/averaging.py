"""Averages: of a series, and of the parameters along a run (EMA, SWA, Lookahead).

A series v_1, v_2, ... of averages of x_1, x_2, ... follows one of two rules. A window sums the last values with weights,
divided by the sum of those weights: `weighted_average`, and with equal weights `moving_average`. The exponential average
forgets at a rate: v_t = beta * v_{t-1} + (1 - beta) * x_t with v_0 = 0, `exponential_average`. It sums all values with
the weights (1 - beta) * beta**k, k steps back, whose sum is 1 - beta**t: the first averages are too small, and dividing by
that sum corrects them. After 1 / (1 - beta) steps a weight has fallen to about 1/e of its first: that is its window.

Lectures differ. Some index the summands of the simple average with the index of the result, as if it did not move; and the
example for bias correction with beta = 0.98, x = 28 and 22.82, has 0.00196 where 0.98 * 0.02 = 0.0196 belongs, and so 13 where
the corrected second average is 25.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

import compgraph as cg
from compgraph.backend import beside, copy_of, on_host
from optim.gradients import parameters_of
from optim.optimizer import Optimizer
from optim.schedules import check_count, check_range

# -------------------------------------------------------------------------------------------- series


def moving_average(x: Any, window: int) -> Any:
    """The mean of the last `window` values, at the start of those that there are; `x` is a vector, the result as long.

    >>> moving_average(np.array([1.0, 3.0, 5.0, 7.0]), window=2)
    array([1., 2., 4., 6.])
    """
    check_count("window", window)
    return weighted_average(x, [1.0] * int(window))


def weighted_average(x: Any, weights: Any) -> Any:
    """The average of the last `len(weights)` values, the last weight for the latest; at the start of those that there are.

    >>> weighted_average(np.array([1.0, 4.0, 7.0]), weights=np.array([1.0, 2.0]))
    array([1., 3., 6.])

    v_t = sum_k w_k x_{t-k} / sum_k w_k. Arrays or nodes; differentiable with respect to both. Raises `ShapeError` for what is no
    vector and `InputError` for negative weights and for a last weight of zero, with which the first average has no value.
    """
    x = _vector(x, "x")
    weights = _vector(weights, "weights", x.dtype if x.dtype.kind == "f" else float)
    check_range("weights", weights, 0)
    known = getattr(weights, "value", weights)
    if known is not None and not known[-1] > 0:
        raise cg.InputError(f"the last of weights is 0: it is for the latest value, and the first average has no other{cg.here()}")
    count = x.shape[0]
    latest_first = weights[::-1]
    return np.convolve(x, latest_first)[:count] / np.convolve(np.ones(count, weights.dtype), latest_first)[:count]


def exponential_average(x: Any, beta: Any, corrected: bool = True) -> Any:
    """v_t = beta * v_{t-1} + (1 - beta) * x_t from v_0 = 0, divided by 1 - beta**t if `corrected`; along the first axis.

    >>> exponential_average(np.array([28.0, 22.82]), beta=0.98, corrected=False).round(4)
    array([0.56  , 1.0052])
    >>> exponential_average(np.array([28.0, 22.82]), beta=0.98).round(4)
    array([28.    , 25.3838])

    Arrays or nodes; traced it is one loop; differentiable with respect to both. `beta` is from 0 to 1, and below 1 for a
    corrected average.
    """
    check_range("beta", beta, 0, 1)
    known = getattr(beta, "value", beta)
    if corrected and known is not None and known == 1:
        raise cg.InputError(f"beta is 1: such an average never moves from 0, and no correction can divide it by 1 - beta**t = 0{cg.here()}")
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if not x.shape:
        raise cg.ShapeError(f"x is a series, with an axis for time; this is a single number{cg.here()}")
    dtype = x.dtype if x.dtype.kind in "fc" else np.dtype(float)

    def turn(carry: Any, value: Any) -> tuple[Any, Any]:
        average, left = carry
        average, left = beta * average + (1 - beta) * value, left * beta
        return (average, left), average / (1 - left) if corrected else average

    return cg.scan(turn, (np.zeros(x.shape[1:], dtype), np.ones((), dtype)), x)[1]


def _vector(series: Any, name: str, dtype: Any = float) -> Any:
    """An array or node as it is, a list as an array of `dtype`."""
    vector = series if hasattr(series, "dtype") else np.asarray(series, dtype=dtype)
    if len(vector.shape) != 1 or not vector.shape[0]:
        raise cg.ShapeError(f"{name} is a vector with at least one entry; this has shape {vector.shape}{cg.here()}")
    return vector


# ---------------------------------------------------------------------------------------- parameters


class ParameterAverage:
    """A running average of parameters: `average += weight(n) * (p - average)` at the n-th `update()`; `weight(1)` is 1.

    `EMA` and `SWA` say the weight. Where PyTorch has a copy of the model, here `swap()` lends the averages to the parameters:

    >>> w = cg.variable(0.0, name="w")
    >>> average = SWA([w])
    >>> for value in (1.0, 2.0, 6.0):
    ...     w.value = np.float64(value)  # an optimizer's step
    ...     average.update()
    >>> with average.swap():
    ...     print(float(w.value))
    3.0
    >>> float(w.value)
    6.0

    `params` is a variable, or an iterable of variables or of (name, variable) pairs.
    """

    def __init__(self, params: Any) -> None:
        self._parameters = parameters_of(params, type(self).__name__)
        self.averages: list[Any] = []
        self.n_averaged = 0
        self._swapped = False

    def weight(self, n: int) -> float:
        raise NotImplementedError

    def update(self) -> None:
        """Take the parameters, as they are now, into the average: after an optimizer's step."""
        self._check_not_swapped("update")
        values = [p.value for p, _ in self._parameters]
        weight = self.weight(self.n_averaged + 1)
        if self.n_averaged == 0:
            self.averages = [copy_of(value) for value in values]
        else:
            self.averages = [average + weight * (value - average) for average, value in zip(self.averages, values, strict=True)]
        self.n_averaged += 1

    @contextmanager
    def swap(self) -> Iterator[None]:
        """Within `with average.swap():` the parameters have the averages as values, to evaluate; then again their own."""
        own = [p.value for p, _ in self._parameters]
        self.copy_to()
        self._swapped = True
        try:
            yield
        finally:
            self._swapped = False
            for (p, _), value in zip(self._parameters, own, strict=True):
                p.value = value

    def copy_to(self) -> None:
        """Give the averages to the parameters, for good."""
        self._check_not_swapped("copy_to")
        if not self.averages:
            raise cg.InputError(f"{type(self).__name__} has no average yet: call update() after an optimizer's step{cg.here()}")
        for (p, _), average in zip(self._parameters, self.averages, strict=True):
            p.value = copy_of(average)

    def _check_not_swapped(self, what: str) -> None:
        if self._swapped:
            raise cg.InputError(f"{what}() within swap(): the parameters are the averages now{cg.here()}")

    def state_dict(self) -> dict[str, Any]:
        """The averages and their number; arrays are copies."""
        return {"n_averaged": self.n_averaged, "averages": [np.array(on_host(average)) for average in self.averages]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict()` was taken, to the bit; a state that does not fit is refused whole."""
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or set(state_dict) != {"n_averaged", "averages"}:
            raise cg.InputError(f"{name}.load_state_dict takes what state_dict returns, a dict of n_averaged and averages{cg.here()}")
        check_count("n_averaged", state_dict["n_averaged"], least=0)
        averages = [np.asarray(on_host(average)) for average in state_dict["averages"]]
        if len(averages) != (len(self._parameters) if state_dict["n_averaged"] else 0):
            raise cg.InputError(f"the state is of {len(averages)} parameters, {name} has {len(self._parameters)}{cg.here()}")
        for (p, label), average in zip(self._parameters, averages, strict=bool(averages)):
            if average.shape != p.shape:
                raise cg.ShapeError(f"the average of {label} in the state has shape {average.shape}{cg.here()}")
        pairs = zip(averages, self._parameters, strict=bool(averages))
        self.averages = [beside(np.array(one, p.dtype)[()], p.value) for one, (p, _) in pairs]
        self.n_averaged = int(state_dict["n_averaged"])


class EMA(ParameterAverage):
    """The exponential moving average of parameters: `decay * average + (1 - decay) * p`.

    >>> w = cg.variable(1.0)
    >>> plain, corrected = EMA([w], decay=0.5), EMA([w], decay=0.5, bias_correction=True)
    >>> for value in (1.0, 4.0):
    ...     w.value = np.float64(value)
    ...     plain.update()
    ...     corrected.update()
    >>> float(plain.averages[0]), float(corrected.averages[0])
    (2.5, 3.0)

    It starts from the parameters at the first update, as PyTorch's `get_ema_avg_fn` does, which gives them the weight
    `decay**(n-1)`, more than that of any other. With `bias_correction` it is the average that starts from zero, divided by
    1 - decay**n as in Adam: its weight at the n-th update is (1 - decay) / (1 - decay**n), and so it needs no zero.
    """

    def __init__(self, params: Any, decay: float = 0.999, bias_correction: bool = False) -> None:
        check_range("decay", decay, 0, 1)
        super().__init__(params)
        self.decay, self.bias_correction = decay, bias_correction

    def weight(self, n: int) -> float:
        if self.bias_correction:
            return (1 - self.decay) / (1 - self.decay**n) if self.decay < 1 else 1 / n
        return 1 - self.decay


class SWA(ParameterAverage):
    """The mean of parameters, all updates alike: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization".

    Update it once an epoch or a cycle, in the last part of the run, with a rate that stays high: `lr_scheduler.SWALR`.
    """

    def weight(self, n: int) -> float:
        return 1 / n


# ----------------------------------------------------------------------------------------- lookahead


class Lookahead(Optimizer):
    """Slow weights that go a part `alpha` of the way that `optimizer` went in `k` steps, and lead it back there.

    >>> import optim
    >>> w = cg.variable(1.0, name="w")
    >>> optimizer = Lookahead(optim.SGD([w], lr=0.1), k=2, alpha=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (0.5 * w * w).backward()
    ...     optimizer.step()
    >>> round(float(w.value), 6)  # 1 + 0.5 * (0.81 - 1)
    0.905

    Zhang et al. 2019, "Lookahead Optimizer: k steps forward, 1 step back", algorithm 1. The state of the inner optimizer
    goes on through the step back. It has the face of an optimizer: groups, state and schedules are those of the inner one.
    """

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        if not isinstance(optimizer, Optimizer):
            raise cg.DtypeError(f"Lookahead wraps an optimizer, not {optimizer!r:.40}{cg.here()}")
        check_count("k", k)
        check_range("alpha", alpha, 0, 1)
        self.optimizer, self.k, self.alpha = optimizer, k, alpha
        self.defaults, self.param_groups = optimizer.defaults, optimizer.param_groups
        self._count = 0
        self._slow = {p: copy_of(p.value) for p in self._all()}

    @property
    def state(self) -> dict[Any, Any]:
        return self.optimizer.state

    def compile(self, target: str = "numpy", *, exact: bool = False) -> Self:
        """Compile the inner optimizer's step."""
        self.optimizer.compile(target, exact=exact)
        return self

    def _all(self) -> Iterator[Any]:
        return (p for group in self.param_groups for p in group["params"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of the inner optimizer, and after every k-th the step of the slow weights."""
        loss = self.optimizer.step(closure)
        self._count += 1
        if self._count % self.k == 0:
            for p in self._all():
                slow = self._slow[p]
                self._slow[p] = (slow + self.alpha * (p.value - slow))[()]
                p.value = copy_of(self._slow[p])  # an array of its own: compiled steps write into it
        return loss

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        self.optimizer.add_param_group(param_group)
        for p in self._all():
            self._slow.setdefault(p, copy_of(p.value))

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's state, with the slow weights and the number of steps under "lookahead"."""
        slow = [np.array(on_host(self._slow[p])) for p in self._all()]
        return {**self.optimizer.state_dict(), "lookahead": {"count": self._count, "slow": slow}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict()` was taken, to the bit; a state that does not fit is refused whole."""
        if not isinstance(state_dict, Mapping) or set(state_dict.get("lookahead", ())) != {"count", "slow"}:
            raise cg.InputError(
                f"Lookahead.load_state_dict takes what its state_dict returns; this has no slow weights under 'lookahead'{cg.here()}"
            )
        count, slow = state_dict["lookahead"]["count"], state_dict["lookahead"]["slow"]
        parameters = list(self._all())
        check_count("the state's count", count, least=0)
        if len(slow) != len(parameters):
            raise cg.InputError(f"the state has {len(slow)} slow weights, Lookahead {len(parameters)} parameters{cg.here()}")
        for number, (p, one) in enumerate(zip(parameters, slow, strict=True)):
            if np.shape(one) != p.shape:
                raise cg.ShapeError(f"the state's slow weight {number} has shape {np.shape(one)}, the parameter {p.shape}{cg.here()}")
        self.optimizer.load_state_dict({key: value for key, value in state_dict.items() if key != "lookahead"})
        self._slow = {p: beside(np.array(one, p.dtype)[()], p.value) for p, one in zip(parameters, slow, strict=True)}
        self._count = int(count)

    def __repr__(self) -> str:
        return f"Lookahead (k={self.k}, alpha={self.alpha}) of {self.optimizer!r}"


__all__ = ["EMA", "SWA", "Lookahead", "ParameterAverage", "exponential_average", "moving_average", "weighted_average"]
