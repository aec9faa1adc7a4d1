"""The command line: what it prints, writes and refuses."""

import contextlib
import csv
import html
import io
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import chainrule
from chainrule.cli import fit as fit_module
from chainrule.cli import main
from chainrule.cli.account import Account, number
from chainrule.cli.profile import LEAST_WORDS, narrowed
from chainrule.cli.tables import Sample, split_sample
from chainrule.files import read_table
from chainrule.metrics import accuracy_score

FAST = ("--epochs", "2", "--members", "2")


def people(rows: int = 60) -> str:
    """Make a table: who is tall or heavy plays; some cells are missing."""
    rng = np.random.default_rng(0)
    lines = ["height,weight,city,zip,plays"]
    for i in range(rows):
        height, weight = rng.normal(170, 10), rng.normal(70, 10)
        plays = "yes" if height + weight > 240 else "no"
        cells = (
            f"{height:.1f}",
            f"{weight:.1f}",
            "" if i == 7 else "ORB"[i % 3],
            "012"[i % 3] + "x",
        )
        lines.append(",".join([*cells, plays]))
    return "\n".join(lines) + "\n"


def run(*arguments: object, **settings):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **settings)


def ok(*arguments: object, **settings):
    result = run(*arguments, **settings)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with tables, a model that tells classes, and one that predicts numbers."""
    path = tmp_path_factory.mktemp("cli")
    (path / "people.csv").write_text(people())
    lines = people().splitlines()
    counted = [lines[0] + ",count", *(line + ",1" for line in lines[1:])]
    (path / "counted.csv").write_text("\n".join(counted))
    before = Path.cwd()
    os.chdir(path)
    try:
        ok("fit", "people.csv", "--target", "plays", *FAST)
        ok("fit", "people.csv", "--target", "weight", "--out", "numbers", *FAST)
    finally:
        os.chdir(before)
    return path


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def parsed(text: str) -> dict[str, list[str]]:
    rows = list(csv.reader(io.StringIO(text)))
    return dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))


# ---------------------------------------------------------------- fit


def test_fit_tells_and_writes(tmp_path):
    out = tmp_path / "new" / "model"
    result = ok("fit", "people.csv", "--target", "plays", "--out", out, *FAST)
    words = result.stdout
    for part in (
        "people.csv: predict plays",
        "60",
        "4: 2 numbers, 2 categories",
        "1 cell, 0.4 %",
        "text with 2 different values",
        "48 train, 12 test",
        "neural network",
        "linear model",
        "always no",
        "with 12 test rows, one row is 8.3 % of accuracy",
        f"{out}/model.chainrule",
        f"{out}/history.csv",
        f"{out}/report.html",
    ):
        assert part in words
    assert words.splitlines()[-1] == f"next: chainrule predict {out} people.csv"
    assert "epoch 1/2" in result.stderr
    assert sorted(p.name for p in out.iterdir()) == [
        "history.csv",
        "model.chainrule",
        "report.html",
    ]
    assert len(chainrule.load(out / "model.chainrule").history_) == 2
    history = parsed((out / "history.csv").read_text())
    assert history["epoch"] == ["1", "2"]
    page = (out / "report.html").read_text()
    for part in ("Confusion matrix", "Permutation importance", "Calibration", "log-loss, test"):
        assert part in page


def test_fit_predicts_numbers():
    page = Path("numbers/report.html").read_text()
    for part in ("Explains", "RMSE, test", "MAE, test", "Predicted and true"):
        assert part in page
    assert isinstance(chainrule.load("numbers/model.chainrule"), chainrule.TabularRegressor)


def test_the_same_call_gives_the_same_model(tmp_path):
    for name in ("a", "b", "c"):
        seed = ("--seed", "1") if name == "c" else ()
        ok("fit", "people.csv", "--target", "plays", "--out", tmp_path / name, *FAST, *seed)
    models = [chainrule.load(tmp_path / name / "model.chainrule") for name in "abc"]
    a, b, c = (np.concatenate([p.value.ravel() for p in m.module_.parameters()]) for m in models)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "report.html").write_text("old")
    ok("fit", "people.csv", "--target", "plays", "--out", tmp_path, *FAST, "--quiet")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert len(list(tmp_path.iterdir())) == 4


def test_quiet_is_silent(tmp_path):
    assert (
        ok("fit", "people.csv", "--target", "plays", "--out", tmp_path, *FAST, "--quiet").output
        == ""
    )


def test_parquet_validation_test_weights_and_kinds(tmp_path):
    table = read_table("people.csv")
    table = table.append_column("count", pa.array(np.arange(60) % 3))
    table = table.append_column("day", pa.array(np.arange(60, dtype=np.int32)).cast(pa.date32()))
    pq.write_table(table, tmp_path / "all.parquet")
    result = ok(
        "fit", tmp_path / "all.parquet", "--target", "plays", "--out", tmp_path / "m",
        "--validation", "counted.csv", "--test", tmp_path / "all.parquet",
        "--weights", "count", "--drop", "day", "--kind", "zip=category", "--kind", "city=drop",
        "--class-weight", "balanced", *FAST,
    )  # fmt: skip
    assert "all.parquet: predict plays" in result.stdout
    assert "60 train, 60 validation, 60 test" in (tmp_path / "m" / "report.html").read_text()
    model = chainrule.load(tmp_path / "m" / "model.chainrule")
    assert model.feature_names_in_.tolist() == ["height", "weight", "zip"]
    assert model.class_weight == "balanced"
    assert model.encoder_.kinds == {"zip": "category"}


def test_without_a_test(tmp_path):
    words = ok(
        "fit", "people.csv", "--target", "plays", "--out", tmp_path, "--test-share", "0", *FAST
    ).stdout
    assert "60 train" in words
    assert "scores are of train rows, and say little about new ones" in words


@pytest.mark.parametrize(
    ("task", "expected"),
    [("classification", "TabularClassifier"), ("regression", "TabularRegressor")],
)
def test_the_task_can_be_said(tmp_path, task, expected):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i % 7}.5,{i % 3}\n" for i in range(40)))
    found = ok("fit", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "auto", *FAST).stdout
    assert "--task regression takes them for numbers" in " ".join(found.split())
    said = ("--task", task, "--out", tmp_path / task)
    ok("fit", tmp_path / "t.csv", "--target", "y", *said, *FAST)
    assert type(chainrule.load(tmp_path / task / "model.chainrule")).__name__ == expected


def test_warnings_about_the_data(tmp_path):
    lines = people().splitlines()
    rows = [f"{i},{line}" for i, line in enumerate(lines[1:], start=1)]
    rows[3] = rows[3].rpartition(",")[0] + ",perhaps"
    rows[4] = rows[4].rpartition(",")[0] + ","
    rows[5] += ",too much"
    table = tmp_path / "odd.csv"
    table.write_text("\n".join(["row," + lines[0], *rows]))
    result = ok(
        "fit", table, "--target", "plays", "--out", tmp_path / "m", "--on-bad-rows", "skip", *FAST
    )
    words = " ".join(result.stdout.split())
    for note in (
        "1 row skipped in odd.csv: line 7 (expected 6 cells, found 7)",
        "1 row is left out: its 'plays' is missing",
        "class perhaps has only 1 row to learn from",
    ):
        assert f"note: {note}" in words
    assert "line 7" in (tmp_path / "m" / "report.html").read_text()


def test_a_column_that_numbers_the_rows_is_told(tmp_path):
    rows = "".join(f"{i},{i * 7 % 5}.5,{'ab'[i % 2]}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("id,x,y\n" + rows)
    words = ok("fit", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "m", *FAST).stdout
    assert "column 'id' numbers the rows" in words
    assert "--drop id" in " ".join(words.split())


def test_a_column_that_is_dropped_may_lack_in_the_test(tmp_path):
    lines = (line.split(",") for line in people().splitlines())
    (tmp_path / "t.csv").write_text("".join(f"{','.join(c[:3] + c[4:])}\n" for c in lines))
    options = ("--kind", "zip=drop", "--test", tmp_path / "t.csv", "--out", tmp_path / "m")
    ok("fit", "people.csv", "--target", "plays", *options, *FAST)


@pytest.mark.parametrize(("typed", "letter"), [(";", ";"), (r"\t", "\t")])
def test_what_to_do_next_has_the_delimiter(tmp_path, typed, letter):
    table, out = tmp_path / "people.csv", tmp_path / "model"
    table.write_text(people().replace(",", letter))
    given = ("--delimiter", typed, "--out", out)
    result = ok("fit", table, "--target", "plays", *given, *FAST)
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("next: "))
    first, *call = shlex.split(line.removeprefix("next: "))
    assert first == "chainrule"
    assert len(parsed(ok(*call).stdout)["prediction"]) == 60
    report = html.unescape((out / "report.html").read_text())
    assert f"read_table({str(table)!r}, delimiter={letter!r})" in report


def test_no_class_is_in_the_test_rows_only():
    y = np.array(["a"] * 9 + ["b", "c", "d"], dtype=object)
    sample = Sample(pa.table({"x": np.arange(12)}), y)
    for seed in range(20):
        train, test = split_sample(sample, 0.5, seed, classes=True)
        assert set(train.y) == {"a", "b", "c", "d"}
        assert sorted([*train.X["x"].to_pylist(), *test.X["x"].to_pylist()]) == list(range(12))


# ---------------------------------------------------------------- predict, evaluate, show


def test_predict_writes_what_the_model_predicts():
    result = ok("predict", "people-model", "people.csv")
    columns = parsed(result.stdout)
    model = chainrule.load("people-model/model.chainrule")
    table = read_table("people.csv").drop_columns(["plays"])
    assert list(columns) == ["prediction", "p(no)", "p(yes)"]
    assert columns["prediction"] == model.predict(table).tolist()
    p = np.array([columns["p(no)"], columns["p(yes)"]], dtype=float).T
    assert np.abs(p - model.predict_proba(table)).max() < 1e-6
    assert result.stderr == "note: not an input of the model, ignored: plays\n"


def test_predict_numbers_into_a_file(tmp_path):
    out = tmp_path / "p.csv"
    result = ok("predict", "numbers/model.chainrule", "people.csv", "--out", out)
    assert result.stdout == ""
    assert f"{out}: 60 rows predicted" in result.stderr
    columns = parsed(out.read_text())
    model = chainrule.load("numbers/model.chainrule")
    expected = model.predict(read_table("people.csv").drop_columns(["weight"]))
    assert list(columns) == ["prediction"]
    assert np.allclose(np.array(columns["prediction"], dtype=float), expected, rtol=1e-6)


def test_predict_without_probabilities():
    result = ok("predict", "people-model", "people.csv", "--no-probabilities")
    assert list(parsed(result.stdout)) == ["prediction"]


def test_text_stays_text_where_a_small_table_has_only_numbers(tmp_path):
    rows = [f"{i % 9}.5,{'05' if i % 2 else 'none'},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["x,code,y", *rows]))
    ok("fit", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "m", *FAST)
    (tmp_path / "new.csv").write_text("code,x\n05,1.5\n05,2.5\n")
    full = parsed(ok("predict", tmp_path / "m", tmp_path / "t.csv").stdout)
    few = parsed(ok("predict", tmp_path / "m", tmp_path / "new.csv").stdout)
    assert few["p(b)"][0] == full["p(b)"][1]


def test_columns_that_tell_nothing_are_not_asked_for_again(tmp_path):
    rows = [f"same,key{i},{i % 9}.5,{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["constant,key,x,y", *rows]))
    words = ok("fit", tmp_path / "t.csv", "--target", "y", "--out", tmp_path / "m", *FAST).stdout
    assert "it is 'same' in every row" in words
    (tmp_path / "new.csv").write_text("x\n1.5\n")
    assert len(ok("predict", tmp_path / "m", tmp_path / "new.csv").stdout.splitlines()) == 2


def test_evaluate_finds_the_target_and_scores():
    result = ok("evaluate", "people-model", "people.csv")
    assert "the target is 'plays', the only column that the model does not take" in result.stderr
    model, table = chainrule.load("people-model/model.chainrule"), read_table("people.csv")
    guess = model.predict(table.drop_columns(["plays"]))
    score = accuracy_score(table["plays"].to_pylist(), guess.tolist())
    words = " ".join(result.stdout.split())
    assert f"accuracy {score:#.4g}" in words
    assert "class precision recall F1 rows" in words
    assert "log-loss" in words


def test_labels_that_look_like_numbers_stay_text(tmp_path):
    rows = [f"{i % 9}.5,{'01' if i % 9 > 4 else 'none'}" for i in range(45)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]))
    (tmp_path / "few.csv").write_text("x,y\n1.5,01\n2.5,01\n")
    out = tmp_path / "m"
    ok(
        "fit",
        tmp_path / "t.csv",
        "--target",
        "y",
        "--out",
        out,
        "--test",
        tmp_path / "few.csv",
        *FAST,
    )
    assert "few.csv: 2 rows, target y" in ok("evaluate", out, tmp_path / "few.csv").stdout


def test_evaluate_numbers():
    words = ok("evaluate", "numbers", "people.csv", "--target", "weight").stdout
    for name in ("R²", "RMSE", "MAE", "always the mean"):
        assert name in words


def test_show():
    words = ok("show", "people-model").stdout
    for part in (
        "people-model/model.chainrule: TabularClassifier",
        "2 classes: no, yes",
        "height",
        "layers.0.weight",
        "trained for 2 epochs",
        "written with chainrule",
    ):
        assert part in words


def test_show_a_module(tmp_path):
    chainrule.nn.Linear(2, 3, seed=0).save(tmp_path / "layer.chainrule")
    words = ok("show", tmp_path / "layer.chainrule").stdout
    assert "module" in words
    assert "3 x 2" in words


# ---------------------------------------------------------------- profile


PROFILE = ("profile", "people.csv", "--target", "plays", "--members", "2", "--seconds", "0.01")


@pytest.fixture
def compiled(monkeypatch):
    """Let no setting of who runs the tests decide how steps run."""
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)


def test_profile_is_a_table_of_statements(compiled):
    result = ok(*PROFILE)
    lines = result.stdout.splitlines()
    start = "people.csv: predict plays; 48 rows in batches of 16, 4 columns, 2 nets of 128 and 128"
    assert lines[0].startswith(start)
    for name in ("statement", "what it computes", "sizes", "us", "share", "of peak"):
        assert name in lines[2]
    shown = {line.split()[0] for line in lines[3:]}
    assert {"product", "loop_1", "total", "peak"} <= shown
    assert any("AdamW" in line for line in lines)
    assert "\x1b" not in result.output
    assert "compiling" not in result.stderr  # which is no terminal here


def test_profile_shows_the_step_of_the_fit(compiled, tmp_path):
    step = ok(*PROFILE, "--source").stdout
    assert step.startswith("# people.csv: predict plays; 48 rows")
    assert "\ndef program(start, stop, short, table, thread, threads):\n" in step
    plan = ok(*PROFILE, "--plan").stdout
    assert "operations" in plan
    assert "memory: arena" in plan
    assert sorted(p.name for p in tmp_path.iterdir()) == []


def test_profile_takes_the_options_of_fit(compiled):
    options = ("--drop", "zip", "--kind", "city=drop", "--weights", "count", "--task", "regression")
    words = ok("profile", "counted.csv", "--target", "weight", *options, "--plan", "--seed", "1")
    assert "48 rows in batches of 16, 2 columns, 8 nets" in words.stdout
    assert "mse: " in words.stdout


@pytest.mark.parametrize("width", [30, 60, 80, 100])
def test_a_wide_table_fits_the_terminal(compiled, width):
    for option in ((), ("--plan",)):
        table = ok(*PROFILE, *option).stdout.split("\n\n")[1]
        shown = narrowed(table, width).splitlines()
        kept = max(map(len, table.splitlines())) - table.index("sizes")  # right of what is cut
        assert max(map(len, shown)) <= max(width, kept + 11 + LEAST_WORDS + 2)
        assert len(shown) >= len(table.splitlines())
        whole, cut = table.splitlines()[3].split(), shown[3].split()
        assert (whole[0], whole[-1]) == (cut[0], cut[-1])
    wide = narrowed(table, 500)
    assert wide == table.rstrip("\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_profile_on_a_terminal(compiled):
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("CHAINRULE_COMPILE", None)
    with subprocess.Popen(
        [sys.executable, "-m", "chainrule", *PROFILE],
        stdout=theirs, stderr=theirs, env=environment,
    ):  # fmt: skip
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # which tells the end on Linux
            while part := os.read(ours, 1 << 16):
                seen += part
    os.close(ours)
    lines = seen.decode().splitlines()
    assert lines[0] == "compiling ..."
    assert max(map(len, lines)) <= 80
    assert any("…" in line for line in lines)


def test_profile_without_numba_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    result = run(*PROFILE)
    assert result.exit_code == 1
    said = 'error: numba is needed to compile a training step: pip install "chainrule[fast]"\n'
    assert result.output == said


def test_profile_where_the_environment_wants_no_compiler(monkeypatch):
    monkeypatch.setenv("CHAINRULE_COMPILE", "numpy")
    result = run(*PROFILE)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: CHAINRULE_COMPILE=numpy: ")


# ---------------------------------------------------------------- errors


FIT = "fit people.csv --target plays --out x"
WRONG = [
    (2, "Missing argument 'TABLE'. See chainrule fit --help", "fit"),
    (2, "Missing option '--target'", "fit people.csv"),
    (2, "No such option", f"{FIT} --bogus"),
    (2, "No such command 'ft'", "ft"),
    (2, "'ranking' is not one of", f"{FIT} --task ranking"),
    (2, "0 is not in the range", f"{FIT} --epochs 0"),
    (2, "1.0 is not in the range", f"{FIT} --test-share 1"),
    (2, "--test and --test-share exclude", f"{FIT} --test people.csv --test-share 0.1"),
    (2, "'zip=letter' is not COLUMN=KIND, KIND one of number,", f"{FIT} --kind zip=letter"),
    (2, "'zip' is not COLUMN=KIND", f"{FIT} --kind zip"),
    (1, "no.csv: there is no such file", "fit no.csv --target y"),
    (1, "unknown type '.xls'", "fit no.xls --target y"),
    (1, "--target: there is no column 'play', did you mean 'plays", "fit people.csv --target play"),
    (1, "--target: there is no column 'PLAYS', did you mean", "fit people.csv --target PLAYS"),
    (1, "--target: there is no column 'qqq', it has ['height',", "fit people.csv --target qqq"),
    (1, "--drop: there is no column 'zap', did you mean 'zip'?", f"{FIT} --drop zap"),
    (1, "--kind: there is no column 'cit', did you mean 'city'?", f"{FIT} --kind cit=category"),
    (1, "--kind plays=category: it is the target: --task says whether it is classes or numbers",
        f"{FIT} --kind plays=category"),
    (1, "--kind plays=boolean: it is the target", "advise people.csv --target plays --kind "
        "plays=boolean"),
    (1, "--kind zip=number: --drop leaves it out: give one of the two",
        f"{FIT} --drop zip --kind zip=number"),
    (1, "--kind height=number: it is the weight of each row, a number",
        f"{FIT} --weights height --kind height=number"),
    (1, "--weights: there is no column 'heigt', did you mean", f"{FIT} --weights heigt"),
    (1, "people.csv:2: column 'city': 'O' is not a number: correct or remove it",
        f"{FIT} --weights city"),
    (1, "stray.csv:25: column 'x': '1,5' is not a number, as the other 39 cells are: correct or "
        "remove it, or --kind x=category, or leave out such rows with --on-bad-rows skip",
        "fit stray.csv --target y"),
    (1, "correct or remove it, or --task classification, or leave out such rows",
        "fit stray.csv --target x"),
    (1, "40 different classes in 40 rows", "fit stray.csv --target x --task classification"),
    (1, "stray.csv:25: column 'x': '1,5' is not a number",
        "fit stray.csv --target y --kind x=number"),
    (1, "stray.csv:25: column 'x': '1,5' is not a number", "advise stray.csv --target y"),
    (1, "people.csv:2: column 'plays': 'no' is not a number", f"{FIT} --task regression"),
    (1, "no column is left", f"{FIT} --drop height --drop weight --drop city --drop zip"),
    (1, "--out: people.csv is a file, expected a folder", f"{FIT} --out people.csv"),
    (1, "people.csv is a file, expected a folder", f"{FIT} --out people.csv/x"),
    (1, "--class-weight: this is a regression (numbers with fractions)",
        "fit people.csv --target height --class-weight balanced"),
    (1, "--class-weight: a regression has no classes",
        f"{FIT} --task regression --class-weight balanced"),
    (1, "--task classification: 'half' is numbers with fractions, not classes",
        "fit halves.csv --target half --task classification --out x"),
    (1, "one.csv: --target y: the target has only the value 'a'", "fit one.csv --target y"),
    (1, "37 different classes in 37 rows", "fit keys.csv --target key"),
    (1, "column 'day' holds dates, which cannot be encoded: make numbers or text of it, "
        "or leave it out: --drop day --drop 'other day'", "fit days.csv --target y"),
    (1, "ragged.csv:3: expected 2 cells, found 3", "fit ragged.csv --target y"),
    (1, "use --delimiter ';'", "fit semicolon.csv --target y"),
    (1, "the weight 'w' in row 1 (counted from 0) is -1", "fit w.csv --target y --weights w"),
    (1, "the weight 'zero' is 0 in every row", "fit w.csv --target y --weights zero"),
    (1, "few.csv: it lacks columns ['weight', 'city', 'zip']", f"{FIT} --test few.csv"),
    (1, "few.csv: --target: there is no column 'plays'",
        f"{FIT} --drop weight --drop city --drop zip --validation few.csv"),
    (1, "new.csv: 'plays' has classes that were not in training: ['maybe']; it had ['no', 'yes']",
        f"{FIT} --test new.csv"),
    (1, "--target: there is no column 'play', did you mean 'plays",
        "profile people.csv --target play"),
    (2, "Missing option '--target'", "profile people.csv"),
    (2, "0.0 is not in the range", "profile people.csv --target plays --seconds 0"),
    (2, "--source and --plan exclude", "profile people.csv --target plays --source --plan"),
    (1, "nowhere: there is no such file or folder", "predict nowhere people.csv"),
    (1, "this folder has no model.chainrule", "predict . people.csv"),
    (1, "is not a model file", "predict people.csv people.csv"),
    (1, "which takes arrays and no tables", "predict layer.chainrule people.csv"),
    (1, "few.csv: it lacks columns that the model takes: ['weight', 'city', 'zip']",
        "predict people-model few.csv"),
    (1, "--probabilities: a regression has none", "predict numbers people.csv --probabilities"),
    (1, "no/p.csv: No such file or directory", "predict numbers people.csv --out no/p.csv"),
    (1, "which column of ['plays', 'count'] is the truth? Say it with --target",
        "evaluate people-model counted.csv"),
    (1, "'zip' has classes that were not in training",
        "evaluate people-model counted.csv --target zip"),
]  # fmt: skip


@pytest.fixture(scope="module")
def bad_files(folder):
    table = (folder / "people.csv").read_text()
    files = {
        "one.csv": "x,y\n1.5,a\n2.5,a\n",
        "keys.csv": "x,key\n" + "".join(f"1.5,key{i}\n" for i in range(37)),
        "days.csv": "day,x,other day,y\n2024-01-01,1.5,2024-02-01,a\n2024-01-02,2.5,2024-02-02,b\n",
        "ragged.csv": "x,y\n1.5,a\n2.5,b,c\n",
        "semicolon.csv": "x;y\n1.5;a\n",
        "w.csv": "x,w,zero,y\n1.5,1,0,a\n2.5,-1,0,b\n",
        "halves.csv": "x,half\n" + "".join(f"{i}.5,{i % 2}.5\n" for i in range(40)),
        "stray.csv": "x,y\n"
        + "".join(f'"1,5",{i % 2}\n' if i == 23 else f"{i}.5,{i % 2}\n" for i in range(40)),
        "few.csv": "height\n170.5\n",
        "new.csv": table.replace("yes", "maybe"),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    chainrule.nn.Linear(2, 3, seed=0).save(folder / "layer.chainrule")


@pytest.mark.parametrize(("code", "text", "arguments"), WRONG, ids=[text for _, text, _ in WRONG])
def test_errors_are_one_line(bad_files, code, text, arguments, monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
    result = run(*shlex.split(arguments))
    last = result.stderr.splitlines()[-1]
    assert result.exit_code == code, result.output
    assert last.startswith("error: ")
    assert text in last
    assert "Traceback" not in result.output
    assert not Path("x").exists()


@pytest.mark.parametrize("place", [0, 1, 4])
def test_debug_shows_the_traceback_from_any_place(place):
    arguments = ["fit", "no.csv", "--target", "y"]
    arguments.insert(place, "--debug")
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback")
    assert result.stderr.splitlines()[-1] == "error: no.csv: there is no such file"


def test_what_nobody_expects_is_one_line_too(monkeypatch):
    def broken(options):
        raise RuntimeError("one\ntwo \x1b[31m")

    monkeypatch.setattr(fit_module, "prepare", broken)
    result = run(*shlex.split(FIT))
    assert result.exit_code == 1
    assert result.stderr == "error: RuntimeError: one two ?[31m (--debug shows where)\n"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    result = run(*shlex.split(FIT))
    assert result.exit_code == 1
    assert 'pip install "chainrule[data]"' in result.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    result = run(*shlex.split(FIT))
    assert result.exit_code == 1
    assert result.stderr.endswith(" cannot be written to\n")
    assert result.stdout == ""


def test_interrupted_anywhere(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_module, "assess", interrupted)
    result = run(*shlex.split(FIT), *FAST)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "interrupted"
    assert not Path("x").exists()


# ---------------------------------------------------------------- help, terminals, pipes


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in main.commands)])
def test_help_has_examples(arguments):
    words = ok(*arguments).stdout
    assert "Examples:\n  " in words
    assert max(map(len, words.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in main.commands)])
def test_examples_of_the_help_are_calls(arguments):
    examples = ok(*arguments).stdout.partition("Examples:\n")[2].splitlines()
    for example in examples:
        _, name, *words = shlex.split(example.partition(">")[0])
        main.commands[name].make_context(name, words)  # refuses options that are not there


def test_nothing_is_a_wrong_call():
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: chainrule")


def test_version():
    assert ok("--version").stdout == f"chainrule {chainrule.__version__}\n"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_account_fits_the_terminal(tmp_path, width):
    arguments = ("fit", "people.csv", "--target", "plays", "--out", "w", *FAST)
    words = ok(*arguments, env={"COLUMNS": str(width)}).stdout
    account = words[: words.index("w/model.chainrule")]
    assert max(map(len, account.splitlines())) <= width
    assert "\x1b" not in words
    for command in ("show", "evaluate"):
        table = () if command == "show" else ("people.csv",)
        words = ok(command, "people-model", *table, env={"COLUMNS": str(width)}).stdout
        assert max(map(len, words.splitlines())) <= width


def test_huge_numbers_leave_room_for_their_names():
    out = io.StringIO()
    Account(out, width=80).table(("score", "model", "mean"), [("RMSE", *[number(-1.5e30)] * 2)])
    assert out.getvalue().split()[3:] == ["RMSE", "-1.500e+30", "-1.500e+30"]


def test_what_a_terminal_would_obey_is_taken_out():
    out = io.StringIO()
    account = Account(out, width=80)
    account.choices([("\x1b[31m", "[bold]", "a\x07b")])
    account.notes(["\x9b2J"])
    assert out.getvalue().split() == ["?[31m", "[bold]", "a?b", "note:", "?2J"]


def command(*arguments: object, **settings) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "chainrule", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings,
    )  # fmt: skip


def test_help_needs_no_heavy_package():
    code = (
        "import sys\n"
        "from chainrule.cli import main\n"
        "try: main(['fit', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'sklearn', 'pyarrow', 'scipy', 'rich', 'narwhals', 'pandas'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_weights(tmp_path):
    with command(
        "fit", "people.csv", "--target", "plays", "--out", tmp_path, "--epochs", 100_000
    ) as process:
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                process.send_signal(signal.SIGINT)
                break
        words, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "stopped: interrupted" in errors
    assert "note: training was interrupted in epoch" in words
    assert "training was interrupted" in (tmp_path / "report.html").read_text()
    model = chainrule.load(tmp_path / "model.chainrule")
    assert model.history_.reason == "interrupted"
    table = read_table("people.csv").drop_columns(["plays"])
    assert np.isfinite(model.predict_proba(table)).all()


@pytest.mark.slow
def test_a_pipe_that_closes_early():
    process = command("predict", "people-model", "people.csv")
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_terminal_without_the_letters():
    with command(
        "evaluate", "numbers", "people.csv", env={**os.environ, "PYTHONIOENCODING": "ascii"}
    ) as process:
        words, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "R?" in words


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("plain", [False, True])
def test_no_color(plain):
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    if plain:
        environment["NO_COLOR"] = "1"
    arguments = [sys.executable, "-c", _COLORED]
    subprocess.run(arguments, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    seen = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert ("\x1b[33m" in seen) is not plain


_COLORED = "from chainrule.cli.account import Account; Account().notes(['careful'])"
