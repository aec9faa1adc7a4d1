"""Checks and sums that the metrics share: what is refused, and with which words.

>>> import numpy as np
>>> weighted_mean(np.array([1.0, 0.0]), [3.0, 1.0])
0.75
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import DataError, ShapeError

Array = NDArray[Any]
Floats = NDArray[np.float64]


def weighted_mean(values: Array, sample_weight: ArrayLike | None) -> float:
    """Mean over rows: ``sum(w * values) / sum(w)``."""
    return float(np.average(values, weights=row_weights(sample_weight, len(values))))


def row_weights(sample_weight: ArrayLike | None, rows: int) -> Floats:
    """One number per row: ones by default; negative, not finite and all zero are refused."""
    if sample_weight is None:
        return np.ones(rows)
    weight = finite_floats("sample_weight", sample_weight)
    if weight.shape != (rows,):
        message = f"sample_weight has shape {weight.shape}: expected one number per row, ({rows},)"
        raise ShapeError(message)
    if (weight < 0).any():
        row = int(np.argmax(weight < 0))
        message = f"sample_weight is {weight[row]:g} in row {row}: expected 0 or more"
        raise DataError(message)
    if not weight.any():
        message = "sample_weight is zero in every row: expected some weight above 0"
        raise DataError(message)
    return weight


def ratio(above: ArrayLike, below: ArrayLike, empty: float = 0.0) -> Floats:
    """``above / below``, and ``empty`` where ``below`` is zero."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    out = np.full(np.broadcast_shapes(above.shape, below.shape), empty)
    np.divide(above, below, out=out, where=below != 0)
    return out


def class_sums(code: NDArray[np.intp], weight: Floats, size: int) -> Floats:
    """Sum the weights of each code 0 ... size - 1; negative codes are left out.

    >>> class_sums(np.array([0, 2, -1, 2]), np.ones(4), 3)
    array([1., 0., 2.])
    """
    known = code >= 0
    sums = np.bincount(code[known], weights=weight[known], minlength=size)
    return sums.astype(np.float64, copy=False)


def finite_floats(name: str, given: ArrayLike) -> Floats:
    """Convert to float64; what is not a finite real number is refused with its place."""
    array = np.asarray(given)
    try:
        if array.dtype.kind == "c":
            raise TypeError("complex numbers")
        values = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        message = f"{name} is not made of numbers ({error}): expected finite real numbers"
        raise DataError(message) from error
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        value = values[tuple(place)]
        message = f"{name} is {value} at index {place}: expected finite real numbers"
        raise DataError(message)
    return values


def label_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Two label arrays that can be compared: rows, or an indicator matrix of 0 and 1."""
    truth, prediction = label_array("y_true", y_true), label_array("y_pred", y_pred)
    _same_shape(truth, prediction)
    _same_kind("y_true", truth, "y_pred", prediction)
    if truth.ndim == 2:
        for name, array in (("y_true", truth), ("y_pred", prediction)):
            if array.shape[1] < 2 or array.dtype.kind == "U" or not np.isin(array, (0, 1)).all():
                message = (
                    f"{name} has shape {array.shape}: expected one label per row, (rows,), as from "
                    f"{name}.ravel(), or an indicator matrix of 0 and 1 with 2 columns or more"
                )
                raise DataError(message)
    return truth, prediction


def value_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Floats, Floats]:
    """Two float64 matrices (rows x outputs) of one shape."""
    truth, prediction = finite_floats("y_true", y_true), finite_floats("y_pred", y_pred)
    _same_shape(truth, prediction)
    return truth.reshape(len(truth), -1), prediction.reshape(len(truth), -1)


def label_array(name: str, given: ArrayLike) -> Array:
    """Labels as an array of strings, integers, floats or booleans, one kind for all rows."""
    array = np.asarray(given)
    if array.dtype.kind == "T":  # NumPy's strings of any length
        array = array.astype(object)
    if array.dtype == object:
        text = {isinstance(label, str) for label in array.ravel()}
        if text == {True, False}:
            message = f"{name} mixes strings with other labels: expected one kind for all rows"
            raise DataError(message)
        array = array.astype(str) if text == {True} else np.array(array.tolist())
    if array.dtype.kind not in "biufU":
        message = (
            f"{name} has labels of type {array.dtype} (None, dates or bytes among them?): "
            "expected strings, integers, floats or booleans without gaps"
        )
        raise DataError(message)
    if array.dtype.kind == "f":
        finite_floats(name, array)
    return array


def class_labels(labels: ArrayLike | None, *found: Array) -> Array:
    """List the classes: those given, in their order, or all found, sorted."""
    if labels is None:
        return np.unique(np.concatenate(found))
    classes = label_array("labels", labels)
    if classes.ndim != 1 or len(classes) == 0 or len(np.unique(classes)) != len(classes):
        message = f"labels is {short(classes)}: expected a list of different labels"
        raise DataError(message)
    for array in found:
        _same_kind("labels", classes, "the data", array)
    return classes


def codes(values: Array, classes: Array) -> NDArray[np.intp]:
    """Position of each value in ``classes``, -1 where it is not there.

    >>> codes(np.array(["b", "x", "a"]), np.array(["b", "a"])).tolist()
    [0, -1, 1]
    """
    order = np.argsort(classes)
    ranked = classes[order]
    place = np.minimum(np.searchsorted(ranked, values), len(classes) - 1)
    return np.where(ranked[place] == values, order[place], -1)


def true_codes(y_true: ArrayLike, labels: ArrayLike | None, columns: int) -> NDArray[np.intp]:
    """Code the true labels 0 ... columns - 1 in the sorted order of the classes.

    Without ``labels``, 0 and 1 are the classes of two columns even if only one of them occurs.
    """
    truth = label_array("y_true", y_true)
    if truth.ndim != 1:
        message = f"y_true has shape {truth.shape}: expected one label per row, (rows,)"
        raise ShapeError(message)
    classes = np.sort(class_labels(labels, truth))
    if labels is None and columns == 2 and classes.dtype.kind != "U":
        zero_one = np.array([0, 1])
        classes = zero_one if np.isin(classes, zero_one).all() else classes
    if len(classes) != columns:
        message = (
            f"there are {len(classes)} classes {short(classes)} and predictions for {columns}: "
            f"pass labels=[...] with all {columns} classes"
        )
        raise DataError(message)
    code = codes(truth, classes)
    if (code < 0).any():
        row = int(np.argmax(code < 0))
        message = f"y_true is {truth[row].item()!r} in row {row}: expected one of {short(classes)}"
        raise DataError(message)
    return code


def same_rows(rows_true: int, rows_pred: int) -> None:
    """Refuse tables of different length, and empty ones."""
    if rows_true != rows_pred:
        message = f"y_true has {rows_true} rows and the prediction {rows_pred}: expected the same"
        raise ShapeError(message)
    if rows_true == 0:
        message = "there are no rows: expected 1 or more"
        raise DataError(message)


def short(labels: Array) -> str:
    """Show at most five labels.

    >>> short(np.arange(9))
    '[0, 1, 2, 3, 4, ...]'
    """
    shown = ", ".join(repr(label) for label in labels.ravel()[:5].tolist())
    return f"[{shown}{', ...' if labels.size > 5 else ''}]"


def _same_shape(truth: Array, prediction: Array) -> None:
    if truth.ndim in (1, 2) and prediction.ndim in (1, 2):
        same_rows(len(truth), len(prediction))
    if truth.shape != prediction.shape or truth.ndim not in (1, 2) or truth.size == 0:
        message = (
            f"y_true has shape {truth.shape} and y_pred {prediction.shape}: expected the same, "
            "(rows,) or (rows, columns); a column is flattened by y.ravel()"
        )
        raise ShapeError(message)


def _same_kind(name: str, array: Array, other_name: str, other: Array) -> None:
    """Refuse pairs that NumPy would compare only after changing values."""
    text = (array.dtype.kind == "U") != (other.dtype.kind == "U")
    lossy = {array.dtype.kind, other.dtype.kind} == {"i", "u"} and (
        np.result_type(array, other).kind == "f"
    )
    if text or lossy:
        message = (
            f"{name} has labels of type {array.dtype} and {other_name} of type {other.dtype}: "
            "expected the same type"
        )
        raise DataError(message)
