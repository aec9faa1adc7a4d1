"""Shapes whose dimensions may have a name instead of a number, as in a trace.

>>> batch = Dim.of("batch")
>>> batch * 8, (batch * 8) // 4, (batch * 8).size({"batch": 32})
(8*batch, 2*batch, 256)
>>> broadcast_shapes((batch, 1), (20,))
(batch, 20)
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from chainrule.errors import ShapeError


class Dim:
    """A dimension that is known by name: a product of names and a whole number."""

    __slots__ = ("factor", "names")

    def __init__(self, names: tuple[str, ...], factor: int = 1) -> None:
        self.names = tuple(sorted(names))
        self.factor = factor

    @classmethod
    def of(cls, name: str) -> "Dim":
        """Give the dimension of this name."""
        return cls((name,))

    def size(self, sizes: Mapping[str, int]) -> int:
        """Give the number that this dimension stands for."""
        product = self.factor
        for name in self.names:
            product *= sizes[name]
        return product

    def __mul__(self, other: "int | Dim") -> "int | Dim":
        if isinstance(other, Dim):
            return Dim(self.names + other.names, self.factor * other.factor)
        return Dim(self.names, self.factor * other) if other else 0

    __rmul__ = __mul__

    def __floordiv__(self, other: "int | Dim") -> "int | Dim":
        names = list(self.names)
        divisor = other if isinstance(other, Dim) else Dim((), other)
        factor = divisor.factor
        for name in divisor.names:
            if name not in names:
                raise ShapeError(f"the dimension {self} is not a multiple of {other}")
            names.remove(name)
        if self.factor % factor:
            raise ShapeError(f"the dimension {self} is not a multiple of {other}")
        quotient = self.factor // factor
        return Dim(tuple(names), quotient) if names else quotient

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and (self.names, self.factor) == (other.names, other.factor)

    def __hash__(self) -> int:
        return hash((self.names, self.factor))

    def __repr__(self) -> str:
        return "*".join(([str(self.factor)] if self.factor != 1 else []) + list(self.names))


Shape: TypeAlias = tuple[Any, ...]
"""A tuple of whole numbers and, in a trace, `Dim`s."""


class Size(int):
    """A whole number that remembers what it counts, such as the units of a layer.

    It behaves as the number does. Shapes carry it along, so that compiled code can take it as an
    argument instead of having the number in its source.

    >>> units = Size.of(64, "units")
    >>> units + 1, broadcast_shapes((1, 64), (32, units))[1].name
    (65, 'units')
    """

    name: str

    @classmethod
    def of(cls, value: int, name: str) -> "Size":
        """Give the number with its name."""
        size = cls(value)
        size.name = name
        return size


class Constant(int):
    """A whole number that compiled code has in its source, such as the size of a kernel.

    Loops of a few turns are then written out, which pays where nets rarely differ in the number.

    >>> Constant(3) + 1, Constant(3) == 3
    (4, True)
    """


def broadcast_shapes(*shapes: Shape) -> Shape:
    """Give the shape that NumPy's broadcasting makes of these, names included."""
    several = [shape for shape in shapes if shape]
    if len(several) < 2:  # numbers take any shape
        return several[0] if several else ()
    ndim = max([len(shape) for shape in several])
    result: list[Any] = [1] * ndim
    for shape in several:
        for axis, n in enumerate(shape, start=ndim - len(shape)):
            if result[axis] == 1 or (n == result[axis] and isinstance(n, Size)):
                result[axis] = n
            elif n not in (1, result[axis]):
                listed = " and ".join(str(list(s)) for s in shapes)
                raise ShapeError(f"shapes {listed} do not broadcast: {result[axis]} against {n}")
    return tuple(result)


def product(shape: Shape) -> Any:
    """Give the number of elements of a shape."""
    total: Any = 1
    for n in shape:
        total = n * total
    return total


def axis_of(name: str, shapes: Iterable[Shape]) -> tuple[int, int] | None:
    """Give the first shape, and its axis, that a dimension is the size of; None if there is none.

    >>> axis_of("batch", [(3,), (2, Dim.of("batch"))])
    (1, 1)
    """
    named = Dim.of(name)
    places = ((i, k) for i, shape in enumerate(shapes) for k, n in enumerate(shape) if n == named)
    return next(places, None)


def resolve(value: Any, sizes: Mapping[str, int]) -> Any:
    """Replace every named dimension in an attribute by its size."""
    if isinstance(value, Dim):
        return value.size(sizes)
    if isinstance(value, tuple):
        return tuple(resolve(item, sizes) for item in value)
    return value
