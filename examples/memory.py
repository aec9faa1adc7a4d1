"""Memory: the adding problem at length 50, where an LSTM learns what a plain RNN does not.

    python examples/memory.py

A sequence of pairs: a random number, and a mark that is 1 at two places. The target is the sum of
the two marked numbers (Hochreiter and Schmidhuber, 1997). Who always says 1 has an error of 1/6;
the net must carry a number over many steps to do better.
"""

import numpy as np

import chainrule as cr
from chainrule import losses, nn, optim


def sums(rows: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One mark in each half; sequences of shape (rows, length, 2)."""
    numbers = rng.random((rows, length))
    marks = np.zeros((rows, length))
    half = length // 2
    everyone = np.arange(rows)
    marks[everyone, rng.integers(0, half, rows)] = 1
    marks[everyone, rng.integers(half, length, rows)] = 1
    target = (numbers * marks).sum(axis=1, keepdims=True)
    return np.stack([numbers, marks], axis=2).astype(np.float32), target.astype(np.float32)


def main(rows: int = 5000, epochs: int = 20, length: int = 50) -> dict[str, float]:
    rng = np.random.default_rng(0)
    x, y = sums(rows, length, rng)
    x_test, y_test = sums(1000, length, rng)
    layers = {
        "RNN": nn.RNN(2, 32, batch_first=True, returns="last"),
        "LSTM": nn.LSTM(2, 32, batch_first=True, returns="last", forget_bias=1.0),
    }
    figures = {"error without memory": float(losses.mse(np.ones_like(y_test), y_test))}
    for name, layer in layers.items():
        model = nn.Sequential(layer, nn.Linear(32, 1), seed=0)
        cr.train(model, "mse", x, y, optimizer=optim.Adam(0.005), clip_norm=1.0, epochs=epochs,
                 batch_size=50, seed=0)  # fmt: skip
        figures[f"error of the {name}"] = float(losses.mse(model.predict(x_test), y_test))
    for name, value in figures.items():
        print(f"{name:20s} {value:.4f}")
    return figures


if __name__ == "__main__":
    main()
