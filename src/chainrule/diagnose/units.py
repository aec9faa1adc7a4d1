"""Dead units: those whose activation has slope 0 for every row, so that no gradient passes.

>>> from chainrule import nn
>>> net = nn.Sequential(nn.Linear(2, 4, seed=0), nn.Activation("relu"), nn.Linear(4, 1, seed=1))
>>> _ = net.load_state_dict(net.state_dict() | {"0.bias": np.array([-10.0, 0.0, -10.0, 0.0])})
>>> for layer in dead_units(net, np.random.default_rng(0).normal(size=(100, 2))):
...     print(layer.name, layer.units, layer.dead)
1 4 [0 2]
"""

from typing import Any, NamedTuple

import numpy as np

from chainrule.graph import Array, Tensor, constant, tracing
from chainrule.nn.module import Module
from chainrule.slopes import calls_in, slopes_of
from chainrule.transforms.explain.flow import silent_units
from chainrule.tree import flatten


class LayerUnits(NamedTuple):
    """An activation of a model, how many units it has, and the numbers of those that are dead."""

    name: str
    kind: str
    units: int
    dead: Array

    @property
    def share(self) -> float:
        """Share of dead units."""
        return len(self.dead) / self.units if self.units else 0.0


def dead_units(model: Module, *inputs: Any) -> list[LayerUnits]:
    """Find units that are dead for all of these rows, in every activation of a model.

    A unit is dead where the slope of its activation is 0 for each row, and for each place of an
    image: no gradient gets to the weights before it. Half of the entries of a ReLU are 0 in a
    healthy net; a dead unit is 0 for all rows. The model is looked at in `eval` mode and not
    changed. Units are counted along axis 1 of images (rows, channels, height, width), else along
    the last axis.
    """
    evaluated = model.evaluating()
    with tracing():
        output = evaluated(*(constant(np.asarray(x)) for x in inputs))
    found = []
    for call in calls_in([x for x in flatten(output) if isinstance(x, Tensor)], evaluated):
        slopes = slopes_of(call)
        if slopes is not None:
            dead, count = silent_units(np.asarray(slopes))
            kind = f"{type(call.owner).__name__}({call.owner.extra_repr()})"
            found.append(LayerUnits(call.name, kind, count, dead))
    return found
