"""How an op is said in ONNX: the fact from which the verb *export* makes models (opset 20).

>>> from chainrule.graph import OPS
>>> OPS["mul"].in_onnx, callable(OPS["matmul"].in_onnx)
('Mul', True)

A fact is the type of a node whose inputs all have one dtype, or a function of the `Use` that makes
nodes and gives the name of the result. An op that is written in other ops for compiled code
(`loops.Parts`) needs none: its parts are exported.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from chainrule.dims import Shape
from chainrule.errors import GraphError
from chainrule.graph import Array, Attrs, Op


class Use(Protocol):
    """The use of an op in a graph that is exported: what a fact may ask and make."""

    attrs: Attrs
    shape: Shape
    dtype: np.dtype[Any]

    @property
    def count(self) -> int:
        """Number of inputs."""

    def input(self, k: int, dtype: Any = None) -> str:
        """Give the name of input k, in another dtype if one is given."""

    def input_shape(self, k: int) -> Shape:
        """Give the shape of input k."""

    def input_dtype(self, k: int) -> np.dtype[Any]:
        """Give the dtype of input k."""

    def aligned(self) -> list[str]:
        """Give the names of all inputs in one dtype: that of the result, or their common one."""

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Make a node with one output, and give its name."""

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Give the name of a constant."""

    def sizes(self, shape: Sequence[Any]) -> str:
        """Give the name of a shape, whose named dimensions are known when the model runs."""

    def steps(self, body: Any, reverse: bool) -> str:
        """Make the node of a recurrence: the first carry, what moves with the steps, the rest."""


Fact: TypeAlias = str | Callable[[Use], str]


def in_onnx(op: Op, fact: Fact) -> None:
    """Say how an op is said in ONNX."""
    op.in_onnx = fact


def without_onnx(reason: str) -> Callable[[Use], str]:
    """Give the fact of an op that has no counterpart."""

    def refuse(use: Use) -> str:
        raise GraphError(f"this model cannot be said in ONNX: {reason}")

    return refuse


def gathered(use: Use, x: str, index: Array, axis: int) -> str:
    """Pick places of an axis that are known: the axes of the index take its place."""
    return use.node("Gather", x, use.constant(index, np.int64), axis=axis)


def transposed(use: Use, x: str, axes: Sequence[int]) -> str:
    """Permute axes, if that changes anything."""
    return x if list(axes) == sorted(axes) else use.node("Transpose", x, perm=list(axes))


def zeros(use: Use, shape: Sequence[Any]) -> str:
    """Give zeros in the dtype of the result."""
    return use.node("Expand", use.constant(0, use.dtype), use.sizes(shape))


def in_float32(use: Use, f: Callable[[list[str]], str]) -> str:
    """Compute in float32 what runtimes have no float64 kernel for."""
    y = f([use.input(k, np.float32) for k in range(use.count)])
    return y if use.dtype == np.float32 else use.node("Cast", y, to=use.dtype)
