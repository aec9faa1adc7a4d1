"""What an explanation says, as blocks: a section for each level of detail.

0 one sentence, 1 every number, 2 whole layers, 3 the network, 4 the update, 5 the loss, 6 checks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph import OPS, Tensor
from chainrule.ops.notation import ATOM
from chainrule.transforms.explain.blocks import (
    Block,
    Equation,
    Heading,
    Math,
    Part,
    Rule,
    Table,
    Words,
)
from chainrule.transforms.explain.expression import Expression, Index, Ref, Written, product
from chainrule.transforms.explain.reading import Trace, Weight
from chainrule.transforms.explain.writing import Script, computed

LEVELS = (0, 1, 2, 3, 4, 5, 6)

MOST_ROWS = 10
"""Rows of a batch that are listed."""

MOST_COLUMNS = 30
"""Columns of a table that are listed."""

MOST_CORRECTIONS = 12
"""Of the changes of weights, so many are listed, the largest."""


@dataclass(frozen=True)
class View:
    """How a trace is looked at: which elements are opened, in which row, with which digits.

    `opened` are the elements to write out, None for all; `weight` is the one whose update is told,
    `asked` if somebody wanted to know.
    """

    trace: Trace
    script: Script
    opened: tuple[tuple[Tensor, Index], ...] | None
    row: int
    weight: tuple[Weight, Index] | None
    asked: bool

    def number(self, x: Any) -> Math:
        """Write a number."""
        return Math(self.script.number(x))

    def name(self, node: Tensor, index: Index | None = None) -> Math:
        """Write a name."""
        return Math(self.script.name(node, index))

    def signed(self, x: float) -> Math:
        """Write a number with its sign."""
        text = self.script.number(x)
        return Math(text if text[0] in "−-" else f"+{text}")

    def listed(self, value: Any) -> Math:
        """Write a number, or some numbers in brackets."""
        if np.ndim(value) == 0:
            return self.number(value)
        flat = np.ravel(value)
        shown = [self.script.number(x) for x in flat[:MOST_ROWS]]
        if len(flat) > MOST_ROWS:
            shown.append("…" if self.script.kind == "text" else r"\ldots")
        left, right = ("[", "]") if self.script.kind == "text" else (r"\left[", r"\right]")
        return Math(f"{left}{', '.join(shown)}{right}")

    def elements(self, node: Tensor) -> list[Index]:
        """Give the elements of a node to write out."""
        if self.opened is not None:
            return [index for x, index in self.opened if x is node]
        return [tuple(int(n) for n in i) for i in np.ndindex(np.shape(node.value))]


def sections(view: View, levels: Sequence[int]) -> list[Block]:
    """Give the blocks of these levels, in the order in which they are read."""
    writers = {
        0: _sentence, 2: _layers, 1: _numbers, 5: _loss, 4: _update, 3: _network, 6: _checks,
    }  # fmt: skip
    return [block for level, write in writers.items() if level in levels for block in write(view)]


# 0: one sentence.


def _sentence(view: View) -> Iterator[Block]:
    trace = view.trace
    yield from _not_finite(view)
    if trace.loss is None:
        for node in trace.predictions:
            value = np.asarray(node.value)
            row = value[view.row] if trace.fact(node, "rows") else value
            if node.birth in view.script.names:
                yield Words(("The prediction is ", view.name(node), " = ", view.listed(row), "."))
            else:
                yield Words(("The prediction is ", view.listed(row), "."))
        yield from _inputs(view)
        return
    before, after = float(trace.loss.value), float(trace.plain["after"])
    parts: list[Part] = ["Loss ", view.number(before), " → ", view.number(after)]
    if before:
        change = f"{100 * (after - before) / abs(before):+.3g}".replace("-", "−")
        parts.append(f" ({change} %)")
    parts.append(".")
    chosen = view.weight if view.asked else largest_correction(trace)
    if chosen is not None:
        weight, index = chosen
        assert weight.new is not None
        old, new = weight.node.value[index], weight.new.value[index]
        parts += [
            " The correction of " if view.asked else " The largest correction was ",
            view.name(weight.node, index),
            " was " if view.asked else " ",
            view.signed(new - old), " (", view.number(old), " → ", view.number(new), ")",
            *_reason(view), ".",
        ]  # fmt: skip
    yield Words(tuple(parts))
    yield from _inputs(view)


def _not_finite(view: View) -> Iterator[Block]:
    """Say where the first number is that is not finite."""
    for node in view.trace.nodes:
        value = np.asarray(node.value)
        count = 0 if value.dtype.kind != "f" else int(np.sum(~np.isfinite(value)))
        if count and view.trace.fact(node, "part") != "update":
            known = node.birth in view.script.names
            what = view.name(node) if known else "a result that has no name"
            made = "" if node.op is None else f", made by {node.op.name}"
            layer = view.trace.layer(node)
            where = f" in {layer}" if layer else ""
            yield Words(("The first numbers that are not finite are in ", what,
                         f"{where}{made}: {count:,} of {value.size:,}."))  # fmt: skip
            return


def _inputs(view: View) -> Iterator[Block]:
    """List the columns of the user's table, and which input each became."""
    rows: list[tuple[Part, ...]] = []
    for column, node, place in view.trace.columns[:MOST_COLUMNS]:
        x = view.trace.nodes[node]
        index = (view.row, place)
        rows.append((column, view.name(x, index), view.number(x.value[index])))
    if rows:
        yield Table(("column", "input", "is"), tuple(rows))
    if len(view.trace.columns) > MOST_COLUMNS:
        yield Words((f"… and {len(view.trace.columns) - MOST_COLUMNS:,} more columns.",))


def _reason(view: View) -> list[Part]:
    """Say which output is furthest from its target, where the two can be compared."""
    trace = view.trace
    target, outputs = trace.target, trace.predictions
    if target is None or not outputs or np.shape(target.value) != np.shape(outputs[0].value):
        return []
    output = outputs[0]
    index = largest_place(np.asarray(output.value, float) - target.value)
    if output.birth not in view.script.names:
        return []
    return [
        ", because ", view.name(output, index), " = ", view.number(output.value[index]),
        " but its target is ", view.number(target.value[index]),
    ]  # fmt: skip


def _correction(weight: Weight) -> float:
    assert weight.new is not None
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(weight.new.value - weight.node.value), initial=0.0))


def largest_place(x: Any) -> Index:
    """Give the place of the largest magnitude."""
    return tuple(int(n) for n in np.unravel_index(np.argmax(np.abs(x)), np.shape(x)))


def largest_correction(trace: Trace, first: bool = False) -> tuple[Weight, Index] | None:
    """Give the weight that changes most, if there is an update; or that of the `first` layer."""
    changed = [w for w in trace.weights if w.new is not None]
    if not changed:
        return None
    if first:
        changed = [w for w in changed if np.ndim(w.node.value) > 1][:1] or changed
    weight = max(changed, key=_correction)
    assert weight.new is not None
    return weight, largest_place(np.asarray(weight.new.value) - weight.node.value)


# 1: every number.

_CHAIN_RULE = (
    " = 1. Each gradient is what arrives from behind times the local slope, "
    "added up over all paths."
)


def _numbers(view: View) -> Iterator[Block]:
    titles = {"forward": "Forward", "loss": "Loss", "backward": "Backward"}
    for part, title in titles.items():
        blocks = [x for node in view.trace.shown(part) for x in _equations(view, node)]
        if part == "forward" and not blocks and view.weight is not None:
            node, index = view.weight[0].node, view.weight[1]
            blocks = [Words((view.name(node, index), f" changes nothing in row {view.row}."))]
        if not blocks:
            continue
        yield Heading(title)
        if part == "backward":
            seed = "∂L/∂L" if view.script.kind == "text" else r"\frac{\partial L}{\partial L}"
            yield Words((Math(seed), _CHAIN_RULE))
        yield from blocks


def _equations(view: View, node: Tensor) -> Iterator[Block]:
    assert node.op is not None
    if node.op.notation.elements == "given" and not node.op.notation.opened:
        return
    for index in view.elements(node):
        expression = view.trace.define(node, index)
        yield Equation(node, index, expression, _note(view, node, expression))
        for alias in view.trace.aliases.get(node.birth, []):
            place = view.script.index(node, index)
            name = Math(getattr(alias, view.script.kind).replace("@", place))
            yield Words((name, " is the same."))


def _note(view: View, node: Tensor, x: Expression) -> tuple[Part, ...]:
    """Say in words what an op does, or what arrives and what the local slope is."""
    if not isinstance(x, Written):
        return ()
    if view.trace.fact(node, "part") == "backward" and x.op is OPS["mul"]:
        arriving = [y for y in x.inputs if isinstance(y, Ref) and _is_gradient(view, y.node)]
        rest = [y for y in x.inputs if y not in arriving]
        if len(arriving) == 1 and rest:
            slope = view.number(computed(product(rest)))
            return ("arrives ", view.number(arriving[0].value), ", local slope ", slope)
    if len(x.inputs) == 1 and x.op.notation.text.binds == ATOM:
        before, after = x.op.notation.words.split("{0}")
        return (before, Math(view.script.write(x.inputs[0])), after)
    return ()


def _is_gradient(view: View, node: Tensor) -> bool:
    return bool(view.trace.fact(node, "part") == "backward")


# 2: whole layers.


def _layers(view: View) -> Iterator[Block]:
    yield Heading("In symbols")
    for part in ("forward", "loss", "backward"):
        for node in view.trace.shown(part):
            if not _counts_one(node):
                yield _rule(view, node)


def _counts_one(node: Tensor) -> bool:
    """Whether a node is a count of 1, which formulas leave out."""
    assert node.op is not None
    return bool(node.op.notation.elements == "given" and np.array_equal(node.value, 1))


def _rule(view: View, node: Tensor) -> Rule:
    also = tuple(
        getattr(alias, view.script.kind).replace("@", "")
        for alias in view.trace.aliases.get(node.birth, [])
    )
    note: tuple[Part, ...] = ()
    for w in view.trace.weights:
        if w.gradient is node and w.node.birth in view.script.names:
            note = ("as ", view.name(w.node))
    return Rule(node, view.trace.define(node), also, note)


# 3: the network.


def _network(view: View) -> Iterator[Block]:
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
        inside = [x for x in trace.nodes if trace.fact(x, "layer") == i]
        if not inside:
            continue
        out = inside[-1]
        g = trace.gradient_of.get(out.birth)
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
                "" if g is None else view.number(np.sqrt(np.mean(np.square(g.value)))),
            )
        )
    return rows


def _weights_table(view: View) -> Table:
    rows: list[tuple[Part, ...]] = []
    for w in view.trace.weights:
        size = float(np.linalg.norm(np.ravel(w.node.value)))
        new = w.node if w.new is None else w.new
        step = float(np.linalg.norm(np.ravel(new.value - w.node.value)))
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


def _update(view: View) -> Iterator[Block]:
    trace = view.trace
    if view.weight is None:
        return
    yield Heading("Update")
    yield Words((f"{trace.settings['optimizer']}, step {trace.settings['step']}.",))
    weight, index = view.weight
    own = _own_update(view, weight)
    for node in own:
        yield _rule(view, node)
    for node in own:
        if np.shape(node.value) in (np.shape(weight.node.value), ()):
            place = index if np.ndim(node.value) else ()
            yield Equation(node, place, trace.define(node, place))
    yield _corrections(view)


def _own_update(view: View, weight: Weight) -> list[Tensor]:
    """Give the nodes with a name from the gradient of a weight to its new value."""
    assert weight.new is not None
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
        if w.new is None:
            continue
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


def _loss(view: View) -> Iterator[Block]:
    trace = view.trace
    if trace.loss is None or trace.target is None:
        return
    yield Heading("Loss, row by row")
    output = trace.predictions[0] if trace.predictions else None
    g = None if output is None else trace.gradient_of.get(output.birth)
    count = trace.settings["rows"]
    columns = [x for x in (output, trace.target, g) if x is not None]
    rows: list[tuple[Part, ...]] = [
        (str(r), *(view.listed(np.asarray(x.value)[r]) for x in columns))
        for r in range(min(count, MOST_ROWS))
    ]
    header: list[Part] = ["row"]
    for title, x in (("prediction", output), ("target", trace.target), ("gradient", g)):
        if x is not None:
            header.append(view.name(x) if x.birth in view.script.names else title)
    yield Table(tuple(header), tuple(rows))
    if count > MOST_ROWS:
        yield Words((f"… and {count - MOST_ROWS:,} more rows.",))
    rows_text = f" over {count:,} {'row' if count == 1 else 'rows'}."
    yield Words((f"{trace.settings['loss']} = ", view.number(trace.loss.value), rows_text))


# 6: checks.


def _checks(view: View) -> Iterator[Block]:
    trace = view.trace
    if trace.loss is None:
        return
    yield Heading("Checks")
    before, after = float(trace.loss.value), float(trace.plain["after"])
    predicted = sum(
        float(np.sum(np.asarray(w.gradient.value, float) * (w.new.value - w.node.value)))
        for w in trace.weights
        if w.new is not None
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
