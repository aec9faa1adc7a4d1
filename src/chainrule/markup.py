"""HTML and SVG from values: everything is escaped unless it is markup already.

>>> element("b", "1 < 2", class_="note")
'<b class="note">1 &lt; 2</b>'
>>> element("p", element("b", "yes"), " & no")
'<p><b>yes</b> &amp; no</p>'
"""

import html
import re

# Characters that XML forbids, and those that turn the direction of the text around them.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
_BREAK = re.compile(r"([_./-])(?=\w)")
_VOID = {"meta", "br", "input", "rect", "line", "circle", "ellipse", "path", "stop"}
SHOWN_CHARACTERS = 40  # of a name; more of it is in the tooltip
TOOLTIP_CHARACTERS = 80

Attribute = str | float | None


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Escape a text; characters that cannot be shown become U+FFFD.

    >>> escape('<script>"x"')
    '&lt;script&gt;&quot;x&quot;'
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNSHOWABLE.sub("\ufffd", text)).replace("&#x27;", "'"))


def element(tag: str, *children: str, **attributes: Attribute) -> Markup:
    """Build an element; attributes that are None are left out, ``aria_label`` is ``aria-label``.

    >>> element("rect", x=0.5, width=3.0, fill=None)
    '<rect x=".5" width="3"/>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID and not children:
        return Markup(f"<{tag}{given}/>")
    return Markup(f"<{tag}{given}>{join(*children)}</{tag}>")


def join(*parts: str) -> Markup:
    """Put parts one after another.

    >>> join(element("br"), "a < b")
    '<br/>a &lt; b'
    """
    return Markup("".join(escape(part) for part in parts))


def name(given: object, tag: str = "span", longest: int = SHOWN_CHARACTERS) -> Markup:
    """Show a name that a user gave, shortened, with more of it in the tooltip.

    A line may break within it, after a mark such as an underscore.

    >>> name("bill_mm"), name("column number 12", longest=8)
    ('<span>bill_<wbr/>mm</span>', '<span title="column number 12">colu… 12</span>')
    """
    text = " ".join(str(given).split()) or "(empty)"
    shown = escape(shorten_inside(text, longest))
    breakable = Markup(_BREAK.sub(r"\1<wbr/>", shown))
    more = shorten(text, TOOLTIP_CHARACTERS) if len(text) > longest else None
    return element(tag, breakable, title=more)


def shorten(text: str, longest: int) -> str:
    """Cut a text to `longest` characters, the last of them an ellipsis.

    >>> shorten("validation", 6)
    'valid…'
    """
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def shorten_inside(text: str, longest: int) -> str:
    """Cut a name in its middle: names that differ often differ at the end.

    >>> shorten_inside("validation", 6)
    'val…on'
    """
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return text[: longest - 1 - tail] + "…" + text[len(text) - tail :]


def coordinate(value: float) -> str:
    """Write a coordinate with one decimal, briefly.

    >>> coordinate(0.54), coordinate(12.0), coordinate(-0.01)
    ('.5', '12', '0')
    """
    text = f"{value:.1f}".removesuffix(".0")
    if text == "-0":
        return "0"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else coordinate(value)
