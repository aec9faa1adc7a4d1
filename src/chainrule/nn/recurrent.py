"""Recurrent layers: the same small net for every step of a sequence, which remembers.

>>> import numpy as np
>>> layer = LSTM(3, 5, batch_first=True, seed=0)
>>> output, (h, c) = layer(np.zeros((2, 7, 3)))
>>> output.shape, h.shape, c.shape
((2, 7, 5), (1, 2, 5), (1, 2, 5))

Names, arguments, layouts and results are PyTorch's. `lengths` of sequences that are padded to one
length may be given: the padding is then not read, and its outputs are 0. With `returns="last"` or
"sequence" a layer gives one tensor, as `Sequential` needs.
"""

import math
from typing import Any, ClassVar, Self

import numpy as np

from chainrule import ops
from chainrule.errors import ConfigError, ShapeError
from chainrule.graph import Tensor, Value, dtype_of, no_grad, shape_of
from chainrule.nn.checks import check_memory, check_size
from chainrule.nn.dropout import Dropout
from chainrule.nn.init import generator
from chainrule.nn.module import Module, Parameter, register
from chainrule.scan import scan

_RETURNS = ("both", "sequence", "last")


class _Recurrent(Module):
    """Layers over layers of steps, in one direction or both."""

    gates: ClassVar[int]
    kept: ClassVar[int]
    """How many numbers per unit a step gives: its state, and what its derivative needs."""

    states: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        returns: str = "both",
        truncate: int | None = None,
        seed: Any = None,
    ) -> None:
        for name, n in (("input_size", input_size), ("hidden_size", hidden_size),
                        ("num_layers", num_layers)):  # fmt: skip
            check_size(name, n)
        if truncate is not None:
            check_size("truncate", truncate)
        check_memory(num_layers * self.gates * hidden_size * (input_size + hidden_size))
        if returns not in _RETURNS:
            raise ConfigError(f"{type(self).__name__}: returns={returns!r}, expected one of "
                              f"{', '.join(_RETURNS)}")  # fmt: skip
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.returns, self.truncate = bidirectional, returns, truncate
        for name, size in self._inputs():
            units = self.gates * hidden_size
            setattr(self, f"weight_ih_{name}", Parameter(np.zeros((units, size))))
            setattr(self, f"weight_hh_{name}", Parameter(np.zeros((units, hidden_size))))
            if bias:
                setattr(self, f"bias_ih_{name}", Parameter(np.zeros(units)))
                setattr(self, f"bias_hh_{name}", Parameter(np.zeros(units)))
        self.drop = Dropout(dropout, seed=seed) if dropout and num_layers > 1 else None
        self.initialize(seed)

    def _inputs(self) -> list[tuple[str, int]]:
        """Give the name of each layer and direction, and the number of its inputs."""
        directions = ["", "_reverse"] if self.bidirectional else [""]
        sizes = [self.input_size, *[self.hidden_size * len(directions)] * (self.num_layers - 1)]
        return [(f"l{i}{d}", n) for i, n in enumerate(sizes) for d in directions]

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw all weights uniformly within 1 / sqrt(hidden_size), as PyTorch does."""
        rng = generator(seed)
        limit = 1 / math.sqrt(self.hidden_size)
        with no_grad():
            for p in self.parameters():
                p.assign(rng.uniform(-limit, limit, p.shape))
        if self.drop is not None:
            self.drop.initialize(rng)
        return self

    def forward(self, x: Value, initial: Any = None, *, lengths: Value | None = None) -> Any:
        """Apply the layers to x (length, rows, input_size), or (rows, length, ...) `batch_first`.

        `lengths` is the number of real steps of each row. Without an `initial` state it is 0.
        Gives the outputs and the last state, or what `returns` says.
        """
        shape = shape_of(x)
        if len(shape) == 2:
            return self._one_sequence(x, initial)
        if len(shape) != 3 or shape[2] != self.input_size:
            order = "rows, length" if self.batch_first else "length, rows"
            raise ShapeError(f"{self} got an input of shape {list(shape)}; expected "
                             f"({order}, {self.input_size})")  # fmt: skip
        x = ops.transpose(x, (1, 0, 2)) if self.batch_first else x
        if shape_of(x)[0] == 0:
            raise ShapeError(f"{self} got sequences of length 0; expected at least one step")
        mask = None if lengths is None else _mask(x, lengths)
        starts = self._starts(x, initial)
        last: list[Value] = []
        for i in range(self.num_layers):
            if i and self.drop is not None:
                x = self.drop(x)
            outputs = []
            for name in [name for name, _ in self._inputs() if name.split("_")[0] == f"l{i}"]:
                carries = self._run(name, x, mask, starts[len(last)])
                hidden = carries[:, :, : self.hidden_size]
                outputs.append(hidden if mask is None else ops.where(mask, hidden, 0.0))
                last.append(carries[0 if name.endswith("_reverse") else -1])
            x = outputs[0] if len(outputs) == 1 else ops.concat(outputs, axis=2)
        return self._result(x, last)

    def _one_sequence(self, x: Value, initial: Any) -> Any:
        """Take (length, input_size) as one row."""
        axis = 0 if self.batch_first else 1
        if initial is not None:
            given = initial if isinstance(initial, tuple) else (initial,)
            initial = tuple(_with_axis(h, 1) for h in given)
        result = self.forward(_with_axis(x, axis), initial)
        if self.returns == "last":
            return result[0]
        if self.returns == "sequence":
            return _without_axis(result, axis)
        state = result[1]
        if isinstance(state, tuple):
            return _without_axis(result[0], axis), tuple(_without_axis(s, 1) for s in state)
        return _without_axis(result[0], axis), _without_axis(state, 1)

    def _run(self, name: str, x: Value, mask: Value | None, start: Value) -> Value:
        """Apply one layer in one direction, in pieces through which no gradient goes back."""
        consts = [getattr(self, f"{kind}_{name}") for kind in
                  ("weight_ih", "weight_hh", *["bias_ih", "bias_hh"] * self.bias)]  # fmt: skip
        backwards = name.endswith("_reverse")
        n = int(shape_of(x)[0])
        size = self.truncate or n
        spans = [slice(i, min(i + size, n)) for i in range(0, n, size)]
        pieces = []
        for span in reversed(spans) if backwards else spans:
            xs = [x[span]] if mask is None else [x[span], mask[span]]
            step = self._step if mask is None else self._masked_step
            pieces.append(scan(step, start, xs, consts, reverse=backwards))
            start = ops.stop_gradient(pieces[-1][0 if backwards else -1])
        ordered = pieces[::-1] if backwards else pieces
        return ordered[0] if len(ordered) == 1 else ops.concat(ordered, axis=0)

    def _masked_step(self, carry: Value, x: Value, mask: Value, *weights: Value) -> Value:
        """Leave the state of a row alone where its sequence is over."""
        new = self._step(carry, x, *weights)
        joined = ops.concat(list(new), axis=-1) if isinstance(new, tuple) else new
        return ops.where(mask, joined, carry)

    def _step(self, carry: Value, x: Value, *weights: Value) -> Any:
        """Give the new state, and what its derivative needs besides: each layer writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no method _step")

    def _starts(self, x: Value, initial: Any) -> list[Value]:
        """Give the first carry of each layer and direction."""
        rows, dtype, count = (
            shape_of(x)[1],
            dtype_of(x, self.parameters()[0]),
            len(self._inputs()),
        )
        nothing = np.zeros((), dtype)
        width = self.kept * self.hidden_size
        if initial is None:
            return [ops.broadcast_to(nothing, (rows, width))] * count
        given = initial if isinstance(initial, tuple) else (initial,)
        expected = (count, rows, self.hidden_size)
        if len(given) != self.states or any(tuple(shape_of(s)) != expected for s in given):
            shapes = " and ".join(str(list(shape_of(s))) for s in given)
            raise ShapeError(f"{self} got initial states of shape {shapes}; expected {self.states} "
                             f"of {list(expected)}")  # fmt: skip
        rest = ops.broadcast_to(nothing, (rows, width - self.states * self.hidden_size))
        return [
            ops.concat([*[ops.cast(s[i], dtype=dtype) for s in given], rest], axis=1)
            for i in range(count)
        ]

    def _result(self, x: Value, last: list[Value]) -> Any:
        states = tuple(
            ops.stack([y[:, k * self.hidden_size : (k + 1) * self.hidden_size] for y in last])
            for k in range(self.states)
        )
        if self.returns == "last":
            top = last[-2:] if self.bidirectional else last[-1:]
            return ops.concat([y[:, : self.hidden_size] for y in top], axis=1)
        x = ops.transpose(x, (1, 0, 2)) if self.batch_first else x
        return x if self.returns == "sequence" else (x, states if self.states > 1 else states[0])

    def _parts(self, x: Value, count: int) -> list[Value]:
        """Cut (rows, count * hidden_size) into so many parts."""
        n = self.hidden_size
        return [x[:, k * n : (k + 1) * n] for k in range(count)]

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
                 "bidirectional", "returns", "truncate")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """Give the sizes, and what is not as usual."""
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
                 "bidirectional": False, "returns": "both", "truncate": None}  # fmt: skip
        words = [f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *words])


def _with_axis(x: Value, axis: int) -> Value:
    shape = tuple(shape_of(x))
    return ops.reshape(x, (*shape[:axis], 1, *shape[axis:]))


def _without_axis(x: Value, axis: int) -> Value:
    shape = tuple(shape_of(x))
    return ops.reshape(x, (*shape[:axis], *shape[axis + 1 :]))


def _mask(x: Value, lengths: Value) -> Value:
    """Say of each step and row whether it is real: (length, rows, 1)."""
    steps, rows = shape_of(x)[:2]
    if tuple(shape_of(lengths)) != (rows,):
        raise ShapeError(f"lengths of shape {list(shape_of(lengths))}: expected ({rows},), one for "
                         "each sequence")  # fmt: skip
    known = lengths.value if isinstance(lengths, Tensor) else np.asarray(lengths)
    if known is not None and known.size and not 1 <= known.min() <= known.max() <= steps:
        raise ShapeError(f"lengths from {known.min()} to {known.max()}: expected 1 to {steps}, the "
                         "length that all sequences are padded to")  # fmt: skip
    places = np.arange(int(steps)).reshape(-1, 1, 1)
    return ops.less(places, ops.reshape(lengths, (1, rows, 1)))


def _affine(x: Value, weights: tuple[Value, ...], which: int) -> Value:
    """Give x W^T + b with the input's weights (0) or the state's (1)."""
    y = ops.matmul(x, weights[which], transpose_b=True)
    return ops.add(y, weights[2 + which]) if len(weights) > 2 else y


def _sums(x: Value, h: Value, weights: tuple[Value, ...]) -> Value:
    """Give W_ih x + W_hh h + b_ih + b_hh.

    Both biases are added to W_hh h: no pass over all steps adds one to W_ih x.
    """
    given, held = (_affine(y, weights[:2], k) for k, y in enumerate((x, h)))
    return ops.add(given, ops.add(held, ops.add(*weights[2:])) if len(weights) > 2 else held)


@register
class RNN(_Recurrent):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu (Elman, 1990), as in PyTorch.

    >>> import numpy as np
    >>> RNN(3, 5, returns="last", batch_first=True, seed=0)(np.zeros((2, 7, 3))).shape
    (2, 5)
    """

    gates = kept = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        *args: Any, **settings: Any,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigError(f"RNN: nonlinearity={nonlinearity!r}, expected 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, *args, **settings)

    def _step(self, h: Value, x: Value, *weights: Value) -> Value:
        z = _sums(x, h, weights)
        return ops.tanh(z) if self.nonlinearity == "tanh" else ops.maximum(0.0, z)

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return super().config() | {"nonlinearity": self.nonlinearity}


@register
class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000), as in PyTorch.

        i, f, o = sigmoid of their rows of W_ih x + b_ih + W_hh h + b_hh,  g = tanh of its rows
        c' = f c + i g,  h' = o tanh(c')

    The rows of the weights are those of i, f, g, o. `forget_bias` is added to the start of b_ih
    for f: 1 or 2 let a net remember from the beginning (Jozefowicz et al., 2015).
    """

    gates, kept, states = 4, 6, 2

    def __init__(self, *args: Any, forget_bias: float = 0.0, **settings: Any) -> None:
        self.forget_bias = forget_bias
        super().__init__(*args, **settings)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw all weights, and add `forget_bias`."""
        super().initialize(seed, activation)
        n = self.hidden_size
        for name, _ in self._inputs() if self.bias else []:
            bias = getattr(self, f"bias_ih_{name}")
            raised = np.array(bias.value)
            raised[n : 2 * n] += self.forget_bias
            with no_grad():
                bias.assign(raised)
        return self

    def _step(self, carry: Value, x: Value, *weights: Value) -> tuple[Value, ...]:
        h, c = self._parts(carry, 2)
        z = _sums(x, h, weights)
        i_in, f_in, g, o_in = self._parts(z, 4)
        i, f, g, o = ops.sigmoid(i_in), ops.sigmoid(f_in), ops.tanh(g), ops.sigmoid(o_in)
        c = ops.add(ops.mul(f, c), ops.mul(i, g))
        return ops.mul(o, ops.tanh(c)), c, i_in, f_in, g, o_in

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return super().config() | {"forget_bias": self.forget_bias}


@register
class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al., 2014), as in PyTorch.

    r, z = sigmoid of their rows of W_ih x + b_ih + W_hh h + b_hh
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)),  h' = (1 - z) n + z h
    """

    gates, kept = 3, 5

    def _step(self, carry: Value, x: Value, *weights: Value) -> tuple[Value, ...]:
        h = carry[:, : self.hidden_size]
        given, held = _affine(x, weights, 0), _affine(h, weights, 1)
        r, z, n = self._parts(given, 3)
        r_h, z_h, n_h = self._parts(held, 3)
        r_in, z_in = ops.add(r, r_h), ops.add(z, z_h)
        r, z = ops.sigmoid(r_in), ops.sigmoid(z_in)
        n = ops.tanh(ops.add(n, ops.mul(r, n_h)))
        h = ops.add(ops.mul(ops.sub(1.0, z), n), ops.mul(z, h))
        return h, r_in, z_in, n, n_h


@register
class Jordan(Module):
    """A net whose outputs are fed back to its inputs (Jordan, 1986).

        h = tanh(W_ih x + W_yh y + b),  y' = W_ho h + c

    Input (length, rows, input_size), or (rows, length, ...) `batch_first`; gives all outputs, or
    the last. The first y is 0.

    >>> import numpy as np
    >>> Jordan(3, 8, 2, batch_first=True, seed=0)(np.zeros((4, 7, 3))).shape
    (4, 7, 2)
    """

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, *, batch_first: bool = False,
        returns: str = "sequence", seed: Any = None,
    ) -> None:  # fmt: skip
        if returns not in _RETURNS[1:]:
            raise ConfigError(f"Jordan: returns={returns!r}, expected 'sequence' or 'last'")
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "output_size": output_size}
        for name, n in sizes.items():
            check_size(name, n)
            setattr(self, name, n)
        check_memory(hidden_size * (input_size + 2 * output_size))
        self.sizes, self.batch_first, self.returns = sizes, batch_first, returns
        self.weight_ih = Parameter(np.zeros((hidden_size, input_size)))
        self.weight_yh = Parameter(np.zeros((hidden_size, output_size)))
        self.bias_h = Parameter(np.zeros(hidden_size))
        self.weight_ho = Parameter(np.zeros((output_size, hidden_size)))
        self.bias_o = Parameter(np.zeros(output_size))
        self.initialize(seed)

    def initialize(self, seed: Any = None, activation: str = "identity") -> Self:
        """Draw all weights uniformly within 1 / sqrt(hidden_size)."""
        rng, limit = generator(seed), 1 / math.sqrt(self.sizes["hidden_size"])
        with no_grad():
            for p in self.parameters():
                p.assign(rng.uniform(-limit, limit, p.shape))
        return self

    def forward(self, x: Value) -> Value:
        """Give the outputs of all steps, or the last."""
        shape, size = shape_of(x), self.sizes["input_size"]
        if len(shape) != 3 or shape[2] != size or 0 in shape[:2]:
            order = "rows, length" if self.batch_first else "length, rows"
            raise ShapeError(f"{self} got an input of shape {list(shape)}; expected "
                             f"({order}, {size}), of at least one step")  # fmt: skip
        x = ops.transpose(x, (1, 0, 2)) if self.batch_first else x
        units = self.sizes["output_size"], self.sizes["hidden_size"]
        nothing = np.zeros((), dtype_of(x, self.bias_o))
        start = ops.broadcast_to(nothing, (shape_of(x)[1], sum(units)))
        weights = [self.weight_ih, self.weight_yh, self.bias_h, self.weight_ho, self.bias_o]
        y = scan(self._step, start, [x], weights)[:, :, : units[0]]
        if self.returns == "last":
            return y[-1]
        return ops.transpose(y, (1, 0, 2)) if self.batch_first else y

    def _step(
        self, carry: Value, x: Value, w_ih: Value, w_yh: Value, b: Value, w_ho: Value, c: Value
    ) -> tuple[Value, ...]:
        y = carry[:, : self.sizes["output_size"]]
        fed_back = ops.matmul(y, w_yh, transpose_b=True)
        h = ops.tanh(ops.add(ops.add(ops.matmul(x, w_ih, transpose_b=True), b), fed_back))
        return ops.add(ops.matmul(h, w_ho, transpose_b=True), c), h

    def config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return self.sizes | {"batch_first": self.batch_first, "returns": self.returns}

    def extra_repr(self) -> str:
        """Give the sizes."""
        return ", ".join(map(str, self.sizes.values()))
