"""An explanation as a LaTeX document, or as Markdown with formulas in LaTeX."""

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
from chainrule.transforms.explain.text import is_number
from chainrule.transforms.explain.writing import Script

HEAD = r"""\documentclass[a4paper,landscape,9pt]{extarticle}
\usepackage[margin=15mm]{geometry}
\usepackage[utf8]{inputenc}
\usepackage{amsmath,amssymb}
\setlength{\parindent}{0pt}
\allowdisplaybreaks
\begin{document}
"""

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "#": r"\#",
    "&": r"\&", "$": r"\$", "^": r"\^{}", "~": r"\~{}", "→": r"$\to$", "−": "$-$", "×": r"$\times$",
    "←": r"$\gets$", "…": r"\ldots{}", "<": "$<$", ">": "$>$",
}  # fmt: skip

SIGNS = {"=": "=", "≈": r"\approx"}


def document(blocks: Iterable[Block], script: Script) -> str:
    """Write blocks as a document that LaTeX compiles."""
    body: list[str] = []
    rows: list[str] = []
    for block in [*tabulated(blocks, script), None]:
        if isinstance(block, Rule | Equation):
            rows += formula(block, script)
            continue
        if rows:
            body.append("\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}")
            rows = []
        match block:
            case Heading(text=text):
                body.append(rf"\section*{{{escape(text)}}}")
            case Words(parts=parts):
                body.append(joined(parts) + r"\par")
            case Table():
                body.append(_tabular(block))
    return HEAD + "\n\n".join(body) + "\n\\end{document}\n"


def markdown(blocks: Iterable[Block], script: Script) -> str:
    """Write blocks as Markdown; formulas stand between dollar signs."""
    parts: list[str] = []
    for block in tabulated(blocks, script):
        match block:
            case Heading(text=text):
                parts.append(f"## {text}")
            case Words(parts=words):
                parts.append("".join(_in_dollars(x, plain=True) for x in words))
            case Rule() | Equation():
                formulas = " \\\\\n".join(formula(block, script))
                parts.append(f"$$\n\\begin{{aligned}}\n{formulas}\n\\end{{aligned}}\n$$")
            case _:
                lines = [block.header, ("---",) * len(block.header), *block.rows]
                parts.append("\n".join(f"| {' | '.join(_cell(c) for c in row)} |" for row in lines))
    return "\n\n".join(parts) + "\n"


def formula(block: Rule | Equation, script: Script) -> list[str]:
    """Write the lines of a formula, with & where they are aligned."""
    if isinstance(block, Rule):
        name = " = ".join([*block.also[::-1], script.name(block.node)])
        return [f"{name} &= {script.write(block.expression)}"]
    (sign, text), *more = block.stages(script)
    name = script.name(block.node, block.index)
    return [f"{name} &{SIGNS[sign]} {text}", *(f"&{SIGNS[s]} {line}" for s, line in more)]


def escape(text: str) -> str:
    """Write words in LaTeX."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def joined(parts: Sequence[Part]) -> str:
    """Put words and formulas together."""
    return "".join(_in_dollars(x) for x in parts)


def _in_dollars(x: Part, plain: bool = False) -> str:
    if isinstance(x, Math):
        return f"${x.text}$"
    return x if plain else escape(x)


def _cell(x: Part) -> str:
    return _in_dollars(x, plain=True).replace("|", "\\|")


def _tabular(table: Table) -> str:
    columns = list(zip(*table.rows, strict=True))
    kinds = "".join(
        "r" if all(is_number(c.text if isinstance(c, Math) else c) for c in column) else "l"
        for column in columns
    )
    lines = [" & ".join(_in_dollars(c) for c in row) for row in (table.header, *table.rows)]
    body = " \\\\\n".join([f"{lines[0]} \\\\ \\hline", *lines[1:]]).replace(
        "\\hline \\\\", "\\hline"
    )
    return (
        f"\\begin{{tabular}}{{{kinds or 'l' * len(table.header)}}}\n{body}\n\\end{{tabular}}\\par"
    )
