"""`chainrule draw`: what it prints, writes and refuses."""

import numpy as np
import pytest
from click.testing import CliRunner

from chainrule import MLPClassifier, nn
from chainrule.cli import main


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nn.mlp([4, 8, 3], "tanh", seed=0).save("mlp.chainrule")
    nn.Sequential(nn.Conv2d(1, 2, 3, seed=0), nn.Flatten(), nn.Linear(18, 2, seed=0)).save(
        "image.chainrule"
    )


def run(*arguments):
    return CliRunner().invoke(main, ["draw", *arguments])


def test_a_net_is_printed_as_text():
    result = run("mlp.chainrule")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "Sequential: 67 parameters"
    assert lines[-1] == "4 output (batch, 3) <- 3"
    assert len(run("mlp.chainrule", "--level", "ops").output.splitlines()) > len(lines)


@pytest.mark.parametrize(
    ("name", "start"),
    [("net.svg", "<svg"), ("net.html", "<!DOCTYPE html>"), ("net.dot", "digraph {"),
     ("net.mmd", "flowchart TB"), ("net.txt", "Sequential: 67 parameters")],
)  # fmt: skip
def test_a_picture_is_written(tmp_path, name, start):
    result = run("mlp.chainrule", "--out", name)
    assert result.exit_code == 0
    assert result.output == f"{name}: 5 boxes, 67 parameters\n"
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


def test_neurons_are_drawn(tmp_path):
    assert run("mlp.chainrule", "--neurons", "--out", "units.svg").exit_code == 0
    assert (tmp_path / "units.svg").read_text(encoding="utf-8").count("<circle") == 4 + 8 + 3 + 2


def test_the_shape_of_a_row_is_asked_for_where_the_net_does_not_tell_it():
    result = run("image.chainrule")
    assert result.exit_code == 1
    assert "what shape does a row have? Say it with --input, such as --input" in result.output
    result = run("image.chainrule", "--input", "1,5,5")
    assert "0: Conv2d 1, 2, kernel_size=(3, 3) (batch, 2, 3, 3) 20 parameters" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mlp.chainrule", "--level", "all"], "--level all: expected 0, 1, 2, ... or ops."),
        (["mlp.chainrule", "--input", "1,x"], "'1,x' is not a shape such as 3 or 1,28,28."),
        (["mlp.chainrule", "--input", "0"], "'0' is not a shape"),
        (["mlp.chainrule", "--out", "net.png"], "expected a name that ends in .svg"),
        (["image.chainrule", "--neurons"], "Conv2d is none of them"),
        (["mlp.chainrule", "--input", "5"], "expected (rows, 4)"),
        (["none.chainrule"], "there is no such file or folder"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(arguments, said):
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert result.output.startswith("error: ")
    assert len(result.output.splitlines()) == 1


def test_a_fitted_estimator_is_drawn():

    x, y = np.eye(4, dtype=np.float32).repeat(5, 0), np.arange(4).repeat(5)
    MLPClassifier((6,), solver="lbfgs", random_state=0).fit(x, y).save("mlpc.chainrule")
    result = run("mlpc.chainrule")
    assert result.exit_code == 0
    assert "58 parameters" in result.output
