"""What is cut out anew for each product that reads it, rather than kept from one to the next.

The windows of an image take many times its memory. Written again, one image at a time, they are in
the cache when the product on the way back reads them; kept, they would come from far away.

>>> from chainrule import Spec, grad, ops, trace
>>> from chainrule.transforms.compile.simplify import simplify
>>> step = trace(grad(lambda w, x: ops.sum(ops.exp(ops.conv(x, w)))),
...              Spec((2, 1, 3), float), Spec((9, 1, 8), float))
>>> nodes, roots = simplify([step.output])
>>> [str(node) for node in nodes].count("windows")
1
>>> [str(node) for node in rematerialize(nodes, roots)].count("windows")
2
"""

from collections.abc import Sequence
from copy import copy

from chainrule.ops.loops import Element, Product
from chainrule.transforms.compile.frame import base, squeezed
from chainrule.transforms.compile.simplify import Node, reachable


def rematerialize(nodes: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    """Give stacks of products windows of their own; the nodes get numbers in their new order."""
    read: set[int] = set()
    ordered: list[Node] = []
    for node in nodes:
        if isinstance(node.loop, Product) and len(squeezed(node.shape)) > 2:
            for k, x in enumerate(node.inputs):
                after = base(node.inputs[1 - k])
                if not _grows(base(x)):
                    continue
                if base(x).order in read and after.op is not None:
                    new = _copied(x, after)
                    node.inputs = (*node.inputs[:k], new[-1], *node.inputs[k + 1 :])
                    ordered += new
                read.add(base(x).order)
        ordered.append(node)
    for number, node in enumerate(ordered):
        node.order = number
    return reachable(roots)


def _grows(node: Node) -> bool:
    """Whether a node copies elements into more axes."""
    fact = node.loop
    return (
        isinstance(fact, Element) and not fact.order and not fact.costly and not fact.picks
        and len(node.shape) > len(node.inputs[0].shape)
    )  # fmt: skip


def _copied(x: Node, after: Node) -> list[Node]:
    """Copy a node and the nodes that rename it, to be computed after another."""
    new = copy(x)
    if x is base(x):
        new.inputs = (*x.inputs, after)
        return [new]
    below = _copied(x.inputs[0], after)
    new.inputs = (below[-1], *x.inputs[1:])
    return [*below, new]
