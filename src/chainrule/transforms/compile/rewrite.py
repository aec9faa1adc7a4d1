"""Products that are rewritten, so that their results take less memory.

The gradient of the kernel of a convolution is a sum over the images: a few of them are added up
within a product.
"""

from collections.abc import Sequence

from chainrule.dims import Dim
from chainrule.transforms.compile.schedule import is_one, windows_of
from chainrule.transforms.compile.simplify import Node, reachable, same_shape
from chainrule.transforms.compile.structure import Pieces

SUMMED = 4
"""Images whose products are added up at once: few, for threads share the sums."""


def rewritten(nodes: Sequence[Node], roots: Sequence[Node]) -> list[Node]:
    """Rewrite products whose result one node reads, and give the nodes that are left."""
    readers: dict[int, int] = {x.order: 1 for x in roots}
    for x in (y for node in nodes for y in node.inputs):
        readers[x.order] = readers.get(x.order, 0) + 1
    for node in nodes:
        if node.op is not None and node.op.name == "sum" and node.attrs["axis"] == (0,):
            product = node.inputs[0]
            if readers[product.order] == 1 and _is_of_windows(product):
                product.shape = (Pieces(product.shape[0], SUMMED), *product.shape[1:])
    return reachable(roots)


def _is_of_windows(x: Node) -> bool:
    """Whether a node multiplies images by windows of images, one by one, over all places."""
    if windows_of(x) is None or not x.attrs.get("transpose_b"):
        return False
    (n, *others), a = x.shape[:-2], x.inputs[0]
    alone = all(is_one(k) for k in others)
    return isinstance(n, Dim) and alone and same_shape(a.shape[:-2], x.shape[:-2])
