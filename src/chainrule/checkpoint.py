"""Checkpoints: a training keeps its state in a folder, and goes on from there to the same bits.

>>> import tempfile
>>> from chainrule import nn
>>> from chainrule.training import train
>>> x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(-1, 1)
>>> def fit(epochs, folder):
...     model = nn.mlp([1, 4, 1], "tanh", seed=0)
...     train(model, "mse", x, x, epochs=epochs, seed=0, checkpoint=folder)
...     return model.state_dict()["0.weight"]
>>> folder = Path(tempfile.mkdtemp())
>>> _ = fit(2, folder / "a")  # stop after two epochs, and call again
>>> bool((fit(4, folder / "a") == fit(4, folder / "b")).all())
True

What is in a checkpoint, and how it is restored, is in `chainrule.resuming`.
"""

import contextlib
import re
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from chainrule.atomic import Hold, remove_temporary
from chainrule.errors import CheckpointError, ConfigError, FormatError
from chainrule.graph import Array
from chainrule.save import ModelFile, read_model, write_model

_SECONDS = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "hour": 3600, "h": 3600}
_NAME = re.compile(r"step-(\d{1,19})\.checkpoint")
_FAR = sys.maxsize


@dataclass(frozen=True)
class Interval:
    """How often something is due: every so many epochs, steps or seconds.

    >>> Interval.of("10 minutes"), Interval.of(2)
    (Interval(amount=600.0, unit='second'), Interval(amount=2, unit='epoch'))
    """

    amount: float
    unit: str

    @classmethod
    def of(cls, given: int | str) -> "Interval":
        """Read a number of epochs, or a number and a unit."""
        if isinstance(given, int | np.integer) and not isinstance(given, bool):
            return cls(int(given), "epoch") if given > 0 else _refuse(given)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)?\s*([a-z]+)", str(given).strip().lower())
        if not found or not isinstance(given, str):
            return _refuse(given)
        amount, word = float(found[1] or 1), found[2]
        unit = word[:-1] if len(word) > 1 and word.endswith("s") else word
        if unit in _SECONDS:
            amount, unit = amount * _SECONDS[unit], "second"
        elif unit not in ("step", "epoch") or not amount.is_integer():
            return _refuse(given)
        return cls(amount, unit) if amount > 0 else _refuse(given)


def _refuse(given: Any) -> NoReturn:
    raise ConfigError(
        f"every={given!r}: expected a number of epochs, or a text such as '10 minutes', "
        "'500 steps' or '2 epochs'"
    )


@dataclass(frozen=True)
class Checkpoint:
    """A folder in which a training keeps its state, and from which the same training goes on.

    `every` says how often: a number of epochs, or a text such as "10 minutes", "500 steps" or
    "2 epochs". The state is also kept at the end, and when Ctrl-C or SIGTERM stops the training.
    The `keep` newest checkpoints stay; while one is written, the folder holds one more.

    >>> Checkpoint("runs/a", every="10 minutes").keep
    2
    """

    folder: str | Path
    every: int | str = "1 minute"
    keep: int = 2

    def __post_init__(self) -> None:
        Interval.of(self.every)
        if isinstance(self.keep, bool) or not isinstance(self.keep, int) or self.keep < 1:
            raise ConfigError(f"Checkpoint(keep={self.keep!r}): expected at least 1")

    @classmethod
    def of(cls, given: Any, every: int | str | None = None) -> "Checkpoint | None":
        """Take a checkpoint, or a folder and how often."""
        if isinstance(given, str | Path):
            return cls(given) if every is None else cls(given, every)
        if every is not None:
            more = "give it to the Checkpoint" if given else "give checkpoint=FOLDER too"
            raise ConfigError(f"every={every!r} says how often a checkpoint is kept: {more}")
        if given is not None and not isinstance(given, cls):
            raise ConfigError(
                f"checkpoint={given!r}: expected a folder, or an object such as "
                'chainrule.Checkpoint("runs/a", every="10 minutes")'
            )
        return given

    def seed(self) -> int | None:
        """Give the seed of the training in the folder, if there is one and it had a seed."""
        found = newest(Path(self.folder))
        seed = found[1].config.get("plan_seed") if found else None
        return int(seed) if isinstance(seed, str) and seed.isdigit() else None


class Keeper:
    """Keeps the checkpoints of one training, while no other may use the folder."""

    def __init__(self, rule: Checkpoint) -> None:
        self.folder, self.keep = Path(rule.folder), rule.keep
        self.interval = Interval.of(rule.every)
        if self.folder.is_file():
            raise CheckpointError(
                f"checkpoint={str(rule.folder)!r} is a file, expected a folder. To go on from a "
                f"checkpoint of an early version, move it: mkdir {self.folder}.d && mv "
                f"{self.folder} {self.folder}.d/step-0.checkpoint"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held = Hold(self.folder)
        if not self._held.take():
            self._held.close()
            raise CheckpointError(
                f"another training keeps its checkpoints in {str(self.folder)!r}: wait for its "
                "end, or give another folder"
            )
        remove_temporary(self.folder, r"step-\d{1,19}\.checkpoint")
        self._last = time.monotonic()

    def close(self) -> None:
        """Let others use the folder."""
        self._held.close()

    def left(self, step: int) -> int:
        """Give the number of steps until one is due, at most."""
        if self.interval.unit != "step":
            return _FAR
        return int(self.interval.amount - step % self.interval.amount)

    def is_due(self, step: int, epoch: int | None = None) -> bool:
        """Say whether to write after this step, or after this epoch if one is complete."""
        amount = self.interval.amount
        if self.interval.unit == "second":
            return time.monotonic() - self._last >= amount
        if self.interval.unit == "step":
            return step % amount == 0
        return epoch is not None and epoch % amount == 0

    def write(self, step: int, config: dict[str, Any], arrays: Mapping[str, Array]) -> None:
        """Write a checkpoint; when it is on the disk, remove those that are too old."""
        write_model(self.folder / f"step-{step}.checkpoint", "checkpoint", config, arrays)
        self.tidy(step)
        self._last = time.monotonic()

    def tidy(self, step: int) -> None:
        """Remove all but the `keep` newest checkpoints up to this step, which is whole.

        Later ones are damaged: this training would have gone on from them.
        """
        files = _files(self.folder)
        older = [file for number, file in files if number <= step]
        for file in {file for _, file in files} - set(older[-self.keep :]):
            with contextlib.suppress(OSError):  # tried again after the next one
                file.unlink()

    def newest(self) -> tuple[Path, ModelFile] | None:
        """Give the newest checkpoint; where it is damaged, warn, and give the one before."""
        return newest(self.folder, warn=True)


def newest(folder: Path, *, warn: bool = False) -> tuple[Path, ModelFile] | None:
    """Give the newest checkpoint of a folder that can be read, None where there is none at all."""
    problems: list[Exception] = []
    for _, path in reversed(_files(folder)):
        try:
            file = read_model(path)
            if file.kind != "checkpoint":
                raise FormatError(f"{str(path)!r} holds a {file.kind}, expected a checkpoint")
        except (FormatError, OSError) as error:
            problems.append(error)
            continue
        if warn:
            for problem in problems:
                warnings.warn(f"{problem}; going on from {path.name}, the one before", stacklevel=2)
        return path, file
    if problems:
        raise CheckpointError(
            f"no checkpoint in {str(folder)!r} can be read: {problems[0]}. Give another folder, "
            "or delete this one to begin anew"
        )
    return None


def _files(folder: Path) -> list[tuple[int, Path]]:
    """Give the checkpoints of a folder with their steps, in order."""
    if not folder.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)
