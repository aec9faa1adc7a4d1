"""Write the pictures of docs/draw.md and docs/plots.md into docs/images.

python -m tools.pictures          write them
python -m tools.pictures --list   list their names instead
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from chainrule import draw, grad, losses, nn, ops, plots, tensor
from chainrule.picture import Picture
from chainrule.plots import Plot
from chainrule.transforms.draw import Drawing

FOLDER = Path(__file__).parents[1] / "docs" / "images"
X = np.array([[0.5, 0.8]])
Y = np.array([[1.0]])


def worked() -> nn.Sequential:
    """Give the net of two inputs, two hidden units and one output of examples/worked_example.py."""
    sigmoid = nn.Activation("sigmoid")
    net = nn.Sequential(nn.Linear(2, 2), sigmoid, nn.Linear(2, 1), sigmoid).astype(float)
    return net.load_state_dict(
        {
            "0.weight": np.array([[0.2, 0.4], [0.3, 0.7]]),
            "0.bias": np.array([0.1, 0.2]),
            "2.weight": np.array([[0.5, 0.6]]),
            "2.bias": np.array([0.3]),
        }
    )


def scalars() -> Drawing:
    """Draw a graph of four numbers."""
    a, b = tensor(2.0, requires_grad=True), tensor(-3.0, requires_grad=True)
    y = ops.tanh(a * b + a * a + 1.0)
    return draw(y, values=True, names={"a": a, "b": b, "y": y}, title="tanh(a b + a² + 1)")


def step() -> Drawing:
    """Draw forward pass and loss of the worked example, with its numbers."""
    return draw(losses.half_squared_error(worked()(X), Y), values=True, title="Worked example")


def residual() -> Drawing:
    """Draw a net with a block inside of a block."""
    block = nn.Sequential(nn.Linear(16, 16, seed=1), nn.Activation("relu"))
    net = nn.Sequential(nn.Linear(8, 16, seed=0), nn.Residual(block), nn.Linear(16, 3, seed=2))
    return draw(net, level=3, title="A residual net, level 3")


def gradient() -> Drawing:
    """Draw the gradient of a loss by the inputs of a net."""
    net = nn.mlp([4, 8, 8, 3], activation="tanh", seed=0)

    def loss(x: np.ndarray) -> object:
        return losses.cross_entropy(net(x), np.array([0, 1, 2, 1, 0]))

    return draw(grad(loss), np.zeros((5, 4), np.float32), title="Gradient of a loss by the inputs")


def perceptron() -> Drawing:
    """Draw the perceptron that has learned AND."""
    table = nn.truth_table("and")
    return draw(nn.Perceptron(init_std=0.0).fit(*table), title="A perceptron that learned AND")


def with_and_without_bias() -> Plot:
    """Plot what perceptrons can divide, one of them without a bias node."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal([1.0, 1.5], 0.4, (20, 2)), rng.normal(3.0, 0.4, (20, 2))])
    classes = np.repeat([0, 1], 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a perceptron without a bias node warns
        fitted = {
            name: nn.Perceptron(init_std=0.0, bias_input=bias).fit(rows, classes)
            for name, bias in (("with a bias node", -1.0), ("without", 0.0))
        }
    return plots.boundary(fitted, rows, classes, title="A perceptron with and without a bias node")


PICTURES: dict[str, Callable[[], Picture]] = {
    "draw-layers": lambda: draw(nn.mlp([4, 8, 3], activation="tanh", seed=0)),
    "draw-scalars": scalars,
    "draw-step": step,
    "draw-residual": residual,
    "draw-gradient": gradient,
    "neurons-net": lambda: draw(
        worked(), X, kind="neurons", values=True, title="The worked example"
    ),
    "neurons-neuron": lambda: draw(
        nn.McCullochPitts([1, 1, 1], 0.5, inhibitory=[False, False, True]),
        title="A neuron of McCulloch and Pitts",
    ),
    "neurons-perceptron": perceptron,
    "plots-activations": plots.activations,
    "plots-bias": lambda: plots.curves(
        {f"b = {b:g}": lambda x, b=b: ops.sigmoid(2.0 * x + b) for b in (-4.0, 0.0, 4.0)},
        title="A bias shifts the sigmoid of 2 x + b",
    ),
    "plots-boundary": with_and_without_bias,
    "neurons-layers": lambda: draw(
        nn.mlp([50, 64, 20, 10], "relu", seed=0), kind="neurons", limit=6, title="50-64-20-10"
    ),
}


if __name__ == "__main__":
    for name, make in PICTURES.items():
        if "--list" in sys.argv:
            print(name)
        else:
            make().save(FOLDER / f"{name}.svg")
