"""A program: the source of a graph, the memory it works in, and the calls that run it.

>>> from chainrule import Spec, ops, trace
>>> graph = trace(lambda x: ops.sum(ops.exp(x), axis=1), Spec(("rows", 3), float))
>>> program = Program(graph.inputs, [graph.output])
>>> print(program.source)
def loop_1(x0, x1, n0, first, last):
    apart()
    for i0 in range(first, last):
        s0 = float64(0.0)
        for j in range(n0):
            t0 = x0[i0 * n0 + j]
            t1 = exp(t0)
            s0 = plus(s0, t1)
        x1[i0] = s0
...
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from chainrule.errors import GraphError
from chainrule.graph import Array, Tensor, ancestors
from chainrule.ops.loops import Product, Steps
from chainrule.transforms.compile.beside import Beside, add_beside
from chainrule.transforms.compile.bound import MACHINE, Bound
from chainrule.transforms.compile.calls import Inner
from chainrule.transforms.compile.frame import base, type_name
from chainrule.transforms.compile.rewrite import rewritten
from chainrule.transforms.compile.schedule import Schedule
from chainrule.transforms.compile.simplify import Node, copied, reachable, same_shape, simplify
from chainrule.transforms.compile.source import Text
from chainrule.transforms.compile.structure import LARGE, at_least, structure

KINDS = ("float32", "float64", "int64", "int32", "uint64", "bool_")


class Program:
    """A graph as generated source.

    `inputs` are leaves that get an array for each run, `outputs` what comes out, `updates` leaves
    and their new values, written in place after everything else. Of `streams`, inputs or outputs,
    every step takes or gives the next piece. `checks` are numbers that end the run before the
    updates of a step where they are not finite. Once the first of them is, what lies in a leaf that
    nothing reads may be written over until its update. `names` are names of tensors, by
    their birth, for the source. Leaves of `turn` may be kept transposed. What is computed `beside`
    the rest changes nothing of it (`beside.add_beside`). An `inner` program is called by another
    one, which may make tiles of leaves of `turn`.

    A graph that differs from an earlier one in its sizes alone takes its source over.
    """

    runs = "numba"
    """How it runs, in the words of `Training.runs`."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        updates: Mapping[Tensor, Tensor] | None = None,
        *,
        streams: Sequence[Tensor] = (),
        checks: Sequence[Tensor] = (),
        names: Mapping[int, str] | None = None,
        turn: Sequence[Tensor] = (),
        beside: Beside | None = None,
        inner: bool = False,
    ) -> None:
        ends = Ends(tuple(inputs), tuple(outputs), dict(updates or {}), tuple(streams),
                    tuple(checks), tuple(turn), beside or Beside((), {}), inner)  # fmt: skip
        tensors = ancestors([*ends.every, *ends.beside.ends])
        key, sizes = structure(tensors, names)
        place = {x.birth: i for i, x in enumerate(tensors)}
        key = (key, ends.described(place))
        known = _written.get(key)
        if known is None:
            known = _written[key] = Written(ends, tensors, names or {}, sizes)
            while len(_written) > _KEPT:
                del _written[next(iter(_written))]
        self.written = known
        self.exchange = {
            old: new for old, new in zip(known.sizes, sizes, strict=True) if old != new
        }
        self.leaf_of = {order: tensors[i] for order, i in known.leaf_places.items()}
        self.leaves = {x.birth: node for x, node in zip(ends.all_leaves, known.leaves, strict=True)}
        if known.text.has_foreign:  # its attributes are those of this graph
            del _written[key]

    @property
    def text(self) -> Text:
        """The source, and what its table has to hold."""
        return self.written.text

    @property
    def outputs(self) -> list[Node]:
        """Nodes of the outputs, those beside the last."""
        return self.written.outputs

    @property
    def source(self) -> str:
        """The program as Python that a person can read."""
        return self.text.source

    def places(self, node: Node) -> list[int]:
        """Give where the table holds the address of a node, if the program uses it."""
        order = self.text.canonical(node).order
        return [self.text.places[order]] if order in self.text.places else []

    @property
    def is_ready(self) -> bool:
        """Whether programs run here already, and this one was compiled, here or elsewhere."""
        machine = sys.modules.get(MACHINE)
        return machine is not None and bool(machine.is_compiled(self.source))

    def bind(
        self,
        sizes: Mapping[str, int],
        short: Mapping[str, int] | None = None,
        threads: int = 1,
        *,
        plain: bool = False,
        inner: bool = False,
        arena: Array | None = None,
    ) -> "Bound":
        """Make the memory for named dimensions of these sizes, and the machine code.

        `short` are the sizes of a last step that differs. With `plain` the source runs as it
        stands, uncompiled. An `inner` program is called by another and not from Python. The `arena`
        of another program serves, if the two never run at the same time.
        """
        short = dict(short or sizes)
        return Bound(self, self.text, dict(sizes), short, threads, plain, inner, arena)


_KEPT = 64
"""How many sources are kept for graphs of equal structure."""

_written: "dict[Any, Written]" = {}


class Ends(NamedTuple):
    """What goes in and comes out of a graph: the arguments of `Program`."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    updates: dict[Tensor, Tensor]
    streams: tuple[Tensor, ...]
    checks: tuple[Tensor, ...]
    turn: tuple[Tensor, ...] = ()
    beside: Beside = Beside((), {})
    inner: bool = False

    @property
    def leaves(self) -> list[Tensor]:
        """What is set from outside: what is updated, and the inputs."""
        return [*self.updates, *self.inputs]

    @property
    def all_leaves(self) -> list[Tensor]:
        """What is set from outside, and at the end what is updated beside."""
        return [*self.leaves, *self.beside.updates]

    @property
    def every(self) -> list[Tensor]:
        """All ends: results, checks, new values, leaves."""
        return [*self.outputs, *self.checks, *self.updates.values(), *self.leaves]

    def parts(self, roots: list[Node]) -> tuple[list[Node], list[Node], list[Node], list[Node]]:
        """Divide the nodes of `every`: outputs, checks, new values, leaves."""
        first = len(self.outputs)
        second = first + len(self.checks)
        third = second + len(self.updates)
        return roots[:first], roots[first:second], roots[second:third], roots[third:]

    def described(self, place: dict[int, int]) -> tuple[Any, ...]:
        """Say which tensors the ends are, by their places."""
        beside = len(self.beside.outputs), len(self.beside.updates)
        counts = len(self.outputs), len(self.checks), len(self.updates), *beside
        each = ([*self.every, *self.beside.ends], self.streams, self.turn)
        return self.inner, counts, *[tuple(place[x.birth] for x in ends) for ends in each]


class Written:
    """The source of all graphs of one structure, without the tensors of any of them.

    `sizes` are those of the graph that it was written for; another graph exchanges them for its
    own. `leaf_places` says for each leaf which of the tensors of a graph it is.
    """

    def __init__(
        self, ends: Ends, tensors: Sequence[Tensor], names: Mapping[int, str], sizes: list[int]
    ) -> None:
        self.sizes = sizes
        _, roots = simplify(
            ends.every, ends.all_leaves,
            updated=ends.updates, names=names, beside=ends.beside.ends,
        )  # fmt: skip
        roots, beside = roots[: len(ends.every)], roots[len(ends.every) :]
        if ends.inner and base(roots[0]).op is None:  # a step has to write what it gives
            roots[0] = copied(roots[0], 1 + max(x.order for x in reachable(roots)))
        # The layers of a step that trains may be observed; that is not to change the rest.
        step = rewritten(reachable(roots), roots, beside, adds=not ends.checks)
        nodes = reachable([*roots, *beside]) if beside else step
        self.outputs, self.checks, news, self.leaves = ends.parts(roots)
        olds = self.leaves[: len(ends.updates)]
        changed = {x.order for x in olds}
        if any(base(x).order in changed for x in news):
            raise GraphError("two leaves exchange their values, which compiled code cannot do")
        if any(base(x).order in changed for x in self.outputs):
            raise GraphError("an output is a leaf that is updated, which compiled code cannot do")
        _check_kinds(nodes)
        self.schedule = Schedule(
            step, [*self.outputs, *self.checks], list(zip(olds, news, strict=True))
        )
        also, new, leaves = ends.beside.parts(beside)
        if beside:
            pairs = list(zip(leaves, new, strict=True))
            self.outputs = [*self.outputs, *add_beside(self.schedule, also, pairs)]
            self.leaves = [*self.leaves, *leaves]
        self.updated = {leaf.order for leaf, _ in self.schedule.updates}
        births = {x.birth for x in ends.streams}
        self._moving = {
            base(node).order
            for x, node in zip([*ends.all_leaves, *ends.outputs, *ends.beside.outputs],
                               [*self.leaves, *self.outputs], strict=True)
            if x.birth in births
        }  # fmt: skip
        may_turn = {x.birth for x in ends.turn}
        fixed = {x.order for x in nodes if x.leaf is not None and x.leaf.birth in may_turn}
        self.turned = _always_turned(nodes, set(fixed))
        self.fixed = _always_second(nodes, fixed) if ends.inner else set()
        self.inner = {node.order: _inner(node) for node in nodes if isinstance(node.loop, Steps)}
        self.text = self.write()
        place = {x.birth: i for i, x in enumerate(tensors)}
        self.leaf_places = {}
        for node in nodes:
            if node.leaf is not None:
                self.leaf_places[node.order] = place[node.leaf.birth]
                node.leaf = None  # a source outlives the graphs that it is for

    def write(self, *, timed: bool = False) -> Text:
        """Write the source; with `timed`, clocks stand between the statements."""
        turned, fixed = self.turned, self.fixed
        return Text(self.schedule, self._moving, self.checks, turned, timed, self.inner, fixed)


def _inner(node: Node) -> Inner:
    """Make the program of one step of a recurrence."""
    body = node.attrs["body"]
    graph = body.graph
    for given, x in zip(node.inputs, graph.inputs, strict=True):
        if given.number is None and given.dtype != x.dtype:
            raise GraphError(f"{node}: a step for {x.dtype} got {given.dtype}; trace it for that")
    carry, *others = graph.inputs
    moving, fixed = [*others[: body.count], graph.output], others[body.count :]
    if "passes" in node.attrs:
        updates = {carry: body.parts[0]}
        program = Program(others, [graph.output], updates, streams=moving, turn=fixed, inner=True)
    else:
        program = Program(
            graph.inputs, [graph.output], streams=[carry, *moving], turn=fixed, inner=True
        )
    leaves = [program.leaves[x.birth] for x in graph.inputs]
    result = program.outputs[0]
    before = [leaves[k].order for k in node.attrs.get("before", {})]
    over = [
        k for k in range(1, body.count + 1)
        if _may_overwrite(program.text, leaves[k], result, before)
    ]  # fmt: skip
    return Inner(node, program, leaves, result, over)


def _may_overwrite(text: Text, x: Node, result: Node, before: Sequence[int]) -> bool:
    """Whether a thread has read its rows of x for the last time when it writes the result.

    It may read its rows of what comes `before`.
    """
    out = text.canonical(result).order
    calls = [c for c in text.calls if (c.reads | c.writes) & {x.order, out}]
    reads = [i for i, c in enumerate(calls) if x.order in c.reads]
    writes = [i for i, c in enumerate(calls) if out in c.writes]
    return (
        x.dtype == result.dtype
        and same_shape(x.shape, result.shape)
        and bool(reads) and bool(writes) and reads[-1] < writes[0]
        and all(c.reads & set(before) <= c.local for c in text.calls)
        and all(c.share is not None and same_shape([c.share], x.shape[:1])
                and (c.reads | c.writes) & {x.order, out} <= c.local for c in calls)
    )  # fmt: skip


def _always_turned(nodes: Sequence[Node], found: set[int]) -> set[int]:
    """Give those of some matrices that are only ever multiplied by their transpose.

    Where they do not change, they are kept transposed, which products read faster.
    """

    def turns(node: Node, place: int) -> bool:
        flag = bool(node.attrs.get("transpose_b"))
        return isinstance(node.loop, Product) and place == 1 and flag and len(node.shape) == 2

    for node in nodes:
        found -= {x.order for place, x in enumerate(node.inputs) if not turns(node, place)}
    return {
        x.order for node in nodes for x in node.inputs if x.order in found and len(x.shape) == 2
    }


def _always_second(nodes: Sequence[Node], found: set[int]) -> set[int]:
    """Give those of some float32 matrices by which others are multiplied, and nothing else.

    Those of many columns, which threads share out, are left out.
    """

    def is_second(node: Node, place: int) -> bool:
        matrices = node.dtype == "float32" and all(len(x.shape) == 2 for x in node.inputs)
        second = isinstance(node.loop, Product) and place == 1 and matrices
        return second and not at_least(node.shape[1], LARGE)

    for node in nodes:
        found -= {x.order for place, x in enumerate(node.inputs) if not is_second(node, place)}
    return {x.order for node in nodes for x in node.inputs if x.order in found}


def _check_kinds(nodes: Sequence[Node]) -> None:
    for node in nodes:
        if node.number is None and type_name(node.dtype) not in KINDS:
            what = node if node.op else "an input"
            raise GraphError(f"compiled code has no {node.dtype}, which {what} gives")
