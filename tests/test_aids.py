"""Restarts, annealing, the range test, and what estimators pass on to training."""

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule import (
    SWA,
    EarlyStopping,
    MLPClassifier,
    MLPRegressor,
    NetClassifier,
    NetRegressor,
    anneal,
    best_of,
    losses,
    lr_range_test,
    metrics,
    nn,
    optim,
    penalties,
    train,
)  # fmt: skip
from chainrule.errors import ConfigError, DivergedError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int)
LOW = -3.5139  # of the double well; the other minimum is at -1.0702


def well(x):
    return x**4 - 3 * x**2 + x


def descend(seed):
    x = np.random.default_rng(seed).uniform(-2, 2)
    for _ in range(400):
        x -= 0.02 * (4 * x**3 - 6 * x + 1)
    return well(x), x


# Restarts.


def test_restarts_find_the_lower_well():
    """S06: ten starts find it in 99 of 100 trials, one start in about half."""
    found = [best_of(descend, 10, seed=trial) for trial in range(100)]
    assert sum(abs(x.value - LOW) < 1e-3 for x in found) >= 99
    singles = [value for x in found for value in x.values]
    assert 0.4 < np.mean([abs(v - LOW) < 1e-3 for v in singles]) < 0.7


def test_the_best_run_is_kept():
    """S07."""
    found = best_of(descend, 6, seed=1)
    assert found.value == min(found.values) == well(found.result)
    assert [descend(s)[0] for s in found.seeds] == found.values
    again = best_of(descend, 6, seed=1)
    assert again == found
    assert best_of(descend, 3, seed=1).seeds == found.seeds[:3]


def test_restarts_of_a_model():
    x = X[:60, :2]
    y = LABELS[:60]

    def run(seed):
        model = nn.mlp([2, 4, 2], "tanh", seed=seed).astype(float)
        history = train(model, "cross_entropy", x, y, optimizer=optim.Adam(0.05), epochs=20,
                        seed=seed, validation=0.3)  # fmt: skip
        return min(history["validation_loss"]), model

    found = best_of(run, 4, seed=0)
    assert len(set(found.values)) == 4
    assert found.result.predict(x).shape == (60, 2)


def test_runs_that_diverge_are_passed_over():
    def run(seed):
        if seed % 2:
            raise DivergedError("step 1")
        return (np.nan if seed % 4 else float(seed)), seed

    seeds = best_of(lambda seed: (0.0, None), 8, seed=0).seeds
    assert {s % 2 for s in seeds} == {0, 1}
    assert any(s % 4 == 2 for s in seeds)
    found = best_of(run, 8, seed=0)
    assert found.result == min(s for s in seeds if s % 4 == 0)
    assert found.values.count(np.inf) == sum(bool(s % 4) for s in seeds)
    with pytest.raises(DivergedError, match="none of 3 runs has a finite value"):
        best_of(lambda seed: (np.nan, None), 3)


# Annealing.


def test_uphill_moves_are_made_with_the_probability_of_metropolis():
    """S08: a rise of 1 at temperature 1 is taken in exp(-1) of all cases."""
    rng = np.random.default_rng(1)
    made = [
        anneal(lambda x: float(x[0] != 0), [0.0], steps=1, seed=rng).accepted for _ in range(30_000)
    ]
    assert np.mean(made) == pytest.approx(np.exp(-1), abs=0.01)


def test_cold_annealing_is_greedy():
    path = anneal(lambda x: well(x[0]), [2.0], temperature=0, scale=0.1, seed=0, steps=2000)
    assert (np.diff([well(2.0), *path.values]) <= 0).all()
    assert path.value == pytest.approx(-1.0702, abs=1e-3)  # it stays in the well where it starts
    cool = anneal(lambda x: well(x[0]), [2.0], temperature=1e-9, scale=0.1, seed=0, steps=2000)
    assert cool.value == pytest.approx(-1.0702, abs=1e-3)


def test_annealing_finds_the_lower_well():
    """S08: from x = 2 in at least 90 % of the seeds."""
    ends = [
        anneal(lambda x: well(x[0]), [2.0], temperature=2.0, scale=1.0, steps=2000, seed=s).value
        for s in range(30)
    ]
    assert sum(abs(v - LOW) < 0.01 for v in ends) >= 27


def test_annealing_of_the_weights_of_a_model():
    x, t = nn.truth_table("xor")
    model = nn.mlp([2, 4, 1], "tanh", seed=0).astype(float)
    start = nn.parameters_to_vector(model.parameters())

    def loss(vector):
        nn.vector_to_parameters(vector, model.parameters())
        prediction = model.predict(x.astype(float))
        return losses.binary_cross_entropy_with_logits(prediction, t.reshape(-1, 1).astype(float))

    found = anneal(loss, start, steps=2000, temperature=0.05, scale=0.5, seed=0)
    assert loss(start) > 0.5
    assert loss(found.x) == found.value < 0.1
    assert ((model.predict(x.astype(float))[:, 0] > 0) == t).all()


def test_annealing_is_seeded_and_refuses_what_is_not_finite():
    a, b, c = (anneal(lambda x: (x**2).sum(), [3.0, 1.0], steps=50, seed=s) for s in (0, 0, 1))
    assert a.values == b.values != c.values
    walled = anneal(lambda x: x[0] if x[0] > 0 else np.nan, [1.0], steps=2000, seed=0)
    assert 0 < walled.value < 0.1


def test_vectors_and_parameters():
    model = nn.mlp([2, 3, 1], "tanh", seed=0)
    vector = nn.parameters_to_vector(model.parameters())
    assert vector.shape == (13,)
    assert np.array_equal(vector[:6], model[0].weight.value.ravel())
    nn.vector_to_parameters(np.arange(13.0), model.parameters())
    assert np.array_equal(nn.parameters_to_vector(model.parameters()), np.arange(13.0))
    assert model[0].weight.dtype == np.float32
    with pytest.raises(ShapeError, match=r"shape \(12,\), the parameters need \(13,\)"):
        nn.vector_to_parameters(np.arange(12.0), model.parameters())


# The range test.


@pytest.mark.parametrize("optimizer", [optim.Adam(), optim.SGD(), optim.SGD(momentum=0.9)])
@pytest.mark.parametrize("how", [False, "numpy"])
def test_the_suggested_rate_learns(optimizer, how):
    from dataclasses import replace

    model = nn.mlp([4, 32, 2], "relu", seed=0).astype(float)
    before = model.arrays()["0.weight"].copy()
    test = lr_range_test(
        model, "cross_entropy", X, LABELS, optimizer=optimizer, seed=0, compile=how
    )
    assert np.array_equal(model.arrays()["0.weight"], before)

    def loss(rate):
        fresh = nn.mlp([4, 32, 2], "relu", seed=0).astype(float)
        chosen = replace(optimizer, lr=rate)
        try:
            return train(fresh, "cross_entropy", X, LABELS, optimizer=chosen, epochs=10, seed=0)[
                "loss"
            ][-1]
        except DivergedError:
            return np.inf

    at = loss(test.suggestion)
    assert at < 0.75 * loss(test.suggestion / 100)
    assert at < np.inf
    assert test.least >= test.suggestion


def test_what_a_range_test_records():
    model = nn.mlp([4, 8, 2], "relu", seed=0).astype(float)
    test = lr_range_test(model, "cross_entropy", X, LABELS, optimizer=optim.SGD(), lowest=1e-5,
                         highest=1.0, steps=40, seed=0)  # fmt: skip
    assert test.rates == pytest.approx(1e-5 * 1e5 ** (np.arange(40) / 39))
    assert len(test.losses) == len(test.smoothed) == len(test.slopes) == 40
    assert test.losses[:5] == pytest.approx(np.full(5, test.losses[0]), rel=1e-3)
    assert str(test).startswith("40 rates from 1e-05 to 1; suggested: ")
    frame = test.to_frame()
    assert list(frame.columns) == ["rate", "loss", "smoothed", "slope"]
    again = lr_range_test(model, "cross_entropy", X, LABELS, optimizer=optim.SGD(), lowest=1e-5,
                          highest=1.0, steps=40, seed=0)  # fmt: skip
    assert again.losses.tolist() == test.losses.tolist()


def test_a_range_test_ends_where_it_diverges(monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)  # predictions of the bits of the step
    model = nn.Sequential(nn.Linear(4, 1, seed=0)).astype(float)
    test = lr_range_test(model, "mse", X, X[:, :1], optimizer=optim.SGD(), highest=1e6, seed=0)
    assert len(test.rates) < 100
    assert np.isfinite(test.losses).all()
    flat = lr_range_test(model, "mse", X, model.predict(X), optimizer=optim.SGD(), seed=0)
    with pytest.raises(ConfigError, match="the loss never fell from the rate 1e-06 on"):
        _ = flat.suggestion
    assert "suggested" not in str(flat)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: lr_range_test(m, "mse", X, X, lowest=1.0, highest=0.1), "0 < lowest < highest"),
        (lambda m: lr_range_test(m, "mse", X, X, steps=4), "steps=4: expected a whole"),
        (lambda m: lr_range_test(m, "mse", X, X, epochs=3), "no argument 'epochs'"),
        (lambda m: best_of(descend, 0), "restarts=0"),
        (lambda m: best_of(lambda seed: 1.0, 2), "expected (value, result)"),
        (lambda m: anneal(well, [1.0], steps=0), "steps=0"),
        (lambda m: anneal(well, [1.0], temperature=-1), "temperature=-1: expected"),
        (lambda m: anneal(well, [1.0], scale=0), "scale=0: expected a number above 0"),
        (lambda m: anneal(well, [1.0], final_temperature=0), "final_temperature=0: expected"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        call(nn.mlp([4, 4], seed=0))


# Estimators.

NET = {"module": nn.mlp([4, 8, 1], "relu"), "epochs": 30, "lr": 0.01, "random_state": 0}


def test_lasso_by_estimators_makes_exact_zeros():
    for given in (penalties.L1(0.02), {"0": penalties.L1(0.02)}):
        net = NetClassifier(**NET, penalty=given).fit(X, LABELS)
        assert (net.module_[0].weight.value == 0).any()
        assert "penalty" in net.history_.columns()
        mlp = MLPClassifier(
            (8,), learning_rate_init=0.01, random_state=0, penalty=given, max_iter=30
        )
        with pytest.warns(UserWarning, match="Maximum iterations"):
            mlp.fit(X, LABELS)
        assert (mlp.coefs_[0] == 0).any()
    assert (
        NetRegressor(**NET, penalty=penalties.L1(0.02)).fit(X, X[:, 0]).module_[0].weight.value == 0
    ).any()


def test_alpha_and_a_penalty_add_up():
    """alpha / 2 / rows of all layers, and the same strength as a penalty."""
    plain = {
        "solver": "lbfgs",
        "random_state": 0,
        "hidden_layer_sizes": (),
        "tol": 1e-10,
    }
    a = MLPRegressor(alpha=0.6, **plain).fit(X, X[:, 0])
    b = MLPRegressor(alpha=0.2, penalty=penalties.L2(0.2 / 200), **plain).fit(X, X[:, 0])
    c = MLPRegressor(alpha=0.0, penalty=penalties.L2(0.3 / 200), **plain).fit(X, X[:, 0])
    assert b.loss_ == pytest.approx(a.loss_, rel=1e-4)
    assert c.loss_ == pytest.approx(a.loss_, rel=1e-4)


def test_accumulation_and_averages_by_estimators():
    one = NetClassifier(**NET, batch_size=100).fit(X.astype("f8"), LABELS)
    two = NetClassifier(**NET, batch_size=25, accumulate=4).fit(X.astype("f8"), LABELS)
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), rtol=1e-9)
    ends = [
        NetClassifier(**NET, average=how).fit(X, LABELS).predict_proba(X)
        for how in (None, 0.95, SWA(0.5))
    ]
    assert len({e.tobytes() for e in ends}) == 3
    swa, plain = (MLPClassifier(random_state=0, max_iter=10, average=a) for a in (SWA(5), None))
    for net in (swa, plain):
        with pytest.warns(UserWarning, match="Maximum iterations"):
            net.fit(X, LABELS)
    assert swa.loss_curve_ == plain.loss_curve_
    assert not np.array_equal(swa.coefs_[0], plain.coefs_[0])


@pytest.mark.parametrize("several", [False, True])
def test_label_smoothing_keeps_probabilities_from_the_ends(several):
    y = LABELS + (X[:, 2] > 0) * several
    x = X * 5

    def sure(**kwargs):
        net = NetClassifier(
            lambda i, o: nn.mlp([i, 32, o], "relu"), epochs=200, lr=0.02, random_state=0, **kwargs
        )
        p = net.fit(x, y).predict_proba(x)
        return p.max(axis=1).mean(), p

    assert sure()[0] > 0.95
    top, p = sure(label_smoothing=0.2)
    assert top < sure()[0] - 0.04
    assert (p.argmax(1) == y).mean() > 0.9
    loss = losses.binary_cross_entropy_with_logits
    z = np.array([0.3, -2.0])
    t = np.array([1.0, 0.0])
    assert loss(z, t, label_smoothing=0.2) == pytest.approx(loss(z, 0.8 * t + 0.1))


def test_estimators_with_aids_are_saved(tmp_path):
    net = NetClassifier(
        **NET | {"module": nn.mlp([4, 8, 1], "relu"), "epochs": 3},
        penalty={"0": penalties.ElasticNet(0.01, 0.02)}, average=SWA(2), accumulate=2,
        early_stopping=EarlyStopping(5, monitor="loss", max_rise=0.5), label_smoothing=0.1,
    ).fit(X, LABELS)  # fmt: skip
    net.save(tmp_path / "net")
    again = cr.load(tmp_path / "net")
    for name in ("penalty", "average", "accumulate", "early_stopping", "label_smoothing"):
        assert getattr(again, name) == getattr(net, name), name
    assert np.array_equal(again.predict_proba(X), net.predict_proba(X))
    listed = NetClassifier(**NET | {"epochs": 1}, penalty=[penalties.L1(0.01)]).fit(X, LABELS)
    listed.save(tmp_path / "listed")
    assert cr.load(tmp_path / "listed").penalty == [penalties.L1(0.01)]


@pytest.mark.parametrize(
    ("fit", "text"),
    [
        (lambda: NetClassifier(**NET, label_smoothing=1.0), "label_smoothing=1.0"),
        (lambda: NetClassifier(**NET, loss="hinge", label_smoothing=0.1), "no setting"),
        (lambda: NetClassifier(**NET, penalty="l1"), "penalty='l1': expected a penalty such as"),
        (lambda: NetClassifier(**NET, accumulate=0), "accumulate=0"),
        (lambda: NetClassifier(**NET, average=2), "average=2"),
        (lambda: MLPClassifier(average="swa"), "The 'average' parameter"),
        (lambda: MLPClassifier(label_smoothing=1.5), "The 'label_smoothing' parameter"),
        (lambda: MLPClassifier(penalty=0.1), "The 'penalty' parameter"),
        (lambda: MLPClassifier(solver="lbfgs", average=0.9), "solver='lbfgs' has no average"),
        (lambda: MLPClassifier(solver="lbfgs", penalty=penalties.L1(0.1)), "has no an L1 penalty"),
        (lambda: MLPClassifier(solver="lbfgs", penalty=[{}]), "penalty="),
    ],
)  # fmt: skip
def test_wrong_parameters_of_estimators(fit, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        fit().fit(X, LABELS)


def test_partial_fit_has_no_average():
    with pytest.raises(ValueError, match="partial_fit does not support average"):
        MLPClassifier(average=0.9).partial_fit(X, LABELS, classes=[0, 1])


# Rare classes.


@pytest.mark.slow
@pytest.mark.parametrize("how", ["class weights", "focal"])
def test_weights_and_focal_loss_help_a_rare_class(how):
    """L24, E-51: recall and balanced accuracy rise, accuracy falls."""
    rng = np.random.default_rng(3)

    def draw(n):
        y = (rng.random(n) < 0.03).astype(int)
        return rng.normal(size=(n, 2)) + 1.5 * y[:, None], y

    (x, y), (xt, yt) = draw(2000), draw(4000)
    settings = {"epochs": 60, "lr": 0.01, "random_state": 0, "batch_size": 200}
    helped = {"class_weight": "balanced"} if how == "class weights" else {
        "loss": losses.binary_focal.having(gamma=2.0, alpha=0.9)
    }  # fmt: skip
    scores = []
    for kwargs in ({}, helped):
        net = NetClassifier(lambda i, o: nn.mlp([i, 16, o], "tanh"), **settings, **kwargs)
        labels = net.fit(x, y).predict(xt)
        right = labels == yt
        balanced = metrics.balanced_accuracy_score(yt, labels)
        scores.append((right.mean(), right[yt == 1].mean(), balanced))
    (accuracy, recall, balanced), (accuracy2, recall2, balanced2) = scores
    assert accuracy2 < accuracy
    assert recall2 > recall + 0.1
    assert balanced2 > balanced + 0.05


def test_focal_loss_weighs_classes():
    z, t = RNG.normal(size=(6, 3)), np.array([0, 1, 2, 2, 1, 0])
    alpha = np.array([0.2, 0.5, 2.0])
    each = losses.focal(z, t, reduction="none")
    assert losses.focal(z, t, reduction="none", alpha=alpha) == pytest.approx(alpha[t] * each)
    assert losses.focal(z, np.eye(3)[t], alpha=alpha) == pytest.approx(
        losses.focal(z, t, alpha=alpha)
    )
    plain = losses.cross_entropy(z, t, class_weight=alpha)
    assert losses.focal(z, t, gamma=0.0, alpha=alpha) == pytest.approx(plain)


def test_one_weight_per_label():
    z, t = RNG.normal(size=(5, 3)), RNG.integers(0, 2, (5, 3)).astype(float)
    loss = losses.binary_cross_entropy_with_logits
    weight = np.array([1.0, 2.0, 5.0])
    each = loss(z, t, reduction="none")
    assert loss(z, t, reduction="none", positive_weight=weight) == pytest.approx(
        np.where(t == 1, weight, 1) * each
    )
