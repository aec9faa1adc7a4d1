"""ONNX nodes that are layers: convolution, pooling, recurrence.

>>> conv = READERS["Conv"]
>>> x, w = np.ones((1, 1, 4)), np.ones((2, 1, 3))
>>> conv(Given("Conv", [x, w], {"pads": [1, 1]}, 20)).shape
(1, 2, 4)
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import ops, pooling
from chainrule.errors import ConfigError
from chainrule.graph import Value, dtype_of, shape_of
from chainrule.nn.onnx.readers import Given, channels, reader
from chainrule.nn.onnx.shaping import READERS
from chainrule.scan import scan


def _spatial(node: Given, size: list[int]) -> dict[str, Any]:
    """Give strides, dilations and pads per axis of a node with windows."""
    axes = len(size)
    strides = node.attr("strides", [1] * axes)
    dilations = node.attr("dilations", [1] * axes)
    pads = node.attr("pads", [0] * (2 * axes))
    pairs = [(pads[i], pads[i + axes]) for i in range(axes)]
    auto = node.attr("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        places = shape_of(node[0])[2:]
        each = zip(places, size, strides, dilations, strict=True)
        pairs = [_same(*one, upper=auto == "SAME_UPPER") for one in each]
    return {"stride": strides, "dilation": dilations, "pairs": pairs}


def _same(n: int, size: int, stride: int, dilation: int, *, upper: bool) -> tuple[int, int]:
    """Give the pads with which there are ceil(n / stride) windows."""
    total = max((-(-n // stride) - 1) * stride + dilation * (size - 1) + 1 - n, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


@reader("Conv")
def _conv(node: Given) -> Value:
    node.only(auto_pad=["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
    s = _spatial(node, list(shape_of(node[1])[2:]))
    y = ops.conv(node[0], node[1], s["stride"], s["pairs"], s["dilation"], node.attr("group", 1))
    return ops.add(y, channels(node[2], len(shape_of(y)))) if node.has(2) else y


def _symmetric(node: Given, s: dict[str, Any]) -> list[int]:
    if any(before != after for before, after in s["pairs"]):
        raise ConfigError(f"{node.kind} with pads {s['pairs']}: known are equal pads on both sides")
    return [before for before, _ in s["pairs"]]


@reader("MaxPool")
def _max_pool(node: Given) -> Value:
    node.only(auto_pad=["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"], storage_order=[0])
    size = node.attr("kernel_shape", [])
    s = _spatial(node, size)
    ceil = bool(node.attr("ceil_mode", 0))
    pads = _symmetric(node, s)
    return pooling.max_pool(node[0], size, s["stride"], pads, s["dilation"], ceil_mode=ceil)


@reader("AveragePool")
def _average_pool(node: Given) -> Value:
    size = node.attr("kernel_shape", [])
    node.only(auto_pad=["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"], dilations=[[1] * len(size)])
    s = _spatial(node, size)
    return pooling.avg_pool(
        node[0], size, s["stride"], _symmetric(node, s), ceil_mode=bool(node.attr("ceil_mode", 0)),
        count_include_pad=bool(node.attr("count_include_pad", 0)),
    )  # fmt: skip


@reader("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(node: Given) -> Value:
    axes = list(range(2, len(shape_of(node[0]))))
    return (ops.mean if node.kind == "GlobalAveragePool" else ops.max)(node[0], axes, True)


# Recurrence: gates in ONNX's order, one direction after the other.


def _rnn(carry: Value, x: Value, w: Value, r: Value, b: Value, n: int) -> Value:
    return ops.tanh(_affine(carry, x, w, r, b, n))


def _affine(h: Value, x: Value, w: Value, r: Value, b: Value, n: int) -> Value:
    own = ops.add(ops.matmul(x, w, transpose_b=True), b[:n])
    return ops.add(own, ops.add(ops.matmul(h, r, transpose_b=True), b[n:]))


def _lstm(carry: Value, x: Value, w: Value, r: Value, b: Value, n: int) -> tuple[Value, ...]:
    """Take the gates i, o, f, c."""
    h, c = carry[:, :n], carry[:, n:]
    z = _affine(h, x, w, r, b, 4 * n)
    i, o, f, g = (z[:, k * n : (k + 1) * n] for k in range(4))
    c = ops.add(ops.mul(ops.sigmoid(f), c), ops.mul(ops.sigmoid(i), ops.tanh(g)))
    return ops.mul(ops.sigmoid(o), ops.tanh(c)), c


def _gru(carry: Value, x: Value, w: Value, r: Value, b: Value, n: int) -> Value:
    """Take the gates z, r, h; the reset gate acts after the product, as in PyTorch."""
    own = ops.add(ops.matmul(x, w, transpose_b=True), b[: 3 * n])
    held = ops.add(ops.matmul(carry, r, transpose_b=True), b[3 * n :])
    z = ops.sigmoid(ops.add(own[:, :n], held[:, :n]))
    reset = ops.sigmoid(ops.add(own[:, n : 2 * n], held[:, n : 2 * n]))
    new = ops.tanh(ops.add(own[:, 2 * n :], ops.mul(reset, held[:, 2 * n :])))
    return ops.add(ops.mul(ops.sub(1.0, z), new), ops.mul(z, carry))


_STEPS: dict[str, tuple[Callable[..., Any], int, int, list[str]]] = {
    "RNN": (_rnn, 1, 1, ["Tanh"]),
    "LSTM": (_lstm, 4, 2, ["Sigmoid", "Tanh", "Tanh"]),
    "GRU": (_gru, 3, 1, ["Sigmoid", "Tanh"]),
}
"""Of a type: its step, how many gates, how many states, and the usual activations."""


@reader("RNN", "LSTM", "GRU")
def _recurrent(node: Given) -> Any:
    step, gates, states, usual = _STEPS[node.kind]
    direction = node.attr("direction", "forward")
    count = 2 if direction == "bidirectional" else 1
    node.only(layout=[0], activations=[usual * count], clip=[0.0], input_forget=[0])
    if node.kind == "GRU":
        node.attrs = {"linear_before_reset": 0} | node.attrs
        node.only(linear_before_reset=[1])
    if node.has(4) or node.has(7):
        raise ConfigError(f"{node.kind} with lengths of sequences, or peepholes, is not known")
    n, x = node.attr("hidden_size", 0), node[0]
    if n != shape_of(node[2])[-1]:
        raise ConfigError(
            f"{node.kind}: hidden_size={n}, but R has shape {list(shape_of(node[2]))}"
        )
    rows, dtype = shape_of(x)[1], dtype_of(x)
    outputs, last = [], []
    for d in range(count):
        w, r = node[1][d], node[2][d]
        b = node[3][d] if node.has(3) else np.zeros(2 * gates * n, dtype)
        init = _first(node, d, states, rows, n, dtype)
        backwards = direction == "reverse" or d == 1
        carries = scan(
            lambda carry, xt, *weights: step(carry, xt, *weights, n),
            init, [x], [w, r, b], reverse=backwards,
        )  # fmt: skip
        outputs.append(carries[:, :, :n])
        last.append(carries[0 if backwards else -1])
    ends = [ops.stack([y[:, k * n : (k + 1) * n] for y in last]) for k in range(states)]
    return (ops.stack(outputs, axis=1), *ends)


def _first(node: Given, d: int, states: int, rows: Any, n: int, dtype: Any) -> Value:
    """Give the first carry of a direction."""
    parts = [
        node[5 + k][d] if node.has(5 + k) else ops.broadcast_to(np.zeros((), dtype), (rows, n))
        for k in range(states)
    ]
    return ops.concat(parts, axis=1)


__all__ = ["READERS"]
