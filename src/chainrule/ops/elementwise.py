"""Ops that treat every element alike: arithmetic, functions of one number, choices.

Each row of the tables holds a name, the meaning in NumPy, and the partial derivatives, written in
ops so that they can be differentiated again.

>>> from chainrule import ops, tensor
>>> x = tensor([0.0, 1.0], requires_grad=True)
>>> ops.sum(ops.exp(x)).backward()
>>> x.grad
tensor([1.        , 2.71828183])
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.dims import Shape, broadcast_shapes
from chainrule.graph import Array, Attrs, Tensor, Value, apply, dtype_of
from chainrule.ops import helpers
from chainrule.ops.kinds import Discrete, Elementwise, Multilinear
from chainrule.ops.loops import Element, Map
from chainrule.ops.normal import normal_cdf
from chainrule.ops.notation import (
    POWER,
    PRODUCT,
    SIGN,
    SUM,
    Form,
    Notation,
    bracket,
    function,
    silent,
)
from chainrule.ops.notation import sign as between
from chainrule.ops.opset import Use, in_float32, in_onnx
from chainrule.ops.source import Call, call_in_numpy, in_jax, in_numpy


def _sigmoid(x: Any) -> Any:
    """Logistic function: 1 / (1 + exp(-x)), and exp(x) where exp(-x) overflows."""
    x = _as_float(x)
    with np.errstate(over="ignore"):
        y = 1 / (1 + np.exp(-x))
        return y if _above_overflow(x) else np.where(x < _lowest(x), np.exp(x), y)


def _silu(x: Any) -> Any:
    x = _as_float(x)
    with np.errstate(over="ignore", invalid="ignore"):
        y = x / (1 + np.exp(-x))
        if _above_overflow(x):
            return y
        low = x * np.exp(x + 64) * math.exp(-64)  # exp(x) alone would lose digits below 1e-308
        return np.where(x == -np.inf, 0, np.where(x < _lowest(x), low, y)).astype(y.dtype)


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _as_float(x: Any) -> Any:
    return x if isinstance(x, float | np.floating | np.ndarray) else float(x)


def _lowest(x: Any) -> float:
    """Give the number below which exp(-x) overflows, or nearly."""
    return -math.log(float(np.finfo(np.result_type(x)).max)) + 1


def _above_overflow(x: Any) -> bool:
    return np.size(x) == 0 or bool(np.min(x) > _lowest(x))


def _float(dtype: Any) -> Any:
    """Dtype of a function of one number: floats stay, whole numbers become floats."""
    return np.sqrt(np.ones(1, dtype)).dtype


def _infer_function(x: Tensor, **attrs: Any) -> tuple[Shape, Any]:
    return x.shape, _float(x.dtype)


def _infer_division(x: Tensor, y: Tensor) -> tuple[Shape, Any]:
    return broadcast_shapes(x.shape, y.shape), _float(dtype_of(x, y))


def _infer_comparison(*inputs: Tensor) -> tuple[Shape, Any]:
    return broadcast_shapes(*(x.shape for x in inputs)), np.dtype(bool)


def _function(name: str, run: Any, partial: Any, *, singular: bool = False) -> Elementwise:
    template = name + "({})"
    return Elementwise(name, run, [partial], template, singular=singular, infer=_infer_function)


def _compare(name: str, run: Any, template: str) -> Discrete:
    return Discrete(name, run, _infer_comparison).looped(Map(template))


def _constant(name: str, run: Any, loop: Any) -> Discrete:
    return Discrete(name, run, lambda x: (x.shape, x.dtype)).looped(loop)


# Partials name ops that come later.
div: Elementwise
neg: Elementwise
cos: Elementwise
sigmoid: Elementwise
equal: Discrete
less: Discrete
sign: Discrete
cast: Multilinear

# fmt: off
# Arithmetic.           name        NumPy            d out / d x, d out / d y
add     = Elementwise("add",     np.add,          [1, 1],                              "{} + {}")
sub     = Elementwise("sub",     np.subtract,     [1, -1],                             "{} - {}")
mul     = Elementwise("mul",     np.multiply,     [lambda out, x, y: y,
                                                   lambda out, x, y: x],               "{} * {}")
div     = Elementwise("div",     np.divide,       [lambda out, x, y: div(1.0, y),
                                                   lambda out, x, y: neg(div(out, y))],
                      "{} / {}", singular=True, infer=_infer_division)
pow     = Elementwise("pow",     np.power,        [lambda out, x, y: _pow_base(x, y),   # noqa: A001
                                                   lambda out, x, y: _pow_exponent(out, x)],
                      "power({}, {})", singular=True)
neg     = Elementwise("neg",     np.negative,     [-1],                                "-{}")
# Ties go to the first. The slopes ask the result, so that x need not be kept for them.
maximum = Elementwise("maximum", np.maximum,      [lambda out, x, y: equal(x, out),
                                                   lambda out, x, y: less(x, out)],
                      "maximum({}, {})")
minimum = Elementwise("minimum", np.minimum,      [lambda out, x, y: equal(x, out),
                                                   lambda out, x, y: less(out, x)],
                      "minimum({}, {})")

# Functions of one number; |x|'(0) = 0.
abs      = Elementwise("abs",    np.abs,     [lambda out, x: sign(x)], "absolute({})")  # noqa: A001
exp      = _function("exp",      np.exp,      lambda out, x: out)
expm1    = _function("expm1",    np.expm1,    lambda out, x: add(out, 1.0))
log      = _function("log",      np.log,      lambda out, x: div(1.0, x),           singular=True)
log1p    = _function("log1p",    np.log1p,    lambda out, x: div(1.0, add(x, 1.0)), singular=True)
sqrt     = _function("sqrt",     np.sqrt,     lambda out, x: div(0.5, out),         singular=True)
sin      = _function("sin",      np.sin,      lambda out, x: cos(x))
cos      = _function("cos",      np.cos,      lambda out, x: neg(sin(x)))
tanh     = _function("tanh",     np.tanh,     lambda out, x: sub(1.0, mul(out, out)))
sigmoid  = _function("sigmoid",  _sigmoid,    lambda out, x: mul(out, sigmoid(neg(x))))
softplus = _function("softplus", _softplus,   lambda out, x: sigmoid(x))
silu     = _function("silu",     _silu,       lambda out, x: add(sigmoid(x),
                                                                mul(out, sigmoid(neg(x)))))
ndtr     = _function("ndtr",     normal_cdf,  lambda out, x: _normal_density(x))

# Results without a derivative.
less          = _compare("less",          np.less,          "{} < {}")
less_equal    = _compare("less_equal",    np.less_equal,    "{} <= {}")
equal         = _compare("equal",         np.equal,         "{} == {}")
not_equal     = _compare("not_equal",     np.not_equal,     "{} != {}")
logical_and   = _compare("logical_and",   np.logical_and,   "({} != 0) & ({} != 0)")
logical_or    = _compare("logical_or",    np.logical_or,    "({} != 0) | ({} != 0)")
logical_not   = _compare("logical_not",   np.logical_not,   "{} == 0")
is_finite     = _compare("is_finite",     np.isfinite,      "is_finite({})")
sign          = _constant("sign",          np.sign,         Map("sign({})"))
floor         = _constant("floor",         np.floor,        Map("floor({})"))
stop_gradient = _constant("stop_gradient", np.positive,     Element(order=True))
# fmt: on


def _pow_base(x: Value, y: Value) -> Value:
    """Partial y * x**(y - 1), which is 0 for the power 0 at any base."""
    if isinstance(y, int | float):
        return mul(y, pow(x, y - 1)) if y else mul(x, 0.0)
    return where(equal(y, 0), 0.0, mul(y, pow(x, sub(y, 1))))


def _pow_exponent(out: Value, x: Value) -> Value:
    """Partial x**y * log(x), which is 0 at the base 0."""
    zero = equal(x, 0)
    return where(zero, 0.0, mul(out, log(where(zero, 1.0, x))))


def _normal_density(x: Value) -> Value:
    return mul(exp(mul(mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))


class _Where(Elementwise):
    """The choice: linear in both branches together, so a branch not taken has gradient zero."""

    def vjp(
        self, g: Value, out: Value, inputs: list[Value], attrs: Attrs, wanted: list[bool]
    ) -> list[Value]:
        """Send the cotangent to the branch that was taken."""
        condition = inputs[0]
        return [
            None,
            apply(self, condition, g, 0.0) if wanted[1] else None,
            apply(self, condition, 0.0, g) if wanted[2] else None,
        ]

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Take the tangent of the branch that was taken."""
        if tangents[1] is None and tangents[2] is None:
            return None
        return apply(self, inputs[0], *(0.0 if t is None else t for t in tangents[1:]))


def _infer_where(condition: Tensor, x: Tensor, y: Tensor) -> tuple[Shape, Any]:
    return broadcast_shapes(condition.shape, x.shape, y.shape), dtype_of(x, y)


def _where(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)[()]


where = _Where("where", _where, [None, None, None], infer=_infer_where).looped(
    Map("{1} if {0} else {2}", own=(0,))
)


def _cast(x: Any, dtype: Any) -> Array:
    return np.asarray(x).astype(dtype)[()]


cast = Multilinear(
    "cast",
    _cast,
    lambda x, dtype: (x.shape, dtype),
    [lambda g, x, dtype: cast(g, dtype=dtype_of(x))],
).looped(Map("{}", own=(0,)))
identity = Multilinear(
    "identity", np.positive, lambda x: (x.shape, x.dtype), [lambda g, x: g]
).looped(Element(order=True))

# How they are written.
# fmt: off
add.written(between("the sum of {0} and {1}", "+", "+", SUM, joins=True, neutral=0.0,
                    repeated="mul"))
sub.written(between("{0} minus {1}", "−", "-", SUM, tight=(1,), neutral=0.0))
mul.written(Notation("the product of {0} and {1}", Form("{0}·{1}", PRODUCT),
                     Form(r"{0} \cdot {1}", PRODUCT), joins=True, neutral=1.0, repeated="pow",
                     arrays=(Form("{0} ⊙ {1}", PRODUCT), Form(r"{0} \odot {1}", PRODUCT))))
div.written(Notation("{0} divided by {1}", Form("{0}/{1}", PRODUCT, tight=(1,)),
                     Form(r"\frac{{0}}{{1}}", POWER, open=(0, 1)), neutral=1.0))
pow.written(Notation("{0} to the power {1}", Form("{0}^{1}", POWER, tight=(0, 1)),
                     Form("{{0}}^{{1}}", POWER, tight=(0,), open=(1,))))
neg.written(Notation("minus {0}", Form("−{0}", SIGN, tight=(0,)), Form("-{0}", SIGN, tight=(0,))))
maximum.written(Notation("the larger of {0} and {1}", Form("max({0}, {1})"),
                         Form(r"\max\left({0}, {1}\right)")))
minimum.written(Notation("the smaller of {0} and {1}", Form("min({0}, {1})"),
                         Form(r"\min\left({0}, {1}\right)")))
abs.written(Notation("the absolute value of {0}", Form("|{0}|"), Form(r"\left|{0}\right|")))
exp.written(function("the exponential", "exp", r"\exp"))
expm1.written(Notation("the exponential of {0}, minus 1", Form("(exp({0}) − 1)"),
                       Form(r"\left(\exp\left({0}\right) - 1\right)")))
log.written(function("the natural logarithm", "log", r"\log"))
log1p.written(Notation("the natural logarithm of 1 plus {0}", Form("log(1 + {0})"),
                       Form(r"\log\left(1 + {0}\right)")))
sqrt.written(Notation("the square root of {0}", Form("√({0})"), Form(r"\sqrt{{0}}")))
sin.written(function("the sine", "sin", r"\sin"))
cos.written(function("the cosine", "cos", r"\cos"))
tanh.written(function("the hyperbolic tangent", "tanh", r"\tanh"))
sigmoid.written(replace(function("the logistic function", "σ", r"\sigma"),
                        mirrored=lambda out: sub(1.0, out)))
softplus.written(function("the softplus", "softplus"))
silu.written(function("the SiLU", "silu"))
ndtr.written(function("the normal distribution function", "Φ", r"\Phi"))
less.written(bracket("whether {0} is less than {1}", "{0} < {1}", "{0} < {1}"))
less_equal.written(bracket("whether {0} is at most {1}", "{0} ≤ {1}", r"{0} \le {1}"))
equal.written(bracket("whether {0} equals {1}", "{0} = {1}", "{0} = {1}"))
not_equal.written(bracket("whether {0} differs from {1}", "{0} ≠ {1}", r"{0} \ne {1}"))
logical_and.written(bracket("whether {0} and {1}", "{0} and {1}", r"{0} \wedge {1}"))
logical_or.written(bracket("whether {0} or {1}", "{0} or {1}", r"{0} \vee {1}"))
logical_not.written(bracket("whether not {0}", "not {0}", r"\neg {0}"))
is_finite.written(function("whether finite, 1 or 0,", "finite"))
sign.written(function("the sign", "sign"))
floor.written(Notation("{0} rounded down", Form("⌊{0}⌋"),
                       Form(r"\left\lfloor {0} \right\rfloor")))
stop_gradient.written(silent("{0}, taken as a constant", elements="same"))
where.written(Notation("{1} where {0}, else {2}", Form("({1} if {0} else {2})"),
                       Form(r"\begin{cases} {1} & {0} \\ {2} & \text{else} \end{cases}"),
                       elements="choice"))
cast.written(silent("{0}", elements="same"))
identity.written(silent("{0}", elements="same"))
# fmt: on


def _cast_in_numpy(call: Call) -> str:
    same = call.dtypes[0] == call.attrs["dtype"] and not call.weak[0]
    return (
        call.inputs[0]
        if same
        else f"np.asarray({call.inputs[0]}, {call.text(call.attrs['dtype'])})"
    )


in_numpy(cast, _cast_in_numpy)
in_numpy(identity, "{0}")
in_numpy(stop_gradient, "{0}")
in_numpy(where, "np.where({0}, {1}, {2})")
in_numpy(pow, "{0} ** {1}")
call_in_numpy(sigmoid, helpers.sigmoid)
call_in_numpy(silu, helpers.silu)
call_in_numpy(softplus, helpers.softplus)
call_in_numpy(ndtr, helpers.ndtr)
in_jax(ndtr, f"jax.lax.erfc({{0}} * {-math.sqrt(0.5)}) / 2")


# In ONNX.


def _expm1_in_onnx(use: Use) -> str:
    return use.node("Sub", use.node("Exp", use.aligned()[0]), use.constant(1, use.dtype))


def _log1p_in_onnx(use: Use) -> str:
    return use.node("Log", use.node("Add", use.aligned()[0], use.constant(1, use.dtype)))


def _softplus_in_onnx(use: Use) -> str:
    (x,) = use.aligned()
    if use.dtype == np.float32:
        return use.node("Softplus", x)
    e = use.node("Exp", use.node("Neg", use.node("Abs", x)))
    low = use.node("Log", use.node("Add", e, use.constant(1, use.dtype)))
    return use.node("Add", use.node("Max", x, use.constant(0, use.dtype)), low)


def _silu_in_onnx(use: Use) -> str:
    (x,) = use.aligned()
    return use.node("Mul", x, use.node("Sigmoid", x))


def _ndtr_in_onnx(use: Use) -> str:
    def both(inputs: list[str]) -> str:
        half, one = use.constant(0.5, np.float32), use.constant(1, np.float32)
        z = use.node("Mul", inputs[0], use.constant(math.sqrt(0.5), np.float32))
        return use.node("Mul", use.node("Add", use.node("Erf", z), one), half)

    return in_float32(use, both)


def _truth_in_onnx(kind: str) -> Any:
    def fact(use: Use) -> str:
        return use.node(kind, *[use.input(k, np.bool_) for k in range(use.count)])

    return fact


def _where_in_onnx(use: Use) -> str:
    branches = [use.input(k, use.dtype) for k in (1, 2)]
    return use.node("Where", use.input(0, np.bool_), *branches)


def _is_finite_in_onnx(use: Use) -> str:
    if use.input_dtype(0).kind != "f":
        return use.node("Equal", *[use.input(0)] * 2)
    lost = [use.node(kind, use.input(0)) for kind in ("IsNaN", "IsInf")]
    return use.node("Not", use.node("Or", *lost))


# fmt: off
for _op, _kind in ((add, "Add"), (sub, "Sub"), (mul, "Mul"), (div, "Div"), (pow, "Pow"),
                   (neg, "Neg"), (maximum, "Max"), (minimum, "Min"), (abs, "Abs"), (exp, "Exp"),
                   (log, "Log"), (sqrt, "Sqrt"), (sin, "Sin"), (cos, "Cos"), (tanh, "Tanh"),
                   (sigmoid, "Sigmoid"), (less, "Less"), (less_equal, "LessOrEqual"),
                   (equal, "Equal"), (sign, "Sign"), (floor, "Floor"), (identity, "Identity"),
                   (stop_gradient, "Identity")):
    in_onnx(_op, _kind)
# fmt: on
in_onnx(expm1, _expm1_in_onnx)
in_onnx(log1p, _log1p_in_onnx)
in_onnx(softplus, _softplus_in_onnx)
in_onnx(silu, _silu_in_onnx)
in_onnx(ndtr, _ndtr_in_onnx)
in_onnx(not_equal, lambda use: use.node("Not", use.node("Equal", *use.aligned())))
in_onnx(logical_and, _truth_in_onnx("And"))
in_onnx(logical_or, _truth_in_onnx("Or"))
in_onnx(logical_not, _truth_in_onnx("Not"))
in_onnx(is_finite, _is_finite_in_onnx)
in_onnx(where, _where_in_onnx)
in_onnx(cast, lambda use: use.input(0, use.dtype))


def square(x: Value) -> Value:
    """Square of every element.

    >>> square(3.0)
    9.0
    """
    return x * x


def clip(x: Value, low: float, high: float) -> Value:
    """Limit every element to [low, high]; the gradient is 1 inside and at the limits.

    >>> clip(np.array([-2.0, 0.5, 2.0]), -1, 1)
    array([-1. ,  0.5,  1. ])
    """
    return minimum(maximum(x, low), high)
