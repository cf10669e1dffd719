"""What a training step takes, looked at; and what went wrong where a loss or a gradient is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import compgraph as cg
from compgraph import nn
from compgraph.backend import as_array
from optim.closures import LevenbergMarquardt, NaturalGradient
from optim.objective import Recorded
from optim.optimizer import Optimizer
from optim.parameters import Place, all_finite
from optim.schedules import check_range


def has_own_step(optimizer: Optimizer) -> bool:
    """Whether the optimizer's step is more than its rule on each parameter."""
    kind = type(optimizer)
    return kind.step is not Optimizer.step or kind.update is not Optimizer.update or not hasattr(kind, "rule")


def cut(arrays: Any, part: slice | None) -> Any:
    """A part of a batch, of each array in a tuple."""
    if part is None:
        return arrays
    return tuple(one[part] for one in arrays) if arrays.__class__ is tuple else arrays[part]


def like(batch: Any) -> Any:
    """Arrays of these shapes and dtypes that take no memory, to trace with: a step keeps no batch alive."""
    if batch.__class__ is tuple:
        return tuple(map(like, batch))
    return np.broadcast_to(np.zeros((), batch.dtype), batch.shape)


def arrays_of(batch: Any) -> Any:
    """A batch as an array, or as a tuple of arrays for a model of several arguments."""
    if isinstance(batch, (tuple, list)) and batch and all(hasattr(part, "shape") for part in batch):
        return tuple(map(as_array, batch))
    if isinstance(batch, cg.Node):
        raise cg.DtypeError(f"a training step takes arrays, not a node: pass its value{cg.here()}")
    return as_array(batch)


def noise_of(given: Any) -> tuple[float, ...]:
    """`grad_noise` as the arguments of `noise_variance`."""
    values = given if isinstance(given, (tuple, list)) else (given,)
    if len(values) > 2:
        raise cg.InputError(f"grad_noise is eta or (eta, gamma), not {given!r:.60}{cg.here()}")
    for name, value in zip(("the eta of grad_noise", "the gamma of grad_noise"), values, strict=False):
        check_range(name, value, 0)
    return tuple(map(float, values))


def check_arguments(model: Any, loss: Any, optimizer: Any) -> None:
    """Raise for a model, loss and optimizer that cannot be trained together."""
    if not isinstance(model, nn.Module):
        raise cg.DtypeError(f"train_step: model is an nn.Module, not {type(model).__name__}{cg.here()}")
    if isinstance(loss, type) or not callable(loss):
        hint = f": make one, {loss.__name__}()" if isinstance(loss, type) else ", such as nn.cross_entropy"
        raise cg.DtypeError(f"train_step: loss is a function of output and target{hint}{cg.here()}")
    if not isinstance(optimizer, Optimizer):
        wrong = f"not {optimizer!r:.40}"
        raise cg.DtypeError(f"train_step: optimizer is one of optim's, such as optim.Adam(model.parameters()), {wrong}{cg.here()}")
    if isinstance(optimizer, (LevenbergMarquardt, NaturalGradient)):
        what = "residuals" if isinstance(optimizer, LevenbergMarquardt) else "the model's outputs"
        raise cg.InputError(
            f"{type(optimizer).__name__} takes {what} from its closure, which a loss does not tell: call optimizer.step(closure) in a loop "
            f"of your own{cg.here()}"
        )
    own = {p for _, p in model.named_parameters()}
    for at in optimizer.places():
        if at.p not in own:
            raise cg.InputError(
                f"the optimizer's {at} is no parameter of the model: make the optimizer of model.parameters(), after the model has got "
                f"its last layer{cg.here()}"
            )


# ------------------------------------------------------------------------------------- what is not finite


def anomaly(
    model: Any, loss_of: Any, step: int, loss: float, named: Sequence[tuple[Place, Any]], draws: list[Any], X: Any, y: Any
) -> cg.AnomalyError:
    """The error that says whether the loss or which gradient is not finite, and in which layer that began."""
    if not math.isfinite(loss):
        text = f"the loss is {float(loss)}"
    else:
        at, part = next((at, part) for at, part in named if not all_finite(part))
        bad = int(np.size(part) - np.sum(np.isfinite(part)))
        text = f"the gradient of {at} has {bad} of {np.size(part)} entries NaN or infinite"
    return cg.AnomalyError(
        f"train_step, step {step}: {text}{_beginning(model, loss_of, draws, X, y)}; nothing was updated. A smaller rate, clip_grad_norm "
        f"or data without NaN may prevent it{cg.here()}"
    )


def index_error(model: Any, loss_of: Any, X: Any, y: Any, error: Exception) -> Exception:
    """What the plain loop says of a label or index that there is not, which names its place; a program knows numbers only."""
    inputs = X if X.__class__ is tuple else (X,)
    try:
        with cg.no_grad(), nn.using(np.random.default_rng(0)), np.errstate(all="ignore"):
            loss_of(nn.functional_call(model, {}, *inputs)[0], y)
    except cg.CompgraphError as plain:
        return plain
    return error


def _beginning(model: Any, loss_of: Any, draws: list[Any], X: Any, y: Any) -> str:
    """Where a NaN or an infinity comes up first, as far as running the model again on the same random numbers tells."""
    inputs = X if X.__class__ is tuple else (X,)
    if not all(all_finite(one) for one in (*inputs, y) if getattr(one, "dtype", np.dtype(int)).kind == "f"):
        return "; the batch itself has NaN or infinite entries"
    try:
        with np.errstate(all="ignore"), cg.detect_anomaly(), nn.using(Recorded(draws)):
            values = {name: cg.variable(p.value, name=name) for name, p in model.named_parameters()}
            output, _ = nn.functional_call(model, values, *inputs)
            loss_of(output, y).backward()
    except cg.AnomalyError as error:
        return f"; first in {error}".split("\n")[0]
    except Exception:  # the draws are of a micro-batch, or there are none: the layer stays unnamed
        return ""
    return ""
