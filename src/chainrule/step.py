"""The training step as a program that runs many of them.

>>> import numpy as np
>>> from chainrule import losses, nn, optim
>>> from chainrule.data import Rows
>>> from chainrule.transforms.compile.executor import NumpyProgram
>>> model = nn.mlp([2, 4, 1], "tanh", seed=0)
>>> rows = Rows((np.ones((8, 2), np.float32),), np.zeros((8, 1), np.float32))
>>> updater = Updater(model.parameters(), optim.SGD(0.1))
>>> step = Step(StepGraph(model, losses.mse, updater, rows, flat=True), 4, NumpyProgram)
>>> step.order(None)
>>> step.numbers[:] = [[1, 1, 0], [2, 1, 0]]  # the number of the step, factor of the rate, average
>>> step.run(0, 2), bool(step.losses[1] < step.losses[0])
(2, True)
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.data import Rows
from chainrule.errors import ConfigError
from chainrule.graph import Array, Tensor
from chainrule.observing import Observer
from chainrule.step_graph import Kind, StepGraph, Unit
from chainrule.tally import Steps
from chainrule.transforms.compile.arena import zeros
from chainrule.transforms.compile.bound import Bound
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.report import Profile, plan, profile, work
from chainrule.updating import Updater

_WRITTEN_OUT = 250_000
"""Numbers of sparse rows that are written out at a time."""


class Step:
    """The steps of an epoch as a program, with the memory that they change.

    Parameters, buffers and averages lie in that memory: their tensors are views of it, which every
    run changes. `numbers` has a row for each step of an epoch, to be filled before it runs;
    `losses`, `norms`, `penalties` and `counts` say what a step gave and how many rows it took.

    An `observer` gets the statistics of every k-th step, which is then a program of its own, and
    `squares` has those of the parameters.
    """

    def __init__(
        self,
        graph: StepGraph,
        batch_size: int,
        kind: Kind = Program,
        threads: int = 1,
        observer: Observer | None = None,
    ) -> None:
        self.graph = graph
        self.observer = observer
        every = observer.every if observer else 0
        self.program = graph.program(kind, beside=every == 1)
        self.threads = threads
        self.failed = False
        self._order: Array | None = None
        n = len(graph.rows)
        self.batch_size = batch_size
        self.count = -(-n // batch_size)
        rest = n - (self.count - 1) * batch_size
        self.short = self.count - 1 if rest != batch_size else -1
        sizes = {"rows": n, "batch": batch_size}
        short, looking = sizes | {"batch": rest}, self.program
        if every > 1:
            looking = graph.program(kind, beside=True)
        self._looking = looking.bind(sizes, short, threads=threads)
        self._each = [(looking, self._looking)]
        if every > 1:
            arena = self._looking.arena
            bound = self.program.bind(sizes, short, threads=threads, arena=arena)
            self._each.insert(0, (self.program, bound))
        self._exchanged = {bound: self._pairs(program) for program, bound in self._each}
        self.bound = self._each[0][1]
        self.numbers = np.zeros((self.count, len(graph.numbers)))
        self.losses = np.zeros(self.count, graph.loss.dtype)
        self.norms = np.zeros(self.count)
        self.penalties = None if graph.term is None else np.zeros(self.count, graph.term.dtype)
        self.counts = np.full(self.count, batch_size)
        self.counts[-1] = rest
        self.squares = np.zeros((self.count, len(graph.beside.outputs)))
        self._set_data()
        self._set_memory()

    @property
    def source(self) -> str:
        """The program as Python that a person can read."""
        return str(self.program.source)

    def plan(self) -> str:
        """Give a table of the statements: shapes, operations, bytes, and the memory they share."""
        tables = [plan(x) if isinstance(x, Bound) else x.plan() for _, x in self._each]
        return "\n\nIn the steps that are looked at:\n".join(tables)

    def profile(self, seconds: float = 0.5) -> Profile:
        """Measure how long each statement of a step takes; nothing is learned from it."""
        if not isinstance(self.bound, Bound):
            how = {"numpy": "by NumPy", "jax": "by JAX"}[self.program.runs]
            raise ConfigError(f'steps run {how} have no profile: ask with compile="numba"')
        if not self.numbers.any():
            self.numbers[:] = 1
        if self._order is None:
            self.order(None)
        if self.sparse:
            self._write_out(0, 1)
        return profile(self.bound, seconds=seconds, short=self.short)

    @property
    def operations(self) -> float:
        """How many operations a step takes; 0 where NumPy or JAX runs it."""
        return work(self.bound) if isinstance(self.bound, Bound) else 0.0

    def _set_data(self) -> None:
        graph = self.graph
        self.sparse = not all(isinstance(x, np.ndarray) for x in graph.rows.inputs)
        if not self.sparse:
            self._set_rows(graph.rows)
        for k, x in enumerate(graph.numbers):
            self._stream(x, self.numbers[:, k], len(graph.numbers))
        given = [x for x in (self.losses, self.norms, self.penalties) if x is not None]
        self._copies: list[tuple[Array, Array]] = []
        for program, bound in self._each:
            written: dict[int, Array] = {}
            columns = [*given, *self.squares.T]
            for end, array in zip(program.outputs, columns, strict=False):
                place, number = bound.output(end)
                known = written.setdefault(place, array)
                if known is not array:  # computed once for two outputs, and written once
                    self._copies.append((array, known))
                elif number is not None:
                    array[:] = number
                else:
                    bound.set(end, array)
                    bound.move(end, array.strides[0] // array.itemsize)

    def _set_rows(self, rows: Rows) -> None:
        """Let the program pick its batches from these rows."""
        for node, array in zip(self.graph.data, rows.inputs, strict=True):
            self._set(node, np.asarray(array, order="C"))
        self._set(self.graph.target, np.asarray(rows.target, order="C"))
        if self.graph.weight is not None and rows.weight is not None:
            self._set(self.graph.weight, np.asarray(rows.weight, order="C"))

    def _set_memory(self) -> None:
        """Move all that changes into memory of the program."""
        self.memory: dict[Tensor, Array] = {}
        self.views: dict[Tensor, Array] = {}
        for x in (*self.graph.updates, *self.graph.kept):
            memory = zeros(tuple(int(n) for n in x.shape), x.dtype)
            self.memory[x] = memory
            self._set(x, memory)
            if x.value is not None:
                memory[...] = x.value
                self.views[x] = memory
        if self.graph.flat:
            for unit in self.graph.units:
                for p, part in _split(unit, self.memory[unit.leaf]):
                    part[...] = p.value
                    self.views[p] = part
                    self._set(p, part)
        self._set_sums()
        self._renew()

    def _set_sums(self) -> None:
        """Let what is seen of units be added up where the observer has it."""
        for layer in self.graph.watched:
            assert self.observer is not None
            sums = self.observer.sums_of(layer)
            for leaf, part in zip(layer.leaves, (sums[:-1], sums[-1:].reshape(())), strict=True):
                self._set(leaf, part)

    def _set(self, x: Tensor, array: Array) -> None:
        for program, bound in self._each:
            if x.birth in program.leaves:
                bound.set(program.leaves[x.birth], array)

    def _stream(self, x: Tensor, array: Array, elements: int) -> None:
        self._set(x, array)
        for program, bound in self._each:
            bound.move(program.leaves[x.birth], elements)

    @property
    def averages(self) -> list[Array]:
        """Averages of the parameters, in their order."""
        found: dict[Tensor, Array] = {}
        for unit, mean in zip(self.graph.units, self.graph.means, strict=False):
            found |= dict(_split(unit, self.memory[mean]))
        return [found[p] for p in self.graph.parameters if p in found]

    def before(self, tensors: Sequence[Tensor]) -> list[Array]:
        """Give the memory of what these were before the last update, or are, if nothing changes.

        It holds that until the loss of another step is known to be finite.
        """
        found = {x: self.memory[y] for x, y in self.graph.before.items()}
        if self.graph.flat:
            for unit in self.graph.units:
                found |= dict(_split(unit, found[unit.leaf]))
        return [found[x] if x in found else np.asarray(x.value) for x in tensors]

    def _renew(self) -> None:
        for x, view in self.views.items():
            x.renew(view)

    def order(self, order: Array | None) -> None:
        """Take the rows of the next epoch in this order."""
        n = len(self.graph.rows)
        self._order = np.arange(n) if order is None else np.asarray(order, np.int64, order="C")
        self._index(self._order)

    def divide(self, several: int) -> None:
        """Say which batches make an update: for each the rows, or weights, of all of them."""
        parts, weight = self.counts.astype(float), self.graph.rows.weight
        if weight is not None:
            weight = weight[self._order].reshape(len(weight), -1).sum(1, float)
            parts = np.add.reduceat(weight, np.arange(0, len(weight), self.batch_size))
        sums = np.add.reduceat(parts, np.arange(0, self.count, several))
        self.numbers[:, 3] = np.repeat(sums, several)[: self.count]
        self.numbers[:, 4] = np.arange(1, self.count + 1) % several == 0
        self.numbers[-1, 4] = 1.0

    def _index(self, rows: Array) -> None:
        self._stream(self.graph.index, rows, self.batch_size)

    def _write_out(self, start: int, stop: int) -> None:
        """Make the rows of some steps dense, and let the program take them in their order."""
        assert self._order is not None
        chosen = self._order[start * self.batch_size : stop * self.batch_size]
        rows = self.graph.rows
        dense = Rows(
            tuple(x[chosen] for x in rows.inputs),
            rows.target[chosen],
            None if rows.weight is None else rows.weight[chosen],
        )
        self._set_rows(dense)
        self._index(np.arange(len(rows)) - start * self.batch_size)

    def run(self, start: int, stop: int, threads: int = 1) -> int:
        """Run steps of an epoch; gives the step to go on with.

        That is before `stop` if the loss or norm of this step is not finite (`failed` is then
        true, and the step has changed nothing), or if sparse rows are written out in parts.
        """
        if self.sparse:
            stop = min(stop, start + self._steps_at_once)
            self._write_out(start, stop)
        self._set_sums()  # a device has to be told when an epoch begins
        end = start
        for last, bound in self._turns(start, stop):
            begin, end = end, bound.run(end, last, self.short, threads)
            if (end - begin) % 2:  # an even number of steps exchanges them back
                self._exchange(self._exchanged[bound])
            if end < last:
                break
        for column, written in self._copies:
            column[start:end] = written[start:end]
        self.failed = end < stop
        self._renew()
        return end

    def given(self, first: int, start: int, stop: int, several: int, lr: float) -> Steps:
        """Put together what the batches of some updates of an epoch gave.

        `first` updates were made before the epoch, each by `several` batches.
        """
        terms = self.penalties
        if several == 1:
            one = slice(start, stop)
            terms = None if terms is None else terms[one]
            return Steps(first + start + 1, self.losses[one], self.norms[one],
                         lr * self.numbers[one, 1], self.counts[one], terms,
                         self.squares[one])  # fmt: skip
        begins = np.arange(start, stop) * several
        last = np.minimum(begins + several, self.count) - 1
        batches = slice(int(begins[0]), int(last[-1]) + 1)

        def total(array: Array) -> Array:
            return np.add.reduceat(array[batches], begins - begins[0])

        terms = None if terms is None else total(terms)
        return Steps(first + start + 1, total(self.losses), self.norms[last],
                     lr * self.numbers[last, 1], total(self.counts), terms,
                     self.squares[last])  # fmt: skip

    def _pairs(self, program: Any) -> list[tuple[Tensor, Tensor]]:
        """List the weights that lie, after a step, where the others were kept before."""
        if not isinstance(program, Program):
            return []
        leaves = program.leaves
        found = {(x.order, kept.order) for x, kept in program.text.exchanged}
        return [
            (x, kept) for x, kept in self.graph.before.items()
            if (leaves[x.birth].order, leaves[kept.birth].order) in found
        ]  # fmt: skip

    def _exchange(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Follow weights that have exchanged their memory with the others."""
        memory = self.memory
        for pair in pairs:
            x, kept = pair
            memory[x], memory[kept] = memory[kept], memory[x]
            self.views[x] = memory[x]
            for program, bound in self._each:
                for leaf in pair:
                    bound.begin(program.leaves[leaf.birth], memory[leaf])

    def _turns(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Give the steps that one program runs one after the other, by their end, and which."""
        if self.observer is None or self.bound is self._looking:
            yield stop, self.bound
            return
        due = self.observer.due(self.numbers[start:stop, 0])
        ends = [*(start + 1 + np.flatnonzero(due[1:] != due[:-1])).tolist(), stop]
        looking = bool(due[0])
        for end in ends:
            yield end, self._looking if looking else self.bound
            looking = not looking

    @property
    def _steps_at_once(self) -> int:
        """Steps whose sparse rows are written out together."""
        width = sum(math.prod(x.shape[1:]) for x in self.graph.rows.inputs)
        return max(int(_WRITTEN_OUT / max(self.batch_size * width, 1)), 1)

    def load(self, updater: Updater, averages: Sequence[Array] | None = None) -> None:
        """Take averages over, and the optimizer's state, which lets its own arrays go."""
        for b, name, parts in self._state():
            block = updater.blocks[b]
            whole = block.state.pop(name)
            for x, place in parts:
                own = place in (None, -1)
                self.memory[x][...] = whole if own else block.piece(whole, int(place or 0))
        for view, average in zip(self.averages, averages or (), strict=False):
            view[...] = average
        for x, memory in self.memory.items():
            self._set(x, memory)  # a device has to be told

    def close(self, updater: Updater) -> None:
        """Give the optimizer's state back, piece by piece in place of the step's own memory."""
        self._each.clear()
        self._exchanged.clear()
        del self.bound, self._looking
        for x in self.graph.before.values():
            del self.memory[x]
        self.store(updater, last=True)

    def store(self, updater: Updater, *, last: bool = False) -> None:
        """Give a copy of the optimizer's state; after the `last` one there is no more to run."""
        for b, name, parts in self._state():
            arrays = [self.memory[x] for x, _ in parts]
            alone = arrays[0].ndim == 0
            joined = np.array(arrays[0]) if alone else np.concatenate([x.ravel() for x in arrays])
            updater.blocks[b].state[name] = joined
            if last:
                del arrays
                for x, _ in parts:
                    del self.memory[x]

    def _state(self) -> list[tuple[int, str, list[tuple[Tensor, int | None]]]]:
        """List the optimizer's state: its block and name, and the tensors it is made of."""
        parts: dict[tuple[int, str], list[tuple[Tensor, int | None]]] = {}
        for x, b, name, place in self.graph.state:
            parts.setdefault((b, name), []).append((x, place))
        return [(b, name, tensors) for (b, name), tensors in parts.items()]


def _split(unit: Unit, array: Array) -> Iterator[tuple[Tensor, Array]]:
    """Give the parameters of a unit, and their parts of an array for all of it."""
    flat, start = array.reshape(-1), 0
    for p in unit.members:
        size = math.prod(p.shape)
        yield p, flat[start : start + size].reshape(p.shape)
        start += size
