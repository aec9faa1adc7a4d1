"""A trace, read back: nodes with names and numbers, and what each follows from.

A trace is plain data, as it lies in a file. Everything that is shown is made of it alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import FormatError
from chainrule.graph import Tensor
from chainrule.transforms.explain.expression import (
    MOST_INLINE,
    Expression,
    Index,
    Writer,
    length,
)
from chainrule.transforms.explain.record import Plain, rebuild
from chainrule.transforms.explain.writing import Name, Script

FORMAT = "chainrule explanation 1"


@dataclass(frozen=True)
class Weight:
    """A parameter, its gradient, and its new value; states are (name, before, after)."""

    label: str
    node: Tensor
    gradient: Tensor
    new: Tensor
    states: tuple[tuple[str, Tensor, Tensor], ...]


class Trace:
    """The nodes of a trace by their places, with the names that they are shown under."""

    def __init__(self, plain: Plain) -> None:
        if plain.get("format") != FORMAT:
            raise FormatError(
                f"this is no trace of {FORMAT!r}, its format is {plain.get('format')!r}"
            )
        self.plain = plain
        self.nodes = rebuild(plain["nodes"])
        place = {x.birth: i for i, x in enumerate(self.nodes)}
        self._facts = {birth: plain["nodes"][i] for birth, i in place.items()}
        self.settings: Plain = plain["settings"]
        self.columns: list[tuple[str, int, int]] = [tuple(x) for x in plain["columns"]]
        self.loss = None if plain["loss"] is None else self.nodes[plain["loss"]]
        self.predictions = [self.nodes[i] for i in plain["predictions"]]
        targets = [x for x in self.nodes if self.fact(x, "role") == "target"]
        self.target = targets[0] if targets else None
        self.gradient_of = {self.nodes[x].birth: self.nodes[g] for x, g in plain["gradients"]}
        self.weights = [self._weight(x) for x in plain["parameters"]]
        self.names: dict[int, Name] = {}
        self.aliases: dict[int, list[Name]] = {}
        self._name_all()

    def _weight(self, plain: Plain) -> Weight:
        states = tuple((n, self.nodes[a], self.nodes[b]) for n, a, b in plain["states"])
        node, gradient, new = (self.nodes[plain[key]] for key in ("node", "gradient", "new"))
        return Weight(plain["label"], node, gradient, new, states)

    def _name_all(self) -> None:
        """Take the names over that a trace gives, and find some for what else needs one."""
        for node in self.nodes:
            given = [Name(*x) for x in self._facts[node.birth]["names"]]
            if given:
                self.names[node.birth] = given[0]
                self.aliases[node.birth] = given[1:]
        readers: dict[int, int] = {}
        for node in self.nodes:
            for x in node.inputs:
                readers[x.birth] = readers.get(x.birth, 0) + 1
        writer = Writer(set(self.names), self.nodes)
        counts: dict[str, int] = {}
        for node in self.nodes:
            if node.birth in self.names or not _needs_name(node, readers, writer):
                continue
            letter = "t" if node.op is None else node.op.notation.letter
            counts[letter] = counts.get(letter, 0) + 1
            shown = letter if len(letter) == 1 else rf"\mathrm{{{letter}}}"
            text, latex = f"{letter}{counts[letter]}@", f"{shown}_{{{counts[letter]}}}@"
            self.names[node.birth] = Name(text, latex)
            writer.named.add(node.birth)
        self.writer = writer

    def fact(self, node: Tensor, key: str) -> Any:
        """Give what a trace says of a node: its "part", "role" or "layer"."""
        return self._facts[node.birth][key]

    def layer(self, node: Tensor) -> str:
        """Name the layer of a node, such as "0: Linear(2, 3)", or give nothing."""
        i = self.fact(node, "layer")
        if i is None:
            return ""
        layer = self.settings["layers"][i]
        return f"{layer['name']}: {layer['kind']}" if layer["name"] else str(layer["kind"])

    def script(self, kind: Any, digits: int) -> Script:
        """Give a way to write with the names of this trace."""
        single = {
            x.birth for x in self.nodes if self.fact(x, "rows") and np.shape(x.value)[:1] == (1,)
        }
        return Script(kind, self.names, digits, single)

    def define(self, node: Tensor, index: Index | None = None) -> Expression:
        """Say what a node follows from, or an element of it."""
        return self.writer.define(node, index)

    def shown(self, *parts: str) -> Iterator[Tensor]:
        """Give the nodes with a name that ops made, of some parts of the computation."""
        for node in self.nodes:
            if (
                node.op is not None
                and node.birth in self.names
                and self.fact(node, "part") in parts
            ):
                yield node

    def find(self, name: str) -> Tensor | None:
        """Give the node of a name, without an index, or None."""
        for node in self.nodes:
            for known in [self.names.get(node.birth), *self.aliases.get(node.birth, [])]:
                if known is not None and name in (known.text.replace("@", ""), known.label):
                    return node
        return None

    def all_names(self) -> list[str]:
        """List the names that can be asked for."""
        listed = []
        for name in self.names.values():
            listed.append(name.text.replace("@", ""))
            if name.label:
                listed.append(name.label)
        return listed


def _needs_name(node: Tensor, readers: Mapping[int, int], writer: Writer) -> bool:
    """Whether a node is not to be spelled out wherever it is read."""
    if node.op is None:
        return np.ndim(node.value) > 0
    notation = node.op.notation
    if notation.elements == "given" and not notation.opened:
        return True
    size = length(writer.define(node))
    several = readers.get(node.birth, 0) > 1
    return size > MOST_INLINE or (several and (size > 1 or bool(notation.opened)))
