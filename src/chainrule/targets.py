"""Labels and target numbers, as they come, to what a net is trained on and back.

>>> labels = Labels.fit(["yes", "no", "yes"])
>>> labels.classes, labels.transform(["no", "yes"])
(array(['no', 'yes'], dtype=object), array([0, 1]))
>>> labels.inverse([1, 1])
array(['yes', 'yes'], dtype=object)

>>> scaler = TargetScaler.fit([100.0, 200.0, 300.0])
>>> scaler.transform([300.0]).round(3)
array([[1.225]])
>>> scaler.inverse([[0.0]])
array([200.])

Targets are lists, arrays, series of a data frame, or tables. Those of shape (n, 1) are taken as one
vector, with a warning. Missing ones are refused.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.cells import Cells, NumericCells, Value, in_order, shown
from chainrule.errors import DataError, FormatError, ShapeError
from chainrule.frames import read_targets
from chainrule.plain import entry, items, only, scalars

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS = ("float16", "float32", "float64")
_DTYPES = {name: np.dtype(name) for name in ("bool", *_INTEGERS, *_FLOATS, "object")}


@dataclass(frozen=True)
class Labels:
    """The classes of a classifier, sorted; codes are positions in `classes`.

    Integers keep their type and are exact, also beyond 2**53; text is of type object. Floats are
    labels only where they are whole numbers.
    """

    classes: NDArray[Any]

    @classmethod
    def fit(cls, labels: object) -> "Labels":
        """Collect the classes; a `DataError` refuses missing labels and labels of mixed types.

        >>> Labels.fit(["a", 1])
        Traceback (most recent call last):
        ...
        chainrule.errors.DataError: labels are of mixed types: 1 is of type int, 'a' is of type \
str: make all of them text or all of them numbers
        """
        cells = _label_cells(labels)
        if len(cells.missing) == 0:
            raise DataError("there are no labels to learn from: y has 0 rows")
        values = in_order(cells.distinct()[0])
        types = {type(value): value for value in values}
        if len(types) > 1:
            found = [f"{shown(value)} is of type {kind.__name__}" for kind, value in types.items()]
            remedy = "make all of them text or all of them numbers"
            raise DataError(f"labels are of mixed types: {', '.join(found)}: {remedy}")
        for value in values:
            if isinstance(value, float) and not value.is_integer():
                raise DataError(f"Unknown label type: {value} is no class: train a regressor")
        dtype = cells.array.dtype if isinstance(cells, NumericCells) else _dtype_of(values)
        known = dtype.name if dtype.name in _DTYPES else "float64"  # of a long double
        return cls(np.array(values, dtype=_DTYPES[known]))

    def transform(self, labels: object) -> NDArray[np.int64]:
        """Return the code of each label; a `DataError` names a label that is no class.

        >>> Labels.fit([3, 7]).transform([7, 5])
        Traceback (most recent call last):
        ...
        chainrule.errors.DataError: label 5 in row 1 (counted from 0) is none of the classes [3, 7]
        """
        cells = _label_cells(labels)
        values, positions = cells.distinct()
        codes: dict[Value, int] = {value: i for i, value in enumerate(self.classes.tolist())}
        table = np.array([codes.get(value, -1) for value in values], dtype=np.int64)
        result: NDArray[np.int64] = table[positions]
        if (result < 0).any():
            row = int(np.argmax(result < 0))
            more = f" and {len(codes) - 10} more" if len(codes) > 10 else ""
            label = f"label {shown(values[positions[row]])} in row {row} (counted from 0)"
            known = f"{self.classes[:10].tolist()}{more}"
            raise DataError(f"{label} is none of the classes {known}")
        return result

    def inverse(self, codes: ArrayLike) -> NDArray[Any]:
        """Return the labels of codes."""
        labels: NDArray[Any] = self.classes[np.asarray(codes, dtype=np.int64)]
        return labels

    def to_state(self) -> dict[str, Any]:
        """Return the classes as plain data, which JSON keeps exactly."""
        return {"dtype": self.classes.dtype.name, "classes": self.classes.tolist()}

    @classmethod
    def from_state(cls, state: object) -> "Labels":
        """Make labels from `to_state`; a `FormatError` refuses anything else.

        >>> Labels.from_state(Labels.fit([2**63, 1]).to_state()).classes
        array([                  1, 9223372036854775808], dtype=uint64)
        """
        only(state, ["dtype", "classes"])
        values, name = scalars(state, "classes"), entry(state, "dtype", str)
        if name not in _DTYPES:
            raise FormatError(f"labels of dtype {name!r}, possible are {list(_DTYPES)}")
        try:
            classes = np.array(values, dtype=_DTYPES[name])
        except (ValueError, OverflowError):
            raise FormatError(f"the classes {values[:10]} are not of dtype {name}") from None
        if not values or classes.tolist() != values or in_order(values) != values:
            raise FormatError(f"the classes {values[:10]} are not sorted and of dtype {name}")
        return cls(classes)


@dataclass(frozen=True)
class TargetScaler:
    """Targets of a regression with mean 0 and standard deviation 1 per output, and back.

    ``z = (y - mean) / scale``, shape (rows, outputs), float64. The scale of an output that is
    constant in training is 1, so that its `z` is 0. `one_vector` says that targets and predictions
    have shape (rows,).
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    one_vector: bool

    @classmethod
    def fit(cls, targets: object) -> "TargetScaler":
        """Learn mean and scale; a `DataError` names the row of a number that is missing or huge."""
        values, one_vector = _target_numbers(targets)
        if len(values) == 0:
            raise DataError("there are no targets to learn from: y has 0 rows")
        mean = values.mean(axis=0)
        scale = np.sqrt(np.mean((values - mean) ** 2, axis=0))
        # The mean of equal numbers is off by rounding, which is not a scale.
        varied = values.max(axis=0) > values.min(axis=0)
        mean = np.where(varied, mean, values[0])
        return cls(mean, np.where(varied & (scale > 0), scale, 1.0), one_vector)

    def transform(self, targets: object) -> NDArray[np.float64]:
        """Return scaled targets of shape (rows, outputs)."""
        values, _ = _target_numbers(targets)
        if values.shape[1] != len(self.mean):
            raise ShapeError(
                f"targets have {values.shape[1]} outputs, those of training had {len(self.mean)}"
            )
        scaled: NDArray[np.float64] = (values - self.mean) / self.scale
        return scaled

    def inverse(self, scaled: ArrayLike) -> NDArray[np.float64]:
        """Return predictions in the unit of the targets, of shape (rows,) or (rows, outputs)."""
        values: NDArray[np.float64] = np.asarray(scaled, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.mean):
            raise ShapeError(
                f"scaled predictions have shape {values.shape}, not (rows, {len(self.mean)})"
            )
        values = values * self.scale + self.mean
        return values[:, 0] if self.one_vector else values

    def to_state(self) -> dict[str, Any]:
        """Return mean and scale as plain data, which JSON keeps exactly."""
        mean, scale = self.mean.tolist(), self.scale.tolist()
        return {"mean": mean, "scale": scale, "one_vector": self.one_vector}

    @classmethod
    def from_state(cls, state: object) -> "TargetScaler":
        """Make a scaler from `to_state`; a `FormatError` refuses anything else.

        >>> scaler = TargetScaler.fit([[1.0, 5.0], [2.0, 5.0]])
        >>> TargetScaler.from_state(scaler.to_state()).scale
        array([0.5, 1. ])
        """
        only(state, ["mean", "scale", "one_vector"])
        mean, scale = items(state, "mean", float), items(state, "scale", float)
        one_vector = entry(state, "one_vector", bool)
        if len(mean) != len(scale) or not mean or min(scale) <= 0 or (one_vector and mean[1:]):
            raise FormatError(f"targets cannot have the mean {mean} and the scale {scale}")
        return cls(np.array(mean), np.array(scale), one_vector)


def _label_cells(labels: object) -> Cells:
    columns, one_vector = read_targets(labels)
    if not one_vector:
        raise ShapeError(f"labels are one vector, these have {len(columns)} columns")
    cells = columns[0]
    if cells.missing.any():
        raise DataError(f"labels are missing in {_rows(cells.missing)}: leave these rows out")
    return cells


def _target_numbers(targets: object) -> tuple[NDArray[np.float64], bool]:
    """Return targets of shape (rows, outputs), and whether they are one vector."""
    columns, one_vector = read_targets(targets)
    if not columns:
        raise ShapeError("targets have 0 columns")
    values = np.stack([cells.numbers() for cells in columns], axis=1)
    missing: NDArray[np.bool_] = np.any(np.isnan(values), axis=1)
    if missing.any():
        raise DataError(f"targets are missing in {_rows(missing)}: leave these rows out")
    huge = np.abs(values) > np.finfo(np.float32).max
    if huge.any():
        row = int(np.argmax(huge.any(axis=1)))
        raise DataError(
            f"target {values[row][huge[row]][0]:g} in row {row} (counted from 0) is beyond "
            "float32, in which the net computes: use a larger unit or a logarithm"
        )
    return values, one_vector


def _dtype_of(values: list[Value]) -> np.dtype[Any]:
    """Return the type of an array that holds values of one type exactly."""
    integers = [value for value in values if isinstance(value, int)]
    if not integers:
        return np.dtype("float64" if isinstance(values[0], float) else "object")
    if isinstance(integers[0], bool):
        return np.dtype("bool")
    low, high = min(integers), max(integers)
    for dtype in (np.dtype("int64"), np.dtype("uint64")):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    raise DataError(f"labels from {low} to {high} fit no integer type: use text")


def _rows(chosen: NDArray[np.bool_]) -> str:
    """Name the rows that are chosen, at most five of them."""
    rows = np.flatnonzero(chosen)
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"rows {rows[:5].tolist()}{more} (counted from 0)"
