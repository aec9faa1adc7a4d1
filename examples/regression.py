"""Regression: a sine of two numbers with noise, by a net that gives one number.

    python examples/regression.py

The last layer has no activation, so that the output can be any number; the loss is the squared
error. A linear model on the same rows says how much of the target is not linear.
"""

import numpy as np

import chainrule as cr
from chainrule import metrics, nn, optim


def surface(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.uniform(-2, 2, (rows, 2)).astype(np.float32)
    y = np.sin(2 * X[:, :1]) * X[:, 1:] + 0.5 * X[:, :1] + rng.normal(0, 0.1, (rows, 1))
    return X, y.astype(np.float32)


def main(epochs: int = 150) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X, y = surface(1000, rng)
    X_test, y_test = surface(1000, rng)
    net = nn.mlp([2, 64, 64, 1], "tanh", seed=0)
    line = nn.Linear(2, 1, seed=0)
    figures = {}
    for name, model in (("line", line), ("net", net)):
        cr.train(model, "mse", X, y, optimizer=optim.Adam(0.01), schedule="cosine",
                 epochs=epochs, seed=0)  # fmt: skip
        figures[f"R² of the {name}"] = metrics.r2_score(y_test, model.predict(X_test))
    found = net.predict(X_test)
    figures["mean squared error"] = metrics.mean_squared_error(y_test, found)
    figures["mean absolute error"] = metrics.mean_absolute_error(y_test, found)
    for name, value in figures.items():
        print(f"{name:20s} {value:.4f}")
    print("The noise alone has a mean squared error of 0.01.")
    return figures


if __name__ == "__main__":
    main()
