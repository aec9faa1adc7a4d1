"""Source of one kernel: statements for an element, from the loop facts of its ops.

A frame is the inside of a nest of loops. Asked for the element of a node at an index, it writes
what is needed to compute it and gives the name of the result. What lies in memory is loaded;
everything else is computed where it is used. Statements that no inner loop changes stand outside
of it.
"""

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.dims import Constant, Dim, Size
from chainrule.ops.loops import Element, Index, Map, Reduce
from chainrule.transforms.compile.simplify import Node, same_shape
from chainrule.transforms.compile.structure import Sum, product_of

TOP, OUTER, INNER = 0, 1, 2
_WORD = re.compile(r"[A-Za-z_]\w*")
_CHEAP = {
    "absolute", "and", "bool_", "else", "float32", "float64", "floor", "if", "int32", "int64",
    "is_finite", "maximum", "minimum", "or", "sign", "uint64",
}  # fmt: skip
_ANY_NUMBER: dict[str, Any] = {"b": False, "i": 0, "u": 0, "f": 0.0}


def squeezed(shape: Sequence[Any]) -> list[Any]:
    """Give the sizes of a shape that are not 1."""
    return [n for n in shape if not (isinstance(n, int) and n == 1)]


def keeps_axes(node: Node) -> bool:
    """Whether a node with the elements of its input in their order has its axes, but for ones."""
    return same_shape(squeezed(node.shape), squeezed(node.inputs[0].shape))


def regroups(node: Node) -> int:
    """Give how many last axes stay as they are where the others become one, or one becomes these.

    0 where the elements of the input are cut up in any other way.
    """
    shape, inside = node.shape, node.inputs[0].shape
    kept = 0
    while kept < min(len(shape), len(inside)) and shape[-1 - kept] == inside[-1 - kept]:
        kept += 1
    axes = {len(shape) - kept, len(inside) - kept}
    return kept if len(axes) == 2 and 1 in axes and 0 not in axes else 0


def is_expensive(node: Node) -> bool:
    """Whether computing an element takes longer than loading it."""
    if isinstance(node.loop, Map):
        return bool(set(_WORD.findall(node.loop.template)) - _CHEAP)
    return isinstance(node.loop, Element) and node.loop.costly


def base(node: Node) -> Node:
    """Give the node whose memory holds the elements of one that only renames axes."""
    while isinstance(node.loop, Element) and node.loop.order:
        node = node.inputs[0]
    return node


@functools.cache
def type_name(dtype: np.dtype[Any]) -> str:
    """Name of a dtype in generated code."""
    return "bool_" if dtype.kind == "b" else dtype.name


def literal(number: Any, dtype: np.dtype[Any]) -> str:
    """Source of a number of a dtype."""
    if dtype.kind == "b":
        return str(bool(number))
    if dtype.kind == "f" and not np.isfinite(number):
        text = "nan" if number != number else ("inf" if number > 0 else "-inf")
        return f"{type_name(dtype)}({text})"
    value = float(number) if dtype.kind == "f" else int(number)
    return f"{type_name(dtype)}({value!r})" if dtype != np.int64 else repr(value)


def is_short(number: Any) -> bool:
    """Whether a number stands in the source; others are arguments, so that code is shared."""
    return number in (0, 1, -1, 2, 0.5, -0.5, -2) or not np.isfinite(number)


class Frame:
    """Statements of a kernel while it is written.

    `stored` says which nodes lie in memory, `own` which of them this kernel itself writes: these
    are not loaded before its loops. `local` holds values that this kernel has computed:
    by node, the index at which the value is known, and its name.
    """

    def __init__(self, stored: set[int], flat: Sequence[Any] | None = None) -> None:
        self.stored = stored
        self.flat = flat
        self.shares: dict[int, Node] = {}
        self.own: set[int] = set()
        self.lines: list[list[str]] = [[], [], []]
        self.levels: dict[str, int] = {}
        self.loops: dict[str, Any] = {}
        self.memo: dict[tuple[int, tuple[str, ...]], str] = {}
        self.local: dict[int, tuple[tuple[str, ...], str]] = {}
        self.pointers: dict[tuple[int, int], tuple[str, Node]] = {}
        self.sizes: dict[Any, tuple[str, Any]] = {}
        self.numbers: dict[str, tuple[str, Any]] = {}
        self.loads: list[tuple[Node, tuple[str, ...]]] = []
        self.computed: list[Node] = []
        self.indexed = False
        self._count = 0

    # Names.

    def loop(self, name: str, level: int, span: Any) -> None:
        """Take the variable of a loop in, which counts to `span`."""
        self.levels[name] = level
        self.loops[name] = span

    def pointer(self, node: Node, part: int = 0) -> str:
        """Name of the memory of a node, which another may share.

        Each `part` has a name of its own: the compiler is told that names do not overlap.
        """
        node = self.shares.get(node.order, node)
        key = (node.order, part)
        if key not in self.pointers:
            self.pointers[key] = (f"x{len(self.pointers)}", node)
        return self.pointers[key][0]

    def size(self, n: Any) -> str:
        """Name of a whole number, which becomes an argument."""
        if isinstance(n, Constant) or (not isinstance(n, Dim | Size) and n in (0, 1)):
            return str(int(n))
        key = ("named", n.name) if isinstance(n, Size) else (type(n).__name__, n)
        if key not in self.sizes:
            self.sizes[key] = (f"n{len(self.sizes)}", n)
        return self.sizes[key][0]

    def number(self, value: Any, dtype: np.dtype[Any]) -> str:
        """Source of a number of a dtype; all but the commonest are arguments."""
        if dtype.kind != "f" or is_short(value):
            return literal(value, dtype)
        key = repr(float(value))
        if key not in self.numbers:
            self.numbers[key] = (f"c{len(self.numbers)}", float(value))
        return self.put(f"{type_name(dtype)}({self.numbers[key][0]})")

    def level(self, source: str) -> int:
        """Give the level of the deepest loop that a source depends on."""
        levels = self.levels
        return max([levels[word] for word in _WORD.findall(source) if word in levels], default=0)

    def put(self, source: str, least: int = TOP) -> str:
        """Write a statement at the outermost level possible, and give the name of its result."""
        if source in self.levels and source not in self.loops:
            return source  # a name already
        known = self.memo.get((-1, (source,)))
        if known is not None:
            return known
        name = f"t{self._count}"
        self._count += 1
        level = max(least, self.level(source))
        self.lines[level].append(f"{name} = {source}")
        self.levels[name] = level
        self.memo[-1, (source,)] = name
        return name

    def forget(self, least: int = INNER) -> None:
        """Drop what is known inside a loop that has ended."""
        gone = {name for name, level in self.levels.items() if level >= least}
        self.memo = {key: name for key, name in self.memo.items() if name not in gone}

    # Elements.

    def address(self, shape: Sequence[Any], index: Sequence[str]) -> str:
        """Source of the position of an element among all, the last axis running fastest.

        An axis that a loop runs along from end to end goes by the name of the loop's size: LLVM
        then sees that rows of different arrays are equally long.
        """
        if self.flat is not None and squeezed(shape):
            return "k"
        source = ""
        for n, i in zip(shape, index, strict=True):
            if isinstance(n, int) and n == 1:
                continue
            n = self.loops[i] if self.loops.get(i) == n else n
            i = i if _WORD.fullmatch(i) or i.isdigit() or not source else f"({i})"
            source = f"({source}) * {self.size(n)} + {i}" if source else i
            source = re.sub(r"^\((\w+)\)", r"\1", source)
        return source or "0"

    def read(self, node: Node, index: Index, dtype: np.dtype[Any] | None = None) -> str:
        """Name of an element of a node, in another dtype if one is given."""
        if node.number is not None:
            return self.number(node.number, dtype or node.dtype)
        value = self._read(node, index)
        if dtype is None or dtype == node.dtype:
            return value
        return self.put(f"{type_name(dtype)}({value})")

    def _read(self, node: Node, index: Index) -> str:
        at = tuple("0" if isinstance(n, int) and n == 1 else i
                   for n, i in zip(node.shape, index, strict=True))  # fmt: skip
        if node.order in self.local and self.local[node.order][0] == at:
            return self.local[node.order][1]
        if (node.order, at) in self.memo:
            return self.memo[node.order, at]
        if node.order in self.stored:
            name = self._load(node, node, at)
        elif isinstance(node.loop, Element) and node.loop.order:
            name = self._renamed(node, at)
        else:
            return self.compute(node, list(at))
        self.memo[node.order, at] = name
        return name

    def compute(self, node: Node, index: Index) -> str:
        """Name of an element of a node, computed here even if the node lies in memory."""
        self.computed.append(node)
        name = self.put(self._formula(node, index))
        self.memo[node.order, tuple(index)] = name
        return name

    def _load(self, memory: Node, node: Node, at: tuple[str, ...]) -> str:
        self.loads.append((node, at))
        element = f"{self.pointer(memory)}[{self.address(node.shape, at)}]"
        least = OUTER if memory.order in self.own else TOP
        return self.put(f"{element} != 0" if node.dtype.kind == "b" else element, least)

    def _renamed(self, node: Node, at: tuple[str, ...]) -> str:
        """Read an element through a change of axes."""
        if not keeps_axes(node):
            if base(node).order in self.stored:
                return self._load(base(node), node, at)
            return self.read(node.inputs[0], self._regrouped(node, at))
        places = iter([i for n, i in zip(node.shape, at, strict=True)
                       if not (isinstance(n, int) and n == 1)])  # fmt: skip
        inside = node.inputs[0]
        return self.read(
            inside, ["0" if isinstance(n, int) and n == 1 else next(places) for n in inside.shape]
        )

    def _regrouped(self, node: Node, at: tuple[str, ...]) -> Index:
        """Give the index into the input of a node that joins its first axes, or divides one.

        Quotients have names of their own, so that they stand outside of loops that need them.
        """
        inside = node.inputs[0].shape
        kept = regroups(node)
        first, last = list(at[: len(at) - kept]), list(at[len(at) - kept :])
        if len(first) > 1:  # one axis was divided
            place = first[0]
            for n, i in zip(node.shape[1:], first[1:], strict=False):
                place = self.put(f"({place}) * {self.size(n)} + {i}")
            return [place, *last]
        place, index = first[0], []
        for n in reversed(inside[1 : len(inside) - kept]):
            index.append(self.put(f"({place}) % {self.size(n)}"))
            place = self.put(f"({place}) // {self.size(n)}")
        return [place, *reversed(index), *last]

    def _formula(self, node: Node, index: Index) -> str:
        loop = node.loop
        if isinstance(loop, Map):
            return self._map(node, loop, index)
        assert isinstance(loop, Element), f"{node} has to lie in memory"
        assert loop.source is not None, f"{node} has to lie in memory"
        source = loop.source(self.here(node, index))
        self.indexed |= any(word in self.loops for word in _WORD.findall(source))
        return source

    def _map(self, node: Node, loop: Map, index: Index) -> str:
        common = node.dtype if node.dtype.kind != "b" else common_dtype(node.inputs)
        values = []
        for k, x in enumerate(node.inputs):
            values.append(self.read(x, aligned(x, index), x.dtype if k in loop.own else common))
        source = loop.template.format(*values)
        if len(loop.own) == len(node.inputs) and node.inputs[0].dtype != node.dtype:
            return f"{type_name(node.dtype)}({source})"
        return source

    def here(self, node: Node, index: Index) -> "_Here":
        """Give what a fact may ask for while the element at an index is written."""
        return _Here(self, node, index)


class _Here:
    """What a fact may ask for while its element is written (`loops.Place`)."""

    def __init__(self, frame: Frame, node: Node, index: Index) -> None:
        self.frame, self.node, self.index, self.attrs = frame, node, index, node.attrs

    def read(self, k: int, index: Index) -> str:
        return self.frame.read(self.node.inputs[k], index)

    def size(self, n: Any) -> str:
        return self.frame.size(n)

    def sum_of(self, sizes: Sequence[Any]) -> str:
        return self.frame.size(Sum(tuple(sizes)) if len(sizes) > 1 else sizes[0])

    def product_of(self, sizes: Sequence[Any]) -> str:
        return self.frame.size(product_of(sizes))

    def shape(self, k: int) -> Sequence[Any]:
        return self.node.inputs[k].shape

    def flat(self) -> str:
        return self.frame.address(self.node.shape, self.index)

    def wrap(self, i: str, n: Any) -> str:
        if self.node.inputs[1].dtype != np.int64:
            i = self.frame.put(f"int64({i})")
        return self.frame.put(f"{i} if {i} >= 0 else {i} + {self.size(n)}")

    @property
    def zero(self) -> str:
        return literal(0, self.node.dtype)


def aligned(x: Node, index: Index) -> Index:
    """Give the index into an input that broadcasts to where an index is of the result."""
    return index[len(index) - len(x.shape) :]


def common_dtype(nodes: Sequence[Node]) -> np.dtype[Any]:
    """Give the dtype in which nodes are compared; a weak one takes that of the others."""
    given = [_ANY_NUMBER[x.dtype.kind] if x.weak else x.dtype for x in nodes]
    found: np.dtype[Any] = np.result_type(*given)
    return found


def assignment(place: str, value: str, dtype: np.dtype[Any]) -> str:
    """Source that puts an element into memory, where a truth value is a byte."""
    return f"{place} = uint8({value})" if dtype.kind == "b" else f"{place} = {value}"


def fold(frame: Frame, node: Node, x: str, state: str, index: str) -> tuple[str, list[str]]:
    """Give the start of a reduction and the statements that take the element x in."""
    loop, given = node.loop, node.inputs[0]
    assert isinstance(loop, Reduce)
    dtype = given.dtype if loop.position else node.dtype
    start = lowest(dtype) if loop.start == "lowest" else literal(0, dtype)
    step = loop.step.format(state, x=x)
    if not loop.position:
        return start, [f"{state} = {step}"]
    return start, [f"if {step}:", f"    {state} = {x}", f"    {state}_at = {index}"]


def lowest(dtype: np.dtype[Any]) -> str:
    """Source of the smallest number of a dtype."""
    if dtype.kind == "f":
        return f"{type_name(dtype)}(-inf)"
    return "False" if dtype.kind == "b" else literal(int(np.iinfo(dtype).min), dtype)
