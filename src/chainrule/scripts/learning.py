"""The script that learns from a batch as `train` does, its gradient written from the graph."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.contract import judged
from chainrule.data import as_rows
from chainrule.errors import ConfigError
from chainrule.graph import Array, Tensor, ancestors
from chainrule.losses import Loss
from chainrule.nn.module import Module
from chainrule.plan import Plan
from chainrule.scripts.script import (
    READ,
    Script,
    input_names,
    keys_of,
    kind_of,
    labels_of,
    put_together,
    shapes_of,
)
from chainrule.step_graph import StepGraph
from chainrule.stepping import traced
from chainrule.training import Training
from chainrule.transforms.python import converted, definition, finished, text
from chainrule.transforms.python.function import Writer
from chainrule.transforms.run import Spec

_TAKEN = ("optimizer", "groups", "penalty", "clip_norm", "clip_value")
_ROWS = 4
"""Rows of an example; no size in a step depends on them."""


def write_step(
    model: Module, loss: str | Loss | Module, like: Sequence[Any], plan: dict[str, Any],
    inline: bool | None,
) -> Script:  # fmt: skip
    """Write `step` of a module for inputs and targets like these."""
    if len(like) < 2:
        raise ConfigError("to_python with a loss: give inputs and targets, as to train")
    *inputs, target = (_example(x) for x in like)
    training = _training(model, loss, inputs, target, plan)
    graph = traced(training, flat=False)
    batch = _cut(graph)
    writer = Writer(keys_of(training.model), labels_of(training.model))
    numbers = [writer.fresh(name) for name in ("t", "factor")]
    names = [writer.fresh(name) for name in [*input_names(model, len(inputs)), "y"]]
    known = {x.birth: name for x, name in zip(batch, names, strict=True)}
    known |= {x.birth: name for x, name in zip(graph.numbers, numbers, strict=False)}
    starts = _keep_state(writer, graph, training)
    leaves = [writer.leaf(x, graph.names.get(x.birth)) for x in graph.updates]
    named = {x.birth: f"new_{name}" for x, name in zip(graph.updates.values(), leaves, strict=True)}
    named |= {graph.loss.birth: "loss"}
    named |= {
        x.birth: graph.names[x.birth]
        for unit in graph.units
        if (x := unit.gradient).birth in graph.names
    }
    ends = [*graph.updates.values(), graph.loss]
    body = writer.function([*batch, *graph.numbers], known, ends, leaves, named)
    changed = textwrap.wrap(", ".join(["t", *leaves]), 80)
    lines = [f"global {names.rstrip(',')}" for names in changed]
    lines += [*converted(batch, names), "t += 1", *body]
    doc = "Learn from a batch: update the weights, and give the loss before the update."
    step = definition("step", [*names, "factor=1.0"], doc, lines)
    parts = finished(writer, [step], ["t = 0  # steps done", *starts])
    shapes = shapes_of([x.shape for x in batch])
    what = f"Train the {kind_of(model)} that it was made of, with NumPy alone."
    return put_together(what, parts, _main(names, shapes), inline)


def _example(like: Any) -> Array:
    if not isinstance(like, Spec):
        return np.asarray(like)
    return np.zeros((_ROWS, *like.shape[1:]), like.dtype)  # type: ignore[arg-type]


def _training(
    model: Module, loss: str | Loss | Module, inputs: list[Array], target: Array,
    plan: dict[str, Any],
) -> Training:  # fmt: skip
    other = sorted(set(plan) - set(_TAKEN))
    if other:
        raise ConfigError(f"to_python: a step has no {other[0]}=; it takes {', '.join(_TAKEN)}")
    return Training(*judged(model, loss), as_rows(tuple(inputs), target), None, Plan(**plan))


def _cut(graph: StepGraph) -> list[Tensor]:
    """Let the batch be an input instead of rows that are taken: inputs, then targets.

    The graph is of this call alone.
    """
    picked = {
        x.inputs[0].birth: x for x in ancestors([graph.loss]) if x.op and graph.index in x.inputs
    }
    batch = [picked[x.birth] for x in [*graph.data, graph.target]]
    for x in batch:
        x.op, x.inputs, x.attrs = None, (), {}
    return batch


def _keep_state(writer: Writer, graph: StepGraph, training: Training) -> list[str]:
    """Name the arrays of the optimizer, and give the statements of those that start at 0."""
    starts = []
    for x, number, name, place in graph.state:
        block = training.updater.blocks[number]
        whole = block.state[name]
        value = whole if place in (None, -1) else block.piece(whole, int(place or 0))
        key = graph.names[x.birth]
        own = writer.names[x.birth] = writer.fresh(key)
        if np.any(value):
            writer.arrays[own] = (key, value)
        else:
            starts.append(text.array_statement(own, value))
    return starts


def _main(names: Sequence[str], shapes: str) -> str:
    return f"""{READ}


if __name__ == "__main__":
    shapes = {shapes}
    if len(sys.argv) != 1 + len(shapes):
        sys.exit("give files of rows: {", ".join(names)}")
    batch = [read(path, shape) for path, shape in zip(sys.argv[1:], shapes)]
    for _ in range(100):
        print(t + 1, step(*batch))
"""
