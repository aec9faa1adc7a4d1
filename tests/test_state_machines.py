"""Random histories of checkpoints and optimizers: whatever was done to them, the bits stay."""

import contextlib
import os
import shutil
import signal
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chainrule import Callback, Checkpoint, EarlyStopping, nn, optim, tensor, train
from chainrule.checkpoint import newest
from chainrule.errors import CheckpointError
from chainrule.optim import OPTIMIZERS, Updater

X = np.linspace(-1, 1, 18, dtype=np.float32).reshape(-1, 1)
EPOCHS, STEPS = 4, 3


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and no more is written."""


class StopAt(Callback):
    """Stops a training after some steps of this run."""

    def __init__(self, steps, how):
        self.left, self.how = steps, how

    def on_step_end(self, event):
        self.left -= 1
        if self.left == 0 and self.how == "Ctrl-C":
            signal.raise_signal(signal.SIGINT)
        elif self.left == 0:
            raise Killed


def trained(checkpoint=None, callbacks=(), **changes):
    model = nn.mlp([1, 4, 1], "tanh", dropout=0.2, seed=0)
    plan = {"optimizer": optim.Adam(0.02), "batch_size": 6, "seed": 0, "epochs": EPOCHS}
    plan |= {"average": 0.9, "validation": (X, X**2), "early_stopping": EarlyStopping(2)}
    history = train(model, "mse", X, X**2, compile=False, checkpoint=checkpoint,
                    callbacks=callbacks, **(plan | changes))  # fmt: skip
    return {name: x.tobytes() for name, x in model.arrays().items()}, history["loss"]


class CheckpointMachine(RuleBasedStateMachine):
    """A folder, and trainings that begin, are stopped, killed, damaged and refused."""

    expected = None

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.damaged = False
        if CheckpointMachine.expected is None:
            CheckpointMachine.expected = trained()

    def teardown(self):
        if not self.damaged:
            assert self.run("1 minute", 2) == self.expected
        shutil.rmtree(self.folder)

    def run(self, every, keep, callbacks=()):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Training interrupted|.*going on from")
            return trained(Checkpoint(self.folder, every=every, keep=keep), callbacks)

    def files(self):
        return sorted(self.folder.glob("step-*"), key=lambda path: int(path.stem[5:]))

    @rule(every=st.sampled_from(["1 step", "2 steps", "1 epoch", "1 hour"]),
          keep=st.integers(1, 3), steps=st.integers(1, EPOCHS * STEPS),
          how=st.sampled_from(["Ctrl-C", "SIGKILL"]))  # fmt: skip
    @precondition(lambda self: not self.damaged)
    def stop(self, every, keep, steps, how):
        with contextlib.suppress(Killed):
            self.run(every, keep, [StopAt(steps, how)])
        assert len(self.files()) <= max(keep, 3)

    @rule(call=st.sampled_from(["fsync", "replace"]), number=st.integers(1, 6))
    @precondition(lambda self: not self.damaged)
    def kill_in_a_save(self, call, number):
        real, left = getattr(os, call), [number]

        def dying(*arguments):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return real(*arguments)

        setattr(os, call, dying)
        try:
            with contextlib.suppress(Killed):
                self.run("1 step", 2)
        finally:
            setattr(os, call, real)

    @rule(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
    @precondition(lambda self: self.files() and not self.damaged)
    def damage_the_newest(self, place, bit, cut):
        *others, last = self.files()
        data = bytearray(last.read_bytes() or b"0")
        at = int(place * len(data))
        data[at] ^= 1 << bit
        last.write_bytes(data[:at] if cut else data)
        self.damaged = not others

    @rule()
    @precondition(lambda self: self.damaged)
    def all_are_damaged(self):
        before = {path.name: path.read_bytes() for path in self.files()}
        with pytest.raises(CheckpointError, match="can be read"):
            self.run("1 step", 2)
        assert {path.name: path.read_bytes() for path in self.files()} == before
        for path in self.files():
            path.unlink()
        self.damaged = False

    @rule(change=st.sampled_from([{"seed": 1}, {"optimizer": optim.SGD(0.1)}, {"batch_size": 9}]))
    @precondition(lambda self: self.files() and not self.damaged)
    def another_training_is_refused(self, change):
        before = {path.name: path.read_bytes() for path in self.files()}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*going on from")
            with pytest.raises(CheckpointError, match="belongs to another training"):
                trained(Checkpoint(self.folder), **change)
        assert {path.name: path.read_bytes() for path in self.files()} == before

    @invariant()
    def what_is_there_can_be_read(self):
        if not self.damaged:
            found = newest(self.folder)
            assert (found is None) == (not self.files())


class OptimizerMachine(RuleBasedStateMachine):
    """An updater that is saved, restored and replaced, beside one that only steps."""

    def __init__(self):
        super().__init__()
        self.name, self.log, self.saved = "adam", [], []
        self.parameters, self.updater = self.fresh()

    def fresh(self):
        start = [np.linspace(-1, 1, 6).reshape(2, 3), np.ones(3), np.float64(0.5)]
        parameters = [tensor(x, requires_grad=True) for x in start]
        groups = [([parameters[1]], {"lr": 0.02})]
        return parameters, Updater(parameters, OPTIMIZERS[self.name](lr=0.05), groups)

    def bits(self):
        return [np.asarray(p.value).tobytes() for p in self.parameters]

    @rule(name=st.sampled_from(sorted(OPTIMIZERS)))
    @precondition(lambda self: not self.log)
    def choose(self, name):
        self.name = name
        self.parameters, self.updater = self.fresh()

    @rule(seed=st.integers(0, 99), factor=st.sampled_from([1.0, 0.5, 0.0]))
    def step(self, seed, factor):
        self.log.append((seed, factor))
        self.updater.step(gradients_of(seed), factor)

    @rule()
    def save(self):
        state = self.updater.state_dict()
        copied = {"t": state["t"], "arrays": {k: np.array(v) for k, v in state["arrays"].items()}}
        values = [np.array(p.value) for p in self.parameters]
        self.saved.append((self.name, list(self.log), copied, values))

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.saved)
    def restore_into_a_new_one(self, which):
        self.name, log, state, values = self.saved[which % len(self.saved)]
        self.log = list(log)
        self.parameters, self.updater = self.fresh()
        self.updater.load_state_dict(state)
        for p, value in zip(self.parameters, values, strict=True):
            p.renew(np.array(value))

    @invariant()
    def it_is_where_one_is_that_only_went_through_the_steps(self):
        parameters, updater = self.fresh()
        for seed, factor in self.log:
            updater.step(gradients_of(seed), factor)
        assert [np.asarray(p.value).tobytes() for p in parameters] == self.bits()
        assert updater.t == self.updater.t == len(self.log)


def gradients_of(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in ((2, 3), (3,), ())]


TestCheckpoints = CheckpointMachine.TestCase
TestCheckpoints.settings = settings(max_examples=25, stateful_step_count=8)
TestOptimizers = OptimizerMachine.TestCase
TestOptimizers.settings = settings(max_examples=60, stateful_step_count=20)
