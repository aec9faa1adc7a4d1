"""The verb *draw*: a picture of a graph, without any other program.

`fold` turns a graph into a diagram (nodes, edges, frames), `lay_out` places it, `render` writes
SVG; `Drawing` has all forms. `chainrule.draw` records the graph of whatever it is given.
"""

from chainrule.transforms.draw.diagram import Diagram, Edge, Frame, Node
from chainrule.transforms.draw.drawing import Drawing
from chainrule.transforms.draw.folding import Source, fold
from chainrule.transforms.draw.nested import Layout, lay_out
from chainrule.transforms.draw.svg import arrange, render

__all__ = [
    "Diagram", "Drawing", "Edge", "Frame", "Layout", "Node", "Source", "arrange", "fold",
    "lay_out", "render",
]  # fmt: skip
