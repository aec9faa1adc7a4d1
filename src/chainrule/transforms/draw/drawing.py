"""`Drawing`: a picture that is asked for as SVG, HTML, DOT, Mermaid or text, and written to a file.

>>> from chainrule.transforms.draw.diagram import Diagram, Edge, Node
>>> drawing = Drawing(Diagram("sine", [Node("input", "x"), Node("op", "sin")], [Edge(0, 1)]))
>>> print(drawing)
sine: no parameters
0 input x
1 sin <- 0
"""

import os
from collections.abc import Callable
from pathlib import Path

from chainrule.atomic import atomic_write
from chainrule.errors import ConfigError
from chainrule.markup import Markup, element
from chainrule.transforms.draw import formats
from chainrule.transforms.draw.diagram import Diagram
from chainrule.transforms.draw.svg import render

_PAGE = (
    "body { margin: 2rem auto; padding: 0 1rem; max-width: 72rem; font: 1rem/1.5 system-ui, "
    "sans-serif; color-scheme: light dark; } pre { overflow-x: auto; }"
)


class Drawing:
    """A picture of a graph, of a gradient or of the neurons of a net; `chainrule.draw` makes it.

    A notebook shows it; `print` gives the text. The same drawing gives the same bytes each time.
    `diagram` has what is shown, as plain data: nodes, edges, frames.
    """

    def __init__(self, diagram: Diagram, picture: Callable[[Diagram], str] = render) -> None:
        self.diagram = diagram
        self._picture = picture
        self._svg = ""

    def svg(self) -> str:
        """Give the picture as SVG that needs no other file, for light and for dark screens."""
        if not self._svg:
            self._svg = self._picture(self.diagram)
        return self._svg

    def html(self) -> str:
        """Give a page with the picture and its text."""
        title = f"Graph of {self.diagram.title}"
        words = element("details", element("summary", "As text"), element("pre", self.text()))
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", title),
            element("style", Markup(_PAGE)),
        )
        page = element("html", head, element("body", Markup(self.svg()), words), lang="en")
        return f"<!DOCTYPE html>\n{page}\n"

    def dot(self) -> str:
        """Give the graph in the language of Graphviz."""
        return formats.dot(self.diagram)

    def mermaid(self) -> str:
        """Give the graph in the language of Mermaid, which Markdown pages show."""
        return formats.mermaid(self.diagram)

    def text(self) -> str:
        """Give the graph as lines: number, name, shape, and the numbers of what it takes."""
        return formats.text(self.diagram)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, whole or not at all; its suffix says in which form.

        .svg, .html, .dot, .mmd (Mermaid) or .txt. Raises `ConfigError` for another suffix.
        """
        makers = {
            ".svg": self.svg, ".html": self.html, ".dot": self.dot, ".mmd": self.mermaid,
            ".txt": self.text,
        }  # fmt: skip
        suffix = Path(path).suffix.lower()
        if suffix not in makers:
            known = ", ".join(makers)
            raise ConfigError(f"save({os.fspath(path)!r}): expected a name that ends in {known}")
        written = makers[suffix]().rstrip("\n") + "\n"
        with atomic_write(path) as file:
            file.write(written.encode())

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        nodes, edges = len(self.diagram.nodes), len(self.diagram.edges)
        return f"<drawing of {self.diagram.title}: {nodes} nodes, {edges} edges>"

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return self.svg()
