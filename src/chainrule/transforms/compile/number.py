"""Numbers of code that is being written: arithmetic on them in Python writes LLVM instructions.

Literals take the type of the number they meet. Products and sums may be fused (LLVM's flag
"contract"), and nothing else may be changed. There are no branches, so that LLVM can compute
several elements of a loop at once.

>>> module = ir.Module()
>>> function = ir.Function(module, ir.FunctionType(FLOAT, [FLOAT]), "twice_and_one")
>>> builder = ir.IRBuilder(function.append_basic_block())
>>> result = 2 * Number(builder, function.args[0]) + 1
>>> print(result.ir)
%".5" = fadd contract float %".4", 0x3ff0000000000000
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Union

import numpy as np
from llvmlite import ir
from numpy.polynomial import Chebyshev, Polynomial

FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
Value = Union["Number", float]


class Number:
    """A scalar of the code that is being written."""

    __slots__ = ("builder", "ir", "signed")

    def __init__(self, builder: Any, value: Any, signed: bool = True) -> None:
        self.builder, self.ir, self.signed = builder, value, signed

    @property
    def type(self) -> Any:
        """LLVM's type."""
        return self.ir.type

    @property
    def is_float(self) -> bool:
        """Whether this is no whole number and no truth value."""
        return self.type in FORMATS

    @property
    def format(self) -> "Format":
        """Facts of the type of a float."""
        return FORMATS[self.type]

    def same(self, other: Value) -> "Number":
        """Give a literal the type of this number."""
        if isinstance(other, Number):
            return other
        if self.is_float:
            other = float(self.format.dtype(other))
        return self._new(ir.Constant(self.type, other))

    def _new(self, value: Any) -> "Number":
        return Number(self.builder, value, self.signed)

    def write(self, name: str, other: Value, *flags: str) -> "Number":
        """Write an instruction of two operands, known by its name for whole numbers."""
        x, y = self.ir, self.same(other).ir
        if self.is_float:
            return self._new(getattr(self.builder, "f" + name)(x, y, flags=("contract", *flags)))
        return self._new(getattr(self.builder, name)(x, y))

    # fmt: off
    def __add__(self, other: Value) -> "Number": return self.write("add", other)
    def __sub__(self, other: Value) -> "Number": return self.write("sub", other)
    def __mul__(self, other: Value) -> "Number": return self.write("mul", other)
    def __truediv__(self, other: Value) -> "Number": return self.write("div", other)
    def __radd__(self, other: float) -> "Number": return self.same(other) + self
    def __rsub__(self, other: float) -> "Number": return self.same(other) - self
    def __rmul__(self, other: float) -> "Number": return self.same(other) * self
    def __and__(self, other: Value) -> "Number": return self.write("and_", other)
    def __or__(self, other: Value) -> "Number": return self.write("or_", other)
    def __xor__(self, other: Value) -> "Number": return self.write("xor", other)
    def __lshift__(self, other: int) -> "Number": return self.write("shl", other)
    def __rshift__(self, other: int) -> "Number": return self.write("lshr", other)  # without sign
    def __lt__(self, other: Value) -> "Number": return self._compare("<", other)
    def __gt__(self, other: Value) -> "Number": return self._compare(">", other)
    def __abs__(self) -> "Number": return self.call("llvm.fabs")
    # fmt: on

    def __neg__(self) -> "Number":
        return self._new(self.builder.fneg(self.ir))

    def __invert__(self) -> "Number":
        return self._new(self.builder.not_(self.ir))

    def equals(self, other: Value) -> "Number":
        """Truth value of ==, which Python keeps for itself."""
        return self._compare("==", other)

    def _compare(self, sign: str, other: Value) -> "Number":
        """Truth value, false where a number is NaN."""
        kind = (
            "fcmp_ordered" if self.is_float else "icmp_signed" if self.signed else "icmp_unsigned"
        )
        return self._new(getattr(self.builder, kind)(sign, self.ir, self.same(other).ir))

    def where(self, yes: Value, no: Value) -> "Number":
        """Choose by this truth value between two that are both computed."""
        known = yes if isinstance(yes, Number) else no
        assert isinstance(known, Number)
        a, b = known.same(yes), known.same(no)
        return known._new(self.builder.select(self.ir, a.ir, b.ir))

    def call(self, name: str, *others: Value) -> "Number":
        """Call one of LLVM's own functions, with numbers of one type."""
        inputs = [self.ir, *(self.same(y).ir for y in others)]
        kind = ir.FunctionType(self.type, [self.type] * len(inputs))
        function = self.builder.module.declare_intrinsic(name, [self.type], kind)
        return self._new(self.builder.call(function, inputs))

    def bits(self) -> "Number":
        """Bits of a float, as a whole number."""
        return self._new(self.builder.bitcast(self.ir, self.format.whole))

    def from_bits(self) -> "Number":
        """Float that has the bits of this whole number."""
        to = FLOAT if self.type.width == 32 else DOUBLE
        return self._new(self.builder.bitcast(self.ir, to))

    def to(self, wanted: Any) -> "Number":
        """Float of another width."""
        if self.type == wanted:
            return self
        convert = self.builder.fpext if wanted == DOUBLE else self.builder.fptrunc
        return self._new(convert(self.ir, wanted))

    def polynomial(self, coefficients: Sequence[float]) -> "Number":
        """Sum of coefficients[k] * x**k."""
        result = self.same(coefficients[-1])
        for c in coefficients[-2::-1]:
            result = result * self + c
        return result


class Format:
    """A type of floats: its bits, and what formulas need in order to fill its digits."""

    def __init__(self, dtype: Any, degrees: tuple[int, int]) -> None:
        info = np.finfo(dtype)
        self.dtype = dtype
        self.whole = ir.IntType(info.bits)
        self.mantissa = info.nmant
        self.bias = info.maxexp - 1
        self.least = float(info.smallest_normal)
        self.eps = float(info.eps)
        self.one = self.bias << self.mantissa
        self.root_half = int(np.sqrt(dtype(0.5)).view(f"i{info.bits // 8}"))
        # Added to a number, it rounds it to a whole one, which then stands in the last bits.
        self.magic = 1.5 * 2.0**self.mantissa
        self.magic_bits = int(dtype(self.magic).view(f"i{info.bits // 8}"))
        # The upper part is short: its product with an exponent is exact.
        short = 2.0 ** (self.mantissa - info.nexp - 3)
        self.ln2_upper = math.floor(math.log(2) * short) / short
        self.ln2_lower = float(Decimal(2).ln() - Decimal(self.ln2_upper))
        self.exp_low = (info.minexp - info.nmant - 2) * math.log(2)  # below, exp gives 0
        self.exp_high = (info.maxexp + 0.25) * math.log(2)  # above, exp gives inf
        # (exp(x) - 1 - x) / x**2, and (atanh(s) * 2 - 2 * s) / s**3 as a function of s**2.
        half = math.log(2) / 2 + 1e-4
        self.exp = _shorten([1 / math.factorial(k + 2) for k in range(20)], degrees[0], -half, half)
        self.atanh = _shorten([2 / (2 * k + 3) for k in range(20)], degrees[1], 0, 0.02945)


def _shorten(series: Sequence[float], degree: int, low: float, high: float) -> list[float]:
    """Coefficients of a polynomial without what its Chebyshev series in a range has above a degree.

    That is little: subtracted, it leaves the first coefficients all their digits.
    """
    whole = Polynomial(series)
    rest = whole.convert(kind=Chebyshev, domain=[low, high])
    rest.coef[: degree + 1] = 0
    short = whole - rest.convert(kind=Polynomial)
    return [float(c) for c in short.coef[: degree + 1]]


FORMATS = {FLOAT: Format(np.float32, (4, 2)), DOUBLE: Format(np.float64, (9, 6))}
