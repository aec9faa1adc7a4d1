"""`chainrule to-python` and `export`: models leave chainrule from the command line."""

import csv
import io
import runpy
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import fitted
from chainrule import from_onnx, load, nn
from chainrule.cli import main


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.chainrule"
    nn.Sequential(nn.Conv1d(2, 3, 2, seed=0), nn.Flatten()).save(path)
    return path


def test_a_module_becomes_a_script(tmp_path, net):
    result = run("to-python", net, "--input", "2,5", "--out", tmp_path / "net.py")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "net.py").read_text().splitlines()
    assert result.stderr == f"note: {tmp_path}/net.py: {len(lines)} lines of Python\n"
    x = np.linspace(-1, 1, 30, dtype=np.float32).reshape(3, 2, 5)
    found = runpy.run_path(str(tmp_path / "net.py"))["predict"](x)
    assert found.shape == (3, 12)


def test_a_table_model_becomes_a_script_with_weights_beside_it(tmp_path):
    estimator = fitted.tabular()["binary"]
    estimator.save(tmp_path / "model.chainrule")
    result = run("to-python", tmp_path, "--out", tmp_path / "predict.py", "--no-inline")
    assert result.exit_code == 0, result.output
    assert "predict.npz: 6 arrays, to be beside it" in " ".join(result.stderr.split())
    frame = fitted.table()
    given = {name: [None if x != x else x for x in frame[name].tolist()] for name in frame}
    found = runpy.run_path(str(tmp_path / "predict.py"))["predict"](given)
    assert found.tolist() == estimator.predict(frame).tolist()


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script of a regression, with its model beside it."""
    folder = tmp_path_factory.mktemp("script")
    fitted.tabular()["regression"].save(folder / "model.chainrule")
    assert run("to-python", folder, "--out", folder / "predict.py").exit_code == 0
    return folder / "predict.py"


NAMES = list(fitted.table())
CELLS = dict(zip(NAMES, ["40", "1", "Rome", "z1", "True", "2", "10", "0.5"], strict=True))


def written(path, changed, *more):
    file = io.StringIO()
    csv.writer(file).writerows([NAMES, [*(CELLS | changed).values(), *more]])
    path.write_text(file.getvalue(), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["age", "is 'new'", "floors"])
@pytest.mark.parametrize(
    "cell",
    ["", "nAn", "1", "1.", " 1e0\t", "TRUE", "true", "-0", "2", ".5", "+2", "inf", "1e999", "1_0",
     "\u0663", "\xa01", "tRuE", "none", "1 0", "yes"],
)  # fmt: skip
def test_a_script_takes_the_cells_that_predict_takes(tmp_path, script, name, cell):
    rows = written(tmp_path / "rows.csv", {name: cell})
    result, space = run("predict", script.parent, rows), runpy.run_path(str(script))
    if result.exit_code == 0:
        found = space["predict"](space["read"](rows))
        np.testing.assert_allclose(found, [float(result.stdout.split()[1])], rtol=1e-6)
    else:
        with pytest.raises(ValueError, match=rf'column ["\']{name}["\'], row 0 .* is not '):
            space["predict"](space["read"](rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1\n", "row 1 (counted from 0): expected 2 cells, found 1"),
        ("a,b\n1,2,3\n", "row 0 (counted from 0): expected 2 cells, found 3"),
        ("\n", "expected one column 'age', found 0"),
        ("age,b,age\n1,2,3\n", "expected one column 'age', found 2"),
        ('age\n"1\n', "unexpected end of data"),
        (None, "column 'age', row 0 (counted from 0): '0x10' is not a finite number"),
    ],
)
def test_a_script_refuses_a_file_in_one_line(tmp_path, script, text, message):
    rows = written(tmp_path / "rows.csv", {"age": "0x10"})
    if text is not None:
        rows.write_text(text)
    done = subprocess.run([sys.executable, script, rows], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{rows}: {message}\n")


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["--out", "net.txt", "--input", "2,5"], "expected the name of a script, ending in .py", 1),
        (["--out", "net.py"], "what does Sequential take?", 1),
        (["--out", "net.py", "--input", "2;5"], "'2;5' is not a shape such as 3 or 1,28,28.", 2),
        (["--input", "2,5"], "Missing option '--out'.", 2),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, net, words, message, code):
    monkeypatch.chdir(tmp_path)
    result = run("to-python", net, *words)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_module_becomes_onnx(tmp_path, net):
    pytest.importorskip("onnx")
    result = run("export", net, "--input", "2,5", "--out", tmp_path / "net.onnx")
    assert result.exit_code == 0, result.output
    size = (tmp_path / "net.onnx").stat().st_size
    assert result.stderr == f"note: {tmp_path}/net.onnx: {size:,} bytes, opset 20\n"
    x = np.linspace(-1, 1, 30, dtype=np.float32).reshape(3, 2, 5)
    expected = load(net).predict(x)
    np.testing.assert_allclose(from_onnx(tmp_path / "net.onnx").predict(x), expected, rtol=1e-5)


def test_a_table_model_becomes_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    fitted.tabular()["binary"].save(tmp_path / "model.chainrule")
    assert run("export", tmp_path, "--out", tmp_path / "net.onnx").exit_code == 0
    names = [x.name for x in onnx.load(tmp_path / "net.onnx").graph.input]
    assert names == list(fitted.tabular()["binary"].feature_names_in_)


def test_the_name_says_that_it_is_onnx(net):
    result = run("export", net, "--input", "2,5", "--out", "net.txt")
    assert result.stderr == "error: net.txt: expected the name of a model, ending in .onnx\n"


def test_an_estimator_knows_its_row(tmp_path):
    fitted.tabular()["binary"].save(tmp_path / "model.chainrule")
    result = run("to-python", tmp_path, "--input", "3", "--out", tmp_path / "predict.py")
    assert result.stderr.startswith("error: --input is for modules; TabularClassifier knows")
