"""Functions that build a module for the numbers of inputs and outputs, as plain data.

>>> HiddenLayers((32, 16), "tanh", dropout=0.1)(4, 3).count_parameters()
739
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.nn.layers import mlp
from chainrule.nn.module import Module


@dataclass(frozen=True)
class HiddenLayers:
    """Builds a multi-layer perceptron: widths of the hidden layers, activation, dropout.

    Given as `module` of `NetClassifier` or `NetRegressor` it is saved with the model, which a
    function is not, and `chainrule.search` may search its parts.
    """

    sizes: Sequence[int] = (64,)
    activation: str | Sequence[str] = "relu"
    dropout: float = 0.0

    def __call__(self, inputs: int, outputs: int) -> Module:
        """Build the module."""
        return mlp([inputs, *self.sizes, outputs], self.activation, dropout=self.dropout)


BUILDERS: dict[str, Any] = {"hiddenlayers": HiddenLayers}
"""Every builder by name, in lower case."""
