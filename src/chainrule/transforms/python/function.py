"""Statements of a function in NumPy, written from the nodes of a graph."""

import ast
import builtins
import keyword
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.dims import Dim, axis_of
from chainrule.errors import GraphError
from chainrule.graph import Array, Op, Scope, Tensor
from chainrule.ops.loops import Map
from chainrule.ops.source import Call, helper_names, source_of
from chainrule.transforms.compile.frame import common_dtype
from chainrule.transforms.compile.simplify import Node, simplify
from chainrule.transforms.python import text

_INSIDE, _LINE = 56, 80
"""Letters of an expression that may stand inside another one, and of that one."""

_INPUT = re.compile(r"INPUT_(\d+)")
_RESERVED = {
    *dir(builtins), *keyword.kwlist, "CLASSES", "CODES", "COLUMNS", "MISSING", "Path", "answer",
    "code", "columns", "compute", "csv", "file", "given", "jax", "math", "np", "number", "predict",
    "predict_proba", "read", "row", "shapes", "step", "sys", "weights",
}  # fmt: skip
"""Names that scripts use themselves."""

_LOCAL = re.compile(r"h\d+|carry|[xw]_\d+")
"""Names of variables inside of functions."""


class Writer:
    """A script in the making: what its functions share.

    `keys` gives tensors by their birth the name under which their numbers are kept, `label` says
    what a scope is called in a comment. A script for `jax` says dtypes where JAX has other rules
    for them, and takes ops apart of which JAX is told nothing.
    """

    def __init__(
        self,
        keys: dict[int, str],
        label: Callable[[Scope | None], str] = lambda scope: "",
        *,
        jax: bool = False,
    ) -> None:
        self.keys = keys
        self.label = label
        self.jax = jax
        self.taken = dict.fromkeys(helper_names(), 1)
        self.names: dict[int, str] = {}
        self.dims: dict[str, str] = {}
        self.arrays: dict[str, tuple[str | None, Array]] = {}
        self.helpers: dict[str, Callable[..., Any]] = {}
        self.cells: dict[tuple[str, ...], str] = {}
        self.definitions: list[list[str]] = []

    def fresh(self, wanted: str) -> str:
        """Give a name that is not taken, like the one wanted."""
        name = re.sub(r"\W", "_", wanted)
        name = f"x{name}" if name[:1].isdigit() or not name else name
        if name in self.taken or name in _RESERVED or _LOCAL.fullmatch(name):
            self.taken[name] = self.taken.get(name, 1) + 1
            return self.fresh(f"{name}_{self.taken[name]}")
        self.taken[name] = 1
        return name

    def leaf(self, x: Tensor, name: str | None) -> str:
        """Give the source of a tensor that no op made."""
        if x.birth not in self.names:
            key = self.keys.get(x.birth)
            if x.value is None:
                raise GraphError(f"the graph reads {name or 'an input'} that the script has not")
            value = np.asarray(x.value)
            if key is None and value.ndim == 0:
                return f"{text.dtype(value.dtype)}({text.number(value[()])})"
            own, _, path = ("constant", "", "") if key is None else key.rpartition(".")[::-1]
            self.names[x.birth] = self.fresh(f"{own}_{path}" if path else own)
            self.arrays[self.names[x.birth]] = (key, value)
        return self.names[x.birth]

    def dim(self, name: str) -> str:
        """Give the variable for a named dimension, the same in every function."""
        if name not in self.dims:
            self.dims[name] = self.fresh(name)
        return self.dims[name]

    def step(self, body: Any) -> str:
        """Give the name of the function of one step of a recurrence; equal steps share one."""
        names = ["carry"] + [f"x_{i + 1}" for i in range(body.count)]
        names += [f"w_{i}" for i in range(1, len(body.graph.inputs) - body.count)]
        inputs = dict(zip([x.birth for x in body.graph.inputs], names, strict=True))
        lines = self.function(body.graph.inputs, inputs, [body.graph.output])
        key = (*names, *lines)
        if key not in self.cells:
            self.cells[key] = self.fresh("cell")
            head = f"def {self.cells[key]}({', '.join(names)}):"
            self.definitions.append([head, *[text.wrapped(f"    {line}") for line in lines]])
        return self.cells[key]

    def function(
        self,
        inputs: Sequence[Tensor],
        names: dict[int, str],
        outputs: Sequence[Tensor],
        results: Sequence[str] = (),
        nodes: dict[int, str] | None = None,
    ) -> list[str]:
        """Give the statements that compute the outputs from the inputs, which have names.

        `results` are variables that take the first outputs, the others are returned. `nodes` are
        names of nodes by birth.
        """
        return _Function(self, inputs, names, outputs, nodes or {}).lines(results)


class _Function:
    """Nodes as expressions, of which some have become statements."""

    def __init__(
        self,
        writer: Writer,
        inputs: Sequence[Tensor],
        names: dict[int, str],
        outputs: Sequence[Tensor],
        named: dict[int, str],
    ) -> None:
        self.writer = writer
        self.inputs = [(x, names[x.birth]) for x in inputs if x.birth in names]
        self.given = names
        self.nodes, self.roots = simplify(outputs, inputs, parts=self._taken_apart, names=named)
        self.used = Counter(x.order for x in self.roots)
        self.reader: dict[int, Node] = {}
        self.expressions: dict[int, ast.expr] = {}
        self.dims: dict[str, str] = {}
        self.count = 0
        self.section = ""
        self.statements: list[str] = []

    def _taken_apart(self, op: Op) -> bool:
        return self.writer.jax and op.in_jax is None

    def lines(self, results: Sequence[str]) -> list[str]:
        """Give all statements."""
        sources = self._sources()
        ends = {x.order for x in self.roots}
        for node in self.nodes:
            if not self.used[node.order]:
                continue
            if node.op is None:
                self.expressions[node.order] = _parsed(self._leaf(node))
                continue
            expression = self._filled(node, sources[node.order])
            while len(source := ast.unparse(expression)) > _LINE and self._split(node):
                expression = self._filled(node, sources[node.order])
            plain = isinstance(expression, ast.Name | ast.Constant)
            inside = self.used[node.order] == 1 and node.order not in ends
            inside = inside and len(source) <= _INSIDE and self._same_section(node)
            if not plain and (node.name or not inside):
                self._comment(node)
                source = self._assigned(node, source)
                expression = _parsed(source)
            self.expressions[node.order] = expression
        ends_here = [self._shown(x) for x in self.roots]
        self.statements += [f"{x} = {y}" for x, y in zip(results, ends_here, strict=False)]
        self._return(ends_here[len(results) :])
        return [*self.dims.values(), *self.statements]

    def _split(self, node: Node) -> bool:
        """Give the longest input of a node a line of its own, if one has none."""
        inside = [
            (len(source), x)
            for x in node.inputs
            if x.op is not None
            and self.used[x.order]
            and not (source := self._shown(x)).isidentifier()
        ]
        if inside:
            x = max(inside, key=lambda each: each[0])[1]
            self._comment(x)
            self.expressions[x.order] = _parsed(self._assigned(x, self._shown(x)))
        return bool(inside)

    def _shown(self, node: Node) -> str:
        return ast.unparse(self.expressions[node.order])

    def _return(self, sources: list[str]) -> None:
        last = self.statements[-1] if self.statements else ""
        if len(sources) == 1 and last.startswith(f"{sources[0]} = "):
            self.statements[-1] = "return " + last.removeprefix(f"{sources[0]} = ")
        else:
            self.statements.append(f"return {', '.join(sources)}")

    def _leaf(self, node: Node) -> str:
        if node.number is not None:
            number = text.number(node.number)
            return number if node.weak else f"{text.dtype(node.dtype)}({number})"
        assert node.leaf is not None
        return self.given.get(node.leaf.birth) or self.writer.leaf(node.leaf, node.name)

    def _sources(self) -> dict[int, str]:
        """Write each op, from the last to the first, and count who reads what."""
        found = {}
        for node in reversed(self.nodes):
            if node.op is not None and self.used[node.order]:
                found[node.order] = self._source(node)
                for i in _INPUT.findall(found[node.order]):
                    x = node.inputs[int(i)]
                    self.used[x.order] += 1
                    self.reader[x.order] = node
        return found

    def _source(self, node: Node) -> str:
        """Write the op of a node with INPUT_0, INPUT_1, ... for its inputs."""
        assert node.op is not None
        fact = source_of(node.op, jax=self.writer.jax)
        for helper in fact.helpers:
            self.writer.helpers[helper.__name__] = helper
        call = Call(
            tuple(f"INPUT_{i}" for i in range(len(node.inputs))),
            [x.shape for x in node.inputs],
            [x.dtype for x in node.inputs],
            [x.weak for x in node.inputs],
            node.attrs,
            self._text,
        )
        return fact(call)

    def _filled(self, node: Node, source: str) -> ast.expr:
        """Put the expressions of the inputs into the source of an op."""
        inputs = [self.expressions.get(x.order) for x in node.inputs]
        if self.writer.jax and isinstance(node.loop, Map):
            inputs = self._of_one_dtype(node, inputs)
        tree: ast.expr = _Filling(inputs).visit(_parsed(source))
        if self.writer.jax:
            return tree
        if node.weak and isinstance(tree, ast.Call):  # NumPy would make it float64
            kind = {"f": "float", "b": "bool"}.get(node.dtype.kind, "int")
            return ast.Call(func=ast.Name(kind), args=[tree], keywords=[])
        return tree

    @staticmethod
    def _of_one_dtype(node: Node, inputs: Sequence[ast.expr | None]) -> list[ast.expr | None]:
        """Give what a formula takes in the dtype in which NumPy would compute it."""
        own = node.loop.own
        kind = common_dtype(node.inputs) if node.dtype.kind == "b" else node.dtype
        return [
            x
            if x is None or k in own or y.dtype == kind or (y.weak and y.number is not None)
            else _parsed(f"np.asarray({ast.unparse(x)}, {text.dtype(kind)})")
            for k, (x, y) in enumerate(zip(inputs, node.inputs, strict=True))
        ]

    def _text(self, value: Any) -> str:
        """Give the source of a value of an attribute."""
        if isinstance(value, tuple):
            items = ", ".join(map(self._text, value))
            return f"({items},)" if len(value) == 1 else f"({items})"
        if isinstance(value, Dim):
            names = [self._size(name) for name in value.names]
            return " * ".join(([str(value.factor)] if value.factor != 1 else []) + names)
        if isinstance(value, np.dtype):
            return text.dtype(value)
        if hasattr(value, "graph"):
            return self.writer.step(value)
        return text.number(value)

    def _size(self, name: str) -> str:
        """Give the variable for a named dimension, and read it off an input."""
        own = self.writer.dim(name)
        if name not in self.dims:
            found = axis_of(name, [x.shape for x, _ in self.inputs])
            if found is None:
                raise GraphError(f"no input of the script has the dimension {name}")
            source, k = self.inputs[found[0]][1], found[1]
            self.dims[name] = f"{own} = {f'{source}.shape[{k}]' if k else f'len({source})'}"
        return own

    def _same_section(self, node: Node) -> bool:
        reader = self.reader[node.order]
        return self.writer.label(node.scope) == self.writer.label(reader.scope)

    def _comment(self, node: Node) -> None:
        section = self.writer.label(node.scope)
        if section and section != self.section:
            self.statements.append(f"# {section}")
        self.section = section

    def _assigned(self, node: Node, source: str) -> str:
        if node.name:
            name = self.writer.fresh(node.name)
        else:
            self.count += 1
            name = f"h{self.count}"
        self.statements.append(f"{name} = {source}")
        return name


class _Filling(ast.NodeTransformer):
    """Puts expressions in the places of INPUT_0, INPUT_1, ..."""

    def __init__(self, inputs: Sequence[ast.expr | None]) -> None:
        self.inputs = inputs

    def visit_Name(self, node: ast.Name) -> ast.expr:
        found = _INPUT.fullmatch(node.id)
        return self.inputs[int(found[1])] or node if found else node


def _parsed(source: str) -> ast.expr:
    return ast.parse(source, mode="eval").body
