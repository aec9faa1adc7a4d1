"""The worked example of the notes, and the four rows of a line, in chainrule's words.

>>> forward()["a3"].round(8)
np.float64(0.73911503)
"""

from typing import Any

import numpy as np

from chainrule import losses, ops

X = np.array([0.5, 0.8])
Y = np.ones(())
START = {
    "W1": np.array([[0.2, 0.4], [0.3, 0.7]]), "b1": np.array([0.1, 0.2]),
    "W2": np.array([0.5, 0.6]), "b2": np.array(0.3),
}  # fmt: skip


def forward(p: Any = START) -> dict[str, Any]:
    """Compute z and a of each layer; W2 is the row of the one output unit."""
    z2 = ops.matmul(p["W1"], X) + p["b1"]
    a2 = ops.sigmoid(z2)
    z3 = ops.sum(p["W2"] * a2) + p["b2"]
    return {"z2": z2, "a2": a2, "z3": z3, "a3": ops.sigmoid(z3)}


def error(a3: Any) -> Any:
    """J, half the squared error."""
    return losses.half_squared_error(a3, Y, reduction="sum")


def cost(p: Any) -> Any:
    """J as a function of the parameters."""
    return error(forward(p)["a3"])


def from_z3(z3: Any) -> Any:
    """J as a function of z3."""
    return error(ops.sigmoid(z3))


def from_a2(a2: Any) -> Any:
    """J as a function of the hidden activations."""
    return from_z3(ops.sum(START["W2"] * a2) + START["b2"])


def from_z2(z2: Any) -> Any:
    """J as a function of z2."""
    return from_a2(ops.sigmoid(z2))


def stepped(rate: float, gradient: Any) -> dict[str, Any]:
    """Give the parameters after a step against the gradient; a negative rate goes along it."""
    return {name: START[name] - rate * g for name, g in gradient.items()}


LINE_X = np.array([1.0, 2.0, 3.0, 4.0])
LINE_Y = np.array([2.0, 3.0, 5.0, 9.0])
LINE_SPREAD = np.arange(1.0, 9.0)


def line_error(w: Any, x: Any = LINE_X, y: Any = LINE_Y) -> Any:
    """Mean squared error of y = w x."""
    return losses.mse(w * x, y)
