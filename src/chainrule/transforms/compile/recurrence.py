"""The statement of a recurrence: it writes addresses into the tables of a step, and runs the steps.

The program of a step is another one (`calls.Inner`), which takes the next piece of what moves with
every step. What passes from step to step and is not kept lies in one place. Else a step reads it
from the result of the one before, and the first step has a table of its own; as has the last, if
steps read what other steps have left to the next ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chainrule.transforms.compile.calls import Inner, Products
from chainrule.transforms.compile.frame import type_name
from chainrule.transforms.compile.simplify import Node
from chainrule.transforms.compile.structure import product_of

if TYPE_CHECKING:
    from chainrule.transforms.compile.source import Text


class Recurrence:
    """Writes the statement of a node with steps inside; `shared` sizes get parts for threads."""

    def __init__(self, text: "Text", node: Node, shared: dict[str, None]) -> None:
        self.text, self.node, self.shared = text, node, shared
        self.inner: Inner = text.inner[node.order]
        self.back = bool(node.attrs["reverse"])
        self.passes = node.attrs.get("passes")
        self.before: dict[int, int] = node.attrs.get("before", {})
        self.tiles: dict[int, str] = {}

    def lines(self) -> list[str]:
        """Write the statement."""
        if self.node.shape[0] == 0:
            self.text.place(self.node)
            return ["pass"]
        for k, leaf in enumerate(self.inner.leaves):
            if leaf.order in self.inner.program.text.fixed:
                name = f"{self.text.place(self.node.inputs[k])}_tiles"
                self.tiles[k] = self.text.passed(name, replace(self.inner, what=f"tiles {k}"))
        ends = self.passes is None, bool(self.before) and self.node.shape[0] != 1
        tables = [*["first"] * ends[0], "rest", *["last"] * ends[1]]
        asked = ["code", *tables, *["state"] * (not ends[0])]
        names = {what: self._passed(what, what) for what in asked}
        lines, turned = self._turned()
        for what in tables:
            lines += self._table(what, names[what], turned)
        if not ends[0]:
            lines.append(self._start(names["state"]))
        count = self.text.size(self.node.shape[0])
        spans = {"first": (0, 1), "rest": (int(ends[0]), f"{count} - 1" if ends[1] else count),
                 "last": (f"{count} - 1", count)}  # fmt: skip
        for what in tables:
            start, stop = spans[what]
            where = f"{names[what]}, {', '.join(self.text.place_of_thread)}"
            lines.append(f"run_steps({names['code']}, {start}, {stop}, {where})")
        return lines

    def _passed(self, stem: str, what: str | int) -> str:
        return self.text.passed(f"{self.node}_{stem}", replace(self.inner, what=what))

    def _table(self, what: str, name: str, turned: dict[int, str]) -> list[str]:
        """Write addresses into one of the tables."""
        node, text, program = self.node, self.text, self.inner.program
        table = text.fresh(f"{node}_table")
        whole, one = self._span(node, 0), self._span(node, 1)
        addresses = []
        for k, x in enumerate(node.inputs):
            if x.number is not None or (k == 0 and self.passes is not None):
                continue
            address = turned.get(k) or f"address_of({text.place(x)})"
            if k in self.tiles:
                address = f"{self.tiles[k]} if {self.tiles[k]} else {address}"
            if k in self.before:
                address = self._left_before(k, what)
            elif 0 < k <= node.attrs["body"].count and self.back:
                address += f" + {self._span(x, 0)} - {self._span(x, 1)}"
            if k == 0 and what != "first":
                address = f"address_of({text.place(node)})"
                address += f" + {whole}" if self.back else f" - {one}"
            addresses += [(place, address) for place in program.places(self.inner.leaves[k])]
        address = f"address_of({text.place(node)})" + (f" + {whole} - {one}" if self.back else "")
        addresses += [(place, address) for place in program.places(self.inner.result)]
        return [f"{table} = int64s({name})", *[f"{table}[{k}] = {x}" for k, x in addresses]]

    def _left_before(self, k: int, what: str) -> str:
        """Source of where a step finds what the one before has left, for each of the tables."""
        x = self.node.inputs[k]
        whole, one = self._span(x, 0), self._span(x, 1)
        start = f"address_of({self.text.place(self.node.inputs[self.before[k]])})"
        if self.node.shape[0] == 1:
            return start
        if what == "last":
            return f"{start} + {whole} - {one}" if self.back else f"{start} - {whole} + {one}"
        address = f"address_of({self.text.place(x)})"
        return f"{address} + {whole} - {one} - {one}" if self.back else f"{address} + {one}"

    def _turned(self) -> tuple[list[str], dict[int, str]]:
        """Transpose what all steps multiply by the transpose of: statements, names of addresses.

        Where it pays, tiles are made instead of it.
        """
        text, names = self.text, {}
        lines: list[str] = []
        for k, x in enumerate(self.node.inputs):
            if self.inner.leaves[k].order in self.inner.program.written.turned:
                names[k] = self._passed("turned", k)
                given = f"{text.place(x)}, {type_name(x.dtype)}s({names[k]})"
                sizes = ", ".join(text.size(n) for n in x.shape)
                turn = [f"turn({given}, {sizes}, {self._part(x.shape[0])})"]
                lines += self._if_tiles(k, x, otherwise=turn)
            elif k in self.tiles:
                lines += self._if_tiles(k, x)
        return [*lines, *(text.meet if lines else [])], names

    def _if_tiles(self, k: int, x: Node, otherwise: Sequence[str] = ()) -> list[str]:
        """Write that an input is split into tiles if there is memory for them."""
        if k not in self.tiles:
            return list(otherwise)
        text, tiles = self.text, self.tiles[k]
        turned = self.inner.leaves[k].order in self.inner.program.written.turned
        n, inside = (text.size(s) for s in (x.shape if turned else x.shape[::-1]))
        split = text.address(Products("float32", "split"))
        args = [int(turned), n, inside, *text.place_of_thread, text.place(x), text.size(x.shape[1])]
        lines = [f"if {tiles}:", f"    split_matrix({split}, {', '.join(map(str, args))}, "
                 f"float32s({tiles}))"]  # fmt: skip
        return [*lines, *(["else:", *["    " + line for line in otherwise]] if otherwise else [])]

    def _start(self, state: str) -> str:
        """Put the first carry where it passes from step to step."""
        init = self.node.inputs[0]
        given = f"{self.text.place(init)}, {type_name(init.dtype)}s({state})"
        widths = f"{self.text.size(init.shape[1])}, {self.text.size(self.passes)}"
        return f"take_columns({given}, {widths}, {self._part(self.node.shape[1])})"

    def _part(self, n: Any) -> str:
        return ", ".join(self.text.part(n, 1, self.shared))

    def _span(self, x: Node, axis: int) -> str:
        """Source of the bytes of the part of an array from an axis on."""
        return f"{self.text.size(product_of(x.shape[axis:]))} * {x.dtype.itemsize}"
