"""Whole layers in symbols: the derivation of a network, with the shapes of what stands in it."""

from collections.abc import Iterator

import numpy as np

from chainrule.graph import Tensor
from chainrule.transforms.explain.blocks import Block, Heading, Part, Rule
from chainrule.transforms.explain.view import View


def layers(view: View) -> Iterator[Block]:
    """Say how every result with a name is computed."""
    yield Heading("In symbols")
    for part in ("forward", "loss", "backward"):
        for node in view.trace.shown(part):
            if not _counts_one(node):
                yield rule_of(view, node)


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
