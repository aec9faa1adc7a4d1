"""Statistics of layers: the right numbers, however steps run, and nothing is learned otherwise."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from chainrule import (
    Callback,
    MLPRegressor,
    NetRegressor,
    nn,
    no_grad,
    ops,
    optim,
    penalties,
    tensor,
    train,
)
from chainrule.data import Rows
from chainrule.errors import ConfigError, FormatError
from chainrule.losses import mse
from chainrule.observing import Observer
from chainrule.optim import Updater
from chainrule.step import Step
from chainrule.step_graph import StepGraph
from chainrule.tally import Steps
from chainrule.training import training_step
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.compile.program import Program
from programs import PlainProgram, loops

RNG = np.random.default_rng(0)
X = RNG.normal(size=(26, 3))
Y = RNG.normal(size=(26, 2))


pytestmark = pytest.mark.usefixtures("as_asked")


WAYS = ["as written", NumpyProgram, PlainProgram]
IN_EVERY_WAY = pytest.mark.parametrize("way", WAYS)


def fit(way, model, x=X, y=Y, **plan):
    """Train as written, or by a program of a kind; give the history and the bytes of the model."""
    plan = {"epochs": 2, "batch_size": 8, "seed": 0, "statistics": True} | plan
    how = {"as written": False, NumpyProgram: "numpy"}.get(way, "numba")
    with pytest.MonkeyPatch.context() as patch:
        if how == "numba":
            patch.setattr("chainrule.stepping.Program", way)
        history = train(model, "mse", x, y, compile=how, **plan)
    return history, {name: value.tobytes() for name, value in model.arrays().items()}


def rich_net(dtype=float):
    return nn.Sequential(
        nn.Linear(3, 6, bias=False), nn.BatchNorm1d(6), nn.Activation("tanh"), nn.Dropout(0.3),
        nn.Linear(6, 5), nn.Activation("relu"), nn.Linear(5, 2), seed=1,
    ).astype(dtype)  # fmt: skip


# ---------------------------------------------------------------- against NumPy

NAMES = ["0.weight", "1.weight", "1.bias", "4.weight", "4.bias", "6.weight", "6.bias"]


def gradients_of(weights, x, t, mask):
    """Give gradients of the mean squared error, and the slopes of both activations, by hand."""
    w0, scale, shift, w1, b1, w2, b2 = weights
    z = x @ w0.T
    deviation = np.sqrt(z.var(0) + 1e-5)
    u = (z - z.mean(0)) / deviation
    a = np.tanh(u * scale + shift)
    d = a * mask
    z1 = d @ w1.T + b1
    r = np.maximum(z1, 0)
    dp = 2 * (r @ w2.T + b2 - t) / t.size
    dz1 = dp @ w2 * (z1 > 0)
    dn = dz1 @ w1 * mask * (1 - a**2)
    du = dn * scale
    dz = (du - du.mean(0) - u * (du * u).mean(0)) / deviation
    found = [dz.T @ x, (dn * u).sum(0), dn.sum(0), dz1.T @ d, dz1.sum(0), dp.T @ r,
             dp.sum(0)]  # fmt: skip
    return found, (1 - a**2, (z1 > 0).astype(float))


def by_hand(optimizer, *, accumulate, clip_norm, l2, epochs=2, batch=8):
    """Train in NumPy; give for each epoch the root mean squares of norms, and mean slopes."""
    model = rich_net()
    leaves = [tensor(p.value, requires_grad=True) for p in model.parameters()]
    updater = Updater(leaves, optimizer)
    dropout = model[3].train()
    told = []
    for _ in range(epochs):
        norms, slopes = [], []
        for group in range(0, 26, accumulate * batch):
            starts = range(group, min(group + accumulate * batch, 26), batch)
            rows = min(26, group + accumulate * batch) - group
            weights = [np.array(p.value) for p in leaves]
            total = [np.zeros_like(w) for w in weights]
            for start in starts:
                x, t = X[start : start + batch], Y[start : start + batch]
                mask = dropout(np.ones((len(x), 6))).value
                found, seen = gradients_of(weights, x, t, mask)
                total = [g + len(x) / rows * own for g, own in zip(total, found, strict=True)]
                slopes.append(seen)
            total = [g + 2 * l2 * w * (w.ndim > 1) for g, w in zip(total, weights, strict=True)]
            length = np.sqrt(sum((g**2).sum() for g in total))
            limited = [g * min(1, (clip_norm or np.inf) / length) for g in total]
            updater.step(limited)
            now = [p.value for p in leaves]
            norms.append([
                [(g**2).sum(), (w**2).sum(), ((v - w) ** 2).sum()]
                for g, w, v in zip(total, weights, now, strict=True)
            ])  # fmt: skip
        means = [np.concatenate(each).mean(0) for each in zip(*slopes, strict=True)]
        told.append((np.sqrt(np.mean(norms, axis=0)), means))
    return told


@IN_EVERY_WAY
@pytest.mark.parametrize(
    ("optimizer", "plan"),
    [
        (optim.SGD(0.1, momentum=0.9), {"accumulate": 1, "clip_norm": None, "l2": 0.0}),
        (optim.Adam(0.01), {"accumulate": 2, "clip_norm": 0.5, "l2": 0.01}),
        (optim.RMSprop(0.01), {"accumulate": 2, "clip_norm": None, "l2": 0.0}),
        (optim.AdamW(0.02), {"accumulate": 1, "clip_norm": 0.1, "l2": 0.1}),
    ],
    ids=["SGD", "Adam, accumulate, clip_norm, penalty", "RMSprop, accumulate", "AdamW"],
)
def test_the_numbers_of_a_net_in_numpy(way, optimizer, plan):
    expected = by_hand(optimizer, **plan)
    settings = plan | {"penalty": penalties.L2(plan["l2"])}
    del settings["l2"]
    history, _ = fit(way, rich_net(), optimizer=optimizer, shuffle=False, **settings)
    assert len(history.statistics) == 2
    for epoch, (found, (norms, means)) in enumerate(zip(history.statistics, expected, strict=True)):
        steps = 2 if plan["accumulate"] == 2 else 4
        assert (found.epoch, found.steps, found.rows) == (epoch + 1, steps, 26)
        columns = [found.gradient_norm, found.weight_norm, found.update_norm]
        assert list(found.gradient_norm) == NAMES
        for column, numbers in zip(columns, norms.T, strict=True):
            np.testing.assert_allclose(list(column.values()), numbers, rtol=1e-9)
        ratio = found.update_norm["4.weight"] / found.weight_norm["4.weight"]
        assert found.update_ratio["4.weight"] == pytest.approx(ratio)
        for name, slopes in zip(("2", "5"), means, strict=True):
            np.testing.assert_allclose(found.slopes[name], slopes, rtol=1e-9)


# ---------------------------------------------------------------- observing never touches training

PLANS = {
    "plain": {},
    "clipped": {"clip_norm": 0.1, "clip_value": 0.05},
    "accumulated": {"accumulate": 3, "average": 0.9, "penalty": penalties.ElasticNet(0.01, 0.01)},
    "nadam": {"optimizer": optim.NAdam(0.01), "schedule": "cosine"},
    "weights": {"weight": np.arange(26.0)},
    "all rows": {"batch_size": None, "optimizer": optim.SGD(0.1)},
}


@IN_EVERY_WAY
@pytest.mark.parametrize("name", PLANS)
def test_the_weights_are_the_same_bits_whether_somebody_looks_or_not(way, name):
    x, y, plan = X.astype("f4"), Y.astype("f4"), {"epochs": 3} | PLANS[name]
    alone, expected = fit(way, rich_net("f4"), x, y, **plan, statistics=False)
    assert alone.statistics is None
    for every in (True, 3):
        history, found = fit(way, rich_net("f4"), x, y, **plan, statistics=every)
        assert found == expected
        assert history["loss"] == alone["loss"]
        assert history["gradient_norm"] == alone["gradient_norm"]


@pytest.mark.parametrize("name", PLANS)
def test_all_ways_see_the_same(name):
    plan = PLANS[name] | {"statistics": 2, "optimizer": optim.Adam(0.01)}
    seen = [fit(way, rich_net(), **plan)[0].statistics for way in WAYS]
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            assert (a.epoch, a.steps, a.rows) == (b.epoch, b.steps, b.rows)
            np.testing.assert_allclose(a.squares, b.squares, rtol=1e-7, atol=1e-20)
            assert list(a.slopes) == list(b.slopes) == ["2", "5"]
            for key, slopes in a.slopes.items():
                np.testing.assert_allclose(slopes, b.slopes[key], rtol=1e-9)


@pytest.mark.slow
def test_machine_code_learns_the_same_bits_with_one_and_two_threads():
    pytest.importorskip("numba")
    x, y = RNG.normal(size=(300, 600)).astype("f4"), RNG.normal(size=(300, 2)).astype("f4")

    def run(every, threads):
        model = nn.mlp([600, 300, 2], "tanh", dropout=0.2, seed=0).train()
        updater = Updater(model.parameters(), optim.Adam(0.01))
        observer = Observer(model, dict(model.named_parameters()), every) if every else None
        graph = StepGraph(model, mse, updater, Rows((x,), y), clip_norm=1.0,
                          seen=model if every else None)  # fmt: skip
        step = Step(graph, 64, Program, threads, observer)
        step.load(updater)
        step.order(None)
        for epoch in range(2):
            step.numbers[:] = [[epoch * step.count + t + 1, 1, 0] for t in range(step.count)]
            assert step.run(0, step.count, threads) == step.count
            if observer is not None:
                n = np.ones(step.count)
                observer.add(
                    Steps(epoch * step.count + 1, n, n, n, step.counts, None, step.squares)
                )
        learned = step.losses.tobytes(), [p.value.tobytes() for p in model.parameters()]
        return learned, observer and observer.epoch(1)

    expected, _ = run(0, 1)
    seen = {}
    for every, threads in ((1, 1), (1, 2), (4, 1), (4, 2)):
        found, seen[every, threads] = run(every, threads)
        assert found == expected
    assert run(0, 2)[0] == expected
    for every in (1, 4):
        one, two = seen[every, 1], seen[every, 2]
        assert one.squares.tobytes() == two.squares.tobytes()
        for name, slopes in one.slopes.items():
            assert slopes.tobytes() == two.slopes[name].tobytes()
    model = nn.mlp([600, 300, 2], "tanh", dropout=0.2, seed=0)
    plan = {"batch_size": 64, "clip_norm": 1.0, "optimizer": optim.Adam(0.01), "shuffle": False}
    first = fit("as written", model, x, y, **plan, epochs=1)[0].statistics[0]
    model = nn.mlp([600, 300, 2], "tanh", dropout=0.2, seed=0)
    other = fit(Program, model, x, y, **plan, epochs=1)[0].statistics[0]
    np.testing.assert_allclose(first.squares, other.squares, rtol=1e-2)
    for name, slopes in first.slopes.items():
        np.testing.assert_allclose(slopes, other.slopes[name], rtol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "gelu", "elu"])
def test_the_program_of_a_step_that_is_not_looked_at_is_the_same_text(activation, monkeypatch):
    monkeypatch.setattr("chainrule.stepping.Program", PlainProgram)
    model = nn.mlp([3, 6, 5, 2], activation, dropout=0.1, batch_norm=True, seed=0)
    plan = {"batch_size": 8, "clip_norm": 0.1, "penalty": penalties.L1(0.01)}
    alone, tenth, every = (
        training_step(model, "mse", X, Y, **plan, statistics=n) for n in (False, 10, True)
    )
    assert tenth.source == alone.source
    assert "statistics" not in alone.source
    assert loops(alone.source) < loops(every.source)  # what learns is the same in both
    assert "In the steps that are looked at:\n" in tenth.plan()
    assert tenth.plan().endswith(every.plan())
    assert alone.operations == tenth.operations < every.operations
    arenas = [bound.arena for _, bound in tenth._each]
    assert arenas[0] is arenas[1]
    assert len(arenas[0]) == len(every.bound.arena)


# ---------------------------------------------------------------- dead and saturated units


@IN_EVERY_WAY
def test_a_dead_unit_and_a_saturated_one_are_found_and_healthy_ones_are_not(way):
    model = nn.mlp([3, 6, 6, 2], ["tanh", "relu"], seed=0).astype(float)
    state = model.state_dict()
    state["0.weight"][1] *= 100
    state["2.bias"][4] = -100
    model.load_state_dict(state)
    history, _ = fit(way, model, optimizer=optim.SGD(0.001))
    first = history.statistics[0]
    assert {name: units.tolist() for name, units in first.dead.items()} == {"1": [], "3": [4]}
    assert {name: units.tolist() for name, units in first.saturated.items()} == {"1": [1], "3": [4]}
    healthy, _ = fit(way, nn.mlp([3, 6, 6, 2], ["tanh", "relu"], seed=0), optimizer=optim.SGD(0.01))
    for each in healthy.statistics:
        assert not any(len(x) for x in [*each.dead.values(), *each.saturated.values()])


@IN_EVERY_WAY
def test_a_unit_that_lives_in_one_row_of_an_epoch_is_not_dead(way):
    x = np.full((26, 1), -1.0)
    x[20] = 1.0
    model = nn.mlp([1, 2, 2], "relu", seed=0).astype(float)
    model.load_state_dict(model.state_dict() | {"0.weight": np.array([[1.0], [-1.0]])})
    history, _ = fit(way, model, x, Y, optimizer=optim.SGD(1e-9), shuffle=False)
    assert [each.dead["1"].tolist() for each in history.statistics] == [[], []]
    np.testing.assert_allclose(history.statistics[0].slopes["1"], [1 / 26, 25 / 26])
    assert history.statistics[0].saturated["1"].tolist() == [0]
    seldom, _ = fit(way, model, x, Y, optimizer=optim.SGD(1e-9), shuffle=False, statistics=4)
    assert seldom.statistics[0].dead["1"].tolist() == [0]  # the row was in a step not looked at


@IN_EVERY_WAY
def test_layers_of_channels_residuals_and_learned_slopes(way):
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.PReLU(3), nn.Activation("tanh"), nn.MaxPool2d(2), nn.Flatten(),
        nn.Residual(nn.Sequential(nn.Linear(3, 3), nn.Activation("relu"))),
        nn.Activation("softmax"), nn.Linear(3, 2), seed=0,
    ).astype(float)  # fmt: skip
    history, _ = fit(way, model, RNG.normal(size=(26, 1, 4, 4)), Y)
    each = history.statistics[-1]
    assert {name: len(x) for name, x in each.slopes.items()} == {"1": 3, "2": 3, "5.module.1": 3}
    assert [row["layer"] for row in each.table()] == [
        "0",
        "1",
        "2",
        "5.module.0",
        "5.module.1",
        "7",
    ]
    assert each.table()[1].keys() == {"layer", "gradient", "weight", "update/weight", "units",
                                      "dead", "saturated"}  # fmt: skip


@IN_EVERY_WAY
def test_behind_frozen_layers_no_unit_is_looked_at(way):
    model = nn.mlp([3, 6, 6, 2], "relu", seed=0).astype(float)
    model[0].freeze()
    history, _ = fit(way, model)
    assert list(history.statistics[-1].slopes) == ["3"]
    assert "0.weight" not in history.statistics[-1].gradient_norm


@IN_EVERY_WAY
def test_a_loss_with_parameters_has_norms_too(way):
    model = nn.mlp([3, 6, 2], "tanh", seed=0).astype(float)
    how = {"as written": False, NumpyProgram: "numpy"}.get(way, "numba")
    with pytest.MonkeyPatch.context() as patch:
        if how == "numba":
            patch.setattr("chainrule.stepping.Program", way)
        history = train(model, nn.AdaptiveLoss(), X, Y, epochs=1, compile=how, statistics=True)
    names = list(history.statistics[0].gradient_norm)
    assert names[:4] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert all(name.startswith("loss.") for name in names[4:])
    assert len(names) > 4
    assert list(history.statistics[0].slopes) == ["1"]


@IN_EVERY_WAY
def test_a_largest_slope_that_is_not_known_takes_no_unit_for_saturated(way):
    class Scaled(nn.Activation):
        def __init__(self):
            super().__init__("tanh")
            self.scale = nn.Parameter(np.full((2, 2, 2), 1e-3))
            self.scale.assign(self.scale.value * np.array([0.0, 1.0]).reshape(2, 1, 1))

        def forward(self, x):
            return ops.tanh(ops.mul(x, ops.stop_gradient(self.scale)))

    with no_grad():
        layers = [nn.Conv2d(1, 2, 3, seed=0), Scaled(), nn.Flatten(), nn.Linear(8, 2, seed=1)]
    history, _ = fit(way, nn.Sequential(*layers), RNG.normal(size=(26, 1, 4, 4)).astype("f4"), Y)
    each = history.statistics[0]
    assert (each.dead["1"].tolist(), each.saturated["1"].tolist()) == ([0], [0])
    assert each.slopes["1"].tolist() == [0, np.inf]


class Odd(nn.Module):
    def __init__(self):
        self.linear, self.prelu = nn.Linear(3, 2, seed=0), nn.PReLU()
        self.first, self.second = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))
        self.unused, self.scalar = nn.Parameter(np.ones(4)), nn.Parameter(2.0)

    def forward(self, x):
        return self.prelu(self.linear(x)) + self.first + self.second


@IN_EVERY_WAY
def test_numbers_that_a_program_computes_once_or_knows(way):
    """Equal gradients, parameters of one number, a gradient that is known, and one of 0."""
    model = Odd().astype(float)
    plan = {"optimizer": optim.Adam(0.1), "epochs": 3, "accumulate": 2}
    penalty = [lambda rows: ops.mul(model.scalar, 3.0)]
    found = fit(way, model, **plan, penalty=penalty)[0].statistics
    model = Odd().astype(float)
    expected = fit("as written", model, **plan, penalty=penalty)[0].statistics
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.squares, b.squares, rtol=1e-9)
        assert a.gradient_norm["first"] == a.gradient_norm["second"] > 0
        assert a.gradient_norm["scalar"] == pytest.approx(3)
        assert (a.gradient_norm["unused"], a.update_norm["unused"]) == (0, 0)
        assert a.weight_norm["unused"] == 2


@IN_EVERY_WAY
def test_a_penalty_that_is_the_square_of_a_norm(way):
    model = nn.Linear(3, 2, seed=0).astype(float)
    history, _ = fit(way, model, batch_size=None, penalty=penalties.L2(1.0))
    for row, each in zip(history, history.statistics, strict=True):
        assert each.weight_norm["weight"] ** 2 == pytest.approx(row["penalty"])
        assert row["penalty"] > 0


def test_widths_that_change_begin_anew():
    """Such a model runs as written; a layer is then as wide as it was last."""

    class Changing(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(3, 4, seed=0), nn.Linear(3, 5, seed=1)]
            self.act = nn.Activation("tanh")
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return ops.sum(self.act(self.layers[self.calls % 2](x)), axis=1, keepdims=True) * [1, 1]

    history, _ = fit("as written", Changing().astype(float))
    assert len(history.statistics[-1].slopes["act"]) in (4, 5)


# ---------------------------------------------------------------- events, and every k-th step


class Heard(Callback):
    def __init__(self):
        self.steps, self.epochs = {}, []

    def on_step_end(self, event):
        self.steps[event.step] = event.statistics
        self.norm = event.gradient_norm

    def on_epoch_end(self, event):
        self.epochs.append(event.statistics)


@IN_EVERY_WAY
def test_callbacks_hear_of_the_steps_that_were_looked_at(way):
    heard = Heard()
    history, _ = fit(way, rich_net(), epochs=3, statistics=5, callbacks=[heard])
    assert [step for step, seen in heard.steps.items() if seen is not None] == [1, 6, 11]
    assert [each.steps for each in history.statistics] == [1, 1, 1]
    for seen, each in zip([heard.steps[t] for t in (1, 6, 11)], heard.epochs, strict=True):
        np.testing.assert_array_equal(seen.squares, each.squares)
        assert seen.update_ratio == each.update_ratio
    assert list(history.statistics) == heard.epochs
    every = Heard()
    fit(way, rich_net(), callbacks=[every])
    lengths = every.steps[8].gradient_norm.values()
    assert np.sqrt(sum(x**2 for x in lengths)) == pytest.approx(every.norm)
    assert every.steps[8].parameters == tuple(NAMES)
    nobody = Heard()
    fit(way, rich_net(), callbacks=[nobody], statistics=False)
    assert set(nobody.steps.values()) == {None}
    assert nobody.epochs == [None, None]


def test_an_epoch_in_which_no_step_was_looked_at_has_none():
    heard = Heard()
    history, _ = fit("as written", rich_net(), epochs=4, statistics=8, callbacks=[heard])
    assert [each.epoch for each in history.statistics] == [1, 3]
    assert [each is None for each in heard.epochs] == [False, True, False, True]


def test_the_order_in_which_chunks_of_steps_come_does_not_matter():
    observer = Observer(nn.Sequential(), {"w": tensor([1.0])}, every=1)
    rows = RNG.normal(size=(9, 3)) ** 2 * 10.0 ** RNG.integers(-8, 8, (9, 1))

    def told(cuts):
        for a, b in zip([0, *cuts], [*cuts, 9], strict=True):
            n = np.ones(b - a)
            observer.add(Steps(a + 1, n, n, n, n, None, rows[a:b]))
        return observer.epoch(1).squares.tobytes()

    assert told([]) == told([1, 2, 5]) == told([8])


# ---------------------------------------------------------------- checkpoints


class Stop(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, event):
        if event.step == self.step:
            raise ValueError("stop")


@pytest.mark.parametrize(
    "compiled", [False, "numpy", pytest.param("numba", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("every", [1, 3])
def test_a_training_that_goes_on_has_the_same_statistics(tmp_path, compiled, every):
    def run(epochs, **more):
        plan = {"epochs": epochs, "seed": 0, "batch_size": 8, "compile": compiled}
        return train(rich_net(), "mse", X, Y, **plan, statistics=every, **more)

    whole = run(4).statistics
    kept = {"checkpoint": tmp_path / "c", "every": "1 step"}
    for step in (3, 6, 8, 14, 16):
        with pytest.raises(ValueError, match="stop"):
            run(4, **kept, callbacks=[Stop(step)])
    found = run(4, **kept).statistics
    assert str(found) == str(whole)
    for a, b in zip(found, whole, strict=True):
        assert (a.epoch, a.steps, a.rows) == (b.epoch, b.steps, b.rows)
        assert a.squares.tobytes() == b.squares.tobytes()
        assert {k: v.tobytes() for k, v in a.slopes.items()} == {
            k: v.tobytes() for k, v in b.slopes.items()
        }


def test_statistics_may_begin_or_end_where_a_training_goes_on(tmp_path):
    def run(epochs, statistics):
        model = rich_net()
        plan = {"seed": 0, "batch_size": 8, "compile": "numpy", "checkpoint": tmp_path / "c"}
        history = train(model, "mse", X, Y, epochs=epochs, statistics=statistics, **plan)
        return history.statistics

    assert run(1, False) is None
    assert [each.epoch for each in run(2, True)] == [2]
    assert run(3, False) is None
    assert [each.epoch for each in run(4, True)] == [4]
    assert [each.epoch for each in run(5, 2)] == [4, 5]


GOOD = [[1, 4, 26, [["act", 2]]], [0, 0, 0, []]]


@pytest.mark.parametrize(
    ("listed", "count"),
    [
        (GOOD, 9), (GOOD, 7), ([], 0), ([[1, 4, 26]], 3), ([[1, 4, 26, [["act", -1]]]], 2),
        ([[1, 4.5, 26, []]], 3), ([[1, 4, 26, [["act", "2"]]]], 5), ([[1, 4, 26, [2]]], 5),
        ([1], 3),
    ],
)  # fmt: skip
def test_statistics_of_a_file_that_make_no_sense_are_refused(listed, count):
    observer = Observer(nn.Sequential(), {"w": tensor([1.0])}, every=1)
    (good,) = observer.restore(GOOD, {"statistics": np.arange(8.0)})
    assert good.slopes["act"].tolist() == [3, 4]
    assert observer.squares.tolist() == [5, 6, 7]
    with pytest.raises(FormatError, match="its statistics cannot be read"):
        observer.restore(listed, {"statistics": np.zeros(count)})
    for arrays in ({}, {"statistics": np.zeros(8, int)}, {"statistics": np.zeros((8, 1))}):
        with pytest.raises(FormatError, match="its statistics cannot be read"):
            observer.restore(GOOD, arrays)


# ---------------------------------------------------------------- estimators


def test_estimators_take_statistics():
    net = NetRegressor(epochs=2, random_state=0, statistics=True).fit(X, Y)
    assert [each.epoch for each in net.history_.statistics] == [1, 2]
    assert NetRegressor(epochs=2).fit(X, Y).history_.statistics is None
    with pytest.warns(ConvergenceWarning):
        mlp = MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0, statistics=2).fit(
            X, Y
        )
    assert [each.epoch for each in mlp.history_.statistics] == [1, 3]
    assert [row["layer"] for row in mlp.history_.statistics[0].table()] == ["0", "1", "2"]
    with pytest.raises(ConfigError, match=r"solver='lbfgs' has no statistics: use solver='adam'"):
        MLPRegressor(solver="lbfgs", statistics=True).fit(X, Y)


@pytest.mark.parametrize("asked", [-1, 0.5, "all", None])
def test_what_statistics_may_be(asked):
    with pytest.raises(ConfigError, match=r"statistics=.*: expected True, False, or a number k"):
        train(nn.Linear(3, 2), "mse", X, Y, statistics=asked)
