"""A net small enough to be worked by hand: every number of a forward pass, a backward pass, a step.

    python examples/worked_example.py

Two inputs, two hidden units, one output, sigmoids. Layers are numbered by what they give: W1 makes
z1 of the inputs, a1 = sigmoid(z1), and so on. The loss is (a2 - y)^2 / 2.
"""

import numpy as np

from chainrule import losses, nn, optim, vjp

WEIGHTS = {
    "0.weight": [[0.2, 0.4], [0.3, 0.7]], "0.bias": [0.1, 0.2],
    "2.weight": [[0.5, 0.6]], "2.bias": [0.3],
}  # fmt: skip
NAMES = {"0.weight": "dJ/dW1", "0.bias": "dJ/db1", "2.weight": "dJ/dW2", "2.bias": "dJ/db2"}
X, Y = np.array([[0.5, 0.8]]), np.array([[1.0]])


def build() -> nn.Sequential:
    """Give the net with the weights of the example."""
    sigmoid = nn.Activation("sigmoid")
    net = nn.Sequential(nn.Linear(2, 2), sigmoid, nn.Linear(2, 1), sigmoid).astype(float)
    return net.load_state_dict(WEIGHTS)


def show(name: str, value: np.ndarray | float) -> None:
    """Print a value with ten digits."""
    print(f"{name:8}", " ".join(f"{number:13.10f}" for number in np.ravel(value)))


def main() -> dict[str, float]:
    """Print every number; give the losses."""
    net = build()
    print("forward")
    values = [X]
    for name, layer in zip(("z1", "a1", "z2", "a2"), net, strict=True):
        values.append(layer.predict(values[-1]))
        show(name, values[-1])
    figures = {"loss": float(losses.half_squared_error(values[-1], Y))}
    show("J", figures["loss"])

    print("\nbackward: the slope of J by what each layer gives, from the last to the first")
    slope = values[-1] - Y
    show("dJ/da2", slope)
    inputs = zip(("x", "z1", "a1", "z2"), net.freeze(), values, strict=False)
    for name, layer, value in reversed(list(inputs)):
        _, pull = vjp(layer, value)
        (slope,) = pull(slope)
        show(f"dJ/d{name}", slope)

    print("\nand by every weight")
    net.freeze(False)
    losses.half_squared_error(net(X), Y).backward()
    for name, parameter in net.named_parameters():
        show(NAMES[name], parameter.grad.numpy())

    print("\nsteps against the gradient, of size 1")
    updater = optim.Updater(net.parameters(), optim.SGD(lr=1.0))
    for step in range(1, 1001):
        updater.step()
        if step in (1, 10, 100, 1000):
            figures[f"loss, step {step}"] = float(losses.half_squared_error(net.predict(X), Y))
            show(f"J {step}", figures[f"loss, step {step}"])
        losses.half_squared_error(net(X), Y).backward()
    return figures


if __name__ == "__main__":
    main()
