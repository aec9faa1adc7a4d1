"""From a graph to a diagram: scopes become boxes, or frames around what is in them.

`level` says how far: at 0 each outermost scope is one box, at 1 those are opened and their layers
are boxes, at 2 layers are opened too, and so on; None opens all. A scope in no other, such as a
loss, counts as a layer at 1.

A leaf that one scope alone uses belongs to that scope, also if the scope's owner is used again, as
in the gradient. One that several scopes use is in what is around them all. So every parameter is in
one place, and counted once, however many layers share it.
"""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from chainrule.dims import product
from chainrule.graph import Array, Scope, Tensor, ancestors
from chainrule.transforms.draw.diagram import Diagram, Edge, Frame, Node
from chainrule.transforms.draw.inner import unfolded
from chainrule.transforms.draw.labels import detail_text, op_symbol, shape_text, short
from chainrule.transforms.draw.marks import (
    NO_GRADIENT,
    alarm,
    gradient_text,
    norm,
    number,
    value_text,
)
from chainrule.transforms.draw.ordering import ordered

Path = tuple[Scope, ...]


@runtime_checkable
class Named(Protocol):
    """What owns parameters and can name them, such as a module."""

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]:
        """Give parameters with their names."""

    def named_buffers(self) -> Iterable[tuple[str, Tensor]]:
        """Give buffers with their names."""

    def named_modules(self) -> Iterable[tuple[str, Any]]:
        """Give the parts, itself included, with their names."""

    def extra_repr(self) -> str:
        """Give what stands between the parentheses of the `repr`."""


@dataclass
class Source:
    """What is drawn: results with their names, inputs, updates of buffers, and known numbers.

    `names` of nodes, `values` and `gradients` are by birth; without `values` the picture has no
    numbers.
    """

    title: str
    outputs: Sequence[tuple[str, Tensor]]
    inputs: Sequence[tuple[str, Tensor]] = ()
    updates: Mapping[Tensor, Tensor] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    values: Mapping[int, Any] | None = None
    gradients: Mapping[int, Array] = field(default_factory=dict)


def fold(source: Source, level: int | None) -> Diagram:
    """Make a diagram of a graph, its scopes opened as far as `level` says."""
    return _Folding(source, level).diagram()


class _Folding:
    """The walk: nodes to items, items to nodes, frames and edges of the diagram."""

    def __init__(self, source: Source, level: int | None) -> None:
        self.source = source
        self.level = level
        ends = [x for _, x in (*source.inputs, *source.outputs)]
        self.nodes = unfolded(ancestors([*ends, *source.updates.values(), *source.updates]))
        self.inputs = {x.birth: name for name, x in source.inputs}
        self.used = {i.birth: x.birth for x in reversed(self.nodes) for i in x.inputs}
        self.paths = _paths(self.nodes, self.inputs, source.updates)
        self.containers = {id(s) for path in self.paths.values() for s in path[:-1]}
        self.kinds: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.places: dict[int, str] = {}
        for path in self.paths.values():
            owner = owner_of(path[0]) if path else None
            if isinstance(owner, Named) and id(owner) not in self.places:
                self._learn_names(owner)
        if not source.inputs:  # nothing says what is an input: any array may be one
            for x in self.nodes:
                if x.op is None and x.birth not in self.kinds and self._kind(x) != "constant":
                    self.paths[x.birth] = ()
        self.number: dict[int, int] = {}
        self.frames: list[Frame] = []
        self.frame_of: dict[int, int] = {}
        self.boxes: dict[Any, list[Tensor]] = {}
        self.box_scope: dict[Any, Scope] = {}
        self.item: dict[int, Any] = {}

    def _learn_names(self, owner: Named) -> None:
        for name, x in owner.named_buffers():
            self.names.setdefault(x.birth, name)
            self.kinds.setdefault(x.birth, "buffer")
        for name, x in owner.named_parameters():
            self.names.setdefault(x.birth, name)
            self.kinds[x.birth] = "parameter"
        for name, part in owner.named_modules():
            self.places.setdefault(id(part), name)

    def diagram(self) -> Diagram:
        """Put nodes into boxes and frames, and connect them."""
        opened: dict[Any, Path] = {}
        for x in self.nodes:
            path = self.paths[x.birth]
            around = self._opened(path)
            key = self._box(x, path, around)
            self.item[x.birth] = key
            self.boxes.setdefault(key, []).append(x)
            opened[key] = around
            self.number[x.birth] = self.number.get(self.boxes[key][0].birth, len(self.number))
        trails = {key: (*(("in", id(s)) for s in path), key) for key, path in opened.items()}
        links = [(self.item[i.birth], self.item[x.birth]) for x in self.nodes for i in x.inputs]
        keys = ordered(trails, links, {key: self._rank(key) for key in trails})
        inside = {key: self._frame(opened[key]) for key in keys}
        index = {key: n for n, key in enumerate(keys)}
        crossing = self._crossing()
        nodes = [self._node(key, inside[key], crossing.get(key, [])) for key in keys]
        edges = self._edges(index)
        self._add_ends(nodes, edges, index, inside)
        self._count(nodes)
        valued = self.source.values is not None
        return Diagram(self.source.title, nodes, edges, self.frames, valued)

    def _box(self, x: Tensor, path: Path, around: Path) -> Any:
        """Name the box of a node: a folded scope, or its own. An array met twice has one box."""
        if len(around) < len(path):
            folded = path[len(around)]
            self.box_scope["scope", id(folded)] = folded
            return "scope", id(folded)
        return ("data", id(x.value), around) if self._kind(x) == "data" else ("node", x.birth)

    def _opened(self, path: Path) -> Path:
        for depth, scope in enumerate(path):
            least = depth if id(scope) in self.containers else max(depth, 1)
            if self.level is not None and self.level <= least:
                return path[:depth]
        return path

    def _frame(self, opened: Path) -> int | None:
        frame = None
        for scope in opened:
            if id(scope) not in self.frame_of:
                self.frame_of[id(scope)] = len(self.frames)
                self.frames.append(Frame(*self._scope_words(scope), frame))
            frame = self.frame_of[id(scope)]
        return frame

    def _scope_words(self, scope: Scope) -> tuple[str, str]:
        """Give label and detail of a scope: the name of its owner, its class, its sizes."""
        owner = owner_of(scope)
        place = self.places.get(id(owner), "")
        label = f"{place}: {scope.name}" if place else scope.name
        same = isinstance(owner, Named) and type(owner).__name__ == scope.name
        return label, short(owner.extra_repr()) if same and isinstance(owner, Named) else ""

    def _rank(self, key: Any) -> tuple[int, int]:
        """Sort boxes by their first op; inputs come first, other leaves before what takes them."""
        x = next((x for x in self.boxes[key] if x.op is not None), self.boxes[key][0])
        waits = x.op is None and x.birth not in self.inputs
        return (self.used.get(x.birth, x.birth) if waits else x.birth), x.birth

    # Nodes.

    def _node(self, key: Any, frame: int | None, crossing: list[Tensor]) -> Node:
        members = self.boxes[key]
        counted = [x for x in members if self._kind(x) == "parameter"]
        parameters = sum(int(product(x.shape)) for x in counted)
        if key not in self.box_scope:
            x = members[0]
            return Node(
                self._kind(x), self._label(x), detail_text(x), shape_text(x), frame, parameters,
                self._numbers(members[:1], []), self._gradient(members[:1]), self._alarm([x]),
                self.formula(x),
            )  # fmt: skip
        label, detail = self._scope_words(self.box_scope[key])
        shapes = list(dict.fromkeys(shape_text(x) for x in crossing))
        return Node(
            "group", label, detail, shapes[0] if len(shapes) == 1 else "", frame, parameters,
            self._numbers(crossing, counted), self._gradient(crossing), self._alarm(members),
            ", ".join(x.op.name for x in members if x.op),
        )  # fmt: skip

    def _kind(self, x: Tensor) -> str:
        if x.op is not None:
            return "op"
        if x.birth in self.inputs:
            return "input"
        if x.birth in self.kinds:
            return self.kinds[x.birth]
        if x.requires_grad:
            return "variable"
        if x.value is None:
            return "input"
        return "constant" if x.shape == () else "data"

    def _label(self, x: Tensor) -> str:
        given = self.source.names.get(x.birth)
        if x.op is not None:
            return f"{given} = {op_symbol(x)}" if given else op_symbol(x)
        if given:
            return given
        if x.birth in self.inputs:
            return self.inputs[x.birth]
        if x.birth in self.names:
            return self.names[x.birth]
        if self._kind(x) == "constant":
            return value_text(x.value)
        return self._kind(x)

    def formula(self, x: Tensor) -> str:
        """Write how a node is made, nodes named by their numbers: `%2 = matmul(%0, %1)`."""
        if x.op is None:
            return f"%{self.number[x.birth]} {self._label(x)}"
        inputs = ", ".join(f"%{self.number[i.birth]}" for i in x.inputs)
        return f"%{self.number[x.birth]} = {x.op.name}({inputs}) {detail_text(x)}".rstrip()

    # Numbers.

    def _numbers(self, crossing: list[Tensor], parameters: list[Tensor]) -> tuple[str, ...]:
        values, gradients = self.source.values, self.source.gradients
        if values is None:
            return ()
        lines = []
        shown = [x for x in crossing if x.birth in values and self._kind(x) != "constant"]
        if len(crossing) == len(shown) == 1:
            (x,) = shown
            text, slope = value_text(values[x.birth]), gradient_text(self._slope(x))
            lines.append(f"{text} | {slope}" if x.dtype.kind == "f" else text)
        found = [gradients[p.birth] for p in parameters if p.birth in gradients]
        if found:
            lines.append(f"weights | ‖{number(_joint(found))}‖")
        elif parameters:
            lines.append(f"weights | {NO_GRADIENT}")
        return tuple(lines)

    def _gradient(self, crossing: list[Tensor]) -> float | None:
        known = [x for x in crossing if self._kind(x) != "constant"]
        found = [g for x in known if (g := self._slope(x)) is not None]
        size = _joint(found) if found else None
        return math.inf if size != size else size  # NaN is not equal to itself; diagrams are

    def _slope(self, x: Tensor) -> Array | None:
        """Give the gradient by a node; by an array that the graph met twice, the sum."""
        same = self.boxes[self.item[x.birth]] if self._kind(x) == "data" else [x]
        found = [self.source.gradients[y.birth] for y in same if y.birth in self.source.gradients]
        return sum(found[1:], found[0]) if found else None

    def _alarm(self, members: list[Tensor]) -> str:
        values = self.source.values
        if values is None:
            return ""
        said = {}
        for x in members:
            if x.birth not in values:  # inside of a step that is repeated
                continue
            # What is not known may be zero.
            taken = [values.get(i.birth, 0) for i in x.inputs if self._kind(i) != "constant"]
            if what := alarm(values[x.birth], taken):
                said[what] = f"{what}: {self._label(x)}" if len(members) > 1 else what
        return ", ".join(said.values())

    # Edges.

    def _crossing(self) -> dict[Any, list[Tensor]]:
        """List for each box the nodes in it that something outside of it takes."""
        found: dict[Any, dict[int, Tensor]] = {}
        for x in self.nodes:
            for i in x.inputs:
                if self.item[i.birth] != self.item[x.birth]:
                    found.setdefault(self.item[i.birth], {})[i.birth] = i
        for _, x in self.source.outputs:
            found.setdefault(self.item[x.birth], {})[x.birth] = x
        return {key: list(members.values()) for key, members in found.items()}

    def _edges(self, index: dict[Any, int]) -> list[Edge]:
        single = {n for key, n in index.items() if key not in self.box_scope}
        shapes: dict[tuple[int, int], list[str]] = {}
        times: dict[tuple[int, int], int] = {}
        for x in self.nodes:
            target = index[self.item[x.birth]]
            for i in x.inputs:
                source = index[self.item[i.birth]]
                if source == target:
                    continue
                shapes.setdefault((source, target), []).append(shape_text(i))
                times[source, target] = times.get((source, target), 0) + (target in single)
        return [
            Edge(*ends, ", ".join(dict.fromkeys(found)))
            for ends, found in shapes.items()
            for _ in range(max(times[ends], 1))
        ]

    def _add_ends(
        self,
        nodes: list[Node],
        edges: list[Edge],
        index: dict[Any, int],
        inside: dict[Any, int | None],
    ) -> None:
        """Add what the graph gives, and new values of buffers where they are not folded away."""
        for name, x in self.source.outputs:
            edges.append(Edge(index[self.item[x.birth]], len(nodes), shape_text(x)))
            nodes.append(Node("output", name, shape=shape_text(x)))
        for buffer, x in self.source.updates.items():
            here, there = self.item[buffer.birth], self.item[x.birth]
            if here != there or here not in self.box_scope:
                edges.append(Edge(index[there], len(nodes), shape_text(x)))
                name = f"new {self._label(buffer)}"
                nodes.append(Node("update", name, shape=shape_text(x), frame=inside[here]))

    def _count(self, nodes: list[Node]) -> None:
        """Add the parameters of nodes to the frames around them."""
        counts = [0] * len(self.frames)
        for node in nodes:
            if node.frame is not None:
                counts[node.frame] += node.parameters
        for f in reversed(range(len(counts))):
            frame = self.frames[f]
            if frame.frame is not None:
                counts[frame.frame] += counts[f]
            self.frames[f] = Frame(frame.label, frame.detail, frame.frame, counts[f])


def _paths(
    nodes: list[Tensor], inputs: Container[int], updates: Mapping[Tensor, Tensor]
) -> dict[int, Path]:
    """Give the scopes around each node; a leaf is where all that use it are."""
    known: dict[int, Path] = {}
    paths: dict[int, Path] = {}
    for x in nodes:
        if x.op is None:
            continue
        paths[x.birth] = path = _path(x.scope, known)
        for i in x.inputs:
            if i.op is None and i.birth not in inputs:
                before = paths.get(i.birth)
                paths[i.birth] = path if before is None else _common(before, path)
    for buffer, x in updates.items():
        made = paths.get(x.birth, ())
        paths[buffer.birth] = _common(paths.get(buffer.birth, made), made)
    for x in nodes:
        paths.setdefault(x.birth, ())
    return paths


def _path(scope: Scope | None, known: dict[int, Path]) -> Path:
    chain = []
    while scope is not None and id(scope) not in known:
        chain.append(scope)
        scope = scope.parent
    path = () if scope is None else known[id(scope)]
    for inner in reversed(chain):
        path = (*path, inner)
        known[id(inner)] = path
    return path


def _common(a: Path, b: Path) -> Path:
    """Give the scopes of `a` that are around `b` too, or have the owners of those."""
    n = 0
    while n < min(len(a), len(b)):
        owner = owner_of(a[n])
        if a[n] is not b[n] and (owner is None or owner is not owner_of(b[n])):
            break
        n += 1
    return a[:n]


def owner_of(scope: Scope) -> object:
    """Give what a scope belongs to, one of a gradient to the owner of what it goes back through."""
    while scope.through is not None:
        scope = scope.through
    return scope.owner


def _joint(arrays: Iterable[Array]) -> float:
    """Give the norm of several arrays together."""
    return norm([norm(array) for array in arrays])
