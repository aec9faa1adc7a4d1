"""How estimators are fitted: rows left alone, weights, calls that go on, what L-BFGS has not."""

import functools
import threading
import warnings

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.model_selection import cross_val_predict

import chainrule
from chainrule import MLPClassifier, MLPRegressor, NetClassifier, NetRegressor, nn, optim, train
from chainrule.contract import lone_row, whole_batches
from chainrule.data import Rows
from chainrule.errors import ConfigError, DataError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 5))
CLASSES = (X[:, 0] + rng.normal(size=200) > 0).astype(int)
WEIGHTS = rng.uniform(0, 1, 200) ** 4 * 10
NUMBERS = X[:, 0] + CLASSES
MANY = np.resize(X, (201, 5))

BATCH_NORM = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
NORMED = [
    functools.partial(MLPClassifier, (4,), batch_norm=True, max_iter=2, random_state=0),
    functools.partial(
        MLPRegressor, hidden_layer_sizes=(4,), batch_norm=True, max_iter=2, random_state=0
    ),
    functools.partial(NetClassifier, BATCH_NORM, epochs=2, random_state=0),
    functools.partial(NetRegressor, BATCH_NORM, epochs=2, random_state=0),
]


def pairs(name, **params):
    """Give scikit-learn's estimator of this name, and ours."""
    return [getattr(home, name)(**params) for home in (sklearn.neural_network, chainrule)]


def assert_same(theirs, ours):
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    for a, b in zip(theirs.coefs_, ours.coefs_, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9)


# A row left alone in the last batch.


@pytest.mark.parametrize("make", NORMED)
def test_no_row_is_left_alone_before_batch_normalization(make):
    y = np.resize(CLASSES, 201)
    model = make()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="batch_size")
        model.fit(MANY, y)
    assert np.isfinite(model.predict(MANY)).all()
    assert np.isfinite(model.module_[1].running_var.numpy()).all()
    with pytest.warns(UserWarning, match="batch_size=25 leaves a batch of one of the 201 rows.*24"):
        make(batch_size=25).fit(MANY, y)
    folds = cross_val_predict(make(), X[:7], [0, 1, 0, 1, 0, 1, 0], cv=2)
    assert np.isfinite(folds).all()


def test_batches_are_those_of_scikit_learn_where_nothing_refuses_a_row():
    theirs, ours = pairs("MLPRegressor", max_iter=3, random_state=0)
    y = np.resize(NUMBERS, 201)
    assert_same(theirs.fit(MANY, y), ours.fit(MANY, y))


def test_partial_fit_of_one_row_is_refused():
    model = NORMED[0]().partial_fit(X, CLASSES, classes=[0, 1])
    with pytest.raises(ShapeError, match=r"only one row, which the model refuses .*BatchNorm1d"):
        model.partial_fit(X[:1], CLASSES[:1])


@pytest.mark.parametrize("how", ["auto", False])
@pytest.mark.parametrize(
    ("rows", "batch_size", "works"), [(201, 200, 199), (7, 3, 4), (5, 2, 3), (9, 1, 3)]
)
def test_train_says_which_batch_size_works(how, rows, batch_size, works):
    x = np.ones((rows, 5), np.float32) * np.arange(rows, dtype=np.float32)[:, None]
    run = functools.partial(train, BATCH_NORM, "mse", x, x[:, :1], epochs=1, compile=how,
                            accumulate=2)  # fmt: skip
    before = BATCH_NORM.state_dict()
    text = f"batch_size={batch_size} leaves a batch of one of the {rows} rows.*BatchNorm1d.*"
    with pytest.raises(ShapeError, match=f"{text}use batch_size={works}$"):
        run(batch_size=batch_size)
    assert all(np.array_equal(before[name], x) for name, x in BATCH_NORM.state_dict().items())
    assert len(run(batch_size=works)) == 1


class Odd(nn.Module):
    """Takes no trace, and refuses training whatever the rows are."""

    def __init__(self, error):
        self.error = error

    def forward(self, x):
        if self.training:
            raise self.error
        return x


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.BatchNorm2d(1), (1, 2, 2)),
        (nn.Linear(3, 1), (3,)),
        (Odd(ShapeError("never")), (3,)),
        (Odd(TypeError("never")), (3,)),
    ],
)
def test_what_takes_a_single_row_or_refuses_all_is_not_refused_for_it(model, shape):
    assert lone_row(model, Rows((np.ones((3, *shape), np.float32),), np.ones((3, 1))), 2) == ""


def test_asking_for_a_row_leaves_the_model_to_other_threads():
    seen = []

    class Slow(nn.Module):
        def __init__(self):
            self.norm = nn.BatchNorm1d(2)
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            seen.append(model.training)
            return self.norm(self.drop(x))

    model = Slow().eval()
    state = model.state_dict()
    rows = Rows((np.ones((3, 2), np.float32),), np.ones((3, 2)))
    asking = threading.Thread(target=lone_row, args=(model, rows, 2))
    asking.start()
    asking.join()
    assert seen == [False, False]
    assert all(np.array_equal(state[name], x) for name, x in model.state_dict().items())


def test_a_batch_size_that_leaves_no_row_alone_is_found():
    for rows in range(2, 60):
        for size in range(1, rows):
            found = whole_batches(rows, size)
            assert rows % found != 1
            assert 2 <= found <= rows


# Weights of validation rows.


@pytest.mark.parametrize(("name", "y"), [("MLPClassifier", CLASSES), ("MLPRegressor", NUMBERS)])
def test_early_stopping_weighs_the_rows_held_out_as_scikit_learn_does(name, y):
    params = {"random_state": 1, "max_iter": 100, "early_stopping": True,
              "learning_rate_init": 0.01}  # fmt: skip
    theirs, ours = (m.fit(X, y, sample_weight=WEIGHTS) for m in pairs(name, **params))
    assert_same(theirs, ours)
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_)


@pytest.mark.parametrize(("cls", "y"), [(NetClassifier, CLASSES), (NetRegressor, NUMBERS)])
def test_the_score_of_held_out_rows_counts_whole_weights_as_repeated_rows(cls, y):
    scores = []
    for weight in (None, np.full(200, 3.0), WEIGHTS):
        model = cls(epochs=1, lr=0.0, validation_fraction=0.3, random_state=0, compile=False)
        scores += model.fit(X, y, sample_weight=weight).history_["validation_score"]
    assert scores[0] == pytest.approx(scores[1])
    assert scores[0] != pytest.approx(scores[2])


# Calls that go on from others.


@pytest.mark.parametrize("rate", ["invscaling", "adaptive"])
@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
def test_the_rate_goes_on_in_partial_fit_as_in_scikit_learn(rate, begin):
    both = pairs("MLPRegressor", solver="sgd", learning_rate=rate, learning_rate_init=0.5,
                 n_iter_no_change=1, tol=0.01, max_iter=7, random_state=1)  # fmt: skip
    for model in both:
        getattr(model, begin)(X, NUMBERS)
        for start in range(0, 100, 10):
            model.partial_fit(X[start:], NUMBERS[start:])
    assert_same(*both)


@pytest.mark.parametrize("params", [{}, {"solver": "sgd", "learning_rate": "adaptive"}])
def test_patience_goes_on_with_warm_start_as_in_scikit_learn(params):
    both = pairs("MLPClassifier", random_state=1, warm_start=True, max_iter=5, n_iter_no_change=2,
                 tol=0.01, learning_rate_init=0.05, **params)  # fmt: skip
    for _ in range(6):
        assert_same(*(model.fit(X, CLASSES) for model in both))


@pytest.mark.parametrize("how", ["numpy", "numba", False])
def test_the_best_weights_of_all_fits_remain(how):
    held_out = X[150:], CLASSES[150:]
    model = MLPClassifier(random_state=1, warm_start=True, max_iter=3, early_stopping=True,
                          learning_rate_init=0.3, compile=how)  # fmt: skip
    for _ in range(4):
        model.fit(X[:150], CLASSES[:150], validation_data=held_out)
        assert model.score(*held_out) == model.best_validation_score_


CHANGES = [
    ({"early_stopping": True}, {"early_stopping": False}),
    ({"early_stopping": False}, {"early_stopping": True}),
    ({"solver": "lbfgs"}, {"solver": "adam"}),
    ({"solver": "lbfgs"}, {"solver": "sgd", "early_stopping": True}),
]


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_warm_start_takes_other_settings(before, after):
    model = MLPClassifier((4,), max_iter=3, random_state=0, warm_start=True, **before)
    epochs = len(getattr(model.fit(X, CLASSES), "loss_curve_", []))
    model.set_params(**after).fit(X, CLASSES)
    assert len(model.loss_curve_) == epochs + model.n_iter_
    if model.early_stopping:
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert model.best_loss_ is None
    else:
        assert model.best_loss_ == min(model.loss_curve_)
        assert model.validation_scores_ is model.best_validation_score_ is None


# What L-BFGS has not.


@pytest.mark.parametrize(
    ("params", "fit"),
    [
        ({"weight_decay": 0.1}, {}),
        ({"clip_norm": 1.0}, {}),
        ({"schedule": "cosine"}, {}),
        ({"callbacks": [print]}, {}),
        ({}, {"validation_data": (X, CLASSES)}),
    ],
)
def test_lbfgs_refuses_what_it_would_ignore(params, fit):
    (name,) = {**params, **fit}
    with pytest.raises(ConfigError, match=f"solver='lbfgs' has no {name}: use solver='adam'"):
        MLPClassifier(solver="lbfgs", **params).fit(X, CLASSES, **fit)


def test_an_optimizer_that_is_an_object_has_its_own_weight_decay():
    model = MLPClassifier(optimizer=optim.Adam(0.001), weight_decay=10)
    with pytest.raises(ConfigError, match=r"such as optim.AdamW\(0.001, weight_decay=10\)"):
        model.fit(X, CLASSES)


def test_lbfgs_leaves_no_epochs_of_an_earlier_fit(tmp_path):
    model = MLPClassifier((4,), max_iter=3, random_state=0).fit(X, CLASSES)
    model.set_params(solver="lbfgs").fit(X, CLASSES).save(tmp_path / "net")
    loaded = chainrule.load(tmp_path / "net")
    assert len(loaded.history_) == 0
    assert not hasattr(loaded, "loss_curve_")
    weights = model.coefs_[0].copy()
    model.set_params(solver="adam").partial_fit(X, CLASSES)
    assert not np.array_equal(model.coefs_[0], weights)


# Classes.


def test_a_class_without_a_weight_has_weight_1():
    fits = [
        MLPClassifier((4,), max_iter=3, random_state=0, class_weight=given).fit(X, CLASSES)
        for given in ({0: 3.0}, {0: 3.0, 1: 1.0}, None)
    ]
    assert fits[0].loss_curve_ == fits[1].loss_curve_ != fits[2].loss_curve_


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 2, 3], ["a", "b", "c"]])
def test_classes_of_several_labels_are_their_numbers(classes):
    labels = np.c_[CLASSES, 1 - CLASSES, CLASSES]
    model = MLPClassifier((4,), random_state=0)
    with pytest.raises(DataError, match=r"expected a number for each label, range\(3\)"):
        model.partial_fit(X, labels, classes=classes)
    assert model.partial_fit(X, labels, classes=[0, 1, 2]).predict(X).shape == (200, 3)
