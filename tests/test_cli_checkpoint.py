"""`chainrule fit --checkpoint`: the same command goes on, whatever stopped it."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import chainrule
from chainrule import Callback
from chainrule.cli import fit as fit_module
from chainrule.cli import main

FIT = ("fit", "t.csv", "--target", "y", "--members", "2", "--epochs", "6")
KEPT = (*FIT, "--out", "found", "--checkpoint", "kept", "--every", "1 step")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'yes' if a * b > 0 else 'no'}" for a, b in rng.normal(size=(90, 2))]
    return "\n".join(["a,b,y", *rows])


@pytest.fixture(autouse=True)
def inside(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(table)


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


class SignalAt(Callback):
    def __init__(self, number, step):
        self.number, self.step = number, step

    def on_step_end(self, event):
        if event.step == self.step:
            signal.raise_signal(self.number)


def stopped_by(number, monkeypatch):
    """Run the command, which a signal stops after its seventh step."""
    make = fit_module.make_model
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "make_model", lambda *given: make(*given).set_params(
            callbacks=[SignalAt(number, 7)]))  # fmt: skip
        return run(*KEPT)


def trained(folder):
    model = chainrule.load(folder / "model.chainrule")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history_.rows]
    weights = {name: x.tobytes() for name, x in model.module_.arrays().items()}
    return weights, rows, model.temperature_


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, "terminated: the same command goes on from kept"),
        (signal.SIGINT, 0, "training was interrupted in epoch 2: "),
    ],
)
def test_the_same_command_goes_on(tmp_path, monkeypatch, number, code, said):
    assert run(*FIT, "--out", "expected").exit_code == 0
    result = stopped_by(number, monkeypatch)
    assert result.exit_code == code, result.output
    assert said in result.output
    again = run(*KEPT)
    assert again.exit_code == 0, again.output
    assert "going on from kept/step-7.checkpoint, after epoch 1" in again.output
    assert trained(tmp_path / "found") == trained(tmp_path / "expected")


def test_a_note_says_how_to_go_on(monkeypatch):
    result = stopped_by(signal.SIGINT, monkeypatch)
    assert "the same command goes on where it stopped" in " ".join(result.output.split())


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path):
    arguments = [sys.executable, "-m", "chainrule", *KEPT, "--epochs", "800"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          text=True) as process:  # fmt: skip
        for line in process.stderr:
            if line.startswith("epoch 40/"):
                process.kill()
                break
    before = sorted(path.name for path in (tmp_path / "kept").glob("step-*"))
    assert 0 < len(before) <= 3
    result = run(*KEPT, "--epochs", "800", "--every", "1 hour")
    assert result.exit_code == 0, result.output
    assert "going on from kept/step-" in result.output
    assert run(*FIT, "--out", "expected", "--epochs", "800").exit_code == 0
    assert trained(tmp_path / "found") == trained(tmp_path / "expected")


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (("--every", "1 step"), 2, "--every says how often: give --checkpoint DIR too"),
        (("--checkpoint", "kept", "--every", "often"), 1, "every='often': expected a number of"),
        (("--checkpoint", "t.csv"), 1, "--checkpoint: t.csv is a file, expected a folder"),
    ],
)
def test_wrong_options(more, code, text):
    result = run(*FIT, *more)
    assert result.exit_code == code
    assert text in result.output


def test_another_table_is_refused(tmp_path, table, monkeypatch):
    stopped_by(signal.SIGTERM, monkeypatch)
    (tmp_path / "t.csv").write_text(table.replace("yes", "no", 1))
    result = run(*KEPT)
    assert result.exit_code == 1
    assert "belongs to another training: its " in result.output


def test_a_number_alone_counts_epochs(tmp_path):
    result = run(*FIT, "--checkpoint", "kept", "--every", "4")
    assert result.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(names) == 2
