"""What a program does and where its time goes: `plan` and `profile`.

>>> from chainrule import Spec, ops, trace
>>> from chainrule.transforms.compile.program import Program
>>> graph = trace(lambda x, w: ops.tanh(x @ w), Spec(("rows", 8)), Spec((8, 4)))
>>> print(plan(Program(graph.inputs, [graph.output]).bind({"rows": 100}, plain=True)))
statement  what it computes  sizes    operations  bytes
product    matmul            100x4x8       6,400  4,928
loop_1     tanh              400             400  3,200
total                                      6,800  8,128
memory: arena 1,600 bytes, scratch 0 bytes
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.ops.loops import Product, Steps
from chainrule.transforms.compile.bound import Bound
from chainrule.transforms.compile.calls import Call, comment
from chainrule.transforms.compile.structure import Pieces

WORTH_SHARING = 4e6
"""Operations of a step from which on a second thread can pay."""


@dataclass(frozen=True)
class Statement:
    """One statement of a program: what it computes, its work, and the memory it touches."""

    name: str
    what: str
    sizes: str
    operations: float
    bytes: int
    is_product: bool


def statements(bound: Bound, sizes: Mapping[str, int] | None = None) -> list[Statement]:
    """List the statements of a program, in order, for the sizes of a whole step or for others."""
    return [_statement(call, bound, sizes or bound.sizes) for call in bound.text.calls]


def _statement(call: Call, bound: Bound, sizes: Mapping[str, int]) -> Statement:
    touched = {
        node.order: node for node in bound.text.memory if node.order in call.reads | call.writes
    }
    size = sum(
        math.prod([bound.number(n, sizes) for n in x.shape]) * x.dtype.itemsize
        for x in touched.values()
    )
    name = _name(call)
    nests = _nests(call, bound, sizes)
    widest = _times(max(nests, key=math.prod, default=[])) if name != "NumPy" else ""
    operations = _operations(call, bound, sizes)
    shown = "tiles" if bound.is_by_tiles(call) else name
    return Statement(shown, comment(call), widest, operations, size, name == "product")


def _name(call: Call) -> str:
    if call.kernel is not None:
        return call.name
    loop = call.node.loop
    return {Product: "product", Steps: "steps"}.get(type(loop), "NumPy")


def _nests(call: Call, bound: Bound, sizes: Mapping[str, int]) -> list[list[int]]:
    """Give the sizes of each loop nest of a statement, from the outermost loop inwards."""
    node, kernel = call.node, call.kernel
    nests = [node.shape] if kernel is None else kernel.work
    if kernel is None and isinstance(node.loop, Product):
        inner = node.inputs[0].shape[-2 if node.attrs.get("transpose_a") else -1]
        stack = [n.whole if isinstance(n, Pieces) else n for n in node.shape[:-2]]
        nests = [(*stack, *node.shape[-2:], inner)]
    return [[bound.number(n, sizes) for n in nest] for nest in nests]


def _operations(call: Call, bound: Bound, sizes: Mapping[str, int]) -> float:
    name = _name(call)
    if name == "NumPy":
        return 0.0
    nests = _nests(call, bound, sizes)
    if name == "steps":
        inside = bound.inner(bound.text.inner[call.node.order], sizes).bound
        return nests[0][0] * work(inside)
    total = float(sum([math.prod(nest) for nest in nests]))
    return 2 * total if name == "product" else total


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes)) or "1"


def work(bound: Bound) -> float:
    """Give the operations of a step."""
    return sum(_operations(call, bound, bound.sizes) for call in bound.text.calls)


def plan(bound: Bound) -> str:
    """Give a table of the statements of a program, and the memory that they share."""
    listed = statements(bound)
    rows = [("statement", "what it computes", "sizes", "operations", "bytes")]
    rows += [(s.name, s.what, s.sizes, f"{s.operations:,.0f}", f"{s.bytes:,}") for s in listed]
    total = sum(s.operations for s in listed), sum(s.bytes for s in listed)
    rows.append(("total", "", "", f"{total[0]:,.0f}", f"{total[1]:,}"))
    memory = f"memory: arena {bound.arena_bytes:,} bytes, scratch {bound.scratch_bytes:,} bytes"
    foreign = [s.what for s in listed if s.name == "NumPy"]
    notes = (
        [f"through NumPy, since they have no loop fact: {', '.join(foreign)}"] if foreign else []
    )
    return "\n".join([*_table(rows, 3), memory, *notes])


def _table(rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """Set rows in columns, the first few to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


@dataclass(frozen=True)
class Profile:
    """Where the time of a step goes: seconds of each statement, and the peak of this machine."""

    statements: list[Statement]
    seconds: list[float]
    peak: float

    @property
    def total(self) -> float:
        """Seconds of a step."""
        return sum(self.seconds)

    def advice(self) -> list[str]:
        """Say what would make it faster, where the figures show it."""
        found = []
        products = sum(
            t for s, t in zip(self.statements, self.seconds, strict=True) if s.is_product
        )
        update = sum(
            t for s, t in zip(self.statements, self.seconds, strict=True) if _updates(s.what)
        )
        done = sum(s.operations for s in self.statements if s.is_product)
        if update > 0.35 * self.total:
            found.append(
                f"the optimizer takes {update / self.total:.0%}: a larger batch_size makes fewer "
                "updates of the same cost"
            )
        if products and done / products < 0.4 * self.peak:
            found.append(
                "the matrix products are too small to fill the processor: a larger batch or wider "
                "layers cost little more"
            )
        elif products > 0.7 * self.total:
            found.append(
                f"the matrix products run at {done / products / self.peak:.0%} of the peak and "
                "take most of the time: only a smaller net or a second thread is faster"
            )
        return found

    def __str__(self) -> str:
        rows = [("statement", "what it computes", "sizes", "us", "share", "GFLOP/s", "of peak")]
        for s, t in zip(self.statements, self.seconds, strict=True):
            speed = s.operations / max(t, 1e-12)
            fast = (f"{speed / 1e9:.1f}", f"{speed / self.peak:.0%}") if s.is_product else ("", "")
            share = f"{t / max(self.total, 1e-12):.1%}"
            rows.append((s.name, s.what, s.sizes, f"{t * 1e6:.2f}", share, *fast))
        rows.append(("total", "", "", f"{self.total * 1e6:.2f}", "100.0%", "", ""))
        lines = [*_table(rows, 3), f"peak of one thread here: {self.peak / 1e9:.0f} GFLOP/s"]
        return "\n".join([*lines, *(f"* {text}" for text in self.advice())])


def _updates(what: str) -> bool:
    return what.split(":")[0] in ("SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Adadelta")


def profile(bound: Bound, *, seconds: float = 0.5, short: int = -1, steps: int = 1) -> Profile:
    """Run steps on a copy of the memory, with a clock after each statement."""
    timed = bound.timed()
    timed.run(0, 1, short)  # warm up
    rounds: list[list[float]] = []
    began = time.perf_counter()
    while not rounds or time.perf_counter() - began < seconds:
        timed.clocks[:] = 0
        started = time.perf_counter()
        timed.run(0, steps, short)
        wall = time.perf_counter() - started
        ticks = timed.clocks[: len(bound.text.calls)].astype(float)
        rounds.append(list(ticks / max(ticks.sum(), 1) * wall / steps))
    listed = statements(bound, bound.short if short == 0 and steps == 1 else bound.sizes)
    return Profile(listed, [float(x) for x in np.median(rounds, axis=0)], peak(timed))


def peak(bound: Bound) -> float:
    """Measure the operations per second that one thread reaches in a product of 256^3."""
    best = np.inf
    for _ in range(5):
        started = time.perf_counter()
        bound.multiply(256, 8)
        best = min(best, (time.perf_counter() - started) / 8)
    return float(2 * 256**3 / best)
