"""Words in the boxes of a picture: the sign or name of an op, its attributes, shapes.

>>> from chainrule import ops
>>> from chainrule.transforms.run import Spec, trace
>>> graph = trace(lambda x: ops.sum(x * 2.0, axis=0), Spec(("batch", 3)))
>>> [(op_symbol(x), detail_text(x), shape_text(x)) for x in graph.nodes if x.op]
[('×', '', '(batch, 3)'), ('sum', 'axis=(0,)', '(3,)')]
"""

import re
from typing import Any

import numpy as np

from chainrule.graph import Tensor

_SIGN = re.compile(r"\[?(?:\{0\})? ?([^\w\s{}()\[\]]+) ?\{[01]\}\]?")
_CLEARER = {"·": "×", "/": "÷"}  # where a sign stands alone
LONGEST = 34  # letters of a detail


def op_symbol(x: Tensor) -> str:
    """Give the sign between numbers that an op is written as, such as + or ≤, or else its name."""
    assert x.op is not None
    form: Any = getattr(getattr(x.op.notation, "text", None), "template", None)
    if x.op.kind not in ("elementwise", "discrete") or not isinstance(form, str):
        return x.op.name
    match = _SIGN.fullmatch(form)
    return _CLEARER.get(match[1], match[1]) if match else x.op.name


def detail_text(x: Tensor) -> str:
    """Write the attributes of an op that can be told in a few letters."""
    shown = [
        f"{key}={value}".replace(" ", "")
        for key, value in x.attrs.items()
        if isinstance(value, int | float | str | tuple | np.dtype) and value is not False
    ]
    return short(" ".join(shown))


def shape_text(x: Tensor) -> str:
    """Write a shape as a tuple; that of a single number is empty."""
    listed = ", ".join(str(n) for n in x.shape)
    return f"({listed}{',' if x.ndim == 1 else ''})" if x.shape else ""


def short(text: str) -> str:
    """Cut a text to the length of a detail."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip(" ,") + "…"
