"""`chainrule tune`: what it prints, writes and refuses."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import chainrule
from chainrule.cli import main
from chainrule.cli.tune import parsed_space
from chainrule.errors import ConfigError
from chainrule.files import read_table
from chainrule.search import Choice, Int, LogUniform, Uniform

FAST = ("--epochs", "6", "--members", "2", "--folds", "2")
CLASSES = ("tune", "people.csv", "--target", "plays", *FAST)
NUMBERS = ("tune", "people.csv", "--target", "weight", *FAST)


def people(rows=80):
    rng = np.random.default_rng(0)
    lines = ["height,weight,city,plays"]
    for i in range(rows):
        height, weight = rng.normal(170, 10), rng.normal(70, 10)
        plays = "yes" if height + weight > 240 else "no"
        lines.append(f"{height:.1f},{weight:.1f},{'ORB'[i % 3]},{plays}")
    return "\n".join(lines) + "\n"


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    (tmp_path / "people.csv").write_text(people())
    monkeypatch.chdir(tmp_path)


def run(*arguments, **settings):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **settings)


def ok(*arguments, **settings):
    result = run(*arguments, **settings)
    assert result.exit_code == 0, result.output
    return result


def trials(path="people-model/trials.csv"):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_tune_tells_and_writes():
    result = ok(*CLASSES, "--trials", 4, env={"COLUMNS": "100"})
    for part in (
        "people.csv: predict plays",
        "64 train, 16 test",
        "bayes, 4 trials",
        "log-loss",
        "the best of 4 trials",
        "as it comes",
        "label_smoothing",
        "linear model",
        "fitted again, with the same settings, on all 80 rows",
        "people-model/model.chainrule",
    ):
        assert part in result.stdout
    assert "trial 3 (4/4)  finished" in result.stderr
    assert sorted(p.name for p in Path("people-model").iterdir()) == [
        "history.csv", "model.chainrule", "report.html", "study.journal", "trials.csv",
    ]  # fmt: skip
    rows = trials()
    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    best = min(rows, key=lambda row: float(row["score"]))
    model = chainrule.load("people-model/model.chainrule")
    given = float(result.stdout.split("as it comes")[1].split()[0])
    if float(best["score"]) < given:
        assert model.lr == pytest.approx(float(best["lr"]))
        assert model.hidden == (int(best["hidden.units"]),) * int(best["hidden.layers"])
        assert (
            f"trial {best['number']} of 4, the best" in Path("people-model/report.html").read_text()
        )
    assert set(model.predict(read_table("people.csv").drop_columns(["plays"]))) <= {"yes", "no"}


def test_the_same_command_does_nothing_twice():
    ok(*CLASSES, "--trials", 3)
    first = Path("people-model/study.journal").read_bytes()
    model = chainrule.load("people-model/model.chainrule")
    again = ok(*CLASSES, "--trials", 3)
    assert Path("people-model/study.journal").read_bytes() == first
    table = read_table("people.csv").drop_columns(["plays"])
    anew = chainrule.load("people-model/model.chainrule")
    assert np.array_equal(anew.predict_proba(table), model.predict_proba(table))
    assert "trial" not in again.stderr
    ok(*CLASSES, "--trials", 5)
    assert len(trials()) == 5


def test_numbers_spaces_and_a_grid():
    space = ("--space", "lr=0.001,0.01", "--space", "hidden=8,8x4", "--space", "loss=huber")
    result = ok(*NUMBERS, *space, "--method", "grid", "--score", "mae", "--test-share", 0, "--out",
                "m")  # fmt: skip
    assert "grid, all trials" in result.stdout
    assert "fitted again" not in result.stdout
    rows = trials("m/trials.csv")
    assert len(rows) == 4
    assert {row["hidden"] for row in rows} == {"(8,)", "(8, 4)"}
    assert min(float(row["score"]) for row in rows) > 0
    assert chainrule.load("m/model.chainrule").loss in ("huber", "mse")


def test_settings_as_they_come_win_where_nothing_is_better():
    result = ok(*CLASSES, "--space", "lr=1e-9,2e-9", "--method", "grid", env={"COLUMNS": "100"})
    assert "no trial did better than the settings as they come" in result.stdout
    model = chainrule.load("people-model/model.chainrule")
    assert model.lr is None
    assert "no trial of 2 did better" in Path("people-model/report.html").read_text()


def test_a_narrow_terminal_gets_lines():
    result = ok(*CLASSES, "--trials", 2, env={"COLUMNS": "40"})
    assert "trial 0, log-loss " in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()[:-4]) <= 40


@pytest.mark.slow
def test_weights_class_weights_and_a_test_file(tmp_path):
    lines = people().splitlines()
    weighed = [lines[0] + ",w", *(f"{line},{i % 3}" for i, line in enumerate(lines[1:]))]
    (tmp_path / "weighed.csv").write_text("\n".join(weighed))
    result = ok("tune", "weighed.csv", "--target", "plays", "--weights", "w", "--class-weight",
                "balanced", "--test", "weighed.csv", "--trials", 2, "--score", "balanced-accuracy",
                "--jobs", 2, *FAST)  # fmt: skip
    assert "80 train, 80 test" in result.stdout
    assert "fitted again" not in result.stdout
    assert chainrule.load("weighed-model/model.chainrule").class_weight == "balanced"


def test_quiet_is_silent():
    result = ok(*CLASSES, "--trials", 1, "--quiet")
    assert result.output == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--score", "r2"), "--score r2: this is a binary task; use log-loss, accuracy"),
        (("--space", "speed=1..2"), "--space: TabularClassifier has no setting 'speed'"),
        (("--space", "lr"), "--space lr: expected NAME=LOW..HIGH"),
        (("--space", "lr=2..1"), "--space lr=2..1: Int(low=2, high=1"),
        (("--space", "lr=low..high"), "expected two numbers"),
        (("--test", "people.csv", "--test-share", "0.1"), "exclude each other"),
        (("--trials", "0"), "'--trials'"),
        (("--folds", "60"), "60 folds, but no class has more than"),
        (("--study", "people.csv"), "people.csv: line 1 is no line of a journal"),
        (("--study", "no/study"), "there is no folder no"),
    ],
)
def test_calls_that_cannot_be(arguments, words):
    result = run(*CLASSES, *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.stderr.splitlines()[-1]
    assert Path("people.csv").read_text() == people()


def test_a_class_of_one_row_is_refused_in_words_of_the_command():
    Path("people.csv").write_text(people() + "170.0,70.0,O,maybe\n")
    result = run(*CLASSES, "--test-share", 0)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert "class maybe has only 1 row" in last
    assert last.endswith(": leave its rows out of the table, or merge it with another class")


def test_a_study_of_another_search_is_refused():
    ok(*CLASSES, "--trials", 1)
    before = Path("people-model/study.journal").read_bytes()
    result = run(*CLASSES, "--trials", 1, "--seed", 1)
    assert result.exit_code == 1
    assert "Name another with --study FILE" in result.stderr
    assert Path("people-model/study.journal").read_bytes() == before
    ok(*CLASSES, "--trials", 1, "--seed", 1, "--study", "other.journal")


def test_spaces_as_text():
    space = parsed_space(["a=1..9", "b=log:1..100", "c=0..0.5", "d=log:1e-4..1e-2", "e=x,none,2.5"])
    assert space["a"] == Int(1, 9)
    assert space["b"] == Int(1, 100, log=True)
    assert space["c"] == Uniform(0, 0.5)
    assert space["d"] == LogUniform(1e-4, 1e-2)
    assert isinstance(space["e"], Choice)
    assert space["e"].options == ("x", None, 2.5)
    with pytest.raises(ConfigError, match="logarithm needs low above 0"):
        parsed_space(["a=log:0..1"])


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "chainrule", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_trials_and_says_how_to_go_on(jobs):
    arguments = (*CLASSES, "--trials", 400, "--jobs", jobs, "--out", "my model")
    with command(*arguments) as process:
        for line in process.stderr:
            if line.startswith("trial 2"):
                os.killpg(process.pid, signal.SIGINT)
                break
        words, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    kept = int(words.split("interrupted: ")[1].split()[0])
    assert kept >= 2
    assert words.splitlines()[-1] == (
        "go on with: chainrule tune people.csv --target plays --epochs 6 --members 2 --folds 2 "
        f"--trials 400 --jobs {jobs} --out 'my model'"
    )
    assert not Path("my model/model.chainrule").exists()
    result = ok(*CLASSES, "--trials", kept + 2, "--out", "my model")
    assert f"({kept + 2}/{kept + 2})" in result.stderr
    assert len(trials("my model/trials.csv")) == kept + 2
    assert Path("my model/model.chainrule").exists()
