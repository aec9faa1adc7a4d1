"""Explanations: a training step, or a prediction, with every number and where it comes from.

>>> import chainrule
>>> from chainrule import nn, optim
>>> net = nn.mlp([2, 2, 1], "tanh", seed=0)
>>> x, y = np.array([[0.5, 0.8]], np.float32), np.array([[1.0]], np.float32)
>>> step = explain(net, "mse", x, y, optimizer=optim.SGD(lr=0.1))
>>> step.text(level=0).startswith("Loss")
True
>>> step.verify().ok
True

The trace is the graph of the very step that `train` runs, with the value of every node. Text,
LaTeX, Markdown and HTML are made of the trace alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.contract import check_contract, judged
from chainrule.data import as_rows
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import (
    Array,
    Scope,
    Tensor,
    Value,
    ancestors,
    apply,
    placeholder,
    resumed,
    scope,
    shape_of,
    tracing,
)
from chainrule.losses import Loss
from chainrule.naming import Named, named
from chainrule.nn.module import Module
from chainrule.optim import Optimizer
from chainrule.penalties import Penalized
from chainrule.places import check_places
from chainrule.plan import plan_of
from chainrule.scan import Body
from chainrule.step_graph import StepGraph
from chainrule.training import Training
from chainrule.transforms.explain import Explanation
from chainrule.transforms.explain.reading import FORMAT
from chainrule.transforms.explain.record import evaluate, numbers, record
from chainrule.transforms.reverse import reverse
from chainrule.updating import Updater

MOST_NUMBERS = 20_000_000
"""A trace of more numbers would fill the memory."""

MOST_DIFFERENCES = 12
"""Weights whose gradient is compared with a quotient of differences."""


def explain(
    model: Module,
    loss: str | Loss | Module | None,
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    updater: Updater | None = None,
    columns: Sequence[Sequence[str]] = (),
    level: Any = None,
    **plan: Any,
) -> Explanation:
    """Explain a step of training on these rows: forward pass, loss, backward pass, update.

    The arguments are those of `chainrule.train`; `optimizer` says which update is explained, and
    `clip_norm`, `clip_value`, `penalty` and `groups` belong to it. All rows make one batch. Without
    `loss` and `y` a prediction is explained. The model, the optimizer and the random state stay as
    they are.

    `updater` is an optimizer at work, whose state and step number are taken; `columns` gives names
    to the columns of each input; `level` is what is told unless more or less is asked for.

    >>> from chainrule import nn
    >>> text = explain(nn.mlp([1, 1], seed=0), None, np.ones((1, 1))).text(level=1)
    >>> print(*text.splitlines()[3:], sep="; ")
    z1[0] = x[0]·W1[0,0] + b1[0];       = 1·0.4744 + 0;       = 0.4744 + 0;       = 0.4744
    """
    if (loss is None) != (y is None):
        raise ConfigError("explain(model, loss, x, y): expected both a loss and a target, for a "
                          "step of training, or neither, for a prediction")  # fmt: skip
    for part in x if isinstance(x, tuple) else (x,):
        if np.ndim(part) == 0:
            raise ShapeError(
                "explain: x is a single number; expected rows, such as x.reshape(1, 1)"
            )
    if loss is None:
        trace = _prediction(model, x if isinstance(x, tuple) else (x,))
        return Explanation(_with_columns(trace, columns), level)
    settings = replace(plan_of(plan), accumulate=1, average=None, batch_size=None)
    judge, chosen = judged(model, loss)
    rows = as_rows(x, y, weight)
    training = Training(judge, chosen, rows, None, settings, updater)
    with _modes(judge):
        check_contract(judge, chosen, rows, len(rows))
    with _modes(judge):
        judge.train()
        return Explanation(_with_columns(_Recorder(training).trace(), columns), level)


def _with_columns(trace: dict[str, Any], columns: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Say which column of a table each element of an input is."""
    inputs = [i for i, node in enumerate(trace["nodes"]) if node["role"] == "input"]
    for i, names in zip(inputs, columns, strict=False):
        shape = trace["nodes"][i]["shape"]
        if len(shape) != 2 or shape[1] != len(names):
            raise ConfigError(f"columns: {len(names)} names for an input of shape {shape}")
        trace["columns"] += [[str(name), i, k] for k, name in enumerate(names)]
    return trace


@contextmanager
def _modes(model: Module) -> Iterator[None]:
    """Leave every module in its mode."""
    before = [(module, module.training) for _, module in model.named_modules()]
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


def _prediction(model: Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """Trace what a model predicts for some rows."""
    arrays = [np.asarray(x) for x in inputs]
    evaluated = model.evaluating()
    leaves = [placeholder(("batch", *x.shape[1:]), x.dtype) for x in arrays]
    with tracing():
        (output,) = _unrolled(evaluated(*leaves))
    known = {leaf.birth: x for leaf, x in zip(leaves, arrays, strict=True)}
    sizes = {"batch": len(arrays[0])}
    check_places([output], dict(zip(leaves, arrays, strict=True)), sizes)
    nodes = ancestors([output])
    found = named(evaluated, nodes, leaves, {})
    return _written(nodes, evaluate(nodes, known, sizes), sizes, found) | {
        "predictions": [nodes.index(output)],
    }


def _written(
    nodes: Sequence[Tensor], values: dict[int, Any], sizes: dict[str, int], found: Named
) -> dict[str, Any]:
    """Give the part of a trace that all traces have."""
    count = sum(int(np.size(values[x.birth])) for x in nodes)
    if count > MOST_NUMBERS:
        raise ConfigError(
            f"this explanation would hold {count:,} numbers; expected at most {MOST_NUMBERS:,}: "
            "explain fewer rows, such as explain(model, loss, x[:8], y[:8])"
        )
    written = record(nodes, values, sizes)
    for node, plain in zip(nodes, written, strict=True):
        plain |= found.facts(node)
        plain["rows"] = bool(node.shape[:1]) and repr(node.shape[0]) == "batch"
    return {
        "format": FORMAT,
        "settings": {"rows": sizes["batch"], "layers": found.layers, "parameters": found.count},
        "nodes": written,
        "columns": [],
        "loss": None,
        "predictions": [],
        "gradients": [],
        "parameters": [],
        "after": None,
        "differences": [],
    }


# Recurrence, step by step.


def _unrolled(*outputs: Tensor) -> list[Tensor]:
    """Give the graph with every step of its scans written out."""
    nodes = ancestors(outputs)
    if not any(isinstance(x.attrs.get("body"), Body) for x in nodes):
        return list(outputs)
    new: dict[int, Tensor] = {}
    for node in nodes:
        if node.op is None:
            new[node.birth] = node
            continue
        inputs = [new[x.birth] for x in node.inputs]
        with resumed(node.scope):
            if isinstance(node.attrs.get("body"), Body):
                new[node.birth] = _steps(inputs, **node.attrs)
            else:
                new[node.birth] = apply(node.op, *inputs, **node.attrs)
    return [new[x.birth] for x in outputs]


def _steps(inputs: Sequence[Tensor], body: Body, length: int, reverse: bool) -> Tensor:
    """Apply the step of a scan as often as the scan does."""
    carry, moving, fixed = inputs[0], inputs[1 : body.count + 1], inputs[body.count + 1 :]
    rows, results = shape_of(carry)[0], {}
    for t in reversed(range(length)) if reverse else range(length):
        with scope(f"step {t}"):
            carry = body(carry, *[x[t] for x in moving], *fixed, rows=rows)
        results[t] = carry
    return ops.stack([results[t] for t in range(length)])  # type: ignore[no-any-return]


# A step of training.


class _ExplainedStep(StepGraph):
    """The graph of a step, which keeps the cotangent of every node, inputs included."""

    def _loss(
        self, model: Module, loss: Loss, penalty: Penalized | None
    ) -> tuple[Tensor, Tensor | None]:
        value, term = super()._loss(model, loss, penalty)
        value, *terms = _unrolled(*(x for x in (value, term) if x is not None))
        return value, terms[0] if terms else None

    def _differentiated(self) -> list[Value]:
        self.cotangents: dict[int, Value] = {}
        one = Tensor(np.ones((), self.loss.dtype))
        leaves = [*self.parameters, *self.inputs()]
        found = reverse(
            [self.loss], [one], leaves, create_graph=True, cotangents_of=self.cotangents
        )
        gradients = zip(leaves, found, strict=True)
        self.cotangents |= {p.birth: g for p, g in gradients if g is not None}
        return found[: len(self.parameters)]

    def inputs(self) -> list[Tensor]:
        """Give what the model takes, as far as it is numbers to differentiate by."""
        return [
            x
            for x in ancestors([self.loss])
            if x.inputs and x.inputs[0] in self.data and x.dtype.kind == "f"
        ]


class _Recorder:
    """Traces the step of a training, and runs it once."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.t = training.updater.t + 1
        self.graph = _ExplainedStep(
            training.model,
            training.loss,
            training.updater,
            training.rows,
            penalty=training.penalty,
            clip_value=training.plan.clip_value,
            clip_norm=training.plan.clip_norm,
        )
        self.graph.check_indices()
        self.sizes = {"rows": len(training.rows), "batch": len(training.rows)}
        self.known = self._known()

    def _known(self) -> dict[int, Any]:
        """Give the value of every input of the step."""
        graph, rows, blocks = self.graph, self.training.rows, self.training.updater.blocks
        factor = self.training.schedule(self.t - 1) * self.training.rate_factor
        known: dict[int, Any] = {graph.index.birth: np.arange(len(rows))}
        known |= {x.birth: v for x, v in zip(graph.numbers, (self.t, factor, 0.0), strict=False)}
        known |= {x.birth: v for x, v in zip(graph.data, rows.inputs, strict=True)}
        known[graph.target.birth] = rows.target
        if graph.weight is not None:
            known[graph.weight.birth] = rows.weight
        for x, b, name, place in graph.state:
            whole = blocks[b].state[name]
            known[x.birth] = whole if place in (None, -1) else blocks[b].piece(whole, place or 0)
        return known

    def trace(self) -> dict[str, Any]:
        """Give the trace."""
        graph, training = self.graph, self.training
        new = {unit.leaf: graph.updates[unit.leaf] for unit in graph.units}
        states = {x: graph.updates[x] for x, *_ in graph.state}
        outputs = [graph.loss, *new.values(), *states.values(), *graph.cotangents.values()]
        everything = ancestors([x for x in outputs if isinstance(x, Tensor)])
        values = evaluate(everything, self.known, self.sizes)
        cut = {x.birth for x in everything if _root(x.scope) == "batch"}
        cut |= {x.birth for x in everything if graph.numbers[1] in x.inputs}
        to_inputs = [graph.cotangents.get(x.birth) for x in graph.inputs()]
        ends = [graph.loss, *new.values(), *states.values()]
        ends += [g for g in to_inputs if isinstance(g, Tensor)]
        kept = {x.birth for x in ancestors(ends, cut)}
        kept |= cut & {x.birth for node in everything if node.birth in kept for x in node.inputs}
        nodes = [x for x in everything if x.birth in kept]
        found = named(
            training.model, nodes,
            [x for x in nodes if x.birth in cut and _root(x.scope) == "batch"], graph.cotangents,
            step=graph, loss=training.loss,
        )  # fmt: skip
        place = {x.birth: i for i, x in enumerate(nodes)}
        trace = _written(nodes, values, self.sizes, found)
        trace["loss"] = place[graph.loss.birth]
        trace["predictions"] = [place[x.birth] for x in found.outputs]
        trace["gradients"] = [
            [place[x], place[g.birth]]
            for x, g in graph.cotangents.items()
            if x in place and isinstance(g, Tensor) and g.birth in place
        ]
        trace["parameters"] = [
            {
                "label": found.labels[unit.leaf.birth],
                "node": place[unit.leaf.birth],
                "gradient": place[graph.cotangents[unit.leaf.birth].birth],
                "new": place[new[unit.leaf].birth],
                "states": [
                    [name, place[x.birth], place[states[x].birth]]
                    for x, b, name, p in graph.state
                    if (b, p) == (unit.block, unit.place)
                ],
            }
            for unit in graph.units
            if unit.leaf.birth in graph.cotangents and unit.leaf.birth in place
        ]
        trace["settings"] |= {
            "loss": repr(training.loss),
            "optimizer": _short(training.plan.optimizer),
            "step": self.t,
        }
        after = {x.birth: values[y.birth] for x, y in new.items()}
        trace["after"] = numbers(self._loss_with(after))
        trace["differences"] = self._differences(values)
        return trace

    def _loss_with(self, changed: dict[int, Any]) -> float:
        """Compute the loss with other parameters."""
        nodes = ancestors([self.graph.loss])
        found = evaluate(nodes, self.known | changed, self.sizes)
        return float(found[self.graph.loss.birth])

    def _double(self, values: dict[int, Any]) -> dict[int, Any]:
        """Give what the loss is computed from in float64, with all that counts as constant."""
        nodes = ancestors([self.graph.loss])
        leaves = {x.birth: self.known.get(x.birth, x.value) for x in nodes if x.op is None}
        double = {birth: _as(value, np.float64) for birth, value in leaves.items()}
        found = evaluate(nodes, double, self.sizes)
        constant = [x for x in nodes if x.op and x.op.kind == "discrete" and x.dtype.kind == "f"]
        return double | {x.birth: found[x.birth] for x in constant}

    def _differences(self, values: dict[int, Any]) -> list[dict[str, Any]]:
        """Compare gradients with quotients of differences, in float64, for some weights."""
        rng, listed = np.random.default_rng(0), []
        double = self._double(values)
        middle = self._loss_with(double)
        units = [u for u in self.graph.units if u.leaf.birth in self.graph.cotangents]
        each = max(MOST_DIFFERENCES // max(len(units), 1), 1)
        for i, unit in enumerate(units[:MOST_DIFFERENCES]):
            value = np.asarray(unit.leaf.value, np.float64)
            gradient = values[self.graph.cotangents[unit.leaf.birth].birth]
            for flat in sorted(rng.permutation(value.size)[:each]):
                index = tuple(int(n) for n in np.unravel_index(flat, value.shape))
                h = 1e-5 * max(1.0, abs(float(value[index])))
                up, down = (
                    self._loss_with(double | {unit.leaf.birth: _moved(value, index, d)})
                    for d in (h, -h)
                )
                listed.append(
                    {
                        "parameter": i,
                        "index": list(index),
                        "gradient": numbers(float(gradient[index])),
                        "quotient": numbers((up - down) / (2 * h)),
                        "left": numbers((middle - down) / h),
                        "right": numbers((up - middle) / h),
                    }
                )
        return listed


def _short(optimizer: Optimizer) -> str:
    """Write an optimizer with its rate and what differs from the defaults."""
    shown = [
        f"{item.name}={getattr(optimizer, item.name)!r}"
        for item in fields(optimizer)
        if item.name == "lr" or getattr(optimizer, item.name) != item.default
    ]
    return f"{type(optimizer).__name__}({', '.join(shown)})"


def _as(value: Any, dtype: Any) -> Any:
    is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(dtype) if is_float else value


def _moved(value: Array, index: tuple[int, ...], by: float) -> Array:
    moved = value.copy()
    moved[index] += by
    return moved


def _root(known: Scope | None) -> str:
    """Give the name of the outermost scope."""
    return "" if known is None else known.path().split("/")[0]
