"""The verb *compile*: a graph becomes one Python function that a person can read, and machine code.

>>> import numpy as np
>>> from chainrule import Spec, ops
>>> squares = compile(lambda x: ops.sum(x * x, axis=1), Spec(("rows", 3), np.float64))
>>> squares(np.arange(6.0).reshape(2, 3))
array([ 5., 50.])
>>> print(squares.source.splitlines()[0])
def loop_1(x0, x1, n0, first, last):
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.dims import Dim
from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor
from chainrule.transforms.compile.program import Bound, Program
from chainrule.transforms.run import Graph, Spec, trace
from chainrule.tree import flatten, rebuild


class Compiled:
    """A function that was traced and compiled; calling it runs machine code.

    `source` is the generated Python. With `plain` that source runs as it stands, without a
    compiler, which is slow.
    """

    def __init__(self, graph: Graph, *, plain: bool = False, threads: int = 1) -> None:
        self.graph = graph
        self.program = Program(graph.inputs, flatten(graph.output), graph.updates)
        self.plain = plain
        self.threads = threads
        self._bound: dict[tuple[tuple[str, int], ...], Bound] = {}

    @property
    def source(self) -> str:
        """The generated Python."""
        return self.program.source

    def __call__(self, *arrays: Any) -> Any:
        """Compute the outputs for arrays of the traced shapes."""
        given = [np.asarray(x, node.dtype) for x, node in
                 zip(arrays, self.graph.inputs, strict=True)]  # fmt: skip
        sizes = self._sizes(given)
        key = tuple(sorted(sizes.items()))
        if key not in self._bound:
            self._bound[key] = self.program.bind(sizes, threads=self.threads, plain=self.plain)
        results = iter(self._run(self._bound[key], given))
        return rebuild(self.graph.output, results)

    def _sizes(self, arrays: list[Array]) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for i, (array, node) in enumerate(zip(arrays, self.graph.inputs, strict=True)):
            if array.ndim != node.ndim:
                raise ShapeError(f"input {i} has shape {array.shape}, expected {list(node.shape)}")
            for n, expected in zip(array.shape, node.shape, strict=True):
                if isinstance(expected, Dim):
                    expected = sizes.setdefault(str(expected), n)
                if n != expected:
                    message = f"input {i} has shape {array.shape}, expected {list(node.shape)}"
                    raise ShapeError(message)
        return sizes

    def _run(self, bound: Bound, arrays: list[Array]) -> list[Array]:
        leaves = self.program.leaves
        for node, array in zip(self.graph.inputs, arrays, strict=True):
            bound.set(leaves[node.birth], np.ascontiguousarray(array).reshape(array.shape))
        for x in self.graph.updates:
            bound.set(leaves[x.birth], np.array(x.value))
        bound.run()
        for x in self.graph.updates:
            x.renew(bound.arrays[leaves[x.birth].order])
        return [bound.result(i) for i in range(len(self.program.outputs))]


def compile(f: Callable[..., Any], *specs: Any, plain: bool = False) -> Compiled:  # noqa: A001
    """Trace a function for inputs of these shapes, and compile it.

    A spec is a `Spec`, whose dimensions may have names, or an array or tensor.
    """
    return Compiled(trace(f, *specs), plain=plain)


__all__ = ["Compiled", "Program", "Spec", "Tensor", "compile"]
