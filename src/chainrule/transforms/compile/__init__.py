"""The verb *compile*: a graph becomes one Python function that a person can read, and machine code.

>>> import numpy as np
>>> from chainrule import Spec, ops
>>> squares = compile(lambda x: ops.sum(x * x, axis=1), Spec(("rows", 3), np.float64), plain=True)
>>> squares(np.arange(6.0).reshape(2, 3))
array([ 5., 50.])
>>> print(squares.source.splitlines()[0])
def loop_1(x0, x1, n0, first, last):
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.dims import Dim
from chainrule.errors import ShapeError
from chainrule.graph import Array, Tensor
from chainrule.threads import usable_threads
from chainrule.transforms.compile.program import Bound, Program, room
from chainrule.transforms.compile.report import WORTH_SHARING, Profile, plan, profile, work
from chainrule.transforms.run import Graph, Spec, trace
from chainrule.tree import flatten, rebuild

ROWS = 256
"""Rows that a thread computes at a time, where rows do not depend on one another."""


class Compiled:
    """A function that was traced and compiled; calling it runs machine code.

    Parameters of a module that the function uses may change: a call takes their newest values.
    With `plain` the generated source runs as it stands, without a compiler, which is slow.
    """

    def __init__(self, graph: Graph, *, plain: bool = False, threads: int | None = None) -> None:
        self.graph = graph
        self.outputs = flatten(graph.output)
        names = {(n.names[0] if isinstance(n, Dim) else "") for x in graph.inputs for n in x.shape}
        self._rows = "".join(names) if len(names - {""}) == 1 else ""
        streams = [x for x in (*graph.inputs, *self.outputs) if self._is_rows(x)]
        self.program = Program(graph.inputs, self.outputs, graph.updates, streams=streams)
        self._in_blocks = bool(streams) and self._rows_are_apart()
        if not self._in_blocks:
            self.program = Program(graph.inputs, self.outputs, graph.updates)
        self.plain = plain
        self.threads = 1 if plain else usable_threads(threads)
        self._leaves = [self.program.leaves[x.birth] for x in graph.inputs]
        self._changing = [
            node for node in self.program.text.memory
            if node.leaf is not None and node.leaf.value is not None
        ]  # fmt: skip
        self._bound: dict[Any, Bound] = {}
        self._seen: dict[Any, int] = {}

    def _is_rows(self, x: Tensor) -> bool:
        return bool(x.shape) and isinstance(x.shape[0], Dim) and x.shape[0] == Dim.of(self._rows)

    def _rows_are_apart(self) -> bool:
        """Whether every statement computes rows each from its own, so that blocks of rows do."""
        calls = self.program.text.calls
        own = Dim.of(self._rows)
        return (
            not self.graph.updates
            and all(self._is_rows(y) for y in self.outputs)
            and all(isinstance(c.share, Dim) and c.share == own and not c.meets for c in calls)
        )

    @property
    def source(self) -> str:
        """The generated Python."""
        return self.program.source

    def plan(self, **sizes: int) -> str:
        """Give a table of the statements: shapes, operations, bytes, and the memory they share."""
        return plan(self._memory(sizes))

    def profile(self, *arrays: Any, seconds: float = 0.5) -> Profile:
        """Measure how long each statement takes."""
        self(*arrays)
        sizes = self._sizes([np.asarray(x) for x in arrays])
        return profile(self._memory(sizes), seconds=seconds)

    def __call__(self, *arrays: Any) -> Any:
        """Compute the outputs for arrays of the traced shapes."""
        given = [
            np.ascontiguousarray(x, node.dtype).reshape(np.shape(x))
            for x, node in zip(arrays, self.graph.inputs, strict=True)
        ]
        sizes = self._sizes(given)
        results = self._by_blocks(given, sizes) if self._in_blocks else self._at_once(given, sizes)
        return rebuild(self.graph.output, iter(results))

    def _sizes(self, arrays: Sequence[Array]) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for i, (array, node) in enumerate(zip(arrays, self.graph.inputs, strict=True)):
            fits = array.ndim == node.ndim
            for n, expected in zip(array.shape, node.shape, strict=False):
                if isinstance(expected, Dim):
                    expected = sizes.setdefault(str(expected), n)
                fits = fits and n == expected
            if not fits:
                raise ShapeError(f"input {i} has shape {array.shape}, expected {list(node.shape)}")
        return sizes

    def _memory(self, sizes: dict[str, int]) -> Bound:
        """Give the memory for these sizes, with the newest parameters."""
        if self._in_blocks:
            sizes = sizes | {self._rows: ROWS * self.threads}
        key = tuple(sorted(sizes.items()))
        bound = self._bound.get(key)
        if bound is None:
            bound = self.program.bind(sizes, threads=self.threads, plain=self.plain)
            self._bound = {key: bound}  # one at a time: sizes that come and go would fill memory
            self._seen = {}
        for node in self._changing:
            leaf = node.leaf
            if leaf is not None and self._seen.get(node.order) != leaf.changed:
                bound.set(node, np.ascontiguousarray(leaf.value))
                self._seen[node.order] = leaf.changed
        return bound

    def _by_blocks(self, arrays: Sequence[Array], sizes: dict[str, int]) -> list[Array]:
        bound = self._memory({})
        n, block = sizes[self._rows], ROWS * self.threads
        steps = -(-n // block)
        rest = n - (steps - 1) * block
        bound.reshape({self._rows: rest})
        results = []
        for node, array in zip(self._leaves, arrays, strict=True):
            bound.set(node, array)
            bound.move(node, block * (array.size // max(n, 1)))
        for node, x in zip(self.program.outputs, self.outputs, strict=True):
            result = np.empty((n, *x.shape[1:]), x.dtype)
            bound.set(node, result)
            bound.move(node, block * (result.size // max(n, 1)))
            results.append(result)
        shared = self.threads > 1 and work(bound) * n / block > WORTH_SHARING
        bound.run(0, steps, steps - 1, self.threads if shared else 1)
        return results

    def _at_once(self, arrays: Sequence[Array], sizes: dict[str, int]) -> list[Array]:
        bound = self._memory(sizes)
        for node, array in zip(self._leaves, arrays, strict=True):
            bound.set(node, array)
        for x in self.graph.updates:
            memory = room(x.value.shape, x.dtype)
            memory[...] = x.value
            bound.set(self.program.leaves[x.birth], memory)
        bound.run()
        for x in self.graph.updates:
            x.renew(bound.arrays[self.program.leaves[x.birth].order])
        return [bound.result(i) for i in range(len(self.program.outputs))]


def compile(  # noqa: A001
    f: Callable[..., Any], *specs: Any, plain: bool = False, threads: int | None = None
) -> Compiled:
    """Trace a function for inputs of these shapes, and compile it.

    A spec is a `Spec`, whose dimensions may have names, or an array or tensor. `threads` is the
    most that a call may use; None takes those that the process may use.
    """
    return Compiled(trace(f, *specs), plain=plain, threads=threads)


__all__ = ["Compiled", "Program", "Spec", "Tensor", "compile"]
