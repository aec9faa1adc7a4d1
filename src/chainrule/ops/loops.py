"""How an op is computed element by element: the facts that the verb *compile* reads.

A fact writes Python source for one element of the result. The compiler decides which loops there
are, which elements are kept in memory and which are computed where they are used; it knows these
kinds of fact and no op.

>>> from chainrule.graph import OPS
>>> OPS["mul"].loops[0].template, OPS["sum"].loops[0].step
('{} * {}', 'plus({0}, {x})')
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Index = list[str]
"""Source of the position in each axis."""

Span = tuple[int, Any, Any] | None
"""An axis, and from where to where a range of it goes."""


class Place(Protocol):
    """The element that is being written: what a fact may ask the compiler for."""

    attrs: dict[str, Any]
    index: Index

    @property
    def zero(self) -> str:
        """Source of the number 0 in the dtype of the result."""

    def read(self, k: int, index: Index) -> str:
        """Source of an element of input k."""

    def size(self, n: Any) -> str:
        """Source of a whole number, which becomes an argument of the compiled code.

        It has to stand in a shape or an attribute; arithmetic is asked for by what follows.
        """

    def sum_of(self, sizes: Sequence[Any]) -> str:
        """Source of the sum of whole numbers."""

    def product_of(self, sizes: Sequence[Any]) -> str:
        """Source of the product of whole numbers."""

    def shape(self, k: int) -> Sequence[Any]:
        """Shape of input k."""

    def flat(self) -> str:
        """Source of the position among all elements of the result."""

    def wrap(self, i: str, n: Any) -> str:
        """Source of an index that counts from the end of n where it is negative."""


@dataclass(frozen=True)
class Map:
    """The same formula for every element; the inputs broadcast.

    `template` has a `{}` for each input. Inputs are cast to the dtype of the result before, or to
    their common dtype where the result is a truth value; `own` names inputs that keep their own.
    """

    template: str
    own: tuple[int, ...] = ()


@dataclass(frozen=True)
class Element:
    """An element of the result, from elements of the inputs at other places.

    With `order` the result has the elements of input 0 in their order, and nothing else is said.
    A `costly` element takes longer to compute than to load. An op that `picks` reads input 0 along
    its attribute `axis` at the places that input 1 names.
    """

    source: Callable[[Place], str] | None = None
    order: bool = False
    costly: bool = False
    picks: bool = False
    only: Callable[..., bool] | None = None
    """Whether the fact holds, asked with the inputs and attributes; None: always."""
    span: Callable[..., Span] = lambda *inputs, **attrs: None
    """The axis of which a range is the result, and the range, if that is what it is."""
    columns: Callable[..., int] = lambda **attrs: 0
    """How many last axes there are of which each place adds as much, whatever the others are."""


@dataclass(frozen=True)
class Reduce:
    """A fold over axes: the state starts at `start` and takes the elements x in, one by one.

    "lowest" stands for the smallest number of the dtype. With `position`, the result is where the
    state changed last: `step` is then the condition for a change to x.
    """

    start: str
    step: str
    position: bool = False


@dataclass(frozen=True)
class Scatter:
    """Elements of the inputs written, or added, to places of a result that starts at zero.

    `target` gives the place in the result of the element of input k at an index. What `covers`
    the whole result needs no zeros.
    """

    target: Callable[[Place, int, Index], Index]
    add: bool = False
    covers: bool = False
    parts: Callable[[int], Sequence[int]] = lambda count: [0]
    """Which inputs are written, of so many."""
    span: Callable[..., Span] = lambda **attrs: None
    """The axis along which the elements fill a range, and the range, if they fill one."""


@dataclass(frozen=True)
class Along:
    """A function of whole lines along the axis `axis`: `function(x, out, length, step)`."""

    function: Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Product:
    """A product of matrices, or of stacks of them."""

    only: Callable[..., bool] | None = None
    """Whether the fact holds, asked with the inputs and attributes; None: always."""


@dataclass(frozen=True)
class Parts:
    """The same written in other ops, for compiled code only."""

    function: Callable[..., Any]
    only: Callable[..., bool] | None = None
    """Whether the fact holds, asked with the inputs and attributes; None: always."""


@dataclass(frozen=True)
class Steps:
    """The graph of the attribute `body`, run `length` times, each time from the result before.

    Input 0 is the first carry; `body.count` inputs move on with the steps, the others stay.
    """
