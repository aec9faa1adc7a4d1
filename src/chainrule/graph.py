"""The graph: tensors are its nodes, ops are what the nodes do, verbs walk over it.

An op given plain arrays is plain NumPy and records nothing. Given a tensor, it makes a new
tensor that remembers its op and inputs:

>>> from chainrule import ops, tensor
>>> x = tensor([1.0, 2.0], requires_grad=True)
>>> y = ops.sum(x * x)
>>> y.op.name, y.inputs[0].op.name, y.item()
('sum', 'mul', 5.0)
>>> y.backward()
>>> x.grad
tensor([2., 4.])

Nodes are numbered at birth and an input is always born before its reader. So birth order is
topological order: no walker recurses, sorts a graph or meets the recursion limit. Readers point
at their inputs and never the other way: there are no reference cycles, and a graph is freed as
soon as nobody holds its result.
"""

import itertools
from collections.abc import Callable, Container, Iterable, Iterator
from functools import lru_cache
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from chainrule.dims import Dim, Shape, broadcast_shapes
from chainrule.errors import DtypeError, GraphError, ShapeError
from chainrule.scopes import Scope as Scope
from chainrule.scopes import current_scope as current_scope
from chainrule.scopes import no_grad as no_grad
from chainrule.scopes import resumed as resumed
from chainrule.scopes import scope as scope
from chainrule.scopes import state
from chainrule.scopes import tracing as tracing

Array: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = Any  # a Tensor, an array or a Python number: what every op takes and returns
Attrs: TypeAlias = dict[str, Any]

_NUMBERS = (bool, int, float)  # these types exactly: np.float64 is a float too, and has a dtype
_NUMBER_OF: dict[str, type] = {"b": bool, "i": int, "u": int, "f": float}

OPS: dict[str, "Op"] = {}
"""Every op by name."""

METHODS: dict[str, Callable[..., Any]] = {}
"""What methods of a tensor call: `ops` and `transforms` put their functions here."""


_births = itertools.count(1)


class Op:
    """One record of facts about an operation; `chainrule.ops.kinds` has the kinds.

    Every op has a `name`, `run` (its meaning, in NumPy) and `infer` (shape and dtype of the
    result from those of the inputs). How it is differentiated depends on its kind.
    """

    kind: str = "abstract"
    loops: tuple[Any, ...] = ()
    """How compiled code computes the op: facts of `chainrule.ops.loops`, the first that holds."""
    notation: Any = None
    """How a person writes the op: a fact of `chainrule.ops.notation`."""

    in_onnx: Any = None
    """How ONNX says the op: a fact of `chainrule.ops.opset`."""

    in_numpy: Any = None
    """How a script says the op: a `chainrule.ops.source.Source`, None where that follows."""

    in_jax: Any = None
    """How JAX is told the op: a `chainrule.ops.source.Source`, None where NumPy's source serves."""

    def __init__(self, name: str, run: Callable[..., Any], infer: Callable[..., Any]) -> None:
        if name in OPS:
            message = f"an op named {name!r} exists already; choose another name"
            raise GraphError(message)
        self.name = name
        self.run = run
        self.infer = infer
        OPS[name] = self

    def looped(self, *loops: Any) -> Self:
        """Give the op its loop facts, and return it."""
        self.loops = loops
        return self

    def written(self, notation: Any) -> Self:
        """Give the op its notation, and return it."""
        self.notation = notation
        return self

    def __call__(self, *inputs: Value, **attrs: Any) -> Value:
        """Apply the op to tensors (and record it) or to arrays (and do not)."""
        return apply(self, *inputs, **attrs)

    def __repr__(self) -> str:
        return f"<{self.kind} op {self.name}>"

    def __reduce__(self) -> Any:
        """Copy and pickle by name: there is one record of an op."""
        return _op_named, (self.name,)

    def vjp(
        self, g: Value, out: Value, inputs: list[Value], attrs: Attrs, wanted: list[bool]
    ) -> list[Value]:
        """Give for each wanted input the cotangent that `g`, the one of `out`, brings to it."""
        raise NotImplementedError

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Tangent of `out` from the tangents of the inputs; None means zero."""
        raise NotImplementedError


def _op_named(name: str) -> Op:
    return OPS[name]


class Tensor:
    """A node of the graph.

    `op`, `inputs` and `attrs` say how it was made (`op` is None for a leaf), `shape` and `dtype`
    what it is, `birth` when it was made. `value` holds its numbers, or None in a trace. A `weak`
    node is a number known later: it takes the dtype of what it meets, as a Python number does.
    `backward()` puts gradients into `grad` of the leaves that have `requires_grad`.
    """

    __slots__ = (
        "__weakref__", "attrs", "birth", "changed", "dtype", "grad", "inputs",
        "op", "requires_grad", "scope", "shape", "value", "weak",
    )  # fmt: skip

    __array_ufunc__ = None  # array + tensor asks Tensor.__radd__, not NumPy

    op: Op | None
    inputs: "tuple[Tensor, ...]"
    attrs: Attrs
    shape: Shape
    dtype: np.dtype[Any]
    value: Any
    requires_grad: bool
    grad: "Tensor | None"
    birth: int
    changed: int
    scope: Scope | None
    weak: bool

    def __init__(self, value: Any, *, requires_grad: bool = False) -> None:
        self.op = None
        self.inputs = ()
        self.attrs = {}
        self.value = value
        self.shape = np.shape(value)
        self.dtype = np.result_type(value)
        if requires_grad and self.dtype.kind != "f":
            message = (
                f"only floating-point tensors have gradients, not {self.dtype}: "
                "tensor(data, dtype=float, requires_grad=True)"
            )
            raise DtypeError(message)
        self.requires_grad = requires_grad
        self.grad = None
        self.birth = next(_births)
        self.changed = 0
        self.scope = None
        self.weak = type(value) in _NUMBERS

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.size(self._known()))

    @property
    def T(self) -> "Tensor":  # noqa: N802 (NumPy's name)
        """The tensor with its axes reversed."""
        return self.transpose()

    @property
    def is_leaf(self) -> bool:
        """Whether no op made this tensor."""
        return self.op is None

    def numpy(self) -> Array:
        """Give a read-only view of the numbers."""
        if self.requires_grad:
            message = (
                "numpy() of a tensor that requires a gradient would leave the graph "
                "unnoticed: call tensor.detach().numpy()"
            )
            raise GraphError(message)
        view = np.asarray(self._known()).view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """Give the only element as a Python number."""
        if np.size(self._known()) != 1:
            raise ShapeError(f"item() needs one element, this tensor has shape {self.shape}")
        return np.asarray(self.value).item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor of shape () has no length")
        return int(self.shape[0])

    def __iter__(self) -> "Iterator[Tensor]":
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        if self.value is None:
            made_by = self.op.name if self.op else "input"
            return f"<traced {made_by}: {self.dtype}{list(self.shape)}>"
        body = np.array2string(np.asarray(self.value), separator=", ", prefix="tensor(")
        grad = ", requires_grad=True" if self.requires_grad and self.op is None else ""
        return f"tensor({body}{grad})"

    def __reduce__(self) -> Any:
        """Copy and pickle as a leaf of its own: a birth number belongs to one node."""
        if self.value is None:
            message = (
                "a traced tensor, and with it a graph or a compiled function, cannot be copied or "
                "pickled: copy the module, and trace or compile that"
            )
            raise GraphError(message)
        return _leaf, (self._known(), self.requires_grad)

    def _known(self) -> Any:
        if self.value is None:
            message = (
                f"a traced tensor has no value yet (shape {self.shape}): code in a trace cannot "
                "branch on numbers; use ops.where(condition, a, b), and ops.stop_gradient(x) in "
                "place of x.detach()"
            )
            raise GraphError(message)
        return self.value

    def detach(self) -> "Tensor":
        """Give a leaf with the same numbers, cut off from the graph."""
        return Tensor(self._known())

    def assign(self, value: Any) -> None:
        """Replace the numbers of a leaf, shape and dtype staying as they are.

        A leaf that requires a gradient changes only under `no_grad()`. In a trace the new value
        becomes an update of the graph, as the running mean of a batch norm.
        """
        if self.op is not None:
            raise GraphError("assign() is for leaves; this tensor was computed by " + self.op.name)
        if self.requires_grad and state.recording:
            raise GraphError(_IN_PLACE)
        if state.tracing is not None:
            state.tracing[self] = value if isinstance(value, Tensor) else constant(value)
            return
        if isinstance(value, Tensor):
            value = value._known()
        value = np.array(value, dtype=self.dtype)
        if value.shape != self.shape:
            raise ShapeError(f"assign() got shape {value.shape} for a tensor of {self.shape}")
        self.renew(value)

    def latest(self) -> "Tensor":
        """Give this leaf, or in a trace what was last assigned to it."""
        return self if state.tracing is None else state.tracing.get(self, self)

    def renew(self, value: Array) -> None:
        """Replace the numbers of a leaf by an array of the same shape and dtype, unchecked."""
        self.value = value
        self.changed = next(_births)

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to `grad` of every leaf that requires it.

        `gradient` is the cotangent of this tensor and may be left out for a single number. The
        graph is freed unless `retain_graph`.
        """
        METHODS["backward"](self, gradient, retain_graph=retain_graph)

    # fmt: off
    def __add__(self, other: Value) -> "Tensor": return _record(OPS["add"], (self, other), {})
    def __radd__(self, other: Value) -> "Tensor": return _record(OPS["add"], (other, self), {})
    def __sub__(self, other: Value) -> "Tensor": return _record(OPS["sub"], (self, other), {})
    def __rsub__(self, other: Value) -> "Tensor": return _record(OPS["sub"], (other, self), {})
    def __mul__(self, other: Value) -> "Tensor": return _record(OPS["mul"], (self, other), {})
    def __rmul__(self, other: Value) -> "Tensor": return _record(OPS["mul"], (other, self), {})
    def __truediv__(self, other: Value) -> "Tensor": return _record(OPS["div"], (self, other), {})
    def __rtruediv__(self, other: Value) -> "Tensor": return _record(OPS["div"], (other, self), {})
    def __pow__(self, other: Value) -> "Tensor": return _record(OPS["pow"], (self, other), {})
    def __rpow__(self, other: Value) -> "Tensor": return _record(OPS["pow"], (other, self), {})
    def __matmul__(self, other: Value) -> "Tensor": return _call("matmul", self, other)
    def __rmatmul__(self, other: Value) -> "Tensor": return _call("matmul", other, self)
    def __neg__(self) -> "Tensor": return _record(OPS["neg"], (self,), {})
    def __abs__(self) -> "Tensor": return _record(OPS["abs"], (self,), {})
    def __lt__(self, other: Value) -> "Tensor": return _record(OPS["less"], (self, other), {})
    def __le__(self, other: Value) -> "Tensor": return _record(OPS["less_equal"], (self, other), {})
    def __gt__(self, other: Value) -> "Tensor": return _record(OPS["less"], (other, self), {})
    def __ge__(self, other: Value) -> "Tensor": return _record(OPS["less_equal"], (other, self), {})
    def __iadd__(self, other: Value) -> "Tensor": return self._in_place(self + other)
    def __isub__(self, other: Value) -> "Tensor": return self._in_place(self - other)
    def __imul__(self, other: Value) -> "Tensor": return self._in_place(self * other)
    def __itruediv__(self, other: Value) -> "Tensor": return self._in_place(self / other)
    def __getitem__(self, key: Any) -> "Tensor": return _call("getitem", self, key)
    # fmt: on

    def _in_place(self, result: "Tensor") -> "Tensor":
        if self.op is None and self.requires_grad:
            raise GraphError(_IN_PLACE)
        return result

    def __setitem__(self, key: Any, value: Any) -> None:
        message = (
            "tensors cannot be changed element by element: make a new one with "
            "ops.where(mask, new, old), or replace a leaf with leaf.assign(array)"
        )
        raise GraphError(message)

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """Sum over the axes."""
        return _call("sum", self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Tensor":
        """Mean over the axes."""
        return _call("mean", self, axis, keepdims)

    def reshape(self, *shape: Any) -> "Tensor":
        """Give the same elements, in the same order, another shape."""
        if len(shape) == 1 and isinstance(shape[0], tuple | list):
            shape = tuple(shape[0])
        return _call("reshape", self, shape)

    def transpose(self, *axes: Any) -> "Tensor":
        """Permute the axes, given one by one or as a tuple; reverse them when none is named."""
        if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
            axes = tuple(axes[0] or ())
        return _call("transpose", self, axes or None)

    def astype(self, dtype: Any) -> "Tensor":
        """Give the tensor in another dtype."""
        return _record(OPS["cast"], (self,), {"dtype": np.dtype(dtype)})


def _call(name: str, *args: Any) -> Tensor:
    result: Tensor = METHODS[name](*args)
    return result


def _leaf(value: Any, requires_grad: bool) -> Tensor:
    return Tensor(value, requires_grad=requires_grad)


_IN_PLACE = (
    "a leaf that requires a gradient cannot be changed in place while recording: "
    "write w = w + ..., or with chainrule.no_grad(): w.assign(new_value)"
)


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Make a leaf from numbers, which are copied.

    >>> tensor([[1, 2]], dtype=float) / 2
    tensor([[0.5, 1. ]])
    """
    if isinstance(data, Tensor):
        data = data.detach().value
    array = np.array(data, dtype=dtype)
    return Tensor(_checked(array), requires_grad=requires_grad)


def constant(value: Any) -> Tensor:
    """Wrap an array or number as a leaf without copying it.

    Python and NumPy scalars stay Python numbers: they take the dtype of what they meet.
    """
    if isinstance(value, np.bool_ | np.floating | np.integer):
        value = value.item()
    if type(value) not in _NUMBERS:
        value = _checked(np.asarray(value))
    return Tensor(value)


def _checked(array: Array) -> Array:
    if array.dtype.kind not in "fiub":
        message = f"a tensor holds real numbers or booleans, not {array.dtype} data"
        raise DtypeError(message)
    return array if array.dtype.isnative else array.astype(native(array.dtype))


def native(dtype: Any) -> np.dtype[Any]:
    """Give a dtype in the byte order of this machine, which compiled code reads."""
    found: np.dtype[Any] = np.dtype(dtype)
    return found if found.isnative else found.newbyteorder("=")


def value_of(x: Value) -> Any:
    """Numbers of a tensor or of anything that is no tensor."""
    return x.value if isinstance(x, Tensor) else x


def shape_of(x: Value) -> Shape:
    """Shape of a tensor, array or number."""
    return x.shape if isinstance(x, Tensor) else np.shape(x)


def dtype_of(*inputs: Value) -> np.dtype[Any]:
    """Dtype of a result of these inputs; Python numbers adapt to the others."""
    return _result_type(*[_dtype_or_number(x) for x in inputs])


def _dtype_or_number(x: Value) -> Any:
    if isinstance(x, Tensor):
        return _NUMBER_OF[x.dtype.kind] if x.weak else x.dtype
    return type(x) if type(x) in _NUMBERS else np.asarray(x).dtype


@lru_cache(1024)
def _result_type(*inputs: Any) -> np.dtype[Any]:
    return np.result_type(*(x if isinstance(x, np.dtype) else x(0) for x in inputs))


def apply(op: Op, *inputs: Value, **attrs: Any) -> Value:
    """Run an op: plain NumPy for arrays, a new node as soon as one input is a tensor."""
    for x in inputs:
        if isinstance(x, Tensor):
            return _record(op, inputs, attrs)
    if state.tracing is not None and _named(attrs):
        return _record(op, inputs, attrs)
    result = op.run(*inputs, **attrs)
    return _as_number(result, inputs) if isinstance(result, np.generic) else result


def _as_number(result: Any, values: Iterable[Any]) -> Any:
    """Keep what was made of Python numbers a Python number, so that it adapts its dtype too."""
    return result.item() if all([type(v) in _NUMBERS for v in values]) else result


def _record(op: Op, inputs: tuple[Value, ...], attrs: Attrs) -> Tensor:
    nodes = tuple([x if isinstance(x, Tensor) else constant(x) for x in inputs])
    node = Tensor.__new__(Tensor)
    node.grad = None
    node.changed = 0
    values = [x.value for x in nodes]
    if any([v is None for v in values]) or (state.tracing is not None and _named(attrs)):
        node.value = None
        node.shape, node.dtype = op.infer(*nodes, **attrs)
        node.weak = all([x.weak for x in nodes])
    else:
        try:
            value = op.run(*values, **attrs)
        except (ValueError, IndexError, TypeError) as error:
            raise _explained(op, nodes, error) from error
        node.shape = value.shape
        node.dtype = value.dtype
        node.value = _as_number(value, values) if isinstance(value, np.generic) else value
        node.weak = type(node.value) in _NUMBERS
    needs = (
        state.recording
        and node.dtype.kind == "f"
        and op.kind != "discrete"
        and any([x.requires_grad for x in nodes])
    )
    node.requires_grad = needs
    if needs or state.tracing is not None or node.value is None:
        node.op, node.inputs, node.attrs = op, nodes, attrs
        node.scope = state.scope
    else:
        node.op, node.inputs, node.attrs, node.scope = None, (), {}, None
    node.birth = next(_births)
    return node


def _named(attrs: Attrs) -> bool:
    """Whether a dimension in the attributes has a name, so that there is nothing to run yet."""
    return bool(attrs) and any(
        isinstance(n, Dim)
        for value in attrs.values()
        for n in (value if isinstance(value, tuple) else (value,))
    )


def _explained(op: Op, nodes: tuple[Tensor, ...], error: Exception) -> ShapeError:
    given = ", ".join(f"{x.dtype}{list(x.shape)}" for x in nodes)
    where = f" in {state.scope.path()}" if state.scope else ""
    return ShapeError(f"{op.name}{where} cannot take {given}: {error}")


def placeholder(shape: Iterable[int | str | Dim], dtype: Any, *, weak: bool = False) -> Tensor:
    """Make an input of a trace: a leaf with a shape and dtype and no value."""
    node = Tensor(0.0)
    node.value = None
    node.weak = weak
    node.shape = tuple(Dim.of(n) if isinstance(n, str) else n for n in shape)
    node.dtype = native(dtype)
    return node


def ancestors(outputs: Iterable[Tensor], known: Container[int] = ()) -> list[Tensor]:
    """List every node that the outputs depend on, themselves included, in birth order.

    Nodes whose birth is `known` are left out, with what only they depend on.
    """
    seen: dict[int, Tensor] = {}
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node.birth in seen or node.birth in known:
            continue
        seen[node.birth] = node
        stack.extend(node.inputs)
    return [seen[birth] for birth in sorted(seen)]


__all__ = [
    "METHODS", "OPS", "Array", "Attrs", "Dim", "Op", "Scope", "Shape", "Tensor", "Value",
    "ancestors", "apply", "broadcast_shapes", "constant", "current_scope", "dtype_of", "native",
    "no_grad", "placeholder", "resumed", "scope", "shape_of", "tensor", "tracing", "value_of",
]  # fmt: skip
