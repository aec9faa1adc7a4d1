"""`TabularNet`: several small nets for encoded tables, trained as one and averaged.

>>> net = TabularNet(3, [5], outputs=2, members=4, hidden=(8,)).initialize(0)
>>> net(np.zeros((10, 3), np.float32), np.zeros((10, 1), np.int32)).shape
(10, 4, 2)

The members differ in their starting weights only (and in the rows that they may see). They sit
side by side in one array, so a step costs little more than that of one net of that size.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from chainrule import functional, ops
from chainrule.graph import Value, no_grad, scope
from chainrule.nn.checks import check_memory
from chainrule.nn.init import generator
from chainrule.nn.layers import Embedding
from chainrule.nn.module import Module, Parameter, register


@register
class StackedLinear(Module):
    """As many linear layers as there are members: (members, rows, in) to (members, rows, out)."""

    symbol: ClassVar[str] = "z"

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        check_memory(members * out_features * in_features)
        self.weight = Parameter(np.zeros((members, out_features, in_features)))
        self.bias = Parameter(np.zeros((members, 1, out_features)))

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw weights of variance 1 / in, or 2 / in before a ReLU; biases are 0."""
        gain = 2.0 if activation == "relu" else 1.0
        scale = np.sqrt(gain / self.weight.shape[2])
        with no_grad():
            self.weight.assign(generator(seed).normal(0, scale, self.weight.shape))
            self.bias.assign(np.zeros(self.bias.shape))
        return self

    def forward(self, x: Value) -> Value:
        """Multiply each member's rows by its own matrix; rows without members are for all."""
        return ops.add(ops.matmul(x, self.weight, transpose_b=True), self.bias)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        members, outputs, inputs = self.weight.shape
        return {"members": members, "in_features": inputs, "out_features": outputs}

    def extra_repr(self) -> str:
        """Give the sizes."""
        return ", ".join(f"{key}={value}" for key, value in self.config().items())


@register
class TabularNet(Module):
    """Numbers, scaled by learned factors, and embedded categories through hidden layers.

    `cardinalities` counts the codes of each embedded column. The output has shape
    (rows, members, outputs).
    """

    def __init__(
        self,
        numbers: int,
        cardinalities: Sequence[int],
        outputs: int,
        members: int = 8,
        hidden: Sequence[int] = (128, 128),
        activation: str = "selu",
    ) -> None:
        self.settings = {
            "numbers": numbers,
            "cardinalities": list(cardinalities),
            "outputs": outputs,
            "members": members,
            "hidden": list(hidden),
            "activation": activation,
        }
        self.members = members
        self.activation = activation
        self.function = functional.get_activation(activation)
        widths = [embedding_width(n) for n in cardinalities]
        check_memory(numbers)
        self.scale = Parameter(np.ones(numbers)) if numbers else None
        self.embeddings = [
            Embedding(n, members * width, std=width**-0.5)
            for n, width in zip(cardinalities, widths, strict=True)
        ]
        sizes = [numbers + sum(widths), *hidden, outputs]
        self.layers = [
            StackedLinear(members, sizes[i], sizes[i + 1]) for i in range(len(sizes) - 1)
        ]

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw all weights; the learned factors start at 1."""
        rng = generator(seed)
        if self.scale is not None:
            with no_grad():
                self.scale.assign(np.ones(self.scale.shape))
        for embedding in self.embeddings:
            embedding.initialize(rng)
        for layer in self.layers:
            layer.initialize(rng, "identity" if layer is self.layers[-1] else self.activation)
        return self

    def forward(self, numbers: Value, categories: Value) -> Value:
        """Give the output of every member for every row."""
        with scope("inputs"):
            x = self._inputs(numbers, categories)
        for layer in self.layers[:-1]:
            x = layer(x)
            with scope(self.activation):
                x = self.function(x)
        return ops.transpose(self.layers[-1](x), (1, 0, 2))

    def _inputs(self, numbers: Value, categories: Value) -> Value:
        """Rows for all members, or (members, rows, inputs) as soon as there are embeddings."""
        x = numbers if self.scale is None else ops.mul(numbers, self.scale)
        if not self.embeddings:
            return x
        rows = numbers.shape[0]
        parts = [ops.broadcast_to(x, (self.members, *x.shape))] if self.scale is not None else []
        for i, embedding in enumerate(self.embeddings):
            vectors = embedding(categories[:, i])
            split = ops.reshape(vectors, (rows, self.members, -1))
            parts.append(ops.transpose(split, (1, 0, 2)))
        return ops.concat(parts, axis=2)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return dict(self.settings)

    def extra_repr(self) -> str:
        """Give the sizes."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())


def embedding_width(cardinality: int) -> int:
    """Give the length of the vectors of a column with this many codes.

    >>> [embedding_width(n) for n in (10, 100, 10_000)]
    [4, 8, 24]
    """
    return min(4 * int(np.ceil((cardinality / 10) ** 0.25)), 24)
