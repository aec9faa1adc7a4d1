"""Kernels of sums of elements that are put into places of one memory."""

from typing import Any, NamedTuple

from chainrule.transforms.compile.emit import INDENT, Kernel, finished
from chainrule.transforms.compile.frame import INNER, OUTER, TOP, Frame, assignment, literal
from chainrule.transforms.compile.schedule import Root, is_one
from chainrule.transforms.compile.simplify import Node, Scatters, nest_of, same_shape
from chainrule.transforms.compile.structure import product_of


def scatter_kernel(node: Node, memory: set[int], shares: dict[int, Node]) -> Kernel:
    """Write loops over the elements of the inputs that put them where they belong.

    Threads share the first axis where elements keep their place along it.
    """
    several = isinstance(node.loop, Scatters)
    frame = Frame(memory)
    frame.shares = shares
    out = frame.pointer(node)
    nests = [_spread_over(node, frame, out)] if several and node.loop.start else []
    covered = bool(nests) or node.loop.covers
    given = node.loop.nodes if several else (node,)
    parts = [(x, k) for x in given for k in x.loop.parts(len(x.inputs))]
    if node.loop.covers:
        by_nest: dict[int, list[_Part]] = {}
        for i, (x, k) in enumerate(parts):
            by_nest.setdefault(nest_of(node, i if several else k), []).append((x, k))
        nests += [_scattered(each, frame, node) for each in by_nest.values()]
    else:
        nests += [_scattered([(x, k)], frame, node, add=x.loop.add or several) for x, k in parts]
    share = node.shape[0] if node.shape and all(nest.keeps_first for nest in nests) else None
    lines = list(frame.lines[TOP])
    inside = 0 if share is None else 1  # the nests go on inside of the loop that they share
    if inside:
        lines.append("for i0 in range(first, last):")
    if not covered:
        rest = frame.size(product_of(node.shape[inside:]))
        span = f"range(i0 * {rest}, i0 * {rest} + {rest})" if inside else f"range({rest})"
        zero = assignment(f"{out}[k]", literal(0, node.dtype), node.dtype)
        lines += [INDENT * inside + f"for k in {span}:", INDENT * (inside + 1) + zero]
    for nest in nests:
        loops = nest.loops[inside:]
        if not loops:
            lines += [INDENT * inside + line for line in nest.before]
        for depth, (name, n) in enumerate(loops, start=inside):
            if depth == len(nest.loops) - 1:
                lines += [INDENT * depth + line for line in nest.before]
            lines.append(INDENT * depth + f"for {name} in range({frame.size(n)}):")
        lines += [INDENT * len(nest.loops) + line for line in nest.body]
    roots = [Root(node, [], [], target, [], []) for nest in nests for target in nest.targets]
    work = [list(node.shape), *[[n for _, n in x.loops] for x in nests]]
    return finished(frame, lines, share, roots, memory, work, "i0")


_Part = tuple[Node, int]
"""A scatter, and the number of an input of which it puts elements into places."""


class _Nest(NamedTuple):
    """Loops over the elements of inputs of a scatter: where elements go, and the lines.

    Those of `before` stand outside of the innermost loop.
    """

    loops: list[tuple[str, Any]]
    targets: list[list[str]]
    before: list[str]
    body: list[str]
    keeps_first: bool


def _spread_over(node: Node, frame: Frame, out: str) -> _Nest:
    """Write input 0 of a sum as it is; the scattered elements come on top."""
    index, loops = _loops(node, frame)
    value = frame.read(node.inputs[0], index, node.dtype)
    place = f"{out}[{frame.address(node.shape, index)}]"
    return _nest(loops, [index], frame, [assignment(place, value, node.dtype)], keeps=True)


def _scattered(parts: list[_Part], frame: Frame, whole: Node, add: bool = False) -> _Nest:
    """Write loops over inputs of one shape, whose elements go to different places."""
    targets, stores = [], []
    for number, (node, part) in enumerate(parts):
        x = node.inputs[part]
        index, loops = _loops(x, frame)
        value = frame.read(x, index, node.dtype)
        targets.append(node.loop.target(frame.here(node, index), part, index))
        out = frame.pointer(whole, number)
        place = f"{out}[{frame.address(node.shape, targets[-1])}]"
        stores.append(assignment(place, f"plus({place}, {value})" if add else value, node.dtype))
    keeps = same_shape(x.shape[:1], whole.shape[:1])
    return _nest(loops, targets, frame, stores, keeps=keeps)


def _loops(x: Node, frame: Frame) -> tuple[list[str], list[tuple[str, Any]]]:
    """Give an index over all elements of a node, and the loops that it takes."""
    index = ["0" if is_one(n) else f"i{k}" for k, n in enumerate(x.shape)]
    loops = [(name, n) for name, n in zip(index, x.shape, strict=True) if name != "0"]
    for name, span in loops:
        frame.loop(name, INNER if name == loops[-1][0] else OUTER, span)
    return index, loops


def _nest(
    loops: list[tuple[str, Any]], targets: list[list[str]], frame: Frame, stores: list[str],
    *, keeps: bool,
) -> _Nest:  # fmt: skip
    before, body = frame.lines[OUTER], [*frame.lines[INNER], *stores]
    frame.lines[OUTER], frame.lines[INNER] = [], []
    frame.forget(OUTER)
    first = [target[0] for target in targets]
    keeps_first = keeps and bool(loops) and loops[0][0] == "i0" and set(first) == {"i0"}
    return _Nest(loops, targets, before, body, keeps_first)
