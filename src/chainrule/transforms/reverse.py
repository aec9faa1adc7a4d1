"""The verb *reverse*: from an output back to everything it depends on (backpropagation).

One walk in reverse birth order. Every node hands its cotangent g to its op, which gives one
cotangent per input; several paths to the same node add up (the additive chain rule); broadcasting
is undone here, once for all ops.

>>> from chainrule import ops
>>> grad(lambda x: ops.sum(ops.sin(x)))(np.array([0.0, 1.0]))
array([1.        , 0.54030231])
>>> grad(grad(lambda x: x**3))(2.0)
np.float64(12.0)
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from chainrule.dims import Shape
from chainrule.errors import DtypeError, GraphError, ShapeError
from chainrule.graph import (
    METHODS,
    OPS,
    Op,
    Scope,
    Tensor,
    Value,
    ancestors,
    constant,
    current_scope,
    resumed,
    shape_of,
    value_of,
)
from chainrule.ops import add, broadcast_to, cast, identity
from chainrule.ops import sum as sum_over
from chainrule.ops.kinds import Discrete
from chainrule.tree import flatten, rebuild

_FREED = OPS.pop(Discrete("freed", np.positive, lambda x: (x.shape, x.dtype)).name)
"""The op of a node whose graph was used up by backward(); nobody applies it."""


@np.errstate(all="ignore")  # an infinite slope is a result, not an accident
def reverse(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Value],
    wrt: Sequence[Tensor],
    *,
    create_graph: bool = False,
    cotangents_of: dict[int, Value] | None = None,
) -> list[Value]:
    """Give the cotangent of each tensor of `wrt`, or None where no output depends on it.

    Cotangents are arrays; with `create_graph`, or in a trace, they are tensors of a new graph:
    its scopes mirror those that the walk goes back through.
    `cotangents_of` receives that of every node on the way, by its birth number.
    """
    nodes = ancestors(outputs)
    needed = _between(nodes, wrt)
    found: dict[int, Value] = {}
    scopes: dict[int, Scope | None] = {}
    for out, g in zip(outputs, cotangents, strict=True):
        _accumulate(found, out, g)
    wanted_later = {x.birth for x in wrt}
    for node in reversed(nodes):
        if node.birth not in found or node.op is None or node.birth not in needed:
            continue
        if node.op.kind == "discrete":  # asked for itself, and nothing before it has a gradient
            continue
        keep = node.birth in wanted_later
        g = found[node.birth] if keep else found.pop(node.birth)
        if cotangents_of is not None:
            cotangents_of[node.birth] = g
        for x in node.inputs:
            if x.changed > node.birth:
                raise GraphError(_stale(node.op))
        symbolic = create_graph or node.value is None
        inputs = list(node.inputs) if symbolic else [x.value for x in node.inputs]
        wanted = [x.birth in needed for x in node.inputs]
        out = node if symbolic else node.value
        with resumed(_mirrored(node.scope, scopes)) if symbolic else nullcontext():
            given = node.op.vjp(g, out, inputs, node.attrs, wanted)
            for x, c in zip(node.inputs, given, strict=True):
                if c is not None and x.birth in needed:
                    _accumulate(found, x, c)
    return [found.get(x.birth) for x in wrt]


def _mirrored(group: Scope | None, known: dict[int, Scope | None]) -> Scope | None:
    """Give the scope of what is computed backwards through a scope: ∂Linear through Linear.

    `known` keeps those of one walk; the outermost are inside the current scope.
    """
    chain = []
    while group is not None and id(group) not in known:
        chain.append(group)
        group = group.parent
    found = current_scope() if group is None else known[id(group)]
    for inner in reversed(chain):
        found = known[id(inner)] = Scope(f"∂{inner.name}", found)
        found.through = inner
    return found


def _between(nodes: list[Tensor], wrt: Sequence[Tensor]) -> set[int]:
    """Births of the nodes through which a change of `wrt` reaches the outputs."""
    needed = {x.birth for x in wrt}
    for node in nodes:
        op = node.op
        if op is _FREED:
            message = (
                "this graph was used up by an earlier backward(): call the first one with "
                "backward(retain_graph=True), or compute the output again"
            )
            raise GraphError(message)
        if op is None or op.kind == "discrete" or node.dtype.kind != "f":
            continue
        if any([x.birth in needed for x in node.inputs]):
            needed.add(node.birth)
    return needed


def _accumulate(found: dict[int, Value], x: Tensor, c: Value) -> None:
    c = unbroadcast(c, x.shape)
    if c.dtype != x.dtype:
        c = cast(c, dtype=x.dtype)
    before = found.get(x.birth)
    found[x.birth] = c if before is None else add(before, c)


def unbroadcast(c: Value, shape: Shape) -> Value:
    """Sum a cotangent over the axes along which its tensor was repeated."""
    given = shape_of(c)
    if given == shape:
        return c if isinstance(c, Tensor | np.ndarray | np.generic) else np.asarray(c)
    new = len(given) - len(shape)
    if new < 0:
        return broadcast_to(c, shape)
    if new:
        c = sum_over(c, tuple(range(new)))
        given = shape_of(c)
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and given[i] != 1)
    if repeated:
        c = sum_over(c, repeated, keepdims=True)
    return c if shape_of(c) == shape else broadcast_to(c, shape)


def _stale(op: Op) -> str:
    return (
        f"an input of {op.name} was changed by assign() after {op.name} had used it: "
        "compute the output again before asking for its gradient"
    )


def backward(out: Tensor, gradient: Any = None, *, retain_graph: bool = False) -> None:
    """Add the gradient of `out` to `grad` of every leaf that requires one."""
    if not out.requires_grad:
        message = (
            "backward() of a tensor that depends on nothing that requires a gradient: make the "
            "leaf with tensor(data, requires_grad=True), and mind that argmax and comparisons "
            "have no gradient"
        )
        raise GraphError(message)
    if gradient is None:
        if out.shape != ():
            message = (
                f"backward() without a gradient needs a single number, not shape {out.shape}: "
                "call it on ops.sum(output), or give backward(gradient=array)"
            )
            raise GraphError(message)
        gradient = np.ones((), out.dtype)
    seed = np.asarray(value_of(gradient), dtype=out.dtype)
    if seed.shape != out.shape:
        raise ShapeError(f"backward() got a gradient of {seed.shape} for an output of {out.shape}")
    nodes = ancestors([out])
    leaves = [x for x in nodes if x.op is None and x.requires_grad]
    gradients = reverse([out], [seed], leaves)
    if not retain_graph:
        for node in nodes:
            if node.op is not None:
                node.op, node.inputs, node.attrs = _FREED, (), {}
    for leaf, g in zip(leaves, gradients, strict=True):
        if g is not None:
            leaf.grad = Tensor(g if leaf.grad is None else leaf.grad.value + g)


METHODS["backward"] = backward


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Evaluate f and give a function that pulls a cotangent back to the inputs.

    >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    leaves = [as_variable(x) for x in flatten(primals)]
    output = f(*rebuild(primals, iter(leaves)))
    outputs = flatten(output)
    symbolic = depends_on_others(outputs, leaves)

    def pull(cotangent: Any) -> Any:
        given = flatten(cotangent)
        if [shape_of(c) for c in given] != [shape_of(y) for y in outputs]:
            shapes = [shape_of(c) for c in given], [shape_of(y) for y in outputs]
            raise ShapeError(f"cotangents have shapes {shapes[0]}, the outputs {shapes[1]}")
        known = [(y, c) for y, c in zip(outputs, given, strict=True) if isinstance(y, Tensor)]
        cotangents = [c if isinstance(c, Tensor) else np.asarray(c, y.dtype) for y, c in known]
        create = symbolic or any(isinstance(c, Tensor) for c in cotangents)
        gradients = reverse([y for y, _ in known], cotangents, leaves, create_graph=create)
        filled = [_or_zero(g, x) for g, x in zip(gradients, leaves, strict=True)]
        return rebuild(primals, iter(filled))

    return rebuild(output, iter([y if symbolic else value_of(y) for y in outputs])), pull


def as_variable(x: Value) -> Tensor:
    """Give a tensor to differentiate by, apart from every other use of x."""
    if isinstance(x, Tensor) and (x.requires_grad or x.value is None):
        return identity(x)  # type: ignore[no-any-return]
    value = value_of(x)
    node = Tensor(value) if isinstance(value, np.floating) else constant(value)
    if node.dtype.kind != "f":
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            return Tensor(np.float64(node.value), requires_grad=True)
        raise DtypeError(
            f"gradients need floating-point numbers, not {node.dtype}: pass x.astype(float)"
        )
    return Tensor(np.asarray(node.value), requires_grad=True)


def depends_on_others(outputs: Sequence[Any], leaves: Sequence[Tensor]) -> bool:
    """Whether outputs depend on tensors outside, so that their gradients must be graphs.

    Those were born before our leaves; what a gradient inside the function varied, after them.
    """
    start = min((x.birth for x in leaves), default=0)
    nodes = ancestors([y for y in outputs if isinstance(y, Tensor)])
    return any(
        x.op is None and x.birth < start and (x.requires_grad or x.value is None) for x in nodes
    )


def _or_zero(g: Value, x: Tensor) -> Value:
    return zeros_like(x) if g is None else own(g)


def own(x: Value) -> Value:
    """Copy an array, for cotangents may be views and shared; a 0-d array becomes a number."""
    return x if isinstance(x, Tensor) else np.array(x)[()]


def zeros_like(x: Value) -> Value:
    """Give zeros of the shape and dtype of x; in a trace the shape may have names."""
    dtype = x.dtype if isinstance(x, Tensor) else np.result_type(x)
    return own(broadcast_to(np.zeros((), dtype), shape_of(x)))


def value_and_grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """Make a function that gives f(...) and its gradient by the arguments `argnums`.

    f returns one number. An argument may be a tuple, list or dictionary of arrays. The results
    are arrays, or tensors where they depend on tensors, so that gradients nest.

    >>> value_and_grad(lambda w, b: (w * 3 + b) ** 2, argnums=(0, 1))(1.0, 1.0)
    (np.float64(16.0), (np.float64(24.0), np.float64(8.0)))
    """
    several = isinstance(argnums, tuple)
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)

    def evaluate(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if any(i >= len(args) for i in numbers):
            raise GraphError(f"argnums={argnums}, but only {len(args)} arguments were given")

        def partial(*chosen: Any) -> Any:
            full = list(args)
            for i, x in zip(numbers, chosen, strict=True):
                full[i] = x
            return f(*full, **kwargs)

        value, pull = vjp(partial, *(args[i] for i in numbers))
        gradients = pull(_one(value))
        return value, gradients if several else gradients[0]

    return evaluate


def _one(value: Any) -> Value:
    if len(flatten(value)) != 1 or shape_of(value) != ():
        given = f"shape {shape_of(value)}" if len(flatten(value)) == 1 else "several outputs"
        raise ShapeError(f"grad needs a function that returns one number, not {given}: "
                         "use jacobian, or ops.sum of the result")  # fmt: skip
    dtype = value.dtype if isinstance(value, Tensor) else np.result_type(value)
    if np.dtype(dtype).kind != "f":
        raise DtypeError(f"the function returns {dtype}: argmax, comparisons and whole numbers "
                         "have no gradient")  # fmt: skip
    return np.ones((), dtype)


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """Make the function that gives the gradient of f by the arguments `argnums`.

    >>> grad(lambda x: x * x)(3.0)
    np.float64(6.0)
    """
    both = value_and_grad(f, argnums)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


__all__ = ["backward", "grad", "reverse", "unbroadcast", "value_and_grad", "vjp"]
