"""`chainrule advise`: what it prints, as text and as JSON, what it refuses; the hints of `fit`."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from chainrule.advise import examine
from chainrule.cli import main
from chainrule.cli.advise import facts
from chainrule.files import write_csv

N = 120


def run(line: str):
    return CliRunner().invoke(main, shlex.split(line))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables: one in order, one with every fault of a column, and those that are refused."""
    path = tmp_path_factory.mktemp("advise")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 2))
    wins = np.where(x[:, 0] + x[:, 1] + 0.3 * rng.normal(size=N) > 0, "yes", "no")
    good = {"age": x[:, 0].round(4), "height": x[:, 1].round(4), "wins": wins}
    write_csv(path / "good.csv", good)
    days = np.array(["2021-03-01"], dtype="datetime64[D]") + np.arange(N) // 2
    odd = {
        "row no": np.arange(N),
        "day": np.datetime_as_string(days),
        "twice": 2 * good["age"],
        "prize": np.where(wins == "yes", 3, 0),
        "flat": np.ones(N),
        **good,
    }
    write_csv(path / "odd.csv", odd)
    pq.write_table(pa.table(odd | {"day": pa.array(days)}), path / "odd.parquet")
    rare = good | {"wins": np.where(np.arange(N) % 20 == 0, "yes", "no")}
    write_csv(path / "rare.csv", rare)
    write_csv(path / "gaps.csv", good | {"wins": ["", "", *wins[2:]]})
    write_csv(path / "constant.csv", good | {"wins": ["no"] * N})
    write_csv(path / "one.csv", {name: column[:1] for name, column in good.items()})
    (path / "none.csv").write_text("age,height,wins\n")
    (path / "empty.csv").write_text("")
    return path


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.slow
def test_it_fits_a_terminal_and_says_all():
    result = run("advise good.csv --target wins")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(result.stdout.split())
    for told in (
        "good.csv: predict wins",
        "columns 2, as 2 inputs, of which 2 are independent (effective rank",
        "output sigmoid one number becomes the probability",
        "optimizer adam or sgd 120 rows, less than 10,000",
        "logistic regression 0.",
        "logistic regression is likely to do as well here as a net: logistic regression "
        "accuracy 0.",
        "Nothing to beware of was found",
        "How sure the start is (small data set, binary classification)",
    ):
        assert told in words


@pytest.mark.slow
@pytest.mark.parametrize("table", ["odd.csv", "odd.parquet"])
def test_what_is_wrong_with_a_table_is_told_with_the_option_that_helps(table):
    words = " ".join(run(f"advise {table} --target wins").stdout.split())
    for told in (
        "not used row no, day, prize, flat",
        "column 'row no' numbers the rows, which tells nothing about new ones; leave it out with "
        "--drop 'row no'",
        "column 'day' holds dates",
        "column 'flat' is 1.0 in every row; leave it out with --drop flat",
        "column 'age' repeats 'twice'; one tells all: leave it out with --drop age",
        "column 'prize' predicts the target almost alone: balanced accuracy 1.000 on unseen rows",
    ):
        assert told in words


@pytest.mark.slow
def test_json_has_everything():
    result = run("advise odd.csv --target wins --json --seed 3 --drop flat --kind 'row no=number'")
    found = json.loads(result.stdout)
    assert (found["table"], found["target"], found["task"]) == ("odd.csv", "wins", "binary")
    assert found["rank"]["columns"] == 4
    assert found["advice"]["optimizers"] == ["adam", "sgd"]
    by_name = {hint["name"]: hint for hint in found["hints"]}
    assert by_name["dates"]["remedy"].endswith("--drop day")
    assert by_name["leak"]["figures"] == {"score": 1.0}
    assert not {"identifier", "constant"} & set(by_name)
    assert len(found["comparison"]["scores"]) == 4
    assert found["comparison"]["verdict"] in by_name


@pytest.mark.slow
def test_rows_without_target_and_rare_classes_are_told():
    assert "note: 2 rows without a target left out" in run("advise gaps.csv --target wins").stdout
    words = " ".join(run("advise rare.csv --target wins").stdout.split())
    assert "class no has 19 times as many rows as yes (114 and 6); --class-weight balanced" in words
    assert "balanced accuracy" in words


# fmt: off
REFUSED = [
    (1, "--target: there is no column 'win', did you mean 'wins'?", "good.csv --target win"),
    (2, "Missing option '--target'", "good.csv"),
    (1, "no.csv: there is no such file", "no.csv --target wins"),
    (1, "empty.csv: the file is empty", "empty.csv --target wins"),
    (1, "none.csv: the file has 3 columns but no rows", "none.csv --target wins"),
    (1, "one.csv: --target wins: the target has only the value", "one.csv --target wins"),
    (1, "constant.csv: --target wins: the target has only the value 'no'",
        "constant.csv --target wins"),
    (1, "120 different classes in 120 rows", "odd.csv --target 'row no' --task classification"),
    (1, "--task classification: the target is numbers with fractions, not classes",
        "good.csv --target age --task classification"),
    (1, "no column is left", "good.csv --target wins --drop age --drop height"),
    (1, "is not a number", "good.csv --target wins --task regression"),
    (1, "no column is left to learn from: column 'flat' is 1.0",
        "odd.csv --target wins --drop day --drop 'row no' --drop twice --drop prize --drop age "
        "--drop height"),
]
# fmt: on


@pytest.mark.parametrize(("code", "message", "line"), REFUSED)
def test_what_is_refused(code, message, line):
    result = run(f"advise {line}")
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_help_has_examples():
    text = run("advise --help").stdout
    assert "chainrule advise penguins.csv --target species --json > advice.json" in text
    assert "--task" in text


@pytest.mark.slow
def test_fit_tells_the_hints_on_the_data(tmp_path):
    fast = f"--epochs 2 --members 2 --out '{tmp_path}/m'"
    words = " ".join(run(f"fit odd.csv --target wins --drop day {fast}").stdout.split())
    assert "note: column 'prize' predicts the target almost alone" in words
    assert "note: column 'age' repeats 'twice'" in words
    balanced = run(f"fit rare.csv --target wins --class-weight balanced {fast}").stdout
    assert "times as many rows" not in balanced
    assert "times as many rows" in " ".join(
        run(f"fit rare.csv --target wins {fast}").stdout.split()
    )


def test_columns_that_are_not_used_are_listed():
    rng = np.random.default_rng(0)
    found = examine(rng.normal(size=(12, 2)), rng.normal(size=12))
    assert "not used" not in dict(facts(found))
    assert dict(facts(replace(found, left_out=("id",))))["not used"] == "id"
