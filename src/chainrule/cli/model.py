"""Model files: where `chainrule fit` puts one, and notes on what is done with it."""

import sys
from pathlib import Path

from chainrule.errors import DataError

MODEL = "model.chainrule"
MOST_CLASSES = 20  # in a list


def model_file(path: Path) -> Path:
    """Find the model file in a folder that `chainrule fit` wrote."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return path
    if not (path / MODEL).is_file():
        raise DataError(f"{path}: this folder has no {MODEL}, as chainrule fit writes it")
    return path / MODEL


def note(text: str) -> None:
    """Print a line about what was done, beside the output."""
    print(f"note: {' '.join(text.split())}", file=sys.stderr)
