"""Arithmetic of shapes in an ONNX model: what is known without any numbers of the data.

A shape is an array of objects, whole numbers and named dimensions, so that a model serves every
number of rows also while it is traced.

>>> from chainrule.dims import Dim
>>> rows = np.array([Dim.of("rows"), 4], object)
>>> joined("Concat", [rows[:1], np.array([-1])], {"axis": 0}).tolist()
[rows, -1]
"""

from typing import Any

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph import Array, value_of

_OF_ALL = ("Add", "Concat", "Div", "Mod", "Mul", "Sub")
_OF_FIRST = ("Cast", "Gather", "Identity", "ReduceProd", "Reshape", "Slice", "Squeeze", "Unsqueeze")


def is_shape(x: Any) -> bool:
    """Whether this is a shape, and no number of the data."""
    return isinstance(x, np.ndarray) and x.dtype == object


def are_sizes(kind: str, inputs: list[Any]) -> bool:
    """Whether a node computes a shape of shapes."""
    if kind in _OF_ALL:
        return any(is_shape(x) for x in inputs)
    return kind in _OF_FIRST and is_shape(inputs[0])


def known(x: Any, what: str) -> Array:
    """Give whole numbers, or dimensions, that a node needs to know."""
    x = value_of(x)
    if x is None:
        raise GraphError(f"{what} depends on the data: it has to be known from shapes alone")
    return np.asarray(x, object)


def joined(kind: str, inputs: list[Any], attrs: dict[str, Any]) -> Array:
    """Compute a node of which an input is a shape."""
    given = [None if x is None else known(x, f"an input of {kind}") for x in inputs]
    return np.asarray(_computed(kind, given, attrs), object)


def _computed(kind: str, given: list[Any], attrs: dict[str, Any]) -> Any:
    x = given[0]
    if kind in ("Identity", "Cast"):
        return x
    if kind == "Concat":
        return np.concatenate([np.atleast_1d(part) for part in given])
    if kind == "ReduceProd":
        return np.prod(x)
    if kind in _OF_ALL:
        return _arithmetic(kind, x, given[1])
    if kind == "Slice":
        starts, ends = (int(np.ravel(part)[0]) for part in given[1:3])
        step = int(np.ravel(given[4])[0]) if len(given) > 4 else 1
        return x[starts:ends:step]
    if kind == "Gather":
        return np.take(x, np.asarray(given[1], int), axis=attrs.get("axis", 0))
    second = given[1] if len(given) > 1 and given[1] is not None else attrs.get("axes")
    axes = None if second is None else tuple(int(i) for i in np.ravel(second))
    if kind == "Reshape":
        return np.reshape(x, axes)
    return np.expand_dims(x, axes or ()) if kind == "Unsqueeze" else np.squeeze(x, axes)


def _arithmetic(kind: str, x: Any, y: Any) -> Any:
    try:
        if kind == "Mul":
            return x * y
        if kind in ("Div", "Mod"):
            return x // y if kind == "Div" else x % y
        return x + y if kind == "Add" else x - y
    except TypeError as error:
        raise GraphError(
            f"{kind} of {x} and {y}: sizes with names can only be multiplied"
        ) from error
