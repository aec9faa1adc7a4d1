"""The examination of ops and of functions made of ops.

>>> from chainrule import ops
>>> check_op(ops.mul, np.array([1.0, 2.0]), np.array([[3.0], [4.0]])) < 1e-6
True
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ConfigError
from chainrule.graph import Array, Tensor, Value, tensor, value_of
from chainrule.testing.gradients import (
    STEP,
    TOLERANCE,
    CheckError,
    as_double,
    check_gradient,
    difference,
    differentiable,
    relative_error,
    replaced,
    weights_like,
)
from chainrule.transforms.forward import jvp
from chainrule.transforms.reverse import grad, vjp
from chainrule.transforms.run import Spec, trace
from chainrule.tree import flatten, rebuild

_TRANSPOSE = 1e-12  # forward and reverse mode make the same products in another order
_LARGE = (1e4, 700.0, 50.0)  # what a network can meet; exp of the second is nearly the largest


def check_op(
    f: Callable[..., Any],
    *inputs: Any,
    rows: Sequence[int] = (),
    second: bool = True,
    tolerance: float = TOLERANCE,
) -> float:
    """Examine an op, or a function of ops, at these inputs.

    * reverse and forward mode agree with central differences to `tolerance`;
    * they are each other's transpose: <g, J t> = <J^T g, t> to 1e-12;
    * with `second`, Hessian times vector agrees with differences of gradients, and forward over
      reverse with reverse over reverse;
    * in float64 and float32 a trace has the shape and dtype that arrays give, and running it
      gives the same bits; with `rows` also where the first axis of these inputs has a name;
    * read-only and oddly strided arrays give the same, and no input is written to.

    Inputs are arrays; whole numbers, booleans and Python's floats are held fixed. An op without
    floating-point inputs or outputs passes the last two parts only. Returns the largest error
    against differences; raises `CheckError` with what disagrees.
    """
    full = as_double(inputs)
    worst = 0.0
    if _has_gradient(f, full):
        worst = max(
            check_gradient(f, *full, tolerance=tolerance), _check_forward(f, full, tolerance)
        )
        _check_transpose(f, full)
        if second:
            worst = max(worst, _check_second(f, full, tolerance))
    for dtype in (np.float64, np.float32):
        cast = [_as_dtype(x, dtype) for x in full]
        _check_traced(f, cast)
        if rows:
            check_named(f, cast, rows)
    _check_memory(f, full)
    return worst


def check_activation(f: Callable[..., Any], x: Any = None, *, infinite: bool = False) -> float:
    """Examine an activation: as an op, and with inputs from -10,000 to 10,000.

    There it has to give numbers that are not NaN, without warnings, and so has its derivative;
    with `infinite` it gives numbers also at plus and minus infinity. float32 stays float32.
    `x` replaces the points, which keep away from the kinks at 0, 1, 3 and their likes.
    """
    if x is None:
        x = np.array([[-4.3, -2.6, -1.4, -0.35], [0.17, 0.62, 1.9, 3.7], [2.2, -0.8, 4.9, -5.6]])
    worst = check_op(f, x, rows=(0,))
    large = np.array([sign * n for n in _LARGE for sign in (1, -1)] + [0.0, 1e-300])
    shaped = np.broadcast_to(large[:, None], (large.size, np.shape(x)[-1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (np.float64, np.float32):
            y = _as_array(f(shaped.astype(dtype)), "an array")
            if y.dtype != dtype:
                raise CheckError(f"the activation turns {np.dtype(dtype)} into {y.dtype}")
            _no_nan(y, "values", shaped)
            slopes = vjp(f, shaped.astype(dtype))[1](np.ones_like(y))[0]
            _no_nan(slopes, "derivatives", shaped)
        if infinite:
            _no_nan(f(np.array([[np.inf], [-np.inf]]) * np.ones(np.shape(x)[-1])), "values", "inf")
    return worst


def _no_nan(y: Array, what: str, at: Any) -> None:
    if np.isnan(y).any():
        where = at[np.isnan(y)][0] if np.shape(at) == np.shape(y) else at
        raise CheckError(f"the {what} of the activation are NaN at {where}")


def _has_gradient(f: Callable[..., Any], full: list[Any]) -> bool:
    """Whether anything floating comes of anything floating that the graph connects."""
    chosen = differentiable(full)
    leaves = [tensor(full[i], requires_grad=True) for i in chosen]
    outputs = flatten(f(*replaced(full, chosen, leaves)))
    return any(isinstance(y, Tensor) and y.requires_grad for y in outputs)


def _only_floats(
    f: Callable[..., Any], full: list[Any]
) -> tuple[Callable[..., list[Any]], list[Array]]:
    """Give f as a function of its floating-point arrays, and these."""
    chosen = differentiable(full)

    def partial(*arrays: Any) -> list[Any]:
        return flatten(f(*replaced(full, chosen, arrays)))

    return partial, [full[i] for i in chosen]


def _directions(points: Sequence[Array], seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(-1, 1, x.shape)) for x in points]


def _check_forward(f: Callable[..., Any], full: list[Any], tolerance: float) -> float:
    partial, points = _only_floats(f, full)
    directions = _directions(points, 1)
    outputs, tangents = jvp(partial, points, directions)
    above, below = (
        partial(*[x + sign * STEP * t for x, t in zip(points, directions, strict=True)])
        for sign in (1, -1)
    )
    worst = 0.0
    for i, (y, t) in enumerate(zip(outputs, tangents, strict=True)):
        if np.shape(t) != np.shape(y):
            raise CheckError(
                f"the tangent of output {i} has shape {np.shape(t)}, not {np.shape(y)}"
            )
        if np.result_type(y).kind != "f":
            continue
        for index in np.ndindex(np.shape(y)):
            ends = np.asarray(above[i])[index], np.asarray(below[i])[index]
            slope, noise = difference([ends[0]], [ends[1]], [np.ones(())], 2 * STEP)
            # The inputs were rounded too when they were moved.
            noise = 2 * noise + 1e-9 * abs(slope)
            error = relative_error(np.asarray(t)[index], slope, noise / tolerance)
            if not error <= tolerance:
                raise CheckError(
                    f"tangent of output {i} at index {index}: {np.asarray(t)[index]:.8g} by the "
                    f"rule, {slope:.8g} by differences (relative error {error:.2g})"
                )
            worst = max(worst, error)
    return worst


def _check_transpose(f: Callable[..., Any], full: list[Any]) -> None:
    partial, points = _only_floats(f, full)
    directions = _directions(points, 2)
    outputs, tangents = jvp(partial, points, directions)
    cotangents = weights_like(outputs)
    gradients = vjp(partial, *points)[1](rebuild(outputs, iter(cotangents)))
    left = [np.sum(g * t) for g, t in zip(cotangents, tangents, strict=True)]
    right = [np.sum(g * t) for g, t in zip(gradients, directions, strict=True)]
    size = sum(float(np.sum(np.abs(g * t))) for g, t in zip(gradients, directions, strict=True))
    if not abs(sum(left) - sum(right)) <= _TRANSPOSE * max(size, 1.0):
        raise CheckError(
            f"forward and reverse mode differ: <g, J t> = {sum(left):.16g}, "
            f"<J^T g, t> = {sum(right):.16g}"
        )


def _check_second(f: Callable[..., Any], full: list[Any], tolerance: float) -> float:
    """Compare H v, forward over reverse, with differences of gradients and reverse over reverse."""
    partial, points = _only_floats(f, full)
    weights = weights_like(partial(*points))
    floats = [np.result_type(value_of(y)).kind == "f" for y in partial(*points)]
    numbers = tuple(range(len(points)))

    def total(*arrays: Any) -> Value:
        terms = [
            ops.sum(ops.mul(y, w))
            for y, w, yes in zip(partial(*arrays), weights, floats, strict=True)
            if yes
        ]
        return sum(terms[1:], start=terms[0])

    gradient = grad(total, numbers)
    directions = _directions(points, 3)
    product = jvp(gradient, points, directions)[1]

    def along(*arrays: Any) -> Value:
        terms = [ops.sum(ops.mul(g, v)) for g, v in zip(gradient(*arrays), directions, strict=True)]
        return sum(terms[1:], start=terms[0])

    again = grad(along, numbers)(*points)
    above, below = (
        gradient(*[x + sign * STEP * v for x, v in zip(points, directions, strict=True)])
        for sign in (1, -1)
    )
    worst = 0.0
    for i in numbers:
        scale = max(float(np.max(np.abs(product[i]), initial=0)), 1.0)
        if not np.allclose(product[i], again[i], rtol=1e-9, atol=1e-12 * scale):
            raise CheckError(
                f"second derivatives of input {i}: {product[i]} forward over reverse, {again[i]} "
                "reverse over reverse"
            )
        noise = 1e-9 * np.maximum(np.maximum(np.abs(above[i]), np.abs(below[i])), 1.0)
        slope = (np.asarray(above[i]) - below[i]) / (2 * STEP)
        error = relative_error(product[i], slope, (noise + 1e-9 * scale) / tolerance)
        if not error <= tolerance:
            raise CheckError(
                f"second derivatives of input {i}: {product[i]} by the rules, {slope} by "
                f"differences of gradients (relative error {error:.2g})"
            )
        worst = max(worst, error)
    return worst


def _as_dtype(x: Any, dtype: Any) -> Any:
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def _as_array(y: Any, expected: str) -> Array:
    if isinstance(y, Tensor):
        raise CheckError(f"given arrays the function gives a tensor; expected {expected}")
    return np.asarray(y)


def _check_traced(f: Callable[..., Any], full: list[Any]) -> None:
    """Compare a trace with what arrays give, and with what tensors give."""
    traced = [i for i, x in enumerate(full) if isinstance(x, np.ndarray)]
    arrays = [full[i] for i in traced]
    expected = [_as_array(y, "an array") for y in flatten(f(*full))]
    leaves = [tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    for i, (y, e) in enumerate(
        zip(flatten(f(*replaced(full, traced, leaves))), expected, strict=True)
    ):
        _same(np.asarray(value_of(y)), e, f"output {i} of tensors")
    specs = [Spec(x.shape, x.dtype) for x in arrays]
    graph = trace(lambda *nodes: f(*replaced(full, traced, nodes)), *specs)
    _compare_run(graph, arrays, expected, "")


def check_named(f: Callable[..., Any], full: list[Any], rows: Sequence[int]) -> None:
    """Trace with a name for the first axis of some inputs, and run it for two sizes."""
    traced = [i for i, x in enumerate(full) if isinstance(x, np.ndarray)]
    if any(i not in traced for i in rows):
        raise ConfigError(f"rows={tuple(rows)}: only arrays have rows")
    specs = [
        Spec(("rows", *full[i].shape[1:]) if i in rows else full[i].shape, full[i].dtype)
        for i in traced
    ]
    graph = trace(lambda *nodes: f(*replaced(full, traced, nodes)), *specs)
    for n in (full[rows[0]].shape[0], full[rows[0]].shape[0] - 1):
        cut = [x[:n] if i in rows else x for i, x in enumerate(full)]
        expected = [np.asarray(y) for y in flatten(f(*cut))]
        _compare_run(graph, [cut[i] for i in traced], expected, f" with {n} rows")


def _compare_run(graph: Any, arrays: list[Array], expected: list[Array], where: str) -> None:
    results = flatten(graph(*arrays))
    for i, (node, y, e) in enumerate(zip(flatten(graph.output), results, expected, strict=True)):
        static = node.shape if all(isinstance(n, int) for n in node.shape) else None
        if (static is not None and static != e.shape) or node.ndim != e.ndim:
            raise CheckError(f"output {i} traced has shape {node.shape}, arrays give {e.shape}")
        if node.dtype != e.dtype:
            raise CheckError(f"output {i} traced has dtype {node.dtype}, arrays give {e.dtype}")
        _same(np.asarray(y), e, f"output {i} of the graph{where}")


def _same(y: Array, expected: Array, what: str) -> None:
    if (y.shape, y.dtype) != (expected.shape, expected.dtype):
        raise CheckError(
            f"{what} is {y.dtype}{list(y.shape)}, arrays give "
            f"{expected.dtype}{list(expected.shape)}"
        )
    if not np.array_equal(y, expected, equal_nan=y.dtype.kind == "f"):
        raise CheckError(f"{what} is {y}, arrays give {expected}")


def _check_memory(f: Callable[..., Any], full: list[Any]) -> None:
    """Compare with read-only and strided inputs, and see that none was written to."""
    expected = [np.asarray(y) for y in flatten(f(*full))]
    for arrange in (_read_only, _strided):
        arranged = [arrange(x) if isinstance(x, np.ndarray) else x for x in full]
        before = [np.array(x) for x in arranged]
        for i, (y, e) in enumerate(zip(flatten(f(*arranged)), expected, strict=True)):
            if not np.allclose(y, e, rtol=1e-12, atol=1e-12, equal_nan=True):
                raise CheckError(f"output {i} of {arrange.__name__[1:]} arrays is {y}, not {e}")
        for i, (x, b) in enumerate(zip(arranged, before, strict=True)):
            if not np.array_equal(x, b, equal_nan=b.dtype.kind == "f"):
                raise CheckError(f"input {i} was changed from {b} to {x}")


def _read_only(x: Array) -> Array:
    x = np.asfortranarray(x.copy())
    x.flags.writeable = False
    return x


def _strided(x: Array) -> Array:
    """Give the same numbers backwards in memory, every second place empty."""
    if not x.ndim:
        return x
    room = np.zeros((2 * x.shape[0], *x.shape[1:]), x.dtype)
    room[::-2] = x
    return room[::-2]
