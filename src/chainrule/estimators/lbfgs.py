"""Full-batch training by L-BFGS, from SciPy, for small nets and few rows.

>>> from chainrule import nn
>>> from chainrule.losses import mse
>>> x = np.linspace(-1, 1, 20).reshape(-1, 1)
>>> model = nn.mlp([1, 1], seed=0).astype(float)
>>> minimize(model, mse, Rows((x,), 2 * x + 1), max_iter=50).converged
True
>>> float(model.state_dict()["0.weight"][0, 0].round(4))
2.0
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.contract import check_contract, diverged
from chainrule.data import Rows
from chainrule.errors import need
from chainrule.graph import Array, Value, value_of
from chainrule.losses import Loss
from chainrule.nn.module import Module
from chainrule.transforms.reverse import reverse


@dataclass(frozen=True)
class Result:
    """How a minimization ended."""

    iterations: int
    loss: float
    converged: bool
    message: str


def minimize(
    model: Module,
    loss: Loss,
    rows: Rows,
    *,
    penalty: Callable[[float], Value] | None = None,
    max_iter: int = 200,
    max_fun: int = 15000,
    tol: float = 1e-4,
) -> Result:
    """Train a model in place on all rows at once (Liu and Nocedal, 1989; SciPy's L-BFGS-B)."""
    scipy = need("scipy.optimize", extra="sklearn", why="to train by L-BFGS")
    parameters = [p for p in model.parameters() if p.requires_grad]
    check_contract(model, loss, rows, len(rows))
    sizes = np.cumsum([p.size for p in parameters])[:-1]
    dtype = np.result_type(*(p.dtype for p in parameters))
    inputs = tuple(x[:] for x in rows.inputs)
    total = float(len(rows)) if rows.weight is None else float(rows.weight.sum())
    good = [p.value for p in parameters]
    calls = 0

    def put(flat: Array) -> None:
        for p, piece in zip(parameters, np.split(flat, sizes), strict=True):
            p.renew(piece.reshape(p.shape).astype(p.dtype))

    def evaluate(flat: Array) -> tuple[float, Array]:
        nonlocal good, calls
        calls += 1
        put(flat)
        with np.errstate(all="ignore"):
            value = loss.value(model(*inputs), rows.target, rows.weight)
            if penalty is not None:
                value = value + penalty(total)
            if not np.isfinite(value_of(value)):
                for p, kept in zip(parameters, good, strict=True):
                    p.renew(kept)
                raise diverged(value, calls, 1, 1.0, float(value_of(value)))
            found = reverse([value], [np.ones((), value.dtype)], parameters)
        good = [p.value for p in parameters]
        flat_gradient = np.concatenate([np.ravel(g) for g in found]).astype(np.float64)
        return float(value_of(value)), flat_gradient

    start = np.concatenate([np.ravel(p.value) for p in parameters]).astype(np.float64)
    model.train()
    try:
        options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
        found: Any = scipy.minimize(evaluate, start, method="L-BFGS-B", jac=True, options=options)
    finally:
        model.eval()
    put(np.asarray(found.x, dtype))
    return Result(int(found.nit), float(found.fun), bool(found.success), str(found.message))
