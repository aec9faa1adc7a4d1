"""What a picture shows, as plain data: nodes, edges, and frames around nodes.

>>> net = Diagram("net", [Node("input", "x"), Node("op", "sin")], [Edge(0, 1, "(3,)")])
>>> net.parameters
0
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

KINDS = {
    "input": "what the graph is given",
    "data": "numbers that it was made with",
    "constant": "a number",
    "parameter": "numbers that training changes",
    "buffer": "numbers of a layer that are no parameters",
    "variable": "a leaf with a gradient",
    "op": "an operation",
    "group": "several operations, such as a layer",
    "output": "what the graph gives",
    "update": "the new value of a buffer",
}


ROUND = ("input", "output", "data", "constant", "variable", "update", "unit", "bias")
"""The kinds of nodes that are drawn round."""


def counted(parameters: int) -> str:
    """Write a number of parameters, nothing for none.

    >>> counted(1234), counted(1), counted(0)
    ('1,234 parameters', '1 parameter', '')
    """
    return f"{parameters:,} parameter{'s' * (parameters != 1)}" if parameters else ""


@dataclass(frozen=True)
class Node:
    """A box: its kind, the words in it, and what is known of its numbers.

    `shape` is that of its result, "" where several differ. `numbers` are lines about its values and
    gradients, `gradient` is the size of its gradient, None where there is none, and `alarm` says
    what is wrong with its numbers. `about` is the formula that a reader may ask for.
    """

    kind: str
    label: str
    detail: str = ""
    shape: str = ""
    frame: int | None = None
    parameters: int = 0
    numbers: tuple[str, ...] = ()
    gradient: float | None = None
    alarm: str = ""
    about: str = ""


@dataclass(frozen=True)
class Edge:
    """A line from what is computed first to what needs it; `shape` is what goes along.

    An op that takes the same thing twice has two edges.
    """

    source: int
    target: int
    shape: str = ""


@dataclass(frozen=True)
class Frame:
    """A border around the nodes and frames of a scope; a frame comes before those in it."""

    label: str
    detail: str = ""
    frame: int | None = None
    parameters: int = 0


@dataclass(frozen=True)
class Diagram:
    """A whole picture. `valued` says that nodes have values, and gradients where there are any."""

    title: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    frames: Sequence[Frame] = field(default_factory=list)
    valued: bool = False

    def said(self, edge: Edge) -> str:
        """Give what is to be written on a line: its shape, unless a box at its end tells that."""
        source, target = self.nodes[edge.source], self.nodes[edge.target]
        told = edge.shape in (source.shape, target.shape) or target.kind == "output"
        return "" if told else edge.shape

    @property
    def parameters(self) -> int:
        """The number of numbers in all parameters, shared ones counted once."""
        return sum(node.parameters for node in self.nodes)
