"""The tables of an explanation: layers and parameters, the update, the loss by row, checks."""

from collections.abc import Iterator

import numpy as np

from chainrule.graph import Tensor
from chainrule.transforms.explain.blocks import (
    Block,
    Equation,
    Heading,
    Math,
    Part,
    Table,
    Words,
)
from chainrule.transforms.explain.flow import flow, gradient_rms
from chainrule.transforms.explain.reading import Weight
from chainrule.transforms.explain.rules import rule_of
from chainrule.transforms.explain.view import MOST_ROWS, View

MOST_CORRECTIONS = 12
"""Of the changes of weights, so many are listed, the largest."""


# 3: the network.


def network(view: View) -> Iterator[Block]:
    """Show the flow, and list layers and parameters: sizes, activations, gradients, steps."""
    yield Heading("Flow")
    yield from flow(view)
    yield Heading("Layers")
    header: tuple[Part, ...] = (
        "layer", "kind", "result", "shape", "mean", "std", "zeros", "gradient RMS",
    )  # fmt: skip
    rows = _layer_rows(view)
    if view.trace.loss is None:
        header, rows = header[:-1], [row[:-1] for row in rows]
    yield Table(header, tuple(rows))
    if view.trace.weights:
        yield _weights_table(view)


def _layer_rows(view: View) -> list[tuple[Part, ...]]:
    rows: list[tuple[Part, ...]] = []
    trace = view.trace
    for i, layer in enumerate(trace.settings["layers"]):
        *_, out = (x for x in trace.nodes if trace.fact(x, "layer") == i)
        g = gradient_rms(view, out)
        value = np.asarray(out.value, float)
        rows.append(
            (
                layer["name"] or "model",
                layer["kind"],
                view.name(out) if out.birth in view.script.names else "",
                "×".join(map(str, value.shape)),
                view.number(np.mean(value)),
                view.number(np.std(value)),
                f"{np.mean(value == 0):.0%}",
                "" if g is None else view.number(g),
            )
        )
    return rows


def _weights_table(view: View) -> Table:
    rows: list[tuple[Part, ...]] = []
    for w in view.trace.weights:
        size = float(np.linalg.norm(np.ravel(w.node.value)))
        step = float(np.linalg.norm(np.ravel(w.new.value - w.node.value)))
        rows.append(
            (
                w.label,
                view.name(w.node),
                f"{np.size(w.node.value):,}",
                view.number(size),
                view.number(np.linalg.norm(np.ravel(w.gradient.value))),
                view.number(step / size) if size else "",
            )
        )
    header = ("parameter", "name", "numbers", "length", "gradient's length", "step / length")
    return Table(header, tuple(rows))


# 4: the update.


def update(view: View) -> Iterator[Block]:
    """Tell the rule of the optimizer, one weight with numbers, and the largest corrections."""
    trace = view.trace
    if view.weight is None:
        return
    yield Heading("Update")
    yield Words((f"{trace.settings['optimizer']}, step {trace.settings['step']}.",))
    weight, index = view.weight
    own = _own_update(view, weight)
    for node in own:
        yield rule_of(view, node)
    for node in own:
        if np.shape(node.value) in (np.shape(weight.node.value), ()):
            place = index if np.ndim(node.value) else ()
            yield Equation(node, place, trace.define(node, place))
    yield _corrections(view)


def _own_update(view: View, weight: Weight) -> list[Tensor]:
    """Give the nodes with a name from the gradient of a weight to its new value."""
    seen: dict[int, Tensor] = {}
    stack = [weight.new, *(after for _, _, after in weight.states)]
    while stack:
        node = stack.pop()
        if node.birth not in seen and view.trace.fact(node, "part") == "update":
            seen[node.birth] = node
            stack += node.inputs
    return [x for _, x in sorted(seen.items()) if x.op and x.birth in view.script.names]


def _corrections(view: View) -> Table:
    """List the changes of weights, the largest of them if there are many."""
    listed: list[tuple[float, tuple[Part, ...]]] = []
    for w in view.trace.weights:
        step = np.asarray(w.new.value, float) - w.node.value
        order = np.argsort(-np.abs(np.ravel(step)), kind="stable")[:MOST_CORRECTIONS]
        for flat in np.sort(order):
            i = tuple(int(n) for n in np.unravel_index(flat, np.shape(step)))
            g = float(w.gradient.value[i])
            numbers = (w.node.value[i], g, step[i], w.new.value[i])
            ratio = view.number(-step[i] / g) if g else ""
            row = (view.name(w.node, i), *map(view.number, numbers), ratio)
            listed.append((abs(float(step[i])), row))
    least = sorted(size for size, _ in listed)[-MOST_CORRECTIONS:][0]
    rows = [row for size, row in listed if size >= least][:MOST_CORRECTIONS]
    header = ("weight", "before", "gradient", "step", "after", "−step / gradient")
    return Table(header, tuple(rows))


# 5: the loss.


def loss(view: View) -> Iterator[Block]:
    """List predictions, targets, losses and gradients by row, and derive the gradient."""
    trace = view.trace
    if trace.loss is None or trace.target is None:
        return
    yield Heading("Loss, row by row")
    output = trace.predictions[0] if trace.predictions else None
    g = None if output is None else trace.gradient_of.get(output.birth)
    count = trace.settings["rows"]
    titled = (
        ("prediction", output), ("target", trace.target), ("loss", _by_row(view)), ("gradient", g)
    )  # fmt: skip
    columns = [(title, x) for title, x in titled if x is not None]
    rows: list[tuple[Part, ...]] = [
        (str(r), *(view.listed(np.asarray(x.value)[r]) for _, x in columns))
        for r in range(count)[:MOST_ROWS]
    ]
    names = (
        view.name(x) if x.birth in view.script.names and title != "loss" else title
        for title, x in columns
    )
    yield Table(("row", *names), tuple(rows))
    if count > MOST_ROWS:
        yield Words((f"… and {count - MOST_ROWS:,} more rows.",))
    rows_text = f" over {count:,} {'row' if count == 1 else 'rows'}."
    yield Words((f"{trace.settings['loss']} = ", view.number(trace.loss.value), rows_text))
    for node in trace.nodes:
        if trace.fact(node, "role") == "penalty":
            yield Words((view.name(node), " = ", view.number(node.value), " of it is the penalty."))
    yield from _derived(view)


def _by_row(view: View) -> Tensor | None:
    """Give the last node of the loss that has a number, or a few, for each row."""
    rows = view.trace.settings["rows"]
    listed = [
        x
        for x in view.trace.nodes
        if x.op is not None
        and view.trace.fact(x, "part") == "loss"
        and view.trace.fact(x, "rows")
        and np.shape(x.value)[:1] == (rows,)
        and x.dtype.kind == "f"
    ]
    return listed[-1] if listed else None


def _derived(view: View) -> Iterator[Block]:
    """Derive the gradient by what the loss takes in a few lines, and with the numbers of a row."""
    trace = view.trace
    for node in trace.nodes:
        told = None if node.op is None else node.op.notation.derivation
        g = trace.gradient_of.get(node.birth)
        if told is None or g is None:
            continue
        (z, *_), plain = node.inputs, view.script.kind == "text"
        yield Heading("The gradient, derived")
        for text, tex in told.lines:
            yield Words((Math(text if plain else tex),))
        letters = told.letters(g.value, node.value, *(x.value for x in node.inputs), **node.attrs)
        given = [(Math("z"), z.value), *((Math(t if plain else x), v) for t, x, v in letters)]
        stored = [x for x in [trace.gradient_of.get(z.birth)] if x is not None]
        given += [(view.name(x), x.value) for x in stored if x.birth in view.script.names]
        by_row = trace.fact(node, "rows")
        title = f"in row {view.row}" if by_row else "is"
        yield Table(
            ("", title),
            tuple((name, view.listed(x[view.row] if by_row else x)) for name, x in given),
        )


# 6: checks.


def checks(view: View) -> Iterator[Block]:
    """Set what the gradients predict beside what the loss does."""
    trace = view.trace
    if trace.loss is None:
        return
    yield Heading("Checks")
    before, after = float(trace.loss.value), float(trace.plain["after"])
    predicted = sum(
        float(np.sum(np.asarray(w.gradient.value, float) * (w.new.value - w.node.value)))
        for w in trace.weights
    )
    yield Words(
        ("Gradient times step, added up over all weights, says that the loss changes by ",
         view.signed(predicted), "; on the same rows it changed by ", view.signed(after - before),
         ".")
    )  # fmt: skip
    rows = tuple(
        (
            view.name(w.node, tuple(d["index"])),
            view.number(float(d["gradient"])),
            view.number(float(d["quotient"])),
        )
        for d in trace.plain["differences"]
        for w in [trace.weights[d["parameter"]]]
    )
    if rows:
        yield Words(("The quotient moves one weight up and down by a little, and divides the "
                     "change of the loss by that of the weight.",))  # fmt: skip
        yield Table(("weight", "gradient", "quotient"), rows)
