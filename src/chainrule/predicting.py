"""Predictions of a model: as written, as a program where that pays, or by JAX if asked to.

>>> import numpy as np
>>> from chainrule import nn
>>> model = nn.mlp([2, 4, 1], "tanh", seed=0)
>>> rows = np.ones((1000, 2), np.float32)
>>> predict(model, (rows,)).shape
(1000, 1)
>>> compiled = Prediction(model, (rows,), compile="numba")
>>> bool(np.allclose(compiled((rows,)), predict(model, (rows,))))
True
"""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from chainrule.errors import has
from chainrule.graph import Array, no_grad, value_of
from chainrule.nn.module import Module
from chainrule.places import check_places
from chainrule.plan import compiling
from chainrule.sizing import sized
from chainrule.transforms.compile import DEVICE, FEW, Compiled
from chainrule.transforms.compile.executor import NumpyProgram
from chainrule.transforms.run import Graph, Spec, trace

if TYPE_CHECKING:
    from chainrule.transforms.device import JaxFunction

BATCH = 4096
"""Rows that are predicted at a time without a program."""

WORTH_TRACING = 0.05
WORTH_COMPILING = 1.0
"""Estimated seconds as written from which on a program is looked for, or made anew."""


class Prediction:
    """The forward pass of a model in eval mode, for rows like these, as often as `times`.

    `compile` is what `Plan` calls so: a program is machine code, or runs by JAX, and NumPy predicts
    as written. Where the choice has to be `repeatable`, it does not depend on what was compiled
    before.
    """

    def __init__(
        self,
        model: Module,
        inputs: Sequence[Array],
        *,
        times: int = 1,
        compile: bool | str = "auto",  # noqa: A002
        threads: int | None = None,
        repeatable: bool = False,
    ) -> None:
        self.model = model
        self.program: Compiled | JaxFunction | None = None
        wanted = compiling(compile)
        if wanted in (True, "numba"):
            self.program = Compiled(self._traced(inputs), threads=threads)
        elif wanted == "jax":
            self.program = importlib.import_module(DEVICE).JaxFunction(self._traced(inputs))
        elif wanted == "auto" and self._may_pay(len(inputs[0]) * times):
            try:
                graph = self._traced(inputs)
                self.program = _paying(graph, len(inputs[0]), times, threads, repeatable)
            except Exception:  # a model that cannot be traced predicts as written
                self.program = None

    @property
    def by(self) -> str:
        """By what: "numba", "jax", or "as written"."""
        if self.program is None:
            return "as written"
        return "numba" if isinstance(self.program, Compiled) else "jax"

    def _may_pay(self, rows: int) -> bool:
        """Whether the work is above what tracing costs, roughly, and Numba is there."""
        if rows <= FEW:
            return False
        weights = sum(p.value.size for p in self.model.parameters())
        much = 1e-10 * rows * weights > WORTH_TRACING / 10
        return much and has("numba")

    def _traced(self, inputs: Sequence[Array]) -> Graph:
        specs = [Spec(("rows", *x.shape[1:]), x.dtype) for x in inputs]
        with sized(self.model, {}):
            return trace(self.model.evaluating(), *specs)

    def __call__(self, inputs: Sequence[Array]) -> Array:
        """Compute the outputs; sparse rows are made dense a few thousand at a time."""
        n = len(inputs[0])
        at_once = isinstance(self.program, Compiled)  # which takes the memory of a few rows
        at_once = at_once and all(isinstance(x, np.ndarray) for x in inputs)
        size = max(n, 1) if at_once else BATCH
        compute = self._as_written if self.program is None else self._by_program
        with no_grad(), np.errstate(all="ignore"):
            parts = [
                compute(*(x[start : start + size] for x in inputs))
                for start in range(0, max(n, 1), size)
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _as_written(self, *inputs: Array) -> Array:
        return np.asarray(value_of(self.model.evaluating()(*inputs)))

    def _by_program(self, *inputs: Array) -> Array:
        assert self.program is not None
        graph = self.program.graph
        data = dict(zip(graph.inputs, inputs, strict=True))
        check_places([graph.output], data, {"rows": len(inputs[0])})
        return np.asarray(self.program(*inputs))


def _paying(
    graph: Graph, rows: int, times: int, threads: int | None, repeatable: bool
) -> Compiled | None:
    """Make a program if the work is worth it; one that was compiled before costs little."""
    seconds = NumpyProgram(graph.inputs, [graph.output]).seconds({"rows": rows}) * times
    if seconds < WORTH_TRACING:
        return None
    if repeatable and seconds <= WORTH_COMPILING:
        return None
    compiled = Compiled(graph, threads=threads)
    return compiled if seconds > WORTH_COMPILING or compiled.program.is_ready else None


def predict(model: Module, inputs: Sequence[Array], trained: bool | str = "auto") -> Array:
    """Compute the outputs of a model in eval mode.

    What was `trained` by JAX is predicted by JAX where it is installed, and else as any model.
    """
    how = "jax" if trained == "jax" and has("jax") else "auto"
    return Prediction(model, inputs, compile=how)(inputs)
