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

from chainrule.graph import Array, Scope, Tensor, ancestors, constant, tracing
from chainrule.nn.layers import Activation, PReLU
from chainrule.nn.module import Module, Parameter
from chainrule.transforms.explain.flow import silent_units
from chainrule.transforms.reverse import reverse
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
        nodes = ancestors([x for x in flatten(output) if isinstance(x, Tensor)])
    calls: dict[Scope, list[Tensor]] = {}
    for node in nodes:
        if node.scope is not None and isinstance(node.scope.owner, Activation | PReLU):
            calls.setdefault(node.scope, []).append(node)
    names = {id(module): name for name, module in evaluated.named_modules()}
    found = []
    for known, inside in calls.items():
        slopes = _slopes(inside)
        if slopes is None:
            continue
        dead, count = silent_units(slopes)
        owner: Any = known.owner
        kind = f"{type(owner).__name__}({owner.extra_repr()})"
        found.append(LayerUnits(names[id(owner)], kind, count, dead))
    return found


def _slopes(inside: list[Tensor]) -> Array | None:
    """Give the slope of the last node of a call by what comes from outside, if there is one."""
    own = {x.birth for x in inside}
    last = inside[-1]
    before = [x for node in inside for x in node.inputs if x.birth not in own]
    outside = [x for x in before if x.shape == last.shape and not isinstance(x, Parameter)]
    if not outside or last.dtype.kind != "f":
        return None
    (slope,) = reverse([last], [np.ones(last.shape, last.dtype)], outside[:1])
    return None if slope is None else np.asarray(slope)
