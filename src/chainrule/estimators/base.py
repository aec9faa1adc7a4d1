"""What the estimators share: labels, weights, losses by task, and sparse rows.

>>> targets = Targets.of_labels(np.array(["b", "a", "b"]))
>>> targets.task, targets.outputs, targets.encode(np.array(["a", "b"]))
('binary', 1, array([[0.],
       [1.]]))
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from chainrule import ops
from chainrule.checkpoint import Checkpoint
from chainrule.contract import lone_row, whole_batches
from chainrule.data import Rows
from chainrule.errors import ConfigError, DataError
from chainrule.graph import Array, Value, shape_of
from chainrule.loss_checks import check_smoothing
from chainrule.losses import LOSSES, Loss, get_loss
from chainrule.nn.module import Module
from chainrule.plan import Score
from chainrule.targets import Labels


@dataclass(frozen=True)
class Targets:
    """The labels of a classification: "one", "binary", "multiclass" or "multilabel"."""

    task: str
    classes: Array

    @classmethod
    def of_labels(cls, y: Any) -> "Targets":
        """Find the task and the classes of labels."""
        if getattr(y, "ndim", 1) == 2 and type_of_target(y) == "multilabel-indicator":
            return cls("multilabel", np.arange(y.shape[1]))
        if isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iu":
            classes = np.unique(y)
            if 2 * len(classes) < len(y):  # nothing that scikit-learn's checks, below, would say
                return cls.of_classes(classes)
        classes = unique_labels(y)  # refuses missing and mixed labels, and names the row
        check_classification_targets(y)
        return cls.of_classes(classes)

    @classmethod
    def of_classes(cls, classes: Array) -> "Targets":
        """Give the task that the number of classes makes."""
        return cls({1: "one", 2: "binary"}.get(len(classes), "multiclass"), classes)

    @property
    def outputs(self) -> int:
        """Give the number of units of the last layer, one for two classes."""
        return 1 if self.task in ("one", "binary") else len(self.classes)

    def codes(self, y: Any) -> Array:
        """Give the position of each label among the classes."""
        return Labels(self.classes).transform(y)

    def encode(self, y: Any, dtype: Any = np.float64) -> Array:
        """Turn labels into targets: columns of 0 and 1, or class numbers for several classes."""
        if self.task == "multilabel":
            dense = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
            return dense.astype(dtype)
        codes = self.codes(y)
        return codes if self.task == "multiclass" else codes.astype(dtype).reshape(-1, 1)

    def probabilities(self, raw: Array, loss: Loss) -> Array:
        """Turn what the model gives into a probability per class, or per label."""
        if self.task == "one":
            one: Array = ops.broadcast_to(np.ones((), raw.dtype), (shape_of(raw)[0], 1))
            return one
        if loss.output in ("margins", "scores"):
            raise AttributeError(
                f"loss {loss.name} gives scores and no probabilities; use loss='log_loss' for "
                "predict_proba"
            )
        if loss.output in ("logits", "probabilities"):
            several: Array = ops.softmax(raw) if loss.output == "logits" else raw
            return several
        p: Array = ops.sigmoid(raw) if loss.output == "binary logits" else raw
        both: Array = p if self.task == "multilabel" else ops.concat([1 - p, p], axis=1)
        return both

    def accuracy(self, raw: Array, target: Array, loss: Loss, weight: Array | None = None) -> float:
        """Give the share of rows, or of their weight, whose labels are right.

        It is NaN where an output is not finite.
        """
        if not np.isfinite(raw).all():
            return float("nan")
        if self.task == "multiclass":
            right = raw.argmax(axis=1) == target
        else:
            right = ((raw > self._threshold(loss)) == (target > 0.5)).all(axis=1)
        return float(np.average(right, weights=weight))

    @staticmethod
    def _threshold(loss: Loss) -> float:
        return 0.5 if loss.output == "binary probabilities" else 0.0

    def decide(self, raw: Array, loss: Loss) -> Array:
        """Turn what the model gives into labels."""
        found = self.positions(raw, loss)
        labels: Array = found if self.task == "multilabel" else self.classes[found]
        return labels

    def positions(self, raw: Value, loss: Loss) -> Value:
        """Turn what the model gives into places of classes, or into 0 and 1 for each label."""
        if loss.output in ("logits", "probabilities", "scores"):
            return ops.argmax(raw, axis=1)
        yes = ops.cast(ops.less(self._threshold(loss), raw), dtype=np.dtype(int))
        if self.task == "multilabel":
            return yes
        return ops.mul(yes[:, 0], 0) if self.task == "one" else yes[:, 0]


def unique_labels(y: Any) -> Array:
    """Give the sorted classes, or refuse labels that cannot be sorted or are missing."""
    classes = Labels.fit(y).classes
    given = getattr(y, "dtype", None)
    return classes.astype(given) if getattr(given, "kind", "") == "U" else classes


_BINARY = {"log_loss": "binary_cross_entropy_with_logits", "focal": "binary_focal"}
_SEVERAL = {"log_loss": "cross_entropy", "hinge": "multiclass_hinge", "binary_focal": "focal"}
_REGRESSION = {"squared_error": "half_squared_error", "absolute_error": "mae"}


def classification_loss(loss: Any, task: str, label_smoothing: float = 0.0) -> Loss:
    """Choose the form of a loss for the task: for two classes, several, or several labels."""
    allowed = ("logits", "binary logits", "margins", "scores")
    names = _SEVERAL if task == "multiclass" else _BINARY
    name = names.get(loss, loss) if isinstance(loss, str) else loss
    chosen = _own(name, "logits" if task == "multiclass" else "binary logits")
    fits = ("logits", "scores") if task == "multiclass" else ("binary logits", "margins")
    if chosen.output not in fits:
        known = sorted({"log_loss", *(n for n, x in LOSSES.items() if x.output in allowed)})
        raise ConfigError(
            f"loss {chosen.name} does not fit {task} labels; losses for classes are "
            f"{', '.join(known)}"
        )
    if check_smoothing(label_smoothing):
        chosen = chosen.having(label_smoothing=label_smoothing)
    return summed(chosen) if task != "multiclass" else chosen


def regression_loss(loss: Any) -> Loss:
    """Choose a loss for numbers; several outputs add up."""
    name = _REGRESSION.get(loss, loss) if isinstance(loss, str) else loss
    chosen = _own(name, "values")
    if chosen.output not in ("values", "log rates"):
        known = ", ".join(n for n, x in LOSSES.items() if x.output in ("values", "log rates"))
        raise ConfigError(f"loss {chosen.name} is not for numbers; expected squared_error, {known}")
    return summed(chosen)


def _own(loss: Any, output: str) -> Loss:
    """Make a loss of a function of (prediction, target) that gives a number per row."""
    if isinstance(loss, str | Loss):
        return get_loss(loss)
    if isinstance(loss, Module):
        raise ConfigError(
            f"loss={loss!r} has parameters of its own, which estimators do not train: train a "
            "module with chainrule.train(model, loss, X, y), or take loss='adaptive'"
        )
    if not callable(loss):
        raise ConfigError(f"loss={loss!r}: expected a name, a chainrule.losses.Loss or a function")
    target = "classes" if output == "logits" else "values"
    return Loss(getattr(loss, "__name__", "loss"), loss, output, target)


def summed(loss: Loss) -> Loss:
    """Give the loss that adds up the outputs of a row, so that it is one number per row."""
    kind = "labels" if loss.target == "signs" else loss.target
    return Loss(loss.name, _SumOfOutputs(loss), loss.output, kind)


class _SumOfOutputs:
    """The formula of another loss, added up over the outputs; labels 0 and 1 become signs."""

    __kwdefaults__ = None

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.__name__ = loss.name

    def __call__(self, prediction: Value, target: Value) -> Value:
        if self.loss.target == "signs":
            target = ops.sub(ops.mul(target, 2.0), 1.0)
        each = self.loss.formula(prediction, target, **self.loss.settings)
        return ops.sum(each, axis=-1) if len(each.shape) > 1 else each


def inverse_link(raw: Value, loss: Loss) -> Any:
    """Turn what the model gives into the number that is predicted."""
    return ops.exp(raw) if loss.output == "log rates" else raw


def row_weights(
    sample_weight: Array | None, class_weight: Any, y: Any, dtype: Any = np.float64
) -> Array | None:
    """Multiply the weights of rows and classes."""
    if class_weight is None:
        return None if sample_weight is None else np.asarray(sample_weight, dtype)
    weights = compute_sample_weight(class_weight, y)
    if sample_weight is not None:
        weights = weights * sample_weight
    return np.asarray(weights, dtype)


class SparseRows:
    """A scipy sparse matrix whose rows become dense only when a batch takes them."""

    def __init__(self, matrix: Any, dtype: Any) -> None:
        self.matrix = matrix.tocsr()
        self.dtype = np.dtype(dtype)
        self.shape = matrix.shape
        self.ndim = 2

    def __len__(self) -> int:
        return int(self.shape[0])

    def take(self, rows: Array, axis: int = 0) -> "SparseRows":
        """Give some of the rows, still sparse, as `numpy.ndarray.take` does."""
        return SparseRows(self.matrix[rows], self.dtype)

    def __getitem__(self, rows: Any) -> Array:
        return self.matrix[rows].toarray().astype(self.dtype)  # type: ignore[no-any-return]


def dense_rows(X: Any, dtype: Any = None) -> Any:
    """Give rows that batches can be taken from, whether dense or sparse."""
    if hasattr(X, "tocsr"):
        return SparseRows(X, dtype or X.dtype)
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused by row
        return np.asarray(X, dtype=dtype)


def seed_of(random_state: Any, checkpoint: Checkpoint | None) -> int:
    """Give the seed of a training: where there is none, that of the checkpoint it goes on from."""
    known = checkpoint.seed() if checkpoint is not None and random_state is None else None
    return int(check_random_state(random_state).randint(2**31)) if known is None else known


def pair(validation_data: Any) -> tuple[Any, Any]:
    """Check that validation data are a pair (X, y)."""
    if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
        raise DataError("validation_data: expected a tuple (X, y)")
    return validation_data[0], validation_data[1]


def r_squared(prediction: Array, target: Array, weight: Array | None = None) -> float:
    """R² of predictions, of rows with these weights if given; NaN where one is not finite."""
    if not np.isfinite(prediction).all():
        return float("nan")
    return float(r2_score(target, prediction, sample_weight=weight))


def weighted(score: Callable[..., float], rows: Rows | None) -> Score:
    """Give a score of (prediction, target) that counts these rows by their weights, if any."""
    if rows is None or rows.weight is None:
        return score
    return update_wrapper(partial(score, weight=rows.weight), score)


def fitting_batch_size(module: Module, rows: Rows, batch_size: int, *, warn: bool) -> int:
    """Give the batch size, or one next to it if it leaves a row alone that the module refuses."""
    n = len(rows)
    if not (1 < batch_size < n and lone_row(module, rows, batch_size)):
        return batch_size
    fitting = whole_batches(n, batch_size)
    if warn:
        warnings.warn(
            f"batch_size={batch_size} leaves a batch of one of the {n} rows, which the module "
            f"refuses in training: batches are of {fitting} rows",
            stacklevel=6,
        )
    return fitting
