"""Faults of a training: rows, orders, groups, callbacks, and what remains when it diverges."""

import numpy as np
import pytest

from chainrule import (
    SWA,
    Callback,
    ReduceOnPlateau,
    lr_range_test,
    nn,
    ops,
    optim,
    train,
)
from chainrule.data import as_rows
from chainrule.errors import (
    ChainruleError,
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    GraphError,
)
from programs import PlainProgram

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, :1]
CLASSES = np.arange(60) % 3
WAYS = pytest.mark.parametrize("how", [False, "numpy", "plain"])


def net(units=1, **settings):
    return nn.mlp([3, 4, units], "tanh", seed=0, **settings).astype(float)


def fit(model=None, x=X, y=Y, loss="mse", how="numpy", **plan):
    model = model or net()
    plan = {"epochs": 2, "seed": 0, "batch_size": 20, "optimizer": optim.SGD(0.1)} | plan
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CHAINRULE_COMPILE", raising=False)
        patch.setattr("chainrule.stepping.Program", PlainProgram)
        return train(model, loss, x, y, compile="numba" if how == "plain" else how, **plan)


# Rows and their order.


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (np.arange(20), r"shuffle gave int64 data of shape \(20,\): expected 48 whole numbers"),
        (np.random.default_rng(0).permutation(60), r"of shape \(60,\): expected 48 whole numbers"),
        (np.arange(48) + 10**9, "shuffle gave row 1000000000: expected 48 whole numbers from 0 to"),
        (np.arange(48) - 1, "shuffle gave row -1"),
        (np.arange(48) % 2 == 0, "shuffle gave bool data"),
        (np.arange(48.0), "shuffle gave float64 data"),
        (None, "shuffle gave object data"),
    ],
)
def test_an_order_names_rows_that_exist(order, text):
    with pytest.raises(DataError, match=text):
        fit(validation=0.2, shuffle=lambda epoch: order)
    fit(validation=0.2, shuffle=lambda epoch: [7] * 48)  # drawn with replacement


@pytest.mark.parametrize(
    ("validation", "loss", "text"),
    [
        ((X, Y[:, 0]), "mse", r"validation rows: mse: .* targets \(60,\)"),
        ((X[:, :2], Y), "mse", r"validation rows: Linear\(3, 4\) got an input"),
        ((X[:0], Y[:0]), "mse", "validation needs at least one row"),
        ((X, Y + 9), "binary_cross_entropy_with_logits", "validation rows: .* between 0 and 1"),
        ((X, CLASSES - 1), "cross_entropy", "validation rows: .* target -1 in row 0"),
        ((X, CLASSES + 1), "cross_entropy", "validation rows: .* target 3 in row 2"),
    ],
)
def test_validation_rows_fit_the_model_and_the_loss(validation, loss, text):
    model = net(3 if loss == "cross_entropy" else 1)
    y = CLASSES if loss == "cross_entropy" else np.zeros((60, 1))
    before = model.arrays()
    with pytest.raises(ChainruleError, match=text):
        fit(model, y=y, loss=loss, validation=validation)
    assert all(np.array_equal(before[name], x) for name, x in model.arrays().items())


def test_big_endian_rows_are_taken_in_the_order_of_the_machine():
    rows = as_rows((X.astype(">f4"), CLASSES.astype(">i4")), Y.astype(">f8"), np.ones(60, ">f2"))
    arrays = *rows.inputs, rows.target, rows.weight
    assert all(x.dtype.isnative for x in arrays)
    assert np.array_equal(rows.target, Y)
    assert as_rows(X, Y).inputs[0] is X  # nothing is copied otherwise


@pytest.mark.slow
def test_big_endian_rows_give_the_bits_of_native_ones():
    found = []
    for order in "=>":
        train(model := net(), "mse", X.astype(f"{order}f8"), Y.astype(f"{order}f8"), seed=0,
              weight=np.arange(60).astype(f"{order}f8"), epochs=1, compile="numba")  # fmt: skip
        found.append(model[0].weight.value.tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"x": np.ma.masked_array(X, X > 1)}, r"inputs is a masked array.*inputs\.filled\(value\)"),
        ({"y": np.ma.masked_array(Y, Y > 1)}, "target is a masked array"),
        ({"weight": np.ma.masked_array(np.ones(60))}, "weight is a masked array"),
        ({"validation": (X, np.ma.masked_array(Y))}, "target is a masked array"),
        ({"x": None}, "inputs is None: expected an array whose first axis counts the rows"),
        ({"x": {"a": X}}, "inputs is of type dict"),
        ({"x": (X, 3.0)}, r"inputs\[1\] is of type float"),
        ({"y": 3.0}, "target is of type float"),
        ({"weight": "balanced"}, "weight is 'balanced'"),
        ({"weight": [None] * 60}, "weight holds object data: expected a number for each row"),
        ({"validation": [X, Y]}, r"validation: expected \(inputs, target\)"),
    ],
)
def test_rows_that_are_none(given, text):
    with pytest.raises(ChainruleError, match=text):
        fit(**given)


# What remains of a training that diverges.


@WAYS
@pytest.mark.parametrize(
    ("average", "explodes", "accumulate"), [(0.9, 0, 1), (0.9, 4, 1), (0.9, 2, 2), (SWA(1), 4, 1)]
)
def test_the_last_good_weights_remain_when_an_average_diverges(how, average, explodes, accumulate):
    x, rates = X.copy(), [1.0] * explodes + [1e200] * 9
    x[:, 0] = x[:, 0] if explodes else 1e300
    models = [net(), net()]
    for model, mean in zip(models, (None, average), strict=True):
        with pytest.raises(DivergedError, match="the last good weights were kept"):
            fit(model, x, how=how, average=mean, accumulate=accumulate, epochs=3,
                schedule=lambda t: rates[t])  # fmt: skip
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        assert np.array_equal(a.value, b.value)


@pytest.mark.parametrize("how", ["numpy", "plain"])
def test_the_batch_that_diverges_is_repeated_with_its_own_dropout(how):
    x = np.random.default_rng(0).normal(size=(12, 3))
    x[5] *= 1e200
    model = nn.mlp([3, 4, 1], "relu", dropout=0.6, seed=0).astype(float)
    with pytest.raises(DivergedError, match=r"step \d+ .*: first not finite was the result of mul"):
        fit(model, x, np.zeros((12, 1)), how=how, batch_size=3, accumulate=3, epochs=6, seed=0,
            optimizer=optim.SGD(1e-200))  # fmt: skip


@pytest.mark.parametrize("how", ["numpy", "plain"])
def test_a_sum_over_batches_may_diverge_where_none_of_them_does(how):
    line = nn.Linear(1, 1, bias=False, seed=0)
    line.weight.value = np.full((1, 1), 1e-30, np.float32)
    x = np.array([[3e38], [0.0]], np.float32)
    with pytest.raises(DivergedError, match=r"gradient norm became inf at step 1 .*0\.1\); the la"):
        fit(line, x, np.zeros_like(x), "mae", how=how, batch_size=1, accumulate=2, shuffle=False,
            penalty=lambda rows: ops.sum(line.weight) * 2e38)  # fmt: skip
    assert line.weight.value == np.float32(1e-30)


# Callbacks.


@WAYS
def test_the_mode_that_a_callback_leaves_does_not_matter(how):
    models = [net(dropout=0.5, batch_norm=True) for _ in range(4)]

    def forward(event):
        event.model.train()(X)  # moves the mean of batch norm, and the counter of dropout

    heard = [], [lambda event: event.model.eval()], [lambda event: event.model[1].eval()], [forward]
    for model, callbacks in zip(models, heard, strict=True):
        fit(model, how=how, callbacks=callbacks)
    for model in models[1:]:
        for name, value in models[0].arrays().items():
            assert np.array_equal(value, model.arrays()[name]), name


def at(hook, action):
    return type("At", (Callback,), {hook: lambda self, event: action()})()


@WAYS
@pytest.mark.parametrize("hook", ["on_train_start", "on_step_end", "on_epoch_end"])
def test_a_callback_that_replaces_weights_is_refused(how, hook):
    model, state = net(), net(dropout=0.0).state_dict()
    for action in (
        lambda: model.load_state_dict(state),
        lambda: setattr(model[0].weight, "value", np.full((4, 3), 7.0)),
    ):
        with pytest.raises(GraphError, match=f"{hook} of a callback replaced weights"):
            fit(model, how=how, callbacks=[at(hook, action)])
        assert not np.any(model[0].weight.value == 7.0)
    fit(model, how=how, callbacks=[at("on_train_end", action)])  # when training is over
    assert np.all(model[0].weight.value == 7.0)


# Plans.


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (lambda m: [(m[0].bias, {"lr": 0.0})], "a tensor stands where a list of parameters"),
        (lambda m: [(m[0], {"lr": 0.0})], "a Linear stands where a list of parameters"),
        (lambda m: ([m[0].bias], {"lr": 0.0}), "groups: got a list: expected pairs"),
        (lambda m: [{"params": [m[0].bias], "lr": 0.0}], "groups: got a dict"),
        (lambda m: {"0.bias": {"lr": 0.0}}, "groups: got a str"),
        (lambda m: [(["0.bias"], {"lr": 0.0})], "groups: '0.bias' is no parameter"),
        (lambda m: [(net().parameters(), {"lr": 0.0})], r"shape \(4, 3\) is none of those that"),
        (lambda m: [([m[0].bias], {"betas": [0.9]})], "SGD has no setting 'betas'"),
    ],
)
def test_groups_that_are_none(groups, text):
    model = net()
    with pytest.raises(ConfigError, match=text) as caught:
        fit(model, groups=groups(model))
    assert "SGD" in text or 'groups=[([model[0].bias], {"weight_decay": 0.0})]' in str(caught.value)


@WAYS
def test_groups_skip_frozen_parameters_and_take_iterators(how, tmp_path):
    model = net()
    model[0].weight.requires_grad = False
    bias = model[2].bias.value.copy()
    groups = [([model[0].weight, model[2].bias], {"lr": 0.0})]
    fit(model, how=how, groups=groups, checkpoint=tmp_path / "c")
    assert np.array_equal(model[2].bias.value, bias)
    assert model[0].bias.value.any()
    others = iter([(iter([model[0].bias]), {"lr": 0.0})])
    with pytest.raises(CheckpointError, match="its groups is"):
        fit(model, how=how, groups=others, checkpoint=tmp_path / "c")


def test_a_range_test_heeds_groups():
    model = net()
    frozen = [(model.parameters(), {"lr": 0.0})]
    losses = [
        lr_range_test(model, "mse", X, Y, steps=20, seed=0, compile=False, **plan).losses
        for plan in ({}, {"groups": frozen})
    ]
    assert np.ptp(losses[1]) < 1e-12 < np.ptp(losses[0])


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"plateau": ReduceOnPlateau()}, r"pass early_stopping=chainrule.EarlyStopping\(patience"),
        ({"score": lambda p, t: 0.0}, "score= is of validation rows: pass validation=0.2"),
        ({"score": "accuracy", "validation": 0.2}, "score='accuracy': expected a function"),
        ({"lr": 0.1}, r"there is no argument lr: pass optimizer=optim.Adam\(0.1\)"),
        ({"epoch": 3}, "there is no argument epoch; there are optimizer, epochs"),
        ({"callbacks": print}, r"callbacks=<built-in function print>: expected a list"),
        ({"callbacks": Callback()}, r"expected a list, such as callbacks=\[callback\]"),
        ({"schedule": lambda t: None}, "schedule gave None at 0: expected a factor of the rate"),
        ({"seed": "a"}, "seed='a': expected a whole number of at least 0, or None"),
        ({"seed": -1}, "seed=-1: expected a whole number of at least 0, or None"),
    ],
)
def test_plans_that_cannot_work(plan, text):
    with pytest.raises(ConfigError, match=text):
        fit(**plan)


class Gives(nn.Module):
    def __init__(self, result):
        self.line, self.result = nn.Linear(3, 1, seed=0), result

    def forward(self, x):
        return self.result(self.line(x))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (lambda x: x, "expected an object of chainrule.nn.Module, such as nn.mlp"),
        (net().freeze(), r"all 4 parameters of the model are frozen.*freeze\(False\)"),
        (Gives(lambda y: (y, y)), "forward of the model gives a tuple, expected one tensor"),
        (Gives(lambda y: None), "forward of the model gives a NoneType, expected one tensor"),
    ],
)
def test_models_that_cannot_be_trained(model, text):
    with pytest.raises(ConfigError, match=text):
        fit(model)
