"""What must fit before the first step, and what is said when training meets NaN or infinity.

>>> from chainrule import nn
>>> from chainrule.losses import cross_entropy
>>> model = nn.Sequential(nn.Linear(2, 3), nn.Activation("softmax"))
>>> rows = Rows((np.zeros((4, 2), np.float32),), np.array([0, 1, 2, 0]))
>>> check_contract(model, cross_entropy, rows, 4)
Traceback (most recent call last):
...
chainrule.errors.ConfigError: cross_entropy takes logits and applies softmax itself, but the model \
ends with softmax: remove nn.Activation("softmax")
"""

import copy
from itertools import chain
from typing import Any

import numpy as np

from chainrule.data import Rows
from chainrule.errors import (
    ChainruleError,
    ConfigError,
    DataError,
    DivergedError,
    DtypeError,
    ShapeError,
)
from chainrule.graph import Array, Tensor, Value, ancestors, tracing, value_of
from chainrule.losses import Loss, get_loss
from chainrule.nn.layers import Activation, Sequential
from chainrule.nn.module import Module, Parameter

_APPLIES = {
    "logits": "logits and applies softmax itself",
    "binary logits": "logits and applies sigmoid itself",
    "log rates": "logarithms of rates and applies exp itself",
    "scores": "scores, and not probabilities",
    "margins": "scores, and not probabilities",
}
_SQUASHING = ("softmax", "sigmoid", "log_softmax", "log_sigmoid", "logistic")


class Judged(Module):
    """A model beside a loss that has parameters of its own, which are trained with the model's."""

    def __init__(self, model: Module, loss: Module) -> None:
        self.model = model
        self.loss = loss

    def forward(self, *inputs: Value) -> Any:
        """Predict, as the model alone does."""
        return self.model(*inputs)


def judged(model: Module, loss: "str | Loss | Module") -> tuple[Module, Loss]:
    """Give what is trained and by which loss; a loss that is a module is trained too."""
    if not isinstance(model, Module):
        raise ConfigError(
            f"model={model!r}: expected an object of chainrule.nn.Module, such as "
            "nn.mlp([4, 16, 1]), or one of a class of your own that derives from it"
        )
    if not isinstance(loss, Module):
        return model, get_loss(loss)
    own = getattr(loss, "loss", None)
    if not isinstance(own, Loss):
        raise ConfigError(
            f"{type(loss).__name__} is no loss: a module that is one, such as nn.AdaptiveLoss, "
            "gives a Loss as its attribute `loss`"
        )
    return Judged(model, loss), own


def trained(model: Module) -> dict[str, Parameter]:
    """Give the parameters that are trained, by name."""
    named = dict(model.named_parameters())
    found = {name: p for name, p in named.items() if p.requires_grad}
    if named and not found:
        raise ConfigError(
            f"all {len(named)} parameters of the model are frozen, so that nothing is trained: "
            "call freeze(False) of the model or of a layer"
        )
    return found


def check_contract(model: Module, loss: Loss, rows: Rows, batch_size: int) -> None:
    """Raise if model, loss and rows cannot work together; nothing is trained yet."""
    if not len(rows):
        raise DataError("training needs at least one row, none was given")
    check_rows(rows)
    last = last_activation(model)
    if loss.output in _APPLIES and last in _SQUASHING:
        raise ConfigError(
            f"{loss.name} takes {_APPLIES[loss.output]}, but the model ends with {last}: "
            f'remove nn.Activation("{last}")'
        )
    _check_fit(model, loss, rows, batch_size)
    refused = lone_row(model, rows, batch_size)
    if refused:
        n = len(rows)
        raise ShapeError(
            f"batch_size={batch_size} leaves a batch of one of the {n} rows, which the model "
            f"refuses in training ({refused}): use batch_size={whole_batches(n, batch_size)}"
            if n > 1
            else f"there is only one row, which the model refuses in training ({refused})"
        )


def check_validation(model: Module, loss: Loss, rows: Rows) -> None:
    """Raise if validation rows do not fit the model and the loss."""
    if not len(rows):
        raise DataError("validation needs at least one row, none was given")
    check_rows(rows, "validation ")
    try:
        _check_fit(model, loss, rows, len(rows))
    except ChainruleError as error:
        raise type(error)(f"validation rows: {error}") from error


def _check_fit(model: Module, loss: Loss, rows: Rows, batch_size: int) -> None:
    """Raise unless the model takes the inputs, and the loss its prediction and all targets."""
    one = tuple(x[: min(2, batch_size)] for x in rows.inputs)
    with np.errstate(all="ignore"):
        prediction = value_of(model.evaluating()(*one))
    if not isinstance(prediction, np.ndarray):
        kind = type(prediction).__name__
        raise ConfigError(f"forward of the model gives a {kind}, expected one tensor")
    if prediction.dtype.kind != "f":
        raise DtypeError(f"the model gives {prediction.dtype}, expected floating-point numbers")
    # Every target is checked against the shape of one prediction.
    everywhere = np.broadcast_to(prediction[:1], (len(rows), *prediction.shape[1:]))
    loss.check(everywhere, rows.target)


def lone_row(model: Module, rows: Rows, batch_size: int) -> str:
    """Say why the model in training refuses a batch of one row, if the rows leave such a batch.

    The model is left as it is: a copy with the same tensors is asked.
    """
    if (len(rows) - 1) % batch_size:
        return ""
    shared: dict[int, Any] = {id(x): x for _, x in model.named_buffers()}
    shared |= {id(x): x for x in model.parameters()}
    row = [x[:1] for x in rows.inputs]
    try:
        asked = copy.deepcopy(model, shared).train()
        refused = _refusal(asked, row)
        alone = refused and not _refusal(asked, [np.repeat(x, 2, axis=0) for x in row])
    except Exception:  # a model that cannot be asked; what is wrong shows in the first step
        return ""
    return refused if alone else ""


def _refusal(model: Module, inputs: list[Array]) -> str:
    try:
        with tracing(), np.errstate(all="ignore"):
            model(*inputs)
    except ShapeError as error:
        return str(error)
    return ""


def whole_batches(rows: int, batch_size: int) -> int:
    """Give the batch size next to this one, below it if possible, that leaves no row alone.

    >>> whole_batches(201, 200), whole_batches(7, 3), whole_batches(5, 2)
    (199, 4, 3)
    """
    sizes = chain(range(batch_size - 1, 1, -1), range(batch_size + 1, rows + 1))
    return next(size for size in sizes if (rows - 1) % size)


def check_rows(rows: Rows, which: str = "") -> None:
    """Raise if inputs, targets or weights hold numbers that nothing can be learned from."""
    for i, x in enumerate(rows.inputs):
        _check_finite(f"{which}input {i}", x)
    _check_finite(f"{which}target", rows.target)
    check_weight(rows.weight)


def check_weight(weight: Array | None) -> None:
    """Raise if row weights are negative, not finite, or all zero."""
    if weight is None:
        return
    wrong = np.argwhere(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise DataError(
            f"weight {weight[at]} in row {at[0]}: expected a finite number of at least 0"
        )
    if not np.any(weight):
        raise DataError("all weights are zero: there is nothing to learn from")


def _check_finite(name: str, x: Array) -> None:
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":  # sparse rows were checked before
        return
    with np.errstate(all="ignore"):
        if np.isfinite(np.sum(x)):
            return
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        place = f"row {at[0]}" + (f", column {at[1]}" if len(at) > 1 else "")
        raise DataError(f"{name} has {x[at]} in {place}: fill or drop missing and infinite values")


def last_activation(model: Module) -> str | None:
    """Name of the activation that ends a model, if it is one that is known by name."""
    module: Module = model
    while isinstance(module, Sequential) and len(module):
        module = module[len(module) - 1]
    return module.name if isinstance(module, Activation) else None


def diverged(
    loss: Value,
    step: int,
    epoch: int,
    rate: float,
    value: float,
    model: Module | None = None,
    gradients: list[Array] | None = None,
) -> DivergedError:
    """Describe a loss or gradient that is not finite, and where it began."""
    what = "the loss" if loss is not None else "the gradient norm"
    where = _first_bad(loss) if isinstance(loss, Tensor) else _bad_gradient(model, gradients)
    error = DivergedError(
        f"{what} became {value} at step {step} (epoch {epoch}, learning rate {rate:.3g}){where}; "
        "the last good weights were kept. Lower the learning rate, clip the gradients "
        "(clip_norm=1.0), or scale the inputs"
    )
    error.step, error.epoch, error.learning_rate = step, epoch, rate  # type: ignore[attr-defined]
    return error


def _first_bad(loss: Tensor) -> str:
    """Name the op that first gave a number that is not finite from numbers that were."""
    for node in ancestors([loss]):
        if node.op is not None and not np.all(np.isfinite(node.value)):
            inside = f" in {node.scope.path()}" if node.scope else ""
            return f": first not finite was the result of {node.op.name}{inside}"
    return ""


def _bad_gradient(model: Module | None, gradients: Any) -> str:
    if model is None:
        return ""
    named = [name for name, p in model.named_parameters() if p.requires_grad]
    bad = [n for n, g in zip(named, gradients, strict=True) if not np.all(np.isfinite(g))]
    return f": not finite were the gradients of {', '.join(bad[:3])}" if bad else ""
