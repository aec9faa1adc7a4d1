"""Random trainings for `tools.trust.resume`: nets, rows, losses, optimizers and plans.

>>> one, again = draw(7), draw(7)
>>> one.words == again.words
True
"""

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

import chainrule as cr
from chainrule import MLPClassifier, NetClassifier, TabularRegressor, nn, optim, penalties, stepping
from chainrule.contract import judged
from chainrule.data import Rows
from chainrule.plan import Plan
from chainrule.schedules import SCHEDULES
from chainrule.training import Training
from chainrule.transforms.compile.program import Program


@dataclass(frozen=True)
class Run:
    """A training to be stopped: `begin` does all of it, and gives what it came to."""

    words: str
    begin: Callable[[cr.Checkpoint | None, Any], dict[str, str]]


def draw(seed: int, machine: bool = False) -> Run:
    """Draw a training; with `machine`, some are compiled by Numba."""
    rng = np.random.default_rng([seed, 1])
    if rng.random() < 0.2:
        return _estimator(rng, seed)
    return _loop(rng, seed, machine)


# ---------------------------------------------------------------- the loop itself


def _loop(rng: np.random.Generator, seed: int, machine: bool) -> Run:
    kind = str(rng.choice(["mlp", "mlp", "mlp", "convolution", "recurrent", "two inputs"]))
    n = int(rng.integers(9, 40))
    classes = int(rng.integers(2, 4)) if rng.random() < 0.4 else 0
    settings = _plan(rng, n, machine)
    weighted, validated = rng.random() < 0.3, rng.random() < 0.6
    if rng.random() < 0.3:
        settings["groups"] = {"lr": 0.002}
    losses: list[Any] = ["cross_entropy", "focal"] if classes else ["mse", "huber", "mae"]
    loss = losses[int(rng.integers(len(losses)))]
    learned = not classes and rng.random() < 0.1

    def begin(checkpoint: cr.Checkpoint | None, callback: Any) -> dict[str, str]:
        data = np.random.default_rng([seed, 2])
        model = _model(kind, data, classes, seed)
        chosen = dict(settings)
        if "groups" in chosen:
            first = next(p for p in model.parameters() if p.requires_grad)
            chosen["groups"] = [([first], chosen["groups"])]
        if validated:
            chosen["early_stopping"] = cr.EarlyStopping(int(data.integers(1, 4)))
        else:
            chosen["plateau"] = None
        if chosen["shuffle"] == "rolling":
            chosen["shuffle"] = rolling(n)
        plain = chosen["compile"] == "plain"
        chosen["compile"] = "numba" if plain else chosen["compile"]
        plan = Plan(**chosen, checkpoint=checkpoint, callbacks=[callback] if callback else ())
        rows = _rows(kind, data, n, classes, weighted)
        held_out = _rows(kind, data, 7, classes, False) if validated else None
        given: Any = nn.AdaptiveLoss().astype(model.parameters()[0].dtype) if learned else loss
        training = Training(*judged(model, given), rows, held_out, plan)
        with mock.patch.object(stepping, "Program", PlainProgram if plain else Program):
            training.predicts = "as written" if plain else ""
            try:
                training.run()
            except cr.ChainruleError as error:  # a batch whose rows all have the weight 0
                return _digest(training) | {"error": str(error)}
        return _digest(training)

    words = f"{kind}, {n} rows, {loss}, {settings}"
    return Run(words, begin)


def _plan(rng: np.random.Generator, n: int, machine: bool) -> dict[str, Any]:
    def maybe(share: float, value: Any) -> Any:
        return value if rng.random() < share else None

    optimizers = sorted(optim.OPTIMIZERS)
    rate = float(rng.choice([0.003, 0.02]))
    schedules = [name for name in sorted(SCHEDULES) if name != "warmup"]
    compiled = rng.choice(["off", "off", "numpy", "numpy", "plain", "auto"])
    if machine and rng.random() < 0.1:
        compiled = "numba"
    epochs = int(rng.integers(1, 6))
    averages = [0.9, cr.SWA(0.5), cr.SWA(1, every=2)]
    losses = [penalties.L1(0.01), penalties.L2(0.01), penalties.ElasticNet()]
    fitting = [size for size in (2, 3, 4, 7, 8, n) if n % size != 1]  # for batch normalization
    return {
        "optimizer": optim.OPTIMIZERS[optimizers[int(rng.integers(len(optimizers)))]](lr=rate),
        "epochs": epochs,
        "batch_size": fitting[int(rng.integers(len(fitting)))],
        "seed": int(rng.integers(1000)),
        "shuffle": [True, True, False, "rolling"][int(rng.integers(4))],
        "schedule": maybe(0.4, schedules[int(rng.integers(len(schedules)))]),
        "schedule_by": str(rng.choice(["step", "epoch"])),
        "clip_norm": maybe(0.2, 0.5),
        "clip_value": maybe(0.1, 0.1),
        "accumulate": int(rng.choice([1, 1, 2, 3])),
        "penalty": maybe(0.3, losses[int(rng.integers(3))]),
        "average": maybe(0.4, averages[int(rng.integers(3))]),
        "validate_every": int(rng.choice([1, 1, 2])),
        "plateau": maybe(0.2, cr.ReduceOnPlateau(0.5)),
        "compile": False if compiled == "off" else str(compiled),
        "statistics": int(rng.choice([0, 1, 3])),
    }


def rolling(n: int) -> Callable[[int], Any]:
    """Order rows by a function that goes on from its last order, as some users' do."""
    index = [np.arange(n)]

    def order(epoch: int) -> Any:
        index[0] = np.roll(index[0], epoch)[::-1]
        return index[0]

    return order


class PlainProgram(Program):
    """A program whose source runs as it stands: what is compiled, without the wait for it."""

    def bind(self, *args: Any, **settings: Any) -> Any:
        """Prepare it without a compiler."""
        return super().bind(*args, **settings, plain=True)


def _model(kind: str, rng: np.random.Generator, classes: int, seed: int) -> nn.Module:
    out = classes or 1
    hidden = int(rng.integers(2, 6))
    if kind == "convolution":
        layers = [nn.Conv1d(2, hidden, 3), nn.Activation("relu"), nn.Flatten(),
                  nn.Linear(4 * hidden, out)]  # fmt: skip
        return nn.Sequential(*layers).initialize(seed)
    if kind == "recurrent":
        return _Last(hidden, out).initialize(seed)
    if kind == "two inputs":
        return _Sum(hidden, out).initialize(seed)
    extras = [nn.Dropout(0.3), nn.BatchNorm1d(hidden), nn.LayerNorm(hidden), None]
    layers = [nn.Linear(3, hidden), nn.Activation(str(rng.choice(["tanh", "relu", "mish"])))]
    layers += [x for x in (extras[int(i)] for i in rng.integers(4, size=2)) if x is not None]
    model = nn.Sequential(*layers, nn.Linear(hidden, out)).initialize(seed)
    if rng.random() < 0.2:
        model[0].bias.requires_grad = False
    return model.astype(float) if rng.random() < 0.3 else model


class _Last(nn.Module):
    """The last state of a recurrent layer."""

    def __init__(self, hidden: int, out: int) -> None:
        self.inner = nn.GRU(2, hidden, batch_first=True)
        self.outer = nn.Linear(hidden, out)

    def forward(self, x: Any) -> Any:
        return self.outer(self.inner(x)[0][:, -1])


class _Sum(nn.Module):
    """Two inputs, and a buffer that training moves."""

    def __init__(self, hidden: int, out: int) -> None:
        self.a, self.b = nn.Linear(3, hidden), nn.Linear(2, hidden)
        self.norm, self.drop = nn.BatchNorm1d(hidden), nn.Dropout(0.2)
        self.outer = nn.Linear(hidden, out)

    def forward(self, x: Any, z: Any) -> Any:
        return self.outer(self.drop(self.norm(self.a(x) + self.b(z))))


def _rows(kind: str, rng: np.random.Generator, n: int, classes: int, weighted: bool) -> Rows:
    shapes = {"convolution": [(2, 6)], "recurrent": [(4, 2)], "two inputs": [(3,), (2,)]}
    inputs = tuple(
        rng.normal(size=(n, *shape)).astype(np.float32) for shape in shapes.get(kind, [(3,)])
    )
    first = inputs[0].reshape(n, -1)
    target = np.digitize(first[:, 0], [0.0, 1.0][: classes - 1]) if classes else first[:, :1] ** 2
    weight = rng.integers(0, 3, n).astype(np.float32) + (np.arange(n) == 0) if weighted else None
    return Rows(inputs, target, weight)


def _digest(training: Training) -> dict[str, str]:
    """Say what a training came to: each part as a checksum or in words."""
    state = training.updater.state_dict()
    history, watch = training.history, training.watch
    return {
        "weights": _sum(p.value for p in training.parameters),
        "all tensors": _sum(x.value for x in training.tensors),
        "optimizer": _sum(state["arrays"][key] for key in sorted(state["arrays"])),
        "step": str(state["t"]),
        "average": _sum(training.average.mean or []),
        "best": _sum(training.best or []),
        "last good": _sum(training.good),
        "rate": str(training.rate_factor),
        "patience": str(watch and watch.state()),
        "history": _history(history),
        "statistics": _seen(training),
        "reason": f"{history.reason}, best {history.best_epoch}, {training.runs}",
    }


def _sum(arrays: Any) -> str:
    found = hashlib.sha256()
    for x in arrays:
        x = np.asarray(x)
        found.update(f"{x.dtype} {x.shape}".encode() + x.tobytes())
    return found.hexdigest()


def _seen(training: Training) -> str:
    observer, statistics = training.observer, training.history.statistics
    if observer is None or statistics is None:
        return ""
    listed, numbers = observer.state(statistics)
    return f"{listed} {_sum([numbers])}"


def _history(history: cr.History) -> str:
    rows = [{k: float(v).hex() for k, v in row.items() if k != "seconds"} for row in history.rows]
    return json.dumps(rows)


# ---------------------------------------------------------------- estimators


def _estimator(rng: np.random.Generator, seed: int) -> Run:
    data = np.random.default_rng([seed, 3])
    X = data.normal(size=(int(rng.integers(30, 60)), 3))
    y = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
    compiled = [False, "numpy"][int(rng.integers(2))]
    common: dict[str, Any] = {"compile": compiled, "random_state": seed}
    which = int(rng.integers(3))
    if which == 0:
        given = {
            "solver": str(rng.choice(["adam", "sgd"])),
            "learning_rate": str(rng.choice(["constant", "invscaling", "adaptive"])),
            "early_stopping": bool(rng.random() < 0.5),
            "dropout": float(rng.choice([0, 0.2])),
            "shuffle": bool(rng.random() < 0.8),
            "hidden_layer_sizes": (4,), "batch_size": 8, "max_iter": 6, "n_iter_no_change": 3,
        }  # fmt: skip
        make, target = MLPClassifier, y
    elif which == 1:
        given = {"module": nn.mlp([3, 4, 1], "tanh"), "epochs": 5, "batch_size": 8,
                 "validation_fraction": 0.2, "early_stopping": cr.EarlyStopping(2)}  # fmt: skip
        make, target = NetClassifier, y
    else:
        given = {"epochs": 5, "members": 2, "hidden": (4,)}
        make, target = TabularRegressor, X[:, 0]
    words = f"{make.__name__}({given | common})"

    def begin(checkpoint: cr.Checkpoint | None, callback: Any) -> dict[str, str]:
        model = make(**given, **common, callbacks=[callback] if callback else None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*hasn't converged")
            model.fit(X, target, checkpoint=checkpoint)
        history = model.history_
        return {
            "weights": _sum(model.module_.arrays().values()),
            "history": _history(history),
            "reason": f"{history.reason}, best {history.best_epoch}",
            "predictions": _sum([model.predict(X)]),
        }

    return Run(words, begin)
