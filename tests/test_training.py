"""The training loop: data, schedules, stopping, failure, interruption, checkpoints, callbacks."""

import os
import re
import signal
import threading

import numpy as np
import pytest

from chainrule import Callback, Checkpoint, EarlyStopping, ReduceOnPlateau, nn, ops, optim, train
from chainrule.errors import CheckpointError, ConfigError, DataError, DivergedError, ShapeError
from chainrule.history import History
from chainrule.progress import Progress
from chainrule.schedules import Cosine

X = np.linspace(-1, 1, 60, dtype=np.float32).reshape(-1, 1)
Y = X**2


def net(seed=0, width=8):
    return nn.mlp([1, width, 1], "tanh", seed=seed)


def fit(model=None, **plan):
    model = model or net()
    plan = {"epochs": 5, "seed": 0, "optimizer": optim.Adam(0.01)} | plan
    return model, train(model, "mse", X, Y, **plan)


def test_a_terminal_gets_a_bar(terminal):
    fit(epochs=3, callbacks=[Progress(terminal)], validation=(X, Y))
    text = terminal.getvalue()
    assert "epoch 3/3" in text
    assert re.search(r"loss 0\.\d{4}  validation 0\.\d{4}  [\d,]+ rows/s", text)
    assert re.search(r"\x1b\[2Kstopped: epochs\n$", text)


def test_a_history_is_read_by_epoch_and_printed():
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "validation_loss": 0.75}]
    history = History(rows)
    assert history[1] == rows[1]
    assert [line.split() for line in str(history).splitlines()] == [
        ["epoch", "loss", "validation_loss"], ["1", "0.5"], ["2", "0.25", "0.75"],
    ]  # fmt: skip
    assert repr(history) == "<History of 2 epochs, stopped by: nothing yet>"


class Recorder(Callback):
    def __init__(self):
        self.steps, self.epochs, self.log = [], [], []

    def on_train_start(self, event):
        self.log.append("start")

    def on_step_end(self, event):
        self.steps.append(event)

    def on_epoch_end(self, event):
        self.epochs.append(event)

    def on_train_end(self, event):
        self.log.append(event.reason)


def test_same_seed_same_bits_and_observed_equals_unobserved():
    a, ha = fit()
    b, hb = fit(callbacks=[Recorder()])
    c, _ = fit(seed=1)
    assert ha["loss"] == hb["loss"]
    for name, value in a.state_dict().items():
        assert np.array_equal(value, b.state_dict()[name])
    assert not np.array_equal(a.state_dict()["0.weight"], c.state_dict()["0.weight"])


@pytest.mark.parametrize(("batch_size", "steps"), [(None, 1), (1, 60), (25, 3), (60, 1), (100, 1)])
def test_every_row_is_seen_once_in_an_epoch(batch_size, steps):
    recorder = Recorder()
    fit(epochs=2, batch_size=batch_size, callbacks=[recorder])
    assert len(recorder.steps) == 2 * steps
    assert recorder.log == ["start", "epochs"]


def test_epoch_loss_weighs_a_short_last_batch_by_its_size():
    losses, model = [], net()
    _, history = fit(
        model, epochs=1, batch_size=25, optimizer=optim.SGD(0.0), callbacks=[recorder := Recorder()]
    )
    losses = [e.loss for e in recorder.steps]
    assert history["loss"][0] == pytest.approx(
        (25 * losses[0] + 25 * losses[1] + 10 * losses[2]) / 60
    )
    assert history["loss"][0] == pytest.approx(
        float(((model.predict(X) - Y) ** 2).mean()), rel=1e-5
    )


def test_schedule_by_step_and_by_epoch_is_logged():
    _, history = fit(epochs=4, schedule="cosine", schedule_by="epoch")
    assert history["learning_rate"] == pytest.approx([0.01 * Cosine(4)(t) for t in range(4)])
    recorder = Recorder()
    fit(epochs=1, batch_size=20, schedule=lambda t: 1 / (1 + t), callbacks=[recorder])
    assert [e.learning_rate for e in recorder.steps] == pytest.approx([0.01, 0.005, 0.01 / 3])


def test_validation_share_and_set():
    _, by_share = fit(validation=0.25)
    assert set(by_share.columns()) >= {"loss", "validation_loss", "gradient_norm", "seconds"}
    _, by_set = fit(validation=(X, Y), score=lambda p, t: -np.abs(p - t).max())
    assert by_set["validation_score"][0] < 0
    _, rare = fit(validation=(X, Y), validate_every=2)
    assert ["validation_loss" in row for row in rare] == [False, True, False, True, True]


def test_weights_equal_repeated_rows():
    weight = np.arange(60) % 3
    weighted = train(
        net(), "mse", X, Y, weight=weight.astype(float), epochs=3, batch_size=None, seed=0
    )
    again = np.repeat(np.arange(60), weight)
    repeated = train(net(), "mse", X[again], Y[again], epochs=3, batch_size=None, seed=0)
    assert weighted["loss"] == pytest.approx(repeated["loss"], rel=1e-5)


def test_penalty_is_part_of_the_loss():
    model = net()

    def penalty(rows):
        return ops.sum(ops.square(model[0].weight)) * (0.1 / rows)

    before = float(0.1 / 60 * (model.state_dict()["0.weight"] ** 2).sum())
    _, plain = fit(net(), epochs=1, batch_size=None)
    _, penalized = fit(model, epochs=1, batch_size=None, penalty=penalty)
    assert penalized["loss"][0] - plain["loss"][0] == pytest.approx(before, rel=1e-3)


def test_clipping_limits_the_step():
    model, recorder = net(), Recorder()
    before = np.concatenate([v.ravel() for v in model.state_dict().values()])
    fit(
        model,
        epochs=1,
        batch_size=None,
        clip_norm=1e-3,
        optimizer=optim.SGD(1.0),
        callbacks=[recorder],
    )
    after = np.concatenate([v.ravel() for v in model.state_dict().values()])
    assert np.linalg.norm(after - before) == pytest.approx(1e-3, rel=1e-2)
    assert recorder.steps[0].gradient_norm > 1e-3


def test_early_stopping_restores_the_best_weights():
    model, history = fit(
        epochs=200,
        optimizer=optim.SGD(1.5),
        validation=(X, Y),
        early_stopping=EarlyStopping(patience=3),
    )
    assert len(history) < 200
    assert history.reason == "early stopping"
    best = min(history["validation_loss"])
    assert history["validation_loss"][history.best_epoch - 1] == best
    assert float(((model.predict(X) - Y) ** 2).mean()) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize(("patience", "stopped", "best"), [(1, 4, 3), (2, 5, 3), (3, 9, 2.9)])
def test_patience_on_a_given_curve(patience, stopped, best):
    watch = EarlyStopping(patience=patience, monitor="loss").start()
    for epoch, loss in enumerate([5, 4, 3, 3.1, 3.2, 2.9, 3, 3, 3], start=1):
        if watch.update(epoch, {"loss": loss}):
            break
    assert (epoch, watch.best) == (stopped, best)


def watched(losses, **rule):
    watch = EarlyStopping(**({"monitor": "loss", "patience": 2} | rule)).start()
    for epoch, loss in enumerate(losses, start=1):
        if watch.update(epoch, {watch.rule.monitor: loss}):
            return epoch, watch.best, watch.ended
    return None, watch.best, watch.ended


def test_variants_of_early_stopping():
    """R10: a first phase that does not count, a rise that ends it at once, a direction."""
    curve = [3, 4, 5, 2.9, 3, 3, 3]
    assert watched(curve) == (3, 3, "")
    assert watched(curve, min_epochs=3) == (6, 2.9, "")
    assert watched(curve, patience=5, max_rise=0.5) == (3, 3, "early stopping")  # 5 > 1.5 * 3
    assert watched(curve, patience=5, max_rise=0.5, min_epochs=3) == (None, 2.9, "")
    assert watched([-2, -1.5, -1.0], patience=5, max_rise=0.3)[0] == 3
    assert watched([0.5, 0.6, 0.4], patience=9, max_rise=0.1, monitor="score")[0] == 3
    assert watched([3, 2, 1], mode="max") == (3, 3, "")
    assert watched([1, 2, 3], mode="min", monitor="score") == (3, 1, "")
    assert watched([1, np.nan, np.nan])[0] == 3
    assert watched([1, np.nan, 0.5, 0.4], max_rise=0.1) == (None, 0.4, "")


def test_a_full_gradient_goes_to_zero_and_that_of_single_rows_does_not():
    """O03, E-26: the end by the gradient is for all rows at once."""
    stop = EarlyStopping(10**6, monitor="gradient_norm", target=1e-5)
    x = np.linspace(-1, 1, 20).reshape(-1, 1)
    y = x + np.where(np.arange(20) % 2, 0.5, -0.5).reshape(-1, 1)

    def norms(**plan):
        model = nn.Sequential(nn.Linear(1, 1, seed=0)).astype(float)
        plan = {"optimizer": optim.SGD(0.1), "epochs": 500, "seed": 0} | plan
        return train(model, "mse", x, y, early_stopping=stop, **plan)

    whole = norms(batch_size=None)
    assert whole.reason == "target reached"
    assert whole["gradient_norm"][-1] <= 1e-5 < whole["gradient_norm"][-2]
    single = norms(batch_size=1, optimizer=optim.SGD(0.001), epochs=200)
    assert single.reason == "epochs"
    assert single["gradient_norm"][-1] > 0.5


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"mode": "least"}, "mode='least'.*expected 'auto', 'min' or 'max'"),
        ({"min_epochs": -1}, "min_epochs=-1.*at least 0"),
        ({"max_rise": "a"}, "max_rise='a'"),
        ({"min_delta": None}, "min_delta=None"),
        ({"patience": 0}, "patience=0"),
    ],
)
def test_wrong_rules_of_early_stopping(rule, text):
    with pytest.raises(ConfigError, match=text):
        EarlyStopping(**rule)


def test_stop_at_a_target_and_on_a_plateau():
    _, history = fit(epochs=500, early_stopping=EarlyStopping(500, monitor="loss", target=0.05))
    assert history.reason == "target reached"
    assert history["loss"][-1] <= 0.05 < history["loss"][-2]
    _, slow = fit(
        epochs=500,
        early_stopping=EarlyStopping(2, min_delta=1.0, monitor="loss"),
        plateau=ReduceOnPlateau(factor=0.1, minimum=2e-4),
    )
    assert slow.reason == "learning rate too small"
    rates = sorted(set(slow["learning_rate"]), reverse=True)
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4])


def test_average_of_the_weights_is_what_remains():
    a, _ = fit(epochs=3)
    b, _ = fit(epochs=3, average=0.9)
    assert not np.array_equal(a.state_dict()["0.weight"], b.state_dict()["0.weight"])
    assert np.allclose(a.state_dict()["0.weight"], b.state_dict()["0.weight"], atol=0.2)


@pytest.mark.parametrize("rate", [1e30, 1e18])
def test_divergence_stops_at_once_and_keeps_the_last_good_weights(rate):
    model, recorder = net(), Recorder()
    with pytest.raises(
        DivergedError, match=r"step \d+ \(epoch \d+, learning rate 1e\+\d+\)"
    ) as caught:
        train(model, "mse", X * 100, Y * 1e4, optimizer=optim.SGD(rate), epochs=50, seed=0,
              callbacks=[recorder])  # fmt: skip
    assert "the last good weights were kept" in str(caught.value)
    assert len(recorder.steps) < 10
    assert recorder.log[-1] == "failed"
    assert all(np.isfinite(v).all() for v in model.state_dict().values())
    assert np.isfinite(model.predict(X)).all()


def test_divergence_names_the_first_bad_op():
    class Log(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(1, 1, seed=0)

        def forward(self, x):
            return ops.log(self.inner(x) * 0.0 - 1.0)

    with pytest.raises(DivergedError, match=r"first not finite was the result of log in Log"):
        train(Log(), "mse", X, Y, epochs=1)


def test_interrupt_finishes_the_step_and_says_so():
    def interrupt(event):
        if event.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        _, history = fit(epochs=50, callbacks=[interrupt])
    assert history.reason == "interrupted"
    assert len(history) in (2, 3)
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_is_at_once():
    class Twice(Callback):
        def on_step_end(self, event):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=[Twice()])


def test_training_in_a_thread_leaves_signals_alone():
    found = []
    thread = threading.Thread(target=lambda: found.append(fit()[1].reason))
    thread.start()
    thread.join()
    assert found == ["epochs"]


def test_checkpoint_goes_on_to_the_same_bits(tmp_path):
    def run(epochs, name):
        model = nn.Sequential(
            nn.Linear(1, 8),
            nn.Activation("tanh"),
            nn.Dropout(0.2),
            nn.BatchNorm1d(8),
            nn.Linear(8, 1),
        ).initialize(0)
        history = train(
            model, "mse", X, Y, epochs=epochs, seed=0, validation=(X, Y), average=0.9,
            early_stopping=EarlyStopping(50), optimizer=optim.AdamW(0.01),
            schedule=Cosine(10), schedule_by="epoch", checkpoint=Checkpoint(tmp_path / name),
        )  # fmt: skip
        return model, history

    run(3, "a")
    a, ha = run(6, "a")
    b, hb = run(6, "b")
    assert ha["loss"] == hb["loss"]
    assert ha.best_epoch == hb.best_epoch
    for name, value in a.arrays().items():
        assert np.array_equal(value, b.arrays()[name]), name


def test_checkpoint_of_another_training_is_refused(tmp_path):
    fit(epochs=1, checkpoint=Checkpoint(tmp_path / "c"))
    with pytest.raises(CheckpointError, match=r"its optimizer is .*Adam.*, here it is .*SGD"):
        fit(epochs=2, optimizer=optim.SGD(0.1), checkpoint=Checkpoint(tmp_path / "c"))
    with pytest.raises(CheckpointError, match=r"its tensor 0\.weight is"):
        fit(net(width=9), epochs=2, checkpoint=Checkpoint(tmp_path / "c"))


@pytest.mark.parametrize(
    ("plan", "error", "text"),
    [
        ({"epochs": 0}, ConfigError, "epochs=0: expected a whole number of at least 1"),
        ({"batch_size": -3}, ConfigError, "batch_size=-3: expected a whole number of at least 1"),
        ({"batch_size": 2.5}, ConfigError, "batch_size=2.5"),
        ({"clip_norm": 0}, ConfigError, "clip_norm=0: expected a number above 0"),
        ({"average": 2}, ConfigError, "average=2: expected a number between 0 and 1"),
        ({"schedule": "cosinus"}, ConfigError, "schedule 'cosinus' does not exist; there are"),
        ({"schedule_by": "day"}, ConfigError, "expected 'step' or 'epoch'"),
        ({"validation": 1.5}, ConfigError, "between 0 and 1"),
        ({"validation": 0.999}, DataError, "60 rows are too few to hold out a share of 0.999"),
        (
            {"early_stopping": EarlyStopping()},
            ConfigError,
            "pass validation data, or monitor='loss'",
        ),
        ({"callbacks": [3]}, ConfigError, "callback 3: expected an instance of chainrule.Callback"),
        (
            {"weight": np.full(60, -1.0)},
            DataError,
            "weight -1.0 in row 0: expected a finite number",
        ),
        ({"weight": np.zeros(60)}, DataError, "all weights are zero"),
        ({"weight": np.ones(59)}, ShapeError, "the numbers of rows differ: target 60, input 0 60"),
    ],
)
def test_wrong_plans_are_refused_before_the_first_step(plan, error, text):
    model = net()
    before = model.state_dict()
    with pytest.raises(error) as caught:
        fit(model, **plan)
    assert text in str(caught.value)
    assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items())


def contract(model, loss, x, y):
    return lambda: train(model, loss, x, y, epochs=1)


TWO = np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("run", "error", "text"),
    [
        (contract(nn.Sequential(nn.Linear(2, 3), nn.Activation("softmax")), "cross_entropy", TWO,
                  np.array([0, 1, 2, 0])),
         ConfigError, 'remove nn.Activation("softmax")'),
        (contract(nn.Sequential(nn.Linear(2, 1), nn.Activation("sigmoid")),
                  "binary_cross_entropy_with_logits", TWO, np.zeros((4, 1))),
         ConfigError, "applies sigmoid itself"),
        (contract(nn.Linear(2, 3), "cross_entropy", TWO, np.array([0, 1, 3, 0])),
         DataError, "target 3 in row 2 is outside the classes 0 to 2"),
        (contract(nn.Linear(2, 3), "cross_entropy", TWO, np.array([0, 1, -1, 0])),
         DataError, "target -1 in row 2"),
        (contract(nn.Linear(2, 1), "cross_entropy", TWO, np.array([0, 1, 0, 0])),
         ShapeError, "softmax of one number is always 1"),
        (contract(nn.Linear(2, 1), "mse", TWO, np.zeros(4)),
         ShapeError, "target.reshape(4, 1)"),
        (contract(nn.Linear(2, 1), "binary_cross_entropy_with_logits", TWO, np.full((4, 1), 2.0)),
         DataError, "2.0 in row 0 is not allowed; expected numbers between 0 and 1"),
        (contract(nn.Linear(2, 1), "hinge", TWO, np.zeros((4, 1))),
         DataError, "pass 2 * y - 1"),
        (contract(nn.Linear(3, 1), "mse", TWO, np.zeros((4, 1))),
         ShapeError, "Linear(3, 1) got an input of shape (2, 2); expected (rows, 3)"),
        (contract(nn.Linear(2, 1), "mse", TWO * np.nan, np.zeros((4, 1))),
         DataError, "input 0 has nan in row 0, column 0"),
        (contract(nn.Linear(2, 1), "mse", TWO, np.full((4, 1), np.inf)),
         DataError, "target has inf in row 0, column 0"),
        (contract(nn.Linear(2, 1), "mse", TWO[:0], np.zeros((0, 1))),
         DataError, "training needs at least one row"),
        (contract(nn.Linear(2, 1), "mse", TWO, np.zeros((3, 1))),
         ShapeError, "target 3, input 0 4"),
        (contract(nn.Linear(2, 1), "msee", TWO, np.zeros((4, 1))),
         ConfigError, "loss 'msee' does not exist"),
    ],
)  # fmt: skip
def test_contract_between_model_loss_and_rows(run, error, text):
    with pytest.raises(error) as caught:
        run()
    assert text in str(caught.value)


def test_misspelt_hook_is_an_error():
    with pytest.raises(ConfigError, match="on_epoch_ended that does not exist"):

        class Wrong(Callback):
            def on_epoch_ended(self, event):
                pass


def test_history_prints_and_converts():
    _, history = fit(epochs=2)
    frame = history.to_frame()
    assert list(frame.columns) == history.columns()
    assert len(str(history).splitlines()) == 3
    with pytest.raises(ConfigError, match="no column 'losss' in the history"):
        history["losss"]


def test_frozen_parameters_stay():
    model = net()
    model[0].freeze()
    before = model.state_dict()
    fit(model, epochs=2)
    after = model.state_dict()
    assert np.array_equal(before["0.weight"], after["0.weight"])
    assert not np.array_equal(before["2.weight"], after["2.weight"])


def test_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(1, 1, seed=0), nn.Linear(1, 1, seed=1)

        def forward(self, x, z):
            return self.a(x) + self.b(z)

    model = Sum()
    history = train(
        model, "mse", (X, X[::-1]), X * 3, epochs=150, optimizer=optim.Adam(0.05), seed=0
    )
    assert history["loss"][-1] < 1e-2
