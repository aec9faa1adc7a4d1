"""A script and what belongs to it: imports, weights, functions, and what it does when it is run."""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chainrule.atomic import atomic_write
from chainrule.dims import Shape
from chainrule.errors import ConfigError
from chainrule.graph import Array, Scope
from chainrule.nn.module import Module
from chainrule.transforms.python import Parts, text

INLINE = 200
"""Numbers up to which weights are written into the script, unless it is said."""

_SMALL = 32
"""Numbers up to which a constant that is no weight is always written into the script."""

_LOAD = """with np.load(Path(__file__).with_suffix(".npz")) as file:
    weights = dict(file)"""

READ = '''def read(path, shape):
    """Read rows of a .npy file, or of a CSV file of numbers without a header."""
    rows = np.load(path) if path.endswith(".npy") else np.loadtxt(path, delimiter=",", ndmin=2)
    return rows if rows.ndim == len(shape) else np.reshape(rows, shape)'''


@dataclass(frozen=True)
class Script:
    """A script: its source, and the arrays that it reads from a .npz file beside it."""

    source: str
    arrays: dict[str, Array]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the script, and its arrays into a file of the same name with .npz."""
        if Path(path).suffix != ".py":
            raise ConfigError(f"{os.fspath(path)!r}: expected the name of a script, ending in .py")
        if self.arrays:
            with atomic_write(Path(path).with_suffix(".npz")) as file:
                np.savez(file, **self.arrays)  # type: ignore[arg-type]
        with atomic_write(path) as file:
            file.write(self.source.encode())

    def part(self, name: str) -> str:
        """Give the source of one function."""
        parts = [p for p in self.source.split("\n\n\n") if f"\ndef {name}(" in f"\n{p}"]
        if not parts:
            raise ConfigError(f"the script has no function {name}")
        return parts[0].rstrip("\n")

    def __str__(self) -> str:
        return self.source


def put_together(doc: str, parts: Parts, main: str, inline: bool | None) -> Script:
    """Give the script; `parts.starts` are statements after the weights."""
    arrays = {name: (key or name, x, key is None) for name, (key, x) in parts.arrays.items()}
    if inline is None:
        inline = sum(x.size for _, x, _ in arrays.values()) <= INLINE
    beside = {
        key: x
        for key, x, constant in arrays.values()
        if not inline and not (constant and x.size <= _SMALL)
    }
    weights = [
        f'{name} = weights["{key}"]  # {x.dtype} {x.shape}'
        if key in beside
        else text.array_statement(name, x)
        for name, (key, x, _) in arrays.items()
    ]
    if beside:
        weights.insert(0, _LOAD)
    imports = sorted({*parts.modules, "import sys"})
    imports += ["from pathlib import Path"] * bool(beside)
    head = f'"""{doc}"""\n\n' + "\n".join(imports) + "\n\nimport numpy as np"
    data = "\n".join([*weights, *parts.starts])
    blocks = ["\n\n".join(filter(None, [head, data])), parts.functions, main]
    return Script("\n\n\n".join(block for block in blocks if block), beside)


def input_names(model: Module, count: int) -> list[str]:
    """Give the names that `forward` has for its first inputs."""
    names = list(inspect.signature(model.forward).parameters)[:count]
    return names if len(names) == count else [f"x{i}" for i in range(count)]


def keys_of(model: Module) -> dict[int, str]:
    """Give the names of parameters and buffers by their birth, as in `state_dict`."""
    return {x.birth: name for name, x in [*model.named_buffers(), *model.named_parameters()]}


def kind_of(model: Module) -> str:
    """Give the name of its class."""
    return type(model).__name__


def labels_of(model: Module) -> Callable[[Scope | None], str]:
    """Give a function that says what a scope is called: the innermost layer, with its name."""
    known = {}
    for name, module in model.named_modules():
        alone = next(module.named_children(), None) is None
        kind = f"{kind_of(module)}({module.extra_repr()})" if alone else kind_of(module)
        known[id(module)] = " ".join((f"{name}: {kind}" if name else kind).split())

    def label(scope: Scope | None) -> str:
        outermost = ""
        while scope is not None:
            if scope.through is not None:
                return f"gradient of {label(scope.through)}"
            if id(scope.owner) in known:
                return known[id(scope.owner)]
            outermost, scope = scope.name, scope.parent
        return outermost

    return label


def shapes_of(shapes: Sequence[Shape]) -> str:
    """Give the source of a list of shapes, with -1 for a size that has a name.

    >>> shapes_of([("rows", 2), ("rows",)])
    '[(-1, 2), (-1,)]'
    """
    known = [tuple(int(n) if isinstance(n, int) else -1 for n in shape) for shape in shapes]
    return f"[{', '.join(map(str, known))}]"
