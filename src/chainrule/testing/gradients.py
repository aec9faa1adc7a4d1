"""Gradients against central differences, in float64.

>>> from chainrule import ops
>>> check_gradient(lambda x: ops.sum(ops.exp(x)), np.array([0.0, 1.0])) < 1e-6
True
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ConfigError, GraphError
from chainrule.graph import Array, value_of
from chainrule.transforms.reverse import vjp
from chainrule.tree import flatten, rebuild

STEP = 1e-6
TOLERANCE = 1e-6
_SMALLEST = 1e-8  # relative errors are of numbers at least this large
_ROUNDING = 64 * float(np.finfo(np.float64).eps)  # of an evaluation of a function, at most


class CheckError(GraphError, AssertionError):
    """A check found a disagreement."""


def check_gradient(
    f: Callable[..., Any], *inputs: Any, h: float = STEP, tolerance: float = TOLERANCE
) -> float:
    """Compare the gradients of f by every floating-point array with central differences.

    The error is |a - n| / max(|a|, |n|, floor), a being the gradient and n the difference. The
    floor is 1e-8, or so much that what rounding does to the difference stays below `tolerance`.
    Inputs are taken in float64; whole numbers, booleans and Python's floats are held fixed. An
    output of several elements is summed with fixed random weights. Choose points away from kinks,
    such as 0 for `abs`.

    Returns
    -------
    float
        The largest error. Above `tolerance` it raises `CheckError` with the input, the index and
        both numbers.
    """
    full = as_double(inputs)
    chosen = differentiable(full)
    if not chosen:
        raise ConfigError("check_gradient needs at least one array of floating-point numbers")

    def partial(*arrays: Any) -> Any:
        return f(*replaced(full, chosen, arrays))

    points = [full[i] for i in chosen]
    output, pull = vjp(partial, *points)
    weights = weights_like(output)
    gradients = pull(rebuild(output, iter(weights)))
    return compare_with_differences(
        lambda arrays: [value_of(y) for y in flatten(partial(*arrays))],
        points,
        gradients,
        weights,
        [f"input {i}" for i in chosen],
        h=h,
        tolerance=tolerance,
    )


def compare_with_differences(
    evaluate: Callable[[list[Array]], list[Array]],
    points: Sequence[Array],
    gradients: Sequence[Array],
    weights: Sequence[Array],
    names: Sequence[str],
    *,
    h: float = STEP,
    tolerance: float = TOLERANCE,
) -> float:
    """Give the largest relative error of gradients of the weighted sum of what `evaluate` gives."""
    worst = 0.0
    for k, (point, gradient, name) in enumerate(zip(points, gradients, names, strict=True)):
        if np.shape(gradient) != point.shape:
            raise CheckError(
                f"gradient of {name} has shape {np.shape(gradient)}, the input {point.shape}"
            )
        for index in np.ndindex(point.shape):
            ends = []
            for sign in (1, -1):
                moved = list(points)
                moved[k] = point.copy()
                moved[k][index] += sign * h
                ends.append(evaluate(moved))
            distance = float((point[index] + h) - (point[index] - h))  # as it was rounded
            slope, noise = difference(ends[0], ends[1], weights, distance)
            a = float(gradient[index])
            error = relative_error(a, slope, noise / tolerance)
            if not error <= tolerance:
                raise CheckError(
                    f"gradient of {name} at index {index}: {a:.8g} by the rule, {slope:.8g} by "
                    f"differences (relative error {error:.2g}, allowed {tolerance:g})"
                )
            worst = max(worst, error)
    return worst


def difference(
    above: Sequence[Array], below: Sequence[Array], weights: Sequence[Array], distance: float
) -> tuple[float, float]:
    """Give the slope of a weighted sum between two points, and how far rounding may move it."""
    total = noise = 0.0
    for a, b, w in zip(above, below, weights, strict=True):
        if np.result_type(a).kind != "f":
            continue
        total += float(np.sum((np.asarray(a) - b) * w))
        size = np.where(np.not_equal(a, b), np.maximum(np.abs(a), np.abs(b)), 0.0)
        noise += float(np.sum(size * np.abs(w)))
    return total / distance, _ROUNDING * noise / distance


def relative_error(a: Any, b: Any, floor: Any = 0.0) -> float:
    """Give the largest |a - b| / max(|a|, |b|, floor), the floor being at least 1e-8."""
    a, b = np.asarray(a), np.asarray(b)
    scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.maximum(floor, _SMALLEST))
    return float(np.max(np.abs(a - b) / scale, initial=0.0))


def as_double(inputs: Sequence[Any]) -> list[Any]:
    """Give the inputs with every array of floats in float64; numbers stay what they are."""
    result = []
    for x in inputs:
        x = value_of(x)
        if isinstance(x, np.ndarray | np.generic | list):
            x = np.asarray(x)
            x = np.array(x, np.float64) if x.dtype.kind == "f" else x
        result.append(x)
    return result


def differentiable(inputs: Sequence[Any]) -> list[int]:
    """Give the positions of the arrays of floating-point numbers."""
    return [i for i, x in enumerate(inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]


def replaced(full: Sequence[Any], chosen: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """Give the inputs with other values at the chosen positions."""
    result = list(full)
    for i, value in zip(chosen, values, strict=True):
        result[i] = value
    return result


def weights_like(output: Any) -> list[Array]:
    """Give fixed random weights for every output: 1 for a single number, else up to 1.5."""
    rng = np.random.default_rng(0)
    weights = []
    for y in flatten(output):
        shape = np.shape(value_of(y))
        signs = rng.choice([-1.0, 1.0], shape)
        weights.append(np.asarray(signs * rng.uniform(0.5, 1.5, shape)) if shape else np.ones(()))
    return weights
