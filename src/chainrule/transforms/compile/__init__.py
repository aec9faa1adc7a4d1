"""The verb *compile*: a graph becomes one Python function that a person can read, and machine code.

>>> import numpy as np
>>> from chainrule import Spec, ops
>>> squares = compile(lambda x: ops.sum(x * x, axis=1), Spec(("rows", 3), np.float64), plain=True)
>>> squares(np.arange(6.0).reshape(2, 3))
array([ 5., 50.])
>>> print(squares.source.splitlines()[0])
def loop_1(x0, x1, n0, first, last):
"""

import functools
import importlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from chainrule.dims import Dim
from chainrule.errors import ConfigError, ShapeError, expect
from chainrule.graph import Array, Tensor
from chainrule.threads import usable_threads
from chainrule.transforms.compile.arena import room
from chainrule.transforms.compile.bound import Bound
from chainrule.transforms.compile.memory import Blocks, FewRows, Memory
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.report import WORTH_SHARING, Profile, plan, profile, work
from chainrule.transforms.run import Graph, Spec, trace
from chainrule.tree import flatten, rebuild

if TYPE_CHECKING:
    from chainrule.transforms.device import JaxFunction

DEVICE = "chainrule.transforms.device"
"""What runs by JAX, imported where it is asked for: most trainings never do."""

ROWS, FEW = 256, 16
"""Rows that a thread computes at a time, where rows do not depend on one another.

So few are computed in memory of their own, by products that need not split their weights.
"""


class Compiled:
    """A function that was traced and compiled; calling it runs machine code.

    Parameters of a module that the function uses may change: a call takes their newest values.
    Several threads may call it; one waits for the other, since they share its memory.
    With `plain` the generated source runs as it stands, without a compiler, which is slow.
    """

    def __init__(self, graph: Graph, *, plain: bool = False, threads: int | None = None) -> None:
        if not plain:
            expect("numba", extra="fast", why="to compile")
        self.graph = graph
        self.outputs = flatten(graph.output)
        names = {(n.names[0] if isinstance(n, Dim) else "") for x in graph.inputs for n in x.shape}
        self._rows = "".join(names) if len(names - {""}) == 1 else ""
        streams = [x for x in (*graph.inputs, *self.outputs) if self._is_rows(x)]
        fixed = [x for x in graph.nodes if x.value is not None and x not in graph.updates]
        self.program = Program(
            graph.inputs, self.outputs, graph.updates, streams=streams, turn=fixed
        )
        self._in_blocks = bool(streams) and self._rows_are_apart()
        if not self._in_blocks:
            self.program = Program(graph.inputs, self.outputs, graph.updates, turn=fixed)
        self.plain = plain
        self.threads = 1 if plain else usable_threads(threads)
        self._leaves = [self.program.leaves[x.birth] for x in graph.inputs]
        leaf_of = self.program.leaf_of
        self._parameters = [
            (node, leaf_of[node.order])
            for node in self.program.text.memory
            if node.order in leaf_of and leaf_of[node.order].value is not None
        ]
        self._is_single = isinstance(graph.output, Tensor)
        self._dtypes = [x.dtype for x in graph.inputs]
        self._tails = [x.shape[1:] for x in graph.inputs]
        self._forms = [(x.shape[1:], x.dtype) for x in self.outputs]
        self._last: tuple[dict[str, int], Memory] | None = None
        self._work = 0.0
        """Operations for a row."""
        self._alone = threading.Lock()

    def _is_rows(self, x: Tensor) -> bool:
        return bool(x.shape) and isinstance(x.shape[0], Dim) and x.shape[0] == Dim.of(self._rows)

    def _rows_are_apart(self) -> bool:
        """Whether every statement computes rows each from its own, so that blocks of rows do."""
        text, outputs = self.program.text, self.program.outputs
        calls = text.calls
        own = Dim.of(self._rows)
        return (
            not self.graph.updates
            and len({y.order for y in outputs}) == len(outputs)
            and all(y.op is not None and text.canonical(y) is y for y in outputs)
            and all(self._is_rows(y) for y in [*self.graph.inputs, *self.outputs])
            and not any(
                isinstance(n, Dim) for y in [*self.graph.inputs, *self.outputs] for n in y.shape[1:]
            )
            and all(isinstance(c.share, Dim) and c.share == own and not c.meets for c in calls)
            and all((c.reads | c.writes) & text.moving <= c.local for c in calls)
        )

    @property
    def source(self) -> str:
        """The generated Python."""
        return self.program.source

    def plan(self, **sizes: int) -> str:
        """Give a table of the statements: shapes, operations, bytes, and the memory they share."""
        return plan(self._many.bound if self._in_blocks else self._memory(sizes).bound)

    def profile(self, *arrays: Any, seconds: float = 0.5) -> Profile:
        """Measure how long each statement takes."""
        self(*arrays)
        sizes = self._sizes([np.asarray(x) for x in arrays])
        if not self._in_blocks:
            return profile(self._memory(sizes).bound, seconds=seconds, short=0)
        n = sizes[self._rows]
        bound = (self._few if n <= FEW else self._many).bound
        steps = -(-n // bound.sizes[self._rows])
        return profile(bound, seconds=seconds, short=steps - 1, steps=steps)

    def __call__(self, *arrays: Any) -> Any:
        """Compute the outputs for arrays of the traced shapes."""
        given = [
            x
            if isinstance(x, np.ndarray) and x.dtype is dtype and x.flags.c_contiguous
            else np.asarray(x, dtype, order="C")
            for x, dtype in zip(arrays, self._dtypes, strict=True)
        ]
        with self._alone:
            results = self._rows_apart(given) if self._in_blocks else self._at_once(given)
        return results[0] if self._is_single else rebuild(self.graph.output, iter(results))

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

    def _memory(self, sizes: dict[str, int]) -> Memory:
        """Give the memory for these sizes: one at a time, since those that come and go fill it."""
        if self._last is None or self._last[0] != sizes:
            self._last = None  # before there is another
            self._last = sizes, Memory(self._bind(sizes), self._parameters)
        return self._last[1]

    @functools.cached_property
    def _many(self) -> Blocks:
        return Blocks(self._bind({self._rows: ROWS * self.threads}), self._parameters)

    @functools.cached_property
    def _few(self) -> FewRows:
        inputs = list(zip(self._leaves, self._tails, strict=True))
        tails = [tail for tail, _ in self._forms]
        outputs = list(zip(self.program.outputs, tails, strict=True))
        return FewRows(self._bind({self._rows: FEW}), self._parameters, inputs, outputs, FEW)

    def _bind(self, sizes: dict[str, int]) -> Bound:
        return self.program.bind(sizes, threads=self.threads, plain=self.plain)

    def _rows_apart(self, arrays: Sequence[Array]) -> list[Array]:
        n = arrays[0].shape[0] if arrays[0].ndim else 0
        for x, tail in zip(arrays, self._tails, strict=True):
            if x.shape != (n, *tail):
                self._sizes(arrays)  # raises
        return self._few_rows(arrays, n) if n <= FEW else self._by_blocks(arrays, n)

    def _run(self, bound: Bound, n: int) -> None:
        """Compute n rows, by all threads if that pays."""
        block = bound.sizes[self._rows]
        if not self._work:
            self._work = work(bound) / block
        steps = -(-n // block)
        rest = n - (steps - 1) * block
        if bound.short[self._rows] != rest:
            bound.reshape({self._rows: rest})
        shared = self.threads > 1 and self._work * n > WORTH_SHARING
        bound.run(0, steps, steps - 1, self.threads if shared else 1)

    def _few_rows(self, arrays: Sequence[Array], n: int) -> list[Array]:
        inputs, outputs = self._few.views[n]
        for memory, x in zip(inputs, arrays, strict=True):
            memory[...] = x
        self._run(self._few.newest(), n)
        return [memory.copy() for memory in outputs]

    def _by_blocks(self, arrays: Sequence[Array], n: int) -> list[Array]:
        """Compute blocks of rows, one after the other, in the memory of one."""
        bound = self._many.newest()
        results = [np.empty((n, *tail), dtype) for tail, dtype in self._forms]
        ends = [*self._leaves, *self.program.outputs]
        self._many.lay(ends, [*arrays, *results], bound.sizes[self._rows])
        self._run(bound, n)
        return results

    def _at_once(self, arrays: Sequence[Array]) -> list[Array]:
        bound = self._memory(self._sizes(arrays)).newest()
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


@overload
def compile(  # noqa: A001
    f: Callable[..., Any], *specs: Any, plain: bool = False, threads: int | None = None
) -> Compiled: ...
@overload
def compile(  # noqa: A001
    f: Callable[..., Any], *specs: Any, by: Literal["jax"]
) -> "JaxFunction": ...
def compile(  # noqa: A001
    f: Callable[..., Any],
    *specs: Any,
    plain: bool = False,
    threads: int | None = None,
    by: str = "numba",
) -> "Compiled | JaxFunction":
    """Trace a function for inputs of these shapes, and compile it.

    A spec is a `Spec`, whose dimensions may have names, or an array or tensor. `threads` is the
    most that a call may use; None takes those that the process may use. With `by="jax"` it runs
    on the device that JAX has, such as a GPU.
    """
    if by == "jax":
        made: JaxFunction = importlib.import_module(DEVICE).JaxFunction(trace(f, *specs))
        return made
    if by != "numba":
        raise ConfigError(f"by={by!r}: expected 'numba' or 'jax'")
    return Compiled(trace(f, *specs), plain=plain, threads=threads)


__all__ = ["Compiled", "Program", "Spec", "Tensor", "compile"]
