"""Bad input, row by row of docs/faults.md: the type and the text of the error, or what happens."""

import ast
import os
import re
import signal
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError

from chainrule import (
    Checkpoint,
    MLPClassifier,
    MLPRegressor,
    NetClassifier,
    NetRegressor,
    TabularClassifier,
    TabularRegressor,
    nn,
    ops,
    optim,
    train,
)
from chainrule.errors import ConfigError, DataError, DivergedError, DtypeError, ShapeError

CLASSIFIERS = [MLPClassifier, NetClassifier, TabularClassifier]
REGRESSORS = [MLPRegressor, NetRegressor, TabularRegressor]
NUMERIC = [MLPClassifier, MLPRegressor, NetClassifier, NetRegressor]
TABULAR = [TabularClassifier, TabularRegressor]
ALL = [*NUMERIC, *TABULAR]
SHORT = {
    "MLP": {"max_iter": 4},
    "Net": {"epochs": 4},
    "Tab": {"epochs": 4, "members": 2, "hidden": (8,)},
}
X = np.random.default_rng(0).normal(size=(40, 3))
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
CLASSES, NUMBERS = (X[:, 0] > 0).astype(int), 2 * X[:, 0]
POINTER = "use TabularClassifier or TabularRegressor"

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make(cls, **params):
    return cls(**(SHORT[cls.__name__[:3]] | {"random_state": 0} | params))


def target(cls):
    return CLASSES if cls in CLASSIFIERS else NUMBERS


def fitted(cls, rows=X, **params):
    count = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    return make(cls, **params).fit(rows, target(cls)[:count])


def with_column(name, values):
    return FRAME.assign(**{name: values})


# The page.


def test_every_row_of_the_page_names_a_test_that_exists():
    root = Path(__file__).parent.parent
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (root / "docs" / "faults.md").read_text().splitlines()
        if line.startswith("|")
    ]
    rows = [row for row in rows if row[0] != "fault" and set(row[0]) != {"-"}]
    assert len(rows) > 60
    known = {}
    for fault, answer, tests in rows:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", tests)
        assert named, f"no test for {fault!r}"
        assert answer
        for file, test in named:
            if file not in known:
                tree = ast.parse((root / "tests" / file).read_text())
                known[file] = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
            assert test in known[file], f"{file} has no {test}, for {fault!r}"


# Shapes.


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (X[:, :2], r"X has 2 features, but \w+ is expecting 3 features"),
        (X[0], "Reshape your data"),
        (np.ones((2, 3, 3)), r"Found array with dim 3|shape \(2, 3, 3\)"),
    ],
)
def test_rows_to_predict_of_another_shape(cls, rows, text):
    with pytest.raises(ValueError, match=text):
        fitted(cls).predict(rows)


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
def test_rows_of_a_net_have_one_shape(cls):
    model = fitted(cls)
    with pytest.raises(ShapeError, match=r"X has shape \(2, 3, 3\); expected \(rows, 3\)"):
        model.predict(np.ones((2, 3, 3)))
    validation = (np.ones((2, 3, 3)), target(cls)[:2])
    with pytest.raises(ShapeError, match=r"X has shape \(2, 3, 3\); expected \(rows, 3\)"):
        make(cls).fit(X, target(cls), validation_data=validation)


@pytest.mark.parametrize("cls", TABULAR)
def test_a_wrong_number_of_columns_lists_the_expected_ones(cls):
    with pytest.raises(ShapeError, match=r"\['x0', 'x1', 'x2'\]"):
        fitted(cls).predict(X[:, :2])


@pytest.mark.parametrize("cls", ALL)
def test_rows_of_three_dimensions_are_no_table(cls):
    text = r"Found array with dim 3|Linear\(3, 64\) got an input of shape|has shape \(40, 3, 2\)"
    with pytest.raises(ValueError, match=text):
        make(cls).fit(np.stack([X, X], axis=2), target(cls))


@pytest.mark.parametrize("cls", ALL)
def test_one_row_is_enough_to_fit(cls):
    assert fitted(cls, X[:1]).predict(X).shape == (40,)


@pytest.mark.parametrize("cls", ALL)
def test_no_rows_to_predict(cls):
    model = fitted(cls)
    if cls in NUMERIC:
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\) \(shape=\(0, 3\)\)"):
            model.predict(X[:0])
    else:
        assert model.predict(X[:0]).shape == (0,)
    if cls is TabularClassifier:
        assert model.predict_proba(X[:0]).shape == (0, 2)


@pytest.mark.parametrize("cls", ALL)
def test_a_column_of_targets_is_taken_as_a_vector_with_a_warning(cls):
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        column = make(cls).fit(X, target(cls)[:, None]).predict(X)
    assert np.array_equal(column, fitted(cls).predict(X))


@pytest.mark.parametrize("cls", ALL)
def test_predict_before_fit(cls):
    with pytest.raises(NotFittedError, match=f"This {cls.__name__} instance is not fitted yet"):
        make(cls).predict(X)


@pytest.mark.parametrize("cls", ALL)
def test_no_targets(cls):
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        make(cls).fit(X, None)


# Names of columns.


@pytest.mark.parametrize("cls", ALL)
def test_names_in_one_of_fit_and_predict_only(cls):
    with pytest.warns(UserWarning, match=r"does not have valid feature names|this one has none"):
        a = fitted(cls, FRAME).predict(X)
    with pytest.warns(UserWarning, match=r"fitted without feature names|training had no names"):
        b = fitted(cls, X).predict(FRAME)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("library", [pd, pl])
@pytest.mark.parametrize(
    ("names", "own", "theirs"),
    [
        (["b", "a", "c"], "in another order: pass table", "must be in the same order"),
        (["a", "b"], r"lacks columns \['c'\]", r"yet now missing:\n- c"),
        (["a", "b", "c", "z"], r"has columns \['z'\] that training had not", r"unseen .*\n- z"),
        (["a", "b", "z"], r"lacks columns \['c'\] and has columns \['z'\]", r"unseen .*\n- z"),
    ],
)
def test_other_columns_than_in_training(cls, library, names, own, theirs):
    frame = FRAME.assign(z=0.0)[names]
    frame = frame if library is pd else pl.DataFrame({n: frame[n].to_numpy() for n in names})
    with pytest.raises(ValueError, match=own if cls in TABULAR else theirs):
        fitted(cls, FRAME).predict(frame)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a", "a", "c"], "several columns of the table have the same name: rename them"),
        (["a", 1, "c"], "column names are mixed: 'a' is text, 1 is of type int: make all of them"),
    ],
)
def test_names_that_occur_twice_or_are_mixed(cls, names, text):
    frame = FRAME.set_axis(names, axis=1)
    with pytest.raises(DataError, match=text):
        make(cls).fit(frame, target(cls))
    with pytest.raises(DataError, match=text):
        fitted(cls, FRAME).predict(frame)


# What is no number.


@pytest.mark.parametrize("cls", ALL)
def test_masked_arrays(cls):
    masked = np.ma.array(X, mask=X > 1)
    with pytest.raises(DtypeError, match=r"masked array.* would lose its mask: pass .*\.filled"):
        make(cls).fit(masked, target(cls))
    with pytest.raises(DtypeError, match=r"would lose its mask"):
        fitted(cls).predict(masked)
    with pytest.raises(DtypeError, match=r"y is a masked array, .* pass y\.filled\(value\)"):
        make(cls).fit(X, np.ma.array(target(cls), mask=X[:, 0] > 1))


@pytest.mark.parametrize("cls", ALL)
def test_complex_numbers(cls):
    with pytest.raises(ValueError, match="Complex data not supported"):
        make(cls).fit(X + 1j, target(cls))
    with pytest.raises(ValueError, match="Complex data not supported"):
        fitted(cls).predict(X + 1j)
    with pytest.raises(ValueError, match="Complex data not supported"):
        make(cls).fit(X, target(cls) + 1j)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (with_column("b", pd.date_range("2020", periods=40)), "column 'b' holds dates"),
        (with_column("b", pd.timedelta_range("1D", periods=40)), "column 'b' holds durations"),
        (X.astype("M8[s]"), "holds dates"),
    ],
    ids=["dates", "durations", "array"],
)
def test_dates(cls, rows, text):
    with pytest.raises(DtypeError, match=text):
        make(cls).fit(rows, target(cls))


TEXT = [
    (with_column("b", ["v", "u"] * 20), "column 'b', row 0 (counted from 0), holds 'v', a"),
    (with_column("b", pd.Categorical(["u", "v"] * 20)), "column 'b', row 0"),
    (with_column("b", pd.Categorical([7, 8] * 20)), "column 'b', row 0 (counted from 0), holds 7"),
    (with_column("b", [None, "v"] * 20), "column 'b', row 1"),
    (pl.DataFrame(X, schema=["a", "b", "c"]).with_columns(b=pl.lit("u")), "column 'b', row 0"),
    (np.where(np.arange(120).reshape(40, 3) == 16, "u", X.astype(object)), "column 1 of X, row 5"),
    ([*X.astype(object).tolist()[:-1], ["1", "x", 2]], "column 1 of X, row 39"),
    (np.where(np.arange(120).reshape(40, 3) == 16, "u", X.astype(str)), "column 1 of X, row 5"),
]  # fmt: skip
TEXT_IDS = ["text", "category", "numbers", "none", "polars", "objects", "list", "array of text"]


@pytest.mark.parametrize("cls", NUMERIC)
@pytest.mark.parametrize(("rows", "text"), TEXT, ids=TEXT_IDS)
def test_text_and_categories_point_to_the_tabular_estimators(cls, rows, text):
    with pytest.raises(DtypeError) as caught:
        make(cls).fit(rows, target(cls))
    assert text in str(caught.value)
    assert POINTER in str(caught.value)


@pytest.mark.parametrize("cls", NUMERIC)
def test_text_at_predict(cls):
    with pytest.raises(DtypeError, match=f"column 'b', row 0 .* holds 'u', .*{POINTER}"):
        fitted(cls, FRAME).predict(with_column("b", ["u", "v"] * 20))


@pytest.mark.parametrize("cls", TABULAR)
@pytest.mark.parametrize("rows", [rows for rows, _ in TEXT[:-1]], ids=TEXT_IDS[:-1])
def test_tabular_estimators_take_text_and_categories(cls, rows):
    assert np.isfinite(fitted(cls, rows)._raw(rows)).all()


@pytest.mark.parametrize("cls", TABULAR)
def test_a_cell_of_another_kind_than_in_training(cls):
    with pytest.raises(DataError, match=r"column 'b', row 0 .*'u' is not a number"):
        fitted(cls, FRAME).predict(with_column("b", ["u", "v"] * 20))


def spoiled(value):
    return np.where(np.arange(120).reshape(40, 3) == 16, value, X)


MISSING = [
    (spoiled(np.nan), "row 5 (counted from 0), column 1:"),
    (pd.DataFrame(spoiled(np.nan), columns=["a", "b", "c"]), "row 5 (counted from 0), column 'b'"),
    (with_column("b", pd.array([1, None] * 20, dtype="Int64")), "row 1 (counted from 0), column"),
    (np.where(np.isnan(spoiled(np.nan)), None, X), "row 5 (counted from 0), column 1:"),
    (sp.csr_array(spoiled(np.nan)), "row 5 (counted from 0), column 1:"),
    (sp.csc_matrix(spoiled(np.nan)), "row 5 (counted from 0), column 1:"),
]  # fmt: skip


@pytest.mark.parametrize("cls", NUMERIC)
@pytest.mark.parametrize(("rows", "place"), MISSING, ids=range(len(MISSING)))
def test_missing_numbers_are_named_by_row_and_column(cls, rows, place):
    model = fitted(cls, FRAME if isinstance(rows, pd.DataFrame) else X)
    for call in (lambda: make(cls).fit(rows, target(cls)), lambda: model.predict(rows)):
        with pytest.raises(DataError) as caught:
            call()
        assert f"X contains NaN in {place}" in str(caught.value)
        assert POINTER in str(caught.value)


@pytest.mark.parametrize("cls", TABULAR)
@pytest.mark.parametrize("rows", [rows for rows, _ in MISSING], ids=range(len(MISSING)))
def test_tabular_estimators_take_missing_numbers(cls, rows):
    assert np.isfinite(fitted(cls, rows)._raw(rows)).all()


@pytest.mark.parametrize("cls", ALL)
def test_infinite_numbers_are_named_by_row_and_column(cls):
    text = "infinity in row 5 .*, column 1" if cls in NUMERIC else "'x1', row 5 .*inf is not finite"
    with pytest.raises(DataError, match=text):
        make(cls).fit(spoiled(np.inf), target(cls))
    with pytest.raises(DataError, match=text):
        fitted(cls).predict(spoiled(np.inf))


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
def test_finite_numbers_beyond_float32_in_validation_rows(cls):
    model = make(cls)
    with pytest.raises(DataError, match="validation input 0 has inf in row 5, column 1"):
        model.fit(X.astype("f4"), target(cls), validation_data=(spoiled(1e39), target(cls)))


@pytest.mark.parametrize(
    ("validation", "text"),
    [
        ((spoiled(np.nan), NUMBERS[:, None]), "validation input 0 has nan in row 5, column 1"),
        ((X, np.full((40, 1), np.nan)), "validation target has nan in row 0, column 0"),
        ((X, NUMBERS[:, None], -np.ones(40)), "weight -1.0 in row 0"),
    ],
)
def test_validation_rows_are_checked_before_the_first_step(validation, text):
    with pytest.raises(DataError, match=text):
        train(nn.mlp([3, 1]), "mse", X, NUMBERS[:, None], validation=validation, epochs=1)


# Numbers of any kind.


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("dtype", ["f2", "i1", "i8", "u8", "?", ">i4", "g"])
def test_numbers_of_every_type_are_those_of_float64(cls, dtype):
    rows = np.rint(X).astype(dtype) if dtype != "u8" else np.rint(X**2).astype(dtype)
    expected = rows.astype(np.float64)
    if cls in TABULAR and dtype == "?":
        expected = np.where(expected, "yes", "no")  # booleans are two categories, not 0.0 and 1.0
    predicted = fitted(cls, rows).predict(rows)
    assert np.array_equal(predicted, fitted(cls, expected).predict(expected))


@pytest.mark.parametrize("cls", ALL)
def test_memory_of_every_layout_gives_the_same_bits_and_is_not_written_to(cls, tmp_path):
    mapped = np.memmap(tmp_path / "rows", dtype=np.float64, mode="w+", shape=X.shape)
    mapped[:] = X
    line = np.arange(42.0)
    windows = np.lib.stride_tricks.sliding_window_view(line, 3)
    backwards = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    read_only = X.copy()
    read_only.flags.writeable = False
    assert backwards.strides[0] < 0
    y = target(cls).copy()
    y.flags.writeable = False
    weight = np.ones(40)
    weight.flags.writeable = False
    for rows in (mapped, windows, backwards, read_only, X.astype(">f8"), np.asfortranarray(X)):
        before, plain = rows.tobytes(), np.array(rows, dtype=np.float64, order="C")
        a = make(cls).fit(rows, y, sample_weight=weight).predict(rows)
        b = make(cls).fit(plain, y, sample_weight=weight).predict(plain)
        assert np.array_equal(a, b)
        assert rows.tobytes() == before


def long_indices(rows):
    rows = sp.csr_array(rows)
    rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
    return rows


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    "form",
    [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.coo_array, sp.lil_array,
     long_indices],
)  # fmt: skip
def test_sparse_rows_of_every_format(cls, form):
    rows = np.where(X > 0.5, X, 0.0)
    expected = fitted(cls, rows).predict(rows)
    assert np.array_equal(fitted(cls, form(rows)).predict(form(rows)), expected)


@pytest.mark.parametrize(
    "model",
    [
        MLPClassifier((4,), max_iter=1, early_stopping=True),
        NetClassifier(epochs=1, validation_fraction=0.1),
    ],
)
def test_sparse_rows_become_dense_by_batches_only(model):
    rows = sp.random(8000, 5000, density=0.001, format="csr", random_state=0)
    tracemalloc.start()
    try:
        model.fit(rows, np.arange(8000) % 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8000 * 5000 * 8 / 2


def test_sparse_rows_that_make_too_large_a_table():
    rows = sp.csr_array((10**6, 10**5))
    with pytest.raises(DataError, match=r"would take 745 GiB as a table: select columns first"):
        make(TabularClassifier).fit(rows, np.zeros(10**6))


# Targets and weights.


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_list_of_mixed_labels(cls):
    with pytest.raises(DataError, match="labels are of mixed types: 1 is of type int, 'a' is of"):
        make(cls).fit(X, ["a", 1] * 20)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_targets(cls, missing):
    with pytest.raises(ValueError, match=r"missing in rows \[0\]|NaN|target has nan in row 0"):
        make(cls).fit(X, [missing, *target(cls)[1:].tolist()])


@pytest.mark.parametrize("cls", REGRESSORS)
def test_text_as_a_number_to_predict(cls):
    with pytest.raises(ValueError, match=r"could not convert string to float|'u' is not a number"):
        make(cls).fit(X, np.array(["u", "v"] * 20))


@pytest.mark.parametrize("cls", [MLPRegressor, NetRegressor])
def test_a_negative_count(cls):
    with pytest.raises(DataError, match=r"loss poisson needs y >= 0, but y is \[.*\] in row \d+"):
        make(cls, loss="poisson").fit(X, NUMBERS)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_label_that_training_had_not(cls):
    text = r"label 6 in row 0 \(counted from 0\) is none of the classes \[0, 1\]"
    with pytest.raises(DataError, match=text):
        make(cls).fit(X, CLASSES, validation_data=(X, CLASSES + 5))
    if cls is MLPClassifier:
        model = make(cls).partial_fit(X, CLASSES, classes=[0, 1])
        with pytest.raises(DataError, match=text):
            model.partial_fit(X, CLASSES + 5)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (np.where(np.arange(40) == 7, -2.0, 1.0), "weight -2.0 in row 7: expected a finite number"),
        (np.zeros(40), "must contain at least one non-zero number"),
        (np.where(np.arange(40) == 7, np.nan, 1.0), "Input sample_weight contains NaN"),
        (np.where(np.arange(40) == 7, np.inf, 1.0), "Input sample_weight contains infinity"),
        (np.ones(39), r"sample_weight.shape == \(39,\), expected \(40,\)"),
        (np.ones((40, 2)), "Sample weights must be 1D array or scalar, got 2D array"),
    ],
)
def test_weights_of_rows(cls, weight, text):
    with pytest.raises(ValueError, match=text):
        make(cls).fit(X, target(cls), sample_weight=weight)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_weights_of_classes(cls):
    with pytest.raises(DataError, match=r"weight -1.0 in row \d+: expected a finite number"):
        make(cls, class_weight={0: -1, 1: 2}).fit(X, CLASSES)
    with pytest.raises(ValueError, match=r"The classes, \[1\], are not in class_weight"):
        make(cls, class_weight={0: 1, 7: 2}).fit(X, CLASSES)
    with pytest.raises(ValueError, match=r"'class_weight' parameter .* Got 'balance' instead"):
        make(cls, class_weight="balance").fit(X, CLASSES)


# Parameters.


def refused(cls, name, value, text):
    model = make(cls, **{name: value})
    with pytest.raises(ValueError, match=text):
        model.fit(X, target(cls))
    assert not hasattr(model, "n_iter_") or model.n_iter_ == 0


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("rate", [-1, np.nan, np.inf, "fast"])
def test_learning_rates(cls, rate):
    name = "learning_rate_init" if cls.__name__.startswith("MLP") else "lr"
    text = r"must be a float in the range \(0.0, inf\)" if name != "lr" else r"lr=.*expected a num"
    refused(cls, name, rate, text)


def test_a_learning_rate_of_zero():
    for cls in (MLPClassifier, MLPRegressor):
        refused(cls, "learning_rate_init", 0, r"in the range \(0.0, inf\). Got 0 instead")
    for cls in TABULAR:
        refused(cls, "lr", 0, "lr=0: expected a number above 0, or None")
    start, after = (fitted(NetClassifier, lr=0, epochs=n).module_.state_dict() for n in (1, 4))
    assert all(np.array_equal(start[name], after[name]) for name in start)


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("alpha", -1, r"in the range \[0.0, inf\)"),
        ("alpha", np.nan, r"in the range \[0.0, inf\)"),
        ("weight_decay", -1, r"in the range \[0.0, inf\)"),
        ("weight_decay", np.inf, r"in the range \[0.0, inf\)"),
        ("beta_1", 1.0, r"in the range \[0.0, 1.0\)"),
        ("beta_2", np.nan, r"in the range \[0.0, 1.0\)"),
        ("momentum", 2, r"in the range \[0.0, 1.0\]"),
        ("dropout", 2, r"in the range \[0.0, 1.0\)"),
        ("dropout", np.nan, r"in the range \[0.0, 1.0\)"),
        ("clip_norm", 0, r"in the range \(0.0, inf\)"),
        ("activation", "rellu", "'activation' parameter .* must be a str among .*'relu'"),
        ("activation", ["relu", "tanh"], "2 activations for 1 hidden layers"),
        ("batch_size", 0, r"in the range \[1, inf\). Got 0 instead"),
        ("batch_size", -3, r"in the range \[1, inf\). Got -3 instead"),
        ("max_iter", 0, r"in the range \[1, inf\). Got 0 instead"),
        ("hidden_layer_sizes", (0,), r"must be > 0, got \[0\]"),
        ("hidden_layer_sizes", (-1,), r"must be > 0, got \[-1\]"),
        ("hidden_layer_sizes", (10, "a"), r"must be whole numbers, got \[10, 'a'\]"),
        ("optimizer", "adamm", "optimizer 'adamm' does not exist; there are adadelta"),
        ("schedule", "cosinus", "schedule 'cosinus' does not exist; there are"),
        ("loss", "msee", "loss 'msee' does not exist; there are"),
        ("callbacks", [3], "callback 3: expected an instance of chainrule.Callback"),
    ],
)
def test_parameters_of_mlp(cls, name, value, text):
    refused(cls, name, value, text)


@pytest.mark.parametrize("cls", [NetClassifier, NetRegressor])
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("optimizer", "adamm", "optimizer 'adamm' does not exist"),
        ("optimizer", optim.Adam, "optimizer .* does not exist|expected an object such as"),
        ("batch_size", 0, "batch_size=0: expected a whole number of at least 1"),
        ("batch_size", -3, "batch_size=-3: expected a whole number of at least 1"),
        ("batch_size", "full", "batch_size='full': expected a whole number"),
        ("epochs", 2.5, "epochs=2.5: expected a whole number of at least 1"),
        ("clip_norm", np.nan, "clip_norm=nan: expected a number above 0, or None"),
        ("clip_norm", "a", "clip_norm='a': expected a number above 0, or None"),
        ("early_stopping", 3, r"early_stopping=3: .* such as chainrule.EarlyStopping\(patience=10"),
        ("validation_fraction", 1.5, "between 0 and 1"),
        ("schedule", "cosinus", "schedule 'cosinus' does not exist"),
        ("loss", "msee", "loss 'msee' does not exist"),
        ("module", 3, "module=3: expected a chainrule.nn.Module, or a function"),
    ],
)
def test_parameters_of_net(cls, name, value, text):
    refused(cls, name, value, text)


@pytest.mark.parametrize("cls", TABULAR)
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("hidden", (0,), r"hidden=\(0,\): expected whole numbers of at least 1, such as \(64,\)"),
        ("hidden", (-1,), r"hidden=\(-1,\): expected whole numbers"),
        ("hidden", (10, "a"), r"hidden=\(10, 'a'\): expected whole numbers"),
        ("hidden", 8, r"hidden=8: expected whole numbers of at least 1, such as \(64,\)"),
        ("hidden", None, "hidden=None: expected whole numbers"),
        ("activation", "rellu", "activation 'rellu' does not exist; there are elu"),
        ("activation", ["relu"], r"activation \['relu'\] does not exist"),
        ("members", 0, "members=0: expected a whole number of at least 1"),
        ("epochs", 0, "epochs=0: expected a whole number of at least 1"),
        ("kinds", {"x7": "category"}, "kinds names a column 'x7', which the table lacks"),
        ("kinds", {"x0": "number!"}, "number!"),
        ("callbacks", [3], "callback 3: expected an instance of chainrule.Callback"),
    ],
)
def test_parameters_of_tabular(cls, name, value, text):
    refused(cls, name, value, text)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2, np.nan, "much"])
def test_label_smoothing(smoothing):
    text = "label_smoothing=.*: expected a number of at least 0 and below 1"
    refused(TabularClassifier, "label_smoothing", smoothing, text)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"optimizer": "adam"}, r"optimizer='adam': expected an object such as chainrule.optim.Ad"),
        ({"early_stopping": 5}, r"early_stopping=5: .* chainrule.EarlyStopping\(patience=10\)"),
        ({"plateau": 3}, r"plateau=3: .* chainrule.ReduceOnPlateau\(\)"),
        ({"checkpoint": 3}, r"checkpoint=3: .* chainrule.Checkpoint"),
        ({"clip_value": "a"}, "clip_value='a': expected a number above 0, or None"),
        ({"average": "a"}, "average='a': expected a number between 0 and 1"),
        ({"validation": (X,)}, r"validation: expected \(inputs, target\)"),
    ],
)
def test_plans_of_the_wrong_type(plan, text):
    with pytest.raises(ConfigError, match=text):
        train(nn.mlp([3, 1]), "mse", X, NUMBERS[:, None], **({"epochs": 1} | plan))


@pytest.mark.parametrize("cls", NUMERIC)
def test_a_batch_larger_than_the_rows(cls):
    with pytest.warns(UserWarning, match=r"going to be clipped|1000 is more than the 40 rows"):
        model = fitted(cls, batch_size=1000)
    assert np.array_equal(model.predict(X), fitted(cls, batch_size=40).predict(X))


@pytest.mark.parametrize("cls", [*TABULAR, MLPClassifier, MLPRegressor])
def test_no_hidden_layer_is_a_linear_model(cls):
    name = "hidden" if cls in TABULAR else "hidden_layer_sizes"
    layers = [
        m for _, m in fitted(cls, **{name: ()}).module_.named_modules() if "Linear" in repr(m)
    ]
    assert len([m for m in layers if type(m).__name__.endswith("Linear")]) == 1


@pytest.mark.parametrize("cls", TABULAR)
def test_layers_too_large_for_the_machine(cls):
    refused(cls, "hidden", (10**9, 10**9), r"weights needs about .* GiB to train, more than the")


# Training.


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_moves_no_weight(clip):
    class Root(nn.Module):
        def __init__(self):
            self.inner, self.zero = nn.Linear(1, 1, seed=0), nn.Parameter(np.zeros(1))

        def forward(self, x):
            return self.inner(x) + ops.sqrt(self.zero)

    model = Root()
    before = model.state_dict()
    rows = np.ones((4, 1), np.float32)
    with pytest.raises(DivergedError, match=r"the gradient norm became inf .* gradients of zero"):
        train(model, "mse", rows, 3 * rows, epochs=1, clip_norm=clip)
    assert all(np.array_equal(before[name], x) for name, x in model.state_dict().items())


def interrupt(event):
    if event.epoch == 2:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("cls", ALL)
def test_an_interrupted_estimator_can_be_used(cls):
    params = {"callbacks": [interrupt], "max_iter" if "MLP" in cls.__name__ else "epochs": 50}
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = fitted(cls, **params)
    assert model.history_.reason == "interrupted"
    assert len(model.history_) in (2, 3)
    assert np.isfinite(model.predict(X)).all()


def test_warm_start_begins_anew_but_for_the_weights_and_checkpoints_do_not(tmp_path):
    whole = MLPRegressor(max_iter=10, random_state=0, tol=0).fit(X, NUMBERS)
    half = MLPRegressor(max_iter=5, random_state=0, tol=0, warm_start=True)
    half.fit(X, NUMBERS)
    assert np.array_equal(half.loss_curve_, whole.loss_curve_[:5])
    half.fit(X, NUMBERS)
    assert len(half.loss_curve_) == 10
    assert not np.array_equal(half.coefs_[0], whole.coefs_[0])

    def run(epochs, name, model):
        rows = X.astype(np.float32), NUMBERS[:, None].astype(np.float32)
        kept = Checkpoint(tmp_path / name)
        train(model, "mse", *rows, epochs=epochs, seed=0, checkpoint=kept)
        return model.state_dict()

    run(5, "a", nn.mlp([3, 4, 1], seed=0))
    resumed = run(10, "a", nn.mlp([3, 4, 1], seed=0))
    straight = run(10, "b", nn.mlp([3, 4, 1], seed=0))
    assert all(np.array_equal(resumed[name], x) for name, x in straight.items())


@pytest.mark.parametrize("cls", ALL)
def test_sixteen_threads_predict_with_one_model(cls):
    model = fitted(cls)
    expected, state = model.predict(X), model.module_.state_dict()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: model.predict(X), range(64)))
    assert all(np.array_equal(answer, expected) for answer in answers)
    assert all(np.array_equal(state[k], v) for k, v in model.module_.state_dict().items())


@pytest.mark.parametrize("cls", ALL)
def test_clones_are_fitted_in_threads(cls):
    expected = fitted(cls).predict(X)
    found = []

    def work(model):
        found.append(model.fit(X, target(cls)).predict(X))

    threads = [threading.Thread(target=work, args=(clone(make(cls)),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(np.array_equal(answer, expected) for answer in found)


# Numerics.


def test_a_long_sum_in_float32():
    assert ops.sum(np.full(10**7, 0.1, np.float32)) == pytest.approx(10**6, rel=1e-6)


def test_log_softmax_at_its_ends():
    assert ops.log_softmax(np.array([710.0, -710.0])).tolist() == [0.0, -1420.0]
    assert ops.log_softmax(np.array([0.0, -np.inf])).tolist() == [0.0, -np.inf]
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(ops.log_softmax(np.array([-np.inf, -np.inf]))).all()
        assert np.isnan(ops.log_softmax(np.array([np.inf, 0.0]))[0])


def test_statistics_of_a_column_far_from_zero():
    column = 1e8 + X
    model = fitted(TabularRegressor, column)
    scaled = model.encoder_.transform(column).numbers
    near = fitted(TabularRegressor, X).encoder_.transform(X).numbers
    np.testing.assert_allclose(scaled, near, atol=1e-6)
