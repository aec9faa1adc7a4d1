"""One row for every registered thing; `test_complete.py` fails while a row is missing.

The rows say with which arguments the checks of `chainrule.testing` run, and what comes out at
chosen points.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import losses, nn, ops, optim, schedules, trace
from chainrule.nn.tabular import StackedLinear, TabularNet
from chainrule.scan import scan

INF, NAN = np.inf, np.nan


@dataclass(frozen=True)
class OpRow:
    """Inputs and attributes of an op; `values` are (inputs, expected) pairs."""

    name: str
    inputs: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    rows: tuple[int, ...] = ()
    values: tuple[tuple[tuple[Any, ...], Any], ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name


def op(name: str, *inputs: Any, rows=(), values=(), label="", **attrs: Any) -> OpRow:
    return OpRow(name, inputs, attrs, rows, tuple(values), label)


A = np.array([[0.7, -1.3, 2.1], [-0.4, 1.6, -2.2]])
B = np.array([[1.9, 0.6, -1.1], [0.8, -0.3, 1.4]])
ROW = np.array([0.9, -1.7, 0.35])
POSITIVE = np.array([[0.7, 1.3, 2.1], [0.4, 1.6, 3.2]])
COLUMN = np.array([[1.2], [-0.7]])
CUBE = np.linspace(-1.5, 1.7, 24).reshape(2, 3, 4) ** 3
BOTH = (0, 1)
TRUTH = np.array([[True, False, True], [False, False, True]])
PLACES = np.array([[2, 0], [1, 1]])
COLUMNS = ((None, None, 1), (2, None, -2))
SIGNAL = np.linspace(-1.3, 1.1, 40).reshape(2, 4, 5) ** 3
KERNEL = np.linspace(-0.9, 1.2, 48).reshape(4, 4, 3)
IMAGE = np.sin(np.arange(32.0)).reshape(2, 1, 4, 4)
PATCH = np.cos(np.arange(8.0)).reshape(2, 1, 2, 2)
START = B * 0.7
SEQUENCE = CUBE.reshape(4, 2, 3)
DECAY = trace(
    lambda s, x, w: scan(lambda s, x, w: ops.tanh(ops.mul(s, w)) + x * s, s, [x], [w]),
    START, SEQUENCE, ROW,
).output.attrs["body"]  # fmt: skip
ALONE = trace(
    lambda s, x, w: scan(lambda s, x, w: ops.tanh(ops.mul(s, w)), s, [x], [w]), START, SEQUENCE, ROW
).output.attrs["body"]
FIRST: dict[str, Any] = {"batch_first": True, "seed": 0}
ALONG: dict[str, Any] = {"size": (3,), "stride": (2,), "dilation": (1,)}
APART: dict[str, Any] = {"size": (2, 2), "stride": (1, 2), "dilation": (1, 1)}
SLIDING: dict[str, Any] = {
    "stride": (1,), "padding": ((1, 0),), "dilation": (1,), "groups": 1,
}  # fmt: skip
OVER: dict[str, Any] = {
    "stride": (2, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1,
}  # fmt: skip

# fmt: off
OP_ROWS = [
    # Arithmetic, with broadcasting in both directions and with a Python number.
    op("add", A, B, rows=BOTH, values=[((INF, -1.0), INF), ((1e308, 1e308), INF)]),
    op("add", A, ROW, rows=(0,), label="row"),
    op("add", COLUMN, CUBE[0, :2, :1], label="column"),
    op("add", 2.5, A, rows=(1,), label="number"),
    op("sub", A, COLUMN, rows=BOTH, values=[((1.0, 1.0), 0.0)]),
    op("sub", A, 3.0, rows=(0,), label="number"),
    op("mul", A, B, rows=BOTH, values=[((0.0, 5.0), 0.0)]),
    op("mul", ROW, COLUMN, rows=(1,), label="outer"),
    op("mul", A, A, rows=BOTH, label="square"),
    op("div", A, POSITIVE, rows=BOTH, values=[((1.0, INF), 0.0), ((6.0, 4.0), 1.5)]),
    op("div", ROW, COLUMN, rows=(1,), label="outer"),
    op("pow", POSITIVE, B, rows=BOTH, values=[((0.0, 0.0), 1.0), ((2.0, 10.0), 1024.0)]),
    op("pow", A, 3.0, rows=(0,), label="number"),
    op("pow", 2.0, A, rows=(1,), label="base"),
    op("neg", A, rows=(0,), values=[((INF,), -INF)]),
    op("maximum", A, B, rows=BOTH, values=[((2.0, 2.0), 2.0), ((NAN, 1.0), NAN)]),
    op("maximum", 0.0, A, rows=(1,), label="number"),
    op("minimum", A, ROW, rows=(0,), values=[((2.0, -INF), -INF)]),
    # Functions of one number.
    op("abs", A, rows=(0,), values=[((-INF,), INF), ((-3.0,), 3.0)]),
    op("exp", A, rows=(0,), values=[((-INF,), 0.0), ((0.0,), 1.0), ((-746.0,), 0.0)]),
    op("expm1", A, rows=(0,), values=[((-INF,), -1.0), ((1e-20,), 1e-20)]),
    op("log", POSITIVE, rows=(0,), values=[((1.0,), 0.0), ((INF,), INF)]),
    op("log1p", POSITIVE, rows=(0,), values=[((1e-20,), 1e-20), ((INF,), INF)]),
    op("sqrt", POSITIVE, rows=(0,), values=[((0.0,), 0.0), ((INF,), INF)]),
    op("sin", A, rows=(0,), values=[((0.0,), 0.0)]),
    op("cos", A, rows=(0,), values=[((0.0,), 1.0)]),
    op("tanh", A, rows=(0,), values=[((INF,), 1.0), ((-710.0,), -1.0), ((710.0,), 1.0)]),
    op("sigmoid", A, rows=(0,), values=[((1000.0,), 1.0), ((-1000.0,), 0.0), ((INF,), 1.0),
                                        ((-INF,), 0.0), ((NAN,), NAN), ((0.0,), 0.5),
                                        ((-710.0,), 4.47628622567513e-309)]),
    op("softplus", A, rows=(0,), values=[((710.0,), 710.0), ((-INF,), 0.0), ((INF,), INF),
                                         ((-40.0,), 4.248354255291589e-18), ((NAN,), NAN)]),
    op("silu", A, rows=(0,), values=[((-INF,), 0.0), ((INF,), INF), ((1000.0,), 1000.0),
                                     ((-1000.0,), 0.0), ((NAN,), NAN)]),
    op("ndtr", A, rows=(0,), values=[((INF,), 1.0), ((-INF,), 0.0), ((0.0,), 0.5), ((NAN,), NAN),
                                     ((-37.0,), 5.725571222524577e-300)]),
    # Results without a derivative.
    op("less", A, B, rows=BOTH, values=[((1.0, 1.0), False), ((-INF, INF), True)]),
    op("less_equal", A, ROW, rows=(0,), values=[((1.0, 1.0), True), ((NAN, 1.0), False)]),
    op("equal", A, A, rows=BOTH, values=[((NAN, NAN), False), ((0.0, -0.0), True)]),
    op("not_equal", A, B, rows=BOTH, values=[((NAN, NAN), True)]),
    op("logical_and", TRUTH, ~TRUTH, rows=BOTH, values=[((True, 2.0), True)]),
    op("logical_or", TRUTH, ~TRUTH, rows=BOTH, values=[((False, 0.0), False)]),
    op("logical_not", TRUTH, rows=(0,), values=[((0.0,), True)]),
    op("is_finite", A, rows=(0,), values=[((INF,), False), ((NAN,), False), ((1e308,), True)]),
    op("is_finite", np.array([1, 0, 3]), rows=(0,), label="whole"),
    op("sign", A, rows=(0,), values=[((-3.0,), -1.0), ((0.0,), 0.0)]),
    op("floor", A, rows=(0,), values=[((-0.5,), -1.0), ((2.0,), 2.0)]),
    op("stop_gradient", A, rows=(0,), values=[((2.0,), 2.0)]),
    # Choices and casts.
    op("where", TRUTH, A, B, rows=(0, 1, 2), values=[((True, 1.0, NAN), 1.0),
                                                     ((False, NAN, 2.0), 2.0)]),
    op("where", TRUTH, A, 0.0, rows=BOTH, label="number"),
    op("where", TRUTH, ROW, COLUMN, rows=(0, 2), label="broadcast"),
    op("cast", A, rows=(0,), dtype=np.dtype(np.float64), values=[((3,), 3.0)]),
    op("cast", np.array([1, 0, 3]), rows=(0,), dtype=np.dtype(np.float32), label="whole"),
    op("identity", A, rows=(0,), values=[((2.0,), 2.0)]),
    # Products and sums.
    op("matmul", A, CUBE[0, :, :2], rows=(0,)),
    op("matmul", A, B, rows=(0,), transpose_b=True, label="b"),
    op("matmul", A, B, rows=BOTH, transpose_a=True, label="a"),
    op("matmul", A, CUBE[1, :, :2].T[:, :2], transpose_a=True, transpose_b=True, label="ab"),
    op("matmul", CUBE, CUBE[:, 0, :, None], rows=BOTH, label="stack"),
    op("matmul", A[:, :2], CUBE[:, :2, :3], label="broadcast"),
    op("matmul", CUBE, A[:, :, None], transpose_a=True, rows=BOTH, label="stack-a"),
    op("sum", CUBE, rows=(0,), axis=(1,), keepdims=False,
       values=[((np.zeros((2, 0)),), [0.0, 0.0])]),
    op("sum", CUBE, rows=(0,), axis=(0, 2), keepdims=True, label="kept"),
    op("sum", A, rows=(0,), axis=(0, 1), keepdims=False, label="all"),
    op("sum", A, axis=(), keepdims=False, label="none"),
    op("spread", ROW, axis=(0,), keepdims=False, shape=(4, 3)),
    op("spread", COLUMN, axis=(1,), keepdims=True, shape=(2, 3), label="kept"),
    op("spread", A, axis=(0, 2), keepdims=False, shape=(3, 2, 2, 3), label="two"),
    op("cumsum", A, rows=(0,), axis=1, reverse=False, values=[(([[1.0, 2.0]],), [[1.0, 3.0]])]),
    op("cumsum", A, rows=(0,), axis=0, reverse=True, label="reverse"),
    # Moving elements about.
    op("reshape", A, shape=(3, 2)),
    op("reshape", A, shape=(1, 6, 1), label="axes"),
    op("transpose", A, rows=(0,), axes=(1, 0)),
    op("transpose", CUBE, rows=(0,), axes=(2, 0, 1), label="three"),
    op("slice", A, rows=(0,), slices=COLUMNS),
    op("slice", A, slices=((1, 2, 1), (0, 0, 1)), label="empty"),
    op("slice", A, slices=((1, 2, 1), (None, None, 1)), label="row"),
    op("slice", A, slices=((1, None, -1), (1, None, -1)), label="backwards"),
    op("place", COLUMN, slices=((None, None, 1), (2, 3, 1)), shape=(2, 4)),
    op("place", A[:, :2], slices=COLUMNS, shape=(2, 3), label="step"),
    op("take", CUBE, PLACES, rows=(0,), axis=1),
    op("take", ROW, PLACES, rows=(1,), axis=0, label="embedding"),
    op("take", ROW, np.array(-1), axis=0, label="one"),
    op("scatter_add", CUBE[:, :2, :2], PLACES, rows=(0,), axis=1, size=4),
    op("scatter_add", A, np.array([1, 1]), rows=BOTH, axis=0, size=3, label="repeated"),
    op("take_along", A, PLACES, rows=BOTH, axis=1),
    op("take_along", A, np.array([[1, 0, 1]]), axis=0, label="first"),
    op("put_along", A[:, :2], PLACES, rows=BOTH, axis=1, size=3),
    op("concat", A, COLUMN, B, rows=(0, 1, 2), axis=1),
    op("concat", ROW, ROW[:1], axis=0, label="vectors"),
    op("concat", A, axis=0, label="one"),
    op("shift", CUBE, CUBE[0], rows=(), reverse=False,
       values=[((np.array([1.0, 2.0]), 5.0), [5.0, 1.0])]),
    op("shift", A, ROW, rows=(0,), reverse=True,
       values=[((np.array([1.0, 2.0]), 5.0), [2.0, 5.0])]),
    op("scan", START, SEQUENCE, ROW, body=DECAY, length=4, reverse=False),
    op("scan", START, SEQUENCE, ROW, body=DECAY, length=4, reverse=True, label="reverse"),
    op("scan", START, SEQUENCE, ROW, body=ALONE, length=4, reverse=False, label="alone"),
    # Windows and convolution.
    op("windows", CUBE, rows=(0,), size=(2,), stride=(1,), dilation=(2,)),
    op("windows", CUBE, rows=(0,), size=(2, 3), stride=(1, 1), dilation=(1, 1), label="two"),
    op("windows", CUBE[0, 0], size=(3,), stride=(1,), dilation=(1,), label="line",
       values=[((np.arange(4.0),), [[0, 1], [1, 2], [2, 3]])]),
    op("fold", CUBE[..., :3], rows=(0,), shape=(7,), **ALONG, label="one"),
    op("fold", CUBE[0].reshape(2, 2, 3, 1), shape=(4, 2), **APART),
    op("window_max", CUBE, rows=(0,), **APART),
    op("window_max", CUBE, rows=(0,), size=(3,), stride=(1,), dilation=(1,), label="one",
       values=[(([1.0, 3.0, 3.0, INF],), [3.0, INF]), (([1.0, NAN, 2.0, 0.0],), [NAN, NAN])]),
    op("window_argmax", CUBE, rows=(0,), **APART),
    op("window_argmax", CUBE, rows=(0,), size=(2,), stride=(1,), dilation=(1,), label="one",
       values=[(([3.0, 3.0, NAN, 1.0],), [0, 2, 2])]),
    op("window_places", CUBE, rows=(0,), size=(2, 2), stride=(1, 2), dilation=(1, 1)),
    op("conv", SIGNAL, KERNEL, rows=(0,), **SLIDING),
    op("conv", SIGNAL, KERNEL[:, :2], rows=(0,), **SLIDING | {"groups": 2, "dilation": (2,)},
       label="groups"),
    op("conv", IMAGE, PATCH, rows=(0,), **OVER, label="two",
       values=[((np.arange(16.0).reshape(1, 1, 4, 4), [[[[1.0, 0.0], [0.0, -1.0]]]]),
                np.full((1, 1, 2, 3), -5.0))]),
    op("conv_input", SIGNAL[:, :2, :4], KERNEL[:2], rows=(0,), shape=(5,), **SLIDING),
    op("conv_input", IMAGE[:, :, :2, :3], PATCH[:1, :, :, :], shape=(4, 4), **OVER, label="two"),
    op("conv_kernel", SIGNAL, SIGNAL[:, :2, :4], rows=BOTH, size=(3,), **SLIDING),
    op("conv_kernel", IMAGE, IMAGE[:, :, :2, :3], rows=BOTH, size=(2, 2), **OVER, label="two"),
    # Both rules written out.
    op("max", CUBE, rows=(0,), axis=1, keepdims=False, values=[(([[1.0, INF]],), [INF])]),
    op("max", A, rows=(0,), axis=0, keepdims=True, label="kept"),
    op("log_softmax", A, rows=(0,), axis=1, values=[(([[1000.0, 0.0]],), [[0.0, -1000.0]]),
                                                    (([[-INF, 0.0]],), [[-INF, 0.0]])]),
    op("log_softmax", CUBE, rows=(0,), axis=1, label="middle"),
    op("log_softmax", np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]]), axis=1, label="ties"),
    op("argmax", A, rows=(0,), axis=1, keepdims=False, values=[(([[1.0, 3.0, 3.0]],), [1])]),
    op("argsort", A, rows=(0,), axis=1, values=[(([[2.0, 1.0, 1.0]],), [[1, 2, 0]])]),
    op("size", A, dims=(2, 3), values=[((A,), 6.0)]),
    op("uniform", np.array(7), shape=(2, 3)),
]
# fmt: on


@dataclass(frozen=True)
class ActivationRow:
    """Settings, points for the check, and values at -2, -0.5, 0, 0.5, 2 (requirements, G2)."""

    name: str
    golden: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    infinite: bool = True
    reference: Callable[[Any], Any] | None = None


GOLDEN_AT = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
_SWISH = (-0.23840584, -0.18877033, 0.0, 0.31122967, 1.76159416)
_SWISH_SLOPES = (-0.09078425, 0.26003881, 0.5, 0.73996119, 1.09078425)
_LOGISTIC = (0.11920292, 0.37754067, 0.5, 0.62245933, 0.88079708)
_LOGISTIC_SLOPES = (0.10499359, 0.23500371, 0.25, 0.23500371, 0.10499359)
_ERF = (-0.04550026, -0.15426877, 0.0, 0.34573123, 1.95449974)

# fmt: off
ACTIVATION_ROWS = [
    ActivationRow("identity", (-2.0, -0.5, 0.0, 0.5, 2.0), (1.0,) * 5),
    ActivationRow("sigmoid", _LOGISTIC, _LOGISTIC_SLOPES),
    ActivationRow("logistic", _LOGISTIC, _LOGISTIC_SLOPES),
    ActivationRow("logistic", (0.01798621, 0.26894142, 0.5, 0.73105858, 0.98201379),
                  (0.03532541, 0.39322387, 0.5, 0.39322387, 0.03532541), {"beta": 2.0}),
    ActivationRow("tanh", (-0.96402758, -0.46211716, 0.0, 0.46211716, 0.96402758),
                  (0.07065082, 0.78644773, 1.0, 0.78644773, 0.07065082)),
    ActivationRow("relu", (0.0, 0.0, 0.0, 0.5, 2.0), (0.0, 0.0, 0.0, 1.0, 1.0)),
    ActivationRow("leaky_relu", (-0.02, -0.005, 0.0, 0.5, 2.0), (0.01, 0.01, 0.01, 1.0, 1.0)),
    ActivationRow("elu", (-0.86466472, -0.39346934, 0.0, 0.5, 2.0),
                  (0.13533528, 0.60653066, 1.0, 1.0, 1.0)),
    ActivationRow("prelu", (-0.5, -0.125, 0.0, 0.5, 2.0), (0.25, 0.25, 0.25, 1.0, 1.0)),
    ActivationRow("selu", (-1.52016647, -0.69175819, 0.0, 0.52535049, 2.10140197)),
    ActivationRow("silu", _SWISH, _SWISH_SLOPES),
    ActivationRow("swish", _SWISH, _SWISH_SLOPES),
    ActivationRow("swish", (-0.09485175, -0.16041065, 0.0, 0.33958935, 1.90514825),
                  (-0.08810411, 0.15740006, 0.5, 0.84259994, 1.08810411), {"beta": 1.5}),
    ActivationRow("softplus", (0.12692801, 0.47407698, 0.69314718, 0.97407698, 2.12692801),
                  _LOGISTIC),
    ActivationRow("log_sigmoid", (-2.12692801, -0.97407698, -0.69314718, -0.47407698, -0.12692801)),
    ActivationRow("mish", reference=lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
    ActivationRow("gelu", _ERF),
    ActivationRow("gelu", settings={"approximate": "tanh"}, reference=lambda x:
                  x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    ActivationRow("hardsigmoid", reference=lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ActivationRow("hardswish", reference=lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ActivationRow("softsign", reference=lambda x: x / (1 + abs(x))),
    ActivationRow("step", (0.0, 0.0, 0.0, 1.0, 1.0)),
    ActivationRow("maxout", settings={"pieces": 1}, reference=lambda x: x),
    ActivationRow("maxout", settings={"pieces": 2}),
    ActivationRow("softmax", infinite=False, reference=lambda x: np.exp(x) / np.exp(x).sum()),
    ActivationRow("log_softmax", infinite=False, reference=lambda x: x - np.log(np.exp(x).sum())),
]
# fmt: on


@dataclass(frozen=True)
class LossRow:
    """A prediction and target, the best prediction, and a value known from elsewhere."""

    name: str
    prediction: Any
    target: Any
    settings: dict[str, Any] = field(default_factory=dict)
    perfect: Any = None
    least: float | None = 0.0
    values: tuple[tuple[Any, Any, float], ...] = ()  # prediction, target, mean


P = np.array([[0.7, -1.3], [2.1, 0.4], [-0.6, 1.8]])
T = np.array([[1.0, 0.5], [-0.4, 0.9], [0.2, -3.0]])
LABELS = np.array([[1.0, 0.0], [0.0, 1.0], [0.25, 1.0]])
SIGNS = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
LOGITS = np.array([[0.7, -1.3, 2.1], [-0.4, 1.6, -2.2], [0.3, 0.9, 0.1]])
CLASSES = np.array([2, 0, 1])
SOFT = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.4, 0.6]])
SHARES = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3], [0.25, 0.25, 0.5]])
THREE = (np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 1.0]))
ERRORS = np.array([0.5, 1.0, 2.0, 10.0])
NONE = np.zeros(1)

# fmt: off
LOSS_ROWS = [
    LossRow("mse", P, T, perfect=T, values=((*THREE, 0.07),)),
    LossRow("half_squared_error", P, T, perfect=T, values=((*THREE, 0.035),)),
    LossRow("mae", P, T, perfect=T, values=((*THREE, 0.23333333),)),
    LossRow("huber", P, T, perfect=T,
            values=((ERRORS, 0 * ERRORS, (0.125 + 0.5 + 1.5 + 9.5) / 4),)),
    LossRow("huber", P, T, {"delta": 2.0}, perfect=T, values=((ERRORS[3:], NONE, 18.0),)),
    LossRow("quantile", P, T, perfect=T),
    LossRow("quantile", P, T, {"q": 0.9}, perfect=T,
            values=((NONE, NONE + 1, 0.9), (NONE + 1, NONE, 0.1))),
    LossRow("adaptive", P, T, perfect=T, values=((NONE + 2, NONE, 1.23606798),)),
    LossRow("adaptive", P, T, {"alpha": 2.0}, perfect=T, values=((NONE + 10, NONE, 50.0),)),
    LossRow("adaptive", P, T, {"alpha": 0.0}, perfect=T, values=((NONE + 2, NONE, 1.09861229),)),
    LossRow("adaptive", P, T, {"alpha": -2.0}, perfect=T, values=((NONE + 10, NONE, 1.92307692),)),
    LossRow("adaptive", P, T, {"alpha": -INF, "scale": 2.0}, perfect=T,
            values=((NONE + 2, NONE, 0.39346934),)),
    LossRow("poisson", P, np.array([[1.0, 0.0], [3.0, 2.0], [4.0, 1.0]]),
            values=((NONE, NONE + 1, 0.0), (NONE, NONE, 1.0), (NONE, NONE + 0.5, 0.15342641))),
    LossRow("binary_cross_entropy_with_logits", P, LABELS, values=(
        (np.array([2.0, -1.0, 0.5]), np.array([1.0, 0.0, 1.0]), 0.30475556),
        (NONE + 40, NONE, 40.0), (NONE - INF, NONE, 0.0), (NONE + INF, NONE + 1, 0.0))),
    LossRow("binary_cross_entropy_with_logits", P, LABELS, {"positive_weight": 3.0}),
    LossRow("binary_cross_entropy", 1 / (1 + np.exp(-P)), LABELS, perfect=LABELS, values=(
        (*THREE, 0.27977656), (NONE + 1, NONE + 1, 0.0), (NONE, NONE, 0.0), (NONE, NONE + 1, 100.0),
        (NONE + 0.3, NONE + 0.3, 0.61086430))),
    LossRow("categorical_cross_entropy", SHARES, CLASSES, values=(
        (np.array([[0.3, 0.7]]), np.array([0]), 1.20397280),)),
    LossRow("categorical_cross_entropy", SHARES, SOFT, perfect=SOFT, values=(
        (np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]), 0.0),)),
    LossRow("cross_entropy", LOGITS, CLASSES, values=(
        (np.array([[1.0, 2.0, 3.0]]), np.array([2]), 0.40760596),
        (np.array([[1.0, 2.0, 3.0]]), np.array([0]), 2.40760596),
        (np.array([[1000.0, 1001.0]]), np.array([1]), 0.31326169))),
    LossRow("cross_entropy", LOGITS, SOFT, perfect=np.log(np.maximum(SOFT, 1e-30))),
    LossRow("cross_entropy", LOGITS, CLASSES, {"label_smoothing": 0.1}),
    LossRow("cross_entropy", LOGITS, CLASSES, {"class_weight": np.array([1.0, 2.0, 0.5])}),
    LossRow("focal", LOGITS, CLASSES, values=(
        (np.log([[0.9, 0.1]]), np.array([0]), 0.00105361),
        (np.log([[0.9, 0.1]]), np.array([1]), 1.86509393))),
    LossRow("focal", LOGITS, SOFT, {"gamma": 0.0}),
    LossRow("focal", LOGITS, CLASSES, {"alpha": [0.5, 2.0, 1.0]}, values=(
        (np.log([[0.9, 0.1]]), np.array([1]), 1.62 * np.log(10)),)),
    LossRow("binary_focal", P, LABELS, values=((NONE + np.log(9), NONE + 1, 0.00105361),)),
    LossRow("binary_focal", P, LABELS, {"gamma": 1.5, "alpha": 0.25}, values=(
        (NONE + np.log(9), NONE, 0.75 * 0.9**1.5 * np.log(10)),)),
    LossRow("hinge", P, SIGNS, perfect=SIGNS, values=(
        (NONE - 2, NONE + 1, 3.0), (NONE + 1.5, NONE + 1, 0.0), (NONE - 0.5, NONE - 1, 0.5))),
    LossRow("multiclass_hinge", LOGITS, CLASSES, values=(
        (np.array([[2.0, 1.0, 1.5]]), np.array([1]), 2.0),
        (np.array([[2.0, 0.5, 0.0]]), np.array([0]), 0.0))),
    LossRow("multiclass_hinge", LOGITS, CLASSES, {"variant": "weston-watkins"}, values=(
        (np.array([[2.0, 1.0, 1.5]]), np.array([1]), 3.5),)),
]
# fmt: on


def loss_of(row: LossRow) -> losses.Loss:
    loss = losses.LOSSES[row.name]
    return loss.having(**row.settings) if row.settings else loss


@dataclass(frozen=True)
class OptimizerRow:
    """An optimizer; the first three points of G1; and torch's name and arguments for it."""

    optimizer: optim.Optimizer
    golden: tuple[tuple[float, float], ...] = ()
    torch: tuple[str, dict[str, Any]] | None = None
    state_arrays: int = 0

    @property
    def name(self) -> str:
        return type(self.optimizer).__name__.lower()


def _betas(**others: Any) -> dict[str, Any]:
    return {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, **others}


# fmt: off
OPTIMIZER_ROWS = [
    OptimizerRow(optim.SGD(lr=0.05), ((0.95, 0.5), (0.9025, 0.25), (0.857375, 0.125)),
                 ("SGD", {"lr": 0.05}), 0),
    OptimizerRow(optim.SGD(lr=0.05, momentum=0.9), ((0.95, 0.5), (0.8575, -0.2), (0.731375, -0.73)),
                 ("SGD", {"lr": 0.05, "momentum": 0.9}), 1),
    OptimizerRow(optim.SGD(lr=0.05, momentum=0.9, rate_inside=True),
                 ((0.95, 0.5), (0.8575, -0.2), (0.731375, -0.73)), None, 1),
    OptimizerRow(optim.SGD(lr=0.02, momentum=0.8, nesterov=True, weight_decay=0.01), (),
                 ("SGD", {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}), 1),
    OptimizerRow(optim.SGD(lr=0.02, momentum=0.8, dampening=0.3), (),
                 ("SGD", {"lr": 0.02, "momentum": 0.8, "dampening": 0.3}), 1),
    OptimizerRow(optim.Adagrad(lr=0.1, eps=1e-8, eps_inside=True),
                 ((0.9, 0.9), (0.83310353, 0.83310353), (0.78045618, 0.78045618)), None, 1),
    OptimizerRow(optim.Adagrad(lr=0.1, lr_decay=0.01, weight_decay=0.02, initial_accumulator=0.1),
                 (),
                 ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.02,
                              "initial_accumulator_value": 0.1}), 1),
    OptimizerRow(optim.RMSprop(lr=0.01, alpha=0.9, eps_inside=True),
                 ((0.96837722, 0.96837722), (0.94578803, 0.94578802), (0.92705310, 0.92705310)),
                 None, 1),
    OptimizerRow(optim.RMSprop(lr=0.01), (), ("RMSprop", {"lr": 0.01}), 1),
    OptimizerRow(optim.RMSprop(lr=0.01, momentum=0.7, centered=True, weight_decay=0.01), (),
                 ("RMSprop", {"lr": 0.01, "momentum": 0.7, "centered": True, "weight_decay": 0.01}),
                 3),
    OptimizerRow(optim.Adadelta(rho=0.95),
                 ((0.99552791, 0.99552786), (0.99100875, 0.99100866), (0.98646456, 0.98646443)),
                 ("Adadelta", {"rho": 0.95}), 2),
    OptimizerRow(optim.Adam(lr=0.1),
                 ((0.9, 0.9), (0.80041223, 0.80041223), (0.70158627, 0.70158627)),
                 ("Adam", _betas()), 2),
    OptimizerRow(optim.Adam(lr=0.1, amsgrad=True, weight_decay=0.01), (),
                 ("Adam", _betas(amsgrad=True, weight_decay=0.01)), 3),
    OptimizerRow(optim.Adam(lr=0.1, eps_hat=True), ((0.9, 0.9), (0.80041223, 0.80041223)), None, 2),
    OptimizerRow(optim.AdamW(lr=0.1), (), ("AdamW", _betas(weight_decay=0.01)), 2),
    OptimizerRow(optim.NAdam(lr=0.1), (), ("NAdam", _betas(momentum_decay=4e-3)), 3),
]

SCHEDULE_ROWS = [  # schedule, {t: factor}, largest factor
    (schedules.Constant(), {0: 1.0, 100: 1.0}),
    (schedules.Step(every=10, factor=0.5), {0: 1.0, 9: 1.0, 10: 0.5, 25: 0.25}),
    (schedules.Exponential(k=0.05), {0: 1.0, 1: 0.95122942, 10: 0.60653066}),
    (schedules.InverseTime(k=0.1), {0: 1.0, 1: 0.90909091, 10: 0.5}),
    (schedules.InverseScaling(power=0.5), {0: 1.0, 3: 0.5, 99: 0.1}),
    (schedules.Linear(total=10, final=0.2), {0: 1.0, 5: 0.6, 10: 0.2, 50: 0.2}),
    (schedules.Cosine(total=10), {0: 1.0, 5: 0.5, 10: 0.0, 50: 0.0}),
    (schedules.Cosine(total=10, final=0.1), {0: 1.0, 5: 0.55, 10: 0.1}),
    (schedules.FlatCosine(total=10), {0: 1.0, 5: 1.0, 7.5: 0.5, 10: 0.0}),
    (schedules.OneCycle(total=10), {0: 0.04, 1.5: 0.52, 3: 1.0, 10: 4e-6}),
    (schedules.WarmUp(5, schedules.Cosine(total=10)), {0: 0.0, 2.5: 0.5, 5: 1.0, 10: 0.5, 15: 0.0}),
    (schedules.WarmUp(4), {0: 0.0, 1: 0.25, 4: 1.0, 9: 1.0}),
]

INITIALIZER_ROWS = [  # name, standard deviation for 256 inputs and 128 outputs, largest element
    ("xavier_uniform", 0.125 / 3**0.5, 0.125),
    ("xavier_normal", 0.07216878, None),
    ("he_uniform", 0.08838835, 0.15309311),
    ("he_normal", 0.08838835, None),
    ("lecun_normal", 1 / 16, None),
    ("lecun_uniform", 1 / 16, 3**0.5 / 16),
    ("torch_linear", 1 / 16 / 3**0.5, 1 / 16),
    ("small_normal", 0.01, None),
    ("zeros", 0.0, None),
    ("ones", 0.0, None),
]
# fmt: on


@dataclass(frozen=True)
class LayerRow:
    """A layer, its inputs, the shape of its output, and its number of parameters."""

    layer: Callable[[], nn.Module]
    inputs: tuple[Any, ...]
    output: tuple[int, ...]
    parameters: int
    label: str = ""

    @property
    def name(self) -> str:
        return type(self.layer()).__name__

    def __str__(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name


def onnx_net() -> nn.Module:
    """A layer as ONNX says it, such as PyTorch writes it."""
    form = {"dtype": "float32", "trained": True}
    nodes = [
        {"kind": "Gemm", "name": "fc", "inputs": ["x", "fc.weight", "fc.bias"], "outputs": ["h"],
         "attributes": {"transB": 1}},
        {"kind": "Tanh", "name": "", "inputs": ["h"], "outputs": ["y"], "attributes": {}},
    ]  # fmt: skip
    tensors = {"fc.weight": {"shape": [2, 3], **form}, "fc.bias": {"shape": [2], **form}}
    inputs = [{"name": "x", "shape": ["rows", 3], "dtype": "float32"}]
    weights = {"fc.weight": np.array([[0.5, -1.2, 0.3], [0.8, 0.1, -0.6]]), "fc.bias": [0.1, -0.2]}
    return nn.OnnxNet(nodes, inputs, ["y"], tensors, 20).load_state_dict(weights)


X = np.array([[0.7, -1.3, 2.1], [-0.4, 1.6, -2.2], [0.3, 0.9, 0.15], [1.2, -0.8, 0.55]])
CODES = np.array([[0, 3], [4, 1], [2, 2], [3, 0]])

# fmt: off
LAYER_ROWS = [
    LayerRow(lambda: nn.Linear(3, 2, seed=0), (X,), (4, 2), 8),
    LayerRow(lambda: nn.Linear(3, 2, bias=False, seed=0), (X,), (4, 2), 6, "no-bias"),
    LayerRow(lambda: nn.Linear(4, 2, seed=0), (CUBE,), (2, 3, 2), 10, "three-axes"),
    LayerRow(lambda: nn.Activation("tanh"), (X,), (4, 3), 0),
    LayerRow(lambda: nn.Activation("leaky_relu", negative_slope=0.2), (X,), (4, 3), 0, "settings"),
    LayerRow(lambda: nn.Activation("swish", beta=1.5, trainable=["beta"]), (X,), (4, 3), 1,
             "trainable"),
    LayerRow(lambda: nn.PReLU(), (X,), (4, 3), 1),
    LayerRow(lambda: nn.PReLU(3), (CUBE,), (2, 3, 4), 3, "channels"),
    LayerRow(lambda: nn.Dropout(0.4, seed=0), (X,), (4, 3), 0),
    LayerRow(lambda: nn.Dropout(0.0, seed=0), (X,), (4, 3), 0, "none"),
    LayerRow(lambda: nn.Dropout(0.4, shared=-1, seed=0), (CUBE,), (2, 3, 4), 0, "shared"),
    LayerRow(lambda: nn.Dropout1d(0.4, seed=0), (SIGNAL,), (2, 4, 5), 0),
    LayerRow(lambda: nn.Dropout2d(0.4, seed=0), (IMAGE,), (2, 1, 4, 4), 0),
    LayerRow(lambda: nn.Maxout(3, 2, 3, seed=0), (X,), (4, 2), 24),
    LayerRow(lambda: nn.Maxout(4, 2, bias=False, seed=0), (CUBE,), (2, 3, 2), 16, "no-bias"),
    LayerRow(lambda: nn.AdaptiveLoss(), (X, X**2), (4, 3), 2),
    LayerRow(lambda: nn.AdaptiveLoss(3, 0.4, 2.0), (X, X**2), (4, 3), 6, "columns"),
    LayerRow(lambda: nn.BatchNorm1d(3), (X,), (4, 3), 6),
    LayerRow(lambda: nn.BatchNorm1d(3, affine=False), (CUBE,), (2, 3, 4), 0, "length"),
    LayerRow(lambda: nn.LayerNorm(3), (X,), (4, 3), 6),
    LayerRow(lambda: nn.LayerNorm((3, 4), bias=False), (CUBE,), (2, 3, 4), 12, "two-axes"),
    LayerRow(lambda: nn.BatchNorm2d(1), (IMAGE,), (2, 1, 4, 4), 2),
    LayerRow(lambda: nn.GroupNorm(2, 4), (SIGNAL,), (2, 4, 5), 8),
    LayerRow(lambda: nn.GroupNorm(1, 3, affine=False), (X,), (4, 3), 0, "rows"),
    LayerRow(lambda: nn.Conv1d(4, 2, 3, stride=2, padding=1, seed=0), (SIGNAL,), (2, 2, 3), 26),
    LayerRow(lambda: nn.Conv1d(4, 4, 2, groups=2, dilation=2, bias=False, padding_mode="circular",
                               padding=2, seed=0), (SIGNAL,), (2, 4, 7), 16, "groups"),
    LayerRow(lambda: nn.Conv2d(1, 3, (2, 3), padding="same", seed=0), (IMAGE,), (2, 3, 4, 4), 21),
    LayerRow(lambda: nn.MaxPool1d(2), (SIGNAL,), (2, 4, 2), 0),
    LayerRow(lambda: nn.MaxPool2d(3, 2, 1), (IMAGE,), (2, 1, 2, 2), 0),
    LayerRow(lambda: nn.AvgPool1d(2, ceil_mode=True), (SIGNAL,), (2, 4, 3), 0),
    LayerRow(lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (IMAGE,), (2, 1, 2, 2), 0),
    LayerRow(lambda: nn.AdaptiveAvgPool1d(1), (SIGNAL,), (2, 4, 1), 0),
    LayerRow(lambda: nn.AdaptiveAvgPool2d((3, None)), (IMAGE,), (2, 1, 3, 4), 0),
    LayerRow(lambda: nn.AdaptiveMaxPool1d(2), (SIGNAL,), (2, 4, 2), 0),
    LayerRow(lambda: nn.AdaptiveMaxPool2d(1), (IMAGE,), (2, 1, 1, 1), 0),
    LayerRow(lambda: nn.Flatten(), (IMAGE,), (2, 16), 0),
    LayerRow(lambda: nn.RNN(5, 3, returns="sequence", **FIRST), (SIGNAL,), (2, 4, 3), 30),
    LayerRow(lambda: nn.RNN(5, 3, 2, "relu", returns="last", bidirectional=True, **FIRST),
             (SIGNAL,), (2, 6), 126, "both"),
    LayerRow(lambda: nn.LSTM(5, 2, forget_bias=1.0, returns="last", **FIRST), (SIGNAL,), (2, 2),
             72),
    LayerRow(lambda: nn.LSTM(5, 2, 2, bidirectional=True, dropout=0.3, returns="sequence", **FIRST),
             (SIGNAL,), (2, 4, 4), 272, "both"),
    LayerRow(lambda: nn.GRU(5, 2, bias=False, returns="last", **FIRST), (SIGNAL,), (2, 2), 42),
    LayerRow(lambda: nn.Jordan(5, 3, 2, **FIRST), (SIGNAL,), (2, 4, 2), 32),
    LayerRow(lambda: nn.Embedding(5, 3, seed=0), (CODES,), (4, 2, 3), 15),
    LayerRow(lambda: nn.mlp([3, 4, 2], "tanh", batch_norm=True, dropout=0.2, seed=0), (X,), (4, 2),
             34),
    LayerRow(lambda: nn.mlp([3, 4, 2], "relu", layer_norm=True, seed=0), (X,), (4, 2), 34,
             "layer-norm"),
    LayerRow(lambda: onnx_net(), (X,), (4, 2), 8),
    LayerRow(lambda: nn.Residual(nn.Linear(3, 3, seed=0)), (X,), (4, 3), 12),
    LayerRow(lambda: StackedLinear(2, 3, 5).initialize(0), (np.stack([X, X + 1]),), (2, 4, 5), 40),
    LayerRow(lambda: TabularNet(3, [5, 4], outputs=2, members=2, hidden=(4,)).initialize(0),
             (X, CODES), (4, 2, 2), 191),
]
# fmt: on
