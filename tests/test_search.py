"""Search: folds, spaces, methods, studies that go on, workers."""

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import chainrule
from chainrule import losses, optim, search
from chainrule.errors import ChainruleError, ConfigError, DataError, FormatError
from chainrule.estimators.builders import HiddenLayers
from chainrule.search import Call, Choice, Int, LogUniform, Uniform, optimize, tune, widths
from chainrule.search.fingerprint import of_rows
from chainrule.search.interrupt import Shield, listening
from chainrule.search.progress import TrialProgress
from chainrule.search.workers import Worker

X, Y = load_iris(return_X_y=True)
LINE = {"x": Uniform(-5, 5)}


def square(p):
    return (p["x"] - 1) ** 2


def branin(p):
    x, y = p["x"], p["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def settings(result):
    """Give what was tried and what came of it, without the time it took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in result]


# ---------------------------------------------------------------- folds


def test_ten_rows_in_three_folds():
    found = search.folds(10, 3, seed=0)
    assert [len(held) for _, held in found] == [4, 3, 3]
    assert sorted(np.concatenate([held for _, held in found]).tolist()) == list(range(10))
    for train, held in found:
        assert sorted([*train, *held]) == list(range(10))


def test_folds_are_seeded_shuffled_stratified_and_grouped():
    first = search.folds(20, 4, seed=1)[0][1]
    assert np.array_equal(first, search.folds(20, 4, seed=1)[0][1])
    assert not np.array_equal(first, search.folds(20, 4, seed=2)[0][1])
    plain = search.folds(20, 4, shuffle=False)
    assert plain[0][1].tolist() == [0, 1, 2, 3, 4]
    labels = np.array(["a"] * 12 + ["b"] * 4)
    for _, held in search.folds(16, 4, labels=labels):
        assert (labels[held] == "a").sum() == 3
        assert (labels[held] == "b").sum() == 1
    groups = np.repeat(np.arange(5), 4)
    for train, held in search.folds(20, 5, groups=groups, labels=[0, 1] * 10):
        assert not set(groups[train]) & set(groups[held])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: search.folds(3, 4), ConfigError, "from 2 to rows"),
        (lambda: search.folds(3, 2, labels=[0, 1]), DataError, "3 rows, but 2 labels"),
        (lambda: search.folds(4, 3, labels=[0, 0, 1, 1]), DataError, "no class has more than 2"),
        (lambda: search.folds(4, 3, labels=[0, 0, 0, 1]), DataError, "class 1 has only 1 row"),
        (lambda: search.folds(4, 3, groups=[0, 0, 1, 1]), DataError, "only 2 groups"),
        (lambda: search.three_parts(10, validation=0.5, test=0.5), ConfigError, "leave rows"),
        (lambda: search.three_parts(2), DataError, "too few"),
        (lambda: search.three_parts(9, labels=[1]), DataError, "9 rows, but 1 labels"),
    ],
)
def test_folds_that_cannot_be(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(("rows", "validation", "test"), [(100, 0.07, 0.15), (1000, 0.15, 0.15)])
def test_three_parts(rows, validation, test):
    labels = np.arange(rows) % 5 == 0
    parts = search.three_parts(rows, validation=validation, test=test, labels=labels, seed=3)
    sizes = [round(rows * share) for share in (1 - validation - test, validation, test)]
    assert [len(part) for part in parts] == sizes
    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
    for part in parts:
        assert abs(labels[part].sum() - len(part) / 5) <= 1
    again = search.three_parts(rows, validation=validation, test=test, labels=labels, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


# ---------------------------------------------------------------- methods


def test_a_grid_is_the_product():
    calls = []
    space = {"x": [1, 2, 3], "act": ["a", "b"], "rate": LogUniform(0.1, 10)}
    found = optimize(lambda p: calls.append(p) or 0.0, space, method="grid", points=4)
    assert len(found) == len(calls) == 3 * 2 * 4
    assert len({json.dumps(p, sort_keys=True) for p in calls}) == 24
    assert sorted({round(p["rate"], 6) for p in calls}) == [0.1, 0.464159, 2.154435, 10]


def test_a_grid_of_choices_within_choices():
    space = {"opt": [Call(optim.Adam, lr=[0.1, 0.2]), Call(optim.SGD, lr=[1.0], momentum=[0, 0.9])]}
    seen = []
    optimize(lambda p: seen.append(p["opt"]) or 1.0, space, method="grid")
    assert seen == [optim.Adam(0.1), optim.Adam(0.2), optim.SGD(1.0, momentum=0),
                    optim.SGD(1.0, momentum=0.9)]  # fmt: skip


def test_log_uniform_has_its_median_at_the_geometric_mean():
    found = optimize(lambda p: 0.0, {"lr": LogUniform(1e-4, 1e-1)}, method="random", trials=1000)
    rates = np.array([row["lr"] for row in found])
    assert abs(np.median(rates) / math.sqrt(1e-5) - 1) < 0.1
    assert rates.min() >= 1e-4
    assert rates.max() <= 1e-1


def test_random_draws_stay_inside_and_reach_every_option():
    space = {"n": Int(2, 5), "m": Int(1, 100, log=True), "c": ["a", None, (1, 2)]}
    rows = list(optimize(lambda p: 0.0, space, method="random", trials=200))
    assert {row["n"] for row in rows} == {2, 3, 4, 5}
    assert {row["c"] for row in rows} == {"a", None, (1, 2)}
    assert 5 < np.median([row["m"] for row in rows]) < 20


def test_of_nine_trials_a_grid_shows_three_values_and_chance_nine():
    space = {"matters": Uniform(0, 1), "does_not": Uniform(0, 1)}
    counts = []
    for method in ("grid", "random"):
        found = optimize(lambda p: p["matters"], space, method=method, trials=9, points=3)
        assert len(found) == 9
        counts.append(len({row["matters"] for row in found}))
    assert counts == [3, 9]


def test_bayes_finds_more_than_chance_on_branin():
    space = {"x": Uniform(-5, 10), "y": Uniform(0, 15)}
    medians = {
        method: np.median(
            [optimize(branin, space, method=method, trials=25, seed=s).best_score
             for s in range(20)]
        )
        for method in ("bayes", "random")
    }  # fmt: skip
    assert medians["bayes"] < 0.9 * medians["random"]


def test_the_seed_decides():
    first, again, other = (
        settings(optimize(square, LINE, trials=15, seed=seed)) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_it_can_look_for_the_largest():
    found = optimize(square, LINE, method="grid", points=11, direction="maximize")
    assert found.best_params == {"x": -5.0}
    assert found.best_score == 36


# ---------------------------------------------------------------- spaces


def test_what_is_no_space_is_refused():
    for space, words in (
        ({}, "nothing in it"),
        ({"x": []}, "nothing to choose"),
        ({"x": 3}, "expected a list of options"),
        ({1: [3]}, "is no text"),
        ([1], "expected a dictionary"),
    ):
        with pytest.raises(ConfigError, match=words):
            optimize(square, space, trials=1)
    for make, words in (
        (lambda: Uniform(2, 1), "nothing is between"),
        (lambda: LogUniform(0, 1), "logarithm needs low above 0"),
        (lambda: Int(0.5, 2), "whole numbers"),
        (lambda: Uniform(0, math.inf), "two numbers"),
        (lambda: Choice("relu"), "at least one option"),
        (lambda: Call("relu"), "expected a function"),
    ):
        with pytest.raises(ConfigError, match=words):
            make()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "guess"}, "bayes, random, grid"),
        ({"trials": 0}, "at least 1"),
        ({"points": 1}, "at least 2"),
        ({"jobs": 0}, "at least 1"),
        ({"seed": -1}, "at least 0"),
        ({"direction": "up"}, "'minimize' or 'maximize'"),
    ],
)
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(ConfigError, match=words):
        optimize(square, LINE, **settings)


@pytest.mark.parametrize(
    "estimator",
    [
        chainrule.MLPClassifier(max_iter=3),
        chainrule.MLPRegressor(max_iter=3),
        chainrule.NetClassifier(epochs=3),
        chainrule.NetRegressor(epochs=3),
        chainrule.TabularClassifier(epochs=3, members=2),
        chainrule.TabularRegressor(epochs=3, members=2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_every_estimator_has_a_space_of_its_own(estimator):
    found = tune(estimator, X, Y.astype(float) if "Regr" in repr(estimator) else Y, trials=3,
                 cv=2, method="random")  # fmt: skip
    states = [row["state"] for row in found]
    assert set(states) <= {"finished", "diverged"}, found.trials
    assert "finished" in states
    best = found.best_estimator()
    assert {name: best.get_params()[name] for name in found.best_params} == found.best_params


def test_deltas_and_everything_else_can_be_searched():
    space = {
        "loss": [Call(losses.huber.having, delta=LogUniform(0.1, 10)), "squared_error"],
        "alpha": LogUniform(1e-6, 1e-2),
        "batch_size": Int(8, 32),
        "dropout": Uniform(0, 0.5),
        "hidden_layer_sizes": widths(layers=(1, 2), units=(4, 8)),
        "activation": ["relu", "tanh"],
        "optimizer": [Call(optim.SGD, lr=LogUniform(1e-4, 1e-2), momentum=Uniform(0, 0.9))],
    }
    net = chainrule.MLPRegressor(max_iter=2)
    found = tune(net, X, Y.astype(float), space, trials=4, cv=2, method="random")
    row = next(row for row in found if row["loss"] == "huber")
    assert 0.1 <= row["loss.huber.delta"] <= 10
    assert 0 <= row["optimizer.SGD.momentum"] <= 0.9
    assert row["hidden_layer_sizes.layers"] in (1, 2)


def test_a_net_of_hidden_layers_is_saved(tmp_path):
    module = HiddenLayers((5, 4), "tanh", dropout=0.1)
    net = chainrule.NetClassifier(module, epochs=2, random_state=0).fit(X, Y)
    net.save(tmp_path / "net")
    again = chainrule.load(tmp_path / "net")
    assert again.module == module
    assert np.array_equal(again.predict_proba(X), net.predict_proba(X))


# ---------------------------------------------------------------- estimators


def test_the_score_is_the_mean_over_folds():
    parts = search.folds(len(Y), 3, labels=Y, seed=0)
    found = tune(LogisticRegression(max_iter=500), X, Y, {"C": [0.01, 1.0]}, method="grid", cv=3)
    for row in found:
        own = [
            LogisticRegression(C=row["C"], max_iter=500).fit(X[a], Y[a]).score(X[b], Y[b])
            for a, b in parts
        ]
        assert row["scores"] == pytest.approx(own)
        assert row["score"] == pytest.approx(np.mean(own))
    assert found.best_params == {"C": 1.0}


def test_weights_splitters_scorers_pipelines_and_data_frames():
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipe = make_pipeline(StandardScaler(), chainrule.MLPClassifier((4,), max_iter=5))
    found = tune(
        pipe,
        frame,
        Y,
        {"mlpclassifier__alpha": LogUniform(1e-4, 1)},
        trials=2,
        cv=KFold(2, shuffle=True, random_state=0),
        scoring="balanced_accuracy",
    )
    assert len(found.trials) == 2
    weight = np.where(Y == 0, 0.0, 1.0)
    pairs = [(np.arange(0, 150, 2), np.arange(1, 150, 2))]
    net = LogisticRegression(max_iter=500)

    def zeros(model, X, y, sample_weight):
        return float((model.predict(X) == 0).sum())

    call = {"cv": pairs, "sample_weight": weight, "scoring": zeros}
    found = tune(net, X, Y, {"C": [1.0]}, method="grid", **call)
    assert found.best_score == 0  # rows of no weight were not learned


def test_sparse_rows_and_rows_in_a_dictionary():
    net = chainrule.MLPClassifier((4,), max_iter=5, random_state=0)
    space = {"alpha": [0.1, 0.2]}
    dense = tune(net, X, Y, space, method="grid", cv=2)
    sparse = tune(net, csr_array(X), Y, space, method="grid", cv=2)
    assert [row["score"] for row in sparse] == pytest.approx([row["score"] for row in dense])
    columns = {"a": X[:, 0].tolist(), "b": ["x", "y", "z"] * 50}
    net = chainrule.TabularClassifier(epochs=2, members=2)
    assert len(tune(net, columns, Y, {"lr": [0.001]}, method="grid", cv=2)) == 1


def test_the_estimator_as_given_is_scored_once(tmp_path):
    net, space = chainrule.MLPClassifier((4,), max_iter=5, random_state=0), {"alpha": [0.1, 0.2]}
    call = {"method": "grid", "cv": 2, "baseline": True, "study": tmp_path / "s"}
    found = tune(net, X, Y, space, **call, progress=True)
    parts = search.folds(len(Y), 2, labels=Y, seed=0)
    with pytest.warns(UserWarning, match="hasn't converged"):
        own = [net.fit(X[a], Y[a]).score(X[b], Y[b]) for a, b in parts]
    assert found.baseline["score"] == pytest.approx(np.mean(own))
    again = tune(net, X, Y, space, **call)
    assert again.baseline == found.baseline
    assert tune(net, X, Y, space, method="grid", cv=2).baseline is None


def test_log_loss_is_scored_where_a_fold_lacks_a_class():
    y = np.array([0, 1] * 10 + [2] * 2)
    rows = np.arange(22.0).reshape(-1, 1)
    found = tune(LogisticRegression(), rows, y, {"C": [1.0]}, method="grid", cv=5,
                 scoring="neg_log_loss")  # fmt: skip
    assert -2 < found.best_score < 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"space": {"alfa": [1]}}, ConfigError, "did you mean 'alpha'"),
        ({"space": None, "estimator": LogisticRegression()}, ConfigError, "no default space"),
        ({"scoring": "beauty"}, ConfigError, "scoring='beauty'"),
        ({"cv": "five"}, ConfigError, "cv='five'"),
        ({"cv": [([0], [500])]}, DataError, "beyond the 150"),
        ({"y": Y[:9]}, DataError, "X has 150 rows, y has 9"),
        ({"sample_weight": [1.0]}, DataError, "sample_weight has 1"),
        ({"estimator": "net"}, ConfigError, "expected an estimator"),
    ],
)
def test_searches_that_cannot_be(change, error, words):
    call = {"estimator": chainrule.MLPClassifier(), "X": X, "y": Y, "space": {"alpha": [1.0]}}
    with pytest.raises(error, match=words):
        tune(**(call | change))


class Epochs(chainrule.Callback):
    """Counts the epochs of every fit."""

    fits: ClassVar[list[int]] = []

    def on_train_start(self, event):
        self.fits.append(0)

    def on_epoch_end(self, event):
        self.fits[-1] = event.epoch


def test_hopeless_trials_are_given_up_by_epoch_and_change_no_score():
    net = chainrule.NetClassifier(epochs=16, callbacks=[Epochs()])
    call = {"space": {"lr": LogUniform(1e-6, 0.1)}, "method": "random", "trials": 20, "cv": 3}
    whole = tune(net, X, Y, **call, scoring="neg_log_loss", prune=False)
    assert set(Epochs.fits) == {16}
    Epochs.fits.clear()
    pruned = tune(net, X, Y, **call, scoring="neg_log_loss")
    assert {4, 16} <= set(Epochs.fits) <= {4, 8, 16}
    assert len(Epochs.fits) < 60
    given_up = [row for row in pruned if row["state"] == "pruned"]
    assert "score" in given_up[0]
    assert all(row["state"] == "finished" for row in whole)
    by_number = {row["number"]: row["score"] for row in whole}
    for row in pruned:
        if row["state"] == "finished":
            assert row["score"] == by_number[row["number"]]
        else:
            assert by_number[row["number"]] < whole.best_score
    assert pruned.best_score == whole.best_score


def test_trials_that_fail_or_diverge_are_kept_and_are_not_best():
    def difficult(p):
        if p["x"] == 1:
            raise ValueError("no ones\nplease")
        return math.nan if p["x"] == 2 else 5.0

    found = optimize(difficult, {"x": [1, 2, 3]}, method="grid")
    assert [row["state"] for row in found] == ["failed", "diverged", "finished"]
    assert found.trials[0]["error"] == "ValueError: no ones please"
    assert found.best_params == {"x": 3}
    with pytest.raises(ChainruleError, match=r"first 3 trials failed.*no ones"):
        optimize(difficult, {"x": [1], "y": Int(1, 9)}, method="grid", points=9)
    with pytest.raises(ChainruleError, match=r"no trial has finished.*failed .*no ones"):
        optimize(difficult, {"x": [1]}, method="grid")
    with pytest.raises(ChainruleError, match="returned 'seven': expected a number"):
        optimize(lambda p: "seven", {"x": [1]}, method="grid")


# ---------------------------------------------------------------- studies


class Stops:
    """A function that Ctrl-C interrupts at a call."""

    def __init__(self, at):
        self.calls, self.at = [], at

    def __call__(self, p):
        self.calls.append(p["x"])
        if len(self.calls) == self.at:
            signal.raise_signal(signal.SIGINT)
        return square(p)

    __qualname__ = "Stops"


@pytest.mark.parametrize("method", ["bayes", "random", "grid"])
def test_an_interrupted_search_goes_on_as_if_nothing_had_been(tmp_path, method):
    whole = optimize(Stops(0), LINE, method=method, trials=20, points=20)
    stops, more = Stops(13), Stops(0)
    with pytest.warns(UserWarning, match="after 12 of 20 trials.*the same call goes on"):
        part = optimize(stops, LINE, method=method, trials=20, points=20, study=tmp_path / "s")
    assert part.interrupted
    assert settings(part) == settings(whole)[:12]
    rest = optimize(more, LINE, method=method, trials=20, points=20, study=tmp_path / "s")
    assert settings(rest) == settings(whole)
    assert len(more.calls) == 8
    assert not rest.interrupted
    last = Stops(0)
    optimize(last, LINE, method=method, trials=20, points=20, study=tmp_path / "s")
    assert last.calls == []


def test_a_study_can_be_made_longer(tmp_path):
    optimize(square, LINE, trials=8, study=tmp_path / "s")
    found = optimize(square, LINE, trials=12, study=tmp_path / "s")
    assert settings(found) == settings(optimize(square, LINE, trials=12))


def test_ctrl_c_in_a_training_does_not_count_half_a_trial(tmp_path):
    class Interrupts(chainrule.Callback):
        fits = 0

        def on_epoch_end(self, event):
            Interrupts.fits += event.epoch == 1
            if Interrupts.fits == 8:
                Interrupts.fits += 1
                signal.raise_signal(signal.SIGINT)

    call = dict(X=X, y=Y, space={"alpha": LogUniform(1e-5, 1)}, trials=5, cv=3, prune=False)
    net = chainrule.MLPClassifier((4,), max_iter=5, random_state=0)
    whole = tune(net, **call)
    stops = chainrule.MLPClassifier((4,), max_iter=5, random_state=0, callbacks=[Interrupts()])
    with pytest.warns(UserWarning, match="after 2 of 5"):
        tune(stops, **call, study=tmp_path / "s")
    assert settings(tune(net, **call, study=tmp_path / "s")) == settings(whole)
    Interrupts.fits = 0
    call["space"] = {"mlpclassifier__alpha": LogUniform(1e-5, 1)}
    with pytest.warns(UserWarning, match="after 2 of 5"):
        assert len(tune(make_pipeline(StandardScaler(), stops), **call)) == 2


def test_a_study_of_another_search_is_refused(tmp_path):
    file = tmp_path / "s"
    net, space = chainrule.MLPClassifier((4,), max_iter=3), {"alpha": LogUniform(1e-4, 1)}
    call = {"estimator": net, "X": X, "y": Y, "space": space, "trials": 2, "cv": 2, "study": file}
    tune(**call)
    before = file.read_bytes()
    for change, words in (
        ({"X": X + 1}, "its table is"),
        ({"y": 2 - Y}, "its table is"),
        ({"space": {"alpha": LogUniform(1e-4, 2)}}, r"its space is .*high=1\)}, not .*high=2"),
        ({"estimator": chainrule.MLPClassifier((5,), max_iter=3)}, "its estimator is"),
        ({"cv": 3}, "its folds is"),
        ({"method": "random"}, "its method is bayes, not random"),
        ({"seed": 1}, "its seed is 0, not 1"),
        ({"scoring": "accuracy"}, "its scoring is"),
    ):
        with pytest.raises(ConfigError, match=words):
            tune(**(call | change))
        assert file.read_bytes() == before
    with pytest.raises(ConfigError, match=r"its estimator is .*, not none"):
        optimize(square, LINE, study=file)
    assert len(tune(**call)) == 2


def test_damaged_and_foreign_files_are_refused_and_left_alone(tmp_path):
    file = tmp_path / "s"
    optimize(square, LINE, trials=4, study=file)
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for damaged in (
        b"x" + whole,
        b"".join([*lines[:5], lines[5][:9] + b"\n", *lines[6:]]),
        b"".join([lines[0], b'{"op_code":4}\n']),
        b"".join([lines[0], b'{"op_code":99}\n']),
        b"a,b\n1,2",
        b"PK\x03\x04\xff\xfe",
        b"[1, 2]\n",
    ):
        file.write_bytes(damaged)
        with pytest.raises(FormatError, match=str(file)):
            optimize(square, LINE, trials=4, study=file)
        assert file.read_bytes() == damaged
    with pytest.raises(ConfigError, match="there is no folder"):
        optimize(square, LINE, study=tmp_path / "no" / "s")


def test_half_a_last_line_of_a_killed_process_is_no_damage(tmp_path):
    file, whole = tmp_path / "s", optimize(square, LINE, trials=6)
    optimize(square, LINE, trials=4, study=file)
    lines = file.read_bytes()
    for cut in range(1, 400, 7):
        file.write_bytes(lines[:-cut])
        found = optimize(square, LINE, trials=6, study=file)
        assert settings(found) == settings(whole)


@pytest.mark.slow
def test_a_killed_search_goes_on(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time, sys\nfrom chainrule.search import Uniform, optimize\n"
        "def square(p):\n    time.sleep(0.05)\n    return (p['x'] - 1) ** 2\n"
        "if __name__ == '__main__':\n"
        "    optimize(square, {'x': Uniform(-5, 5)}, trials=20, study='s', progress=True)\n"
    )
    command = [sys.executable, "slow.py"]
    for _ in range(3):
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            for _ in range(4):
                assert process.stderr.readline()
            process.kill()
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=True)
    assert "trial 19 (20/20)  finished" in done.stderr
    assert done.stderr.count("finished") <= 8
    trials = [json.loads(line) for line in (tmp_path / "s").read_text().splitlines()]
    assert sum(entry["op_code"] == 4 for entry in trials) == 20


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_processes_do_not_use_one_study(tmp_path):
    file = tmp_path / "s"

    def nested(p):
        optimize(square, LINE, trials=1, study=file)
        return 0.0

    with pytest.raises(ChainruleError, match="another process is using this study"):
        optimize(nested, LINE, trials=1, study=file)


def test_ctrl_c_waits_for_the_end_of_a_line():
    shield, seen = Shield(), []

    def write():
        with shield:
            signal.raise_signal(signal.SIGINT)
            seen.append("written")
        seen.append("not reached")

    with listening(shield), pytest.raises(KeyboardInterrupt):
        write()
    assert seen == ["written"]


# ---------------------------------------------------------------- workers


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "grid"])
def test_several_processes_try_the_same(tmp_path, method):
    alone = optimize(branin, {"x": Uniform(-5, 10), "y": Int(0, 15)}, method=method, trials=9)
    several = optimize(
        branin, {"x": Uniform(-5, 10), "y": Int(0, 15)}, method=method, trials=9, jobs=2,
        study=tmp_path / "s",
    )  # fmt: skip
    assert settings(several) == settings(alone)


@pytest.mark.slow
def test_workers_fit_estimators_and_prune():
    net = chainrule.TabularClassifier(epochs=20, members=2)
    space = {"lr": LogUniform(1e-7, 1e-1), "hidden": [(8,), (16,)]}
    # Random settings do not depend on which worker is first.
    found = tune(net, pd.DataFrame(X), Y, space, method="random", trials=14, cv=3, jobs=2)
    assert len(found) == 14
    assert found.best_score > 0.9
    assert {row["state"] for row in found} == {"finished", "pruned"}


def dies(p):
    if p["x"] == 2:
        os._exit(3)
    return float(p["x"])


@pytest.mark.slow
def test_other_sizes_and_rates_compile_nothing_new(tmp_path, monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    space = {
        "hidden_layer_sizes": widths(layers=(2, 2), units=(4, 32)),
        "batch_size": Int(16, 64),
        "dropout": Uniform(0.1, 0.5),
        "alpha": LogUniform(1e-6, 1e-1),
        "loss": [Call(losses.huber.having, delta=LogUniform(0.1, 10))],
        "optimizer": [Call(optim.SGD, lr=LogUniform(1e-4, 1e-2), momentum=Uniform(0.5, 0.9))],
    }
    net = chainrule.MLPRegressor(max_iter=2, compile="numba")
    call = {"X": X, "y": Y.astype(float), "space": space, "method": "random", "cv": 2}
    kept = []
    for trials in (1, 8):
        found = tune(net, **call, trials=trials)
        assert {row["state"] for row in found} <= {"finished", "pruned"}
        kept.append(sorted(path for path in tmp_path.rglob("*") if path.is_file()))
    assert kept[0]
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced():
    found = optimize(dies, {"x": [1, 2, 3, 4]}, method="grid", jobs=2)
    assert [row["state"] for row in found] == ["finished", "failed", "finished", "finished"]
    assert "exit code 3" in found.trials[1]["error"]


@pytest.mark.parametrize(("deaf", "ends"), [(True, ["kill", "join"]), (False, [])])
def test_a_worker_that_does_not_hear_is_killed(deaf, ends):
    worker, did = Worker.__new__(Worker), []
    worker.pipe = multiprocessing.Pipe()[0]
    worker.process = types.SimpleNamespace(
        terminate=lambda: did.append("terminate"), kill=lambda: did.append("kill"),
        join=lambda *seconds: did.append("join"), is_alive=lambda: deaf,
    )  # fmt: skip
    worker.end()
    assert did == ["terminate", "join", *ends]
    assert worker.pipe.closed


@pytest.mark.skipif(sys.platform == "win32", reason="no masks of signals")
def test_the_first_process_that_starts_meanwhile_does_not_hear_ctrl_c():
    code = """
import signal
from contextlib import nullcontext
from multiprocessing import get_context
from chainrule.search.workers import _deaf_to_ctrl_c

for way in (_deaf_to_ctrl_c(), _deaf_to_ctrl_c(), nullcontext()):
    process = get_context("spawn").Process(target=signal.raise_signal, args=(signal.SIGINT,))
    with way:
        process.start()
    process.join()
    print(process.exitcode, signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    # In an interpreter of its own, since what starts with the first process could end the mask.
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "0 False\n0 False\n1 False\n"
    assert result.stderr.count("KeyboardInterrupt") == 1


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(ConfigError, match="top level of a module"):
        optimize(lambda p: 0.0, LINE, trials=2, jobs=2)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    (tmp_path / "bare.py").write_text(
        "from math import hypot\nfrom chainrule.search import Uniform, optimize\n"
        "optimize(len, {'x': Uniform(0, 1)}, trials=2, jobs=2)\n"
    )
    done = subprocess.run(
        [sys.executable, "bare.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert 'under `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_ends_workers_and_keeps_trials(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time, sys\nfrom chainrule.search import Uniform, optimize\n"
        "def square(p):\n    time.sleep(0.2)\n    return (p['x'] - 1) ** 2\n"
        "if __name__ == '__main__':\n"
        "    optimize(square, {'x': Uniform(-5, 5)}, method='random', trials=int(sys.argv[1]),\n"
        "             study='s', jobs=2, progress=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "slow.py", "300"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        for _ in range(3):
            assert process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers, too
        rest = process.stderr.read()
        assert process.wait(timeout=20) == 0
    assert "Search interrupted by user" in rest
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(process.pid):
        time.sleep(0.05)
    assert not _alive(process.pid)
    done = subprocess.run(
        [sys.executable, "slow.py", "12"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        check=True,
    )  # fmt: skip
    assert "(12/12)" in done.stderr


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize(("falling", "best"), [(True, "0.2500 of trial 1"), (False, "0.7500 of")])
def test_a_terminal_gets_a_bar(terminal, falling, best):
    shown = TrialProgress(falling, 4, 1, stream=terminal)
    shown.know(0, 0.5)
    shown.start()
    shown.tell(1, "finished", 0.25, {"seconds": 1.0})
    shown.tell(2, "failed", None, {"error": "no"})
    shown.tell(3, "finished", 0.75, {})
    shown.bar.refresh()
    shown.stop()
    text = terminal.getvalue()
    assert "trial 4/4" in text
    assert f"best {best}" in text
    assert "1 failed" in text
    assert text.endswith("\x1b[2K")  # nothing of the bar stays


def test_results_print_and_convert(capsys):
    found = optimize(square, LINE, trials=12, progress=True)
    assert "trial 11 (12/12)  finished" in capsys.readouterr().err
    lines = str(found).splitlines()
    assert lines[0].split() == ["number", "state", "score", "x"]
    assert len(lines) == 12
    assert lines[-1] == "and 2 more trials"
    assert list(found.to_frame().columns) == ["number", "state", "score", "x", "seconds"]
    assert found.to_frame()["score"].min() == found.best_score
    assert "12 trials" in repr(found)
    with pytest.raises(ConfigError, match="there is no estimator"):
        found.best_estimator()
    empty = search.Result([], {}, "minimize")
    with pytest.raises(ConfigError, match="no trial has finished"):
        _ = empty.best
    assert str(empty) == "<Result of 0 trials>"


def test_fingerprints_know_tables():
    frame = pd.DataFrame({"a": [1.0, None], "b": ["x", "y"]})
    same = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", "y"]})
    assert of_rows(frame) == of_rows(same)
    for other in (
        frame.rename(columns={"a": "c"}),
        frame.fillna(0.0),
        frame.assign(b=["x", "z"]),
        frame[::-1],
    ):
        assert of_rows(other) != of_rows(frame)


def test_without_optuna_the_extra_is_named():
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from chainrule import search\n"
        "search.optimize(abs, {'x': [1]})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        'ImportError: optuna is needed to search for settings: pip install "chainrule[tune]"'
    )
    assert Path(search.__file__).name == "__init__.py"
