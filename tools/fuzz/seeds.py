"""Small valid files of every kind, made by the library itself, to begin with."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn, optim

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(-1, 2)


def written(save: Callable[[Path], Any]) -> bytes:
    """Give the bytes of a file that something writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        save(path)
        return path.read_bytes()


# ---------------------------------------------------------------- models


def modules() -> dict[str, nn.Module]:
    """Give nets with layers of many kinds."""
    picture = [nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.MaxPool2d(2), nn.Flatten()]
    return {
        "mlp": nn.mlp([3, 4, 2], "tanh", dropout=0.1, batch_norm=True, seed=0),
        "layers": nn.Sequential(
            nn.Linear(3, 4, bias=False), nn.LayerNorm(4), nn.Activation("leaky_relu"),
            nn.PReLU(), nn.Linear(4, 1),
        ).initialize(0),
        "convolution": nn.Sequential(*picture, nn.Linear(2, 1)).initialize(0),
        "recurrent": nn.Sequential(
            nn.Embedding(5, 2), nn.GRU(2, 3, returns="last", batch_first=True), nn.Linear(3, 1)
        ).initialize(0),
    }  # fmt: skip


def tabular() -> cr.TabularClassifier:
    """Fit an estimator to a table of numbers, text and truth values."""
    import pyarrow

    n = 30
    table = pyarrow.table({
        "age": [None if i % 7 == 0 else 20.5 + i for i in range(n)],
        "city": [["Rome", "Oslo", None][i % 3] for i in range(n)],
        "new": [i % 4 == 0 for i in range(n)],
    })  # fmt: skip
    model = cr.TabularClassifier(members=1, hidden=(3,), epochs=1, random_state=0)
    return model.fit(table, ["yes" if i % 2 else "no" for i in range(n)])


def models() -> dict[str, bytes]:
    """Give model files of modules and estimators."""
    y = (X[:, 0] > 0).astype(int)
    settings: dict[str, Any] = {"max_iter": 2, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimators = {
            "classifier": cr.MLPClassifier((3,), **settings).fit(X, y),
            "regressor": cr.MLPRegressor(hidden_layer_sizes=(3,), **settings).fit(X, y),
            "net": cr.NetClassifier(nn.mlp([2, 3, 1]), epochs=1, random_state=0).fit(X, y),
            "tabular": tabular(),
        }
    return {name: written(model.save) for name, model in {**modules(), **estimators}.items()}


# ---------------------------------------------------------------- checkpoints


def training(folder: Path, callbacks: Any = ()) -> cr.History:
    """Train two epochs of three steps, with all that a checkpoint may hold, or the rest of them."""
    return cr.train(
        nn.mlp([2, 3, 1], "tanh", dropout=0.1, seed=0), "mse", X, X[:, :1], batch_size=4, epochs=2,
        optimizer=optim.Adam(0.01), average=0.9, validation=(X[:4], X[:4, :1]), seed=0,
        early_stopping=cr.EarlyStopping(1), plateau=cr.ReduceOnPlateau(0.5), compile=False,
        checkpoint=cr.Checkpoint(folder, every="1 step", keep=9), callbacks=callbacks,
    )  # fmt: skip


def checkpoints() -> dict[str, bytes]:
    """Give the checkpoints after each step."""
    with tempfile.TemporaryDirectory() as folder:
        training(Path(folder))
        return {path.stem: path.read_bytes() for path in Path(folder).glob("*.checkpoint")}


# ---------------------------------------------------------------- tables


def tables() -> dict[str, bytes]:
    """Give CSV files: plain ones, and some with what is seldom."""
    rows = "".join(f"{20 + i / 7},{['Rome', 'Oslo'][i % 2]},{i % 3 == 0}\n" for i in range(30))
    return {
        "plain": b"age,city,new\n" + rows.encode(),
        "short": b"age,city,new\n1.5,Rome,true\n,Oslo,false\n",
        "quotes": b'age,city,new\n1,"Ro""me\n, or so",true\n2,"",false\n',
        "windows": b"\xef\xbb\xbfage,city,new\r\n1e3,\xc3\x81vila,true\r\n-0.5,NA,false\r\n",
        "dates": b"age,city,new\n2020-01-01,12:30,true\n2021-02-03,,false\n",
        "stray": b"age,city,new\n" + rows.encode() + b"12;3,Rome,true\n1e999,Rome,true\n",
        "ragged": b"age,city,new\n1,Rome,true\n2,Oslo\n\n3,Rome,true,4\n",
        "one": b"age\n1\n2\n",
    }


# ---------------------------------------------------------------- ONNX


def nets() -> dict[str, bytes]:
    """Give ONNX models of nets with layers of many kinds."""
    loops = nn.Sequential(nn.RNN(2, 3, returns="last", batch_first=True), nn.Linear(3, 1))
    models = modules() | {"scan": loops.initialize(0)}
    rows = dict.fromkeys(models, np.ones((2, 3), np.float32)) | {
        "convolution": np.ones((2, 1, 3, 3), np.float32),
        "recurrent": np.ones((2, 3), int),
        "scan": np.ones((2, 3, 2), np.float32),
    }
    return {
        name: written(lambda path, name=name: cr.to_onnx(models[name], path, rows[name]))
        for name in models
    }
