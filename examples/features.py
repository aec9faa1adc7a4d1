"""Learned features: rings, which a logistic model fails on, unless one gives it the squares.

    python examples/features.py

Who knows that the classes are rings squares the columns, and a linear model does. A net with a
hidden layer finds such features by itself.
"""

import numpy as np
from sklearn.datasets import make_circles

import chainrule as cr
from chainrule import nn, optim


def rings(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = make_circles(1000, noise=0.08, factor=0.5, random_state=seed)
    return X.astype(np.float32), y.astype(np.float32).reshape(-1, 1)


def main(epochs: int = 60) -> dict[str, float]:
    (X, y), (X_test, y_test) = rings(0), rings(1)
    ways = {
        "logistic model of the columns": ([2, 1], lambda x: x),
        "logistic model of their squares": ([2, 1], np.square),
        "net of the columns": ([2, 16, 1], lambda x: x),
    }
    figures = {}
    for name, (sizes, prepare) in ways.items():
        model = nn.mlp(sizes, "tanh", seed=0)
        cr.train(model, "binary_cross_entropy_with_logits", prepare(X), y,
                 optimizer=optim.Adam(0.03), epochs=epochs, seed=0)  # fmt: skip
        right = (model.predict(prepare(X_test)) > 0) == (y_test > 0.5)
        figures[f"accuracy, {name}"] = float(right.mean())
        print(f"{name:32s} accuracy {right.mean():.3f}")
    return figures


if __name__ == "__main__":
    main()
