"""Source of values: numbers, arrays, shapes, and functions that scripts get a copy of.

>>> number(np.float32(0.1)), number(float("-inf")), number(True), array(np.ones(2, np.float32))
('0.1', '-np.inf', 'True', 'np.array([1.0, 1.0], np.float32)')
>>> copied([swap])[0][0].splitlines()[0]
'def swap(x, yes):'
"""

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph import Array
from chainrule.ops.linear import swap
from chainrule.ops.source import helper_name

_WIDTH = 96


def number(x: Any) -> str:
    """Give the source of a number, as short as it can be and exact."""
    if isinstance(x, float | np.floating) and not math.isfinite(x):
        return "np.nan" if math.isnan(x) else "np.inf" if x > 0 else "-np.inf"
    return str(x)


def dtype(x: Any) -> str:
    """Give the source of a dtype.

    >>> dtype(np.dtype(np.float32)), dtype(np.dtype(bool))
    ('np.float32', 'bool')
    """
    kind = np.dtype(x)
    return "bool" if kind.kind == "b" else f"np.{kind.name}"


def array(x: Array) -> str:
    """Give the source of an array.

    >>> array(np.zeros((2, 3))), array(np.full(4, 0.5))
    ('np.zeros((2, 3), np.float64)', 'np.full(4, 0.5, np.float64)')
    """
    shape = x.shape[0] if x.ndim == 1 else x.shape
    if x.size == 0 or (x.size > 2 and _is_same(x, np.zeros_like(x))):
        return f"np.zeros({shape}, {dtype(x.dtype)})"
    if x.size > 2 and _is_same(x, np.full_like(x, x.flat[0])):
        return f"np.full({shape}, {number(x.flat[0])}, {dtype(x.dtype)})"
    return f"np.array({_nested(x)}, {dtype(x.dtype)})"


def _is_same(x: Array, y: Array) -> bool:
    """Whether two arrays are equal to the bit: 0.0 is not -0.0."""
    return x.tobytes() == y.tobytes()


def array_statement(name: str, x: Array) -> str:
    """Give the statement that gives an array a name, in as many lines as it needs."""
    line = f"{name} = {array(x)}"
    if len(line) <= _WIDTH:
        return line
    rows = x.reshape(-1) if x.ndim < 2 else x
    items = [_nested(row) for row in rows]
    if x.ndim < 2:
        text = textwrap.fill(", ".join(items), _WIDTH, initial_indent="    ",
                             subsequent_indent="    ")  # fmt: skip
        return f"{name} = np.array([\n{text}\n], {dtype(x.dtype)})"
    text = "".join(
        textwrap.fill(f"{item},", _WIDTH, initial_indent="    ", subsequent_indent="     ") + "\n"
        for item in items
    )
    return f"{name} = np.array([\n{text}], {dtype(x.dtype)})"


def _nested(x: Any) -> str:
    if np.ndim(x) == 0:
        return number(x)
    return f"[{', '.join(_nested(item) for item in x)}]"


def wrapped(line: str) -> str:
    """Break a long statement inside parentheses.

    >>> print(wrapped("y = " + " + ".join(["number"] * 12)))
    y = (
        number + number + number + number + number + number + number + number + number + number +
        number + number
    )
    """
    if len(line) <= _WIDTH:
        return line
    found = re.fullmatch(r"( *)((?:[\w, ]+ = |return )+)(.*)", line)
    if not found:
        return line
    space, head, rest = found.groups()
    inner = textwrap.wrap(
        rest, _WIDTH, initial_indent=f"{space}    ", subsequent_indent=f"{space}    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join([f"{space}{head}(", *inner, f"{space})"])


def copied(functions: Iterable[Callable[..., Any]]) -> tuple[list[str], set[str]]:
    """Give the source of functions, of those that they call, and the modules that they need."""
    work = _Copies()
    for function in functions:
        work.add(function)
    return work.definitions, work.modules


class _Copies:
    """Definitions found so far, each after what it uses."""

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self.modules: set[str] = set()
        self.seen: set[str] = set()

    def add(self, function: Callable[..., Any]) -> None:
        if helper_name(function) in self.seen:
            return
        self.seen.add(helper_name(function))
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, TypeError) as error:
            raise GraphError(
                f"the source of {function.__module__}.{function.__name__}, which the script needs, "
                "is not to be found; install chainrule with its .py files"
            ) from error
        plain = _Plain(function.__globals__, _bound(tree))
        plain.visit(tree)
        for name in sorted(plain.used):
            self._use(function, name, function.__globals__[name])
        lines = ast.unparse(ast.fix_missing_locations(tree)).splitlines()
        self.definitions.append("\n".join(map(wrapped, lines)))

    def _use(self, function: Callable[..., Any], name: str, value: Any) -> None:
        if inspect.ismodule(value):
            self.modules.add("import numpy as np" if value is np else f"import {value.__name__}")
        elif inspect.isfunction(value):
            self.add(value)
        else:
            raise GraphError(
                f"{function.__module__}.{function.__name__} uses {name}, which is neither a "
                "function nor a module: a script cannot have a copy of it"
            )


def _bound(tree: ast.AST) -> set[str]:
    """Give the names that a function defines itself."""
    found = {x.arg for x in ast.walk(tree) if isinstance(x, ast.arg)}
    return found | {
        x.id for x in ast.walk(tree) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)
    }


class _Plain(ast.NodeTransformer):
    """Takes annotations away, and the first letters of names that are private here."""

    def __init__(self, names: dict[str, Any], bound: set[str]) -> None:
        self.names = {name: x for name, x in names.items() if name not in bound}
        self.used: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = node.name.lstrip("_").removeprefix("run_")
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        assert node.value is not None
        return ast.Assign(targets=[node.target], value=self.visit(node.value))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.names:
            self.used.add(node.id)
            if inspect.isfunction(self.names[node.id]):
                node.id = helper_name(self.names[node.id])
        return node


__all__ = ["array", "array_statement", "copied", "dtype", "number", "swap"]
