"""What works in an install without extras, and what is said where one is needed."""

import os
import subprocess
import sys

import pytest

from chainrule import nn

HIDDEN = ["sklearn", "scipy", "narwhals", "pyarrow", "numba", "llvmlite", "optuna", "onnx",
          "pandas", "polars"]  # fmt: skip
RUN = f"""
import sys
sys.modules.update(dict.fromkeys({HIDDEN}))  # an import of these raises ModuleNotFoundError
sys.argv = ["chainrule", *sys.argv[1:]]
from chainrule.cli import main
main()
"""


def run(*arguments, code=RUN):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], text=True, capture_output=True,
        env=os.environ | {"NO_COLOR": "1"}, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("light") / "net.chainrule"
    nn.mlp([2, 3, 1], "tanh", seed=0).save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "--example", "xor", "--level", "3"], "all agree"),
        (["draw", "MODEL"], "Linear 2, 3"),
        (["show", "MODEL"], "0.weight  3 x 2"),
        (["to-python", "MODEL", "--out", "FOLDER/net.py"], ""),
        (["--help"], "explain"),
    ],
)
def test_commands_that_need_no_extra(model, arguments, words):
    given = [x.replace("MODEL", str(model)).replace("FOLDER", str(model.parent)) for x in arguments]
    done = run(*given)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "t.csv", "--target", "y"],
        ["tune", "t.csv", "--target", "y"],
        ["predict", "MODEL", "t.csv"],
        ["advise", "t.csv", "--target", "y"],
        ["export", "MODEL", "--out", "FOLDER/m.onnx"],
    ],
)
def test_commands_say_which_extra_they_need(model, arguments, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,2\n3,4\n")
    given = [
        x.replace("MODEL", str(model))
        .replace("FOLDER", str(tmp_path))
        .replace("t.csv", str(tmp_path / "t.csv"))
        for x in arguments
    ]
    done = run(*given)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert 'pip install "chainrule[' in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_training_and_compiling_without_numba(monkeypatch):
    monkeypatch.delenv("CHAINRULE_COMPILE", raising=False)
    code = f"""
import sys
sys.modules.update(dict.fromkeys({HIDDEN}))
import numpy as np
import chainrule as cr
x = np.random.default_rng(0).normal(size=(64, 2)).astype("f4")
net = cr.nn.mlp([2, 4, 1], "tanh", seed=0)
print(cr.train(net, "mse", x, x[:, :1], epochs=2, seed=0).reason)
for call in (lambda: cr.train(net, "mse", x, x[:, :1], epochs=1, compile="numba"),
             lambda: cr.compile(lambda x: x + 1, cr.Spec(("rows", 2)))):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    done = run(code=code)
    assert done.stdout.splitlines() == [
        "epochs",
        'numba is needed to compile a training step: pip install "chainrule[fast]"',
        'numba is needed to compile: pip install "chainrule[fast]"',
    ], done.stderr
