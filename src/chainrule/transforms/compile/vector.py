"""What Numba writes for the functions of `maths.py`: arithmetic without branches or calls.

LLVM computes several elements of such a loop at once, which it cannot where a function of the C
library is called. A formula is written once for float32 and float64. Errors are 2 units in the
last place at most over the whole range, denormal numbers included (of float32 `sigmoid` 2.2 and
`silu` 2.5, `ndtr` of float64: 4). Only the sine, the cosine and the power of float64 are left to
the C library.

The least Numba is 0.62: the LLVM of earlier ones ends the process at `maximum`.

>>> import numba
>>> round(numba.njit(lambda x: maths.tanh(x))(0.5), 8)
0.46211716
"""

import math
from collections.abc import Callable
from typing import Any

from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin

from chainrule.ops import normal
from chainrule.transforms.compile import maths
from chainrule.transforms.compile.number import DOUBLE, FLOAT, Number

_PARTS = 7
_TWO_OVER_PI = 0x517CC1B727220A94FE13ABE8FA9A6EE06DB14ACC9E21C820FF3
"""2 / pi * 2**203: 7 parts of 29 bits, enough for any float32."""


def _reduce(x: Number, low: Number | None = None) -> tuple[Number, Number, Number]:
    """Give n + magic, exact h and small c with exp(x + low) = 2**n * (1 + h + c)."""
    f = x.format
    t = x * (1 / math.log(2)) + f.magic
    n = t - f.magic
    h = x - n * f.ln2_upper
    rest = -n * f.ln2_lower if low is None else low - n * f.ln2_lower
    r = h + rest
    return t, h, rest + r * r * r.polynomial(f.exp)


def _exp_parts(x: Number, low: Number | None = None) -> tuple[Number, Number, Number]:
    """Give p, a, b with exp(x + low) = (1 + p) * a * b, where a and b are powers of two.

    A result that is denormal is rounded once, by the last product. NaN makes p NaN.
    """
    f = x.format
    t, h, c = _reduce(x, low)
    both = t.bits() - (f.magic_bits - 2 * f.bias)
    a = both >> 1
    b = both - a
    return h + c, (a << f.mantissa).from_bits(), (b << f.mantissa).from_bits()


def _falling_parts(x: Number) -> tuple[Number, Number, float]:
    """Give p, a, b with exp(x) = (1 + p) * a * b for x up to 0, where b is the same for every x.

    So it takes fewer instructions than `_exp_parts`, which is a little nearer to the exact result.
    """
    f = x.format
    x = _at_least(x, -_limit(x))
    t = x * (1 / math.log(2)) + f.magic
    n = t - f.magic
    r = x - n * f.ln2_upper - n * f.ln2_lower
    half = f.bias // 2
    a = (t.bits() - (f.magic_bits - f.bias - half)) << f.mantissa
    return r * r * r.polynomial(f.exp) + r, a.from_bits(), 2.0**-half


def _at_least(x: Number, limit: float) -> Number:
    return (x < limit).where(limit, x)  # NaN stays


def _at_most(x: Number, limit: float) -> Number:
    return (x > limit).where(limit, x)


def _exp(x: Number) -> Number:
    f = x.format
    p, a, b = _exp_parts(_at_most(_at_least(x, f.exp_low), f.exp_high))
    return (1 + p) * a * b


def _expm1(x: Number) -> Number:
    """Compute 2**n - 1 + 2**n * (h + c) by halves, because 2**n itself can be inf."""
    f = x.format
    t, h, c = _reduce(_at_most(_at_least(x, -2.0 * f.mantissa), f.exp_high))
    u = ((t.bits() - (f.magic_bits - f.bias + 1)) << f.mantissa).from_bits()
    return (abs(x) < f.eps / 4).where(x, 2 * ((u * h + (u - 0.5)) + u * c))


def _log_near(y: Number, low: Number) -> Number:
    """Compute log(1 + y) + low, for 1 + y between the roots of 1/2 and 2.

    With s = y / (2 + y) it is 2 * atanh(s), written so that y itself is not rounded.
    """
    s = y / (2 + y)
    z = s * s
    half = 0.5 * y * y
    return y - (half - (s * (half + z * z.polynomial(y.format.atanh)) + low))


def _exponent(x: Number) -> tuple[Number, Number, Number]:
    """Give k biased in bits and as a number, and m, with x = m * 2**k and m as in `_log_near`."""
    f = x.format
    shifted = x.bits() + (f.one - f.root_half)
    biased = shifted >> f.mantissa
    k = (biased + f.magic_bits).from_bits() - (f.magic + f.bias)
    m = ((shifted & ((1 << f.mantissa) - 1)) + f.root_half).from_bits()
    return biased, k, m


def _of_positive(x: Number, limit: float, result: Number) -> Number:
    """Choose the result between the limit and inf, -inf at it, NaN below, inf and NaN as given."""
    edge = x.equals(limit).where(x.same(-math.inf), x.same(math.nan))
    return (x < math.inf).where((x > limit).where(result, edge), x)


def _log(x: Number) -> Number:
    f = x.format
    tiny = x < f.least
    _, k, m = _exponent(tiny.where(x * 2.0**f.mantissa, x))
    k = k - tiny.where(x.same(f.mantissa), 0.0)
    return _of_positive(x, 0.0, k * f.ln2_upper + _log_near(m - 1, k * f.ln2_lower))


def _log1p(x: Number) -> Number:
    """Compute log(2**k * (1 + y)) with y rounded once; 2**-k may be denormal, 4 * 2**-k is not."""
    f = x.format
    biased, k, _ = _exponent(1 + x)
    quadruple = (2 * f.bias + 2 - biased << f.mantissa).from_bits()
    y = (0.25 * x) * quadruple + (0.25 * quadruple - 1)
    result = k * f.ln2_upper + _log_near(y, k * f.ln2_lower)
    return (abs(x) < f.eps / 4).where(x, _of_positive(x, -1.0, result))


def _tanh(x: Number) -> Number:
    """Compute t / (t + 2) with t = expm1(2 |x|); below 1/2, what has to be added to |x| for it.

    With w = t - 2 |x| that is (w - |x| t) / (t + 2), and both share one division.
    """
    f = x.format
    a = _at_most(abs(x), 0.5 * f.mantissa)
    t, h, c = _reduce(2 * a)
    two_n = ((t.bits() - (f.magic_bits - f.bias)) << f.mantissa).from_bits()
    rise = two_n - 1
    w = (rise * h + (rise - (t - f.magic) * f.ln2_upper)) + two_n * c
    t = 2 * a + w
    near = a < 0.5
    quotient = near.where(w - a * t, t) / (t + 2)
    return near.where(a + quotient, quotient).call("llvm.copysign", x)


def _logistic(x: Number, above: Number, below: Number) -> Number:
    """Compute above / (1 + exp(-x)), and for x below 0 below * exp(x) / (1 + exp(x)).

    For x and -x the compiler sees that the exponential is the same, where a slope asks for both.
    """
    p, a, b = _falling_parts(-abs(x))
    negative = x < 0.0
    small = (1 + p) * a
    e = small * b
    top = negative.where(below * small, above)
    return top / (1 + e) * negative.where(x.same(b), 1.0)


def _sigmoid(x: Number) -> Number:
    return _logistic(x, x.same(1.0), x.same(1.0))


def _silu(x: Number) -> Number:
    return _logistic(x, x, _at_least(x, -_limit(x)))


def _limit(x: Number) -> float:
    """Give |x| up to which powers of two are made from its exponent; x * exp(x) is 0 below -|x|."""
    return -1.1 * x.format.exp_low


def _softplus(x: Number) -> Number:
    """Compute max(x, 0) + log1p(e) with e = exp(-|x|), halving 1 + e where it is large."""
    f = x.format
    p, a, b = _falling_parts(-abs(x))
    e = (1 + p) * a * b
    large = e > math.sqrt(2) - 1
    y = large.where(0.5 * e - 0.5, e)
    k = large.where(x.same(1.0), 0.0)
    log = k * f.ln2_upper + _log_near(y, k * f.ln2_lower)
    return (x > 0.0).where(x, 0.0) + log


def _in_double(formula: Callable[..., Number]) -> Callable[..., Number]:
    def narrow(*inputs: Number) -> Number:
        return formula(*(x.to(DOUBLE) for x in inputs)).to(inputs[0].type)

    return narrow


def _ndtr(x: Number) -> Number:
    """Write `normal.normal_cdf`; all three quotients share one division."""
    a = _at_most(abs(x), 40.0)
    w = a * a
    near, far = a < normal._NEAR, a > normal._MIDDLE
    top, bottom = a.polynomial(normal._MIDDLE_P[::-1]), a.polynomial(normal._MIDDLE_Q[::-1])
    # With both multiplied by w**5, polynomials of 1 / w become polynomials of w.
    far_top, far_bottom = w.polynomial(normal._FAR_P), w * w.polynomial(normal._FAR_Q)
    top = far.where(far_bottom * (1 / math.sqrt(2 * math.pi)) - far_top, top)
    bottom = far.where(far_bottom * a, bottom)
    top = near.where(x * w.polynomial(normal._NEAR_P[::-1]), top)
    bottom = near.where(w.polynomial(normal._NEAR_Q[::-1]), bottom)
    ratio = top / bottom
    short = (a.bits() & -(1 << 27)).from_bits()  # its square is exact
    p, u, v = _exp_parts(-0.5 * short * short, -0.5 * (a - short) * (a + short))
    upper = ratio * (1 + p) * u * v
    return near.where(0.5 + ratio, (x > 0.0).where(1 - upper, upper))


def _power(x: Number, y: Number) -> Number:
    """Compute |x|**y in float64, then give it the sign; float64 itself is left to the C library.

    A square is a product, which also leaves nothing else where y is known to be 2.
    """
    general = x.call("llvm.pow", y) if x.type == DOUBLE else _in_double(_power_parts)(x, y)
    return y.equals(2.0).where(x * x, general)


def _power_parts(x: Number, y: Number) -> Number:
    whole, even = _is_whole(y), _is_whole(0.5 * y)
    size = _exp(y * _log(abs(x)))
    signed = (whole & ~even).where(size.call("llvm.copysign", x), size)
    undefined = (x < 0.0) & (x > -math.inf) & ~whole
    one = x.equals(1.0) | y.equals(0.0) | (x.equals(-1.0) & abs(y).equals(math.inf))
    return one.where(1.0, undefined.where(math.nan, signed))


def _is_whole(x: Number) -> Number:
    return x.equals(_floor(x))


def _circular(shift: int) -> Callable[[Number], Number]:
    """Give the sine, and the cosine for a shift of 1 quarter of a turn."""
    name = "llvm.cos" if shift else "llvm.sin"

    def formula(x: Number) -> Number:
        if x.type == DOUBLE:
            return x.call(name)
        result = _turn(x.to(DOUBLE), shift).to(FLOAT)
        return result if shift else (abs(x) < math.sqrt(x.format.eps) / 2).where(x, result)

    return formula


def _turn(x: Number, shift: int) -> Number:
    """Compute the sine of a float32, in float64: the products with parts of 2 / pi are exact.

    Full turns (4 quarters) leave each product without an error, however large it is. The small
    parts come first, so that one sum alone is rounded: x can be very near to a zero of the sine.
    """
    quarters = x.same(0.0)
    for k in range(_PARTS):
        part = x * math.ldexp((_TWO_OVER_PI >> 29 * k) & (2**29 - 1), 29 * (k - _PARTS))
        quarters = quarters + (part - 4 * (0.25 * part).call("llvm.rint"))
    t = quarters + x.format.magic
    r = (quarters - (t - x.format.magic)) * (math.pi / 2)
    turned = t.bits() + shift
    s = r * r
    sine = r * s.polynomial([(-1) ** k / math.factorial(2 * k + 1) for k in range(6)])
    cosine = s.polynomial([(-1) ** k / math.factorial(2 * k) for k in range(6)])
    size = (turned & 1).equals(1).where(cosine, sine)
    return (turned & 2).equals(2).where(-size, size)


def _sign(x: Number) -> Number:
    result = (x > 0).where(1, _absolute(x))  # 0 for -0, and NaN
    return (x < 0).where(-1, result) if x.signed else result


def _absolute(x: Number) -> Number:
    if x.is_float:
        return abs(x)
    return (x < 0).where(0 - x, x) if x.signed else x


def _floor(x: Number) -> Number:
    return x.call("llvm.floor") if x.is_float else x


def _sqrt(x: Number) -> Number:
    return x.call("llvm.sqrt")


def _maximum(x: Number, y: Number) -> Number:
    """Write LLVM's own operation: it passes NaN on, and the maximum of a vector is one too."""
    return x.call("llvm.maximum", y) if x.is_float else (x > y).where(x, y)


def _minimum(x: Number, y: Number) -> Number:
    return x.call("llvm.minimum", y) if x.is_float else (x < y).where(x, y)


def _is_finite(x: Number) -> Number:
    return abs(x) < math.inf if x.is_float else x.equals(x)


def _plus(total: Number, x: Number) -> Number:
    """Add in any order: the one sum that LLVM may take apart."""
    return total.write("add", x, "reassoc")


def _uniform(key: Number, position: Number) -> Number:
    bits = maths.hash_bits(key, position)
    return Number(bits.builder, bits.builder.sitofp(bits.ir, DOUBLE)) * 2.0**-53


# fmt: off
_OF_FLOATS: dict[Callable[..., Any], Callable[..., Number]] = {
    maths.exp:      _exp,
    maths.expm1:    _expm1,
    maths.log:      _log,
    maths.log1p:    _log1p,
    maths.sqrt:     _sqrt,
    maths.sin:      _circular(0),
    maths.cos:      _circular(1),
    maths.tanh:     _tanh,
    maths.sigmoid:  _sigmoid,
    maths.softplus: _softplus,
    maths.silu:     _silu,
    maths.ndtr:     _in_double(_ndtr),
    maths.power:    _power,
}
_OF_NUMBERS: dict[Callable[..., Any], Callable[..., Number]] = {
    maths.absolute: _absolute,
    maths.sign:     _sign,
    maths.floor:    _floor,
    maths.maximum:  _maximum,
    maths.minimum:  _minimum,
}
# fmt: on


def _attach(
    plain: Callable[..., Any], formula: Callable[..., Number], typed: Callable[..., Any]
) -> None:
    """Give Numba the formula of a plain function; `typed` gives the signature for input types."""

    # Numba's way without a function of its own, so that there is nothing to compile or to inline.
    @infer_global(plain)  # type: ignore[no-untyped-call]
    class Template(AbstractTemplate):
        def generic(self, inputs: Any, _: Any) -> Any:
            return typed(self.context, inputs)

    @lower_builtin(plain, types.VarArg(types.Any))  # type: ignore[no-untyped-call]
    def lower(context: Any, builder: Any, sig: Any, inputs: Any) -> Any:
        signed = getattr(sig.args[0], "signed", sig.args[0] != types.boolean)
        return formula(*(Number(builder, x, signed) for x in inputs)).ir


def _alike(*kinds: Any, result: Any = None) -> Callable[..., Any]:
    """Take inputs as their common type, if it is of one of the kinds; the result has it too."""

    def typed(context: Any, inputs: Any) -> Any:
        common = context.unify_types(*inputs)
        return (result or common)(*[common] * len(inputs)) if isinstance(common, kinds) else None

    return typed


_NUMBERS = (types.Float, types.Integer, types.Boolean)

for _plain, _formula in _OF_FLOATS.items():
    _attach(_plain, _formula, _alike(types.Float))
for _plain, _formula in _OF_NUMBERS.items():
    _attach(_plain, _formula, _alike(*_NUMBERS))
_attach(maths.plus, _plus, _alike(types.Float, types.Integer))
_attach(maths.is_finite, _is_finite, _alike(*_NUMBERS, result=types.boolean))
_attach(maths.uniform, _uniform, lambda *_: types.float64(types.uint64, types.int64))
