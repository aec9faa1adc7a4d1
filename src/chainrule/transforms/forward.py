"""The verb *forward*: from inputs to outputs, carrying a directional derivative along.

One walk in birth order. Forward mode costs one pass per input direction, reverse mode one per
output: `jacobian` takes the cheaper.

>>> from chainrule import ops
>>> jvp(lambda x: ops.sin(x), (0.0,), (2.0,))
(np.float64(0.0), np.float64(2.0))
>>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
array([[6., 2.],
       [2., 0.]])
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.graph import Tensor, Value, ancestors, dtype_of, shape_of, value_of
from chainrule.ops import broadcast_to, cast, reshape, stack
from chainrule.transforms.reverse import as_variable, depends_on_others, grad, own, vjp, zeros_like
from chainrule.tree import flatten, rebuild


@np.errstate(all="ignore")  # an infinite slope is a result, not an accident
def forward(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    tangents: Sequence[Value],
    *,
    create_graph: bool = False,
) -> list[Value]:
    """Give the tangent of each output, or None where it does not depend on the inputs."""
    found: dict[int, Value] = {x.birth: t for x, t in zip(inputs, tangents, strict=True)}
    for node in ancestors(outputs):
        if node.birth in found or node.op is None or node.dtype.kind != "f":
            continue
        given = [found.get(x.birth) for x in node.inputs]
        if all(t is None for t in given):
            continue
        symbolic = create_graph or node.value is None
        values = list(node.inputs) if symbolic else [x.value for x in node.inputs]
        t = node.op.jvp(given, node if symbolic else node.value, values, node.attrs)
        if t is None:
            continue
        if shape_of(t) != node.shape:
            t = broadcast_to(t, node.shape)
        if t.dtype != node.dtype:
            t = cast(t, dtype=node.dtype)
        found[node.birth] = t
    return [found.get(out.birth) for out in outputs]


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Evaluate f and its derivative in the direction `tangents`: (f(x), J(x) t).

    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    (np.float64(6.0), np.float64(3.0))
    """
    given = flatten(tuple(tangents))
    leaves = [as_variable(x) for x in flatten(tuple(primals))]
    if [shape_of(t) for t in given] != [x.shape for x in leaves]:
        shapes = [shape_of(t) for t in given], [x.shape for x in leaves]
        raise ShapeError(f"tangents have shapes {shapes[0]}, the inputs {shapes[1]}")
    directions = [
        t if isinstance(t, Tensor) else np.asarray(t, x.dtype)
        for t, x in zip(given, leaves, strict=True)
    ]
    output = f(*rebuild(tuple(primals), iter(leaves)))
    outputs = flatten(output)
    nodes = [y for y in outputs if isinstance(y, Tensor)]
    symbolic = depends_on_others(outputs, leaves) or any(isinstance(t, Tensor) for t in directions)
    results = iter(forward(nodes, leaves, directions, create_graph=symbolic))
    found = [next(results) if isinstance(y, Tensor) else None for y in outputs]
    filled = [zeros_like(y) if t is None else own(t) for y, t in zip(outputs, found, strict=True)]
    values = [y if symbolic else value_of(y) for y in outputs]
    return rebuild(output, iter(values)), rebuild(output, iter(filled))


def jacobian(f: Callable[[Any], Any], *, mode: str = "auto") -> Callable[[Any], Any]:
    """Make the function that gives d f_i / d x_j, of shape (*f(x).shape, *x.shape).

    `mode` is "reverse" (a pass per output), "forward" (a pass per input) or "auto", the fewer.

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    if mode not in ("auto", "forward", "reverse"):
        raise ShapeError(f"mode={mode!r}: expected 'auto', 'forward' or 'reverse'")

    def evaluate(x: Any) -> Any:
        shape = shape_of(x)
        y, pull = vjp(f, x)
        inputs, outputs = int(np.prod(shape)), int(np.prod(shape_of(y)))
        if not inputs * outputs:
            return np.zeros((*shape_of(y), *shape), dtype_of(y))
        if mode == "forward" or (mode == "auto" and inputs < outputs):
            columns = [jvp(f, (x,), (unit,))[1] for unit in _units(shape)]
            flat = stack([reshape(c, (outputs,)) for c in columns], axis=1)
        else:
            rows = [pull(unit)[0] for unit in _units(shape_of(y))]
            flat = stack([reshape(r, (inputs,)) for r in rows], axis=0)
        return reshape(flat, (*shape_of(y), *shape))

    return evaluate


def _units(shape: tuple[int, ...]) -> list[Any]:
    n = int(np.prod(shape))
    return [row.reshape(shape) for row in np.eye(n)]


def hessian(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make the function that gives the second derivatives of f, which returns one number."""
    return jacobian(grad(f))


def hvp(f: Callable[[Any], Any], x: Any, v: Any) -> Any:
    """Second derivative of f times the direction v, for the price of about two gradients.

    >>> hvp(lambda x: x[0] ** 2 * x[1], np.array([1.0, 3.0]), np.array([1.0, 0.0]))
    array([6., 2.])
    """
    return jvp(grad(f), (x,), (v,))[1]
