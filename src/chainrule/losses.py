"""Losses: one formula each; reduction, weights and checks are added by `@loss`.

Every loss is called as `loss(prediction, target, weight=None, reduction="mean")`. The mean with
weights is sum(w * l) / sum(w). Losses that end in logits take what the last layer gives, before a
sigmoid or softmax: that is where they keep all digits.

>>> from chainrule import losses
>>> losses.mse(np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 1.0])).round(8)
np.float64(0.07)
>>> losses.cross_entropy(np.array([[1.0, 2.0, 3.0]]), np.array([2])).round(8)
np.float64(0.40760596)
>>> losses.huber.having(delta=2.0)(np.array([10.0]), np.array([0.0]))
np.float64(18.0)
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Tensor, Value, scope, shape_of, value_of
from chainrule.loss_checks import check_classes, check_range, check_smoothing

REDUCTIONS = ("mean", "sum", "none")

LOSSES: dict[str, "Loss"] = {}
"""Every loss by name."""


class Loss:
    """A formula per sample, with its reduction, weights and checks.

    `output` says what a prediction is: "values", "logits" (one per class), "binary logits" (one
    per label), "probabilities", "binary probabilities", "margins" (one per label), "scores" (one
    per class) or "log rates". `target` says what a target is: "values", "classes" (whole numbers,
    or a probability per class), "labels" (0 to 1), "signs" (-1 and 1) or "counts".
    """

    def __init__(
        self,
        name: str,
        formula: Callable[..., Value],
        output: str,
        target: str,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.formula = formula
        self.output = output
        self.target = target
        self.settings = settings or {}
        self.__doc__ = formula.__doc__

    def having(self, **settings: Any) -> "Loss":
        """Give the same loss with other settings, such as `huber.having(delta=2.0)`."""
        known = self.formula.__kwdefaults__ or {}
        for key in settings:
            if key not in known:
                listed = ", ".join(known) or "no settings"
                raise ConfigError(f"loss {self.name} has no setting {key!r}; it has {listed}")
        return Loss(self.name, self.formula, self.output, self.target, self.settings | settings)

    def __reduce__(self) -> Any:
        """Pickle a registered loss by its name, another one by its formula."""
        known = LOSSES.get(self.name)
        if known is not None and known.formula is self.formula:
            return _with_settings, (self.name, self.settings)
        return Loss, (self.name, self.formula, self.output, self.target, self.settings)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"losses.{self.name}" + (f".having({settings})" if settings else "")

    def __call__(
        self,
        prediction: Value,
        target: Value,
        *,
        weight: Value = None,
        reduction: str = "mean",
        **settings: Any,
    ) -> Value:
        """Check the arguments, then compute the loss."""
        if reduction not in REDUCTIONS:
            raise ConfigError(f"reduction={reduction!r}, expected one of {REDUCTIONS}")
        chosen = self.having(**settings) if settings else self
        prediction, target = _array(prediction), _array(target)
        chosen.check(prediction, target)
        return chosen.value(prediction, target, weight, reduction)

    def value(
        self, prediction: Value, target: Value, weight: Value = None, reduction: str = "mean"
    ) -> Value:
        """Compute the loss without checks, as the training loop does after its first batch."""
        with scope(self.name):
            return self._reduced(prediction, target, weight, reduction)

    def _reduced(self, prediction: Value, target: Value, weight: Value, reduction: str) -> Value:
        each = self.formula(prediction, target, **self.settings)
        if reduction == "none":
            return each if weight is None else ops.mul(each, _aligned(weight, each))
        if weight is None:
            return ops.mean(each) if reduction == "mean" else ops.sum(each)
        ndim = len(shape_of(weight))
        trailing = tuple(range(ndim, len(shape_of(each))))
        if reduction == "sum":
            return ops.sum(ops.mul(ops.sum(each, trailing), weight))
        return ops.div(ops.sum(ops.mul(ops.mean(each, trailing), weight)), ops.sum(weight))

    def check(self, prediction: Value, target: Value) -> None:
        """Raise if predictions and targets do not fit this loss or each other."""
        given, expected = shape_of(prediction), shape_of(target)
        if self.output in ("logits", "probabilities", "scores"):
            check_classes(self.name, given, target)
        elif given != expected:
            message = f"{self.name}: predictions have shape {given}, targets {expected}"
            if given[:1] == expected[:1] and np.prod(given) == np.prod(expected):
                message += f"; broadcasting them would be wrong: target.reshape{given}"
            raise ShapeError(message)
        values = value_of(target)
        if values is not None:
            check_range(self.name, self.target, np.asarray(values))
        if "probabilities" in self.output and value_of(prediction) is not None:
            check_range(self.name + " predictions", "labels", np.asarray(value_of(prediction)))


def _with_settings(name: str, settings: dict[str, Any]) -> "Loss":
    return LOSSES[name].having(**settings)


def _array(x: Value) -> Value:
    return x if isinstance(x, Tensor) else np.asarray(x)


def _aligned(weight: Value, each: Value) -> Value:
    shape = shape_of(weight)
    return ops.reshape(weight, (*shape, *[1] * (len(shape_of(each)) - len(shape))))


def loss(output: str, target: str) -> Callable[[Callable[..., Value]], Loss]:
    """Make a loss of a formula, and register it under the name of the function."""

    def register(formula: Callable[..., Value]) -> Loss:
        made = Loss(formula.__name__, formula, output, target)
        LOSSES[made.name] = made
        return made

    return register


def get_loss(name: "str | Loss") -> Loss:
    """Look a loss up by name; a loss is returned as it is.

    >>> get_loss("mae")
    losses.mae
    """
    if isinstance(name, Loss):
        return name
    if name not in LOSSES:
        raise ConfigError(f"loss {name!r} does not exist; there are {', '.join(sorted(LOSSES))}")
    return LOSSES[name]


@loss(output="values", target="values")
def mse(prediction: Value, target: Value) -> Value:
    """Squared error (p - t)^2, whose mean is least at the mean of the targets."""
    d = ops.sub(prediction, target)
    return ops.mul(d, d)


@loss(output="values", target="values")
def half_squared_error(prediction: Value, target: Value) -> Value:
    """Half of the squared error, (p - t)^2 / 2, whose gradient is p - t."""
    d = ops.sub(prediction, target)
    return ops.mul(ops.mul(d, d), 0.5)


@loss(output="values", target="values")
def mae(prediction: Value, target: Value) -> Value:
    """Absolute error |p - t|, least at the median; its gradient at 0 is 0."""
    return ops.abs(ops.sub(prediction, target))


@loss(output="values", target="values")
def huber(prediction: Value, target: Value, *, delta: float = 1.0) -> Value:
    """Give d^2 / 2 for |d| <= delta, else delta (|d| - delta / 2) (Huber, 1964)."""
    d = ops.abs(ops.sub(prediction, target))
    small = ops.minimum(d, delta)
    return ops.add(ops.mul(ops.mul(small, small), 0.5), ops.mul(ops.sub(d, small), delta))


@loss(output="values", target="values")
def quantile(prediction: Value, target: Value, *, q: float = 0.5) -> Value:
    """Pinball loss max(q d, (q - 1) d) of d = t - p, least at the q-quantile."""
    d = ops.sub(target, prediction)
    return ops.maximum(ops.mul(d, q), ops.mul(d, q - 1))


@loss(output="values", target="values")
def adaptive(prediction: Value, target: Value, *, alpha: Value = 1.0, scale: Value = 1.0) -> Value:
    """General robust loss of Barron (2019) of d = (p - t) / scale.

    |a - 2| / a * ((d^2 / |a - 2| + 1)^(a / 2) - 1), with its limits at a = 2 (half squared
    error), a = 0 (log(d^2 / 2 + 1)) and a = -inf (1 - exp(-d^2 / 2)). `nn.AdaptiveLoss` learns
    alpha and scale.
    """
    d = ops.div(ops.sub(prediction, target), scale)
    s = ops.mul(d, d)
    if not isinstance(alpha, Tensor) and np.ndim(alpha) == 0:
        if alpha == 2:
            return ops.mul(s, 0.5)
        if alpha == 0:
            return ops.log1p(ops.mul(s, 0.5))
        if alpha == -np.inf:
            return ops.neg(ops.expm1(ops.mul(s, -0.5)))
    tiny = 1e-6  # a learned alpha keeps this distance from 0 and 2, where the formula is 0 / 0
    far = ops.abs(ops.sub(alpha, 2.0))
    b = ops.add(ops.maximum(far, tiny), 0.0)
    near = ops.less(ops.abs(alpha), tiny)
    a = ops.where(near, tiny, alpha)
    power = ops.expm1(ops.mul(ops.mul(a, 0.5), ops.log1p(ops.div(s, b))))
    return ops.mul(ops.div(b, a), power)


@loss(output="log rates", target="counts")
def poisson(prediction: Value, target: Value) -> Value:
    """Half of the Poisson deviance of counts t whose rate is exp(p).

    t log(t) - t p - t + exp(p), which is 0 where exp(p) = t.
    """
    t = target
    positive = ops.less(0.0, t)
    own = ops.where(positive, ops.mul(t, ops.log(ops.where(positive, t, 1.0))), 0.0)
    return ops.add(ops.sub(ops.sub(own, ops.mul(t, prediction)), t), ops.exp(prediction))


@loss(output="binary logits", target="labels")
def binary_cross_entropy_with_logits(
    prediction: Value,
    target: Value,
    *,
    positive_weight: Value = 1.0,
    label_smoothing: float = 0.0,
) -> Value:
    """Cross-entropy of labels 0 to 1 against sigmoid(z): t softplus(-z) + (1 - t) softplus(z).

    A softmax or sigmoid before it is wrong. For several labels per row, one logit each;
    `positive_weight` multiplies the first term, by one number or by one per label.
    `label_smoothing` e moves labels towards 1/2: (1 - e) t + e / 2.
    """
    if check_smoothing(label_smoothing):
        target = ops.add(ops.mul(target, 1 - label_smoothing), label_smoothing / 2)
    # A label of exactly 0 or 1 takes no part of the other branch, which may be infinite.
    yes = ops.where(ops.less(0.0, target), ops.softplus(ops.neg(prediction)), 0.0)
    no = ops.where(ops.less(target, 1.0), ops.softplus(prediction), 0.0)
    share = ops.mul(target, positive_weight)
    return ops.add(ops.mul(share, yes), ops.mul(ops.sub(1.0, target), no))


@loss(output="binary probabilities", target="labels")
def binary_cross_entropy(prediction: Value, target: Value) -> Value:
    """Cross-entropy -t log(p) - (1 - t) log(1 - p) of probabilities; 0 log 0 is 0.

    The logarithm is kept above -100, as PyTorch does, so that a sure mistake stays finite.
    """
    yes = ops.mul(target, _bounded_log(prediction))
    no = ops.mul(ops.sub(1.0, target), _bounded_log(ops.sub(1.0, prediction)))
    return ops.neg(ops.add(yes, no))


def _bounded_log(p: Value) -> Value:
    """Give log(p), or -100 where that is larger, as for p = 0."""
    positive = ops.less(0.0, p)
    log = ops.log(ops.where(positive, p, 1.0))
    return ops.where(positive, ops.maximum(log, -100.0), -100.0)


@loss(output="probabilities", target="classes")
def categorical_cross_entropy(prediction: Value, target: Value) -> Value:
    """Cross-entropy -sum_j t_j log(p_j) of probabilities that a softmax gave; 0 log 0 is 0."""
    if target.dtype.kind in "iub":
        return ops.neg(_bounded_log(_pick(prediction, target)))
    return ops.neg(ops.sum(ops.mul(target, _bounded_log(prediction)), axis=-1))


@loss(output="logits", target="classes")
def cross_entropy(
    prediction: Value, target: Value, *, label_smoothing: float = 0.0, class_weight: Value = None
) -> Value:
    """Cross-entropy -log softmax(z)_t of class numbers t, or -sum_j t_j log softmax(z)_j.

    `label_smoothing` e mixes the target with the uniform distribution: (1 - e) t + e / classes.
    `class_weight` multiplies the loss of each class; the estimators turn it into sample weights.
    """
    log_p = ops.log_softmax(prediction)
    if class_weight is not None:
        class_weight = ops.cast(class_weight, dtype=log_p.dtype)
    if target.dtype.kind in "iub":
        hit = ops.neg(_pick(log_p, target))
        weight = None if class_weight is None else ops.take(class_weight, target)
    else:
        # A class of probability 0 takes no part, even where its logit is minus infinity.
        parts = ops.mul(target, ops.where(ops.equal(target, 0.0), 0.0, log_p))
        parts = parts if class_weight is None else ops.mul(parts, class_weight)
        hit, weight = ops.neg(ops.sum(parts, axis=-1)), None
    if weight is not None:
        hit = ops.mul(hit, weight)
    if not check_smoothing(label_smoothing):
        return hit
    spread = log_p if class_weight is None else ops.mul(log_p, class_weight)
    even = ops.neg(ops.mean(spread, axis=-1))
    return ops.add(ops.mul(hit, 1 - label_smoothing), ops.mul(even, label_smoothing))


def _pick(x: Value, classes: Value) -> Value:
    """Entry of each row at its class number."""
    shape = shape_of(classes)
    return ops.reshape(ops.take_along(x, ops.reshape(classes, (*shape, 1)), -1), shape)


@loss(output="logits", target="classes")
def focal(prediction: Value, target: Value, *, gamma: float = 2.0, alpha: Value = None) -> Value:
    """-alpha_t (1 - p_t)^gamma log(p_t): well-classified rows count less (Lin et al., 2017).

    `alpha` has a number per class; without it each counts as 1.
    """
    log_p = ops.log_softmax(prediction)
    if alpha is not None:
        alpha = ops.cast(_array(alpha), dtype=log_p.dtype)
    if target.dtype.kind in "iub":
        hit = _focus(_pick(log_p, target), gamma)
        return hit if alpha is None else ops.mul(hit, ops.take(alpha, target))
    share = target if alpha is None else ops.mul(target, alpha)
    return ops.sum(ops.mul(share, _focus(log_p, gamma)), axis=-1)


@loss(output="binary logits", target="labels")
def binary_focal(
    prediction: Value, target: Value, *, gamma: float = 2.0, alpha: float | None = None
) -> Value:
    """Focal loss of labels 0 to 1, one logit each; `alpha` weighs label 1 (Lin et al., 2017)."""
    yes = _focus(ops.neg(ops.softplus(ops.neg(prediction))), gamma)
    no = _focus(ops.neg(ops.softplus(prediction)), gamma)
    if alpha is not None:
        yes, no = ops.mul(yes, alpha), ops.mul(no, 1 - alpha)
    return ops.add(ops.mul(target, yes), ops.mul(ops.sub(1.0, target), no))


def _focus(log_p: Value, gamma: float) -> Value:
    return ops.neg(ops.mul(ops.pow(ops.neg(ops.expm1(log_p)), gamma), log_p))


@loss(output="margins", target="signs")
def hinge(prediction: Value, target: Value) -> Value:
    """max(0, 1 - t s) of a score s and a label t of -1 or 1."""
    return ops.maximum(0.0, ops.sub(1.0, ops.mul(target, prediction)))


@loss(output="scores", target="classes")
def multiclass_hinge(prediction: Value, target: Value, *, variant: str = "crammer-singer") -> Value:
    """max(0, 1 + s_j - s_t) over the wrong classes j: the largest, or the sum of all.

    "crammer-singer" (2001) takes the largest, "weston-watkins" (1999) the sum.
    """
    if variant not in ("crammer-singer", "weston-watkins"):
        raise ConfigError(f"variant={variant!r}, expected 'crammer-singer' or 'weston-watkins'")
    classes = shape_of(prediction)[-1]
    own = ops.equal(ops.reshape(target, (*shape_of(target), 1)), np.arange(classes))
    right = ops.sum(ops.where(own, prediction, 0.0), axis=-1, keepdims=True)
    margins = ops.where(own, 0.0, ops.maximum(0.0, ops.add(ops.sub(prediction, right), 1.0)))
    return ops.max(margins, axis=-1) if variant == "crammer-singer" else ops.sum(margins, axis=-1)
