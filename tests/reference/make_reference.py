"""Compute the values and gradients of `expressions.py` with PyTorch and with JAX, and write `values.json`.

    python tests/reference/make_reference.py

Run once, in an environment that has both libraries; the tests need neither. The two have to agree with each other,
to 1e-12 in float64 and 1e-5 in float32, before anything is written. What is written are JAX's numbers in float64
and PyTorch's in float32.
"""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np


def torch_namespace(torch: Any) -> Any:
    """PyTorch under NumPy's names and argument names."""

    def reduction(function: Any) -> Any:
        return lambda x, axis=None, keepdims=False: function(x) if axis is None else function(x, dim=axis, keepdim=keepdims)

    def concatenate(xs: Any, axis: int = 0) -> Any:
        return torch.cat(list(xs), dim=axis)

    same = (
        "exp", "log", "log1p", "expm1", "sqrt", "square", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "abs",
        "maximum", "minimum", "where", "reshape", "broadcast_to", "sigmoid", "relu",
    )  # fmt: skip
    return types.SimpleNamespace(
        **{name: getattr(torch, name) for name in same},
        softplus=torch.nn.functional.softplus, sum=reduction(torch.sum), mean=reduction(torch.mean), max=reduction(torch.amax),
        min=reduction(torch.amin), transpose=lambda x, axes: torch.permute(x, axes), concatenate=concatenate,
        stack=lambda xs, axis=0: torch.stack(list(xs), dim=axis),
    )  # fmt: skip


def with_torch(torch: Any, function: Any, args: tuple[Any, ...], dtype: Any) -> tuple[Any, list[Any]]:
    leaves = [torch.tensor(np.asarray(arg, dtype), requires_grad=True) for arg in args]
    value = function(torch_namespace(torch), *leaves)
    bars = torch.autograd.grad(value, leaves)
    return value.detach().numpy(), [bar.detach().numpy() for bar in bars]


def with_jax(jax: Any, function: Any, args: tuple[Any, ...], dtype: Any) -> tuple[Any, list[Any]]:
    names = {name: getattr(jax.numpy, name) for name in dir(jax.numpy) if not name.startswith("_")}
    xp = types.SimpleNamespace(**{**names, "sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus, "relu": jax.nn.relu})
    leaves = [jax.numpy.asarray(arg, dtype) for arg in args]
    value, bars = jax.value_and_grad(lambda *xs: function(xp, *xs), argnums=tuple(range(len(leaves))))(*leaves)
    return np.asarray(value), [np.asarray(bar) for bar in bars]


def main() -> None:
    import jax
    import torch
    from expressions import EXPRESSIONS, NARROW

    jax.config.update("jax_enable_x64", True)
    stored: dict[str, Any] = {"made with": {"torch": torch.__version__, "jax": jax.__version__}, "float64": {}, "float32": {}}
    for name, (function, args) in EXPRESSIONS.items():
        for dtype in ("float64", "float32") if name in NARROW else ("float64",):
            ours = with_torch(torch, function, args, dtype)
            theirs = with_jax(jax, function, args, dtype)
            tolerance = 1e-12 if dtype == "float64" else 1e-5
            for one, other in zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True):
                np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=f"{name}, {dtype}")
            value, bars = theirs if dtype == "float64" else ours
            stored[dtype][name] = {"value": float(value), "gradients": [bar.tolist() for bar in bars]}
    Path(__file__).with_name("values.json").write_text(json.dumps(stored, indent=1) + "\n")
    print(f"{len(EXPRESSIONS)} expressions in float64, {len(NARROW)} in float32, with {stored['made with']}")


if __name__ == "__main__":
    main()
