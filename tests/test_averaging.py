"""Several batches for one update, and averages of the weights."""

import re
import tracemalloc

import numpy as np
import pytest

from chainrule import SWA, Callback, Checkpoint, EarlyStopping, nn, ops, optim, penalties, train
from chainrule.errors import ConfigError, DivergedError
from chainrule.estimators.base import SparseRows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3))
Y = RNG.normal(size=(50, 2))
HOW = pytest.mark.parametrize("how", [False, "numpy"])


class Recorder(Callback):
    def __init__(self):
        self.steps, self.weights = [], []

    def on_step_end(self, event):
        self.steps.append((event.step, event.loss, event.gradient_norm, event.learning_rate))

    def on_epoch_end(self, event):
        self.weights.append(event.model.arrays() | {})


def net(**kwargs):
    return nn.mlp([3, 4, 2], "tanh", seed=0, **kwargs).astype(float)


def run(how, model=None, **plan):
    recorder, model = Recorder(), model or net()
    plan = {"epochs": 3, "seed": 0, "compile": how, "callbacks": [recorder]} | plan
    history = train(model, "mse", X, Y, **plan)
    return model, recorder, history


# Several batches for one update (D02, O17).


@HOW
@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"weight": RNG.uniform(0.1, 2, 50)},
        {"weight": RNG.uniform(0.1, 2, (50, 2))},
        {"penalty": lambda rows: ops.div(0.3, rows)},
        {"penalty": penalties.ElasticNet(0.01, 0.02), "optimizer": optim.Adam(0.01)},
        {"clip_norm": 0.1, "schedule": "cosine", "optimizer": optim.SGD(0.1, momentum=0.9)},
        {"clip_value": 0.01, "average": 0.9},
        {"schedule": "exponential", "schedule_by": "epoch"},
        {"shuffle": False, "penalty": lambda rows: 0.1},
    ],
    ids=lambda plan: ", ".join(plan) or "plain",
)
def test_accumulated_gradients_are_those_of_the_large_batch(how, plan):
    small, steps, history = run(how, batch_size=8, accumulate=4, **plan)
    large, expected, whole = run(how, batch_size=32, **plan)
    np.testing.assert_allclose(steps.steps, expected.steps, rtol=1e-12)
    assert len(steps.steps) == 3 * 2
    for name, value in large.arrays().items():
        np.testing.assert_allclose(small.arrays()[name], value, rtol=1e-12, atol=1e-13)
    for column in set(whole.columns()) - {"seconds"}:
        assert history[column] == pytest.approx(whole[column], rel=1e-12)


@HOW
def test_a_batch_without_weight_counts_for_nothing(how):
    weight = np.r_[np.ones(24), np.zeros(26)]
    plan = {"weight": weight, "shuffle": False, "penalty": lambda rows: ops.div(0.3, rows)}
    small, steps, _ = run(how, batch_size=8, accumulate=7, **plan)
    large, expected, _ = run(how, batch_size=None, **plan)
    np.testing.assert_allclose(steps.steps, expected.steps, rtol=1e-12)
    for name, value in large.arrays().items():
        np.testing.assert_allclose(small.arrays()[name], value, rtol=1e-12, atol=1e-13)


@HOW
def test_more_batches_than_there_are_make_one_update_per_epoch(how):
    model, steps, _ = run(how, batch_size=7, accumulate=100)
    assert len(steps.steps) == 3
    whole, _, _ = run(how, batch_size=None)
    for name, value in whole.arrays().items():
        np.testing.assert_allclose(model.arrays()[name], value, rtol=1e-12, atol=1e-13)


def test_sparse_rows_are_accumulated_the_same():
    scipy = pytest.importorskip("scipy.sparse")
    from chainrule.data import Rows
    from chainrule.losses import mse
    from chainrule.plan import Plan
    from chainrule.training import Training

    found = []
    for inputs in (X, SparseRows(scipy.csr_matrix(X), np.float64)):
        model = net()
        plan = Plan(epochs=2, batch_size=8, accumulate=3, seed=0, compile="numpy")
        Training(model, mse, Rows((inputs,), Y), None, plan).run()
        found.append(model.arrays())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-13)


def test_accumulation_takes_the_memory_of_one_batch(monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)  # the step as written
    x, y = np.zeros((4096, 64)), np.zeros((4096, 1))

    def peak(**plan):
        model = nn.mlp([64, 256, 1], "tanh", seed=0).astype(float)
        tracemalloc.start()
        train(model, "mse", x, y, epochs=1, shuffle=False, compile=False, **plan)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(batch_size=64, accumulate=64) < 0.25 * peak(batch_size=4096)


@HOW
def test_a_bad_row_in_a_later_batch_is_named(how):
    x = X.copy()
    x[30] = 1e200
    with pytest.raises(DivergedError, match="step 1 "):
        train(net(), "mse", x, Y * 1e200, epochs=1, batch_size=8, accumulate=7, compile=how)


def test_a_checkpoint_with_accumulation_goes_on_to_the_same_bits(tmp_path):
    def fit(epochs, path):
        model, _, _ = run("numpy", epochs=epochs, batch_size=8, accumulate=3,
                          checkpoint=Checkpoint(tmp_path / path))  # fmt: skip
        return model.arrays()["0.weight"]

    fit(2, "a")
    assert np.array_equal(fit(4, "a"), fit(4, "b"))


# Averages.


@HOW
def test_the_moving_average_is_the_formula(how):
    """S11: m = beta m + (1 - beta) w, with a smaller beta at the start."""
    taken = []

    def keep(event):
        taken.append(event.model.arrays()["0.weight"].copy())

    plain, _, _ = run(how, epochs=6, batch_size=None, callbacks=[keep])
    averaged, _, _ = run(how, epochs=6, batch_size=None, average=0.8)
    mean = taken[0]
    for t, w in enumerate(taken[1:], start=2):
        mean = mean + (1 - min(0.8, t / (t + 9))) * (w - mean)
    np.testing.assert_allclose(averaged.arrays()["0.weight"], mean, rtol=1e-13)
    assert not np.allclose(plain.arrays()["0.weight"], mean)


@HOW
@pytest.mark.parametrize(
    ("start", "every", "epochs"), [(3, 1, [3, 4, 5, 6]), (0.5, 2, [4, 6]), (0, 1, range(1, 7))]
)
def test_swa_is_the_mean_of_late_epochs(how, start, every, epochs):
    taken = {}

    def keep(event):
        taken[event.epoch] = event.model.arrays()["0.weight"].copy()

    run(how, epochs=6, callbacks=[keep])
    model, _, _ = run(how, epochs=6, average=SWA(start, every))
    np.testing.assert_allclose(
        model.arrays()["0.weight"], np.mean([taken[e] for e in epochs], axis=0), rtol=1e-12
    )


@HOW
def test_swa_validates_the_mean_and_goes_on_with_the_weights(how):
    _, recorder, history = run(how, epochs=6, average=SWA(4), validation=(X, Y))
    _, plain, _ = run(how, epochs=6)
    model = net()
    model.load_arrays(recorder.weights[-1])
    assert history["validation_loss"][-1] == pytest.approx(((model.predict(X) - Y) ** 2).mean())
    np.testing.assert_allclose([s[1] for s in recorder.steps], [s[1] for s in plain.steps])


@HOW
def test_swa_has_batch_statistics_of_its_own(how):
    model, _, _ = run(
        how, model=net(batch_norm=True, dropout=0.3), epochs=6, batch_size=16, average=SWA(3)
    )
    inner = X @ model[0].weight.value.T + model[0].bias.value
    np.testing.assert_allclose(model[1].running_mean.value, inner.mean(0), rtol=1e-12)
    assert not any(m.training for _, m in model.named_modules())
    parts = [inner[i : i + 16] for i in range(0, 50, 16)]
    variance = sum(len(p) * p.var(0, ddof=1) for p in parts) / 50
    np.testing.assert_allclose(model[1].running_var.value, variance, rtol=1e-12)


@HOW
def test_swa_does_not_change_the_training_with_batch_norm(how):
    _, a, ha = run(
        how, model=net(batch_norm=True, dropout=0.3), epochs=6, average=SWA(2), validation=0.3
    )
    _, b, hb = run(how, model=net(batch_norm=True, dropout=0.3), epochs=6, validation=0.3)
    assert a.steps == b.steps
    assert ha["validation_loss"][0] == hb["validation_loss"][0]
    assert ha["validation_loss"][-1] != hb["validation_loss"][-1]


@HOW
def test_the_best_mean_is_restored(how):
    stop = EarlyStopping(patience=50, monitor="validation_loss")
    held_out = X[:20], Y[:20]
    model, _, history = run(how, model=net(batch_norm=True), epochs=12, average=SWA(0),
                            validation=held_out, early_stopping=stop,
                            optimizer=optim.Adam(0.1))  # fmt: skip
    best = min(history["validation_loss"])
    assert ((model.predict(X[:20]) - Y[:20]) ** 2).mean() == pytest.approx(best, rel=1e-12)


@HOW
def test_a_checkpoint_keeps_the_mean(how, tmp_path):
    def fit(epochs, path):
        model, _, _ = run(how, epochs=epochs, model=net(batch_norm=True), average=SWA(2),
                          checkpoint=Checkpoint(tmp_path / path))  # fmt: skip
        return model.arrays()

    fit(4, "a")
    a, b = fit(6, "a"), fit(6, "b")
    for name in a:
        assert np.array_equal(a[name], b[name]), name


def test_update_bn_puts_everything_back():
    model = net(batch_norm=True).train()
    nn.update_bn(model, X[:33], batch_size=16)  # a last batch of one row is left out
    assert model[1].training
    assert model[1].momentum == 0.1
    inner = X[:32] @ model[0].weight.value.T + model[0].bias.value
    np.testing.assert_allclose(model[1].running_mean.value, inner.mean(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: run(False, accumulate=0), "accumulate=0: expected a whole number of at least 1"),
        (lambda: run(False, accumulate=1.5), "accumulate=1.5"),
        (lambda: SWA(start=-1), "SWA(start=-1): expected an epoch, or a share"),
        (lambda: SWA(start=1.5), "SWA(start=1.5)"),
        (lambda: SWA(start=True), "SWA(start=True)"),
        (lambda: SWA(every=0), "SWA(every=0)"),
        (lambda: run(False, average=SWA(4)), "training ends before, after 3 epochs"),
        (lambda: run(False, average=1.0), "expected a number between 0 and 1, such as 0.999, or"),
        (lambda: run(False, average="swa"), "average='swa'"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        call()
