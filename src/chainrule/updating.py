"""An optimizer at work: gradients clipped, parameters updated, averages kept.

>>> from chainrule import optim, tensor
>>> w = tensor([3.0], requires_grad=True)
>>> updater = Updater([w], optim.SGD(lr=0.5))
>>> (w * w).sum().backward()
>>> updater.step()
>>> w
tensor([0.], requires_grad=True)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from chainrule import ops
from chainrule.dims import product
from chainrule.errors import ConfigError
from chainrule.graph import Array, Tensor, Value, scope
from chainrule.penalties import soft_threshold

if TYPE_CHECKING:
    from chainrule.optim import Optimizer


_MANY = 100_000
"""Elements of a matrix from which on its rows are summed first: threads share them."""


def clip_by_norm(gradients: list[Array], limit: float) -> tuple[list[Array], float]:
    """Scale gradients down together so that their joint length is at most `limit`.

    Gives the gradients and the length before. A length that is not finite is left for the caller
    to act on: nothing is scaled.

    >>> clip_by_norm([np.array([30.0, 40.0])], 5.0)
    ([array([3., 4.])], 50.0)
    """
    length = global_norm(gradients)
    if not np.isfinite(length) or length <= limit:
        return gradients, length
    return [(g * np.asarray(limit / length, g.dtype)) for g in gradients], length


def clip_by_value(gradients: list[Array], limit: float) -> list[Array]:
    """Limit every element of every gradient to [-limit, limit].

    >>> clip_by_value([np.array([30.0, -2.0])], 5.0)
    [array([ 5., -2.])]
    """
    return [np.clip(g, -limit, limit) for g in gradients]


def global_norm(gradients: list[Array]) -> float:
    """Length of all gradients taken as one vector, computed in float64."""
    with np.errstate(over="ignore"):
        doubles = (np.asarray(g, np.float64) for g in gradients)
        return float(np.sqrt(sum(float(np.vdot(g, g)) for g in doubles)))


def squares_of(x: Value) -> Any:
    """Give the sum of squares, in float64."""
    double = ops.cast(x, dtype=np.dtype(np.float64))
    square = ops.mul(double, double)
    if product(x.shape) > _MANY and x.ndim > 1:
        square = ops.sum(square, axis=tuple(range(1, x.ndim)))
    return ops.sum(square)


def norm_of(gradients: Sequence[Tensor]) -> Tensor:
    """Give what `global_norm` computes, in a trace."""
    with scope("gradient norm"):
        squares = [squares_of(g) for g in gradients]
        return ops.sqrt(sum(squares[1:], start=squares[0]))  # type: ignore[no-any-return]


def scale_of(norm: Tensor, limit: float) -> Tensor:
    """Give the factor that makes the gradients at most `limit` long together, in a trace."""
    with scope("clip norm"):
        return ops.where(ops.less(limit, norm), ops.div(limit, norm), 1.0)  # type: ignore[no-any-return]


@dataclass
class MovingAverage:
    """Exponentially weighted average: v = beta v + (1 - beta) x, corrected by 1 / (1 - beta^t).

    The average looks back over about 1 / (1 - beta) values.

    >>> average = MovingAverage(0.9)
    >>> [round(float(average.update(x)), 8) for x in (1.0, 2.0, 3.0)]
    [1.0, 1.52631579, 2.0701107]
    >>> round(float(average.raw), 3)
    0.561
    """

    beta: float = 0.9
    raw: Any = 0.0
    t: int = 0

    def update(self, x: Any) -> Any:
        """Take the next value in, and give the corrected average."""
        self.t += 1
        self.raw = self.beta * self.raw + (1 - self.beta) * x
        return self.value

    @property
    def value(self) -> Any:
        """The average, corrected for its start at 0."""
        return self.raw / (1 - self.beta**self.t) if self.t else self.raw


def advance(
    optimizer: "Optimizer",
    p: Value,
    g: Value,
    state: dict[str, Any],
    t: Any,
    lr: Any,
    threshold: float,
) -> tuple[Value, dict[str, Any]]:
    """Give the new value and state of a parameter: the optimizer's step, then the proximal one."""
    new, after = optimizer.update(p, g, state, t, lr)
    if threshold:
        new = soft_threshold(new, ops.mul(optimizer.gain(after, t), lr * threshold))
    return new, after


Groups: TypeAlias = Iterable[tuple[Iterable[Tensor], Mapping[str, float]]]

_GROUPS = 'expected pairs of a list of parameters and their settings, such as ' \
          'groups=[([model[0].bias], {"weight_decay": 0.0})]'  # fmt: skip


def as_groups(given: Any) -> list[tuple[list[Tensor], dict[str, float]]]:
    """Check groups of parameters with settings of their own, and make lists of them.

    >>> from chainrule import tensor
    >>> as_groups([(tensor([1.0]), {"lr": 0.1})])
    Traceback (most recent call last):
    ...
    chainrule.errors.ConfigError: groups: a tensor stands where a list of parameters should: \
expected pairs of a list of parameters and their settings, such as \
groups=[([model[0].bias], {"weight_decay": 0.0})]
    """
    pairs = list(given) if isinstance(given, Iterable) else [given]
    found = []
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[1], Mapping)):
            raise ConfigError(f"groups: got a {type(pair).__name__}: {_GROUPS}")
        members, change = pair
        if isinstance(members, Tensor) or not isinstance(members, Iterable):
            kind = "tensor" if isinstance(members, Tensor) else type(members).__name__
            raise ConfigError(
                f"groups: a {kind} stands where a list of parameters should: {_GROUPS}"
            )
        members = list(members)
        for p in members:
            if not isinstance(p, Tensor):
                raise ConfigError(f"groups: {p!r} is no parameter: {_GROUPS}")
        found.append((members, dict(change)))
    return found


def _settings(
    parameters: list[Tensor], optimizer: "Optimizer", groups: Groups
) -> dict[int, dict[str, float]]:
    """Give the changed settings of parameters by their birth numbers; frozen ones have none."""
    births = {p.birth for p in parameters}
    known = {item.name for item in fields(optimizer) if item.init}
    found: dict[int, dict[str, float]] = {}
    for chosen, change in as_groups(groups):
        for name in sorted(set(change) - known):
            raise ConfigError(f"{type(optimizer).__name__} has no setting {name!r}")
        for p in chosen:
            if p.requires_grad and p.birth not in births:
                raise ConfigError(
                    f"groups: a tensor of shape {p.shape} is none of those that are trained: "
                    f"{_GROUPS}"
                )
            found[p.birth] = change
    return found


class Updater:
    """An optimizer at work on parameters: it keeps their state and the number of the step.

    `groups` may give the settings of some parameters another value, such as
    `[([bias], {"lr": 0.001, "weight_decay": 0.0})]`; the rest follow the optimizer, and frozen ones
    are skipped. Parameters of one group are updated as one long array, which is faster than one by
    one. `thresholds` gives the strength of an L1 penalty by the birth numbers of parameters.
    """

    def __init__(
        self,
        parameters: list[Tensor],
        optimizer: "Optimizer",
        groups: Groups | None = None,
        thresholds: Mapping[int, float] | None = None,
    ) -> None:
        parameters = list(parameters)
        _check_parameters(parameters)
        self.optimizer = optimizer
        self.parameters = parameters
        self.t = 0
        settings = _settings(parameters, optimizer, groups or [])
        self.blocks: list[_Block] = []
        found: dict[Any, list[int]] = {}
        for i, p in enumerate(parameters):
            change = settings.get(p.birth, {})
            limit = (thresholds or {}).get(p.birth, 0.0)
            found.setdefault((p.dtype, limit, tuple(sorted(change.items()))), []).append(i)
        for (_, limit, items), members in found.items():
            self.blocks.append(_Block(parameters, members, optimizer, dict(items), limit))

    def step(self, gradients: list[Array] | None = None, factor: float = 1.0) -> None:
        """Update every parameter; without gradients, from `grad`, which is then cleared.

        `factor` multiplies the learning rate, as a schedule does.
        """
        if gradients is None:
            gradients = [
                np.zeros_like(p.value) if p.grad is None else p.grad.value for p in self.parameters
            ]
            for p in self.parameters:
                p.grad = None
        self.t += 1
        for block in self.blocks:
            block.step(gradients, self.t, factor)

    def state_dict(self) -> dict[str, Any]:
        """Give the step number and the state arrays, for a checkpoint."""
        arrays = {
            f"{i}.{name}": value
            for i, block in enumerate(self.blocks)
            for name, value in block.state.items()
        }
        return {"t": self.t, "arrays": arrays}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        expected = self.state_dict()["arrays"]
        given = state["arrays"]
        if {k: np.shape(v) for k, v in given.items()} != {
            k: np.shape(v) for k, v in expected.items()
        }:
            raise ConfigError("the optimizer state belongs to other parameters or settings")
        self.t = int(state["t"])
        for i, block in enumerate(self.blocks):
            block.state = {
                name: np.array(given[f"{i}.{name}"], dtype=np.asarray(value).dtype)
                for name, value in block.state.items()
            }


class _Block:
    """Parameters of equal settings, side by side in one array."""

    def __init__(
        self,
        parameters: list[Tensor],
        members: list[int],
        optimizer: "Optimizer",
        change: dict[str, float],
        threshold: float,
    ) -> None:
        self.members = members
        self.threshold = threshold
        self.parameters = [parameters[i] for i in members]
        kept = {item.name: getattr(optimizer, item.name) for item in fields(optimizer) if item.init}
        self.optimizer = type(optimizer)(**(kept | change))
        self.sizes = np.cumsum([p.value.size for p in self.parameters])[:-1]
        self.views: list[Array] = []
        self.flat: Array | None = None  # gathered at the first step
        first = self.parameters[0]
        count = sum(p.value.size for p in self.parameters)
        like = np.broadcast_to(np.zeros((), first.dtype), (count,))
        self.state = {name: np.asarray(x) for name, x in self.optimizer.init(like).items()}

    def piece(self, array: Array, place: int) -> Array:
        """Give the part of a state array that belongs to one of the parameters."""
        start = 0 if place == 0 else int(self.sizes[place - 1])
        p = self.parameters[place]
        return array[start : start + p.size].reshape(p.shape)

    def _gather(self) -> Array:
        """Put the values side by side; needed again when somebody assigned a parameter."""
        return np.concatenate([np.ravel(p.value) for p in self.parameters])

    def step(self, gradients: list[Array], t: int, factor: float) -> None:
        values = [p.value for p in self.parameters]
        if not self.views or any(v is not w for v, w in zip(values, self.views, strict=True)):
            self.flat = self._gather()
        flat_g = np.concatenate([np.ravel(gradients[i]) for i in self.members])
        with np.errstate(over="ignore", invalid="ignore"):
            rate = self.optimizer.lr * factor
            self.flat, self.state = advance(
                self.optimizer, self.flat, flat_g, self.state, t, rate, self.threshold
            )
        pieces = np.split(self.flat, self.sizes)
        self.views = [
            piece.reshape(p.shape) for piece, p in zip(pieces, self.parameters, strict=True)
        ]
        for p, view in zip(self.parameters, self.views, strict=True):
            p.renew(view)


def _check_parameters(parameters: list[Tensor]) -> None:
    if not parameters:
        raise ConfigError("an optimizer needs parameters, an empty list was given")
    if len({p.birth for p in parameters}) != len(parameters):
        raise ConfigError("a parameter was given twice; shared weights are to be listed once")
    for i, p in enumerate(parameters):
        if p.op is not None or not p.requires_grad:
            raise ConfigError(
                f"parameter {i} of shape {p.shape} is no leaf that requires a gradient: an "
                "optimizer updates tensor(data, requires_grad=True) or nn.Parameter"
            )
