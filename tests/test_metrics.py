"""Metrics against scikit-learn on random tables, and what they refuse."""

import warnings

import numpy as np
import pytest
import sklearn.metrics
from sklearn.calibration import calibration_curve

from chainrule import metrics
from chainrule.errors import ChainruleError, ConfigError, DataError, ShapeError
from chainrule.metrics import METRICS, get_metric

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def reference(name, *arguments, **options):
    """scikit-learn's value; its warnings about undefined scores are not ours to test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(sklearn.metrics, name)(*arguments, **options)


def tables(count=60):
    """Random tables: few and many rows, one to five classes, ties, strings, absent classes."""
    for seed in range(count):
        random = np.random.default_rng(seed)
        rows, classes = int(random.integers(1, 40)), int(random.integers(1, 6))
        names = np.array(["ant", "bee", "cat", "dog", "elk"]) if seed % 3 == 0 else np.arange(5) - 1
        truth = names[random.integers(0, classes, rows)]
        prediction = names[random.integers(0, 5 if seed % 2 else classes, rows)]
        weight = [None, random.random(rows) + 0.01, random.integers(0, 3, rows) + (rows < 9)][
            seed % 3
        ]
        if weight is not None and not np.any(weight):
            weight = None
        yield pytest.param(truth, prediction, weight, id=str(seed))


def binary_tables(count=60):
    for seed in range(count):
        random = np.random.default_rng(100 + seed)
        rows = int(random.integers(2, 40))
        truth = random.integers(0, 2, rows)
        truth[:2] = [0, 1]
        score = np.round(random.random(rows), seed % 4)
        weight = random.random(rows) + 0.01 if seed % 2 else None
        yield pytest.param(truth, score, weight, id=str(seed))


@pytest.mark.parametrize(("truth", "prediction", "weight"), list(tables()))
@pytest.mark.parametrize("name", ["accuracy_score", "balanced_accuracy_score", "hamming_loss"])
def test_label_scores_equal_scikit_learn(name, truth, prediction, weight):
    ours = getattr(metrics, name)(truth, prediction, sample_weight=weight)
    theirs = reference(name, truth, prediction, sample_weight=weight)
    np.testing.assert_allclose(ours, theirs, **TOLERANCE)


@pytest.mark.parametrize(("truth", "prediction", "weight"), list(tables(30)))
def test_confusion_matrix_equals_scikit_learn(truth, prediction, weight):
    for normalize in (None, "true", "pred", "all"):
        for labels in (None, truth[:1], np.unique(np.append(truth, prediction))[::-1]):
            options = {"labels": labels, "normalize": normalize, "sample_weight": weight}
            ours = metrics.confusion_matrix(truth, prediction, **options)
            theirs = reference("confusion_matrix", truth, prediction, **options)
            np.testing.assert_allclose(ours, theirs, **TOLERANCE)
            assert (ours.dtype.kind == "i") == (weight is None and normalize is None)


@pytest.mark.parametrize(("truth", "prediction", "weight"), list(tables()))
def test_precision_recall_f1_equals_scikit_learn(truth, prediction, weight):
    for average in (None, "macro", "micro", "weighted"):
        for labels in (None, np.unique(np.append(truth, prediction))[-2:]):
            options = {"average": average, "labels": labels, "sample_weight": weight}
            ours = metrics.precision_recall_f1(truth, prediction, **options)
            theirs = reference(
                "precision_recall_fscore_support", truth, prediction, zero_division=0, **options
            )
            for mine, other in zip(ours, theirs, strict=True):
                if other is None:
                    assert mine is None
                else:
                    np.testing.assert_allclose(mine, other, **TOLERANCE)
    ours = metrics.f1_score(truth, prediction, average="macro", sample_weight=weight)
    theirs = reference(
        "f1_score", truth, prediction, average="macro", sample_weight=weight, zero_division=0
    )
    np.testing.assert_allclose(ours, theirs, **TOLERANCE)


@pytest.mark.parametrize("seed", range(20))
def test_indicator_matrices_equal_scikit_learn(seed):
    random = np.random.default_rng(seed)
    shape = int(random.integers(1, 20)), int(random.integers(2, 6))
    truth, prediction = random.integers(0, 2, (2, *shape))
    weight = random.random(shape[0]) + 0.01 if seed % 2 else None
    for name in ("accuracy_score", "hamming_loss"):
        ours = getattr(metrics, name)(truth, prediction, sample_weight=weight)
        theirs = reference(name, truth, prediction, sample_weight=weight)
        np.testing.assert_allclose(ours, theirs, **TOLERANCE)
    for average in ("macro", "micro", "weighted"):
        options = {"average": average, "sample_weight": weight}
        ours = metrics.f1_score(truth, prediction, **options)
        theirs = reference("f1_score", truth, prediction, zero_division=0, **options)
        np.testing.assert_allclose(ours, theirs, **TOLERANCE)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", ["log_loss", "brier_score_loss"])
def test_probability_scores_equal_scikit_learn(name, seed):
    random = np.random.default_rng(seed)
    rows, classes = int(random.integers(1, 30)), int(random.integers(2, 6))
    labels = np.array(["a", "b", "c", "d", "e"][:classes]) if seed % 2 else np.arange(classes)
    truth = labels[random.integers(0, classes, rows)]
    probability = random.dirichlet(np.full(classes, 0.3), rows)
    probability[0] = np.eye(classes)[random.integers(0, classes)]  # a row that is wholly sure
    weight = random.random(rows) + 0.01 if seed % 3 else None
    options = {"labels": labels, "sample_weight": weight}
    ours = getattr(metrics, name)(truth, probability, **options)
    np.testing.assert_allclose(ours, reference(name, truth, probability, **options), **TOLERANCE)
    if classes == 2:
        for second in (probability[:, 1], probability[:, 1:]):
            flat = getattr(metrics, name)(truth, second, **options)
            np.testing.assert_allclose(flat, ours, rtol=1e-9)


def test_log_loss_clips_by_the_precision_of_the_probabilities():
    for dtype in (np.float32, np.float64):
        sure = np.array([[1.0, 0.0]], dtype=dtype)
        expected = -np.log(np.finfo(dtype).eps)
        assert metrics.log_loss([1], sure) == pytest.approx(expected, rel=1e-12)
    assert metrics.log_loss([0], [[1, 0]]) < 1e-15


@pytest.mark.parametrize(("truth", "score", "weight"), list(binary_tables()))
def test_ranking_scores_equal_scikit_learn(truth, score, weight):
    for name in ("roc_auc_score", "average_precision_score"):
        ours = getattr(metrics, name)(truth, score, sample_weight=weight)
        theirs = reference(name, truth, score, sample_weight=weight)
        np.testing.assert_allclose(ours, theirs, **TOLERANCE)
        columns = np.stack([1 - score, score], axis=1)
        named = np.array(["no", "yes"])[truth]
        again = getattr(metrics, name)(named, columns, sample_weight=weight, labels=["no", "yes"])
        assert again == ours
    ours = metrics.roc_curve(truth, score, sample_weight=weight)
    theirs = reference("roc_curve", truth, score, sample_weight=weight, drop_intermediate=False)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, **TOLERANCE)
    ours = metrics.precision_recall_curve(truth, score, sample_weight=weight)
    theirs = reference("precision_recall_curve", truth, score, sample_weight=weight)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, **TOLERANCE)


def test_rows_of_weight_zero_make_no_step():
    options = {"sample_weight": [1, 0, 1]}
    ours = metrics.roc_curve([0, 1, 1], [0.1, 0.2, 0.3], **options)
    theirs = reference("roc_curve", [0, 1, 1], [0.1, 0.2, 0.3], drop_intermediate=False, **options)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other)


def test_one_class_has_no_area_and_no_precision():
    assert np.isnan(metrics.roc_auc_score([1, 1], [0.2, 0.3]))
    assert np.isnan(metrics.roc_auc_score(["b", "b"], [0.2, 0.3], labels=["a", "b"]))
    assert metrics.average_precision_score([0, 0], [0.2, 0.3]) == 0.0
    assert metrics.average_precision_score([1, 1], [0.2, 0.3]) == 1.0
    assert metrics.roc_auc_score([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) == 0.5


@pytest.mark.parametrize("seed", range(20))
def test_calibration_points_equal_scikit_learn(seed):
    random = np.random.default_rng(seed)
    rows = int(random.integers(2, 200))
    probability = random.dirichlet([1.0, 1.0, 1.0], rows)
    truth = random.integers(0, 3, rows)
    confidence, share, count = metrics.calibration_points(
        truth, probability, n_bins=8, labels=[0, 1, 2]
    )
    right = probability.argmax(axis=1) == truth
    theirs = calibration_curve(right.astype(int), probability.max(axis=1), n_bins=8, pos_label=1)
    np.testing.assert_allclose(share, theirs[0], **TOLERANCE)
    np.testing.assert_allclose(confidence, theirs[1], **TOLERANCE)
    assert count.sum() == rows
    error = metrics.expected_calibration_error(truth, probability, n_bins=8, labels=[0, 1, 2])
    assert error == pytest.approx(np.sum(count * np.abs(theirs[0] - theirs[1])) / rows, abs=1e-12)


def test_a_weight_of_two_is_a_row_given_twice():
    truth, probability = np.array([0, 1, 1]), np.array([0.3, 0.8, 0.4])
    twice = [0, 1, 2, 2]
    for metric in METRICS.values():
        prediction = probability if metric.needs != "labels" else (probability > 0.5).astype(int)
        weighted = metric.function(truth, prediction, sample_weight=[1, 1, 2])
        repeated = metric.function(truth[twice], prediction[twice])
        assert weighted == pytest.approx(repeated, rel=1e-12)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    "name",
    ["r2_score", "mean_squared_error", "root_mean_squared_error", "mean_absolute_error"],
)
def test_value_scores_equal_scikit_learn(name, seed):
    random = np.random.default_rng(seed)
    rows = int(random.integers(1, 30))
    shape = (rows, int(random.integers(1, 4))) if seed % 2 else (rows,)
    truth, prediction = random.normal(size=(2, *shape))
    if seed % 5 == 0:
        truth[:] = 2.0
    if seed % 10 == 0:
        prediction[:] = 2.0
    weight = random.random(rows) + 0.01 if seed % 3 else None
    ours = getattr(metrics, name)(truth, prediction, sample_weight=weight)
    theirs = reference(name, truth, prediction, sample_weight=weight)
    np.testing.assert_allclose(ours, theirs, **TOLERANCE)


def test_labels_may_be_objects_and_new_strings():
    truth = np.array(["a", "b"], dtype=object)
    assert metrics.accuracy_score(truth, np.array(["a", "a"], np.dtypes.StringDType())) == 0.5
    assert metrics.accuracy_score(np.array([1, 2], dtype=object), [1, 1]) == 0.5
    assert metrics.accuracy_score([True, False], [1, 1]) == 0.5
    big = np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64)
    assert metrics.confusion_matrix(big, big).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("name", "truth", "prediction", "options", "error", "text"),
    [
        ("accuracy_score", [], [], {}, DataError, "no rows"),
        ("r2_score", [], [], {}, DataError, "no rows"),
        ("log_loss", [], np.zeros((0, 2)), {"labels": [0, 1]}, DataError, "no rows"),
        ("roc_auc_score", [], [], {"labels": [0, 1]}, DataError, "no rows"),
        ("accuracy_score", [1, 2], [1], {}, ShapeError, "2 rows and the prediction 1"),
        ("accuracy_score", [[1], [2]], [1, 2], {}, ShapeError, r"\(2, 1\) and y_pred \(2,\)"),
        ("accuracy_score", [[1], [2]], [[1], [2]], {}, DataError, "ravel"),
        ("accuracy_score", [[1, 2]], [[1, 2]], {}, DataError, "indicator matrix of 0 and 1"),
        ("accuracy_score", 1, 1, {}, ShapeError, "expected the same"),
        ("accuracy_score", ["a"], [1], {}, DataError, "expected the same type"),
        ("accuracy_score", np.array(["a", 1], object), [1, 2], {}, DataError, "mixes strings"),
        ("accuracy_score", [None, 1], [1, 2], {}, DataError, "without gaps"),
        ("accuracy_score", [np.nan, 1.0], [1.0, 2.0], {}, DataError, r"y_true is nan at index \[0"),
        ("accuracy_score", np.array([1], np.uint64), [1], {}, DataError, "expected the same type"),
        ("confusion_matrix", [0], [0], {"normalize": "rows"}, ConfigError, "'pred' or 'all'"),
        ("confusion_matrix", [[0, 1]], [[0, 1]], {}, ShapeError, "one label a row"),
        ("confusion_matrix", [0], [0], {"labels": [1]}, DataError, "none of the labels"),
        ("confusion_matrix", [0], [0], {"labels": [1, 1]}, DataError, "list of different labels"),
        ("confusion_matrix", [0], [0], {"labels": ["a"]}, DataError, "expected the same type"),
        ("f1_score", [0], [0], {"average": "binary"}, ConfigError, "average is 'binary'"),
        ("f1_score", [[0, 1]], [[0, 1]], {"labels": [0]}, ConfigError, "leave it out"),
        ("log_loss", [0, 1], [0.5, 1.5], {}, DataError, r"1.5 at index \[1\].*softmax"),
        ("log_loss", [0], [[0.5, 0.3]], {}, DataError, "sums to 0.8 in row 0"),
        ("log_loss", [0, 1], np.full((2, 3), 1 / 3), {}, DataError, "pass labels="),
        ("log_loss", [0, 7], [0.1, 0.2], {"labels": [0, 1]}, DataError, "y_true is 7 in row 1"),
        ("log_loss", [0], [[[0.5]]], {}, ShapeError, "rows, classes"),
        ("log_loss", [[0, 1]], [[0.5, 0.5]], {}, ShapeError, "one label per row"),
        ("log_loss", ["a"], [0.5], {}, DataError, "1 classes"),
        ("log_loss", [0, 1], [0.5], {}, ShapeError, "2 rows and the prediction 1"),
        ("calibration_points", [0], [0.5], {"n_bins": 0}, ConfigError, "n_bins is 0"),
        ("roc_auc_score", [0, 1, 2], [0.1, 0.2, 0.3], {}, DataError, "3 classes"),
        ("roc_auc_score", [0, 1], np.eye(2, 3), {}, ShapeError, "two classes"),
        ("roc_auc_score", [0, 1], [0.1, np.inf], {}, DataError, "y_score is inf"),
        ("r2_score", [1.0, np.nan], [1.0, 2.0], {}, DataError, r"y_true is nan at index \[1\]"),
        ("r2_score", ["a"], [1.0], {}, DataError, "y_true is not made of numbers"),
        ("r2_score", [1j], [1.0], {}, DataError, "complex"),
        ("r2_score", [1.0], [1.0], {"sample_weight": [-1]}, DataError, "-1 in row 0"),
        ("r2_score", [1.0], [1.0], {"sample_weight": [0]}, DataError, "zero in every row"),
        ("r2_score", [1.0], [1.0], {"sample_weight": [1, 2]}, ShapeError, "one number per row"),
        ("r2_score", [1.0], [1.0], {"sample_weight": [np.nan]}, DataError, "sample_weight is nan"),
    ],
)
def test_refusals_name_the_argument(name, truth, prediction, options, error, text):
    with pytest.raises(error, match=text) as caught:
        getattr(metrics, name)(truth, prediction, **options)
    assert isinstance(caught.value, ChainruleError)


def test_metrics_are_found_by_name_and_called_alike():
    truth = np.array([0, 1, 1, 0])
    probability = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.9, 0.1]])
    given = {"labels": probability.argmax(axis=1), "probabilities": probability}
    for name, metric in METRICS.items():
        options = {"labels": [0, 1]} if metric.needs == "probabilities" else {}
        prediction = given.get(metric.needs, probability[:, 1])
        score = metric.function(truth, prediction, sample_weight=np.ones(4), **options)
        assert isinstance(score, float), name
        worse = metric.function(truth, prediction[[1, 0, 3, 2]], **options)
        assert (score > worse) == metric.greater_is_better, name
    with pytest.raises(ConfigError, match="unknown metric 'acc': expected one of accuracy, "):
        get_metric("acc")
