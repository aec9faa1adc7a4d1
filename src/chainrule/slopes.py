"""The slopes of activations: where a graph calls them, and their derivative by what goes in.

>>> from chainrule import nn
>>> net = nn.Sequential(nn.Linear(1, 2, seed=0), nn.Activation("relu"))
>>> _ = net.load_state_dict({"0.weight": np.ones((2, 1)), "0.bias": np.array([0.0, -9.0])})
>>> (call,) = calls_in([net(np.array([[1.0], [2.0]]))], net)
>>> call.name, slopes_of(call).tolist()
('1', [[1.0, 0.0], [1.0, 0.0]])
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import ops
from chainrule.dims import unit_axis
from chainrule.graph import Scope, Tensor, Value, ancestors, constant, tracing
from chainrule.nn.layers import Activation, PReLU
from chainrule.nn.module import Module, Parameter
from chainrule.ops.loops import Element, Map
from chainrule.transforms.forward import forward

_NEAR = np.linspace(-1, 1, 81)
"""Where the largest slope is looked for: inputs as they are where all is well."""


class Call(NamedTuple):
    """A call of an activation: its name in the model, the module, what goes in and comes out."""

    name: str
    owner: Module
    nodes: tuple[Tensor, ...]
    x: Tensor
    y: Tensor


def calls_in(roots: Sequence[Tensor], model: Module) -> list[Call]:
    """Find the calls of `nn.Activation` and `nn.PReLU` that roots depend on.

    The second call of a shared one has the name "name:2". Left out is what gives another shape.
    """
    groups: dict[Scope, list[Tensor]] = {}
    for node in ancestors(roots):
        scope = _activation_of(node.scope)
        if scope is not None and node.op is not None:
            groups.setdefault(scope, []).append(node)
    names: dict[int, str] = {}
    for name, module in model.named_modules():
        names.setdefault(id(module), name)
    found: list[Call] = []
    for scope, nodes in groups.items():
        own = {node.birth for node in nodes}
        y, owner = nodes[-1], scope.owner
        x = next((x for node in nodes for x in node.inputs
                  if x.birth not in own and x.shape == y.shape
                  and not isinstance(x, Parameter)), None)  # fmt: skip
        if x is not None and y.dtype.kind == "f" and isinstance(owner, Module):
            name = names.get(id(owner), "")
            count = 1 + sum(call.owner is owner for call in found)
            name = name if count == 1 else f"{name}:{count}"
            found.append(Call(name, owner, tuple(nodes), x, y))
    return found


def _activation_of(scope: Scope | None) -> Scope | None:
    while scope is not None and not isinstance(scope.owner, Activation | PReLU):
        scope = scope.parent
    return scope


def slopes_of(call: Call) -> Value:
    """Give the derivative of each element by its own input; None where it has none.

    That asks for an activation of elements: every op on the way treats each element by itself, as
    its facts say. A softmax does not.
    """
    reached = {call.x.birth}
    for node in call.nodes:
        if any(x.birth in reached for x in node.inputs):
            if node.shape != call.x.shape or not _is_elementwise(node):
                return None
            reached.add(node.birth)
    one = np.ones((), call.x.dtype)
    (slopes,) = forward([call.y], [call.x], [one])
    return slopes


def _is_elementwise(node: Tensor) -> bool:
    op: Any = node.op
    return op.kind == "elementwise" or any(
        isinstance(fact, Map) or (isinstance(fact, Element) and fact.order) for fact in op.loops
    )


def totals(call: Call) -> tuple[Value, Value] | None:
    """Give for each unit the sum of the absolute slopes over rows and places, and their number.

    A unit whose sum is 0 has had slope 0 everywhere. None where slopes or units are not known.
    """
    shape = call.y.shape
    if len(shape) < 2 or not all(isinstance(n, int) for n in shape[1:]):
        return None
    slopes = slopes_of(call)
    if slopes is None:
        return None
    axes = tuple(a for a in range(len(shape)) if a != unit_axis(len(shape)))
    double = np.dtype(np.float64)
    total = ops.cast(ops.sum(ops.abs(slopes), axis=axes), dtype=double)
    return total, ops.cast(ops.count(slopes, axes), dtype=double)


def largest_slope(owner: Module, row: Sequence[int]) -> float:
    """Give the largest slope that an activation has for inputs from -1 to 1, as it is now.

    That is 1/4 for a sigmoid, and 1 for tanh and ReLU. `row` is the shape of a row that it takes.
    Parameters may differ along its first axis or its last; otherwise it is 0, for not known.

    >>> from chainrule import nn
    >>> largest_slope(nn.Activation("sigmoid"), (3,))
    0.25
    """
    ends = (0, len(row) - 1) if owner.parameters() else ()
    shape = (len(_NEAR), *(n if k in ends else 1 for k, n in enumerate(row)))
    x = constant(np.array(np.broadcast_to(_NEAR.reshape(-1, *[1] * len(row)), shape)))
    with tracing():  # it records, and changes nothing
        y = owner(x)
    nodes = tuple(node for node in ancestors([y]) if node.op is not None)
    slopes = slopes_of(Call("", owner, nodes, x, y))
    return 0.0 if slopes is None else float(np.max(np.abs(np.asarray(slopes))))
