"""The changes: those of cosmic-ray, and three of calls, of which much of the code consists."""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

# cosmic-ray puts every operator in the place of every other, and most of these only raise a
# TypeError. Here one is put for another of arithmetic, and for a comparison its contrary and,
# where there is one, the same with the border moved.
BINARY = {
    "Add": "Sub", "Sub": "Add", "Mul": "Div", "Div": "Mul", "FloorDiv": "Div", "Mod": "Mul",
    "Pow": "Mul", "LShift": "RShift", "RShift": "LShift", "BitOr": "BitAnd", "BitAnd": "BitOr",
    "BitXor": "BitAnd",
}  # fmt: skip
COMMUTATIVE = ("add", "mul", "equal", "logical_and", "logical_or")
ARITHMETIC = ("arith_expr", "term", "power", "expr", "and_expr", "xor_expr", "shift_expr")
"""What parso calls an expression with an operator; `*` stands in other places, too."""
COMPARISON = {
    "Eq": ["NotEq"], "NotEq": ["Eq"], "Is": ["IsNot"], "IsNot": ["Is"], "Lt": ["LtE", "GtE"],
    "LtE": ["Lt", "Gt"], "Gt": ["GtE", "LtE"], "GtE": ["Gt", "Lt"],
}  # fmt: skip
NAMES = [
    *(f"ReplaceBinaryOperator_{a}_{b}" for a, b in BINARY.items()),
    *(f"ReplaceComparisonOperator_{a}_{b}" for a, bs in COMPARISON.items() for b in bs),
    *(f"ReplaceUnaryOperator_Delete_{a}" for a in ("USub", "Not", "Invert")),
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr",
    "ReplaceOrWithAnd", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak",
    "ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop",
]  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of a file: the operator, which of its changes, and the lines that it is on."""

    path: Path
    operator: str
    index: int
    first: int
    last: int

    @cached_property
    def code(self) -> str:
        """The whole file, changed."""
        text = self.path.read_text(encoding="utf-8")
        if self.operator == "calls":
            return _spliced(text, *list(_calls(ast.parse(text)))[self.index])
        from cosmic_ray.mutating import mutate_code

        try:
            return str(mutate_code(text, _operators()[self.operator], self.index))
        except AttributeError:  # it cannot replace `except a.b`
            return text

    @property
    def key(self) -> str:
        """What the result is kept under: it holds while the file is as it was."""
        return hashlib.sha256(f"{self.path.name}\n{self.code}".encode()).hexdigest()[:20]


def mutants(path: Path) -> list[Mutant]:
    """Give the changes of a file, but those of annotations and of other parts without effect."""
    from cosmic_ray.ast import ast_nodes, get_ast

    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    silent = list(_silent(tree))
    nodes = list(ast_nodes(get_ast(text)))
    places = []
    for name, operator in _operators().items():
        found = ((node, *at) for node in nodes for at in operator.mutation_positions(node))
        for index, (node, start, end) in enumerate(found):
            if not name.startswith("ReplaceBinary") or node.parent.type in ARITHMETIC:
                places.append((name, index, start, end))
    places += [("calls", index, *_span(node)) for index, (node, _) in enumerate(_calls(tree))]
    return [
        Mutant(path, name, index, start[0], end[0])
        for name, index, start, end in places
        if not any(a <= start and end <= b for a, b in silent)
    ]


@cache
def _operators() -> dict[str, Any]:
    from cosmic_ray.plugins import get_operator

    return {name: get_operator(f"core/{name}")() for name in NAMES}


def _silent(tree: ast.AST) -> Iterator[tuple[Any, Any]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield _span(node)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            yield _span(node)
        if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: it never fails
            yield _span(node)
        for name in ("annotation", "returns"):
            if isinstance(said := getattr(node, name, None), ast.expr):
                yield _span(said)


def _span(node: Any) -> tuple[Any, Any]:
    """Say where a node begins and ends: (line, column) twice, in characters nearly always."""
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Give calls and what is put there: f(x) is x, f(x, y) is f(y, x), f(x, a=b) is f(x)."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(isinstance(x, ast.Starred) for x in node.args):
            continue
        if len(node.args) == 1 and not node.keywords:
            yield node, node.args[0]
        if len(node.args) >= 2 and ast.unparse(node.func).split(".")[-1] not in COMMUTATIVE:
            yield node, ast.Call(node.func, [*node.args[1::-1], *node.args[2:]], node.keywords)
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict"):
                rest = [*node.keywords[:i], *node.keywords[i + 1 :]]
                yield node, ast.Call(node.func, node.args, rest)


def _spliced(text: str, node: ast.Call, new: ast.expr) -> str:
    """Write an expression where a call stands, on as many lines."""
    lines = text.encode().splitlines(keepends=True)
    (first, start), (last, end) = _span(node)
    before, after = lines[first - 1][:start], lines[last - 1][end:]
    put = f"({ast.unparse(new)}{chr(10) * (last - first)})".encode()
    return b"".join([*lines[: first - 1], before, put, after, *lines[last:]]).decode()
