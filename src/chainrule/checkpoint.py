"""Checkpoints: the state of a training after an epoch, in a file that training goes on from.

>>> import tempfile
>>> from chainrule import nn
>>> from chainrule.training import train
>>> x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(-1, 1)
>>> def fit(epochs, path):
...     model = nn.mlp([1, 4, 1], "tanh", seed=0)
...     train(model, "mse", x, x, epochs=epochs, seed=0, checkpoint=Checkpoint(path))
...     return model.state_dict()["0.weight"]
>>> folder = Path(tempfile.mkdtemp())
>>> _ = fit(2, folder / "a")  # stop after two epochs, and call again
>>> bool((fit(4, folder / "a") == fit(4, folder / "b")).all())
True

What a checkpoint restores: weights and buffers, the optimizer, the best weights and the patience
left, the averaged weights, the history, and the seed that decides the order of the rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import CheckpointError, ConfigError
from chainrule.save import read_model, write_model

if TYPE_CHECKING:
    from chainrule.training import Training


@dataclass(frozen=True)
class Checkpoint:
    """A file that keeps the state after every `every` epochs; each save replaces it whole."""

    path: str | Path
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"Checkpoint(every={self.every}): expected at least 1")

    def write(self, training: "Training", epoch: int) -> None:
        """Save the state after an epoch."""
        state = training.updater.state_dict()
        groups = {
            "tensor": training._weights(),
            "best": training.best or [],
            "mean": training.average.mean or [],
        }
        arrays = {
            f"{name}.{i}": np.asarray(x) for name, xs in groups.items() for i, x in enumerate(xs)
        }
        arrays |= {f"optimizer.{name}": np.asarray(x) for name, x in state["arrays"].items()}
        config = {
            "run": _fingerprint(training),
            "epoch": epoch,
            "step": state["t"],
            "seed": training.seed,
            "rate_factor": training.rate_factor,
            "history": _plain(training.history.rows),
            "best_epoch": training.history.best_epoch,
            "watch": _plain(training.watch.state()) if training.watch else None,
        }
        write_model(self.path, "checkpoint", config, arrays)

    def read(self, training: "Training") -> int:
        """Put the state back, if there is a file, and give the epoch that it was saved after."""
        if not Path(self.path).exists():
            return 0
        file = read_model(self.path)
        config = file.config
        if file.kind != "checkpoint":
            raise CheckpointError(f"{str(self.path)!r} holds a {file.kind}, expected a checkpoint")
        own = _fingerprint(training)
        changed = [name for name in own if own[name] != config["run"].get(name)]
        if changed:
            name = changed[0]
            raise CheckpointError(
                f"{str(self.path)!r} belongs to another training: its {name} is "
                f"{config['run'].get(name)}, here it is {own[name]}; delete it or name another file"
            )

        def group(name: str) -> list[Any]:
            count = sum(key.startswith(name + ".") for key in file.arrays)
            return [file.arrays[f"{name}.{i}"] for i in range(count)]

        training._restore(group("tensor"))
        training.best = group("best") or None
        training.average.mean = group("mean") or None
        state = {k[10:]: v for k, v in file.arrays.items() if k.startswith("optimizer.")}
        training.updater.load_state_dict({"t": config["step"], "arrays": state})
        training.seed = config["seed"]
        training.rate_factor = config["rate_factor"]
        training.history.rows = _numbers(config["history"])
        training.history.best_epoch = config["best_epoch"]
        if training.watch is not None and config["watch"] is not None:
            training.watch.restore(_numbers(config["watch"]))
        return int(config["epoch"])


def _fingerprint(training: "Training") -> dict[str, Any]:
    """Say what a training must have in common with the one that saved a checkpoint."""
    return {
        "parameters": [list(p.shape) for p in training.parameters],
        "number of rows": len(training.rows),
        "batch size": int(training.batch_size),
        "loss": repr(training.loss),
        "optimizer": repr(training.plan.optimizer),
    }


def _plain(value: Any) -> Any:
    """Write numbers that JSON does not have as words."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else str(float(value))
    return int(value) if isinstance(value, np.integer) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) else value
