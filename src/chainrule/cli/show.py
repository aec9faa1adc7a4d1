"""`chainrule show`: what is in a model file."""

from pathlib import Path

import numpy as np

from chainrule.cli import words
from chainrule.cli.account import Account, number
from chainrule.cli.model import MOST_CLASSES, model_file
from chainrule.cli.tables import counted
from chainrule.loading import load
from chainrule.save import read_model


def show(model: Path) -> None:
    """Print what is in a model file."""
    account, path = Account(), model_file(model)
    file, loaded = read_model(path), load(path)
    account.line(f"{path}: {file.kind}", "bold")
    if hasattr(loaded, "classes_"):
        names = [str(name) for name in loaded.classes_[:MOST_CLASSES].tolist()]
        more = f" and {len(loaded.classes_) - MOST_CLASSES} more"
        listed = ", ".join(names) + more * (len(loaded.classes_) > MOST_CLASSES)
        account.line(f"{counted(len(loaded.classes_), 'class')}: {listed}")
    if hasattr(loaded, "encoder_"):
        account.gap()
        account.choices([(c.name, c.kind, c.how) for c in loaded.encoder_.describe()])
    weights = words.weights_of(getattr(loaded, "module_", loaded))
    account.table(("weights", "shape", "count"), weights)
    history = getattr(loaded, "history_", None)
    if history:
        best = f", best epoch {history.best_epoch}" if history.best_epoch else ""
        account.line(
            f"trained for {counted(len(history), 'epoch')}, ended by: {history.reason}{best}"
        )
        for name in ("loss", "validation_loss"):
            if name in history.columns():
                seen = [value for value in history[name] if np.isfinite(value)]
                account.line(f"{name}: {number(seen[0])} at first, {number(seen[-1])} at last")
    written = ", ".join(f"{name} {v}" for name, v in file.versions.items())
    account.gap()
    account.line(f"written with {written}")
