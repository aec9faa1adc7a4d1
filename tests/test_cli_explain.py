"""`chainrule explain`: examples, rows of a table, files, wrong calls."""

import json
import shlex
import warnings

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from chainrule import MLPClassifier, TabularClassifier, TabularRegressor, nn
from chainrule.cli import main
from chainrule.files import write_csv
from chainrule.textbook import EXAMPLES


def run(line: str):
    return CliRunner().invoke(main, shlex.split(line))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("explain")
    rng = np.random.default_rng(0)
    age, height = rng.normal(size=(2, 60)).round(3)
    wins = np.where(age + height > 0, "yes", "no")
    table = {"age": age, "height": height, "wins": wins, "points": (age * 3).round(3)}
    write_csv(path / "t.csv", table)
    columns = pd.DataFrame({"age": age, "height": height})
    settings = {"epochs": 3, "members": 2, "hidden": [6], "random_state": 0}
    TabularClassifier(**settings).fit(columns, wins).save(path / "wins.chainrule")
    TabularRegressor(**settings).fit(columns, age * 3).save(path / "points.chainrule")
    nn.mlp([2, 3, 1], "tanh", seed=0).save(path / "net.chainrule")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two epochs are few
        mlp = MLPClassifier((4,), max_iter=2, random_state=0).fit(columns.to_numpy(), wins)
    mlp.save(path / "mlp.chainrule")
    write_csv(path / "numbers.csv", {"age": age, "height": height})
    return path


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name):
    result = run(f"explain --example {name}")
    assert result.exit_code == 0
    assert "all agree" in result.stdout
    assert "z1[0" in result.stdout


def test_worked_example_is_compared_with_the_notes():
    out = run("explain --example worked --level 1").stdout
    assert "Beside the notes: 14 of 21 numbers agree" in out
    assert "0.03406" in out
    assert "is 0.03403" in out
    assert out.count("missing there") == 2


def test_choices_of_the_option_are_the_examples():
    option = next(p for p in main.commands["explain"].params if p.name == "example")
    assert list(option.type.choices) == list(EXAMPLES)


def test_prediction_of_a_row():
    result = run("explain wins.chainrule t.csv --row 5")
    assert result.exit_code == 0
    assert "t.csv, row 5: predicted" in result.stdout
    assert "probability" in result.stdout
    assert "The prediction is" in result.stdout
    assert "age" in result.stdout
    assert "Backward" not in result.stdout
    assert "all agree" in result.stdout


def test_step_towards_a_target():
    result = run("explain wins.chainrule t.csv --row 5 --target wins --level 0 --level 4")
    assert result.exit_code == 0
    assert "Loss" in result.stdout
    assert "Update" in result.stdout
    assert "AdamW" in result.stdout
    assert run("explain points.chainrule t.csv --target points").exit_code == 0


@pytest.mark.parametrize("model", ["net", "mlp"])
def test_models_of_numbers(model):
    result = run(f"explain {model}.chainrule numbers.csv --row 3")
    assert result.exit_code == 0, result.stderr
    assert "height" in result.stdout
    assert "z1[0] = x[0]·W1[0,0]" in result.stdout


def test_files(folder):
    result = run("explain wins.chainrule t.csv --html a.html --latex a.tex --json a.json")
    assert result.exit_code == 0
    assert "In symbols" not in result.stdout
    assert (folder / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert (folder / "a.tex").read_text().startswith("\\documentclass")
    assert json.loads((folder / "a.json").read_text())["columns"][0][0] == "age"


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("explain", 2, "Give a MODEL and a TABLE, or --example."),
        ("explain wins.chainrule", 2, "Give a MODEL and a TABLE, or --example."),
        ("explain wins.chainrule t.csv --example xor", 2, "or --example."),
        ("explain wins.chainrule t.csv --row 60", 1, "--row 60: expected a number from 0 to 59"),
        ("explain wins.chainrule t.csv --row -1", 1, "--row -1: expected a number from 0 to 59"),
        ("explain wins.chainrule t.csv --target no", 1, "--target no: t.csv has no such column"),
        ("explain wins.chainrule t.csv --weight W7[0]", 1, "error: --weight W7[0]: there is no "
            "'W7' here; did you mean W"),
        ("explain --example worked --weight z", 1, "error: --weight z: there is no 'z' here"),
        ("explain --example xor wins.chainrule", 2, "Give a MODEL and a TABLE, or --example."),
        ("explain points.chainrule t.csv --target wins --row 5", 1, "error: t.csv: column 'wins', "
            "row 5 (counted from 0): 'yes' is not a number"),
        ("explain wins.chainrule t.csv --target age --row 5", 1, "in row 5 (counted from 0)"),
        ("explain net.chainrule t.csv", 1, "row 0: column 'wins' is no number, which a Sequential"),
        (
            "explain net.chainrule numbers.csv --target age",
            1,
            "chainrule.explain(model, loss, x, y)",
        ),
        ("explain none.chainrule t.csv", 1, "there is no such file"),
        ("explain --example mazur --level 7", 2, "7 is not in the range 0<=x<=6"),
    ],
)  # fmt: skip
def test_wrong_calls(line, code, message):
    result = run(line)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
