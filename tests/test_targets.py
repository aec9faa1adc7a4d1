import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from chainrule.errors import ChainruleError, DataError, DtypeError, FormatError, ShapeError
from chainrule.targets import Labels, TargetScaler


@pytest.mark.parametrize(
    ("labels", "classes", "dtype"),
    [
        (["b", "a", "b"], ["a", "b"], object),
        (np.array(["b", "a", "b\0"]), ["a", "b"], object),
        (pd.Series(["b", "a"], dtype="category"), ["a", "b"], object),
        (pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), ["a", "b"], object),
        ([True, False], [False, True], bool),
        (pd.Series([True, False], dtype="boolean"), [False, True], bool),
        ([3, -1, 3], [-1, 3], np.int64),
        ([2**40, 2**40 + 1], [2**40, 2**40 + 1], np.int64),
        ([2**64 - 1, 2**64 - 2, 1], [1, 2**64 - 2, 2**64 - 1], np.uint64),
        (np.array([2**64 - 1, 7], dtype=np.uint64), [7, 2**64 - 1], np.uint64),
        (np.array([3, 1], dtype=np.int8), [1, 3], np.int8),
        (np.array([3, 1], dtype=">i2"), [1, 3], np.int16),
        (pd.Series([2**60 + 1, 2**60], dtype="Int64"), [2**60, 2**60 + 1], np.int64),
        (np.array([1.0, -2.0], dtype=np.float32), [-2, 1], np.float32),
        (np.array([1.0, -2.0], dtype=np.longdouble), [-2, 1], np.float64),
        ([5, 5], [5], np.int64),
    ],
    ids=repr,
)
def test_classes_are_exact_sorted_and_come_back(labels, classes: list, dtype: type) -> None:
    fitted = Labels.fit(labels)
    assert fitted.classes.tolist() == classes
    assert fitted.classes.dtype == dtype
    codes = fitted.transform(labels)
    assert codes.dtype == np.int64
    values = fitted.inverse(codes)
    assert values.tolist() == [v.rstrip("\0") if isinstance(v, str) else v for v in list(labels)]
    back = Labels.from_state(json.loads(json.dumps(fitted.to_state())))
    assert back.classes.dtype == dtype
    assert back.classes.tolist() == classes


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (["a", 1], DataError, "mixed types: 1 is of type int, 'a' is of type str: make all"),
        ([True, 2, "a"], DataError, "mixed types: True is of type bool, 2 is of type int, 'a' is"),
        ([1, None, 2, None], DataError, r"missing in rows \[1, 3\] \(counted from 0\): leave"),
        (["a", None], DataError, r"missing in rows \[1\]"),
        ([0.0, float("nan")], DataError, r"missing in rows \[1\]"),
        (pd.Series([1, None], dtype="Int64"), DataError, r"missing in rows \[1\]"),
        ([None] * 9, DataError, r"missing in rows \[0, 1, 2, 3, 4\] and 4 more"),
        ([0.5, 1.0], DataError, "Unknown label type: 0.5 is no class: train a regressor"),
        ([1.0, float("inf")], DataError, "inf is not finite"),
        ([], DataError, "there are no labels"),
        ([2**70, 1], DataError, "fit no integer type: use text"),
        (np.eye(3), ShapeError, "labels are one vector, these have 3 columns"),
        ([[1], [2, 3]], ShapeError, "equally long"),
        (np.array(["2024"], dtype="M8[D]"), DtypeError, "column 'y' holds dates"),
        (3, DtypeError, "object of type int"),
        (np.ma.array([1, 2], mask=[0, 1]), DtypeError, "masked array"),
    ],
    ids=repr,
)
def test_labels_that_are_none(labels: object, error: type[ChainruleError], text: str) -> None:
    with pytest.raises(error, match=text):
        Labels.fit(labels)


@pytest.mark.parametrize(
    ("classes", "new", "text"),
    [
        ([1, 2, 3], [1, 4, 9], r"label 4 in row 1 \(counted from 0\) is none of .* \[1, 2, 3\]$"),
        ([1, 2, 3], [-1], r"label -1 in row 0"),
        (["a", "b"], ["a", 1], r"label 1 in row 1 .* \['a', 'b'\]"),
        ([1, 2], ["1"], r"label '1' in row 0"),
        (list(range(12)), [12], r"classes \[0, .* 9\] and 2 more$"),
        (["a", "b"], ["x" * 1000], r"label 'x{36}\.\.\. in row 0"),
    ],
)
def test_a_label_that_is_no_class(classes: list, new: list, text: str) -> None:
    with pytest.raises(DataError, match=text):
        Labels.fit(classes).transform(new)


def test_a_column_of_labels_is_raveled_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"targets of shape \(2, 1\)"):
        labels = Labels.fit(np.array([[3], [5]]))
    assert labels.classes.tolist() == [3, 5]


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "float128"},
        {"dtype": "M8[s]"},
        {"dtype": "int8", "classes": [1, 300]},
        {"dtype": "int64", "classes": ["a", "b"]},
        {"dtype": "int64", "classes": [1.5, 2.5]},
        {"dtype": "uint8", "classes": [-1, 2]},
        {"classes": []},
        {"classes": [2, 1]},
        {"classes": [1, 1]},
        {"classes": [[1], [2]]},
        {"other": 1},
    ],
    ids=str,
)
def test_a_state_of_labels_that_is_wrong(change: dict) -> None:
    with pytest.raises(FormatError):
        Labels.from_state(Labels.fit([1, 2]).to_state() | change)


# ---- numbers


def test_targets_have_mean_zero_and_deviation_one_and_come_back() -> None:
    targets = np.random.default_rng(0).normal(1e6, 50, size=(200, 3))
    scaler = TargetScaler.fit(targets)
    scaled = scaler.transform(targets)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(scaler.inverse(scaled), targets, rtol=1e-15)
    assert scaler.inverse(scaled[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    "targets",
    [
        [1.0, 3.0],
        np.array([1, 3], dtype=np.int8),
        pd.Series([1, 3], dtype="Int64"),
        pl.Series([1.0, 3.0]),
        [True, 3],
    ],
    ids=repr,
)
def test_one_vector_stays_one_vector(targets: object) -> None:
    scaler = TargetScaler.fit(targets)
    assert scaler.transform(targets).tolist() == [[-1], [1]]
    assert scaler.inverse([[-1], [1]]).tolist() == [1, 3]


def test_a_column_of_targets_is_raveled_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"targets of shape \(2, 1\) .* y.ravel\(\)"):
        scaler = TargetScaler.fit(np.array([[1.0], [3.0]]))
    assert scaler.inverse([[0.0]]).shape == (1,)


@pytest.mark.parametrize("value", [0.1, 1e30, -7.0, 0.0])
def test_a_constant_target_is_predicted_exactly(value: float) -> None:
    scaler = TargetScaler.fit([value] * 7)
    assert scaler.scale.tolist() == [1]
    assert scaler.transform([value]).tolist() == [[0]]
    assert scaler.inverse([[0.0]]).tolist() == [value]


@pytest.mark.parametrize(
    ("targets", "error", "text"),
    [
        ([1.0, 2.0, 1e200], DataError, r"target 1e\+200 in row 2 \(counted from 0\) .* float32"),
        ([[1.0, 2.0], [3.0, -1e39]], DataError, r"target -1e\+39 in row 1"),
        ([1.0, float("nan")], DataError, r"targets are missing in rows \[1\]"),
        (pl.Series([1, None, 2]), DataError, r"targets are missing in rows \[1\]"),
        ([1.0, float("inf")], DataError, "column 'y', row 1 .* inf is not finite"),
        (["a", "b"], DataError, "column 'y', row 0 .* 'a' is not a number"),
        ([], DataError, "there are no targets"),
        (np.ones((3, 0)), ShapeError, "targets have 0 columns"),
        (np.ones((2, 2, 2)), ShapeError, r"shape \(2, 2, 2\)"),
        ([1j], DtypeError, "column 'y'"),
    ],
    ids=repr,
)
def test_targets_that_are_none(targets: object, error: type[ChainruleError], text: str) -> None:
    with pytest.raises(error, match=text):
        TargetScaler.fit(targets)


def test_another_number_of_outputs_is_refused() -> None:
    scaler = TargetScaler.fit(np.array([[1.0, 2.0], [3.0, 5.0]]))
    with pytest.raises(ShapeError, match="targets have 1 outputs, those of training had 2"):
        scaler.transform([1.0, 2.0])
    for shape in [(2,), (2, 1), (2, 3)]:
        with pytest.raises(ShapeError, match=r"not \(rows, 2\)"):
            scaler.inverse(np.ones(shape))


def test_the_state_of_a_scaler_goes_through_json_exactly() -> None:
    scaler = TargetScaler.fit([0.1, 1 / 3, 1e-30])
    back = TargetScaler.from_state(json.loads(json.dumps(scaler.to_state(), allow_nan=False)))
    assert back.mean.tobytes() == scaler.mean.tobytes()
    assert back.scale.tobytes() == scaler.scale.tobytes()
    assert back.one_vector


@pytest.mark.parametrize(
    "change",
    [
        {"mean": []},
        {"mean": [1.0, 2.0]},
        {"scale": [0.0]},
        {"scale": [float("nan")]},
        {"scale": [1]},
        {"one_vector": 1},
        {"mean": [1.0, 2.0], "scale": [1.0, 1.0]},
        {"other": 0},
    ],
    ids=str,
)
def test_a_state_of_a_scaler_that_is_wrong(change: dict) -> None:
    with pytest.raises(FormatError):
        TargetScaler.from_state(TargetScaler.fit([1.0, 2.0]).to_state() | change)
