"""What is rewritten so that results take less memory: recurrences, and products beside them.

What a step of a recurrence computes without its carry is traced for all steps at once (`scan.py`),
since a product of many rows is faster than many of few. With few inputs the matrix stays in the
cache from step to step, and the result for all steps is large: there each step multiplies its own.

On the way back the carry only passes from step to step. It is not kept, and where the result lies
over what was kept on the way there, the states stay in their place, for products to read.

The gradient of the kernel of a convolution is a sum over the images: a few of them are added up
within a product.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chainrule import ops
from chainrule.dims import Dim
from chainrule.graph import Op
from chainrule.ops.linear import matmul, reshape_op
from chainrule.ops.loops import Element, Product, Reduce, Steps
from chainrule.ops.moving import ALL, concat_op, slice_op
from chainrule.transforms.compile.frame import base
from chainrule.transforms.compile.gates import keep_gates
from chainrule.transforms.compile.schedule import held, is_one, windows_of
from chainrule.transforms.compile.simplify import (
    Node,
    above,
    fact,
    is_zero,
    reachable,
    same_shape,
)
from chainrule.transforms.compile.structure import NARROW, Pieces
from chainrule.transforms.run import Spec, trace


def _without_first() -> Op:
    """Give a `concat` that writes all parts but the first, which compiled code alone has."""
    op = object.__new__(type(concat_op))
    vars(op).update(vars(concat_op))
    (loop,) = concat_op.loops
    return op.looped(replace(loop, parts=lambda count: range(1, count)))


_concat_of_others = _without_first()

SUMMED = 4
"""Images whose products are added up at once: few, for threads share the sums."""


def rewritten(
    nodes: Sequence[Node], roots: Sequence[Node], beside: Sequence[Node], *, adds: bool
) -> list[Node]:
    """Rewrite what needs less memory in another form, and give the nodes that are left.

    What is computed `beside` may read gates, which are not kept in another form then. A product
    that `adds` its terms to another one is no longer there to be read.
    """
    readers: dict[int, int] = {x.order: 1 for x in roots}
    for x in (y for node in nodes for y in node.inputs):
        readers[x.order] = readers.get(x.order, 0) + 1
    for node in [node for node in nodes if isinstance(node.loop, Steps)]:
        for k in range(1, node.attrs["body"].count + 1):
            x = node.inputs[k]
            if readers[x.order] > 1 or len(x.shape) != 3:
                continue
            if _is_order(x) and readers[x.inputs[0].order] == 1 and _is_narrow(x, node):
                _move(x.inputs[0], node, k)
            elif found := _of_step_before(x, node):
                _read_before(node, k, *found)
    for node in nodes:
        if node.op is not None and node.op.name == "sum" and node.attrs["axis"] == (0,):
            product = node.inputs[0]
            if readers[product.order] == 1 and _is_of_windows(product):
                product.shape = (Pieces(product.shape[0], SUMMED), *product.shape[1:])
    nodes = reachable(roots)
    for node in [node for node in nodes if isinstance(node.loop, Steps)]:
        keep_gates(node, reachable([*roots, *beside]), [*roots, *beside])
    for node in [node for node in nodes if isinstance(node.loop, Steps)]:
        if _pass_on(node, nodes, roots):
            _leave_first_out(node, nodes)
    nodes = _in_teams(reachable(roots))
    if adds:
        _add_up(nodes, roots)
        nodes = reachable(roots)
    for node in [node for node in nodes if isinstance(node.loop, Steps)]:
        for whole in node.inputs:
            if isinstance(whole.loop, Steps):
                _come_last(node, whole, nodes)
                nodes = reachable(roots)
    return nodes


def _add_up(nodes: Sequence[Node], roots: Sequence[Node]) -> None:
    """Let a product add its terms to those of another one, if both are read in their sum alone.

    So that sum is written once, and read once by what is computed of it.
    """
    readers: dict[int, list[Node]] = {x.order: [x] for x in roots}
    for node in nodes:
        for x in node.inputs:
            readers.setdefault(x.order, []).append(node)

    def terms(x: Node) -> list[Node]:
        return [y for y in x.inputs if len(readers[y.order]) == 1 and _is_plain_product(y)]

    for node in [node for node in nodes if node.op is ops.add]:
        found = terms(node)
        rest = next((x for x in node.inputs if x not in found), None) if found else None
        if rest is not None and rest.op is ops.add and len(readers[rest.order]) == 1:
            found += terms(rest)
        if len(found) != 2 or not _fit(*found) or node.dtype != found[0].dtype:
            continue
        first, second = sorted(found, key=lambda x: x.order)
        if len(second.inputs) > 2:
            continue
        if rest is None:  # the sum itself becomes the second product
            node.op, node.loop, node.attrs = second.op, second.loop, second.attrs
            node.inputs = (*second.inputs, first)
        else:
            second.inputs = (*second.inputs, first)
            (other,) = [x for x in rest.inputs if x not in found]
            node.inputs = (second, other)


def _is_plain_product(x: Node) -> bool:
    alone = isinstance(x.loop, Product) and len(x.shape) == 2 and windows_of(x) is None
    return alone and not x.attrs.get("transpose_a")


def _fit(a: Node, b: Node) -> bool:
    """Whether the results of two products can lie in one place, which the same threads share."""
    same = a.dtype == b.dtype and same_shape(a.shape, b.shape)
    return same and a.attrs.get("team") == b.attrs.get("team")


def _come_last(steps: Node, whole: Node, nodes: Sequence[Node]) -> None:
    """Let what copies parts of a result come before the steps that may write over it."""
    later = _below(steps, nodes)
    copies = _below(whole, [x for x in nodes if isinstance(x.loop, Element)]) - later
    needed = above(x for x in nodes if x.order in copies)
    last = max(copies)
    span = [x for x in nodes if steps.order <= x.order <= last]
    orders = [x.order for x in span]
    for order, x in zip(orders, sorted(span, key=lambda x: x.order not in needed), strict=True):
        x.order = order


def _below(given: Node, nodes: Sequence[Node]) -> set[int]:
    """Give the numbers of those of some nodes that depend on a given one, and its own."""
    found = {given.order}
    for node in nodes:
        if any(x.order in found for x in node.inputs):
            found.add(node.order)
    return found


def _is_of_windows(x: Node) -> bool:
    """Whether a node multiplies images by windows of images, one by one, over all places."""
    if windows_of(x) is None or not x.attrs.get("transpose_b"):
        return False
    (n, *others), a = x.shape[:-2], x.inputs[0]
    alone = all(is_one(k) for k in others)
    return isinstance(n, Dim) and alone and same_shape(a.shape[:-2], x.shape[:-2])


def _is_order(x: Node) -> bool:
    return isinstance(x.loop, Element) and bool(x.loop.order)


def _is_narrow(x: Node, steps: Node) -> bool:
    """Whether x are the rows of all steps, with few columns, multiplied by a matrix."""
    product = x.inputs[0]
    if not isinstance(product.loop, Product) or len(product.shape) != 2:
        return False
    rows, columns = product.inputs[0], product.inputs[0].shape[1]
    return (
        not product.attrs.get("transpose_a")
        and _is_order(rows) and not isinstance(columns, Dim) and columns < NARROW
        and same_shape(rows.inputs[0].shape, (*steps.shape[:2], columns))
        and same_shape(x.shape[2:], product.shape[1:])
    )  # fmt: skip


def _of_step_before(x: Node, steps: Node) -> tuple[Node, int] | None:
    """Give what a step of a recurrence leaves to the next one, of which x has columns, and which.

    The steps that read x come in the other order, so that none needs what a later one has left.
    """
    first = 0
    while x.op is not None and x.op.name in ("reshape", "slice"):
        found = _first_column(x)
        if found is None:
            return None
        first, x = first + found, x.inputs[0]
    if x.op is None or x.op.name != "shift" or x.attrs["reverse"] == steps.attrs["reverse"]:
        return None
    columns = [_first_column(y) for y in x.inputs]
    whole, start = (y.inputs[0] if y.op and y.op.name == "slice" else y for y in x.inputs)
    same = (
        isinstance(whole.loop, Steps) and whole.inputs[0] is start and len(whole.shape) == 3
        and same_shape(whole.shape[:2], steps.shape[:2]) and None not in columns
        and columns[0] == columns[1] and whole.dtype == x.dtype
    )  # fmt: skip
    return (whole, first + (columns[0] or 0)) if same else None


def _first_column(x: Node) -> int | None:
    """Give the first of some columns that are cut out, 0 if all are there; None if more changes."""
    if x.op is not None and x.op.name == "slice":
        *others, (start, _, step) = x.attrs["slices"]
        whole, start = set(others) <= {ALL}, start or 0
        return start if whole and others and step == 1 and start >= 0 else None
    return 0 if x.op is None or x.op.name != "reshape" or _keeps_columns(x) else None


def _keeps_columns(x: Node) -> bool:
    return len(x.shape) > 1 and same_shape(x.shape[-1:], x.inputs[0].shape[-1:])


def _read_before(steps: Node, k: int, whole: Node, first: int) -> None:
    """Let a step read columns of what the step before left where that lies."""
    body, n = steps.attrs["body"], int(steps.inputs[k].shape[-1])
    width = int(whole.shape[-1])

    def step(*values: Any) -> Any:
        *given, _ = values
        given[k] = given[k][:, first : first + n]
        return [body(*given, rows=Dim.of("rows"))]

    given = [Spec(x.shape, x.dtype) for x in body.graph.inputs]
    given[k] = Spec((Dim.of("rows"), width), whole.dtype)
    graph = trace(step, *given, given[k])
    before = steps.attrs.get("before", {}) | {k: len(steps.inputs)}
    steps.attrs = steps.attrs | {"body": type(body)(graph, body.count), "before": before}
    steps.inputs = (*steps.inputs[:k], whole, *steps.inputs[k + 1 :], whole.inputs[0])


def _move(product: Node, steps: Node, k: int) -> None:
    """Let a step take the rows of a product in place of its result, and the matrix besides."""
    body, (rows, matrix) = steps.attrs["body"], product.inputs
    turned = bool(product.attrs.get("transpose_b"))

    def step(*values: Any) -> Any:
        *given, w = values
        given[k] = matmul(given[k], w, transpose_b=turned)
        return [body(*given, rows=Dim.of("rows"))]

    given = [Spec(x.shape, x.dtype) for x in body.graph.inputs]
    given[k] = Spec((*given[k].shape[:1], int(rows.shape[1])), rows.dtype)
    graph = trace(step, *given, Spec(tuple(map(int, matrix.shape)), matrix.dtype))
    steps.attrs = steps.attrs | {"body": type(body)(graph, body.count)}
    steps.inputs = (*steps.inputs[:k], rows.inputs[0], *steps.inputs[k + 1 :], matrix)


def _pass_on(steps: Node, nodes: Sequence[Node], roots: Sequence[Node]) -> bool:
    """Let the carry only pass from step to step, if nothing else reads its columns of the result.

    They are not written then: so the result may lie over what was kept there, whose first columns
    stay as they are.
    """
    found = steps.attrs["body"].passing(_concat_of_others)
    if found is None or steps.inputs[0].number is not None or any(x is steps for x in roots):
        return False
    body, width = found
    readers = [y for y in nodes if any(x is steps for x in y.inputs)]
    if any(_columns_from(y) < width for y in readers):
        return False
    steps.attrs = steps.attrs | {"body": body, "passes": width}
    return True


def _columns_from(x: Node) -> int:
    """Give the first column that a node takes, 0 if it is no part of all steps."""
    if x.op is not slice_op:
        return 0
    *others, (start, _, step) = x.attrs["slices"]
    return start or 0 if set(others) == {ALL} and step == 1 else 0


def _leave_first_out(steps: Node, nodes: Sequence[Node]) -> None:
    """Let products read what each step has got from the one before where that was kept.

    The first step has got zeros, so that its rows add nothing to a product.
    """
    readers = Counter(x.order for node in nodes for x in node.inputs)
    for product in nodes:
        if not isinstance(product.loop, Product) or not product.attrs.get("transpose_a"):
            continue
        given = product.inputs[1]
        found, chain = _of_step_before(given, steps), [given]
        while found and chain[-1].op is not None and chain[-1].op.name != "shift":
            chain.append(chain[-1].inputs[0])
        if (
            found is None or len(product.shape) != 2 or len(chain) < 2
            or any(readers[x.order] != 1 for x in chain)
            or not is_zero(found[0].inputs[0])
        ):  # fmt: skip
            continue
        (whole, first), rows = found, chain[-1]
        rows.op, rows.inputs, rows.shape = reshape_op, (whole,), (given.shape[0], whole.shape[2])
        rows.attrs = {"shape": rows.shape}
        cut = (first, first + int(given.shape[1]), 1)
        given.op, given.inputs, given.attrs = slice_op, (rows,), {"slices": (ALL, cut)}
        for x in (rows, given):
            assert x.op is not None
            x.loop = fact(x.op, x.inputs, x.attrs)
        later = (*steps.shape[:2], bool(whole.attrs["reverse"]))
        product.attrs = product.attrs | {"later": later}


def _in_teams(nodes: list[Node]) -> list[Node]:
    """Let two teams of threads have a recurrence each, where one needs nothing of the other.

    So it is in the two directions of a layer. A team has all rows, more at a time than a share of
    them, and what it has kept on the way there is in its own caches on the way back.
    """
    alone = [node for node in nodes if isinstance(node.loop, Steps)]
    while len(alone) > 1:
        first, second = alone[:2]
        if first.order in above([second]) or not _are_twins(first, second):
            del alone[0]
            continue
        del alone[:2]
        _put_side_by_side(first, second, nodes)
        kept = [x.attrs["team"] for x in first.inputs if isinstance(x.loop, Steps)]
        team = kept[0] if kept else 0
        first.attrs, second.attrs = first.attrs | {"team": team}, second.attrs | {"team": 1 - team}
        nodes = sorted(nodes, key=lambda node: node.order)
    _follow(nodes)
    return nodes


def _are_twins(a: Node, b: Node) -> bool:
    """Whether two recurrences take as long."""
    bodies = [x.attrs["body"].graph.nodes for x in (a, b)]
    return (
        same_shape(a.shape, b.shape)
        and [x.shape for x in a.inputs] == [x.shape for x in b.inputs]
        and [str(x.op) for x in bodies[0]] == [str(x.op) for x in bodies[1]]
    )


def _put_side_by_side(first: Node, second: Node, nodes: Sequence[Node]) -> None:
    """Let what the second of two nodes needs come before both, and the rest after them."""
    needed, both = above([second]), (first.order, second.order)
    span = [x for x in nodes if first.order <= x.order <= second.order]
    orders = [x.order for x in span]
    place = {x.order: 1 if x.order in both else 2 * (x.order not in needed) for x in span}
    for order, x in zip(orders, sorted(span, key=lambda x: place[x.order]), strict=True):
        x.order = order


def _follow(nodes: Sequence[Node]) -> None:
    """Let the team of a recurrence compute what is made for it, and the sums of what it gives."""
    readers: dict[int, list[Node]] = {}
    for node in nodes:
        for x in node.inputs:
            readers.setdefault(x.order, []).append(node)
    found: dict[Any, list[Node]] = {}
    for node in nodes:
        if not isinstance(node.loop, Product | Reduce) or len(node.shape) > 2:
            continue
        given = [base(held(x)[0]) for x in node.inputs]
        teams = {x.attrs["team"] for x in given if isinstance(x.loop, Steps) and "team" in x.attrs}
        teams = teams or {x.attrs.get("team") for x in _read_at_last(node, readers)}
        if len(teams) == 1 and teams != {None}:
            shapes = tuple(x.shape for x in (node, *node.inputs))
            found.setdefault((str(node), shapes), []).append(node)
            node.attrs = node.attrs | {"team": teams.pop()}
    for several in found.values():
        if sum(2 * x.attrs["team"] - 1 for x in several):  # one team would wait for the other
            for node in several:
                node.attrs = {key: x for key, x in node.attrs.items() if key != "team"}


def _read_at_last(node: Node, readers: Mapping[int, list[Node]]) -> list[Node]:
    """Give the nodes that read the elements of a node, in whatever shape."""
    return [
        y for x in readers.get(node.order, ())
        for y in (_read_at_last(x, readers) if _is_order(x) else [x])
    ]  # fmt: skip
