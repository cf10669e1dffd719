"""Compute the values and derivatives of `expressions.py` with PyTorch and with JAX, and write `values.json`.

    python tests/reference/make_reference.py [name ...]

Run in an environment that has both libraries; the tests need neither. With names, only those expressions are computed
anew. Stored are, for each expression, its
value, its gradients, and the product of its Hessian with a fixed vector. Where the two libraries agree, to 1e-11 of
the largest entry in float64 and 1e-5 in float32, JAX's numbers are stored, and `by` names both. Where one of them lacks a
function, or returns a NaN where the other has a number, `by` names the one that was able. Where they differ, at
kinks and singular points, both are stored, and `FOLLOWED` in `expressions.py` says whom this project follows.
"""

from __future__ import annotations

import contextlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_ERROR = {"float64": 1e-11, "float32": 1e-5}
Derivatives = dict[str, Any]


class Namespace(types.SimpleNamespace):
    """A library under NumPy's names: what was given to it, then what `library` has."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)


# ------------------------------------------------------------------------------------------- PyTorch


def torch_namespace(torch: Any) -> Any:
    """PyTorch under NumPy's names: `torch._numpy`, and what that leaves out."""
    import torch._numpy as tnp

    def tensor(x: Any) -> Any:
        return x.tensor if isinstance(x, tnp.ndarray) else torch.as_tensor(x)

    def wrapped(function: Any) -> Any:
        return lambda *xs, **options: tnp.asarray(function(*map(tensor, xs), **options))

    def reduction(function: Any) -> Any:
        def reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return tnp.asarray(function(tensor(x)) if axis is None else function(tensor(x), dim=axis, keepdim=keepdims))

        return reduce

    class At:
        """`at(x)[i].set(y)` by a copy that is written into."""

        def __init__(self, x: Any, index: Any = None) -> None:
            self.x, self.index = x, index

        def __getitem__(self, index: Any) -> At:
            return At(self.x, torch.as_tensor(index) if isinstance(index, np.ndarray) else index)

        def set(self, y: Any) -> Any:
            copy = tensor(self.x).clone()
            copy[self.index] = tensor(y)
            return tnp.asarray(copy)

        def add(self, y: Any) -> Any:
            return tnp.asarray(tensor(self.x).index_put((self.index,), tensor(y), accumulate=True))

        def multiply(self, y: Any) -> Any:
            return self.set(tensor(self.x)[self.index] * tensor(y))

    def quantile(x: Any, q: Any, axis: Any = None, keepdims: bool = False, method: str = "linear") -> Any:
        q = torch.as_tensor(q, dtype=tensor(x).dtype)
        return tnp.asarray(torch.quantile(tensor(x), q, dim=axis, keepdim=keepdims, interpolation=method))

    special = torch.special
    names = {
        "erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "gammaln": "gammaln", "digamma": "digamma", "expit": "expit", "logit": "logit",
        "i0": "i0", "i1": "i1", "i0e": "i0e", "i1e": "i1e", "xlogy": "xlogy", "xlog1py": "xlog1py",
        "entr": "entr", "ndtr": "ndtr",
    }  # fmt: skip

    def lbeta(a: Any, b: Any) -> Any:
        return special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b)

    def density(distribution: Any) -> Any:
        return types.SimpleNamespace(logpdf=wrapped(lambda x, *parameters: distribution(*parameters).log_prob(x)))

    def softplus(x: Any) -> Any:
        return tnp.asarray(torch.nn.functional.softplus(tensor(x)))

    distributions = torch.distributions
    return Namespace(
        library=tnp, at=At, sigmoid=wrapped(torch.sigmoid), relu=wrapped(torch.relu), softplus=softplus,
        nansum=reduction(torch.nansum), nanmean=reduction(torch.nanmean), trapezoid=lambda y, x=None, dx=1.0, axis=-1: tnp.asarray(
            torch.trapezoid(tensor(y), dx=dx, dim=axis) if x is None else torch.trapezoid(tensor(y), tensor(x), dim=axis)
        ),
        max=reduction(torch.amax), min=reduction(torch.amin), amax=reduction(torch.amax), amin=reduction(torch.amin),
        quantile=quantile, percentile=lambda x, q, **how: quantile(x, q / 100, **how), median=lambda x, **how: quantile(x, 0.5, **how),
        cov=lambda x, rowvar=True: tnp.asarray(torch.cov(tensor(x) if rowvar else tensor(x).T)),
        nanquantile=lambda x, q, axis=None: tnp.asarray(torch.nanquantile(tensor(x), q, dim=axis)),
        special=types.SimpleNamespace(
            **{ours: wrapped(getattr(special, theirs)) for ours, theirs in names.items()},
            gamma=wrapped(lambda x: torch.exp(special.gammaln(x))), polygamma=lambda n, x: tnp.asarray(special.polygamma(n, tensor(x))),
            betaln=wrapped(lbeta), beta=wrapped(lambda a, b: torch.exp(lbeta(a, b))),
            logsumexp=lambda x, axis=None: tnp.asarray(torch.logsumexp(tensor(x), dim=axis)),
            softmax=lambda x, axis=None: tnp.asarray(torch.softmax(tensor(x), dim=axis)),
            log_softmax=lambda x, axis=None: tnp.asarray(torch.log_softmax(tensor(x), dim=axis)),
        ),
        stats=types.SimpleNamespace(
            norm=density(distributions.Normal), t=density(distributions.StudentT),
            gamma=density(lambda a: distributions.Gamma(a, torch.ones_like(a))), beta=density(distributions.Beta),
        ),
    )  # fmt: skip


def with_torch(torch: Any, expression: Any, dtype: str) -> Derivatives:
    from samples import directions, scalar

    xp = torch_namespace(torch)
    leaves = [torch.tensor(np.asarray(arg, dtype), requires_grad=True) for arg in expression.args]
    value = scalar(xp, expression.function(xp, *map(xp.asarray, leaves))).tensor
    if not value.requires_grad:
        raise NotImplementedError("the derivative got lost")
    bars = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
    found = {"value": [value], "gradients": bars}
    with contextlib.suppress(RuntimeError):  # not every derivative of PyTorch has a derivative
        vectors = [torch.tensor(np.asarray(vector, dtype)) for vector in directions(expression.args)]
        along = sum((bar * vector).sum() for bar, vector in zip(bars, vectors, strict=True))
        zeros = [torch.zeros_like(leaf) for leaf in leaves]
        found["hvp"] = torch.autograd.grad(along, leaves, allow_unused=True, materialize_grads=True) if along.requires_grad else zeros
    return {quantity: [one.detach().numpy(force=True) for one in part] for quantity, part in found.items()}


# ----------------------------------------------------------------------------------------------- JAX


def jax_namespace(jax: Any) -> Any:
    return Namespace(
        library=jax.numpy, at=lambda x: x.at, sigmoid=jax.nn.sigmoid, softplus=jax.nn.softplus, relu=jax.nn.relu,
        stats=jax.scipy.stats, special=Namespace(
            library=jax.scipy.special, softmax=jax.nn.softmax, log_softmax=jax.nn.log_softmax,
            j0=lambda x: jax.scipy.special.bessel_jn(x, v=1)[0], j1=lambda x: jax.scipy.special.bessel_jn(x, v=1)[1],
        ),
    )  # fmt: skip


def with_jax(jax: Any, expression: Any, dtype: str) -> Derivatives:
    from samples import directions, scalar

    xp = jax_namespace(jax)
    leaves = [jax.numpy.asarray(arg, dtype) for arg in expression.args]
    numbers = tuple(range(len(leaves)))

    def f(*xs: Any) -> Any:
        return scalar(xp, expression.function(xp, *xs))

    value, bars = jax.value_and_grad(f, argnums=numbers)(*leaves)
    found = {"value": [np.asarray(value)], "gradients": [np.asarray(bar) for bar in bars]}
    with contextlib.suppress(NotImplementedError, TypeError):
        vectors = tuple(jax.numpy.asarray(vector, dtype) for vector in directions(expression.args))
        found["hvp"] = [np.asarray(one) for one in jax.jvp(jax.grad(f, argnums=numbers), tuple(leaves), vectors)[1]]
    return found


# ------------------------------------------------------------------------------------------- storage


def same(one: Any, other: Any, error: float) -> bool:
    """Whether two results agree to `error` of the largest entry."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True)]
    scale = max([1e-3, *(float(np.max(np.abs(b), initial=0.0)) for _, b in pairs)])
    return all(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=error * scale, equal_nan=True) for a, b in pairs)


def listed(found: Any) -> Any:
    return [listed(one) for one in found] if isinstance(found, list) else np.asarray(found).tolist()


def joined(results: dict[str, Derivatives], error: float) -> dict[str, Any]:
    """What is stored: each quantity once where the libraries agree, by both names where they do not."""
    stored: dict[str, Any] = {}
    for quantity in ("value", "gradients", "hvp"):
        able = {name: found[quantity] for name, found in results.items() if quantity in found}
        able = {name: found for name, found in able.items() if all(np.all(np.isfinite(one)) for one in found)} or able
        if not able:
            continue
        first, *others = able.values()
        if all(same(other, first, error * (10 if quantity == "hvp" else 1)) for other in others):
            stored[quantity] = {"by": sorted(able), "is": listed(first)}
        else:
            stored[quantity] = {name: listed(found) for name, found in able.items()}
    return stored


def main() -> None:
    import jax
    import torch
    from expressions import EXPRESSIONS, FIRST_ORDER_ONLY, NARROW

    jax.config.update("jax_enable_x64", True)
    makers = {"jax": lambda *how: with_jax(jax, *how), "torch": lambda *how: with_torch(torch, *how)}
    path = Path(__file__).with_name("values.json")
    chosen = sys.argv[1:]
    stored: dict[str, Any] = json.loads(path.read_text()) if chosen else {"float64": {}, "float32": {}}
    stored["made with"] = {"torch": torch.__version__, "jax": jax.__version__}
    for name, expression in EXPRESSIONS.items():
        if chosen and name not in chosen:
            continue
        for dtype in ("float64", "float32") if name in NARROW else ("float64",):
            results: dict[str, Derivatives] = {}
            for library, make in makers.items():
                try:
                    results[library] = make(expression, dtype)
                except Exception as error:  # whatever a library says to a function that it lacks
                    print(f"{name}: not by {library}: {type(error).__name__}: {str(error)[:90]!r}")
            stored[dtype][name] = joined(results, LARGEST_ERROR[dtype])
            if name in FIRST_ORDER_ONLY:
                stored[dtype][name].pop("hvp", None)
            for quantity, found in stored[dtype][name].items():
                if "is" not in found:
                    print(f"{name}: {quantity} differs, {dtype}: {found}")
    lines = [json.dumps("made with") + ": " + json.dumps(stored["made with"])]
    for dtype in ("float64", "float32"):
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(stored[dtype][name])}" for name in EXPRESSIONS if name in stored[dtype])
        lines.append(f"{json.dumps(dtype)}: {{\n{rows}\n}}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(EXPRESSIONS)} expressions in float64, {len(NARROW)} in float32, with {stored['made with']}")


if __name__ == "__main__":
    main()
