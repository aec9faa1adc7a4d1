"""The statements of sums over the rows of all steps of a recurrence: gradients of what it shares.

They take some steps at a time, while a cache holds their rows. Each of two teams of threads sums up
one half of the rows of every step, which are those that it has computed, and the halves are added.
So the bits are the same whatever the number of threads is.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from chainrule.transforms.compile import calls
from chainrule.transforms.compile.calls import Call, Partial, Stretch, comment
from chainrule.transforms.compile.frame import type_name
from chainrule.transforms.compile.multiplication import Multiplication, reads_the_same
from chainrule.transforms.compile.simplify import Node
from chainrule.transforms.compile.structure import LARGE, Sum, at_least, product_of

if TYPE_CHECKING:
    from chainrule.transforms.compile.source import Text


class Sums:
    """Writes statements that sum up rows of the same steps; `first` is the number of the first."""

    def __init__(
        self, text: "Text", run: Sequence[Call], steps: Node, shared: dict[str, None], first: int
    ) -> None:
        self.text, self.run, self.steps = text, run, steps
        self.shared, self.first = shared, first

    def lines(self) -> list[str]:
        """Write the statements."""
        text, halved = self.text, self.run[0].halved
        length, rows = (text.size(n) for n in self.steps.shape[:2])
        large = at_least(self.run[0].share, LARGE)
        self.most = calls.MOST_SUMMED if large and not halved else calls.SUMMED
        most = 2 * self.most if halved else self.most
        stretch = text.passed("stretch", Stretch(self.steps.shape[0], self.steps.shape[1], most))
        lines = [
            f"for begin in range(0, {length}, {stretch}):",
            f"    end = min(begin + {stretch}, {length})",
        ]
        places = [text.place(call.node) for call in self.run]
        if not halved:
            body, team = partial(self._statements, ("0", rows), places), self.run[0].team
            written = body() if team is None else text.of_team(team, body)
            return [*lines, *["    " + line for line in written]]
        half = text.fresh("half")
        others = [text.fresh(f"{place}_half") for place in places]
        start = [f"{half} = share({rows}, 1, 2)"]
        for call, name in zip(self.run, others, strict=True):
            kind, address = type_name(call.node.dtype), text.passed(name, Partial(call.node))
            start.append(f"{name} = {kind}s({address})")
        for team, (span, into) in enumerate([(("0", half), places), ((half, rows), others)]):
            written = text.of_team(team, partial(self._statements, span, into))
            lines += ["    " + line for line in written]
        return [*start, *lines, *text.meet, *self._added(places, others)]

    def _statements(self, rows: tuple[str, str], places: Sequence[str]) -> list[str]:
        """Write the sums over some rows of each step, into these places."""
        lines: list[str] = []
        before: Node | None = None
        for i, (call, place) in enumerate(zip(self.run, places, strict=True), self.first):
            lines.append(f"# {comment(call)}")
            if call.kernel is None:
                product, columns = Multiplication(self.text, call, self.shared), self._columns(call)
                lines.append(product.of_steps(rows, place, before, columns, self.most))
                before = call.node
            else:
                lines.append(self._kernel(call, rows, place))
            lines += self.text.tick(i)
        return lines

    def _columns(self, call: Call) -> Any:
        """Give the columns of all products with the same left matrix, which are computed alike."""
        alike = [x.node for x in self.run if x.kernel is None and reads_the_same(x.node, call.node)]
        return Sum(tuple(x.shape[1] for x in alike))

    def _kernel(self, call: Call, rows: tuple[str, str], place: str) -> str:
        text, kernel = self.text, call.kernel
        assert kernel is not None
        own = text.canonical(call.node)
        args = [place if x is own else text.place(x) for x in kernel.pointers]
        args += [text.size(n) for n in kernel.sizes]
        args += [text.number(value) for value in kernel.numbers]
        args += ["begin", "end", *rows, *text.part(kernel.share, kernel.stride, self.shared)]
        return f"{call.name}({', '.join(args)})"

    def _added(self, places: Sequence[str], others: Sequence[str]) -> list[str]:
        """Add one half to the other; each thread has its share of the results."""
        lines: list[str] = []
        for i, (call, one, other) in enumerate(zip(self.run, places, others, strict=True)):
            n, *columns = call.node.shape
            ends = self.text.part(n, product_of(columns), self.shared)
            lines += [f"add_to({one}, {other}, {', '.join(ends)})", *self.text.tick(self.first + i)]
        return lines
