"""Neurons as circles: units, bias nodes, and a line for each weight.

>>> from chainrule import nn
>>> drawing = draw_neurons(nn.mlp([2, 2, 1], activation="sigmoid"))
>>> kinds = [node.kind for node in drawing.diagram.nodes]
>>> kinds.count("unit"), kinds.count("bias"), len(drawing.diagram.edges)
(5, 2, 9)
>>> draw_neurons(nn.McCullochPitts([1, 1], theta=1.5)).text().splitlines()[-1]
'  2 unit y fires above 1.5 <- 0: 1, 1: 1'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.drawing.circles import picture
from chainrule.errors import ConfigError, NotFittedError, ShapeError
from chainrule.graph import Array, value_of
from chainrule.nn import (
    Activation,
    Dropout,
    Flatten,
    Linear,
    McCullochPitts,
    Module,
    Perceptron,
    Sequential,
    TwoLayer,
)
from chainrule.transforms.draw import Diagram, Drawing, Edge, Frame, Node
from chainrule.transforms.draw.marks import number

NEURONS = (McCullochPitts, Perceptron, TwoLayer)

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_WITHOUT_UNITS = (Dropout, Flatten)


@dataclass
class Layer:
    """Weights (units, inputs) and bias weights of units, and what the units do with their sum."""

    weights: Array
    bias: Array | None = None
    does: str = ""
    bias_input: float = 1.0
    inhibited: Array | None = None
    values: Array | None = None
    """What the units give for one row of inputs."""


def draw_neurons(
    model: Any, *inputs: Any, limit: int = 8, values: bool = False, title: str | None = None
) -> Drawing:
    """Draw the units of a stack of dense layers, or of a threshold neuron or perceptron."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 2:
        raise ConfigError(f"limit={limit!r}: expected a whole number of at least 2")
    layers = _layers(model)
    given = _first_values(model, layers, inputs) if values else None
    diagram = _diagram(title or type(model).__name__, layers, given, limit)
    return Drawing(diagram, picture)


def _layers(model: Any) -> list[Layer]:
    if isinstance(model, McCullochPitts):
        function = model.activation
        name = "fires" if function is None else getattr(function, "name", "") or function.__name__
        sign = " above" if function is None else ", threshold"
        return [
            Layer(model.weights[None], does=f"{name}{sign} {number(model.theta)}",
                  inhibited=model.inhibitory)
        ]  # fmt: skip
    if isinstance(model, Perceptron):
        if not hasattr(model, "weights_"):
            raise NotFittedError("this Perceptron has not learned yet: call fit(X, y) before draw")
        weights = model.weights_.T
        return [Layer(weights[:, :-1], weights[:, -1], "fires above 0", model.bias_input)]
    if isinstance(model, TwoLayer):
        model = model.to_module()
    return _dense(model)


def _dense(model: Any) -> list[Layer]:
    """Take dense layers and the activations after them out of a stack."""
    layers: list[Layer] = []
    for part in _parts(model):
        if isinstance(part, Linear):
            bias = None if part.bias is None else np.asarray(part.bias.value)
            layers.append(Layer(np.asarray(part.weight.value), bias))
        elif isinstance(part, Activation) and layers and not layers[-1].does:
            layers[-1].does = part.name
        elif not isinstance(part, _WITHOUT_UNITS):
            raise ConfigError(
                f'kind="neurons" draws stacks of Linear and Activation, and {type(part).__name__} '
                'is none of them: kind="graph" draws every net'
            )
    if not layers:
        raise ConfigError(f'kind="neurons": there is no Linear layer in {type(model).__name__}')
    return layers


def _parts(model: Any) -> list[Any]:
    if isinstance(model, Sequential):
        return [part for module in model for part in _parts(module)]
    return [model]


def _first_values(model: Any, layers: list[Layer], inputs: tuple[Any, ...]) -> Array:
    """Run the net on one row, and keep what each layer gives."""
    count = layers[0].weights.shape[1]
    row = np.asarray(value_of(inputs[0]), float).ravel() if len(inputs) == 1 else np.zeros(0)
    if row.shape != (count,):
        raise ShapeError(
            f'draw(net, x, kind="neurons", values=True) needs one row of {count} inputs; got '
            f"{[np.shape(value_of(x)) for x in inputs]}"
        )
    if isinstance(model, McCullochPitts | Perceptron):
        predict = model if isinstance(model, McCullochPitts) else model.predict
        layers[0].values = np.ravel(predict(row))
        return row
    x, at = row[None], -1
    for part in _parts(model.to_module() if isinstance(model, TwoLayer) else model):
        at += isinstance(part, Linear)
        if isinstance(part, Module) and not isinstance(part, _WITHOUT_UNITS):
            x = part.predict(x)
            layers[at].values = np.ravel(x)
    return row


def _shown(count: int, limit: int) -> list[int | None]:
    """List the units that are drawn, None where some are left out.

    >>> _shown(3, 4), _shown(50, 4)
    ([0, 1, 2], [0, 1, 2, None, 49])
    """
    if count <= limit:
        return list(range(count))
    return [*range(limit - 1), None, count - 1]


def _diagram(title: str, layers: list[Layer], given: Array | None, limit: int) -> Diagram:
    """Put units, bias nodes and weights into a diagram with a frame for each column."""
    nodes: list[Node] = []
    edges: list[Edge] = []
    widths = [layers[0].weights.shape[1], *(len(layer.weights) for layer in layers)]
    names = ["input", *(f"hidden {i}" for i in range(1, len(layers))), "output"]
    if len(layers) == 2:
        names[1] = "hidden"
    frames = [
        Frame(name, f"{width} unit{'s' * (width != 1)}")
        for name, width in zip(names, widths, strict=True)
    ]
    for depth, layer in enumerate(layers, 1):
        count = layer.weights.size + (0 if layer.bias is None else layer.bias.size)
        words = ", ".join(filter(None, [frames[depth].detail, layer.does]))
        frames[depth] = Frame(names[depth], words, parameters=count)
    before = _column(nodes, 0, widths[0], given, limit, "x", "")
    for depth, layer in enumerate(layers, 1):
        bias = None
        if layer.bias is not None:
            bias = len(nodes)
            nodes.append(Node("bias", number(layer.bias_input), frame=depth - 1))
        letter = "y" if depth == len(layers) else "h"
        each = layer.weights.shape[1] + (layer.bias is not None)
        units = _column(nodes, depth, widths[depth], layer.values, limit, letter, layer.does, each)
        for target, j in units.items():
            if j is None:
                continue
            for source, i in before.items():
                if i is not None:
                    stops = layer.inhibited is not None and layer.inhibited[i]
                    weight = "inhibits" if stops else number(float(layer.weights[j, i]))
                    edges.append(Edge(source, target, weight))
            if bias is not None and layer.bias is not None:
                edges.append(Edge(bias, target, number(float(layer.bias[j]))))
        before = units
    return Diagram(title, nodes, edges, frames, given is not None)


def _column(
    nodes: list[Node],
    depth: int,
    count: int,
    values: Array | None,
    limit: int,
    letter: str,
    does: str,
    each: int = 0,
) -> dict[int, int | None]:
    """Add the units of a layer, of `each` so many weights; give their places and numbers."""
    placed: dict[int, int | None] = {}
    for unit in _shown(count, limit):
        placed[len(nodes)] = unit
        if unit is None:
            left = count - limit
            nodes.append(Node("more", f"… {left:,} more", frame=depth, parameters=left * each))
            continue
        index = "" if count == 1 else str(unit + 1).translate(_SUBSCRIPT)
        numbers = () if values is None else (number(float(values[unit]), 3),)
        label = letter + index
        nodes.append(Node("unit", label, does, "", depth, parameters=each, numbers=numbers))
    return placed


__all__: Sequence[str] = ["NEURONS", "draw_neurons"]
