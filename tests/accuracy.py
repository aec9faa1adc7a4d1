"""Errors in units in the last place, against arithmetic of many digits."""

import mpmath
import numpy as np

DIGITS = mpmath.workprec(1300)  # enough for 1 + exp(-700)


def worst_ulp(values, exact):
    """Largest |value - exact| in units in the last place of the exact number."""
    exact = list(exact)
    units = np.spacing(np.maximum(np.abs([float(e) for e in exact]), 2.0**-1022))
    distances = [abs(mpmath.mpf(float(v)) - e) for v, e in zip(values, exact, strict=True)]
    return max(float(d) / unit for d, unit in zip(distances, units, strict=True))


def exactly(function, points):
    """The function at each point, as a number of many digits."""
    return [function(mpmath.mpf(float(x))) for x in points]
