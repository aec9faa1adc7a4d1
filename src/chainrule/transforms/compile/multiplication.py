"""The statement of a product of matrices: where they begin in memory, and which part is whose.

Matrices of a stack are multiplied one by one; threads share the stack, or the rows or the columns
of a single product. Windows are read where they lie.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chainrule.dims import Constant
from chainrule.transforms.compile.calls import Block, Call, Places, Products
from chainrule.transforms.compile.frame import base, squeezed, type_name
from chainrule.transforms.compile.schedule import held, is_one, windows_of
from chainrule.transforms.compile.simplify import Node, same_shape
from chainrule.transforms.compile.structure import Pieces, Sum, product_of

if TYPE_CHECKING:
    from chainrule.transforms.compile.source import Text


class Multiplication:
    """Writes the statement of a call; `shared` sizes get parts for threads."""

    def __init__(self, text: "Text", call: Call, shared: dict[str, None]) -> None:
        self.text, self.call, self.node, self.shared = text, call, call.node, shared

    def lines(self) -> list[str]:
        """Write the statement."""
        node, text = self.node, self.text
        windows = windows_of(node)
        if windows is not None:
            return self._of_windows(windows)
        a, b = node.inputs[:2]
        turned_a = bool(node.attrs.get("transpose_a"))
        turned_b = bool(node.attrs.get("transpose_b")) != (b.order in text.turned)
        inside = a.shape[-2 if turned_a else -1]
        m, n, k = (text.size(s) for s in (*node.shape[-2:], inside))
        (left, lda), (right, ldb), out = self._matrix(a), self._matrix(b), text.place(node)
        kind = type_name(node.dtype)
        rows = Block(self.call.share) if self.call.joins else node.shape[-2]
        sizes = (rows, node.shape[-1], inside) if kind == "float32" else ()
        self.call.products = Products(kind, sizes=sizes, fixed=b.order in text.fixed)
        how = f"product({text.address(self.call.products)}, "
        if len(node.inputs) > 2:  # the third is a product to whose terms these are added
            how = f"add_{how}1, "
        elif "later" in node.attrs:
            left, right, k = self._of_later_steps(left, lda, right, ldb)
        alone = len(node.shape) == 2
        if self.call.by_columns:
            first, last = self._part(node.shape[1])
            n, columns = f"{last} - {first}", n
            right = f"at({right}, {first}{f' * {ldb}' if turned_b else ''})"
            out, ldc = f"at({out}, {first})", columns
        elif alone:
            first, last = self._part(node.shape[0])
            m, ldc = f"{last} - {first}", n
            left = f"at({left}, {first}{'' if turned_a else f' * {lda}'})"
            out = f"at({out}, {first} * {n})"
        else:
            left, right, out, ldc = *(self._of_stack(x) for x in (a, b, node)), n
        args = [turned_a, turned_b, m, n, k, left, lda, right, ldb, out, ldc, f"scratch_{kind}"]
        line = f"{how}{', '.join(map(str, args))})"
        return [line] if alone else self._for_each(line)

    def _of_later_steps(self, left: str, lda: str, right: str, ldb: str) -> tuple[str, str, str]:
        """Source of where the rows of all steps but the first begin, and how many there are."""
        length, each, back = self.node.attrs["later"]
        rows = self.text.size(product_of((Sum((length, -1)), each)))
        if back:
            return left, f"at({right}, {self.text.size(each)} * {ldb})", rows
        return f"at({left}, {self.text.size(each)} * {lda})", right, rows

    def of_steps(
        self, rows: tuple[str, str], out: str, before: Node | None, columns: Any, most: int
    ) -> str:
        """Write the statement of a sum over some steps, of these rows of each, in a loop over all.

        The product before it may have been one with the same left matrix. All of those have so
        many columns, and sum up `most` rows at a time.
        """
        node, text = self.node, self.text
        (left, lda), (right, ldb) = map(self._matrix, node.inputs)
        n = text.size(node.shape[1])
        length, each = (text.size(s) for s in base(held(node.inputs[0])[0]).shape[:2])
        start, stop, other = "begin", "end", "begin"
        if "later" in node.attrs and node.attrs["later"][2]:
            stop, other = f"min(end, {length} - 1)", "(begin + 1)"
        elif "later" in node.attrs:
            start, other = "max(begin, 1)", "(max(begin, 1) - 1)"
        done = "begin" if start == "begin" else other
        first, last = self._part(node.shape[0])
        count = rows[1] if rows[0] == "0" else f"({rows[1]} - {rows[0]})"
        left = f"at({left}, ({start} * {each} + {rows[0]}) * {lda} + {first})"
        right = f"at({right}, ({other} * {each} + {rows[0]}) * {ldb})"
        kind = type_name(node.dtype)
        rows_of_step = base(held(node.inputs[0])[0]).shape[1]
        sizes = (node.shape[0], columns, Constant(most), rows_of_step) if kind == "float32" else ()
        self.call.products = Products(kind, "steps", sizes)
        args = [
            text.address(self.call.products), f"{done} * {count}", self._again(before, length),
            f"{last} - {first}", n, f"{stop} - {start}", count, left, lda, f"{each} * {lda}",
            right, ldb, f"{each} * {ldb}", f"at({out}, {first} * {n})", n, f"scratch_{kind}",
        ]  # fmt: skip
        return f"steps_product({', '.join(args)})"

    def _again(self, before: Node | None, length: str) -> str:
        """Source of whether the last product turned the same rows.

        One of both may go without the first or the last step, in whose stretch it has others.
        """
        if before is None or not reads_the_same(before, self.node):
            return "False"
        own, other = self.node.attrs.get("later"), before.attrs.get("later")
        later: Any = own or other
        if own == other:
            return "True"
        return f"end < {length}" if later[2] else "begin >= 1"

    def _matrix(self, x: Node) -> tuple[str, str]:
        """Source of where a matrix begins, and of the elements from one row to the next."""
        node, start = held(x)
        across = node.shape[-2] if x.order in self.text.turned else node.shape[-1]
        place = self.text.place(node)
        return f"at({place}, {self.text.size(start)})" if start else place, self.text.size(across)

    def _which(self, own: Sequence[Any], whole: Sequence[Any]) -> str:
        """Source of the number of a matrix among those of an operand, whose stack broadcasts."""
        if same_shape(squeezed(own), squeezed(whole)):
            return "one" if squeezed(own) else ""
        terms = []
        for k, n in enumerate(own):
            if not is_one(n):
                after = self.text.size(product_of(whole[len(whole) - len(own) + k + 1 :]))
                inside = self.text.size(product_of(own[k + 1 :]))
                terms.append(f"one // {after} % {self.text.size(n)} * {inside}")
        return f"({' + '.join(terms)})" if terms else ""

    def _of_windows(self, windows: Node) -> list[str]:
        """Multiply a stack of matrices by windows that are read where they lie."""
        node, text = self.node, self.text
        a, b = node.inputs
        x, kind = windows.inputs[0], type_name(node.dtype)
        turned = bool(node.attrs.get("transpose_b"))
        m, n, k = (text.size(s) for s in (*node.shape[-2:], a.shape[-1]))
        listed = [
            text.passed(f"{windows}_{what}", Places(windows, b, what))
            for what in ("rows", "columns", "run", "step")
        ]
        out, step, times = self._of_stack(node), listed.pop(), "1, 0, 0"
        if isinstance(node.shape[0], Pieces):
            each, size = node.shape[0].each, text.size(product_of(a.shape[-2:]))
            left = f"at({text.place(a)}, one * {each} * {size})"
            begin = f"at({text.place(x)}, one * {each} * {step})"
            rest = f"{text.size(node.shape[0].whole)} - one * {each}"
            times = f"min({each}, {rest}), {size}, {step}"
        else:
            left, begin = self._of_stack(a), f"at({text.place(x)}, one * {step})"
        how = f"{text.address(Products(kind, 'windows'))}, {turned}, {m}, {n}, {k}"
        line = f"windows_product({how}, {left}, {k}, {begin}, {', '.join(listed)}, {out}, {n}, "
        return self._for_each(f"{line}{times}, scratch_{kind})")

    def _of_stack(self, x: Node) -> str:
        """Source of where one of a stack of matrices begins."""
        which, place = self._which(x.shape[:-2], self.node.shape[:-2]), self.text.place(x)
        size = self.text.size(product_of(x.shape[-2:])) if which else ""
        return f"at({place}, {which} * {size})" if which else place

    def _for_each(self, line: str) -> list[str]:
        """Write the loop over a stack, unless there is one around."""
        if self.text.by_turns:
            return [line]
        first, last = self._part(product_of(self.node.shape[:-2]))
        return [f"for one in range({first}, {last}):", "    " + line]

    def _part(self, n: Any) -> list[str]:
        return self.text.part(n, 1, self.shared)


def reads_the_same(a: Node, b: Node) -> bool:
    """Whether the first matrices of two products are the same columns of the same memory."""
    (x, first), (y, start) = held(a.inputs[0]), held(b.inputs[0])
    return base(x) is base(y) and first == start and same_shape(a.shape[:1], b.shape[:1])
