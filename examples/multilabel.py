"""Several labels per row: one sigmoid each, with labels that depend on one another.

    python examples/multilabel.py

Four labels of points in a plane: "right", "far", "right and far", "near or left". The last two
follow from the first two, so any number of the labels may hold at once. A softmax would make their
probabilities add up to 1; sigmoids do not.
"""

import numpy as np

from chainrule import NetClassifier, metrics, nn


def labelled(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(rows, 2))
    right, far = X[:, 0] > 0.2, (X**2).sum(axis=1) > 1.5
    Y = np.stack([right, far, right & far, ~far | ~right], axis=1).astype(int)
    wrong = rng.random((rows, 1)) < 0.01  # one row in a hundred has all its labels wrong
    return X.astype(np.float32), np.where(wrong, 1 - Y, Y)


def main(epochs: int = 60) -> dict[str, float]:
    rng = np.random.default_rng(0)
    X, Y = labelled(2000, rng)
    X_test, Y_test = labelled(1000, rng)
    net = NetClassifier(nn.mlp([2, 32, 32, 4], "relu"), lr=0.01, epochs=epochs, random_state=0)
    net.fit(X, Y)
    found, probability = net.predict(X_test), net.predict_proba(X_test)
    sums = probability.sum(axis=1)
    figures = {
        "F1, mean of the labels": float(metrics.f1_score(Y_test, found, average="macro")),
        "Hamming loss": float(metrics.hamming_loss(Y_test, found)),
        "rows with all labels right": float((found == Y_test).all(axis=1).mean()),
        "least sum of probabilities": float(sums.min()),
        "largest sum of probabilities": float(sums.max()),
    }
    for name, value in figures.items():
        print(f"{name:30s} {value:.4f}")
    return figures


if __name__ == "__main__":
    main()
