"""The training step traced as one graph: batch, loss, gradients, clipping, update.

>>> import numpy as np
>>> from chainrule import losses, nn, optim
>>> model = nn.mlp([2, 4, 1], "tanh", seed=0)
>>> rows = Rows((np.ones((8, 2), np.float32),), np.zeros((8, 1), np.float32))
>>> graph = StepGraph(model, losses.mse, Updater(model.parameters(), optim.SGD(0.1)), rows)
>>> [graph.names[x.birth] for x in graph.updates]
['weight_0', 'bias_0', 'weight_2', 'bias_2']
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from chainrule import ops
from chainrule.data import Rows
from chainrule.dims import Size
from chainrule.errors import GraphError
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
from chainrule.observing import Watched, watch
from chainrule.penalties import Penalized
from chainrule.places import check_places
from chainrule.sizing import sized
from chainrule.transforms.compile.beside import Beside
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.compile.program import Program
from chainrule.transforms.compile.structure import same
from chainrule.transforms.reverse import reverse
from chainrule.updating import Updater, advance, norm_of, scale_of

if TYPE_CHECKING:
    from chainrule.transforms.device import JaxProgram

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
    parameters, buffers, optimizer state and averages to their new values, `before` parameters and
    buffers to leaves that keep their old ones, and `kept` these to what they take. With `flat` the
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
            self.kept: dict[Tensor, Tensor] = {}
            self.before = self._keep([*buffers, *(unit.leaf for unit in self.units)])
            nothing: tuple[Beside, list[Watched]] = (Beside((), {}), [])
            self.beside, self.watched = watch(self, seen) if seen else nothing
        news = [*self.updates.values(), *self.kept.values()]
        for x in ancestors([self.loss, self.norm, *news, *self.beside.ends]):
            if x.op is not None:
                x.value = None  # of weights alone, such as a penalty: each step computes it anew

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
        rows = ops.cast(rows, dtype=value.dtype)
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

    def _keep(self, leaves: Sequence[Tensor]) -> dict[Tensor, Tensor]:
        """Keep what parameters and buffers were before the update: their loss was finite.

        Once the next loss is known, they may be written over, so that gradients can lie there.
        """
        found = {}
        with scope("keep"):
            for leaf in leaves:
                name = f"{self.names[leaf.birth]}_before" if leaf.birth in self.names else "before"
                found[leaf] = self._named(placeholder(leaf.shape, leaf.dtype), name)
                self.kept[found[leaf]] = self._now(ops.identity(leaf), found[leaf])
        return found

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
        return kind(inputs, ends, self.updates | self.kept, streams=streams, checks=checks,
                    names=self.names, beside=also)  # fmt: skip


def _unless(empty: Value, value: Any, otherwise: float) -> Any:
    """Give a value, but another one in a batch without weight, if there may be one."""
    if empty is None:
        return value
    return ops.where(empty, np.asarray(otherwise, value.dtype), value)
