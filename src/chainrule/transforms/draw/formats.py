r"""A diagram as plain text, for Graphviz (DOT) and for Mermaid.

>>> from chainrule.transforms.draw.diagram import Diagram, Edge, Node
>>> nodes = [Node("input", "x", shape="(3,)"), Node("op", "sin")]
>>> net = Diagram("net", nodes, [Edge(0, 1, "(3,)")])
>>> print(text(net))
net: no parameters
0 input x (3,)
1 sin <- 0
>>> print(mermaid(net))
flowchart TB
  n0(["x<br>(3,)"])
  n1["sin"]
  n0 -->|"(3,)"| n1
"""

from collections.abc import Iterator

from chainrule.transforms.draw.diagram import ROUND, Diagram, Node, counted


def text(diagram: Diagram) -> str:
    """List the nodes, frames as indented blocks, with what each takes."""
    width = len(str(len(diagram.nodes) - 1))
    into: list[list[str]] = [[] for _ in diagram.nodes]
    for edge in diagram.edges:
        label = diagram.said(edge)
        into[edge.target].append(f"{edge.source}: {label}" if label else str(edge.source))
    lines = [f"{diagram.title}: {counted(diagram.parameters) or 'no parameters'}"]
    open_: list[int] = []
    for i, node in enumerate(diagram.nodes):
        path = frame_path(diagram, node.frame)
        kept = 0
        while kept < min(len(open_), len(path)) and open_[kept] == path[kept]:
            kept += 1
        for depth, f in enumerate(path[kept:], kept):
            frame = diagram.frames[f]
            words = _joined(frame.label, frame.detail, counted(frame.parameters))
            lines.append("  " * depth + " " * (width + 1) + words)
        open_ = path
        kind = "" if node.kind in ("op", "group", node.label) else node.kind
        said = _joined(kind, *_words(node))
        takes = f" <- {', '.join(into[i])}" if into[i] else ""
        lines.append(f"{'  ' * len(path)}{i:<{width}} {said}{takes}")
    return "\n".join(lines)


def _words(node: Node) -> list[str]:
    count = counted(node.parameters) if node.kind == "group" else ""
    alarm = f"! {node.alarm}" if node.alarm else ""
    return [node.label, node.detail, node.shape, count, *node.numbers, alarm]


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def frame_path(diagram: Diagram, frame: int | None) -> list[int]:
    """List the frames around a thing, from the outermost."""
    path: list[int] = []
    while frame is not None:
        path.append(frame)
        frame = diagram.frames[frame].frame
    return path[::-1]


def dot(diagram: Diagram) -> str:
    """Write the diagram in the language of Graphviz; frames are clusters."""
    lines = ["digraph {", f"  label={_quoted(diagram.title)}", "  node [shape=box]"]
    lines += _clusters(diagram, None, 1)
    for edge in diagram.edges:
        label = f" [label={_quoted(edge.shape)}]" if edge.shape else ""
        lines.append(f"  n{edge.source} -> n{edge.target}{label}")
    return "\n".join([*lines, "}"])


def _clusters(diagram: Diagram, frame: int | None, depth: int) -> Iterator[str]:
    space = "  " * depth
    for i, node in enumerate(diagram.nodes):
        if node.frame == frame:
            shape = " shape=oval" if node.kind in ROUND else ""
            words = "\n".join(word for word in _words(node) if word)
            yield f"{space}n{i} [label={_quoted(words)}{shape}]"
    for f, inner in enumerate(diagram.frames):
        if inner.frame == frame:
            yield f"{space}subgraph cluster_{f} {{"
            yield f"{space}  label={_quoted(_joined(inner.label, inner.detail))}"
            yield from _clusters(diagram, f, depth + 1)
            yield f"{space}}}"


def _quoted(words: str) -> str:
    safe = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{safe}"'


def mermaid(diagram: Diagram) -> str:
    """Write the diagram in the language of Mermaid; frames are subgraphs."""
    lines = ["flowchart TB", *_subgraphs(diagram, None, 1)]
    for edge in diagram.edges:
        label = f"|{_entities(edge.shape)}|" if edge.shape else ""
        lines.append(f"  n{edge.source} -->{label} n{edge.target}")
    return "\n".join(lines)


def _subgraphs(diagram: Diagram, frame: int | None, depth: int) -> Iterator[str]:
    space = "  " * depth
    for i, node in enumerate(diagram.nodes):
        if node.frame == frame:
            words = _entities("\n".join(word for word in _words(node) if word))
            left, right = ("([", "])") if node.kind in ROUND else ("[", "]")
            yield f"{space}n{i}{left}{words}{right}"
    for f, inner in enumerate(diagram.frames):
        if inner.frame == frame:
            yield f"{space}subgraph f{f} [{_entities(_joined(inner.label, inner.detail))}]"
            yield from _subgraphs(diagram, f, depth + 1)
            yield f"{space}end"


def _entities(words: str) -> str:
    for letter, safe in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        words = words.replace(letter, safe)
    return '"' + words.replace("\n", "<br>") + '"'
