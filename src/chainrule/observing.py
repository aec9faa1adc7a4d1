"""How statistics are taken: in the graph of a step, or beside a step as written.

>>> import numpy as np
>>> from chainrule import nn
>>> net = nn.mlp([1, 2, 1], "relu", seed=0)
>>> observer = Observer(net, dict(net.named_parameters()), every=10)
>>> observer.due(np.arange(1, 23)).nonzero()[0] + 1
array([ 1, 11, 21])
"""

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule import ops
from chainrule.dims import unit_axis
from chainrule.errors import FAULTS, FormatError
from chainrule.graph import Array, Tensor, constant, placeholder, scope, tracing
from chainrule.nn.module import Module
from chainrule.slopes import calls_in, largest_slope, totals
from chainrule.statistics import EpochStatistics, Norms, Statistics
from chainrule.tally import Steps
from chainrule.transforms.compile.beside import Beside
from chainrule.tree import flatten
from chainrule.updating import squares_of

if TYPE_CHECKING:
    from chainrule.step_graph import StepGraph


class Watched(NamedTuple):
    """An activation whose slopes are added up: leaves for sums of its units, and their number."""

    name: str
    owner: Module
    row: tuple[int, ...]
    leaves: tuple[Tensor, ...] = ()

    @property
    def units(self) -> int:
        """Number of units: those along one axis of a row."""
        return self.row[unit_axis(1 + len(self.row)) - 1]


def watch(graph: "StepGraph", model: Module) -> tuple[Beside, list[Watched]]:
    """Trace what is to be seen in a step, beside it.

    The outputs are sums of squares: of gradient, weights and update of each parameter. What is
    updated are the sums of slopes.
    """
    squares: dict[Tensor, list[Tensor]] = {}
    updates: dict[Tensor, Tensor] = {}
    layers: list[Watched] = []
    with scope("statistics"):
        for unit in graph.units:
            whole = [unit.gradient, ops.sub(graph.updates[unit.leaf], unit.leaf)]
            start = 0
            for p in unit.members:
                stop = start + int(np.prod(p.shape, dtype=int))
                alone = len(unit.members) == 1
                g, update = whole if alone else [x[start:stop] for x in whole]
                squares[p] = [squares_of(x) for x in (g, p, update)]
                start = stop
        for call in calls_in([graph.loss], model):
            found = totals(call) if call.x.requires_grad else None
            if found is None:
                continue
            leaves = placeholder(found[0].shape, np.float64), placeholder((), np.float64)
            row = tuple(map(int, call.y.shape[1:]))
            layers.append(Watched(call.name, call.owner, row, leaves))
            for leaf, total, kind in zip(leaves, found, ("slopes", "rows"), strict=True):
                updates[leaf] = ops.add(leaf, total)
                graph.names[leaf.birth] = f"{kind}_{call.name}"
    outputs = tuple(x for p in graph.parameters for x in squares[p])
    return Beside(outputs, updates), layers


class Observer:
    """What was seen since the epoch began, in every k-th step, the first among them."""

    def __init__(self, model: Module, parameters: Mapping[str, Tensor], every: int) -> None:
        self.model = model
        given = {p.birth: name for name, p in model.named_parameters()}
        self.names = [given.get(p.birth, name) for name, p in parameters.items()]
        self.parameters = list(parameters.values())
        self.every = every
        self.squares = np.zeros(3 * len(self.names))
        self.steps = self.rows = 0
        self.sums: dict[str, Array] = {}
        self._watched: dict[str, Watched] = {}
        self._largest: dict[str, float] = {}

    def due(self, t: Any) -> Any:
        """Whether a step is looked at, by its number; or which steps are."""
        return (t - 1) % self.every == 0

    def sums_of(self, layer: Watched) -> Array:
        """Give where the slopes of an activation are added up; the last number counts them."""
        known = self.sums.get(layer.name)
        if known is None or len(known) != layer.units + 1:
            self.sums[layer.name] = np.zeros(layer.units + 1)
        self._watched[layer.name] = layer
        return self.sums[layer.name]

    def add(self, done: Steps) -> None:
        """Take in those of some steps that were looked at."""
        due = self.due(done.first + np.arange(len(done.losses)))
        if due.any():
            added = np.vstack([self.squares, np.asarray(done.squares)[due]])
            self.squares = np.add.accumulate(added)[-1].copy()  # one by one, however many come
            self.steps += int(due.sum())
            self.rows += int(np.asarray(done.counts)[due].sum())

    def seen(self, done: Steps, i: int) -> Norms | None:
        """Give what was seen in one of some steps, if it was looked at."""
        return Norms(self.names, np.array(done.squares[i])) if self.due(done.first + i) else None

    # In steps as written.

    def look(self, loss: Tensor) -> None:
        """Add the slopes up that a loss was computed with."""
        for call in calls_in([loss], self.model):
            found = totals(call) if call.x.requires_grad else None
            if found is not None:
                sums = self.sums_of(Watched(call.name, call.owner, call.y.shape[1:]))
                sums[:-1] += found[0]
                sums[-1] += found[1]

    def find(self, inputs: Sequence[Array]) -> None:
        """Find the activations that a row goes through, before a step is looked at."""
        evaluated = self.model.evaluating()
        with tracing():
            output = evaluated(*map(constant, inputs))
        for call in calls_in([x for x in flatten(output) if isinstance(x, Tensor)], evaluated):
            if call.name in self.sums:
                self._watched[call.name] = Watched(call.name, call.owner, call.y.shape[1:])

    def measured(self, gradients: Sequence[Array], before: Sequence[Array]) -> Array:
        """Give the sums of squares of a step, after which the weights are those of now."""
        triples = zip(gradients, before, self.parameters, strict=True)
        return np.array([
            squares_of(x) for g, old, p in triples for x in (g, old, p.value - old)
        ])  # fmt: skip

    # From epoch to epoch, and from one training to the next.

    def epoch(self, epoch: int) -> EpochStatistics | None:
        """Give the statistics of the epoch that ends, if a step of it was looked at."""
        found = None
        if self.steps:
            slopes = {
                name: _share(sums[:-1] / sums[-1], self._largest_of(self._watched[name]))
                for name, sums in self.sums.items()
                if name in self._watched and sums[-1]
            }
            squares = self.squares / self.steps
            found = EpochStatistics(self.names, squares, slopes, epoch, self.steps, self.rows)
        self.squares[:] = 0
        self.steps = self.rows = 0
        for sums in self.sums.values():
            sums[:] = 0
        return found

    def _largest_of(self, layer: Watched) -> float:
        if layer.name not in self._largest or layer.owner.parameters():
            self._largest[layer.name] = largest_slope(layer.owner, layer.row)
        return self._largest[layer.name]

    def state(self, past: Statistics) -> tuple[list[Any], Array]:
        """Give what a checkpoint needs: counts and sizes of each epoch, and all their numbers.

        The epoch that has begun is the last, and has number 0.
        """
        listed: list[Any] = []
        numbers: list[Array] = []
        for each in past:
            listed.append([each.epoch, each.steps, each.rows, _sizes(each.slopes)])
            numbers += [each.squares.ravel(), *each.slopes.values()]
        listed.append([0, self.steps, self.rows, _sizes(self.sums)])
        return listed, np.concatenate([*numbers, self.squares, *self.sums.values()])

    def restore(self, listed: Sequence[Any], arrays: Mapping[str, Array]) -> Statistics:
        """Go on from a checkpoint; gives the statistics of the epochs that are over."""
        past = Statistics()
        try:
            numbers = iter(self._parts(listed, arrays["statistics"]))
            for epoch, steps, rows, sizes in listed:
                squares = next(numbers)
                slopes = {str(name): next(numbers) for name, _ in sizes}
                counts = [operator.index(n) for n in (epoch, steps, rows)]
                past.epochs.append(EpochStatistics(self.names, squares, slopes, *counts))
            last = past.epochs.pop()
        except FAULTS as error:
            raise FormatError(f"its statistics cannot be read: {error}") from error
        self.squares, self.sums = last.squares.ravel(), last.slopes
        self.steps, self.rows = last.steps, last.rows
        return past

    def _parts(self, listed: Sequence[Any], numbers: Array) -> list[Array]:
        """Divide the numbers of all epochs."""
        sizes = [
            size for *_, layers in listed
            for size in (len(self.squares), *(operator.index(n) for _, n in layers))
        ]  # fmt: skip
        if numbers.shape != (sum(sizes),) or numbers.dtype != np.float64 or min(sizes) < 0:
            raise ValueError(f"there are {numbers.shape} numbers of {numbers.dtype}")
        return [part.copy() for part in np.split(numbers, np.cumsum(sizes)[:-1])]


def _share(slopes: Array, largest: float) -> Array:
    """Divide by the largest; any slope at all is a large one where that is 0."""
    return slopes / largest if largest else np.where(slopes == 0, 0.0, np.inf)


def _sizes(arrays: Mapping[str, Array]) -> list[list[Any]]:
    return [[name, len(x)] for name, x in arrays.items()]
