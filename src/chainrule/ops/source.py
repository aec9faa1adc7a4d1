"""How an op is written in NumPy: the fact from which scripts that need no chainrule are made.

>>> from chainrule.graph import OPS
>>> source_of(OPS["mul"]).source, source_of(OPS["maximum"]).source
('{0} * {1}', 'np.maximum({0}, {1})')
>>> source_of(OPS["fold"]).helpers[0].__name__
'_run_fold'

An op seldom says so itself: a formula of operators is NumPy as it stands, a NumPy function has a
name, and a `run` that is a plain function is called, its source being copied into the script. What
is short in NumPy but long in `run`, for speed or the last digits, is told by `in_numpy`.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.dims import Shape
from chainrule.errors import GraphError
from chainrule.graph import OPS, Attrs, Op
from chainrule.ops.loops import Map

_OPERATORS = re.compile(r"[^a-z]*")
"""What a formula consists of if Python and NumPy mean the same by it."""


@dataclass(frozen=True)
class Call:
    """The use of an op that is written: its inputs as source, and what is known about them."""

    inputs: tuple[str, ...]
    shapes: Sequence[Shape]
    dtypes: Sequence[np.dtype[Any]]
    weak: Sequence[bool]
    attrs: Attrs
    text: Callable[[Any], str]
    """Source of a value of an attribute: of a number, a shape, a dtype, a step of a scan."""

    def ndim(self, k: int) -> int:
        """Give the number of axes of input k."""
        return len(self.shapes[k])


@dataclass(frozen=True)
class Source:
    """Source of an op: a template, or a function of the `Call`.

    A template has {0}, {1} for the inputs and names such as {axis} for attributes.
    `helpers` are functions that the source calls, by their names without `_` and `run_` in front.
    They and what they use must be plain Python and NumPy, as their source is copied.
    """

    source: str | Callable[[Call], str]
    helpers: tuple[Callable[..., Any], ...] = ()

    def __call__(self, call: Call) -> str:
        """Give the source of a use of the op."""
        if not isinstance(self.source, str):
            return self.source(call)
        attrs = {name: call.text(value) for name, value in call.attrs.items()}
        return self.source.format(*call.inputs, **attrs)


def in_numpy(op: Op, source: str | Callable[[Call], str], *helpers: Callable[..., Any]) -> None:
    """Say how an op is written: the fields of `Source`."""
    op.in_numpy = Source(source, helpers)


def call_in_numpy(op: Op, function: Callable[..., Any]) -> None:
    """Say that an op is written as a call of a function, which scripts get."""
    op.in_numpy = Source(_called(function), (function,))


def in_jax(op: Op, source: str | Callable[[Call], str], *helpers: Callable[..., Any]) -> None:
    """Say how an op is written for JAX, where `np` is `jax.numpy`: the fields of `Source`.

    It is needed where the source for NumPy writes into an array, or loops over numbers of one.
    """
    op.in_jax = Source(source, helpers)


def call_in_jax(op: Op, function: Callable[..., Any]) -> None:
    """Say that an op is a call of a function, whose first argument is the module `jax`."""
    op.in_jax = Source(_called(function, "jax"), (function,))


def source_of(op: Op, *, jax: bool = False) -> Source:
    """Give how an op is written, maybe for JAX; a `GraphError` says what is missing.

    >>> from chainrule.graph import OPS
    >>> from chainrule.ops.kinds import Discrete
    >>> half = Discrete("half", lambda x: x / 2, lambda x: (x.shape, x.dtype))
    >>> source_of(OPS.pop("half"))
    Traceback (most recent call last):
    ...
    chainrule.errors.GraphError: the op half does not say how it is written in NumPy: tell it with \
chainrule.ops.source.in_numpy(half, "np.half({0})")
    """
    told: Source | None = (op.in_jax if jax else None) or op.in_numpy
    if told is not None:
        return told
    template = next((fact.template for fact in op.loops if isinstance(fact, Map)), None)
    if template is not None and _OPERATORS.fullmatch(template):
        return Source(_numbered(template))
    if isinstance(op.run, np.ufunc):
        inputs = ", ".join(f"{{{i}}}" for i in range(op.run.nin))
        return Source(f"np.{op.run.__name__}({inputs})")
    if inspect.isfunction(op.run) and op.run.__name__ != "<lambda>":
        return Source(_called(op.run), (op.run,))
    raise GraphError(
        f"the op {op.name} does not say how it is written in NumPy: tell it with "
        f'chainrule.ops.source.in_numpy({op.name}, "np.{op.name}({{0}})")'
    )


def _numbered(template: str) -> str:
    """Put numbers into the places of a template."""
    pieces = template.split("{}")
    return "".join(piece + f"{{{i}}}" for i, piece in enumerate(pieces[:-1])) + pieces[-1]


def _called(function: Callable[..., Any], *first: str) -> Callable[[Call], str]:
    """Write a call of a function with the inputs, and the attributes by name."""

    def source(call: Call) -> str:
        named = [f"{name}={call.text(value)}" for name, value in call.attrs.items()]
        return f"{helper_name(function)}({', '.join([*first, *call.inputs, *named])})"

    return source


def helper_names() -> set[str]:
    """Give the names of all functions that scripts may get, which nothing else there may have."""
    found = set()
    for op in OPS.values():
        with suppress(GraphError):  # an op of somebody's own that is not written
            helpers = (*source_of(op).helpers, *source_of(op, jax=True).helpers)
            found |= {helper_name(helper) for helper in helpers}
    return found


def helper_name(function: Callable[..., Any]) -> str:
    """Give the name that a function has in a script.

    >>> helper_name(np.exp), helper_name(_numbered)
    ('exp', 'numbered')
    """
    return function.__name__.lstrip("_").removeprefix("run_")
