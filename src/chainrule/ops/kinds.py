"""The kinds of op: each knows how its kind is differentiated, so that an op need not say it twice.

* *elementwise*: a person writes the partial derivatives once; both modes follow.
* *multilinear*: linear in each input; a person writes the transpose once; forward mode is the op.
* *general*: a person writes both rules.
* *discrete*: comparisons, argmax and other ops whose result has no derivative.

A *composite* is no kind: it is a plain Python function of ops, and needs no rule at all.

>>> from chainrule import grad, tensor
>>> from chainrule.ops.kinds import Elementwise
>>> import numpy as np
>>> cube = Elementwise("cube", np.vectorize(lambda x: x**3), [lambda out, x: 3 * x * x])
>>> grad(cube)(2.0)
np.float64(12.0)
"""

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.dims import Shape, broadcast_shapes
from chainrule.graph import OPS, Attrs, Op, Tensor, Value, apply, dtype_of
from chainrule.ops.loops import Map

Partial = Callable[..., Value] | int | None
Rule = Callable[..., Value]
Infer = Callable[..., tuple[Shape, Any]]


class Elementwise(Op):
    """An op that treats every element alike, with NumPy's broadcasting.

    `partials` has one entry per input: a function of `(out, *inputs)` written in ops, the number
    1 or -1, or None where there is no derivative. `singular` marks ops whose partial can be
    infinite: there a cotangent of zero stays zero, so that a masked-out branch of a `where`
    does not turn the gradient into NaN. `template` is the formula in source, for compiled code
    (`chainrule.ops.loops.Map`); without it the op runs through NumPy there.
    """

    kind = "elementwise"

    def __init__(
        self,
        name: str,
        run: Callable[..., Any],
        partials: Sequence[Partial],
        template: str | None = None,
        *,
        singular: bool = False,
        infer: Infer | None = None,
    ) -> None:
        super().__init__(name, run, infer or self._infer)
        self.partials = tuple(partials)
        self.singular = singular
        self.loops = () if template is None else (Map(template),)

    @staticmethod
    def _infer(*inputs: Tensor, **attrs: Any) -> tuple[Shape, Any]:
        dtype = dtype_of(*inputs)
        return broadcast_shapes(*[x.shape for x in inputs]), dtype

    def _times(
        self, partial: Partial, g: Value, out: Value, inputs: list[Value], a: Attrs
    ) -> Value:
        if partial is None:
            return None
        if isinstance(partial, int):
            return g if partial == 1 else apply(OPS["neg"], g)
        product = apply(OPS["mul"], g, partial(out, *inputs, **a))
        if not self.singular:
            return product
        return apply(OPS["where"], apply(OPS["equal"], g, 0), 0.0, product)

    def vjp(
        self, g: Value, out: Value, inputs: list[Value], attrs: Attrs, wanted: list[bool]
    ) -> list[Value]:
        """Multiply the cotangent by each partial."""
        return [
            self._times(partial, g, out, inputs, attrs) if want else None
            for partial, want in zip(self.partials, wanted, strict=True)
        ]

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Sum the partials times the tangents."""
        terms = [
            self._times(partial, t, out, inputs, attrs)
            for partial, t in zip(self.partials, tangents, strict=True)
            if t is not None
        ]
        return add_up(terms)


class Multilinear(Op):
    """An op that is linear in each of its inputs taken alone.

    `transposes` has one entry per input: a function of `(g, *inputs, **attrs)` that gives the
    cotangent of that input, or None where the input is not differentiated, such as an index.
    """

    kind = "multilinear"

    def __init__(
        self, name: str, run: Callable[..., Any], infer: Infer, transposes: Sequence[Rule | None]
    ) -> None:
        super().__init__(name, run, infer)
        self.transposes = tuple(transposes)

    def vjp(
        self, g: Value, out: Value, inputs: list[Value], attrs: Attrs, wanted: list[bool]
    ) -> list[Value]:
        """Apply each transpose to the cotangent."""
        return [
            transpose(g, *inputs, **attrs) if want and transpose is not None else None
            for transpose, want in zip(self.transposes, wanted, strict=True)
        ]

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Apply the op with each tangent in place of its input, and add."""
        terms = []
        for i, (t, transpose) in enumerate(zip(tangents, self.transposes, strict=True)):
            if t is not None and transpose is not None:
                terms.append(apply(self, *inputs[:i], t, *inputs[i + 1 :], **attrs))
        return add_up(terms)


class General(Op):
    """An op whose two rules are written out.

    `vjp_rule(g, out, *inputs, **attrs)` gives a cotangent per input, and
    `jvp_rule(tangents, out, *inputs, **attrs)` the tangent of the result; a tangent may be None.
    """

    kind = "general"

    def __init__(
        self, name: str, run: Callable[..., Any], infer: Infer, vjp_rule: Rule, jvp_rule: Rule
    ) -> None:
        super().__init__(name, run, infer)
        self.vjp_rule = vjp_rule
        self.jvp_rule = jvp_rule

    def vjp(
        self, g: Value, out: Value, inputs: list[Value], attrs: Attrs, wanted: list[bool]
    ) -> list[Value]:
        """Apply the reverse rule."""
        return list(self.vjp_rule(g, out, *inputs, **attrs))

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Apply the forward rule."""
        return self.jvp_rule(tangents, out, *inputs, **attrs)


class Discrete(Op):
    """An op without a derivative: its result is constant almost everywhere."""

    kind = "discrete"

    def jvp(self, tangents: list[Value], out: Value, inputs: list[Value], attrs: Attrs) -> Value:
        """Give the zero tangent; the walk backwards never asks."""
        return None


def add_up(terms: Sequence[Value]) -> Value:
    """Sum what is not None, or give None."""
    total: Value = None
    for term in terms:
        if term is not None:
            total = term if total is None else apply(OPS["add"], total, term)
    return total
