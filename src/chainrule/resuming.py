"""What a checkpoint holds: all that decides how a training goes on, and what it belongs to.

That is: weights and buffers (the counters of dropout among them), the state of the optimizer, the
averaged weights, the best and the last good ones, the seed of the order of the rows, the place in
the epoch with what its steps gave, the history and its statistics, the patience left, the factor of
the rate, and how the steps are run.

>>> described({"penalty": None, "rate": 0.1, "clip": abs})
"{'penalty': None, 'rate': 0.1, 'clip': a function abs}"
"""

import hashlib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data import Rows
from chainrule.errors import CheckpointError, FormatError
from chainrule.graph import Array
from chainrule.plain import entry, items
from chainrule.save import ModelFile, versions

if TYPE_CHECKING:
    from chainrule.training import Training

State = tuple[dict[str, Any], dict[str, Array]]


def state_of(training: "Training", ended: str = "") -> State:
    """Give the state of a training between two steps, as plain data and arrays.

    `ended` says why the training is over, if it is.
    """
    optimizer = training.updater.state_dict()
    groups = {
        "tensor": [x.value for x in training.tensors],
        "good": training.good,
        "best": training.best or [],
        "mean": training.average.mean or [],
    }
    arrays = {f"{name}.{i}": np.asarray(x) for name, xs in groups.items() for i, x in enumerate(xs)}
    arrays |= {f"optimizer.{name}": np.asarray(x) for name, x in optimizer["arrays"].items()}
    arrays["epoch"] = training.tally.state()
    history, seed = training.history, training.plan.seed
    config = {
        "run": fingerprint(training),
        "seed": training.seed,
        "plan_seed": str(seed) if isinstance(seed, int | np.integer) else None,
        "epoch": training.epochs_done,
        "step": optimizer["t"],
        "seconds": training.seconds,
        "ended": ended,
        "rate_factor": training.rate_factor,
        "history": [{k: _plain(v) for k, v in row.items()} for row in history.rows],
        "best_epoch": history.best_epoch,
        "obstacle": history.obstacle,
        "watch": training.watch and {k: _plain(v) for k, v in training.watch.state().items()},
        "runs": training.runs,
        "predicts": training.predicts,
    }
    if training.observer is not None and history.statistics is not None:
        seen = training.observer.state(history.statistics)
        config["statistics"], arrays["statistics"] = seen
    return config, arrays


def restore(training: "Training", path: Path, file: ModelFile) -> str:
    """Put a state back; give why the training is over, if it is."""
    config = file.config
    try:
        _check_same(training, path, entry(config, "run", dict))
        _check_versions(path, file.versions)
        ended = _restore(training, config, file.arrays)
    except FormatError as error:
        raise FormatError(f"{str(path)!r} is no checkpoint: {error}") from error
    if training.epochs_done > training.plan.epochs:
        raise CheckpointError(
            f"{str(path)!r} was written after {training.epochs_done} epochs, which is more than "
            f"epochs={training.plan.epochs}: give another folder"
        )
    if ended == "epochs" and training.epochs_done < training.plan.epochs:
        return ""
    return ended


def _restore(training: "Training", config: dict[str, Any], arrays: dict[str, Array]) -> str:
    tensors = [x.value for x in training.tensors]
    means = [p.value for p in training.parameters]
    first = "runs" not in config  # the first layout, written after whole epochs
    training._restore(_group(arrays, "tensor", tensors))
    training.kept = _group(arrays, "tensor" if first else "good", tensors)
    training.best = _group(arrays, "best", tensors, empty=True) or None
    training.average.mean = _group(arrays, "mean", means, empty=True) or None
    state = {k[10:]: v for k, v in arrays.items() if k.startswith("optimizer.")}
    training.updater.load_state_dict({"t": _count(config, "step"), "arrays": state})
    training.seed = _count(config, "seed")
    training.epochs_done = _count(config, "epoch")
    training.rate_factor = entry(config, "rate_factor", float)
    training.history.rows = [
        {k: _number(v) for k, v in row.items()} for row in items(config, "history", dict)
    ]
    training.history.best_epoch = _epoch_or_none(config)
    if training.watch is not None:
        watch = entry(config, "watch", dict)
        waited, best = _count(watch, "waited"), _number(watch.get("best"))
        training.watch.restore(
            {"best": best, "best_epoch": _epoch_or_none(watch), "waited": waited}
        )
    if first:
        return ""
    training.history.obstacle = entry(config, "obstacle", str)
    training.seconds = entry(config, "seconds", float)
    training.runs = _one_of(entry(config, "runs", str), ("numba", "numpy", "jax", "as written"))
    training.predicts = _one_of(entry(config, "predicts", str), ("", "numba", "jax", "as written"))
    training.tally.restore(_epoch(training, arrays))
    if training.observer is not None and "statistics" in config:
        listed = items(config, "statistics", list)
        training.history.statistics = training.observer.restore(listed, arrays)
    return entry(config, "ended", str)


def _group(
    arrays: dict[str, Array], name: str, like: Sequence[Array], empty: bool = False
) -> list[Array]:
    """Give the arrays of a group, which have the shapes and dtypes of those of the training."""
    found = {key: x for key, x in arrays.items() if key.startswith(f"{name}.")}
    if empty and not found:
        return []
    expected = {f"{name}.{i}": (x.shape, x.dtype) for i, x in enumerate(like)}
    if {key: (x.shape, x.dtype) for key, x in found.items()} != expected:
        raise FormatError(f"its arrays {name} do not fit the model")
    return [found[key] for key in expected]


def _epoch(training: "Training", arrays: dict[str, Array]) -> Array:
    found, columns = arrays.get("epoch"), training.tally.columns
    fits = found is not None and found.ndim == 2 and found.dtype == columns.dtype
    if found is None or not fits or len(found) != len(columns) or found.size > columns.size:
        raise FormatError("its array epoch does not fit the training")
    return found


def _one_of(word: str, known: tuple[str, ...]) -> str:
    if word not in known:
        raise FormatError(f"it has {word!r} where one of {known} is expected")
    return word


def _plain(value: Any) -> Any:
    """Write a number, those that JSON does not have as words."""
    if value is None or isinstance(value, bool | int | np.integer):
        return value if value is None else int(value)
    return float(value) if np.isfinite(value) else str(float(value))


def _count(state: dict[str, Any], key: str) -> int:
    found = entry(state, key, int)
    if found < 0:
        raise FormatError(f"it has {key} {found}, which is below 0")
    return found


def _epoch_or_none(state: dict[str, Any]) -> int | None:
    return None if state.get("best_epoch") is None else _count(state, "best_epoch")


def _number(value: Any) -> float:
    if value in ("inf", "-inf", "nan"):
        return float(value)
    if type(value) not in (int, float):
        raise FormatError(f"it has {value!r} where a number is expected")
    return value  # type: ignore[no-any-return]


# ---------------------------------------------------------------- what it belongs to


def fingerprint(training: "Training") -> dict[str, str]:
    """Say what a training must have in common with the one that wrote a checkpoint."""
    plan = training.plan
    shown = {
        "rows": f"{len(training.rows)}, {digest(training.rows)}",
        "validation": digest(training.validation) if training.validation is not None else "none",
        "loss": described(training.loss),
        "optimizer": described(plan.optimizer),
        "batch size": str(int(training.batch_size)),
    }
    if plan.seed is not None:
        shown["seed"] = described(plan.seed)
    names = ("shuffle", "schedule_by", "clip_norm", "clip_value", "accumulate", "penalty",
             "early_stopping", "plateau", "score", "validate_every")  # fmt: skip
    shown |= {name: described(getattr(plan, name)) for name in names}
    shown["schedule"] = "none" if plan.schedule is None else described(training.schedule)
    mean = plan.average
    start = f" from epoch {training.average.first} on" if training.average.swa else ""
    every = f", every {training.average.swa.every}" if training.average.swa else ""
    shown["average"] = f"SWA{start}{every}" if start else described(mean)
    places = {p.birth: i for i, p in enumerate(training.parameters)}
    shown["groups"] = described(
        [
            ([places[p.birth] for p in members if p.birth in places], change)
            for members, change in plan.groups or []
        ]
    )
    tensors = [*training.model.named_parameters(), *training.model.named_buffers()]
    for name, x in tensors:
        frozen = "" if x.requires_grad or type(x).__name__ == "Buffer" else ", frozen"
        shown[f"tensor {name}"] = f"{x.dtype} {x.shape}{frozen}"
    return shown


def described(value: Any) -> str:
    """Show a setting, equally in every process: without addresses."""
    if isinstance(value, dict):
        pairs = (f"{key!r}: {described(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(described, value)) + "]"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"a function {value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def digest(rows: Rows) -> str:
    """Give a checksum of all rows, the same for the same numbers in the same order.

    >>> rows = Rows((np.zeros((2, 1)),), np.arange(2))
    >>> digest(rows) == digest(Rows((np.zeros((2, 1)),), np.arange(2)[::-1]))
    False
    """
    found = hashlib.sha256()
    for x in (*rows.inputs, rows.target, rows.weight):
        sparse = getattr(x, "matrix", None)
        for part in (x,) if sparse is None else (sparse.data, sparse.indices, sparse.indptr):
            if part is not None:
                found.update(f"{part.dtype.str} {part.shape}".encode())
                found.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:16]


def _check_same(training: "Training", path: Path, known: dict[str, Any]) -> None:
    own = fingerprint(training)
    if "parameters" in known:  # the first layout said less
        own = {name: own[name] for name in ("batch size", "loss", "optimizer")}
        known = {name: str(known.get(name)) for name in own}
    for name in {**own, **known}:
        here, there = own.get(name, "none"), known.get(name, "none")
        if here == there or (name == "seed" and name not in own):
            continue
        if name in ("rows", "validation"):
            what = "its rows are others" if name == "rows" else "its validation rows are others"
        else:
            what = f"its {name} is {there}, here it is {here}"
        raise CheckpointError(
            f"{str(path)!r} belongs to another training: {what}. Give another folder, or delete "
            "this one to begin anew"
        )


def _check_versions(path: Path, known: dict[str, str]) -> None:
    here = {name: version for name, version in versions().items() if name != "python"}
    changed = [f"{n} {known.get(n)}, here {here[n]}" for n in here if known.get(n) != here[n]]
    if changed:
        warnings.warn(
            f"{path.name} was written by {'; '.join(changed)}: training goes on from it, and may "
            "not end with the same bits",
            stacklevel=2,
        )
