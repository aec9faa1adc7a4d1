"""Ops that hold a graph, such as a scan with that of its step: the graph is shown around them.

>>> import numpy as np
>>> from chainrule.scan import scan
>>> from chainrule.transforms.run import trace
>>> def decay(s, x):
...     return scan(lambda s, x: s * x, s, [x])
>>> graph = trace(decay, np.ones((2, 1)), np.ones((3, 2, 1)))
>>> [x.op.name for x in unfolded(graph.nodes) if x.op]
['cast', 'mul', 'scan']
"""

from typing import Any

from chainrule.graph import Scope, Tensor


def unfolded(nodes: list[Tensor]) -> list[Tensor]:
    """Put the nodes of inner graphs before the ops that hold them, in a scope of their own.

    The inputs of an inner graph are those of its op, in their order.
    """
    found: list[Tensor] = []
    seen = {x.birth for x in nodes}
    for x in nodes:
        inner = next((g for value in x.attrs.values() if (g := _graph(value, x))), None)
        if inner is None or not seen.isdisjoint(y.birth for y in inner.nodes):
            found.append(x)
            continue
        seen |= {y.birth for y in inner.nodes}
        assert x.op is not None
        around = Scope(f"{x.op.name}, each step", x.scope)
        same = {given.birth: x.inputs[k] for k, given in enumerate(inner.inputs)}
        for y in inner.nodes:
            if y.birth not in same:
                same[y.birth] = _copy(y, [same[i.birth] for i in y.inputs], around)
                found.append(same[y.birth])
        found.append(_copy(x, [same[inner.output.birth]], around))
    return found


def _graph(value: Any, holder: Tensor) -> Any:
    """Give the graph that an attribute holds, if it has the inputs of the op and one result."""
    graph = getattr(value, "graph", None)
    inputs, output = getattr(graph, "inputs", None), getattr(graph, "output", None)
    fits = isinstance(output, Tensor) and isinstance(inputs, list)
    return graph if fits and len(inputs or ()) == len(holder.inputs) else None


def _copy(x: Tensor, inputs: list[Tensor], around: Scope) -> Tensor:
    """Give a node of the same birth, with other inputs and in another scope; a leaf as it is."""
    if x.op is None:
        return x
    node = Tensor(0.0)
    node.op, node.attrs, node.birth, node.inputs = x.op, x.attrs, x.birth, tuple(inputs)
    node.shape, node.dtype, node.value, node.scope = x.shape, x.dtype, x.value, around
    return node
