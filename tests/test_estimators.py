"""The three pairs of estimators: scikit-learn's contract, parity, faults, saving."""

import functools
import pickle
import warnings

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import chainrule
from chainrule import (
    EarlyStopping,
    MLPClassifier,
    MLPRegressor,
    NetClassifier,
    NetRegressor,
    TabularClassifier,
    TabularRegressor,
    load,
    losses,
    nn,
    ops,
    optim,
    schedules,
)
from chainrule.errors import (
    ChainruleError,
    ConfigError,
    DataError,
    DivergedError,
    FormatError,
)
from chainrule.estimators.base import Targets
from chainrule.estimators.persist import encode
from chainrule.save import ModelFile

CLASSIFIERS = [MLPClassifier, NetClassifier, TabularClassifier]
REGRESSORS = [MLPRegressor, NetRegressor, TabularRegressor]
SHORT = {
    MLPClassifier: {"max_iter": 60},
    MLPRegressor: {"max_iter": 60},
    NetClassifier: {"epochs": 60},
    NetRegressor: {"epochs": 60},
    TabularClassifier: {"epochs": 10, "members": 4, "hidden": (32,)},
    TabularRegressor: {"epochs": 10, "members": 4, "hidden": (32,)},
}

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
SCALED_CANCER = StandardScaler().fit_transform(CANCER[0])
LABELS = make_multilabel_classification(120, 10, n_classes=4, random_state=0)


def make(cls, **params):
    return cls(**(SHORT[cls] | {"random_state": 0} | params))


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return call()


# scikit-learn's own examination.

MLP_BOTH = [
    {},
    {"solver": "lbfgs", "activation": "tanh"},
    {"solver": "sgd", "learning_rate": "adaptive"},
    {"hidden_layer_sizes": (), "activation": "logistic", "learning_rate_init": 0.05},
    {
        "hidden_layer_sizes": (8, 4),
        "activation": ["tanh", "mish"],
        "layer_norm": True,
        "learning_rate_init": 0.02,
    },
    {"optimizer": "nadam", "schedule": "cosine", "clip_norm": 1.0, "weight_decay": 0.01},
]
NET_BOTH = [
    {},
    {"optimizer": "rmsprop", "clip_norm": 1.0},
    {"schedule": "onecycle", "lr": 0.05},
    {"optimizer": optim.SGD(0.05, momentum=0.9, nesterov=True), "clip_norm": 1.0},
    {"early_stopping": EarlyStopping(20, monitor="loss")},
    {"schedule": schedules.WarmUp(50, schedules.Cosine()), "lr": 0.03},
]
TABULAR_BOTH = [
    {},
    {"members": 1},
    {"activation": "selu"},
    {"hidden": (), "epochs": 60, "lr": 0.02},
    {"hidden": (16, 16), "lr": 0.02},
    {"members": 3, "label_smoothing": 0.0},
]
CONFIGURATIONS = [
    *[(cls, p) for cls in (MLPClassifier, MLPRegressor) for p in MLP_BOTH],
    *[(cls, p) for cls in (NetClassifier, NetRegressor) for p in NET_BOTH],
    *[(cls, p) for cls in (TabularClassifier, TabularRegressor) for p in TABULAR_BOTH],
    (MLPClassifier, {"loss": "focal"}),
    (MLPRegressor, {"loss": "huber"}),
]
EXAMINED = {
    MLPClassifier: {"max_iter": 100},
    MLPRegressor: {"max_iter": 100},
    NetClassifier: {"lr": 0.02},
    NetRegressor: {"lr": 0.02},
    TabularClassifier: {"epochs": 25},
    TabularRegressor: {"epochs": 25},
}
# scikit-learn skips these for its own MLP too: one needs an environment variable, one a
# decision_function.
SKIPPED = {
    "check_array_api_input",
    "check_classifiers_multilabel_output_format_decision_function",
}


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "params"), CONFIGURATIONS)
@pytest.mark.filterwarnings("ignore")
def test_check_estimator(cls, params):
    if cls is TabularRegressor:
        params = {key: value for key, value in params.items() if key != "label_smoothing"}
    model = cls(**(EXAMINED[cls] | {"random_state": 0} | params))
    results = check_estimator(model, on_fail=None, on_skip=None)
    failed = [(r["check_name"], str(r["exception"])) for r in results if r["status"] == "failed"]
    assert failed == []
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= SKIPPED
    own = "MLPClassifier" if cls in CLASSIFIERS else "MLPRegressor"
    theirs = _checks_passed_by(getattr(sklearn.neural_network, own))
    if cls in (TabularClassifier, TabularRegressor):
        theirs = theirs - {"check_estimators_nan_inf"}  # it asks to refuse missing values
    assert theirs <= {r["check_name"] for r in results if r["status"] == "passed"}


@functools.cache
def _checks_passed_by(cls):
    results = check_estimator(cls(max_iter=5), on_fail=None, on_skip=None)
    return {r["check_name"] for r in results if r["status"] == "passed"}


# The MLP pair is scikit-learn's.

PARITY = [
    ("MLPClassifier", IRIS, {}),
    ("MLPClassifier", (SCALED_CANCER, CANCER[1]), {"hidden_layer_sizes": (20, 10)}),
    ("MLPClassifier", (SCALED_CANCER, CANCER[1]),
     {"early_stopping": True, "activation": "logistic"}),
    ("MLPClassifier", (SCALED_CANCER, CANCER[1]), {"solver": "lbfgs", "activation": "tanh"}),
    ("MLPClassifier", (SCALED_CANCER, CANCER[1]),
     {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1}),
    ("MLPClassifier", (SCALED_CANCER, CANCER[1]),
     {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 0.01}),
    ("MLPClassifier", LABELS, {"alpha": 0.1}),
    ("MLPClassifier", IRIS, {"shuffle": False, "batch_size": 32}),
    ("MLPRegressor", DIABETES, {"hidden_layer_sizes": (20, 10)}),
    ("MLPRegressor", (DIABETES[0], np.c_[DIABETES[1], DIABETES[1] ** 0.5]), {}),
    ("MLPRegressor", DIABETES, {"loss": "poisson"}),
    ("MLPRegressor", (DIABETES[0], DIABETES[1] / 100),
     {"early_stopping": True, "batch_size": 37, "solver": "sgd", "nesterovs_momentum": False}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "params"), PARITY)
@pytest.mark.filterwarnings("ignore")
def test_same_parameters_give_the_weights_of_scikit_learn(name, data, params):
    params = {"max_iter": 40, "random_state": 3} | params
    theirs = getattr(sklearn.neural_network, name)(**params).fit(*data)
    ours = getattr(chainrule, name)(**params).fit(*data)
    for a, b in zip(
        theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_, strict=True
    ):
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.predict(data[0]), theirs.predict(data[0]), rtol=1e-6)
    for attribute in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    outputs = theirs.n_outputs_ if name == "MLPRegressor" and "loss" not in params else 1
    for attribute in ("loss_curve_", "loss_"):
        if hasattr(theirs, attribute):
            expected = np.asarray(getattr(theirs, attribute)) * outputs  # ours adds up the outputs
            np.testing.assert_allclose(getattr(ours, attribute), expected, rtol=1e-6)
    for attribute in ("best_loss_", "best_validation_score_", "validation_scores_"):
        if outputs == 1 and getattr(theirs, attribute, None) is not None:
            np.testing.assert_allclose(
                getattr(ours, attribute), getattr(theirs, attribute), rtol=1e-6
            )


def test_every_parameter_of_scikit_learn_is_there_with_its_default():
    for name in ("MLPClassifier", "MLPRegressor"):
        theirs = getattr(sklearn.neural_network, name)().get_params()
        ours = getattr(chainrule, name)().get_params()
        assert {key: ours.get(key) for key in theirs} == theirs


def test_messages_of_scikit_learn():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached and the opt"):
        MLPClassifier(max_iter=2).fit(*IRIS)
    with pytest.warns(UserWarning, match="larger than sample size. It is going to be clipped"):
        quiet(lambda: MLPClassifier(batch_size=1000, max_iter=2).fit(*IRIS))
    for params, text in [
        ({"alpha": -1}, "The 'alpha' parameter of MLPClassifier must be a float in the range"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be > 0"),
        ({"hidden_layer_sizes": (10, "a")}, "hidden_layer_sizes must be whole numbers"),
        ({"solver": "newton"}, "The 'solver' parameter of MLPClassifier must be a str among"),
        ({"dropout": 1.0}, "The 'dropout' parameter of MLPClassifier must be a float in the range"),
        ({"learning_rate_init": 0}, "The 'learning_rate_init' parameter"),
    ]:
        with pytest.raises(ValueError, match=r"parameter|hidden_layer_sizes") as caught:
            MLPClassifier(**params).fit(*IRIS)
        assert text in str(caught.value)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        MLPClassifier(early_stopping=True).partial_fit(*IRIS, classes=[0, 1, 2])
    with pytest.raises(AttributeError):
        _ = MLPClassifier(solver="lbfgs").partial_fit
    with pytest.raises(ValueError, match="The validation set is too small"):
        MLPRegressor(early_stopping=True).fit(IRIS[0][:6], [0, 1, 0, 1, 0, 1])


def test_partial_fit_and_warm_start_agree_with_scikit_learn():
    X, y = IRIS
    theirs = sklearn.neural_network.MLPClassifier(random_state=1)
    ours = MLPClassifier(random_state=1)
    for _ in range(3):
        theirs.partial_fit(X, y, classes=[0, 1, 2])
        ours.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-9, atol=1e-12)
    assert ours.t_ == theirs.t_
    warm = [
        m.set_params(warm_start=True, max_iter=3)
        for m in (
            sklearn.neural_network.MLPClassifier(random_state=1),
            MLPClassifier(random_state=1),
        )
    ]
    for model in warm:
        quiet(lambda model=model: model.fit(X, y).fit(X, y))
    np.testing.assert_allclose(warm[1].coefs_[0], warm[0].coefs_[0], rtol=1e-9, atol=1e-12)
    with pytest.raises(DataError, match="same classes as in the previous call to fit"):
        warm[1].fit(X[:100], y[:100])


def test_coefs_are_views_that_cannot_be_written():
    model = quiet(lambda: make(MLPClassifier).fit(*IRIS))
    assert [w.shape for w in model.coefs_] == [(4, 100), (100, 3)]
    with pytest.raises(ValueError, match="read-only"):
        model.coefs_[0][0, 0] = 1


# What scikit-learn refuses.


@pytest.mark.parametrize(
    "params",
    [
        {"dropout": 0.2},
        {"batch_norm": True},
        {"layer_norm": True},
        {"activation": ["relu", "tanh"], "hidden_layer_sizes": (16, 8)},
        {"activation": "gelu"},
        {"loss": "focal"},
        {"loss": "multiclass_hinge"},
        {"loss": losses.cross_entropy.having(label_smoothing=0.1)},
        {"loss": lambda p, t: losses.cross_entropy.formula(p, t)},
        {"class_weight": "balanced"},
        {"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}},
        {"optimizer": optim.RMSprop(0.01)},
        {"optimizer": "adamw", "schedule": "cosine"},
        {"schedule": schedules.OneCycle(), "clip_norm": 1.0},
        {"weight_decay": 0.01},
    ],
)
def test_beyond_scikit_learn(params):
    model = make(MLPClassifier, learning_rate_init=0.01, max_iter=80, **params)
    model = quiet(lambda: clone(model).fit(*IRIS))
    assert model.score(*IRIS) > 0.9
    if "hinge" not in str(params.get("loss")):
        assert model.predict_proba(IRIS[0]).sum(axis=1) == pytest.approx(np.ones(150))
    else:
        with pytest.raises(AttributeError, match="gives scores and no probabilities"):
            model.predict_proba(IRIS[0])


@pytest.mark.parametrize("loss", ["log_loss", "focal", "hinge", "binary_focal"])
def test_losses_for_two_classes_and_for_labels(loss):
    two = quiet(lambda: make(MLPClassifier, loss=loss).fit(SCALED_CANCER, CANCER[1]))
    assert two.score(SCALED_CANCER, CANCER[1]) > 0.9
    several = quiet(lambda: make(MLPClassifier, loss=loss, max_iter=200).fit(*LABELS))
    assert several.predict(LABELS[0]).shape == LABELS[1].shape
    assert several.score(*LABELS) > 0.3


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "quantile", "adaptive", "poisson",
             losses.huber.having(delta=5.0)],
)  # fmt: skip
def test_losses_for_numbers(loss):
    X = StandardScaler().fit_transform(DIABETES[0])
    model = quiet(lambda: make(MLPRegressor, loss=loss, learning_rate_init=0.02, max_iter=300)
                  .fit(X, DIABETES[1] / 50))  # fmt: skip
    assert model.score(X, DIABETES[1] / 50) > 0.3


def test_losses_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"loss mse does not fit binary labels; .* focal, hinge"):
        make(MLPClassifier, loss="mse").fit(SCALED_CANCER, CANCER[1])
    with pytest.raises(ConfigError, match=r"loss hinge is not for numbers; expected squared_error"):
        make(MLPRegressor, loss="hinge").fit(*DIABETES)


def test_weights_of_classes_and_of_rows_are_multiplied():
    X, y = SCALED_CANCER[:100], CANCER[1][:100]
    rows = np.random.default_rng(0).uniform(0.5, 2, len(y))
    both = make(MLPClassifier, class_weight={0: 3.0, 1: 0.5}, max_iter=3)
    one = make(MLPClassifier, max_iter=3)
    quiet(lambda: both.fit(X, y, sample_weight=rows))
    quiet(lambda: one.fit(X, y, sample_weight=rows * np.where(y == 0, 3.0, 0.5)))
    assert both.history_["loss"] == one.history_["loss"]


def test_validation_data_fill_the_history_and_stop():
    X, y = SCALED_CANCER, CANCER[1]
    model = make(MLPClassifier, max_iter=100, early_stopping=True, n_iter_no_change=5)
    model = quiet(lambda: model.fit(X[:400], y[:400], validation_data=(X[400:], y[400:])))
    assert len(model.history_) < 100
    assert model.best_validation_score_ == model.score(X[400:], y[400:])
    assert {"validation_loss", "validation_score"} <= set(model.history_.columns())
    with pytest.raises(DataError, match=r"validation_data: expected a tuple \(X, y\)"):
        make(MLPClassifier).fit(X, y, validation_data=X)


def test_callbacks_and_progress(capsys):
    seen = []
    quiet(lambda: make(MLPClassifier, max_iter=3, callbacks=[seen.append], verbose=True).fit(*IRIS))
    assert [e.epoch for e in seen] == [1, 2, 3]
    assert "epoch 1/3  loss" in capsys.readouterr().err


# Any module.


def test_net_takes_a_module_a_function_and_keeps_weights():
    module = nn.mlp([4, 16, 3], "tanh", dropout=0.1, seed=0)
    before = module.state_dict()
    net = make(NetClassifier, module=module, lr=0.01).fit(*IRIS)
    assert net.score(*IRIS) > 0.9
    assert all(np.array_equal(before[k], v) for k, v in module.state_dict().items())
    built = make(NetClassifier, module=lambda n, k: nn.mlp([n, 8, k], seed=0), lr=0.01).fit(*IRIS)
    assert built.module_.count_parameters() == 4 * 8 + 8 + 8 * 3 + 3
    goes_on = make(NetClassifier, module=net.module_, initialize=False, epochs=1, lr=1e-6).fit(
        *IRIS
    )
    np.testing.assert_allclose(
        goes_on.module_.state_dict()["0.weight"], net.module_.state_dict()["0.weight"], atol=1e-4
    )


def test_two_classes_take_one_logit():
    X, y = IRIS[0][:100], IRIS[1][:100]
    with pytest.raises(ChainruleError, match="one logit tells two classes apart"):
        make(NetClassifier, module=nn.mlp([4, 8, 2])).fit(X, y)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (
            nn.mlp([4, 8, 2], seed=0),
            "gives an output of shape (1, 2) for one row; the targets need",
        ),
        (nn.mlp([5, 8, 3], seed=0), "Linear(5, 8) got an input of shape (1, 4)"),
        ("mlp", "module='mlp': expected a chainrule.nn.Module, or a function"),
        (lambda n, k: 3, "module: the function returned 3, no Module"),
    ],
)
def test_net_refuses_a_module_that_does_not_fit(module, text):
    with pytest.raises(ChainruleError) as caught:
        make(NetClassifier, module=module).fit(*IRIS)
    assert text in str(caught.value)


# Tables.


def penguins_like(n=120):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], n)
    size = np.where(kind == "a", 1.0, 3.0) + rng.normal(0, 0.3, n)
    table = pandas.DataFrame(
        {"kind": kind, "size": size, "many": rng.integers(0, 40, n).astype(str)}
    )
    table.loc[::7, "size"] = np.nan
    table.loc[::11, "kind"] = None
    return table, np.where(size > 2, "large", "small")


def test_tabular_takes_a_table_as_it_comes():
    table, y = penguins_like()
    net = make(TabularClassifier, epochs=30).fit(table, y)
    assert net.score(table, y) > 0.95
    assert list(net.feature_names_in_) == ["kind", "size", "many"]
    new = table[:2].assign(kind=["never seen", None], many=["x", None], size=[np.nan, 3.0])
    assert net.predict_proba(new).shape == (2, 2)
    with pytest.raises(DataError, match="the columns of training in another order"):
        net.predict(table[["size", "kind", "many"]])
    with pytest.raises(DataError, match="lacks columns"):
        net.predict(table[["size", "kind"]])


def test_tabular_does_not_depend_on_the_order_of_rows():
    table, y = penguins_like()
    order = np.random.default_rng(1).permutation(len(y))
    a = make(TabularClassifier).fit(table, y)
    b = make(TabularClassifier).fit(table.iloc[order], y[order])
    assert np.array_equal(a.predict_proba(table), b.predict_proba(table))


def test_whole_weights_are_repeated_rows_and_others_weigh():
    X, y = IRIS
    weight = np.arange(150) % 3
    a = make(TabularClassifier).fit(X, y, sample_weight=weight)
    b = make(TabularClassifier).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
    c = make(TabularClassifier).fit(X, y, sample_weight=weight + 0.5)
    assert not np.array_equal(a.predict_proba(X), c.predict_proba(X))


def test_statistics_come_from_the_rows_of_fit_alone():
    X, y = IRIS
    net = make(TabularClassifier).fit(X, y)
    state = net.encoder_.to_state()
    net.predict(X * 1000)
    assert net.encoder_.to_state() == state


def test_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3))
    y = rng.random(2000) < 1 / (1 + np.exp(-2 * X[:, 0]))
    net = make(TabularClassifier, epochs=20).fit(X[:1000], y[:1000])
    p = net.predict_proba(X[1000:])[:, 1]
    from chainrule.metrics import expected_calibration_error

    assert expected_calibration_error(y[1000:], p) < 0.06


def test_several_labels_and_outputs_everywhere():
    for cls in CLASSIFIERS:
        model = quiet(lambda cls=cls: make(cls).fit(*LABELS))
        assert model.predict(LABELS[0]).shape == LABELS[1].shape
        assert model.predict_proba(LABELS[0]).shape == LABELS[1].shape
    y = np.c_[DIABETES[1], -DIABETES[1]]
    for cls in REGRESSORS:
        assert (
            quiet(lambda cls=cls: make(cls).fit(DIABETES[0], y)).predict(DIABETES[0]).shape
            == y.shape
        )


# Saving.


@pytest.mark.parametrize("cls", [*CLASSIFIERS, *REGRESSORS])
def test_saved_and_pickled_models_predict_the_same(cls, tmp_path):
    X, y = IRIS if cls in CLASSIFIERS else DIABETES
    y = np.array(["x", "y", "z"])[y] if cls in CLASSIFIERS else y
    model = quiet(lambda: make(cls).fit(X, y))
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    copied = pickle.loads(pickle.dumps(model))
    for other in (again, copied):
        assert type(other) is cls
        assert np.array_equal(other.predict(X), model.predict(X))
        assert other.history_.rows == model.history_.rows
    if cls in CLASSIFIERS:
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
        assert np.array_equal(again.classes_, model.classes_)
    assert again.get_params().keys() == model.get_params().keys()


def test_parameters_survive_saving(tmp_path):
    params = {
        "optimizer": optim.SGD(0.05, momentum=0.9),
        "schedule": schedules.WarmUp(5, schedules.Cosine(100)),
        "loss": losses.focal.having(gamma=1.0),
        "class_weight": {0: 1.0, 1: 2.0, 2: 1.5},
        "hidden_layer_sizes": (8, 8),
        "activation": ["relu", "gelu"],
        "n_iter_no_change": np.inf,
    }
    model = quiet(lambda: make(MLPClassifier, **params).fit(*IRIS))
    model.save(tmp_path / "model")
    again = load(tmp_path / "model").get_params()
    for name, value in params.items():
        assert repr(again[name]) == repr(value)


def test_what_cannot_be_saved_says_so(tmp_path):
    model = quiet(lambda: make(MLPClassifier, loss=lambda p, t: ops.sum(p * 0, -1)).fit(*IRIS))
    with pytest.raises(ConfigError, match=r"loss=.* cannot be saved"):
        model.save(tmp_path / "model")
    with pytest.raises(ValueError, match="not fitted"):
        make(MLPClassifier).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


# Faults.

BOTH = [*CLASSIFIERS, *REGRESSORS]


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda X, y: (X[:-1], y), "inconsistent numbers of samples"),
        (lambda X, y: (X[:0], y[:0]), "0 sample"),
        (lambda X, y: (X[:, :0], y), "0 feature"),
        (lambda X, y: (X[:, 0], y), "Reshape your data"),
        (lambda X, y: (X + 1j, y), "Complex data not supported"),
    ],
)
def test_rows_that_do_not_fit_are_refused(cls, change, text):
    X, y = IRIS if cls in CLASSIFIERS else DIABETES
    with pytest.raises(ValueError, match=text):
        make(cls).fit(*change(X, y))


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (-np.ones(150), "Negative|negative|at least 0"),
        (np.zeros(150), "zero"),
        (np.full(150, np.nan), "NaN|finite"),
        (np.ones(149), "150|shape"),
    ],
)
def test_weights_that_make_no_sense_are_refused(cls, weight, text):
    with pytest.raises(ValueError, match=text):
        make(cls).fit(IRIS[0], IRIS[1], sample_weight=weight)


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (["a", 1] * 75, "mixed types"),
        (["a", None] * 75, "missing|None"),
        ([0.5, 1.5] * 75, "Unknown label type"),
        ([0.0, np.nan] * 75, "NaN|missing"),
    ],
)
def test_labels_that_make_no_sense_are_refused_in_words(cls, labels, text):
    with pytest.raises(ValueError, match=text):
        make(cls).fit(IRIS[0], np.array(labels, dtype=object if "a" in labels else float))


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_one_class_agrees_with_itself(cls):
    model = quiet(lambda: make(cls).fit(IRIS[0], np.full(150, "only")))
    assert list(model.classes_) == ["only"]
    assert model.predict_proba(IRIS[0][:5]).tolist() == [[1.0]] * 5
    assert set(model.predict(IRIS[0])) == {"only"}


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.parametrize(
    "labels", [np.array([2**40, 2**40 + 1]), np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64),
               np.array([False, True]), np.array(["no", "yes"])],
)  # fmt: skip
def test_labels_come_back_exactly(cls, labels):
    X, y = IRIS[0][:100], labels[IRIS[1][:100]]
    model = quiet(lambda: make(cls).fit(X, y))
    assert set(model.predict(X).tolist()) <= set(labels.tolist())
    assert sorted(model.classes_.tolist()) == sorted(labels.tolist())


@pytest.mark.parametrize("cls", [MLPClassifier, NetClassifier])
def test_missing_and_infinite_numbers_are_refused(cls):
    for bad in (np.nan, np.inf):
        X = IRIS[0].copy()
        X[3, 1] = bad
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            make(cls).fit(X, IRIS[1])
    with pytest.raises(DataError, match="row 3"):
        make(TabularClassifier).fit(
            np.where(np.arange(600).reshape(150, 4) == 13, np.inf, IRIS[0]), IRIS[1]
        )


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor, NetRegressor])
def test_huge_numbers_are_never_a_silently_useless_model(cls):
    X, y = IRIS if cls in CLASSIFIERS else DIABETES
    with pytest.raises(DivergedError, match="the last good weights were kept"):
        make(cls).fit(X * 1e300, y)
    if cls in REGRESSORS:
        with pytest.raises(DivergedError):
            make(cls).fit(X, y * 1e200)


def test_huge_numbers_in_tables():
    X, y = IRIS
    net = make(TabularClassifier, epochs=40, lr=0.01).fit(X * 1e300, y)
    assert net.score(X * 1e300, y) > 0.9
    with pytest.raises(DataError, match="row"):
        make(TabularRegressor).fit(X, np.where(np.arange(150) == 7, 1e200, 1.0))


@pytest.mark.parametrize("cls", BOTH)
def test_constant_column_one_row_and_no_rows_to_predict(cls):
    X, y = IRIS if cls in CLASSIFIERS else DIABETES
    constant = np.c_[X, np.ones(len(X))]
    model = quiet(lambda: make(cls).fit(constant, y))
    assert np.isfinite(
        model.predict_proba(constant) if cls in CLASSIFIERS else model.predict(constant)
    ).all()


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    "form",
    [
        np.asfortranarray,
        lambda X: X[::-1][::-1],
        lambda X: np.concatenate([X, X], axis=1)[:, : X.shape[1]],
        lambda X: X.astype(">f8"),
        lambda X: X.astype(object),
    ],
)
def test_memory_layout_changes_no_bit(cls, form):
    X, y = IRIS if cls in CLASSIFIERS else DIABETES
    given = form(X)
    given.flags.writeable = False
    a = quiet(lambda: make(cls).fit(np.ascontiguousarray(X), y).predict(X))
    assert np.array_equal(quiet(lambda: make(cls).fit(given, y)).predict(X), a)


def test_layer_of_a_billion_units_is_refused_before_memory_is_taken():
    with pytest.raises(ConfigError, match=r"needs about .* GiB"):
        MLPClassifier((10**9, 10**9)).fit(*IRIS)


def test_grid_search_over_what_is_new():
    grid = GridSearchCV(make(MLPClassifier, max_iter=20), {"dropout": [0.0, 0.3]}, cv=2)
    assert "dropout" in quiet(lambda: grid.fit(*IRIS)).best_params_


@pytest.fixture(scope="module")
def filed():
    """Give what a model file of a small estimator holds."""
    random = np.random.RandomState(0)
    model = quiet(lambda: make(MLPClassifier, max_iter=2, random_state=random).fit(*IRIS))
    config, arrays = model.to_file()
    return ModelFile("MLPClassifier", config, arrays, {})


def test_a_generator_is_no_part_of_a_model_file(filed):
    assert MLPClassifier.from_file(filed).random_state is None
    seeded = quiet(lambda: make(MLPClassifier, max_iter=2, random_state=np.int64(3)).fit(*IRIS))
    assert seeded.to_file()[0]["params"]["random_state"] == 3


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        ("params", "speed", 3, "its parameters do not fit MLPClassifier: .*'speed'"),
        ("fitted", "speed_", 3, "an attribute speed_ that MLPClassifier does not have"),
        ("fitted", "classes_", {"array": [1], "dtype": "complex128"}, "an array of complex128"),
    ],
)
def test_a_file_of_something_else_is_refused(filed, part, name, value, message):
    config = filed.config | {part: filed.config[part] | {name: value}}
    with pytest.raises(FormatError, match=message):
        MLPClassifier.from_file(ModelFile("MLPClassifier", config, filed.arrays, {}))


def test_what_a_model_file_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match="an array of complex128 cannot be saved"):
        encode(np.zeros(0, complex), "classes_")
    with pytest.raises(ConfigError, match=r"callbacks=<object .* cannot be saved: a model file"):
        encode(object(), "callbacks")


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.int64])
def test_whole_numbers_have_the_classes_that_scikit_learn_finds(dtype):
    y = np.array([7, 0, 7, 3, 3, 0, 7], dtype)
    targets = Targets.of_labels(y)
    expected = Targets.of_labels(list(y))
    assert targets.task == expected.task == "multiclass"
    np.testing.assert_array_equal(targets.classes, expected.classes)
    assert targets.classes.dtype == dtype
    with pytest.warns(UserWarning, match="greater than 50%"):
        Targets.of_labels(np.arange(30, dtype=dtype))
