"""Memory that a compiled function runs in, which follows parameters that change."""

import math
from collections.abc import Sequence

import numpy as np

from chainrule.dims import Shape
from chainrule.graph import Array, Tensor
from chainrule.transforms.compile.arena import room
from chainrule.transforms.compile.bound import Bound
from chainrule.transforms.compile.simplify import Node


class Memory:
    """The memory of a program for some sizes; `parameters` are leaves whose values may change."""

    def __init__(self, bound: Bound, parameters: Sequence[tuple[Node, Tensor]]) -> None:
        self.bound = bound
        self._nodes = [node for node, _ in parameters]
        self._leaves = [leaf for _, leaf in parameters]
        self._seen = [-1] * len(parameters)

    def newest(self) -> Bound:
        """Give the program with the newest parameters."""
        now = [leaf.changed for leaf in self._leaves]
        if now != self._seen:
            changes = zip(self._nodes, self._leaves, now, self._seen, strict=True)
            for node, leaf, new, old in changes:
                if new != old:
                    self.bound.set(node, np.asarray(leaf.value, order="C"))
            self._seen = now
        return self.bound


class Blocks(Memory):
    """Memory for a block of rows, of which there may be many: only inputs and outputs have all."""

    _lie = False

    def lay(self, ends: Sequence[Node], arrays: Sequence[Array], block: int) -> None:
        """Let inputs and outputs lie in these arrays, of which a block takes so many rows."""
        for node, array in zip(ends, arrays, strict=True):
            if self._lie:
                self.bound.begin(node, array)
            else:
                self.bound.set(node, array)
                self.bound.move(node, block * math.prod(array.shape[1:]))
        self._lie = True


class FewRows(Memory):
    """Memory for few rows, with that of inputs and outputs: to copy is less than to say where.

    `inputs` and `outputs` are nodes with the shapes of their rows; `views[n]` are those of n rows.
    """

    def __init__(
        self,
        bound: Bound,
        parameters: Sequence[tuple[Node, Tensor]],
        inputs: Sequence[tuple[Node, Shape]],
        outputs: Sequence[tuple[Node, Shape]],
        most: int,
    ) -> None:
        super().__init__(bound, parameters)
        given, found = ([self._own(*x, most) for x in ends] for ends in (inputs, outputs))
        self.views = [([x[:n] for x in given], [x[:n] for x in found]) for n in range(most + 1)]

    def _own(self, node: Node, shape: Shape, rows: int) -> Array:
        array = room((rows, *shape), node.dtype)
        self.bound.set(node, array)
        return array
