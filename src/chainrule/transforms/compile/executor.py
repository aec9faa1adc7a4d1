"""A graph run by NumPy, op by op: where there is no compiler, or the work is too short for one.

It has the interface of `program`: leaves and outputs are set to arrays, steps are run. The ops are
those of the simplified graph, looked up once; nothing is recorded while they run.

>>> from chainrule import Spec, ops, trace
>>> graph = trace(lambda x: ops.sum(ops.exp(x), axis=1), Spec(("rows", 2), float))
>>> program = NumpyProgram(graph.inputs, [graph.output])
>>> bound = program.bind({"rows": 1})
>>> bound.set(program.leaves[graph.inputs[0].birth], np.zeros((1, 2)))
>>> bound.run(), bound.result(0)
(1, array([2.]))
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.dims import resolve
from chainrule.graph import Array, Tensor
from chainrule.ops.loops import Map, Product, Steps
from chainrule.transforms.compile.beside import Beside
from chainrule.transforms.compile.program import Ends
from chainrule.transforms.compile.simplify import Node, above, simplify
from chainrule.transforms.run import as_number

Instruction = tuple[Callable[..., Any], tuple[int, ...], int, dict[str, Any], tuple[int, ...]]
"""What to call, on which results, where to put its own, its attributes, and what is over then."""

_COSTLY = re.compile(
    r"\b(cos|exp|expm1|log|log1p|ndtr|power|sigmoid|silu|sin|softplus|tanh|uniform)\("
)
"""Words that take NumPy several times as long as a sum."""


class NumpyProgram:
    """A graph as a list of NumPy calls; the arguments are those of `program.Program`."""

    source = "# run by NumPy, op by op: see step.plan()\n"

    runs = "numpy"
    """How it runs, in the words of `Training.runs`."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Mapping[Tensor, Tensor] | None = None,
        *,
        streams: Sequence[Tensor] = (),
        checks: Sequence[Tensor] = (),
        names: Mapping[int, str] | None = None,
        beside: Beside | None = None,
    ) -> None:
        also = beside or Beside((), {})
        ends = Ends(tuple(inputs), tuple(outputs), dict(updates or {}), tuple(streams),
                    tuple(checks), beside=also)  # fmt: skip
        nodes, roots = simplify(
            ends.every, ends.all_leaves, updated=ends.updates, parts=False, beside=also.ends
        )
        self.outputs, self.checks, self.news, leaves = ends.parts(roots[: len(ends.every)])
        self.late, news, new_leaves = also.parts(roots[len(ends.every) :])
        self.olds = [*leaves[: len(ends.updates)], *new_leaves]
        self.news = [*self.news, *news]
        self.leaves = {
            x.birth: node for x, node in zip(ends.all_leaves, [*leaves, *new_leaves], strict=True)
        }
        births = {x.birth for x in streams}
        self.moving = [node for birth, node in self.leaves.items() if birth in births]
        self.given = [x.birth in births for x in outputs]
        self.first = above([*self.outputs, *self.checks])
        self.nodes = _in_turn(nodes, self.first, above(roots[: len(ends.every)]))
        self.outputs = [*self.outputs, *self.late]

    def seconds(self, sizes: Mapping[str, int]) -> float:
        """Estimate how long a step takes: calls, multiplications and elements.

        The rates are those of one core of 2024; the estimate is the same on every machine.
        """
        total = 0.0
        for node in self.nodes:
            if node.op is None:
                continue
            if isinstance(node.loop, Steps):
                graph = node.attrs["body"].graph
                rows = int(resolve(node.shape[1], sizes))
                step = NumpyProgram(graph.inputs, [graph.output]).seconds({"rows": rows})
                total += node.attrs["length"] * step
                continue
            shape = [int(n) for n in resolve(node.shape, sizes)]
            work = float(np.prod(shape)) * 1e-9
            if isinstance(node.loop, Product):
                inner = node.inputs[0].shape[-2 if node.attrs.get("transpose_a") else -1]
                work *= 0.02 * int(resolve(inner, sizes))
            elif isinstance(node.loop, Map) and _COSTLY.search(node.loop.template):
                work *= 8
            total += 1.5e-6 + work
        return total

    def bind(
        self,
        sizes: Mapping[str, int],
        short: Mapping[str, int] | None = None,
        threads: int = 1,
        arena: Array | None = None,
    ) -> "NumpyBound":
        """Prepare for named dimensions of these sizes; `short` are those of a last step."""
        return NumpyBound(self, dict(sizes), dict(short or sizes))


class NumpyBound:
    """A program of NumPy calls with its arrays, for which there is no arena."""

    arena: Array | None = None

    def __init__(self, program: NumpyProgram, sizes: dict[str, int], short: dict[str, int]) -> None:
        self.program = program
        self.arrays: dict[int, Array] = {}
        self.moves: dict[int, int] = {}
        first = program.first
        ends = {x.order for x in [*program.outputs, *program.checks, *program.news]}
        ops = [node for node in program.nodes if node.op is not None]
        self.parts = [
            _instructions([n for n in ops if n.order in first],
                          [n for n in ops if n.order not in first], ends, given)
            for given in (sizes, short)
        ]  # fmt: skip
        self.rows = [
            {node.order: [int(n) for n in resolve(node.shape, given)] for node in program.moving}
            for given in (sizes, short)
        ]
        self.slots: dict[int, Any] = {
            node.order: _number(node) if node.number is not None else _known(node)
            for node in program.nodes
            if node.op is None
        }

    def set(self, node: Node, array: Array) -> None:
        """Let a leaf or an output be this array."""
        self.arrays[node.order] = array
        if node.op is None:
            self.slots[node.order] = array

    def move(self, node: Node, elements: int) -> None:
        """Say how many elements of an input or output of many steps one step takes."""
        self.moves[node.order] = elements

    def output(self, end: Node) -> tuple[int, Any]:
        """Say which result an output is, and what it is if that is known."""
        return end.order, end.number

    def result(self, i: int) -> Any:
        """Give a copy of an output of the last step."""
        return np.array(self.slots[self.program.outputs[i].order])[()]

    def plan(self) -> str:
        """Give the NumPy calls of a step, one a line."""
        lines = [str(node) for node in self.program.nodes if node.op is not None]
        return "run by NumPy, op by op:\n" + "\n".join(lines)

    def run(self, start: int = 0, stop: int = 1, short: int = -1, threads: int = 1) -> int:
        """Run steps; gives stop, or the step at which a check failed. NumPy minds the threads."""
        program, slots = self.program, self.slots
        with np.errstate(all="ignore"):
            for step in range(start, stop):
                which = int(step == short)
                self._feed(step, self.rows[which])
                forward, update = self.parts[which]
                _execute(forward, slots)
                for node, given in zip(program.outputs, program.given, strict=False):
                    if given:
                        self.arrays[node.order][step] = slots[node.order]
                if not all(np.isfinite(slots[node.order]) for node in program.checks):
                    return step
                _execute(update, slots)
                for node in program.late:
                    self.arrays[node.order][step] = slots[node.order]
                values = [slots[node.order] for node in program.news]
                for node, value in zip(program.olds, values, strict=True):
                    self.arrays[node.order][...] = value
        return stop

    def _feed(self, step: int, rows: dict[int, list[int]]) -> None:
        """Give the inputs that move on their part for a step."""
        for node in self.program.moving:
            array, shape = self.arrays[node.order], rows[node.order]
            if not shape:
                self.slots[node.order] = array[step].item()
            else:
                begin = step * self.moves[node.order] // int(np.prod(shape[1:], dtype=int))
                self.slots[node.order] = array[begin : begin + shape[0]]


def _in_turn(nodes: Sequence[Node], first: set[int], rest: set[int]) -> list[Node]:
    """Let what is not of the `rest` follow what it reads, which is then dropped as early.

    What of it reads no new values becomes a part of `first`, which is computed before them.
    """
    place: dict[int, int] = {}
    for node in nodes:
        place[node.order] = node.order
        reads = [x.order for x in node.inputs if x.op is not None]
        if node.op is not None and node.order not in rest and first.issuperset(reads):
            first.add(node.order)
            place[node.order] = max((place[order] for order in reads), default=0)
    return sorted(nodes, key=lambda node: (place[node.order], node.order))


def _instructions(
    early: Sequence[Node], late: Sequence[Node], ends: set[int], sizes: dict[str, int]
) -> list[list[Instruction]]:
    """Write the calls of both parts of a step; a result is dropped after its last reader."""
    last = {x.order: node.order for node in [*early, *late] for x in node.inputs}
    parts: list[list[Instruction]] = []
    for nodes in (early, late):
        parts.append([])
        for node in nodes:
            assert node.op is not None
            inputs = tuple(x.order for x in node.inputs)
            over = {
                x.order for x in node.inputs
                if x.op is not None and last[x.order] == node.order and x.order not in ends
            }  # fmt: skip
            attrs = {key: resolve(value, sizes) for key, value in node.attrs.items()}
            run = partial(as_number, node.op.run) if node.weak else node.op.run
            parts[-1].append((run, inputs, node.order, attrs, tuple(over)))
    return parts


def _execute(instructions: Sequence[Instruction], slots: dict[int, Any]) -> None:
    for run, inputs, output, attrs, over in instructions:
        slots[output] = run(*[slots[i] for i in inputs], **attrs)
        for i in over:
            slots[i] = None


def _number(node: Node) -> Any:
    return node.number if node.weak else node.dtype.type(node.number)


def _known(node: Node) -> Any:
    return None if node.leaf is None else node.leaf.value
