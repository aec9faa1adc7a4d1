"""The numbers of parameters as one vector, as searches without a gradient want them.

>>> from chainrule import nn
>>> model = nn.mlp([2, 3, 1], seed=0)
>>> vector = parameters_to_vector(model.parameters())
>>> vector_to_parameters(0 * vector, model.parameters())
>>> model.predict(np.ones((1, 2), np.float32))
array([[0.]], dtype=float32)
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor, no_grad


def parameters_to_vector(parameters: Iterable[Tensor]) -> Array:
    """Put the numbers of parameters side by side into one vector.

    >>> from chainrule import nn
    >>> parameters_to_vector(nn.mlp([2, 3, 1], seed=0).parameters()).shape
    (13,)
    """
    return np.concatenate([np.ravel(p.value) for p in parameters])


def vector_to_parameters(vector: Any, parameters: Iterable[Tensor]) -> None:
    """Give parameters the numbers of a vector, in the order of `parameters_to_vector`."""
    parameters, vector = list(parameters), np.asarray(vector)
    count = sum(p.size for p in parameters)
    if vector.shape != (count,):
        raise ShapeError(f"the vector has shape {vector.shape}, the parameters need ({count},)")
    start = 0
    with no_grad():
        for p in parameters:
            p.assign(vector[start : start + p.size].reshape(p.shape))
            start += p.size
