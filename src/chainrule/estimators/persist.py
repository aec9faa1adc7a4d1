"""Saving and loading of estimators: parameters and fitted state are plain data, weights arrays.

>>> import tempfile
>>> from pathlib import Path
>>> from chainrule import MLPRegressor, load
>>> net = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0)
>>> net = net.fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
>>> path = Path(tempfile.mkdtemp()) / "net.chainrule"
>>> net.save(path)
>>> bool((load(path).predict([[0.5]]) == net.predict([[0.5]])).all())
True
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from chainrule.averaging import SWA
from chainrule.errors import FAULTS, ConfigError, FormatError
from chainrule.estimators.builders import BUILDERS
from chainrule.functional import ACTIVATIONS
from chainrule.history import History
from chainrule.losses import LOSSES, Loss
from chainrule.nn.module import Module, from_plain
from chainrule.optim import OPTIMIZERS
from chainrule.penalties import PENALTIES
from chainrule.plain import entry
from chainrule.save import ModelFile, write_model
from chainrule.schedules import SCHEDULES
from chainrule.stopping import EarlyStopping

_NOT_SAVED = ("callbacks", "statistics", "verbose")  # they belong to a training, not to a model


class Saved:
    """Gives an estimator `save`; a subclass lists the attributes that make it up.

    `saved_attributes` are plain or arrays, and may be missing; `module_` and `history_` are saved
    always.
    """

    saved_attributes: ClassVar[tuple[str, ...]] = ()

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator into one file; `chainrule.load(path)` reads it."""
        check_is_fitted(self)
        config, arrays = self.to_file()
        write_model(path, type(self).__name__, config, arrays)

    def to_file(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give the plain data and the arrays of a model file."""
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        if not isinstance(params.get("random_state"), int | np.integer | None):
            params["random_state"] = None  # a generator has moved on; it is no part of the model
        known = {
            name: encode(value, name) for name, value in params.items() if name not in _NOT_SAVED
        }
        fitted = {
            name: encode(getattr(self, name), name)
            for name in self.saved_attributes
            if hasattr(self, name)
        }
        module: Module = self.module_  # type: ignore[attr-defined]
        history: History = getattr(self, "history_", History())
        config = {
            "params": known,
            "fitted": fitted,
            "module": module.to_plain(),
            "history": encode(history.rows, "history_"),
            "reason": history.reason,
            "best_epoch": history.best_epoch,
        }
        return config, module.arrays()

    @classmethod
    def from_file(cls, file: ModelFile) -> Self:
        """Build the estimator that a model file holds."""
        params = entry(file.config, "params", dict)
        try:
            model = cls(**{name: decode(value) for name, value in params.items()})
        except TypeError as error:
            raise FormatError(f"its parameters do not fit {cls.__name__}: {error}") from error
        fitted = entry(file.config, "fitted", dict)
        unknown = sorted(set(fitted) - set(cls.saved_attributes))
        if unknown:
            raise FormatError(f"it has an attribute {unknown[0]} that {cls.__name__} does not have")
        for name, value in fitted.items():
            setattr(model, name, decode(value))
        module = from_plain(entry(file.config, "module", dict)).load_arrays(file.arrays).eval()
        history = History(decode(entry(file.config, "history", list)))
        history.reason = entry(file.config, "reason", str)
        history.best_epoch = file.config.get("best_epoch")
        model.module_, model.history_ = module, history  # type: ignore[attr-defined]
        try:
            model._after_load()
        except FAULTS as error:
            raise FormatError(f"its attributes do not fit {cls.__name__}: {error}") from error
        return model

    def _after_load(self) -> None:
        """Make again what is derived from the saved attributes."""


def encode(value: Any, name: str) -> Any:
    """Write a parameter or attribute as plain data, or say that it cannot be saved."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else {"float": str(value)}
    if isinstance(value, np.ndarray):
        return {"array": [encode(v, name) for v in value.tolist()], "dtype": _dtype_name(value)}
    if isinstance(value, list):
        return [encode(item, name) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item, name) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, name), encode(v, name)] for k, v in value.items()]}
    if isinstance(value, Module):
        return {"module": value.to_plain()}
    if isinstance(value, Loss) and LOSSES.get(value.name) is not None:
        return {"loss": value.name, "settings": encode(value.settings, name)}
    for key, registry in _RECORDS.items():
        if is_dataclass(value) and type(value) in registry.values():
            settings = {f.name: getattr(value, f.name) for f in fields(value) if f.init}
            return {key: type(value).__name__.lower(), "settings": encode(settings, name)}
    for known, function in ACTIVATIONS.items():
        if function is value:
            return known
    raise ConfigError(
        f"{name}={value!r} cannot be saved: a model file holds numbers, text, and things that "
        "chainrule knows by name. Use a registered loss, activation or layer"
    )


_RECORDS: dict[str, dict[str, Any]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "builder": BUILDERS,
    "penalty": PENALTIES,
    "average": {"swa": SWA},
    "early_stopping": {"earlystopping": EarlyStopping},
}


def decode(value: Any) -> Any:
    """Read what `encode` wrote; every name is looked up in a closed list."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    for key, read in _READERS.items():
        if key in value:
            try:
                return read(value)
            except FAULTS as error:
                raise FormatError(f"its {key} cannot be read: {error}") from error
    raise FormatError(f"it holds an unknown kind of data: {sorted(value)}")


def _record(registry: dict[str, Any], key: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        made: Any = registry[value[key]](**decode(value["settings"]))
        return made

    return read


_READERS: dict[str, Callable[[Any], Any]] = {
    "float": lambda v: float(v["float"]),
    "array": lambda v: _array(v),
    "tuple": lambda v: tuple(decode(v["tuple"])),
    "dict": lambda v: {decode(k): decode(item) for k, item in v["dict"]},
    "module": lambda v: from_plain(v["module"]),
    "loss": lambda v: LOSSES[v["loss"]].having(**decode(v["settings"])),
    **{key: _record(registry, key) for key, registry in _RECORDS.items()},
}


def _dtype_name(array: Any) -> str:
    if array.dtype.kind not in "OUbiufT":
        raise ConfigError(f"an array of {array.dtype} cannot be saved")
    return "object" if array.dtype.kind in "OT" else str(array.dtype.str)


def _array(value: Any) -> Any:
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in "OUbiuf":
        raise FormatError(f"it holds an array of {dtype}")
    items = decode(entry(value, "array", list))
    if dtype.kind != "O":
        return np.array(items, dtype=dtype)
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
