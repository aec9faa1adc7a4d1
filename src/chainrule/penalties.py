"""Penalties on weights: ridge, lasso and elastic net, for all layers or one by one.

`train(..., penalty=...)` takes a penalty for every weight matrix, or a mapping from layers to
penalties. Biases, and scales of normalization, are left alone unless they are named.

>>> from chainrule import nn, train
>>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(-1, 1)
>>> model = nn.mlp([1, 16, 1], "relu", seed=0)
>>> history = train(model, "mse", x, x**2, penalty={"0": L1(0.01), "2": L2(0.001)}, seed=0)
>>> bool((model[0].weight.value == 0).any())
True
>>> history.columns()[:3]
['epoch', 'loss', 'penalty']
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ConfigError, GraphError
from chainrule.graph import Tensor, Value, shape_of

PENALTIES: "dict[str, type[Penalty]]" = {}
"""Every penalty by name, in lower case."""


def penalty(cls: "type[Penalty]") -> "type[Penalty]":
    """Register a penalty under its name in lower case."""
    PENALTIES[cls.__name__.lower()] = cls
    return cls


@dataclass(frozen=True)
class Penalty:
    """What every penalty has: strengths of the sums of absolute values and of squares.

    The term that is added to the loss is l1 * sum |w| + l2 * sum w^2.
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("l1", "l2") and (
                isinstance(value, bool)
                or not isinstance(value, int | float | np.number)
                or not 0 <= value < np.inf
            ):
                raise ConfigError(
                    f"{type(self).__name__}({item.name}={value!r}): expected a number of at least 0"
                )

    @property
    def absolute(self) -> float:
        """Strength of the sum of absolute values."""
        return float(getattr(self, "l1", 0.0))

    @property
    def proximally(self) -> float:
        """Strength of the sum of absolute values, where a proximal step takes care of it."""
        return self.absolute if getattr(self, "proximal", False) else 0.0

    def term(self, w: Value) -> Value:
        """Give the term of one weight matrix; a part that has a proximal step has no gradient."""
        square, absolute = float(getattr(self, "l2", 0.0)), self.absolute
        parts: list[Value] = []
        if square:
            parts.append(ops.mul(ops.sum(ops.mul(w, w)), square))
        if absolute:
            seen = ops.stop_gradient(w) if self.proximally else w
            parts.append(ops.mul(ops.sum(ops.abs(seen)), absolute))
        return sum(parts[1:], parts[0]) if parts else ops.mul(ops.sum(w), 0.0)


@penalty
@dataclass(frozen=True)
class L2(Penalty):
    """Ridge: l2 * sum w^2, which pulls weights towards 0 in proportion (Hoerl and Kennard, 1970).

    With the loss "mse" of n rows, a linear neuron ends at (X^T X + n l2 I)^-1 X^T y. The factor is
    not halved: `weight_decay` of an optimizer is 2 * l2.

    >>> float(L2(0.5).term(np.array([1.0, -2.0])))
    2.5
    """

    l2: float = 0.01


@penalty
@dataclass(frozen=True)
class L1(Penalty):
    """Lasso: l1 * sum |w|, which makes weights exactly 0 (Tibshirani, 1996).

    After each step of the optimizer comes a proximal one (`soft_threshold`), by the rate times
    l1, and times the factor by which the optimizer scales a gradient (`Optimizer.gain`): iterative
    soft-thresholding (Daubechies et al., 2004), for adaptive optimizers as Yun et al. (2021) do.
    With `proximal=False` the gradient l1 sign(w) is followed instead, which makes weights small
    and never 0.

    >>> float(L1(0.5).term(np.array([1.0, -2.0])))
    1.5
    """

    l1: float = 0.01
    proximal: bool = True


@penalty
@dataclass(frozen=True)
class ElasticNet(Penalty):
    """Both: l1 * sum |w| + l2 * sum w^2 (Zou and Hastie, 2005).

    >>> float(ElasticNet(l1=0.5, l2=0.5).term(np.array([1.0, -2.0])))
    4.0
    """

    l1: float = 0.01
    l2: float = 0.01
    proximal: bool = True


def soft_threshold(x: Value, limit: Value) -> Value:
    """Move x towards 0 by limit, and to exactly 0 where |x| <= limit: the proximal step of L1.

    It is the w that makes (w - x)^2 / 2 + limit |w| least.

    >>> soft_threshold(np.array([-3.0, 0.5, 2.0]), 1.0)
    array([-2.,  0.,  1.])
    """
    shorter = ops.sub(x, ops.mul(ops.sign(x), limit))
    # A choice, and not x - clip(x): compiled code may round the two terms of that differently.
    return ops.where(ops.less(limit, ops.abs(x)), shorter, 0.0)


class Penalized:
    """The weights of a model and their penalties: the term of the loss, and what is thresholded.

    `given` is a `Penalty` for all weights, a mapping from names of layers or parameters to
    penalties (the longest name counts), a function of the number of rows in a batch, or of their
    total weight, or a list of these, which add up.
    """

    def __init__(self, given: Any, parameters: Mapping[str, Tensor]) -> None:
        self.functions: list[Callable[[Any], Value]] = []
        self.items: list[tuple[Tensor, Penalty]] = []
        for part in given if isinstance(given, list | tuple) else [given]:
            if isinstance(part, Mapping):
                self.items += _chosen(part, parameters)
            elif isinstance(part, Penalty):
                found = [(p, part) for name, p in parameters.items() if _is_weight(name, p)]
                if not found:
                    raise ConfigError(f"penalty={part}: the model has no weights that are trained")
                self.items += found
            else:
                self.functions.append(part)

    def term(self, rows: Any) -> Value:
        """Give what is added to the loss of a batch of so many rows."""
        terms = [function(rows) for function in self.functions]
        terms += [penalty.term(p) for p, penalty in self.items]
        term = sum(terms[1:], terms[0])
        if shape_of(term) != ():
            raise GraphError(f"the penalty has shape {shape_of(term)}, expected one number")
        return term

    @property
    def thresholds(self) -> dict[int, float]:
        """Strengths of the proximal step by the birth numbers of parameters."""
        found: dict[int, float] = {}
        for p, penalty in self.items:
            if penalty.proximally:
                found[p.birth] = found.get(p.birth, 0.0) + penalty.proximally
        return found


def check_penalty(given: Any) -> None:
    """Raise unless this can be a penalty."""
    if given is None:
        return
    parts = given if isinstance(given, list | tuple) else [given]
    if not parts or not all(_is_penalty(part) for part in parts):
        raise ConfigError(
            f"penalty={given!r}: expected a penalty such as chainrule.penalties.L2(0.01), a "
            'mapping such as {"0": chainrule.penalties.L1(0.01)} from names of layers, a function '
            "of the number of rows, or a list of these"
        )


def _is_penalty(part: Any) -> bool:
    if isinstance(part, Mapping):
        return bool(part) and all(
            isinstance(name, str) and isinstance(x, Penalty) for name, x in part.items()
        )
    return isinstance(part, Penalty) or (callable(part) and not isinstance(part, type))


def _is_weight(name: str, p: Tensor) -> bool:
    return len(p.shape) > 1 and name.rpartition(".")[2] != "bias"


def _chosen(
    given: Mapping[str, Penalty], parameters: Mapping[str, Tensor]
) -> list[tuple[Tensor, Penalty]]:
    used: set[str] = set()
    items = []
    for name, p in parameters.items():
        fits = [
            key
            for key in given
            if key == name or (_is_weight(name, p) and (not key or name.startswith(key + ".")))
        ]
        if fits:
            key = max(fits, key=len)
            used.add(key)
            items.append((p, given[key]))
    missing = sorted(set(given) - used)
    if missing:
        raise ConfigError(
            f"penalty: nothing that is trained is named {missing[0]!r}; there are "
            + ", ".join(parameters)
        )
    return items
