"""The vocabulary: every op, and the reductions that are composed of ops.

Each name takes tensors, arrays or numbers. Given arrays it is NumPy; given a tensor it records.

>>> from chainrule import ops
>>> ops.exp(0.0), ops.matmul([[1.0, 2.0]], [[3.0], [4.0]])
(1.0, array([[11.]]))
"""

# ruff: noqa: A004, I001  (names as in NumPy; imports that fit on a page)

from chainrule.graph import METHODS
from chainrule.graph import apply as apply
from chainrule.ops.convolution import conv
from chainrule.ops.elementwise import (
    abs, add, cast, clip, cos, div, equal, exp, expm1, floor, identity, is_finite, less,
    less_equal, log, log1p, logical_and, logical_not, logical_or, maximum, minimum, mul, ndtr, neg,
    not_equal, pow, sigmoid, sign, silu, sin, softplus, sqrt, square, stop_gradient, sub, tanh,
    where,
)  # fmt: skip
from chainrule.ops.general import (
    argmax, count, log_softmax, logsumexp, max, mean, min, norm, softmax, sort, uniform, var,
)  # fmt: skip
from chainrule.ops.indexing import getitem
from chainrule.ops.linear import (
    broadcast_to, cumsum, matmul, reshape, spread, sum, transpose,
)  # fmt: skip
from chainrule.ops.moving import concat, place, scatter_add, stack, take, take_along
from chainrule.ops.windows import pad, window_max, windows

METHODS.update(
    getitem=getitem, matmul=matmul, mean=mean, reshape=reshape, sum=sum, transpose=transpose
)

__all__ = [
    "abs", "add", "apply", "argmax", "broadcast_to", "cast", "clip", "concat", "conv", "cos",
    "count", "cumsum", "div", "equal", "exp", "expm1", "floor", "getitem", "identity", "is_finite",
    "less", "less_equal", "log", "log1p", "log_softmax", "logical_and", "logical_not", "logical_or",
    "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "mul", "ndtr", "neg", "norm",
    "not_equal", "pad", "place", "pow", "reshape", "scatter_add", "sigmoid", "sign", "silu", "sin",
    "softmax", "softplus", "sort", "spread", "sqrt", "square", "stack", "stop_gradient", "sub",
    "sum", "take", "take_along", "tanh", "transpose", "uniform", "var", "where", "window_max",
    "windows",
]  # fmt: skip
