"""An explanation as a page for the browser: MathML, no script, no network."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape

from latex2mathml.converter import convert

from chainrule.transforms.explain.blocks import (
    Block,
    Equation,
    Flow,
    Heading,
    Math,
    Part,
    Rule,
    Table,
    Words,
)
from chainrule.transforms.explain.latex import SIGNS
from chainrule.transforms.explain.picture import STYLE, picture
from chainrule.transforms.explain.text import is_number
from chainrule.transforms.explain.writing import Script

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
.explanation { line-height: 1.5; }
.explanation :is(h2, h3) { font-size: 1.1em; margin: 1.5em 0 .5em; border-bottom: 1px solid #8886; }
.explanation table { border-collapse: collapse; margin: .6em 0; width: auto; }
.explanation .e-steps { display: block; overflow: auto hidden; padding-bottom: .5em; }
.explanation .e-steps td { padding: .08em .2em; border: 0; white-space: nowrap; text-align: left; }
.explanation .e-steps td:first-child { text-align: right; }
.explanation .e-steps .e-start td { padding-top: .55em; }
.explanation .e-data { display: block; overflow: auto hidden; }
.explanation .e-data :is(th, td) { padding: .15em .8em .15em 0; text-align: left; border: 0; }
.explanation .e-data th { border-bottom: 1px solid #8886; font-weight: 600; }
.explanation .e-data .e-number { text-align: right; }
.explanation .e-steps .e-note { opacity: .65; padding-left: 1.5em; font-size: .9em; }
.explanation .e-flow { overflow: auto hidden; margin: .6em 0; }
"""

_PAGE_STYLE = """
body { max-width: 72em; margin: 1.5em auto; padding: 0 1em; color: #1c2330; background: #fff;
  font: 15px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { body { color: #e4e8ef; background: #14181f; } }
"""


def fragment(blocks: Iterable[Block], script: Script, heading: str = "h2") -> str:
    """Write blocks as a part of a page, which takes its colours from there."""
    body: list[str] = []
    rows: list[str] = []
    for block in [*blocks, None]:
        if isinstance(block, Rule | Equation):
            rows += _rows(block, script)
            continue
        if rows:
            body.append(f'<table class="e-steps">{"".join(rows)}</table>')
            rows = []
        match block:
            case Heading(text=text):
                body.append(f"<{heading}>{escape(text)}</{heading}>")
            case Words(parts=parts):
                body.append(f"<p>{_joined(parts)}</p>")
            case Table():
                body.append(_table(block))
            case Flow():
                body.append(f'<div class="e-flow">{picture(block, script.digits)}</div>')
    return f'<style>{_STYLE}{STYLE}</style><div class="explanation">{"".join(body)}</div>'


def page(blocks: Iterable[Block], script: Script, title: str) -> str:
    """Write blocks as a whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="color-scheme" content="light dark"/>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>'
        f"<title>{escape(title)}</title>"
        f"<style>{_PAGE_STYLE}</style></head>"
        f"<body><main>{fragment(blocks, script)}</main></body></html>\n"
    )


@lru_cache(maxsize=4096)
def _math(latex: str) -> str:
    return convert(latex).replace("<math ", '<math displaystyle="true" ', 1)


def _rows(block: Rule | Equation, script: Script) -> list[str]:
    if isinstance(block, Rule):
        name = " = ".join([*block.also[::-1], script.name(block.node)])
        stages = [("=", script.write(block.expression))]
        shapes = block.shapes(script)
        note = _math(shapes) if shapes else ""
        note += _joined((", ", *block.note)) if block.note else ""
    else:
        name = script.name(block.node, block.index)
        stages, note = block.stages(script), _joined(block.note)
    rows = []
    for i, (sign, text) in enumerate(stages):
        cells = [_math(name) if i == 0 else "", _math(SIGNS[sign]), _math(text)]
        end = f'<td class="e-note">{note}</td>' if i == 0 and note else "<td></td>"
        first = ' class="e-start"' if i == 0 else ""
        rows.append(f"<tr{first}>{''.join(f'<td>{c}</td>' for c in cells)}{end}</tr>")
    return rows


def _joined(parts: Sequence[Part]) -> str:
    return "".join(_math(x.text) if isinstance(x, Math) else escape(x) for x in parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{_joined((x,))}</th>" for x in table.header)
    rows = []
    for row in table.rows:
        cells = []
        for x in row:
            number = is_number(x.text if isinstance(x, Math) else x)
            cells.append(f"<td{' class=e-number' * number}>{_joined((x,))}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="e-data"><tr>{head}</tr>{"".join(rows)}</table>'
