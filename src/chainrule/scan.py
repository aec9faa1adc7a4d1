"""Recurrence: one step applied to a sequence, each result going into the next step.

The step is a graph of its own, so that a sequence of 10,000 steps is one op. Its derivatives are
scans too: cotangents come back step by step, in the other direction. What a step computes
without its carry is computed for all steps at once, outside of the scan.

>>> decayed = scan(lambda s, x: 0.5 * s + x, np.zeros((1, 1)), [np.ones((4, 1, 1))])
>>> decayed[:, 0, 0].tolist()
[1.0, 1.5, 1.75, 1.875]
"""

from collections.abc import Callable, Container, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from chainrule import ops
from chainrule.carries import (
    columns_of,
    cuts_of,
    first_columns,
    is_of_end,
    placed_side_by_side,
    span_of,
    sum_of_columns,
    unshaped,
    without_zeros,
)
from chainrule.dims import Dim, Shape, product, resolve
from chainrule.errors import GraphError, ShapeError
from chainrule.graph import Array, Attrs, Op, Tensor, Value, ancestors, dtype_of, shape_of
from chainrule.ops import helpers
from chainrule.ops.loops import Along, Steps
from chainrule.ops.moving import ALL, concat_op, place, shift
from chainrule.ops.opset import in_onnx
from chainrule.ops.source import Call, in_jax, in_numpy
from chainrule.transforms.forward import forward
from chainrule.transforms.reverse import reverse as reverse_walk
from chainrule.transforms.run import Graph, Spec, trace
from chainrule.tree import flatten

ROWS = Dim.of("rows")
"""The first axis of a carry: what is computed row by row may be computed for all steps at once."""


def scan(
    step: Callable[..., Value | tuple[Value, ...]],
    init: Value,
    xs: Sequence[Value],
    consts: Sequence[Value] = (),
    *,
    reverse: bool = False,
) -> Value:
    """Apply `carry = step(carry, *x, *consts)` to every element of a sequence; give all carries.

    `init` has shape (rows, ...), each of `xs` (length, rows, ...), the result (length, rows, ...).
    `consts` are what all steps share, such as weights; the step uses no other tensors, and
    computes each row by itself. With `reverse` the last element comes first. The gradient is
    backpropagation through time (Werbos, 1990).

    A step may give several results: side by side they are the carry. What the derivative needs
    of a step, such as gates, may so be kept instead of computed again.
    """
    length, given = _checked(init, xs), [*xs, *consts]
    graph, start = _graph_of(step, init, xs, consts)
    return _without_the_rest(graph, start, given, len(xs), length, reverse)


def _graph_of(
    step: Callable[..., Any], init: Value, xs: Sequence[Value], consts: Sequence[Value]
) -> tuple[Graph, Value]:
    """Trace a step, and give the first carry in its dtype."""
    given = [*xs, *consts]
    dtype = dtype_of(*(x for x in (init, *given) if dtype_of(x).kind == "f"))
    graph = trace(
        lambda *values: _joined(step(*values)),
        Spec((ROWS, *_plain(shape_of(init)[1:])), dtype),
        *[Spec((ROWS, *_plain(shape_of(x)[2:])), dtype_of(x)) for x in xs],
        *[Spec(_plain(shape_of(c)), dtype_of(c)) for c in consts],
    )
    _check_step(graph, len(xs))
    return graph, ops.cast(init, dtype=dtype)


def _plain(shape: Shape) -> Shape:
    """Give sizes without names, so that layers of one kind share the program of a step."""
    return tuple(n if isinstance(n, Dim) else int(n) for n in shape)


def _checked(init: Value, xs: Sequence[Value]) -> int:
    """Give the length of the sequences."""
    shapes = [shape_of(x) for x in xs]
    if not shapes or any(len(s) < 2 or s[0] != shapes[0][0] for s in shapes):
        raise ShapeError(f"scan: sequences of shapes {[list(s) for s in shapes]}; expected at "
                         "least one, and (length, rows, ...) of one length")  # fmt: skip
    rows = shape_of(init)[:1]
    if not rows or any(s[1] != rows[0] for s in shapes):
        raise ShapeError(f"scan: a carry of shape {list(shape_of(init))} and sequences of shapes "
                         f"{[list(s) for s in shapes]}; expected as many rows in each")  # fmt: skip
    if isinstance(shapes[0][0], Dim):
        raise ShapeError(f"scan: a trace needs the length as a number, got {shapes[0][0]}")
    return int(shapes[0][0])


def _joined(result: Value | tuple[Value, ...]) -> list[Value]:
    """Give results side by side, and each of them."""
    parts = list(result) if isinstance(result, tuple) else [result]
    return [parts[0] if len(parts) == 1 else ops.concat(parts, axis=-1), *parts]


def _check_step(graph: Graph, count: int) -> None:
    known = {x.birth for x in graph.inputs}
    if graph.output[0].shape != graph.inputs[0].shape:
        raise ShapeError(f"scan: the step gives shape {graph.output[0].shape} for a carry of "
                         f"{graph.inputs[0].shape}; expected the same")  # fmt: skip
    of_rows = _followers(graph, graph.inputs[: count + 1])
    for x in graph.nodes:
        if x.op is None and x.birth not in known and (x.requires_grad or x.value is None):
            raise GraphError("scan: the step uses a tensor from outside; pass it in consts")
        if x.birth in of_rows and _mixes_rows(x):
            what = x.op.name if x.op else "an input"
            raise ShapeError(f"scan: {what} of the step mixes rows: it gives {list(x.shape)}; "
                             "expected that each row is computed by itself")  # fmt: skip


def _mixes_rows(x: Tensor) -> bool:
    """Whether the first axis is no longer that of the rows, or elements move along it."""
    along = x.op is not None and any(isinstance(fact, Along) for fact in x.op.loops)
    return (
        x.shape[:1] != (ROWS,)
        or any(isinstance(n, Dim) for n in x.shape[1:])
        or (along and x.attrs.get("axis") == 0)
    )


class Body:
    """One step of a scan, as a graph of (carry, *xs, *consts) that gives the new carry.

    `parts` are the nodes that lie side by side in it, `count` the number of xs.
    """

    def __init__(self, graph: Graph, count: int) -> None:
        self.graph = Graph(graph.inputs, graph.output[0], {})
        self.parts: list[Tensor] = graph.output[1:]
        self.count = count

    def __call__(self, *values: Value, rows: Any) -> Value:
        """Apply the step to so many rows."""
        return _replayed(self.graph, values, rows)

    def __repr__(self) -> str:
        return f"<a step of {len(self.graph.nodes)} nodes>"

    def _traced(self, f: Callable[..., Any], *more: Tensor) -> Graph:
        """Trace a function of the inputs of a step, and of more like these."""
        return trace(f, *[Spec(x.shape, x.dtype) for x in (*self.graph.inputs, *more)])

    @cached_property
    def back(self) -> "tuple[Graph, list[int], list[Tensor]]":
        """Cotangents of the inputs, by the inputs and that of the result: a graph, and of which.

        Of the carry there are the columns that a step reads. The last are the nodes of the result
        and its parts, which are known when it is asked for.
        """
        inside = len(self.graph.inputs)
        found: list[int] = []
        results: list[Tensor] = []
        carry, *others = self.graph.inputs
        cuts = cuts_of(self.graph, carry)
        specs = [Spec(x.shape, x.dtype) for x in (*self.graph.inputs, self.graph.output)]
        if cuts:
            specs[0] = Spec((ROWS, max(span_of(x)[1] for x in cuts)), carry.dtype)

        def cotangents(*values: Tensor) -> list[Value]:
            given, g = list(values[:inside]), values[inside]
            cut = {x.birth: columns_of(given[0], *span_of(x)) for x in cuts}
            known = cut or {carry.birth: given[0]}
            known |= dict(zip([x.birth for x in others], given[1:], strict=True))
            y, *parts = _computed([self.graph.output, *self.parts], known, ROWS)
            results.extend([y, *parts])
            floats = [i for i, x in enumerate(given) if x.dtype.kind == "f"]
            each = reverse_walk([y], [g], [given[i] for i in floats], create_graph=True)
            found.extend(i for i, c in zip(floats, each, strict=True) if c is not None)
            return [c for c in each if c is not None]

        return trace(cotangents, *specs), found, results

    def results(self, out: Value) -> dict[int, Value]:
        """Give the nodes of `back` that all results of a scan tell."""
        whole, *parts = self.back[2]
        found, start = {whole.birth: out}, 0
        for x in parts if len(parts) > 1 else []:
            end = start + int(x.shape[-1])
            found[x.birth] = out[..., start:end]
            start = end
        return found

    def rewritten(self, rule: "Callable[[Tensor, dict[int, Value]], Value | None]") -> "Body":
        """Give a step of which a rule computes some nodes in another way, from all before them."""

        def step(*values: Tensor) -> list[Value]:
            names = [x.birth for x in self.graph.inputs]
            found: dict[int, Value] = dict(zip(names, values, strict=True))
            for each in _prepared([self.graph.output], found, ROWS):
                new = rule(each[0], found)
                found = _executed([each], found) if new is None else found | {each[0].birth: new}
            return [found[self.graph.output.birth]]

        return Body(self._traced(step), self.count)

    def passing(self, concat: Op) -> "tuple[Body, int] | None":
        """Give a step that takes only the columns of the carry that it reads, and how many.

        These are its first part, which `concat` leaves out; the carry that goes to the next step
        is its other result. There is none if a step reads other columns, or gives on what it got.
        """
        output, (carry, *others) = self.graph.output, self.graph.inputs
        cuts = cuts_of(self.graph, carry)
        if output.op is not concat_op or len(output.shape) != 2 or not cuts:
            return None
        width = int(output.inputs[0].shape[1])
        if max(span_of(x)[1] for x in cuts) > width or output.inputs[0] in cuts:
            return None

        def step(*values: Tensor) -> list[Value]:
            known = dict(zip([x.birth for x in others], values[1:], strict=True))
            known |= {x.birth: columns_of(values[0], *span_of(x)) for x in cuts}
            known |= self._side_by_side(known)
            new, *sent = _computed(output.inputs, known, ROWS)
            return [concat(values[0], *sent, axis=1), new]

        first = Spec((ROWS, width), carry.dtype)
        graph = trace(step, first, *[Spec(x.shape, x.dtype) for x in others])
        return Body(graph, self.count), width

    def _side_by_side(self, known: dict[int, Value]) -> dict[int, Value]:
        """Compute what is sent, and parts of the carry that do not follow from it, in one place.

        They share functions, such as those of the gates, which one loop then computes once.
        """
        carry, *sent = map(unshaped, self.graph.output.inputs)
        parts = placed_side_by_side(sent[0]) if len(sent) == 1 else []
        follows = _followers(self.graph, sent)
        more = [
            x for x in placed_side_by_side(carry)
            if parts and x.shape == parts[0].shape and x.birth not in follows
        ]  # fmt: skip
        if not more:
            return {}
        whole = ops.concat(_computed([*parts, *more], known, ROWS), axis=1)
        found, start = {}, 0
        for x in (sent[0], *more):
            end = start + int(x.shape[1])
            found[x.birth] = columns_of(whole, start, end)
            start = end
        return found

    def way_back(self, others: Sequence[Tensor]) -> "WayBack":
        """Say what is computed on the way back through the steps, if `others` follow from it."""
        graph, found, results = self.back
        follows = _followers(graph, graph.inputs[-1:])
        carry = graph.output[found.index(0)]
        own = {x.birth for x in ancestors([carry]) if x.birth in follows} | {graph.inputs[-1].birth}
        rest = [x for x in ancestors(others) if x.birth in follows and x.birth not in own]
        sent = {x.birth: x for x in (*others, *(i for y in rest for i in y.inputs))
                if x.birth in own}  # fmt: skip
        reads = [i for x in graph.nodes if x.birth in own for i in x.inputs]
        kept = _kept([x for x in reads if x.birth not in follows], results)
        moves = _followers(graph, [*graph.inputs[: self.count + 1], *results])
        arriving = graph.inputs[-1]
        return WayBack(
            [] if arriving.birth in sent else cuts_of(graph, arriving),
            (arriving.birth, results[0].birth),
            carry,
            list(sent.values()),
            [x for x in kept if x.birth in moves],
            [x for x in kept if x.birth not in moves],
        )

    def forward_graph(self, moving: Sequence[int]) -> Graph:
        """Tangent of the result, by the inputs and the tangents of the `moving` ones."""
        inside = len(self.graph.inputs)

        def tangent(*values: Tensor) -> Value:
            y = self(*values[:inside], rows=ROWS)
            chosen = [values[i] for i in moving]
            t = forward([y], chosen, values[inside:], create_graph=True)[0]
            return ops.mul(values[0], 0.0) if t is None else t

        return self._traced(tangent, *[self.graph.inputs[i] for i in moving])


class WayBack(NamedTuple):
    """What a step gives on the way back: the cotangent of its carry, and nodes that are `sent` on.

    `kept` are what it is computed from, one for each step, `fixed` what is the same for all;
    `births` are those of the cotangent that arrives, and of the result. If nothing else reads what
    arrives, `cuts` are the parts of it that are read.
    """

    cuts: list[Tensor]
    births: tuple[int, int]
    carry: Tensor
    sent: list[Tensor]
    kept: list[Tensor]
    fixed: list[Tensor]


def _kept(nodes: Iterable[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
    """Give what nodes are computed from element by element: that is done on the way back.

    Kept in their place, the slopes of an LSTM would fill twelve arrays, which take longer to write
    and to read than to compute. Of a part of the result, or of a piece of one, the whole is kept.
    """
    found: dict[int, Tensor] = {}
    parts = {x.birth for x in results}
    stack = list(nodes)
    while stack:
        x = stack.pop()
        if x.birth in parts:
            x = results[0]
        elif x.op is not None and (
            x.op.kind == "elementwise" or all(i.birth in parts for i in x.inputs)
        ):
            stack += x.inputs
            continue
        if x.op is not None or x.value is None:
            found.setdefault(x.birth, x)
    return list(found.values())


def _replayed(graph: Graph, values: Sequence[Value], rows: Any) -> Value:
    """Compute the output of a graph with ops on these values."""
    known = {x.birth: value for x, value in zip(graph.inputs, values, strict=True)}
    return _computed([graph.output], known, rows)[0]


def _computed(wanted: Sequence[Tensor], known: dict[int, Value], rows: Any) -> list[Value]:
    """Compute nodes of a graph from those that are known, for so many rows."""
    found = _executed(_prepared(wanted, known, rows), known)
    return [found[x.birth] for x in wanted]


def _prepared(
    wanted: Sequence[Tensor], known: Container[int], rows: Any
) -> list[tuple[Tensor, Attrs]]:
    """Give the nodes to compute, in order, with their attributes for so many rows."""
    return [
        (node, {key: resolve(value, {"rows": rows}) for key, value in node.attrs.items()})
        for node in ancestors(wanted, known)
    ]


def _executed(
    prepared: Sequence[tuple[Tensor, Attrs]], known: dict[int, Value]
) -> dict[int, Value]:
    """Compute nodes, and give all that is known then."""
    found = dict(known)
    for node, attrs in prepared:
        found[node.birth] = (
            node.value
            if node.op is None
            else node.op(*[found[x.birth] for x in node.inputs], **attrs)
        )
    return found


def _without_the_rest(
    graph: Graph, init: Value, given: Sequence[Value], count: int, length: int, reverse: bool
) -> Value:
    """Scan with what depends on the carry, and compute the rest for all steps at once."""
    follows = _followers(graph, graph.inputs[:1])
    moves = _followers(graph, graph.inputs[1 : count + 1])
    edge = _edge(graph, follows)
    moving = [x for x in edge if x.birth in moves] or graph.inputs[1:2]  # ONNX asks for one
    fixed = [x for x in edge if x.birth not in moves]
    rows = shape_of(init)[0]
    known = dict(zip([x.birth for x in graph.inputs[1:]], given, strict=True))
    xs = _for_all_steps(moving, known, moves, length, rows)
    consts = _computed(fixed, known, rows)
    if graph.output[0].birth not in follows:  # no step needs the one before it
        if graph.output[0] in moving:
            return xs[moving.index(graph.output[0])]
        whole = consts[fixed.index(graph.output[0])]
        return ops.broadcast_to(whole, (length, *shape_of(init)))
    body = Body(_cut(graph, [graph.inputs[0], *moving, *fixed]), len(moving))
    return scan_op(init, *xs, *consts, body=body, length=length, reverse=reverse)


def _edge(graph: Graph, follows: set[int]) -> list[Tensor]:
    """Give the nodes outside of a part of a graph that it, or the output, depends on."""
    outputs = flatten(graph.output)
    read = [x for node in graph.nodes if node.birth in follows for x in node.inputs]
    found = {
        x.birth: x for x in (*read, *outputs)
        if x.birth not in follows and (x.op is not None or x.value is None)
    }  # fmt: skip
    return list(found.values())


def _followers(graph: Graph, inputs: Sequence[Tensor]) -> set[int]:
    """Give the nodes that depend on some inputs, and these."""
    found = {x.birth for x in inputs}
    for node in graph.nodes:
        if any(x.birth in found for x in node.inputs):
            found.add(node.birth)
    return found


def _for_all_steps(
    nodes: Sequence[Tensor], known: dict[int, Value], moves: set[int], length: int, rows: Any
) -> list[Value]:
    """Compute nodes for every row of every step; `known` inputs that `moves` have all steps."""
    flat = {birth: _flat(x) if birth in moves else x for birth, x in known.items()}
    results = _computed(nodes, flat, length * rows)
    return [
        known[x.birth] if x.birth in known else ops.reshape(y, (length, rows, *shape_of(y)[1:]))
        for x, y in zip(nodes, results, strict=True)
    ]


def _cut(graph: Graph, inputs: Sequence[Tensor]) -> Graph:
    """Give the graph that computes the outputs from these nodes."""

    def inner(*values: Tensor) -> list[Value]:
        known = {x.birth: value for x, value in zip(inputs, values, strict=True)}
        return _computed(graph.output, known, ROWS)

    return trace(inner, *[Spec(x.shape, x.dtype) for x in inputs])


class Scan(Op):
    """The op of a recurrence: inputs are init, what moves with the steps, and what stays."""

    kind = "general"

    def vjp(
        self, g: Value, out: Value, inputs: list[Value], attrs: Attrs, wanted: list[bool]
    ) -> list[Value]:
        """Send cotangents back step by step; those of all other inputs follow from them."""
        body, length, reverse = attrs["body"], attrs["length"], attrs["reverse"]
        graph, found, _ = body.back
        carried, rows = shape_of(graph.inputs[0])[1:], shape_of(inputs[0])[0]
        start, carries = first_columns(inputs[0], carried), first_columns(out, carried)
        before = shift(carries, start, reverse=reverse)
        names = [x.birth for x in graph.inputs]
        results = body.results(out)
        known = dict(zip(names, [before, *inputs[1:]], strict=False)) | results
        moves: set[int] = {*names[: body.count + 1], *results}
        result: list[Value] = [None] * len(inputs)
        others = {i: graph.output[k] for k, i in enumerate(found) if i and wanted[i]}
        arrived = {names[-1]: g}
        if 0 in found:
            way = body.way_back(list(others.values()))
            kept = _for_all_steps(way.kept, known, moves, length, rows)
            fixed = _computed(way.fixed, known, rows)
            result[0], arrived = self._back(g, kept, fixed, body, way, reverse)
        flat = {birth: _flat(x) if birth in moves else x for birth, x in known.items()}
        flat |= {birth: _flat(x) for birth, x in arrived.items()}
        each = _computed(list(others.values()), flat, length * rows)
        for i, c in zip(others, each, strict=True):
            result[i] = ops.reshape(c, shape_of(inputs[i])) if i <= body.count else c
        return result

    @staticmethod
    def _back(
        g: Value, kept: list[Value], fixed: list[Value], body: Body, way: WayBack, reverse: bool
    ) -> tuple[Value, dict[int, Value]]:
        """Give the cotangent of the first carry, and what every step has sent on its way back."""
        (arriving, whole), births = way.births, [x.birth for x in (*way.kept, *way.fixed)]
        (length, rows), width = shape_of(g)[:2], shape_of(g)[-1]
        shapes = [x.shape[1:] for x in (way.carry, *way.sent)]
        widths = [product(x) for x in shapes]
        g = without_zeros(g, shapes[0])
        start = ops.broadcast_to(np.zeros((), dtype_of(g)), (rows, sum(widths)))
        moving = [g, *kept]
        if kept and len(shapes[0]) == 1 and is_of_end(g, shapes[0][0], reverse):
            last = ops.reshape(g.inputs[0], (rows, shape_of(g)[-1]))  # with it the way back begins
            start = place(last, slices=(ALL, (0, shape_of(g)[-1], 1)), shape=shape_of(start))
            moving = kept

        def back(later: Value, *values: Value) -> tuple[Value, ...]:
            own = values[: len(moving) - len(kept)]
            both = [*own, ops.reshape(later[:, : widths[0]], (ROWS, *shapes[0]))]
            known = dict(zip(births, values[len(own) :], strict=True))
            known |= {x.birth: sum_of_columns(both, *span_of(x)) for x in way.cuts}
            if not way.cuts:
                known[arriving] = sum_of_columns(both, 0, width) if shapes[0] else ops.add(*both)
            if whole in known:
                known |= body.results(known[whole])
            given = _computed([way.carry, *way.sent], known, ROWS)
            return tuple(ops.reshape(x, (ROWS, n)) for x, n in zip(given, widths, strict=True))

        graph, start = _graph_of(back, start, moving, fixed)
        step = Body(graph, len(moving))
        sent = scan_op(start, *moving, *fixed, body=step, length=length, reverse=not reverse)
        ends = np.cumsum([0, *widths]).tolist()
        pieces = [
            ops.reshape(sent[:, :, i:j], (length, rows, *x))
            for i, j, x in zip(ends, ends[1:], shapes, strict=False)
        ]
        first = pieces[0][-1 if reverse else 0] if length else start[:, : widths[0]]
        first = ops.reshape(first, (rows, *shapes[0]))
        return sum_of_columns([first], 0, width) if shapes[0] else first, {
            x.birth: y for x, y in zip(way.sent, pieces[1:], strict=True)
        }

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Carry the tangent along: a scan in the same direction."""
        body, reverse = attrs["body"], attrs["reverse"]
        xs, consts = inputs[1 : body.count + 1], inputs[body.count + 1 :]
        moving = [i for i, t in enumerate(tangents) if t is not None and i]
        along = [i for i in moving if i <= body.count]
        graph = body.forward_graph([0, *moving])
        n = len(xs)

        def tangent(t: Value, before: Value, *rest: Value) -> Value:
            x, dx = rest[:n], rest[n : n + len(along)]
            c, dc = rest[n + len(along) :][: len(consts)], rest[n + len(along) + len(consts) :]
            return _replayed(graph, [before, *x, *c, t, *dx, *dc], ROWS)

        start = ops.mul(inputs[0], 0.0) if tangents[0] is None else tangents[0]
        moved = [shift(out, inputs[0], reverse=reverse), *xs, *[tangents[i] for i in along]]
        fixed = [*consts, *[tangents[i] for i in moving if i > body.count]]
        return scan(tangent, start, moved, fixed, reverse=reverse)


def _flat(x: Value) -> Value:
    shape = shape_of(x)
    return ops.reshape(x, (shape[0] * shape[1], *shape[2:]))


def _run(*inputs: Array, body: Body, length: int, reverse: bool) -> Any:
    carry, xs, consts = inputs[0], inputs[1 : body.count + 1], inputs[body.count + 1 :]
    names, output = [x.birth for x in body.graph.inputs], body.graph.output
    prepared = _prepared([output], names, len(carry))

    def step(*values: Array) -> Array:
        known = dict(zip(names, values, strict=True))
        return _executed(prepared, known)[output.birth]  # type: ignore[no-any-return]

    return helpers.in_steps(step, carry, xs, consts, reverse)


def _scan_in_numpy(call: Call) -> str:
    body, (init, *given) = call.attrs["body"], call.inputs
    xs, consts = ", ".join(given[: body.count]), ", ".join(given[body.count :])
    words = [call.text(body), init, f"[{xs}]", f"[{consts}]"]
    return f"in_steps({', '.join(words + ['reverse=True'] * call.attrs['reverse'])})"


def _scan_in_jax(call: Call) -> str:
    return f"scanned(jax, {_scan_in_numpy(call).removeprefix('in_steps(')}"


scan_op = Scan(
    "scan",
    _run,
    lambda init, *rest, body, length, reverse: ((length, *init.shape), init.dtype),
).looped(Steps())
in_numpy(scan_op, _scan_in_numpy, helpers.in_steps)
in_jax(scan_op, _scan_in_jax, helpers.scanned)
in_onnx(scan_op, lambda use: use.steps(use.attrs["body"], use.attrs["reverse"]))
