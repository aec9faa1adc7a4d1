"""What each type of ONNX node means in chainrule's ops: the closed list of what can be imported.

A reader takes the `Given` inputs and attributes of a node, and gives its result or results. There
is one function, or one entry of a table, for each type.

>>> relu = READERS["Relu"]
>>> relu(Given("Relu", [np.array([-1.0, 2.0])], {}, 20))
array([0., 2.])
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import functional, ops
from chainrule.errors import ConfigError
from chainrule.graph import Value, dtype_of, shape_of
from chainrule.nn.onnx.sizes import known
from chainrule.ops.linear import one_axis

Reader = Callable[["Given"], Any]

READERS: dict[str, Reader] = {}
"""The types of nodes that are known, by name."""


class Given:
    """A node that is computed: its inputs, attributes, and the opset of the model."""

    def __init__(self, kind: str, inputs: list[Any], attrs: dict[str, Any], opset: int) -> None:
        self.kind = kind
        self.inputs = inputs
        self.attrs = attrs
        self.opset = opset

    def __getitem__(self, k: int) -> Any:
        return self.inputs[k]

    def has(self, k: int) -> bool:
        """Whether there is an input k."""
        return k < len(self.inputs) and self.inputs[k] is not None

    def attr(self, name: str, default: Any) -> Any:
        """Give an attribute."""
        return self.attrs.get(name, default)

    def numbers(self, k: int, name: str, default: Any = None) -> Any:
        """Give whole numbers that newer opsets have as input k, and older ones as an attribute."""
        if self.has(k):
            return known(self.inputs[k], f"input {k} of {self.kind}").tolist()
        return self.attrs.get(name, default)

    def only(self, **expected: Any) -> None:
        """Refuse settings that have no counterpart."""
        for name, values in expected.items():
            value = self.attrs.get(name, values[0])
            if value not in values:
                raise ConfigError(f"a {self.kind} node has {name}={value!r}; known: {values}")


def reader(*kinds: str) -> Callable[[Reader], Reader]:
    """Register what a type of node means."""

    def register(function: Reader) -> Reader:
        READERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def axis_of(axis: int, x: Value) -> int:
    """Give an axis as a number from 0."""
    return one_axis(axis, len(shape_of(x)), "an ONNX node")


def _cast(x: Value, dtype: Any) -> Value:
    return ops.cast(x, dtype=np.dtype(dtype))


def _plain(function: Callable[..., Value]) -> Reader:
    return lambda node: function(*[x for x in node.inputs if x is not None])


def _folded(function: Callable[[Value, Value], Value]) -> Reader:
    """Apply a function of two inputs to many, one after the other."""

    def read(node: Given) -> Value:
        total = node[0]
        for x in node.inputs[1:]:
            total = function(total, x)
        return total

    return read


def _erf(x: Value) -> Value:
    return ops.sub(ops.mul(ops.ndtr(ops.mul(x, math.sqrt(2))), 2.0), 1.0)


# fmt: off
_PLAIN: dict[str, Callable[..., Value]] = {
    "Abs": ops.abs, "Add": ops.add, "And": ops.logical_and, "Cos": ops.cos,
    "Equal": ops.equal, "Erf": _erf,
    "Exp": ops.exp, "Floor": ops.floor, "Ceil": lambda x: ops.neg(ops.floor(ops.neg(x))),
    "Greater": lambda x, y: ops.less(y, x), "GreaterOrEqual": lambda x, y: ops.less_equal(y, x),
    "HardSwish": functional.hardswish, "Identity": lambda x: x,
    "IsNaN": lambda x: ops.not_equal(x, x), "Less": ops.less, "LessOrEqual": ops.less_equal,
    "Log": ops.log, "MatMul": ops.matmul, "Mish": functional.mish, "Mul": ops.mul, "Neg": ops.neg,
    "Not": ops.logical_not, "Or": ops.logical_or, "PRelu": functional.prelu, "Pow": ops.pow,
    "Reciprocal": lambda x: ops.div(1.0, x), "Relu": functional.relu, "Sigmoid": ops.sigmoid,
    "Sign": ops.sign, "Sin": ops.sin, "Softplus": ops.softplus, "Softsign": functional.softsign,
    "Sqrt": ops.sqrt, "Sub": ops.sub, "Tanh": ops.tanh, "Where": ops.where,
    "IsInf": lambda x: ops.logical_and(ops.logical_not(ops.is_finite(x)), ops.equal(x, x)),
}
READERS |= {kind: _plain(function) for kind, function in _PLAIN.items()}
READERS |= {"Max": _folded(ops.maximum), "Min": _folded(ops.minimum), "Sum": _folded(ops.add)}
# fmt: on


@reader("Div")
def _div(node: Given) -> Value:
    """Divide; whole numbers towards 0, as in C."""
    y = ops.div(node[0], node[1])
    dtype = dtype_of(node[0], node[1])
    return _cast(y, dtype) if dtype.kind in "iu" else y


@reader("Mod")
def _mod(node: Given) -> Value:
    """Give the rest of x / y, with the sign of y."""
    node.only(fmod=[0])
    whole = ops.floor(ops.div(node[0], node[1]))
    return ops.sub(node[0], _cast(ops.mul(whole, node[1]), dtype_of(node[0])))


@reader("LeakyRelu")
def _leaky_relu(node: Given) -> Value:
    return functional.leaky_relu(node[0], node.attr("alpha", 0.01))


@reader("Elu")
def _elu(node: Given) -> Value:
    return functional.elu(node[0], node.attr("alpha", 1.0))


@reader("Selu")
def _selu(node: Given) -> Value:
    alpha, gamma = node.attr("alpha", 1.6732632423543772), node.attr("gamma", 1.0507009873554805)
    return ops.mul(functional.elu(node[0], alpha), gamma)


@reader("HardSigmoid")
def _hard_sigmoid(node: Given) -> Value:
    slope, at_zero = node.attr("alpha", 0.2), node.attr("beta", 0.5)
    return ops.clip(ops.add(ops.mul(node[0], slope), at_zero), 0.0, 1.0)


@reader("Gelu")
def _gelu(node: Given) -> Value:
    return functional.gelu(node[0], node.attr("approximate", "none"))


@reader("Softmax", "LogSoftmax")
def _softmax(node: Given) -> Value:
    axis = axis_of(node.attr("axis", -1 if node.opset >= 13 else 1), node[0])
    if node.opset < 13 and axis != len(shape_of(node[0])) - 1:
        raise ConfigError(f"{node.kind} over several axes (opset {node.opset}, axis {axis})")
    return (ops.softmax if node.kind == "Softmax" else ops.log_softmax)(node[0], axis)


@reader("Clip")
def _clip(node: Given) -> Value:
    x = node[0]
    for k, name, function in ((1, "min", ops.maximum), (2, "max", ops.minimum)):
        limit = node[k] if node.has(k) else node.attr(name, None)
        x = x if limit is None else function(x, limit)
    return x


@reader("Gemm")
def _gemm(node: Given) -> Value:
    """Give alpha A B + beta C, with A and B transposed if it is said."""
    turned = [bool(node.attr(name, 0)) for name in ("transA", "transB")]
    y = ops.matmul(node[0], node[1], *turned)
    if node.attr("alpha", 1.0) != 1:
        y = ops.mul(y, node.attr("alpha", 1.0))
    if not node.has(2):
        return y
    beta = node.attr("beta", 1.0)
    return ops.add(y, node[2] if beta == 1 else ops.mul(node[2], beta))


@reader("Cast")
def _to(node: Given) -> Value:
    return _cast(node[0], node.attr("to", "float32"))


@reader("Dropout")
def _dropout(node: Given) -> Any:
    """Leave everything: a model that is read is one to predict with."""
    return (node[0], ops.equal(node[0], node[0]))


# Reductions.


def _reduced(function: Callable[..., Value]) -> Reader:
    def read(node: Given) -> Value:
        axes = node.numbers(1, "axes")
        if not axes:
            if node.attr("noop_with_empty_axes", 0):
                return node[0]
            axes = None
        return function(node[0], axes, bool(node.attr("keepdims", 1)))

    return read


READERS |= {
    "ReduceMax": _reduced(ops.max),
    "ReduceMean": _reduced(ops.mean),
    "ReduceMin": _reduced(ops.min),
    "ReduceSum": _reduced(ops.sum),
}


@reader("ArgMax")
def _argmax(node: Given) -> Value:
    node.only(select_last_index=[0])
    return ops.argmax(node[0], node.attr("axis", 0), bool(node.attr("keepdims", 1)))


@reader("CumSum")
def _cumsum(node: Given) -> Value:
    node.only(exclusive=[0], reverse=[0])
    return ops.cumsum(node[0], int(node.numbers(1, "axis")))


@reader("LayerNormalization")
def _layer_norm(node: Given) -> Value:
    ndim = len(shape_of(node[0]))
    axes = tuple(range(axis_of(node.attr("axis", -1), node[0]), ndim))
    y = functional.normalize(node[0], axes, node.attr("epsilon", 1e-5))[0]
    y = ops.mul(y, node[1])
    return ops.add(y, node[2]) if node.has(2) else y


def channels(x: Value, ndim: int) -> Value:
    """Give numbers of channels, which are axis 1 of so many."""
    return ops.reshape(x, (1, -1, *[1] * (ndim - 2)))


@reader("BatchNormalization")
def _batch_norm(node: Given) -> Value:
    """Normalize by the statistics of the file, which training leaves as they are."""
    node.only(training_mode=[0])
    x, *rest = node.inputs
    scale, shift, mean, var = (channels(v, len(shape_of(x))) for v in rest)
    root = ops.sqrt(ops.add(var, node.attr("epsilon", 1e-5)))
    return ops.add(ops.mul(ops.div(ops.sub(x, mean), root), scale), shift)


@reader("InstanceNormalization")
def _instance_norm(node: Given) -> Value:
    ndim = len(shape_of(node[0]))
    y = functional.normalize(node[0], tuple(range(2, ndim)), node.attr("epsilon", 1e-5))[0]
    return ops.add(ops.mul(y, channels(node[1], ndim)), channels(node[2], ndim))
