"""The examination of losses, optimizers, schedules and initializers.

>>> from chainrule import losses, optim, schedules
>>> check_loss(losses.huber, np.array([0.3, 2.5]), np.array([1.0, 0.2]), perfect=1.0) < 1e-6
True
>>> check_optimizer(optim.Adam(lr=0.1))
>>> check_schedule(schedules.Cosine())
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.graph import Array, tensor
from chainrule.losses import REDUCTIONS, Loss
from chainrule.optim import Optimizer, Updater
from chainrule.schedules import Schedule
from chainrule.testing.gradients import TOLERANCE, CheckError, check_gradient
from chainrule.testing.operations import check_named, check_op
from chainrule.tree import flatten

_ARRAYS_AGREE = 1e-12


def check_loss(
    loss: Loss,
    prediction: Any,
    target: Any,
    *,
    perfect: Any = None,
    least: float | None = 0.0,
    tolerance: float = TOLERANCE,
) -> float:
    """Examine a loss at a prediction and a target of at least two rows.

    * gradients, traces and dtypes as in `check_op`, for every reduction;
    * the reductions fit together, weights of 1 change nothing, and a weight of 2 is a row twice;
    * the loss is never below `least`, and at the target `perfect` predictions attain it
      (`least=None` for losses without such a bound);
    * a row less in the target is refused.

    Returns the largest error of a gradient; raises `CheckError` with what disagrees.
    """
    p, t = np.asarray(prediction), np.asarray(target)
    rows = p.shape[0]
    counts = np.arange(rows) % 2 + 1
    worst = 0.0
    for reduction in REDUCTIONS:
        for weight in (None, counts.astype(np.float64)):
            setting = {"weight": weight, "reduction": reduction}

            def by_prediction(x: Any, how: dict[str, Any] = setting) -> Any:
                return loss(x, t, **how)

            worst = max(worst, check_gradient(by_prediction, p, tolerance=tolerance))

        def with_target(*pair: Any, how: str = reduction) -> Any:
            return loss(*pair, reduction=how)

        for dtype in (np.float64, np.float32):
            pair = [p.astype(dtype), t.astype(dtype) if t.dtype.kind == "f" else t]
            check_named(with_target, pair, rows=(0, 1))
            given = np.asarray(with_target(*pair)).dtype
            if given != dtype:
                raise CheckError(f"{loss!r} turns {np.dtype(dtype)} into {given}")
    worst = max(worst, check_op(lambda x: loss(x, t), p.astype(np.float64), tolerance=tolerance))
    each = np.asarray(loss(p, t, reduction="none"))
    axes = tuple(range(1, each.ndim))
    per_row = each.mean(axis=axes)
    _agree(loss(p, t), each.mean(), "the mean of the losses")
    _agree(loss(p, t, reduction="sum"), each.sum(), "the sum of the losses")
    _agree(loss(p, t, weight=np.ones(rows)), each.mean(), "the loss with weights of 1")
    _agree(loss(p, t, weight=counts), np.average(per_row, weights=counts), "the weighted mean")
    _agree(
        loss(p, t, weight=counts),
        loss(np.repeat(p, counts, axis=0), np.repeat(t, counts, axis=0)),
        "the loss with weight 2 for a row, against that row twice",
    )
    _check_least(loss, p, t, perfect, least, each)
    try:
        loss(p, t[:-1])
    except ChainruleError:
        return worst
    raise CheckError(f"{loss!r} takes {rows} predictions and {rows - 1} targets")


def _check_least(
    loss: Loss, p: Array, t: Array, perfect: Any, least: float | None, each: Array
) -> None:
    if least is not None and each.min() < least - _ARRAYS_AGREE:
        raise CheckError(f"{loss!r} is {each.min()}, below its least value {least}")
    if perfect is not None:
        best = np.asarray(loss(np.broadcast_to(perfect, p.shape), t, reduction="none"))
        if not np.all(best <= each + _ARRAYS_AGREE):
            raise CheckError(f"{loss!r} is {best} at its best predictions, but {each} at others")


def _agree(a: Any, b: Any, what: str) -> None:
    if not abs(float(a) - float(b)) <= _ARRAYS_AGREE * max(abs(float(b)), 1.0):
        raise CheckError(f"{what} is {float(a):.16g}, expected {float(b):.16g}")


def check_optimizer(optimizer: Optimizer, *, steps: int = 300, shrink: float = 0.9) -> None:
    """Examine an optimizer.

    * `update` gives arrays of the shape and dtype of the parameter, in float32 and float64, keeps
      the names of the state, changes none of its arguments, and treats every element alike:
      parameters side by side are updated as each alone;
    * tensors give what arrays give, so that the update compiles;
    * a zero gradient at the start moves nothing unless there is weight decay;
    * on the bowl x^2/2 + 5 y^2 from (1, 1) the value falls below `shrink` times the start;
    * a run that is saved and resumed gives the same bits.
    """
    for dtype in (np.float64, np.float32):
        _check_update(optimizer, dtype)
    if not optimizer.weight_decay:
        p = np.array([1.0, -2.0])
        moved = optimizer.update(p, np.zeros(2), optimizer.init(p), 1, optimizer.lr)[0]
        if not np.array_equal(moved, p):
            raise CheckError(f"{optimizer} moves {p} to {moved} without a gradient")
    values, _ = _descend(optimizer, steps)
    if not values[-1] < shrink * values[0]:
        raise CheckError(f"{optimizer} ends at {values[-1]} in {steps} steps, from {values[0]}")
    _check_resume(optimizer)


_BOWL = np.array([1.0, 10.0])


def _descend(optimizer: Optimizer, steps: int) -> tuple[list[float], Array]:
    w = tensor([1.0, 1.0], requires_grad=True)
    updater = Updater([w], optimizer)
    values = []
    for _ in range(steps):
        values.append(float(np.sum(w.detach().numpy() ** 2 * _BOWL) / 2))
        updater.step([w.detach().numpy() * _BOWL])
    return values, w.detach().numpy()


def _check_update(optimizer: Optimizer, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    p, *gradients = [rng.normal(size=6).astype(dtype) for _ in range(4)]
    parts = [slice(0, 2), slice(2, 6)]
    whole, split, traced = p, [p[s] for s in parts], tensor(p)
    states = optimizer.init(p), [optimizer.init(p[s]) for s in parts], optimizer.init(p)
    state, split_states, traced_state = states
    for t, g in enumerate(gradients, start=1):
        kept = [x.copy() for x in (whole, g, *flatten(state))]
        new, new_state = optimizer.update(whole, g, state, t, optimizer.lr)
        for given, before in zip((whole, g, *flatten(state)), kept, strict=True):
            if not np.array_equal(given, before):
                raise CheckError(f"{optimizer}: update changed an argument in step {t}")
        if (new.shape, new.dtype) != (p.shape, p.dtype):
            raise CheckError(
                f"{optimizer}: update turned {p.dtype}{p.shape} to {new.dtype}{new.shape}"
            )
        if {k: v.dtype for k, v in new_state.items()} != {k: v.dtype for k, v in state.items()}:
            raise CheckError(
                f"{optimizer}: init and update name the state, or its dtypes, differently"
            )
        pairs = [
            optimizer.update(x, g[s], own, t, optimizer.lr)
            for x, s, own in zip(split, parts, split_states, strict=True)
        ]
        split, split_states = [x for x, _ in pairs], [own for _, own in pairs]
        if not np.array_equal(np.concatenate(split), new):
            raise CheckError(f"{optimizer}: elements influence one another in step {t}")
        traced, traced_state = optimizer.update(traced, tensor(g), traced_state, t, optimizer.lr)
        if not np.array_equal(traced.numpy(), new) or traced.dtype != new.dtype:
            raise CheckError(f"{optimizer}: tensors give {traced}, arrays {new} in step {t}")
        whole, state = new, new_state


def _check_resume(optimizer: Optimizer) -> None:
    """Compare ten steps with five, a fresh updater with the saved state, and five more."""
    ends = []
    for pause in (None, 5):
        w = tensor([1.0, 1.0], requires_grad=True)
        updater = Updater([w], optimizer)
        for step in range(10):
            if step == pause:
                saved = updater.state_dict()
                updater = Updater([w], optimizer)
                updater.load_state_dict(saved)
            updater.step([w.detach().numpy() * _BOWL])
        ends.append(w.detach().numpy())
    if not np.array_equal(ends[0], ends[1]):
        raise CheckError(f"{optimizer}: resumed in the middle it ends at {ends[1]}, not {ends[0]}")


def check_schedule(schedule: Schedule, *, total: float = 20, limit: float = 1.0) -> None:
    """Examine a schedule: its factors are floats from 0 to `limit` before, at and after its end.

    `over(total)` sets the end where there is none, and a second time changes nothing.
    """
    ready = schedule.over(total)
    if ready.over(2 * total) != ready:
        raise CheckError(f"{schedule}: over() changes an end that is set already")
    for t in (*np.arange(0, 2 * total, 0.5), 10**6):
        factor = ready(float(t))
        if not isinstance(factor, float):
            raise CheckError(f"{schedule} gives a {type(factor).__name__} at t = {t}")
        if not 0 <= factor <= limit:
            raise CheckError(f"{schedule} gives {factor} at t = {t}, expected 0 to {limit}")


def check_initializer(
    initializer: Callable[[tuple[int, ...], np.random.Generator], Array],
    *,
    std: float,
    fans: tuple[int, int] = (256, 128),
    limit: float | None = None,
) -> None:
    """Examine an initializer: shapes, seeds, a mean of 0, and the spread of a matrix.

    `std` is the standard deviation expected for `fans` = (inputs, outputs), met within 2 %;
    `limit` bounds every element and is nearly reached. A `std` of 0 is for constants.
    """
    inputs, outputs = fans
    w, same = (initializer((outputs, inputs), np.random.default_rng(0)) for _ in range(2))
    if w.shape != (outputs, inputs) or not np.array_equal(w, same):
        raise CheckError("the initializer gives another shape, or two answers for one seed")
    if initializer((5,), np.random.default_rng(0)).shape != (5,):
        raise CheckError("the initializer cannot make a vector")
    if abs(float(w.std()) - std) > 0.02 * std:
        raise CheckError(f"the standard deviation is {w.std():.6g}, expected {std:.6g}")
    if std and abs(float(w.mean())) > 5 * std / np.sqrt(w.size):
        raise CheckError(f"the mean is {w.mean():.3g}, expected 0 within sampling error")
    if limit is not None and not 0.99 * limit < float(np.abs(w).max()) <= limit:
        raise CheckError(f"the largest element is {np.abs(w).max():.6g}, expected just {limit:.6g}")
