"""`Drawing`: a picture that is asked for as SVG, HTML, DOT, Mermaid or text, and written to a file.

>>> from chainrule.transforms.draw.diagram import Diagram, Edge, Node
>>> drawing = Drawing(Diagram("sine", [Node("input", "x"), Node("op", "sin")], [Edge(0, 1)]))
>>> print(drawing)
sine: no parameters
0 input x
1 sin <- 0
"""

from collections.abc import Callable

from chainrule.markup import Markup, element
from chainrule.picture import Picture, page
from chainrule.transforms.draw import formats
from chainrule.transforms.draw.diagram import Diagram
from chainrule.transforms.draw.svg import render

MOST_BOXES = 1000  # of a level that a page shows
_SWITCH = ("input { margin: 0 .3rem 0 1rem; }", "section { display: none; margin: 1rem 0; }")


class Drawing(Picture):
    """A picture of a graph, of a gradient or of the neurons of a net; `chainrule.draw` makes it.

    A notebook shows it; `print` gives the text. The same drawing gives the same bytes each time.
    `diagram` has what is shown, as plain data: nodes, edges, frames. `unfold` makes the diagram of
    another level, of all operations for None.
    """

    def __init__(
        self,
        diagram: Diagram,
        picture: Callable[[Diagram], str] = render,
        unfold: Callable[[int | None], Diagram] | None = None,
    ) -> None:
        self.diagram = diagram
        self.title = f"Graph of {diagram.title}"
        self._picture = picture
        self._unfold = unfold
        self._svg = ""

    def svg(self) -> str:
        """Give the picture as SVG that needs no other file, for light and for dark screens."""
        if not self._svg:
            self._svg = self._picture(self.diagram)
        return self._svg

    def html(self) -> str:
        """Give a page with the picture, that of every other level, and its text; no script."""
        levels = self._levels()
        chosen = next((name for name, d in levels.items() if d == self.diagram), "")
        switch = [
            element("input", type="radio", name="level", id=f"l{name}",
                    checked="" if name == chosen else None)
            + element("label", _level_words(name), for_=f"l{name}")
            for name in levels
        ]  # fmt: skip
        shown = [
            element("section", Markup(self._picture(diagram)), id=f"s{name}")
            for name, diagram in levels.items()
        ]
        words = element("details", element("summary", "As text"), element("pre", self.text()))
        content = [Markup(part) for part in switch + shown] or [Markup(self.svg())]
        rules = [f"#l{name}:checked ~ #s{name} {{ display: block; }}" for name in levels]
        return page(self.title, [*content, words], [*_SWITCH, *rules])

    def _levels(self) -> dict[str, Diagram]:
        """Give the diagrams of all levels that differ, the one that is shown among them."""
        if self._unfold is None:
            return {}
        full = self._unfold(None)
        found: dict[str, Diagram] = {}
        while (diagram := self._unfold(len(found))) != full:
            found[str(len(found))] = diagram
        found["ops"] = full
        few = {n: d for n, d in found.items() if len(d.nodes) <= MOST_BOXES or d == self.diagram}
        return few if len(few) > 1 else {}

    def dot(self) -> str:
        """Give the graph in the language of Graphviz."""
        return formats.dot(self.diagram)

    def mermaid(self) -> str:
        """Give the graph in the language of Mermaid, which Markdown pages show."""
        return formats.mermaid(self.diagram)

    def text(self) -> str:
        """Give the graph as lines: number, name, shape, and the numbers of what it takes."""
        return formats.text(self.diagram)

    def forms(self) -> dict[str, Callable[[], str]]:
        """Give what `save` writes: .svg, .html, .dot, .mmd (Mermaid) and .txt."""
        return super().forms() | {".dot": self.dot, ".mmd": self.mermaid, ".txt": self.text}

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        nodes, edges = len(self.diagram.nodes), len(self.diagram.edges)
        return f"<drawing of {self.diagram.title}: {nodes} nodes, {edges} edges>"


def _level_words(name: str) -> str:
    return "all operations" if name == "ops" else f"level {name}"
