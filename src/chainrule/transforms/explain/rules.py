"""Whole layers in symbols: the derivation of a network, with the shapes of what stands in it."""

from collections.abc import Iterator

import numpy as np

from chainrule.graph import Tensor
from chainrule.transforms.explain.blocks import Block, Heading, Part, Rule, Table
from chainrule.transforms.explain.view import MOST_ROWS, View


def layers(view: View) -> Iterator[Block]:
    """Say how every result with a name is computed."""
    yield Heading("In symbols")
    for part in ("forward", "loss", "backward"):
        for node in view.trace.shown(part):
            if not _counts_one(node):
                yield rule_of(view, node)
    yield Heading("In numbers")
    yield _values(view)


def _values(view: View) -> Table:
    """List what stands in the formulas: small arrays whole, of large ones the extent."""
    rows: list[tuple[Part, ...]] = []
    for node in view.trace.nodes:
        value = np.asarray(node.value)
        of_update = view.trace.fact(node, "part") == "update"
        if node.birth not in view.script.names or value.dtype.kind != "f" or of_update:
            continue
        if node.op is not None and _counts_one(node):
            continue
        extent = (np.min, np.max, np.linalg.norm) if value.size else ()
        sizes: list[Part] = [view.number(f(np.ravel(value))) for f in extent]
        sizes = sizes or [""] * 3
        shown = view.listed(value) if value.size <= MOST_ROWS else "…"
        rows.append((view.name(node), *sizes, shown))
    return Table(("name", "least", "largest", "length", "values, row by row"), tuple(rows))


def _counts_one(node: Tensor) -> bool:
    """Whether a node is a count of 1, which formulas leave out."""
    assert node.op is not None
    return bool(node.op.notation.elements == "given" and np.array_equal(node.value, 1))


def rule_of(view: View, node: Tensor) -> Rule:
    """Say how a node is computed as a whole."""
    also = tuple(
        getattr(alias, view.script.kind).replace("@", "")
        for alias in view.trace.aliases.get(node.birth, [])
    )
    note: tuple[Part, ...] = ()
    for w in view.trace.weights:
        if w.gradient is node and w.node.birth in view.script.names:
            note = ("as ", view.name(w.node))
    return Rule(node, view.trace.define(node), also, note)
