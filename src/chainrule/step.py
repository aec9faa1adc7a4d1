"""The training step as one graph, and as a program that runs many of them.

Batch, loss, gradients, clipping and update are traced together, so that they can be compiled as a
whole:

>>> import numpy as np
>>> from chainrule import losses, nn, optim
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
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from chainrule import ops
from chainrule.data import Rows
from chainrule.dims import Size
from chainrule.errors import ConfigError, GraphError
from chainrule.graph import (
    Array,
    Tensor,
    Value,
    ancestors,
    constant,
    placeholder,
    scope,
    tracing,
)  # fmt: skip
from chainrule.losses import Loss
from chainrule.nn.module import Module
from chainrule.observing import Observer, Watched, watch
from chainrule.penalties import Penalized
from chainrule.places import check_places
from chainrule.sizing import sized
from chainrule.transforms.compile.arena import zeros
from chainrule.transforms.compile.beside import Beside
from chainrule.transforms.compile.bound import Bound
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.report import Profile, plan, profile, work
from chainrule.transforms.compile.structure import same
from chainrule.transforms.reverse import reverse
from chainrule.updating import Updater, advance, norm_of, scale_of

if TYPE_CHECKING:
    from chainrule.transforms.device import JaxProgram

_WRITTEN_OUT = 250_000
"""Numbers of sparse rows that are written out at a time."""

Kind: TypeAlias = "type[Program] | type[NumpyProgram] | type[JaxProgram]"

NUMBERS = ("t", "factor", "keep")
"""What a step is told: its number, a factor for the rate, and how much averages keep."""

ACCUMULATING = ("total", "apply")
"""What else, if several batches make an update: rows, or weights, of all, and 1 in the last."""


class Unit(NamedTuple):
    """What the optimizer updates at once: a parameter, or all of a block side by side."""

    leaf: Tensor
    gradient: Tensor
    name: str
    members: list[Tensor]
    block: int
    place: int | None


class StepGraph:
    """One training step, traced: what it reads, what it gives, what it changes.

    `data` are the rows of the whole training set, of which `index` picks a batch. `updates` maps
    parameters, buffers, optimizer state and averages to their new values. With `flat` the
    parameters of a block are updated as one array, which saves calls where each op is one. With
    `accumulate` a step takes one batch of several, adds its gradient to a sum, and updates in the
    last of them; the losses of the batches add up to that of all. Statistics are traced of the
    layers of the model that is `seen`.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        updater: Updater,
        rows: Rows,
        *,
        penalty: Penalized | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        accumulate: bool = False,
        average: bool = False,
        flat: bool = False,
        seen: Module | None = None,
    ) -> None:
        self.parameters = updater.parameters
        self.rows = rows
        self.flat = flat
        self.names: dict[int, str] = {}
        self.index = self._named(placeholder(("batch",), np.int64), "index")
        self.numbers = [
            self._named(placeholder((), np.float64, weak=True), name)
            for name in (*NUMBERS, *(ACCUMULATING if accumulate else ()))
        ]
        self.accumulate = accumulate
        self.data = [
            self._whole(f"input_{i}" if i else "input", x) for i, x in enumerate(rows.inputs)
        ]
        self.target = self._whole("target", rows.target)
        self.weight = None if rows.weight is None else self._whole("weight", rows.weight)
        self.state: list[tuple[Tensor, int, str, int | None]] = []
        self.means: list[Tensor] = []
        with sized(model, self.names), tracing() as buffers:
            self.loss, self.term = self._loss(model, loss, penalty)
            self.units = self._units(updater)
            sums = self._summed() if accumulate else {}
            if clip_value is not None:
                self.units = [
                    unit._replace(gradient=ops.clip(unit.gradient, -clip_value, clip_value))
                    for unit in self.units
                ]
            self.norm = norm_of([unit.gradient for unit in self.units])
            scale = None if clip_norm is None else scale_of(self.norm, clip_norm)
            self.updates = dict(buffers) | sums
            self._named(self.loss, "loss")
            self._named(self.norm, "gradient_norm")
            for unit in self.units:
                self._update(updater, unit, scale)
                if average:
                    self._average(unit)
            nothing: tuple[Beside, list[Watched]] = (Beside((), {}), [])
            self.beside, self.watched = watch(self, seen) if seen else nothing

    def _named(self, node: Tensor, name: str) -> Tensor:
        self.names[node.birth] = name
        return node

    def _whole(self, name: str, array: Array) -> Tensor:
        sizes = [Size.of(n, f"{name}.{k}") for k, n in enumerate(array.shape[1:], start=1)]
        return self._named(placeholder(("rows", *sizes), array.dtype), f"{name}_rows")

    def _loss(
        self, model: Module, loss: Loss, penalty: Penalized | None
    ) -> tuple[Tensor, Tensor | None]:
        """Give what a step minimizes, and the penalty in it."""
        with scope("batch"):
            inputs = [ops.take(x, self.index) for x in self.data]
            target = ops.take(self.target, self.index)
            weight = None if self.weight is None else ops.take(self.weight, self.index)
            rows = ops.count(target, 0) if weight is None else ops.sum(weight)
            empty = None if weight is None else ops.equal(rows, 0.0)
            if weight is not None:  # of a batch without weight nothing counts
                weight = ops.where(empty, np.ones((), weight.dtype), weight)
        prediction = model(*inputs)
        value: Tensor = loss.value(prediction, target, weight)
        if value.shape != ():
            raise GraphError(f"the loss has shape {value.shape}, expected one number")
        if self.accumulate:
            own, rows = rows, self.numbers[-2]
            empty = None if weight is None else ops.equal(rows, 0.0)
            value = ops.mul(value, ops.div(own, _unless(empty, rows, 1.0)))
        else:
            value = _unless(empty, value, 0.0)
        if penalty is None:
            return value, None
        with scope("penalty"):
            rows = _unless(empty, rows, 1.0)
            term = penalty.term(rows)
            if not isinstance(term, Tensor):
                term = ops.mul(ops.div(rows, rows), np.asarray(term, value.dtype))
            term = _unless(empty, term, 0.0)
            if self.accumulate:
                term = ops.mul(term, self.numbers[-1])
            return ops.add(value, term), term

    def _units(self, updater: Updater) -> list[Unit]:
        """Differentiate, and say what is updated at once."""
        found = self._differentiated()
        with scope("gradient"):
            gradients = [
                constant(np.zeros(p.shape, p.dtype)) if g is None else g
                for g, p in zip(found, self.parameters, strict=True)
            ]
            for g, p in zip(gradients, self.parameters, strict=True):
                self._named(g, f"{self.names[p.birth]}_gradient")
            units = []
            for b, block in enumerate(updater.blocks):
                if self.flat:
                    parts = [ops.reshape(gradients[i], -1) for i in block.members]
                    joined = ops.concat(parts) if len(parts) > 1 else parts[0]
                    leaf = placeholder(joined.shape, joined.dtype)
                    members = [self.parameters[i] for i in block.members]
                    units.append(Unit(leaf, joined, f"block_{b}", members, b, None))
                    continue
                for place, i in enumerate(block.members):
                    p = self.parameters[i]
                    units.append(Unit(p, gradients[i], self.names[p.birth], [p], b, place))
            return units

    def _differentiated(self) -> list[Value]:
        one = np.ones((), self.loss.dtype)
        return reverse([self.loss], [one], self.parameters, create_graph=True)

    def _summed(self) -> dict[Tensor, Tensor]:
        """Add the gradients to sums, which the last batch of an update clears."""
        sums: dict[Tensor, Tensor] = {}
        with scope("accumulate"):
            for i, unit in enumerate(self.units):
                leaf = unit.leaf
                held = self._named(placeholder(leaf.shape, leaf.dtype), f"{unit.name}_sum")
                total = ops.add(held, unit.gradient)
                sums[held] = ops.where(self._last(), np.zeros((), leaf.dtype), total)
                self.units[i] = unit._replace(gradient=total)
        return sums

    def _last(self) -> Value:
        return ops.equal(self.numbers[-1], 1.0)

    def _now(self, new: Value, old: Tensor) -> Any:
        """Give the new value in the last batch of an update, and the old one before."""
        return ops.where(self._last(), new, old) if self.accumulate else new

    def _update(self, updater: Updater, unit: Unit, scale: Value) -> None:
        """Give parameters and optimizer state their new values."""
        block = updater.blocks[unit.block]
        known = {(b, name): x for x, b, name, place in self.state if place == -1}
        state = {}
        for name, value in block.state.items():
            if np.ndim(value) == 0 and (unit.block, name) in known:
                state[name] = known[unit.block, name]  # one number for the whole block
                continue
            shape = unit.leaf.shape if np.ndim(value) else ()
            state[name] = self._named(placeholder(shape, value.dtype), f"{unit.name}_{name}")
            place = unit.place if np.ndim(value) else -1
            self.state.append((state[name], unit.block, name, place))
        t: Any = self.numbers[0]
        factor: Any = self.numbers[1]
        g = unit.gradient
        with scope(type(block.optimizer).__name__):
            if scale is not None:
                g = ops.mul(g, ops.cast(scale, dtype=g.dtype))
            rate = block.optimizer.lr * factor
            new, after = advance(block.optimizer, unit.leaf, g, state, t, rate, block.threshold)
            self.updates[unit.leaf] = self._now(new, unit.leaf)
            for name, value in after.items():
                self.updates[state[name]] = self._now(value, state[name])

    def _average(self, unit: Unit) -> None:
        """Move an average towards the new parameter; the first takes it as it is."""
        keep, new = self.numbers[2], self.updates[unit.leaf]
        with scope("average"):
            mean = self._named(
                placeholder(unit.leaf.shape, unit.leaf.dtype), f"{unit.name}_average"
            )
            moved = ops.add(mean, ops.mul(ops.sub(new, mean), 1.0 - keep))
            moved = ops.where(ops.equal(keep, 0.0), new, moved)
            self.updates[mean] = self._now(moved, mean)
        self.means.append(mean)

    def check_indices(self) -> None:
        """Raise if data names a place that does not exist: compiled code does not look."""
        if not all(isinstance(x, np.ndarray) for x in self.rows.inputs):
            return  # sparse rows hold numbers, which are no places
        n = len(self.rows)
        data = dict(zip(self.data, self.rows.inputs, strict=True))
        data |= {self.target: self.rows.target, self.index: np.arange(n)}
        check_places([self.loss], data, {"rows": n, "batch": n}, trusted=[self.index])

    def check_repeats(self, model: Module, loss: Loss, penalty: Penalized | None) -> None:
        """Raise unless the loss, traced again, is the same graph with the same numbers.

        A model that draws random numbers in Python does not repeat: its program would use those
        of the trace forever.
        """
        with sized(model, {}), tracing():
            again, _ = self._loss(model, loss, penalty)
        if not same(ancestors([self.loss]), ancestors([again])):
            raise GraphError(
                "the model computes something else each time it is called, so that a trace of it "
                "cannot stand for all steps: draw random numbers with ops.uniform(key, shape) and "
                "a Buffer as the key, or train with compile=False"
            )

    def program(self, kind: Kind, *, beside: bool = False) -> Any:
        """Write the program of the step, or that of a step that is looked at."""
        inputs = [*self.data, self.target, self.index, *self.numbers]
        inputs += [] if self.weight is None else [self.weight]
        inputs += self.parameters if self.flat else []
        checks = [self.loss, self.norm]
        ends = checks if self.term is None else [*checks, self.term]
        streams = [self.index, *self.numbers, *ends]
        also = self.beside if beside else Beside((), {})
        streams += also.outputs
        return kind(inputs, ends, self.updates, streams=streams, checks=checks, names=self.names,
                    beside=also)  # fmt: skip


def _unless(empty: Value, value: Any, otherwise: float) -> Any:
    """Give a value, but another one in a batch without weight, if there may be one."""
    if empty is None:
        return value
    return ops.where(empty, np.asarray(otherwise, value.dtype), value)


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
        for x in self.graph.updates:
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
            end = bound.run(end, last, self.short, threads)
            if end < last:
                break
        for column, written in self._copies:
            column[start:end] = written[start:end]
        self.failed = end < stop
        self._renew()
        return end

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

    def before_update(self, call: Callable[[], None] | None, step: int) -> None:
        """Call a function in one step, of which loss and norm are finite, before it updates."""
        for _, bound in self._each:
            bound.before_update(call, step)

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
        self.before_update(None, -1)  # it may refer to what holds the memory
        self._each.clear()
        del self.bound, self._looking
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
