"""The script that predicts as a module does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ConfigError
from chainrule.graph import Tensor
from chainrule.nn.layers import Linear, Sequential
from chainrule.nn.module import Module
from chainrule.scripts.script import (
    READ,
    Script,
    input_names,
    keys_of,
    kind_of,
    labels_of,
    put_together,
    shapes_of,
)
from chainrule.transforms.python import rebuild
from chainrule.transforms.run import Spec, trace


def write_prediction(model: Module, like: Sequence[Any], inline: bool | None) -> Script:
    """Write `predict` of a module for inputs like these."""
    specs = [spec_of(x) for x in like] or own_specs(model)
    model = model.evaluating()
    graph = trace(model, *specs)
    names = input_names(model, len(specs))
    parts = rebuild(graph, "predict", names, keys_of(model), labels_of(model))
    main = f"""{READ}


if __name__ == "__main__":
    shapes = {shapes_of([spec.shape for spec in specs])}
    if len(sys.argv) == 1 + len(shapes):
        given = [read(path, shape) for path, shape in zip(sys.argv[1:], shapes)]
    else:
        print("an example; give a file of rows for each input", file=sys.stderr)
        given = [np.zeros([max(n, 1) for n in shape]) for shape in shapes]
    for row in predict(*given):
        print(*np.ravel(row), sep=",")
"""
    doc = f"Predict as the {kind_of(model)} that it was made of, with NumPy alone."
    return put_together(doc, parts, main, inline)


def spec_of(like: Any) -> Spec:
    """Give a spec for rows like these.

    >>> spec_of(np.zeros((5, 2)))
    Spec(shape=('rows', 2), dtype=dtype('float64'))
    """
    if isinstance(like, Spec):
        return like
    array = like if isinstance(like, Tensor) else np.asarray(like)
    if not array.shape:
        raise ConfigError(f"an input like {like!r} has no rows: give an array of rows or a Spec")
    return Spec(("rows", *array.shape[1:]), array.dtype)


def own_specs(model: Module) -> list[Spec]:
    """Give what a model takes, if it starts with a `Linear` layer or has a method `specs`.

    >>> from chainrule import nn
    >>> own_specs(nn.mlp([3, 4, 1]))
    [Spec(shape=('rows', 3), dtype=dtype('float32'))]
    """
    if hasattr(model, "specs"):
        told: list[Spec] = model.specs()
        return told
    first: Any = model
    while isinstance(first, Sequential) and len(first):
        first = first[0]
    if not isinstance(first, Linear):
        raise ConfigError(
            f"what does {kind_of(model)} take? Say it with an array of rows, or "
            'chainrule.Spec(("rows", 28, 28))'
        )
    return [Spec(("rows", first.in_features), first.weight.dtype)]
