"""Functions of one element, as compiled code calls them: here with their meaning in NumPy.

Compiled by Numba, the same names mean what `vector.py` writes for them; it is imported only where
Numba is used.

>>> sqrt(np.float32(4.0)), maximum(np.float64(1.0), np.float64("nan"))
(np.float32(2.0), np.float64(nan))
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.graph import Op


def _plain(name: str, op: Op) -> Callable[..., Any]:
    """Give a function of this module, to which Numba can attach a meaning."""

    def function(*inputs: Any) -> Any:
        return op.run(*inputs)[()]

    function.__name__ = function.__qualname__ = name
    return function


# fmt: off
exp       = _plain("exp",       ops.exp)
expm1     = _plain("expm1",     ops.expm1)
log       = _plain("log",       ops.log)
log1p     = _plain("log1p",     ops.log1p)
sqrt      = _plain("sqrt",      ops.sqrt)
sin       = _plain("sin",       ops.sin)
cos       = _plain("cos",       ops.cos)
tanh      = _plain("tanh",      ops.tanh)
sigmoid   = _plain("sigmoid",   ops.sigmoid)
softplus  = _plain("softplus",  ops.softplus)
silu      = _plain("silu",      ops.silu)
ndtr      = _plain("ndtr",      ops.ndtr)
power     = _plain("power",     ops.pow)
absolute  = _plain("absolute",  ops.abs)
sign      = _plain("sign",      ops.sign)
floor     = _plain("floor",     ops.floor)
maximum   = _plain("maximum",   ops.maximum)
minimum   = _plain("minimum",   ops.minimum)
is_finite = _plain("is_finite", ops.is_finite)
plus      = _plain("plus",      ops.add)
# fmt: on


def uniform(key: Any, position: Any) -> Any:
    """Give the number of `ops.uniform` at a position, which counts from 0."""
    with np.errstate(over="ignore"):
        return hash_bits(np.uint64(key), np.uint64(position)) * 2.0**-53


def hash_bits(key: Any, position: Any) -> Any:
    """Give 53 bits that look random (SplitMix64: Steele et al., 2014), in arithmetic of 64 bits."""
    z = (position + 1) * 0x9E3779B97F4A7C15 + key * 0xD1342543DE82EF95
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> shift)) * factor
    return (z ^ (z >> 31)) >> 11
