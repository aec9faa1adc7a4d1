"""Exceptions of chainrule, all below one name, and the import of optional packages.

>>> from chainrule.errors import ChainruleError, ShapeError
>>> issubclass(ShapeError, ChainruleError) and issubclass(ChainruleError, ValueError)
True
"""

import importlib
import importlib.util
import sys
from types import ModuleType


class ChainruleError(ValueError):
    """Base of every error that chainrule raises on purpose."""


class ShapeError(ChainruleError):
    """Arrays whose shapes do not fit together."""


class DtypeError(ChainruleError):
    """An array of a type that the operation cannot take."""


class GraphError(ChainruleError):
    """A graph used in a way that has no meaning: freed, altered, or not connected."""


class DataError(ChainruleError):
    """A table, label or weight that cannot be trained on."""


class ConfigError(ChainruleError):
    """A parameter outside its range, or an unknown name."""


class NotFittedError(ChainruleError, AttributeError):
    """A model used before it was fitted."""


class DivergedError(ChainruleError):
    """Training met a loss, gradient or weight that is not finite."""


class FormatError(ChainruleError):
    """A file that is truncated, altered, foreign, or of a newer format."""


class CheckpointError(ChainruleError):
    """A checkpoint that does not belong to this run."""


FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What Python and NumPy raise where settings of a file make no sense."""


def need(package: str, extra: str, why: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    >>> need("math", extra="fast", why="to add").pi > 3
    True
    >>> need("no_such_package", extra="data", why="to read Parquet files")
    Traceback (most recent call last):
    ...
    ImportError: no_such_package is needed to read Parquet files: pip install "chainrule[data]"
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(_SAID.format(package, why, extra)) from error


def expect(package: str, extra: str, why: str) -> None:
    """Raise as `need` does unless an optional package is there; it is not imported."""
    if not has(package):
        raise ImportError(_SAID.format(package, why, extra))


def has(package: str) -> bool:
    """Whether an optional package is there; it is not imported.

    >>> has("math"), has("no_such_package")
    (True, False)
    """
    loaded = sys.modules.get(package) is not None
    return loaded or importlib.util.find_spec(package) is not None


_SAID = '{} is needed {}: pip install "chainrule[{}]"'
