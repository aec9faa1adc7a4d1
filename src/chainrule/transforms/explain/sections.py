"""What an explanation says, as blocks: a section for each level of detail.

0 one sentence, 1 every number, 2 whole layers, 3 the network, 4 the update, 5 the loss, 6 checks.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from chainrule.graph import Tensor
from chainrule.ops.notation import ATOM, PRODUCT
from chainrule.transforms.explain.blocks import Block, Equation, Heading, Math, Part, Table, Words
from chainrule.transforms.explain.expression import Expression, Ref, Written, product
from chainrule.transforms.explain.rules import layers
from chainrule.transforms.explain.tables import checks, loss, network, update
from chainrule.transforms.explain.view import View, largest_correction, largest_place
from chainrule.transforms.explain.writing import computed

LEVELS = (0, 1, 2, 3, 4, 5, 6)

MOST_COLUMNS = 30
"""Columns of a table that are listed."""


def sections(view: View, levels: Sequence[int]) -> list[Block]:
    """Give the blocks of these levels, in the order in which they are read."""
    writers = {
        0: _sentence, 2: layers, 1: _numbers, 5: loss, 4: update, 3: network, 6: checks,
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
    return [
        ", because ", view.name(output, index), " = ", view.number(output.value[index]),
        " but its target is ", view.number(target.value[index]),
    ]  # fmt: skip


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
    notation = x.op.notation
    is_product = notation.joins and notation.text.binds == PRODUCT
    if view.trace.fact(node, "part") == "backward" and is_product:
        arriving = [y for y in x.inputs if isinstance(y, Ref) and _is_gradient(view, y.node)]
        rest = [y for y in x.inputs if y not in arriving]
        if len(arriving) == 1 and rest:
            slope = view.number(computed(product(rest)))
            return ("arrives ", view.number(arriving[0].value), ", local slope ", slope)
    if len(x.inputs) == 1 and isinstance(x.inputs[0], Ref) and notation.text.binds == ATOM:
        before, after = notation.words.split("{0}")
        return (before, Math(view.script.write(x.inputs[0])), after)
    return ()


def _is_gradient(view: View, node: Tensor) -> bool:
    return bool(view.trace.fact(node, "part") == "backward")
