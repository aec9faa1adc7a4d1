"""Examples that books work by hand, to compare line by line.

>>> example = EXAMPLES["cs231n"]()
>>> print(example.explain().text(level=1).splitlines()[3])
z1[0] = x[0]·W1[0,0] + x[1]·W1[0,1] + b1[0]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule import losses, nn, ops, optim
from chainrule.explaining import explain
from chainrule.graph import Array, Value
from chainrule.losses import Loss
from chainrule.nn.module import Module
from chainrule.transforms.explain import Explanation


@dataclass(frozen=True)
class Example:
    """A net, its rows, and the numbers that are printed elsewhere.

    `quoted` are (name, number as it is printed there); a name is one of the explanation.
    """

    title: str
    model: Module
    loss: Loss
    x: Array
    y: Array
    optimizer: optim.Optimizer
    source: str
    quoted: Sequence[tuple[str, str]] = ()
    remarks: Sequence[str] = field(default_factory=list)

    def explain(self) -> Explanation:
        """Explain one step."""
        return explain(self.model, self.loss, self.x, self.y, optimizer=self.optimizer)

    def comparison(self, explanation: Explanation) -> list[tuple[str, str, str, str]]:
        """Give (name, number there, number here, what is to be said) for each that is quoted.

        A number is right if it is the exact one, rounded to as many digits.
        """
        rows = []
        for name, there in self.quoted:
            if not there:
                rows.append((name, "–", f"{explanation.value(name):.8g}", "missing there"))
                continue
            here = explanation.value(name)
            digits = len(there.partition(".")[2])
            right = abs(float(there) - here) <= 0.5 * 10.0**-digits * (1 + 1e-9)
            rows.append((name, there, f"{here:.8g}", "" if right else f"is {here:.{digits}f}"))
        return rows


def _net(sizes: Sequence[int], activation: str, weights: dict[str, Any]) -> nn.Sequential:
    layers: list[Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Activation(activation)]
    return nn.Sequential(*layers).astype(float).load_state_dict(weights)


def worked() -> Example:
    """Give the 2-2-1 net of the study notes, with the numbers that they print."""
    weights = {
        "0.weight": [[0.2, 0.4], [0.3, 0.7]], "0.bias": [0.1, 0.2],
        "2.weight": [[0.5, 0.6]], "2.bias": [0.3],
    }  # fmt: skip
    quoted = [
        ("z1[0]", "0.52"), ("z1[1]", "0.91"), ("a1[0]", "0.627"), ("a1[1]", "0.713"),
        ("z2[0]", "1.0413"), ("a2[0]", "0.739"), ("L", "0.03406"), ("δ2[0]", "-0.0503"),
        ("∂L/∂W2[0,0]", "-0.03155"), ("∂L/∂W2[0,1]", "-0.03587"), ("∂L/∂b2[0]", "-0.0503"),
        ("∂L/∂a1[0]", "-0.02515"), ("∂L/∂a1[1]", "-0.03018"), ("δ1[0]", "-0.00588"),
        ("δ1[1]", "-0.00617"), ("∂L/∂W1[0,0]", "-0.00294"), ("∂L/∂W1[0,1]", ""),
        ("∂L/∂W1[1,0]", "-0.00308"), ("∂L/∂W1[1,1]", ""), ("∂L/∂b1[0]", "-0.00588"),
        ("∂L/∂b1[1]", "-0.00617"),
    ]  # fmt: skip
    return Example(
        "the study notes' 2-2-1 net",
        _net([2, 2, 1], "sigmoid", weights),
        losses.half_squared_error,
        np.array([[0.5, 0.8]]),
        np.array([[1.0]]),
        optim.SGD(lr=1.0),
        "the notes",
        quoted,
        ["the notes round numbers on the way and carry the rounded ones on",
         "they call ∂L/∂a1 a gradient by z1, and leave two of four entries of ∂L/∂W1 out"],
    )  # fmt: skip


def mazur() -> Example:
    """Give "A step by step backpropagation example" (Mazur, 2015); its biases stay."""
    weights = {
        "0.weight": [[0.15, 0.20], [0.25, 0.30]], "0.bias": [0.35, 0.35],
        "2.weight": [[0.40, 0.45], [0.50, 0.55]], "2.bias": [0.60, 0.60],
    }  # fmt: skip
    net = _net([2, 2, 2], "sigmoid", weights)
    for name, p in net.named_parameters():
        p.requires_grad = name.endswith("weight")
    quoted = [
        ("L", "0.298371109"), ("W1⁺[0,0]", "0.149780716"), ("W1⁺[0,1]", "0.19956143"),
        ("W1⁺[1,0]", "0.24975114"), ("W1⁺[1,1]", "0.29950229"), ("W2⁺[0,0]", "0.35891648"),
        ("W2⁺[0,1]", "0.408666186"), ("W2⁺[1,0]", "0.511301270"), ("W2⁺[1,1]", "0.561370121"),
    ]  # fmt: skip
    return Example(
        "a 2-2-2 net with shared biases that are not learned",
        net,
        Loss("squared_error", _half_of_all, "values", "values"),
        np.array([[0.05, 0.10]]),
        np.array([[0.01, 0.99]]),
        optim.SGD(lr=0.5),
        "Mazur (2015)",
        quoted,
    )


def _half_of_all(prediction: Value, target: Value) -> Value:
    """Half of the squared error, added up over the outputs."""
    return ops.sum(losses.half_squared_error.formula(prediction, target), axis=-1)


def cs231n() -> Example:
    """Give the sigmoid circuit of Stanford's CS231n: the slopes of the output itself."""
    net = _net([2, 1], "sigmoid", {"0.weight": [[2.0, -3.0]], "0.bias": [-3.0]})
    quoted = [
        ("a1[0]", "0.73"), ("∂L/∂W1[0,0]", "-0.20"), ("∂L/∂W1[0,1]", "-0.39"),
        ("∂L/∂b1[0]", "0.20"), ("∂L/∂x[0]", "0.39"), ("∂L/∂x[1]", "-0.59"),
    ]  # fmt: skip
    return Example(
        "f(w, x) = σ(w0 x0 + w1 x1 + w2)",
        net,
        Loss("output", _output, "values", "values"),
        np.array([[-1.0, -2.0]]),
        np.array([[0.0]]),
        optim.SGD(lr=1.0),
        "CS231n",
        quoted,
    )


def _output(prediction: Value, target: Value) -> Value:
    """Give the output itself, whose slopes are asked for."""
    return prediction


def xor() -> Example:
    """Give a 2-2-1 net that nearly computes exclusive or: one hidden unit is or, one is and."""
    weights = {
        "0.weight": [[6.0, 6.0], [6.0, 6.0]], "0.bias": [-3.0, -9.0],
        "2.weight": [[8.0, -8.0]], "2.bias": [-4.0],
    }  # fmt: skip
    return Example(
        "exclusive or by a 2-2-1 net: a1[0] is or, a1[1] is and",
        _net([2, 2, 1], "sigmoid", weights),
        losses.mse,
        np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
        np.array([[0.0], [1.0], [1.0], [0.0]]),
        optim.SGD(lr=1.0),
        "",
    )


def perceptron_and() -> Example:
    """Give the first mistake of a perceptron that learns logical and, bias node -1, rate 1/4.

    The rule w += lr (t - y) x is a step against the gradient of (y - t) h, where y = [h > 0] is
    taken as a constant.
    """
    net = nn.Linear(3, 1, bias=False).astype(float).load_state_dict({"weight": [[0.0, 0.0, 0.0]]})
    return Example(
        "perceptron rule on logical and: row (1, 1) with the bias node -1, whose target is 1",
        net,
        Loss("perceptron", _perceptron, "values", "values"),
        np.array([[1.0, 1.0, -1.0]]),
        np.array([[1.0]]),
        optim.SGD(lr=0.25),
        "the perceptron rule",
        [("W1⁺[0,0]", "0.25"), ("W1⁺[0,1]", "0.25"), ("W1⁺[0,2]", "-0.25")],
    )


def _perceptron(prediction: Value, target: Value) -> Value:
    """(y - t) h with y = 1 where h > 0, else 0."""
    fired = ops.stop_gradient(ops.cast(ops.less(0.0, prediction), dtype=prediction.dtype))
    return ops.mul(ops.sub(fired, target), prediction)


EXAMPLES: dict[str, Callable[[], Example]] = {
    "worked": worked, "xor": xor, "mazur": mazur, "cs231n": cs231n,
    "perceptron-and": perceptron_and,
}  # fmt: skip
"""Every example by name."""
