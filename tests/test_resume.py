"""A training goes on from a checkpoint to the bits of one that was never stopped, or is refused."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import (
    Callback,
    Checkpoint,
    EarlyStopping,
    MLPClassifier,
    MLPRegressor,
    NetRegressor,
    TabularClassifier,
    nn,
    optim,
    penalties,
    train,
)
from chainrule.checkpoint import Interval, newest
from chainrule.errors import CheckpointError, ConfigError, FormatError
from chainrule.interruption import Interruption
from chainrule.save import write_model

ROOT = Path(__file__).parents[1]
FIXTURES = Path(__file__).parent / "fixtures"
X = np.linspace(-1, 1, 60, dtype=np.float32).reshape(-1, 1)
Y = X**2


def net(width=8, seed=0):
    return nn.mlp([1, width, 1], "tanh", seed=seed)


def fit(model=None, rows=(X, Y), **plan):
    model = model or net()
    plan = {"epochs": 3, "seed": 0, "batch_size": 16, "compile": False} | plan
    history = train(model, plan.pop("loss", "mse"), *rows, **plan)
    return model, history


def weights(model):
    return {name: value.tobytes() for name, value in model.arrays().items()}


class SignalAt(Callback):
    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number = step, number

    def on_step_end(self, event):
        if event.step == self.step:
            signal.raise_signal(self.number)


def stop_at(step, folder, number=signal.SIGINT, **plan):
    """Begin a training that a signal stops after a step."""
    with pytest.warns(UserWarning, match="interrupted"):
        return fit(checkpoint=folder, callbacks=[SignalAt(step, number)], **plan)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- the same bits


@pytest.mark.slow
def test_random_trainings_stopped_at_random_end_with_the_same_bits():
    arguments = [sys.executable, "-m", "tools.trust.resume", "--draws", "50"]
    found = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert found.stdout.startswith("50 trainings, ")
    assert ": 0 ended otherwise" in found.stdout


FORGETFUL = """
from unittest import mock
from chainrule.tally import Tally
from tools.trust.resume import check
with mock.patch.object(Tally, "restore", lambda self, state: None):
    problems = [check(seed)[0] for seed in range(8)]
print(sum("other" in problem for problem in problems))
"""


@pytest.mark.slow
def test_a_training_that_forgets_its_place_in_the_epoch_is_found_out():
    arguments = [sys.executable, "-c", FORGETFUL]
    found = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(found.stdout) > 0


@pytest.mark.parametrize("compiled", [False, "numpy"])
@pytest.mark.parametrize("step", [1, 4, 6, 8])  # 4 steps make an epoch
def test_ctrl_c_at_a_step(tmp_path, step, compiled):
    whole, expected = fit(compile=compiled)
    _, history = stop_at(step, tmp_path / "c", compile=compiled, every="1 step")
    assert history.reason == "interrupted"
    model, found = fit(checkpoint=tmp_path / "c", compile=compiled)
    assert weights(model) == weights(whole)
    assert found["loss"] == expected["loss"]
    assert found["gradient_norm"] == expected["gradient_norm"]
    assert (found.reason, len(found)) == ("epochs", 3)


def test_sigterm_writes_a_checkpoint_and_ends_the_process(tmp_path, monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)  # by Numba, some steps are one call
    for folder in (None, tmp_path / "c"):
        with pytest.raises(SystemExit) as caught:
            fit(checkpoint=folder, callbacks=[SignalAt(5, signal.SIGTERM)])
        assert caught.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert names(tmp_path / "c") == ["step-5.checkpoint"]
    assert weights(fit(checkpoint=tmp_path / "c")[0]) == weights(fit()[0])


def test_a_program_that_handles_sigterm_itself_is_let(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        _, history = fit(callbacks=[SignalAt(2, signal.SIGTERM)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (history.reason, heard) == ("epochs", [signal.SIGTERM])


def test_an_ignored_ctrl_c_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _, history = fit(callbacks=[SignalAt(2)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.reason == "epochs"


def test_a_second_sigterm_is_at_once(tmp_path):
    class Twice(Callback):
        def on_step_end(self, event):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        fit(checkpoint=tmp_path / "c", callbacks=[Twice()])
    assert caught.value.code == 143
    assert names(tmp_path / "c") == []


def test_a_sigterm_after_the_last_look_ends_the_process():
    with pytest.raises(SystemExit) as caught, Interruption().heard():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_finished_training_is_there_again_at_once(tmp_path):
    rule = EarlyStopping(2, monitor="loss", min_delta=10)
    first, history = fit(epochs=50, early_stopping=rule, checkpoint=tmp_path / "c")
    assert history.reason == "early stopping"
    steps = SignalAt(-1)
    steps.on_step_end = None  # any step would call it
    again, found = fit(epochs=50, early_stopping=rule, checkpoint=tmp_path / "c",
                       callbacks=[steps])  # fmt: skip
    assert weights(again) == weights(first)
    assert found.rows == history.rows
    assert (found.reason, found.best_epoch) == ("early stopping", history.best_epoch)


def test_more_epochs_go_on_and_fewer_are_refused(tmp_path):
    fit(epochs=2, checkpoint=tmp_path / "c")
    longer, _ = fit(epochs=4, checkpoint=tmp_path / "c")
    assert weights(longer) == weights(fit(epochs=4)[0])
    with pytest.raises(CheckpointError, match="after 4 epochs, which is more than epochs=3"):
        fit(epochs=3, checkpoint=tmp_path / "c")


def test_a_training_that_diverges_does_so_again_with_the_same_last_good_weights(tmp_path):
    def run(folder=None, **more):
        model = net()
        with pytest.raises(cr.errors.DivergedError) as caught:
            fit(model, optimizer=optim.SGD(1e25), checkpoint=folder, **more)
        return weights(model), str(caught.value)

    whole = run()
    assert "at step 2" in whole[1]
    assert run(tmp_path / "c", every="1 step") == whole
    assert names(tmp_path / "c") == ["step-1.checkpoint"]  # after the step that went too far
    assert run(tmp_path / "c") == whole


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPClassifier((4,), max_iter=5, early_stopping=True, random_state=0),
        lambda: MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, solver="sgd",
                             learning_rate="invscaling", random_state=0),
        lambda: NetRegressor(nn.mlp([2, 4, 1], "tanh"), epochs=5, random_state=0),
        lambda: TabularClassifier(hidden=(4,), members=2, epochs=5, random_state=0),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*hasn't converged")
def test_estimators_go_on(tmp_path, make):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 2))
    y = (rows[:, 0] > 0).astype(int)
    expected = make().fit(rows, y)
    with pytest.warns(UserWarning, match="interrupted"):
        make().set_params(callbacks=[SignalAt(2)]).fit(rows, y, checkpoint=tmp_path / "c",
                                                       every="1 step")  # fmt: skip
    found = make().fit(rows, y, checkpoint=Checkpoint(tmp_path / "c"))
    assert weights(found.module_) == weights(expected.module_)
    assert found.history_["loss"] == expected.history_["loss"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPClassifier((4,), max_iter=6, early_stopping=True, batch_size=10),
        lambda: NetRegressor(nn.mlp([2, 4, 1], "tanh"), epochs=6, validation_fraction=0.2),
        lambda: TabularClassifier(hidden=(4,), members=2, epochs=6),
    ],
)
@pytest.mark.filterwarnings("ignore:.*hasn't converged")
def test_estimators_without_a_seed_go_on_with_the_seed_of_the_checkpoint(tmp_path, make):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 2))
    y = (rows[:, 0] > 0).astype(int)
    with pytest.warns(UserWarning, match="interrupted"):
        make().set_params(callbacks=[SignalAt(3)]).fit(rows, y, checkpoint=tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    one = make().fit(rows, y, checkpoint=tmp_path / "a")
    two = make().fit(rows, y, checkpoint=tmp_path / "b")
    assert weights(one.module_) == weights(two.module_)
    assert one.history_["loss"] == two.history_["loss"]


def test_estimators_that_keep_none_say_so(tmp_path):
    rows, y = np.ones((4, 1)), [0.0, 1, 2, 3]
    with pytest.raises(ConfigError, match="solver='lbfgs' keeps none"):
        MLPRegressor(solver="lbfgs").fit(rows, y, checkpoint=tmp_path / "c")
    warm = MLPRegressor(max_iter=1, warm_start=True, early_stopping=False, tol=0.0)
    with pytest.warns(UserWarning, match="converged"):
        warm.fit(rows, y)
    with pytest.raises(ConfigError, match="warm_start goes on from other weights"):
        warm.fit(rows, y, checkpoint=tmp_path / "c")
    assert not (tmp_path / "c").exists()


# ---------------------------------------------------------------- the folder


def test_the_newest_stay(tmp_path):
    fit(checkpoint=Checkpoint(tmp_path / "c", every="1 step", keep=3))
    assert names(tmp_path / "c") == ["step-10.checkpoint", "step-11.checkpoint",
                                     "step-12.checkpoint"]  # fmt: skip
    fit(epochs=4, checkpoint=Checkpoint(tmp_path / "c", keep=1))
    assert names(tmp_path / "c") == ["step-16.checkpoint"]


def test_what_a_training_killed_at_its_end_left_too_much_goes_when_it_is_read(tmp_path):
    fit(checkpoint=Checkpoint(tmp_path / "c", every="1 step", keep=9))
    fit(checkpoint=Checkpoint(tmp_path / "c", keep=2))
    assert names(tmp_path / "c") == ["step-11.checkpoint", "step-12.checkpoint"]


@pytest.mark.parametrize(
    ("every", "written"),
    [("5 steps", [5, 10, 12]), ("1 epoch", [4, 8, 12]), (2, [8, 12]), ("1 hour", [12]),
     ("0.000001 seconds", [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12])],
)  # fmt: skip
@pytest.mark.parametrize("compiled", [False, "numpy"])
def test_when_one_is_written(tmp_path, monkeypatch, every, written, compiled):
    found = []
    write = cr.checkpoint.Keeper.write

    def noted(self, step, *state):
        found.append(step)
        write(self, step, *state)

    monkeypatch.setattr(cr.checkpoint.Keeper, "write", noted)
    fit(checkpoint=tmp_path / "c", every=every, compile=compiled)
    if every == "0.000001 seconds":  # a program runs several steps at a time
        assert set(found) <= set(written)
        assert found[-1] == 12
    else:
        assert found == written


def test_disk_use_is_bounded(tmp_path):
    """The page on checkpoints says: weights, optimizer state, best, last good and mean weights."""
    model = nn.mlp([1, 200, 200, 1], "tanh", seed=0)
    train(model, "mse", X, Y, epochs=2, seed=0, average=0.9, compile=False, validation=(X, Y),
          early_stopping=EarlyStopping(5), checkpoint=tmp_path / "c")  # fmt: skip
    size = sum(value.nbytes for value in model.arrays().values())
    (file,) = (tmp_path / "c").iterdir()
    assert 6 * size < file.stat().st_size < 6 * size + 20_000


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_checkpoint_is_left_for_the_one_before(tmp_path, cut):
    stop_at(7, tmp_path / "c", every="1 step")
    file = tmp_path / "c" / "step-7.checkpoint"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data[:-9] if cut else data)
    said = r"step-7.checkpoint' is .*; going on from step-6.checkpoint, the one before"
    with pytest.warns(UserWarning, match=said):
        model, _ = fit(checkpoint=tmp_path / "c", every="5 steps")
    assert weights(model) == weights(fit()[0])
    assert names(tmp_path / "c") == ["step-10.checkpoint", "step-12.checkpoint"]


def test_where_all_are_damaged_nothing_is_trained_or_deleted(tmp_path):
    fit(checkpoint=tmp_path / "c", every="5 steps")
    for file in (tmp_path / "c").iterdir():
        file.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read: .* is empty"):
        fit(checkpoint=tmp_path / "c")
    assert len(names(tmp_path / "c")) == 2


def test_another_file_by_that_name_is_refused(tmp_path):
    net().save(tmp_path / "step-3.checkpoint")
    with pytest.raises(CheckpointError, match="holds a module, expected a checkpoint"):
        fit(checkpoint=tmp_path)


def test_one_training_at_a_time(tmp_path):
    class Second(Callback):
        def on_epoch_end(self, event):
            with pytest.raises(CheckpointError, match="another training keeps its checkpoints"):
                fit(checkpoint=tmp_path / "c")

    fit(epochs=1, checkpoint=tmp_path / "c", callbacks=[Second()])
    fit(epochs=1, checkpoint=tmp_path / "c")  # the end of a training lets it go


def test_what_a_killed_process_left_is_removed_and_other_files_stay(tmp_path):
    left = tmp_path / ".step-3.checkpoint.0123456789abcdef.tmp"
    left.write_bytes(b"half")
    mine = [".step-3.checkpoint.mine.tmp", "notes.txt", "step-x.checkpoint"]
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    fit(epochs=1, checkpoint=tmp_path)
    assert names(tmp_path) == sorted([*mine, "step-4.checkpoint"])


def test_a_full_disk_ends_the_training_and_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    stop_at(3, tmp_path / "c", every="1 step")
    before = names(tmp_path / "c")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = net()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = r"No space left on device \(.* bytes are needed\): .*step-5.checkpoint"
        with pytest.raises(OSError, match=said):
            fit(model, checkpoint=tmp_path / "c", every="5 steps")
    assert names(tmp_path / "c") == before
    assert np.isfinite(model.predict(X)).all()
    assert weights(fit(checkpoint=tmp_path / "c")[0]) == weights(fit()[0])


# ---------------------------------------------------------------- refused


CHANGES = {
    "rows": ({"rows": (X, Y + 1)}, "its rows are others"),
    "validation": ({"validation": (X, Y)}, "its validation rows are others"),
    "loss": ({"loss": "mae"}, "its loss is losses.mse, here it is losses.mae"),
    "optimizer": ({"optimizer": optim.SGD(0.1)}, r"its optimizer is Adam\(.*, here it is SGD\("),
    "rate": ({"optimizer": optim.Adam(0.1)}, r"its optimizer is Adam\(lr=0.001"),
    "batch size": ({"batch_size": 8}, "its batch size is 16, here it is 8"),
    "seed": ({"seed": 1}, "its seed is 0, here it is 1"),
    "order": ({"shuffle": False}, "its shuffle is True, here it is False"),
    "schedule": ({"schedule": "cosine"}, r"its schedule is none, here it is Cosine\(total=12"),
    "clipping": ({"clip_norm": 1.0}, "its clip_norm is None, here it is 1.0"),
    "accumulate": ({"accumulate": 2}, "its accumulate is 1, here it is 2"),
    "penalty": ({"penalty": penalties.L2(0.1)}, r"its penalty is None, here it is L2\(l2=0.1\)"),
    "average": ({"average": cr.SWA(0.5, 2)}, "its average is None, here it is SWA from epoch 2 "),
    "patience": ({"early_stopping": EarlyStopping(3, monitor="loss")}, "its early_stopping is"),
    "width": ({"model": net(9)}, r"its tensor 0.weight is float32 \(8, 1\), here .*\(9, 1\)"),
    "layers": ({"model": nn.Linear(1, 1, seed=0)}, "its tensor weight is none, here it is"),
    "frozen": ({"model": nn.mlp([1, 8, 1], "tanh", seed=0).freeze(False)}, None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_training_is_refused_with_what_differs(tmp_path, name):
    fit(epochs=3, checkpoint=tmp_path / "c")
    before = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    change, said = CHANGES[name]
    if name == "frozen":
        change["model"][0].bias.requires_grad = False
        said = r"its tensor 0.bias is float32 \(8,\), here it is float32 \(8,\), frozen"
    with pytest.raises(CheckpointError, match=said):
        fit(checkpoint=tmp_path / "c", **change)
    assert {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()} == before


def test_groups_and_functions_are_compared(tmp_path):
    def run(**plan):
        model = net()
        return fit(model, groups=[([model[0].bias], plan)], checkpoint=tmp_path / "c",
                   shuffle=lambda epoch: np.arange(60))  # fmt: skip

    run(lr=0.1)
    run(lr=0.1)
    with pytest.raises(CheckpointError, match=r"its groups is \[\[\[1\], {'lr': 0.1}\]\], here"):
        run(lr=0.2)


@pytest.mark.parametrize("given", ["often", "2", "1.5 epochs", "0 steps", "-1 seconds", 0, -3,
                                   True, 2.5, "", "1 fortnight"])  # fmt: skip
def test_wrong_intervals(given):
    with pytest.raises(ConfigError, match=r"every=.*: expected a number of epochs, or a text"):
        Checkpoint("c", every=given)


@pytest.mark.parametrize(
    ("given", "amount", "unit"),
    [("90s", 90, "second"), ("1.5 hours", 5400, "second"), ("Minute", 60, "second"),
     ("10 min", 600, "second"), ("500 steps", 500, "step"), ("epoch", 1, "epoch"),
     (3, 3, "epoch"), (np.int64(2), 2, "epoch")],
)  # fmt: skip
def test_intervals(given, amount, unit):
    assert Interval.of(given) == Interval(amount, unit)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"every": "1 step"}, "every='1 step' says how often .*: give checkpoint=FOLDER too"),
        ({"every": 2, "checkpoint": Checkpoint("c")}, "give it to the Checkpoint"),
        ({"checkpoint": 3}, "checkpoint=3: expected a folder, or an object such as"),
    ],
)
def test_wrong_plans(plan, text):
    with pytest.raises(ConfigError, match=text):
        fit(**plan)
    with pytest.raises(ConfigError, match=text):
        NetRegressor().fit(X, Y[:, 0], **plan)


def test_wrong_numbers_to_keep():
    with pytest.raises(ConfigError, match=r"Checkpoint\(keep=0\): expected at least 1"):
        Checkpoint("c", keep=0)


# ---------------------------------------------------------------- other times, other machines


def altered(folder, **changes):
    """Write the newest checkpoint again, with other plain data."""
    path, file = newest(folder)
    config = {name: x for name, x in (file.config | changes).items() if x is not ...}
    write_model(path, "checkpoint", config, file.arrays)


CRAFTED = [
    {"epoch": "1"},
    {"step": ...},
    {"runs": "somehow"},
    {"history": [{"loss": "low"}]},
    {"history": 3},
    {"watch": None},
    {"rate_factor": 1},
    {"run": []},
]


@pytest.mark.parametrize("changes", CRAFTED, ids=str)
def test_crafted_checkpoints_are_refused(tmp_path, changes):
    plan = {"early_stopping": EarlyStopping(9, monitor="loss"), "checkpoint": tmp_path / "c"}
    fit(**plan)
    altered(tmp_path / "c", **changes)
    with pytest.raises(FormatError, match=r"step-12.checkpoint' is no checkpoint: "):
        fit(**plan)


@pytest.mark.parametrize("name", ["tensor.0", "good.1", "epoch", "optimizer.0.m"])
def test_checkpoints_with_other_arrays_are_refused(tmp_path, name):
    fit(checkpoint=tmp_path / "c")
    path, file = newest(tmp_path / "c")
    write_model(path, "checkpoint", file.config, file.arrays | {name: np.zeros((7, 7, 7))})
    with pytest.raises(cr.ChainruleError, match=r"do(es)? not fit|belongs to other"):
        fit(checkpoint=tmp_path / "c")


def test_other_versions_are_told(tmp_path, monkeypatch):
    stop_at(3, tmp_path / "c")
    known = {"chainrule": "0.0.9", "numpy": np.__version__, "python": "3.1"}
    monkeypatch.setattr("chainrule.save.versions", lambda: known)
    altered(tmp_path / "c")
    monkeypatch.undo()
    said = r"was written by chainrule 0.0.9, here .*: training goes on from it, and may not end"
    with pytest.warns(UserWarning, match=said):
        model, _ = fit(checkpoint=tmp_path / "c")
    assert weights(model) == weights(fit()[0])


def test_steps_run_as_they_did(tmp_path, monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
    stop_at(3, tmp_path / "a", compile="numpy")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    model, _ = fit(checkpoint=tmp_path / "a", compile="auto")
    assert weights(model) == weights(fit(compile="numpy")[0])
    said = "steps that ran by NumPy, which compile=False does not do"
    with pytest.warns(UserWarning, match=said):
        fit(checkpoint=tmp_path / "b", compile=False)


def test_a_single_file_of_an_early_version_is_told_what_to_do(tmp_path):
    file = tmp_path / "run"
    shutil.copy(FIXTURES / "format-1" / "run.checkpoint", file)
    with pytest.raises(CheckpointError, match=r"is a file, expected a folder.*: mkdir .* && mv"):
        fit(checkpoint=file)


@pytest.mark.filterwarnings("ignore:.*was written by")
def test_a_checkpoint_of_the_first_layout_goes_on(tmp_path):
    shutil.copy(FIXTURES / "format-1" / "run.checkpoint", tmp_path / "step-0.checkpoint")
    expected = json.loads((FIXTURES / "format-1" / "expected.json").read_text())
    x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(-1, 1)
    model = nn.mlp([1, 4, 1], "tanh", seed=0)
    train(model, "mse", x, x**2, epochs=4, seed=0, compile=False, checkpoint=tmp_path,
          early_stopping=EarlyStopping(50, monitor="loss"))  # fmt: skip
    for name, value in expected["checkpoint_after_4_epochs"].items():
        np.testing.assert_allclose(model.state_dict()[name], value, rtol=1e-5)
    shutil.copy(FIXTURES / "format-1" / "run.checkpoint", tmp_path / "step-9.checkpoint")
    with pytest.raises(CheckpointError, match="its optimizer"):
        fit(rows=(x, x**2), batch_size=32, optimizer=optim.SGD(0.1), checkpoint=tmp_path)
