"""An explanation for the terminal."""

from collections.abc import Iterable, Sequence

from chainrule.transforms.explain.blocks import (
    Block,
    Equation,
    Heading,
    Math,
    Part,
    Rule,
    Table,
    Words,
    tabulated,
)
from chainrule.transforms.explain.writing import Script


def render(blocks: Iterable[Block], script: Script) -> str:
    """Write blocks as plain text."""
    lines: list[str] = []
    for block in tabulated(blocks, script):
        match block:
            case Heading(text=text):
                lines += ["", text, "─" * len(text), ""]
            case Words(parts=parts):
                lines.append(joined(parts))
            case Rule():
                lines.append(_rule(block, script))
            case Equation():
                lines += _equation(block, script)
            case _:
                lines += ["", *_table(block), ""]
    text = "\n".join(line.rstrip() for line in lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n")


def joined(parts: Sequence[Part]) -> str:
    """Put words and formulas together."""
    return "".join(x.text if isinstance(x, Math) else x for x in parts)


def _rule(rule: Rule, script: Script) -> str:
    name = " = ".join([*rule.also[::-1], script.name(rule.node)])
    left = f"{name} = {script.write(rule.expression)}"
    note = f", {joined(rule.note)}" if rule.note else ""
    return f"{left:<48}  {rule.shapes(script)}{note}"


def _equation(equation: Equation, script: Script) -> list[str]:
    name = script.name(equation.node, equation.index)
    stages = equation.stages(script)
    first = f"{name} {stages[0][0]} {stages[0][1]}"
    note = f"    ({joined(equation.note)})" if equation.note else ""
    return [first + note, *(f"{' ' * len(name)} {sign} {text}" for sign, text in stages[1:])]


def _table(table: Table) -> list[str]:
    cells = [[joined((cell,)) for cell in row] for row in (table.header, *table.rows)]
    columns = list(zip(*cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(map(is_number, column[1:])) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        for row in cells
    ]


def is_number(cell: str) -> bool:
    """Whether a cell of a table belongs to the right."""
    return not cell or cell[0] in "−-+0123456789" or cell in ("nan", "inf")
